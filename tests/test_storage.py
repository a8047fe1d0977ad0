import errno
import hashlib
import io
import itertools
import json
import os
import resource
import stat
import struct
import sys
import threading
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from fastnn import files, storage
from fastnn.errors import CorruptFileError, FastnnError
from fastnn.storage import read_file, write_file

DTYPES = ["float32", "float64", "int64", "uint8"]
CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}
SHAPES = [(), (1,), (7,), (0,), (3, 0, 2), (2, 3, 5), (1,) * 20]
ARRAYS = {
    "affine1.w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "affine1.b": np.array([np.nan, np.inf, -0.0]),
    "empty": np.zeros((0, 3), np.int64),
    "step": np.array(-5, dtype=np.int64),
    "bytes": np.arange(5, dtype=np.uint8),
}
DESCRIPTION = {"layers": [{"kind": "affine", "units": 3, "lr": 1e-3}], "bias": True, "note": None}
OTHER = {"other": np.zeros(3)}


# The format, written down a second time from its description, to build files that no writer makes.


def dumps(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(text, arrays):
    parts = hashlib.sha256(struct.pack("<Q", len(text)) + text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        head = dumps([name, array.dtype.name, list(array.shape)]).encode()
        parts.update(struct.pack("<Q", len(head)) + head)
        parts.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return parts.hexdigest()


def metadata_of(text, arrays):
    return {
        "format": "fastnn",
        "format_version": "1",
        "description": text,
        "sha256": digest(text, arrays),
    }


def entry(begin, end, shape=None, dtype="U8"):
    shape = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def layout(arrays):
    entries, data = {}, b""
    for name, array in arrays.items():
        begin, data = len(data), data + array.tobytes()
        entries[name] = entry(begin, len(data), list(array.shape), CODES[array.dtype.name])
    return entries, data


def frame(header, data=b"", pad=True):
    header = header if isinstance(header, bytes) else dumps(header).encode()
    if pad:
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def forge(arrays=None, description=None, entries=None, data=None, **metadata):
    """A file whose digest is right for `arrays`, with parts replaced."""
    arrays = {"a": np.arange(4, dtype=np.uint8)} if arrays is None else arrays
    text = dumps({} if description is None else description)
    own_entries, own_data = layout(arrays)
    header = {
        "__metadata__": metadata_of(text, arrays) | metadata,
        **(own_entries if entries is None else entries),
    }
    return frame(header, own_data if data is None else data)


def forge_text(text):
    """A file whose description is `text`, with the right digest."""
    arrays = {"a": np.arange(4, dtype=np.uint8)}
    entries, data = layout(arrays)
    return frame({"__metadata__": metadata_of(text, arrays), **entries}, data)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastnn"


@pytest.fixture
def written(path):
    write_file(path, ARRAYS, DESCRIPTION)
    return path.read_bytes()


@pytest.fixture
def small(path):
    """A file with every kind of part and few bytes, for there is a loop over all of them."""
    write_file(path, {"b": np.ones(1), "e": np.zeros((0, 3), np.uint8)}, {"lr": 0.5})
    return path.read_bytes()


def assert_same(arrays, expected):
    assert list(arrays) == sorted(expected)
    for name, want in expected.items():
        got = arrays[name]
        assert got.dtype == want.dtype
        assert got.dtype.isnative
        assert got.shape == want.shape
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert got.flags.owndata
        # Bytes, not values: NaN and the sign of zero count.
        assert got.tobytes() == want.tobytes()


def refusal(path):
    """The reason for which a file is refused, after a check of the sentence around it."""
    with pytest.raises(CorruptFileError) as info:
        read_file(path)
    message = str(info.value)
    start = f"{os.fspath(path)!r} is not a readable fastnn file: "
    assert message.startswith(start)
    assert message.endswith(".")
    assert message.isprintable()
    assert len(message) < len(start) + 500
    return message.removeprefix(start)


# Round trips.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back(path, dtype, shape):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    # Random bits, which hold NaN with payloads and subnormals.
    array = np.frombuffer(np.random.default_rng(0).bytes(size), dtype).reshape(shape)
    write_file(path, {"a": array, "b": np.ones(2)}, {})
    arrays, description = read_file(path)
    assert description == {}
    assert_same(arrays, {"a": array, "b": np.ones(2)})


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_comes_back(path, dtype):
    array = np.arange(24).astype(dtype).reshape(4, 6)
    read_only = array.copy()
    read_only.setflags(write=False)
    layouts = {
        "plain": array,
        "fortran": np.asfortranarray(array),
        "strided": np.repeat(array, 2, axis=1)[:, ::2],
        "reversed": array[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": read_only,
        "swapped": array.astype(array.dtype.newbyteorder(">")),
        "little": array.astype(array.dtype.newbyteorder("<")),
        "broadcast": np.broadcast_to(array[:1], (4, 6)),
    }
    before = {name: a.copy() for name, a in layouts.items()}
    write_file(path, layouts, {})
    expected = dict.fromkeys(layouts, array)
    expected["broadcast"] = np.repeat(array[:1], 4, axis=0)
    assert_same(read_file(path)[0], expected)
    for name, a in layouts.items():
        np.testing.assert_array_equal(a, before[name])


def test_arrays_that_are_read_share_nothing(path):
    write_file(path, {"a": np.zeros(3), "b": np.zeros(3)}, {})
    first, second = read_file(path)[0], read_file(path)[0]
    first["a"][:] = 7
    assert not first["b"].any()
    assert not second["a"].any()


def test_no_arrays(path):
    write_file(path, {}, {"a": 1})
    assert read_file(path) == ({}, {"a": 1})


@pytest.mark.parametrize("name", ["", " ", "a.b/c", "é", "\U0001f600", '\0\n\x7f"\\', "x" * 10000])
def test_names_come_back(path, name):
    write_file(path, {name: np.ones(2)}, {name: name})
    arrays, description = read_file(path)
    assert_same(arrays, {name: np.ones(2)})
    assert description == {name: name}


VALUES = [
    None, True, False, 0, 1, -1, 2**63, 2**256 - 1, -(2**256) + 1, 0.0, 1.0, 0.1, 5e-324,
    sys.float_info.max, "", "\ud800", "\u2028", [], {}, [[]], {"": {"a": [1, "b", None, 2.5]}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_description_comes_back(path, value):
    write_file(path, {}, {"value": value})
    got = read_file(path)[1]["value"]
    assert got == value
    assert type(got) is type(value)


def test_description_keeps_the_sign_of_zero(path):
    write_file(path, {}, {"value": -0.0})
    assert np.signbit(read_file(path)[1]["value"])


def test_numbers_of_numpy_that_are_python_floats(path):
    write_file(path, {}, {"lr": np.float64(0.1)})
    assert repr(read_file(path)[1]) == "{'lr': 0.1}"


def test_deepest_description(path):
    value = 1
    for _ in range(63):
        value = [value]
    write_file(path, {}, {"value": value})
    assert read_file(path)[1] == {"value": value}


def test_same_content_gives_same_bytes(path, written):
    # Several times, for safetensors orders metadata by a hash that is seeded for each call.
    for _ in range(10):
        write_file(path, dict(reversed(ARRAYS.items())), dict(reversed(DESCRIPTION.items())))
        assert path.read_bytes() == written


def test_other_readers_of_safetensors_can_read_it(path, written):
    with safe_open(path, framework="np") as file:
        assert_same({n: file.get_tensor(n).copy() for n in sorted(ARRAYS)}, ARRAYS)
        metadata = file.metadata()
    assert metadata == metadata_of(dumps(DESCRIPTION), ARRAYS)


def test_data_is_aligned(written):
    assert int.from_bytes(written[:8], "little") % 8 == 0


# What the writer refuses. Nothing may be written then.


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (float("nan"), ValueError, r"description\['a'\]\[1\] must be finite; got nan"),
        (float("inf"), ValueError, "must be finite; got inf"),
        (-float("inf"), ValueError, "must be finite; got -inf"),
        (np.float64("nan"), ValueError, "must be finite"),
        (2**256, ValueError, "at most 256 bits; got one of 257 bits"),
        (-(2**256), ValueError, "at most 256 bits"),
        pytest.param(10**5000, ValueError, "at most 256 bits", id="huge"),
        ((1, 2), TypeError, r"description\['a'\]\[1\] must be a dict.*got tuple"),
        ({1: 2}, TypeError, r"description\['a'\]\[1\] must have str keys; got 1"),
        ({"b": {None: 2}}, TypeError, r"\['b'\] must have str keys; got None"),
        (np.float32(1), TypeError, "got float32"),
        (np.int64(1), TypeError, "got int64"),
        (np.ones(2), TypeError, "got ndarray"),
        (b"x", TypeError, "got bytes"),
        (1j, TypeError, "got complex"),
        ({1}, TypeError, "got set"),
        (object(), TypeError, "got object"),
    ],
)
def test_descriptions_refused(path, value, error, match):
    with pytest.raises(error, match=match):
        write_file(path, OTHER, {"a": [0, value]})
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("depth", [64, 100_000])
def test_description_nested_too_deep(path, depth):
    value = []
    for _ in range(depth):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        write_file(path, OTHER, {"value": value})


def test_description_that_contains_itself(path):
    description = {}
    description["self"] = description
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        write_file(path, OTHER, description)


def test_description_too_long(path, monkeypatch):
    write_file(path, {}, {"text": "x" * 10000})
    old = path.read_bytes()
    length = int.from_bytes(old[:8], "little")
    monkeypatch.setattr(storage, "_MAX_HEADER", length)
    write_file(path, {}, {"text": "y" * 10000})
    assert read_file(path)[1] == {"text": "y" * 10000}
    monkeypatch.setattr(storage, "_MAX_HEADER", length - 1)
    assert refusal(path).startswith("it is no safetensors file, or its header is longer")
    with pytest.raises(ValueError, match=rf"must fit into {length - 1} bytes .* got {length}"):
        write_file(path, {}, {"text": "z" * 10000})
    assert b"y" * 10000 in path.read_bytes()


@pytest.mark.parametrize(
    "dtype",
    ["float16", "longdouble", "int8", "int32", "uint64", "bool", "complex64", "U3", "S3", "O",
     "M8[s]", "f4,f4", np.dtypes.StringDType()],
)  # fmt: skip
def test_other_dtypes_are_refused(path, dtype):
    with pytest.raises(TypeError, match=r"arrays\['w'\] must have dtype float32, float64, int64"):
        write_file(path, {"w": np.zeros(2, dtype)}, {})
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("arrays", "error", "match"),
    [
        ({"w": [1.0]}, TypeError, r"arrays\['w'\] must be a NumPy array; got list"),
        ({"w": np.float32(1)}, TypeError, r"arrays\['w'\] must be a NumPy array; got float32"),
        ({1: np.ones(2)}, TypeError, "arrays must have str names; got 1"),
        ({"__metadata__": np.ones(2)}, ValueError, "__metadata__"),
        ({"\ud800": np.ones(2)}, ValueError, "UTF-8"),
    ],
)
def test_arrays_refused(path, arrays, error, match):
    with pytest.raises(error, match=match):
        write_file(path, arrays, {})
    assert os.listdir(path.parent) == []


# Where it writes.


@pytest.fixture
def umask():
    old = os.umask(0o027)
    yield
    os.umask(old)


@pytest.mark.usefixtures("umask")
def test_new_file_gets_the_permissions_of_open(path):
    path.with_name("plain").touch()
    write_file(path, ARRAYS, DESCRIPTION)
    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == stat.S_IMODE(path.with_name("plain").stat().st_mode) == 0o640


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o777])
def test_replaced_file_keeps_its_permissions(path, mode):
    path.touch()
    path.chmod(mode)
    write_file(path, ARRAYS, DESCRIPTION)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert_same(read_file(path)[0], ARRAYS)


