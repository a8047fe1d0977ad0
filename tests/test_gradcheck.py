"""fnn.gradient_check passes what is right, finds what is wrong, tells kinks from mistakes."""

import numpy as np
import pytest
from networks import blobs, every_layer, numbers

import fastnn as fnn


class Wrong(fnn.Layer):
    """``a * x``, whose gradients are off by a factor each."""

    kind = "wrong"

    def __init__(self, of_a=1.0, of_x=1.0):
        self.of_a = of_a
        self.of_x = of_x

    def parameter_shapes(self, n_in):
        return {"a": (n_in,)}

    def initialize(self, rng):
        self.a[:] = rng.uniform(1, 2, self.a.shape)

    def forward(self, x, train=False, step=0):
        self.x = x
        return self.a * x

    def backward(self, dout, input_gradient=True):
        self.da[:] = self.of_a * (dout * self.x).sum(axis=0)
        return self.of_x * dout * self.a if input_gradient else None


def smooth(*layers, dtype="float64", rng=0):
    return fnn.Sequential([fnn.Affine(6), fnn.Tanh(), *layers, fnn.Affine(3)], 8, rng, dtype)


@pytest.mark.parametrize("step", [0, 7])
def test_every_layer_is_right(backend, step):
    model = every_layer(backend)
    model.step = step
    check = fnn.gradient_check(model, *blobs(12), regularizer=fnn.L2(0.1), entries=None)
    assert check.ok
    assert check.errors.keys() == model.params.keys()
    assert 0 <= check.worst.error == max(check.errors.values()) < 1e-5
    assert [p.checked for p in check.parameters] == [p.size for p in check.parameters]
    assert max(abs(p.backprop) for p in check.parameters) > 1e-2


@pytest.mark.parametrize("loss", ["mean_squared_error", fnn.SumSquaredError()])
def test_other_losses(loss):
    x, _ = blobs(10)
    y = np.random.default_rng(0).standard_normal((10, 3))
    assert fnn.gradient_check(smooth(), x, y, loss).worst.error < 1e-7


def test_the_model_is_afterwards_what_it_was():
    model = every_layer()
    model.step = 3
    before = numbers(model)
    fnn.gradient_check(model, *blobs(12))
    assert numbers(model) == before
    assert model.step == 3
    x, y = blobs(12)
    with pytest.raises(ValueError, match="y must hold class labels"):
        fnn.gradient_check(model, x, y + 1)
    model.layers[-1].forward = None
    with pytest.raises(TypeError):
        fnn.gradient_check(model, x, y)
    assert numbers(model) == before


def test_float32_models_are_checked_in_float64():
    model = every_layer(dtype="float32")
    before = numbers(model)
    check = fnn.gradient_check(model, *blobs(12))
    assert check.worst.error < 1e-5
    assert numbers(model) == before
    assert model.dtype == np.float32


@pytest.mark.parametrize("factor", [1.0001, -1.0, 0.0, 2.0])
def test_a_wrong_gradient_of_a_parameter_is_found(factor):
    check = fnn.gradient_check(smooth(Wrong(of_a=factor)), *blobs(10))
    assert not check.ok
    assert check.worst.name == "wrong1.a"
    expected = abs(factor - 1) / max(abs(factor), 1)
    assert check.worst.error == pytest.approx(expected, rel=1e-3)
    assert {name for name, error in check.errors.items() if error > 1e-6} == {"wrong1.a"}
    assert check.kinks == 0


def test_a_wrong_gradient_of_the_input_shows_below():
    check = fnn.gradient_check(smooth(Wrong(of_x=1.001)), *blobs(10))
    assert not check.ok
    assert {n for n, error in check.errors.items() if error > 1e-5} == {"affine1.w", "affine1.b"}


@pytest.mark.parametrize("activation", [fnn.ReLU, fnn.LeakyReLU])
def test_a_wrong_gradient_is_found_behind_kinks(activation):
    model = fnn.Sequential([fnn.Affine(6), activation(), Wrong(1.01), fnn.Affine(3)], 8, 0)
    check = fnn.gradient_check(model, *blobs(10))
    assert check.worst.name == "wrong1.a"
    assert not check.ok


def test_nan_is_wrong():
    check = fnn.gradient_check(smooth(Wrong(of_a=np.nan)), *blobs(10))
    assert not check.ok
    assert check.worst.name == "wrong1.a"
    assert "wrong1.a" in str(check).splitlines()[-1]


