"""What is said of arguments that cannot be: the name, what was expected, what came."""

import sys

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of
from scipy import sparse

import fastnn as fnn
from fastnn import metrics
from fastnn.checks import positive_int, real_in, sequence

X, Y = blobs(60)
ONE_HOT = np.eye(3)[Y]
MASK = np.zeros(X.shape, bool)
MASK[7, 2] = True

# -- arrays ----------------------------------------------------------------------------------------

# What takes arrays, and what it calls the one that is spoiled.
TAKE = {
    "fit": ("x", lambda x: trainer_of().fit(x, Y, epochs=1)),
    "fit y": ("y", lambda y: trainer_of().fit(X, y, epochs=1)),
    "validation x": (
        "validation_data: x",
        lambda x: trainer_of().fit(X, Y, epochs=1, validation_data=(x, Y)),
    ),
    "validation y": (
        "validation_data: y",
        lambda y: trainer_of().fit(X, Y, epochs=1, validation_data=(X, y)),
    ),
    "weights": ("sample_weight", lambda w: trainer_of().evaluate(X, Y, sample_weight=w)),
    "train_batch": ("x", lambda x: trainer_of().train_batch(x, Y)),
    "gradients": ("x", lambda x: trainer_of().gradients(x, Y)),
    "predict": ("x", lambda x: fnn.mlp(8, [6], 3, rng=0).predict(x)),
    "forward": ("x", lambda x: fnn.mlp(8, [6], 3, rng=0).forward(x)),
    "activations": ("x", lambda x: fnn.mlp(8, [6], 3, rng=0).activations(x, until=0)),
    "standardize": ("x", lambda x: fnn.data.Standardize().fit(x)),
    "transform": ("x", lambda x: fnn.data.Standardize().fit(X).transform(x)),
    "split": ("x", lambda x: fnn.data.train_validation_split(x, Y, rng=0)),
    "shuffle": ("array 2", lambda t: fnn.data.shuffle(X, t, rng=0)),
    "one_hot": ("labels", fnn.data.one_hot),
    "accuracy": ("outputs", lambda scores: metrics.accuracy(scores, Y)),
    "r2": ("targets", lambda t: metrics.r2_score(X, t)),
}


@pytest.mark.parametrize("what", TAKE)
def test_masked_numbers_are_not_taken_for_measured_ones(what):
    name, take = TAKE[what]
    with pytest.raises(ValueError, match=f"^{name} must not be masked; got 1 of 480 numbers"):
        take(np.ma.array(X, mask=MASK))


def test_a_masked_array_without_a_mask_is_an_array():
    model = fnn.mlp(8, [6], 3, rng=0)
    for mask in (False, np.zeros(X.shape, bool)):
        np.testing.assert_array_equal(model.predict(np.ma.array(X, mask=mask)), model.predict(X))


@pytest.mark.parametrize("what", TAKE)
def test_a_sparse_array_is_named(what):
    name, take = TAKE[what]
    with pytest.raises(TypeError, match=f"^{name} must be a dense array; got csr_array: call "):
        take(sparse.csr_array(X))


@pytest.mark.parametrize("value", [{"a": 1}, {1.0}, (i for i in range(3)), len], ids=repr)
@pytest.mark.parametrize("what", TAKE)
def test_what_can_be_no_array_is_shown(what, value):
    name, take = TAKE[what]
    with pytest.raises(TypeError, match=f"^{name} must be an array; got ") as caught:
        take(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("3,5", "got dtype object, which holds '3,5'; words must become numbers .*"),
        (None, "got dtype object, which holds None"),
        (7, r"got dtype object: take x.astype\(float\)"),
    ],
)
def test_objects_are_looked_at(odd, said):
    x = X.astype(object)
    x[7, 2] = odd
    with pytest.raises(TypeError, match=f"^x must hold real numbers; {said}$"):
        trainer_of().fit(x, Y, epochs=1)


