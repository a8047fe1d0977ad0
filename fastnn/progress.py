"""Progress of a fit, as a callback."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

from fastnn.callbacks import Callback, EarlyStopping
from fastnn.displays import (
    Display,
    clock,
    count_text,
    default_display,
    display_on,
    duration,
    number_text,
)
from fastnn.history import improves

if TYPE_CHECKING:
    from fastnn.trainer import Trainer


class ProgressBar(Callback):
    """Shows how a fit goes on; `Trainer` adds one where ``verbose=True``.

    Every epoch leaves a row of a table: loss and metrics, samples per second of training, and
    the seconds of the epoch with its validation. On a terminal, a bar below the table shows the
    epoch under way: its mean loss so far, the accuracy of the epoch before, samples per second,
    and the time left to the end of the fit. Where the output is no terminal there is no bar and no
    control character; within a long epoch, a line every ten seconds says how far it is. In a
    Jupyter notebook one table is updated in its place, at most twice a second; of a long fit
    it shows the first, the last and the best epochs. The epochs shown count from 1.

    Parameters
    ----------
    file : text stream, optional
        Where to write; by default what ``sys.stdout`` is when a fit begins, or the notebook.
        ``sys.stderr`` keeps progress apart from a program's results.

    Raises
    ------
    TypeError
        ``file`` cannot be written to.

    Notes
    -----
    The bar is drawn by rich, within the callbacks and at most ten times a second; there is no
    thread. What a program prints meanwhile appears above it. A notebook's table marks the best
    epoch: by what `EarlyStopping` monitors, where the fit has one; else by the validation loss, or
    the loss.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        if file is not None and not callable(getattr(file, "write", None)):
            raise TypeError(
                f"file must be a text stream, such as sys.stderr, or None; got {file!r}"
            )
        self.file = file
        self._display = Display()

    def watches_every_batch(self) -> bool:
        """No: what is shown is the latest batch at the time."""
        return False

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._display = default_display() if self.file is None else display_on(self.file)
        self._best = _Best(trainer)
        self._begin = perf_counter()
        self._ended = 0
        self._accuracy: float | None = None
        # Time and epochs done after the first batch: what came before is compilation and the like,
        # and tells nothing about the time left.
        self._anchor: tuple[float, float] | None = None

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> None:
        self._epoch_start = self._last_batch = now = perf_counter()
        self._loss_sum = 0.0
        if now >= self._display.due:
            self._display.show(_Status(epoch, trainer.epochs, 0.0))

    def on_batch_end(
        self, trainer: "Trainer", epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        # A small network takes some ten microseconds for a batch, so no more than this is done
        # before the display is due.
        self._loss_sum += loss
        self._last_batch = now = perf_counter()
        if self._anchor is None:
            self._anchor = now, epoch + (batch + 1) / batches
        if now >= self._display.due:
            mean_loss = self._loss_sum / (batch + 1)
            self._show(trainer, epoch, (batch + 1) / batches, mean_loss)

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        self._accuracy = logs.get("accuracy")
        self._ended += 1
        speed = self._samples_per_second(trainer, 1.0)
        cells = partial(_cells, epoch, trainer.epochs, logs, speed)
        self._display.row(cells, best=self._best.is_now(epoch, logs))
        if perf_counter() >= self._display.due:
            self._show(trainer, epoch, 1.0, logs.get("loss"))

    def on_train_end(self, trainer: "Trainer") -> None:
        display, self._display = self._display, Display()
        display.close(self._words() if display.due < math.inf else "")

    def _words(self) -> str:
        """What is to be said of a fit that has ended."""
        epochs = "1 epoch" if self._ended == 1 else f"{self._ended} epochs"
        return f"{epochs} in {duration(perf_counter() - self._begin)}{self._best.words()}"

    def _show(self, trainer: "Trainer", epoch: int, share: float, loss: float | None) -> None:
        self._display.show(
            _Status(
                epoch,
                trainer.epochs,
                share,
                loss,
                self._accuracy,
                self._samples_per_second(trainer, share),
                self._seconds_left(trainer.epochs, epoch + share),
            )
        )

    def _samples_per_second(self, trainer: "Trainer", share: float) -> float | None:
        seconds = self._last_batch - self._epoch_start
        return share * trainer.samples / seconds if seconds > 0 else None

    def _seconds_left(self, epochs: int, done: float) -> float | None:
        if self._anchor is None or done <= self._anchor[1]:
            return None
        start, done_then = self._anchor
        return (perf_counter() - start) / (done - done_then) * (epochs - done)


@dataclass(frozen=True)
class _Status:
    """How far the epoch under way is; None is what is not known yet."""

    epoch: int
    epochs: int
    share: float
    loss: float | None = None
    accuracy: float | None = None
    samples_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def total(self) -> float:
        return (self.epoch + self.share) / self.epochs

    def title(self) -> str:
        return f"epoch {_of(self.epoch, self.epochs)}"

    def parts(self) -> dict[str, str]:
        """Texts by name, as they follow each other."""
        parts = {}
        if self.loss is not None:
            parts["loss"] = f"loss {number_text(self.loss)}"
        if self.accuracy is not None:
            parts["accuracy"] = f"accuracy {number_text(self.accuracy)}"
        if self.samples_per_second is not None:
            parts["speed"] = f"{count_text(self.samples_per_second)} samples/s"
        if self.seconds_left is not None:
            parts["left"] = f"{clock(self.seconds_left)} left"
        return parts


class _Best:
    """The best epoch so far, by what early stopping goes by, or else by the loss."""

    def __init__(self, trainer: "Trainer") -> None:
        judges = (c for c in trainer.callbacks if isinstance(c, EarlyStopping))
        judge = next(judges, None)
        self._name = judge.monitor if judge else None
        self._mode = judge.mode if judge else "min"
        self._value, self._epoch = math.nan, -1

    def is_now(self, epoch: int, logs: Mapping[str, float]) -> bool:
        """Take in an epoch; whether it is the best so far."""
        if self._name is None:
            self._name = "val_loss" if "val_loss" in logs else "loss"
        value = logs.get(self._name, math.nan)
        if improves(value, self._value, self._mode):
            self._value, self._epoch = value, epoch
            return True
        return False

    def words(self) -> str:
        if self._epoch < 0:
            return ""
        most = "highest" if self._mode == "max" else "lowest"
        return f"; {most} {self._name} {number_text(self._value)} in epoch {self._epoch + 1}"


def _cells(
    epoch: int, epochs: int, logs: Mapping[str, float], samples_per_second: float | None
) -> dict[str, str]:
    """Row of an epoch: texts by the name of their column."""
    seconds = logs.get("seconds")
    return {
        "epoch": _of(epoch, epochs),
        **{name: number_text(logs[name]) for name in logs if name not in ("lr", "seconds")},
        "samples/s": "" if samples_per_second is None else f"{samples_per_second:,.0f}",
        "seconds": "" if seconds is None else f"{seconds:.{3 if seconds < 10 else 1}f}",
    }


def _of(epoch: int, epochs: int) -> str:
    """Epoch 2 of 20 as " 3/20"."""
    return f"{epoch + 1:{len(str(epochs))}}/{epochs}"
