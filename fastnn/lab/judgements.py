"""Pictures of how a classifier judges: confusion matrix, ROC curve, calibration.

scikit-learn's Display objects compute and draw them; it is the extra ``sklearn``.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.checks import name_among, positive_int, sequence
from fastnn.errors import missing_extra
from fastnn.layers import Sigmoid
from fastnn.metrics import scores_and_labels
from fastnn.model import Sequential, check_model
from fastnn.pictures import COLOURS, new_figure, require_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of curves: all colours in full lines, then dashed ones.
_STYLES = [*product(("-", "--", "-."), COLOURS)]


def confusion(
    model: Sequential,
    x: Any,
    y: Any,
    names: Sequence[str] | None = None,
    normalize: str | None = None,
    title: str = "",
) -> "Figure":
    """Which classes are taken for which: a row for each true class, a column for each answer.

    Parameters
    ----------
    model : Sequential
        A classifier: an output for each class, or a single one for the second of two.
    x : array_like, (N, features) or (N, *input_shape)
        As `Sequential.predict` takes them.
    y : array_like of int, (N,); or array_like, (N, C)
        Labels 0..C-1, or one-hot rows.
    names : sequence of str, optional
        What the classes are called; by default their numbers.
    normalize : {"true", "pred", "all"}, optional
        Shares of the true classes, of the answers, or of all samples, instead of counts.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        The model is no Sequential; x or y do not fit it; there are not as many names as classes.
    ImportError
        scikit-learn or matplotlib is not installed; the message names the extra.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : what draws it.
    """
    if normalize is not None:
        name_among("normalize", normalize, ("true", "pred", "all"))
    display = _display("ConfusionMatrixDisplay")
    probabilities, labels = _judged(model, x, y)
    count = probabilities.shape[1]
    called = _class_names(names, count)
    side = min(3 + 0.45 * count, 12)
    figure = new_figure(side, side, title)
    display.from_predictions(
        labels,
        probabilities.argmax(axis=1),
        labels=range(count),
        display_labels=called,
        normalize=normalize,
        values_format=None if normalize is None else ".2f",
        cmap="Blues",
        colorbar=False,
        xticks_rotation="horizontal" if max(map(len, called)) <= 3 else "vertical",
        ax=figure.subplots(),
    )
    return figure


def roc(
    model: Sequential,
    x: Any,
    y: Any,
    names: Sequence[str] | None = None,
    title: str = "",
) -> "Figure":
    """Right alarms against false ones, at every threshold, and the area under the curve.

    Of two classes, the curve of the second; of more, one for each class against all others. A class
    of which y has no sample, or nothing else, has no curve.

    Parameters
    ----------
    model, x, y, names, title
        As in `confusion`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As `confusion`; or y holds a single class, or more than 21, as many as can be told apart by
        colours and dashes.
    ImportError
        scikit-learn or matplotlib is not installed; the message names the extra.

    See Also
    --------
    sklearn.metrics.RocCurveDisplay : what draws it.
    """
    display = _display("RocCurveDisplay")
    probabilities, labels = _judged(model, x, y)
    count = probabilities.shape[1]
    called = _class_names(names, count)
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError(f"y must hold samples of two classes at least; got {present.tolist()}")
    drawn = [1] if count == 2 else present
    if len(drawn) > len(_STYLES):
        raise ValueError(
            f"y must hold at most {len(_STYLES)} classes to be drawn; got {len(drawn)}"
        )
    figure = new_figure(5, 5, title)
    axes = figure.subplots()
    for (dashes, colour), label in zip(_STYLES, drawn, strict=False):
        display.from_predictions(
            labels == label,
            probabilities[:, label],
            name=called[label],
            curve_kwargs={"color": colour, "linestyle": dashes},
            ax=axes,
        )
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance")
    _square(axes, "false positive rate", "true positive rate")
    return figure


def calibration(model: Sequential, x: Any, y: Any, bins: int = 10, title: str = "") -> "Figure":
    """How often the model is right, against how sure it is; on the diagonal, as often as it says.

    Of two classes: the share of the second, by its probability. Of more: the share of right
    answers, by the probability of the answer. Each point stands for as many samples as any other.

    Parameters
    ----------
    model, x, y, title
        As in `confusion`.
    bins : int
        How many points; fewer where probabilities are equal.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As `confusion`; `bins` is not a positive integer.
    ImportError
        scikit-learn or matplotlib is not installed; the message names the extra.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : what draws it.

    Notes
    -----
    Guo et al. (2017), "On calibration of modern neural networks", https://arxiv.org/abs/1706.04599.
    """
    positive_int("bins", bins)
    display = _display("CalibrationDisplay")
    probabilities, labels = _judged(model, x, y)
    right, sure = right_and_sure(probabilities, labels)
    names = ("probability of the answer", "share of right answers")
    if probabilities.shape[1] == 2:
        names = ("probability of the second class", "share of the second class")
    figure = new_figure(5, 5, title)
    axes = figure.subplots()
    display.from_predictions(
        right,
        sure,
        n_bins=bins,
        strategy="quantile",
        pos_label=1,
        name="model",
        color=COLOURS[3],
        ax=axes,
    )
    _square(axes, *names)
    return figure


def right_and_sure(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What calibration compares: what came true, 0 or 1, and how probable it was said to be.

    Of two classes, whether it is the second; of more, whether the answer is right.

    Parameters
    ----------
    probabilities : ndarray, (N, C)
    labels : ndarray of int, (N,)

    Returns
    -------
    right, sure : ndarray, (N,)
    """
    if probabilities.shape[1] == 2:
        right, sure = labels == 1, probabilities[:, 1]
    else:
        right, sure = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
    # Rounding may bring a sum of probabilities above 1, which scikit-learn refuses.
    return right.astype(int), np.clip(sure, 0, 1)


def _display(name: str) -> Any:
    """A class of scikit-learn's, once all that it needs is there."""
    require_matplotlib()
    try:
        from sklearn import calibration, metrics
    except ImportError as error:
        raise missing_extra("scikit-learn", "sklearn") from error
    return getattr(calibration if name.startswith("Calibration") else metrics, name)


def _judged(model: Sequential, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) in float64, and labels (N,)."""
    if check_model(model).output_size > 1:
        probabilities = model.predict_proba(x).astype(np.float64)
    else:
        out = model.predict(x).astype(np.float64)
        second = out if isinstance(model.layers[-1], Sigmoid) else np.exp(-np.logaddexp(0, -out))
        probabilities = np.hstack([1 - second, second])
    labels = np.asarray(y)
    if model.output_size == 1 and labels.shape == (len(labels), 1):
        labels = labels[:, 0]  # as the loss of a single output takes it
    return scores_and_labels(probabilities, labels)


def _class_names(names: Sequence[str] | None, count: int) -> list[str]:
    called = list(map(str, range(count))) if names is None else sequence("names", names, "names")
    if len(called) != count:
        raise ValueError(f"names must hold {count} names, one for each class; got {len(called)}")
    return [str(name) for name in called]


def _square(axes: "Axes", x_label: str, y_label: str) -> None:
    """Both axes from 0 to 1, in the house's style."""
    tidy(axes)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, fontsize="small", loc="best")
