"""Trainer.fit: learning, history, validation, weights, callbacks, metrics, output, errors."""

import itertools
import math

import numpy as np
import pytest
from networks import Recorder, blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn.data import split_indices

# -- learning --------------------------------------------------------------------------------------


def test_it_learns_to_classify(executor, dtype):
    x, y = blobs(500)
    model = fnn.mlp(
        *(8, [20], 3),
        batch_norm=True,
        dropout=0.1,
        rng=0,
        dtype=dtype,
        backend=executor.backend,
    )
    trainer = trainer_of(model, executor)
    history = trainer.fit(x[:400], y[:400], epochs=10, validation_data=(x[400:], y[400:]))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.95
    assert (model.predict(x[400:]).argmax(axis=1) == y[400:]).mean() == pytest.approx(
        history["val_accuracy"][-1]
    )


def test_it_learns_a_function(executor):
    x = np.linspace(-2, 2, 300)[:, None]
    y = np.sin(2 * x[:, 0])
    model = fnn.mlp(1, [30, 30], 1, "tanh", init="xavier", rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor, loss="mean_squared_error")
    history = trainer.fit(x, y, epochs=80)
    assert history["loss"][-1] < 0.01 < 0.2 < history["loss"][0]
    assert "accuracy" not in history
    assert np.abs(model.predict(x)[:, 0] - y).mean() < 0.1


@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_is_the_textbook_loop(executor, shuffle):
    """Softmax regression by SGD, written out: 50 rows in batches of 20, 20 and 10."""
    x, y = blobs(50)
    model = fnn.mlp(8, [], 3, rng=0, dtype="float64", backend=executor.backend)
    w, b = model.params["affine1.w"].copy(), model.params["affine1.b"].copy()
    trainer = trainer_of(model, executor, optimizer=fnn.SGD(0.1), rng=5)
    history = trainer.fit(x, y, epochs=3, shuffle=shuffle)

    rng = np.random.default_rng(5)
    for epoch in range(3):
        order = rng.permutation(50) if shuffle else np.arange(50)
        loss, right = 0.0, 0
        for rows in np.split(order, [20, 40]):
            scores = x[rows] @ w + b
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            n = len(rows)
            loss -= np.log(p[np.arange(n), y[rows]]).sum()
            right += (scores.argmax(axis=1) == y[rows]).sum()
            d = (p - np.eye(3)[y[rows]]) / n
            w -= 0.1 * x[rows].T @ d
            b -= 0.1 * d.sum(axis=0)
        assert history["loss"][epoch] == pytest.approx(loss / 50, rel=1e-12)
        assert history["accuracy"][epoch] == pytest.approx(right / 50)
    np.testing.assert_allclose(model.params["affine1.w"], w, rtol=1e-10)
    np.testing.assert_allclose(model.params["affine1.b"], b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (3, 100), (7, 1), (20, 20), (21, 20)])
def test_batches_of_any_size(n, batch_size, executor):
    x, y = blobs(n)
    recorder = Recorder()
    trainer = trainer_of(
        fnn.mlp(8, [4], 3, dropout=0.5, rng=0, backend=executor.backend),
        executor,
        batch_size=batch_size,
        callbacks=[recorder],
    )
    trainer.fit(x, y, epochs=2)
    assert len(recorder.losses) == 2 * math.ceil(n / batch_size) == trainer.step
    assert all(map(math.isfinite, recorder.losses))


@pytest.mark.parametrize(
    ("batch_norm", "frozen", "sizes"),
    [(False, False, [10, 10, 1]), (True, False, [10, 11]), (True, True, [10, 10, 1])],
)
def test_a_last_batch_of_one_joins_the_one_before_where_there_is_batchnorm(
    batch_norm, frozen, sizes
):
    seen = []

    def count(outputs, targets):
        seen.append(len(targets))
        return 0.0

    model = fnn.mlp(8, [4], 3, batch_norm=batch_norm, rng=0)
    for layer in model.layers:
        layer.trainable = not frozen or layer.kind != "batchnorm"
    trainer_of(model, batch_size=10, metrics=[count]).fit(*blobs(21), epochs=1)
    assert seen == sizes


