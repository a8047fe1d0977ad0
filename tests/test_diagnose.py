"""Every complaint of `fnn.lab.diagnose` on a short training that deserves it, and none on good
ones; the digits, another seed for each repetition.
"""

import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.lab import diagnose

TRAIN, TEST = fnn.data.load_digits()
SEEDS = (1, 2)


def fit(
    optimizer, hidden=(100, 100), epochs=30, rows=None, regularizer=None, seed=0, batch=100, **model
):
    trainer = fnn.Trainer(
        fnn.mlp(64, hidden, 10, rng=seed, **model),
        optimizer=optimizer,
        regularizer=regularizer,
        batch_size=batch,
        rng=seed,
        verbose=False,
    )
    x, y = TRAIN
    return trainer.fit(x[:rows], y[:rows], epochs=epochs, validation_data=TEST)


SIGMOID = {"hidden": [100] * 5, "activation": "sigmoid", "init": 0.01}

GOOD = {
    "adam": lambda s: fit(fnn.Adam(1e-3), seed=s),
    "all three": lambda s: fit(
        fnn.Adam(2e-3), batch_norm=True, dropout=0.2, regularizer=fnn.L2(1e-4), seed=s
    ),
    "sgd": lambda s: fit(fnn.SGD(0.1), epochs=40, seed=s),
    "momentum": lambda s: fit(fnn.Momentum(0.03), seed=s),
    "cosine": lambda s: fit(fnn.Adam(fnn.CosineDecay(3e-3, 30)), seed=s),
    "tanh": lambda s: fit(fnn.Adam(3e-3), activation="tanh", init="xavier", seed=s),
    "short": lambda s: fit(fnn.Adam(3e-3), epochs=8, seed=s),
    "deep": lambda s: fit(fnn.Adam(1e-3), hidden=[100] * 6, seed=s),
    "linear": lambda s: fit(fnn.Adam(1e-2), hidden=[], seed=s),
    # Outputs near zero: a loss of 1.8 where 80 % are right, unsure rather than mistaken.
    "small weights": lambda s: fit(fnn.Adam(1e-3), [100] * 5, batch_norm=True, init=0.01, seed=s),
}

BAD = {
    "learning rate too high": {
        "jumps": lambda s: fit(fnn.Adam(0.1), seed=s),
        "loses what it knew": lambda s: fit(fnn.SGD(1.2), seed=s),
        "kills the units": lambda s: fit(fnn.Adam(0.5), seed=s),
        "deep": lambda s: fit(fnn.Adam(0.1), hidden=[100] * 6, seed=s),
        "first steps": lambda s: fit(fnn.Adam(0.3), seed=s),
        "first steps, gelu": lambda s: fit(fnn.Adam(0.3), activation="gelu", seed=s),
        "first steps, hopeless": lambda s: fit(fnn.Adam(3.0), seed=s),
    },
    "learning rate too low": {
        "adam": lambda s: fit(fnn.Adam(1e-6), seed=s),
        "sgd": lambda s: fit(fnn.SGD(1e-3), seed=s),
        "by 10": lambda s: fit(fnn.Adam(1e-4), epochs=10, seed=s),
        "batchnorm": lambda s: fit(fnn.Adam(1e-6), [100] * 5, batch_norm=True, seed=s),
    },
    "bad initialization": {
        "sigmoid": lambda s: fit(fnn.Adam(1e-3), **SIGMOID, seed=s),
        "relu": lambda s: fit(fnn.SGD(0.1), hidden=[100] * 6, init=0.01, seed=s),
        "zeros": lambda s: fit(fnn.Adam(1e-3), init="zeros", seed=s),
        "too large": lambda s: fit(fnn.Adam(1e-3), hidden=[100] * 4, init=1.0, seed=s),
        "and a high rate": lambda s: fit(fnn.Adam(0.01), hidden=[100] * 4, init=1.0, seed=s),
    },
    "underfitting": {
        "tiny": lambda s: fit(fnn.Adam(1e-2), hidden=[2], epochs=60, seed=s),
        "dropout": lambda s: fit(fnn.Adam(3e-3), hidden=[20], dropout=0.9, epochs=60, seed=s),
    },
    "plateau": {
        "adam": lambda s: fit(fnn.Adam(fnn.ExponentialDecay(3e-3, 0.5)), seed=s),
        "sgd": lambda s: fit(fnn.SGD(fnn.ExponentialDecay(3e-2, 0.5)), seed=s),
    },
    "overfitting": {
        "few rows": lambda s: fit(fnn.Adam(1e-3), rows=100, epochs=150, batch=20, seed=s),
        "deep": lambda s: fit(fnn.Adam(3e-3), [100] * 6, epochs=80, rows=60, batch=20, seed=s),
    },
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("run", GOOD.values(), ids=GOOD)
def test_a_good_fit_has_no_complaint(run, seed):
    report = diagnose(run(seed))
    assert report.ok, report
    assert {"learning", "generalization"} <= {finding.name for finding in report}
    assert str(report).startswith("The curves show nothing wrong.")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "run"),
    [pytest.param(name, run, id=f"{name}-{i}") for name in BAD for i, run in BAD[name].items()],
)
def test_a_bad_fit_is_called_by_its_name(name, run, seed):
    report = diagnose(run(seed))
    assert name in report.wrong, report
    # Weights too large are learned by heart rather than understood: that may be said as well.
    assert set(report.wrong) <= {name, "overfitting"}, report
    assert name in report.summary
    assert report[name].advice


