"""What the columns of a table are, and how they become the numbers that a network takes.

A numeric column becomes ``(value - mean) / scale``, of the training rows; a missing value counts as
their median, and where values are missing in them, a second feature marks it. A categorical column
becomes a feature for each of its values, 1 where it is that one (one-hot), and one for missing, if
values are missing in the training rows; a value that they do not have is all zeros.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fastnn.tables.errors import TableError, listed, no_column
from fastnn.tables.outcome import ColumnFact
from fastnn.tables.spelled_numbers import mostly_numbers
from fastnn.tables.table import require_pandas

if TYPE_CHECKING:
    from pandas import DataFrame, Series

# Of a categorical column with more values the most frequent are told apart.
MOST_CATEGORIES = 100
# Text of more values than these, different in more than half of the rows, says nothing of others.
FEW_TEXTS = 20
# From so many rows on, numbers that count them are no accident.
LEAST_ROW_NUMBERS = 10

YES_AND_NO = {"True", "False"}

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d.*)?")
_IDENTIFIER = re.compile(r"(.*[ _-])?(id|uuid|guid|index)|.*[a-z]I[dD]", re.IGNORECASE)


@dataclass(frozen=True)
class Numeric:
    """A column of numbers.

    Attributes
    ----------
    name : str
    median, mean, scale : float
        Of the training rows; the scale is their standard deviation.
    marks_missing : bool
        Whether a second feature is 1 where the value is missing.
    """

    kind: ClassVar[Literal["numeric"]] = "numeric"

    name: str
    median: float
    mean: float
    scale: float
    marks_missing: bool

    @property
    def features(self) -> list[str]:
        """What the features are called."""
        return [self.name] + ([f"{self.name} missing"] if self.marks_missing else [])

    def encode(self, column: "Series", out: np.ndarray, source: str) -> str | None:
        """Write the features to `out`, (N, features); return what is odd, in words."""
        values, words = numbers(column)
        _refuse_infinite(self.name, values, source)
        missing = np.isnan(values)
        if len(words) and missing.all():
            raise TableError(
                f"{source} must hold numbers in column {self.name!r}; got {listed(words, 3)}"
            )
        with np.errstate(over="ignore"):  # far beyond all that was learned from: goes on as Inf
            out[:, 0] = (np.where(missing, self.median, values) - self.mean) / self.scale
        if self.marks_missing:
            out[:, 1] = missing
        return f"{self.name!r}: no numbers, so missing: {listed(words, 3)}" if len(words) else None


@dataclass(frozen=True)
class Categorical:
    """A column of names.

    Attributes
    ----------
    name : str
    categories : tuple of str
        A feature for each.
    marks_missing : bool
        Whether one more feature is 1 where the value is missing.
    """

    kind: ClassVar[Literal["categorical"]] = "categorical"

    name: str
    categories: tuple[str, ...]
    marks_missing: bool

    @property
    def features(self) -> list[str]:
        """What the features are called."""
        missing = [f"{self.name} missing"] if self.marks_missing else []
        return [f"{self.name}={category}" for category in self.categories] + missing

    def encode(self, column: "Series", out: np.ndarray, source: str) -> str | None:
        """Write the features to `out`, (N, features); return what is odd, in words."""
        try:
            codes, names = texts(column)
        except TypeError:
            raise TableError(f"{source} must hold text in column {self.name!r}") from None
        if {*self.categories} <= YES_AND_NO:  # which pandas has made of true and FALSE, too
            names = [name.title() if name.title() in YES_AND_NO else name for name in names]
        places = {category: place for place, category in enumerate(self.categories)}
        # The last entry is for the code -1, of what is missing.
        absent = len(self.categories) if self.marks_missing else -1
        place_of = np.array([places.get(name, -1) for name in names] + [absent])
        place = place_of[codes]
        out[:] = 0
        known = np.flatnonzero(place >= 0)
        out[known, place[known]] = 1
        unseen = [name for name in names if name not in places]
        return f"{self.name!r}: not told apart: {listed(unseen, 3)}" if unseen else None


Column = Numeric | Categorical


class Columns:
    """The columns that a model reads, in order.

    Parameters
    ----------
    columns : sequence of Numeric or Categorical

    Attributes
    ----------
    columns : tuple of Numeric or Categorical
    features : list of str
        What the features are called, in the order of the network's inputs.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.features = [name for column in self.columns for name in column.features]

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @property
    def text_columns(self) -> list[str]:
        """Names of those that must be read as text, even where they look like numbers."""
        return [column.name for column in self.columns if isinstance(column, Categorical)]

    @property
    def number_columns(self) -> list[str]:
        """Names of those whose values are numbers, whatever words are among them."""
        return [column.name for column in self.columns if isinstance(column, Numeric)]

    def encode(self, frame: "DataFrame", source: str = "the table") -> tuple[np.ndarray, list[str]]:
        """The numbers that the network takes.

        Parameters
        ----------
        frame : pandas.DataFrame
            Any columns, these among them.
        source : str
            What messages call the table.

        Returns
        -------
        x : ndarray of float32, (N, features)
        odd : list of str
            What a person should know: values not seen in training, text among numbers.

        Raises
        ------
        TableError
            A column is missing, or cannot be what it was in training.
        """
        absent = [name for name in self.names if name not in frame.columns]
        if len(absent) == 1:
            raise no_column(absent[0], map(str, frame.columns), source)
        if absent:
            raise TableError(f"{source} lacks columns that the model reads: {listed(absent)}")
        x = np.empty((len(frame), len(self.features)), np.float32)
        odd, start = [], 0
        for column in self.columns:
            stop = start + len(column.features)
            odd.append(column.encode(frame[column.name], x[:, start:stop], source))
            start = stop
        return x, [words for words in odd if words is not None]

    def config(self) -> list[dict[str, Any]]:
        """As JSON-able data."""
        return [
            {"kind": column.kind}
            | {k: list(v) if isinstance(v, tuple) else v for k, v in vars(column).items()}
            for column in self.columns
        ]

    @classmethod
    def from_config(cls, config: Any) -> "Columns":
        """Undo `config`, which need not be trusted.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is none.
        """
        if not isinstance(config, list) or not config:
            raise ValueError("it has no columns")
        columns = [_column(entry) for entry in config]
        if len({column.name for column in columns}) < len(columns):
            raise ValueError("two of its columns have one name")
        return cls(columns)


