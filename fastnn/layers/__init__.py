"""Layers. `LAYERS` is the closed vocabulary of model files: kind to class."""

from fastnn.layers.activations import ACTIVATIONS, ELU, Activation, LeakyReLU, ReLU, Sigmoid, Tanh
from fastnn.layers.affine import Affine
from fastnn.layers.base import Layer
from fastnn.layers.batchnorm import BatchNorm
from fastnn.layers.dropout import Dropout
from fastnn.layers.noise import GaussianNoise, MaskingNoise
from fastnn.layers.softmax import Softmax
from fastnn.layers.tied import TiedAffine

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
    "LAYERS",
    "Activation",
    "Affine",
    "BatchNorm",
    "Dropout",
    "GaussianNoise",
    "Layer",
    "LeakyReLU",
    "MaskingNoise",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TiedAffine",
]
