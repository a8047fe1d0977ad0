"""Random architectures out of everything there is: the native program does what the layers do.

A case is drawn from its number alone, so a failure can be run again by itself. The program's pieces
are made small for most of them (`cut_small`): by its own measure networks as small as these, which
a test has time for, would be one piece, and nothing would be shared among threads.

What makes two correct executors part is left out of the draw, and only that. BLAS rounds a product
of some columns differently from the whole product, so gradients agree to some eps of the largest
among them, and no better. AdaGrad, RMSProp, Adam and their kin divide a gradient by its own
magnitude plus ``eps``: with the default 1e-8 a gradient that is zero but for rounding (that of a
bias before BatchNorm, always) moves its parameter by a whole step in a random direction. So they
are drawn with an ``eps`` of 1e-3. BatchNorm multiplies a nearly constant feature by up to
``eps ** -0.5``, and makes the sign of their difference out of two rows; it is drawn with an ``eps``
of 1e-2, and batches of 8 rows or more, but for the last of an epoch. A unit within rounding
of the kink of its ReLU may fall on either side: that is a change of one sample's gradient in one
unit, which the norm over an array of parameters, here the measure, bears.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from networks import NATIVE_LAYERS, Recorder, blobs, numbers

import fastnn as fnn
from fastnn import lowering
from fastnn._kernels import reference
from fastnn.backend import get_backend
from fastnn.data import batch_slices
from fastnn.layers import LAYERS as ALL_LAYERS
from fastnn.losses import LOSSES as ALL_LOSSES
from fastnn.optimizers import OPTIMIZERS
from fastnn.regularizers import REGULARIZERS

pytestmark = [
    pytest.mark.skipif(
        "cython" not in fnn.available_backends() or get_backend("cython").program is None,
        reason="the native program was not built",
    ),
    # Some cases are drawn with every layer frozen.
    pytest.mark.filterwarnings("ignore:fit has nothing to train"),
]

CASES = 240
STEPS = 20
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}

WIDTHS = [1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 48, 64, 65, 96, 100, 127, 128, 150]
BATCH_SIZES = [1, 2, 3, 8, 16, 17, 32, 50]
RATIOS = [0.0, 0.1, 0.25, 0.5]

# What has a native form: others train on the eager engine only.
LAYERS = {k: c for k, c in ALL_LAYERS.items() if c in lowering.NATIVE_LAYERS}
LOSSES = {k: c for k, c in ALL_LOSSES.items() if c in lowering.LOSSES}

# kind -> how its settings are drawn; the tests fail for a kind that is missing here
LAYER_SETTINGS = {
    "batchnorm": lambda rng: {"momentum": float(rng.choice([0.5, 0.9])), "eps": 1e-2},
    "dropout": lambda rng: {"ratio": float(rng.choice(RATIOS))},
    "relu": lambda rng: {},
    "leaky_relu": lambda rng: {"slope": float(rng.choice([0.01, 0.2, -0.1]))},
    "sigmoid": lambda rng: {},
    "tanh": lambda rng: {},
    "elu": lambda rng: {"alpha": float(rng.choice([0.5, 1.0]))},
    "prelu": lambda rng: {"init": 0.25},
    "maxout": lambda rng: {"pieces": int(rng.choice([1, 2, 3, 4]))},  # fitted to the width
    "softplus": lambda rng: {},
    "gelu": lambda rng: {},
    "silu": lambda rng: {},
    "gaussian_noise": lambda rng: {"std": float(rng.choice([0.0, 0.1, 0.3]))},
    "softmax": lambda rng: {},
    "masking_noise": lambda rng: {"ratio": float(rng.choice(RATIOS))},
}
PENALTY_SETTINGS = {
    "l1": lambda rng: {"strength": 1e-3},
    "l2": lambda rng: {"strength": float(rng.choice([1e-3, 1e-2]))},
    "elastic_net": lambda rng: {"l1": 1e-3, "l2": float(rng.choice([0.0, 1e-2]))},
}
OPTIMIZER_SETTINGS = {
    "sgd": {},
    "momentum": {"momentum": 0.8},
    "nesterov": {"momentum": 0.8},
    "adagrad": {"eps": 1e-3},
    "rmsprop": {"alpha": 0.9, "eps": 1e-3},
    "adadelta": {"rho": 0.8, "eps": 1e-4},
    "adam": {"eps": 1e-3},
    "adamw": {"eps": 1e-3, "weight_decay": 0.1},
    "radam": {"beta2": 0.99, "eps": 1e-3},
}
RATES = {
    "constant": fnn.Constant,
    "step": lambda lr: fnn.StepDecay(lr, every=2, factor=0.5),
    "exponential": lambda lr: fnn.ExponentialDecay(lr, 0.8),
    "cosine": lambda lr: fnn.CosineDecay(lr, 3, final=lr / 10),
    "warm-up": lambda lr: fnn.WarmUp(fnn.ExponentialDecay(lr, 0.9), epochs=1.5),
    "function": lambda lr: lambda epoch: lr / (1 + epoch),
}
LOSS_SETTINGS = {
    "softmax_cross_entropy": lambda rng: {"label_smoothing": float(rng.choice([0.0, 0.0, 0.1]))},
    "cross_entropy": lambda rng: {"guard": float(rng.choice([1e-7, 1e-3]))},
    "binary_cross_entropy": lambda rng: {},
    "mean_squared_error": lambda rng: {},
    "sum_squared_error": lambda rng: {},
    "mean_absolute_error": lambda rng: {},
    "huber": lambda rng: {"delta": float(rng.choice([0.1, 1.0]))},
}
# What bounds gradients, small enough to do so: those of a step have a norm of about one.
CLIPPING = {
    "none": {},
    "value": {"clip_value": 0.01},
    "norm": {"clip_norm": 0.3},
    "both": {"clip_value": 0.05, "clip_norm": 0.1},
}
FREEZING = ["none", "none", "some", "first", "last", "all"]


def draw_bound(rng, share):
    return fnn.MaxNorm(float(rng.choice([0.5, 1.0]))) if rng.random() < share else None


def draw_penalty(rng, share):
    if rng.random() > share:
        return None
    kind = str(rng.choice(list(PENALTY_SETTINGS)))
    return REGULARIZERS[kind](**PENALTY_SETTINGS[kind](rng))


@dataclass
class Case:
    """One drawn network, its problem, and how it is trained."""

    seed: int
    dtype: str
    n_in: int
    n_out: int
    layers: list[tuple[str, dict[str, Any]]]
    frozen: list[int]
    freezing: str
    scales: list[float]
    loss: str
    loss_settings: dict[str, float]
    soft: bool
    optimizer: str
    schedule: str
    penalty: Any
    constraint: Any
    clipping: str
    weighted: bool
    validated: bool
    batch_size: int
    batches: int
    rest: int
    small_pieces: bool
    by_columns: bool

    @property
    def rows(self):
        """The last batch has ``rest`` rows."""
        return (self.batches - 1) * self.batch_size + self.rest

    @property
    def normalizes(self):
        return any(
            kind == "batchnorm" and place not in self.frozen
            for place, (kind, _) in enumerate(self.layers)
        )

    def model(self):
        layers = [LAYERS[kind](**settings) for kind, settings in self.layers]
        for place in self.frozen:
            layers[place].trainable = False
        for layer, scale in zip(layers, self.scales, strict=True):
            layer.lr_scale = scale
        model = fnn.Sequential(layers, self.n_in, rng=self.seed, dtype=self.dtype, backend="cython")
        rng = np.random.default_rng(self.seed)
        for name, view in (model.params | model.state).items():
            # Values at which every part of a formula counts: a bias that is not zero, and so on.
            if name.endswith(("b", "beta", "running_mean")):
                view[:] = 0.1 * rng.standard_normal(view.shape)
            elif name.endswith("slope"):
                view[:] = rng.uniform(-0.2, 0.5, view.shape)
            elif name.endswith(("gamma", "running_var")):
                view[:] = rng.uniform(0.5, 1.5, view.shape)
        return model

    def problem(self):
        rng = np.random.default_rng(self.seed + 1)
        x = rng.standard_normal((self.rows, self.n_in)).astype(self.dtype)
        weights = rng.uniform(0, 2, self.rows) if self.weighted else None
        if self.loss == "binary_cross_entropy":
            y = rng.random((self.rows, self.n_out))
            y = y if self.soft else y.round()
        elif not LOSSES[self.loss].classifies:
            y = rng.standard_normal((self.rows, self.n_out))
        elif self.soft:
            y = rng.dirichlet(np.ones(self.n_out), self.rows)
        else:
            y = rng.integers(0, self.n_out, self.rows)
        return x, y, weights

    def train(self, engine, threads=1, record=False, lr_factor=1.0):
        """What training leaves: losses of the steps (where recorded), history, model."""
        # The sum over outputs is steeper than the mean by their number.
        steepness = self.n_out if self.loss == "sum_squared_error" else 1
        lr = 0.02 / steepness if self.optimizer in ("sgd", "momentum", "nesterov") else 0.005
        lr = 0.1 if self.optimizer == "adadelta" else lr
        recorder = Recorder()
        model = self.model()
        trainer = fnn.Trainer(
            model,
            LOSSES[self.loss](**self.loss_settings),
            OPTIMIZERS[self.optimizer](
                lr=RATES[self.schedule](lr * lr_factor), **OPTIMIZER_SETTINGS[self.optimizer]
            ),
            self.penalty,
            batch_size=self.batch_size,
            engine=engine,
            threads=threads,
            rng=self.seed,
            callbacks=[recorder] if record else [],
            verbose=False,
            constraint=self.constraint,
            **CLIPPING[self.clipping],
        )
        x, y, weights = self.problem()
        validation = (x[:5], y[:5]) if self.validated else None
        batches = len(batch_slices(self.rows, self.batch_size, merge_single=self.normalizes))
        epochs = -(-STEPS // batches)
        history = trainer.fit(x, y, epochs, validation, sample_weight=weights)
        assert trainer.step == epochs * batches >= STEPS
        curves = {name: history[name] for name in history if name != "seconds"}
        return recorder.losses, curves, model


def draw(number):
    """The case of this number."""
    rng = np.random.default_rng([number, 7])
    affines = int(rng.integers(1, 6))
    others = list(LAYER_SETTINGS)
    width = n_in = int(rng.choice(WIDTHS))
    layers: list[tuple[str, dict[str, Any]]] = []
    for place in range(affines + 1):
        if place:
            width = int(rng.choice(WIDTHS))
            settings = {
                "units": width,
                "init": "xavier",
                "regularizer": draw_penalty(rng, 0.2),
                "constraint": draw_bound(rng, 0.1),
            }
            layers.append(("affine", settings))
        # Nothing, or up to four in any order, alike or not; also before the first affine map and
        # behind the last.
        amount = int(rng.choice([0, 1, 2, 3, 4], p=[0.2, 0.3, 0.3, 0.1, 0.1]))
        if place in (0, affines):
            amount = int(rng.choice([0, amount]))
        for kind in rng.choice(others, amount):
            settings = LAYER_SETTINGS[kind](rng)
            if kind == "maxout":
                settings["pieces"] = math.gcd(width, settings["pieces"])
                width //= settings["pieces"]
            layers.append((str(kind), settings))
    loss = list(LOSSES)[number % len(LOSSES)]
    if loss == "cross_entropy":
        layers.append(("softmax", {}))
    owners = [i for i, (kind, _) in enumerate(layers) if kind in ("affine", "batchnorm", "prelu")]
    freezing = str(rng.choice(FREEZING))
    frozen = {
        "none": [],
        "some": [i for i in owners if rng.random() < 0.5],
        "first": owners[:1],
        "last": owners[-1:],
        "all": owners,
    }[freezing]
    batch_size = int(rng.choice(BATCH_SIZES))
    scaled = rng.random() < 0.3
    case = Case(
        seed=number,
        dtype=str(rng.choice(["float32", "float64"])),
        n_in=n_in,
        n_out=width,
        layers=layers,
        frozen=frozen,
        freezing=freezing,
        scales=[float(rng.choice([0.0, 0.1, 0.5, 2.0])) if scaled else 1.0 for _ in layers],
        loss=loss,
        loss_settings=LOSS_SETTINGS[loss](rng),
        soft=bool(rng.random() < 0.5),
        optimizer=list(OPTIMIZERS)[number // 3 % len(OPTIMIZERS)],
        schedule=str(rng.choice(list(RATES))),
        penalty=draw_penalty(rng, 0.5),
        constraint=draw_bound(rng, 0.2),
        clipping=str(rng.choice(list(CLIPPING), p=[0.55, 0.15, 0.15, 0.15])),
        weighted=bool(rng.random() < 0.4),
        validated=bool(rng.random() < 0.3),
        batch_size=batch_size,
        batches=int(rng.choice([1, 2, 4, 5, 10, 20])),
        rest=int(rng.choice([1, batch_size, rng.integers(1, batch_size + 1)])),
        small_pieces=bool(rng.random() < 0.8),
        by_columns=bool(number % 2),
    )
    if case.normalizes:
        # A last batch of a single row joins the one before it, if there is one.
        case.batch_size = max(case.batch_size, 8)
        if case.batches == 1:
            case.rest = max(case.rest, 2)
    if number % 13 == 5:
        case.batch_size, case.batches, case.rest = 300, 2, 257  # several tiles of rows
    return case


def cut_small(monkeypatch, case=None):
    """Cut into pieces whatever is large enough to be cut, whether it is worth it or not."""
    if case is None or case.small_pieces:
        monkeypatch.setattr(lowering, "PIECE_WORK", 1)
        monkeypatch.setattr(lowering, "PIECE_ROWS", 2)
    if case is not None:
        cut(monkeypatch, case.by_columns)


def cut(monkeypatch, by_columns):
    """Share steps by columns, or by rows, whatever the size of the weights."""
    monkeypatch.setattr(lowering, "SHARED_WEIGHTS", 0 if by_columns else 1 << 40)


def assert_agree(got, expected, dtype):
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(got[0], expected[0], rtol=tolerance)
    assert got[1].keys() == expected[1].keys()
    for name, values in expected[1].items():
        np.testing.assert_allclose(got[1][name], values, rtol=tolerance, err_msg=name)
    wanted = expected[2].snapshot()
    for name, array in got[2].snapshot().items():
        # The floor is a tenth of the tolerance for each element: a bias before BatchNorm is moved
        # by rounding alone.
        floor = 0.1 * np.sqrt(array.size)
        difference = np.linalg.norm((array - wanted[name]).astype(np.float64))
        assert difference <= tolerance * (np.linalg.norm(wanted[name]) + floor), name
    assert got[2].step == expected[2].step


@pytest.mark.parametrize("number", range(CASES))
def test_native_and_eager_agree(number, monkeypatch):
    case = draw(number)
    cut_small(monkeypatch, case)
    expected = case.train("eager", record=True)
    got = case.train("native", record=True)
    assert_agree(got, expected, case.dtype)
    # Many steps in one call, on several threads, with nobody looking: the same bits.
    for threads in (1, 2 + number % 3):
        _, history, model = case.train("native", threads)
        assert history == got[1]
        assert numbers(model) == numbers(got[2])


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "elu", "batchnorm", "dropout"])
def test_what_dropout_left_of_a_relu_is_kept(kind, by_columns, monkeypatch):
    """Dropout runs in the place of ReLU's output, which the way back needs: nothing else may."""
    cut_small(monkeypatch)
    cut(monkeypatch, by_columns)
    ends = []
    for engine in ("eager", "native"):
        layers = [fnn.Affine(40), fnn.ReLU(), fnn.Dropout(0.2), LAYERS[kind](), fnn.Affine(3)]
        model = fnn.Sequential(layers, 8, rng=0, dtype="float64", backend="cython")
        trainer = fnn.Trainer(
            model, optimizer=fnn.SGD(0.1), batch_size=20, engine=engine, rng=0, verbose=False
        )
        trainer.fit(*blobs(100), epochs=2)
        ends.append(model.flat_params.copy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("number", range(3, CASES, 10))
def test_threads_and_repetition_do_not_change_a_bit(number, monkeypatch):
    cut_small(monkeypatch)
    case = draw(number)
    runs = []
    for threads in (1, 2, 3, 4, 3):
        _, history, model = case.train("native", threads)
        runs.append((history, numbers(model)))
    assert all(run == runs[0] for run in runs[1:])


def test_the_cases_hold_everything_there_is():
    cases = [draw(number) for number in range(CASES)]
    assert CASES >= 200
    layers = [kind for case in cases for kind, _ in case.layers]
    assert set(layers) == NATIVE_LAYERS
    assert {case.loss for case in cases} == set(LOSSES)
    assert {(case.optimizer, case.dtype) for case in cases} == {
        (kind, dtype) for kind in OPTIMIZERS for dtype in TOLERANCE
    }
    assert {type(case.penalty) for case in cases} == {type(None), *REGULARIZERS.values()}
    own = {type(s["regularizer"]) for c in cases for k, s in c.layers if k == "affine"}
    assert own == {type(None), *REGULARIZERS.values()}
    bounds = {type(s["constraint"]) for c in cases for k, s in c.layers if k == "affine"}
    assert bounds == {type(case.constraint) for case in cases} == {type(None), fnn.MaxNorm}
    assert {(case.clipping, case.by_columns) for case in cases} == {
        (clipping, by_columns) for clipping in CLIPPING for by_columns in (False, True)
    }
    assert {case.schedule for case in cases} == set(RATES)
    assert {case.freezing for case in cases} == set(FREEZING)
    assert {case.rest == 1 for case in cases if case.normalizes} == {True, False}
    assert {case.loss_settings.get("label_smoothing", 0) > 0 for case in cases} == {True, False}
    assert {max(case.scales) != min(case.scales) for case in cases} == {True, False}
    for flag in ("soft", "weighted", "validated", "small_pieces"):
        assert {getattr(case, flag) for case in cases} == {True, False}
    before_affine = {case.layers[0][0] for case in cases}
    assert before_affine == NATIVE_LAYERS
    assert {case.layers[-1][0] for case in cases} == NATIVE_LAYERS
    pairs = {
        (before[0], after[0])
        for case in cases
        for before, after in zip(case.layers, case.layers[1:], strict=False)
    }
    assert len(pairs) > 0.9 * len(NATIVE_LAYERS) ** 2


@pytest.mark.parametrize("whole_rows", [False, True])
def test_several_tiles_of_columns(whole_rows, monkeypatch):
    """Wider than what the loops over columns take at once; prediction too."""
    cut_small(monkeypatch)
    cut(monkeypatch, by_columns=True)
    x, y = blobs(120)
    ends = []
    for engine in ("eager", "native"):
        layers = [fnn.Affine(1400), fnn.PReLU(), fnn.GaussianNoise(0.1), fnn.Affine(600)]
        layers += [fnn.Maxout(2), fnn.Softmax()] if whole_rows else []
        layers += [fnn.PReLU(-0.1), fnn.BatchNorm(), fnn.Affine(3), fnn.MaskingNoise(0.1)]
        model = fnn.Sequential(layers, 8, rng=0, dtype="float64", backend="cython")
        assert lowering.sharing(model, 30)["by_columns"] != whole_rows
        trainer = fnn.Trainer(
            model,
            optimizer=fnn.SGD(0.1),
            batch_size=30,
            engine=engine,
            threads=3,
            rng=0,
            verbose=False,
            constraint=fnn.MaxNorm(0.5),
            clip_norm=0.5,
        )
        trainer.fit(x, y, epochs=3)
        np.testing.assert_allclose(model.predict(x), model.forward(x), rtol=1e-10, atol=1e-12)
        ends.append(model.flat_params.copy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("by_columns", [False, True])
def test_small_pieces_are_several(by_columns, monkeypatch):
    """So that the threads of these tests have something to share."""
    cut_small(monkeypatch)
    cut(monkeypatch, by_columns)
    model = fnn.Sequential([fnn.Affine(150), fnn.Tanh(), fnn.Affine(64)], 33, rng=0)
    assert lowering.sharing(model, rows=20) == {"by_columns": by_columns, "row_pieces": 8}
    stages = lowering._stages(model, rows=20)
    assert [len(stage["columns"]) - 1 for stage in stages] == [2, 8, 4]
    assert [len(stage["slices"]) - 1 for stage in stages[1:]] == ([2, 8] if by_columns else [8, 8])


def test_large_weights_are_shared_by_columns():
    narrow, wide = fnn.mlp(784, [100] * 6, 10, rng=0), fnn.mlp(784, [1024], 10, rng=0)
    assert lowering.sharing(narrow, 100) == {"by_columns": False, "row_pieces": 2}
    assert lowering.sharing(wide, 100)["by_columns"]
    assert lowering.sharing(fnn.mlp(8, [64, 64], 4, rng=0), 32)["row_pieces"] == 1
    layers = [fnn.Affine(1024), fnn.Softmax(), fnn.Affine(10)]  # a softmax needs whole rows
    assert not lowering.sharing(fnn.Sequential(layers, 784, rng=0), 100)["by_columns"]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_wrong_program_would_be_noticed(dtype):
    """The measure fails what is wrong by as little as a rate of the wrong last digits."""
    case = draw(3)
    case.dtype = dtype
    off = {"float32": 1e-2, "float64": 1e-7}[dtype]
    expected = case.train("eager", record=True)
    assert_agree(case.train("eager", record=True), expected, dtype)
    with pytest.raises(AssertionError):
        assert_agree(case.train("native", record=True, lr_factor=1 + off), expected, dtype)


# -- masks -----------------------------------------------------------------------------------------

ROWS = 16


def masks_of_the_reference(model, layer, steps, width):
    x = np.ones((ROWS, width), model.dtype)
    mask = np.empty(x.shape, np.uint8)
    reference.dropout_forward(
        x, layer.ratio, model.seed, steps, layer.index, mask, np.empty_like(x)
    )
    return mask


def unfolded(sums, scale):
    """The masks (ROWS, width) in sums of ``2 ** row * scale / ROWS`` over the rows that stay."""
    codes = np.rint(sums.astype(np.float64) * ROWS / scale).astype(np.int64)
    return (codes[None, :] >> np.arange(ROWS)[:, None] & 1).astype(np.uint8)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("place", ["input", "output"])
def test_masks_are_those_of_the_reference_bit_for_bit(place, ratio, threads, dtype, monkeypatch):
    """Row i weighs 2^i, so that a sum over rows tells which of them were dropped.

    Before a map to one output, the sums are the gradient of its weights; behind a map from one
    input, that of its bias. Everything else is one, and the rate moves nothing.
    """
    cut_small(monkeypatch)
    width = 150
    dropout = fnn.Dropout(ratio)
    if place == "input":
        layers, n_in, name = [fnn.Tanh(), dropout, fnn.Affine(1, init="zeros")], width, "affine1.w"
    else:
        layers, n_in, name = [fnn.Affine(width, init="zeros"), dropout], 1, "affine1.b"
    model = fnn.Sequential(layers, n_in, rng=5, dtype=dtype, backend="cython")
    trainer = fnn.Trainer(
        model,
        "sum_squared_error",
        fnn.SGD(1e-30),
        batch_size=ROWS,
        engine="native",
        threads=threads,
        rng=0,
        verbose=False,
    )
    x = np.full((ROWS, n_in), 20.0)  # tanh: 1
    y = np.full((ROWS, model.output_size), -1.0)
    for start, epochs in ((0, 1), (1, 2), (2**33 + 1, 1)):
        model.step = start
        trainer.fit(x, y, epochs, sample_weight=2.0 ** np.arange(ROWS), shuffle=False)
        masks = unfolded(model.grads[name].ravel(), 1 / (1 - ratio))
        expected = masks_of_the_reference(model, dropout, start + epochs - 1, width)
        np.testing.assert_array_equal(masks, expected)
        assert 0 < masks.mean() < 1
