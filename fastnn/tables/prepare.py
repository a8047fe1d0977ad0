"""A table made ready: target and columns understood, rows split, numbers for the network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fastnn.data import split_indices
from fastnn.tables.columns import Columns, learn_columns, numbers, texts
from fastnn.tables.errors import TableError, listed, no_column
from fastnn.tables.outcome import ColumnFact
from fastnn.tables.settings import Settings
from fastnn.tables.table import Table
from fastnn.tables.target import LEAST_ROWS_OF_A_CLASS, MOST_CLASSES, Target, read_target

if TYPE_CHECKING:
    from pandas import DataFrame, Series

LEAST_ROWS = 20
# What tells the target in fewer rows does not tell it; numbers in files are rounded.
ALMOST_ALL, ROUNDING = 0.9, 1e-9
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """What a network learns from.

    Attributes
    ----------
    source : str
    target : Target
    why : str
        Why this task.
    columns : Columns
    facts : list of ColumnFact
    x : dict of str to ndarray of float32, (rows, features)
        By part: "train", "validation", "test".
    y : dict of str to ndarray, (rows,)
        Numbers of classes; in regression numbers as they stand in the table.
    dropped : int
        Rows left out, since their target was missing.
    rare : int
        Rows left out, since their class is too rare to be learned.
    odd : list of str
        What to doubt, in sentences.
    decimal_commas : bool
        As in `Table`.
    """

    source: str
    target: Target
    why: str
    columns: Columns
    facts: list[ColumnFact]
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    dropped: int
    rare: int = 0
    odd: list[str] = field(default_factory=list)
    decimal_commas: bool = False

    def scaled(self, part: str) -> np.ndarray:
        """What the loss takes: numbers of classes, or scaled numbers (rows, 1)."""
        y = self.y[part]
        if self.target.classes:
            return y
        return ((y - self.target.mean) / self.target.scale).astype(np.float32)[:, None]


def prepare(table: Table, target: str, settings: Settings) -> Prepared:
    """Make a table ready.

    Raises
    ------
    TypeError
        A column is not given by its name.
    TableError
        There is no such column, too few rows, or something in it that cannot be learned from; the
        message says what to do.
    """
    frame, source = table.frame, table.source
    for argument, name in (("target", target), *(("drop", name) for name in settings.drop)):
        if not isinstance(name, str):
            # A data frame's labels that are numbers are names here, as they are in a file.
            raise TypeError(
                f"{argument} must be given by name, such as {str(name)!r}; got {name!r}"
            )
        if name not in frame.columns:
            raise no_column(name, frame.columns, source)
    if target in settings.drop:
        raise TableError(f"the target {target!r} cannot be dropped")
    given = _present(frame[target])
    if not given.any():
        raise TableError(f"the target {target!r} is missing in every row of {source}")
    frame = frame[given]
    if len(frame) < LEAST_ROWS:
        raise TableError(
            f"{source} has too few rows with a target: {len(frame)}; at least {LEAST_ROWS} are "
            "needed to train, to validate and to test"
        )
    task, why, classes, y = read_target(frame[target], settings.task, source)
    told = []
    learnable = y >= 0 if classes else np.full(len(y), True)
    if not learnable.all():
        told.append(_left_out(frame[target][~learnable]))
        frame, y = frame[learnable], y[learnable]
    rows = _split(y, classes, settings)
    columns, facts = learn_columns(
        frame.drop(columns=target), np.sort(rows["train"]), settings.drop, source
    )
    trained = y[rows["train"]]
    if task == "regression":
        with np.errstate(over="ignore"):
            scale = float(trained.std())
        if not scale > 0:
            raise TableError(f"the target {target!r} is {trained[0]:g} in all training rows")
        if not np.isfinite(scale):
            raise TableError(f"the target {target!r} has numbers too large to be scaled")
        learned = Target(target, task, (), float(trained.mean()), scale)
    else:
        learned = Target(target, task, classes)
    x, _ = columns.encode(frame, source)
    return Prepared(
        source,
        learned,
        why,
        columns,
        facts,
        {part: x[rows[part]] for part in PARTS},
        {part: y[rows[part]] for part in PARTS},
        int(np.count_nonzero(~given)),
        int(np.count_nonzero(~learnable)),
        [*table.notes, *told, *_told(frame, columns, y, classes)],
        table.decimal_commas,
    )


def _left_out(rare: "Series") -> str:
    """Of the rows of rare classes: that the model never answers these."""
    _, names = texts(rare)
    rows = "1 row was" if len(rare) == 1 else f"{len(rare)} rows were"
    classes, have, them = ("class", "has", "it") if len(names) == 1 else ("classes", "have", "them")
    whose = "its" if len(rare) == 1 else "their"
    return (
        f"{rows} left out: {whose} {classes} ({listed(sorted(names), 5)}) {have} less than "
        f"{LEAST_ROWS_OF_A_CLASS} rows, and the model will never answer {them}"
    )


def _told(
    frame: "DataFrame", columns: Columns, y: np.ndarray, classes: tuple[str, ...]
) -> Iterator[str]:
    """Of each column that is the target in other words: that it is to be doubted.

    For classes, a column with a value of its own for each; for numbers, one that is them but for a
    factor and a summand.
    """
    for name in columns.names:
        same = _names_alike(frame[name], y) if classes else _on_a_line(frame[name], y)
        if same:
            yield (
                f"column {name!r} alone tells the target without fail: unless it is known when you "
                "predict, train without it (drop)"
            )


def _names_alike(column: "Series", labels: np.ndarray) -> bool:
    if column.nunique() > MOST_CLASSES:
        return False  # which is cheap to say of a column of numbers
    codes, _ = texts(column)
    there = codes >= 0
    pairs = np.unique(np.stack([codes[there], labels[there]]), axis=1)
    distinct = [len(np.unique(side)) for side in pairs]
    return bool(there.mean() > ALMOST_ALL and distinct[0] == distinct[1] == pairs.shape[1] > 1)


def _on_a_line(column: "Series", y: np.ndarray) -> bool:
    values, _ = numbers(column)
    there = ~np.isnan(values)
    x, y = values[there], y[there]
    if there.mean() <= ALMOST_ALL or not x.std() > 0 or not y.std() > 0:
        return False
    return bool(1 - abs(np.corrcoef(x, y)[0, 1]) < ROUNDING)


def _present(column: "Series") -> np.ndarray:
    """Where there is a target: blanks are none."""
    given = column.notna().to_numpy()
    try:
        codes, _ = texts(column)
    except TypeError:  # lists and the like: refused where the target is read
        return given
    return given & (codes >= 0)


def _split(y: np.ndarray, classes: tuple[str, ...], settings: Settings) -> dict[str, np.ndarray]:
    """Rows of each part; classes in the same proportions."""
    rng = np.random.default_rng(settings.seed)
    labels = y if classes else None
    try:
        kept, test = split_indices(len(y), settings.test_share, rng, labels=labels)
        share = settings.validation_share / (1 - settings.test_share)
        labels = y[kept] if classes else None
        train, validation = split_indices(len(kept), share, rng, labels=labels)
    except ValueError as error:
        raise TableError(f"{len(y)} rows cannot be split so: {error}") from None
    lost = [classes[number] for number in np.setdiff1d(y, y[kept[train]])] if classes else []
    if lost:
        raise TableError(
            f"the split leaves no rows to train on of {listed(lost, 5)}: lower the shares held out"
        )
    return {"train": kept[train], "validation": kept[validation], "test": test}
