"""Losses by hand, the targets they take, and those they refuse."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.losses import LOSSES

NUMBERS = [name for name, loss in LOSSES.items() if not loss.classifies]
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
NAN, INF = np.nan, np.inf


def scorer(n_out, backend=None, dtype="float64"):
    """A model that returns its input, and what trains it."""
    model = fnn.Sequential([fnn.Affine(n_out)], n_out, rng=0, dtype=dtype, backend=backend)
    model.params["affine1.w"][:] = np.eye(n_out)
    return model


def value_and_gradient(loss, out, y, weights=None, backend=None, dtype="float64"):
    """Loss, and its gradient with respect to the outputs."""
    out = np.asarray(out, dtype)
    model = scorer(out.shape[1], backend, dtype)
    loss = LOSSES[loss]()
    targets = loss.targets(y, *out.shape, model.dtype)
    if weights is not None:
        weights = np.asarray(weights, dtype)
    dout = np.full_like(out, NAN)
    value = loss.value(model.backend.kernels, out, targets, weights, dout)
    assert value == loss.value(model.backend.kernels, out, targets, weights, None)
    trainer = fnn.Trainer(model, loss, verbose=False)
    np.testing.assert_allclose(trainer.gradients(out, y, weights)[0], value, rtol=1e-6)
    return value, dout


def example(loss, rng, shape, dtype):
    """Outputs and targets that a loss is made for."""
    out = rng.standard_normal(shape).astype(dtype)
    if LOSSES[loss].classifies:
        y = rng.integers(0, shape[1], shape[0])
        return (softmax(out) if loss == "cross_entropy" else out), y
    if loss == "binary_cross_entropy":
        return out, rng.uniform(0, 1, shape)
    return out, rng.standard_normal(shape)


def cross_entropy_rows(out, targets):
    shifted = out - out.max(axis=1, keepdims=True)
    return (targets * (np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - shifted)).sum(axis=1)


def softmax(out):
    e = np.exp(out - out.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# -- values and gradients --------------------------------------------------------------------------


def test_softmax_cross_entropy(backend, dtype, rng):
    out = 3 * rng.standard_normal((6, 4)).astype(dtype)
    labels = np.array([0, 3, 1, 1, 2, 0])
    value, dout = value_and_gradient("softmax_cross_entropy", out, labels, None, backend, dtype)
    wide, one_hot = out.astype(float), np.eye(4)[labels]
    assert value == pytest.approx(cross_entropy_rows(wide, one_hot).mean(), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, (softmax(wide) - one_hot) / 6, atol=TOLERANCE[dtype])


def test_soft_labels(backend, dtype, rng):
    out = 3 * rng.standard_normal((6, 4)).astype(dtype)
    soft = rng.dirichlet(np.ones(4), size=6)
    value, dout = value_and_gradient("softmax_cross_entropy", out, soft, None, backend, dtype)
    wide = out.astype(float)
    assert value == pytest.approx(cross_entropy_rows(wide, soft).mean(), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, (softmax(wide) - soft) / 6, atol=TOLERANCE[dtype])


def test_integer_one_hot_and_soft_labels_agree(backend, dtype, rng):
    out = 3 * rng.standard_normal((50, 7)).astype(dtype)
    labels = rng.integers(0, 7, 50)
    weights = rng.uniform(0, 2, 50)
    for w in (None, weights):
        value, dout = value_and_gradient("softmax_cross_entropy", out, labels, w, backend, dtype)
        for y in (np.eye(7)[labels], np.eye(7, dtype=int)[labels], np.eye(7)[labels].tolist()):
            other, dother = value_and_gradient("softmax_cross_entropy", out, y, w, backend, dtype)
            assert other == pytest.approx(value, rel=TOLERANCE[dtype])
            np.testing.assert_allclose(dother, dout, atol=TOLERANCE[dtype] / 50)


def test_scores_far_apart_keep_their_loss(backend, dtype):
    out = [[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]]
    value, dout = value_and_gradient("softmax_cross_entropy", out, [2, 0], None, backend, dtype)
    assert value == pytest.approx((2e4 + np.log(3)) / 2, rel=1e-6)
    np.testing.assert_allclose(dout, [[0.5, 0, -0.5], [-1 / 3, 1 / 6, 1 / 6]], atol=1e-6)


def test_squared_errors(backend, dtype, rng):
    out, y = rng.standard_normal((2, 6, 4)).astype(dtype)
    diff = out.astype(float) - y
    value, dout = value_and_gradient("mean_squared_error", out, y, None, backend, dtype)
    assert value == pytest.approx((diff**2).mean(), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, 2 * diff / 24, atol=TOLERANCE[dtype])
    value, dout = value_and_gradient("sum_squared_error", out, y, None, backend, dtype)
    assert value == pytest.approx(0.5 * (diff**2).sum() / 6, rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, diff / 6, atol=TOLERANCE[dtype])


def test_cross_entropy_is_the_textbooks(backend, dtype, rng):
    """-sum(t * log(y + 1e-7)) / N, also where a probability is 0 or 1."""
    probs = softmax(3 * rng.standard_normal((6, 4)))
    probs[0], probs[1] = [1, 0, 0, 0], [0, 1, 0, 0]
    probs = probs.astype(dtype)
    labels = np.array([0, 3, 1, 1, 2, 0])
    wide, one_hot = probs.astype(float), np.eye(4)[labels]
    expected = -(one_hot * np.log(wide + 1e-7)).sum() / 6
    slope = -one_hot / (wide + 1e-7) / 6
    for y in (labels, one_hot):
        value, dout = value_and_gradient("cross_entropy", probs, y, None, backend, dtype)
        assert value == pytest.approx(expected, rel=TOLERANCE[dtype])
        np.testing.assert_allclose(dout, slope, rtol=TOLERANCE[dtype])
    assert value > -np.log(1e-7) / 6  # the second row's, whose probability is zero
    soft = rng.dirichlet(np.ones(4), size=6)
    value, dout = value_and_gradient("cross_entropy", probs, soft, None, backend, dtype)
    assert value == pytest.approx(-(soft * np.log(wide + 1e-7)).sum() / 6, rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, -soft / (wide + 1e-7) / 6, rtol=TOLERANCE[dtype])


def test_the_guard_is_a_setting(backend):
    kernels = scorer(2, backend).backend.kernels
    out, targets = np.array([[0.0, 1.0]]), np.array([0])
    for guard in (1e-7, 1e-3, 0.5):
        value = fnn.CrossEntropy(guard).value(kernels, out, targets, None, None)
        assert value == pytest.approx(-np.log(guard), rel=1e-14)
    assert fnn.CrossEntropy(0).value(kernels, 1 - out, targets, None, None) == 0


def test_softmax_layer_and_cross_entropy_train_like_the_fused_loss(backend, rng):
    """The gradients differ by the guard's share of the label's probability alone."""
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 3, 40)
    fused = fnn.Sequential([fnn.Affine(3)], 5, rng=0, dtype="float64", backend=backend)
    layers = [fnn.Affine(3), fnn.Softmax()]
    textbook = fnn.Sequential(layers, 5, rng=0, dtype="float64", backend=backend)
    loss, grads = fnn.Trainer(fused, verbose=False).gradients(x, y)
    trainer = fnn.Trainer(textbook, "cross_entropy", verbose=False)
    other, others = trainer.gradients(x, y)
    assert other == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(others["affine1.w"], grads["affine1.w"], atol=1e-5)
    probabilities = textbook.predict_proba(x)
    np.testing.assert_array_equal(probabilities, textbook.predict(x))
    np.testing.assert_allclose(probabilities, fused.predict_proba(x), rtol=1e-12)
    history = trainer.fit(x, y, epochs=3)
    assert history["loss"][-1] < history["loss"][0]
    assert "accuracy" in history


def test_binary_cross_entropy(backend, dtype, rng):
    out = 3 * rng.standard_normal((6, 4)).astype(dtype)
    wide = out.astype(float)
    p = 1 / (1 + np.exp(-wide))
    for y in (rng.integers(0, 2, (6, 4)), rng.uniform(0, 1, (6, 4)).astype(dtype)):
        value, dout = value_and_gradient("binary_cross_entropy", out, y, None, backend, dtype)
        expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        assert value == pytest.approx(expected, rel=TOLERANCE[dtype])
        np.testing.assert_allclose(dout, (p - y) / 24, atol=TOLERANCE[dtype])


def test_binary_scores_far_apart_keep_their_loss(backend, dtype):
    out = [[1e4, -1e4, 50.0], [1e4, -1e4, -50.0]]
    y = [[1, 0, 1], [0, 1, 0]]
    value, dout = value_and_gradient("binary_cross_entropy", out, y, None, backend, dtype)
    assert value == pytest.approx(2e4 / 6, rel=1e-6)
    # exp(-50) is far below the digits of a probability near one, and still a gradient.
    np.testing.assert_allclose(6 * dout[0], [0, 0, -np.exp(-50)], rtol=1e-5)
    np.testing.assert_allclose(6 * dout[1], [1, -1, np.exp(-50)], rtol=1e-5)


def test_binary_cross_entropy_learns_several_labels(rng):
    x = rng.standard_normal((300, 4))
    y = (x[:, :3] > 0).astype(int)  # three labels, each of one feature
    model = fnn.mlp(4, [], 3, rng=0)
    trainer = fnn.Trainer(
        model, "binary_cross_entropy", fnn.Adam(0.1), batch_size=30, rng=0, verbose=False
    )
    history = trainer.fit(x, y, epochs=20, validation_data=(x, y))
    assert history["binary_accuracy"][0] < history["val_binary_accuracy"][-1]
    assert history["val_binary_accuracy"][-1] > 0.97
    right = (model.predict(x) > 0) == y
    assert trainer.evaluate(x, y)["binary_accuracy"] == right.mean()
    with pytest.raises(ValueError, match="class_weight needs a classification loss"):
        trainer.fit(x, y, class_weight=[1, 2, 3])


def test_absolute_error_and_huber(backend, dtype, rng):
    out, y = 2 * rng.standard_normal((2, 6, 4)).astype(dtype)
    y[0] = out[0]  # the gradient at zero is zero
    diff = out.astype(float) - y
    value, dout = value_and_gradient("mean_absolute_error", out, y, None, backend, dtype)
    assert value == pytest.approx(np.abs(diff).mean(), rel=TOLERANCE[dtype])
    np.testing.assert_allclose(dout, np.sign(diff) / 24, atol=TOLERANCE[dtype])
    kernels = scorer(4, backend, dtype).backend.kernels
    for delta in (1.0, 0.3, 5.0):
        small = np.abs(diff) <= delta
        terms = np.where(small, 0.5 * diff**2, delta * (np.abs(diff) - 0.5 * delta))
        value = fnn.Huber(delta).value(kernels, out, y, None, dout)
        assert value == pytest.approx(terms.mean(), rel=TOLERANCE[dtype])
        slope = np.where(small, diff, delta * np.sign(diff))
        np.testing.assert_allclose(dout, slope / 24, atol=TOLERANCE[dtype])


def test_huber_minds_outliers_less(rng):
    """A line with a tenth of the targets far off, and from one side."""
    x = rng.uniform(-1, 1, (300, 1))
    y = 2 * x[:, 0]
    y[:30] += 50
    slopes = {}
    for loss in ("mean_squared_error", "mean_absolute_error", "huber"):
        model = fnn.mlp(1, [], 1, rng=0)
        trainer = fnn.Trainer(model, loss, fnn.Adam(0.05), batch_size=30, rng=0, verbose=False)
        trainer.fit(x, y, epochs=60)
        slopes[loss] = float(model.params["affine1.b"][0])
    assert slopes["mean_squared_error"] > 3
    assert abs(slopes["huber"]) < 0.5
    assert abs(slopes["mean_absolute_error"]) < 0.5


# -- label smoothing -------------------------------------------------------------------------------


def test_label_smoothing_spreads_the_targets(dtype, rng):
    loss, labels = fnn.SoftmaxCrossEntropy(label_smoothing=0.2), np.array([0, 3, 1])
    dtype = np.dtype(dtype)
    expected = 0.8 * np.eye(4)[labels] + 0.05
    for y in (labels, np.eye(4)[labels]):
        targets = loss.targets(y, 3, 4, dtype)
        assert targets.dtype == dtype
        np.testing.assert_allclose(targets, expected, rtol=1e-6)
    soft = rng.dirichlet(np.ones(4), 3)
    np.testing.assert_allclose(loss.targets(soft, 3, 4, dtype), 0.8 * soft + 0.05, rtol=1e-5)
    assert fnn.SoftmaxCrossEntropy().targets(labels, 3, 4, dtype).dtype == np.int64


def test_label_smoothing_trains_on_every_engine(executor, rng):
    """As the same targets spread by hand do; accuracy and class weights go by the class."""
    x, y = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)
    histories = []
    for loss, targets in (
        (fnn.SoftmaxCrossEntropy(0.3), y),
        ("softmax_cross_entropy", 0.7 * np.eye(3)[y] + 0.1),
    ):
        model = fnn.mlp(5, [4], 3, rng=0, dtype="float64", backend=executor.backend)
        trainer = fnn.Trainer(
            model, loss, batch_size=20, engine=executor.engine, rng=0, verbose=False
        )
        histories.append(trainer.fit(x, targets, epochs=3, class_weight=[1, 2, 3]))
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-12)
    assert histories[0]["accuracy"] == histories[1]["accuracy"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.SoftmaxCrossEntropy(1.0), "label_smoothing must be"),
        (lambda: fnn.SoftmaxCrossEntropy(-0.1), "label_smoothing must be"),
        (lambda: fnn.SoftmaxCrossEntropy("0.1"), "label_smoothing must be"),
        (lambda: fnn.CrossEntropy(-1e-7), "guard must be"),
        (lambda: fnn.CrossEntropy(None), "guard must be"),
        (lambda: fnn.Huber(0), r"delta must be a finite number in \(0, inf\)"),
        (lambda: fnn.Huber(-1.0), "delta must be"),
        (lambda: fnn.Huber(NAN), "delta must be"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_losses_print_their_settings():
    assert repr(fnn.SoftmaxCrossEntropy(0.1)) == "SoftmaxCrossEntropy(label_smoothing=0.1)"
    assert repr(fnn.Huber()) == "Huber()"


@pytest.mark.parametrize("loss", LOSSES)
def test_sample_weights(loss, backend, dtype, rng):
    """The weighted loss is sum(weights * losses) / N, not divided by the sum of the weights."""
    out, y = example(loss, rng, (5, 3), dtype)
    weights = np.array([0.0, 0.5, 1.0, 2.0, 3.5])
    value, dout = value_and_gradient(loss, out, y, weights, backend, dtype)
    rows = [
        value_and_gradient(loss, out[i : i + 1], y[i : i + 1], None, backend, dtype)
        for i in range(5)
    ]
    expected = sum(w * v for w, (v, _) in zip(weights, rows, strict=True)) / 5
    assert value == pytest.approx(expected, rel=TOLERANCE[dtype])
    gradients = np.concatenate([w * d for w, (_, d) in zip(weights, rows, strict=True)]) / 5
    np.testing.assert_allclose(dout, gradients, atol=TOLERANCE[dtype])
    even, deven = value_and_gradient(loss, out, y, np.ones(5), backend, dtype)
    plain, dplain = value_and_gradient(loss, out, y, None, backend, dtype)
    assert even == pytest.approx(plain, rel=TOLERANCE[dtype])
    np.testing.assert_allclose(deven, dplain, atol=TOLERANCE[dtype])


def test_a_single_output_takes_targets_of_one_dimension(rng):
    for loss in NUMBERS:
        out, y = example(loss, rng, (6, 1), "float64")
        value, dout = value_and_gradient(loss, out, y)
        flat, dflat = value_and_gradient(loss, out, y[:, 0])
        assert flat == value
        np.testing.assert_array_equal(dflat, dout)


# -- targets ---------------------------------------------------------------------------------------

LABELS = np.array([0, 2, 1, 2])


@pytest.mark.parametrize(
    "y",
    [
        LABELS.tolist(),
        LABELS.astype("uint8"),
        LABELS.astype("int16"),
        LABELS.astype(">i8"),
        np.repeat(LABELS, 2)[::2],
        np.eye(3, dtype=bool)[LABELS],
        np.eye(3, dtype="float32")[LABELS],
        np.asfortranarray(np.eye(3)[LABELS]),
        np.eye(3).astype(">f8")[LABELS],
        np.repeat(np.eye(3)[LABELS], 2, axis=1)[:, ::2],
    ],
)
def test_every_layout_and_dtype_of_labels_means_the_same(y, backend, rng):
    trainer = fnn.Trainer(scorer(3, backend), verbose=False)
    x = rng.standard_normal((4, 3))
    if isinstance(y, np.ndarray):
        y.flags.writeable = False
    loss, grads = trainer.gradients(x, y)
    expected, wanted = trainer.gradients(x, LABELS)
    assert loss == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(grads["affine1.w"], wanted["affine1.w"], atol=1e-15)
    assert trainer.evaluate(x, y) == pytest.approx(trainer.evaluate(x, LABELS), rel=1e-14)


def test_two_classes_may_be_booleans(rng):
    trainer = fnn.Trainer(scorer(2), verbose=False)
    x, y = rng.standard_normal((4, 2)), np.array([True, False, False, True])
    assert trainer.evaluate(x, y) == trainer.evaluate(x, y.astype(int))


BAD_CLASSES = {
    "a label too large": ([0, 1, 2, 3], ValueError, r"class labels 0\.\.2, .*got labels 0\.\.3"),
    "a negative label": ([0, 1, 2, -1], ValueError, r"got labels -1\.\.2"),
    "a huge label": (np.array([0, 1, 2, 2**63], np.uint64), ValueError, r"0\.\.2"),
    "too few rows": ([0, 1, 2], ValueError, "y must have 4 rows, as x has"),
    "too many rows": ([0] * 5, ValueError, "4 rows"),
    "no rows": ([], ValueError, "4 rows"),
    "a scalar": (1, ValueError, "4 rows"),
    "nothing": (None, TypeError, "y must be an array; got None"),
    "names of classes": (["cat", "dog", "cat", "dog"], TypeError, "y must hold integer labels"),
    "objects": (np.array([0, 1, 2, None]), TypeError, "y must hold integer labels"),
    "complex labels": (np.array([0j, 1j, 1, 2]), TypeError, "y must hold integer labels"),
    "whole numbers as floats": ([0.0, 1.0, 2.0, 2.0], ValueError, "y must hold integer labels"),
    "a column of labels": ([[0], [1], [2], [2]], ValueError, "y must hold integer labels"),
    "too few columns": (np.eye(2)[[0, 1, 1, 0]], ValueError, r"one-hot.*\(4, 3\)"),
    "too many axes": (np.zeros((4, 3, 1)), ValueError, "y must hold integer labels"),
    "NaN": (np.full((4, 3), NAN), ValueError, "y must be finite.*row 0"),
    "one NaN": (np.where(np.eye(4, 3) > 0, NAN, 1 / 3), ValueError, "y must be finite.*row 0"),
    "infinity": (np.diag([1, 1, INF, 1])[:, :3], ValueError, "y must be finite.*row 2"),
    "a negative probability": (
        np.tile([1.5, -0.5, 0], (4, 1)),
        ValueError,
        "y must hold probabilities",
    ),
    "rows that do not add up": (np.full((4, 3), 0.5), ValueError, "y must hold probabilities"),
    "rows of zeros": (np.zeros((4, 3)), ValueError, "y must hold probabilities"),
    "rows of different lengths": ([[1, 0, 0], [1, 0], [1], [0]], ValueError, "y must be an array"),
}
BAD_NUMBERS = {
    "too few rows": (np.zeros((3, 3)), ValueError, "y must have 4 rows, as x has"),
    "no rows": (np.zeros((0, 3)), ValueError, "4 rows"),
    "too few columns": (np.zeros((4, 2)), ValueError, r"y must have shape \(4, 3\).*got \(4, 2\)"),
    "a single column": (np.zeros((4, 1)), ValueError, r"y must have shape \(4, 3\)"),
    "one dimension": (np.zeros(4), ValueError, r"y must have shape \(4, 3\)"),
    "too many axes": (np.zeros((4, 3, 1)), ValueError, r"y must have shape \(4, 3\)"),
    "strings": (np.full((4, 3), "1.0"), TypeError, "y must hold real numbers"),
    "objects": (np.full((4, 3), None), TypeError, "y must hold real numbers"),
    "complex numbers": (np.full((4, 3), 1j), TypeError, "y must hold real numbers"),
    "dates": (np.zeros((4, 3), "datetime64[s]"), TypeError, "y must hold real numbers"),
    "NaN": (np.where(np.eye(4, 3, -1) > 0, NAN, 0), ValueError, "y must be finite.*row 1"),
    "infinity": (np.where(np.eye(4, 3, -3) > 0, -INF, 0), ValueError, "y must be finite.*row 3"),
    "rows of different lengths": ([[1, 0, 0], [1, 0], [1], [0]], ValueError, "y must be an array"),
}


@pytest.mark.parametrize(
    ("loss", "y", "error", "message"),
    [
        pytest.param(loss, *bad, id=f"{loss}-{name}")
        for loss in LOSSES
        for name, bad in (BAD_NUMBERS if loss in NUMBERS else BAD_CLASSES).items()
    ]
    + [
        ("binary_cross_entropy", np.full((4, 3), bad), ValueError, r"y must lie in \[0, 1\]")
        for bad in (-0.1, 1.1, 2)
    ],
)
def test_bad_targets_are_named_and_nothing_is_trained(loss, y, error, message):
    model = scorer(3)
    trainer = fnn.Trainer(model, loss, rng=0, verbose=False)
    before, x = model.flat_params.copy(), np.ones((4, 3))
    good = np.eye(4, 3) + np.eye(4, 3, -3)
    for attempt in (
        lambda: trainer.fit(x, y),
        lambda: trainer.evaluate(x, y),
        lambda: trainer.gradients(x, y),
        lambda: trainer.fit(x, good, validation_data=(x, y)),
    ):
        with pytest.raises(error, match=message):
            attempt()
    np.testing.assert_array_equal(model.flat_params, before)
    assert trainer.step == trainer.epoch == model.step == 0
    assert trainer.history.epochs == []


def test_targets_too_large_for_the_dtype_are_refused():
    trainer = fnn.Trainer(scorer(1, dtype="float32"), "mean_squared_error", verbose=False)
    with pytest.raises(ValueError, match="y must be finite"):
        trainer.fit(np.ones((2, 1)), np.array([1.0, 1e300]))


@pytest.mark.parametrize(
    ("y", "hint"),
    [
        (["cat", "dog", "cat", "dog"], r"names, y = np\.unique\(y, return_inverse=True\)$"),
        (np.array(["cat", "dog", "cat", None], object), r"names, y = np\.unique"),
        (np.array([[0], [1], [0], [1]]), r"; pass np\.ravel\(y\)$"),
        (np.array([0.0, 1.0, 0.0, 1.0]), r"; pass y\.astype\(int\)$"),
        (np.array([0.0, 0.5, 0.0, 1.0]), r"got float64 of shape \(4,\)$"),
        (np.array([0.0, np.nan, 0.0, 1.0]), r"got float64 of shape \(4,\)$"),
    ],
)
def test_what_is_nearly_a_label_says_what_to_write(y, hint):
    trainer = fnn.Trainer(scorer(3), verbose=False)
    with pytest.raises((TypeError, ValueError), match=hint):
        trainer.fit(np.ones((4, 3)), y)


def test_two_classes_for_one_output_say_what_to_write():
    trainer = fnn.Trainer(scorer(1), verbose=False)
    with pytest.raises(ValueError, match=r"got labels 0\.\.1; .* 2 outputs, or .*binary"):
        trainer.fit(np.ones((4, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize(
    "loss", ["entropy", "", None, 3, fnn.MeanSquaredError, ["mean_squared_error"]]
)
def test_unknown_losses_are_named(loss):
    known = f"loss must be one of {', '.join(LOSSES)}; got"
    with pytest.raises(ValueError, match=known):
        fnn.Trainer(scorer(3), loss)


@pytest.mark.parametrize(
    ("loss", "hint"),
    [
        (fnn.Huber, r"; did you mean 'huber'\?$"),
        (type("Pinball", (fnn.Huber,), {"kind": "pinball"}), r"; write Pinball\(\)$"),
        (lambda out, y: 0.0, r"; one of your own is a subclass of fastnn\.Loss"),
    ],
)
def test_what_is_nearly_a_loss_says_what_to_write(loss, hint):
    with pytest.raises(ValueError, match=hint):
        fnn.Trainer(scorer(3), loss)


def test_a_loss_of_ones_own(rng):
    class Absolute(fnn.MeanSquaredError):
        """mean |out - y|."""

        kind = "absolute"

        def value(self, kernels, out, targets, weights, dout):
            if dout is not None:
                dout[:] = np.sign(out - targets) / out.size
            return float(np.abs(out - targets).mean())

    x = rng.standard_normal((200, 3))
    y = x @ rng.standard_normal((3, 2))
    trainer = fnn.Trainer(
        fnn.mlp(3, [], 2, rng=0), Absolute(), fnn.Adam(0.02), batch_size=20, rng=0, verbose=False
    )
    history = trainer.fit(x, y, epochs=30)
    assert history["loss"][-1] < 0.05 < history["loss"][0]
    assert "accuracy" not in history
