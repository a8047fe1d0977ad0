"""Models that are changed by assignments: they obey, or they refuse."""

import copy
import pickle

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of

import fastnn as fnn

X, Y = blobs(60)


def same_everywhere(model):
    """Whether layers, names, flat buffer, file and native program know the same numbers."""
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    np.testing.assert_allclose(model.forward(X), model.predict(X), rtol=1e-5, atol=1e-6)
    for layer in model.layers:
        for key in layer.param_names:
            assert getattr(layer, key) is model.params[f"{layer.name}.{key}"]
            assert np.shares_memory(getattr(layer, key), model.flat_params)


def assign(model, way, values):
    """Assign to the weights of the first layer."""
    if way == "name":
        model.params["affine1.w"] = values
    else:
        model.layers[0].w = values


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [np.full((8, 6), 0.5), np.full((8, 6), 0.5, np.float32, order="F"), [[0.5] * 6] * 8],
    ids=["other dtype", "other layout", "lists"],
)
@pytest.mark.parametrize("way", ["name", "layer"])
def test_an_assigned_array_is_written_into_the_model(way, values, backend):
    model = fnn.mlp(8, [6], 3, batch_norm=True, rng=0, backend=backend)
    model.predict(X)
    assign(model, way, values)
    assert (model.snapshot()["affine1.w"] == 0.5).all()
    same_everywhere(model)


def test_state_and_gradients_are_assigned_in_the_same_way():
    model = fnn.mlp(8, [6], 3, batch_norm=True, rng=0)
    model.state["batchnorm1.running_mean"] = np.arange(6)
    model.layers[1].running_var = np.full(6, 4.0)
    model.layers[0].dw = np.ones((8, 6))
    assert model.layers[1].running_mean.tolist() == list(range(6))
    assert (model.state["batchnorm1.running_var"] == 4).all()
    assert (model.grads["affine1.w"] == 1).all()
    same_everywhere(model)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda views: pickle.loads(pickle.dumps(views))]
)
def test_a_copy_of_the_arrays_is_a_dict_of_ones_own(copied):
    model = fnn.mlp(8, [6], 3, rng=0)
    mine = copied(model.params)
    assert {name: view.tolist() for name, view in mine.items()} == {
        name: view.tolist() for name, view in model.params.items()
    }
    mine["affine1.b"] = None
    mine["more"] = 1
    same_everywhere(model)
    assert model.params.keys() == {"affine1.w", "affine1.b", "affine2.w", "affine2.b"}


def test_an_array_may_be_changed_in_place_by_name():
    model = fnn.mlp(8, [6], 3, rng=0)
    expected = model.params["affine1.w"] * 2 + 1
    model.params["affine1.w"] *= 2
    model.layers[0].w += 1
    np.testing.assert_array_equal(model.params["affine1.w"], expected)
    same_everywhere(model)


@pytest.mark.parametrize("values", [0.5, np.zeros((6, 8)), np.zeros((8, 6), complex), "w"])
@pytest.mark.parametrize("way", ["name", "layer"])
def test_an_array_that_does_not_fit_is_refused(way, values):
    model = fnn.mlp(8, [6], 3, rng=0)
    before = numbers(model)
    with pytest.raises(ValueError, match=r"affine1\.w must have shape \(8, 6\) and real numbers"):
        assign(model, way, values)
    assert numbers(model) == before


@pytest.mark.parametrize("snapshot", [None, "model.fnn", 3, ["affine1.w"]])
def test_a_snapshot_that_is_none_is_refused(snapshot):
    with pytest.raises(TypeError, match="snapshot must be a mapping of names to arrays"):
        fnn.mlp(8, [6], 3, rng=0).restore(snapshot)


@pytest.mark.parametrize("way", ["name", "layer"])
def test_nothing_is_no_array(way):
    model = fnn.mlp(8, [6], 3, rng=0)
    before = numbers(model)
    with pytest.raises(TypeError, match=r"affine1\.w must be an array; got None"):
        assign(model, way, None)
    assert numbers(model) == before


