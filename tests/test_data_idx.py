import gzip
import tracemalloc

import numpy as np
import pytest

from fastnn.data.idx import read_idx, unpack
from fastnn.errors import CorruptFileError

CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}
PACK = {"raw": bytes, "gzip": lambda data: gzip.compress(data, mtime=0)}
packings = pytest.mark.parametrize("pack", PACK.values(), ids=PACK)


def header(code, shape):
    return bytes([0, 0, code, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


def encode(array):
    values = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return header(CODES[array.dtype.name], array.shape) + values


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return write


@packings
@pytest.mark.parametrize("dtype", CODES)
def test_every_type_comes_back(write, pack, dtype):
    rng = np.random.default_rng(0)
    values = np.frombuffer(rng.bytes(2 * 3 * 5 * np.dtype(dtype).itemsize), dtype)
    array = values.reshape(2, 3, 5)
    out = read_idx(write(pack(encode(array))))
    assert out.dtype == np.dtype(dtype)
    assert out.dtype.isnative
    assert out.flags.c_contiguous
    assert out.flags.writeable
    # Bytes, not values: random float bits hold NaN.
    assert out.shape == array.shape
    assert out.tobytes() == array.tobytes()


@packings
@pytest.mark.parametrize("shape", [(), (0,), (0, 28, 28), (3, 0), (1,), (1, 1, 1, 1, 1)])
def test_small_shapes_come_back(write, pack, shape):
    array = np.full(shape, -7, dtype=np.int16)
    out = read_idx(write(pack(encode(array))), expect_ndim=len(shape))
    np.testing.assert_array_equal(out, array, strict=True)


def test_known_bytes(write):
    data = bytes.fromhex("00000b02 00000002 00000001 0102 fffe")
    np.testing.assert_array_equal(read_idx(write(data)), [[0x0102], [-2]])


def test_path_may_be_a_string(write):
    path = write(encode(np.arange(3, dtype=np.uint8)))
    np.testing.assert_array_equal(read_idx(str(path)), [0, 1, 2])


def test_array_larger_than_a_chunk(write):
    array = np.random.default_rng(1).integers(0, 256, 3_000_001, dtype=np.uint8)
    for pack in PACK.values():
        np.testing.assert_array_equal(read_idx(write(pack(encode(array)))), array)


@packings
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n", "not an IDX file.*0x89504e47"),
        (b"\x01\x00\x08\x01\0\0\0\0", "not an IDX file"),
        (b"\x00\x01\x08\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x07\x01\0\0\0\0", "unknown type code 0x07"),
        (b"\0\0\x0a\x01\0\0\0\0", "unknown type code 0x0a"),
        (b"\0\0\x08\x21" + bytes(4 * 33), "33 axes"),
        (b"", "truncated.*header"),
        (b"\0\0\x08", "truncated.*header"),
        (b"\0\0\x08\x02\0\0\0\x01\0\0\0", "truncated.*header"),
        (header(0x08, (4,)) + b"abc", "truncated.*4 bytes"),
        (header(0x0E, (2, 3)) + bytes(47), "truncated.*48 bytes"),
        (header(0x08, (4,)) + b"abcde", "too long.*4 bytes"),
        (header(0x08, (0,)) + b"a", "too long"),
        (header(0x08, (2**32 - 1,) * 32) + b"abc", "truncated.*more than the file can hold"),
        (header(0x08, (0,) + (2**32 - 1,) * 31), "impossible shape"),
    ],
)
def test_refusals_name_the_file_and_the_fault(write, pack, data, message):
    path = write(pack(data))
    with pytest.raises(CorruptFileError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_number_of_axes_is_held_to_what_is_expected(write):
    path = write(encode(np.zeros((2, 3), np.uint8)))
    assert read_idx(path, expect_ndim=2).shape == (2, 3)
    with pytest.raises(CorruptFileError, match="has 2 axes, expected 3"):
        read_idx(path, expect_ndim=3)


@packings
def test_every_truncation_is_refused(write, pack):
    data = pack(encode(np.arange(6, dtype=np.int32).reshape(2, 3)))
    for n in range(len(data)):
        with pytest.raises(CorruptFileError):
            read_idx(write(data[:n]))


@packings
def test_a_flipped_bit_gives_an_array_or_a_refusal(write, pack):
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    data = pack(encode(array))
    refused = 0
    for position in range(8 * len(data)):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        try:
            out = read_idx(write(bytes(broken)))
        except CorruptFileError:
            refused += 1
        else:
            # gzip has checksums: what it lets through (a time stamp, say) is not data.
            assert pack is PACK["raw"] or out.tobytes() == array.tobytes()
    assert refused > 0


def test_wrong_gzip_checksum_is_refused(write):
    data = bytearray(gzip.compress(encode(np.arange(9, dtype=np.uint8)), mtime=0))
    data[-8] ^= 1
    with pytest.raises(CorruptFileError, match=r"gzip.*CRC"):
        read_idx(write(bytes(data)))


def test_garbage_after_gzip_is_refused(write):
    data = gzip.compress(encode(np.arange(9, dtype=np.uint8)))
    with pytest.raises(CorruptFileError, match="gzip"):
        read_idx(write(data + b"garbage"))
    with pytest.raises(CorruptFileError, match="too long"):
        read_idx(write(data + gzip.compress(b"another member")))


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "absent")


def peak_of_refusal(path):
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFileError):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        # A bomb: 10 bytes promised, 64 MiB packed into 64 KiB.
        gzip.compress(header(0x08, (10,)) + bytes(64 << 20), 6),
        # Promises that the files cannot keep: refused before anything is read ...
        header(0x08, (2**31,)) + bytes(100),
        gzip.compress(header(0x0E, (2**32 - 1, 2**32 - 1)) + bytes(100)),
        # ... and one that could be kept by a file of this length, and is not.
        gzip.compress(header(0x08, (200_000_000,)) + np.random.default_rng(0).bytes(200_000)),
    ],
    ids=["bomb", "raw", "gzip", "possible"],
)
def test_memory_follows_the_bytes_and_not_the_promise(write, data):
    assert peak_of_refusal(write(data)) < 8 << 20


def test_unpack_is_bounded():
    assert unpack(b"plain bytes", 5) == b"plain"
    assert unpack(gzip.compress(b"plain bytes"), 100) == b"plain bytes"
    assert unpack(gzip.compress(bytes(1 << 20)), 1000) == bytes(1000)
    with pytest.raises(CorruptFileError, match="gzip"):
        unpack(gzip.compress(b"plain bytes")[:-1], 100)
