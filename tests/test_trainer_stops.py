"""How a fit ends early: divergence, Ctrl-C, an error in a callback. The model is never half-way."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn import engine
from fastnn.optimizers import OPTIMIZERS

X, Y = blobs(60)


class At(fnn.Callback):
    """Does something after a step, counted from 1."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_batch_end(self, trainer, epoch, batch, batches, loss):
        if trainer.step == self.step:
            self.action()


class Ended(fnn.Callback):
    """Counts the ends of fits."""

    count = 0

    def on_train_end(self, trainer):
        self.count += 1


class Enough(Exception):
    pass


def enough():
    raise Enough


def stopped_after(step, model, executor=None, **settings):
    """What the trainer of a model is after so many steps."""
    trainer = trainer_of(model, executor, callbacks=[At(step, enough)], **settings)
    with pytest.raises(Enough):
        trainer.fit(X, Y, epochs=1000)
    trainer.callbacks.clear()
    return trainer


def assert_same_point(trainer, expected):
    """Same model, same optimizer: they are equal, and stay so when training goes on."""
    for _ in range(2):
        assert numbers(trainer.model) == numbers(expected.model)
        assert trainer.step == trainer.model.step == expected.step
        assert trainer.epoch == expected.epoch
        trainer.fit(X, Y, epochs=1)
        expected.fit(X, Y, epochs=1)


# -- divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_learning_rate_of_1e10_diverges(kind, batch_norm):
    """Also where the adaptive step or BatchNorm keep the loss below the largest float: a loss that
    has grown by ten orders of magnitude will not come back.
    """
    model = fnn.mlp(8, [16, 16], 3, batch_norm=batch_norm, rng=0)
    trainer = trainer_of(model, optimizer=OPTIMIZERS[kind](lr=1e10))
    before = numbers(model)
    with pytest.raises(fnn.DivergenceError, match=r"learning rate 1e\+10") as caught:
        trainer.fit(X, Y, epochs=20)
    assert caught.value.lr == 1e10
    assert f"step {caught.value.step}" in str(caught.value)
    assert all(np.isfinite(view).all() for view in model.snapshot().values())
    if trainer.epoch == 0:
        assert numbers(model) == before


def test_divergence_in_the_first_epoch_gives_back_the_initial_model(executor):
    model = every_layer(executor.backend)
    ended = Ended()
    trainer = trainer_of(model, executor, optimizer=fnn.SGD(lr=1e200), callbacks=[ended])
    before = numbers(model)
    with pytest.raises(fnn.DivergenceError) as caught:
        trainer.fit(X, Y, epochs=5)
    assert caught.value.step in (2, 3)
    assert not np.isfinite(caught.value.loss)
    assert numbers(model) == before
    assert trainer.step == trainer.epoch == model.step == 0
    assert trainer.history.epochs == []
    assert ended.count == 1


def test_divergence_in_a_later_epoch_gives_back_the_end_of_the_one_before(executor):
    """And the optimizer's averages with it."""
    trainer = trainer_of(
        every_layer(executor.backend),
        executor,
        optimizer=fnn.Momentum(lambda epoch: 0.05 if epoch < 2 else 1e200),
    )
    with pytest.raises(fnn.DivergenceError) as caught:
        trainer.fit(X, Y, epochs=5)
    assert caught.value.step in (8, 9)
    assert trainer.history.epochs == [0, 1]

    expected = trainer_of(every_layer(executor.backend), executor, optimizer=fnn.Momentum(0.05))
    expected.fit(X, Y, epochs=2)
    # The order of the third epoch had been drawn already.
    expected.rng.permutation(len(X))
    trainer.schedule = lambda epoch: 0.05
    assert_same_point(trainer, expected)


