"""The course's trainer in the native program, against its own steps one by one."""

import math

import numpy as np
import pytest
from networks import blobs

import fastnn as fnn
from fastnn import book
from fastnn.backend import get_backend
from fastnn.book import native
from fastnn.book.native import RULES, native_steps

NATIVE = "cython" in fnn.available_backends() and get_backend("cython").program is not None

pytestmark = pytest.mark.skipif(not NATIVE, reason="the native program was not built")

NETWORKS = {
    "plain": {},
    "decay": {"weight_decay_lambda": 0.1},
    "batchnorm": {"use_batchnorm": True, "activation": "sigmoid"},
    "dropout": {"use_dropout": True, "dropout_ration": 0.3},
    "everything": {"use_batchnorm": True, "use_dropout": True, "weight_decay_lambda": 0.01},
}


class OneByOne(book.Trainer):
    """A trainer whose steps are its own, hence not the program's."""

    def train_step(self):
        super().train_step()


def trainer_of(cls, optimizer="adam", epochs=3, batch=20, width=7, **settings):
    x, t = blobs(90)
    network = book.MultiLayerNetExtend(8, [width, 6], 3, **settings, rng=0)
    return cls(
        network, x[:60], t[:60], x[60:], t[60:], epochs, batch, optimizer, verbose=False, rng=5
    )


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours.train_loss_list, theirs.train_loss_list, rtol=1e-10)
    assert ours.train_acc_list == theirs.train_acc_list
    assert ours.test_acc_list == theirs.test_acc_list
    assert ours.current_iter == theirs.current_iter
    for name, value in theirs.network.params.items():
        np.testing.assert_allclose(ours.network.params[name], value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ours.network.model.flat_state, theirs.network.model.flat_state, rtol=1e-9, atol=1e-12
    )


@pytest.fixture
def native_runs(monkeypatch):
    """The numbers of rows that were handed to the program."""
    runs = []
    run = native.NativeSteps.run

    def counted(self, rows):
        runs.append(len(rows))
        return run(self, rows)

    monkeypatch.setattr(native.NativeSteps, "run", counted)
    return runs


@pytest.mark.parametrize("optimizer", [cls.__name__ for cls in RULES])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_a_run_equals_its_steps(settings, optimizer, native_runs):
    ours, theirs = (trainer_of(cls, optimizer, **settings) for cls in (book.Trainer, OneByOne))
    ours.train()
    assert sum(native_runs) >= 9
    native_runs.clear()
    theirs.train()
    assert not native_runs
    assert_same(ours, theirs)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_run_in_pieces_of_rows_and_columns(threads, monkeypatch):
    monkeypatch.setenv("FASTNN_THREADS", threads)
    monkeypatch.setattr(fnn.lowering, "PIECE_WORK", 1)
    monkeypatch.setattr(fnn.lowering, "PIECE_ROWS", 3)
    for shared in (1 << 20, 0):
        monkeypatch.setattr(fnn.lowering, "SHARED_WEIGHTS", shared)
        ours, theirs = (
            trainer_of(cls, "momentum", width=70, **NETWORKS["everything"])
            for cls in (book.Trainer, OneByOne)
        )
        ours.train()
        theirs.train()
        assert_same(ours, theirs)


def test_runs_and_steps_go_on_from_each_other():
    ours, theirs = (
        trainer_of(cls, "adam", **NETWORKS["everything"]) for cls in (book.Trainer, OneByOne)
    )
    for trainer in (ours, theirs):
        trainer.train_step()
        trainer.train()
        trainer.optimizer.lr = 0.003
        trainer.network.params["W1"] *= 0.5
        trainer.train_step()
        trainer.train()
    assert ours.optimizer.iter == theirs.optimizer.iter == 20
    assert_same(ours, theirs)


def test_bytes_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (50, 8), dtype=np.uint8), rng.integers(0, 3, 50)
    one_hot = np.eye(3, dtype=int)[t]
    runs = []
    for cls, targets in ((book.Trainer, t), (book.Trainer, one_hot), (OneByOne, t)):
        network = book.TwoLayerNet(8, 6, 3, rng=0)
        runs.append(cls(network, x, targets, x, targets, 4, 10, "SGD", verbose=False, rng=0))
        runs[-1].train()
    assert_same(runs[0], runs[2])
    assert_same(runs[1], runs[2])


def test_a_run_that_diverges_goes_on_as_its_steps_do():
    ours, theirs = (trainer_of(cls, "sgd") for cls in (book.Trainer, OneByOne))
    with np.errstate(all="ignore"):
        for trainer in (ours, theirs):
            trainer.optimizer.lr = 1e200
            trainer.train()
    assert len(ours.train_loss_list) == len(theirs.train_loss_list) == 9
    assert not math.isfinite(ours.train_loss_list[-1])
    assert [math.isfinite(loss) for loss in ours.train_loss_list] == [
        math.isfinite(loss) for loss in theirs.train_loss_list
    ]


def test_ctrl_c_comes_between_two_runs_and_loses_nothing(monkeypatch):
    trainer = trainer_of(book.Trainer, "sgd")
    run = native.NativeSteps.run

    def interrupted(self, rows):
        losses = run(self, rows)
        import signal

        signal.raise_signal(signal.SIGINT)
        return losses

    monkeypatch.setattr(native.NativeSteps, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.train_loss_list) == trainer.current_iter == trainer.optimizer.iter >= 1
    assert len(trainer.test_acc_list) == 1


class Fourfold(book.TwoLayerNet):
    def loss(self, x, t, train_flg=False):
        return 4 * super().loss(x, t, train_flg)


def test_what_has_no_native_form():
    x, t = blobs(30)
    network = book.TwoLayerNet(8, 6, 3, rng=0)

    def steps(network=network, optimizer=None, x=x, t=t, batch=5):
        return native_steps(network, optimizer or book.SGD(), x, t, batch)

    assert steps() is not None
    assert steps(network=Fourfold(8, 6, 3)) is None
    assert steps(network=object()) is None
    assert steps(optimizer=type("Own", (book.SGD,), {})()) is None
    assert steps(x=x[:, :5]) is None
    assert steps(t=t + 10) is None
    normed = book.MultiLayerNetExtend(8, [6], 3, use_batchnorm=True, rng=0)
    assert steps(network=normed) is not None
    assert steps(network=normed, batch=1) is None
    replaced = book.TwoLayerNet(8, 6, 3, rng=0)
    replaced.params["W1"] = replaced.params["W1"].copy()
    assert steps(network=replaced) is None
    with fnn.use_backend("numpy"):
        assert steps(network=book.TwoLayerNet(8, 6, 3, rng=0)) is None
