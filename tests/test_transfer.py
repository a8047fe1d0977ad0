"""Freezing, new heads, and learning rates of their own."""

import copy

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of

import fastnn as fnn
from fastnn.storage import read_file, write_file


def network(backend=None, **settings):
    """affine1 batchnorm1 relu1 affine2 batchnorm2 relu2 affine3, trained for a while."""
    settings = {"rng": 0, "dtype": "float64"} | settings
    model = fnn.mlp(8, [6, 5], 3, batch_norm=True, backend=backend, **settings)
    trainer_of(model).fit(*blobs(60), epochs=1)
    return model


def trained(model):
    return [layer.index for layer in model.layers if layer.trainable]


class Watched(fnn.Affine):
    """Counts its backward passes."""

    kind = "watched"
    calls = 0

    def backward(self, dout, input_gradient=True):
        self.calls += 1
        return super().backward(dout, input_gradient)


# -- freeze and unfreeze ---------------------------------------------------------------------------


@pytest.mark.parametrize("until", [3, -4, np.int64(3), "affine2"])
def test_freeze_until_a_layer(until):
    model = network()
    model.freeze(until=until)
    assert trained(model) == [4, 5, 6]
    assert model.first_trained() == 4


def test_freeze_until_the_layer_itself_and_as_a_whole():
    model = network()
    model.freeze(model.layers[0])
    assert trained(model) == [1, 2, 3, 4, 5, 6]
    model.freeze()
    assert trained(model) == []
    model.unfreeze()
    assert trained(model) == [0, 1, 2, 3, 4, 5, 6]


def test_gradients_are_those_of_what_is_not_frozen():
    model = fnn.mlp(8, [6], 3, batch_norm=True, rng=0)
    model.freeze(until="batchnorm1")
    _, grads = fnn.Trainer(model, verbose=False).gradients(*blobs(20))
    assert list(grads) == model.trained_names() == ["affine2.w", "affine2.b"]


def test_unfreeze_a_range_with_a_rate_of_its_own():
    model = network()
    model.freeze(until=-2)
    model.unfreeze(since="affine2", until="relu2", lr_scale=0.25)
    assert trained(model) == [3, 4, 5, 6]
    assert [layer.lr_scale for layer in model.layers] == [1, 1, 1, 0.25, 0.25, 0.25, 1]
    model.unfreeze(since=4)
    assert [layer.lr_scale for layer in model.layers] == [1, 1, 1, 0.25, 0.25, 0.25, 1]
    model.unfreeze(lr_scale=1)
    assert {layer.lr_scale for layer in model.layers} == {1.0}


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "until must be one of .*affine1, .*'affine9'", lambda m: m.freeze("affine9")),
        (ValueError, "until must be the index of one of 7 layers; got 7", lambda m: m.freeze(7)),
        (ValueError, "until must be the index .*; got -8", lambda m: m.freeze(-8)),
        (TypeError, "until must be a layer, .*got True", lambda m: m.freeze(True)),
        (TypeError, r"since must be a layer, .*got 1\.5", lambda m: m.unfreeze(1.5)),
        (ValueError, "until must be one of", lambda m: m.freeze(fnn.Affine(3))),
        (ValueError, "since must not come after until; got relu2 and affine1",
         lambda m: m.unfreeze(5, 0)),
        (ValueError, "lr_scale must be .*got -1", lambda m: m.unfreeze(lr_scale=-1)),
        (TypeError, "lr_scale must be a number; got 'x'", lambda m: m.unfreeze(lr_scale="x")),
    ],
)  # fmt: skip
def test_what_cannot_be_frozen(error, message, call):
    model = network()
    before = model.config()
    with pytest.raises(error, match=message):
        call(model)
    assert model.config() == before


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_a_scale_is_refused_where_it_is_set(scale):
    layer = fnn.Affine(3)
    with pytest.raises(ValueError, match="lr_scale must be a finite number in"):
        layer.lr_scale = scale
    assert layer.lr_scale == 1


def test_frozen_parts_cost_no_gradient():
    """Backward is not even called below the first layer that is trained, and the weights of a
    frozen layer above it get no gradient.
    """
    layers = [Watched(6), fnn.Tanh(), Watched(5), fnn.Tanh(), Watched(4), fnn.Tanh(), Watched(3)]
    model = fnn.Sequential(layers, 8, rng=0)
    model.flat_grads[:] = 7
    model.freeze("watched2")
    model.layers[6].trainable = False
    fnn.Trainer(model, engine="eager", batch_size=20, verbose=False).fit(*blobs(60), epochs=1)
    assert [layer.calls for layer in layers[::2]] == [0, 0, 3, 3]
    for layer in (layers[0], layers[2], layers[6]):
        assert (layer.dw == 7).all()
        assert (layer.db == 7).all()
    assert not (layers[4].dw == 7).any()


