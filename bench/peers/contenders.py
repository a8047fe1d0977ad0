"""Who is compared: a peer with its settings, and what it can do."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from peers.workloads import Workload, cores

OURS = "fastnn"
EVERYTHING = frozenset({"train", "predict", "many", "mnist"})


@dataclass(frozen=True, eq=False)
class Contender:
    """A peer with settings, which runs in a process of its own.

    Attributes
    ----------
    name : str
    peer : str
        What ``--peers`` calls it.
    module : str
        In `peers`.
    needs : tuple of str
        What must be installed to be imported.
    settings : dict
        Keyword arguments of its ``Network``.
    environment : dict
        Variables of its process.
    modes : frozenset of str
        What it takes part in; see `Workload.mode`.
    plain : bool
        Whether it has neither BatchNorm nor dropout.
    """

    name: str
    peer: str
    module: str
    needs: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    modes: frozenset[str] = EVERYTHING
    plain: bool = False

    def can(self, workload: Workload) -> bool:
        return workload.mode in self.modes and (workload.plain or not self.plain)

    @property
    def missing(self) -> list[str]:
        """What is not installed of what it needs."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def thread_name(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def contenders(backends: Iterable[str]) -> list[Contender]:
    """All of them.

    Parameters
    ----------
    backends : iterable of str
        fastnn's that are available here; cython has the native engine too.
    """
    backends = list(backends)
    counts = sorted({1, cores()})
    everyone = []
    if "cython" in backends:
        everyone += [_native(threads) for threads in counts]
    everyone += [_eager(backend) for backend in backends]
    everyone += [_torch(threads, compiled) for compiled in (False, True) for threads in counts]
    everyone += [_jax(cores(), scan=False)]
    everyone += [_jax(threads, scan=True) for threads in counts]
    everyone += [_on_numpy("scikit-learn", "scikit", ("sklearn",), t, True) for t in counts]
    everyone += [_on_numpy("numpy", "textbook", (), threads, False) for threads in counts]
    everyone += [_onnx(threads) for threads in counts]
    everyone.append(
        Contender(
            "Keras on JAX",
            "keras",
            "keras_jax",
            ("keras", "jax"),
            {"threads": cores()},
            {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
            frozenset({"train", "mnist"}),
        )
    )
    return everyone


def _native(threads: int) -> Contender:
    return Contender(
        f"fastnn native, {thread_name(threads)}",
        OURS,
        "ours",
        (),
        {"engine": "native", "backend": "cython", "threads": threads},
        {"FASTNN_THREADS": str(threads)},  # of predict
        EVERYTHING if threads == 1 else EVERYTHING - {"many"},
    )


def _eager(backend: str) -> Contender:
    return Contender(
        f"fastnn eager, {backend}",
        "fastnn-eager",
        "ours",
        (),
        {"engine": "eager", "backend": backend, "threads": None},
        # The Cython backend predicts natively, whatever trains.
        modes=frozenset({"train"} if backend == "cython" else {"train", "predict"}),
    )


def _torch(threads: int, compiled: bool) -> Contender:
    return Contender(
        f"{'torch.compile' if compiled else 'PyTorch eager'}, {thread_name(threads)}",
        "torch-compile" if compiled else "torch",
        "pytorch",
        ("torch",),
        {"threads": threads, "compiled": compiled},
        {"OMP_NUM_THREADS": str(threads)},
        frozenset({"train", "predict"})
        if compiled
        else (EVERYTHING if threads == 1 else EVERYTHING - {"many"}),
    )


def _jax(threads: int, scan: bool) -> Contender:
    environment = {"JAX_PLATFORMS": "cpu"}
    if threads == 1:
        environment |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    modes = {"train", "mnist", "predict"} if scan else {"train"}
    return Contender(
        f"JAX {'scan' if scan else 'step'}, {thread_name(threads)}",
        "jax",
        "jax_xla",
        ("jax",),
        {"threads": threads, "scan": scan},
        environment,
        frozenset(modes | ({"many"} if scan and threads == 1 else set())),
    )


def _on_numpy(
    peer: str, module: str, needs: tuple[str, ...], threads: int, plain: bool
) -> Contender:
    return Contender(
        f"{'NumPy textbook' if peer == 'numpy' else peer}, {thread_name(threads)}",
        peer,
        module,
        needs,
        {"threads": threads},
        {"OPENBLAS_NUM_THREADS": str(threads)},
        frozenset({"train", "predict", "mnist"}),
        plain,
    )


def _onnx(threads: int) -> Contender:
    return Contender(
        f"ONNX Runtime, {thread_name(threads)}",
        "onnxruntime",
        "onnx_runtime",
        ("onnxruntime", "onnx"),
        {"threads": threads},
        {},
        frozenset({"predict"}),
        plain=True,
    )
