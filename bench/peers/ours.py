"""fastnn through its public names."""

from collections.abc import Callable

import numpy as np

import fastnn as fnn
from peers.workloads import Task

OPTIMIZERS = {"sgd": fnn.SGD, "adam": fnn.Adam}


class Losses(fnn.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_batch_end(
        self, trainer: fnn.Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        self.values.append(loss)


class Network:
    def __init__(
        self, task: Task, engine: str = "native", backend: str = "cython", threads: int | None = 1
    ) -> None:
        workload = task.workload
        self.x, self.y = task.x, task.y
        self.model = fnn.mlp(
            workload.sizes[0],
            workload.sizes[1:-1],
            workload.sizes[-1],
            batch_norm=workload.batch_norm,
            dropout=workload.dropout,
            rng=task.seed,
            backend=backend,
        )
        for number, (w, b) in enumerate(task.weights, start=1):
            self.model.params[f"affine{number}.w"][:] = w
            self.model.params[f"affine{number}.b"][:] = b
        self.recorder = Losses()
        self.settings = {
            "optimizer": OPTIMIZERS[workload.optimizer](workload.lr),
            "batch_size": workload.batch,
            "engine": engine,
            "threads": threads,
            "rng": task.seed,
            "verbose": False,
        }
        self.trainer = fnn.Trainer(self.model, **self.settings)
        self.threads = self.trainer.threads

    def epoch(self) -> float:
        return self.trainer.fit(self.x, self.y, epochs=1)["loss"][-1]

    def losses(self) -> list[float]:
        trainer = fnn.Trainer(self.model, callbacks=[self.recorder], **self.settings)
        trainer.fit(self.x, self.y, epochs=1, shuffle=False)
        return self.recorder.values

    def predictor(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: self.model.predict(x)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs
