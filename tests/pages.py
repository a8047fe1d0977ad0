"""Pages of documentation, and their code: the tests run it, block after block.

A page's ``python`` blocks share one namespace and one folder with its ``console`` blocks, of which
the lines ``$ fastnn ...`` and ``$ python ...`` are run. What must not be run, or is there to be
looked at, is ``text``. As a program, ``python pages.py PAGE`` runs a page.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from types import CodeType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

# What a block may lack: the extras, and programs that pages say how to work with. Other names that
# cannot be imported are mistakes.
OPTIONAL = {
    *("IPython", "dask", "joblib", "keras", "matplotlib", "numba", "onnx", "onnxruntime"),
    *("pandas", "pooch", "pyarrow", "sklearn", "tensorboard", "torch"),
}
SKIPPED = "skipped: "

_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code, and the line of the page on which it begins."""

    language: str
    code: str
    line: int


def blocks(page: str) -> list[Block]:
    """The blocks of a page in Markdown."""
    return [
        Block(match[2], dedent(match[3]), page.count("\n", 0, match.start(3)) + 1)
        for match in _FENCE.finditer(page)
    ]


def commands(console: str) -> Iterator[list[str]]:
    """The commands of a console block that are run, as programs and their arguments."""
    for line in console.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True) if line.startswith("$ ") else []
        if words[1:2] == ["fastnn"]:
            yield [sys.executable, "-m", *words[1:]]
        elif words[1:2] == ["python"]:
            yield [sys.executable, *words[2:]]


def missing(error: BaseException | None) -> str | None:
    """What an exception says is not installed, if it may be missing."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            package = (error.name or "").partition(".")[0]
            return package if package in OPTIONAL and find_spec(package) is None else None
        error = error.__cause__
    return None


def compiled(block: Block, path: Path) -> CodeType:
    """The code of a block, whose tracebacks have the lines of the page."""
    return compile("\n" * (block.line - 1) + block.code, str(path), "exec")


def run(path: Path) -> list[str]:
    """Run a page's code in the current folder.

    Returns
    -------
    list of str
        What was left out: blocks that need what is not installed, and those that need these.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    skipped = []
    for block in blocks(path.read_text(encoding="utf-8")):
        try:
            if block.language == "python":
                exec(compiled(block, path), namespace)
            elif block.language == "console":
                for command in commands(block.code):
                    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except Exception as error:
            package = missing(error)
            if package is None and not (skipped and isinstance(error, NameError)):
                raise
            skipped.append(f"line {block.line} needs {package or 'what was left out before'}")
    return skipped


if __name__ == "__main__":
    for reason in run(Path(sys.argv[1])):
        print(f"{SKIPPED}{reason}")
