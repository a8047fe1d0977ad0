"""What other programs make of a model of a table: the same as fastnn."""

import runpy

import numpy as np
import pytest
from tables import csv_bytes

import fastnn as fnn
from fastnn.tables import export_numpy, export_onnx

pd = pytest.importorskip("pandas", reason="tables are pandas': extra table")
pytest.importorskip("sklearn", reason="metrics are scikit-learn's: extra table")


@pytest.fixture(scope="module", params=["answer", "amount"])
def case(request, tmp_path_factory):
    """A model, and rows to predict: gaps and names that training did not have among them."""
    path = tmp_path_factory.mktemp("export") / "data.csv"
    path.write_bytes(csv_bytes(drop=[{"answer": "amount", "amount": "answer"}[request.param]]))
    model = fnn.tables.train(path, request.param, epochs=10, batch_norm=True).model
    frame = fnn.tables.read(path).head(100)
    frame.loc[:9, "age"] = np.nan
    frame.loc[5:14, "city"] = "elsewhere"
    return model, frame


def onnx_outputs(model, frame, path):
    """By name, what ONNX Runtime makes of the columns."""
    pytest.importorskip("onnx", reason="extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="runs the files: extra test")
    export_onnx(model, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {}
    for column in model.columns.columns:
        values = frame[column.name]
        numeric = column.kind == "numeric"
        feeds[column.name] = (
            values.to_numpy(float) if numeric else values.fillna("").to_numpy(object)
        )[:, None]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_onnx_runtime_agrees(case, tmp_path):
    model, frame = case
    found = onnx_outputs(model, frame, tmp_path / "a.onnx")
    if model.classes:
        assert found["label"].tolist() == [*model.predict(frame)]
        np.testing.assert_allclose(
            found["probabilities"], model.predict_proba(frame), rtol=1e-5, atol=1e-6
        )
    else:
        scale = model.target.scale
        np.testing.assert_allclose(
            found["prediction"] / scale, model.predict(frame) / scale, rtol=1e-5, atol=1e-5
        )


def test_the_python_file_agrees(case, tmp_path):
    model, frame = case
    export_numpy(model, tmp_path / "a.py")
    written = runpy.run_path(tmp_path / "a.py")
    columns = {name: frame[name].tolist() for name in frame}
    if model.classes:
        assert written["predict"](columns) == [*model.predict(frame)]
        assert written["CLASSES"] == [*model.classes]
        np.testing.assert_allclose(
            written["predict_proba"](columns), model.predict_proba(frame), rtol=1e-5, atol=1e-6
        )
    else:
        scale = model.target.scale
        np.testing.assert_allclose(
            written["predict"](columns) / scale, model.predict(frame) / scale, atol=1e-5
        )
    np.testing.assert_allclose(
        written["encode"](columns), model.columns.encode(frame)[0], rtol=1e-6, atol=1e-6
    )


def test_gaps_as_the_python_file_takes_them(case, tmp_path):
    model, _ = case
    export_numpy(model, tmp_path / "a.py")
    predict = runpy.run_path(tmp_path / "a.py")["predict"]
    columns = {"age": [40.0], "income": [1e4], "city": ["Rom"]}
    for gap in (None, "", float("nan")):
        other = predict(columns | {"income": [gap], "city": [gap]})
        expected = model.predict(pd.DataFrame({"age": [40.0], "income": [None], "city": [None]}))
        np.testing.assert_array_equal(
            np.round(other, 3) if not model.classes else other,
            np.round(expected, 3) if not model.classes else expected,
        )
    with pytest.raises(ValueError, match="columns must have 'city'"):
        predict({"age": [1], "income": [2]})


def test_the_python_file_refuses_words_for_numbers(case, tmp_path):
    model, frame = case
    export_numpy(model, tmp_path / "a.py")
    predict = runpy.run_path(str(tmp_path / "a.py"))["predict"]
    columns = {name: frame[name].tolist()[:2] for name in model.columns.names}
    assert len(predict(columns | {"age": ["old", 30]})) == 2  # a word among numbers is a gap
    assert len(predict(columns | {"age": [None, " "]})) == 2
    with pytest.raises(ValueError, match=r"columns\['age'\] must hold numbers; got '1,5'"):
        predict(columns | {"age": ["1,5", None]})


def test_columns_named_as_the_outputs_are(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"label": rng.normal(size=60), "input": ["a", "b", "c"] * 20})
    frame["output"] = np.where(frame["label"] > 0, "x", "y")
    model = fnn.tables.train(frame, "output", epochs=2).model
    found = onnx_outputs(model, frame, tmp_path / "a.onnx")
    assert found["predicted label"].tolist() == [*model.predict(frame)]


@pytest.mark.parametrize("gaps", [False, True])
def test_yes_and_no_however_they_are_written(tmp_path, gaps):
    """A CSV file may spell them so, or all in small letters, or in capitals."""
    flag = [True, False, None] * 20 if gaps else [True, False] * 30
    kind = [{True: "a", False: "b", None: "c"}[value] for value in flag]
    frame = pd.DataFrame({"flag": flag, "t": kind})
    model = fnn.tables.train(frame, "t", epochs=40).model
    assert model.columns.columns[0].categories == ("False", "True")
    given = pd.DataFrame({"flag": ["True", "true", "TRUE", "False", "false", "FALSE", "Truely"]})
    expected = [*"aaabbb", *model.predict(given[6:])]
    assert [*model.predict(given)] == expected
    export_numpy(model, tmp_path / "a.py")
    written = runpy.run_path(tmp_path / "a.py")
    assert written["predict"]({"flag": given["flag"].tolist()}) == expected
    assert written["predict"]({"flag": [True, False, np.True_]}) == ["a", "b", "a"]
    found = onnx_outputs(model, given, tmp_path / "a.onnx")
    assert found["label"].tolist() == expected


def test_other_names_in_capitals_are_other_names(tmp_path):
    frame = pd.DataFrame({"flag": ["yes", "no", "true"] * 20, "t": ["a", "b", "c"] * 20})
    model = fnn.tables.train(frame, "t", epochs=2).model
    given = {"flag": ["true", "TRUE", "yes", "Yes"]}
    export_numpy(model, tmp_path / "a.py")
    encoded = runpy.run_path(tmp_path / "a.py")["encode"](given)
    assert encoded.sum(axis=1).tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(encoded, model.columns.encode(pd.DataFrame(given))[0])


def test_names_that_are_code_stay_names(tmp_path):
    name = '"""\'{x}\\n # %s'
    frame = pd.DataFrame({name: [f"{{}}{k % 3}'" for k in range(60)], "t": ["'", '"', "\\"] * 20})
    model = fnn.tables.train(frame, "t", epochs=2).model
    export_numpy(model, tmp_path / "a.py")
    predict = runpy.run_path(tmp_path / "a.py")["predict"]
    assert predict({name: frame[name].tolist()}) == [*model.predict(frame)]


def test_missing_onnx_names_the_extra(case, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r'"fastnn\[onnx\]"'):
        export_onnx(case[0], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
