"""Data sets, batches, splits and preprocessing.

pooch and scikit-learn are imported by the functions that need them.
"""

from fastnn.data.batches import batch_slices, epoch_batches, epoch_order
from fastnn.data.digits import load_digits
from fastnn.data.idx import read_idx
from fastnn.data.mnist import load_mnist
from fastnn.data.preprocess import Pipeline, Preprocessor
from fastnn.data.projection import PCA, Whiten
from fastnn.data.scaling import Center, MinMax, Standardize
from fastnn.data.split import (
    k_fold,
    shuffle,
    split_indices,
    train_validation_split,
    train_validation_test_split,
)
from fastnn.data.targets import one_hot

__all__ = [
    "PCA",
    "Center",
    "MinMax",
    "Pipeline",
    "Preprocessor",
    "Standardize",
    "Whiten",
    "batch_slices",
    "epoch_batches",
    "epoch_order",
    "k_fold",
    "load_digits",
    "load_mnist",
    "one_hot",
    "read_idx",
    "shuffle",
    "split_indices",
    "train_validation_split",
    "train_validation_test_split",
]
