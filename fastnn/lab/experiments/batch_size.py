"""Batch size: the same number of epochs, and of steps, with ever larger batches.

The gradient of a batch is a sample of that of all data; its noise falls with the square root of
the batch size, its cost rises in proportion. For as many epochs, small batches make many noisy
steps, large ones few good ones; for as many steps, large batches see far more data.
After I. Goodfellow et al., "Deep Learning" (2016), section 8.1.3.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load, percent
from fastnn.pictures import COLOURS, log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUMMARY = "the same number of epochs and of steps with ever larger batches: time, accuracy, noise"
SIZES = (10, 40, 100, 400, 1000, 4000)
TRAIN = 20_000
HIDDEN = [100]
EPOCHS = 5
STEPS = 500
LEARNING_RATE = 0.1
SAMPLES = 40  # batches whose gradients are compared with that of all data
NOISE = "gradient noise"  # the column
BY_EPOCHS, BY_STEPS = COLOURS[3], COLOURS[4]


def run(options: Options, progress: Progress) -> Result:
    data, test = load(options, options.size(TRAIN, 400))
    sizes = [size for size in SIZES if size <= len(data[0])]
    noise = _noise(data, sizes, options)
    table = []
    for done, size in enumerate(sizes):
        watch = Epochs(progress, f"batches of {size}", done, len(sizes))
        epochs = options.epochs_or(EPOCHS)
        row: dict[str, Any] = {"batch size": size}
        row |= _fit(f"{epochs} epochs", data, test, size, epochs, options, watch)
        steps = options.size(STEPS, 5)
        # As many steps: of what there is not enough, several epochs; of what is too much, a part.
        some = slice(0, min(len(data[0]), steps * size))
        part = (data[0][some], data[1][some])
        epochs = max(1, round(steps * size / len(part[0])))
        row |= _fit(f"{steps} steps", part, test, size, epochs, options, watch)
        table.append(row | {NOISE: noise[size]})
    figure = new_figure(14.5, 4.5, f"{options.title}: SGD, learning rate {LEARNING_RATE}")
    left, middle, right = figure.subplots(1, 3)
    _draw(left, table, "accuracy", "test accuracy")
    _draw(middle, table, "seconds", "seconds of training")
    log_scale(middle)
    _draw_noise(right, table)
    return Result(table, _sentence(table), figure)


def _trainer(n_in: int, size: int, options: Options, *callbacks: fnn.Callback) -> fnn.Trainer:
    return fnn.Trainer(
        fnn.mlp(n_in, HIDDEN, 10, rng=options.seed),
        optimizer=fnn.SGD(LEARNING_RATE),
        batch_size=size,
        rng=options.seed,
        callbacks=callbacks,
        verbose=False,
    )


def _fit(
    name: str,
    data: Part,
    test: Part,
    size: int,
    epochs: int,
    options: Options,
    watch: fnn.Callback,
) -> dict[str, float]:
    trainer = _trainer(data[0].shape[1], size, options, watch)
    seconds = sum(trainer.fit(*data, epochs=epochs)["seconds"])
    accuracy = trainer.evaluate(*test)["accuracy"]
    return {f"{name}: accuracy": accuracy, f"{name}: seconds": seconds}


def _noise(data: Part, sizes: list[int], options: Options) -> dict[int, float]:
    """How far the gradients of batches lie from that of all data, in terms of its length.

    Of a network that has been trained for an epoch: all have the same weights.
    """
    x, y = data
    trainer = _trainer(x.shape[1], 100, options)
    trainer.fit(x, y, epochs=1)
    draws = np.random.default_rng(options.seed)

    def gradient(rows: np.ndarray) -> np.ndarray:
        _, gradients = trainer.gradients(x[rows], y[rows])
        return np.concatenate([each.ravel() for each in gradients.values()])

    whole = gradient(np.arange(len(x)))
    found = {}
    for size in sizes:
        # With replacement: else a batch of all rows would have no noise, for no reason of its size.
        squares = [
            np.sum((gradient(draws.integers(len(x), size=size)) - whole) ** 2)
            for _ in range(options.size(SAMPLES, 3))
        ]
        found[size] = math.sqrt(np.mean(squares) / np.sum(whole**2))
    return found


def _names(table: list[dict[str, Any]], what: str) -> list[str]:
    """The two columns that hold "accuracy" or "seconds": by epochs, by steps."""
    return [name for name in table[0] if name.endswith(f": {what}")]


def _slope(table: list[dict[str, Any]]) -> float:
    """The exponent of the noise, as a power of the batch size."""
    sizes, noise = ([math.log(row[key]) for row in table] for key in ("batch size", NOISE))
    return float(np.polyfit(sizes, noise, 1)[0])


def _sentence(table: list[dict[str, Any]]) -> str:
    small, large = table[0], table[-1]
    (by_epochs, by_steps), seconds = _names(table, "accuracy"), _names(table, "seconds")
    best = max(table, key=lambda row: row[by_epochs])
    slope = _slope(table)
    holds = abs(slope + 0.5) < 0.1
    return (
        f"From batches of {small['batch size']} to batches of {large['batch size']:,} the noise of "
        f"the gradient falls from {small[NOISE]:.2f} to {large[NOISE]:.2f} of its length, "
        f"as the batch size to the power {slope:.2f} "
        f"({'about' if holds else 'not'} the -0.5 that is expected). In as many epochs, accuracy "
        f"goes from {percent(small[by_epochs])} to {percent(large[by_epochs])} (best: "
        f"{percent(best[by_epochs])} with {best['batch size']}) and the time from "
        f"{small[seconds[0]]:.2f} s to {large[seconds[0]]:.2f} s; in as many steps, from "
        f"{percent(small[by_steps])} to {percent(large[by_steps])}, at {small[seconds[1]]:.2f} s "
        f"and {large[seconds[1]]:.2f} s."
    )


# -- pictures --------------------------------------------------------------------------------------


def _draw(axes: "Axes", table: list[dict[str, Any]], what: str, label: str) -> None:
    for name, colour in zip(_names(table, what), (BY_EPOCHS, BY_STEPS), strict=True):
        values = [row[name] for row in table]
        axes.plot(_sizes(table), values, "o-", color=colour, linewidth=2, label=name.split(":")[0])
    _size_axis(axes, table)
    axes.set_ylabel(label)
    axes.legend(frameon=False)


def _draw_noise(axes: "Axes", table: list[dict[str, Any]]) -> None:
    sizes = _sizes(table)
    noise = [row[NOISE] for row in table]
    axes.plot(sizes, noise, "o-", color=COLOURS[2], linewidth=2, label="measured")
    expected = [noise[0] * math.sqrt(sizes[0] / size) for size in sizes]
    axes.plot(sizes, expected, color="0.5", linestyle="--", label="1 / square root of the size")
    _size_axis(axes, table)
    log_scale(axes)
    axes.set_ylabel("noise of the gradient, in its length")
    axes.legend(frameon=False)


def _sizes(table: list[dict[str, Any]]) -> list[int]:
    return [row["batch size"] for row in table]


def _size_axis(axes: "Axes", table: list[dict[str, Any]]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(_sizes(table), [f"{size:,}" for size in _sizes(table)])
    axes.minorticks_off()
    axes.set_xlabel("batch size")
    tidy(axes)
