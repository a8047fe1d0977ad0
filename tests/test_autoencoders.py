"""Autoencoders: what they reconstruct, how they are stacked, and what they refuse."""

import numpy as np
import pytest
from networks import blobs, numbers, trainer_of

import fastnn as fnn


@pytest.fixture(scope="module")
def digits():
    """Images (1437, 64) with values in [0, 1], and others, with their labels."""
    (x, y), (x_test, y_test) = fnn.data.load_digits()
    return x, y, x_test, y_test


def autoencoder(code=3, n_in=8, cls=fnn.Autoencoder, **settings):
    """A small and quiet one."""
    settings = {"rng": 0, "verbose": False, "optimizer": fnn.Adam(1e-2)} | settings
    return cls(n_in, code, **settings)


def error(model, x):
    return ((model.reconstruct(x) - x) ** 2).mean()


def kinds(layers):
    return [layer.kind for layer in layers]


# -- the network -----------------------------------------------------------------------------------


def test_the_decoder_mirrors_the_encoder():
    one = autoencoder([6, 4, 2], activation="tanh", output="sigmoid")
    assert kinds(one.encoder) == ["affine", "tanh"] * 3
    assert kinds(one.decoder) == [*("affine", "tanh") * 2, "affine", "sigmoid"]
    affine = [layer for layer in one.model.layers if layer.kind == "affine"]
    assert [layer.n_out for layer in affine] == [6, 4, 2, 4, 6, 8]
    assert one.code_size == 2
    assert list(one.model.layers) == one.encoder + one.decoder


def test_settings_reach_the_parts(backend, dtype):
    one = autoencoder(
        n_in=(1, 2, 4), activation=None, init=0.5, loss="sum_squared_error", dtype=dtype,
        backend=backend, batch_size=7, engine="eager",
    )  # fmt: skip
    assert one.model.input_shape == (1, 2, 4)
    assert (one.model.dtype, one.model.backend.name) == (dtype, backend)
    assert kinds(one.model.layers) == ["affine", "affine"]
    assert {layer.init for layer in one.model.layers} == {0.5}
    assert (one.trainer.batch_size, one.trainer.engine) == (7, "eager")
    assert one.trainer.loss.kind == "sum_squared_error"
    assert one.encode(np.ones((5, 1, 2, 4))).dtype == dtype


def test_encode_and_decode_make_up_reconstruct():
    x = blobs()[0].astype(np.float32)
    one = autoencoder([6, 3], output="tanh")
    codes = one.encode(x)
    assert codes.shape == (len(x), 3)
    np.testing.assert_allclose(one.decode(codes), one.reconstruct(x), atol=1e-6)
    np.testing.assert_allclose(one.model.predict(x), one.reconstruct(x), atol=1e-6)


def test_the_same_seed_gives_the_same_numbers():
    x = blobs()[0]
    trained = []
    for seed in (3, 3, 4):
        one = autoencoder(rng=seed)
        one.fit(x, epochs=2)
        trained.append(numbers(one.model))
    assert trained[0] == trained[1] != trained[2]


def test_it_trains_natively_where_every_part_can():
    expected = trainer_of().engine
    assert autoencoder(output="sigmoid").trainer.engine == expected
    assert autoencoder(tied=True).trainer.engine == "eager"


# -- learning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_one_finds_the_principal_components(digits, tied):
    """Baldi and Hornik (1989): the best linear code spans them, so no error is below theirs."""
    from sklearn.decomposition import PCA

    x = digits[0] - digits[0].mean(axis=0)
    pca = PCA(16).fit(x)
    least = ((pca.inverse_transform(pca.transform(x)) - x) ** 2).mean()
    adam = fnn.Adam(fnn.CosineDecay(1e-2, epochs=40))
    one = autoencoder(16, 64, activation=None, tied=tied, optimizer=adam)
    history = one.fit(x, epochs=40)
    assert least * 0.999 < error(one, x) < least * 1.03
    assert history["loss"][-1] < history["loss"][0] / 3
    # The same plane, too: what it reconstructs hardly changes when it is projected on PCA's.
    out = one.reconstruct(x)
    away = out - pca.inverse_transform(pca.transform(out))
    assert (away**2).mean() < 0.02 * (out**2).mean()


def test_it_reconstructs_much_better_than_the_mean_image(digits):
    x, _, x_test, _ = digits
    one = autoencoder([40, 12], 64, output="sigmoid")
    history = one.fit(x, epochs=30, validation_data=x_test)
    blank = ((x_test - x.mean(axis=0)) ** 2).mean()
    assert error(one, x_test) < 0.35 * blank
    assert history["val_loss"][-1] == pytest.approx(error(one, x_test), rel=1e-4)
    assert set(history) == {"loss", "lr", "val_loss", "seconds"}


