"""The course's optimizers, functions and trainer; scripts written as the course writes them."""

import copy
import pickle

import numpy as np
import pytest
import textbook
from networks import blobs

import fastnn as fnn
from fastnn import book

OPTIMIZERS = [
    (book.SGD, textbook.sgd, {"lr": 0.03}),
    (book.Momentum, textbook.momentum, {"lr": 0.02, "momentum": 0.8}),
    (book.Nesterov, textbook.nesterov, {"lr": 0.02, "momentum": 0.8}),
    (book.AdaGrad, textbook.adagrad, {"lr": 0.05}),
    (book.RMSprop, textbook.rmsprop, {"lr": 0.02, "decay_rate": 0.9}),
    (book.Adam, textbook.adam, {"lr": 0.02, "beta1": 0.8, "beta2": 0.9}),
]
NAMES = [optimizer.__name__ for optimizer, _, _ in OPTIMIZERS]


@pytest.mark.parametrize("chosen", [True, False], ids=["settings", "defaults"])
@pytest.mark.parametrize(("optimizer", "formula", "settings"), OPTIMIZERS, ids=NAMES)
def test_optimizers_equal_the_formulas(optimizer, formula, settings, chosen, rng):
    ours = optimizer(**settings) if chosen else optimizer()
    settings = dict(settings) if chosen else {}
    params = {"W1": rng.standard_normal((3, 4)), "b1": rng.standard_normal(4)}
    arrays = dict(params)
    expected = {name: value.copy() for name, value in params.items()}
    states = {name: {} for name in params}
    for step in range(8):
        # Small gradients too, for which 1e-7 counts and its place in the formula shows.
        scale = 10.0 ** -(step % 4 * 2)
        grads = {name: scale * rng.standard_normal(p.shape) for name, p in params.items()}
        if step == 5 and chosen:
            ours.lr = settings["lr"] = 0.01  # courses lower it as they go
        kept = {name: g.copy() for name, g in grads.items()}
        ours.update(params, grads)
        for name, p in expected.items():
            formula(p, grads[name], states[name], **settings)
            np.testing.assert_allclose(params[name], p, rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(grads[name], kept[name])
    assert all(params[name] is arrays[name] for name in params)


@pytest.mark.parametrize(("optimizer", "formula", "settings"), OPTIMIZERS, ids=NAMES)
def test_optimizers_take_numbers(optimizer, formula, settings):
    """As in the comparison of paths on f(x, y) = x^2 / 20 + y^2."""
    params = {"x": -7.0, "y": 2}
    ours, expected, states = optimizer(**settings), np.array([-7.0, 2.0]), [{}, {}]
    for _ in range(5):
        ours.update(params, {"x": params["x"] / 10.0, "y": 2.0 * params["y"]})
        gradient = expected * [0.1, 2.0]
        for i in range(2):
            formula(expected[i : i + 1], gradient[i : i + 1], states[i], **settings)
    assert [params["x"], params["y"]] == pytest.approx(expected, rel=1e-12)
    assert np.ndim(params["x"]) == 0


@pytest.mark.parametrize("optimizer", [optimizer for optimizer, _, _ in OPTIMIZERS], ids=NAMES)
def test_optimizers_go_on_from_a_copy(optimizer, rng):
    params, gradient = {"W": rng.standard_normal(3)}, {"W": rng.standard_normal(3)}
    ours = optimizer()
    ours.update(params, gradient)
    results = []
    for each in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), ours):
        own = {"W": params["W"].copy()}
        each.update(own, gradient)
        results.append(own["W"])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[2])


