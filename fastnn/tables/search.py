"""Searching for the settings that suit a table."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fastnn as fnn
from fastnn.checks import positive_int
from fastnn.files import FilePath
from fastnn.tables.fit import TrainedTable, early_stopping, fit, make_trainer
from fastnn.tables.judge import require_metrics
from fastnn.tables.prepare import Prepared, prepare
from fastnn.tables.read import read_table
from fastnn.tables.settings import Settings
from fastnn.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

# Each list is for the name of a setting; widths are written as on the command line.
WIDTHS = ["32", "64", "128", "64,32", "128,64", "256,128", "128,128,128"]
SPACE: dict[str, Any] = {
    "lr": (1e-4, 1e-2),
    "weight_decay": (1e-3, 1.0),
    "dropout": (0.0, 0.5),
    "batch_norm": [False, True],
    "hidden": WIDTHS,
}
# The first half of the trials looks everywhere, for this share of the epochs; the other half looks
# around the best.
COARSE_SHARE = 0.25
LEAST_TRIALS = 2


def search(
    data: "DataFrame | FilePath",
    target: str,
    trials: int = 30,
    *,
    encoding: str | None = None,
    progress: bool = False,
    **settings: Any,
) -> TrainedTable:
    """Search for the settings that suit a table, and train a model with the best.

    The learning rate, the penalty, dropout, BatchNorm and the widths are drawn at random, for the
    first half of the trials from wide ranges and with few epochs, then around the best. Trials are
    judged by the loss of the validation rows; the test rows judge the model at the end only.

    Parameters
    ----------
    data, target, encoding, **settings
        As in `train`, without the settings that are searched for.
    trials : int
        At least 2.
    progress : bool
        Show a line for each trial, and bars.

    Returns
    -------
    TrainedTable
        ``.search`` has all trials.

    Raises
    ------
    TypeError, ValueError
        A setting of the wrong type or value, or one that is searched for; the message names it.
    TableError, OSError, ImportError
        As `train`; joblib is needed, too.
    FastnnError
        No trial finished.
    """
    for name in settings:
        if name in SPACE:
            raise TypeError(f"{name} is searched for, and cannot be given")
    chosen, trials = Settings(**settings), checked_trials(trials)
    return search_table(read_table(data, encoding=encoding), target, chosen, trials, progress)


def checked_trials(trials: int) -> int:
    """The number of trials.

    Raises
    ------
    TypeError, ValueError
        It is no integer, or too few for two stages.
    """
    return positive_int("trials", trials, least=LEAST_TRIALS)


def search_table(
    table: Table, target: str, settings: Settings, trials: int, progress: bool = False
) -> TrainedTable:
    """`search` on a table that has been read."""
    require_metrics()
    prepared = prepare(table, target, settings)
    found = _searched(prepared, settings, trials, progress)
    # Every trial stops by itself, so those of both stages can be compared.
    finished = [trial for trial in found.trials if trial.status == "done"] or [found.best]
    best = min(finished, key=lambda trial: trial.score)
    trained = fit(prepared, replace(settings, **_chosen(best.params)), progress)
    told = f"the best of {len(found.trials)} trials by the loss on the validation rows"
    outcome = replace(trained.outcome, settings={**trained.outcome.settings, "search": told})
    return replace(trained, outcome=outcome, search=found)


def _searched(
    prepared: Prepared, settings: Settings, trials: int, progress: bool
) -> "fnn.lab.SearchResult":
    epochs = settings.epochs_for(len(prepared.x["train"]))
    coarse = max(1, round(COARSE_SHARE * epochs))

    def build(params: dict[str, Any], seed: int) -> fnn.Trainer:
        one_thread = replace(settings, threads=1, **_chosen(params))
        return make_trainer(prepared, one_thread, seed, [early_stopping(epochs)])

    return fnn.lab.coarse_to_fine(
        build,
        SPACE,
        prepared.x["train"],
        prepared.scaled("train"),
        trials=(trials - trials // 2, trials // 2),
        epochs=(coarse, max(epochs, coarse + 1)),
        validation_data=(prepared.x["validation"], prepared.scaled("validation")),
        monitor="val_loss",
        rng=settings.seed,
        verbose=progress,
    )


def _chosen(params: Any) -> dict[str, Any]:
    """Parameters of a trial as settings."""
    hidden = tuple(int(units) for units in params["hidden"].split(","))
    return {**params, "hidden": hidden}
