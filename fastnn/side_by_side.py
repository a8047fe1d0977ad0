"""One fit of several that run side by side, in threads of Python or in processes."""

from collections.abc import Callable
from typing import Any

from fastnn.callbacks import Callback
from fastnn.progress import ProgressBar
from fastnn.threads import default_threads
from fastnn.trainer import Trainer


def one_of_many(
    build: Callable[..., Trainer], *arguments: Any, given_up: Callable[[], bool]
) -> Trainer:
    """The trainer that a user's function makes for one of the fits.

    It has one thread, unless the function names a number, and shows no progress.

    Parameters
    ----------
    build : callable
        ``build(*arguments)`` returns the trainer.
    given_up : callable
        Whether nobody waits for the fit any more: it then ends with an InterruptedError.

    Raises
    ------
    TypeError
        The function returns something else.
    """
    with default_threads(1):
        trainer = build(*arguments)
    if not isinstance(trainer, Trainer):
        raise TypeError(f"build must return a Trainer; got {trainer!r}")
    kept = [each for each in trainer.callbacks if not isinstance(each, ProgressBar)]
    trainer.callbacks = [*kept, _Stop(given_up)]
    return trainer


class _Stop(Callback):
    """Ends a fit in a thread, which Ctrl-C does not reach."""

    def __init__(self, given_up: Callable[[], bool]) -> None:
        self.given_up = given_up

    def watches_every_batch(self) -> bool:
        return False

    def on_batch_end(
        self, trainer: Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        if self.given_up():
            raise InterruptedError("this fit was given up: nobody waits for it any more")
