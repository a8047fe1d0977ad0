"""Optimizers: settings, and one kernel call over the flat parameters.

Formulas and defaults are those of `torch.optim`. The running averages belong to the engine, which
lays them out like the parameters; an optimizer only names them.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import ClassVar

import numpy as np

from fastnn.checks import real_in
from fastnn.components import Component
from fastnn.schedules import Schedule, as_schedule

LearningRate = float | Schedule | Callable[[float], float]


class Optimizer(Component):
    """Base of the optimizers; one is its kernel's name, its running averages, its settings.

    The kernel ``<kind>_update`` takes the parameters, their gradient, the running averages, the
    learning rate, the settings in the order of ``__init__`` and, where it counts them, the step.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate; a schedule is asked at the (fractional) epoch of every step.

    Attributes
    ----------
    state_names : tuple of str
        The running averages it keeps, zero before the first step.
    counts_steps : bool
        Whether the kernel wants the number of the step, from 1.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    counts_steps: ClassVar[bool] = False

    def __init__(self, lr: LearningRate) -> None:
        self.lr = lr
        as_schedule(lr)

    def numbers(self) -> tuple[float, ...]:
        """The settings besides the learning rate, as the kernel takes them."""
        return tuple(float(value) for name, value in self.settings().items() if name != "lr")

    def update(
        self,
        kernels: ModuleType,
        p: np.ndarray,
        g: np.ndarray,
        state: Mapping[str, np.ndarray],
        lr: float,
        step: int,
    ) -> None:
        """Update ``p`` and the running averages in place.

        Parameters
        ----------
        kernels : module
            Where the update is computed.
        p, g : ndarray
            Flat parameters and their gradient.
        state : mapping
            The arrays of `state_names`, laid out like ``p``.
        lr : float
            Learning rate of this step.
        step : int
            Counts from 1.
        """
        kernel = getattr(kernels, f"{self.kind}_update")
        averages = (state[name] for name in self.state_names)
        kernel(p, g, *averages, lr, *self.numbers(), *((step,) if self.counts_steps else ()))


class SGD(Optimizer):
    """``p -= lr * g``: `torch.optim.SGD` without momentum.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "sgd"

    def __init__(self, lr: LearningRate = 1e-3) -> None:
        super().__init__(lr)


class Momentum(Optimizer):
    """``v = momentum * v + g; p -= lr * v``. Polyak (1964); `torch.optim.SGD` with ``momentum``.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    momentum : float
        What is left of the velocity v after a step, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "momentum"
    state_names = ("v",)

    def __init__(self, lr: LearningRate = 1e-3, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = momentum
        real_in("momentum", momentum, 0, 1, open_high=True)


class Nesterov(Momentum):
    """``v = momentum * v + g; p -= lr * (g + momentum * v)``: momentum that looks ahead.

    Sutskever et al. (2013), https://proceedings.mlr.press/v28/sutskever13.html, as
    `torch.optim.SGD` has it with ``nesterov=True``.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    momentum : float
        What is left of the velocity v after a step, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "nesterov"


class AdaGrad(Optimizer):
    """Steps shrink with the sum of squared gradients.

    ``s += g^2; p -= lr * g / (sqrt(s) + eps)``. Duchi, Hazan and Singer (2011),
    https://jmlr.org/papers/v12/duchi11a.html.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    eps : float
        Added to what is divided by; at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "adagrad"
    state_names = ("s",)

    def __init__(self, lr: LearningRate = 1e-2, eps: float = 1e-10) -> None:
        super().__init__(lr)
        self.eps = eps
        real_in("eps", eps, 0)


class RMSProp(Optimizer):
    """Steps shrink with a running average of squared gradients.

    ``s = alpha * s + (1 - alpha) * g^2; p -= lr * g / (sqrt(s) + eps)``. Tieleman and Hinton
    (2012), lecture 6.5 of "Neural Networks for Machine Learning".

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    alpha : float
        What is left of the average after a step, in [0, 1).
    eps : float
        Added to what is divided by; at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "rmsprop"
    state_names = ("s",)

    def __init__(self, lr: LearningRate = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.alpha = alpha
        self.eps = eps
        real_in("alpha", alpha, 0, 1, open_high=True)
        real_in("eps", eps, 0)


class AdaDelta(Optimizer):
    """Steps in the units of the parameters: no rate to tune.

    ``s = rho * s + (1 - rho) * g^2; step = g * sqrt(d + eps) / sqrt(s + eps);
    d = rho * d + (1 - rho) * step^2; p -= lr * step``. Zeiler (2012),
    https://arxiv.org/abs/1212.5701.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Factor on the steps, above 0.
    rho : float
        What is left of the averages s and d after a step, in [0, 1).
    eps : float
        Added under both roots; at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "adadelta"
    state_names = ("s", "d")

    def __init__(self, lr: LearningRate = 1.0, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(lr)
        self.rho = rho
        self.eps = eps
        real_in("rho", rho, 0, 1, open_high=True)
        real_in("eps", eps, 0)


class Adam(Optimizer):
    """Momentum and RMSProp, both corrected for their start at zero.

    ``m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2;
    p -= lr * m_hat / (sqrt(v_hat) + eps)``, where ``m_hat = m / (1 - beta1^t)`` at step t, v_hat
    alike. Kingma and Ba (2014), https://arxiv.org/abs/1412.6980, algorithm 1.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    beta1, beta2 : float
        What is left of the averages of gradients and of their squares after a step, in [0, 1).
    eps : float
        Added to what is divided by; at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "adam"
    state_names = ("m", "v")
    counts_steps = True

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(lr)
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        real_in("beta1", beta1, 0, 1, open_high=True)
        real_in("beta2", beta2, 0, 1, open_high=True)
        real_in("eps", eps, 0)


class AdamW(Adam):
    """Adam with weight decay beside the gradient, not in it.

    ``p *= 1 - lr * weight_decay``, then as `Adam`. As in PyTorch, the decay applies to every
    parameter, biases included. Loshchilov and Hutter (2017), https://arxiv.org/abs/1711.05101,
    algorithm 2.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    beta1, beta2 : float
        What is left of the averages of gradients and of their squares after a step, in [0, 1).
    eps : float
        Added to what is divided by; at least 0.
    weight_decay : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "adamw"

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps)
        self.weight_decay = weight_decay
        real_in("weight_decay", weight_decay, 0)


class RAdam(Adam):
    """Adam that waits until its adaptive rate has a bounded variance.

    Until then, a few steps, it is momentum. Liu et al. (2019), https://arxiv.org/abs/1908.03265,
    algorithm 2.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        Learning rate, above 0.
    beta1, beta2 : float
        What is left of the averages of gradients and of their squares after a step, in [0, 1).
    eps : float
        Added to what is divided by; at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "radam"


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    cls.kind: cls
    for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AdamW, RAdam)
}
