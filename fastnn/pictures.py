"""How pictures look here, and how they are made: figures that change nothing global.

matplotlib is the extra ``plot``, imported by the functions that draw.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnn.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart with every common colour blindness: M. Okabe and K. Ito, "Color Universal Design"
# (2008); its yellow is left out, too pale for a line on white.
COLOURS = ("#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#56B4E9")
TRAIN_COLOUR, VALIDATION_COLOUR = "#0072B2", "#D55E00"
DPI = 150

# What a fit reports that is no measure of the model.
_NOT_MEASURES = ("lr", "seconds")


def require_matplotlib() -> None:
    """Find out now, not after the training, whether pictures can be drawn.

    Raises
    ------
    ImportError
        matplotlib is not installed; the message names the extra.
    """
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "plot") from error


def new_figure(width: float, height: float, title: str = "") -> "Figure":
    """An empty figure, made without pyplot: nothing global changes, and no window opens.

    Parameters
    ----------
    width, height : float
        In inches.
    title : str

    Raises
    ------
    ImportError
        matplotlib is not installed; the message names the extra.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def tidy(axes: "Axes", whole_x: bool = False) -> None:
    """A light grid behind the data, no frame above and to the right; whole numbers along x."""
    from matplotlib.ticker import MaxNLocator

    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def log_scale(axes: "Axes") -> None:
    """A logarithmic y axis, labelled with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def png_bytes(figure: "Figure") -> bytes:
    """The figure as the content of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def history_figure(history: Mapping[str, Sequence[float]], title: str = "") -> "Figure":
    """Loss and metrics of one fit by epoch: training, validation, and the gap between them.

    Parameters
    ----------
    history : mapping of str to sequence of float
        A `History`, or anything with a number per epoch under "loss", and perhaps "val_loss" and
        metrics with and without ``val_``.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each; ``figure.savefig("curves.png")`` writes it.

    Raises
    ------
    ValueError
        No epoch to draw.
    ImportError
        matplotlib is not installed; the message names the extra.
    """
    names = [n for n in history if not n.startswith("val_") and n not in _NOT_MEASURES]
    if not any(len(history[name]) for name in names):
        raise ValueError("history must hold at least one epoch; got none")
    figure = new_figure(5.5 * len(names), 4.2, title)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _measure(axes, name, history[name], history.get(f"val_{name}"))
    return figure


def _measure(
    axes: "Axes", name: str, train: Sequence[float], validation: Sequence[float] | None
) -> None:
    epochs = range(1, len(train) + 1)
    # One point makes no line.
    style: dict[str, Any] = {"linewidth": 1.8, "marker": "o" if len(train) == 1 else None}
    axes.plot(epochs, train, color=TRAIN_COLOUR, label="training", **style)
    if validation is not None:
        axes.plot(epochs, validation, color=VALIDATION_COLOUR, label="validation", **style)
        gap = abs(train[-1] - validation[-1])
        shown = f"{100 * gap:.1f} points" if "accuracy" in name else f"{gap:.3g}"
        label = f"gap, {shown} at the end" if math.isfinite(gap) else "gap"
        axes.fill_between(epochs, train, validation, color="0.5", alpha=0.15, lw=0, label=label)
    tidy(axes, whole_x=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name.replace("_", " "))
    axes.margins(x=0.02)
    values = [v for v in (*train, *(validation or ())) if math.isfinite(v)]
    # Losses fall by powers of ten; on a linear axis only the first epochs would be seen.
    if name == "loss" and values and min(values) > 0:
        log_scale(axes)
    axes.legend(frameon=False)
