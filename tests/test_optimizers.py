"""Every optimizer against its formula, written down here a second time."""

import inspect
import math

import numpy as np
import pytest
from networks import Recorder, blobs

import fastnn as fnn
from fastnn._kernels import reference
from fastnn.backend import get_backend
from fastnn.optimizers import OPTIMIZERS

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
STEPS = 12  # RAdam rectifies from the sixth on
N = 37


# Each takes the parameters, the gradients of all steps, the learning rates of all steps and the
# settings, and returns the last parameters and running averages.


def sgd(p, gradients, rates):
    return p - sum(lr * g for lr, g in zip(rates, gradients, strict=True)), {}


def momentum(p, gradients, rates, momentum):
    v = np.zeros_like(p)
    for g, lr in zip(gradients, rates, strict=True):
        v = momentum * v + g
        p = p - lr * v
    return p, {"v": v}


def nesterov(p, gradients, rates, momentum):
    v = np.zeros_like(p)
    for g, lr in zip(gradients, rates, strict=True):
        v = momentum * v + g
        p = p - lr * (g + momentum * v)
    return p, {"v": v}


def adagrad(p, gradients, rates, eps):
    for t, lr in enumerate(rates):
        total = sum(g**2 for g in gradients[: t + 1])
        p = p - lr * gradients[t] / (np.sqrt(total) + eps)
    return p, {"s": total}


def average(values, decay):
    """The running average of values, newest last, that started at zero."""
    return sum((1 - decay) * decay**age * value for age, value in enumerate(reversed(values)))


def rmsprop(p, gradients, rates, alpha, eps):
    for t, lr in enumerate(rates):
        s = average([g**2 for g in gradients[: t + 1]], alpha)
        p = p - lr * gradients[t] / (np.sqrt(s) + eps)
    return p, {"s": s}


def adadelta(p, gradients, rates, rho, eps):
    updates = []
    for t, lr in enumerate(rates):
        s = average([g**2 for g in gradients[: t + 1]], rho)
        d = average([u**2 for u in updates], rho)
        updates.append(gradients[t] * np.sqrt((d + eps) / (s + eps)))
        p = p - lr * updates[-1]
    return p, {"s": s, "d": average([u**2 for u in updates], rho)}


def moments(gradients, t, beta1, beta2):
    return average(gradients[:t], beta1), average([g**2 for g in gradients[:t]], beta2)


def adam(p, gradients, rates, beta1, beta2, eps):
    for t, lr in enumerate(rates, start=1):
        m, v = moments(gradients, t, beta1, beta2)
        p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p, {"m": m, "v": v}


def adamw(p, gradients, rates, beta1, beta2, eps, weight_decay):
    for t, lr in enumerate(rates, start=1):
        m, v = moments(gradients, t, beta1, beta2)
        adaptive = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        p = p - lr * weight_decay * p - lr * adaptive
    return p, {"m": m, "v": v}


def radam(p, gradients, rates, beta1, beta2, eps):
    longest = 2 / (1 - beta2) - 1
    for t, lr in enumerate(rates, start=1):
        m, v = moments(gradients, t, beta1, beta2)
        m_hat = m / (1 - beta1**t)
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        if length <= 5:
            p = p - lr * m_hat
            continue
        rectifier = math.sqrt(
            ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length)
        )
        # torch.optim, unlike the paper, adds eps before the correction of v.
        p = p - lr * rectifier * m_hat * math.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
    return p, {"m": m, "v": v}


