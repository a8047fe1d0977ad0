"""The Makefile, as far as it can be run without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"

# Makes an environment at once, without pip; so `make` stops at the step that would install.
PYTHON = """#!/bin/sh
test "$1 $2" = "-m venv" || exit 9
shift 2
exec "{python}" -m venv --without-pip "$@"
"""

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")


@needs_make
@pytest.mark.parametrize("name", [".venv", ".venv-dev", ".venv-docs"])
def test_what_another_python_left_gives_way(tmp_path, name):
    """As it must after ``make demo`` with a Python too old and ``make demo PYTHON=...``."""
    shutil.copy(MAKEFILE, tmp_path)
    for file in ("pyproject.toml", "setup.py"):
        (tmp_path / file).touch()
    (tmp_path / "fastnn").mkdir()
    (tmp_path / name / "bin").mkdir(parents=True)
    older = tmp_path / "older"
    older.write_text("#!/bin/sh\necho I am too old >&2\nexit 1\n")
    older.chmod(0o755)
    (tmp_path / name / "bin" / "python").symlink_to(older)
    python = tmp_path / "chosen"
    python.write_text(PYTHON.format(python=sys.executable))
    python.chmod(0o755)

    process = subprocess.run(
        ["make", f"{name}/installed", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "too old" not in process.stderr
    assert "No module named pip" in process.stderr


@needs_make
@pytest.mark.parametrize("name", ["layers.py", "program.pyx", "loops.pxd", "training.pxi"])
def test_a_change_of_any_source_is_installed(tmp_path, name):
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "fastnn").mkdir()
    (tmp_path / ".venv").mkdir()
    installed = tmp_path / ".venv" / "installed"
    for file in ("pyproject.toml", "setup.py", f"fastnn/{name}", ".venv/installed"):
        (tmp_path / file).touch()
    os.utime(installed, (2e9, 2e9))

    def up_to_date():
        command = ["make", "--question", ".venv/installed"]
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert process.returncode in (0, 1), process.stderr
        return process.returncode == 0

    assert up_to_date()
    os.utime(tmp_path / "fastnn" / name, (2e9 + 1, 2e9 + 1))
    assert not up_to_date()


RESULTS = [
    *(".venv/x", ".venv-dev/x", ".venv-test/x", "build/x", "dist/x", "bench/results/x"),
    *("docs/reference/generated/x", "docs/.ruff_cache/x", "fastnn-demo/x", "fastnn.egg-info/x"),
    *("fastnn/__pycache__/x", "fastnn/_kernels/cpu.so", ".mypy_cache/x", ".ruff_cache/x"),
]
SOURCES = ["fastnn/_kernels/cpu.pyx", "tests/x.py", "bench/x.py", "docs/x.md"]


@needs_make
def test_clean_leaves_what_was_there(tmp_path):
    shutil.copy(MAKEFILE, tmp_path)
    for name in RESULTS + SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for _ in range(2):  # there may be nothing to remove
        subprocess.run(["make", "--silent", "clean"], cwd=tmp_path, check=True, timeout=120)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path)) for path in left} == {"Makefile", *SOURCES}
