"""A whole eager training step of the classic network, on every backend and in PyTorch.

The network is 784-100x6-10 with ReLU, a batch of 100 and SGD, plain and with BatchNorm and dropout.
PyTorch (extra ``oracle``) runs eagerly with its fused optimizer. Every contender is checked before
it is timed: from the same weights, without dropout, all start at the same loss.
"""

from itertools import pairwise

import numpy as np
import pytest

import fastnn as fnn
from fastnn.examples import Examples
from fastnn.threads import available_threads, limited

BATCH, FEATURES, CLASSES, HIDDEN = 100, 784, 10, [100] * 6
NETWORKS = {"classic": (False, 0.0), "classic-bn-drop": (True, 0.2)}
LR = 0.01


def examples():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, FEATURES)).astype(np.float32)
    return Examples(x, rng.integers(0, CLASSES, BATCH))


def fastnn_trainer(network, backend, dropout=None):
    batch_norm, ratio = NETWORKS[network]
    model = fnn.mlp(
        FEATURES,
        HIDDEN,
        CLASSES,
        batch_norm=batch_norm,
        dropout=ratio if dropout is None else dropout,
        rng=0,
        backend=backend,
    )
    return fnn.Trainer(model, optimizer=fnn.SGD(LR), engine="eager", verbose=False)


def expected_loss(network):
    """The first loss without dropout, on the reference."""
    batch = examples()
    return fastnn_trainer(network, "numpy", dropout=0.0).gradients(batch.x, batch.targets)[0]


def torch_step(network, threads, dropout=None):
    """One step of PyTorch from fastnn's initial weights, as a function that returns the loss."""
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra 'oracle'")
    torch.set_num_threads(threads)
    batch_norm, ratio = NETWORKS[network]
    ratio = ratio if dropout is None else dropout
    params = fastnn_trainer(network, "numpy").model.params
    layers = []
    widths = [FEATURES, *HIDDEN, CLASSES]
    for number, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        linear = torch.nn.Linear(n_in, n_out)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(params[f"affine{number}.w"].T))
            linear.bias.zero_()
        layers.append(linear)
        if number <= len(HIDDEN):
            layers += [torch.nn.BatchNorm1d(n_out)] if batch_norm else []
            layers += [torch.nn.ReLU()]
            layers += [torch.nn.Dropout(ratio)] if ratio else []
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=True)
    criterion = torch.nn.CrossEntropyLoss()
    batch = examples()
    x, targets = torch.from_numpy(batch.x), torch.from_numpy(batch.targets)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x), targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("threads", sorted({1, available_threads()}))
@pytest.mark.parametrize("backend", ["numpy", "numba", "cython", "torch"])
def test_step(benchmark, backend, network, threads):
    benchmark.group = f"step {network}"
    benchmark.extra_info |= {"kernel": f"step {network}", "backend": backend, "threads": threads}
    if backend == "torch":
        assert torch_step(network, threads, dropout=0.0)() == pytest.approx(
            expected_loss(network), rel=1e-4
        )
        benchmark(torch_step(network, threads))
        return
    if backend not in fnn.available_backends():
        pytest.skip(f"backend {backend} is not available here")
    batch = examples()
    checked = fastnn_trainer(network, backend, dropout=0.0)
    assert checked.gradients(batch.x, batch.targets)[0] == pytest.approx(
        expected_loss(network), rel=1e-4
    )
    trainer = fastnn_trainer(network, backend)
    with limited(trainer.model.backend.kernels, threads):
        benchmark(trainer._runner.step, batch, LR)
