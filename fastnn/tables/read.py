"""Tables out of files: CSV in its dialects, Parquet, and NumPy's NPZ."""

import csv
import gzip
import io
import os
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.errors import missing_extra
from fastnn.files import FilePath
from fastnn.tables.errors import TableError, listed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
SHEET_SUFFIXES = (".xlsx", ".xls", ".ods")
KNOWN = "CSV (.csv, .tsv, .txt, also .gz), Parquet (.parquet) or NumPy (.npz)"

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# What stands for a missing value, besides what pandas takes for one: nothing, NA, NaN, null, ...
MISSING = ["?", "-", "--", "."]

# A column of text is one of numbers if so many of its values are, and the rest are few words; or so
# many, if the numbers are too many to be names.
NUMBERS_SHARE, MOST_WORDS = 0.9, 5
LEAST_SHARE, MOST_NAMES = 0.5, 20

# Numbers as people write them, by their decimal sign: with or without signs between thousands.
_NUMBER = {
    decimal: re.compile(
        rf"[+-]?(?=\{decimal}?\d)"
        rf"(\d*|\d{{1,3}}(\{other}\d{{3}})+|[1-9]\d{{0,2}}([ \u00a0\u202f'\u2019]\d{{3}})+)"
        rf"(\{decimal}\d*)?([eE][+-]?\d+)?"
    )
    for decimal, other in ((",", "."), (".", ","))
}
_BETWEEN_THOUSANDS = str.maketrans("", "", " \u00a0\u202f'\u2019")
# What Excel takes for a hint, and some programs write for it.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(\r\n|\r|\n|$)", re.IGNORECASE)
_POINTED = re.compile(r"0|[+-]?[1-9]\d{0,2}(\.\d{3})*")
_UNIT = re.compile(r"[%$€£¥]")


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
    """

    frame: "DataFrame"
    source: str
    notes: tuple[str, ...] = ()


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


def read(path: FilePath, *, encoding: str | None = None) -> "DataFrame":
    """A table out of a file, as `train` and `TableModel.predict` read it.

    Parameters
    ----------
    path : path-like
        A CSV file, its first line the names of the columns; separators (comma, semicolon, tab,
        bar) and decimal commas are found out. A Parquet file. An NPZ file of arrays with as many
        rows as each other: a vector is a column, of a matrix ``x`` the columns are x0, x1, ...
    encoding : str, optional
        Of a CSV file; by default UTF-8, or UTF-16 where the file says so.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    TableError
        The file is not what its name says, damaged, empty, or no table.
    TypeError, ValueError
        No path; an encoding that Python does not know.
    OSError
        The file cannot be read.
    ImportError
        pandas, or for Parquet pyarrow, is not installed; the message names the extra.
    """
    return read_table(path, encoding=encoding).frame


def read_table(
    data: Any,
    *,
    encoding: str | None = None,
    text_columns: Collection[str] = (),
    number_columns: Collection[str] = (),
) -> Table:
    """A table out of a file, or a pandas.DataFrame as it is.

    Parameters
    ----------
    data : path-like or pandas.DataFrame
        As in `read`.
    encoding : str, optional
        As in `read`.
    text_columns : collection of str
        Columns of a CSV file whose values are text, even where they look like numbers.
    number_columns : collection of str
        Those whose values are numbers, even where most of them are words.

    Raises as `read`.
    """
    pd = require_pandas()
    if isinstance(data, pd.DataFrame):
        frame = data.rename(columns=str)
        _check_names([*frame.columns], "the table")
        table = Table(frame, "the table")
    elif isinstance(data, str | os.PathLike):
        table = _read_file(Path(data), encoding, text_columns, number_columns)
    else:
        raise TypeError(
            f"data must be the path of a file or a pandas.DataFrame; got {type(data).__name__}"
        )
    if not len(table.frame):
        raise TableError(f"{table.source} has no rows below its header")
    return table


def _read_file(
    path: Path,
    encoding: str | None,
    text_columns: Collection[str],
    number_columns: Collection[str],
) -> Table:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
    content = path.read_bytes()
    if not content:
        raise TableError(f"{path.name} is empty")
    if suffix in CSV_SUFFIXES:
        if path.suffix.lower() == ".gz":
            content = _unpacked(content, path.name)
        return _read_csv(content, path.name, encoding, text_columns, number_columns)
    if suffix in PARQUET_SUFFIXES:
        return _read_parquet(content, path.name)
    if suffix == ".npz":
        return _read_npz(content, path.name)
    advice = "; save the sheet as CSV" if suffix in SHEET_SUFFIXES else ""
    raise TableError(f"{path.name} must be {KNOWN}, by the end of its name{advice}")


def _unpacked(content: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{name} is damaged, or not packed by gzip: {error}") from None


def _check_names(names: list[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [place for place, name in enumerate(names, 1) if name == twice[0]]
        raise TableError(
            f"{source} has two columns called {twice[0]!r}, the {places[0]}. and the "
            f"{places[1]}.: rename one"
        )


# -- CSV -------------------------------------------------------------------------------------------


def _read_csv(
    content: bytes,
    name: str,
    encoding: str | None,
    text_columns: Collection[str],
    number_columns: Collection[str],
) -> Table:
    pd = require_pandas()
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
    frame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=header,
        index_col=False,
        skipinitialspace=True,
        na_values=MISSING,
        dtype=dict.fromkeys(set(text_columns) & {*header}, str),
        low_memory=False,
    )
    notes: list[str] = []
    local: defaultdict[str, list[str]] = defaultdict(list)
    if separator != ",":
        notes.append(f"its columns are separated by {SEPARATORS[separator]}")
    for column in header:
        if is_text(frame[column]):
            stripped = frame[column].str.strip()
            frame[column] = stripped.mask(stripped.isin(["", *MISSING]))
            if column not in text_columns:
                numbers = _local_numbers(frame[column], separator, column in number_columns)
                if numbers is not None:
                    frame[column], how = numbers
                    for word in how:
                        local[word].append(column)
    if local["decimal commas"]:
        pointed = _pointed_thousands(text, separator, header, frame)
        frame = frame.assign(**pointed)
        local["points between thousands"] += [*pointed]
    notes += [f"these columns have {how}: {listed(names)}" for how, names in local.items() if names]
    return Table(frame, name, tuple(notes))


def is_text(column: "Series") -> bool:
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
    _check_names(names, name)
    return names


def mostly_numbers(numbers: int, present: int, different: int, words: int) -> bool:
    """Whether a column is one of numbers in spite of words in it.

    Parameters
    ----------
    numbers, present : int
        How many of its values are numbers, and how many there are.
    different, words : int
        How many different numbers, and how many different words.
    """
    share = numbers / present
    many = share >= LEAST_SHARE and different > MOST_NAMES
    return share == 1 or (words <= MOST_WORDS and (share >= NUMBERS_SHARE or many))


def _local_numbers(
    column: "Series", separator: str, known: bool
) -> tuple["Series", list[str]] | None:
    """Numbers out of text such as "1.234,5", "1,234.5", "12 %" or "€ 5", and words on how.

    None for other text, and for numbers that need no more than pandas. `known`: that the column is
    one of numbers is known already; then any number of words may be among them, which are gaps.
    """
    pd = require_pandas()
    counts = column.value_counts()
    # Between commas one of a number is more likely between thousands.
    decimals = ".," if separator == "," else ",."
    found = [_plain_numbers(counts.index, decimal, known) for decimal in decimals]
    plain = max(found, key=len)  # the first of two alike
    if not plain or all(text == number for text, number in plain.items()):
        return None
    words = [text for text in counts.index if text not in plain]
    are = int(counts[[*plain]].sum())
    if not known and not mostly_numbers(are, int(counts.sum()), len(plain), len(words)):
        return None
    how = []
    if plain is found[decimals.index(",")]:
        how += ["decimal commas"] if any("," in text for text in plain) else []
    elif any("," in text for text in plain):
        how.append("commas between thousands")
    units = sorted({unit for text in plain for unit in _UNIT.findall(text)})
    how += [f"numbers with {unit}, read without it" for unit in units]
    if words:
        how.append(f"words among the numbers, read as missing ({listed(words, 3)})")
    return pd.to_numeric(column.map(plain)), how or ["signs between thousands"]


def _pointed_thousands(
    text: str, separator: str, header: list[str], frame: "DataFrame"
) -> dict[str, "Series"]:
    """Columns such as "1.234" and "987" of files of decimal commas; pandas takes one for 1.234."""
    pd = require_pandas()
    floats = [column for column in header if frame[column].dtype.kind == "f"]
    written = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=header,
        index_col=False,
        skipinitialspace=True,
        usecols=floats,
        na_values=MISSING,
        dtype=str,
    )
    found = {}
    for column in floats:
        texts = written[column].str.strip().dropna().unique()
        if any("." in text for text in texts) and all(map(_POINTED.fullmatch, texts)):
            found[column] = pd.to_numeric(written[column].str.replace(".", "", regex=False))
    return found


def _plain_numbers(texts: Iterable[str], decimal: str, known: bool) -> dict[str, str]:
    """Those texts that are numbers, as Python writes them; few words end the search unless `known`.

    Units stand before or behind, the same one wherever there is any.
    """
    plain: dict[str, str] = {}
    units: set[str] = set()
    words = 0
    for text in texts:
        own = _UNIT.findall(text)
        bare = _UNIT.sub("", text, count=1).strip() if own else text
        bare = re.sub(r"^([+-])\s+", r"\1", bare)
        units |= {*own}
        if _NUMBER[decimal].fullmatch(bare):
            bare = bare.translate(_BETWEEN_THOUSANDS)
            plain[text] = bare.replace("." if decimal == "," else ",", "").replace(decimal, ".")
        else:
            words += 1
        if len(units) > 1 or (words > MOST_WORDS and not known):
            return {}
    return plain


# -- other formats ---------------------------------------------------------------------------------


def _read_parquet(content: bytes, name: str) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "table") from error
    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
        _check_names([*map(str, table.column_names)], name)
        frame = table.to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        words = " ".join(str(error).split())
        raise TableError(f"{name} is damaged, or no Parquet file: {words[:200]}") from None
    # An index that was saved along is no data, unless it has a name.
    frame = frame.reset_index(drop=all(level is None for level in frame.index.names))
    return Table(frame.rename(columns=str), name)


def _read_npz(content: bytes, name: str) -> Table:
    pd = require_pandas()
    try:
        file = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise TableError(f"{name} is a single array, no NPZ file of named ones")
        with file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error)
        if "pickle" in reason:
            reason = "it holds pickled objects, which are not opened, or is no NPZ"
        raise TableError(f"{name} is not a readable NPZ file: {reason}") from None
    columns: dict[str, np.ndarray] = {}
    rows = {key: np.shape(array)[:1] for key, array in arrays.items()}
    for key, array in arrays.items():
        if array.ndim == 0 or array.dtype.kind not in "fiubSU":
            raise TableError(
                f"{name} must hold arrays of numbers or text with a row for each sample; {key!r} "
                f"is {array.dtype} of shape {array.shape}"
            )
        first = next(iter(rows))
        if rows[key] != rows[first]:
            raise TableError(
                f"{name} must hold arrays with as many rows as each other; {first!r} has "
                f"{rows[first][0]} and {key!r} has {rows[key][0]}"
            )
        array = array.astype(str) if array.dtype.kind == "S" else array
        array = array.astype(array.dtype.newbyteorder("="))
        if array.ndim == 1:
            columns[key] = array
        else:
            flat = array.reshape(len(array), -1)
            columns |= {f"{key}{place}": flat[:, place] for place in range(flat.shape[1])}
    if not columns:
        raise TableError(f"{name} holds no arrays")
    return Table(pd.DataFrame(columns), name)
