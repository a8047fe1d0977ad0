"""What is learned from: rows, targets and weights, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.checks import as_array, not_real, source_rows
from fastnn.losses import Loss
from fastnn.model import Sequential


@dataclass(frozen=True)
class Examples:
    """Checked rows to learn from or be judged by.

    Attributes
    ----------
    x : ndarray, (N, features)
        As `fastnn.checks.source_rows` returns them.
    targets : ndarray
        As the loss wants them.
    weights : ndarray, (N,), or None
        Sample weights.
    """

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray | slice) -> "Examples":
        """The examples of these row numbers."""
        weights = None if self.weights is None else self.weights[rows]
        return Examples(self.x[rows], self.targets[rows], weights)


def examples_for(
    model: Sequential,
    loss: Loss,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Sequence[float] | None = None,
) -> Examples:
    """Examples for a model and a loss, from what `Trainer.fit` is given.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, shape or range; the message names it.
    """
    rows = source_rows("x", x, model.input_shape, model.dtype)
    targets = loss.targets(y, len(rows), model.output_size, model.dtype)
    weights = None
    if sample_weight is not None:
        weights = _weights("sample_weight", sample_weight, len(rows))
    if class_weight is not None:
        if not loss.classifies:
            raise ValueError("class_weight needs a classification loss; use sample_weight")
        of_class = _class_weights(class_weight, model.output_size)
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        weights = of_class[labels] if weights is None else weights * of_class[labels]
    if weights is not None:
        with np.errstate(over="ignore"):  # what is too large for the dtype is named below
            weights = weights.astype(model.dtype)
        if not np.isfinite(weights).all():
            raise ValueError(
                f"sample_weight and class_weight must make finite {model.dtype} numbers"
            )
    return Examples(rows, targets, weights)


def _weights(name: str, values: Any, rows: int) -> np.ndarray:
    weights = as_array(name, values)
    if weights.dtype.kind not in "fiub":
        raise not_real(name, weights)
    if weights.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},); got {weights.shape}")
    good = np.isfinite(weights) & (weights >= 0)
    if not good.all():
        place = int(np.argmin(good))
        raise ValueError(
            f"{name} must be finite and at least 0; got {weights[place]} at index {place}"
        )
    return weights


def _class_weights(weights: Mapping[int, float] | Sequence[float], classes: int) -> np.ndarray:
    if isinstance(weights, Mapping):
        unknown = [label for label in weights if label not in range(classes)]
        if unknown:
            raise ValueError(
                f"class_weight names class {unknown[0]!r}; classes are 0..{classes - 1}"
            )
        weights = [weights.get(label, 1.0) for label in range(classes)]
    if isinstance(weights, str):
        raise TypeError(
            f"class_weight must hold real numbers, a factor for each class; got {weights!r}; "
            "balanced ones are len(y) / (n_classes * np.bincount(y))"
        )
    return _weights("class_weight", weights, classes)
