"""The one place that writes and reads fastnn's files.

A file holds named arrays and a description, as one safetensors file [1]_::

    8 bytes   length of the header, little-endian
    header    JSON: name -> dtype, shape, place of the data; and "__metadata__", which maps
                  "format"           "fastnn"
                  "format_version"   "1"
                  "description"      the description, as canonical JSON
                  "sha256"           the digest of everything the file says
    data      the arrays, little-endian, C order

Both JSON texts are canonical (sorted keys, no spaces, ASCII), so the same content gives the same
bytes, and any other spelling of a header is refused: no byte can change unnoticed. The digest finds
damage; it is no signature, since whoever edits a file on purpose can compute it again. Therefore
the reader trusts nothing in the header, and there is no pickle to run.

References
----------
.. [1] https://huggingface.co/docs/safetensors
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import CorruptFileError
from fastnn.files import FilePath, file_name, open_at_once, replace_file

_FORMAT = "fastnn"
_FORMAT_VERSION = 1

# safetensors' name of a dtype -> how its elements lie in the file.
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
}
_LITTLE_ENDIAN = {dtype.name: dtype for dtype in _DTYPES.values()}
_DTYPE_NAMES = "float32, float64, int64 or uint8"
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}
_METADATA_KEYS = {"format", "format_version", "description", "sha256"}

# Thousands of layers fit; a forged length cannot make the JSON parser eat the memory.
_MAX_HEADER = 4 * 2**20
# Far above any description, far below the recursion limit of the JSON parser.
_MAX_DEPTH = 64
# Room for any seed and any state of a NumPy bit generator (128 bits).
_MAX_INT_BITS = 256
_MAX_INT_CHARACTERS = len(str(-(2**_MAX_INT_BITS)))


class _Refused(Exception):
    """What is wrong with a file, as the end of a sentence."""


def write_file(
    path: FilePath, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]
) -> None:
    """Write arrays and their description to one file, at once or not at all.

    As `fastnn.files.replace_file` does.

    Parameters
    ----------
    path : str or os.PathLike
        The file to create or to replace.
    arrays : mapping of str to ndarray
        Arrays of float32, float64, int64 or uint8, of any shape, layout and byte order.
    description : mapping
        What JSON can hold: dict with str keys, list, str, int (up to 256 bits), finite float, bool
        and None; a value may lie up to 64 levels deep.

    Raises
    ------
    TypeError
        If an array has another dtype, or the description holds another type.
    ValueError
        If a number of the description is not finite or too large, if the description is nested too
        deep or too long, if an array has a name that cannot be stored, or if `path` is not a
        regular file.
    OSError
        If the file cannot be written.
    """
    stored = {name: _storable(name, array) for name, array in arrays.items()}
    chunks = _serialize(stored, _describe(dict(description)))
    replace_file(path, chunks)


def read_file(path: FilePath) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_file` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file. It need not be trusted: all it claims is checked before it is used.

    Returns
    -------
    arrays : dict of str to ndarray
        The arrays, sorted by name: writable, C-contiguous, in native byte order, of their own.
    description : dict
        The description.

    Raises
    ------
    CorruptFileError
        If the file is damaged, truncated, forged, of another format, or of a newer version.
    OSError
        If the file cannot be read: FileNotFoundError, IsADirectoryError and the like.
    """
    name = file_name("path", path)
    try:
        with open(name, "rb", opener=open_at_once) as file:
            return _parse(file)
    except _Refused as error:
        raise CorruptFileError(f"{name!r} is not a readable fastnn file: {error}.") from None


