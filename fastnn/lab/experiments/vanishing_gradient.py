"""Vanishing gradients: what reaches the first of ten layers, with sigmoid and with ReLU.

On its way back a gradient is multiplied by the derivative of every activation; that of the sigmoid
is at most 1/4, so that ten layers leave next to nothing for the first. ReLU's derivative is 1 where
it is not 0. BatchNorm brings the gradients back by dividing by the small spread of what comes
before each activation. Measured before training, on one batch, with weights of Xavier's size for
the sigmoid and He's for ReLU. After S. Hochreiter (1991); X. Glorot and Y. Bengio (2010); S. Ioffe
and C. Szegedy (2015), https://arxiv.org/abs/1502.03167.
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Progress, Result, load
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "gradients by layer of ten layers of sigmoid or ReLU, with and without BatchNorm"
DEPTH = 10
UNITS = 100
ROWS = 500
NETWORKS = {
    "sigmoid": ("sigmoid", False),
    "ReLU": ("relu", False),
    "sigmoid, BatchNorm": ("sigmoid", True),
    "ReLU, BatchNorm": ("relu", True),
}


def run(options: Options, progress: Progress) -> Result:
    (x, y), _ = load(options, train=ROWS)
    norms: dict[str, list[float]] = {}
    for name, (activation, batch_norm) in NETWORKS.items():
        progress(len(norms), len(NETWORKS), name)
        model = fnn.mlp(
            x.shape[1],
            [UNITS] * DEPTH,
            10,
            activation=activation,
            batch_norm=batch_norm,
            init="auto",
            rng=options.seed,
        )
        _, gradients = fnn.Trainer(model, verbose=False).gradients(x, y)
        # The last layer, the output, has no activation behind it.
        norms[name] = [
            float(np.linalg.norm(gradients[f"affine{layer}.w"])) for layer in range(1, DEPTH + 1)
        ]
    table = [
        {
            "network": name,
            "norm, layer 1": norm[0],
            f"norm, layer {DEPTH}": norm[-1],
            "1 / last": norm[0] / norm[-1],
        }
        for name, norm in norms.items()
    ]
    rows = [
        {"network": name, "layer": layer, "gradient norm": value}
        for name, norm in norms.items()
        for layer, value in enumerate(norm, start=1)
    ]
    title = f"{DEPTH} hidden layers of {UNITS} units, before training: {options.title}"
    return Result(table, _sentence(norms), _draw(norms, title), rows)


def _sentence(norms: dict[str, list[float]]) -> str:
    ratio = {name: norm[0] / norm[-1] for name, norm in norms.items()}
    first = {name: norm[0] for name, norm in norms.items()}
    vanishes = "vanishes" if ratio["sigmoid"] < 1e-3 < ratio["ReLU"] else "does not vanish"
    helped = float(f"{first['sigmoid, BatchNorm'] / first['sigmoid']:.2g}")
    return (
        f"With sigmoid the gradient {vanishes} on its way back: its norm in layer 1 is "
        f"{ratio['sigmoid']:.1g} of that in layer {DEPTH}, with ReLU {ratio['ReLU']:.2g}; "
        f"BatchNorm makes that of the sigmoid's first layer about {helped:,.10g} "
        f"times {'larger' if helped > 1 else 'what it was'}, {ratio['sigmoid, BatchNorm']:.2g} of "
        f"that in layer {DEPTH}."
    )


def _draw(norms: dict[str, list[float]], title: str) -> "Figure":
    figure = new_figure(8, 4.8, title)
    axes = figure.subplots()
    for name, norm in norms.items():
        colour = COLOURS[4] if name.startswith("sigmoid") else COLOURS[3]
        style = (0, (3, 1.2)) if "BatchNorm" in name else "-"
        layers = range(1, len(norm) + 1)
        axes.plot(layers, norm, color=colour, linestyle=style, lw=2, marker="o", ms=4, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("layer, from the input to the output")
    axes.set_ylabel("norm of the gradient of the weights")
    axes.legend(frameon=False, loc="lower right")
    tidy(axes)
    axes.set_xticks(range(1, DEPTH + 1))
    return figure
