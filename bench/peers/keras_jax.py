"""Keras on JAX: ``fit`` on arrays, several steps for each call of the compiled function."""

from collections.abc import Callable

import keras
import numpy as np

from peers.workloads import Task

# Keras unrolls the steps that it compiles together: more of them cost compile time.
STEPS_PER_EXECUTION = 8


class Network:
    def __init__(self, task: Task, threads: int = 1) -> None:
        workload = task.workload
        keras.utils.set_random_seed(task.seed)
        self.threads = threads
        self.x, self.y, self.batch = task.x, task.y.astype(np.int32), workload.batch
        layers: list = [keras.Input((workload.sizes[0],))]
        dense = []
        for number, units in enumerate(workload.sizes[1:], start=1):
            dense.append(keras.layers.Dense(units))
            layers.append(dense[-1])
            if number < len(workload.sizes) - 1:
                if workload.batch_norm:
                    layers.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
                layers.append(keras.layers.ReLU())
                if workload.dropout:
                    layers.append(keras.layers.Dropout(workload.dropout))
        self.model = keras.Sequential(layers)
        for layer, weights in zip(dense, task.weights, strict=True):
            layer.set_weights(weights)
        optimizer = (
            keras.optimizers.Adam(workload.lr, epsilon=1e-8)
            if workload.optimizer == "adam"
            else keras.optimizers.SGD(workload.lr)
        )
        self.model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
            steps_per_execution=STEPS_PER_EXECUTION,
        )

    def epoch(self) -> float:
        run = self.model.fit(self.x, self.y, batch_size=self.batch, epochs=1, verbose=0)
        return float(run.history["loss"][0])

    def losses(self) -> list[float]:
        losses = []
        for start in range(0, len(self.x), self.batch):
            rows = slice(start, start + self.batch)
            self.model.reset_metrics()
            losses.append(float(self.model.train_on_batch(self.x[rows], self.y[rows])))
        return losses

    def predictor(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: self.model.predict_on_batch(x)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return np.asarray(outputs)
