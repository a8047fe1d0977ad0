"""The contract of scikit-learn's estimators, by its own checks."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import AutoencoderTransformer, MLPClassifier, MLPRegressor


# The checks fit small data hundreds of times; as scikit-learn does for its own, with fewer epochs.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPRegressor(max_iter=100),
        AutoencoderTransformer(3, max_iter=10),
        AutoencoderTransformer([4, 2], stacked=True, max_iter=10),
    ]
)
def test_estimator_contract(estimator, check):
    check(estimator)
