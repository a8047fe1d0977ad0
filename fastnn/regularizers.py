"""Penalties on weights, added to the loss; never on biases, gamma or beta."""

from types import ModuleType

import numpy as np

from fastnn.checks import real_in
from fastnn.components import Component


class Regularizer(Component):
    """A penalty on a weight array; of the whole model (`Trainer`) or of one layer."""

    def penalty(self, kernels: ModuleType, w: np.ndarray, dw: np.ndarray | None) -> float:
        """The penalty of w; its gradient is added to dw, unless that is None.

        Parameters
        ----------
        kernels : module
            Those of the model's backend; NumPy alone will do.
        w : ndarray
            The weights of a layer, of any shape.
        dw : ndarray, of the same shape, or None
            Their gradient, to be added to.

        Returns
        -------
        float
        """
        raise NotImplementedError  # abstract: every subclass has its own


class L1(Regularizer):
    """``strength * sum |w|``: drives weights to exactly zero's neighbourhood.

    Parameters
    ----------
    strength : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "l1"

    def __init__(self, strength: float = 1e-5) -> None:
        self.strength = strength
        real_in("strength", strength, 0)

    def penalty(self, kernels: ModuleType, w: np.ndarray, dw: np.ndarray | None) -> float:
        return kernels.l1_penalty(w, self.strength, dw)


class L2(Regularizer):
    """``strength / 2 * sum w^2``, whose gradient is ``strength * w``: weight decay.

    Parameters
    ----------
    strength : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "l2"

    def __init__(self, strength: float = 1e-4) -> None:
        self.strength = strength
        real_in("strength", strength, 0)

    def penalty(self, kernels: ModuleType, w: np.ndarray, dw: np.ndarray | None) -> float:
        return kernels.l2_penalty(w, self.strength, dw)


class ElasticNet(Regularizer):
    """``l1 * sum |w| + l2 / 2 * sum w^2``. Zou and Hastie (2005).

    Parameters
    ----------
    l1, l2 : float
        Strengths of the two penalties, at least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

    kind = "elastic_net"

    def __init__(self, l1: float = 1e-5, l2: float = 1e-4) -> None:
        self.l1 = l1
        self.l2 = l2
        real_in("l1", l1, 0)
        real_in("l2", l2, 0)

    def penalty(self, kernels: ModuleType, w: np.ndarray, dw: np.ndarray | None) -> float:
        return kernels.l1_penalty(w, self.l1, dw) + kernels.l2_penalty(w, self.l2, dw)


REGULARIZERS: dict[str, type[Regularizer]] = {cls.kind: cls for cls in (L1, L2, ElasticNet)}
