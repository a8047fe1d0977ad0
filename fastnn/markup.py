"""HTML out of text that may hold anything: escaped, and set in tables."""

from collections.abc import Collection, Iterable, Sequence
from html import escape

# For notebooks, which have colours and fonts of their own: light or dark, this takes what is there.
_NOTEBOOK = """<style>
.fnn-out { overflow-x: auto; }
.fnn-out table.fnn { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0; }
.fnn-out .fnn th, .fnn-out .fnn td { padding: .15em .75em; white-space: nowrap; }
.fnn-out .fnn caption { text-align: left; white-space: nowrap; caption-side: top; color: inherit; }
.fnn-out > div, .fnn-out .fnn caption { padding: .2em .75em; }
.fnn-out .fnn tr.marked > * { font-weight: bold; box-shadow: inset 0 1px, inset 0 -1px; }
.fnn-out .fnn tr:not(.marked) > th[scope=row] { font-weight: normal; }
.fnn-out progress { width: 12em; vertical-align: middle; margin: 0 .6em; }
</style>"""


class Markup(str):
    """HTML; every other string is text, and is escaped where it is set."""

    __slots__ = ()


def markup(value: object) -> Markup:
    """What may stand in a page or within quotes of an attribute.

    Examples
    --------
    >>> print(markup('<b> & "c"'))
    &lt;b&gt; &amp; &quot;c&quot;
    >>> print(markup(Markup("<b>bold</b>")))
    <b>bold</b>
    """
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Collection[int] = (),
    marked: Collection[int] = (),
    caption: str = "",
) -> Markup:
    """A table whose first column heads its rows.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Text, or `Markup`. A row of a single cell goes across all columns: what is left out.
    left : collection of int
        Columns of words; all others hold numbers, and end at the right.
    marked : collection of int
        Rows to stand out.
    caption : str
        What the table shows.

    Returns
    -------
    Markup

    Examples
    --------
    >>> print(table(["part", "rows"], [["<test>", "12"]]))
    <table class="fnn"><thead>
    <tr><th scope="col" style="text-align:right">part</th>
    <th scope="col" style="text-align:right">rows</th></tr>
    </thead><tbody>
    <tr><th scope="row" style="text-align:right">&lt;test&gt;</th>
    <td style="text-align:right">12</td></tr>
    </tbody></table>
    """
    # In the tags, for viewers of notebooks drop style sheets.
    styles = [f'style="text-align:{"left" if i in left else "right"}"' for i in range(len(header))]
    heads = [
        f'<th scope="col" {style}>{markup(name)}</th>'
        for name, style in zip(header, styles, strict=True)
    ]
    words = f"<caption>{markup(caption)}</caption>" if caption else ""
    lines = [f'<table class="fnn">{words}<thead>', _row(heads), "</thead><tbody>"]
    for number, row in enumerate(rows):
        if len(row) == 1 < len(header):
            across = f'colspan="{len(header)}" style="text-align:center"'
            lines.append(_row([f"<td {across}>{markup(row[0])}</td>"]))
            continue
        first, *others = (markup(cell) for cell in row)
        cells = [f'<th scope="row" {styles[0]}>{first}</th>']
        cells += [f"<td {s}>{cell}</td>" for cell, s in zip(others, styles[1:], strict=True)]
        lines.append(_row(cells, marked=number in marked))
    return Markup("\n".join([*lines, "</tbody></table>"]))


def in_notebook(*parts: str) -> Markup:
    """What a notebook shows: parts one below the other, with the style of tables."""
    return Markup(f'<div class="fnn-out">{_NOTEBOOK}{"".join(map(markup, parts))}</div>')


def some(count: int, marked: int | None = None, first: int = 3, last: int = 8) -> list[int | range]:
    """Which of many rows to show: the first ones, the last ones, and one between them.

    Returns
    -------
    list of int or range
        Numbers of rows; a range is what is left out, at least two.

    Examples
    --------
    >>> some(6, first=1, last=2)
    [0, range(1, 4), 4, 5]
    >>> some(100, 40, first=1, last=2)
    [0, range(1, 40), 40, range(41, 98), 98, 99]
    """
    shown = {*range(min(first, count)), *range(max(count - last, 0), count)}
    if marked is not None:
        shown.add(marked)
    rows: list[int | range] = []
    before = -1
    for row in sorted(shown):
        left_out = range(before + 1, row)
        rows += [left_out] if len(left_out) > 1 else left_out
        rows.append(row)
        before = row
    return rows


def left_out(rows: range) -> str:
    """What stands in a table for rows that `some` leaves out."""
    return f"... {len(rows)} more ..."


def _row(cells: Sequence[str], marked: bool = False) -> str:
    return f"<tr{' class=marked' if marked else ''}>" + "\n".join(cells) + "</tr>"
