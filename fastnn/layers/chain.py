"""Layers in a row: their names, their widths, and which of them is meant."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.checks import positive_int
from fastnn.layers.activations import Activation
from fastnn.layers.base import Layer
from fastnn.layers.batchnorm import BatchNorm
from fastnn.layers.dropout import Dropout


def as_shape(input_shape: int | Sequence[int], name: str = "input_shape") -> tuple[int, ...]:
    """Shape of a sample, from a number of features or sizes of axes.

    Parameters
    ----------
    input_shape : int or sequence of int
    name : str
        What the caller calls the argument.

    Raises
    ------
    TypeError, ValueError
        A size is not an integer of at least 1, or there is none.
    """
    sizes = input_shape if isinstance(input_shape, Sequence) else [input_shape]
    if not sizes:
        raise ValueError(f"{name} must have at least one axis; got ()")
    return tuple(positive_int(name, size) for size in sizes)


def check_unbound(layers: Sequence[Any]) -> None:
    """Refuse what a new model cannot be made of.

    Raises
    ------
    TypeError, ValueError
        There are no layers; something is no layer, stands in two places, or has a model already.
    """
    if not layers:
        raise ValueError("layers must hold at least one layer")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must hold layers, such as Affine(100); got {layer!r}")
        if hasattr(layer, "name"):
            raise ValueError(f"{layer!r} already belongs to a model: make a layer for each place")
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("a layer stands in two places: make a layer for each place")


def names(layers: Sequence[Layer]) -> list[str]:
    """What the layers of a model are called: their kind, and how many of it came before."""
    counts: dict[str, int] = {}
    called = []
    for layer in layers:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        called.append(f"{layer.kind}{counts[layer.kind]}")
    return called


def lay_out(layers: Sequence[Layer], input_shape: tuple[int, ...]) -> list[int]:
    """Link the layers; return the features before each, and after the last."""
    widths = [math.prod(input_shape)]
    for index, layer in enumerate(layers):
        layer.n_in = widths[-1]
        layer.link(layers[:index])
        width = layer.output_size(widths[-1])
        if type(width) is not int or width < 1:  # a layer of one's own
            width = positive_int(f"output_size of {layer!r}", width)
        widths.append(width)
    return widths


def activation_after(layers: Sequence[Layer]) -> str | None:
    """Kind of the activation that comes first among these layers, behind BatchNorm and dropout."""
    behind = (layer for layer in layers if not isinstance(layer, BatchNorm | Dropout))
    first = next(behind, None)
    return first.kind if isinstance(first, Activation) else None


def index_of(layers: Sequence[Layer], argument: str, layer: int | str | Layer) -> int:
    """Where a layer stands that is given by its index, its name or itself.

    Raises
    ------
    TypeError, ValueError
        There is no such layer; the message names the argument.
    """
    if isinstance(layer, (int, np.integer)) and not isinstance(layer, bool):
        if not -len(layers) <= layer < len(layers):
            raise ValueError(
                f"{argument} must be the index of one of {len(layers)} layers; got {layer}"
            )
        return int(layer) % len(layers)
    if not isinstance(layer, (str, Layer)):
        raise TypeError(f"{argument} must be a layer, its name or its index; got {layer!r}")
    for own in layers:
        if own is layer or own.name == layer:
            return own.index
    known = ", ".join(own.name for own in layers)
    raise ValueError(f"{argument} must be one of the model's layers, {known}; got {layer!r}")


def between(
    layers: Sequence[Layer], since: int | str | Layer | None, until: int | str | Layer | None
) -> Sequence[Layer]:
    """The layers from one to another, both included; None is the first, or the last.

    Raises
    ------
    TypeError, ValueError
        As `index_of`; or ``since`` comes after ``until``.
    """
    first = 0 if since is None else index_of(layers, "since", since)
    last = len(layers) - 1 if until is None else index_of(layers, "until", until)
    if first > last:
        raise ValueError(
            f"since must not come after until; got {layers[first].name} and {layers[last].name}"
        )
    return layers[first : last + 1]
