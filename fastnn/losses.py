"""Losses: what the targets may be, the value, and its gradient. All are means over the batch."""

from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from fastnn.checks import as_array
from fastnn.components import Component


class Loss(Component):
    """Base of the losses.

    Attributes
    ----------
    classifies : bool
        Whether targets name classes, so that there is an accuracy.
    """

    classifies: ClassVar[bool] = False

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Check targets and convert them to what the kernels take.

        Parameters
        ----------
        y : array_like
        rows, n_out : int
            Number of samples, and of the model's outputs.
        dtype : dtype
            The model's.

        Raises
        ------
        TypeError, ValueError
            Targets of the wrong type, shape or range, or not finite.
        """
        raise NotImplementedError  # abstract: every subclass has its own

    def value(
        self,
        kernels: ModuleType,
        out: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        dout: np.ndarray | None,
    ) -> float:
        """The loss of a batch; the gradient with respect to ``out`` is written to ``dout``.

        Parameters
        ----------
        kernels : module
        out : ndarray, (N, n_out)
        targets : ndarray
            Rows of what `targets` returned.
        weights : ndarray, (N,), or None
            Sample weights: the loss is ``sum(weights * losses) / N``.
        dout : ndarray, (N, n_out), or None
            None asks for the value only.
        """
        raise NotImplementedError  # abstract: every subclass has its own


class SoftmaxCrossEntropy(Loss):
    """``-log softmax(out)[label]``, for integer labels, one-hot rows, or rows of probabilities."""

    kind = "softmax_cross_entropy"
    classifies = True

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        array = as_array("y", y)
        _check_rows(array, rows)
        if array.ndim == 1 and array.dtype.kind in "iub":
            low, high = array.min(), array.max()
            if low < 0 or high >= n_out:
                raise ValueError(
                    f"y must hold class labels 0..{n_out - 1}, one for each output of the model; "
                    f"got labels {low}..{high}"
                )
            return np.ascontiguousarray(array, dtype=np.int64)
        if array.shape != (rows, n_out) or array.dtype.kind not in "iubf":
            raise (TypeError if array.dtype.kind not in "iubf" else ValueError)(
                f"y must hold integer labels of shape ({rows},), or one-hot or soft labels of "
                f"shape ({rows}, {n_out}); got {array.dtype} of shape {array.shape}"
            )
        soft = _finite(array, dtype)
        if (soft < 0).any() or np.abs(soft.sum(axis=1, dtype=np.float64) - 1).max() > 1e-3:
            raise ValueError("y must hold probabilities: each row non-negative, with the sum 1")
        return soft

    def value(
        self,
        kernels: ModuleType,
        out: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        dout: np.ndarray | None,
    ) -> float:
        soft = targets.ndim == 2
        kernel = kernels.softmax_cross_entropy_soft if soft else kernels.softmax_cross_entropy
        return kernel(out, targets, weights, np.empty_like(out), dout)


class _SquaredError(Loss):
    """Targets of shape (N, n_out), or (N,) for a single output."""

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        array = as_array("y", y)
        _check_rows(array, rows)
        if array.dtype.kind not in "iubf":
            raise TypeError(f"y must hold real numbers; got dtype {array.dtype}")
        if array.ndim == 1 and n_out == 1:
            array = array[:, None]
        if array.shape != (rows, n_out):
            raise ValueError(
                f"y must have shape ({rows}, {n_out}), a number for each output of the model; "
                f"got {array.shape}"
            )
        return _finite(array, dtype)

    def value(
        self,
        kernels: ModuleType,
        out: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        dout: np.ndarray | None,
    ) -> float:
        return getattr(kernels, self.kind)(out, targets, weights, dout)


class MeanSquaredError(_SquaredError):
    """``mean((out - y)^2)`` over samples and outputs."""

    kind = "mean_squared_error"


class SumSquaredError(_SquaredError):
    """``0.5 * sum((out - y)^2)`` over outputs, mean over samples."""

    kind = "sum_squared_error"


LOSSES: dict[str, type[Loss]] = {
    cls.kind: cls for cls in (SoftmaxCrossEntropy, MeanSquaredError, SumSquaredError)
}


def _check_rows(array: np.ndarray, rows: int) -> None:
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(f"y must have {rows} rows, as x has; got shape {array.shape}")


def _finite(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is too large for the dtype is named below
        converted = np.require(array, dtype=dtype, requirements=["C_CONTIGUOUS", "ALIGNED"])
    finite = np.isfinite(converted)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise ValueError(f"y must be finite; got {array[row].tolist()} in row {row}")
    return converted
