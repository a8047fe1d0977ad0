"""The comparison with peers: its floor, its checks, its table, and a run from end to end."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import PACKAGE_PARENT, environment

import fastnn as fnn

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture(autouse=True)
def bench_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """A run with fastnn and NumPy only, and where it wrote to."""
    out = tmp_path_factory.mktemp("compare")
    process = subprocess.run(
        [
            sys.executable,
            str(BENCH / "compare.py"),
            *("--quick", "--peers", "fastnn,fastnn-eager,numpy", "--rounds", "1", "--out", out),
            *("--output", out / "summary.md"),
        ],
        env=environment(PYTHONPATH=f"{BENCH}:{PACKAGE_PARENT}"),
        cwd=out,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process, out


def test_quick_run_times_everyone(quick_run):
    from peers.workloads import QUICK

    _, out = quick_run
    results = json.loads((out / "compare.json").read_text())
    assert list(results["workloads"]) == [workload.name for workload in QUICK]
    for name in ("tiny", "tiny-bn-drop"):
        entries = results["workloads"][name]["contenders"]
        names = {f"fastnn eager, {backend}" for backend in fnn.available_backends()}
        names |= {"NumPy textbook, 1 thread"}
        if "cython" in fnn.available_backends():
            names |= {"fastnn native, 1 thread"}
        assert names <= entries.keys()
        for entry in entries.values():
            assert "failed" not in entry
            assert entry["min"] > 0
            assert entry["over_floor"] > 1
            assert entry["loss"][-1] < entry["warm_up_loss"]
    assert "tiny-predict" in results["workloads"]


def test_quick_run_prints_and_draws(quick_run):
    process, out = quick_run
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "compare.md").read_text()
    assert process.stdout == page + "\n"
    versions = json.loads((out / "compare.json").read_text())["machine"]["versions"]
    assert f"numpy {versions['numpy']}" in page
    assert "| floor: matrix products alone" in page
    summary = (out / "summary.md").read_text()
    assert summary.startswith("The fastest of fastnn")
    assert "\n- tiny: Training: 64-32-10 with ReLU" in summary
    assert f"numpy {versions['numpy']}" in summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "numpy,caffe"], "'caffe' is not one of"),
        (["--workloads", "huge"], "'huge' is not one of"),
        (["--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_wrong_options_are_refused(arguments, message, capsys):
    import compare

    with pytest.raises(SystemExit) as stop:
        compare.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_step_has_three_products_for_each_layer_but_two_for_the_first():
    from peers.workloads import WORKLOADS, products

    classic = products(WORKLOADS["classic"])
    assert len(classic) == 3 * 7 - 1
    weights = [784 * 100, *[100 * 100] * 5, 100 * 10]
    assert sum(product.flops for product in classic) == 2 * 100 * (3 * sum(weights) - weights[0])
    assert [product.what for product in products(WORKLOADS["predict-1"])] == ["forward"] * 7


def test_the_floor_computes_the_products_of_the_step():
    from peers.floor import Floor, make_call
    from peers.workloads import WORKLOADS, products

    assert len(Floor(WORKLOADS["tiny"]).calls) == len(products(WORKLOADS["tiny"])) == 5
    for product in products(WORKLOADS["tiny-bn-drop"]):
        call = make_call(product, np.random.default_rng(0))
        call.run()
        left = call.left.T if call.trans_left else call.left
        right = call.right.T if call.trans_right else call.right
        assert call.out.T.shape == (product.rows, product.cols)
        np.testing.assert_allclose(call.out, left @ right, rtol=1e-4, atol=1e-5)


def test_full_batches_only():
    from peers.workloads import WORKLOADS, make_task

    policy = WORKLOADS["policy"]
    assert policy.steps == 312
    assert len(make_task(policy).x) == 312 * 32


@pytest.mark.parametrize("workload", ["tiny", "tiny-bn-drop", "tiny-predict"])
def test_wrong_results_are_noticed(workload):
    import compare
    from peers.workloads import WORKLOADS

    expected = compare.reference(WORKLOADS[workload])
    what = "scores" if workload == "tiny-predict" else "losses"
    assert compare.fault({what: expected.tolist()}, expected) is None
    spoilt = expected.copy()
    spoilt.flat[-1] *= 1.01
    assert "differ" in compare.fault({what: spoilt.tolist()}, expected)
    spoilt.flat[-1] = np.nan
    assert "differ" in compare.fault({what: spoilt.tolist()}, expected)
    assert "shape" in compare.fault({what: expected[..., :-1].tolist()}, expected)
    assert compare.fault({"error": "no compiler"}, expected) == "no compiler"


def test_the_textbook_does_what_the_reference_does():
    import compare
    from peers import textbook
    from peers.workloads import WORKLOADS, make_checked_task

    for optimizer in ("sgd", "adam"):
        workload = replace(WORKLOADS["tiny-bn-drop"], optimizer=optimizer)
        losses = textbook.Network(make_checked_task(workload)).losses()
        np.testing.assert_allclose(losses, compare.reference(workload), rtol=1e-4)


class FakeProcess:
    """Answers with these losses, one after the other."""

    def __init__(self, *losses, seconds=1.0):
        self.losses = list(losses)
        self.seconds = seconds

    def ask(self, do, **request):
        if do == "prepare":
            return {"threads": 1, "losses": [1.0]}
        return {"seconds": self.seconds, "loss": self.losses.pop(0), "elapsed": 1.0}


@pytest.mark.parametrize("last", [2.5, float("nan"), float("inf")])
def test_a_loss_that_does_not_fall_is_not_timed(last):
    import compare
    from peers.contenders import Contender
    from peers.workloads import WORKLOADS

    field = compare.Field(WORKLOADS["tiny"], rounds=2)
    expected = np.array([1.0])
    field.admit(Contender("good", "p", "m", ()), FakeProcess(2.0, 1.5, 1.0), expected)
    field.admit(Contender("bad", "p", "m", ()), FakeProcess(2.0, 1.5, last), expected)
    field.run()
    assert field.entries["good"]["us"] == [1e6 / 10] * 2
    assert "its loss went from 2" in field.entries["bad"]["failed"]
    assert "us" not in field.entries["bad"]


def test_a_floor_too_short_to_time_does_not_warm_up_for_ever():
    import compare
    from peers.workloads import WORKLOADS

    field = compare.Field(WORKLOADS["tiny"], rounds=1)
    field.admit_floor(FakeProcess(0.0, 0.0, seconds=-1e-6))
    assert list(field.ready) == [compare.FLOOR.name]


def test_a_process_that_dies_is_an_answer():
    from peers.contenders import Contender
    from peers.process import Process

    with Process(Contender("nobody", "nobody", "no_such_module", ())) as process:
        assert "no_such_module" in process.ask(do="prepare", workload="tiny")["error"]
        process.process.kill()
        process.process.wait()
        assert "the process ended" in process.ask(do="prepare", workload="tiny")["error"]


def test_what_is_not_installed_is_named():
    from peers.contenders import Contender

    assert Contender("a", "a", "a", ("numpy", "no_such_package")).missing == ["no_such_package"]


@pytest.fixture
def results():
    entries = {
        "fastnn native, 1 thread": {"peer": "fastnn", "threads": 1, "us": [30.0, 20.0, 28.0]},
        "fastnn native, 2 threads": {"peer": "fastnn", "threads": 2, "us": [16.0, 17.0, 18.0]},
        "PyTorch eager, 1 thread": {"peer": "torch", "threads": 1, "us": [160.0, 240.0]},
        "torch.compile, 1 thread": {"peer": "torch-compile", "failed": "no compiler"},
    }
    workload = {"description": "Training.", "floor": {"us": [12.0, 10.0]}, "contenders": entries}
    return {
        "date": "2024-02-29",
        "rounds": 2,
        "load": [0.5, 1.25],
        "machine": {
            "processor": "Abacus",
            "cores": 2,
            "platform": "Linux",
            "instruction_set": "avx2",
            "versions": {"numpy": "2.0"},
        },
        "left_out": ["JAX scan, 1 thread, which needs jax"],
        "workloads": {"classic": workload},
    }


def test_ratios_are_of_minima_and_by_thread(results):
    from peers.report import add_figures

    add_figures(results["workloads"]["classic"])
    entries = results["workloads"]["classic"]["contenders"]
    assert entries["fastnn native, 1 thread"]["over_floor"] == 2.0
    assert entries["fastnn native, 2 threads"]["over_floor"] == 3.2
    assert entries["fastnn native, 2 threads"]["median"] == 17.0
    assert entries["PyTorch eager, 1 thread"]["over_fastnn"] == 10.0
    assert "min" not in entries["torch.compile, 1 thread"]


def test_table_is_sorted_aligned_and_complete(results):
    from peers.report import add_figures, markdown

    add_figures(results["workloads"]["classic"])
    lines = markdown(results).splitlines()
    assert "| workload |  fastnn | x floor | PyTorch eager |" in lines
    assert "| classic  | 16.0 us |    3.20 |          10.0 |" in lines
    start = lines.index("## classic")
    table = [line for line in lines[start:] if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "fastnn native, 2 threads",
        "fastnn native, 1 thread",
        "PyTorch eager, 1 thread",
        "floor: matrix products alone",
    ]
    assert len({len(line) for line in table}) == 1
    assert "- torch.compile, 1 thread: not timed: no compiler" in lines
    assert "- Left out: JAX scan, 1 thread, which needs jax." in lines


def test_many_networks_at_once_are_set_beside_in_turn(results):
    from peers.report import add_figures, throughput_lines

    in_turn = results["workloads"]["classic"]
    at_once = json.loads(json.dumps(in_turn))
    at_once["contenders"]["fastnn native, 1 thread"]["us"] = [10.0]
    workloads = {"policies-in-turn": in_turn, "policies-at-once": at_once}
    for workload in workloads.values():
        add_figures(workload)
    lines = list(throughput_lines(workloads))
    assert lines[0].endswith("fastnn native, 1 thread: 2.00 times the throughput of in turn.")


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (1.234, "1.23 us"),
        (9.996, "10.0 us"),
        (99.96, "100 us"),
        (1234.5, "1234 us"),
        (9994.0, "9994 us"),
        (9995.0, "10.0 ms"),
        (1.9e5, "190 ms"),
        (1.23e7, "12.3 s"),
    ],
)
def test_times_in_the_unit_that_fits(us, text):
    from peers.report import format_us

    assert format_us(us) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(None, "-"), (0.986, "0.99"), (9.996, "10.0"), (99.96, "100")]
)
def test_ratios_have_three_digits(ratio, text):
    from peers.report import format_ratio

    assert format_ratio(ratio) == text
