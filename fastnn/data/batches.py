"""Mini-batches: the order of an epoch and where it is cut.

The order is drawn here and nowhere else, so every engine and backend sees the same batches.
"""

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fastnn.checks import Rng, generator, positive_int


def epoch_order(n: SupportsIndex, rng: Rng = None, shuffle: bool = True) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the rows.

    Parameters
    ----------
    n : int
        Number of rows, at least 1.
    rng : seed or numpy.random.Generator, optional
        Source of the permutation. A Generator moves on, so each epoch gets an order of its own;
        a seed gives the same order on every call.
    shuffle : bool, default True
        If False, the rows come in their own order and nothing is drawn from `rng`.

    Returns
    -------
    ndarray of int64, shape (n,)
        A permutation of ``range(n)``.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer of at least 1, or `rng` no source of random numbers.
    """
    n = positive_int("n", n)
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return generator(rng).permutation(n).astype(np.int64, copy=False)


def batch_slices(
    n: SupportsIndex, batch_size: SupportsIndex, merge_single: bool = False
) -> list[slice]:
    """Cut ``range(n)`` into consecutive batches.

    Parameters
    ----------
    n : int
        Number of rows, at least 1.
    batch_size : int
        Rows in a batch, at least 1. The last batch is shorter where `n` is no multiple of it.
    merge_single : bool, default False
        If True, a last batch of exactly one row joins the batch before, which then has
        ``batch_size + 1`` rows: BatchNorm cannot train on a single row. With ``n == 1`` there is
        no batch before, and the single row stays.

    Returns
    -------
    list of slice
        Non-empty slices with start and stop, in order, which cover ``range(n)`` once.

    Raises
    ------
    TypeError, ValueError
        If `n` or `batch_size` is not an integer of at least 1.

    Examples
    --------
    >>> batch_slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    >>> batch_slices(5, 2, merge_single=True)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    n = positive_int("n", n)
    batch_size = positive_int("batch_size", batch_size)
    starts = list(range(0, n, batch_size))
    if merge_single and len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n], strict=True)]


def epoch_batches(
    n: SupportsIndex,
    batch_size: SupportsIndex,
    rng: Rng = None,
    *,
    shuffle: bool = True,
    merge_single: bool = False,
) -> list[NDArray[np.int64]]:
    """Return the row numbers of each batch of one epoch.

    Parameters
    ----------
    n, batch_size, merge_single
        As for `batch_slices`.
    rng, shuffle
        As for `epoch_order`.

    Returns
    -------
    list of ndarray of int64
        Views into one permutation of ``range(n)``; ``x[batch]`` gathers the rows of a batch.

    Raises
    ------
    TypeError, ValueError
        If `n` or `batch_size` is not an integer of at least 1.
    """
    slices = batch_slices(n, batch_size, merge_single=merge_single)
    order = epoch_order(n, rng, shuffle=shuffle)
    return [order[part] for part in slices]
