"""Checks of arguments, shared by everything that a user calls."""

import itertools
import math
import operator
from collections.abc import Collection, Iterable, Mapping, Set
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from fastnn.synonyms import hint

T = TypeVar("T")
Rng = int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None

DTYPES = ("float32", "float64")

# uint8 features are the bytes of images, and are scaled to [0, 1] as they are read.
UINT8_SCALE = 1 / 255

READ_AS_IS = frozenset(np.dtype(name) for name in (*DTYPES, "uint8"))


def shown(value: Any) -> str:
    """What came, for a message: an array or a model's parameters in a line, not in a hundred."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def positive_int(name: str, value: Any, least: int = 1) -> int:
    """The value as an int of at least 1, or `least`.

    Raises
    ------
    TypeError, ValueError
        It is not an integer; it is below that.
    """
    try:
        # True is an integer to Python, but never a meant count.
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer; got {shown(value)}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}; got {number}")
    return number


def real_in(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """The value as a finite float in [low, high], without the ends that are open.

    Raises
    ------
    TypeError, ValueError
        It is not a number; it is not finite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number; got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int of more than 308 digits
        number = math.inf
    above = low < number if open_low else low <= number
    below = number < high if open_high else number <= high
    if not (math.isfinite(number) and above and below):
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if open_high or math.isinf(high) else "]"
        bounds = f"{left}{low:g}, {high:g}{right}"
        raise ValueError(f"{name} must be a finite number in {bounds}; got {shown(value)}")
    return number


def one_of(name: str, value: Any, table: Mapping[str, T]) -> T:
    """The entry of a table that a user named.

    Raises
    ------
    ValueError
        No such name; the message lists those there are, and says which may have been meant.
    """
    return table[name_among(name, value, table)]


def name_among(name: str, value: Any, names: Collection[str]) -> str:
    """The value, if it is one of some names.

    Raises
    ------
    ValueError
        It is not; the message lists them, and says which may have been meant.
    """
    if not isinstance(value, str) or value not in names:
        raise ValueError(
            f"{name} must be one of {', '.join(names)}; got {shown(value)}{hint(value, names)}"
        )
    return value


def generator(rng: Rng) -> np.random.Generator:
    """The generator that a seed, a generator or None stands for (SPEC 7).

    Raises
    ------
    TypeError, ValueError
        Neither an integer, nor a generator, nor None; a negative integer.
    """
    if isinstance(rng, bool) or not isinstance(rng, Rng | np.integer):
        raise TypeError(f"rng must be an integer, a numpy.random.Generator or None; got {rng!r}")
    if isinstance(rng, int | np.integer):
        rng = int(rng)
        if rng < 0:
            raise ValueError(f"rng must be at least 0; got {rng}")
    return np.random.default_rng(rng)


def sequence(name: str, value: Any, what: str) -> list[Any]:
    """The items of a sequence.

    Raises
    ------
    TypeError
        The value is no sequence.
    """
    # A set has no order, and the items of bytes are numbers that nobody wrote.
    odd = isinstance(value, (str, bytes, Mapping, Set)) or getattr(value, "shape", None) == ()
    if odd or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a sequence of {what}; got {shown(value)}")
    return list(value)


def real_dtype(value: Any) -> np.dtype[Any]:
    """float32 or float64 as a NumPy dtype.

    Raises
    ------
    ValueError
        Anything else.
    """
    try:
        dtype = None if value is None else np.dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in DTYPES or not dtype.isnative:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {value!r}")
    return dtype


