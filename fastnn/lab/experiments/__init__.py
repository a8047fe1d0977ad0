"""Experiments: what a course on training networks teaches, shown on data.

Each is a module of this package, short enough to be read; `run_experiment` runs one, and
`run_all` runs all and makes a page of their pictures.
"""

import importlib
import os
import sys
from pathlib import Path
from textwrap import fill
from time import perf_counter
from typing import cast

from fastnn.checks import name_among
from fastnn.files import replace_file
from fastnn.lab.arguments import writable_folder
from fastnn.lab.experiments.base import (
    OUT,
    Experiment,
    Options,
    Result,
    csv_bytes,
    load,
    table_text,
)
from fastnn.lab.experiments.display import shown_progress
from fastnn.lab.experiments.gallery import Exhibit, gallery_page
from fastnn.pictures import png_bytes, require_matplotlib

__all__ = ["NAMES", "OUT", "Options", "Result", "experiment", "load", "run_all", "run_experiment"]

WIDTH = 96

NAMES = (
    "overfitting",
    "weight-decay",
    "dropout",
    "batchnorm",
    "activation-statistics",
    "deep-tanh",
    "vanishing-gradient",
    "dead-relu",
    "optimizers",
    "learning-rates",
    "regularizers",
    "sanity",
    "gradient-check",
    "hyperparameter-search",
    "ensemble",
    "mini-batch",
    "autoencoder",
    "stacked-autoencoder",
    "denoising",
    "transfer",
    "batch-size",
)


def _module_name(name: str) -> str:
    return name.replace("-", "_")


def experiment(name: str) -> Experiment:
    """The module of an experiment.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    name_among("name", name, NAMES)
    return cast(Experiment, importlib.import_module(f"{__name__}.{_module_name(name)}"))


def run_experiment(name: str, options: Options | None = None) -> Result:
    """Run one: print its table and its sentence, write ``<name>.png`` and ``<name>.csv``.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    options : Options, optional

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        There is no experiment of this name.
    ImportError
        matplotlib, or what the data set needs, is not installed.
    FastnnError
        The folder cannot be written to, or the data set cannot be had.
    OSError
        A file cannot be written.
    """
    chosen = experiment(name)
    options = options or Options()
    _prepare(options)
    result, seconds = _run(chosen, options)
    _report(name, options, result, seconds)
    return result


def run_all(options: Options | None = None) -> Path:
    """Run all, in the order of `NAMES`; write ``index.html`` with pictures and sentences.

    An error, or Ctrl-C, passes on, after a page of what was found by then has been written.

    Returns
    -------
    Path
        Of the page. Errors are those of `run_experiment`.
    """
    options = options or Options()
    _prepare(options)
    page = options.out / "index.html"
    exhibits: list[Exhibit] = []
    try:
        for number, name in enumerate(NAMES, start=1):
            print(f"-- {name} ({number}/{len(NAMES)})", flush=True)
            chosen = experiment(name)
            result, seconds = _run(chosen, options)
            _report(name, options, result, seconds)
            print(flush=True)
            exhibits.append(Exhibit(name, chosen.SUMMARY, result, seconds))
    finally:
        if exhibits:
            replace_file(page, [gallery_page(exhibits, options).encode()])
            print(f"gallery   {page}", flush=True)
    return page


def _prepare(options: Options) -> None:
    """Find out now, not after the training, what cannot work."""
    require_matplotlib()
    writable_folder(options.out)


def _run(chosen: Experiment, options: Options) -> tuple[Result, float]:
    start = perf_counter()
    with shown_progress(sys.stderr) as progress:
        result = chosen.run(options, progress)
    return result, perf_counter() - start


def _report(name: str, options: Options, result: Result, seconds: float) -> None:
    picture, numbers = (options.out / f"{name}{ending}" for ending in (".png", ".csv"))
    replace_file(picture, [png_bytes(result.figure)])
    replace_file(numbers, [csv_bytes(result.rows or result.table)])
    print(table_text(result.table))
    # A number stays with its unit.
    sentence = fill(result.sentence.replace(" %", "\0%"), WIDTH).replace("\0", " ")
    print(f"\n{sentence}\n")
    print(f"data      {options.title}, seed {options.seed}; {seconds:.1f} s")
    print(f"picture   {os.fspath(picture)}")
    print(f"numbers   {os.fspath(numbers)}", flush=True)
