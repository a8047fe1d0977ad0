"""Hyperparameter search: random, on a grid, and from coarse to fine.

Random search is that of J. Bergstra and Y. Bengio (2012), "Random Search for Hyper-Parameter
Optimization": where one parameter of many matters, n trials try n values of it, and those of a grid
only few. Stopping bad trials early is the successive halving of K. Jamieson and A. Talwalkar
(2016), "Non-stochastic Best Arm Identification and Hyperparameter Optimization".

Trials run in parallel through joblib: in threads, since native training needs no GIL, or by
whatever ``joblib.parallel_config`` names. All that is random in a trial comes from a seed of its
own, and a trial has one thread, so what it finds does not depend on where or beside what it runs.
"""

import itertools
import math
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np

from fastnn.checks import Rng, as_array, generator, positive_int, real_in, sequence
from fastnn.data import k_fold, split_indices
from fastnn.errors import FastnnError, missing_extra
from fastnn.lab.search_progress import Progress, search_progress
from fastnn.lab.search_result import COLUMNS, SearchResult, Trial, ranked
from fastnn.lab.search_trial import DIVERGED, Build, Outcome, abandoned, run_trial
from fastnn.lab.space import Dimension, read_space

# Of how many of the best trials the ranges of the next stage are made: the share, and at least.
BEST_SHARE = 0.2
LEAST_BEST = 3


def random_search(
    build: Build,
    space: Mapping[str, Any],
    x: Any,
    y: Any,
    trials: int = 60,
    epochs: int = 10,
    *,
    validation_data: Sequence[Any] | None = None,
    validation_share: float = 0.2,
    folds: int | None = None,
    monitor: str | None = None,
    rungs: Sequence[int] = (),
    keep: float = 1 / 3,
    n_jobs: int = -1,
    rng: Rng = None,
    verbose: bool = True,
) -> SearchResult:
    """Train with parameters drawn at random, and say which were best.

    Parameters
    ----------
    build : callable
        ``build(params, seed)`` returns the `Trainer` to use: `params` is a dict with a value for
        each name of `space`, `seed` an integer for the ``rng`` of model and trainer. Where trials
        run in other processes, it is sent there: by pickle, or by cloudpickle, which takes
        functions defined anywhere.
    space : mapping
        Name to a tuple ``(low, high)``, a list of choices, or a frozen distribution of
        `scipy.stats`. A range of two integers holds integers. Learning rates and penalties, told by
        the last word of their names (lr, learning_rate, weight_decay, l1, l2, strength, penalty),
        are drawn on a logarithmic scale.
    x, y : array_like
        As in `Trainer.fit`.
    trials : int
    epochs : int
        For how long a trial trains.
    validation_data : (x, y), optional
        What trials are judged by.
    validation_share : float
        Where neither it nor `folds` is given: the share of the rows held out, the same for all
        trials; stratified where y holds labels.
    folds : int, optional
        Judge by the mean of so many folds instead; a trial then trains as many models.
    monitor : str, optional
        The number to judge by, such as "val_loss"; by default "val_accuracy" where trainers report
        it, else "val_loss".
    rungs : sequence of int
        Numbers of epochs, rising, all below `epochs`: only the best go on beyond each.
    keep : float
        The share of the trials that does, in (0, 1).
    n_jobs : int
        Trials at a time; -1 for as many as joblib's backend has workers.
    rng : int or numpy.random.Generator, optional
        Draws the parameters, the seeds and the rows held out.
    verbose : bool
        Show progress on ``sys.stdout``.

    Returns
    -------
    SearchResult
        After Ctrl-C, of the trials that had ended.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    FastnnError
        Every trial failed, none of them by divergence; the message has the first reason.
    ImportError
        joblib is not installed; the message names the extra.
    KeyboardInterrupt
        Ctrl-C, before any trial had ended.

    Notes
    -----
    A trial that diverges or fails ends with the reason in its row, and the search goes on. One that
    goes on beyond a rung is trained from its seed again, so what it finds does not depend on rungs.
    Each has one thread unless `build` gives ``threads=``, and shows no progress of its own.

    Examples
    --------
    >>> import fastnn as fnn
    >>> def build(params, seed):
    ...     model = fnn.mlp(2, [params["hidden"]], 2, rng=seed)
    ...     return fnn.Trainer(model, optimizer=fnn.Adam(params["lr"]), rng=seed)
    >>> x = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> space = {"lr": (1e-5, 1e-1), "hidden": [4, 8, 16]}
    >>> result = fnn.lab.random_search(build, space, x, y, trials=8, rng=0, verbose=False)
    >>> result.best.params["lr"] > 1e-3
    True

    In processes, or on a cluster, without a change::

        with joblib.parallel_config(backend="loky"):  # "dask", "ray", ...
            fnn.lab.random_search(build, space, x, y)
    """
    dimensions = _read(space)
    trials = positive_int("trials", trials)
    search = _Search(build, epochs, rungs, keep, monitor, n_jobs, verbose)
    draws = generator(rng)
    search.take_data(x, y, validation_data, validation_share, folds, draws)
    with search.progress((trials, search.epochs)) as progress:
        search.run(_drawn(dimensions, draws.spawn(trials)), search.epochs, progress)
    return search.result(dimensions)


