import math
import pickle
from functools import partial

import numpy as np
import pytest

import fastnn as fnn
from fastnn.metrics import (
    METRICS,
    accuracy,
    better_direction,
    binary_accuracy,
    mean_absolute_error,
    r2_score,
    resolve_metrics,
    root_mean_squared_error,
    top_k_accuracy,
)

NAN, INF = math.nan, math.inf
SCORES = np.array([[0.1, 0.7, 0.2], [3.0, -1.0, 2.0], [-5.0, -3.0, -4.0], [0.0, 0.5, 1.0]])
REGRESSION = [mean_absolute_error, root_mean_squared_error, r2_score]


def test_accuracy_by_hand():
    # The highest columns are 1, 0, 1, 2.
    assert accuracy(SCORES, [1, 0, 1, 2]) == 1.0
    assert accuracy(SCORES, [1, 0, 2, 2]) == 0.75
    assert accuracy(SCORES, [0, 1, 0, 0]) == 0.0
    assert type(accuracy(SCORES, [1, 0, 1, 2])) is float


def test_labels_one_hot_and_soft_labels_agree():
    labels = np.array([1, 2, 1, 0])
    one_hot = np.eye(3)[labels]
    for targets in (labels, labels.astype(np.uint8), one_hot, one_hot.astype(int), one_hot * 0.4):
        assert accuracy(SCORES, targets) == 0.5
        assert top_k_accuracy(2)(SCORES, targets) == 0.75


def test_argmax_rules_for_ties_and_nan():
    tie = [[1.0, 1.0, 0.0]]
    assert accuracy(tie, [0]) == 1.0
    assert accuracy(tie, [1]) == 0.0
    assert accuracy([[2.0, NAN, 5.0]], [1]) == 1.0
    assert accuracy([[NAN, NAN, NAN]], [0]) == 1.0
    assert accuracy([[NAN, NAN, NAN]], [2]) == 0.0


