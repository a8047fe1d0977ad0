"""A page of what the experiments found: one HTML file beside their pictures."""

from dataclasses import dataclass
from html import escape

from fastnn.lab.experiments.base import Options, Result, table_text
from fastnn.version import __version__

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
nav a { margin-right: .8em; white-space: nowrap; }
section { margin: 3.5rem 0; }
h2 { margin-bottom: 0; }
h2 a, nav a { color: #0072b2; text-decoration: none; }
.what { color: #555; margin-top: .2rem; }
.found { border-left: 4px solid #009e73; padding-left: 1em; }
img { width: 100%; height: auto; }
pre { overflow-x: auto; font-size: .85em; background: #f6f6f6; padding: .8em; }
footer, summary { color: #555; }
"""


@dataclass(frozen=True)
class Exhibit:
    """An experiment that has been run; its picture and its numbers lie beside the page."""

    name: str
    summary: str
    result: Result
    seconds: float


def gallery_page(exhibits: list[Exhibit], options: Options) -> str:
    """The page; it links to ``<name>.png`` and ``<name>.csv`` in its own folder, and nowhere else.

    Parameters
    ----------
    exhibits : list of Exhibit
    options : Options
        With which they were run.

    Returns
    -------
    str
        HTML.
    """
    links = "\n".join(f'<a href="#{e.name}">{escape(e.name)}</a>' for e in exhibits)
    seconds = sum(exhibit.seconds for exhibit in exhibits)
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastnn: experiments</title>
<style>{STYLE}</style>
<h1>What networks do when they train</h1>
<p>{len(exhibits)} experiments of fastnn on {escape(options.title)}, seed {options.seed}.</p>
<nav>
{links}
</nav>
{"".join(_section(exhibit) for exhibit in exhibits)}
<footer>fastnn {escape(__version__)}, <code>fastnn experiment all</code>; {seconds:.0f} seconds in
all.</footer>
</html>
"""


def _section(exhibit: Exhibit) -> str:
    name, result = escape(exhibit.name), exhibit.result
    return f"""
<section id="{name}">
<h2><a href="#{name}">{name}</a></h2>
<p class="what">{escape(exhibit.summary)}</p>
<p class="found">{escape(result.sentence)}</p>
<a href="{name}.png"><img src="{name}.png" alt="{escape(exhibit.summary, quote=True)}"
 loading="lazy"></a>
<details><summary>The numbers (<a href="{name}.csv">{name}.csv</a>; {exhibit.seconds:.1f} s)
</summary><pre>{escape(table_text(result.table))}</pre></details>
</section>
"""
