"""The course's networks against plain NumPy formulas, and against differences of their loss."""

import copy
import pickle

import numpy as np
import pytest
import textbook
from networks import blobs

from fastnn import book
from fastnn.layers import UnscaledDropout

SETTINGS = {
    "plain": {},
    "sigmoid": {"activation": "sigmoid", "weight_init_std": "xavier"},
    "decay": {"weight_decay_lambda": 0.1},
    "batchnorm": {"use_batchnorm": True},
    "everything": {"use_batchnorm": True, "activation": "sigmoid", "weight_decay_lambda": 0.3},
}


def equal(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-10, atol=1e-13, err_msg=name)


def pair(rng=0, sizes=(8, [7, 6], 3), **settings):
    """A network, and the formulas on copies of its parameters, off their start."""
    network = book.MultiLayerNetExtend(*sizes, **settings, rng=rng)
    shift = np.random.default_rng(rng)
    for value in network.params.values():
        if value.ndim == 1:
            value += 0.3 * shift.standard_normal(value.shape)
    formulas = textbook.Network(
        {name: value.copy() for name, value in network.params.items()},
        textbook.sigmoid if settings.get("activation") == "sigmoid" else textbook.relu,
        settings.get("weight_decay_lambda", 0.0),
    )
    return network, formulas


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_everything_equals_the_formulas(settings):
    network, formulas = pair(**settings)
    x, t = blobs(40)
    for start in (0, 20):  # twice, so that the running averages have a history
        batch = slice(start, start + 20)
        equal(network.gradient(x[batch], t[batch]), formulas.gradient(x[batch], t[batch]))
    np.testing.assert_allclose(network.predict(x), formulas.forward(x), rtol=1e-10)
    assert network.loss(x, t) == pytest.approx(formulas.loss(x, t), rel=1e-12)
    assert network.accuracy(x, t) == formulas.accuracy(x, t)
    assert network.loss(x, t, train_flg=True) == pytest.approx(
        formulas.loss(x, t, train=True), rel=1e-12
    )
    assert network.loss(x, t) == pytest.approx(formulas.loss(x, t), rel=1e-12)


@pytest.mark.parametrize("backend_name", ["numpy", "numba"])
def test_other_backends_give_the_same(backend_name):
    from fastnn import use_backend

    x, t = blobs(20)
    expected = pair(**SETTINGS["everything"])[0].gradient(x, t)
    with use_backend(backend_name):
        equal(pair(**SETTINGS["everything"])[0].gradient(x, t), expected)


@pytest.mark.parametrize("order", ["gradient first", "differences first"])
@pytest.mark.parametrize(
    "settings",
    [*SETTINGS.values(), {"use_dropout": True, "dropout_ration": 0.4, "use_batchnorm": True}],
    ids=[*SETTINGS, "dropout"],
)
def test_gradient_is_the_numerical_gradient(settings, order):
    network, _ = pair(rng=3, **settings)  # whose ReLUs stay clear of their kinks
    x, t = blobs(12)
    if order == "gradient first":
        grads, differences = network.gradient(x, t), network.numerical_gradient(x, t)
    else:
        differences, grads = network.numerical_gradient(x, t), network.gradient(x, t)
    assert grads.keys() == differences.keys() == network.params.keys()
    for name, gradient in grads.items():
        assert np.abs(gradient - differences[name]).max() < 3e-6, name
        if not (settings.get("use_batchnorm") and name in ("b1", "b2")):
            assert np.abs(gradient).max() > 1e-4, name


def test_numerical_gradient_changes_nothing():
    network, _ = pair(use_batchnorm=True, use_dropout=True)
    x, t = blobs(12)
    network.gradient(x, t)
    before = {name: value.copy() for name, value in network.params.items()}
    scores = network.predict(x)
    network.numerical_gradient(x, t)
    np.testing.assert_array_equal(network.predict(x), scores)
    for name, value in network.params.items():
        np.testing.assert_array_equal(value, before[name])


def test_dropout_equals_the_formulas_with_its_masks():
    network, formulas = pair(sizes=(8, [50, 40], 3), use_dropout=True, dropout_ration=0.3)
    x, t = blobs(20)
    grads = network.gradient(x, t)
    dropouts = [layer for layer in network.model.layers if isinstance(layer, UnscaledDropout)]
    formulas.ratio, formulas.masks = 0.3, [layer._mask.copy() for layer in dropouts]
    assert [0.6 < mask.mean() < 0.8 for mask in formulas.masks] == [True, True]
    equal(grads, formulas.gradient(x, t))
    np.testing.assert_allclose(network.predict(x), formulas.forward(x), rtol=1e-10)
    network.gradient(x, t)
    assert (dropouts[0]._mask != formulas.masks[0]).any()


