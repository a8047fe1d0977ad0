"""What an estimator's parameters stand for: layers, and first weights."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.checks import one_of, positive_int, real_in
from fastnn.layers import ACTIVATIONS, Activation, Affine, BatchNorm, Dropout, Layer, Sigmoid
from fastnn.model import Sequential
from fastnn.sklearn.randomness import generator

_ACTIVATIONS: dict[str, Callable[[], Any] | None] = {
    "identity": None,
    "logistic": Sigmoid,
    **ACTIVATIONS,
}


def hidden_sizes(sizes: Any) -> list[int]:
    """Units of each hidden layer, from a number or a sequence of them.

    Raises
    ------
    TypeError, ValueError
        A size is not an integer of at least 1.
    """
    if isinstance(sizes, (int, np.integer)) or not hasattr(sizes, "__iter__"):
        sizes = [sizes]
    return [positive_int("hidden_layer_sizes", size) for size in sizes]


def build(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    activation: str | Sequence[str],
    batch_norm: bool,
    dropout: float,
    dtype: Any,
    random: np.random.RandomState,
) -> Sequential:
    """The network, with the first weights that scikit-learn would give it.

    Weights and biases are uniform within ``sqrt(6 / (fan_in + fan_out))``, or ``sqrt(2 / ...)``
    where the logistic function follows (for the output layer, where it stands before), drawn layer
    by layer: so the same seed begins from the same network. Glorot and Bengio (2010), eq. 16.

    Parameters
    ----------
    n_in, n_out : int
    hidden, activation, batch_norm, dropout
        As the estimators take them.
    dtype : {"float32", "float64"}
    random : RandomState
        Draws the weights.
    """
    makers = _activations(activation, len(hidden))
    real_in("dropout", dropout, 0, 1, open_high=True)
    layers: list[Layer] = []
    for units, make in zip(hidden, makers, strict=True):
        activate = [make()] if make else []
        layers.append(Affine(activate[0].input_size(units) if activate else units, "xavier"))
        layers += [BatchNorm()] if batch_norm else []
        layers += activate
        layers += [Dropout(dropout)] if dropout else []
    layers.append(Affine(n_out, "xavier"))
    # Masks are seeded by a copy: the weights are those that scikit-learn draws.
    model = Sequential(layers, n_in, generator(copy.deepcopy(random)), dtype)
    makers.append(makers[-1] if makers else None)
    for layer, make in zip(affine_layers(model), makers, strict=True):
        bound = np.sqrt((2.0 if make is Sigmoid else 6.0) / (layer.n_in + layer.n_out))
        layer.w[:] = random.uniform(-bound, bound, layer.w.shape)
        layer.b[:] = random.uniform(-bound, bound, layer.b.shape)
    return model


def affine_layers(model: Sequential) -> list[Affine]:
    """The layers whose weights are ``coefs_`` and ``intercepts_``."""
    return [layer for layer in model.layers if isinstance(layer, Affine)]


def _activations(
    activation: str | Sequence[str], layers: int
) -> list[Callable[[], Activation] | None]:
    names = [activation] * layers if isinstance(activation, str) else list(activation)
    if len(names) != layers:
        raise ValueError(
            f"activation must be one name, or one for each of {layers} hidden layers; "
            f"got {len(names)}"
        )
    if not layers:
        one_of("activation", activation or "identity", _ACTIVATIONS)
    return [one_of("activation", name, _ACTIVATIONS) for name in names]
