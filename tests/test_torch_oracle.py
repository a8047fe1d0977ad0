"""fastnn against PyTorch: optimizers, layers, losses and whole networks, over 20 steps.

PyTorch is no dependency: these tests are skipped where it is missing, unless FASTNN_TEST_ORACLE=1.
"""

import os

import numpy as np
import pytest
from networks import Recorder, blobs

import fastnn as fnn
from fastnn import lowering
from fastnn._kernels import reference
from fastnn.backend import get_backend

if os.environ.get("FASTNN_TEST_ORACLE") == "1":
    import torch
else:
    torch = pytest.importorskip("torch")

# Threads of torch wait for work by spinning, and take the processors from everything else.
torch.set_num_threads(1)

STEPS = 20
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}

# Ours, theirs; without settings, so that the defaults are compared too.
OPTIMIZERS = {
    "sgd": (fnn.SGD(), lambda p: torch.optim.SGD(p)),
    "momentum": (fnn.Momentum(), lambda p: torch.optim.SGD(p, momentum=0.9)),
    "nesterov": (fnn.Nesterov(), lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True)),
    "adagrad": (fnn.AdaGrad(), torch.optim.Adagrad),
    "rmsprop": (fnn.RMSProp(), torch.optim.RMSprop),
    "adadelta": (fnn.AdaDelta(), torch.optim.Adadelta),
    "adam": (fnn.Adam(), torch.optim.Adam),
    "adamw": (fnn.AdamW(), torch.optim.AdamW),
    "radam": (fnn.RAdam(), torch.optim.RAdam),
}
WITH_SETTINGS = {
    "sgd": (fnn.SGD(0.3), lambda p: torch.optim.SGD(p, lr=0.3)),
    "momentum": (fnn.Momentum(0.3, 0.5), lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.5)),
    "nesterov": (
        fnn.Nesterov(0.3, 0.7),
        lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.7, nesterov=True),
    ),
    "adagrad": (fnn.AdaGrad(0.3, 0.1), lambda p: torch.optim.Adagrad(p, lr=0.3, eps=0.1)),
    "rmsprop": (
        fnn.RMSProp(0.3, 0.6, 0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.3, alpha=0.6, eps=0.1),
    ),
    "adadelta": (
        fnn.AdaDelta(0.3, 0.6, 0.1),
        lambda p: torch.optim.Adadelta(p, lr=0.3, rho=0.6, eps=0.1),
    ),
    "adam": (
        fnn.Adam(0.3, 0.6, 0.8, 0.1),
        lambda p: torch.optim.Adam(p, lr=0.3, betas=(0.6, 0.8), eps=0.1),
    ),
    "adamw": (
        fnn.AdamW(0.3, 0.6, 0.8, 0.1, 0.2),
        lambda p: torch.optim.AdamW(p, lr=0.3, betas=(0.6, 0.8), eps=0.1, weight_decay=0.2),
    ),
    "radam": (
        fnn.RAdam(0.3, 0.6, 0.8, 0.1),
        lambda p: torch.optim.RAdam(p, lr=0.3, betas=(0.6, 0.8), eps=0.1),
    ),
}


def close(ours, theirs, dtype, scale=1.0):
    """Equal to rounding, relative to numbers of this size."""
    if isinstance(theirs, torch.Tensor):
        theirs = theirs.detach().numpy()
    np.testing.assert_allclose(
        ours, theirs, rtol=TOLERANCE[dtype], atol=scale * TOLERANCE[dtype] / 10
    )


def tensor(array, grad=False):
    return torch.tensor(np.array(array), requires_grad=grad)


# -- optimizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [OPTIMIZERS, WITH_SETTINGS], ids=["defaults", "settings"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizers(kind, table, backend, dtype, rng):
    ours, theirs = table[kind]
    kernels = get_backend(backend).kernels
    p = rng.standard_normal(50).astype(dtype)
    state = {name: np.zeros_like(p) for name in ours.state_names}
    parameter = torch.nn.Parameter(tensor(p))
    optimizer = theirs([parameter])
    start = p.copy()
    for step in range(1, STEPS + 1):
        g = rng.standard_normal(50).astype(dtype)
        ours.update(kernels, p, g, state, float(ours.lr), step)
        parameter.grad = tensor(g)
        optimizer.step()
        close(p, parameter, dtype, scale=10)
    assert np.abs(p - start).max() > 10 * np.abs(p - parameter.detach().numpy()).max()


