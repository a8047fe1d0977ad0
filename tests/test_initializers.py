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


def test_constant(rng):
    state = rng.bit_generator.state
    w = fnn.ConstantInit(-0.5).draw(rng, (3, 2))
    np.testing.assert_array_equal(w, np.full((3, 2), -0.5))
    assert w.dtype == fnn.ConstantInit(2).draw(rng, (3, 2)).dtype == np.float64
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("gain", [1.0, 1.5])
@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30), (1, 7), (7, 1), (1, 1)])
def test_orthogonal(shape, gain, rng):
    w = fnn.Orthogonal(gain).draw(rng, shape)
    assert w.shape == shape
    w = w if shape[0] >= shape[1] else w.T
    np.testing.assert_allclose(w.T @ w, gain**2 * np.eye(min(shape)), atol=1e-14)


def test_orthogonal_matrices_are_equally_likely(rng):
    """With the signs as the algorithm leaves them, the first element would never be positive."""
    draws = np.array([fnn.Orthogonal().draw(rng, (3, 2)) for _ in range(2000)])
    # A column is uniform on the sphere: its elements have mean 0 and mean square 1/3, the fourth
    # power 1/5. Six standard errors.
    assert np.abs(draws.mean(axis=0)).max() < 6 / math.sqrt(3 * 2000)
    assert np.abs((draws**2).mean(axis=0) - 1 / 3).max() < 6 * math.sqrt((1 / 5 - 1 / 9) / 2000)


def test_orthogonal_of_nothing_is_zero(rng):
    assert not fnn.Orthogonal(0).draw(rng, (4, 3)).any()


# Activation after the layer: standard deviation for 300 features in and 200 out.
AUTO = {
    **dict.fromkeys(
        ("relu", "leaky_relu", "prelu", "elu", "softplus", "gelu", "silu"), math.sqrt(2 / 300)
    ),
    "maxout": math.sqrt(1 / 300),
    **dict.fromkeys(("sigmoid", "tanh", None), math.sqrt(2 / 500)),
}


def test_auto_knows_every_activation():
    assert AUTO.keys() - {None} == fnn.layers.ACTIVATIONS.keys()


@pytest.mark.parametrize("activation", AUTO)
@pytest.mark.parametrize("between", [[], [fnn.BatchNorm], [fnn.Dropout, fnn.BatchNorm]])
def test_auto_follows_the_activation(activation, between):
    after = [fnn.layers.ACTIVATIONS[activation]()] if activation else []
    layers = [fnn.Affine(200, "auto"), *(make() for make in between), *after, fnn.Affine(4, "auto")]
    model = fnn.Sequential(layers, 300, rng=0)
    w = model.params["affine1.w"].astype(float)
    # Six standard errors of the estimate.
    assert abs(w.std() / AUTO[activation] - 1) < 6 / math.sqrt(2 * w.size)
    again = fnn.Sequential([fnn.Affine(200, AUTO[activation])], 300, rng=0)
    np.testing.assert_allclose(w, again.params["affine1.w"], rtol=1e-6)


def test_auto_looks_no_further_than_the_next_layer_that_computes():
    class Own(fnn.Layer):
        kind = "relu"

    def std(*after):
        model = fnn.Sequential([fnn.Affine(200, "auto"), *after], 300, rng=0)
        return model.params["affine1.w"].std(dtype=float)

    linear = std()
    assert std(fnn.Affine(5), fnn.ReLU()) == linear
    assert std(Own()) == linear
    assert std(fnn.Sigmoid(), fnn.ReLU()) == linear
    assert std(fnn.ReLU(), fnn.Sigmoid()) > 1.2 * linear


def test_auto_in_mlp_is_each_layers_own():
    def stds(init):
        params = fnn.mlp(300, [200, 250], 100, "relu", init=init, rng=0).params
        return [params[f"affine{i}.w"].std(dtype=float) for i in (1, 2, 3)]

    auto, he, xavier = stds("auto"), stds("he"), stds("xavier")
    assert auto == pytest.approx([*he[:2], xavier[2]], rel=1e-6)


def test_auto_stays_auto_in_a_model_file(tmp_path):
    model = fnn.Sequential([fnn.Affine(3, "auto"), fnn.ReLU(), fnn.Affine(2, fnn.AutoInit())], 4)
    model.save(tmp_path / "model.fnn")
    twin = fnn.load(tmp_path / "model.fnn")
    assert twin.config() == model.config()
    assert twin.layers[0].init == "auto"
    np.testing.assert_array_equal(twin.flat_params, model.flat_params)


def test_auto_for_no_layer_in_particular(rng):
    seed = np.random.default_rng(3), np.random.default_rng(3)
    np.testing.assert_array_equal(
        fnn.AutoInit().draw(seed[0], (4, 3)), fnn.Xavier().draw(seed[1], (4, 3))
    )


@pytest.mark.parametrize("activation", fnn.layers.ACTIVATIONS)
def test_with_auto_activations_keep_their_spread_through_ten_layers(activation, rng):
    def spreads(init):
        model = fnn.mlp(256, [256] * 10, 10, activation, init=init, rng=0)
        h, found = rng.standard_normal((64, 256)).astype("float32"), []
        for layer in model.layers:
            h = layer.forward(h)
            if layer.kind == activation:
                found.append(h.std(dtype=float))
        return found

    # SiLU, half as steep as ReLU about zero, shrinks the most, to a seventh.
    auto = np.array(spreads("auto"))
    assert ((auto > auto[0] / 9) & (auto < 2.5 * auto[0])).all()
    if activation not in ("sigmoid", "softplus"):  # not zero at zero: something always remains
        assert spreads(0.01)[-1] < 1e-6


def test_biases_start_where_they_are_told_to(rng):
    layers = [fnn.Affine(4, bias_init=0.1), fnn.ReLU(), fnn.Affine(3, "zeros", bias_init=-2)]
    model = fnn.Sequential(layers, 5, rng=0, dtype="float64")
    assert model.params["affine1.b"].tolist() == [0.1] * 4
    np.testing.assert_array_equal(model.predict(rng.standard_normal((2, 5))), np.full((2, 3), -2))
    plain = fnn.Sequential([fnn.Affine(4), fnn.ReLU(), fnn.Affine(3)], 5, rng=0, dtype="float64")
    assert plain.params["affine1.b"].tolist() == [0] * 4
    np.testing.assert_array_equal(model.params["affine1.w"], plain.params["affine1.w"])


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
        ("orthogonal", fnn.Orthogonal()),
        ("auto", fnn.AutoInit()),
        (0.05, fnn.Normal(0.05)),
        (1.0, fnn.Normal(1.0)),
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
    drawn = {initializer.kind for initializer, _, _ in DRAWN.values()}
    assert drawn | {"zeros", "constant", "orthogonal", "auto"} == set(INITIALIZERS)


@pytest.mark.parametrize("init", [*DRAWN, "orthogonal", "auto"])
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
        (lambda: fnn.ConstantInit("0.1"), TypeError, "value"),
        (lambda: fnn.ConstantInit(float("nan")), ValueError, "value"),
        (lambda: fnn.Orthogonal(-1.0), ValueError, "gain"),
        (lambda: fnn.Orthogonal(None), TypeError, "gain"),
        (lambda: fnn.Affine(3, bias_init=float("inf")), ValueError, "bias_init"),
        (lambda: fnn.Affine(3, bias_init=False), TypeError, "bias_init"),
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
