"""Models as files: a description in a closed vocabulary, arrays, and no code."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import storage
from fastnn.backend import get_backend
from fastnn.checks import real_dtype
from fastnn.components import Component, from_config, is_known
from fastnn.constraints import CONSTRAINTS
from fastnn.data import saved
from fastnn.errors import CorruptFileError
from fastnn.initializers import INITIALIZERS
from fastnn.layers import LAYERS, Affine, Layer, chain
from fastnn.regularizers import REGULARIZERS

if TYPE_CHECKING:
    from fastnn.model import Sequential

# All that a description may say; what it says beyond that would go unheard.
_ENTRIES = frozenset(
    (
        *("model", "input_shape", "dtype", "seed", "step", "layers", "frozen", "lr_scales"),
        *("output_activation", "preprocessing"),
    )
)

# What the names of the arrays of preprocessing begin with; no layer is called so.
PREPROCESSING = "preprocessing."


def describe(model: "Sequential") -> dict[str, Any]:
    """The architecture, and how it is trained, as JSON-able data."""
    scales = [[layer.index, layer.lr_scale] for layer in model.layers if layer.lr_scale != 1]
    return {
        "model": "sequential",
        "input_shape": list(model.input_shape),
        "dtype": model.dtype.name,
        "seed": model.seed,
        "step": model.step,
        "layers": [layer.config() for layer in model.layers],
        "frozen": [layer.index for layer in model.layers if not layer.trainable],
    } | {
        key: value
        for key, value, plain in (
            ("lr_scales", scales, []),
            ("output_activation", model.output_activation, "softmax"),
        )
        if value != plain
    }


def adopt(model: "Sequential", config: Mapping[str, Any]) -> None:
    """Give a model of the layers that `describe` wrote down all else that it wrote."""
    model.step, model.seed = config["step"], config["seed"]
    model.output_activation = config.get("output_activation", "softmax")
    for layer in model.layers:
        layer.seed = model.seed
        layer.trainable = layer.index not in config["frozen"]
    for index, scale in config.get("lr_scales", ()):
        model.layers[index].lr_scale = scale


def write(model: "Sequential", path: str | os.PathLike[str]) -> None:
    """What `Sequential.save` does."""
    storage.write_file(path, *contents(model))


def contents(model: "Sequential") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All that a file says of a model: arrays by name, and the description.

    Raises
    ------
    ValueError
        As `Sequential.save`.
    """
    for layer in model.layers:
        _check_known(layer)
    arrays, config = model.params | model.state, model.config()
    if model.preprocessing is not None:
        config["preprocessing"], learned = saved.describe(model.preprocessing)
        arrays |= {f"{PREPROCESSING}{name}": array for name, array in learned.items()}
    return arrays, config


def read(
    cls: type["Sequential"], path: str | os.PathLike[str], backend: str | None
) -> "Sequential":
    """What `Sequential.load` does, for a model of this class."""
    stored, config = storage.read_file(path)
    get_backend(backend)  # a wrong name is the caller's mistake, not the file's
    try:
        return rebuild(cls, stored, config, backend)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CorruptFileError(
            f"{os.fspath(path)!r} is not a fastnn model: {storage.short(error)}"
        ) from error


def rebuild(
    cls: type["Sequential"],
    stored: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    backend: str | None,
) -> "Sequential":
    """A model of its `contents`, which need not be trusted.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError, OverflowError
        The description is none, or the arrays do not fit it.
    """
    arrays, learned = {}, {}
    for name, array in stored.items():
        if name.startswith(PREPROCESSING):
            learned[name.removeprefix(PREPROCESSING)] = array
        else:
            arrays[name] = array
    _check_description(config, arrays)
    model = cls(
        [from_config(layer, LAYERS, "layer") for layer in config["layers"]],
        input_shape=config["input_shape"],
        rng=0,
        dtype=config["dtype"],
        backend=backend,
    )
    adopt(model, config)
    model.restore(arrays)
    if learned or "preprocessing" in config:
        model.preprocessing = saved.rebuild(config["preprocessing"], learned)
    return model


def _check_known(layer: Layer) -> None:
    """Refuse a layer whose code a file would have to bring along."""
    parts: list[tuple[Any, Any]] = [
        (layer, LAYERS),
        (layer.regularizer, REGULARIZERS),
        (layer.constraint, CONSTRAINTS),
    ]
    if isinstance(layer, Affine):
        parts.append((layer.init, INITIALIZERS))
    for part, registry in parts:
        if isinstance(part, Component) and not is_known(part, registry):
            raise ValueError(
                f"{layer.name} has a {type(part).__name__}, which model files do not know:"
                " save model.snapshot() yourself and restore() it into a model you build"
            )


def _check_description(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse what `Sequential` would not, before memory is taken for an architecture."""
    if config["model"] == "table":
        raise ValueError("it holds a model of a table, which fastnn.tables.load reads")
    if config["model"] != "sequential":
        raise ValueError(f"unknown model {config['model']!r}")
    unknown = sorted(config.keys() - _ENTRIES)
    if unknown:
        raise ValueError(f"it says {unknown[0]!r}, which this fastnn does not understand")
    dtype = real_dtype(config["dtype"])
    if any(array.dtype != dtype for array in arrays.values()):
        raise ValueError(f"its arrays are not all {dtype}")
    if sorted(_array_sizes(config)) != sorted(array.size for array in arrays.values()):
        raise ValueError("its arrays are not those of its layers")
    for name in ("step", "seed"):
        if type(config[name]) is not int or not 0 <= config[name] < 2**63:
            raise ValueError(f"{name} must be an integer in 0..2^63 - 1; got {config[name]!r}")
    scaled = [index for index, _ in config.get("lr_scales", [])]
    for name, indices in (("frozen", config["frozen"]), ("lr_scales", scaled)):
        if not isinstance(indices, list) or not all(
            type(index) is int and 0 <= index < len(config["layers"]) for index in indices
        ):
            raise ValueError(f"{name} must hold numbers of layers; got {indices!r}")


def _array_sizes(config: Mapping[str, Any]) -> Iterator[int]:
    layers = [from_config(settings, LAYERS, "layer") for settings in config["layers"]]
    widths = chain.lay_out(layers, chain.as_shape(config["input_shape"]))
    for layer, width in zip(layers, widths, strict=False):
        for shape in (layer.parameter_shapes(width) | layer.state_shapes(width)).values():
            yield math.prod(shape)
