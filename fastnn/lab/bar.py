"""A bar that moves through a fit and is gone after it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter

import fastnn as fnn
from fastnn.displays import number_text

BAR_SECONDS = 0.1  # from one redrawing to the next


class Watcher(fnn.Callback):
    """Lets the native engine run many batches between two calls of `on_batch_end`."""

    def watches_every_batch(self) -> bool:
        return False


@contextmanager
def bar(label: str, number: tuple[str, str], shown: bool) -> Iterator[list[fnn.Callback]]:
    """A bar on standard error, gone at the end of the block; where there is no terminal, none.

    Parameters
    ----------
    label : str
        What stands before the bar.
    number : (str, str)
        What of an epoch's numbers is shown, and what it is called.
    shown : bool

    Yields
    ------
    list of Callback
        What moves the bar.
    """
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield []
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    # A line as wide as the terminal would wrap when Ctrl-C is echoed as "^C".
    console.width = min(console.width - 3, 90)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, expand=True
    ) as progress:
        task = progress.add_task(label, total=1.0, status="")
        progress.refresh()
        yield [BarMover(number, partial(progress.update, task, refresh=True))]


class BarMover(Watcher):
    """Moves one bar through all epochs of a fit.

    `fastnn.ProgressBar` leaves a row for every epoch; over five fits, these would push out of
    sight what was printed before.

    Parameters
    ----------
    number : (str, str)
        As in `bar`.
    update : callable
        Takes ``completed``, in [0, 1], and ``status``, a text.
    """

    def __init__(self, number: tuple[str, str], update: Callable[..., None]) -> None:
        self.name, self.words = number
        self.update = update
        self.last = ""
        self._start = self._due = 0.0

    def on_train_begin(self, trainer: fnn.Trainer) -> None:
        self._start = self._due = perf_counter()

    def on_batch_end(
        self, trainer: fnn.Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        now = perf_counter()
        if now < self._due:
            return
        self._due = now + BAR_SECONDS
        done = (epoch + (batch + 1) / batches) / trainer.epochs
        minutes, seconds = divmod(round((now - self._start) * (1 - done) / done), 60)
        status = f"epoch {epoch + 1}/{trainer.epochs}{self.last}  {minutes}:{seconds:02} left"
        self.update(completed=done, status=status)

    def on_epoch_end(self, trainer: fnn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.last = f"  {self.words} {number_text(logs[self.name])}"
