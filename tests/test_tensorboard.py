"""Event files: what TensorBoard reads in them, and, where it is not installed, their bytes."""

import math
import struct

import numpy as np
import pytest
from networks import blobs, trainer_of

import fastnn as fnn
from fastnn.tensorboard import crc32c, masked_crc, record, scalars_event, version_event


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0x00000000),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_of_rfc_3720(data, checksum):
    assert crc32c(data) == checksum


def test_a_record_byte_by_byte():
    data = b"some data"
    written = record(data)
    assert struct.unpack("<Q", written[:8]) == (len(data),)
    assert struct.unpack("<I", written[8:12]) == (masked_crc(written[:8]),)
    assert written[12:-4] == data
    assert struct.unpack("<I", written[-4:]) == (masked_crc(data),)
    assert masked_crc(b"") == 0xA282EAD8


def test_events_byte_by_byte():
    time = struct.pack("<d", 1.5)
    assert version_event(1.5) == b"\x09" + time + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x04loss\x15" + struct.pack("<f", 0.25)
    summary = b"\x0a" + bytes([len(value)]) + value
    assert scalars_event(1.5, 200, {"loss": 0.25}) == (
        b"\x09" + time + b"\x10\xc8\x01" + b"\x2a" + bytes([len(summary)]) + summary
    )


def fit(callback, epochs=3, **settings):
    x, y = blobs()
    trainer = trainer_of(callbacks=[callback])
    return trainer, trainer.fit(x, y, epochs=epochs, **settings)


def scalars(folder):
    """What TensorBoard reads in a folder: name to {step: value}."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def records(path):
    """The data of the records in a file, their checksums compared."""
    rest, found = path.read_bytes(), []
    while rest:
        (length,) = struct.unpack("<Q", rest[:8])
        found.append(rest[12 : 12 + length])
        assert record(found[-1]) == rest[: 16 + length]
        rest = rest[16 + length :]
    return found


def test_tensorboard_reads_the_history(tmp_path):
    x, y = blobs(60, seed=1)
    _, history = fit(fnn.TensorBoard(tmp_path), validation_data=(x, y))
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    assert set(train) == {"loss", "accuracy", "lr", "seconds"}
    assert set(validation) == {"loss", "accuracy"}
    for name, curve in train.items():
        assert curve == dict(enumerate(np.float32(history[name]).tolist()))
    for name, curve in validation.items():
        assert curve == dict(enumerate(np.float32(history[f"val_{name}"]).tolist()))


def test_a_later_fit_goes_on(tmp_path):
    trainer, _ = fit(fnn.TensorBoard(tmp_path), epochs=2)
    trainer.fit(*blobs(), epochs=2)
    assert len(list((tmp_path / "train").iterdir())) == 2
    assert list(scalars(tmp_path / "train")["loss"]) == [0, 1, 2, 3]


def test_every_epoch_is_on_disk_before_the_next(tmp_path):
    seen = []

    class Look(fnn.Callback):
        def on_epoch_begin(self, trainer, epoch):
            seen.append([len(records(path)) for path in tmp_path.glob("train/*tfevents*")])

    x, y = blobs()
    callbacks = [fnn.TensorBoard(tmp_path), Look()]
    trainer_of(callbacks=callbacks).fit(x, y, epochs=3)
    assert seen == [[], [2], [3]]
    assert not (tmp_path / "validation").exists()


def test_nan_large_numbers_and_long_names(tmp_path):
    callback, name = fnn.TensorBoard(tmp_path), "ü" * 200
    callback.on_train_begin(None)
    callback.on_epoch_end(None, 10**6, {"loss": math.nan, name: 1e300})
    written = scalars(tmp_path / "train")
    assert math.isnan(written["loss"][10**6])
    assert written[name] == {10**6: math.inf}


def test_a_folder_is_asked_for(tmp_path):
    with pytest.raises(TypeError, match="log_dir must be a path; got 3"):
        fnn.TensorBoard(3)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fit(fnn.TensorBoard(tmp_path / "file"))