@pytest.mark.parametrize("first", [2.5, 40.0], ids=["quiet at first", "high at first"])
def test_a_loss_that_jumped_before_it_stayed_was_no_bad_start(first):
    """Of SGD(3.0): units are dead from the second epoch on, not from the first."""
    report = diagnose(
        {"loss": [first, 13.0, 2.32, 5.87] + [2.31, 2.32] * 8, "accuracy": [0.1] * 20}
    )
    assert report.wrong == ["learning rate too high"], report
    assert f"{'was once at 13' if first < 13 else 'began at 40'}: steps too long" in str(report)


def test_long_first_steps_that_did_no_harm_are_a_note():
    accuracy = [0.3, 0.9, 0.93] + [0.97] * 9
    loss = [7.0, 0.6, 0.25] + [0.2 * 0.7**i for i in range(9)]
    report = diagnose({"loss": loss, "accuracy": accuracy})
    assert report.ok, report
    assert report["learning rate too high"].verdict == "note"
    assert "is 7, 6 times" in report["learning rate too high"].words
    assert {"learning"} <= {finding.name for finding in report}
    # The same loss, and still mistaken in the third epoch: then it was the weights.
    loss[2] = 1.2
    assert diagnose({"loss": loss, "accuracy": accuracy}).wrong == ["bad initialization"]


@pytest.mark.parametrize(("rate", "said"), [(0.03, True), (1e-3, False)])
def test_units_saturated_at_once_leave_the_curve_of_vanishing_gradients(rate, said):
    """Adam(0.03) on a deep sigmoid network: what may be either names both."""
    loss, lr = [2.61, 2.31] + [2.3, 2.31] * 9, [rate] * 20
    report = diagnose({"loss": loss, "accuracy": [0.1] * 20, "lr": lr})
    assert report.wrong == ["bad initialization"]
    assert ("a rate of 0.03 may do it" in report["bad initialization"].advice) == said


def test_divergence_by_its_error():
    trainer = fnn.Trainer(fnn.mlp(64, [50], 10, rng=0), optimizer=fnn.SGD(1e3), verbose=False)
    with pytest.raises(fnn.DivergenceError) as caught:
        trainer.fit(*TRAIN, epochs=5)
    report = diagnose(trainer.history, error=caught.value)
    assert report.wrong == ["diverging"]
    assert f"at step {caught.value.step}, with learning rate 1e+03" in str(report)


def test_divergence_by_a_growing_loss():
    """Gradient descent on a line, its rate a little above the limit: finite, so far."""
    x = np.linspace(-1, 1, 50)[:, None]
    model = fnn.Sequential([fnn.Affine(1, init=0.1)], 1, rng=0, dtype="float64")
    trainer = fnn.Trainer(
        model, "mean_squared_error", fnn.SGD(3.2), batch_size=50, rng=0, verbose=False
    )
    history = trainer.fit(x, 2 * x[:, 0], epochs=10)
    assert history["loss"][-1] > history["loss"][0]
    assert diagnose(history).wrong == ["diverging"]
    calm = fnn.Trainer(
        fnn.Sequential([fnn.Affine(1, init=0.1)], 1, rng=0),
        *("mean_squared_error", fnn.SGD(0.5)),
        batch_size=50,
        rng=0,
        verbose=False,
    )
    assert diagnose(calm.fit(x, 2 * x[:, 0], epochs=15)).ok


def test_numbers_that_nothing_explains():
    x = np.random.default_rng(0).standard_normal((200, 5))
    y = np.random.default_rng(1).standard_normal(200)
    model = fnn.mlp(5, [1], 1, init="zeros", rng=0)
    trainer = fnn.Trainer(model, "mean_squared_error", rng=0, verbose=False)
    assert not diagnose(trainer.fit(x, y, epochs=20)).ok


