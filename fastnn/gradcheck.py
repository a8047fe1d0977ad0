"""Comparing the gradients of backpropagation with differences of the loss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.checks import Rng, generator, positive_int, real_in, real_rows
from fastnn.components import check_optional
from fastnn.engine import EagerEngine
from fastnn.examples import Examples
from fastnn.losses import Loss, as_loss
from fastnn.model import Sequential, check_model
from fastnn.numerical import both_sides
from fastnn.optimizers import SGD
from fastnn.regularizers import Regularizer
from fastnn.summary import Summary

# A loss is computed to a few of the last digit; differences of it, to this over the step.
ROUNDING = 10 * np.finfo(np.float64).eps

# A kink explains an error if the difference on one side of it has less than this share of it.
ONE_SIDED = 0.1


@dataclass(frozen=True)
class ParameterCheck:
    """What was found for one parameter.

    Attributes
    ----------
    name : str
    checked, size : int
        Elements compared, and those there are.
    kinks : int
        Elements where the loss has a kink between x - h and x + h, left out of ``error``.
    error : float
        The largest relative error; NaN counts as the largest.
    index : tuple of int, or None
        Where; None if every element met a kink.
    backprop, numerical : float
        The gradient there, by either way.
    """

    name: str
    checked: int
    size: int
    kinks: int
    error: float
    index: tuple[int, ...] | None
    backprop: float
    numerical: float


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """What `gradient_check` found; prints as a table.

    Attributes
    ----------
    parameters : tuple of ParameterCheck
        In the order of the model.
    tolerance : float
        The relative error up to which a gradient is taken to be right.
    """

    parameters: tuple[ParameterCheck, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every relative error is within the tolerance."""
        return all(parameter.error <= self.tolerance for parameter in self.parameters)

    @property
    def worst(self) -> ParameterCheck:
        """The parameter with the largest relative error."""
        return max(self.parameters, key=lambda p: np.inf if np.isnan(p.error) else p.error)

    @property
    def kinks(self) -> int:
        """Elements that met a kink."""
        return sum(parameter.kinks for parameter in self.parameters)

    @property
    def errors(self) -> dict[str, float]:
        """Largest relative error by name of the parameter."""
        return {parameter.name: parameter.error for parameter in self.parameters}

    def table(self) -> Summary:
        """A line for each parameter, and the verdict."""
        rows = [("parameter", "checked", "kinks", "worst error", "backprop", "numerical", "at")]
        for p in self.parameters:
            at = "" if p.index is None else f"[{', '.join(map(str, p.index))}]"
            numbers = (f"{p.backprop:.6e}", f"{p.numerical:.6e}") if at else ("", "")
            mark = "" if p.error <= self.tolerance else "  <- wrong"
            rows.append(
                (
                    *(p.name, f"{p.checked:,} of {p.size:,}", str(p.kinks), f"{p.error:.1e}"),
                    *(*numbers, at + mark),
                )
            )
        return Summary(rows, [self._verdict()], left=(0, 6))

    def _verdict(self) -> str:
        worst = self.worst
        relation = "within" if self.ok else "beyond"
        verdict = (
            f"{'ok' if self.ok else 'WRONG'}: the worst relative error is {worst.error:.1e}, in "
            f"{worst.name}, {relation} the tolerance of {self.tolerance:.0e}"
        )
        if self.kinks:
            verdict += (
                f"; a kink was crossed at {self.kinks} "
                f"{'elements' if self.kinks > 1 else 'element'}, where backprop agrees with the "
                "difference on one side"
            )
        return verdict

    def __repr__(self) -> str:
        return str(self.table())