def kinked(distance):
    """One ReLU whose input is ``distance``; the loss is half the square of its output less 2."""
    model = fnn.Sequential([fnn.Affine(1), fnn.ReLU(), fnn.Affine(1)], 1, 0, "float64")
    for name, value in (("affine1.w", 1), ("affine1.b", distance - 1), ("affine2.w", 1)):
        model.params[name][:] = value
    return model


@pytest.mark.parametrize("distance", [0.0, 2e-6, -2e-6, 9e-6, -9e-6])
def test_kinks_within_the_step_are_told(distance):
    check = fnn.gradient_check(kinked(distance), [[1.0]], [[2.0]], "sum_squared_error")
    assert check.ok
    assert [p.kinks for p in check.parameters] == [1, 1, 0, 0]
    assert check.kinks == 2
    assert "a kink was crossed at 2 elements" in str(check)
    assert check.parameters[0].index is None


@pytest.mark.parametrize("distance", [2e-5, -2e-5])
def test_kinks_beyond_the_step_are_not(distance):
    check = fnn.gradient_check(kinked(distance), [[1.0]], [[2.0]], "sum_squared_error")
    assert check.ok
    assert check.kinks == 0
    assert "kink was" not in str(check)
    wider = fnn.gradient_check(kinked(distance), [[1.0]], [[2.0]], "sum_squared_error", h=1e-4)
    assert wider.kinks == 2


def test_kinks_on_both_sides_are_told():
    x, y = [[1.0], [1.0 + 8e-6]], [[2.0], [2.0]]
    check = fnn.gradient_check(kinked(-2e-6), x, y, "sum_squared_error")
    assert check.ok
    assert check.kinks == 2


def test_kinks_of_penalties_are_told():
    model = smooth()
    model.params["affine1.w"][:] = 1e-6
    check = fnn.gradient_check(model, *blobs(10), regularizer=fnn.L1(0.1), entries=None)
    assert check.ok
    assert check.parameters[0].kinks == 48


def test_frozen_layers_are_left_out():
    model = smooth()
    model.layers[0].trainable = False
    check = fnn.gradient_check(model, *blobs(10))
    assert list(check.errors) == ["affine2.w", "affine2.b"]
    model.layers[-1].trainable = False
    with pytest.raises(ValueError, match="every layer is frozen"):
        fnn.gradient_check(model, *blobs(10))


def test_elements_are_sampled():
    model = smooth()
    draws = []
    for rng in (0, 0, 1):
        check = fnn.gradient_check(model, *blobs(10), entries=5, rng=rng)
        assert [p.checked for p in check.parameters] == [5, 5, 5, 3]
        draws.append([p.index for p in check.parameters])
    assert draws[0] == draws[1] != draws[2]
    assert check.parameters[0].size == 48


def test_the_table():
    lines = str(fnn.gradient_check(smooth(Wrong(of_a=1.5)), *blobs(10))).splitlines()
    assert lines[0].startswith("parameter  checked")
    assert [line.split()[0] for line in lines[2:-1]] == [
        *("affine1.w", "affine1.b", "wrong1.a", "affine2.w", "affine2.b")
    ]
    assert [line for line in lines if line.endswith("<- wrong")] == [lines[4]]
    assert lines[2].split()[1:4] == ["10", "of", "48"]
    assert lines[-1] == (
        "WRONG: the worst relative error is 3.3e-01, in wrong1.a, beyond the tolerance of 1e-05"
    )
    check = fnn.gradient_check(smooth(), *blobs(10))
    assert repr(check) == str(check) == str(check.table())
    assert str(check).splitlines()[-1].startswith("ok: the worst relative error is ")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "mlp"}, TypeError, "model must be a Sequential"),
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"regularizer": 0.1}, TypeError, "regularizer must be a Regularizer"),
        ({"entries": 0}, ValueError, "entries must be at least 1"),
        ({"h": 0}, ValueError, "h must be"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"rng": "x"}, TypeError, "rng must be"),
        ({"x": np.zeros((10, 7))}, ValueError, "x must have shape"),
        ({"y": np.zeros(3, int)}, ValueError, "y must have 10 rows"),
    ],
)
def test_bad_arguments(arguments, error, message):
    x, y = blobs(10)
    with pytest.raises(error, match=message):
        fnn.gradient_check(**{"model": smooth(), "x": x, "y": y} | arguments)
