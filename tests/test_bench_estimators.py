"""The comparison of the estimators with scikit-learn's: its judgement, its table, and a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

sklearn = pytest.importorskip("sklearn")

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.fixture
def estimators(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import estimators

    return estimators


def result(ours, theirs, seconds=(1.0, 4.0)):
    return {
        "data": "some",
        "rows": 1000,
        "estimator": "MLPClassifier",
        "seconds": dict(zip(("fastnn", "scikit-learn"), seconds, strict=True)),
        "scores": {"fastnn": ours, "scikit-learn": theirs},
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ([0.9, 0.9, 0.9], [0.905, 0.9, 0.9], True),
        ([0.9, 0.9, 0.9], [0.95, 0.95, 0.95], False),
        ([0.8, 0.9, 1.0], [0.9, 0.95, 1.0], True),  # spread explains it
    ],
)
def test_scores_are_compared_with_their_spread(estimators, ours, theirs, same):
    assert estimators.same_score(result(ours, theirs)) is same


def test_the_table_shows_losses_too(estimators):
    good = result([0.9], [0.9], seconds=(1.0, 8.0))
    bad = result([0.5], [0.9], seconds=(2.0, 1.0))
    text = estimators.table([good, bad])
    assert "| 8.0 | 0.900 ± 0.000 | 0.900 ± 0.000 |" in text
    assert "| 0.5 | 0.500 ± 0.000 | 0.900 ± 0.000 (!) |" in text
    assert "Geometric mean: 2.0 times as fast; the least: 0.5 times." in text


def test_there_are_ten_data_sets_from_150_to_100_000_rows(estimators):
    sizes = [len(load()[0]) for _, load, _ in estimators.WORK.values()]
    assert len(sizes) == 10
    assert (min(sizes), max(sizes)) == (150, 100_000)


def test_a_quick_run_measures_both(tmp_path):
    options = ["--quick", "--json", "results.json", "--output", "table.md"]
    process = subprocess.run(
        [sys.executable, str(BENCH / "estimators.py"), *options],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("| data | rows |")
    page = (tmp_path / "table.md").read_text()
    assert page.startswith(process.stdout)
    assert f"scikit-learn {sklearn.__version__}.\n" in page
    results = json.loads((tmp_path / "results.json").read_text())
    assert [entry["data"] for entry in results] == ["iris", "diabetes", "breast cancer"]
    for entry in results:
        assert min(entry["seconds"].values()) > 0
        assert set(entry["epochs"].values()) == {5}