def test_rows_that_are_no_probabilities_are_named():
    spoiled = ONE_HOT.copy()
    spoiled[7] = [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"got the sum 1\.5 in row 7, with numbers from 0\.5"):
        trainer_of().fit(X, spoiled, epochs=1)
    spoiled[7] = [1.5, -0.5, 0.0]
    with pytest.raises(ValueError, match=r"got the sum 1 in row 7, with numbers from -0\.5"):
        trainer_of().fit(X, spoiled, epochs=1)


@pytest.mark.parametrize("data", ["xy", X, (X,), (X, Y, None, None), None.__class__])
def test_validation_data_are_two_or_three(data):
    trainer = trainer_of()
    before = numbers(trainer.model)
    with pytest.raises(TypeError, match=r"^validation_data must be \(x, y\) or .*; got "):
        trainer.fit(X, Y, epochs=1, validation_data=data)
    assert numbers(trainer.model) == before


# -- numbers and names -----------------------------------------------------------------------------


def test_a_number_too_large_for_a_float_is_out_of_range():
    for value in (10**400, -(10**400)):
        with pytest.raises(
            ValueError, match=r"size must be a finite number in \(-inf, inf\); got -?10000"
        ):
            real_in("size", value)
        with pytest.raises(ValueError, match=r"size must be a finite number in \[0, 1\]; got"):
            real_in("size", value, 0, 1)


def test_the_least_of_an_integer():
    assert positive_int("count", 0, least=0) == 0
    with pytest.raises(ValueError, match="count must be at least 0; got -1"):
        positive_int("count", -1, least=0)
    with pytest.raises(ValueError, match="count must be at least 1; got 0"):
        positive_int("count", 0)


