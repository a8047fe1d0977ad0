"""Compare fastnn with its peers: seconds for the same steps on the same data from the same weights.

    python bench/compare.py [--quick] [--workloads a,b] [--peers a,b] [--rounds N] [--out FOLDER]

Every contender is a peer with one choice of settings, in a process of its own. All of them first
show that they compute the same: without dropout, the losses of their first steps must be those of
fastnn's NumPy reference, predictions likewise. Then they take turns, round after round, so that a
busy minute of the machine hits all of them; while one runs, the others sleep. The minimum and the
median of the rounds are shown; ratios are of minima.

A training step's time is that of an epoch through the peer's fastest public interface, shuffling
and gathering included, divided by its steps. The floor is the time of the step's matrix products
alone on one thread of BLAS, divided by the threads a contender uses.

Writes ``compare.md``, ``compare.json`` and ``compare.png``. Peers that are not installed are left
out; the extra ``compare`` brings all of them. MNIST is read from the folder ``FASTNN_DATA``.
``--output FILE`` writes the summary by itself, for the documentation.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from peers.contenders import Contender, contenders
from peers.process import Process
from peers.report import add_figures, draw, finite, markdown, summary
from peers.workloads import FULL, QUICK, WORKLOADS, Workload, make_checked_task, make_task

import fastnn as fnn

FLOOR = Contender("floor", "floor", "floor", (), environment={"OPENBLAS_NUM_THREADS": "1"})
PACKAGES = ("numpy", "scipy", "numba", "torch", "jax", "keras", "scikit-learn", "onnxruntime")
# Relative to the reference; float32 in another order of summation is off by a hundredth of it.
TOLERANCE = 1e-3
# Seconds that one contender runs in a round, at least.
TURN = 0.3
QUICK_TURN = 0.02
# They compile for longer than all the others of a quick run take together: only if asked for.
SLOW_TO_COMPILE = {"torch-compile", "keras"}


def reference(workload: Workload) -> np.ndarray:
    """Losses of the checked steps, or log-probabilities, of fastnn's eager NumPy reference."""
    from peers.ours import Network

    if workload.mode == "predict":
        task = make_task(workload)
        network = Network(task, engine="eager", backend="numpy")
        return log_softmax(network.predictor(task.x[: workload.batch])())
    task = make_checked_task(workload)
    return np.array(Network(task, engine="eager", backend="numpy").losses())


def log_softmax(scores: Any) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def fault(answer: dict[str, Any], expected: np.ndarray) -> str | None:
    """What is wrong with what a contender computed; None if nothing."""
    if "error" in answer:
        return answer["error"]
    if "losses" in answer:
        what, found = "first losses", np.asarray(answer["losses"])
    else:
        what, found = "predictions", log_softmax(answer["scores"])
    if found.shape != expected.shape:
        return f"its {what} have shape {found.shape}, not {expected.shape}"
    # NaN is not close to anything.
    if not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        return f"its {what} differ from the reference by {np.abs(found - expected).max():.2g}"
    return None


