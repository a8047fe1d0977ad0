"""The compiled kernels that are here: what the parity tests hold to the reference."""

import importlib.util
from types import ModuleType

from fastnn.backend import built_instruction_sets, get_backend, load_cython


def _present() -> dict[str, ModuleType]:
    modules = {f"cython-{isa}": load_cython(isa).kernels for isa in built_instruction_sets()}
    if importlib.util.find_spec("numba") is not None:
        modules["numba"] = get_backend("numba").kernels
    return modules


EXECUTORS = _present()
CYTHON = {name: module for name, module in EXECUTORS.items() if name.startswith("cython")}
