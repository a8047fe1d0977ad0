"""What experiments are made of: what was asked for, data, progress, and what was found."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import fastnn as fnn
from fastnn.checks import one_of, positive_int
from fastnn.data.fetch import folder_named_by
from fastnn.displays import number_text
from fastnn.lab.arguments import checked_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What fits report, such as a `History`: a number for each epoch, by name.
Curves = Mapping[str, Sequence[float]]
Part = tuple[np.ndarray, np.ndarray]
# Takes how much is done, how much there is, and what is under way.
Progress = Callable[[float, float, str], None]

LOADERS: dict[str, Callable[[], tuple[Part, Part]]] = {
    "digits": lambda: fnn.data.load_digits(),
    "mnist": lambda: fnn.data.load_mnist(),
}
TITLES = {"digits": "8x8 digits", "mnist": "MNIST"}
OUT = "fastnn-experiments"


def default_dataset() -> str:
    """MNIST where ``FASTNN_DATA`` has it, else the digits that scikit-learn carries."""
    root = folder_named_by("FASTNN_DATA")
    return "mnist" if root and (root / "mnist").is_dir() else "digits"


@dataclass(frozen=True)
class Options:
    """What a user asks for.

    Parameters
    ----------
    dataset : {"digits", "mnist"}, optional
        By default MNIST where ``FASTNN_DATA`` has it, else the digits.
    epochs : int, optional
        By default the experiment's own number.
    seed : int
        Of everything that is drawn.
    out : path-like
        Folder for the files.
    quick : bool
        Do less of everything, to see in seconds that it runs; the findings may not hold then.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    """

    dataset: str = ""
    epochs: int | None = None
    seed: int = 0
    out: Path = Path(OUT)
    quick: bool = False

    def __post_init__(self) -> None:
        def store(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)  # the class is frozen

        store("dataset", self.dataset or default_dataset())
        one_of("dataset", self.dataset, LOADERS)
        if self.epochs is not None:
            store("epochs", positive_int("epochs", self.epochs))
        store("seed", checked_seed(self.seed))
        store("out", Path(self.out))

    @property
    def title(self) -> str:
        """The data set, as a heading names it."""
        return TITLES[self.dataset]

    def epochs_or(self, default: int) -> int:
        """The epochs asked for, else the experiment's own."""
        return default if self.epochs is None else self.epochs

    def size(self, full: Any, quick: Any) -> Any:
        """`full`, or where less of everything is to be done `quick`."""
        return quick if self.quick else full


@dataclass
class Result:
    """What an experiment found.

    Attributes
    ----------
    table : list of dict
        A row for each thing compared, all with the same columns: texts and numbers.
    sentence : str
        The finding with its numbers, made from them: where what was expected did not happen, it
        says so.
    figure : matplotlib.figure.Figure
    rows : list of dict, optional
        For the CSV file, such as every epoch of every fit; by default the table.
    """

    table: list[dict[str, Any]]
    sentence: str
    figure: "Figure"
    rows: list[dict[str, Any]] | None = None


class Experiment(Protocol):
    """What the module of an experiment has, besides a docstring that says what it shows.

    Attributes
    ----------
    SUMMARY : str
        One line.
    """

    SUMMARY: str

    def run(self, options: Options, progress: Progress) -> Result:
        """Do it."""


def load(options: Options, train: int | None = None, test: int | None = None) -> tuple[Part, Part]:
    """The data set asked for: float32 rows in [0, 1], and integer labels.

    Parameters
    ----------
    options : Options
    train, test : int, optional
        Keep this many rows, drawn by the seed; all where there are no more.

    Returns
    -------
    (x, y), (x_test, y_test)
    """
    rng = np.random.default_rng(options.seed)

    def some(part: Part, rows: int | None) -> Part:
        x, y = part
        if rows is None or rows >= len(x):
            return x, y
        kept = rng.permutation(len(x))[:rows]
        return x[kept], y[kept]

    whole, whole_test = LOADERS[options.dataset]()
    return some(whole, train), some(whole_test, test)


class Epochs(fnn.Callback):
    """Shows how far a fit is: a callback for `Trainer`.

    Parameters
    ----------
    progress : callable
        As an experiment gets it.
    text : str
        What is trained.
    done, total : int
        How many of how many fits of the experiment are done before this one.
    """

    def __init__(self, progress: Progress, text: str, done: int = 0, total: int = 1) -> None:
        self.progress, self.text, self.done, self.total = progress, text, done, total
        self._first = 0

    def on_train_begin(self, trainer: fnn.Trainer) -> None:
        self._first = trainer.epoch
        self.progress(self.done, self.total, self.text)

    def on_epoch_end(self, trainer: fnn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        share = (trainer.epoch - self._first) / (trainer.epochs - self._first)
        self.progress(self.done + share, self.total, self.text)


def history_rows(fits: Mapping[str, Curves]) -> list[dict[str, Any]]:
    """Every epoch of every fit as a row, the epochs counted from 1."""
    return [
        {"network": name, "epoch": epoch + 1} | {key: history[key][epoch] for key in history}
        for name, history in fits.items()
        for epoch in range(len(history["loss"]))
    ]


def percent(share: float) -> str:
    """A share as a sentence says it: "97.3 %"."""
    return f"{100 * share:.1f} %"


def table_text(table: list[dict[str, Any]]) -> str:
    """The table in lines: texts to the left, numbers to the right."""
    names = list(table[0])
    lines = [names, *([_cell(row[name]) for name in names] for row in table)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    left = [isinstance(table[0][name], str) for name in names]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, (int, np.integer)) else number_text(float(value))


def csv_bytes(rows: list[dict[str, Any]]) -> bytes:
    """The content of a CSV file; a column that a row lacks is empty there."""
    stream = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
