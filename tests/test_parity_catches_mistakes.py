"""Mistakes planted in every kernel, and the comparison of the parity tests catching each.

Two kinds. Wrong results: the reference with one output spoiled after the call. Wrong formulas: the
source of the reference with one operator, number, comparison or statement changed, every one of
them in turn; the case table must hold a case that tells each from the original.
"""

import ast
import copy
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import DTYPES, KERNELS, MIDDLE, RETURN, Arguments, Case, KernelCase, cases
from checker import Outcome, assert_matches_reference, assert_outcomes_match, run

from fastnn._kernels import reference

# --------------------------------------------------------------------------------------------------
# Wrong results
# --------------------------------------------------------------------------------------------------


def _largest(array: np.ndarray) -> tuple[int, ...]:
    index = np.unravel_index(np.nanargmax(np.abs(array.astype(np.float64))), array.shape)
    return tuple(map(int, index))


def _one_percent(after: np.ndarray, before: np.ndarray) -> None:
    # The element nearest the median of those that are not zero: a usual one.
    size = np.abs(after)
    after.flat[np.argmin(np.abs(size - np.median(size[size > 0])))] *= 1.01


def _nan(after: np.ndarray, before: np.ndarray) -> None:
    after[_largest(after)] = np.nan


def _negated(after: np.ndarray, before: np.ndarray) -> None:
    np.negative(after, out=after)


def _transposed(after: np.ndarray, before: np.ndarray) -> None:
    after.reshape(-1)[:] = (after.T if after.ndim == 2 else after[::-1]).flatten()


def _not_written(after: np.ndarray, before: np.ndarray) -> None:
    after[...] = before


def _last_element_not_written(after: np.ndarray, before: np.ndarray) -> None:
    after.flat[-1] = before.flat[-1]


def _one_flipped(after: np.ndarray, before: np.ndarray) -> None:
    after.flat[after.size // 2] ^= 1


Spoil = Callable[[np.ndarray, np.ndarray], None]
SPOIL_NUMBERS = (_one_percent, _nan, _negated, _transposed, _not_written, _last_element_not_written)
SPOIL_MASKS = (_one_flipped, _transposed, _not_written, _last_element_not_written)
SPOIL_RETURNED: dict[str, Callable[[float], Any]] = {
    "one percent": lambda value: value * 1.01,
    "nan": lambda value: np.nan,
    "negated": lambda value: -value,
    "zero": lambda value: 0.0,
    "none": lambda value: None,
    "not a float": np.float64,
}


def _spoilt_outputs() -> list[Any]:
    return [
        pytest.param(kernel, name, spoil, id=f"{kernel.name}-{name}{spoil.__name__}")
        for kernel in KERNELS.values()
        for name, spec in kernel.arrays().items()
        if spec.role != "read"
        for spoil in (SPOIL_MASKS if spec.fill.dtype == "uint8" else SPOIL_NUMBERS)
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "output", "spoil"), _spoilt_outputs())
def test_spoilt_output_is_caught(kernel: KernelCase, output: str, spoil: Spoil, dtype: str) -> None:
    position = list(kernel.arguments).index(output)

    def mistaken(*arguments: Any) -> Any:
        before = arguments[position].copy()
        returned = getattr(reference, kernel.name)(*arguments)
        spoil(arguments[position], before)
        return returned

    with pytest.raises(AssertionError, match=f"mistaken {kernel.name}: {output}: "):
        assert_matches_reference(
            mistaken, kernel, Case(kernel.name, *MIDDLE).arguments(dtype), "mistaken"
        )


@pytest.mark.parametrize("spoil", SPOIL_RETURNED)
@pytest.mark.parametrize("name", [name for name, k in KERNELS.items() if RETURN in k.lengths])
def test_spoilt_return_value_is_caught(name: str, spoil: str) -> None:
    def mistaken(*arguments: Any) -> Any:
        return SPOIL_RETURNED[spoil](getattr(reference, name)(*arguments))

    with pytest.raises(AssertionError, match=f"mistaken {name}: the returned value: "):
        assert_matches_reference(
            mistaken, KERNELS[name], Case(name, *MIDDLE).arguments("float32"), "mistaken"
        )


# NaN at these places shows in the result of other arguments, or not at all.
NAN_IS_NOT_READ = {
    ("cross_entropy", "probs"),  # of a row, only the label's probability is looked at
    ("batchnorm_backward", "x"),  # the mean that belongs to this x is NaN already
    ("leaky_relu_backward", "x"),  # not positive, like zero; the forward pass has let it through
}


