"""Weights from and to Keras, as the list of arrays that it gives and takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.checks import sequence
from fastnn.io.exportable import sequential
from fastnn.io.foreign import Place, assign
from fastnn.layers import Affine, BatchNorm, Layer, PReLU, TiedAffine
from fastnn.model import Sequential


def to_keras_weights(model: Sequential) -> list[np.ndarray]:
    """A model's weights in the order of ``keras.Sequential.get_weights()``.

    For ``network.set_weights``, where the network has a ``Dense`` for each Affine and TiedAffine, a
    ``BatchNormalization`` for each BatchNorm, a ``PReLU`` for each PReLU, and any layers without
    weights between them.

    Parameters
    ----------
    model : Sequential

    Returns
    -------
    list of ndarray
        Copies: of a Dense kernel (n_in, units) and bias; of a BatchNormalization gamma, beta,
        moving mean and moving variance; of a PReLU its slopes.

    Raises
    ------
    TypeError, ValueError
        The model is no Sequential, or has layers that are not fastnn's own.

    Notes
    -----
    A TiedAffine becomes a Dense with a kernel of its own.

    BatchNorm: Keras averages as fastnn does, ``momentum * moving + (1 - momentum) * batch`` with
    biased variances. But its defaults are others, and settings are no part of the list: build
    ``BatchNormalization(momentum=layer.momentum, epsilon=layer.eps)``, or fastnn's
    ``BatchNorm(momentum=0.99, eps=1e-3)``.
    """
    layers = sequential(model).layers
    return [np.array(place.view, order="C") for layer in layers for place in _places(layer)]


def load_keras_weights(model: Sequential, weights: Sequence[Any]) -> None:
    """Give a model the weights of a Keras network, ``network.get_weights()``.

    Parameters
    ----------
    model : Sequential
        Of the same architecture; see `to_keras_weights` for which layers correspond, and for the
        settings of BatchNorm.
    weights : sequence of array_like

    Raises
    ------
    TypeError, ValueError
        More or fewer arrays than the model has, or one of another shape; the message names what was
        expected and what came. Then nothing is changed.
    """
    places = [place for layer in sequential(model).layers for place in _places(layer)]
    values = sequence("weights", weights, "arrays")
    if len(values) != len(places):
        raise ValueError(
            f"weights must hold {len(places)} arrays, {', '.join(p.name for p in places) or 'none'}"
            f"; got {len(values)}, of the shapes {', '.join(str(np.shape(v)) for v in values)}"
        )
    labels = (f"weights[{number}]" for number in range(len(values)))
    assign(model, zip(places, labels, values, strict=True))


def _places(layer: Layer) -> list[Place]:
    """A layer's arrays in Keras's layout and order."""
    match layer:
        case TiedAffine():
            source = layer.source
            kernel = Place(f"{source.name}.w transposed", source.w.T)
            return [kernel, Place(f"{layer.name}.b", layer.b)]
        case Affine():
            names = ["w", "b"]
        case BatchNorm():
            names = ["gamma", "beta", "running_mean", "running_var"]
        case PReLU():
            names = ["slope"]
        case _:
            names = []
    return [Place(f"{layer.name}.{name}", getattr(layer, name)) for name in names]
