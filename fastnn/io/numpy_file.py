"""Models as one Python file that needs NumPy alone."""

import base64
import io
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.data.preprocess import Preprocessor
from fastnn.data.projection import PCA, Whiten
from fastnn.data.scaling import Center, MinMax, Standardize
from fastnn.files import FilePath, replace_file
from fastnn.io.exportable import preprocessing_steps, sample_shape, sequential, size
from fastnn.layers import (
    ELU,
    GELU,
    Affine,
    BatchNorm,
    Dropout,
    GaussianNoise,
    Layer,
    LeakyReLU,
    MaskingNoise,
    Maxout,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TiedAffine,
)
from fastnn.model import Sequential
from fastnn.version import __version__

FILE = '''\
"""A neural network, written by fastnn {version}. It needs NumPy, and no other file.

predict(x) takes samples {taken}, and gives {given}.
{network}"""

import base64
import io
{math}
import numpy as np

{functions}
def predict(x):
    """Outputs of the last layer; x {taken}, real numbers or the bytes of images."""
    x = np.asarray(x)
    if x.shape[1:] not in {shapes}:
        raise ValueError(f"x must have shape {taken}; got {{x.shape}}")
    if x.dtype == np.uint8:
        x = np.multiply(x, 1 / 255, dtype=np.{bytes_dtype})
{preprocessing}    x = x.reshape(len(x), {features}).astype(np.{dtype})
{layers}    return x

{probabilities}
# Weights: the arrays of an .npz file.
W = dict(np.load(io.BytesIO(base64.b64decode("""
{weights}
"""))))
'''

PREPROCESS = '''
def preprocess(x):
    """What the samples went through before the network was trained on them."""
{lines}    return x

'''

APPLY = "x = preprocess(x if x.dtype == np.float32 else x.astype(np.float64))"

PROBABILITIES = '''
def predict_proba(x):
    """Probabilities: of the classes, with the sum 1, or of each output's yes on its own."""
    return {expression}

'''

# What layers need besides NumPy's own functions.
FUNCTIONS = {
    "sigmoid": '''
def sigmoid(x):
    """1 / (1 + exp(-x)), which cannot overflow like this."""
    return np.exp(-np.logaddexp(0, -x))

''',
    "normal_cdf": '''
@np.vectorize(otypes=[float])
def normal_cdf(x):
    """Distribution function of the standard normal."""
    return math.erfc(-x / math.sqrt(2)) / 2

''',
    "softmax": '''
def softmax(x):
    """exp(x) / sum(exp(x)) over each row, shifted so that it cannot overflow."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

''',
}


def export_numpy(model: Sequential, path: FilePath) -> None:
    """Write a model, with its preprocessing, as a Python file that needs NumPy alone.

    The file is code as plain as a textbook's, with the weights within. Its ``predict(x)`` takes
    raw samples, as ``model.preprocessing`` does, or else what `Sequential.predict` takes, and gives
    the outputs of the last layer; ``predict_proba(x)`` gives `Sequential.predict_proba` where there
    is more than one. What works in training only is left out.

    Parameters
    ----------
    model : Sequential
    path : path-like
        The file, "model.py"; it is replaced at once or not at all.

    Raises
    ------
    TypeError, ValueError
        A layer or a preprocessor is not fastnn's own; the preprocessing is not fitted or does not
        fit the model.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, os, runpy
    >>> import fastnn as fnn
    >>> model = fnn.mlp(2, [3], 2, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.py")
    ...     fnn.io.export_numpy(model, path)
    ...     written = runpy.run_path(path)
    >>> written["predict_proba"]([[0.0, 0.0]])
    array([[0.5, 0.5]], dtype=float32)
    """
    steps = preprocessing_steps(sequential(model))
    arrays = model.params | model.state
    shape, features = sample_shape(model, steps), model.layers[0].n_in

    described = []
    for place, step in enumerate(steps):
        lines, learned = _PREPROCESSORS[type(step)](step, f"preprocessing.{place}")
        described += [f"# {step!r}", *lines]
        arrays |= learned
    layers = network_lines(model)
    probabilities = ""
    if model.output_size > 1 or model.output_activation == "sigmoid":
        ready = isinstance(model.layers[-1], Softmax)
        expression = "predict(x)" if ready else f"{model.output_activation}(predict(x))"
        probabilities = PROBABILITIES.format(expression=expression)
    code = "\n".join(layers) + probabilities
    functions = needed_functions(code)
    if steps:
        functions += PREPROCESS.format(lines=indented(described))
    source = FILE.format(
        version=__version__,
        taken=f"(N, {_listed(shape)})",
        given=f"(N, {model.output_size})",
        network=textwrap.fill(f"Network: {', '.join(layer.name for layer in model.layers)}", 88)
        + "\n",
        math="import math\n" if "math." in functions else "",
        functions=functions,
        shapes=f"({shape}, {(size(shape),)})",
        bytes_dtype="float32" if steps else model.dtype,
        preprocessing=indented([APPLY] if steps else []),
        features=features,
        dtype=model.dtype,
        layers=indented(layers),
        probabilities=probabilities,
        weights=embedded(arrays),
    )
    replace_file(path, [source.encode()])


def network_lines(model: Sequential) -> list[str]:
    """Code that makes the outputs of a model of the rows ``x``, with its arrays in ``W``."""
    return [line for layer in model.layers for line in (f"# {layer!r}", *_layer(layer))]