def grid_search(
    build: Build,
    space: Mapping[str, Any],
    x: Any,
    y: Any,
    points: int | Mapping[str, int] = 5,
    epochs: int = 10,
    *,
    validation_data: Sequence[Any] | None = None,
    validation_share: float = 0.2,
    folds: int | None = None,
    monitor: str | None = None,
    rungs: Sequence[int] = (),
    keep: float = 1 / 3,
    n_jobs: int = -1,
    rng: Rng = None,
    verbose: bool = True,
) -> SearchResult:
    """Train with every combination of some values of each parameter.

    Parameters
    ----------
    build, space, x, y
        As in `random_search`.
    points : int or mapping
        Values of a range, ends included, or of a distribution; a mapping has a number for each of
        these names. Choices are all taken.
    epochs, validation_data, validation_share, folds, monitor, rungs, keep, n_jobs, rng, verbose
        As in `random_search`.

    Returns
    -------
    SearchResult

    Raises
    ------
    TypeError, ValueError
        As `random_search`; or no such number of points.
    """
    dimensions = _read(space)
    search = _Search(build, epochs, rungs, keep, monitor, n_jobs, verbose)
    draws = generator(rng)
    search.take_data(x, y, validation_data, validation_share, folds, draws)
    axes = [dimensions[name].grid(_points(points, name)) for name in dimensions]
    combinations = [
        dict(zip(dimensions, values, strict=True)) for values in itertools.product(*axes)
    ]
    children = draws.spawn(len(combinations))
    candidates = [
        Trial(number, params, _seed(child))
        for number, (params, child) in enumerate(zip(combinations, children, strict=True))
    ]
    with search.progress((len(candidates), search.epochs)) as progress:
        search.run(candidates, search.epochs, progress)
    return search.result(dimensions)


def coarse_to_fine(
    build: Build,
    space: Mapping[str, Any],
    x: Any,
    y: Any,
    trials: Sequence[int] = (30, 30),
    epochs: Sequence[int] = (2, 10),
    *,
    validation_data: Sequence[Any] | None = None,
    validation_share: float = 0.2,
    folds: int | None = None,
    monitor: str | None = None,
    n_jobs: int = -1,
    rng: Rng = None,
    verbose: bool = True,
) -> SearchResult:
    """Search wide ranges with few epochs, then, for longer, what lies around the best.

    After each stage, every range is narrowed to the values of the best fifth of its trials, at
    least three, and a tenth more on both sides: a parameter that matters becomes narrow, one that
    does not stays wide.

    Parameters
    ----------
    build, space, x, y, validation_data, validation_share, folds, monitor, n_jobs, rng, verbose
        As in `random_search`.
    trials, epochs : sequence of int
        A number for each stage; epochs rise from stage to stage.

    Returns
    -------
    SearchResult
        It holds the trials of all stages, the longest first, and warns about the edges of the last
        ranges.

    Raises
    ------
    TypeError, ValueError
        As `random_search`; or not a number for each stage.
    """
    dimensions = _read(space)
    counts = [positive_int("trials", count) for count in sequence("trials", trials, "numbers")]
    lengths = _rising("epochs", epochs)
    if not counts or len(counts) != len(lengths):
        raise ValueError(
            "trials and epochs must have a number for each stage; got "
            f"{len(counts)} and {len(lengths)}"
        )
    search = _Search(build, lengths[-1], (), 0.5, monitor, n_jobs, verbose)
    draws = generator(rng)
    search.take_data(x, y, validation_data, validation_share, folds, draws)
    stages = list(zip(counts, lengths, strict=True))
    with search.progress(*stages) as progress:
        for stage, (count, length) in enumerate(stages):
            if stage:
                last = search.trials[-counts[stage - 1] :]
                dimensions = _narrowed(dimensions, ranked(last, search.monitor or ""))
            first = len(search.trials)
            search.run(_drawn(dimensions, draws.spawn(count), first), length, progress)
            if search.interrupted:
                break
    return search.result(dimensions)


