"""Models of tables as ONNX graphs: columns in, answers out."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.files import FilePath
from fastnn.io.exportable import sequential
from fastnn.io.onnx_file import Graph, add_layers, onnx_type, require_onnx, write_graph
from fastnn.tables.columns import YES_AND_NO, Column, Numeric

if TYPE_CHECKING:
    from fastnn.tables.table_model import TableModel


def export_onnx(model: "TableModel", path: FilePath, *, opset: int | None = None) -> None:
    """Write a model of a table, with what it does to the columns, as ONNX.

    The graph has an input for each column, of shape (N, 1) and called as the column: numbers as
    double, NaN where they are missing; names as strings, "" where they are missing. It gives the
    class, "label" (N,), and "probabilities" (N, classes); in regression "prediction" (N,). Where a
    column is called so, the output is "predicted label", ...

    Parameters
    ----------
    model : TableModel
    path : path-like
        The file is replaced at once or not at all.
    opset : int, optional
        As in `fastnn.io.export_onnx`.

    Raises
    ------
    TypeError, ValueError
        The opset is not among those there are.
    ImportError
        onnx is not installed; the message names the extra.
    OSError
        The file cannot be written.
    """
    onnx = require_onnx()
    network = sequential(model.network)
    graph = Graph(network.dtype, (network.layers[0].n_in,))
    inputs, features = [], []
    for place, column in enumerate(model.columns.columns):
        numeric = isinstance(column, Numeric)
        element = onnx_type(np.float64) if numeric else onnx.TensorProto.STRING
        inputs.append(onnx.helper.make_tensor_value_info(column.name, element, ["N", 1]))
        graph.scope = f"column.{place}"
        features += _features(graph, column)
    graph.scope = "columns"
    value = add_layers(graph, graph.node("Concat", *features, axis=1), network)

    graph.scope = "target"
    outputs = []

    def give(name: str, value: str, element: int, shape: list[Any]) -> None:
        name = f"predicted {name}" if name in model.columns.names else name
        graph.nodes.append(onnx.helper.make_node("Identity", [value], [name], name=f"out/{name}"))
        outputs.append(onnx.helper.make_tensor_value_info(name, element, shape))

    if model.classes:
        number = graph.node("ArgMax", value, axis=1, keepdims=0)
        label = graph.node("Gather", graph.constant("classes", model.classes, object), number)
        give("label", label, onnx.TensorProto.STRING, ["N"])
        proba = graph.node("Softmax", value, axis=1)
        give("probabilities", proba, onnx_type(network.dtype), ["N", len(model.classes)])
    else:
        wide = graph.node("Cast", value, to=onnx_type(np.float64))
        scaled = graph.node("Mul", wide, graph.constant("scale", model.target.scale, np.float64))
        moved = graph.node("Add", scaled, graph.constant("mean", model.target.mean, np.float64))
        flat = graph.node("Reshape", moved, graph.integers("shape", [-1]))
        give("prediction", flat, onnx_type(np.float64), ["N"])
    write_graph(graph, path, inputs, outputs, opset)


def _features(graph: Graph, column: Column) -> list[str]:
    """The features of a column, (N, 1) or (N, categories), as `Column.encode` makes them."""

    def real(value: str) -> str:
        return graph.node("Cast", value, to=onnx_type(graph.dtype))

    if isinstance(column, Numeric):
        missing = graph.node("IsNaN", column.name)
        median = graph.constant("median", column.median, np.float64)
        filled = graph.node("Where", missing, median, column.name)
        centered = graph.node("Sub", filled, graph.constant("mean", column.mean, np.float64))
        scaled = graph.node("Div", centered, graph.constant("scale", column.scale, np.float64))
        return [real(scaled)] + ([real(missing)] if column.marks_missing else [])
    names = [*column.categories] + ([""] if column.marks_missing else [])

    def equal(which: str, spelled: list[str]) -> str:
        return graph.node("Equal", column.name, graph.constant(which, [spelled], object))

    found = equal("categories", names)
    if {*column.categories} <= YES_AND_NO:  # true and TRUE are the same, as in training
        for spell in (str.lower, str.upper):
            spelled = [spell(name) for name in names]
            found = graph.node("Or", found, equal(f"categories {spell.__name__}", spelled))
    return [real(found)]
