import csv
import io
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from command import assert_refused, environment, fastnn

import fastnn as fnn
from fastnn import cli
from fastnn.lab import arguments, plots
from fastnn.lab import demo as lab_demo
from fastnn.lab.bar import BarMover
from fastnn.lab.demo import VARIANTS, Demo

pytest.importorskip("sklearn", reason="the digits come from scikit-learn: extra demo")
matplotlib = pytest.importorskip("matplotlib", reason="curves are drawn by matplotlib: extra plot")

NAMES = [variant.name for variant in VARIANTS]
NUMBER = r"-?[\d,]+(?:\.\d+)?"
ROW = re.compile(rf"^(?P<name>\S.*?) {{2,}}(?P<numbers>{NUMBER}(?: +{NUMBER}){{4}})$", re.MULTILINE)
SIZES = {"train": 1438, "test": 359}


def table_of(text):
    """Name of the variant -> train accuracy, test accuracy, gap, seconds, samples/s."""
    return {
        match["name"]: [float(cell.replace(",", "")) for cell in match["numbers"].split()]
        for match in ROW.finditer(text)
    }


def history_of(path):
    """Name of the variant -> rows of the CSV file, as numbers by column."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    histories = {}
    for row in rows:
        histories.setdefault(row.pop("variant"), []).append({k: float(v) for k, v in row.items()})
    return histories


def picture(path):
    """The pixels of a PNG file: (height, width, 3), in [0, 1]."""
    import matplotlib.image

    return matplotlib.image.imread(path)[:, :, :3]


def has_colour(pixels, colour):
    wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.isclose(pixels, wanted, atol=1 / 255).all(axis=2).any()


def without_seconds(results):
    return [
        (r.variant, {k: v for k, v in r.history.items() if k != "seconds"}, r.test_accuracy)
        for r in results
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def without_variables(monkeypatch):
    for name in environment().keys() ^ os.environ.keys():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_training(monkeypatch):
    def fit(*arguments, **options):
        raise AssertionError("training has begun")

    monkeypatch.setattr(fnn.Trainer, "fit", fit)


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Folder and output of two epochs on the digits."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["--epochs", "2", "--seed", "3", "--out", "made/here", "--backend", "numpy"]
    process = fastnn("demo", *arguments, "--threads", "1", cwd=folder)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return folder, process.stdout


def test_says_what_is_trained_on_what(short):
    _, text = short
    for part in (
        "1,438 training and 359 test images",
        "64-100x6-10",
        "2 epochs",
        "seed 3",
        "backend numpy",
        "1 thread",
    ):
        assert part in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\x1b" not in text


def test_table_agrees_with_the_history(short):
    folder, text = short
    table = table_of(text)
    histories = history_of(folder / "made/here/digits-history.csv")
    assert list(table) == list(histories) == NAMES
    for name, (train, test, gap, seconds, speed) in table.items():
        assert test == pytest.approx(histories[name][-1]["val_accuracy"], abs=5.1e-5)
        assert gap == pytest.approx(100 * (train - test), abs=0.011)
        # What is printed is rounded to a hundredth of a second.
        assert speed * (seconds - 0.006) <= 2 * SIZES["train"] <= speed * (seconds + 0.006)
        # An accuracy is a number of images.
        for accuracy, size in ((train, SIZES["train"]), (test, SIZES["test"])):
            assert abs(accuracy * size - round(accuracy * size)) <= 5.1e-5 * size


def test_history_as_csv(short):
    folder, _ = short
    path = folder / "made/here/digits-history.csv"
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header == "variant,epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds"
    for rows in history_of(path).values():
        assert [row["epoch"] for row in rows] == [1, 2]
        assert rows[1]["loss"] < rows[0]["loss"]
        assert all(0 <= row[key] <= 1 for row in rows for key in ("accuracy", "val_accuracy"))
        assert all(row["seconds"] > 0 for row in rows)
        # The rate of the last of 15 steps in each of two epochs of a cosine.
        rates = [1.5e-3 * (1 + math.cos(math.pi * (e - 1 / 15) / 2)) for e in (1, 2)]
        assert [row["lr"] for row in rows] == pytest.approx(rates)


def test_curves_as_png(short):
    folder, _ = short
    pixels = picture(folder / "made/here/digits-curves.png")
    assert pixels.shape == (750, 1650, 3)
    assert (pixels[0] == 1).all()
    for colour in plots.COLOURS[: len(VARIANTS)]:
        assert has_colour(pixels, colour)
    assert not has_colour(pixels, plots.COLOURS[len(VARIANTS)])


def test_last_lines_say_where_the_files_are(short):
    folder, text = short
    lines = [line.split() for line in text.splitlines()[-2:]]
    assert lines == [
        ["curves", "made/here/digits-curves.png"],
        ["history", "made/here/digits-history.csv"],
    ]
    assert all((folder / path).is_file() for _, path in lines)
    assert len(os.listdir(folder / "made/here")) == 2  # no temporary file is left


def test_default_folder(tmp_path):
    process = fastnn("demo", "--epochs", "1", "--quiet", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert sorted(os.listdir(tmp_path / "fastnn-demo")) == [
        "digits-curves.png",
        "digits-history.csv",
    ]


def test_ctrl_c_keeps_the_variants_that_are_done(tmp_path):
    # A handler of its own: a test run in the background of a shell has SIGINT ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fastnn.cli import main; sys.exit(main())"
    )
    # Python, of all backends, so that there is time to interrupt.
    arguments = ["demo", "--epochs", "100", "--backend", "numpy", "--out", "."]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("plain"):
                process.send_signal(signal.SIGINT)
                break
        text, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "fastnn: interrupted\n"
    assert "digits-curves.png" in text
    assert "digits-history.csv" in text
    histories = history_of(tmp_path / "digits-history.csv")
    assert 1 <= len(histories) < len(VARIANTS)
    assert all(len(rows) == 100 for rows in histories.values())
    assert has_colour(picture(tmp_path / "digits-curves.png"), plots.COLOURS[0])


# -- what it trains --------------------------------------------------------------------------------


def test_batchnorm_reaches_96_percent_by_default(tmp_path):
    results = {result.variant.name: result for result in Demo(out=tmp_path).run()}
    assert results["batchnorm"].test_accuracy >= 0.96
    assert results["batchnorm"].train_accuracy >= 0.99
    assert all(result.test_accuracy >= 0.9 for result in results.values())
    for result in results.values():
        assert result.gap == pytest.approx(100 * (result.train_accuracy - result.test_accuracy))
        steps = len(result.history["loss"]) * SIZES["train"]
        assert result.samples_per_second == pytest.approx(steps / result.seconds)
        # The history counts the test after each epoch too.
        assert 0 < result.seconds < sum(result.history["seconds"])


def test_variants_are_with_and_without_each_part(tmp_path):
    built = {}
    demo = Demo(epochs=1, out=tmp_path)
    for variant in VARIANTS:
        trainer = demo._trainer(variant)
        kinds = [type(layer).__name__ for layer in trainer.model.layers]
        assert kinds.count("Affine") == 7
        assert kinds.count("ReLU") == 6
        assert trainer.batch_size == 100
        ratios = {layer.ratio for layer in trainer.model.layers if isinstance(layer, fnn.Dropout)}
        strength = getattr(trainer.regularizer, "strength", 0.0)
        built[variant.name] = (kinds.count("BatchNorm"), kinds.count("Dropout"), ratios, strength)
    assert built == {
        "plain": (0, 0, set(), 0.0),
        "batchnorm": (6, 0, set(), 0.0),
        "dropout 0.2": (0, 6, {0.2}, 0.0),
        "weight decay 1e-4": (0, 0, set(), 1e-4),
        "all three": (6, 6, {0.2}, 1e-4),
    }


def test_the_seed_decides(tmp_path):
    first, again, other = (
        without_seconds(Demo(epochs=1, seed=seed, out=tmp_path).run()) for seed in (0, 0, 1)
    )
    assert first == again
    assert all(a[1] != b[1] for a, b in zip(first, other, strict=True))
    # Not only the order of the rows.
    weights = [
        Demo(seed=seed, out=tmp_path)._trainer(VARIANTS[0]).model.params["affine1.w"]
        for seed in (0, 1)
    ]
    assert not np.array_equal(*weights)


def test_mnist(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)

    def part(n):
        return rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)

    monkeypatch.setattr(fnn.data, "load_mnist", lambda: (part(300), part(100)))
    results = Demo("mnist", out=tmp_path, backend="numpy").run()
    assert [len(result.history["loss"]) for result in results] == [5] * len(VARIANTS)
    text = capsys.readouterr().out
    for shown in ("MNIST", "300 training and 100 test images", "784-100x6-10", "5 epochs"):
        assert shown in text
    assert sorted(os.listdir(tmp_path)) == ["mnist-curves.png", "mnist-history.csv"]


# -- what is refused before anything is trained ----------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": "iris"}, ValueError, r"^dataset must be one of digits, mnist; got 'iris'$"),
        ({"epochs": 0}, ValueError, r"^epochs must be at least 1; got 0$"),
        ({"epochs": 1.5}, TypeError, r"^epochs must be an integer; got 1\.5$"),
        ({"seed": -1}, ValueError, r"^seed must be at least 0; got -1$"),
        ({"seed": "0"}, TypeError, r"^seed must be an integer; got '0'$"),
        ({"threads": 0}, ValueError, r"^threads must be at least 1; got 0$"),
        ({"backend": "cuda"}, ValueError, r"^backend must be one of .*; got 'cuda'$"),
    ],
)
def test_wrong_options(tmp_path, no_training, options, error, message):
    with pytest.raises(error, match=message):
        Demo(out=tmp_path / "out", **options)
    assert os.listdir(tmp_path) == []


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("as it was")
    for out, reason in (("file", "it is a file"), ("file/folder", "Not a directory")):
        line = assert_refused(fastnn("demo", "--out", out, cwd=tmp_path))
        assert line == (
            f"out must be a folder that files can be written to; {out} is not ({reason}). "
            "Name another."
        )
    assert (tmp_path / "file").read_text() == "as it was"


def test_file_that_is_a_pipe(tmp_path):
    pipe = tmp_path / "digits-history.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        process = fastnn("demo", "--epochs", "1", "--out", ".", cwd=tmp_path)
    finally:
        os.close(reader)
    assert process.returncode == 2
    assert process.stderr == (
        "fastnn: error: path must name a regular file; got the device or pipe "
        f"{str(pipe.resolve())!r}\n"
    )


def test_folder_that_takes_no_files(tmp_path, monkeypatch, no_training):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(arguments, "TemporaryFile", refuse)
    with pytest.raises(fnn.FastnnError, match=r"out must be a folder .* \(Permission denied\)"):
        Demo(out=tmp_path)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("sklearn.datasets", "scikit-learn", "demo"), ("matplotlib.figure", "matplotlib", "plot")],
)
def test_missing_extra(tmp_path, monkeypatch, capsys, no_training, module, package, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    mend = f'{package} is not installed. Install it with: pip install "fastnn[{extra}]"\n'
    assert errors == f"fastnn: error: {mend}"
    assert os.listdir(tmp_path) == []


# -- files and progress ----------------------------------------------------------------------------


def fail_at_third_variant(monkeypatch, error):
    train = Demo._train

    def until_third(self, variant):
        if variant is VARIANTS[2]:
            raise error
        return train(self, variant)

    monkeypatch.setattr(Demo, "_train", until_third)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), fnn.DivergenceError(7, math.nan, 0.1)])
def test_what_was_finished_is_written(tmp_path, monkeypatch, capsys, error):
    fail_at_third_variant(monkeypatch, error)
    with pytest.raises(type(error)):
        Demo(epochs=1, out=tmp_path).run()
    assert list(history_of(tmp_path / "digits-history.csv")) == NAMES[:2]
    assert list(table_of(capsys.readouterr().out)) == NAMES[:2]
    pixels = picture(tmp_path / "digits-curves.png")
    assert has_colour(pixels, plots.COLOURS[1])
    assert not has_colour(pixels, plots.COLOURS[2])


def test_nothing_finished_nothing_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Demo, "_train", lambda self, variant: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Demo(epochs=1, out=tmp_path).run()
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_older_file(tmp_path, monkeypatch):
    older = tmp_path / "digits-curves.png"
    older.write_bytes(b"older")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        Demo(epochs=1, out=tmp_path).run()
    assert os.listdir(tmp_path) == ["digits-curves.png"]
    assert older.read_bytes() == b"older"


def test_bar_on_a_terminal(tmp_path, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("fastnn.lab.bar.BAR_SECONDS", 0.0)
    Demo(epochs=2, out=tmp_path).run()
    drawn = terminal.getvalue()
    for name in NAMES:
        assert name in drawn
    assert "epoch 1/2" in drawn
    assert re.search(r"epoch 2/2  test accuracy 0\.\d{4}  0:\d\d left", drawn)
    # Hidden while it moves, the cursor is there again at the end.
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == len(VARIANTS)
    assert "\x1b" not in capsys.readouterr().out


def test_quiet(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli.main(["demo", "--epochs", "1", "--out", str(tmp_path), "--quiet"]) == 0
    assert terminal.getvalue() == ""


def test_watching_does_not_slow_the_native_engine():
    # Callbacks that must see every batch force it to come back to Python after each.
    assert not lab_demo._Stopwatch().watches_every_batch()
    assert not BarMover(("val_loss", "loss"), lambda **status: None).watches_every_batch()


# -- plots -----------------------------------------------------------------------------------------


def made_up(fits, epochs=20):
    """Histories like those of fits that go well."""
    steps = np.arange(1, epochs + 1)
    return {
        f"fit {i}": {
            "accuracy": 1 - 0.5 / steps ** (1 + i / 9),
            "val_accuracy": 1 - 0.4 / steps ** (0.8 + i / 9),
            "loss": 2 / steps ** (1 + i / 9),
            "val_loss": 2.2 / steps ** (0.5 + i / 9),
        }
        for i in range(fits)
    }


@pytest.mark.parametrize("epochs", [1, 2, 20])
def test_curves_hold_the_numbers(epochs):
    histories = made_up(3, epochs)
    figure = plots.learning_curves(histories, "a title")
    assert figure.get_suptitle() == "a title"
    for axes, name in zip(figure.axes, ("accuracy", "loss"), strict=True):
        assert axes.get_xlabel() == "epoch"
        assert name in axes.get_ylabel()
        lines = {(line.get_color(), line.get_linestyle()): line for line in axes.lines}
        assert len(lines) == 2 * len(histories)
        for colour, history in zip(plots.COLOURS, histories.values(), strict=False):
            for style, key in (("--", name), ("-", f"val_{name}")):
                x, y = lines[colour, style].get_data()
                np.testing.assert_array_equal(x, np.arange(1, epochs + 1))
                np.testing.assert_array_equal(y, history[key])
    accuracy, loss = figure.axes
    assert accuracy.get_shared_x_axes().joined(accuracy, loss)
    assert loss.get_yscale() == "log"


@pytest.mark.parametrize("fits", [1, len(VARIANTS), len(plots.COLOURS)])
def test_legend_covers_no_curve(fits):
    figure = plots.learning_curves(made_up(fits), "title")
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert figure.bbox.y0 <= box.y0
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [*made_up(fits), "test", "training (mean of the epoch)"]


def test_accuracy_axis_shows_every_late_test():
    histories = made_up(5)
    low, high = plots.learning_curves(histories, "title").axes[0].get_ylim()
    assert high > 1
    assert low < min(history["val_accuracy"][4:].min() for history in histories.values())
    assert low > 0.5
    # Perfect or hopeless from the first epoch on: still a picture.
    for value in (0.0, 1.0):
        flat = {key: np.full(3, max(value, 0.1)) for key in ("loss", "val_loss")}
        flat |= {key: np.full(3, value) for key in ("accuracy", "val_accuracy")}
        low, high = plots.learning_curves({"flat": flat}, "title").axes[0].get_ylim()
        assert low <= value < high


def test_number_of_fits_is_limited():
    assert len(set(plots.COLOURS)) == len(plots.COLOURS)
    for fits in (0, len(plots.COLOURS) + 1):
        with pytest.raises(ValueError, match=rf"histories must be 1 to 7 fits; got {fits}$"):
            plots.learning_curves(made_up(fits), "title")


def test_plots_change_nothing_global(run_python):
    code = """
import sys
import matplotlib
from fastnn.lab import plots
def settings():  # to ask for the backend loads pyplot
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
numbers = {name: [0.5, 0.6] for name in ("accuracy", "val_accuracy", "loss", "val_loss")}
data = plots.png_bytes(plots.learning_curves({"fit": numbers}, "title"))
print(data[:4] == b"\\x89PNG", settings() == before, "matplotlib.pyplot" in sys.modules)
"""
    assert run_python(code).split() == ["True", "True", "False"]
