"""Batch normalization."""

import numpy as np

from fastnn.checks import real_in
from fastnn.layers.base import Layer


class BatchNorm(Layer):
    """Normalizes each feature over the batch, then scales by gamma and shifts by beta.

    In training mode the batch's own mean and (biased) variance are used, and running averages of
    them are kept, ``running = momentum * running + (1 - momentum) * batch``, for inference mode. A
    frozen layer runs in inference mode and does not move.

    Parameters
    ----------
    momentum : float
        In [0, 1). Keras's convention; PyTorch's momentum is ``1 - momentum``.
    eps : float
        Added to the variance.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Ioffe and Szegedy (2015), https://arxiv.org/abs/1502.03167.
    """

    kind = "batchnorm"
    # One row is its own mean: nothing would be learned below. The course of `fastnn.book` takes it.
    fewest_rows = 2
    gamma: np.ndarray
    beta: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray

    def __init__(self, momentum: float = 0.9, eps: float = 1e-5) -> None:
        self.momentum = momentum
        self.eps = eps
        real_in("momentum", momentum, 0, 1, open_high=True)
        real_in("eps", eps, 0)

    def parameter_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        return {"gamma": (n_in,), "beta": (n_in,)}

    def state_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        return {"running_mean": (n_in,), "running_var": (n_in,)}

    def initialize(self, rng: np.random.Generator) -> None:
        self.gamma[:] = 1
        self.running_var[:] = 1

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        rows = self.check_input(x)
        out = self.output_buffer(rows)
        self._by_batch = train and self.trainable
        if not self._by_batch:
            self.kernels.batchnorm_inference_forward(
                x, self.gamma, self.beta, self.running_mean, self.running_var, self.eps, out
            )
            return out
        if rows < self.fewest_rows:
            raise ValueError(
                f"{self.name}: a batch of one sample has no variance; train with at least two, "
                "or pass train=False"
            )
        self._x = x
        self._mean = self.workspace.take("mean", (self.n_in,), self.dtype)
        self._inv_std = self.workspace.take("inv_std", (self.n_in,), self.dtype)
        self.kernels.batchnorm_forward(
            x,
            self.gamma,
            self.beta,
            self.running_mean,
            self.running_var,
            self.momentum,
            self.eps,
            self._mean,
            self._inv_std,
            out,
        )
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        dx = self.input_gradient_buffer(rows) if input_gradient else None
        if self._by_batch:
            self.kernels.batchnorm_backward(
                dout, self._x, self.gamma, self._mean, self._inv_std, dx, self.dgamma, self.dbeta
            )
        else:
            # In inference mode the layer counts as frozen: its statistics are not the batch's.
            self.dgamma[:] = 0
            self.dbeta[:] = 0
            if dx is not None:
                self.kernels.batchnorm_inference_backward(
                    dout, self.gamma, self.running_var, self.eps, dx
                )
        return dx