class Field:
    """The contenders of one workload that are ready, and their samples."""

    def __init__(self, workload: Workload, rounds: int, turn: float = TURN) -> None:
        self.workload = workload
        self.rounds = rounds
        self.turn = turn
        self.entries: dict[str, dict[str, Any]] = {}
        self.ready: dict[str, tuple[Process, int]] = {}  # with repeats in a turn
        self.floor: dict[str, Any] = {}

    @property
    def steps(self) -> int:
        """Of one repeat."""
        trains = self.workload.mode in ("train", "many")
        return self.workload.steps * self.workload.networks if trains else 1

    def admit(self, contender: Contender, process: Process, expected: np.ndarray) -> None:
        """Prepare a contender, check it, and run it once to warm up."""
        answer = process.ask(do="prepare", workload=self.workload.name)
        wrong = fault(answer, expected)
        if wrong:
            self.entries[contender.name] = {"peer": contender.peer, "failed": wrong}
            return
        entry = {"peer": contender.peer, "threads": answer["threads"], "us": [], "loss": []}
        self.entries[contender.name] = entry
        self._warm_up(contender.name, process, entry)

    def admit_floor(self, process: Process) -> None:
        answer = process.ask(do="prepare", workload=self.workload.name)
        if "error" in answer:
            raise RuntimeError(f"the floor cannot be timed: {answer['error']}")
        self.floor = {"us": []}
        self._warm_up(FLOOR.name, process, self.floor)

    def _warm_up(self, name: str, process: Process, entry: dict[str, Any]) -> None:
        """Find how many repeats fill a turn; caches and just-in-time compilers get theirs too."""
        repeats = 1
        while True:
            answer = process.ask(do="time", repeats=repeats)
            if "error" in answer:
                self._fail(name, answer["error"])
                return
            entry.setdefault("warm_up_loss", answer["loss"])
            # By the clock on the wall: the seconds that count may be a small part of it.
            if answer["elapsed"] >= self.turn / 2:
                break
            repeats = max(
                2 * repeats, math.ceil(repeats * self.turn / max(answer["elapsed"], 1e-3))
            )
        self.ready[name] = process, max(1, math.ceil(repeats * self.turn / answer["elapsed"]))

    def _fail(self, name: str, reason: str) -> None:
        self.ready.pop(name, None)
        self.entries[name] = {"peer": self.entries[name]["peer"], "failed": reason}

    def run(self) -> None:
        """All rounds; a contender whose loss is not finite, or has not fallen, is not timed."""
        for _ in range(self.rounds):
            for name, (process, repeats) in list(self.ready.items()):
                answer = process.ask(do="time", repeats=repeats)
                if "error" in answer:
                    self._fail(name, answer["error"])
                    continue
                entry = self.floor if name == FLOOR.name else self.entries[name]
                entry["us"].append(answer["seconds"] / (repeats * self.steps) * 1e6)
                if name != FLOOR.name:
                    entry["loss"].append(answer["loss"])
        if self.workload.mode == "predict":
            return
        for name, entry in list(self.entries.items()):
            if "us" not in entry:
                continue
            losses = [entry["warm_up_loss"], *entry["loss"]]
            if not finite(losses) or losses[-1] >= losses[0]:
                self._fail(name, f"its loss went from {losses[0]:.4g} to {losses[-1]:.4g}")


def describe(workload: Workload) -> str:
    network = "-".join(map(str, workload.sizes))
    parts = [f"{network} with ReLU", f"batch {workload.batch}"]
    if workload.mode == "predict":
        return f"Prediction: {', '.join(parts)}. Times are for a call."
    if workload.batch_norm:
        parts.append("BatchNorm")
    if workload.dropout:
        parts.append(f"dropout {workload.dropout}")
    parts.append({"sgd": "SGD", "adam": "Adam"}[workload.optimizer])
    if workload.mode == "mnist":
        return f"MNIST to 97.5 % test accuracy, cold process: {', '.join(parts)}."
    if workload.mode == "many":
        how = "in Python threads" if workload.at_once else "one after the other"
        parts.append(f"{workload.networks} networks {how}")
    rows = workload.steps * workload.batch
    return f"Training: {', '.join(parts)}; {rows:,} samples. Times are for a step."


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def time_workload(
    workload: Workload, processes: dict[Contender, Process], rounds: int, turn: float
) -> dict[str, Any]:
    """Samples of every contender that can do it, and of the floor, in microseconds for a step."""
    field = Field(workload, rounds, turn)
    field.admit_floor(processes[FLOOR])
    expected = reference(workload)
    for contender, process in processes.items():
        if contender is not FLOOR and contender.can(workload):
            say(f"{workload.name}: preparing {contender.name}")
            field.admit(contender, process, expected)
    say(f"{workload.name}: {rounds} rounds")
    field.run()
    return {
        "description": describe(workload),
        "floor": field.floor,
        "contenders": field.entries,
    }


def time_mnist(workload: Workload, everyone: Sequence[Contender], rounds: int) -> dict[str, Any]:
    """Microseconds from the start of a process to the target, each round in new processes."""
    entries: dict[str, dict[str, Any]] = {}
    able = [contender for contender in everyone if contender.can(workload)]
    for seed in range(rounds):
        say(f"{workload.name}: round {seed + 1} of {rounds}")
        for contender in able:
            entry = entries.setdefault(contender.name, {"peer": contender.peer})
            if "failed" in entry:
                continue
            start = time.perf_counter()
            with Process(contender) as process:
                answer = process.ask(do="mnist", workload=workload.name, seed=seed)
                seconds = time.perf_counter() - start
            if "error" in answer:
                entries[contender.name] = {"peer": contender.peer, "failed": answer["error"]}
                continue
            entry["threads"] = answer["threads"]
            for key, value in (
                ("us", 1e6 * seconds),
                ("epochs", answer["epochs"]),
                ("accuracy", answer["accuracy"]),
            ):
                entry.setdefault(key, []).append(value)
    return {"description": describe(workload), "contenders": entries}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    info = fnn.info()
    versions = {"python": platform.python_version(), "fastnn": info["fastnn"]}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": info["processor"],
        "cores": info["threads"],
        "platform": info["platform"],
        "instruction_set": info["instruction_set"],
        "blas": info["blas"],
        "versions": versions,
    }


