"""The case table: every kernel with its arguments, sizes, variants, nasty values and tolerances.

Parity tests and benchmarks share it. A public kernel of the reference that is missing here fails
`test_kernel_signatures`.

Use
---
``KERNELS[name]`` is a `KernelCase`; `make_arguments` builds the arguments of one call in the order
of the signature; `cases` lists what the parity tests run; `BENCHMARK_SIZES` is what is timed.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import special

from fastnn._kernels import reference

Arguments = dict[str, Any]
Role = Literal["read", "written", "updated"]

DTYPES = ("float32", "float64")
RETURN = "return"  # the key under which a returned float stands among a kernel's outputs

# --------------------------------------------------------------------------------------------------
# What an array holds
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fill:
    """How the values of an array are drawn.

    Attributes
    ----------
    draw : callable
        ``draw(rng, shape, made)``; ``made`` holds the arguments before this one.
    domain : (float, float) or None
        Special values are clipped into it; None for arrays that take none.
    dtype : str or None
        None takes the dtype of the call.
    """

    draw: Callable[[np.random.Generator, tuple[int, ...], Arguments], np.ndarray]
    domain: tuple[float, float] | None = (-math.inf, math.inf)
    dtype: str | None = None


def _soft_targets(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    weights = rng.uniform(0.01, 1.0, shape)
    return weights / weights.sum(axis=1, keepdims=True)


def _hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return (labels[:, None] == np.arange(classes)).astype(np.float64)


def _one_hot(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    return _hot(rng.integers(0, shape[1], shape[0]), shape[1])


def _some_rows_zero(
    rng: np.random.Generator, shape: tuple[int, ...], made: Arguments
) -> np.ndarray:
    return rng.uniform(0.1, 2.0, shape) * rng.integers(0, 2, (shape[0], 1))


def _one_nan(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    """Probabilities, and a NaN that one-hot targets hardly ask for."""
    probs = rng.uniform(0.01, 0.99, shape)
    probs.flat[-1] = np.nan
    return probs


def _masked_logits(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    """About a third is -inf, as where classes are ruled out; the first class never is."""
    logits = np.where(rng.random(shape) < 0.3, -np.inf, rng.standard_normal(shape))
    logits[:, 0] = 1.0
    return logits


def _negative_logits(
    rng: np.random.Generator, shape: tuple[int, ...], made: Arguments
) -> np.ndarray:
    """All negative and far apart: a maximum that starts at zero, or is another one, overflows."""
    return -1000 * np.abs(rng.standard_normal(shape)) - 1000


def _elu_output(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    x = rng.standard_normal(shape)
    return np.where(x > 0, x, np.expm1(x))


def _inv_std(rng: np.random.Generator, shape: tuple[int, ...], made: Arguments) -> np.ndarray:
    return 1.0 / np.sqrt(made["x"].var(axis=0, dtype=np.float64) + 1e-5)


NORMAL = Fill(lambda rng, shape, made: rng.standard_normal(shape))
WIDE = Fill(lambda rng, shape, made: 4 * rng.standard_normal(shape))
# Of every size from 0.01 to 1000: beyond where exponentials underflow, in either dtype.
FAR = Fill(lambda rng, shape, made: rng.standard_normal(shape) * 10 ** rng.uniform(-2, 2.5, shape))
HUGE = Fill(lambda rng, shape, made: 1e25 * rng.standard_normal(shape))
UNDECIDED = Fill(lambda rng, shape, made: 0.1 * rng.standard_normal(shape))
POSITIVE = Fill(lambda rng, shape, made: rng.uniform(0.1, 2.0, shape), domain=(0.0, math.inf))
PROBABILITY = Fill(lambda rng, shape, made: rng.uniform(0.01, 0.99, shape), domain=(0.0, 1.0))
SYMMETRIC = Fill(lambda rng, shape, made: rng.uniform(-0.99, 0.99, shape), domain=(-1.0, 1.0))
ELU_OUTPUT = Fill(_elu_output, domain=(-1.0, math.inf))
MASKED = Fill(_masked_logits)
NEGATIVE = Fill(_negative_logits)
SOFT = Fill(_soft_targets, domain=None)
ONE_HOT = Fill(_one_hot, domain=None)
SOME_ROWS_ZERO = Fill(_some_rows_zero, domain=None)
ONE_NAN = Fill(_one_nan, domain=None)
MEAN_OF_X = Fill(lambda rng, shape, made: made["x"].mean(axis=0, dtype=np.float64), domain=None)
INV_STD_OF_X = Fill(_inv_std, domain=None)
LABELS = Fill(
    # As many classes as the scores that stand before the labels have columns.
    lambda rng, shape, made: rng.integers(0, next(iter(made.values())).shape[1], shape),
    domain=None,
    dtype="int64",
)
MASK = Fill(lambda rng, shape, made: rng.random(shape) >= 0.3, domain=None, dtype="uint8")
# Pieces up to the most there are in a case; where there are fewer, those that won get nothing.
WINNERS = Fill(lambda rng, shape, made: rng.integers(0, 4, shape), domain=None, dtype="uint8")
TIES = Fill(lambda rng, shape, made: rng.integers(-1, 2, shape))


@dataclass(frozen=True)
class Array:
    """An array argument.

    Attributes
    ----------
    shape : str
        A letter for each axis: N rows, K features in, M features out or classes, G pieces of a
        maxout unit; "P" is a flat buffer of N * M elements.
    role : {"read", "written", "updated"}
        Written buffers hold garbage before the call; updated ones are read too.
    fill : Fill
    """

    shape: str
    role: Role
    fill: Fill = NORMAL


def read(shape: str, fill: Fill = NORMAL) -> Array:
    return Array(shape, "read", fill)


def write(shape: str, fill: Fill = NORMAL) -> Array:
    return Array(shape, "written", fill)


def update(shape: str, fill: Fill = NORMAL) -> Array:
    return Array(shape, "updated", fill)


# --------------------------------------------------------------------------------------------------
# How large the terms are that a kernel adds: an error is measured relative to them, because the
# sum itself may be arbitrarily close to zero. Each takes float64 copies of the arguments and
# returns, for some outputs, an array of the output's shape.
# --------------------------------------------------------------------------------------------------

Magnitude = Callable[[str, Arguments], dict[str, Any]]


def all_terms_positive(*positive: str, negative: tuple[str, ...] = ()) -> Magnitude:
    """The reference itself, on arguments whose signs make every term count in one direction."""

    def magnitude(name: str, a: Arguments) -> dict[str, Any]:
        for argument in positive + negative:
            if a[argument] is not None:
                a[argument] = np.abs(a[argument]) * (-1 if argument in negative else 1)
        returned = getattr(reference, name)(*a.values())
        return {output: np.abs(terms) for output, terms in a.items() if np.ndim(terms)} | (
            {} if returned is None else {RETURN: returned}
        )

    return magnitude


def _batchnorm_forward_terms(name: str, a: Arguments) -> dict[str, Any]:
    mean = np.abs(a["x"]).mean(axis=0)
    inv_std = 1.0 / np.sqrt(a["x"].var(axis=0) + a["eps"])
    keep = a["momentum"]
    return {
        "mean": mean,
        "out": np.abs(a["gamma"]) * inv_std * (np.abs(a["x"]) + mean) + np.abs(a["beta"]),
        "running_mean": keep * np.abs(a["running_mean"]) + (1 - keep) * mean,
    }


def _batchnorm_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    dout = np.abs(a["dout"])
    x_hat = (np.abs(a["x"]) + np.abs(a["mean"])) * a["inv_std"]
    spread = (dout * x_hat).mean(axis=0)
    return {
        "dx": np.abs(a["gamma"]) * a["inv_std"] * (dout + dout.mean(axis=0) + x_hat * spread),
        "dgamma": (dout * x_hat).sum(axis=0),
        "dbeta": dout.sum(axis=0),
    }


def _batchnorm_inference_terms(name: str, a: Arguments) -> dict[str, Any]:
    scale = np.abs(a["gamma"]) / np.sqrt(a["running_var"] + a["eps"])
    return {"out": scale * (np.abs(a["x"]) + np.abs(a["running_mean"])) + np.abs(a["beta"])}


def _elu_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    slope = np.where(a["out"] > 0, 1.0, np.abs(a["out"]) + a["alpha"])
    return {"dx": np.abs(a["dout"]) * slope}


def _normal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The normal distribution at x, its tail and its density, with the errors of exp(-x^2 / 2).

    The exponential turns a relative error of its argument into |argument| times that.
    """
    tail = special.ndtr(-np.abs(x)) * (1.0 + x * x)
    density = np.exp(-(x * x) / 2) / np.sqrt(2 * np.pi) * (1.0 + x * x)
    return special.ndtr(x), tail, density