@pytest.mark.parametrize(("n", "batch_size"), [(1, 10), (4, 1)])
def test_batchnorm_with_one_sample_is_refused(n, batch_size):
    model = fnn.mlp(8, [4], 3, batch_norm=True, rng=0)
    trainer = trainer_of(model, batch_size=batch_size)
    before = numbers(model)
    with pytest.raises(ValueError, match="BatchNorm cannot train on a batch of one sample"):
        trainer.fit(*blobs(n))
    with pytest.raises(ValueError, match="BatchNorm cannot train on a batch of one sample"):
        trainer.gradients(*blobs(1))
    assert numbers(model) == before
    assert trainer.step == trainer.epoch == 0
    assert trainer.evaluate(*blobs(1)).keys() == {"loss", "accuracy"}


# -- history ---------------------------------------------------------------------------------------


def test_history_has_a_number_for_each_epoch():
    x, y = blobs(60)
    trainer = trainer_of()
    history = trainer.fit(x, y, epochs=3, validation_data=(x[:20], y[:20]))
    assert history is trainer.history
    assert list(history) == ["loss", "accuracy", "lr", "val_loss", "val_accuracy", "seconds"]
    for name in history:
        assert len(history[name]) == 3
        assert all(type(value) is float and math.isfinite(value) for value in history[name])
    assert history.epochs == [0, 1, 2]
    assert history["lr"] == [0.01] * 3
    assert min(history["seconds"]) > 0


def test_loss_is_in_training_mode_and_val_loss_in_inference_mode_after_the_epoch(executor):
    x, y = blobs(60)
    trainer = trainer_of(every_layer(executor.backend), executor, batch_size=60)
    before, _ = trainer.gradients(x, y)
    history = trainer.fit(x, y, epochs=1, validation_data=(x, y), shuffle=False)
    assert history["loss"] == [pytest.approx(before)]
    after = trainer.evaluate(x, y)
    assert history["val_loss"] == [pytest.approx(after["loss"])]
    assert history["val_accuracy"] == [after["accuracy"]]
    assert after["loss"] != pytest.approx(trainer.gradients(x, y)[0], rel=1e-3)


def test_a_second_fit_goes_on(executor):
    x, y = blobs(60)
    runs = []
    for parts in ([5], [2, 3], [1, 1, 1, 1, 1]):
        model = every_layer(executor.backend)
        recorder = Recorder()
        schedule = fnn.ExponentialDecay(0.05, 0.5)
        trainer = trainer_of(model, executor, lr=schedule, callbacks=[recorder])
        for epochs in parts:
            trainer.fit(x, y, epochs=epochs)
        assert trainer.epoch == 5
        assert trainer.step == model.step == 15
        runs.append((trainer.history["loss"], recorder.rates, numbers(model)))
    assert runs[0] == runs[1] == runs[2]


def test_evaluate_takes_the_whole_set_in_pieces(executor):
    x, y = blobs(2500)
    weights = np.random.default_rng(0).uniform(0, 2, 2500)
    model = fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=executor.backend)
    trainer = trainer_of(model, executor, regularizer=fnn.L2(0.1))
    scores = model.predict(x)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(2500), y]
    penalty = 0.05 * sum((model.params[f"affine{i}.w"] ** 2).sum() for i in (1, 2))
    results = trainer.evaluate(x, y)
    assert results["loss"] == pytest.approx(losses.mean() + penalty, rel=1e-12)
    assert results["accuracy"] == (scores.argmax(axis=1) == y).mean()
    weighted = trainer.evaluate(x, y, weights)
    assert weighted["loss"] == pytest.approx((weights * losses).mean() + penalty, rel=1e-12)
    assert weighted["accuracy"] == results["accuracy"]


# -- validation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_type", [tuple, list])
def test_validation_data_with_and_without_weights(as_type):
    x, y = blobs(60)
    trainer = trainer_of()
    for data in ((x[:7], y[:7]), (x[:7], y[:7], np.arange(7))):
        history = trainer.fit(x, y, epochs=1, validation_data=as_type(data))
        assert history["val_loss"][-1] == pytest.approx(trainer.evaluate(*data)["loss"])


def test_validation_does_not_change_training(executor):
    x, y = blobs(60)
    losses = []
    for data in (None, (x, y)):
        model = every_layer(executor.backend)
        trainer = trainer_of(model, executor)
        losses.append((trainer.fit(x, y, 3, validation_data=data)["loss"], numbers(model)))
    assert losses[0] == losses[1]


