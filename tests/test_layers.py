"""Each layer alone in a model, against its formula; and what a layer refuses."""

import numpy as np
import pytest
from networks import blobs, every_layer, numbers
from scipy import special, stats

import fastnn as fnn

TOLERANCE = {"float32": 2e-6, "float64": 1e-13}

# Constructor, f(x), f'(x).
ACTIVATIONS = {
    "relu": (fnn.ReLU, lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "leaky_relu": (
        lambda: fnn.LeakyReLU(0.2),
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda x: np.where(x > 0, 1.0, 0.2),
    ),
    "sigmoid": (
        fnn.Sigmoid,
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    ),
    "tanh": (fnn.Tanh, np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "elu": (
        lambda: fnn.ELU(0.5),
        lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)),
        lambda x: np.where(x > 0, 1.0, 0.5 * np.exp(x)),
    ),
    "softplus": (fnn.Softplus, lambda x: np.logaddexp(0, x), special.expit),
    "gelu": (
        fnn.GELU,
        lambda x: x * (1 + special.erf(x / np.sqrt(2))) / 2,
        lambda x: stats.norm.cdf(x) + x * stats.norm.pdf(x),
    ),
    "silu": (
        fnn.SiLU,
        lambda x: x / (1 + np.exp(-x)),
        lambda x: special.expit(x) * (1 + x * special.expit(-x)),
    ),
}
# Those with parameters, or with fewer features going out; their formulas are tested elsewhere.
SHAPED = {"prelu": fnn.PReLU, "maxout": lambda: fnn.Maxout(1)}


def alone(layer, n_in=5, dtype="float64", backend=None, rng=0):
    """The layer in a model of its own."""
    return fnn.Sequential([layer], input_shape=n_in, rng=rng, dtype=dtype, backend=backend)


def close(actual, expected, dtype):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype] * 10)


@pytest.mark.parametrize("train", [False, True])
def test_no_layer_gives_a_gradient_that_nobody_needs(train, backend):
    model = every_layer(backend)
    model.forward(blobs(10)[0], train=train)
    for layer in model.layers:
        dout = np.ones((10, layer.n_out))
        assert layer.backward(dout, input_gradient=False) is None, layer.name
        assert layer.backward(dout).shape == (10, layer.n_in), layer.name


# -- formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation_and_its_gradient(kind, backend, dtype, rng):
    make, formula, derivative = ACTIVATIONS[kind]
    layer = make()
    model = alone(layer, dtype=dtype, backend=backend)
    x = rng.standard_normal((7, 5)).astype(dtype)
    dout = rng.standard_normal((7, 5)).astype(dtype)
    out = layer.forward(x, train=True)
    assert out.dtype == dtype
    close(out, formula(x.astype(float)), dtype)
    close(layer.backward(dout), dout * derivative(x.astype(float)), dtype)
    assert layer.backward(dout, input_gradient=False) is None
    close(model.predict(x), out, dtype)
    assert model.params == {}


def test_every_activation_is_tested():
    assert ACTIVATIONS.keys() | SHAPED.keys() == fnn.layers.ACTIVATIONS.keys()


def test_relu_is_flat_at_zero(backend):
    layer = fnn.ReLU()
    alone(layer, n_in=3, backend=backend)
    layer.forward(np.array([[0.0, -0.0, 1.0]]))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 3))), [[0, 0, 1]])


def test_affine(backend, dtype, rng):
    layer = fnn.Affine(4)
    model = alone(layer, dtype=dtype, backend=backend)
    assert model.params["affine1.w"].shape == (5, 4)
    assert model.output_size == 4
    np.testing.assert_array_equal(layer.b, np.zeros(4))
    layer.b[:] = rng.standard_normal(4)
    x, dout = rng.standard_normal((7, 5)).astype(dtype), rng.standard_normal((7, 4)).astype(dtype)
    close(layer.forward(x), x.astype(float) @ layer.w + layer.b, dtype)
    close(layer.backward(dout), dout.astype(float) @ layer.w.T, dtype)
    close(layer.dw, x.T.astype(float) @ dout, dtype)
    close(layer.db, dout.sum(axis=0, dtype=float), dtype)
    layer.dw[:] = layer.db[:] = np.nan
    assert layer.backward(dout, input_gradient=False) is None
    close(layer.dw, x.T.astype(float) @ dout, dtype)


