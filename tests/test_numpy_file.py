"""Exported Python files: with NumPy alone, they give what fastnn gives."""

import ast
import runpy

import numpy as np
import pytest
from architectures import SEEDS, expected, random_model

import fastnn as fnn
from fastnn.data import PCA, MinMax, Pipeline, Standardize

# Imports and runs files where nothing but NumPy and the standard library is at hand.
ALONE = """
import importlib, sys
import numpy as np

class NumpyAlone:
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top != "numpy" and not top.startswith("model") and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NumpyAlone)
sys.path.insert(0, ".")
inputs = np.load("inputs.npz")
outputs = {}
for name in inputs.files:
    module = importlib.import_module(name)
    outputs[name] = module.predict(inputs[name])
    if hasattr(module, "predict_proba"):
        outputs[name + "_proba"] = module.predict_proba(inputs[name])
np.savez("outputs.npz", **outputs)
try:
    import fastnn
except ModuleNotFoundError:
    print("alone")
"""


def test_numpy_alone_agrees(run_python, tmp_path):
    inputs, wanted = {}, {}
    for seed in SEEDS:
        model, inputs[f"model{seed}"] = random_model(seed)
        fnn.io.export_numpy(model, tmp_path / f"model{seed}.py")
        wanted[f"model{seed}"] = expected(model, inputs[f"model{seed}"])
        if model.output_size > 1:
            wanted[f"model{seed}_proba"] = expected(model, inputs[f"model{seed}"], True)
    np.savez(tmp_path / "inputs.npz", **inputs)
    assert run_python(ALONE).strip() == "alone"
    outputs = np.load(tmp_path / "outputs.npz")
    assert set(outputs.files) == set(wanted)
    for name, theirs in outputs.items():
        assert theirs.dtype == wanted[name].dtype
        tolerance = 1e-5 if theirs.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(
            theirs, wanted[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.py"


@pytest.fixture
def model():
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 2, 2)).astype("uint8")
    model = fnn.Sequential([fnn.Affine(3), fnn.GELU()], 4, rng=0)
    model.preprocessing = Pipeline([Standardize("channel"), PCA(4)]).fit(images)
    return model


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("flat", [True, False])
def test_samples_of_any_type(model, path, dtype, flat):
    x = np.random.default_rng(1).integers(0, 256, (5, 8) if flat else (5, 2, 2, 2)).astype(dtype)
    fnn.io.export_numpy(model, path)
    out = runpy.run_path(str(path))["predict"](x)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected(model, x), rtol=1e-5, atol=1e-5)


def test_bytes_without_preprocessing(path):
    model = fnn.mlp(6, [4], 2, rng=0, dtype="float64")
    x = np.random.default_rng(1).integers(0, 256, (5, 6)).astype("uint8")
    fnn.io.export_numpy(model, path)
    np.testing.assert_allclose(
        runpy.run_path(str(path))["predict"](x), model.predict(x), rtol=1e-12
    )


@pytest.mark.parametrize("step", [Standardize("image"), MinMax(0.25, 1, per="image")])
def test_constant_images_are_no_division_by_zero(path, step):
    images = np.full((2, 1, 2, 2), 0.1, "float32")
    model = fnn.Sequential([fnn.ReLU()], (1, 2, 2))
    model.preprocessing = step.fit(images)
    fnn.io.export_numpy(model, path)
    out = runpy.run_path(str(path))["predict"](images)
    assert np.array_equal(out, expected(model, images))


def test_wrong_shapes_are_refused(model, path):
    fnn.io.export_numpy(model, path)
    predict = runpy.run_path(str(path))["predict"]
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2, 2, 2\); got \(1, 7\)"):
        predict(np.zeros((1, 7)))


def test_no_rows_and_large_numbers(path):
    layers = [fnn.Affine(4), fnn.Maxout(2), fnn.Softplus(), fnn.Sigmoid(), fnn.Softmax()]
    model = fnn.Sequential(layers, 3, rng=0)
    fnn.io.export_numpy(model, path)
    predict = runpy.run_path(str(path))["predict"]
    assert predict(np.zeros((0, 3))).shape == (0, 2)
    x = np.array([[1e30, -1e30, 1.0], [-1e30, 1e30, 0.0]])
    np.testing.assert_allclose(predict(x), model.predict(x), rtol=1e-6)


def test_probabilities_only_of_classes(path):
    fnn.io.export_numpy(fnn.mlp(3, [2], 1, rng=0), path)
    assert "predict_proba" not in runpy.run_path(str(path))


def test_probabilities_of_yes_or_no(path):
    model = fnn.mlp(3, [2], 1, rng=0)
    model.output_activation = "sigmoid"
    fnn.io.export_numpy(model, path)
    x = np.random.default_rng(0).standard_normal((5, 3), dtype=np.float32)
    np.testing.assert_allclose(
        runpy.run_path(str(path))["predict_proba"](x), model.predict_proba(x), rtol=1e-5
    )


def test_the_file_reads_well(model, path):
    """Short lines, an explanation of every function, and only the functions that are needed."""
    fnn.io.export_numpy(model, path)
    text = path.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    tree = ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert all(map(ast.get_docstring, [tree, *functions]))
    names = ["normal_cdf", "softmax", "preprocess", "predict", "predict_proba"]
    assert [function.name for function in functions] == names
    imported = [node.names[0].name for node in tree.body if isinstance(node, ast.Import)]
    assert imported == ["base64", "io", "math", "numpy"]


def test_equal_models_make_equal_files(model, path):
    fnn.io.export_numpy(model, path)
    before = path.read_bytes()
    fnn.io.export_numpy(model, path)
    assert path.read_bytes() == before
