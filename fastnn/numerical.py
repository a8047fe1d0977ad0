"""Derivatives by differences of function values, and descent along them.

For functions of a few variables, and for checking gradients that were derived by hand. A function
of n variables is evaluated 2n times for one gradient; backpropagation needs one pass.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.checks import as_array, positive_int, real_in


def numerical_diff(f: Callable[[Any], Any], x: Any, h: float = 1e-4) -> Any:
    """The derivative of a function of one variable, by the central difference.

    ``(f(x + h) - f(x - h)) / 2h``, whose error shrinks as h squared; that of the one-sided
    difference shrinks as h only.

    Parameters
    ----------
    f : callable
        From a number to a number; or, elementwise, from an array to an array of its shape.
    x : float or array_like
        Where; for an array, the derivative at each element. Integers are taken as floats.
    h : float
        Half the distance of the two points.

    Returns
    -------
    float or ndarray
        Of the shape of x.

    Raises
    ------
    TypeError, ValueError
        x does not hold real numbers, h is not a positive number.

    Examples
    --------
    >>> round(float(numerical_diff(lambda x: x**2, 3)), 6)
    6.0
    """
    h = real_in("h", h, 0, open_low=True)
    at = as_array("x", x)
    if at.dtype.kind not in "fiu":
        raise TypeError(f"x must hold real numbers; got dtype {at.dtype}")
    point = at.astype(np.float64)[()]  # a scalar again, where x was one
    return (f(point + h) - f(point - h)) / (2 * h)


def numerical_gradient(
    f: Callable[[np.ndarray], Any], x: np.ndarray, h: float = 1e-4
) -> np.ndarray:
    """The gradient of a function of many variables, by central differences.

    Every element of x is moved up and down by h in turn, in place, so a function that reads the
    array from elsewhere (the weights of a network) sees the change; afterwards, also after an
    exception, x is as it was.

    Parameters
    ----------
    f : callable
        From x to a number.
    x : ndarray
        Of any shape and layout, floating-point and writable.
    h : float
        How far an element is moved.

    Returns
    -------
    ndarray
        The partial derivatives, of the shape and dtype of x.

    Raises
    ------
    TypeError
        x is not a floating-point array (an integer could not be moved by h), or f does not return
        a number.
    ValueError
        x cannot be written to; h is not positive.

    Examples
    --------
    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0])).round(6).tolist()
    [6.0, 8.0]
    """
    h = real_in("h", h, 0, open_low=True)
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        got = f"dtype {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"x must be a floating-point array; got {got}")
    if not x.flags.writeable:
        raise ValueError("x must be writable, it is changed in passing; got a read-only array")
    gradient = np.empty(x.shape, x.dtype)
    for i in range(x.size):
        below, above, distance = both_sides(f, x, i, h)
        gradient.flat[i] = (above - below) / distance
    return gradient


def both_sides(
    f: Callable[[np.ndarray], Any], x: np.ndarray, i: int, h: float
) -> tuple[float, float, float]:
    """f with an element of x moved down and up by h, and how far apart the two points are.

    In float32 the distance is the one that was reached: there x + h is rounded noticeably. In
    float64 it is 2h, as the formula has it.

    Parameters
    ----------
    f, x, h
        As in `numerical_gradient`.
    i : int
        Which element, counted in C order.

    Returns
    -------
    below, above, distance : float

    Raises
    ------
    TypeError
        f does not return a number.
    """
    kept = x.flat[i]
    try:
        x.flat[i] = kept + h
        high, above = float(x.flat[i]), _number(f(x))
        x.flat[i] = kept - h
        low, below = float(x.flat[i]), _number(f(x))
    finally:
        x.flat[i] = kept
    reached = high - low if x.dtype.itemsize < 8 else 0.0
    return below, above, reached or 2 * h


def gradient_descent(
    f: Callable[[np.ndarray], Any], init_x: Any, lr: float = 0.01, steps: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Walk downhill: ``x -= lr * numerical_gradient(f, x)``, again and again.

    Parameters
    ----------
    f : callable
        From an array to a number.
    init_x : array_like
        Where to start; of any shape, real numbers. It is not changed.
    lr : float
        Learning rate.
    steps : int

    Returns
    -------
    x : ndarray
        Where the walk ended.
    path : ndarray, (steps + 1, *x.shape)
        Every point, from the start to x.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    >>> x, path = gradient_descent(lambda x: (x**2).sum(), [-3.0, 4.0], lr=0.1, steps=100)
    >>> bool(abs(x).max() < 1e-8), path.shape
    (True, (101, 2))
    """
    lr = real_in("lr", lr, 0)
    steps = positive_int("steps", steps)
    start = as_array("init_x", init_x)
    if start.dtype.kind not in "fiu":
        raise TypeError(f"init_x must hold real numbers; got dtype {start.dtype}")
    x = start.astype(np.float64)
    path = np.empty((steps + 1, *x.shape))
    path[0] = x
    for step in range(steps):
        x -= lr * numerical_gradient(f, x)
        path[step + 1] = x
    return x, path


def _number(value: Any) -> float:
    if np.size(value) != 1 or np.asarray(value).dtype.kind not in "fiub":
        raise TypeError(f"f must return a number; got {value!r}")
    return float(np.asarray(value).item())