def _gelu_forward_terms(name: str, a: Arguments) -> dict[str, Any]:
    share, tail, _ = _normal(a["x"])
    return {"out": np.abs(a["x"]) * (share + tail)}


def _gelu_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    share, tail, density = _normal(a["x"])
    return {"dx": np.abs(a["dout"]) * (share + tail + np.abs(a["x"]) * density)}


def _silu_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    s, rest = special.expit(a["x"]), special.expit(-a["x"])
    return {"dx": np.abs(a["dout"]) * s * (1 + np.abs(a["x"]) * rest)}


def _prelu_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    terms = np.where(a["x"] > 0, 0.0, np.abs(a["dout"] * a["x"]))
    return {"dslope": terms.sum(axis=0)}


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The magnitude of the probabilities, and -log of them."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    # The exponential turns a relative error of its argument into |argument| times that.
    return np.exp(shifted) / total * (1.0 + np.abs(shifted)), np.log(total) - shifted


def _softmax_terms(name: str, a: Arguments) -> dict[str, Any]:
    return {"out": _softmax(a["x"])[0]}


def _gaussian_noise_terms(name: str, a: Arguments) -> dict[str, Any]:
    # The noise is a radius times a cosine: its error is relative to the radius.
    keys = reference._dropout_key(a["seed"], a["step"], a["layer"])
    u = ((reference._element_hashes(a["x"].size, *keys) >> np.uint32(8)) + 1.0) * 2.0**-24
    radius = np.sqrt(-2.0 * np.log(u)).reshape(a["x"].shape)
    return {"out": np.abs(a["x"]) + a["std"] * radius}


def _softmax_backward_terms(name: str, a: Arguments) -> dict[str, Any]:
    dout, out = np.abs(a["dout"]), np.abs(a["out"])
    return {"dx": out * (dout + (dout * out).sum(axis=1, keepdims=True))}


