"""Max-norm, and clipped gradients: what they bound, what they leave alone, and in which order."""

import numpy as np
import pytest
from networks import blobs, trainer_of

import fastnn as fnn
from fastnn.constraints import CONSTRAINTS

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def network(backend=None, dtype="float64", first=None, second=None):
    """Two affine layers with constraints of their own."""
    layers = [fnn.Affine(5, constraint=first), fnn.BatchNorm(), fnn.Tanh()]
    layers.append(fnn.Affine(3, constraint=second))
    return fnn.Sequential(layers, input_shape=8, rng=0, dtype=dtype, backend=backend)


def one_step(model, **settings):
    """The gradients and the parameters before one step of SGD, and the trainer after it."""
    x, y = blobs(30)
    trainer = fnn.Trainer(
        model, optimizer=fnn.SGD(0.5), batch_size=30, rng=0, verbose=False, **settings
    )
    _, grads = trainer.gradients(x, y)
    before = {name: view.copy() for name, view in model.params.items()}
    trainer.fit(x, y, epochs=1, shuffle=False)
    return grads, before, trainer


def steps(model, before):
    """What the update subtracted, over the rate: the gradient that it saw."""
    return {name: (before[name] - view) / 0.5 for name, view in model.params.items()}


def column_norms(w):
    return np.linalg.norm(w.astype(float), axis=0)


# -- max-norm --------------------------------------------------------------------------------------


def bounded(w, limit):
    """The formula, column by column."""
    norms = column_norms(w)
    return np.where(norms > limit, w * (limit / norms), w)


def test_max_norm_after_an_update(executor, dtype):
    model = network(executor.backend, dtype)
    grads, before, _ = one_step(model, engine=executor.engine, constraint=fnn.MaxNorm(1.2))
    free = {name: before[name] - 0.5 * grads[name] for name in before}
    for name, view in model.params.items():
        expected = bounded(free[name], 1.2) if name.endswith(".w") else free[name]
        np.testing.assert_allclose(view, expected, rtol=0, atol=10 * TOLERANCE[dtype])
    norms = np.concatenate([column_norms(free[f"affine{i}.w"]) for i in (1, 2)])
    assert 0 < (norms > 1.2).sum() < len(norms)  # some are bound, some are not


def test_max_norm_holds_through_training(executor):
    x, y = blobs(60)
    model = network(executor.backend)
    trainer = trainer_of(model, executor, lr=0.1, constraint=fnn.MaxNorm(0.8))
    history = trainer.fit(x, y, epochs=10)
    norms = np.concatenate([column_norms(model.params[f"affine{i}.w"]) for i in (1, 2)])
    assert norms.max() <= 0.8 * (1 + 1e-12)
    assert (norms > 0.79).any()
    assert history["loss"][-1] < history["loss"][0]
    assert np.abs(model.params["batchnorm1.gamma"]).max() > 0.8  # no weights: not bound


def test_a_layers_own_constraint_comes_before_the_trainers(executor):
    model = network(executor.backend, first=fnn.MaxNorm(0.1))
    one_step(model, engine=executor.engine, constraint=fnn.MaxNorm(0.4))
    np.testing.assert_allclose(column_norms(model.params["affine1.w"]), 0.1)
    np.testing.assert_allclose(column_norms(model.params["affine2.w"]), 0.4)
    model = network(executor.backend, second=fnn.MaxNorm(0.1))
    before = column_norms(model.params["affine1.w"])
    one_step(model, engine=executor.engine)
    np.testing.assert_allclose(column_norms(model.params["affine2.w"]), 0.1)
    assert (column_norms(model.params["affine1.w"]) > 0.5 * before).all()


def test_a_frozen_layer_is_not_bound(executor):
    model = network(executor.backend)
    model.layers[0].trainable = False
    before = model.params["affine1.w"].copy()
    one_step(model, engine=executor.engine, constraint=fnn.MaxNorm(0.1))
    np.testing.assert_array_equal(model.params["affine1.w"], before)
    np.testing.assert_allclose(column_norms(model.params["affine2.w"]), 0.1)


