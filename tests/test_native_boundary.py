"""What the native program refuses, and why a trainer does without it.

Programs are handed wrong descriptions and arrays in a process of their own: what is not refused
may read or write memory that is not theirs, and must not take the other tests along.
"""

import copy
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PACKAGE
from networks import blobs, numbers

import fastnn as fnn
from fastnn import lowering
from fastnn.backend import get_backend

NATIVE = "cython" in fnn.available_backends() and get_backend("cython").program is not None

pytestmark = pytest.mark.skipif(not NATIVE, reason="the native program was not built")

REFUSALS = ("ValueError", "TypeError", "KeyError", "OverflowError")
ROWS, BATCH, FEATURES, CLASSES = 40, 10, 6, 3


class Parts:
    """Everything a program is made of and runs on, correct until a case spoils it."""

    def __init__(self, loss="softmax_cross_entropy"):
        self.model = fnn.Sequential(
            [fnn.Affine(20), fnn.BatchNorm(), fnn.Tanh(), fnn.Dropout(0.2), fnn.Affine(CLASSES)],
            FEATURES,
            rng=0,
            dtype="float64",
            backend="cython",
        )
        model = self.model
        self.dtype = model.dtype
        self.stages = copy.deepcopy(lowering._stages(model, BATCH))
        sharing = lowering.sharing(model, BATCH)
        self.params, self.state = model.flat_params, model.flat_state
        self.seed = model.seed
        self.training = {
            "rows": BATCH,
            **sharing,
            "grads": model.flat_grads,
            "averages": (np.zeros_like(self.params), np.zeros_like(self.params)),
            "rule": ("adam", (0.9, 0.999, 1e-8)),
            "loss": (loss, ()),
            "clip_value": 0.0,
            "clip_norm": 0.0,
            "review": None,
        }
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((ROWS, FEATURES))
        self.targets = np.arange(ROWS) % CLASSES
        if loss != "softmax_cross_entropy":
            self.targets = rng.standard_normal((ROWS, CLASSES))
        self.weights = None
        steps = ROWS // BATCH
        self.order = np.arange(ROWS)
        self.bounds = np.arange(steps + 1) * BATCH
        self.rates = np.full(steps, 1e-3)
        self.losses, self.hits = np.zeros(steps), np.zeros(steps, np.int64)
        self.reviewed = None
        self.first, self.last = 0, steps
        self.model_step = self.update_step = 0
        self.threads = 2
        self.seconds = 60.0

    def by_columns(self):
        """Share steps by columns."""
        self.training.update(by_columns=True)
        for before, stage in itertools.pairwise(self.stages):
            stage["slices"] = before["columns"]

    def add_prelu(self):
        """Its slopes are whatever parameters come first."""
        operation = {"code": "prelu", "slope": 0, "trained": True, "rate": 1.0}
        self.stages[1]["operations"].append(operation)
        return operation

    def add_maxout(self):
        """Of two pieces; the last stage takes what is left."""
        maxout = {"affine": None, "maxout": 2, "width": 10, "stride": 16, "operations": []}
        maxout |= {"columns": [0, 10], "slices": [0, 20], "reached": True, "passes": True}
        self.stages.insert(2, maxout)
        self.stages[3]["slices"] = [0, 10]
        return maxout

    def program(self):
        make = self.model.backend.program.Program
        return make(self.dtype, self.stages, self.params, self.state, self.seed, self.training)

    def set_examples(self, program):
        program.set_examples(self.x, self.targets, self.weights, 1.0)

    def run(self, program):
        program.set_epoch(
            self.order, self.bounds, self.rates, self.losses, self.hits, self.reviewed
        )
        return program.run(
            self.first,
            self.last,
            self.model_step,
            self.update_step,
            self.threads,
            self.seconds,
        )

    def whole(self):
        program = self.program()
        self.set_examples(program)
        return self.run(program)


def spoiled(**attributes):
    """A case: parts with other attributes."""

    def case():
        parts = Parts()
        for name, value in attributes.items():
            setattr(parts, name, value(parts) if callable(value) else value)
        return parts.whole()

    return case