def test_private_file_is_private_from_the_first_moment(path, monkeypatch):
    path.touch()
    path.chmod(0o600)
    modes = []
    system_open = os.open

    def recorded_open(name, flags, *arguments, **options):
        descriptor = system_open(name, flags, *arguments, **options)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", recorded_open)
    write_file(path, ARRAYS, DESCRIPTION)
    assert modes == [0o600]


def test_protected_file_is_not_replaced(path, written, monkeypatch):
    # Simulated, for the tests may run as the superuser, who may write to any file.
    system_open = os.open

    def protected_open(name, flags, *arguments, **options):
        if name == str(path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return system_open(name, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", protected_open)
    with pytest.raises(PermissionError) as info:
        write_file(path, OTHER, {})
    assert info.value.filename == str(path)
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == [path.name]


def test_symbolic_link_is_followed(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    for content in (ARRAYS, OTHER):  # first dangling, then not
        write_file(link, content, {})
        assert link.is_symlink()
        assert_same(read_file(path)[0], content)
    assert sorted(os.listdir(tmp_path)) == ["link", path.name]


def test_longest_name(path):
    long = path.with_name("é" * 127)
    write_file(long, ARRAYS, {})
    assert_same(read_file(long)[0], ARRAYS)


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("model", ARRAYS, {})
    assert_same(read_file("model")[0], ARRAYS)
    assert os.listdir() == ["model"]


def test_missing_folder_is_named(tmp_path):
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as info:
        write_file(path, ARRAYS, {})
    assert info.value.filename == str(path)


def test_folder_is_not_a_file(tmp_path):
    for action in (lambda: write_file(tmp_path, ARRAYS, {}), lambda: read_file(tmp_path)):
        with pytest.raises(IsADirectoryError) as info:
            action()
        assert info.value.filename == str(tmp_path)
    assert os.listdir(tmp_path) == []


def test_missing_file(path):
    with pytest.raises(FileNotFoundError) as info:
        read_file(path)
    assert info.value.filename == str(path)


@pytest.mark.parametrize("action", [lambda: read_file(0), lambda: write_file(0, ARRAYS, {})])
def test_file_descriptor_is_no_path(action):
    with pytest.raises(TypeError):
        action()


# Named pipes stand for everything that is no regular file. Not devices: the tests may run as the
# superuser, and a writer that is broken would replace them for the whole machine.


def outcome(action, *arguments):
    """What `action` raises, or "waits" if it waits for the other end of a pipe."""
    raised = ["waits"]

    def run():
        try:
            action(*arguments)
            raised[0] = None
        except Exception as error:
            raised[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    return raised[0]


def test_pipe_is_not_read(path):
    os.mkfifo(path)
    error = outcome(read_file, path)
    assert isinstance(error, CorruptFileError)
    assert str(error) == f"{str(path)!r} is not a readable fastnn file: it is no regular file."


@pytest.mark.parametrize("has_reader", [False, True])
def test_pipe_is_not_replaced(path, has_reader):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if has_reader else None
    try:
        error = outcome(write_file, path, ARRAYS, {})
    finally:
        if reader is not None:
            os.close(reader)
    if has_reader:
        assert isinstance(error, ValueError)
        assert isinstance(error, OSError)
        assert str(error).startswith("path must name a regular file; got the device or pipe ")
    else:
        assert isinstance(error, OSError)
        assert error.errno == errno.ENXIO
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(path.parent) == [path.name]


# Failing disks and interrupts.


class FaultyFile(io.BufferedWriter):
    """A file whose calls are counted, and fail when their number comes up."""

    def __init__(self, raw, count):
        super().__init__(raw)
        self.count = count

    def write(self, data):
        return self.count("write", super().write, data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        # Closing flushes once more; that call comes after the sync and is no point of its own.
        return super().flush() if self.closed else self.count("flush", super().flush)


class Faults:
    """Counts the calls that touch the disk; call number `at` raises `error`."""

    def __init__(self, monkeypatch, at, error, after):
        self.at, self.error, self.after = at, error, after
        self.calls = []
        for name in ("fsync", "replace", "chmod"):
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))
        monkeypatch.setattr(files, "open", self.open, raising=False)

    def wrap(self, name, function):
        return lambda *arguments: self.count(name, function, *arguments)

    def open(self, path, mode, **options):
        raw = self.count("open", partial(io.FileIO, path, mode.rstrip("b"), **options))
        return FaultyFile(raw, self.count)

    def count(self, name, function, *arguments):
        self.calls.append(name)
        if len(self.calls) - 1 != self.at:
            return function(*arguments)
        if self.after:
            result = function(*arguments)
            if name == "open":
                result.close()  # as the collector would, but without its warning
        raise self.error


def disk_full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def save_with_fault(path, at, error, after):
    """Save over `path` with a fault at call number `at`; return the calls and what was raised."""
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, at, error, after)
        try:
            write_file(path, OTHER, {})
        except BaseException as raised:
            return faults.calls, raised
        return faults.calls, None


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("make_error", [disk_full, KeyboardInterrupt, MemoryError])
@pytest.mark.usefixtures("umask")
def test_fault_at_every_call(tmp_path, exists, after, make_error):
    path = tmp_path / "model"
    write_file(path, OTHER, {})
    new = path.read_bytes()
    write_file(path, ARRAYS, DESCRIPTION)
    path.chmod(0o666)  # more than the umask gives, so that the mode has to be set too
    old = path.read_bytes()
    for at in itertools.count():
        if exists:
            path.write_bytes(old)
        else:
            path.unlink(missing_ok=True)
        error = make_error()
        calls, raised = save_with_fault(path, at, error, after)
        content = path.read_bytes() if path.exists() else None
        assert os.listdir(tmp_path) == ([] if content is None else ["model"])
        if len(calls) <= at:
            assert raised is None
            assert content == new
            break
        renamed = "replace" in calls[:at] or (after and calls[at] == "replace")
        assert content == (new if renamed else old if exists else None)
        if make_error is disk_full and "replace" in calls[:at]:
            assert raised is None
        else:
            assert raised is error
            if make_error is disk_full:
                assert "No space left on device" in str(raised)
                assert str(path) in str(raised)
    expected = ["open", "chmod", "write", "write", "write", "flush", "fsync", "replace", "fsync"]
    if not exists:
        expected.remove("chmod")
    assert [call for call in calls if call != "flush"] == [c for c in expected if c != "flush"]
    assert "flush" in calls[calls.index("write") : calls.index("fsync")]


def test_disk_that_fills_up_at_every_byte(path, written):
    """The kernel itself cuts the file off: no call is simulated."""
    arrays = {"a": np.arange(40.0)}
    write_file(path, arrays, {})
    size = path.stat().st_size
    path.write_bytes(written)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(size + 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            write_file(path, arrays, {})
            error = None
        except OSError as raised:
            error = raised
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert os.listdir(path.parent) == [path.name]
        if limit < size:
            assert error is not None
            assert error.errno == errno.EFBIG
            assert error.filename == str(path)
            assert path.read_bytes() == written
    assert error is None
    assert_same(read_file(path)[0], arrays)


def test_content_is_synced_before_it_is_renamed_and_the_folder_after(path, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(descriptor):
        status = os.fstat(descriptor)
        folder = stat.S_ISDIR(status.st_mode)
        events.append("sync folder" if folder else f"sync {status.st_size} bytes")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", lambda *a: (events.append("replace"), replace(*a)))
    write_file(path, ARRAYS, DESCRIPTION)
    assert events == [f"sync {path.stat().st_size} bytes", "replace", "sync folder"]


def test_temporary_file_of_someone_else_is_left_alone(path, monkeypatch):
    monkeypatch.setattr(os, "urandom", bytes)
    other = path.with_name(f".{path.name}.{'0' * 16}.tmp")
    other.write_text("theirs")
    with pytest.raises(FileExistsError):
        write_file(path, ARRAYS, {})
    assert other.read_text() == "theirs"
    assert not path.exists()


def test_no_descriptor_is_left_open(path, tmp_path):
    def everything():
        write_file(path, ARRAYS, {})
        read_file(path)
        damaged = tmp_path / "damaged"
        damaged.write_bytes(path.read_bytes()[:-1])
        refusal(damaged)
        save_with_fault(path, 1, disk_full(), False)

    everything()  # what stays open after the first time, an import for one, does not count
    before = os.listdir("/dev/fd")
    everything()
    assert os.listdir("/dev/fd") == before


# Damaged and hostile files. `test_forged_file_is_read` shows that the others are refused for what
# is wrong in them, and not because the forger does not know the format.


def test_forged_file_is_read(path):
    path.write_bytes(forge(ARRAYS, DESCRIPTION))
    arrays, description = read_file(path)
    assert_same(arrays, ARRAYS)
    assert description == DESCRIPTION


def test_error_is_one_of_fastnn():
    assert issubclass(CorruptFileError, FastnnError)


def test_no_byte_can_change_unnoticed(path, small):
    for position, byte in enumerate(small):
        changes = {byte ^ 1 << bit for bit in range(8)} | {byte ^ 0xFF} | set(b' \n"0')
        for change in changes - {byte}:
            path.write_bytes(small[:position] + bytes([change]) + small[position + 1 :])
            refusal(path)


@pytest.mark.parametrize("length", [1, 8])
def test_no_piece_can_be_missing_or_there_twice_or_mirrored(path, small, length):
    for position in range(len(small)):
        head, tail = small[:position], small[position + length :]
        piece = small[position : position + length]
        for change in (b"", piece * 2, piece[::-1]):
            if change != piece:
                path.write_bytes(head + change + tail)
                refusal(path)


def test_every_truncation_is_refused(path, written):
    for length in range(len(written)):
        path.write_bytes(written[:length])
        refusal(path)


@pytest.mark.parametrize("rest", [b"\0", b" ", b"\n", b"PK\x05\x06", b"\0" * 4096])
def test_trailing_bytes_are_refused(path, written, rest):
    path.write_bytes(written + rest)
    assert refusal(path).startswith("safetensors cannot parse it")


@pytest.mark.parametrize("length", [0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**32, 2**63, 2**64 - 1])
def test_claims_of_the_header_length_allocate_nothing(path, written, length):
    path.write_bytes(struct.pack("<Q", length) + written[8:])
    refusal(path)  # what is allocated once, the first time, does not count
    tracemalloc.start()
    try:
        refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has 0 bytes, too few"),
        (b"\x80\x04K\x01.", "it has 5 bytes, too few"),
        (b"\x80\x04\x95\x10\0\0\0\0" + b"\0" * 16, "it is no safetensors file"),
        (b"PK\x03\x04" + b"\0" * 60, "it is no safetensors file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 60, "it is no safetensors file"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", "it is no safetensors file"),
        (struct.pack("<Q", 100) + b"{}", "it is truncated within its header of 100 bytes"),
        (struct.pack("<Q", 0), "its header is not valid JSON"),
        (frame(b"not JSON"), "its header is not valid JSON"),
        (frame(b'{"\xff": 1}'), "its header is not valid JSON"),
        (frame('{"a": 1}'.encode("utf-16-le")), "its header is not valid JSON"),
        (frame(b'\xef\xbb\xbf{"a":1}'), "its header is not valid JSON"),
        (frame(b'{"a":NaN}'), "its header is not valid JSON (NaN is no JSON)"),
        (frame(b'{"a":-Infinity}'), "its header is not valid JSON (-Infinity"),
        (frame(b'{"a":1e999}'), "its header is not valid JSON"),
        (frame(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "its header is not valid JSON"),
        (frame(b"[" * 100_000 + b"]" * 100_000), "its header is not valid JSON"),
        (frame(b"[" * 1_000_000), "its header is not valid JSON"),
        (
            frame(b'{"a":' + b"9" * 1_000_000 + b"}"),
            "its header is not valid JSON (an integer of 1000000 characters)",
        ),
        (frame([]), "it is a safetensors file without metadata"),
        (frame(5), "it is a safetensors file without metadata"),
        (frame("__metadata__"), "it is a safetensors file without metadata"),
        (frame({}), "it is a safetensors file without metadata"),
        (frame({"a": entry(0, 1)}, b"1"), "it is a safetensors file without metadata"),
        (frame({"__metadata__": []}), "it is a safetensors file without metadata"),
        (frame({"__metadata__": {}}), "it is a safetensors file that fastnn did not write"),
        (frame({"__metadata__": {"format": "pt"}}), "it is a safetensors file that fastnn did"),
        (frame({"__metadata__": {"format": ["fastnn"]}}), "it is a safetensors file that fastnn"),
        (frame({"__metadata__": {"format": "fastnn"}}), "its format_version is not a positive"),
        (forge(format_version="0"), "its format_version is not a positive integer"),
        (forge(format_version="01"), "its format_version is not a positive integer"),
        (forge(format_version=" 1"), "its format_version is not a positive integer"),
        (forge(format_version="1.0"), "its format_version is not a positive integer"),
        (forge(format_version="²"), "its format_version is not a positive integer"),
        (forge(format_version=1), "its format_version is not a positive integer"),
        (forge(format_version="9" * 10_000), "its format_version is not a positive integer"),
        (forge(format_version="2"), "it was written by a newer fastnn (file format 2, this one"),
        (
            # All but the version may look different then.
            frame(b'{ "__metadata__" : {"format":"fastnn", "format_version":"10", "x":[1]}}'),
            "it was written by a newer fastnn (file format 10, this one reads up to 1); upgrade",
        ),
        (forge(more="x"), "its metadata must have the entries description, format, format_ver"),
        (forge(sha256=None), "its metadata holds something that is not a string"),
        (forge(sha256=""), "its content does not match its SHA-256"),
        (forge(sha256="0" * 64), "its content does not match its SHA-256"),
        (forge(description={"a": 1}, sha256=digest("{}", {})), "its content does not match"),
        (forge(description="text"), "its description is not a JSON object"),
        (forge(description=[]), "its description is not a JSON object"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_hostile_headers(path, data, reason):
    path.write_bytes(data)
    assert refusal(path).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "nul", "{}{}", "{} ", '{"a": 1}', '{"b":1,"a":2}', '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":1e999}', '{"a":1E2}', '{"a":01}',
        '{"a":-0}', '{"a":"é"}', '{"a":"\\u0041"}', '{"a":"\t"}', "{'a':1}", "__import__('os')",
        '{"a":' + "9" * 79 + "}", '{"a":' + "9" * 78 + "}", '{"a":-' + "9" * 1_000_000 + "}",
        '{"a":' + "[" * 65 + "]" * 65 + "}", '{"a":' + "[" * 10**5 + "]" * 10**5 + "}",
        "[" * 10**6, '{"a":' * 10**5 + "1" + "}" * 10**5,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_hostile_descriptions(path, text):
    path.write_bytes(forge_text(text))
    assert refusal(path).startswith("its description is not ")


DATA = b"1234"
INNER = dumps(entry(0, 4)).encode()


@pytest.mark.parametrize(
    ("entries", "data", "reason"),
    [
        ({"a": entry(0, 4), "b": entry(2, 6)}, b"123456", "safetensors cannot parse"),  # overlap
        ({"a": entry(0, 4), "b": entry(0, 4)}, DATA, "safetensors cannot parse"),  # the same twice
        ({"a": entry(0, 3), "b": entry(4, 6)}, b"123456", "safetensors cannot parse"),  # gap
        ({"a": entry(1, 4)}, DATA, "safetensors cannot parse"),  # gap in front
        ({"a": entry(0, 3)}, DATA, "safetensors cannot parse"),  # rest
        ({"a": entry(0, 5)}, DATA, "safetensors cannot parse"),  # past the end
        ({"a": entry(0, 2**40)}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 2**63)}, DATA, "safetensors cannot parse"),
        ({"a": entry(4, 0, [4])}, DATA, "safetensors cannot parse"),
        ({"a": entry(-4, 0, [4])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4), "z": entry(2, 2)}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [5])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [-4])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [-2, -2])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [4.0])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, ["4"])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [True])}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, None)} | {"b": None}, DATA, "the entry of array 'b' must be"),
        ({"a": entry(0, 4, [2**62, 2**62])}, DATA, "safetensors cannot parse"),  # product wraps
        ({"a": entry(0, 0, [2**63, 4, 0])}, b"", "safetensors cannot parse"),
        ({"a": entry(0, 0, [0, 2**64])}, b"", "safetensors cannot parse"),
        ({"a": entry(0, 0, [0, 2**63])}, b"", "array 'a' has an impossible shape"),
        ({"a": entry(0, 0, [0, 2**40, 2**40], "F32")}, b"", "array 'a' has an impossible shape"),
        ({"a": entry(0, 4, [4] + [1] * 64)}, DATA, "array 'a' has an impossible shape"),
        ({"a": entry(0, 4, [2], "F16")}, DATA, "array 'a' is F16, not float32, float64"),
        ({"a": entry(0, 4, [2], "BF16")}, DATA, "array 'a' is BF16, not"),
        ({"a": entry(0, 4, [4], "BOOL")}, DATA, "array 'a' is BOOL, not"),
        ({"a": entry(0, 4, [4], "I8")}, DATA, "array 'a' is I8, not"),
        ({"a": entry(0, 4, [1], "I32")}, DATA, "array 'a' is I32, not"),
        ({"a": entry(0, 4, [4], "O")}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [4], "object")}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [4], None)}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [4], "u1")}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4, [4], "\x1b[31m\r\n")}, DATA, "safetensors cannot parse"),
        ({"\x1b[31m\r\n": entry(0, 4, [4], "I8")}, DATA, "array '\\x1b[31m\\r\\n' is I8"),
        ({"a" * 10_000: entry(0, 4, [4], "I8")}, DATA, "array 'aaaa"),
        ({"a" * 10_000: entry(0, 4, [4], "Q" * 10_000)}, DATA, "safetensors cannot parse"),
        ({"\ud800": entry(0, 4)}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4) | {"more": "x"}}, DATA, "the entry of array 'a' must be dtype, shape"),
        ({"a": {"dtype": "U8", "shape": [4]}}, DATA, "the entry of array 'a' must be dtype"),
        ({"a": ["U8", [4], [0, 4]]}, DATA, "the entry of array 'a' must be dtype"),
        ({"a": entry(0, 4) | {"data_offsets": [0]}}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4) | {"data_offsets": [0, 4, 4]}}, DATA, "safetensors cannot parse"),
        ({"a": entry(0, 4) | {"data_offsets": {"0": 0}}}, DATA, "safetensors cannot parse"),
        ({"b": entry(0, 4)}, b"\0\1\2\3", "its content does not match its SHA-256"),  # renamed
        ({"a": entry(0, 4, [2, 2])}, b"\0\1\2\3", "its content does not match its SHA-256"),
        ({"a": entry(0, 4, [1], "F32")}, b"\0\1\2\3", "its content does not match its SHA-256"),
        ({}, b"", "its content does not match its SHA-256"),
        ({"a": entry(0, 4), "z": entry(4, 4)}, b"\0\1\2\3", "its content does not match"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_hostile_entries(path, entries, data, reason):
    path.write_bytes(forge(entries=entries, data=data))
    assert refusal(path).startswith(reason)


def spelled(change):
    """A valid file with its header spelled in another way that means the same to most readers."""
    data = forge()
    length = int.from_bytes(data[:8], "little")
    return frame(change(data[8 : 8 + length].rstrip()), data[8 + length :], pad=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h,  # no padding
        lambda h: h + b" " * (8 - len(h) % 8) + b" " * 8,  # too much of it
        lambda h: h + b"\n" * (-len(h) % 8),
        lambda h: b" " + h + b" " * (-(len(h) + 1) % 8),
        lambda h: json.dumps(json.loads(h)).encode(),  # spaces
        lambda h: dumps(dict(reversed(json.loads(h).items()))).replace('"a"', r'"\u0061"').encode(),
        lambda h: h[:-1] + b',"a":' + INNER + b"}",  # the same array twice
        lambda h: h[:1] + b'"a":' + INNER + b"," + h[1:],
        lambda h: h.replace(b'"dtype":"U8"', b'"dtype":"U8","dtype":"U8"'),
        lambda h: h.replace(b'"format":"fastnn"', b'"format":"fastnn","format":"fastnn"'),
        lambda h: h.replace(b'"format":', b'"format":"pt","format":'),
        lambda h: h.replace(b'{"__metadata__":', b'{"__metadata__":{},"__metadata__":'),
    ],
)
def test_any_other_spelling_of_the_header_is_refused(path, change):
    data = spelled(change)
    assert data != forge()
    path.write_bytes(data)
    assert refusal(path).startswith("its header is not spelled as fastnn spells it")


