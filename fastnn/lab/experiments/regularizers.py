"""Regularizers: what L1, L2 and ElasticNet do to the weights of a network.

The same network, two hidden layers of 100 units, is trained without a penalty, with L2 on the
squares of the weights, with L1 on their absolute values, and with ElasticNet, which is both. L2
pulls a weight the less the smaller it is: all get small, few get to zero. L1 pulls each as hard as
any other until it is at zero, and there it stays: most end there, and a few carry the network. A
weight counts as zero below 1e-3. After R. Tibshirani, "Regression Shrinkage and Selection via the
Lasso" (1996); H. Zou and T. Hastie, "Regularization and Variable Selection via the Elastic Net"
(2005).
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Progress, Result, load, percent
from fastnn.pictures import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "the weights that no penalty, L2, L1 and ElasticNet leave: how large, how many at zero"
EPOCHS = 20
SAMPLES, TESTS = 5000, 10_000
ZERO = 1e-3
PENALTIES: dict[str, fnn.Regularizer | None] = {
    "no penalty": None,
    "L2": fnn.L2(3e-3),
    "L1": fnn.L1(3e-4),
    "ElasticNet": fnn.ElasticNet(l1=1.5e-4, l2=1.5e-3),
}
STYLES = dict(zip(PENALTIES, ("0.35", COLOURS[3], COLOURS[4], COLOURS[2]), strict=True))


def run(options: Options, progress: Progress) -> Result:
    train, test = load(options, SAMPLES, TESTS)
    first: dict[str, np.ndarray] = {}
    table = []
    for name, penalty in PENALTIES.items():
        epochs = options.epochs_or(EPOCHS)
        model = fnn.mlp(train[0].shape[1], [100] * 2, 10, rng=options.seed)
        trainer = fnn.Trainer(
            model,
            # Down to 0: at a constant rate L1 pushes a weight beyond zero and back, step by step.
            optimizer=fnn.Momentum(fnn.CosineDecay(0.05, epochs)),
            regularizer=penalty,
            rng=options.seed,
            callbacks=[Epochs(progress, name, len(first), len(PENALTIES))],
            verbose=False,
        )
        trainer.fit(*train, epochs=epochs)
        first[name] = model.params["affine1.w"].astype(np.float64)
        weights = [w.ravel() for key, w in model.params.items() if key.endswith(".w")]
        w = np.abs(np.concatenate(weights).astype(np.float64))
        table.append(
            {
                "penalty": name,
                "train accuracy": trainer.evaluate(*train)["accuracy"],
                "test accuracy": trainer.evaluate(*test)["accuracy"],
                "at zero, %": 100 * float((w < ZERO).mean()),
                "mean |w|": float(w.mean()),
                "largest |w|": float(w.max()),
            }
        )
    title = f"{options.title}: {len(train[0]):,} training images, 2 hidden layers of 100 units"
    return Result(table, _sentence(table), _draw(first, title))


def _sentence(table: list[dict]) -> str:
    found = {row["penalty"]: row for row in table}
    zero = {name: row["at zero, %"] for name, row in found.items()}
    small = {name: row["mean |w|"] for name, row in found.items()}
    sparse = "sets most weights to zero" if zero["L1"] > 50 else "sets few weights to zero"
    shrinks = small["L2"] < small["no penalty"] and zero["L2"] < zero["L1"]
    accuracies = ", ".join(f"{percent(row['test accuracy'])} with {n}" for n, row in found.items())
    return (
        f"L1 {sparse}, {zero['L1']:.0f} %, ElasticNet {zero['ElasticNet']:.0f} %; L2 "
        f"{'makes them small but fewer zero' if shrinks else 'does much the same'}: "
        f"{zero['L2']:.0f} %, of mean size {small['L2']:.4f} where without a penalty it is "
        f"{small['no penalty']:.4f} and {zero['no penalty']:.0f} % are at zero. Test accuracy: "
        f"{accuracies}."
    )


def _draw(first: dict[str, np.ndarray], title: str) -> "Figure":
    figure = new_figure(11.5, 5.4, title)
    halves = figure.subplots(2, len(first), height_ratios=[1, 1.15])
    edges = np.linspace(-0.18, 0.18, 80)
    side = int(np.sqrt(len(first["L1"])))
    for (above, below), (name, w) in zip(halves.T, first.items(), strict=True):
        counts, _ = np.histogram(w, edges)
        above.stairs(counts / w.size, edges, fill=True, color=STYLES[name])
        above.set_yscale("log")
        above.set_ylim(1e-4, 1.5)
        zero = f"{100 * (np.abs(w) < ZERO).mean():.0f} % at zero"
        above.set_title(f"{name}: {zero}", color=STYLES[name], fontsize="medium")
        above.spines[["top", "right"]].set_visible(False)
        above.grid(color="0.92")
        above.set_axisbelow(True)
        _images(below, w, side)
    halves[0, 0].set_ylabel("share of the first layer's weights")
    figure.supxlabel("above: histograms of weights; below: those of 30 units", fontsize="small")
    return figure


def _images(axes: "Axes", w: np.ndarray, side: int) -> None:
    """Weights of the first 30 units as images, from blue over white to red, on one scale each."""
    rows, columns = 5, 6
    sheet = np.full((rows * (side + 1), columns * (side + 1)), np.nan)
    for unit in range(rows * columns):
        top, left = (side + 1) * (unit // columns), (side + 1) * (unit % columns)
        sheet[top : top + side, left : left + side] = w[:, unit].reshape(side, side)
    limit = np.percentile(np.abs(w), 99.5)
    axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