def test_batchnorm_in_training(backend, dtype, rng):
    layer = fnn.BatchNorm(momentum=0.75, eps=1e-3)
    alone(layer, dtype=dtype, backend=backend)
    assert layer.gamma.tolist() == [1] * 5
    assert layer.beta.tolist() == [0] * 5
    assert layer.running_mean.tolist() == [0] * 5
    assert layer.running_var.tolist() == [1] * 5
    layer.gamma[:], layer.beta[:] = rng.standard_normal((2, 5))
    x = (3 + 2 * rng.standard_normal((8, 5))).astype(dtype)
    dout = rng.standard_normal((8, 5)).astype(dtype)
    wide = x.astype(float)
    mean, var = wide.mean(axis=0), wide.var(axis=0)  # biased: divided by N
    x_hat = (wide - mean) / np.sqrt(var + 1e-3)

    close(layer.forward(x, train=True), layer.gamma * x_hat + layer.beta, dtype)
    close(layer.running_mean, 0.25 * mean, dtype)
    close(layer.running_var, 0.75 + 0.25 * var, dtype)

    # The Jacobian of x_hat, (N, N) for each feature: d x_hat_i / d x_j.
    n = len(x)
    dx = np.empty_like(wide)
    for k in range(5):
        centring = np.eye(n) - 1 / n
        jacobian = (centring - np.outer(x_hat[:, k], x_hat[:, k]) / n) / np.sqrt(var[k] + 1e-3)
        dx[:, k] = layer.gamma[k] * jacobian @ dout[:, k]
    close(layer.backward(dout), dx, dtype)
    close(layer.dgamma, (dout * x_hat).sum(axis=0), dtype)
    close(layer.dbeta, dout.sum(axis=0, dtype=float), dtype)


def test_batchnorm_in_inference(backend, dtype, rng):
    layer = fnn.BatchNorm(eps=1e-3)
    model = alone(layer, dtype=dtype, backend=backend)
    layer.gamma[:], layer.beta[:], layer.running_mean[:] = rng.standard_normal((3, 5))
    layer.running_var[:] = rng.uniform(0.5, 2, 5)
    before = numbers(model)
    x = rng.standard_normal((1, 5)).astype(dtype)
    scale = layer.gamma / np.sqrt(layer.running_var.astype(float) + 1e-3)
    close(model.forward(x), (x - layer.running_mean) * scale + layer.beta, dtype)
    layer.dgamma[:] = layer.dbeta[:] = 7
    close(layer.backward(np.ones((1, 5), dtype)), scale[None], dtype)
    assert not layer.dgamma.any()
    assert not layer.dbeta.any()
    assert numbers(model) == before


def test_softmax(backend, dtype, rng):
    layer = fnn.Softmax()
    model = alone(layer, dtype=dtype, backend=backend)
    x, dout = rng.standard_normal((2, 7, 5)).astype(dtype)
    e = np.exp(x.astype(float))
    expected = e / e.sum(axis=1, keepdims=True)
    out = layer.forward(x, train=True)
    close(out, expected, dtype)
    # The Jacobian of a row: d out_i / d x_j.
    jacobian = np.einsum("ni,ij->nij", expected, np.eye(5))
    jacobian -= np.einsum("ni,nj->nij", expected, expected)
    close(layer.backward(dout), np.einsum("ni,nij->nj", dout, jacobian), dtype)
    assert layer.backward(dout, input_gradient=False) is None
    close(model.predict_proba(x), expected, dtype)


def test_dropout_is_the_identity_in_inference(backend, dtype, rng):
    model = alone(fnn.Dropout(0.5), dtype=dtype, backend=backend)
    x = rng.standard_normal((9, 5)).astype(dtype)
    np.testing.assert_array_equal(model.forward(x), x)
    np.testing.assert_array_equal(model.predict(x), x)


def test_dropout_of_nothing_is_the_identity_in_training(backend, rng):
    layer = fnn.Dropout(0)
    model = alone(layer, backend=backend)
    x = rng.standard_normal((9, 5))
    np.testing.assert_array_equal(model.forward(x, train=True), x)
    np.testing.assert_array_equal(layer.backward(x), x)


