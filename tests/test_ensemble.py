"""Ensembles, and Monte-Carlo dropout."""

import os
import signal
import threading

import numpy as np
import pytest
from networks import blobs, numbers

import fastnn as fnn

X, Y = blobs(200)


def build(seed):
    model = fnn.mlp(8, [12], 3, batch_norm=True, dropout=0.2, rng=seed)
    return fnn.Trainer(model, batch_size=20, rng=seed)


def test_an_ensemble_is_the_mean_of_its_members():
    models = [fnn.mlp(8, [5], 3, rng=seed) for seed in range(3)]
    ensemble = fnn.Ensemble(models)
    probabilities = [model.predict_proba(X) for model in models]
    np.testing.assert_allclose(ensemble.predict_proba(X), np.mean(probabilities, 0), rtol=1e-6)
    np.testing.assert_allclose(ensemble.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        ensemble.predict(X),
        np.mean([model.predict(X) for model in models], 0),
        rtol=1e-4,
        atol=1e-6,
    )
    assert ensemble.predict(X).dtype == np.float32
    assert len(ensemble) == 3
    assert "Ensemble of 3" in repr(ensemble)


def test_members_are_what_each_would_be_alone(capsys):
    ensembles = [fnn.fit_ensemble(build, 4, X, Y, jobs, 0, epochs=2) for jobs in (1, 3)]
    for one, other in zip(ensembles[0].models, ensembles[1].models, strict=True):
        assert numbers(one) == numbers(other)
    assert len({model.seed for model in ensembles[0].models}) == 4
    assert [len(history["loss"]) for history in ensembles[0].histories] == [2] * 4
    assert capsys.readouterr().out == ""
    first = int(np.random.default_rng(0).spawn(4)[0].integers(2**32))
    alone = build(first)
    alone.callbacks = []
    alone.fit(X, Y, epochs=2)
    assert numbers(alone.model) == numbers(ensembles[1].models[0])


def test_the_mean_beats_its_members_where_they_err_apart():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 20))
    y = np.sin(2 * x[:, :1]) + 0.5 * rng.standard_normal((300, 1))

    def regression(seed):
        model = fnn.mlp(20, [40], 1, rng=seed)
        return fnn.Trainer(model, "mean_squared_error", fnn.Adam(1e-2), batch_size=20, rng=seed)

    ensemble = fnn.fit_ensemble(regression, 5, x[:150], y[:150], rng=0, epochs=10)
    errors = [np.mean((model.predict(x[150:]) - y[150:]) ** 2) for model in ensemble.models]
    # By Jensen's inequality never above their mean; here below each.
    assert np.mean((ensemble.predict(x[150:]) - y[150:]) ** 2) < min(errors)


def test_a_member_that_fails_ends_the_others():
    running = threading.Event()

    def one_fails(seed):
        if running.is_set():
            raise ZeroDivisionError
        running.set()
        return build(seed)

    with pytest.raises((ZeroDivisionError, InterruptedError)):
        fnn.fit_ensemble(one_fails, 2, X, Y, jobs=2, rng=0, epochs=10**6)


def test_ctrl_c_ends_the_training():
    def then_interrupted(seed):
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        return build(seed)

    with pytest.raises(KeyboardInterrupt):
        fnn.fit_ensemble(then_interrupted, 1, X, Y, rng=0, epochs=10**6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fnn.Ensemble([]), ValueError, "at least one"),
        (lambda: fnn.Ensemble([3]), TypeError, "models must hold models"),
        (
            lambda: fnn.Ensemble([fnn.mlp(8, [], 3), fnn.mlp(7, [], 3)]),
            ValueError,
            r"\(\(8,\), 3\) and \(\(7,\), 3\)",
        ),
        (lambda: fnn.fit_ensemble(build, 0, X, Y), ValueError, "members"),
        (lambda: fnn.fit_ensemble(3, 1, X, Y), TypeError, "build must be a function"),
        (lambda: fnn.fit_ensemble(lambda s: None, 1, X, Y), TypeError, "return a Trainer"),
        (lambda: fnn.fit_ensemble(build, 1, X, Y, jobs=0), ValueError, "jobs"),
        (lambda: fnn.mc_predict(fnn.mlp(8, [4], 3), X), ValueError, "no Dropout"),
        (lambda: fnn.mc_predict(None, X), TypeError, "Sequential"),
        (lambda: fnn.mc_predict(build(0).model, X, 0), ValueError, "samples"),
        (lambda: fnn.mc_predict(build(0).model, X[:, :2]), ValueError, "x must have shape"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# -- Monte-Carlo dropout ---------------------------------------------------------------------------


def test_mean_and_spread_of_a_linear_model_are_those_of_the_formula(backend, dtype):
    """Behind dropout, a linear model's mean is its inference, its variance w² x² r / (1 - r)."""
    ratio, samples = 0.3, 2000
    layers = [fnn.Dropout(ratio), fnn.Affine(3)]
    model = fnn.Sequential(layers, 8, rng=0, dtype=dtype, backend=backend)
    x = X[:20].astype(dtype)
    mean, std = fnn.mc_predict(model, x, samples, rng=0)
    assert mean.dtype == std.dtype == dtype
    expected = np.sqrt(ratio / (1 - ratio) * x**2 @ model.params["affine1.w"] ** 2)
    np.testing.assert_allclose(std, expected, rtol=0.1)
    off = np.abs(mean - model.predict(x)) / (expected / np.sqrt(samples))
    assert off.max() < 4.5  # 60 numbers, in standard errors


def test_probabilities_of_the_samples():
    model = build(0).model
    mean, std = fnn.mc_predict_proba(model, X, 30, rng=0)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)
    assert (std > 0).any()
    assert (std <= 0.5).all()
    np.testing.assert_array_equal(mean, fnn.mc_predict_proba(model, X, 30, rng=0)[0])
    assert not np.array_equal(mean, fnn.mc_predict_proba(model, X, 30, rng=1)[0])
    np.testing.assert_array_equal(fnn.mc_predict_proba(model, X, 1, rng=0)[1], 0)


def test_a_single_output_has_no_probabilities_of_classes():
    model = fnn.Sequential([fnn.Dropout(0.5), fnn.Affine(1)], 8, rng=0)
    with pytest.raises(ValueError, match="single output"):
        fnn.mc_predict_proba(model, X)


def test_probabilities_of_yes_or_no():
    model = fnn.Sequential([fnn.Dropout(0.5), fnn.Affine(1)], 8, rng=0)
    scores, _ = fnn.mc_predict(model, X, 1, rng=0)
    model.output_activation = "sigmoid"
    probabilities, _ = fnn.mc_predict_proba(model, X, 1, rng=0)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-scores)), rtol=1e-5)


def test_the_model_stays_as_it_is():
    trainer = build(0)
    trainer.callbacks = []
    trainer.fit(X, Y, epochs=1)
    before, step = numbers(trainer.model), trainer.model.step
    fnn.mc_predict(trainer.model, X, 3)
    assert numbers(trainer.model) == before
    assert trainer.model.step == step


def test_rows_of_many_chunks_do_not_share_their_masks():
    model = fnn.Sequential([fnn.Dropout(0.5), fnn.Affine(1)], 8, rng=0)
    mean, _ = fnn.mc_predict(model, np.ones((2048, 8)), samples=1, rng=0)
    assert not np.array_equal(mean[:1024], mean[1024:])
    assert mean.std() > 0
