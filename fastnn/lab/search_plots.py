"""Pictures of a search."""

import math
from typing import TYPE_CHECKING, Any

from fastnn.checks import positive_int
from fastnn.errors import FastnnError
from fastnn.lab.search_result import SearchResult, Trial, shown
from fastnn.lab.space import Choices, Dimension, Distribution
from fastnn.pictures import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST, LONG, SHORT = COLOURS[4], COLOURS[3], "0.65"
COLUMNS = 3  # panels next to each other, and of curves


def _finished(result: SearchResult) -> list[Trial]:
    result.best  # noqa: B018  raises where there is none
    return [trial for trial in result.trials if trial.status != "failed"]


def scatter(result: SearchResult) -> "Figure":
    """See `SearchResult.plot`."""
    trials = _finished(result)
    names = list(result.space)
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(1 + 3.6 * columns, 0.6 + 3 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        _panel(axes, result, trials, name)
    for axes in panels.flat[len(names) :]:
        axes.remove()
    for first in panels[:, 0]:
        first.set_ylabel(result.monitor)
    _limit(panels[0, 0], result, [trial.score for trial in trials])
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    failed = len(result.trials) - len(trials)
    title = f"{len(trials)} trials" + (f", {failed} more failed" if failed else "")
    figure.suptitle(title, fontsize="medium")
    return figure


def _panel(axes: "Axes", result: SearchResult, trials: list[Trial], name: str) -> None:
    dimension = result.space[name]
    most = trials[0].epochs
    place = _Places(axes, dimension, [trial.params[name] for trial in trials])
    groups = (
        ("fewer epochs", [t for t in trials if t.epochs < most], SHORT),
        (f"{most} epochs", [t for t in trials[1:] if t.epochs == most], LONG),
    )
    for label, group, colour in groups:
        if group:
            x = [place(trial.params[name]) for trial in group]
            y = [trial.score for trial in group]
            axes.scatter(x, y, s=22, color=colour, alpha=0.75, linewidth=0, label=label)
    best = trials[0]
    axes.scatter(
        [place(best.params[name])], [best.score], s=110, marker="*", color=BEST, zorder=3,
        label=f"best: {result.monitor} {best.score:.4g}",
    )  # fmt: skip
    axes.set_xlabel(f"{name} = {shown(best.params[name])}", color=BEST)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


class _Places:
    """Where the values of a parameter lie on an axis, whose scale it sets."""

    def __init__(self, axes: "Axes", dimension: Dimension, values: list[object]) -> None:
        self.choices: list[object] = []
        if isinstance(dimension, Choices):
            for value in [*dimension.values, *values]:  # narrowed choices leave earlier ones out
                if value not in self.choices:
                    self.choices.append(value)
            axes.set_xticks(range(len(self.choices)), [shown(value) for value in self.choices])
            axes.set_xlim(-0.5, len(self.choices) - 0.5)
        elif dimension.log or _spans_decades(dimension, values):
            axes.set_xscale("log")

    def __call__(self, value: Any) -> float:
        return self.choices.index(value) if self.choices else float(value)


def _spans_decades(dimension: Dimension, values: list[object]) -> bool:
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    return (
        isinstance(dimension, Distribution)
        and min(numbers) > 0
        and max(numbers) > 100 * min(numbers)
    )


def _limit(axes: "Axes", result: SearchResult, scores: list[float]) -> None:
    """Losses on a logarithmic scale; of accuracies the better part, the worst at the bottom."""
    if result.mode == "min" and min(scores) > 0 and max(scores) > 10 * min(scores):
        axes.set_yscale("log")


def curves(result: SearchResult, n: int) -> "Figure":
    """See `SearchResult.plot_curves`."""
    trials = _finished(result)[: positive_int("n", n)]
    name = result.monitor
    trials = [trial for trial in trials if trial.curves.get(name)]
    if not trials:
        raise FastnnError(f"no trial of this search has a curve of {name}")
    figure = new_figure(8.5, 6)
    axes = figure.subplots()
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    shades = colormaps["viridis"]
    # The best last, on top of the others; those that come next lie nearer to it in colour.
    for rank, trial in reversed(list(enumerate(trials))):
        values = trial.curves[name]
        best = rank == 0
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=BEST if best else shades(0.9 * rank / len(trials)),
            linewidth=2.4 if best else 1.1,
            alpha=1.0 if best else 0.8,
            marker="o" if len(values) == 1 else None,
            label=_params(trial) if rank < 5 else None,
        )
    _limit(axes, result, [value for trial in trials for value in trial.curves[name]])
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.02)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    # Below: with trials that learn nothing, curves are everywhere.
    figure.legend(
        handles[::-1],
        labels[::-1],
        fontsize="small",
        frameon=False,
        title="best, in order",
        loc="outside lower center",
    )
    axes.set_title(f"the best {len(trials)} of {len(result.trials)} trials", fontsize="medium")
    return figure


def _params(trial: Trial) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in trial.params.items())
