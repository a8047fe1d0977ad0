"""The largest of several linear pieces."""

import numpy as np

from fastnn.checks import positive_int
from fastnn.layers.activations import Activation

MOST_PIECES = 256  # the winner's number is kept in a byte


class Maxout(Activation):
    """The largest of ``pieces`` inputs: feature j of m goes out as the maximum of j, m + j, ...

    The affine layer before it has ``pieces`` times as many units; each unit that goes out is then
    a convex function of the input, made of so many linear pieces, that is learned. The first of
    equal pieces gets the gradient; NaN goes through::

        fnn.Sequential([fnn.Affine(2 * 100), fnn.Maxout(2), fnn.Affine(10)], input_shape=784)

    Parameters
    ----------
    pieces : int
        1 to 256; the features coming in are a multiple of it.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Goodfellow et al. (2013), https://arxiv.org/abs/1302.4389.
    """

    kind = "maxout"

    def __init__(self, pieces: int = 2) -> None:
        self.pieces = pieces
        if positive_int("pieces", pieces) > MOST_PIECES:
            raise ValueError(f"pieces must be at most {MOST_PIECES}; got {pieces}")

    def output_size(self, n_in: int) -> int:
        if n_in % self.pieces:
            raise ValueError(
                f"{self!r} takes a multiple of {self.pieces} features; got {n_in}: put an "
                f"Affine({self.pieces} * units) before it"
            )
        return n_in // int(self.pieces)

    def input_size(self, units: int) -> int:
        return int(self.pieces) * units

    def run_forward(self, x: np.ndarray, out: np.ndarray) -> None:
        winners = self._winners = self.workspace.take("winners", out.shape, np.uint8)
        self.kernels.maxout_forward(self._by_pieces(x), winners, out)

    def run_backward(self, dout: np.ndarray, dx: np.ndarray) -> None:
        self.kernels.maxout_backward(dout, self._winners, self._by_pieces(dx))

    def _by_pieces(self, rows: np.ndarray) -> np.ndarray:
        """(N, pieces * m) as (N, pieces, m)."""
        return rows.reshape(len(rows), int(self.pieces), self.n_out)
