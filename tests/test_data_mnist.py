"""MNIST's loader, on a small set of the same form and, where it is at hand, on MNIST itself."""

import gzip
import hashlib
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import fetch, load_mnist, mnist
from fastnn.errors import CorruptFileError, FastnnError

NAMES = tuple(file.name for file in mnist.MNIST[2:])
SHAPES = ((7, 4, 4), (7,), (3, 4, 4), (3,))


def encode(array):
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def make_arrays():
    rng = np.random.default_rng(0)
    tops = (256, 10, 256, 10)
    arrays = [
        rng.integers(0, top, shape, np.uint8) for top, shape in zip(tops, SHAPES, strict=True)
    ]
    arrays[0][0, 0, :2] = 0, 255
    return dict(zip(NAMES, arrays, strict=True))


ARRAYS = make_arrays()
UNPACKED = {name: encode(array) for name, array in ARRAYS.items()}
PACKED = {name: gzip.compress(data) for name, data in UNPACKED.items()}
SMALL = mnist.IdxDataset(
    "mnist",
    10,
    *(
        mnist.IdxFile(name, array.shape, hashlib.sha256(UNPACKED[name]).hexdigest())
        for name, array in ARRAYS.items()
    ),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, no FASTNN_DATA, and no proxy between the test and its server."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FASTNN_CACHE", str(folder))
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return folder


def load(mirrors=(), normalize=True, flatten=True, one_hot_label=False):
    return mnist.load_dataset(SMALL, normalize, flatten, one_hot_label, mirrors=mirrors)


def assert_small(loaded):
    (x_train, t_train), (x_test, t_test) = loaded
    for got, name in zip((x_train, t_train, x_test, t_test), NAMES, strict=True):
        array = ARRAYS[name]
        if array.ndim == 3:
            np.testing.assert_array_equal(
                got, (array / 255).astype(np.float32).reshape(len(array), -1), strict=True
            )
        else:
            np.testing.assert_array_equal(got, array.astype(np.int64), strict=True)


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# A folder of the user's own.


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, data in PACKED.items():
        (folder / f"{name}.gz").write_bytes(data)
    monkeypatch.setenv("FASTNN_DATA", str(folder.parent))
    return folder


def test_own_folder_packed_unpacked_or_mixed(own, cache):
    assert_small(load())
    for name in NAMES[:2]:
        (own / f"{name}.gz").unlink()
        (own / name).write_bytes(UNPACKED[name])
    assert_small(load())
    assert not cache.exists()


def test_forms(own):
    (images, labels), _ = load(normalize=False, flatten=False, one_hot_label=True)
    assert images.shape == (7, 1, 4, 4)
    np.testing.assert_array_equal(images[:, 0], ARRAYS[NAMES[0]])
    assert images.dtype == np.uint8
    assert images.flags.writeable
    np.testing.assert_array_equal(labels, np.eye(10, dtype=np.float32)[ARRAYS[NAMES[1]]])
    assert labels.dtype == np.float32
    (x, t), _ = load()
    assert x.min() == 0
    assert x.max() == 1
    assert t.shape == (7,)
    assert load(normalize=False)[0][0].shape == (7, 16)
    assert load(flatten=False)[0][0].dtype == np.float32


def test_own_folder_may_hold_other_data_of_the_same_form(own):
    other = 255 - ARRAYS[NAMES[0]]
    (own / f"{NAMES[0]}.gz").write_bytes(gzip.compress(encode(other)))
    np.testing.assert_array_equal(load(normalize=False, flatten=False)[0][0][:, 0], other)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (NAMES[0], np.zeros((7, 4, 5), np.uint8), r"shape \(7, 4, 5\), expected.*\(7, 4, 4\)"),
        (NAMES[0], np.zeros((6, 4, 4), np.uint8), r"shape \(6, 4, 4\)"),
        (NAMES[1], np.zeros(3, np.uint8), r"shape \(3,\)"),
        (NAMES[3], np.array([0, 10, 1], np.uint8), "the label 10;.* from 0 to 9"),
    ],
)
def test_own_folder_of_another_form_is_refused(own, name, array, message):
    path = own / f"{name}.gz"
    path.write_bytes(gzip.compress(encode(array)))
    with pytest.raises(CorruptFileError, match=message) as caught:
        load()
    assert str(path) in str(caught.value)


