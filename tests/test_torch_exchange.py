"""Weights to and from PyTorch itself: the same outputs, and the same step of BatchNorm.

Skipped where PyTorch is missing, unless FASTNN_TEST_ORACLE=1, as test_torch_oracle.py.
"""

import os

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of

import fastnn as fnn
from fastnn.io import load_torch_state_dict, to_torch_state_dict

if os.environ.get("FASTNN_TEST_ORACLE") == "1":
    import torch
else:
    torch = pytest.importorskip("torch")

torch.set_num_threads(1)

MODULES = {
    fnn.Affine: lambda layer: torch.nn.Linear(layer.n_in, layer.n_out),
    fnn.TiedAffine: lambda layer: torch.nn.Linear(layer.n_in, layer.n_out),
    fnn.BatchNorm: lambda layer: torch.nn.BatchNorm1d(
        layer.n_in, eps=layer.eps, momentum=1 - layer.momentum
    ),
    fnn.PReLU: lambda layer: torch.nn.PReLU(layer.n_in),
    fnn.ReLU: lambda layer: torch.nn.ReLU(),
    fnn.LeakyReLU: lambda layer: torch.nn.LeakyReLU(layer.slope),
    fnn.ELU: lambda layer: torch.nn.ELU(layer.alpha),
    fnn.Softplus: lambda layer: torch.nn.Softplus(),
    fnn.GELU: lambda layer: torch.nn.GELU(),
    fnn.SiLU: lambda layer: torch.nn.SiLU(),
    fnn.Sigmoid: lambda layer: torch.nn.Sigmoid(),
    fnn.Tanh: lambda layer: torch.nn.Tanh(),
    fnn.Softmax: lambda layer: torch.nn.Softmax(dim=1),
    fnn.Dropout: lambda layer: torch.nn.Dropout(layer.ratio),
}


def network(dtype="float64", rng=0):
    """A trained network of every layer that PyTorch has too."""
    layers = [
        *(fnn.Affine(7), fnn.BatchNorm(momentum=0.8, eps=1e-3), fnn.LeakyReLU(0.1)),
        *(fnn.Dropout(0.2), fnn.Affine(6), fnn.PReLU(), fnn.Affine(5), fnn.TiedAffine()),
        *(fnn.ELU(0.7), fnn.Affine(6), fnn.Softplus(), fnn.BatchNorm(), fnn.GELU()),
        *(fnn.Affine(5), fnn.SiLU(), fnn.Affine(4), fnn.Sigmoid(), fnn.Affine(4), fnn.Tanh()),
        *(fnn.ReLU(), fnn.Affine(3), fnn.Softmax()),
    ]
    model = fnn.Sequential(layers, 8, rng=rng, dtype=dtype)
    trainer_of(model, loss="cross_entropy").fit(*blobs(), epochs=2)
    return model


def twin(model):
    modules = [MODULES[type(layer)](layer) for layer in model.layers]
    return torch.nn.Sequential(*modules).to(getattr(torch, model.dtype.name))


def outputs(theirs, x):
    with torch.no_grad():
        return theirs.eval()(torch.from_numpy(x)).numpy()


TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def test_to_torch(dtype):
    model = network(dtype)
    theirs, x = twin(model), blobs()[0].astype(dtype)
    result = theirs.load_state_dict(to_torch_state_dict(model, tensors=True), strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    np.testing.assert_allclose(
        outputs(theirs, x), model.predict(x), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )
    assert theirs[1].num_batches_tracked == model.step


def test_from_torch(dtype):
    source, model = network(dtype), network(dtype, rng=1)
    theirs = twin(source)
    theirs.load_state_dict(to_torch_state_dict(source, tensors=True))
    load_torch_state_dict(model, theirs.state_dict())
    assert numbers(model) == numbers(source)


def test_names_are_those_of_torch():
    model = network()
    state = twin(model).state_dict()
    ours = to_torch_state_dict(model)
    assert list(ours) == list(state)
    assert [array.shape for array in ours.values()] == [tuple(t.shape) for t in state.values()]


def test_other_types_and_tensors_with_gradients():
    model = fnn.mlp(8, [5], 3, rng=0)
    theirs = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        theirs = theirs.to(dtype)
        load_torch_state_dict(model, dict(theirs.named_parameters()))
        w = theirs[0].weight.detach().double().numpy().T
        np.testing.assert_array_equal(model.params["affine1.w"], w.astype("float32"))


def test_momentum_and_variance_of_a_training_step():
    """The conventions that the documentation states, seen in one batch."""
    ours = fnn.Sequential([fnn.BatchNorm(momentum=0.8)], 8, dtype="float64")
    theirs = twin(ours).train()
    x = blobs(20)[0]
    out = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.forward(x, train=True), out, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.state["batchnorm1.running_mean"], theirs[0].running_mean)
    batch = (theirs[0].running_var.numpy() - 0.8) * 19 / 20
    np.testing.assert_allclose(ours.state["batchnorm1.running_var"], 0.8 + batch)
