"""What is to be predicted: classes or numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from fastnn.tables.columns import is_yes_and_no, numbers, texts
from fastnn.tables.errors import TableError, listed
from fastnn.tables.outcome import Task
from fastnn.tables.spelled_numbers import mostly_numbers

if TYPE_CHECKING:
    from pandas import Series

TASKS: tuple[str, ...] = get_args(Task)

# Whole numbers are classes if there are at most so many, each with so many rows in the mean.
MOST_NUMBERED_CLASSES, ROWS_OF_A_CLASS = 20, 10
# One for each part: to train, to validate, to test.
LEAST_ROWS_OF_A_CLASS = 3
# Classes with fewer are left out, if that leaves at least two and all but so many of the rows: as
# typing errors are, and what is too seldom to be learned; but not what the table is about.
MOST_RARE = 0.1
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """What a model predicts.

    Attributes
    ----------
    name : str
        The column.
    task : {"classification", "regression"}
    classes : tuple of str
        As they are written, in the order of the network's outputs; empty in regression.
    mean, scale : float
        In regression, the network gives ``(value - mean) / scale``; 0 and 1 in classification.
    """

    name: str
    task: Task
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """Outputs of the network."""
        return len(self.classes) or 1

    def config(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "name": self.name,
            "task": self.task,
            "classes": list(self.classes),
            "mean": self.mean,
            "scale": self.scale,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Target":
        """Undo `config`, which need not be trusted.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is none.
        """
        target = cls(**{**config, "classes": tuple(config["classes"])})
        classification = target.task == "classification"
        if target.task not in TASKS or not isinstance(target.name, str):
            raise ValueError("its target must have a name and a task")
        if type(target.mean) is not float or type(target.scale) is not float or target.scale <= 0:
            raise ValueError("its target has an impossible scale")
        if not all(isinstance(name, str) for name in target.classes) or len(
            set(target.classes)
        ) < len(target.classes):
            raise ValueError("the classes of its target must be texts, all different")
        if classification != (len(target.classes) >= 2):
            raise ValueError(f"its target cannot have {len(target.classes)} classes")
        return target


def read_target(
    column: "Series", task: Task | None, source: str
) -> tuple[Task, str, tuple[str, ...], np.ndarray]:
    """Find out what is to be predicted.

    Parameters
    ----------
    column : pandas.Series
        The target, without missing values.
    task : {"classification", "regression"}, optional
        By default inferred.
    source : str
        What messages call the table.

    Returns
    -------
    task : str
    why : str
        In a sentence.
    classes : tuple of str
        Empty in regression.
    y : ndarray, (N,)
        Numbers of the classes, int64, -1 for rows of classes that are too rare; or numbers,
        float64.

    Raises
    ------
    TableError
        There is nothing to be learned: one class, a constant; a class has too few rows; there are
        infinite values; or regression is asked for with text.
    """
    name = str(column.name)
    values, words = numbers(column)
    boolean = is_yes_and_no(column)
    is_numeric = not words and not boolean and not np.isnan(values).any()
    if np.isinf(values).any():
        raise TableError(f"{source} has infinite values in the target {name!r}")
    inferred, why = _inferred(name, column, values if is_numeric else None)
    if task is None:
        task = inferred
    else:
        why = f"{task.capitalize()}, as asked for."
    if task == "classification":
        classes, y = _classes(name, column, is_numeric, source)
        return task, why, classes, y
    if not is_numeric and not boolean:
        raise TableError(
            f"{source} has text in the target {name!r}, such as {listed(words, 3)}: regression "
            "needs numbers"
        )
    if values.min() == values.max():
        raise TableError(f"the target {name!r} is {values[0]:g} in every row: nothing to learn")
    return task, why, (), values


def _inferred(name: str, column: "Series", values: np.ndarray | None) -> tuple[Task, str]:
    if values is None:
        what = "yes and no" if is_yes_and_no(column) else "names, not numbers"
        return "classification", f"Classification, since {name!r} holds {what}."
    distinct = len(np.unique(values))
    if distinct <= 2:
        return "classification", f"Classification, since {name!r} has {distinct} different values."
    whole = bool((values == np.round(values)).all())
    few = distinct <= min(MOST_NUMBERED_CLASSES, len(values) / ROWS_OF_A_CLASS)
    if whole and few:
        return "classification", (
            f"Classification, since {name!r} has {distinct} different whole numbers; if they are "
            "amounts, ask for regression."
        )
    kind = "whole numbers" if whole else "numbers"
    return "regression", f"Regression, since {name!r} has {distinct:,} different {kind}."


def _instead(column: "Series", is_numeric: bool) -> str:
    """What to do about a target of too many classes, if it holds numbers."""
    if is_numeric:
        return "; ask for regression"
    values, words = numbers(column)
    found = values[~np.isnan(values)]
    if not mostly_numbers(len(found), len(values), len(np.unique(found)), len(words)):
        return ""
    return f", and words among its numbers: {listed(words)}. Leave these cells empty"


def _classes(
    name: str, column: "Series", is_numeric: bool, source: str
) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        codes, names = texts(column)
    except TypeError:
        raise TableError(f"{source} must hold names or numbers in the target {name!r}") from None
    classes = sorted(set(names), key=(lambda text: (float(text), text)) if is_numeric else None)
    place = {text: number for number, text in enumerate(classes)}
    y = np.array([place[text] for text in names], dtype=np.int64)[codes]
    if len(classes) == 1:
        raise TableError(
            f"the target {name!r} is {classes[0]!r} in every row: with a single class there is "
            "nothing to learn"
        )
    counts = np.bincount(y)
    if len(classes) > MOST_CLASSES or len(classes) > len(y) / 2:
        raise TableError(
            f"the target {name!r} has {len(classes):,} different values in {len(y):,} rows, too "
            f"many for classes{_instead(column, is_numeric)}"
        )
    common = counts >= LEAST_ROWS_OF_A_CLASS
    rare = [text for text, enough in zip(classes, common, strict=True) if not enough]
    if np.count_nonzero(common) < 2 or counts[~common].sum() > MOST_RARE * len(y):
        raise TableError(
            f"the target {name!r} has classes with less than {LEAST_ROWS_OF_A_CLASS} rows (one to "
            f"train, one to validate, one to test): {listed(rare, 5)}, the smallest with "
            f"{counts.min()}. Remove these rows, or join classes"
        )
    renumbered = np.where(common, np.cumsum(common) - 1, -1)
    return tuple(text for text in classes if text not in rare), renumbered[y]
