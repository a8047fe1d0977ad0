"""Every compiled kernel does what the reference does, on every case of the table."""

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, KERNELS, MIDDLE, PRODUCTS, SMALL, THREADED, Array, Case, KernelCase, cases
from checker import (
    assert_matches_reference,
    assert_outcomes_match,
    in_float64,
    run,
)
from executors import CYTHON, EXECUTORS

from fastnn._kernels import reference

MAXOUT = [
    name
    for name, kernel in KERNELS.items()
    if any("G" in a.shape for a in kernel.arrays().values())
]
ALL_CASES = [case for kernel in KERNELS.values() for case in cases(kernel)]


def _parity_parameters() -> list[Any]:
    """Executor x case x dtype; in numba a new combination of types only once, for its compiling."""
    return [
        pytest.param(executor, case, dtype, id=f"{executor}-{case.id}-{dtype}")
        for executor in EXECUTORS
        for case in ALL_CASES
        for dtype in DTYPES
        if not (executor == "numba" and case.new_types and dtype == "float64")
        # Sums in float64 of float64 drift likewise, in the reference too.
        if not (case.values == "alike" and dtype == "float64")
    ]


@pytest.mark.parametrize("backend", ["cython", "numba"])
def test_compiled_backends_are_here(backend: str) -> None:
    if any(name.startswith(backend) for name in EXECUTORS):
        return
    message = f"the {backend} kernels are not built or installed here, so their tests did not run"
    if os.environ.get("FASTNN_TEST_REQUIRE_BACKENDS") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.mark.parametrize(("executor", "case", "dtype"), _parity_parameters())
def test_matches_the_reference(executor: str, case: Case, dtype: str) -> None:
    function = getattr(EXECUTORS[executor], case.kernel)
    assert_matches_reference(function, KERNELS[case.kernel], case.arguments(dtype), executor)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("constant", [0.0, -3.3, 1003.3, 12345.67, 1e6 + 0.1])
def test_a_constant_feature_becomes_beta(executor: str, constant: float) -> None:
    """Its mean is exact: an error of one unit in the last place would count as a deviation."""
    arguments = Case("batchnorm_forward", *MIDDLE).arguments("float32")
    arguments["x"][:, ::3] = constant
    EXECUTORS[executor].batchnorm_forward(*arguments.values())
    expected = np.tile(arguments["beta"][::3], (len(arguments["x"]), 1))
    np.testing.assert_array_equal(arguments["out"][:, ::3], expected)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_variance_of_a_feature_whose_mean_is_no_float32(executor: str) -> None:
    """Where it is rounded, all deviations from it are off by the same."""
    arguments = Case("batchnorm_forward", *SMALL).arguments("float32")
    arguments["x"] += 1e6
    function = EXECUTORS[executor].batchnorm_forward
    assert_matches_reference(function, KERNELS["batchnorm_forward"], arguments, executor)


@pytest.mark.parametrize(
    "case",
    [c for c in ALL_CASES if c.values in ("normal", "offset", "alike")],
    ids=lambda case: case.id,
)
def test_reference_in_float32_is_close_to_float64(case: Case) -> None:
    kernel, arguments = KERNELS[case.kernel], case.arguments("float32")
    function = getattr(reference, case.kernel)
    single = run(function, kernel, arguments)
    double = run(function, kernel, in_float64(arguments))
    for outcome in (single, double):
        for name, array in outcome.arrays.items():
            if array.dtype.kind == "f":
                outcome.arrays[name] = array.astype(np.float32)
    assert_outcomes_match(single, double, kernel, arguments, "float32")


def _fullest(kernel: KernelCase) -> str:
    """The variant with the most arrays: sample weights are None in the plain one."""
    return max(("plain", *kernel.variants), key=lambda variant: len(kernel.arrays(variant)))


@pytest.mark.parametrize(("executor", "kernel"), list(product(EXECUTORS, KERNELS)))
def test_takes_read_only_inputs(executor: str, kernel: str) -> None:
    variant = _fullest(KERNELS[kernel])
    arguments = Case(kernel, *MIDDLE, variant).arguments("float32")
    for name, spec in KERNELS[kernel].arrays(variant).items():
        if spec.role == "read":
            arguments[name].flags.writeable = False
    function = getattr(EXECUTORS[executor], kernel)
    assert_matches_reference(function, KERNELS[kernel], arguments, executor)


@pytest.mark.parametrize("size", [SMALL, *PRODUCTS])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_affine_overflows_without_a_warning(executor: str, size: tuple[int, int, int]) -> None:
    """Whatever the size, and so the BLAS, of the product; a diverged loss shows in its value."""
    n, k, m = size
    ones = np.ones((n, k), dtype=np.float32), np.ones((n, m), dtype=np.float32)
    huge, dx = np.full((k, m), 3e38, dtype=np.float32), np.empty((n, k), dtype=np.float32)
    kernels, out = EXECUTORS[executor], np.empty((n, m), dtype=np.float32)
    kernels.affine_forward(ones[0], huge, np.zeros(m, dtype=np.float32), out)
    kernels.affine_backward(ones[1], ones[0], huge, dx, None, None)
    assert np.isinf(out).all()
    assert np.isinf(dx).all()


