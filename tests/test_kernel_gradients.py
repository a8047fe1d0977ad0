"""Every element of every gradient of the reference against central differences, in float64."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from cases import KERNELS

from fastnn._kernels import reference

RELATIVE_ERROR = 1e-6
STEP = 1e-3
KINK_DISTANCE = 0.1  # more than twice the step, which is how far a value is moved

Generator = np.random.Generator
# A value to differentiate, recomputed from arrays that are changed in place, and for each gradient
# the array that it belongs to and the gradient as the kernel gives it.
Check = tuple[Callable[[], float], dict[str, tuple[np.ndarray, np.ndarray]]]
N, M, K = 5, 4, 3


def central_difference(value: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """The derivative of ``value()`` with respect to each element of x, to fourth order in STEP."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        at = {}
        for steps in (-2, -1, 1, 2):
            x[index] = kept + steps * STEP
            at[steps] = value()
        x[index] = kept
        gradient[index] = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * STEP)
    return gradient


def assert_gradients(check: Check) -> None:
    value, gradients = check
    for name, (x, gradient) in gradients.items():
        numeric = central_difference(value, x)
        assert gradient.shape == numeric.shape
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient, numeric, rtol=RELATIVE_ERROR, atol=0, err_msg=name)


def away_from_zero(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape)
    return x + np.copysign(KINK_DISTANCE, x)


def _affine(rng: Generator) -> Check:
    x, w, b = rng.standard_normal((N, K)), rng.standard_normal((K, M)), rng.standard_normal(M)
    dout = rng.standard_normal((N, M))
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    reference.affine_backward(dout, x, w, dx, dw, db)

    def value() -> float:
        out = np.empty((N, M))
        reference.affine_forward(x, w, b, out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx), "dw": (w, dw), "db": (b, db)}


def _batchnorm(rng: Generator) -> Check:
    x, gamma, beta = rng.normal(2.0, 3.0, (N, M)), rng.standard_normal(M), rng.standard_normal(M)
    dout = rng.standard_normal((N, M))

    def forward() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, inv_std, out = np.empty(M), np.empty(M), np.empty((N, M))
        running_mean, running_var = np.zeros(M), np.ones(M)
        reference.batchnorm_forward(
            x, gamma, beta, running_mean, running_var, 0.9, 1e-5, mean, inv_std, out
        )
        return mean, inv_std, out

    mean, inv_std, _ = forward()
    dx, dgamma, dbeta = np.empty_like(x), np.empty(M), np.empty(M)
    reference.batchnorm_backward(dout, x, gamma, mean, inv_std, dx, dgamma, dbeta)
    gradients = {"dx": (x, dx), "dgamma": (gamma, dgamma), "dbeta": (beta, dbeta)}
    return lambda: float((dout * forward()[2]).sum()), gradients


def _batchnorm_inference(rng: Generator) -> Check:
    x, gamma, beta, running_mean = (rng.standard_normal(s) for s in ((N, M), M, M, M))
    running_var = rng.uniform(0.1, 2.0, M)
    dout, dx = rng.standard_normal((N, M)), np.empty((N, M))
    reference.batchnorm_inference_backward(dout, gamma, running_var, 1e-5, dx)

    def value() -> float:
        out = np.empty((N, M))
        reference.batchnorm_inference_forward(x, gamma, beta, running_mean, running_var, 1e-5, out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx)}


def _activation(name: str, reads_x: bool, *numbers: float) -> Callable[[Generator], Check]:
    """A check of ``name``; its backward pass reads x or the output, and ``numbers``."""
    forward = getattr(reference, f"{name}_forward")
    backward = getattr(reference, f"{name}_backward")

    def check(rng: Generator) -> Check:
        x = away_from_zero(rng, (N, M))
        dout, out, dx = rng.standard_normal((N, M)), np.empty((N, M)), np.empty((N, M))
        forward(x, *numbers, out)
        backward(dout, x if reads_x else out.copy(), *numbers, dx)

        def value() -> float:
            forward(x, *numbers, out)
            return float((dout * out).sum())

        return value, {"dx": (x, dx)}

    return check


def _softmax(rng: Generator) -> Check:
    x, dout = rng.standard_normal((N, M)), rng.standard_normal((N, M))
    out, dx = np.empty((N, M)), np.empty((N, M))
    reference.softmax_forward(x, out)
    reference.softmax_backward(dout, out.copy(), dx)

    def value() -> float:
        reference.softmax_forward(x, out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx)}


