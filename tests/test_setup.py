"""setup.py, with a Cython that is quick and a compiler that refuses what a test has it refuse."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[1] / "setup.py"
WITHOUT = "fastnn: the Cython kernels are left out"

# Instead of a module's C source, which takes a minute to make and to compile.
CYTHON = """
from pathlib import Path

def cythonize(modules, **options):
    for module in modules:
        source = Path("build", module.name.rpartition(".")[2] + ".c")
        source.write_text("int nothing;")
        module.sources = [str(source)]
    return modules
"""

COMPILER = """#!/bin/sh
echo "$*" >> "$COMPILER_LOG"
case "$*" in *$REFUSED*) exit 1 ;; esac
exec cc "$@"
"""

pytestmark = pytest.mark.skipif(
    not shutil.which("cc") or os.name != "posix", reason="there is no C compiler, or no shell"
)


class Tree:
    """A source tree with fastnn's setup.py and next to nothing else."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "fastnn" / "_kernels").mkdir(parents=True)
        (folder / "Cython").mkdir()
        (folder / "Cython" / "__init__.py").touch()
        (folder / "Cython" / "Build.py").write_text(CYTHON)
        (folder / "setup.cfg").write_text("[options]\npackages = fastnn, fastnn._kernels\n")
        shutil.copy(SETUP, folder)
        self.compiler = folder / "compiler"
        self.compiler.write_text(COMPILER)
        self.compiler.chmod(0o755)

    def run(self, *arguments, refused="nothing at all", **variables):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")}
        own = {
            "CC": str(self.compiler),
            "COMPILER_LOG": str(self.folder / "log"),
            "REFUSED": refused,
            "PYTHONPATH": str(self.folder),
        }
        return subprocess.run(
            [sys.executable, "setup.py", "-q", *arguments],
            env=clean | own | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def built(self):
        """Names of the extension modules that an installation would take."""
        found = self.folder.glob("build/lib*/fastnn/_kernels/*.so")
        return sorted(path.name.partition(".")[0] for path in found)


@pytest.fixture
def tree(tmp_path):
    pytest.importorskip("setuptools")
    return Tree(tmp_path)


def test_every_set_has_its_kernels_and_its_program(tree):
    process = tree.run("build", FASTNN_BUILD_SETS="baseline")
    assert process.returncode == 0, process.stderr
    assert tree.built() == ["cpu", "cython_kernels_baseline", "program_baseline"]
    assert WITHOUT not in process.stderr
    compiled = [line for line in (tree.folder / "log").read_text().splitlines() if " -c " in line]
    assert len(compiled) == 3
    assert all("-fopenmp" in line and "-O3" in line for line in compiled)


def test_a_compiler_without_openmp_builds_without(tree):
    process = tree.run("build", refused="-fopenmp", FASTNN_BUILD_SETS="baseline")
    assert process.returncode == 0, process.stderr
    assert tree.built() == ["cpu", "cython_kernels_baseline", "program_baseline"]
    assert WITHOUT not in process.stderr


@pytest.mark.parametrize("refused", ["cpu.c", "program_baseline.c", "-shared"])
def test_what_was_built_in_part_is_not_installed(tree, refused):
    process = tree.run("build", refused=refused)
    assert process.returncode == 0, process.stderr
    assert tree.built() == []
    assert process.stderr.count(WITHOUT) == 1
    assert "building them failed" in process.stderr


def test_kernels_of_an_earlier_build_are_not_installed_either(tree):
    tree.run("build", FASTNN_BUILD_SETS="baseline")
    assert "program_baseline" in tree.built()
    tree.run("build", "--force", refused="program_baseline.c", FASTNN_BUILD_SETS="baseline")
    assert tree.built() == []


def test_a_failure_can_be_made_fatal(tree):
    process = tree.run("build", refused="program_baseline.c", FASTNN_BUILD_EXT="1")
    assert process.returncode != 0
    assert WITHOUT not in process.stderr


def test_left_out_on_demand_and_said_once(tree):
    # What pip runs: what is needed to build, the metadata, the build.
    processes = [
        tree.run(command, FASTNN_BUILD_EXT="0") for command in ("egg_info", "egg_info", "build")
    ]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert [process.stderr.count(WITHOUT) for process in processes] == [0, 0, 1]
    assert tree.built() == []
    assert not (tree.folder / "log").exists()


def test_sources_are_not_made_anew_for_each_command(tree):
    def times():
        stubs = sorted((tree.folder / "build" / "instruction_sets").iterdir())
        return [(path.name, path.stat().st_mtime_ns) for path in stubs]

    assert tree.run("egg_info").returncode == 0
    before = times()
    assert "program_baseline.pyx" in dict(before)
    assert tree.run("egg_info").returncode == 0
    assert times() == before


def test_an_unknown_instruction_set_is_named(tree):
    process = tree.run("egg_info", FASTNN_BUILD_SETS="baseline,sse")
    assert process.returncode != 0
    assert process.stderr.startswith("FASTNN_BUILD_SETS must name some of baseline")
    assert process.stderr.endswith("got 'sse'\n")


@pytest.mark.skipif(
    not (SETUP.parent / ".git").exists() or not shutil.which("git"),
    reason="this is no git checkout, or there is no git",
)
def test_a_source_distribution_holds_every_source(tree):
    command = ["git", "-C", str(SETUP.parent), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"git does not say what is in it: {listed.stderr.strip()}")
    names = {name for name in listed.stdout.split("\0") if name and (SETUP.parent / name).exists()}
    for name in names:
        (tree.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SETUP.parent / name, tree.folder / name)
    process = tree.run("sdist", FASTNN_BUILD_EXT="0")
    assert process.returncode == 0, process.stderr
    (packed,) = tree.folder.glob("dist/*.tar.gz")
    with tarfile.open(packed) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if not name.startswith(".")} - held == set()
    assert not any(name.endswith((".so", ".c", ".pyc")) for name in held)
