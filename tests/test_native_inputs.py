"""What the native engine reads rows from, as they lie: dtypes, strides, files, images."""

import copy

import numpy as np
import pytest
from networks import numbers

import fastnn as fnn
from fastnn.backend import get_backend
from fastnn.checks import UINT8_SCALE

pytestmark = pytest.mark.skipif(
    "cython" not in fnn.available_backends() or get_backend("cython").program is None,
    reason="the native program was not built",
)

ROWS, FEATURES, CLASSES = 90, 21, 4
SHAPE = (1, 3, 7)
LABELS = np.arange(ROWS) * 7 % CLASSES


def values():
    """Bytes as floats: exact in every dtype."""
    return np.random.default_rng(5).integers(0, 256, (ROWS, FEATURES)).astype(np.float64)


def wide(x):
    """x as the first columns of a wider array."""
    whole = np.full((len(x), FEATURES + 9), 77, x.dtype)
    whole[:, :FEATURES] = x
    return whole[:, :FEATURES]


def every_other(x):
    whole = np.full((2 * len(x), FEATURES), 77, x.dtype)
    whole[::2] = x
    return whole[::2]


def read_only(x):
    x = x.copy()
    x.setflags(write=False)
    return x


def unaligned(x):
    memory = np.zeros(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LAYOUTS = {
    "plain": lambda x: x,
    "wide": wide,
    "every other row": every_other,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "wide, every other row, backwards": lambda x: wide(every_other(x)[::-1].copy())[::-1],
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "columns backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "unaligned": unaligned,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "images": lambda x: x.reshape(len(x), *SHAPE),
    "images, every other": lambda x: every_other(x).reshape(len(x), *SHAPE),
}


def fit(x, dtype, threads=2, y=LABELS, **settings):
    """What a fit on x leaves, and what the model then predicts for x."""
    model = fnn.mlp(
        SHAPE, [33, 16], CLASSES, batch_norm=True, dropout=0.2, rng=0, dtype=dtype, backend="cython"
    )
    trainer = fnn.Trainer(
        model,
        batch_size=20,
        engine="native",
        threads=threads,
        rng=0,
        verbose=False,
        **settings,
    )
    history = trainer.fit(x, y, epochs=2, validation_data=(x, y))
    scores = trainer.evaluate(x, y)
    return history["loss"], history["val_loss"], numbers(model), scores, model.predict(x).tobytes()


@pytest.mark.parametrize("given", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_read_where_they_lie(layout, given, dtype):
    """The same bits as for rows of the model's own dtype, one behind the other."""
    plain = values().astype(given)
    scale = UINT8_SCALE if given == "uint8" else 1.0
    converted = np.multiply(plain, scale, dtype=dtype)
    x = LAYOUTS[layout](plain)
    kept = copy.deepcopy(x)
    assert fit(x, dtype) == fit(converted, dtype)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("given", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("offset", [0, 16, 3])
def test_a_file_is_read_as_it_is_needed(tmp_path, given, offset, dtype):
    """Behind a header of any length; 3 leaves floats unaligned, and they are copied."""
    x = values().astype(given)
    path = tmp_path / "rows.bin"
    path.write_bytes(b"#" * offset + x.tobytes())
    mapped = np.memmap(path, given, mode="r", offset=offset, shape=x.shape)
    assert fit(mapped, dtype) == fit(x, dtype)
    images = np.memmap(path, given, mode="r", offset=offset, shape=(ROWS, *SHAPE))
    assert fit(images, dtype) == fit(x, dtype)
    part = np.memmap(path, given, mode="r", offset=offset, shape=x.shape)[10:70:3]
    assert fit(part, dtype, y=LABELS[10:70:3]) == fit(x[10:70:3], dtype, y=LABELS[10:70:3])
    del mapped, images, part


@pytest.mark.parametrize("given", ["float16", "int8", "int64", "uint16", "bool"])
def test_other_dtypes_are_converted_once(given, dtype):
    x = (values() % 2).astype(given)
    assert fit(x, dtype) == fit(x.astype(dtype), dtype)


def test_bytes_are_the_same_as_float32_in_zero_to_one():
    """But for the last bit: a reciprocal is multiplied by, not divided by 255."""
    x = values()
    bytes_, floats = (
        fit(rows, "float32", optimizer=fnn.SGD(0.05))
        for rows in (x.astype(np.uint8), (x / 255).astype(np.float32))
    )
    np.testing.assert_allclose(bytes_[0], floats[0], rtol=1e-5)
    np.testing.assert_allclose(bytes_[1], floats[1], rtol=1e-5)
    predictions = [np.frombuffer(run[4], np.float32) for run in (bytes_, floats)]
    np.testing.assert_allclose(*predictions, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_predict_reads_them_in_pieces(threads, dtype):
    """More rows than pass through the network together, on several threads; and single ones."""
    x = np.random.default_rng(0).integers(0, 256, (2500, FEATURES), dtype=np.uint8)
    model = fnn.mlp(FEATURES, [33, 16], CLASSES, batch_norm=True, rng=0, dtype=dtype)
    real = np.multiply(x, UINT8_SCALE, dtype=dtype)
    expected = model.predict_rows(real, threads)
    np.testing.assert_allclose(
        expected, model.forward(real), rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-6
    )
    np.testing.assert_array_equal(expected, model.predict_rows(real, 1))
    for rows in (x, wide(x), every_other(x), real.astype("float64"), wide(real)):
        np.testing.assert_array_equal(model.predict_rows(rows, threads), expected)
    for row in (0, 1, 2499):
        one = model.predict(x[row : row + 1])
        np.testing.assert_array_equal(one, model.predict(real[row : row + 1]))
        np.testing.assert_allclose(one[0], expected[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("softmax_cross_entropy", LABELS),
        ("softmax_cross_entropy", np.eye(CLASSES)[LABELS]),
        ("mean_squared_error", np.eye(CLASSES)[LABELS]),
        ("sum_squared_error", np.eye(CLASSES)[LABELS]),
    ],
    ids=["labels", "soft labels", "mean squares", "sum of squares"],
)
def test_targets_in_any_form(loss, y, dtype):
    """Read-only, strided, swapped, off their boundaries as they come out of a message or a file,
    or of another dtype: the same as plain ones; not written to.
    """
    x = values()
    expected = fit(x, dtype, y=y, loss=loss)
    swapped = y.astype(y.dtype.newbyteorder())
    strided = np.repeat(y, 2, axis=0)[::2]
    fortran = np.asfortranarray(y)
    unaligned = np.frombuffer(b"...." + y.tobytes(), y.dtype, offset=4).reshape(y.shape)
    for given in (
        read_only(y),
        swapped,
        strided,
        fortran,
        unaligned,
        y.tolist(),
        y.astype("int32"),
    ):
        kept = copy.deepcopy(given)
        assert fit(x, dtype, y=given, loss=loss) == expected
        np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(LABELS == 3, 4, LABELS), "labels 0..4"),
        (LABELS - 1, "labels -1..2"),
        (LABELS[:-1], "y must have 90 rows"),
        (LABELS.astype(float), "integer labels"),
        (np.eye(CLASSES)[LABELS] * 2, "probabilities"),
        (np.full((ROWS, CLASSES), np.nan), "finite"),
    ],
)
def test_bad_targets_are_refused_before_anything_runs(y, message, dtype):
    model = fnn.mlp(FEATURES, [8], CLASSES, rng=0, dtype=dtype, backend="cython")
    trainer = fnn.Trainer(model, engine="native", rng=0, verbose=False)
    before = numbers(model)
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.fit(values(), y, epochs=1)
    assert numbers(model) == before
    assert trainer.step == 0


def test_the_accuracy_is_that_of_the_eager_engine():
    """Whatever the targets are, and for a squared error too, where it was asked for."""
    x, one_hot = values() / 255, np.eye(CLASSES)[LABELS]
    for loss, y in (
        ("softmax_cross_entropy", LABELS),
        ("softmax_cross_entropy", 0.7 * one_hot + 0.3 / CLASSES),
        ("mean_squared_error", one_hot),
        ("sum_squared_error", one_hot),
    ):
        curves = []
        for engine in ("eager", "auto"):
            model = fnn.mlp(FEATURES, [8], CLASSES, rng=0, dtype="float64", backend="cython")
            trainer = fnn.Trainer(
                model, loss, engine=engine, metrics=["accuracy"], rng=0, verbose=False
            )
            curves.append(trainer.fit(x, y, epochs=5)["accuracy"])
        assert curves[0] == pytest.approx(curves[1], rel=1e-12), (loss, trainer.engine)
        assert min(curves[0]) > 0
