"""The comparison that every kernel is held to the reference by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import RETURN, Arguments, KernelCase, dimensions, tolerance

from fastnn._kernels import reference

_GUARD_BYTES = 64
_GUARD = 0xA5


def assert_same(
    got: Any,
    expected: Any,
    what: str,
    *,
    rtol: float,
    magnitude: Any = None,
    atol: float = 0.0,
) -> None:
    """Fail unless two arrays, or two floats, agree.

    Parameters
    ----------
    got, expected : array or float
        Type, dtype and shape must be equal; NaN matches only NaN, an infinity only itself.
    what : str
        What is compared, for the message.
    rtol : float
        Allowed error relative to ``magnitude``.
    magnitude : array or float, optional
        Size of the terms that were added; never less than ``|expected|``. Where it is not finite,
        ``|expected|`` stands in.
    atol : float
        Allowed error beside that, for rounding at the lower end of the number range.
    """
    if np.ndim(expected) == 0:
        if type(got) is not type(expected):
            raise AssertionError(
                f"{what}: expected a {type(expected).__name__}, got a {type(got).__name__}"
            )
    elif got.dtype != expected.dtype or got.shape != expected.shape:
        raise AssertionError(
            f"{what}: expected {expected.dtype} of shape {expected.shape}, "
            f"got {got.dtype} of shape {got.shape}"
        )
    if np.asarray(expected).dtype.kind in "iub":
        rtol, atol = 0.0, 0.0
    with np.errstate(all="ignore"):
        actual, wanted = np.asarray(got, np.float64), np.asarray(expected, np.float64)
        size = np.abs(wanted)
        if magnitude is not None:
            magnitude = np.asarray(magnitude, np.float64)
            size = np.where(np.isfinite(magnitude), np.maximum(magnitude, size), size)
        error = np.abs(actual - wanted)
        equal = (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
        close = np.isfinite(actual) & np.isfinite(wanted) & (error <= rtol * size + atol)
        if np.all(equal | close):
            return
        wrong = ~(equal | close)
        excess = np.nan_to_num(error / (rtol * size + atol), nan=np.inf)
        worst = np.unravel_index(np.argmax(np.where(wrong, excess, -1.0)), wrong.shape)
        relative = error[worst] / size[worst]
    at = f" at [{', '.join(map(str, worst))}]" if wrong.ndim else ""
    raise AssertionError(
        f"{what}: got {actual[worst]!s}, expected {wanted[worst]!s}{at}; error {relative:.2e} "
        f"of what is summed, {rtol:.2e} is allowed; {wrong.sum()} of {wrong.size} are wrong"
    )


@dataclass(frozen=True)
class Outcome:
    """What a call returned, and its array arguments afterwards."""

    returned: Any
    arrays: dict[str, np.ndarray]


def run(function: Callable[..., Any], kernel: KernelCase, arguments: Arguments) -> Outcome:
    """Call a kernel on copies of the arguments.

    Each copy lies between guard bytes and is aligned to its elements only, as views into a flat
    parameter buffer are; buffers to be written hold NaN first.

    Raises
    ------
    AssertionError
        An input was changed, or something was written outside a buffer.
    """
    blocks = {n: _guarded(a) for n, a in arguments.items() if isinstance(a, np.ndarray)}
    arrays = {name: array for name, (array, _) in blocks.items()}
    roles = {name: spec.role for name, spec in _specs(kernel, arguments).items()}
    for name, array in arrays.items():
        if roles[name] == "written":
            array.fill(np.nan if array.dtype.kind == "f" else 0xEE)
    with np.errstate(all="ignore"):
        returned = function(*{**arguments, **arrays}.values())
    for name, (array, guards) in blocks.items():
        if not all((guard == _GUARD).all() for guard in guards):
            raise AssertionError(f"{kernel.name}: wrote outside {name}")
        if roles[name] == "read" and array.tobytes() != arguments[name].tobytes():
            raise AssertionError(f"{kernel.name}: changed its input {name}")
    return Outcome(returned, arrays)


def _specs(kernel: KernelCase, arguments: Arguments) -> dict[str, Any]:
    """The table's entry of every array argument of a call, also of those that variants add."""
    specs = dict(kernel.arrays())
    for variant in kernel.variants:
        specs = {**kernel.arrays(variant), **specs}
    return {name: specs[name] for name in arguments if isinstance(arguments[name], np.ndarray)}


def _guarded(array: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """A copy between guards, one element past a multiple of 64 bytes; the copy and the guards."""
    raw = np.full(array.nbytes + 4 * _GUARD_BYTES, _GUARD, dtype=np.uint8)
    start = _GUARD_BYTES + -raw.ctypes.data % _GUARD_BYTES + array.itemsize
    stop = start + array.nbytes
    copy = raw[start:stop].view(array.dtype).reshape(array.shape)
    copy[...] = array
    copy.flags.writeable = array.flags.writeable
    return copy, (raw[:start], raw[stop:])


def assert_outcomes_match(
    got: Outcome, expected: Outcome, kernel: KernelCase, arguments: Arguments, label: str
) -> None:
    """Fail unless every buffer a call wrote, and what it returned, agree within the tolerances."""
    dtype = str(next(a.dtype for a in got.arrays.values() if a.dtype.kind == "f"))
    sizes = dimensions(kernel, arguments)
    magnitudes = _magnitudes(kernel, arguments)
    limits = np.finfo(dtype)
    for name, spec in _specs(kernel, arguments).items():
        if spec.role != "read":
            assert_same(
                got.arrays[name],
                expected.arrays[name],
                f"{label} {kernel.name}: {name}",
                rtol=tolerance(kernel, name, dtype, sizes),
                magnitude=magnitudes.get(name),
                atol=_atol(kernel, limits),
            )
    if expected.returned is None and got.returned is None:
        return
    assert_same(
        got.returned,
        expected.returned,
        f"{label} {kernel.name}: the returned value",
        rtol=tolerance(kernel, RETURN, dtype, sizes),
        magnitude=magnitudes.get(RETURN),
        atol=_atol(kernel, limits),
    )


def _atol(kernel: KernelCase, limits: np.finfo) -> float:
    return float(max(kernel.underflow * limits.tiny, 4 * limits.smallest_subnormal))


def _magnitudes(kernel: KernelCase, arguments: Arguments) -> dict[str, Any]:
    if kernel.magnitude is None:
        return {}
    with np.errstate(all="ignore"):
        return kernel.magnitude(kernel.name, in_float64(arguments))


def in_float64(arguments: Arguments) -> Arguments:
    """A copy of the arguments with every floating-point array in float64."""

    def convert(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return value.astype(np.float64) if value.dtype.kind == "f" else value.copy()

    return {name: convert(value) for name, value in arguments.items()}


def assert_matches_reference(
    function: Callable[..., Any], kernel: KernelCase, arguments: Arguments, label: str = "kernel"
) -> None:
    """Fail unless ``function`` does to the arguments what the reference does."""
    expected = run(getattr(reference, kernel.name), kernel, arguments)
    got = run(function, kernel, arguments)
    assert_outcomes_match(got, expected, kernel, arguments, label)


def fails(check: Callable[..., object], *arguments: object) -> bool:
    """Whether a check notices what it is given."""
    try:
        check(*arguments)
    except AssertionError:
        return True
    return False
