"""Networks made of the parts."""

from fastnn.zoo.mlp import mlp

__all__ = ["mlp"]