def _threaded_cases() -> list[Case]:
    """Of each kernel a large call, and one in every variant that takes other ways through it."""
    products = [
        Case(kernel.name, *size)
        for kernel in KERNELS.values()
        for size in (PRODUCTS if kernel.products else ())
    ]
    return products + [
        case
        for kernel in KERNELS.values()
        for variant in ("plain", *kernel.variants)
        for case in [Case(kernel.name, *THREADED, variant)]
        # step1: the first steps of RAdam have a loop of their own.
        if variant in ("plain", "step1") or case.new_types
    ]


@pytest.mark.parametrize("case", _threaded_cases(), ids=lambda case: case.id)
@pytest.mark.parametrize("executor", CYTHON)
def test_threads_do_not_change_a_bit(executor: str, case: Case) -> None:
    """Nor does a second run."""
    module, kernel = CYTHON[executor], KERNELS[case.kernel]
    arguments = case.arguments("float32")
    outcomes = []
    before = module.set_threads(1)
    try:
        for threads in (1, 2, 3, 3):
            module.set_threads(threads)
            outcomes.append(run(getattr(module, case.kernel), kernel, arguments))
    finally:
        module.set_threads(before)
    first = outcomes[0]
    expected = run(getattr(reference, case.kernel), kernel, arguments)
    assert_outcomes_match(first, expected, kernel, arguments, executor)
    for outcome in outcomes[1:]:
        assert outcome.returned == first.returned
        for name, array in first.arrays.items():
            assert outcome.arrays[name].tobytes() == array.tobytes(), name


# --------------------------------------------------------------------------------------------------
# The Cython kernels guard themselves: a raw pointer into the wrong memory would be a wrong answer
# --------------------------------------------------------------------------------------------------


def _strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def _byte_swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def _unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:]
    copy = raw.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _reversed(array: np.ndarray) -> np.ndarray:
    return array[::-1]


def _other_float(array: np.ndarray) -> np.ndarray:
    other = {"float32": "float64", "float64": "float32", "int64": "int32", "uint8": "int8"}
    return array.astype(other[str(array.dtype)])


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


REFUSED: dict[str, tuple[Callable[[np.ndarray], Any], Callable[[Array], bool]]] = {
    "fortran": (np.asfortranarray, lambda spec: len(spec.shape) == 2),
    "strided": (_strided, lambda spec: True),
    "reversed": (_reversed, lambda spec: True),
    "byte-swapped": (_byte_swapped, lambda spec: spec.fill.dtype != "uint8"),
    "unaligned": (_unaligned, lambda spec: spec.fill.dtype != "uint8"),
    "other dtype": (_other_float, lambda spec: True),
    "float16": (lambda array: array.astype(np.float16), lambda spec: True),
    "complex": (lambda array: array.astype(np.complex64), lambda spec: True),
    "list": (lambda array: array.tolist(), lambda spec: True),
    "read-only": (_read_only, lambda spec: spec.role != "read"),
}


def _refusals() -> list[Any]:
    return [
        (executor, kernel.name, name, layout)
        for executor in CYTHON
        for kernel in KERNELS.values()
        for name, spec in kernel.arrays(_fullest(kernel)).items()
        for layout, (_, applies) in REFUSED.items()
        if applies(spec)
        # An array alone may be of either dtype.
        and not (layout == "other dtype" and len(kernel.arrays()) == 1)
    ]


def _assert_refused(
    executor: str, kernel: str, arguments: dict[str, Any], named: tuple[str, ...]
) -> None:
    """The call raises, names one of the arguments, and writes nothing."""
    before = {n: a.copy() for n, a in arguments.items() if isinstance(a, np.ndarray)}
    with pytest.raises((ValueError, TypeError)) as caught:
        getattr(EXECUTORS[executor], kernel)(*arguments.values())
    words = str(caught.value).replace("'", " ").replace(",", " ").replace(":", " ").split()
    assert any(name in words for name in named), f"{named} not named in: {caught.value}"
    for name, array in before.items():
        np.testing.assert_array_equal(arguments[name], array)


@pytest.mark.parametrize(("executor", "kernel", "argument", "layout"), _refusals())
def test_cython_refuses_other_layouts(
    executor: str, kernel: str, argument: str, layout: str
) -> None:
    variant = _fullest(KERNELS[kernel])
    arguments = Case(kernel, *SMALL, variant).arguments("float32")
    arguments[argument] = REFUSED[layout][0](arguments[argument])
    # Where two arrays are of different dtypes, either may be called the wrong one.
    named = tuple(KERNELS[kernel].arrays(variant)) if layout == "other dtype" else (argument,)
    _assert_refused(executor, kernel, arguments, named)


