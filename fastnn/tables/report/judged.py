"""The part of a report that looks at the test rows one by one: what was taken for what."""

import math
from collections.abc import Sequence

import numpy as np

from fastnn.errors import missing_extra
from fastnn.lab.judgements import right_and_sure
from fastnn.markup import Markup, markup, table
from fastnn.tables.outcome import Outcome
from fastnn.tables.report.charts import SERIES, Axis, Chart, framed, svg, thinned

# Up to so many classes, a confusion matrix is a table; up to so many, a picture.
MATRIX_CLASSES, PICTURE_CLASSES = 20, 150
LISTED_CLASSES = 100
LISTED_CONFUSIONS = 10
DOTS = 1500
DASH = "\N{EN DASH}"
BINS = 10  # of the calibration curve
SHADES = 8


def number(value: float) -> str:
    """A number in about four digits; NaN, which stands for nothing, as a dash."""
    if math.isnan(value):
        return DASH
    size = abs(value)
    if size != 0 and not 0.01 <= size < 1e9:
        return f"{value:.3g}"
    decimals = 0 if size >= 1000 else 4 - len(str(int(size))) if size >= 1 else 4
    return f"{value:,.{decimals}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, a dash for NaN."""
    return DASH if math.isnan(share) else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def shortened(text: str, most: int = 40) -> Markup:
    """A name for where there is little room; a cut one is whole in its tooltip."""
    if len(text) <= most:
        return markup(text)
    return Markup(f'<span title="{markup(text[:400])}">{markup(text[: most - 1])}…</span>')


def judged(outcome: Outcome) -> Markup:
    """Tables and pictures of the answers on the test rows, by the kind of task."""
    if not len(outcome.y_true):
        return Markup("<p>There are no test rows.</p>")
    if outcome.classes is None:
        return _numbers(outcome.target, np.asarray(outcome.y_true), np.asarray(outcome.y_pred))
    names = [str(name) for name in outcome.classes]
    truth, answers = (np.asarray(a, dtype=np.intp) for a in (outcome.y_true, outcome.y_pred))
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (truth, answers), 1)
    parts = [_matrix(counts, names), _worst(counts, names), _by_class(counts, names)]
    if outcome.proba is not None and np.isfinite(outcome.proba).all():
        parts.append(_curves(np.asarray(outcome.proba, dtype=float), truth, names))
    return Markup("\n".join(part for part in parts if part))


# -- classes ---------------------------------------------------------------------------------------


def _matrix(counts: np.ndarray, names: Sequence[str]) -> Markup:
    """A row for each true class, a column for each answer."""
    if len(names) > PICTURE_CLASSES:
        return Markup("")
    if len(names) > MATRIX_CLASSES:
        return _matrix_picture(counts, names)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    upright = len(names) > 4 and max(map(len, names)) > 4
    heads = "".join(
        f'<th scope="col"><span>{shortened(name, 18 if upright else 24)}</span></th>'
        for name in names
    )
    rows = []
    for own, name in enumerate(names):
        cells = "".join(
            f'<td style="--share:{share:.2f}"{" class=right" if own == other else ""}>{count:,}'
            f"{f'<small>{percent(share, 0)}</small>' if totals[own, 0] else ''}</td>"
            for other, (count, share) in enumerate(zip(counts[own], shares[own], strict=True))
        )
        rows.append(f'<tr><th scope="row">{shortened(name, 24)}</th>{cells}</tr>')
    body = "\n".join(rows)
    intro = Markup("""<h3>Which classes are taken for which</h3>
<p class="quiet">Test rows: true classes in rows, answers in columns; counts, and below them shares
of the true class. Right answers are framed.</p>
""")
    return Markup(
        intro
        + scrolling(
            Markup(f"""<table class="matrix{" upright" if upright else ""}">
<thead><tr><th scope="col">true \\ answer</th>{heads}</tr></thead>
<tbody>{body}</tbody></table>"""),
            "Confusion matrix",
        )
    )


