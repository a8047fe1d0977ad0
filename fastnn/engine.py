"""How training steps run: eagerly, one kernel call after another, or in the native program."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.buffers import Workspace, aligned_zeros
from fastnn.checks import UINT8_SCALE, as_real, shown
from fastnn.constraints import Constraint
from fastnn.errors import DivergenceError
from fastnn.examples import Examples
from fastnn.losses import Loss
from fastnn.lowering import describe_training, native_metric, training_program
from fastnn.metrics import Metric, binary_accuracy
from fastnn.model import CHUNK, Sequential
from fastnn.optimizers import Optimizer
from fastnn.regularizers import Regularizer
from fastnn.threads import Team

# A loss that has grown by so much since the fit began will not come back, though BatchNorm or an
# adaptive step may keep it below the largest float.
EXPLODED = 1e8

# Parameters whose norm has grown by less in an epoch have hardly taken a loss so far: a network of
# fifty layers could.
GROWN = 1.5

# Parameters that have grown by so much since the fit began, without a better loss, will not come
# back either: where the outputs have bounds, so has the loss.
RUNAWAY = 1e6


@dataclass(frozen=True)
class Epoch:
    """What one pass over the examples does.

    Attributes
    ----------
    examples : Examples
    order : ndarray, int64
        Numbers of the rows to visit, in the order of this epoch.
    batches : sequence of slice
        Where in the order each batch lies.
    learning_rate : callable
        From the number of a batch to the rate of its step.
    rate_varies : bool
        Whether batches may have different ones.
    metrics : mapping
        Name to function of outputs and targets.
    after_batch : callable
        Called with a batch's number and loss; may raise, to stop between two steps.
    every_batch : bool
        Whether it must be called after each batch, or may skip some.
    """

    examples: Examples
    order: np.ndarray
    batches: Sequence[slice]
    learning_rate: Callable[[int], float]
    rate_varies: bool
    metrics: Mapping[str, Metric]
    after_batch: Callable[[int, float], None]
    every_batch: bool = True


def _measured(name: str, metric: Metric, out: np.ndarray, targets: np.ndarray) -> float:
    value = metric(out, targets)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"metric {name!r} must return a number; got {shown(value)}") from None


class EagerEngine:
    """Runs a model's layers one by one: what a reader reads, and what takes any layer.

    Parameters
    ----------
    model : Sequential
    loss : Loss
    optimizer : Optimizer
    regularizer : Regularizer, optional
        For the weights of the layers that have none of their own.
    threads : int
    constraint : Constraint, optional
        Likewise.
    clip_norm, clip_value : float, optional
        Bounds on the gradients, see `clip`.

    Attributes
    ----------
    first_loss : float or None
        Of the current fit; None until it is known.
    first_size : float
        `size` when it began.
    averages : dict
        The optimizer's running averages, each laid out as the model's flat parameters.
    step_count : int
        Updates done.
    """

    name = "eager"

    def __init__(
        self,
        model: Sequential,
        loss: Loss,
        optimizer: Optimizer,
        regularizer: Regularizer | None = None,
        threads: int = 1,
        constraint: Constraint | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.regularizer = regularizer
        self.constraint = constraint
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.threads = threads
        self.kernels = model.backend.kernels
        self.workspace = Workspace()
        self.averages = {
            name: aligned_zeros(model.flat_params.shape, model.dtype)
            for name in optimizer.state_names
        }
        self.step_count = 0
        self.first_loss: float | None = None
        self.first_size = 0.0

    def begin(self) -> None:
        """Start a fit: growth is judged from here."""
        self.first_loss, self.first_size = None, self.size()

    def _limit(self, first_loss: float) -> float:
        """Up to where a loss may grow, by the first one asked about."""
        if self.first_loss is None:
            self.first_loss = first_loss if math.isfinite(first_loss) else 1.0
        return min(EXPLODED * max(1.0, abs(self.first_loss)), sys.float_info.max)

    def size(self) -> float:
        """Sum of the squares of all parameters."""
        size = self.kernels.squared_norm(self.model.flat_params)
        if math.isfinite(size):
            return size
        # With an eps of 0 the gaps between the views are 0 / 0.
        return sum(self.kernels.squared_norm(v.reshape(-1)) for v in self.model.params.values())

    def check_end(self, epoch: Epoch, size_before: float, lr: float) -> None:
        """Notice what the last step of an epoch did, whose effect no loss has shown yet.

        Where the parameters have grown much, that is the loss of the last batch once more; nothing
        is changed.

        Raises
        ------
        DivergenceError
            A parameter or state, or that loss, is not finite; the loss is beyond `EXPLODED`; or the
            parameters are beyond `RUNAWAY`, and the loss is no better than the first.
        """
        size = self.size()
        grown = not size <= GROWN**2 * size_before
        suspects = (self.model.params | self.model.state) if grown else self.model.state
        if not all(np.isfinite(view).all() for view in suspects.values()):
            raise DivergenceError(self.step_count, math.nan, lr)
        if grown:
            loss = self._loss_now(self._gather(epoch.examples, epoch.order[epoch.batches[-1]]))
            if not loss <= self._limit(loss):
                raise DivergenceError(self.step_count + 1, loss, lr)
            growth = math.sqrt(size / max(1.0, self.first_size))
            if growth > RUNAWAY and loss >= (self.first_loss or 0.0):
                raise DivergenceError(self.step_count + 1, loss, lr, growth)

    def _loss_now(self, examples: Examples) -> float:
        """What the next training step would report of these rows."""
        state = self.model.flat_state.copy()
        out = self.model.forward_rows(as_real(examples.x, self.model.dtype), train=True)
        self.model.flat_state[:] = state
        loss = self.loss.value(self.kernels, out, examples.targets, examples.weights, None)
        return loss + self.penalty()

    def gradients(self, examples: Examples) -> tuple[float, np.ndarray]:
        """Forward, loss, backward, penalty: the gradients are in ``model.grads`` afterwards.

        Returns
        -------
        loss : float
            With the penalty.
        out : ndarray, (N, n_out)
            The model's outputs, in a buffer.
        """
        out = self.model.forward_rows(as_real(examples.x, self.model.dtype), train=True)
        dout = self.workspace.take("dout", out.shape, out.dtype)
        loss = self.loss.value(self.kernels, out, examples.targets, examples.weights, dout)
        self.model.backward_rows(dout)
        return loss + self.penalty(into_gradients=True), out

    def penalty(self, into_gradients: bool = False) -> float:
        """The penalties of all weights; their gradients are added where asked for."""
        total = 0.0
        for layer in self.model.layers:
            regularizer = layer.regularizer or self.regularizer
            if regularizer is None:
                continue
            for key in layer.weight_names:
                name = f"{layer.name}.{key}"
                gradient = self.model.grads[name] if into_gradients and layer.trainable else None
                total += regularizer.penalty(self.kernels, self.model.params[name], gradient)
        return total

    def clip(self) -> None:
        """Bound each number of the gradients, then the norm of them all; both hold afterwards."""
        grads = [self.model.flat_grads[span] for span in self.model.trainable_spans()]
        if self.clip_value is not None:
            for g in grads:
                self.kernels.clip_by_value(g, self.clip_value)
        if self.clip_norm is not None:
            norm = math.sqrt(sum(self.kernels.squared_norm(g) for g in grads))
            for g in grads:
                self.kernels.clip_by_norm(g, norm, self.clip_norm)

    def update(self, lr: float) -> None:
        """One step of the optimizer along ``model.grads``; the weights stay in their bounds."""
        self.step_count += 1
        for span, scale in self.model.rated_spans():
            self.optimizer.update(
                self.kernels,
                self.model.flat_params[span],
                self.model.flat_grads[span],
                {name: average[span] for name, average in self.averages.items()},
                lr * scale,
                self.step_count,
            )
        self.constrain()
        self.model.step += 1

    def constrain(self) -> None:
        """Put the weights that are trained back into their bounds."""
        for layer in self.model.layers:
            constraint = layer.constraint or self.constraint
            if constraint is None or not layer.trainable:
                continue
            for key in layer.weight_names:
                constraint.apply(self.kernels, self.model.params[f"{layer.name}.{key}"])

    def step(self, examples: Examples, lr: float) -> tuple[float, np.ndarray]:
        """One training step; the loss and the outputs before the update.

        Raises
        ------
        DivergenceError
            The loss is not finite or beyond `EXPLODED`; the parameters are not updated.
        """
        loss, out = self.gradients(examples)
        if not loss <= self._limit(loss):
            raise DivergenceError(self.step_count + 1, loss, lr)
        self.clip()
        self.update(lr)
        return loss, out

    def train_epoch(self, epoch: Epoch) -> dict[str, float]:
        """Visit the rows of an epoch once.

        Returns
        -------
        dict
            Means over the rows, in training mode: "loss" and the metrics.

        Raises
        ------
        DivergenceError
            A loss is not finite.
        """
        totals = dict.fromkeys(["loss", *epoch.metrics], 0.0)
        for number, rows in enumerate(epoch.batches):
            batch = self._gather(epoch.examples, epoch.order[rows])
            loss, out = self.step(batch, epoch.learning_rate(number))
            totals["loss"] += loss * len(batch)
            for name, metric in epoch.metrics.items():
                totals[name] += _measured(name, metric, out, batch.targets) * len(batch)
            epoch.after_batch(number, loss)
        return {name: total / len(epoch.order) for name, total in totals.items()}

    def _gather(self, examples: Examples, rows: np.ndarray) -> Examples:
        if examples.x.dtype != self.model.dtype:
            return examples.take(rows)
        x = self.workspace.take("x", (len(rows), examples.x.shape[1]), examples.x.dtype)
        # mode="clip" writes straight into out; the row numbers are known to be in range.
        np.take(examples.x, rows, axis=0, out=x, mode="clip")
        weights = None if examples.weights is None else examples.weights[rows]
        return Examples(x, examples.targets[rows], weights)

    def evaluate(
        self,
        examples: Examples,
        metrics: Mapping[str, Metric],
        after_chunk: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """Loss, with the penalty, and metrics in inference mode."""
        out = np.empty((len(examples), self.model.output_size), self.model.dtype)
        loss = 0.0
        for start in range(0, len(examples), CHUNK):
            chunk = examples.take(slice(start, start + CHUNK))
            scores = out[start : start + CHUNK]
            scores[:] = self._predict(chunk.x)
            loss += len(chunk) * self.loss.value(
                self.kernels, scores, chunk.targets, chunk.weights, None
            )
            after_chunk()
        results = {"loss": loss / len(examples) + self.penalty()}
        return results | {
            name: _measured(name, metric, out, examples.targets) for name, metric in metrics.items()
        }

    def _predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.forward_rows(as_real(x, self.model.dtype))

    # -- a point in training, to come back to ------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Copies of everything a step changes."""
        return {"model": self.model.snapshot()} | self.state()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go back to a `snapshot`."""
        self.model.restore(snapshot["model"])
        self.resume(snapshot)

    def state(self) -> dict[str, Any]:
        """The part of a `snapshot` that is not in the model's parameters and state."""
        return {
            "averages": {name: average.copy() for name, average in self.averages.items()},
            "steps": (self.step_count, self.model.step),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`."""
        for name, average in self.averages.items():
            average[:] = state["averages"][name]
        self.step_count, self.model.step = state["steps"]


class NativeEngine(EagerEngine):
    """Runs many steps in one call of the native program; see `fastnn.lowering` for what it takes.

    The program works on the model's own parameters and on this engine's averages, with threads of
    its own, each of which calls BLAS for itself.

    Parameters
    ----------
    *parts, **settings
        As `EagerEngine` takes them.
    adapt : bool
        Whether the number of threads is the better of one and ``threads``, by the clock; the result
        does not depend on it.
    """

    name = "native"

    def __init__(self, *parts: Any, adapt: bool = False, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.team = Team(self.threads, adapt)
        self._program: Any = None
        self._description: dict[str, Any] | None = None

    def train_epoch(self, epoch: Epoch) -> dict[str, float]:
        """As `EagerEngine.train_epoch`, in runs of many steps."""
        examples, batches = epoch.examples, epoch.batches
        program = self._lowered(
            soft_targets=examples.targets.ndim == 2,
            rows=max(rows.stop - rows.start for rows in batches),
        )
        bounds = np.array([0, *(rows.stop for rows in batches)], dtype=np.int64)
        rates = np.full(len(batches), epoch.learning_rate(0))
        if epoch.rate_varies:
            rates[:] = [epoch.learning_rate(number) for number in range(len(batches))]
        losses = np.zeros(len(batches))
        hits = np.zeros(len(batches), dtype=np.int64)
        program.set_examples(examples.x, examples.targets, examples.weights, UINT8_SCALE)
        program.set_epoch(epoch.order, bounds, rates, losses, hits)
        done = 0
        try:
            while done < len(batches):
                first, last = done, len(batches)
                if epoch.every_batch:
                    # A callback may have changed the rate since.
                    last, rates[first] = first + 1, epoch.learning_rate(first)
                threads, seconds = self.team.next_run()
                start = time.perf_counter()
                done = program.run(first, last, self.model.step, self.step_count, threads, seconds)
                self.team.record(threads, (time.perf_counter() - start) / (done - first))
                self._count(losses[first:done], rates[first:done])
                epoch.after_batch(done - 1, float(losses[done - 1]))
        finally:
            program.release()
        results = {"loss": float(losses @ np.diff(bounds)) / len(epoch.order)}
        answers = self.model.output_size if native_metric(self.loss) is binary_accuracy else 1
        share = int(hits.sum()) / len(epoch.order) / answers
        return results | dict.fromkeys(epoch.metrics, share)

    def _lowered(self, soft_targets: bool, rows: int) -> Any:
        """The program; the one before, unless layers were frozen since, or settings changed."""
        description = describe_training(
            self.model,
            self.loss,
            (self.optimizer.kind, self.optimizer.numbers()),
            self.regularizer,
            soft_targets,
            rows,
            self.constraint,
            self.clip_norm,
            self.clip_value,
        )
        if description != self._description:
            self._program = training_program(self.model, tuple(self.averages.values()), description)
            self._description = description
        return self._program

    def _count(self, losses: np.ndarray, rates: np.ndarray) -> None:
        """Count the steps of a run; refuse a loss that is not finite or has exploded."""
        good = losses <= self._limit(float(losses[0]))
        if not good.all():
            bad = int(np.argmin(good))
            raise DivergenceError(self.step_count + bad + 1, float(losses[bad]), float(rates[bad]))
        self.step_count += len(losses)
        self.model.step += len(losses)

    def _predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_rows(x, self.threads)
