import csv
import inspect
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fnn
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateSchedule,
    ReduceLROnPlateau,
)
from fastnn.history import History
from fastnn.schedules import Constant, CosineDecay

NAN = math.nan


class FakeModel:
    """Weights that hold the number of the epochs trained."""

    def __init__(self):
        self.params = {"affine1.w": np.zeros(3)}

    def snapshot(self):
        return {name: view.copy() for name, view in self.params.items()}

    def restore(self, snapshot):
        for name, value in snapshot.items():
            self.params[name][:] = value


class FakeTrainer:
    """Calls the callbacks as a trainer does, with the logs that it is given."""

    def __init__(self, *callbacks, lr=0.1):
        self.callbacks = callbacks
        self.model = FakeModel()
        self.schedule = Constant(lr)
        self.lr_factor = 1.0
        self.epoch = 0
        self.epochs = 0
        self.samples = 100
        self.stop_training = False

    @property
    def learning_rate(self):
        return self.schedule(self.epoch) * self.lr_factor

    def fit(self, rows, fault=None):
        """One epoch for each row of logs; `fault` is raised in the middle of the last."""
        self.stop_training = False
        self.epochs = self.epoch + len(rows)
        try:
            self.notify("on_train_begin")
            for logs in rows:
                epoch = self.epoch
                self.notify("on_epoch_begin", epoch)
                self.model.params["affine1.w"] += 1
                self.notify("on_batch_end", epoch, 0, 1, 0.5)
                if fault is not None and self.epoch + 1 == self.epochs:
                    raise fault
                self.epoch += 1
                self.notify("on_epoch_end", epoch, dict(logs))
                if self.stop_training:
                    break
        finally:
            self.notify("on_train_end")
        return self

    def notify(self, event, *arguments):
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)

    @property
    def weight(self):
        return self.model.params["affine1.w"][0]


def losses(*values, name="val_loss"):
    return [{"loss": 1.0, name: value, "lr": 0.1, "seconds": 0.5} for value in values]


def test_the_base_class_does_nothing_at_every_event():
    trainer = FakeTrainer(Callback()).fit(losses(1, 2))
    assert trainer.epoch == 2
    events = [name for name in vars(Callback) if name.startswith("on_")]
    assert events == [
        "on_train_begin",
        "on_epoch_begin",
        "on_batch_end",
        "on_epoch_end",
        "on_train_end",
    ]
    for callback in (EarlyStopping, ReduceLROnPlateau, CSVLogger, LearningRateSchedule):
        for event in events:
            expected = inspect.signature(getattr(Callback, event))
            assert inspect.signature(getattr(callback, event)) == expected


# Early stopping


def test_stops_after_so_many_epochs_without_improvement():
    stop = EarlyStopping(patience=3)
    trainer = FakeTrainer(stop).fit(losses(1.0, 0.5, 0.6, 0.5, 0.7, 0.1, 0.1))
    assert trainer.epoch == 5
    assert (stop.best_epoch, stop.best, stop.stopped_epoch) == (1, 0.5, 4)
    assert trainer.weight == 2


def test_an_improvement_starts_the_count_anew():
    stop = EarlyStopping(patience=2)
    trainer = FakeTrainer(stop).fit(losses(1.0, 1.1, 0.9, 1.0, 0.8, 0.9))
    assert trainer.epoch == 6
    assert stop.stopped_epoch is None
    assert (stop.best_epoch, stop.best) == (4, 0.8)


def test_the_best_weights_come_back_although_no_patience_ran_out():
    trainer = FakeTrainer(EarlyStopping()).fit(losses(1.0, 0.5, 0.7))
    assert trainer.weight == 2


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("divergence")])
def test_the_best_weights_come_back_after_a_fault(fault):
    trainer = FakeTrainer(EarlyStopping())
    with pytest.raises(type(fault)):
        trainer.fit(losses(1.0, 0.5, 0.7, 0.8), fault)
    assert trainer.weight == 2


