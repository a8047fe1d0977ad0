"""The affine layer that uses another one's weights, transposed."""

from collections.abc import Sequence

import numpy as np

from fastnn.layers.affine import Affine
from fastnn.layers.base import Layer


class TiedAffine(Layer):
    """``out = x @ w.T + b``, with the w of an Affine before it, and a b of its own from zero.

    Layers are paired as brackets are: a TiedAffine closes the nearest Affine before it that no
    other has closed. So the decoder of an autoencoder mirrors its encoder::

        fnn.Affine(100), fnn.Sigmoid(), fnn.Affine(20), fnn.Sigmoid(),
        fnn.TiedAffine(), fnn.Sigmoid(), fnn.TiedAffine()      # 20 -> 100, 100 -> input

    There is one w, which belongs to the Affine: with it goes whether it is trained, its
    regularizer and its ``lr_scale``. Its gradient is the sum over both places::

        dw = x1.T @ dout1 + dout2.T @ x2       (1: the Affine; 2: this layer)

    Attributes
    ----------
    source : Affine
        Whose w it is.

    Notes
    -----
    Vincent et al., "Stacked denoising autoencoders" (2010),
    https://www.jmlr.org/papers/v11/vincent10a.html, section 2.
    """

    kind = "tied_affine"
    source: Affine
    b: np.ndarray
    db: np.ndarray

    def link(self, before: Sequence[Layer]) -> None:
        unclosed: list[Affine] = []
        for layer in before:
            if isinstance(layer, TiedAffine):
                unclosed.pop()
            elif isinstance(layer, Affine):
                unclosed.append(layer)
        if not unclosed:
            raise ValueError("layers must hold an Affine before each TiedAffine, to share its w")
        self.source = unclosed[-1]

    def output_size(self, n_in: int) -> int:
        if n_in != self.source.units:
            raise ValueError(
                f"a TiedAffine takes the {self.source.units} features that its Affine gives; "
                f"got {n_in}"
            )
        return self.source.n_in

    def parameter_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        return {"b": (self.output_size(n_in),)}

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        out = self.output_buffer(self.check_input(x))
        self._x = x
        # What the Affine's backward pass does to a gradient: times w transposed.
        self.kernels.affine_backward(x, out, self.source.w, out, None, None)
        out += self.b
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        w = self.source.w
        if self.source.trainable:
            self._dw = self.workspace.take("dw", w.shape, self.dtype)
            self.kernels.affine_backward(self._x, dout, w, None, self._dw, None)
        if self.trainable:
            self.db[:] = dout.sum(axis=0, dtype=np.float64)
        if not input_gradient:
            return None
        dx = self.input_gradient_buffer(rows)
        no_bias = self.workspace.take("no_bias", (self.n_in,), self.dtype)  # zeros
        self.kernels.affine_forward(dout, w, no_bias, dx)
        return dx

    def add_shared_gradients(self) -> None:
        if self.source.trainable:
            self.source.dw += self._dw
