"""Initial weights. Each is drawn in float64 and rounded, so that both dtypes start alike."""

import math
from typing import Any

import numpy as np

from fastnn.checks import one_of, real_in
from fastnn.components import Component


class Initializer(Component):
    """Draws a weight matrix of shape (fan_in, fan_out)."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights of this shape, in float64."""
        raise NotImplementedError  # abstract: every subclass has its own


class Zeros(Initializer):
    """All zeros: every unit of a layer computes, and stays, the same. For showing just that."""

    kind = "zeros"

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.zeros(shape)


class Normal(Initializer):
    """Normal with mean 0 and a standard deviation of one's own."""

    kind = "normal"

    def __init__(self, std: float = 0.01) -> None:
        self.std = std
        real_in("std", std, 0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return self.std * rng.standard_normal(shape)


class Uniform(Initializer):
    """Uniform in [-limit, limit)."""

    kind = "uniform"

    def __init__(self, limit: float = 0.05) -> None:
        self.limit = limit
        real_in("limit", limit, 0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.uniform(-self.limit, self.limit, shape)


class _Scaled(Initializer):
    """A variance that keeps signals at their size from layer to layer.

    Parameters
    ----------
    distribution : {"normal", "uniform"}
    """

    def __init__(self, distribution: str = "normal") -> None:
        self.distribution = distribution
        one_of("distribution", distribution, {"normal": 0, "uniform": 0})

    def variance(self, fan_in: int, fan_out: int) -> float:
        raise NotImplementedError  # abstract: every subclass has its own

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        std = math.sqrt(self.variance(*shape))
        if self.distribution == "normal":
            return std * rng.standard_normal(shape)
        limit = math.sqrt(3) * std  # the variance of a uniform on [-a, a] is a^2 / 3
        return rng.uniform(-limit, limit, shape)


class LeCun(_Scaled):
    """Variance 1 / fan_in. LeCun et al., "Efficient BackProp" (1998), section 4.6."""

    kind = "lecun"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


class Xavier(_Scaled):
    """Variance 2 / (fan_in + fan_out): for tanh and sigmoid. Glorot and Bengio (2010), eq. 16."""

    kind = "xavier"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(_Scaled):
    """Variance 2 / fan_in: for ReLU. He et al. (2015), https://arxiv.org/abs/1502.01852, eq. 10."""

    kind = "he"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


INITIALIZERS: dict[str, type[Initializer]] = {
    cls.kind: cls for cls in (Zeros, Normal, Uniform, LeCun, Xavier, He)
}

_SHORT: dict[str, Any] = {
    "zeros": Zeros,
    "normal": Normal,
    "uniform": Uniform,
    **{cls.kind: cls for cls in (LeCun, Xavier, He)},
    **{f"{cls.kind}_normal": cls for cls in (LeCun, Xavier, He)},
    **{f"{cls.kind}_uniform": lambda cls=cls: cls("uniform") for cls in (LeCun, Xavier, He)},
}


def as_initializer(init: "str | float | Initializer") -> Initializer:
    """The initializer a user meant: an object, a name, or a standard deviation.

    Raises
    ------
    ValueError
        An unknown name, or a negative number.
    """
    if isinstance(init, Initializer):
        return init
    if isinstance(init, str):
        return one_of("init", init, _SHORT)()
    return Normal(real_in("init", init, 0))
