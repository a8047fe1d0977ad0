"""The dropout masks behave as independent draws: rate, independence, no structure.

Everything is deterministic. Each bound is one that independent draws exceed less than once in 10^6
times; `test_weak_masks_are_caught` shows that the bounds are narrow enough.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from checker import fails

from fastnn._kernels import reference

# mask = draw(seed, step, layer, number of elements, ratio)
Key = tuple[int, int, int]
Draw = Callable[[int, int, int, int, float], np.ndarray]

N = 1 << 16
SIGMAS = 5.0
BITS = tuple(range(63))


def reference_mask(seed: int, step: int, layer: int, n: int, ratio: float = 0.5) -> np.ndarray:
    mask, x = np.empty(n, np.uint8), np.zeros(n, np.float32)
    reference.dropout_forward(x, ratio, seed, step, layer, mask, np.empty_like(x))
    return mask


# --------------------------------------------------------------------------------------------------
# Statistics
# --------------------------------------------------------------------------------------------------


def assert_chi_square(statistic: float, freedom: int, what: str) -> None:
    """Neither too large, which is bias, nor too small, which is a pattern.

    Wilson and Hilferty's cube root is normal to a good approximation for 3 degrees and more.
    """
    spread = 2 / (9 * freedom)
    z = (np.cbrt(statistic / freedom) - (1 - spread)) / math.sqrt(spread)
    assert abs(z) < SIGMAS, f"{what}: chi-square {statistic:.1f} of {freedom} degrees"


def bin_chi_square(counts: np.ndarray, expected: np.ndarray | float) -> float:
    return float((np.square(counts - expected) / expected).sum())


def centred(mask: np.ndarray, ratio: float = 0.5) -> np.ndarray:
    """Of mean 0 and variance 1 if the mask has the rate that was asked for."""
    return (mask - (1 - ratio)) / math.sqrt(ratio * (1 - ratio))


def assert_uncorrelated(a: np.ndarray, b: np.ndarray, ratio: float, what: str) -> None:
    z = float(centred(a, ratio) @ centred(b, ratio)) / math.sqrt(a.size)
    assert abs(z) < SIGMAS, f"{what}: correlation {z / math.sqrt(a.size):.4f}, z = {z:.1f}"


# --------------------------------------------------------------------------------------------------
# Checks: each takes the draw to check
# --------------------------------------------------------------------------------------------------


def check_rate(draw: Draw) -> None:
    n = 1 << 20
    for ratio in (0.01, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.8, 0.99):
        dropped = n - int(draw(1, 1, 1, n, ratio).sum())
        sigma = math.sqrt(n * ratio * (1 - ratio))
        assert abs(dropped - n * ratio) < SIGMAS * sigma, f"ratio {ratio}: {dropped / n}"


def check_rate_varies_as_it_should(draw: Draw) -> None:
    """Over many masks the number kept is binomial: not off, and not always exactly right."""
    n, ratio = 5000, 0.3
    keys = [(seed, step, 0) for seed in range(10) for step in range(20)]
    kept = np.array([draw(*key, n, ratio).sum() for key in keys])
    z = (kept - n * (1 - ratio)) / math.sqrt(n * ratio * (1 - ratio))
    assert_chi_square(float(np.square(z).sum()), len(keys), "number kept")


def check_hash_is_uniform(draw: Draw) -> None:
    """The share dropped at every ratio is the distribution of the hash below: 64 equal bins."""
    bins = 64
    keys: list[Key] = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**62, 2**40, 5)]
    for key in keys:
        dropped = [N - int(draw(*key, N, i / bins).sum()) for i in range(bins)]
        counts = np.diff([*dropped, N])
        assert_chi_square(bin_chi_square(counts, N / bins), bins - 1, f"hash of {key}")


def check_neighbours(draw: Draw) -> None:
    """Elements at a distance: next to each other, below each other, a power of two apart."""
    lags = sorted({*range(1, 33), 99, 100, 101, 784, 1000, *(1 << k for k in range(16))})
    for ratio in (0.2, 0.5):
        mask = draw(3, 2, 1, N, ratio)
        for lag in lags:
            assert_uncorrelated(mask[:-lag], mask[lag:], ratio, f"elements {lag} apart")


def check_patterns_along_elements(draw: Draw) -> None:
    """All 256 patterns of eight elements in a row come equally often."""
    keys: list[Key] = [(0, 0, 0), (5, 1000, 2), (2**63 - 1, 0, 0)]
    for key in keys:
        patterns = np.packbits(draw(*key, 8 * N, 0.5))
        counts = np.bincount(patterns, minlength=256)
        assert_chi_square(bin_chi_square(counts, N / 256), 255, f"patterns of {key}")


def _moved(key: Key, part: int, delta: int) -> Key:
    """The key with its seed (part 0), step or layer changed by delta."""
    seed, step, layer = (value + delta * (i == part) for i, value in enumerate(key))
    return seed, step, layer


def check_patterns_along_keys(draw: Draw) -> None:
    """So do those of one element at eight consecutive steps, layers or seeds."""
    for part in range(3):
        keys = [_moved((7, 8, 9), part, i) for i in range(8)]
        masks = np.array([draw(*key, N, 0.5) for key in keys])
        counts = np.bincount(np.packbits(masks, axis=0)[0], minlength=256)
        what = f"patterns over eight values of {('seed', 'step', 'layer')[part]}"
        assert_chi_square(bin_chi_square(counts, N / 256), 255, what)


def _neighbouring_keys(base: Key) -> Iterator[Key]:
    seed, step, layer = base
    for part in range(3):
        flips = [(base[part] ^ (1 << bit)) - base[part] for bit in BITS]
        yield from (_moved(base, part, delta) for delta in (1, 2, 3, *flips))
    yield from ((step, seed, layer), (layer, step, seed), (seed, layer, step))
    yield from ((seed + 1, step - 1, layer), (seed, step - 1, layer + 1))


def check_keys_that_differ_little(draw: Draw) -> None:
    """One bit, one step, two parts exchanged, or a sum kept: the masks are independent."""
    base = (12345, 678, 3)
    for ratio in (0.2, 0.5):
        mask = draw(*base, N, ratio)
        for key in _neighbouring_keys(base):
            assert_uncorrelated(mask, draw(*key, N, ratio), ratio, f"keys {base} and {key}")


def check_joint_counts(draw: Draw) -> None:
    """Kept and dropped in two masks, cell by cell, against the product of the two rates."""
    ratio = 0.3
    shares = np.outer([ratio, 1 - ratio], [ratio, 1 - ratio]).ravel()
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
        joint = 2 * draw(0, 0, 0, N, ratio).astype(np.int64) + draw(*other, N, ratio)
        counts = np.bincount(joint, minlength=4)
        assert_chi_square(bin_chi_square(counts, N * shares), 3, f"masks of (0, 0, 0) and {other}")


def _walsh_hadamard(x: np.ndarray) -> np.ndarray:
    """The transform that turns products over i, i ^ c into products of elements."""
    x, width = x.copy(), 1
    while width < x.size:
        pairs = x.reshape(-1, 2, width)
        x = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
        width *= 2
    return x


def check_no_mask_is_itself_or_another_one_moved(draw: Draw) -> None:
    """Correlations at every distance at once, cyclic (i + c) and by bits (i ^ c)."""
    n = 1 << 18
    base = centred(draw(0, 10, 0, n, 0.5))
    # The largest of 2 n normal numbers is below this but for one time in 10^6.
    bound = math.sqrt(2 * math.log(2 * n * 1e6) * n)
    for key in ((0, 10, 0), (0, 11, 0), (0, 10, 1), (1, 10, 0), (0, 74, 0), (10, 0, 0), (0, 0, 10)):
        other = centred(draw(*key, n, 0.5))
        spectrum = np.fft.rfft(base) * np.conj(np.fft.rfft(other))
        moved = np.abs(np.fft.irfft(spectrum, n))
        flipped = np.abs(_walsh_hadamard(_walsh_hadamard(base) * _walsh_hadamard(other)) / n)
        if key == (0, 10, 0):
            moved[0] = flipped[0] = 0.0
        assert moved.max() < bound, f"{key}: correlation {moved.max() / n:.4f} after a shift"
        assert flipped.max() < bound, f"{key}: correlation {flipped.max() / n:.4f} after i ^ c"


def check_rows_and_columns(draw: Draw) -> None:
    """Sums over rows and columns of a layer are binomial: nothing favours a unit or a sample."""
    ratio = 0.2
    for rows, cols in ((256, 100), (100, 784), (512, 64), (64, 1024), (1000, 10)):
        matrix = centred(draw(9, 4, 2, rows * cols, ratio), ratio).reshape(rows, cols)
        for axis, sums, length in ((0, cols, rows), (1, rows, cols)):
            statistic = float(np.square(matrix.sum(axis=axis)).sum() / length)
            assert_chi_square(statistic, sums, f"sums over axis {axis} of {rows} x {cols}")


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_masks_are_random(check: Callable[[Draw], None]) -> None:
    check(reference_mask)


# --------------------------------------------------------------------------------------------------
# The checks themselves: masks that one might believe to be good enough
# --------------------------------------------------------------------------------------------------

_FULL = np.uint64(0xFFFFFFFF)


def _mask_of(hashes: np.ndarray, ratio: float) -> np.ndarray:
    return ((hashes & _FULL) >= np.uint64(ratio * 2.0**32)).astype(np.uint8)


def _indices(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def _keys(seed: int, step: int, layer: int) -> tuple[np.uint64, np.uint64]:
    key0, key1 = reference._dropout_key(seed, step, layer)
    return np.uint64(key0), np.uint64(key1)


def _mix(h: np.ndarray) -> np.ndarray:
    return reference._mix32(h.astype(np.uint32)).astype(np.uint64)


def added_key(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    """A multiplied index and a key: every mask is a shift of a regular sequence."""
    return _mask_of(_indices(n) * np.uint64(0x9E3779B9) + _keys(seed, step, layer)[0], ratio)


def sums_of_keys(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    """A good hash of index + seed + step + layer: the next step is this one, moved by one."""
    return _mask_of(_mix(_indices(n) + np.uint64((seed + step + layer) % 2**32)), ratio)


def one_key(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    """A good hash of the index and one good key, combined by xor: index bits flipped."""
    return _mask_of(_mix(_indices(n) ^ (_keys(seed, step, layer)[0] & np.uint64(0xFFFF))), ratio)


def half_a_hash(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    """One multiplication and one shift after each key."""
    key0, key1 = _keys(seed, step, layer)
    h = ((_indices(n) ^ key0) * np.uint64(0x7FEB352D)) & _FULL
    h = ((h ^ (h >> np.uint64(15)) ^ key1) * np.uint64(0x846CA68B)) & _FULL
    return _mask_of(h, ratio)


def without_layer(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    return reference_mask(seed, step, 0, n, ratio)


def low_bits_of_step(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    return reference_mask(seed, step % 2**32, layer, n, ratio)


def short_period(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    return np.resize(reference_mask(seed, step, layer, 1000, ratio), n)


def coarse_ratio(seed: int, step: int, layer: int, n: int, ratio: float) -> np.ndarray:
    """Eight random bits compared with the ratio: 1/3 becomes 85/256."""
    return reference_mask(seed, step, layer, n, math.floor(ratio * 256) / 256)


@pytest.mark.parametrize(
    "weak",
    [
        added_key,
        sums_of_keys,
        one_key,
        half_a_hash,
        without_layer,
        low_bits_of_step,
        short_period,
        coarse_ratio,
    ],
    ids=lambda weak: weak.__name__,
)
def test_weak_masks_are_caught(weak: Draw) -> None:
    assert any(fails(check, weak) for check in CHECKS)
