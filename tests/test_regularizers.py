"""Penalties on the weights: their value, their gradient, and what they leave alone."""

import numpy as np
import pytest
from networks import blobs

import fastnn as fnn
from fastnn.regularizers import REGULARIZERS

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}

# Penalty of w and its gradient.
FORMULAS = {
    "l1": (fnn.L1(0.3), lambda w: 0.3 * np.abs(w).sum(), lambda w: 0.3 * np.sign(w)),
    "l2": (fnn.L2(0.3), lambda w: 0.15 * (w**2).sum(), lambda w: 0.3 * w),
    "elastic_net": (
        fnn.ElasticNet(0.2, 0.7),
        lambda w: 0.2 * np.abs(w).sum() + 0.35 * (w**2).sum(),
        lambda w: 0.2 * np.sign(w) + 0.7 * w,
    ),
}


def network(backend=None, dtype="float64", first=None, second=None):
    """Two affine layers with regularizers of their own; no parameter is zero."""
    layers = [fnn.Affine(5, regularizer=first), fnn.BatchNorm(), fnn.Tanh()]
    layers.append(fnn.Affine(3, regularizer=second))
    model = fnn.Sequential(layers, input_shape=8, rng=0, dtype=dtype, backend=backend)
    for view in model.params.values():
        view += 0.1
    return model


def gradients(model, regularizer=None):
    return fnn.Trainer(model, regularizer=regularizer, verbose=False).gradients(*blobs(30))


def check_added(model, plain, penalized, formulas, dtype="float64"):
    """What regularizing added: these formulas' values and gradients, and no more."""
    weights = {name: model.params[name].astype(float) for name in formulas}
    penalty = sum(formulas[name][1](w) for name, w in weights.items())
    assert penalized[0] - plain[0] == pytest.approx(penalty, rel=10 * TOLERANCE[dtype])
    for name, gradient in penalized[1].items():
        added = gradient.astype(float) - plain[1][name]
        if name in formulas:
            expected = formulas[name][2](weights[name])
            np.testing.assert_allclose(added, expected, atol=TOLERANCE[dtype])
        else:
            np.testing.assert_array_equal(added, 0)


@pytest.mark.parametrize("kind", FORMULAS)
def test_on_the_whole_model(kind, backend, dtype):
    model = network(backend, dtype)
    plain = gradients(model)
    penalized = gradients(model, FORMULAS[kind][0])
    check_added(
        model, plain, penalized, dict.fromkeys(["affine1.w", "affine2.w"], FORMULAS[kind]), dtype
    )


def test_every_regularizer_is_tested():
    assert set(FORMULAS) == set(REGULARIZERS)


def test_a_layers_own_regularizer_comes_before_the_trainers(backend):
    plain = gradients(network(backend))
    formulas = {"affine1.w": FORMULAS["l1"], "affine2.w": FORMULAS["l2"]}
    model = network(backend, first=FORMULAS["l1"][0])
    check_added(model, plain, gradients(model, FORMULAS["l2"][0]), formulas)
    model = network(backend, first=FORMULAS["l1"][0], second=FORMULAS["l2"][0])
    check_added(model, plain, gradients(model), formulas)
    check_added(model, plain, gradients(model, FORMULAS["elastic_net"][0]), formulas)


def test_a_layer_without_one_stays_free(backend):
    model = network(backend, second=FORMULAS["l2"][0])
    check_added(model, gradients(network(backend)), gradients(model), {"affine2.w": FORMULAS["l2"]})


def test_a_strength_of_zero_frees_a_layer_from_the_trainers(backend):
    plain = gradients(network(backend))
    model = network(backend, first=fnn.L2(0))
    check_added(model, plain, gradients(model, FORMULAS["l2"][0]), {"affine2.w": FORMULAS["l2"]})


def test_weights_of_zero_have_no_gradient(backend):
    model = network(backend)
    model.params["affine1.w"][:] = 0
    plain, penalized = gradients(model), gradients(model, fnn.ElasticNet(1.0, 1.0))
    np.testing.assert_array_equal(penalized[1]["affine1.w"], plain[1]["affine1.w"])


def test_a_frozen_layer_counts_in_the_loss_and_does_not_move(backend):
    """The loss must not jump when a layer is frozen; the gradient is nobody's."""
    model = network(backend)
    free, _ = gradients(model, fnn.L2(0.3))
    model.layers[0].trainable = False
    frozen, grads = gradients(model, fnn.L2(0.3))
    assert frozen == pytest.approx(free, rel=1e-14)
    assert "affine1.w" not in grads


def test_evaluate_and_history_include_the_penalty(backend):
    x, y = blobs(60)
    model = network(backend)
    plain = fnn.Trainer(model, verbose=False)
    trainer = fnn.Trainer(model, regularizer=fnn.L2(0.3), verbose=False, batch_size=60, rng=0)
    penalty = 0.15 * sum((model.params[f"affine{i}.w"] ** 2).sum() for i in (1, 2))
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(plain.evaluate(x, y)["loss"] + penalty)
    assert trainer.evaluate(x, y)["accuracy"] == plain.evaluate(x, y)["accuracy"]
    expected, _ = trainer.gradients(x, y)
    history = trainer.fit(x, y, epochs=1, validation_data=(x, y))
    assert history["loss"][0] == pytest.approx(expected)
    assert history["val_loss"][0] == pytest.approx(trainer.evaluate(x, y)["loss"])


def test_decay_shrinks_and_l1_empties_weights_nobody_needs(rng):
    """Of 20 features, only two carry the class."""
    x = rng.standard_normal((400, 20))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)

    def weights(regularizer):
        model = fnn.mlp(20, [], 2, rng=0)
        trainer = fnn.Trainer(
            model, optimizer=fnn.Adam(0.01), regularizer=regularizer, rng=0, verbose=False
        )
        trainer.fit(x, y, epochs=100)
        return np.abs(model.params["affine1.w"]).max(axis=1)

    free, sparse, decayed = weights(None), weights(fnn.L1(0.02)), weights(fnn.L2(0.1))
    assert free[2:].mean() > 0.1
    assert sparse[2:].max() < 0.05 < 0.3 < sparse[:2].min()
    assert decayed.sum() < 0.5 * free.sum()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.L1(-1e-4), "strength"),
        (lambda: fnn.L2(float("inf")), "strength"),
        (lambda: fnn.L2("1e-4"), "strength"),
        (lambda: fnn.L2(None), "strength"),
        (lambda: fnn.ElasticNet(l1=-1), "l1"),
        (lambda: fnn.ElasticNet(l2=float("nan")), "l2"),
        (lambda: fnn.ElasticNet(l2=True), "l2"),
        (lambda: fnn.Trainer(network(), regularizer=1e-4), "regularizer"),
        (lambda: fnn.Trainer(network(), regularizer="l2"), "regularizer"),
        (lambda: fnn.Trainer(network(), regularizer=fnn.L2), "regularizer"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=f"{message} must be"):
        make()
