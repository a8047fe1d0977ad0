"""The kernels compiled at run time by numba: the twins of `fastnn._kernels.reference`.

The formulas, their sources and the contract are in the reference; the docstrings here say only what
this implementation does differently. Each kernel is a plain loop that makes one pass where NumPy
makes several, and is written so that LLVM vectorizes it:

- indices run from zero, arrays are flattened where the shape does not matter, and the numbers a
  caller passes are cast to the arrays' dtype before the loop: numba would otherwise widen every
  float32 it meets to float64;
- exponentials are polynomials (below), because a call to the C library would stop vectorization;
- sums over rows go through the rows in memory order, a few columns at a time.

With ``NUMBA_DISABLE_JIT=1`` everything here is ordinary Python, slow and with the same results.
"""

import numpy as np
from numba import config, njit

# What LLVM may do beyond IEEE arithmetic, function by function; a kernel may do nothing, so that it
# rounds where the reference rounds. Never nnan or ninf: they would make NaN and Inf undefined, and
# a diverged loss could pass for a number. Never reassoc around a rounding trick, which it undoes.
_EXACT = frozenset()
_CONTRACT = frozenset({"contract"})  # a * b + c rounded once: polynomials gain speed and accuracy
_REORDER = frozenset({"reassoc", "nsz"})  # only for float64 sums, see `_add`


def _compile(fastmath=_EXACT):
    """The decorator of every function here: compile with the GIL released, and cache on disk."""

    def decorate(function):
        if config.DISABLE_JIT:
            # NumPy scalars warn where machine code rounds, overflows or wraps without a word.
            return np.errstate(all="ignore")(function)
        options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # there is no folder that the cache could be written to
            return njit(**options)(function)

    return decorate


_kernel = _compile()


# --------------------------------------------------------------------------------------------------
# Sums
# --------------------------------------------------------------------------------------------------

# Columns summed at a time: their float64 accumulators stay in the first-level cache, and the rows
# of a batch stay near for the passes that follow. Within a tile, rows are views: LLVM does not
# vectorize an index that is a sum, because it cannot tell that the sum is never negative.
_TILE = 256


@_compile(_REORDER)
def _add(total, value):
    """``total + value`` in float64, in an order LLVM may choose: the reference fixes none."""
    return total + np.float64(value)


@_kernel
def _sum_columns(x, start, stop, total):
    """``total[: stop - start] = x[:, start:stop].sum(0)``, row after row."""
    total[:] = 0.0
    for i in range(x.shape[0]):
        row = x[i, start:stop]
        for j in range(row.size):
            total[j] += row[j]


# --------------------------------------------------------------------------------------------------
# Exponentials
# exp(x) = 2^k (1 + p) with k = round(x / ln 2), r = x - k ln 2, p = expm1(r) and |r| <= ln(2) / 2,
# where the Taylor series of expm1 is exact to a quarter of a unit in the last place after 7 terms
# in float32 and 13 in float64.
# W. J. Cody and W. Waite, "Software Manual for the Elementary Functions" (1980).
# --------------------------------------------------------------------------------------------------

# ln 2 in two parts: the product of the first with any k is exact, the second holds the rest.
_LN2_HIGH_32, _LN2_LOW_32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_INV_LN2_32, _INV_LN2_64 = np.float32(1.4426950408889634), 1.4426950408889634

# Adding 1.5 * 2^23 (2^52) to a number leaves no room for a fraction: it is rounded to the nearest
# integer, which then stands in the lowest bits. Those bits less the offset are k + 2 * bias (an
# exponent's bias is 127 or 1023), positive for every k that the functions below meet.
_ROUND_32, _ROUND_64 = np.float32(1.5 * 2.0**23), 1.5 * 2.0**52
_OFFSET_32 = np.uint32(_ROUND_32.view(np.uint32) - 2 * 127)
_OFFSET_64 = np.uint64(np.float64(_ROUND_64).view(np.uint64) - 2 * 1023)

# Below these, exp rounds to zero; expm1 has long rounded to -1 in either dtype at the other two.
_EXP_LOWEST_32, _EXP_LOWEST_64 = np.float32(-104.0), -746.0
_EXPM1_LOWEST_32, _EXPM1_LOWEST_64 = np.float32(-60.0), -60.0


@_compile(_CONTRACT)
def _reduce_32(x):
    """``k + 2 * 127`` and ``p``."""
    shifted = x * _INV_LN2_32 + _ROUND_32
    k = shifted - _ROUND_32
    r = (x - k * _LN2_HIGH_32) - k * _LN2_LOW_32
    p = np.float32(1 / 5040) * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * (r * r) + r
    return np.uint32(np.float32(shifted).view(np.uint32) - _OFFSET_32), p


@_compile(_CONTRACT)
def _reduce_64(x):
    """``k + 2 * 1023`` and ``p``."""
    shifted = x * _INV_LN2_64 + _ROUND_64
    k = shifted - _ROUND_64
    r = (x - k * _LN2_HIGH_64) - k * _LN2_LOW_64
    p = (1 / 6227020800) * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    p = p * (r * r) + r
    return np.float64(shifted).view(np.uint64) - _OFFSET_64, p


@_kernel
def _power_of_two(biased):
    """``2^(biased - bias)`` in the float of the same width as the unsigned ``biased``."""
    if isinstance(biased, np.uint32):
        return np.uint32(biased << np.uint32(23)).view(np.float32)
    return np.uint64(biased << np.uint64(52)).view(np.float64)


@_compile(_CONTRACT)
def _exp(x):
    """``exp(x)`` for x <= 0 or NaN; 2^k in two factors, so that subnormals are rounded once."""
    if isinstance(x, np.float32):
        total, p = _reduce_32(_EXP_LOWEST_32 if x < _EXP_LOWEST_32 else x)
        first = np.uint32(total >> np.uint32(1))
        second = np.uint32(total - first)
    else:
        total, p = _reduce_64(_EXP_LOWEST_64 if x < _EXP_LOWEST_64 else x)
        first = total >> np.uint64(1)
        second = total - first
    a, b = _power_of_two(first), _power_of_two(second)
    return a * (b * p + b)


@_compile(_CONTRACT)
def _expm1(x):
    """``exp(x) - 1`` for x <= 88 or NaN, as ``2^k p + (2^k - 1)``: exact near zero."""
    if isinstance(x, np.float32):
        total, p = _reduce_32(_EXPM1_LOWEST_32 if x < _EXPM1_LOWEST_32 else x)
        scale = _power_of_two(np.uint32(total - np.uint32(127)))
        return scale * p + (scale - np.float32(1.0))
    total, p = _reduce_64(_EXPM1_LOWEST_64 if x < _EXPM1_LOWEST_64 else x)
    scale = _power_of_two(total - np.uint64(1023))
    return scale * p + (scale - 1.0)