def test_trainers_go_on_from_a_copy():
    x, t = blobs(60)
    network = book.MultiLayerNetExtend(8, [6], 3, use_batchnorm=True, rng=0)
    trainer = book.Trainer(network, x, t, x, t, 2, 20, "Adam", {"lr": 0.1}, verbose=False, rng=0)
    trainer.train()
    twin = copy.deepcopy(trainer)
    trainer.train()
    assert len(twin.train_loss_list) == 6
    twin.train()
    np.testing.assert_allclose(twin.train_loss_list, trainer.train_loss_list, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("layout", [np.array, np.asfortranarray, lambda x: np.repeat(x, 2, 0)[::2]])
def test_optimizers_change_any_array_in_place(dtype, layout, rng):
    start = rng.standard_normal((3, 4)).astype(dtype)
    g = rng.standard_normal((3, 4)).T.copy().T
    params = {"w": (w := layout(start))}
    book.Momentum(lr=0.5).update(params, {"w": g})
    assert params["w"] is w
    assert w.dtype == dtype
    np.testing.assert_allclose(w, start - 0.5 * g, rtol=1e-2 if dtype == "float16" else 1e-5)


@pytest.mark.parametrize(
    ("params", "grads", "error", "message"),
    [
        ({"W": np.ones(2)}, {"b": np.ones(2)}, ValueError, "'W' has none"),
        ({"W": np.ones(2)}, {"W": np.ones(3)}, ValueError, r"grads\['W'\] must have shape \(2,\)"),
        ({"W": np.ones(2, int)}, {"W": np.ones(2)}, TypeError, r"params\['W'\] .* got int64"),
        ({"W": [1.0]}, {"W": [1.0]}, TypeError, r"params\['W'\] must be an array or a number"),
        ({"W": np.broadcast_to(1.0, 2)}, {"W": np.ones(2)}, TypeError, "read-only"),
    ],
)
def test_optimizers_name_bad_arguments(params, grads, error, message):
    with pytest.raises(error, match=message):
        book.SGD().update(params, grads)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: book.SGD(lr=-1), "lr must be"),
        (lambda: book.Momentum(momentum=1.0), "momentum must be"),
        (lambda: book.RMSprop(decay_rate=1.5), "decay_rate must be"),
        (lambda: book.Adam(beta1=1), "beta1 must be"),
        (lambda: book.Adam(beta2=-0.1), "beta2 must be"),
    ],
)
def test_optimizers_check_their_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- functions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4)])
def test_elementwise_functions(shape, rng):
    x = 3 * rng.standard_normal(shape)
    for function in (book.sigmoid, book.relu):
        expected = getattr(textbook, function.__name__)(x)
        np.testing.assert_allclose(function(x), expected, rtol=1e-12)
        assert np.shape(function(x)) == shape
    s = textbook.sigmoid(x)
    np.testing.assert_allclose(book.sigmoid_grad(x), s * (1 - s), rtol=1e-12)
    if shape:
        np.testing.assert_allclose(book.softmax(x), textbook.softmax(x), rtol=1e-12)


def test_functions_do_not_overflow():
    assert book.sigmoid([-1000, 0, 1000]).tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(book.softmax([1010, 1000, 990]), [1, 4.54e-5, 2.06e-9], rtol=1e-3)
    assert book.softmax([7]).tolist() == [1]


def test_functions_take_integers_and_keep_float32():
    assert book.relu([-1, 2]).tolist() == [0, 2]
    assert book.softmax(np.zeros(4, np.float32)).dtype == np.float32


def test_errors_of_one_row_and_of_many():
    y = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])
    t = np.eye(10)[2]
    assert book.sum_squared_error(y, t) == pytest.approx(0.0975)
    assert book.cross_entropy_error(y, t) == pytest.approx(0.510825457099338)
    assert book.cross_entropy_error(y, 2) == book.cross_entropy_error(y, t)
    assert book.cross_entropy_error(y, [2]) == book.cross_entropy_error(y, t)
    assert book.cross_entropy_error(y, 3) == pytest.approx(-np.log(1e-7))
    both = np.stack([y, y])
    mean = (book.cross_entropy_error(y, 2) + book.cross_entropy_error(y, 0)) / 2
    assert book.cross_entropy_error(both, [2, 0]) == pytest.approx(mean)
    assert book.cross_entropy_error(both, np.eye(10)[[2, 0]]) == pytest.approx(mean)
    assert book.sum_squared_error(both, np.stack([t, t])) == pytest.approx(2 * 0.0975)