def reviewed(place, guard=1e-7, loss="softmax_cross_entropy", altered=False):
    """A case: the losses after the updates are wanted too."""

    def case():
        parts = Parts(loss)
        parts.training["review"] = guard
        parts.reviewed = place
        if altered:
            parts.stages[0]["operations"].append({"code": "dropout", "a": 0.5, "b": 1.0})
        return parts.whole()

    return case


def described(change):
    """A case: parts after a change of the description."""

    def case():
        parts = Parts()
        change(parts)
        return parts.whole()

    return case


def in_stage(number, **entries):
    return described(lambda parts: parts.stages[number].update(entries))


def in_affine(**entries):
    return described(lambda parts: parts.stages[2]["affine"].update(entries))


def in_batchnorm(**entries):
    return described(lambda parts: parts.stages[1]["operations"][0].update(entries))


def in_prelu(**entries):
    return described(lambda parts: parts.add_prelu().update(entries))


def in_training(**entries):
    return described(lambda parts: parts.training.update(entries))


def without(get, key):
    return described(lambda parts: get(parts).pop(key))


def far(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def run_without_examples():
    parts = Parts()
    parts.run(parts.program())


def run_without_epoch():
    parts = Parts()
    program = parts.program()
    parts.set_examples(program)
    program.run(0, 1, 0, 0, 1, 60.0)


def run_after_release():
    parts = Parts()
    program = parts.program()
    parts.set_examples(program)
    parts.run(program)
    program.release()
    program.run(0, 1, 0, 0, 1, 60.0)


def run_an_epoch_of_other_examples():
    """Its order may go beyond the rows there are now."""
    parts = Parts()
    program = parts.program()
    parts.set_examples(program)
    parts.run(program)
    program.set_examples(parts.x[:2].copy(), parts.targets[:2].copy(), None, 1.0)
    program.run(0, 1, 0, 0, 1, 60.0)


def run_an_inference_program():
    parts = Parts()
    parts.training = None
    program = parts.program()
    parts.set_examples(program)
    parts.run(program)


def run_after_refused_examples():
    """The examples before them stay."""
    parts = Parts()
    expected = parts.whole(), parts.losses.copy()
    again = Parts()
    program = again.program()
    again.set_examples(program)
    for x, targets in (
        (again.x[:2].copy(), again.targets[:2] + 70),
        (again.x[:1].copy(), None),
        (again.x[:2].copy(), again.targets[:2].astype(float)),
    ):
        try:
            program.set_examples(x, targets, None, 1.0)
        except (ValueError, TypeError):
            continue
        return "took bad targets"
    del x, targets
    assert again.run(program) == expected[0]
    np.testing.assert_array_equal(again.losses, expected[1])
    raise ValueError("as it should be")


def run_after_predict():
    """Rows that are predicted are not rows that are trained on."""
    expected = Parts()
    expected.whole()
    parts = Parts()
    program = parts.program()
    parts.set_examples(program)
    program.predict(np.zeros((1, FEATURES), np.float32), np.zeros((1, CLASSES)), 1, 1.0)
    parts.run(program)
    np.testing.assert_array_equal(parts.losses, expected.losses)
    raise ValueError("as it should be")


def predicted(x=None, out=None, **attributes):
    def case():
        parts = Parts()
        parts.training = None
        for name, value in attributes.items():
            setattr(parts, name, value)
        rows = np.zeros((4, FEATURES)) if x is None else x
        result = np.zeros((len(rows), CLASSES)) if out is None else out
        parts.program().predict(rows, result, 1, 1.0)

    return case


def squares(**attributes):
    def case():
        parts = Parts("mean_squared_error")
        for name, value in attributes.items():
            setattr(parts, name, value(parts))
        return parts.whole()

    return case


BAD = {
    # arrays of the model
    "params of another dtype": spoiled(params=lambda p: p.params.astype("f4")),
    "params too short": spoiled(params=lambda p: p.params[:-8].copy()),
    "params a list": spoiled(params=lambda p: p.params.tolist()),
    "params strided": spoiled(params=lambda p: np.repeat(p.params, 2)[::2]),
    "params swapped": spoiled(params=lambda p: p.params.astype(">f8")),
    "state too short": spoiled(state=lambda p: p.state[:3].copy()),
    "state of another dtype": spoiled(state=lambda p: p.state.astype("f4")),
    "grads too short": described(lambda p: p.training.update(grads=np.zeros(3))),
    "grads read-only": described(lambda p: p.training["grads"].setflags(write=False)),
    "averages too short": in_training(averages=(np.zeros(3), np.zeros(3))),
    "averages of another dtype": described(
        lambda p: p.training.update(averages=(np.zeros(p.params.size, "f4"),) * 2)
    ),
    "an average missing": described(
        lambda p: p.training.update(averages=(np.zeros(p.params.size),))
    ),
    "no averages": in_training(averages=()),
    "numbers of the rule missing": in_training(rule=("adam", ())),
    # the description
    "dtype of two bytes": spoiled(dtype=np.dtype("float16")),
    "dtype of integers": spoiled(dtype=np.dtype("int64")),
    "dtype unknown": spoiled(dtype="real"),
    "stages none": spoiled(stages=lambda p: []),
    "stages a tuple": spoiled(stages=lambda p: tuple(p.stages)),
    "stages without affine": spoiled(stages=lambda p: p.stages[:1]),
    "first stage affine": spoiled(stages=lambda p: p.stages[1:]),
    "an affine map and a maxout": in_stage(1, maxout=1),
    "maxout missing": without(lambda p: p.stages[1], "maxout"),
    "maxout of the input": in_stage(0, maxout=2),
    "maxout negative": in_stage(2, maxout=-2, affine=None, width=-10),
    "maxout of more than there is": in_stage(2, maxout=10, affine=None),
    "maxout of less than there is": in_stage(2, maxout=6, affine=None),
    "maxout beyond a byte": described(
        lambda p: (
            p.stages[1].update(width=257, stride=272, columns=[0, 257], operations=[]),
            p.stages[2].update(maxout=257, affine=None, width=1, stride=1, columns=[0, 1]),
        )
    ),
    "maxout by columns": described(lambda p: (p.add_maxout(), p.by_columns())),
    "slope beyond the parameters": in_prelu(slope=10**6),
    "slope negative": in_prelu(slope=-1),
    "slope missing": described(lambda p: p.add_prelu().pop("slope")),
    "trained missing": described(lambda p: p.add_prelu().pop("trained")),
    "second stage not affine": in_stage(1, affine=None),
    "stage without width": without(lambda p: p.stages[1], "width"),
    "width of another type": in_stage(1, width="20"),
    "width negative": in_stage(1, width=-20, columns=[0, -20]),
    "width too great": in_stage(1, width=10**6, stride=10**6, columns=[0, 10**6]),
    "stride below the width": in_stage(1, stride=19),
    "stride beyond BLAS": in_stage(1, stride=2**31),
    "bounds falling": in_stage(1, columns=[0, 12, 8, 20]),
    "bounds repeated": in_stage(1, columns=[0, 8, 8, 20]),
    "bounds beyond the width": in_stage(1, columns=[0, 8, 24]),
    "bounds short of the width": in_stage(1, columns=[0, 8]),
    "bounds from one": in_stage(1, columns=[1, 20]),
    "bounds negative": in_stage(1, columns=[-8, 0, 20]),
    "bounds none": in_stage(1, columns=[]),
    "bounds fractional": in_stage(1, columns=[0, 8.5, 20]),
    "more pieces than there may be": in_stage(1, columns=[*range(17), 20]),
    "slices falling": in_stage(1, slices=[0, 4, 2, 6]),
    "slices beyond the rows": in_stage(1, slices=[0, 7]),
    "slices short of the rows": in_stage(1, slices=[0, 5]),
    "slices none": in_stage(1, slices=[]),
    "slices that are not the columns before": described(
        lambda p: (p.training.update(by_columns=True), p.stages[2].update(slices=[0, 2, 20]))
    ),
    "row pieces none": in_training(row_pieces=0),
    "row pieces negative": in_training(row_pieces=-1),
    "more row pieces than there may be": in_training(row_pieces=17),
    "row pieces missing": without(lambda p: p.training, "row_pieces"),
    "sharing missing": without(lambda p: p.training, "by_columns"),
    "operation unknown": in_batchnorm(code="layernorm"),
    "operation without code": without(lambda p: p.stages[1]["operations"][0], "code"),
    "gamma beyond the parameters": in_batchnorm(gamma=10**6),
    "gamma at the very end": described(
        lambda p: p.stages[1]["operations"][0].update(gamma=p.params.size - 19)
    ),
    "beta negative": in_batchnorm(beta=-1),
    "running_mean beyond the state": in_batchnorm(running_mean=30),
    "running_var missing": without(lambda p: p.stages[1]["operations"][0], "running_var"),
    "w beyond the parameters": in_affine(w=10**6),
    "w negative": in_affine(w=-1),
    "w as far as integers go": in_affine(w=2**63 - 1),
    "b as far as integers go": in_affine(b=2**63 - 2),
    "rate of another type": in_affine(rate="fast"),
    "rate missing": without(lambda p: p.stages[2]["affine"], "rate"),
    "rate of an operation of another type": in_batchnorm(rate="fast"),
    "b beyond integers": in_affine(b=2**70),
    "w missing": without(lambda p: p.stages[2]["affine"], "w"),
    "max_norm of another type": in_affine(max_norm="long"),
    "max_norm missing": without(lambda p: p.stages[2]["affine"], "max_norm"),
    "clip_value missing": without(lambda p: p.training, "clip_value"),
    "clip_norm of another type": in_training(clip_norm=None),
    "rows zero": in_training(rows=0),
    "rows negative": in_training(rows=-5),
    "rows beyond BLAS": in_training(rows=2**31),
    "rule unknown": in_training(rule=("lion", (0.9,))),
    "rule not a pair": in_training(rule="adam"),
    "loss unknown": in_training(loss=("hinge", ())),
    "loss without numbers": in_training(loss="mean_squared_error"),
    "numbers of the loss missing": in_training(loss=("huber", ())),
    "numbers of the loss too many": in_training(loss=("cross_entropy", (1e-7, 1.0))),
    "number of the loss of another type": in_training(loss=("huber", ("one",))),
    "labels of a loss on probabilities beyond the classes": described(
        lambda p: (
            p.training.update(loss=("cross_entropy", (1e-7,))),
            setattr(p, "targets", far(p.targets, -1, CLASSES)),
        )
    ),
    "softmax by columns": described(
        lambda p: (p.by_columns(), p.stages[1]["operations"].append({"code": "softmax"}))
    ),
    "training incomplete": in_training(grads=None),
    "seed negative": spoiled(seed=-1),
    # examples
    "x of other features": spoiled(x=np.zeros((ROWS, FEATURES + 1))),
    "x flat": spoiled(x=np.zeros(ROWS * FEATURES)),
    "x of integers": spoiled(x=np.zeros((ROWS, FEATURES), np.int64)),
    "x Fortran": spoiled(x=np.zeros((ROWS, FEATURES), order="F")),
    "x swapped": spoiled(x=np.zeros((ROWS, FEATURES), ">f8")),
    "x a list": spoiled(x=[[0.0] * FEATURES] * ROWS),
    "x None": spoiled(x=None),
    "x without rows": spoiled(x=np.zeros((0, FEATURES)), targets=np.zeros(0, np.int64)),
    "labels too few": spoiled(targets=lambda p: p.targets[:-1].copy()),
    "labels too many": spoiled(targets=lambda p: np.append(p.targets, 0)),
    "labels of 32 bits": spoiled(targets=lambda p: p.targets.astype("i4")),
    "labels of reals": spoiled(targets=lambda p: p.targets.astype("f8")),
    "labels negative": spoiled(targets=lambda p: far(p.targets, 5, -1)),
    "labels beyond the classes": spoiled(targets=lambda p: far(p.targets, -1, CLASSES)),
    "labels strided": spoiled(targets=lambda p: np.repeat(p.targets, 2)[::2]),
    "labels a list": spoiled(targets=lambda p: p.targets.tolist()),
    "labels None": spoiled(targets=None),
    "targets too narrow": squares(targets=lambda p: p.targets[:, :2].copy()),
    "targets of another dtype": squares(targets=lambda p: p.targets.astype("f4")),
    "targets Fortran": squares(targets=lambda p: np.asfortranarray(p.targets)),
    "weights too few": spoiled(weights=np.ones(ROWS - 1)),
    "weights of another dtype": spoiled(weights=np.ones(ROWS, "f4")),
    "weights strided": spoiled(weights=np.ones(2 * ROWS)[::2]),
    "weights a list": spoiled(weights=[1.0] * ROWS),
    # runs
    "run without examples": run_without_examples,
    "run without an epoch": run_without_epoch,
    "run after the epoch is released": run_after_release,
    "run an epoch of other examples": run_an_epoch_of_other_examples,
    "run of an inference program": run_an_inference_program,
    "run after refused examples": run_after_refused_examples,
    "run after predict": run_after_predict,
    "order beyond the rows": spoiled(order=lambda p: far(p.order, 7, ROWS)),
    "order negative": spoiled(order=lambda p: far(p.order, 7, -1)),
    "order of 32 bits": spoiled(order=lambda p: p.order.astype("i4")),
    "order strided": spoiled(order=lambda p: np.repeat(p.order, 2)[::2]),
    "order too short": spoiled(order=lambda p: p.order[:-1].copy()),
    "order empty": spoiled(order=np.zeros(0, np.int64)),
    "order None": spoiled(order=None),
    "batch larger than its buffers": spoiled(bounds=np.array([0, 10, 21, 30, 40])),
    "batch empty": spoiled(bounds=np.array([0, 10, 10, 20, 30])),
    "batches falling": spoiled(bounds=np.array([0, 10, 5, 15, 25])),
    "batches from below zero": spoiled(bounds=np.array([-5, 5, 15, 25, 35])),
    "batches beyond the order": spoiled(bounds=np.array([5, 15, 25, 35, 45])),
    "batches a list": spoiled(bounds=[0, 10, 20, 30, 40]),
    "batches none": spoiled(bounds=np.zeros(0, np.int64)),
    "batches of reals": spoiled(bounds=np.arange(5.0) * BATCH),
    "rates too few": spoiled(rates=np.ones(3)),
    "rates of another dtype": spoiled(rates=np.ones(4, "f4")),
    "losses too few": spoiled(losses=np.zeros(3)),
    "losses of another dtype": spoiled(losses=np.zeros(4, "f4")),
    "hits too few": spoiled(hits=np.zeros(3, np.int64)),
    "hits of reals": spoiled(hits=np.zeros(4)),
    "review without a place": reviewed(None),
    "review into too little": reviewed(np.zeros(3)),
    "review into another dtype": reviewed(np.zeros(4, "f4")),
    "review into a list": reviewed([0.0] * 4),
    "review guarded by a word": reviewed(np.zeros(4), guard="little"),
    "review of another loss": reviewed(np.zeros(4), loss="sum_squared_error"),
    "review of altered inputs": reviewed(np.zeros(4), altered=True),
    "review missing": without(lambda p: p.training, "review"),
    "first negative": spoiled(first=-1),
    "first not before last": spoiled(first=2, last=2),
    "last beyond the batches": spoiled(last=5),
    "step negative": spoiled(model_step=-1),
    "seconds not a number": spoiled(seconds="soon"),
    # prediction
    "predict other features": predicted(np.zeros((4, FEATURES + 1))),
    "predict integers": predicted(np.zeros((4, FEATURES), np.int32)),
    "predict a list": predicted([[0.0] * FEATURES]),
    "predict into too little": predicted(out=np.zeros((3, CLASSES))),
    "predict into another dtype": predicted(out=np.zeros((4, CLASSES), "f4")),
    "predict into Fortran": predicted(out=np.zeros((4, CLASSES), order="F")),
    "predict without stages": predicted(stages=[]),
}


def try_from(start):
    """Print what becomes of each case from this place on."""
    for name in list(BAD)[start:]:
        try:
            BAD[name]()
            outcome = "nothing"
        except Exception as error:
            outcome = type(error).__name__
        print(json.dumps([name, outcome]), flush=True)


@pytest.fixture(scope="module")
def outcomes():
    """What became of each case; one that ends its process is followed by a new process."""
    results = {}
    while len(results) < len(BAD):
        code = f"import test_native_boundary as cases; cases.try_from({len(results)})"
        folders = [str(PACKAGE.parent), str(Path(__file__).parent)]
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                out, errors = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                out, errors = process.communicate()
        results |= dict(map(json.loads, out.splitlines()))
        if len(results) < len(BAD):
            assert process.returncode, errors
            assert process.returncode < 0 or not errors, errors
            name = list(BAD)[len(results)]
            results[name] = signal.Signals(-process.returncode).name
    return results


@pytest.mark.parametrize("name", BAD)
def test_a_program_refuses(name, outcomes):
    assert outcomes[name] in REFUSALS


@pytest.mark.parametrize("change", [None, "by_columns", "add_prelu", "add_maxout"])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_the_parts_are_correct_until_they_are_spoiled(loss, change):
    parts = Parts(loss)
    if change:
        getattr(parts, change)()
    assert parts.whole() == 4
    assert np.isfinite(parts.losses).all()
    assert (parts.losses != 0).all()


# -- why a trainer does without the program --------------------------------------------------------

X, Y = blobs(60)


class Swish(fnn.Layer):
    """A layer of one's own, with a parameter."""

    kind = "swish"

    def parameter_shapes(self, n_in):
        return {"a": (n_in,)}

    def initialize(self, rng):
        self.a[:] = 1

    def forward(self, x, train=False, step=0):
        self._x, self._s = x, 1 / (1 + np.exp(-self.a * x))
        self._out = x * self._s
        return self._out

    def backward(self, dout, input_gradient=True):
        slope = self._s * (1 - self._s)
        self.da[:] = (dout * self._x**2 * slope).sum(0)
        return dout * (self._s + self.a * self._x * slope) if input_gradient else None


class Steep(fnn.ReLU):
    """A subclass of what has a native form need not do the same."""


class Loss(fnn.SoftmaxCrossEntropy):
    pass


class Descent(fnn.SGD):
    pass


class Shrink(fnn.Optimizer):
    def __init__(self, lr=0.1):
        super().__init__(lr)

    def update(self, kernels, p, g, state, lr, step):
        p *= 1 - lr


class Decay(fnn.L2):
    pass


class Bound(fnn.MaxNorm):
    pass


def error_rate(outputs, targets):
    return float((outputs.argmax(1) != targets).mean())


def sequential(*layers, backend="cython"):
    return fnn.Sequential([*layers], 8, rng=0, backend=backend)


def plain(backend="cython"):
    return sequential(fnn.Affine(6), fnn.ReLU(), fnn.Affine(3), backend=backend)


OBSTACLES = {
    "backend": (lambda: (plain("numpy"), {}), "backend 'numpy' has no native program"),
    "layer": (
        lambda: (sequential(fnn.Affine(6), Swish(), fnn.Affine(3)), {}),
        r"layer swish1 \(Swish\) has no native form",
    ),
    "subclass of a layer": (
        lambda: (sequential(fnn.Affine(6), Steep(), fnn.Affine(3)), {}),
        r"layer relu1 \(Steep\) has no native form",
    ),
    "no affine layer": (
        lambda: (fnn.Sequential([fnn.BatchNorm()], 8, rng=0, backend="cython"), {}),
        "without an Affine layer",
    ),
    "loss": (lambda: (plain(), {"loss": Loss()}), "loss Loss has no native form"),
    "optimizer": (
        lambda: (plain(), {"optimizer": Descent(0.1)}),
        "optimizer Descent has no native form",
    ),
    "regularizer": (
        lambda: (plain(), {"regularizer": Decay(1e-3)}),
        "regularizer Decay has no native form",
    ),
    "a layer's regularizer": (
        lambda: (sequential(fnn.Affine(6, regularizer=Decay(1e-3)), fnn.Affine(3)), {}),
        "regularizer Decay has no native form",
    ),
    "constraint": (
        lambda: (plain(), {"constraint": Bound(1.0)}),
        "constraint Bound has no native form",
    ),
    "a layer's constraint": (
        lambda: (sequential(fnn.Affine(6, constraint=Bound(1.0)), fnn.Affine(3)), {}),
        "constraint Bound has no native form",
    ),
    "accuracy of yes and no": (
        lambda: (plain(), {"loss": "binary_cross_entropy", "metrics": ["accuracy"]}),
        "metric 'accuracy' has no native form with loss BinaryCrossEntropy",
    ),
    "metric": (lambda: (plain(), {"metrics": [error_rate]}), "'error_rate' has no native form"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_stands_in_the_way_is_named_and_trains_eagerly(name):
    make, reason = OBSTACLES[name]
    model, settings = make()
    with pytest.raises(fnn.NotBuiltError, match=f"engine='native' is not possible: .*{reason}"):
        fnn.Trainer(model, engine="native", verbose=False, **settings)
    trainer = fnn.Trainer(model, rng=0, batch_size=20, verbose=False, **settings)
    assert trainer.engine == "eager"
    assert re.search(reason, trainer.engine_reason)
    before = numbers(model)
    y = Y if model.output_size == 3 else Y % 2
    if settings.get("loss") == "binary_cross_entropy":
        y = np.eye(3)[Y]
    history = trainer.fit(X, y, epochs=3, validation_data=(X, y))
    assert numbers(model) != before
    assert np.isfinite(history["val_loss"]).all()
    np.testing.assert_allclose(model.predict(X), model.forward(X), rtol=1e-4, atol=1e-5)
    assert len(model.predict_proba(X[:2])) == 2


def test_an_optimizer_that_the_program_does_not_know_yet_trains_eagerly(monkeypatch):
    """One that is being added to fastnn can be tried before it has a native form."""
    monkeypatch.setitem(fnn.optimizers.OPTIMIZERS, "shrink", Shrink)
    trainer = fnn.Trainer(plain(), optimizer=Shrink(), rng=0, verbose=False)
    assert trainer.engine_reason == "optimizer Shrink has no native form"
    trainer.fit(X, Y, epochs=1)
    assert trainer.step


def test_a_layer_of_ones_own_learns():
    model = sequential(fnn.Affine(16), Swish(), fnn.Affine(3))
    trainer = fnn.Trainer(model, optimizer=fnn.Adam(0.02), rng=0, batch_size=20, verbose=False)
    history = trainer.fit(X, Y, epochs=20)
    assert "Swish" in trainer.engine_reason
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert not np.array_equal(model.params["swish1.a"], np.ones(16))


def test_the_reasons_of_each_choice():
    assert fnn.Trainer(plain(), verbose=False).engine_reason == "every part has a native form"
    native = fnn.Trainer(plain(), engine="native", verbose=False)
    assert (native.engine, native.engine_reason) == ("native", "every part has a native form")
    eager = fnn.Trainer(plain(), engine="eager", verbose=False)
    assert (eager.engine, eager.engine_reason) == ("eager", "engine='eager' was asked for")
    with pytest.raises(ValueError, match="engine must be one of auto, eager, native; got 'fast'"):
        fnn.Trainer(plain(), engine="fast", verbose=False)
