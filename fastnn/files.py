"""Files that are replaced at once or not at all."""

import contextlib
import os
import stat
from collections.abc import Iterable
from functools import partial
from io import UnsupportedOperation

FilePath = str | os.PathLike[str]

# Opening a named pipe would wait for its other end; regular files do not know the flag.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)


def file_name(name: str, path: FilePath) -> str:
    """A path as text.

    Raises
    ------
    TypeError
        The argument called ``name`` is no path.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{name} must be a path; got {path!r}") from None


def replace_file(path: FilePath, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file at once or not at all.

    The content goes to a temporary file in the same folder, which is synced and renamed. After an
    error the file that was there before is untouched, and no temporary file is left. A symbolic
    link is followed. A new file gets the permissions that `open` would give it; one that is
    replaced keeps its own.

    Parameters
    ----------
    path : str or os.PathLike
    chunks : iterable of bytes or memoryview
        The content, piece by piece.

    Raises
    ------
    TypeError, ValueError
        It is no path.
    io.UnsupportedOperation
        The path names something that is no regular file. It is a ValueError and an OSError.
    OSError
        The file cannot be written.
    """
    target = os.path.realpath(file_name("path", path))
    old_mode = _mode_of(target)
    folder, name = os.path.split(target)
    # Cut, for a name may already have the length that the file system allows.
    temporary = os.path.join(folder, f".{name[:32]}.{os.urandom(8).hex()}.tmp")
    try:
        # Created with the mode of the old file, so that a private one is private at every moment.
        opener = partial(os.open, mode=0o666 if old_mode is None else old_mode)
        with open(temporary, "xb", opener=opener) as file:
            if old_mode not in (None, stat.S_IMODE(os.fstat(file.fileno()).st_mode)):
                os.chmod(temporary, old_mode)
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if not isinstance(error, FileExistsError):  # then it is someone else's
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError) and error.filename2 is None:
            error.filename = target  # the name that the caller knows
        raise
    _sync_folder(folder)


def _mode_of(target: str) -> int | None:
    """Return the permissions of the file to be replaced, or None if there is none.

    It is opened for writing to meet the errors that `open` would give: a rename succeeds for a
    write-protected file too.
    """
    try:
        descriptor = open_at_once(target, os.O_WRONLY)
    except FileNotFoundError:
        return None
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(mode):
        # Both a ValueError and an OSError, so that the command line answers with one line.
        raise UnsupportedOperation(
            f"path must name a regular file; got the device or pipe {target!r}"
        )
    return stat.S_IMODE(mode)


def open_at_once(path: str, flags: int) -> int:
    """An opener for `open` that does not wait for the other end of a named pipe."""
    return os.open(path, flags | _NO_WAITING)


def _sync_folder(folder: str) -> None:
    """Make the rename last through a power cut, where the system can.

    Errors are not passed on: the old or the new file is there, each complete, and after an error
    callers may rely on the old one.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
