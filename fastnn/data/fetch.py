"""The cache of downloaded files.

A file of the cache is known by the SHA-256 of its unpacked bytes: a mirror may pack the same data
anew. It is stored unpacked, which loads faster, and gets its final name only when it is whole.
"""

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastnn.data.idx import unpack
from fastnn.errors import CorruptFileError, FastnnError, missing_extra
from fastnn.files import replace_file

_TIMEOUT = 30.0  # seconds, for the connection and between two pieces of the answer
_SLACK = 1 << 16  # a packed file may be this much longer than the unpacked one


class KnownFile(NamedTuple):
    """A file whose content is known: name, and size and SHA-256 of the unpacked bytes."""

    name: str
    n_bytes: int
    sha256: str


def folder_named_by(variable: str) -> Path | None:
    """Return the folder that an environment variable names, or None where it is not set.

    Raises
    ------
    FastnnError
        If it begins with ``~`` or ``~name``, and there is no such home.
    """
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        return Path(named).expanduser()
    except RuntimeError as exc:
        raise FastnnError(
            f"{variable} is {named!r}, which begins with a home folder that is not known. Write "
            "the path in full."
        ) from exc


def cache_dir() -> Path:
    """Return the folder for downloads: ``$FASTNN_CACHE``, or the user's cache of the platform.

    The latter is ``$XDG_CACHE_HOME/fastnn`` or ``~/.cache/fastnn``, on macOS
    ``~/Library/Caches/fastnn``, on Windows ``%LOCALAPPDATA%\\fastnn\\Cache``. The folder is not
    created.

    Raises
    ------
    FastnnError
        If the folder lies in a home that is not known.
    """
    if chosen := folder_named_by("FASTNN_CACHE"):
        return chosen
    try:
        return _users_cache()
    except RuntimeError as exc:
        raise FastnnError(
            "There is no home folder to keep downloads in. Set FASTNN_CACHE to a folder for them."
        ) from exc


def _users_cache() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "fastnn" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastnn"
    # The XDG Base Directory Specification has relative paths ignored.
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "fastnn"


def fetch(file: KnownFile, folder: Path, mirrors: Sequence[str], otherwise: str) -> bytes:
    """Return the unpacked bytes of a file, from the cache or else from a mirror.

    A cached file with other bytes than the known ones is downloaded again.

    Parameters
    ----------
    file : KnownFile
        What to get.
    folder : Path
        Folder of the cache where the file is, or is put.
    mirrors : sequence of str
        Base URLs, each ending in a slash, tried in turn for ``<mirror><name>.gz``.
    otherwise : str
        A sentence for error messages: what can be done without the download.

    Raises
    ------
    FastnnError
        If no mirror gives the file, or the cache cannot be read or written.
    ImportError
        If a download is needed and pooch is not installed.
    """
    path = folder / file.name
    damaged = False
    try:
        if path.exists():
            data = _read_known(path, file)
            if data is not None:
                return data
            damaged = True
    except OSError as exc:
        raise FastnnError(
            f"The cached file {path} cannot be read ({exc.strerror}). Delete it, or set "
            "FASTNN_CACHE to another folder."
        ) from exc
    what = (
        f"The cached file {path} is damaged (its bytes are not the known ones) and its replacement"
        if damaged
        else file.name
    )
    data = _download(file, mirrors, what, otherwise)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [data])
    except OSError as exc:
        raise FastnnError(
            f"{path} cannot be written ({exc.strerror or exc}). Set FASTNN_CACHE to a folder that "
            "can."
        ) from exc
    return data


def _matches(data: bytes, file: KnownFile) -> bool:
    return len(data) == file.n_bytes and hashlib.sha256(data).hexdigest() == file.sha256


def _read_known(path: Path, file: KnownFile) -> bytes | None:
    with path.open("rb") as stream:
        data = stream.read(file.n_bytes + 1)
    return data if _matches(data, file) else None


class _BoundedBuffer(io.BytesIO):
    """Memory for a download that refuses to grow past `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self._limit:
            raise CorruptFileError(f"more than {self._limit} bytes came")
        return super().write(data)


def _download(file: KnownFile, mirrors: Sequence[str], what: str, otherwise: str) -> bytes:
    try:
        import pooch
    except ImportError as exc:
        raise missing_extra("pooch", "demo", alternative=otherwise) from exc

    def get(url: str) -> bytes:
        buffer = _BoundedBuffer(file.n_bytes + _SLACK)
        with contextlib.ExitStack() as stack:

            def close_at_exit(response: Any, **_: Any) -> None:
                # pooch leaves the connection of a failed download to the garbage collector.
                stack.callback(response.close)

            downloader = pooch.HTTPDownloader(
                timeout=_TIMEOUT, chunk_size=1 << 16, hooks={"response": close_at_exit}
            )
            downloader(url, buffer, None)
        return buffer.getvalue()

    failures = []
    last: Exception | None = None
    for mirror in mirrors:
        url = f"{mirror}{file.name}.gz"
        try:
            data = unpack(get(url), file.n_bytes + 1)
            if not _matches(data, file):
                raise CorruptFileError("its SHA-256 is not the known one")
            return data
        # requests' errors are OSErrors; ValueError is what a malformed answer leads to.
        except (OSError, ValueError, CorruptFileError) as exc:
            last = exc
            failures.append(f"{url}: {_reason(exc)}")
    raise FastnnError(
        f"{what} could not be downloaded ({'; '.join(failures)}). {otherwise}"
    ) from last


def _reason(exc: Exception) -> str:
    """Say in a few words why a download failed; requests' own messages run over several lines."""
    response = getattr(exc, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    return str(exc) if isinstance(exc, CorruptFileError) else type(exc).__name__
