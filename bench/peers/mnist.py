"""Training until MNIST's test images are known well enough; part of what a cold process does."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peers.workloads import Task, Workload, initial_weights

TARGET = 0.975
MAX_EPOCHS = 20
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def _read(name: str, header: int) -> np.ndarray:
    path = Path(os.environ["FASTNN_DATA"]) / "mnist" / name
    if path.exists():
        data = path.read_bytes()
    else:
        data = gzip.decompress(path.with_name(f"{name}.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=header)


def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as (N, 784) float32 in [0, 1], and labels; the same reader for every peer."""
    images, labels = FILES[part]
    x = _read(images, 16).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return x, _read(labels, 8).astype(np.int64)


def learn(make_network: Callable[[Task], Any], workload: Workload, seed: int) -> dict[str, Any]:
    """Train until the test accuracy is reached; returns it, and the epochs it took.

    Raises
    ------
    RuntimeError
        It is not reached.
    """
    x, y = load("train")
    x_test, y_test = load("test")
    network = make_network(Task(workload, initial_weights(workload.sizes, seed), x, y, seed))
    for epoch in range(1, MAX_EPOCHS + 1):
        network.epoch()
        scores = network.scores(network.predictor(x_test)())
        accuracy = float((scores.argmax(axis=1) == y_test).mean())
        if accuracy >= TARGET:
            return {"accuracy": accuracy, "epochs": epoch, "threads": network.threads}
    raise RuntimeError(f"test accuracy is {accuracy:.4f} after {MAX_EPOCHS} epochs")
