"""Initial weights: their distributions, what they are called, and that both dtypes start alike."""

import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.initializers import INITIALIZERS, as_initializer

SHAPE = (300, 200)  # fan_in, fan_out

# Variance, and whether the distribution is uniform.
DRAWN = {
    "normal": (fnn.Normal(0.3), 0.3**2, False),
    "uniform": (fnn.Uniform(0.3), 0.3**2 / 3, True),
    "lecun": (fnn.LeCun(), 1 / 300, False),
    "lecun_uniform": (fnn.LeCun("uniform"), 1 / 300, True),
    "xavier": (fnn.Xavier(), 2 / 500, False),
    "xavier_uniform": (fnn.Xavier("uniform"), 2 / 500, True),
    "he": (fnn.He(), 2 / 300, False),
    "he_uniform": (fnn.He("uniform"), 2 / 300, True),
}


@pytest.mark.parametrize("name", DRAWN)
def test_mean_variance_and_shape_of_the_distribution(name, rng):
    initializer, variance, uniform = DRAWN[name]
    w = initializer.draw(rng, SHAPE)
    n, std = w.size, math.sqrt(variance)
    assert w.shape == SHAPE
    assert w.dtype == np.float64
    # Six standard errors; the fourth moment of a normal is 3 variance^2, of a uniform 9/5 of it.
    kurtosis = 1.8 if uniform else 3.0
    assert abs(w.mean()) < 6 * std / math.sqrt(n)
    assert abs(w.var() / variance - 1) < 6 * math.sqrt((kurtosis - 1) / n)
    assert abs((w**4).mean() / variance**2 - kurtosis) < 0.2
    if uniform:
        limit = math.sqrt(3) * std
        assert np.abs(w).max() <= limit
        assert np.abs(w).max() > 0.999 * limit
    else:
        assert np.abs(w).max() > 3.5 * std


def test_the_fans_are_not_mixed_up(rng):
    """A weight matrix is (fan_in, fan_out): LeCun and He look at its rows only."""
    for initializer in (fnn.LeCun(), fnn.He()):
        for fan_out in (2, 20_000):
            variance = initializer.variance(50, fan_out)
            assert variance == {"lecun": 1 / 50, "he": 2 / 50}[initializer.kind]
            assert initializer.draw(rng, (50, fan_out)).shape == (50, fan_out)
    assert fnn.Xavier().variance(50, 150) == fnn.Xavier().variance(150, 50) == 2 / 200
    assert fnn.He().draw(rng, (5000, 2)).var() == pytest.approx(2 / 5000, rel=0.1)


def test_a_layers_fans_are_its_own():
    for n_in, units in ((5000, 2), (2, 5000)):
        for init, variance in (("he", 2 / n_in), ("lecun", 1 / n_in), ("xavier", 2 / 5002)):
            model = fnn.Sequential([fnn.Affine(units, init)], n_in, rng=0)
            assert model.params["affine1.w"].var() == pytest.approx(variance, rel=0.1)


def test_zeros(rng):
    state = rng.bit_generator.state
    np.testing.assert_array_equal(fnn.Zeros().draw(rng, (3, 2)), np.zeros((3, 2)))
    assert rng.bit_generator.state == state


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("zeros", fnn.Zeros()),
        ("normal", fnn.Normal()),
        ("uniform", fnn.Uniform()),
        ("lecun", fnn.LeCun()),
        ("lecun_normal", fnn.LeCun()),
        ("lecun_uniform", fnn.LeCun("uniform")),
        ("xavier", fnn.Xavier()),
        ("xavier_normal", fnn.Xavier()),
        ("xavier_uniform", fnn.Xavier("uniform")),
        ("he", fnn.He()),
        ("he_normal", fnn.He()),
        ("he_uniform", fnn.He("uniform")),
        (0.05, fnn.Normal(0.05)),
        (1, fnn.Normal(1.0)),
        (fnn.Uniform(2.0), fnn.Uniform(2.0)),
    ],
)
def test_names_and_numbers_in_an_affine_layer(given, meant):
    assert as_initializer(given).config() == meant.config()

    def weights(init):
        return fnn.Sequential([fnn.Affine(4, init=init)], 6, rng=3).params["affine1.w"]

    np.testing.assert_array_equal(weights(given), weights(meant))


def test_he_is_the_default():
    models = [fnn.Sequential([layer], 6, rng=3) for layer in (fnn.Affine(4), fnn.Affine(4, "he"))]
    np.testing.assert_array_equal(models[0].flat_params, models[1].flat_params)


def test_every_initializer_is_tested():
    assert {initializer.kind for initializer, _, _ in DRAWN.values()} | {"zeros"} == set(
        INITIALIZERS
    )


@pytest.mark.parametrize("init", DRAWN)
def test_both_dtypes_and_all_backends_start_alike(init):
    single, double = (
        fnn.mlp(20, [30, 10], 5, batch_norm=True, init=init, rng=7, dtype=dtype)
        for dtype in ("float32", "float64")
    )
    assert single.seed == double.seed
    for name, w in double.params.items():
        np.testing.assert_array_equal(single.params[name], w.astype(np.float32))
    for backend in fnn.available_backends():
        other = fnn.mlp(20, [30, 10], 5, batch_norm=True, init=init, rng=7, backend=backend)
        np.testing.assert_array_equal(other.flat_params, single.flat_params)


def test_seeds_and_layers_draw_weights_of_their_own():
    def weights(rng):
        return fnn.mlp(10, [10, 10], 10, rng=rng).params

    first, again, other = weights(0), weights(0), weights(1)
    assert not np.array_equal(first["affine1.w"], first["affine2.w"])
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        if name.endswith("w"):
            assert not np.array_equal(first[name], other[name])
    np.testing.assert_array_equal(
        first["affine3.w"], weights(np.random.default_rng(0))["affine3.w"]
    )


@pytest.mark.parametrize(
    ("init", "activation"), [("he", "relu"), ("lecun", "tanh"), ("he_uniform", "relu")]
)
def test_signals_neither_die_nor_explode(init, activation, rng):
    model = fnn.mlp(256, [256] * 10, 256, activation=activation, init=init, rng=0)
    x = rng.standard_normal((64, 256))
    mean_square = np.square(model.predict(x), dtype=float).mean()
    # He's variance makes up for the half that ReLU drops; tanh shrinks what it bends, a little in
    # each layer. With a variance of half the size, ten layers would leave a thousandth.
    assert 0.02 < mean_square < 4


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Normal(-0.1), ValueError, "std"),
        (lambda: fnn.Normal("0.1"), TypeError, "std"),
        (lambda: fnn.Normal(float("inf")), ValueError, "std"),
        (lambda: fnn.Uniform(-0.1), ValueError, "limit"),
        (lambda: fnn.Uniform(None), TypeError, "limit"),
        (lambda: fnn.He("gaussian"), ValueError, "distribution must be one of normal, uniform"),
        (lambda: fnn.Xavier(2), ValueError, "distribution"),
        (lambda: as_initializer("He"), ValueError, "init must be one of .*got 'He'"),
        (lambda: as_initializer(float("nan")), ValueError, "init"),
        (lambda: as_initializer([0.1]), TypeError, "init"),
        (lambda: as_initializer(True), TypeError, "init"),
    ],
)
def test_bad_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