def test_dropout_in_training(backend, dtype):
    layer = fnn.Dropout(0.2)
    alone(layer, n_in=100, dtype=dtype, backend=backend)
    x = np.full((50, 100), 2, dtype)
    out = layer.forward(x, train=True).copy()
    assert np.unique(out).tolist() == [0, 2.5]
    # 5000 draws: six standard deviations are 0.034.
    assert abs((out == 0).mean() - 0.2) < 0.034
    np.testing.assert_array_equal(layer.backward(x), out)


def test_dropout_mask_depends_on_seed_step_and_place_only():
    x = np.ones((20, 30))

    def mask(rng=0, step=0, place=0):
        padding = [fnn.LeakyReLU(1.0) for _ in range(place)]  # the identity
        model = fnn.Sequential([*padding, fnn.Dropout(0.5)], 30, rng=rng, dtype="float64")
        return model.forward(x, train=True, step=step) != 0

    masks = [mask(), mask(step=1), mask(place=1), mask(rng=1)]
    for i, first in enumerate(masks):
        for second in masks[i + 1 :]:
            # Independent masks agree on half of 600 elements; six standard deviations are 73.
            assert abs((first == second).sum() - 300) < 73
    np.testing.assert_array_equal(mask(step=1), masks[1])
    model = alone(fnn.Dropout(0.5), n_in=30)
    first = model.forward(x, train=True)
    np.testing.assert_array_equal(model.forward(x, train=True), first)
    # The rows before are not touched by those behind them.
    np.testing.assert_array_equal(model.forward(x[:7], train=True), first[:7])


def test_dropout_takes_the_next_mask_after_a_training_step():
    model = fnn.Sequential([fnn.Affine(3), fnn.Dropout(0.5)], input_shape=4, rng=0)
    trainer = fnn.Trainer(model, batch_size=10, rng=0, verbose=False)
    x = np.ones((10, 4))
    steps = []
    for expected in range(3):
        assert model.step == expected
        steps.append(model.forward(x, train=True) != 0)
        assert np.array_equal(steps[-1], model.forward(x, train=True, step=expected) != 0)
        trainer.fit(x, np.zeros(10, int), epochs=1)
    assert not np.array_equal(steps[0], steps[1])


NOISE = {
    "gaussian_noise1": lambda: fnn.GaussianNoise(0.5),
    "masking_noise1": lambda: fnn.MaskingNoise(0.5),
}


@pytest.mark.parametrize("make", NOISE.values(), ids=NOISE)
def test_noise_is_in_training_only(make, backend, dtype, rng):
    layer = make()
    model = alone(layer, dtype=dtype, backend=backend)
    x, dout = rng.standard_normal((2, 9, 5)).astype(dtype)
    for out in (model.forward(x), model.predict(x), layer.forward(x)):
        np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(layer.backward(dout), dout)
    assert not np.array_equal(model.forward(x, train=True), x)
    assert model.forward(x, train=True).dtype == dtype
    assert layer.backward(dout, input_gradient=False) is None


@pytest.mark.parametrize("make", [lambda: fnn.GaussianNoise(0), lambda: fnn.MaskingNoise(0)])
def test_no_noise_is_the_identity_in_training(make, backend, rng):
    layer = make()
    model = alone(layer, backend=backend)
    x, dout = rng.standard_normal((2, 9, 5))
    np.testing.assert_array_equal(model.forward(x, train=True), x)
    np.testing.assert_array_equal(layer.backward(dout), dout)


@pytest.mark.parametrize("make", NOISE.values(), ids=NOISE)
def test_noise_depends_on_seed_step_and_place_only(make, backend):
    x = np.ones((20, 30))

    def noisy(rng=0, step=0, place=0):
        padding = [fnn.LeakyReLU(1.0) for _ in range(place)]  # the identity
        model = fnn.Sequential([*padding, make()], 30, rng=rng, dtype="float64", backend=backend)
        return model.forward(x, train=True, step=step)

    first = noisy()
    np.testing.assert_array_equal(noisy(), first)
    for other in (noisy(step=1), noisy(place=1), noisy(rng=1)):
        # Six standard deviations of the correlation of 600 independent pairs.
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 6 / np.sqrt(600)
    model = alone(make(), n_in=30, backend=backend)
    whole = model.forward(x, train=True)
    # The rows before are not touched by those behind them.
    np.testing.assert_array_equal(model.forward(x[:7], train=True), whole[:7])


