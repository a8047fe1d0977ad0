"""Steps of the course's trainer in the native program: many of `Trainer.train_step` at once.

A step is a gradient, the course's update, and the loss of the batch after it. Whatever has no
native form here, a network or an optimizer of one's own among them, is left to the trainer.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.book.functions import GUARD, class_labels
from fastnn.book.networks import NETWORKS, Network
from fastnn.book.optimizers import EPS, SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
from fastnn.buffers import FlatArrays
from fastnn.losses import SoftmaxCrossEntropy
from fastnn.lowering import describe_training, obstacle, training_program
from fastnn.regularizers import L2
from fastnn.threads import SMALL_NATIVE_STEP, Team, limited, thread_count, threads_are_fixed

# optimizer -> the program's name of its rule, and the rule's numbers
RULES: dict[type[Optimizer], Callable[[Any], tuple[str, tuple[float, ...]]]] = {
    SGD: lambda o: ("sgd", ()),
    Momentum: lambda o: ("course_momentum", (o.momentum,)),
    Nesterov: lambda o: ("course_nesterov", (o.momentum,)),
    AdaGrad: lambda o: ("adagrad", (EPS,)),
    RMSprop: lambda o: ("rmsprop", (o.decay_rate, EPS)),
    Adam: lambda o: ("course_adam", (o.beta1, o.beta2, EPS)),
}


def native_steps(
    network: Any, optimizer: Any, x: np.ndarray, t: np.ndarray, batch_size: int
) -> "NativeSteps | None":
    """Steps on these examples, if all of them have a native form.

    Parameters
    ----------
    network, optimizer : object
    x, t : ndarray
        As `Trainer` takes them.
    batch_size : int
    """
    if type(network) not in NETWORKS or type(optimizer) not in RULES or obstacle(network.model):
        return None
    replaced = network.params.keys() != network.views.keys() or any(
        network.params[name] is not view for name, view in network.views.items()
    )
    if replaced or (batch_size == 1 and network.use_batchnorm):
        return None
    try:
        rows = network.rows(x)
        labels = class_labels(t, len(rows), network.output_size)
    except (TypeError, ValueError):
        return None  # `Trainer.train_step` says so when it draws what does not fit
    return NativeSteps(network, optimizer, rows, labels, batch_size)


class NativeSteps:
    """Steps of one network, by one optimizer, on one set of examples.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
        Its averages move into arrays that the program can take, and stay its own.
    x : ndarray, (N, features)
        As ``network.rows`` returns them.
    labels : ndarray, (N,), int64
    batch_size : int
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        x: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.x = x
        self.labels = labels
        self.batch_size = batch_size
        model = network.model
        description = describe_training(
            model,
            SoftmaxCrossEntropy(),
            RULES[type(optimizer)](optimizer),
            L2(network.weight_decay_lambda),
            soft_targets=False,
            rows=batch_size,
            review=GUARD,
        )
        self.program = training_program(model, self._flat_averages(), description)
        # Forward and backward are six for each weight and row; forward again, two more.
        threads = thread_count(None, 8.0 * batch_size * model.weight_count, SMALL_NATIVE_STEP)
        self.team = Team(threads, adapt=not threads_are_fixed(None))

    def run(self, rows: np.ndarray) -> list[float]:
        """Make a step on each batch of rows, as far as a twentieth of a second goes.

        Parameters
        ----------
        rows : ndarray, (steps, batch_size), int64

        Returns
        -------
        list of float
            The loss after each step that was made, at least one.
        """
        network, optimizer, steps = self.network, self.optimizer, len(rows)
        losses = np.zeros(steps)
        self.program.set_examples(self.x, self.labels, None)
        self.program.set_epoch(
            rows.reshape(-1),
            np.arange(steps + 1) * self.batch_size,
            np.full(steps, float(optimizer.lr)),
            np.zeros(steps),
            np.zeros(steps, np.int64),
            losses,
        )
        threads, seconds = self.team.next_run()
        start = time.perf_counter()
        with limited(network.model.backend.kernels, threads):
            done = self.program.run(
                0, steps, network.training_passes, optimizer.iter, threads, seconds
            )
        self.team.record(threads, (time.perf_counter() - start) / done)
        network.training_passes += done
        optimizer.iter += done
        return losses[:done].tolist()

    def _flat_averages(self) -> list[np.ndarray]:
        """The optimizer's averages, one after another as the model's parameters are."""
        params = self.network.model.params
        laid_out = []
        for what in self.optimizer.average_names:
            arrays = FlatArrays(((name, p.shape) for name, p in params.items()), np.float64)
            for name, view in self.network.by_course_name(arrays.views).items():
                average = view.reshape(-1)
                before = self.optimizer.averages.get((what, name))
                if before is not None and before.shape == average.shape:
                    average[:] = before
                self.optimizer.averages[what, name] = average
            laid_out.append(arrays.flat)
        return laid_out