def test_a_frozen_body_does_not_move(executor):
    """Neither its weights nor the running averages of its BatchNorm, which takes any batch."""
    model = network(executor.backend)
    model.freeze(until=-2)
    before = model.snapshot()
    x, y = blobs(61, seed=3)
    features = model.activations(x, until=-2)
    trainer_of(model, executor).fit(x, y, epochs=2)  # the last batch has a single row
    for name, array in model.snapshot().items():
        assert np.array_equal(array, before[name]) == (not name.startswith("affine3")), name
    np.testing.assert_array_equal(model.activations(x, until=-2), features)


def nothing_moves(model, executor):
    """Fit a model that cannot learn; return what it is warned of."""
    before = model.snapshot()
    with pytest.warns(UserWarning, match="^fit has nothing to train: ") as caught:
        trainer_of(model, executor).fit(*blobs(60), epochs=2)
    assert all(np.array_equal(before[n], array) for n, array in model.snapshot().items())
    (warning,) = caught  # once for a fit, and where fit was called
    assert warning.filename == __file__
    return str(warning.message)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_fit_that_trains_nothing_warns(executor, freeze):
    """Every layer frozen, or some of them and no rate for the others."""
    model = fnn.mlp(8, [6], 3, rng=0, dtype="float64", backend=executor.backend)
    model.freeze(until=None if freeze else 0)
    if not freeze:
        model.unfreeze(since=1, lr_scale=0)
    said = nothing_moves(model, executor)
    assert "frozen, or has an lr_scale of 0; model.unfreeze(lr_scale=1)" in said
    model.unfreeze(lr_scale=1)  # as it said; a warning would be an error here
    before = model.snapshot()
    trainer_of(model, executor).fit(*blobs(60), epochs=1)
    assert not np.array_equal(before["affine1.w"], model.params["affine1.w"])


def test_a_fit_without_parameters_warns():
    model = fnn.Sequential([fnn.ReLU()], 8, rng=0)
    with pytest.warns(UserWarning, match="the model has no parameters"):
        fnn.Trainer(model, verbose=False).fit(*blobs(60), epochs=1)


def test_moving_averages_are_something_to_train():
    model = network(rng=0)
    model.unfreeze(lr_scale=0)
    before = model.snapshot()
    trainer_of(model).fit(*blobs(60, seed=3), epochs=1)
    for name, array in model.snapshot().items():
        assert np.array_equal(array, before[name]) == ("running" not in name), name


def test_what_a_callback_unfreezes_first_is_not_warned_of():
    class Thaw(fnn.Callback):
        def on_train_begin(self, trainer):
            trainer.model.unfreeze()

    model = network()
    model.freeze()
    fnn.Trainer(model, callbacks=[Thaw()], verbose=False, engine="eager").fit(*blobs(60), epochs=1)


# -- learning rates of their own -------------------------------------------------------------------


@pytest.mark.parametrize("make", fnn.optimizers.OPTIMIZERS.values(), ids=lambda cls: cls.__name__)
def test_each_layer_steps_at_its_rate(make, executor):
    """A step with lr_scale is, layer by layer, the step with that learning rate."""
    scales = [1, 0.25, 1, 0.25, 2, 1, 0]
    x, y = blobs(20)
    after = {}
    for scale in {None, *scales}:
        model = network(executor.backend)
        for layer, own in zip(model.layers, scales, strict=True):
            layer.lr_scale = own if scale is None else 1
        rate = 0.01 * (1 if scale is None else scale)
        # An optimizer refuses a rate of zero.
        trainer_of(model, executor, optimizer=make(lr=rate or 1e-300)).fit(x, y, epochs=1)
        after[scale] = model.params
    start = network(executor.backend).params
    for layer, scale in zip(model.layers, scales, strict=True):
        for key in layer.param_names:
            name = f"{layer.name}.{key}"
            np.testing.assert_array_equal(after[None][name], after[scale][name])
            assert np.array_equal(after[None][name], start[name]) == (scale == 0)