def test_a_share_of_the_training_data_is_held_out(executor):
    """The rows that split_indices draws from the trainer's rng, and the others are trained on."""
    x, y = blobs(50)
    weights = np.random.default_rng(1).uniform(0, 2, 50)
    trainer = trainer_of(executor=executor, rng=3)
    history = trainer.fit(x, y, epochs=1, validation_share=0.2, sample_weight=weights)
    assert trainer.samples == 40

    rng = np.random.default_rng(3)
    kept, held = split_indices(50, 0.2, rng)
    assert len(held) == 10
    results = trainer.evaluate(x[held], y[held], weights[held])
    assert history["val_loss"] == [pytest.approx(results["loss"])]
    assert history["val_accuracy"] == [results["accuracy"]]
    by_hand = trainer_of(executor=executor, rng=rng)
    again = by_hand.fit(x[kept], y[kept], epochs=1, sample_weight=weights[kept])
    assert again["loss"] == history["loss"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation_share": 1.0}, ValueError, "validation_share"),
        ({"validation_share": -0.1}, ValueError, "validation_share"),
        ({"validation_share": "0.1"}, TypeError, "validation_share"),
        ({"validation_share": float("nan")}, ValueError, "validation_share"),
        ({"validation_share": 1e-9}, ValueError, "share"),
        ({"validation_share": 0.999999}, ValueError, "share"),
        ({"validation_data": blobs(5), "validation_share": 0.1}, ValueError, "not both"),
        ({"validation_data": blobs(5)[0]}, TypeError, "validation_data must be"),
        ({"validation_data": (blobs(5)[0],)}, TypeError, "validation_data must be"),
        ({"validation_data": (*blobs(5), None, None)}, TypeError, "validation_data must be"),
        ({"validation_data": "test"}, TypeError, "validation_data must be"),
        ({"validation_data": (blobs(5)[0], [0, 1])}, ValueError, "y must have 5 rows"),
        ({"validation_data": (*blobs(5), [1.0])}, ValueError, "sample_weight must have shape"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1; got 0"),
        ({"epochs": 2.0}, TypeError, "epochs must be an integer"),
        ({"epochs": None}, TypeError, "epochs"),
        ({"epochs": True}, TypeError, "epochs"),
        ({"sample_weight": [1.0]}, ValueError, r"sample_weight must have shape \(30,\)"),
        ({"sample_weight": np.ones((30, 1))}, ValueError, "sample_weight"),
        ({"sample_weight": 1.0}, ValueError, "sample_weight"),
        ({"sample_weight": -np.ones(30)}, ValueError, "sample_weight must be finite and at least"),
        ({"sample_weight": np.full(30, np.nan)}, ValueError, "sample_weight must be finite"),
        ({"sample_weight": np.full(30, np.inf)}, ValueError, "sample_weight must be finite"),
        ({"sample_weight": np.full(30, "1")}, TypeError, "sample_weight must hold real numbers"),
        ({"class_weight": [1.0, 2.0]}, ValueError, r"class_weight must have shape \(3,\)"),
        ({"class_weight": {3: 1.0}}, ValueError, r"class_weight names class 3; .* 0\.\.2"),
        ({"class_weight": {-1: 1.0}}, ValueError, "class_weight names class -1"),
        ({"class_weight": {"cat": 1.0}}, ValueError, "class_weight names class 'cat'"),
        ({"class_weight": {0: -1.0}}, ValueError, "class_weight must be finite and at least 0"),
        ({"class_weight": {0: float("nan")}}, ValueError, "class_weight must be finite"),
        ({"class_weight": {0: "2"}}, TypeError, "class_weight must hold real numbers"),
        (
            {"class_weight": "balanced"},
            TypeError,
            r"class_weight must hold .*np\.bincount",
        ),
    ],
)
def test_bad_arguments_of_fit_are_named_and_nothing_is_trained(arguments, error, message):
    trainer = trainer_of()
    before, state = numbers(trainer.model), trainer.rng.bit_generator.state
    with pytest.raises(error, match=message):
        trainer.fit(*blobs(30), **arguments)
    assert numbers(trainer.model) == before
    assert trainer.rng.bit_generator.state == state
    assert trainer.step == trainer.epoch == 0
    assert trainer.history.epochs == []


def test_scores_are_no_probabilities():
    """The logarithm of a score below zero is NaN: no learning rate could help."""
    trainer = trainer_of(loss="cross_entropy")
    with pytest.raises(ValueError, match=r"loss cross_entropy .*, and affine\d gives scores"):
        trainer.fit(*blobs(30))
    assert trainer.step == 0


# -- weights ---------------------------------------------------------------------------------------


