"""What every layer is: parameters, a forward and a backward pass, and buffers of its own."""

from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, SupportsIndex

import numpy as np

from fastnn.buffers import Workspace, fill
from fastnn.checks import real_in, shown
from fastnn.components import Component, setting_names
from fastnn.constraints import Constraint
from fastnn.regularizers import Regularizer


class Layer(Component):
    """Base of the layers.

    A layer of one's own needs `forward` and `backward`, and, if it has parameters, their shapes and
    initial values; and a ``kind``, if it is to be called by another name than its class::

        class Scale(fnn.Layer):
            def parameter_shapes(self, n_in):
                return {"a": (n_in,)}

            def initialize(self, rng):
                self.a[:] = 1

            def forward(self, x, train=False, step=0):
                self.x = x
                return self.a * x

            def backward(self, dout, input_gradient=True):
                self.da[:] = (dout * self.x).sum(0)
                return dout * self.a if input_gradient else None

    Attributes
    ----------
    trainable : bool
        False freezes the layer: its parameters keep their values and cost no gradient.
    lr_scale : float
        Factor, at least 0, on the learning rate for this layer's parameters; 1 at first.
    name : str
        Unique in the model: the kind and a number, "affine1".
    n_in, n_out : int
        Features coming in and going out.
    <parameter>, d<parameter> : ndarray
        Views of the model's flat parameters and gradients, ``layer.w`` and ``layer.dw``. What is
        assigned to one, ``layer.w = array``, is written into it.
    """

    weight_names: ClassVar[tuple[str, ...]] = ()  # what regularizers and constraints apply to
    trainable: bool = True
    _lr_scale: float = 1.0
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    followed_by: str | None = None  # kind of the activation that its output goes to
    name: str
    index: int
    n_in: int
    n_out: int
    dtype: np.dtype[Any]
    kernels: ModuleType
    seed: int
    is_known: bool = True  # one of fastnn's own, which needs no checks of what it returns
    _out: np.ndarray
    _guarded: Collection[str] = ()  # attributes that are not simply replaced

    @property
    def lr_scale(self) -> float:
        return self._lr_scale

    @lr_scale.setter
    def lr_scale(self, scale: float) -> None:
        self._lr_scale = real_in("lr_scale", scale, 0)

    # -- what a layer declares ---------------------------------------------------------------------

    def link(self, before: Sequence["Layer"]) -> None:
        """Find, among the layers before it in a model, those whose parameters it shares."""

    def output_size(self, n_in: int) -> int:
        """Features going out, for ``n_in`` coming in."""
        return n_in

    def parameter_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what is trained."""
        return {}

    def state_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what training moves, but not by gradients."""
        return {}

    def initialize(self, rng: np.random.Generator) -> None:
        """Give parameters and state, zero so far, their initial values."""

    # -- what a layer does -------------------------------------------------------------------------

    def forward(self, x: np.ndarray, train: bool = False, step: int = 0) -> np.ndarray:
        """Output for the rows of x.

        Parameters
        ----------
        x : ndarray, (N, n_in)
            Of the model's dtype, C-contiguous.
        train : bool
            Training mode: batch statistics, dropped units.
        step : int
            Number of the training step, which random masks depend on.

        Returns
        -------
        ndarray, (N, n_out)
            The layer's own buffer, valid until its next forward pass.
        """
        raise NotImplementedError  # abstract: every subclass has its own

    def backward(self, dout: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Write the gradients of the parameters; return that of the input.

        Parameters
        ----------
        dout : ndarray, (N, n_out)
            Gradient of the loss with respect to the last forward pass's output.
        input_gradient : bool
            False where nobody needs the input's gradient: then None is returned.
        """
        raise NotImplementedError  # abstract: every subclass has its own

    def add_shared_gradients(self) -> None:
        """Add to the gradients of another layer's parameters, which that layer has written now."""

    # -- how a model puts a layer to work ----------------------------------------------------------

    def bind(
        self,
        name: str,
        index: int,
        n_in: int,
        kernels: ModuleType,
        dtype: np.dtype[Any],
        seed: int,
        params: Mapping[str, np.ndarray],
        grads: Mapping[str, np.ndarray],
        state: Mapping[str, np.ndarray],
    ) -> None:
        """Take a place in a model: its memory, its kernels, its seed.

        Parameters
        ----------
        name, index, n_in, kernels, dtype, seed
            What the attributes of these names become.
        params, grads, state : mapping
            Name to view of the model's memory, without the layer's own name before it.
        """
        self.name, self.index, self.n_in, self.n_out = name, index, n_in, self.output_size(n_in)
        self.kernels, self.dtype, self.seed = kernels, dtype, seed
        self.workspace = Workspace()
        self.param_names = tuple(params)
        self.state_names = tuple(state)
        for key, view in (*params.items(), *state.items()):
            setattr(self, key, view)
        for key, view in grads.items():
            setattr(self, f"d{key}", view)
        self._views = {*params, *state, *(f"d{key}" for key in grads)}
        # What the settings of a layer of one's own mean, it must know itself.
        self.is_known = type(self).__module__.startswith("fastnn.")
        self._guarded = self._views.union(setting_names(type(self)) if self.is_known else ())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._guarded and value is not self.__dict__[name]:
            if name in self._views:
                # Another array in its place would be the layer's alone: neither the optimizer nor
                # the native program nor a file would know it.
                fill(f"{self.name}.{name}", self.__dict__[name], value)
                return
            self._check_setting(name, value)
        super().__setattr__(name, value)

    def _check_setting(self, name: str, value: Any) -> None:
        """Refuse a setting that a new layer would refuse, or that needs other parameters."""
        changed = type(self).from_settings(self.settings() | {name: value})
        if (changed.output_size(self.n_in), changed.parameter_shapes(self.n_in)) != (
            self.n_out,
            self.parameter_shapes(self.n_in),
        ):
            raise ValueError(
                f"{name} of {self.name} is fixed since it has its place in a model, with "
                f"{self.n_out} features going out; got {value!r}"
            )

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if hasattr(self, "name"):
            raise TypeError(
                f"{self.name} cannot be copied or pickled without its model, whose memory it uses: "
                "copy the model, or take its layers over with Sequential.from_layers"
            )
        return super().__reduce_ex__(protocol)

    def output_buffer(self, rows: int) -> np.ndarray:
        """Where this forward pass writes; remembered for the backward pass."""
        # Not `self._out`: another thread's forward pass may put its own there meanwhile.
        out = self._out = self.workspace.take("out", (rows, self.n_out), self.dtype)
        return out

    def input_gradient_buffer(self, rows: int) -> np.ndarray:
        """Where this backward pass writes the gradient of the input."""
        return self.workspace.take("dx", (rows, self.n_in), self.dtype)

    def check_input(self, x: np.ndarray) -> int:
        """Refuse what the kernels cannot take; return the number of rows.

        Raises
        ------
        ValueError
            Wrong shape, dtype or layout.
        """
        return self._check("x", x, (len(x), self.n_in))

    def check_gradient(self, dout: np.ndarray) -> int:
        """As `check_input`, for the gradient of the last forward pass's output."""
        if not hasattr(self, "_out"):
            raise ValueError(f"{self.name}: backward needs a forward pass before it")
        return self._check("dout", dout, self._out.shape)

    def check_returned(self, method: str, array: Any, rows: int, width: int) -> None:
        """Refuse what a layer of one's own returns, if the next cannot take it.

        Parameters
        ----------
        method : {"forward", "backward"}
        array : Any
            What it has returned.
        rows, width : int
            What the array's shape must be.

        Raises
        ------
        TypeError, ValueError
            No array; wrong shape, dtype or layout.
        """
        what = f"what {method} returns"
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{self.name}: {what} must be an array; got {shown(array)}")
        self._check(what, array, (rows, width))

    def _check(self, what: str, array: np.ndarray, shape: tuple[int, ...]) -> int:
        if array.shape != shape or array.dtype != self.dtype or not array.flags.c_contiguous:
            raise ValueError(
                f"{self.name}: {what} must be a C-contiguous {self.dtype} array of shape {shape}; "
                f"got {array.dtype} of shape {array.shape}"
                + ("" if array.flags.c_contiguous else ", not C-contiguous")
            )
        return shape[0]
