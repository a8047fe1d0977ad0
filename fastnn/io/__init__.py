"""Trained networks for other programs: files that they run, and weights in their order."""

from fastnn.io.numpy_file import export_numpy
from fastnn.io.onnx_file import export_onnx

__all__ = [
    "export_numpy",
    "export_onnx",
]