# -- what to try -----------------------------------------------------------------------------------


def _read(space: Mapping[str, Any]) -> dict[str, Dimension]:
    return read_space(space, taken=COLUMNS)


def _drawn(
    dimensions: Mapping[str, Dimension], draws: Sequence[np.random.Generator], first: int = 0
) -> list[Trial]:
    """A trial for each generator, which draws all that is random in it."""
    return [
        Trial(number, {name: each.draw(own) for name, each in dimensions.items()}, _seed(own))
        for number, own in enumerate(draws, first)
    ]


def _seed(draws: np.random.Generator) -> int:
    return int(draws.integers(2**32))


def _narrowed(dimensions: Mapping[str, Dimension], trials: Sequence[Trial]) -> dict[str, Dimension]:
    """Dimensions around the best of some trials, which come best first."""
    finished = [trial for trial in trials if trial.status != "failed"]
    if not finished:
        reason = trials[0].reason
        raise FastnnError(f"no trial finished, so there is nothing to narrow to; {reason}")
    best = finished[: max(LEAST_BEST, round(BEST_SHARE * len(trials)))]
    return {
        name: each.narrowed([trial.params[name] for trial in best])
        for name, each in dimensions.items()
    }


def _points(points: int | Mapping[str, int], name: str) -> int:
    if not isinstance(points, Mapping):
        return positive_int("points", points)
    return positive_int(f"points[{name!r}]", points.get(name, 5))


def _rising(name: str, values: Sequence[int]) -> list[int]:
    numbers = [positive_int(name, value) for value in sequence(name, values, "numbers of epochs")]
    if any(after <= before for before, after in itertools.pairwise(numbers)):
        raise ValueError(f"{name} must rise; got {numbers}")
    return numbers


# -- running it ------------------------------------------------------------------------------------


