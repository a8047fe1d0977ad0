"""Progress in a notebook: one table, updated where it stands."""

import importlib.util
import io
import json
import math
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
from test_notebook_tables import cells_of, words_of
from test_progress import Clock, fit

import fastnn as fnn
from fastnn import displays, progress
from fastnn.lab import search_progress
from fastnn.lab.search_result import Trial
from fastnn.progress import ProgressBar


class Notebook:
    """Stands for IPython in a kernel: what is displayed, and how often."""

    def __init__(self):
        self.displays = []

    def display(self, bundle, *, raw, display_id):
        assert raw is True
        assert display_id is True
        self.displays.append([bundle])
        return SimpleNamespace(update=self.update)

    def update(self, bundle, *, raw):
        assert raw is True
        self.displays[-1].append(bundle)

    @property
    def shown(self):
        """What is seen in the end of the only display."""
        (updates,) = self.displays
        return updates[-1]


class OutStream(io.StringIO):
    """A kernel's standard output."""

    __module__ = "ipykernel.iostream"


def pretend(monkeypatch, shell_name, stdout=None):
    """An IPython with such a shell has been loaded."""
    notebook = Notebook()
    shell = type(shell_name, (), {})
    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell()
    module.display = notebook.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    # Not sys.stdout itself, which pytest takes back when a fixture is done.
    notebook.stdout = OutStream() if stdout is None else stdout
    replaced = SimpleNamespace(modules=sys.modules, stdout=notebook.stdout)
    monkeypatch.setattr(displays, "sys", replaced)
    return notebook


@pytest.fixture
def notebook(monkeypatch):
    return pretend(monkeypatch, "ZMQInteractiveShell")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (displays, progress):
        monkeypatch.setattr(module, "perf_counter", clock)
    return clock


def test_one_table_is_updated_in_place(notebook, clock):
    fit(ProgressBar(), clock, epochs=2)
    html = notebook.shown["text/html"]
    assert cells_of(html) == [
        ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "samples/s", "seconds"],
        ["1/2", "1.0000", "0.5000", "4.000e-03", "0.2500", "1,000", "1.000"],
        ["2/2", "0.5000", "0.6250", "2.000e-03", "0.2500", "1,000", "1.000", "*"],
    ]
    assert words_of(html) == "2 epochs in 2 s; lowest val_loss 2.000e-03 in epoch 2"
    assert "<progress" not in html
    assert notebook.stdout.getvalue() == ""


def test_it_is_read_as_text_too(notebook, clock):
    fit(ProgressBar(), clock, epochs=2)
    lines = notebook.shown["text/plain"].split("\n")
    assert lines[0].split()[:2] == ["epoch", "loss"]
    assert lines[2].split()[:2] == ["2/2", "0.5000"]
    assert lines[3] == "2 epochs in 2 s; lowest val_loss 2.000e-03 in epoch 2"


def test_while_it_trains_it_shows_how_far_it_is(notebook, clock):
    fit(ProgressBar(), clock, epochs=2)
    updates = [update["text/html"] for update in notebook.displays[0]]
    last = next(html for html in reversed(updates) if "<progress" in html)
    assert (
        'epoch 2/2 <progress value="1.000" aria-label="done"></progress> loss 0.5000 '
        "\N{MIDDLE DOT} accuracy 0.5000 \N{MIDDLE DOT} 1.00k samples/s \N{MIDDLE DOT} 0:00 left"
    ) in last
    assert len(cells_of(last)) == 2
    first = notebook.displays[0][0]["text/html"]
    assert 'epoch 1/2 <progress value="0.000"' in first


def test_of_a_long_fit_first_best_and_last_epochs_are_shown(notebook, clock):
    bar, trainer = ProgressBar(), SimpleNamespace(epochs=500, samples=10, callbacks=[])
    bar.on_train_begin(trainer)
    for epoch in range(500):
        bar.on_epoch_begin(trainer, epoch)
        bar.on_epoch_end(trainer, epoch, {"loss": 1.0 + abs(epoch - 300), "seconds": 0.1})
    bar.on_train_end(trainer)
    rows = cells_of(notebook.shown["text/html"])[1:]
    firsts = [row[0].strip().partition("/")[0] for row in rows]
    last = [str(n) for n in range(493, 501)]
    assert firsts == ["1", "2", "3", "... 297 more ...", "301", "... 191 more ...", *last]
    assert [row[-1] == "*" for row in rows].index(True) == firsts.index("301")
    assert sum(row[-1] == "*" for row in rows) == 1
    assert len(notebook.shown["text/html"]) < 5000
    assert "... 297 more ..." in notebook.shown["text/plain"]


