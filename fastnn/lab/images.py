"""Pictures of what an autoencoder does, and of the features that a first layer looks for."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.checks import positive_int, real_rows
from fastnn.lab.plots import checked_image_shape
from fastnn.layers import Affine
from fastnn.model import Sequential
from fastnn.pictures import new_figure
from fastnn.zoo import Autoencoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 1  # pixels between two images
CELL = 0.75  # inches of an image
TITLE = 0.22  # inches of a line of text


def reconstructions(
    autoencoder: Autoencoder,
    x: Any,
    count: int = 10,
    image_shape: Sequence[int] | None = None,
    title: str = "",
) -> "Figure":
    """Images above what an autoencoder makes of them, and between them, with noise, what it sees.

    Parameters
    ----------
    autoencoder : Autoencoder
        Of one that denoises, the corrupted images are shown and reconstructed.
    x : array_like, (N, features) or (N, *input_shape)
    count : int
        How many images, from the first on.
    image_shape : (height, width) or (channels, height, width), optional
        By default the model's input shape, or a square of so many features.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(autoencoder, Autoencoder):
        raise TypeError(f"autoencoder must be an Autoencoder; got {autoencoder!r}")
    model = autoencoder.model
    shape = _image_shape(model, image_shape)
    clean = real_rows("x", x, model.input_shape, model.dtype)[: positive_int("count", count)]
    rows = {"input": clean}
    if autoencoder.noise:
        rows["corrupted"] = autoencoder.corrupt(clean)
    rows["reconstruction"] = autoencoder.reconstruct(list(rows.values())[-1])

    low, high = float(clean.min()), float(clean.max())
    height, width = CELL * shape[-2] / shape[-1], CELL * len(clean)
    figure = _figure(max(width, 3.5), (height + TITLE) * len(rows), title)
    for axes, (name, images) in zip(
        np.atleast_1d(figure.subplots(len(rows), 1)), rows.items(), strict=True
    ):
        # One scale for all: a reconstruction that is too pale is to look so.
        tiles = tiled(_scaled(images, low, high), shape, len(clean))
        axes.imshow(tiles, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, fontsize="small", loc="left", pad=3)
        axes.set_axis_off()
    return figure


def features(
    model: Sequential | Autoencoder,
    count: int = 64,
    image_shape: Sequence[int] | None = None,
    title: str = "",
) -> "Figure":
    """The weights of the first affine layer, an image for each unit: what it responds to.

    Each image has a scale of its own, with zero in the middle: red adds, blue takes away. Images
    in colour are shown as they are, zero in grey.

    Parameters
    ----------
    model : Sequential or Autoencoder
    count : int
        How many units at most: those with the largest weights, by their norm.
    image_shape, title
        As in `reconstructions`.

    Raises
    ------
    TypeError, ValueError
        As `reconstructions`; or the model has no affine layer right on its input.
    ImportError
        matplotlib is not installed.
    """
    model = model.model if isinstance(model, Autoencoder) else model
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential or an Autoencoder; got {model!r}")
    shape = _image_shape(model, image_shape)
    first = next((layer for layer in model.layers if layer.param_names), None)
    if not isinstance(first, Affine):
        raise ValueError("model must have an Affine as its first layer with parameters")
    units = np.argsort(-np.linalg.norm(first.w, axis=0), kind="stable")
    weights = first.w.T[np.sort(units[: positive_int("count", count)])]
    images = around_grey(weights)

    columns = math.ceil(math.sqrt(len(images)))
    lines = math.ceil(len(images) / columns)
    height = CELL * lines * shape[-2] / shape[-1]
    figure = _figure(max(CELL * columns, 3.5), max(height, 1.0), title)
    axes = figure.subplots()
    tiles = tiled(images, shape, columns)
    axes.imshow(tiles, cmap="RdBu_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def _figure(width: float, height: float, title: str) -> "Figure":
    return new_figure(width, height + (TITLE if title else 0), title)


def _image_shape(model: Sequential, given: Sequence[int] | None) -> tuple[int, ...]:
    """(height, width), or (3, height, width) for colour."""
    shape = checked_image_shape(given, math.prod(model.input_shape), model.input_shape)
    if len(shape) == 3 and shape[0] not in (1, 3):
        raise ValueError(f"image_shape must have 1 or 3 channels; got {shape}")
    return shape[1:] if shape[0] == 1 and len(shape) == 3 else shape


def _scaled(images: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((images - low) / ((high - low) or 1), 0, 1)


def around_grey(weights: np.ndarray) -> np.ndarray:
    """Rows of weights in [0, 1], each by a scale of its own, with zero in the middle."""
    most = np.abs(weights).max(axis=1, keepdims=True)
    return 0.5 + 0.5 * weights / np.where(most > 0, most, 1)


def tiled(images: np.ndarray, shape: tuple[int, ...], columns: int) -> np.ndarray:
    """Images (N, pixels) side by side on one; what is left over is not drawn (NaN)."""
    channels = shape[:-2]
    height, width = (axis + GAP for axis in shape[-2:])
    lines = math.ceil(len(images) / columns)
    sheet = np.full((*channels, lines * height - GAP, columns * width - GAP), np.nan)
    for number, image in enumerate(images.reshape(-1, *shape)):
        top, left = number // columns * height, number % columns * width
        sheet[..., top : top + shape[-2], left : left + shape[-1]] = image
    if not channels:
        return sheet
    return np.nan_to_num(np.moveaxis(sheet, 0, -1), nan=1.0)  # colours know no NaN: white
