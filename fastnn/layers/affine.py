"""The affine layer, also called dense, linear or fully connected."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from fastnn.checks import positive_int, real_in
from fastnn.components import check_optional, from_config
from fastnn.constraints import CONSTRAINTS, Constraint
from fastnn.initializers import INITIALIZERS, Initializer, as_initializer
from fastnn.layers.base import Layer
from fastnn.regularizers import REGULARIZERS, Regularizer


class Affine(Layer):
    """``out = x @ w + b``, with w (n_in, units) and b (units,).

    Parameters
    ----------
    units : int
        Features going out; those coming in are taken from the layer before.
    init : str, float or Initializer
        How w is drawn: a name ("he", "xavier", "lecun", each also with "_uniform"; "orthogonal",
        "zeros"; "auto" follows the activation after the layer, see `AutoInit`), the standard
        deviation of a normal as a float, or an object. An integer is refused: it is mostly meant to
        be a number of features, as in PyTorch's ``Linear(in, out)``.
    regularizer : Regularizer, optional
        Penalty on w, in place of the trainer's.
    constraint : Constraint, optional
        Bound on w, in place of the trainer's.
    bias_init : float
        What every element of b starts from.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.
    """

    kind = "affine"
    weight_names = ("w",)
    w: np.ndarray
    b: np.ndarray
    dw: np.ndarray
    db: np.ndarray

    def __init__(
        self,
        units: int,
        init: str | float | Initializer = "he",
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        bias_init: float = 0.0,
    ) -> None:
        self.units = units
        self.init = init
        self.regularizer = regularizer
        self.constraint = constraint
        self.bias_init = bias_init
        positive_int("units", units)
        if isinstance(init, int | np.integer):
            raise TypeError(
                f"init must be a name, an Initializer, or a standard deviation as a float; got "
                f"{init!r}: if that is the number of outputs, write Affine({init!r}), which finds "
                "out by itself how many features come in"
            )
        as_initializer(init)
        real_in("bias_init", bias_init)
        check_optional("regularizer", regularizer, Regularizer, "L2(1e-4)")
        check_optional("constraint", constraint, Constraint, "MaxNorm(3)")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        settings = dict(settings)
        if isinstance(settings.get("init"), Mapping):
            settings["init"] = from_config(settings["init"], INITIALIZERS, "initializer")
        elif isinstance(settings.get("init"), int):
            settings["init"] = float(settings["init"])  # files of version 0.1 may have it so
        if isinstance(settings.get("regularizer"), Mapping):
            settings["regularizer"] = from_config(
                settings["regularizer"], REGULARIZERS, "regularizer"
            )
        if isinstance(settings.get("constraint"), Mapping):
            settings["constraint"] = from_config(settings["constraint"], CONSTRAINTS, "constraint")
        return cls(**settings)

    def output_size(self, n_in: int) -> int:
        return int(self.units)

    def parameter_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        return {"w": (n_in, int(self.units)), "b": (int(self.units),)}

    def initialize(self, rng: np.random.Generator) -> None:
        init = as_initializer(self.init).following(self.followed_by)
        self.w[:] = init.draw(rng, (self.n_in, self.n_out))
        self.b[:] = self.bias_init

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        out = self.output_buffer(self.check_input(x))
        self._x = x
        self.kernels.affine_forward(x, self.w, self.b, out)
        return out

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        rows = self.check_gradient(dout)
        dx = self.input_gradient_buffer(rows) if input_gradient else None
        dw, db = (self.dw, self.db) if self.trainable else (None, None)
        self.kernels.affine_backward(dout, self._x, self.w, dx, dw, db)
        return dx
