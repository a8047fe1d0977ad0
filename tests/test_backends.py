"""Choosing a backend: by name, by context, by environment; and what happens if it is not there."""

import copy
import os
import pickle
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from networks import blobs

import fastnn as fnn
from fastnn import backend as backends
from fastnn.backend import BACKENDS, best_instruction_set, built_instruction_sets, get_backend

needs_cython = pytest.mark.skipif(
    not built_instruction_sets(), reason="the Cython kernels were not built"
)


@pytest.fixture(autouse=True)
def no_choice_from_outside(monkeypatch):
    for name in ("FASTNN_BACKEND", "FASTNN_ISA"):
        monkeypatch.delenv(name, raising=False)


def chosen():
    return fnn.mlp(3, [], 2).backend.name


def test_the_first_that_is_there_is_the_default():
    assert BACKENDS == ("cython", "numba", "numpy")
    assert list(fnn.available_backends()) == [
        name for name in BACKENDS if name in fnn.available_backends()
    ]
    assert chosen() == fnn.available_backends()[0] == get_backend().name
    assert "numpy" in fnn.available_backends()


def test_a_backend_is_what_it_says(backend):
    one = get_backend(backend)
    assert one.name == backend
    module = {"cython": "cython_kernels_", "numba": "numba_kernels", "numpy": "reference"}[backend]
    assert module in one.kernels.__name__
    assert (one.instruction_set is None) == (backend != "cython")
    assert get_backend(backend) is one
    model = fnn.mlp(3, [4], 2, batch_norm=True, dropout=0.5, backend=backend)
    assert model.backend is one
    assert all(layer.kernels is one.kernels for layer in model.layers)


# -- contexts --------------------------------------------------------------------------------------


def test_use_backend_nests(backend):
    default = chosen()
    with fnn.use_backend("numpy") as outer:
        assert outer.name == chosen() == "numpy"
        with fnn.use_backend(backend) as inner:
            assert inner.name == chosen() == backend
        assert chosen() == "numpy"
    assert chosen() == default


def test_use_backend_ends_with_an_error():
    default = chosen()
    with pytest.raises(KeyError, match="inside"), fnn.use_backend("numpy"):
        raise KeyError("inside")
    assert chosen() == default


def test_an_argument_beats_the_context_and_the_context_the_environment(monkeypatch, backend):
    monkeypatch.setenv("FASTNN_BACKEND", "numpy")
    assert chosen() == "numpy"
    with fnn.use_backend(backend):
        assert chosen() == backend
        assert fnn.mlp(3, [], 2, backend="numpy").backend.name == "numpy"
    assert fnn.mlp(3, [], 2, backend=backend).backend.name == backend
    monkeypatch.setenv("FASTNN_BACKEND", "")
    assert chosen() == fnn.available_backends()[0]


def test_a_model_keeps_the_backend_it_was_built_with(backend):
    with fnn.use_backend(backend):
        model = fnn.mlp(3, [], 2)
    with fnn.use_backend("numpy"):
        assert model.backend.name == backend
        model.predict(np.ones((2, 3)))
        trainer = fnn.Trainer(model, verbose=False)
        trainer.fit(np.ones((4, 3)), [0, 1, 0, 1], epochs=1)
    assert model.backend.name == backend


def test_threads_choose_for_themselves():
    names = {}
    inside, outside = threading.Event(), threading.Event()

    def work():
        names["before"] = chosen()
        with fnn.use_backend("numpy"):
            inside.set()
            assert outside.wait(10)
            names["within"] = chosen()
        names["after"] = chosen()

    default = chosen()
    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(10)
    assert chosen() == default
    with fnn.use_backend(fnn.available_backends()[-1]):
        outside.set()
        worker.join()
    assert names == {"before": default, "within": "numpy", "after": default}


