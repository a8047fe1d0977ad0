"""model.save and fastnn.load: what comes back, and what is refused."""

import copy

import numpy as np
import pytest
from networks import NATIVE_LAYERS, blobs, every_layer, numbers

import fastnn as fnn
from fastnn.layers import LAYERS
from fastnn.storage import read_file, write_file

MANY = 2**40


@pytest.fixture
def saved(tmp_path):
    """Path, arrays and description of the file of a trained model, and the model."""
    model = every_layer(dtype="float32")
    fnn.Trainer(model, batch_size=20, rng=0, verbose=False).fit(*blobs(40), epochs=1)
    model.layers[4].trainable = False
    model.save(tmp_path / "model.fnn")
    return (tmp_path / "model.fnn", *read_file(tmp_path / "model.fnn"), model)


# -- round trips -----------------------------------------------------------------------------------


def test_every_layer_is_saved():
    assert {layer.kind for layer in every_layer().layers} == NATIVE_LAYERS
    # Those without a native form are saved in tests of their own: test_tied.py.
    assert LAYERS.keys() - NATIVE_LAYERS == {"tied_affine"}


def test_a_model_comes_back(tmp_path, backend, dtype):
    x, y = blobs(60)
    model = every_layer(backend, dtype, rng=3)
    trainer = fnn.Trainer(model, batch_size=20, rng=0, verbose=False)
    trainer.fit(x, y, epochs=2)
    for index in (1, 3, 7):
        model.layers[index].trainable = False
    before = numbers(model)
    model.save(tmp_path / "model.fnn")
    assert numbers(model) == before

    twin = fnn.load(tmp_path / "model.fnn", backend=backend)
    assert twin.config() == model.config()
    assert numbers(twin) == before
    assert twin.dtype == dtype
    assert twin.step == model.step == 6
    assert twin.seed == model.seed
    assert twin.backend == model.backend
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in model.layers]
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    np.testing.assert_array_equal(twin.forward(x, train=True), model.forward(x, train=True))


def test_training_goes_on_with_the_same_masks(tmp_path):
    x, y = blobs(60)
    model = every_layer(rng=3)
    model.save(tmp_path / "model.fnn")
    histories = []
    for one in (fnn.load(tmp_path / "model.fnn"), model):
        trainer = fnn.Trainer(one, batch_size=20, rng=0, verbose=False)
        histories.append(trainer.fit(x, y, epochs=2)["loss"])
    assert histories[0] == histories[1]


@pytest.mark.parametrize("activation", fnn.layers.ACTIVATIONS)
@pytest.mark.parametrize("init", ["zeros", "he_uniform", 0.25, fnn.Normal(0.5), fnn.LeCun()])
def test_settings_come_back_as_they_were(tmp_path, activation, init):
    model = fnn.mlp((1, 2, 3), [4], 2, activation, init=init, batch_norm=True, dropout=0.125)
    model.save(tmp_path / "model.fnn")
    assert fnn.load(tmp_path / "model.fnn").config() == model.config()


def test_settings_may_be_numpy_scalars(tmp_path):
    """As they come out of np.arange and a search over hyperparameters."""
    layers = [
        fnn.Affine(np.int64(4), init=np.float32(0.25), regularizer=fnn.L2(np.float32(0.5))),
        fnn.BatchNorm(momentum=np.float32(0.5)),
        fnn.Dropout(np.float64(0.5)),
        fnn.Affine(np.uint8(2)),
    ]
    model = fnn.Sequential(layers, input_shape=np.int32(3), rng=np.int64(0))
    model.save(tmp_path / "model.fnn")
    twin = fnn.load(tmp_path / "model.fnn")
    assert numbers(twin) == numbers(model)
    assert twin.layers[0].init == 0.25