CASES = {
    "sgd": (sgd, fnn.SGD, {}),
    "momentum": (momentum, fnn.Momentum, {"momentum": 0.9}),
    "momentum 0": (momentum, fnn.Momentum, {"momentum": 0}),
    "nesterov": (nesterov, fnn.Nesterov, {"momentum": 0.8}),
    "adagrad": (adagrad, fnn.AdaGrad, {"eps": 1e-10}),
    "rmsprop": (rmsprop, fnn.RMSProp, {"alpha": 0.9, "eps": 1e-3}),
    "adadelta": (adadelta, fnn.AdaDelta, {"rho": 0.8, "eps": 1e-2}),
    "adam": (adam, fnn.Adam, {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    "adam, other settings": (adam, fnn.Adam, {"beta1": 0.5, "beta2": 0.8, "eps": 1e-2}),
    "adamw": (adamw, fnn.AdamW, {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.5}),
    "radam": (radam, fnn.RAdam, {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    "radam, unrectified": (radam, fnn.RAdam, {"beta1": 0.9, "beta2": 0.5, "eps": 1e-8}),
}


@pytest.mark.parametrize("name", CASES)
def test_updates_follow_the_formula(name, backend, dtype, rng):
    formula, cls, settings = CASES[name]
    optimizer = cls(lr=0.1, **settings)
    kernels = get_backend(backend).kernels
    start = rng.standard_normal(N).astype(dtype)
    gradients = rng.standard_normal((STEPS, N)).astype(dtype)
    rates = 0.1 / np.arange(1, STEPS + 1)  # another one at every step

    p = start.copy()
    state = {key: np.zeros(N, dtype) for key in optimizer.state_names}
    for step, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        before = g.copy()
        optimizer.update(kernels, p, g, state, float(lr), step)
        np.testing.assert_array_equal(g, before)

    expected, averages = formula(
        start.astype(float), list(gradients.astype(float)), rates, **settings
    )
    np.testing.assert_allclose(p, expected, rtol=0, atol=4 * STEPS * TOLERANCE[dtype])
    assert not np.allclose(p, start, atol=1e-3)
    assert state.keys() == averages.keys()
    for key, array in state.items():
        np.testing.assert_allclose(array, averages[key], rtol=0, atol=50 * TOLERANCE[dtype])


def test_every_optimizer_is_tested():
    assert {cls.kind for _, cls, _ in CASES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_names_what_its_kernel_takes(kind):
    cls = OPTIMIZERS[kind]
    settings = [name for name in inspect.signature(cls).parameters if name != "lr"]
    steps = ["step"] if cls.counts_steps else []
    kernel = inspect.signature(getattr(reference, f"{kind}_update"))
    assert list(kernel.parameters) == ["p", "g", *cls.state_names, "lr", *settings, *steps]
    assert cls().numbers() == tuple(getattr(cls(), name) for name in settings)


def test_the_defaults_are_those_of_torch_optim():
    adam = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert {kind: cls().settings() for kind, cls in OPTIMIZERS.items()} == {
        "sgd": {"lr": 1e-3},
        "momentum": {"lr": 1e-3, "momentum": 0.9},
        "nesterov": {"lr": 1e-3, "momentum": 0.9},
        "adagrad": {"lr": 1e-2, "eps": 1e-10},
        "rmsprop": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8},
        "adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
        "adam": adam,
        "adamw": adam | {"weight_decay": 1e-2},
        "radam": adam,
    }


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_trainer_takes_the_name_or_the_object(kind):
    x, y = blobs(60)
    runs = []
    for optimizer in (kind, OPTIMIZERS[kind]()):
        trainer = fnn.Trainer(
            fnn.mlp(8, [5], 3, rng=0), optimizer=optimizer, batch_size=20, rng=0, verbose=False
        )
        runs.append(trainer.fit(x, y, epochs=2)["loss"])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_learns(kind, executor):
    x, y = blobs()
    rates = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adadelta": 1.0}
    optimizer = OPTIMIZERS[kind](lr=rates.get(kind, 0.01))
    model = fnn.mlp(8, [16], 3, rng=0, backend=executor.backend)
    trainer = fnn.Trainer(
        model, optimizer=optimizer, batch_size=30, engine=executor.engine, rng=0, verbose=False
    )
    history = trainer.fit(x, y, epochs=15)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9


def test_a_schedule_is_asked_at_the_fractional_epoch_of_every_step(executor):
    """SGD shows the rate it was given: the parameters move by rate times gradient."""
    x, y = blobs(40)
    asked = []

    def schedule(epoch):
        asked.append(epoch)
        return 0.1 / (1 + epoch)

    model = fnn.mlp(8, [], 3, rng=0, dtype="float64", backend=executor.backend)
    steps = []

    class Watch(fnn.Callback):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            steps.append((model.flat_params.copy(), model.flat_grads.copy()))

    trainer = fnn.Trainer(
        model,
        optimizer=fnn.SGD(schedule),
        batch_size=10,
        engine=executor.engine,
        rng=0,
        callbacks=[Watch()],
        verbose=False,
    )
    before = model.flat_params.copy()
    trainer.fit(x, y, epochs=2)
    trainer.fit(x, y, epochs=1)
    expected = [batch / 4 for batch in range(12)]
    assert sorted(set(asked)) == expected
    assert len(steps) == 12
    for epoch, (after, gradient) in zip(expected, steps, strict=True):
        np.testing.assert_allclose(after, before - 0.1 / (1 + epoch) * gradient, atol=1e-15)
        before = after


def test_a_schedule_object_is_a_learning_rate():
    recorder = Recorder()
    schedule = fnn.StepDecay(0.1, every=1, factor=0.5)
    trainer = fnn.Trainer(
        fnn.mlp(8, [], 3, rng=0),
        optimizer=fnn.Momentum(schedule),
        batch_size=20,
        rng=0,
        callbacks=[recorder],
        verbose=False,
    )
    history = trainer.fit(*blobs(40), epochs=3)
    assert recorder.rates == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert history["lr"] == [0.1, 0.05, 0.025]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(
    ("lr", "error"),
    [
        (0, ValueError),
        (-1e-3, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("fast", TypeError),
        (None, TypeError),
        (True, TypeError),
        (fnn.CosineDecay, TypeError),
    ],
)
def test_bad_learning_rates_are_named(kind, lr, error):
    with pytest.raises(error, match="lr must be"):
        OPTIMIZERS[kind](lr=lr)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (fnn.Momentum, "momentum"),
        (fnn.Nesterov, "momentum"),
        (fnn.RMSProp, "alpha"),
        (fnn.AdaDelta, "rho"),
        *((cls, name) for cls in (fnn.Adam, fnn.AdamW, fnn.RAdam) for name in ("beta1", "beta2")),
    ],
)
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan"), "0.9", None, True])
def test_decay_rates_lie_between_zero_and_one(cls, name, value):
    with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
        cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, "eps") for cls in (fnn.AdaGrad, fnn.RMSProp, fnn.AdaDelta, fnn.Adam, fnn.AdamW)]
    + [(fnn.RAdam, "eps"), (fnn.AdamW, "weight_decay")],
)
@pytest.mark.parametrize("value", [-1e-9, float("inf"), float("nan"), "0", None])
def test_small_terms_are_finite_and_not_negative(cls, name, value):
    with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
        cls(**{name: value})


