"""The results of ``bench/compare.py`` as a table, and as a picture."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

Results = dict[str, Any]

# What the summary sets beside ours: heading -> beginning of the contenders' names
RIVALS = {
    "PyTorch eager": "PyTorch eager",
    "torch.compile": "torch.compile",
    "JAX scan": "JAX scan",
    "scikit-learn": "scikit-learn",
    "Keras": "Keras",
    "ONNX Runtime": "ONNX Runtime",
    "NumPy": "NumPy textbook",
}


def add_figures(workload: Results) -> None:
    """Minimum, median, and ratios to the floor and to the best of ours, from the samples.

    The floor of a contender is that of one thread divided by the threads it uses.
    """
    entries = workload["contenders"]
    floor = workload.get("floor")
    if floor:
        floor |= {"min": min(floor["us"]), "median": median(floor["us"])}
    for entry in entries.values():
        if "us" in entry:
            entry |= {"min": min(entry["us"]), "median": median(entry["us"])}
    ours = best(workload, "fastnn native") or best(workload, "fastnn")
    for entry in entries.values():
        if "us" not in entry:
            continue
        if floor and floor["min"] > 0:  # less than a call costs, it drowns in the noise
            entry["over_floor"] = entry["min"] * entry["threads"] / floor["min"]
        if ours:
            entry["over_fastnn"] = entry["min"] / ours["min"]


def best(workload: Results, beginning: str) -> Results | None:
    """The fastest of the contenders whose names begin so."""
    found = [
        entry
        for name, entry in workload["contenders"].items()
        if name.startswith(beginning) and "us" in entry
    ]
    return min(found, key=lambda entry: entry["min"], default=None)


def format_us(us: float) -> str:
    """Three significant digits; microseconds below 10 ms, then milliseconds and seconds."""
    value, unit = us, "us"
    for larger in ("ms", "s"):
        if value < 9995:
            break
        value, unit = value / 1000, larger
    if value >= 99.95:
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}" if value >= 9.995 else f"{value:.2f} {unit}"


def format_ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:.0f}"


def align(rows: list[list[str]]) -> list[str]:
    """Rows of cells as a Markdown table; the first is the heading, the first column is text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Iterable[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    return [line(rows[0]), line(rule), *map(line, rows[1:])]


def workload_lines(name: str, workload: Results) -> Iterator[str]:
    """The table of one workload, the fastest first, and who failed."""
    yield f"## {name}"
    yield ""
    yield workload["description"]
    yield ""
    rows = [["", "threads", "min", "median", "x floor", "x fastnn"]]
    timed = {n: e for n, e in workload["contenders"].items() if "us" in e}
    for contender, entry in sorted(timed.items(), key=lambda item: item[1]["min"]):
        rows.append(
            [
                contender,
                str(entry["threads"]),
                format_us(entry["min"]),
                format_us(entry["median"]),
                format_ratio(entry.get("over_floor")),
                format_ratio(entry.get("over_fastnn")),
            ]
        )
    if floor := workload.get("floor"):
        times = [format_us(floor["min"]), format_us(floor["median"])]
        rows.append(["floor: matrix products alone", "1", *times, format_ratio(1.0), "-"])
    yield from align(rows)
    yield ""
    for contender, entry in workload["contenders"].items():
        if "failed" in entry:
            yield f"- {contender}: not timed: {entry['failed']}"
        if "epochs" in entry:
            epochs = ", ".join(map(str, entry["epochs"]))
            yield f"- {contender}: epochs taken: {epochs}"
    yield ""


def summary_lines(results: Results) -> Iterator[str]:
    """One row for each workload: the best of ours, and how many times longer the others take."""
    workloads = results["workloads"]
    shown = {
        heading: beginning
        for heading, beginning in RIVALS.items()
        if any(best(workload, beginning) for workload in workloads.values())
    }
    rows = [["workload", "fastnn", "x floor", *shown]]
    for name, workload in workloads.items():
        ours = best(workload, "fastnn native") or best(workload, "fastnn")
        cells = [name, format_us(ours["min"]) if ours else "-"]
        cells.append(format_ratio(ours.get("over_floor") if ours else None))
        for beginning in shown.values():
            rival = best(workload, beginning)
            cells.append(format_ratio(rival.get("over_fastnn") if rival else None))
        rows.append(cells)
    yield "The fastest of fastnn, and how many times as long the best of each peer takes."
    yield ""
    yield from align(rows)
    yield ""
    yield from throughput_lines(workloads)


def throughput_lines(workloads: Results) -> Iterator[str]:
    """What training many networks in Python threads brings over one after the other."""
    if not {"policies-in-turn", "policies-at-once"} <= workloads.keys():
        return
    in_turn = workloads["policies-in-turn"]["contenders"]
    for name, entry in workloads["policies-at-once"]["contenders"].items():
        before = in_turn.get(name, {})
        if "us" in entry and "us" in before:
            ratio = format_ratio(before["min"] / entry["min"])
            yield f"- Many networks at once, {name}: {ratio} times the throughput of in turn."
    yield ""


def machine_lines(results: Results) -> Iterator[str]:
    """When, on what and with what the figures were measured."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield f"- {results['date']}, float32, {results['rounds']} rounds; times are for a step."
    yield f"- {machine['processor']}, {machine['cores']} cores, {machine['platform']}."
    yield f"- {versions}."
    yield f"- Instruction set of fastnn's kernels: {machine['instruction_set'] or 'not built'}."


def summary(results: Results) -> str:
    """The summary by itself, with what its rows are."""
    descriptions = (f"- {name}: {w['description']}" for name, w in results["workloads"].items())
    lines = [*summary_lines(results), *descriptions, "", *machine_lines(results), ""]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """The whole page."""
    lines = [
        "# fastnn and its peers",
        "",
        *machine_lines(results),
        "- Load average before and after: "
        + ", ".join(f"{load:.1f}" for load in results["load"])
        + ".",
        *(f"- Left out: {line}." for line in results["left_out"]),
        "",
        "## Summary",
        "",
        *summary_lines(results),
    ]
    for name, workload in results["workloads"].items():
        lines += workload_lines(name, workload)
    return "\n".join(lines)


def draw(results: Results, path: Path) -> None:
    """Write a picture of the ratios to the best of ours, on a logarithmic axis."""
    from matplotlib.figure import Figure

    names = list(results["workloads"])
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(names)), layout="constrained")
    axes = figure.subplots()
    markers = "osD^vP*"
    for (heading, beginning), marker in zip(RIVALS.items(), markers, strict=True):
        points = []
        for place, name in enumerate(names):
            rival = best(results["workloads"][name], beginning)
            if rival and "over_fastnn" in rival:
                points.append((rival["over_fastnn"], place))
        if points:
            ratios, places = zip(*points, strict=True)
            axes.plot(ratios, places, marker, label=heading, markersize=7, alpha=0.85)
    floors = [
        (workload["floor"]["min"] / ours["threads"] / ours["min"], place)
        for place, workload in enumerate(results["workloads"].values())
        if workload.get("floor")
        and workload["floor"]["min"] > 0
        and (ours := best(workload, "fastnn native") or best(workload, "fastnn"))
    ]
    if floors:
        ratios, places = zip(*floors, strict=True)
        axes.plot(ratios, places, "|", color="black", markersize=12, label="floor")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("time / time of fastnn (1; further right is slower)")
    axes.grid(axis="x", which="both", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4, frameon=False)
    figure.savefig(path, dpi=150)


def finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))