def test_many_hostile_parts_take_no_long_time(path):
    # Names and lists of one file must not multiply.
    header = b'{"' + b"k" * 2**20 + b'":[' + b"0," * 2**20 + b"0]}"
    path.write_bytes(frame(header))
    refusal(path)
    path.write_bytes(forge_text(header.decode()[:-1] + ',"z":1}'))
    assert read_file(path)[1]["z"] == 1


def test_reading_runs_no_pickle(path, written, monkeypatch):
    import pickle

    def refuse(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_same(read_file(path)[0], ARRAYS)


# Fuzzing. The same examples on every run; failures print what is needed to build the file.

fuzz = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzz
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(path, data):
    path.write_bytes(data)
    refusal(path)


@fuzz
@given(header=st.binary(max_size=300), data=st.binary(max_size=20))
def test_random_headers_are_refused(path, header, data):
    path.write_bytes(frame(header, data))
    refusal(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**256) + 1, 2**256 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)
ENTRIES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "I64", "U8", "F16", "BOOL", "X"]),
            "shape": st.lists(st.integers(-1, 4) | st.sampled_from([2**32, 2**63]), max_size=3),
            "data_offsets": st.lists(st.integers(-1, 16), min_size=2, max_size=2),
        }
    )
    | JSON,
    max_size=3,
)


