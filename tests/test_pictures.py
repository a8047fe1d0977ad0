"""The picture of a fit, and what all pictures share."""

import math
import sys

import numpy as np
import pytest

from fastnn import pictures
from fastnn.history import History


def history_of(epochs=5, validation=True, **more):
    history = History()
    for epoch in range(epochs):
        logs = {"loss": 2.0 / (epoch + 1), "accuracy": 1 - 0.5 / (epoch + 1), **more}
        if validation:
            logs |= {"val_loss": 2.2 / (epoch + 1), "val_accuracy": 0.9 - 0.5 / (epoch + 1)}
        history.append(logs | {"lr": 0.1, "seconds": 1.0})
    return history


@pytest.mark.parametrize("epochs", [1, 5])
def test_plot_holds_the_curves_and_the_gap(epochs):
    history = history_of(epochs)
    figure = history.plot("a title")
    assert figure.get_suptitle() == "a title"
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        for line, key in zip(axes.lines, (name, f"val_{name}"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), range(1, epochs + 1))
            np.testing.assert_array_equal(line.get_ydata(), history[key])
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["training", "validation", "gap, 10.0 points at the end"]
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[1].get_yscale() == "linear"
    assert pictures.png_bytes(figure).startswith(b"\x89PNG")


def test_plot_without_validation_has_no_gap():
    figure = history_of(validation=False, r2_score=0.5).plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "r2 score"]
    assert all(len(axes.lines) == 1 and not axes.collections for axes in figure.axes)


def test_plot_of_numbers_that_are_no_numbers():
    history = history_of()
    history.append({"loss": math.nan, "accuracy": 0.1, "val_loss": math.inf})
    figure = history.plot()
    assert figure.axes[0].get_legend().get_texts()[-1].get_text() == "gap"
    assert pictures.png_bytes(figure)


def test_an_empty_history_has_no_picture():
    with pytest.raises(ValueError, match="at least one epoch"):
        History().plot()


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match=r"fastnn\[plot\]"):
        history_of().plot()


def test_lab_is_imported_when_asked_for(run_python):
    code = """
import sys
import fastnn as fnn
print("fastnn.lab" in sys.modules, fnn.lab.plots.__name__, "matplotlib" in sys.modules)
"""
    assert run_python(code).split() == ["False", "fastnn.lab.plots", "False"]


def test_an_unknown_name_is_an_attribute_error():
    import fastnn

    with pytest.raises(AttributeError, match="no attribute 'laboratory'"):
        _ = fastnn.laboratory
