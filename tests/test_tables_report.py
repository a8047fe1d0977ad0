"""The report of a table's model: what it says, that it is whole, and that text stays text."""

import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from fastnn.history import History
from fastnn.tables.outcome import ColumnFact, Outcome
from fastnn.tables.report.charts import POINTS, Axis, Chart
from fastnn.tables.report.judged import number
from fastnn.tables.report.page import html_report, kept_epoch, write_html

pytest.importorskip("sklearn")

# What must not come out of the page as anything but text.
NASTY = '<script>alert("x")</script>\'&amp;$\\frac{1}{2}$ _hidden é 表'
VOID = {"meta", "br", "img", "path", "rect", "link"}


class Page(HTMLParser):
    """Reads a page: its tags, texts, tables; and whether every tag is closed where it must be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        """All words outside of the style sheet, single spaces between them."""
        return re.sub(r"\s+", " ", " ".join(t for t in self.texts if "--page:" not in t))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def history_of(epochs=12, best=7, metrics=("accuracy",)):
    history = History()
    for epoch in range(epochs):
        logs = {"loss": 1 / (epoch + 1), "val_loss": 0.5 + 0.01 * abs(epoch - best)}
        for name in metrics:
            logs |= {name: 0.9 - 0.4 / (epoch + 1), f"val_{name}": 0.8 - 0.3 / (epoch + 1)}
        history.append(logs | {"lr": 1e-3, "seconds": 0.1})
    return history


def classifier(classes=3, rows=90, names=None, seed=0, **changes):
    """The outcome of a model that is right in about three of four test rows."""
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % classes
    scores = rng.standard_normal((rows, classes))
    scores[np.arange(rows), truth] += 3
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    part = {"accuracy": 0.75, "balanced accuracy": 0.7, "log loss": 0.6, "ROC AUC": math.nan}
    outcome = Outcome(
        source="table.csv",
        target="kind",
        task="classification",
        why="It holds text.",
        classes=tuple(names or (f"c{n}" for n in range(classes))),
        rows={"train": 300, "validation": 90, "test": rows, "dropped": 2},
        columns=[
            ColumnFact("age", "numeric", 0.25, "gaps filled"),
            ColumnFact("town", "categorical", 0.0, "3 values"),
            ColumnFact("id", "dropped", 0.0, "it names the row"),
        ],
        settings={"optimizer": "Adam(lr=0.001)", "seed": "0"},
        history=history_of(),
        metrics={"train": part, "validation": part, "test": part, "baseline": {"accuracy": 0.34}},
        y_true=truth,
        y_pred=proba.argmax(axis=1),
        proba=proba,
        seconds=1.5,
        warnings=["Few rows."],
        sentence="It is right in 75.0 % of 90 rows.",
    )
    return replace(outcome, **changes)


def regressor(rows=50, **changes):
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 20, rows)
    part = {"R2": 0.9, "RMSE": 12.0, "MAE": 1234.5}
    outcome = replace(
        classifier(),
        task="regression",
        classes=None,
        history=history_of(metrics=()),
        metrics={"train": part, "test": part, "baseline": {"R2": 0.0, "RMSE": 40.0, "MAE": 30.0}},
        y_true=truth,
        y_pred=truth + rng.normal(0, 5, rows),
        proba=None,
    )
    return replace(outcome, **changes)


OUTCOMES = {
    "two classes": lambda: classifier(2),
    "three classes": lambda: classifier(3),
    "ten classes": lambda: classifier(10, 500),
    "a hundred classes": lambda: classifier(100, 3000),
    "four hundred classes": lambda: classifier(400, 2000),
    "numbers": regressor,
}


@pytest.mark.parametrize("make", OUTCOMES.values(), ids=OUTCOMES)
def test_the_page_is_whole_small_and_the_same_each_time(make, tmp_path):
    write_html(tmp_path / "a.html", make())
    write_html(tmp_path / "b.html", make())
    content = (tmp_path / "a.html").read_bytes()
    assert content == (tmp_path / "b.html").read_bytes()
    assert len(content) < 300_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]
    page = Page(content.decode())
    assert len(page.ids) == len(set(page.ids))
    assert {a["href"] for a in page.of("a")} == {f"#{name}" for name in page.ids}
    assert "nan" not in re.findall("[a-z]+", content.decode().lower())


@pytest.mark.parametrize("make", OUTCOMES.values(), ids=OUTCOMES)
def test_nothing_is_fetched_or_run(make):
    text = html_report(make())
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]


@pytest.mark.parametrize("make", OUTCOMES.values(), ids=OUTCOMES)
def test_those_who_do_not_see_are_told(make):
    page = Page(html_report(make()))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    for attributes in page.of("svg"):
        assert attributes.get("aria-hidden") or len(attributes["aria-label"]) > 20
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.of("th"))
    assert len(page.of("th")) > 10
    assert dict(page.tags)["html"]["lang"] == "en"


def test_the_sentence_comes_first_and_warnings_before_the_tables():
    text = html_report(classifier())
    places = [
        text.index(words)
        for words in ("It is right in 75.0 %", "It holds text", "Few rows.", "<table")
    ]
    assert places == sorted(places)
    assert "What to doubt" not in html_report(classifier(warnings=[]))


def rows_of(text, heading):
    """Cells of the table, row by row, that follows a heading or a caption."""
    body = text[text.index(heading) :].split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("<tr")[1:]
    ]


def test_metrics_stand_by_part_those_to_compare_first():
    text = html_report(classifier())
    strong = "<strong>0.7500</strong>"
    assert rows_of(text, "How good it is</h2>")[0] == [
        "accuracy",
        strong,
        "0.3400",
        "0.7500",
        "0.7500",
    ]
    auc = rows_of(text, "How good it is</h2>")[3]
    assert auc[0] == "ROC AUC"
    assert "nan" not in str(auc)
    assert "log loss lower" in text
    assert "ROC AUC higher" in text


def test_the_confusion_matrix_counts():
    outcome = classifier(3, 90)
    text = html_report(outcome)
    for own, row in enumerate(rows_of(text, 'class="matrix"')):
        assert row[0] == f"c{own}"
        for other, cell in enumerate(row[1:]):
            count = np.count_nonzero((outcome.y_true == own) & (outcome.y_pred == other))
            assert re.match(r"[\d,]+", cell)[0] == str(count)
            assert re.search(r"(\d+)\s%", cell)[1] == f"{100 * count / 30:.0f}"


def test_classes_without_test_rows_divide_by_nothing():
    outcome = classifier(3, 90)
    keep = outcome.y_true == 0
    text = html_report(
        replace(
            outcome,
            y_true=outcome.y_true[keep],
            y_pred=outcome.y_pred[keep],
            proba=outcome.proba[keep],
        )
    )
    assert rows_of(text, "Test rows by class")[1][1] == "0"
    assert "(ROC)" not in text
    assert "Can the probabilities be believed?" in text


def test_classes_found_and_right_when_answered():
    outcome = replace(
        classifier(2), y_true=np.array([0, 0, 0, 1]), y_pred=np.array([0, 0, 1, 1]), proba=None
    )
    rows = rows_of(html_report(outcome), "Test rows by class")
    assert [[cell.replace("\N{NO-BREAK SPACE}", "") for cell in row] for row in rows] == [
        ["c0", "3", "66.7%", "100.0%"],
        ["c1", "1", "100.0%", "50.0%"],
    ]


def test_the_most_frequent_mistakes_come_first():
    truth = np.array([0] * 10 + [1] * 10 + [2] * 10)
    answers = truth.copy()
    answers[:2], answers[10:15], answers[20] = 1, 2, 0
    text = html_report(replace(classifier(3), y_true=truth, y_pred=answers, proba=None))
    listed = [row[:3] for row in rows_of(text, "The most frequent mistakes")]
    assert listed == [["c1", "c2", "5"], ["c0", "c1", "2"], ["c2", "c0", "1"]]
    text = html_report(replace(classifier(3), y_true=truth, y_pred=truth, proba=None))
    assert "No test row was mistaken." in text


@pytest.mark.parametrize(("classes", "curves"), [(2, 1), (3, 3), (7, 7), (8, 0)])
def test_roc_curves_name_their_area(classes, curves):
    from sklearn.metrics import roc_auc_score

    outcome = classifier(classes, 210)
    text = html_report(outcome)
    areas = re.findall(r"(c\d): area (\d\.\d+)</li>", text)
    assert len(areas) == curves
    for name, area in areas:
        own = int(name[1:])
        expected = roc_auc_score(outcome.y_true == own, outcome.proba[:, own])
        assert float(area) == pytest.approx(expected, abs=6e-4)


def test_probabilities_that_are_none_have_no_curves():
    proba = classifier().proba.copy()
    proba[0, 0] = math.nan
    assert "(ROC)" not in html_report(classifier(proba=proba))


@pytest.mark.parametrize("classes", [101, 400])
def test_of_very_many_classes_those_found_worst_are_listed(classes):
    outcome = classifier(classes, 10 * classes)
    text = html_report(outcome)
    rows = rows_of(text, "Test rows by class")
    assert len(rows) == 100
    least = min(float(row[2].split("\N{NO-BREAK SPACE}")[0]) for row in rows)
    recall = [np.mean(outcome.y_pred[outcome.y_true == c] == c) for c in range(classes)]
    assert least == pytest.approx(100 * min(recall), abs=0.06)
    assert ("Confusion matrix of" in text) == (classes == 101)


def test_errors_of_numbers_are_told_and_drawn():
    outcome = regressor(2000)
    text = html_report(outcome)
    low, high = np.quantile(outcome.y_pred - outcome.y_true, [0.05, 0.95])
    assert f"Nine of ten errors lie between {number(low)} and {number(high)}" in text
    assert "1,001 of 2,000 rows are drawn" in text
    cloud = re.search(r'<path class="dots s0 cloud"[^>]* d="([^"]*)"', text)[1]
    assert cloud.count("M") == 1001
    assert "RMSE lower" in text
    assert "1,234" in text or "1,235" in text


def test_a_single_error_far_out_leaves_the_others_to_be_seen():
    outcome = regressor(500)
    predicted = outcome.y_pred.copy()
    predicted[0] = 1e6
    text = html_report(replace(outcome, y_pred=predicted))
    assert "1 lies beyond the picture" in text
    assert text.count('class="bar"') > 5


@pytest.mark.parametrize("predicted", [100.0, math.nan, math.inf])
def test_predictions_that_are_all_one(predicted):
    text = html_report(regressor(20, y_true=np.full(20, 100.0), y_pred=np.full(20, predicted)))
    assert ("No test row has a finite prediction" in text) == (predicted != 100)
    Page(text)


def test_the_kept_epoch_is_marked_and_told():
    text = html_report(classifier(history=history_of(12, best=7)))
    assert text.count(">kept: epoch 8<") == 2
    loss = text[text.index("Loss by epoch") :]
    points = re.search(r'<path class="line s0" d="M([^"]*)"', loss)[1].split("L")
    marks = re.findall(r'<path class="mark" d="M([\d.]+) ', loss)
    assert marks[0] == points[7].split()[0]
    assert "The model is that of epoch 8" in text
    assert "Accuracy by epoch" in text
    assert "Lr by epoch" not in text
    assert "The model is that of" not in html_report(classifier(history=history_of(8, best=7)))


def rising(gap):
    """Thirty epochs; the validation loss rises from the fourth on, when the fit is `gap` ahead."""
    history = History()
    for epoch in range(30):
        accuracy = min(0.5 + 0.1 * epoch, 0.95)
        history.append(
            {
                "loss": 1 / (epoch + 1),
                "accuracy": accuracy,
                "val_loss": 0.5 + 0.05 * abs(epoch - 4),
                "val_accuracy": accuracy - gap,
                "lr": 0.1,
            }
        )
    return history


def test_what_the_curves_show_stands_in_words():
    text = html_report(classifier(history=rising(0.2)))
    assert "The curves show: overfitting." in text
    assert '<li class="wrong"><strong>Overfitting</strong>' in text
    assert "20.0 points above that on validation rows at epoch 5, which was kept" in text
    assert "weight decay (fnn.L2)" in text
    assert "EarlyStopping" not in text


def test_a_model_of_the_best_epoch_is_not_called_overfitted():
    """What came after that epoch is told, and that the model is spared it."""
    text = html_report(classifier(history=rising(0.01)))
    assert "The curves show nothing wrong." in text
    assert '<li class="note"><strong>Overfitting</strong>' in text
    assert "the model is that of epoch 5, which knows nothing of it" in text


@pytest.mark.parametrize("losses", [[], [1.0], [math.nan], [2.0, math.inf, math.nan]])
def test_short_and_broken_histories(losses):
    history = History()
    for loss in losses:
        history.append({"loss": loss, "val_loss": loss})
    page = Page(html_report(classifier(history=history)))
    assert ("#how-it-was-learned" in {a["href"] for a in page.of("a")}) == bool(losses)
    assert kept_epoch(history) == (0 if losses and math.isfinite(losses[0]) else None)


def test_columns_with_kind_gaps_and_notes():
    rows = rows_of(html_report(classifier()), 'id="columns"')
    assert rows[0][0] == "age"
    assert ">numeric<" in rows[0][1]
    assert "25.0" in rows[0][2]
    assert rows[0][3] == "gaps filled"
    assert "none" in rows[1][2]
    assert "dropped" in rows[2][1]


def test_a_wide_table_is_cut_and_says_so():
    columns = [ColumnFact(f"x{n}" * 40, "numeric", 0.5, "note " * 60) for n in range(5000)]
    text = html_report(classifier(columns=columns))
    assert len(text.encode()) < 500_000
    assert "and 4,600 more columns" in text
    assert "5,000 columns beside the target" in text


@pytest.mark.parametrize("make", [classifier, regressor])
def test_whatever_the_table_holds_stands_as_text(make):
    outcome = make()
    outcome = replace(
        outcome,
        source=NASTY,
        target=NASTY,
        why=NASTY,
        classes=outcome.classes and tuple(f"{n}{NASTY}" for n in range(3)),
        columns=[ColumnFact(NASTY, "numeric", 0.1, NASTY)],
        settings={NASTY: NASTY},
        warnings=[NASTY],
        sentence=NASTY,
    )
    page = Page(html_report(outcome))
    assert not page.of("script")
    # Whole where there is room, in the words or in the tooltip of what is cut.
    whole = [text for text in page.texts if text == NASTY]
    assert len(whole) >= 8
    hints = [a["title"] for _, a in page.tags if "title" in a]
    assert set(hints) <= {NASTY} | set(outcome.classes or ())
    if outcome.classes:
        assert set(outcome.classes) <= set(hints)


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    write_html(tmp_path / "a.html", classifier(source="caf\udce9.csv"))
    assert "caf?.csv" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_missing_scikit_learn_names_the_extra_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"fastnn\[table\]"):
        write_html(tmp_path / "a.html", classifier())
    assert list(tmp_path.iterdir()) == []


def test_pictures_need_no_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_html(tmp_path / "a.html", regressor())
    assert (tmp_path / "a.html").stat().st_size > 10_000


def test_an_older_report_survives_an_error(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("old")
    with pytest.raises(TypeError, match="outcome must be an Outcome; got dict"):
        write_html(path, {})
    assert path.read_text() == "old"


# -- charts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis("", -3, 4e4), ["0", "10,000", "20,000", "30,000", "40,000"]),
        (Axis("", 1, 3, whole=True), ["1", "2", "3"]),
        (Axis("", 0.9, 120, log=True), ["1", "2", "5", "10", "20", "50", "100"]),
        (
            Axis("", 1e-6, 10, log=True),
            ["1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"],
        ),
        (Axis("", 0.31, 0.34, log=True), ["0.31", "0.32", "0.33", "0.34"]),
        (Axis("", 5, 5), ["5"]),
        (Axis("", 2e7, 4e7), ["2e+07", "2.5e+07", "3e+07", "3.5e+07", "4e+07"]),
    ],
)
def test_ticks_are_round(axis, ticks):
    assert [text for _, text in axis.ticks()] == ticks
    assert all(-1e-9 <= axis.at(value) <= 1 + 1e-9 for value, _ in axis.ticks())


def test_an_axis_holds_all_finite_values():
    axis = Axis.around("", [math.nan, 2.0, -1.0, math.inf], log=True)
    assert not axis.log
    assert 0 < axis.at(-1.0) < axis.at(2.0) < 1
    axis = Axis.around("", [0.01, 10.0], log=True)
    assert axis.log
    assert axis.at(math.sqrt(0.1)) == pytest.approx(0.5)
    assert Axis.around("", []).at(0.5) == pytest.approx(0.5)


def path_of(chart):
    return re.search(r'<path class="line s0" d="([^"]*)"', chart.figure(""))[1]


def test_lines_break_where_there_is_no_number():
    chart = Chart("alt", Axis("x", 0, 3), Axis("y", 0, 1))
    chart.line([(0, 0), (1, 1), (2, math.nan), (3, 1)], 0)
    assert re.sub("[^ML]", "", path_of(chart)) == "MLM"


def test_long_lines_are_thinned_and_end_where_they_end():
    chart = Chart("alt", Axis("x", 0, 9999), Axis("y", 0, 1))
    chart.line([(x, x % 2) for x in range(10_000)], 0)
    points = path_of(chart)[1:].split("L")
    assert POINTS / 2 < len(points) <= POINTS + 1
    assert points[-1].split()[0] == "408.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.87124, "0.8712"),
        (12.345, "12.35"),
        (-123.456, "-123.5"),
        (1234.5, "1,234"),
        (2.5e12, "2.5e+12"),
        (0.00123456, "0.00123"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
