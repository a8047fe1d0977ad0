"""What a table can be refused for."""

from collections.abc import Iterable
from difflib import get_close_matches

from fastnn.errors import FastnnError


class TableError(FastnnError):
    """A table cannot be read, learned from or predicted from; the message says why, in a line."""


def no_column(name: str, columns: Iterable[str], source: str) -> TableError:
    """The error for a column that is not there: it names the nearest, or all."""
    known = list(columns)
    lower = {column.lower(): column for column in known}
    close = get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {lower[close[0]]!r}?" if close else f"there are: {listed(known)}"
    return TableError(f"{source} has no column {name!r}; {hint}")


def one_line(name: object) -> str:
    """A name from a file in one line: cells may hold several."""
    return " ".join(str(name).split())


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names in a line, of many the first."""
    known = [one_line(name) for name in names]
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
