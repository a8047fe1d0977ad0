"""Searches for hyperparameters: what they run, find, survive and say."""

import csv
import math
import os
import re
import signal
import sys
import threading

import joblib
import numpy as np
import pytest
from networks import blobs
from scipy import stats

import fastnn as fnn
from fastnn.data import k_fold

X, Y = blobs(240)
SPACE = {"lr": (1e-4, 1e-1), "hidden": [4, 8, 16], "l2": stats.loguniform(1e-6, 1e-2)}


def build(params, seed):
    model = fnn.mlp(8, [params.get("hidden", 4)], 3, dropout=0.1, rng=seed)
    regularizer = fnn.L2(params["l2"]) if "l2" in params else None
    return fnn.Trainer(
        model, optimizer=fnn.Adam(params["lr"]), regularizer=regularizer, batch_size=20, rng=seed
    )


def build_by_value():
    """`build`, for worker processes, which cannot import a test module."""
    return type(build)(build.__code__, {"fnn": fnn, "__builtins__": __builtins__})


def search(build=build, space=SPACE, **settings):
    settings = {"trials": 8, "epochs": 3, "rng": 0, "verbose": False} | settings
    return fnn.lab.random_search(build, space, X, Y, **settings)


def found(result):
    """All that must not depend on where the trials ran."""
    return [{name: v for name, v in row.items() if name != "seconds"} for row in result.table]


def test_the_best_is_what_training_with_it_again_gives():
    result = search(trials=12)
    assert [trial.number for trial in result.trials] != sorted(t.number for t in result.trials)
    scores = [trial.score for trial in result.trials]
    assert scores == sorted(scores, reverse=True)
    assert result.best.score > 0.8 > scores[-1]

    # The split and the trials come from children of one generator, so the split is the first.
    draws = np.random.default_rng(0)
    kept, held = fnn.data.split_indices(len(X), 0.2, draws, labels=Y)
    trainer = build(result.best.params, result.best.seed)
    trainer.verbose, trainer.callbacks = False, []
    history = trainer.fit(X[kept], Y[kept], 3, validation_data=(X[held], Y[held]))
    assert history["val_accuracy"] == result.best.curves["val_accuracy"]
    assert history["val_accuracy"][-1] == result.best.score


@pytest.mark.parametrize("settings", [{}, {"folds": 3}, {"rungs": (1, 2)}])
def test_results_do_not_depend_on_the_number_of_jobs(settings):
    one = search(n_jobs=1, **settings)
    assert found(one) == found(search(n_jobs=3, **settings))
    assert found(one) != found(search(n_jobs=1, rng=1, **settings))


def test_results_do_not_depend_on_the_backend_of_joblib():
    threads = search()
    with joblib.parallel_config(backend="loky"):
        assert found(search(build_by_value(), n_jobs=2)) == found(threads)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_of_two_processes_finds_the_same():
    distributed = pytest.importorskip("distributed")
    own = os.getpid()

    def build_there(params, seed):
        assert os.getpid() != own
        return build_here(params, seed)

    build_here = build_by_value()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        there = search(build_there, rungs=(1,))
    assert found(there) == found(search(rungs=(1,)))


@pytest.mark.filterwarnings("ignore")
def test_ray_finds_the_same():
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    own = os.getpid()

    def build_there(params, seed):
        assert os.getpid() != own
        return build_here(params, seed)

    build_here = build_by_value()
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        register_ray()
        with joblib.parallel_config(backend="ray"):
            there = search(build_there, rungs=(1,), n_jobs=2)
    finally:
        ray.shutdown()
    assert found(there) == found(search(rungs=(1,)))