@_compile(_CONTRACT)
def _log_one_plus(e):
    """``log(1 + e)`` for 0 <= e <= 1 or NaN: ``2 artanh(t)`` with ``t = e / (2 + e) <= 1/3``."""
    if isinstance(e, np.float32):
        t = e / (e + np.float32(2))
        u = t * t
        s = np.float32(1 / 15)
        s = s * u + np.float32(1 / 13)
        s = s * u + np.float32(1 / 11)
        s = s * u + np.float32(1 / 9)
        s = s * u + np.float32(1 / 7)
        s = s * u + np.float32(1 / 5)
        s = s * u + np.float32(1 / 3)
    else:
        t = e / (e + 2.0)
        u = t * t
        s = 1 / 31
        s = s * u + 1 / 29
        s = s * u + 1 / 27
        s = s * u + 1 / 25
        s = s * u + 1 / 23
        s = s * u + 1 / 21
        s = s * u + 1 / 19
        s = s * u + 1 / 17
        s = s * u + 1 / 15
        s = s * u + 1 / 13
        s = s * u + 1 / 11
        s = s * u + 1 / 9
        s = s * u + 1 / 7
        s = s * u + 1 / 5
        s = s * u + 1 / 3
    t = t + t
    return t + t * u * s


@_compile(_CONTRACT)
def _normal_tail(t, e):
    """The standard normal distribution function at -t, for t >= 0 and ``e = exp(-t^2 / 2)``.

    Divided by e it is P(t) / Q(t), to a relative error of 0.11 * 2^-24 and 0.54 * 2^-53; see the
    same function in `loops.pxd`.
    """
    if isinstance(t, np.float32):
        t = np.float32(14.5) if t > np.float32(14.5) else t
        p = np.float32(0.0041180499435913738)
        p = p * t + np.float32(0.040645362793687358)
        p = p * t + np.float32(0.18327134553420039)
        p = p * t + np.float32(0.43834390230823221)
        p = p * t + np.float32(0.5)
        q = np.float32(0.010322300969680778)
        q = q * t + np.float32(0.10188924940658042)
        q = q * t + np.float32(0.46956600299126482)
        q = q * t + np.float32(1.2026537122611882)
        q = q * t + np.float32(1.6745727773102302)
        q = q * t + np.float32(1.0)
    else:
        t = 39.0 if t > 39.0 else t
        p = 1.3758333793574401e-6
        p = p * t + 3.7041653162289924e-5
        p = p * t + 0.00048815249990097756
        p = p * t + 0.0040740767006507596
        p = p * t + 0.023552401983395302
        p = p * t + 0.097475132978136812
        p = p * t + 0.28884329973114166
        p = p * t + 0.59337503826624429
        p = p * t + 0.77442106269073321
        p = p * t + 0.5
        q = 3.4487028498889376e-6
        q = q * t + 9.2849655153505041e-5
        q = q * t + 0.001227065561635637
        q = q * t + 0.010305045494676622
        q = q * t + 0.060253836631201061
        q = q * t + 0.25436040906701662
        q = q * t + 0.78064739916661708
        q = q * t + 1.7122046685975297
        q = q * t + 2.5591670678633038
        q = q * t + 2.3467266861843235
        q = q * t + 1.0
    return e * (p / q)


# --------------------------------------------------------------------------------------------------
# Logarithms
# log(1 + u) = 2 artanh(s) with s = u / (2 + u), whose series 2 s (1 + s^2/3 + s^4/5 + ...) has no
# cancelling terms. Where |s| <= 1/3, which is u in [0, 1], float32 needs 8 of them, float64 17.
# --------------------------------------------------------------------------------------------------


@_compile(_CONTRACT)
def _log1p(u):
    """``log(1 + u)`` for u in [0, 1] or NaN."""
    two = type(u)(2)
    s = u / (two + u)
    z = s * s
    if isinstance(u, np.float32):
        p = np.float32(1 / 15) * z + np.float32(1 / 13)
        p = p * z + np.float32(1 / 11)
        p = p * z + np.float32(1 / 9)
        p = p * z + np.float32(1 / 7)
        p = p * z + np.float32(1 / 5)
        p = p * z + np.float32(1 / 3)
    else:
        p = (1 / 33) * z + 1 / 31
        p = p * z + 1 / 29
        p = p * z + 1 / 27
        p = p * z + 1 / 25
        p = p * z + 1 / 23
        p = p * z + 1 / 21
        p = p * z + 1 / 19
        p = p * z + 1 / 17
        p = p * z + 1 / 15
        p = p * z + 1 / 13
        p = p * z + 1 / 11
        p = p * z + 1 / 9
        p = p * z + 1 / 7
        p = p * z + 1 / 5
        p = p * z + 1 / 3
    return two * s + (two * s) * (z * p)


# A number is 2^e m with m in [sqrt(1/2), sqrt(2)): the bits of sqrt(1/2) taken off its own leave e
# in the exponent's place. log m = log(1 + (m - 1)) is the series above with |s| < 0.172.
_HALF_ROOT_32, _HALF_ROOT_64 = np.uint32(0x3F3504F3), np.uint64(0x3FE6A09E667F3BCD)
_LN2_32, _LN2_64 = np.float32(0.6931471805599453), 0.6931471805599453
_SMALLEST_64, _LARGEST_64 = 2.0**-1022, np.finfo(np.float64).max


@_compile(_CONTRACT)
def _log(u):
    """``log(u)`` for u that is positive, finite and no subnormal."""
    if isinstance(u, np.float32):
        bits = np.float32(u).view(np.uint32)
        e = np.int32(np.int32(np.uint32(bits - _HALF_ROOT_32)) >> np.int32(23))
        f = np.uint32(bits - np.uint32(np.uint32(e) << np.uint32(23))).view(np.float32)
        f = f - np.float32(1)
        s = f / (np.float32(2) + f)
        z = s * s
        p = np.float32(1 / 9) * z + np.float32(1 / 7)
        p = p * z + np.float32(1 / 5)
        p = p * z + np.float32(1 / 3)
        s = s + s
        return np.float32(e) * _LN2_32 + (s + s * (z * p))
    bits = np.float64(u).view(np.uint64)
    e = np.int64(np.int64(bits - _HALF_ROOT_64) >> np.int64(52))
    f = np.uint64(bits - (np.uint64(e) << np.uint64(52))).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = (1 / 21) * z + 1 / 19
    p = p * z + 1 / 17
    p = p * z + 1 / 15
    p = p * z + 1 / 13
    p = p * z + 1 / 11
    p = p * z + 1 / 9
    p = p * z + 1 / 7
    p = p * z + 1 / 5
    p = p * z + 1 / 3
    s = s + s
    return np.float64(e) * _LN2_64 + (s + s * (z * p))


