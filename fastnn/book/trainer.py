"""The course's trainer: random batches, accuracies by epoch, printed as it goes."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastnn.book.native import NativeSteps, native_steps
from fastnn.book.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from fastnn.checks import Rng, as_array, generator, positive_int
from fastnn.interrupts import deferred_interrupt

OPTIMIZERS: dict[str, Any] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "rmsprpo": RMSprop,  # as the course spells it
    "adam": Adam,
}

_RATE: Mapping[str, float] = MappingProxyType({"lr": 0.01})


class Trainer:
    """Trains a network by mini-batches drawn with replacement.

    Parameters
    ----------
    network : object
        With ``params``, and ``gradient(x, t)``, ``loss(x, t)`` and ``accuracy(x, t)``: one of
        `fastnn.book`, or one's own.
    x_train, t_train, x_test, t_test : ndarray
        Rows, and labels or one-hot rows.
    epochs : int
    mini_batch_size : int
    optimizer : {"SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"}
        In any case.
    optimizer_param : mapping
        Arguments of the optimizer.
    evaluate_sample_num_per_epoch : int, optional
        Judge by that many rows from the start of each set; by all, if None.
    verbose : bool
        Print the loss of each step and the accuracies of each epoch.
    rng : int or numpy.random.Generator, optional
        Draws the batches.

    Attributes
    ----------
    train_loss_list : list of float
        Of each step, the loss of its batch after the update.
    train_acc_list, test_acc_list : list of float
        Of each epoch, after its first step.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Notes
    -----
    Where the batch size does not divide the number of rows, an epoch begins with the first step
    past a multiple of their quotient.
    """

    def __init__(
        self,
        network: Any,
        x_train: np.ndarray,
        t_train: np.ndarray,
        x_test: np.ndarray,
        t_test: np.ndarray,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, Any] = _RATE,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        rng: Rng = None,
    ) -> None:
        self.network = network
        self.x_train, self.t_train = _pair("train", x_train, t_train)
        self.x_test, self.t_test = _pair("test", x_test, t_test)
        self.epochs = positive_int("epochs", epochs)
        self.batch_size = positive_int("mini_batch_size", mini_batch_size)
        if not isinstance(optimizer, str) or optimizer.lower() not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        self.optimizer = OPTIMIZERS[optimizer.lower()](**optimizer_param)
        if evaluate_sample_num_per_epoch is not None:
            positive_int("evaluate_sample_num_per_epoch", evaluate_sample_num_per_epoch)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.verbose = verbose
        self.rng = generator(rng)

        self.train_size = len(self.x_train)
        self.iter_per_epoch = max(self.train_size / self.batch_size, 1)
        self.max_iter = int(self.epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []

    def train_step(self) -> None:
        """Draw a batch, update, note the loss; the first step of an epoch judges the network."""
        rows = self._draw()
        x_batch, t_batch = self.x_train[rows], self.t_train[rows]
        grads = self.network.gradient(x_batch, t_batch)
        self.optimizer.update(self.network.params, grads)
        self._note(self.network.loss(x_batch, t_batch))

    def _draw(self) -> np.ndarray:
        return self.rng.integers(self.train_size, size=self.batch_size)

    def _note(self, loss: float) -> None:
        self.train_loss_list.append(loss)
        self._print(f"train loss:{loss}")
        if self.current_iter >= self.current_epoch * self.iter_per_epoch:
            self._judge()
        self.current_iter += 1

    def _judge(self) -> None:
        self.current_epoch += 1
        first = slice(self.evaluate_sample_num_per_epoch)
        train_acc = self.network.accuracy(self.x_train[first], self.t_train[first])
        test_acc = self.network.accuracy(self.x_test[first], self.t_test[first])
        self.train_acc_list.append(train_acc)
        self.test_acc_list.append(test_acc)
        self._print(
            f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ==="
        )

    def train(self) -> None:
        """All steps of all epochs, then the accuracy on the whole test set.

        With one of `fastnn.book`'s networks and optimizers, the steps between two judgements are
        made in the native program, and printed some at a time.
        """
        native = None
        if type(self).train_step is Trainer.train_step:
            native = native_steps(
                self.network, self.optimizer, self.x_train, self.t_train, self.batch_size
            )
        if native is not None:
            self._train_natively(native)
        else:
            for _ in range(self.max_iter):
                self.train_step()
        test_acc = self.network.accuracy(self.x_test, self.t_test)
        self._print(f"=============== Final Test Accuracy ===============\ntest acc:{test_acc}")

    def _train_natively(self, native: NativeSteps) -> None:
        end = self.current_iter + self.max_iter
        with deferred_interrupt() as raise_if_interrupted:
            while self.current_iter < end:
                judged = max(math.ceil(self.current_epoch * self.iter_per_epoch), self.current_iter)
                steps = min(judged + 1, end) - self.current_iter
                rows = np.stack([self._draw() for _ in range(steps)])
                while len(rows):
                    losses = native.run(rows)
                    rows = rows[len(losses) :]
                    for loss in losses:
                        self._note(loss)
                    raise_if_interrupted()

    def _print(self, line: str) -> None:
        if self.verbose:
            print(line)


def _pair(which: str, x: Any, t: Any) -> tuple[np.ndarray, np.ndarray]:
    x, t = as_array(f"x_{which}", x), as_array(f"t_{which}", t)
    if x.ndim == 0 or t.ndim == 0 or len(x) == 0 or len(x) != len(t):
        raise ValueError(
            f"x_{which} and t_{which} must have as many rows, and at least one; "
            f"got shapes {x.shape} and {t.shape}"
        )
    return x, t