def test_load_chooses_the_backend(tmp_path, backend):
    every_layer("numpy").save(tmp_path / "model.fnn")
    assert fnn.load(tmp_path / "model.fnn", backend=backend).backend.name == backend
    with fnn.use_backend(backend):
        assert fnn.load(tmp_path / "model.fnn").backend.name == backend
    with pytest.raises(ValueError, match="backend must be one of"):
        fnn.load(tmp_path / "model.fnn", backend="cuda")


def test_special_numbers_come_back(tmp_path):
    model = fnn.mlp(3, [], 2, dtype="float64")
    model.params["affine1.w"][:] = [[np.nan, np.inf], [-np.inf, -0.0], [5e-324, 1.8e308]]
    model.save(tmp_path / "model.fnn")
    assert numbers(fnn.load(tmp_path / "model.fnn")) == numbers(model)


def test_a_model_without_parameters_comes_back(tmp_path):
    model = fnn.Sequential([fnn.ReLU(), fnn.Dropout(0.5)], input_shape=(2, 2), rng=0)
    model.save(tmp_path / "model.fnn")
    assert fnn.load(tmp_path / "model.fnn").config() == model.config()


def test_a_second_save_replaces_the_first(tmp_path):
    path = tmp_path / "model.fnn"
    fnn.mlp(3, [], 2, rng=0).save(path)
    second = fnn.mlp(4, [5], 2, rng=1)
    second.save(path)
    assert numbers(fnn.load(path)) == numbers(second)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.fnn"]


def test_errors_of_the_file_system_pass(tmp_path):
    with pytest.raises(FileNotFoundError):
        fnn.load(tmp_path / "none.fnn")
    with pytest.raises(FileNotFoundError):
        fnn.mlp(3, [], 2).save(tmp_path / "no folder" / "model.fnn")
    with pytest.raises(IsADirectoryError):
        fnn.load(tmp_path)


# -- what cannot be saved --------------------------------------------------------------------------


class Doubling(fnn.Layer):
    kind = "doubling"

    def forward(self, x, train=False, step=0):
        return 2 * x


class Disguised(fnn.ReLU):
    """Calls itself by the name of one of fastnn's own layers."""


class MyInit(fnn.Normal):
    kind = "my_init"


class MyPenalty(fnn.L2):
    kind = "my_penalty"


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (Doubling, "Doubling"),
        (Disguised, "Disguised"),
        (lambda: fnn.Affine(2, init=MyInit()), "MyInit"),
        (lambda: fnn.Affine(2, regularizer=MyPenalty()), "MyPenalty"),
    ],
)
def test_a_file_cannot_bring_code_along_so_save_refuses(tmp_path, make, named):
    path = tmp_path / "model.fnn"
    path.write_bytes(b"an older file")
    model = fnn.Sequential([fnn.Affine(3), make()], input_shape=3)
    with pytest.raises(ValueError, match=named):
        model.save(path)
    assert path.read_bytes() == b"an older file"


# -- files that were changed -----------------------------------------------------------------------


def layer(config, index, **changes):
    config["layers"][index] |= changes


def drop(mapping, key):
    del mapping[key]


