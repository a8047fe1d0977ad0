"""Every experiment, with little to do: what it prints and writes; and what a user can get wrong."""

import csv
import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from command import assert_refused, environment, fastnn

import fastnn as fnn
from fastnn import cli
from fastnn.lab import experiments
from fastnn.lab.experiments import NAMES, Options, base, gallery

pytest.importorskip("sklearn", reason="the digits come from scikit-learn: extra demo")
pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib: extra plot")


@pytest.fixture(autouse=True)
def without_variables(monkeypatch):
    for name in environment().keys() ^ os.environ.keys():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def one_experiment(monkeypatch):
    """A registry of one, which takes no time."""

    class Tiny:
        SUMMARY = "a <tiny> one"

        def run(self, options, progress):
            from fastnn.pictures import new_figure

            progress(1, 2, "half")
            table = [{"name": "a", "value": 0.5, "count": 1000}, {"name": "bb", "value": 2.0}]
            table[1]["count"] = 7
            return experiments.Result(table, "It is 0.5 & <b>.", new_figure(2, 2))

    monkeypatch.setattr(experiments, "NAMES", ("tiny",))
    monkeypatch.setattr(experiments, "experiment", lambda name: Tiny())


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def pixels_of(path):
    import matplotlib.image

    return matplotlib.image.imread(path)[:, :, :3]


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_finds_and_shows_something(name, tmp_path, capsys):
    result = experiments.run_experiment(name, Options("digits", 2, 0, tmp_path, quick=True))
    assert result.table
    assert len({tuple(row) for row in result.table}) == 1, "rows differ in their columns"
    assert len(re.findall(r"\d", result.sentence)) >= 2
    assert result.sentence.endswith(".")
    assert "nan" not in result.sentence.lower().replace("nan loss", "")

    printed = capsys.readouterr().out
    assert printed.startswith(base.table_text(result.table))
    assert " ".join(result.sentence.split()) in " ".join(printed.split())
    assert str(tmp_path / f"{name}.png") in printed

    assert sorted(os.listdir(tmp_path)) == [f"{name}.csv", f"{name}.png"]
    rows = rows_of(tmp_path / f"{name}.csv")
    assert len(rows) == len(result.rows or result.table)
    assert set(rows[0]) >= set((result.rows or result.table)[0])
    pixels = pixels_of(tmp_path / f"{name}.png")
    assert min(pixels.shape[:2]) > 300
    assert 0.01 < (pixels < 0.9).any(axis=2).mean() < 0.9, "next to nothing is drawn"


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_explains_itself(name):
    module = experiments.experiment(name)
    assert len(module.__doc__.strip().splitlines()) >= 3
    assert 20 < len(module.SUMMARY) < 100
    assert "\n" not in module.SUMMARY


def test_every_module_is_an_experiment():
    folder = os.path.dirname(experiments.__file__)
    known = {name.replace("-", "_") for name in NAMES} | {"base", "display", "gallery", "__init__"}
    assert {name.removesuffix(".py") for name in os.listdir(folder) if name[-3:] == ".py"} == known
    assert len(set(NAMES)) == len(NAMES)


def test_the_seed_decides(tmp_path):
    def found(seed):
        options = Options("digits", 2, seed, tmp_path, quick=True)
        return experiments.run_experiment("overfitting", options).table

    assert found(0) == found(0)
    assert found(0) != found(1)


# -- the parts -------------------------------------------------------------------------------------


def test_reduced_data_are_drawn_by_the_seed_and_keep_their_labels():
    (x, y), (x_test, _) = fnn.data.load_digits()
    (some, labels), (all_test, _) = base.load(Options("digits", seed=3), train=200, test=10_000)
    assert len(some) == len(labels) == 200
    assert len(all_test) == len(x_test)
    assert some.dtype == np.float32
    assert 0 <= some.min() < some.max() == 1
    where = {row.tobytes(): label for row, label in zip(x, y, strict=True)}
    assert all(where[row.tobytes()] == t for row, t in zip(some, labels, strict=True))
    again = base.load(Options("digits", seed=3), train=200)[0][0]
    assert np.array_equal(some, again)
    assert not np.array_equal(some, base.load(Options("digits", seed=4), train=200)[0][0])


def test_mnist_is_the_default_where_it_is(tmp_path, monkeypatch):
    assert Options().dataset == "digits"
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))
    assert Options().dataset == "digits"
    (tmp_path / "mnist").mkdir()
    assert Options().dataset == "mnist"
    assert Options("digits").dataset == "digits"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dataset": "iris"}, ValueError, "dataset must be one of digits, mnist; got 'iris'"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1; got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"seed": "x"}, TypeError, "seed must be an integer; got 'x'"),
    ],
)
def test_wrong_options(arguments, error, message):
    with pytest.raises(error, match=message):
        Options(**arguments)