@_compile(_CONTRACT)
def _sin_turns(w):
    """``sin(2 pi w)`` for |w| <= 1/4, by its Taylor series: 7 terms in float32, 11 in float64."""
    if isinstance(w, np.float32):
        a = w * np.float32(6.283185307179586)
        t = a * a
        p = np.float32(1 / 6227020800) * t - np.float32(1 / 39916800)
        p = p * t + np.float32(1 / 362880)
        p = p * t - np.float32(1 / 5040)
        p = p * t + np.float32(1 / 120)
        p = p * t - np.float32(1 / 6)
        return a + a * (t * p)
    a = w * 6.283185307179586
    t = a * a
    p = (1 / 51090942171709440000) * t - 1 / 121645100408832000
    p = p * t + 1 / 355687428096000
    p = p * t - 1 / 1307674368000
    p = p * t + 1 / 6227020800
    p = p * t - 1 / 39916800
    p = p * t + 1 / 362880
    p = p * t - 1 / 5040
    p = p * t + 1 / 120
    p = p * t - 1 / 6
    return a + a * (t * p)


# --------------------------------------------------------------------------------------------------
# Affine
# --------------------------------------------------------------------------------------------------


# Multiply-adds from which OpenBLAS may share a product among threads. Up to there SciPy's
# multiplies, whose calls from machine code are cheaper; beyond, NumPy's, as in the reference:
# SciPy's is an older release, slower with wide weights, and two teams of threads would wait for
# each other.
_THREADED = 1 << 18


@_kernel
def _add_bias(b, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]


@_kernel
def _affine_forward(x, w, b, out):
    np.dot(x, w, out)
    _add_bias(b, out)


def _multiply(a, b, out):
    """``out = a @ b`` by NumPy's BLAS, without the warnings that machine code does not give."""
    with np.errstate(all="ignore"):
        np.matmul(a, b, out=out)


def affine_forward(x, w, b, out):
    """See `reference.affine_forward`."""
    if len(x) * w.size <= _THREADED:
        _affine_forward(x, w, b, out)
    else:
        _multiply(x, w, out)
        _add_bias(b, out)


def affine_backward(dout, x, w, dx, dw, db):
    """See `reference.affine_backward`."""
    if len(x) * w.size <= _THREADED:
        _affine_backward(dout, x, w, dx, dw, db)
        return
    if dx is not None:
        _multiply(dout, w.T, dx)
    if dw is not None:
        _multiply(x.T, dout, dw)
    _affine_backward(dout, x, w, None, None, db)


@_kernel
def _affine_backward(dout, x, w, dx, dw, db):
    """Transposed views go to BLAS as they are."""
    if dx is not None:
        np.dot(dout, w.T, dx)
    if dw is not None:
        np.dot(x.T, dout, dw)
    if db is not None:
        total = np.empty(_TILE)
        for start in range(0, db.size, _TILE):
            tile = db[start : start + _TILE]
            _sum_columns(dout, start, start + tile.size, total)
            for j in range(tile.size):
                tile[j] = total[j]


# --------------------------------------------------------------------------------------------------
# Batch normalization
# --------------------------------------------------------------------------------------------------


@_kernel
def batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps, mean, inv_std, out):
    """See `reference.batchnorm_forward`; three passes over a tile of columns while it is cached."""
    n, m = x.shape
    keep = x.dtype.type(momentum)
    batch_mean, batch_var = np.empty(_TILE), np.empty(_TILE)
    for start in range(0, m, _TILE):
        stop = min(start + _TILE, m)
        _sum_columns(x, start, stop, batch_mean)
        batch_mean /= n
        batch_var[:] = 0.0
        for i in range(n):
            x_row = x[i, start:stop]
            for j in range(x_row.size):
                deviation = x_row[j] - batch_mean[j]
                batch_var[j] += deviation * deviation
        batch_var /= n
        for c in range(start, stop):
            j = c - start
            mean[c] = batch_mean[j]
            inv_std[c] = 1.0 / np.sqrt(batch_var[j] + eps)
            running_mean[c] = keep * running_mean[c] + (1.0 - momentum) * batch_mean[j]
            running_var[c] = keep * running_var[c] + (1.0 - momentum) * batch_var[j]
        mean_tile, inv_std_tile = mean[start:stop], inv_std[start:stop]
        gamma_tile, beta_tile = gamma[start:stop], beta[start:stop]
        for i in range(n):
            x_row, out_row = x[i, start:stop], out[i, start:stop]
            for j in range(x_row.size):
                x_hat = (x_row[j] - mean_tile[j]) * inv_std_tile[j]
                out_row[j] = gamma_tile[j] * x_hat + beta_tile[j]


@_kernel
def batchnorm_backward(dout, x, gamma, mean, inv_std, dx, dgamma, dbeta):
    """See `reference.batchnorm_backward`; two passes over a tile of columns."""
    n, m = x.shape
    dtype = x.dtype.type
    sum_dout, sum_dout_x_hat = np.empty(_TILE), np.empty(_TILE)
    scale = np.empty(_TILE, x.dtype)
    mean_dout, mean_dout_x_hat = np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype)
    for start in range(0, m, _TILE):
        stop = min(start + _TILE, m)
        mean_tile, inv_std_tile = mean[start:stop], inv_std[start:stop]
        sum_dout[:] = 0.0
        sum_dout_x_hat[:] = 0.0
        for i in range(n):
            x_row, dout_row = x[i, start:stop], dout[i, start:stop]
            for j in range(x_row.size):
                x_hat = (x_row[j] - mean_tile[j]) * inv_std_tile[j]
                sum_dout[j] += dout_row[j]
                sum_dout_x_hat[j] += dout_row[j] * x_hat
        for c in range(start, stop):
            j = c - start
            dgamma[c] = sum_dout_x_hat[j]
            dbeta[c] = sum_dout[j]
            scale[j] = gamma[c] * inv_std[c]
            mean_dout[j] = dtype(sum_dout[j] / n)
            mean_dout_x_hat[j] = dtype(sum_dout_x_hat[j] / n)
        if dx is not None:
            for i in range(n):
                x_row, dout_row, dx_row = x[i, start:stop], dout[i, start:stop], dx[i, start:stop]
                for j in range(x_row.size):
                    x_hat = (x_row[j] - mean_tile[j]) * inv_std_tile[j]
                    centered = dout_row[j] - mean_dout[j] - x_hat * mean_dout_x_hat[j]
                    dx_row[j] = scale[j] * centered


