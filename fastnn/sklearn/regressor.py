"""The regressor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from fastnn.callbacks import Callback
from fastnn.losses import Huber, Loss, MeanAbsoluteError, SumSquaredError, as_loss
from fastnn.optimizers import Optimizer
from fastnn.schedules import Schedule
from fastnn.sklearn.base import BaseMLP
from fastnn.sklearn.poisson import HalfPoissonDeviance
from fastnn.sklearn.rows import Rows

_LOSSES: dict[str, type[Loss]] = {
    "squared_error": SumSquaredError,
    "poisson": HalfPoissonDeviance,
    "absolute_error": MeanAbsoluteError,
    "huber": Huber,
}


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron that predicts one number, or several.

    A drop-in for `sklearn.neural_network.MLPRegressor`; see `MLPClassifier` for the parameters and
    attributes not named here, and for what differs.

    Parameters
    ----------
    loss : str or Loss
        "squared_error", half the square, summed over outputs; "poisson", half the deviance of
        counts, whose predictions are the exponentials of the outputs; "absolute_error" and "huber",
        which outliers move less; or an object, as ``fastnn.Huber(delta=0.5)``.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, \
power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, \
early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun, \
batch_norm, dropout, callbacks, dtype, n_threads
        As in `MLPClassifier`. Validation scores are those of `score`, R^2.

    Attributes
    ----------
    out_activation_ : {"identity", "exp"}

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> x, y = make_friedman1(500, random_state=0)
    >>> regressor = MLPRegressor(
    ...     loss="huber", learning_rate_init=0.02, early_stopping=True, random_state=0
    ... )
    >>> regressor.fit(x, y).score(x, y) > 0.7
    True
    """

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        batch_norm: bool = False,
        dropout: float = 0.0,
        callbacks: Sequence[Callback] = (),
        dtype: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._store(locals())

    def _y_checks(self) -> dict[str, Any]:
        return {"y_numeric": True}

    def _learn_targets(self, y: Any, classes: Any) -> None:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self.out_activation_ = (
            "exp" if isinstance(self._loss(), HalfPoissonDeviance) else "identity"
        )

    def _targets(self, y: Any) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        rows = y.reshape(len(y), -1)
        if rows.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y must have {self.n_outputs_} numbers for each sample, as at the first call; "
                f"got {rows.shape[1]}"
            )
        return rows

    def _loss(self) -> Loss:
        return as_loss(self.loss, _LOSSES)

    def _check_loss(self) -> None:
        if self._loss().classifies:
            raise ValueError(f"loss must compare numbers with numbers; got {self.loss!r}")

    def _numbers(self, out: np.ndarray) -> np.ndarray:
        if self.out_activation_ == "exp":
            with np.errstate(over="ignore"):
                return np.exp(out)
        return out

    def _score_on(self, held: Rows) -> float:
        out = self._numbers(self.model_.predict_rows(held.x))
        if not np.isfinite(out).all():
            return float("nan")
        return float(r2_score(held.targets, out, sample_weight=held.weights))

    def predict(self, X: Any) -> np.ndarray:
        """Numbers.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        out = self._numbers(self._outputs(X))
        return out[:, 0] if self.n_outputs_ == 1 else out

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
