"""PyTorch: eager with fused optimizers, or through torch.compile."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from peers.workloads import Task

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Network:
    def __init__(self, task: Task, threads: int = 1, compiled: bool = False) -> None:
        workload = task.workload
        torch.set_num_threads(threads)
        torch.manual_seed(task.seed)
        self.threads = threads
        self.x, self.y = torch.from_numpy(task.x), torch.from_numpy(task.y)
        self.batch = workload.batch
        layers: list[nn.Module] = []
        for number, (w, b) in enumerate(task.weights, start=1):
            linear = nn.Linear(*w.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w.T))
                linear.bias.copy_(torch.from_numpy(b))
            layers.append(linear)
            if number < len(task.weights):
                layers += [nn.BatchNorm1d(len(b))] if workload.batch_norm else []
                layers += [nn.ReLU(inplace=True)]
                layers += [nn.Dropout(workload.dropout)] if workload.dropout else []
        self.model = nn.Sequential(*layers)
        self.optimizer = OPTIMIZERS[workload.optimizer](
            self.model.parameters(), lr=workload.lr, fused=True
        )
        self.forward: Callable = self.model
        self.loss: Callable = self._loss
        if compiled:
            torch._dynamo.reset()  # what was compiled for another workload
            self.forward = torch.compile(self.model, fullgraph=True, dynamic=False)
            self.loss = torch.compile(self._loss, fullgraph=True, dynamic=False)

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(x), y)

    def visit(self, order: torch.Tensor) -> torch.Tensor:
        losses = []
        for rows in order.split(self.batch):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(self.x[rows], self.y[rows])
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def epoch(self) -> float:
        return float(self.visit(torch.randperm(len(self.x))).mean())

    def losses(self) -> list[float]:
        return self.visit(torch.arange(len(self.x))).tolist()

    def predictor(self, x: np.ndarray) -> Callable[[], torch.Tensor]:
        self.model.eval()
        rows = torch.from_numpy(x)

        def predict() -> torch.Tensor:
            with torch.inference_mode():
                return self.forward(rows)

        return predict

    def scores(self, outputs: torch.Tensor) -> np.ndarray:
        self.model.train()
        return outputs.numpy()