def test_spans_end_where_the_rate_changes():
    model = network()
    assert [scale for _, scale in model.rated_spans()] == [1]
    model.layers[5].lr_scale = 0.5  # without parameters
    assert len(model.rated_spans()) == 1
    model.layers[3].lr_scale = model.layers[4].lr_scale = 0.5
    assert [scale for _, scale in model.rated_spans()] == [1, 0.5, 1]
    model.layers[0].trainable = model.layers[4].trainable = False
    assert [scale for _, scale in model.rated_spans()] == [1, 0.5, 1]
    model.layers[4].trainable, model.layers[3].trainable = True, False
    assert [span for span, _ in model.rated_spans()] == model.trainable_spans()
    marks = np.zeros_like(model.flat_params)
    for span, scale in model.rated_spans():
        marks[span] += scale
    for layer, mark in zip(model.layers, [0, 1, 0, 0, 0.5, 0, 1], strict=True):
        for key in layer.param_names:
            start = model.offset(f"{layer.name}.{key}")
            assert (marks[start : start + getattr(layer, key).size] == mark).all()


def test_rates_of_their_own_do_not_change_the_engine():
    model = network()
    model.layers[3].lr_scale = 0.1
    assert trainer_of(model).engine == trainer_of(network()).engine


def test_a_rate_set_after_the_engine_was_chosen_counts(executor):
    after = []
    for engine in ("eager", executor.engine):
        model = network(executor.backend)
        trainer = trainer_of(model, engine=engine)
        trainer.fit(*blobs(60), epochs=1)
        model.unfreeze(until="relu2", lr_scale=0.1)
        trainer.fit(*blobs(60), epochs=1)
        after.append(model.flat_params.copy())
    np.testing.assert_allclose(*after, rtol=1e-5, atol=1e-6)


# -- a new head ------------------------------------------------------------------------------------


def test_replace_head(backend, dtype):
    old = network(backend, dtype=dtype)
    old.freeze("relu1")
    old.layers[3].lr_scale = 0.5
    before = numbers(old)
    new = old.replace_head(4, rng=0)
    assert new.output_size == 4
    assert (new.dtype, new.backend, new.input_shape, new.step) == (dtype, old.backend, (8,), 0)
    assert [repr(layer) for layer in new.layers[:-1]] == [repr(layer) for layer in old.layers[:-1]]
    for name, array in numbers(new).items():
        if not name.startswith("affine3"):
            assert array == before[name]
    assert trained(new) == [3, 4, 5, 6]
    assert new.layers[3].lr_scale == 0.5
    x, y = blobs(60, classes=4)
    np.testing.assert_array_equal(new.activations(x, -2), old.activations(x, -2))
    new.unfreeze(lr_scale=1)
    trainer_of(new).fit(x, y, epochs=1)
    assert numbers(old) == before
    assert not np.shares_memory(new.flat_params, old.flat_params)


def test_replace_head_is_drawn_from_rng():
    old = network()
    heads = [old.replace_head(4, rng=seed).params["affine3.w"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert (heads[0] != heads[2]).all()


def test_a_head_of_several_layers_in_place_of_several():
    old = network()
    head = [fnn.Affine(9, init="xavier"), fnn.Tanh(), fnn.Affine(2)]
    new = old.replace_head(head, since="batchnorm2", rng=0)
    assert [layer.kind for layer in new.layers] == [
        *("affine", "batchnorm", "relu", "affine"), "affine", "tanh", "affine"
    ]  # fmt: skip
    assert list(new.layers[4:]) == head
    np.testing.assert_array_equal(new.params["affine2.w"], old.params["affine2.w"])


def test_layers_after_the_last_affine_go_too():
    model = fnn.Sequential([fnn.Affine(3), fnn.Tanh(), fnn.Affine(1), fnn.Sigmoid()], 8, rng=0)
    assert [layer.kind for layer in model.replace_head(2).layers] == ["affine", "tanh", "affine"]


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "head must be at least 1; got 0", lambda m: m.replace_head(0)),
        (TypeError, "head must be an integer; got 'four'", lambda m: m.replace_head("four")),
        (TypeError, "layers must hold layers", lambda m: m.replace_head(["relu"])),
        (ValueError, "since must be one of", lambda m: m.replace_head(3, since="softmax")),
        (ValueError, "no Affine layer", lambda m: fnn.Sequential([fnn.ReLU()], 3).replace_head(2)),
    ],
)
def test_a_head_that_cannot_be(error, message, call):
    with pytest.raises(error, match=message):
        call(network())


