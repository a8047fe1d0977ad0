"""Each check of `fnn.lab.sanity_check` finds what it is for, and a sound start passes all."""

import math
import os

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn.lab import Finding, Report, sanity_check

CHECKS = ["input", "labels", "initial loss", "penalty", "by heart", "shuffled labels"]


@pytest.fixture(scope="module")
def digits():
    return fnn.data.load_digits()[0]


def classifier(**settings):
    return fnn.mlp(64, [50, 50], 10, rng=0, **settings)


def verdicts(report):
    return {finding.name: finding.verdict for finding in report}


@pytest.mark.parametrize(
    ("settings", "trainer_settings"),
    [
        ({}, {}),
        ({"batch_norm": True, "dropout": 0.5}, {"regularizer": fnn.L2(1e-4)}),
        ({"activation": "tanh", "init": "xavier", "dtype": "float64"}, {"batch_size": 7}),
        ({"activation": "sigmoid", "init": "xavier"}, {"regularizer": fnn.L1(1e-5)}),
    ],
)
def test_a_sound_start_passes_every_check(digits, settings, trainer_settings):
    report = sanity_check(classifier(**settings), *digits, **trainer_settings)
    assert verdicts(report) == dict.fromkeys(CHECKS, "right"), report
    assert report.ok
    assert str(report).startswith("Ready to train.\nright    input: ")
    loss = report["initial loss"].numbers
    assert loss["expected"] == pytest.approx(math.log(10))
    assert loss["loss"] == pytest.approx(math.log(10), abs=1.2)
    assert report["by heart"].numbers["accuracy"] == 1


def test_nothing_of_the_model_or_trainer_changes():
    x, y = blobs(200)
    model = every_layer()
    trainer = trainer_of(model, regularizer=fnn.L2(0.1))
    trainer.fit(x, y, epochs=1)
    before = numbers(model), model.step, trainer.step, model.flat_grads.tobytes(), repr(model)
    state = trainer.rng.bit_generator.state
    settings = [(layer.regularizer, getattr(layer, "ratio", None)) for layer in model.layers]
    sanity_check(trainer, x, y)
    assert (
        numbers(model), model.step, trainer.step, model.flat_grads.tobytes(), repr(model)
    ) == before  # fmt: skip
    assert trainer.rng.bit_generator.state == state
    assert [(la.regularizer, getattr(la, "ratio", None)) for la in model.layers] == settings
    assert len(trainer.history.epochs) == 1


def test_the_initial_loss_is_that_of_the_first_batch_without_penalty(digits):
    x, y = (part[:500] for part in digits)
    model = classifier(dtype="float64")
    report = sanity_check(model, x, y, regularizer=fnn.L2(0.01))
    plain, _ = fnn.Trainer(model, verbose=False).gradients(x, y)
    penalized, _ = fnn.Trainer(model, regularizer=fnn.L2(0.01), verbose=False).gradients(x, y)
    assert report["initial loss"].numbers["loss"] == pytest.approx(plain)
    assert report["penalty"].numbers == pytest.approx({"loss": plain, "with_penalty": penalized})


# -- what is wrong, and only that ------------------------------------------------------------------


def test_nan_is_found_and_counted(digits):
    x = digits[0].copy()
    x[[3, 700], 5] = np.nan, -np.inf
    report = sanity_check(classifier(), x, digits[1])
    assert report.wrong == ["input"]
    assert "2 of 1438 rows, the first of them row 3" in report["input"].words
    assert set(verdicts(report).values()) == {"wrong", "right", "skipped"}


@pytest.mark.parametrize(
    ("scale", "shift", "words"),
    [(255, 0, "too large"), (1, 1000, "too large"), (1 / 255**2, 0, "hardly anything")],
)
def test_scales_that_weights_do_not_expect(digits, scale, shift, words):
    report = sanity_check(classifier(), digits[0] * scale + shift, digits[1])
    assert "input" in report.wrong
    assert words in report["input"].words
    assert "tandardize" in report["input"].advice
    assert not report.ok


def test_bytes_are_judged_as_they_are_read(digits):
    x, y = digits
    report = sanity_check(classifier(), np.round(x * 255).astype(np.uint8), y)
    assert report.ok, report
    assert report["input"].numbers["largest"] == pytest.approx(1)