def best_words(notebook, callbacks, values):
    bar, trainer = ProgressBar(), SimpleNamespace(epochs=9, samples=10, callbacks=callbacks)
    bar.on_train_begin(trainer)
    for epoch, logs in enumerate(values):
        bar.on_epoch_begin(trainer, epoch)
        bar.on_epoch_end(trainer, epoch, logs)
    bar.on_train_end(trainer)
    return words_of(notebook.shown["text/html"]).partition("; ")[2]


def test_the_best_epoch_is_that_of_early_stopping(notebook, clock):
    values = [{"loss": 3.0, "accuracy": 0.7}, {"loss": 2.0, "accuracy": 0.6}]
    stop = fnn.EarlyStopping("accuracy")
    assert best_words(notebook, [stop], values) == "highest accuracy 0.7000 in epoch 1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([{"loss": 3.0}, {"loss": 2.0}, {"loss": 2.0}], "lowest loss 2.0000 in epoch 2"),
        ([{"loss": math.nan}, {"loss": 2.0}, {"loss": math.nan}], "lowest loss 2.0000 in epoch 2"),
        ([{"loss": math.nan}], ""),
        (
            [{"loss": 1.0, "val_loss": 3.0}, {"loss": 2.0, "val_loss": 2.0}],
            "lowest val_loss 2.0000 in epoch 2",
        ),
    ],
)
def test_else_the_lowest_loss_counts(notebook, clock, values, words):
    assert best_words(notebook, [], values) == words


def test_updates_come_twice_a_second_at_most(notebook, clock):
    fit(ProgressBar(), clock, epochs=1, batches=1000, batch_seconds=0.01)  # ten seconds
    assert 18 <= len(notebook.displays[0]) <= 23


def test_slow_updates_come_seldom(notebook, clock, monkeypatch):
    slow = Notebook.update

    def update(self, bundle, *, raw):
        clock.now += 0.1
        slow(self, bundle, raw=raw)

    monkeypatch.setattr(Notebook, "update", update)
    fit(ProgressBar(), clock, epochs=1, batches=1000, batch_seconds=0.1)  # a hundred seconds
    assert len(notebook.displays[0]) <= 9


def test_rows_that_are_not_shown_are_not_made(notebook, clock, monkeypatch):
    made = []
    cells = progress._cells
    monkeypatch.setattr(progress, "_cells", lambda *a: made.append(a[0]) or cells(*a))
    fit(ProgressBar(), clock, epochs=1000, batches=1, batch_seconds=0.0001)
    assert set(made) <= {*range(3), *range(990, 1000)}


def test_after_a_fault_the_rows_are_there(notebook, clock):
    with pytest.raises(KeyboardInterrupt):
        fit(ProgressBar(), clock, epochs=3, fault_at=(1, 2))
    html = notebook.shown["text/html"]
    assert len(cells_of(html)) == 2
    assert words_of(html).startswith("1 epoch in ")
    assert "<progress" not in html


def test_two_fits_have_two_tables(notebook, clock):
    bar = ProgressBar()
    fit(bar, clock)
    fit(bar, clock)
    assert len(notebook.displays) == 2


def test_names_are_text(notebook, clock):
    bar, trainer = ProgressBar(), SimpleNamespace(epochs=1, samples=1, callbacks=[])
    bar.on_train_begin(trainer)
    bar.on_epoch_begin(trainer, 0)
    bar.on_epoch_end(trainer, 0, {"loss": 1.0, "<b>mine": 2.0})
    bar.on_train_end(trainer)
    assert "&lt;b&gt;mine" in notebook.shown["text/html"]
    assert "<b>" not in notebook.shown["text/html"]


