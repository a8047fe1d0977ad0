"""The commands for one's own tables: most of them in this process, a few in one of their own."""

import csv
import io
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import assert_refused, environment, fastnn
from tables import ROWS, csv_bytes

import fastnn as fnn
from fastnn import cli

pd = pytest.importorskip("pandas", reason="tables are pandas': extra table")
pytest.importorskip("sklearn", reason="metrics are scikit-learn's: extra table")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder that the commands run in, with a table in it."""
    for name in list(os.environ):
        if name.startswith("FASTNN_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_bytes(csv_bytes(drop=["amount"]))
    Path("amounts.csv").write_bytes(csv_bytes(drop=["answer"]))
    return tmp_path


@pytest.fixture
def run(capsys):
    """A function that runs a command; returns what it printed."""

    def command(*arguments, code=0):
        capsys.readouterr()
        found = cli.main(arguments)
        streams = capsys.readouterr()
        assert found == code, streams.err
        return streams

    return command


@pytest.fixture
def refused(run, folder):
    """A function that runs a command that must fail in a line and leave no file."""

    def command(*arguments):
        before = sorted(folder.rglob("*"))
        out, err = run(*arguments, code=2)
        assert out == ""
        assert re.fullmatch(r"fastnn: error: .*\n", err)
        assert sorted(folder.rglob("*")) == before
        return err.removeprefix("fastnn: error: ").rstrip("\n")

    return command


# -- train -----------------------------------------------------------------------------------------


def test_a_model_and_a_report_with_no_option_but_the_target(folder):
    process = fastnn("train", "data.csv", "--target", "answer", cwd=folder)
    assert (process.returncode, process.stderr) == (0, "")
    assert sorted(os.listdir("fastnn-data")) == ["model.fnn", "report.html"]
    assert "Classification, since 'answer' holds names" in process.stdout
    assert re.search(r"^note +dropped +text, 280 different", process.stdout, re.MULTILINE)
    assert re.search(r"^income +numeric +1\d %  missing values", process.stdout, re.MULTILINE)
    assert process.stdout.endswith(
        "model       fastnn-data/model.fnn\nreport      fastnn-data/report.html\n"
    )
    shown = re.search(r"^test +([\d.]+)", process.stdout, re.MULTILINE)
    assert float(shown[1]) > 0.8
    page = Path("fastnn-data/report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "answer" in page
    model = fnn.tables.load("fastnn-data/model.fnn")
    truth = fnn.tables.read("data.csv")["answer"]
    assert np.mean(model.predict("data.csv") == truth) > 0.85


def test_options_reach_the_training(run):
    out, _ = run(
        "train", "amounts.csv", "--target", "amount", "--out", "models/a.fnn", "--hidden", "9,8",
        "--epochs", "3", "--batch-size", "20", "--lr", "0.01", "--dropout", "0.4", "--batch-norm",
        "--weight-decay", "0.5", "--validation-share", "0.2", "--test-share", "0.25", "--seed", "4",
        "--threads", "1", "--backend", "numpy", "--drop", "age", "city", "--drop", "day", "--quiet",
    )  # fmt: skip
    assert sorted(os.listdir("models")) == ["a.fnn", "a.html"]
    assert "220 train, 80 validation, 100 test" in out
    assert "2-9-8-1, ReLU, BatchNorm, dropout 0.4" in out
    assert re.search(r"rate 0.01, weight decay 0.5, batches of 20; epochs:\s+3 of at most 3", out)
    model = fnn.tables.load("models/a.fnn")
    assert model.columns.names == ["income"]
    assert model.target.task == "regression"


def test_the_task_can_be_chosen(run):
    frame = pd.DataFrame({"a": np.arange(90) % 7, "t": np.arange(90) % 3})
    frame.to_csv("t.csv", index=False)
    assert (
        "3 different whole numbers" in run("train", "t.csv", "--target", "t", "--epochs", "1").out
    )
    out, _ = run("train", "t.csv", "--target", "t", "--epochs", "1", "--task", "regression")
    assert "Regression, as asked for." in out
    assert "R2" in out


@pytest.mark.parametrize("name", ["t.tsv", "t.parquet", "t.npz"])
def test_other_formats(run, name):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "t": ["x", "y"] * 30})
    if name == "t.tsv":
        frame.to_csv(name, sep="\t", index=False)
    elif name == "t.parquet":
        pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow: extra table")
        frame.to_parquet(name)
    else:
        np.savez(name, a=frame["a"].to_numpy(), t=frame["t"].to_numpy(dtype=str))
    assert f"{name}: 60 rows" in run("train", name, "--target", "t", "--epochs", "2").out


def test_a_hundred_thousand_rows(run):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 4)).round(3)
    frame = pd.DataFrame(x, columns=[*"abcd"]).assign(t=np.where(x[:, 0] * x[:, 1] > 0, "p", "n"))
    frame.to_csv("large.csv", index=False)
    out, _ = run("train", "large.csv", "--target", "t", "--epochs", "4")
    assert float(re.search(r"^test +([\d.]+)", out, re.MULTILINE)[1]) > 0.95


def test_many_columns_are_not_all_listed(run):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 60)).round(2), columns=[f"x{k}" for k in range(60)])
    frame.assign(x3=1, t=["a", "b"] * 30).to_csv("wide.csv", index=False)
    out, _ = run("train", "wide.csv", "--target", "t", "--epochs", "1")
    assert re.search(r"^x38 +numeric", out, re.MULTILINE)
    assert not re.search(r"^x59 ", out, re.MULTILINE)
    assert re.search(r"^x3 +dropped +it is '1' in all", out, re.MULTILINE)
    assert "\nand 20 more\n" in out


TRAIN = ("train", "data.csv", "--target", "answer")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "data.csv"], r"--target \(see 'fastnn train --help'\)"),
        (["train", "none.csv", "--target", "t"], r"No such file or directory: none\.csv"),
        (["train", ".", "--target", "t"], "Is a directory"),
        (["train", "data.csv", "--target", "Answer"], "no column 'Answer'; did you mean 'answer'"),
        (["train", "data.csv", "--target", "xyz"], "no column 'xyz'; there are: id, age, income"),
        (["train", "data.csv", "--target", "flat"], "the target 'flat' is 'same' in every row"),
        (["train", "data.csv", "--target", "note"], "400 different values in 400 rows, too many"),
        ([*TRAIN, "--task", "regression"], "text in the target 'answer', such as .*needs numbers"),
        ([*TRAIN, "--drop", "agee"], "no column 'agee'; did you mean 'age'"),
        (
            [*TRAIN, "--encoding", "ascii"],
            "is not ASCII .*: save it as UTF-8, or give its encoding",
        ),
        ([*TRAIN, "--encoding", "xx"], "encoding must be one that Python knows; got 'xx'"),
        ([*TRAIN, "--hidden", "a"], r"--hidden: must be whole numbers, such as 128,64; got 'a'"),
        ([*TRAIN, "--epochs", "0"], "epochs must be at least 1; got 0"),
        ([*TRAIN, "--test-share", "1"], r"test_share must be a finite number in \(0, 1\)"),
        ([*TRAIN, "--lr", "1e30", "--epochs", "2"], "training diverged"),
        ([*TRAIN, "--out", "data.csv/x"], "--out must be where files can be written"),
        (
            ["search", "data.csv", "--target", "answer", "--trials", "1"],
            "trials must be at least 2",
        ),
        (["search", "data.csv", "--target", "answer", "--lr", "1"], "unrecognized arguments"),
    ],
)
def test_what_a_person_can_mend(refused, arguments, message):
    assert re.search(message, refused(*arguments))


BAD = {
    "empty": b"",
    "header": b"a,t\n",
    "ragged": b"a,t\n1,2\n1,2,3\n",
    "twice": b"a,a,t\n1,2,3\n",
    "latin": "a,t\né,1\n".encode("latin-1"),
    "single": b"a,t\n" + b"1,x\n2,x\n" * 30,
    "constant": b"a,t\n" + b"1,2.5\n2,2.5\n" * 30,
    "missing": b"a,t\n" + b"1,\n2,\n" * 30,
    "one": b"a,t\n" + b"1,x\n2,x\n" * 30 + b"3,z\n",
    "infinite": b"a,t\n" + b"1,x\n2,y\n" * 30 + b"inf,x\n",
    "few": b"a,t\n" + b"1,x\n2,y\n" * 5,
    "quotes": b'a,t\n1,"x\n',
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_a_line(refused, name):
    Path("bad.csv").write_bytes(BAD[name])
    assert "t" in refused("train", "bad.csv", "--target", "t")


def test_bad_files_in_a_process_of_their_own(folder):
    Path("bad.csv").write_bytes(BAD["ragged"])
    message = assert_refused(fastnn("train", "bad.csv", "--target", "t", cwd=folder))
    assert message == ("bad.csv is ragged: line 3 has 3 fields, the header 2, separated by commas")
    assert sorted(os.listdir(folder)) == ["amounts.csv", "bad.csv", "data.csv"]


def test_the_environment_is_checked_first(refused, monkeypatch):
    monkeypatch.setenv("FASTNN_THREADS", "x")
    assert refused(*TRAIN) == "FASTNN_THREADS must be an integer of at least 1; got 'x'"
    monkeypatch.delenv("FASTNN_THREADS")
    monkeypatch.setenv("FASTNN_BACKEND", "x")
    assert refused(*TRAIN).startswith("FASTNN_BACKEND must be one of")


@pytest.mark.parametrize("package", ["pandas", "sklearn"])
def test_missing_packages_name_the_extra(refused, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert '"fastnn[table]"' in refused(*TRAIN)


def test_a_folder_that_takes_no_files(refused, folder, monkeypatch):
    (folder / "closed").mkdir()
    # Not by its mode, which root may disregard.
    monkeypatch.setattr("fastnn.cli.table_options.os.access", lambda path, mode: False)
    assert "closed/x is not (permission denied)" in refused(*TRAIN, "--out", "closed/x")


def test_a_full_disk_leaves_nothing_half_written(run, monkeypatch, folder):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastnn.files.os.fsync", full)
    out, err = run(*TRAIN, "--epochs", "1", code=2)
    assert out == ""
    assert re.fullmatch(r"fastnn: error: No space left on device.*\n", err)
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert files == ["amounts.csv", "data.csv"]


def test_ctrl_c_writes_nothing(folder):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20_000, 20)).round(2))
    frame.assign(t=np.arange(len(frame)) % 2).to_csv("slow.csv", index=False)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", CTRL_C], env=environment(), cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (130, "", "fastnn: interrupted\n")
    assert not (folder / "fastnn-slow").exists()


CTRL_C = """
import sys
import fastnn as fnn
from fastnn.cli import main

