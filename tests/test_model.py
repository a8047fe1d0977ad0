"""Sequential and mlp: names, memory, input, prediction, description, copies."""

import copy
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import blobs, every_layer, numbers

import fastnn as fnn
from fastnn.model import CHUNK

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


# -- parameters ------------------------------------------------------------------------------------


def test_names_count_the_layers_of_each_kind():
    model = fnn.mlp(4, [5, 6], 3, batch_norm=True, dropout=0.5)
    assert [layer.name for layer in model.layers] == [
        *("affine1", "batchnorm1", "relu1", "dropout1"),
        *("affine2", "batchnorm2", "relu2", "dropout2"),
        "affine3",
    ]
    assert {name: view.shape for name, view in model.params.items()} == {
        "affine1.w": (4, 5),
        "affine1.b": (5,),
        "batchnorm1.gamma": (5,),
        "batchnorm1.beta": (5,),
        "affine2.w": (5, 6),
        "affine2.b": (6,),
        "batchnorm2.gamma": (6,),
        "batchnorm2.beta": (6,),
        "affine3.w": (6, 3),
        "affine3.b": (3,),
    }
    assert list(model.grads) == list(model.params)
    assert list(model.state) == [
        f"batchnorm{i}.running_{what}" for i in (1, 2) for what in ("mean", "var")
    ]


def test_more_than_nine_layers_of_a_kind_keep_their_parameters_apart():
    model = fnn.Sequential([fnn.Affine(n) for n in range(1, 13)], input_shape=3)
    for n, layer in enumerate(model.layers, start=1):
        assert layer.b is model.params[f"affine{n}.b"]
        assert layer.b.shape == (n,)


def test_parameters_are_views_of_one_aligned_buffer(dtype):
    model = every_layer(dtype=dtype)
    for flat, views, prefix in (
        (model.flat_params, model.params, ""),
        (model.flat_grads, model.grads, "d"),
    ):
        assert flat.ctypes.data % 64 == 0
        assert flat.dtype == dtype
        assert flat.ndim == 1
        end = flat.ctypes.data
        for layer in model.layers:
            for key in layer.param_names:
                view = views[f"{layer.name}.{key}"]
                assert getattr(layer, prefix + key) is view
                assert np.shares_memory(view, flat)
                assert view.ctypes.data % 64 == 0
                assert view.flags.c_contiguous
                # In the order of the layers, less than a cache line apart.
                assert 0 <= view.ctypes.data - end < 64
                end = view.ctypes.data + view.nbytes
    assert not np.shares_memory(model.flat_params, model.flat_grads)
    flat = model.flat_params.copy()
    model.params["affine2.b"][2] = 17
    assert (model.flat_params != flat).sum() == 1
    total = sum(view.size for view in model.params.values())
    for view in model.params.values():
        view[:] = 1
    assert model.flat_params.sum() == total  # what lies between the views is zero


def test_trainable_spans_cover_what_is_trained_and_nothing_else():
    model = fnn.mlp(5, [3, 3], 2, batch_norm=True)
    assert len(model.trainable_spans()) == 1
    for frozen in [(), (0,), (3,), (1, 3), (6,), (0, 1, 3, 4, 6)]:
        for layer in model.layers:
            layer.trainable = layer.index not in frozen
        model.flat_params[:] = 0
        for span in model.trainable_spans():
            model.flat_params[span] += 1
        for layer in model.layers:
            for key in layer.param_names:
                assert (getattr(layer, key) == layer.trainable).all()


def test_gradients_end_at_the_first_layer_that_is_trained():
    """What comes before it need not even have a backward pass."""

    class OneWay(fnn.Layer):
        kind = "one_way"

        def forward(self, x, train=False, step=0):
            return x

    layers = [OneWay(), fnn.Affine(4), OneWay(), fnn.Affine(3)]
    model = fnn.Sequential(layers, input_shape=8, rng=0)
    trainer = fnn.Trainer(model, verbose=False)
    with pytest.raises(NotImplementedError):
        trainer.gradients(*blobs(9))
    layers[1].trainable = False
    trainer.gradients(*blobs(9))

    asked = []

    class Watched(fnn.Affine):
        kind = "watched"

        def backward(self, dout, input_gradient=True):
            asked.append(input_gradient)
            return super().backward(dout, input_gradient)

    model = fnn.Sequential([OneWay(), Watched(4), Watched(3)], input_shape=8, rng=0)
    fnn.Trainer(model, verbose=False).gradients(*blobs(9))
    assert asked == [True, False]


