"""The course's optimizers: ``update(params, grads)`` of dicts, with the course's formulas.

They differ from `fastnn.optimizers`, which follow PyTorch, in details: a velocity contains the
learning rate, and what keeps a division finite is 1e-7, outside the root and, in Adam, outside the
correction of the averages.
"""

from collections.abc import MutableMapping
from types import ModuleType
from typing import Any

import numpy as np

from fastnn.backend import get_backend
from fastnn.checks import real_in

EPS = 1e-7


class Optimizer:
    """Base: from dicts of arrays to kernel calls on flat memory, with running averages by name.

    Parameters
    ----------
    lr : float
        Learning rate; an attribute, which may be changed between updates.

    Attributes
    ----------
    iter : int
        Updates done.
    averages : dict
        Name of an average and of a parameter to the running average, flat.
    """

    average_names: tuple[str, ...] = ()

    def __init__(self, lr: float) -> None:
        self.lr = real_in("lr", lr, 0)
        self.iter = 0
        self.averages: dict[tuple[str, str], np.ndarray] = {}
        self._kernels: ModuleType = get_backend().kernels

    def update(self, params: MutableMapping[str, Any], grads: MutableMapping[str, Any]) -> None:
        """One step downhill.

        Parameters
        ----------
        params : dict
            Name to array, changed in place; Python numbers are replaced.
        grads : dict
            Name to gradient, of the parameter's shape.

        Raises
        ------
        TypeError, ValueError
            A parameter that is not floating-point; a gradient that is missing or of another shape.
        """
        self.iter += 1
        for name, value in params.items():
            p = _flat(name, value)
            if name not in grads:
                raise ValueError(f"grads must have a gradient of each parameter; {name!r} has none")
            g = np.asarray(grads[name], p.dtype)
            if g.shape != np.shape(value):
                raise ValueError(
                    f"grads[{name!r}] must have shape {np.shape(value)}, its parameter's; "
                    f"got {g.shape}"
                )
            self._step(name, p, g.reshape(-1))
            if not isinstance(value, np.ndarray):
                params[name] = p[0]
            elif not np.shares_memory(p, value):
                value[...] = p.reshape(value.shape)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which cannot take a module."""
        return {name: value for name, value in vars(self).items() if name != "_kernels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kernels = get_backend().kernels

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        """Update one flat parameter in place."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _average(self, what: str, name: str, p: np.ndarray) -> np.ndarray:
        """A running average of this parameter, zero before the first update."""
        key = what, name
        if key not in self.averages or self.averages[key].shape != p.shape:
            self.averages[key] = np.zeros_like(p)
        return self.averages[key]


class SGD(Optimizer):
    """``p -= lr * g``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        self._kernels.sgd_update(p, g, self.lr)


class Momentum(Optimizer):
    """``v = momentum * v - lr * g; p += v``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.
    momentum : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    average_names = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = real_in("momentum", momentum, 0, 1, open_high=True)

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        # With lr in the gradient and 1 as the rate, the kernel's velocity is -v.
        v = self._average("v", name, p)
        self._kernels.momentum_update(p, self.lr * g, v, 1.0, self.momentum)


class Nesterov(Momentum):
    """``v' = momentum * v - lr * g; p += momentum * v' - lr * g``.

    In terms of the velocity before the update, ``p += momentum^2 * v - (1 + momentum) * lr * g``.
    Early printings of the course updated v first and used it as if it were the old one, which
    counts the momentum once more; this is the correct form: Bengio, Boulanger-Lewandowski and
    Pascanu (2012), https://arxiv.org/abs/1212.0901, equations 6 and 7.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.
    momentum : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        v = self._average("v", name, p)
        self._kernels.nesterov_update(p, self.lr * g, v, 1.0, self.momentum)


class AdaGrad(Optimizer):
    """``h += g^2; p -= lr * g / (sqrt(h) + 1e-7)``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    average_names = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        self._kernels.adagrad_update(p, g, self._average("h", name, p), self.lr, EPS)


class RMSprop(Optimizer):
    """``h = decay * h + (1 - decay) * g^2; p -= lr * g / (sqrt(h) + 1e-7)``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.
    decay_rate : float
        The decay, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    average_names = ("h",)

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr)
        self.decay_rate = real_in("decay_rate", decay_rate, 0, 1, open_high=True)

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        h = self._average("h", name, p)
        self._kernels.rmsprop_update(p, g, h, self.lr, self.decay_rate, EPS)


class Adam(Optimizer):
    """``m += (1 - beta1) (g - m); v += (1 - beta2) (g^2 - v); p -= lr_t * m / (sqrt(v) + 1e-7)``.

    With ``lr_t = lr * sqrt(1 - beta2^t) / (1 - beta1^t)``, t counting from 1: the shorter form at
    the end of section 2 of Kingma and Ba (2014), https://arxiv.org/abs/1412.6980.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0; an attribute, which may be changed between updates.
    beta1, beta2 : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    average_names = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr)
        self.beta1 = real_in("beta1", beta1, 0, 1, open_high=True)
        self.beta2 = real_in("beta2", beta2, 0, 1, open_high=True)

    def _step(self, name: str, p: np.ndarray, g: np.ndarray) -> None:
        # The kernel corrects v before the root, and adds eps after: it gets the eps that is 1e-7
        # once the correction is cancelled.
        eps = EPS / np.sqrt(1 - self.beta2**self.iter)
        m, v = self._average("m", name, p), self._average("v", name, p)
        self._kernels.adam_update(p, g, m, v, self.lr, self.beta1, self.beta2, eps, self.iter)


def _flat(name: str, value: Any) -> np.ndarray:
    """A parameter as one axis of float32 or float64: its own memory if the kernels can take it."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" or not value.flags.writeable:
            kind = value.dtype if value.flags.writeable else "a read-only array"
            raise TypeError(f"params[{name!r}] must be a writable floating-point array; got {kind}")
        dtype = value.dtype if value.dtype.name in ("float32", "float64") else np.float64
        return np.require(value, dtype, ["C_CONTIGUOUS", "ALIGNED"]).reshape(-1)
    if isinstance(value, (float, int, np.floating, np.integer)):
        return np.array([value], np.float64)
    raise TypeError(f"params[{name!r}] must be an array or a number; got {type(value).__name__}")
