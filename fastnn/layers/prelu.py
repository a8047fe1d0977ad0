"""ReLU with a learned slope."""

import numpy as np

from fastnn.checks import real_in
from fastnn.layers.activations import Activation


class PReLU(Activation):
    """``x`` where positive, else ``slope * x``, with a slope for each feature that is learned.

    Regularizers leave the slopes alone, as He et al. do: a penalty would draw them to zero, which
    is ReLU.

    Parameters
    ----------
    init : float
        What every slope starts from.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    He et al. (2015), https://arxiv.org/abs/1502.01852, section 2.1.
    """

    kind = "prelu"
    slope: np.ndarray
    dslope: np.ndarray

    def __init__(self, init: float = 0.25) -> None:
        self.init = init
        real_in("init", init)

    def parameter_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        return {"slope": (n_in,)}

    def initialize(self, rng: np.random.Generator) -> None:
        self.slope[:] = self.init

    def run_forward(self, x: np.ndarray, out: np.ndarray) -> None:
        self.kernels.prelu_forward(x, self.slope, out)

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        dx = self.input_gradient_buffer(rows) if input_gradient else None
        dslope = self.dslope if self.trainable else None
        self.kernels.prelu_backward(dout, self._x, self.slope, dx, dslope)
        return dx
