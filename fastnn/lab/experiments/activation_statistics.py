"""Activations by layer: which initial weights let signals through, for which activation.

Images go once through five layers of 100 untrained units, for each of three activations and four
sizes of the initial weights. With a standard deviation of 1, sigmoid and tanh end at their limits,
where their derivatives vanish; with 0.01, every image gives nearly the same; Xavier's size keeps
tanh spread out at every depth, and He's, twice the variance, does so for ReLU, of which half is cut
off. After K. Saitoh, "Deep Learning from Scratch" (2016), section 6.2; X. Glorot and Y. Bengio
(2010); K. He et al. (2015), https://arxiv.org/abs/1502.01852.
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Progress, Result, load
from fastnn.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "histograms of five layers of sigmoid, tanh and ReLU, from weights of four sizes"
DEPTH = 5
UNITS = 100
ROWS = 1000
INITS: dict[str, float | str] = {"std 1": 1.0, "std 0.01": 0.01, "Xavier": "xavier", "He": "he"}
ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU"}


def run(options: Options, progress: Progress) -> Result:
    (x, _), _ = load(options, train=ROWS)
    x = (x - x.mean()) / x.std()
    pairs = [(activation, init) for activation in ACTIVATIONS for init in INITS]
    outputs = {}
    for done, (activation, init) in enumerate(pairs):
        progress(done, len(pairs), f"{ACTIVATIONS[activation]}, {init}")
        outputs[activation, init] = _outputs(x, activation, INITS[init], options.seed)
    table = [
        {"activation": ACTIVATIONS[activation], "weights": init}
        | {f"std, layer {i + 1}": float(out.std()) for i, out in enumerate(layers)}
        | {"at a limit, %": 100 * at_limit(activation, layers[-1])}
        for (activation, init), layers in outputs.items()
    ]
    title = f"Outputs of {DEPTH} layers of {UNITS} units, untrained: {len(x):,} images, "
    return Result(table, _sentence(outputs), _draw(outputs, title + options.title))


Outputs = dict[tuple[str, str], list[np.ndarray]]


def _outputs(x: np.ndarray, activation: str, init: float | str, seed: int) -> list[np.ndarray]:
    """What comes out of each activation, from the first layer to the last, in float64."""
    model = fnn.mlp(x.shape[1], [UNITS] * DEPTH, 10, activation=activation, init=init, rng=seed)
    outputs = []
    for layer in model.layers:
        x = layer.forward(x).copy()
        if layer.kind == activation:
            outputs.append(x.astype(np.float64))
    return outputs


def at_limit(activation: str, out: np.ndarray) -> float:
    """Share of outputs with hardly any gradient: of saturated ones, or for ReLU of zeros."""
    if activation == "relu":
        return float((out == 0).mean())
    low = 0.0 if activation == "sigmoid" else -1.0
    return float(((out < low + 0.02) | (out > 0.98)).mean())


def _sentence(outputs: Outputs) -> str:
    def last(activation: str, init: str) -> float:
        return float(outputs[activation, init][-1].std())

    saturated = [at_limit(a, outputs[a, "std 1"][-1]) for a in ("sigmoid", "tanh")]
    dies = [float(outputs["tanh", "std 0.01"][i].std()) for i in (0, -1)]
    relu = [last("relu", init) for init in ("Xavier", "He")]
    holds = "Xavier holds" if last("tanh", "Xavier") > 0.2 else "Xavier does not hold"
    he = "more than" if relu[1] > relu[0] else "not more than"
    return (
        f"Weights of std 1 drive {100 * saturated[0]:.0f} % of the sigmoid and "
        f"{100 * saturated[1]:.0f} % of the tanh outputs of layer {DEPTH} to their limits; with "
        f"0.01 the spread of tanh {'dies out' if dies[1] < 0.01 * dies[0] else 'changes'} from "
        f"{dies[0]:.2g} in layer 1 to {dies[1]:.1g} in layer {DEPTH}, where {holds} it at "
        f"{last('tanh', 'Xavier'):.2f}; for ReLU the spread there is {relu[1]:.2f} with He, "
        f"{he} the {relu[0]:.2f} with Xavier."
    )


def _draw(outputs: Outputs, title: str) -> "Figure":
    figure = new_figure(11.5, 8.2, title)
    panels = figure.subplots(len(ACTIVATIONS), len(INITS), sharey=True)
    for row, activation in zip(panels, ACTIVATIONS, strict=True):
        for axes, init in zip(row, INITS, strict=True):
            layers = outputs[activation, init]
            _ridges(axes, activation, layers)
            axes.set_title(
                f"{ACTIVATIONS[activation]}, {init}\n"
                f"std {layers[0].std():.2g} → {layers[-1].std():.2g}",
                fontsize="small",
            )
        row[0].set_ylabel("layer")
    note = "each as high as its highest bar; of ReLU outputs above 0, the last bar with all beyond"
    figure.supxlabel(note, fontsize="small")
    return figure


def _ridges(axes: "Axes", activation: str, layers: list[np.ndarray]) -> None:
    """A histogram for each layer, the first at the top; each is scaled to its highest bin."""
    from matplotlib import colormaps

    high = float(np.percentile(layers[0], 99.5)) or 1.0 if activation == "relu" else 1.0
    low = {"sigmoid": 0.0, "tanh": -1.0, "relu": 0.0}[activation]
    for depth, out in enumerate(layers):
        # The zeros of ReLU, about half of all, would hide the others; what lies beyond the picture
        # is in the last bar.
        shown = out[out > 0] if activation == "relu" else out
        counts, edges = np.histogram(np.clip(shown, low, high), np.linspace(low, high, 51))
        floor = len(layers) - 1 - depth
        heights = floor + 0.92 * counts / max(counts.max(), 1)
        colour = colormaps["viridis"](0.85 * depth / max(len(layers) - 1, 1))
        axes.stairs(heights, edges, baseline=floor, fill=True, color=colour)
    axes.set_yticks(np.arange(len(layers)) + 0.3, [str(i) for i in range(len(layers), 0, -1)])
    axes.set_ylim(-0.05, len(layers) + 0.05)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
