# Everything here makes the environment it needs; all it asks for is Python 3.11 or newer and make.
# With a C compiler the Cython kernels are built; without one fastnn runs on numba or NumPy.

PYTHON ?= python3
comma := ,
EXTRAS_TEST := numba,demo,test$(if $(ORACLE),$(comma)oracle)
SOURCES := pyproject.toml setup.py $(shell find fastnn -name '*.py' -o -name '*.p[yx][xdi]')

.PHONY: demo test lint docs gallery bench clean

## demo: install into .venv, and train the classic network on the digits
demo: .venv/installed
	.venv/bin/fastnn demo $(ARGS)

## test: build the wheel, install it into a clean environment, test what was installed
## (ORACLE=1 also installs PyTorch, Keras, TensorBoard, notebooks, and compares with them; ARGS are
## handed to pytest)
test:
	rm -rf build/lib* build/bdist* dist .venv-test
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python -m pip install --quiet --upgrade pip
	.venv-test/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	.venv-test/bin/python -m pip install --quiet "$$(echo dist/fastnn-*.whl)[$(EXTRAS_TEST)]"
	PYTHONSAFEPATH=1 FASTNN_TEST_INSTALLED=1 FASTNN_TEST_REQUIRE_BACKENDS=1 \
	FASTNN_TEST_ORACLE=$(ORACLE) .venv-test/bin/pytest tests $(ARGS)

## lint: ruff and mypy
lint: .venv-dev/installed
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy

## docs: build the site into build/docs; a warning is an error, and nothing is fetched meanwhile
docs: .venv-docs/installed
	rm -rf build/docs docs/reference/generated
	PYTHONSAFEPATH=1 .venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky \
	--quiet --jobs auto --doctree-dir build/docs/doctrees docs build/docs/html
	@echo "open build/docs/html/index.html"

## gallery: run all experiments on MNIST, and write their pages into docs/gallery: some minutes
gallery: .venv/installed
	PYTHONSAFEPATH=1 .venv/bin/python docs/make_gallery.py $(ARGS)

## bench: time every kernel on every backend; QUICK=1 only shows that the benchmarks run
bench: .venv-dev/installed
	mkdir -p bench/results
	PYTHONSAFEPATH=1 FASTNN_BENCH_QUICK=$(QUICK) .venv-dev/bin/pytest bench -q \
	--benchmark-json=bench/results/kernels.json --benchmark-disable-gc --benchmark-columns=min,median
	.venv-dev/bin/python bench/table.py bench/results/kernels.json --output bench/results/kernels.md

## clean: remove environments, builds, caches and results
clean:
	rm -rf .venv .venv-test .venv-dev .venv-docs build dist bench/results fastnn-demo *.egg-info
	rm -rf docs/reference/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find fastnn tests bench docs \( -name __pycache__ -o -name .ruff_cache \) -type d -prune \
	-exec rm -rf {} +
	find fastnn -name '*.so' -delete

# Cleared, for what an older Python left there would stay the environment's Python.
.venv/installed: $(SOURCES)
	rm -rf build/lib*
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet ".[demo]"
	touch $@

.venv-dev/installed: $(SOURCES)
	rm -rf build/lib*
	$(PYTHON) -m venv --clear .venv-dev
	.venv-dev/bin/python -m pip install --quiet --upgrade pip
	.venv-dev/bin/python -m pip install --quiet ".[numba,demo,bench,lint]"
	touch $@

# The reference is made from docstrings: no kernel need be compiled for it.
.venv-docs/installed: $(SOURCES)
	rm -rf build/lib*
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --upgrade pip
	FASTNN_BUILD_EXT=0 .venv-docs/bin/python -m pip install --quiet ".[docs]"
	touch $@