def _column(entry: Mapping[str, Any]) -> Column:
    settings = {key: value for key, value in entry.items() if key != "kind"}
    if type(settings["marks_missing"]) is not bool or not isinstance(settings["name"], str):
        raise ValueError(f"a column must have a name, and say if it marks what is missing: {entry}")
    if entry["kind"] == "numeric":
        learned = [settings[key] for key in ("median", "mean", "scale")]
        if not all(type(number) is float for number in learned) or not settings["scale"] > 0:
            raise ValueError(f"column {settings['name']!r} has an impossible scale")
        return Numeric(**settings)
    if entry["kind"] != "categorical":
        raise ValueError(f"unknown kind of column {entry['kind']!r}")
    categories = settings["categories"]
    if (
        not isinstance(categories, list)
        or not all(isinstance(category, str) and category for category in categories)
        or len(set(categories)) < len(categories)
        or len(categories) + settings["marks_missing"] == 0
    ):
        raise ValueError(f"column {settings['name']!r} must have categories, all different")
    return Categorical(**settings | {"categories": tuple(categories)})


# -- learning from a table -------------------------------------------------------------------------


def learn_columns(
    frame: "DataFrame", rows: np.ndarray, drop: Sequence[str], source: str
) -> tuple[Columns, list[ColumnFact]]:
    """Find out what the columns are.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table without the target.
    rows : ndarray of int
        The training rows: all that is learned comes from them.
    drop : sequence of str
        Columns to leave out.
    source : str
        What messages call the table.

    Returns
    -------
    columns : Columns
    facts : list of ColumnFact
        One for each column of the table.

    Raises
    ------
    TableError
        A column holds infinite values; or there is none to learn from.
    """
    columns: list[Column] = []
    facts: list[ColumnFact] = []
    for name in map(str, frame.columns):
        whole, column = frame[name], frame[name].iloc[rows]
        missing = float(column.isna().mean())
        reason = "as asked for" if name in drop else _useless(whole, column)
        if reason:
            facts.append(ColumnFact(name, "dropped", missing, reason))
            continue
        values, words = numbers(column)
        learned: Column | None
        if _are_numbers(column, values, words):
            _refuse_infinite(name, numbers(whole)[0], source)
            learned, note = _numeric(name, values, words)
            missing = float(np.isnan(values).mean())
        else:
            learned, note = _categorical(name, column)
        columns += [learned] if learned else []
        facts.append(ColumnFact(name, learned.kind if learned else "dropped", missing, note))
    if not columns:
        reasons = "; ".join(f"{fact.name!r}: {fact.note}" for fact in facts)
        raise TableError(
            f"{source} has no column to learn from" + (f" ({reasons})" if facts else "")
        )
    return Columns(columns), facts


def _useless(whole: "Series", column: "Series") -> str:
    """Why nothing can be learned from a column; empty if something can."""
    pd = require_pandas()
    types = pd.api.types
    present = column.dropna()
    if not len(present):
        return "it has no value in the training rows"
    if column.dtype.kind == "c":
        return "its numbers are complex"
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        return DATES
    try:
        unique = present.unique()
    except TypeError:
        return f"its values are of type {type(present.iloc[0]).__name__}"
    if len(unique) == 1 and len(present) == len(column):
        return f"it is {str(unique[0])[:40]!r} in all training rows"
    if types.is_integer_dtype(column.dtype):
        values = whole.to_numpy(dtype=np.float64, na_value=np.nan)
        counts = np.arange(len(values)) + values[0]
        if len(values) >= LEAST_ROW_NUMBERS and np.array_equal(values, counts):
            return "it counts the rows"
        if _IDENTIFIER.fullmatch(str(whole.name)) and len(unique) == len(present):
            return "an identifier: it is another number in every row"
    return ""


