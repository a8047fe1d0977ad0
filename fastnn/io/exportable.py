"""What can be written down for programs that do not know fastnn."""

import math
from typing import Any

import numpy as np

from fastnn.components import is_known
from fastnn.data import saved
from fastnn.data.preprocess import Pipeline, Preprocessor
from fastnn.layers import LAYERS
from fastnn.model import Sequential, check_model


def sequential(model: Any) -> Sequential:
    """The model, if it is a `Sequential` of fastnn's own layers.

    Raises
    ------
    TypeError, ValueError
        It is something else; a layer is of a class that only its author knows.
    """
    for layer in check_model(model).layers:
        if not is_known(layer, LAYERS):
            raise ValueError(
                f"model has a {type(layer).__name__} as {layer.name}, which is no layer of fastnn: "
                "there is no translation for it"
            )
    return model


def preprocessing_steps(model: Sequential) -> list[Preprocessor]:
    """The model's preprocessing, first to last; empty if it has none.

    Raises
    ------
    ValueError
        It has learned nothing yet, is not fastnn's own, or gives other rows than the model takes.
    """
    what = model.preprocessing
    if what is None:
        return []
    saved.describe(what)  # refuses what is not fitted, and what only its author knows
    steps = what.steps if isinstance(what, Pipeline) else [what]
    features, wanted = what.transform(np.zeros((1, *raw_shape(steps)))).size, model.layers[0].n_in
    if features != wanted:
        raise ValueError(
            f"model takes {wanted} features, but its preprocessing gives {features}: {what!r}"
        )
    return steps


def raw_shape(steps: list[Preprocessor]) -> tuple[int, ...]:
    """Shape of a sample as the first step takes it."""
    return steps[0].shape or ()


def sample_shape(model: Sequential, steps: list[Preprocessor]) -> tuple[int, ...]:
    """Shape of a sample as the whole takes it: preprocessing, then the model."""
    return raw_shape(steps) if steps else model.input_shape


def size(shape: tuple[int, ...]) -> int:
    """Numbers in a sample of this shape."""
    return math.prod(shape)