@_kernel
def batchnorm_inference_forward(x, gamma, beta, running_mean, running_var, eps, out):
    """See `reference.batchnorm_inference_forward`."""
    n, m = x.shape
    eps = x.dtype.type(eps)
    scale = np.empty(_TILE, x.dtype)
    for start in range(0, m, _TILE):
        stop = min(start + _TILE, m)
        for c in range(start, stop):
            scale[c - start] = gamma[c] / np.sqrt(running_var[c] + eps)
        mean_tile, beta_tile = running_mean[start:stop], beta[start:stop]
        for i in range(n):
            x_row, out_row = x[i, start:stop], out[i, start:stop]
            for j in range(x_row.size):
                out_row[j] = (x_row[j] - mean_tile[j]) * scale[j] + beta_tile[j]


@_kernel
def batchnorm_inference_backward(dout, gamma, running_var, eps, dx):
    """See `reference.batchnorm_inference_backward`."""
    n, m = dout.shape
    eps = dout.dtype.type(eps)
    scale = np.empty(_TILE, dout.dtype)
    for start in range(0, m, _TILE):
        stop = min(start + _TILE, m)
        for c in range(start, stop):
            scale[c - start] = gamma[c] / np.sqrt(running_var[c] + eps)
        for i in range(n):
            dout_row, dx_row = dout[i, start:stop], dx[i, start:stop]
            for j in range(dout_row.size):
                dx_row[j] = dout_row[j] * scale[j]


# --------------------------------------------------------------------------------------------------
# Activations
# --------------------------------------------------------------------------------------------------


@_kernel
def relu_forward(x, out):
    """See `reference.relu_forward`."""
    zero = x.dtype.type(0)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] = zero if x[i] <= zero else x[i]


@_kernel
def relu_backward(dout, out, dx):
    """See `reference.relu_backward`."""
    zero = out.dtype.type(0)
    dout, out, dx = dout.reshape(-1), out.reshape(-1), dx.reshape(-1)
    for i in range(out.size):
        dx[i] = zero if out[i] <= zero else dout[i]


@_kernel
def leaky_relu_forward(x, slope, out):
    """See `reference.leaky_relu_forward`."""
    zero, slope = x.dtype.type(0), x.dtype.type(slope)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] = x[i] if x[i] > zero else x[i] * slope


@_kernel
def leaky_relu_backward(dout, x, slope, dx):
    """See `reference.leaky_relu_backward`."""
    zero, slope = x.dtype.type(0), x.dtype.type(slope)
    dout, x, dx = dout.reshape(-1), x.reshape(-1), dx.reshape(-1)
    for i in range(x.size):
        dx[i] = dout[i] if x[i] > zero else dout[i] * slope


@_kernel
def sigmoid_forward(x, out):
    """See `reference.sigmoid_forward`."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        e = _exp(-abs(x[i]))
        out[i] = (one if x[i] >= zero else e) / (one + e)


@_kernel
def sigmoid_backward(dout, out, dx):
    """See `reference.sigmoid_backward`."""
    one = out.dtype.type(1)
    dout, out, dx = dout.reshape(-1), out.reshape(-1), dx.reshape(-1)
    for i in range(out.size):
        dx[i] = dout[i] * (out[i] * (one - out[i]))


@_kernel
def tanh_forward(x, out):
    """See `reference.tanh_forward`; ``tanh x = e / (e + 2)`` with ``e = expm1(2 x)``."""
    two, largest = x.dtype.type(2), x.dtype.type(20)  # tanh 20 rounds to 1 in float64
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        e = _expm1(two * (largest if x[i] > largest else x[i]))
        out[i] = e / (e + two)


@_kernel
def tanh_backward(dout, out, dx):
    """See `reference.tanh_backward`."""
    one = out.dtype.type(1)
    dout, out, dx = dout.reshape(-1), out.reshape(-1), dx.reshape(-1)
    for i in range(out.size):
        dx[i] = dout[i] * ((one - out[i]) * (one + out[i]))


@_kernel
def elu_forward(x, alpha, out):
    """See `reference.elu_forward`."""
    zero, alpha = x.dtype.type(0), x.dtype.type(alpha)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        out[i] = x[i] if x[i] > zero else alpha * _expm1(x[i])


@_kernel
def elu_backward(dout, out, alpha, dx):
    """See `reference.elu_backward`."""
    zero, alpha = out.dtype.type(0), out.dtype.type(alpha)
    dout, out, dx = dout.reshape(-1), out.reshape(-1), dx.reshape(-1)
    for i in range(out.size):
        dx[i] = dout[i] if out[i] > zero else dout[i] * (out[i] + alpha)


@_kernel
def softplus_forward(x, out):
    """See `reference.softplus_forward`."""
    zero = x.dtype.type(0)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        positive = zero if x[i] < zero else x[i]
        out[i] = positive + _log_one_plus(_exp(-abs(x[i])))


@_kernel
def softplus_backward(dout, out, dx):
    """See `reference.softplus_backward`."""
    dout, out, dx = dout.reshape(-1), out.reshape(-1), dx.reshape(-1)
    for i in range(out.size):
        dx[i] = dout[i] * -_expm1(-out[i])


@_kernel
def gelu_forward(x, out):
    """See `reference.gelu_forward`; the distribution function from its tail."""
    zero, one, minus_half = x.dtype.type(0), x.dtype.type(1), x.dtype.type(-0.5)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        tail = _normal_tail(abs(x[i]), _exp(minus_half * (x[i] * x[i])))
        out[i] = x[i] * (tail if x[i] < zero else one - tail)


@_kernel
def gelu_backward(dout, x, dx):
    """See `reference.gelu_backward`; one exponential serves the tail and the density."""
    zero, one, minus_half = x.dtype.type(0), x.dtype.type(1), x.dtype.type(-0.5)
    factor = x.dtype.type(1.0 / np.sqrt(2.0 * np.pi))
    dout, x, dx = dout.reshape(-1), x.reshape(-1), dx.reshape(-1)
    for i in range(x.size):
        e = _exp(minus_half * (x[i] * x[i]))
        tail = _normal_tail(abs(x[i]), e)
        dx[i] = dout[i] * ((tail if x[i] < zero else one - tail) + x[i] * (e * factor))


@_kernel
def silu_forward(x, out):
    """See `reference.silu_forward`."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        e = _exp(-abs(x[i]))
        out[i] = x[i] * ((one if x[i] >= zero else e) / (one + e))


