"""Every kernel on every backend, float32: checked against the reference, then timed.

Backends of one kernel and size share a group, so that the ratio to the reference, ``numpy``, can be
read at once. All run on one thread, BLAS too: NumPy and SciPy each bring an OpenBLAS, and two teams
of spinning threads would measure each other. ``FASTNN_BENCH_QUICK=1`` takes two sizes and a few
rounds, to see that all of it runs.

    pytest bench/test_kernels.py --benchmark-json=kernels.json
    python bench/table.py kernels.json
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from cases import BENCHMARK_SIZES, KERNELS, make_arguments
from checker import assert_matches_reference

from fastnn.backend import available_backends, get_backend
from fastnn.threads import limited

QUICK = os.environ.get("FASTNN_BENCH_QUICK") == "1"
SIZES = ((1, 10), (100, 100)) if QUICK else BENCHMARK_SIZES

# Seconds. A round is long enough for the clock, and short enough that some rounds are undisturbed
# on a machine that does other things too: the figure to compare is the minimum.
ROUND = 200e-6
TOTAL = 0.01 if QUICK else 0.08

# The backends of a group one after the other, while the machine is in the same mood.
PARAMETERS = [
    pytest.param(kernel, rows, cols, backend, id=f"{kernel}-{rows}x{cols}-{backend}")
    for kernel in KERNELS
    for rows, cols in SIZES
    for backend in reversed(available_backends())
]


def rounds_and_iterations(function: Callable[..., Any], arguments: list[Any]) -> tuple[int, int]:
    """How many rounds of how many calls take `TOTAL` seconds."""
    fastest = math.inf
    for _ in range(5):
        start = perf_counter()
        function(*arguments)
        fastest = min(fastest, perf_counter() - start)
    iterations = max(1, math.ceil(ROUND / fastest))
    return max(5, math.ceil(TOTAL / (iterations * fastest))), iterations


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with ExitStack() as held:
        for name in available_backends():
            held.enter_context(limited(get_backend(name).kernels))
        yield


@pytest.mark.parametrize(("kernel", "rows", "cols", "backend"), PARAMETERS)
def test_kernel(benchmark: Any, kernel: str, rows: int, cols: int, backend: str) -> None:
    function = getattr(get_backend(backend).kernels, kernel)
    arguments = make_arguments(KERNELS[kernel], rows, cols, "float32", np.random.default_rng(0))
    assert_matches_reference(function, KERNELS[kernel], arguments, backend)

    benchmark.group = f"{kernel} {rows}x{cols}"
    benchmark.extra_info.update(kernel=kernel, backend=backend, rows=rows, cols=cols)
    call = list(arguments.values())
    rounds, iterations = rounds_and_iterations(function, call)
    benchmark.pedantic(function, args=call, rounds=rounds, iterations=iterations)
