"""What the native engine takes of memory: buffers for one batch, once."""

import json
import sys
import tracemalloc
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

import fastnn as fnn
from fastnn import lowering
from fastnn.backend import get_backend
from fastnn.threads import NATIVE_SECONDS

pytestmark = pytest.mark.skipif(
    "cython" not in fnn.available_backends() or get_backend("cython").program is None,
    reason="the native program was not built",
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss and /proc as in Linux")

MEASURE = """
import json, resource, time
import numpy as np
import fastnn as fnn

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def resident():
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * resource.getpagesize()
"""

MNIST = (
    MEASURE
    + """
rng = np.random.default_rng(0)
x = rng.integers(0, 256, (60_000, 784), dtype=np.uint8)
y = rng.integers(0, 10, 60_000, dtype=np.uint8)
before = peak()
model = fnn.mlp(784, [100] * 6, 10, rng=0, backend="cython")
trainer = fnn.Trainer(
    model, optimizer=fnn.SGD(0.01), engine="native", threads=THREADS, rng=0, verbose=False
)
trainer.fit(x, y, epochs=1)
trained = peak()
model.predict(x)
trainer.evaluate(x, y)
print(json.dumps({
    "data": x.nbytes, "before": before, "training": trained - before, "all": peak() - before,
    "steps": trainer.step,
}))
"""
)


@linux
@pytest.mark.parametrize("threads", [1, 2])
def test_bytes_of_the_size_of_mnist_are_not_copied(threads, run_python):
    """Beyond the 47 MB of the data: less than 60 MB; converted they would be 188 MB."""
    report = json.loads(run_python(MNIST.replace("THREADS", str(threads))))
    assert report["data"] == 47_040_000
    assert report["before"] > report["data"]
    assert report["steps"] == 600
    assert report["training"] < 60e6
    assert report["all"] < 60e6


MANY_STEPS = (
    MEASURE
    + """
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8000, 8)).astype("float32"), rng.integers(0, 4, 8000)
model = fnn.mlp(8, [16, 16], 4, batch_norm=True, dropout=0.1, rng=0, backend="cython")
trainer = fnn.Trainer(
    model, optimizer=fnn.Adam(1e-4), batch_size=8, engine="native", threads=1, rng=0, verbose=False
)
trainer.fit(x, y, epochs=2)
before, start = resident(), time.perf_counter()
trainer.fit(x, y, epochs=100)
print(json.dumps([trainer.step, resident() - before, time.perf_counter() - start]))
"""
)


@linux
def test_a_hundred_thousand_steps_do_not_grow(run_python):
    steps, grown, seconds = json.loads(run_python(MANY_STEPS))
    assert steps == 102_000
    assert grown < 2e6
    assert seconds < 20


@pytest.mark.parametrize("fails", [False, True])
def test_the_data_of_a_fit_are_not_kept(fails):
    x = np.ones((50, 4), np.float32)
    x[-1] = np.nan if fails else 1
    kept = weakref.ref(x)
    model = fnn.mlp(4, [3], 2, rng=0, backend="cython")
    trainer = fnn.Trainer(model, engine="native", batch_size=10, rng=0, verbose=False)
    with pytest.raises(fnn.DivergenceError) if fails else nullcontext():
        trainer.fit(x, np.zeros(50, int), epochs=2)
    del x
    assert kept() is None


def program_of(rows, steps, batch=10):
    """A program with examples and an epoch of so many steps, and where it writes their losses."""
    model = fnn.mlp(12, [70, 40], 3, batch_norm=True, dropout=0.2, rng=0, backend="cython")
    optimizer = fnn.Adam()
    averages = [np.zeros_like(model.flat_params) for _ in optimizer.state_names]
    description = lowering.describe_training(
        model,
        fnn.SoftmaxCrossEntropy(),
        (optimizer.kind, optimizer.numbers()),
        fnn.L2(1e-3),
        soft_targets=False,
        rows=batch,
    )
    program = lowering.training_program(model, averages, description)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, 12), dtype=np.uint8)
    program.set_examples(x, rng.integers(0, 3, rows), None, 1 / 255)
    order = np.arange(steps * batch) % rows
    bounds = np.arange(steps + 1) * batch
    losses = np.zeros(steps)
    program.set_epoch(order, bounds, np.full(steps, 1e-3), losses, np.zeros(steps, int))
    return program, losses


@pytest.mark.parametrize("threads", [1, 3])
def test_a_step_allocates_nothing(threads, monkeypatch):
    """Whatever a run takes from Python's and NumPy's allocators, it takes for one step too."""
    monkeypatch.setattr(lowering, "PIECE_WORK", 1)
    monkeypatch.setattr(lowering, "PIECE_ROWS", 2)
    taken = []
    for steps in (1, 1, 20, 250):  # small integers: larger ones are allocated
        program, losses = program_of(50, 250)
        run = (0, steps, 0, 0, threads, 60.0)
        tracemalloc.start()
        try:
            done = program.run(*run)
            _, peak = tracemalloc.get_traced_memory()
            blocks = sum(
                trace.size > 64 for trace in tracemalloc.take_snapshot().traces
            )  # not the small integers of this function
        finally:
            tracemalloc.stop()
        assert done == steps
        assert np.count_nonzero(losses) == steps
        taken.append((peak, blocks))
    assert taken[1] == taken[2] == taken[3]
    assert taken[1][0] < 4096


def test_the_buffers_are_those_of_one_batch():
    """A program takes the same for ten rows of examples as for a hundred thousand."""
    sizes = []
    for rows in (10, 10, 100_000):
        x = np.zeros((rows, 12), np.uint8)
        y = np.zeros(rows, np.int64)
        program, _ = program_of(10, 1)
        tracemalloc.start()
        try:
            program.set_examples(x, y, None, 1.0)
            sizes.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(sizes) < 4096


def test_single_samples_take_no_more_than_their_result():
    model = fnn.mlp(784, [100] * 6, 10, rng=0, backend="cython")
    x = np.zeros((1, 784), np.float32)
    model.predict(x)
    tracemalloc.start()
    try:
        for _ in range(50):
            model.predict(x)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8192
    assert now < 4096


def test_a_run_ends_in_time():
    """At the first step that ends after its time, so that Python can look for Ctrl-C."""
    assert 0 < NATIVE_SECONDS <= 0.1
    program, _ = program_of(50, 200_000)
    done = program.run(0, 200_000, 0, 0, 1, 0.0)
    assert done == 1
    assert 1 < program.run(1, 200_000, 1, 1, 1, 0.01) < 200_000
