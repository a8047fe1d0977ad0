"""Progress of a fit: a bar on a terminal, plain lines elsewhere."""

import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TextIO

from fastnn.callbacks import Callback

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from fastnn.trainer import Trainer

# From one redrawing of the bar to the next, and from one plain line to the next within an epoch.
BAR_SECONDS = 0.1
LINE_SECONDS = 10.0

_BAR_WIDTHS = (6, 40)  # characters, least and most
_COLUMN = 9  # characters of a number: "1234.5678", "1.234e-05"


class ProgressBar(Callback):
    """Shows how a fit goes on; `Trainer` adds one where ``verbose=True``.

    Every epoch leaves a row of a table: loss and metrics, samples per second of training, and
    the seconds of the epoch with its validation. On a terminal, a bar below the table shows the
    epoch under way: its mean loss so far, the accuracy of the epoch before, samples per second,
    and the time left to the end of the fit. Where the output is no terminal there is no bar and no
    control character; within a long epoch, a line every ten seconds says how far it is. The epochs
    shown count from 1.

    Parameters
    ----------
    file : text stream, optional
        Where to write; by default what ``sys.stdout`` is when a fit begins. ``sys.stderr`` keeps
        progress apart from a program's results.

    Notes
    -----
    The bar is drawn by rich, within the callbacks and at most ten times a second; there is no
    thread. What a program prints meanwhile appears above it.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._display = Display()

    def watches_every_batch(self) -> bool:
        """No: what is shown is the latest batch at the time."""
        return False

    def on_train_begin(self, trainer: "Trainer") -> None:
        self._display = display_on(sys.stdout if self.file is None else self.file)
        self._table = _Table(trainer.epochs)
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
        for line in self._table.lines(epoch, logs, self._samples_per_second(trainer, 1.0)):
            self._display.line(line)
        if perf_counter() >= self._display.due:
            self._show(trainer, epoch, 1.0, logs.get("loss"))

    def on_train_end(self, trainer: "Trainer") -> None:
        display, self._display = self._display, Display()
        display.close()

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


class Status(Protocol):
    """What a display shows of the work under way."""

    @property
    def share(self) -> float:
        """How much of what the bar stands for is done, in [0, 1]."""

    def title(self) -> str:
        """What is under way."""

    def parts(self) -> dict[str, str]:
        """Texts by name, as they follow each other."""


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
            parts["speed"] = f"{_count(self.samples_per_second)} samples/s"
        if self.seconds_left is not None:
            parts["left"] = f"{clock(self.seconds_left)} left"
        return parts


class _Table:
    """The rows of the epochs that have ended, beneath a header."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._names: list[str] = []

    def lines(
        self, epoch: int, logs: Mapping[str, float], samples_per_second: float | None
    ) -> Iterator[str]:
        names = [name for name in logs if name not in ("lr", "seconds")]
        place = _of(epoch, self._epochs)
        if names != self._names:
            self._names = names
            yield self._line(["epoch".rjust(len(place)), *names, "samples/s", "seconds"])
        seconds = logs.get("seconds")
        yield self._line(
            [
                place.rjust(len("epoch")),
                *(number_text(logs[name]).rjust(len(name)) for name in names),
                "" if samples_per_second is None else f"{samples_per_second:,.0f}",
                "" if seconds is None else f"{seconds:.{3 if seconds < 10 else 1}f}",
            ]
        )

    def _line(self, cells: list[str]) -> str:
        return "  ".join([cells[0], *(cell.rjust(_COLUMN) for cell in cells[1:])])


class Display:
    """Where progress goes; this one shows nothing.

    Attributes
    ----------
    due : float
        Time of `perf_counter` from which the epoch under way is to be shown again.
    """

    due = math.inf

    def line(self, text: str) -> None:
        """Add a line that stays."""

    def show(self, status: Status) -> None:
        """Show how far the work is."""

    def close(self) -> None:
        """Leave nothing but the lines."""


class _Lines(Display):
    """Plain text."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.due = perf_counter() + LINE_SECONDS

    def line(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()
        self.due = perf_counter() + LINE_SECONDS

    def show(self, status: Status) -> None:
        share = f"{100 * status.share:3.0f} %"
        self.line("  ".join([status.title(), share, *status.parts().values()]))


class _Bar(Display):
    """A bar at the bottom of a terminal, and the lines above it.

    Lines wait until the bar is due: drawing takes about a millisecond, in which a small network
    trains for several epochs.
    """

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.due = -math.inf
        self._lines: list[str] = []
        self._picture = _Picture()
        self._console = Console(
            file=file, force_terminal=True, force_jupyter=False, highlight=False
        )
        # rich would also take over a stream that is not the terminal, such as a redirected stdout.
        self._live = Live(
            self._picture,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        self._live.start()
        # A process that is killed while the cursor is hidden leaves a terminal without one.
        self._console.show_cursor(True)

    def line(self, text: str) -> None:
        self._lines.append(text)

    def show(self, status: Status) -> None:
        self._picture.status = status
        if self._lines:
            self._print_lines()
        else:
            self._live.refresh()
        self.due = perf_counter() + BAR_SECONDS

    def close(self) -> None:
        try:
            if self._lines:
                self._print_lines()
        finally:
            self._live.stop()

    def _print_lines(self) -> None:
        self._console.out("\n".join(self._lines), highlight=False)
        self._lines.clear()


class _Picture:
    """What rich draws: a title, a bar, and as many parts of the status as there is room for."""

    status: Status | None = None

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.progress_bar import ProgressBar as Bar
        from rich.segment import Segment

        if self.status is None:
            return
        title, parts = self.status.title(), self.status.parts()
        least, most = _BAR_WIDTHS

        def room() -> int:
            # Three columns stay free: a full line would wrap when Ctrl-C is echoed as "^C", and
            # its upper half could not be erased.
            taken = sum(2 + len(text) for text in (title, *parts.values()))
            return options.max_width - 3 - taken

        # The least needed goes first.
        for name in ("accuracy", "speed", "loss", "best", "left"):
            if room() < least:
                parts.pop(name, None)
        width = min(most, room())
        yield Segment(title)
        if width >= least:
            yield Segment("  ")
            bar = Bar(1.0, self.status.share, width)
            # Without colour rich draws only what is done: fill up with spaces.
            yield from Segment.adjust_line_length(list(console.render(bar, options)), width)
        yield Segment("".join(f"  {text}" for text in parts.values()))


def display_on(file: TextIO | None) -> Display:
    """A bar where this is a terminal, else plain lines; nothing where there is no stream."""
    if file is None:  # what sys.stdout is in a program without a console
        return Display()
    return _Bar(file) if _is_terminal(file) else _Lines(file)


def _is_terminal(file: TextIO | None) -> bool:
    if file is None or not file.isatty():
        return False
    return os.environ.get("TERM") not in ("dumb", "unknown")


def _of(epoch: int, epochs: int) -> str:
    """Epoch 2 of 20 as " 3/20"."""
    return f"{epoch + 1:{len(str(epochs))}}/{epochs}"


def number_text(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.3e}"


def _count(value: float) -> str:
    """A positive number in about three digits: "987", "12.3k", "4.56M"."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + unit
    return f"{value:.0f}"


def clock(seconds: float) -> str:
    """Seconds as "0:07", "12:34" or "1:23:45"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
