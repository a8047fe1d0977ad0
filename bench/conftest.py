"""What a benchmark's figures depend on, written into its JSON."""

import importlib.metadata
import platform
from typing import Any

import threadpoolctl

from fastnn.backend import available_backends, best_instruction_set


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Add the versions of what runs, the instruction set and the BLAS libraries."""
    versions = {"python": platform.python_version()}
    for package in ("fastnn", "numpy", "scipy", "numba"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    backends = available_backends()
    machine_info["fastnn"] = {
        "versions": versions,
        "instruction_set": best_instruction_set() if "cython" in backends else None,
        "blas": [
            f"{pool['internal_api']} {pool['version']} ({pool['architecture']})"
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        ],
    }
