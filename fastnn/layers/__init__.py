"""Layers. `LAYERS` is the closed vocabulary of model files: kind to class."""

from fastnn.layers.activations import (
    ELU,
    GELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from fastnn.layers.affine import Affine
from fastnn.layers.base import Layer
from fastnn.layers.batchnorm import BatchNorm
from fastnn.layers.dropout import Dropout
from fastnn.layers.maxout import Maxout
from fastnn.layers.noise import GaussianNoise, MaskingNoise, UnscaledDropout
from fastnn.layers.prelu import PReLU
from fastnn.layers.softmax import Softmax
from fastnn.layers.tied import TiedAffine

ACTIVATIONS: dict[str, type[Activation]] = {
    cls.kind: cls
    for cls in (
        *(ReLU, LeakyReLU, PReLU, ELU, Softplus, GELU, SiLU),
        *(Sigmoid, Tanh, Maxout),
    )
}

_ALL: tuple[type[Layer], ...] = (
    Affine,
    BatchNorm,
    Dropout,
    GaussianNoise,
    MaskingNoise,
    Softmax,
    TiedAffine,
    *ACTIVATIONS.values(),
)
LAYERS: dict[str, type[Layer]] = {cls.kind: cls for cls in _ALL}

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "LAYERS",
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "GaussianNoise",
    "Layer",
    "LeakyReLU",
    "MaskingNoise",
    "Maxout",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TiedAffine",
    "UnscaledDropout",
]