def test_a_stretch_without_progress_is_a_note():
    """A deep sigmoid network that finds its way after a while."""
    history = fit(
        fnn.Adam(2e-3), hidden=[50] * 4, activation="sigmoid", init="xavier", epochs=30, seed=1
    )
    report = diagnose(history)
    assert report["plateau"].verdict == "note", report
    assert report["plateau"].words.startswith("from epoch 1 to ")
    assert "plateau" not in report.wrong


# -- edges, on numbers made up ---------------------------------------------------------------------


def test_nan_is_diverging():
    report = diagnose({"loss": [2.0, 1.5, math.nan]})
    assert report.wrong == ["diverging"]
    assert "epoch 3 is nan" in str(report)


def test_few_epochs_show_divergence_only():
    report = diagnose({"loss": [2.3, 2.3, 2.3], "accuracy": [0.1, 0.1, 0.1]})
    assert report.ok
    assert [finding.verdict for finding in report] == ["skipped"]
    assert diagnose({"loss": [1.0, 2.0]}).wrong == ["diverging"]


def test_without_validation_overfitting_is_not_judged():
    history = {"loss": [2.0 * 0.7**i for i in range(20)], "accuracy": [0.5] + [0.9] * 19}
    report = diagnose(history)
    assert report["generalization"].verdict == "skipped"
    assert report.ok


def test_a_rising_validation_loss_is_overfitting_and_a_level_one_is_not():
    loss = [2.0 * 0.8**i for i in range(30)]
    for rise, wrong in ((1.08, ["overfitting"]), (1.0, [])):
        val_loss = [2.0 * 0.8 ** min(i, 10) * rise ** max(i - 10, 0) for i in range(30)]
        assert diagnose({"loss": loss, "val_loss": val_loss}).wrong == wrong


def test_overfitting_is_judged_at_the_epoch_that_was_kept():
    """By epoch 11 of 30 the gap is 3 points, at the end 15."""
    epoch = np.arange(30)
    accuracy = np.minimum(0.5 + 0.05 * epoch, 1)
    history = {
        "loss": 2.0 * 0.8**epoch,
        "val_loss": 2.0 * 0.8 ** np.minimum(epoch, 10) * 1.08 ** np.maximum(epoch - 10, 0),
        "accuracy": accuracy,
        "val_accuracy": accuracy - np.where(epoch < 15, 0.03, 0.15),
    }
    report = diagnose(history)
    assert report.wrong == ["overfitting"]
    assert "fnn.EarlyStopping" in report["overfitting"].advice
    report = diagnose(history, kept=10)
    assert report.ok
    words = report["overfitting"].words
    assert report["overfitting"].verdict == "note"
    assert "3.0 points above that on validation rows at epoch 11, which was kept" in words
    assert "lowest at epoch 11" in words
    assert words.endswith("the model is that of epoch 11, which knows nothing of it")
    report = diagnose(history, kept=20)
    assert report.wrong == ["overfitting"]
    assert "EarlyStopping" not in report["overfitting"].advice
    assert diagnose(history, kept=29).wrong == ["overfitting"]


def test_the_kept_epoch_of_a_fit():
    stopper = fnn.EarlyStopping(patience=20)
    x, y = (part[:100] for part in TRAIN)
    trainer = fnn.Trainer(
        fnn.mlp(64, [100, 100], 10, rng=0), batch_size=20, callbacks=[stopper], verbose=False, rng=0
    )
    history = trainer.fit(x, y, epochs=60, validation_data=TEST)
    report = diagnose(history, kept=stopper.best_epoch)
    assert f"at epoch {stopper.best_epoch + 1}, which was kept" in report["overfitting"].words


@pytest.mark.parametrize(("kept", "error"), [(30, ValueError), (-1, ValueError), (2.5, TypeError)])
def test_an_epoch_that_cannot_have_been_kept(kept, error):
    with pytest.raises(error):
        diagnose({"loss": np.ones(30)}, kept=kept)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="history must be a History"):
        diagnose([1.0, 2.0])
    for history in ({}, {"loss": []}, fnn.History()):
        with pytest.raises(ValueError, match="at least one epoch"):
            diagnose(history)


def test_the_noise_of_dropout_is_no_rate_too_high():
    epoch = np.arange(60)
    fall = 0.1 + 0.9 * np.exp(-epoch / 5)
    noise = np.random.default_rng(0).normal(size=60)
    assert diagnose({"loss": fall + 0.02 * noise}).ok  # 20 % of what it ends at, 2 % of the first
    assert diagnose({"loss": fall + 0.06 * noise}).wrong == ["learning rate too high"]