def test_bytes_and_images_are_what_they_stand_for():
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 2, 4), dtype=np.uint8)
    after = []
    for x in (images, (images.reshape(60, 8) / 255).astype(np.float32)):
        one = autoencoder(n_in=(1, 2, 4), dtype="float64")
        history = one.fit(x, epochs=2, validation_share=0.25)
        after.append(history["loss"] + history["val_loss"])
    np.testing.assert_allclose(*after, rtol=1e-6)


def test_a_further_fit_goes_on():
    one = autoencoder()
    one.fit(blobs()[0], epochs=2)
    assert len(one.fit(blobs()[0], epochs=3)["loss"]) == 5


# -- noise -----------------------------------------------------------------------------------------


def test_noise_corrupts_the_input_in_training_only():
    x = 1 + blobs()[0].astype(np.float32)
    one = autoencoder(4, cls=fnn.DenoisingAutoencoder, noise=fnn.Dropout(0.5))
    assert kinds(one.model.layers) == ["dropout", "affine", "relu", "affine"]
    np.testing.assert_array_equal(one.encode(x), one.model.activations(x, 2, since=1))
    dropped = one.corrupt(x) == 0
    assert 0.4 < dropped.mean() < 0.6
    assert (one.corrupt(x, step=1) == 0).mean(where=dropped) < 0.6
    np.testing.assert_array_equal(autoencoder(4).corrupt(x), x)


def test_the_target_is_clean():
    """The loss of the first step is of the corrupted input's output against the clean input."""
    x = np.tile(blobs(1)[0].astype(np.float32), (50, 1))  # equal rows: their order plays no part
    one = autoencoder(4, cls=fnn.DenoisingAutoencoder, noise=fnn.Dropout(0.5), batch_size=50)
    expected = ((one.model.activations(one.corrupt(x), since=1) - x) ** 2).mean()
    assert one.fit(x, epochs=1)["loss"] == pytest.approx([expected], rel=1e-5)


def test_one_that_saw_noise_removes_it(digits):
    x, _, x_test, _ = digits
    errors = []
    for noise in (fnn.Dropout(0.4), None):
        one = autoencoder(50, 64, output="sigmoid", noise=noise)
        one.fit(x, epochs=30)
        mask = np.random.default_rng(0).random(x_test.shape) > 0.4
        errors.append(((one.reconstruct(x_test * mask / 0.6) - x_test) ** 2).mean())
    assert errors[0] < 0.8 * errors[1]


# -- stacks ----------------------------------------------------------------------------------------


def stacked(code=(6, 4, 2), n_in=8, **settings):
    settings = {"activation": "sigmoid"} | settings
    return autoencoder(list(code), n_in, cls=fnn.StackedAutoencoder, **settings)


@pytest.mark.parametrize("tied", [False, True])
def test_each_layer_is_trained_on_the_codes_below(tied):
    """By hand: three autoencoders of one code each, from the weights that the stack starts with."""
    x = blobs()[0].astype(np.float32)
    by_hand = stacked(tied=tied, noise=fnn.Dropout(0.1))
    codes, losses = x, []
    for depth in range(3):
        stage = by_hand.stage(depth)
        assert stage.model.output_size == codes.shape[1] == (8, 6, 4)[depth]
        assert kinds(stage.noise) == ["dropout"]
        assert kinds(stage.decoder) == [
            "tied_affine" if tied else "affine", *["sigmoid"] * (depth > 0)
        ]  # fmt: skip
        losses += stage.fit(codes, epochs=2)["loss"]
        codes = stage.encode(codes)

    stack = stacked(tied=tied, noise=fnn.Dropout(0.1))
    history = stack.fit(x, epochs=2)
    assert history["loss"] == losses
    assert history["layer"] == [1, 1, 2, 2, 3, 3]
    assert [len(one["loss"]) for one in stack.histories] == [2, 2, 2]
    np.testing.assert_allclose(stack.encode(x), codes, rtol=1e-5)


def test_every_layer_learns_and_the_whole_is_their_chain():
    x = blobs()[0].astype(np.float32)
    stack = stacked()
    before = numbers(stack.model)
    stack.fit(x, epochs=1, validation_data=x[:30])
    assert not any(array == before[name] for name, array in numbers(stack.model).items())
    stages = [stack.stage(depth) for depth in range(3)]
    codes = x
    for stage in stages:
        codes = stage.encode(codes)
    np.testing.assert_allclose(stack.encode(x), codes, rtol=1e-5)
    for stage in reversed(stages):
        codes = stage.decode(codes)
    np.testing.assert_allclose(stack.reconstruct(x), codes, rtol=1e-4)


