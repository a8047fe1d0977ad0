"""Models as ONNX files. onnx is the extra ``onnx``; what runs the files needs only themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.checks import UINT8_SCALE, positive_int
from fastnn.data.preprocess import Preprocessor
from fastnn.data.projection import PCA, Whiten
from fastnn.data.scaling import Center, MinMax, Standardize
from fastnn.errors import missing_extra
from fastnn.files import FilePath, replace_file
from fastnn.io.exportable import preprocessing_steps, sample_shape, sequential
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

NEWEST_OPSET = 26  # that ONNX Runtime reads, 1.31; onnx itself is ahead of it
OLDEST_OPSET = 20  # the first that has GELU


def export_onnx(
    model: Sequential,
    path: FilePath,
    *,
    probabilities: bool = False,
    input_dtype: str | None = None,
    opset: int | None = None,
) -> None:
    """Write a model, with its preprocessing, as an ONNX file.

    The file has one input, "input", (N, \\*sample shape), with any number N of samples: raw ones,
    as ``model.preprocessing`` takes them, or else rows of ``model.input_shape``. Its one output is
    what `Sequential.predict` gives, "output", or `Sequential.predict_proba`, "probabilities",
    (N, n_out). Numbers are of the model's dtype. What works in training only is left out.

    Parameters
    ----------
    model : Sequential
    path : path-like
        The file is replaced at once or not at all.
    probabilities : bool
        Put a softmax behind the last layer, if it is none itself.
    input_dtype : {"float32", "float64", "uint8"}, optional
        What the input must be; by default the model's dtype. Bytes are scaled to [0, 1], as
        everywhere in fastnn.
    opset : int, optional
        Version of ONNX's operators, from 20 on; by default the newest that ONNX Runtime reads. An
        older runtime may ask for an older one.

    Raises
    ------
    TypeError, ValueError
        A layer or a preprocessor is not fastnn's own; the preprocessing is not fitted or does not
        fit the model; an option is not among those above; probabilities of a single output.
    ImportError
        onnx is not installed; the message names the extra.
    OSError
        The file cannot be written.

    Notes
    -----
    ONNX Runtime computes no GELU in float64: there its error function, and that alone, is taken in
    float32. Operators: https://onnx.ai/onnx/operators/
    """
    helper = require_onnx().helper
    steps = preprocessing_steps(sequential(model))
    if probabilities:
        model.check_probabilities()
    taken = _input_type(input_dtype, model)
    shape = sample_shape(model, steps)
    graph = Graph(model.dtype, shape)
    value = graph.cast("input", taken)
    for place, step in enumerate(steps):
        graph.scope = f"preprocessing.{place}"
        value = _PREPROCESSORS[type(step)](graph, graph.reshape(value, step.shape or ()), step)
    graph.scope = "input"
    value = graph.reshape(value, (model.layers[0].n_in,))
    value = add_layers(graph, value, model)
    if probabilities and not isinstance(model.layers[-1], Softmax):
        graph.scope = "probabilities"
        if model.output_activation == "sigmoid":
            value = graph.node("Sigmoid", value)
        else:
            value = graph.node("Softmax", value, axis=1)
    output = "probabilities" if probabilities else "output"
    graph.nodes.append(helper.make_node("Identity", [value], [output], name=output))

    inputs = [helper.make_tensor_value_info("input", onnx_type(taken), ["N", *shape])]
    outputs = [
        helper.make_tensor_value_info(output, onnx_type(model.dtype), ["N", model.output_size])
    ]
    write_graph(graph, path, inputs, outputs, opset)


def require_onnx() -> Any:
    """onnx.

    Raises
    ------
    ImportError
        It is not installed; the message names the extra.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("onnx", "onnx") from error
    return onnx