def test_arrays_cannot_be_added_or_removed():
    model = fnn.mlp(8, [6], 3, rng=0)
    with pytest.raises(KeyError, match=r"no array 'affine9\.w'; there are: affine1\.w, affine1\.b"):
        model.params["affine9.w"] = np.zeros(3)
    changes = [
        lambda params: params.update({"affine1.w": np.zeros((8, 6))}),
        lambda params: params.pop("affine1.w"),
        lambda params: params.clear(),
        lambda params: params.__delitem__("affine1.w"),
        lambda params: params.setdefault("affine9.w", np.zeros(3)),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be added or removed"):
            change(model.params)
    same_everywhere(model)


class Slope(fnn.Layer):
    """A layer of one's own that replaces its gradient, where it should write into it."""

    def __init__(self, a=1.0):
        self.a = a  # the setting, until the parameter of this name takes its place

    def parameter_shapes(self, n_in):
        return {"a": (n_in,)}

    def initialize(self, rng):
        self.a[:] = 1

    def forward(self, x, train=False, step=0):
        self.x = x
        return self.a * x

    def backward(self, dout, input_gradient=True):
        self.da = (dout * self.x).sum(0)
        return dout * self.a


def test_a_layer_of_ones_own_may_assign_its_gradient():
    model = fnn.Sequential([Slope(), fnn.Affine(3)], 8, rng=0)
    trainer = trainer_of(model)
    trainer.fit(X, Y, epochs=1)
    assert (model.params["slope1.a"] != 1).all()


# -- layers ----------------------------------------------------------------------------------------


def test_layers_cannot_be_exchanged():
    model = fnn.mlp(8, [6], 3, rng=0)
    with pytest.raises(TypeError, match="does not support item assignment"):
        model.layers[1] = fnn.Tanh()
    with pytest.raises(AttributeError, match="no attribute 'append'"):
        model.layers.append(fnn.Tanh())
    with pytest.raises(AttributeError, match="layers"):
        model.layers = []


def test_a_setting_may_change_between_fits(executor):
    model = fnn.mlp(8, [6], 3, dropout=0.5, rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor)
    trainer.fit(X, Y, epochs=1)
    model.layers[2].ratio = 0.0

    expected = trainer_of(fnn.mlp(8, [6], 3, rng=0, backend=executor.backend), executor)
    expected.model.restore(model.snapshot())
    expected.resume(trainer.state())
    assert trainer.fit(X, Y, epochs=1)["loss"][-1] == expected.fit(X, Y, epochs=1)["loss"][-1]


@pytest.mark.parametrize(
    ("layer", "name", "value", "message"),
    [
        (2, "ratio", 2.0, r"ratio must be a finite number in \[0, 1\); got 2.0"),
        (2, "ratio", "a", "ratio must be a number; got 'a'"),
        (1, "eps", -1.0, "eps must be a finite number"),
        (1, "momentum", None, "momentum must be a number; got None"),
        (0, "units", 7, "units of affine1 is fixed since it has its place in a model, with 6"),
        (0, "regularizer", 0.1, "regularizer must be a Regularizer, .*; got 0.1"),
        (4, "pieces", 4, "takes a multiple of 4 features; got 6"),
        (4, "pieces", 1, "pieces of maxout1 is fixed"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(layer, name, value, message):
    layers = [fnn.Affine(6), fnn.BatchNorm(), fnn.Dropout(0.5), fnn.ReLU(), fnn.Maxout(2)]
    model = fnn.Sequential([*layers, fnn.Affine(3)], 8, rng=0)
    before = getattr(model.layers[layer], name)
    with pytest.raises((TypeError, ValueError), match=message):
        setattr(model.layers[layer], name, value)
    assert getattr(model.layers[layer], name) == before


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_layer_is_not_copied_without_its_model(copied):
    model = fnn.mlp(8, [6], 3, rng=0)
    with pytest.raises(TypeError, match="affine1 cannot be copied or pickled without its model"):
        copied(model.layers[0])
    free = fnn.Affine(6, init="xavier")
    assert copy.deepcopy(free).settings() == pickle.loads(pickle.dumps(free)).settings()
