"""Trainers that are changed by hand, used twice at once, or given what is no state."""

import copy
import pickle
import threading

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn

X, Y = blobs(60)


# -- what it was made of, and the rate ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", fnn.mlp(8, [6], 3, rng=1)),
        ("loss", fnn.MeanSquaredError()),
        ("optimizer", fnn.SGD(0.1)),
        ("regularizer", fnn.L2(1.0)),
        ("constraint", fnn.MaxNorm(1.0)),
        ("clip_norm", 1.0),
        ("clip_value", 1.0),
        ("metrics", {}),
        ("engine", "eager"),
        ("engine_reason", "so"),
        ("threads", 2),
    ],
)
def test_what_a_trainer_was_made_of_is_not_replaced_in_vain(name, value):
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0))
    before = getattr(trainer, name)
    with pytest.raises(AttributeError, match=f"{name} of a Trainer cannot be replaced"):
        setattr(trainer, name, value)
    assert getattr(trainer, name) is before


class SetRate(fnn.Callback):
    """Sets the rate after the first epoch, in a way of one's choice."""

    def __init__(self, change):
        self.change = change

    def on_epoch_end(self, trainer, epoch, logs):
        if epoch == 0:
            self.change(trainer)


def set_lr(trainer):
    trainer.optimizer.lr = 0.02


def set_schedule(trainer):
    trainer.schedule = 0.02


@pytest.mark.parametrize("change", [set_lr, set_schedule])
def test_a_rate_that_is_assigned_is_taken(change, executor):
    def trained(schedule, callbacks=()):
        model = every_layer(executor.backend)
        trainer = trainer_of(model, executor, optimizer=fnn.Momentum(schedule), callbacks=callbacks)
        history = trainer.fit(X, Y, epochs=3)
        return numbers(model), history["lr"]

    assert trained(0.1, [SetRate(change)]) == trained(lambda epoch: 0.1 if epoch < 1 else 0.02)


def test_the_later_assignment_of_a_rate_counts():
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0), optimizer=fnn.SGD(0.1))
    assert trainer.learning_rate == 0.1
    trainer.optimizer.lr = 0.2
    trainer.schedule = 0.3
    assert trainer.learning_rate == 0.3
    trainer.optimizer.lr = fnn.Constant(0.4)
    assert trainer.learning_rate == 0.4
    trainer.optimizer.lr = "fast"
    with pytest.raises(TypeError, match="lr must be a number, a Schedule or a function"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.step == 0


def test_an_optimizer_may_make_its_rate_anew():
    class Halving(fnn.SGD):
        lr = property(lambda self: 0.5 * self.full, lambda self, lr: setattr(self, "full", lr))

    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0), optimizer=Halving(0.1))
    assert trainer.learning_rate == 0.05
    trainer.schedule = 0.3
    assert trainer.learning_rate == 0.3


@pytest.mark.parametrize("rate", [None, "fast", -0.1, np.nan, np.inf, np.ones(2), 1j])
def test_a_schedule_that_gives_no_rate_is_named(rate, executor):
    model = fnn.mlp(8, [6], 3, rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor, optimizer=fnn.SGD(lambda epoch: rate))
    before = numbers(model)
    with pytest.raises(ValueError, match="at epoch 0 the schedule gives "):
        trainer.fit(X, Y, epochs=1)
    assert numbers(model) == before
    assert trainer.step == model.step == 0


@pytest.mark.parametrize("factor", [None, "half", -1.0, np.nan])
def test_a_factor_that_makes_no_rate_is_named(factor, executor):
    trainer = trainer_of(fnn.mlp(8, [6], 3, rng=0, backend=executor.backend), executor)
    trainer.lr_factor = factor
    with pytest.raises(ValueError, match=r"the schedule gives 0\.01, times lr_factor="):
        trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_trainer_is_not_copied(copied):
    with pytest.raises(TypeError, match=r"resume\(trainer\.state\(\)\)"):
        copied(trainer_of(fnn.mlp(8, [6], 3, rng=0)))