def test_weights_stay_as_they_are_where_nothing_is_to_be_restored():
    trainer = FakeTrainer(EarlyStopping(patience=1, restore_best=False)).fit(losses(1.0, 2.0))
    assert trainer.weight == 2
    trainer = FakeTrainer(EarlyStopping()).fit(losses(NAN, NAN))
    assert trainer.weight == 2
    trainer = FakeTrainer(EarlyStopping())
    with pytest.raises(RuntimeError):
        trainer.fit(losses(1.0), RuntimeError())
    assert trainer.weight == 1


def test_the_weights_of_an_earlier_fit_do_not_come_back():
    class Refusing(Callback):
        def on_train_begin(self, trainer):
            if trainer.epoch:
                raise RuntimeError("before the others begin")

    trainer = FakeTrainer(Refusing(), EarlyStopping()).fit(losses(1.0, 2.0))
    trainer.model.params["affine1.w"][:] = 7
    with pytest.raises(RuntimeError):
        trainer.fit(losses(1.0))
    assert trainer.weight == 7


def test_nan_is_never_an_improvement():
    stop = EarlyStopping(patience=3)
    trainer = FakeTrainer(stop).fit(losses(NAN, NAN, 2.0, NAN, 1.0, NAN, NAN, NAN, 0.1))
    assert trainer.epoch == 8
    assert (stop.best_epoch, stop.best, stop.stopped_epoch) == (4, 1.0, 7)


def test_nan_from_the_start_stops():
    stop = EarlyStopping(patience=2)
    trainer = FakeTrainer(stop).fit(losses(NAN, NAN, 1.0))
    assert trainer.epoch == 2
    assert (stop.best_epoch, stop.stopped_epoch) == (None, 1)
    assert math.isnan(stop.best)


def test_min_delta_is_counted_from_the_best():
    stop = EarlyStopping(patience=3, min_delta=0.1)
    # Each is a little better than the one before, the third by enough than the first.
    FakeTrainer(stop).fit(losses(1.0, 0.95, 0.875, 0.8125, 0.78))
    assert (stop.best_epoch, stop.best) == (2, 0.875)


@pytest.mark.parametrize(
    ("monitor", "mode", "best_epoch"),
    [
        ("val_accuracy", "auto", 1),
        ("val_r2_score", "auto", 1),
        ("val_mean_absolute_error", "auto", 2),
        ("val_accuracy", "min", 2),
        ("val_loss", "max", 1),
    ],
)
def test_mode(monitor, mode, best_epoch):
    stop = EarlyStopping(monitor, patience=5, mode=mode)
    trainer = FakeTrainer(stop).fit(losses(0.5, 0.75, 0.25, 0.5, name=monitor))
    assert stop.best_epoch == best_epoch
    assert trainer.weight == best_epoch + 1


def test_min_delta_with_max():
    stop = EarlyStopping("accuracy", patience=2, min_delta=0.25)
    trainer = FakeTrainer(stop).fit(losses(0.25, 0.375, 0.5, 0.75, 0.8, 1.0, name="accuracy"))
    assert (stop.best_epoch, stop.best, stop.stopped_epoch) == (0, 0.25, 2)
    assert trainer.weight == 1


