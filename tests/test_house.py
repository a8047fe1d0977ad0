"""Imports go one way: from the top of the house to the bottom, also those inside functions."""

import ast
from pathlib import Path

import pytest

import fastnn

PACKAGE = Path(fastnn.__file__).parent

# From top to bottom; a module imports from floors below its own. A name stands for a module, or for
# a package with all that is in it, within which imports are free.
FLOORS = [
    ["__main__"],
    ["cli"],
    ["tables"],
    ["lab"],
    ["sklearn", "io"],
    ["info"],
    ["zoo", "book"],
    ["side_by_side"],
    ["trainer", "gradcheck"],
    ["progress", "tensorboard"],
    ["callbacks"],
    ["history"],
    ["engine"],
    ["examples"],
    ["model"],
    ["lowering", "model_files", "parameters", "summary", "transfer"],
    ["layers"],
    ["optimizers", "losses", "regularizers", "constraints", "initializers", "storage"],
    ["schedules", "metrics"],
    ["data"],
    ["threads", "backend"],
    ["components", "buffers", "displays", "interrupts", "numerical", "pictures"],
    ["checks"],
    ["errors", "files", "markup", "synonyms", "version"],
    ["_kernels"],
]
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def is_module(name):
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def fastnn_imports(source):
    """Names right below fastnn that a module imports, with their line; "" is fastnn itself.

    What is imported under TYPE_CHECKING is left out: it is there for readers of annotations, and no
    code can come to need it.
    """
    tree = ast.parse(source)
    skipped = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for statement in test.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            # `from fastnn import storage` imports a module; `from fastnn import Affine` does not.
            names = [
                f"fastnn.{alias.name}" if is_module(alias.name) else "fastnn"
                for alias in node.names
            ]
            if node.module != "fastnn":
                names = [node.module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "fastnn":
                yield rest.partition(".")[0], node.lineno


def violations(name, source):
    """Imports of a module that go up, or sideways to another module of its floor."""
    for imported, line in fastnn_imports(source):
        if imported == name:
            continue  # within a package
        if imported == "":
            yield f"{name}, line {line}: imports the whole of fastnn"
        elif FLOOR_OF.get(imported, -1) <= FLOOR_OF[name]:
            yield f"{name}, line {line}: imports {imported}"


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, path


def test_every_module_has_a_floor():
    assert {name for name, _ in sources()} <= FLOOR_OF.keys()


@pytest.mark.parametrize("path", [path for _, path in sources()], ids=lambda p: p.stem)
def test_imports_go_down(path):
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    # The command line and the experiments use fastnn as everyone does.
    above = ("__main__", "cli", "tables", "lab")
    found = [
        violation
        for violation in violations(name, path.read_text(encoding="utf-8"))
        if not (name in above and violation.endswith("the whole of fastnn"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("checks", "import fastnn.trainer", True),
        ("checks", "from fastnn.trainer import Trainer", True),
        ("checks", "from fastnn import model", True),
        ("checks", "def f():\n    from fastnn.zoo.mlp import mlp", True),
        ("checks", "class A:\n    def f(self):\n        import fastnn.layers.base as b", True),
        ("engine", "import fastnn as fnn", True),
        ("model", "from fastnn import Trainer", True),
        ("backend", "from fastnn.threads import limited", True),
        ("schedules", "import numpy\nfrom fastnn.checks import real_in", False),
        ("layers", "from fastnn.layers.base import Layer", False),
        ("engine", "from fastnn import storage", False),
        ("engine", "import fastness", False),
        ("callbacks", "if TYPE_CHECKING:\n    from fastnn.trainer import Trainer", False),
        ("callbacks", "if TYPE_CHECKING:\n    pass\nelse:\n    import fastnn.trainer", True),
    ],
)
def test_the_test_finds_what_goes_up(name, source, found):
    assert bool(list(violations(name, source))) == found


def test_relative_imports_are_refused():
    with pytest.raises(AssertionError, match="absolute"):
        list(fastnn_imports("from . import checks"))