# -- two fits at once ------------------------------------------------------------------------------


def test_a_fit_in_a_fit_is_refused(executor):
    class Again(fnn.Callback):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            trainer.fit(X, Y, epochs=1)

    model = fnn.mlp(8, [6], 3, rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor, callbacks=[Again()])
    with pytest.raises(fnn.FastnnError, match="in a fit already"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.step == model.step == 1
    trainer.callbacks.clear()
    trainer.fit(X, Y, epochs=1)
    assert trainer.step == 4


@pytest.mark.parametrize("threads", [1, 2])
def test_two_threads_cannot_fit_one_trainer(threads, executor):
    """On the native engine, both would move the pointers of one program."""
    model = fnn.mlp(8, [60, 60], 3, rng=0, backend=executor.backend)
    inside, done = threading.Event(), threading.Event()

    class Wait(fnn.Callback):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            inside.set()
            assert done.wait(60)

    trainer = fnn.Trainer(
        model, engine=executor.engine, threads=threads, callbacks=[Wait()], rng=0, verbose=False
    )
    first = threading.Thread(target=trainer.fit, args=(X, Y, 2))
    first.start()
    assert inside.wait(60)
    try:
        with pytest.raises(fnn.FastnnError, match="a thread needs a model and a Trainer of its"):
            trainer.fit(X, Y, epochs=1)
    finally:
        done.set()
        first.join()
    assert trainer.epoch == 2


# -- going on --------------------------------------------------------------------------------------


def state_of(trainer):
    state = trainer.state()
    rng = state.pop("rng")
    averages = {name: average.tobytes() for name, average in state["averages"].items()}
    return state | {"averages": averages, "rng": rng.bit_generator.state}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: None, "state must be what Trainer.state"),
        (lambda s: "state", "state must be what Trainer.state"),
        (lambda s: {}, "state must be what Trainer.state"),
        (lambda s: s | {"averages": None}, "state must be what Trainer.state"),
        (lambda s: s | {"averages": {}}, r"keeps averages of shapes \{'m': .*; got \{\}"),
        (
            lambda s: s | {"averages": {k: a.astype(str) for k, a in s["averages"].items()}},
            "the average 'm' must hold real numbers; got <U",
        ),
        (lambda s: {k: v for k, v in s.items() if k != "steps"}, "state must hold averages, epoch"),
        (lambda s: s | {"more": 1}, "state must hold averages, epoch"),
        (lambda s: s | {"steps": 3}, "steps must be two numbers; got 3"),
        (lambda s: s | {"steps": (1, 2, 3)}, "steps must be two numbers"),
        (lambda s: s | {"steps": (-1, 0)}, "steps must be at least 0; got -1"),
        (lambda s: s | {"steps": (0, 2**70)}, r"steps must be below 2\^63"),
        (lambda s: s | {"steps": ("a", "b")}, "steps must be an integer; got 'a'"),
        (lambda s: s | {"epoch": None}, "epoch must be an integer; got None"),
        (lambda s: s | {"epoch": 1.5}, "epoch must be an integer; got 1.5"),
        (lambda s: s | {"lr_factor": np.nan}, "lr_factor must be a finite number"),
        (lambda s: s | {"lr_factor": "x"}, "lr_factor must be a number; got 'x'"),
        (lambda s: s | {"progress": None}, "progress must be a number; got None"),
        (lambda s: s | {"rng": 3}, "rng must be a numpy.random.Generator; got 3"),
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(change, message, executor):
    model = fnn.mlp(8, [6], 3, rng=0, backend=executor.backend)
    trainer = trainer_of(model, executor)
    trainer.fit(X, Y, epochs=1)
    other = trainer_of(fnn.mlp(8, [6], 3, rng=1, backend=executor.backend), executor)
    other.fit(X, Y, epochs=2)
    before = state_of(trainer)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.resume(change(other.state()))
    assert state_of(trainer) == before
    assert model.step == trainer.step == 3
