"""The range test finds a rate that trains, says where it explodes, and leaves no trace."""

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn.lab import lr_find
from fastnn.pictures import VALIDATION_COLOUR, png_bytes

X, Y = blobs(200)


@pytest.fixture(scope="module")
def digits():
    return fnn.data.load_digits()


def classifier():
    return fnn.mlp(64, [50, 50], 10, rng=0)


@pytest.mark.parametrize(
    "optimizer", [fnn.SGD, fnn.Momentum, fnn.Adam, fnn.RMSProp], ids=lambda cls: cls.__name__
)
def test_the_suggestion_trains(digits, optimizer):
    (x, y), (x_test, y_test) = digits
    found = lr_find(classifier(), x, y, optimizer=optimizer(lr=1e-3))
    accuracies = {}
    for factor in (1, 1e-3, 1e3):
        trainer = fnn.Trainer(
            classifier(), optimizer=optimizer(lr=factor * found.suggestion), rng=0, verbose=False
        )
        try:
            trainer.fit(x, y, epochs=10)
            accuracies[factor] = trainer.evaluate(x_test, y_test)["accuracy"]
        except fnn.DivergenceError:
            accuracies[factor] = 0.0
    assert accuracies[1] > 0.88
    assert max(accuracies[1e-3], accuracies[1e3]) < 0.6


def test_nothing_of_the_trainer_changes(executor):
    plain, tested = (trainer_of(every_layer(executor.backend), executor) for _ in range(2))
    for trainer in (plain, tested):
        trainer.fit(X, Y, epochs=1)
    found = lr_find(tested, X, Y, steps=60)
    assert len(found.rates) > 20
    assert numbers(tested.model) == numbers(plain.model)
    for trainer in (plain, tested):
        trainer.fit(X, Y, epochs=1)
    assert numbers(tested.model) == numbers(plain.model)
    assert tested.history["loss"] == plain.history["loss"]


def test_rates_grow_by_one_factor_and_losses_are_those_of_training():
    trainer = trainer_of(optimizer=fnn.SGD(0.1), batch_size=200)
    found = lr_find(trainer, X, Y, low=1e-4, high=1e-2, steps=40, smoothing=0.0)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e-2, 40))
    np.testing.assert_allclose(found.smoothed, found.losses)
    assert not found.exploded
    losses = [trainer.train_batch(X, Y, lr=rate) for rate in found.rates]
    np.testing.assert_allclose(found.losses, losses, rtol=1e-9)


def test_the_suggestion_keeps_away_from_the_lowest_loss(digits):
    """SGD without BatchNorm falls fastest right before it explodes."""
    (x, y), _ = digits
    found = lr_find(classifier(), x, y, optimizer=fnn.SGD(0.1))
    lowest = found.smoothed.argmin()
    slopes = np.diff(found.smoothed[10 : lowest + 1])
    assert found.rates[10 + slopes.argmin()] > 1.5 * found.suggestion
    assert found.suggestion == pytest.approx(found.rates[lowest] / 10)


def test_smoothing_has_no_bias_towards_zero():
    found = lr_find(trainer_of(), X, Y, low=1e-12, high=1e-11, steps=30, smoothing=0.9)
    assert found.smoothed[0] == pytest.approx(found.losses[0])
    assert found.smoothed.min() > found.losses.min()
    assert found.suggestion is None
    assert "never fell" in str(found)
    assert "held up to 1e-11" in repr(found)


def test_the_test_ends_where_the_loss_explodes():
    found = lr_find(trainer_of(optimizer=fnn.SGD(0.1)), X, Y, high=1e6, steps=150)
    assert found.exploded
    assert found.rates[-1] < 1e6
    assert np.isfinite(found.losses).all()
    assert found.suggestion < found.rates[-1] / 10
    assert f"exploded at {found.rates[-1]:.2g}" in str(found)


def test_same_seed_same_result_and_uint8_rows():
    x = np.random.default_rng(0).integers(0, 256, (90, 8), dtype=np.uint8)
    y = (x[:, 0] > 128).astype(int)
    first, again = (lr_find(fnn.mlp(8, [9], 2, rng=1), x, y, steps=50) for _ in range(2))
    np.testing.assert_array_equal(first.losses, again.losses)
    other = lr_find(fnn.mlp(8, [9], 2, rng=1), x, y, steps=50, rng=2, batch_size=10)
    assert other.losses[0] != first.losses[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"low": 0}, ValueError, "low must be above 0"),
        ({"low": 1.0, "high": 0.1}, ValueError, "below high"),
        ({"steps": 5}, ValueError, "steps must be at least 20"),
        ({"smoothing": 1.0}, ValueError, "smoothing"),
        ({"y": Y + 3}, ValueError, "class labels 0..2"),
        ({"x": X[:-1]}, ValueError, "y must have 199 rows"),
        ({"trainer": "adam"}, TypeError, "a Trainer or a model; got str"),
        ({"batch_size": 3}, TypeError, "batch_size cannot be given along with a Trainer"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        lr_find(**{"trainer": trainer_of(), "x": X, "y": Y} | arguments)


def test_rows_that_diverge_at_once_are_an_error():
    x = X.copy()
    x[:, 0] = np.nan
    with pytest.raises(fnn.DivergenceError):
        lr_find(trainer_of(), x, Y)


def test_plot_marks_the_suggestion():
    found = lr_find(trainer_of(), X, Y)
    (axes,) = found.plot("a title").axes
    assert axes.get_xscale() == "log"
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [mark.get_color() for mark in marks] == [VALIDATION_COLOUR]
    assert marks[0].get_xdata()[0] == found.suggestion
    # A loss of its start fits into the picture, that of the explosion need not.
    assert axes.get_ylim()[0] < found.losses.min() < found.losses[0] < axes.get_ylim()[1]
    assert png_bytes(axes.figure)
