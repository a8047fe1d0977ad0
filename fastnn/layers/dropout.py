"""Dropout."""

import numpy as np

from fastnn.checks import real_in
from fastnn.layers.base import Layer


class Dropout(Layer):
    """Sets a random share of its inputs to zero in training; the identity in inference.

    What stays is scaled by ``1 / (1 - ratio)``. The mask is a pure function of the model's seed,
    the training step, the layer's place and the element: the same on every backend, whatever the
    number of threads, and the same again when a step is repeated.

    Parameters
    ----------
    ratio : float
        Probability to drop, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """

    kind = "dropout"

    def __init__(self, ratio: float = 0.5) -> None:
        self.ratio = ratio
        real_in("ratio", ratio, 0, 1, open_high=True)

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        rows = self.check_input(x)
        self._dropped = train and self.ratio > 0
        if not self._dropped:
            self._out = x
            return x
        out = self.output_buffer(rows)
        mask = self._mask = self.workspace.take("mask", x.shape, np.uint8)
        self.kernels.dropout_forward(x, self.ratio, self.seed, step, self.index, mask, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        if not self._dropped or not input_gradient:
            return dout if input_gradient else None
        dx = self.input_gradient_buffer(rows)
        self.kernels.dropout_backward(dout, self._mask, self.ratio, dx)
        return dx