def test_gaussian_noise_has_its_width_and_passes_the_gradient(backend, dtype, rng):
    layer = fnn.GaussianNoise(0.5)
    alone(layer, n_in=100, dtype=dtype, backend=backend)
    x, dout = rng.standard_normal((2, 50, 100)).astype(dtype)
    noise = layer.forward(x, train=True) - x
    # 5000 draws: six standard deviations.
    assert abs(noise.mean()) < 6 * 0.5 / np.sqrt(5000)
    assert abs(noise.std() - 0.5) < 6 * 0.5 / np.sqrt(2 * 5000)
    np.testing.assert_array_equal(layer.backward(dout), dout)


def test_masking_noise_does_not_scale_what_stays(backend, dtype):
    layer = fnn.MaskingNoise(0.2)
    alone(layer, n_in=100, dtype=dtype, backend=backend)
    x = np.full((50, 100), 2, dtype)
    out = layer.forward(x, train=True).copy()
    assert np.unique(out).tolist() == [0, 2]
    assert abs((out == 0).mean() - 0.2) < 0.034
    np.testing.assert_array_equal(layer.backward(x), out)


@pytest.mark.parametrize("make", NOISE.values(), ids=NOISE)
def test_a_model_with_noise_trains(make, backend):
    """The same run twice, step by step, and to the same numbers on every backend."""
    x, y = blobs(60)

    def losses(which):
        layers = [make(), fnn.Affine(6), fnn.ReLU(), make(), fnn.Affine(3)]
        model = fnn.Sequential(layers, 8, rng=0, dtype="float64", backend=which)
        trainer = fnn.Trainer(model, optimizer=fnn.Adam(0.01), rng=0, verbose=False)
        return trainer.fit(x, y, epochs=20)["loss"]

    first = losses(backend)
    assert first[-1] < 0.8 * first[0]
    assert losses(backend) == first
    np.testing.assert_allclose(first, losses("numpy"), rtol=1e-8)


def test_whole_numbers_will_do_as_settings(backend, rng):
    x = rng.standard_normal((4, 3))
    layers = [fnn.BatchNorm(momentum=0, eps=1), fnn.LeakyReLU(slope=2), fnn.ELU(alpha=1)]
    model = fnn.Sequential(layers, input_shape=3, dtype="float64", backend=backend)
    normalized = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1)
    leaky = np.where(normalized > 0, normalized, 2 * normalized)
    close(model.forward(x, train=True), np.where(leaky > 0, leaky, np.expm1(leaky)), "float64")
    close(layers[0].running_mean, x.mean(axis=0), "float64")
    model.backward_rows(np.ones((4, 3)))


# -- buffers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: fnn.Affine(5),
        fnn.BatchNorm,
        fnn.ReLU,
        fnn.PReLU,
        lambda: fnn.Dropout(0.5),
        fnn.Softmax,
        fnn.MaskingNoise,
    ],
)
def test_a_layer_writes_into_buffers_of_its_own(make, rng):
    layer = make()
    alone(layer)
    x, dout = rng.standard_normal((2, 8, 5))
    kept = x.copy(), dout.copy()
    out = layer.forward(x, train=True)
    dx = layer.backward(dout)
    for buffer in (out, dx):
        assert buffer.ctypes.data % 64 == 0
        assert not np.shares_memory(buffer, x)
        assert not np.shares_memory(buffer, dout)
    assert np.shares_memory(layer.forward(x[:3], train=True), out)
    assert np.shares_memory(layer.backward(dout[:3]), dx)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(dout, kept[1])
    grown = layer.forward(np.concatenate([x, x]), train=True)
    assert grown.shape == (16, 5)
    assert layer.backward(np.concatenate([dout, dout])).shape == (16, 5)


def test_a_model_hands_out_arrays_of_their_own(rng):
    for layers in ([fnn.Affine(4)], [fnn.Dropout(0.5)]):
        model = fnn.Sequential(layers, input_shape=4, dtype="float64")
        x = rng.standard_normal((3, 4))
        first = model.forward(x)
        kept = first.copy()
        model.forward(2 * x)
        np.testing.assert_array_equal(first, kept)
        assert not np.shares_memory(first, x)
        assert not np.shares_memory(model.predict(x), x)


# -- what is refused -------------------------------------------------------------------------------

