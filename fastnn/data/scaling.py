"""Preprocessing number by number: ``(x - shift) / scale``."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn.checks import one_of, real_in
from fastnn.data.preprocess import Preprocessor


def _over_rows(ndim: int) -> tuple[int, ...]:
    return (0,)


def _over_rows_and_places(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _over_a_row(ndim: int) -> tuple[int, ...]:
    return tuple(range(1, ndim))


# What a statistic is taken over, by what it is taken for.
_AXES = {"feature": _over_rows, "channel": _over_rows_and_places, "image": _over_a_row}


class _Scaling(Preprocessor):
    """Base: statistics for each feature or channel, learned; or of each image, its own."""

    array_names: ClassVar[tuple[str, ...]] = ("shift", "scale")
    shift: np.ndarray
    scale: np.ndarray

    def __init__(self, per: str = "feature") -> None:
        one_of("per", per, _AXES)
        self.per = per

    def _statistics(self, x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale over these axes, which stay with length 1; in float64."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _learn(self, x: np.ndarray) -> dict[str, np.ndarray]:
        if self.per == "channel" and x.ndim < 3:
            raise ValueError(
                "x must have shape (N, channels, ...) for per='channel'; got "
                f"{x.shape}: reshape it, as x.reshape(-1, 3, 32, 32)"
            )
        if self.per == "image":
            return {}
        shift, scale = self._statistics(x, _AXES[self.per](x.ndim))
        return {"shift": shift[0], "scale": scale[0]}

    def _apply(self, x: np.ndarray) -> np.ndarray:
        if self.per == "image":
            shift, scale = self._statistics(x, _AXES["image"](x.ndim))
        else:
            shift, scale = self.shift, self.scale
        out = np.subtract(x, shift.astype(x.dtype))
        out /= scale.astype(x.dtype)
        return out

    def inverse_transform(self, x: Any) -> np.ndarray:
        if self.per == "image":
            return super().inverse_transform(x)
        rows = self._rows(x)
        return rows * self.scale.astype(rows.dtype) + self.shift.astype(rows.dtype)

    def _shapes(self, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
        shape = self._fitted_shape()
        if self.per == "image":
            return {}
        if self.per == "channel":
            shape = (shape[0], *(1 for _ in shape[1:]))
        return {"shift": shape, "scale": shape}


class Center(_Scaling):
    """Zero mean: subtract the mean of each feature, of each channel, or of each image.

    Parameters
    ----------
    per : {"feature", "channel", "image"}
        Whose mean. Those of features and channels, (N, channels, ...), are learned from the
        training data; that of an image is its own.

    Raises
    ------
    ValueError
        Another `per`.

    Examples
    --------
    >>> Center().fit([[1.0, 4.0], [3.0, 4.0]]).transform([[2.0, 5.0]])
    array([[0., 1.]])
    """

    kind = "center"

    def _statistics(self, x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
        return mean, np.ones_like(mean)


class Standardize(_Scaling):
    """Zero mean and standard deviation 1, of each feature, channel or image.

    What is constant becomes 0. The standard deviation is that of the data, with N, not N - 1, below
    the sum, as in scikit-learn's StandardScaler.

    Parameters
    ----------
    per : {"feature", "channel", "image"}
        As in `Center`.

    Raises
    ------
    ValueError
        Another `per`.
    """

    kind = "standardize"

    def _statistics(self, x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
        std = x.std(axis=axes, keepdims=True, dtype=np.float64)
        # By rounding, the deviation of equal numbers need not be 0.
        constant = x.max(axis=axes, keepdims=True) == x.min(axis=axes, keepdims=True)
        return mean, np.where(constant, 1.0, std)


class MinMax(_Scaling):
    """Bring the training data to a range: the least to `low`, the greatest to `high`.

    What is constant becomes `low`; other data may lie outside the range.

    Parameters
    ----------
    low, high : float
    per : {"feature", "channel", "image"}
        As in `Center`.

    Raises
    ------
    TypeError, ValueError
        `low` is not below `high`, or another `per`.
    """

    kind = "min_max"

    def __init__(self, low: float = 0.0, high: float = 1.0, per: str = "feature") -> None:
        super().__init__(per)
        self.low, self.high = real_in("low", low), real_in("high", high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high; got {low!r} and {high!r}")

    def _statistics(self, x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        least = x.min(axis=axes, keepdims=True).astype(np.float64)
        extent = x.max(axis=axes, keepdims=True).astype(np.float64) - least
        # low + (x - least) / extent * (high - low), as one shift and one scale.
        scale = np.where(extent == 0, 1.0, extent) / (self.high - self.low)
        return least - self.low * scale, scale
