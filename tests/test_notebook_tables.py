"""What a notebook shows of histories, summaries and searches: tables."""

import copy
import math
import pickle
import re

import pytest
from networks import blobs, trainer_of

import fastnn as fnn
from fastnn.history import History
from fastnn.lab.search_result import SearchResult, Trial
from fastnn.lab.space import Choices
from fastnn.markup import some


def cells_of(html):
    """Rows of cells, header first; a marked row has a star at its end."""
    rows = re.findall(r"<tr(.*?)</tr>", html, re.DOTALL)
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        + (["*"] if row.startswith(" class=marked") else [])
        for row in rows
    ]


def words_of(html):
    """What is said above the table."""
    return re.search("<(div|caption)>(.*?)</", html)[2]


def test_a_history_is_a_table():
    history = History()
    for epoch in range(40):
        history.append(
            {"loss": 1 / (epoch + 1), "accuracy": 0.5, "lr": 0.001}
            | {"val_loss": 1 + abs(epoch - 20)}
        )
    html = history._repr_html_()
    rows = cells_of(html)
    assert rows[0] == ["epoch", *history]
    assert rows[1] == ["1", "1", "0.5", "0.001", "21"]
    assert [row[0] for row in rows if row[-1] == "*"] == ["21"]
    assert len(rows) == 1 + 3 + 1 + 1 + 1 + 8
    assert words_of(html) == "History of 40 epochs; val_loss is best in epoch 21"


@pytest.mark.parametrize("logs", [[], [{"loss": math.nan}], [{"accuracy": 0.5}]])
def test_a_history_without_a_best_epoch(logs):
    history = History()
    for row in logs:
        history.append(row)
    html = history._repr_html_()
    assert len(cells_of(html)) == 1 + len(logs)
    assert "class=marked" not in html


def test_a_summary_is_a_table():
    model = fnn.mlp(4, [3], 2, batch_norm=True, rng=0)
    summary = model.summary()
    rows = cells_of(summary._repr_html_())
    lines = [re.split(r"\s{2,}", line) for line in str(summary).splitlines()]
    assert rows == [lines[0], *lines[2:-1]]
    assert f"<div>{lines[-1][0]}</div>" in summary._repr_html_()
    for same in (pickle.loads(pickle.dumps(summary)), copy.deepcopy(summary)):
        assert same == summary
        assert same._repr_html_() == summary._repr_html_()


def test_a_gradient_check_is_a_table():
    x, y = blobs(20)
    check = fnn.gradient_check(trainer_of().model, x, y, rng=0)
    rows = cells_of(check.table()._repr_html_())
    assert rows[0][0] == "parameter"
    assert [row[0] for row in rows[1:]] == [p.name for p in check.parameters]


def test_the_result_of_a_search_is_a_table():
    trials = [Trial(n, {"lr": n / 10}, n, 5, "done", n / 100) for n in range(12)]
    result = SearchResult(
        trials, "val_accuracy", {"lr": Choices([n / 10 for n in range(12)])}, True
    )
    html = result._repr_html_()
    rows = cells_of(html)
    assert rows[0][:3] == ["trial", "lr", "val_accuracy"]
    assert rows[1][:3] == ["11", "1.1", "0.11"]
    assert rows[1][-1] == "*"
    assert rows[11] == ["... and 2 more"]
    assert len(rows) == 12
    assert "warning: the search was interrupted" in html
    assert words_of(html) == "SearchResult of 12 trials: best val_accuracy 0.11"


def test_a_search_without_trials_or_success():
    failed = Trial(0, {"lr": 1.0}, 0, 5, "failed", reason="<no>")
    html = SearchResult([failed], "val_loss", {"lr": Choices([1.0])})._repr_html_()
    assert "class=marked" not in html
    assert "<no>" not in html
    assert "<table" not in SearchResult([], "val_loss", {})._repr_html_()


@pytest.mark.parametrize("count", [0, 1, 5, 11, 12, 13, 100])
@pytest.mark.parametrize("marked", [None, 0, 3, 4, 50, 99])
def test_rows_that_are_left_out_are_counted(count, marked):
    if marked is not None and marked >= count:
        marked = None
    rows = some(count, marked)
    flat = [n for row in rows for n in (row if isinstance(row, range) else [row])]
    assert flat == list(range(count))
    assert all(len(row) > 1 for row in rows if isinstance(row, range))
    assert marked is None or marked in [row for row in rows if isinstance(row, int)]
    assert len(rows) <= 14