EVERY_LAYER = {
    "affine1": lambda: fnn.Affine(5),
    "batchnorm1": fnn.BatchNorm,
    "dropout1": fnn.Dropout,
    "softmax1": fnn.Softmax,
    **NOISE,
    **{f"{kind}1": make for kind, (make, _, _) in ACTIVATIONS.items()},
    **{f"{kind}1": make for kind, make in SHAPED.items()},
}
BAD_ROWS = {
    "too wide": np.zeros((4, 6)),
    "too narrow": np.zeros((4, 1)),
    "one row without an axis": np.zeros(5),
    "an axis too many": np.zeros((4, 5, 1)),
    "the other dtype": np.zeros((4, 5), "float32"),
    "integers": np.zeros((4, 5), int),
    "byte-swapped": np.zeros((4, 5), np.dtype("float64").newbyteorder()),
    "Fortran order": np.zeros((4, 5), order="F"),
    "strided": np.zeros((8, 5))[::2],
}


@pytest.mark.parametrize("name", EVERY_LAYER)
@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("train", [False, True])
def test_forward_refuses_what_kernels_cannot_take(name, bad, train):
    layer = EVERY_LAYER[name]()
    model = alone(layer)
    before = numbers(model)
    with pytest.raises(ValueError, match=rf"{name}: x must be .*C-contiguous float64"):
        layer.forward(BAD_ROWS[bad], train=train)
    assert numbers(model) == before


@pytest.mark.parametrize("name", EVERY_LAYER)
@pytest.mark.parametrize("bad", [*BAD_ROWS, "fewer rows"])
def test_backward_refuses_what_kernels_cannot_take(name, bad):
    layer = EVERY_LAYER[name]()
    alone(layer)
    layer.forward(np.ones((4, 5)), train=True)
    with pytest.raises(ValueError, match=rf"{name}: dout must be .*C-contiguous float64"):
        layer.backward(BAD_ROWS.get(bad, np.zeros((3, 5))))


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_backward_needs_a_forward_pass(name):
    layer = EVERY_LAYER[name]()
    alone(layer)
    with pytest.raises(ValueError, match=rf"{name}: backward needs a forward pass"):
        layer.backward(np.zeros((4, 5)))


def test_a_layer_belongs_to_one_place_in_one_model():
    layer = fnn.Affine(5)
    with pytest.raises(ValueError, match="two places"):
        fnn.Sequential([layer, fnn.ReLU(), layer], input_shape=5)
    model = alone(layer)
    before = numbers(model)
    with pytest.raises(ValueError, match="already belongs to a model"):
        alone(layer)
    assert numbers(model) == before


