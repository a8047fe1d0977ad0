"""Softmax as a layer, for models that are to give probabilities."""

import numpy as np

from fastnn.layers.base import Layer


class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` over the features of a row: each row becomes probabilities.

    The last layer of a model that is trained with `fastnn.CrossEntropy`. The default loss,
    "softmax_cross_entropy", has the softmax within it and takes a model without this layer.
    """

    kind = "softmax"

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        out = self.output_buffer(self.check_input(x))
        self.kernels.softmax_forward(x, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        if not input_gradient:
            return None
        dx = self.input_gradient_buffer(rows)
        self.kernels.softmax_backward(dout, self._out, dx)
        return dx