def _storable(name: str, array: np.ndarray) -> NDArray[Any]:
    """Return `array` little-endian and C-contiguous, copied only where it is not."""
    if not isinstance(name, str):
        raise TypeError(f"arrays must have str names; got {name!r}")
    if name == "__metadata__":
        raise ValueError("arrays cannot hold an array named '__metadata__': safetensors needs it")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"arrays must have names that UTF-8 can encode; got {name!r}") from None
    if not isinstance(array, np.ndarray):
        raise TypeError(f"arrays[{name!r}] must be a NumPy array; got {type(array).__name__}")
    dtype = _LITTLE_ENDIAN.get(array.dtype.name)
    if dtype is None:
        raise TypeError(f"arrays[{name!r}] must have dtype {_DTYPE_NAMES}; got {array.dtype}")
    # Not np.ascontiguousarray, which makes a vector of a 0-d array.
    return np.asarray(array, dtype=dtype, order="C")


def _serialize(arrays: Mapping[str, np.ndarray], text: str) -> list[bytes | memoryview]:
    """Return the bytes of a file, in pieces to be written one after the other."""
    from safetensors.numpy import save

    metadata = {
        "format": _FORMAT,
        "format_version": str(_FORMAT_VERSION),
        "description": text,
        "sha256": _digest(arrays, text),
    }
    # The metadata is added here, for safetensors writes it in an order that changes at random.
    data = memoryview(save(dict(arrays)))
    end = 8 + int.from_bytes(data[:8], "little")
    header = _header_bytes({"__metadata__": metadata, **json.loads(bytes(data[8:end]))})
    if len(header) > _MAX_HEADER:
        raise ValueError(
            f"description and array names must fit into {_MAX_HEADER} bytes of JSON; "
            f"got {len(header)}: store long lists of numbers as arrays"
        )
    return [len(header).to_bytes(8, "little"), header, data[end:]]


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Return the SHA-256, in hex, of the description `text` and of the little-endian `arrays`."""
    digest = hashlib.sha256()

    def add(part: str) -> None:
        # The length in front keeps two parts from passing for two others with the border moved.
        encoded = part.encode("ascii")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)

    add(text)
    for name, array in sorted(arrays.items()):
        add(_dumps([name, array.dtype.name, list(array.shape)]))
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _header_bytes(header: dict[str, Any]) -> bytes:
    """Return the one spelling of a header: canonical JSON, padded so that the data is aligned."""
    text = _dumps(header).encode("ascii")
    return text + b" " * (-len(text) % 8)


def _dumps(value: Any) -> str:
    """Return the canonical JSON of `value`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _describe(description: Any) -> str:
    """Return the canonical JSON of a description."""
    _check_json(description, ())
    return _dumps(description)


def _check_json(value: Any, keys: tuple[str | int, ...]) -> None:
    """Refuse a `value`, found in the description under `keys`, that would not come back the same.

    json.dumps alone would turn tuples into lists and keys into strings.
    """
    if len(keys) > _MAX_DEPTH:
        raise ValueError(f"description must not be nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{_where(keys)} must have str keys; got {key!r}")
            _check_json(item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, (*keys, index))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_where(keys)} must be finite; got {value}")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_INT_BITS:
            raise ValueError(
                f"{_where(keys)} must be an integer of at most {_MAX_INT_BITS} bits; "
                f"got one of {value.bit_length()} bits"
            )
    elif not (value is None or isinstance(value, str)):
        raise TypeError(
            f"{_where(keys)} must be a dict, list, str, int, float, bool or None; "
            f"got {type(value).__name__}"
        )


def _where(keys: tuple[str | int, ...]) -> str:
    return "description" + "".join(f"[{key!r}]" for key in keys)


