"""Trained networks for other programs: files that they run, and weights in their order."""

from fastnn.io.keras_weights import load_keras_weights, to_keras_weights
from fastnn.io.numpy_file import export_numpy
from fastnn.io.onnx_file import export_onnx
from fastnn.io.torch_weights import load_torch_state_dict, to_torch_state_dict

__all__ = [
    "export_numpy",
    "export_onnx",
    "load_keras_weights",
    "load_torch_state_dict",
    "to_keras_weights",
    "to_torch_state_dict",
]
