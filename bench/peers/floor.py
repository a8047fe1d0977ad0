"""The floor: the matrix products of a step alone, on one thread of SciPy's BLAS."""

from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import sgemm

from peers.workloads import Product, Workload, products

CALLS = 2000


class Call(NamedTuple):
    """Arguments of sgemm, which is column-major: row-major ``a @ b`` is its ``b.T @ a.T``."""

    left: np.ndarray
    right: np.ndarray
    out: np.ndarray
    trans_left: bool
    trans_right: bool

    def run(self) -> None:
        sgemm(
            1.0,
            self.left,
            self.right,
            0.0,
            self.out,
            trans_a=self.trans_left,
            trans_b=self.trans_right,
            overwrite_c=True,
        )


def make_call(product: Product, rng: np.random.Generator) -> Call:
    """A product as a training step finds its operands.

    ``x`` and ``dout`` are (batch, features), ``w`` is (in, out), all row-major; so in
    ``dw = x.T @ dout`` the first operand is the transposed one, in ``dx = dout @ w.T`` the second.
    """
    rows, inner, cols = product.rows, product.inner, product.cols
    a_shape = (inner, rows) if product.what == "dw" else (rows, inner)
    b_shape = (cols, inner) if product.what == "dx" else (inner, cols)
    a = rng.standard_normal(a_shape, np.float32)
    b = rng.standard_normal(b_shape, np.float32)
    out = np.zeros((rows, cols), np.float32)
    return Call(b.T, a.T, out.T, product.what == "dx", product.what == "dw")


class Floor:
    """Runs the products of steps, or of predictions."""

    def __init__(self, workload: Workload) -> None:
        rng = np.random.default_rng(0)
        self.calls = [make_call(product, rng) for product in products(workload)]
        self.cost_of_calls = len(self.calls) * call_cost(rng)

    def seconds(self, steps: int) -> float:
        """Of the products themselves: what it costs to call from Python is taken off."""
        start = perf_counter()
        for _ in range(steps):
            for call in self.calls:
                call.run()
        return perf_counter() - start - steps * self.cost_of_calls


def call_cost(rng: np.random.Generator) -> float:
    """Seconds of a product of nothing."""
    call = make_call(Product("forward", 1, 1, 1), rng)
    fastest = np.inf
    for _ in range(5):
        start = perf_counter()
        for _ in range(CALLS):
            call.run()
        fastest = min(fastest, (perf_counter() - start) / CALLS)
    return fastest
