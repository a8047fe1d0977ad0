"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import fastnn

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    if "._kernels" not in module.name and not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["fastnn", *MODULES])
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_some_module_has_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    counts = [
        len(test.examples)
        for name in ["fastnn", *MODULES]
        for test in finder.find(importlib.import_module(name))
    ]
    assert sum(counts) > 20
