"""Constraints: bounds that weights are put back into after every update."""

from types import ModuleType

import numpy as np

from fastnn.checks import real_in
from fastnn.components import Component


class Constraint(Component):
    """A bound on a weight array; of the whole model (`Trainer`) or of one layer."""

    def apply(self, kernels: ModuleType, w: np.ndarray) -> None:
        """Put w, a C-contiguous array, back into the bound, in place."""
        raise NotImplementedError  # abstract: every subclass has its own


class MaxNorm(Constraint):
    """The weights that come into a unit, a column of w, have a norm of at most ``limit``.

    Longer columns are scaled down to it. Together with dropout it lets large learning rates be
    tried without weights that blow up.

    Parameters
    ----------
    limit : float
        Greater than 0; 3 or 4 is usual.

    Raises
    ------
    TypeError, ValueError
        A setting is of the wrong type, or out of its range.

    Notes
    -----
    Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html, section 5.1.
    """

    kind = "max_norm"

    def __init__(self, limit: float = 3.0) -> None:
        self.limit = limit
        real_in("limit", limit, 0, open_low=True)

    def apply(self, kernels: ModuleType, w: np.ndarray) -> None:
        kernels.max_norm(w.reshape(-1, w.shape[-1]), self.limit)


CONSTRAINTS: dict[str, type[Constraint]] = {cls.kind: cls for cls in (MaxNorm,)}
