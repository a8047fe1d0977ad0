"""The activations that have parameters or change the number of features: PReLU and Maxout."""

import copy
import pickle

import numpy as np
import pytest
from networks import blobs, numbers

import fastnn as fnn

ATOL = {"float32": 2e-5, "float64": 1e-12}


def alone(layer, n_in, dtype="float64", backend=None):
    return fnn.Sequential([layer], n_in, rng=0, dtype=dtype, backend=backend)


def network(backend=None, dtype="float64"):
    """8 features to 3 outputs through both, with settings off their defaults."""
    layers = [
        *(fnn.Affine(12), fnn.BatchNorm(), fnn.Maxout(3)),
        *(fnn.Affine(6), fnn.PReLU(0.1), fnn.Affine(3)),
    ]
    return fnn.Sequential(layers, 8, rng=0, dtype=dtype, backend=backend)


# -- PReLU -----------------------------------------------------------------------------------------


def test_prelu_and_its_gradients(backend, dtype, rng):
    layer = fnn.PReLU()
    model = alone(layer, 5, dtype, backend)
    assert model.params["prelu1.slope"].tolist() == [0.25] * 5
    layer.slope[:] = [-1, -0.25, 0, 0.5, 2]
    x, dout = rng.standard_normal((2, 7, 5)).astype(dtype)
    wide = x.astype(float)
    factor = np.where(x > 0, 1, layer.slope.astype(float))
    np.testing.assert_allclose(layer.forward(x), wide * factor, atol=ATOL[dtype])
    np.testing.assert_allclose(layer.backward(dout), dout * factor, atol=ATOL[dtype])
    dslope = (dout * wide * (x <= 0)).sum(axis=0)
    np.testing.assert_allclose(layer.dslope, dslope, atol=ATOL[dtype])
    layer.dslope[:] = 7
    assert layer.backward(dout, input_gradient=False) is None
    np.testing.assert_allclose(layer.dslope, dslope, atol=ATOL[dtype])


def test_prelu_starts_where_it_is_told_to():
    assert alone(fnn.PReLU(-0.5), 3).params["prelu1.slope"].tolist() == [-0.5] * 3
    assert alone(fnn.PReLU(init=1), 3).params["prelu1.slope"].tolist() == [1] * 3


def test_a_frozen_prelu_keeps_its_slopes_and_passes_the_gradient_on(backend):
    x, y = blobs(40)
    model = network(backend)
    trainer = fnn.Trainer(model, batch_size=20, rng=0, verbose=False)
    _, expected = trainer.gradients(x, y)
    prelu = model.layers[4]
    prelu.trainable = False
    prelu.dslope[:] = 7
    _, grads = trainer.gradients(x, y)
    assert (prelu.dslope == 7).all()
    assert grads.keys() == expected.keys() - {"prelu1.slope"}
    for name, gradient in grads.items():
        np.testing.assert_array_equal(gradient, expected[name])
    before = model.snapshot()
    trainer.fit(x, y, epochs=1)
    np.testing.assert_array_equal(prelu.slope, before["prelu1.slope"])
    assert not np.array_equal(model.params["affine1.w"], before["affine1.w"])


def test_prelu_alone_learns_its_slopes(backend, rng):
    """A model with nothing else to train: its first layer needs no gradient of its input."""
    x = rng.standard_normal((400, 4))
    slopes = np.array([-1.0, 0.0, 0.5, 2.0])
    model = alone(fnn.PReLU(), 4, backend=backend)
    trainer = fnn.Trainer(
        model, "mean_squared_error", fnn.Adam(lr=0.05), batch_size=50, rng=0, verbose=False
    )
    trainer.fit(x, np.where(x > 0, x, slopes * x), epochs=40)
    np.testing.assert_allclose(model.params["prelu1.slope"], slopes, atol=1e-3)


def test_regularizers_leave_slopes_alone():
    x, y = blobs(20)
    model = network()
    plain = fnn.Trainer(model, verbose=False).gradients(x, y)[1]
    penalized = fnn.Trainer(model, regularizer=fnn.L2(10.0), verbose=False).gradients(x, y)[1]
    np.testing.assert_array_equal(penalized["prelu1.slope"], plain["prelu1.slope"])
    assert not np.array_equal(penalized["affine1.w"], plain["affine1.w"])


# -- Maxout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 2, 3, 6])
def test_maxout_and_its_gradient(pieces, backend, dtype, rng):
    layer = fnn.Maxout(pieces)
    model = alone(layer, 6, dtype, backend)
    m = 6 // pieces
    assert model.output_size == m
    assert model.params == {}
    x, dout = rng.standard_normal((9, 6)).astype(dtype), rng.standard_normal((9, m)).astype(dtype)
    out = layer.forward(x)
    dx = layer.backward(dout)
    for i in range(9):
        for j in range(m):
            mine = x[i, j::m]
            assert out[i, j] == mine.max()
            expected = np.where(mine == mine.max(), dout[i, j], 0)
            np.testing.assert_array_equal(dx[i, j::m], expected)
    np.testing.assert_array_equal(model.predict(x), out)
    assert layer.backward(dout, input_gradient=False) is None


