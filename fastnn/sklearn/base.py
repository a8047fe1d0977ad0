"""What the classifier and the regressor have in common."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastnn.losses import Loss
from fastnn.model import CHUNK, Sequential
from fastnn.sklearn import lbfgs, stochastic
from fastnn.sklearn.epochs import new_records
from fastnn.sklearn.network import affine_layers, build, hidden_sizes
from fastnn.sklearn.parameters import check_parameters
from fastnn.sklearn.randomness import random_state
from fastnn.sklearn.rows import Rows, dense
from fastnn.trainer import Trainer


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

    def _check_loss(self) -> None:
        """Refuse a loss that y cannot be for."""

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

    def _weight_scale(self) -> float:
        """A factor on the loss, beside the penalty."""
        return 1.0

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
        check_parameters(self)
        self._check_loss()
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
        random = random_state(self.random_state)
        if first:
            self._build(rows.x, random)
            new_records(self)
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
            lbfgs.fit(self, rows, held)
        else:
            stochastic.fit(self, rows, held, random, incremental)
        if not np.isfinite(self.model_.flat_params).all():
            raise ValueError(stochastic.NOT_FINITE)
        return self

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
        return dense(x, self.dtype), y

    def _y_checks(self) -> dict[str, Any]:
        return {}

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
