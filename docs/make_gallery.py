"""Run fastnn's experiments, and write the pages of the gallery: ``make gallery``.

    FASTNN_DATA=/data python docs/make_gallery.py           all, on MNIST: some minutes
    python docs/make_gallery.py dropout batchnorm --dataset digits

Each gets a picture and a page in ``docs/gallery``, which are kept in the repository, so
that the site can be built without training anything; the page of all of them is written
anew.
"""

import argparse
import inspect
import io
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import fastnn
from fastnn.lab.experiments import NAMES, Options, Result, experiment
from fastnn.lab.experiments.base import table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 100_000  # bytes, of a picture
GALLERY = Path(__file__).parent / "gallery"

INTRODUCTION = """\
    # Gallery

    What courses on training networks teach, shown on data. Each experiment measures it,
    draws it, and says what came out in a sentence made from its numbers, also where
    that is not what was expected.

    ```console
    $ fastnn experiment list
    ```

    names them; `fastnn experiment dropout` runs one; `fastnn experiment all` runs all,
    and makes a page of its own. The pages here were made by `make gallery`, on MNIST.
    """


def picture(figure: "Figure") -> bytes:
    """As WebP, as fine as the repository has room for: noise takes much of it."""
    for dpi, quality in ((150, 85), (120, 75), (100, 60), (85, 45), (70, 30)):
        stream = io.BytesIO()
        figure.savefig(
            stream, format="webp", dpi=dpi, pil_kwargs={"quality": quality, "method": 6}
        )
        if stream.tell() <= ROOM:
            break
    return stream.getvalue()


def page(name: str, options: Options, result: Result) -> str:
    """The page of an experiment, in Markdown."""
    first, _, about = (inspect.getdoc(experiment(name)) or "").partition("\n")
    title, _, shows = first.partition(": ")
    return f"""# {title}

{shows[0].upper()}{shows[1:]}

![{experiment(name).SUMMARY}]({name}.webp)

:::{{admonition}} What came out
:class: tip

{result.sentence}
:::

{about.strip()}

```text
{table_text(result.table)}
```

`fastnn experiment {name}` made the picture and the numbers:
fastnn {fastnn.__version__} on {options.title}, seed {options.seed}.
"""


def cards() -> str:
    """A small picture of each experiment, which leads to its page."""
    return "".join(
        f"""
:::{{grid-item-card}} {name}
:link: {name}
:link-type: doc
:img-top: {name}.webp

{experiment(name).SUMMARY}
:::
"""
        for name in NAMES
    )


def index() -> str:
    """The page of all experiments."""
    names = "\n".join(NAMES)
    return f"""{dedent(INTRODUCTION)}
::::{{grid}} 1 2 2 3
:gutter: 3
{cards()}
::::

```{{toctree}}
:hidden:

{names}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the pages of the gallery.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="default: all experiments"
    )
    parser.add_argument("--dataset", default="mnist")
    arguments = parser.parse_args()
    options = Options(dataset=arguments.dataset, out=GALLERY)
    for name in arguments.names or NAMES:
        print(name, flush=True)
        result = experiment(name).run(options, lambda done, total, text: None)
        (GALLERY / f"{name}.webp").write_bytes(picture(result.figure))
        text = page(name, options, result)
        (GALLERY / f"{name}.md").write_text(text, encoding="utf-8")
    (GALLERY / "index.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
