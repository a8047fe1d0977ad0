"""Optimizers: all nine on one task, and their paths down an ill-conditioned bowl.

On the left, each walks down f(x, y) = x^2 / 20 + y^2, twenty times as steep along y as along x:
SGD goes to and fro across the valley, momentum overshoots, and those that scale each
coordinate by the size of its gradients go nearly straight. On the right, each trains the same
network, four hidden layers of 100 units, from the same weights on the same batches. The learning
rates are ones that suit each. After K. Saitoh, "Deep Learning from Scratch" (2016), section 6.1.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Progress, Result, load, percent
from fastnn.pictures import COLOURS, log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "all nine on one task, and their paths down an ill-conditioned bowl"
EPOCHS = 10
SAMPLES, TESTS = 10_000, 5000
START = (-7.0, 2.0)
STEPS = 40

# For the network, and for the bowl.
OPTIMIZERS: dict[str, tuple[fnn.Optimizer, fnn.Optimizer]] = {
    "SGD": (fnn.SGD(0.1), fnn.SGD(0.95)),
    "Momentum": (fnn.Momentum(0.02), fnn.Momentum(0.1)),
    "Nesterov": (fnn.Nesterov(0.02), fnn.Nesterov(0.1)),
    "AdaGrad": (fnn.AdaGrad(0.01), fnn.AdaGrad(1.5)),
    "RMSProp": (fnn.RMSProp(0.001), fnn.RMSProp(0.2, alpha=0.9)),
    "AdaDelta": (fnn.AdaDelta(1.0), fnn.AdaDelta(30.0, rho=0.95, eps=1e-4)),
    "Adam": (fnn.Adam(0.001), fnn.Adam(0.3)),
    "AdamW": (fnn.AdamW(0.001), fnn.AdamW(0.3, weight_decay=0.05)),
    "RAdam": (fnn.RAdam(0.001), fnn.RAdam(0.6)),
}
STYLES: dict[str, dict[str, Any]] = {
    name: {"color": colour, "linestyle": style}
    for name, (colour, style) in zip(
        OPTIMIZERS,
        [*((c, "-") for c in COLOURS), (COLOURS[3], (0, (3, 1))), (COLOURS[4], (0, (3, 1)))],
        strict=True,
    )
}


def bowl(x: Any, y: Any) -> Any:
    return x**2 / 20 + y**2


def run(options: Options, progress: Progress) -> Result:
    paths = {name: walk(optimizer) for name, (_, optimizer) in OPTIMIZERS.items()}
    train, test = load(options, SAMPLES, TESTS)
    fits: dict[str, fnn.History] = {}
    for name, (optimizer, _) in OPTIMIZERS.items():
        model = fnn.mlp(train[0].shape[1], [100] * 4, 10, rng=options.seed)
        trainer = fnn.Trainer(
            model,
            optimizer=optimizer,
            rng=options.seed,
            callbacks=[Epochs(progress, name, len(fits), len(OPTIMIZERS))],
            verbose=False,
        )
        fits[name] = trainer.fit(*train, epochs=options.epochs_or(EPOCHS), validation_data=test)
    table = [
        {
            "optimizer": name,
            "learning rate": OPTIMIZERS[name][0].lr,
            "loss, epoch 1": history["loss"][0],
            "loss at the end": history["loss"][-1],
            "test accuracy": history["val_accuracy"][-1],
            f"bowl, {STEPS} steps": float(bowl(*paths[name][-1])),
        }
        for name, history in fits.items()
    ]
    rows = [
        {"optimizer": name, "epoch": epoch, "loss": loss, "test accuracy": accuracy}
        for name, history in fits.items()
        for epoch, (loss, accuracy) in enumerate(
            zip(history["loss"], history["val_accuracy"], strict=True), start=1
        )
    ]
    title = f"{options.title}: {len(train[0]):,} training images, 4 hidden layers of 100 units"
    return Result(table, _sentence(fits), _draw(paths, fits, title), rows)


def walk(optimizer: fnn.Optimizer) -> np.ndarray:
    """The path down the bowl, (STEPS + 1, 2), by the library's own updates.

    A linear unit can be the bowl: its two weights are x and y, and the squared errors of examples
    that ask for 0 are the two terms.
    """
    model = fnn.Sequential([fnn.Affine(1, init="zeros")], 2, rng=0, dtype="float64")
    model.params["affine1.w"][:, 0] = START
    model.params["affine1.b"][:] = 0
    # The bias would move as well: with each example also the other way round, its gradient is 0.
    sides = 2 * np.diag(np.sqrt([1 / 20, 1.0]))
    examples = np.concatenate([sides, -sides])
    trainer = fnn.Trainer(
        model, loss="sum_squared_error", optimizer=optimizer, engine="eager", verbose=False
    )
    path = [np.array(START)]
    for _ in range(STEPS):
        trainer.train_batch(examples, np.zeros((4, 1)))
        path.append(model.params["affine1.w"][:, 0].copy())
    return np.array(path)


def _sentence(fits: dict[str, fnn.History]) -> str:
    first = {name: history["loss"][0] for name, history in fits.items()}
    tests = {name: history["val_accuracy"][-1] for name, history in fits.items()}
    best, worst = max(tests, key=tests.__getitem__), min(tests, key=tests.__getitem__)
    quick = sorted(first, key=first.__getitem__)
    slower = sum(first[name] < first["SGD"] for name in fits)
    return (
        f"{quick[0]} is quickest, with a mean loss of {first[quick[0]]:.3f} in the first epoch, "
        f"before {quick[1]} with {first[quick[1]]:.3f}; {quick[-1]} is slowest with "
        f"{first[quick[-1]]:.2f}, and {slower} of the other {len(fits) - 1} are quicker than plain "
        f"SGD ({first['SGD']:.2f}). After {len(fits[best]['loss'])} epochs they lie between "
        f"{percent(tests[worst])} ({worst}) and {percent(tests[best])} ({best}) on test images."
    )


def _draw(paths: dict[str, np.ndarray], fits: dict[str, fnn.History], title: str) -> "Figure":
    figure = new_figure(13, 6)
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.25, 1])
    panels = halves[0].subplots(3, 3, sharex=True, sharey=True)
    for axes, (name, path) in zip(panels.flat, paths.items(), strict=True):
        _bowl(axes, name, path)
    halves[0].suptitle(
        f"{STEPS} steps down $f = x^2/20 + y^2$ (0 at the cross), and where $f$ ends",
        fontsize="medium",
    )
    halves[1].suptitle(title, fontsize="medium")
    loss = halves[1].subplots()
    for name, history in fits.items():
        epochs = range(1, len(history["loss"]) + 1)
        marker = "o" if len(epochs) == 1 else None
        loss.plot(epochs, history["loss"], lw=2, marker=marker, label=name, **STYLES[name])
    log_scale(loss)
    loss.set_xlabel("epoch")
    loss.set_ylabel("training loss, mean of the epoch")
    loss.legend(frameon=False, ncols=3, loc="upper right", fontsize="small")
    tidy(loss, whole_x=True)
    return figure


def _bowl(axes: "Axes", name: str, path: np.ndarray) -> None:
    x, y = np.meshgrid(np.linspace(-8.5, 4.5, 120), np.linspace(-3.2, 3.2, 80))
    axes.contour(x, y, bowl(x, y), levels=[0.05, 0.3, 1, 2, 4, 7], colors="0.85", linewidths=0.9)
    axes.plot(*path.T, color=STYLES[name]["color"], lw=1.3, marker="o", ms=2.2)
    axes.plot(*START, marker="o", color="0.3", ms=5)
    axes.plot(0, 0, marker="+", color="0.2", ms=9)
    axes.set_title(f"{name}: $f$ = {bowl(*path[-1]):.1g}", fontsize="small")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(-8.5, 4.5)
    axes.set_ylim(-3.2, 3.2)
    axes.spines[:].set_visible(False)
