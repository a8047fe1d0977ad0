"""What runs the steps: engines, threads, random numbers."""

import threading

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of
from threadpoolctl import threadpool_info

import fastnn as fnn
from fastnn.threads import available_threads, default_threads

# -- engines and threads ---------------------------------------------------------------------------


class Own(fnn.Tanh):
    """A layer that only Python knows."""

    kind = "own"

    def run_forward(self, x, out):
        np.tanh(x, out=out)

    def run_backward(self, dout, dx):
        self.kernels.tanh_backward(dout, self._out, dx)


def test_the_engine_that_was_asked_for(executor):
    trainer = trainer_of(executor=executor)
    assert trainer.engine == executor.engine
    assert trainer.engine_reason


def test_the_fastest_engine_is_the_default(backend):
    trainer = trainer_of(fnn.mlp(8, [6], 3, backend=backend))
    assert trainer.engine == ("native" if backend == "cython" else "eager")
    if trainer.engine == "eager":
        assert repr(backend) in trainer.engine_reason
    eager = trainer_of(trainer.model, engine="eager")
    assert eager.engine == "eager"
    assert "asked for" in eager.engine_reason


def test_what_has_no_native_form_runs_eagerly_and_says_why(backend):
    def largest(outputs, targets):
        return outputs.max()

    class MyLoss(fnn.SoftmaxCrossEntropy):
        pass

    class MyAdam(fnn.Adam):
        pass

    class MyPenalty(fnn.L2):
        pass

    own = fnn.Sequential([fnn.Affine(6), Own(), fnn.Affine(3)], 8, rng=0, backend=backend)
    plain = fnn.mlp(8, [6], 3, rng=0, backend=backend)
    for model, settings, name in (
        (own, {}, "Own"),
        (plain, {"loss": MyLoss()}, "MyLoss"),
        (plain, {"optimizer": MyAdam()}, "MyAdam"),
        (plain, {"regularizer": MyPenalty()}, "MyPenalty"),
        (plain, {"metrics": [largest]}, "largest"),
    ):
        trainer = trainer_of(model, **settings)
        assert trainer.engine == "eager"
        if backend == "cython":
            assert name in trainer.engine_reason
        with pytest.raises(fnn.NotBuiltError, match="engine='native' is not possible: "):
            trainer_of(model, engine="native", **settings)
        trainer.fit(*blobs(20), epochs=1)


@pytest.mark.parametrize("comes", ["MyPenalty", "largest"])
def test_what_has_no_native_form_is_no_less_heard_where_it_comes_later(comes, executor):
    """Eager steps take it; the native program would go on without it."""

    class MyPenalty(fnn.L2):
        pass

    def largest(outputs, targets):
        return outputs.max()

    trainer = trainer_of(executor=executor)
    if comes == "MyPenalty":
        trainer.model.layers[0].regularizer = MyPenalty(1e3)
    else:
        trainer.metrics["largest"] = largest
    if executor.engine == "native":
        with pytest.raises(ValueError, match=f"was made for the native engine, and now .*{comes}"):
            trainer.fit(*blobs(20), epochs=1)
        assert trainer.step == 0
    else:
        history = trainer.fit(*blobs(20), epochs=1)
        assert history["loss"][0] > 100 if comes == "MyPenalty" else "largest" in history


def test_the_number_of_threads(monkeypatch):
    small, large = fnn.mlp(8, [6], 3), fnn.mlp(784, [1000], 10)
    monkeypatch.delenv("FASTNN_THREADS", raising=False)
    assert trainer_of(small).threads == 1
    assert trainer_of(large, batch_size=100).threads == available_threads()
    assert trainer_of(small, threads=3).threads == 3
    monkeypatch.setenv("FASTNN_THREADS", "2")
    assert trainer_of(small).threads == trainer_of(large).threads == 2
    assert trainer_of(small, threads=1).threads == 1
    for wrong in ("two", "-1", "0", "1.5"):
        monkeypatch.setenv("FASTNN_THREADS", wrong)
        with pytest.raises(ValueError, match="FASTNN_THREADS must be"):
            trainer_of(small)


