import gzip
import re

import numpy as np
import pytest
from tables import ROWS, csv_bytes

import fastnn as fnn
from fastnn.tables import TableError, read
from fastnn.tables.read import read_table

pd = pytest.importorskip("pandas", reason="tables are pandas': extra table")


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# -- CSV -------------------------------------------------------------------------------------------


def test_a_table_as_people_have_them(file):
    frame = read(file(csv_bytes()))
    assert [*frame.columns][:4] == ["id", "age", "income", "city"]  # no mark before the first
    assert len(frame) == ROWS
    assert frame["age"].dtype == np.float64
    assert {"Paris, FR", 'the "other"', "Zürich"} < set(frame["city"].dropna())
    assert 0 < frame["city"].isna().sum() < ROWS / 4


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found_out_and_said(file, separator):
    table = read_table(file(csv_bytes(separator=separator)))
    assert table.frame.equals(read(file(csv_bytes(), "commas.csv")))
    assert re.search("semicolons|tabs|bars", table.notes[0])


def test_a_line_that_says_the_separator(file):
    table = read_table(file("\ufeffsep=;\r\na;b\r\n1,5;x\r\n"))
    assert table.frame.to_dict("list") == {"a": [1.5], "b": ["x"]}
    with pytest.raises(TableError, match=r"data\.csv has no header"):
        read(file("sep=;\n"))
    with pytest.raises(TableError, match="ragged: line 3 has 1 field"):
        read(file("sep=;\na;b\n1\n"))


def test_decimal_commas_are_found_out_and_said(file):
    table = read_table(file("a;b;c\n1,5;1.234,5;x\n2;2,25;1,5\n"))
    assert table.frame["a"].tolist() == [1.5, 2.0]
    assert table.frame["b"].tolist() == [1234.5, 2.25]
    assert table.frame["c"].tolist() == ["x", "1,5"]  # not all are numbers
    assert "these columns have decimal commas: a, b" in table.notes


def test_thousands_within_quotation_marks(file):
    table = read_table(file('a,b\n"1,234",1\n"12,345.5",2\n'))
    assert table.frame["a"].tolist() == [1234.0, 12345.5]
    assert "these columns have commas between thousands: a" in table.notes


@pytest.mark.parametrize(
    ("text", "numbers", "note"),
    [
        ("a\n12 %\n3.5%\n", [12, 3.5], "numbers with %, read without it"),
        ('a\n"€ 1,234.50"\n-€5\n', [1234.5, -5], "numbers with €, read without it"),
        ("a;b\n1.234,50 €;1\n0,5 €;2\n", [1234.5, 0.5], "decimal commas"),
        ("a;b\n1,234.50;1\n17;2\n", [1234.5, 17], "commas between thousands"),
        ("a;b\n1 234,5;1\n1\u202f234\u202f567;2\n", [1234.5, 1234567], "decimal commas"),
        ("a\n1'234.5\n1e-3\n.5\n", [1234.5, 1e-3, 0.5], "signs between thousands"),
    ],
)
def test_numbers_as_people_write_them(file, text, numbers, note):
    table = read_table(file(text))
    assert table.frame["a"].tolist() == numbers
    assert f"these columns have {note}: a" in table.notes


def test_points_between_thousands_in_files_of_decimal_commas(file):
    text = "a;b;c;d\n1,5;1.234;0.125;1.25\n2;987;1.250;7\n3,5;-12.345.678;;\n"
    table = read_table(file(text))
    assert table.frame["b"].tolist() == [1234, 987, -12345678]
    assert table.frame["c"].tolist()[:2] == [0.125, 1.25]
    assert table.frame["d"].tolist()[:2] == [1.25, 7]
    text = "a;b\n1,5;1.234\n2;987\n"
    table = read_table(file(text))
    assert table.frame["b"].tolist() == [1234, 987]
    assert "these columns have points between thousands: b" in table.notes
    assert read(file(text.replace("1,5", "1.5")))["b"].tolist() == [1.234, 987]


@pytest.mark.parametrize("text", ["€ 5", "12.5.3", "044 123", "1,2,3", "% 5 %", "$", "5 kg", "1,e"])
def test_other_text_stays_text(file, text):
    assert read(file(f'a,b\n"{text}",1\n"$ 7",2\n'))["a"].tolist() == [text, "$ 7"]


def test_a_few_words_among_decimal_commas_are_gaps(file):
    rows = "".join(f"{number},5;{number}\n" for number in range(30))
    table = read_table(file(f"a;b\n{rows}k.A.;7\n"))
    assert np.isnan(table.frame["a"].iloc[-1])
    assert table.frame["a"].iloc[3] == 3.5
    assert "these columns have words among the numbers, read as missing (k.A.): a" in table.notes
    few = file("a;b\n1,5;x\noff;y\n", "few.csv")
    assert read(few)["a"].tolist() == ["1,5", "off"]
    known = read_table(few, number_columns=["a", "b"]).frame
    assert known["a"].tolist()[0] == 1.5
    assert known["b"].tolist() == ["x", "y"]  # no number at all: for the model to refuse


