"""The textbook's networks and optimizers as plain NumPy formulas: what `fastnn.book` must equal.

Nothing here comes from fastnn. A network is a dict of arrays, W1, b1, gamma1, beta1, W2...
"""

import numpy as np


def relu(a):
    return np.where(a > 0, a, 0.0)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


SLOPES = {relu: lambda z: (z > 0) * 1.0, sigmoid: lambda z: z * (1 - z)}
EPS = 1e-6


class Network:
    """Affine, BatchNorm, activation, dropout for each hidden layer; affine; softmax."""

    def __init__(self, params, activation=relu, decay=0.0, ratio=0.0, masks=None):
        self.p = params
        self.f = activation
        self.decay = decay
        self.ratio = ratio
        self.masks = masks
        self.n = sum(name.startswith("W") for name in params)
        self.moments = {i: (0.0, 0.0) for i in range(1, self.n) if f"gamma{i}" in params}

    def forward(self, x, train=False):
        self.kept = {"a0": np.asarray(x, np.float64)}
        a = self.kept["a0"]
        for i in range(1, self.n):
            a = a @ self.p[f"W{i}"] + self.p[f"b{i}"]
            if i in self.moments:
                mean, var = (a.mean(axis=0), a.var(axis=0)) if train else self.moments[i]
                if train:
                    old = self.moments[i]
                    self.moments[i] = 0.9 * old[0] + 0.1 * mean, 0.9 * old[1] + 0.1 * var
                self.kept[f"hat{i}"] = (a - mean) / np.sqrt(var + EPS)
                self.kept[f"std{i}"] = np.sqrt(var + EPS)
                a = self.p[f"gamma{i}"] * self.kept[f"hat{i}"] + self.p[f"beta{i}"]
            a = self.kept[f"z{i}"] = self.f(a)
            if self.ratio:
                a = a * self.masks[i - 1] if train else a * (1 - self.ratio)
            self.kept[f"a{i}"] = a
        return a @ self.p[f"W{self.n}"] + self.p[f"b{self.n}"]

    def loss(self, x, t, train=False):
        p = softmax(self.forward(x, train))
        squares = sum((self.p[f"W{i}"] ** 2).sum() for i in range(1, self.n + 1))
        return -np.log(p[np.arange(len(t)), t] + 1e-7).mean() + self.decay / 2 * squares

    def gradient(self, x, t):
        d = softmax(self.forward(x, train=True))
        d[np.arange(len(t)), t] -= 1
        d /= len(t)
        grads = {}
        for i in range(self.n, 0, -1):
            a = self.kept[f"a{i - 1}"]
            grads[f"W{i}"] = a.T @ d + self.decay * self.p[f"W{i}"]
            grads[f"b{i}"] = d.sum(axis=0)
            if i == 1:
                return grads
            d = d @ self.p[f"W{i}"].T
            if self.ratio:
                d = d * self.masks[i - 2]
            d = d * SLOPES[self.f](self.kept[f"z{i - 1}"])
            if i - 1 in self.moments:
                hat, std = self.kept[f"hat{i - 1}"], self.kept[f"std{i - 1}"]
                grads[f"gamma{i - 1}"] = (d * hat).sum(axis=0)
                grads[f"beta{i - 1}"] = d.sum(axis=0)
                d = self.p[f"gamma{i - 1}"] * d
                d = (d - d.mean(axis=0) - hat * (d * hat).mean(axis=0)) / std
        return grads

    def accuracy(self, x, t):
        return float((self.forward(x).argmax(axis=1) == t).mean())


def sgd(p, g, s, lr=0.01):
    p -= lr * g


def momentum(p, g, s, lr=0.01, momentum=0.9):
    s["v"] = momentum * s.get("v", 0) - lr * g
    p += s["v"]


def nesterov(p, g, s, lr=0.01, momentum=0.9):
    old = s.get("v", 0)
    s["v"] = momentum * old - lr * g
    p += momentum**2 * old - (1 + momentum) * lr * g


def adagrad(p, g, s, lr=0.01):
    s["h"] = s.get("h", 0) + g * g
    p -= lr * g / (np.sqrt(s["h"]) + 1e-7)


def rmsprop(p, g, s, lr=0.01, decay_rate=0.99):
    s["h"] = decay_rate * s.get("h", 0) + (1 - decay_rate) * g * g
    p -= lr * g / (np.sqrt(s["h"]) + 1e-7)


def adam(p, g, s, lr=0.001, beta1=0.9, beta2=0.999):
    t = s["t"] = s.get("t", 0) + 1
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    s["m"] = s.get("m", 0) + (1 - beta1) * (g - s.get("m", 0))
    s["v"] = s.get("v", 0) + (1 - beta2) * (g * g - s.get("v", 0))
    p -= rate * s["m"] / (np.sqrt(s["v"]) + 1e-7)
