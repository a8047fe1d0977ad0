"""BatchNorm: learning is faster, and hardly depends on the size of the initial weights.

A network of five hidden layers of 100 units learns 1,000 images, from initial weights with 16
standard deviations between 1 and 1e-4, with BatchNorm before every activation and without it. What
BatchNorm divides by grows and shrinks with the weights, so that it hands on the same whatever their
size; without it only a narrow band of sizes learns at all. After K. Saitoh, "Deep Learning from
Scratch" (2016), section 6.3.2; S. Ioffe and C. Szegedy, "Batch Normalization" (2015),
https://arxiv.org/abs/1502.03167.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load
from fastnn.pictures import new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "with and without BatchNorm, from weights of 16 sizes between 1 and 1e-4"
EPOCHS = 20
SAMPLES = 1000
SCALES = 16
LEARNS = 0.5  # what learns is right about more of its training images than this
COLOURS = {"without": "#D55E00", "with": "#0072B2"}


def run(options: Options, progress: Progress) -> Result:
    part, _ = load(options, train=SAMPLES)
    scales = np.logspace(0, -4, options.size(SCALES, 4))
    epochs = options.epochs_or(EPOCHS)
    curves: dict[float, dict[str, list[float]]] = {}
    for scale in map(float, scales):
        curves[scale] = {}
        for name in COLOURS:
            done = 2 * (len(curves) - 1) + len(curves[scale])
            watch = Epochs(progress, f"scale {scale:.4f}, {name} BatchNorm", done, 2 * len(scales))
            curves[scale][name] = _accuracies(part, scale, name == "with", epochs, options, watch)
    table = [
        {"initial std": f"{scale:.5f}"}
        | {f"{name} BatchNorm": 0.0 if diverged(c[name]) else c[name][-1] for name in COLOURS}
        | {"diverged": ", ".join(n for n in COLOURS if diverged(c[n])) or "-"}
        for scale, c in curves.items()
    ]
    rows = [
        {"initial std": scale, "batchnorm": name, "epoch": epoch, "accuracy": accuracy}
        for scale, by_name in curves.items()
        for name, values in by_name.items()
        for epoch, accuracy in enumerate(values, start=1)
    ]
    figure = _draw(curves, f"{options.title}: {len(part[0]):,} images, 5 hidden layers")
    return Result(table, _sentence(curves), figure, rows)


def _accuracies(
    part: Part, scale: float, batch_norm: bool, epochs: int, options: Options, watch: fnn.Callback
) -> list[float]:
    """Training accuracy by epoch; NaN from the epoch on in which training diverged."""
    model = fnn.mlp(
        part[0].shape[1], [100] * 5, 10, batch_norm=batch_norm, init=scale, rng=options.seed
    )
    trainer = fnn.Trainer(
        model, optimizer=fnn.SGD(lr=0.01), rng=options.seed, callbacks=[watch], verbose=False
    )
    with suppress(fnn.DivergenceError):
        trainer.fit(*part, epochs=epochs)
    known = trainer.history["accuracy"] if trainer.epoch else []
    return known + [math.nan] * (epochs - len(known))


def diverged(accuracies: Sequence[float]) -> bool:
    return math.isnan(accuracies[-1])


def _sentence(curves: dict[float, dict[str, list[float]]]) -> str:
    def last(name: str) -> np.ndarray:
        return np.nan_to_num([c[name][-1] for c in curves.values()])

    without, with_it = last("without"), last("with")
    learned = int((with_it > LEARNS).sum()), int((without > LEARNS).sum())
    # Of both at their best scale: how many epochs BatchNorm takes to be where the other ends.
    best = list(curves.values())[int(with_it.argmax())]["with"]
    epochs = next((i for i, a in enumerate(best, start=1) if a >= without.max()), None)
    faster = (
        f"at its best, it takes {epochs} of {len(best)} epochs to reach the {without.max():.3f} "
        "that the best network without it ends at"
        if epochs
        else f"the best network with it ends at {with_it.max():.3f}, and without it at "
        f"{without.max():.3f}"
    )
    less = "far less" if learned[0] >= 2 * learned[1] else "not much less"
    return (
        f"With BatchNorm learning depends {less} on the initial scale: {learned[0]} of "
        f"{len(curves)} scales get more than {100 * LEARNS:.0f} % of the training images right, "
        f"and {learned[1]} without it; {faster}."
    )


def _draw(curves: dict[float, dict[str, list[float]]], title: str) -> "Figure":
    columns = min(4, len(curves))
    figure = new_figure(2.6 * columns, 2.1 * len(curves) / columns + 0.9, title)
    panels = figure.subplots(len(curves) // columns, columns, sharex=True, sharey=True).ravel()
    for axes, (scale, by_name) in zip(panels, curves.items(), strict=True):
        _panel(axes, scale, by_name)
    figure.supxlabel("epoch", fontsize="medium")
    figure.supylabel("accuracy on the training images", fontsize="medium")
    figure.legend(
        *panels[-1].get_legend_handles_labels(),
        loc="outside lower right",
        ncols=2,
        frameon=False,
    )
    return figure


def _panel(axes: "Axes", scale: float, by_name: dict[str, list[float]]) -> None:
    for name, values in by_name.items():
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, color=COLOURS[name], lw=2, label=f"{name} BatchNorm")
    axes.set_title(f"initial std {scale:.2g}", fontsize="small")
    axes.set_ylim(0, 1.03)
    tidy(axes, whole_x=True)
    lost = [name for name, values in by_name.items() if diverged(values)]
    for row, name in enumerate(lost):
        place = (0.96, 0.06 + 0.12 * row)
        axes.annotate(
            f"{name}: diverged", place, xycoords="axes fraction", ha="right", fontsize="small",
            color=COLOURS[name],
        )  # fmt: skip