def test_snapshot_and_restore():
    model = every_layer()
    x, y = blobs(40)
    trainer = fnn.Trainer(model, batch_size=20, rng=0, verbose=False)
    before, snapshot = numbers(model), model.snapshot()
    addresses = [view.ctypes.data for view in (model.params | model.state).values()]
    trainer.fit(x, y, epochs=1)
    assert all(numbers(model)[name] != before[name] for name in before)
    assert {name: array.tobytes() for name, array in snapshot.items()} == before
    model.restore(snapshot)
    assert numbers(model) == before
    assert [view.ctypes.data for view in (model.params | model.state).values()] == addresses
    snapshot["affine1.w"][:] = 0
    assert numbers(model) == before


def test_restore_takes_a_model_of_the_other_dtype():
    single, double = every_layer(dtype="float32", rng=1), every_layer(dtype="float64", rng=2)
    single.restore(double.snapshot())
    for name, view in single.params.items():
        np.testing.assert_array_equal(view, double.params[name].astype("float32"))


def spoiled(snapshot, name, array):
    return snapshot | {name: array}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "affine6.b"}, "'affine6.b'"),
        (lambda s: {}, "on one side only"),
        (lambda s: s | {"affine9.w": np.zeros(3)}, "'affine9.w'"),
        (lambda s: spoiled(s, "affine6.b", np.zeros(4)), r"'affine6.b' must have shape \(3,\)"),
        (lambda s: spoiled(s, "affine6.b", np.zeros((3, 1))), "'affine6.b'"),
        (lambda s: spoiled(s, "affine6.b", 0.0), "'affine6.b'"),
        (lambda s: spoiled(s, "batchnorm2.running_var", np.zeros((1, 6))), "running_var"),
        (lambda s: spoiled(s, "affine6.b", np.array(["a", "b", "c"])), "'affine6.b'"),
        (lambda s: spoiled(s, "affine6.b", np.array([1, None, 2])), "'affine6.b'"),
        (lambda s: spoiled(s, "affine6.b", np.array([1, 2, 3j])), "'affine6.b'"),
    ],
)
def test_restore_is_all_or_nothing(spoil, message):
    model = every_layer()
    before = numbers(model)
    snapshot = spoil({name: array + 1 for name, array in model.snapshot().items()})
    with pytest.raises((ValueError, TypeError), match=message):
        model.restore(snapshot)
    assert numbers(model) == before


# -- input -----------------------------------------------------------------------------------------


def integers(shape):
    """Whole numbers, which every dtype can hold."""
    return np.random.default_rng(5).integers(0, 10, shape)


def readonly(x):
    x = x.astype("float32")
    x.flags.writeable = False
    return x


def misaligned(x):
    """An array that starts between two elements of its dtype, as fields of a file do."""
    memory = np.zeros(x.size * 4 + 1, np.uint8)
    out = memory[1:].view("float32").reshape(x.shape)
    out[...] = x
    assert not out.flags.aligned
    return out


