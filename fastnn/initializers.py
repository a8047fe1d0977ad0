"""Initial weights. Each is drawn in float64 and rounded, so that both dtypes start alike."""

import math
from typing import Any

import numpy as np

from fastnn.checks import name_among, one_of, real_in
from fastnn.components import Component


class Initializer(Component):
    """Draws a weight matrix of shape (fan_in, fan_out)."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights of this shape, in float64.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : (int, int)
            Features coming in, and units.

        Returns
        -------
        ndarray of float64
        """
        raise NotImplementedError  # abstract: every subclass has its own

    def following(self, activation: str | None) -> "Initializer":
        """What draws the weights of a layer that goes to this kind of activation, or to none."""
        return self


class Zeros(Initializer):
    """All zeros: every unit of a layer computes, and stays, the same. For showing just that."""

    kind = "zeros"

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.zeros(shape)


class ConstantInit(Initializer):
    """The same value everywhere, with the fault of `Zeros`.

    Parameters
    ----------
    value : float

    Raises
    ------
    TypeError, ValueError
        It is not a finite number.
    """

    kind = "constant"

    def __init__(self, value: float) -> None:
        self.value = value
        real_in("value", value)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.full(shape, float(self.value))


class Normal(Initializer):
    """Normal with mean 0 and a standard deviation of one's own.

    Parameters
    ----------
    std : float
        Standard deviation, at least 0.

    Raises
    ------
    TypeError, ValueError
        It is not a number, or below 0.
    """

    kind = "normal"

    def __init__(self, std: float = 0.01) -> None:
        self.std = std
        real_in("std", std, 0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return self.std * rng.standard_normal(shape)


class Uniform(Initializer):
    """Uniform in [-limit, limit).

    Parameters
    ----------
    limit : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is not a number, or out of its range.
    """

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
        name_among("distribution", distribution, ("normal", "uniform"))

    def variance(self, fan_in: int, fan_out: int) -> float:
        raise NotImplementedError  # abstract: every subclass has its own

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        std = math.sqrt(self.variance(*shape))
        if self.distribution == "normal":
            return std * rng.standard_normal(shape)
        limit = math.sqrt(3) * std  # the variance of a uniform on [-a, a] is a^2 / 3
        return rng.uniform(-limit, limit, shape)


class LeCun(_Scaled):
    """Variance 1 / fan_in. LeCun et al., "Efficient BackProp" (1998), section 4.6.

    Parameters
    ----------
    distribution : {"normal", "uniform"}

    Raises
    ------
    ValueError
        Another distribution.
    """

    kind = "lecun"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


class Xavier(_Scaled):
    """Variance 2 / (fan_in + fan_out): for tanh and sigmoid. Glorot and Bengio (2010), eq. 16.

    Parameters
    ----------
    distribution : {"normal", "uniform"}

    Raises
    ------
    ValueError
        Another distribution.
    """

    kind = "xavier"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(_Scaled):
    """Variance 2 / fan_in: for ReLU. He et al. (2015), https://arxiv.org/abs/1502.01852, eq. 10.

    Parameters
    ----------
    distribution : {"normal", "uniform"}

    Raises
    ------
    ValueError
        Another distribution.
    """

    kind = "he"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


class Orthogonal(Initializer):
    """Columns, or rows where they are fewer, at right angles and of length ``gain``.

    A matrix that is square keeps the length of every signal, and of every gradient, not only their
    size on average. Each orthogonal matrix is equally likely.

    Parameters
    ----------
    gain : float
        At least 0; ``sqrt(2)`` makes up for the half that ReLU drops.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Saxe, McClelland and Ganguli (2013), https://arxiv.org/abs/1312.6120. The signs: Mezzadri
    (2007), https://arxiv.org/abs/math-ph/0609050, section 5.
    """

    kind = "orthogonal"

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain
        real_in("gain", gain, 0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
        # The algorithm chooses the signs of r's diagonal; with positive ones q is uniform.
        q *= np.copysign(self.gain, np.diag(r))
        return q if shape[0] >= shape[1] else q.T


class AutoInit(Initializer):
    """What suits the activation that a layer goes to, through BatchNorm and dropout.

    - `He` before relu, and before leaky_relu, prelu, elu, softplus, gelu and silu, which are near
      enough to it: half of what comes is dropped. He et al. (2015), eq. 10.
    - `LeCun` before maxout: the larger of two independent numbers of mean 0 has their mean square.
    - `Xavier` before sigmoid and tanh, and where no activation follows, as at the end of a network:
      derived for units that are linear about zero. Glorot and Bengio (2010), eq. 16.

    All with normal distributions. A layer of one's own counts as no activation.
    """

    kind = "auto"

    def following(self, activation: str | None) -> Initializer:
        return _AFTER.get(activation, Xavier)()

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return self.following(None).draw(rng, shape)


_AFTER: dict[str | None, type[_Scaled]] = {
    "maxout": LeCun,
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "elu", "softplus", "gelu", "silu"), He),
}

INITIALIZERS: dict[str, type[Initializer]] = {
    cls.kind: cls
    for cls in (Zeros, ConstantInit, Normal, Uniform, LeCun, Xavier, He, Orthogonal, AutoInit)
}

_SHORT: dict[str, Any] = {
    "zeros": Zeros,
    "normal": Normal,
    "uniform": Uniform,
    "orthogonal": Orthogonal,
    "auto": AutoInit,
    **{cls.kind: cls for cls in (LeCun, Xavier, He)},
    **{f"{cls.kind}_normal": cls for cls in (LeCun, Xavier, He)},
    **{f"{cls.kind}_uniform": lambda cls=cls: cls("uniform") for cls in (LeCun, Xavier, He)},
}


def as_initializer(init: "str | float | Initializer") -> Initializer:
    """The initializer a user meant: an object, a name, or a standard deviation.

    Raises
    ------
    TypeError, ValueError
        An unknown name, or a class in place of one; a negative number; something else.
    """
    if isinstance(init, Initializer):
        return init
    if isinstance(init, (str, type)):
        return one_of("init", init, _SHORT)()
    return Normal(real_in("init", init, 0))