def test_every_optimizer_is_tested():
    assert set(OPTIMIZERS) == set(WITH_SETTINGS) == set(fnn.optimizers.OPTIMIZERS)


# -- layers ----------------------------------------------------------------------------------------


def alone(layer, n_in, dtype, backend):
    return fnn.Sequential([layer], input_shape=n_in, rng=0, dtype=dtype, backend=backend)


def linear(layer):
    """torch.nn.Linear with the weights of an Affine layer, whose matrix is the transpose."""
    module = torch.nn.Linear(layer.n_in, layer.n_out, dtype=tensor(layer.w).dtype)
    with torch.no_grad():
        module.weight[:] = tensor(layer.w.T)
        module.bias[:] = tensor(layer.b)
    return module


def test_affine(backend, dtype, rng):
    layer = fnn.Affine(7)
    alone(layer, 9, dtype, backend)
    layer.b[:] = rng.standard_normal(7)
    module = linear(layer)
    for n in (1, 5, 64):
        x, dout = (rng.standard_normal((n, width)).astype(dtype) for width in (9, 7))
        x_torch = tensor(x, grad=True)
        module.zero_grad()
        out = module(x_torch)
        out.backward(tensor(dout))
        close(layer.forward(x, train=True), out, dtype, scale=10)
        close(layer.backward(dout), x_torch.grad, dtype, scale=10)
        close(layer.dw, module.weight.grad.T, dtype, scale=10)
        close(layer.db, module.bias.grad, dtype, scale=10)


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (fnn.ReLU, torch.nn.ReLU()),
        (lambda: fnn.LeakyReLU(), torch.nn.LeakyReLU()),
        (lambda: fnn.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3)),
        (fnn.Sigmoid, torch.nn.Sigmoid()),
        (fnn.Tanh, torch.nn.Tanh()),
        (fnn.Softmax, torch.nn.Softmax(dim=1)),
        (lambda: fnn.ELU(), torch.nn.ELU()),
        (lambda: fnn.ELU(0.3), torch.nn.ELU(0.3)),
        (fnn.Softplus, torch.nn.Softplus(threshold=40)),  # from there on it is the identity
        (fnn.GELU, torch.nn.GELU()),
        (fnn.SiLU, torch.nn.SiLU()),
    ],
)
def test_activations(layer, module, backend, dtype, rng):
    layer = layer()
    alone(layer, 40, dtype, backend)
    x, dout = 3 * rng.standard_normal((2, 30, 40)).astype(dtype)
    x[0, :5] = [0, -0.0, 30, -30, 1e-30]
    x_torch = tensor(x, grad=True)
    out = module(x_torch)
    out.backward(tensor(dout))
    close(layer.forward(x), out, dtype)
    close(layer.backward(dout), x_torch.grad, dtype)


def prelu(layer):
    """torch.nn.PReLU with the slopes of a PReLU layer."""
    module = torch.nn.PReLU(layer.n_in, dtype=tensor(layer.slope).dtype)
    with torch.no_grad():
        module.weight[:] = tensor(layer.slope)
    return module


def test_prelu(backend, dtype, rng):
    layer = fnn.PReLU()
    alone(layer, 40, dtype, backend)
    assert torch.nn.PReLU().weight.item() == layer.slope[0]
    layer.slope[:] = rng.standard_normal(40)
    module = prelu(layer)
    x, dout = rng.standard_normal((2, 30, 40)).astype(dtype)
    x[0, :2] = [0, -0.0]
    x_torch = tensor(x, grad=True)
    out = module(x_torch)
    out.backward(tensor(dout))
    close(layer.forward(x), out, dtype)
    close(layer.backward(dout), x_torch.grad, dtype)
    close(layer.dslope, module.weight.grad, dtype, scale=100)


class TorchMaxout(torch.nn.Module):
    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def forward(self, x):
        return x.unflatten(1, (self.pieces, -1)).max(dim=1).values


