"""What came of training on a table: all that a report shows, without the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fastnn.history import History

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class ColumnFact:
    """What became of a column of the table.

    Attributes
    ----------
    name : str
    kind : {"numeric", "categorical", "dropped"}
    missing : float
        Share of the training rows in which it was missing, in [0, 1].
    note : str
        In words: what was made of it, or why it was dropped; may be empty.
    """

    name: str
    kind: Literal["numeric", "categorical", "dropped"]
    missing: float
    note: str


@dataclass(frozen=True)
class Outcome:
    """What came of training on a table.

    Attributes
    ----------
    source : str
        Name of the file, without its folder.
    target : str
        The column that is predicted.
    task : {"classification", "regression"}
    why : str
        A sentence: why this task.
    classes : tuple of str or None
        The classes as they are written, in the order of the model's outputs; None in regression.
    rows : mapping of str to int
        How many: "train", "validation", "test", and "dropped", whose target was missing or a
        class too rare to be learned.
    columns : sequence of ColumnFact
        All columns but the target, in the order of the table.
    settings : mapping of str to str
        All that was chosen: network, optimizer, rate, batch size, epochs, seed, threads, backend,
        version.
    history : History
        Epoch by epoch: "loss", "val_loss", in classification "accuracy", "val_accuracy".
    metrics : mapping of str to mapping of str to float
        By part, "train", "validation", "test"; and "baseline": what always answering the most
        frequent class, or the mean, of the training rows reaches on the test rows. In
        classification "accuracy", "balanced accuracy", "log loss", "ROC AUC" (of several classes
        the mean of each against the rest; NaN where a class is missing from the part); in
        regression "R2", "RMSE", "MAE".
    y_true, y_pred : ndarray, (test rows,)
        Of the test rows, what is and what is predicted: numbers of classes, or numbers.
    proba : ndarray, (test rows, classes), or None
        Probabilities of the classes; None in regression.
    seconds : float
        That training took, without reading the file.
    warnings : sequence of str
        What to doubt, in sentences.
    sentence : str
        The outcome in words.
    """

    source: str
    target: str
    task: Task
    why: str
    classes: tuple[str, ...] | None
    rows: Mapping[str, int]
    columns: Sequence[ColumnFact]
    settings: Mapping[str, str]
    history: History
    metrics: Mapping[str, Mapping[str, float]]
    y_true: np.ndarray
    y_pred: np.ndarray
    proba: np.ndarray | None
    seconds: float
    warnings: Sequence[str]
    sentence: str