@pytest.mark.parametrize("value", [{3, 4}, frozenset({3}), b"34", "34", np.array(3), 3, None])
def test_what_has_no_order_is_no_sequence(value):
    with pytest.raises(TypeError, match="hidden must be a sequence of numbers; got"):
        sequence("hidden", value, "numbers")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fnn.mlp(0, [3], 2), "n_in must be at least 1; got 0"),
        (lambda: fnn.mlp("8", [3], 2), "n_in must be an integer; got '8'"),
        (lambda: fnn.mlp((), [3], 2), "n_in must have at least one axis"),
        (
            lambda: fnn.mlp(8, {3, 4}, 2),
            "hidden must be a sequence of numbers of units; got {3",
        ),
        (lambda: fnn.WarmUp("0.1"), "schedule must be a number, a Schedule or a function"),
        (lambda: fnn.WarmUp(-1), "schedule must be a finite number in (0, inf); got -1"),
        (lambda: fnn.LearningRateSchedule(None), "schedule must be a number, a Schedule or a"),
        (lambda: fnn.SGD(fnn.CosineDecay), "lr must be a schedule, not its class"),
        (lambda: fnn.mlp(8, [3], 2, backend=np.ones(2)), "backend must be one of cython, numba"),
        (lambda: fnn.EarlyStopping(mode=np.ones(2)), "mode must be one of auto, min, max"),
        (lambda: fnn.CSVLogger(3), "path must be a path; got 3"),
        (lambda: fnn.TensorBoard(None), "log_dir must be a path; got None"),
        (lambda: fnn.mlp(8, [3], 2).save(3.5), "path must be a path; got 3.5"),
        (lambda: fnn.load(None), "path must be a path; got None"),
        (lambda: fnn.ProgressBar(3), "file must be a text stream, such as sys.stderr, or None"),
        (lambda: fnn.mlp(8, [3], 2).astype("float16"), "dtype must be one of float32, float64"),
        (lambda: fnn.mlp(8, [3], 2).astype(None), "dtype must be one of float32, float64; got N"),
        (lambda: fnn.mlp(8, [3], 2).forward(X, step="now"), "step must be an integer; got 'now'"),
        (lambda: fnn.mlp(8, [3], 2).forward(X, step=-1), "step must be at least 0; got -1"),
        (lambda: fnn.Autoencoder(8, 3).corrupt(X, step=-1), "step must be at least 0; got -1"),
        (lambda: fnn.data.epoch_order(9, "seed"), "rng must be an integer, a numpy.random.Gener"),
        (lambda: fnn.data.shuffle(X, rng=-1), "rng must be at least 0; got -1"),
        (
            lambda: fnn.data.train_validation_test_split(X, Y, rng=1.5),
            "rng must be an integer, a numpy.random.Generator or None; got 1.5",
        ),
        (
            lambda: fnn.data.split_indices(9, 10**400),
            "share must be a finite number in (0, 1); got 1000",
        ),
        (lambda: fnn.data.one_hot(Y, dtype="words"), "dtype must be a type of numbers; got 'wor"),
        (lambda: fnn.data.read_idx(1), "path must be a path; got 1"),
        (lambda: trainer_of(threads=10**30), "threads must be at most 65536; got 1000"),
        (
            lambda: fnn.Sequential([fnn.Affine(3, bias_init=1e300)], 8),
            "layers must start from numbers that float32 can hold; those of affine1.b are not",
        ),
    ],
)
def test_the_argument_is_called_by_its_name(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_batch_may_be_as_large_as_it_likes():
    model = fnn.mlp(8, [6], 3, rng=0)
    trainer = fnn.Trainer(model, batch_size=10**400, rng=0, verbose=False)
    trainer.fit(X, Y, epochs=1)
    assert trainer.step == 1


@pytest.mark.parametrize("units", [10**400, sys.maxsize])
def test_a_network_for_which_there_is_no_memory(units):
    with pytest.raises(MemoryError, match="no memory for an array of shape"):
        fnn.mlp(8, [units], 3)


def test_sources_of_randomness_that_numpy_knows_are_taken():
    expected = fnn.data.epoch_order(9, 5)
    for source in (np.random.SeedSequence(5), np.random.PCG64(5), np.random.default_rng(5)):
        np.testing.assert_array_equal(fnn.data.epoch_order(9, source), expected)
    models = [fnn.mlp(8, [3], 2, rng=source) for source in (5, np.random.SeedSequence(5))]
    assert numbers(models[0]) == numbers(models[1])


def test_weights_that_cannot_be_are_shown():
    for bad in (-1.0, np.nan, np.inf):
        weights = np.ones(60)
        weights[7] = bad
        with pytest.raises(ValueError, match=f"sample_weight must be .*; got {bad} at index 7"):
            trainer_of().fit(X, Y, epochs=1, sample_weight=weights)
    with pytest.raises(ValueError, match=r"class_weight must be .*; got -2\.0 at index 1"):
        trainer_of().fit(X, Y, epochs=1, class_weight={1: -2.0})


def test_weights_too_large_for_the_dtype_are_refused():
    model = fnn.mlp(8, [6], 3, rng=0)
    trainer = fnn.Trainer(model, rng=0, verbose=False)
    with pytest.raises(ValueError, match="must make finite float32 numbers"):
        trainer.fit(X, Y, epochs=1, sample_weight=np.full(60, 1e300))
    with pytest.raises(ValueError, match="must make finite float32 numbers"):
        trainer.fit(X, Y, epochs=1, sample_weight=np.full(60, 1e30), class_weight=[1e30, 1, 1])
    assert trainer.step == 0


class Tensor:
    """As PyTorch's, while it keeps track of its gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Use tensor.detach().numpy() instead.")


@pytest.mark.parametrize("what", TAKE)
def test_what_a_tensor_says_is_passed_on(what):
    name, take = TAKE[what]
    with pytest.raises(TypeError, match=rf"^{name} must be an array; got Tensor: Use tensor\.det"):
        take(Tensor())