@pytest.mark.parametrize("pieces", [2, 5])
def test_maxout(pieces, backend, dtype, rng):
    layer = fnn.Maxout(pieces)
    alone(layer, 40, dtype, backend)
    x = rng.standard_normal((30, 40)).astype(dtype)
    dout = rng.standard_normal((30, 40 // pieces)).astype(dtype)
    x_torch = tensor(x, grad=True)
    out = TorchMaxout(pieces)(x_torch)
    out.backward(tensor(dout))
    np.testing.assert_array_equal(layer.forward(x), out.detach().numpy())
    np.testing.assert_array_equal(layer.backward(dout), x_torch.grad.numpy())


def test_batchnorm(backend, dtype, rng):
    """In training over 20 steps, then in inference.

    PyTorch's momentum is one minus ours, and it averages the unbiased variance where fastnn, like
    Keras, averages the biased one: n / (n - 1) times smaller.
    """
    layer = fnn.BatchNorm(momentum=0.8, eps=1e-3)
    model = alone(layer, 6, dtype, backend)
    layer.gamma[:], layer.beta[:] = rng.standard_normal((2, 6))
    module = torch.nn.BatchNorm1d(6, eps=1e-3, momentum=1 - 0.8, dtype=tensor(layer.gamma).dtype)
    with torch.no_grad():
        module.weight[:], module.bias[:] = tensor(layer.gamma), tensor(layer.beta)
    variance = np.ones(6)
    for step in range(STEPS):
        n = 2 + step
        x, dout = rng.standard_normal((2, n, 6)).astype(dtype)
        x = (3 * x + step).astype(dtype)
        before = module.running_var.numpy().astype(float)
        x_torch = tensor(x, grad=True)
        module.zero_grad()
        out = module(x_torch)
        out.backward(tensor(dout))
        close(layer.forward(x, train=True), out, dtype, scale=100)
        close(layer.backward(dout), x_torch.grad, dtype, scale=100)
        close(layer.dgamma, module.weight.grad, dtype, scale=100)
        close(layer.dbeta, module.bias.grad, dtype, scale=100)
        close(layer.running_mean, module.running_mean, dtype, scale=10)
        unbiased = (module.running_var.numpy() - 0.8 * before) / 0.2
        variance = 0.8 * variance + 0.2 * unbiased * (n - 1) / n
        np.testing.assert_allclose(layer.running_var, variance, rtol=10 * TOLERANCE[dtype])

    with torch.no_grad():
        module.running_var[:] = tensor(layer.running_var)
    module.eval()
    x = (rng.standard_normal((4, 6)) + 10).astype(dtype)
    close(model.forward(x), module(tensor(x)), dtype, scale=10)


# -- losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "targets", "function"),
    [
        ("softmax_cross_entropy", "labels", torch.nn.functional.cross_entropy),
        ("softmax_cross_entropy", "soft", torch.nn.functional.cross_entropy),
        ("mean_squared_error", "numbers", torch.nn.functional.mse_loss),
        (
            "sum_squared_error",
            "numbers",
            lambda out, y: torch.nn.functional.mse_loss(out, y, reduction="sum") / 2 / len(y),
        ),
        (fnn.SoftmaxCrossEntropy(0.1), "labels", torch.nn.CrossEntropyLoss(label_smoothing=0.1)),
        (fnn.SoftmaxCrossEntropy(0.3), "soft", torch.nn.CrossEntropyLoss(label_smoothing=0.3)),
        (
            "cross_entropy",
            "soft",
            lambda out, y: -(y * torch.log(out + 1e-7)).sum() / len(y),
        ),
        ("binary_cross_entropy", "soft", torch.nn.BCEWithLogitsLoss()),
        ("binary_cross_entropy", "yes or no", torch.nn.BCEWithLogitsLoss()),
        ("mean_absolute_error", "numbers", torch.nn.L1Loss()),
        ("huber", "numbers", torch.nn.HuberLoss()),
        (fnn.Huber(3.0), "numbers", torch.nn.HuberLoss(delta=3.0)),
    ],
)
def test_losses(loss, targets, function, backend, dtype, rng):
    out = (4 * rng.standard_normal((30, 7))).astype(dtype)
    if loss == "cross_entropy":
        out = rng.dirichlet(np.ones(7), 30).astype(dtype)
    y = {
        "labels": rng.integers(0, 7, 30),
        "soft": rng.dirichlet(np.ones(7), 30).astype(dtype),
        "yes or no": rng.integers(0, 2, (30, 7)).astype(dtype),
        "numbers": rng.standard_normal((30, 7)).astype(dtype),
    }[targets]
    out_torch = tensor(out, grad=True)
    expected = function(out_torch, tensor(y))
    expected.backward()
    ours = fnn.losses.LOSSES[loss]() if isinstance(loss, str) else loss
    dout = np.empty_like(out)
    checked = ours.targets(y, 30, 7, np.dtype(dtype))
    value = ours.value(get_backend(backend).kernels, out, checked, None, dout)
    assert value == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
    close(dout, out_torch.grad, dtype)


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.1, 3.0, 1e3])
def test_clipping(limit, backend, dtype, rng):
    """Of the norm of two gradients together, and of values."""
    kernels = get_backend(backend).kernels
    for scale in (1.0, 1e-4):
        arrays = [(scale * rng.standard_normal(n)).astype(dtype) for n in (40, 7)]
        parameters = [torch.nn.Parameter(torch.zeros(len(g))).to(tensor(g).dtype) for g in arrays]
        for clip in ("norm", "value"):
            ours = [g.copy() for g in arrays]
            for parameter, g in zip(parameters, arrays, strict=True):
                parameter.grad = tensor(g)
            if clip == "norm":
                expected = torch.nn.utils.clip_grad_norm_(parameters, limit)
                norm = sum(kernels.squared_norm(g) for g in ours) ** 0.5
                assert norm == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
                for g in ours:
                    kernels.clip_by_norm(g, norm, limit)
            else:
                torch.nn.utils.clip_grad_value_(parameters, limit)
                for g in ours:
                    kernels.clip_by_value(g, limit)
            for parameter, g in zip(parameters, ours, strict=True):
                close(g, parameter.grad, dtype)


