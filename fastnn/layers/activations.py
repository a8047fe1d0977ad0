"""Activations: elementwise, without parameters."""

from typing import ClassVar

import numpy as np

from fastnn.checks import real_in
from fastnn.layers.base import Layer


class Activation(Layer):
    """Base: the kernels ``<kind>_forward`` and ``<kind>_backward`` on the layer's buffers.

    The backward kernel works from the output where the derivative can be had from it: the input
    need not stay in cache until then.
    """

    backward_reads_input: ClassVar[bool] = False

    def input_size(self, units: int) -> int:
        """Features that must come in for ``units`` to go out."""
        return units

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        out = self.output_buffer(self.check_input(x))
        self._x = x
        self.run_forward(x, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        if not input_gradient:
            return None
        dx = self.input_gradient_buffer(rows)
        self.run_backward(dout, dx)
        return dx

    def run_forward(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the output for x to ``out``."""
        getattr(self.kernels, f"{self.kind}_forward")(x, out)

    def run_backward(self, dout: np.ndarray, dx: np.ndarray) -> None:
        """Write the gradient of the input to ``dx``, from ``dout``, that of the output."""
        source = self._x if self.backward_reads_input else self._out
        getattr(self.kernels, f"{self.kind}_backward")(dout, source, dx)


class ReLU(Activation):
    """``max(x, 0)``; its gradient at zero is zero."""

    kind = "relu"


class LeakyReLU(Activation):
    """``x`` where positive, else ``slope * x``.

    Parameters
    ----------
    slope : float

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "leaky_relu"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope
        real_in("slope", slope)

    def run_forward(self, x: np.ndarray, out: np.ndarray) -> None:
        self.kernels.leaky_relu_forward(x, self.slope, out)

    def run_backward(self, dout: np.ndarray, dx: np.ndarray) -> None:
        self.kernels.leaky_relu_backward(dout, self._x, self.slope, dx)


class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``."""

    kind = "sigmoid"


class Tanh(Activation):
    """``tanh(x)``."""

    kind = "tanh"


class ELU(Activation):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``. Clevert et al. (2015).

    Parameters
    ----------
    alpha : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        real_in("alpha", alpha, 0)

    def run_forward(self, x: np.ndarray, out: np.ndarray) -> None:
        self.kernels.elu_forward(x, self.alpha, out)

    def run_backward(self, dout: np.ndarray, dx: np.ndarray) -> None:
        self.kernels.elu_backward(dout, self._out, self.alpha, dx)


class Softplus(Activation):
    """``log(1 + exp(x))``, a smooth ReLU. Dugas et al. (2001)."""

    kind = "softplus"


class GELU(Activation):
    """``x * Phi(x)``, with Phi the distribution function of the standard normal.

    The exact form, ``x * (1 + erf(x / sqrt(2))) / 2``, not its approximation by tanh. Hendrycks and
    Gimpel (2016), https://arxiv.org/abs/1606.08415.
    """

    kind = "gelu"
    backward_reads_input = True


class SiLU(Activation):
    """``x * sigmoid(x)``, also called swish. Elfwing et al. (2017)."""

    kind = "silu"
    backward_reads_input = True