@_kernel
def silu_backward(dout, x, dx):
    """See `reference.silu_backward`."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    dout, x, dx = dout.reshape(-1), x.reshape(-1), dx.reshape(-1)
    for i in range(x.size):
        e = _exp(-abs(x[i]))
        scale = one / (one + e)
        s = (one if x[i] >= zero else e) * scale
        rest = (e if x[i] >= zero else one) * scale
        dx[i] = dout[i] * (s * (one + x[i] * rest))


@_kernel
def prelu_forward(x, slope, out):
    """See `reference.prelu_forward`."""
    zero = x.dtype.type(0)
    for i in range(x.shape[0]):
        x_row, out_row = x[i], out[i]
        for j in range(x_row.size):
            out_row[j] = x_row[j] if x_row[j] > zero else x_row[j] * slope[j]


@_kernel
def prelu_backward(dout, x, slope, dx, dslope):
    """See `reference.prelu_backward`."""
    zero = x.dtype.type(0)
    if dx is not None:
        for i in range(x.shape[0]):
            x_row, dout_row, dx_row = x[i], dout[i], dx[i]
            for j in range(x_row.size):
                dx_row[j] = dout_row[j] if x_row[j] > zero else dout_row[j] * slope[j]
    if dslope is not None:
        total = np.empty(_TILE)
        for start in range(0, dslope.size, _TILE):
            tile = dslope[start : start + _TILE]
            total[:] = 0.0
            for i in range(x.shape[0]):
                x_row, dout_row = x[i, start : start + _TILE], dout[i, start : start + _TILE]
                for j in range(x_row.size):
                    total[j] += zero if x_row[j] > zero else dout_row[j] * x_row[j]
            for j in range(tile.size):
                tile[j] = total[j]


@_kernel
def maxout_forward(x, winners, out):
    """See `reference.maxout_forward`."""
    for i in range(x.shape[0]):
        out_row, winners_row, first = out[i], winners[i], x[i, 0]
        for j in range(out_row.size):
            out_row[j] = first[j]
            winners_row[j] = 0
        for k in range(1, x.shape[1]):
            piece, number = x[i, k], np.uint8(k)
            for j in range(out_row.size):
                best = out_row[j]
                # Also where the piece is NaN, and the best so far is not.
                better = (not piece[j] <= best) & (best == best)
                out_row[j] = piece[j] if better else best
                winners_row[j] = number if better else winners_row[j]


@_kernel
def maxout_backward(dout, winners, dx):
    """See `reference.maxout_backward`."""
    zero = dout.dtype.type(0)
    for i in range(dx.shape[0]):
        dout_row, winners_row = dout[i], winners[i]
        for k in range(dx.shape[1]):
            dx_row, number = dx[i, k], np.uint8(k)
            for j in range(dx_row.size):
                dx_row[j] = dout_row[j] if winners_row[j] == number else zero


# --------------------------------------------------------------------------------------------------
# Dropout
# numba computes with 64-bit integers unless told otherwise: each step is cut back to 32 bits, which
# costs nothing (LLVM then multiplies 32-bit lanes) and wraps as the reference's arrays do.
# --------------------------------------------------------------------------------------------------


@_kernel
def _mix64(z):
    """The finalizer of SplitMix64, see `reference._mix64`."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_kernel
def _dropout_key(seed, step, layer):
    """Two 32-bit keys, see `reference._dropout_key`."""
    increment = np.uint64(0x9E3779B97F4A7C15)
    z = _mix64(np.uint64(seed) + increment)
    z = _mix64((z ^ np.uint64(step)) + increment)
    z = _mix64((z ^ np.uint64(layer)) + increment)
    return np.uint32(z & np.uint64(0xFFFFFFFF)), np.uint32(z >> np.uint64(32))


@_kernel
def _mix32(h):
    """A 32-bit bijection, see `reference._mix32`."""
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@_kernel
def dropout_forward(x, ratio, seed, step, layer, mask, out):
    """See `reference.dropout_forward`; the same bits, drawn and applied in one pass."""
    key0, key1 = _dropout_key(seed, step, layer)
    threshold = np.uint32(ratio * 2.0**32)
    zero, scale = x.dtype.type(0), x.dtype.type(1.0 / (1.0 - ratio))
    x, mask, out = x.reshape(-1), mask.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        h = _mix32(np.uint32(np.uint32(i) ^ key0))
        keep = _mix32(np.uint32(h ^ key1)) >= threshold
        mask[i] = keep
        out[i] = x[i] * (scale if keep else zero)


@_kernel
def dropout_backward(dout, mask, ratio, dx):
    """See `reference.dropout_backward`."""
    scale = dout.dtype.type(1.0 / (1.0 - ratio))
    dout, mask, dx = dout.reshape(-1), mask.reshape(-1), dx.reshape(-1)
    for i in range(dout.size):
        dx[i] = dout[i] * (dout.dtype.type(mask[i]) * scale)


# --------------------------------------------------------------------------------------------------
# Noise
# --------------------------------------------------------------------------------------------------


@_kernel
def masking_noise_forward(x, ratio, seed, step, layer, mask, out):
    """See `reference.masking_noise_forward`."""
    key0, key1 = _dropout_key(seed, step, layer)
    threshold = np.uint32(ratio * 2.0**32)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    x, mask, out = x.reshape(-1), mask.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        h = _mix32(np.uint32(np.uint32(i) ^ key0))
        keep = _mix32(np.uint32(h ^ key1)) >= threshold
        mask[i] = keep
        out[i] = x[i] * (one if keep else zero)


@_kernel
def masking_noise_backward(dout, mask, dx):
    """See `reference.masking_noise_backward`."""
    dout, mask, dx = dout.reshape(-1), mask.reshape(-1), dx.reshape(-1)
    for i in range(dout.size):
        dx[i] = dout[i] * dout.dtype.type(mask[i])


