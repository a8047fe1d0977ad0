"""Estimators for scikit-learn: its multilayer perceptrons, trained by fastnn.

>>> from fastnn.sklearn import MLPClassifier
>>> from sklearn.datasets import load_iris
>>> x, y = load_iris(return_X_y=True)
>>> MLPClassifier(solver="lbfgs", random_state=0).fit(x, y).score(x, y) > 0.9
True

`MLPClassifier` and `MLPRegressor` take the parameters of the classes of the same names in
`sklearn.neural_network`, and more; `AutoencoderTransformer` makes features. They need scikit-learn
1.7 or newer, the extra ``sklearn``.
"""

from fastnn.errors import missing_extra

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError as error:
    raise missing_extra("scikit-learn 1.7 or newer", "sklearn") from error

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor
from fastnn.sklearn.transformer import AutoencoderTransformer

__all__ = ["AutoencoderTransformer", "MLPClassifier", "MLPRegressor"]
