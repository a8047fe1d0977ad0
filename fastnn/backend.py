"""Which kernels a model runs on: chosen once, checked once.

Three implementations carry the same kernels: ``cython`` (compiled at install), ``numba`` (compiled
at run time) and ``numpy`` (the reference). The first of them that is there is the default;
`use_backend`, a model's ``backend=`` and the environment variable ``FASTNN_BACKEND`` choose
another. What was asked for and is not there is an error, never a silent second best.

The Cython kernels are built once for each instruction set in `INSTRUCTION_SETS`; the best one that
both the build and the processor have is loaded. ``FASTNN_ISA`` names a lesser one.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from fastnn.checks import name_among
from fastnn.errors import NotBuiltError, missing_extra

BACKENDS = ("cython", "numba", "numpy")
INSTRUCTION_SETS = ("avx512", "avx2", "baseline")

_KERNELS = "fastnn._kernels"

_chosen: ContextVar[str | None] = ContextVar("fastnn_backend", default=None)


@dataclass(frozen=True)
class Backend:
    """One implementation of the kernels.

    Attributes
    ----------
    name : {"cython", "numba", "numpy"}
    kernels : module
        Holds every kernel of `fastnn._kernels.reference` under the same name and signature.
    instruction_set : str or None
        What the Cython kernels were compiled for; None for the others.
    program : module or None
        The native program made of these kernels; only ``cython`` has one.
    """

    name: str
    kernels: ModuleType
    instruction_set: str | None = None
    program: ModuleType | None = None

    def __reduce__(self) -> tuple[Callable[[str], "Backend"], tuple[str]]:
        return get_backend, (self.name,)  # modules cannot be pickled


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can be loaded here, the default first."""
    present = {
        "cython": bool(built_instruction_sets()),
        "numba": importlib.util.find_spec("numba") is not None,
        "numpy": True,
    }
    return tuple(name for name in BACKENDS if present[name])


def get_backend(name: str | None = None) -> Backend:
    """Load a backend.

    Parameters
    ----------
    name : str, optional
        None takes the innermost `use_backend`, then ``FASTNN_BACKEND``, then the first of
        `available_backends`.

    Raises
    ------
    ValueError
        The name is not one of `BACKENDS`.
    NotBuiltError
        ``cython`` was asked for and its extensions were not built.
    ImportError
        ``numba`` was asked for and is not installed.
    """
    source = "backend"
    if name is None:
        name = _chosen.get()
    if name is None and os.environ.get("FASTNN_BACKEND"):
        name, source = os.environ["FASTNN_BACKEND"], "FASTNN_BACKEND"
    if name is None:
        name = available_backends()[0]
    if name_among(source, name, BACKENDS) == "cython":
        return load_cython(best_instruction_set())
    return _load_numba() if name == "numba" else _load_numpy()


@contextmanager
def use_backend(name: str) -> Iterator[Backend]:
    """Build models on this backend inside the ``with`` block.

    A model keeps the backend that it was built with, so two models on two backends live side by
    side. The choice is local to the thread or task that made it.

    Parameters
    ----------
    name : {"cython", "numba", "numpy"}

    Raises
    ------
    ValueError, NotBuiltError, ImportError
        There is no such backend; it was not built; numba is not installed.
    """
    backend = get_backend(name)
    token = _chosen.set(backend.name)
    try:
        yield backend
    finally:
        _chosen.reset(token)


def built_instruction_sets() -> tuple[str, ...]:
    """Instruction sets the Cython kernels were built for and this processor runs, best first."""
    if importlib.util.find_spec(f"{_KERNELS}.cpu") is None:
        return ()
    supported = importlib.import_module(f"{_KERNELS}.cpu").supported_instruction_sets()
    return tuple(
        isa
        for isa in INSTRUCTION_SETS
        if isa in supported and importlib.util.find_spec(f"{_KERNELS}.cython_kernels_{isa}")
    )


def best_instruction_set() -> str:
    """The instruction set the ``cython`` backend runs on; ``FASTNN_ISA`` overrides it.

    Raises
    ------
    NotBuiltError
        No extension was built, or not for the one that ``FASTNN_ISA`` names.
    """
    built = built_instruction_sets()
    if not built:
        raise NotBuiltError(
            "backend 'cython' was not built here: install fastnn where a C compiler is present, "
            "or use backend 'numba' or 'numpy'"
        )
    asked = os.environ.get("FASTNN_ISA")
    if asked and asked not in built:
        raise NotBuiltError(
            f"FASTNN_ISA={asked!r} is not among the instruction sets built for and supported by "
            f"this processor: {', '.join(built)}"
        )
    return asked or built[0]


@cache
def load_cython(isa: str) -> Backend:
    """The Cython backend compiled for one of `built_instruction_sets`."""
    return Backend(
        "cython",
        importlib.import_module(f"{_KERNELS}.cython_kernels_{isa}"),
        isa,
        importlib.import_module(f"{_KERNELS}.program_{isa}"),
    )


@cache
def _load_numba() -> Backend:
    if importlib.util.find_spec("numba") is None:
        raise missing_extra("numba", "numba")
    # Loaded now, not when the first product is compiled: its threads must be known by then.
    importlib.import_module("scipy.linalg.cython_blas")
    return Backend("numba", importlib.import_module(f"{_KERNELS}.numba_kernels"))


@cache
def _load_numpy() -> Backend:
    return Backend("numpy", importlib.import_module(f"{_KERNELS}.reference"))