def test_own_folder_with_values_of_another_type_is_refused(own):
    data = bytearray(UNPACKED[NAMES[3]])
    data[2] = 0x09
    (own / f"{NAMES[3]}.gz").write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(CorruptFileError, match="int8 values"):
        load()


def test_truncated_file_in_own_folder_is_refused(own):
    (own / f"{NAMES[2]}.gz").write_bytes(PACKED[NAMES[2]][:-9])
    with pytest.raises(CorruptFileError, match=NAMES[2]):
        load()


def test_incomplete_own_folder_is_refused(own):
    (own / f"{NAMES[3]}.gz").unlink()
    with pytest.raises(FastnnError, match=f"lacks {NAMES[3]}.*FASTNN_DATA"):
        load()


def test_own_folder_of_the_wrong_size_is_not_mnist(own):
    with pytest.raises(CorruptFileError, match=r"expected uint8 and \(60000, 28, 28\)"):
        load_mnist()


# The cache.


def fill(cache):
    folder = cache / "mnist"
    folder.mkdir(parents=True)
    for name, data in UNPACKED.items():
        (folder / name).write_bytes(data)
    return folder


def test_whole_cache_needs_neither_pooch_nor_network(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    fill(cache)
    assert_small(load())


def test_data_folder_without_mnist_leads_to_the_cache(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    fill(cache)
    assert_small(load())


def test_missing_pooch_names_the_extra_and_the_way_without(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pooch.*fastnn\[demo\]") as caught:
        load()
    assert "FASTNN_DATA" in str(caught.value)
    assert not cache.exists()


def test_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("FASTNN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert fetch.cache_dir() == tmp_path / ".cache" / "fastnn"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert fetch.cache_dir() == tmp_path / ".cache" / "fastnn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetch.cache_dir() == tmp_path / "xdg" / "fastnn"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fetch.cache_dir() == tmp_path / "Library" / "Caches" / "fastnn"
    monkeypatch.setattr(sys, "platform", "win32")
    assert fetch.cache_dir() == tmp_path / "AppData" / "Local" / "fastnn" / "Cache"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert fetch.cache_dir() == tmp_path / "local" / "fastnn" / "Cache"
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "chosen"))
    assert fetch.cache_dir() == tmp_path / "chosen"


@pytest.mark.parametrize("variable", ["FASTNN_DATA", "FASTNN_CACHE"])
def test_home_of_nobody_is_refused(variable, monkeypatch):
    monkeypatch.setenv(variable, "~nobody-of-this-name/data")
    with pytest.raises(FastnnError, match=f"{variable} is '~nobody-of-this-name/data'.*in full"):
        load()


def test_without_a_home_the_error_names_the_way_out(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    for name in ("FASTNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(FastnnError, match=r"no home folder.*FASTNN_CACHE"):
        load()


def test_mirrors_are_https():
    assert len(mnist.MIRRORS) > 1
    for mirror in mnist.MIRRORS:
        assert mirror.startswith("https://")
        assert mirror.endswith("/")


# The download, from a server on the loopback address.


class Server(ThreadingHTTPServer):
    """Serves `files`, path -> bytes or (status, headers, body), and counts the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def add(self, folder, packed=PACKED):
        self.files |= {f"/{folder}/{name}.gz": data for name, data in packed.items()}
        return f"{self.url}{folder}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        answer = self.server.files.get(self.path, (404, {}, b""))
        status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        # A client that hangs up early, as it should on too long a body, is no fault here.
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    pytest.importorskip("pooch")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_download_fills_the_cache_once(server, cache):
    mirror = server.add("good")
    assert_small(load([mirror]))
    assert files_below(cache) == sorted(NAMES)
    for name in NAMES:
        assert (cache / "mnist" / name).read_bytes() == UNPACKED[name]
    assert server.requests == [f"/good/{name}.gz" for name in NAMES]
    assert_small(load([mirror]))
    assert len(server.requests) == len(NAMES)


def test_other_packings_of_the_same_bytes_are_good(server):
    # Level 0 is longer than the data; a server may also unpack on the way.
    packed = {name: gzip.compress(data, 0) for name, data in UNPACKED.items()}
    packed[NAMES[1]] = UNPACKED[NAMES[1]]
    packed[NAMES[3]] = (200, {"Content-Encoding": "gzip"}, PACKED[NAMES[3]])
    assert_small(load([server.add("other", packed)]))


def altered(name):
    data = bytearray(UNPACKED[name])
    data[-1] ^= 1
    return gzip.compress(bytes(data))


BROKEN = {
    "wrong bytes": (altered(NAMES[0]), "SHA-256"),
    "too short": (gzip.compress(UNPACKED[NAMES[0]][:-1]), "SHA-256"),
    "too long": (gzip.compress(UNPACKED[NAMES[0]] + b"\0"), "SHA-256"),
    "a bomb": (gzip.compress(bytes(50_000_000)), "SHA-256"),
    "too large": (bytes(2_000_000), "more than"),
    "half a gzip file": (PACKED[NAMES[0]][:-20], "gzip"),
    "not gzip": (b"<html>Please log in</html>", "SHA-256"),
    "empty": (b"", "SHA-256"),
    "cut off": (
        (200, {"Content-Length": str(len(PACKED[NAMES[0]]))}, PACKED[NAMES[0]][:50]),
        "Error",
    ),
    "wrong length": ((200, {"Content-Length": "many"}, PACKED[NAMES[0]]), "Error"),
    "absent": ((404, {}, b""), "HTTP status 404"),
    "broken server": ((500, {}, b"oops"), "HTTP status 500"),
}


@pytest.mark.parametrize(("answer", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_download_leaves_nothing_and_says_why(server, cache, answer, reason):
    mirror = server.add("bad", PACKED | {NAMES[0]: answer})
    with pytest.raises(FastnnError, match=reason) as caught:
        load([mirror])
    message = str(caught.value)
    assert "\n" not in message
    assert f"{NAMES[0]} could not be downloaded" in message
    assert f"{mirror}{NAMES[0]}.gz" in message
    assert "FASTNN_DATA" in message
    assert caught.value.__cause__ is not None
    assert files_below(cache) == []


@pytest.mark.parametrize(("answer", "reason"), BROKEN.values(), ids=BROKEN)
def test_next_mirror_is_tried(server, cache, answer, reason):
    bad = server.add("bad", PACKED | {NAMES[0]: answer})
    good = server.add("good")
    assert_small(load([bad, good]))
    assert server.requests == [
        f"/bad/{NAMES[0]}.gz",
        f"/good/{NAMES[0]}.gz",
        *(f"/bad/{name}.gz" for name in NAMES[1:]),
    ]
    assert files_below(cache) == sorted(NAMES)


def test_broken_file_does_not_spoil_the_others(server, cache):
    with pytest.raises(FastnnError, match=NAMES[2]):
        load([server.add("bad", PACKED | {NAMES[2]: altered(NAMES[2])})])
    assert files_below(cache) == sorted(NAMES[:2])
    server.requests.clear()
    assert_small(load([server.add("good")]))
    assert server.requests == [f"/good/{name}.gz" for name in NAMES[2:]]


@pytest.mark.parametrize("length", [0, 20, None, 1000])
def test_tampered_cache_is_downloaded_again(server, cache, length):
    folder = fill(cache)
    data = bytearray(UNPACKED[NAMES[0]])
    data[30] ^= 0x80
    data = data if length is None else data.ljust(length, b"\0")[:length]
    (folder / NAMES[0]).write_bytes(data)
    assert_small(load([server.add("good")]))
    assert server.requests == [f"/good/{NAMES[0]}.gz"]
    assert (folder / NAMES[0]).read_bytes() == UNPACKED[NAMES[0]]
    assert files_below(cache) == sorted(NAMES)


def test_tampered_cache_that_cannot_be_replaced_is_refused(server, cache):
    folder = fill(cache)
    (folder / NAMES[1]).write_bytes(b"tampered")
    with pytest.raises(FastnnError, match=r"damaged.*HTTP status 404") as caught:
        load([server.url])
    assert str(folder / NAMES[1]) in str(caught.value)
    assert len(server.requests) == 1


def test_server_that_is_down(server, cache, tmp_path, monkeypatch):
    mirror = server.add("good")
    server.shutdown()
    server.server_close()
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    with pytest.raises(FastnnError, match="ConnectionError") as caught:
        load([mirror])
    message = str(caught.value)
    assert "no mnist folder" in message
    assert all(f"{name}.gz" in message for name in NAMES)
    assert not cache.exists()


def test_server_that_does_not_answer(server, cache, monkeypatch):
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.2)
    release = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: release.wait(10))
    try:
        with pytest.raises(FastnnError, match="ReadTimeout"):
            load([server.add("good")])
    finally:
        release.set()
    assert not cache.exists()


def test_cache_that_cannot_be_written(server, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(FastnnError, match=r"cannot be written.*FASTNN_CACHE"):
        load([server.add("good")])
    assert cache.read_text() == "a file where the folder should be"


def test_cached_file_that_cannot_be_read(cache):
    (cache / "mnist" / NAMES[0]).mkdir(parents=True)
    with pytest.raises(FastnnError, match=r"cannot be read.*FASTNN_CACHE"):
        load()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_interrupted_write_leaves_nothing(server, cache, monkeypatch, call, fault):
    def fail(*args):
        raise fault

    mirror = server.add("good")
    with monkeypatch.context() as patch:
        patch.setattr(fetch.os, call, fail)
        expected = FastnnError if isinstance(fault, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            load([mirror])
    assert files_below(cache) == []
    assert_small(load([mirror]))


# MNIST itself.


@pytest.fixture(scope="module")
def real_data():
    chosen = os.environ.get("FASTNN_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(chosen) if chosen else beside
    if not (root / "mnist").is_dir():
        pytest.skip("MNIST is not at hand: set FASTNN_DATA to a folder which has mnist/")
    return root


def test_real_mnist(real_data, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(real_data))
    (x_train, t_train), (x_test, t_test) = load_mnist()
    assert x_train.shape == (60_000, 784)
    assert x_test.shape == (10_000, 784)
    assert x_train.dtype == x_test.dtype == np.float32
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(t_train).sum() == 60_000
    # The mean and standard deviation that everybody subtracts and divides by.
    assert x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)
    assert x_train.std(dtype=np.float64) == pytest.approx(0.3081, abs=1e-4)


def test_real_mnist_passes_its_checksums(real_data, server, cache, monkeypatch):
    packed = {}
    for name in NAMES:
        path = real_data / "mnist" / f"{name}.gz"
        if path.is_file():
            packed[name] = path.read_bytes()
        else:
            packed[name] = (real_data / "mnist" / name).read_bytes()
    monkeypatch.setattr(mnist, "MIRRORS", (server.add("mnist", packed),))
    (x_train, _), (_, t_test) = load_mnist(normalize=False, flatten=False)
    assert x_train.shape == (60_000, 1, 28, 28)
    assert t_test.shape == (10_000,)
    assert files_below(cache) == sorted(NAMES)