def test_a_weight_of_two_counts_as_the_row_twice(backend):
    x, y = blobs(9)
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=backend))
    weights = np.ones(9)
    weights[4] = 2
    loss, grads = trainer.gradients(x, y, weights)
    twice = [*range(9), 4]
    expected, wanted = trainer.gradients(x[twice], y[twice])
    # Both are divided by the number of rows, which is 9 and 10.
    assert 9 * loss == pytest.approx(10 * expected, rel=1e-12)
    for name, gradient in grads.items():
        np.testing.assert_allclose(9 * gradient, 10 * wanted[name], atol=1e-13)


def test_a_weight_of_zero_leaves_the_row_out(backend):
    x, y = blobs(9)
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=backend))
    loss, grads = trainer.gradients(x, y, np.arange(9) != 4)
    rest = np.arange(9) != 4
    expected, wanted = trainer.gradients(x[rest], y[rest])
    assert 9 * loss == pytest.approx(8 * expected, rel=1e-12)
    for name, gradient in grads.items():
        np.testing.assert_allclose(9 * gradient, 8 * wanted[name], atol=1e-13)


def fitted(executor, y=None, **arguments):
    """Loss curve and numbers of a fit."""
    x, labels = blobs(60)
    trainer = trainer_of(executor=executor)
    history = trainer.fit(x, labels if y is None else y, epochs=2, **arguments)
    return history["loss"], numbers(trainer.model)


def test_sample_weights_follow_their_rows_through_the_shuffle(executor):
    x, y = blobs(60)
    weights = np.random.default_rng(2).uniform(0, 3, 60)
    trainer = trainer_of(executor=executor, optimizer=fnn.SGD(0.1), rng=5)
    history = trainer.fit(x, y, epochs=1, sample_weight=weights)

    model = fnn.mlp(8, [6], 3, rng=0, dtype="float64")
    by_hand = trainer_of(model, rng=5)
    order = np.random.default_rng(5).permutation(60)
    losses = []
    for rows in np.split(order, 3):
        loss, grads = by_hand.gradients(x[rows], y[rows], weights[rows])
        losses.append(loss)
        for name, gradient in grads.items():
            model.params[name][...] -= 0.1 * gradient
    assert history["loss"] == [pytest.approx(np.mean(losses), rel=1e-12)]
    for name, view in trainer.model.params.items():
        np.testing.assert_allclose(view, model.params[name], atol=1e-13)


def test_weights_that_float32_cannot_hold_are_refused():
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0))
    for weights in ({"sample_weight": np.full(60, 1e39)}, {"class_weight": {1: 1e39}}):
        with pytest.raises(ValueError, match="must make finite float32 numbers"):
            trainer.fit(*blobs(60), epochs=1, **weights)
    assert trainer.step == 0


def test_class_weights_are_sample_weights_by_class(executor):
    _, y = blobs(60)
    of_class = np.array([0.5, 1.0, 2.5])
    expected = fitted(executor, sample_weight=of_class[y])
    assert expected != fitted(executor)
    for class_weight in (of_class, of_class.tolist(), {0: 0.5, 2: 2.5}, {2: 2.5, 0: 0.5, 1: 1}):
        assert fitted(executor, class_weight=class_weight) == expected
    one_hot = fitted(executor, np.eye(3)[y], class_weight=of_class)
    np.testing.assert_allclose(one_hot[0], expected[0], rtol=1e-12)
    own = np.linspace(0, 2, 60)
    product = fitted(executor, sample_weight=own * of_class[y])
    both = fitted(executor, sample_weight=own, class_weight=of_class)
    np.testing.assert_allclose(both[0], product[0], rtol=1e-12)
    ones = fitted(executor, sample_weight=np.ones(60, int))
    np.testing.assert_allclose(ones[0], fitted(executor)[0], rtol=1e-12)


def test_class_weights_need_classes():
    trainer = trainer_of(fnn.mlp(8, [], 1, rng=0), loss="mean_squared_error")
    with pytest.raises(ValueError, match="class_weight needs a classification loss"):
        trainer.fit(*blobs(30), class_weight=[1.0])


# -- settings, after the trainer was made ----------------------------------------------------------