def _guarded_cross_entropy_terms(name: str, a: Arguments) -> dict[str, Any]:
    classes = a["probs"].shape[1]
    targets = _hot(a["labels"], classes) if "labels" in a else a["targets"]
    weights = np.ones(len(targets)) if a["weights"] is None else a["weights"]
    losses = (targets * np.abs(np.log(a["probs"] + a["guard"]))).sum(axis=1)
    return {RETURN: (weights * losses).mean()}


def _binary_cross_entropy_terms(name: str, a: Arguments) -> dict[str, Any]:
    weights = np.ones((len(a["logits"]), 1)) if a["weights"] is None else a["weights"][:, None]
    wrong = np.where(a["logits"] > 0, 1 - a["targets"], a["targets"])
    # The exponential turns a relative error of its argument into |argument| times that.
    size = np.abs(a["logits"])
    return {"dlogits": (wrong + np.exp(-size) * (1 + size)) * weights / a["logits"].size}


def _cross_entropy_terms(name: str, a: Arguments) -> dict[str, Any]:
    classes = a["logits"].shape[1]
    targets = _hot(a["labels"], classes) if "labels" in a else np.abs(a["targets"])
    weights = np.ones(len(targets)) if a["weights"] is None else np.abs(a["weights"])
    terms, surprise = _softmax(a["logits"])
    mass = targets.sum(axis=1, keepdims=True)
    # Where log(total) cancels the shift, its own error, of the size of eps, is what is left.
    losses = np.where(targets == 0, 0.0, targets * (1.0 + np.abs(surprise))).sum(axis=1)
    return {
        "probs": terms,
        "dlogits": (terms * mass + targets) * weights[:, None] / len(targets),
        RETURN: (weights * losses).mean(),
    }


# --------------------------------------------------------------------------------------------------
# The table
# --------------------------------------------------------------------------------------------------


Values = Mapping[str, Array | float | None]


@dataclass(frozen=True)
class KernelCase:
    """A kernel: its arguments in the order of the signature, and how it is held to the reference.

    Attributes
    ----------
    name : str
    arguments : mapping
        Argument name to an `Array`, a number or None.
    variants : dict
        Variant name to the arguments that differ from ``arguments``.
    lengths : mapping
        Output to the axes it sums over, "N" or "NM"; outputs that sum nothing are not listed.
    products : tuple
        Those of them that are matrix products, summed by BLAS in the dtype of the arrays; all other
        sums are in float64.
    magnitude : callable or None
        How large the added terms are; None where the result itself tells.
    ulps : int
        Rounding errors allowed beside those of the sums, in units of eps.
    underflow : int
        Results below so many of the smallest normal numbers may be zero, because the exponential of
        the kernel need not produce subnormals: one, or what it may be multiplied by.
    any_shape : bool
        Takes arrays of any number of axes.
    allows_empty : bool
        Takes zero rows.
    """

    name: str
    arguments: Values
    variants: dict[str, Values] = field(default_factory=dict)
    lengths: Mapping[str, str] = field(default_factory=dict)
    products: tuple[str, ...] = ()
    magnitude: Magnitude | None = None
    ulps: int = 4
    underflow: int = 0
    any_shape: bool = False
    allows_empty: bool = True

    def __post_init__(self) -> None:
        """Add a variant in which every number is another one: none may be a constant."""
        numbers = {k: v for k, v in self.arguments.items() if isinstance(v, int | float)}
        other = {k: v + 1 if isinstance(v, int) else 0.7 * v for k, v in numbers.items()}
        if "eps" in other:
            other["eps"] = 0.01  # large enough to show
        if numbers:
            self.variants["other_numbers"] = other

    def arrays(self, variant: str = "plain") -> dict[str, Array]:
        """The array arguments of a variant, those that are None left out."""
        return {k: a for k, a in self.spec(variant).items() if isinstance(a, Array)}

    def spec(self, variant: str = "plain") -> dict[str, Array | float | None]:
        """The arguments of a variant in the order of the signature."""
        return {**self.arguments, **({} if variant == "plain" else self.variants[variant])}


_WEIGHTED: Values = {"weights": read("N", POSITIVE)}
_TIES: Values = {"pred": read("NM", TIES), "target": read("NM", TIES)}
_WIDER: dict[str, Values] = {"wide": {"x": read("NM", WIDE)}, "far": {"x": read("NM", FAR)}}
_KEYS: Values = {"seed": 20_240_229, "step": 17, "layer": 3}


def _ratio_at(element: int) -> float:
    """The largest ratio at which an element is kept: any more, and its hash would be too small."""
    hashes = reference._element_hashes(element + 1, *reference._dropout_key(*_KEYS.values()))
    return int(hashes[element]) / 2.0**32


# One element of those that fill whole vectors in a MIDDLE case, one of the rest.
_EDGES: dict[str, Values] = {f"edge_at_{i}": {"ratio": _ratio_at(i)} for i in (5, 1448)}
_ADAM: Values = {
    "p": update("P"),
    "g": read("P"),
    "m": update("P"),
    "v": update("P", POSITIVE),
    "lr": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
}
_ADAM_TERMS = all_terms_positive("p", negative=("g", "m"))
# Two implementations of exp may each be two or three ulps off; neither need give subnormals.
_EXPONENTIAL: dict[str, Any] = {"ulps": 6, "underflow": 1}
_EXPONENTIAL_TIMES_X: dict[str, Any] = {"ulps": 6, "underflow": 1000}