def test_two_models_on_two_backends_train_side_by_side():
    """Steps in turn, and the same losses as alone."""
    x, y = blobs(60)

    def trainer(name):
        model = fnn.mlp(8, [6], 3, batch_norm=True, dropout=0.2, rng=0, backend=name)
        return fnn.Trainer(model, batch_size=20, rng=0, verbose=False)

    alone = {name: trainer(name).fit(x, y, epochs=3)["loss"] for name in fnn.available_backends()}
    together = {name: trainer(name) for name in fnn.available_backends()}
    for _ in range(3):
        for one in together.values():
            one.fit(x, y, epochs=1)
    assert {name: one.history["loss"] for name, one in together.items()} == alone
    for losses in alone.values():
        np.testing.assert_allclose(losses, alone["numpy"], rtol=1e-5)


# -- wrong names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda", "", "NumPy", "cython ", 3, ["numpy"]])
def test_unknown_backends_are_named(name):
    message = re.escape("backend must be one of cython, numba, numpy; got " + repr(name))
    for attempt in (
        lambda: get_backend(name),
        lambda: fnn.use_backend(name).__enter__(),
        lambda: fnn.mlp(3, [], 2, backend=name),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()
    assert chosen() == fnn.available_backends()[0]


def test_an_unknown_backend_in_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "cuda")
    with pytest.raises(ValueError, match=r"FASTNN_BACKEND must be one of .*; got 'cuda'"):
        fnn.mlp(3, [], 2)
    assert fnn.mlp(3, [], 2, backend="numpy").backend.name == "numpy"


# -- instruction sets ------------------------------------------------------------------------------


@needs_cython
def test_the_best_instruction_set_is_the_default():
    built = built_instruction_sets()
    assert [isa for isa in backends.INSTRUCTION_SETS if isa in built] == list(built)
    if os.environ.get("FASTNN_TEST_INSTALLED") == "1":  # developers may have built another alone
        assert "baseline" in built
    assert best_instruction_set() == built[0]
    assert get_backend("cython").instruction_set == built[0]


@pytest.mark.parametrize("isa", built_instruction_sets())
def test_the_environment_names_an_instruction_set(isa, monkeypatch):
    monkeypatch.setenv("FASTNN_ISA", isa)
    model = fnn.mlp(3, [4], 2, backend="cython", rng=0, dtype="float64")
    assert model.backend.instruction_set == isa
    assert model.backend.kernels.__name__.endswith(isa)
    assert model.backend.program.__name__.endswith(isa)
    x = np.random.default_rng(0).standard_normal((5, 3))
    expected = fnn.mlp(3, [4], 2, backend="numpy", rng=0, dtype="float64").predict(x)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-12)


@needs_cython
@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "neon"])
def test_an_unknown_instruction_set_is_named(isa, monkeypatch):
    monkeypatch.setenv("FASTNN_ISA", isa)
    last = built_instruction_sets()[-1]
    with pytest.raises(fnn.NotBuiltError, match=f"FASTNN_ISA='{isa}'.*{last}"):
        fnn.mlp(3, [], 2, backend="cython")
    with pytest.raises(fnn.NotBuiltError, match="FASTNN_ISA"):
        fnn.mlp(3, [], 2)
    assert fnn.mlp(3, [], 2, backend="numpy").backend.name == "numpy"


def test_the_environment_of_a_new_process(run_python, backend):
    code = "import fastnn; print(fastnn.mlp(3, [], 2).backend.name)"
    assert run_python(code, FASTNN_BACKEND=backend) == backend
    assert run_python(code) == fnn.available_backends()[0]


@needs_cython
def test_the_instruction_set_of_a_new_process(run_python):
    code = "import fastnn; print(fastnn.info()['instruction_set'])"
    for isa in built_instruction_sets():
        assert run_python(code, FASTNN_ISA=isa) == isa


# -- what is not there -----------------------------------------------------------------------------