def gradient_check(
    model: Sequential,
    x: Any,
    y: Any,
    loss: str | Loss = "softmax_cross_entropy",
    regularizer: Regularizer | None = None,
    entries: int | None = 10,
    h: float = 1e-5,
    tolerance: float = 1e-5,
    rng: Rng = 0,
) -> GradientCheck:
    """Compare the gradient of every parameter by backpropagation with differences of the loss.

    In float64 and in training mode: BatchNorm uses the batch's statistics, dropout the masks of the
    model's next step, the same ones in every evaluation. The model is afterwards what it was. One
    that computes in float32, whose differences would be rounding errors, is checked on a float64
    copy of it.

    Parameters
    ----------
    model : Sequential
    x, y : array_like
        A batch, as for `Trainer.fit`; few rows are enough, and cross fewer kinks.
    loss : str or Loss
    regularizer : Regularizer, optional
        As in `Trainer`.
    entries : int, optional
        Elements compared of each parameter, drawn at random; None compares all.
    h : float
        Half the distance of the two points of a difference.
    tolerance : float
        Relative error up to which a gradient is taken to be right.
    rng : int or numpy.random.Generator, optional
        Draws the elements.

    Returns
    -------
    GradientCheck
        ``.ok``, ``.worst`` (its ``.name`` and ``.error``), ``.errors`` by name; prints as a table.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it. All layers are frozen.

    Notes
    -----
    The error is ``|a - n| / max(|a|, |n|)``; where both are so small that rounding decides, as for
    a bias before BatchNorm, whose gradient is zero, it is their difference in terms of the rounding
    errors that are allowed for.

    The gradient of a function with kinks (ReLU, a maximum, an absolute value) is that of one side.
    Where a kink lies between x - h and x + h, the central difference mixes both sides, and is wrong
    by half the difference of the one-sided ones, of which one still equals the gradient: that is
    how a kink is told from a mistake. Such elements are counted, and not judged.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> x, y = np.random.default_rng(0).standard_normal((5, 4)), [0, 1, 2, 0, 1]
    >>> check = fnn.gradient_check(fnn.mlp(4, [6], 3, activation="tanh", rng=0), x, y)
    >>> check.ok, check.worst.error < 1e-7
    (True, True)
    """
    check_model(model)
    check_optional("regularizer", regularizer, Regularizer, "L2(1e-4)")
    loss = as_loss(loss)
    h = real_in("h", h, 0, open_low=True)
    tolerance = real_in("tolerance", tolerance, 0, open_low=True)
    count = None if entries is None else positive_int("entries", entries)
    draws = generator(rng)
    if model.dtype != np.float64:
        model = model.astype("float64")
    rows = real_rows("x", x, model.input_shape, model.dtype)
    targets = loss.targets(y, len(rows), model.output_size, model.dtype)
    engine = EagerEngine(model, loss, SGD(), regularizer)
    state = model.flat_state.copy()
    try:
        found = tuple(_check_all(engine, Examples(rows, targets), count, h, tolerance, draws))
    finally:
        model.flat_state[:] = state
    if not found:
        raise ValueError("model has no parameters to check: every layer is frozen or has none")
    return GradientCheck(found, tolerance)


def _check_all(
    engine: EagerEngine,
    batch: Examples,
    count: int | None,
    h: float,
    tolerance: float,
    draws: np.random.Generator,
) -> Iterator[ParameterCheck]:
    model = engine.model
    loss, _ = engine.gradients(batch)
    gradients = {name: model.grads[name].copy() for name in model.trained_names()}

    def value(_: np.ndarray) -> float:
        out = model.forward_rows(batch.x, train=True)
        out_loss = engine.loss.value(engine.kernels, out, batch.targets, None, None)
        return out_loss + engine.penalty()

    differences = _Differences(value, loss, h, tolerance)
    for name, gradient in gradients.items():
        view = model.params[name]
        chosen = np.arange(view.size)
        if count is not None and count < view.size:
            chosen = np.sort(draws.choice(view.size, count, replace=False))
        yield differences.check(name, view, gradient, chosen)


@dataclass(frozen=True)
class _Differences:
    """Differences of a value whose parameters can be moved.

    Attributes
    ----------
    value : callable
    loss : float
        The value where the parameters stand.
    h : float
        How far an element is moved.
    tolerance : float
        The relative error from which on a kink is looked for.
    """

    value: Callable[[np.ndarray], float]
    loss: float
    h: float
    tolerance: float

    def check(
        self, name: str, view: np.ndarray, gradient: np.ndarray, chosen: np.ndarray
    ) -> ParameterCheck:
        """Compare the gradient of chosen elements of a parameter."""
        error, kinks = 0.0, 0
        index, at = None, (0.0, 0.0)
        for i in chosen:
            backprop = float(gradient.flat[i])
            numerical, miss, kink = self._compare(view, i, backprop)
            if kink:
                kinks += 1
            elif index is None or not miss <= error:  # NaN is the worst
                error, index = miss, tuple(int(k) for k in np.unravel_index(i, view.shape))
                at = backprop, numerical
        return ParameterCheck(name, len(chosen), view.size, kinks, error, index, *at)

    def _compare(self, view: np.ndarray, i: int, backprop: float) -> tuple[float, float, bool]:
        """The quotient of one element, its relative error, and whether a kink explains it.

        Between two kinks the gradient is neither of the one-sided differences; with a smaller step
        it is the central one.
        """
        numerical, error, kink = self._quotient(view, i, backprop, self.h)
        if error > self.tolerance and not kink:
            _, closer, kink_closer = self._quotient(view, i, backprop, self.h / 10)
            kink = closer <= self.tolerance or kink_closer
        return numerical, error, kink and error > self.tolerance

    def _quotient(
        self, view: np.ndarray, i: int, backprop: float, h: float
    ) -> tuple[float, float, bool]:
        below, above, distance = both_sides(self.value, view, i, h)
        numerical = (above - below) / distance
        miss = abs(backprop - numerical)
        noise = ROUNDING * max(1.0, abs(self.loss)) / h
        right, left = (above - self.loss) / h, (self.loss - below) / h
        one_sided = min(abs(backprop - right), abs(backprop - left))
        # Below the floor, a gradient is right if it is within the noise.
        error = miss / max(abs(backprop), abs(numerical), noise / self.tolerance)
        return numerical, error, one_sided <= max(ONE_SIDED * miss, noise)