def write_graph(
    graph: "Graph", path: FilePath, inputs: list[Any], outputs: list[Any], opset: int | None
) -> None:
    """Check a graph, and write it at once or not at all.

    Parameters
    ----------
    inputs, outputs : list of onnx.ValueInfoProto
    opset : int, optional
        As in `export_onnx`.
    """
    onnx = require_onnx()
    helper = onnx.helper
    version = _opset(opset, onnx.defs.onnx_opset_version())
    constants = [
        onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()
    ]
    content = helper.make_model(
        helper.make_graph(graph.nodes, "fastnn", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", version)],
        producer_name="fastnn",
        producer_version=__version__,
    )
    # Not the newest, which runtimes refuse, but the first that these operators are written in.
    content.ir_version = helper.find_min_ir_version_for(content.opset_import)
    onnx.checker.check_model(content, full_check=True)
    replace_file(path, [content.SerializeToString()])


def _opset(opset: int | None, known: int) -> int:
    if opset is None:
        return min(NEWEST_OPSET, known)
    if not OLDEST_OPSET <= positive_int("opset", opset) <= known:
        raise ValueError(
            f"opset must lie in {OLDEST_OPSET}..{known}, which onnx knows here; got {opset}"
        )
    return int(opset)


def _input_type(input_dtype: Any, model: Sequential) -> np.dtype[Any]:
    if input_dtype is None:
        return model.dtype
    if input_dtype not in ("float32", "float64", "uint8"):
        raise ValueError(
            f"input_dtype must be one of float32, float64, uint8, or None; got {input_dtype!r}"
        )
    return np.dtype(input_dtype)


def onnx_type(dtype: Any) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class Graph:
    """Nodes and constants, in the order of the computation.

    Values go by their names; `scope` is what the names of new ones begin with, `shape` that of a
    sample, as far as preprocessing goes.
    """

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.scope = "input"
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """An operator on values; the name of its result."""
        from onnx import helper

        name = f"{self.scope}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        """A number or an array, in the model's dtype or another one."""
        name = f"{self.scope}.{name}"
        self.constants[name] = np.array(value, dtype=dtype or self.dtype, order="C")
        return name

    def parameter(self, layer: Layer, key: str) -> str:
        """What a layer has learned, under its name in the model."""
        name = f"{layer.name}.{key}"
        self.constants[name] = getattr(layer, key)
        return name

    def integers(self, name: str, values: Any) -> str:
        return self.constant(name, list(values), np.int64)

    def cast(self, value: str, source: np.dtype[Any]) -> str:
        """Input of another type in the model's dtype; bytes scaled to [0, 1]."""
        if source != self.dtype:
            value = self.node("Cast", value, to=onnx_type(self.dtype))
        if source == np.uint8:
            value = self.node("Mul", value, self.constant("scale", UINT8_SCALE))
        return value

    def reshape(self, value: str, shape: tuple[int, ...]) -> str:
        """Samples in another shape, where that differs from `shape`."""
        if shape == self.shape:
            return value
        self.shape = shape
        return self.node("Reshape", value, self.integers("shape", [0, *shape]))


# -- preprocessing ---------------------------------------------------------------------------------


def _scaling(graph: Graph, x: str, step: Any) -> str:
    """``(x - shift) / scale``, learned or of each sample."""
    if step.per == "image":
        shift, scale = _of_each_image(graph, x, step)
    else:
        shift, scale = graph.constant("shift", step.shift), graph.constant("scale", step.scale)
    centered = graph.node("Sub", x, shift)
    return graph.node("Div", centered, scale) if scale else centered


def _of_each_image(graph: Graph, x: str, step: Any) -> tuple[str, str]:
    """Shift and scale, "" for none, of each sample itself: in float64, as fastnn takes them."""
    axes = graph.integers("axes", range(1, 1 + len(step.shape)))
    wide = graph.node("Cast", x, to=onnx_type(np.float64))

    def reduced(operator: str, value: str = wide) -> str:
        return graph.node(operator, value, axes)

    def narrow(value: str) -> str:
        return graph.node("Cast", value, to=onnx_type(graph.dtype))

    if isinstance(step, Center):
        return narrow(reduced("ReduceMean")), ""
    one = graph.constant("one", 1, np.float64)
    least, greatest = reduced("ReduceMin"), reduced("ReduceMax")
    constant = graph.node("Equal", least, greatest)
    if isinstance(step, Standardize):
        mean = reduced("ReduceMean")
        centered = graph.node("Sub", wide, mean)
        variance = reduced("ReduceMean", graph.node("Mul", centered, centered))
        deviation = graph.node("Where", constant, one, graph.node("Sqrt", variance))
        return narrow(mean), narrow(deviation)
    # low + (x - least) / extent * (high - low), as one shift and one scale.
    extent = graph.node("Where", constant, one, graph.node("Sub", greatest, least))
    scale = graph.node("Div", extent, graph.constant("range", step.high - step.low, np.float64))
    low = graph.node("Mul", scale, graph.constant("low", step.low, np.float64))
    return narrow(graph.node("Sub", least, low)), narrow(scale)


def _projection(graph: Graph, x: str, step: Any) -> str:
    """Coordinates along the principal axes; whitened, and turned back if asked for."""
    x = graph.reshape(x, step.mean.shape)
    centered = graph.node("Sub", x, graph.constant("mean", step.mean))
    value = graph.node("MatMul", centered, graph.constant("axes_transposed", step.axes.T))
    if isinstance(step, Whiten):
        value = graph.node("Div", value, graph.constant("deviations", step.deviations()))
        if step.method == "zca":
            return graph.node("MatMul", value, graph.constant("axes", step.axes))
    graph.shape = (len(step.axes),)
    return value


_PREPROCESSORS: dict[type[Preprocessor], Callable[[Graph, str, Any], str]] = {
    **dict.fromkeys((Center, Standardize, MinMax), _scaling),
    **dict.fromkeys((PCA, Whiten), _projection),
}


# -- layers ----------------------------------------------------------------------------------------


def add_layers(graph: Graph, value: str, model: Sequential) -> str:
    """What a model makes of rows; the name of its last layer's output."""
    for layer in model.layers:
        graph.scope = layer.name
        value = _LAYERS[type(layer)](graph, value, layer)
    return value


def _nothing(graph: Graph, x: str, layer: Layer) -> str:
    """Layers that do nothing outside training."""
    return x


def _affine(graph: Graph, x: str, layer: Affine) -> str:
    return graph.node("Gemm", x, graph.parameter(layer, "w"), graph.parameter(layer, "b"))


def _tied_affine(graph: Graph, x: str, layer: TiedAffine) -> str:
    w = graph.parameter(layer.source, "w")
    return graph.node("Gemm", x, w, graph.parameter(layer, "b"), transB=1)


def _batchnorm(graph: Graph, x: str, layer: BatchNorm) -> str:
    names = ("gamma", "beta", "running_mean", "running_var")
    inputs = (graph.parameter(layer, name) for name in names)
    return graph.node("BatchNormalization", x, *inputs, epsilon=float(layer.eps))


def _operator(name: str, **attributes: Any) -> Callable[[Graph, str, Layer], str]:
    """A layer that is a single operator."""
    return lambda graph, x, layer: graph.node(name, x, **attributes)


def _leaky_relu(graph: Graph, x: str, layer: LeakyReLU) -> str:
    if graph.dtype == np.float32:
        return graph.node("LeakyRelu", x, alpha=float(layer.slope))
    return _two_lines(graph, x, graph.constant("slope", layer.slope))


def _prelu(graph: Graph, x: str, layer: PReLU) -> str:
    slope = graph.parameter(layer, "slope")
    if graph.dtype == np.float32:
        return graph.node("PRelu", x, slope)
    return _two_lines(graph, x, slope)


# ONNX Runtime has the operators LeakyRelu, PRelu, Elu, Softplus and Erf in float32 only; in float64
# they are written out.


def _two_lines(graph: Graph, x: str, slope: str) -> str:
    """``x where x > 0, else slope * x``."""
    positive = graph.node("Greater", x, graph.constant("zero", 0))
    return graph.node("Where", positive, x, graph.node("Mul", slope, x))


def _elu(graph: Graph, x: str, layer: ELU) -> str:
    if graph.dtype == np.float32:
        return graph.node("Elu", x, alpha=float(layer.alpha))
    zero, one = graph.constant("zero", 0), graph.constant("one", 1)
    power = graph.node("Exp", graph.node("Min", x, zero))
    below = graph.node("Mul", graph.node("Sub", power, one), graph.constant("alpha", layer.alpha))
    return graph.node("Where", graph.node("Greater", x, zero), x, below)


def _softplus(graph: Graph, x: str, layer: Softplus) -> str:
    """``max(x, 0) + log(1 + exp(-|x|))``, which cannot overflow."""
    if graph.dtype == np.float32:
        return graph.node("Softplus", x)
    power = graph.node("Exp", graph.node("Neg", graph.node("Abs", x)))
    rest = graph.node("Log", graph.node("Add", power, graph.constant("one", 1)))
    return graph.node("Add", graph.node("Max", x, graph.constant("zero", 0)), rest)


def _gelu(graph: Graph, x: str, layer: GELU) -> str:
    """``x * (1 + erf(x / sqrt(2))) / 2``."""
    if graph.dtype == np.float32:
        return graph.node("Gelu", x)
    scaled = graph.node("Mul", x, graph.constant("root", np.sqrt(0.5)))
    erf = graph.node("Erf", graph.node("Cast", scaled, to=onnx_type(np.float32)))
    erf = graph.node("Cast", erf, to=onnx_type(np.float64))
    twice = graph.node("Mul", x, graph.node("Add", erf, graph.constant("one", 1)))
    return graph.node("Mul", twice, graph.constant("half", 0.5))


def _silu(graph: Graph, x: str, layer: SiLU) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _maxout(graph: Graph, x: str, layer: Maxout) -> str:
    shape = graph.integers("shape", [0, layer.pieces, layer.n_out])
    by_pieces = graph.node("Reshape", x, shape)
    return graph.node("ReduceMax", by_pieces, graph.integers("axes", [1]), keepdims=0)


_LAYERS: dict[type[Layer], Callable[[Graph, str, Any], str]] = {
    Affine: _affine,
    TiedAffine: _tied_affine,
    BatchNorm: _batchnorm,
    **dict.fromkeys((Dropout, GaussianNoise, MaskingNoise), _nothing),
    ReLU: _operator("Relu"),
    LeakyReLU: _leaky_relu,
    PReLU: _prelu,
    ELU: _elu,
    Softplus: _softplus,
    GELU: _gelu,
    SiLU: _silu,
    Sigmoid: _operator("Sigmoid"),
    Tanh: _operator("Tanh"),
    Maxout: _maxout,
    Softmax: _operator("Softmax", axis=1),
}