def test_the_rate_follows_what_was_set_last(executor):
    x, y = blobs(100)
    trainer = trainer_of(executor=executor, lr=0.5)
    assert trainer.learning_rate == 0.5
    trainer.optimizer.lr = 0.25
    assert trainer.fit(x, y, epochs=1)["lr"] == [0.25]
    trainer.schedule = 0.125
    assert trainer.fit(x, y, epochs=1)["lr"][1:] == [0.125]
    trainer.schedule = lambda epoch: 1 / 16
    assert trainer.fit(x, y, epochs=1)["lr"][2:] == [1 / 16]
    trainer.optimizer.lr = fnn.Constant(1 / 32)
    trainer.train_batch(x, y)
    assert trainer.learning_rate == 1 / 32
    with pytest.raises(AttributeError, match=r"learning_rate .* set trainer\.schedule"):
        trainer.learning_rate = 0.1
    with pytest.raises(TypeError, match="schedule must be a number"):
        trainer.schedule = "cosine"
    trainer.optimizer.lr = -1
    with pytest.raises(ValueError, match="lr must be"):
        trainer.fit(x, y, epochs=1)


def test_a_trainer_says_what_it_is(executor):
    trainer = trainer_of(executor=executor, regularizer=fnn.L2(1e-3))
    assert repr(trainer) == (
        "<Trainer of 75 parameters: SoftmaxCrossEntropy(), Adam(lr=0.01), L2(strength=0.001), "
        f"batch_size=20, {executor.engine} engine, epoch 0>"
    )


# -- callbacks and schedules -----------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf")])
def test_a_schedule_that_gives_no_rate_is_named_and_makes_no_step(executor, rate):
    model = every_layer(executor.backend)
    trainer = trainer_of(model, executor, lr=lambda epoch: 0.01 if epoch < 1 else rate)
    with pytest.raises(ValueError, match=f"learning rate must be .* epoch 1 .* gives {rate}"):
        trainer.fit(*blobs(60), epochs=2)
    assert (trainer.epoch, trainer.step) == (1, 3)
    assert np.isfinite(model.flat_params).all()


class Diary(fnn.Callback):
    def __init__(self, pages, name):
        self.pages, self.name = pages, name

    def on_train_begin(self, trainer):
        self.pages.append((self.name, "train_begin", trainer.epoch, trainer.epochs))

    def on_epoch_begin(self, trainer, epoch):
        self.pages.append((self.name, "epoch_begin", epoch, trainer.epoch))

    def on_batch_end(self, trainer, epoch, batch, batches, loss):
        assert math.isfinite(loss)
        self.pages.append((self.name, "batch_end", epoch, batch, batches, trainer.step))

    def on_epoch_end(self, trainer, epoch, logs):
        assert logs == trainer.history.last
        self.pages.append((self.name, "epoch_end", epoch, trainer.epoch))

    def on_train_end(self, trainer):
        self.pages.append((self.name, "train_end", trainer.epoch))


def test_callbacks_are_called_in_order(executor):
    pages = []
    trainer = trainer_of(executor=executor, callbacks=[Diary(pages, "a"), Diary(pages, "b")])
    trainer.fit(*blobs(40), epochs=2)
    trainer.fit(*blobs(40), epochs=1)

    def epoch(e):
        yield ("epoch_begin", e, e)
        yield ("batch_end", e, 0, 2, 2 * e + 1)
        yield ("batch_end", e, 1, 2, 2 * e + 2)
        yield ("epoch_end", e, e + 1)

    expected = itertools.chain(
        [("train_begin", 0, 2)],
        epoch(0),
        epoch(1),
        [("train_end", 2), ("train_begin", 2, 3)],
        epoch(2),
        [("train_end", 3)],
    )
    assert pages == [(name, *page) for page in expected for name in "ab"]


def test_a_callback_stops_training_after_the_epoch(executor):
    class Stop(fnn.Callback):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            if epoch == 1 and batch == 0:
                trainer.stop_training = True

    trainer = trainer_of(executor=executor, callbacks=[Stop()])
    history = trainer.fit(*blobs(60), epochs=10)
    assert history.epochs == [0, 1]
    assert trainer.step == 6
    trainer.callbacks.clear()
    trainer.fit(*blobs(60), epochs=2)
    assert trainer.epoch == 4