def test_epochs_report_the_share_of_all_fits():
    (x, y), _ = base.load(Options("digits"), train=100)
    seen = []
    watch = base.Epochs(lambda *what: seen.append(what), "second", done=1, total=4)
    trainer = fnn.Trainer(fnn.mlp(64, [5], 10, rng=0), callbacks=[watch], rng=0, verbose=False)
    trainer.fit(x, y, epochs=2)
    assert seen == [(1, 4, "second"), (1.5, 4, "second"), (2.0, 4, "second")]


def test_a_table_is_aligned():
    table = [{"name": "a", "share": 0.5, "n": 1200}, {"name": "long", "share": 1e-9, "n": 3}]
    assert base.table_text(table).splitlines() == [
        "name      share      n",
        "a        0.5000  1,200",
        "long  1.000e-09      3",
    ]


# -- the command -----------------------------------------------------------------------------------


def test_list(capsys):
    assert cli.main(["experiment", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert lines[0].endswith(experiments.experiment(NAMES[0]).SUMMARY)


def test_the_command_passes_its_options_on(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(experiments, "run_experiment", lambda *what: asked.append(what))
    monkeypatch.setattr(experiments, "run_all", lambda *what: asked.append(what))
    options = ["--dataset", "digits", "--epochs", "3", "--seed", "5", "--out", str(tmp_path)]
    assert cli.main(["experiment", "overfitting", *options]) == 0
    assert cli.main(["experiment", "all"]) == 0
    assert asked == [("overfitting", Options("digits", 3, 5, tmp_path)), (Options(),)]


def test_the_command_runs_an_experiment(tmp_path):
    process = fastnn("experiment", "overfitting", "--epochs", "2", "--out", "there", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(os.listdir(tmp_path / "there")) == ["overfitting.csv", "overfitting.png"]
    assert "After 2 epochs the 300 training images" in process.stdout
    assert process.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["overfiting"],
            r"^name must be one of .*; did you mean 'overfitting'\?$",
        ),
        ([], r"NAME.*'fastnn experiment --help'"),
        (["overfitting", "--dataset", "iris"], r"--dataset.*'iris'.*digits.*mnist"),
        (["overfitting", "--epochs", "0"], r"^epochs must be at least 1; got 0$"),
        (["all", "--seed", "-1"], r"^seed must be at least 0; got -1$"),
        (["overfitting", "--out", "file"], r"^out must be a folder .*file is not \(it is a file\)"),
        (["all", "--out", "file/in"], r"^out must be a folder .*Not a directory"),
    ],
)
def test_what_a_user_can_mend_is_one_line(tmp_path, arguments, message):
    (tmp_path / "file").write_text("")
    assert re.search(message, assert_refused(fastnn("experiment", *arguments, cwd=tmp_path)))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["overfitting", "all"])
def test_without_matplotlib_nothing_is_run(name, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(experiments, "_run", lambda *what: pytest.fail("it was run"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["experiment", name, "--out", str(tmp_path / "out")]) == 2
    assert 'pip install "fastnn[plot]"' in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


# -- the gallery -----------------------------------------------------------------------------------


class Links(HTMLParser):
    """The files and places that a page points to, its places, and its text."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []

    def handle_data(self, data):
        self.text += data


def test_all_makes_a_page_of_the_pictures(one_experiment, tmp_path, capsys):
    page = experiments.run_all(Options("digits", out=tmp_path))
    assert page == tmp_path / "index.html"
    assert sorted(os.listdir(tmp_path)) == ["index.html", "tiny.csv", "tiny.png"]
    found = Links(page.read_text(encoding="utf-8"))
    assert set(found.links) == {"#tiny", "tiny.png", "tiny.csv"}
    assert found.ids == ["tiny"]
    assert "a <tiny> one" in found.text
    assert "It is 0.5 & <b>." in found.text
    assert str(page) in capsys.readouterr().out


def test_an_error_leaves_a_page_of_what_was_found(one_experiment, monkeypatch, tmp_path):
    tiny = experiments.experiment("tiny")

    def chosen(name):
        if name == "broken":
            raise RuntimeError("broken")
        return tiny

    monkeypatch.setattr(experiments, "NAMES", ("tiny", "broken"))
    monkeypatch.setattr(experiments, "experiment", chosen)
    with pytest.raises(RuntimeError, match="broken"):
        experiments.run_all(Options("digits", out=tmp_path))
    assert "#broken" not in Links((tmp_path / "index.html").read_text()).links
    assert "#tiny" in Links((tmp_path / "index.html").read_text()).links


def test_the_page_is_complete_by_itself(one_experiment, tmp_path):
    text = gallery.gallery_page([], Options("digits"))
    assert "http" not in text
    assert "<script" not in text
