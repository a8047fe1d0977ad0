"""Denoising: an autoencoder that sees damaged images learns to repair them, and finds strokes.

With more units than it needs, an autoencoder may copy pixel by pixel, and its features look like
noise. One that has to give back the clean image of a damaged one cannot: it finds out what goes
together. Three are trained, on clean images, with Gaussian noise added, and with a share of the
pixels masked; and asked to repair what they have and what they have not been trained for.
After P. Vincent et al., "Stacked denoising autoencoders" (2010).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Progress, Result, load
from fastnn.lab.sheets import draw_features, draw_images
from fastnn.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "autoencoders that repair damaged images, and the features they find for it"
STD, RATIO = 0.4, 0.5
HIDDEN = 200
TRAIN, TEST = 10_000, 1000
EPOCHS = 30
SHOWN = 10


def run(options: Options, progress: Progress) -> Result:
    (x, _), (x_test, _) = load(options, options.size(TRAIN, 300), TEST)
    noises: dict[str, fnn.Layer | None] = {
        "no noise": None,
        "Gaussian": fnn.GaussianNoise(STD),
        "masking": fnn.MaskingNoise(RATIO),
    }
    trained = {}
    for done, (name, noise) in enumerate(noises.items()):
        watch = Epochs(progress, name, done, len(noises))
        trained[name] = _train(x, noise, options, watch)
    # Damaged by the same noise that they were trained with, but to images they have not seen.
    damaged = {
        name: autoencoder.corrupt(x_test)
        for name, autoencoder in trained.items()
        if autoencoder.noise
    }
    table = [
        {"trained with": name}
        | {f"{noise} repaired": _error(each.reconstruct(images), x_test)
           for noise, images in damaged.items()}
        | {"clean given back": _error(each.reconstruct(x_test), x_test)}
        for name, each in trained.items()
    ]  # fmt: skip
    before = {name: _error(images, x_test) for name, images in damaged.items()}
    figure = _draw(trained, damaged, x_test, options)
    return Result(table, _sentence(table, before), figure)


def _train(
    x: np.ndarray, noise: fnn.Layer | None, options: Options, watch: fnn.Callback
) -> fnn.Autoencoder:
    epochs = options.epochs_or(options.size(EPOCHS, 2))
    autoencoder = fnn.Autoencoder(
        x.shape[1],
        HIDDEN,
        activation="sigmoid",
        output="sigmoid",
        noise=noise,
        rng=options.seed,
        optimizer=fnn.Adam(fnn.CosineDecay(3e-3, epochs)),
        callbacks=[watch],
        verbose=False,
    )
    autoencoder.fit(x, epochs=epochs)
    return autoencoder


def _error(images: np.ndarray, clean: np.ndarray) -> float:
    """Mean squared error of a pixel."""
    return float(np.mean((images - clean) ** 2))


def _sentence(table: list[dict[str, Any]], before: dict[str, float]) -> str:
    rows = {row["trained with"]: row for row in table}
    parts, held = [], True
    for noise, damage in before.items():
        column = f"{noise} repaired"
        own, plain = rows[noise][column], rows["no noise"][column]
        held &= own < plain and own < damage
        parts.append(
            f"{noise} noise puts a mean squared error of {damage:.3f} on unseen images, of which "
            f"the autoencoder trained with it leaves {own:.3f}, and the one trained without noise "
            f"{plain:.3f}"
        )
    end = "who has seen damage repairs it best." if held else "that does not always pay."
    return f"{'; '.join(parts)}: {end}"


def _draw(
    trained: dict[str, fnn.Autoencoder],
    damaged: dict[str, np.ndarray],
    x_test: np.ndarray,
    options: Options,
) -> "Figure":
    figure = new_figure(13.5, 9.2, f"{options.title}: denoising autoencoders of {HIDDEN} units")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.0, 1.05])
    above, below = halves
    for half, (name, images) in zip(above.subfigures(1, 2), damaged.items(), strict=True):
        sheets = {
            "images": x_test,
            f"damaged: {name} noise": images,
            "repaired by the autoencoder trained with it": trained[name].reconstruct(images),
            "by the one trained without noise": trained["no noise"].reconstruct(images),
        }
        panels = half.subplots(len(sheets), 1)
        for axes, (title, sheet) in zip(panels, sheets.items(), strict=True):
            draw_images(axes, sheet[:SHOWN], SHOWN, title)
    panels = below.subplots(1, len(trained))
    for axes, (name, autoencoder) in zip(panels, trained.items(), strict=True):
        w = autoencoder.model.params["affine1.w"]
        with_it = f"{name} noise" if autoencoder.noise else name
        draw_features(axes, w, 10, 100, f"features of the first layer, trained with {with_it}")
    return figure
