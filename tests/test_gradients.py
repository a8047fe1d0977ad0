"""trainer.gradients of whole networks against differences of the loss, every parameter, float64.

The gradient of the kernels is checked elsewhere; here it is the way through a network: the order of
the layers, what is handed on, penalties, weights, masks and batch statistics.
"""

import math

import numpy as np
import pytest
from networks import every_layer

import fastnn as fnn

RELATIVE = 1e-6
# What rounding leaves of a difference of losses near 1, divided by the step: it decides only for
# gradients that are zero, such as that of a bias before BatchNorm.
ABSOLUTE = 2e-11
STEP = 1e-4


def difference(f, values, i):
    """df / d values[i] by central differences of fourth order, whose error shrinks as STEP^4."""
    kept = values[i]
    total = 0.0
    for distance, factor in ((1, 8), (2, -1)):
        for sign in (1, -1):
            values[i] = kept + sign * distance * STEP
            total += sign * factor * f()
    values[i] = kept
    return total / (12 * STEP)


def kink_distances(model, x):
    """How far each input of a layer with a kink is from it, in training mode."""
    x = np.ascontiguousarray(x)
    for layer in model.layers:
        if layer.kind in ("relu", "leaky_relu", "prelu", "elu"):
            yield np.abs(x).min()
        if layer.kind == "maxout":
            pieces = np.sort(x.reshape(len(x), layer.pieces, -1), axis=1)
            yield (pieces[:, -1] - pieces[:, -2]).min()
        x = layer.forward(x, train=True, step=model.step)


def check(model, x, y, loss="softmax_cross_entropy", regularizer=None, weights=None):
    """Compare every gradient; return them."""
    state = model.snapshot()
    assert min(kink_distances(model, x), default=math.inf) > 20 * STEP, "choose another seed"
    model.restore(state)
    trainer = fnn.Trainer(model, loss, regularizer=regularizer, verbose=False)
    _, grads = trainer.gradients(x, y, weights)
    assert grads.keys() == model.params.keys()
    checked = 0
    for name, gradient in grads.items():
        assert np.isfinite(gradient).all()
        values = model.params[name].reshape(-1)
        for i, analytic in enumerate(gradient.reshape(-1)):
            numeric = difference(lambda: trainer.gradients(x, y, weights)[0], values, i)
            error = abs(analytic - numeric)
            allowed = RELATIVE * max(abs(analytic), abs(numeric)) + ABSOLUTE
            assert error <= allowed, (
                f"{name}[{i}]: {analytic} by backward, {numeric} by differences"
            )
            checked += 1
    assert checked == sum(view.size for view in model.params.values())
    return grads


def problem(n=6, features=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, features)), rng.integers(0, classes, n)


def small(*hidden, seed=1, n_in=4, n_out=3):
    """A network of these layers, then an affine one; biases, gamma and beta off their start."""
    model = fnn.Sequential([*hidden, fnn.Affine(n_out)], n_in, seed, "float64", "numpy")
    rng = np.random.default_rng(seed)
    for name, view in model.params.items():
        if not name.endswith(".w"):
            view += 0.3 * rng.standard_normal(view.shape)
    return model


@pytest.mark.parametrize(
    ("make", "seed"),
    [
        *((fnn.ReLU, 1), (fnn.LeakyReLU, 1), (fnn.Sigmoid, 1), (fnn.Tanh, 1), (fnn.ELU, 1)),
        *((fnn.Softplus, 1), (fnn.GELU, 1), (fnn.SiLU, 1), (fnn.PReLU, 1)),
    ],
)
def test_activations(make, seed):
    model = small(fnn.Affine(5), make(), fnn.Affine(4), make(), seed=seed)
    grads = check(model, *problem())
    assert min(np.abs(gradient).max() for gradient in grads.values()) > 1e-3


@pytest.mark.parametrize(("pieces", "seed"), [(2, 1), (3, 3)])
def test_maxout(pieces, seed):
    layers = [fnn.Affine(6), fnn.Maxout(pieces), fnn.Affine(6), fnn.Maxout(pieces)]
    grads = check(small(*layers, seed=seed), *problem())
    assert min(np.abs(gradient).max() for gradient in grads.values()) > 1e-3


