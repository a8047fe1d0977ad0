"""What the classifier and the regressor have in common."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastnn.callbacks import Callback
from fastnn.checks import positive_int, real_dtype, real_in, sequence
from fastnn.engine import Examples
from fastnn.errors import DivergenceError
from fastnn.losses import Loss
from fastnn.model import CHUNK, Sequential
from fastnn.regularizers import L2
from fastnn.sklearn import lbfgs
from fastnn.sklearn.epochs import Bookkeeping
from fastnn.sklearn.network import affine_layers, build, hidden_sizes, make_optimizer
from fastnn.trainer import Trainer

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


@dataclass(frozen=True)
class Rows:
    """Checked data: x (N, features), targets as the loss takes them, weights (N,) or None."""

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> "Rows":
        """The data of these row numbers."""
        weights = None if self.weights is None else self.weights[rows]
        return Rows(self.x[rows], self.targets[rows], weights)

    def astype(self, dtype: np.dtype[Any]) -> "Rows":
        """The data with features of this type."""
        return Rows(self.x.astype(dtype, copy=False), self.targets, self.weights)


def is_stochastic(estimator: Any) -> bool:
    """Whether `partial_fit` is there; the error says why not.

    Raises
    ------
    AttributeError
        The solver takes all rows at once.
    """
    if isinstance(estimator.solver, str) and estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is for stochastic solvers; got solver='lbfgs'")
    return True


class BaseMLP(BaseEstimator):
    """Everything but the meaning of y.

    A fitted estimator is a `fastnn.Sequential`, `model_`, of which ``coefs_`` and ``intercepts_``
    are views; who puts arrays of his own there gets them copied into the model at its next use.
    """

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    model_: Sequential
    _trainer: Trainer | None = None
    _optimizer_state: dict[str, Any] | None = None
    _learned = False  # what y looks like
    _finished = False  # has partial_fit found, with early stopping, that nothing improves?

    def _store(self, settings: Mapping[str, Any]) -> None:
        """Keep the arguments of ``__init__``, as they are."""
        for name, value in settings.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # -- what a subclass says about y --------------------------------------------------------------

    def _loss(self) -> Loss:
        raise NotImplementedError  # abstract: every subclass has its own

    def _learn_targets(self, y: Any, classes: Any) -> None:
        """Take from the first y what must stay: classes_, n_outputs_, out_activation_."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _check_continues(self, y: Any) -> None:
        """Refuse a y from which ``warm_start`` cannot go on."""

    def _targets(self, y: Any) -> np.ndarray:
        """y as the loss takes it; refuses what differs from the first."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _row_weights(self, y: Any, weights: np.ndarray | None) -> np.ndarray | None:
        """Sample weights, with those of classes."""
        return weights

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Groups of which a validation set holds equal shares."""
        return None

    def _score_on(self, held: Rows) -> float:
        """The score on validation data, NaN where outputs are not finite."""
        raise NotImplementedError  # abstract: every subclass has its own

    # -- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train until nothing improves, at most for ``max_iter`` epochs.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)
            A sparse matrix becomes a dense one.
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional
            Factors on the rows' losses, at least 0; only their ratios matter to the losses.
        X_val, y_val : optional
            Validation data: their scores and losses are recorded, and with ``early_stopping`` they
            decide, in place of a part of X.
        sample_weight_val : array-like, optional

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or an argument of the wrong type, shape or range; or training diverged.
        """
        held = (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, held, incremental=False)

    @available_if(is_stochastic)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As in `fit`. With ``early_stopping`` validation data must be given: the best model is
            kept, and once the score no longer improves, it takes the place of the last one,
            ``stopped_early_`` is True, and further calls change nothing until the next `fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        held = (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, held, incremental=True)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool,
        classes: Any = None,
    ) -> Any:
        self._check_parameters()
        given = validation[0] is not None
        if given != (validation[1] is not None):
            raise ValueError("X_val and y_val must be given together")
        if incremental and self.early_stopping and not given:
            raise ValueError(
                "partial_fit does not support early_stopping=True without X_val and y_val"
            )
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        x, y = self._validated(X, y, first)
        if first or not self._learned:
            self._learn_targets(y, classes)
            self._learned = True
        elif self.warm_start:
            self._check_continues(y)
        rows = self._rows(x, y, sample_weight)
        random = check_random_state(
            np.random.RandomState() if self.random_state is None else self.random_state
        )
        if first:
            self._begin(rows, random)
        elif incremental and self._finished:
            return self
        elif not hasattr(self, "model_"):
            self._build_around_weights(rows.x, random)
        dtype = self._sync().dtype
        rows, held = rows.astype(dtype), None
        if given:
            x_val, y_val = self._validated(*validation[:2], False)
            held = self._rows(x_val, y_val, validation[2]).astype(dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(rows)
        else:
            self._fit_epochs(rows, held, random, incremental)
        if not np.isfinite(self.model_.flat_params).all():
            raise ValueError(NOT_FINITE)
        return self

    def _check_parameters(self) -> None:
        """Refuse values that nothing below would."""
        real_in("alpha", self.alpha, 0)
        real_in("tol", self.tol, 0)
        real_in("power_t", self.power_t, 0)
        positive_int("max_iter", self.max_iter)
        if self.n_iter_no_change != np.inf:
            positive_int("n_iter_no_change", self.n_iter_no_change)
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            positive_int("batch_size", self.batch_size)
        real_in("validation_fraction", self.validation_fraction, 0, 1, open_high=True)
        for callback in sequence("callbacks", self.callbacks, "Callback objects"):
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must hold Callback objects; got {callback!r}")
        if self.dtype is not None:
            real_dtype(self.dtype)
        make_optimizer(self)
        if self.solver == "lbfgs" and self.dropout:
            raise ValueError("dropout needs a stochastic solver; got solver='lbfgs'")

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, Any]:
        x, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
            **self._y_checks(),
        )
        return self._dense(x), y

    def _y_checks(self) -> dict[str, Any]:
        return {}

    def _dense(self, x: Any) -> np.ndarray:
        x = x.toarray() if hasattr(x, "toarray") else x
        return np.ascontiguousarray(x, dtype=self.dtype)

    def _rows(self, x: np.ndarray, y: Any, sample_weight: Any) -> Rows:
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, x, dtype=np.float64)
            if (weights < 0).any():
                raise ValueError("sample_weight must be at least 0")
        weights = self._row_weights(y, weights)
        if weights is not None and not weights.any():
            raise ValueError("sample_weight must not be 0 for all rows")
        return Rows(x, self._targets(y), weights)

    def _begin(self, rows: Rows, random: np.random.RandomState) -> None:
        """A new model, and the records of its training."""
        self._build(rows.x, random)
        self.n_iter_ = self.t_ = 0
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.stopped_early_ = False
        self.best_loss_: float | None = None
        self.validation_scores_: list[float] | None = None
        self.validation_loss_curve_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self._best: dict[str, np.ndarray] | None = None

    def _open_records(self, validates: bool) -> None:
        """What this fit needs to compare with, also where the one before did not."""
        if validates and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
            self.best_validation_score_ = -np.inf
        if self.early_stopping:
            self.best_loss_ = None
            self._best = self._best or self.model_.snapshot()
        elif self.best_loss_ is None:
            self.best_loss_ = np.inf

    def _build(self, x: np.ndarray, random: np.random.RandomState) -> None:
        self.model_ = build(
            x.shape[1],
            hidden_sizes(self.hidden_layer_sizes),
            self.n_outputs_,
            self.activation,
            self.batch_norm,
            self.dropout,
            x.dtype.name,
            random,
            # Of a copy: the weights are those that scikit-learn draws.
            _generator(copy.deepcopy(random)),
        )
        self._trainer = self._optimizer_state = None
        self._show_weights()
        self.n_layers_ = len(self.coefs_) + 1

    def _show_weights(self) -> None:
        layers = affine_layers(self.model_)
        self.coefs_ = [layer.w for layer in layers]
        self.intercepts_ = [layer.b for layer in layers]

    def _build_around_weights(self, x: np.ndarray, random: np.random.RandomState) -> None:
        """A model for weights that somebody has put into an estimator never fitted."""
        weights = self.coefs_, self.intercepts_
        self._build(x, random)
        self.coefs_, self.intercepts_ = weights

    def _sync(self) -> Sequential:
        """The model, with the numbers of ``coefs_`` and ``intercepts_``."""
        layers = affine_layers(self.model_)
        own = True
        for layer, w, b in zip(layers, self.coefs_, self.intercepts_, strict=True):
            if layer.w is not w or layer.b is not b:
                layer.w[...], layer.b[...] = w, b
                own = False
        if not own:
            self._show_weights()
        return self.model_

    # -- solvers -----------------------------------------------------------------------------------

    def _fit_lbfgs(self, rows: Rows) -> None:
        loss = self._loss()
        weights, mean = _relative(rows.weights, self._weight_scale(), len(rows.x))
        # A model of its own, in float64 whatever the data are.
        model = self.model_.astype("float64")
        examples = Examples(
            rows.x.astype(np.float64, copy=False),
            loss.targets(rows.targets, len(rows.x), model.output_size, model.dtype),
            weights,
        )
        strength = self.alpha / (len(rows.x) * mean)
        result, curve = lbfgs.minimize(
            model, loss, examples, strength, self.max_iter, self.max_fun, self.tol, self.n_threads
        )
        self.model_.restore(model.snapshot())
        self.n_iter_ = min(result.nit, self.max_iter)
        self.loss_ = self.best_loss_ = float(result.fun)
        self.loss_curve_ += curve
        if result.status != 0:
            warnings.warn(
                f"lbfgs stopped before it converged, after {result.nit} iterations "
                f"({result.message}): raise max_iter, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _fit_epochs(
        self,
        rows: Rows,
        held: Rows | None,
        random: np.random.RandomState,
        incremental: bool,
    ) -> None:
        if self.early_stopping and held is None:
            rows, held = self._split(rows, random)
        self._open_records(held is not None)
        weights, mean = _relative(rows.weights, self._weight_scale(), len(rows.x))
        trainer = self._ready_trainer(len(rows.x), mean, random, incremental)
        score = None if held is None else (lambda: self._score_on(held))
        keeper = Bookkeeping(self, score)
        trainer.callbacks = [keeper, *self.callbacks]
        validation = None
        if held is not None:
            held_weights, _ = _relative(held.weights, self._weight_scale(), len(held.x))
            validation = (held.x, held.targets, held_weights)
        self.n_iter_ = 0
        try:
            trainer.fit(
                rows.x,
                rows.targets,
                1 if incremental else self.max_iter,
                validation,
                sample_weight=weights,
                shuffle=self.shuffle,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except DivergenceError as error:
            self._diverged(error, keeper, trainer)
        finally:
            trainer.callbacks = []
        self.stopped_early_ = keeper.stopped
        self._finished = keeper.stopped and incremental and self.early_stopping
        if self.early_stopping and (keeper.stopped or not incremental):
            self.model_.restore(self._best)  # type: ignore[arg-type]
        if not incremental and not keeper.stopped and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: the loss still improved after max_iter={self.max_iter} "
                "epochs",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _split(self, rows: Rows, random: np.random.RandomState) -> tuple[Rows, Rows]:
        kept, out = train_test_split(
            np.arange(len(rows.x)),
            random_state=random,
            test_size=self.validation_fraction,
            stratify=self._strata(rows.targets),
        )
        if len(out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        return rows.take(kept), rows.take(out)

    def _ready_trainer(
        self, n: int, mean_weight: float, random: np.random.RandomState, incremental: bool
    ) -> Trainer:
        """A trainer for so many rows; `partial_fit` goes on with the one there is."""
        batch_size = min(200, n) if self.batch_size == "auto" else self.batch_size
        if batch_size > n:
            warnings.warn(
                f"batch_size={batch_size} is more than the {n} rows there are; it becomes {n}",
                stacklevel=5,
            )
            batch_size = n
        # As scikit-learn has it, the penalty is divided by the rows of a batch, or their weights.
        strength = self.alpha / (batch_size * mean_weight)
        trainer = self._trainer
        if not incremental or trainer is None or trainer.model is not self.model_:
            trainer = Trainer(
                self.model_,
                self._loss(),
                make_optimizer(self),
                L2(strength),
                batch_size,
                threads=self.n_threads,
                rng=_generator(random),
                metrics=(),
                verbose=False,
            )
            if incremental and self._optimizer_state is not None:
                trainer.resume(self._optimizer_state)
            self._trainer = trainer
            self._optimizer_state = None
        trainer.batch_size = batch_size
        trainer.regularizer.strength = strength  # type: ignore[union-attr]
        return trainer

    def _diverged(self, error: DivergenceError, keeper: Bookkeeping, trainer: Trainer) -> None:
        """The trainer is back at its last good epoch; with early stopping that is no error."""
        if not self.early_stopping:
            raise ValueError(f"{NOT_FINITE} {error}") from error
        keeper.record(trainer, error.loss, None, float("nan"))
        keeper.stopped = True
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)

    def _weight_scale(self) -> float:
        """A factor on the loss, beside the penalty."""
        return 1.0

    # -- predicting --------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        """What comes out of the last affine layer, (N, n_outputs)."""
        x = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=(np.float64, np.float32),
            reset=False,
        )
        model = self._sync()
        if not hasattr(x, "tocsr"):
            return model.predict(x)
        rows = x.tocsr()
        parts = (rows[start : start + CHUNK].toarray() for start in range(0, rows.shape[0], CHUNK))
        return np.vstack([model.predict(part) for part in parts])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # -- pickling ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # What lives in native memory is written down; the weights are in the model.
        state = dict(super().__getstate__())
        if hasattr(self, "model_"):
            self._sync()
            del state["coefs_"], state["intercepts_"]
        trainer = state.pop("_trainer", None)
        if trainer is not None:
            state["_optimizer_state"] = trainer.state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            self._show_weights()


def _generator(random: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(random.randint(2**31 - 1, size=4))


def _relative(weights: np.ndarray | None, scale: float, n: int) -> tuple[np.ndarray | None, float]:
    """Weights with the mean ``scale``, or None for all 1; and the mean they had."""
    mean = 1.0 if weights is None else float(weights.mean())
    if weights is None:
        return (None if scale == 1 else np.full(n, scale)), mean
    return weights * (scale / mean), mean
