"""The report for a terminal, in plain lines."""

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap

from fastnn.lab.reports import WIDTH
from fastnn.tables.errors import one_line
from fastnn.tables.outcome import ColumnFact, Outcome

SHOWN_COLUMNS = 40
SHARE_BELOW_1 = 0.005
LABEL = 12


def report(outcome: Outcome) -> str:
    """What came of training, as lines of text that end with a blank one."""
    rows = outcome.rows
    lines = [
        *_entry("data", f"{outcome.source}: {sum(rows.values()):,} rows"),
        *_entry(
            "rows",
            f"{rows['train']:,} train, {rows['validation']:,} validation, {rows['test']:,} test"
            + (f"; {rows['dropped']:,} left out" if rows["dropped"] else ""),
        ),
        *_entry("target", f"{outcome.target}. {outcome.why}"),
    ]
    if outcome.classes:
        shown = ", ".join(outcome.classes[:10])
        more = ", ..." if len(outcome.classes) > 10 else ""
        lines += _entry("classes", f"{len(outcome.classes)}: {shown}{more}")
    settings = outcome.settings
    lines += [
        *_entry("network", f"{settings['network']}; {settings['parameters']} parameters"),
        *_entry(
            "training",
            f"{settings['optimizer']}, rate {settings['learning rate']}, weight decay "
            f"{settings['weight decay']}, batches of {settings['batch size']}; epochs: "
            f"{settings['epochs']}; {outcome.seconds:.1f} s",
        ),
        "",
        *_columns(outcome.columns),
        "",
        *_metrics(outcome),
        "",
    ]
    lines += wrap(outcome.sentence, WIDTH)
    for warning in outcome.warnings:
        lines += _entry("note", warning)
    return "\n".join([*lines, ""])


def _entry(name: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=name.ljust(LABEL), subsequent_indent=" " * LABEL) or [
        name
    ]


def _columns(facts: Sequence[ColumnFact]) -> Iterator[str]:
    shown = facts
    if len(facts) > SHOWN_COLUMNS:
        # What was dropped is what a person must know of.
        dropped = [fact for fact in facts if fact.kind == "dropped"]
        others = [fact for fact in facts if fact.kind != "dropped"]
        shown = [*others[: max(0, SHOWN_COLUMNS - len(dropped))], *dropped][:SHOWN_COLUMNS]
    width = min(30, max(len("column"), *(len(fact.name) for fact in shown)))
    head = f"{'column':{width}}  {'kind':11}  missing  "
    yield head.rstrip()
    for fact in shown:
        missing = f"{100 * fact.missing:.0f} %" if fact.missing >= SHARE_BELOW_1 else ""
        missing = "< 1 %" if not missing and fact.missing else missing
        name = one_line(fact.name)
        name = name if len(name) <= width else f"{name[: width - 3]}..."
        start = f"{name:{width}}  {fact.kind:11}  {missing:>7}  "
        lines = wrap(fact.note, WIDTH, initial_indent=start, subsequent_indent=" " * len(head))
        yield from lines or [start.rstrip()]
    if len(shown) < len(facts):
        yield f"and {len(facts) - len(shown)} more"


def _metrics(outcome: Outcome) -> Iterator[str]:
    names = list(outcome.metrics["test"])
    yield "  ".join([" " * LABEL, *(name.rjust(10) for name in names)])
    for part in ("train", "validation", "test", "baseline"):
        numbers = (outcome.metrics[part][name] for name in names)
        cells = ["-" if math.isnan(number) else f"{number:.4g}" for number in numbers]
        widths = [max(10, len(name)) for name in names]
        cells = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        yield "  ".join([part.ljust(LABEL), *cells])