def _parse(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    head, header = _read_header(file)
    metadata = _checked_metadata(header)
    text = metadata["description"]
    description = _checked_description(text)
    little = _read_arrays(head + file.read(), header)
    if _digest(little, text) != metadata["sha256"]:
        raise _Refused("its content does not match its SHA-256")
    arrays = {name: a.astype(a.dtype.newbyteorder("=")) for name, a in sorted(little.items())}
    return arrays, description


def _read_header(file: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    """Return the first bytes of the file, up to the data, and the header in them."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise _Refused("it is no regular file")
    if status.st_size < 8:
        raise _Refused(f"it has {status.st_size} bytes, too few for a safetensors file")
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if length > _MAX_HEADER:
        raise _Refused("it is no safetensors file, or its header is longer than allowed")
    if length > status.st_size - 8:
        raise _Refused(f"it is truncated within its header of {length} bytes")
    raw = file.read(length)
    try:
        header = _loads(raw.decode())
        # Also true for a list or a number; then there is no metadata below.
        canonical = _header_bytes(header) == raw
    except (ValueError, RecursionError) as error:
        raise _Refused(f"its header is not valid JSON ({short(error)})") from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise _Refused("it is a safetensors file without metadata, not written by fastnn")
    # Before the spelling, which other programs and newer versions choose for themselves.
    _check_format(header["__metadata__"])
    if not canonical:
        raise _Refused("its header is not spelled as fastnn spells it, so it has been changed")
    return prefix + raw, header


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_parse_int, parse_constant=_refuse_constant)


def _parse_int(text: str) -> int:
    # Conversion takes time that grows with the square of the length.
    if len(text) > _MAX_INT_CHARACTERS:
        raise ValueError(f"an integer of {len(text)} characters")
    return int(text)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def short(error: BaseException) -> str:
    """Return the message of `error`, made harmless where it repeats a hostile file.

    That is cut to a line, and without the control characters that a terminal would obey.
    """
    message = str(error)
    shown = "".join(letter if letter.isprintable() else "?" for letter in message[:200])
    return shown if len(message) <= 200 else shown + "..."


def _check_format(metadata: dict[str, Any]) -> None:
    if metadata.get("format") != _FORMAT:
        raise _Refused("it is a safetensors file that fastnn did not write")
    version = metadata.get("format_version")
    if not isinstance(version, str) or not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise _Refused("its format_version is not a positive integer")
    if int(version) > _FORMAT_VERSION:
        raise _Refused(
            f"it was written by a newer fastnn (file format {version}, this one reads up to "
            f"{_FORMAT_VERSION}); upgrade fastnn to read it"
        )


def _checked_metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header["__metadata__"]
    if metadata.keys() != _METADATA_KEYS:
        raise _Refused(f"its metadata must have the entries {', '.join(sorted(_METADATA_KEYS))}")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise _Refused("its metadata holds something that is not a string")
    return metadata


def _checked_description(text: str) -> dict[str, Any]:
    try:
        description = _loads(text)
        canonical = _describe(description) == text
    except (ValueError, RecursionError) as error:
        raise _Refused(f"its description is not valid JSON ({short(error)})") from None
    if not isinstance(description, dict) or not canonical:
        raise _Refused("its description is not a JSON object as fastnn writes it")
    return description


def _read_arrays(data: bytes, header: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays, little-endian as they lie in the file."""
    from safetensors import SafetensorError, deserialize

    # safetensors ignores unknown keys; here they would be bytes that no digest covers.
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or entry.keys() != _ENTRY_KEYS:
            raise _Refused(f"the entry of array {name[:80]!r} must be dtype, shape, data_offsets")
    try:
        # Checks that the arrays fill the data without gap, overlap or rest, each as long as its
        # dtype and shape say, before it copies any.
        entries = deserialize(data)
    except SafetensorError as error:
        raise _Refused(f"safetensors cannot parse it ({short(error)})") from None
    return {name: _view(name, entry) for name, entry in entries}


def _view(name: str, entry: dict[str, Any]) -> np.ndarray:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise _Refused(f"array {name[:80]!r} is {entry['dtype']}, not {_DTYPE_NAMES}")
    try:
        return np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
    except (ValueError, OverflowError):
        # An empty array, or one of ones, whose shape NumPy cannot have.
        raise _Refused(f"array {name[:80]!r} has an impossible shape") from None
