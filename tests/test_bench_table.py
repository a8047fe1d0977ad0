"""The table made of the benchmarks: the right ratios, and no loss left out."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def table() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "bench" / "table.py"
    spec = importlib.util.spec_from_file_location("bench_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _benchmark(kernel: str, backend: str, rows: int, cols: int, seconds: float) -> dict[str, Any]:
    info = {"kernel": kernel, "backend": backend, "rows": rows, "cols": cols}
    return {"extra_info": info, "stats": {"min": seconds, "mean": 9 * seconds}}


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "datetime": "2024-02-29T12:00:00",
        "machine_info": {"machine": "x86_64", "system": "Linux"},
        "benchmarks": [
            _benchmark("relu_forward", "numpy", 100, 100, 8e-6),
            _benchmark("relu_forward", "numba", 100, 100, 2e-6),
            _benchmark("relu_forward", "cython", 100, 100, 1e-6),
            _benchmark("relu_forward", "numpy", 1, 10, 5e-7),
            _benchmark("relu_forward", "numba", 1, 10, 1e-6),
            _benchmark("sgd_update", "numpy", 32, 64, 1.5e-3),
            _benchmark("sgd_update", "cython", 32, 64, 2e-3),
            {"extra_info": {}, "stats": {"min": 1.0}},
        ],
    }


def test_every_size_has_its_ratios(table: ModuleType, report: dict[str, Any]) -> None:
    lines = table.markdown(report).splitlines()
    assert "| Kernel | N | Width | NumPy | numba | cython |" in lines
    assert "| `relu_forward` | 100 | 100 | 8.00 µs | 4.00 | 8.00 |" in lines
    assert "| `relu_forward` | 1 | 10 | 500 ns | **0.50** | - |" in lines
    assert "| `sgd_update` | 32 | 64 | 1.50 ms | - | **0.75** |" in lines


def test_losses_are_counted(table: ModuleType, report: dict[str, Any]) -> None:
    lines = list(table.loss_lines(table.read_times(report)))
    assert lines[0].startswith("- numba: slower than the reference in 1 of 2 measurements")
    assert lines[0].endswith("in 0.")
    assert lines[1].startswith("- cython: slower than the reference in 1 of 2 measurements")
    assert lines[2] == "  - sgd_update 32 x 64: **0.75**"


def test_summary_has_the_mean_and_the_worst(table: ModuleType, report: dict[str, Any]) -> None:
    rows = list(table.summary_lines(table.read_times(report)))
    mean = (4.0 * 0.5) ** 0.5
    assert (
        f"| `relu_forward` | 8.00 µs | 4.00 | {mean:.2f} | **0.50** | 8.00 | 8.00 | 8.00 |" in rows
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234e-8, "12.3 ns"),
        (9.996e-7, "1.00 µs"),
        (123.4e-6, "123 µs"),
        (4.2e-3, "4.20 ms"),
        (2.5, "2.50 s"),
        (1234.0, "1234 s"),
    ],
)
def test_times_have_three_digits(table: ModuleType, seconds: float, text: str) -> None:
    assert table.format_time(seconds) == text


def test_command_writes_the_page(table: ModuleType, report: dict[str, Any], tmp_path: Path) -> None:
    source, output = tmp_path / "kernels.json", tmp_path / "kernels.md"
    source.write_text(json.dumps(report))
    assert table.main([str(source), "--output", str(output)]) == 0
    assert output.read_text() == table.markdown(report)


@pytest.mark.parametrize("text", ["", "{}", '{"benchmarks": []}', "[1]"])
def test_command_refuses_other_files(
    table: ModuleType, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "kernels.json"
    source.write_text(text)
    assert table.main([str(source)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_command_refuses_a_report_without_the_reference(
    table: ModuleType, report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del report["benchmarks"][0]
    source = tmp_path / "kernels.json"
    source.write_text(json.dumps(report))
    assert table.main([str(source)]) == 2
    assert "lacks relu_forward (100, 100) on numpy" in capsys.readouterr().err