def test_batchnorm_refuses_to_train_on_one_sample(backend):
    first, second = fnn.BatchNorm(), fnn.BatchNorm()
    model = fnn.Sequential([fnn.Affine(3), first, fnn.ReLU(), second], 3, backend=backend)
    before = numbers(model)
    with pytest.raises(ValueError, match="batchnorm1: a batch of one sample has no variance"):
        model.forward(np.ones((1, 3)), train=True)
    assert numbers(model) == before
    assert model.forward(np.ones((1, 3))).shape == (1, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Affine(0), ValueError, "units must be at least 1; got 0"),
        (lambda: fnn.Affine(-3), ValueError, "units"),
        (lambda: fnn.Affine(2.0), TypeError, r"units must be an integer; got 2\.0"),
        (lambda: fnn.Affine(True), TypeError, "units"),
        (lambda: fnn.Affine("10"), TypeError, "units"),
        (lambda: fnn.Affine(3, init="hee"), ValueError, "init must be one of .*he.*got 'hee'"),
        (lambda: fnn.Affine(3, init=-1.0), ValueError, "init"),
        (lambda: fnn.Affine(3, init=None), TypeError, "init"),
        (lambda: fnn.Affine(3, init=fnn.He), ValueError, "init must be .* did you mean 'he'"),
        (
            lambda: fnn.Affine(64, 32),
            TypeError,
            r"init must be .*got 32: .* write Affine\(32\)",
        ),
        (lambda: fnn.Affine(64, np.int64(1)), TypeError, "standard deviation as a float"),
        (lambda: fnn.Affine(3, regularizer=1e-4), TypeError, "regularizer"),
        (lambda: fnn.Affine(3, regularizer=fnn.L2), TypeError, "regularizer"),
        (lambda: fnn.Dropout(1.0), ValueError, r"ratio must be a finite number in \[0, 1\)"),
        (lambda: fnn.Dropout(-0.1), ValueError, "ratio"),
        (lambda: fnn.Dropout(float("nan")), ValueError, "ratio"),
        (lambda: fnn.Dropout("half"), TypeError, "ratio must be a number"),
        (lambda: fnn.MaskingNoise(1.0), ValueError, r"ratio must be a finite number in \[0, 1\)"),
        (lambda: fnn.MaskingNoise(None), TypeError, "ratio must be a number"),
        (lambda: fnn.GaussianNoise(-0.1), ValueError, "std must be"),
        (lambda: fnn.GaussianNoise(float("inf")), ValueError, "std must be"),
        (lambda: fnn.GaussianNoise("wide"), TypeError, "std must be a number"),
        (lambda: fnn.BatchNorm(momentum=1.0), ValueError, "momentum"),
        (lambda: fnn.BatchNorm(momentum=-0.5), ValueError, "momentum"),
        (lambda: fnn.BatchNorm(eps=-1e-5), ValueError, "eps"),
        (lambda: fnn.BatchNorm(eps="small"), TypeError, "eps"),
        (lambda: fnn.LeakyReLU(float("inf")), ValueError, "slope"),
        (lambda: fnn.LeakyReLU(None), TypeError, "slope"),
        (lambda: fnn.ELU(-1.0), ValueError, "alpha"),
        (lambda: fnn.ELU([1.0]), TypeError, "alpha"),
        (lambda: fnn.PReLU(float("nan")), ValueError, "init"),
        (lambda: fnn.PReLU("0.25"), TypeError, "init"),
        (lambda: fnn.Maxout(0), ValueError, "pieces must be at least 1; got 0"),
        (lambda: fnn.Maxout(257), ValueError, "pieces must be at most 256; got 257"),
        (lambda: fnn.Maxout(2.0), TypeError, "pieces must be an integer"),
    ],
)
def test_bad_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- frozen layers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [(0,), (1,), (3,), (4,), (0, 1), (0, 1, 3, 4), (3, 6)])
def test_frozen_layers_keep_their_numbers_and_the_others_train(frozen, executor):
    x, y = blobs(60)
    model = fnn.mlp(8, [6, 5], 3, batch_norm=True, rng=0, dtype="float64", backend=executor.backend)
    trainer = fnn.Trainer(
        model,
        regularizer=fnn.L2(0.1),
        batch_size=20,
        engine=executor.engine,
        rng=0,
        verbose=False,
    )
    for index in frozen:
        model.layers[index].trainable = False
    before = model.snapshot()
    _, grads = trainer.gradients(x, y)
    trainer.fit(x, y, epochs=2)
    for layer in model.layers:
        for name in layer.param_names + layer.state_names:
            moved = not np.array_equal(getattr(layer, name), before[f"{layer.name}.{name}"])
            assert moved == (layer.index not in frozen), f"{layer.name}.{name}"
        for name in layer.param_names:
            assert (f"{layer.name}.{name}" in grads) == (layer.index not in frozen)


def test_the_gradients_of_the_others_are_those_without_freezing(backend):
    """Freezing a layer that is no BatchNorm changes no other layer's gradient; its own is not even
    computed.
    """
    x, y = blobs(20)
    model = fnn.mlp(8, [6, 5], 3, batch_norm=True, rng=0, dtype="float64", backend=backend)
    trainer = fnn.Trainer(model, regularizer=fnn.L2(0.1), verbose=False)
    loss, grads = trainer.gradients(x, y)
    for index in (0, 3):
        model.layers[index].trainable = False
        model.layers[index].dw[:] = 7
    frozen_loss, frozen_grads = trainer.gradients(x, y)
    assert frozen_loss == loss
    assert (model.layers[0].dw == 7).all()
    assert (model.layers[3].dw == 7).all()
    assert frozen_grads.keys() == grads.keys() - {
        f"affine{i}.{name}" for i in (1, 2) for name in "wb"
    }
    for name, gradient in frozen_grads.items():
        np.testing.assert_array_equal(gradient, grads[name])


def test_a_model_frozen_as_a_whole_stays(executor):
    x, y = blobs(20)
    model = fnn.mlp(8, [4], 3, batch_norm=True, rng=0, backend=executor.backend)
    for layer in model.layers:
        layer.trainable = False
    before = numbers(model)
    with pytest.warns(UserWarning, match="nothing to train"):
        fnn.Trainer(model, engine=executor.engine, verbose=False).fit(x, y, epochs=2)
    assert numbers(model) == before


