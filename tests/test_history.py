import csv
import errno
import math
import os
import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from fastnn.history import History


def history_of(*rows):
    history = History()
    for row in rows:
        history.append(row)
    return history


@pytest.fixture
def history():
    return history_of(
        {"loss": 0.9, "accuracy": 0.5},
        {"loss": 0.25, "accuracy": 0.75},
        {"loss": 0.5, "accuracy": 0.75},
    )


def test_it_is_a_mapping_of_lists(history):
    assert isinstance(history, Mapping)
    assert list(history) == ["loss", "accuracy"]
    assert len(history) == 2
    assert history["loss"] == [0.9, 0.25, 0.5]
    assert "accuracy" in history
    assert "val_loss" not in history
    assert history.get("val_loss") is None
    assert dict(history) == {"loss": [0.9, 0.25, 0.5], "accuracy": [0.5, 0.75, 0.75]}
    assert history.epochs == [0, 1, 2]
    assert history.last == {"loss": 0.5, "accuracy": 0.75}


def test_before_the_first_epoch():
    history = History()
    assert history.epochs == []
    assert history.last == {}
    assert dict(history) == {}
    assert repr(history) == "<History of 0 epochs>"
    with pytest.raises(KeyError, match="none yet, no epoch has ended"):
        history["loss"]


def test_a_list_handed_out_is_a_copy(history):
    history["loss"].append(1.0)
    history["loss"][0] = -1.0
    assert history["loss"] == [0.9, 0.25, 0.5]


def test_names_that_come_and_go_are_padded_with_nan():
    history = history_of({"loss": 1.0}, {"loss": 2.0, "val_loss": 3.0}, {"val_loss": 4.0}, {})
    np.testing.assert_array_equal(history["loss"], [1.0, 2.0, math.nan, math.nan])
    np.testing.assert_array_equal(history["val_loss"], [math.nan, 3.0, 4.0, math.nan])
    assert history.epochs == [0, 1, 2, 3]
    assert all(math.isnan(value) for value in history.last.values())


def test_numbers_become_python_floats():
    history = history_of({"loss": np.float32(0.5), "accuracy": 1, "auc": np.array(0.25)})
    assert history.last == {"loss": 0.5, "accuracy": 1.0, "auc": 0.25}
    assert all(type(value) is float for value in history.last.values())


@pytest.mark.parametrize(
    ("logs", "error", "message"),
    [
        ({"loss": 1.0, "note": "good"}, TypeError, r"logs\['note'\] must be a number; got 'good'"),
        ({"loss": 1.0, "note": None}, TypeError, r"logs\['note'\] must be a number"),
        ({"loss": 1.0, "note": [1.0, 2.0]}, TypeError, r"logs\['note'\] must be a number"),
        ({"loss": 1.0, 3: 1.0}, TypeError, "names in logs must be strings; got 3"),
        ({"loss": 1.0, "epoch": 3}, ValueError, "logs must not report 'epoch'"),
    ],
)
def test_a_bad_epoch_adds_nothing(history, logs, error, message):
    before = dict(history)
    with pytest.raises(error, match=message):
        history.append(logs)
    assert dict(history) == before
    assert history.epochs == [0, 1, 2]


def test_an_unknown_name_lists_those_there_are(history):
    with pytest.raises(KeyError, match="no 'val_loss' in the history; there are: loss, accuracy"):
        history["val_loss"]
    with pytest.raises(KeyError, match="there are: loss, accuracy"):
        history.best("val_loss")


def test_best_judges_by_the_name_or_as_told(history):
    assert history.best("loss") == (1, 0.25)
    assert history.best("accuracy") == (1, 0.75)
    assert history.best("loss", "max") == (0, 0.9)
    assert history.best("accuracy", mode="min") == (0, 0.5)
    with pytest.raises(ValueError, match="mode must be one of auto, min, max; got 'lowest'"):
        history.best("loss", mode="lowest")


def test_best_passes_over_nan_but_not_infinity():
    history = history_of(*({"loss": v} for v in (math.nan, 3.0, -math.inf, math.nan)))
    assert history.best("loss") == (2, -math.inf)
    assert history.best("loss", "max") == (1, 3.0)
    with pytest.raises(ValueError, match="loss has no best epoch: it is NaN in every one"):
        history_of({"loss": math.nan}).best("loss")


def test_repr_is_short(history):
    assert repr(history) == "<History of 3 epochs: loss, accuracy>"
    assert repr(history_of({"loss": 1.0})) == "<History of 1 epoch: loss>"


def test_it_can_be_pickled(history):
    again = pickle.loads(pickle.dumps(history))
    assert again == history
    again.append({"loss": 0.1})
    assert len(again.epochs) == 4
    assert len(history.epochs) == 3


def read_csv(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_csv_reads_back_exactly(tmp_path):
    values = [1 / 3, 1e-300, math.inf, 5e-324, 123456789.123456789]
    history = history_of(*({"loss": value} for value in values), {"loss": math.nan, "a,b": 1.0})
    path = tmp_path / "history.csv"
    history.to_csv(path)
    header, *rows = read_csv(path)
    assert header == ["epoch", "loss", "a,b"]
    assert [int(row[0]) for row in rows] == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal([float(row[1]) for row in rows], [*values, math.nan])
    np.testing.assert_array_equal([float(row[2]) for row in rows], [math.nan] * 5 + [1.0])
    assert path.read_bytes().count(b"\r") == 0


def test_csv_of_no_epochs_is_a_header(tmp_path):
    path = str(tmp_path / "history.csv")
    History().to_csv(path)
    assert read_csv(tmp_path / "history.csv") == [["epoch"]]


def test_csv_replaces_the_file_and_leaves_no_other(tmp_path, history):
    path = tmp_path / "history.csv"
    path.write_text("old")
    history.to_csv(path)
    assert len(read_csv(path)) == 4
    assert os.listdir(tmp_path) == ["history.csv"]


def test_csv_has_the_permissions_of_any_new_file(tmp_path, history):
    history.to_csv(tmp_path / "history.csv")
    (tmp_path / "other").touch()
    assert (tmp_path / "history.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_csv_is_written_through_a_link(tmp_path, history):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "history.csv"
    target.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    history.to_csv(link)
    assert link.is_symlink()
    assert len(read_csv(target)) == 4


@pytest.mark.parametrize("fault", ["write", "replace"])
def test_a_fault_leaves_the_old_file_whole(tmp_path, history, monkeypatch, fault):
    path = tmp_path / "history.csv"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "disk full")

    if fault == "write":
        monkeypatch.setattr(csv, "writer", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        history.to_csv(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["history.csv"]


def test_csv_names_a_folder_that_is_not_there(tmp_path, history):
    with pytest.raises(FileNotFoundError, match="missing"):
        history.to_csv(tmp_path / "missing" / "history.csv")
