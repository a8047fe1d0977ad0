"""The numbers of a model's layers, in flat buffers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.buffers import FlatArrays
from fastnn.checks import as_array, positive_int, real_in, sequence
from fastnn.layers import Layer, chain


class Parameters:
    """What is trained, its gradients, and what training moves otherwise: a flat buffer of each.

    Parameters
    ----------
    layers : list of Layer
    names : sequence of str
        What the layers are called.
    widths : sequence of int
        Features before each, as `fastnn.layers.chain.lay_out` returns them.
    dtype : dtype
    """

    def __init__(
        self, layers: list[Layer], names: Sequence[str], widths: Sequence[int], dtype: Any
    ) -> None:
        self._layers = tuple(layers)
        sized = list(zip(layers, widths, strict=False))
        self._params = _flat(names, [layer.parameter_shapes(n) for layer, n in sized], dtype)
        self._grads = self._params.like()
        self._state = _flat(names, [layer.state_shapes(n) for layer, n in sized], dtype)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order; another model takes them over with `Sequential.from_layers`."""
        return self._layers

    @property
    def params(self) -> dict[str, np.ndarray]:
        """Name to view of what is trained; what is assigned to a name is written into its view."""
        return self._params.views

    @property
    def grads(self) -> dict[str, np.ndarray]:
        """Name to view of the gradients the last backward pass wrote."""
        return self._grads.views

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Name to view of what training moves otherwise: BatchNorm's running averages."""
        return self._state.views

    @property
    def flat_params(self) -> np.ndarray:
        """All parameters in one aligned buffer; the views lie in it."""
        return self._params.flat

    @property
    def flat_state(self) -> np.ndarray:
        """All state, in a buffer of the same kind."""
        return self._state.flat

    @property
    def flat_grads(self) -> np.ndarray:
        """All gradients, laid out as `flat_params`."""
        return self._grads.flat

    @property
    def parameter_count(self) -> int:
        """Numbers that are trained, or would be were no layer frozen."""
        return sum(view.size for view in self.params.values())

    @property
    def weight_count(self) -> int:
        """Numbers in matrices: the multiply-adds of a row on its way forward."""
        return sum(view.size for view in self.params.values() if view.ndim == 2)

    def offset(self, name: str) -> int:
        """Where a parameter begins in `flat_params`, or a state in `flat_state`."""
        spans = self._params.spans if name in self._params.spans else self._state.spans
        return spans[name].start

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and state, for `restore`."""
        return {name: view.copy() for name, view in (self.params | self.state).items()}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """Put back the values of a `snapshot`, or of another model of the same layers.

        Raises
        ------
        TypeError, ValueError
            It is no mapping; a name is missing or unknown, or a shape differs. Then nothing is
            changed.
        """
        if not isinstance(snapshot, Mapping):
            raise TypeError(f"snapshot must be a mapping of names to arrays; got {snapshot!r}")
        own = self.params | self.state
        if own.keys() != snapshot.keys():
            odd = sorted(own.keys() ^ snapshot.keys())[0]
            raise ValueError(f"snapshot does not fit the model: {odd!r} is on one side only")
        arrays = {name: as_array(name, snapshot[name]) for name in own}
        for name, view in own.items():
            if view.shape != arrays[name].shape or arrays[name].dtype.kind not in "fiub":
                raise ValueError(
                    f"snapshot does not fit the model: {name!r} must have shape {view.shape} and "
                    f"real numbers; got {arrays[name].dtype} of shape {arrays[name].shape}"
                )
        for name, view in own.items():
            view[...] = arrays[name]

    # -- what is trained ---------------------------------------------------------------------------

    def freeze(self, until: int | str | Layer | None = None) -> None:
        """Freeze the layers up to and including one: they keep their numbers, at no cost.

        No gradient is computed for them, nor below the first layer that is trained; a frozen
        BatchNorm runs in inference mode and its running averages stay. The layers above are left
        as they are.

        Parameters
        ----------
        until : int, str or Layer, optional
            The last to freeze: its index (-2 is the last but one), its name, or itself; by default
            the last of the model.

        Raises
        ------
        TypeError, ValueError
            No such layer; nothing is changed.
        """
        for layer in chain.between(self.layers, None, until):
            layer.trainable = False

    def unfreeze(
        self,
        since: int | str | Layer | None = None,
        until: int | str | Layer | None = None,
        lr_scale: float | None = None,
    ) -> None:
        """Let the layers from one to another, both included, train again.

        Parameters
        ----------
        since, until : int, str or Layer, optional
            As in `freeze`; by default the first and the last of the model.
        lr_scale : float, optional
            Factor on the learning rate for these layers from now on; by default they keep theirs.

        Raises
        ------
        TypeError, ValueError
            No such layer, or ``since`` comes after ``until``; a scale below 0. Nothing is changed.

        Examples
        --------
        The body rests while a new head is trained; then its last layer follows, ten times slower:

        >>> import fastnn as fnn
        >>> body = fnn.mlp(64, [50, 50], 10, rng=0)
        >>> model = body.replace_head(5, rng=0)
        >>> model.freeze(until=-2)
        >>> model.unfreeze(since="affine2", until=-2, lr_scale=0.1)
        >>> [(layer.name, layer.lr_scale) for layer in model.layers if layer.trainable]
        [('affine2', 0.1), ('relu2', 0.1), ('affine3', 1.0)]
        """
        layers = chain.between(self.layers, since, until)
        scale = None if lr_scale is None else real_in("lr_scale", lr_scale, 0)
        for layer in layers:
            layer.trainable = True
            if scale is not None:
                layer.lr_scale = scale

    def first_trained(self) -> int:
        """Index of the first layer with parameters to train: gradients end there."""
        trained = (layer.index for layer in self.layers if layer.param_names and layer.trainable)
        return next(trained, len(self.layers))

    def trained_names(self) -> list[str]:
        """Names of the parameters that are not frozen."""
        return [
            f"{layer.name}.{key}"
            for layer in self.layers
            if layer.trainable
            for key in layer.param_names
        ]

    def trainable_spans(self) -> list[slice]:
        """Slices of `flat_params` that are trained: the spans of `rated_spans`."""
        return [span for span, _ in self.rated_spans()]

    def rated_spans(self) -> list[tuple[slice, float]]:
        """Slices of `flat_params` that are trained, each with the `lr_scale` of its layers.

        One slice, unless layers are frozen or have a scale of their own.
        """
        spans: list[tuple[slice, float]] = []
        for layer in self.layers:
            own = [self._params.spans[f"{layer.name}.{key}"] for key in layer.param_names]
            if not own or not layer.trainable:
                continue
            start, scale = own[0].start, layer.lr_scale
            if spans and spans[-1][1] == scale:
                before = spans[-1][0]
                if not self._params_between(before.stop, start):
                    start = before.start
                    spans.pop()
            spans.append((slice(start, own[-1].stop), scale))
        return spans

    def _params_between(self, start: int, stop: int) -> bool:
        return any(start <= s.start < stop for s in self._params.spans.values() if s.start < s.stop)


def _flat(
    names: Iterable[str], shapes: Iterable[Mapping[str, tuple[int, ...]]], dtype: Any
) -> FlatArrays:
    """Arrays called "layer.array", from the shapes that each layer asks for."""
    return FlatArrays(
        (
            (f"{name}.{key}", _shape(f"{name}.{key}", shape))
            for name, own in zip(names, shapes, strict=True)
            for key, shape in _named(name, own).items()
        ),
        dtype,
    )


def _named(name: str, shapes: Any) -> Mapping[str, Any]:
    """The shapes that a layer, which may be a user's own, asks for."""
    if not isinstance(shapes, Mapping):
        raise TypeError(
            f"{name}: the shapes of its arrays must be a mapping of names to shapes; got {shapes!r}"
        )
    for key in shapes:
        free = isinstance(key, str) and key.isidentifier() and not hasattr(Layer, key)
        # Its gradient is to be called d and its name.
        if not free or key in Layer.__annotations__ or f"d{key}" in shapes:
            raise ValueError(f"{name} cannot call an array {key!r}: the name is taken, or none")
    return shapes


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    if type(shape) is tuple and all(type(size) is int and size >= 0 for size in shape):
        return shape  # as fastnn's own layers write it
    sizes = sequence(f"the shape of {name}", shape, "integers")
    return tuple(positive_int(f"a size of {name}", size, least=0) for size in sizes)
