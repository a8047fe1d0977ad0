"""Preprocessors as a description and arrays, for model files: a closed vocabulary, no pickle."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.components import from_config, is_known
from fastnn.data.preprocess import Pipeline, Preprocessor
from fastnn.data.projection import PCA, Whiten
from fastnn.data.scaling import Center, MinMax, Standardize

PREPROCESSORS: dict[str, type[Preprocessor]] = {
    cls.kind: cls for cls in (Center, Standardize, MinMax, PCA, Whiten)
}


def describe(what: Preprocessor | Pipeline) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file says of preprocessing: a JSON-able description, and arrays by name.

    Raises
    ------
    ValueError
        It is not fitted, or holds a preprocessor that is not fastnn's own.
    """
    steps = what.steps if isinstance(what, Pipeline) else [what]
    for step in steps:
        if not is_known(step, PREPROCESSORS):
            raise ValueError(f"preprocessing has a {type(step).__name__}, which files do not know")
        if step.shape is None:
            raise ValueError(f"preprocessing has {step!r}, which has learned nothing: call its fit")
    description = {
        "pipeline": isinstance(what, Pipeline),
        "steps": [{"step": step.config(), "shape": list(step.shape or ())} for step in steps],
    }
    arrays = {
        f"{place}.{name}": array
        for place, step in enumerate(steps)
        for name, array in step.arrays.items()
    }
    return description, arrays


def rebuild(description: Any, arrays: Mapping[str, np.ndarray]) -> Preprocessor | Pipeline:
    """Undo `describe`; neither argument need be trusted.

    Raises
    ------
    KeyError, TypeError, ValueError
        The description is none, or the arrays do not fit it.
    """
    unused = dict(arrays)
    steps = []
    for place, entry in enumerate(description["steps"]):
        step = from_config(entry["step"], PREPROCESSORS, "preprocessor")
        shape = entry["shape"]
        if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"the shape of a sample must be positive integers; got {shape!r}")
        prefix = f"{place}."
        own = {name: unused.pop(name) for name in arrays if name.startswith(prefix)}
        steps.append(step.restore(shape, {name.removeprefix(prefix): own[name] for name in own}))
    if unused:
        raise ValueError(f"preprocessing has an array {sorted(unused)[0]!r} that belongs nowhere")
    if description["pipeline"] is True:
        return Pipeline(steps)
    (only,) = steps
    return only