# Each changes a description in place; layer 0 is affine, 1 batchnorm, 2 leaky_relu, 3 dropout.
BAD_DESCRIPTIONS = {
    "another model": lambda c: c.update(model="transformer"),
    "no model": lambda c: drop(c, "model"),
    "no layers": lambda c: c.update(layers=[]),
    "layers missing": lambda c: drop(c, "layers"),
    "layers of nothing": lambda c: c.update(layers=None),
    "layers by name": lambda c: c.update(layers="affine"),
    "a layer by name": lambda c: c["layers"].__setitem__(0, "affine"),
    "a layer without a kind": lambda c: drop(c["layers"][0], "kind"),
    "an unknown layer": lambda c: layer(c, 2, kind="exec"),
    "a layer of another kind": lambda c: layer(c, 2, kind="relu"),
    "a base class": lambda c: layer(c, 2, kind="layer"),
    "a kind that is a list": lambda c: layer(c, 2, kind=["leaky_relu"]),
    "an unknown setting": lambda c: layer(c, 0, dtype="object"),
    "a setting missing": lambda c: drop(c["layers"][0], "units"),
    "one layer less": lambda c: c["layers"].pop(),
    "one layer more": lambda c: c["layers"].append({"kind": "affine", "units": 3}),
    "one batchnorm less": lambda c: c["layers"].pop(1),
    "huge units": lambda c: layer(c, 0, units=MANY),
    "units past any index": lambda c: layer(c, 0, units=10**30),
    "units that fit another shape": lambda c: layer(c, 0, units=8),
    "units as text": lambda c: layer(c, 0, units="7"),
    "units as a float": lambda c: layer(c, 0, units=7.0),
    "units of nothing": lambda c: layer(c, 0, units=None),
    "a negative ratio": lambda c: layer(c, 3, ratio=-1),
    "a ratio of one": lambda c: layer(c, 3, ratio=1.0),
    "a ratio as text": lambda c: layer(c, 3, ratio="0.5"),
    "a momentum above one": lambda c: layer(c, 1, momentum=2),
    "an unknown initializer": lambda c: layer(c, 0, init="os.system"),
    "an unknown initializer object": lambda c: layer(c, 0, init={"kind": "exec"}),
    "an initializer with a layer's kind": lambda c: layer(c, 0, init={"kind": "relu"}),
    "an initializer with unknown settings": lambda c: layer(c, 0, init={"kind": "he", "a": 1}),
    "an initializer that is a list": lambda c: layer(c, 0, init=[1]),
    "an unknown regularizer": lambda c: layer(c, 0, regularizer={"kind": "l3"}),
    "a regularizer of text": lambda c: layer(c, 0, regularizer="l2"),
    "a negative strength": lambda c: layer(c, 0, regularizer={"kind": "l2", "strength": -1}),
    "input of another width": lambda c: c.update(input_shape=[9]),
    "a huge input": lambda c: c.update(input_shape=[MANY, MANY, MANY]),
    "an empty input": lambda c: c.update(input_shape=[]),
    "an input of zero": lambda c: c.update(input_shape=[8, 0]),
    "a negative input": lambda c: c.update(input_shape=[-2, -4]),
    "a nested input": lambda c: c.update(input_shape=[[8]]),
    "an input as text": lambda c: c.update(input_shape="8"),
    "no input": lambda c: drop(c, "input_shape"),
    "another dtype": lambda c: c.update(dtype="float64"),
    "no dtype": lambda c: c.update(dtype=None),
    "an unknown dtype": lambda c: c.update(dtype="object"),
    "a dtype of many": lambda c: c.update(dtype=["float32", "float32"]),
    "a negative step": lambda c: c.update(step=-1),
    "a huge step": lambda c: c.update(step=2**63),
    "a step of nothing": lambda c: c.update(step=None),
    "a step as text": lambda c: c.update(step="first"),
    "a fractional step": lambda c: c.update(step=0.5),
    "no step": lambda c: drop(c, "step"),
    "a negative seed": lambda c: c.update(seed=-1),
    "a huge seed": lambda c: c.update(seed=2**200),
    "no seed": lambda c: drop(c, "seed"),
    "another output activation": lambda c: c.update(output_activation="tanh"),
    "no output activation": lambda c: c.update(output_activation=None),
    "frozen nothing": lambda c: c.update(frozen=None),
    "a frozen number": lambda c: c.update(frozen=4),
    "frozen names": lambda c: c.update(frozen=["affine2"]),
    "a frozen layer that is not there": lambda c: c.update(frozen=[99]),
    "no frozen": lambda c: drop(c, "frozen"),
    "a scale of a layer that is not there": lambda c: c.update(lr_scales=[[99, 0.5]]),
    "a scale of a layer from the end": lambda c: c.update(lr_scales=[[-1, 0.5]]),
    "a negative scale": lambda c: c.update(lr_scales=[[0, -0.5]]),
    "a scale of nothing": lambda c: c.update(lr_scales=[[0]]),
    "scales by name": lambda c: c.update(lr_scales={"affine1": 0.5}),
    "what a later fastnn may say": lambda c: c.update(weight_sharing=[]),
}


