"""Reader for IDX, the file format of MNIST.

An IDX file is a header, two zero bytes, a type code, the number of axes and the length of each
axis (big-endian uint32), followed by the values, big-endian and in C order
(http://yann.lecun.com/exdb/mnist/). It often comes packed with gzip.

A header of a few bytes can promise 2**32 values on each axis, and a gzip file of a few kilobytes
can unpack to gigabytes. So a header is held against the bytes there are before memory is taken
for what it says, and nothing is unpacked past the byte that shows that there is too much.
"""

import gzip
import io
import math
import os
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import CorruptFileError
from fastnn.files import file_name, open_at_once

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_NDIM = 32  # what every NumPy can hold; the header's byte could say 255
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # a byte of DEFLATE data holds at most 1032 (258 bytes in two bits)
_CHUNK = 1 << 20
_UNPACK_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


def read_idx(path: str | os.PathLike[str], *, expect_ndim: int | None = None) -> NDArray[Any]:
    """Read an array from an IDX file, packed with gzip or not.

    Parameters
    ----------
    path : path-like
        The file. Whether it is packed is told from its first bytes, not from its name.
    expect_ndim : int, optional
        Number of axes the array must have; by default any number will do.

    Returns
    -------
    ndarray
        Writable, in C order and native byte order, of type uint8, int8, int16, int32, float32
        or float64.

    Raises
    ------
    CorruptFileError
        If the file is not IDX, has an unknown type code, too few or too many bytes for its
        header, another number of axes than expected, or if gzip cannot unpack it.
    TypeError
        If `path` is no path.
    OSError
        If the file cannot be opened or read.
    """
    name = file_name("path", path)
    with open(name, "rb", opener=open_at_once) as file:
        return parse_idx(file, name, expect_ndim=expect_ndim)


def parse_idx(file: BinaryIO, name: str, *, expect_ndim: int | None = None) -> NDArray[Any]:
    """Read an array from an open, seekable binary file; `name` stands for it in messages.

    Raises
    ------
    CorruptFileError
        As `read_idx`.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    if not packed:
        return _parse(file, name, size, expect_ndim)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            return _parse(stream, name, size * _DEFLATE_LIMIT, expect_ndim)
    except _UNPACK_ERRORS as exc:
        raise CorruptFileError(f"{name} is not a whole gzip file: {exc}.") from exc


def unpack(data: bytes, limit: int) -> bytes:
    """Return `data`, unpacked if it is gzip, cut off after `limit` bytes.

    Raises
    ------
    CorruptFileError
        If `data` starts as gzip does and cannot be unpacked.
    """
    if not data.startswith(_GZIP_MAGIC):
        return data[:limit]
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data), mode="rb") as stream:
            return bytes(_read_at_most(stream, limit))
    except _UNPACK_ERRORS as exc:
        raise CorruptFileError(f"not a whole gzip file: {exc}") from exc


def _parse(
    stream: BinaryIO | gzip.GzipFile, name: str, most: int, expect_ndim: int | None
) -> NDArray[Any]:
    """Read header and values; `most` bounds how many bytes the stream can give."""
    magic = _read_header(stream, 4, name)
    if magic[:2] != b"\0\0":
        raise CorruptFileError(
            f"{name} is not an IDX file: it starts with 0x{magic.hex()}, not with two zero bytes."
        )
    code, ndim = magic[2], magic[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _DTYPES)
        raise CorruptFileError(f"{name} has the unknown type code 0x{code:02x}; IDX has {known}.")
    if expect_ndim is not None and ndim != expect_ndim:
        raise CorruptFileError(f"{name} has {ndim} axes, expected {expect_ndim}.")
    if ndim > _MAX_NDIM:
        raise CorruptFileError(f"{name} has {ndim} axes; at most {_MAX_NDIM} can be read.")
    header = _read_header(stream, 4 * ndim, name)
    shape = tuple(np.frombuffer(header, dtype=">u4").tolist()) if ndim else ()
    dtype = np.dtype(_DTYPES[code])

    expected = math.prod(shape) * dtype.itemsize
    promise = f"its header promises {expected} bytes of values, shape {shape}"
    if expected > most - 4 - 4 * ndim:
        raise CorruptFileError(f"{name} is truncated: {promise}, more than the file can hold.")
    values = _read_at_most(stream, expected + 1)
    if len(values) < expected:
        raise CorruptFileError(f"{name} is truncated: {promise}, but there are {len(values)}.")
    if len(values) > expected:
        raise CorruptFileError(f"{name} is too long: {promise}, but more follow.")
    try:
        array: NDArray[Any] = np.ndarray(shape, dtype=dtype, buffer=values)
    except ValueError as exc:
        # Without values, (0, 2**32 - 1, 2**32 - 1, ...) passes the comparisons above.
        raise CorruptFileError(f"{name} has the impossible shape {shape}: {exc}.") from exc
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: BinaryIO | gzip.GzipFile, n: int, name: str) -> bytes:
    data = bytes(_read_at_most(stream, n))
    if len(data) < n:
        raise CorruptFileError(f"{name} is truncated: it ends inside its header.")
    return data


def _read_at_most(stream: BinaryIO | gzip.GzipFile, n: int) -> bytearray:
    """Read `n` bytes, or as many as there are, in memory that grows with what was read."""
    data = bytearray()
    while len(data) < n:
        chunk = stream.read(min(_CHUNK, n - len(data)))
        if not chunk:
            break
        data += chunk
    return data
