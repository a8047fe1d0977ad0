"""Dead ReLUs: units that a learning rate too high switches off for good.

A step too long can push a unit so far that no image makes its input positive any more. ReLU's
derivative is then 0 for all of them, no gradient reaches the unit's weights, and it is dead, also
after the rate has been lowered. LeakyReLU, PReLU and ELU have a slope below zero: fewer of their
units are pushed there, and those that are still hand on what comes and still get gradients. The
same network, three hidden layers of 100 units, is trained with each of them by Adam, a third of the
time at a rate 50 times too high. A unit counts as off while its output is not positive for any of
1,000 images, and as dead while no gradient of theirs reaches it. After the CS231n notes, "Neural
Networks Part 1"; K. He et al. (2015), https://arxiv.org/abs/1502.01852 (PReLU); D.-A. Clevert et
al. (2015), https://arxiv.org/abs/1511.07289 (ELU).
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load, percent
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "the units that a rate too high switches off, and what a slope below zero does"
EPOCHS = 15
SAMPLES, TESTS, PROBE = 5000, 5000, 1000
HIGH, GOOD = 0.05, 0.001
ACTIVATIONS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu", "ELU": "elu"}
BASELINE = "ReLU, good rate"
STYLES: dict[str, dict[str, Any]] = {
    BASELINE: {"color": "0.55", "linestyle": "--", "linewidth": 1.8},
    **{
        name: {"color": COLOURS[colour], "linewidth": 2.4}
        for name, colour in zip(ACTIVATIONS, (4, 1, 2, 3), strict=True)
    },
}


class Units(fnn.lab.Monitor):
    """Shares of the hidden units that are off, and of those that are dead."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.off: list[float] = []
        self.dead: list[float] = []

    def measure(self, trainer: fnn.Trainer) -> None:
        model = trainer.model
        outputs = [model.activations(self.x, a) for a in model.layers if a.kind != "affine"]
        self.off.append(float(np.mean([(out <= 0).all(axis=0) for out in outputs])))
        _, gradients = trainer.gradients(self.x, self.y)
        into = [gradients[f"affine{layer}.w"] for layer in range(1, len(outputs) + 1)]
        self.dead.append(float(np.mean([(dw == 0).all(axis=0) for dw in into])))


def run(options: Options, progress: Progress) -> Result:
    train, test = load(options, SAMPLES, TESTS)
    epochs = options.epochs_or(EPOCHS)
    high_until = max(1, epochs // 3)
    units: dict[str, Units] = {}
    accuracy: dict[str, list[float]] = {}
    for name in STYLES:
        units[name] = Units(train[0][:PROBE], train[1][:PROBE])
        watch = Epochs(progress, name, len(accuracy), len(STYLES))
        trainer = _trainer(name, train, high_until, options.seed, [watch, units[name]])
        with suppress(fnn.DivergenceError):  # what was measured before tells enough
            trainer.fit(*train, epochs=epochs, validation_data=test)
        accuracy[name] = trainer.history["val_accuracy"] if trainer.epoch else [float("nan")]
    table = [
        {
            "activation": name,
            "units off, %": 100 * units[name].off[-1],
            "dead, %": 100 * units[name].dead[-1],
            "test accuracy": accuracy[name][-1],
        }
        for name in STYLES
    ]
    rows = [
        {"activation": name, "epoch": epoch, "off": off, "dead": dead}
        for name, seen in units.items()
        for epoch, off, dead in zip(seen.epochs, seen.off, seen.dead, strict=True)
    ]
    title = f"{options.title}: {len(train[0]):,} training images, 3 hidden layers of 100 units"
    return Result(
        table, _sentence(units, accuracy), _draw(units, accuracy, high_until, title), rows
    )


def _trainer(
    name: str, train: Part, high_until: int, seed: int, callbacks: list[fnn.Callback]
) -> fnn.Trainer:
    def rate(epoch: float) -> float:
        return HIGH if epoch < high_until and name != BASELINE else GOOD

    kind = ACTIVATIONS.get(name, "relu")
    return fnn.Trainer(
        fnn.mlp(train[0].shape[1], [100] * 3, 10, activation=kind, rng=seed),
        optimizer=fnn.Adam(rate),
        rng=seed,
        callbacks=callbacks,
        verbose=False,
    )


def _sentence(units: dict[str, Units], accuracy: dict[str, list[float]]) -> str:
    dead, good = units["ReLU"].dead[-1], units[BASELINE].dead[-1]
    others = [name for name in ACTIVATIONS if name != "ReLU"]
    off = ", ".join(f"{percent(units[name].off[-1])} of {name}" for name in others)
    none = max(units[name].dead[-1] for name in others) < 0.5 * dead
    reached = ", ".join(f"{percent(accuracy[name][-1])} with {name}" for name in others)
    died = "killed" if dead > 2 * good else "did not kill many units more:"
    return (
        f"A learning rate {HIGH / GOOD:g} times too high {died} {percent(dead)} of the ReLU units, "
        f"dead also after it was lowered ({percent(good)} where it was never high). With a slope "
        f"below zero {off} are off, but {'hardly any' if none else 'as many'} dead "
        f"({percent(max(units[name].dead[-1] for name in others))} at most). Test accuracy: "
        f"{percent(accuracy['ReLU'][-1])} with ReLU, {reached}."
    )


def _draw(
    units: dict[str, Units], accuracy: dict[str, list[float]], high_until: int, title: str
) -> "Figure":
    figure = new_figure(12, 4.4, title)
    panels = figure.subplots(1, 3)
    off, dead, tests = panels
    for name, style in STYLES.items():
        off.plot(units[name].epochs, [100 * share for share in units[name].off], **style)
        dead.plot(units[name].epochs, [100 * share for share in units[name].dead], **style)
        tests.plot(range(1, len(accuracy[name]) + 1), accuracy[name], label=name, **style)
    for axes, label in zip(panels, ("units off, %", "units dead, %", "test accuracy"), strict=True):
        axes.axvspan(0, high_until, color="#D55E00", alpha=0.09, lw=0)
        axes.set_title(label, fontsize="medium")
        axes.set_xlabel("epochs trained")
        axes.margins(x=0.02)
        tidy(axes, whole_x=True)
    for axes in (off, dead):
        axes.set_ylim(-2, 102)
    off.annotate("rate too high", (high_until / 2, 98), ha="center", va="top", color="#D55E00")
    figure.legend(
        *tests.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
    )
    return figure
