"""Threads around the native program, and its own: many trainers, fork, Ctrl-C, too few threads."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import PACKAGE
from networks import blobs, numbers

import fastnn as fnn
from fastnn import lowering
from fastnn.backend import get_backend
from fastnn.threads import limited

pytestmark = pytest.mark.skipif(
    "cython" not in fnn.available_backends() or get_backend("cython").program is None,
    reason="the native program was not built",
)

X, Y = blobs(200, features=40)


def train(seed, threads=1, engine="native", **settings):
    model = fnn.mlp(40, [64, 48], 3, batch_norm=True, dropout=0.2, rng=seed, backend="cython")
    trainer = fnn.Trainer(
        model, batch_size=25, engine=engine, threads=threads, rng=seed, verbose=False, **settings
    )
    history = trainer.fit(X, Y, epochs=6, validation_data=(X, Y))
    return history["loss"], history["val_loss"], numbers(model)


# -- many in one process ---------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_trainers_side_by_side_are_trainers_one_after_another(threads, monkeypatch):
    monkeypatch.setattr(lowering, "PIECE_WORK", 1)
    monkeypatch.setattr(lowering, "PIECE_ROWS", 2)
    expected = [train(seed, threads) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: train(seed, threads), range(8))) == expected


OVERLAPPING = """
import json, threading
from fastnn.backend import get_backend
from fastnn.threads import limited
from threadpoolctl import threadpool_info

def blas_threads():
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

kernels = get_backend("cython").kernels
before = blas_threads()
first_is_in, second_is_in = threading.Event(), threading.Event()

def first():
    with limited(kernels):
        first_is_in.set()
        second_is_in.wait(10)

thread = threading.Thread(target=first)
thread.start()
first_is_in.wait(10)
with limited(kernels):
    second_is_in.set()
    thread.join()
    held = blas_threads()
print(json.dumps([before, held, blas_threads()]))
"""


def test_what_ends_first_does_not_let_go_of_blas_for_another(run_python):
    """Fits overlap in any order. In a new process: OpenBLAS may remember a number for a thread that
    has named one before.
    """
    before, held, after = json.loads(run_python(OVERLAPPING))
    assert held == [1] * len(before)
    assert after == before


def test_fits_that_overlap_keep_the_kernels_to_their_own_number_of_threads():
    kernels = get_backend("cython").kernels

    def held():
        number = kernels.set_threads(1)
        kernels.set_threads(number)
        return number

    before = held()
    with ThreadPoolExecutor(1) as other:
        first, second = limited(kernels, 3), limited(kernels, 2)
        other.submit(first.__enter__).result()
        with second:
            assert (other.submit(held).result(), held()) == (3, 2)
            other.submit(first.__exit__, None, None, None).result()
            assert held() == 2
    assert held() == before


def test_one_model_predicts_in_many_threads():
    """Each call has rows of its own, of any number, dtype and place."""
    rng = np.random.default_rng(0)
    model = fnn.mlp(40, [64, 48], 3, batch_norm=True, rng=0, backend="cython")
    model.params["batchnorm1.beta"][:] = rng.standard_normal(64)
    inputs = [rng.standard_normal((n, 40)).astype(t) for n in (1, 7, 300, 2000) for t in "fd"]
    inputs += [rng.integers(0, 256, (n, 40), dtype=np.uint8) for n in (1, 500)]
    expected = [model.predict(x).tobytes() for x in inputs]
    twin = fnn.mlp(40, [64, 48], 3, batch_norm=True, rng=0, backend="cython")
    twin.restore(model.snapshot())  # one whose program the threads make at once

    def predict(place):
        return twin.predict(inputs[place % len(inputs)]).tobytes() == expected[place % len(inputs)]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(predict, range(600)))


# -- more threads than there is work or processors, and fewer than were asked for ------------------


@pytest.mark.parametrize("threads", [16, 70])
def test_more_threads_than_pieces(threads):
    assert train(0, threads) == train(0, 1)
    model = fnn.mlp(40, [8], 3, rng=0)
    rows = np.tile(X, (10, 1))
    np.testing.assert_array_equal(model.predict_rows(rows, threads), model.predict_rows(rows, 1))


LIMITED = """
import json, os, resource, sys, threading, time
spare, stack = int(sys.argv[1]), 512 << 20
# The size of a thread's stack is read when a process begins.
if sys.argv[2] == "outer":
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (stack, hard))
    os.execv(sys.executable, [sys.executable, "-W", "error", *sys.argv[:2], "inner", sys.argv[3]])

import numpy as np
import fastnn as fnn
from fastnn import lowering

lowering.PIECE_WORK, lowering.PIECE_ROWS = 1, 2
rng = np.random.default_rng(0)
x, y = rng.standard_normal((200, 40)), rng.integers(0, 3, 200)

def train(threads):
    model = fnn.mlp(40, [64, 48], 3, batch_norm=True, dropout=0.2, rng=0)
    trainer = fnn.Trainer(
        model, batch_size=25, engine="native", threads=threads, rng=0, verbose=False
    )
    losses = trainer.fit(x, y, epochs=3)["loss"]
    rows = np.tile(x, (10, 1)).astype("float32")
    return losses, model.predict_rows(rows, threads).tobytes()

def startable(wanted):
    # How many threads the system would give us; what ended lately may still hold its stack.
    for _ in range(50):
        count = start_all()
        if count >= wanted:
            break
        time.sleep(0.1)
    return count

def start_all():
    door, started = threading.Event(), []
    for _ in range(4):
        thread = threading.Thread(target=door.wait)
        try:
            thread.start()
        except RuntimeError:
            break
        started.append(thread)
    door.set()
    for thread in started:
        thread.join()
    return len(started)

