"""The learning-rate range test: how high can the rate be?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.checks import Rng, generator, positive_int, real_in, source_rows
from fastnn.data import batch_slices, epoch_order
from fastnn.lab.reports import as_trainer
from fastnn.pictures import TRAIN_COLOUR, VALIDATION_COLOUR, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The test ends where the smoothed loss is so many times the lowest one, or the first where that is
# more: nearly zero losses double by chance.
EXPLODED = 3.0
# Steps left out of the choice: their smoothed loss has few terms.
WARM_UP = 5
# From the rate of the lowest loss down to one that is stable for a whole training.
SAFETY = 10.0


@dataclass(frozen=True, repr=False)
class LearningRates:
    """What a range test saw. It says so in words when printed.

    Attributes
    ----------
    rates, losses : ndarray, (n,)
        Rate and loss of each step, the loss before the update.
    smoothed : ndarray, (n,)
        Exponentially weighted means of the losses.
    suggestion : float or None
        A rate to train with; None where the loss never fell.
    exploded : bool
        Whether the test ended because the loss did, and not at the highest rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    exploded: bool

    def __str__(self) -> str:
        end = f"{self.rates[-1]:.2g}"
        edge = f"exploded at {end}" if self.exploded else f"held up to {end}, the highest tried"
        if self.suggestion is None:
            return (
                f"The loss never fell clearly, and {edge}: give more steps, or a lower `low`; if "
                "it still does not, ask fnn.lab.sanity_check what is wrong."
            )
        return (
            f"Learning rate {self.suggestion:.2g}: there the loss falls fast; it was lowest at "
            f"{self.rates[self.smoothed.argmin()]:.2g}, and {edge}."
        )

    __repr__ = __str__

    def plot(self, title: str = "") -> "Figure":
        """Loss by learning rate, with the suggestion.

        Parameters
        ----------
        title : str

        Raises
        ------
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        figure = new_figure(7.5, 4.4, title)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="0.75", linewidth=1, label="loss of the step")
        axes.plot(self.rates, self.smoothed, color=TRAIN_COLOUR, linewidth=2, label="smoothed")
        if self.suggestion is not None:
            height = np.interp(math.log(self.suggestion), np.log(self.rates), self.smoothed)
            label = f"suggestion {self.suggestion:.2g}"
            axes.axvline(self.suggestion, color=VALIDATION_COLOUR, linewidth=1, linestyle=":")
            axes.plot([self.suggestion], [height], "o", color=VALIDATION_COLOUR, label=label)
        # The explosion itself would press everything else flat.
        low, high = self.losses.min(), max(self.smoothed[0], self.losses[0])
        axes.set_ylim(low - 0.05 * (high - low), high + 0.6 * (high - low) + 1e-12)
        axes.set_xscale("log")
        tidy(axes)
        axes.set_xlabel("learning rate, growing step by step")
        axes.set_ylabel("loss")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.01, 0.98))
        return figure


def lr_find(
    trainer: "fnn.Trainer | fnn.Sequential",
    x: Any,
    y: Any,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    smoothing: float = 0.9,
    rng: Rng = 0,
    **settings: Any,
) -> LearningRates:
    """Train for a few hundred steps at a growing rate, watch the loss, and take everything back.

    The rate grows by the same factor from step to step. A rate too low changes nothing, a good one
    lets the loss fall, one too high makes it explode, and the test ends. Suggested is the rate at
    which the smoothed loss falls fastest over the logarithm of the rate, but at most a tenth of
    that at which it is lowest: by then the steps are near too long.

    Parameters
    ----------
    trainer : Trainer or Sequential
        Its optimizer, regularizer and batch size are used; its schedule and callbacks are not. It
        is left as it was: parameters, running statistics and averages, counters, random state.
    x, y : array_like
        Rows to train on, as in `Trainer.fit`.
    low, high : float
        First and last rate, above 0.
    steps : int
        At least 20. Rows are visited in epochs, as `fit` does.
    smoothing : float
        Weight of the past in the smoothed loss, in [0, 1).
    rng : int or numpy.random.Generator, optional
        Draws the order of the rows.
    **settings
        Of a `Trainer`, where a model is given: ``loss=``, ``optimizer=``, ``batch_size=``, ...

    Returns
    -------
    LearningRates
        ``result.suggestion``, ``result.plot()``; words when printed.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, shape or range.
    DivergenceError
        The loss is not finite at the lowest rate already.

    Notes
    -----
    L. N. Smith (2017), "Cyclical Learning Rates for Training Neural Networks",
    https://arxiv.org/abs/1506.01186, section 3.3.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> found = fnn.lab.lr_find(fnn.mlp(64, [50], 10, rng=0), x, y, optimizer="adam")
    >>> 1e-4 < found.suggestion < 1e-1
    True
    """
    trainer = as_trainer(trainer, settings)
    if not 0 < real_in("low", low) < real_in("high", high):
        raise ValueError(f"low must be above 0 and below high; got low={low!r}, high={high!r}")
    if positive_int("steps", steps) < 20:
        raise ValueError(f"steps must be at least 20; got {steps}")
    smoothing = real_in("smoothing", smoothing, 0, 1, open_high=True)
    model = trainer.model
    x = source_rows("x", x, model.input_shape, model.dtype)
    y = trainer.loss.targets(y, len(x), model.output_size, model.dtype)
    rates = np.geomspace(low, high, steps)
    losses, smoothed = _run(trainer, x, y, rates, smoothing, generator(rng))
    tried = rates[: len(losses)]
    return LearningRates(
        tried, losses, smoothed, _suggestion(tried, smoothed), len(losses) < len(rates)
    )


def _run(
    trainer: "fnn.Trainer",
    x: np.ndarray,
    y: np.ndarray,
    rates: np.ndarray,
    smoothing: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the steps, and their weighted means, until they explode."""
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    with trainer.restored():
        for rate, rows in zip(rates, _batches(len(x), trainer.batch_size, rng), strict=False):
            try:
                loss = trainer.train_batch(x[rows], y[rows], lr=float(rate))
            except fnn.DivergenceError:
                if not losses:
                    raise
                break
            mean = smoothing * mean + (1 - smoothing) * loss
            losses.append(loss)
            # Divided by the sum of the weights so far: the mean began at 0.
            smoothed.append(mean / (1 - smoothing ** len(losses)))
            if smoothed[-1] > EXPLODED * max(min(smoothed), 0.5 * losses[0]):
                break
    return np.array(losses), np.array(smoothed)


def _batches(n_rows: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers of one batch after another, epoch after epoch, without end."""
    while True:
        order = epoch_order(n_rows, rng)
        for rows in batch_slices(n_rows, batch_size, merge_single=True):
            yield order[rows]


def _suggestion(rates: np.ndarray, smoothed: np.ndarray) -> float | None:
    """The rate of the steepest fall, with a distance from that of the lowest loss."""
    lowest = int(smoothed.argmin())
    start = smoothed[: WARM_UP + 1].min()
    if lowest <= WARM_UP + 1 or smoothed[lowest] > 0.98 * start:
        return None
    slopes = np.gradient(smoothed[WARM_UP : lowest + 1], np.log(rates[WARM_UP : lowest + 1]))
    steepest = rates[WARM_UP + int(slopes.argmin())]
    return float(min(steepest, rates[lowest] / SAFETY))
