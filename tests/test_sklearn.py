"""The estimators for scikit-learn: what they share with its own, and what they have besides."""

import inspect
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csc_matrix, csr_matrix
from sklearn import config_context, neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

import fastnn as fnn
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = {"classifier": MLPClassifier, "regressor": MLPRegressor}
THEIRS = {
    "classifier": neural_network.MLPClassifier,
    "regressor": neural_network.MLPRegressor,
}


def task(kind, rows=120):
    """Rows, and targets of a kind."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((rows, 6))
    score = x @ rng.standard_normal((6, 3)) + 0.3 * rng.standard_normal((rows, 3))
    y = {
        "binary": score[:, 0] > 0,
        "classes": score.argmax(axis=1),
        "labels": (score > 0).astype(int),
        "number": score[:, 0],
        "numbers": score,
        "counts": rng.poisson(np.exp(0.5 * score[:, 0])),
    }[kind]
    return x, y


def kind_of(target):
    return "regressor" if target in ("number", "numbers", "counts") else "classifier"


# -- as scikit-learn's own -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_parameters_begin_with_those_of_scikit_learn(kind):
    ours = list(inspect.signature(ESTIMATORS[kind]).parameters.values())
    theirs = list(inspect.signature(THEIRS[kind]).parameters.values())
    assert [(p.name, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.kind) for p in theirs]
    assert [p.default for p in ours[: len(theirs)]] == [p.default for p in theirs]


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "adam", "epsilon": 1e-12},
        {"solver": "sgd", "learning_rate_init": 0.05},
        {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False},
        {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0},
        {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0, "learning_rate_init": 0.5},
        {"solver": "lbfgs"},
        {"activation": "logistic", "epsilon": 1e-12},
        {"activation": "tanh", "hidden_layer_sizes": (7, 5), "epsilon": 1e-12},
        {"activation": "identity", "hidden_layer_sizes": 4, "epsilon": 1e-12},
        {"early_stopping": True, "validation_fraction": 0.5, "batch_size": 20, "epsilon": 1e-12},
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["binary", "classes", "labels", "number", "counts"])
def test_the_same_seed_gives_the_network_of_scikit_learn(target, settings):
    """Where nothing depends on the order of the rows, and all batches are of one size."""
    if target == "classes" and settings.get("early_stopping"):
        pytest.skip("there the validation data are stratified, and scikit-learn's are not")
    x, y = task(target)
    settings = {"hidden_layer_sizes": (9,), "batch_size": 40, "max_iter": 12} | settings
    settings |= {"alpha": 0.3, "shuffle": False, "random_state": 3}
    if target == "counts":
        settings |= {"loss": "poisson"}
    ours = ESTIMATORS[kind_of(target)](**settings).fit(x, y)
    theirs = THEIRS[kind_of(target)](**settings).fit(x, y)
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    np.testing.assert_allclose(ours.predict(x[:30]), theirs.predict(x[:30]), rtol=1e-5)
    names = ["n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_"]
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    if settings.get("solver") != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_)
        assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
        assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    if kind_of(target) == "classifier":
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        probabilities = theirs.predict_proba(x)
        np.testing.assert_allclose(ours.predict_proba(x), probabilities, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(ours.predict_log_proba(x), np.log(probabilities), rtol=1e-3)


def test_several_numbers_step_as_in_scikit_learn():
    """Its loss is a mean over outputs, its gradient a sum; ours are both sums."""
    x, y = task("numbers")
    settings = {"solver": "sgd", "max_iter": 3, "shuffle": False, "random_state": 0, "alpha": 0}
    ours, theirs = (pair["regressor"](**settings).fit(x, y) for pair in (ESTIMATORS, THEIRS))
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, 3 * np.array(theirs.loss_curve_), rtol=1e-9)


def test_stops_at_the_epoch_at_which_scikit_learn_stops():
    x, y = task("number")
    settings = {"solver": "sgd", "tol": 1e-3, "shuffle": False, "random_state": 0, "batch_size": 60}
    settings |= {"momentum": 0, "learning_rate_init": 0.05, "n_iter_no_change": 3, "max_iter": 300}
    epochs = []
    for learning_rate in ("constant", "adaptive"):
        settings["learning_rate"] = learning_rate
        ours, theirs = (pair["regressor"](**settings).fit(x, y) for pair in (ESTIMATORS, THEIRS))
        assert ours.n_iter_ == theirs.n_iter_ < 300
        assert ours.stopped_early_
        epochs.append(ours.n_iter_)
    # From 0.05 a rate falls below 1e-6 when it has been divided by 5 for the seventh time.
    assert epochs[1] == epochs[0] + 7 * 4


def test_inverse_scaling_goes_on_over_warm_starts():
    x, y = task("binary", rows=4)
    rates = []

    class Watch(fnn.Callback):
        def on_train_end(self, trainer):
            rates.append(trainer.learning_rate)

    model = MLPClassifier(
        solver="sgd", learning_rate="invscaling", power_t=0.25, max_iter=1, warm_start=True,
        callbacks=[Watch()],
    )  # fmt: skip
    for _ in range(2):
        model.fit(x, y)
    assert rates == pytest.approx([0.001 / (t + 1) ** 0.25 for t in (4, 8)])


def test_a_fit_that_has_not_converged_warns():
    x, y = task("binary")
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as first:
        MLPClassifier(max_iter=2).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs stopped") as second:
        MLPClassifier(max_iter=2, solver="lbfgs").fit(x, y)
    assert {first[0].filename, second[0].filename} == {__file__}  # the line that called fit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(tol=1.0).fit(x, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("target", ["binary", "classes", "labels", "number"])
def test_a_weight_is_a_repetition(target, solver):
    x, y = task(target)
    times = np.random.default_rng(0).integers(0, 4, len(x))
    rows_repeated = np.repeat(x, times, axis=0), np.repeat(y, times, axis=0)
    make = ESTIMATORS[kind_of(target)]
    settings = {"solver": solver, "max_iter": 20, "batch_size": 10_000, "alpha": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weighted = make(**settings, random_state=0).fit(x, y, sample_weight=times)
        repeated = make(**settings, random_state=0).fit(
            np.repeat(x, times, 0), np.repeat(y, times, 0)
        )
    np.testing.assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-4, atol=1e-7)
    assert weighted.score(x, y, sample_weight=times) == pytest.approx(
        repeated.score(*rows_repeated)
    )


# -- data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("sparse", [csr_matrix, csc_matrix])
def test_sparse_rows_are_dense_rows(sparse, solver):
    x, y = task("classes", rows=3000)
    x[np.abs(x) < 0.5] = 0
    dense = MLPClassifier(20, max_iter=3, solver=solver, random_state=0).fit(x, y)
    model = clone(dense).fit(sparse(x), y)
    np.testing.assert_array_equal(model.predict_proba(sparse(x)), dense.predict_proba(x))


@pytest.mark.parametrize("target", ["classes", "labels", "number", "numbers"])
def test_sparse_rows_may_come_in_parts_and_validate(target):
    x, y = task(target)
    fitted = []
    for kind in (np.asarray, csr_matrix):
        model = ESTIMATORS[kind_of(target)](early_stopping=True, random_state=0)
        first = {} if kind_of(target) == "regressor" else {"classes": np.arange(3)}
        for rows in (slice(40), slice(40, 80)):
            model.partial_fit(kind(x[rows]), y[rows], **first, X_val=kind(x[80:]), y_val=y[80:])
        fitted.append(model)
    np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])
    assert fitted[0].validation_loss_curve_ == fitted[1].validation_loss_curve_
    assert len(fitted[0].validation_scores_) == 2


def test_labels_may_be_strings_and_columns_have_names():
    pandas = pytest.importorskip("pandas")
    x, y = task("classes")
    names = [f"feature {number}" for number in range(6)]
    frame = pandas.DataFrame(x, columns=names)
    labels = np.array(["low", "middle", "high"])[y]
    model = MLPClassifier(early_stopping=True, learning_rate_init=0.05, random_state=0)
    model.fit(frame, pandas.Series(labels))
    assert list(model.feature_names_in_) == names
    assert list(model.classes_) == ["high", "low", "middle"]
    assert model.score(frame, labels) > 0.8
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


def test_sparse_labels_come_back_sparse():
    x, y = make_multilabel_classification(n_samples=60, random_state=0)
    model = MLPClassifier(solver="lbfgs", random_state=0).fit(x, csr_matrix(y))
    assert (model.predict(x) != csr_matrix(y)).nnz == 0
    np.testing.assert_array_equal(clone(model).fit(x, y).predict(x), y)


def test_one_class_is_predicted_with_certainty():
    x, _ = task("binary")
    model = MLPClassifier(max_iter=2).fit(x, np.full(len(x), "only"))
    assert set(model.predict(x)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(x), np.ones((len(x), 1)))
    np.testing.assert_array_equal(model.predict_log_proba(x), np.zeros((len(x), 1)))


def test_log_probabilities_hold_where_probabilities_vanish():
    x, y = task("binary")
    model = MLPClassifier(solver="lbfgs", random_state=0).fit(x, y)
    logs = model.predict_log_proba(1e4 * x)
    assert (model.predict_proba(1e4 * x) == 0).any()
    assert np.isfinite(logs).all()


@pytest.mark.parametrize("make", ESTIMATORS.values())
@pytest.mark.parametrize(("rows", "wanted", "found"), [
    ("float32", None, "float32"),
    ("float64", None, "float64"),
    ("int64", None, "float64"),
    ("float64", "float32", "float32"),
    ("float32", "float64", "float64"),
])  # fmt: skip
def test_computes_in_the_type_of_the_rows_or_the_one_asked_for(make, rows, wanted, found):
    x, y = task("binary")
    model = make(max_iter=2, dtype=wanted).fit((10 * x).astype(rows), y)
    assert model.model_.dtype == found
    assert {array.dtype.name for array in model.coefs_ + model.intercepts_} == {found}


def test_numpys_global_state_is_neither_read_nor_changed():
    x, y = task("binary")
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = MLPClassifier(max_iter=2, early_stopping=True).fit(x, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    other = MLPClassifier(max_iter=2, early_stopping=True).fit(x, y)
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


def test_the_same_seed_gives_the_same_network_with_any_number_of_threads():
    x, y = task("classes", rows=1000)
    settings = {"hidden_layer_sizes": (64, 64), "dropout": 0.2, "max_iter": 3, "random_state": 1}
    one, two, again = (MLPClassifier(**settings, n_threads=n).fit(x, y) for n in (1, 2, 1))
    np.testing.assert_array_equal(one.coefs_[0], again.coefs_[0])
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])
    other = MLPClassifier(**settings | {"random_state": 2}).fit(x, y)
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("target", ["binary", "classes", "labels", "number"])
def test_partial_fits_are_epochs_also_across_a_pickle(target, solver):
    x, y = task(target)
    settings = {"solver": solver, "dropout": 0.2, "batch_size": 30, "random_state": 0}
    make = ESTIMATORS[kind_of(target)]
    first = {} if kind_of(target) == "regressor" else {"classes": np.arange(3)}
    if target == "binary":
        first = {"classes": [False, True]}
    whole = make(**settings, max_iter=6).fit(x, y)
    parts = make(**settings)
    for number in range(6):
        parts.partial_fit(x, y, **(first if number == 0 else {}))
        parts = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (1, whole.t_)


def test_batches_and_penalty_follow_the_rows_of_each_partial_fit():
    """A pickle brings no trainer along: the one made anew does as the one that is there."""
    x, y = task("classes")
    model = MLPClassifier(alpha=10.0, random_state=0).partial_fit(x[:15], y[:15], classes=[0, 1, 2])
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.partial_fit(x, y)
    assert model.loss_ == twin.loss_
    np.testing.assert_array_equal(model.coefs_[0], twin.coefs_[0])


def test_partial_fit_minds_its_classes():
    x, y = task("classes")
    with pytest.raises(ValueError, match="first call to partial_fit"):
        MLPClassifier().partial_fit(x, y)
    model = MLPClassifier().partial_fit(x[:5], y[:5], classes=[2, 1, 0])
    with pytest.raises(ValueError, match="those of the first call"):
        model.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes \[3 4 5\]"):
        model.partial_fit(x, y + 3)
    with pytest.raises(ValueError, match="compute_class_weight"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


def test_warm_start_goes_on_from_the_weights_there_are():
    x, y = task("classes")
    model = MLPClassifier(warm_start=True, max_iter=5, random_state=0).fit(x, y)
    before = model.loss_
    model.fit(x, y)
    assert model.loss_ < before
    assert len(model.loss_curve_) == 10
    assert model.loss_curve_[5] < model.loss_curve_[4]
    with pytest.raises(ValueError, match="same classes as in the previous"):
        model.fit(x, y % 2)
    assert len(MLPClassifier(max_iter=5).fit(x, y).fit(x, y).loss_curve_) == 5


def test_a_warm_start_may_begin_and_cease_to_stop_early():
    x, y = task("classes")
    model = MLPClassifier(warm_start=True, max_iter=3, random_state=0).fit(x, y)
    model.set_params(early_stopping=True).fit(x, y)
    assert len(model.validation_scores_) == 3
    assert model.best_loss_ is None
    model.set_params(early_stopping=False).fit(x, y)
    assert len(model.loss_curve_) == 9
    assert model.best_loss_ == min(model.loss_curve_[6:])


def test_weights_put_into_an_estimator_are_used():
    x, y = task("number")
    model = MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0).fit(x, y)
    before = model.predict(x)
    model.intercepts_[-1] = model.intercepts_[-1] + 1.0
    np.testing.assert_allclose(model.predict(x), before + 1, rtol=1e-12)
    model.coefs_ = [np.zeros_like(w) for w in model.coefs_]
    model.intercepts_[-1] = np.array([7.0])
    np.testing.assert_array_equal(model.predict(x), np.full(len(x), 7.0))
    assert model.model_.predict(x)[0] == 7
    assert (pickle.loads(pickle.dumps(model)).predict(x) == 7).all()


def test_a_pickle_holds_the_weights_once():
    x, y = task("number")
    model = MLPRegressor(hidden_layer_sizes=(300, 300), max_iter=1, random_state=0).fit(x, y)
    weights = sum(w.nbytes for w in model.coefs_)
    averages = 2 * weights  # of Adam
    assert len(pickle.dumps(model)) < 1.2 * (weights + averages)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.coefs_[0] is not model.coefs_[0]
    np.testing.assert_array_equal(copy.predict(x), model.predict(x))


# -- what scikit-learn's have not ------------------------------------------------------------------


def test_layers_are_what_was_asked_for():
    x, y = task("classes")
    model = MLPClassifier(
        (8, 6, 4), ["relu", "identity", "maxout"], batch_norm=True, dropout=0.1, max_iter=2
    ).fit(x, y)
    kinds = [layer.kind for layer in model.model_.layers]
    hidden = ["affine", "batchnorm", "dropout"]
    assert kinds == [
        *("affine", "batchnorm", "relu", "dropout"),
        *hidden,
        *("affine", "batchnorm", "maxout", "dropout"),
        "affine",
    ]
    assert [w.shape for w in model.coefs_] == [(6, 8), (8, 6), (6, 8), (4, 3)]
    assert model.n_layers_ == 5


def test_class_weights_count_as_sample_weights():
    x, y = task("classes")
    labels = np.array(["a", "b", "c"])[y]
    settings = {"max_iter": 5, "random_state": 0}
    by_class = MLPClassifier(**settings, class_weight={"a": 5.0, "c": 2.0}).fit(x, labels)
    by_row = MLPClassifier(**settings).fit(x, labels, sample_weight=np.array([5.0, 1, 2])[y])
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
    both = MLPClassifier(**settings, class_weight={"a": 5.0}).fit(
        x, labels, sample_weight=np.array([1.0, 1, 2])[y]
    )
    np.testing.assert_array_equal(by_class.coefs_[0], both.coefs_[0])
    counts = np.bincount(y)
    balanced = MLPClassifier(**settings, class_weight="balanced").fit(x, labels)
    by_row = MLPClassifier(**settings).fit(x, labels, sample_weight=(len(y) / 3 / counts)[y])
    np.testing.assert_array_equal(balanced.coefs_[0], by_row.coefs_[0])


def test_class_weights_of_several_labels_multiply():
    x, y = task("labels")
    factors = [{0: 1.0, 1: 3.0}, {0: 2.0}, {1: 0.5}]
    settings = {"max_iter": 5, "random_state": 0}
    by_class = MLPClassifier(**settings, class_weight=factors).fit(x, y)
    rows = np.prod([[of.get(v, 1.0) for v in y[:, k]] for k, of in enumerate(factors)], axis=0)
    by_row = MLPClassifier(**settings).fit(x, y, sample_weight=rows)
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])


@pytest.mark.parametrize("target", ["binary", "classes", "labels", "number", "counts"])
def test_validation_data_give_a_curve_of_losses_and_of_scores(target):
    x, y = task(target)
    settings = {"alpha": 0.0, "loss": "poisson"} if target == "counts" else {"alpha": 0.0}
    model = ESTIMATORS[kind_of(target)](max_iter=4, random_state=0, **settings)
    weights = np.arange(40.0)
    model.fit(x[:80], y[:80], X_val=x[80:], y_val=y[80:], sample_weight_val=weights)
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == 4
    score = model.score(x[80:], y[80:], sample_weight=weights)
    assert model.validation_scores_[-1] == pytest.approx(score)
    assert model.best_validation_score_ == max(model.validation_scores_)
    if target in ("binary", "classes"):
        given = model.predict_proba(x[80:])[np.arange(40), y[80:].astype(int)]
        loss = np.average(-np.log(given), weights=weights)
        assert model.validation_loss_curve_[-1] == pytest.approx(loss)
    assert model.best_loss_ == min(model.loss_curve_)  # they decide nothing


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["classes", "labels", "number"])
def test_lbfgs_records_validation_data_after_each_iteration(target, dtype):
    x, y = task(target)
    x = x.astype(dtype)
    settings = {"solver": "lbfgs", "alpha": 0.0, "random_state": 0}
    held, weights = {"X_val": x[80:], "y_val": y[80:]}, np.arange(40.0)
    make = ESTIMATORS[kind_of(target)]
    model = make(max_iter=6, **settings).fit(x[:80], y[:80], **held, sample_weight_val=weights)
    for curve in (model.validation_scores_, model.validation_loss_curve_):
        assert len(curve) == model.n_iter_ == len(model.loss_curve_) == 6
    # They are those of the fit that ends there.
    for epochs in (3, 6):
        part = make(max_iter=epochs, **settings).fit(x[:80], y[:80])
        score = part.score(x[80:], y[80:], sample_weight=weights)
        assert model.validation_scores_[epochs - 1] == pytest.approx(score, rel=1e-5)
        if target == "classes":
            given = part.predict_proba(x[80:])[np.arange(40), y[80:]]
            loss = np.average(-np.log(given), weights=weights)
            assert model.validation_loss_curve_[epochs - 1] == pytest.approx(loss, rel=1e-4)
    assert model.best_validation_score_ == max(model.validation_scores_)
    np.testing.assert_array_equal(part.coefs_[0], model.coefs_[0])  # they decide nothing


def test_early_stopping_on_given_data_keeps_the_best_model():
    x, y = task("classes")
    noise = np.random.default_rng(1).permutation(y[80:])
    model = MLPClassifier(
        early_stopping=True, n_iter_no_change=4, learning_rate_init=0.05, random_state=0
    )
    model.fit(x[:80], y[:80], X_val=x[80:], y_val=noise)
    scores = model.validation_scores_
    assert model.stopped_early_
    assert model.t_ == 80 * model.n_iter_  # nothing was held out
    assert scores[-1] < max(scores) == model.best_validation_score_
    assert model.score(x[80:], noise) == pytest.approx(max(scores))


def test_partial_fit_stops_early_on_given_data():
    x, y = task("classes")
    noise = np.random.default_rng(1).permutation(y[80:])
    model = MLPClassifier(
        early_stopping=True, n_iter_no_change=4, learning_rate_init=0.05, random_state=0
    )
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(x, y, classes=[0, 1, 2])
    for _ in range(60):
        model.partial_fit(x[:80], y[:80], classes=[0, 1, 2], X_val=x[80:], y_val=noise)
    assert model.stopped_early_
    assert len(model.loss_curve_) == len(model.validation_scores_) < 60
    assert model.score(x[80:], noise) == pytest.approx(model.best_validation_score_)
    assert model.fit(x[:80], y[:80]).n_iter_ > 1  # which begins anew


def test_validation_data_are_stratified():
    x, y = make_classification(300, 6, n_informative=4, n_classes=3, weights=[0.8, 0.14, 0.06],
                               random_state=0)  # fmt: skip
    model = MLPClassifier(early_stopping=True, max_iter=1, random_state=0)
    held = []
    model._score_on = lambda rows: held.append(rows) or 0.0
    model.fit(x, y)
    expected = np.bincount(y) / 10
    assert np.abs(np.bincount(held[0].targets, minlength=3) - expected).max() < 1


def test_a_schedule_moves_the_rate_of_any_solver():
    x, y = task("number")
    rates = []

    class Watch(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            rates.append(logs["lr"])

    schedule = fnn.StepDecay(0.1, every=2, factor=0.5)
    MLPRegressor(
        solver="adamw", learning_rate=schedule, max_iter=5, callbacks=[Watch()], random_state=0
    ).fit(x, y)
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025]


@pytest.mark.parametrize("settings", [
    {"solver": "adamw", "learning_rate": fnn.StepDecay(0.1, every=2, factor=0.5)},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
], ids=str)  # fmt: skip
def test_a_schedule_goes_on_over_partial_fits_and_pickles(settings):
    x, y = task("number")
    weights = np.linspace(0, 2, len(x))
    whole = MLPRegressor(**settings, max_iter=5, random_state=0).fit(x, y, sample_weight=weights)
    parts = MLPRegressor(**settings, random_state=0)
    for _ in range(5):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(x, y, sample_weight=weights)))
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])


def test_a_callback_may_stop_a_fit_and_put_back_the_best_model():
    x, y = task("classes")
    noise = np.random.default_rng(1).permutation(y[80:])
    stopping = fnn.EarlyStopping("val_loss", patience=3, restore_best=True)
    model = MLPClassifier(callbacks=[stopping], learning_rate_init=0.05, alpha=0, random_state=0)
    model.fit(x[:80], y[:80], X_val=x[80:], y_val=noise)
    losses = model.validation_loss_curve_
    assert len(losses) == model.n_iter_ == int(np.argmin(losses)) + 4
    given = model.predict_proba(x[80:])[np.arange(40), noise]
    assert -np.log(given).mean() == pytest.approx(min(losses))
    assert not model.stopped_early_  # not by scikit-learn's rule


def test_an_optimizer_brings_its_own_settings():
    x, y = task("number")
    settings = {"max_iter": 3, "random_state": 0}
    given = MLPRegressor(solver=fnn.Adam(0.02, beta1=0.8), **settings).fit(x, y)
    named = MLPRegressor(learning_rate_init=0.02, beta_1=0.8, **settings).fit(x, y)
    np.testing.assert_array_equal(given.coefs_[0], named.coefs_[0])


@pytest.mark.parametrize("solver", sorted(["momentum", "nesterov", "adagrad", "rmsprop",
                                           "adadelta", "adamw", "radam"]))  # fmt: skip
def test_other_optimizers_go_by_name(solver):
    x, y = task("classes")
    lr = {"adadelta": 1.0, "adagrad": 0.05}.get(solver, 0.01)
    model = MLPClassifier(solver=solver, learning_rate_init=lr, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.85
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]


def test_robust_losses_shrug_off_outliers():
    x, y = task("number", rows=300)
    spoilt = y.copy()
    spoilt[::10] += 60
    settings = {"solver": "lbfgs", "hidden_layer_sizes": (), "random_state": 0}
    error = {
        name: np.abs(MLPRegressor(loss=loss, **settings).fit(x, spoilt).predict(x) - y).mean()
        for name, loss in [
            ("squares", "squared_error"),
            ("huber", fnn.Huber(1.0)),
            ("absolute", "absolute_error"),
        ]
    }
    assert error["huber"] < 0.2 * error["squares"]
    assert error["absolute"] < 0.2 * error["squares"]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_counts_has_the_gradient_it_should(weighted):
    from scipy.optimize import approx_fprime

    from fastnn.sklearn.poisson import HalfPoissonDeviance

    rng = np.random.default_rng(0)
    out, y = rng.standard_normal((5, 2)), rng.poisson(2.0, (5, 2)).astype(float)
    weights = rng.uniform(0, 2, 5) if weighted else None
    loss, dout = HalfPoissonDeviance(), np.empty((5, 2))

    def value(flat):
        return loss.value(np, flat.reshape(5, 2), y, weights, None)

    loss.value(np, out, y, weights, dout)
    np.testing.assert_allclose(dout.ravel(), approx_fprime(out.ravel(), value), atol=1e-6)


def test_verbose_says_what_happens(capsys):
    x, y = task("classes")
    MLPClassifier(verbose=True, early_stopping=True, tol=1.0, random_state=0).fit(x, y)
    said = capsys.readouterr().out
    assert "Iteration 1, loss = " in said
    assert "Validation score: " in said
    assert "Stopping." in said
    MLPClassifier(tol=1.0, random_state=0).fit(x, y)
    assert capsys.readouterr().out == ""


# -- what goes wrong -------------------------------------------------------------------------------


def test_ctrl_c_ends_a_fit_with_what_there_is():
    x, y = task("classes")

    class Interrupt(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt

    model = MLPClassifier(callbacks=[Interrupt()], random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(x, y)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert model.predict(x).shape == y.shape


@pytest.mark.parametrize("rate", [1e4, 1e300])
def test_divergence_is_an_error_unless_there_is_a_best_model(rate):
    """At the second rate in the first epoch: the best is then the model that it began with."""
    x, y = task("number")
    settings = {"solver": "sgd", "learning_rate_init": rate, "activation": "identity"}
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**settings).fit(x, y)
    model = MLPRegressor(**settings, early_stopping=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(x, y)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(x)).all()


@pytest.mark.parametrize(("settings", "error", "message"), [
    ({"hidden_layer_sizes": (5, 0)}, ValueError, "hidden_layer_sizes must be at least 1"),
    ({"hidden_layer_sizes": 2.5}, TypeError, "hidden_layer_sizes"),
    ({"activation": "step"}, ValueError, "activation must be one of identity, logistic"),
    ({"activation": ["relu", "tanh"]}, ValueError, "one for each of 1 hidden layers; got 2"),
    ({"solver": "newton"}, ValueError, "solver must be one of"),
    ({"alpha": -1.0}, ValueError, "alpha"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"learning_rate": "cosine"}, ValueError, "learning_rate must be one of constant"),
    ({"learning_rate_init": 0.0}, ValueError, "lr"),
    ({"max_iter": 0}, ValueError, "max_iter"),
    ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change"),
    ({"momentum": 1.5, "solver": "sgd"}, ValueError, "momentum"),
    ({"beta_1": 1.0}, ValueError, "beta1"),
    ({"validation_fraction": 1.0}, ValueError, "validation_fraction"),
    ({"dropout": 1.0}, ValueError, "dropout"),
    ({"dropout": 0.1, "solver": "lbfgs"}, ValueError, "dropout needs a stochastic solver"),
    ({"callbacks": [fnn.Callback()], "solver": "lbfgs"}, ValueError, "callbacks need a stoch"),
    ({"dtype": "float16"}, ValueError, "float16"),
    ({"callbacks": [print]}, TypeError, "callbacks must hold Callback objects"),
    ({"n_threads": 0}, ValueError, "threads"),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", ESTIMATORS.values())
def test_bad_parameters_are_named(make, settings, error, message):
    x, y = task("binary")
    with pytest.raises(error, match=message):
        make(**settings).fit(x, y)


def test_bad_data_are_named():
    x, y = task("number")
    with pytest.raises(ValueError, match="loss must be one of squared_error, poisson"):
        MLPRegressor(loss="hinge").fit(x, y)
    with pytest.raises(ValueError, match="compare numbers"):
        MLPRegressor(loss=fnn.SoftmaxCrossEntropy()).fit(x, y)
    with pytest.raises(ValueError, match="at least 0 for loss='poisson'"):
        MLPRegressor(loss="poisson").fit(x, y)
    with pytest.raises(ValueError, match="together"):
        MLPRegressor().fit(x, y, X_val=x)
    with pytest.raises(ValueError, match="must be at least 0"):
        MLPRegressor().fit(x, y, sample_weight=-np.ones(len(x)))
    with pytest.raises(ValueError, match=r"0 for all rows|non-zero"):
        MLPRegressor().fit(x, y, sample_weight=np.zeros(len(x)))
    with pytest.raises(ValueError, match="several columns of classes"):
        MLPClassifier().fit(x, np.arange(2 * len(x)).reshape(-1, 2) % 5)
    with pytest.raises(ValueError, match="1 numbers for each sample"):
        MLPRegressor().partial_fit(x, y).partial_fit(x, np.stack([y, y], 1))
    with pytest.warns(UserWarning, match=r"batch_size=500 is more than the 120 rows"):
        MLPRegressor(batch_size=500, max_iter=1).fit(x, y)


def test_a_missing_scikit_learn_is_named(run_python):
    said = run_python("""
