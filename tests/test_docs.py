"""The documentation is true: its code runs, and its reference has every public name."""

import re
import subprocess
import sys
from collections import Counter

import pytest
from command import environment
from pages import DOCS, ROOT, SKIPPED, blocks, commands

import fastnn as fnn
from fastnn.lab.experiments import NAMES

PAGES = sorted(DOCS.rglob("*.md"))
RUN = [
    page
    for page in PAGES
    if {block.language for block in blocks(page.read_text())} & {"python", "console"}
]


# Keras's own: it makes arrays of PyTorch's tensors in the way of NumPy 1.
OF_KERAS = "ignore:__array__ implementation:DeprecationWarning"


def run_page(page, folder):
    """The process that ran a page's code, with every warning an error."""
    strict = [sys.executable, "-W", "error", "-W", OF_KERAS]
    return subprocess.run(
        [*strict, str(ROOT / "tests" / "pages.py"), str(page)],
        env=environment(KERAS_BACKEND="torch", PYTHONSAFEPATH="1", MPLBACKEND="agg"),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# -- what contributors are told --------------------------------------------------------------------


def test_what_contributors_are_sent_to_is_there():
    """Files and names in backticks; a name that was changed leaves nobody searching."""
    text = re.sub(r"```.*?```", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    named = {word.strip("/") for word in re.findall(r"`([\w./]+)`", text)}
    folders = [ROOT, ROOT / "fastnn", ROOT / "fastnn" / "_kernels"]
    sources = [
        path for f in ("fastnn", "tests", "docs", "bench") for path in (ROOT / f).rglob("*.*")
    ]
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in sources
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd")
    )
    lost = [
        name
        for name in sorted(named)
        if not any((folder / name).exists() for folder in folders)
        and not re.search(rf"\b{re.escape(name)}\b", code)
    ]
    assert lost == []


# -- the code of the pages -------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(DOCS)))
def test_code_runs(page, tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with the extra 'demo'")
    process = run_page(page, tmp_path)
    assert process.returncode == 0, process.stderr
    if skipped := [line for line in process.stdout.splitlines() if line.startswith(SKIPPED)]:
        pytest.skip("; ".join(skipped))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_code_is_in_a_language_that_is_not_run(page):
    for block in blocks(page.read_text()):
        shown = block.language.startswith("{") and "code" not in block.language
        assert shown or block.language in ("python", "console", "text"), f"line {block.line}"


@pytest.fixture
def page(tmp_path):
    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return write


def test_blocks_share_names_and_files(page, tmp_path):
    text = """
```python
name = "x.txt"
```

- in a list

  ```python
  with open(name, "w") as file:
      file.write("1")
  ```

```console
$ python -c "print(open('x.txt').read() + '1')"
```
"""
    process = run_page(page(text), tmp_path)
    assert (process.returncode, process.stdout) == (0, "11\n"), process.stderr


def test_a_mistake_is_found_on_its_line(page, tmp_path):
    process = run_page(page("# Title\n\n```python\nx = 1\nassert x == 2\n```\n"), tmp_path)
    assert process.returncode != 0
    assert 'page.md", line 5' in process.stderr


@pytest.mark.parametrize(
    "code",
    ["```python\nimport numpi\n```\n", "```console\n$ fastnn demonstrate\n```\n"],
    ids=["import", "command"],
)
def test_what_cannot_be_run_is_a_mistake(code, page, tmp_path):
    assert run_page(page(code), tmp_path).returncode != 0


def test_what_is_not_installed_is_skipped_by_name(page, tmp_path, monkeypatch):
    import pages

    absent = "a_package_that_nobody_has"
    monkeypatch.setattr(pages, "OPTIONAL", {absent})
    monkeypatch.chdir(tmp_path)
    codes = [f"import {absent} as a", "a.b", "open('c', 'w').close()"]
    text = "".join(f"```python\n{code}\n```\n" for code in codes)
    assert pages.run(page(text)) == [
        f"line 2 needs {absent}",
        "line 5 needs what was left out before",
    ]
    assert (tmp_path / "c").exists()


def test_commands_are_read_as_a_shell_would():
    console = '$ fastnn train "a b.csv" \\\n    --target y  # the last\nsaved\n$ pip install .\n'
    assert list(commands(console)) == [
        [sys.executable, "-m", "fastnn", "train", "a b.csv", "--target", "y"]
    ]


# -- what the pages name ---------------------------------------------------------------------------


def named(pattern):
    """What the pages have in the places of this pattern, with the page."""
    return {
        (found, str(page.relative_to(DOCS)))
        for page in PAGES
        for found in re.findall(pattern, page.read_text(), flags=re.M)
    }


def test_names_exist():
    for path, page in named(r"\bfnn\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"):
        thing = fnn
        for name in path.split("."):
            # What comes after a class may be an attribute that only its objects have.
            assert hasattr(thing, name) or isinstance(thing, type), f"{page}: fnn.{path}"
            thing = getattr(thing, name, None)


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    found = named(r"(?:`|^\$ )make ([a-z]+)")
    assert found
    assert {target for target, _ in found} <= set(targets)


def test_extras_exist():
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extras, page in named(r'"(?:\.|fastnn)\[([a-z,]+)\]"'):
        for extra in extras.split(","):
            assert re.search(rf"^{extra} = \[", pyproject, flags=re.M), f"{page}: {extra}"


# -- the reference, and what is made by programs ---------------------------------------------------


@pytest.fixture(scope="module")
def public():
    """The module that knows the public names."""
    for package in ("sklearn", "matplotlib"):
        pytest.importorskip(package)
    sys.path.insert(0, str(DOCS))
    try:
        import public_names
    finally:
        sys.path.remove(str(DOCS))
    return public_names


def test_the_reference_lists_every_public_name_once(public):
    names = set(public.public_names().values())
    modules = {module.__name__ for module in public.public_modules()}
    listed = Counter(public.reference_names())
    assert names - listed.keys() == set()
    assert listed.keys() - names - modules == set()
    assert [name for name, times in listed.items() if times > 1] == []


def test_one_thing_has_one_name(public):
    names = public.public_names()
    assert names["fastnn.layers.ReLU"] == names["fastnn.ReLU"] == "fastnn.ReLU"
    assert names["fastnn.book.load_mnist"] == "fastnn.data.load_mnist"
    assert names["fastnn.book.Adam"] == "fastnn.book.Adam"


def test_tables_are_read_to_their_ends(public):
    page = """
.. currentmodule:: fastnn

.. autosummary::
   :toctree: generated

   Adam
   SGD

Text of three words.

.. automodule:: fastnn.data

.. autosummary::

   shuffle
"""
    assert list(public.listed_names(page)) == [
        "fastnn.Adam",
        "fastnn.SGD",
        "fastnn.data",
        "fastnn.data.shuffle",
    ]


def test_the_gallery_shows_every_experiment():
    gallery = DOCS / "gallery"
    assert {path.stem for path in gallery.glob("*.md")} - {"index"} == set(NAMES)
    for name in NAMES:
        assert (gallery / f"{name}.webp").stat().st_size < 100_000
        assert f":link: {name}\n" in (gallery / "index.md").read_text()
