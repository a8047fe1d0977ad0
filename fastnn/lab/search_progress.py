"""Progress of a search: a line for each trial, and on a terminal a bar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from fastnn.displays import Display, clock, default_display, number_text
from fastnn.lab.search_result import Trial, ranked, shown


@dataclass(frozen=True)
class _Status:
    """How far a search is."""

    share: float
    trials: str
    best: str
    left: str

    @property
    def total(self) -> float:
        return self.share

    def title(self) -> str:
        return self.trials

    def parts(self) -> dict[str, str]:
        return {name: text for name, text in (("best", self.best), ("left", self.left)) if text}


class Progress:
    """Leaves a line for each trial that ends; on a terminal, with a bar below.

    Parameters
    ----------
    display : Display
    runs : int
        Trials to train, counted anew on each rung and stage.
    epochs : int
        Those of all runs.
    """

    def __init__(self, display: Display, runs: int, epochs: int) -> None:
        self._display, self._runs, self._epochs = display, runs, epochs
        self._done = self._ended = 0
        self._start = perf_counter()
        self._best: Trial | None = None
        self.show()

    def ended(self, trial: Trial, monitor: str | None) -> None:
        self._ended += 1
        self._done += trial.epochs
        place = f"{self._ended:{len(str(self._runs))}}/{self._runs}"
        found = trial.reason
        score = number_text(trial.score)
        if trial.status != "failed":
            found = f"{monitor} {score}"
            self._best = ranked([trial, *([self._best] if self._best else [])], str(monitor))[0]
        params = {name: shown(value) for name, value in trial.params.items()}
        words = "  ".join(f"{name}={text}" for name, text in params.items())
        epochs = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
        seconds = f"{trial.seconds:.2f}"
        named = {"failed": found} if trial.status == "failed" else {str(monitor): score}
        cells = {"trial": place, "epochs": str(trial.epochs), **params, **named, "seconds": seconds}
        self._display.row(
            lambda: cells,
            line=f"trial {place}  {epochs}  {words}  {found}  {seconds} s",
            best=trial is self._best,
        )
        self.show(monitor)

    def show(self, monitor: str | None = None) -> None:
        if perf_counter() < self._display.due:
            return
        share = min(self._done / self._epochs, 1.0)
        left = (perf_counter() - self._start) / share * (1 - share) if share else None
        self._display.show(
            _Status(
                share,
                f"trial {self._ended}/{self._runs}",
                f"best {monitor} {number_text(self._best.score)}" if self._best else "",
                "" if left is None else f"{clock(left)} left",
            )
        )


@contextmanager
def search_progress(plan: Sequence[tuple[int, int]], verbose: bool) -> Iterator[Progress]:
    """Progress over a whole search: one count, and one bar, from its first trial to its last.

    Parameters
    ----------
    plan : sequence of (int, int)
        How many trials are to be trained, and for how many epochs: for each stage of the search,
        and each of its rungs.
    verbose : bool
        False shows nothing.
    """
    display = default_display() if verbose else Display()
    try:
        yield Progress(
            display,
            sum(trials for trials, _ in plan),
            sum(trials * epochs for trials, epochs in plan),
        )
    finally:
        display.close()
