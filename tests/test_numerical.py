"""Derivatives by differences, and descent along them."""

import numpy as np
import pytest

import fastnn as fnn


def test_derivative_of_one_variable():
    assert fnn.numerical_diff(lambda x: 0.01 * x**2 + 0.1 * x, 5) == pytest.approx(0.2, abs=1e-10)
    assert fnn.numerical_diff(np.sin, 0.3) == pytest.approx(np.cos(0.3), abs=1e-8)


def test_the_difference_is_central():
    # Its error for x^3 is h^2; a one-sided difference would be off by 3 h x.
    assert fnn.numerical_diff(lambda x: x**3, 2.0, h=0.1) == pytest.approx(12.01)


def test_derivative_is_elementwise():
    x = np.array([[0, 1, 2], [3, 4, 5]])
    np.testing.assert_allclose(fnn.numerical_diff(np.square, x), 2 * x, atol=1e-9)
    assert np.ndim(fnn.numerical_diff(np.square, 2.0)) == 0


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 3, 2), (0,), (3, 0)])
def test_gradient_of_any_shape(shape, rng):
    a, x = rng.standard_normal(shape), rng.standard_normal(shape)
    before = x.copy()
    gradient = fnn.numerical_gradient(lambda x: (a * np.exp(x)).sum(), x)
    np.testing.assert_allclose(gradient, a * np.exp(x), rtol=1e-7, atol=1e-10)
    assert gradient.shape == shape
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "view", [lambda x: x.T, lambda x: x[::2], lambda x: x[:, ::-1], np.asfortranarray]
)
def test_gradient_of_any_layout(view, rng):
    x = view(rng.standard_normal((4, 3)))
    weights = np.arange(x.size).reshape(x.shape)
    gradient = fnn.numerical_gradient(lambda x: (weights * x).sum(), x)
    np.testing.assert_allclose(gradient, weights, atol=1e-9)


def test_x_is_changed_in_place_so_that_others_see_it():
    params = {"w": np.array([1.0, 2.0])}
    gradient = fnn.numerical_gradient(lambda _: params["w"][0] * params["w"][1], params["w"])
    np.testing.assert_allclose(gradient, [2, 1], atol=1e-9)


def test_x_comes_back_after_an_exception():
    x = np.array([1.0, 2.0, 3.0])
    calls = []

    def f(x):
        calls.append(x.copy())
        if len(calls) == 4:
            raise KeyboardInterrupt
        return x.sum()

    with pytest.raises(KeyboardInterrupt):
        fnn.numerical_gradient(f, x)
    assert calls[3].tolist() == [1.0, 2.0 - 1e-4, 3.0]
    assert x.tolist() == [1.0, 2.0, 3.0]


def test_float32_divides_by_the_distance_it_reached():
    x = np.array([5.0], np.float32)
    gradient = fnn.numerical_gradient(lambda x: float(x[0]) ** 2, x)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, [10], rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "got"),
    [
        (np.array([1, 2]), "int64"),
        (np.array([True]), "bool"),
        (np.array([1j]), "complex128"),
        ([1.0, 2.0], "list"),
        (1.0, "float"),
    ],
)
def test_gradient_refuses_what_cannot_be_moved(x, got):
    with pytest.raises(TypeError, match=f"x must be a floating-point array; got .*{got}"):
        fnn.numerical_gradient(np.sum, x)


def test_gradient_refuses_read_only_arrays():
    x = np.zeros(2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="x must be writable"):
        fnn.numerical_gradient(np.sum, x)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: None, lambda x: "1"])
def test_gradient_refuses_functions_of_no_number(f):
    x = np.array([1.0, 2.0])
    with pytest.raises(TypeError, match="f must return a number"):
        fnn.numerical_gradient(f, x)
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("h", [0, -1e-4, np.nan, np.inf])
def test_steps_must_be_positive(h):
    for function in (fnn.numerical_diff, fnn.numerical_gradient):
        with pytest.raises(ValueError, match="h must be"):
            function(np.sum, np.ones(2), h)


def test_derivative_refuses_text():
    with pytest.raises(TypeError, match="x must hold real numbers"):
        fnn.numerical_diff(np.sin, "1")


def test_descent_follows_the_gradient():
    def f(x):
        return x[0] ** 2 / 20 + x[1] ** 2

    start = np.array([-7.0, 2.0])
    x, path = fnn.gradient_descent(f, start, lr=0.4, steps=3)
    # Each coordinate shrinks by a factor of its own: 1 - lr * curvature.
    factors = np.array([1 - 0.4 / 10, 1 - 0.4 * 2])
    np.testing.assert_allclose(path, start * factors ** np.arange(4)[:, None], rtol=1e-8)
    np.testing.assert_array_equal(path[-1], x)
    assert start.tolist() == [-7.0, 2.0]


def test_descent_starts_from_integers_and_any_shape():
    x, path = fnn.gradient_descent(lambda x: (x**2).sum(), [[3, 4]], lr=0.1, steps=200)
    assert path.shape == (201, 1, 2)
    np.testing.assert_allclose(x, 0, atol=1e-9)


def test_descent_that_diverges_stands_still_where_h_is_lost_in_rounding():
    _, path = fnn.gradient_descent(lambda x: (x**2).sum(), [-3.0, 4.0], lr=10.0, steps=100)
    assert np.abs(path[5]).min() > 1e6
    assert np.abs(path[-1]).min() > 1e11
    np.testing.assert_array_equal(path[-1], path[-2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"init_x": "here"}, TypeError, "init_x must hold real numbers"),
        ({"lr": -1}, ValueError, "lr must be"),
        ({"lr": "0.1"}, TypeError, "lr must be a number"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"steps": 1.5}, TypeError, "steps must be an integer"),
    ],
)
def test_descent_names_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        fnn.gradient_descent(np.sum, **{"init_x": np.ones(2)} | arguments)