def test_weights_of_any_shape_are_bound_along_their_last_axis(backend, rng):
    kernels = network(backend).backend.kernels
    w = rng.standard_normal((3, 4, 5))
    flat, vector = w.reshape(12, 5).copy(), w[0, 0].copy()
    fnn.MaxNorm(0.5).apply(kernels, w)
    np.testing.assert_allclose(w.reshape(12, 5), bounded(flat, 0.5))
    kept = vector.copy()
    fnn.MaxNorm(0.5).apply(kernels, vector)
    np.testing.assert_allclose(vector, np.clip(kept, -0.5, 0.5))


def test_nan_stays_visible(backend):
    kernels = network(backend).backend.kernels
    w = np.ones((3, 3))
    w[1, 1] = np.nan
    with np.errstate(invalid="ignore"):
        fnn.MaxNorm(0.5).apply(kernels, w)
    assert np.isnan(w[1, 1])
    np.testing.assert_allclose(column_norms(w)[[0, 2]], 0.5)


def test_constraints_are_saved_with_the_model(tmp_path):
    model = network(first=fnn.MaxNorm(2.5))
    model.save(tmp_path / "model.fnn")
    twin = fnn.load(tmp_path / "model.fnn")
    assert repr(twin.layers[0].constraint) == "MaxNorm(limit=2.5)"
    assert twin.layers[3].constraint is None
    assert set(CONSTRAINTS) == {"max_norm"}
    # Files of before there were constraints say nothing of them.
    older = {"units": 3, "init": "he", "regularizer": None}
    assert fnn.Affine.from_settings(older).constraint is None


def test_a_constraint_of_ones_own(tmp_path):
    class NonNegative(fnn.Constraint):
        kind = "non_negative"

        def apply(self, kernels, w):
            np.maximum(w, 0, out=w)

    model = network(first=NonNegative())
    one_step(model)
    assert model.params["affine1.w"].min() == 0
    assert model.params["affine2.w"].min() < 0
    with pytest.raises(
        ValueError, match="affine1 has a NonNegative, which model files do not know"
    ):
        model.save(tmp_path / "model.fnn")


# -- clipped gradients -----------------------------------------------------------------------------


def test_the_norm_of_all_gradients_together_is_bound(executor, dtype):
    """g * min(1, limit / (norm + 1e-6)), with the gradients of the penalty in the norm."""
    for limit in (0.3, 100.0):
        model = network(executor.backend, dtype)
        grads, before, _ = one_step(
            model, engine=executor.engine, clip_norm=limit, regularizer=fnn.L2(0.5)
        )
        norm = np.sqrt(sum(np.square(g.astype(float)).sum() for g in grads.values()))
        factor = min(1, limit / (norm + 1e-6))
        assert (factor < 1) == (limit == 0.3)
        for name, step in steps(model, before).items():
            np.testing.assert_allclose(
                step, factor * grads[name], rtol=0, atol=20 * TOLERANCE[dtype]
            )


def test_each_value_is_bound(executor, dtype):
    model = network(executor.backend, dtype)
    grads, before, _ = one_step(model, engine=executor.engine, clip_value=0.02)
    for name, step in steps(model, before).items():
        expected = np.clip(grads[name], -0.02, 0.02)
        np.testing.assert_allclose(step, expected, rtol=0, atol=20 * TOLERANCE[dtype])
    assert any((np.abs(g) > 0.02).any() for g in grads.values())


def test_values_come_before_the_norm(executor):
    model = network(executor.backend)
    grads, before, _ = one_step(model, engine=executor.engine, clip_norm=0.05, clip_value=0.02)
    clipped = {name: np.clip(g, -0.02, 0.02) for name, g in grads.items()}
    norm = np.sqrt(sum(np.square(g).sum() for g in clipped.values()))
    assert norm > 0.05
    for name, step in steps(model, before).items():
        np.testing.assert_allclose(step, clipped[name] * 0.05 / (norm + 1e-6), atol=1e-13)