@pytest.mark.parametrize("lr", [1e39, 1e200])
def test_parameters_that_overflow_in_the_last_step_of_an_epoch_are_not_the_last_good_ones(
    lr, executor
):
    """With one batch in an epoch, its loss is that before the step: only the next one shows it."""
    model = fnn.mlp(8, [6], 3, rng=0, backend=executor.backend)
    trainer = fnn.Trainer(
        model,
        optimizer=fnn.SGD(lr),
        batch_size=60,
        engine=executor.engine,
        rng=0,
        verbose=False,
    )
    before = numbers(model)
    with pytest.raises(fnn.DivergenceError):
        trainer.fit(X, Y, epochs=5)
    assert numbers(model) == before


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("batch_size", [60, 30])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_parameters_that_explode_in_the_last_step_of_an_epoch_are_not_the_last_good_ones(
    kind, batch_size, epochs
):
    """They are still finite, and the epoch may be the fit's last: no loss would show them."""
    model = fnn.mlp(8, [16, 16], 3, batch_norm=True, dropout=0.1, rng=0)
    trainer = fnn.Trainer(
        model,
        # With two batches, the second step explodes.
        optimizer=OPTIMIZERS[kind](lambda epoch: 1e10 if epoch * 60 >= 60 - batch_size else 1e-3),
        batch_size=batch_size,
        rng=0,
        verbose=False,
    )
    before = numbers(model)
    with pytest.raises(fnn.DivergenceError, match=r"learning rate 1e\+10") as caught:
        trainer.fit(X, Y, epochs=epochs)
    assert caught.value.loss > 1e8
    assert numbers(model) == before
    assert trainer.step == trainer.epoch == model.step == 0
    assert trainer.history.epochs == []


BOUNDED = {
    "softmax": ([fnn.Softmax], "cross_entropy"),
    "sigmoid": ([fnn.Sigmoid], "mean_squared_error"),
    "tanh": ([fnn.Tanh], "mean_squared_error"),
}


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam", "rmsprop", "adagrad", "adadelta"])
@pytest.mark.parametrize("bounds", BOUNDED)
def test_a_rate_of_1e10_diverges_where_the_loss_has_a_bound(bounds, kind, executor):
    """There a loss cannot explode: parameters that have, without a better loss, tell."""
    last, loss = BOUNDED[bounds]
    layers = [fnn.Affine(6), fnn.Tanh(), fnn.Affine(3), *(cls() for cls in last)]
    model = fnn.Sequential(layers, 8, rng=0, backend=executor.backend)
    trainer = fnn.Trainer(
        model,
        loss,
        OPTIMIZERS[kind](lr=1e10),
        batch_size=60,
        engine=executor.engine,
        rng=0,
        verbose=False,
    )
    before = numbers(model)
    with pytest.raises(fnn.DivergenceError, match="the parameters have grown") as caught:
        trainer.fit(X, np.eye(3)[Y], epochs=3)
    assert caught.value.growth > 1e6
    assert numbers(model) == before
    assert trainer.epoch == 0


