"""Progress of a fit: a table in a notebook, a bar on a terminal, plain lines elsewhere."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from fastnn.callbacks import Callback, EarlyStopping
from fastnn.history import improves
from fastnn.markup import Markup, in_notebook, left_out, markup, some, table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from fastnn.trainer import Trainer

# From one redrawing of the bar to the next, and from one plain line to the next within an epoch.
BAR_SECONDS = 0.1
LINE_SECONDS = 10.0
# From one update of a notebook's table to the next; more where the updates are so slow that they
# would take more than their share of the time.
TABLE_SECONDS = 0.5
TABLE_SHARE = 0.005

# Texts of a row by the name of their column, made when they are needed: most rows of a long fit
# never are.
Cells = Callable[[], Mapping[str, str]]

_BAR_WIDTHS = (6, 40)  # characters, least and most
_COLUMN = 9  # characters of a number: "1234.5678", "1.234e-05"


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

    Notes
    -----
    The bar is drawn by rich, within the callbacks and at most ten times a second; there is no
    thread. What a program prints meanwhile appears above it. A notebook's table marks the best
    epoch: by what `EarlyStopping` monitors, where the fit has one; else by the validation loss, or
    the loss.
    """

    def __init__(self, file: TextIO | None = None) -> None:
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


class Status(Protocol):
    """What a display shows of the work under way."""

    @property
    def share(self) -> float:
        """How much of what the bar stands for is done, in [0, 1]."""

    @property
    def total(self) -> float:
        """How much of all the work is done, in [0, 1]."""

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
            parts["speed"] = f"{_count(self.samples_per_second)} samples/s"
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


class _TextTable:
    """Rows as lines, beneath a header wherever the columns change."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def lines(self, cells: Mapping[str, str]) -> Iterator[str]:
        names = list(cells)
        # The first column is as wide as its cells, which are of one length.
        widths = [len(next(iter(cells.values()))), *[_COLUMN] * (len(names) - 1)]
        widths = [max(width, len(name)) for width, name in zip(widths, names, strict=True)]
        if names != self._names:
            self._names = names
            yield "  ".join(map(str.rjust, names, widths))
        yield "  ".join(map(str.rjust, cells.values(), widths))


class Display:
    """Where progress goes; this one shows nothing.

    Attributes
    ----------
    due : float
        Time of `perf_counter` from which the epoch under way is to be shown again.
    """

    due = math.inf

    def row(self, cells: Cells, line: str = "", best: bool = False) -> None:
        """Add a row that stays.

        Parameters
        ----------
        cells : callable
            Makes the texts by the name of their column, at least one, if they are shown.
        line : str
            The same as a line by itself; by default a row of a table is made of the cells.
        best : bool
            Whether it is the best so far.
        """

    def show(self, status: Status) -> None:
        """Show how far the work is."""

    def close(self, words: str = "") -> None:
        """Leave nothing but the rows, and, where there is a place for them, some words."""


class _TextDisplay(Display):
    """A display made of lines."""

    def __init__(self) -> None:
        self._table = _TextTable()

    def row(self, cells: Cells, line: str = "", best: bool = False) -> None:
        for text in (line,) if line else self._table.lines(cells()):
            self._line(text)

    def _line(self, text: str) -> None:
        raise NotImplementedError  # abstract: every display has its own


class _Lines(_TextDisplay):
    """Plain text."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file
        self.due = perf_counter() + LINE_SECONDS

    def _line(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()
        self.due = perf_counter() + LINE_SECONDS

    def show(self, status: Status) -> None:
        share = f"{100 * status.share:3.0f} %"
        self._line("  ".join([status.title(), share, *status.parts().values()]))


class _Bar(_TextDisplay):
    """A bar at the bottom of a terminal, and the lines above it.

    Lines wait until the bar is due: drawing takes about a millisecond, in which a small network
    trains for several epochs.
    """

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
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

    def _line(self, text: str) -> None:
        self._lines.append(text)

    def show(self, status: Status) -> None:
        self._picture.status = status
        if self._lines:
            self._print_lines()
        else:
            self._live.refresh()
        self.due = perf_counter() + BAR_SECONDS

    def close(self, words: str = "") -> None:
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


class _Notebook(Display):
    """One table in the output of a cell, updated where it stands.

    IPython carries it to whoever shows the notebook; nothing else needs to be installed.
    """

    def __init__(self) -> None:
        self.due = -math.inf
        self._rows: list[Cells] = []
        self._best: int | None = None
        self._handle: Any = None

    def row(self, cells: Cells, line: str = "", best: bool = False) -> None:
        if best:
            self._best = len(self._rows)
        self._rows.append(cells)

    def show(self, status: Status) -> None:
        start = perf_counter()
        words = markup(" \N{MIDDLE DOT} ".join(status.parts().values()))
        bar = f'<progress value="{status.total:.3f}" aria-label="done"></progress>'
        head = Markup(f"{markup(status.title())} {bar} {words}")
        self._publish({"text/html": self._html(head)})
        now = perf_counter()
        self.due = now + max(TABLE_SECONDS, (now - start) / TABLE_SHARE)

    def close(self, words: str = "") -> None:
        if self._rows or self._handle is not None:
            # The last one stays in the notebook's file, which is also read as text.
            content = {"text/html": self._html(words), "text/plain": self._text(words)}
            self._publish(content)

    def _shown(self, picked: list[int | range]) -> list[Mapping[str, str] | range]:
        """Rows of these numbers, and ranges of those left out."""
        return [row if isinstance(row, range) else self._rows[row]() for row in picked]

    def _html(self, words: str) -> Markup:
        # No caption of the table, whose columns would move with the words.
        head = Markup(f"<div>{markup(words)}</div>")
        picked = some(len(self._rows), self._best)
        rows = self._shown(picked)
        names = list(
            dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row)
        )
        if not names:
            return in_notebook(head)
        cells = [
            [left_out(row)] if isinstance(row, range) else [row.get(name, "") for name in names]
            for row in rows
        ]
        marked = () if self._best is None else (picked.index(self._best),)
        return in_notebook(head, table(names, cells, marked=marked))

    def _text(self, words: str) -> str:
        lines: list[str] = []
        text_table = _TextTable()
        for row in self._shown(some(len(self._rows), self._best)):
            lines += [left_out(row)] if isinstance(row, range) else text_table.lines(row)
        return "\n".join(filter(None, [*lines, words]))

    def _publish(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def default_display() -> Display:
    """A table in a notebook, elsewhere what suits ``sys.stdout``."""
    return _Notebook() if _writes_to_notebook() else display_on(sys.stdout)


def _writes_to_notebook() -> bool:
    """Whether this is a Jupyter kernel, and what is written reaches its notebook.

    A kernel has loaded IPython; nothing is imported here. A stream that takes the place of its own
    is to catch the output, and gets lines.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    is_kernel = any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)
    return is_kernel and type(sys.stdout).__module__.startswith("ipykernel")


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


def duration(seconds: float) -> str:
    """Seconds as "0.123 s", "12.3 s" or, from a minute on, "12:34"."""
    return f"{seconds:.3g} s" if seconds < 60 else clock(seconds)


def clock(seconds: float) -> str:
    """Seconds as "0:07", "12:34" or "1:23:45"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
