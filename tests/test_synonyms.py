"""Names that people bring along from other libraries: refused, and led on."""

import pytest

import fastnn as fnn
from fastnn import synonyms
from fastnn.initializers import INITIALIZERS
from fastnn.layers import LAYERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.optimizers import OPTIMIZERS


def trainer(**settings):
    return fnn.Trainer(fnn.mlp(3, [4], 2, rng=0), verbose=False, **settings)


INIT = {
    "glorot": "xavier",
    "Glorot": "xavier",
    "glorot_uniform": "xavier_uniform",
    "kaiming": "he",
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "HeUniform": "he_uniform",
    "random_normal": "normal",
    "zero": "zeros",
    "ortogonal": "orthogonal",
    fnn.He: "he",
}
ACTIVATION = {
    "swish": "silu",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "logistic": "sigmoid",
    "Tanh": "tanh",
    fnn.Tanh: "tanh",
    fnn.GELU(): "gelu",
}
LOSS = {
    "mse": "mean_squared_error",
    "MSELoss": "mean_squared_error",
    "mae": "mean_absolute_error",
    "categorical_crossentropy": "softmax_cross_entropy",
    "sparse_categorical_crossentropy": "softmax_cross_entropy",
    "CrossEntropyLoss": "softmax_cross_entropy",
    "crossentropy": "softmax_cross_entropy",  # not "cross_entropy", which takes probabilities
    "bce": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy",
    "SmoothL1Loss": "huber",
    fnn.Huber: "huber",
}
OPTIMIZER = {"Adam": "adam", "RMSprop": "rmsprop", "SGD": "sgd", "nag": "nesterov"}
METRIC = {"acc": "accuracy", "mae": "mean_absolute_error", "rmse": "root_mean_squared_error"}


def cases():
    for names, give in (
        (INIT, lambda name: fnn.Affine(3, init=name)),
        (ACTIVATION, lambda name: fnn.mlp(3, [4], 2, activation=name)),
        (LOSS, lambda name: trainer(loss=name)),
        (OPTIMIZER, lambda name: trainer(optimizer=name)),
        (METRIC, lambda name: trainer(metrics=[name])),
    ):
        for given, meant in names.items():
            yield pytest.param(give, given, meant, id=f"{given}-{meant}")


@pytest.mark.parametrize(("give", "given", "meant"), list(cases()))
def test_an_error_leads_on(give, given, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'") as caught:
        give(given)
    assert f"got {given!r};" in str(caught.value)
    give(meant)  # and that is a name


@pytest.mark.parametrize("name", ["linear", "identity"])
def test_no_activation_has_no_name(name):
    with pytest.raises(ValueError, match=r"that is no activation: .* Sequential without one$"):
        fnn.mlp(3, [4], 2, activation=name)
    assert synonyms.hint("linear", ["identity", "relu"]) == "; did you mean 'identity'?"


@pytest.mark.parametrize("given", ["convolution", "", "???", 3, None, ["mse"], object])
def test_what_nothing_is_near_to_gets_no_hint(given):
    assert synonyms.hint(given, LOSSES) == ""


def test_every_name_led_to_is_a_name():
    known = {*INITIALIZERS, *LAYERS, *LOSSES, *OPTIMIZERS, *METRICS}
    known |= {f"{name}_{kind}" for name in ("xavier", "he") for kind in ("normal", "uniform")}
    known |= {"identity", "squared_error", "absolute_error"}  # scikit-learn's, of the estimators
    for names in synonyms._MEANT.values():
        assert set(names) <= known