WITHOUT_EXTENSIONS = """
import numpy as np
import fastnn as fnn

assert fnn.available_backends() == {available}, fnn.available_backends()
assert fnn.info()["instruction_sets"] == ()
model = fnn.mlp(8, [6], 3, batch_norm=True, dropout=0.2, rng=0)
assert model.backend.name == {available}[0]
trainer = fnn.Trainer(model, rng=0, verbose=False)
assert trainer.engine == "eager", trainer.engine
x = np.random.default_rng(0).standard_normal((50, 8))
history = trainer.fit(x, np.arange(50) % 3, epochs=2)
assert np.isfinite(history["loss"]).all()
model.save("model.fnn")
fnn.load("model.fnn")

for attempt in (
    lambda: fnn.mlp(8, [6], 3, backend="cython"),
    lambda: fnn.use_backend("cython").__enter__(),
    lambda: fnn.load("model.fnn", backend="cython"),
    lambda: fnn.Trainer(model, engine="native", verbose=False),
):
    try:
        attempt()
    except fnn.NotBuiltError as error:
        print(error)
    else:
        raise AssertionError("fell back silently")
"""


@pytest.fixture
def pure(tmp_path):
    """A copy of the package without its compiled files, as it is where there is no compiler."""
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(fnn.__file__).parent, tmp_path / "pure" / "fastnn", ignore=compiled)
    return tmp_path / "pure"


def test_without_extensions_the_rest_works_and_nothing_falls_back(run_python, pure):
    rest = tuple(name for name in fnn.available_backends() if name != "cython")
    code = WITHOUT_EXTENSIONS.format(available=rest)
    # Compiling numba's kernels anew would take longer than running them as Python.
    output = run_python(code, pure, NUMBA_DISABLE_JIT="1")
    messages = output.splitlines()
    assert len(messages) == 4
    for message in messages[:3]:
        assert message.startswith("backend 'cython' was not built here")
        assert "'numba' or 'numpy'" in message
    assert "native" in messages[3]


def test_without_numba_the_error_names_the_extra(monkeypatch):
    find_spec = backends.importlib.util.find_spec
    monkeypatch.setattr(
        backends.importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "numba" else find_spec(name, package),
    )
    backends._load_numba.cache_clear()
    assert "numba" not in fnn.available_backends()
    with pytest.raises(ImportError, match=r'numba is not installed.*"fastnn\[numba\]"') as caught:
        fnn.mlp(3, [], 2, backend="numba")
    assert caught.value.name == "numba"
    with pytest.raises(ImportError, match="numba"), fnn.use_backend("numba"):
        pass
    monkeypatch.setenv("FASTNN_BACKEND", "numba")
    with pytest.raises(ImportError, match="numba"):
        fnn.mlp(3, [], 2)


def test_with_numpy_alone(run_python, pure):
    """Neither extensions nor numba: NumPy is the default, and says so."""
    code = """
import sys
sys.modules["numba"] = None
import fastnn as fnn
print(*fnn.available_backends(), fnn.mlp(2, [], 2).summary())
"""
    output = run_python(code, pure)
    assert output.startswith("numpy layer")
    assert output.endswith("backend numpy")


@pytest.mark.parametrize("broken", ["cython", "numba"])
def test_a_backend_that_fails_to_load_says_so(broken, monkeypatch):
    """A damaged extension, or a numba that does not fit this NumPy, is no reason to be slow."""
    if broken not in fnn.available_backends():
        pytest.skip(f"backend {broken} is not here")
    real = backends.importlib.import_module

    def fail(name):
        if "_kernels." in name and broken in name:
            raise ImportError(f"cannot load {name}")
        return real(name)

    monkeypatch.setattr(backends.importlib, "import_module", fail)
    backends.load_cython.cache_clear()
    backends._load_numba.cache_clear()
    try:
        with pytest.raises(ImportError, match="cannot load"):
            fnn.mlp(3, [], 2, backend=broken)
        if broken == fnn.available_backends()[0]:
            with pytest.raises(ImportError, match="cannot load"):
                fnn.mlp(3, [], 2)
    finally:
        backends.load_cython.cache_clear()
        backends._load_numba.cache_clear()


def test_a_backend_comes_back_from_a_pickle(backend):
    loaded = get_backend(backend)
    assert pickle.loads(pickle.dumps(loaded)) == copy.deepcopy(loaded) == loaded
