"""Learning rates: too low, good, high and diverging.

The same network, three hidden layers of 100 units, is trained by SGD at four rates. Too low a rate
is slow; a good one is fast and goes far; a high one jumps about and stays
above what the good one reaches; beyond that the loss grows without bound. The last run ends with a
`DivergenceError` at the step in which the loss is no longer a number, or grown beyond return, and
leaves the model as it was after the last good epoch. After the CS231n notes, "Neural Networks Part
3", section "Loss function".
"""

from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Progress, Result, load
from fastnn.pictures import log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "too low, good, high, diverging: and the run that diverges is caught"
EPOCHS = 15
SAMPLES, TESTS = 5000, 5000
RATES = {"too low": 0.001, "good": 0.3, "high": 1.0, "diverging": 10.0}
STYLES: dict[str, dict[str, Any]] = {
    "too low": {"color": "#56B4E9"},
    "good": {"color": "#009E73"},
    "high": {"color": "#E69F00"},
    "diverging": {"color": "#D55E00", "marker": "x"},
}


class Losses(fnn.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_batch_end(
        self, trainer: fnn.Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        self.values.append(loss)


def run(options: Options, progress: Progress) -> Result:
    train, test = load(options, SAMPLES, TESTS)
    losses: dict[str, list[float]] = {}
    tests: dict[str, float] = {}
    caught: dict[str, fnn.DivergenceError] = {}
    for name, lr in RATES.items():
        seen = Losses()
        trainer = fnn.Trainer(
            fnn.mlp(train[0].shape[1], [100] * 3, 10, rng=options.seed),
            optimizer=fnn.SGD(lr),
            rng=options.seed,
            callbacks=[seen, Epochs(progress, f"{name}, {lr:g}", len(losses), len(RATES))],
            verbose=False,
        )
        try:
            trainer.fit(*train, epochs=options.epochs_or(EPOCHS))
        except fnn.DivergenceError as error:
            caught[name] = error
        losses[name] = seen.values
        tests[name] = trainer.evaluate(*test)["accuracy"]
    batches = len(losses["good"]) // options.epochs_or(EPOCHS)
    table = [
        {
            "learning rate": f"{lr:g}, {name}",
            "steps": len(losses[name]),
            "last epoch's loss": last_epoch(losses[name], batches),
            "test accuracy": tests[name],
            "ended by": "divergence" if name in caught else "the last epoch",
        }
        for name, lr in RATES.items()
    ]
    rows = [
        {"rate": name, "learning rate": RATES[name], "step": step, "loss": loss}
        for name, values in losses.items()
        for step, loss in enumerate(values, start=1)
    ]
    title = f"{options.title}: {len(train[0]):,} training images, 3 hidden layers of 100 units, SGD"
    figure = _draw(losses, caught, batches, title)
    return Result(table, _sentence(losses, tests, caught, batches), figure, rows)


def last_epoch(losses: list[float], batches: int) -> float:
    """Mean loss of the last so many steps; infinite where there was none."""
    last = losses[-batches:]
    return sum(last) / len(last) if last else float("inf")


def _sentence(
    losses: dict[str, list[float]],
    tests: dict[str, float],
    caught: dict[str, fnn.DivergenceError],
    batches: int,
) -> str:
    last = {name: last_epoch(values, batches) for name, values in losses.items()}
    best = min((n for n in last if n not in caught), key=last.__getitem__)
    expected = "as expected" if best == "good" else "against expectation"
    parts = [
        f"{RATES[name]:g} ({name}) ends at a loss of {last[name]:.3g} and {100 * tests[name]:.1f} "
        "% on test images"
        for name in RATES
        if name not in caught
    ]
    ends = [
        f"{RATES[name]:g} ({name}) was caught at step {error.step} with a loss of {error.loss:.3g}"
        for name, error in caught.items()
    ] or ["no run diverged"]
    return f"{', '.join(parts)}; {' and '.join(ends)}. {RATES[best]:g} is best, {expected}."


def _draw(
    losses: dict[str, list[float]],
    caught: dict[str, fnn.DivergenceError],
    batches: int,
    title: str,
) -> "Figure":
    figure = new_figure(8.5, 4.9, title)
    axes = figure.subplots()
    for name, values in losses.items():
        style = STYLES[name]
        epochs = [step / batches for step in range(1, len(values) + 1)]
        marker = style.get("marker")
        axes.plot(epochs, values, color=style["color"], lw=0.6, alpha=0.3)
        axes.plot(
            epochs, smooth(values, batches // 5), color=style["color"], lw=2.2, marker=marker, ms=4,
            label=f"{RATES[name]:g}: {name}" + (", caught" if name in caught else ""),
        )  # fmt: skip
    log_scale(axes)
    axes.set_ylim(1e-3, 30)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss, each step and smoothed")
    axes.legend(frameon=False, title="learning rate", loc="lower left")
    tidy(axes, whole_x=True)
    return figure


def smooth(values: list[float], width: int) -> list[float]:
    """Running mean in which a value counts less the older it is, over about `width` values."""
    share = 1 / max(width, 1)
    mean, smoothed = values[0] if values else 0.0, []
    for value in values:
        mean += share * (value - mean)
        smoothed.append(mean)
    return smoothed
