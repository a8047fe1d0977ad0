"""Monitors see what is there, and training does not see them."""

import math

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn.lab import ActivationMonitor, GradientMonitor, WeightMonitor, plots
from fastnn.pictures import png_bytes

X, Y = blobs(120)


def monitors(every=1):
    return [
        ActivationMonitor(X[:40], every),
        GradientMonitor(X[:20], Y[:20], every),
        WeightMonitor(every, image_shape=(2, 4)),
    ]


@pytest.mark.parametrize("optimizer", [fnn.Adam(0.01), fnn.Momentum(0.05)], ids=lambda o: o.kind)
def test_training_is_the_same_to_the_last_bit(executor, optimizer):
    """With dropout, BatchNorm and averages; on every engine and backend."""

    def train(callbacks):
        model = every_layer(executor.backend, "float32")
        trainer = trainer_of(model, executor, optimizer=optimizer, callbacks=callbacks)
        for epochs in (2, 1):
            trainer.fit(X, Y, epochs=epochs, validation_data=(X, Y))
        averages = {name: a.tobytes() for name, a in trainer._runner.averages.items()}
        steps = trainer.step, model.step
        curves = {n: v for n, v in trainer.history.items() if n != "seconds"}
        return numbers(model), averages, steps, curves

    assert train(monitors()) == train([])


def test_the_native_engine_is_not_asked_for_every_batch():
    assert not any(monitor.watches_every_batch() for monitor in monitors())


def test_when_they_measure():
    every_third = monitors(every=3)
    trainer = trainer_of(callbacks=every_third)
    trainer.fit(X, Y, epochs=7)
    for monitor in every_third:
        assert monitor.epochs == [0, 3, 6, 7]
    trainer.fit(X, Y, epochs=2)
    for monitor in every_third:
        assert monitor.epochs == [0, 3, 6, 7, 9]
    assert len(every_third[1].gradient_norm["affine1.w"]) == 5


