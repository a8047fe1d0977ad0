"""The 8x8 handwritten digits that scikit-learn carries: 1,797 images, no network needed.

They are the test part of the "Optical Recognition of Handwritten Digits" data set of the UCI
Machine Learning Repository (E. Alpaydin, C. Kaynak, 1998), https://doi.org/10.24432/C50P49.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.checks import Rng, real_in
from fastnn.data.split import split_indices
from fastnn.data.targets import one_hot
from fastnn.errors import missing_extra


def load_digits(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    test_share: float = 0.2,
    rng: Rng = 0,
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """Load the 8x8 digits, split into a training and a test part.

    Parameters
    ----------
    normalize : bool, default True
        If True, pixels are float32 in [0, 1]; if False, uint8 from 0 to 16.
    flatten : bool, default True
        If True, an image is a row of 64 pixels; if False, it has shape (1, 8, 8).
    one_hot_label : bool, default False
        If True, targets are float32 one-hot rows (N, 10); if False, int64 labels (N,).
    test_share : float, default 0.2
        Share of the images in the test part, which is stratified by digit.
    rng : seed or numpy.random.Generator, default 0
        Source of the split; the same seed gives the same split.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        Inputs (N, 64) or (N, 1, 8, 8), and targets.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        If `test_share` is not a number in (0, 1), or leaves a part empty.
    """
    real_in("test_share", test_share, 0, 1, open_low=True, open_high=True)
    try:
        from sklearn.datasets import load_digits as sklearn_digits
    except ImportError as exc:
        raise missing_extra("scikit-learn", "demo") from exc
    bunch = sklearn_digits()
    x = bunch.data.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = split_indices(len(x), test_share, rng, labels=labels)
    if normalize:
        x = x.astype(np.float32) / np.float32(16)
    if not flatten:
        x = x.reshape(-1, 1, 8, 8)
    t: NDArray[Any] = one_hot(labels, 10) if one_hot_label else labels
    return (x[train], t[train]), (x[test], t[test])