def test_a_callback_changes_the_learning_rate(executor):
    class Halve(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            trainer.lr_factor /= 2

    recorder = Recorder()
    trainer = trainer_of(
        executor=executor, lr=lambda epoch: 0.1 + epoch, callbacks=[recorder, Halve()]
    )
    history = trainer.fit(*blobs(40), epochs=3)
    expected = [(0.1 + step / 2) / 2 ** (step // 2) for step in range(6)]
    assert recorder.rates == pytest.approx(expected)
    assert history["lr"] == pytest.approx(expected[1::2])
    trainer.schedule = lambda epoch: 7.0
    trainer.fit(*blobs(40), epochs=1)
    assert recorder.rates[-2:] == [7.0 / 8] * 2


def test_a_callback_changes_the_learning_rate_of_the_next_batch(executor):
    """As a search for the largest rate does; SGD shows the rate it was given."""
    model = fnn.mlp(8, [], 3, rng=0, dtype="float64", backend=executor.backend)
    rates = []

    class Double(fnn.Callback):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            moved = np.linalg.norm(model.flat_params - self.before)
            rates.append(moved / np.linalg.norm(model.flat_grads))
            self.before = model.flat_params.copy()
            trainer.lr_factor *= 2

    double = Double()
    double.before = model.flat_params.copy()
    trainer_of(model, executor, optimizer=fnn.SGD(0.01), callbacks=[double]).fit(*blobs(80), 1)
    assert rates == pytest.approx([0.01, 0.02, 0.04, 0.08])


# -- metrics, output -------------------------------------------------------------------------------


def test_metrics_of_ones_own_choice():
    def largest_score(outputs, targets):
        return outputs.max()

    trainer = trainer_of(metrics=["accuracy", largest_score])
    x, y = blobs(40)
    history = trainer.fit(x, y, epochs=2, validation_data=(x, y))
    assert list(history)[:3] == ["loss", "accuracy", "largest_score"]
    assert history["val_largest_score"][-1] == pytest.approx(trainer.model.predict(x).max())
    assert trainer.evaluate(x, y).keys() == {"loss", "accuracy", "largest_score"}
    assert list(trainer_of(metrics=[]).fit(x, y, epochs=1)) == ["loss", "lr", "seconds"]


@pytest.mark.parametrize("verbose", [True, False])
def test_output_is_plain_where_there_is_no_terminal(capsys, verbose):
    trainer = fnn.Trainer(fnn.mlp(8, [6], 3, rng=0), rng=0, verbose=verbose)
    trainer.fit(*blobs(60), epochs=3)
    out, err = capsys.readouterr()
    assert err == ""
    if not verbose:
        assert out == ""
        return
    assert "\x1b" not in out
    assert "\r" not in out
    header, *epochs = out.splitlines()
    assert header.split()[:3] == ["epoch", "loss", "accuracy"]
    assert [line.split()[0] for line in epochs] == ["1/3", "2/3", "3/3"]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": None}, TypeError, "model must be a Sequential; got NoneType"),
        ({"model": [fnn.Affine(3)]}, TypeError, "model must be a Sequential"),
        ({"loss": "mse"}, ValueError, "loss must be one of"),
        ({"optimizer": "adm"}, ValueError, "optimizer must be one of sgd, .*got 'adm'"),
        ({"optimizer": fnn.Adam}, TypeError, "optimizer must be an Optimizer"),
        ({"optimizer": 1e-3}, TypeError, "optimizer must be an Optimizer"),
        ({"regularizer": 1e-4}, TypeError, "regularizer must be a Regularizer"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": -5}, ValueError, "batch_size"),
        ({"batch_size": 32.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": None}, TypeError, "batch_size"),
        ({"engine": "fast"}, ValueError, "engine must be one of auto, eager, native"),
        ({"engine": None}, ValueError, "engine"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"threads": 1.5}, TypeError, "threads"),
        ({"threads": True}, TypeError, "threads"),
        ({"rng": -1}, ValueError, "rng"),
        ({"rng": "seed"}, TypeError, "rng"),
        ({"callbacks": [print]}, TypeError, "callbacks must hold Callback objects"),
        ({"callbacks": [fnn.EarlyStopping]}, TypeError, "callbacks must hold Callback objects"),
        ({"callbacks": fnn.EarlyStopping()}, TypeError, "callbacks must"),
        ({"callbacks": None}, TypeError, "callbacks must"),
        ({"metrics": ["acc"]}, ValueError, "metrics must be one of"),
        ({"metrics": [3]}, TypeError, "metrics must hold names and functions"),
        ({"metrics": "accuracy"}, TypeError, "metrics"),
    ],
)
def test_bad_arguments_of_a_trainer_are_named(arguments, error, message):
    model = fnn.mlp(8, [6], 3, rng=0)
    before = numbers(model)
    with pytest.raises(error, match=message):
        fnn.Trainer(**{"model": model, "verbose": False} | arguments)
    assert numbers(model) == before