def as_array(name: str, value: Any) -> np.ndarray:
    """What NumPy makes of an argument.

    Raises
    ------
    TypeError
        It is sparse, or nothing that can be an array: None, a mapping, a set, an iterator, a tensor
        that must be detached first.
    ValueError
        Rows of different lengths; or a masked array, whose masked numbers NumPy would take for
        measured ones.
    """
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name} must be a dense array; got {type(value).__name__}: call {name}.toarray()"
        )
    # Without importing numpy.ma; a data frame's mask is a method.
    masked = getattr(value, "mask", None) if isinstance(value, np.ndarray) else None
    if masked is not None and np.any(masked):
        raise ValueError(
            f"{name} must not be masked; got {np.count_nonzero(masked)} of {value.size} numbers "
            f"masked: fill them, as with {name}.filled(0), or leave their rows out"
        )
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array; got rows of different lengths") from None
    except (TypeError, RuntimeError) as error:  # a tensor of PyTorch, which says what to call
        raise TypeError(f"{name} must be an array; got {type(value).__name__}: {error}") from None
    if array.dtype == object and array.ndim == 0:
        raise TypeError(f"{name} must be an array; got {shown(value)}")
    return array


def not_real(name: str, array: np.ndarray) -> TypeError:
    """The error for an array that does not hold real numbers; of objects, it names the first."""
    what = f"dtype {array.dtype}"
    odd = []
    if array.dtype == object:
        odd = [item for item in itertools.islice(array.flat, 1000) if not isinstance(item, Real)]
        what += f", which holds {shown(odd[0])}" if odd else f": take {name}.astype(float)"
    if array.dtype.kind in "UST" or (odd and isinstance(odd[0], str)):
        what += "; words must become numbers first: see fastnn.tables, or sklearn.preprocessing"
    return TypeError(f"{name} must hold real numbers; got {what}")


def source_rows(name: str, x: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Rows of features to be read as they are needed: (N, features), checked.

    float32, float64 and uint8 arrays, memory-mapped ones too, stay as and where they are if the
    features of a row lie next to each other; anything else is converted.

    Parameters
    ----------
    name : str
        What the caller calls the argument.
    x : array_like
        (N, *shape) or (N, product of shape), of any real dtype, layout or byte order.
    shape : tuple of int
        Shape of one sample.
    dtype : dtype
        float32 or float64, for what must be converted.

    Raises
    ------
    TypeError
        x is sparse, or not made of real numbers.
    ValueError
        x has no rows, or rows of another shape.
    """
    features = math.prod(shape)
    if (
        type(x) is np.ndarray
        and x.dtype in READ_AS_IS
        and x.flags.carray
        and x.shape[1:] == (features,)
        and len(x)
    ):
        return x  # as it mostly is: a single sample is answered in microseconds
    array = as_array(name, x)
    if array.dtype.kind not in "fiub":
        raise not_real(name, array)
    if array.ndim < 2 or array.shape[1:] not in (shape, (features,)):
        hint = ""
        if array.shape in (shape, (features,)):
            hint = f"; for a single sample pass {name}[None]"
        wanted = " or ".join(
            f"(N, {', '.join(map(str, s))})" for s in dict.fromkeys([shape, (features,)])
        )
        raise ValueError(f"{name} must have shape {wanted}; got {array.shape}{hint}")
    if len(array) == 0:
        raise ValueError(f"{name} must have at least one row; got shape {array.shape}")
    if array.dtype not in READ_AS_IS:
        array = array.astype(dtype)
    rows = array.reshape(len(array), features)
    apart = features > 1 and rows.strides[1] != rows.itemsize
    if apart or not rows.flags.aligned:
        rows = np.require(rows, requirements=["C_CONTIGUOUS", "ALIGNED"])
    return rows


def as_real(rows: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Rows as the kernels take them: of this dtype, C-contiguous, bytes scaled to [0, 1]."""
    if rows.dtype == np.uint8:
        return np.multiply(rows, UINT8_SCALE, dtype=dtype)
    return np.require(rows, dtype=dtype, requirements=["C_CONTIGUOUS", "ALIGNED"])


def real_rows(name: str, x: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """`source_rows`, converted at once by `as_real`."""
    return as_real(source_rows(name, x, shape, dtype), dtype)
