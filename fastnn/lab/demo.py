"""`fastnn demo`: the classic network of a deep-learning course, with and without what tames it.

Six hidden layers of 100 units with ReLU, with the initial weights of K. He et al. (2015), "Delving
Deep into Rectifiers", trained in batches of 100 by Adam: once as it is, then with BatchNorm,
dropout and weight decay, each alone and all together. Everything else is the same for all variants,
the seed included.
"""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import fastnn as fnn
from fastnn.checks import one_of, positive_int
from fastnn.files import replace_file
from fastnn.lab import plots
from fastnn.lab.arguments import checked_seed, writable_folder
from fastnn.lab.bar import Watcher, bar

Part = tuple[Any, Any]


@dataclass(frozen=True)
class Variant:
    """What the network is given against slow learning and overfitting.

    Attributes
    ----------
    name : str
    batch_norm : bool
    dropout : float
        Ratio dropped after each activation.
    weight_decay : float
        Strength of the L2 penalty.
    """

    name: str
    batch_norm: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0


VARIANTS = (
    Variant("plain"),
    Variant("batchnorm", batch_norm=True),
    Variant("dropout 0.2", dropout=0.2),
    Variant("weight decay 1e-4", weight_decay=1e-4),
    Variant("all three", batch_norm=True, dropout=0.2, weight_decay=1e-4),
)


@dataclass(frozen=True)
class Dataset:
    """Images of the ten digits.

    Attributes
    ----------
    title : str
    epochs : int
        How long to train unless asked otherwise.
    load : callable
        Returns ``(x_train, t_train), (x_test, t_test)``.
    """

    title: str
    epochs: int
    load: Callable[[], tuple[Part, Part]]


DATASETS: Mapping[str, Dataset] = {
    "digits": Dataset("8x8 digits", 30, lambda: fnn.data.load_digits()),
    "mnist": Dataset("MNIST", 5, lambda: fnn.data.load_mnist()),
}

HIDDEN = (100,) * 6
CLASSES = 10
BATCH_SIZE = 100
# From here down to 0 along a cosine. At a constant rate the accuracy after the last epoch is partly
# a matter of luck: it goes up and down by about half a point from one epoch to the next.
LEARNING_RATE = 3e-3
OUT = "fastnn-demo"


@dataclass(frozen=True)
class Result:
    """A variant, trained.

    Attributes
    ----------
    variant : Variant
    history : History
    train_accuracy, test_accuracy : float
        After the last epoch, both in inference mode.
    seconds : float
        Spent on the batches of all epochs, without the tests after them.
    samples_per_second : float
        In these seconds.
    """

    variant: Variant
    history: fnn.History
    train_accuracy: float
    test_accuracy: float
    seconds: float
    samples_per_second: float

    @property
    def gap(self) -> float:
        """The generalization gap, in points: how much better the training rows are known."""
        return 100 * (self.train_accuracy - self.test_accuracy)


