import os
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from command import assert_refused, environment, fastnn

import fastnn as fnn
from fastnn import cli


@pytest.fixture
def without_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith("FASTNN_"):
            monkeypatch.delenv(name)


def rows_of(text):
    return [re.split(r"  +", line, maxsplit=1) for line in text.splitlines()]


# -- what it prints --------------------------------------------------------------------------------


def test_version(tmp_path):
    process = fastnn("--version", cwd=tmp_path)
    assert (process.returncode, process.stdout) == (0, f"fastnn {fnn.__version__}\n")
    assert process.stderr == ""


def test_help_names_the_commands_and_their_options(tmp_path):
    process = fastnn("--help", cwd=tmp_path)
    assert process.returncode == 0
    assert re.search(r"^ +demo +train", process.stdout, re.MULTILINE)
    assert re.search(r"^ +info +say", process.stdout, re.MULTILINE)
    process = fastnn("demo", "--help", cwd=tmp_path)
    assert process.returncode == 0
    for option in ("dataset", "epochs", "seed", "out", "backend", "threads", "quiet"):
        assert f"--{option}" in process.stdout


def test_info_says_what_fastnn_info_returns(tmp_path):
    process = fastnn("info", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    rows = rows_of(process.stdout)
    lines = process.stdout.splitlines()
    assert len({line.index(text) for line, (_, text) in zip(lines, rows, strict=True)}) == 1
    values = dict(rows)
    info = fnn.info()
    assert values["fastnn"] == fnn.__version__
    assert values["backends"] == ", ".join(fnn.available_backends())
    assert values["threads"] == str(info["threads"])
    assert values["numpy"] == info["versions"]["numpy"]
    assert [text for name, text in rows if name == "blas"]
    assert {"python", "platform", "processor", "default backend", "instruction set"} <= set(values)


def test_info_lists_every_package_that_fastnn_can_use():
    """With their versions, or that they are not there: what a report of a fault needs."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = settings["optional-dependencies"]
    everything = re.fullmatch(r"fastnn\[(.*)\]", *extras["all"])[1].split(",")
    named = [*settings["dependencies"], *(line for extra in everything for line in extras[extra])]
    packages = {re.match(r"[\w-]+", line)[0] for line in named}
    versions = fnn.info()["versions"]
    assert packages | {"torch", "keras"} == set(versions)
    assert versions["numpy"] == np.__version__
    for name, version in versions.items():
        if version is None:
            with pytest.raises(metadata.PackageNotFoundError):
                metadata.version(name)


def test_info_says_what_is_missing_and_which_variables_are_set(monkeypatch, capsys):
    info = {
        "backends": ("numpy",),
        "instruction_set": None,
        "instruction_sets": (),
        "versions": {"numba": None, "numpy": "2.0"},
        "environment": {"FASTNN_THREADS": "1"},
    }
    monkeypatch.setattr(fnn, "info", lambda: info)
    assert cli.main(["info"]) == 0
    assert rows_of(capsys.readouterr().out) == [
        ["backends", "numpy"],
        ["cython", "not built; it takes a C compiler, and pip install -v says what failed"],
        ["instruction set", "none"],
        ["instruction sets", "none"],
        ["numba", "not installed"],
        ["numpy", "2.0"],
        ["FASTNN_THREADS", "1"],
    ]


def test_the_command_loads_little(run_python):
    heavy = ("argparse", "matplotlib", "sklearn", "numba", "torch", "pooch", "rich", "pandas")
    code = "import fastnn.cli, sys; print(*[name for name in {} if name in sys.modules])"
    assert run_python(code.format(heavy)) == ""
    assert run_python("import fastnn, sys; print('fastnn.cli' in sys.modules)") == "False"


# -- what a person can mend ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"command \(see 'fastnn --help'\)"),
        (["dmeo"], r"'dmeo'.*demo.*info.*'fastnn --help'"),
        (["info", "--verbose"], r"--verbose"),
        (["demo", "--epochs", "many"], r"--epochs.*'many'.*'fastnn demo --help'"),
        (["demo", "--ep", "3"], r"--ep 3"),
        (["demo", "--dataset", "iris"], r"--dataset.*'iris'.*digits.*mnist"),
        (["demo", "--backend", "cuda"], r"--backend.*'cuda'.*cython.*numba.*numpy"),
        (["demo", "--epochs", "0"], r"^epochs must be at least 1; got 0$"),
        (["demo", "--seed", "-1"], r"^seed must be at least 0; got -1$"),
        (["demo", "--threads", "0"], r"^threads must be at least 1; got 0$"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    assert re.search(message, assert_refused(fastnn(*arguments, cwd=tmp_path)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "variable", "message"),
    [
        ("info", "FASTNN_BACKEND", "FASTNN_BACKEND must be one of cython, numba, numpy; got 'x'"),
        ("demo", "FASTNN_BACKEND", "FASTNN_BACKEND must be one of cython, numba, numpy; got 'x'"),
        ("demo", "FASTNN_THREADS", "FASTNN_THREADS must be an integer of at least 1; got 'x'"),
    ],
)
def test_wrong_environment(tmp_path, command, variable, message):
    assert assert_refused(fastnn(command, cwd=tmp_path, variables={variable: "x"})) == message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [["demo", "--dataset", "mnist"], ["experiment", "dropout"]])
def test_data_in_the_home_of_nobody(tmp_path, arguments):
    variables = {"FASTNN_DATA": "~nobody-of-this-name"}
    line = assert_refused(fastnn(*arguments, cwd=tmp_path, variables=variables))
    assert line.startswith("FASTNN_DATA is '~nobody-of-this-name'")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (fnn.CorruptFileError("a.idx is damaged.\n  Fetch it again."),
         "a.idx is damaged. Fetch it again."),
        (fnn.NotBuiltError("not built; use numpy"), "not built; use numpy"),
        (ImportError("x is not installed"), "x is not installed"),
        (PermissionError(13, "Permission denied", "/there/x.png"),
         "Permission denied: /there/x.png"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("no route to host"), "no route to host"),
    ],
)  # fmt: skip
def test_errors_of_a_command_are_one_line(monkeypatch, capsys, error, line):
    def fail():
        raise error

    monkeypatch.setattr(fnn, "info", fail)
    assert cli.main(["info"]) == 2
    assert capsys.readouterr() == ("", f"fastnn: error: {line}\n")


def test_bugs_keep_their_traceback(monkeypatch, without_variables):
    class Demo:
        def __init__(self, *arguments, **options):
            pass

        def run(self):
            raise ValueError("shapes do not match")

    # Once the options have been checked, a ValueError is no longer about them.
    monkeypatch.setattr("fastnn.cli.demo.Demo", Demo)
    with pytest.raises(ValueError, match="shapes do not match"):
        cli.main(["demo"])
    monkeypatch.setattr(fnn, "info", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["info"])


# -- interrupts and closed streams -----------------------------------------------------------------


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(fnn, "info", interrupt)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr() == ("", "fastnn: interrupted\n")


@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["--version"]])
def test_closed_pipe(tmp_path, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = fastnn(*arguments, cwd=tmp_path, stdout=writer)
    finally:
        os.close(writer)
    assert process.returncode == 141
    assert process.stderr == ""


def test_full_disk(tmp_path):
    with open("/dev/full", "w") as full:
        process = fastnn("info", cwd=tmp_path, stdout=full)
    assert process.returncode == 2
    assert process.stderr == "fastnn: error: No space left on device\n"


def test_without_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["info"]) == 0
    assert cli.main(["dmeo"]) == 2


def test_the_tests_run_the_command_without_variables(monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "numpy")
    assert "FASTNN_BACKEND" not in environment()
    assert environment(FASTNN_THREADS="1")["FASTNN_THREADS"] == "1"