def test_the_first_of_equal_pieces_gets_the_gradient(backend):
    layer = fnn.Maxout(3)
    alone(layer, 6, backend=backend)
    layer.forward(np.array([[1.0, 0, 2, 0, 2, 0]]))  # pieces 1 2 2 of one unit, 0 0 0 of the other
    np.testing.assert_array_equal(layer.backward(np.array([[5.0, 7]])), [[0, 7, 5, 0, 0, 0]])


@pytest.mark.parametrize("place", range(3))
def test_maxout_lets_nan_through(place, backend):
    layer = fnn.Maxout(3)
    alone(layer, 3, backend=backend)
    x = np.array([[1.0, np.inf, 2.0]])
    x[0, place] = np.nan
    assert np.isnan(layer.forward(x)).all()
    assert layer.backward(np.ones((1, 1))).argmax() == place


def test_maxout_buffers_are_its_own(rng):
    layer = fnn.Maxout()
    alone(layer, 6)
    x, dout = rng.standard_normal((8, 6)), rng.standard_normal((8, 3))
    kept = x.copy(), dout.copy()
    out, dx = layer.forward(x), layer.backward(dout)
    assert not np.shares_memory(out, x)
    assert not np.shares_memory(dx, dout)
    assert np.shares_memory(layer.forward(x[:3]), out)
    assert layer.backward(dout[:3]).shape == (3, 6)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(dout, kept[1])


def test_maxout_needs_a_multiple_of_its_pieces():
    with pytest.raises(ValueError, match=r"Maxout\(pieces=3\) takes a multiple of 3 .*got 10: put"):
        fnn.Sequential([fnn.Affine(10), fnn.Maxout(3)], 4)


def test_two_linear_pieces_make_an_absolute_value(backend, rng):
    """max(x, -x): what no single ReLU can."""
    x = rng.standard_normal((300, 1))
    model = fnn.Sequential(
        [fnn.Affine(2), fnn.Maxout(2)], 1, rng=1, dtype="float64", backend=backend
    )
    trainer = fnn.Trainer(
        model, "mean_squared_error", fnn.Adam(lr=0.05), batch_size=50, rng=0, verbose=False
    )
    trainer.fit(x, np.abs(x), epochs=60)
    np.testing.assert_allclose(np.sort(model.params["affine1.w"][0]), [-1, 1], atol=0.01)
    assert trainer.evaluate(x, np.abs(x))["loss"] < 1e-4


# -- both, as parts of models ----------------------------------------------------------------------


def test_they_learn(backend, dtype):
    x, y = blobs(300)
    model = network(backend, dtype)
    trainer = fnn.Trainer(model, optimizer=fnn.Adam(0.01), batch_size=20, rng=0, verbose=False)
    history = trainer.fit(x, y, epochs=10)
    assert history["accuracy"][-1] > 0.95
    assert np.abs(model.params["prelu1.slope"] - 0.1).max() > 1e-3


def test_backends_agree(backend):
    x, y = blobs(40)
    loss, grads = fnn.Trainer(network("numpy"), verbose=False).gradients(x, y)
    other_loss, others = fnn.Trainer(network(backend), verbose=False).gradients(x, y)
    assert other_loss == pytest.approx(loss, rel=1e-13)
    assert others.keys() == grads.keys()
    for name, gradient in others.items():
        np.testing.assert_allclose(gradient, grads[name], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_they_are_saved_and_copied(way, tmp_path):
    x, y = blobs(40)
    model = network(dtype="float32")
    fnn.Trainer(model, batch_size=20, rng=0, verbose=False).fit(x, y, epochs=1)
    model.layers[4].trainable = False
    if way == "file":
        model.save(tmp_path / "model.fnn")
        twin = fnn.load(tmp_path / "model.fnn")
    else:
        twin = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert twin.config() == model.config()
    assert numbers(twin) == numbers(model)
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in model.layers]
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))


def test_a_file_whose_pieces_do_not_divide_is_refused(tmp_path):
    from fastnn.storage import read_file, write_file

    path = tmp_path / "model.fnn"
    network().save(path)
    arrays, description = read_file(path)
    for pieces in (5, 0, "3", 1000):
        description["layers"][2]["pieces"] = pieces
        write_file(path, arrays, description)
        with pytest.raises(fnn.CorruptFileError, match="pieces"):
            fnn.load(path)
