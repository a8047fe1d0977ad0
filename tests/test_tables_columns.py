import numpy as np
import pytest

from fastnn.tables import TableError
from fastnn.tables.columns import Categorical, Columns, Numeric, learn_columns
from fastnn.tables.target import Target, read_target

pd = pytest.importorskip("pandas", reason="tables are pandas': extra table")


N = 60


def learn(values, rows=None, **options):
    """What becomes of a column, and what is said of it."""
    frame = pd.DataFrame({"c": values, "other": np.random.default_rng(0).normal(size=len(values))})
    rows = np.arange(len(frame)) if rows is None else rows
    columns, facts = learn_columns(frame, rows, options.get("drop", ()), "the table")
    return (columns.columns[0] if columns.names[0] == "c" else None), facts[0], columns, frame


def encoded(values, new):
    """Features of the column alone, learned from values, for new ones."""
    column, _, columns, _ = learn(values)
    x, odd = columns.encode(pd.DataFrame({"other": 0.0, "c": new}))
    return x[:, : len(column.features)], odd


# -- numbers ---------------------------------------------------------------------------------------


def test_numbers_are_standardized_by_the_training_rows():
    values = np.r_[np.arange(0.0, 10), 1e6]
    column, fact, columns, frame = learn(values, rows=np.arange(10))
    assert (column.mean, column.median) == (4.5, 4.5)
    assert column.scale == pytest.approx(np.std(np.arange(10.0)))
    assert fact.kind == "numeric"
    x, odd = columns.encode(frame)
    np.testing.assert_allclose(x[:10, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(x[:10, 0].std(), 1, rtol=1e-6)
    assert x.dtype == np.float32
    assert odd == []


def test_gaps_in_numbers_count_as_the_median_and_are_marked():
    values = [1.0, np.nan, 2.0, 9.0, np.nan, 3.0]
    column, fact, columns, frame = learn(values)
    assert column.features == ["c", "c missing"]
    assert fact.missing == pytest.approx(2 / 6)
    assert "median, 2.5, and are marked" in fact.note
    x, _ = columns.encode(frame)
    assert x[:, 1].tolist() == [0, 1, 0, 0, 1, 0]
    np.testing.assert_allclose(x[1, 0], (2.5 - 3.75) / column.scale, rtol=1e-6)
    # Where training had none, a gap is the median, and there is no mark.
    x, _ = encoded([1.0, 2.0, 9.0] * 4, [np.nan])
    np.testing.assert_allclose(x, [[(2 - 4) / np.std([1, 2, 9])]], rtol=1e-6)


def test_numbers_among_few_words():
    values = [str(number) for number in range(20, 60)] + ["unknown", "12"]
    column, fact, columns, frame = learn(values)
    assert isinstance(column, Numeric)
    assert column.marks_missing
    assert "no numbers, so missing: unknown" in fact.note
    assert columns.encode(frame)[1] == ["'c': no numbers, so missing: unknown"]
    with pytest.raises(TableError, match="must hold numbers in column 'c'; got x"):
        columns.encode(pd.DataFrame({"c": ["x"], "other": [0.0]}))


def test_a_word_in_many_rows_leaves_numbers_numbers():
    values = [str(number) for number in range(20, 60)]
    assert isinstance(learn(values + ["unknown"] * 20)[0], Numeric)
    assert isinstance(learn(["1", "2", "3", "A"] * 10)[0], Categorical)  # names, rather


@pytest.mark.parametrize("values", [[[1], [2]], [1j, 2j], [{}, None]])
def test_what_cannot_be_numbers_at_prediction(values):
    with pytest.raises(TableError, match="must hold numbers in column 'c'; got "):
        encoded([1.0, 2.0, 4.0], values)


def test_infinite_values_are_refused():
    with pytest.raises(TableError, match=r"infinite values in column 'c', the first in row 3 "):
        learn([1.0, 2.0, np.inf, 3.0])
    with pytest.raises(TableError, match="infinite"):
        encoded([1.0, 2.0, 4.0], [-np.inf])


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None, 7] * 5, dtype="Int64"),
        pd.array([1.5, None, 7] * 5, dtype="Float32"),
        np.arange(15, dtype=np.uint8)[::-1] ** 2 % 13,
    ],
)
def test_types_of_numbers(values):
    assert isinstance(learn(values)[0], Numeric)


# -- names -----------------------------------------------------------------------------------------