def test_a_frozen_batchnorm_runs_in_inference_mode(backend, rng):
    layer = fnn.BatchNorm()
    model = alone(layer, backend=backend)
    layer.running_mean[:] = rng.standard_normal(5)
    layer.running_var[:] = rng.uniform(0.5, 2, 5)
    layer.trainable = False
    before = numbers(model)
    x = rng.standard_normal((6, 5))
    np.testing.assert_array_equal(model.forward(x, train=True), model.forward(x))
    assert model.forward(x[:1], train=True).shape == (1, 5)
    assert numbers(model) == before


# -- layers of one's own ---------------------------------------------------------------------------


class Scale(fnn.Layer):
    """The example of the documentation: each feature by a factor of its own."""

    def parameter_shapes(self, n_in):
        return {"a": (n_in,)}

    def initialize(self, rng):
        self.a[:] = 1

    def forward(self, x, train=False, step=0):
        self.x = x
        return self.a * x

    def backward(self, dout, input_gradient=True):
        self.da[:] = (dout * self.x).sum(0)
        return dout * self.a if input_gradient else None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_layer_of_ones_own_trains(place, backend, rng):
    x = rng.standard_normal((200, 4))
    y = x @ rng.standard_normal((4, 4))
    layers = [fnn.Affine(4), fnn.Affine(4)]
    layers.insert(place, Scale())
    model = fnn.Sequential(layers, input_shape=4, rng=0, dtype="float64", backend=backend)
    trainer = fnn.Trainer(
        model, "mean_squared_error", fnn.Adam(lr=0.01), batch_size=20, rng=0, verbose=False
    )
    history = trainer.fit(x, y, epochs=40)
    assert history["loss"][-1] < 1e-2 * history["loss"][0]
    assert np.abs(model.params["scale1.a"] - 1).max() > 1e-3

    _, grads = trainer.gradients(x, y)
    step = 1e-6
    for i in range(4):
        model.params["scale1.a"][i] += step
        above, _ = trainer.gradients(x, y)
        model.params["scale1.a"][i] -= 2 * step
        below, _ = trainer.gradients(x, y)
        model.params["scale1.a"][i] += step
        assert grads["scale1.a"][i] == pytest.approx((above - below) / (2 * step), abs=1e-8)


def test_a_layer_of_ones_own_that_keeps_state(rng):
    class Counter(fnn.Layer):
        kind = "counter"

        def state_shapes(self, n_in):
            return {"seen": (1,)}

        def forward(self, x, train=False, step=0):
            self.seen += train * len(x)
            return x

        def backward(self, dout, input_gradient=True):
            return dout

    model = fnn.Sequential([Counter(), fnn.Affine(2)], input_shape=3, rng=0)
    trainer = fnn.Trainer(model, batch_size=4, verbose=False)
    x, y = rng.standard_normal((10, 3)), np.zeros(10, int)
    trainer.fit(x, y, epochs=2)
    trainer.gradients(x, y)
    model.predict(x)
    assert model.state["counter1.seen"] == 20
    assert "counter1.seen" not in model.params
    assert model.snapshot()["counter1.seen"] == 20


def test_a_layer_that_does_nothing_yet_says_so():
    class Empty(fnn.Layer):
        kind = "empty"

    model = alone(Empty())
    with pytest.raises(NotImplementedError):
        model.forward(np.zeros((2, 5)))


class Copying(fnn.Layer):
    def forward(self, x, train=False, step=0):
        return x.copy()

    def backward(self, dout, input_gradient=True):
        return dout.copy()


def copying(**methods):
    return type("Copying", (Copying,), methods)()


