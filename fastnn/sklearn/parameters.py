"""Whether an estimator's parameters can be, and the optimizer they describe."""

from typing import Any

import numpy as np

from fastnn.callbacks import checked_callbacks
from fastnn.checks import name_among, one_of, positive_int, real_dtype, real_in
from fastnn.optimizers import OPTIMIZERS, SGD, Adam, Momentum, Nesterov, Optimizer

LR_NAMES = ("constant", "invscaling", "adaptive")  # or a schedule


def check_parameters(estimator: Any) -> None:
    """Refuse values that nothing else would.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong type, or out of range.
    """
    real_in("alpha", estimator.alpha, 0)
    real_in("tol", estimator.tol, 0)
    real_in("power_t", estimator.power_t, 0)
    positive_int("max_iter", estimator.max_iter)
    if estimator.n_iter_no_change != np.inf:
        positive_int("n_iter_no_change", estimator.n_iter_no_change)
    if not (isinstance(estimator.batch_size, str) and estimator.batch_size == "auto"):
        positive_int("batch_size", estimator.batch_size)
    real_in("validation_fraction", estimator.validation_fraction, 0, 1, open_high=True)
    checked_callbacks(estimator.callbacks)
    if estimator.dtype is not None:
        real_dtype(estimator.dtype)
    make_optimizer(estimator)
    if estimator.solver == "lbfgs" and estimator.dropout:
        raise ValueError("dropout needs a stochastic solver; got solver='lbfgs'")
    if estimator.solver == "lbfgs" and estimator.callbacks:
        raise ValueError("callbacks need a stochastic solver; got solver='lbfgs'")


def make_optimizer(estimator: Any) -> Optimizer:
    """The optimizer that an estimator's parameters describe.

    Raises
    ------
    TypeError, ValueError
        An unknown name, or a setting of the wrong type or out of range.
    """
    lr, solver = estimator.learning_rate, estimator.solver
    if isinstance(solver, Optimizer):
        return solver
    if not callable(lr):
        name_among("learning_rate", lr, LR_NAMES)
        lr = estimator.learning_rate_init
    if solver == "sgd":
        if estimator.momentum == 0:
            return SGD(lr)
        return (Nesterov if estimator.nesterovs_momentum else Momentum)(lr, estimator.momentum)
    cls: Any = one_of("solver", solver, OPTIMIZERS | {"lbfgs": SGD})
    if issubclass(cls, Momentum):
        return cls(lr, estimator.momentum)
    if issubclass(cls, Adam):
        return cls(lr, estimator.beta_1, estimator.beta_2, estimator.epsilon)
    return cls(lr)
