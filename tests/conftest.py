"""What the tests share: the backends there are, and Python processes of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import fastnn as fnn
from fastnn.backend import get_backend

PACKAGE = Path(fnn.__file__).resolve().parent
SOURCE_TREE = Path(__file__).resolve().parents[1] / "fastnn"


def pytest_configure():
    if os.environ.get("FASTNN_TEST_INSTALLED") == "1" and PACKAGE == SOURCE_TREE:
        raise pytest.UsageError(
            f"FASTNN_TEST_INSTALLED=1 asks for the installed package, but fastnn came from the "
            f"source tree, {PACKAGE}: run pytest, not python -m pytest, without PYTHONPATH"
        )


@pytest.fixture(params=fnn.available_backends())
def backend(request):
    """Each backend that is here."""
    return request.param


class Executor(NamedTuple):
    """What runs a training step: a model's ``backend`` and a trainer's ``engine``."""

    backend: str
    engine: str


def executors():
    for name in fnn.available_backends():
        if get_backend(name).program is not None:
            yield Executor(name, "native")
        yield Executor(name, "eager")


@pytest.fixture(params=executors(), ids="-".join)
def executor(request):
    """Each backend that is here, with each engine it has."""
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture
def run_python(tmp_path):
    """A function that runs code in a new process, on the fastnn that is tested, and returns what it
    printed; a process that fails fails the test.
    """

    def run(code, package_parent=PACKAGE.parent, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")}
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=clean | {"PYTHONPATH": str(package_parent)} | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.strip()

    return run
