"""ONNX Runtime, which only predicts."""

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers.workloads import Task


class Network:
    def __init__(self, task: Task, threads: int = 1) -> None:
        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            onnx_file(task.weights), options, providers=["CPUExecutionProvider"]
        )

    def predictor(self, x: np.ndarray) -> Callable[[], np.ndarray]:
        names, inputs = ["out"], {"x": x}
        return lambda: self.session.run(names, inputs)[0]

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        return outputs


def onnx_file(weights: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """The network as an ONNX model."""
    nodes, constants = [], []
    name = "x"
    for number, (w, b) in enumerate(weights, start=1):
        last = number == len(weights)
        out = "out" if last else f"affine{number}"
        nodes.append(helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [out]))
        constants += [
            numpy_helper.from_array(w, f"w{number}"),
            numpy_helper.from_array(b, f"b{number}"),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"relu{number}"]))
        name = f"relu{number}"
    n_in, n_out = len(weights[0][0]), len(weights[-1][1])
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", n_in])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", n_out])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
