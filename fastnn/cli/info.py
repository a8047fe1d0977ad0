"""``fastnn info``."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.cli.errors import choices_of_the_user

if TYPE_CHECKING:
    from argparse import Namespace


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    info = commands.add_parser(
        "info",
        help="say what fastnn runs on here",
        description="Says what fastnn runs on here: versions, backends, instruction sets, BLAS, "
        "threads.",
        allow_abbrev=False,
    )
    info.set_defaults(run=_run)


def _run(arguments: "Namespace") -> None:
    with choices_of_the_user():
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
        if name == "backends" and "cython" not in value:
            # An installation says so, and why, but pip shows that only with -v.
            yield "cython", "not built; it takes a C compiler, and pip install -v says what failed"
    else:
        yield name.replace("_", " "), "none" if value is None else str(value)
