"""Holding out a share of the rows, by number or as arrays; and each row once, in folds."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.checks import Rng, as_array, generator, positive_int, real_in
from fastnn.data.batches import epoch_order


def split_indices(
    n: SupportsIndex, share: float, rng: Rng = None, *, labels: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows to keep and the rows to hold out.

    Parameters
    ----------
    n : int
        Number of rows.
    share : float
        Share of the rows to hold out, strictly between 0 and 1; ``round(n * share)`` rows are.
    rng : seed or numpy.random.Generator, optional
        Source of the shuffle.
    labels : array_like, shape (n,), optional
        Class of each row. If given, the split is stratified: of a class with c rows, c * share
        are held out, rounded down or up such that the total is right (largest remainders first).

    Returns
    -------
    kept, held : ndarray of int64
        Row numbers, both in shuffled order. Together they are a permutation of ``range(n)``.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer of at least 1, `share` not a number in (0, 1), `labels` not of
        shape (n,), or if one of the parts would be empty.
    """
    n = positive_int("n", n)
    share = real_in("share", share, 0, 1, open_low=True, open_high=True)
    n_held = round(n * share)
    if not 0 < n_held < n:
        raise ValueError(
            f"share={share:g} of {n} rows leaves {n - n_held} and holds out {n_held}: "
            "both parts need at least one row"
        )
    order = epoch_order(n, rng)
    if labels is None:
        return order[n_held:], order[:n_held]

    _, codes, counts = np.unique(
        _labels_of_rows(labels, n)[order], return_inverse=True, return_counts=True
    )
    quota = _largest_remainders(counts, n_held)
    # rank[i]: how many rows of the same class come before row i in the shuffled order.
    by_class = np.argsort(codes, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(n, dtype=np.int64)
    rank[by_class] = np.arange(n) - np.repeat(starts, counts)
    held = rank < quota[codes]
    return order[~held], order[held]


def k_fold(
    n: SupportsIndex, folds: SupportsIndex = 5, rng: Rng = None, *, labels: ArrayLike | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Hold out each row once: for each fold the rows to train on, and those held out.

    Parameters
    ----------
    n : int
        Number of rows.
    folds : int, default 5
        From 2 to `n`. The held-out parts differ by at most one row.
    rng : seed or numpy.random.Generator, optional
        Source of the shuffle.
    labels : array_like, shape (n,), optional
        Class of each row. If given, the folds are stratified: the counts of a class differ by at
        most one between them.

    Returns
    -------
    list of (kept, held), ndarray of int64
        Row numbers. The held-out parts of all folds together are a permutation of ``range(n)``.

    Raises
    ------
    TypeError, ValueError
        If `n` or `folds` is not an integer, `folds` lies outside 2..n, or `labels` are not of
        shape (n,).

    Examples
    --------
    >>> [len(held) for kept, held in k_fold(10, 3, rng=0)]
    [4, 3, 3]
    """
    n, folds = positive_int("n", n), positive_int("folds", folds)
    if not 2 <= folds <= n:
        raise ValueError(f"folds must be between 2 and the number of rows, {n}; got {folds}")
    order = epoch_order(n, rng)
    if labels is not None:
        labels = _labels_of_rows(labels, n)
        # Class after class, dealt out like cards.
        order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.arange(n) % folds
    return [(order[fold_of != fold], order[fold_of == fold]) for fold in range(folds)]


def _labels_of_rows(labels: ArrayLike, n: int) -> NDArray[Any]:
    labels = as_array("labels", labels)
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape ({n},); got {labels.shape}")
    return labels


def _largest_remainders(counts: NDArray[np.integer], total: int) -> NDArray[np.int64]:
    """Share `total` out in proportion to `counts`, in whole numbers (Hamilton's method)."""
    # Integer arithmetic: floor and remainder of count * total / sum without rounding errors.
    products = [int(count) * total for count in counts]
    size = int(counts.sum())
    quota = np.array([product // size for product in products], dtype=np.int64)
    remainders = np.array([product % size for product in products], dtype=np.int64)
    missing = total - int(quota.sum())
    quota[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return quota


def train_validation_split(
    x: ArrayLike,
    t: ArrayLike,
    share: float = 0.1,
    *,
    rng: Rng = None,
    stratify: bool = False,
    sample_weight: ArrayLike | None = None,
) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """Split arrays into a training part and a shuffled validation part.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        Inputs.
    t : array_like, shape (N, ...)
        Targets.
    share : float, default 0.1
        Share of the rows that goes to validation, strictly between 0 and 1.
    rng : seed or numpy.random.Generator, optional
        Source of the shuffle.
    stratify : bool, default False
        If True, both parts have the classes in the same proportions; `t` is then integer labels
        (N,), or one-hot or soft labels (N, classes), whose largest entry counts.
    sample_weight : array_like, shape (N,), optional
        Weights, split in the same way.

    Returns
    -------
    (x_train, t_train), (x_validation, t_validation)
        Copies; with `sample_weight`, its part is the third element of each tuple.

    Raises
    ------
    TypeError, ValueError
        If `share` is not in (0, 1) or a part would be empty, if the lengths differ, or if
        `stratify` is asked for targets that are not classes.
    """
    arrays = {"x": as_array("x", x), "t": as_array("t", t)}
    if sample_weight is not None:
        arrays["sample_weight"] = as_array("sample_weight", sample_weight)
    _check_rows(arrays)
    labels = _classes(arrays["t"]) if stratify else None
    kept, held = split_indices(len(arrays["x"]), share, rng, labels=labels)
    return (
        tuple(array[kept] for array in arrays.values()),
        tuple(array[held] for array in arrays.values()),
    )


def train_validation_test_split(
    x: ArrayLike,
    t: ArrayLike,
    validation: float = 0.1,
    test: float = 0.1,
    *,
    rng: Rng = None,
    stratify: bool = False,
) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """Split arrays into a part to train on, one to choose by, and one to judge by at the very end.

    Parameters
    ----------
    x, t : array_like, shape (N, ...)
    validation, test : float, default 0.1
        Shares of all the rows, strictly between 0 and 1, and together below 1.
    rng : seed or numpy.random.Generator, optional
        Source of the shuffle.
    stratify : bool, default False
        As in `train_validation_split`.

    Returns
    -------
    (x_train, t_train), (x_validation, t_validation), (x_test, t_test)
        Copies; shuffled.

    Raises
    ------
    TypeError, ValueError
        As `train_validation_split`.
    """
    validation = real_in("validation", validation, 0, 1, open_low=True, open_high=True)
    test = real_in("test", test, 0, 1, open_low=True, open_high=True)
    if validation + test >= 1:
        raise ValueError(
            "validation and test must leave rows to train on; "
            f"they are {validation:g} and {test:g} of all"
        )
    draws = generator(rng)
    (x, t), tested = train_validation_split(x, t, test, rng=draws, stratify=stratify)
    n_validation = round((len(x) + len(tested[0])) * validation)
    if not 0 < n_validation < len(x):
        raise ValueError(
            f"validation={validation:g} and test={test:g} leave {len(x) - n_validation} rows to "
            f"train on and {n_validation} to validate: every part needs at least one"
        )
    share = n_validation / len(x)
    trained, validated = train_validation_split(x, t, share, rng=draws, stratify=stratify)
    return trained, validated, tested


def shuffle(*arrays: ArrayLike, rng: Rng = None) -> tuple[NDArray[Any], ...]:
    """Copies of arrays, with their rows in one and the same random order.

    Parameters
    ----------
    *arrays : array_like, shape (N, ...)
        Such as x and t.
    rng : seed or numpy.random.Generator, optional
        Source of the order.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    ValueError
        There is no array, one has no rows, or their numbers of rows differ.

    Examples
    --------
    >>> x, t = shuffle([10, 20, 30], [1, 2, 3], rng=0)
    >>> (x == 10 * t).all()
    np.True_
    """
    if not arrays:
        raise ValueError("shuffle needs at least one array; got none")
    names = ["x", *(f"array {place}" for place in range(2, len(arrays) + 1))]
    rows = {name: as_array(name, array) for name, array in zip(names, arrays, strict=True)}
    _check_rows(rows)
    order = epoch_order(len(rows["x"]), rng)
    return tuple(array[order] for array in rows.values())


def _check_rows(arrays: dict[str, NDArray[Any]]) -> None:
    """Refuse arrays that do not all have as many rows as `x`, and at least one."""
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"{name} must have a row for each sample; got a scalar")
        if len(array) != len(arrays["x"]):
            raise ValueError(
                f"{name} has {len(array)} rows and x has {len(arrays['x'])}: they must match"
            )
    if len(arrays["x"]) == 0:
        raise ValueError("x must have at least one row")


def _classes(t: NDArray[Any]) -> NDArray[Any]:
    if t.ndim == 1 and np.issubdtype(t.dtype, np.integer):
        return t
    if t.ndim == 2 and t.shape[1] > 1:
        classes: NDArray[np.int64] = t.argmax(axis=1)
        return classes
    raise ValueError(
        "stratify=True needs t as integer labels (N,) or as one row of class probabilities for "
        f"each sample (N, classes); got shape {t.shape} and dtype {t.dtype}"
    )