def needed_functions(code: str) -> str:
    """The functions that code calls, besides NumPy's own."""
    return "".join(text for name, text in FUNCTIONS.items() if f"{name}(" in code)


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def indented(lines: list[str]) -> str:
    """Lines of the body of a function."""
    return textwrap.indent("".join(f"{line}\n" for line in lines), "    ")


def embedded(arrays: dict[str, np.ndarray]) -> str:
    """Arrays as an .npz file, in base64, in lines of 100 characters."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    text = base64.b64encode(file.getbuffer()).decode()
    return "\n".join(text[start : start + 100] for start in range(0, len(text), 100))


# -- preprocessing: lines of code, and what they need ----------------------------------------------

_Lines = tuple[list[str], dict[str, np.ndarray]]


def _read(name: str) -> str:
    """An array of preprocessing in the type of the samples."""
    return f'W["{name}"].astype(x.dtype)'


def _scaling(step: Any, name: str) -> _Lines:
    reshaped = f"x = x.reshape(len(x), {_listed(step.shape)})"
    if step.per != "image":
        lines = [
            reshaped,
            f"x = x - {_read(f'{name}.shift')}",
            f"x = x / {_read(f'{name}.scale')}",
        ]
        return lines, {f"{name}.shift": step.shift, f"{name}.scale": step.scale}
    over = f"axis={tuple(range(1, 1 + len(step.shape)))}, keepdims=True"
    mean = f"shift = x.mean({over}, dtype=np.float64)"
    extremes = f"low, high = x.min({over}), x.max({over})"
    if isinstance(step, Center):
        return [reshaped, mean, "x = x - shift.astype(x.dtype)"], {}
    if isinstance(step, Standardize):
        lines = [mean, f"scale = x.std({over}, dtype=np.float64)"]
        lines.append("scale = np.where(low == high, 1.0, scale)")
    else:
        low, high = float(step.low), float(step.high)
        lines = [
            "low, high = low.astype(np.float64), high.astype(np.float64)",
            f"scale = np.where(low == high, 1.0, high - low) / {high - low!r}",
            f"shift = low - {low!r} * scale",
        ]
    return [
        reshaped,
        extremes,
        *lines,
        "x = (x - shift.astype(x.dtype)) / scale.astype(x.dtype)",
    ], {}


def _projection(step: Any, name: str) -> _Lines:
    arrays = {f"{name}.mean": step.mean, f"{name}.axes": step.axes}
    lines = [
        f"x = x.reshape(len(x), {step.mean.size}) - {_read(f'{name}.mean')}",
        f"x = x @ {_read(f'{name}.axes')}.T",
    ]
    if isinstance(step, Whiten):
        arrays[f"{name}.deviations"] = step.deviations()
        lines.append(f"x = x / {_read(f'{name}.deviations')}")
        if step.method == "zca":
            lines.append(f"x = x @ {_read(f'{name}.axes')}")
    return lines, arrays


_PREPROCESSORS: dict[type[Preprocessor], Callable[[Any, str], _Lines]] = {
    **dict.fromkeys((Center, Standardize, MinMax), _scaling),
    **dict.fromkeys((PCA, Whiten), _projection),
}


# -- layers: lines of code -------------------------------------------------------------------------


def _layer(layer: Layer) -> list[str]:
    lines = _LAYERS[type(layer)]
    return [lines] if isinstance(lines, str) else lines(layer)


def _w(layer: Layer, key: str) -> str:
    return f'W["{layer.name}.{key}"]'


def _affine(layer: Affine) -> list[str]:
    return [f"x = x @ {_w(layer, 'w')} + {_w(layer, 'b')}"]


def _tied_affine(layer: TiedAffine) -> list[str]:
    return [f"x = x @ {_w(layer.source, 'w')}.T + {_w(layer, 'b')}"]


def _batchnorm(layer: BatchNorm) -> list[str]:
    mean, variance = _w(layer, "running_mean"), _w(layer, "running_var")
    return [
        f"x = (x - {mean}) / np.sqrt({variance} + {float(layer.eps)!r})",
        f"x = {_w(layer, 'gamma')} * x + {_w(layer, 'beta')}",
    ]


def _leaky_relu(layer: LeakyReLU) -> list[str]:
    return [f"x = np.where(x > 0, x, {float(layer.slope)!r} * x)"]


def _prelu(layer: PReLU) -> list[str]:
    return [f"x = np.where(x > 0, x, {_w(layer, 'slope')} * x)"]


def _elu(layer: ELU) -> list[str]:
    return [f"x = np.where(x > 0, x, {float(layer.alpha)!r} * np.expm1(np.minimum(x, 0)))"]


def _maxout(layer: Maxout) -> list[str]:
    return [f"x = x.reshape(len(x), {int(layer.pieces)}, {layer.n_out}).max(axis=1)"]


_LAYERS: dict[type[Layer], str | Callable[[Any], list[str]]] = {
    Affine: _affine,
    TiedAffine: _tied_affine,
    BatchNorm: _batchnorm,
    **dict.fromkeys((Dropout, GaussianNoise, MaskingNoise), "# does nothing outside training"),
    ReLU: "x = np.maximum(x, 0)",
    LeakyReLU: _leaky_relu,
    PReLU: _prelu,
    ELU: _elu,
    Softplus: "x = np.logaddexp(0, x)",
    GELU: "x = x * normal_cdf(x).astype(x.dtype)",
    SiLU: "x = x * sigmoid(x)",
    Sigmoid: "x = sigmoid(x)",
    Tanh: "x = np.tanh(x)",
    Maxout: _maxout,
    Softmax: "x = softmax(x)",
}
