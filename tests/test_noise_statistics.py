"""The noise behaves as independent draws: moments, tails, distribution, no structure.

Everything is deterministic. Each bound is one that independent draws exceed less than once in 10^6
times; `test_weak_noise_is_caught` shows that the bounds are narrow enough.
"""

import math

import numpy as np
import pytest
from checker import fails
from scipy import stats

from fastnn._kernels import reference
from fastnn.backend import get_backend

N = 1 << 20
SIGMAS = 5.0
KEYS = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**62, 2**40, 5)]


def reference_noise(seed, step, layer, n=N):
    out = np.empty(n)
    reference.gaussian_noise_forward(np.zeros(n), 1.0, seed, step, layer, out)
    return out


# -- checks: each takes the draw to check ----------------------------------------------------------


def check_moments(draw):
    """Mean, variance, skewness and kurtosis, each with the spread that it has for N draws."""
    for key in KEYS:
        z = draw(*key)
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            off = ((z**power).mean() - moment) / math.sqrt(variance / len(z))
            assert abs(off) < SIGMAS, f"{key}: moment {power} is {off:.1f} sigmas off"


def check_tails(draw):
    """As many beyond each of these as a normal distribution has, on either side."""
    z = np.concatenate([draw(*key) for key in KEYS])
    for bound in (0.5, 1, 2, 3, 4, 4.25):
        share = stats.norm.sf(bound)
        sigma = math.sqrt(len(z) * share * (1 - share))
        for beyond in ((z > bound).sum(), (z < -bound).sum()):
            # Half a count: the few far out are Poisson, not normal.
            assert abs(beyond - len(z) * share) < SIGMAS * sigma + 0.5, bound
    assert np.abs(z).max() < 5.8


def check_distribution(draw):
    """Kolmogorov and Smirnov's distance from the normal distribution, and 256 equal bins."""
    for key in KEYS:
        p = stats.norm.cdf(draw(*key))
        assert stats.kstest(p, "uniform").pvalue > 1e-6, key
        counts = np.bincount((p * 256).astype(int), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-6, key


def check_neighbours(draw):
    """Elements at a distance: next to each other, below each other, a power of two apart."""
    z = draw(3, 2, 1)
    for lag in sorted({*range(1, 17), 99, 100, 784, *(1 << k for k in range(16))}):
        for a in (z, np.abs(z) - math.sqrt(2 / math.pi)):
            product = a[:-lag] * a[lag:]
            off = product.sum() / math.sqrt(np.square(product).sum())
            assert abs(off) < SIGMAS, f"elements {lag} apart: {off:.1f} sigmas"


def check_keys(draw):
    """One step, layer or seed more, one bit, or two parts exchanged: independent noise."""
    base = (12345, 678, 3)
    z = draw(*base)
    others = [(12346, 678, 3), (12345, 679, 3), (12345, 678, 4), (678, 12345, 3)]
    others += [(12345 ^ (1 << bit), 678, 3) for bit in range(0, 63, 9)]
    others += [(12345, 678 ^ (1 << bit), 3) for bit in range(0, 63, 9)]
    for key in others:
        off = float(z @ draw(*key)) / math.sqrt(len(z))
        assert abs(off) < SIGMAS, f"keys {base} and {key}: {off:.1f} sigmas"


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_noise_is_normal_and_independent(check):
    check(reference_noise)


# -- noise that one might believe to be good enough ------------------------------------------------


def uniform(seed, step, layer):
    """Of the right mean and variance."""
    return math.sqrt(12) * (stats.norm.cdf(reference_noise(seed, step, layer)) - 0.5)


def sum_of_four(seed, step, layer):
    """The central limit theorem, not far enough."""
    total = sum(stats.norm.cdf(reference_noise(seed + 1000 * i, step, layer)) for i in range(4))
    return (total - 2) * math.sqrt(3)


def one_hash(seed, step, layer):
    """Radius and angle from the bits of one hash that overlap."""
    h = reference._element_hashes(N, *reference._dropout_key(seed, step, layer))
    u = ((h >> np.uint32(8)) + 1.0) * 2.0**-24
    v = (h & np.uint32(0xFFFFFF)) * 2.0**-24
    v = np.where(h >> np.uint32(31), v, u)
    return np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)


def short_tails(seed, step, layer):
    """Thirteen bits for the radius: sqrt(2 * 13 log 2) is 4.245."""
    return np.clip(reference_noise(seed, step, layer), -4.245, 4.245)


def one_percent_too_wide(seed, step, layer):
    return 1.01 * reference_noise(seed, step, layer)


def without_layer(seed, step, layer):
    return reference_noise(seed, step, 0)


def short_period(seed, step, layer):
    return np.resize(reference_noise(seed, step, layer, 1 << 15), N)


@pytest.mark.parametrize(
    "weak",
    [
        uniform,
        sum_of_four,
        one_hash,
        short_tails,
        one_percent_too_wide,
        without_layer,
        short_period,
    ],
    ids=lambda weak: weak.__name__,
)
def test_weak_noise_is_caught(weak):
    assert any(fails(check, weak) for check in CHECKS)


# -- the backends ----------------------------------------------------------------------------------


def test_every_backend_draws_the_same_noise(backend, dtype):
    """Of 10^6 elements: also the radius at its ends, and every quarter of the angle."""
    kernels = get_backend(backend).kernels
    x = np.zeros(N, dtype)
    out = np.empty_like(x)
    kernels.gaussian_noise_forward(x, 1.0, 5, 6, 7, out)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(out, reference_noise(5, 6, 7), rtol=0, atol=4 * 6 * eps)


def test_masking_noise_draws_the_masks_of_dropout(backend):
    """Whose statistics are tested."""
    kernels = get_backend(backend).kernels
    x = np.full((300, 50), 3.0)
    masks = np.empty((2, *x.shape), np.uint8)
    out = np.empty_like(x)
    kernels.dropout_forward(x, 0.4, 5, 6, 7, masks[0], out)
    kernels.masking_noise_forward(x, 0.4, 5, 6, 7, masks[1], out)
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(out, 3.0 * masks[1])
