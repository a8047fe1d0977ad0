"""The classifier."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from fastnn.callbacks import Callback
from fastnn.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from fastnn.optimizers import Optimizer
from fastnn.schedules import Schedule
from fastnn.sklearn.base import BaseMLP, is_stochastic
from fastnn.sklearn.rows import Rows, dense


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron that tells classes apart, or gives each sample several labels.

    A drop-in for `sklearn.neural_network.MLPClassifier`: its parameters come first, with its
    names, its defaults and its meanings, and the same seed begins from the same weights.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        Units of each hidden layer.
    activation : str or sequence of str
        "relu", "identity", "logistic", "tanh", or another of fastnn's, as "gelu"; one name, or one
        for each hidden layer.
    solver : str or Optimizer
        "adam", "sgd" (with ``momentum``), "lbfgs" (all rows at once), the name of another of
        fastnn's optimizers, as "adamw", or an object, which brings its own settings.
    alpha : float
        Strength of the L2 penalty on the weights: ``alpha / 2 * sum(w^2)`` divided by the rows of
        a batch is added to the loss.
    batch_size : int or "auto"
        "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, Schedule, or function of the epoch
        The names matter to ``solver="sgd"`` only: "invscaling" divides the rate by
        ``(t_ + 1) ** power_t`` after each epoch, "adaptive" by 5 where the fit would stop. A
        schedule is for every solver but "lbfgs", in place of ``learning_rate_init``.
    learning_rate_init : float
        The rate; also for solvers whose usual one is another, as "adadelta".
    power_t : float
    max_iter : int
        Epochs at most; iterations of "lbfgs".
    shuffle : bool
        A new order of the rows in every epoch.
    random_state : int, RandomState or None
        Draws weights, validation data, orders and dropout masks. None draws fresh entropy: NumPy's
        global state is neither read nor changed.
    tol : float
        What counts as an improvement.
    verbose : bool
        Print a line for every epoch.
    warm_start : bool
        `fit` goes on with the weights there are.
    momentum : float
        In [0, 1).
    nesterovs_momentum : bool
    early_stopping : bool
        Hold out ``validation_fraction`` of the rows, an equal share of every class, stop where
        their score no longer improves, and keep the best model; "lbfgs" does not look at it.
    validation_fraction : float
    beta_1, beta_2, epsilon : float
        Of Adam and its kin.
    n_iter_no_change : int or inf
        Epochs in a row without improvement that are put up with.
    max_fun : int
        Evaluations of the loss at most, by "lbfgs".
    batch_norm : bool
        BatchNorm before each activation.
    dropout : float
        Share of the hidden units that is dropped in training.
    class_weight : dict, list of dict, "balanced" or None
        Factor on the losses of each class, and on its share in validation scores; "balanced" makes
        up for classes being rare. Several labels to a sample take a dict for each label, and the
        product of the factors.
    callbacks : sequence of Callback
        See `fastnn.Callback`; the stopping rules above are at work besides. Not with "lbfgs".
    dtype : {"float32", "float64"}, optional
        What to compute in; by default as X is. float32 is about twice as fast.
    n_threads : int, optional
        As the trainer's ``threads``; the result does not depend on it where the engine is native.

    Attributes
    ----------
    classes_ : ndarray
        Labels; for several labels to a sample, the numbers of the columns.
    coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_out) and biases of each affine layer: views of the model's.
    model_ : Sequential
        The network, to be saved, inspected, or trained further by a `fastnn.Trainer`.
    loss_, best_loss_ : float
        The last and the least loss of an epoch; the least is None with early stopping.
    loss_curve_ : list of float
        One for each epoch, or iteration of "lbfgs".
    validation_scores_, validation_loss_curve_ : list of float, or None
        One for each epoch, or iteration of "lbfgs", with early stopping or validation data given
        to `fit`.
    best_validation_score_ : float or None
    stopped_early_ : bool
        Whether the last fit ended because nothing improved.
    n_iter_ : int
        Epochs of the last fit.
    t_ : int
        Samples trained on.
    n_features_in_, n_layers_, n_outputs_ : int
    feature_names_in_ : ndarray of str
        Where X had names of strings.
    out_activation_ : {"logistic", "softmax"}

    Notes
    -----
    What differs from scikit-learn: orders of rows come from another generator; validation data
    are stratified for three and more classes too, where there are enough rows of each; the last,
    shorter batch of an epoch is penalized like the others; sample weights are brought to a mean of
    1 over all rows, not within each batch; training that diverges raises at once.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> data = load_digits(return_X_y=True)
    >>> x, x_test, y, y_test = train_test_split(*data, random_state=0)
    >>> classifier = MLPClassifier(batch_norm=True, early_stopping=True, random_state=0)
    >>> classifier.fit(x, y).score(x_test, y_test) > 0.95
    True
    """

    def __init__(
        self,
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
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | str | None = None,
        callbacks: Sequence[Callback] = (),
        dtype: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._store(locals())

    @available_if(is_stochastic)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
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
            ``stopped_early_`` is True, and further calls change nothing.
        classes : array-like
            All labels there will be; at the first call only, or the same again.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As `fit`; no classes at the first call, or others later.
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}; got {classes}"
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all rows: partial_fit takes a dict, which "
                "sklearn.utils.class_weight.compute_class_weight gives"
            )
        held = (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, held, incremental=True, classes=classes)

    # -- y -----------------------------------------------------------------------------------------

    def _learn_targets(self, y: Any, classes: Any) -> None:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError(
                "y must hold one class for each sample, or a yes or no, 1 or 0, for each of several"
                " labels; several columns of classes are not supported"
            )
        self._multilabel = kind == "multilabel-indicator"
        self._sparse_y = issparse(y)
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
            self.n_outputs_ = y.shape[1]
        else:
            self.classes_ = unique_labels(y if classes is None else classes)
            self.n_outputs_ = 1 if len(self.classes_) <= 2 else len(self.classes_)
        single = self._multilabel or self.n_outputs_ == 1
        self.out_activation_ = "logistic" if single else "softmax"

    def _check_continues(self, y: Any) -> None:
        found = np.arange(y.shape[1]) if self._multilabel else unique_labels(y)
        if not np.array_equal(found, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {found}"
            )

    def _targets(self, y: Any) -> np.ndarray:
        if self._multilabel:
            y = dense(y)
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(
                    f"y must have {self.n_outputs_} columns, a yes or no in each; got {y.shape}"
                )
            return y.astype(bool)
        y = column_or_1d(y, warn=True)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has classes {unknown}, which are not among {self.classes_}")
        labels = np.searchsorted(self.classes_, y)
        return labels.astype(bool) if self.n_outputs_ == 1 else labels

    def _row_weights(self, y: Any, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        of_class = compute_sample_weight(self.class_weight, dense(y))
        return of_class if weights is None else weights * of_class

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        if self._multilabel:
            return None
        if self.n_outputs_ == 1:
            return targets[:, None]
        counts = np.bincount(targets)
        held = len(targets) * self.validation_fraction
        enough = counts[counts > 0].min() > 1 and min(held, len(targets) - held) >= len(counts)
        return targets if enough else None

    def _loss(self) -> Loss:
        return BinaryCrossEntropy() if self.out_activation_ == "logistic" else SoftmaxCrossEntropy()

    def _weight_scale(self) -> float:
        # The loss is a mean over labels; scikit-learn's is their sum.
        return float(self.n_outputs_) if self._multilabel else 1.0

    def _score_on(self, held: Rows) -> float:
        out = self.model_.predict_rows(held.x)
        if not np.isfinite(out).all():
            return float("nan")
        right = self._decide(out) == held.targets
        right = right.all(axis=1) if right.ndim == 2 else right
        return float(np.average(right, weights=held.weights))

    # -- predicting --------------------------------------------------------------------------------

    def _decide(self, out: np.ndarray) -> np.ndarray:
        """Outputs as targets: labels, or yes and no."""
        if self.out_activation_ == "softmax":
            return out.argmax(axis=1)
        return out > 0 if self._multilabel else out[:, 0] > 0

    def predict(self, X: Any) -> Any:
        """Classes.

        Parameters
        ----------
        X : array-like or sparse matrix, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_labels)
            Of several labels to a sample 1 or 0 for each, sparse if y was.
        """
        check_is_fitted(self)
        labels = self._decide(self._outputs(X)).astype(int)
        if self._multilabel:
            return csr_matrix(labels) if self._sparse_y else labels
        if len(self.classes_) == 1:
            return np.repeat(self.classes_, len(labels))
        return self.classes_[labels]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, (n_samples, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        out = self._outputs(X)
        if self.out_activation_ == "softmax":
            return softmax(out, axis=1)
        if self._multilabel:
            return expit(out)
        if len(self.classes_) == 1:
            return np.ones_like(out)
        return np.hstack([expit(-out), expit(out)])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of `predict_proba`, exact where a probability is too small for a float."""
        check_is_fitted(self)
        out = self._outputs(X)
        if self.out_activation_ == "softmax":
            return log_softmax(out, axis=1)
        if self._multilabel:
            # Above one half rounded as the probability is, so that both rank labels alike.
            return np.where(out > 0, np.log(expit(np.maximum(out, 0))), log_expit(out))
        if len(self.classes_) == 1:
            return np.zeros_like(out)
        return np.hstack([log_expit(-out), log_expit(out)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