def test_what_stands_for_a_gap(file):
    frame = read(file("a,b\n?,x\n 1,\n2,-\nNA,  \n"))
    assert frame["a"].isna().tolist() == [True, False, False, True]
    assert frame["b"].isna().tolist() == [False, True, True, True]


def test_text_columns_keep_their_zeros(file):
    path = file("zip,b\n01234,1\n00001,2\n")
    assert read_table(path, text_columns=["zip"]).frame["zip"].tolist() == ["01234", "00001"]
    assert read(path)["zip"].tolist() == [1234, 1]


def test_encodings(file):
    text = "a,b\n1,é\n"
    assert read(file(text.encode("utf-16")))["b"].tolist() == ["é"]
    assert read(file(text.encode("cp1252")), encoding="cp1252")["b"].tolist() == ["é"]
    assert read(file(gzip.compress(text.encode()), "data.csv.gz"))["b"].tolist() == ["é"]
    with pytest.raises(TableError, match=r"is not UTF-8 \(byte 0xe9 in line 2\).*cp1252"):
        read(file(text.encode("cp1252")))
    with pytest.raises(ValueError, match="encoding must be one that Python knows; got 'klingon'"):
        read(file(text), encoding="klingon")


def test_nameless_columns_get_a_name(file):
    assert [*read(file(",a\n0,1\n1,2\n")).columns] == ["column 1", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("a,b\n", "has no rows below its header"),
        ("a,b\n1,2\n3\n", r"is ragged: line 3 has 1 field, the header 2, separated by commas"),
        ("a,b\n\n1,2,3\n", r"is ragged: line 3 has 3 fields, the header 2"),
        ('a,b\n1,"x\ny"\n1\n', r"is ragged: line 4 has 1 field"),
        ("a,b, a\n1,2,3\n", r"has two columns called 'a', the 1\. and the 3\."),
        ('a,b\n1,"2\n', r"is no proper CSV in line 2: .*quotation mark"),
        (b"a,b\n1,\0\n", "is no text file"),
    ],
)
def test_bad_csv(file, content, message):
    with pytest.raises(TableError, match=f"data.csv {message}"):
        read(file(content))


# -- other formats ---------------------------------------------------------------------------------


def test_npz(file, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(6.0).reshape(3, 2), y=np.array(["a", "b", "a"]))
    frame = read(path)
    assert [*frame.columns] == ["x0", "x1", "y"]
    assert frame["x1"].tolist() == [1, 3, 5]
    assert frame["y"].tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([1, None], dtype=object)}, "pickled objects, which are not opened"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, "'x' has 3 and 'y' has 4"),
        ({"x": np.float64(3)}, "a row for each sample; 'x' is float64 of shape"),
        ({"x": np.zeros(3, complex)}, "'x' is complex128"),
        ({}, "holds no arrays"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(TableError, match=message):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"PK", b"PK\x03\x04xxxxxx", b"\x93NUMPY"])
def test_damaged_npz(file, content):
    with pytest.raises(TableError, match="is not a readable NPZ file"):
        read(file(content, "a.npz"))


def test_a_single_array_is_no_table(tmp_path):
    with open(tmp_path / "a.npz", "wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(TableError, match="single array"):
        read(tmp_path / "a.npz")


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow: extra table")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([5, 6], name="key"))
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    assert read(path).to_dict("list")["key"] == [5, 6]
    content = path.read_bytes()
    for damaged in (content[:50], content[:-30] + content[-8:], b"x"):
        path.write_bytes(damaged)
        with pytest.raises(TableError, match=r"a.parquet is damaged, or no Parquet file"):
            read(path)


def test_what_is_no_table(file, tmp_path):
    with pytest.raises(TableError, match=r"a.xlsx must be CSV .*NumPy.*; save the sheet as CSV"):
        read(file("x", "a.xlsx"))
    with pytest.raises(TypeError, match=r"data must be the path of a file or a pandas.*got int"):
        read_table(3)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv")
    with pytest.raises(TableError, match="two columns called 'a'"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(("package", "name"), [("pandas", "a.csv"), ("pyarrow", "a.parquet")])
def test_missing_packages_name_the_extra(file, monkeypatch, package, name):
    path = file("a\n1\n", name)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf'{package} is not installed.*"fastnn\[table\]"'):
        read(path)


def test_the_errors_are_of_fastnn():
    assert issubclass(TableError, fnn.FastnnError)
