"""How a model is written down for the native program.

A program knows *stages*: an affine map, or a maxout, and the operations on its output, which leave
its width as it is; the first stage is the input. The tables below say what each layer, loss,
optimizer and regularizer becomes; a class that is not in them, a user's own among them, runs on
the eager engine, and `obstacle` says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.buffers import ALIGNMENT
from fastnn.constraints import Constraint, MaxNorm
from fastnn.layers import (
    ELU,
    GELU,
    Affine,
    BatchNorm,
    Dropout,
    GaussianNoise,
    Layer,
    LeakyReLU,
    MaskingNoise,
    Maxout,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    UnscaledDropout,
)
from fastnn.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    SumSquaredError,
)
from fastnn.metrics import Metric, accuracy, binary_accuracy
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.regularizers import L1, L2, ElasticNet, Regularizer

if TYPE_CHECKING:
    from fastnn.model import Sequential

Offsets = Callable[[str], int]
Operation = dict[str, Any]


def _batchnorm(layer: Any, at: Offsets) -> Operation:
    return {
        "code": "batchnorm" if layer.trainable else "batchnorm_frozen",
        "a": layer.momentum,
        "b": layer.eps,
        "rate": layer.lr_scale,
        **{key: at(key) for key in ("gamma", "beta", "running_mean", "running_var")},
    }


def _dropout(layer: Any, scale: float, expected: float = 1.0) -> Operation | None:
    if layer.ratio == 0:
        return None
    return {
        "code": "dropout",
        "a": layer.ratio,
        "b": scale,
        "expected": expected,
        "layer": layer.index,
    }


def _gaussian_noise(layer: Any, at: Offsets) -> Operation | None:
    if layer.std == 0:
        return None
    return {"code": "gaussian_noise", "a": layer.std, "layer": layer.index}


# layer -> the operation it is, given where its parameters and state lie in the flat arrays; None if
# its settings make it the identity
OPERATIONS: dict[type[Layer], Callable[[Any, Offsets], Operation | None]] = {
    BatchNorm: _batchnorm,
    ReLU: lambda layer, at: {"code": "relu"},
    LeakyReLU: lambda layer, at: {"code": "leaky_relu", "a": layer.slope},
    Sigmoid: lambda layer, at: {"code": "sigmoid"},
    Tanh: lambda layer, at: {"code": "tanh"},
    PReLU: lambda layer, at: {
        "code": "prelu",
        "slope": at("slope"),
        "trained": layer.trainable,
        "rate": layer.lr_scale,
    },
    ELU: lambda layer, at: {"code": "elu", "a": layer.alpha},
    Softplus: lambda layer, at: {"code": "softplus"},
    GELU: lambda layer, at: {"code": "gelu"},
    SiLU: lambda layer, at: {"code": "silu"},
    Dropout: lambda layer, at: _dropout(layer, 1 / (1 - layer.ratio)),
    MaskingNoise: lambda layer, at: _dropout(layer, 1.0),
    UnscaledDropout: lambda layer, at: _dropout(layer, 1.0, expected=1 - layer.ratio),
    GaussianNoise: _gaussian_noise,
    Softmax: lambda layer, at: {"code": "softmax"},
}

NATIVE_LAYERS: set[type[Layer]] = {Affine, Maxout, *OPERATIONS}

# regularizer -> strengths of the L1 and the L2 penalty
PENALTIES: dict[type[Regularizer], Callable[[Any], tuple[float, float]]] = {
    L1: lambda penalty: (penalty.strength, 0.0),
    L2: lambda penalty: (0.0, penalty.strength),
    ElasticNet: lambda penalty: (penalty.l1, penalty.l2),
}

# loss -> the numbers it takes; label smoothing is in the targets
LOSSES: dict[type[Loss], Callable[[Any], tuple[float, ...]]] = {
    SoftmaxCrossEntropy: lambda loss: (),
    CrossEntropy: lambda loss: (loss.guard,),
    BinaryCrossEntropy: lambda loss: (),
    MeanSquaredError: lambda loss: (),
    SumSquaredError: lambda loss: (),
    MeanAbsoluteError: lambda loss: (),
    Huber: lambda loss: (loss.delta,),
}

# Multiply-adds of a step from which its rows, or a stage's columns, are cut in two: below, a second
# thread would wait longer than it works. Each further halving of columns takes eight times as many:
# products of narrow pieces are slower.
PIECE_WORK = 1_000_000
MAX_PIECES = 16
# Rows of the smallest piece: with fewer, more time goes into reading weights than into using them.
PIECE_ROWS = 48
# Bytes of the largest weights up to which every thread may read them all: what fits beside its data
# in its own cache.
SHARED_WEIGHTS = 1 << 20


def obstacle(model: "Sequential") -> str | None:
    """Why a model cannot be lowered; None if it can."""
    if model.backend.program is None:
        return f"backend {model.backend.name!r} has no native program"
    for layer in model.layers:
        if type(layer) not in NATIVE_LAYERS:
            return f"layer {layer.name} ({type(layer).__name__}) has no native form"
    if not any(isinstance(layer, Affine) for layer in model.layers):
        return "a model without an Affine layer has no native form"
    return None


def training_obstacle(
    model: "Sequential",
    loss: Loss,
    optimizer: Optimizer,
    regularizer: Regularizer | None,
    metrics: Mapping[str, Metric],
    constraint: Constraint | None = None,
) -> str | None:
    """Why a model cannot be trained natively; None if it can."""
    reason = obstacle(model)
    if reason:
        return reason
    if type(loss) not in LOSSES:
        return f"loss {type(loss).__name__} has no native form"
    known = OPTIMIZERS.get(optimizer.kind) is type(optimizer)
    if not known or optimizer.kind not in model.backend.program.RULES:  # type: ignore[union-attr]
        return f"optimizer {type(optimizer).__name__} has no native form"
    for penalty in (regularizer, *(layer.regularizer for layer in model.layers)):
        if penalty is not None and type(penalty) not in PENALTIES:
            return f"regularizer {type(penalty).__name__} has no native form"
    for bound in (constraint, *(layer.constraint for layer in model.layers)):
        if bound is not None and type(bound) is not MaxNorm:
            return f"constraint {type(bound).__name__} has no native form"
    for name, metric in metrics.items():
        if metric is not native_metric(loss):
            return f"metric {name!r} has no native form with loss {type(loss).__name__}"
    return None


def native_metric(loss: Loss) -> Metric:
    """The metric whose right answers the program counts."""
    return binary_accuracy if isinstance(loss, BinaryCrossEntropy) else accuracy


def inference_program(model: "Sequential") -> Any:
    """The program that predicts with a model; the model must have no `obstacle`."""
    return model.backend.program.Program(  # type: ignore[union-attr]
        model.dtype,
        _stages(model, rows=1),
        model.flat_params,
        model.flat_state,
        model.seed,
    )


def describe_training(
    model: "Sequential",
    loss: Loss,
    rule: tuple[str, tuple[float, ...]],
    regularizer: Regularizer | None,
    soft_targets: bool,
    rows: int,
    constraint: Constraint | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    review: float | None = None,
) -> dict[str, Any]:
    """Write down the training of a model which has no `training_obstacle`.

    Two descriptions of one model that are equal are of the same program.

    Parameters
    ----------
    model, loss, regularizer
    rule : tuple
        What the program calls the optimizer, and the optimizer's numbers.
    soft_targets : bool
        Whether classes are given as probabilities, not labels.
    rows : int
        Of the largest batch.
    constraint : Constraint, optional
    clip_norm, clip_value : float, optional
    review : float, optional
        Compute each batch's loss once more after its step, in inference mode, as the cross-entropy
        of probabilities that are guarded by so much.
    """
    return {
        "stages": _stages(model, rows, regularizer, constraint),
        "seed": model.seed,
        "rows": rows,
        **sharing(model, rows),
        "clip_norm": clip_norm or 0.0,
        "clip_value": clip_value or 0.0,
        "review": review,
        "rule": rule,
        "loss": (
            loss.kind + ("_soft" if loss.classifies and soft_targets else ""),
            LOSSES[type(loss)](loss),
        ),
    }


def training_program(
    model: "Sequential", averages: Sequence[np.ndarray], description: dict[str, Any]
) -> Any:
    """The program that `describe_training` wrote down.

    Parameters
    ----------
    model
    averages : sequence of ndarray
        The optimizer's running averages, laid out as the flat parameters.
    description : dict
    """
    return model.backend.program.Program(  # type: ignore[union-attr]
        model.dtype,
        description["stages"],
        model.flat_params,
        model.flat_state,
        description["seed"],
        description | {"grads": model.flat_grads, "averages": tuple(averages)},
    )


def sharing(model: "Sequential", rows: int) -> dict[str, Any]:
    """How threads share a step of so many rows: by columns, or by how many pieces of rows.

    By rows where a layer needs whole rows.
    """
    weights = [layer.n_in * layer.n_out for layer in model.layers if isinstance(layer, Affine)]
    pieces = 1
    while (
        2 * pieces <= MAX_PIECES
        and rows >= 2 * pieces * PIECE_ROWS
        and 3 * rows * sum(weights) >= PIECE_WORK * pieces
    ):
        pieces *= 2
    whole_rows = any(isinstance(layer, (Softmax, Maxout)) for layer in model.layers)
    by_columns = not whole_rows and max(weights) * model.dtype.itemsize > SHARED_WEIGHTS
    return {"by_columns": by_columns, "row_pieces": pieces}


def _stages(
    model: "Sequential",
    rows: int,
    regularizer: Regularizer | None = None,
    constraint: Constraint | None = None,
) -> list[dict[str, Any]]:
    """The stages of a model, from the input on."""
    first_trained = model.first_trained()
    stages = [_stage(math.prod(model.input_shape), None)]
    for layer in model.layers:
        if isinstance(layer, Affine):
            stages.append(_stage(layer.n_out, _affine(model, layer, regularizer, constraint)))
            stages[-1]["passes"] = stages[-2]["reached"]
        elif isinstance(layer, Maxout):
            stages.append(_stage(layer.n_out, None, int(layer.pieces)))
            stages[-1]["passes"] = stages[-2]["reached"]
        else:
            operation = OPERATIONS[type(layer)](layer, _offsets(model, layer))
            if operation is not None:
                stages[-1]["operations"].append(operation)
        stages[-1]["reached"] = layer.index >= first_trained
    _lay_out(stages, rows, model.dtype.itemsize, **sharing(model, rows))
    return stages


def _stage(width: int, affine: dict[str, Any] | None, maxout: int = 0) -> dict[str, Any]:
    return {
        "affine": affine,
        "maxout": maxout,
        "width": width,
        "operations": [],
        "reached": False,  # do gradients come to its operations?
        "passes": False,  # do they go on to the stage before?
    }


def _affine(
    model: "Sequential",
    layer: Affine,
    regularizer: Regularizer | None,
    constraint: Constraint | None,
) -> dict[str, Any]:
    penalty = layer.regularizer or regularizer
    bound = layer.constraint or constraint
    # A penalty or bound of the user's own does not reach training here, and inference has none.
    known = PENALTIES.get(type(penalty)) if penalty else None
    l1, l2 = known(penalty) if known else (0.0, 0.0)
    at = _offsets(model, layer)
    return {
        "w": at("w"),
        "b": at("b"),
        "trained": layer.trainable,
        "rate": layer.lr_scale,
        "l1": l1,
        "l2": l2,
        "max_norm": bound.limit if isinstance(bound, MaxNorm) else 0.0,
    }


def _offsets(model: "Sequential", layer: Layer) -> Offsets:
    return lambda key: model.offset(f"{layer.name}.{key}")


def _lay_out(
    stages: list[dict[str, Any]], rows: int, itemsize: int, by_columns: bool, row_pieces: int
) -> None:
    """Give each stage's columns their stride and their pieces, and each weights' rows theirs.

    Rows begin at a cache line; the last stage's lie side by side, as the losses want them.
    """
    per_line = ALIGNMENT // itemsize
    widths = [0, *(stage["width"] for stage in stages), 0]
    for stage, before, after in zip(stages, widths, widths[2:], strict=False):
        width = stage["width"]
        stage["stride"] = _stride(width, per_line) if after else width
        stage["columns"] = _bounds(width, rows * width * (before + after), per_line)
        stage["slices"] = _even_bounds(before, row_pieces)
    if by_columns:
        for stage, stage_before in zip(stages[1:], stages, strict=False):
            stage["slices"] = stage_before["columns"]


def _stride(width: int, per_line: int) -> int:
    lines = -(-width // per_line)
    # Rows a power of two apart would compete for the same few places of the cache.
    return (lines + 1 if lines % 4 == 0 else lines) * per_line


def _bounds(width: int, work: int, per_line: int) -> list[int]:
    """Cut columns into pieces, by their number and the multiply-adds that they are worth alone."""
    pieces = 1
    while pieces < MAX_PIECES and work >= PIECE_WORK * pieces**3 and width >= 2 * pieces * per_line:
        pieces *= 2
    return _even_bounds(width, pieces, per_line if width >= 4 * pieces * per_line else 2)


def _even_bounds(width: int, pieces: int, step: int = 2) -> list[int]:
    """Where so many pieces begin and end, in multiples of a step; fewer if steps are few."""
    inner = {round(width * piece / pieces / step) * step for piece in range(1, pieces)}
    return sorted({0, width} | {bound for bound in inner if bound < width})
