"""The process of one contender: reads requests from standard input, answers with lines of JSON.

    python -m peers.worker '{"module": "textbook", "settings": {"threads": 1}}'

Requests are ``{"do": "prepare", "workload": name}`` and ``{"do": "time", "repeats": n}``; between
them the process sleeps.
"""

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from peers import mnist
from peers.floor import Floor
from peers.workloads import WORKLOADS, Task, Workload, cores, make_checked_task, make_task

# From a number of repeats to the seconds they take, and the mean loss of the last.
Timer = Callable[[int], tuple[float, float]]


class Worker:
    def __init__(self, module: str, settings: dict[str, Any]) -> None:
        self.module = module
        self.settings = settings
        self.timer: Timer | None = None

    def network(self, task: Task) -> Any:
        return import_module(f"peers.{self.module}").Network(task, **self.settings)

    def prepare(self, workload: Workload) -> dict[str, Any]:
        """Build, check and compile; the answer has what the results are judged by."""
        self.timer = None  # memory of the workload before
        if self.module == "floor":
            floor = Floor(workload)
            self.timer = lambda repeats: (floor.seconds(repeats * _steps(workload)), 0.0)
            return {"threads": 1}
        if workload.mode == "predict":
            return self._prepare_prediction(workload)
        losses = self.network(make_checked_task(workload)).losses()
        networks = [self.network(make_task(workload, seed)) for seed in range(workload.networks)]
        self.timer = _training_timer(networks, workload.at_once)
        threads = min(cores(), workload.networks) if workload.at_once else networks[0].threads
        return {"threads": threads, "losses": losses}

    def _prepare_prediction(self, workload: Workload) -> dict[str, Any]:
        task = make_task(workload)
        network = self.network(task)
        predict = network.predictor(task.x[: workload.batch])
        self.timer = _call_timer(predict)
        threads = network.threads if workload.batch > 1 else 1
        return {"threads": threads, "scores": np.asarray(network.scores(predict())).tolist()}


def _steps(workload: Workload) -> int:
    """Of one repeat."""
    return workload.networks * workload.steps if workload.mode in ("train", "many") else 1


def _training_timer(networks: list[Any], at_once: bool) -> Timer:
    def time(repeats: int) -> tuple[float, float]:
        start = perf_counter()
        for _ in range(repeats):
            if at_once:
                with ThreadPoolExecutor(cores()) as pool:
                    losses = list(pool.map(lambda network: network.epoch(), networks))
            else:
                losses = [network.epoch() for network in networks]
        return perf_counter() - start, float(np.mean(losses))

    return time


def _call_timer(function: Callable[[], Any]) -> Timer:
    def time(repeats: int) -> tuple[float, float]:
        start = perf_counter()
        for _ in range(repeats):
            function()
        return perf_counter() - start, 0.0

    return time


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for; whatever goes wrong in a peer is an answer too."""
    try:
        if request["do"] == "prepare":
            return worker.prepare(WORKLOADS[request["workload"]])
        if request["do"] == "mnist":
            return mnist.learn(worker.network, WORKLOADS[request["workload"]], request["seed"])
        if worker.timer is None:
            raise RuntimeError("nothing is prepared")
        start = perf_counter()
        seconds, loss = worker.timer(request["repeats"])
        return {"seconds": seconds, "loss": loss, "elapsed": perf_counter() - start}
    except Exception as error:
        message = (str(error).strip() or repr(error)).splitlines()[0]
        return {"error": f"{type(error).__name__}: {message}"}


def main() -> None:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
