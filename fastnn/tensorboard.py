"""Curves for TensorBoard, written without it."""

import os
import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastnn.callbacks import Callback
from fastnn.files import FilePath, file_name

if TYPE_CHECKING:
    from fastnn.trainer import Trainer


class TensorBoard(Callback):
    """Writes what every epoch reports to event files, for ``tensorboard --logdir``.

    Training and validation are two runs with the same names, so that TensorBoard draws them into
    one picture: "loss" and "accuracy" of the run "train", and of the run "validation". The step is
    the number of the epoch, counted from 0. An epoch is on disk before the next one begins.

    Parameters
    ----------
    log_dir : str or path
        The folder of this fit, made with its parents when the first epoch ends; several fits in
        folders side by side are compared in one picture. A later fit adds to it.

    Raises
    ------
    TypeError
        `log_dir` is no path.
    OSError
        At the end of an epoch: the files cannot be written.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.mlp(2, [8], 2, rng=0)
    >>> trainer = fnn.Trainer(model, callbacks=[fnn.TensorBoard("logs/first")], rng=0)
    """

    def __init__(self, log_dir: FilePath) -> None:
        self.log_dir = Path(file_name("log_dir", log_dir))
        self._file_name = ""

    def on_train_begin(self, trainer: "Trainer") -> None:
        # TensorBoard reads the files of a folder in the order of their names.
        self._file_name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"

    def on_epoch_end(self, trainer: "Trainer", epoch: int, logs: dict[str, float]) -> None:
        runs: dict[str, dict[str, float]] = {"train": {}, "validation": {}}
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            runs[run][name.removeprefix("val_")] = float(value)
        for run, values in runs.items():
            if values:
                self._write(self.log_dir / run, epoch, values)

    def _write(self, folder: Path, epoch: int, values: Mapping[str, float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        with (folder / self._file_name).open("ab") as file:
            if not file.tell():
                file.write(record(version_event(now)))
            file.write(record(scalars_event(now, epoch, values)))


# -- the format ------------------------------------------------------------------------------------
# Records: tensorflow/core/lib/io/record_writer.h. Messages: event.proto and summary.proto of
# tensorboard/compat/proto, encoded as https://protobuf.dev/programming-guides/encoding/ says.

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def record(data: bytes) -> bytes:
    """Data with its length before it, and a checksum behind each."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        (length, struct.pack("<I", masked_crc(length)), data, struct.pack("<I", masked_crc(data)))
    )


def version_event(wall_time: float) -> bytes:
    """Event: what a file begins with."""
    version = _field(3, _BYTES, _sized(b"brain.Event:2"))
    return _field(1, _FIXED64, struct.pack("<d", wall_time)) + version


def scalars_event(wall_time: float, step: int, values: Mapping[str, float]) -> bytes:
    """Event: numbers by name, at a step."""
    summary = b"".join(_field(1, _BYTES, _sized(_scalar(*item))) for item in values.items())
    return b"".join(
        (
            _field(1, _FIXED64, struct.pack("<d", wall_time)),
            _field(2, _VARINT, _varint(step)),
            _field(5, _BYTES, _sized(summary)),
        )
    )


def _scalar(name: str, value: float) -> bytes:
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        number = np.array(value, dtype="<f4").tobytes()
    return _field(1, _BYTES, _sized(name.encode())) + _field(2, _FIXED32, number)


def masked_crc(data: bytes) -> int:
    """CRC32C, turned and shifted, as TensorFlow stores it."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4, with Castagnoli's polynomial.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    """The checksum's change by each byte."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def _field(number: int, kind: int, content: bytes) -> bytes:
    return _varint(number << 3 | kind) + content


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first; the eighth says that more follow."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