def test_numerical_functions_under_the_courses_names():
    x, path = book.gradient_descent(
        lambda x: x[0] ** 2 + x[1] ** 2, init_x=np.array([-3.0, 4.0]), lr=0.1, step_num=100
    )
    np.testing.assert_allclose(x, 0, atol=1e-8)
    assert path.shape == (100, 2)
    assert path[0].tolist() == [-3, 4]
    assert book.numerical_diff is fnn.numerical_diff
    assert book.numerical_gradient is fnn.numerical_gradient


def test_shuffle_dataset():
    x, t = np.arange(20).reshape(10, 2), np.arange(10)
    x1, t1 = book.shuffle_dataset(x, t, rng=1)
    assert sorted(t1) == list(range(10))
    assert t1.tolist() != t.tolist()
    np.testing.assert_array_equal(x1[:, 0], 2 * t1)
    images = book.shuffle_dataset(x.reshape(10, 1, 2, 1), t, rng=1)[0]
    np.testing.assert_array_equal(images.reshape(10, 2), x1)
    assert x[0, 1] == 1


def test_smooth_curve(rng):
    x = rng.standard_normal(40)
    smooth = book.smooth_curve(x)
    weights = np.kaiser(11, 2) / np.kaiser(11, 2).sum()
    assert smooth.shape == x.shape
    assert smooth[20] == pytest.approx((weights * x[15:26]).sum())
    mirrored_start = np.concatenate([x[5:0:-1], x[:6]])
    mirrored_end = np.concatenate([x[-6:], x[:-6:-1]])
    assert smooth[0] == pytest.approx((weights * mirrored_start).sum())
    assert smooth[-1] == pytest.approx((weights * mirrored_end).sum())
    np.testing.assert_allclose(book.smooth_curve([2.0]), [2.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: book.sigmoid("x"), TypeError, "x must hold real numbers"),
        (lambda: book.softmax(1.0), ValueError, "x must have scores"),
        (lambda: book.sum_squared_error([1, 2], [1]), ValueError, "t must have the shape of y"),
        (lambda: book.cross_entropy_error([[0.5, 0.5]], [2]), ValueError, r"t must .* 0\.\.1"),
        (lambda: book.cross_entropy_error(0.5, 0), ValueError, "y must have shape"),
        (lambda: book.shuffle_dataset([1, 2], [1]), ValueError, "x and t must have as many rows"),
        (lambda: book.shuffle_dataset([1], [1], rng="a"), TypeError, "rng must be"),
        (lambda: book.smooth_curve([[1.0]]), ValueError, "x must have shape"),
    ],
)
def test_functions_name_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- the trainer -----------------------------------------------------------------------------------


def trainer_of(x, t, epochs=3, batch=20, **settings):
    network = book.MultiLayerNet(8, [7, 6], 3, weight_decay_lambda=0.01, rng=0)
    settings = {"verbose": False, "rng": 5} | settings
    return book.Trainer(network, x[:60], t[:60], x[60:], t[60:], epochs, batch, **settings)


@pytest.mark.parametrize(("optimizer", "formula", "settings"), OPTIMIZERS, ids=NAMES)
def test_trainer_equals_the_formulas(optimizer, formula, settings):
    x, t = blobs(90)
    trainer = trainer_of(x, t, optimizer=optimizer.__name__, optimizer_param=settings)
    formulas = textbook.Network(
        {name: value.copy() for name, value in trainer.network.params.items()}, decay=0.01
    )
    states = {name: {} for name in formulas.p}
    trainer.train()
    draws = np.random.default_rng(5)
    train_acc, test_acc = [], []
    for step in range(9):
        rows = draws.integers(60, size=20)
        grads = formulas.gradient(x[rows], t[rows])
        for name, p in formulas.p.items():
            formula(p, grads[name], states[name], **settings)
        loss = formulas.loss(x[rows], t[rows])
        assert trainer.train_loss_list[step] == pytest.approx(loss, rel=1e-10)
        if step % 3 == 0:
            train_acc.append(formulas.accuracy(x[:60], t[:60]))
            test_acc.append(formulas.accuracy(x[60:], t[60:]))
    assert (trainer.train_acc_list, trainer.test_acc_list) == (train_acc, test_acc)
    assert len(trainer.train_loss_list) == trainer.max_iter == 9
    for name, p in formulas.p.items():
        np.testing.assert_allclose(trainer.network.params[name], p, rtol=1e-9, atol=1e-12)