import sys
sys.modules["sklearn"] = None
from fastnn import *
try:
    import fastnn.sklearn
except ImportError as error:
    print(error)
""")
    assert 'pip install "fastnn[sklearn]"' in said


def test_fastnn_brings_them_when_asked(run_python):
    assert run_python("import fastnn; print(fastnn.sklearn.MLPClassifier())") == "MLPClassifier()"


# -- in company ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return scale(x), y


FAST = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "max_iter": 60, "random_state": 0}


def test_in_a_pipeline_behind_a_column_transformer():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"length": rng.standard_normal(200), "colour": rng.choice(["red", "green"], 200)}
    )
    y = np.where((frame["length"] > 0) ^ (frame["colour"] == "red"), "yes", "no")
    model = make_pipeline(
        ColumnTransformer(
            [("numbers", StandardScaler(), ["length"]), ("words", OneHotEncoder(), ["colour"])]
        ),
        MLPClassifier(**FAST),
    )
    train, test, y_train, y_test = train_test_split(frame, y, random_state=0)
    assert model.fit(train, y_train).score(test, y_test) > 0.9


def test_in_a_grid_search_with_two_processes(iris):
    search = GridSearchCV(
        MLPClassifier(**FAST), {"dropout": [0.0, 0.2], "solver": ["adam", "sgd"]}, n_jobs=2, cv=3
    ).fit(*iris)
    assert search.best_score_ > 0.9
    assert search.best_estimator_.score(*iris) > 0.9


def test_objects_as_parameters_are_copied_for_each_fit(iris):
    search = GridSearchCV(
        MLPClassifier(**FAST, callbacks=[fnn.EarlyStopping("loss", patience=5)]),
        {
            "solver": [fnn.Adam(0.02), fnn.Nesterov(0.05)],
            "activation": ["gelu", ["maxout"]],
            "learning_rate": [fnn.CosineDecay(0.02, 60)],
        },
        n_jobs=2, cv=3, error_score="raise",
    ).fit(*iris)  # fmt: skip
    assert search.best_score_ > 0.9
    assert search.best_estimator_.callbacks[0] is not search.estimator.callbacks[0]


def test_a_pipeline_hands_on_weights_and_validation_data(iris):
    x, y = iris[0][::2], iris[1][::2]
    x_val, y_val = iris[0][1::2], iris[1][1::2]
    scaler, weights = StandardScaler().fit(x), np.linspace(0.5, 1.5, len(x))
    alone = MLPClassifier(**FAST).fit(
        scaler.transform(x), y, weights, X_val=scaler.transform(x_val), y_val=y_val
    )
    with config_context(enable_metadata_routing=True):
        last = MLPClassifier(**FAST).set_fit_request(sample_weight=True, X_val=True, y_val=True)
        model = Pipeline([("scale", StandardScaler()), ("mlp", last)], transform_input=["X_val"])
        model.set_params(scale=StandardScaler().set_fit_request(sample_weight=False))
        model.fit(x, y, sample_weight=weights, X_val=x_val, y_val=y_val)
    np.testing.assert_array_equal(model[-1].coefs_[0], alone.coefs_[0])
    assert model[-1].validation_scores_ == alone.validation_scores_


def test_in_a_halving_search(iris):
    search = HalvingRandomSearchCV(
        MLPClassifier(**FAST),
        {"alpha": [1e-5, 1e-4, 1e-3], "hidden_layer_sizes": [(8,), (16, 8)]},
        resource="max_iter", min_resources=10, max_resources=60, random_state=0, cv=3,
    ).fit(*iris)  # fmt: skip
    assert search.best_score_ > 0.8


def test_in_a_cross_validation(iris):
    assert cross_val_score(MLPClassifier(**FAST), *iris, cv=4).mean() > 0.9


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_in_a_calibration(iris, method):
    x, y = iris
    model = CalibratedClassifierCV(MLPClassifier(**FAST), method=method, cv=3).fit(x, y)
    assert model.score(x, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)


def test_in_a_bag(iris):
    model = BaggingClassifier(MLPClassifier(**FAST), n_estimators=4, random_state=0).fit(*iris)
    assert model.score(*iris) > 0.9
    first, second = (member.coefs_[0] for member in model.estimators_[:2])
    assert not np.array_equal(first, second)


def test_a_callback_without_validation_data_says_what_an_estimator_takes():
    x, y = np.eye(6), np.arange(6) % 2
    estimator = MLPClassifier((4,), callbacks=[fnn.EarlyStopping()], max_iter=2, random_state=0)
    with pytest.raises(ValueError, match=r"'val_loss'.* X_val and y_val to an estimator's"):
        estimator.fit(x, y)
    estimator.fit(x, y, X_val=x, y_val=y)
    assert estimator.n_iter_ == 2
