"""The checker itself: what it must not let through, and what it must."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, KERNELS, MIDDLE, Case
from checker import assert_matches_reference, assert_same

from fastnn._kernels import reference

RTOL = 1e-6


def _values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 6))


def _with(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed[2, 3] = value
    return changed


def test_equal_arrays_pass() -> None:
    assert_same(_values(), _values(), "x", rtol=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0])
def test_special_values_match_themselves(value: float) -> None:
    assert_same(_with(_values(), value), _with(_values(), value), "x", rtol=0.0)


def test_zeros_of_both_signs_are_the_same() -> None:
    assert_same(_with(_values(), -0.0), _with(_values(), 0.0), "x", rtol=0.0)


def test_error_within_the_tolerance_passes() -> None:
    assert_same(_values() * (1 + 0.9 * RTOL), _values(), "x", rtol=RTOL)
    with pytest.raises(AssertionError, match="are wrong"):
        assert_same(_values() * (1 + 1.1 * RTOL), _values(), "x", rtol=RTOL)


MISTAKES: dict[str, Callable[[np.ndarray], Any]] = {
    "nan": lambda a: _with(a, np.nan),
    "inf": lambda a: _with(a, np.inf),
    "one percent": lambda a: _with(a, a[2, 3] * 1.01),
    "one percent everywhere": lambda a: a * 1.01,
    "sign": lambda a: _with(a, -a[2, 3]),
    "transposed": lambda a: a.T,
    "transposed copy": lambda a: a.T.copy(),
    "zeros": np.zeros_like,
    "shape": lambda a: a.reshape(4, 9),
    "one row": lambda a: a[:1],
    "float32": lambda a: a.astype(np.float32),
    "integers": lambda a: a.astype(np.int64),
    "byte-swapped": lambda a: a.astype(">f8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_fails(mistake: str) -> None:
    with pytest.raises(AssertionError, match=r"^the array: "):
        assert_same(MISTAKES[mistake](_values()), _values(), "the array", rtol=RTOL)


@pytest.mark.parametrize("expected", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("got", [np.nan, np.inf, -np.inf, 1.0])
def test_special_values_match_nothing_else(got: float, expected: float) -> None:
    if got == expected or (np.isnan(got) and np.isnan(expected)):
        assert_same(_with(_values(), got), _with(_values(), expected), "x", rtol=RTOL)
        return
    with pytest.raises(AssertionError):
        assert_same(_with(_values(), got), _with(_values(), expected), "x", rtol=RTOL)


@pytest.mark.parametrize("magnitude", [np.nan, np.inf])
def test_a_magnitude_that_is_not_finite_allows_nothing_more(magnitude: float) -> None:
    size = np.full((6, 6), magnitude)
    with pytest.raises(AssertionError):
        assert_same(_values() * 1.01, _values(), "x", rtol=RTOL, magnitude=size)


def test_integers_must_be_equal() -> None:
    with pytest.raises(AssertionError, match="are wrong"):
        assert_same(np.array([1, 0], "u1"), np.array([1, 1], "u1"), "mask", rtol=2.0, atol=2.0)


@pytest.mark.parametrize("got", [1.01, np.nan, np.inf, None, 1, np.float32(1), np.float64(1)])
def test_returned_values_must_be_equal_floats(got: Any) -> None:
    with pytest.raises(AssertionError, match=r"^the loss: "):
        assert_same(got, 1.0, "the loss", rtol=RTOL)


def test_message_names_the_worst_element() -> None:
    got = _with(_values(), 7.0)
    got[0, 0] *= 1.01
    expected = f"out: got 7.0, expected {_values()[2, 3]} at [2, 3]"
    with pytest.raises(AssertionError, match=re.escape(expected) + ".*2 of 36 are wrong"):
        assert_same(got, _values(), "out", rtol=RTOL)


# The comparison of whole calls


def _assert_caught(wrong: Callable[..., Any], kernel: str, dtype: str, match: str) -> None:
    arguments = Case(kernel, *MIDDLE).arguments(dtype)
    with pytest.raises(AssertionError, match=match):
        assert_matches_reference(wrong, KERNELS[kernel], arguments, "mistaken")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_bias_is_caught(dtype: str) -> None:
    def without_bias(x: Any, w: Any, b: Any, out: Any) -> None:
        np.matmul(x, w, out=out)

    _assert_caught(without_bias, "affine_forward", dtype, "mistaken affine_forward: out")


@pytest.mark.parametrize("dtype", DTYPES)
def test_changed_input_is_caught(dtype: str) -> None:
    def in_place(x: Any, out: Any) -> None:
        reference.relu_forward(x, out)
        x[:] = out

    _assert_caught(in_place, "relu_forward", dtype, "changed its input x")


@pytest.mark.parametrize("before", [True, False])
def test_write_outside_a_buffer_is_caught(before: bool) -> None:
    def one_too_far(x: Any, out: Any) -> None:
        reference.relu_forward(x, out)
        beyond = out.reshape(-1)[:1] if before else out.reshape(-1)[-1:]
        step = -out.itemsize if before else out.itemsize
        address = beyond.__array_interface__["data"][0] + step
        interface = {"data": (address, False), "shape": (1,), "typestr": out.dtype.str}
        np.asarray(type("Raw", (), {"__array_interface__": interface | {"version": 3}}))[0] = 1

    _assert_caught(one_too_far, "relu_forward", "float32", "wrote outside out")


def test_missing_and_superfluous_return_values_are_caught() -> None:
    def silent(*arguments: Any) -> None:
        reference.l2_penalty(*arguments)

    def talkative(*arguments: Any) -> float:
        reference.relu_forward(*arguments)
        return 0.0

    _assert_caught(silent, "l2_penalty", "float32", "the returned value")
    _assert_caught(talkative, "relu_forward", "float32", "the returned value")
