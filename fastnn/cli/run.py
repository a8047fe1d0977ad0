"""The command line: its parser, its errors, its exit codes.

What a person can mend is one line on standard error and exit code 2. An exception that nobody
expected is a bug, and keeps its traceback.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.cli import demo, experiment, export, info, inspect, predict, train
from fastnn.cli.errors import UserError

if TYPE_CHECKING:
    from argparse import ArgumentParser

# In the order in which the help lists them.
COMMANDS = (train, predict, inspect, export, demo, experiment, info)

FAILED = 2
# What a shell reports for a program that a signal ended: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED = 130
BROKEN_PIPE = 141


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
    except (UserError, fnn.FastnnError, ImportError) as error:
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
            raise UserError(f"{message} (see '{self.prog} --help')")

    parser = Parser(
        prog="fastnn",
        description="Trains multilayer perceptrons on a CPU, fast.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


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