def compare(
    workloads: Sequence[Workload],
    everyone: Sequence[Contender],
    rounds: int,
    turn: float,
    write: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Time the workloads; what there is by then is written out after each of them."""
    here = [contender for contender in everyone if not contender.missing]
    left_out = [
        f"{contender.name}, which needs {' and '.join(contender.missing)}"
        for contender in everyone
        if contender.missing
    ]
    timed: dict[str, Any] = {}
    results: dict[str, Any] = {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "rounds": rounds,
        "load": [os.getloadavg()[0]] * 2,
        "machine": machine(),
        "left_out": left_out,
        "workloads": timed,
    }

    def done(workload: Workload, figures: dict[str, Any]) -> None:
        add_figures(figures)
        timed[workload.name] = figures
        results["load"] = [results["load"][0], os.getloadavg()[0]]
        write(results)

    warm = [workload for workload in workloads if workload.mode != "mnist"]
    with ExitStack() as stack:
        processes = {
            contender: stack.enter_context(Process(contender))
            for contender in [FLOOR, *here]
            if contender is FLOOR or any(contender.can(workload) for workload in warm)
        }
        for workload in warm:
            done(workload, time_workload(workload, processes, rounds, turn))
    for workload in workloads:
        if workload.mode == "mnist" and os.environ.get("FASTNN_DATA"):
            done(workload, time_mnist(workload, here, rounds))
        elif workload.mode == "mnist":
            left_out.append(f"{workload.name}, which needs FASTNN_DATA")
            write(results)
    return results


def write_files(folder: Path, results: dict[str, Any]) -> None:
    """The page, the figures and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.md").write_text(markdown(results))
    (folder / "compare.json").write_text(json.dumps(results, indent=1) + "\n")
    draw(results, folder / "compare.png")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    peers = sorted({contender.peer for contender in contenders(fnn.available_backends())})
    parser = argparse.ArgumentParser(description="Compare fastnn with its peers.")
    parser.add_argument("--quick", action="store_true", help="tiny workloads, to see that all runs")
    parser.add_argument("--workloads", help=f"of {', '.join(WORKLOADS)}", metavar="A,B")
    parser.add_argument("--peers", help=f"of {', '.join(peers)}", metavar="A,B")
    parser.add_argument("--rounds", type=int, help="default 5, and 2 with --quick", metavar="N")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--output", type=Path, metavar="FILE", help="for the summary by itself")
    options = parser.parse_args(arguments)
    options.workloads = _chosen(parser, "--workloads", options.workloads, WORKLOADS)
    options.peers = _chosen(parser, "--peers", options.peers, peers)
    if not options.peers:
        options.peers = [peer for peer in peers if not (options.quick and peer in SLOW_TO_COMPILE)]
    if options.rounds is None:
        options.rounds = 2 if options.quick else 5
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {options.rounds}")
    return options


def _chosen(
    parser: argparse.ArgumentParser, option: str, text: str | None, known: Any
) -> list[str]:
    names = text.split(",") if text else []
    for name in names:
        if name not in known:
            parser.error(f"{option}: {name!r} is not one of {', '.join(known)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 1 where one of ours could not be timed."""
    options = parse(arguments)
    workloads = [WORKLOADS[name] for name in options.workloads] or (
        QUICK if options.quick else FULL
    )
    everyone = [
        contender
        for contender in contenders(fnn.available_backends())
        if contender.peer in options.peers
    ]
    turn = QUICK_TURN if options.quick else TURN
    results = compare(workloads, everyone, options.rounds, turn, partial(write_files, options.out))
    print(markdown(results))
    if options.output:
        options.output.write_text(summary(results), encoding="utf-8")
    return int(
        any(
            "failed" in entry and entry["peer"].startswith("fastnn")
            for workload in results["workloads"].values()
            for entry in workload["contenders"].values()
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