def blas_threads():
    libraries = threadpool_info()
    return [lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"]


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_is_held_to_its_threads_during_a_fit_only(threads, executor):
    """The native program and the Cython kernels call BLAS in threads of their own."""
    seen = []

    class Look(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            seen.append(blas_threads())

    before = blas_threads()
    trainer_of(executor=executor, threads=threads, callbacks=[Look()]).fit(*blobs(40), epochs=1)
    held = 1 if executor.backend == "cython" else threads
    assert seen == [[min(held, most) for most in before]]
    assert blas_threads() == before


def test_blas_is_held_in_every_thread_of_python(executor):
    """Also where another one, which lives on, held it before."""
    seen, before = [], blas_threads()

    class Look(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            seen.append(blas_threads())

    def fit():
        trainer_of(executor=executor, threads=1, callbacks=[Look()]).fit(*blobs(40), epochs=1)

    fit()
    worker = threading.Thread(target=fit)
    worker.start()
    worker.join()
    fit()
    assert seen == [[1] * len(before)] * 3
    assert blas_threads() == before


def test_a_default_of_threads_for_what_is_made_in_a_block(monkeypatch):
    monkeypatch.setenv("FASTNN_THREADS", "3")
    with default_threads(2):
        assert trainer_of().threads == 2
        assert trainer_of(threads=1).threads == 1
        worker = threading.Thread(target=lambda: there.append(trainer_of().threads))
        there = []
        worker.start()
        worker.join()
        assert there == [3]
    assert trainer_of().threads == 3


@pytest.mark.skipif(len(fnn.available_backends()) == 1, reason="there is only one backend")
def test_a_blas_that_is_loaded_later_is_held_too(run_python):
    """NumPy and SciPy bring a BLAS each, and SciPy's comes with the first compiled backend."""
    counts = run_python("""
import threading

import numpy as np
import fastnn as fnn
from threadpoolctl import threadpool_info

class Look(fnn.Callback):
    def on_epoch_end(self, trainer, epoch, logs):
        counts.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")

counts = []
for backend in reversed(fnn.available_backends()):
    model = fnn.mlp(8, [6], 3, backend=backend)
    trainer = fnn.Trainer(model, threads=1, callbacks=[Look()], verbose=False)
    trainer.fit(np.ones((20, 8)), np.arange(20) % 3, epochs=1)
print(*counts)
""")
    assert set(counts.split()) == {"1"}


def test_the_number_of_threads_does_not_change_a_bit(executor):
    wide = executor.backend == "cython"  # BLAS shares large products of the others as it likes
    sizes = (300, [260, 90], 3) if wide else (60, [130, 70], 3)
    x, y = blobs(300, features=sizes[0])
    runs = []
    for threads in (1, 2, 3):
        model = fnn.mlp(*sizes, batch_norm=True, dropout=0.3, rng=0, backend=executor.backend)
        trainer = trainer_of(
            model,
            executor,
            batch_size=150,
            threads=threads,
            regularizer=fnn.ElasticNet(1e-4, 1e-4),
        )
        runs.append((trainer.fit(x, y, epochs=4)["loss"], numbers(model)))
    assert runs[0] == runs[1] == runs[2]


# -- randomness ------------------------------------------------------------------------------------


def run(model_rng, trainer_rng, executor=None):
    model = every_layer(executor and executor.backend, rng=model_rng)
    trainer = trainer_of(model, executor, rng=trainer_rng)
    return trainer.fit(*blobs(60), epochs=2)["loss"], numbers(model)


def test_the_same_seeds_give_the_same_bits(executor):
    assert run(1, 2, executor) == run(1, 2, executor)
    assert run(np.random.default_rng(1), np.random.default_rng(2)) == run(1, 2)
    shared = [np.random.default_rng(4) for _ in range(2)]
    assert run(shared[0], shared[0]) == run(shared[1], shared[1])


def test_other_seeds_give_others():
    runs = [run(1, 2), run(1, 3), run(2, 2), run(None, 2), run(None, 2), run(1, None), run(1, None)]
    assert len({tuple(losses) for losses, _ in runs}) == len(runs)


def test_numpys_global_state_is_neither_read_nor_changed():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    first = run(1, 2)
    run(None, None)
    fnn.mlp(8, [6], 3).predict(blobs(5)[0])
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.random.seed(1)  # noqa: NPY002
    assert run(1, 2) == first
