"""Ctrl-C during training: answered, but only between two steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back inside the block; the yielded function raises it.

    A step that is torn in half leaves BatchNorm's averages, the optimizer's, and the parameters at
    different steps, so the caller asks at the end of each. A second Ctrl-C does not wait. Outside
    the main thread, and where the program has a handler of its own, nothing is changed.

    Yields
    ------
    callable
        Raises KeyboardInterrupt if Ctrl-C came since; else returns.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: None
        return
    came = threading.Event()

    def remember(signum: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    def ask() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    try:
        yield ask
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    ask()
