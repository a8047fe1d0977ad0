"""scikit-learn's ``random_state`` as fastnn's generators."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def random_state(seed: Any) -> np.random.RandomState:
    """What ``random_state`` says; None is fresh entropy, not NumPy's global state."""
    return check_random_state(np.random.RandomState() if seed is None else seed)


def generator(random: np.random.RandomState) -> np.random.Generator:
    """A generator seeded by draws from ``random``."""
    return np.random.default_rng(random.randint(2**31 - 1, size=4))
