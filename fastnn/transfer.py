"""New models of layers that were trained in others."""

from collections.abc import Sequence
from typing import Any

from fastnn.checks import positive_int
from fastnn.layers import Affine, Layer, chain


def with_head(
    layers: Sequence[Layer], head: int | Sequence[Layer], since: int | str | Layer | None
) -> list[Layer]:
    """The layers before ``since``, and the head; see `Sequential.replace_head`."""
    if since is None:
        affine = [layer for layer in layers if isinstance(layer, Affine)]
        if not affine:
            raise ValueError("the model has no Affine layer: say since which layer to replace")
        since = affine[-1]
    body = layers[: chain.index_of(layers, "since", since)]
    if isinstance(head, Sequence) and not isinstance(head, str):
        return [*body, *head]
    return [*body, Affine(positive_int("head", head))]


def unbound(layer: Any) -> Any:
    """A layer without a model: the copy of one that has a model, or else the layer itself."""
    bound = isinstance(layer, Layer) and hasattr(layer, "name")
    return type(layer).from_settings(layer.settings()) if bound else layer


def carry_over(sources: Sequence[Layer], layers: Sequence[Layer]) -> None:
    """Give layers the numbers of those they are copies of, ``trainable`` and ``lr_scale`` too.

    Raises
    ------
    ValueError
        A layer has got another number of features than its source has weights for.
    """
    for source, layer in zip(sources, layers, strict=True):
        if source is layer:
            continue
        keys = source.param_names + source.state_names
        if any(getattr(layer, key).shape != getattr(source, key).shape for key in keys):
            raise ValueError(
                f"layers do not fit: {source!r} was trained on {source.n_in} features and "
                f"would get {layer.n_in} as {layer.name}"
            )
        layer.trainable, layer.lr_scale = source.trainable, source.lr_scale
        for key in keys:
            getattr(layer, key)[...] = getattr(source, key)