def test_trials_have_one_thread_and_no_progress_of_their_own(capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_THREADS", "2")
    threads = []

    def build_and_note(params, seed):
        threads.append((trainer := build(params, seed)).threads)
        return trainer

    search(build_and_note, trials=3)
    assert threads == [1, 1, 1]
    assert capsys.readouterr().out == ""
    assert build({"lr": 0.1}, 0).threads == 2


def test_bad_trials_are_recorded_and_the_others_go_on():
    def sometimes(params, seed):
        if params["kind"] == "broken":
            raise ZeroDivisionError("no\nsuch thing")
        return build({"lr": 1e30 if params["kind"] == "diverges" else 0.01}, seed)

    kinds = ["broken", "fine", "diverges", "good"]
    result = fnn.lab.grid_search(sometimes, {"kind": kinds}, X, Y, epochs=3, rng=0, verbose=False)
    assert [t.status for t in result.trials] == ["done", "done", "failed", "failed"]
    broken, diverged = sorted(result.trials[2:], key=lambda trial: trial.number)
    assert broken.reason == "ZeroDivisionError: no such thing"
    assert re.match(r"diverged at step \d+: loss .*learning rate 1e\+30", diverged.reason)
    assert math.isnan(diverged.score)
    assert result.best.params["kind"] in ("fine", "good")
    assert result.warnings == [f"2 of 4 trials failed; the first: {broken.reason}"]
    assert broken.reason in str(result)


def test_when_all_diverge_there_is_a_table_but_no_best():
    result = search(space={"lr": [1e30]}, trials=2)
    assert len(result.table) == 2
    assert "none finished" in repr(result)
    for fails in (lambda: result.best, result.plot, result.plot_curves):
        with pytest.raises(fnn.FastnnError, match=r"no trial of this search finished.*diverged"):
            fails()


def test_a_mistake_in_build_is_told_once_all_trials_made_it():
    with pytest.raises(fnn.FastnnError, match="every trial failed; the first: KeyError: 'nothing'"):
        search(lambda params, seed: params["nothing"])
    with pytest.raises(fnn.FastnnError, match="build must return a Trainer; got None"):
        search(lambda params, seed: None)


def test_a_score_that_is_not_finite_is_a_failure():
    def judged(params, seed):
        def odd(out, y):
            return params["value"]

        return fnn.Trainer(fnn.mlp(8, [4], 3, rng=seed), metrics=[odd], rng=seed)

    result = fnn.lab.grid_search(
        judged, {"value": [math.nan, 2.0]}, X, Y, epochs=1, monitor="val_odd", verbose=False
    )
    assert (result.best.score, result.best.reason) == (2.0, "")
    assert result.trials[1].reason == "val_odd is nan"


def test_only_the_best_go_on_beyond_a_rung():
    everything = search(trials=9, epochs=9)
    result = search(trials=9, epochs=9, rungs=(1, 3))
    assert [trial.epochs for trial in result.trials] == [9] + 2 * [3] + 6 * [1]
    assert [trial.status for trial in result.trials] == ["done"] + 8 * ["stopped"]
    # Those that went on are the best of those they stood beside, and found what they always do.
    after_one = {t.number: t.curves["val_accuracy"][0] for t in everything.trials}
    on = [trial.number for trial in result.trials[:3]]
    assert min(after_one[number] for number in on) >= max(
        score for number, score in after_one.items() if number not in on
    )
    same = next(t for t in everything.trials if t.number == result.best.number)
    assert same.score == result.best.score
    assert same.curves["loss"] == result.best.curves["loss"]


def test_folds_judge_by_their_mean():
    result = search(space={"lr": [0.01]}, trials=1, folds=4)
    folds = k_fold(len(X), 4, np.random.default_rng(0), labels=Y)
    scores = []
    for kept, held in folds:
        trainer = build(result.best.params, result.best.seed)
        trainer.callbacks = []
        trainer.fit(X[kept], Y[kept], 3)
        scores.append(trainer.evaluate(X[held], Y[held])["accuracy"])
    assert result.best.score == np.mean(scores)
    assert result.best.std == np.std(scores) > 0
    assert len(result.best.curves["val_accuracy"]) == 3


def test_validation_data_judges():
    kept, held = slice(0, 180), slice(180, None)
    result = fnn.lab.random_search(
        build, {"lr": [0.01]}, X[kept], Y[kept], 1, 2,
        validation_data=(X[held], Y[held]), monitor="val_loss", rng=0, verbose=False,
    )  # fmt: skip
    trainer = build(result.best.params, result.best.seed)
    trainer.callbacks = []
    trainer.fit(X[kept], Y[kept], 2)
    assert result.best.score == trainer.evaluate(X[held], Y[held])["loss"]
    assert result.mode == "min"


def test_regression_is_judged_by_the_loss():
    def regression(params, seed):
        model = fnn.mlp(8, [4], 1, rng=seed)
        return fnn.Trainer(model, "mean_squared_error", fnn.Adam(params["lr"]), rng=seed)

    result = fnn.lab.random_search(
        regression, {"lr": (1e-5, 1e-1)}, X, X[:, :1], 6, 3, rng=0, verbose=False
    )
    assert result.monitor == "val_loss"
    assert [t.score for t in result.trials] == sorted(t.score for t in result.trials)


def test_grid_is_every_combination():
    result = fnn.lab.grid_search(
        build, {"lr": (1e-3, 1e-1), "hidden": [4, 8]}, X, Y, {"lr": 3}, 1, rng=0, verbose=False
    )
    sets = {(round(trial.params["lr"], 9), trial.params["hidden"]) for trial in result.trials}
    assert sets == {(lr, hidden) for lr in (0.001, 0.01, 0.1) for hidden in (4, 8)}


def test_coarse_to_fine_spends_its_epochs_near_the_best():
    space = {"lr": (1e-7, 1e1), "hidden": [4, 8]}
    result = fnn.lab.coarse_to_fine(build, space, X, Y, (15, 6), (1, 4), rng=0, verbose=False)
    coarse = [trial for trial in result.trials if trial.epochs == 1]
    fine = [trial for trial in result.trials if trial.epochs == 4]
    assert (len(coarse), len(fine)) == (15, 6)
    assert result.trials[:6] == fine
    assert sorted(trial.number for trial in result.trials) == list(range(21))

    def decades(trials):
        return np.ptp(np.log10([trial.params["lr"] for trial in trials]))

    assert decades(fine) < 3 < 6 < decades(coarse)
    best = sorted((t for t in coarse if t.status == "done"), key=lambda t: (-t.score, t.number))[:3]
    logs = np.log10([trial.params["lr"] for trial in best])
    assert min(logs) - 0.1 * np.ptp(logs) <= np.log10(fine[0].params["lr"])
    assert np.log10(fine[0].params["lr"]) <= max(logs) + 0.1 * np.ptp(logs)


def test_a_best_value_at_the_edge_of_its_range_is_a_warning():
    result = fnn.lab.grid_search(
        build, {"lr": (1e-6, 1e-2)}, X, Y, points=4, epochs=4, rng=0, verbose=False
    )
    assert result.best.params["lr"] == pytest.approx(1e-2)
    assert result.warnings == [
        "lr: the best value, 0.01, lies at the upper end of its range, (1e-06, 0.01): there may be "
        "better ones above"
    ]
    assert "warning: lr" in str(result)


def test_ctrl_c_keeps_the_trials_that_had_ended():
    started = threading.Event()
    before = set(threading.enumerate())  # other tests' clusters and pools

    def slow_from_the_fourth(params, seed):
        if params["place"] >= 4:
            if not started.is_set():
                started.set()
                threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            return SlowTrainer(build({"lr": 0.01}, seed))
        return build({"lr": 0.01}, seed)

    def SlowTrainer(trainer):
        trainer.fit = lambda *args, **kwargs: fnn.Trainer.fit(trainer, args[0], args[1], 10**6)
        return trainer

    space = {"place": list(range(8))}
    for n_jobs in (1, 2):
        started.clear()
        result = fnn.lab.grid_search(
            slow_from_the_fourth, space, X, Y, epochs=1, n_jobs=n_jobs, rng=0, verbose=False
        )
        assert result.interrupted
        assert 3 <= len(result.trials) <= 4
        assert max(trial.params["place"] for trial in result.trials) < 4
        assert "interrupted" in result.warnings[0]
    for thread in set(threading.enumerate()) - before:  # the fits that ran were told to end
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_ctrl_c_before_the_first_trial_ended_passes_on():
    def interrupts(params, seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(interrupts, n_jobs=1)


def test_progress_without_a_terminal_is_a_line_for_each_trial(capsys):
    search(trials=4, verbose=True, rungs=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(
        r"trial 1/5  1 epoch  lr=\S+  hidden=\d+  l2=\S+  val_accuracy 0\.\d{4}  \d\.\d\d s",
        lines[0],
    )
    assert lines[-1].startswith("trial 5/5  3 epochs  lr=")


def test_progress_counts_the_trials_of_all_stages(capsys):
    """A count that begins anew with each stage says that all is done when half of it is."""
    fnn.lab.coarse_to_fine(
        build, SPACE, X, Y, trials=[4, 3, 3], epochs=[1, 2, 3], n_jobs=1, rng=0, verbose=True
    )
    lines = capsys.readouterr().out.splitlines()
    shown = [re.match(r"trial +(\d+)/10  (\d) epoch", line).groups() for line in lines]
    lengths = [1] * 4 + [2] * 3 + [3] * 3
    assert shown == [(str(n), str(length)) for n, length in enumerate(lengths, 1)]


def test_progress_on_a_terminal_has_a_bar_below(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    search(trials=3, verbose=True)
    text = capsys.readouterr().out
    assert "trial 3/3  3 epochs" in text
    assert "\x1b[?25h" in text


def test_table_and_csv(tmp_path):
    result = search(trials=3)
    row = result.table[0]
    assert list(row) == [
        *("trial", "lr", "hidden", "l2", "val_accuracy"),
        *("std", "epochs", "status", "reason", "seconds", "seed"),
    ]
    result.to_csv(tmp_path / "search.csv")
    with (tmp_path / "search.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == [row["lr"] for row in result.table]
    text = str(search(trials=12)).splitlines()
    assert text[0].split()[:2] == ["trial", "lr"]
    assert text[11] == "... and 2 more"


def points(axes):
    return sum(len(collection.get_offsets()) for collection in axes.collections)


def test_pictures():
    result = search(trials=9, rungs=(1,))
    figure = result.plot()
    lr, hidden, l2 = figure.axes
    assert [points(axes) for axes in figure.axes] == [9, 9, 9]
    assert (lr.get_xscale(), hidden.get_xscale(), l2.get_xscale()) == ("log", "linear", "log")
    assert lr.collections[-1].get_offsets()[0].tolist() == pytest.approx(
        [result.best.params["lr"], result.best.score]
    )
    assert [tick.get_text() for tick in hidden.get_xticklabels()] == ["4", "8", "16"]
    figure = result.plot_curves(n=4)
    (curves,) = figure.axes
    figure.draw_without_rendering()
    (legend,) = figure.legends  # which covers no curve
    assert not legend.get_window_extent().overlaps(curves.get_window_extent())
    assert len(curves.lines) == 4
    assert curves.lines[-1].get_ydata().tolist() == result.best.curves["val_accuracy"]


def test_a_missing_joblib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"joblib is not installed.*fastnn\[search\]"):
        search()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"build": 3}, TypeError, "build must be a function"),
        ({"trials": 0}, ValueError, "trials must be at least 1"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"rungs": (2, 1)}, ValueError, "rungs must rise"),
        ({"rungs": (3,)}, ValueError, "rungs must lie below epochs=3"),
        ({"keep": 0.0}, ValueError, "keep must be"),
        ({"keep": 1.0}, ValueError, "keep"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"monitor": "loss"}, ValueError, "monitor"),
        ({"monitor": "val_nothing"}, ValueError, "got 'val_nothing', there are: val_loss, val_acc"),
        ({"folds": 1}, ValueError, "folds"),
        ({"folds": 2, "validation_data": (X, Y)}, ValueError, "not both"),
        ({"validation_data": X}, TypeError, "validation_data"),
        ({"validation_share": 1.0}, ValueError, "share"),
        ({"rng": "x"}, TypeError, "rng"),
    ],
)
def test_mistakes_are_named(settings, error, words):
    with pytest.raises(error, match=words):
        search(**settings)


def test_mistakes_in_data_and_stages():
    with pytest.raises(ValueError, match=r"as many rows.*\(240, 8\), \(3,\)"):
        fnn.lab.random_search(build, SPACE, X, Y[:3])
    with pytest.raises(ValueError, match="for each stage; got 2 and 1"):
        fnn.lab.coarse_to_fine(build, SPACE, X, Y, (3, 3), (2,))
    with pytest.raises(ValueError, match="epochs must rise"):
        fnn.lab.coarse_to_fine(build, SPACE, X, Y, (3, 3), (2, 2))
    with pytest.raises(fnn.FastnnError, match="nothing to narrow to; diverged"):
        fnn.lab.coarse_to_fine(build, {"lr": [1e30]}, X, Y, (3, 3), (1, 2), verbose=False)
