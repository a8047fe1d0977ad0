"""Deep tanh: the spread of activations over ten layers of 500 units, by the initial weights.

Through each layer the spread is multiplied by about the standard deviation of the weights times the
root of the number of inputs. With weights from N(0, 0.01) that is 0.22, and ten layers leave
nothing of the images; with N(0, 1) every unit is driven to a limit of tanh; with Xavier's size the
factor is about 1. ReLU cuts half away and needs He's size. After the CS231n notes, "Setting up the
data and the model" (2015); X. Glorot and Y. Bengio (2010); K. He et al. (2015).
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Options, Progress, Result, load
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "the spread of activations over ten layers of 500 units, by the initial weights"
DEPTH = 10
UNITS = 500
ROWS = 1000
NETWORKS: dict[str, tuple[str, float | str]] = {
    "tanh, N(0, 1)": ("tanh", 1.0),
    "tanh, N(0, 0.01)": ("tanh", 0.01),
    "tanh, Xavier": ("tanh", "xavier"),
    "ReLU, Xavier": ("relu", "xavier"),
    "ReLU, He": ("relu", "he"),
}


def run(options: Options, progress: Progress) -> Result:
    (x, _), _ = load(options, train=ROWS)
    x = (x - x.mean()) / x.std()
    stds, saturated = {}, {}
    for done, (name, (activation, init)) in enumerate(NETWORKS.items()):
        progress(done, len(NETWORKS), name)
        hidden = [options.size(UNITS, 100)] * DEPTH
        model = fnn.mlp(x.shape[1], hidden, 10, activation=activation, init=init, rng=options.seed)
        monitor = fnn.lab.ActivationMonitor(x)
        monitor.measure(fnn.Trainer(model, verbose=False))
        stds[name] = [std[0] for std in monitor.std.values()]
        saturated[name] = [share[0] for share in monitor.saturated.values()]
    table = [
        {
            "network": name,
            "std, layer 1": std[0],
            f"std, layer {DEPTH}": std[-1],
            "saturated, %": f"{100 * saturated[name][-1]:.1f}" if saturated[name] else "-",
        }
        for name, std in stds.items()
    ]
    rows = [
        {"network": name, "layer": layer, "std": value}
        for name, std in stds.items()
        for layer, value in enumerate(std, start=1)
    ]
    figure = _draw(stds, f"{DEPTH} layers of {hidden[0]} units, untrained: {options.title}")
    return Result(table, _sentence(stds, saturated["tanh, N(0, 1)"]), figure, rows)


def _sentence(stds: dict[str, list[float]], saturated: list[float]) -> str:
    tiny, xavier = stds["tanh, N(0, 0.01)"], stds["tanh, Xavier"]
    relu = [stds[f"ReLU, {init}"] for init in ("Xavier", "He")]
    dies = "dies out" if tiny[-1] < 1e-3 * tiny[0] else "does not die out"
    holds = "holds it" if xavier[-1] > 0.3 * xavier[0] else "lets it fall too"
    he_holds = 0.5 < relu[1][-1] / relu[1][0] < 2
    return (
        f"From N(0, 0.01) the spread of tanh {dies}, from {tiny[0]:.2g} in layer 1 to "
        f"{tiny[-1]:.1g} in layer {DEPTH}; Xavier {holds}, {xavier[0]:.2f} to {xavier[-1]:.2f}; "
        f"from N(0, 1) {100 * saturated[-1]:.0f} % of the outputs are saturated. For ReLU, Xavier "
        f"goes from {relu[0][0]:.2f} to {relu[0][-1]:.2g} and He "
        f"{'stays near' if he_holds else 'does not stay near'} where it began, "
        f"{relu[1][0]:.2f} to {relu[1][-1]:.2f}."
    )


def _draw(stds: dict[str, list[float]], title: str) -> "Figure":
    figure = new_figure(8, 4.8, title)
    axes = figure.subplots()
    colours = {name: COLOURS[i] for name, i in zip(stds, (5, 4, 3, 6, 2), strict=True)}
    for name, std in stds.items():
        layers = np.arange(1, len(std) + 1)
        style = "-" if name.startswith("tanh") else (0, (4, 1.5))
        axes.plot(
            layers, std, color=colours[name], linestyle=style, lw=2, marker="o", ms=4, label=name
        )
    ends = sorted(((std[-1], name) for name, std in stds.items()), reverse=True)
    height = np.inf
    for end, name in ends:
        height = min(end, height / 2.2)  # names of curves that end together stand below each other
        axes.annotate(f"  {name}", (DEPTH, height), color=colours[name], va="center")
    axes.set_yscale("log")
    axes.set_xlabel("layer")
    axes.set_ylabel("standard deviation of the outputs")
    axes.set_xlim(0.7, DEPTH + 2.4)
    tidy(axes)
    axes.set_xticks(range(1, DEPTH + 1))
    return figure
