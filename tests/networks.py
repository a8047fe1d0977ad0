"""Networks and problems that several test modules use."""

import numpy as np

import fastnn as fnn
from fastnn import lowering
from fastnn.layers import LAYERS

# The kinds of layers that the native program knows.
NATIVE_LAYERS = {kind for kind, cls in LAYERS.items() if cls in lowering.NATIVE_LAYERS}


def blobs(n=300, features=8, classes=3, seed=0):
    """Gaussian clouds a linear model can nearly tell apart: x (n, features), y (n,)."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((classes, features))
    y = rng.integers(0, classes, n)
    return centres[y] + rng.standard_normal((n, features)), y


def every_layer(backend=None, dtype="float64", rng=0):
    """8 features to 3 outputs, through a layer of each native kind, settings off their defaults."""
    layers = [
        fnn.Affine(7, init=fnn.Xavier("uniform"), regularizer=fnn.ElasticNet(1e-3, 2e-3)),
        fnn.BatchNorm(momentum=0.8, eps=1e-4),
        fnn.LeakyReLU(0.1),
        fnn.Dropout(0.25),
        fnn.Affine(6, init="lecun_uniform", regularizer=fnn.L1(1e-3)),
        fnn.BatchNorm(),
        fnn.ELU(0.7),
        fnn.Maxout(2),
        fnn.Softmax(),
        fnn.Affine(6, init=0.5),
        fnn.GaussianNoise(0.3),
        fnn.PReLU(0.3),
        fnn.Tanh(),
        fnn.Affine(5, regularizer=fnn.L2(1e-2)),
        fnn.Sigmoid(),
        fnn.Dropout(0.1),
        fnn.Affine(5, init=fnn.Uniform(0.9)),
        fnn.ReLU(),
        fnn.MaskingNoise(0.2),
        fnn.Softplus(),
        fnn.GELU(),
        fnn.SiLU(),
        fnn.Affine(3),
    ]
    return fnn.Sequential(layers, input_shape=8, rng=rng, dtype=dtype, backend=backend)


def trainer_of(model=None, executor=None, *, lr=0.01, batch_size=20, rng=0, **settings):
    """A quiet trainer of a small classifier."""
    if model is None:
        backend = executor.backend if executor else None
        model = fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=backend)
    if executor:
        settings["engine"] = executor.engine
    settings.setdefault("optimizer", fnn.Adam(lr))
    return fnn.Trainer(model, batch_size=batch_size, rng=rng, verbose=False, **settings)


class Recorder(fnn.Callback):
    """Keeps the loss and the learning rate of every step."""

    def __init__(self):
        self.losses = []
        self.rates = []

    def on_batch_end(self, trainer, epoch, batch, batches, loss):
        self.losses.append(loss)
        self.rates.append(trainer.learning_rate)


def numbers(model):
    """Everything training moves, as bytes: equal means unchanged to the last bit."""
    return {name: array.tobytes() for name, array in model.snapshot().items()}