def test_dropout_keeps_what_stays_in_training_and_scales_at_test():
    network = book.MultiLayerNetExtend(
        1, [4000], 1, use_dropout=True, dropout_ration=0.25, weight_init_std=0, rng=0
    )
    network.params["b1"][:] = 3
    network.params["W2"][:] = 1
    assert network.predict([[1.0]])[0, 0] == pytest.approx(0.75 * 3 * 4000)
    kept = network.predict([[1.0]], train_flg=True)[0, 0] / 3
    assert kept == pytest.approx(round(kept), abs=1e-9)
    assert 0.72 < kept / 4000 < 0.78


@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
def test_two_layer_networks(hidden):
    cls = {"relu": book.TwoLayerNet, "sigmoid": book.TwoLayerNetSigmoid}[hidden]
    network = cls(8, 6, 3, weight_init_std=0.5, rng=0)
    formulas = textbook.Network(dict(network.params), getattr(textbook, hidden))
    x, t = blobs(30)
    equal(network.gradient(x, t), formulas.gradient(x, t))
    assert network.loss(x, t) == pytest.approx(formulas.loss(x, t), rel=1e-12)
    scores = formulas.forward(x)
    expected = textbook.softmax(scores) if hidden == "sigmoid" else scores
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-10)
    np.testing.assert_allclose(network.predict(x[4]), expected[4], rtol=1e-10)
    assert network.accuracy(x, t) == formulas.accuracy(x, t)


@pytest.mark.parametrize("close", [False, True], ids=["apart", "close"])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e30])
@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_classes_of_many_rows_are_those_of_float64(ratio, scale, close):
    settings = {"use_dropout": ratio > 0, "dropout_ration": ratio}
    settings["use_batchnorm"] = scale == 1 and not ratio
    network, formulas = pair(sizes=(8, [20, 10], 3), **settings)
    x, t = blobs(5000)
    if settings["use_batchnorm"]:
        network.loss(x[:50], t[:50], train_flg=True)
        formulas.forward(x[:50], train=True)
    network.params["W1"] *= scale
    formulas.p["W1"] *= scale
    if close:  # two scores that float32 cannot tell apart
        for params in (network.params, formulas.p):
            params["W3"][:, 1] = params["W3"][:, 0] * (1 + 1e-9)
            params["b3"][1] = params["b3"][0]
    formulas.ratio = ratio
    np.testing.assert_allclose(network.predict(x), formulas.forward(x), rtol=1e-9)
    expected = network.predict(x).argmax(axis=1)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(network._classes(network.rows(x)), expected)
    assert network.accuracy(x, expected) == 1
    assert network.accuracy(x, t) == (expected == t).mean()


@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_few_of_many_rows_need_float64(ratio, monkeypatch):
    network, _ = pair(sizes=(8, [20, 10], 3), use_dropout=ratio > 0, dropout_ration=ratio)
    counts, scores = [], network.model.predict_rows
    monkeypatch.setattr(
        network.model, "predict_rows", lambda rows: (counts.append(len(rows)), scores(rows))[1]
    )
    network.accuracy(*blobs(5000))
    assert 0 < sum(counts) < 500


def test_loss_is_guarded_as_the_course_has_it():
    network = book.TwoLayerNet(1, 1, 2, rng=0)
    network.params["b2"] = np.array([1000.0, 0.0])
    assert network.loss([[0.0]], [1]) == pytest.approx(-np.log(1e-7))
    assert network.loss([[0.0]], [0]) == pytest.approx(-np.log(1 + 1e-7), abs=1e-15)


def test_targets_may_be_one_hot():
    network, _ = pair()
    x, t = blobs(20)
    for rows in (np.eye(3)[t], np.eye(3, dtype=np.uint8)[t], np.eye(3, dtype=bool)[t]):
        equal(network.gradient(x, rows), network.gradient(x, t))
        assert network.loss(x, rows) == network.loss(x, t)
        assert network.accuracy(x, rows) == network.accuracy(x, t)
    assert network.loss(x, t.astype(np.uint8)) == network.loss(x, t)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_rows_of_other_types_are_taken_as_they_are(dtype):
    network, _ = pair()
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 4)).astype(dtype)
    np.testing.assert_array_equal(
        network.predict(x), network.predict(x.reshape(5, 8).astype(np.float64))
    )