def _matrix_picture(counts: np.ndarray, names: Sequence[str]) -> Markup:
    size = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = np.ceil(SHADES * shares).astype(int)
    parts = [f'<rect class="frame" width="{size}" height="{size}"/>']
    for shade in range(1, SHADES + 1):
        # A path for each shade: many classes have many cells.
        path = "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(shades == shade).tolist())
        if path:
            parts.append(
                f'<path class="cell" opacity="{0.12 + 0.88 * shade / SHADES:.2f}" d="{path}"/>'
            )
    right = counts.trace() / max(counts.sum(), 1)
    alt = f"Confusion matrix of {size} classes; {percent(right)} lie on the diagonal"
    return framed(
        svg(size, size, alt, parts),
        "Which classes are taken for which",
        "Test rows: true classes from top to bottom, answers from left to right, in the order of "
        "the table of classes below; the stronger the colour, the larger the share of the true "
        "class.",
    )


def _worst(counts: np.ndarray, names: Sequence[str]) -> Markup:
    """The most frequent mistakes."""
    if len(names) < 3:
        return Markup("")
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED_CONFUSIONS]
    pairs = [divmod(int(index), len(names)) for index in order if wrong.flat[index]]
    if not pairs:
        return Markup("<p>No test row was mistaken.</p>")
    totals = counts.sum(axis=1)
    return scrolling(
        table(
            ["true class", "taken for", "rows", "of the true class"],
            [
                [
                    shortened(names[own]),
                    shortened(names[other]),
                    f"{counts[own, other]:,}",
                    percent(counts[own, other] / totals[own]),
                ]
                for own, other in pairs
            ],
            left=(0, 1),
            caption="The most frequent mistakes on the test rows",
        ),
        "Most frequent mistakes",
    )


def _by_class(counts: np.ndarray, names: Sequence[str]) -> Markup:
    """How well each class is found; of very many, those found worst."""
    totals, answered, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    with np.errstate(invalid="ignore"):
        recall, precision = right / totals, right / answered
    shown = np.arange(len(names))
    caption = "Test rows by class. Found: share of the class's rows that are answered with it. "
    caption += "Right when answered: share of these answers that are right."
    if len(names) > LISTED_CLASSES:
        worst = np.argsort(np.nan_to_num(recall, nan=2.0), kind="stable")
        shown = np.sort(worst[:LISTED_CLASSES])
        caption += f" The {LISTED_CLASSES} of {len(names)} classes that are found worst."
    rows = [
        [
            shortened(names[own], 60),
            f"{totals[own]:,}",
            percent(recall[own]),
            percent(precision[own]),
        ]
        for own in shown.tolist()
    ]
    content = scrolling(
        table(["class", "rows", "found", "right when answered"], rows, left=(0,), caption=caption),
        "Class by class",
    )
    if len(names) <= MATRIX_CLASSES:
        return content
    return Markup(f"<details><summary>Class by class</summary>{content}</details>")