def test_frozen_gradients_do_not_count(executor):
    """Also where what lies in their place is left from before the layer was frozen."""
    model = network(executor.backend)
    fnn.Trainer(model, verbose=False).gradients(*blobs(30))
    model.layers[3].trainable = False
    model.grads["affine2.w"][:] = 1e6
    grads, before, _ = one_step(model, engine=executor.engine, clip_norm=0.3)
    assert "affine2.w" not in grads
    norm = np.sqrt(sum(np.square(g).sum() for g in grads.values()))
    for name in grads:
        np.testing.assert_allclose(
            steps(model, before)[name], grads[name] * 0.3 / (norm + 1e-6), atol=1e-13
        )


def test_clipping_tames_a_rate_that_diverges(backend):
    x, y = blobs(100)
    y = 100.0 * y[:, None]

    def fit(**settings):
        model = fnn.mlp(8, [10], 1, rng=0, backend=backend)
        trainer = trainer_of(model, optimizer=fnn.SGD(0.05), loss="mean_squared_error", **settings)
        return trainer.fit(x, y, epochs=20)["loss"]

    with pytest.raises(fnn.DivergenceError):
        fit()
    clipped = fit(clip_norm=10.0)
    assert clipped[-1] < 0.5 * clipped[0]


def test_a_gradient_that_is_not_finite_is_not_hidden(backend):
    """Neither becomes a bound: the weights turn NaN, and the epoch ends in a DivergenceError."""

    class Broken(fnn.MeanSquaredError):
        def value(self, kernels, out, targets, weights, dout):
            value = super().value(kernels, out, targets, weights, dout)
            if dout is not None:
                dout[0] = np.nan
            return value

    x, y = blobs(20)
    for settings in ({"clip_norm": 1.0}, {"clip_value": 1.0}):
        trainer = trainer_of(fnn.mlp(8, [], 1, rng=0, backend=backend), loss=Broken(), **settings)
        with pytest.raises(fnn.DivergenceError):
            trainer.fit(x, y[:, None], epochs=1)


# -- what is refused -------------------------------------------------------------------------------


def test_bounds_do_not_change_the_engine():
    engine = fnn.Trainer(network(), verbose=False).engine
    for settings in ({"clip_norm": 1.0}, {"clip_value": 1.0}, {"constraint": fnn.MaxNorm()}):
        assert fnn.Trainer(network(), verbose=False, **settings).engine == engine
    assert fnn.Trainer(network(first=fnn.MaxNorm()), verbose=False).engine == engine


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.MaxNorm(0), r"limit must be a finite number in \(0, inf\); got 0"),
        (lambda: fnn.MaxNorm(-1.0), "limit must be"),
        (lambda: fnn.MaxNorm("3"), "limit must be"),
        (lambda: fnn.Affine(3, constraint=3.0), "constraint must be"),
        (lambda: fnn.Affine(3, constraint=fnn.MaxNorm), "constraint must be"),
        (lambda: fnn.Trainer(network(), constraint=3.0), "constraint must be"),
        (lambda: fnn.Trainer(network(), constraint="max_norm"), "constraint must be"),
        (
            lambda: fnn.Trainer(network(), clip_norm=0),
            r"clip_norm must be a finite number in \(0, inf\)",
        ),
        (lambda: fnn.Trainer(network(), clip_norm=-1.0), "clip_norm must be"),
        (lambda: fnn.Trainer(network(), clip_norm=True), "clip_norm must be"),
        (lambda: fnn.Trainer(network(), clip_value=float("nan")), "clip_value must be"),
        (lambda: fnn.Trainer(network(), clip_value="1"), "clip_value must be"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
