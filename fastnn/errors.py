"""Exceptions of fastnn.

Wrong arguments raise the built-in ``ValueError`` and ``TypeError``, and a missing optional package
raises ``ImportError``; the classes here are for what can go wrong although the call was right.
"""


class FastnnError(Exception):
    """Base class of the errors that fastnn defines."""


class DivergenceError(FastnnError):
    """Training stopped because it will not come back.

    Parameters
    ----------
    step : int
        Number of the training step, counted over all epochs, whose loss shows it.
    loss : float
        The loss of that step: NaN, an infinity, or beyond return.
    lr : float
        Learning rate of that step.
    growth : float, optional
        How many times as large the parameters are as when the fit began, where the loss cannot show
        it: that of outputs within bounds, as a sigmoid's, is within bounds.

    Attributes
    ----------
    step, loss, lr, growth
        As above.
    """

    def __init__(self, step: int, loss: float, lr: float, growth: float | None = None) -> None:
        hint = "Lower the learning rate, check the data for NaN and Inf, or clip the gradients."
        if step == 1:
            hint = (
                "It is the first step: check the data for NaN, Inf and huge numbers, and only then "
                "lower the learning rate."
            )
        grown = "" if growth is None else f"the parameters have grown {growth:.1g} times, and "
        super().__init__(
            f"training diverged at step {step}: {grown}the loss is {loss} with learning rate "
            f"{lr:g}. {hint}"
        )
        self.step = step
        self.loss = loss
        self.lr = lr
        self.growth = growth

    def __reduce__(
        self,
    ) -> tuple[type["DivergenceError"], tuple[int, float, float, float | None]]:
        # The default passes the message alone to __init__, so the error could not come back
        # from a worker process of a parameter search.
        return type(self), (self.step, self.loss, self.lr, self.growth)


class CorruptFileError(FastnnError):
    """A file is damaged, truncated, or not of the format it should have."""


class NotBuiltError(FastnnError):
    """A part that needs compiled extensions was asked for, and they were not built."""


def missing_extra(package: str, extra: str, *, alternative: str = "") -> ImportError:
    """Build the ImportError for an optional package that is not installed.

    Parameters
    ----------
    package : str
        Name of the distribution that could not be imported, e.g. ``"scikit-learn"``.
    extra : str
        Extra of fastnn that installs it, e.g. ``"demo"``.
    alternative : str, optional
        A sentence on what can be done without the package.

    Returns
    -------
    ImportError
        To be raised by the caller, ``from`` the error of the import.

    Examples
    --------
    >>> print(missing_extra("pooch", "demo"))
    pooch is not installed. Install it with: pip install "fastnn[demo]"
    """
    mend = f'{package} is not installed. Install it with: pip install "fastnn[{extra}]"'
    return ImportError(f"{mend}. {alternative}" if alternative else mend, name=package)
