"""Preprocessing: learned from the training data, applied to all, saved with the model.

A preprocessor learns from the training data only, with `Preprocessor.fit`, and is then applied to
them, to what judges, and to what comes later, with `Preprocessor.transform`. So nothing of the test
data gets into the training. ``model.preprocessing = it`` writes it into the model's file.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from fastnn.checks import READ_AS_IS, as_array, as_real, not_real, sequence
from fastnn.components import Component


class Preprocessor(Component):
    """Base of what learns from data how to change data.

    Attributes
    ----------
    array_names : tuple of str
        What `fit` learns.
    arrays : dict of str to ndarray
        That, in float64; empty before `fit`.
    shape : tuple of int or None
        Shape of a sample, as `fit` saw it.
    """

    array_names: ClassVar[tuple[str, ...]] = ()
    shape: tuple[int, ...] | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.array_names if hasattr(self, name)}

    @property
    def is_fitted(self) -> bool:
        """Whether `fit`, or a file, has told it what it needs to know."""
        return self.shape is not None

    def fit(self, x: Any) -> Self:
        """Learn from training data.

        Parameters
        ----------
        x : array_like, (N, features), or (N, channels, ...) for images
            Real numbers; uint8, the bytes of images, are taken as [0, 1].

        Raises
        ------
        TypeError, ValueError
            x does not hold real numbers, is not finite, or has no rows.
        """
        rows = _real(x)
        learned = self._learn(rows)
        if not all(np.isfinite(array).all() for array in learned.values()):
            raise ValueError("x must be finite to learn from; it holds NaN or Inf")
        for name, array in learned.items():
            # C-contiguous, as it will come out of a file: BLAS sums another layout in another way.
            setattr(self, name, np.array(array, dtype=np.float64, order="C"))
        self.shape = rows.shape[1:]
        return self

    def transform(self, x: Any) -> np.ndarray:
        """Apply what was learned.

        Parameters
        ----------
        x : array_like, (N, *shape), or flattened, (N, features)

        Returns
        -------
        ndarray
            A new array: float64 where x is, else float32 for float32 and bytes.

        Raises
        ------
        TypeError, ValueError
            x does not hold real numbers, or has rows of another shape; nothing has been fitted.
        """
        return self._apply(self._rows(x))

    def fit_transform(self, x: Any) -> np.ndarray:
        """`fit`, then `transform` of the same data."""
        return self.fit(x).transform(x)

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Undo `transform`, as far as it can be undone.

        Raises
        ------
        TypeError, ValueError
            As `transform`; or nothing of it can be undone.
        """
        raise ValueError(f"{self!r} cannot be undone")

    def restore(self, shape: Sequence[int], arrays: Mapping[str, np.ndarray]) -> Self:
        """Take what another one of the same settings has learned.

        Raises
        ------
        ValueError
            An array is missing, unknown, not finite, or of a shape that does not fit.
        """
        self.shape = tuple(shape)
        expected = self._shapes(arrays)
        if expected != {name: array.shape for name, array in arrays.items()} or not all(
            array.dtype == np.float64 and np.isfinite(array).all() for array in arrays.values()
        ):
            raise ValueError(f"the arrays of {self!r} do not fit its settings")
        for name, array in arrays.items():
            setattr(self, name, array)
        return self

    # -- what a subclass has of its own ------------------------------------------------------------

    def _learn(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays, from checked samples."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _apply(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError  # abstract: every subclass has its own

    def _shapes(self, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
        """What the shapes of `arrays` must be, for samples of `shape`."""
        raise NotImplementedError  # abstract: every subclass has its own

    # -- parts -------------------------------------------------------------------------------------

    def _fitted_shape(self) -> tuple[int, ...]:
        if self.shape is None:
            raise ValueError(f"{self!r} has learned nothing yet: call fit with the training data")
        return self.shape

    def _rows(self, x: Any) -> np.ndarray:
        """Samples as `fit` saw them, which may have come flattened."""
        shape = self._fitted_shape()
        rows = _real(x)
        if rows.shape[1:] not in (shape, (math.prod(shape),)):
            wanted = ", ".join(map(str, shape))
            raise ValueError(f"x must have shape (N, {wanted}), as in fit; got {rows.shape}")
        return rows.reshape(len(rows), *shape)


class Pipeline:
    """Preprocessors, one after another.

    Parameters
    ----------
    steps : sequence of Preprocessor

    Raises
    ------
    TypeError, ValueError
        There is none, or something else among them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import PCA, Pipeline, Standardize
    >>> x = np.random.default_rng(0).standard_normal((100, 5)) * [1, 1, 9, 1, 1] + 3
    >>> pipeline = Pipeline([Standardize(), PCA(2)])
    >>> pipeline.fit_transform(x).shape
    (100, 2)
    """

    def __init__(self, steps: Sequence[Preprocessor]) -> None:
        self.steps: list[Preprocessor] = sequence("steps", steps, "preprocessors")
        if not self.steps:
            raise ValueError("steps must hold at least one preprocessor")
        for step in self.steps:
            if not isinstance(step, Preprocessor):
                raise TypeError(f"steps must hold preprocessors, as Standardize(); got {step!r}")

    @property
    def is_fitted(self) -> bool:
        """Whether every step is."""
        return all(step.is_fitted for step in self.steps)

    def fit(self, x: Any) -> Self:
        """Each step learns from what those before make of the training data."""
        self.fit_transform(x)
        return self

    def transform(self, x: Any) -> np.ndarray:
        """Apply all steps; see `Preprocessor.transform`."""
        for step in self.steps:
            x = step.transform(x)
        return x

    def fit_transform(self, x: Any) -> np.ndarray:
        """`fit`, then `transform` of the same data."""
        for step in self.steps:
            x = step.fit_transform(x)
        return x

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Undo all steps, the last first."""
        for step in reversed(self.steps):
            x = step.inverse_transform(x)
        return x

    def __repr__(self) -> str:
        return f"Pipeline({self.steps!r})"


def _real(x: Any) -> np.ndarray:
    """Samples as C-contiguous real numbers; bytes scaled to [0, 1]."""
    array = as_array("x", x)
    if array.dtype.kind not in "fiub":
        raise not_real("x", array)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"x must have shape (N, features) and no axis of 0; got {array.shape}")
    single = array.dtype in READ_AS_IS and array.dtype != np.float64
    return as_real(array, np.dtype(np.float32 if single else np.float64))