def test_an_optimizer_of_ones_own_needs_no_kernel_and_no_kind():
    class Sign(fnn.Optimizer):
        """``p -= lr * sign(m)``, with m a running average of the gradients."""

        state_names = ("m",)

        def __init__(self, lr=1e-2, beta=0.5):
            super().__init__(lr)
            self.beta = beta

        def update(self, kernels, p, g, state, lr, step):
            state["m"] *= self.beta
            state["m"] += (1 - self.beta) * g
            p -= lr * np.sign(state["m"])

    model = fnn.mlp(2, [], 1, rng=0, dtype="float64")
    trainer = fnn.Trainer(model, "mean_squared_error", Sign(), rng=0, verbose=False)
    assert (trainer.engine, trainer.optimizer.kind) == ("eager", "sign")
    assert trainer.engine_reason == "optimizer Sign has no native form"
    before = model.flat_params.copy()
    trainer.train_batch(np.eye(2), np.array([9.0, 9.0]))
    moved = np.abs(model.flat_params - before)[model.flat_grads != 0]
    np.testing.assert_allclose(moved, 0.01)


def test_a_model_in_the_place_of_the_rate_is_named_in_a_line():
    """PyTorch's optimizers take the parameters first."""
    model = fnn.mlp(64, [32], 10, rng=0)
    with pytest.raises(TypeError, match="lr must be a number, a Schedule or") as caught:
        fnn.Adam(model.params)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