@pytest.mark.parametrize("what", BAD_DESCRIPTIONS)
def test_a_changed_description_is_refused(saved, what):
    path, arrays, description, _ = saved
    changed = copy.deepcopy(description)
    BAD_DESCRIPTIONS[what](changed)
    assert repr(changed) != repr(description)
    write_file(path, arrays, changed)
    with pytest.raises(fnn.CorruptFileError, match=r"model\.fnn"):
        fnn.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: layer(c, 2, kind="\x1b[2J" * 10_000),
        lambda c: c.update(step="9" * 1_000_000),
        lambda c: c["layers"].__setitem__(0, ["a" * 100_000]),
    ],
)
def test_a_hostile_description_does_not_fill_the_screen(saved, change):
    path, arrays, description, _ = saved
    change(description)
    write_file(path, arrays, description)
    with pytest.raises(fnn.CorruptFileError) as caught:
        fnn.load(path)
    assert len(str(caught.value)) < len(str(path)) + 300
    assert str(caught.value).isprintable()


BAD_ARRAYS = {
    "one is missing": lambda a: drop(a, "affine1.b"),
    "one too many": lambda a: a.update({"affine9.b": np.zeros(3, "float32")}),
    "all are missing": lambda a: a.clear(),
    "another name": lambda a: a.update({"affine1.c": a.pop("affine1.b")}),
    "transposed": lambda a: a.update({"affine1.w": a["affine1.w"].T.copy()}),
    "flat": lambda a: a.update({"affine1.w": a["affine1.w"].reshape(-1)}),
    "two exchanged": lambda a: a.update({"affine1.w": a["affine6.w"], "affine6.w": a["affine1.w"]}),
    "one longer": lambda a: a.update({"affine1.b": np.zeros(8, "float32")}),
    "integers": lambda a: a.update({"affine1.b": np.zeros(7, "int64")}),
    "bytes": lambda a: a.update({"affine1.b": np.zeros(7, "uint8")}),
    "float64 in a float32 model": lambda a: a.update({"affine1.b": np.full(7, 1e300)}),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_changed_arrays_are_refused(saved, what):
    path, arrays, description, _ = saved
    changed = dict(arrays)
    BAD_ARRAYS[what](changed)
    write_file(path, changed, description)
    with pytest.raises(fnn.CorruptFileError, match=r"model\.fnn"):
        fnn.load(path)


def test_the_unchanged_file_loads(saved):
    """The two tests above refuse what they changed, not what they wrote."""
    path, arrays, description, model = saved
    write_file(path, dict(arrays), copy.deepcopy(description))
    assert numbers(fnn.load(path)) == numbers(model)


def test_a_flipped_byte_is_found(saved, rng):
    path, *_ = saved
    content = path.read_bytes()
    for position in [0, 9, len(content) - 1, *rng.integers(0, len(content), 60)]:
        changed = bytearray(content)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(fnn.CorruptFileError, match=r"model\.fnn"):
            fnn.load(path)


def test_a_truncated_file_is_found(saved):
    path, *_ = saved
    content = path.read_bytes()
    for length in [0, 1, 8, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(fnn.CorruptFileError, match=r"model\.fnn"):
            fnn.load(path)


def test_a_huge_architecture_costs_no_memory(saved):
    """The sizes are checked against the arrays before any memory is taken."""
    import tracemalloc

    path, arrays, description, _ = saved
    description["layers"] = [{"kind": "affine", "units": 30_000}] * 2
    description["input_shape"] = [30_000]
    write_file(path, arrays, description)
    tracemalloc.start()
    try:
        with pytest.raises(fnn.CorruptFileError, match="arrays"):
            fnn.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6
