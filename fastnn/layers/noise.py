"""Noise on the inputs of a layer, in training only."""

import numpy as np

from fastnn.checks import real_in
from fastnn.layers.base import Layer


class GaussianNoise(Layer):
    """Adds normal numbers of mean 0 in training; the identity in inference.

    As the first layer of a model it is input noise; at an autoencoder's input, what makes it a
    denoising one. The noise is a pure function of the model's seed, the training step, the layer's
    place and the element, as the mask of `Dropout` is.

    Parameters
    ----------
    std : float
        Standard deviation of the noise, at least 0; in the units of the inputs.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Vincent et al. (2010), https://jmlr.org/papers/v11/vincent10a.html.
    """

    kind = "gaussian_noise"

    def __init__(self, std: float = 0.1) -> None:
        self.std = std
        real_in("std", std, 0)

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        rows = self.check_input(x)
        if not train or self.std == 0:
            self._out = x
            return x
        out = self.output_buffer(rows)
        self.kernels.gaussian_noise_forward(x, self.std, self.seed, step, self.index, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        self.check_gradient(dout)
        return dout if input_gradient else None


class MaskingNoise(Layer):
    """Sets a random share of its inputs to zero in training; the identity in inference.

    The mask is drawn as that of `Dropout`, but what stays is not scaled: the zeros are damage to be
    repaired, by a denoising autoencoder, not a smaller network to be averaged.

    Parameters
    ----------
    ratio : float
        Probability to be set to zero, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Vincent et al. (2010), https://jmlr.org/papers/v11/vincent10a.html.
    """

    kind = "masking_noise"

    def __init__(self, ratio: float = 0.3) -> None:
        self.ratio = ratio
        real_in("ratio", ratio, 0, 1, open_high=True)

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        rows = self.check_input(x)
        self._masked = train and self.ratio > 0
        if not self._masked:
            self._out = x
            return x
        out = self.output_buffer(rows)
        mask = self._mask = self.workspace.take("mask", x.shape, np.uint8)
        self.kernels.masking_noise_forward(x, self.ratio, self.seed, step, self.index, mask, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        if not self._masked or not input_gradient:
            return dout if input_gradient else None
        dx = self.input_gradient_buffer(rows)
        self.kernels.masking_noise_backward(dout, self._mask, dx)
        return dx


class UnscaledDropout(MaskingNoise):
    """Dropout as it was first written: what stays is not scaled, but inference is.

    There everything is multiplied by ``1 - ratio``, the share that was seen in training. `Dropout`
    gives the same expectations and costs inference nothing; this one is for `fastnn.book`, and not
    in the vocabulary of model files.
    """

    kind = "unscaled_dropout"

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        if train:
            return super().forward(x, train, step)
        self._masked = False
        return np.multiply(x, 1 - self.ratio, out=self.output_buffer(self.check_input(x)))
