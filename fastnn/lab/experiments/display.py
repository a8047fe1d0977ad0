"""Progress of an experiment: a bar on a terminal, else a line every ten seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TextIO

from fastnn.displays import clock, display_on
from fastnn.lab.experiments.base import Progress


@dataclass(frozen=True)
class _Status:
    share: float
    text: str
    left: str

    @property
    def total(self) -> float:
        return self.share

    def title(self) -> str:
        return self.text

    def parts(self) -> dict[str, str]:
        return {"left": self.left} if self.left else {}


@contextmanager
def shown_progress(file: TextIO | None) -> Iterator[Progress]:
    """Shows what an experiment reports, and leaves no bar behind.

    Parameters
    ----------
    file : text stream or None
        Where; None shows nothing.

    Yields
    ------
    callable
        Takes how much is done, how much there is, and what is under way.
    """
    display = display_on(file)
    start = perf_counter()

    def progress(done: float, total: float, text: str) -> None:
        now = perf_counter()
        if now < display.due:
            return
        share = min(done / total, 1.0)
        left = f"{clock((now - start) / share * (1 - share))} left" if share > 0 else ""
        display.show(_Status(share, text, left))

    try:
        yield progress
    finally:
        display.close()
