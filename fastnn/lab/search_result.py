"""What a search found: its trials, a table of them, warnings and pictures."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastnn.errors import FastnnError
from fastnn.files import FilePath, replace_file
from fastnn.lab.space import Dimension
from fastnn.markup import Markup, in_notebook, markup, table
from fastnn.metrics import better_direction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The columns of the table besides the parameters and the score.
COLUMNS = ("trial", "std", "epochs", "status", "reason", "seconds", "seed")

SHOWN = 10  # rows of the table in a printed result


@dataclass(frozen=True)
class Trial:
    """One set of parameters, trained.

    Attributes
    ----------
    number : int
        From 0, in the order in which the sets were drawn.
    params : dict
    seed : int
        ``build(params, seed)`` makes the same trainer again.
    epochs : int
        For how many it was asked to train.
    status : {"done", "stopped", "failed"}
        "stopped": it was not among those that went on to more epochs.
    score : float
        What was monitored, after the last epoch; the mean over the folds; NaN if it failed.
    std : float
        Standard deviation of the score over the folds; NaN without folds.
    reason : str
        Why it failed.
    seconds : float
        Time it took.
    curves : dict
        As `History`, the mean over the folds: name to a number per epoch.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    epochs: int = 0
    status: str = "done"
    score: float = math.nan
    std: float = math.nan
    reason: str = ""
    seconds: float = 0.0
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)


class SearchResult:
    """The trials of a search, best first.

    Those that trained longest come first, for scores after different numbers of epochs cannot be
    compared; failed ones come last.

    Parameters
    ----------
    trials : sequence of Trial
    monitor : str
        What the score is, such as "val_accuracy".
    space : mapping of str to Dimension
        What the last trials were drawn from.
    interrupted : bool
        Ctrl-C ended the search.

    Attributes
    ----------
    trials : list of Trial
    monitor, interrupted
        As above.
    mode : {"min", "max"}
        Whether less or more of the score is better.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        monitor: str,
        space: Mapping[str, Dimension],
        interrupted: bool = False,
    ) -> None:
        self.monitor = monitor
        self.mode = better_direction(monitor)
        self.space = dict(space)
        self.interrupted = interrupted
        self.trials = ranked(trials, monitor)

    @property
    def best(self) -> Trial:
        """The trial with the best score among those that trained longest.

        Raises
        ------
        FastnnError
            No trial finished.
        """
        if not self.trials or self.trials[0].status == "failed":
            reason = f"; the first: {self.trials[0].reason}" if self.trials else ""
            raise FastnnError(f"no trial of this search finished, so none is the best{reason}")
        return self.trials[0]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each trial, best first; ``pandas.DataFrame(result.table)`` takes it as is."""
        return [
            {"trial": trial.number, **trial.params, self.monitor: trial.score}
            | {name: getattr(trial, name) for name in COLUMNS[1:]}
            for trial in self.trials
        ]

    @property
    def warnings(self) -> list[str]:
        """What to doubt, in sentences: a best value at the edge of its range, failed trials."""
        found = ["the search was interrupted: not every trial was run"] if self.interrupted else []
        failed = [trial for trial in self.trials if trial.status == "failed"]
        if failed:
            found.append(
                f"{len(failed)} of {len(self.trials)} trials failed; the first: {failed[0].reason}"
            )
        if len(failed) == len(self.trials):
            return found
        for name, value in self.best.params.items():
            end = self.space[name].edge(value)
            if end is not None:
                found.append(
                    f"{name}: the best value, {shown(value)}, lies at the {end} end of its range, "
                    f"{self.space[name]!r}: there may be better ones "
                    f"{'below' if end == 'lower' else 'above'}"
                )
        return found

    def to_csv(self, path: FilePath) -> None:
        """Write the table to a CSV file, at once or not at all.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, list(self.table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.table)
        replace_file(path, [stream.getvalue().encode()])

    def plot(self) -> "Figure":
        """The score over each parameter, on the scale that it was searched on.

        Returns
        -------
        matplotlib.figure.Figure
            Drawn without pyplot; ``figure.savefig("search.png")``.

        Raises
        ------
        FastnnError
            No trial finished.
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        from fastnn.lab.search_plots import scatter

        return scatter(self)

    def plot_curves(self, n: int = 20) -> "Figure":
        """The curves of the best `n` trials: what was monitored, by epoch.

        Returns and raises as `plot`.
        """
        from fastnn.lab.search_plots import curves

        return curves(self, n)

    def __str__(self) -> str:
        names, rows = self._shown()
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (names, *rows)
        ]
        if len(self.trials) > SHOWN:
            lines.append(f"... and {len(self.trials) - SHOWN} more")
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        names, rows = self._shown()
        if len(self.trials) > SHOWN:
            rows.append([f"... and {len(self.trials) - SHOWN} more"])
        done = bool(self.trials) and self.trials[0].status != "failed"
        notes = (Markup(f"<div>warning: {markup(text)}</div>") for text in self.warnings)
        content = table(names, rows, marked=(0,) if done else (), caption=repr(self)[1:-1])
        return in_notebook(content if names else "", *notes)

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        """Names of the columns that hold anything, and the best rows."""
        rows = [{name: shown(value) for name, value in row.items()} for row in self.table[:SHOWN]]
        names = [
            name
            for name in (self.table[0] if rows else ())
            if name != "seed" and any(row[name] for row in rows)
        ]
        return names, [[row[name] for name in names] for row in rows]

    def __repr__(self) -> str:
        best = "none finished"
        if self.trials and self.trials[0].status != "failed":
            best = f"best {self.monitor} {shown(self.best.score)}"
        return f"<SearchResult of {len(self.trials)} trials: {best}>"


def ranked(trials: Sequence[Trial], monitor: str) -> list[Trial]:
    """Trials, best first: failed ones last, the others by epochs, score and number."""
    sign = -1 if better_direction(monitor) == "max" else 1

    def key(trial: Trial) -> tuple[bool, int, float, int]:
        failed = trial.status == "failed"
        return failed, -trial.epochs, 0.0 if failed else sign * trial.score, trial.number

    return sorted(trials, key=key)


def shown(value: Any) -> str:
    """A value of the table as a short text; NaN, which stands for nothing, as none."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value)