def test_an_early_stop_is_measured():
    class Stop(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            trainer.stop_training = epoch == 1

    monitor = WeightMonitor(every=10)
    trainer_of(callbacks=[Stop(), monitor]).fit(X, Y, epochs=9)
    assert monitor.epochs == [0, 2]


# -- what they measure -----------------------------------------------------------------------------


def test_statistics_are_those_of_the_outputs():
    model = fnn.mlp(8, [6, 5], 3, activation="tanh", rng=0, dtype="float64")
    monitor = ActivationMonitor(X)
    start = np.tanh(X @ model.params["affine1.w"] + model.params["affine1.b"])
    second = np.tanh(start @ model.params["affine2.w"] + model.params["affine2.b"])
    trainer_of(model, callbacks=[monitor]).fit(X, Y, epochs=1)
    assert list(monitor.mean) == ["tanh1", "tanh2"]
    for name, out in (("tanh1", start), ("tanh2", second)):
        assert monitor.mean[name][0] == pytest.approx(out.mean())
        assert monitor.std[name][0] == pytest.approx(out.std())
        assert monitor.saturated[name][0] == pytest.approx((1 - out**2 < 0.05).mean())
        counts, edges = monitor.histograms[name][0]
        assert counts.sum() == out.size
        assert (edges[0], edges[-1]) == pytest.approx((out.min(), out.max()))
    assert monitor.dead == {}


def test_sigmoid_is_saturated_where_its_slope_is_gone():
    model = fnn.Sequential([fnn.Affine(1), fnn.Sigmoid(), fnn.Affine(2)], 1, dtype="float64")
    model.params["affine1.w"][:] = 1
    x = np.linspace(-8, 8, 161)[:, None]
    slope = np.exp(-x) / (1 + np.exp(-x)) ** 2
    monitor = ActivationMonitor(x)
    trainer_of(model, callbacks=[monitor]).fit(x, (x[:, 0] > 0).astype(int), epochs=1)
    assert monitor.saturated["sigmoid1"][0] == pytest.approx((slope < 0.05 / 4).mean())
    assert 0.3 < monitor.saturated["sigmoid1"][0] < 0.7


def test_dead_units_are_those_that_no_row_wakes():
    model = fnn.mlp(8, [10], 3, rng=0)
    model.params["affine1.b"][:3] = -1e3
    monitor = ActivationMonitor(X)
    trainer_of(model, callbacks=[monitor]).fit(X, Y, epochs=2)
    assert monitor.dead["relu1"] == pytest.approx([0.3] * 3)
    assert monitor.saturated == {}


def test_a_rate_too_high_kills_units():
    (x, y), _ = fnn.data.load_digits()
    monitor = ActivationMonitor(x[:200])
    model = fnn.mlp(64, [50, 50], 10, rng=0)
    trainer_of(model, callbacks=[monitor], lr=0.5, batch_size=100).fit(x, y, epochs=3)
    assert monitor.dead["relu2"][0] < 0.2 < 0.7 < monitor.dead["relu2"][-1]


def test_batchnorm_is_measured_as_in_training():
    model = fnn.mlp(8, [200], 3, batch_norm=True, activation="tanh", rng=0)
    monitor = ActivationMonitor(100 * X)  # by running statistics of 0 and 1 all would be saturated
    trainer_of(model, callbacks=[monitor]).fit(100 * X, Y, epochs=1)
    assert monitor.saturated["tanh1"][0] < 0.1


def test_gradients_and_steps_are_those_of_training(executor):
    model = every_layer(executor.backend)
    monitor = GradientMonitor(X[:20], Y[:20])
    # The probe is the one batch that is trained on: what it foretells is what happens.
    trainer = trainer_of(model, executor, callbacks=[monitor], regularizer=fnn.L2(0.01))
    _, gradients = trainer.gradients(X[:20], Y[:20])
    before = model.snapshot()
    trainer.fit(X[:20], Y[:20], epochs=1, shuffle=False)
    assert monitor.gradient_norm.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert monitor.gradient_norm[name][0] == pytest.approx(np.linalg.norm(gradient))
        step = np.linalg.norm(model.params[name] - before[name])
        size = np.linalg.norm(before[name])
        if size:
            assert monitor.update_ratio[name][0] == pytest.approx(step / size, rel=1e-5)
        else:
            assert math.isnan(monitor.update_ratio[name][0])
    assert np.isfinite([ratios[1] for ratios in monitor.update_ratio.values()]).all()


def test_a_healthy_ratio_and_one_of_a_rate_too_high():
    (x, y), _ = fnn.data.load_digits()
    ratios = {}
    for lr in (1e-3, 1e-1):
        monitor = GradientMonitor(x[:100], y[:100])
        trainer_of(
            fnn.mlp(64, [100], 10, rng=0), lr=lr, batch_size=100, callbacks=[monitor]
        ).fit(x, y, epochs=5)  # fmt: skip
        ratios[lr] = monitor.update_ratio["affine1.w"][-1]
    assert 2e-4 < ratios[1e-3] < 5e-3 < ratios[1e-1]


def test_a_step_that_diverges_is_left_to_the_fit():
    monitor = GradientMonitor(np.full((4, 8), np.inf), Y[:4])
    trainer = trainer_of(callbacks=[monitor])
    trainer.fit(X, Y, epochs=1)
    assert all(math.isnan(value) for value in monitor.update_ratio["affine1.w"])


def test_frozen_layers_have_gaps():
    monitor = GradientMonitor(X, Y)
    trainer = trainer_of(callbacks=[monitor])
    trainer.model.layers[0].trainable = False
    trainer.fit(X, Y, epochs=1)
    assert list(monitor.gradient_norm) == ["affine2.w", "affine2.b"]
    trainer.model.layers[0].trainable = True
    trainer.fit(X, Y, epochs=1)
    norms = monitor.gradient_norm["affine1.w"]
    assert np.isnan(norms).tolist() == [True, True, False]


def test_weights_are_copies_of_the_first_units():
    model = fnn.mlp(8, [6], 3, rng=0)
    first = model.params["affine1.w"].copy()
    monitor = WeightMonitor(units=4)
    trainer_of(model, callbacks=[monitor]).fit(X, Y, epochs=1)
    np.testing.assert_array_equal(monitor.weights[0], first[:, :4])
    np.testing.assert_array_equal(monitor.weights[1], model.params["affine1.w"][:, :4])


# -- arguments and pictures ------------------------------------------------------------------------


def test_bad_arguments_are_named():
    for monitor in (ActivationMonitor, WeightMonitor):
        arguments = () if monitor is WeightMonitor else (X,)
        with pytest.raises(ValueError, match="every must be at least 1"):
            monitor(*arguments, every=0)
    with pytest.raises(TypeError, match="bins must be an integer"):
        ActivationMonitor(X, bins=2.5)
    with pytest.raises(ValueError, match="x must have shape"):
        trainer_of(callbacks=[ActivationMonitor(X[:, :3])]).fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match="y must have 120 rows"):
        trainer_of(callbacks=[GradientMonitor(X, Y[:5])]).fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match="needs a model with an affine layer"):
        trainer_of(fnn.Sequential([fnn.BatchNorm()], 3), callbacks=[WeightMonitor()]).fit(
            X[:, :3], Y, epochs=1
        )
    for monitor in monitors():
        with pytest.raises(ValueError, match="has measured nothing"):
            monitor.plot()


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_plot_of_activations(activation, epochs):
    monitor = ActivationMonitor(X)
    model = fnn.mlp(8, [9, 9], 3, activation=activation, rng=0)
    trainer_of(model, callbacks=[monitor]).fit(X, Y, epochs=epochs)
    figure = monitor.plot("a title")
    assert figure.get_suptitle() == "a title"
    panels = {axes.get_ylabel(): axes for axes in figure.axes if axes.get_ylabel()}
    table = monitor.dead if activation == "relu" else monitor.saturated
    label = "dead units, %" if activation == "relu" else "saturated outputs, %"
    assert set(panels) == {"mean of outputs", "standard deviation", label}
    for line, name in zip(panels[label].lines, table, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * np.array(table[name]))
        np.testing.assert_array_equal(line.get_xdata(), range(epochs + 1))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{activation}1", f"{activation}2"]
    assert png_bytes(figure)