def test_trainer_prints_what_the_course_prints(capsys):
    x, t = blobs(90)
    trainer = trainer_of(x, t, epochs=1, batch=30, verbose=True)
    trainer.train()
    train_acc, test_acc = trainer.train_acc_list[0], trainer.test_acc_list[0]
    first, second = trainer.train_loss_list
    assert capsys.readouterr().out.splitlines() == [
        f"train loss:{first}",
        f"=== epoch:1, train acc:{train_acc}, test acc:{test_acc} ===",
        f"train loss:{second}",
        "=============== Final Test Accuracy ===============",
        f"test acc:{trainer.network.accuracy(x[60:], t[60:])}",
    ]
    assert "np.float64" not in f"{trainer.train_loss_list} {trainer.test_acc_list}"


def test_trainer_judges_by_the_rows_it_is_told(capsys):
    x, t = blobs(90)
    trainer = trainer_of(x, t, epochs=1, evaluate_sample_num_per_epoch=7)
    trainer.train_step()
    assert trainer.train_acc_list == [trainer.network.accuracy(x[:7], t[:7])]
    assert trainer.test_acc_list == [trainer.network.accuracy(x[60:67], t[60:67])]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("batch", "iterations", "judged"),
    [(20, 9, [0, 3, 6]), (25, 7, [0, 3, 5]), (100, 3, [0, 1, 2]), (60, 3, [0, 1, 2])],
)
def test_trainer_judges_once_an_epoch(batch, iterations, judged):
    x, t = blobs(90)
    trainer = trainer_of(x, t, batch=batch)
    counts = []
    for _ in range(trainer.max_iter):
        trainer.train_step()
        counts.append(len(trainer.test_acc_list))
    assert len(counts) == iterations
    assert [
        i for i, (a, b) in enumerate(zip([0, *counts], counts, strict=False)) if b > a
    ] == judged


@pytest.mark.parametrize("name", ["rmsprop", "RMSprpo", "ADAM", "Nesterov"])
def test_trainer_takes_optimizers_in_any_case(name):
    trainer = trainer_of(*blobs(90), optimizer=name)
    expected = {"a": book.Adam, "n": book.Nesterov, "r": book.RMSprop}[name[0].lower()]
    assert type(trainer.optimizer) is expected
    assert trainer.optimizer.lr == 0.01


def test_trainer_takes_networks_of_ones_own():
    class Mean:
        """Learns the mean of its rows."""

        def __init__(self):
            self.params = {"m": np.zeros(8)}

        def gradient(self, x, t):
            return {"m": self.params["m"] - x.mean(axis=0)}

        def loss(self, x, t):
            return 0.5 * float(((self.params["m"] - x.mean(axis=0)) ** 2).sum())

        def accuracy(self, x, t):
            return 0.5

    x, t = blobs(90)
    trainer = book.Trainer(
        network := Mean(), x, t, x, t, 50, 30, "SGD", {"lr": 0.1}, None, False, rng=0
    )
    trainer.train()
    np.testing.assert_allclose(network.params["m"], x.mean(axis=0), atol=0.4)
    assert trainer.test_acc_list == [0.5] * 50


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "adamw"}, ValueError, "optimizer must be one of sgd, momentum"),
        ({"optimizer": book.SGD}, ValueError, "optimizer must be one of"),
        ({"optimizer_param": {"rate": 1}}, TypeError, "rate"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch": 1.5}, TypeError, "mini_batch_size must be an integer"),
        ({"evaluate_sample_num_per_epoch": 0}, ValueError, "evaluate_sample_num_per_epoch"),
        ({"rng": -1}, ValueError, "rng must be at least 0"),
    ],
)
def test_trainer_checks_its_settings(settings, error, message):
    with pytest.raises(error, match=message):
        trainer_of(*blobs(90), **settings)


def test_trainer_checks_its_data():
    x, t = blobs(90)
    with pytest.raises(ValueError, match="x_train and t_train must have as many rows"):
        book.Trainer(book.TwoLayerNet(8, 5, 3), x, t[:50], x, t)
    with pytest.raises(ValueError, match="x_test and t_test must have as many rows"):
        book.Trainer(book.TwoLayerNet(8, 5, 3), x, t, x[:0], t[:0])


