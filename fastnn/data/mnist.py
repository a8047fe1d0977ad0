"""MNIST: 70,000 images of handwritten digits, 28x28 pixels.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86 (1998); data by Y. LeCun and C. Cortes, CC BY-SA 3.0.
"""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.data.fetch import KnownFile, cache_dir, fetch, folder_named_by
from fastnn.data.idx import parse_idx, read_idx
from fastnn.data.targets import one_hot
from fastnn.errors import CorruptFileError, FastnnError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class IdxFile(NamedTuple):
    """An IDX file of uint8 values: its name, shape, and the SHA-256 of its unpacked bytes."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def known(self) -> KnownFile:
        header = 4 + 4 * len(self.shape)
        return KnownFile(self.name, header + math.prod(self.shape), self.sha256)


class IdxDataset(NamedTuple):
    """A labelled image set in four IDX files, kept in a folder of this name."""

    folder: str
    n_classes: int
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile


MNIST = IdxDataset(
    folder="mnist",
    n_classes=10,
    train_images=IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load_mnist(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """Load MNIST from ``FASTNN_DATA``, from the cache, or else from the network.

    If ``$FASTNN_DATA/mnist/`` is there, its four files, packed with gzip or not, are the data.
    They are held to the shapes and labels of MNIST but not to its checksums, so that sets made
    in its image (Fashion-MNIST, Kuzushiji-MNIST, a relabelled copy) can stand in.
    Otherwise the files come from the cache, ``$FASTNN_CACHE`` or the user's cache folder, and
    the SHA-256 of every file is checked on each call; what is missing or damaged there is
    downloaded, about 11 MB in all.

    Parameters
    ----------
    normalize : bool, default True
        If True, pixels are float32 in [0, 1]; if False, uint8.
    flatten : bool, default True
        If True, an image is a row of 784 pixels; if False, it has shape (1, 28, 28).
    one_hot_label : bool, default False
        If True, targets are float32 one-hot rows (N, 10); if False, int64 labels (N,).

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        60,000 and 10,000 images, (N, 784) or (N, 1, 28, 28), and their targets.

    Raises
    ------
    FastnnError
        If ``$FASTNN_DATA/mnist/`` lacks one of the files, or a download fails, or a folder lies
        in a home that is not known.
    CorruptFileError
        If a file of ``$FASTNN_DATA/mnist/`` is damaged or is not of MNIST's form.
    ImportError
        If a download is needed and pooch is not installed.
    """
    return load_dataset(MNIST, normalize, flatten, one_hot_label, mirrors=MIRRORS)


def load_dataset(
    dataset: IdxDataset,
    normalize: bool,
    flatten: bool,
    one_hot_label: bool,
    *,
    mirrors: Sequence[str],
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """Load any data set of MNIST's four-file form; arguments and errors as for `load_mnist`."""

    def part(images: IdxFile, labels: IdxFile) -> tuple[NDArray[Any], NDArray[Any]]:
        pixels, _ = _load_file(dataset, images, mirrors)
        t, source = _load_file(dataset, labels, mirrors)
        if t.size and t.max() >= dataset.n_classes:
            raise CorruptFileError(
                f"{source} has the label {t.max()}; the labels of {dataset.folder} go from 0 to "
                f"{dataset.n_classes - 1}."
            )
        x = _arrange(pixels, normalize, flatten)
        return x, one_hot(t, dataset.n_classes) if one_hot_label else t.astype(np.int64)

    train = part(dataset.train_images, dataset.train_labels)
    return train, part(dataset.test_images, dataset.test_labels)


def _arrange(pixels: NDArray[Any], normalize: bool, flatten: bool) -> NDArray[Any]:
    n, height, width = pixels.shape
    x = pixels.reshape((n, height * width) if flatten else (n, 1, height, width))
    return np.divide(x, np.float32(255), dtype=np.float32) if normalize else x


def _load_file(
    dataset: IdxDataset, file: IdxFile, mirrors: Sequence[str]
) -> tuple[NDArray[Any], str]:
    """Return the array of a file of the data set, and where it was found."""
    local = _local_folder(dataset)
    if local is not None:
        path = _local_file(local, file)
        source = str(path)
        array = read_idx(path)
    else:
        folder = cache_dir() / dataset.folder
        data = fetch(file.known, folder, mirrors, _without_download(dataset))
        source = str(folder / file.name)
        array = parse_idx(io.BytesIO(data), source)
    if array.dtype != np.uint8 or array.shape != file.shape:
        raise CorruptFileError(
            f"{source} holds {array.dtype} values of shape {array.shape}, "
            f"expected uint8 and {file.shape}."
        )
    return array, source


def _local_folder(dataset: IdxDataset) -> Path | None:
    root = folder_named_by("FASTNN_DATA")
    if root is None:
        return None
    folder = root / dataset.folder
    return folder if folder.is_dir() else None


def _local_file(folder: Path, file: IdxFile) -> Path:
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            return path
    raise FastnnError(
        f"{folder} lacks {file.name}, packed (.gz) or not. Add it; or unset FASTNN_DATA, and "
        f"{folder.name} is taken from the cache or downloaded."
    )


def _without_download(dataset: IdxDataset) -> str:
    root = os.environ.get("FASTNN_DATA")
    now = f" (it is {root!r}, where there is no {dataset.folder} folder)" if root else ""
    names = ", ".join(f"{file.name}.gz" for file in dataset if isinstance(file, IdxFile))
    return (
        f"To do without a download, set FASTNN_DATA{now} to a folder which has "
        f"{dataset.folder}/ with {names}."
    )
