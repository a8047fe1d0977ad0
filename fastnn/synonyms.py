"""What other libraries call things, for errors that lead on.

No name in here is accepted: in a model's file, a log or a question to others a thing has one name.
"""

from collections.abc import Iterable

# A name of PyTorch, Keras or scikit-learn, small letters and digits only -> names of fastnn, of
# which the first that can be had where it was given is meant.
_MEANT: dict[str, tuple[str, ...]] = {
    "glorot": ("xavier",),
    "glorotnormal": ("xavier_normal",),
    "glorotuniform": ("xavier_uniform",),
    "kaiming": ("he",),
    "kaimingnormal": ("he_normal",),
    "kaiminguniform": ("he_uniform",),
    "randomnormal": ("normal",),
    "randomuniform": ("uniform",),
    **dict.fromkeys(
        (
            "categoricalcrossentropy",
            "crossentropy",
            "crossentropyloss",
            "logloss",
            "nll",
            "nllloss",
            "sparsecategoricalcrossentropy",
        ),
        ("softmax_cross_entropy",),
    ),
    **dict.fromkeys(
        ("bce", "bceloss", "bcewithlogits", "bcewithlogitsloss"), ("binary_cross_entropy",)
    ),
    **dict.fromkeys(
        ("l2", "l2loss", "mse", "mseloss"),
        ("mean_squared_error", "squared_error", "root_mean_squared_error"),
    ),
    "sse": ("sum_squared_error", "squared_error"),
    "rmse": ("root_mean_squared_error",),
    **dict.fromkeys(("l1", "l1loss", "mae"), ("mean_absolute_error", "absolute_error")),
    **dict.fromkeys(("huberloss", "smoothl1", "smoothl1loss"), ("huber",)),
    "swish": ("silu",),
    "linear": ("identity",),
    "logistic": ("sigmoid",),
    "lrelu": ("leaky_relu",),
    "nag": ("nesterov",),
    "r2": ("r2_score",),
    **dict.fromkeys(("acc", "categoricalaccuracy", "sparsecategoricalaccuracy"), ("accuracy",)),
}

_NOTHING = frozenset({"identity", "linear"})


def hint(given: object, known: Iterable[str]) -> str:
    """Words to end an error with: the name that was probably meant, or nothing.

    Parameters
    ----------
    given : object
        What was given in place of a name. A component, or its class, stands for its ``kind``.
    known : iterable of str
        The names there are.

    Examples
    --------
    >>> hint("glorot", ["he", "xavier"])
    "; did you mean 'xavier'?"
    >>> hint("ReLu", ["relu", "tanh"])
    "; did you mean 'relu'?"
    >>> hint("convolution", ["relu", "tanh"])
    ''
    """
    from difflib import get_close_matches  # for errors only

    given = getattr(given, "kind", given)
    if not isinstance(given, str):
        return ""
    plain = {_plain(name): name for name in known}
    meant = [name for name in _MEANT.get(_plain(given), ()) if _plain(name) in plain]
    meant += [plain[name] for name in get_close_matches(_plain(given), plain, 1, 0.75)]
    if meant:
        return f"; did you mean {meant[0]!r}?"
    if _plain(given) in _NOTHING:
        return "; that is no activation: give None where it is taken, or a Sequential without one"
    return ""


def _plain(name: str) -> str:
    """Without what differs by custom only: "LeakyReLU" and "leaky_relu" are the same."""
    return "".join(character for character in name.casefold() if character.isalnum())
