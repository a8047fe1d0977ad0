"""Write the kernel benchmarks as Markdown: how much faster each backend is than NumPy.

    python bench/table.py kernels.json [--output kernels.md]

Reads the JSON of ``pytest bench/test_kernels.py --benchmark-json=kernels.json``. A speed-up is the
ratio of the shortest times; below 1, the backend is slower than the reference, and in bold.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

REFERENCE = "numpy"
# Between two runs of the same code on a busy machine the shortest times differ by about so much.
NOISE = 0.95

Size = tuple[int, int]
Times = dict[str, dict[Size, dict[str, float]]]  # kernel -> size -> backend -> seconds


def read_times(report: dict[str, Any]) -> Times:
    """The shortest time of every kernel, size and backend.

    Raises
    ------
    ValueError
        The report holds no kernel benchmark, or one of them without its reference.
    """
    times: Times = {}
    for benchmark in report["benchmarks"]:
        info = benchmark["extra_info"]
        if "kernel" in info and "rows" in info:
            sizes = times.setdefault(info["kernel"], {})
            backends = sizes.setdefault((info["rows"], info["cols"]), {})
            backends[info["backend"]] = benchmark["stats"]["min"]
    if not times:
        raise ValueError("the report holds no kernel benchmarks: run pytest bench/test_kernels.py")
    for kernel, sizes in times.items():
        for size, backends in sizes.items():
            if REFERENCE not in backends:
                raise ValueError(f"the report lacks {kernel} {size} on {REFERENCE}")
    return times


def compiled_backends(times: Times) -> list[str]:
    """The backends to be compared with the reference."""
    found = {b for sizes in times.values() for backends in sizes.values() for b in backends}
    return sorted(found - {REFERENCE}, reverse=True)


def speed_ups(times: Times, kernel: str, backend: str) -> dict[Size, float]:
    """Speed-up of a kernel at each size at which it was timed on the backend."""
    return {
        size: backends[REFERENCE] / backends[backend]
        for size, backends in times[kernel].items()
        if backend in backends
    }


def geometric_mean(ratios: Iterable[float]) -> float:
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logs) / len(logs))


def format_time(seconds: float) -> str:
    """Three significant digits in the unit that fits, of ns, µs, ms and s."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = seconds / scale
        if value < 999.5 or unit == "s":
            break
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{min(digits, 2)}f} {unit}"


def format_ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"
    return f"**{text}**" if ratio < 1 else text


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _header(cells: list[str]) -> list[str]:
    return [_row(cells), _row(["---"] + ["---:"] * (len(cells) - 1))]


def machine_lines(report: dict[str, Any]) -> Iterator[str]:
    """Where and with what the figures were measured."""
    machine = report["machine_info"]
    cpu = machine.get("cpu", {})
    ours = machine.get("fastnn", {})
    versions = ", ".join(f"{name} {v}" for name, v in ours.get("versions", {}).items())
    yield f"- Measured {report['datetime'][:10]}, float32, one thread, shortest times."
    name = cpu.get("brand_raw", machine.get("machine", "unknown"))
    yield f"- Processor: {name}, {cpu.get('count', '?')} cores; {machine.get('system', '')}."
    yield f"- Versions: {versions}."
    if ours.get("instruction_set"):
        yield f"- Instruction set of the Cython kernels: {ours['instruction_set']}."
    for blas in ours.get("blas", []):
        yield f"- BLAS: {blas}."


def loss_lines(times: Times) -> Iterator[str]:
    """How often each backend is slower than the reference, and where it matters."""
    for backend in compiled_backends(times):
        ratios = {
            (kernel, size): ratio
            for kernel in times
            for size, ratio in speed_ups(times, kernel, backend).items()
        }
        losses = [ratio for ratio in ratios.values() if ratio < 1]
        heavy = {key: r for key, r in ratios.items() if r < NOISE and key[1][0] >= 32}
        yield (
            f"- {backend}: slower than the reference in {len(losses)} of {len(ratios)} "
            f"measurements; from N = 32 up and by more than {1 - NOISE:.0%}, in {len(heavy)}."
        )
        for (kernel, (rows, cols)), ratio in sorted(heavy.items(), key=lambda item: item[1]):
            yield f"  - {kernel} {rows} x {cols}: {format_ratio(ratio)}"


def summary_lines(times: Times) -> Iterator[str]:
    """One row for each kernel: N = 100 and width 100, and the mean over all sizes."""
    backends = compiled_backends(times)
    yield from _header(
        ["Kernel", "NumPy, 100 x 100"]
        + [f"{backend}, {what}" for backend in backends for what in ("100 x 100", "mean", "least")]
    )
    for kernel, sizes in times.items():
        at = sizes.get((100, 100))
        cells = [f"`{kernel}`", format_time(at[REFERENCE]) if at else "-"]
        for backend in backends:
            ratios = speed_ups(times, kernel, backend)
            if not ratios:
                cells += ["-"] * 3
                continue
            cells.append(format_ratio(ratios.get((100, 100))))
            cells.append(format_ratio(geometric_mean(ratios.values())))
            cells.append(format_ratio(min(ratios.values())))
        yield _row(cells)


def detail_lines(times: Times) -> Iterator[str]:
    """One row for each kernel and size."""
    backends = compiled_backends(times)
    yield from _header(["Kernel", "N", "Width", "NumPy", *backends])
    for kernel, sizes in times.items():
        for (rows, cols), measured in sizes.items():
            ratios = [speed_ups(times, kernel, backend).get((rows, cols)) for backend in backends]
            cells = [f"`{kernel}`", str(rows), str(cols), format_time(measured[REFERENCE])]
            yield _row(cells + [format_ratio(ratio) for ratio in ratios])


def markdown(report: dict[str, Any]) -> str:
    """The whole page."""
    times = read_times(report)
    lines = [
        "# Kernels against NumPy",
        "",
        "Speed-up over the NumPy reference at the same task. Below 1, in bold, is slower.",
        "",
        *machine_lines(report),
        *loss_lines(times),
        "",
        "## Summary",
        "",
        "The mean is the geometric mean over all sizes; the least is the worst size.",
        "",
        *summary_lines(times),
        "",
        "## Every size",
        "",
        *detail_lines(times),
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the kernel benchmarks as Markdown.")
    parser.add_argument("report", type=Path, help="JSON written by --benchmark-json")
    parser.add_argument("--output", type=Path, help="file to write; standard output if left out")
    options = parser.parse_args(arguments)
    try:
        page = markdown(json.loads(options.report.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot read {options.report}: {error}", file=sys.stderr)
        return 2
    if options.output is None:
        print(page)
    else:
        options.output.write_text(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