expected = train(1)
with open("/proc/self/statm") as status:
    size = int(status.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + spare, size + spare))
stacks = int(sys.argv[3])
print(json.dumps([startable(stacks), train(4) == expected, startable(stacks)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc as in Linux")
@pytest.mark.parametrize("stacks", [0, 1, 2])
def test_where_the_system_refuses_threads_fewer_do_the_same_work(stacks, tmp_path):
    """Memory is left for so many stacks of 512 MB, and half of one for BLAS and the rest."""
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    process = subprocess.run(
        [sys.executable, script, str((stacks << 29) + (1 << 28)), "outer", str(stacks)],
        # One arena: each thread would reserve another, of the size of what is spare.
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == [stacks, True, stacks]


# -- fork ------------------------------------------------------------------------------------------

FORK = """
import os, sys, time, warnings
import numpy as np
import fastnn as fnn

engine, shape, batch = sys.argv[1], [int(n) for n in sys.argv[2].split("-")], int(sys.argv[3])
rng = np.random.default_rng(0)
x = rng.standard_normal((2 * batch, shape[0])).astype("float32")
y = rng.integers(0, shape[-1], 2 * batch)

def start():
    model = fnn.mlp(shape[0], shape[1:-1], shape[-1], batch_norm=True, rng=0, backend="cython")
    return fnn.Trainer(
        model, batch_size=batch, engine=engine, threads=2, rng=0, verbose=False
    )

def finish(trainer):
    losses = trainer.fit(x, y, epochs=1)["loss"]
    predicted = trainer.model.predict_rows(np.tile(x, (4, 1)), 2)
    return losses, predicted.tobytes()

trainer, other = start(), start()
trainer.fit(x, y, epochs=1)
other.fit(x, y, epochs=1)
with warnings.catch_warnings():
    # Python 3.12 and later warn of a fork beside other threads, which is what is tried here.
    warnings.simplefilter("ignore", DeprecationWarning)
    readable, writable = os.pipe()
    child = os.fork()
if not child:
    import hashlib
    os.write(writable, hashlib.sha256(repr(finish(trainer)).encode()).digest())
    os._exit(0)
import hashlib
expected = hashlib.sha256(repr(finish(other)).encode()).digest()
deadline = time.monotonic() + 15
while not (done := os.waitpid(child, os.WNOHANG))[0]:
    if time.monotonic() > deadline:
        os.kill(child, 9)
        os.waitpid(child, 0)
        sys.exit("the child hangs")
    time.sleep(0.02)
if done[1]:
    sys.exit(f"the child ended with status {done[1]}")
if os.read(readable, 32) != expected:
    sys.exit("the child's numbers differ")
print("the child trained and predicted")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("engine", "shape", "batch"),
    [("native", "40-64-48-3", 25), ("native", "32-1024-2", 300), ("eager", "32-1024-2", 300)],
)
def test_a_child_of_a_parallel_run_trains_and_predicts(engine, shape, batch, tmp_path):
    """300 rows of 1024 features are enough for the kernels, too, to have woken a team."""
    script = tmp_path / "fork.py"
    script.write_text(FORK)
    process = subprocess.run(
        [sys.executable, "-W", "error", script, engine, shape, str(batch)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "the child trained and predicted"


# -- Ctrl-C ----------------------------------------------------------------------------------------

LONG_EPOCH = """
import json, sys, time
import numpy as np
import fastnn as fnn

threads = int(sys.argv[1])
rng = np.random.default_rng(0)
x, y = rng.standard_normal((100_000, 64)).astype("float32"), rng.integers(0, 4, 100_000)

class Tell(fnn.Callback):
    def on_epoch_begin(self, trainer, epoch):
        print("begins", flush=True)

class StopAt(fnn.Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer, epoch, batch, batches, loss):
        if trainer.step == self.step:
            raise StopIteration

def trainer_of(*callbacks):
    model = fnn.mlp(64, [256, 256], 4, batch_norm=True, dropout=0.1, rng=0, backend="cython")
    return fnn.Trainer(
        model, batch_size=20, engine="native", threads=threads, rng=0, callbacks=callbacks,
        verbose=False,
    )

trainer = trainer_of(Tell())
try:
    trainer.fit(x, y, epochs=2)
except KeyboardInterrupt:
    answered = time.monotonic()
reached = trainer_of(StopAt(trainer.step))
try:
    reached.fit(x, y, epochs=2)
except StopIteration:
    pass
same = all(
    np.array_equal(view, reached.model.snapshot()[name])
    for name, view in trainer.model.snapshot().items()
)
averages = all(
    np.array_equal(average, reached._runner.averages[name])
    for name, average in trainer._runner.averages.items()
)
print(json.dumps({
    "answered": answered, "step": trainer.step, "model_step": trainer.model.step,
    "epoch": trainer.epoch, "history": len(trainer.history.epochs), "same": same,
    "averages": averages,
}))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_in_a_long_native_epoch(threads, tmp_path):
    """Pressed from outside: answered in 200 ms by at least one of two, on a machine that may be
    busy otherwise, and always at a completed step.
    """
    script = tmp_path / "long_epoch.py"
    script.write_text(LONG_EPOCH)
    waits = []
    for delay in (0.1, 0.25):
        process = subprocess.Popen(
            [sys.executable, script, str(threads)],
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout.readline() == "begins\n"
            time.sleep(delay)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0, errors
        report = json.loads(out)
        assert report["step"] == report["model_step"] > 0
        assert report["epoch"] == report["history"] == 0
        assert report["same"]
        assert report["averages"]
        waits.append(report["answered"] - pressed)
    assert min(waits) < 0.2
    assert max(waits) < 2.0