LAYOUTS = {
    "float32": lambda x: x.astype("float32"),
    "float64": lambda x: x.astype("float64"),
    "float16": lambda x: x.astype("float16"),
    "long double": lambda x: x.astype("longdouble"),
    "int64": lambda x: x,
    "int8": lambda x: x.astype("int8"),
    "uint16": lambda x: x.astype("uint16"),
    "byte-swapped floats": lambda x: x.astype(">f4"),
    "byte-swapped doubles": lambda x: x.astype(">f8"),
    "byte-swapped integers": lambda x: x.astype(">i2"),
    "Fortran order": lambda x: np.asfortranarray(x, "float32"),
    "Fortran order, doubles": lambda x: np.asfortranarray(x, "float64"),
    "every other row": lambda x: np.repeat(x, 2, axis=0).astype("float32")[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=-1).astype("float32")[..., ::2],
    "backwards": lambda x: x[::-1, ..., ::-1].astype("float32")[::-1, ..., ::-1],
    "one row, repeated": lambda x: np.broadcast_to(x[:1].astype("float32"), x.shape),
    "read-only": readonly,
    "misaligned": misaligned,
    "lists": lambda x: x.tolist(),
    "a list of arrays": lambda x: [*x.astype("float32")],
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "a matrix view": lambda x: x.astype("float32").view(type("Mine", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_dtype_of_rows_means_the_same(layout, backend, dtype):
    x = integers((9, 8))
    if layout == "one row, repeated":
        x = np.broadcast_to(x[:1], x.shape)
    model = every_layer(backend, dtype)
    given = LAYOUTS[layout](x)
    kept = copy.deepcopy(given)
    plain = np.array(x, dtype, order="C")
    np.testing.assert_array_equal(model.predict(given), model.predict(plain))
    np.testing.assert_array_equal(model.forward(given), model.forward(plain))
    trainer = fnn.Trainer(model, rng=0, verbose=False)
    y = np.arange(9) % 3
    loss, grads = trainer.gradients(given, y)
    expected, wanted = trainer.gradients(plain, y)
    assert loss == expected
    for name, gradient in grads.items():
        np.testing.assert_array_equal(gradient, wanted[name])
    np.testing.assert_array_equal(given, kept)


def test_bytes_are_scaled_to_one(executor, dtype):
    """uint8 is how images are stored; integers of other types stay as they are."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8), dtype=np.uint8)
    y = np.arange(30) % 3
    results = []
    for x in (images / 255, images, np.asfortranarray(images), images.tolist()):
        model = fnn.mlp(8, [5], 3, rng=0, dtype=dtype, backend=executor.backend)
        trainer = fnn.Trainer(model, batch_size=7, engine=executor.engine, rng=0, verbose=False)
        loss, _ = trainer.gradients(x, y)
        results.append([loss, *trainer.fit(x, y, 2, validation_data=(x, y))["loss"]])
        results[-1] += trainer.history["val_loss"]
        np.testing.assert_allclose(model.predict(x)[:4], model.forward(x[:4]), rtol=1e-4)
    scaled, small, fortran, unscaled = results
    assert small == pytest.approx(scaled, rel=TOLERANCE[dtype])
    assert fortran == small
    assert unscaled[0] > 10 * scaled[0]


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("make", [np.array, np.asfortranarray, lambda x: np.repeat(x, 2)[::2]])
def test_a_single_feature(n, make, executor):
    """Its column may have any stride, and still lies as it should."""
    column = make(np.linspace(-1, 1, n))[:, None]
    model = fnn.mlp(1, [4], 1, rng=0, dtype="float64", backend=executor.backend)
    plain = np.array(column, order="C").copy()
    np.testing.assert_array_equal(model.predict(column), model.predict(plain))
    losses = []
    for x in (column, plain):
        twin = copy.deepcopy(model)
        trainer = fnn.Trainer(
            twin, "mean_squared_error", engine=executor.engine, rng=0, verbose=False
        )
        losses.append((trainer.fit(x, x**2, epochs=2)["loss"], numbers(twin)))
    assert losses[0] == losses[1]


def test_booleans_are_zero_and_one(backend):
    model = every_layer(backend)
    x = integers((9, 8)) > 4
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype(float)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_come_as_images_or_as_rows(layout, backend):
    model = fnn.mlp((1, 28, 28), [4], 3, rng=0, backend=backend)
    assert model.input_shape == (1, 28, 28)
    assert model.params["affine1.w"].shape == (784, 4)
    x = integers((5, 1, 28, 28))
    if layout == "one row, repeated":
        x = np.broadcast_to(x[:1], x.shape)
    rows = x.reshape(5, 784).astype("float32")
    np.testing.assert_array_equal(model.predict(LAYOUTS[layout](x)), model.predict(rows))


def test_training_does_not_touch_the_callers_arrays(backend):
    x, y = blobs(60)
    x = x.astype("float32")
    given = x.copy(), y.copy()
    x.flags.writeable = y.flags.writeable = False
    model = fnn.mlp(8, [4], 3, batch_norm=True, dropout=0.5, rng=0, backend=backend)
    trainer = fnn.Trainer(model, batch_size=20, rng=0, verbose=False)
    trainer.fit(x, y, epochs=2, validation_data=(x, y))
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(y, given[1])


class Sparse:
    """Stands for a scipy.sparse matrix, which has this method and no `__array__`."""

    shape = (4, 8)

    def toarray(self):
        raise AssertionError("a sparse matrix was made dense behind the user's back")


BAD_INPUT = {
    "strings": (
        np.full((4, 8), "1.0"),
        TypeError,
        "x must hold real .* dtype <U3; words",
    ),
    "objects": (np.full((4, 8), None), TypeError, "x must hold real numbers; got dtype object"),
    "complex": (np.ones((4, 8), complex), TypeError, "x must hold real numbers"),
    "dates": (np.zeros((4, 8), "datetime64[s]"), TypeError, "x must hold real numbers"),
    "records": (np.zeros((4, 8), [("a", "f4")]), TypeError, "x must hold real numbers"),
    "bytes": (np.full((4, 8), b"1"), TypeError, "x must hold real numbers"),
    "nothing": (None, TypeError, "x must be an array; got None"),
    "a string": ("data.csv", TypeError, "x must hold real numbers"),
    "sparse": (Sparse(), TypeError, r"x must be a dense array; got Sparse: call x\.toarray\(\)"),
    "too wide": (np.ones((4, 9)), ValueError, r"x must have shape \(N, 8\); got \(4, 9\)"),
    "too narrow": (np.ones((4, 7)), ValueError, r"x must have shape \(N, 8\)"),
    "an axis too many": (np.ones((4, 2, 4)), ValueError, r"x must have shape \(N, 8\)"),
    "no rows": (np.ones((0, 8)), ValueError, "x must have at least one row"),
    "an empty list": ([], ValueError, r"x must have shape \(N, 8\); got \(0,\)"),
    "one sample": (np.ones(8), ValueError, r"for a single sample pass x\[None\]"),
    "a scalar": (3.0, ValueError, r"x must have shape \(N, 8\); got \(\)"),
    "an array without axes": (np.array(3.0), ValueError, r"x must have shape \(N, 8\); got \(\)"),
    "rows of different lengths": ([[1.0] * 8, [1.0] * 7], ValueError, "x must be an array"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_is_named_and_changes_nothing(what):
    x, error, message = BAD_INPUT[what]
    model = every_layer()
    trainer = fnn.Trainer(model, rng=0, verbose=False)
    before, state = numbers(model), trainer.rng.bit_generator.state
    good = blobs(4)
    for attempt in (
        lambda: model.forward(x),
        lambda: model.forward(x, train=True),
        lambda: model.predict(x),
        lambda: model.predict_proba(x),
        lambda: trainer.fit(x, good[1]),
        lambda: trainer.fit(*good, validation_data=(x, good[1])),
        lambda: trainer.evaluate(x, good[1]),
        lambda: trainer.gradients(x, good[1]),
    ):
        with pytest.raises(error, match=message):
            attempt()
    assert numbers(model) == before
    assert trainer.rng.bit_generator.state == state
    assert trainer.step == trainer.epoch == model.step == 0


def test_an_image_of_the_wrong_shape_is_named():
    model = fnn.mlp((1, 4, 4), [], 2)
    shapes = r"x must have shape \(N, 1, 4, 4\) or \(N, 16\); got "
    for shape in [(3, 4, 4), (3, 2, 8), (3, 15), (3, 4, 4, 1)]:
        with pytest.raises(ValueError, match=shapes):
            model.predict(np.ones(shape))
    with pytest.raises(ValueError, match=shapes + r"\(1, 4, 4\); for a single sample"):
        model.predict(np.ones((1, 4, 4)))


def test_nan_and_infinity_go_through(backend):
    model = fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=backend)
    x = np.ones((4, 8))
    x[1, 2], x[2, 3] = np.nan, np.inf
    with np.errstate(all="ignore"):
        out, proba = model.predict(x), model.predict_proba(x)
    assert np.isfinite(out[[0, 3]]).all()
    assert np.isnan(out[1]).all()
    assert not np.isfinite(out[2]).all()
    assert np.isnan(proba[1]).all()


# -- prediction ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
def test_predict_gives_what_forward_gives(n, backend, dtype):
    x, _ = blobs(n)
    model = every_layer(backend, dtype)
    out = model.predict(x)
    assert out.shape == (n, 3)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, model.forward(x), atol=TOLERANCE[dtype])


def test_predict_does_not_change_the_model(backend):
    model = every_layer(backend)
    before = numbers(model)
    first = model.predict(blobs(50)[0])
    np.testing.assert_array_equal(model.predict(blobs(50)[0]), first)
    assert numbers(model) == before
    assert model.step == 0


def test_the_parts_of_a_forward_pass(backend):
    """An mlp by hand, in inference and in training mode."""
    x, _ = blobs(20)
    model = fnn.mlp(8, [5], 3, batch_norm=True, rng=0, dtype="float64", backend=backend)
    p = {name: view.copy() for name, view in model.params.items()}
    hidden = x @ p["affine1.w"] + p["affine1.b"]

    def rest(mean, var):
        normalized = (hidden - mean) / np.sqrt(var + 1e-5)
        return np.maximum(normalized, 0) @ p["affine2.w"] + p["affine2.b"]

    np.testing.assert_allclose(model.forward(x), rest(0, 1), atol=1e-13)
    trained = model.forward(x, train=True)
    np.testing.assert_allclose(trained, rest(hidden.mean(0), hidden.var(0)), atol=1e-12)
    np.testing.assert_allclose(model.state["batchnorm1.running_mean"], 0.1 * hidden.mean(0))


def test_probabilities_are_the_softmax_of_the_scores(backend, dtype):
    x, _ = blobs(CHUNK + 30)
    model = every_layer(backend, dtype)
    model.params["affine6.w"][:] *= 20
    scores, proba = model.predict(x).astype(float), model.predict_proba(x)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(proba, e / e.sum(axis=1, keepdims=True), atol=1e-5)
    assert proba.dtype == dtype
    np.testing.assert_allclose(proba.sum(axis=1, dtype=float), 1, atol=1e-6)
    model.params["affine6.w"][:] *= 1e4
    assert np.isfinite(model.predict_proba(x)).all()


def test_a_single_output_is_no_class():
    with pytest.raises(ValueError, match="sigmoid"):
        fnn.mlp(8, [4], 1, rng=0).predict_proba(blobs()[0])


def test_layers_of_one_model_run_in_many_threads(backend):
    """Each thread has buffers of its own; layers one by one, as where there is no program."""
    rng = np.random.default_rng(0)
    layers = [fnn.Affine(96), fnn.Maxout(2), fnn.Affine(20), fnn.Sigmoid(), fnn.TiedAffine()]
    model = fnn.Sequential([*layers, fnn.Softmax()], 30, rng=0, backend=backend)
    inputs = [rng.standard_normal((n, 30)) for n in (300, 500, 1500)]
    expected = [model.activations(x).tobytes() for x in inputs]

    def predict(place):
        return model.activations(inputs[place % 3]).tobytes() == expected[place % 3]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(predict, range(90)))


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("how", ["fit", "train_batch"])
def test_what_was_trained_to_say_yes_or_no_gives_probabilities_of_that(n_out, how, tmp_path):
    x, y = blobs()
    model = fnn.mlp(8, [4], n_out, rng=0)
    trainer = fnn.Trainer(model, loss="binary_cross_entropy", rng=0, verbose=False)
    targets = (y[:, None] == np.arange(n_out)).astype(float)
    trainer.fit(x, targets, epochs=1) if how == "fit" else trainer.train_batch(x, targets)
    expected = 1 / (1 + np.exp(-model.predict(x)))
    model.save(tmp_path / "model.fnn")
    copies = (fnn.load(tmp_path / "model.fnn"), copy.deepcopy(model), model.astype("float64"))
    for each in (model, *copies):
        np.testing.assert_allclose(each.predict_proba(x), expected, rtol=1e-5)
    assert model.replace_head(3, rng=0).output_activation == "softmax"


def test_output_activation_is_one_of_two():
    model = fnn.mlp(8, [4], 1, rng=0)
    with pytest.raises(ValueError, match="output_activation must be one of softmax, sigmoid"):
        model.output_activation = "tanh"
    assert model.output_activation == "softmax"


# -- building --------------------------------------------------------------------------------------


def test_mlp_is_what_it_says():
    model = fnn.mlp(
        (2, 3),
        [5, 4],
        1,
        activation="elu",
        batch_norm=True,
        dropout=0.3,
        init="xavier",
        rng=9,
        dtype="float64",
        backend="numpy",
    )
    by_hand = fnn.Sequential(
        [
            *(fnn.Affine(5, "xavier"), fnn.BatchNorm(), fnn.ELU(), fnn.Dropout(0.3)),
            *(fnn.Affine(4, "xavier"), fnn.BatchNorm(), fnn.ELU(), fnn.Dropout(0.3)),
            fnn.Affine(1, "xavier"),
        ],
        input_shape=(2, 3),
        rng=9,
        dtype="float64",
        backend="numpy",
    )
    assert model.config() == by_hand.config()
    assert numbers(model) == numbers(by_hand)
    assert model.backend.name == "numpy"
    plain = fnn.mlp(3, [2], 2)
    assert [layer.kind for layer in plain.layers] == ["affine", "relu", "affine"]
    assert plain.dtype == "float32"
    assert [layer.kind for layer in fnn.mlp(3, [], 2).layers] == ["affine"]


@pytest.mark.parametrize("activation", fnn.layers.ACTIVATIONS)
def test_mlp_knows_every_activation(activation):
    model = fnn.mlp(3, [5, 4], 2, activation=activation, batch_norm=True)
    assert [layer.kind for layer in model.layers] == ["affine", "batchnorm", activation] * 2 + [
        "affine"
    ]
    # The hidden units are those that go out of the activation.
    assert [layer.n_out for layer in model.layers if layer.kind == activation] == [5, 4]
    assert model.layers[0].units == (10 if activation == "maxout" else 5)
    assert activation in fnn.mlp.__doc__


def test_a_model_without_parameters_runs(backend):
    model = fnn.Sequential([fnn.ReLU()], input_shape=3, backend=backend)
    np.testing.assert_array_equal(model.predict([[-1.0, 0.0, 2.0]]), [[0, 0, 2]])
    assert model.params == {}
    assert "0 parameters" in model.summary()


RELU = [fnn.ReLU]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Sequential([], 3), ValueError, "layers must hold at least one layer"),
        (lambda: fnn.Sequential([fnn.ReLU], 3), TypeError, "layers must hold layers"),
        (lambda: fnn.Sequential(["relu"], 3), TypeError, "layers must hold layers"),
        (lambda: fnn.Sequential(fnn.ReLU(), 3), TypeError, "layers must"),
        (lambda: fnn.Sequential(None, 3), TypeError, "layers must"),
        (lambda: fnn.Sequential([fnn.ReLU()], 0), ValueError, "input_shape must be at least 1"),
        (lambda: fnn.Sequential([fnn.ReLU()], ()), ValueError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], (3, -1)), ValueError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], 2.5), TypeError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], None), TypeError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], "784"), TypeError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], (3, True)), TypeError, "input_shape"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, dtype="float16"), ValueError, "dtype must be one"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, dtype=int), ValueError, "dtype"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, dtype=">f4"), ValueError, "dtype"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, dtype="flaot32"), ValueError, "dtype"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, dtype=None), ValueError, "dtype"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, backend="cuda"), ValueError, "backend must be"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, backend=1), ValueError, "backend must be"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, rng=-1), ValueError, "rng"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, rng="zero"), TypeError, "rng"),
        (lambda: fnn.Sequential([fnn.ReLU()], 3, rng=0.5), TypeError, "rng"),
        (lambda: fnn.mlp(3, 5, 2), TypeError, "hidden must"),
        (lambda: fnn.mlp(3, None, 2), TypeError, "hidden must"),
        (lambda: fnn.mlp(3, [5, 0], 2), ValueError, "hidden must be at least 1; got 0"),
        (lambda: fnn.mlp(3, [5.0], 2), TypeError, "hidden"),
        (lambda: fnn.mlp(3, ["5"], 2), TypeError, "hidden"),
        (lambda: fnn.mlp(3, [5], 0), ValueError, "n_out"),
        (lambda: fnn.mlp(3, [5], None), TypeError, "n_out"),
        (lambda: fnn.mlp(0, [5], 2), ValueError, "n_in|input_shape"),
        (lambda: fnn.mlp(3, [5], 2, activation="swish"), ValueError, "activation must be one of"),
        (lambda: fnn.mlp(3, [5], 2, activation=None), ValueError, "activation"),
        (lambda: fnn.mlp(3, [5], 2, activation=fnn.ReLU()), ValueError, "activation"),
        (lambda: fnn.mlp(3, [5], 2, dropout=1), ValueError, "dropout"),
        (lambda: fnn.mlp(3, [5], 2, dropout=None), TypeError, "dropout"),
        (lambda: fnn.mlp(3, [5], 2, init="kaiming"), ValueError, "init must be one of"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_refused_by_one_model_is_free_for_another():
    layer = fnn.Affine(3)
    for arguments in ({"input_shape": 0}, {"input_shape": 3, "backend": "cuda"}):
        with pytest.raises(ValueError, match="must be"):
            fnn.Sequential([layer], **arguments)
    with pytest.raises(TypeError, match="layers must hold layers"):
        fnn.Sequential([layer, "relu"], 3)
    assert fnn.Sequential([layer], 3).layers == (layer,)


# -- description -----------------------------------------------------------------------------------


def test_summary():
    model = fnn.mlp((1, 28, 28), [100], 10, batch_norm=True, dropout=0.2, backend="numpy")
    model.layers[0].trainable = False
    lines = str(model.summary()).splitlines()
    assert repr(model.summary()) == str(model.summary())
    assert lines[0].split() == ["layer", "settings", "output", "memory", "parameters"]
    assert [line.split()[0] for line in lines[2:-1]] == [layer.name for layer in model.layers]
    for line, layer in zip(lines[2:-1], model.layers, strict=True):
        assert repr(layer) in line
        assert f"(N, {layer.n_out})" in line
    assert lines[2].endswith("78,500 (frozen)")
    assert "  314.0 kB  " in lines[2]
    assert re.search(r"  1\.6 kB +200$", lines[3])  # with its running averages
    assert re.search(r"  0 B +0$", lines[4])
    assert lines[-1] == (
        "input (N, 1, 28, 28); 79,710 parameters (1,210 trained), float32, 319.6 kB; backend numpy"
    )
    assert all(line == line.rstrip() for line in lines)


def test_repr_shows_the_architecture():
    model = fnn.Sequential([fnn.Affine(3), fnn.ELU(0.5)], (2, 2), dtype="float64")
    again = eval(repr(model), vars(fnn).copy())
    assert [layer.config() for layer in again.layers] == [layer.config() for layer in model.layers]
    assert (again.input_shape, again.dtype) == ((2, 2), "float64")


def test_config_is_plain_data():
    model = fnn.mlp((1, 2), [3], 2, dropout=0.5, rng=0, dtype="float64")
    model.layers[3].trainable = False
    plain = {"init": "he", "regularizer": None, "constraint": None, "bias_init": 0.0}
    assert model.config() == {
        "model": "sequential",
        "input_shape": [1, 2],
        "dtype": "float64",
        "seed": model.seed,
        "step": 0,
        "layers": [
            {"kind": "affine", "units": 3} | plain,
            {"kind": "relu"},
            {"kind": "dropout", "ratio": 0.5},
            {"kind": "affine", "units": 2} | plain,
        ],
        "frozen": [3],
    }


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy]
    + [
        lambda model, protocol=protocol: pickle.loads(pickle.dumps(model, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ],
)
def test_copies_are_equal_and_independent(copied, backend, dtype):
    x, y = blobs(40)
    model = every_layer(backend, dtype, rng=3)
    fnn.Trainer(model, batch_size=20, rng=0, verbose=False).fit(x, y, epochs=1)
    model.layers[1].trainable = model.layers[4].trainable = False
    twin = copied(model)
    assert twin.config() == model.config()
    assert numbers(twin) == numbers(model)
    assert twin.backend == model.backend
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in model.layers]
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    np.testing.assert_array_equal(twin.forward(x, train=True), model.forward(x, train=True))
    assert not np.shares_memory(twin.flat_params, model.flat_params)
    twin.flat_params[:] = 0
    assert numbers(model)["affine1.w"] != numbers(twin)["affine1.w"]


def test_a_copy_trains_as_the_original_does(backend):
    x, y = blobs(60)
    model = every_layer(backend, rng=3)
    losses = []
    for one in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model):
        trainer = fnn.Trainer(one, batch_size=20, rng=0, verbose=False)
        losses.append(trainer.fit(x, y, epochs=2)["loss"])
    assert losses[0] == losses[1] == losses[2]


def test_a_copy_in_another_type_is_the_same_network():
    model = fnn.mlp(8, [6], 3, batch_norm=True, dropout=0.2, rng=0)
    model.layers[0].trainable = False
    twin = model.astype("float64")
    assert (model.dtype, twin.dtype) == ("float32", "float64")
    x = np.random.default_rng(0).standard_normal((20, 8))
    np.testing.assert_allclose(twin.forward(x, train=True), model.forward(x, train=True), rtol=1e-4)
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in model.layers]
    twin.params["affine1.w"][:] = 0
    assert model.params["affine1.w"].any()
    for other in ("int32", "flaot32", None):
        with pytest.raises(ValueError, match="dtype must be one of float32, float64"):
            model.astype(other)