def _prelu(rng: Generator) -> Check:
    x, slope, dout = (
        away_from_zero(rng, (N, M)),
        rng.standard_normal(M),
        rng.standard_normal((N, M)),
    )
    dx, dslope = np.empty_like(x), np.empty_like(slope)
    reference.prelu_backward(dout, x, slope, dx, dslope)

    def value() -> float:
        out = np.empty((N, M))
        reference.prelu_forward(x, slope, out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx), "dslope": (slope, dslope)}


def _maxout(rng: Generator) -> Check:
    # Any two pieces lie further apart than a value is moved.
    x = KINK_DISTANCE * rng.permutation(N * K * M).reshape(N, K, M)
    dout = rng.standard_normal((N, M))
    winners, out, dx = np.empty((N, M), np.uint8), np.empty((N, M)), np.empty_like(x)
    reference.maxout_forward(x, winners, out)
    assert set(winners.flat) == set(range(K))
    reference.maxout_backward(dout, winners, dx)

    def value() -> float:
        reference.maxout_forward(x, np.empty_like(winners), out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx)}


def _dropout(rng: Generator) -> Check:
    x, dout = rng.standard_normal((N, M)), rng.standard_normal((N, M))
    mask, out, dx = np.empty((N, M), np.uint8), np.empty((N, M)), np.empty((N, M))
    reference.dropout_forward(x, 0.4, 1, 2, 3, mask, out)
    assert 0 < mask.sum() < mask.size
    reference.dropout_backward(dout, mask, 0.4, dx)

    def value() -> float:
        reference.dropout_forward(x, 0.4, 1, 2, 3, np.empty_like(mask), out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx)}


def _masking_noise(rng: Generator) -> Check:
    x, dout = rng.standard_normal((N, M)), rng.standard_normal((N, M))
    mask, out, dx = np.empty((N, M), np.uint8), np.empty((N, M)), np.empty((N, M))
    reference.masking_noise_forward(x, 0.4, 1, 2, 3, mask, out)
    assert 0 < mask.sum() < mask.size
    reference.masking_noise_backward(dout, mask, dx)

    def value() -> float:
        reference.masking_noise_forward(x, 0.4, 1, 2, 3, np.empty_like(mask), out)
        return float((dout * out).sum())

    return value, {"dx": (x, dx)}


Targets = Callable[[Generator], np.ndarray]


def _cross_entropy(name: str, draw: Targets, weighted: bool) -> Callable[[Generator], Check]:
    kernel = getattr(reference, name)

    def check(rng: Generator) -> Check:
        logits, targets = rng.standard_normal((N, M)), draw(rng)
        weights = rng.uniform(0.1, 2.0, N) if weighted else None
        probs, dlogits = np.empty((N, M)), np.empty((N, M))
        kernel(logits, targets, weights, probs, dlogits)
        return lambda: kernel(logits, targets, weights, probs, None), {"dlogits": (logits, dlogits)}

    return check


def _guarded_cross_entropy(
    name: str, draw: Targets, weighted: bool
) -> Callable[[Generator], Check]:
    kernel = getattr(reference, name)

    def check(rng: Generator) -> Check:
        probs, targets = rng.uniform(0.1, 0.9, (N, M)), draw(rng)
        weights = rng.uniform(0.1, 2.0, N) if weighted else None
        dprobs = np.empty((N, M))
        kernel(probs, targets, weights, 0.05, dprobs)
        return lambda: kernel(probs, targets, weights, 0.05, None), {"dprobs": (probs, dprobs)}

    return check


def _difference(name: str, weighted: bool, *numbers: float) -> Callable[[Generator], Check]:
    """A loss of pred - target; the differences keep off 0 and, for Huber, off 1."""
    kernel = getattr(reference, name)

    def check(rng: Generator) -> Check:
        target = rng.standard_normal((N, M))
        diff = rng.uniform(KINK_DISTANCE, 1 - KINK_DISTANCE, (N, M)) + rng.integers(0, 2, (N, M))
        pred = target + diff * rng.choice([-1, 1], (N, M))
        weights = rng.uniform(0.1, 2.0, N) if weighted else None
        dpred = np.empty((N, M))
        kernel(pred, target, weights, *numbers, dpred)
        return lambda: kernel(pred, target, weights, *numbers, None), {"dpred": (pred, dpred)}

    return check


def _binary_cross_entropy(weighted: bool) -> Callable[[Generator], Check]:
    kernel = reference.binary_cross_entropy

    def check(rng: Generator) -> Check:
        logits, targets = 3 * away_from_zero(rng, (N, M)), rng.uniform(0, 1, (N, M))
        targets[0] = rng.integers(0, 2, M)
        weights = rng.uniform(0.1, 2.0, N) if weighted else None
        dlogits = np.empty((N, M))
        kernel(logits, targets, weights, dlogits)
        return lambda: kernel(logits, targets, weights, None), {"dlogits": (logits, dlogits)}

    return check


