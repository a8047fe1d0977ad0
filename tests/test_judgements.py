"""Confusion matrix, ROC and calibration show the numbers that scikit-learn computes."""

import numpy as np
import pytest
from networks import blobs, trainer_of

import fastnn as fnn

pytest.importorskip("matplotlib")
metrics = pytest.importorskip("sklearn.metrics")
curves = pytest.importorskip("sklearn.calibration")


@pytest.fixture(scope="module")
def several():
    """Model, rows and labels of three classes."""
    x, y = blobs()
    model = fnn.mlp(8, [6], 3, rng=0)
    trainer_of(model).fit(x, y, epochs=3)
    return model, x, y


@pytest.fixture(scope="module", params=["two outputs", "one output", "sigmoid"])
def two(request):
    """Model, rows, labels and the probability of the second class, by each kind of network."""
    x, y = blobs(classes=2)
    if request.param == "two outputs":
        model = fnn.mlp(8, [6], 2, rng=0)
        trainer_of(model).fit(x, y, epochs=1)
        return model, x, y, model.predict_proba(x)[:, 1]
    model = fnn.mlp(8, [6], 1, rng=0)
    trainer_of(model, loss="binary_cross_entropy").fit(x, y[:, None], epochs=1)
    second = 1 / (1 + np.exp(-model.predict(x)[:, 0]))
    if request.param == "one output":
        return model, x, y[:, None], second
    layers = [*model.layers, fnn.Sigmoid()]
    return fnn.Sequential.from_layers(layers, 8), x, y, second


def lines(figure):
    """Label and points of each line."""
    return [(line.get_label(), line.get_xydata()) for line in figure.axes[0].lines]


def cells(figure):
    texts = [text.get_text() for text in figure.axes[0].texts]
    side = int(len(texts) ** 0.5)
    return np.array(texts, dtype=float).reshape(side, side)


def test_confusion(several):
    model, x, y = several
    figure = fnn.lab.confusion(model, x, y, names=["ant", "bee", "cat"], title="insects?")
    wanted = metrics.confusion_matrix(y, model.predict(x).argmax(axis=1))
    assert np.array_equal(cells(figure), wanted)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ant", "bee", "cat"]
    assert figure.get_suptitle() == "insects?"
    assert np.array_equal(cells(fnn.lab.confusion(model, x, np.eye(3)[y])), wanted)


def test_shares_of_the_true_classes(several):
    rows = cells(fnn.lab.confusion(*several, normalize="true"))
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=0.011)


def test_classes_that_never_come_have_a_row(several):
    model, x, y = several
    assert cells(fnn.lab.confusion(model, x[y == 0], y[y == 0])).shape == (3, 3)


def test_two_classes(two):
    model, x, y, second = two
    wanted = metrics.confusion_matrix(np.ravel(y), second > 0.5)
    assert np.array_equal(cells(fnn.lab.confusion(model, x, y)), wanted)
    (label, points), (chance, _) = lines(fnn.lab.roc(model, x, y))
    assert chance == "chance"
    assert f"AUC = {metrics.roc_auc_score(np.ravel(y), second):.2f}" in label
    fpr, tpr, _ = metrics.roc_curve(np.ravel(y), second)
    np.testing.assert_allclose(np.trapezoid(points[:, 1], points[:, 0]), metrics.auc(fpr, tpr))


def test_a_curve_for_each_of_several_classes(several):
    model, x, y = several
    found = lines(fnn.lab.roc(model, x, y, names=["ant", "bee", "cat"]))
    assert [label.split(" ")[0] for label, _ in found] == ["ant", "bee", "cat", "chance"]
    probabilities = model.predict_proba(x)
    for number, (label, _) in enumerate(found[:-1]):
        auc = metrics.roc_auc_score(y == number, probabilities[:, number])
        assert f"{auc:.2f}" in label
    few = np.isin(y, [0, 2])
    assert len(lines(fnn.lab.roc(model, x[few], y[few]))) == 3


def test_calibration_of_two_classes(two):
    model, x, y, second = two
    true, sure = curves.calibration_curve(np.ravel(y), second, n_bins=5, strategy="quantile")
    drawn = dict(lines(fnn.lab.calibration(model, x, y, bins=5)))["model"]
    np.testing.assert_allclose(drawn, np.column_stack([sure, true]), rtol=1e-5)


def test_calibration_of_several_classes(several):
    model, x, y = several
    figure = fnn.lab.calibration(model, x, y)
    drawn = dict(lines(figure))["model"]
    probabilities = model.predict_proba(x)
    np.testing.assert_allclose(drawn[:, 0].mean(), probabilities.max(axis=1).mean(), atol=1e-6)
    np.testing.assert_allclose(
        drawn[:, 1].mean(), (probabilities.argmax(axis=1) == y).mean(), atol=1e-6
    )
    assert figure.axes[0].get_ylabel() == "share of right answers"


@pytest.mark.parametrize("draw", [fnn.lab.confusion, fnn.lab.roc, fnn.lab.calibration])
def test_what_cannot_be_judged(several, draw):
    model, x, y = several
    with pytest.raises(TypeError, match="model must be a Sequential; got str"):
        draw("model", x, y)
    with pytest.raises(
        ValueError, match=r"labels 0\.\.2, one for each column .*; got labels 0\.\.3"
    ):
        draw(model, x, np.where(y == 2, 3, y))
    with pytest.raises(ValueError, match="a row for each of the 300 rows"):
        draw(model, x, y[:-1])


def test_settings_that_cannot_be(several):
    model, x, y = several
    with pytest.raises(ValueError, match="normalize must be one of true, pred, all; got 'rows'"):
        fnn.lab.confusion(model, x, y, normalize="rows")
    with pytest.raises(ValueError, match="names must hold 3 names, one for each class; got 2"):
        fnn.lab.confusion(model, x, y, names=["a", "b"])
    with pytest.raises(ValueError, match=r"y must hold samples of two classes at least; got \[1\]"):
        fnn.lab.roc(model, x[y == 1], y[y == 1])
    with pytest.raises(ValueError, match="bins must be at least 1; got 0"):
        fnn.lab.calibration(model, x, y, bins=0)


def test_more_classes_than_colours():
    x, y = blobs(classes=10)
    axes = fnn.lab.roc(fnn.mlp(8, [4], 10, rng=0), x, y).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 11
    x, y = blobs(classes=22)
    with pytest.raises(ValueError, match="at most 21 classes to be drawn; got 22"):
        fnn.lab.roc(fnn.mlp(8, [4], 22, rng=0), x, y)


def test_without_scikit_learn(run_python):
    code = """
import sys
sys.modules["sklearn"] = None
import fastnn as fnn
try:
    fnn.lab.confusion(fnn.mlp(2, [3], 2), [[0.0, 1.0]], [0])
except ImportError as error:
    print(error)
"""
    assert run_python(code).strip().endswith('pip install "fastnn[sklearn]"')