@pytest.mark.parametrize(
    ("name", "argument"),
    sorted(
        {
            (kernel.name, case.values.removeprefix("nan in "))
            for kernel in KERNELS.values()
            for case in cases(kernel)
            if case.values.startswith("nan in ")
        }
        - NAN_IS_NOT_READ
    ),
)
def test_nan_that_vanishes_is_caught(name: str, argument: str) -> None:
    """A kernel that takes NaN for zero where it comes in."""
    kernel = KERNELS[name]
    position = list(kernel.arguments).index(argument)

    def mistaken(*arguments: Any) -> Any:
        cleaned = np.nan_to_num(arguments[position], posinf=np.inf, neginf=-np.inf)
        if kernel.arrays()[argument].role == "updated":
            arguments[position][...] = cleaned
            cleaned = arguments[position]
        replaced = [*arguments[:position], cleaned, *arguments[position + 1 :]]
        return getattr(reference, name)(*replaced)

    case = Case(name, *MIDDLE, values=f"nan in {argument}")
    with pytest.raises(AssertionError):
        assert_matches_reference(mistaken, kernel, case.arguments("float32"))


# --------------------------------------------------------------------------------------------------
# Wrong formulas
# --------------------------------------------------------------------------------------------------

OTHER_OPERATOR: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitXor: ast.BitOr,
    ast.BitAnd: ast.BitOr,
    ast.RShift: ast.LShift,
    ast.MatMult: ast.Mult,
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
    ast.GtE: ast.Lt,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What the node can be mistaken for, its children left alone."""
    changed: Any = copy.copy(node)
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OTHER_OPERATOR:
        changed.op = OTHER_OPERATOR[type(node.op)]()
        yield changed
    elif isinstance(node, ast.Compare):
        changed.ops = [OTHER_OPERATOR[type(node.ops[0])]()]
        yield changed
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        changed.value = node.value + 1
        yield changed
    elif isinstance(node, ast.Constant) and type(node.value) is float:
        changed.value = node.value * 1.01 or 0.01
        yield changed
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign):
        yield ast.Pass()


def _mutants(tree: ast.AST) -> Iterator[str]:
    """The source of a function with one change, for each change that can be made."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            nodes = value if isinstance(value, list) else [value]
            for i, node in enumerate(nodes):
                if not isinstance(node, ast.AST) or _is_docstring(node):
                    continue
                for changed in _changes(node):
                    nodes[i] = changed
                    setattr(parent, field, nodes if nodes is value else changed)
                    yield ast.unparse(tree)
                nodes[i] = node
                setattr(parent, field, value)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _functions() -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(reference))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _kernels_that_run(function: str) -> list[str]:
    """The kernels in whose calls a function of the reference takes part."""
    kernels = [function] if function in KERNELS else []
    for name, tree in _functions().items():
        if any(isinstance(node, ast.Name) and node.id == function for node in ast.walk(tree)):
            kernels += _kernels_that_run(name)
    return kernels


@cache
def _expected(kernel: str) -> list[tuple[Arguments, Outcome]]:
    """The small cases of a kernel, and what the reference makes of them."""
    small = [case for case in cases(KERNELS[kernel]) if case.rows * case.cols < 2000]
    function = getattr(reference, kernel)
    calls = [case.arguments(dtype) for dtype in DTYPES for case in small]
    return [(arguments, run(function, KERNELS[kernel], arguments)) for arguments in calls]


def _reference_with(function: str, source: str) -> dict[str, Any]:
    """The functions of the reference, one of them replaced."""
    namespace = dict(vars(reference))
    for name, tree in _functions().items():
        exec(source if name == function else ast.unparse(tree), namespace)
    return namespace


def _is_caught(namespace: dict[str, Any], kernel: str) -> bool:
    for arguments, expected in _expected(kernel):
        try:
            got = run(namespace[kernel], KERNELS[kernel], arguments)
            assert_outcomes_match(got, expected, KERNELS[kernel], arguments, "mistaken")
        except Exception:  # it broke altogether, or was found wrong
            return True
    return False


# Changes that leave the function what it was.
EQUIVALENT = {
    # The exponential of a positive x is computed, and not selected.
    "out[...] = np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 1)))",
    # NumPy takes any negative size for the one to be inferred.
    "mask.reshape(-2)[:] = h >= np.uint32(ratio * 2.0 ** 32)",
}


def test_the_reference_rebuilt_from_its_source_is_not_a_mistake() -> None:
    namespace = _reference_with("", "")
    assert not [kernel for kernel in KERNELS if _is_caught(namespace, kernel)]


@pytest.mark.parametrize("function", _functions())
def test_wrong_formula_is_caught(function: str) -> None:
    original = ast.unparse(_functions()[function]).splitlines()
    kernels = _kernels_that_run(function)
    assert kernels, f"no kernel uses {function}"
    planted, missed = 0, []
    for source in _mutants(copy.deepcopy(_functions()[function])):
        planted += 1
        namespace = _reference_with(function, source)
        if not any(_is_caught(namespace, kernel) for kernel in kernels):
            missed += [line.strip() for line in source.splitlines() if line not in original]
    assert planted
    assert set(missed) <= EQUIVALENT
