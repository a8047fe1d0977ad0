"""Plain NumPy as textbooks have it: a class for each layer, ``forward`` and ``backward``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from peers.workloads import Task


class Affine:
    def __init__(self, w, b):
        self.params = [w, b]

    def forward(self, x, train):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads = [self.x.T @ dout, dout.sum(axis=0)]
        return dout @ self.params[0].T


class ReLU:
    def forward(self, x, train):
        self.negative = x <= 0
        out = x.copy()
        out[self.negative] = 0
        return out

    def backward(self, dout):
        dout[self.negative] = 0
        return dout


class Dropout:
    def __init__(self, ratio, rng):
        self.ratio = ratio
        self.rng = rng

    def forward(self, x, train):
        if not train:
            return x
        kept = self.rng.random(x.shape, dtype=x.dtype) > self.ratio
        self.factor = kept * x.dtype.type(1 / (1 - self.ratio))
        return x * self.factor

    def backward(self, dout):
        return dout * self.factor


class BatchNorm:
    """S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015, Algorithm 1."""

    def __init__(self, units, momentum=0.9, eps=1e-5):
        self.params = [np.ones(units, np.float32), np.zeros(units, np.float32)]
        self.mean = np.zeros(units, np.float32)
        self.var = np.ones(units, np.float32)
        self.momentum = momentum
        self.eps = eps

    def forward(self, x, train):
        gamma, beta = self.params
        if not train:
            return gamma * (x - self.mean) / np.sqrt(self.var + self.eps) + beta
        mean = x.mean(axis=0)
        centred = x - mean
        var = (centred**2).mean(axis=0)
        self.std = np.sqrt(var + self.eps)
        self.normal = centred / self.std
        self.mean = self.momentum * self.mean + (1 - self.momentum) * mean
        self.var = self.momentum * self.var + (1 - self.momentum) * var
        return gamma * self.normal + beta

    def backward(self, dout):
        self.grads = [(dout * self.normal).sum(axis=0), dout.sum(axis=0)]
        dnormal = dout * self.params[0]
        return (
            dnormal - dnormal.mean(axis=0) - self.normal * (dnormal * self.normal).mean(axis=0)
        ) / self.std


class SoftmaxWithLoss:
    def forward(self, x, t):
        x = x - x.max(axis=1, keepdims=True)
        exp = np.exp(x)
        self.y = exp / exp.sum(axis=1, keepdims=True)
        self.t = t
        return -np.log(self.y[np.arange(len(t)), t] + np.float32(1e-30)).mean()

    def backward(self):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx / np.float32(len(self.t))


class SGD:
    def __init__(self, lr):
        self.lr = lr

    def update(self, params, grads):
        for p, g in zip(params, grads, strict=True):
            p -= self.lr * g


class Adam:
    """D. P. Kingma and J. Ba, "Adam", ICLR 2015, Algorithm 1."""

    def __init__(self, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.step = 0

    def update(self, params, grads):
        if not self.step:
            self.m = [np.zeros_like(p) for p in params]
            self.v = [np.zeros_like(p) for p in params]
        self.step += 1
        scale1 = 1 - self.beta1**self.step
        scale2 = 1 - self.beta2**self.step
        for p, g, m, v in zip(params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g**2 - v)
            p -= self.lr * (m / scale1) / (np.sqrt(v / scale2) + self.eps)


class Network:
    def __init__(self, task: Task, threads: int = 1) -> None:
        workload = task.workload
        self.threads = threads  # OPENBLAS_NUM_THREADS holds NumPy to them
        self.rng = np.random.default_rng(task.seed)
        self.x, self.y, self.batch = task.x, task.y, workload.batch
        self.layers: list[Any] = []
        for number, (w, b) in enumerate(task.weights, start=1):
            self.layers.append(Affine(w.copy(), b.copy()))
            if number < len(task.weights):
                if workload.batch_norm:
                    self.layers.append(BatchNorm(len(b)))
                self.layers.append(ReLU())
                if workload.dropout:
                    self.layers.append(Dropout(workload.dropout, self.rng))
        self.loss = SoftmaxWithLoss()
        self.learners = [layer for layer in self.layers if hasattr(layer, "params")]
        self.optimizer = {"sgd": SGD, "adam": Adam}[workload.optimizer](workload.lr)

    def forward(self, x: np.ndarray, train: bool) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x, train)
        return x

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        loss = self.loss.forward(self.forward(x, train=True), y)
        dout = self.loss.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        self.optimizer.update(
            [p for layer in self.learners for p in layer.params],
            [g for layer in self.learners for g in layer.grads],
        )
        return float(loss)

    def visit(self, order: np.ndarray) -> list[float]:
        return [self.step(self.x[rows], self.y[rows]) for rows in order.reshape(-1, self.batch)]

    def epoch(self) -> float:
        return float(np.mean(self.visit(self.rng.permutation(len(self.x)))))

    def losses(self) -> list[float]:
        return self.visit(np.arange(len(self.x)))

    def predictor(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: self.forward(x, train=False)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs
