"""scikit-learn's own tests of its multilayer perceptrons, run on ours in their place."""

import importlib.util
from unittest import mock

import pytest

pytest.importorskip("sklearn")

import fastnn.sklearn

try:
    FOUND = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
except ModuleNotFoundError:
    FOUND = None
if FOUND is None:
    pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)

# Data are small and epochs few there: that a fit did not converge is no news.
# What they use that is to change one day is for scikit-learn to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

# What reads attributes that are scikit-learn's own affair, and where ours is tested instead.
PRIVATE = {
    "test_gradient": "calls _loss_grad_lbfgs; see test_sklearn.test_the_same_seed_gives_the_network"
    "_of_scikit_learn, and test_gradients",
    "test_learning_rate_warmstart": "reads _optimizer; see test_sklearn.test_inverse_scaling_goes"
    "_on_over_warm_starts",
    "test_adaptive_learning_rate": "reads _optimizer; see test_sklearn.test_stops_at_the_epoch_at"
    "_which_scikit_learn_stops",
}


def load():
    """A copy of their module in which the names of the estimators are ours."""
    module = importlib.util.module_from_spec(FOUND)
    ours = {name: getattr(fastnn.sklearn, name) for name in ("MLPClassifier", "MLPRegressor")}
    with mock.patch.multiple("sklearn.neural_network", **ours):
        FOUND.loader.exec_module(module)
    return module


@pytest.fixture
def global_random_seed():
    return 42  # as in scikit-learn, where nobody asks for another


THEIRS = load()
for name, test in vars(THEIRS).items():
    if name.startswith("test_"):
        if name in PRIVATE:
            # Strict: a test that has come to pass leaves the list.
            mark = pytest.mark.xfail(raises=AttributeError, strict=True, reason=PRIVATE[name])
            test = mark(test)
        globals()[name] = test


def test_it_is_ours_that_they_test():
    assert THEIRS.MLPClassifier is fastnn.sklearn.MLPClassifier
    assert THEIRS.MLPRegressor is fastnn.sklearn.MLPRegressor
    assert sum(name.startswith("test_") for name in vars(THEIRS)) > 30
    assert set(PRIVATE) <= set(vars(THEIRS))
