"""Hyperparameter search: random against grid where one parameter matters, and coarse to fine.

Of two parameters, the learning rate decides and the weight decay, in the range searched, hardly
matters. A grid of 4 by 4 trials tries four learning rates, each four times; as many random trials
try sixteen. Where a grid's values fall is luck, so both are repeated over ranges that are shifted
by up to the distance of two grid values. Then: few epochs over wide ranges, and more over what lies
around the best.
After J. Bergstra and Y. Bengio, "Random Search for Hyper-Parameter Optimization" (2012).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Progress, Result, load, percent
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastnn.lab import SearchResult

SUMMARY = "random trials against a grid where one parameter matters; from coarse to fine"
TRAIN, TEST = 2000, 2000
POINTS = 4
REPEATS = 10
EPOCHS = 3
# Exponents of ten.
LR, L2 = (-4.0, 1.0), (-8.0, -4.0)
STAGES, LENGTHS = (24, 12), (2, 8)
GRID, RANDOM = COLOURS[4], COLOURS[3]


def build(params: dict[str, Any], seed: int) -> fnn.Trainer:
    """A trial's trainer; its images have as many pixels as `params` says."""
    return fnn.Trainer(
        fnn.mlp(params["pixels"], [50], 10, rng=seed),
        optimizer=fnn.SGD(params["lr"]),
        regularizer=fnn.L2(params["weight_decay"]),
        batch_size=50,
        rng=seed,
    )


def run(options: Options, progress: Progress) -> Result:
    (x, y), test = load(options, options.size(TRAIN, 200), TEST)
    repeats = options.size(REPEATS, 2)
    settings: dict[str, Any] = {"validation_data": test, "verbose": False}
    shifts = _shifts(repeats, options.seed)
    found: list[tuple[SearchResult, SearchResult]] = []
    for repeat, shift in enumerate(shifts):
        progress(repeat, repeats + 1, f"grid and random, {repeat + 1} of {repeats}")
        space = _space(x.shape[1], shift)
        epochs = options.epochs_or(EPOCHS)
        both = {"epochs": epochs, "rng": options.seed + repeat} | settings
        found.append(
            (
                fnn.lab.grid_search(build, space, x, y, points=POINTS, **both),
                fnn.lab.random_search(build, space, x, y, trials=POINTS**2, **both),
            )
        )
    progress(repeats, repeats + 1, "coarse to fine")
    fine = fnn.lab.coarse_to_fine(
        build, _space(x.shape[1], 0.0), x, y, options.size(STAGES, (4, 3)),
        options.size(LENGTHS, (1, 2)), rng=options.seed, **settings,
    )  # fmt: skip
    table = [
        {
            "repeat": repeat + 1,
            "learning rates": f"{10 ** (LR[0] + shift):.2g} to {10 ** (LR[1] + shift):.2g}",
            "grid": grid.best.score,
            "random": random.best.score,
            "grid, lr": grid.best.params["lr"],
            "random, lr": random.best.params["lr"],
        }
        for repeat, (shift, (grid, random)) in enumerate(zip(shifts, found, strict=True))
    ]
    return Result(table, _sentence(table, fine), _draw(table, found[0], fine, options))


def _shifts(repeats: int, seed: int) -> list[float]:
    """By which the range of learning rates is moved, in powers of ten: up to a grid's distance."""
    distance = (LR[1] - LR[0]) / (POINTS - 1)
    draws = np.random.default_rng(seed)
    return [float(shift) for shift in draws.uniform(-distance / 2, distance / 2, repeats)]


def _space(pixels: int, shift: float) -> dict[str, Any]:
    return {
        "lr": (10 ** (LR[0] + shift), 10 ** (LR[1] + shift)),
        "weight_decay": (10 ** L2[0], 10 ** L2[1]),
        "pixels": [pixels],
    }


def _stages(fine: "SearchResult") -> list[list[Any]]:
    """The trials that did not fail of the first stage, and of the last."""
    lengths = sorted({trial.epochs for trial in fine.trials})
    good = [trial for trial in fine.trials if trial.status != "failed"]
    return [[trial for trial in good if trial.epochs == length] for length in lengths]


def _decades(trials: list[Any]) -> float:
    rates = [trial.params["lr"] for trial in trials]
    return float(np.log10(max(rates) / min(rates)))


