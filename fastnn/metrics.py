"""Metrics: how good outputs are, as one number.

A metric is a function ``metric(outputs, targets) -> float`` of two arrays with a row for each
sample. Sums are taken in float64. Accuracies and the mean absolute error are means over samples, so
their means over equal batches are those of the whole; that does not hold for
`root_mean_squared_error` and `r2_score`, which need all rows at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.checks import as_array, not_real, one_of, positive_int

__all__ = [
    "accuracy",
    "better_direction",
    "binary_accuracy",
    "mean_absolute_error",
    "r2_score",
    "root_mean_squared_error",
    "top_k_accuracy",
]

Metric = Callable[[np.ndarray, np.ndarray], float]

_SINGLE = (
    "asks which of several outputs is the highest, and there is a single one: take "
    "'binary_accuracy' for a yes or no"
)

# Words of a metric's name by which more is better; of all others, less is.
_MORE_IS_BETTER = frozenset({"accuracy", "auc", "f1", "precision", "r2", "recall"})

# What a fit reports besides the metrics.
_TAKEN = ("epoch", "loss", "lr", "seconds")


def accuracy(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Share of samples whose highest output is that of their class.

    Parameters
    ----------
    outputs : array_like, (N, C)
        Scores: logits or probabilities.
    targets : array_like of int, (N,); or array_like, (N, C)
        Labels 0..C-1; or one-hot or soft labels, of which the highest counts.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    TypeError, ValueError
        No rows, shapes that do not fit, or labels that are not integers in 0..C-1.

    Notes
    -----
    Ties and NaN are settled as `numpy.argmax` does: the first of equals wins, and NaN counts as the
    highest of all. So outputs that are all NaN are taken for class 0.
    """
    scores, labels = scores_and_labels(outputs, targets)
    return float(np.count_nonzero(scores.argmax(axis=1) == labels) / len(labels))


@dataclass(frozen=True)
class _TopKAccuracy:
    k: int

    @property
    def __name__(self) -> str:
        return f"top_{self.k}_accuracy"

    def __call__(self, outputs: ArrayLike, targets: ArrayLike) -> float:
        scores, labels = scores_and_labels(outputs, targets)
        n_classes = scores.shape[1]
        if self.k > n_classes:
            raise ValueError(
                f"{self.__name__} needs outputs of at least {self.k} classes; got {n_classes}"
            )
        own = scores[np.arange(len(labels)), labels][:, None]
        nan, own_nan = np.isnan(scores), np.isnan(own)
        ahead = (scores > own) | (nan & ~own_nan)
        level = (scores == own) | (nan & own_nan)
        level_before = level & (np.arange(n_classes) < labels[:, None])
        rank = np.count_nonzero(ahead | level_before, axis=1)
        return float(np.count_nonzero(rank < self.k) / len(labels))


def top_k_accuracy(k: int = 5) -> Metric:
    """The metric "share of samples whose class is among the k highest outputs".

    Parameters
    ----------
    k : int, default 5
        At least 1; with 1 the metric equals `accuracy`.

    Returns
    -------
    callable
        A metric named ``top_<k>_accuracy``. Its arguments, ties and NaN are those of `accuracy`:
        of equal outputs the first ranks higher, and NaN ranks highest.

    Raises
    ------
    TypeError, ValueError
        `k` is not an integer of at least 1; when the metric is called, as `accuracy`, or for fewer
        than k classes.

    Examples
    --------
    >>> metric = top_k_accuracy(2)
    >>> metric([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], [1, 0])
    0.5
    """
    return _TopKAccuracy(positive_int("k", k))


