"""The trainer: data in, epochs, validation, callbacks, history out."""

import copy
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from fastnn.callbacks import Callback, checked_callbacks
from fastnn.checks import (
    Rng,
    generator,
    name_among,
    one_of,
    positive_int,
    real_in,
)
from fastnn.components import check_optional
from fastnn.constraints import Constraint
from fastnn.data import batch_slices, epoch_order, split_indices
from fastnn.engine import EagerEngine, Epoch, NativeEngine
from fastnn.errors import DivergenceError, FastnnError, NotBuiltError
from fastnn.examples import Examples, examples_for
from fastnn.history import History
from fastnn.interrupts import deferred_interrupt
from fastnn.layers import Affine, BatchNorm
from fastnn.losses import Loss, as_loss
from fastnn.lowering import training_obstacle
from fastnn.metrics import Metric, check_outputs, resolve_metrics
from fastnn.model import Sequential, check_model
from fastnn.optimizers import OPTIMIZERS, Adam, LearningRate, Optimizer
from fastnn.progress import ProgressBar
from fastnn.regularizers import Regularizer
from fastnn.schedules import Constant, as_schedule
from fastnn.threads import (
    SMALL_NATIVE_STEP,
    SMALL_STEP,
    limited,
    thread_count,
    threads_are_fixed,
)

# Steps of more rows are not small, whatever the network.
MOST_ROWS = 10**9

# What the engine was made of, or would not hear of.
_FIXED = frozenset(
    (
        *("model", "loss", "optimizer", "regularizer", "constraint", "clip_norm", "clip_value"),
        *("metrics", "threads", "engine", "engine_reason"),
    )
)