def _curves(proba: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Markup:
    """ROC, of few classes, and calibration."""
    parts = [_roc(proba, truth, names), _calibration(proba, truth, names)]
    return Markup(f'<div class="charts">{"".join(parts)}</div>')


def _roc(proba: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Markup:
    try:
        from sklearn.metrics import auc, roc_curve
    except ImportError as error:
        raise missing_extra("scikit-learn", "table") from error
    present = np.unique(truth)
    drawn = [1] if len(names) == 2 else present.tolist()
    if len(present) < 2 or len(drawn) > SERIES:
        return Markup("")
    curves = [(own, *roc_curve(truth == own, proba[:, own])[:2]) for own in drawn]
    areas = {own: float(auc(false, true)) for own, false, true in curves}
    told = ", ".join(f"{names[own]} {area:.3f}" for own, area in areas.items())
    chart = Chart(
        f"ROC curve; area under it: {told}",
        Axis("false alarms, of all other rows", 0, 1),
        Axis("found, of the class's rows", 0, 1),
        square=True,
    )
    chart.reference([(0, 0), (1, 1)], "chance")
    for series, (own, false, true) in enumerate(curves):
        label = f"{names[own][:60]}: area {areas[own]:.3f}"
        chart.line(np.column_stack([false, true]), series, label)
    return chart.figure(
        "Found against false alarms (ROC)",
        "At every threshold on the probability. The closer to the upper left corner, the better; "
        "an area of 1 is perfect, 0.5 is chance."
        + ("" if len(names) == 2 else " Each class against all others."),
    )


def _calibration(proba: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Markup:
    try:
        from sklearn.calibration import calibration_curve
    except ImportError as error:
        raise missing_extra("scikit-learn", "table") from error
    right, sure = right_and_sure(proba, truth)
    shares, means = calibration_curve(right, sure, n_bins=BINS, strategy="quantile", pos_label=1)
    if len(names) == 2:
        labels = ("predicted probability", "share in truth")
        caption = f"Of rows with this probability of “{names[1][:60]}”, so many are of that class. "
    else:
        labels = ("probability of the answer", "share of right answers")
        caption = "Of answers that are so sure, so many are right. "
    off = float(np.abs(shares - means).mean())
    chart = Chart(
        f"Calibration curve of {len(shares)} points; {off:.3f} off the diagonal in the mean",
        Axis(labels[0], 0, 1),
        Axis(labels[1], 0, 1),
        square=True,
    )
    chart.reference([(0, 0), (1, 1)], "as sure as right")
    chart.line(np.column_stack([means, shares]), 0, "model", dots=True)
    return chart.figure(
        "Can the probabilities be believed?",
        f"{caption}Each point stands for as many rows; they lie {off:.3f} off the diagonal in the "
        "mean.",
    )


# -- numbers ---------------------------------------------------------------------------------------


def _numbers(target: str, truth: np.ndarray, predicted: np.ndarray) -> Markup:
    truth, predicted = truth.astype(float).ravel(), predicted.astype(float).ravel()
    sound = np.isfinite(truth) & np.isfinite(predicted)
    truth, predicted = truth[sound], predicted[sound]
    if not len(truth):
        return Markup("<p>No test row has a finite prediction.</p>")
    pictures = _scatter(target, truth, predicted) + _residuals(predicted - truth)
    lost = int(np.count_nonzero(~sound))
    words = f"<p>{lost:,} rows without a finite prediction are left out.</p>" if lost else ""
    return Markup(f'{words}<div class="charts">{pictures}</div>')


def _scatter(target: str, truth: np.ndarray, predicted: np.ndarray) -> Markup:
    both = np.concatenate([truth, predicted])
    x = Axis.around(f"{target[:40]}, true", both)
    y = Axis.around("predicted", both)
    cloud = thinned(np.column_stack([truth, predicted]), DOTS)
    chart = Chart(
        f"Predicted against true values of {len(truth):,} test rows, from {number(truth.min())} to "
        f"{number(truth.max())}",
        x,
        y,
        square=True,
    )
    chart.dots(cloud, "test rows")
    chart.reference([(x.low, x.low), (x.high, x.high)], "predicted = true")
    some = f" {len(cloud):,} of {len(truth):,} rows are drawn." if len(cloud) < len(truth) else ""
    return chart.figure(
        "Predicted against true", f"On the line, a prediction is exact; above, too high.{some}"
    )


def _residuals(errors: np.ndarray) -> Markup:
    low, middle, high = np.quantile(errors, [0.05, 0.5, 0.95])
    # A single error far out would press all others into one bar.
    reach = max(high - low, 1e-6 * float(np.abs(errors).max()), 1e-12)
    ends = max(errors.min(), low - 2 * reach), min(errors.max(), high + 2 * reach)
    if ends[1] - ends[0] < reach:
        ends = middle - reach, middle + reach
    # Rice's rule: D. Lane, "Online Statistics Education", chapter "Histograms".
    bins = min(max(round(2 * len(errors) ** (1 / 3)), 8), 40)
    heights, edges = np.histogram(errors, bins=bins, range=ends)
    beyond = len(errors) - int(heights.sum())
    chart = Chart(
        f"Histogram of the errors of {len(errors):,} test rows: half lie below {number(middle)}, "
        f"nine of ten between {number(low)} and {number(high)}",
        Axis("error: predicted less true", float(edges[0]), float(edges[-1])),
        Axis("rows", 0, 1.05 * float(heights.max()), whole=True),
        square=True,
    )
    chart.bars(edges, heights)
    lost = "" if not beyond else " 1 lies" if beyond == 1 else f" {beyond:,} lie"
    if edges[0] < 0 < edges[-1]:
        chart.mark(0.0, "no error")
    return chart.figure(
        "How far off (residuals)",
        f"Nine of ten errors lie between {number(low)} and {number(high)}; half are below "
        f"{number(middle)}.{f'{lost} beyond the picture.' if lost else ''}",
    )


def scrolling(content: Markup, label: str) -> Markup:
    """A table that scrolls by itself where the page is too narrow."""
    reached = f'tabindex="0" role="region" aria-label="{markup(label)}"'
    return Markup(f'<div class="scroll" {reached}>{content}</div>')
