"""Losses: what the targets may be, the value, and its gradient. All are means over the batch."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from fastnn.checks import as_array, not_real, one_of, real_in
from fastnn.components import Component


class Loss(Component):
    """Base of the losses.

    Attributes
    ----------
    classifies : bool
        Whether targets name classes, so that there is an accuracy.
    takes_probabilities : bool
        Whether outputs are read as probabilities: scores, which may be negative, give NaN.
    output_activation : {"softmax", "sigmoid"}, optional
        What makes probabilities of outputs that are scores.
    """

    classifies: ClassVar[bool] = False
    takes_probabilities: ClassVar[bool] = False
    output_activation: ClassVar[str | None] = None

    def default_metrics(self) -> list[str]:
        """Names of the metrics that a trainer reports if none are asked for."""
        return ["accuracy"] if self.classifies else []

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


class _Classification(Loss):
    """Targets are integer labels (N,), or one-hot rows or rows of probabilities (N, n_out)."""

    classifies = True

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        array = as_array("y", y)
        _check_rows(array, rows)
        if array.ndim == 1 and array.dtype.kind in "iub":
            low, high = array.min(), array.max()
            if low < 0 or high >= n_out:
                hint = (
                    "; for yes and no give the model 2 outputs, or take loss='binary_cross_entropy'"
                )
                raise ValueError(
                    f"y must hold class labels 0..{n_out - 1}, one for each output of the model; "
                    f"got labels {low}..{high}{hint if n_out == 1 else ''}"
                )
            return np.require(array, dtype=np.int64, requirements=["C_CONTIGUOUS", "ALIGNED"])
        if array.shape != (rows, n_out) or array.dtype.kind not in "iubf":
            raise (TypeError if array.dtype.kind not in "iubf" else ValueError)(
                f"y must hold integer labels of shape ({rows},), or one-hot or soft labels of "
                f"shape ({rows}, {n_out}); got {array.dtype} of shape {array.shape}{_hint(array)}"
            )
        soft = _finite(array, dtype)
        sums = soft.sum(axis=1, dtype=np.float64)
        off = (soft < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)
        if off.any():
            row = int(np.argmax(off))
            raise ValueError(
                "y must hold probabilities: each row non-negative, with the sum 1; got the sum "
                f"{sums[row]:g} in row {row}, with numbers from {soft[row].min():g}"
            )
        return soft


class SoftmaxCrossEntropy(_Classification):
    """``-log softmax(out)[label]``, for integer labels, one-hot rows, or rows of probabilities.

    Parameters
    ----------
    label_smoothing : float
        In [0, 1): the share of each target that is spread over all classes alike,
        ``(1 - s) * target + s / n_out``, in training and in evaluation. The targets then take
        (N, n_out) numbers. Szegedy et al. (2015), https://arxiv.org/abs/1512.00567.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "softmax_cross_entropy"
    output_activation = "softmax"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing
        real_in("label_smoothing", label_smoothing, 0, 1, open_high=True)

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        targets = super().targets(y, rows, n_out, dtype)
        if not self.label_smoothing:
            return targets
        if targets.ndim == 1:
            targets = np.equal.outer(targets, np.arange(n_out)).astype(dtype)
        kept, spread = 1 - self.label_smoothing, self.label_smoothing / n_out
        return targets * dtype.type(kept) + dtype.type(spread)

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