class Demo:
    """The demo: all that a user can get wrong is checked here, before anything is trained.

    Parameters
    ----------
    dataset : {"digits", "mnist"}
    epochs : int, optional
        By default that of the data set in `DATASETS`.
    seed : int
        Of the weights, the dropout masks and the order of the rows.
    out : path-like
        Folder for the files; created where it does not exist.
    backend : {"cython", "numba", "numpy"}, optional
        As in `Sequential`.
    threads : int, optional
        As in `Trainer`.
    progress : bool
        Show a bar on ``sys.stderr`` while a variant trains, if that is a terminal.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    ImportError
        matplotlib or scikit-learn is not installed; the message names the extra.
    FastnnError
        The data set or the backend cannot be had, or the folder cannot be written.
    """

    def __init__(
        self,
        dataset: str = "digits",
        epochs: int | None = None,
        seed: int = 0,
        out: str | os.PathLike[str] = OUT,
        backend: str | None = None,
        threads: int | None = None,
        progress: bool = True,
    ) -> None:
        chosen = one_of("dataset", dataset, DATASETS)
        self.dataset = dataset
        self.title = chosen.title
        self.epochs = chosen.epochs if epochs is None else positive_int("epochs", epochs)
        self.seed = checked_seed(seed)
        self.backend = backend
        self.threads = threads
        self.progress = progress
        # Data first: its extra, `demo`, brings matplotlib along.
        (self.x_train, self.t_train), (self.x_test, self.t_test) = chosen.load()
        plots.require_matplotlib()
        self._first_trainer = self._trainer(VARIANTS[0])
        self.out = writable_folder(out)

    def run(self) -> list[Result]:
        """Train all variants; print a table and write the curves and the history.

        An error, or Ctrl-C, passes on, after the variants finished by then have been written.

        Returns
        -------
        list of Result
            In the order of `VARIANTS`.

        Raises
        ------
        DivergenceError
            Training failed.
        OSError
            A file cannot be written; an older one is then left as it was.
        KeyboardInterrupt
            Ctrl-C.
        """
        print(self._description(), end="\n\n", flush=True)
        print(_row(COLUMNS), flush=True)
        results: list[Result] = []
        try:
            for variant in VARIANTS:
                results.append(self._train(variant))
                print(_row(_cells(results[-1])), flush=True)
        finally:
            if results:
                self._write(results)
        return results

    # -- training ----------------------------------------------------------------------------------

    def _trainer(self, variant: Variant, callbacks: Sequence[fnn.Callback] = ()) -> fnn.Trainer:
        model = fnn.mlp(
            self.x_train.shape[1],
            HIDDEN,
            CLASSES,
            batch_norm=variant.batch_norm,
            dropout=variant.dropout,
            rng=self.seed,
            backend=self.backend,
        )
        return fnn.Trainer(
            model,
            optimizer=fnn.Adam(fnn.CosineDecay(LEARNING_RATE, self.epochs)),
            regularizer=fnn.L2(variant.weight_decay) if variant.weight_decay else None,
            batch_size=BATCH_SIZE,
            threads=self.threads,
            rng=self.seed,
            callbacks=callbacks,
            verbose=False,
        )

    def _train(self, variant: Variant) -> Result:
        stopwatch = _Stopwatch()
        label = f"{_padded(variant.name)} "
        with bar(label, ("val_accuracy", "test accuracy"), shown=self.progress) as movers:
            # Compiling at run time, as numba does, is no part of the speed of training.
            rows = slice(0, BATCH_SIZE)
            self._trainer(variant).fit(self.x_train[rows], self.t_train[rows], epochs=1)
            trainer = self._trainer(variant, [stopwatch, *movers])
            history = trainer.fit(
                self.x_train,
                self.t_train,
                epochs=self.epochs,
                validation_data=(self.x_test, self.t_test),
            )
        return Result(
            variant,
            history,
            trainer.evaluate(self.x_train, self.t_train)["accuracy"],
            trainer.evaluate(self.x_test, self.t_test)["accuracy"],
            stopwatch.seconds,
            self.epochs * len(self.x_train) / stopwatch.seconds,
        )

    # -- report ------------------------------------------------------------------------------------

    @property
    def _network(self) -> str:
        return f"{self.x_train.shape[1]}-{HIDDEN[0]}x{len(HIDDEN)}-{CLASSES}"

    @property
    def _images(self) -> str:
        return f"{len(self.x_train):,} training and {len(self.x_test):,} test images"

    def _description(self) -> str:
        trainer = self._first_trainer
        backend = trainer.model.backend
        isa = f" ({backend.instruction_set})" if backend.instruction_set else ""
        threads = "1 thread" if trainer.threads == 1 else f"{trainer.threads} threads"
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"data      {self.title}, {self._images}\n"
            f"network   {self._network}, ReLU, He; seed {self.seed}\n"
            f"training  {epochs}, batches of {BATCH_SIZE}; Adam, learning rate {LEARNING_RATE:g} "
            "to 0 (cosine)\n"
            f"runs on   backend {backend.name}{isa}, {trainer.engine} engine, {threads}"
        )

    def _write(self, results: Sequence[Result]) -> None:
        title = f"{self.title}: {self._images}; network {self._network}, seed {self.seed}"
        figure = plots.learning_curves({r.variant.name: r.history for r in results}, title)
        curves = self.out / f"{self.dataset}-curves.png"
        history = self.out / f"{self.dataset}-history.csv"
        replace_file(curves, [plots.png_bytes(figure)])
        replace_file(history, [_csv_bytes(results)])
        print(f"\ncurves    {curves}\nhistory   {history}", flush=True)


COLUMNS = ("variant", "train acc.", "test acc.", "gap, points", "seconds", "samples/s")


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.variant.name,
        f"{result.train_accuracy:.4f}",
        f"{result.test_accuracy:.4f}",
        f"{result.gap:.2f}",
        f"{result.seconds:.2f}",
        f"{result.samples_per_second:,.0f}",
    )


def _row(cells: Sequence[str]) -> str:
    """A line of the table: the first cell to the left, numbers to the right."""
    widths = [max(9, len(column)) for column in COLUMNS[1:]]
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths, strict=True))
    return "  ".join([_padded(cells[0]), *numbers])


def _padded(name: str) -> str:
    return name.ljust(max(len(variant.name) for variant in VARIANTS))


def _csv_bytes(results: Sequence[Result]) -> bytes:
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", "epoch", *names])
    for result in results:
        columns = [result.history[name] for name in names]
        for epoch, numbers in enumerate(zip(*columns, strict=True), start=1):
            writer.writerow([result.variant.name, epoch, *numbers])
    return stream.getvalue().encode()


class _Stopwatch(Watcher):
    """Adds up the seconds that the batches take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def on_epoch_begin(self, trainer: fnn.Trainer, epoch: int) -> None:
        self._since = perf_counter()

    def on_batch_end(
        self, trainer: fnn.Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        if batch + 1 == batches:
            self.seconds += perf_counter() - self._since