def test_names_are_told_apart():
    x, odd = encoded(["b", "a", "c"] * 5, ["a", "c", "b", "new", None])
    np.testing.assert_array_equal(x, [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert odd == ["'c': not told apart: new"]


def test_a_gap_is_a_name_of_its_own():
    column, fact, _, _ = learn(["b", "a", None] * 5)
    assert column.features == ["c=a", "c=b", "c missing"]
    assert fact.note == "2 values: a, b; missing is one more"
    x, _ = encoded(["b", "a", None] * 5, ["a", None, "  ", "new"])
    np.testing.assert_array_equal(x, [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])


def test_names_that_look_like_numbers_at_prediction():
    names = ["x", "1", "2"] * 5
    for new in ([1, 2], [1.0, 2.0], ["1", "2"], pd.Categorical([1, 2])):
        x, _ = encoded(names, new)
        np.testing.assert_array_equal(x, [[1, 0, 0], [0, 1, 0]])


def test_yes_and_no_are_names():
    column, _, _, _ = learn([True, False] * 5)
    assert column == Categorical("c", ("False", "True"), False)
    column, _, _, _ = learn(pd.array([True, False, None] * 5, dtype="boolean"))
    assert column == Categorical("c", ("False", "True"), True)
    x, odd = Columns([column]).encode(pd.DataFrame({"c": ["true", "FALSE", None, "True", "no"]}))
    assert x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert odd == ["'c': not told apart: no"]


def test_of_many_names_the_frequent_are_told_apart():
    values = [f"n{number}" for number in range(300) for _ in range(2 + (number < 100))] + ["once"]
    column, fact, _, _ = learn(values)
    assert len(column.categories) == 100
    assert set(column.categories) == {f"n{number}" for number in range(100)}
    assert fact.note == "301 values, of which the 100 most frequent are told apart"


# -- what says nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([7] * N, "it is '7' in all training rows"),
        (["x"] * N, "it is 'x' in all training rows"),
        ([None] * N, "it has no value in the training rows"),
        (range(N), "it counts the rows"),
        (range(100, 100 + N), "it counts the rows"),
        ([f"text {number}" for number in range(N)], "text, 60 different values in 60 rows"),
        ([f"2024-{n % 12 + 1:02}-03" for n in range(N)], "it holds dates"),
        ([f"{n % 28 + 1}.1.2024 12:00" for n in range(N)], "it holds dates"),
        (pd.date_range("2024", periods=N), "it holds dates"),
        (np.arange(N) * 1j, "its numbers are complex"),
        ([[1], [2]] * (N // 2), "its values are of type list"),
        ([1e300, -1e300] * (N // 2), "too large to be scaled"),
    ],
)
def test_what_is_dropped(values, note):
    column, fact, columns, _ = learn(values)
    assert column is None
    assert fact.kind == "dropped"
    assert note in fact.note
    assert columns.names == ["other"]


def test_identifiers_are_dropped_by_name():
    numbers = np.random.default_rng(0).permutation(1000)[:N]
    for name in ("id", "Customer ID", "order_id", "userId", "index"):
        frame = pd.DataFrame({name: numbers, "width": numbers})
        columns, facts = learn_columns(frame, np.arange(N), (), "the table")
        assert columns.names == ["width"]
        assert "identifier" in facts[0].note


def test_asked_for():
    _, fact, columns, _ = learn([1.0, 2.0] * 5, drop=["c"])
    assert (fact.kind, fact.note, columns.names) == ("dropped", "as asked for", ["other"])


def test_nothing_left():
    with pytest.raises(TableError, match=r"no column to learn from \('a': it is '1'"):
        learn_columns(pd.DataFrame({"a": [1] * 9}), np.arange(9), (), "the table")


def test_missing_columns_at_prediction():
    _, _, columns, _ = learn([1.0, 2.0] * 5)
    with pytest.raises(TableError, match=r"new.csv has no column 'other'; did you mean 'Other'\?"):
        columns.encode(pd.DataFrame({"c": [1.0], "Other": [1.0]}), "new.csv")
    with pytest.raises(TableError, match=r"lacks columns that the model reads: c, other"):
        columns.encode(pd.DataFrame({"x": [1.0]}))


# -- in files --------------------------------------------------------------------------------------


def test_columns_come_back_as_they_were():
    frame = pd.DataFrame({"a": [1.0, None, 3.0, 4.0], "b": ["x", "y", None, "x"]})
    columns, _ = learn_columns(frame, np.arange(4), (), "the table")
    again = Columns.from_config(columns.config())
    assert again.columns == columns.columns
    np.testing.assert_array_equal(again.encode(frame)[0], columns.encode(frame)[0])


NUMERIC = {"kind": "numeric", "name": "a", "median": 1.0, "mean": 1.0, "scale": 1.0,
           "marks_missing": False}  # fmt: skip
NAMES = {"kind": "categorical", "name": "b", "categories": ["x"], "marks_missing": False}


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"a": 1},
        [3],
        [NUMERIC, NUMERIC],
        [NUMERIC | {"scale": 0.0}],
        [NUMERIC | {"scale": "1"}],
        [NUMERIC | {"mean": 1}],
        [NUMERIC | {"marks_missing": 1}],
        [NUMERIC | {"name": 1}],
        [NUMERIC | {"more": 1}],
        [NUMERIC | {"kind": "code"}],
        [{key: value for key, value in NUMERIC.items() if key != "mean"}],
        [NAMES | {"categories": []}],
        [NAMES | {"categories": ["x", "x"]}],
        [NAMES | {"categories": [1]}],
        [NAMES | {"categories": "xy"}],
        [NAMES | {"categories": [""]}],
    ],
)
def test_forged_columns(config):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Columns.from_config(config)


CLASSES = {"name": "t", "task": "classification", "classes": ["a", "b"], "mean": 0.0, "scale": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        {"task": "code"},
        {"task": "regression"},
        {"classes": ["a"]},
        {"classes": ["a", "a"]},
        {"classes": [1, 2]},
        {"classes": 3},
        {"scale": 0.0},
        {"mean": None},
        {"name": 3},
        {"more": 1},
    ],
)
def test_forged_targets(change):
    assert Target.from_config(CLASSES).config() == CLASSES
    with pytest.raises((KeyError, TypeError, ValueError)):
        Target.from_config(CLASSES | change)


