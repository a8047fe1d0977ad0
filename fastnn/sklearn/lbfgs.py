"""L-BFGS: SciPy's minimizer on fastnn's gradients."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from fastnn.checks import positive_int
from fastnn.engine import EagerEngine
from fastnn.examples import Examples
from fastnn.losses import Loss
from fastnn.model import Sequential
from fastnn.optimizers import SGD
from fastnn.regularizers import L2
from fastnn.sklearn.epochs import open_validation
from fastnn.sklearn.rows import Rows
from fastnn.threads import SMALL_STEP, limited, thread_count


def fit(estimator: Any, rows: Rows, held: Rows | None) -> None:
    """Train an estimator's model; its curves, counters and losses are written.

    Parameters
    ----------
    estimator : BaseMLP
    rows : Rows
    held : Rows, optional
        Validation data: their loss and score are recorded after every iteration.

    Raises
    ------
    TypeError, ValueError
        As `minimize`.
    """
    loss = estimator._loss()
    # A model of its own, in float64 whatever the data are.
    model = estimator.model_.astype("float64")
    scale = estimator._weight_scale()
    examples, mean = _examples(rows, loss, model, scale)
    strength = estimator.alpha / (len(rows.x) * mean)

    validate = None if held is None else _validation(estimator, held, loss, model, scale)
    result, curve = minimize(
        model,
        loss,
        examples,
        strength,
        estimator.max_iter,
        estimator.max_fun,
        estimator.tol,
        estimator.n_threads,
        validate,
    )
    estimator.model_.restore(model.snapshot())
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    estimator.loss_ = estimator.best_loss_ = float(result.fun)
    estimator.loss_curve_ += curve
    if result.status != 0:
        warnings.warn(
            f"lbfgs stopped before it converged, after {result.nit} iterations "
            f"({result.message}): raise max_iter, or scale the data",
            ConvergenceWarning,
            stacklevel=4,
        )


def _validation(
    estimator: Any, held: Rows, loss: Loss, model: Sequential, scale: float
) -> Callable[[EagerEngine], None]:
    """What records the loss and the score of validation data, after an iteration."""
    examples, _ = _examples(held, loss, model, scale)
    open_validation(estimator)

    def validate(engine: EagerEngine) -> None:
        estimator.model_.restore(model.snapshot())
        score = estimator._score_on(held)
        estimator.validation_loss_curve_.append(engine.evaluate(examples, {})["loss"])
        estimator.validation_scores_.append(score)
        estimator.best_validation_score_ = max(estimator.best_validation_score_, score)

    return validate


def _examples(rows: Rows, loss: Loss, model: Sequential, scale: float) -> tuple[Examples, float]:
    """Rows as an engine takes them, and the mean of their weights."""
    weights, mean = rows.relative_weights(scale)
    x = rows.x.astype(model.dtype, copy=False)
    targets = loss.targets(rows.targets, len(x), model.output_size, model.dtype)
    return Examples(x, targets, weights), mean


def minimize(
    model: Sequential,
    loss: Loss,
    examples: Examples,
    strength: float,
    max_iter: int,
    max_fun: int,
    tol: float,
    threads: int | None,
    after_iteration: Callable[[EagerEngine], None] | None = None,
) -> tuple[scipy.optimize.OptimizeResult, list[float]]:
    """Move a model's parameters to a minimum of the loss over all rows.

    Parameters
    ----------
    model : Sequential
        Of float64: a line search in float32 soon sees nothing but rounding.
    loss : Loss
    examples : Examples
    strength : float
        Of the L2 penalty.
    max_iter, max_fun : int
        Iterations and evaluations at most.
    tol : float
        The largest gradient that counts as zero.
    threads : int, optional
    after_iteration : callable, optional
        Called with an engine of the model, which is at the point reached.

    Returns
    -------
    result : OptimizeResult
    curve : list of float
        The loss after each iteration.

    Raises
    ------
    TypeError, ValueError
        A limit is not an integer of at least 1.
    """
    weights = model.parameter_count
    team = thread_count(threads, 6.0 * len(examples) * weights, SMALL_STEP)
    engine = EagerEngine(model, loss, SGD(), L2(strength), team)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        model.flat_params[:] = flat
        return engine.gradients(examples)[0], model.flat_grads.copy()

    curve: list[float] = []

    def record(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        curve.append(float(intermediate_result.fun))
        if after_iteration is not None:
            after_iteration(engine)  # a line search ends at the point it has evaluated last

    limits: Any = {
        "maxiter": positive_int("max_iter", max_iter),
        "maxfun": positive_int("max_fun", max_fun),
        "gtol": tol,
    }
    with limited(engine.kernels, team), np.errstate(all="ignore"):
        # Between the parameters lie gaps of the flat buffer; their gradient is 0, so they stay.
        result = scipy.optimize.minimize(
            loss_and_gradient,
            model.flat_params.copy(),
            method="L-BFGS-B",
            jac=True,
            options=limits,
            callback=record,
        )
    model.flat_params[:] = result.x
    return result, curve
