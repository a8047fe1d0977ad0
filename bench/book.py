"""`fastnn.book` beside plain NumPy: one whole run of the course's trainer each, in turns.

    python bench/book.py [repetitions]

MNIST, from FASTNN_DATA. The NumPy side is written as textbooks write it: a class for each layer,
float64 weights, the batch's loss computed anew after each update.
"""

import contextlib
import io
import sys
import time

import numpy as np
from peers.textbook import SGD, Affine, ReLU, SoftmaxWithLoss

from fastnn import book


class TextbookNet:
    """ReLU layers and weight decay; the interface of `fastnn.book.MultiLayerNet`."""

    def __init__(self, params, decay):
        self.params = params
        self.decay = decay
        self.affine = [Affine(params[f"W{i}"], params[f"b{i}"]) for i in numbers(params)]
        self.layers = [layer for affine in self.affine for layer in (affine, ReLU())][:-1]
        self.last = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x, train=False)
        return x

    def loss(self, x, t):
        squares = sum(0.5 * self.decay * np.sum(a.params[0] ** 2) for a in self.affine)
        self.last.forward(self.predict(x), t)
        return -np.mean(np.log(self.last.y[np.arange(len(t)), t] + 1e-7)) + squares

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == t) / len(x)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return {
            name: gradient
            for i, a in zip(numbers(self.params), self.affine, strict=True)
            for name, gradient in (
                (f"W{i}", a.grads[0] + self.decay * a.params[0]),
                (f"b{i}", a.grads[1]),
            )
        }


class TextbookSGD:
    def update(self, params, grads):
        SGD(0.01).update(params.values(), (grads[name] for name in params))


def numbers(params):
    return range(1, len(params) // 2 + 1)


RUNS = {
    # name: hidden layers, training rows, epochs, weight decay
    "two layers, 60,000 samples": ([50], 60_000, 1, 0.0),
    "seven layers, 60,000 samples": ([100] * 6, 60_000, 1, 0.0),
    "seven layers, 300 samples, weight decay": ([100] * 6, 300, 20, 0.1),
}


def seconds(trainer):
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    return time.perf_counter() - start


def trainers(hidden, rows, epochs, decay, data):
    (x, t), (x_test, t_test) = data
    network = book.MultiLayerNet(784, hidden, 10, weight_decay_lambda=decay, rng=0)
    copies = {name: value.copy() for name, value in network.params.items()}
    for side in (network, TextbookNet(copies, decay)):
        yield book.Trainer(side, x[:rows], t[:rows], x_test, t_test, epochs, rng=0)


def main():
    data = book.load_mnist()
    for name, settings in RUNS.items():
        taken = []
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
            ours, plain = trainers(*settings, data)
            plain.optimizer = TextbookSGD()
            taken.append((seconds(ours), seconds(plain)))
            np.testing.assert_allclose(ours.train_loss_list, plain.train_loss_list, rtol=1e-8)
            assert ours.test_acc_list == plain.test_acc_list
        ours, plain = map(min, zip(*taken, strict=True))
        print(f"{name:42} {ours:6.2f} s, NumPy {plain:6.2f} s: {plain / ours:.1f} times as long")


if __name__ == "__main__":
    main()