@fuzz
@given(entries=ENTRIES, data=st.binary(max_size=16))
def test_random_entries_are_refused(path, entries, data):
    # The digest is of another array, so whatever gets as far as that is refused too.
    path.write_bytes(forge({"other": np.ones(9)}, entries=entries, data=data))
    refusal(path)


@fuzz
@given(st.data())
def test_mutated_files_are_refused(path, data):
    write_file(path, ARRAYS, DESCRIPTION)
    content = bytearray(path.read_bytes())
    original = bytes(content)
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 40)))
        content[begin:end] = data.draw(
            st.binary(max_size=20)
            | st.sampled_from([b"0", b"9", b"{}", b"null", b'"a":', b",", b"-1", original[:50]])
        )
    if bytes(content) != original:
        path.write_bytes(content)
        refusal(path)


@fuzz
@given(
    arrays=st.dictionaries(
        st.text(max_size=5).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=4)),
        max_size=4,
    ),
    description=st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_is_written_is_read(path, arrays, description, seed):
    rng = np.random.default_rng(seed)
    arrays = {
        name: np.frombuffer(
            rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype
        ).reshape(shape)
        for name, (dtype, shape) in arrays.items()
    }
    write_file(path, arrays, description)
    got, got_description = read_file(path)
    assert_same(got, arrays)
    assert repr(got_description) == repr(json.loads(dumps(description)))
