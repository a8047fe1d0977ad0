"""Charts as SVG in a page, in the page's own colours: light, dark, and on paper.

matplotlib's pictures have their colours, their fonts and what they call their parts fixed, so that
several in one page get in each other's way and none of them follows a dark page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastnn.markup import Markup, markup

WIDTH, HEIGHT = 420, 290  # of a picture, in units that are pixels at its full width
MARGIN = 0.04  # of an axis, beyond the values on it
# Colours of series, which the page gives: .s0, .s1 ...; as many as can be told apart.
SERIES = 7
POINTS = 600  # of a line, at most

Points = Sequence[tuple[float, float]] | np.ndarray


@dataclass(frozen=True)
class Axis:
    """What an axis stands for.

    Attributes
    ----------
    label : str
    low, high : float
        Its ends; equal ones are moved apart.
    log : bool
        Logarithmic; both ends above 0.
    whole : bool
        Ticks at whole numbers only.
    """

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @classmethod
    def around(
        cls,
        label: str,
        values: Sequence[float] | np.ndarray,
        *,
        log: bool = False,
    ) -> "Axis":
        """An axis that holds all finite values, with some space beyond them.

        It is logarithmic only if asked for and no value is 0 or below.
        """
        array = np.asarray(values, dtype=float)
        array = array[np.isfinite(array)]
        low, high = (float(array.min()), float(array.max())) if len(array) else (0.0, 1.0)
        log = log and low > 0
        if log:
            space = (high / low) ** MARGIN
            return cls(label, low / space, high * space, log=True)
        space = MARGIN * (high - low)
        return cls(label, low - space, high + space)

    def at(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Round values between the ends, and how they are written."""
        if self.log:
            values = _log_ticks(self.low, self.high)
            if len(values) > 1:
                return [(value, f"{value:g}") for value in values]
        if not self.high > self.low:
            return [(self.low, f"{self.low:.4g}")]
        step = _step((self.high - self.low) / 5)
        if self.whole:
            step = max(step, 1.0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(n * step, _tick_text(n * step, step)) for n in range(first, last + 1)]


