"""The README is true: its code runs, and its commands exist."""

import os
import re
import subprocess
import sys

import pytest
from pages import ROOT, blocks

import fastnn as fnn

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = [block.code for block in blocks(README) if block.language == "python"]


def test_there_is_code_to_run():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_code_runs(block, tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with the extra 'demo'")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    number = float(run.stdout.split()[-1])
    assert number > 0.9 or number < 0.01  # digits: an accuracy; regression: a loss


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_make_targets_exist(text):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z]+)\b", text))
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert named
    assert named <= targets | {"install"}


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_names_exist(text):
    for name in re.findall(r"\bfnn\.([A-Za-z_][A-Za-z_0-9]*)", text):
        assert hasattr(fnn, name), name


def test_files_named_exist():
    for name in re.findall(
        r"`((?:_kernels/|tests/|layers/)[a-z_]+\.(?:py|pyx|pxd))`", CONTRIBUTING
    ):
        folder = ROOT if name.startswith("tests/") else ROOT / "fastnn"
        assert (folder / name).exists(), name


def test_extras_named_exist():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extras in re.findall(r'"\.\[([a-z,]+)\]"', README + CONTRIBUTING):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", pyproject, flags=re.MULTILINE), extra
