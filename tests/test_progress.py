import io
import math
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from fastnn import displays, progress
from fastnn.progress import ProgressBar

CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True

    def screen(self):
        """The lines a viewer sees, by the control sequences that a bar needs."""
        lines, row, column = [""], 0, 0
        for match in CONTROL.finditer(self.getvalue()):
            argument, command, home, newline, text = match.groups()
            if text:
                lines[row] = (
                    lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                )
                column += len(text)
            elif home:
                column = 0
            elif newline:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif command == "A":
                row -= int(argument)
            elif command == "K":
                assert argument == "2"
                lines[row] = ""
            else:
                assert command in "mhl", command
        return "\n".join(line.rstrip() for line in lines).rstrip("\n").split("\n")

    def cursor_is_shown(self):
        return self.getvalue().rfind("\x1b[?25h") >= self.getvalue().rfind("\x1b[?25l")


class Clock:
    """Stands for `perf_counter`; time passes by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (displays, progress):
        monkeypatch.setattr(module, "perf_counter", clock)
    return clock


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "25")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def logs_of(epoch, seconds=1.0):
    return {
        "loss": 1 / (epoch + 1),
        "accuracy": 0.5 + epoch / 8,
        "val_loss": 0.004 / (epoch + 1),
        "val_accuracy": 0.25,
        "lr": 0.001,
        "seconds": seconds,
    }


def fit(bar, clock, epochs=2, batches=4, batch_seconds=0.25, samples=1000, fault_at=None):
    """Run the callback like a trainer; `fault_at` is an epoch and batch."""
    trainer = SimpleNamespace(epochs=epochs, samples=samples, callbacks=[])
    try:
        bar.on_train_begin(trainer)
        for epoch in range(epochs):
            bar.on_epoch_begin(trainer, epoch)
            start = clock.now
            for batch in range(batches):
                clock.now += batch_seconds
                bar.on_batch_end(trainer, epoch, batch, batches, 2.0 - batch)
                if fault_at == (epoch, batch):
                    raise KeyboardInterrupt
            bar.on_epoch_end(trainer, epoch, logs_of(epoch, clock.now - start))
    finally:
        bar.on_train_end(trainer)


TABLE = [
    "epoch       loss   accuracy   val_loss  val_accuracy  samples/s    seconds",
    "  1/2     1.0000     0.5000  4.000e-03        0.2500      1,000      1.000",
    "  2/2     0.5000     0.6250  2.000e-03        0.2500      1,000      1.000",
]


# Plain lines


def test_without_a_terminal_there_is_a_table_of_epochs(clock):
    out = io.StringIO()
    fit(ProgressBar(out), clock)
    assert out.getvalue().splitlines() == TABLE


def test_by_default_it_writes_to_standard_output_as_it_is_when_a_fit_begins(clock, capsys):
    bar = ProgressBar()
    fit(bar, clock)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == TABLE
    assert captured.err == ""
    fit(bar, clock, epochs=1)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_program_without_standard_output_trains_in_silence(clock, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    fit(ProgressBar(), clock, batch_seconds=60.0)


def test_a_terminal_that_can_do_nothing_gets_plain_lines(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    fit(ProgressBar(out), clock)
    assert out.getvalue().splitlines() == TABLE


def test_long_epochs_say_every_ten_seconds_how_far_they_are(clock):
    out = io.StringIO()
    fit(ProgressBar(out), clock, batches=12, batch_seconds=2.0, samples=12_000)
    lines = out.getvalue().splitlines()
    # The losses are 2, 1, 0, ...; an epoch takes 24 s, and its lines come 10 and 20 s after it
    # began. After batch 5 of 24, four batches after the first one, 19 are to come.
    assert lines[0] == "epoch 1/2   42 %  loss 0.0000  500 samples/s  0:38 left"
    assert lines[1] == "epoch 1/2   83 %  loss -2.5000  500 samples/s  0:28 left"
    assert lines[2:4] == [TABLE[0], TABLE[1].replace("1,000      1.000", "  500       24.0")]
    assert lines[4] == "epoch 2/2   42 %  loss 0.0000  accuracy 0.5000  500 samples/s  0:14 left"
    assert len(lines) == 7


def test_at_most_one_line_in_ten_seconds_within_epochs(clock):
    out = io.StringIO()
    fit(ProgressBar(out), clock, epochs=10, batches=100, batch_seconds=0.09)
    assert len(out.getvalue().splitlines()) == 1 + 10


def test_a_fit_without_accuracy_or_validation(clock):
    out = io.StringIO()
    bar, trainer = ProgressBar(out), SimpleNamespace(epochs=120, samples=50, callbacks=[])
    bar.on_train_begin(trainer)
    bar.on_epoch_begin(trainer, 8)
    clock.now += 0.5
    bar.on_batch_end(trainer, 8, 0, 1, 0.5)
    bar.on_epoch_end(trainer, 8, {"loss": math.nan, "seconds": 123.456, "lr": 1.0})
    bar.on_train_end(trainer)
    assert out.getvalue().splitlines() == [
        "  epoch       loss  samples/s    seconds",
        "  9/120        nan        100      123.5",
    ]


def test_a_number_that_appears_later_gets_a_new_header(clock):
    out = io.StringIO()
    bar, trainer = ProgressBar(out), SimpleNamespace(epochs=2, samples=50, callbacks=[])
    bar.on_train_begin(trainer)
    for epoch, logs in enumerate([{"loss": 1.0}, {"loss": 1.0, "my_own_metric": 1e6}]):
        bar.on_epoch_begin(trainer, epoch)
        bar.on_epoch_end(trainer, epoch, logs)
    bar.on_train_end(trainer)
    assert out.getvalue().splitlines() == [
        "epoch       loss  samples/s    seconds",
        "  1/2     1.0000                      ",
        "epoch       loss  my_own_metric  samples/s    seconds",
        "  2/2     1.0000      1.000e+06                      ",
    ]


def test_output_is_flushed_line_by_line(clock, tmp_path):
    path = tmp_path / "log"
    with path.open("w") as out:
        bar, trainer = ProgressBar(out), SimpleNamespace(epochs=2, samples=50, callbacks=[])
        bar.on_train_begin(trainer)
        bar.on_epoch_begin(trainer, 0)
        bar.on_epoch_end(trainer, 0, {"loss": 1.0})
        assert len(path.read_text().splitlines()) == 2


def test_plain_lines_and_the_module_do_without_rich():
    code = (
        "import io, sys, types\n"
        "from fastnn.progress import ProgressBar\n"
        "bar = ProgressBar(io.StringIO())\n"
        "trainer = types.SimpleNamespace(epochs=1, samples=1, callbacks=[])\n"
        "bar.on_train_begin(trainer); bar.on_epoch_begin(trainer, 0)\n"
        "bar.on_epoch_end(trainer, 0, {'loss': 1.0}); bar.on_train_end(trainer)\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# The bar


def test_on_a_terminal_only_the_table_remains(clock):
    out = Terminal()
    fit(ProgressBar(out), clock)
    assert out.screen() == TABLE
    assert out.cursor_is_shown()


def screens(clock, **arguments):
    """What was seen after each batch of a fit."""
    seen = []
    out = Terminal()

    class Watched(ProgressBar):
        def on_batch_end(self, *arguments):
            super().on_batch_end(*arguments)
            seen.append(out.screen())

    fit(Watched(out), clock, **arguments)
    return seen


def test_the_bar_shows_epoch_loss_accuracy_speed_and_time_left(clock):
    seen = screens(clock)
    assert [lines[:-1] for lines in seen] == [[]] * 4 + [TABLE[:2]] * 4
    bars = [lines[-1] for lines in seen]
    assert re.fullmatch(r"epoch 1/2  ━+[╸╺]━+  loss 2\.0000  1\.00k samples/s", bars[0])
    assert re.fullmatch(r"epoch 1/2  ━+[╸╺]━+  loss 1\.0000  1\.00k samples/s  0:01 left", bars[2])
    assert re.fullmatch(
        r"epoch 2/2  ━+  loss 0\.5000  accuracy 0\.5000  1\.00k samples/s  0:00 left", bars[7]
    )
    for batch, bar in enumerate(bars[:3]):
        drawn = re.search("[━╸╺]+", bar)[0]
        done = re.match("━*╸?", drawn)[0]
        assert len(done) == pytest.approx(len(drawn) * (batch + 1) / 4, abs=1)


@pytest.mark.parametrize("columns", [10, 20, 30, 40, 50, 60, 70, 80, 200])
@pytest.mark.parametrize("no_color", [False, True])
def test_the_bar_fits_the_terminal(clock, monkeypatch, columns, no_color):
    monkeypatch.setenv("COLUMNS", str(columns))
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    for lines in screens(clock, epochs=3):
        bar = lines[-1]
        assert bar.startswith("epoch ")
        # Room for the "^C" of a Ctrl-C.
        assert len(bar) <= max(columns - 3, len("epoch 1/3"))
        assert "loss" in bar or columns < 50
        assert bar.count("━") <= 40


def test_without_colour_the_bar_keeps_its_width(clock, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    bars = [lines[-1] for lines in screens(clock)]
    assert len({bar.index("loss") for bar in bars[1:4]}) == 1
    assert not any("╺" in bar for bar in bars)


def test_short_epochs_are_drawn_together_and_none_is_lost(clock):
    out = Terminal()
    fit(ProgressBar(out), clock, epochs=100, batches=2, batch_seconds=0.001)
    # 0.2 s in all: drawn at the start, twice on the way, and at the end.
    assert out.getvalue().count("\x1b[2K") <= 6
    lines = out.screen()
    assert len(lines) == 101
    assert [int(line.partition("/")[0]) for line in lines[1:]] == list(range(1, 101))


def test_the_bar_is_drawn_ten_times_a_second(clock):
    out = Terminal()
    fit(ProgressBar(out), clock, epochs=1, batches=1000, batch_seconds=0.002)
    assert 15 <= out.getvalue().count("\x1b[2K") <= 22


def test_what_is_printed_meanwhile_stands_above_the_bar(clock, monkeypatch):
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)

    class Talking(ProgressBar):
        def on_batch_end(self, trainer, epoch, batch, batches, loss):
            super().on_batch_end(trainer, epoch, batch, batches, loss)
            print(f"batch {batch}")

    fit(Talking(), clock, epochs=1, batches=3)
    assert out.screen()[:3] == ["batch 0", "batch 1", "batch 2"]
    assert sys.stdout is out


def test_a_bar_on_stderr_leaves_a_redirected_stdout_alone(clock, monkeypatch):
    stdout, stderr = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)

    class Talking(ProgressBar):
        def on_epoch_begin(self, trainer, epoch):
            super().on_epoch_begin(trainer, epoch)
            print("result", epoch)

    fit(Talking(stderr), clock)
    assert stdout.getvalue() == "result 0\nresult 1\n"
    assert stderr.screen() == TABLE


@pytest.mark.parametrize("fault_at", [(0, 0), (0, 2), (1, 3)])
def test_after_a_fault_the_terminal_is_as_before(clock, fault_at):
    out = Terminal()
    stdout = sys.stdout
    with pytest.raises(KeyboardInterrupt):
        fit(ProgressBar(out), clock, fault_at=fault_at)
    assert out.screen() == (TABLE[:2] if fault_at[0] else [""])
    assert out.cursor_is_shown()
    assert sys.stdout is stdout


def test_the_cursor_is_never_left_hidden_between_two_calls(clock):
    out = Terminal()
    bar, trainer = ProgressBar(out), SimpleNamespace(epochs=1, samples=10, callbacks=[])
    bar.on_train_begin(trainer)
    assert out.cursor_is_shown()
    bar.on_epoch_begin(trainer, 0)
    bar.on_batch_end(trainer, 0, 0, 2, 1.0)
    assert out.cursor_is_shown()
    bar.on_train_end(trainer)


def test_the_end_of_a_fit_that_never_began_does_nothing(capsys):
    bar = ProgressBar()
    bar.on_train_end(SimpleNamespace())
    bar.on_train_end(SimpleNamespace())
    assert capsys.readouterr().out == ""


def test_a_bar_serves_several_fits(clock):
    out = Terminal()
    bar = ProgressBar(out)
    fit(bar, clock)
    fit(bar, clock)
    assert out.screen() == TABLE * 2


def test_a_batch_costs_less_than_two_microseconds(monkeypatch):
    bar, trainer = ProgressBar(Terminal()), SimpleNamespace(epochs=1, samples=100, callbacks=[])
    monkeypatch.setattr(displays, "BAR_SECONDS", 3600.0)
    bar.on_train_begin(trainer)
    bar.on_epoch_begin(trainer, 0)
    calls = 5000

    def seconds():
        start = time.perf_counter()
        for batch in range(calls):
            bar.on_batch_end(trainer, 0, batch, calls, 0.5)
        return time.perf_counter() - start

    # The best of many rounds, since other programs run on this processor too.
    assert min(seconds() for _ in range(20)) / calls < 2e-6
    bar.on_train_end(trainer)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.01, "0.0100"),
        (0.00999, "9.990e-03"),
        (-12.34567, "-12.3457"),
        (9999.0, "9999.0000"),
        (12345.678, "1.235e+04"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers(value, text):
    assert displays.number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4, "0"),
        (987.0, "987"),
        (999.6, "1.00k"),
        (1000.0, "1.00k"),
        (12_345.0, "12.3k"),
        (123_456.0, "123k"),
        (999_700.0, "1.00M"),
        (4_560_000.0, "4.56M"),
        (2.5e9, "2.50G"),
        (123e9, "123G"),
    ],
)
def test_counts(value, text):
    assert displays.count_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0:00"),
        (7, "0:07"),
        (59.6, "1:00"),
        (754, "12:34"),
        (5025, "1:23:45"),
        (4e5, "111:06:40"),
    ],
)
def test_times(seconds, text):
    assert displays.clock(seconds) == text
