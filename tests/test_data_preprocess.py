"""Preprocessing: what it learns, does and undoes; and that it travels with a model."""

import copy
import pickle

import numpy as np
import pytest

import fastnn as fnn
from fastnn.data import (
    PCA,
    Center,
    MinMax,
    Pipeline,
    Standardize,
    Whiten,
    shuffle,
    train_validation_test_split,
)
from fastnn.data.saved import PREPROCESSORS
from fastnn.storage import read_file, write_file

RNG = np.random.default_rng(0)
# Correlated features of different sizes, one of them constant.
X = RNG.standard_normal((200, 6)) @ RNG.standard_normal((6, 6)) * [1, 5, 0.1, 1, 0, 2] + 3
NEW = RNG.standard_normal((50, 6)) * 2
IMAGES = RNG.random((30, 3, 4, 5)) * np.array([1, 10, 100])[:, None, None]

EVERY = [
    *(Center(per) for per in ("feature", "channel")),
    *(Standardize(per) for per in ("feature", "channel")),
    *(MinMax(-1, 2, per) for per in ("feature", "channel")),
    PCA(),
    Whiten(eps=0.1),
    Whiten("zca", eps=0.1),
    Pipeline([Standardize("channel"), Whiten("zca", eps=0.1), PCA()]),
]
OWN = [make("image") for make in (Center, Standardize, lambda per: MinMax(per=per))]


def spread(x):
    return np.cov(x.reshape(len(x), -1), rowvar=False)


# -- as scikit-learn does it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Standardize(), "StandardScaler()"),
        (MinMax(), "MinMaxScaler()"),
        (MinMax(-1, 3), "MinMaxScaler((-1, 3))"),
    ],
    ids=repr,
)
def test_scaling_is_that_of_scikit_learn(ours, theirs):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    oracle = eval(theirs, vars(preprocessing)).fit(X)
    np.testing.assert_allclose(ours.fit_transform(X), oracle.transform(X), atol=1e-12)
    np.testing.assert_allclose(ours.transform(NEW), oracle.transform(NEW), atol=1e-11)


@pytest.mark.parametrize("x", [X, X[:4, :3], X[:4]], ids=["tall", "few", "wide"])
@pytest.mark.parametrize("components", [None, 2, 0.9, 0.5])
@pytest.mark.parametrize("whiten", [False, True])
def test_projections_are_those_of_scikit_learn(x, components, whiten):
    decomposition = pytest.importorskip("sklearn.decomposition")
    oracle = decomposition.PCA(components, whiten=whiten).fit(x)
    ours = (Whiten(components=components, eps=0.0) if whiten else PCA(components)).fit(x)
    real = oracle.explained_variance_ > 1e-12  # along the others the axes are arbitrary
    np.testing.assert_allclose(ours.variances, oracle.explained_variance_, atol=1e-10)
    # Signs are free, and are settled in another way.
    signs = np.sign((ours.axes * oracle.components_).sum(axis=1))[real]
    got = ours.transform(x)[:, real] * signs
    np.testing.assert_allclose(got, oracle.transform(x)[:, real], atol=1e-8)
    assert ((ours.axes.max(axis=1) + ours.axes.min(axis=1)) >= 0).all()


# -- what they are for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "axes"), [("feature", 0), ("channel", (0, 2, 3)), ("image", (1, 2, 3))]
)
def test_of_what_the_mean_is_zero_and_the_deviation_one(per, axes):
    centered = Center(per).fit_transform(IMAGES)
    np.testing.assert_allclose(centered.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(centered.std(axis=axes), IMAGES.std(axis=axes))
    standard = Standardize(per).fit_transform(IMAGES)
    np.testing.assert_allclose(standard.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=axes), 1)
    ranged = MinMax(-2, 5, per).fit_transform(IMAGES)
    np.testing.assert_allclose(ranged.min(axis=axes), -2)
    np.testing.assert_allclose(ranged.max(axis=axes), 5)