# -- scripts in the course's style -----------------------------------------------------------------

BATCH_LOOP = """
import numpy as np
from fastnn.book import TwoLayerNet
from fastnn.data import load_digits

np.random.seed(0)
(x_train, t_train), (x_test, t_test) = load_digits(normalize=True, one_hot_label=True)
network = TwoLayerNet(input_size=64, hidden_size=50, output_size=10)

iters_num, batch_size, learning_rate = 3000, 100, 0.1
train_size = x_train.shape[0]
train_loss_list, train_acc_list, test_acc_list = [], [], []
iter_per_epoch = max(train_size // batch_size, 1)
for i in range(iters_num):
    batch_mask = np.random.choice(train_size, batch_size)
    x_batch = x_train[batch_mask]
    t_batch = t_train[batch_mask]
    grad = network.gradient(x_batch, t_batch)
    for key in ('W1', 'b1', 'W2', 'b2'):
        network.params[key] -= learning_rate * grad[key]
    loss = network.loss(x_batch, t_batch)
    train_loss_list.append(loss)
    if i % iter_per_epoch == 0:
        train_acc_list.append(network.accuracy(x_train, t_train))
        test_acc_list.append(network.accuracy(x_test, t_test))
print(train_loss_list[0], train_loss_list[-1], train_acc_list[-1], test_acc_list[-1])
"""

GRADIENT_CHECK = """
import numpy as np
from fastnn.book import TwoLayerNetSigmoid as TwoLayerNet
from fastnn.data import load_digits

(x_train, t_train), _ = load_digits(one_hot_label=True)
network = TwoLayerNet(input_size=64, hidden_size=50, output_size=10)
x_batch, t_batch = x_train[:3], t_train[:3]
grad_numerical = network.numerical_gradient(x_batch, t_batch)
grad_backprop = network.gradient(x_batch, t_batch)
for key in grad_numerical.keys():
    diff = np.average(np.abs(grad_backprop[key] - grad_numerical[key]))
    print(key, diff)
"""

OVERFIT = """
from fastnn.book import MultiLayerNetExtend, Trainer, smooth_curve
from fastnn.data import load_digits

(x_train, t_train), (x_test, t_test) = load_digits()
x_train, t_train = x_train[:300], t_train[:300]
network = MultiLayerNetExtend(input_size=64, hidden_size_list=[100] * 6, output_size=10,
                              use_batchnorm=True, rng=0)
trainer = Trainer(network, x_train, t_train, x_test, t_test, epochs=20, mini_batch_size=100,
                  optimizer='sgd', optimizer_param={'lr': 0.05}, verbose=True, rng=0)
trainer.train()
assert len(smooth_curve(trainer.train_loss_list)) == 60
"""


def test_a_batch_loop(run_python):
    first, last, train, test = map(float, run_python(BATCH_LOOP).split())
    assert first == pytest.approx(np.log(10), abs=0.01)
    assert last < 0.3
    assert min(train, test) > 0.94


def test_a_gradient_check(run_python):
    lines = dict(line.split() for line in run_python(GRADIENT_CHECK).splitlines())
    assert lines.keys() == {"W1", "b1", "W2", "b2"}
    assert max(map(float, lines.values())) < 1e-6


def test_a_trainer_with_batchnorm(run_python):
    lines = run_python(OVERFIT).splitlines()
    assert sum(line.startswith("train loss:") for line in lines) == 60
    assert sum(line.startswith("=== epoch:") for line in lines) == 20
    assert float(lines[-1].removeprefix("test acc:")) > 0.8


def test_the_book_is_loaded_when_asked_for(run_python):
    code = "import sys, fastnn; print('fastnn.book' in sys.modules, fastnn.book.TwoLayerNet)"
    assert run_python(code).startswith("False <class")
    with pytest.raises(AttributeError, match="no attribute 'chapter'"):
        fnn.chapter  # noqa: B018


def test_the_names_of_the_course():
    for name in book.__all__:
        assert hasattr(book, name)
    assert book.load_mnist is fnn.data.load_mnist