def _penalty(name: str) -> Callable[[Generator], Check]:
    kernel = getattr(reference, name)

    def check(rng: Generator) -> Check:
        w = away_from_zero(rng, (N, M))
        dw = np.zeros_like(w)
        kernel(w, 0.3, dw)
        return lambda: kernel(w, 0.3, None), {"dw": (w, dw)}

    return check


def _labels(rng: Generator) -> np.ndarray:
    return rng.integers(0, M, N)


def _one_hot(rng: Generator) -> np.ndarray:
    return np.eye(M)[_labels(rng)]


def _soft(rng: Generator) -> np.ndarray:
    return rng.dirichlet(np.ones(M), N)


def _unnormalized(rng: Generator) -> np.ndarray:
    return rng.uniform(0.1, 2.0, (N, M))


def _checks() -> Iterator[tuple[str, str, Callable[[Generator], Check]]]:
    """Kernel that gives the gradient, variant, check."""
    yield "affine_backward", "", _affine
    yield "batchnorm_backward", "", _batchnorm
    yield "batchnorm_inference_backward", "", _batchnorm_inference
    yield "relu_backward", "", _activation("relu", False)
    yield "leaky_relu_backward", "", _activation("leaky_relu", True, 0.2)
    yield "sigmoid_backward", "", _activation("sigmoid", False)
    yield "tanh_backward", "", _activation("tanh", False)
    yield "elu_backward", "", _activation("elu", False, 1.0)
    yield "elu_backward", "alpha", _activation("elu", False, 0.4)
    yield "softmax_backward", "", _softmax
    yield "softplus_backward", "", _activation("softplus", False)
    yield "gelu_backward", "", _activation("gelu", True)
    yield "silu_backward", "", _activation("silu", True)
    yield "prelu_backward", "", _prelu
    yield "maxout_backward", "", _maxout
    yield "dropout_backward", "", _dropout
    yield "masking_noise_backward", "", _masking_noise
    soft = "softmax_cross_entropy_soft"
    for weighted in (False, True):
        suffix = "weighted" if weighted else ""
        yield (
            "softmax_cross_entropy",
            suffix,
            _cross_entropy("softmax_cross_entropy", _labels, weighted),
        )
        for draw in (_one_hot, _soft, _unnormalized):
            yield soft, draw.__name__[1:] + suffix, _cross_entropy(soft, draw, weighted)
        guarded = "cross_entropy"
        yield guarded, suffix, _guarded_cross_entropy(guarded, _labels, weighted)
        for draw in (_soft, _unnormalized):
            yield (
                f"{guarded}_soft",
                draw.__name__[1:] + suffix,
                _guarded_cross_entropy(f"{guarded}_soft", draw, weighted),
            )
        yield "binary_cross_entropy", suffix, _binary_cross_entropy(weighted)
        for name in ("mean_squared_error", "sum_squared_error", "mean_absolute_error"):
            yield name, suffix, _difference(name, weighted)
        yield "huber", suffix, _difference("huber", weighted, 1.0)
    for name in ("l1_penalty", "l2_penalty"):
        yield name, "", _penalty(name)


CHECKS = list(_checks())
PARAMETERS = [
    pytest.param(check, id="-".join(filter(None, (name, variant))))
    for name, variant, check in CHECKS
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("check", PARAMETERS)
def test_gradient_is_the_central_difference(check: Callable[[Generator], Check], seed: int) -> None:
    assert_gradients(check(np.random.default_rng(seed)))


@pytest.mark.parametrize("check", PARAMETERS)
def test_an_error_of_one_in_a_hundred_thousand_fails(check: Callable[[Generator], Check]) -> None:
    value, gradients = check(np.random.default_rng(0))
    for name, (x, gradient) in gradients.items():
        wrong = gradient.copy()
        wrong.flat[np.argmax(np.abs(wrong))] *= 1 + 1e-5
        with pytest.raises(AssertionError):
            assert_gradients((value, {name: (x, wrong)}))


def test_every_kernel_that_gives_a_gradient_is_checked() -> None:
    expected = {
        name
        for name, kernel in KERNELS.items()
        for argument, spec in kernel.arrays().items()
        if argument.startswith("d") and spec.role != "read" and not name.endswith("_update")
    }
    assert {name for name, _, _ in CHECKS} == expected