def test_a_later_fit_begins_anew():
    stop = EarlyStopping(patience=2)
    trainer = FakeTrainer(stop).fit(losses(0.1, 0.5, 0.6, 0.7))
    assert (stop.best_epoch, stop.stopped_epoch) == (0, 2)
    trainer.fit(losses(0.9, 0.8, 0.85))
    assert (stop.best_epoch, stop.best, stop.stopped_epoch) == (4, 0.8, None)
    assert trainer.weight == 1 + 2


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau])
def test_an_unknown_name_is_refused_at_the_end_of_the_first_epoch(make):
    trainer = FakeTrainer(make())
    with pytest.raises(ValueError, match=r"for val_. pass validation_data") as refusal:
        trainer.fit([{"loss": 1.0, "accuracy": 0.5}] * 3)
    assert str(refusal.value).startswith(
        f"{make.__name__} monitors 'val_loss', which this fit does not report; "
        "there are: loss, accuracy"
    )
    assert trainer.epoch == 1
    # With validation there, that is not what is missing.
    with pytest.raises(ValueError, match=r"there are: loss, val_loss, lr, seconds$"):
        FakeTrainer(make("val_acuracy")).fit(losses(1.0))


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be .*at least 1"),
        ({"patience": 2.5}, TypeError, "patience must be an integer"),
        ({"min_delta": -0.1}, ValueError, "min_delta must be"),
        ({"min_delta": NAN}, ValueError, "min_delta must be a finite number"),
        ({"mode": "best"}, ValueError, "mode must be one of auto, min, max; got 'best'"),
        ({"monitor": None}, TypeError, "monitor must be the name of a reported number"),
    ],
)
def test_bad_arguments_of_monitors(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


# Reduce on plateau


def test_the_rate_falls_after_patience_and_again():
    reduce = ReduceLROnPlateau(factor=0.5, patience=2)
    trainer = FakeTrainer(reduce, lr=0.8)
    trainer.fit(losses(1.0, 1.0))
    assert trainer.lr_factor == 1.0
    trainer = FakeTrainer(reduce, lr=0.8).fit(losses(1.0, 1.0, 1.0))
    assert trainer.lr_factor == 0.5
    trainer = FakeTrainer(reduce, lr=0.8).fit(losses(1.0, 1.0, 1.0, 1.0))
    assert trainer.lr_factor == 0.5
    trainer = FakeTrainer(reduce, lr=0.8).fit(losses(1.0, 1.0, 1.0, 1.0, 1.0))
    assert trainer.lr_factor == 0.25
    assert trainer.learning_rate == pytest.approx(0.2)


def test_the_rate_stays_while_the_loss_falls_by_more_than_min_delta():
    trainer = FakeTrainer(ReduceLROnPlateau(patience=1)).fit(losses(1.0, 0.9, 0.8, 0.7))
    assert trainer.lr_factor == 1.0
    trainer = FakeTrainer(ReduceLROnPlateau(patience=1, min_delta=0.2)).fit(losses(1.0, 0.9))
    assert trainer.lr_factor == pytest.approx(0.1)


def test_a_plateau_of_nan_is_a_plateau():
    trainer = FakeTrainer(ReduceLROnPlateau(patience=2)).fit(losses(1.0, NAN, NAN))
    assert trainer.lr_factor == pytest.approx(0.1)


def test_accuracy_is_to_rise():
    rows = losses(0.5, 0.6, 0.7, name="val_accuracy")
    trainer = FakeTrainer(ReduceLROnPlateau("val_accuracy", patience=1)).fit(rows)
    assert trainer.lr_factor == 1.0
    trainer = FakeTrainer(ReduceLROnPlateau("val_accuracy", patience=1, mode="min")).fit(rows)
    assert trainer.lr_factor == pytest.approx(0.01)


def test_the_rate_never_falls_below_min_lr():
    reduce = ReduceLROnPlateau(patience=1, factor=0.1, min_lr=0.02)
    trainer = FakeTrainer(reduce, lr=0.1).fit(losses(*[1.0] * 6))
    assert trainer.learning_rate == pytest.approx(0.02, rel=1e-12)
    # A rate that is lower already is not raised.
    trainer = FakeTrainer(reduce, lr=0.01).fit(losses(*[1.0] * 6))
    assert trainer.learning_rate == 0.01


def test_a_rate_of_zero_stays():
    trainer = FakeTrainer(ReduceLROnPlateau(patience=1))
    trainer.schedule = lambda epoch: 0.0
    trainer.fit(losses(1.0, 1.0, 1.0))
    assert trainer.lr_factor == 1.0


def test_the_factor_outlasts_a_fit_and_the_count_does_not():
    trainer = FakeTrainer(ReduceLROnPlateau(patience=2))
    trainer.fit(losses(1.0, 1.0, 1.0))
    trainer.fit(losses(5.0, 5.0))
    assert trainer.lr_factor == pytest.approx(0.1)
    trainer.fit(losses(5.0, 5.0, 5.0))
    assert trainer.lr_factor == pytest.approx(0.01)


@pytest.mark.parametrize("factor", [0, 1, -0.5, 1.5, NAN])
def test_the_factor_lies_between_0_and_1(factor):
    with pytest.raises(ValueError, match="factor must"):
        ReduceLROnPlateau(factor=factor)


def test_min_lr_is_not_negative():
    with pytest.raises(ValueError, match="min_lr must be"):
        ReduceLROnPlateau(min_lr=-1e-3)


# Learning-rate schedule


def test_the_schedule_is_set_where_a_fit_begins():
    schedule = CosineDecay(0.5, epochs=10)
    callback = LearningRateSchedule(schedule)
    trainer = FakeTrainer(callback)
    assert trainer.learning_rate == 0.1
    trainer.fit(losses(1.0))
    assert trainer.schedule is schedule
    assert trainer.learning_rate == schedule(1)


def test_a_function_or_a_number_is_a_schedule():
    trainer = FakeTrainer(LearningRateSchedule(lambda epoch: 1 / (1 + epoch))).fit(losses(1, 1))
    assert trainer.learning_rate == pytest.approx(1 / 3)
    assert FakeTrainer(LearningRateSchedule(0.25)).fit(losses(1)).learning_rate == 0.25


def test_what_is_no_schedule_is_refused_at_once():
    with pytest.raises(TypeError, match="a number, a Schedule or a function of the epoch"):
        LearningRateSchedule("cosine")
    with pytest.raises(ValueError, match=r"schedule must be a finite number in \(0, inf\)"):
        LearningRateSchedule(0)


# CSV log


def read_csv(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_log_is_the_table_of_the_history(tmp_path):
    rows = [
        {"loss": 1 / 3, "accuracy": np.float32(0.1), "seconds": 1e-300},
        {"loss": math.inf, "accuracy": NAN, "seconds": 1e300},
        {"loss": 0.25, "seconds": 3},
    ]
    FakeTrainer(CSVLogger(tmp_path / "log.csv")).fit(rows)
    history = History()
    for row in rows:
        history.append(row)
    history.to_csv(tmp_path / "history.csv")
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "history.csv").read_text()


def test_every_line_is_on_disk_when_its_epoch_has_ended(tmp_path):
    path = tmp_path / "log.csv"

    class Reader(Callback):
        seen = ()

        def on_epoch_end(self, trainer, epoch, logs):
            assert len(read_csv(path)) == epoch + 2
            self.seen = (*self.seen, epoch)

    reader = Reader()
    with pytest.raises(KeyboardInterrupt):
        FakeTrainer(CSVLogger(str(path)), reader).fit(losses(3, 2, 1), KeyboardInterrupt())
    assert reader.seen == (0, 1)
    assert [row[0] for row in read_csv(path)] == ["epoch", "0", "1"]


def test_a_new_logger_replaces_the_file_and_a_later_fit_adds_to_it(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("something else")
    trainer = FakeTrainer(CSVLogger(path))
    trainer.fit(losses(3, 2))
    trainer.fit(losses(1))
    header, *rows = read_csv(path)
    assert header == ["epoch", "loss", "val_loss", "lr", "seconds"]
    assert [(row[0], float(row[2])) for row in rows] == [("0", 3.0), ("1", 2.0), ("2", 1.0)]


@pytest.mark.parametrize("end", ["\n", ""])
def test_append_adds_under_the_header_that_is_there(tmp_path, end):
    path = tmp_path / "log.csv"
    path.write_text("epoch,seconds,lr,val_loss,loss,note\n7,1.0,2.0,3.0,4.0,5.0" + end)
    FakeTrainer(CSVLogger(path, append=True)).fit(losses(0.25))
    assert path.read_text() == (
        "epoch,seconds,lr,val_loss,loss,note\n7,1.0,2.0,3.0,4.0,5.0\n0,0.5,0.1,0.25,1.0,nan\n"
    )


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_append_to_nothing_starts_a_table(tmp_path, content):
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    FakeTrainer(CSVLogger(path, append=True)).fit(losses(1, 2))
    assert [row[0] for row in read_csv(path) if row] == ["epoch", "0", "1"]


@pytest.mark.parametrize(
    "content", ["epoch,loss\n0,1.0\n", "a,loss,val_loss,lr,seconds\n", "a poem\n"]
)
def test_append_refuses_a_file_of_other_columns_and_leaves_it(tmp_path, content):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match="but this epoch reports loss, val_loss, lr, seconds"):
        FakeTrainer(CSVLogger(path, append=True)).fit(losses(1))
    assert path.read_text() == content


def test_a_name_that_comes_later_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(ValueError, match=r"log.csv has the columns epoch, loss, but .* loss, auc"):
        FakeTrainer(CSVLogger(path)).fit([{"loss": 1.0}, {"loss": 0.5, "auc": 0.5}])
    assert read_csv(path) == [["epoch", "loss"], ["0", "1.0"]]


def test_a_file_that_cannot_be_written_is_an_error_before_training(tmp_path):
    trainer = FakeTrainer(CSVLogger(tmp_path / "missing" / "log.csv"))
    with pytest.raises(FileNotFoundError):
        trainer.fit(losses(1))
    assert trainer.epoch == 0


def test_a_log_may_have_a_name_of_bytes(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(os.fsencode(path))
    FakeTrainer(logger).fit([{"loss": 1.0}])
    assert path.read_text() == "epoch,loss\n0,1.0\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_named_with_the_file():
    """And the model is as the epoch left it, ready for more."""
    trainer = fnn.Trainer(
        fnn.mlp(2, [3], 2, rng=0), callbacks=[CSVLogger("/dev/full")], rng=0, verbose=False
    )
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        trainer.fit(np.eye(2), [0, 1], epochs=3)
    assert trainer.epoch == trainer.step == trainer.model.step == 1
    trainer.callbacks.clear()
    trainer.fit(np.eye(2), [0, 1], epochs=1)
    assert trainer.history.epochs == [0, 1]


def test_the_log_writes_within_a_fit_only(tmp_path):
    with pytest.raises(RuntimeError, match="within a fit only"):
        CSVLogger(tmp_path / "log.csv").on_epoch_end(SimpleNamespace(), 0, {"loss": 1.0})


def test_callbacks_work_side_by_side(tmp_path):
    stop, reduce = EarlyStopping(patience=4), ReduceLROnPlateau(patience=2, factor=0.5)
    trainer = FakeTrainer(stop, reduce, CSVLogger(tmp_path / "log.csv"))
    trainer.fit(losses(1.0, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6))
    assert trainer.epoch == 6
    assert trainer.lr_factor == 0.25
    assert trainer.weight == 2
    assert len(read_csv(tmp_path / "log.csv")) == 7


# -- what is shown ---------------------------------------------------------------------------------


def test_callbacks_say_what_they_were_given():
    assert repr(EarlyStopping(patience=3)) == (
        "EarlyStopping(monitor='val_loss', patience=3, min_delta=0.0, mode='min', "
        "restore_best=True)"
    )
    assert repr(LearningRateSchedule(0.1)) == "LearningRateSchedule(schedule=Constant(lr=0.1))"
    assert repr(CSVLogger("h.csv")) == "CSVLogger(path=PosixPath('h.csv'), append=False)"
    assert repr(Callback()) == "Callback()"


def test_callbacks_of_ones_own_are_shown_in_short():
    class Best(Callback):
        def __init__(self, x, depth=2):
            self.x = x  # the other is kept under no name

    assert repr(Best(np.zeros((500, 500)))).startswith("Best(x=array([[0., 0.")
    assert len(repr(Best(np.zeros((500, 500))))) < 60
