"""HTML out of text that may hold anything: escaped, and set in tables."""

from collections.abc import Collection, Iterable, Sequence
from html import escape


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


def _row(cells: Sequence[str], marked: bool = False) -> str:
    return f"<tr{' class=marked' if marked else ''}>" + "\n".join(cells) + "</tr>"