def test_top_k_by_hand():
    # Places of each sample's class, from 0: 0, 2, 1, 0.
    labels = [1, 1, 2, 2]
    assert [top_k_accuracy(k)(SCORES, labels) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_top_k_against_a_sort_with_ties_nan_and_infinities():
    rng = np.random.default_rng(0)
    scores = rng.choice([-INF, -1.0, 0.0, 0.5, INF, NAN], size=(300, 6))
    labels = rng.integers(0, 6, 300)

    def rank(row, label):
        # NaN first, then from high to low; `sorted` keeps the first of equals first.
        order = sorted(range(6), key=lambda i: (not math.isnan(row[i]), -np.nan_to_num(row[i])))
        return order.index(label)

    ranks = np.array([rank(row, label) for row, label in zip(scores, labels, strict=True)])
    for k in range(1, 7):
        assert top_k_accuracy(k)(scores, labels) == np.mean(ranks < k)
    assert top_k_accuracy(1)(scores, labels) == accuracy(scores, labels)


def test_top_k_knows_its_name_and_can_be_pickled():
    metric = top_k_accuracy(np.int64(3))
    assert metric.__name__ == "top_3_accuracy"
    assert top_k_accuracy().__name__ == "top_5_accuracy"
    assert pickle.loads(pickle.dumps(metric))(SCORES, [1, 1, 2, 2]) == 1.0


@pytest.mark.parametrize("metric", [accuracy, top_k_accuracy(2)])
@pytest.mark.parametrize(
    ("outputs", "targets", "error", "message"),
    [
        (SCORES, [0, 1, 2], ValueError, "targets must have a row for each of the 4 rows"),
        (SCORES, [0, 1, 2, 3], ValueError, r"labels 0\.\.2, one for each .* got labels 0\.\.3"),
        (SCORES, [0, 1, 2, -1], ValueError, r"got labels -1\.\.2"),
        (SCORES, [0.0, 1.0, 2.0, 0.0], TypeError, "targets must be integer labels; got .*float64"),
        (SCORES, [[0], [1], [2], [0]], ValueError, r"labels of shape \(4,\) or have the shape"),
        (SCORES, SCORES[:, :2], ValueError, r"\(4, 3\); got \(4, 2\)"),
        (SCORES, list("abcd"), TypeError, "targets must hold real numbers; got dtype <U1"),
        (SCORES[:, 0], [0, 0, 0, 0], ValueError, r"outputs must have shape \(N, classes\)"),
        (SCORES[:0], SCORES[:0], ValueError, r"outputs must not be empty; got shape \(0, 3\)"),
        (SCORES[None], [0], ValueError, "outputs must have one or two dimensions"),
        (SCORES.astype(complex), [0] * 4, TypeError, "outputs must hold real numbers"),
    ],
)
def test_bad_classification_arguments(metric, outputs, targets, error, message):
    with pytest.raises(error, match=message):
        metric(outputs, targets)


def test_k_is_checked():
    with pytest.raises(ValueError, match="top_4_accuracy needs outputs of at least 4 classes"):
        top_k_accuracy(4)(SCORES, [0] * 4)
    with pytest.raises(ValueError, match=r"k must be .*at least 1"):
        top_k_accuracy(0)
    with pytest.raises(TypeError, match=r"k must be an integer; got 2\.5"):
        top_k_accuracy(2.5)


def test_binary_accuracy_by_hand():
    outputs = [[2.0, -1.0], [0.3, 0.1], [0.0, NAN]]
    assert binary_accuracy(outputs, [[1, 0], [0, 1], [0, 0]]) == 4 / 6
    assert binary_accuracy(outputs, [[0, 1], [1, 0], [1, 1]]) == 1 / 6
    assert binary_accuracy([1.0, -1.0], [0.6, 0.5]) == 1.0
    assert binary_accuracy(np.array([[1.0], [-1.0]]), np.array([True, True])) == 0.5
    assert better_direction("val_binary_accuracy") == "max"


def test_regression_by_hand():
    outputs, targets = [1.0, 2.0, 3.0, 5.0], [1.0, 4.0, 3.0, 4.0]
    assert mean_absolute_error(outputs, targets) == 0.75
    assert root_mean_squared_error(outputs, targets) == pytest.approx(math.sqrt(5 / 4), rel=1e-15)
    # The mean of the targets is 3, their squares about it 4 + 1 + 0 + 1.
    assert r2_score(outputs, targets) == pytest.approx(1 - 5 / 6, rel=1e-15)


def test_r2_at_its_landmarks():
    targets = np.array([0.5, -2.0, 1.0, 7.0])
    assert r2_score(targets, targets) == 1.0
    assert r2_score(np.full(4, targets.mean()), targets) == 0.0
    assert r2_score(2 * targets.mean() - targets, targets) == pytest.approx(-3.0)


def test_r2_of_columns_is_the_mean_of_their_scores():
    rng = np.random.default_rng(0)
    outputs, targets = rng.standard_normal((2, 50, 3)) * [1, 10, 100]
    columns = [r2_score(outputs[:, i], targets[:, i]) for i in range(3)]
    assert r2_score(outputs, targets) == pytest.approx(np.mean(columns), rel=1e-12)


def test_r2_where_targets_do_not_vary():
    same = np.full(3, 0.1)
    assert same[:, None].mean(axis=0) != 0.1  # in floating point
    assert r2_score(same, same) == 1.0
    assert r2_score(same + 1e-3, same) == 0.0
    assert r2_score([2.0], [2.0]) == 1.0
    assert math.isnan(r2_score([2.0, NAN], [2.0, 2.0]))
    assert r2_score([[1, 0.1], [2, 0.1]], [[1, 0.1], [2, 0.1]]) == 1.0


@pytest.mark.parametrize("metric", REGRESSION)
def test_one_column_with_and_without_its_axis(metric):
    rng = np.random.default_rng(1)
    outputs, targets = rng.standard_normal((2, 20))
    expected = metric(outputs, targets)
    assert metric(outputs[:, None], targets) == expected
    assert metric(outputs, targets[:, None]) == expected
    assert metric(outputs[:, None], targets[:, None]) == expected


@pytest.mark.parametrize("metric", REGRESSION)
def test_nan_goes_through(metric):
    assert math.isnan(metric([1.0, NAN, 2.0], [1.0, 2.0, 4.0]))
    assert math.isnan(metric([1.0, 2.0, 4.0], [1.0, NAN, 2.0]))


@pytest.mark.parametrize("metric", [mean_absolute_error, root_mean_squared_error])
def test_sums_are_taken_in_float64(metric):
    outputs = np.full(3_000_000, 0.1, np.float32)
    assert metric(outputs, np.zeros_like(outputs)) == pytest.approx(
        float(np.float32(0.1)), rel=1e-12
    )
    # In uint8, 3 - 5 would be 254.
    assert metric(np.array([3], np.uint8), np.array([5], np.uint8)) == 2.0


@pytest.mark.parametrize("metric", [*REGRESSION, binary_accuracy])
@pytest.mark.parametrize(
    ("outputs", "targets", "error", "message"),
    [
        ([1.0, 2.0], [1.0], ValueError, "a row for each of the 2 rows of outputs; got 1"),
        ([[1.0, 2.0]], [1.0], ValueError, r"the shape of outputs, \(1, 2\); got \(1,\)"),
        ([], [], ValueError, r"outputs must not be empty; got shape \(0,\)"),
        (1.0, 1.0, ValueError, r"one or two dimensions; got shape \(\)"),
        ([1.0], ["1"], TypeError, "targets must hold real numbers"),
        ([None], [1.0], TypeError, "outputs must hold real numbers; got dtype object"),
    ],
)
def test_bad_regression_arguments(metric, outputs, targets, error, message):
    with pytest.raises(error, match=message):
        metric(outputs, targets)


def test_metrics_leave_their_inputs_alone_and_take_any_layout():
    rng = np.random.default_rng(2)
    outputs = np.asfortranarray(rng.standard_normal((40, 6)).astype(np.float32))
    targets = rng.standard_normal((80, 6)).astype(">f8")[::2]
    plain = np.ascontiguousarray(outputs), np.ascontiguousarray(targets, np.float64)
    before = outputs.copy(), targets.copy()
    outputs.flags.writeable = targets.flags.writeable = False
    for metric in METRICS.values():
        assert metric(outputs, targets) == metric(*plain)
    np.testing.assert_array_equal(outputs, before[0])
    np.testing.assert_array_equal(targets, before[1])


def test_names_and_functions_are_resolved_in_order():
    def bias(outputs, targets):
        return float(np.mean(outputs - targets))

    resolved = resolve_metrics([bias, "r2_score", top_k_accuracy(2), "accuracy"])
    assert list(resolved) == ["bias", "r2_score", "top_2_accuracy", "accuracy"]
    assert resolved["bias"] is bias
    assert resolved["accuracy"] is accuracy
    assert resolve_metrics(()) == {}


def test_a_metric_without_a_name_of_its_own_goes_by_its_class():
    class Hinge:
        def __call__(self, outputs, targets):
            return 0.0

    assert list(resolve_metrics([Hinge()])) == ["Hinge"]
    assert list(resolve_metrics([partial(accuracy)])) == ["partial"]


def test_every_registered_metric_is_called_by_its_name():
    assert all(name == metric.__name__ for name, metric in METRICS.items())


def test_an_unknown_metric_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=f"one of {', '.join(METRICS)}; got 'acuracy'"):
        resolve_metrics(["acuracy"])


