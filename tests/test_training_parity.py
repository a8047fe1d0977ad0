"""Thirty steps of training: the same losses on every backend, engine and instruction set."""

import numpy as np
import pytest
from networks import Recorder, blobs, every_layer

import fastnn as fnn
from fastnn.backend import built_instruction_sets, get_backend

STEPS = 30
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}

# What is compared with NumPy: backend, instruction set, engine.
OTHERS = [
    ("cython", isa, engine)
    for isa in built_instruction_sets()
    for engine in (["eager", "native"] if get_backend("cython").program else ["eager"])
]
OTHERS += [("numba", None, "eager")] if "numba" in fnn.available_backends() else []


@pytest.fixture(params=OTHERS, ids=lambda other: "-".join(filter(None, other)))
def other(request, monkeypatch):
    """A backend and an engine; the instruction set is chosen through the environment."""
    backend, isa, engine = request.param
    if isa:
        monkeypatch.setenv("FASTNN_ISA", isa)
    assert get_backend(backend).instruction_set == isa
    return backend, engine


def digits(n=1000):
    """Images of 8x8 with 10 classes, as the digits are: pixels in [0, 1], many of them zero."""
    x, y = blobs(n, features=64, classes=10, seed=3)
    return np.clip(x / 4, 0, 1), y


def classic(backend, dtype):
    """The seven-layer network, with BatchNorm before the activation and dropout after it."""
    return fnn.mlp(
        64, [100] * 6, 10, batch_norm=True, dropout=0.2, rng=0, dtype=dtype, backend=backend
    )


def curve(model, engine, x, y, sample_weight=None, metric="accuracy", **settings):
    """Losses of the steps, and the metric of the epochs; the model has been trained afterwards."""
    recorder = Recorder()
    settings = {"regularizer": fnn.L2(1e-3), "batch_size": len(x) // (STEPS // 3)} | settings
    trainer = fnn.Trainer(
        model, engine=engine, rng=1, callbacks=[recorder], verbose=False, **settings
    )
    history = trainer.fit(x, y, epochs=3, sample_weight=sample_weight)
    return recorder.losses, history[metric]


def assert_same_curves(got, expected, dtype):
    assert len(got[0]) == len(expected[0]) == STEPS
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE[dtype])


def test_the_classic_network(other, dtype):
    backend, engine = other
    x, y = digits()
    expected = curve(classic("numpy", dtype), "eager", x, y)
    assert expected[0][-1] < 0.8 * expected[0][0]
    assert_same_curves(curve(classic(backend, dtype), engine, x, y), expected, dtype)


@pytest.mark.parametrize("optimizer", [fnn.Nesterov(0.05), fnn.RAdam(0.01), fnn.AdaDelta()])
def test_every_layer(other, dtype, optimizer):
    """With soft labels, sample weights and a frozen layer."""
    x, y = blobs(300)
    soft = 0.9 * np.eye(3)[y] + 0.1 / 3
    curves, outputs = [], []
    for backend, engine in (("numpy", "eager"), other):
        model = every_layer(backend, dtype)
        model.layers[4].trainable = False
        settings = {"optimizer": optimizer, "regularizer": fnn.ElasticNet(1e-4, 1e-3)}
        curves.append(curve(model, engine, x, soft, np.linspace(0, 2, 300), **settings))
        outputs.append(model.predict(x))
    assert_same_curves(curves[1], curves[0], dtype)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=100 * TOLERANCE[dtype])


@pytest.mark.parametrize("loss", ["mean_squared_error", "sum_squared_error"])
def test_regression(other, dtype, loss):
    """On bytes, with weights and a last batch that is shorter."""
    images = np.random.default_rng(0).integers(0, 256, (297, 8), dtype=np.uint8)
    y = np.sin(images[:, :2] / 40.0)
    curves = []
    for backend, engine in (("numpy", "eager"), other):
        model = fnn.mlp(8, [20], 2, "elu", batch_norm=True, rng=0, dtype=dtype, backend=backend)
        weights = np.linspace(0, 2, 297)
        settings = {"loss": loss, "batch_size": 30}
        curves.append(curve(model, engine, images, y, weights, "loss", **settings))
    assert_same_curves(curves[1], curves[0], dtype)


def test_a_last_batch_of_one_joins_the_one_before(other, dtype):
    x, y = blobs(301)
    curves = []
    for backend, engine in (("numpy", "eager"), other):
        model = fnn.mlp(8, [20], 3, batch_norm=True, rng=0, dtype=dtype, backend=backend)
        curves.append(curve(model, engine, x, y, batch_size=30))
    assert_same_curves(curves[1], curves[0], dtype)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_masks_are_the_same_bits(other, dtype, ratio):
    """At every step of training, and in a layer behind another."""
    backend, engine = other
    x = np.ones((50, 33))
    masks = []
    for name, which in (("numpy", "eager"), (backend, engine)):
        layers = [fnn.Affine(33), fnn.Dropout(ratio), fnn.Dropout(ratio)]
        model = fnn.Sequential(layers, 33, rng=11, dtype=dtype, backend=name)
        model.params["affine1.w"][:] = np.eye(33)
        trainer = fnn.Trainer(
            model, "mean_squared_error", fnn.SGD(1e-30), engine=which, rng=0, verbose=False
        )
        taken = []
        for step in range(5):
            taken.append(model.forward(x, train=True))
            assert np.array_equal(taken[-1], model.forward(x, train=True, step=step))
            # The gradient of the bias sees the mask of the step that was trained.
            trainer.fit(x, np.zeros((50, 33)), epochs=1, shuffle=False)
            taken.append(model.grads["affine1.b"].copy())
        taken.append(model.forward(x, train=True, step=2**40 + 3))
        masks.append(taken)
    for place, (expected, got) in enumerate(zip(*masks, strict=True)):
        if expected.ndim == 2:
            np.testing.assert_array_equal(got, expected)
            assert set(np.unique(got != 0)) == {False, True}
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-5, err_msg=f"step {place // 2}")


def test_initial_weights_and_the_order_of_rows_are_the_same(other):
    """SGD at a rate that moves nothing: the losses tell in which order the rows came."""
    backend, engine = other
    x, y = blobs(STEPS // 3)
    settings = {"optimizer": fnn.SGD(1e-300), "regularizer": None}
    curves = [
        curve(fnn.mlp(8, [5], 3, rng=0, dtype="float64", backend=name), which, x, y, **settings)
        for name, which in (("numpy", "eager"), (backend, engine))
    ]
    assert_same_curves(curves[1], curves[0], "float64")
    assert len(set(np.round(curves[0][0], 9))) == STEPS // 3