def binary_accuracy(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Share of right answers where every column is a yes or no of its own.

    Parameters
    ----------
    outputs : array_like, (N, D) or (N,)
        Scores (logits): yes above 0, which is a probability above one half.
    targets : array_like, (N, D) or (N,)
        Yes above 0.5.

    Returns
    -------
    float
        In [0, 1]: the mean over samples and columns.

    Raises
    ------
    TypeError, ValueError
        No rows, other shapes, or no numbers.

    Notes
    -----
    NaN counts as a wrong answer.

    Examples
    --------
    >>> binary_accuracy([[2.0, -1.0], [0.3, 0.1]], [[1, 0], [1, 0]])
    0.75
    """
    scores, true = _columns(outputs, targets)
    right = np.where(true > 0.5, scores > 0, scores <= 0)
    return float(right.mean())


def mean_absolute_error(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Mean of ``|outputs - targets|`` over all samples and columns.

    Parameters
    ----------
    outputs, targets : array_like, (N, D) or (N,)
        Numbers, of one shape; for a single column (N, 1) and (N,) are the same.

    Raises
    ------
    TypeError, ValueError
        No rows, other shapes, or no numbers.
    """
    predicted, true = _columns(outputs, targets)
    return float(np.abs(predicted - true).mean())


def root_mean_squared_error(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Square root of the mean of ``(outputs - targets)^2`` over all samples and columns.

    Parameters and errors as `mean_absolute_error`.
    """
    predicted, true = _columns(outputs, targets)
    return float(np.sqrt(np.square(predicted - true).mean()))


def r2_score(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Coefficient of determination, ``1 - sum (t - y)^2 / sum (t - mean(t))^2``.

    The share of the targets' variance that is explained: 1 is perfect, 0 is as good as the mean of
    the targets, negative is worse. Several columns: the mean of their scores.

    Parameters and errors as `mean_absolute_error`.

    Notes
    -----
    Where the targets of a column do not vary, as with one sample, the formula divides by zero. As
    in scikit-learn the score is then 1.0 for exact outputs and otherwise 0.0. NaN in a column
    makes the score NaN.
    """
    predicted, true = _columns(outputs, targets)
    residual = np.square(true - predicted).sum(axis=0)
    # Not "total == 0": the mean of equal numbers can be off by a rounding, and so the total.
    varies = true.min(axis=0) != true.max(axis=0)
    total = np.square(true - true.mean(axis=0)).sum(axis=0)
    score = np.where(residual == 0, 1.0, np.where(np.isnan(residual), np.nan, 0.0))
    score[varies] = 1 - residual[varies] / total[varies]
    return float(score.mean())


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "top_5_accuracy": top_k_accuracy(5),
    "binary_accuracy": binary_accuracy,
    "mean_absolute_error": mean_absolute_error,
    "root_mean_squared_error": root_mean_squared_error,
    "r2_score": r2_score,
}


def resolve_metrics(metrics: Sequence[str | Metric]) -> dict[str, Metric]:
    """The metrics a user asked for, by name.

    Parameters
    ----------
    metrics : sequence of str or callable
        Names out of `METRICS`; or functions ``metric(outputs, targets) -> float``, which are called
        what they are called in Python.

    Returns
    -------
    dict
        Name to function, in the order given.

    Raises
    ------
    TypeError
        Not a sequence, or an entry is neither a name nor a function.
    ValueError
        An unknown name, two metrics of one name, or a name that a fit uses for something else.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(
            f'metrics must be a list of names and functions, such as ["accuracy"]; got {metrics!r}'
        )
    resolved: dict[str, Metric] = {}
    for entry in metrics:
        name, metric = _named(entry)
        if name in _TAKEN or name.startswith("val_"):
            raise ValueError(
                f"a metric cannot be called {name!r}: names beginning with val_ and "
                f"{', '.join(_TAKEN)} mean something else in the history; rename the function"
            )
        if name in resolved:
            raise ValueError(f"metrics must have different names; got two called {name!r}")
        resolved[name] = metric
    return resolved


def check_outputs(metrics: Mapping[str, Metric], outputs: int, classifies: bool) -> None:
    """Refuse metrics that say nothing of a model with so many outputs.

    Parameters
    ----------
    metrics : mapping
        As `resolve_metrics` returns them.
    outputs : int
    classifies : bool
        Whether an output stands for a class, by the loss.

    Raises
    ------
    ValueError
        The model has fewer outputs than the metric is about.
    """
    for name, metric in metrics.items():
        if metric is accuracy and outputs == 1 and not classifies:
            raise ValueError(f"metric {name!r} {_SINGLE}")
        if isinstance(metric, _TopKAccuracy) and outputs < metric.k:
            raise ValueError(
                f"metric {name!r} needs outputs of at least {metric.k} classes; got {outputs}"
            )


def better_direction(name: str) -> str:
    """Whether more or less of a reported number is better, judged by its name.

    Parameters
    ----------
    name : str
        Such as ``"val_loss"``.

    Returns
    -------
    {"min", "max"}
        ``"max"`` if accuracy, auc, f1, precision, r2 or recall is a word of the name.

    Examples
    --------
    >>> better_direction("val_top_5_accuracy"), better_direction("val_loss")
    ('max', 'min')
    """
    return "max" if _MORE_IS_BETTER.intersection(name.split("_")) else "min"


def _named(entry: Any) -> tuple[str, Metric]:
    if isinstance(entry, str):
        return entry, one_of("metrics", entry, METRICS)
    if not callable(entry) or isinstance(entry, type):
        raise TypeError(f"metrics must hold names and functions; got {entry!r}")
    return getattr(entry, "__name__", type(entry).__name__), entry


def _check_rows(outputs: np.ndarray, targets: np.ndarray) -> None:
    for name, array in (("outputs", outputs), ("targets", targets)):
        if array.dtype.kind not in "fiub":
            raise not_real(name, array)
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} must have one or two dimensions; got shape {array.shape}")
        if array.size == 0:
            raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    if len(outputs) != len(targets):
        raise ValueError(
            f"targets must have a row for each of the {len(outputs)} rows of outputs; "
            f"got {len(targets)}"
        )


def scores_and_labels(outputs: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, C) and integer labels (N,), checked; errors as `accuracy`."""
    scores, labels = as_array("outputs", outputs), as_array("targets", targets)
    _check_rows(scores, labels)
    if scores.ndim != 2:
        raise ValueError(f"outputs must have shape (N, classes); got {scores.shape}")
    if labels.ndim == 2:
        if labels.shape != scores.shape:
            raise ValueError(
                f"targets must be labels of shape ({len(scores)},) or have the shape of outputs, "
                f"{scores.shape}; got {labels.shape}"
            )
        # Of one output every answer is right, as it should be only where there is one class.
        if scores.shape[1] == 1 and not (labels == 1).all():
            raise ValueError(f"outputs of shape {scores.shape}: accuracy {_SINGLE}")
        return scores, labels.argmax(axis=1)
    if labels.dtype.kind == "f":
        raise TypeError(f"targets must be integer labels; got dtype {labels.dtype}")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= scores.shape[1]:
        raise ValueError(
            f"targets must hold labels 0..{scores.shape[1] - 1}, one for each column of outputs; "
            f"got labels {low}..{high}"
        )
    return scores, labels.astype(np.intp, copy=False)


def _columns(outputs: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 of shape (N, D)."""
    predicted, true = as_array("outputs", outputs), as_array("targets", targets)
    _check_rows(predicted, true)
    # Broadcasting (N, 1) against (N,) would compare every sample with every other.
    predicted = predicted.reshape(len(predicted), -1).astype(np.float64, copy=False)
    true = true.reshape(len(true), -1).astype(np.float64, copy=False)
    if predicted.shape != true.shape:
        raise ValueError(
            f"targets must have the shape of outputs, {np.shape(outputs)}; got {np.shape(targets)}"
        )
    return predicted, true
