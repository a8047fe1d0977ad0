"""Weights from and to PyTorch: what needs no PyTorch. See test_torch_exchange.py for the rest."""

import numpy as np
import pytest
from networks import numbers

import fastnn as fnn
from fastnn.io import load_torch_state_dict, to_torch_state_dict


def network(rng=0, dtype="float32"):
    """4 features to 3 to 2 and back to 3, by layers of every kind that has weights."""
    layers = [
        *(fnn.Affine(3), fnn.BatchNorm(), fnn.PReLU(), fnn.Dropout(0.2)),
        *(fnn.Affine(2), fnn.Tanh(), fnn.TiedAffine()),
    ]
    model = fnn.Sequential(layers, 4, rng=rng, dtype=dtype)
    draws = np.random.default_rng(rng)
    for view in (model.params | model.state).values():
        view[:] = draws.uniform(0.5, 1, view.shape)
    return model


def test_names_layout_and_order():
    model = network()
    model.step = 7
    state = to_torch_state_dict(model)
    assert list(state) == [
        *("0.weight", "0.bias"),
        *("1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"),
        *("2.weight", "4.weight", "4.bias", "6.weight", "6.bias"),
    ]
    params = model.params | model.state
    np.testing.assert_array_equal(state["0.weight"], params["affine1.w"].T)
    np.testing.assert_array_equal(state["1.weight"], params["batchnorm1.gamma"])
    np.testing.assert_array_equal(state["1.running_var"], params["batchnorm1.running_var"])
    np.testing.assert_array_equal(state["2.weight"], params["prelu1.slope"])
    np.testing.assert_array_equal(state["6.weight"], params["affine2.w"])
    assert state["1.num_batches_tracked"] == 7
    assert all(array.flags.c_contiguous for array in state.values())


def test_what_is_given_are_copies():
    model = network()
    before = numbers(model)
    for array in to_torch_state_dict(model).values():
        array[...] = 0
    assert numbers(model) == before


def test_there_and_back():
    source, model = network(0), network(1, dtype="float64")
    load_torch_state_dict(model, to_torch_state_dict(source))
    assert numbers(model.astype("float32")) == numbers(source)


def sorted_as_text(state):
    return {name: state[name] for name in sorted(state)}


def with_other_names(state):
    """A network that flattens first, within another one: "body.1.weight"."""
    renamed = {}
    for name, array in state.items():
        index, _, key = name.partition(".")
        renamed[f"body.{int(index) + 1}.{key}"] = array
    return renamed


def named_by_words(state):
    return {"abcdefg"[int(name[0])] + name[1:]: array for name, array in state.items()}


def uncounted(state):
    return {name: array for name, array in state.items() if "num_batches" not in name}


@pytest.mark.parametrize("change", [with_other_names, named_by_words, uncounted])
def test_other_names_in_the_same_order(change):
    source, model = network(0), network(1)
    load_torch_state_dict(model, change(to_torch_state_dict(source)))
    assert numbers(model) == numbers(source)


def test_numbers_are_counted_not_spelt():
    layers = [layer for _ in range(6) for layer in (fnn.Affine(3), fnn.ReLU())]
    source, model = (
        fnn.Sequential([type(layer)(**layer.settings()) for layer in layers], 3, rng=rng)
        for rng in (0, 1)
    )
    state = sorted_as_text(to_torch_state_dict(source))
    assert list(state)[2] == "10.bias"
    load_torch_state_dict(model, state)
    assert numbers(model) == numbers(source)


def without(name):
    return lambda state: state.pop(name)


def having(name, value):
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("0.bias"), "must have weight, bias in module '0', for affine1; got weight$"),
        (having("2.bias", np.zeros(3)), "have weight in module '2', for prelu1; got weight, bias"),
        (without("2.weight"), r"must have 5 modules with weights, for affine1, .*; got 4: 0, 1, 4"),
        (having("9.weight", np.zeros(3)), "must have 5 modules with weights, .*; got 6: 0, 1, 2"),
        (without("1.running_var"), "'1', for batchnorm1; got weight, bias, running_mean, num_bat"),
        (
            having("0.weight", np.zeros((4, 3))),
            r"state\['0.weight'\] must have shape \(3, 4\), for affine1.w transposed; got \(4, 3\)",
        ),
        (having("2.weight", np.zeros(1)), r"must have shape \(3,\), for prelu1.slope; got \(1,\)"),
        (having("6.bias", [[1.0], [1.0, 2.0]]), "'6.bias'.* rows of different lengths"),
        (having("6.weight", np.zeros((3, 2))), "transpose of what its TiedAffine gives"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, message):
    model = network(1)
    before, state = numbers(model), to_torch_state_dict(network(0))
    change(state)
    with pytest.raises(ValueError, match=message):
        load_torch_state_dict(model, state)
    assert numbers(model) == before


def test_types_are_refused():
    model = network()
    state = to_torch_state_dict(model)
    with pytest.raises(TypeError, match=r"state must be a mapping .*; got list"):
        load_torch_state_dict(model, list(state))
    with pytest.raises(TypeError, match=r"state\['0.bias'\] must hold real numbers; got dtype <U1"):
        load_torch_state_dict(model, state | {"0.bias": np.array(["a", "b", "c"])})
    with pytest.raises(TypeError, match="model must be a Sequential; got dict"):
        to_torch_state_dict({})


def test_tensors_need_torch(run_python):
    code = """
import sys
sys.modules["torch"] = None
import fastnn as fnn
model = fnn.mlp(2, [3], 2)
fnn.io.load_torch_state_dict(model, fnn.io.to_torch_state_dict(model))
try:
    fnn.io.to_torch_state_dict(model, tensors=True)
except ImportError as error:
    print(error)
"""
    assert "torch is not installed" in run_python(code)
