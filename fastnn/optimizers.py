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
    """``p -= lr * g``."""

    kind = "sgd"

    def __init__(self, lr: LearningRate = 1e-3) -> None:
        super().__init__(lr)


class Momentum(Optimizer):
    """``v = momentum * v + g; p -= lr * v``. Polyak (1964)."""

    kind = "momentum"
    state_names = ("v",)

    def __init__(self, lr: LearningRate = 1e-3, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = momentum
        real_in("momentum", momentum, 0, 1, open_high=True)


class Nesterov(Momentum):
    """Momentum with the gradient looked up ahead. Sutskever et al. (2013)."""

    kind = "nesterov"


class AdaGrad(Optimizer):
    """Steps shrink with the sum of squared gradients. Duchi, Hazan and Singer (2011)."""

    kind = "adagrad"
    state_names = ("s",)

    def __init__(self, lr: LearningRate = 1e-2, eps: float = 1e-10) -> None:
        super().__init__(lr)
        self.eps = eps
        real_in("eps", eps, 0)


class RMSProp(Optimizer):
    """Steps shrink with a running average of squared gradients. Tieleman and Hinton (2012)."""

    kind = "rmsprop"
    state_names = ("s",)

    def __init__(self, lr: LearningRate = 1e-2, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.alpha = alpha
        self.eps = eps
        real_in("alpha", alpha, 0, 1, open_high=True)
        real_in("eps", eps, 0)


class AdaDelta(Optimizer):
    """Steps in the units of the parameters: no rate to tune. Zeiler (2012)."""

    kind = "adadelta"
    state_names = ("s", "d")

    def __init__(self, lr: LearningRate = 1.0, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(lr)
        self.rho = rho
        self.eps = eps
        real_in("rho", rho, 0, 1, open_high=True)
        real_in("eps", eps, 0)


class Adam(Optimizer):
    """Momentum and RMSProp, both corrected for their start at zero. Kingma and Ba (2014)."""

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
    """Adam with weight decay beside the gradient, not in it. Loshchilov and Hutter (2017).

    As in PyTorch, the decay applies to every parameter.
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
    """Adam that waits until its adaptive rate has a bounded variance. Liu et al. (2019)."""

    kind = "radam"


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    cls.kind: cls
    for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AdamW, RAdam)
}
