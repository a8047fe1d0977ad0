"""Autoencoders as a transformer."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import minmax_scale

import fastnn as fnn
from fastnn.sklearn import AutoencoderTransformer, MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


FAST = {"learning_rate_init": 0.01, "batch_size": 50, "max_iter": 20, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    (x, y), _ = fnn.data.load_digits()
    return minmax_scale(x)[:600].astype(np.float64), y[:600]


def test_a_linear_one_comes_close_to_principal_components(digits):
    x, _ = digits
    encoder = AutoencoderTransformer(
        8, activation=None, learning_rate_init=0.01, max_iter=300, random_state=0
    ).fit(x)
    pca = PCA(8).fit(x)
    best = -np.mean((pca.inverse_transform(pca.transform(x)) - x) ** 2)
    assert 1.1 * best < encoder.score(x) <= best
    np.testing.assert_allclose(
        encoder.inverse_transform(encoder.transform(x)), encoder.model_.predict(x), rtol=1e-6
    )


@pytest.mark.parametrize("settings", [
    {"stacked": True, "activation": "tanh"},
    {"noise": fnn.MaskingNoise(0.2)},
    {"stacked": True, "noise": fnn.GaussianNoise(0.1), "output": "sigmoid"},
    {"tied": True},
], ids=str)  # fmt: skip
def test_every_kind_learns_and_comes_back_from_a_pickle(digits, settings):
    x, _ = digits
    encoder = AutoencoderTransformer((32, 12), **FAST | settings)
    codes = encoder.fit_transform(x)
    assert codes.shape == (600, 12)
    assert encoder.score(x) > -0.75 * x.var(axis=0).mean()
    again = clone(encoder).fit(x)  # the noise layer of the first fit is not bound
    np.testing.assert_array_equal(again.transform(x), codes)
    np.testing.assert_array_equal(encoder.fit(x).transform(x), codes)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(x), codes)
    np.testing.assert_array_equal(encoder.transform(csr_matrix(x)), codes)
    assert encoder.n_iter_ == len(encoder.loss_curve_) == (60 if settings.get("stacked") else 20)


def test_noise_is_for_training_only(digits):
    x, _ = digits
    clean, noisy = (
        AutoencoderTransformer(16, noise=noise, **FAST).fit(x)
        for noise in (None, fnn.MaskingNoise(0.5))
    )
    assert noisy.loss_curve_[-1] > clean.loss_curve_[-1]
    np.testing.assert_array_equal(noisy.transform(x), noisy.transform(x))


def test_training_ends_where_nothing_improves(digits):
    x, _ = digits
    encoder = AutoencoderTransformer(4, tol=1.0, n_iter_no_change=3, random_state=0).fit(x)
    assert encoder.n_iter_ == 4


def test_in_a_pipeline_and_a_search(digits):
    pytest.importorskip("pandas")
    x, y = digits
    model = make_pipeline(
        AutoencoderTransformer(20, dtype="float32", **FAST),
        MLPClassifier(solver="lbfgs", random_state=0),
    )
    search = GridSearchCV(model, {"autoencodertransformer__code": [2, 20]}, cv=2).fit(x, y)
    assert search.best_params_ == {"autoencodertransformer__code": 20}
    assert search.best_score_ > 0.7
    frame = model[0].set_output(transform="pandas").fit_transform(x)
    assert list(frame.columns)[:2] == ["autoencodertransformer0", "autoencodertransformer1"]
    assert frame.dtypes.iloc[0] == np.float32


@pytest.mark.parametrize(("settings", "error", "message"), [
    ({"code": 0}, ValueError, "code must be at least 1"),
    ({"activation": "step"}, ValueError, "activation must be one of"),
    ({"noise": 0.3}, TypeError, "noise must be a Layer"),
    ({"solver": "lbfgs"}, ValueError, "solver must be one of"),
    ({"max_iter": 0}, ValueError, "max_iter"),
    ({"tol": -1.0}, ValueError, "tol"),
    ({"batch_size": "all"}, TypeError, "batch_size"),
    ({"loss": "softmax_cross_entropy"}, ValueError, "loss must compare"),
    ({"solver": fnn.SGD(1e30), "activation": None}, ValueError, "non-finite parameter weights"),
], ids=str)  # fmt: skip
def test_bad_parameters_are_named(digits, settings, error, message):
    with pytest.raises(error, match=message):
        AutoencoderTransformer(**settings).fit(digits[0])