def test_parameters_may_grow_where_that_helps(executor):
    """As they must where targets were not scaled."""
    model = fnn.Sequential([fnn.Affine(1, init=0.01)], 8, rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor, loss="mean_squared_error", optimizer=fnn.SGD(0.02))
    history = trainer.fit(X, 1e9 * X[:, 0], epochs=30)
    assert np.abs(model.params["affine1.w"]).max() > 1e8
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_looking_for_an_explosion_changes_nothing(executor, monkeypatch):
    found = []
    for grown in (0.0, np.inf):
        monkeypatch.setattr(engine, "GROWN", grown)
        trainer = trainer_of(every_layer(executor.backend), executor, optimizer=fnn.Adam(1e-2))
        history = trainer.fit(X, Y, epochs=3)
        found.append((numbers(trainer.model), history["loss"]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "optimizer", [fnn.Adam(eps=0), fnn.AdamW(eps=0), fnn.RMSProp(eps=0), fnn.AdaGrad(eps=0)]
)
def test_an_eps_of_zero_is_no_divergence(optimizer, executor):
    """Between the parameters of a flat buffer lie zeros, and there 0 / (0 + eps) is NaN."""
    model = fnn.mlp(8, [5], 3, "tanh", rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor, optimizer=optimizer)
    history = trainer.fit(X, Y, epochs=5)
    assert history["loss"][-1] < history["loss"][0]
    assert all(np.isfinite(view).all() for view in model.params.values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite_is_divergence(value, executor):
    x = X.copy()
    x[17, 3] = value
    model = fnn.mlp(8, [6], 3, batch_norm=True, rng=0, backend=executor.backend)
    before = numbers(model)
    trainer = trainer_of(model, executor)
    with pytest.raises(fnn.DivergenceError, match="check the data for NaN and Inf") as caught:
        trainer.fit(x, Y, epochs=2)
    # In the batch that holds row 17.
    order = np.random.default_rng(0).permutation(60)
    assert caught.value.step == 1 + np.flatnonzero(order == 17)[0] // 20
    assert numbers(model) == before


def regression(executor, lr):
    """A trainer of a single weight and bias, which start at zero."""
    model = fnn.Sequential([fnn.Affine(1, "zeros")], 1, dtype="float64", backend=executor.backend)
    return trainer_of(model, executor, loss="mean_squared_error", optimizer=fnn.SGD(lr))


def test_every_fit_judges_anew_what_has_exploded(executor):
    """A loss of a million million after one of 1, for numbers a million times as large."""
    trainer = regression(executor, 1e-6)
    ones = np.ones((20, 1))
    trainer.fit(ones, ones, epochs=1)
    assert trainer.fit(ones, 1e6 * ones, epochs=1)["loss"] == pytest.approx([1, 1e12], rel=1e-3)


def test_a_first_loss_of_zero_leaves_room_for_the_next(executor):
    x = np.ones((40, 1))
    history = regression(executor, 0.01).fit(x, np.repeat([0.0, 1.0], 20), epochs=1, shuffle=False)
    assert history["loss"] == [0.5]


def test_an_infinite_loss_is_divergence_after_a_huge_one_too(executor):
    """A hundred million times the first loss is more than a float can hold."""
    with pytest.raises(fnn.DivergenceError) as caught:
        regression(executor, 1e3).fit(np.ones((20, 1)), np.full(20, 1e152), epochs=5)
    assert caught.value.loss == np.inf


def test_training_can_go_on_with_a_lower_rate():
    model = fnn.mlp(8, [6], 3, rng=0)
    trainer = trainer_of(model, optimizer=fnn.SGD(1e30))
    with pytest.raises(fnn.DivergenceError):
        trainer.fit(X, Y, epochs=2)
    trainer.schedule = fnn.Constant(0.1)
    history = trainer.fit(X, Y, epochs=20)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_validation_data_that_are_not_finite_do_not_stop_training():
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0))
    history = trainer.fit(X, Y, epochs=2, validation_data=(np.full_like(X, np.nan), Y))
    assert np.isnan(history["val_loss"]).all()
    assert np.isfinite(history["loss"]).all()


# -- Ctrl-C ----------------------------------------------------------------------------------------


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6])
def test_an_interrupt_leaves_a_completed_step(step, executor):
    ended = Ended()
    model = every_layer(executor.backend)
    trainer = trainer_of(model, executor, callbacks=[At(step, interrupt), ended])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=3)
    assert ended.count == 1
    assert trainer.step == step
    trainer.callbacks.clear()
    assert_same_point(trainer, stopped_after(step, every_layer(executor.backend), executor))


def test_an_interrupt_within_a_step_waits_for_its_end():
    """A layer in the middle of the backward pass is hit by Ctrl-C."""

    class Struck(fnn.Tanh):
        kind = "struck"

        def backward(self, dout, input_gradient=True):
            if self.strike:
                interrupt()
            return super().backward(dout, input_gradient)

        def run_forward(self, x, out):
            self.kernels.tanh_forward(x, out)

        def run_backward(self, dout, dx):
            self.kernels.tanh_backward(dout, self._out, dx)

    def make(strike):
        layer = Struck()
        layer.strike = strike
        layers = [fnn.Affine(6), fnn.BatchNorm(), layer, fnn.Affine(3)]
        return fnn.Sequential(layers, 8, rng=0, dtype="float64")

    trainer = trainer_of(make(strike=True))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=3)
    assert trainer.step == 1
    trainer.model.layers[2].strike = False
    assert_same_point(trainer, stopped_after(1, make(strike=False)))