MISTAKES = {
    "forward forgets to return": {"forward": lambda self, x, train=False, step=0: None},
    "forward returns lists": {"forward": lambda self, x, train=False, step=0: x.tolist()},
    "forward returns a number": {"forward": lambda self, x, train=False, step=0: 0.5},
    "forward widens": {"forward": lambda self, x, train=False, step=0: np.hstack([x, x])},
    "forward loses rows": {"forward": lambda self, x, train=False, step=0: x[:1].copy()},
    "forward loses an axis": {"forward": lambda self, x, train=False, step=0: x[:, 0].copy()},
    "forward turns to float64": {"forward": lambda self, x, train=False, step=0: x * np.ones(1)},
    "forward transposes": {"forward": lambda self, x, train=False, step=0: np.asfortranarray(x)},
    "backward forgets to return": {"backward": lambda self, dout, input_gradient=True: None},
    "backward loses columns": {"backward": lambda self, dout, input_gradient=True: dout[:, :1]},
    "backward turns to float64": {"backward": lambda self, dout, input_gradient=True: dout * 1j},
}


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_layer_of_ones_own_is_named(mistake, place, backend):
    """Above all a gradient that is not returned: the layers below would not be trained."""
    layers = [fnn.Affine(4), fnn.Affine(3)]
    layers.insert(place, copying(**MISTAKES[mistake]))
    model = fnn.Sequential(layers, 5, rng=0, backend=backend)
    trainer = fnn.Trainer(model, rng=0, verbose=False)
    before = model.flat_params.copy()
    method = mistake.partition(" ")[0]
    with pytest.raises((TypeError, ValueError), match=f"^copying1: what {method} returns must be"):
        trainer.fit(np.ones((6, 5)), np.arange(6) % 3, epochs=1)
    np.testing.assert_array_equal(model.flat_params, before)
    if method == "forward":
        with pytest.raises((TypeError, ValueError), match=r"^copying1: what forward returns must"):
            model.predict(np.ones((6, 5)))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"output_size": lambda self, n: 0}, r"output_size of Copying\(\) must be at least 1; got"),
        ({"output_size": lambda self, n: None}, r"output_size of Copying\(\) must be an integer"),
        ({"output_size": lambda self, n: 3.0}, r"output_size of Copying\(\) must be an integer"),
        ({"parameter_shapes": lambda self, n: None}, "copying1: the shapes of its arrays must be"),
        ({"parameter_shapes": lambda self, n: [3]}, "copying1: the shapes of its arrays must be"),
        ({"parameter_shapes": lambda self, n: {"a": 3}}, r"the shape of copying1\.a must be a seq"),
        ({"parameter_shapes": lambda self, n: {"a": (-3,)}}, r"a size of copying1\.a must be at l"),
        ({"parameter_shapes": lambda self, n: {"a": (3.0,)}}, r"a size of copying1\.a must be an"),
        ({"state_shapes": lambda self, n: {"a.b": (3,)}}, "copying1 cannot call an array 'a.b'"),
        ({"state_shapes": lambda self, n: {"forward": (3,)}}, "cannot call an array 'forward'"),
        ({"state_shapes": lambda self, n: {"dtype": (3,)}}, "cannot call an array 'dtype'"),
        ({"parameter_shapes": lambda self, n: {"a": (3,), "da": (3,)}}, "cannot call an array 'a'"),
    ],
)
def test_what_a_layer_of_ones_own_asks_for_is_checked(methods, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fnn.Sequential([fnn.Affine(3), copying(**methods), fnn.Affine(3)], 5, rng=0)


# -- descriptions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_descriptions_make_a_layer_of_the_same_settings(name):
    layer = EVERY_LAYER[name]()
    config = layer.config()
    assert config["kind"] == layer.kind == name.removesuffix("1")
    settings = {key: value for key, value in config.items() if key != "kind"}
    assert type(layer).from_settings(settings).config() == config
    again = eval(repr(layer), vars(fnn).copy())
    assert type(again) is type(layer)
    assert again.config() == config
    alone(layer)
    assert layer.config() == config


def test_a_repr_shows_what_is_not_the_default():
    assert repr(fnn.Affine(3)) == "Affine(units=3)"
    assert repr(fnn.Dropout(0.3)) == "Dropout(ratio=0.3)"
    assert repr(fnn.BatchNorm(eps=1e-3)) == "BatchNorm(eps=0.001)"
    layer = fnn.Affine(3, init=fnn.Xavier("uniform"), regularizer=fnn.ElasticNet(l2=0.5))
    assert eval(repr(layer), vars(fnn).copy()).config() == layer.config()
    assert layer.config() == {
        "kind": "affine",
        "units": 3,
        "init": {"kind": "xavier", "distribution": "uniform"},
        "regularizer": {"kind": "elastic_net", "l1": 1e-5, "l2": 0.5},
        "constraint": None,
        "bias_init": 0.0,
    }
