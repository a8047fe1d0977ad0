"""fastnn: train and run multilayer perceptrons on a CPU, fast.

>>> import fastnn as fnn
>>> model = fnn.mlp(784, [100] * 6, 10, batch_norm=True, dropout=0.2, rng=0)
>>> trainer = fnn.Trainer(model, optimizer=fnn.Adam(lr=1e-3), batch_size=100, rng=0)

Then ``trainer.fit(x, y, epochs=20)``, ``model.predict_proba(x)``, ``model.save("model.fnn")`` and
``fnn.load("model.fnn")``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastnn import data
from fastnn.backend import available_backends, use_backend
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateSchedule,
    ReduceLROnPlateau,
)
from fastnn.constraints import Constraint, MaxNorm
from fastnn.errors import CorruptFileError, DivergenceError, FastnnError, NotBuiltError
from fastnn.gradcheck import GradientCheck, gradient_check
from fastnn.history import History
from fastnn.info import info
from fastnn.initializers import (
    AutoInit,
    ConstantInit,
    He,
    Initializer,
    LeCun,
    Normal,
    Orthogonal,
    Uniform,
    Xavier,
    Zeros,
)
from fastnn.layers import (
    ELU,
    GELU,
    Affine,
    BatchNorm,
    Dropout,
    GaussianNoise,
    Layer,
    LeakyReLU,
    MaskingNoise,
    Maxout,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TiedAffine,
)
from fastnn.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    SumSquaredError,
)
from fastnn.model import Sequential
from fastnn.numerical import gradient_descent, numerical_diff, numerical_gradient
from fastnn.optimizers import (
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RAdam,
    RMSProp,
)
from fastnn.progress import ProgressBar
from fastnn.regularizers import L1, L2, ElasticNet, Regularizer
from fastnn.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    Schedule,
    StepDecay,
    WarmUp,
)
from fastnn.tensorboard import TensorBoard
from fastnn.trainer import Trainer
from fastnn.version import __version__
from fastnn.zoo import (
    Autoencoder,
    DenoisingAutoencoder,
    Ensemble,
    StackedAutoencoder,
    fit_ensemble,
    mc_predict,
    mc_predict_proba,
    mlp,
)

if TYPE_CHECKING:
    from fastnn import book, io, lab, tables
    from fastnn import sklearn as sklearn  # not in __all__: who takes everything may lack it

load = Sequential.load


def __getattr__(name: str) -> Any:
    """Parts that training does without are loaded when they are first asked for."""
    if name in ("book", "io", "lab", "sklearn", "tables"):
        return importlib.import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L2",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Affine",
    "AutoInit",
    "Autoencoder",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "Constant",
    "ConstantInit",
    "Constraint",
    "CorruptFileError",
    "CosineDecay",
    "CrossEntropy",
    "DenoisingAutoencoder",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "Ensemble",
    "ExponentialDecay",
    "FastnnError",
    "GaussianNoise",
    "GradientCheck",
    "He",
    "History",
    "Huber",
    "Initializer",
    "Layer",
    "LeCun",
    "LeakyReLU",
    "LearningRateSchedule",
    "Loss",
    "MaskingNoise",
    "MaxNorm",
    "Maxout",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Momentum",
    "Nesterov",
    "Normal",
    "NotBuiltError",
    "Optimizer",
    "Orthogonal",
    "PReLU",
    "ProgressBar",
    "RAdam",
    "RMSProp",
    "ReLU",
    "ReduceLROnPlateau",
    "Regularizer",
    "Schedule",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "StackedAutoencoder",
    "StepDecay",
    "SumSquaredError",
    "Tanh",
    "TensorBoard",
    "TiedAffine",
    "Trainer",
    "Uniform",
    "WarmUp",
    "Xavier",
    "Zeros",
    "__version__",
    "available_backends",
    "book",
    "data",
    "fit_ensemble",
    "gradient_check",
    "gradient_descent",
    "info",
    "io",
    "lab",
    "load",
    "mc_predict",
    "mc_predict_proba",
    "mlp",
    "numerical_diff",
    "numerical_gradient",
    "tables",
    "use_backend",
]
