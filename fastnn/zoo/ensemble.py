"""Several opinions of one question: ensembles, and Monte-Carlo dropout."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.checks import (
    Rng,
    as_real,
    generator,
    positive_int,
    sequence,
    source_rows,
)
from fastnn.history import History
from fastnn.layers import Dropout
from fastnn.model import CHUNK, Sequential, check_model
from fastnn.side_by_side import one_of_many
from fastnn.threads import available_threads
from fastnn.trainer import Trainer


class Ensemble:
    """Several networks that answer together, by their mean.

    Networks trained from different seeds err in different places: the mean of their probabilities
    is mostly better than any one of them.

    Parameters
    ----------
    models : sequence of Sequential
        Of the same input shape and the same number of outputs.

    Attributes
    ----------
    models : list of Sequential
        Each is saved by itself: ``model.save(path)``.
    histories : list of History
        How each was trained; empty if not by `fit_ensemble`.

    Raises
    ------
    TypeError, ValueError
        There is no model, something else, or they do not fit together.

    References
    ----------
    L. K. Hansen and P. Salamon (1990), "Neural network ensembles"; for probabilities,
    B. Lakshminarayanan et al. (2017), "Simple and Scalable Predictive Uncertainty Estimation using
    Deep Ensembles".
    """

    def __init__(self, models: Sequence[Sequential]) -> None:
        self.models: list[Sequential] = sequence("models", models, "models")
        self.histories: list[History] = []
        if not self.models:
            raise ValueError("models must hold at least one model")
        for model in self.models:
            if not isinstance(model, Sequential):
                raise TypeError(f"models must hold models, such as mlp(...); got {model!r}")
        shapes = [(model.input_shape, model.output_size) for model in self.models]
        if len(set(shapes)) > 1:
            odd = next(shape for shape in shapes if shape != shapes[0])
            raise ValueError(
                "models must have the same input_shape and number of outputs; got "
                f"{shapes[0]} and {odd}"
            )

    def predict(self, x: Any) -> np.ndarray:
        """Mean of the outputs, (N, n_out): for regression; classes come from `predict_proba`.

        Parameters and errors are those of `Sequential.predict`.
        """
        return _mean([model.predict(x) for model in self.models])

    def predict_proba(self, x: Any) -> np.ndarray:
        """Mean of the networks' `Sequential.predict_proba`, (N, n_out)."""
        return _mean([model.predict_proba(x) for model in self.models])

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self)}: {self.models[0]!r}>"


def fit_ensemble(
    build: Callable[[int], Trainer],
    members: int,
    x: Any,
    y: Any,
    jobs: int | None = None,
    rng: Rng = None,
    **settings: Any,
) -> Ensemble:
    """Train several networks side by side, each from a seed of its own.

    Parameters
    ----------
    build : callable
        ``build(seed)`` returns a `Trainer`, whose progress is not shown; the integer is for the
        ``rng`` of model and trainer. Each has one thread unless it is given ``threads=``.
    members : int
    x, y : array_like
        As in `Trainer.fit`.
    jobs : int, optional
        Networks at a time, in threads; by default as many as there are processors. What they
        learn does not depend on it.
    rng : int or numpy.random.Generator, optional
        Draws the seeds.
    **settings
        For `Trainer.fit`: epochs, validation_data and so on.

    Returns
    -------
    Ensemble

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    Exception
        Whatever the training of a member raises ends that of all.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> x = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (x[:, 0] * x[:, 1] > 0).astype(int)
    >>> def build(seed):
    ...     return fnn.Trainer(fnn.mlp(2, [16], 2, rng=seed), rng=seed)
    >>> ensemble = fnn.fit_ensemble(build, 3, x, y, epochs=5, rng=0)
    >>> ensemble.predict_proba(x).shape
    (200, 2)
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    members = positive_int("members", members)
    jobs = available_threads() if jobs is None else positive_int("jobs", jobs)
    if not callable(build):
        raise TypeError(f"build must be a function of a seed; got {build!r}")
    seeds = [int(draws.integers(2**32)) for draws in generator(rng).spawn(members)]
    given_up = threading.Event()

    def train(seed: int) -> tuple[Sequential, History]:
        trainer = one_of_many(build, seed, given_up=given_up.is_set)
        return trainer.model, trainer.fit(x, y, **settings)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(train, seed) for seed in seeds]
        try:
            for future in as_completed(futures):
                future.result()  # the first to fail is heard at once
        except BaseException:  # Ctrl-C, or a member's own: nobody wants the others
            given_up.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    trained = [future.result() for future in futures]
    ensemble = Ensemble([model for model, _ in trained])
    ensemble.histories = [history for _, history in trained]
    return ensemble


def mc_predict(
    model: Sequential, x: Any, samples: int = 50, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs with dropout at work, many times over: their mean, and how far they spread.

    Every sample is the answer of another thinned network; where they disagree, the model does not
    know. BatchNorm stays in inference mode.

    Parameters
    ----------
    model : Sequential
        With at least one `Dropout` of a ratio above 0. It does not change.
    x : array_like, (N, features) or (N, *input_shape)
    samples : int
        Thinned networks, drawn anew for every 1024 rows.
    rng : int or numpy.random.Generator, optional
        Draws the masks.

    Returns
    -------
    mean, std : ndarray, (N, n_out)
        Over the samples; of the model's dtype.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value, or the model has no dropout.

    References
    ----------
    Y. Gal and Z. Ghahramani (2016), "Dropout as a Bayesian Approximation".
    """
    return _sampled(model, x, samples, rng, lambda scores: scores)


def mc_predict_proba(
    model: Sequential, x: Any, samples: int = 50, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray]:
    """`mc_predict` of the class probabilities.

    Parameters
    ----------
    model, x, samples, rng
        As in `mc_predict`.

    Returns
    -------
    mean, std : ndarray, (N, n_out)
        As in `mc_predict`, of `Sequential.predict_proba`.

    Raises
    ------
    TypeError, ValueError
        As `mc_predict`; or the model has a single output.
    """
    check_model(model).check_probabilities()
    return _sampled(model, x, samples, rng, lambda scores: model.probabilities(scores))


def _sampled(
    model: Sequential, x: Any, samples: int, rng: Rng, of: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    if not any(isinstance(layer, Dropout) and layer.ratio for layer in check_model(model).layers):
        raise ValueError(
            "model has no Dropout with a ratio above 0: every sample would be the same"
        )
    samples, draws = positive_int("samples", samples), generator(rng)
    rows = source_rows("x", x, model.input_shape, model.dtype)
    mean = np.zeros((len(rows), model.output_size))
    squares = np.zeros_like(mean)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        chunk = as_real(rows[part], model.dtype)
        for count in range(1, samples + 1):
            # Masks depend on the number of the step; those of training are small.
            out = of(_thinned(model, chunk, step=int(draws.integers(2**32, 2**62))))
            # B. P. Welford (1962): the sum of squares about the mean, without cancellation.
            off = out - mean[part]
            mean[part] += off / count
            squares[part] += off * (out - mean[part])
    return mean.astype(model.dtype), np.sqrt(squares / samples).astype(model.dtype)


def _thinned(model: Sequential, x: np.ndarray, step: int) -> np.ndarray:
    """A forward pass in inference mode, but for dropout."""
    for layer in model.layers:
        x = layer.forward(x, train=isinstance(layer, Dropout), step=step)
    return x


def _mean(outputs: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(outputs, axis=0, dtype=np.float64).astype(np.result_type(*outputs))
