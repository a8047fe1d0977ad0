"""Tables out of CSV, in the dialects of the programs that write it."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from fastnn.tables.errors import TableError, listed
from fastnn.tables.spelled_numbers import spelled_numbers, unpointed
from fastnn.tables.table import Table, check_names, require_pandas

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# What stands for a missing value, besides what pandas takes for one: nothing, NA, NaN, null, ...
MISSING = ["?", "-", "--", "."]

# What Excel takes for a hint, and some programs write for it.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(\r\n|\r|\n|$)", re.IGNORECASE)


def read_csv(
    content: bytes,
    name: str,
    encoding: str | None,
    text_columns: Collection[str],
    number_columns: Collection[str],
    decimal_commas: bool,
) -> Table:
    """The table that bytes hold; the other parameters are those of `read_table`."""
    text = _decoded(content, name, encoding)
    if not text.strip():
        raise TableError(f"{name} is empty")
    said = _SEPARATOR_LINE.match(text)
    if said:
        text = text[said.end(1) :]  # from the end of that line, so that lines keep their numbers
    separator = said[1] if said else _separator(text)
    if not text.strip():
        raise TableError(f"{name} has no header")
    header = _checked_header(text, separator, name)
    frame = _parsed(text, separator, header, dict.fromkeys(set(text_columns) & {*header}, str))
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for column in header:
        if _is_text(frame[column]):
            stripped = frame[column].str.strip()
            frame[column] = stripped.mask(stripped.isin(["", *MISSING]))
            if column not in text_columns:
                numbers = spelled_numbers(
                    frame[column],
                    known=column in number_columns,
                    # Between commas one of a number is more likely between thousands.
                    commas_first=decimal_commas or separator != ",",
                )
                if numbers is not None:
                    frame[column], how = numbers
                    for word in how:
                        spelled[word].append(column)
    decimal_commas = decimal_commas or bool(spelled["decimal commas"])
    if decimal_commas:
        floats = [column for column in header if frame[column].dtype.kind == "f"]
        written = _parsed(text, separator, header, str)
        thousands = {column: unpointed(written[column]) for column in floats}
        thousands = {column: values for column, values in thousands.items() if values is not None}
        frame = frame.assign(**thousands)
        spelled["points between thousands"] += [*thousands]
    notes = [f"its columns are separated by {SEPARATORS[separator]}"] if separator != "," else []
    notes += [
        f"these columns have {how}: {listed(names)}" for how, names in spelled.items() if names
    ]
    return Table(frame, name, tuple(notes), decimal_commas)


def _parsed(text: str, separator: str, header: list[str], dtype: Any) -> "DataFrame":
    return require_pandas().read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=header,
        index_col=False,
        skipinitialspace=True,
        na_values=MISSING,
        dtype=dtype,
        low_memory=False,
    )


def _is_text(column: "Series") -> bool:
    """Whether a column holds text, and maybe gaps, alone."""
    pd = require_pandas()
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return bool(pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty")) and (
        pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)
    )


def _decoded(content: bytes, name: str, encoding: str | None) -> str:
    if encoding is None:
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if utf16 else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ValueError(f"encoding must be one that Python knows; got {encoding!r}") from None
    except UnicodeError as error:
        place = ""
        if isinstance(error, UnicodeDecodeError):
            line = content[: error.start].count(b"\n") + 1
            place = f" (byte 0x{content[error.start]:02x} in line {line})"
        raise TableError(
            f"{name} is not {encoding.removesuffix('-sig').upper()}{place}: save it as UTF-8, or "
            "give its encoding, often cp1252 or latin-1"
        ) from None
    if "\0" in text[:10_000]:
        raise TableError(f"{name} is no text file: it holds bytes of zero")
    return text


def _separator(text: str) -> str:
    """What separates columns: of what divides the first lines evenly, what gives most columns."""
    lines = text[:100_000].splitlines()[:50]
    if len(text) > 100_000 and len(lines) > 1:
        lines.pop()  # it may be cut
    counts = {}
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:
            continue
        even = sum(width == widths[0] for width in widths) / len(widths)
        if widths[0] > 1:
            counts[separator] = (even, widths[0])
    return max(counts, key=lambda separator: counts[separator], default=",")


def _rows(text: str, separator: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with the line that each ends in; blank lines are left out."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield reader.line_num, row
    except csv.Error as error:
        raise TableError(
            f"{name} is no proper CSV in line {reader.line_num}: {error}. Is a quotation mark "
            "not closed?"
        ) from None


def _checked_header(text: str, separator: str, name: str) -> list[str]:
    """The names of the columns; every row has as many fields.

    pandas fills short rows up with gaps, which would hide that values have slipped.
    """
    rows = _rows(text, separator, name)
    _, header = next(rows)
    for line, row in rows:
        if len(row) != len(header):
            fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
            raise TableError(
                f"{name} is ragged: line {line} has {fields}, the header {len(header)}, "
                f"separated by {SEPARATORS[separator]}"
            )
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(header, 1)]
    check_names(names, name)
    return names
