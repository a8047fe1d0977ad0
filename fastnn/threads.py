"""How many threads a piece of work gets, and holding BLAS and the kernels to it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

from fastnn.checks import positive_int

# Floating-point operations of a step below which BLAS, which splits one product at a time, gains
# little from a second thread, and loses all when another process holds the core it waits for.
SMALL_STEP = 5e8

# The same for the native program, which splits whole steps: there it is a few dozen microseconds.
SMALL_NATIVE_STEP = 4e6

# Seconds that a native run may take before it comes back to Python: for progress, and for Ctrl-C.
NATIVE_SECONDS = 0.05

# More than any machine has.
MOST_THREADS = 1 << 16

# The other number of threads is tried for so long, in one of so many runs.
PROBE_SECONDS = 0.002
PROBE_EVERY = 10

_default: ContextVar[int | None] = ContextVar("default_threads", default=None)


@contextmanager
def default_threads(threads: int) -> Iterator[None]:
    """So many threads, in this thread of Python, for what is made in the block without a number.

    It goes before ``FASTNN_THREADS``: where many fits run side by side, each with the threads that
    one alone would take, all wait for each other.
    """
    token = _default.set(threads)
    try:
        yield
    finally:
        _default.reset(token)


def available_threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(threads: int | None, flops: float, small: float = SMALL_STEP) -> int:
    """The number of threads for steps of so many floating-point operations.

    Parameters
    ----------
    threads : int, optional
        What the user asked for; None takes that of `default_threads`, else ``FASTNN_THREADS``, and
        without that one thread for small steps and every processor for the others.
    flops : float
        Operations of one step.
    small : float
        Operations below which a step is small.

    Raises
    ------
    TypeError, ValueError
        ``threads`` or ``FASTNN_THREADS`` is not an integer of at least 1, or beyond all machines.
    """
    threads = _default.get() if threads is None else threads
    if threads is not None:
        return _possible("threads", threads)
    asked = os.environ.get("FASTNN_THREADS")
    if asked:
        if not asked.isdecimal():
            raise ValueError(f"FASTNN_THREADS must be an integer of at least 1; got {asked!r}")
        return _possible("FASTNN_THREADS", int(asked))
    return 1 if flops < small else available_threads()


def _possible(name: str, threads: int) -> int:
    number = positive_int(name, threads)
    if number > MOST_THREADS:
        raise ValueError(f"{name} must be at most {MOST_THREADS}; got {number}")
    return number


def threads_are_fixed(threads: int | None) -> bool:
    """Whether a number was named: as an argument, by `default_threads`, in ``FASTNN_THREADS``."""
    return (
        threads is not None or _default.get() is not None or bool(os.environ.get("FASTNN_THREADS"))
    )


class BlasLimit:
    """Holds BLAS to the least number of threads that anyone asks for at the time.

    The number belongs to the process, and fits in several Python threads may overlap: the first to
    come notes what held before, the last to leave puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[int] = []
        self._pools: list[Any] = []
        self._before: list[int] = []

    @contextmanager
    def hold(self, threads: int, pools: list[Any]) -> Iterator[None]:
        """At most so many threads inside the block, in these libraries."""
        with self._lock:
            self._asked.append(threads)
            for pool in pools:
                if pool.filepath not in [known.filepath for known in self._pools]:
                    self._pools.append(pool)
                    self._before.append(pool.num_threads)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._asked.remove(threads)
                self._apply()
                if not self._asked:
                    self._pools.clear()
                    self._before.clear()

    def _apply(self) -> None:
        for pool, before in zip(self._pools, self._before, strict=True):
            wanted = min([before, *self._asked])
            if pool.num_threads != wanted:
                _set_threads(pool, wanted)


def _set_threads(pool: Any, threads: int) -> None:
    """Set the number of threads of a BLAS library, from whatever thread of Python this is.

    Since its version 3.7, threadpoolctl lets the first thread that sets a number keep all others
    from it, as long as it lives, without a word. `BlasLimit` settles itself who gets what.
    """
    release = getattr(pool, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    pool.set_num_threads(threads)
    if release is not None:
        release()


_blas_limit = BlasLimit()


@cache
def _blas_libraries(kernels: ModuleType) -> list[Any]:
    """The BLAS libraries there are with these kernels; looking for them takes a millisecond."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def limited(kernels: ModuleType, threads: int = 1) -> Iterator[None]:
    """Hold these kernels to so many threads inside the block, and BLAS with them.

    Kernels with threads of their own share products among these, and BLAS is held to one: its
    threads keep a processor for a while after each product, and both teams would wait for it.
    """
    set_threads = getattr(kernels, "set_threads", None)
    with _blas_limit.hold(1 if set_threads else threads, _blas_libraries(kernels)):
        before = set_threads(threads) if set_threads else None
        try:
            yield
        finally:
            if set_threads:
                set_threads(before)


class Team:
    """How many threads the next native run gets.

    Threads of a team wait for each other many times in a step. Where another process holds a
    processor, the team is slower than one thread alone; so both are timed, again and again, and the
    faster one does the work.

    Parameters
    ----------
    threads : int
    adapt : bool
        False gives every run this number.
    """

    def __init__(self, threads: int, adapt: bool) -> None:
        self.threads = threads
        self.adapt = adapt and threads > 1
        self.step_seconds: dict[int, float] = {}
        self._runs = 0

    def next_run(self) -> tuple[int, float]:
        """Threads of the next run, and its greatest length in seconds."""
        if not self.adapt:
            return self.threads, NATIVE_SECONDS
        self._runs += 1
        untried = [count for count in (self.threads, 1) if count not in self.step_seconds]
        if untried:
            return untried[0], PROBE_SECONDS
        better, worse = sorted(self.step_seconds, key=lambda count: self.step_seconds[count])
        if self._runs % PROBE_EVERY == 0:
            return worse, PROBE_SECONDS
        return better, NATIVE_SECONDS

    def record(self, threads: int, step_seconds: float) -> None:
        """Remember how long a step took with so many threads, but for the first run.

        There threads start and memory is touched for the first time: in one short step, that can
        be most of it.
        """
        if self._runs > 1:
            self.step_seconds[threads] = step_seconds
