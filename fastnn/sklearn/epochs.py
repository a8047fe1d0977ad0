"""What happens between epochs: the curves of a fit, and when it stops."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.callbacks import Callback

if TYPE_CHECKING:
    from fastnn.trainer import Trainer

# Below this learning rate, "adaptive" gives up.
SMALLEST_RATE = 1e-6


def new_records(estimator: Any) -> None:
    """Set an estimator's counters and curves to where training begins."""
    estimator.n_iter_ = estimator.t_ = 0
    estimator.loss_curve_ = []
    estimator._no_improvement_count = 0
    estimator.stopped_early_ = False
    estimator.best_loss_ = None
    estimator.validation_scores_ = None
    estimator.validation_loss_curve_ = None
    estimator.best_validation_score_ = None
    estimator._best = None


def open_records(estimator: Any, validates: bool) -> None:
    """What this fit needs to compare with, also where the one before did not."""
    if validates:
        open_validation(estimator)
    if estimator.early_stopping:
        estimator.best_loss_ = None
        estimator._best = estimator._best or estimator.model_.snapshot()
    elif estimator.best_loss_ is None:
        estimator.best_loss_ = np.inf


def open_validation(estimator: Any) -> None:
    """Curves of validation, unless a fit before has begun them."""
    if estimator.validation_scores_ is None:
        estimator.validation_scores_, estimator.validation_loss_curve_ = [], []
        estimator.best_validation_score_ = -np.inf


class Bookkeeping(Callback):
    """Keeps an estimator's attributes up to date, and stops where nothing improves.

    The rules are scikit-learn's: a fit ends where, for more than ``n_iter_no_change`` epochs in a
    row, the training loss, or with early stopping the validation score, has not become better by
    ``tol``; with an adaptive rate that divides the rate by 5, and ends the fit where it is tiny.

    Parameters
    ----------
    estimator : BaseMLP
    score : callable, optional
        The score on the validation data, a float.

    Attributes
    ----------
    stopped : bool
        Whether nothing improved any more.
    """

    def __init__(self, estimator: Any, score: Callable[[], float] | None) -> None:
        self.estimator = estimator
        self.score = score
        self.stopped = False

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        score = None if self.score is None else self.score()
        self.record(trainer, logs["loss"], logs.get("val_loss"), score)
        estimator = self.estimator
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            trainer.lr_factor = (estimator.t_ + 1) ** -estimator.power_t
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._give_up(trainer)

    def record(
        self, trainer: "Trainer", loss: float, val_loss: float | None, score: float | None
    ) -> None:
        """Write down an epoch."""
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += trainer.samples
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        self._say(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if val_loss is not None:
            estimator.validation_loss_curve_.append(val_loss)
        if score is not None:
            estimator.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
        if estimator.early_stopping:
            assert score is not None
            improved = not score < estimator.best_validation_score_ + estimator.tol
        else:
            improved = not loss > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(loss, estimator.best_loss_)
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        if score is not None and score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            if estimator.early_stopping:
                estimator._best = trainer.model.snapshot()

    def _give_up(self, trainer: "Trainer") -> None:
        estimator = self.estimator
        what = "Validation score" if estimator.early_stopping else "Training loss"
        text = (
            f"{what} did not improve by more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} epochs in a row."
        )
        adaptive = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        if adaptive and trainer.learning_rate > SMALLEST_RATE:
            trainer.lr_factor /= 5
            estimator._no_improvement_count = 0
            self._say(f"{text} Setting learning rate to {trainer.learning_rate:f}")
            return
        self._say(f"{text} Stopping.")
        self.stopped = trainer.stop_training = True

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            print(text)
