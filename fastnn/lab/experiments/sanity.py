"""Sanity: three questions before training that take a second, and what they find.

Who knows nothing gives each of C classes the probability 1/C, so the first loss is about
-log(1/C); a penalty on the weights raises it; and a handful of samples can be learned by heart.
`fnn.lab.sanity_check` asks them of a network as it should be, and of three that are not.
After the Stanford course CS231n, "Neural Networks Part 3: Learning and Evaluation".
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Part, Progress, Result, load
from fastnn.pictures import COLOURS, log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUMMARY = "the first loss, a penalty, a handful learned by heart: asked before training"
HIDDEN = [100, 100]
CLASSES = 10
SEEN = 5000
HANDFUL = 20
STRENGTHS = np.logspace(-5, -1, 9)
FLOOR = 1e-5  # of the losses that are drawn
GOOD, BAD = COLOURS[3], COLOURS[4]

# Name to initial weights, and whether the labels are shuffled.
NETWORKS: dict[str, tuple[Any, bool]] = {
    "as it should be": ("he", False),
    "weights of std 1": (1.0, False),
    "weights all zero": ("zeros", False),
    "labels shuffled": ("he", True),
}


def run(options: Options, progress: Progress) -> Result:
    (x, y), _ = load(options, train=options.size(SEEN, 500))
    shuffled = np.random.default_rng(options.seed).permutation(y)
    steps = options.epochs_or(options.size(200, 20))
    table, learned = [], {}
    for done, (name, (init, mixed)) in enumerate(NETWORKS.items()):
        progress(done, len(NETWORKS), name)
        labels = shuffled if mixed else y
        report = fnn.lab.sanity_check(_network(x, CLASSES, init, options), x, labels)
        table.append(_row(name, report))
        learned[name] = _by_heart(_network(x, CLASSES, init, options), x, labels, steps)
    first = _losses_by_classes((x, y), options)
    penalties = _penalties((x, y), options)

    figure = new_figure(13, 4.3, f"{options.title}: what to ask before training")
    left, middle, right = figure.subplots(1, 3)
    _draw_first(left, first)
    _draw_penalty(middle, penalties)
    _draw_by_heart(right, learned)
    return Result(table, _sentence(table), figure)


def _network(x: np.ndarray, classes: int, init: Any, options: Options) -> fnn.Sequential:
    return fnn.mlp(x.shape[1], HIDDEN, classes, init=init, rng=options.seed)


def _row(name: str, report: fnn.lab.Report) -> dict[str, Any]:
    loss, penalized = (report["penalty"].numbers[key] for key in ("loss", "with_penalty"))
    return {
        "network": name,
        "first loss": loss,
        "with L2(0.001)": penalized,
        "20 by heart": report["by heart"].numbers["accuracy"],
        "sanity_check finds wrong": ", ".join(report.wrong) or "nothing",
    }


def _by_heart(model: fnn.Sequential, x: np.ndarray, y: np.ndarray, steps: int) -> list[float]:
    """The loss of a handful of samples, step by step."""
    trainer = fnn.Trainer(model, optimizer=fnn.Adam(3e-3), batch_size=HANDFUL, verbose=False, rng=0)
    return trainer.fit(x[:HANDFUL], y[:HANDFUL], epochs=steps)["loss"]


def _losses_by_classes(data: Part, options: Options) -> dict[str, list[float]]:
    """The first loss of networks for 2 to 10 classes, with two kinds of initial weights."""
    x, y = data
    found = {}
    for name, init in (("He's initial weights", "he"), ("small ones, std 0.01", 0.01)):
        found[name] = [
            fnn.Trainer(_network(x, classes, init, options), verbose=False).evaluate(
                x[y < classes], y[y < classes]
            )["loss"]
            for classes in range(2, CLASSES + 1)
        ]
    return found


def _penalties(data: Part, options: Options) -> list[float]:
    """The first loss with ever stronger penalties."""
    model = _network(data[0], CLASSES, "he", options)
    return [
        fnn.Trainer(model, regularizer=fnn.L2(float(strength)), verbose=False).evaluate(*data)[
            "loss"
        ]
        for strength in STRENGTHS
    ]


def _sentence(table: list[dict[str, Any]]) -> str:
    good, *others = table
    expected = math.log(CLASSES)
    near = abs(good["first loss"] - expected) < 0.25 * expected
    raised = good["with L2(0.001)"] > good["first loss"]
    unseen = [r["network"] for r in others if r["sanity_check finds wrong"] == "nothing"]
    planted = (
        f"of the {len(others)} planted mistakes, it overlooks {', '.join(unseen)}."
        if unseen
        else f"sanity_check finds what is wrong with each of the other {len(others)}."
    )
    return (
        f"With {CLASSES} classes the first loss is {good['first loss']:.3f}, "
        f"{'close to' if near else 'not close to'} -log(1/{CLASSES}) = {expected:.3f}; L2(0.001) "
        f"{'raises' if raised else 'does not raise'} it to {good['with L2(0.001)']:.3f}; "
        f"{100 * good['20 by heart']:.0f} % of {HANDFUL} samples are learned by heart; {planted}"
    )


# -- pictures --------------------------------------------------------------------------------------


def _draw_first(axes: "Axes", losses: dict[str, list[float]]) -> None:
    classes = np.arange(2, CLASSES + 1)
    axes.plot(classes, np.log(classes), color="0.6", linewidth=6, alpha=0.5, label="-log(1/C)")
    for colour, marker, (name, values) in zip(
        (GOOD, COLOURS[2]), "os", losses.items(), strict=True
    ):
        axes.plot(classes, values, marker, color=colour, label=name)
    axes.set_ylim(0)
    axes.set(xlabel="classes C", ylabel="loss")
    axes.set_title("the first loss: -log(1/C)", fontsize="medium")
    axes.legend(frameon=False)
    tidy(axes, whole_x=True)


def _draw_penalty(axes: "Axes", losses: list[float]) -> None:
    axes.axhline(math.log(CLASSES), color="0.6", linewidth=6, alpha=0.5)
    axes.annotate(
        f"-log(1/{CLASSES})", (STRENGTHS[0], math.log(CLASSES)), va="top",
        xytext=(0, -7), textcoords="offset points", color="0.4",
    )  # fmt: skip
    axes.plot(STRENGTHS, losses, "o-", color=GOOD)
    axes.set_xscale("log")
    log_scale(axes)
    axes.set_ylim(1.6)
    axes.set(xlabel="strength of the L2 penalty", ylabel="loss before training")
    axes.set_title("a penalty raises it", fontsize="medium")
    tidy(axes)


def _draw_by_heart(axes: "Axes", learned: dict[str, list[float]]) -> None:
    colours = (GOOD, BAD, COLOURS[0], COLOURS[2])
    for colour, (name, losses) in zip(colours, learned.items(), strict=True):
        # A loss that is next to nothing ends at the edge of the picture.
        shown = np.maximum(losses, FLOOR)
        axes.plot(range(1, len(shown) + 1), shown, color=colour, linewidth=1.7, label=name)
    axes.set_yscale("log")
    axes.set(xlabel=f"steps on the same {HANDFUL} samples", ylabel="loss")
    axes.set_title("a handful is learned by heart", fontsize="medium")
    axes.legend(frameon=False)
    tidy(axes)
