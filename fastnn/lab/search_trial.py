"""A trial of a search, in whatever thread or process it runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from fastnn.errors import DivergenceError
from fastnn.side_by_side import one_of_many
from fastnn.trainer import Trainer

Build = Callable[[dict[str, Any], int], Trainer]

# What the reason begins with where the training of a trial diverged.
DIVERGED = "diverged"

# Searches of this process that came to an end, by Ctrl-C or an error, while trials were running.
abandoned: set[str] = set()


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: a result for each fold, the mean of their curves; or a reason."""

    results: list[dict[str, float]]
    curves: dict[str, list[float]]
    reason: str
    seconds: float


def run_trial(
    build: Build,
    number: int,
    params: Mapping[str, Any],
    seed: int,
    epochs: int,
    folds: Sequence[tuple[np.ndarray, np.ndarray] | None],
    search: str,
    *arrays: np.ndarray,
) -> tuple[int, Outcome]:
    """Train and judge with one set of parameters, once for each fold.

    Parameters
    ----------
    folds : sequence of (kept, held)
        Rows to train on and to judge by; None where `arrays` has them apart.
    search : str
        Which search asks.
    *arrays : ndarray
        x, y; and where there are no folds the x and y to judge by.
    """
    start = perf_counter()
    results: list[dict[str, float]] = []
    histories: list[Mapping[str, list[float]]] = []
    reason = ""
    try:
        for fold in folds:
            parts = arrays
            if fold is not None:
                parts = tuple(array[rows] for rows in fold for array in arrays)
            trainer = one_of_many(build, dict(params), seed, given_up=lambda: search in abandoned)
            x, y, x_val, y_val = parts
            histories.append(trainer.fit(x, y, epochs, validation_data=(x_val, y_val)))
            judged = trainer.evaluate(x_val, y_val)
            results.append({f"val_{name}": value for name, value in judged.items()})
    except DivergenceError as error:
        reason = f"{DIVERGED} at step {error.step}: loss {error.loss:g}, learning rate {error.lr:g}"
    except Exception as error:  # one bad trial must not cost the others
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return number, Outcome(results, _mean_curves(histories), reason, perf_counter() - start)


def _mean_curves(histories: Sequence[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """The mean over the folds, up to where the first of them ended."""
    if not histories:
        return {}
    return {
        name: [
            float(np.mean(values))
            for values in zip(*(history[name] for history in histories), strict=False)
        ]
        for name in histories[0]
    }
