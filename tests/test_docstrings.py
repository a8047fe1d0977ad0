"""Docstrings of public names say what they take, and no more."""

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap

import pytest
from pages import DOCS

for package in ("sklearn", "matplotlib"):
    pytest.importorskip(package, reason="what needs an extra is public too")
sys.path.append(str(DOCS))
public_modules = importlib.import_module("public_names").public_modules

# A docstring may leave its parameters, and what is raised, to that of another.
ELSEWHERE = re.compile(r"([Tt]hose of|[Aa]s in|[Aa]s for|As|[Ss]ee) `")
# What checks arguments, and raises.
CHECKS = {"as_array", "generator", "one_of", "positive_int", "real_in", "sequence", "source_rows"}


def own(thing):
    return getattr(thing, "__module__", "").startswith("fastnn")


def public_callables():
    """Name -> function, method or class, each once; methods where their class has them written."""
    found = {}
    for module in public_modules():
        for thing in (getattr(module, name) for name in module.__all__):
            if inspect.isfunction(thing) and own(thing):
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
            elif inspect.isclass(thing) and own(thing):
                name = f"{thing.__module__}.{thing.__qualname__}"
                found[name] = thing
                for key, member in vars(thing).items():
                    function = getattr(member, "__func__", member)
                    if not key.startswith("_") and inspect.isfunction(function):
                        found[f"{name}.{key}"] = function
    return found


CALLABLES = public_callables()


def arguments(thing):
    if inspect.isclass(thing):
        if issubclass(thing, Exception) or thing.__init__ is object.__init__:
            return []
        return list(inspect.signature(thing).parameters)
    names = list(inspect.signature(thing).parameters)
    return [name for name in names if name not in ("self", "cls")]


def section(doc, title):
    """The text of a section, or ""."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def documented(doc):
    """Names in the section of parameters."""
    heads = (line for line in section(doc, "Parameters").splitlines() if line[:1].strip())
    names = [name for head in heads for name in head.split(" : ")[0].split(",")]
    return {name.strip().lstrip("*") for name in names}


def raises(function):
    """Whether a function raises by itself, or has its arguments checked."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    nodes = list(ast.walk(tree))
    errors = [ast.unparse(node.exc) for node in nodes if isinstance(node, ast.Raise) and node.exc]
    calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    return any("NotImplementedError" not in error for error in errors) or bool(calls & CHECKS)


@pytest.mark.parametrize("name", CALLABLES)
def test_every_argument_is_told(name):
    thing = CALLABLES[name]
    doc = inspect.cleandoc(thing.__doc__ or "")
    if isinstance(thing, type) and issubclass(thing, Exception):
        return  # made by fastnn; its attributes are told
    method = inspect.isfunction(thing) and "." in thing.__qualname__
    if method and not doc:
        return  # told by the base class
    assert doc
    if section(doc, "Parameters"):
        assert documented(doc) == set(arguments(thing))
    elif not ELSEWHERE.search(doc):
        # Where a line says it all, the arguments' names stand in it; one of a method needs none.
        untold = [word for word in arguments(thing) if not re.search(rf"\b{word}\b", doc)]
        assert len(untold) <= method, untold


@pytest.mark.parametrize(
    "name", [name for name, thing in CALLABLES.items() if inspect.isclass(thing)]
)
def test_what_a_class_refuses_is_told(name):
    cls = CALLABLES[name]
    generated = dataclasses.is_dataclass(cls)
    if "__init__" in vars(cls) and not generated and raises(cls.__init__):
        doc = inspect.cleandoc(cls.__doc__)
        assert section(doc, "Raises") or ELSEWHERE.search(doc)
