"""What fastnn runs on here: versions, backends, instruction set, BLAS, threads."""

import os
import platform
import sys
from importlib import metadata
from typing import Any

from fastnn.backend import available_backends, built_instruction_sets, get_backend
from fastnn.threads import available_threads
from fastnn.version import __version__

NEEDED = ("numpy", "scipy", "threadpoolctl", "safetensors", "rich")
# Those of the extras that add to what fastnn does, and what weights are exchanged with.
OPTIONAL = (
    *("numba", "matplotlib", "scikit-learn", "pooch", "joblib", "pandas", "pyarrow", "onnx"),
    *("torch", "keras"),
)
ENVIRONMENT = (
    "FASTNN_BACKEND",
    "FASTNN_THREADS",
    "FASTNN_ISA",
    "FASTNN_DATA",
    "FASTNN_CACHE",
)


def info() -> dict[str, Any]:
    """Describe the installation, for ``fastnn info`` and for bug reports.

    Returns
    -------
    dict
        "fastnn", "python", "platform", "processor", "threads", "backends", "default_backend",
        "instruction_sets" (those built and supported, best first), "instruction_set" (the one in
        use, or None), "blas" (one entry for each library loaded), "versions" (name to version, or
        None where not installed) and "environment" (the variables that are set).
    """
    backend = get_backend()
    return {
        "fastnn": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": available_threads(),
        "backends": available_backends(),
        "default_backend": backend.name,
        "instruction_sets": built_instruction_sets(),
        "instruction_set": backend.instruction_set,
        "blas": _blas(),
        "versions": {name: _version(name) for name in (*NEEDED, *OPTIONAL)},
        "environment": {name: os.environ[name] for name in ENVIRONMENT if os.environ.get(name)},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas() -> list[str]:
    from threadpoolctl import threadpool_info

    return [
        f"{library['internal_api']} {library['version']}, {library['num_threads']} threads"
        + (f", {library['architecture']}" if library.get("architecture") else "")
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
