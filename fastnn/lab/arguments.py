"""What a user can get wrong who asks for a run of the lab: checked before anything is trained."""

import operator
import os
from pathlib import Path
from tempfile import TemporaryFile

import fastnn as fnn


def checked_seed(value: int) -> int:
    """The seed.

    Raises
    ------
    TypeError, ValueError
        It is not an integer, or below 0.
    """
    try:
        seed = operator.index(value)
    except TypeError:
        raise TypeError(f"seed must be an integer; got {value!r}") from None
    if seed < 0:
        raise ValueError(f"seed must be at least 0; got {seed}")
    return seed


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, created where it is missing, and known to take files.

    Raises
    ------
    FastnnError
        It is a file, or cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise fnn.FastnnError(
            f"out must be a folder that files can be written to; {folder} is not ({reason}). "
            "Name another."
        ) from error
    return folder
