"""Autoencoders as a transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnn.callbacks import Callback, EarlyStopping
from fastnn.checks import one_of, positive_int, real_in
from fastnn.components import check_optional
from fastnn.errors import DivergenceError
from fastnn.layers import Layer
from fastnn.losses import Loss
from fastnn.model import Sequential
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.sklearn.randomness import generator, random_state
from fastnn.sklearn.rows import dense
from fastnn.sklearn.stochastic import NOT_FINITE
from fastnn.zoo import Autoencoder, StackedAutoencoder


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows to the codes of an autoencoder: what is left of them on the way through a narrow place.

    Parameters
    ----------
    code : int or sequence of int
        Size of the code; of several sizes the last is the code's, the others those on the way.
    activation, output, tied, loss
        As in `fastnn.Autoencoder`.
    noise : Layer, optional
        What corrupts the rows in training, for a denoising autoencoder: ``fastnn.MaskingNoise()``,
        ``fastnn.GaussianNoise()``.
    stacked : bool
        Train layer by layer, each on the codes of those below, then all together; each part for
        ``max_iter`` epochs at most.
    solver : str or Optimizer
        The name of one of fastnn's optimizers, or an object, which brings its own settings.
    learning_rate_init : float
    batch_size : int or "auto"
        "auto" is ``min(200, n_samples)``.
    max_iter : int
        Epochs at most.
    tol, n_iter_no_change
        Training ends where the loss has not fallen by ``tol`` for so many epochs in a row.
    random_state : int, RandomState or None
        Draws weights, noise and the order of the rows; None draws fresh entropy.
    callbacks : sequence of Callback
    dtype : {"float32", "float64"}, optional
        What to compute in; by default as X is.
    n_threads : int, optional

    Attributes
    ----------
    model_ : Sequential
        Noise, encoder and decoder; see `fastnn.Autoencoder.from_model`.
    loss_curve_ : list of float
        The loss of every epoch, also of those that train single layers.
    n_iter_ : int
        Its length.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names of strings.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import minmax_scale
    >>> x = minmax_scale(load_digits().data)
    >>> encoder = AutoencoderTransformer(16, output="sigmoid", random_state=0)
    >>> codes = encoder.fit_transform(x)
    >>> codes.shape, encoder.inverse_transform(codes).shape
    ((1797, 16), (1797, 64))
    """

    def __init__(
        self,
        code: int | Sequence[int] = 32,
        *,
        activation: str | None = "relu",
        output: str | None = None,
        tied: bool = False,
        noise: Layer | None = None,
        stacked: bool = False,
        loss: str | Loss = "mean_squared_error",
        solver: str | Optimizer = "adam",
        learning_rate_init: float = 0.001,
        batch_size: int | str = "auto",
        max_iter: int = 100,
        tol: float = 1e-5,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        callbacks: Sequence[Callback] = (),
        dtype: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.code = code
        self.activation = activation
        self.output = output
        self.tied = tied
        self.noise = noise
        self.stacked = stacked
        self.loss = loss
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.callbacks = callbacks
        self.dtype = dtype
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any = None) -> Any:
        """Train the autoencoder on the rows of X; y is not looked at.

        Raises
        ------
        TypeError, ValueError
            A parameter or X of the wrong type, shape or range; or training diverged.
        """
        x = self._checked(X, reset=True)
        epochs = positive_int("max_iter", self.max_iter)
        autoencoder = self._autoencoder(x)
        try:
            curve = list(autoencoder.fit(x, epochs)["loss"])
            if isinstance(autoencoder, StackedAutoencoder):
                curve += autoencoder.fine_tune(x, epochs)["loss"]
        except DivergenceError as error:
            raise ValueError(f"{NOT_FINITE} {error}") from error
        self.model_: Sequential = autoencoder.model
        self.loss_curve_: list[float] = curve
        self.n_iter_ = len(curve)
        self._code_at: int = autoencoder.encoder[-1].index
        self._n_features_out: int = autoencoder.code_size
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes, (n_samples, size of the code)."""
        check_is_fitted(self)
        return self.model_.activations(self._checked(X), until=self._code_at)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Reconstructions, (n_samples, n_features), from codes."""
        check_is_fitted(self)
        return self.model_.activations(np.asarray(X), since=self._code_at + 1)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean squared error of X's reconstructions, times -1: greater is better."""
        check_is_fitted(self)
        x = self._checked(X)
        return -float(np.mean((self.model_.predict(x) - x) ** 2))

    def _checked(self, X: Any, reset: bool = False) -> np.ndarray:
        types = (np.float64, np.float32)
        x = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=types, reset=reset)
        return dense(x, self.dtype)

    def _autoencoder(self, x: np.ndarray) -> Autoencoder:
        noise = self.noise
        check_optional("noise", noise, Layer, "MaskingNoise(0.25)")
        solver = self.solver
        if not isinstance(solver, Optimizer):
            cls: Any = one_of("solver", solver, OPTIMIZERS)
            solver = cls(self.learning_rate_init)
        auto = isinstance(self.batch_size, str) and self.batch_size == "auto"
        patience = positive_int("n_iter_no_change", self.n_iter_no_change)
        stopping = EarlyStopping(
            "loss", patience, real_in("tol", self.tol, 0), mode="min", restore_best=False
        )
        code = self.code if np.ndim(self.code) == 0 else [int(size) for size in self.code]  # type: ignore[union-attr]
        settings: Mapping[str, Any] = {
            "activation": self.activation,
            "output": self.output,
            "tied": self.tied,
            # A copy: a layer belongs to one model.
            "noise": None if noise is None else type(noise).from_settings(noise.settings()),
            "loss": self.loss,
            "rng": generator(random_state(self.random_state)),
            "dtype": x.dtype.name,
            "optimizer": solver,
            "batch_size": min(200, len(x)) if auto else positive_int("batch_size", self.batch_size),
            "threads": self.n_threads,
            "callbacks": [stopping, *self.callbacks],
            "verbose": False,
        }
        return (StackedAutoencoder if self.stacked else Autoencoder)(x.shape[1], code, **settings)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
