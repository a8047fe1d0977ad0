"""The multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

from fastnn.checks import Rng, one_of, positive_int, real_in, sequence
from fastnn.initializers import Initializer
from fastnn.layers import ACTIVATIONS, Affine, BatchNorm, Dropout, Layer, chain
from fastnn.model import Sequential


def mlp(
    n_in: int | Sequence[int],
    hidden: Sequence[int],
    n_out: int,
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    init: str | float | Initializer = "he",
    rng: Rng = None,
    dtype: Any = "float32",
    backend: str | None = None,
) -> Sequential:
    """A multilayer perceptron: for each hidden layer affine, BatchNorm, activation, dropout.

    Parameters
    ----------
    n_in : int or tuple of int
        Features of a sample, or the shape of an image.
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    n_out : int
        Outputs of the last, affine layer: the number of classes, or of numbers to predict.
    activation : str
        One of "relu", "leaky_relu", "prelu", "elu", "softplus", "gelu", "silu", "sigmoid", "tanh"
        and "maxout", with its default settings. The affine layer before a maxout of two pieces has
        twice the units, so that ``hidden`` are the units that go out of it.
    batch_norm : bool
        BatchNorm before each activation.
    dropout : float
        Ratio dropped after each activation; 0 leaves the layer out.
    init : str, float or Initializer
        As in `Affine`, for all layers; "auto" follows the activation, see `AutoInit`. He's for
        every activation unless asked otherwise: on the digits tanh and sigmoid learn with it as
        fast as with Xavier's, or faster. Deep networks of maxout are better off with "auto".
    rng, dtype, backend
        As in `Sequential`.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    The seven-layer network of a deep-learning course, for MNIST:

    >>> import fastnn as fnn
    >>> model = fnn.mlp(784, [100] * 6, 10, batch_norm=True, dropout=0.2, rng=0)
    """
    shape = chain.as_shape(n_in, "n_in")
    make_activation = one_of("activation", activation, ACTIVATIONS)
    real_in("dropout", dropout, 0, 1, open_high=True)
    layers: list[Layer] = []
    for units in sequence("hidden", hidden, "numbers of units"):
        activate = make_activation()
        layers.append(Affine(activate.input_size(positive_int("hidden", units)), init))
        if batch_norm:
            layers.append(BatchNorm())
        layers.append(activate)
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Affine(positive_int("n_out", n_out), init))
    return Sequential(layers, shape, rng, dtype, backend)