def test_batchnorm():
    layers = [fnn.Affine(5), fnn.BatchNorm(), fnn.Tanh(), fnn.Affine(4), fnn.BatchNorm(eps=0.1)]
    grads = check(small(*layers), *problem())
    # Moving a bias moves the mean of the batch along.
    np.testing.assert_allclose(grads["affine1.b"], 0, atol=1e-14)
    assert np.abs(grads["batchnorm1.gamma"]).max() > 1e-3


def test_batchnorm_first():
    check(small(fnn.BatchNorm(), fnn.Affine(4), fnn.Sigmoid()), *problem())


@pytest.mark.parametrize("step", [0, 1, 77])
def test_dropout(step):
    model = small(fnn.Affine(8), fnn.Tanh(), fnn.Dropout(0.5), fnn.Affine(4), fnn.Dropout(0.2))
    model.step = step
    check(model, *problem())


def test_dropout_first():
    check(small(fnn.Dropout(0.4), fnn.Affine(4), fnn.Tanh()), *problem())


@pytest.mark.parametrize("regularizer", [fnn.L1(0.1), fnn.L2(0.3), fnn.ElasticNet(0.2, 0.1)])
def test_penalties(regularizer):
    model = small(fnn.Affine(5), fnn.BatchNorm(), fnn.Tanh())
    assert min(np.abs(model.params[f"affine{i}.w"]).min() for i in (1, 2)) > 20 * STEP
    check(model, *problem(), regularizer=regularizer)


def test_penalties_of_layers():
    layers = [fnn.Affine(5, regularizer=fnn.L1(0.1)), fnn.Tanh(), fnn.Affine(4)]
    check(small(*layers), *problem(), regularizer=fnn.L2(0.2))


@pytest.mark.parametrize("labels", ["integer", "one-hot", "soft"])
def test_labels(labels):
    x, y = problem()
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=6)
    y = {"integer": y, "one-hot": np.eye(3)[y], "soft": soft}[labels]
    check(small(fnn.Affine(5), fnn.Tanh()), x, y)


@pytest.mark.parametrize("loss", ["mean_squared_error", "sum_squared_error"])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_errors(loss, weighted):
    x, _ = problem()
    y = np.random.default_rng(1).standard_normal((6, 3))
    check(small(fnn.Affine(5), fnn.Tanh()), x, y, loss, weights=np.arange(6) if weighted else None)


@pytest.mark.parametrize("weights", [np.arange(6.0), np.full(6, 0.5), np.eye(6)[2]])
def test_sample_weights(weights):
    check(small(fnn.Affine(5), fnn.BatchNorm(), fnn.Tanh()), *problem(), weights=weights)


def test_a_linear_model():
    check(small(), *problem())


def test_every_layer_with_everything():
    model = every_layer("numpy", rng=4)
    model.step = 5
    check(
        model,
        *problem(7, features=8),
        regularizer=fnn.ElasticNet(1e-2, 1e-2),
        weights=np.linspace(0.1, 2, 7),
    )


def test_backends_agree_on_every_gradient(backend):
    x, y = problem(7, features=8)
    expected = fnn.Trainer(every_layer("numpy", rng=4), verbose=False).gradients(x, y)
    loss, grads = fnn.Trainer(every_layer(backend, rng=4), verbose=False).gradients(x, y)
    assert loss == pytest.approx(expected[0], rel=1e-13)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[1][name], rtol=1e-10, atol=1e-14)


def test_gradients_change_nothing():
    model = every_layer()
    trainer = fnn.Trainer(model, rng=0, verbose=False)
    before, state = model.snapshot(), trainer.rng.bit_generator.state
    x, y = problem(7, features=8)
    first = trainer.gradients(x, y)
    second = trainer.gradients(x, y)
    assert first[0] == second[0]
    for name, gradient in first[1].items():
        np.testing.assert_array_equal(gradient, second[1][name])
        assert not np.shares_memory(gradient, model.flat_grads)
    for name, array in model.snapshot().items():
        np.testing.assert_array_equal(array, before[name])
    assert model.step == trainer.step == trainer.epoch == 0
    assert trainer.rng.bit_generator.state == state
