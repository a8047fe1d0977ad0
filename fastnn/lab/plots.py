"""Pictures of training. matplotlib is the extra ``plot``, imported by the functions that draw."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.checks import positive_int, sequence
from fastnn.pictures import COLOURS, log_scale, new_figure, png_bytes, require_matplotlib, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "learning_curves", "png_bytes", "require_matplotlib", "weight_images"]

TRAIN: dict[str, Any] = {
    "linestyle": (0, (2.5, 1.5)),
    "linewidth": 1.0,
    "alpha": 0.75,
    "fillstyle": "none",
}
TEST: dict[str, Any] = {"linestyle": "-", "linewidth": 1.7}
# Share of the epochs, from the first on, in which curves of accuracy may rise into the picture from
# below: with all of them in it, the differences at the end would be too small to see.
EARLY = 0.2


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> "Figure":
    """Accuracy and loss by epoch of several fits, each in a colour of its own.

    Parameters
    ----------
    histories : mapping of str to mapping
        Name of a fit to its `History`, or to anything that has "accuracy", "val_accuracy", "loss"
        and "val_loss", each with a number per epoch.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Drawn without pyplot: nothing global changes, and no window opens.

    Raises
    ------
    ValueError
        No history, or more than there are `COLOURS`.
    ImportError
        matplotlib is not installed.
    """
    if not 1 <= len(histories) <= len(COLOURS):
        raise ValueError(f"histories must be 1 to {len(COLOURS)} fits; got {len(histories)}")
    figure = new_figure(11, 5, title)
    accuracy, loss = figure.subplots(1, 2, sharex=True)
    _curves(accuracy, histories, "accuracy")
    bottom = _lowest(histories)
    accuracy.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    accuracy.set_ylabel("accuracy")
    _curves(loss, histories, "loss")
    log_scale(loss)
    loss.set_ylabel("loss, with the penalty of weight decay")
    _legend(figure, list(histories))
    return figure


def _curves(
    axes: "Axes", histories: Mapping[str, Mapping[str, Sequence[float]]], name: str
) -> None:
    # All dashed lines lie below all solid ones: the test is what counts.
    for order, prefix, style in ((2, "", TRAIN), (3, "val_", TEST)):
        for colour, history in zip(COLOURS, histories.values(), strict=False):
            values = history[f"{prefix}{name}"]
            epochs = range(1, len(values) + 1)
            marker = "o" if len(values) == 1 else None  # one point makes no line
            axes.plot(epochs, values, color=colour, marker=marker, zorder=order, **style)
    axes.set_xlabel("epoch")
    axes.margins(x=0.02)
    tidy(axes, whole_x=True)


def _lowest(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> float:
    """Where the axis of accuracy begins: a little below the worst test after the early epochs."""
    worst = min(
        history["val_accuracy"][int(EARLY * len(history["val_accuracy"]))]
        for history in histories.values()
    )
    return min(max(0.0, worst - 0.3 * (1 - worst)), 0.99)


def _legend(figure: "Figure", names: list[str]) -> None:
    from matplotlib.lines import Line2D

    fits = [
        Line2D([], [], color=colour, linewidth=2.5, label=name)
        for colour, name in zip(COLOURS, names, strict=False)
    ]
    kinds = [
        Line2D([], [], color="0.3", label="test", **TEST),
        Line2D([], [], color="0.3", label="training (mean of the epoch)", **TRAIN),
    ]
    figure.legend(
        handles=[*fits, *kinds], loc="outside lower center", ncols=len(fits) + 2, frameon=False
    )


def draw_by_labels(
    axes: "Axes", table: Sequence[Mapping[str, Any]], styles: Mapping[str, Mapping[str, Any]]
) -> None:
    """Test accuracy by the number of labels, a line for each way to use them.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    table : sequence of mapping
        A row for each number of "labels": the accuracy of each way by its name, and where there are
        bars to draw its deviation, "std, name".
    styles : mapping
        Name of a way to how matplotlib is to draw its line.
    """
    labels = [row["labels"] for row in table]
    for way, style in styles.items():
        spread = [row[f"std, {way}"] for row in table] if f"std, {way}" in table[0] else None
        means = [row[way] for row in table]
        axes.errorbar(labels, means, spread, marker="o", lw=2, capsize=4, label=way, **style)
    axes.set_xscale("log")
    axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.minorticks_off()
    axes.set(xlabel="labels", ylabel="test accuracy")
    axes.legend(frameon=False)
    tidy(axes)


def draw_by_epoch(
    axes: "Axes",
    histories: Mapping[str, Mapping[str, Sequence[float]]],
    styles: Mapping[str, Mapping[str, Any]],
    title: str,
) -> None:
    """Test accuracy by epoch, a line for each way; `draw_by_labels` beside it has the legend."""
    for way, history in histories.items():
        epochs = range(1, len(history["val_accuracy"]) + 1)
        axes.plot(epochs, history["val_accuracy"], linewidth=2, label=way, **styles[way])
    axes.set(xlabel="epoch", ylabel="test accuracy")
    axes.set_title(title, fontsize="medium")
    tidy(axes, whole_x=True)


def weight_images(
    w: np.ndarray, image_shape: Sequence[int] | None = None, title: str = ""
) -> "Figure":
    """An image for each column of a weight matrix: what each unit of a first layer looks for.

    All have one scale, from blue (negative) over white (zero) to red.

    Parameters
    ----------
    w : ndarray, (n_in, units)
    image_shape : sequence of int, optional
        (height, width), or (channels, height, width), of which the mean over channels is drawn; by
        default a square.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        w is no matrix, or its rows make no such image.
    ImportError
        matplotlib is not installed; the message names the extra.
    """
    w = np.asarray(w)
    if w.ndim != 2 or not w.size:
        raise ValueError(f"w must have shape (n_in, units); got {w.shape}")
    shape = checked_image_shape(image_shape, len(w))
    images = w.T.reshape(-1, *shape)
    if len(shape) == 3:
        images = images.mean(axis=1)
    columns = min(len(images), max(4, math.ceil(math.sqrt(1.6 * len(images)))))
    rows = math.ceil(len(images) / columns)
    figure = new_figure(0.85 * columns + 0.9, 0.85 * rows * shape[-2] / shape[-1] + 0.5, title)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    # Not the largest of all: a single weight would make all others pale.
    limit = float(np.percentile(np.abs(images), 99.5)) or 1.0
    for axes, image in zip(panels.flat, images, strict=False):
        drawn = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    bar = figure.colorbar(drawn, ax=panels, shrink=0.7, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    return figure


def checked_image_shape(
    given: Sequence[int] | None, numbers: int, default: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """(height, width) or (channels, height, width) of images that are rows of so many numbers.

    Parameters
    ----------
    given : sequence of int or None
        What the user wants; else the default, or a square.
    numbers : int
    default : tuple of int

    Raises
    ------
    TypeError, ValueError
        No sequence of positive integers; not so many numbers.
    """
    if given is not None:
        axes = sequence("image_shape", given, "numbers of pixels")
        shape = tuple(positive_int("image_shape", axis) for axis in axes)
    else:
        side = math.isqrt(numbers)
        square = (side, side) if side**2 == numbers else (numbers,)
        shape = default if len(default) > 1 else square
    if len(shape) not in (2, 3) or math.prod(shape) != numbers:
        raise ValueError(
            "image_shape must be (height, width), or (channels, height, width), of "
            f"{numbers} numbers in all; got {shape}"
        )
    return shape
