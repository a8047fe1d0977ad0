"""What a search draws from."""

import numpy as np
import pytest
from scipy import stats

from fastnn.lab.space import Choices, Range, read_space


def one(entry, name="a"):
    return read_space({name: entry})[name]


def draws(dimension, n=2000):
    rng = np.random.default_rng(1)
    return [dimension.draw(rng) for _ in range(n)]


@pytest.mark.parametrize(
    ("name", "log"),
    [
        *[(name, True) for name in ("lr", "weight_decay", "l2_strength", "adam_lr")],
        *[(name, False) for name in ("momentum", "l10", "lr_steps", "color")],
    ],
)
def test_learning_rates_and_penalties_are_drawn_by_magnitude(name, log):
    dimension = one((1e-5, 1e-1), name)
    assert dimension.log == log
    values = draws(dimension)
    assert 1e-5 <= min(values) < max(values) <= 1e-1
    # Below the middle of the magnitudes, 1e-3, lies half of them, or the hundredth.
    assert np.mean(np.array(values) < 1e-3) == pytest.approx(0.5 if log else 0.01, abs=0.04)


def test_a_range_of_integers_has_integers_and_both_ends():
    dimension = one((3, 6))
    values = draws(dimension)
    assert all(type(value) is int for value in values)
    assert np.bincount(values)[3:].tolist() == pytest.approx([500] * 4, rel=0.2)
    assert all(type(value) is float for value in draws(one((3, 6.0)), 5))
    assert all(type(value) is float for value in draws(one((1, 6), "lr"), 5))


def test_choices_are_drawn_alike_and_stay_as_they_are():
    values = [[100], [50, 50], None]
    drawn = draws(one(values))
    assert all(any(value is choice for choice in values) for value in drawn)
    assert sum(value is None for value in drawn) == pytest.approx(667, rel=0.1)


@pytest.mark.parametrize(
    "frozen", [stats.loguniform(1e-4, 1e-1), stats.norm(3, 2), stats.randint(2, 9)]
)
def test_draws_follow_a_distribution(frozen):
    values = np.array(draws(one(frozen)))
    expected = frozen.ppf([0.25, 0.5, 0.75])
    for value, share in zip(expected, (0.25, 0.5, 0.75), strict=True):
        assert np.mean(values <= value) == pytest.approx(frozen.cdf(value), abs=0.04), share
    assert one(stats.loguniform(1e-4, 1e-1)).log


def test_draws_of_a_narrowed_distribution_stay_within():
    normal = one(stats.norm()).narrowed([0.5, 0.1, -0.2])
    assert -0.2 <= min(draws(normal)) < max(draws(normal)) <= 0.5
    counts = one(stats.poisson(4)).narrowed([3, 5])
    assert set(draws(counts)) == {3, 4, 5}


def test_grids():
    assert one((1e-4, 1e-1), "lr").grid(4) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert one((0.0, 1.0)).grid(3) == [0.0, 0.5, 1.0]
    assert one((1, 3)).grid(7) == [1, 2, 3]
    assert one(["a", "b"]).grid(7) == ["a", "b"]
    assert one(stats.uniform(0, 4)).grid(2) == pytest.approx([1, 3])


def test_ranges_are_narrowed_to_the_best_and_a_tenth_more_but_never_widened():
    narrow = one((0.0, 1.0)).narrowed([0.4, 0.6, 0.5])
    assert (narrow.low, narrow.high) == pytest.approx((0.38, 0.62))
    narrow = one((1e-6, 1e0), "lr").narrowed([1e-6, 1e-3])
    assert narrow.log
    assert (narrow.low, narrow.high) == pytest.approx((1e-6, 10**-2.7))
    assert one([4, 5, 6]).narrowed([6, 4, 4]).values == [4, 6]
    assert one((2, 5)).narrowed([3, 3]).values == [3]


@pytest.mark.parametrize(
    ("entry", "value", "edge"),
    [
        ((0.0, 1.0), 0.5, None),
        ((0.0, 1.0), 0.04, "lower"),
        ((0.0, 1.0), 0.96, "upper"),
        ([1, 2, 4], 4, "upper"),
        ([1, 2, 4], 2, None),
        ([1, 2], 2, None),
        (["a", "b", "c"], "a", None),
        ([True, False, 1], 1, None),
        (stats.uniform(0, 1), 0.99, "upper"),
        (stats.norm(), 5.0, None),
        (stats.expon(), 0.01, "lower"),
        (stats.expon(), 9.0, None),
    ],
)
def test_edges(entry, value, edge):
    assert one(entry).edge(value) == edge


def test_edges_of_magnitudes():
    dimension = Range(1e-6, 1e-1, log=True)
    assert dimension.edge(1e-4) is None  # though it lies within the first thousandth
    assert dimension.edge(1.2e-6) == "lower"


@pytest.mark.parametrize(
    ("space", "error", "words"),
    [
        ({}, ValueError, "at least one parameter"),
        ([("lr", (1, 2))], TypeError, "space must be a mapping"),
        ({1: (0, 1)}, TypeError, "strings; got 1"),
        ({"seed": (0, 1)}, ValueError, "'seed'"),
        ({"a": ()}, TypeError, "'a'.*got \\(\\)"),
        ({"a": "relu"}, TypeError, "'a'.*got 'relu'"),
        ({"a": []}, ValueError, "at least one choice"),
        ({"a": (2, 1)}, ValueError, "low below high"),
        ({"a": (1, np.inf)}, ValueError, "finite"),
        ({"a": ("x", "y")}, TypeError, "number"),
        ({"lr": (0.0, 1.0)}, ValueError, "logarithmic"),
        ({"a": stats.norm}, TypeError, "frozen"),
    ],
)
def test_mistakes_are_named(space, error, words):
    with pytest.raises(error, match=words):
        read_space(space, taken=["seed"])


def test_reprs_say_the_range():
    assert repr(one((1e-5, 1.0))) == "(1e-05, 1)"
    assert repr(Choices([1, 2])) == "[1, 2]"
    assert repr(one(stats.loguniform(1e-5, b=1))) in (
        "loguniform(1e-05, b=1)",
        "reciprocal(1e-05, b=1)",
    )