@pytest.mark.parametrize("shell", ["TerminalInteractiveShell", "NoneType"])
def test_elsewhere_there_are_lines(monkeypatch, clock, shell):
    notebook = pretend(monkeypatch, shell)
    fit(ProgressBar(), clock)
    assert notebook.displays == []
    assert len(notebook.stdout.getvalue().splitlines()) == 3


def test_a_shell_made_from_the_kernels_is_one(monkeypatch, clock):
    notebook = pretend(monkeypatch, "ZMQInteractiveShell")
    shell = type("Shell", (type(sys.modules["IPython"].get_ipython()),), {})
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", shell)
    fit(ProgressBar(), clock)
    assert len(notebook.displays) == 1


def test_caught_output_is_lines(monkeypatch, clock):
    caught = io.StringIO()
    notebook = pretend(monkeypatch, "ZMQInteractiveShell", stdout=caught)
    fit(ProgressBar(), clock)
    assert notebook.displays == []
    assert len(caught.getvalue().splitlines()) == 3


def test_a_given_stream_is_written_to(notebook, clock):
    out = io.StringIO()
    fit(ProgressBar(out), clock)
    assert notebook.displays == []
    assert len(out.getvalue().splitlines()) == 3


def test_ipython_is_not_imported_elsewhere():
    code = (
        "import sys, fastnn as fnn, numpy as np\n"
        "trainer = fnn.Trainer(fnn.mlp(2, [3], 2, rng=0), rng=0)\n"
        "history = trainer.fit(np.eye(2), [0, 1], epochs=1)\n"
        "history._repr_html_(), trainer.model.summary()._repr_html_()\n"
        "assert not {'IPython', 'ipykernel'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


def test_a_search_is_a_table_too(notebook, clock, monkeypatch):
    monkeypatch.setattr(search_progress, "perf_counter", clock)
    trials = [
        Trial(0, {"lr": 0.1}, 0, 5, "done", 0.8, seconds=1.0),
        Trial(1, {"lr": 9.0}, 0, 5, "failed", reason="it <diverged>"),
        Trial(2, {"lr": 0.2}, 0, 5, "done", 0.9, seconds=1.0),
        Trial(3, {"lr": 0.3}, 0, 5, "done", 0.7, seconds=1.0),
    ]
    with search_progress.search_progress([(4, 5)], True) as shown:
        for trial in trials:
            clock.now += 1
            shown.ended(trial, "val_accuracy")
        html = notebook.shown["text/html"]
        assert 'trial 4/4 <progress value="1.000"' in html
        assert "best val_accuracy 0.9000" in html
    assert cells_of(notebook.shown["text/html"]) == [
        ["trial", "epochs", "lr", "val_accuracy", "seconds", "failed"],
        ["1/4", "5", "0.1", "0.8000", "1.00", ""],
        ["2/4", "5", "9", "", "0.00", "it &lt;diverged&gt;"],
        ["3/4", "5", "0.2", "0.9000", "1.00", "", "*"],
        ["4/4", "5", "0.3", "0.7000", "1.00", ""],
    ]


# -- a real notebook -------------------------------------------------------------------------------

RUN = """
import json, sys
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
cells = [
    '''
import numpy as np
import fastnn as fnn
x = np.random.default_rng(0).standard_normal((200, 4))
y = (x[:, 0] > 0).astype(int)
trainer = fnn.Trainer(fnn.mlp(4, [8], 2, rng=0), rng=0)
history = trainer.fit(x, y, epochs=30, validation_share=0.25)
''',
    "history",
    "trainer.model.summary()",
]
manager = KernelManager()
manager.kernel_spec.argv[0] = sys.executable  # whatever kernels are installed
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(notebook, km=manager, timeout=60).execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


def test_a_real_notebook_shows_one_table(run_python):
    for package in ("nbclient", "nbformat", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    fit_outputs, *results = json.loads(run_python(RUN))
    (table,) = fit_outputs
    assert table["output_type"] == "display_data"
    rows = cells_of(table["data"]["text/html"])
    assert rows[1][0].strip() == "1/30"
    assert rows[-1][0] == "30/30"
    assert sum(row[-1] == "*" for row in rows) == 1
    assert "30 epochs in" in table["data"]["text/plain"]
    for (result,) in results:
        assert "<table" in result["data"]["text/html"]
        assert result["data"]["text/plain"]