def _wrong_shapes() -> list[Any]:
    """Each axis of each array that another array shares, and the arrays that share it."""
    return [
        pytest.param(
            executor, kernel.name, name, axis, sharing, id=f"{executor}-{kernel.name}-{name}-{axis}"
        )
        for executor in CYTHON
        for kernel in KERNELS.values()
        for arrays in [kernel.arrays(_fullest(kernel))]
        for name, spec in arrays.items()
        for axis, letter in enumerate(spec.shape)
        if len(sharing := tuple(n for n, a in arrays.items() if letter in a.shape)) > 1
    ]


@pytest.mark.parametrize(("executor", "kernel", "argument", "axis", "sharing"), _wrong_shapes())
def test_cython_refuses_wrong_shapes(
    executor: str, kernel: str, argument: str, axis: int, sharing: tuple[str, ...]
) -> None:
    """The axes of two arguments that should be equal differ: the message names one of them."""
    for change in (1, -1):
        arguments = Case(kernel, *SMALL, _fullest(KERNELS[kernel])).arguments("float32")
        array = arguments[argument]
        shape = [n + change * (i == axis) for i, n in enumerate(array.shape)]
        arguments[argument] = np.ascontiguousarray(np.resize(array, shape))
        _assert_refused(executor, kernel, arguments, sharing)


def _needed_arrays() -> list[Any]:
    return [
        (executor, kernel.name, name)
        for executor in CYTHON
        for kernel in KERNELS.values()
        for name in kernel.arrays()
        if all(name in kernel.arrays(variant) for variant in kernel.variants)
    ]


@pytest.mark.parametrize(("executor", "kernel", "argument"), _needed_arrays())
def test_cython_refuses_none_where_an_array_is_needed(
    executor: str, kernel: str, argument: str
) -> None:
    arguments = Case(kernel, *SMALL).arguments("float32")
    arguments[argument] = None
    _assert_refused(executor, kernel, arguments, (argument,))


@pytest.mark.parametrize("label", [-1, SMALL[1], 2**40, -(2**63)])
@pytest.mark.parametrize(
    ("executor", "kernel"),
    list(
        product(CYTHON, [name for name, kernel in KERNELS.items() if "labels" in kernel.arrays()])
    ),
)
def test_cython_refuses_labels_out_of_range(executor: str, kernel: str, label: int) -> None:
    arguments = Case(kernel, *SMALL).arguments("float32")
    arguments["labels"][-1] = label
    _assert_refused(executor, kernel, arguments, ("labels",))


@pytest.mark.parametrize("axis", ["N", "M"])
@pytest.mark.parametrize(
    ("executor", "loss"),
    list(product(CYTHON, [name for name, kernel in KERNELS.items() if "weights" in kernel.spec()])),
)
def test_cython_refuses_losses_of_nothing(executor: str, loss: str, axis: str) -> None:
    """No rows, or no columns: there is no mean."""
    arguments = Case(loss, *SMALL).arguments("float32")
    for name, spec in KERNELS[loss].arrays().items():
        if axis in spec.shape:
            arguments[name] = np.delete(arguments[name], np.s_[:], spec.shape.index(axis))
    _assert_refused(executor, loss, arguments, (next(iter(arguments)),))


@pytest.mark.parametrize("pieces", [0, 1, 256, 257])
@pytest.mark.parametrize(("executor", "kernel"), list(product(CYTHON, MAXOUT)))
def test_cython_counts_the_pieces_of_a_maxout_in_a_byte(
    executor: str, kernel: str, pieces: int
) -> None:
    arguments = Case(kernel, *SMALL).arguments("float32")
    name = "x" if "x" in arguments else "dx"
    arguments[name] = np.resize(arguments[name], (SMALL[0], pieces, SMALL[1]))
    if pieces in (1, 256):
        last = arguments["x"][:, -1] if name == "x" else arguments["winners"]
        last[:] = pieces - 1
        function = getattr(EXECUTORS[executor], kernel)
        assert_matches_reference(function, KERNELS[kernel], arguments, executor)
    else:
        _assert_refused(executor, kernel, arguments, (name,))


# --------------------------------------------------------------------------------------------------
# numba with the JIT off: the same source as plain Python
# --------------------------------------------------------------------------------------------------

_WITHOUT_JIT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from cases import DTYPES, KERNELS, SMALL, Case
from checker import assert_matches_reference
from fastnn.backend import get_backend

module = get_backend("numba").kernels
compared = 0
for name, kernel in KERNELS.items():
    function = getattr(module, name)
    assert not hasattr(function, "py_func"), name + " was compiled"
    for variant in ("plain", *kernel.variants):
        for dtype in DTYPES:
            arguments = Case(name, *SMALL, variant=variant).arguments(dtype)
            assert_matches_reference(function, kernel, arguments, "numba without JIT")
            compared += 1
print(compared)
"""


@pytest.mark.skipif("numba" not in EXECUTORS, reason="numba is not installed")
def test_numba_without_jit_matches_the_reference(run_python: Callable[..., str]) -> None:
    variants = sum(1 + len(kernel.variants) for kernel in KERNELS.values())
    assert int(run_python(_WITHOUT_JIT, NUMBA_DISABLE_JIT="1")) == variants * len(DTYPES)
