"""Autoencoder: images through a narrow code and back, and how wide the code must be.

The encoder turns an image into a few numbers, the decoder makes the image of them again; the
narrower the code, the more is lost. Principal components are the best that linear maps can do
(Baldi and Hornik, 1989); a network with a hidden layer on both sides of the code does better.
After G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural
networks" (2006).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Progress, Result, load
from fastnn.lab.sheets import draw_features, draw_images
from fastnn.pictures import COLOURS, log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "images through a narrow code and back: what is lost, and what the code looks for"
CODES = (2, 4, 8, 16, 32, 64)
SHOWN = (2, 8, 32)  # code sizes of which reconstructions are shown
HIDDEN = 256
TRAIN, TEST = 10_000, 1000
EPOCHS = 20
COMPONENTS, NETWORK = COLOURS[4], COLOURS[3]


def run(options: Options, progress: Progress) -> Result:
    (x, _), (x_test, y_test) = load(options, options.size(TRAIN, 300), TEST)
    codes = [code for code in CODES if code < x.shape[1]]
    made: dict[str, dict[int, np.ndarray]] = {"components": {}, "network": {}}
    table = []
    for done, code in enumerate(codes):
        watch = Epochs(progress, f"code of {code}", done, len(codes))
        made["components"][code] = _by_components(x, x_test, code)
        made["network"][code] = _by_network(x, x_test, code, options, watch)
        errors = [_error(images[code], x_test) for images in made.values()]
        table.append(
            {
                "code size": code,
                "principal components": errors[0],
                "autoencoder": errors[1],
                "ratio": errors[1] / errors[0],
            }
        )
    # Weight decay makes features smooth: what no image needs, the dark corners, fades away.
    simple = _network(x, [64], "relu", options, regularizer=fnn.L2(1e-4))
    simple.fit(x, epochs=options.epochs_or(options.size(EPOCHS, 2)))
    # One digit of each kind.
    rows = [int(np.flatnonzero(y_test == digit)[0]) for digit in np.unique(y_test)]
    figure = _draw(table, x_test[rows], made, rows, simple, options)
    return Result(table, _sentence(table), figure)


def _network(
    x: np.ndarray, code: list[int], activation: str, options: Options, **settings: Any
) -> fnn.Autoencoder:
    epochs = options.epochs_or(options.size(EPOCHS, 2))
    return fnn.Autoencoder(
        x.shape[1],
        code,
        activation=activation,
        output="sigmoid",
        rng=options.seed,
        optimizer=fnn.Adam(fnn.CosineDecay(3e-3, epochs)),
        verbose=False,
        **settings,
    )


def _by_network(
    x: np.ndarray, x_test: np.ndarray, code: int, options: Options, watch: fnn.Callback
) -> np.ndarray:
    # Leaky, for a unit of the code that dies takes a dimension with it.
    autoencoder = _network(x, [HIDDEN, code], "leaky_relu", options, callbacks=[watch])
    autoencoder.fit(x, epochs=options.epochs_or(options.size(EPOCHS, 2)))
    return autoencoder.reconstruct(x_test)


def _by_components(x: np.ndarray, x_test: np.ndarray, code: int) -> np.ndarray:
    components = fnn.data.PCA(code).fit(x)
    return components.inverse_transform(components.transform(x_test))


def _error(images: np.ndarray, x: np.ndarray) -> float:
    """Mean squared error of a pixel."""
    return float(np.mean((images - x) ** 2))


def _sentence(table: list[dict[str, Any]]) -> str:
    first, last = table[0], table[-1]
    better = [row["code size"] for row in table if row["autoencoder"] < row["principal components"]]
    where = (
        "for every code size"
        if len(better) == len(table)
        else f"for codes of {', '.join(map(str, better))} only"
        if better
        else "for no code size"
    )
    best = min(table, key=lambda row: row["ratio"])
    narrower = last["autoencoder"] < first["autoencoder"]
    return (
        f"From a code of {last['code size']} numbers to one of {first['code size']}, the "
        f"autoencoder's mean squared error on unseen images "
        f"{'rises' if narrower else 'does not rise: it goes'} from {last['autoencoder']:.4f} to "
        f"{first['autoencoder']:.4f}; it is below that of as many principal components {where}: "
        f"with {best['code size']} numbers, {best['autoencoder']:.4f} against "
        f"{best['principal components']:.4f}, {100 * best['ratio']:.0f} % of it."
    )


def _draw(
    table: list[dict[str, Any]],
    originals: np.ndarray,
    made: dict[str, dict[int, np.ndarray]],
    rows: list[int],
    simple: fnn.Autoencoder,
    options: Options,
) -> "Figure":
    figure = new_figure(14.5, 5.2, f"{options.title}: autoencoders, on images they have not seen")
    parts: Any = figure.subfigures(1, 3, width_ratios=[5, 5, 4.2])
    left, middle, right = parts
    _draw_errors(left.subplots(), table)
    shown = [code for code in SHOWN if code in made["network"]]
    sheets = [("images", originals)]
    for code in shown:
        sheets.append((f"code of {code}", made["network"][code][rows]))
        sheets.append((f"{code} components", made["components"][code][rows]))
    for axes, (title, images) in zip(middle.subplots(len(sheets), 1), sheets, strict=True):
        draw_images(axes, images, len(rows), title)
    w = simple.model.params["affine1.w"]
    title = "features: what the 64 units of a ReLU code look for"
    draw_features(right.subplots(), w, 8, 64, title)
    return figure


def _draw_errors(axes: "Axes", table: list[dict[str, Any]]) -> None:
    codes = [row["code size"] for row in table]
    for name, colour in (("principal components", COMPONENTS), ("autoencoder", NETWORK)):
        values = [row[name] for row in table]
        axes.plot(codes, values, "o-", color=colour, linewidth=2, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(codes, [str(code) for code in codes])
    log_scale(axes)
    axes.set(xlabel="numbers in the code", ylabel="mean squared error")
    axes.legend(frameon=False, loc="lower left")
    tidy(axes)
