"""L-BFGS: SciPy's minimizer on fastnn's gradients."""

import warnings
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from fastnn.checks import positive_int
from fastnn.engine import EagerEngine, Examples
from fastnn.losses import Loss
from fastnn.model import Sequential
from fastnn.optimizers import SGD
from fastnn.regularizers import L2
from fastnn.sklearn.rows import Rows
from fastnn.threads import SMALL_STEP, limited, thread_count


def fit(estimator: Any, rows: Rows) -> None:
    """Train an estimator's model; its curve, counters and losses are written.

    Raises
    ------
    TypeError, ValueError
        As `minimize`.
    """
    loss = estimator._loss()
    weights, mean = rows.relative_weights(estimator._weight_scale())
    # A model of its own, in float64 whatever the data are.
    model = estimator.model_.astype("float64")
    examples = Examples(
        rows.x.astype(np.float64, copy=False),
        loss.targets(rows.targets, len(rows.x), model.output_size, model.dtype),
        weights,
    )
    strength = estimator.alpha / (len(rows.x) * mean)
    result, curve = minimize(
        model,
        loss,
        examples,
        strength,
        estimator.max_iter,
        estimator.max_fun,
        estimator.tol,
        estimator.n_threads,
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


def minimize(
    model: Sequential,
    loss: Loss,
    examples: Examples,
    strength: float,
    max_iter: int,
    max_fun: int,
    tol: float,
    threads: int | None,
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
    weights = sum(view.size for view in model.params.values())
    team = thread_count(threads, 6.0 * len(examples) * weights, SMALL_STEP)
    engine = EagerEngine(model, loss, SGD(), L2(strength), team)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        model.flat_params[:] = flat
        return engine.gradients(examples)[0], model.flat_grads.copy()

    curve: list[float] = []

    def after_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        curve.append(float(intermediate_result.fun))

    limits: Any = {
        "maxiter": positive_int("max_iter", max_iter),
        "maxfun": positive_int("max_fun", max_fun),
        "gtol": tol,
    }
    with limited(engine.blas_threads, engine.kernels, team), np.errstate(all="ignore"):
        # Between the parameters lie gaps of the flat buffer; their gradient is 0, so they stay.
        result = scipy.optimize.minimize(
            loss_and_gradient,
            model.flat_params.copy(),
            method="L-BFGS-B",
            jac=True,
            options=limits,
            callback=after_iteration,
        )
    model.flat_params[:] = result.x
    return result, curve
