"""Solvers that go through the rows in batches: epochs of a trainer."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastnn.errors import DivergenceError
from fastnn.regularizers import L2
from fastnn.sklearn.epochs import Bookkeeping, open_records
from fastnn.sklearn.parameters import make_optimizer
from fastnn.sklearn.randomness import generator
from fastnn.sklearn.rows import Rows
from fastnn.trainer import Trainer

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


def fit(
    estimator: Any,
    rows: Rows,
    held: Rows | None,
    random: np.random.RandomState,
    incremental: bool,
) -> None:
    """Train an estimator's model: one epoch of `partial_fit`, or until nothing improves.

    Parameters
    ----------
    estimator : BaseMLP
        With its model; its curves, counters and scores are written.
    rows : Rows
    held : Rows, optional
        Validation data; with early stopping a part of ``rows`` takes their place.
    random : RandomState
    incremental : bool
        Whether `partial_fit` calls.

    Raises
    ------
    ValueError
        Training diverged, and no best model has been kept; too few rows to hold out.
    """
    if estimator.early_stopping and held is None:
        rows, held = _split(estimator, rows, random)
    open_records(estimator, held is not None)
    weights, mean = rows.relative_weights(estimator._weight_scale())
    trainer = _ready_trainer(estimator, len(rows.x), mean, random, incremental)
    score = None if held is None else (lambda: estimator._score_on(held))
    keeper = Bookkeeping(estimator, score)
    trainer.callbacks = [keeper, *estimator.callbacks]
    validation = None
    if held is not None:
        held_weights, _ = held.relative_weights(estimator._weight_scale())
        validation = (held.x, held.targets, held_weights)
    estimator.n_iter_ = 0
    try:
        trainer.fit(
            rows.x,
            rows.targets,
            1 if incremental else estimator.max_iter,
            validation,
            sample_weight=weights,
            shuffle=estimator.shuffle,
        )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    except DivergenceError as error:
        _diverged(estimator, error, keeper, trainer)
    finally:
        trainer.callbacks = []
    estimator.stopped_early_ = keeper.stopped
    estimator._finished = keeper.stopped and incremental and estimator.early_stopping
    if estimator.early_stopping and (keeper.stopped or not incremental):
        estimator.model_.restore(estimator._best)
    if not incremental and not keeper.stopped and estimator.n_iter_ == estimator.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: the loss still improved after max_iter={estimator.max_iter} "
            "epochs",
            ConvergenceWarning,
            stacklevel=4,
        )


def _split(estimator: Any, rows: Rows, random: np.random.RandomState) -> tuple[Rows, Rows]:
    kept, out = train_test_split(
        np.arange(len(rows.x)),
        random_state=random,
        test_size=estimator.validation_fraction,
        stratify=estimator._strata(rows.targets),
    )
    if len(out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of "
            "your dataset."
        )
    return rows.take(kept), rows.take(out)


def _ready_trainer(
    estimator: Any, n: int, mean_weight: float, random: np.random.RandomState, incremental: bool
) -> Trainer:
    """A trainer for so many rows; `partial_fit` goes on with the one there is."""
    batch_size = min(200, n) if estimator.batch_size == "auto" else estimator.batch_size
    if batch_size > n:
        warnings.warn(
            f"batch_size={batch_size} is more than the {n} rows there are; it becomes {n}",
            stacklevel=5,
        )
        batch_size = n
    # As scikit-learn has it, the penalty is divided by the rows of a batch, or their weights.
    strength = estimator.alpha / (batch_size * mean_weight)
    trainer = estimator._trainer
    if not incremental or trainer is None or trainer.model is not estimator.model_:
        trainer = Trainer(
            estimator.model_,
            estimator._loss(),
            make_optimizer(estimator),
            L2(strength),
            batch_size,
            threads=estimator.n_threads,
            rng=generator(random),
            metrics=(),
            verbose=False,
        )
        if incremental and estimator._optimizer_state is not None:
            trainer.resume(estimator._optimizer_state)
        estimator._trainer = trainer
        estimator._optimizer_state = None
    trainer.batch_size = batch_size
    trainer.regularizer.strength = strength
    return trainer


def _diverged(
    estimator: Any, error: DivergenceError, keeper: Bookkeeping, trainer: Trainer
) -> None:
    """The trainer is back at its last good epoch; with early stopping that is no error."""
    if not estimator.early_stopping:
        raise ValueError(f"{NOT_FINITE} {error}") from error
    keeper.record(trainer, error.loss, None, float("nan"))
    keeper.stopped = True
    warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
