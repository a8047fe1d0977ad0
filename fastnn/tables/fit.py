"""Training on a table: from a file to a model, and to what is to be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.files import FilePath
from fastnn.lab.bar import bar
from fastnn.tables.judge import judge_classes, judge_constant, judge_numbers, require_metrics
from fastnn.tables.outcome import Outcome
from fastnn.tables.prepare import PARTS, Prepared, prepare
from fastnn.tables.read import read_table
from fastnn.tables.settings import Settings
from fastnn.tables.table import Table
from fastnn.tables.table_model import TableModel
from fastnn.tables.words import sentence, warnings

if TYPE_CHECKING:
    from pandas import DataFrame

# Epochs without a better validation loss after which training ends, as a share of all, at least.
PATIENCE, LEAST_PATIENCE = 0.1, 10


@dataclass(frozen=True)
class TrainedTable:
    """A model of a table, and what came of training it.

    Attributes
    ----------
    model : TableModel
    outcome : Outcome
    search : SearchResult or None
        Where settings were searched for: all trials.
    """

    model: TableModel
    outcome: Outcome
    search: "fnn.lab.SearchResult | None" = None

    def write_report(self, path: FilePath) -> None:
        """Write the report as one self-contained HTML page, at once or not at all.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        from fastnn.tables.report.page import write_html

        write_html(path, self.outcome)


def train(
    data: "DataFrame | FilePath",
    target: str,
    *,
    encoding: str | None = None,
    progress: bool = False,
    **settings: Any,
) -> TrainedTable:
    """Train a network to predict one column of a table from the others.

    Columns of numbers are scaled, missing values filled in and marked, names told apart; columns
    that say nothing of other rows (identifiers, free text, dates, constants) are left out, and the
    outcome says so. Whether the target is one of classes or of numbers is inferred. A share of the
    rows, in which classes are as frequent as in all, decides when to stop; another one judges.

    Parameters
    ----------
    data : pandas.DataFrame or path-like
        The table, or its file, as in `fastnn.tables.read`.
    target : str
        The column to predict.
    encoding : str, optional
        Of a CSV file; by default UTF-8.
    progress : bool
        Show a bar on ``sys.stderr``, if that is a terminal.
    **settings
        What else may be chosen, see `Settings`: ``task``, ``hidden``, ``epochs``, ``batch_size``,
        ``lr``, ``dropout``, ``batch_norm``, ``weight_decay``, ``validation_share``, ``test_share``,
        ``seed``, ``threads``, ``backend``, ``drop``.

    Returns
    -------
    TrainedTable
        ``.model`` predicts, ``.outcome`` says how well.

    Raises
    ------
    TypeError, ValueError
        A setting of the wrong type or value; the message names it.
    TableError
        The table cannot be read or learned from; the message says why, and what to do.
    OSError
        The file cannot be read.
    DivergenceError
        Training failed: the learning rate is too high.
    ImportError
        pandas or scikit-learn is not installed; the message names the extra.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import fastnn as fnn
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"size": rng.normal(size=200), "colour": ["red", "blue"] * 100})
    >>> frame["kind"] = np.where((frame["size"] > 0) & (frame["colour"] == "red"), "a", "b")
    >>> trained = fnn.tables.train(frame, "kind")
    >>> trained.outcome.metrics["test"]["accuracy"] > 0.9
    True
    >>> new = pd.DataFrame({"colour": ["red", "blue"], "size": [2.0, 2.0]})
    >>> [str(kind) for kind in trained.model.predict(new)]
    ['a', 'b']
    """
    chosen = Settings(**settings)
    return train_table(read_table(data, encoding=encoding), target, chosen, progress)


def train_table(
    table: Table, target: str, settings: Settings, progress: bool = False
) -> TrainedTable:
    """`train` on a table that has been read."""
    require_metrics()
    return fit(prepare(table, target, settings), settings, progress)