def _step(least: float) -> float:
    """The least of 1, 2, 5, 10, 20 ... that is no less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in (1, 2, 5, 10, 20) if n * power >= least * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [n * 10.0**power for power in powers for n in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 8:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 6)]


def _tick_text(value: float, step: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or step < 1e-4:
        return f"{value:.4g}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


class Chart:
    """Lines, dots and bars on two axes.

    Parameters
    ----------
    alt : str
        What the picture shows, for those who do not see it.
    x, y : Axis
    square : bool
        Both axes of one length.
    """

    def __init__(self, alt: str, x: Axis, y: Axis, *, square: bool = False) -> None:
        self._alt, self._x, self._y = alt, x, y
        self._width, self._height = (340, 340) if square else (WIDTH, HEIGHT)
        longest = max((len(text) for _, text in y.ticks()), default=1)
        self._left, self._right = 26 + 7 * longest, self._width - 12
        self._top, self._bottom = 18, self._height - 44
        self._parts: list[str] = []
        self._key: list[str] = []

    def line(self, points: Points, series: int, label: str = "", *, dots: bool = False) -> None:
        """A line through points; where one of them is not finite, it is broken.

        Parameters
        ----------
        points : sequence of (x, y)
            Of very many, some are drawn, the last one among them.
        series : int
            Gives the colour, and dashes to every second one, for those who see no colours.
        label : str
        dots : bool
            Mark each point, too.
        """
        drawn = thinned(points, POINTS)
        path, pen = [], "M"
        for x, y in drawn:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            path.append(f"{pen}{self._across(x):.1f} {self._down(y):.1f}")
            pen = "L"
        look = f"s{series % SERIES}{' dash' if series % 2 else ''}"
        self._parts.append(f'<path class="line {look}" d="{"".join(path)}"/>')
        if dots or len(path) == 1:
            self._dots(drawn, 3.5, look)
        self._add_key("line", look, label)

    def dots(self, points: Points, label: str = "") -> None:
        """A cloud of points; the more there are, the more of what lies below shows through."""
        self._dots(points, 2.2, "s0 cloud" if len(points) > 300 else "s0")
        self._add_key("dot", "s0", label)

    def bars(self, edges: np.ndarray, heights: np.ndarray) -> None:
        """A bar from each edge to the next, standing on the axis."""
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            x, end, top = self._across(left), self._across(right), self._down(height)
            if height > 0:
                self._parts.append(
                    f'<rect class="bar" x="{x:.1f}" y="{top:.1f}" '
                    f'width="{max(end - x - 1, 0.5):.1f}" height="{self._bottom - top:.1f}"/>'
                )

    def reference(self, points: Points, label: str = "") -> None:
        """A thin dotted line to compare with."""
        (x1, y1), (x2, y2) = points
        self._parts.append(
            f'<path class="reference" d="M{self._across(x1):.1f} {self._down(y1):.1f}'
            f'L{self._across(x2):.1f} {self._down(y2):.1f}"/>'
        )
        self._add_key("line", "reference", label)

    def mark(self, x: float, label: str) -> None:
        """An upright line with words on top."""
        at = self._across(x)
        anchor = "start" if self._x.at(x) < 0.2 else "end" if self._x.at(x) > 0.8 else "middle"
        self._parts.append(
            f'<path class="mark" d="M{at:.1f} {self._top}V{self._bottom}"/>'
            f'<text class="mark" x="{at:.1f}" y="{self._top - 6}" text-anchor="{anchor}">'
            f"{markup(label)}</text>"
        )

    def figure(self, title: str, caption: str = "") -> Markup:
        """The picture with a title, a key where series have labels, and a caption."""
        key = f'<ul class="key">{"".join(self._key)}</ul>' if self._key else ""
        return framed(self._svg(), title, caption, key)

    def _svg(self) -> Markup:
        return svg(self._width, self._height, self._alt, [*self._axes(), *self._parts])

    def _axes(self) -> list[str]:
        grid, texts = [], []
        for value, text in self._x.ticks():
            at = self._across(value)
            texts.append(_text(at, self._bottom + 17, text, "middle"))
            grid.append(f"M{at:.1f} {self._top}V{self._bottom}")
        for value, text in self._y.ticks():
            at = self._down(value)
            texts.append(_text(self._left - 6, at + 4, text, "end"))
            grid.append(f"M{self._left} {at:.1f}H{self._right}")
        middle = (self._top + self._bottom) / 2
        return [
            f'<path class="grid" d="{"".join(grid)}"/>',
            f'<path class="axis" d="M{self._left} {self._top}V{self._bottom}H{self._right}"/>',
            *texts,
            _text((self._left + self._right) / 2, self._height - 8, self._x.label, "middle"),
            f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle">'
            f"{markup(self._y.label)}</text>",
        ]

    def _dots(self, points: Points, radius: float, look: str) -> None:
        # A path of zero length with round ends is a dot, in a third of the bytes of a circle.
        path = "".join(
            f"M{self._across(x):.1f} {self._down(y):.1f}h0"
            for x, y in points
            if math.isfinite(x) and math.isfinite(y)
        )
        self._parts.append(f'<path class="dots {look}" stroke-width="{2 * radius}" d="{path}"/>')

    def _add_key(self, kind: str, look: str, label: str) -> None:
        if not label:
            return
        shapes = {
            "line": f'<path class="line {look}" d="M1 6H23"/>',
            "dot": f'<path class="dots {look}" stroke-width="7" d="M12 6h0"/>',
        }
        self._key.append(
            f'<li><svg viewBox="0 0 24 12" aria-hidden="true">{shapes[kind]}</svg>'
            f"{markup(label)}</li>"
        )

    def _across(self, x: float) -> float:
        return self._left + self._x.at(x) * (self._right - self._left)

    def _down(self, y: float) -> float:
        return self._bottom - self._y.at(y) * (self._bottom - self._top)


def svg(width: float, height: float, alt: str, parts: Iterable[str]) -> Markup:
    """A picture that a page holds; `alt` says what it shows."""
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{markup(alt)}"'
        # Words of all pictures are of one size.
        f' style="max-width:{max(1.15 * width, 380):.0f}px">\n' + "\n".join(parts) + "\n</svg>"
    )


def framed(picture: Markup, title: str, caption: str = "", key: str = "") -> Markup:
    """A picture beneath its title, above its key and what is to be said of it."""
    words = f"<figcaption>{markup(caption)}</figcaption>" if caption else ""
    return Markup(f"<figure><h3>{markup(title)}</h3>\n{picture}{key}{words}</figure>")


def thinned(points: Points, most: int) -> Points:
    """Every so manieth point, and the last, such that there are no more than `most` by much."""
    if len(points) <= most:
        return points
    every = math.ceil(len(points) / most)
    kept = np.arange(0, len(points), every)
    if kept[-1] != len(points) - 1:
        kept = np.append(kept, len(points) - 1)
    return np.asarray(points)[kept]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{markup(text)}</text>'