def test_max_norm(backend, dtype, rng):
    w = rng.standard_normal((9, 6)).astype(dtype)
    expected = torch.renorm(tensor(w), p=2, dim=1, maxnorm=3.0)
    assert 0 < (np.linalg.norm(w, axis=0) > 3).sum() < 6
    get_backend(backend).kernels.max_norm(w, 3.0)
    np.testing.assert_allclose(w, expected.numpy(), rtol=1e-6)  # torch adds 1e-7 to the norm


# -- whole networks --------------------------------------------------------------------------------


class Masked(torch.nn.Module):
    """Dropout with fastnn's masks."""

    def __init__(self, layer, steps):
        super().__init__()
        self.layer, self.steps = layer, steps

    def forward(self, x):
        if not self.training:
            return x
        ones, mask = np.ones(x.shape), np.empty(x.shape, np.uint8)
        step = len(self.steps)
        layer = self.layer
        reference.dropout_forward(
            ones, layer.ratio, layer.seed, step, layer.index, mask, np.empty(x.shape)
        )
        return x * torch.tensor(mask).to(x.dtype) / (1 - layer.ratio)


def twin(model, steps):
    """The model as a torch.nn.Sequential; dropout counts the losses in ``steps``."""

    def batchnorm(layer):
        dtype = tensor(layer.gamma).dtype
        return torch.nn.BatchNorm1d(layer.n_in, layer.eps, 1 - layer.momentum, dtype=dtype)

    makers = {
        "affine": linear,
        "batchnorm": batchnorm,
        "dropout": lambda layer: Masked(layer, steps),
        "relu": lambda layer: torch.nn.ReLU(),
        "leaky_relu": lambda layer: torch.nn.LeakyReLU(layer.slope),
        "sigmoid": lambda layer: torch.nn.Sigmoid(),
        "tanh": lambda layer: torch.nn.Tanh(),
        "elu": lambda layer: torch.nn.ELU(layer.alpha),
        "softplus": lambda layer: torch.nn.Softplus(threshold=40),
        "gelu": lambda layer: torch.nn.GELU(),
        "silu": lambda layer: torch.nn.SiLU(),
        "prelu": prelu,
        "maxout": lambda layer: TorchMaxout(layer.pieces),
    }
    return torch.nn.Sequential(*(makers[layer.kind](layer) for layer in model.layers))