class _Search:
    """Runs trials, and keeps what they found; what a user can get wrong is checked first.

    Parameters are those of `random_search`.
    """

    def __init__(
        self,
        build: Build,
        epochs: int,
        rungs: Sequence[int],
        keep: float,
        monitor: str | None,
        n_jobs: int,
        verbose: bool,
    ) -> None:
        _require_joblib()
        if not callable(build):
            raise TypeError(f"build must be a function of (params, seed); got {build!r}")
        if monitor is not None and not (isinstance(monitor, str) and monitor.startswith("val_")):
            raise ValueError(f"monitor must be the name of a val_ number; got {monitor!r}")
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
            raise ValueError(f"n_jobs must be an integer other than 0; got {n_jobs!r}")
        self.build = build
        self.epochs = positive_int("epochs", epochs)
        self.rungs = _rising("rungs", rungs)
        if self.rungs and self.rungs[-1] >= self.epochs:
            raise ValueError(f"rungs must lie below epochs={epochs}; got {self.rungs}")
        self.keep = real_in("keep", keep, 0, 1, open_low=True, open_high=True)
        self.monitor = monitor
        self.n_jobs = int(n_jobs)
        self.verbose = verbose
        self.trials: list[Trial] = []
        self.interrupted = False

    def take_data(
        self,
        x: Any,
        y: Any,
        validation_data: Sequence[Any] | None,
        validation_share: float,
        folds: int | None,
        draws: np.random.Generator,
    ) -> None:
        """Settle once, for all trials, which rows train and which judge."""
        x, y = as_array("x", x), as_array("y", y)
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            raise ValueError(
                f"x and y must have as many rows as each other; got {x.shape}, {y.shape}"
            )
        labels = y if y.ndim == 1 and y.dtype.kind in "iu" else None
        self.folds: list[Any] = [None]
        if validation_data is not None:
            if folds is not None:
                raise ValueError("give validation_data or folds, not both")
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise TypeError("validation_data must be (x, y)")
            self.arrays = (x, y, *(as_array("validation_data", part) for part in validation_data))
        elif folds is not None:
            self.folds = [*k_fold(len(x), folds, draws, labels=labels)]
            self.arrays = (x, y)
        else:
            real_in("validation_share", validation_share, 0, 1, open_low=True, open_high=True)
            kept, held = split_indices(len(x), validation_share, draws, labels=labels)
            self.arrays = (x[kept], y[kept], x[held], y[held])

    def progress(self, *stages: tuple[int, int]) -> AbstractContextManager[Progress]:
        """What shows how far a search of some stages is, each of so many trials and epochs."""
        plan = []
        for trials, epochs in stages:
            for rung in (*self.rungs, epochs):
                plan.append((trials, rung))
                trials = max(1, round(self.keep * trials))
        return search_progress(plan, self.verbose)

    def run(self, candidates: list[Trial], epochs: int, progress: Progress) -> None:
        """Train candidates for so long, by way of the rungs."""
        found: dict[int, Trial] = {}
        for rung in (*self.rungs, epochs):
            trained = self._train(candidates, rung, progress)
            found |= {trial.number: trial for trial in trained}
            if self.interrupted or rung == epochs:
                break
            good = [trial for trial in trained if trial.status != "failed"]
            good = ranked(good, self.monitor or "")
            going_on = max(1, round(self.keep * len(trained)))
            candidates = sorted(good[:going_on], key=lambda trial: trial.number)
            for trial in good[going_on:]:
                found[trial.number] = replace(trial, status="stopped")
        self.trials += found.values()

    def _train(self, candidates: Sequence[Trial], epochs: int, progress: Progress) -> list[Trial]:
        """Train candidates, each from its start; after Ctrl-C, what had ended by then."""
        from joblib import Parallel, delayed
        from joblib.parallel import get_active_backend

        backend, _ = get_active_backend(prefer="threads")
        streams = getattr(backend, "supports_return_generator", False)
        parallel = Parallel(
            self.n_jobs,
            prefer="threads",
            return_as="generator_unordered" if streams else "list",
        )
        search = uuid4().hex
        trained: list[Trial] = []
        outcomes: Iterable[tuple[int, Outcome]] = ()
        of_number = {trial.number: trial for trial in candidates}
        try:
            # The arrays are arguments of their own: joblib's backends share large ones.
            outcomes = parallel(
                delayed(run_trial)(
                    self.build, t.number, t.params, t.seed, epochs, self.folds, search, *self.arrays
                )
                for t in candidates
            )
            for number, outcome in outcomes:
                trained.append(self._judged(of_number[number], epochs, outcome))
                progress.ended(trained[-1], self.monitor)
        except BaseException as error:
            abandoned.add(search)
            if isinstance(outcomes, Generator):
                with warnings.catch_warnings():
                    # That trials are given up is what is wanted.
                    warnings.simplefilter("ignore")
                    outcomes.close()
            if not isinstance(error, KeyboardInterrupt):
                raise
            self.interrupted = True
        return trained

    def _judged(self, trial: Trial, epochs: int, outcome: Outcome) -> Trial:
        """A trial with what came of it."""
        trial = replace(trial, epochs=epochs, seconds=outcome.seconds, curves=outcome.curves)
        if outcome.reason:
            return replace(trial, status="failed", reason=outcome.reason)
        names = outcome.results[0]
        if self.monitor is None:
            self.monitor = "val_accuracy" if "val_accuracy" in names else "val_loss"
        if self.monitor not in names:
            raise ValueError(
                f"monitor must be a number that trainers report; got {self.monitor!r}, there are: "
                f"{', '.join(names)}"
            )
        scores = np.array([result[self.monitor] for result in outcome.results])
        if not np.isfinite(scores).all():
            reason = f"{self.monitor} is {scores[~np.isfinite(scores)][0]}"
            return replace(trial, status="failed", reason=reason)
        std = float(scores.std()) if len(scores) > 1 else math.nan
        return replace(trial, score=float(scores.mean()), std=std)

    def result(self, dimensions: Mapping[str, Dimension]) -> SearchResult:
        """What was found, of trials drawn last from these dimensions."""
        if self.interrupted and not self.trials:
            raise KeyboardInterrupt
        reasons = [trial.reason for trial in self.trials]
        if all(reasons) and not any(reason.startswith(DIVERGED) for reason in reasons):
            raise FastnnError(f"every trial failed; the first: {reasons[0]}")
        return SearchResult(self.trials, self.monitor or "val_loss", dimensions, self.interrupted)


def _require_joblib() -> None:
    try:
        import joblib  # noqa: F401
    except ImportError as error:
        raise missing_extra("joblib", "search") from error