def test_constant_features_are_counted(digits):
    x, y = digits
    constant = int((x == x[0]).all(axis=0).sum())
    assert constant > 0
    report = sanity_check(classifier(), x, y)
    assert f"{constant} of 64 features never vary" in report["input"].words
    nothing = sanity_check(classifier(), np.ones_like(x), y)
    assert {"input", "by heart"} <= set(nothing.wrong)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda y: y + 1, "subtract 1"),
        (lambda y: y + 5, "15 outputs"),
        (lambda y: y.astype(float), "y.astype(int)"),
        (lambda y: y.astype(str), "return_inverse"),
        (lambda y: y[:-1], "Number the classes"),
        (lambda y: np.eye(11)[y], "Trainer.fit"),
    ],
)
def test_labels_that_the_loss_refuses(digits, change, advice):
    x, y = digits
    report = sanity_check(classifier(), x, change(y))
    assert report.wrong == ["labels"]
    assert advice in report["labels"].advice
    assert [report[name].verdict for name in CHECKS[2:]] == ["skipped"] * 4


def test_balance_of_the_classes(digits):
    x, y = digits
    rare = np.flatnonzero((y != 3) | (np.cumsum(y == 3) <= 10))
    report = sanity_check(classifier(), x[rare], y[rare])
    assert report["labels"].verdict == "note"
    assert report["labels"].numbers["least"] == 10
    assert "class_weight" in report["labels"].advice
    assert report.ok
    missing = sanity_check(classifier(), x[y != 3], y[y != 3])
    assert "no row is of class 3" in missing["labels"].words
    assert "labels" in sanity_check(classifier(), x, np.zeros_like(y)).wrong


def test_a_commonest_class_alone_is_no_knowledge(digits):
    """19 of 20 rows are right by luck: that is not told better than shuffled labels."""
    x, y = digits
    rare = (np.random.default_rng(0).random(len(y)) < 0.05).astype(int)
    model = fnn.mlp(64, [50], 2, rng=0)
    assert "shuffled labels" in sanity_check(model, x, rare).wrong
    report = sanity_check(model, x, (y == 0).astype(int))
    assert report["shuffled labels"].verdict == "right", report


def test_weights_too_large(digits):
    report = sanity_check(classifier(init=1.0), *digits)
    assert report.wrong == ["initial loss"]
    assert report["initial loss"].numbers["loss"] > 10


def test_every_cross_entropy_has_a_first_loss(digits):
    x, y = digits
    layers = [fnn.Affine(50), fnn.ReLU(), fnn.Affine(10), fnn.Softmax()]
    textbook = fnn.Sequential(layers, 64, rng=0)
    report = sanity_check(textbook, x, y, loss="cross_entropy")
    assert verdicts(report) == dict.fromkeys(CHECKS, "right"), report
    assert report["initial loss"].numbers["expected"] == pytest.approx(math.log(10))
    labels = np.stack([y % 2, y > 4], axis=1).astype(float)
    report = sanity_check(fnn.mlp(64, [50], 2, rng=0), x, labels, loss="binary_cross_entropy")
    assert report.ok, report
    assert report["initial loss"].numbers["expected"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (fnn.Softmax, "softmax_cross_entropy"),
        (fnn.Sigmoid, "softmax_cross_entropy"),
        (fnn.Sigmoid, "binary_cross_entropy"),
    ],
)
def test_probabilities_for_a_loss_that_takes_scores(digits, last, loss):
    x, y = digits
    y = np.eye(10)[y] if loss == "binary_cross_entropy" else y
    model = fnn.Sequential([fnn.Affine(30), fnn.ReLU(), fnn.Affine(10), last()], 64, rng=0)
    report = sanity_check(model, x, y, loss=loss)
    assert "initial loss" in report.wrong
    assert f"{model.layers[-1].name} has made them already" in report["initial loss"].words


def test_an_answer_among_the_features(digits):
    """A first loss far below log C: here weights that read the label."""
    x, y = np.eye(10)[digits[1]], digits[1]
    model = fnn.Sequential([fnn.Affine(10)], 10, rng=0)
    model.params["affine1.w"][:] = 3 * np.eye(10)
    assert "initial loss" in sanity_check(model, x, y).wrong


def test_zero_weights(digits):
    report = sanity_check(classifier(init="zeros"), *digits)
    assert report.wrong == ["penalty", "by heart"]
    assert report["shuffled labels"].verdict == "skipped"


def test_a_penalty_of_strength_zero(digits):
    report = sanity_check(classifier(), *digits, regularizer=fnn.L2(0.0))
    assert report.wrong == ["penalty"]


def test_a_penalty_that_drowns_the_data(digits):
    report = sanity_check(classifier(), *digits, regularizer=fnn.L2(1.0))
    assert report["penalty"].verdict == "note"
    assert report.ok


