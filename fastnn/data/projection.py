"""Preprocessing along the principal axes of the data: PCA and whitening."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn.checks import name_among, positive_int, real_in
from fastnn.data.preprocess import Preprocessor

CHUNK = 4096  # rows of the data that are there in float64 at a time


class _Projection(Preprocessor):
    """Base: the mean, the principal axes by falling variance, and the variances along them.

    Attributes
    ----------
    mean : ndarray, (features,)
    axes : ndarray, (components, features)
        Orthonormal rows; of each, the entry largest in size is positive.
    variances : ndarray, (components,)
        With N - 1 below the sum, as in scikit-learn's PCA.
    """

    array_names: ClassVar[tuple[str, ...]] = ("mean", "axes", "variances")
    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    components: int | float | None

    def _learn(self, x: np.ndarray) -> dict[str, np.ndarray]:
        rows = x.reshape(len(x), -1)
        if len(rows) < 2:
            raise ValueError("x must have at least two rows for its variances; got 1")
        mean = rows.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean).all():
            return {"mean": mean}  # refused by fit
        axes, variances = _principal_axes(rows, mean)
        count = self._count(variances)
        return {"mean": mean, "axes": axes[:count], "variances": variances[:count]}

    def _count(self, variances: np.ndarray) -> int:
        """How many axes to keep."""
        if self.components is None:
            return len(variances)
        if isinstance(self.components, float):
            held, wanted = np.cumsum(variances), self.components * variances.sum()
            # Rounding may keep the last sum below what is wanted.
            return min(int(np.searchsorted(held, wanted)) + 1, len(variances))
        if self.components > len(variances):
            raise ValueError(
                f"components must be at most {len(variances)}, the least of rows and features; "
                f"got {self.components}"
            )
        return self.components

    def _shapes(self, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
        features = int(np.prod(self._fitted_shape(), dtype=object))
        count = arrays["variances"].size if "variances" in arrays else 0
        return {"mean": (features,), "axes": (count, features), "variances": (count,)}

    def _along_axes(self, x: np.ndarray) -> np.ndarray:
        rows = x.reshape(len(x), -1) - self.mean.astype(x.dtype)
        return rows @ self.axes.T.astype(x.dtype)

    def _from_axes(self, along: np.ndarray) -> np.ndarray:
        rows = along @ self.axes.astype(along.dtype) + self.mean.astype(along.dtype)
        return rows.reshape(len(rows), *self._fitted_shape())

    def _coordinates(self, x: Any) -> np.ndarray:
        """What `transform` returned, checked."""
        self._fitted_shape()
        rows = np.asarray(x)
        if rows.ndim != 2 or rows.shape[1] != len(self.axes) or rows.dtype.kind != "f":
            raise ValueError(
                f"x must be what transform returned, of shape (N, {len(self.axes)}); got "
                f"{rows.dtype} of shape {rows.shape}"
            )
        return rows


class PCA(_Projection):
    """Principal component analysis: coordinates along the axes of largest variance.

    The axes are the eigenvectors of the covariance matrix, or the right singular vectors of the
    centered data where there are fewer rows than features, as in scikit-learn's PCA.

    Parameters
    ----------
    components : int or float, optional
        How many axes to keep; in (0, 1), as many as hold that share of the variance; None keeps
        all.

    Raises
    ------
    TypeError, ValueError
        A number out of range; in `fit`, more components than there are.

    References
    ----------
    I. T. Jolliffe (2002), "Principal Component Analysis", 2nd edition.
    """

    kind = "pca"

    def __init__(self, components: int | float | None = None) -> None:
        self.components = _checked_components(components)

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return self._along_axes(x)

    def inverse_transform(self, x: Any) -> np.ndarray:
        return self._from_axes(self._coordinates(x))


class Whiten(_Projection):
    """Whitening: features without correlation and with variance 1.

    Along the principal axes, ``z = (x - mean) V / sqrt(variance + eps)``; ZCA turns the result back
    to where the features were, ``z V^T``, so that whitened images still look like images.

    Parameters
    ----------
    method : {"pca", "zca"}
    components : int or float, optional
        As in `PCA`.
    eps : float
        Added to the variances: directions in which there is next to nothing are not blown up.

    Raises
    ------
    TypeError, ValueError
        As `PCA`; a negative `eps`, another `method`.

    References
    ----------
    A. J. Bell and T. J. Sejnowski (1997), "The 'independent components' of natural scenes are edge
    filters"; A. Kessy, A. Lewin and K. Strimmer (2018), "Optimal whitening and decorrelation".
    """

    kind = "whiten"

    def __init__(
        self, method: str = "pca", components: int | float | None = None, eps: float = 1e-5
    ) -> None:
        name_among("method", method, ("pca", "zca"))
        self.method = method
        self.components = _checked_components(components)
        self.eps = real_in("eps", eps, 0)

    def deviations(self, dtype: Any = np.float64) -> np.ndarray:
        """What each coordinate along the axes is divided by, (components,)."""
        # Without eps, a direction of variance 0, or below by rounding, is left as it is: it is 0.
        variances = np.maximum(self.variances, 0) + self.eps
        return np.sqrt(np.where(variances == 0, 1.0, variances)).astype(dtype)

    def _apply(self, x: np.ndarray) -> np.ndarray:
        white = self._along_axes(x)
        white /= self.deviations(white.dtype)
        if self.method == "pca":
            return white
        return (white @ self.axes.astype(white.dtype)).reshape(x.shape)

    def inverse_transform(self, x: Any) -> np.ndarray:
        if self.method == "pca":
            white = self._coordinates(x)
        else:
            rows = self._rows(x)
            white = rows.reshape(len(rows), -1) @ self.axes.T.astype(rows.dtype)
        return self._from_axes(white * self.deviations(white.dtype))


def _principal_axes(rows: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes, as rows, and variances, largest first."""
    from scipy import linalg

    n, features = rows.shape
    if n < features:
        _, singular, axes = linalg.svd(rows - mean, full_matrices=False)
        variances = singular**2 / (n - 1)
    else:
        covariance = np.zeros((features, features))
        for start in range(0, n, CHUNK):
            centered = rows[start : start + CHUNK] - mean
            covariance += centered.T @ centered
        variances, vectors = linalg.eigh(covariance / (n - 1))
        variances, axes = np.maximum(variances[::-1], 0), vectors.T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest), variances


def _checked_components(value: int | float | None) -> int | float | None:
    if value is None or not isinstance(value, (float, np.floating)):
        return None if value is None else positive_int("components", value)
    return real_in("components", value, 0, 1, open_low=True, open_high=True)
