"""Learning-rate schedules: functions of the epoch.

The epoch is a real number that counts what has been trained: 0.0 at the start, 1.5 half way through
the second epoch. So a schedule means the same whatever the batch size, and is smooth where its
formula is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from fastnn.checks import real_in, shown
from fastnn.components import Component, from_config


class Schedule(Component):
    """Base of the schedules.

    A schedule of one's own need not be a subclass: any function of the epoch will do.
    """

    def __call__(self, epoch: float) -> float:
        """The learning rate at an epoch.

        Parameters
        ----------
        epoch : float
            Epochs trained so far, 0 or more.
        """
        raise NotImplementedError  # abstract: every subclass has its own


class Constant(Schedule):
    """The same learning rate always.

    Parameters
    ----------
    lr : float
        Above 0.

    Raises
    ------
    TypeError, ValueError
        `lr` is not a number, or out of range.
    """

    kind = "constant"

    def __init__(self, lr: float) -> None:
        self.lr = real_in("lr", lr, 0, open_low=True)

    def __call__(self, epoch: float) -> float:
        return self.lr


class StepDecay(Schedule):
    """``lr * factor ** floor(epoch / every)``: a drop from time to time.

    Parameters
    ----------
    lr : float
        Learning rate of the first epochs, above 0.
    every : float, default 10
        Epochs from one drop to the next, above 0.
    factor : float, default 0.1
        What the rate is multiplied by, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        An argument is not a number, or out of range.
    """

    kind = "step_decay"

    def __init__(self, lr: float, every: float = 10, factor: float = 0.1) -> None:
        self.lr = real_in("lr", lr, 0, open_low=True)
        self.every = real_in("every", every, 0, open_low=True)
        self.factor = real_in("factor", factor, 0, 1, open_low=True)

    def __call__(self, epoch: float) -> float:
        return self.lr * self.factor ** math.floor(epoch / self.every)


class ExponentialDecay(Schedule):
    """``lr * rate ** epoch``.

    Parameters
    ----------
    lr : float
        Learning rate at the start, above 0.
    rate : float, default 0.95
        What is left of it after one epoch, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        An argument is not a number, or out of range.
    """

    kind = "exponential_decay"

    def __init__(self, lr: float, rate: float = 0.95) -> None:
        self.lr = real_in("lr", lr, 0, open_low=True)
        self.rate = real_in("rate", rate, 0, 1, open_low=True)

    def __call__(self, epoch: float) -> float:
        return self.lr * self.rate**epoch


class CosineDecay(Schedule):
    """Half a cosine from `lr` down to `final`, which then stays.

    ``final + (lr - final) / 2 * (1 + cos(pi * epoch / epochs))``: equation 5 of Loshchilov and
    Hutter (2017), "SGDR: Stochastic Gradient Descent with Warm Restarts", without the restarts.

    Parameters
    ----------
    lr : float
        Learning rate at the start, above 0.
    epochs : float
        Length of the descent, above 0; as a rule what `Trainer.fit` gets as ``epochs``.
    final : float, default 0.0
        Learning rate at the end, in [0, lr].

    Raises
    ------
    TypeError, ValueError
        An argument is not a number, or out of range.
    """

    kind = "cosine_decay"

    def __init__(self, lr: float, epochs: float, final: float = 0.0) -> None:
        self.lr = real_in("lr", lr, 0, open_low=True)
        self.epochs = real_in("epochs", epochs, 0, open_low=True)
        self.final = real_in("final", final, 0, self.lr)

    def __call__(self, epoch: float) -> float:
        if epoch >= self.epochs:
            return self.final
        descent = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.final + (self.lr - self.final) * descent


class WarmUp(Schedule):
    """A straight rise from `start` to the wrapped schedule, which then goes on alone.

    Afterwards the rate is ``schedule(epoch)``, not ``schedule(epoch - epochs)``: the warm-up covers
    the beginning of the wrapped schedule and does not shift it, so ``WarmUp(CosineDecay(lr, 20))``
    ends after 20 epochs. The rise aims at ``schedule(epochs)``, so there is no jump.

    Parameters
    ----------
    schedule : float, Schedule, or function of the epoch
        What the warm-up leads to.
    epochs : float, default 1.0
        Length of the rise, above 0.
    start : float, default 0.0
        Learning rate at epoch 0, at least 0. With 0 the very first step changes no weights.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type, or out of range.
    """

    kind = "warm_up"

    def __init__(
        self,
        schedule: float | Schedule | Callable[[float], float],
        epochs: float = 1.0,
        start: float = 0.0,
    ) -> None:
        self.schedule = schedule
        self.epochs = real_in("epochs", epochs, 0, open_low=True)
        self.start = real_in("start", start, 0)
        self._wrapped = as_schedule(schedule, "schedule")

    def __call__(self, epoch: float) -> float:
        if epoch >= self.epochs:
            return self._wrapped(epoch)
        rise = self._wrapped(self.epochs) - self.start
        return self.start + rise * (epoch / self.epochs)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        settings = dict(settings)
        if isinstance(settings.get("schedule"), Mapping):
            settings["schedule"] = from_config(settings["schedule"], SCHEDULES, "schedule")
        return cls(**settings)


def as_schedule(
    lr: float | Schedule | Callable[[float], float], name: str = "lr"
) -> Callable[[float], float]:
    """What a user gave as a learning rate, as a function of the epoch.

    Parameters
    ----------
    lr : float, Schedule, or function of the epoch
        A number becomes a `Constant`; anything that can be called is returned as it is.
    name : str
        What the caller calls the argument.

    Raises
    ------
    TypeError
        Anything else; also a schedule's class in place of a schedule.
    ValueError
        A number that is not positive and finite.
    """
    if isinstance(lr, type):
        raise TypeError(f"{name} must be a schedule, not its class; write {lr.__name__}(...)")
    if callable(lr):
        return lr
    try:
        return Constant(real_in(name, lr, 0, open_low=True))
    except TypeError:
        raise TypeError(
            f"{name} must be a number, a Schedule or a function of the epoch; got {shown(lr)}"
        ) from None


SCHEDULES: dict[str, type[Schedule]] = {
    cls.kind: cls for cls in (Constant, StepDecay, ExponentialDecay, CosineDecay, WarmUp)
}