class CrossEntropy(_Classification):
    """``-log(out[label] + guard)``: as the textbook writes it, for models that give probabilities.

    Such a model ends with a `fastnn.Softmax` layer. `SoftmaxCrossEntropy`, which takes the scores
    before that layer, is faster and exact however far apart they are; here a loss stays below
    ``-log(guard)``, 16.1, and probabilities far below the guard get hardly a gradient.

    Parameters
    ----------
    guard : float
        At least 0; what keeps the logarithm of a probability of zero finite.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "cross_entropy"
    takes_probabilities = True

    def __init__(self, guard: float = 1e-7) -> None:
        self.guard = guard
        real_in("guard", guard, 0)

    def value(
        self,
        kernels: ModuleType,
        out: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        dout: np.ndarray | None,
    ) -> float:
        kernel = kernels.cross_entropy_soft if targets.ndim == 2 else kernels.cross_entropy
        return kernel(out, targets, weights, self.guard, dout)


class _Regression(Loss):
    """Targets of shape (N, n_out), or (N,) for a single output.

    The value is the kernel ``<kind>``'s, which takes `numbers` besides the arrays.
    """

    def numbers(self) -> tuple[float, ...]:
        """The settings that the kernel takes."""
        return ()

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        array = as_array("y", y)
        _check_rows(array, rows)
        if array.dtype.kind not in "iubf":
            raise not_real("y", array)
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
        kernel = getattr(kernels, self.kind)
        return kernel(out, targets, weights, *self.numbers(), dout)


class BinaryCrossEntropy(_Regression):
    """``-y log(p) - (1 - y) log(1 - p)`` with ``p = sigmoid(out)``, mean over samples and outputs.

    For outputs each of which is a yes or no of its own: several labels to a sample, or a single
    output for two classes. Like `SoftmaxCrossEntropy` it takes scores (logits): the model ends with
    an `Affine` layer; its `Sequential.predict_proba` is the sigmoid of its outputs. Targets lie in
    [0, 1].
    It is `torch.nn.BCEWithLogitsLoss`; its metric is `fastnn.metrics.binary_accuracy`.
    """

    kind = "binary_cross_entropy"
    output_activation = "sigmoid"

    def default_metrics(self) -> list[str]:
        return ["binary_accuracy"]

    def targets(self, y: Any, rows: int, n_out: int, dtype: np.dtype[Any]) -> np.ndarray:
        targets = super().targets(y, rows, n_out, dtype)
        low, high = targets.min(), targets.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"y must lie in [0, 1], 1 for yes and 0 for no; got numbers from {low} to {high}"
            )
        return targets


class MeanSquaredError(_Regression):
    """``mean((out - y)^2)`` over samples and outputs."""

    kind = "mean_squared_error"


class SumSquaredError(_Regression):
    """``0.5 * sum((out - y)^2)`` over outputs, mean over samples."""

    kind = "sum_squared_error"


class MeanAbsoluteError(_Regression):
    """``mean(|out - y|)`` over samples and outputs: fits the median, not the mean."""

    kind = "mean_absolute_error"


class Huber(_Regression):
    """Squared error up to ``delta``, absolute error from there on, mean over samples and outputs.

    ``0.5 d^2`` where ``|d| = |out - y| <= delta``, else ``delta * (|d| - 0.5 delta)``: outliers
    pull no harder than delta. It is `torch.nn.HuberLoss`. Huber (1964),
    https://doi.org/10.1214/aoms/1177703732.

    Parameters
    ----------
    delta : float
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta
        real_in("delta", delta, 0, open_low=True)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.delta),)


LOSSES: dict[str, type[Loss]] = {
    cls.kind: cls
    for cls in (
        SoftmaxCrossEntropy,
        CrossEntropy,
        BinaryCrossEntropy,
        MeanSquaredError,
        SumSquaredError,
        MeanAbsoluteError,
        Huber,
    )
}


def as_loss(loss: Any, known: Mapping[str, type[Loss]] = LOSSES) -> Loss:
    """The loss a user meant: an object, or a name out of a table.

    Raises
    ------
    ValueError
        Neither; the message lists the names.
    """
    if isinstance(loss, Loss):
        return loss
    hint = ""
    if callable(loss) and loss not in known.values():
        hint = "; one of your own is a subclass of fastnn.Loss, which brings its gradient"
        if isinstance(loss, type) and issubclass(loss, Loss):
            hint = f"; write {loss.__name__}()"
    try:
        return one_of("loss", loss, known)()
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None


def _hint(array: np.ndarray) -> str:
    """How to make labels of what nearly is."""
    if array.dtype.kind in "OUST":
        return "; names become labels by: names, y = np.unique(y, return_inverse=True)"
    if array.dtype.kind in "iub" and array.ndim == 2 and array.shape[1] == 1:
        return "; pass np.ravel(y)"
    if array.dtype.kind == "f" and array.ndim == 1 and (array == np.floor(array)).all():
        return "; pass y.astype(int)"
    return ""


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
