"""Weights from and to PyTorch. PyTorch itself is imported only to make its tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.errors import missing_extra
from fastnn.io.exportable import sequential
from fastnn.io.foreign import Place, assign
from fastnn.layers import Affine, BatchNorm, Layer, PReLU, TiedAffine
from fastnn.model import Sequential

# What PyTorch's BatchNorm1d counts, and nothing here needs.
COUNTER = "num_batches_tracked"


def to_torch_state_dict(model: Sequential, *, tensors: bool = False) -> dict[str, Any]:
    """A model's weights as the ``state_dict`` of a ``torch.nn.Sequential``.

    The modules are counted as the layers are, one for each, with parameters or without:
    ``torch.nn.Linear`` for Affine and TiedAffine, ``BatchNorm1d``, ``PReLU(n_in)``, and any module
    without parameters for the rest.

    Parameters
    ----------
    model : Sequential
    tensors : bool
        Give ``torch.Tensor`` instead of NumPy arrays.

    Returns
    -------
    dict of str to ndarray or Tensor
        Copies: "0.weight" (units, n_in), "0.bias", "1.running_mean", ...

    Raises
    ------
    TypeError, ValueError
        The model is no Sequential, or has layers that are not fastnn's own.
    ImportError
        ``tensors`` without PyTorch.

    Notes
    -----
    Linear computes ``x @ weight.T + bias``, so weights are transposed. A TiedAffine becomes a
    Linear with a weight of its own.

    BatchNorm: running averages are what inference uses, and are taken as they are. Settings are no
    part of a state_dict; for the same outputs build ``BatchNorm1d(n, eps=layer.eps,
    momentum=1 - layer.momentum)``, for PyTorch's momentum weighs the new batch, fastnn's the old
    average. If training goes on there, PyTorch averages unbiased variances, fastnn biased ones:
    with n rows in a batch, larger by n / (n - 1).

    Examples
    --------
    >>> import fastnn as fnn
    >>> state = fnn.io.to_torch_state_dict(fnn.mlp(4, [3], 2, batch_norm=True, rng=0))
    >>> {name: array.shape for name, array in state.items() if name.startswith("0")}
    {'0.weight': (3, 4), '0.bias': (3,)}
    """
    state: dict[str, Any] = {}
    for layer in sequential(model).layers:
        for key, place in _places(layer).items():
            state[f"{layer.index}.{key}"] = np.array(place.view, order="C")
        if isinstance(layer, BatchNorm):
            state[f"{layer.index}.{COUNTER}"] = np.array(model.step, dtype=np.int64)
    if not tensors:
        return state
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", "oracle", alternative="Arrays need no PyTorch.") from error
    return {name: torch.from_numpy(array) for name, array in state.items()}


def load_torch_state_dict(model: Sequential, state: Mapping[str, Any]) -> None:
    """Give a model the weights of a PyTorch network.

    Modules of the state that have weights are taken for the model's layers that have some, in their
    order: those of a ``torch.nn.Sequential``, named by numbers, in the order of the numbers, others
    in the order of the state, which is that in which the network's ``__init__`` made them. So
    modules without weights, such as Flatten, may stand between them or be missing.

    Parameters
    ----------
    model : Sequential
        Of the same architecture; settings of BatchNorm are converted as `to_torch_state_dict` says.
    state : mapping of str to Tensor or array_like
        ``network.state_dict()``.

    Raises
    ------
    TypeError, ValueError
        The state has more, fewer or other arrays than the model, or of another shape; the message
        names what was expected and what came. Then nothing is changed.
    """
    layers = [(layer, _places(layer)) for layer in sequential(model).layers]
    layers = [(layer, places) for layer, places in layers if places]
    modules = _modules(state)
    if len(modules) != len(layers):
        raise ValueError(
            f"state must have {len(layers)} modules with weights, for "
            f"{_listed(layer.name for layer, _ in layers)}; got {len(modules)}: {_listed(modules)}"
        )
    pairs = []
    for (layer, places), (module, values) in zip(layers, modules.items(), strict=True):
        if values.keys() - {COUNTER} != places.keys():
            raise ValueError(
                f"state must have {_listed(places)} in module {module!r}, for {layer.name}; got "
                f"{_listed(values)}"
            )
        for key, place in places.items():
            pairs.append((place, f"state[{_joined(module, key)!r}]", values[key]))
    assign(model, pairs)


def _places(layer: Layer) -> dict[str, Place]:
    """A layer's arrays by PyTorch's names, in PyTorch's layout and order."""

    def own(key: str) -> Place:
        return Place(f"{layer.name}.{key}", getattr(layer, key))

    match layer:
        case Affine():
            return {"weight": Place(f"{layer.name}.w transposed", layer.w.T), "bias": own("b")}
        case TiedAffine():
            # Its map is x @ w.T + b already.
            weight = Place(f"{layer.source.name}.w", layer.source.w)
            return {"weight": weight, "bias": own("b")}
        case BatchNorm():
            averages = {key: own(key) for key in ("running_mean", "running_var")}
            return {"weight": own("gamma"), "bias": own("beta")} | averages
        case PReLU():
            return {"weight": own("slope")}
    return {}


def _modules(state: Any) -> dict[str, dict[str, Any]]:
    """The state's arrays by module, then by their own names."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping of names to arrays; got {type(state).__name__}")
    modules: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        module, _, key = str(name).rpartition(".")
        modules.setdefault(module, {})[key] = value
    parts = [module.rpartition(".") for module in modules]
    if len({parent for parent, _, _ in parts}) == 1 and all(last.isdecimal() for *_, last in parts):
        # Files of weights are sorted as text: "10" before "2".
        return dict(sorted(modules.items(), key=lambda item: int(item[0].rpartition(".")[2])))
    return modules


def _joined(module: str, key: str) -> str:
    return f"{module}.{key}" if module else key


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
