"""Checked data, and what their weights are worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Checked data: x (N, features), targets as the loss takes them, weights (N,) or None."""

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> "Rows":
        """The data of these row numbers."""
        weights = None if self.weights is None else self.weights[rows]
        return Rows(self.x[rows], self.targets[rows], weights)

    def astype(self, dtype: np.dtype[Any]) -> "Rows":
        """The data with features of this type."""
        return Rows(self.x.astype(dtype, copy=False), self.targets, self.weights)

    def relative_weights(self, scale: float) -> tuple[np.ndarray | None, float]:
        """Weights with the mean ``scale``, or None for all 1; and the mean they had."""
        if self.weights is None:
            return (None if scale == 1 else np.full(len(self.x), scale)), 1.0
        mean = float(self.weights.mean())
        return self.weights * (scale / mean), mean


def dense(array: Any, dtype: Any = None) -> np.ndarray:
    """A C-contiguous array, also of a sparse matrix; of its own dtype unless one is given."""
    array = array.toarray() if hasattr(array, "toarray") else array
    return np.ascontiguousarray(array, dtype=dtype)