def test_plot_of_a_model_without_activations():
    monitor = ActivationMonitor(X)
    trainer_of(fnn.mlp(8, [], 3, rng=0), callbacks=[monitor]).fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match="no activation layer"):
        monitor.plot()


def test_plot_of_gradients():
    monitor = GradientMonitor(X, Y)
    trainer_of(callbacks=[monitor]).fit(X, Y, epochs=3)
    norms, ratios = monitor.plot().axes
    assert (norms.get_yscale(), ratios.get_yscale()) == ("log", "log")
    for line, name in zip(norms.lines, ("affine1.w", "affine2.w"), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), monitor.gradient_norm[name])
    assert len(monitor.plot(["affine1.b"]).axes[0].lines) == 1
    with pytest.raises(ValueError, match=r"parameters must be among affine1\.w"):
        monitor.plot(["w"])
    assert png_bytes(monitor.plot(["affine1.b"]))


def test_plot_of_weights():
    monitor = WeightMonitor(units=5)
    model = fnn.Sequential([fnn.Affine(7), fnn.ReLU(), fnn.Affine(3)], (1, 2, 4), rng=0)
    trainer_of(model, callbacks=[monitor]).fit(X, Y, epochs=1)
    figure = monitor.plot(0)
    assert figure.get_suptitle() == "weights of the first layer before training"
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 5
    for unit, image in enumerate(images):
        np.testing.assert_array_equal(image, monitor.weights[0][:, unit].reshape(2, 4))
    assert png_bytes(figure)


def test_images_need_a_shape():
    w = np.arange(32.0).reshape(16, 2)
    assert plots.weight_images(w).axes[0].images[0].get_array().shape == (4, 4)
    assert plots.weight_images(np.zeros((6, 1)), (2, 3)).axes[0].images
    for array, shape in ((w, (3, 5)), (w, (16,)), (w[:15], None)):
        with pytest.raises(ValueError, match="image_shape must be"):
            plots.weight_images(array, shape)
    with pytest.raises(ValueError, match="w must have shape"):
        plots.weight_images(w[:, 0])
