"""Weights from and to Keras; against Keras itself where it is installed, on JAX."""

import os

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of
from test_torch_weights import network

import fastnn as fnn
from fastnn.io import load_keras_weights, to_keras_weights


def test_order_and_layout():
    model = network()
    arrays = model.params | model.state
    names = [
        *("affine1.w", "affine1.b", "batchnorm1.gamma", "batchnorm1.beta"),
        *("batchnorm1.running_mean", "batchnorm1.running_var", "prelu1.slope"),
        *("affine2.w", "affine2.b"),
    ]
    weights = to_keras_weights(model)
    for name, array in zip(names, weights, strict=False):
        np.testing.assert_array_equal(array, arrays[name])
    kernel, bias = weights[len(names) :]
    np.testing.assert_array_equal(kernel, arrays["affine2.w"].T)
    np.testing.assert_array_equal(bias, arrays["tied_affine1.b"])


def test_there_and_back():
    source, model = network(0), network(1, dtype="float64")
    load_keras_weights(model, to_keras_weights(source))
    assert numbers(model.astype("float32")) == numbers(source)


def test_what_is_given_are_copies():
    model = network()
    before = numbers(model)
    for array in to_keras_weights(model):
        array[...] = 0
    assert numbers(model) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w[:-1],
            r"weights must hold 11 arrays, affine1.w, .*; got 10, of the shapes \(4",
        ),
        (lambda w: [*w, w[0]], "weights must hold 11 arrays, .*; got 12"),
        (
            lambda w: [w[0].T, *w[1:]],
            r"weights\[0\] must have shape \(4, 3\), for affine1.w; got \(3, 4\)",
        ),
        (
            lambda w: [*w[:-1], np.zeros(2)],
            r"weights\[10\] must have shape \(3,\), for tied_affine1.b; got \(2,\)",
        ),
        (lambda w: [*w[:-2], w[-2] + 1, w[-1]], "transpose of what its TiedAffine gives"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, message):
    model = network(1)
    before = numbers(model)
    with pytest.raises(ValueError, match=message):
        load_keras_weights(model, change(to_keras_weights(network(0))))
    assert numbers(model) == before


def test_types_are_refused():
    with pytest.raises(TypeError, match="weights must be a sequence of arrays; got 3"):
        load_keras_weights(network(), 3)
    weights = to_keras_weights(network())
    weights[1] = np.array(["a", "b", "c"])
    with pytest.raises(TypeError, match=r"weights\[1\] must hold real numbers"):
        load_keras_weights(network(), weights)
    with pytest.raises(TypeError, match="model must be a Sequential; got dict"):
        to_keras_weights({})


# -- beside Keras ----------------------------------------------------------------------------------

# Keras's own: it makes arrays of its variables in the way of NumPy 1.
OF_KERAS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def trained(rng=0):
    """A trained network of layers that Keras has too."""
    layers = [
        *(fnn.Affine(7), fnn.BatchNorm(momentum=0.8, eps=1e-3), fnn.PReLU(), fnn.Dropout(0.2)),
        *(fnn.Affine(6), fnn.TiedAffine(), fnn.ELU(0.7), fnn.BatchNorm(), fnn.GELU()),
        *(fnn.Affine(5), fnn.SiLU(), fnn.Affine(4), fnn.LeakyReLU(0.1), fnn.Affine(3)),
    ]
    model = fnn.Sequential(layers, 8, rng=rng)
    trainer_of(model).fit(*blobs(), epochs=2)
    return model


def twin(keras, model):
    layers = {
        fnn.Affine: lambda layer: keras.layers.Dense(layer.n_out),
        fnn.TiedAffine: lambda layer: keras.layers.Dense(layer.n_out),
        fnn.BatchNorm: lambda layer: keras.layers.BatchNormalization(
            momentum=layer.momentum, epsilon=layer.eps
        ),
        fnn.PReLU: lambda layer: keras.layers.PReLU(),
        fnn.Dropout: lambda layer: keras.layers.Dropout(layer.ratio),
        fnn.ELU: lambda layer: keras.layers.ELU(layer.alpha),
        fnn.GELU: lambda layer: keras.layers.Activation(keras.activations.gelu),
        fnn.SiLU: lambda layer: keras.layers.Activation("silu"),
        fnn.LeakyReLU: lambda layer: keras.layers.LeakyReLU(negative_slope=layer.slope),
    }
    theirs = [layers[type(layer)](layer) for layer in model.layers]
    return keras.Sequential([keras.Input((8,)), *theirs])


@OF_KERAS
def test_to_keras(keras):
    model, x = trained(), blobs()[0].astype("float32")
    theirs = twin(keras, model)
    theirs.set_weights(to_keras_weights(model))
    out = keras.ops.convert_to_numpy(theirs(x, training=False))
    np.testing.assert_allclose(out, model.predict(x), rtol=1e-5, atol=1e-5)


@OF_KERAS
def test_from_keras(keras):
    source, model = trained(0), trained(1)
    theirs = twin(keras, source)
    theirs.set_weights(to_keras_weights(source))
    load_keras_weights(model, theirs.get_weights())
    assert numbers(model) == numbers(source)


@OF_KERAS
def test_momentum_and_variance_of_a_training_step(keras):
    """Keras averages as fastnn does, so that training goes on alike."""
    ours = fnn.Sequential([fnn.BatchNorm(momentum=0.8)], 8)
    theirs, x = twin(keras, ours), blobs(20)[0].astype("float32")
    theirs(x, training=True)
    ours.forward(x, train=True)
    for array, moved in zip(to_keras_weights(ours), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(array, moved, rtol=1e-5, atol=1e-6)
