"""Data sets, batches and splits.

Importing this package loads NumPy and the standard library only; pooch and scikit-learn are
imported by the functions that need them.
"""

from fastnn.data.batches import batch_slices, epoch_batches, epoch_order
from fastnn.data.digits import load_digits
from fastnn.data.idx import read_idx
from fastnn.data.mnist import load_mnist
from fastnn.data.split import k_fold, split_indices, train_validation_split
from fastnn.data.targets import one_hot

__all__ = [
    "batch_slices",
    "epoch_batches",
    "epoch_order",
    "k_fold",
    "load_digits",
    "load_mnist",
    "one_hot",
    "read_idx",
    "split_indices",
    "train_validation_split",
]
