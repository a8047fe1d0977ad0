"""What a person may choose when a network learns from a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastnn.backend import get_backend
from fastnn.checks import name_among, positive_int, real_in, sequence
from fastnn.lab.arguments import checked_seed
from fastnn.tables.outcome import Task
from fastnn.tables.target import TASKS
from fastnn.threads import thread_count

HIDDEN = (128, 64)
# Between these, by the number of training rows: about so many batches make an epoch.
BATCHES, LEAST_BATCH, MOST_BATCH = 20, 16, 256
# As many updates as seem worth the wait: small tables get more epochs, large ones fewer.
UPDATES, LEAST_EPOCHS, MOST_EPOCHS = 40_000, 40, 400


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a person may choose; what is None is chosen by the table.

    Attributes
    ----------
    task : {"classification", "regression"}, optional
        By default inferred from the target.
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    epochs : int, optional
        At most so many; training ends before, when the loss of the validation rows has not fallen
        for a while, and keeps the best epoch.
    batch_size : int, optional
    lr : float
        Learning rate.
    dropout : float
        Ratio dropped after each hidden layer.
    batch_norm : bool
    weight_decay : float
        Of AdamW: each step takes this share, times the rate, off the weights.
    validation_share, test_share : float
        Shares of the rows that decide when to stop, and that judge at the end.
    seed : int
        Of the split, the weights, the order of the rows and the dropout masks.
    threads : int, optional
        As in `Trainer`.
    backend : str, optional
        As in `Sequential`.
    drop : sequence of str
        Columns to leave out.

    Raises
    ------
    TypeError, ValueError
        A value of the wrong type or out of range; the message names it.
    """

    task: Task | None = None
    hidden: Sequence[int] = HIDDEN
    epochs: int | None = None
    batch_size: int | None = None
    lr: float = 2e-3
    dropout: float = 0.2
    batch_norm: bool = False
    weight_decay: float = 0.1
    validation_share: float = 0.15
    test_share: float = 0.15
    seed: int = 0
    threads: int | None = None
    backend: str | None = None
    drop: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.task is not None:
            name_among("task", self.task, TASKS)
        for units in sequence("hidden", self.hidden, "numbers of units"):
            positive_int("hidden", units)
        for name in ("epochs", "batch_size", "threads"):
            if getattr(self, name) is not None:
                positive_int(name, getattr(self, name))
        real_in("lr", self.lr, 0, open_low=True)
        real_in("weight_decay", self.weight_decay, 0)
        real_in("dropout", self.dropout, 0, 1, open_high=True)
        for name in ("validation_share", "test_share"):
            real_in(name, getattr(self, name), 0, 1, open_low=True, open_high=True)
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                "validation_share and test_share must leave rows to train on; they are "
                f"{self.validation_share:g} and {self.test_share:g} of all"
            )
        checked_seed(self.seed)
        sequence("drop", self.drop, "names of columns")
        # FASTNN_BACKEND and FASTNN_THREADS are looked at here, too.
        get_backend(self.backend)
        thread_count(self.threads, 0.0)

    def batch_size_for(self, rows: int) -> int:
        """Rows of a batch."""
        if self.batch_size is not None:
            return self.batch_size
        return min(MOST_BATCH, max(LEAST_BATCH, 2 ** round_down_log2(rows // BATCHES)))

    def epochs_for(self, rows: int) -> int:
        """Epochs at most."""
        if self.epochs is not None:
            return self.epochs
        batches = max(1, rows // self.batch_size_for(rows))
        return min(MOST_EPOCHS, max(LEAST_EPOCHS, UPDATES // batches))


def round_down_log2(count: int) -> int:
    """Greatest k with 2^k <= count; 0 below 1."""
    return max(0, count.bit_length() - 1)
