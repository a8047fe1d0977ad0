"""Weights of other libraries: checked all together before the first is taken over."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastnn.checks import as_array
from fastnn.model import Sequential


class Place(NamedTuple):
    """Where an array of another library goes.

    Attributes
    ----------
    name : str
        What messages call the model's array, "affine1.w", and how it is turned, if it is.
    view : ndarray
        The model's array in the other library's layout: writing to it changes the model.
    """

    name: str
    view: np.ndarray


def assign(model: Sequential, pairs: Iterable[tuple[Place, str, Any]]) -> None:
    """Give the model values that came from elsewhere, or, after an error, none of them.

    Parameters
    ----------
    model : Sequential
    pairs : iterable of (Place, str, array_like or tensor)
        Where a value goes, what messages call the value, and the value.

    Raises
    ------
    TypeError, ValueError
        A value has another shape than its place, or does not hold real numbers; or what must be the
        transpose of a weight, by a TiedAffine, is not.
    """
    values = [(place, label, _checked(place, label, value)) for place, label, value in pairs]
    before = model.snapshot()
    for place, _, value in values:
        place.view[...] = value
    for place, label, value in values:
        # A TiedAffine's weight is a view of another layer's: of two values, the last has won.
        if not np.array_equal(place.view, value.astype(model.dtype), equal_nan=True):
            model.restore(before)
            raise ValueError(
                f"{label} must be the transpose of what its TiedAffine gives the same weights: "
                f"{place.name} is one array for both"
            )


def _checked(place: Place, label: str, value: Any) -> np.ndarray:
    array = as_array(label, host_array(value))
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{label} must hold real numbers; got dtype {array.dtype}")
    if array.shape != place.view.shape:
        raise ValueError(
            f"{label} must have shape {place.view.shape}, for {place.name}; got {array.shape}"
        )
    return array


def host_array(value: Any) -> Any:
    """A tensor of PyTorch as an array of float64; anything else as it is.

    float64 holds every number of PyTorch's types, of which NumPy does not know all.
    """
    if hasattr(value, "detach"):
        return value.detach().cpu().double().numpy()
    return value