def train_torch(model, optimizer, x, y, order, l2):
    """The losses of 20 steps of 25 rows, and the network."""
    losses = []
    network = twin(model, losses)
    optimizer = optimizer(network.parameters())
    x, y = tensor(x.astype(model.dtype)), tensor(y)
    for epoch in order:
        for rows in np.split(epoch, 4):
            loss = torch.nn.functional.cross_entropy(network(x[rows]), y[rows])
            for module in network:
                if isinstance(module, torch.nn.Linear):
                    loss = loss + l2 / 2 * (module.weight**2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, network


def train_ours(model, executor, optimizer, x, y, l2):
    recorder = Recorder()
    trainer = fnn.Trainer(
        model,
        optimizer=optimizer,
        regularizer=fnn.L2(l2) if l2 else None,
        batch_size=25,
        engine=executor.engine,
        rng=9,
        callbacks=[recorder],
        verbose=False,
    )
    trainer.fit(x, y, epochs=5)
    return recorder.losses


def orders():
    """The rows of five epochs, as a trainer with this seed draws them."""
    rng = np.random.default_rng(9)
    return [rng.permutation(100) for _ in range(5)]


def compare(model, executor, kind, dtype, l2=0.0):
    """Train both for 20 steps and compare the losses."""
    x, y = blobs(100)
    ours, theirs = OPTIMIZERS[kind]
    expected, network = train_torch(model, theirs, x, y, orders(), l2)
    losses = train_ours(model, executor, ours, x, y, l2)
    assert len(losses) == len(expected) == STEPS
    # float32 rounds in another order here and there, and training magnifies that.
    tolerance = {"float32": 1e-4, "float64": 1e-10}[dtype]
    np.testing.assert_allclose(losses, expected, rtol=tolerance)
    return x, network, tolerance


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_network_with_every_optimizer(kind, executor, dtype):
    model = fnn.mlp(8, [12, 12], 3, "tanh", rng=0, dtype=dtype, backend=executor.backend)
    x, network, tolerance = compare(model, executor, kind, dtype)
    for module, layer in zip(network, model.layers, strict=True):
        if layer.kind == "affine":
            for array, parameter in ((layer.w, module.weight.T), (layer.b, module.bias)):
                expected = parameter.detach().numpy()
                np.testing.assert_allclose(array, expected, atol=10 * tolerance)
    outputs = network(tensor(x.astype(dtype))).detach().numpy()
    np.testing.assert_allclose(model.predict(x), outputs, atol=10 * tolerance)


@pytest.mark.parametrize("activation", fnn.layers.ACTIVATIONS)
def test_a_network_with_every_activation(activation, executor, dtype):
    model = fnn.mlp(8, [12, 12], 3, activation, rng=0, dtype=dtype, backend=executor.backend)
    if executor.engine == "native" and lowering.obstacle(model):
        pytest.skip(lowering.obstacle(model))
    compare(model, executor, "adam", dtype)


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_a_network_with_batchnorm_dropout_and_decay(kind, executor, dtype):
    model = fnn.mlp(
        *(8, [12, 12, 12], 3),
        batch_norm=True,
        dropout=0.3,
        rng=0,
        dtype=dtype,
        backend=executor.backend,
    )
    x, network, tolerance = compare(model, executor, kind, dtype, l2=1e-2)
    network.eval()
    with torch.no_grad():
        for module, layer in zip(network, model.layers, strict=True):
            if layer.kind == "batchnorm":
                # Batches of 25: what is not left of the initial 1 is 25 / 24 of ours.
                rest = layer.momentum**STEPS
                biased = (module.running_var.numpy() - rest) * 24 / 25 + rest
                np.testing.assert_allclose(layer.running_var, biased, rtol=100 * tolerance)
                module.running_var[:] = tensor(layer.running_var)
    outputs = network(tensor(x.astype(dtype))).detach().numpy()
    if dtype == "float64":
        np.testing.assert_allclose(model.predict(x), outputs, atol=1e-7)
    else:
        # Adam turns the rounding of a bias before BatchNorm, whose gradient is zero, into steps of
        # the learning rate; the running mean follows them, a little behind.
        np.testing.assert_allclose(model.predict(x), outputs, atol=0.05)
