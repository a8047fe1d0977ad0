"""Single steps by hand, and trials that leave no trace."""

import copy
import pickle

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn

X, Y = blobs(60)


def test_train_batch_is_the_step_of_fit(executor):
    by_fit = trainer_of(every_layer(executor.backend), executor, batch_size=60)
    by_hand = trainer_of(every_layer(executor.backend), executor, batch_size=60)
    history = by_fit.fit(X, Y, epochs=3, shuffle=False)
    losses = [by_hand.train_batch(X, Y) for _ in range(3)]
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-9)
    for name, view in by_fit.model.params.items():
        np.testing.assert_allclose(by_hand.model.params[name], view, rtol=1e-7, atol=1e-9)
    assert by_hand.step == by_hand.model.step == 3
    assert by_hand.epoch == 0
    assert not by_hand.history.epochs


def test_train_batch_takes_a_rate_of_its_own():
    trainers = [trainer_of(optimizer=fnn.SGD(lr=0.5)), trainer_of(optimizer=fnn.SGD(lr=1e-3))]
    trainers[0].train_batch(X, Y)
    trainers[1].train_batch(X, Y, lr=0.5)
    assert numbers(trainers[0].model) == numbers(trainers[1].model)
    for lr in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="lr must be"):
            trainers[0].train_batch(X, Y, lr=lr)


def test_train_batch_checks_its_rows():
    with pytest.raises(ValueError, match="y must have 60 rows"):
        trainer_of().train_batch(X, Y[:-1])
    with pytest.raises(ValueError, match="batch of one sample"):
        trainer_of(every_layer()).train_batch(X[:1], Y[:1])


def test_a_step_that_diverges_changes_no_parameter():
    trainer = trainer_of()
    trainer.model.params["affine1.w"][0, 0] = np.inf
    before = numbers(trainer.model)
    with pytest.raises(fnn.DivergenceError):
        trainer.train_batch(X, Y)
    assert numbers(trainer.model) == before


def test_a_batch_with_a_nan_leaves_the_averages_of_batchnorm_as_they_were():
    """Who leaves such a batch out goes on with a model that still predicts."""
    trainer = trainer_of(fnn.mlp(8, [6], 3, batch_norm=True, rng=0))
    trainer.train_batch(X, Y)
    before = numbers(trainer.model)
    bad = X.copy()
    bad[3, 4] = np.nan
    with pytest.raises(fnn.DivergenceError):
        trainer.train_batch(bad, Y)
    assert numbers(trainer.model) == before
    assert trainer.train_batch(X, Y) > 0


def test_what_counts_as_exploded_is_not_for_a_trial_to_say():
    """The first loss sets the limit: one of a trial on other rows must not."""
    trainer = trainer_of(optimizer=fnn.SGD(1e-12))
    with trainer.restored():
        trainer.train_batch(1e-9 * X, Y)
    trainer.train_batch(1e9 * X, Y)  # a loss near 1e9: the first, so no explosion
    with pytest.raises(fnn.DivergenceError):
        trainer_of(optimizer=fnn.SGD(1e-12)).train_batch(np.inf * X, Y)


def test_a_trial_leaves_no_trace(executor):
    """The fit goes on to the same bits: dropout, BatchNorm, averages, order of rows."""
    plain, tried = (trainer_of(every_layer(executor.backend), executor) for _ in range(2))
    plain.fit(X, Y, epochs=2)
    tried.fit(X, Y, epochs=1)
    gradients = tried.model.flat_grads.copy()

    def fail():
        with tried.restored():
            for _ in range(5):
                tried.train_batch(X[::2], Y[::2], lr=0.1)
            tried.model.forward(X, train=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    np.testing.assert_array_equal(tried.model.flat_grads, gradients)
    assert tried.step == 3
    tried.fit(X, Y, epochs=1)
    assert numbers(plain.model) == numbers(tried.model)
    assert plain.history["loss"] == tried.history["loss"]


def test_a_new_trainer_goes_on_from_the_state_of_another(executor, tmp_path):
    """To the same bits: averages, dropout's steps, the order of the rows, the rate."""

    class Halve(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            trainer.lr_factor *= 0.5

    def make(model):
        schedule = fnn.StepDecay(0.01, every=3, factor=0.1)
        settings = {"optimizer": fnn.Adam(schedule), "batch_size": 25, "callbacks": [Halve()]}
        return trainer_of(model, executor, **settings)

    whole, part = (make(every_layer(executor.backend)) for _ in range(2))
    whole.fit(X, Y, epochs=5)
    part.fit(X, Y, epochs=2)
    state = part.state()
    part.model.save(tmp_path / "model.fnn")
    part.fit(X, Y, epochs=1)  # moves nothing that was kept
    state = pickle.loads(pickle.dumps(state))
    for _ in range(2):
        twin = make(fnn.load(tmp_path / "model.fnn", executor.backend))
        twin.resume(state)
        history = twin.fit(X, Y, epochs=3)
        assert numbers(twin.model) == numbers(whole.model)
        assert history["lr"] == whole.history["lr"][2:]
        assert (twin.epoch, twin.step, twin.model.step) == (5, whole.step, whole.model.step)


def test_steps_by_hand_go_on_at_the_rate_reached():
    def make(model):
        return trainer_of(model, optimizer=fnn.SGD(fnn.ExponentialDecay(0.1, rate=0.5)))

    whole = make(None)
    whole.fit(X, Y, epochs=3)
    twin = make(copy.deepcopy(whole.model))
    twin.resume(whole.state())
    assert twin.learning_rate == whole.learning_rate < 0.1
    assert twin.train_batch(X, Y) == whole.train_batch(X, Y)
    assert numbers(twin.model) == numbers(whole.model)


@pytest.mark.parametrize("other", [
    {"optimizer": fnn.SGD(0.1)},
    {"model": fnn.mlp(8, [50], 3, rng=0)},
], ids=str)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(other):
    trainer = trainer_of(**{"optimizer": fnn.Adam()} | other)
    trainer.train_batch(X, Y)
    before = numbers(trainer.model)
    with pytest.raises(ValueError, match="state does not fit"):
        trainer.resume(trainer_of(optimizer=fnn.Adam()).state())
    assert numbers(trainer.model) == before
    assert trainer.step == 1
