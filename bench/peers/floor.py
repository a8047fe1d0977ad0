"""The floor: the matrix products of a step alone, on one thread of SciPy's BLAS."""

from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import sgemm

from peers.workloads import Product, Workload, products

# Steps between two looks at the clock.
TOGETHER = 50


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
        self.nothing = make_call(Product("forward", 1, 1, 1), rng)

    def seconds(self, steps: int) -> float:
        """Of the products themselves: what it costs to call from Python is taken off.

        That is timed in turns with the products, so that both meet the same machine.
        """
        total = 0.0
        for first in range(0, steps, TOGETHER):
            repeats = range(min(TOGETHER, steps - first))
            start = perf_counter()
            for _ in repeats:
                for call in self.calls:
                    call.run()
            middle = perf_counter()
            for _ in repeats:
                for _ in self.calls:
                    self.nothing.run()
            total += 2 * middle - start - perf_counter()
        return total