# -- what is predicted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task", "why"),
    [
        (["a", "b"] * 30, "classification", "holds names"),
        ([True, False] * 30, "classification", "holds yes and no"),
        (np.array([True, False] * 30, object), "classification", "holds yes and no"),
        ([0, 1, 2] * 20, "classification", "3 different whole numbers; if they are amounts"),
        ([0.0, 1.0] * 30, "classification", "2 different values"),
        (np.arange(60) % 10, "regression", "10 different whole numbers"),
        (np.arange(60) / 7, "regression", "60 different numbers"),
    ],
)
def test_the_task_is_inferred_and_said(values, task, why):
    found, said, classes, y = read_target(pd.Series(values, name="t"), None, "the table")
    assert found == task
    assert said.startswith(f"{task.capitalize()}, since 't' ")
    assert why in said
    assert bool(classes) == (task == "classification") == (y.dtype == np.int64)


def test_classes_in_their_order():
    _, _, classes, y = read_target(pd.Series([10, 9, 8] * 10, name="t"), None, "the table")
    assert classes == ("8", "9", "10")
    assert y[:3].tolist() == [2, 1, 0]
    _, why, classes, _ = read_target(
        pd.Series([1.5, 2.5, 3.5] * 10, name="t"), "classification", "the table"
    )
    assert classes == ("1.5", "2.5", "3.5")
    assert why == "Classification, as asked for."


def test_rows_of_classes_too_rare_are_marked():
    _, _, classes, y = read_target(
        pd.Series([2, 3, 2, 11, 5, 5] + [5, 2, 11, 11] * 9, name="t"), "classification", "t"
    )
    assert classes == ("2", "5", "11")
    assert y[:7].tolist() == [0, -1, 0, 2, 1, 1, 1]
    assert (y[7:] >= 0).all()


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a"] * 30, None, "'t' is 'a' in every row: with a single class"),
        ([*map(str, range(50)), "off"], None, "words among its numbers: off. Leave these cells"),
        ([*map(chr, range(65, 91))], None, "26 different values in 26 rows, too many for classes$"),
        ([2.5] * 30, None, "'2.5' in every row"),
        ([2.5] * 30, "regression", "'t' is 2.5 in every row: nothing to learn"),
        # A single class would be left; and here a tenth of the rows would be lost, and more.
        (["a"] * 28 + ["b", "c"], None, "less than 3 rows .*: b, c, the smallest with 1"),
        ([*"ab"] * 18 + [*"cdef"] + ["g"], None, "less than 3 rows .*: c, d, e, f, g, the smal"),
        ([f"n{n}" for n in range(30)], None, "30 different values in 30 rows, too many"),
        (["a", "b"] * 15, "regression", "text in the target 't', such as a, b"),
        ([np.inf, *range(29)], None, "infinite values in the target 't'"),
        ([[1], [2]] * 15, None, "must hold names or numbers in the target 't'"),
    ],
)
def test_bad_targets(values, task, message):
    with pytest.raises(TableError, match=message):
        read_target(pd.Series(values, name="t"), task, "the table")
