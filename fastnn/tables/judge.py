"""How good predictions are: for classes by scikit-learn's metrics, for numbers by fastnn's own."""

from typing import Any

import numpy as np

from fastnn.errors import missing_extra
from fastnn.metrics import mean_absolute_error, r2_score, root_mean_squared_error


def require_metrics() -> Any:
    """`sklearn.metrics`.

    Raises
    ------
    ImportError
        scikit-learn is not installed; the message names the extra.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise missing_extra("scikit-learn", "table") from error
    return metrics


def judge_classes(proba: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Metrics of probabilities (N, C) for labels (N,); see `Outcome.metrics`."""
    metrics = require_metrics()
    # float32 sums to 1 only roughly, which scikit-learn remarks upon.
    proba = proba.astype(np.float64)
    proba /= proba.sum(axis=1, keepdims=True)
    answers, labels = proba.argmax(axis=1), np.arange(proba.shape[1])
    right = answers == y
    found = [float(right[y == label].mean()) for label in np.unique(y)]
    area = np.nan
    if len(np.unique(y)) == len(labels):
        if len(labels) == 2:
            area = metrics.roc_auc_score(y, proba[:, 1])
        else:
            area = metrics.roc_auc_score(y, proba, multi_class="ovr", labels=labels)
    return {
        "accuracy": float(right.mean()),
        "balanced accuracy": float(np.mean(found)),
        "log loss": float(metrics.log_loss(y, proba, labels=labels)),
        "ROC AUC": float(area),
    }


def judge_numbers(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Metrics of predicted numbers (N,); see `Outcome.metrics`."""
    return {
        "R2": r2_score(predicted, y),
        "RMSE": root_mean_squared_error(predicted, y),
        "MAE": mean_absolute_error(predicted, y),
    }


def judge_constant(trained: np.ndarray, y: np.ndarray, classes: int) -> dict[str, float]:
    """Metrics of always giving the same answer, learned from the targets of the training rows."""
    if not classes:
        return judge_numbers(np.full(len(y), trained.mean()), y)
    shares = np.bincount(trained, minlength=classes) / len(trained)
    return judge_classes(np.tile(shares, (len(y), 1)), y)