@pytest.mark.parametrize("metrics", ["accuracy", accuracy, {"accuracy"}, None, 3])
def test_metrics_must_be_a_sequence(metrics):
    with pytest.raises(TypeError, match="metrics must be a list of names and functions"):
        resolve_metrics(metrics)


@pytest.mark.parametrize("entry", [None, 1.0, dict])
def test_an_entry_must_be_a_name_or_a_function(entry):
    with pytest.raises(TypeError, match="metrics must hold names and functions; got"):
        resolve_metrics([entry])


def test_names_must_be_free():
    with pytest.raises(ValueError, match="different names; got two called 'accuracy'"):
        resolve_metrics(["accuracy", accuracy])
    for name in ("loss", "lr", "seconds", "epoch", "val_accuracy"):

        def metric(outputs, targets):
            return 0.0

        metric.__name__ = name
        with pytest.raises(ValueError, match=f"a metric cannot be called '{name}'"):
            resolve_metrics([metric])


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "max"),
        ("val_accuracy", "max"),
        ("val_top_5_accuracy", "max"),
        ("r2_score", "max"),
        ("val_f1", "max"),
        ("loss", "min"),
        ("val_loss", "min"),
        ("root_mean_squared_error", "min"),
        ("inaccuracy", "min"),
    ],
)
def test_which_direction_is_better(name, direction):
    assert better_direction(name) == direction


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_accuracy_of_a_single_output_would_always_be_1(loss, engine):
    model = fnn.mlp(2, [3], 1, rng=0)
    with pytest.raises(ValueError, match=r"metric 'accuracy' asks which of several .*'binary_acc"):
        fnn.Trainer(model, loss, metrics=["accuracy"], engine=engine)
    with pytest.raises(ValueError, match=r"outputs of shape \(2, 1\): accuracy asks which of sev"):
        accuracy([[0.3], [0.9]], [[1], [0]])


def test_classes_that_are_not_there_cannot_be_counted():
    model = fnn.mlp(2, [3], 4, rng=0)
    with pytest.raises(ValueError, match="'top_5_accuracy' needs outputs of at least 5 classes; g"):
        fnn.Trainer(model, metrics=["top_5_accuracy"])


@pytest.mark.parametrize("value", ["0.5 or so", None, np.ones(3), 1j])
def test_a_metric_that_is_no_number_is_named(value):
    """And the epoch is not counted, which has no line in the history."""

    def odd(outputs, targets):
        return value

    trainer = fnn.Trainer(fnn.mlp(2, [3], 2, rng=0), metrics=[odd], rng=0, verbose=False)
    with pytest.raises(TypeError, match="metric 'odd' must return a number; got "):
        trainer.fit(np.eye(2), [0, 1], epochs=1)
    with pytest.raises(TypeError, match="metric 'odd' must return a number; got "):
        trainer.evaluate(np.eye(2), [0, 1])
    assert trainer.epoch == len(trainer.history.epochs) == 0
