"""What may be imported from fastnn, and where the reference lists it.

A module is public if it has an ``__all__``, and so is what that lists. What several
modules list is one thing, which the reference knows by one of its names:
``fastnn.layers.ReLU`` is ``fastnn.ReLU``.
"""

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import fastnn

REFERENCE = Path(__file__).parent / "reference"


def public_modules() -> Iterator[ModuleType]:
    """Those that have an ``__all__``."""
    names = [
        module.name for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    ]
    for name in ["fastnn", *names]:
        if "._" not in name:
            module = importlib.import_module(name)
            if hasattr(module, "__all__"):
                yield module


def public_names() -> dict[str, str]:
    """Every name that may be imported, and the one by which the reference knows it."""
    things: dict[str, Any] = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in public_modules()
        for name in module.__all__
    }
    names_of = defaultdict(list)
    for name, thing in things.items():
        names_of[_identity(name, thing)].append(name)
    return {
        name: min(
            names_of[_identity(name, thing)], key=lambda other: _distance(other, thing)
        )
        for name, thing in things.items()
    }


def _identity(name: str, thing: Any) -> Any:
    """Plain data is what it is by its place: other data may be equal by chance."""
    return id(thing) if hasattr(thing, "__name__") else name


def _distance(name: str, thing: Any) -> tuple[int, bool]:
    """The shortest name is nearest; of these, that in the module which holds it."""
    module = name.rpartition(".")[0]
    return name.count("."), not getattr(thing, "__module__", module).startswith(module)


def listed_names(page: str) -> Iterator[str]:
    """What a page of the reference lists: its modules, and the rows of its tables."""
    module, in_table = "fastnn", False
    for line in page.splitlines():
        if directive := re.match(r"\.\. (currentmodule|automodule):: (\S+)", line):
            module = directive[2]
            if directive[1] == "automodule":
                yield module
        elif line.startswith(".. autosummary::"):
            in_table = True
        elif row := re.fullmatch(r"   (\w+)", line):
            if in_table:
                yield f"{module}.{row[1]}"
        elif line and not line.startswith("   "):
            in_table = False


def reference_names() -> list[str]:
    """Every name that the reference lists, as often as it does."""
    pages = sorted(REFERENCE.glob("*.rst"))
    return [
        name
        for page in pages
        for name in listed_names(page.read_text(encoding="utf-8"))
    ]