def fit(prepared: Prepared, settings: Settings, progress: bool = False) -> TrainedTable:
    """Train the network, and judge it.

    Raises
    ------
    DivergenceError
        The loss is no longer finite.
    """
    start = perf_counter()
    rows = len(prepared.x["train"])
    epochs = settings.epochs_for(rows)
    stopper = early_stopping(epochs)
    number = ("val_accuracy", "accuracy") if prepared.target.classes else ("val_loss", "loss")
    with bar("training ", number, shown=progress) as movers:
        trainer = make_trainer(prepared, settings, settings.seed, [stopper, *movers])
        history = trainer.fit(
            prepared.x["train"],
            prepared.scaled("train"),
            epochs=epochs,
            validation_data=(prepared.x["validation"], prepared.scaled("validation")),
        )
    model = TableModel(trainer.model, prepared.columns, prepared.target, prepared.decimal_commas)
    outputs = {part: model.outputs_of(prepared.x[part]) for part in PARTS}
    classes = prepared.target.classes
    judge = judge_classes if classes else judge_numbers
    metrics = {part: judge(outputs[part], prepared.y[part]) for part in PARTS}
    metrics["baseline"] = judge_constant(prepared.y["train"], prepared.y["test"], len(classes))
    outcome = Outcome(
        source=prepared.source,
        target=prepared.target.name,
        task=prepared.target.task,
        why=prepared.why,
        classes=classes or None,
        rows={part: len(prepared.y[part]) for part in PARTS}
        | {"dropped": prepared.dropped + prepared.rare},
        columns=tuple(prepared.facts),
        settings=_described(prepared, settings, trainer, stopper),
        history=history,
        metrics=metrics,
        y_true=prepared.y["test"],
        y_pred=outputs["test"].argmax(axis=1) if classes else outputs["test"],
        proba=outputs["test"] if classes else None,
        seconds=perf_counter() - start,
        warnings=tuple(warnings(prepared, metrics, len(history.epochs) == epochs)),
        sentence=sentence(prepared, metrics),
    )
    return TrainedTable(model, outcome)


def early_stopping(epochs: int) -> "fnn.EarlyStopping":
    """Ends training when the validation loss no longer falls, and keeps the best epoch."""
    return fnn.EarlyStopping("val_loss", patience=max(LEAST_PATIENCE, round(PATIENCE * epochs)))


def make_trainer(
    prepared: Prepared, settings: Settings, seed: int, callbacks: Sequence["fnn.Callback"]
) -> "fnn.Trainer":
    """The network for a table, and its trainer."""
    model = fnn.mlp(
        len(prepared.columns.features),
        settings.hidden,
        prepared.target.outputs,
        batch_norm=settings.batch_norm,
        dropout=settings.dropout,
        rng=seed,
        backend=settings.backend,
    )
    return fnn.Trainer(
        model,
        loss="softmax_cross_entropy" if prepared.target.classes else "mean_squared_error",
        # Not Adam with an L2 penalty: the loss that decides when to stop would hold the penalty.
        optimizer=fnn.AdamW(settings.lr, weight_decay=settings.weight_decay),
        batch_size=settings.batch_size_for(len(prepared.x["train"])),
        threads=settings.threads,
        rng=seed,
        callbacks=callbacks,
        verbose=False,
    )


def _described(
    prepared: Prepared, settings: Settings, trainer: "fnn.Trainer", stopper: "fnn.EarlyStopping"
) -> dict[str, str]:
    """All that was chosen, in words."""
    model = trainer.model
    widths = [model.layers[0].n_in, *settings.hidden, model.output_size]
    extras = ["ReLU"] if settings.hidden else []
    extras += ["BatchNorm"] if settings.batch_norm and settings.hidden else []
    extras += [f"dropout {settings.dropout:.3g}"] if settings.dropout and settings.hidden else []
    done = len(trainer.history.epochs)
    best = "" if stopper.best_epoch is None else f", the best is number {stopper.best_epoch + 1}"
    backend = model.backend
    isa = f" ({backend.instruction_set})" if backend.instruction_set else ""
    return {
        "network": ", ".join(["-".join(map(str, widths)), *extras]),
        "parameters": f"{model.parameter_count:,}",
        "optimizer": "AdamW",
        "learning rate": f"{settings.lr:.3g}",
        "weight decay": f"{settings.weight_decay:.3g}",
        "batch size": f"{trainer.batch_size}",
        "epochs": f"{done} of at most {settings.epochs_for(len(prepared.x['train']))}{best}",
        "seed": f"{settings.seed}",
        "threads": f"{trainer.threads}",
        "backend": f"{backend.name}{isa}, {trainer.engine} engine",
        "version": f"fastnn {fnn.__version__}",
    }
