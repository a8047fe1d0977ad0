"""`import fastnn` stays light: what it loads, and what it costs beside NumPy and SciPy's BLAS."""

import sys

import pytest

HEAVY = [
    *("numba", "llvmlite", "matplotlib", "sklearn", "torch", "rich", "safetensors", "pooch"),
    *("argparse", "pandas", "tqdm", "requests", "urllib.request", "http.client"),
    *("unittest", "multiprocessing", "concurrent.futures", "asyncio"),
]

LOADED_BY = """
import sys
{imports}
print(*sys.modules)
"""


def test_heavy_modules_are_not_loaded(run_python):
    """Beyond those that NumPy and SciPy load themselves."""
    base = set(run_python(LOADED_BY.format(imports="import numpy, scipy.linalg")).split())
    loaded = set(run_python(LOADED_BY.format(imports="import fastnn")).split())
    assert "fastnn.trainer" in loaded
    assert [name for name in HEAVY if name in loaded - base] == []
    packages = {name.partition(".")[0] for name in loaded - base} - sys.stdlib_module_names
    assert packages <= {"fastnn", "numpy", "scipy", "threadpoolctl", "cython_runtime"} | {
        name for name in packages if name.startswith(("_cython_", "__"))
    }


TIMED = """
import time
start = time.perf_counter()
{imports}
print(time.perf_counter() - start)
"""


def shortest(run_python, rounds=8):
    """Seconds to import fastnn, and NumPy with scipy.linalg, in turns; the least of each."""
    seconds = {"fastnn": [], "numpy, scipy.linalg": []}
    for _ in range(rounds):
        for imports, taken in seconds.items():
            taken.append(float(run_python(TIMED.format(imports=f"import {imports}"))))
    return (min(taken) for taken in seconds.values())


def test_import_costs_little_more_than_numpy_and_scipy(run_python):
    run_python("import fastnn")  # compiles what has no bytecode yet
    ratios = []
    for _ in range(3):
        ours, base = shortest(run_python)
        ratios.append(ours / base)
        if ratios[-1] <= 1.3:
            return
    pytest.fail(f"import fastnn takes {min(ratios):.2f} times what numpy and scipy.linalg take")
