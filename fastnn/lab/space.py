"""What a search draws from: ranges, choices, and the distributions of SciPy.

SciPy's statistics are loaded by whoever makes one of its distributions, not here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.checks import real_in

# The last words of names whose sizes matter, not their differences: learning rates and penalties
# are searched on a logarithmic scale.
LOG_NAMES = ("lr", "learning_rate", "weight_decay", "l1", "l2", "strength", "penalty")

# How near the end of its range a best value is at its edge, as a share of the range.
EDGE = 0.05

# By how much a narrowed range goes beyond the values it was narrowed to, as a share of them.
PADDING = 0.1


class Dimension:
    """One parameter of a search.

    Attributes
    ----------
    log : bool
        Whether it is searched, and drawn, on a logarithmic scale.
    """

    log = False

    def draw(self, rng: np.random.Generator) -> Any:
        """A value at random."""
        raise NotImplementedError  # abstract: every subclass has its own

    def grid(self, points: int) -> list[Any]:
        """Values that cover all of it; choices are all taken, whatever `points` is."""
        raise NotImplementedError  # abstract: every subclass has its own

    def narrowed(self, values: Sequence[Any]) -> "Dimension":
        """What lies around some values of it."""
        raise NotImplementedError  # abstract: every subclass has its own

    def edge(self, value: Any) -> str | None:
        """Which end a value lies at, "lower" or "upper", if at any."""
        raise NotImplementedError  # abstract: every subclass has its own


class Range(Dimension):
    """Numbers from `low` to `high`, each, or with ``log`` each order of magnitude, as likely.

    Parameters
    ----------
    low, high : float
        The ends; both belong to the range.
    log : bool
    integer : bool
        Whole numbers only.
    """

    def __init__(self, low: float, high: float, log: bool = False, integer: bool = False) -> None:
        self.low, self.high, self.log, self.integer = low, high, log, integer

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def _value(self, scaled: float) -> Any:
        value = math.exp(scaled) if self.log else scaled
        # exp(log(high)) may lie beyond high by rounding.
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else value

    def draw(self, rng: np.random.Generator) -> Any:
        if self.integer:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        return self._value(rng.uniform(self._scaled(self.low), self._scaled(self.high)))

    def grid(self, points: int) -> list[Any]:
        scaled = np.linspace(self._scaled(self.low), self._scaled(self.high), points)
        return list(dict.fromkeys(self._value(float(place)) for place in scaled))

    def narrowed(self, values: Sequence[Any]) -> Dimension:
        low, high = self._scaled(min(values)), self._scaled(max(values))
        padding = PADDING * (high - low)
        low, high = self._value(low - padding), self._value(high + padding)
        return Range(low, high, self.log, self.integer) if low < high else Choices([low])

    def edge(self, value: Any) -> str | None:
        low, high = self._scaled(self.low), self._scaled(self.high)
        return _end((self._scaled(value) - low) / (high - low))

    def __repr__(self) -> str:
        return f"({self.low:g}, {self.high:g})"


class Choices(Dimension):
    """Some values, each as likely.

    Parameters
    ----------
    values : sequence
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.integers(len(self.values)))]

    def grid(self, points: int) -> list[Any]:
        return self.values

    def narrowed(self, values: Sequence[Any]) -> "Choices":
        return Choices([value for value in self.values if value in values])

    def edge(self, value: Any) -> str | None:
        # Of two numbers each is an end, and of names none.
        if len(self.values) < 3 or not all(_is_number(choice) for choice in self.values):
            return None
        ends = {min(self.values): "lower", max(self.values): "upper"}
        return ends.get(value)

    def __repr__(self) -> str:
        return repr(self.values)