class Trainer:
    """Trains a model by mini-batches.

    Parameters
    ----------
    model : Sequential
    loss : str or Loss
        A name in ``fastnn.losses.LOSSES``, such as "softmax_cross_entropy", "binary_cross_entropy",
        "mean_squared_error" or "huber"; or an object.
    optimizer : str or Optimizer, optional
        By default ``Adam(lr=1e-3)``.
    regularizer : Regularizer, optional
        Penalty on the weights of all layers that have none of their own.
    batch_size : int
    engine : {"auto", "eager", "native"}
        How steps run; "auto" takes the native program where every part has a native form.
    threads : int, optional
        By default ``FASTNN_THREADS``, else one for small networks and every processor for others.
        On the native engine the result does not depend on it, and the default gives way where
        other processes hold the processors.
    rng : int or numpy.random.Generator, optional
        Draws the order of the rows, and the rows of a ``validation_share``.
    callbacks : sequence of Callback
    metrics : sequence of str or callable, optional
        By default "accuracy" for classification, "binary_accuracy" for several yes-or-no labels,
        none otherwise.
    verbose : bool
        Show progress.
    constraint : Constraint, optional
        Bound on the weights of all layers that have none of their own, kept after every update.
    clip_norm, clip_value : float, optional
        Bounds on the gradients of a step, those of the penalties included: first each number is cut
        to [-clip_value, clip_value], then all are scaled down together to the norm clip_norm.

    Attributes
    ----------
    history : History
        One number per epoch, over all calls of `fit`.
    epoch, step : int
        Epochs and updates done, over all calls of `fit`.
    engine : str
        What runs the steps: "native" or "eager".
    engine_reason : str
        Why that one.
    stop_training : bool
        Set by a callback to end after this epoch.
    schedule : callable
        Learning rate by (fractional) epoch; with ``lr_factor`` the `learning_rate`. Another one, or
        a number, may be assigned at any time, to it or to ``optimizer.lr``: the later one counts.
    lr_factor : float
        What callbacks have multiplied the rate by; may be set.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.
    AttributeError
        Later, if an argument that the engine was made for is replaced, such as ``loss``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> x = np.random.default_rng(0).standard_normal((200, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> model = fnn.mlp(5, [16], 2, rng=0)
    >>> trainer = fnn.Trainer(model, optimizer=fnn.Adam(lr=1e-2), rng=0, verbose=False)
    >>> history = trainer.fit(x, y, epochs=30)
    >>> history["accuracy"][-1] > 0.9
    True
    """

    def __init__(
        self,
        model: Sequential,
        loss: str | Loss = "softmax_cross_entropy",
        optimizer: str | Optimizer | None = None,
        regularizer: Regularizer | None = None,
        batch_size: int = 100,
        engine: str = "auto",
        threads: int | None = None,
        rng: Rng = None,
        callbacks: Sequence[Callback] = (),
        metrics: Sequence[str | Metric] | None = None,
        verbose: bool = True,
        constraint: Constraint | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        check_optional("regularizer", regularizer, Regularizer, "L2(1e-4)")
        check_optional("constraint", constraint, Constraint, "MaxNorm(3)")
        self.model = check_model(model)
        self.loss = as_loss(loss)
        self.optimizer = _as_optimizer(optimizer)
        self.regularizer = regularizer
        self.constraint = constraint
        self.clip_norm = _limit("clip_norm", clip_norm)
        self.clip_value = _limit("clip_value", clip_value)
        self.batch_size = positive_int("batch_size", batch_size)
        self.rng = generator(rng)
        self.verbose = verbose
        self.callbacks = checked_callbacks(callbacks)
        self.callbacks += [ProgressBar()] if verbose else []
        if metrics is None:
            metrics = self.loss.default_metrics()
        self.metrics = resolve_metrics(metrics)
        check_outputs(self.metrics, model.output_size, self.loss.classifies)
        self.history = History()
        self._lr_seen: LearningRate = self.optimizer.lr
        self.schedule = self._lr_seen
        self.lr_factor = 1.0
        self.epoch = 0
        self.stop_training = False
        self.samples = 0
        self.epochs = 0
        self._progress = 0.0  # epochs before the current step, which schedules are asked at
        self._fitting = threading.Lock()
        self.engine, self.engine_reason = self._choose_engine(engine)
        native = self.engine == "native"
        self.threads = thread_count(
            threads, self._flops(), SMALL_NATIVE_STEP if native else SMALL_STEP
        )
        parts = (model, self.loss, self.optimizer, regularizer, self.threads)
        bounds = (constraint, self.clip_norm, self.clip_value)
        self._runner: EagerEngine = (
            NativeEngine(*parts, *bounds, adapt=not threads_are_fixed(threads))
            if native
            else EagerEngine(*parts, *bounds)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate":
            raise AttributeError(
                "learning_rate is what schedule and lr_factor make: set trainer.schedule, to a "
                "number, a Schedule or a function of the epoch"
            )
        if name in _FIXED and name in self.__dict__:
            raise AttributeError(
                f"{name} of a Trainer cannot be replaced: make a new Trainer, which may go on from "
                "the state of this one"
            )
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Trainer cannot be copied or pickled: copy its model, make another Trainer of the "
            "same settings, and let it go on with other.resume(trainer.state())"
        )

    def __repr__(self) -> str:
        parts = (self.loss, self.optimizer, self.regularizer, self.constraint)
        return (
            f"<Trainer of {self.model.parameter_count:,} parameters: "
            f"{', '.join(repr(part) for part in parts if part is not None)}, "
            f"batch_size={self.batch_size}, {self.engine} engine, epoch {self.epoch}>"
        )

    @property
    def step(self) -> int:
        """Updates done."""
        return self._runner.step_count

    @property
    def schedule(self) -> Callable[[float], float]:
        """Learning rate by (fractional) epoch."""
        lr = self.optimizer.lr
        if lr is not self._lr_seen and lr != self._lr_seen:
            self._schedule, self._lr_seen = as_schedule(lr), lr
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: LearningRate) -> None:
        self._schedule = as_schedule(schedule, "schedule")
        self._lr_seen = self.optimizer.lr

    @property
    def learning_rate(self) -> float:
        """The rate of the current step."""
        return self._rate_at(self._progress)

    def _rate_at(self, epoch: float) -> float:
        rate = self.schedule(epoch)
        try:
            number = float(rate) * self.lr_factor
            good = 0 <= number < math.inf
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(
                "a learning rate must be a finite number of at least 0; at epoch "
                f"{epoch:g} the schedule gives {rate!r}, times lr_factor={self.lr_factor!r}"
            )
        return number

    def _choose_engine(self, engine: str) -> tuple[str, str]:
        """The engine that will run, and why."""
        name_among("engine", engine, ("auto", "eager", "native"))
        if engine == "eager":
            return "eager", "engine='eager' was asked for"
        obstacle = self._obstacle()
        if obstacle is None:
            return "native", "every part has a native form"
        if engine == "native":
            raise NotBuiltError(f"engine='native' is not possible: {obstacle}; use engine='auto'")
        return "eager", obstacle

    def _obstacle(self) -> str | None:
        """Why no native program can train with these parts; None if one can."""
        return training_obstacle(
            self.model,
            self.loss,
            self.optimizer,
            self.regularizer,
            self.metrics,
            self.constraint,
        )

    def _flops(self) -> float:
        """Floating-point operations of a step: six for each weight and row."""
        return 6.0 * min(self.batch_size, MOST_ROWS) * self.model.weight_count

    # -- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 20,
        validation_data: Sequence[Any] | None = None,
        validation_share: float = 0.0,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | Sequence[float] | None = None,
        shuffle: bool = True,
    ) -> History:
        """Train for a number of epochs; a further call goes on from there.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)
            Any real dtype and layout. float32, float64 and uint8 arrays, memory-mapped ones too,
            are read batch by batch, not copied; uint8, the bytes of images, is scaled to [0, 1].
        y : array_like
            What the loss takes: labels (N,), one-hot or soft labels or numbers (N, n_out).
        epochs : int
        validation_data : (x, y) or (x, y, sample_weight), optional
        validation_share : float
            In [0, 1): the share of the rows, drawn at random, held out for validation.
        sample_weight : array_like, (N,), optional
            Factors on the rows' losses, at least 0.
        class_weight : mapping or sequence, optional
            Factor for each class; in a mapping, classes not named have 1.
        shuffle : bool
            Draw a new order of the rows for every epoch.

        Returns
        -------
        History
            "loss" and the metrics, means over the epoch's rows in training mode; "val_*" in
            inference mode after the epoch; "lr" and "seconds".

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong type, shape or range, or a part that the native engine cannot
            take has come to the model: nothing has been trained then. Or the schedule gives a rate
            that is negative or not finite.
        DivergenceError
            The loss is not finite, or has grown beyond return. The model, and the optimizer, are
            back at the end of the last good epoch.
        KeyboardInterrupt
            Ctrl-C; the model is at a completed step.
        FastnnError
            This trainer is in a fit already, in another thread or around this callback.

        Warns
        -----
        UserWarning
            Nothing is there to train: every layer with parameters is frozen, or has an ``lr_scale``
            of 0.
        """
        epochs = positive_int("epochs", epochs)
        with self._alone():
            self._check_native()
            examples = self._examples(x, y, sample_weight, class_weight)
            rows, validation = self._validation(examples, validation_data, validation_share)
            batches = batch_slices(len(rows), self.batch_size, merge_single=self._has_batchnorm())
            self._check_batches(batches)
            self._check_outputs()
            self._name_outputs()
            self.samples = len(rows)
            self.epochs = self.epoch + epochs
            self.stop_training = False
            self._runner.begin()
            with self._running() as interrupted:
                try:
                    self._notify("on_train_begin")
                    self._warn_of_nothing_to_train()
                    while self.epoch < self.epochs and not self.stop_training:
                        order = rows[epoch_order(len(rows), self.rng, shuffle)]
                        self._run_epoch(examples, order, batches, validation, interrupted)
                finally:
                    self._end()
        return self.history

    def _run_epoch(
        self,
        examples: Examples,
        order: np.ndarray,
        batches: Sequence[slice],
        validation: Examples | None,
        interrupted: Callable[[], None],
    ) -> None:
        epoch = self.epoch
        self._notify("on_epoch_begin", epoch)
        start = time.perf_counter()
        last_good, size = self._runner.snapshot(), self._runner.size()

        def after_batch(batch: int, loss: float) -> None:
            self._progress = epoch + batch / len(batches)
            self._notify("on_batch_end", epoch, batch, len(batches), loss)
            interrupted()

        self._progress = epoch
        work = Epoch(
            examples,
            order,
            batches,
            lambda batch: self._rate_at(epoch + batch / len(batches)),
            not isinstance(self.schedule, Constant),
            self.metrics,
            after_batch,
            every_batch=any(callback.watches_every_batch() for callback in self.callbacks),
        )
        try:
            logs = self._runner.train_epoch(work)
            self._runner.check_end(work, size, self.learning_rate)
        except DivergenceError:
            self._runner.restore(last_good)
            raise
        logs["lr"] = self.learning_rate
        if validation is not None:
            results = self._runner.evaluate(validation, self.metrics, interrupted)
            logs |= {f"val_{name}": value for name, value in results.items()}
        logs["seconds"] = time.perf_counter() - start
        self.history.append(logs)
        self.epoch += 1
        self._notify("on_epoch_end", epoch, logs)

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Loss (with the penalty) and metrics in inference mode.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.

        Returns
        -------
        dict
            "loss", and the metrics: for classification "accuracy".

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong type, shape or range.
        KeyboardInterrupt
            Ctrl-C.
        """
        examples = self._examples(x, y, sample_weight)
        with self._running() as interrupted:
            return self._runner.evaluate(examples, self.metrics, interrupted)

    def gradients(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Loss and gradients of one batch in training mode; nothing is clipped or updated.

        As `train_batch`, it runs the model's layers one by one.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`; all rows are one batch.

        Returns
        -------
        loss : float
            With the penalty.
        grads : dict
            Name to gradient, of every parameter that is not frozen: copies, which stay as they are.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong type, shape or range.
        """
        examples = self._examples(x, y, sample_weight)
        self._check_batches([slice(0, len(examples))])
        state = self.model.flat_state.copy()
        try:
            with self._running():
                loss, _ = self._runner.gradients(examples)
        finally:
            self.model.flat_state[:] = state
        return loss, {name: self.model.grads[name].copy() for name in self.model.trained_names()}

    def train_batch(
        self, x: Any, y: Any, sample_weight: Any = None, lr: float | None = None
    ) -> float:
        """One training step on these rows, all in one batch: for loops of one's own, and trials.

        The history, callbacks and the count of epochs know nothing of it. It runs the model's
        layers one by one, also where the `engine` of `fit` is native: for many steps on rows that
        are there already, `fit` is faster.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.
        lr : float, optional
            The rate of this step, above 0; by default the current `learning_rate`.

        Returns
        -------
        float
            The loss before the update, with the penalty.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong type, shape or range.
        DivergenceError
            The loss is not finite, or has grown beyond return; the model is as it was before.
        """
        if lr is not None:
            lr = real_in("lr", lr, 0, open_low=True)
        examples = self._examples(x, y, sample_weight)
        self._check_batches([slice(0, len(examples))])
        self._name_outputs()
        rate = self.learning_rate if lr is None else lr
        state = self.model.flat_state.copy()  # BatchNorm's averages move on the way forward
        try:
            with self._running():
                return float(self._runner.step(examples, rate)[0])
        except DivergenceError:
            self.model.flat_state[:] = state
            raise

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A block for trials: what its steps change is as before when it ends, however it ends.

        That is the model's parameters and running statistics, the optimizer's running averages, the
        counters of steps, which dropout masks depend on, and the gradients. It is for
        `train_batch`, `gradients` and ``model.forward``, not for `fit`, which also counts epochs
        and writes a history.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn as fnn
        >>> trainer = fnn.Trainer(fnn.mlp(2, [4], 2, rng=0), verbose=False)
        >>> before = trainer.model.snapshot()
        >>> with trainer.restored():
        ...     loss = trainer.train_batch(np.eye(2), np.array([0, 1]))
        >>> all(np.array_equal(before[n], v) for n, v in trainer.model.snapshot().items())
        True
        """
        snapshot, first_loss = self._runner.snapshot(), self._runner.first_loss
        gradients = self.model.flat_grads.copy()
        try:
            yield
        finally:
            self._runner.restore(snapshot)
            self._runner.first_loss = first_loss
            self.model.flat_grads[:] = gradients

    def state(self) -> dict[str, Any]:
        """Copies of all that training goes on from, except the model's own numbers.

        That is the optimizer's running averages, the counters of steps and epochs, the place in the
        schedule, ``lr_factor``, and the generator of the orders of rows. Together with
        ``model.snapshot()``, or the model in a file, a trainer of the same settings can go on from
        it; it can be pickled.

        Returns
        -------
        dict
            For `resume`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn as fnn
        >>> x, y = np.eye(4), np.arange(4) % 2
        >>> def trainer(model):
        ...     return fnn.Trainer(model, batch_size=2, rng=0, verbose=False)
        >>> first = trainer(fnn.mlp(4, [3], 2, rng=0))
        >>> history = first.fit(x, y, epochs=3)
        >>> second = trainer(fnn.mlp(4, [3], 2, rng=0))
        >>> second.model.restore(first.model.snapshot())
        >>> second.resume(first.state())
        >>> first.fit(x, y, epochs=1)["loss"][-1] == second.fit(x, y, epochs=1)["loss"][-1]
        True
        """
        return self._runner.state() | {
            "lr_factor": self.lr_factor,
            "epoch": self.epoch,
            "progress": self._progress,
            "rng": copy.deepcopy(self.rng),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of a trainer of the same settings; the history begins anew.

        Parameters
        ----------
        state : dict
            What `state` returned.

        Raises
        ------
        TypeError, ValueError
            It is no state, or that of another optimizer, or of a model of another size; nothing is
            changed.
        """
        self._runner.resume(_checked_state(state, self._runner.state(), self.optimizer))
        self.lr_factor, self.epoch = state["lr_factor"], state["epoch"]
        self._progress = state["progress"]
        self.rng = copy.deepcopy(state["rng"])

    # -- parts -------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One fit at a time: two would write into the same buffers."""
        if not self._fitting.acquire(blocking=False):
            raise FastnnError(
                "this Trainer is in a fit already, which must end before the next begins: fit "
                "cannot be called in a callback, and a thread needs a model and a Trainer of its "
                "own"
            )
        try:
            yield
        finally:
            self._fitting.release()

    @contextmanager
    def _running(self) -> Iterator[Callable[[], None]]:
        """Threads held, Ctrl-C deferred; overflow is for the loss to show, not for warnings."""
        with (
            limited(self.model.backend.kernels, self.threads),
            np.errstate(all="ignore"),
            deferred_interrupt() as interrupted,
        ):
            yield interrupted

    def _notify(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)

    def _end(self) -> None:
        """Tell every callback that training ended, even if one of them fails."""
        with ExitStack() as ends:
            for callback in reversed(self.callbacks):
                ends.callback(callback.on_train_end, self)

    def _examples(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | Sequence[float] | None = None,
    ) -> Examples:
        return examples_for(self.model, self.loss, x, y, sample_weight, class_weight)

    def _validation(
        self, examples: Examples, data: Sequence[Any] | None, share: float
    ) -> tuple[np.ndarray, Examples | None]:
        """Numbers of the rows to train on, and the validation examples."""
        everything = np.arange(len(examples))
        share = real_in("validation_share", share, 0, 1, open_high=True)
        if data is not None:
            if share:
                raise ValueError("give validation_data or validation_share, not both")
            if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
                raise TypeError(
                    "validation_data must be (x, y) or (x, y, sample_weight); got "
                    + (f"{len(data)} items" if isinstance(data, (tuple, list)) else repr(data))
                )
            try:
                weights = data[2] if len(data) == 3 else None
                return everything, self._examples(data[0], data[1], weights)
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"validation_data: {error}") from None
        if not share:
            return everything, None
        kept, held = split_indices(len(examples), share, self.rng)
        return kept, examples.take(held)

    def _has_batchnorm(self) -> bool:
        return any(isinstance(layer, BatchNorm) and layer.trainable for layer in self.model.layers)

    def _check_batches(self, batches: Sequence[slice]) -> None:
        if self._has_batchnorm() and any(rows.stop - rows.start == 1 for rows in batches):
            raise ValueError(
                "BatchNorm cannot train on a batch of one sample: give at least two rows, and a "
                f"batch_size of at least 2; batch_size is {self.batch_size}"
            )

    def _warn_of_nothing_to_train(self) -> None:
        """Say so if no epoch can change the model; a callback may yet unfreeze it, so go on."""
        learns = any(scale > 0 for _, scale in self.model.rated_spans())
        if learns or self._has_batchnorm():  # BatchNorm's running averages move at any rate
            return
        reason = (
            "every layer is frozen, or has an lr_scale of 0; "
            "model.unfreeze(lr_scale=1) lets all of them train"
        )
        if not self.model.params:
            reason = "the model has no parameters"
        warnings.warn(f"fit has nothing to train: {reason}", UserWarning, stacklevel=3)

    def _name_outputs(self) -> None:
        """Let the model know what makes probabilities of its outputs."""
        if self.loss.output_activation is not None:
            self.model.output_activation = self.loss.output_activation

    def _check_native(self) -> None:
        """Refuse what has come to the parts and the native program would leave out."""
        obstacle = self._obstacle() if self.engine == "native" else None
        if obstacle:
            raise ValueError(
                f"the trainer was made for the native engine, and now {obstacle}: make a new one"
            )

    def _check_outputs(self) -> None:
        last = self.model.layers[-1]
        if self.loss.takes_probabilities and isinstance(last, Affine):
            raise ValueError(
                f"loss {self.loss.kind} takes probabilities, and {last.name} gives scores: end the "
                "model with Softmax(), or take loss='softmax_cross_entropy', which takes scores"
            )


