"""A table in memory, wherever it came from."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastnn.errors import missing_extra
from fastnn.tables.errors import TableError

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Table:
    """A table that was read, or given.

    Attributes
    ----------
    frame : pandas.DataFrame
        Its columns have different names, all of them text.
    source : str
        The file's name without its folder.
    notes : tuple of str
        What was found out while reading, in sentences.
    decimal_commas : bool
        Whether its numbers are written so, "1.234,5" with points between thousands.
    """

    frame: "DataFrame"
    source: str
    notes: tuple[str, ...] = ()
    decimal_commas: bool = False


def require_pandas() -> Any:
    """pandas.

    Raises
    ------
    ImportError
        It is not installed; the message names the extra.
    """
    try:
        import pandas
    except ImportError as error:
        raise missing_extra("pandas", "table") from error
    return pandas


def check_names(names: list[str], source: str) -> None:
    """Refuse two columns of one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [place for place, name in enumerate(names, 1) if name == twice[0]]
        raise TableError(
            f"{source} has two columns called {twice[0]!r}, the {places[0]}. and the "
            f"{places[1]}.: rename one"
        )