def test_parameters_may_be_changed_in_place_or_replaced():
    network, formulas = pair()
    x, t = blobs(20)
    network.params["W1"] -= 0.1
    formulas.p["W1"] -= 0.1
    np.testing.assert_allclose(network.predict(x), formulas.forward(x), rtol=1e-10)
    network.params["W2"] = mine = np.asfortranarray(formulas.p["W2"] * 2)
    formulas.p["W2"] *= 2
    equal(network.gradient(x, t), formulas.gradient(x, t))
    mine += 1  # the network goes on reading it
    formulas.p["W2"] += 1
    np.testing.assert_allclose(network.predict(x), formulas.forward(x), rtol=1e-10)
    network.params["b1"] = network.params["b1"].tolist()
    assert network.loss(x, t) == pytest.approx(formulas.loss(x, t), rel=1e-12)
    assert network.params["W2"] is mine


def test_gradients_belong_to_the_caller():
    network, _ = pair()
    x, t = blobs(40)
    first = network.gradient(x[:20], t[:20])
    copies = {name: gradient.copy() for name, gradient in first.items()}
    network.gradient(x[20:], t[20:])
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, copies[name])
        gradient += 1  # and are writable


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_batchnorm_takes_a_single_row(activation):
    network, formulas = pair(use_batchnorm=True, activation=activation)
    x, t = blobs(1)
    grads = network.gradient(x, t)
    equal(grads, formulas.gradient(x, t))
    assert grads["beta2"].any()
    differences = network.numerical_gradient(x, t)
    for name, gradient in grads.items():
        assert np.abs(gradient - differences[name]).max() < 3e-6, name


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_are_networks_of_their_own(how):
    network, _ = pair(use_batchnorm=True, use_dropout=True)
    x, t = blobs(40)
    network.gradient(x, t)
    network.params["W2"] = network.params["W2"] * 2
    twin = copy.deepcopy(network) if how == "deepcopy" else pickle.loads(pickle.dumps(network))
    assert list(twin.params) == list(network.params)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    equal(twin.gradient(x, t), network.gradient(x, t))  # the same dropout masks, too
    assert twin.accuracy(x[:1], t[:1]) in (0, 1)
    twin.gradient(x[:1], t[:1])
    scores = network.predict(x)
    for value in twin.params.values():
        value[...] = 0
    assert not twin.predict(x).any()
    np.testing.assert_array_equal(network.predict(x), scores)


class Penalized(book.MultiLayerNetExtend):
    """A penalty of one's own, as an exercise asks for it."""

    def loss(self, x, t, train_flg=False):
        return super().loss(x, t, train_flg) + 0.1 * np.abs(self.params["W2"]).sum()

    def gradient(self, x, t):
        grads = super().gradient(x, t)
        grads["W2"] += 0.1 * np.sign(self.params["W2"])
        return grads


@pytest.mark.parametrize(
    "settings", [{}, {"use_batchnorm": True, "use_dropout": True, "dropout_ration": 0.4}]
)
def test_a_loss_of_ones_own_is_what_differences_are_taken_of(settings):
    network = Penalized(8, [7, 6], 3, rng=3, **settings)
    network.params["W1"] = network.params["W1"] * 1.5  # replaced: not the model's memory
    x, t = blobs(12)
    grads = network.gradient(x, t)
    before = network.training_passes, network.predict(x)
    differences = network.numerical_gradient(x, t)
    for name, gradient in grads.items():
        assert np.abs(gradient - differences[name]).max() < 3e-6, name
    assert network.training_passes == before[0]
    np.testing.assert_array_equal(network.predict(x), before[1])


@pytest.mark.parametrize("base", [book.TwoLayerNet, book.TwoLayerNetSigmoid])
def test_a_predict_of_ones_own_is_what_is_judged(base):
    class Reversed(base):
        def predict(self, x):  # as the course writes it
            return np.roll(super().predict(x), 1, axis=1)

    network, own = (cls(8, 6, 3, weight_init_std=0.5, rng=0) for cls in (base, Reversed))
    x, t = blobs(30)
    assert own.accuracy(x, (t + 1) % 3) == network.accuracy(x, t)
    assert own.loss(x, (t + 1) % 3) == pytest.approx(network.loss(x, t), rel=1e-12)
    assert own.loss(x, t) != pytest.approx(network.loss(x, t))