def _sentence(table: list[dict[str, Any]], fine: "SearchResult") -> str:
    grid, random = (np.array([row[name] for row in table]) for name in ("grid", "random"))
    wins, ties = int((random > grid).sum()), int((random == grid).sum())
    coarse, narrow = _stages(fine)[0], _stages(fine)[-1]
    verdict = "random search is better" if random.mean() > grid.mean() else "the grid is not worse"
    drawn = f", {ties} drawn" if ties else ""
    return (
        f"With {POINTS**2} trials each, the best network of a random search is right on "
        f"{percent(random.mean())} of the validation images, that of a grid on "
        f"{percent(grid.mean())} (means of {len(table)} repeats, of which random wins "
        f"{wins}{drawn}; the worst repeats: {percent(random.min())} and {percent(grid.min())}): "
        f"{verdict}. From coarse to fine, the learning rates tried narrow from "
        f"{_decades(coarse):.1f} powers of ten to {_decades(narrow):.1f}, and the best network of "
        f"{fine.best.epochs} epochs, with lr {fine.best.params['lr']:.2g}, reaches "
        f"{percent(fine.best.score)}."
    )


# -- pictures --------------------------------------------------------------------------------------


def _draw(
    table: list[dict[str, Any]],
    first: "tuple[SearchResult, SearchResult]",
    fine: "SearchResult",
    options: Options,
) -> Any:
    figure = new_figure(12, 8.6, f"{options.title}: {POINTS**2} trials, two parameters")
    (left, right), (below_left, below_right) = figure.subplots(2, 2)
    left.sharex(right)
    worst, best = 0.1, max(result.best.score for result in first)
    for axes, name, result in zip((left, right), ("grid", "random"), first, strict=True):
        points = _draw_plane(
            axes, f"{name}: best {percent(result.best.score)}", result, worst, best
        )
    figure.colorbar(points, ax=right, label="validation accuracy").outline.set_visible(False)
    _draw_repeats(below_left, table)
    _draw_stages(below_right, fine)
    return figure


def _draw_plane(axes: "Axes", title: str, result: "SearchResult", low: float, high: float) -> Any:
    """Where the trials lie; below, the learning rates that they tried."""
    rates = [trial.params["lr"] for trial in result.trials]
    decays = [trial.params["weight_decay"] for trial in result.trials]
    # What diverged knows nothing.
    scores = [low if np.isnan(trial.score) else trial.score for trial in result.trials]
    points = axes.scatter(
        rates, decays, c=scores, vmin=low, vmax=high, s=70, cmap="viridis", edgecolor="0.3",
        linewidth=0.6,
    )  # fmt: skip
    axes.plot(rates, np.full(len(rates), 10 ** (L2[0] - 0.55)), "|", color="0.2", ms=14)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(10 ** (L2[0] - 0.9), 10 ** (L2[1] + 0.3))
    axes.set(xlabel="learning rate (ticks: those tried)", ylabel="weight decay")
    axes.set_title(title, fontsize="medium")
    tidy(axes)
    return points


def _draw_repeats(axes: "Axes", table: list[dict[str, Any]]) -> None:
    for row in table:
        colour = RANDOM if row["random"] > row["grid"] else GRID
        axes.plot([0, 1], [row["grid"], row["random"]], "o-", color=colour, alpha=0.6)
    for place, name in enumerate(("grid", "random")):
        mean = float(np.mean([row[name] for row in table]))
        axes.plot([place - 0.12, place + 0.12], [mean, mean], color="0.1", linewidth=3)
    axes.set_xlim(-0.4, 1.4)
    axes.set_xticks([0, 1], ["grid", "random"])
    axes.set_ylabel("best validation accuracy")
    axes.set_title(f"{len(table)} repeats over shifted ranges, and the means", fontsize="medium")
    tidy(axes)


def _draw_stages(axes: "Axes", fine: "SearchResult") -> None:
    for trials, colour in zip(_stages(fine), (GRID, RANDOM), strict=False):
        rates, scores = ([t.params["lr"] for t in trials], [t.score for t in trials])
        label = f"{len(trials)} trials of {trials[0].epochs} epochs"
        axes.plot(rates, scores, "o", color=colour, markersize=7, alpha=0.8, label=label)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="validation accuracy")
    axes.set_title("from coarse to fine", fontsize="medium")
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