def _as_optimizer(optimizer: str | Optimizer | None) -> Optimizer:
    if optimizer is None:
        return Adam()
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return one_of("optimizer", optimizer, OPTIMIZERS)()
    raise TypeError(f"optimizer must be an Optimizer, such as Adam(lr=1e-3); got {optimizer!r}")


def _checked_state(state: Any, own: Mapping[str, Any], optimizer: Optimizer) -> Mapping[str, Any]:
    """A state that a trainer can go on from whose engine's state is ``own``."""
    keys = own.keys() | {"lr_factor", "epoch", "progress", "rng"}
    if not isinstance(state, Mapping) or not isinstance(state.get("averages"), Mapping):
        raise TypeError(f"state must be what Trainer.state() returns; got {state!r}")
    if state.keys() != keys:
        raise ValueError(
            f"state must hold {', '.join(sorted(keys))}; got {', '.join(map(str, state))}"
        )
    shapes = {name: average.shape for name, average in own["averages"].items()}
    given = {name: np.shape(average) for name, average in state["averages"].items()}
    if shapes != given:
        raise ValueError(
            f"state does not fit: {optimizer!r} keeps averages of shapes {shapes} for this model; "
            f"got {given}"
        )
    for name, average in state["averages"].items():
        dtype = np.asarray(average).dtype
        if dtype.kind != "f":
            raise TypeError(f"state: the average {name!r} must hold real numbers; got {dtype}")
    steps = state["steps"]
    if not isinstance(steps, Sequence) or len(steps) != 2:
        raise TypeError(f"state: steps must be two numbers; got {steps!r}")
    for name, number in (("steps", steps[0]), ("steps", steps[1]), ("epoch", state["epoch"])):
        if positive_int(f"state: {name}", number, least=0) >= 2**63:
            raise ValueError(f"state: {name} must be below 2^63; got {number}")
    for name in ("lr_factor", "progress"):
        real_in(f"state: {name}", state[name], 0)
    if not isinstance(state["rng"], np.random.Generator):
        raise TypeError(f"state: rng must be a numpy.random.Generator; got {state['rng']!r}")
    return state


def _limit(name: str, value: float | None) -> float | None:
    return None if value is None else real_in(name, value, 0, open_low=True)