@pytest.mark.parametrize(
    ("std", "expected"),
    [("relu", 2), ("he", 2), ("He", 2), ("sigmoid", 1), ("xavier", 1), (0.01, None)],
)
def test_initial_weights(std, expected):
    params = book.MultiLayerNet(400, [300], 200, weight_init_std=std, rng=0).params
    for name, n in (("W1", 400), ("W2", 300)):
        sigma = np.sqrt(expected / n) if expected else 0.01
        assert params[name].std() == pytest.approx(sigma, rel=0.02)
        assert abs(params[name].mean()) < 0.02 * sigma * 5
    assert not params["b1"].any()
    assert not params["b2"].any()


def test_batchnorm_starts_as_the_course_has_it():
    network = book.MultiLayerNetExtend(4, [5], 3, use_batchnorm=True, rng=0)
    assert network.params["gamma1"].tolist() == [1] * 5
    assert network.params["beta1"].tolist() == [0] * 5
    x = np.random.default_rng(0).standard_normal((6, 4))
    # A variance of zero, and eps = 1e-6: a thousand times the input.
    a = x @ network.params["W1"] * 1000
    np.testing.assert_allclose(network.predict(x), np.maximum(a, 0) @ network.params["W2"])


def test_draws_nothing_from_the_global_generator():
    x, t = blobs(20)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    settings = {"use_dropout": True, "use_batchnorm": True}
    one, two, other = (book.MultiLayerNetExtend(8, [5], 3, **settings, rng=r) for r in (1, 1, 2))
    equal(one.gradient(x, t), two.gradient(x, t))
    assert (one.params["W1"] != other.params["W1"]).all()
    book.MultiLayerNet(8, [5], 3).gradient(x, t)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size must be at least 1"),
        ({"input_size": 2.5}, TypeError, "input_size must be an integer"),
        ({"hidden_size_list": 5}, TypeError, "hidden_size_list must be a sequence"),
        ({"hidden_size_list": [5, -1]}, ValueError, "hidden_size_list must be at least 1"),
        ({"output_size": "10"}, TypeError, "output_size must be an integer"),
        ({"activation": "swish"}, ValueError, "activation must be one of relu, sigmoid"),
        ({"activation": None}, TypeError, "activation must be a name"),
        ({"weight_init_std": "small"}, ValueError, "weight_init_std must be one of"),
        ({"weight_init_std": -1}, ValueError, "weight_init_std must be a finite number"),
        ({"weight_decay_lambda": -0.1}, ValueError, "weight_decay_lambda must be"),
        ({"dropout_ration": 1.0}, ValueError, "dropout_ration must be"),
        ({"rng": "seed"}, TypeError, "rng must be"),
    ],
)
def test_settings_are_checked(settings, error, message):
    defaults = {"input_size": 4, "hidden_size_list": [3], "output_size": 2}
    with pytest.raises(error, match=message):
        book.MultiLayerNetExtend(**defaults | settings)


@pytest.mark.parametrize(
    ("x", "t", "error", "message"),
    [
        (np.zeros((2, 7)), [0, 1], ValueError, "x must have shape"),
        (np.zeros((0, 8)), [], ValueError, "x must have at least one row"),
        ("digits", [0], TypeError, "x must hold real numbers"),
        (np.zeros((2, 8)), [0, 1, 2], ValueError, "t must have 2 rows, as x has; got 3"),
        (np.zeros((2, 8)), [0, 3], ValueError, r"t must hold labels 0\.\.2; got 0\.\.3"),
        (np.zeros((2, 8)), [0, -1], ValueError, r"t must hold labels 0\.\.2; got -1"),
        (np.zeros((2, 8)), [0.0, 1.0], ValueError, "t must hold integer labels"),
        (np.zeros((2, 8)), ["a", "b"], TypeError, "t must hold integer labels"),
        (np.zeros((2, 8)), np.full((2, 3), 1 / 3), ValueError, "t must be one-hot"),
        (np.zeros((2, 8)), [[2, 0, 0], [0, 1, 0]], ValueError, "t must be one-hot"),
        (np.zeros((2, 8)), np.eye(4)[:2], ValueError, "one-hot rows of shape"),
    ],
)
def test_rows_and_targets_are_checked(x, t, error, message):
    network, _ = pair()
    for method in (network.loss, network.gradient, network.accuracy, network.numerical_gradient):
        with pytest.raises(error, match=message):
            method(x, t)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((7, 8)), "w", None])
def test_replaced_parameters_are_checked(bad):
    network, _ = pair()
    network.params["W1"] = bad
    with pytest.raises(ValueError, match=r"params\['W1'\] must be an array .* shape \(8, 7\)"):
        network.predict(np.zeros((1, 8)))
    del network.params["W1"]
    with pytest.raises(ValueError, match=r"params\['W1'\] .* got none"):
        network.gradient(np.zeros((2, 8)), [0, 1])