@pytest.mark.parametrize("number", [0.1, 1e6 / 3, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_constant_becomes_zero_or_the_low_end(number, dtype):
    x = np.full((1000, 2), number, dtype)
    assert (np.abs(Standardize().fit_transform(x)) <= 1e-7 * number).all()
    np.testing.assert_allclose(MinMax(3, 4).fit_transform(x), 3, rtol=1e-6 * (1 + number))


def test_a_share_of_no_variance_is_a_single_component():
    codes = PCA(0.9).fit_transform(np.ones((5, 3)))
    np.testing.assert_array_equal(codes, np.zeros((5, 1)))


def test_whitened_features_have_no_correlation_and_variance_one():
    x = X[:, [0, 1, 2, 3, 5]]
    for method in ("pca", "zca"):
        np.testing.assert_allclose(
            spread(Whiten(method, eps=0).fit_transform(x)), np.eye(5), atol=1e-8
        )
    # Of all whitenings, ZCA's stays nearest to the features: its matrix is symmetric.
    zca = Whiten("zca", eps=0).fit(x)
    matrix = zca.transform(np.eye(5) + zca.mean)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-8)
    np.testing.assert_allclose(matrix @ matrix, np.linalg.inv(spread(x)), rtol=1e-6)
    # A direction without variance stays without; eps shrinks what is near it.
    assert np.isfinite(Whiten(eps=0).fit_transform(X)).all()
    variances = PCA().fit(x).variances
    np.testing.assert_allclose(
        np.diag(spread(Whiten(eps=0.5).fit_transform(x))), variances / (variances + 0.5)
    )
    assert Whiten("zca").fit_transform(IMAGES).shape == IMAGES.shape


def test_only_the_training_data_are_learned_from():
    one = Standardize().fit(X)
    before = copy.deepcopy(one.arrays)
    one.transform(NEW)
    np.testing.assert_equal(one.arrays, before)
    np.testing.assert_allclose(one.transform(X[:1])[0], one.transform(X)[0])


@pytest.mark.parametrize("what", EVERY, ids=repr)
def test_what_can_be_undone(what):
    what = copy.deepcopy(what)
    x = IMAGES
    np.testing.assert_allclose(what.inverse_transform(what.fit_transform(x)), x, rtol=1e-7)


@pytest.mark.parametrize("what", OWN, ids=repr)
def test_what_forgets_cannot_be_undone(what):
    with pytest.raises(ValueError, match="cannot be undone"):
        what.inverse_transform(what.fit_transform(IMAGES))


# -- types and shapes ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", EVERY + OWN, ids=repr)
def test_dtypes_layouts_and_flat_rows(what):
    what = copy.deepcopy(what)
    out = what.fit_transform(IMAGES)
    kept = IMAGES.copy()
    assert out.dtype == np.float64
    assert out.flags.c_contiguous
    np.testing.assert_allclose(what.transform(np.asfortranarray(IMAGES)), out)
    np.testing.assert_allclose(what.transform(IMAGES.reshape(30, -1)), out)
    single = what.transform(IMAGES.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, out, atol=2e-3 * np.abs(out).max())
    np.testing.assert_array_equal(IMAGES, kept)


def test_bytes_are_read_as_zero_to_one():
    x = RNG.integers(0, 256, (20, 8), dtype=np.uint8)
    np.testing.assert_allclose(
        Center().fit_transform(x), Center().fit_transform(x / 255), atol=1e-6
    )
    assert Standardize().fit_transform(x).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Center().transform(X), ValueError, r"Center\(\) has learned nothing yet"),
        (lambda: PCA().inverse_transform(X), ValueError, "learned nothing"),
        (lambda: Center().fit(X).transform(X[:, :3]), ValueError, r"\(N, 6\).*got \(200, 3\)"),
        (lambda: Center("channel").fit(X), ValueError, "reshape"),
        (lambda: Center("row"), ValueError, "per must be one of feature, channel, image"),
        (lambda: MinMax(1, 1), ValueError, "low must be below high"),
        (lambda: Center().fit(np.full((3, 2), np.nan)), ValueError, "finite"),
        (lambda: PCA().fit(np.full((3, 2), np.inf)), ValueError, "finite"),
        (lambda: Center().fit([["a", "b"]]), TypeError, "real numbers"),
        (lambda: Center().fit(X[0]), ValueError, r"\(N, features\)"),
        (lambda: Center().fit(X[:0]), ValueError, "no axis of 0"),
        (lambda: PCA().fit(X[:1]), ValueError, "two rows"),
        (lambda: PCA(7).fit(X), ValueError, "at most 6"),
        (lambda: PCA(0), ValueError, "components"),
        (lambda: PCA(1.0), ValueError, "components"),
        (lambda: PCA(0.0), ValueError, "components"),
        (lambda: PCA(2).fit(X).inverse_transform(X), ValueError, r"\(N, 2\)"),
        (lambda: Whiten("ica"), ValueError, "method"),
        (lambda: Whiten(eps=-1), ValueError, "eps"),
        (lambda: Pipeline([]), ValueError, "at least one"),
        (lambda: Pipeline([PCA]), TypeError, "preprocessors"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words), np.errstate(all="ignore"):
        call()


# -- with the model --------------------------------------------------------------------------------


def model_of(features=60):
    return fnn.mlp(features, [5], 3, rng=0)


