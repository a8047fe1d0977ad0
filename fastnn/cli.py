"""The command line: ``fastnn demo``, ``fastnn experiment`` and ``fastnn info``.

What a person can mend is one line on standard error and exit code 2. An exception that nobody
expected is a bug, and keeps its traceback.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.backend import BACKENDS
from fastnn.lab import experiments
from fastnn.lab.demo import DATASETS, OUT, Demo

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

FAILED = 2
# What a shell reports for a program that a signal ended: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED = 130
BROKEN_PIPE = 141


class _UserError(Exception):
    """What was asked for cannot be done; the message says why, and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, 2 after an error, 130 after Ctrl-C.
    """
    try:
        _run(argv)
        if sys.stdout is not None:
            # What cannot be written shall fail here, not when the interpreter ends.
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except (_UserError, fnn.FastnnError, ImportError) as error:
        return _fail(f"error: {error}")
    except OSError as error:
        _discard_output()
        return _fail(f"error: {_os_error(error)}")
    return 0


def _run(argv: Sequence[str] | None) -> None:
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit:  # after --help and --version; errors are raised, see _parser
        return
    arguments.run(arguments)


def _parser() -> "ArgumentParser":
    from argparse import ArgumentParser

    class Parser(ArgumentParser):
        def error(self, message: str) -> Any:
            raise _UserError(f"{message} (see '{self.prog} --help')")

    parser = Parser(
        prog="fastnn",
        description="Trains multilayer perceptrons on a CPU, fast.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    _add_demo(commands)
    _add_experiment(commands)
    info = commands.add_parser(
        "info",
        help="say what fastnn runs on here",
        description="Says what fastnn runs on here: versions, backends, instruction sets, BLAS, "
        "threads.",
        allow_abbrev=False,
    )
    info.set_defaults(run=_info)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train the classic network, with and without BatchNorm, dropout and weight decay",
        description="Trains a network with six hidden layers of 100 units on handwritten digits, "
        "with and without BatchNorm, dropout and weight decay. Prints how well and how fast; "
        "writes the curves of accuracy and loss as PNG and the numbers as CSV.",
        allow_abbrev=False,
    )
    epochs = ", ".join(f"{dataset.epochs} for {name}" for name, dataset in DATASETS.items())
    demo.add_argument(
        "--dataset", choices=tuple(DATASETS), default="digits", help="default: %(default)s"
    )
    demo.add_argument("--epochs", type=int, metavar="N", help=f"default: {epochs}")
    demo.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    demo.add_argument(
        "--out", default=OUT, metavar="DIR", help="folder for the files; default: %(default)s"
    )
    demo.add_argument(
        "--backend", choices=BACKENDS, help="which kernels; default: the first that is there"
    )
    demo.add_argument("--threads", type=int, metavar="T", help="default: by the amount of work")
    demo.add_argument("--quiet", action="store_true", help="show no progress bar")
    demo.set_defaults(run=_demo)


def _demo(arguments: "Namespace") -> None:
    with _choices_of_the_user():
        demo = Demo(
            arguments.dataset,
            arguments.epochs,
            arguments.seed,
            arguments.out,
            arguments.backend,
            arguments.threads,
            progress=not arguments.quiet,
        )
    demo.run()


def _add_experiment(commands: Any) -> None:
    experiment = commands.add_parser(
        "experiment",
        help="show on data what a course on training networks teaches",
        description="Runs an experiment: prints what it found in a table and a sentence; writes a "
        "picture as PNG and the numbers as CSV. 'list' names the experiments; 'all' runs them all "
        "and writes a page of their pictures, index.html.",
        allow_abbrev=False,
    )
    experiment.add_argument("name", metavar="NAME", help="an experiment, 'list' or 'all'")
    experiment.add_argument(
        "--dataset",
        choices=tuple(DATASETS),
        default="",
        help="default: mnist where FASTNN_DATA has it, else digits",
    )
    experiment.add_argument(
        "--epochs", type=int, metavar="N", help="default: the experiment's own number"
    )
    experiment.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    experiment.add_argument(
        "--out",
        default=experiments.OUT,
        metavar="DIR",
        help="folder for the files; default: %(default)s",
    )
    experiment.set_defaults(run=_experiment)


def _experiment(arguments: "Namespace") -> None:
    name = arguments.name
    if name == "list":
        width = max(len(known) for known in experiments.NAMES)
        for known in experiments.NAMES:
            print(f"{known:{width}}  {experiments.experiment(known).SUMMARY}")
        return
    with _choices_of_the_user():
        options = experiments.Options(
            arguments.dataset, arguments.epochs, arguments.seed, arguments.out
        )
        if name != "all":
            experiments.experiment(name)
    if name == "all":
        experiments.run_all(options)
    else:
        experiments.run_experiment(name, options)


def _info(arguments: "Namespace") -> None:
    with _choices_of_the_user():
        info = fnn.info()
    rows = [row for name, value in info.items() for row in _info_rows(name, value)]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {text}")


def _info_rows(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Name and text of an entry of `fastnn.info`: a row for each item of a list or mapping."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key, "not installed" if item is None else str(item)
    elif isinstance(value, list):
        for item in value:
            yield name.replace("_", " "), str(item)
    elif isinstance(value, tuple):
        yield name.replace("_", " "), ", ".join(value) or "none"
    else:
        yield name.replace("_", " "), "none" if value is None else str(value)


@contextmanager
def _choices_of_the_user() -> Iterator[None]:
    """Here a ValueError or TypeError is about an option or a variable; later it would be a bug."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise _UserError(str(error)) from error


def _os_error(error: OSError) -> str:
    """Without the error number, which helps nobody."""
    if error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"


def _fail(message: str, code: int = FAILED) -> int:
    if sys.stderr is not None:
        print("fastnn:", " ".join(message.split()), file=sys.stderr)
    return code


def _discard_output() -> None:
    """Keep the interpreter from trying again, at its end, to write what could not be written."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