def test_what_cannot_be_learned_by_heart(digits):
    """Five layers of sigmoid and weights so small that no gradient gets through."""
    model = fnn.mlp(64, [50] * 5, 10, activation="sigmoid", init=0.01, rng=0)
    report = sanity_check(model, *digits)
    assert report.wrong == ["by heart"]
    frozen = classifier()
    for layer in frozen.layers:
        layer.trainable = False
    with pytest.warns(UserWarning, match="nothing to train"):
        assert "by heart" in sanity_check(frozen, *digits).wrong


class WrongGradient(fnn.Layer):
    """Passes the gradient on with the wrong sign."""

    kind = "wrong_gradient"

    def forward(self, x, train=False, step=0):
        return x

    def backward(self, dout, input_gradient=True):
        return -dout


def test_a_layer_with_a_wrong_gradient(digits):
    layers = [fnn.Affine(10), WrongGradient()]
    model = fnn.Sequential(layers, 64, rng=0)
    assert "by heart" in sanity_check(model, *digits).wrong


def test_equal_rows_with_different_labels():
    x = np.repeat([[0.0, 1.0], [1.0, 0.0]], 50, axis=0)
    y = np.tile([0, 1], 50)
    report = sanity_check(fnn.mlp(2, [8], 2, rng=0), x, y)
    assert "equal rows have different labels" in report["by heart"].words


def test_shuffled_labels(digits):
    x, y = digits
    report = sanity_check(classifier(), x, np.random.default_rng(1).permutation(y))
    assert report.wrong == ["shuffled labels"]


def test_few_rows_skip_what_needs_many():
    x, y = blobs(30)
    report = sanity_check(fnn.mlp(8, [20], 3, rng=0), x, y)
    assert report["shuffled labels"].verdict == "skipped"
    assert report["by heart"].verdict == "right"
    assert sanity_check(fnn.mlp(8, [20], 3, rng=0), x[:1], y[:1])["by heart"].verdict == "skipped"


def test_regression(digits):
    x, _ = digits
    y = x[:, 20] + x[:, 30] * x[:, 40]
    report = sanity_check(fnn.mlp(64, [50], 1, rng=0), x, y, loss="mean_squared_error")
    assert report.ok
    assert report["initial loss"].verdict == "skipped"
    assert "accuracy" not in report["by heart"].numbers
    noise = np.random.default_rng(0).permutation(y)
    wrong = sanity_check(fnn.mlp(64, [50], 1, rng=0), x, noise, loss="mean_squared_error")
    assert wrong.wrong == ["shuffled labels"]
    scaled = sanity_check(fnn.mlp(64, [50], 1, rng=0), x, 1e6 * y, loss="mean_squared_error")
    assert "labels" in scaled.wrong


def test_a_trained_model_has_no_initial_loss(digits):
    trainer = fnn.Trainer(classifier(), rng=0, verbose=False)
    trainer.fit(*digits, epochs=1)
    report = sanity_check(trainer, *digits)
    assert report["initial loss"].verdict == "skipped"
    assert report.ok


def test_soft_labels(digits):
    x, y = digits
    assert sanity_check(classifier(), x, np.eye(10)[y]).ok


def test_same_seed_same_report(digits):
    assert str(sanity_check(classifier(), *digits)) == str(sanity_check(classifier(), *digits))


def test_bad_arguments_are_named(digits):
    with pytest.raises(TypeError, match="trainer must be a Trainer or a model; got NoneType"):
        sanity_check(None, *digits)
    with pytest.raises(ValueError, match="x must have shape"):
        sanity_check(classifier(), digits[0][:, :5], digits[1])
    with pytest.raises(ValueError, match="loss must be one of"):
        sanity_check(classifier(), *digits, loss="mse")


@pytest.mark.skipif("FASTNN_DATA" not in os.environ, reason="MNIST is not here")
def test_mnist_as_bytes_passes():
    (x, y), _ = fnn.data.load_mnist(normalize=False)
    assert sanity_check(fnn.mlp(784, [100] * 6, 10, rng=0), x, y).ok


# -- the report ------------------------------------------------------------------------------------


def test_a_report_in_words():
    report = Report(
        [
            Finding("a", "right", "as it should be"),
            Finding("b", "wrong", "word " * 30, "do this"),
            Finding("c", "note", "look"),
        ],
        "Summary.",
    )
    lines = repr(report).splitlines()
    assert lines[:2] == ["Summary.", "right    a: as it should be"]
    assert lines[2].startswith("WRONG    b: word")
    assert max(map(len, lines)) <= 96
    assert "         -> do this" in lines
    assert (report.ok, report.wrong, len(report)) == (False, ["b"], 3)
    assert "c" in report
    with pytest.raises(KeyError, match="no finding 'd'; there are: a, b, c"):
        report["d"]