@_kernel
def gaussian_noise_forward(x, std, seed, step, layer, out):
    """See `reference.gaussian_noise_forward`; ``cos(2 pi v) = sin(2 pi (|v - 1/2| - 1/4))``."""
    key0, key1 = _dropout_key(seed, step, layer)
    dtype = x.dtype.type
    std, unit = dtype(std), dtype(2.0**-24)
    half, quarter, minus_two = dtype(0.5), dtype(0.25), dtype(-2)
    x, out = x.reshape(-1), out.reshape(-1)
    for i in range(x.size):
        h = _mix32(np.uint32(_mix32(np.uint32(np.uint32(i) ^ key0)) ^ key1))
        g = _mix32(np.uint32(h ^ key0))
        # Through int32: only the newest processors convert unsigned integers.
        u = dtype(np.int32(np.uint32(h >> np.uint32(8)) + np.uint32(1))) * unit
        v = dtype(np.int32(np.uint32(g >> np.uint32(8)))) * unit
        sine = _sin_turns(abs(v - half) - quarter)
        out[i] = x[i] + std * (np.sqrt(minus_two * _log(u)) * sine)


# --------------------------------------------------------------------------------------------------
# Losses
# --------------------------------------------------------------------------------------------------


@_kernel
def _sort_key(v):
    """An integer that orders as v does: the bits of a float, those below the sign of -v flipped.

    Its own inverse on the bits. LLVM vectorizes a maximum of integers; that of floats it does not,
    unless NaN may be ignored. NaN sorts above Inf, or below -Inf if its sign is set.
    """
    if isinstance(v, np.float32):
        bits = np.float32(v).view(np.int32)
        return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    bits = np.float64(v).view(np.int64)
    return bits ^ ((bits >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))


