"""Callbacks: code that a fit calls at its turning points."""

import csv
import inspect
import math
import os
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from fastnn.checks import positive_int, real_in, sequence
from fastnn.files import file_name
from fastnn.history import improves, resolve_mode
from fastnn.schedules import Schedule, as_schedule

if TYPE_CHECKING:
    from fastnn.trainer import Trainer


class Callback:
    """Base of the callbacks: every method does nothing.

    A subclass overrides the methods it needs. The trainer passes itself; a callback may read its
    attributes, and set ``trainer.stop_training``, ``trainer.schedule`` and ``trainer.lr_factor``.
    Epochs and batches count from 0; epochs go on counting where `Trainer.fit` is called again.

    Examples
    --------
    >>> import fastnn as fnn
    >>> class StopAtAccuracy(fnn.Callback):
    ...     def __init__(self, goal):
    ...         self.goal = goal
    ...
    ...     def on_epoch_end(self, trainer, epoch, logs):
    ...         if logs["accuracy"] >= self.goal:
    ...             trainer.stop_training = True
    >>> model = fnn.mlp(2, [8], 2, rng=0)
    >>> trainer = fnn.Trainer(model, callbacks=[StopAtAccuracy(0.99)], rng=0, verbose=False)
    """

    def __repr__(self) -> str:
        settings = [name for name in inspect.signature(type(self)).parameters if name in vars(self)]
        shown = (f"{name}={reprlib.repr(getattr(self, name))}" for name in settings)
        return f"{type(self).__name__}({', '.join(shown)})"

    def watches_every_batch(self) -> bool:
        """Whether `on_batch_end` must be called after each single batch.

        By default, if the class has one of its own. If no callback watches every batch, the native
        engine runs many steps in one call, and reports about twenty times a second.
        """
        return type(self).on_batch_end is not Callback.on_batch_end

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch of a fit."""

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> None:
        """Before the first batch of an epoch."""

    def on_batch_end(
        self, trainer: "Trainer", epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        """After the update of a batch.

        Parameters
        ----------
        trainer : Trainer
        epoch, batch : int
            Counted from 0.
        batches : int
            Number of batches in the epoch.
        loss : float
            Loss of this batch.
        """

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        """After an epoch and its validation.

        Parameters
        ----------
        trainer : Trainer
        epoch : int
            Counted from 0.
        logs : dict
            ``"loss"``, the metrics, ``"lr"`` and ``"seconds"``; with validation data also
            ``"val_loss"`` and the metrics with ``val_`` before their names.
        """

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch; also where an error or Ctrl-C ended the fit, at any point of it."""


def checked_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks that a user gave.

    Raises
    ------
    TypeError
        No sequence; or something else is among them.
    """
    given: list[Callback] = sequence("callbacks", callbacks, "Callback objects")
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold Callback objects; got {callback!r}")
    return given


class _Monitor(Callback):
    """Follows one reported number: its best value, and how many epochs ago that was."""

    def __init__(self, monitor: str, min_delta: float, mode: str) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be the name of a reported number; got {monitor!r}")
        self.monitor = monitor
        self.min_delta = real_in("min_delta", min_delta, 0)
        self.mode = resolve_mode(mode, monitor)
        self.best = math.nan
        self._epochs_since = 0

    def on_train_begin(self, trainer: "Trainer") -> None:
        self.best = math.nan
        self._epochs_since = 0

    def _improves(self, logs: Mapping[str, float]) -> bool:
        """Take in an epoch; whether it is the best so far."""
        value = float(self._value(logs))
        if improves(value, self.best, self.mode, self.min_delta):
            self.best = value
            self._epochs_since = 0
            return True
        self._epochs_since += 1
        return False

    def _value(self, logs: Mapping[str, float]) -> float:
        if self.monitor in logs:
            return logs[self.monitor]
        hint = ""
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
            hint = (
                "; for val_* pass validation_data or validation_share to fit, or X_val and y_val "
                "to an estimator's"
            )
        raise ValueError(
            f"{type(self).__name__} monitors {self.monitor!r}, which this fit does not report; "
            f"there are: {', '.join(logs)}{hint}"
        )


class EarlyStopping(_Monitor):
    """Ends a fit that no longer improves, and keeps the model of its best epoch.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The reported number to watch.
    patience : int, default 10
        Epochs in a row without improvement after which training stops.
    min_delta : float, default 0.0
        By how much a value must beat the best one to count as an improvement.
    mode : {"auto", "min", "max"}
        What is better; ``"auto"`` judges by the name: ``"max"`` for accuracy, r2 and the like.
    restore_best : bool, default True
        Give the model the parameters and the running statistics of the best epoch when the fit
        ends, for whatever reason: patience, the last epoch, an error, Ctrl-C. The optimizer's
        running averages stay as they are.

    Attributes
    ----------
    best : float
        Best value of the latest fit; NaN before the first number. NaN never is an improvement.
    best_epoch : int or None
        Its epoch, counted from 0.
    stopped_epoch : int or None
        The epoch after which this callback stopped training.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or value; at the end of the first epoch, if the fit does
        not report `monitor`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        self.patience = positive_int("patience", patience)
        self.restore_best = restore_best
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._snapshot: dict[str, np.ndarray] | None = None

    def on_train_begin(self, trainer: "Trainer") -> None:
        super().on_train_begin(trainer)
        self.best_epoch = self.stopped_epoch = self._snapshot = None

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        if self._improves(logs):
            self.best_epoch = epoch
            if self.restore_best:
                self._snapshot = trainer.model.snapshot()
        elif self._epochs_since >= self.patience:
            self.stopped_epoch = epoch
            trainer.stop_training = True

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._snapshot is not None:
            trainer.model.restore(self._snapshot)
            self._snapshot = None


