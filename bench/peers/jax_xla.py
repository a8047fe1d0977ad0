"""JAX: the step under jit, or the whole epoch as one ``lax.scan`` under jit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers.workloads import Task, Workload

Tree = Any


class Network:
    def __init__(self, task: Task, threads: int = 1, scan: bool = True) -> None:
        workload = task.workload
        self.threads = threads  # NPROC and XLA_FLAGS hold XLA to them
        self.rng = np.random.default_rng(task.seed)
        self.shape = (-1, workload.batch)
        self.x, self.y = jnp.asarray(task.x), jnp.asarray(task.y.astype(np.int32))
        units = [len(b) for _, b in task.weights[:-1]] if workload.batch_norm else []
        params = {
            # asarray would share NumPy's memory, which is about to be donated
            "affine": [(jnp.array(w), jnp.array(b)) for w, b in task.weights],
            "batchnorm": [(jnp.ones(n), jnp.zeros(n)) for n in units],
        }
        state = {
            "params": params,
            "running": [(jnp.zeros(n), jnp.ones(n)) for n in units],
            "averages": [],
            "key": jax.random.key(task.seed),
            "step": jnp.zeros((), jnp.int32),
        }
        if workload.optimizer == "adam":
            state["averages"] = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        self.state = state
        step = partial(train_step, workload)
        self.forward = jax.jit(partial(forward, workload, train=False))
        self.run = jax.jit(partial(scan_epoch, step), donate_argnums=0) if scan else None
        self.step = jax.jit(step, donate_argnums=0)

    def visit(self, order: np.ndarray) -> jax.Array:
        batches = order.astype(np.int32).reshape(self.shape)
        if self.run is not None:
            self.state, losses = self.run(self.state, self.x, self.y, batches)
            return losses
        losses = []
        for rows in batches:
            self.state, loss = self.step(self.state, self.x, self.y, rows)
            losses.append(loss)
        return jnp.stack(losses)

    def epoch(self) -> float:
        losses = self.visit(self.rng.permutation(len(self.x)))
        jax.block_until_ready(self.state)
        return float(np.mean(losses))

    def losses(self) -> list[float]:
        return np.asarray(self.visit(np.arange(len(self.x)))).tolist()

    def predictor(self, x: np.ndarray) -> Callable[[], jax.Array]:
        rows = jnp.asarray(x)
        params, running, key = self.state["params"], self.state["running"], self.state["key"]
        return lambda: self.forward(params, running, rows, key)[0].block_until_ready()

    def scores(self, outputs: jax.Array) -> np.ndarray:
        return np.asarray(outputs)


def forward(
    workload: Workload, params: Tree, running: Tree, x: jax.Array, key: jax.Array, train: bool
) -> tuple[jax.Array, Tree]:
    """Outputs, and the moved running averages."""
    moved = []
    last = len(params["affine"]) - 1
    for number, (w, b) in enumerate(params["affine"]):
        x = x @ w + b
        if number == last:
            break
        if workload.batch_norm:
            gamma, beta = params["batchnorm"][number]
            mean, var = running[number]
            if train:
                batch_mean = x.mean(axis=0)
                batch_var = ((x - batch_mean) ** 2).mean(axis=0)
                moved.append((0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var))
                mean, var = batch_mean, batch_var
            x = (x - mean) * (gamma * lax.rsqrt(var + 1e-5)) + beta
        x = jax.nn.relu(x)
        if train and workload.dropout:
            kept = jax.random.bernoulli(
                jax.random.fold_in(key, number), 1 - workload.dropout, x.shape
            )
            x = jnp.where(kept, x / (1 - workload.dropout), 0)
    return x, moved


def train_step(
    workload: Workload, state: Tree, x: jax.Array, y: jax.Array, rows: jax.Array
) -> tuple[Tree, jax.Array]:
    x, y = x[rows], y[rows]
    step = state["step"] + 1
    key = jax.random.fold_in(state["key"], step)

    def loss_of(params: Tree) -> tuple[jax.Array, Tree]:
        out, moved = forward(workload, params, state["running"], x, key, train=True)
        picked = jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1)
        return -picked.mean(), moved

    (loss, running), grads = jax.value_and_grad(loss_of, has_aux=True)(state["params"])
    params, averages, lr = state["params"], state["averages"], workload.lr
    if averages:
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, averages[0], grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, averages[1], grads)
        scale1, scale2 = 1 - 0.9**step, 1 - 0.999**step
        params = jax.tree.map(
            lambda p, m, v: p - lr / scale1 * m / (jnp.sqrt(v / scale2) + 1e-8), params, m, v
        )
        averages = [m, v]
    else:
        params = jax.tree.map(lambda p, g: p - lr * g, params, grads)
    new = {"params": params, "running": running, "averages": averages}
    return new | {"key": state["key"], "step": step}, loss


def scan_epoch(
    step: Callable, state: Tree, x: jax.Array, y: jax.Array, batches: jax.Array
) -> tuple[Tree, jax.Array]:
    return lax.scan(lambda carry, rows: step(carry, x, y, rows), state, batches)