@_kernel
def _from_sort_key(key):
    if isinstance(key, np.int32):
        return np.int32(key ^ ((key >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)
    return np.int64(key ^ ((key >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))).view(np.float64)


@_kernel
def _row_max(x, i):
    """The maximum of row i; may pass over a NaN, which the exponentials will bring back."""
    top = _sort_key(x[i, 0])
    for j in range(x.shape[1]):
        key = _sort_key(x[i, j])
        top = key if key > top else top
    return _from_sort_key(top)


@_kernel
def _exp_in_place(x):
    """Exponentials of a whole matrix at once: rows may be too short to vectorize."""
    x = x.reshape(-1)
    for i in range(x.size):
        x[i] = _exp(x[i])


@_kernel
def _divide_row(x, i):
    """Divide row i by its sum; return the sum."""
    total = 0.0
    for j in range(x.shape[1]):
        total = _add(total, x[i, j])
    inverse = 1.0 / total
    for j in range(x.shape[1]):
        x[i, j] = x[i, j] * inverse
    return total


@_kernel
def softmax_forward(x, out):
    """See `reference.softmax_forward`."""
    n, c = x.shape
    for i in range(n):
        top = _row_max(x, i)
        for j in range(c):
            out[i, j] = x[i, j] - top
    _exp_in_place(out)
    for i in range(n):
        _divide_row(out, i)


@_kernel
def softmax_backward(dout, out, dx):
    """See `reference.softmax_backward`."""
    n, c = out.shape
    for i in range(n):
        total = 0.0
        for j in range(c):
            total = _add(total, dout[i, j] * out[i, j])
        shared = out.dtype.type(total)
        for j in range(c):
            dx[i, j] = out[i, j] * (dout[i, j] - shared)


@_kernel
def softmax_cross_entropy(logits, labels, weights, probs, dlogits):
    """See `reference.softmax_cross_entropy`.

    The loss is summed in two parts, ``-(x - max)[label]`` before the exponentials take the place of
    ``x - max``, and ``log sum exp(x - max)`` after. Neither is ever negative: nothing cancels.
    """
    n, c = logits.shape
    dtype = logits.dtype.type
    loss = 0.0
    for i in range(n):
        top = _row_max(logits, i)
        for j in range(c):
            probs[i, j] = logits[i, j] - top
        weight = 1.0
        if weights is not None:
            weight = np.float64(weights[i])
        loss -= weight * probs[i, labels[i]]
    _exp_in_place(probs)
    for i in range(n):
        log_total = np.log(_divide_row(probs, i))
        scale = dtype(1.0 / n)
        if weights is None:
            loss += log_total
        else:
            loss += weights[i] * log_total
            scale *= weights[i]
        if dlogits is not None:
            for j in range(c):
                dlogits[i, j] = probs[i, j] * scale
            dlogits[i, labels[i]] = (probs[i, labels[i]] - dtype(1)) * scale
    return float(loss / n)


@_kernel
def softmax_cross_entropy_soft(logits, targets, weights, probs, dlogits):
    """See `reference.softmax_cross_entropy_soft`; the loss in two parts as with integer labels."""
    n, c = logits.shape
    dtype = logits.dtype.type
    loss = 0.0
    for i in range(n):
        top = _row_max(logits, i)
        row = 0.0
        for j in range(c):
            shifted = logits[i, j] - top
            probs[i, j] = shifted
            row = _add(row, np.float64(targets[i, j]) * shifted if targets[i, j] != 0 else 0.0)
        if weights is None:
            loss -= row
        else:
            loss -= weights[i] * row
    _exp_in_place(probs)
    for i in range(n):
        total = _divide_row(probs, i)
        mass = 0.0
        for j in range(c):
            mass = _add(mass, targets[i, j])
        row = mass * np.log(total) if mass != 0.0 else 0.0
        scale = dtype(1.0 / n)
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
            scale *= weights[i]
        if dlogits is not None:
            row_mass = dtype(mass)
            for j in range(c):
                dlogits[i, j] = (probs[i, j] * row_mass - targets[i, j]) * scale
    return float(loss / n)


@_kernel
def cross_entropy(probs, labels, weights, guard, dprobs):
    """See `reference.cross_entropy`."""
    n, c = probs.shape
    dtype = probs.dtype.type
    loss = 0.0
    for i in range(n):
        chosen = probs[i, labels[i]]
        surprise = np.log(np.float64(chosen) + guard)
        scale = dtype(1.0 / n)
        if weights is None:
            loss -= surprise
        else:
            loss -= weights[i] * surprise
            scale *= weights[i]
        if dprobs is not None:
            for j in range(c):
                dprobs[i, j] = dtype(0)
            dprobs[i, labels[i]] = -scale / (chosen + dtype(guard))
    return float(loss / n)


@_kernel
def _guarded_surprise(probs, targets, guard, logs):
    """``sum(targets * log(probs + guard))`` of a tile of a row."""
    usual = True
    for j in range(probs.size):
        u = np.float64(probs[j]) + guard
        logs[j] = _log(u)
        usual &= u >= _SMALLEST_64 and u <= _LARGEST_64
    total = 0.0
    for j in range(probs.size):
        target, p = np.float64(targets[j]), np.float64(probs[j])
        if target == 0.0:
            total = _add(total, target * p)
        else:
            total = _add(total, target * (logs[j] if usual else np.log(p + guard)))
    return total


@_kernel
def cross_entropy_soft(probs, targets, weights, guard, dprobs):
    """See `reference.cross_entropy_soft`."""
    n, c = probs.shape
    dtype = probs.dtype.type
    logs = np.empty(_TILE)
    loss = 0.0
    for i in range(n):
        row = 0.0
        for start in range(0, c, _TILE):
            stop = min(start + _TILE, c)
            row += _guarded_surprise(probs[i, start:stop], targets[i, start:stop], guard, logs)
        scale = dtype(1.0 / n)
        if weights is None:
            loss -= row
        else:
            loss -= weights[i] * row
            scale *= weights[i]
        if dprobs is not None:
            for j in range(c):
                dprobs[i, j] = -targets[i, j] * scale / (probs[i, j] + dtype(guard))
    return float(loss / n)


@_kernel
def binary_cross_entropy(logits, targets, weights, dlogits):
    """See `reference.binary_cross_entropy`."""
    n, m = logits.shape
    dtype = logits.dtype.type
    zero, one = dtype(0), dtype(1)
    loss = 0.0
    for i in range(n):
        scale = dtype(1.0 / n)
        if weights is not None:
            scale *= weights[i]
        scale *= dtype(1.0 / m)
        row = 0.0
        for j in range(m):
            size = abs(logits[i, j])
            e = _exp(-size)
            wrong = one - targets[i, j] if logits[i, j] > zero else targets[i, j]
            row = _add(row, wrong * size + _log1p(e))
            if dlogits is not None:
                excess = e / (one + e) - wrong
                dlogits[i, j] = (-excess if logits[i, j] > zero else excess) * scale
        row /= m
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
    return float(loss / n)


@_kernel
def mean_squared_error(pred, target, weights, dpred):
    """See `reference.mean_squared_error`."""
    n, m = pred.shape
    dtype = pred.dtype.type
    loss = 0.0
    for i in range(n):
        scale = dtype(1.0 / n)
        if weights is not None:
            scale *= weights[i]
        scale *= dtype(2.0 / m)
        row = 0.0
        for j in range(m):
            diff = pred[i, j] - target[i, j]
            row = _add(row, diff * diff)
            if dpred is not None:
                dpred[i, j] = diff * scale
        row /= m
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
    return float(loss / n)


@_kernel
def sum_squared_error(pred, target, weights, dpred):
    """See `reference.sum_squared_error`."""
    n, m = pred.shape
    loss = 0.0
    for i in range(n):
        scale = pred.dtype.type(1.0 / n)
        if weights is not None:
            scale *= weights[i]
        row = 0.0
        for j in range(m):
            diff = pred[i, j] - target[i, j]
            row = _add(row, diff * diff)
            if dpred is not None:
                dpred[i, j] = diff * scale
        row *= 0.5
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
    return float(loss / n)


@_kernel
def mean_absolute_error(pred, target, weights, dpred):
    """See `reference.mean_absolute_error`."""
    n, m = pred.shape
    dtype = pred.dtype.type
    zero = dtype(0)
    loss = 0.0
    for i in range(n):
        scale = dtype(1.0 / n)
        if weights is not None:
            scale *= weights[i]
        scale *= dtype(1.0 / m)
        row = 0.0
        for j in range(m):
            diff = pred[i, j] - target[i, j]
            row = _add(row, abs(diff))
            if dpred is not None:
                # The last case is zero, or NaN.
                dpred[i, j] = scale if diff > zero else (-scale if diff < zero else diff * scale)
        row /= m
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
    return float(loss / n)


@_kernel
def huber(pred, target, weights, delta, dpred):
    """See `reference.huber`."""
    n, m = pred.shape
    dtype = pred.dtype.type
    half, delta = dtype(0.5), dtype(delta)
    loss = 0.0
    for i in range(n):
        scale = dtype(1.0 / n)
        if weights is not None:
            scale *= weights[i]
        scale *= dtype(1.0 / m)
        row = 0.0
        for j in range(m):
            diff = pred[i, j] - target[i, j]
            clipped = delta if diff > delta else (-delta if diff < -delta else diff)
            row = _add(row, clipped * (diff - half * clipped))
            if dpred is not None:
                dpred[i, j] = clipped * scale
        row /= m
        if weights is None:
            loss += row
        else:
            loss += weights[i] * row
    return float(loss / n)


# --------------------------------------------------------------------------------------------------
# Penalties
# --------------------------------------------------------------------------------------------------


@_kernel
def l1_penalty(w, strength, dw):
    """See `reference.l1_penalty`."""
    zero, step = w.dtype.type(0), w.dtype.type(strength)
    w = w.reshape(-1)
    total = 0.0
    for i in range(w.size):
        total = _add(total, abs(w[i]))
    if dw is not None:
        dw = dw.reshape(-1)
        for i in range(w.size):
            # The last case is zero, or NaN.
            dw[i] += step if w[i] > zero else (-step if w[i] < zero else w[i])
    return float(strength * total)


@_kernel
def l2_penalty(w, strength, dw):
    """See `reference.l2_penalty`."""
    step = w.dtype.type(strength)
    w = w.reshape(-1)
    total = 0.0
    for i in range(w.size):
        value = np.float64(w[i])
        total = _add(total, value * value)
    if dw is not None:
        dw = dw.reshape(-1)
        for i in range(w.size):
            dw[i] += w[i] * step
    return float(0.5 * strength * total)


# --------------------------------------------------------------------------------------------------
# Bounds on gradients and on weights
# --------------------------------------------------------------------------------------------------


@_kernel
def clip_by_value(g, limit):
    """See `reference.clip_by_value`."""
    limit = g.dtype.type(limit)
    g = g.reshape(-1)
    for i in range(g.size):
        g[i] = limit if g[i] > limit else (-limit if g[i] < -limit else g[i])


@_kernel
def squared_norm(g):
    """See `reference.squared_norm`."""
    g = g.reshape(-1)
    total = 0.0
    for i in range(g.size):
        value = np.float64(g[i])
        total = _add(total, value * value)
    return float(total)


@_kernel
def clip_by_norm(g, norm, limit):
    """See `reference.clip_by_norm`."""
    ratio = limit / (norm + 1e-6)
    factor = g.dtype.type(1.0 if ratio > 1.0 else ratio)
    g = g.reshape(-1)
    for i in range(g.size):
        g[i] *= factor


@_kernel
def max_norm(w, limit):
    """See `reference.max_norm`; two passes over a tile of columns."""
    n, m = w.shape
    squares, scale = np.empty(_TILE), np.empty(_TILE, w.dtype)
    for start in range(0, m, _TILE):
        stop = min(start + _TILE, m)
        squares[:] = 0.0
        for i in range(n):
            row = w[i, start:stop]
            for j in range(row.size):
                value = np.float64(row[j])
                squares[j] += value * value
        for j in range(stop - start):
            norm = np.sqrt(squares[j])
            # NaN is on no side of the limit, and stays.
            scale[j] = limit / (limit if norm <= limit else norm)
        for i in range(n):
            row = w[i, start:stop]
            for j in range(row.size):
                row[j] *= scale[j]


# --------------------------------------------------------------------------------------------------
# Optimizers
# Each step reads everything before it writes anything: a read that follows a write may be held up
# by it where the two addresses end in the same 12 bits, at more than twice the time.
# --------------------------------------------------------------------------------------------------


@_kernel
def sgd_update(p, g, lr):
    """See `reference.sgd_update`."""
    lr = p.dtype.type(lr)
    p, g = p.reshape(-1), g.reshape(-1)
    for i in range(p.size):
        p[i] -= lr * g[i]


@_kernel
def momentum_update(p, g, v, lr, momentum):
    """See `reference.momentum_update`."""
    lr, momentum = p.dtype.type(lr), p.dtype.type(momentum)
    p, g, v = p.reshape(-1), g.reshape(-1), v.reshape(-1)
    for i in range(p.size):
        v_i = v[i] * momentum + g[i]
        p[i] -= lr * v_i
        v[i] = v_i


@_kernel
def nesterov_update(p, g, v, lr, momentum):
    """See `reference.nesterov_update`."""
    lr, momentum = p.dtype.type(lr), p.dtype.type(momentum)
    p, g, v = p.reshape(-1), g.reshape(-1), v.reshape(-1)
    for i in range(p.size):
        v_i = v[i] * momentum + g[i]
        p[i] -= lr * (g[i] + momentum * v_i)
        v[i] = v_i


@_kernel
def adagrad_update(p, g, s, lr, eps):
    """See `reference.adagrad_update`."""
    lr, eps = p.dtype.type(lr), p.dtype.type(eps)
    p, g, s = p.reshape(-1), g.reshape(-1), s.reshape(-1)
    for i in range(p.size):
        s_i = s[i] + g[i] * g[i]
        p[i] -= lr * g[i] / (np.sqrt(s_i) + eps)
        s[i] = s_i


@_kernel
def rmsprop_update(p, g, s, lr, alpha, eps):
    """See `reference.rmsprop_update`."""
    dtype = p.dtype.type
    lr, rest, alpha, eps = dtype(lr), dtype(1.0 - alpha), dtype(alpha), dtype(eps)
    p, g, s = p.reshape(-1), g.reshape(-1), s.reshape(-1)
    for i in range(p.size):
        s_i = s[i] * alpha + rest * (g[i] * g[i])
        p[i] -= lr * g[i] / (np.sqrt(s_i) + eps)
        s[i] = s_i


@_kernel
def adadelta_update(p, g, s, d, lr, rho, eps):
    """See `reference.adadelta_update`."""
    dtype = p.dtype.type
    lr, rest, rho, eps = dtype(lr), dtype(1.0 - rho), dtype(rho), dtype(eps)
    p, g, s, d = p.reshape(-1), g.reshape(-1), s.reshape(-1), d.reshape(-1)
    for i in range(p.size):
        s_i = s[i] * rho + rest * (g[i] * g[i])
        u = np.sqrt(d[i] + eps) / np.sqrt(s_i + eps) * g[i]
        d_i = d[i] * rho + rest * (u * u)
        p[i] -= lr * u
        s[i] = s_i
        d[i] = d_i


@_kernel
def _adam(p, g, m, v, decay, lr, beta1, beta2, eps, step):
    """Adam after ``p *= decay``."""
    dtype = p.dtype.type
    t = float(step)  # a power of floats is the C library's, as it is in Python
    step_size = dtype(lr / (1.0 - beta1**t))
    inv_root = dtype(1.0 / np.sqrt(1.0 - beta2**t))
    rest1, rest2 = dtype(1.0 - beta1), dtype(1.0 - beta2)
    beta1, beta2, decay, eps = dtype(beta1), dtype(beta2), dtype(decay), dtype(eps)
    p, g, m, v = p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    for i in range(p.size):
        m_i = m[i] * beta1 + rest1 * g[i]
        v_i = v[i] * beta2 + rest2 * (g[i] * g[i])
        p[i] = p[i] * decay - step_size * m_i / (np.sqrt(v_i) * inv_root + eps)
        m[i] = m_i
        v[i] = v_i


@_kernel
def adam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    """See `reference.adam_update`."""
    _adam(p, g, m, v, 1.0, lr, beta1, beta2, eps, step)


@_kernel
def adamw_update(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step):
    """See `reference.adamw_update`."""
    _adam(p, g, m, v, 1.0 - lr * weight_decay, lr, beta1, beta2, eps, step)


@_kernel
def radam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    """See `reference.radam_update`."""
    dtype = p.dtype.type
    t = float(step)
    step_size = lr / (1.0 - beta1**t)
    correction = 1.0 - beta2**t
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * t * beta2**t / correction
    rest1, rest2 = dtype(1.0 - beta1), dtype(1.0 - beta2)
    beta1, beta2, eps = dtype(beta1), dtype(beta2), dtype(eps)
    p, g, m, v = p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    if rho <= 5.0:
        plain = dtype(step_size)
        for i in range(p.size):
            m_i = m[i] * beta1 + rest1 * g[i]
            v_i = v[i] * beta2 + rest2 * (g[i] * g[i])
            p[i] -= plain * m_i
            m[i] = m_i
            v[i] = v_i
        return
    rectifier = np.sqrt(
        (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
    )
    adaptive = dtype(step_size * rectifier * np.sqrt(correction))
    for i in range(p.size):
        m_i = m[i] * beta1 + rest1 * g[i]
        v_i = v[i] * beta2 + rest2 * (g[i] * g[i])
        p[i] -= adaptive * m_i / (np.sqrt(v_i) + eps)
        m[i] = m_i
        v[i] = v_i
