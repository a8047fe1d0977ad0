"""scikit-learn's MLPClassifier, which has no BatchNorm and no dropout."""

from collections.abc import Callable

import numpy as np
from sklearn.neural_network import MLPClassifier

from peers.workloads import Task


class Network:
    def __init__(self, task: Task, threads: int = 1) -> None:
        workload = task.workload
        self.threads = threads  # OPENBLAS_NUM_THREADS holds NumPy to them
        self.x, self.y, self.batch = task.x, task.y, workload.batch
        self.model = MLPClassifier(
            workload.sizes[1:-1],
            solver=workload.optimizer,
            alpha=0.0,
            batch_size=workload.batch,
            learning_rate_init=workload.lr,
            momentum=0.0,
            random_state=task.seed,
        )
        classes = np.arange(workload.sizes[-1])
        # One step makes the arrays; then it is as if it had not been.
        self.model.partial_fit(self.x[: self.batch], self.y[: self.batch], classes=classes)
        for number, (w, b) in enumerate(task.weights):
            self.model.coefs_[number][:] = w
            self.model.intercepts_[number][:] = b
        optimizer = self.model._optimizer
        if workload.optimizer == "adam":
            optimizer.t = 0
            for average in optimizer.ms + optimizer.vs:
                average[:] = 0

    def epoch(self) -> float:
        self.model.partial_fit(self.x, self.y)
        return float(self.model.loss_)

    def losses(self) -> list[float]:
        losses = []
        for start in range(0, len(self.x), self.batch):
            rows = slice(start, start + self.batch)
            self.model.partial_fit(self.x[rows], self.y[rows])
            losses.append(float(self.model.loss_))
        return losses

    def predictor(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: self.model.predict_proba(x)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return np.log(outputs)