@pytest.mark.parametrize("what", EVERY + OWN, ids=repr)
def test_it_is_saved_loaded_and_copied_with_the_model(what, tmp_path):
    model, path = model_of(), tmp_path / "model.fnn"
    model.preprocessing = copy.deepcopy(what).fit(IMAGES)
    expected = model.preprocessing.transform(IMAGES)
    model.save(path)
    for twin in (fnn.load(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert repr(twin.preprocessing) == repr(what)
        np.testing.assert_array_equal(twin.preprocessing.transform(IMAGES), expected)
    twin.save(tmp_path / "again.fnn")
    assert path.read_bytes() == (tmp_path / "again.fnn").read_bytes()


def test_the_model_never_applies_it():
    model = model_of(6)
    plain = model.predict(X)
    model.preprocessing = Standardize().fit(X)
    np.testing.assert_array_equal(model.predict(X), plain)
    assert "Standardize()" in model.summary()
    model.preprocessing = None
    assert "Standardize" not in model.summary()


def test_a_file_without_it_is_as_before(tmp_path):
    model_of().save(tmp_path / "model.fnn")
    assert "preprocessing" not in read_file(tmp_path / "model.fnn")[1]
    assert fnn.load(tmp_path / "model.fnn").preprocessing is None


class Own(Standardize):
    kind = "own"


@pytest.mark.parametrize(
    ("what", "words"), [(Own().fit(X), "Own, which files"), (Center(), "learned nothing")]
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(what, words, tmp_path):
    model = model_of()
    model.preprocessing = what
    with pytest.raises(ValueError, match=words):
        model.save(tmp_path / "model.fnn")
    assert not list(tmp_path.iterdir())


def test_only_preprocessing_is_taken():
    with pytest.raises(TypeError, match="preprocessing must be"):
        model_of().preprocessing = np.zeros(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda config, arrays: config.pop("preprocessing"),
        lambda config, arrays: config.update(preprocessing=None),
        lambda config, arrays: config["preprocessing"].pop("pipeline"),
        lambda config, arrays: config["preprocessing"].update(pipeline=False),
        lambda config, arrays: config["preprocessing"]["steps"].pop(),
        lambda config, arrays: config["preprocessing"]["steps"][0].update(shape=[-6]),
        lambda config, arrays: config["preprocessing"]["steps"][0].update(shape=[7]),
        lambda config, arrays: config["preprocessing"]["steps"][0].update(shape="6"),
        lambda config, arrays: config["preprocessing"]["steps"][1].update(shape=[2**40] * 3),
        lambda config, arrays: config["preprocessing"]["steps"][0]["step"].update(kind="os.system"),
        lambda config, arrays: config["preprocessing"]["steps"][0]["step"].update(per=3),
        lambda config, arrays: arrays.pop("preprocessing.0.shift"),
        lambda config, arrays: arrays.update({"preprocessing.0.odd": np.zeros(6)}),
        lambda config, arrays: arrays.update({"preprocessing.9.mean": np.zeros(6)}),
        lambda config, arrays: arrays.update({"preprocessing.0.shift": np.full(6, np.nan)}),
        lambda config, arrays: arrays.update({"preprocessing.0.shift": np.zeros(6, np.float32)}),
        lambda config, arrays: arrays.update({"preprocessing.1.axes": np.zeros((2, 5))}),
        lambda config, arrays: arrays.update({"preprocessing.1.variances": np.zeros((2, 1))}),
    ],
)
def test_forged_files_are_refused(change, tmp_path):
    model = model_of(6)
    model.preprocessing = Pipeline([Standardize(), PCA(2)]).fit(X)
    model.save(tmp_path / "model.fnn")
    arrays, config = read_file(tmp_path / "model.fnn")
    change(config, arrays)
    write_file(tmp_path / "forged.fnn", arrays, config)
    with pytest.raises(fnn.CorruptFileError, match="not a fastnn model"):
        fnn.load(tmp_path / "forged.fnn")


def test_every_preprocessor_is_tested_and_can_be_saved():
    steps = [step for what in EVERY for step in getattr(what, "steps", [what])]
    assert {type(step) for step in steps} == set(PREPROCESSORS.values())


# -- splits ----------------------------------------------------------------------------------------


def test_three_parts_have_each_row_once():
    x = np.arange(200)
    t = x % 4
    parts = train_validation_test_split(x, t, 0.2, 0.1, rng=3, stratify=True)
    assert [len(part[0]) for part in parts] == [140, 40, 20]
    np.testing.assert_array_equal(np.sort(np.concatenate([part[0] for part in parts])), x)
    for rows, labels in parts:
        np.testing.assert_array_equal(rows % 4, labels)
        assert np.ptp(np.bincount(labels)) <= 1
    again = train_validation_test_split(x, t, 0.2, 0.1, rng=3, stratify=True)
    np.testing.assert_array_equal(parts[0][0], again[0][0])
    with pytest.raises(ValueError, match="leave rows to train on"):
        train_validation_test_split(x, t, 0.5, 0.5)
    with pytest.raises(ValueError, match="every part needs at least one"):
        train_validation_test_split(x[:10], t[:10], 0.01, 0.5)
    with pytest.raises(ValueError, match="validation must be"):
        train_validation_test_split(x, t, 0.0, 0.5)


def test_rows_stay_together_when_shuffled():
    x, t = np.arange(50)[:, None] * [1, 2], np.arange(50)
    x_new, t_new = shuffle(x, t, rng=1)
    np.testing.assert_array_equal(x_new, t_new[:, None] * [1, 2])
    assert sorted(t_new) == sorted(t) != list(t_new)
    np.testing.assert_array_equal(t_new, shuffle(x, t, rng=1)[1])
    with pytest.raises(ValueError, match="array 2 has 3 rows and x has 50"):
        shuffle(x, t[:3])
    with pytest.raises(ValueError, match="at least one array"):
        shuffle()
