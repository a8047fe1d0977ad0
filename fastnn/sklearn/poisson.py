"""The loss of counts."""

from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import xlogy

from fastnn.losses import SumSquaredError


class HalfPoissonDeviance(SumSquaredError):
    """``y log(y / exp(out)) - y + exp(out)``, sum over outputs, mean over samples.

    For counts, and other numbers of at least 0 whose spread grows with their mean: the model's
    outputs are the logarithms of the means. McCullagh and Nelder, "Generalized Linear Models"
    (1989), section 2.3.
    """

    kind = "half_poisson_deviance"

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        targets = super().targets(y, rows, n_out, dtype)
        if targets.min() < 0:
            raise ValueError(f"y must be at least 0 for loss='poisson'; got {targets.min():g}")
        return targets

    def value(
        self,
        kernels: ModuleType,
        out: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        dout: np.ndarray | None,
    ) -> float:
        mean = np.exp(out)
        losses = (xlogy(targets, targets) - targets * out - targets + mean).sum(axis=1)
        share = np.full(len(out), 1 / len(out)) if weights is None else weights / len(out)
        if dout is not None:
            np.multiply(mean - targets, share[:, None], out=dout)
        return float(np.dot(losses.astype(np.float64), share))
