"""What is timed: networks, their data and initial weights, and the products a step is made of."""

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

POOL = 10_000
# Steps whose losses are compared before anything is timed.
CHECKED_STEPS = 5
LEARNING_RATES = {"sgd": 0.01, "adam": 1e-3}


@dataclass(frozen=True)
class Workload:
    """A network and what is done with it.

    Attributes
    ----------
    name : str
    sizes : tuple of int
        Features, units of the hidden layers (ReLU), outputs.
    batch : int
    batch_norm : bool
    dropout : float
    optimizer : {"sgd", "adam"}
    mode : {"train", "predict", "many", "mnist"}
        Time a training step; a prediction of ``batch`` rows; a step of one of `networks` networks;
        a cold process until MNIST is learnt.
    networks : int
    at_once : bool
        Whether the networks are trained in Python threads, or one after the other.
    pool : int
        Samples there are.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    batch_norm: bool = False
    dropout: float = 0.0
    optimizer: str = "sgd"
    mode: str = "train"
    networks: int = 1
    at_once: bool = False
    pool: int = POOL

    @property
    def steps(self) -> int:
        """Steps of an epoch: full batches only, as some peers compile for one shape."""
        return self.pool // self.batch

    @property
    def lr(self) -> float:
        return LEARNING_RATES[self.optimizer]

    @property
    def plain(self) -> bool:
        """Neither BatchNorm nor dropout."""
        return not self.batch_norm and not self.dropout


CLASSIC = (784, *[100] * 6, 10)
POLICY = Workload("policy", (8, 64, 64, 4), 32, optimizer="adam")

FULL = [
    Workload("classic", CLASSIC, 100),
    Workload("classic-bn-drop", CLASSIC, 100, True, 0.2),
    Workload("two-layer", (784, 50, 10), 100),
    POLICY,
    Workload("tabular", (32, 256, 128, 2), 256, True, 0.2, "adam"),
    Workload("wide-1024", (784, 1024, 1024, 10), 128, True, 0.2, "adam"),
    Workload("wide-4096", (784, 4096, 4096, 10), 256, optimizer="adam"),
    Workload("predict-1", CLASSIC, 1, mode="predict"),
    Workload("predict-10000", CLASSIC, 10_000, mode="predict"),
    replace(POLICY, name="policies-in-turn", mode="many", networks=32),
    replace(POLICY, name="policies-at-once", mode="many", networks=32, at_once=True),
    Workload("mnist", (784, 256, 128, 10), 100, optimizer="adam", mode="mnist"),
]
QUICK = [
    Workload("tiny", (64, 32, 10), 50, pool=500),
    Workload("tiny-bn-drop", (64, 32, 32, 10), 50, True, 0.2, "adam", pool=500),
    Workload("tiny-predict", (64, 32, 10), 1, mode="predict", pool=500),
]
WORKLOADS = {workload.name: workload for workload in FULL + QUICK}


class Product(NamedTuple):
    """A matrix product of (rows, inner) and (inner, cols)."""

    what: str  # "forward", "dw" or "dx"
    rows: int
    inner: int
    cols: int

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.cols


def products(workload: Workload) -> list[Product]:
    """The matrix products of a step, in its order, or of a prediction.

    For every layer ``out = x @ w``; then, from the last to the first, ``dw = x.T @ dout`` and
    ``dx = dout @ w.T``, which nobody needs of the first layer.
    """
    n = workload.batch
    layers = list(pairwise(workload.sizes))
    forward = [Product("forward", n, n_in, n_out) for n_in, n_out in layers]
    if workload.mode == "predict":
        return forward
    backward = []
    for number, (n_in, n_out) in reversed(list(enumerate(layers))):
        backward.append(Product("dw", n_in, n, n_out))
        if number:
            backward.append(Product("dx", n, n_out, n_in))
    return forward + backward


@dataclass
class Task:
    """What a `Network` gets: a workload with its data and initial weights.

    Attributes
    ----------
    workload : Workload
    weights : list of (w, b)
        float32, w (in, out) and b (out,), one pair for each layer.
    x : ndarray, (N, features), float32
    y : ndarray, (N,), int64
        N is a multiple of the batch.
    seed : int
        For orders and dropout masks.
    """

    workload: Workload
    weights: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    y: np.ndarray
    seed: int = 0


def initial_weights(sizes: tuple[int, ...], seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """He's normal initialization with zero biases."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.standard_normal((n_in, n_out), np.float32) * np.float32(np.sqrt(2 / n_in)),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in pairwise(sizes)
    ]


def make_task(workload: Workload, seed: int = 0) -> Task:
    """Random samples with labels that a linear map gives, so that there is something to learn."""
    rng = np.random.default_rng(0)
    features, classes = workload.sizes[0], workload.sizes[-1]
    rows = workload.steps * workload.batch
    x = rng.standard_normal((workload.pool, features), np.float32)[:rows]
    y = (x @ rng.standard_normal((features, classes), np.float32)).argmax(axis=1)
    return Task(workload, initial_weights(workload.sizes), x, y, seed)


def make_checked_task(workload: Workload) -> Task:
    """The first batches without dropout, which every peer has masks of its own for."""
    task = make_task(workload)
    rows = CHECKED_STEPS * workload.batch
    task.workload = replace(workload, dropout=0.0)
    task.x, task.y = task.x[:rows], task.y[:rows]
    return task


def cores() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
