"""The course's functions: of arrays of any shape, in float64 unless the array is float32."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import numerical
from fastnn.backend import get_backend
from fastnn.checks import Rng, as_array, generator

# Added to a probability before its logarithm is taken, so that zero gives 16, not infinity.
GUARD = 1e-7


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, without overflow; of the shape of x."""
    return _elementwise("sigmoid_forward", x)


def sigmoid_grad(x: Any) -> Any:
    """The derivative of the sigmoid at x: ``sigmoid(x) * (1 - sigmoid(x))``."""
    s = sigmoid(x)
    return s * (1 - s)


def relu(x: Any) -> Any:
    """``max(x, 0)``; of the shape of x."""
    return _elementwise("relu_forward", x)


def softmax(x: Any) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` along the last axis, shifted by the maximum against overflow.

    Parameters
    ----------
    x : array_like, (..., C)

    Returns
    -------
    ndarray
        Of the shape of x; the last axis has the sum 1.

    Raises
    ------
    TypeError, ValueError
        x is not made of real numbers, or has none along its last axis.
    """
    scores = _reals("x", x)
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(f"x must have scores along its last axis; got shape {scores.shape}")
    rows = scores.reshape(-1, scores.shape[-1])
    out = np.empty_like(rows)
    get_backend().kernels.softmax_forward(rows, out)
    return out.reshape(scores.shape)


def sum_squared_error(y: Any, t: Any) -> float:
    """``0.5 * sum((y - t)^2)``, over everything.

    Raises
    ------
    TypeError, ValueError
        Not real numbers; shapes that differ.
    """
    outputs, targets = _reals("y", y), _reals("t", t)
    if outputs.shape != targets.shape:
        raise ValueError(f"t must have the shape of y, {outputs.shape}; got {targets.shape}")
    return float(0.5 * np.square(outputs - targets).sum())


def cross_entropy_error(y: Any, t: Any) -> float:
    """``-log(y[label] + 1e-7)``, mean over the rows.

    Parameters
    ----------
    y : array_like, (C,) or (N, C)
        Probabilities.
    t : array_like
        Labels, an integer for each row, or one-hot, of the shape of y.

    Raises
    ------
    TypeError, ValueError
        y is not one or two axes of real numbers; t does not fit it.
    """
    probabilities = _reals("y", y)
    if probabilities.ndim not in (1, 2) or probabilities.size == 0:
        raise ValueError(f"y must have shape (C,) or (N, C); got {probabilities.shape}")
    targets = as_array("t", t)
    if probabilities.ndim == 1:
        probabilities = probabilities[None]
        targets = targets.reshape(1, -1) if targets.size > 1 else targets.reshape(-1)
    return guarded_cross_entropy(probabilities, class_labels(targets, *probabilities.shape))


def guarded_cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """`cross_entropy_error` of checked arguments: (N, C), and (N,) int64."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return -float(np.log(of_label + GUARD).sum()) / len(labels)


def class_labels(t: Any, rows: int, classes: int) -> np.ndarray:
    """Labels (N,) int64 from labels or one-hot rows.

    Raises
    ------
    TypeError, ValueError
        t is neither integers in range, one for each row, nor one-hot rows.
    """
    targets = as_array("t", t)
    if targets.ndim == 1 and targets.dtype.kind in "iu":
        labels = targets.astype(np.int64, copy=False)
        if len(labels) != rows:
            raise ValueError(f"t must have {rows} rows, as x has; got {len(labels)}")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"t must hold labels 0..{classes - 1}; got {labels.min()}..{labels.max()}"
            )
        return labels
    if targets.shape != (rows, classes) or targets.dtype.kind not in "iufb":
        raise (ValueError if targets.dtype.kind in "iufb" else TypeError)(
            f"t must hold integer labels of shape ({rows},), or one-hot rows of shape "
            f"({rows}, {classes}); got {targets.dtype} of shape {targets.shape}"
        )
    labels = targets.argmax(axis=1)
    if np.count_nonzero(targets) != rows or not (targets[np.arange(rows), labels] == 1).all():
        raise ValueError("t must be one-hot where it has two axes: a single 1 in each row, else 0")
    return labels


def gradient_descent(
    f: Callable[[np.ndarray], Any], init_x: Any, lr: float = 0.01, step_num: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """As `fastnn.gradient_descent`, with the course's names, and its path.

    Returns
    -------
    x : ndarray
        Where the walk ended. ``init_x`` keeps its values.
    path : ndarray, (step_num, *x.shape)
        The points from which a step was made: the last one, x, is not among them.
    """
    x, path = numerical.gradient_descent(f, init_x, lr, step_num)
    return x, path[:-1]


def shuffle_dataset(x: np.ndarray, t: np.ndarray, rng: Rng = None) -> tuple[np.ndarray, np.ndarray]:
    """Copies of x and t with their rows in one new order, drawn from ``rng``.

    Raises
    ------
    ValueError
        The numbers of rows differ.
    """
    x, t = as_array("x", x), as_array("t", t)
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
        raise ValueError(f"x and t must have as many rows; got shapes {x.shape} and {t.shape}")
    order = generator(rng).permutation(len(x))
    return x[order], t[order]


def smooth_curve(x: Any) -> np.ndarray:
    """A curve, such as the loss by iteration, averaged over 11 points about each.

    The weights are a Kaiser window of beta 2. Beyond its ends the curve is mirrored: about the
    first point, and about the edge behind the last one.

    Parameters
    ----------
    x : array_like, (N,)

    Returns
    -------
    ndarray, (N,)
    """
    curve = _reals("x", x)
    if curve.ndim != 1 or curve.size == 0:
        raise ValueError(f"x must have shape (N,), N at least 1; got {curve.shape}")
    window = np.kaiser(11, 2)
    padded = np.pad(np.pad(curve, (5, 0), "reflect"), (0, 5), "symmetric")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _reals(name: str, x: Any) -> np.ndarray:
    """As the kernels take it: C-contiguous, float32 if it is that, float64 otherwise."""
    array = as_array(name, x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    return np.require(array, dtype=dtype, requirements=["C_CONTIGUOUS", "ALIGNED"])


def _elementwise(kernel: str, x: Any) -> Any:
    values = _reals("x", x)
    out = np.empty(values.size, values.dtype)
    getattr(get_backend().kernels, kernel)(values.reshape(-1), out)
    return out.reshape(values.shape)[()]