class ReduceLROnPlateau(_Monitor):
    """Lowers the learning rate where a number no longer improves.

    It multiplies ``trainer.lr_factor``, and so whatever rate the schedule gives. A later fit of
    the same trainer goes on with the factor reached.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The reported number to watch.
    factor : float, default 0.1
        What the rate is multiplied by, in (0, 1).
    patience : int, default 5
        Epochs in a row without improvement after which the rate is lowered; the count then begins
        anew.
    min_delta : float, default 1e-4
        By how much a value must beat the best one to count as an improvement. NaN never does.
    min_lr : float, default 0.0
        The rate is not lowered below this.
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or value; at the end of the first epoch, if the fit does
        not report `monitor`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 1e-4,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        self.factor = real_in("factor", factor, 0, 1, open_low=True, open_high=True)
        self.patience = positive_int("patience", patience)
        self.min_lr = real_in("min_lr", min_lr, 0)

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        if self._improves(logs) or self._epochs_since < self.patience:
            return
        self._epochs_since = 0
        rate = trainer.learning_rate
        if rate > self.min_lr:
            trainer.lr_factor *= max(self.factor, self.min_lr / rate)


class LearningRateSchedule(Callback):
    """Gives the trainer a learning-rate schedule, in place of the optimizer's ``lr``.

    It takes effect where a fit begins and stays afterwards.

    Parameters
    ----------
    schedule : float, Schedule, or function of the epoch
        As a `Schedule` is: the epoch is a real number, 0.0 at the start.

    Raises
    ------
    TypeError, ValueError
        `schedule` is none of these.
    """

    def __init__(self, schedule: float | Schedule | Callable[[float], float]) -> None:
        self.schedule = as_schedule(schedule, "schedule")

    def on_train_begin(self, trainer: "Trainer") -> None:
        trainer.schedule = self.schedule


class CSVLogger(Callback):
    """Writes a line of a CSV file after every epoch, so that nothing is lost when a fit breaks off.

    The columns are those of `History.to_csv`: ``epoch``, counted from 0, and the names that the
    first epoch reports. A name that a later epoch lacks is NaN there.

    Parameters
    ----------
    path : str or path
        The file, made when a fit begins.
    append : bool, default False
        Add to a file that is there, which must have the same columns, instead of replacing it.
        A later fit with the same logger always adds to what it has written.

    Raises
    ------
    TypeError
        `path` is no path.
    OSError
        When a fit begins, or at the end of an epoch: the file cannot be written.
    ValueError
        At the end of an epoch: it reports a name for which there is no column.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = Path(file_name("path", path))
        self.append = append
        self._columns: list[str] = []
        self._stream: TextIO | None = None
        self._has_written = False

    def on_train_begin(self, trainer: "Trainer") -> None:
        append = self.append or self._has_written
        self._stream = self.path.open("a+" if append else "w", newline="", encoding="utf-8")
        self._has_written = True
        self._columns = []
        if append:
            self._stream.seek(0)
            text = self._stream.read()
            self._columns = next(csv.reader(text.splitlines()), [])
            if text and not text.endswith("\n"):
                self._stream.write("\n")

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        if not self._columns:
            self._columns = ["epoch", *logs]
            self._write(self._columns)
        if self._columns[0] != "epoch" or not logs.keys() <= set(self._columns):
            raise ValueError(
                f"{self.path} has the columns {', '.join(self._columns)}, but this epoch reports "
                f"{', '.join(logs)}: report every name from the first epoch on, and append only "
                "to a file with the same columns"
            )
        values = (float(logs.get(name, math.nan)) for name in self._columns[1:])
        self._write([epoch, *values])

    def on_train_end(self, trainer: "Trainer") -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with self._named():
                stream.close()

    def _write(self, row: Sequence[object]) -> None:
        if self._stream is None:
            raise RuntimeError(
                "CSVLogger writes within a fit only: pass it to Trainer(callbacks=...)"
            )
        with self._named():
            csv.writer(self._stream, lineterminator="\n").writerow(row)
            self._stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A full disk is an error of this file."""
        try:
            yield
        except OSError as error:
            error.filename = str(self.path)
            raise
