"""The command `fastnn`, run in a process of its own on the fastnn that is tested."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastnn as fnn

PACKAGE_PARENT = Path(fnn.__file__).resolve().parents[1]


def environment(**variables: str) -> dict[str, str]:
    """That of this process without fastnn's variables, and with these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")}
    # The output must not depend on the terminal, or on the service, in which the tests run.
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED"):
        clean.pop(name, None)
    return clean | {"PYTHONPATH": str(PACKAGE_PARENT)} | variables


def fastnn(
    *arguments: str, cwd: Path, variables: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m fastnn`` with every warning an error; its output is in the result."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastnn", *arguments],
        env=environment(**variables or {}),
        cwd=cwd,
        text=True,
        timeout=120,
        check=False,
        **streams,
    )


def assert_refused(process: subprocess.CompletedProcess[str]) -> str:
    """Exit code 2, one line on standard error, nothing else; returns what the line says."""
    assert process.returncode == 2, process.stderr
    assert process.stdout == ""
    prefix = "fastnn: error: "
    assert process.stderr.startswith(prefix)
    assert process.stderr.endswith("\n")
    assert process.stderr.count("\n") == 1
    return process.stderr.removeprefix(prefix).rstrip("\n")
