"""Every backend has the kernels of the reference: same names, parameters, order and defaults."""

import inspect
from itertools import product
from types import ModuleType
from typing import Any

import pytest
from cases import KERNELS, Array
from executors import EXECUTORS

from fastnn._kernels import reference

# What a compiled backend has beside the kernels.
CONTROLS = {"set_threads"}


def _public_functions(module: ModuleType) -> dict[str, Any]:
    """The callables that a module defines itself, not those that it imports."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", None) == module.__name__
    }


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    signature = inspect.signature(getattr(function, "py_func", function))
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_backend_has_the_kernels_of_the_reference_and_no_others(executor: str) -> None:
    kernels = set(_public_functions(EXECUTORS[executor])) - CONTROLS
    assert kernels == set(_public_functions(reference))


@pytest.mark.parametrize(
    ("executor", "kernel"), list(product(EXECUTORS, _public_functions(reference)))
)
def test_signatures_are_equal(executor: str, kernel: str) -> None:
    function = getattr(EXECUTORS[executor], kernel)
    assert _parameters(function) == _parameters(getattr(reference, kernel))


def test_case_table_covers_every_kernel_of_the_reference() -> None:
    assert set(KERNELS) == set(_public_functions(reference))


@pytest.mark.parametrize("kernel", KERNELS)
def test_case_table_follows_the_signature(kernel: str) -> None:
    names = [name for name, _, _ in _parameters(getattr(reference, kernel))]
    assert list(KERNELS[kernel].arguments) == names
    for variant in KERNELS[kernel].variants:
        assert list(KERNELS[kernel].spec(variant)) == names


@pytest.mark.parametrize("kernel", KERNELS)
def test_arguments_come_inputs_first_then_numbers_then_what_is_written(kernel: str) -> None:
    """The order that the reference promises; optimizers update their first arguments."""
    order = [
        {"read": 0, "updated": 0, "written": 2}[spec.role] if isinstance(spec, Array) else 1
        for name, spec in KERNELS[kernel].arguments.items()
        if spec is not None and not kernel.endswith("penalty")
    ]
    assert order == sorted(order)