def begin(self, trainer, epoch):
    if epoch == 1:
        print("training", flush=True)

fnn.EarlyStopping.on_epoch_begin = begin
sys.exit(main(["train", "slow.csv", "--target", "t", "--epochs", "100000"]))
"""


# -- search ----------------------------------------------------------------------------------------


def test_search(run):
    pytest.importorskip("joblib", reason="trials run through joblib: extra table")
    out, _ = run(
        "search", "data.csv", "--target", "answer", "--trials", "4", "--epochs", "4", "--out", "s"
    )
    assert sorted(os.listdir("s")) == ["model.fnn", "report.html", "trials.csv"]
    trials = table_of(Path("s/trials.csv").read_text(encoding="utf-8"))
    assert len(trials) == 4
    assert {"lr", "weight_decay", "dropout", "batch_norm", "hidden", "val_loss"} <= set(trials[0])
    best = min(trials, key=lambda row: float(row["val_loss"]))
    assert f"rate {float(best['lr']):.3g}, weight" in out
    assert re.findall(r"^trial (\d)/4 ", out, re.MULTILINE) == ["1", "2", "3", "4"]


def test_ctrl_c_keeps_the_best_of_a_search_by_then(run, monkeypatch):
    pytest.importorskip("joblib", reason="trials run through joblib: extra table")
    whole = fnn.lab.coarse_to_fine

    def interrupted(*arguments, **options):
        result = whole(*arguments, **options)
        result.interrupted = True
        return result

    monkeypatch.setattr(fnn.lab, "coarse_to_fine", interrupted)
    arguments = ("--trials", "2", "--epochs", "2", "--out", "s", "--quiet")
    out, err = run("search", "data.csv", "--target", "answer", *arguments, code=130)
    assert err == "fastnn: interrupted\n"
    assert "the search was interrupted" in out
    assert fnn.tables.load("s/model.fnn").classes == ("no", "yes")


# -- predict ---------------------------------------------------------------------------------------


@pytest.fixture
def model():
    """The file of a model of classes."""
    trained = fnn.tables.train("data.csv", "answer", epochs=5)
    trained.model.save("model.fnn")
    return trained.model


@pytest.fixture
def amounts():
    """The file of a model of numbers."""
    trained = fnn.tables.train("amounts.csv", "amount", epochs=5)
    trained.model.save("amounts.fnn")
    return trained.model


def table_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predictions_go_to_standard_output(run, model):
    out, err = run("predict", "model.fnn", "data.csv")
    assert [row["predicted answer"] for row in table_of(out)] == [*model.predict("data.csv")]
    assert "note: columns that the model does not read: day, flat, id, note" in err


def test_rows_that_are_piped_in(model, folder):
    text = Path("data.csv").read_text(encoding="utf-8-sig").replace(",", ";")
    process = fastnn("predict", "model.fnn", "-", "--proba", cwd=folder, input=text)
    assert process.returncode == 0, process.stderr
    Path("semicolons.csv").write_text(text)
    found = [row["predicted answer"] for row in table_of(process.stdout)]
    assert found == [*model.predict("semicolons.csv")]
    assert "note: its columns are separated by semicolons" in process.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input is empty"),
        ("age\n1\n", "standard input lacks columns .*: income, city"),
    ],
)
def test_what_cannot_be_piped_in(model, folder, text, message):
    process = fastnn("predict", "model.fnn", "-", cwd=folder, input=text)
    assert re.fullmatch(message, assert_refused(process))


def test_no_standard_input(refused, model, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert refused("predict", "model.fnn", "-") == "- is standard input, and there is none"


def test_probabilities_and_columns_to_keep(run, model):
    out, _ = run(
        "predict", "model.fnn", "data.csv", "--out", "p.csv", "--proba", "--keep", "id", "city"
    )
    assert out == f"{ROWS} predictions in p.csv\n"
    found = table_of(Path("p.csv").read_text(encoding="utf-8"))
    assert [*found[0]] == ["id", "city", "predicted answer", "probability no", "probability yes"]
    assert [row["id"] for row in found] == [str(number + 1) for number in range(ROWS)]
    assert "" in {row["city"] for row in found}  # a gap stays one
    proba = [[float(row["probability no"]), float(row["probability yes"])] for row in found]
    np.testing.assert_allclose(proba, model.predict_proba("data.csv"), atol=1e-6)


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("TRUE", "FALSE"), ("True", "False")])
def test_yes_and_no_as_they_were_written_in_training(run, yes, no):
    rows = "".join(f"{yes},a\n{no},b\n" for _ in range(30))
    Path("flags.csv").write_text(f"flag,t\n{rows}")
    run("train", "flags.csv", "--target", "t", "--quiet")
    found = run("predict", "fastnn-flags", "flags.csv")
    assert found.err == ""
    assert found.out.split()[2:] == ["a", "b"] * 30


def test_numbers(run, amounts):
    out, _ = run("predict", "amounts.fnn", "amounts.csv")
    found = [float(row["predicted amount"]) for row in table_of(out)]
    np.testing.assert_array_equal(found, amounts.predict("amounts.csv"))


def test_a_model_by_its_folder(run):
    run(*TRAIN, "--epochs", "1")
    assert len(table_of(run("predict", "fastnn-data", "data.csv").out)) == ROWS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.fnn", "data.csv"], "No such file or directory: none.fnn"),
        (["data.csv", "data.csv"], "'data.csv' is not a readable fastnn file"),
        (["net.fnn", "data.csv"], "'net.fnn' holds a network alone, which knows no columns"),
        (["model.fnn", "none.csv"], "No such file or directory: none.csv"),
        (["model.fnn", "less.csv"], r"less.csv has no column 'city'; there are: age, income"),
        (["model.fnn", "other.csv"], r"other.csv lacks columns that the model reads: age, income"),
        (["model.fnn", "words.csv"], r"words.csv must hold numbers in column 'age'; got x"),
        (["model.fnn", "data.csv", "--keep", "ID"], "no column 'ID'; did you mean 'id'"),
        (["model.fnn", "data.csv", "--out", "none/p.csv"], "--out must lie in a folder that is"),
        (["model.fnn", "data.csv", "--out", "."], "--out must be a file"),
        (["model.fnn", "data.csv", "--out", "./data.csv"], "another file than data.csv, which it"),
        (["model.fnn", "data.csv", "--out", "model.fnn"], "another file than model.fnn, which it"),
        (["model.fnn", "data.csv", "--out", "p.parquet"], "written as CSV; p.parquet has the name"),
        (["amounts.fnn", "amounts.csv", "--proba"], "--proba needs a model of classes"),
    ],
)
def test_predictions_that_cannot_be(refused, model, amounts, arguments, message):
    fnn.mlp(3, [], 2).save("net.fnn")
    Path("less.csv").write_text("age,income\n1,2\n")
    Path("other.csv").write_text("x,y\n1,2\n")
    Path("words.csv").write_text("age,income,city\nx,2,Rom\n")
    assert re.search(message, refused("predict", *arguments))


# -- inspect ---------------------------------------------------------------------------------------


def test_inspect(run, model, amounts):
    out, _ = run("inspect", "model.fnn")
    assert "predicts  answer, classification" in out
    assert "classes   no, yes" in out
    assert re.search(r"^  city +categorical  Paris, FR, Rom, .*; missing is marked$", out, re.M)
    assert re.search(r"^  age +numeric +\(value - [\d.]+\) / [\d.]+; missing is [\d.]+$", out, re.M)
    assert str(model.network.summary()) in out
    assert "predicts  amount, regression\nscale" in run("inspect", "amounts.fnn").out


def test_names_of_several_lines_take_one(run, refused):
    rows = "".join(f'{n % 7},"an\nend",up\n{n % 5},"the\nrest",down\n' for n in range(20))
    Path("lines.csv").write_text(f'"a\nb","c\nd",t\n{rows}')
    out = run("train", "lines.csv", "--target", "t", "--epochs", "1", "--quiet").out
    assert re.search(r"^a b +numeric$", out, re.M)
    out = run("inspect", "fastnn-lines").out
    assert re.search(r"^  a b +numeric ", out, re.M)
    assert re.search(r"^  c d +categorical  an end, the rest$", out, re.M)
    assert "there are: a b, c d, t" in refused("train", "lines.csv", "--target", "zzz")


def test_inspect_networks_and_without_pandas(run, model, monkeypatch):
    network = fnn.mlp(3, [4], 2, rng=0)
    network.preprocessing = fnn.data.Standardize().fit(np.random.default_rng(0).normal(size=(9, 3)))
    network.save("net.fnn")
    for name in ("pandas", "sklearn", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run("inspect", "net.fnn").out == f"{network.summary()}\n"
    assert "predicts  answer" in run("inspect", "model.fnn").out


@pytest.mark.parametrize("name", ["data.csv", "none.fnn"])
def test_inspect_refuses_what_is_no_model(refused, name):
    assert name in refused("inspect", name)


# -- export ----------------------------------------------------------------------------------------


def test_export_numpy(run, model):
    assert run("export", "model.fnn", "--to", "numpy").out.endswith("written to model.py\n")
    frame = fnn.tables.read("data.csv")
    written = runpy.run_path("model.py")
    columns = {name: frame[name].tolist() for name in frame}
    assert written["predict"](columns) == [*model.predict(frame)]


def test_export_onnx(run, amounts):
    pytest.importorskip("onnx", reason="extra onnx")
    assert "inputs: a column each" in run("export", "amounts.fnn", "--to", "onnx").out
    assert Path("amounts.onnx").stat().st_size > 1000


@pytest.mark.parametrize("to", ["numpy", "onnx"])
def test_export_of_a_network(run, to):
    pytest.importorskip("onnx", reason="extra onnx")
    fnn.mlp(3, [4], 2, rng=0).save("net.fnn")
    out, _ = run("export", "net.fnn", "--to", to, "--out", "x")
    assert out.endswith("written to x\n")
    assert Path("x").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.fnn"], "--to"),
        (["model.fnn", "--to", "torch"], "'torch'.*onnx.*numpy"),
        (["data.csv", "--to", "onnx"], "'data.csv' is not a readable fastnn file"),
        (["model.fnn", "--to", "onnx", "--out", "none/x"], "--out must lie in a folder"),
        (["model.fnn", "--to", "numpy", "--out", "model.fnn"], "another file than model.fnn"),
    ],
)
def test_exports_that_cannot_be(refused, model, arguments, message):
    assert re.search(message, refused("export", *arguments))
