"""The classes of a well-known course on deep learning from scratch, on fastnn's kernels.

Code written for the course's own files runs with its import lines changed::

    from fastnn.book import Trainer, MultiLayerNet, load_mnist, SGD

    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
    network = MultiLayerNet(784, [100] * 6, 10, weight_decay_lambda=0.1)
    optimizer = SGD(lr=0.01)
    for i in range(1000):
        mask = np.random.choice(len(x_train), 100)
        grads = network.gradient(x_train[mask], t_train[mask])
        optimizer.update(network.params, grads)

The formulas are the course's, also where the rest of fastnn has others: everything is float64,
dropout scales at test time, BatchNorm adds 1e-6, probabilities are guarded by 1e-7 in logarithms.
What draws random numbers takes ``rng=`` in addition; NumPy's global state is left alone.

The two-layer network of the earlier chapter, with sigmoid units and probabilities as outputs, is
``from fastnn.book import TwoLayerNetSigmoid as TwoLayerNet``.
"""

from fastnn.book.functions import (
    cross_entropy_error,
    gradient_descent,
    relu,
    shuffle_dataset,
    sigmoid,
    sigmoid_grad,
    smooth_curve,
    softmax,
    sum_squared_error,
)
from fastnn.book.networks import (
    MultiLayerNet,
    MultiLayerNetExtend,
    TwoLayerNet,
    TwoLayerNetSigmoid,
)
from fastnn.book.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from fastnn.book.trainer import Trainer
from fastnn.data import load_mnist
from fastnn.numerical import numerical_diff, numerical_gradient

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Momentum",
    "MultiLayerNet",
    "MultiLayerNetExtend",
    "Nesterov",
    "RMSprop",
    "Trainer",
    "TwoLayerNet",
    "TwoLayerNetSigmoid",
    "cross_entropy_error",
    "gradient_descent",
    "load_mnist",
    "numerical_diff",
    "numerical_gradient",
    "relu",
    "shuffle_dataset",
    "sigmoid",
    "sigmoid_grad",
    "smooth_curve",
    "softmax",
    "sum_squared_error",
]