def _elementwise(name: str, arguments: Values, **traits: Any) -> KernelCase:
    return KernelCase(name, arguments, any_shape=True, **traits)


_TABLE = (
    KernelCase(
        "affine_forward",
        {"x": read("NK"), "w": read("KM"), "b": read("M"), "out": write("NM")},
        lengths={"out": "K"},
        products=("out",),
        magnitude=all_terms_positive("x", "w", "b"),
    ),
    KernelCase(
        "affine_backward",
        {
            "dout": read("NM"),
            "x": read("NK"),
            "w": read("KM"),
            "dx": write("NK"),
            "dw": write("KM"),
            "db": write("M"),
        },
        variants={
            "no_dx": {"dx": None},
            "frozen": {"dw": None, "db": None},
            "only_dw": {"dx": None, "db": None},
            "only_db": {"dx": None, "dw": None},
        },
        lengths={"dx": "M", "dw": "N", "db": "N"},
        products=("dx", "dw"),
        magnitude=all_terms_positive("dout", "x", "w"),
    ),
    KernelCase(
        "batchnorm_forward",
        {
            "x": read("NM"),
            "gamma": read("M"),
            "beta": read("M"),
            "running_mean": update("M"),
            "running_var": update("M", POSITIVE),
            "momentum": 0.9,
            "eps": 1e-5,
            "mean": write("M"),
            "inv_std": write("M"),
            "out": write("NM"),
        },
        variants={"constant_features": {"x": read("NM", Fill(lambda r, s, m: np.full(s, 3.3)))}},
        lengths=dict.fromkeys(("running_mean", "running_var", "mean", "inv_std", "out"), "N"),
        magnitude=_batchnorm_forward_terms,
        allows_empty=False,
    ),
    KernelCase(
        "batchnorm_backward",
        {
            "dout": read("NM"),
            "x": read("NM"),
            "gamma": read("M"),
            "mean": read("M", MEAN_OF_X),
            "inv_std": read("M", INV_STD_OF_X),
            "dx": write("NM"),
            "dgamma": write("M"),
            "dbeta": write("M"),
        },
        variants={
            "no_dx": {"dx": None},
            "huge": {"dout": read("NM", HUGE), "x": read("NM", HUGE)},
        },
        lengths={"dx": "N", "dgamma": "N", "dbeta": "N"},
        magnitude=_batchnorm_backward_terms,
        allows_empty=False,
    ),
    KernelCase(
        "batchnorm_inference_forward",
        {
            "x": read("NM"),
            "gamma": read("M"),
            "beta": read("M"),
            "running_mean": read("M"),
            "running_var": read("M", POSITIVE),
            "eps": 1e-5,
            "out": write("NM"),
        },
        magnitude=_batchnorm_inference_terms,
    ),
    KernelCase(
        "batchnorm_inference_backward",
        {
            "dout": read("NM"),
            "gamma": read("M"),
            "running_var": read("M", POSITIVE),
            "eps": 1e-5,
            "dx": write("NM"),
        },
    ),
    _elementwise("relu_forward", {"x": read("NM"), "out": write("NM")}),
    _elementwise("relu_backward", {"dout": read("NM"), "out": read("NM"), "dx": write("NM")}),
    _elementwise("leaky_relu_forward", {"x": read("NM"), "slope": 0.01, "out": write("NM")}),
    _elementwise(
        "leaky_relu_backward",
        {"dout": read("NM"), "x": read("NM"), "slope": 0.01, "dx": write("NM")},
    ),
    _elementwise(
        "sigmoid_forward",
        {"x": read("NM"), "out": write("NM")},
        variants={**_WIDER},
        underflow=1,
    ),
    _elementwise(
        "sigmoid_backward",
        {"dout": read("NM"), "out": read("NM", PROBABILITY), "dx": write("NM")},
    ),
    _elementwise(
        "tanh_forward", {"x": read("NM"), "out": write("NM")}, variants={**_WIDER}, ulps=6
    ),
    _elementwise(
        "tanh_backward", {"dout": read("NM"), "out": read("NM", SYMMETRIC), "dx": write("NM")}
    ),
    _elementwise(
        "elu_forward",
        {"x": read("NM"), "alpha": 1.0, "out": write("NM")},
        variants={**_WIDER},
        ulps=6,
    ),
    _elementwise(
        "elu_backward",
        {"dout": read("NM"), "out": read("NM", ELU_OUTPUT), "alpha": 1.0, "dx": write("NM")},
        variants={"at_the_kink": {"out": read("NM", TIES), "alpha": 1.3}},
        magnitude=_elu_backward_terms,
    ),
    _elementwise(
        "softplus_forward",
        {"x": read("NM"), "out": write("NM")},
        variants={**_WIDER},
        **_EXPONENTIAL,
    ),
    _elementwise(
        "softplus_backward",
        {"dout": read("NM"), "out": read("NM", POSITIVE), "dx": write("NM")},
        ulps=6,
    ),
    _elementwise(
        "gelu_forward",
        {"x": read("NM"), "out": write("NM")},
        variants={**_WIDER},
        magnitude=_gelu_forward_terms,
        **_EXPONENTIAL_TIMES_X,
    ),
    _elementwise(
        "gelu_backward",
        {"dout": read("NM"), "x": read("NM"), "dx": write("NM")},
        variants={**_WIDER},
        magnitude=_gelu_backward_terms,
        **_EXPONENTIAL_TIMES_X,
    ),
    _elementwise(
        "silu_forward",
        {"x": read("NM"), "out": write("NM")},
        variants={**_WIDER},
        **_EXPONENTIAL_TIMES_X,
    ),
    _elementwise(
        "silu_backward",
        {"dout": read("NM"), "x": read("NM"), "dx": write("NM")},
        variants={**_WIDER},
        magnitude=_silu_backward_terms,
        **_EXPONENTIAL_TIMES_X,
    ),
    KernelCase("prelu_forward", {"x": read("NM"), "slope": read("M"), "out": write("NM")}),
    KernelCase(
        "prelu_backward",
        {
            "dout": read("NM"),
            "x": read("NM"),
            "slope": read("M"),
            "dx": write("NM"),
            "dslope": write("M"),
        },
        variants={"no_dx": {"dx": None}, "frozen": {"dslope": None}},
        lengths={"dslope": "N"},
        magnitude=_prelu_backward_terms,
    ),
    KernelCase(
        "maxout_forward",
        {"x": read("NGM"), "winners": write("NM", WINNERS), "out": write("NM")},
        variants={"ties": {"x": read("NGM", TIES)}},
    ),
    KernelCase(
        "maxout_backward",
        {"dout": read("NM"), "winners": read("NM", WINNERS), "dx": write("NGM")},
    ),
    _elementwise(
        "dropout_forward",
        {
            "x": read("NM"),
            "ratio": 0.3,
            **_KEYS,
            "mask": write("NM", MASK),
            "out": write("NM"),
        },
        variants={
            "keep_all": {"ratio": 0.0},
            "drop_most": {"ratio": 0.97},
            "zero_keys": {"seed": 0, "step": 0, "layer": 0},
            "largest_keys": {"seed": 2**63 - 1, "step": 2**63 - 1, "layer": 2**63 - 1},
            "wide_keys": {"seed": 0x0123456789ABCDEF, "step": 2**32 + 1, "layer": 2**40},
            **_EDGES,
        },
    ),
    _elementwise(
        "dropout_backward",
        {"dout": read("NM"), "mask": read("NM", MASK), "ratio": 0.3, "dx": write("NM")},
    ),
    _elementwise(
        "masking_noise_forward",
        {
            "x": read("NM"),
            "ratio": 0.3,
            **_KEYS,
            "mask": write("NM", MASK),
            "out": write("NM"),
        },
        variants={"keep_all": {"ratio": 0.0}, "drop_most": {"ratio": 0.97}, **_EDGES},
    ),
    _elementwise(
        "masking_noise_backward",
        {"dout": read("NM"), "mask": read("NM", MASK), "dx": write("NM")},
    ),
    _elementwise(
        "gaussian_noise_forward",
        {
            "x": read("NM"),
            "std": 0.5,
            **_KEYS,
            "out": write("NM"),
        },
        variants={
            "much": {"std": 100.0},
            "zero_keys": {"seed": 0, "step": 0, "layer": 0},
            "largest_keys": {"seed": 2**63 - 1, "step": 2**63 - 1, "layer": 2**63 - 1},
        },
        magnitude=_gaussian_noise_terms,
    ),
    KernelCase(
        "softmax_forward",
        {"x": read("NM"), "out": write("NM")},
        variants={
            "masked": {"x": read("NM", MASKED)},
            "negative": {"x": read("NM", NEGATIVE)},
            "far": {"x": read("NM", FAR)},
        },
        lengths={"out": "M"},
        magnitude=_softmax_terms,
        **_EXPONENTIAL,
    ),
    KernelCase(
        "softmax_backward",
        {"dout": read("NM"), "out": read("NM", SOFT), "dx": write("NM")},
        lengths={"dx": "M"},
        magnitude=_softmax_backward_terms,
    ),
    KernelCase(
        "softmax_cross_entropy",
        {
            "logits": read("NM"),
            "labels": read("N", LABELS),
            "weights": None,
            "probs": write("NM"),
            "dlogits": write("NM"),
        },
        variants={
            "weighted": _WEIGHTED,
            "value_only": {"dlogits": None},
            "masked": {"logits": read("NM", MASKED)},
            "negative": {"logits": read("NM", NEGATIVE)},
        },
        lengths={"probs": "M", "dlogits": "M", RETURN: "NM"},
        magnitude=_cross_entropy_terms,
        **_EXPONENTIAL,
        allows_empty=False,
    ),
    KernelCase(
        "softmax_cross_entropy_soft",
        {
            "logits": read("NM"),
            "targets": read("NM", SOFT),
            "weights": None,
            "probs": write("NM"),
            "dlogits": write("NM"),
        },
        variants={
            "weighted": _WEIGHTED,
            "value_only": {"dlogits": None},
            "one_hot": {"targets": read("NM", ONE_HOT)},
            "unnormalized": {"targets": read("NM", POSITIVE)},
            "nothing_asked": {"targets": read("NM", SOME_ROWS_ZERO)},
            "masked": {"logits": read("NM", MASKED), "targets": read("NM", ONE_HOT)},
            "negative": {"logits": read("NM", NEGATIVE)},
        },
        lengths={"probs": "M", "dlogits": "M", RETURN: "NM"},
        magnitude=_cross_entropy_terms,
        **_EXPONENTIAL,
        allows_empty=False,
    ),
    KernelCase(
        "cross_entropy",
        {
            "probs": read("NM", PROBABILITY),
            "labels": read("N", LABELS),
            "weights": None,
            "guard": 1e-7,
            "dprobs": write("NM"),
        },
        variants={
            "weighted": _WEIGHTED,
            "value_only": {"dprobs": None},
            "certain": {"probs": read("NM", ONE_HOT)},
            "strong_guard": {"guard": 0.1},
        },
        lengths={RETURN: "NM"},
        magnitude=_guarded_cross_entropy_terms,
        allows_empty=False,
    ),
    KernelCase(
        "cross_entropy_soft",
        {
            "probs": read("NM", PROBABILITY),
            "targets": read("NM", SOFT),
            "weights": None,
            "guard": 1e-7,
            "dprobs": write("NM"),
        },
        variants={
            "weighted": _WEIGHTED,
            "value_only": {"dprobs": None},
            "one_hot": {"targets": read("NM", ONE_HOT)},
            "certain": {"probs": read("NM", ONE_HOT), "targets": read("NM", ONE_HOT)},
            "nan_elsewhere": {"probs": read("NM", ONE_NAN), "targets": read("NM", ONE_HOT)},
            "strong_guard": {"guard": 0.1},
        },
        lengths={RETURN: "NM"},
        magnitude=_guarded_cross_entropy_terms,
        allows_empty=False,
    ),
    KernelCase(
        "binary_cross_entropy",
        {
            "logits": read("NM"),
            "targets": read("NM", PROBABILITY),
            "weights": None,
            "dlogits": write("NM"),
        },
        variants={
            "weighted": _WEIGHTED,
            "value_only": {"dlogits": None},
            "one_hot": {"targets": read("NM", ONE_HOT)},
            "negative": {"logits": read("NM", NEGATIVE)},
            "undecided": {"logits": read("NM", UNDECIDED)},
            "far": {"logits": read("NM", FAR)},
        },
        lengths={RETURN: "NM"},
        magnitude=_binary_cross_entropy_terms,
        **_EXPONENTIAL,
        allows_empty=False,
    ),
    *(
        KernelCase(
            name,
            {"pred": read("NM"), "target": read("NM"), "weights": None, "dpred": write("NM")},
            variants={"weighted": _WEIGHTED, "value_only": {"dpred": None}, "ties": _TIES},
            lengths={RETURN: "NM"},
            allows_empty=False,
        )
        for name in ("mean_squared_error", "sum_squared_error", "mean_absolute_error")
    ),
    KernelCase(
        "huber",
        {
            "pred": read("NM"),
            "target": read("NM"),
            "weights": None,
            "delta": 1.0,
            "dpred": write("NM"),
        },
        variants={"weighted": _WEIGHTED, "value_only": {"dpred": None}, "ties": _TIES},
        lengths={RETURN: "NM"},
        allows_empty=False,
    ),
    *(
        KernelCase(
            name,
            {"w": read("NM"), "strength": 0.01, "dw": update("NM")},
            variants={"value_only": {"dw": None}},
            lengths={RETURN: "NM"},
            magnitude=all_terms_positive("w", "dw"),
            any_shape=True,
        )
        for name in ("l1_penalty", "l2_penalty")
    ),
    _elementwise(
        "clip_by_value",
        {"g": update("NM"), "limit": 0.03},
        variants={"most_within": {"limit": 2.0}},
    ),
    _elementwise("squared_norm", {"g": read("NM")}, lengths={RETURN: "NM"}),
    _elementwise(
        "clip_by_norm",
        {"g": update("NM"), "norm": 3.0, "limit": 1.0},
        variants={
            "within": {"limit": 5.0},
            "just_within": {"limit": 3.001},
            "tiny": {"norm": 1e-6, "limit": 1e-7},
            "nan": {"norm": math.nan},
            "infinite": {"norm": math.inf},
        },
    ),
    KernelCase(
        "max_norm",
        {"w": update("NM"), "limit": 5.5},
        variants={"all": {"limit": 0.1}, "none": {"limit": 100.0}},
        lengths={"w": "N"},
    ),
    KernelCase(
        "sgd_update",
        {"p": update("P"), "g": read("P"), "lr": 0.1},
        magnitude=all_terms_positive("p", negative=("g",)),
    ),
    *(
        KernelCase(
            name,
            {"p": update("P"), "g": read("P"), "v": update("P"), "lr": 0.1, "momentum": 0.9},
            variants={"no_momentum": {"momentum": 0.0}},
            magnitude=all_terms_positive("p", negative=("g", "v")),
        )
        for name in ("momentum_update", "nesterov_update")
    ),
    KernelCase(
        "adagrad_update",
        {"p": update("P"), "g": read("P"), "s": update("P", POSITIVE), "lr": 0.1, "eps": 1e-10},
        magnitude=all_terms_positive("p", negative=("g",)),
    ),
    KernelCase(
        "rmsprop_update",
        {
            "p": update("P"),
            "g": read("P"),
            "s": update("P", POSITIVE),
            "lr": 0.1,
            "alpha": 0.99,
            "eps": 1e-8,
        },
        magnitude=all_terms_positive("p", negative=("g",)),
    ),
    KernelCase(
        "adadelta_update",
        {
            "p": update("P"),
            "g": read("P"),
            "s": update("P", POSITIVE),
            "d": update("P", POSITIVE),
            "lr": 1.0,
            "rho": 0.9,
            "eps": 1e-6,
        },
        magnitude=all_terms_positive("p", negative=("g",)),
        ulps=8,
    ),
    KernelCase(
        "adam_update",
        {**_ADAM, "step": 3},
        variants={"first_step": {"step": 1}, "late_step": {"step": 100_000}},
        magnitude=_ADAM_TERMS,
    ),
    KernelCase(
        "adamw_update",
        {**_ADAM, "weight_decay": 0.01, "step": 3},
        variants={"strong_decay": {"weight_decay": 10.0}},
        magnitude=_ADAM_TERMS,
    ),
    KernelCase(
        "radam_update",
        {**_ADAM, "step": 30},
        # The rectifier sets in above rho = 5. With beta2 = 0.999, rho is 4.996 at step 5; with 0.84
        # it is 5.001 at step 6.
        variants={
            **{f"step{step}": {"step": step} for step in (1, 5, 6, 100_000)},
            "just_rectified": {"beta2": 0.84, "step": 6},
        },
        magnitude=_ADAM_TERMS,
    ),
)

