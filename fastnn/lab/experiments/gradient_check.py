"""Gradient check: backpropagation against differences of the loss.

The central difference (f(x + h) - f(x - h)) / 2h misses the derivative by a multiple of h squared,
and by the rounding of f, which counts the more the smaller h is: so the error of a right gradient
has a valley, and that of a wrong one has none. A mistake is planted in the backward pass of one
layer, and found: in the layers below it, for those above get their gradients before it.
After the Stanford course CS231n, "Neural Networks Part 3", section "Gradient checks".
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Part, Progress, Result, load
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUMMARY = "backpropagation against differences of the loss, by parameter and by step h"
HIDDEN = [50, 30]
ROWS = 10
STEPS = 10.0 ** -np.arange(0, 12.5, 0.5)
STEP = 1e-5
TOLERANCE = 1e-5
RIGHT, WRONG = COLOURS[3], COLOURS[4]
LABELS = {"right": "as it should be", "mistake": "1 - out for 1 - out² in tanh2"}


class WrongTanh(fnn.Tanh):
    """Its derivative is 1 - out squared; here somebody forgot the square."""

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        return dout * (1 - self._out) if input_gradient else None


def run(options: Options, progress: Progress) -> Result:
    (x, y), _ = load(options, train=ROWS)
    entries = options.size(30, 3)
    networks = {
        "right": _network(x.shape[1], fnn.Tanh, options.seed),
        "mistake": _network(x.shape[1], WrongTanh, options.seed),
        "ReLU": _network(x.shape[1], fnn.ReLU, options.seed),
    }
    checks = {
        name: fnn.gradient_check(model, x, y, entries=entries, h=STEP, tolerance=TOLERANCE)
        for name, model in networks.items()
    }
    by_step: dict[str, list[float]] = {"right": [], "mistake": []}
    for done, h in enumerate(STEPS):
        progress(done, len(STEPS), f"h = {h:.0e}")
        for name, errors in by_step.items():
            errors.append(_error(networks[name], (x, y), float(h), entries))
    table = [
        {
            "parameter": parameter,
            "right": checks["right"].errors[parameter],
            "mistake in tanh2": checks["mistake"].errors[parameter],
            "ReLU": checks["ReLU"].errors[parameter],
        }
        for parameter in checks["right"].errors
    ]
    figure = new_figure(
        11, 4.6, f"{options.title}: gradients by backpropagation and by differences"
    )
    left, right = figure.subplots(1, 2)
    _draw_parameters(left, checks)
    _draw_steps(right, by_step)
    rows = [
        {"h": h, **{name: errors[i] for name, errors in by_step.items()}}
        for i, h in enumerate(STEPS)
    ]
    return Result(table, _sentence(checks, by_step), figure, rows)


def _network(n_in: int, second: type[fnn.Layer], seed: int) -> fnn.Sequential:
    """Two hidden layers, the second with an activation of one's choice."""
    first = fnn.ReLU if second is fnn.ReLU else fnn.Tanh
    layers = []
    for units, activation in zip(HIDDEN, (first, second), strict=True):
        layers += [fnn.Affine(units, "xavier"), activation()]
    return fnn.Sequential([*layers, fnn.Affine(10, "xavier")], n_in, seed, dtype="float64")


def _error(model: fnn.Sequential, data: Part, h: float, entries: int) -> float:
    """The largest relative error, whatever its cause: tolerance=1 forgives no rounding."""
    return fnn.gradient_check(model, *data, h=h, tolerance=1.0, entries=entries).worst.error


def _sentence(checks: dict[str, fnn.GradientCheck], by_step: dict[str, list[float]]) -> str:
    right, mistake, relu = checks["right"], checks["mistake"], checks["ReLU"]
    best = int(np.argmin(by_step["right"]))
    wrong = [p.name for p in mistake.parameters if not p.error <= TOLERANCE]
    found = (
        f"the forgotten square is found: up to {mistake.worst.error:.2g} in {', '.join(wrong)}, "
        "the parameters below the mistake"
        if wrong
        else "the planted mistake is not found"
    )
    return (
        f"With h = {STEP:.0e} the worst relative error of right gradients is "
        f"{right.worst.error:.0e}, in {right.worst.name}, "
        f"{'within' if right.ok else 'beyond'} the tolerance of {TOLERANCE:.0e}; it is least near "
        f"h = {STEPS[best]:.0e}, where the error of the difference and that of rounding meet; "
        f"{found}. With ReLU the worst is {relu.worst.error:.0e}; {relu.kinks} elements met a kink."
    )


# -- pictures --------------------------------------------------------------------------------------


def _draw_parameters(axes: "Axes", checks: dict[str, fnn.GradientCheck]) -> None:
    names = list(checks["right"].errors)
    places = np.arange(len(names))
    for shift, name, colour in ((-0.12, "right", RIGHT), (0.12, "mistake", WRONG)):
        # No bars: on a logarithmic axis, their lengths would mean nothing.
        errors = [max(checks[name].errors[parameter], 1e-12) for parameter in names]
        axes.plot(errors, places + shift, "o", color=colour, markersize=8, label=LABELS[name])
    axes.axvline(TOLERANCE, color="0.4", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.annotate(
        "tolerance", (TOLERANCE, 1), xycoords=("data", "axes fraction"), xytext=(5, -4),
        textcoords="offset points", color="0.4", va="top",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_ylim(len(names) - 0.4, -0.9)
    axes.set_xlabel("largest relative error")
    axes.set_title(f"by parameter, h = {STEP:.0e}", fontsize="medium")
    tidy(axes)


def _draw_steps(axes: "Axes", by_step: dict[str, list[float]]) -> None:
    for name, colour in (("right", RIGHT), ("mistake", WRONG)):
        axes.plot(STEPS, by_step[name], "o-", color=colour, markersize=4, label=LABELS[name])
    least = min(by_step["right"])
    axes.annotate("rounding", (1e-10, least), ha="center", color="0.4")
    axes.annotate("the difference itself", (1e-2, least), ha="center", color="0.4")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("step h")
    axes.set_ylabel("largest relative error")
    axes.set_title("by the step of the difference", fontsize="medium")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.92))
    tidy(axes)