class Distribution(Dimension):
    """A frozen distribution of `scipy.stats`, or the part of it from `low` to `high`.

    Parameters
    ----------
    frozen : rv_frozen
        Such as ``scipy.stats.norm(0, 2)``.
    low, high : float
    """

    def __init__(self, frozen: Any, low: float = -math.inf, high: float = math.inf) -> None:
        self.frozen, self.low, self.high = frozen, low, high
        self.log = getattr(frozen.dist, "name", "") in ("loguniform", "reciprocal", "lognorm")
        self._discrete = hasattr(frozen, "pmf")
        # Probabilities below the part, and up to its end.
        self._from = float(frozen.cdf(low - 1 if self._discrete else low))
        self._to = float(frozen.cdf(high))

    def _at(self, share: float) -> Any:
        """The value below which this share of the part lies."""
        value = self.frozen.ppf(self._from + share * (self._to - self._from))
        return int(value) if self._discrete else float(value)

    def draw(self, rng: np.random.Generator) -> Any:
        return self._at(rng.uniform())

    def grid(self, points: int) -> list[Any]:
        middles = (np.arange(points) + 0.5) / points
        return list(dict.fromkeys(self._at(float(middle)) for middle in middles))

    def narrowed(self, values: Sequence[Any]) -> Dimension:
        low, high = min(values), max(values)
        return Distribution(self.frozen, low, high) if low < high else Choices([low])

    def edge(self, value: Any) -> str | None:
        low, high = self.frozen.support()
        low, high = max(low, self.low), min(high, self.high)
        end = _end((float(self.frozen.cdf(value)) - self._from) / (self._to - self._from))
        # A tail without an end has no edge.
        return (
            end if math.isfinite({"lower": low, "upper": high}.get(end or "", math.inf)) else None
        )

    def __repr__(self) -> str:
        arguments = [f"{value:g}" for value in self.frozen.args]
        arguments += [f"{name}={value:g}" for name, value in self.frozen.kwds.items()]
        return f"{self.frozen.dist.name}({', '.join(arguments)})"


def read_space(space: Mapping[str, Any], taken: Sequence[str] = ()) -> dict[str, Dimension]:
    """The dimensions that a user's space describes.

    Parameters
    ----------
    space : mapping of str to range, choices or distribution
        A tuple ``(low, high)`` is a range: of whole numbers where both are, and on a logarithmic
        scale where the name ends with one of `LOG_NAMES`. A list holds choices. Anything with
        ``ppf``, ``cdf`` and ``support`` is a frozen distribution of `scipy.stats`.
    taken : sequence of str
        Names that parameters cannot have.

    Raises
    ------
    TypeError, ValueError
        The space is empty or no mapping, a name is taken, or an entry is none of these; the message
        names it.
    """
    if not isinstance(space, Mapping):
        raise TypeError(f"space must be a mapping of names to ranges; got {space!r}")
    if not space:
        raise ValueError("space must have at least one parameter; got none")
    for name in space:
        if not isinstance(name, str):
            raise TypeError(f"space must have names that are strings; got {name!r}")
        if name in taken:
            raise ValueError(f"space cannot have a parameter {name!r}: the table has that column")
    return {name: _dimension(name, entry) for name, entry in space.items()}


def _dimension(name: str, entry: Any) -> Dimension:
    if all(hasattr(entry, method) for method in ("ppf", "cdf", "support")) and hasattr(
        entry, "dist"
    ):
        return Distribution(entry)
    if isinstance(entry, list):
        if not entry:
            raise ValueError(f"space[{name!r}] must have at least one choice; got []")
        return Choices(entry)
    if not isinstance(entry, tuple) or len(entry) != 2:
        raise TypeError(
            f"space[{name!r}] must be a range (low, high), a list of choices, or a frozen "
            f"distribution of scipy.stats; got {entry!r}"
        )
    low, high = (real_in(f"space[{name!r}]", end) for end in entry)
    if not low < high:
        raise ValueError(f"space[{name!r}] must have low below high; got {entry!r}")
    if name in LOG_NAMES or name.endswith(tuple(f"_{word}" for word in LOG_NAMES)):
        if low <= 0:
            raise ValueError(
                f"space[{name!r}] is searched on a logarithmic scale, so low must be above 0; got "
                f"{entry!r}. For a linear one give scipy.stats.uniform(low, high - low)"
            )
        return Range(low, high, log=True)
    if all(isinstance(end, (int, np.integer)) for end in entry):
        return Range(int(low), int(high), integer=True)
    return Range(low, high)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _end(place: float) -> str | None:
    """The end that a place in [0, 1] lies at, if any."""
    if place <= EDGE:
        return "lower"
    return "upper" if place >= 1 - EDGE else None