@pytest.mark.parametrize("verbose", [True, False])
def test_a_key_pressed_at_any_moment(verbose, executor):
    """The signal comes from outside, some time into a long fit."""
    trainer = trainer_of(every_layer(executor.backend), executor)
    if verbose:
        trainer.callbacks.append(fnn.ProgressBar())
    sent = []

    def press():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.1, press)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(X, Y, epochs=10**6)
        waited = time.perf_counter() - sent[0]
    finally:
        timer.cancel()
        timer.join()
    assert waited < 2.0  # at most a tenth of it on an idle machine
    step = trainer.step
    assert step > 0
    expected = stopped_after(step, every_layer(executor.backend), executor)
    assert numbers(trainer.model) == numbers(expected.model)
    assert trainer.model.step == step


def test_a_second_key_does_not_wait():
    reached = []

    def twice():
        interrupt()
        reached.append("after the first")
        interrupt()
        reached.append("after the second")

    trainer = trainer_of(every_layer(), callbacks=[At(1, twice)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=1)
    assert reached == ["after the first"]


def test_an_interrupt_in_the_last_step_is_not_lost(executor):
    trainer = trainer_of(every_layer(executor.backend), executor, callbacks=[At(3, interrupt)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=1)

    class Late(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            interrupt()

    trainer = trainer_of(every_layer(executor.backend), executor, callbacks=[Late()])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=1)
    assert trainer.step == 3


class StruckLoss(fnn.MeanSquaredError):
    """Is hit by Ctrl-C."""

    kind = "struck"

    def value(self, kernels, out, targets, weights, dout):
        interrupt()
        return kernels.mean_squared_error(out, targets, weights, dout)


def test_an_interrupt_during_gradients_or_evaluate_changes_nothing():
    model = every_layer()
    before = numbers(model)
    trainer = trainer_of(model, loss=StruckLoss())
    for call in (trainer.evaluate, trainer.gradients):
        with pytest.raises(KeyboardInterrupt):
            call(X, np.zeros((60, 3)))
        assert numbers(model) == before


@pytest.mark.parametrize("ending", ["the last epoch", "an error", "Ctrl-C", "divergence"])
def test_the_handler_of_ctrl_c_comes_back(ending):
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler
    action, error, lr = {
        "the last epoch": (lambda: None, None, 0.01),
        "an error": (enough, Enough, 0.01),
        "Ctrl-C": (interrupt, KeyboardInterrupt, 0.01),
        "divergence": (lambda: None, fnn.DivergenceError, 1e200),
    }[ending]
    trainer = trainer_of(every_layer(), optimizer=fnn.SGD(lr), callbacks=[At(2, action)])
    if error is None:
        trainer.fit(X, Y, epochs=1)
    else:
        with pytest.raises(error):
            trainer.fit(X, Y, epochs=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_programs_own_handler_stays():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append("own"))
    try:
        trainer_of(every_layer(), callbacks=[At(2, interrupt)]).fit(X, Y, epochs=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == ["own"]


def test_training_in_another_thread():
    """Signals belong to the main thread; there is nothing to defer."""
    losses = []

    def work():
        losses.append(trainer_of(every_layer()).fit(X, Y, epochs=2)["loss"])

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert losses == [trainer_of(every_layer()).fit(X, Y, epochs=2)["loss"]]


# -- errors in callbacks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", ["on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_train_end"]
)
def test_an_error_in_a_callback_comes_out_and_training_can_go_on(event, executor):
    class Clumsy(fnn.Callback):
        pass

    def fail(self, *arguments):
        raise Enough

    setattr(Clumsy, event, fail)
    ended = Ended()
    trainer = trainer_of(every_layer(executor.backend), executor, callbacks=[ended, Clumsy()])
    with pytest.raises(Enough):
        trainer.fit(X, Y, epochs=2)
    assert ended.count == 1
    steps = {"on_train_begin": 0, "on_epoch_begin": 0, "on_batch_end": 1, "on_epoch_end": 3}
    assert trainer.step == trainer.model.step == steps.get(event, 6)
    trainer.callbacks.clear()
    trainer.fit(X, Y, epochs=1)
    assert trainer.step == steps.get(event, 6) + 3
