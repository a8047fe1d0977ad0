"""How ``make docs`` builds the site; nothing is fetched while it does."""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpydoc.xref
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))

import fastnn
from fastnn import cli
from public_names import public_names

project = "fastnn"
author = "The fastnn developers"
copyright = author
release = version = fastnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["performance/*"]  # parts of a page
templates_path = ["_templates"]

# -- pages in Markdown -----------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- the reference ---------------------------------------------------------------------

default_role = "py:obj"
add_module_names = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
autosummary_imported_members = True
autodoc_typehints = "none"  # docstrings say the types, and the shapes with them
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for the aliases
numpydoc.xref.DEFAULT_LINKS.clear()  # to Python's pages and NumPy's: not read here

PUBLIC = public_names()
THINGS = {name: eval(name, {"fastnn": fastnn}) for name in set(PUBLIC.values())}
# Whatever docstrings call a thing, wherever they stand -> its name in the reference.
NAMES = PUBLIC | {
    f"{thing.__module__}.{thing.__qualname__}": name
    for name, thing in THINGS.items()
    if hasattr(thing, "__qualname__")
}
# What Python keeps no docstring for.
SAID_HERE = {
    "fastnn.__version__": "The version, as a text.",
    "fastnn.lab.experiments.NAMES": "The experiments, in the order of the gallery.",
    "fastnn.lab.experiments.OUT": "Where their files go, if nobody says.",
    "fastnn.lab.plots.COLOURS": "Colours for curves, told apart by the colour-blind.",
    "fastnn.layers.ACTIVATIONS": "The activations that `mlp` takes: name to class.",
    "fastnn.layers.LAYERS": "The layers that a model's file may hold: kind to class.",
}
CLASSES = {name for name, thing in THINGS.items() if isinstance(thing, type)}
# Those with the shortest names come last, and win.
numpydoc_xref_aliases = {
    name.rpartition(".")[2]: name
    for name in sorted(CLASSES, key=lambda name: name.count("."), reverse=True)
}
autosummary_context = {
    "class_names": sorted({name.rpartition(".")[2] for name in CLASSES}),
    "base_of": {
        name: base
        for name in CLASSES
        for parent in THINGS[name].__mro__[:0:-1]
        if (base := NAMES.get(f"{parent.__module__}.{parent.__qualname__}"))
    },
}

nitpick_ignore_regex = [
    # Other libraries' pages are not read while the site builds.
    (r"py:obj", r"(numpy|scipy|sklearn|matplotlib|joblib|pandas|torch|keras)\..*"),
    # A docstring's single backticks also name its own parameters and columns.
    (r"py:obj", r"[a-z][a-z_0-9]*"),
]


def link_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Element | None:
    """Find what a docstring names as its module, or as users, do: ``Trainer.fit``."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    owner, _, member = target.rpartition(".")
    for start, end in ((target, ""), (owner, f".{member}")):
        if name := NAMES.get(start) or NAMES.get(f"fastnn.{start}"):
            python = env.domains.python_domain
            where = node["refdoc"]
            return python.resolve_xref(
                env, where, app.builder, "obj", name + end, node, text
            )
    return None


def say_what_data_is(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """In place of what Python says, which is what a tuple is."""
    if what == "data":
        lines[:] = [SAID_HERE[name]]


def escape_stars(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """The star of a shape, ``x : array_like, (N, *shape)``, begins no emphasis."""
    lines[:] = [re.sub(r"^( *\w+ : .*, )\*(?=\w)", r"\1\\*", line) for line in lines]


def skip_foreign(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what a class has from other libraries' classes."""
    module = getattr(getattr(thing, "fget", thing), "__module__", None) or "fastnn"
    return None if module.startswith("fastnn") else True


def printed_help(*command: str) -> str:
    """What ``fastnn COMMAND --help`` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        cli.main([*command, "--help"])
    return text.getvalue()


class Commands(SphinxDirective):
    """A section for each command, with its help."""

    def run(self) -> list[nodes.Node]:
        names = re.findall(
            r"^ {4}(\w+)", printed_help().partition("commands:")[2], re.MULTILINE
        )
        return [self.section(name) for name in names]

    def section(self, name: str) -> nodes.section:
        text = printed_help(name)
        help_ = nodes.literal_block(text, text, language="text")
        return nodes.section(
            "", nodes.title("", f"fastnn {name}"), help_, ids=[f"fastnn-{name}"]
        )


os.environ |= {"COLUMNS": "88", "NO_COLOR": "1"}  # of what argparse writes


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("commands", Commands)
    app.connect("missing-reference", link_name)
    for change in (say_what_data_is, escape_stars):  # before numpydoc does anything
        app.connect("autodoc-process-docstring", change, priority=100)
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# -- how it looks ----------------------------------------------------------------------

smartquotes = False  # what stands in quotes is often to be typed
html_theme = "furo"
html_title = "fastnn"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["fastnn.css"]
html_copy_source = False
html_show_sphinx = False
