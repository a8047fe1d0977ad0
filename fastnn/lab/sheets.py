"""Images in the panels of a picture: for pictures that hold more than one sheet of them."""

import math
from typing import TYPE_CHECKING

import numpy as np

from fastnn.lab.images import around_grey, tiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_images(axes: "Axes", images: np.ndarray, columns: int, title: str = "") -> None:
    """Square images side by side, white on black.

    Parameters
    ----------
    axes : Axes
    images : ndarray, (N, pixels)
        In [0, 1]; what lies beyond is drawn as its nearest end.
    columns : int
    title : str
    """
    _draw(axes, np.clip(images, 0, 1), columns, title, "gray")


def draw_features(axes: "Axes", w: np.ndarray, columns: int, count: int, title: str = "") -> None:
    """What the first units of a first layer look for: red adds, blue takes away.

    Parameters
    ----------
    axes : Axes
    w : ndarray, (pixels, units)
        The layer's weights; each unit has a scale of its own.
    columns, count : int
        Images in a line, and in all.
    title : str
    """
    _draw(axes, around_grey(w.T[:count]), columns, title, "RdBu_r")


def _draw(axes: "Axes", images: np.ndarray, columns: int, title: str, colours: str) -> None:
    side = math.isqrt(images.shape[1])
    sheet = tiled(images, (side, side), columns)
    axes.imshow(sheet, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize="small", loc="left", pad=4)
    axes.set_axis_off()
