"""L-BFGS: SciPy's minimizer on fastnn's gradients."""

from typing import Any

import numpy as np
import scipy.optimize

from fastnn.checks import positive_int
from fastnn.engine import EagerEngine, Examples
from fastnn.losses import Loss
from fastnn.model import Sequential
from fastnn.optimizers import SGD
from fastnn.regularizers import L2
from fastnn.threads import SMALL_STEP, limited, thread_count


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
