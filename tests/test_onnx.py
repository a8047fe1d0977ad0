"""Exported ONNX files: ONNX Runtime gives what fastnn gives."""

import numpy as np
import onnx
import onnxruntime
import pytest
from architectures import SEEDS, expected, kinds_of, random_model

import fastnn as fnn
from fastnn.data import PCA, MinMax, Standardize
from fastnn.data.saved import PREPROCESSORS
from fastnn.layers import LAYERS


def run(path, x):
    """Outputs of ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (value,) = session.run(None, {"input": x})
    return value


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("seed", SEEDS)
def test_onnx_runtime_agrees(seed, path):
    model, raw = random_model(seed)
    probabilities = seed % 5 == 0 and model.output_size > 1
    fnn.io.export_onnx(model, path, probabilities=probabilities)
    ours, theirs = expected(model, raw, probabilities), run(path, raw)
    assert theirs.dtype == model.dtype
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)
    graph = onnx.load(path).graph
    used = {name for node in graph.node for name in node.input}
    assert {constant.name for constant in graph.initializer} <= used  # or the runtime warns


def test_the_random_models_have_everything():
    scalings = {
        (kind, per)
        for kind in ("center", "standardize", "min_max")
        for per in ("feature", "channel", "image")
    }
    assert set(LAYERS) | set(PREPROCESSORS) | scalings <= kinds_of(SEEDS)


@pytest.fixture
def model():
    return fnn.mlp(6, [5], 3, batch_norm=True, rng=0)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((7, 6)).astype("float32")


@pytest.mark.parametrize("opset", [20, 22, 24])
def test_older_operators(model, x, path, opset):
    fnn.io.export_onnx(model, path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    np.testing.assert_allclose(run(path, x), model.predict(x), rtol=1e-5, atol=1e-6)


def test_probabilities_of_yes_or_no(path):
    model = fnn.mlp(4, [3], 2, rng=0)
    model.output_activation = "sigmoid"
    fnn.io.export_onnx(model, path, probabilities=True)
    x = np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)
    np.testing.assert_allclose(run(path, x), model.predict_proba(x), rtol=1e-5)


def test_probabilities_of_a_single_output_are_refused(path):
    with pytest.raises(ValueError, match="single output"):
        fnn.io.export_onnx(fnn.mlp(4, [3], 1, rng=0), path, probabilities=True)
    assert not path.exists()


def test_what_the_file_says(model, path):
    fnn.io.export_onnx(model, path, probabilities=True)
    content = onnx.load(path)
    assert content.producer_name == "fastnn"
    assert content.opset_import[0].version >= 22
    assert [value.name for value in content.graph.input] == ["input"]
    assert [value.name for value in content.graph.output] == ["probabilities"]
    assert {constant.name for constant in content.graph.initializer} == {
        *model.params,
        *model.state,
    }


@pytest.mark.parametrize("rows", [1, 1000])
def test_any_number_of_rows(model, path, rows):
    fnn.io.export_onnx(model, path)
    x = np.random.default_rng(1).standard_normal((rows, 6)).astype("float32")
    np.testing.assert_allclose(run(path, x), model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preprocessed", [True, False])
def test_bytes_of_images(path, dtype, preprocessed):
    images = np.random.default_rng(0).integers(0, 256, (9, 1, 3, 4)).astype("uint8")
    model = fnn.Sequential([fnn.Affine(4), fnn.Tanh()], (1, 3, 4), rng=0, dtype=dtype)
    if preprocessed:
        model.preprocessing = Standardize("image").fit(images)
    fnn.io.export_onnx(model, path, input_dtype="uint8")
    np.testing.assert_allclose(run(path, images), expected(model, images), rtol=1e-5, atol=1e-6)


def test_float64_input_of_a_float32_model(model, x, path):
    fnn.io.export_onnx(model, path, input_dtype="float64")
    out = run(path, x.astype("float64"))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", [Standardize("image"), MinMax(0.25, 1, per="image")])
def test_constant_images_are_no_division_by_zero(path, step):
    images = np.full((2, 1, 2, 2), 0.1, "float32")
    model = fnn.Sequential([fnn.ReLU()], (1, 2, 2))
    model.preprocessing = step.fit(images)
    fnn.io.export_onnx(model, path)
    assert np.array_equal(run(path, images), expected(model, images))


def test_training_goes_on_unchanged(model, path):
    """The file holds copies."""
    fnn.io.export_onnx(model, path)
    before = path.read_bytes()
    fnn.io.export_onnx(model, path)
    assert path.read_bytes() == before
    model.params["affine1.w"][:] = 0
    fnn.io.export_onnx(model, path)
    assert path.read_bytes() != before


class Own(fnn.ReLU):
    pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"opset": 19}, r"opset must lie in 20\.\.\d+, .*; got 19"),
        ({"opset": 10_000}, "opset must lie in"),
        ({"input_dtype": "int8"}, "input_dtype must be one of float32, .*; got 'int8'"),
    ],
)
def test_settings_that_cannot_be(model, path, settings, message):
    with pytest.raises(ValueError, match=message):
        fnn.io.export_onnx(model, path, **settings)
    assert not path.exists()


@pytest.mark.parametrize("export", [fnn.io.export_onnx, fnn.io.export_numpy])
def test_models_that_cannot_be_exported(export, model, path):
    path.write_bytes(b"as it was")
    with pytest.raises(TypeError, match="model must be a Sequential; got ReLU"):
        export(fnn.ReLU(), path)
    with pytest.raises(ValueError, match="model has a Own as relu1, which is no layer of fastnn"):
        export(fnn.Sequential([Own()], 2), path)
    model.preprocessing = Standardize()
    with pytest.raises(ValueError, match="has learned nothing: call its fit"):
        export(model, path)
    model.preprocessing = PCA(2).fit(np.random.default_rng(0).standard_normal((9, 6)))
    with pytest.raises(ValueError, match="model takes 6 features, but its preprocessing gives 2"):
        export(model, path)
    assert path.read_bytes() == b"as it was"


def test_nothing_is_loaded_until_asked_for(run_python):
    code = """
import sys
import fastnn as fnn
print("fastnn.io" in sys.modules, end=" ")
print(fnn.io.export_onnx.__name__, "onnx" in sys.modules)
"""
    assert run_python(code).split() == ["False", "export_onnx", "False"]


def test_without_onnx(run_python):
    code = """
import sys
sys.modules["onnx"] = None
import fastnn as fnn
try:
    fnn.io.export_onnx(fnn.mlp(2, [3], 2), "model.onnx")
except ImportError as error:
    print(error)
"""
    assert run_python(code).strip().endswith('pip install "fastnn[onnx]"')
