"""What a fit reported, epoch by epoch."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fastnn.checks import name_among
from fastnn.files import FilePath, replace_file
from fastnn.markup import in_notebook, left_out, some, table
from fastnn.metrics import better_direction
from fastnn.pictures import history_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History(Mapping[str, list[float]]):
    """Reported numbers by name, each a list with one number per epoch.

    All lists have the same length: where an epoch did not report a name, it holds NaN. Epochs count
    from 0, so ``history["loss"][epoch]`` is the loss of an epoch of `epochs`.

    Examples
    --------
    >>> history = History()
    >>> history.append({"loss": 0.7, "accuracy": 0.5})
    >>> history.append({"loss": 0.4, "accuracy": 0.9})
    >>> history["loss"]
    [0.7, 0.4]
    >>> history.best("accuracy")
    (1, 0.9)
    >>> history
    <History of 2 epochs: loss, accuracy>
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}
        self._n_epochs = 0

    def append(self, logs: Mapping[str, float]) -> None:
        """Add an epoch.

        Parameters
        ----------
        logs : mapping of str to float
            What the epoch reported.

        Raises
        ------
        TypeError
            A name is not a string, or a value not a number; nothing is added.
        ValueError
            A name is ``"epoch"``, which numbers the rows of a CSV file.
        """
        row = {_checked_name(name): _number(name, value) for name, value in logs.items()}
        for name in row:
            self._columns.setdefault(name, [math.nan] * self._n_epochs)
        for name, column in self._columns.items():
            column.append(row.get(name, math.nan))
        self._n_epochs += 1

    @property
    def epochs(self) -> list[int]:
        """Numbers of the epochs: 0, 1, 2, ..."""
        return list(range(self._n_epochs))

    @property
    def last(self) -> dict[str, float]:
        """The numbers of the last epoch; empty before the first."""
        return {name: column[-1] for name, column in self._columns.items()}

    def best(self, name: str, mode: str = "auto") -> tuple[int, float]:
        """The epoch at which a number was best, and that number.

        Parameters
        ----------
        name : str
        mode : {"auto", "min", "max"}
            What is best; ``"auto"`` judges by the name, see `fastnn.metrics.better_direction`.

        Returns
        -------
        epoch : int
            Counted from 0; of equals the first.
        value : float

        Raises
        ------
        KeyError
            No such name.
        ValueError
            An unknown `mode`, or every number is NaN.
        """
        column = self[name]
        sign = -1 if resolve_mode(mode, name) == "max" else 1
        numbers = [(sign * v, epoch) for epoch, v in enumerate(column) if not math.isnan(v)]
        if not numbers:
            raise ValueError(f"{name} has no best epoch: it is NaN in every one")
        epoch = min(numbers)[1]
        return epoch, column[epoch]

    def to_csv(self, path: FilePath) -> None:
        """Write a CSV file: the column ``epoch``, counted from 0, then one for each name.

        The file is replaced at once or not at all. Numbers are written such that they read back
        exactly.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self._columns])
        writer.writerows(zip(self.epochs, *self._columns.values(), strict=True))
        replace_file(path, [text.getvalue().encode()])

    def plot(self, title: str = "") -> "Figure":
        """Loss and metrics by epoch: training, validation, and the gap between them.

        Parameters
        ----------
        title : str

        Returns
        -------
        matplotlib.figure.Figure
            ``history.plot().savefig("curves.png")`` writes it.

        Raises
        ------
        ValueError
            No epoch has ended.
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        return history_figure(self, title)

    def __getitem__(self, name: str) -> list[float]:
        try:
            return list(self._columns[name])
        except KeyError:
            known = ", ".join(self._columns) or "none yet, no epoch has ended"
            raise KeyError(f"no {name!r} in the history; there are: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of names; that of epochs is ``len(history.epochs)``."""
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __repr__(self) -> str:
        epochs = "1 epoch" if self._n_epochs == 1 else f"{self._n_epochs} epochs"
        names = f": {', '.join(self._columns)}" if self._columns else ""
        return f"<History of {epochs}{names}>"

    def _repr_html_(self) -> str:
        """The table that a notebook shows: of long fits the first, the best and the last epochs."""
        judge = next((name for name in ("val_loss", "loss") if name in self), None)
        best = None
        if judge is not None and not all(map(math.isnan, self[judge])):
            best = self.best(judge)[0]
        picked = some(self._n_epochs, best)
        rows = [
            [left_out(epoch)]
            if isinstance(epoch, range)
            else [f"{epoch + 1}", *(f"{column[epoch]:.4g}" for column in self._columns.values())]
            for epoch in picked
        ]
        words = repr(self)[1:-1].partition(":")[0]
        if best is not None:
            words += f"; {judge} is best in epoch {best + 1}"
        header = ["epoch", *self._columns]
        marked = () if best is None else (picked.index(best),)
        return in_notebook(table(header, rows, marked=marked, caption=words))


def resolve_mode(mode: str, name: str) -> str:
    """``"min"`` or ``"max"``; for ``"auto"``, judged by the name of what is reported.

    Raises
    ------
    ValueError
        Another mode.
    """
    name_among("mode", mode, ("auto", "min", "max"))
    return better_direction(name) if mode == "auto" else mode


def improves(value: float, best: float, mode: str, min_delta: float = 0.0) -> bool:
    """Whether a value beats the best one so far, by more than `min_delta`.

    NaN stands for no value: it never is an improvement, and the first number after it always is.

    Examples
    --------
    >>> improves(0.8, 0.9, "min"), improves(0.8, 0.9, "max"), improves(0.8, math.nan, "max")
    (True, False, True)
    """
    if math.isnan(best):
        return not math.isnan(value)
    sign = -1 if mode == "max" else 1
    return sign * value < sign * best - min_delta  # False for NaN


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"names in logs must be strings; got {name!r}")
    if name == "epoch":
        raise ValueError("logs must not report 'epoch': the history numbers its epochs itself")
    return name


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"logs[{name!r}] must be a number; got {value!r}") from None