def test_validation_follows_through_the_codes():
    x = blobs()[0].astype(np.float32)
    history = stacked().fit(x, epochs=2, validation_data=x)
    assert np.isfinite(history["val_loss"]).all()
    assert len(history["val_loss"]) == 6


def test_stopping_keeps_what_was_learned():
    class Stop(fnn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            raise KeyboardInterrupt

    stack = stacked(callbacks=[Stop()])
    before = numbers(stack.model)
    with pytest.raises(KeyboardInterrupt):
        stack.fit(blobs()[0], epochs=2)
    moved = {name for name, array in numbers(stack.model).items() if array != before[name]}
    assert moved == {"affine1.w", "affine1.b", "affine6.w", "affine6.b"}


def test_fine_tuning_trains_the_whole(digits):
    x = digits[0]
    stack = stacked([40, 20], 64, output="sigmoid")
    stack.fit(x, epochs=10)
    greedy = error(stack, x)
    history = stack.fine_tune(x, epochs=10)
    assert len(history["loss"]) == 10
    assert error(stack, x) < 0.9 * greedy


# -- classifiers -----------------------------------------------------------------------------------


def test_to_classifier_stacks_the_encoders():
    x = blobs()[0].astype(np.float32)
    stack = stacked(noise=fnn.Dropout(0.3), dtype="float64")
    stack.fit(x, epochs=1)
    model = stack.to_classifier(5, rng=0)
    assert kinds(model.layers) == [*["affine", "sigmoid"] * 3, "affine"]
    assert (model.output_size, model.dtype) == (5, "float64")
    np.testing.assert_allclose(model.activations(x, until=-2), stack.encode(x), rtol=1e-12)
    before = numbers(stack.model)
    trainer_of(model).fit(*blobs(classes=5), epochs=1)
    assert numbers(stack.model) == before
    same = stack.to_classifier(5, rng=0).params["affine4.w"]
    np.testing.assert_array_equal(same, stack.to_classifier(5, rng=0).params["affine4.w"])


def test_pretraining_helps_where_labels_are_few(digits):
    """Sixty labels, three layers of sigmoids: with denoising pretraining, and from scratch."""
    x, y, x_test, y_test = digits
    accuracy = []
    for pretrained in (True, False):
        stack = stacked(
            [50, 40, 30], 64, output="sigmoid", noise=fnn.Dropout(0.2), batch_size=50
        )  # fmt: skip
        if pretrained:
            stack.fit(x, epochs=15)
        trainer = trainer_of(stack.to_classifier(10, rng=0), batch_size=10)
        trainer.fit(x[:60], y[:60], epochs=40)
        accuracy.append(trainer.evaluate(x_test, y_test)["accuracy"])
    assert accuracy[0] > accuracy[1] + 0.05


# -- models of one's own, and files ----------------------------------------------------------------


def test_from_model():
    layers = [
        *(fnn.Dropout(0.1), fnn.Affine(5), fnn.BatchNorm(), fnn.ReLU(), fnn.Affine(2)),
        *(fnn.TiedAffine(), fnn.ReLU(), fnn.Affine(8)),
    ]
    model = fnn.Sequential(layers, 8, rng=0)
    one = fnn.StackedAutoencoder.from_model(model, rng=0, verbose=False)
    assert one.model is model
    assert kinds(one.encoder) == ["affine", "batchnorm", "relu", "affine"]
    assert one.code_size == 2
    one.fine_tune(blobs()[0], epochs=1)


def test_a_batchnorm_in_a_stack_brings_its_averages():
    layers = [fnn.Affine(5), fnn.BatchNorm(), fnn.ReLU(), fnn.Affine(8)]
    one = fnn.StackedAutoencoder.from_model(fnn.Sequential(layers, 8, rng=0), verbose=False)
    one.fit(blobs()[0], epochs=1)
    assert (one.model.state["batchnorm1.running_mean"] != 0).all()


@pytest.mark.parametrize("cls", [fnn.Autoencoder, fnn.DenoisingAutoencoder, fnn.StackedAutoencoder])
@pytest.mark.parametrize("tied", [False, True])
def test_files(tmp_path, cls, tied):
    x = blobs()[0]
    one = autoencoder([5, 3], cls=cls, noise=fnn.Dropout(0.25), tied=tied, output="sigmoid")
    one.fit(x, epochs=1)
    one.save(tmp_path / "autoencoder.fnn")
    twin = cls.load(tmp_path / "autoencoder.fnn", verbose=False, batch_size=9)
    assert type(twin) is cls
    assert numbers(twin.model) == numbers(one.model)
    np.testing.assert_array_equal(twin.encode(x), one.encode(x))
    assert twin.trainer.batch_size == 9
    twin.fit(x, epochs=1)
    model = fnn.load(tmp_path / "autoencoder.fnn")
    np.testing.assert_array_equal(model.predict(x), one.reconstruct(x))


def test_a_file_of_another_model_is_refused(tmp_path):
    fnn.mlp(8, [4], 3, rng=0).save(tmp_path / "model.fnn")
    with pytest.raises(ValueError, match="model must have as many affine layers"):
        fnn.Autoencoder.load(tmp_path / "model.fnn")


def test_repr_tells_the_class_and_the_model():
    shown = repr(autoencoder(cls=fnn.StackedAutoencoder))
    assert shown.startswith("StackedAutoencoder.from_model(Sequential([Affine(units=3, ")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "code must be at least 1; got 0", lambda: autoencoder(0)),
        (ValueError, "code must be a size, or at least one", lambda: autoencoder([])),
        (TypeError, r"code must be an integer; got 2\.5", lambda: autoencoder([4, 2.5])),
        (TypeError, "n_in must be an integer; got 'x'", lambda: autoencoder(n_in=["x"])),
        (ValueError, "n_in must be at least 1; got 0", lambda: autoencoder(n_in=0)),
        (ValueError, "activation must be one of relu", lambda: autoencoder(activation="step")),
        (ValueError, "output must be one of relu", lambda: autoencoder(output=1)),
        (TypeError, "noise must be a Layer", lambda: autoencoder(noise=0.3)),
        (TypeError, "noise must be a Layer",
         lambda: autoencoder(cls=fnn.DenoisingAutoencoder, noise=None)),
        (ValueError, "loss must compare numbers",
         lambda: autoencoder(loss="softmax_cross_entropy")),
        (ValueError, "loss must be one of", lambda: autoencoder(loss="cosine")),
        (ValueError, "output must be None with loss='binary_cross_entropy'",
         lambda: autoencoder(output="sigmoid", loss="binary_cross_entropy")),
        (TypeError, "learning", lambda: autoencoder(learning=1)),
        (TypeError, "model must be a Sequential", lambda: fnn.Autoencoder.from_model(3)),
        (ValueError, "got 3 affine layers and 8 outputs",
         lambda: fnn.Autoencoder.from_model(fnn.mlp(8, [4, 2], 8))),
        (ValueError, "got 2 affine layers and 7 outputs",
         lambda: fnn.Autoencoder.from_model(fnn.mlp(8, [4], 7))),
        (ValueError, "n_classes must be at least 1", lambda: autoencoder().to_classifier(0)),
        (ValueError, r"depth must be in 0\.\.0; got 1",
         lambda: autoencoder(cls=fnn.StackedAutoencoder).stage(1)),
    ],
)  # fmt: skip
def test_bad_settings(error, message, make):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("cls", [fnn.Autoencoder, fnn.StackedAutoencoder])
@pytest.mark.parametrize(
    ("error", "message", "x", "held"),
    [
        (ValueError, r"x must have shape \(N, 8\); got \(5, 7\)", np.ones((5, 7)), None),
        (TypeError, "x must hold real numbers", np.full((5, 8), "a"), None),
        (ValueError, "x must be finite", np.full((5, 8), np.nan), None),
        (ValueError, r"validation_data must have shape", np.ones((5, 8)), np.ones((5, 3))),
        (ValueError, r"validation_data must be finite", np.ones((5, 8)), np.full((5, 8), np.inf)),
    ],
)
def test_bad_data(cls, error, message, x, held):
    one = autoencoder(cls=cls)
    before = numbers(one.model)
    with pytest.raises(error, match=message):
        one.fit(x, validation_data=held)
    assert numbers(one.model) == before


def test_bad_codes():
    with pytest.raises(ValueError, match=r"codes must have shape \(N, 3\); got \(5, 8\)"):
        autoencoder().decode(np.ones((5, 8)))


def test_a_stage_gives_scores_to_a_loss_that_takes_scores():
    x = np.random.default_rng(0).random((60, 12))
    stacked = fnn.StackedAutoencoder(
        12, [9, 6], activation="sigmoid", loss="binary_cross_entropy", rng=0, verbose=False
    )
    for depth in (0, 1):
        assert isinstance(stacked.stage(depth).model.layers[-1], fnn.Affine)
    inner = stacked.model.params["affine3.w"].copy()
    stacked.fit(x, epochs=2)
    assert (stacked.model.params["affine3.w"] != inner).all()
    squared = fnn.StackedAutoencoder(12, [9, 6], activation="sigmoid", rng=0, verbose=False)
    assert isinstance(squared.stage(1).model.layers[-1], fnn.Sigmoid)
