"""What came of training on a table, as one HTML file that needs nothing else."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fastnn.files import FilePath, replace_file
from fastnn.history import History
from fastnn.lab.diagnose import diagnose
from fastnn.markup import Markup, markup, table
from fastnn.metrics import better_direction
from fastnn.tables.outcome import Outcome
from fastnn.tables.report.charts import Axis, Chart
from fastnn.tables.report.judged import judged, number, percent, scrolling, shortened
from fastnn.tables.report.style import STYLE
from fastnn.version import __version__

LISTED_COLUMNS = 400
_NOT_CURVES = ("lr", "seconds")

MEANINGS = {
    "accuracy": "Share of the rows that are answered right.",
    "balanced accuracy": "The mean over the classes of the share of their rows that are answered "
    "right: rare classes count as much as frequent ones.",
    "log loss": "How improbable the true classes were held to be, in the mean: 0 is sure and "
    "right; being sure and wrong costs most.",
    "ROC AUC": "How often a row of a class gets a higher probability for it than one of another "
    "class does: 1 is perfect, 0.5 is chance.",
    "R2": "Share of the target's variance that is explained: 1 is perfect, 0 is as good as always "
    "answering the mean.",
    "RMSE": "Root of the mean of the squared errors, in units of the target: large errors count "
    "most.",
    "MAE": "Mean of the errors' sizes, in units of the target.",
}


def write_html(path: FilePath, outcome: Outcome) -> None:
    """Write the report, at once or not at all.

    The same outcome gives the same bytes. The file holds its pictures and its style, and runs no
    script; names and values from the table stand in it as text, whatever they hold.

    Parameters
    ----------
    path : str or os.PathLike
    outcome : Outcome

    Raises
    ------
    TypeError
        `outcome` is none.
    ImportError
        scikit-learn, which computes the curves of classifiers, is not installed; the message names
        the extra.
    ValueError, OSError
        The file cannot be written; an older one is left as it was.
    """
    # A file's name may hold bytes that are no text, which Python keeps as lone surrogates.
    replace_file(path, [html_report(outcome).encode("utf-8", errors="replace")])


def html_report(outcome: Outcome) -> Markup:
    """The report as text; see `write_html`."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"outcome must be an Outcome; got {type(outcome).__name__}")
    sections = {
        "How good it is": _metrics(outcome),
        "Looking at the answers": judged(outcome),
        "How it was learned": _training(outcome.history),
        "What to do next": _advice(outcome.history),
        "Columns": _columns(outcome),
        "Settings": _settings(outcome.settings),
    }
    sections = {title: content for title, content in sections.items() if content}
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in sections)
    bodies = "\n".join(
        f'<section id="{_anchor(title)}">\n<h2>{title}</h2>\n{content}\n</section>'
        for title, content in sections.items()
    )
    title = f"{outcome.target[:200]} from {outcome.source[:200]}"
    return Markup(f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="fastnn {markup(__version__)}">
<title>{markup(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<p class="source">{markup(outcome.source)}</p>
<h1>Predicting <q>{shortened(outcome.target, 120)}</q></h1>
<p class="lead">{markup(outcome.sentence)}</p>
{_tiles(outcome)}
<p class="quiet">{markup(outcome.why)}</p>
</header>
{_warnings(outcome.warnings)}
<nav aria-label="Contents">{links}</nav>
{bodies}
</main>
<footer>Made by fastnn {markup(__version__)}. This file holds all that it shows.</footer>
</body>
</html>
""")


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _tiles(outcome: Outcome) -> Markup:
    """The few numbers that one looks for first."""
    tiles = []
    test, baseline = outcome.metrics.get("test", {}), outcome.metrics.get("baseline", {})
    for name in list(test)[:1]:
        text = percent if name == "accuracy" else number
        beside = f"{text(baseline[name])} without a model" if name in baseline else ""
        tiles.append((f"{name} on test rows", text(test[name]), beside))
    parts = [part for part in ("train", "validation", "test") if part in outcome.rows]
    rows = sum(outcome.rows[part] for part in parts)
    split = " + ".join(f"{outcome.rows[part]:,}" for part in parts)
    tiles.append(("rows", f"{rows:,}", f"{split} for {', '.join(parts)}"))
    used = sum(column.kind != "dropped" for column in outcome.columns)
    left = len(outcome.columns) - used
    tiles.append(("columns used", f"{used:,}", f"{left:,} dropped" if left else "none dropped"))
    epochs = len(outcome.history.epochs)
    tiles.append(
        ("training", f"{outcome.seconds:.3g} s", f"{epochs:,} epoch{'' if epochs == 1 else 's'}")
    )
    return Markup(
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{markup(name)}</dt><dd>{markup(value)}</dd><dd>{markup(beside)}</dd></div>"
            for name, value, beside in tiles
        )
        + "</dl>"
    )


def _warnings(warnings: Sequence[str]) -> Markup:
    if not warnings:
        return Markup("")
    items = "".join(f"<li>{markup(text)}</li>" for text in warnings)
    return Markup(f'<aside class="warnings"><h2>What to doubt</h2><ul>{items}</ul></aside>')


def _metrics(outcome: Outcome) -> Markup:
    """A row for each metric, a column for each part; the test rows are what counts."""
    # A phone shows two columns: those to compare.
    parts = sorted(outcome.metrics, key=lambda part: (part != "test", part != "baseline"))
    names = list(dict.fromkeys(name for part in parts for name in outcome.metrics[part]))
    if not names:
        return Markup("")
    heads = [
        Markup(f"{markup(part)}<small>{outcome.rows[part]:,} rows</small>")
        if part in outcome.rows
        else Markup(f"{markup(part)}<small>test rows, no model</small>")
        for part in parts
    ]
    rows = [
        [name, *(_cell(part, outcome.metrics[part].get(name, math.nan)) for part in parts)]
        for name in names
    ]
    better = [f"{name} {'higher' if _more_is_better(name) else 'lower'}" for name in names]
    known = "".join(
        f"<dt>{markup(name)}</dt><dd>{MEANINGS[name]}</dd>" for name in names if name in MEANINGS
    )
    meanings = (
        f"<details><summary>What these numbers mean</summary><dl>{known}</dl></details>"
        if known
        else ""
    )
    answer = "the most frequent class" if outcome.task == "classification" else "the mean"
    return Markup(
        scrolling(table(["metric", *heads], rows, left=(0,)), "Metrics")
        + f'<p class="quiet">The model has seen none of the test rows. The baseline always '
        f"answers {answer} of the training rows. Better is: {markup(', '.join(better))}.</p>"
        + meanings
    )


def _cell(part: str, value: float) -> Markup:
    text = markup(number(value))
    return Markup(f"<strong>{text}</strong>") if part == "test" else text


def _more_is_better(name: str) -> bool:
    return better_direction(name.lower().replace(" ", "_")) == "max"


# -- training --------------------------------------------------------------------------------------


def _training(history: History) -> Markup:
    """A chart for the loss, and for each metric that was reported."""
    if not history.epochs:
        return Markup("")
    names = [n for n in history if not n.startswith("val_") and n not in _NOT_CURVES]
    charts = "".join(_curve(history, name) for name in names)
    return Markup(f'<div class="charts">{charts}</div>')


def _curve(history: History, name: str) -> Markup:
    curves = {"training": history[name]}
    if f"val_{name}" in history:
        curves["validation"] = history[f"val_{name}"]
    epochs = len(history.epochs)
    ends = " and ".join(f"{number(curve[-1])} in {part}" for part, curve in curves.items())
    word = name.replace("_", " ")
    chart = Chart(
        f"{word} by epoch, from 1 to {epochs}; at the end {ends}",
        Axis("epoch", 1, max(epochs, 2), whole=True),
        # Losses fall by powers of ten; on a linear axis only the first epochs would be seen.
        Axis.around(word, np.concatenate(list(curves.values())), log=name == "loss"),
    )
    kept = kept_epoch(history)
    if kept is not None:
        chart.mark(kept + 1, f"kept: epoch {kept + 1}")
    for series, (part, curve) in enumerate(curves.items()):
        chart.line(np.column_stack([np.arange(1, epochs + 1), curve]), series, part)
    return chart.figure(f"{word[:1].upper()}{word[1:]} by epoch")


def kept_epoch(history: History) -> int | None:
    """The epoch of the lowest validation loss, which early stopping keeps; None without one."""
    if not any(map(math.isfinite, history.get("val_loss", ()))):
        return None
    return history.best("val_loss")[0]


def _advice(history: History) -> Markup:
    """What the curves say, in words, and what can be done."""
    if not history.epochs:
        return Markup("")
    kept = kept_epoch(history)
    report = diagnose(history, kept=kept)
    items = "".join(
        f'<li class="{finding.verdict}"><strong>{markup(_capital(finding.name))}</strong> '
        f"{markup(_capital(finding.words))}."
        + (f"<p>{markup(finding.advice)}</p>" if finding.advice else "")
        + "</li>"
        for finding in report
    )
    words = ""
    if kept is not None and kept + 1 < len(history.epochs):
        words = (
            f"<p>The model is that of epoch {kept + 1}, where the validation loss was lowest: what "
            "came after it did no harm.</p>"
        )
    summary = f"<p>{markup(report.summary)}</p>" if report.summary else ""
    return Markup(
        f'{summary}<ul class="findings">{items}</ul>{words}<p class="quiet">By rules of thumb on '
        "the shape of the curves. Labels that are partly wrong, or columns that do not tell "
        "enough, look like underfitting.</p>"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- what it was made of ---------------------------------------------------------------------------


def _columns(outcome: Outcome) -> Markup:
    shown = outcome.columns[:LISTED_COLUMNS]
    rows: list[list[str]] = [
        [
            shortened(column.name, 120),
            Markup(f'<span class="kind {column.kind}">{markup(column.kind)}</span>'),
            Markup('<span class="quiet">none</span>')
            if not column.missing
            else _gap(column.missing),
            shortened(column.note, 300),
        ]
        for column in shown
    ]
    if len(shown) < len(outcome.columns):
        rows.append([f"and {len(outcome.columns) - len(shown):,} more columns"])
    return scrolling(
        table(
            ["column", "kind", "missing", "what was made of it"],
            rows,
            left=(0, 1, 3),
            caption=f"{len(outcome.columns):,} columns beside the target, in the order of the "
            "table; missing is the share of the training rows",
        ),
        "Columns",
    )


def _gap(share: float) -> Markup:
    text = percent(share) if share >= 0.001 else f"< {percent(0.001)}"
    return Markup(f'<span class="gap" style="--share:{share:.3f}">{markup(text)}</span>')


def _settings(settings: Mapping[str, str]) -> Markup:
    if not settings:
        return Markup("")
    rows = [[name, shortened(str(value), 400)] for name, value in settings.items()]
    return scrolling(table(["setting", "value"], rows, left=(0, 1)), "Settings")
