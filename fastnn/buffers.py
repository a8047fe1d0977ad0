"""Memory that starts at a cache line: for parameters, and for what layers write in passing."""

import math
import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.checks import as_array

ALIGNMENT = 64


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros whose memory starts at a multiple of 64 bytes: a cache line, an AVX-512 vector."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > sys.maxsize - ALIGNMENT:  # NumPy would speak of a dimension
        raise MemoryError(f"there is no memory for an array of shape {shape}")
    memory = np.zeros(nbytes + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def fill(name: str, view: np.ndarray, values: Any) -> None:
    """Write values into a view.

    Raises
    ------
    TypeError, ValueError
        They are no array, not real numbers, or not of the view's shape; nothing is changed then.
    """
    array = as_array(name, values)
    if array.shape != view.shape or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must have shape {view.shape} and real numbers; "
            f"got {array.dtype} of shape {array.shape}"
        )
    view[...] = array


class Views(dict[str, np.ndarray]):
    """Names and views of a flat buffer; what is assigned to a name is written into its view."""

    def __setitem__(self, name: str, values: Any) -> None:
        if name not in self:
            raise KeyError(f"no array {name!r}; there are: {', '.join(self)}")
        if values is not self[name]:
            fill(name, self[name], values)

    def _fixed(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the arrays of a model cannot be added or removed")

    __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy is no model's memory


class FlatArrays:
    """Named arrays, laid one after another in one flat buffer, each from a cache line on.

    Parameters
    ----------
    shapes : iterable of (name, shape)
    dtype : dtype

    Attributes
    ----------
    flat : ndarray
        The whole buffer; the gaps between the arrays hold zeros.
    views : dict
        Name to a view of the buffer, of its shape.
    spans : dict
        Name to the slice of the buffer its view covers.
    """

    def __init__(self, shapes: Iterable[tuple[str, tuple[int, ...]]], dtype: Any) -> None:
        shapes = list(shapes)
        per_line = ALIGNMENT // np.dtype(dtype).itemsize
        self.spans: dict[str, slice] = {}
        end = 0
        for name, shape in shapes:
            self.spans[name] = slice(end, end + math.prod(shape))
            end = -(-self.spans[name].stop // per_line) * per_line
        self.flat = aligned_zeros(end, dtype)
        self.views = Views(
            (name, self.flat[self.spans[name]].reshape(shape)) for name, shape in shapes
        )

    def like(self) -> "FlatArrays":
        """Zeros of the same layout: for gradients, and for an optimizer's running averages."""
        return FlatArrays(
            ((name, view.shape) for name, view in self.views.items()), self.flat.dtype
        )


class Workspace:
    """Buffers that are written anew in every call, and grow to the largest batch seen.

    Each thread has its own: several may predict with one model at the same time.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A buffer of this shape, with the contents left by its last use."""
        buffers: dict[str, np.ndarray] = self._of_thread.__dict__
        held = buffers.get(name)
        if (
            held is None
            or held.dtype != dtype
            or held.shape[1:] != shape[1:]
            or len(held) < shape[0]
        ):
            held = buffers[name] = aligned_zeros(shape, dtype)
        return held[: shape[0]]