def test_from_layers_refuses_what_does_not_fit():
    model = network()
    with pytest.raises(ValueError, match="trained on 8 features and would get 9 as affine1"):
        fnn.Sequential.from_layers(model.layers[:1], 9)
    with pytest.raises(ValueError, match=r"trained on 6 features and would get 1 as batchnorm1"):
        fnn.Sequential.from_layers([fnn.Affine(1), model.layers[1]], 9)
    with pytest.raises(TypeError, match="layers must be a sequence"):
        fnn.Sequential.from_layers(model, 8)


# -- activations -----------------------------------------------------------------------------------


def test_activations(backend, dtype):
    model = network(backend, dtype=dtype)
    x = blobs(2100)[0].astype(dtype)  # more than the rows that go through together
    np.testing.assert_allclose(model.activations(x), model.predict(x), rtol=1e-5)
    expected = np.maximum(model.activations(x, until="batchnorm1"), 0)
    np.testing.assert_array_equal(model.activations(x, until="relu1"), expected)
    np.testing.assert_array_equal(
        model.activations(expected, since="affine2"), model.activations(x)
    )
    assert model.activations(x, until=3).dtype == dtype
    with pytest.raises(ValueError, match=r"x must have shape \(N, 6\); got \(2100, 8\)"):
        model.activations(x, since="affine2")


def test_activations_of_images():
    model = fnn.mlp((1, 2, 2), [3], 2, rng=0)
    assert model.activations(np.ones((5, 1, 2, 2), np.uint8), until=0).shape == (5, 3)


# -- description and files -------------------------------------------------------------------------


def test_summary_shows_how_layers_are_trained():
    model = network()
    model.freeze("relu1")
    model.unfreeze("affine2", "relu2", lr_scale=0.1)
    lines = str(model.summary()).splitlines()
    ends = ["54 (frozen)", "12 (frozen)", "0", "35 (lr x 0.1)", "10 (lr x 0.1)", "0", "18"]
    for line, end in zip(lines[2:-1], ends, strict=True):
        assert line.endswith(f"  {end}")
    assert "129 parameters (63 trained)" in lines[-1]


@pytest.mark.parametrize("copied", ["file", copy.deepcopy])
def test_scales_come_back(tmp_path, copied):
    model = network()
    model.layers[0].lr_scale, model.layers[4].lr_scale = 0.1, np.float32(0.5)
    if copied == "file":
        model.save(tmp_path / "model.fnn")
        twin = fnn.load(tmp_path / "model.fnn")
    else:
        twin = copied(model)
    assert [layer.lr_scale for layer in twin.layers] == [0.1, 1, 1, 1, 0.5, 1, 1]
    assert twin.config() == model.config()


@pytest.mark.parametrize("scales", [[[9, 0.5]], [[0, -1]], [[0, "x"]], [0], 3, [["a", 1]]])
def test_changed_scales_are_refused(tmp_path, scales):
    path = tmp_path / "model.fnn"
    network().save(path)
    arrays, config = read_file(path)
    write_file(path, arrays, config | {"lr_scales": scales})
    with pytest.raises(fnn.CorruptFileError, match="is not a fastnn model"):
        fnn.load(path)


# -- the whole of it -------------------------------------------------------------------------------


def test_a_body_trained_elsewhere_helps():
    """Pretrained on five digits; the others from 100 samples: the head alone on that body beats a
    head on a random one, and going on with the last layers, slower, does no harm.
    """
    (x, y), (x_test, y_test) = fnn.data.load_digits()
    low, high, high_test = y < 5, y >= 5, y_test >= 5
    few, labels = x[high][:100], y[high][:100] - 5
    test = x_test[high_test], y_test[high_test] - 5

    def accuracy(body, thaw=False):
        model = body.replace_head(5, rng=1)
        model.freeze(until=-2)
        trainer_of(model, lr=1e-2).fit(few, labels, epochs=20)
        if thaw:
            model.unfreeze(since="affine2", until=-2, lr_scale=0.1)
            trainer_of(model, lr=1e-2).fit(few, labels, epochs=20)
        return trainer_of(model).evaluate(*test)["accuracy"]

    body = fnn.mlp(64, [30, 10], 5, rng=0)
    random = accuracy(body)
    trainer_of(body, lr=1e-2).fit(x[low], y[low], epochs=10)
    assert accuracy(body) > random + 0.05
    assert accuracy(body, thaw=True) > accuracy(body) - 0.02