DATES = (
    "it holds dates: put what matters of them, such as the year or the weekday, into columns of "
    "numbers"
)


def _are_numbers(column: "Series", values: np.ndarray, words: Sequence[str]) -> bool:
    pd = require_pandas()
    if is_yes_and_no(column):
        return False
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    present = int(column.notna().sum())
    found = values[~np.isnan(values)]
    return mostly_numbers(len(found), present, len(np.unique(found)), len(words))


def _numeric(name: str, values: np.ndarray, words: Sequence[str]) -> tuple[Numeric | None, str]:
    present = values[~np.isnan(values)]
    with np.errstate(all="ignore"):
        median, mean, scale = (float(f(present)) for f in (np.median, np.mean, np.std))
    if not np.isfinite([median, mean, scale]).all():
        return None, f"its numbers are too large to be scaled, up to {np.abs(present).max():.3g}"
    missing = len(values) - len(present)
    note = f"no numbers, so missing: {listed(words, 3)}; " if len(words) else ""
    if missing:
        note += f"missing values count as the median, {median:.6g}, and are marked"
    if present.min() == present.max():
        scale = 1.0
        if not missing:
            return None, note + f"it is {median:.6g} in all training rows"
    # The standard deviation of tiny numbers underflows.
    return Numeric(name, median, mean, scale or 1.0, missing > 0), note.removesuffix("; ")


def _categorical(name: str, column: "Series") -> tuple[Categorical | None, str]:
    codes, names = texts(column)
    if not names:
        return None, "it has no value in the training rows"
    counts: dict[str, int] = {}
    for text, count in zip(
        names, np.bincount(codes[codes >= 0], minlength=len(names)), strict=True
    ):
        counts[text] = counts.get(text, 0) + int(count)
    present, missing = sum(counts.values()), bool((codes < 0).any())
    if all(_DATE.fullmatch(text) for text in counts):
        return None, DATES
    if len(counts) > FEW_TEXTS and len(counts) > present / 2:
        return None, f"text, {len(counts):,} different values in {present:,} rows"
    ranked = sorted(counts, key=lambda text: (-counts[text], text))
    # A value of a single row, among many, is more likely noise than knowledge.
    frequent = [text for text in ranked if counts[text] > 1] if len(ranked) > FEW_TEXTS else ranked
    kept = frequent[:MOST_CATEGORIES]
    note = f"1 value: {kept[0]}" if len(counts) == 1 else f"{len(counts)} values"
    if 1 < len(counts) <= FEW_TEXTS // 2:
        note += f": {listed(sorted(kept))}"
    if len(kept) < len(counts):
        note += f", of which the {len(kept)} most frequent are told apart"
    if missing:
        note += "; missing is one more"
    return Categorical(name, tuple(sorted(kept)), missing), note


# -- values ----------------------------------------------------------------------------------------


def is_yes_and_no(column: "Series") -> bool:
    """Whether a column holds True and False, and maybe gaps, alone."""
    types = require_pandas().api.types
    return bool(types.is_bool_dtype(column.dtype) or types.infer_dtype(column) == "boolean")


def numbers(column: "Series") -> tuple[np.ndarray, list[str]]:
    """A column as numbers, NaN where there is none, and the different texts that are none."""
    pd = require_pandas()
    given = column
    if not pd.api.types.is_numeric_dtype(column.dtype):
        column = pd.to_numeric(column.astype(object), errors="coerce")
    if column.dtype.kind == "c":
        return np.full(len(column), np.nan), ["complex numbers"]
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    odd = np.isnan(values) & given.notna().to_numpy()
    words = dict.fromkeys(str(word).strip() for word in given[odd])
    return values, [word for word in words if word]


def texts(column: "Series") -> tuple[np.ndarray, list[str]]:
    """A column as numbers of texts, -1 where one is missing, and these texts.

    Raises
    ------
    TypeError
        Values that are no text, number or yes and no, such as lists.
    """
    pd = require_pandas()
    codes, unique = pd.factorize(column.astype(object))
    names = [_text(value) for value in unique]
    # Blanks alone are missing, too.
    place = np.array([number if name else -1 for number, name in enumerate(names)] + [-1])
    return place[codes], names


def _text(value: Any) -> str:
    """A value as it stands in a file: 1 and 1.0, which a gap in the column makes of it, alike."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _refuse_infinite(name: str, values: np.ndarray, source: str) -> None:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise TableError(
            f"{source} has infinite values in column {name!r}, the first in row "
            f"{infinite[0] + 1} below the header: remove them, or leave the column out"
        )
