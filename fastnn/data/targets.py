"""Targets of classification."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn.checks import as_array, positive_int


def one_hot(
    labels: ArrayLike, n_classes: SupportsIndex | None = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Turn class numbers into rows with a single 1.

    Parameters
    ----------
    labels : array_like of int, shape (N,)
        Class of each sample, counted from 0.
    n_classes : int, optional
        Number of columns; by default the largest label plus one.
    dtype : dtype, default float32
        Type of the result.

    Returns
    -------
    ndarray, shape (N, n_classes)
        Row i is 1 in column ``labels[i]`` and 0 elsewhere.

    Raises
    ------
    TypeError
        If the labels are not integers (floats and booleans are refused, whatever their values),
        or `n_classes` is not.
    ValueError
        If the labels are not one-dimensional, a label is negative or not below `n_classes`, or
        there is no label to take `n_classes` from.
    """
    labels = as_array("labels", labels)
    try:
        number_type = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a type of numbers; got {dtype!r}") from None
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers; got dtype {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (N,); got {labels.shape}")
    lowest, highest = (int(labels.min()), int(labels.max())) if labels.size else (0, -1)
    if lowest < 0:
        raise ValueError(f"labels must be at least 0; got {lowest}")
    if n_classes is None:
        if labels.size == 0:
            raise ValueError("labels is empty: give n_classes, which cannot be taken from it")
        columns = highest + 1
    else:
        columns = positive_int("n_classes", n_classes)
    if highest >= columns:
        raise ValueError(f"labels must be below n_classes={columns}; got {highest}")
    out = np.zeros((labels.size, columns), dtype=number_type)
    out[np.arange(labels.size), labels] = 1
    return out