KERNELS: dict[str, KernelCase] = {kernel.name: kernel for kernel in _TABLE}

# --------------------------------------------------------------------------------------------------
# Arguments of one call
# --------------------------------------------------------------------------------------------------


OTHER_VALUES = ("offset", "alike", "extreme", "nonfinite")


def special_values(kind: str, dtype: str) -> tuple[float, ...]:
    """The values sprinkled over the inputs of an "extreme" or a "nonfinite" case."""
    if kind == "nonfinite":
        return (math.nan, math.inf, -math.inf)
    tiny = float(np.finfo(dtype).tiny)
    return (0.0, -0.0, tiny, tiny / 64, -tiny / 64, 1e4, -1e4, 1e30, -1e30)


def make_arguments(
    kernel: KernelCase,
    rows: int,
    cols: int,
    dtype: str,
    rng: np.random.Generator,
    variant: str = "plain",
    *,
    inner: int | None = None,
    values: str = "normal",
) -> Arguments:
    """Arguments of one call in the order of the signature.

    Parameters
    ----------
    kernel : KernelCase
    rows, cols : int
        N and M.
    dtype : {"float32", "float64"}
    rng : numpy.random.Generator
    variant : str
        "plain" or one of ``kernel.variants``.
    inner : int, optional
        K; M if None.
    values : {"normal", "offset", "alike", "extreme", "nonfinite"} or "nan in <argument>"
        Standard normal numbers; the same plus 1000; two numbers of one sign by turns, so that the
        rounding errors of a sum do not cancel; standard normal numbers, some of them replaced by
        the `special_values`; the same with a single NaN.
    """
    inner = cols if inner is None else inner
    # Two to four pieces, whatever the size.
    sizes = {"N": rows, "K": inner, "M": cols, "P": rows * cols, "G": 2 + inner % 3}
    made: Arguments = {}
    for name, spec in kernel.spec(variant).items():
        if not isinstance(spec, Array):
            made[name] = spec
            continue
        shape = tuple(sizes[letter] for letter in spec.shape)
        with np.errstate(invalid="ignore"):  # statistics of an x that holds NaN and infinities
            drawn = spec.fill.draw(rng, shape, made)
        array = np.array(drawn, dtype=spec.fill.dtype or dtype)
        if values == f"nan in {name}":
            array[tuple(n // 2 for n in shape)] = np.nan
        elif values == "alike" and spec.fill is SOFT:
            array[:] = 1.0 / cols
        elif values in OTHER_VALUES and spec.fill.domain is not None:
            array = _with_values(array, values, spec.fill.domain, rng, dense=not kernel.lengths)
        made[name] = np.ascontiguousarray(array)
    return made


def _with_values(
    array: np.ndarray,
    values: str,
    domain: tuple[float, float],
    rng: np.random.Generator,
    dense: bool,
) -> np.ndarray:
    """Shift the values or replace some; where elements do not mix, a quarter of them."""
    if values == "offset":
        return array + 1000 if math.isinf(domain[0]) else array
    if values == "alike":
        size = rng.uniform(0.5, 1.0) * (-1 if math.isinf(domain[0]) else 1)
        return np.resize(np.array([0.3, 0.4], array.dtype) * array.dtype.type(size), array.shape)
    specials = special_values(values, str(array.dtype))
    count = min(array.size, max(len(specials), array.size // 4) if dense else len(specials))
    flat = array.reshape(-1).copy()
    flat[rng.permutation(array.size)[:count]] = np.clip(np.resize(specials, count), *domain)
    return flat.reshape(array.shape)


# --------------------------------------------------------------------------------------------------
# What the parity tests run
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One call of one kernel, but for the dtype."""

    kernel: str
    rows: int
    cols: int
    inner: int
    variant: str = "plain"
    values: str = "normal"
    shape: tuple[int, ...] | None = None  # for kernels of any shape: instead of (rows, cols)

    @property
    def id(self) -> str:
        size = "x".join(map(str, self.shape or (self.rows, self.cols)))
        if any("K" in array.shape for array in KERNELS[self.kernel].arrays().values()):
            size += f"x{self.inner}"
        traits = [self.variant] if self.variant != "plain" else []
        traits += [self.values.replace(" ", "_")] if self.values != "normal" else []
        return "-".join([self.kernel, size, *traits])

    @property
    def new_types(self) -> bool:
        """Whether the argument types differ from the plain case: a numba compilation each."""
        kernel = KERNELS[self.kernel]
        return self.shape is not None or set(kernel.arrays()) != set(kernel.arrays(self.variant))

    def arguments(self, dtype: str) -> Arguments:
        """The arguments of the call; the same numbers on every run."""
        made = make_arguments(
            KERNELS[self.kernel],
            self.rows,
            self.cols,
            dtype,
            np.random.default_rng(zlib.crc32(self.id.encode())),
            self.variant,
            inner=self.inner,
            values=self.values,
        )
        if self.shape is None:
            return made
        return {k: v.reshape(self.shape) if np.ndim(v) else v for k, v in made.items()}


# (N, M, K): one, odd, around the widths of vector registers, and large enough for threads.
SIZES = (
    (1, 1, 1),
    (1, 7, 3),
    (2, 3, 1),
    (3, 1, 5),
    (5, 17, 9),
    (16, 16, 16),
    (33, 31, 17),
    (100, 100, 100),
    (1000, 3, 2),
    (307, 1031, 129),
)
MIDDLE = (33, 44, 17)  # rows of two whole vectors and a rest
SMALL = (5, 6, 4)
NARROW = (5, 1, 4)
TILED = (9, 600, 3)  # more columns than are handled together
LONG = {"N": (20_001, 3, 2), "M": (3, 20_001, 2)}  # by the axis that is
# Of products: long sums on both ways, and on the way back a short one of many rows. They are cut
# into parts of every kind.
PRODUCTS = ((40, 200, 1100), (40, 1400, 70), (130, 90, 520))
THREADED = (700, 1031, 129)  # enough work for a team of threads in every kernel that has one

BENCHMARK_SIZES = tuple((n, width) for n in (1, 32, 100, 256) for width in (10, 64, 100, 784, 1024))


def cases(kernel: KernelCase) -> Iterator[Case]:
    """Every call that the parity tests make of a kernel, for each dtype."""
    name = kernel.name
    for size in SIZES:
        yield Case(name, *size)
    for size in PRODUCTS if kernel.products else ():
        yield Case(name, *size)
    if kernel.allows_empty:
        yield Case(name, 0, 5, 3)
    along_rows = any("M" in axes for axes in kernel.lengths.values())
    for variant in kernel.variants:
        yield Case(name, *MIDDLE, variant=variant)
        other_sizes = [Case(name, *size, variant=variant) for size in (NARROW, SMALL, TILED)]
        if along_rows or other_sizes[0].new_types:
            yield from other_sizes
    for values in ("offset", "extreme", "nonfinite"):
        if values != "offset" or kernel.lengths:
            yield Case(name, *MIDDLE, values=values)
    yield from _long_cases(kernel)
    for argument, spec in kernel.arrays().items():
        if spec.role != "written" and spec.fill.domain is not None:
            yield Case(name, *MIDDLE, values=f"nan in {argument}")
    if kernel.any_shape:
        yield Case(name, *MIDDLE, shape=(33, 11, 2, 2))
        yield Case(name, *MIDDLE, shape=(33 * 44,))


def _long_cases(kernel: KernelCase) -> Iterator[Case]:
    """Long sums whose rounding errors do not cancel; without products, of which BLAS loses more."""
    sums = {
        output: axes for output, axes in kernel.lengths.items() if output not in kernel.products
    }
    for variant in ("plain", *kernel.variants):
        if not {*kernel.products} & {*kernel.arrays(variant)}:
            for axis in sorted(set("".join(sums.values()))):
                yield Case(kernel.name, *LONG[axis], variant, values="alike")
            return


def dimensions(kernel: KernelCase, arguments: Arguments) -> dict[str, int]:
    """N, K and M of a call, read off its arrays."""
    sizes: dict[str, int] = {}
    for name, spec in kernel.spec().items():
        array = arguments[name]
        if not isinstance(spec, Array) or array is None:
            continue
        if len(spec.shape) == array.ndim:
            sizes |= zip(spec.shape, array.shape, strict=True)
        else:
            sizes |= {"N": 1, "M": array.size}
    return sizes


def tolerance(kernel: KernelCase, output: str, dtype: str, sizes: Mapping[str, int]) -> float:
    """Error allowed in an output, relative to the magnitude of the terms it adds.

    A sum of n terms may be off by 4 sqrt(n) eps of the type it runs in: n rounding errors of random
    sign, with room. What comes before and after it adds a few roundings in the arrays' own type.
    """
    rounding = kernel.ulps * float(np.finfo(dtype).eps)
    if output not in kernel.lengths:
        return rounding
    length = math.prod(sizes[axis] for axis in kernel.lengths[output])
    summed_in = dtype if output in kernel.products else "float64"
    return rounding + 4 * math.sqrt(length) * float(np.finfo(summed_in).eps)
