"""Tables out of files: CSV, Parquet, and NumPy's NPZ."""

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.errors import missing_extra
from fastnn.files import FilePath
from fastnn.tables.csv_text import read_csv
from fastnn.tables.errors import TableError
from fastnn.tables.table import Table, check_names, require_pandas

if TYPE_CHECKING:
    from pandas import DataFrame

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
SHEET_SUFFIXES = (".xlsx", ".xls", ".ods")
KNOWN = "CSV (.csv, .tsv, .txt, also .gz), Parquet (.parquet) or NumPy (.npz)"


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
    decimal_commas: bool = False,
) -> Table:
    """A table out of a file or a stream, or a pandas.DataFrame as it is.

    Parameters
    ----------
    data : path-like, pandas.DataFrame or io.BufferedReader
        As in `read`; the bytes of a stream, such as ``sys.stdin.buffer``, are CSV.
    encoding : str, optional
        As in `read`.
    text_columns : collection of str
        Columns of a CSV file whose values are text, even where they look like numbers.
    number_columns : collection of str
        Those whose values are numbers, even where most of them are words.
    decimal_commas : bool
        Whether "1.234" is known to be a thousand, even where no other number says so.

    Raises as `read`.
    """
    pd = require_pandas()
    if isinstance(data, pd.DataFrame):
        frame = data.rename(columns=str)
        check_names([*frame.columns], "the table")
        table = Table(frame, "the table")
    elif isinstance(data, str | os.PathLike):
        table = _read_file(Path(data), encoding, text_columns, number_columns, decimal_commas)
    elif isinstance(data, io.BufferedIOBase):
        name = "standard input"
        table = read_csv(data.read(), name, encoding, text_columns, number_columns, decimal_commas)
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
    decimal_commas: bool,
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
        return read_csv(content, path.name, encoding, text_columns, number_columns, decimal_commas)
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


def _read_parquet(content: bytes, name: str) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra("pyarrow", "table") from error
    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
        check_names([*map(str, table.column_names)], name)
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
