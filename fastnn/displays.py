"""Where progress is shown: a table in a notebook, a bar on a terminal, plain lines elsewhere."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from fastnn.markup import Markup, in_notebook, left_out, markup, some, table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

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


# -- numbers as texts ------------------------------------------------------------------------------


def number_text(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 10_000 else f"{value:.3e}"


def count_text(value: float) -> str:
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
