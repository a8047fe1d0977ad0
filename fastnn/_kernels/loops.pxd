# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The loops of the kernels over raw memory: no Python, no checks, no allocation, no threads.

Each is inlined into whatever compiles it, so the C compiler vectorizes it for that build's
instruction set. Formulas and sources stand in reference.py; here are only the reasons that are
particular to compiled code. Sums run in double, in an order fixed by the shape alone. Literals are
cast to the type of the data: a bare 1 would make Cython compute in double.
"""

from libc.math cimport log, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport dgemm, dgemv, sgemm, sgemv

ctypedef fused real:
    float
    double

cdef extern from "<math.h>" nogil:
    float sqrtf(float)
    float fabsf(float)
    double fabs(double)

cdef extern from *:
    """
    /* Multiply-adds up to which OpenBLAS multiplies without packing its operands first, on AVX-512:
       interface/gemm.c and kernel/x86_64/sgemm_small_kernel_permit_skylakex.c, whose limit for the
       size of a result with a transposed left operand is the second number. */
    #ifdef __AVX512F__
    #define FASTNN_SMALL_PRODUCT 1000000
    #else
    #define FASTNN_SMALL_PRODUCT 0
    #endif
    #define FASTNN_SMALL_RESULT 1200
    """
    const Py_ssize_t SMALL_PRODUCT "FASTNN_SMALL_PRODUCT"
    const Py_ssize_t SMALL_RESULT "FASTNN_SMALL_RESULT"

# Columns handled together by the sums over rows: their double accumulators fit in eight cache
# lines, their values of a row in four (float32).
# Rows whose sum is taken in the type of the data before it is added to a double accumulator:
# converting every value would cost several times as much as adding it.
cdef enum:
    TILE = 256
    LANES = 16
    BLOCK = 8

cdef union Bits32:
    float value
    uint32_t bits

cdef union Bits64:
    double value
    uint64_t bits



cdef inline Py_ssize_t tiles(Py_ssize_t n) noexcept nogil:
    return (n + TILE - 1) // TILE


cdef inline int tile_width(Py_ssize_t tile, Py_ssize_t n) noexcept nogil:
    return <int>min(<Py_ssize_t>TILE, n - tile * TILE)


# --------------------------------------------------------------------------------------------------
# Elementary functions, branch-free so that they vectorize
# --------------------------------------------------------------------------------------------------


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline real absolute(real x) noexcept nogil:
    if real is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline real round_to_integer(real x) noexcept nogil:
    # Adding 1.5 * 2^(mantissa bits) leaves no room for a fraction: the hardware rounds it away.
    if real is float:
        return (x + <float>12582912.0) - <float>12582912.0
    else:
        return (x + 6755399441055744.0) - 6755399441055744.0


cdef inline real power_of_two(real k) noexcept nogil:
    """2^k for an integral k in the range of normal exponents."""
    # The same addition puts the integer into the low bits of the mantissa; shifted, they are an
    # exponent.
    cdef Bits32 b32
    cdef Bits64 b64
    if real is float:
        b32.value = k + <float>12582912.0
        b32.bits = (b32.bits << 23) + <uint32_t>0x3F800000
        return b32.value
    else:
        b64.value = k + 6755399441055744.0
        b64.bits = (b64.bits << 52) + <uint64_t>0x3FF0000000000000
        return b64.value


cdef inline real expm1_reduced(real r) noexcept nogil:
    """exp(r) - 1 for |r| <= ln(2)/2, by its Taylor series as far as the type can tell."""
    cdef real s
    if real is float:
        s = <float>(1.0 / 5040.0)
        s = s * r + <float>(1.0 / 720.0)
        s = s * r + <float>(1.0 / 120.0)
        s = s * r + <float>(1.0 / 24.0)
        s = s * r + <float>(1.0 / 6.0)
        s = s * r + <float>0.5
    else:
        s = 1.0 / 87178291200.0
        s = s * r + 1.0 / 6227020800.0
        s = s * r + 1.0 / 479001600.0
        s = s * r + 1.0 / 39916800.0
        s = s * r + 1.0 / 3628800.0
        s = s * r + 1.0 / 362880.0
        s = s * r + 1.0 / 40320.0
        s = s * r + 1.0 / 5040.0
        s = s * r + 1.0 / 720.0
        s = s * r + 1.0 / 120.0
        s = s * r + 1.0 / 24.0
        s = s * r + 1.0 / 6.0
        s = s * r + 0.5
    return r + r * r * s


cdef inline real nearest_k(real x) noexcept nogil:
    """The integer k for which x = k * ln(2) + r with the smallest |r|."""
    return round_to_integer(x * <real>1.4426950408889634)


cdef inline real remainder_of(real x, real k) noexcept nogil:
    # ln(2) in two parts: k times the first is exact.
    if real is float:
        return (x - k * <float>0.693359375) - k * <float>(-2.12194440e-4)
    else:
        return (x - k * 6.93145751953125e-1) - k * 1.42860682030941723212e-6


cdef inline real exponential(real x) noexcept nogil:
    """exp(x) for x <= 0 (and NaN): what softmax and sigmoid need. Subnormal results become zero."""
    cdef real low = -87.33654 if real is float else -708.3964185322641
    # `x < low` is false for NaN, which goes through.
    cdef real clamped = low if x < low else x
    cdef real k = nearest_k(clamped)
    cdef real y = (<real>1 + expm1_reduced(remainder_of(clamped, k))) * power_of_two(k)
    return <real>0 if x < low else y


cdef inline real exponential_minus_one(real x) noexcept nogil:
    """exp(x) - 1 for x <= 40 (and NaN), to full relative accuracy near zero."""
    cdef real low = -30.0 if real is float else -50.0
    cdef real clamped = low if x < low else x
    cdef real k = nearest_k(clamped)
    cdef real scale = power_of_two(k)
    return scale * expm1_reduced(remainder_of(clamped, k)) + (scale - <real>1)


cdef inline real log1p_up_to_one(real u) noexcept nogil:
    """log(1 + u) for u in [0, 1] (and NaN), as 2 artanh(s) with s = u / (2 + u) <= 1/3."""
    cdef real s = u / (<real>2 + u)
    cdef real z = s * s
    cdef real p
    if real is float:
        p = <float>(1.0 / 15.0)
        p = p * z + <float>(1.0 / 13.0)
        p = p * z + <float>(1.0 / 11.0)
        p = p * z + <float>(1.0 / 9.0)
        p = p * z + <float>(1.0 / 7.0)
        p = p * z + <float>(1.0 / 5.0)
        p = p * z + <float>(1.0 / 3.0)
    else:
        p = 1.0 / 33.0
        p = p * z + 1.0 / 31.0
        p = p * z + 1.0 / 29.0
        p = p * z + 1.0 / 27.0
        p = p * z + 1.0 / 25.0
        p = p * z + 1.0 / 23.0
        p = p * z + 1.0 / 21.0
        p = p * z + 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 1.0 / 5.0
        p = p * z + 1.0 / 3.0
    return (s + s) + (s + s) * (z * p)


cdef inline real logarithm(real u) noexcept nogil:
    """log(u) for u that is positive, finite and no subnormal."""
    # u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)): the bits of sqrt(1/2) taken off u's own
    # leave e in the exponent's place. log(1 + f) is the series above, with |s| < 0.172.
    cdef Bits32 b32
    cdef Bits64 b64
    cdef int32_t e
    cdef real f, s, z, p
    if real is float:
        b32.value = u
        e = <int32_t>(b32.bits - <uint32_t>0x3F3504F3) >> 23
        b32.bits -= <uint32_t>e << 23
        f = b32.value - <float>1
    else:
        b64.value = u
        e = <int32_t>((b64.bits - <uint64_t>0x3FE6A09E667F3BCD) >> 32) >> 20
        b64.bits -= <uint64_t>e << 52
        f = b64.value - <double>1
    s = f / (<real>2 + f)
    z = s * s
    if real is float:
        p = <float>(1.0 / 9.0)
    else:
        p = 1.0 / 21.0
        p = p * z + 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
    p = p * z + <real>(1.0 / 7.0)
    p = p * z + <real>(1.0 / 5.0)
    p = p * z + <real>(1.0 / 3.0)
    return <real>e * <real>0.6931471805599453 + ((s + s) + (s + s) * (z * p))


cdef inline real sine_of_turns(real w) noexcept nogil:
    """sin(2 pi w) for |w| <= 1/4, by its Taylor series as far as the type can tell."""
    cdef real a = w * <real>6.283185307179586
    cdef real t = a * a
    cdef real p
    if real is float:
        p = <float>(1.0 / 6227020800.0)
    else:
        p = 1.0 / 51090942171709440000.0
        p = p * t - 1.0 / 121645100408832000.0
        p = p * t + 1.0 / 355687428096000.0
        p = p * t - 1.0 / 1307674368000.0
        p = p * t + 1.0 / 6227020800.0
    p = p * t - <real>(1.0 / 39916800.0)
    p = p * t + <real>(1.0 / 362880.0)
    p = p * t - <real>(1.0 / 5040.0)
    p = p * t + <real>(1.0 / 120.0)
    p = p * t - <real>(1.0 / 6.0)
    return a + a * (t * p)


cdef inline real sigmoid(real x) noexcept nogil:
    cdef real e = exponential(-absolute(x))
    cdef real numerator = e if x < <real>0 else <real>1
    return numerator / (<real>1 + e)


cdef inline real hyperbolic_tangent(real x) noexcept nogil:
    # Beyond the bound tanh is 1 to the last bit.
    cdef real bound = 9.0 if real is float else 20.0
    cdef real t = bound if x > bound else x
    cdef real u, p, q
    t = -bound if t < -bound else t
    if real is float:
        # x * P(x^2) / Q(x^2) with the smallest greatest relative error on (0, 9], 0.35 * 2^-24:
        # linearized least squares, reweighted by the error (Lawson). One division, no exponential.
        u = t * t
        p = <float>1.335439663139062e-08
        p = p * u + <float>2.0608886147658768e-05
        p = p * u + <float>0.0034955761415794077
        p = p * u + <float>0.13381015579720973
        p = p * u + <float>0.9999999794745702
        q = <float>7.776448180051021e-07
        q = q * u + <float>0.00032856152287220837
        q = q * u + <float>0.025876936671192948
        q = q * u + <float>0.46714331178798557
        q = q * u + <float>1.0
        t = t * p / q
        t = <float>1.0 if t > <float>1.0 else t
        return <float>-1.0 if t < <float>-1.0 else t
    else:
        # tanh(x) = (e^2x - 1) / (e^2x + 1)
        t = exponential_minus_one(t + t)
        return t / (t + <real>2)


cdef inline real log_one_plus(real e) noexcept nogil:
    """log(1 + e) for 0 <= e <= 1, to full relative accuracy near zero."""
    # 2 * artanh(t) with t = e / (2 + e) <= 1/3, by its series as far as the type can tell.
    cdef real t = e / (<real>2 + e)
    cdef real u = t * t
    cdef real s
    if real is float:
        s = <float>(1.0 / 15.0)
        s = s * u + <float>(1.0 / 13.0)
        s = s * u + <float>(1.0 / 11.0)
        s = s * u + <float>(1.0 / 9.0)
        s = s * u + <float>(1.0 / 7.0)
        s = s * u + <float>(1.0 / 5.0)
        s = s * u + <float>(1.0 / 3.0)
    else:
        s = 1.0 / 31.0
        s = s * u + 1.0 / 29.0
        s = s * u + 1.0 / 27.0
        s = s * u + 1.0 / 25.0
        s = s * u + 1.0 / 23.0
        s = s * u + 1.0 / 21.0
        s = s * u + 1.0 / 19.0
        s = s * u + 1.0 / 17.0
        s = s * u + 1.0 / 15.0
        s = s * u + 1.0 / 13.0
        s = s * u + 1.0 / 11.0
        s = s * u + 1.0 / 9.0
        s = s * u + 1.0 / 7.0
        s = s * u + 1.0 / 5.0
        s = s * u + 1.0 / 3.0
    t = t + t
    return t + t * u * s


cdef inline real normal_tail(real t, real e) noexcept nogil:
    """The standard normal distribution function at -t, for t >= 0 and e = exp(-t^2 / 2)."""
    # Divided by e it falls slowly from 1/2 and is P(t) / Q(t), with the smallest greatest relative
    # error up to where e has become zero, 0.11 * 2^-24 and 0.54 * 2^-53: linearized least squares,
    # reweighted by the error (Lawson). All coefficients are positive: nothing cancels.
    cdef real bound = 14.5 if real is float else 39.0
    cdef real p, q
    t = bound if t > bound else t
    if real is float:
        p = <float>0.0041180499435913738
        p = p * t + <float>0.040645362793687358
        p = p * t + <float>0.18327134553420039
        p = p * t + <float>0.43834390230823221
        p = p * t + <float>0.5
        q = <float>0.010322300969680778
        q = q * t + <float>0.10188924940658042
        q = q * t + <float>0.46956600299126482
        q = q * t + <float>1.2026537122611882
        q = q * t + <float>1.6745727773102302
        q = q * t + <float>1.0
    else:
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
# Sums
# --------------------------------------------------------------------------------------------------


cdef inline double sum_lanes(double* lanes) noexcept nogil:
    cdef double total = 0
    cdef int j
    for j in range(LANES):
        total += lanes[j]
    return total


cdef inline double sum_squares(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double lanes[LANES]
    cdef double tail = 0
    cdef Py_ssize_t i, blocks = n // LANES
    cdef int j
    memset(lanes, 0, sizeof(lanes))
    for i in range(blocks):
        for j in range(LANES):
            lanes[j] += <double>x[i * LANES + j] * <double>x[i * LANES + j]
    for i in range(blocks * LANES, n):
        tail += <double>x[i] * <double>x[i]
    return sum_lanes(lanes) + tail


cdef inline double sum_absolutes(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double lanes[LANES]
    cdef double tail = 0
    cdef Py_ssize_t i, blocks = n // LANES
    cdef int j
    memset(lanes, 0, sizeof(lanes))
    for i in range(blocks):
        for j in range(LANES):
            lanes[j] += <double>absolute(x[i * LANES + j])
    for i in range(blocks * LANES, n):
        tail += <double>absolute(x[i])
    return sum_lanes(lanes) + tail


cdef inline double sum_row(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double lanes[LANES]
    cdef double tail = 0
    cdef Py_ssize_t i, blocks = n // LANES
    cdef int j
    for i in range(blocks * LANES, n):
        tail += x[i]
    if blocks == 0:
        return tail
    memset(lanes, 0, sizeof(lanes))
    for i in range(blocks):
        for j in range(LANES):
            lanes[j] += <double>x[i * LANES + j]
    return sum_lanes(lanes) + tail


cdef inline real row_max(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of n >= 1 values; NaN may be missed: the exponentials that follow keep it."""
    cdef real lanes[LANES]
    cdef real best = x[0]
    cdef Py_ssize_t i, blocks = n // LANES
    cdef int j
    if blocks > 1:
        memcpy(lanes, x, sizeof(lanes))
        for i in range(1, blocks):
            for j in range(LANES):
                lanes[j] = x[i * LANES + j] if x[i * LANES + j] > lanes[j] else lanes[j]
        for j in range(LANES):
            best = lanes[j] if lanes[j] > best else best
    else:
        blocks = 0
    for i in range(blocks * LANES, n):
        best = x[i] if x[i] > best else best
    return best


cdef inline void tile_sums(
    const real* x, Py_ssize_t n, Py_ssize_t stride, int width, double* sums
) noexcept nogil:
    """sums[j] = sum over n rows of x[:, j], for the ``width <= TILE`` columns of a tile."""
    cdef Py_ssize_t i, at
    cdef int j, k
    cdef real part
    memset(sums, 0, TILE * sizeof(double))
    for i in range(n // BLOCK):
        at = i * BLOCK * stride
        for j in range(width):
            part = 0
            for k in range(BLOCK):
                part += x[at + k * stride + j]
            sums[j] += <double>part
    for i in range(n // BLOCK * BLOCK, n):
        for j in range(width):
            sums[j] += <double>x[i * stride + j]


cdef inline void column_sums(const real* x, real* out, Py_ssize_t n, Py_ssize_t m) noexcept nogil:
    cdef double sums[TILE]
    cdef Py_ssize_t tile, first
    cdef int j, width
    for tile in range(tiles(m)):
        first = tile * TILE
        width = tile_width(tile, m)
        tile_sums(x + first, n, m, width, sums)
        for j in range(width):
            out[first + j] = <real>sums[j]


# --------------------------------------------------------------------------------------------------
# Affine. BLAS counts in columns: a C-ordered (R, C) matrix is its Fortran-ordered (C, R) transpose,
# so each product is written as the transpose of the one wanted.
# --------------------------------------------------------------------------------------------------


cdef inline void gemm(
    char* ta, char* tb, int m, int n, int k, const real* a, int lda, const real* b, int ldb,
    real beta, real* c, int ldc
) noexcept nogil:
    cdef real one = 1
    if real is float:
        sgemm(ta, tb, &m, &n, &k, &one, <float*>a, &lda, <float*>b, &ldb, &beta, c, &ldc)
    else:
        dgemm(ta, tb, &m, &n, &k, &one, <double*>a, &lda, <double*>b, &ldb, &beta, c, &ldc)


cdef inline void gemv(
    char* ta, int m, int n, const real* a, int lda, const real* x, real beta, real* y
) noexcept nogil:
    cdef real one = 1
    cdef int stride = 1
    if real is float:
        sgemv(ta, &m, &n, &one, <float*>a, &lda, <float*>x, &stride, &beta, y, &stride)
    else:
        dgemv(ta, &m, &n, &one, <double*>a, &lda, <double*>x, &stride, &beta, y, &stride)


cdef inline Py_ssize_t even_part(Py_ssize_t n, Py_ssize_t most) noexcept nogil:
    """The size of the fewest equal parts of n that have at most so many (the last may be smaller)."""
    cdef Py_ssize_t parts = (n + most - 1) // most
    return (n + parts - 1) // parts


cdef struct Parts:
    Py_ssize_t rows, inner, cols  # sizes of the parts of a product (rows, inner) @ (inner, cols)


cdef inline Parts unpacked_parts(Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols) noexcept nogil:
    """Parts small enough for BLAS not to pack them: at the sizes of these networks packing takes a
    fifth of the time, or more. Its loops take 64 columns and 6 rows at a time."""
    cdef Parts part = Parts(rows, inner, cols)
    cdef Py_ssize_t budget
    if SMALL_PRODUCT > 0 and rows * inner * cols > SMALL_PRODUCT:
        part.cols = min(cols, <Py_ssize_t>64)
        budget = SMALL_PRODUCT // part.cols
        part.rows = min(rows, max(<Py_ssize_t>36, budget // inner // 6 * 6))
        part.inner = even_part(inner, budget // part.rows)
    return part


cdef inline Parts unpacked_parts_transposed(
    Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols
) noexcept nogil:
    """The same where the right operand is transposed. Short sums over many rows are faster packed."""
    cdef Parts part = Parts(rows, inner, cols)
    if SMALL_PRODUCT > 0 and rows * cols > SMALL_RESULT and inner >= 32:
        if inner >= 128 or rows <= 56:
            part.rows = min(rows, <Py_ssize_t>32)
            part.cols = min(cols, <Py_ssize_t>24)
            part.inner = even_part(inner, SMALL_PRODUCT // (part.rows * part.cols))
    return part


cdef inline void multiply_parts(
    char* tw, char* tx, Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, Parts part,
    const real* x, Py_ssize_t ldx, Py_ssize_t x_row, Py_ssize_t x_inner,
    const real* w, Py_ssize_t ldw, Py_ssize_t w_inner, Py_ssize_t w_col,
    real beta, real* out, Py_ssize_t ldo
) noexcept nogil:
    """out = beta * out + a product (rows, inner) @ (inner, cols), part by part.

    ``x_row`` and ``x_inner`` are the elements from one row of x to the next and from one inner index
    to the next; so for w.
    """
    cdef Py_ssize_t row, k = 0, col
    while k < inner:
        col = 0
        while col < cols:
            row = 0
            while row < rows:
                gemm(
                    tw, tx, <int>min(part.cols, cols - col), <int>min(part.rows, rows - row),
                    <int>min(part.inner, inner - k), w + k * w_inner + col * w_col, <int>ldw,
                    x + row * x_row + k * x_inner, <int>ldx, <real>1 if k else beta,
                    out + row * ldo + col, <int>ldo
                )
                row += part.rows
            col += part.cols
        k += part.inner


cdef inline void multiply(
    Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, const real* x, Py_ssize_t ldx,
    const real* w, Py_ssize_t ldw, real beta, real* out, Py_ssize_t ldo
) noexcept nogil:
    """out = beta * out + x @ w."""
    multiply_parts(
        b"N", b"N", rows, inner, cols, unpacked_parts(rows, inner, cols), x, ldx, ldx, 1, w, ldw,
        ldw, 1, beta, out, ldo
    )


cdef inline void multiply_by_transposed(
    Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, const real* dout, Py_ssize_t ldd,
    const real* w, Py_ssize_t ldw, real* out, Py_ssize_t ldo
) noexcept nogil:
    """out = dout @ w.T for w (cols, inner)."""
    multiply_parts(
        b"T", b"N", rows, inner, cols, unpacked_parts_transposed(rows, inner, cols), dout, ldd, ldd,
        1, w, ldw, 1, ldw, <real>0, out, ldo
    )


cdef inline void multiply_transposed(
    Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, const real* x, Py_ssize_t ldx,
    const real* dout, Py_ssize_t ldd, real* out, Py_ssize_t ldo
) noexcept nogil:
    """out = x.T @ dout for x (inner, rows)."""
    multiply_parts(
        b"N", b"T", rows, inner, cols, unpacked_parts(rows, inner, cols), x, ldx, 1, ldx, dout, ldd,
        ldd, 1, <real>0, out, ldo
    )


# --------------------------------------------------------------------------------------------------
# Batch normalization, a tile of columns at a time: its rows are still in cache at the next pass
# --------------------------------------------------------------------------------------------------


cdef inline void column_moments(
    const real* x, Py_ssize_t n, Py_ssize_t stride, int width, double* mean, double* squares
) noexcept nogil:
    """Mean, and sum of squared deviations from it, of n rows; both zero for none."""
    cdef double sums[TILE]
    cdef real centre[TILE]
    cdef real part, deviation
    cdef double error, overflow = 0
    cdef bint constant = False
    cdef Py_ssize_t i, at
    cdef int j, k
    tile_sums(x, n, stride, width, sums)
    for j in range(width):
        mean[j] = sums[j] / max(n, 1)
        centre[j] = <real>mean[j]
    memset(sums, 0, sizeof(sums))
    for i in range(n // BLOCK):
        at = i * BLOCK * stride
        for j in range(width):
            part = 0
            for k in range(BLOCK):
                deviation = x[at + k * stride + j] - centre[j]
                part += deviation * deviation
            sums[j] += <double>part
    for i in range(n // BLOCK * BLOCK, n):
        for j in range(width):
            deviation = x[i * stride + j] - centre[j]
            sums[j] += <double>(deviation * deviation)
    for j in range(width):
        # The deviations were from the mean as the data's type has it.
        error = mean[j] - <double>centre[j]
        squares[j] = sums[j] - n * error * error
        overflow += squares[j] - squares[j]  # NaN from the first that is not finite
        constant |= squares[j] < n * mean[j] * mean[j] * 1.4551915228366852e-11  # 2^-36
    if real is float and (overflow != 0.0 or constant):
        # Squares beyond float32, of values beyond 1e19; or a feature so nearly constant that the
        # rounding of the sum of eight would pass for its variance.
        memset(sums, 0, sizeof(sums))
        for i in range(n):
            for j in range(width):
                sums[j] += <double>x[i * stride + j]
        for j in range(width):
            mean[j] = sums[j] / max(n, 1)
        memset(squares, 0, width * sizeof(double))
        for i in range(n):
            for j in range(width):
                error = <double>x[i * stride + j] - mean[j]
                squares[j] += error * error


cdef inline void merge_moments(
    Py_ssize_t before, Py_ssize_t n, const double* part_mean, const double* part_squares,
    double* mean, double* squares, int width
) noexcept nogil:
    """Add the moments of n rows to those of the rows before them (Chan, Golub and LeVeque 1979)."""
    cdef double share = <double>n / max(before + n, 1), change
    cdef int j
    for j in range(width):
        change = part_mean[j] - mean[j]
        mean[j] += change * share
        squares[j] += part_squares[j] + change * change * (before * share)


cdef inline void batchnorm_running_tile(
    const double* mean, const double* variance, double momentum, real* running_mean,
    real* running_var, int width
) noexcept nogil:
    cdef int j
    for j in range(width):
        running_mean[j] = <real>(momentum * running_mean[j] + (1.0 - momentum) * mean[j])
        running_var[j] = <real>(momentum * running_var[j] + (1.0 - momentum) * variance[j])


cdef inline void batchnorm_scales_tile(
    const double* mean64, const double* variance, double eps, real* mean, real* inv_std, int width
) noexcept nogil:
    cdef int j
    for j in range(width):
        mean[j] = <real>mean64[j]
        inv_std[j] = <real>(1.0 / sqrt(variance[j] + eps))


cdef inline void batchnorm_normalize_tile(
    const real* x, const real* gamma, const real* beta, const real* mean, const real* inv_std,
    real* out, Py_ssize_t n, Py_ssize_t stride, int width
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int j
    cdef const real* row
    cdef real* out_row
    for i in range(n):
        row = x + i * stride
        out_row = out + i * stride
        for j in range(width):
            out_row[j] = gamma[j] * ((row[j] - mean[j]) * inv_std[j]) + beta[j]


cdef inline void batchnorm_forward_tile(
    const real* x, const real* gamma, const real* beta, real* running_mean, real* running_var,
    double momentum, double eps, real* mean, real* inv_std, real* out,
    Py_ssize_t n, Py_ssize_t m, int width
) noexcept nogil:
    cdef double mean64[TILE]
    cdef double variance[TILE]
    cdef int j
    column_moments(x, n, m, width, mean64, variance)
    for j in range(width):
        variance[j] = variance[j] / n
    batchnorm_running_tile(mean64, variance, momentum, running_mean, running_var, width)
    batchnorm_scales_tile(mean64, variance, eps, mean, inv_std, width)
    batchnorm_normalize_tile(x, gamma, beta, mean, inv_std, out, n, m, width)


cdef inline void batchnorm_sums_tile(
    const real* dout, const real* x, const real* mean, const real* inv_std, Py_ssize_t n,
    Py_ssize_t stride, int width, double* sums, double* products
) noexcept nogil:
    """Over n rows: the sums of dout, and of dout times the normalized x."""
    cdef double sum_of[TILE]
    cdef double product_of[TILE]
    cdef real part, product
    cdef double overflow = 0
    cdef Py_ssize_t i, at
    cdef int j, k
    memset(sum_of, 0, sizeof(sum_of))
    memset(product_of, 0, sizeof(product_of))
    for i in range(n // BLOCK):
        at = i * BLOCK * stride
        for j in range(width):
            part = 0
            product = 0
            for k in range(BLOCK):
                part += dout[at + k * stride + j]
                product += dout[at + k * stride + j] * (x[at + k * stride + j] - mean[j])
            sum_of[j] += <double>part
            product_of[j] += <double>product
    for i in range(n // BLOCK * BLOCK, n):
        for j in range(width):
            sum_of[j] += <double>dout[i * stride + j]
            product_of[j] += <double>(dout[i * stride + j] * (x[i * stride + j] - mean[j]))
    for j in range(width):
        sums[j] = sum_of[j]
        products[j] = product_of[j] * <double>inv_std[j]
        overflow += products[j] - products[j]  # NaN from the first that is not finite
    if real is float and overflow != 0.0:
        # Products beyond float32, which those of normalized values need not be.
        memset(products, 0, width * sizeof(double))
        for i in range(n):
            for j in range(width):
                at = i * stride + j
                products[j] += <double>(dout[at] * ((x[at] - mean[j]) * inv_std[j]))


cdef inline void batchnorm_input_gradient_tile(
    const real* dout, const real* x, const real* gamma, const real* mean, const real* inv_std,
    const double* sums, const double* products, Py_ssize_t batch, real* dx, Py_ssize_t n,
    Py_ssize_t stride, int width
) noexcept nogil:
    """On n rows, given the sums over the whole batch."""
    cdef real mean_dout[TILE]
    cdef real mean_product[TILE]
    cdef real scale[TILE]
    cdef Py_ssize_t i
    cdef int j
    cdef const real* row
    cdef const real* dout_row
    cdef real* dx_row
    for j in range(width):
        mean_dout[j] = <real>(sums[j] / batch)
        mean_product[j] = <real>(products[j] / batch)
        scale[j] = gamma[j] * inv_std[j]
    for i in range(n):
        row = x + i * stride
        dout_row = dout + i * stride
        dx_row = dx + i * stride
        for j in range(width):
            dx_row[j] = scale[j] * (
                dout_row[j] - mean_dout[j] - ((row[j] - mean[j]) * inv_std[j]) * mean_product[j]
            )


cdef inline void batchnorm_backward_tile(
    const real* dout, const real* x, const real* gamma, const real* mean, const real* inv_std,
    real* dx, real* dgamma, real* dbeta, Py_ssize_t n, Py_ssize_t m, int width
) noexcept nogil:
    cdef double sums[TILE]
    cdef double products[TILE]
    cdef int j
    batchnorm_sums_tile(dout, x, mean, inv_std, n, m, width, sums, products)
    for j in range(width):
        dbeta[j] = <real>sums[j]
        dgamma[j] = <real>products[j]
    if dx != NULL:
        batchnorm_input_gradient_tile(
            dout, x, gamma, mean, inv_std, sums, products, n, dx, n, m, width
        )


cdef inline void batchnorm_inference_forward_tile(
    const real* x, const real* gamma, const real* beta, const real* running_mean,
    const real* running_var, double eps, real* out, Py_ssize_t n, Py_ssize_t m, int width
) noexcept nogil:
    cdef real scale[TILE]
    cdef Py_ssize_t i
    cdef int j
    for j in range(width):
        scale[j] = gamma[j] / square_root(running_var[j] + <real>eps)
    for i in range(n):
        for j in range(width):
            out[i * m + j] = (x[i * m + j] - running_mean[j]) * scale[j] + beta[j]


cdef inline void batchnorm_inference_backward_tile(
    const real* dout, const real* gamma, const real* running_var, double eps, real* dx,
    Py_ssize_t n, Py_ssize_t m, int width
) noexcept nogil:
    cdef real scale[TILE]
    cdef Py_ssize_t i
    cdef int j
    for j in range(width):
        scale[j] = gamma[j] / square_root(running_var[j] + <real>eps)
    for i in range(n):
        for j in range(width):
            dx[i * m + j] = dout[i * m + j] * scale[j]


# --------------------------------------------------------------------------------------------------
# Activations
# --------------------------------------------------------------------------------------------------


cdef inline void relu_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real>0 if x[i] < <real>0 else x[i]


cdef inline void relu_backward_span(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real gradient
    for i in range(n):
        # The sum makes the load unconditional: a masked one is several times slower.
        gradient = dout[i] + <real>0
        dx[i] = <real>0 if out[i] <= <real>0 else gradient


cdef inline void leaky_relu_forward_span(
    const real* x, real slope, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] if x[i] > <real>0 else x[i] * slope


cdef inline void leaky_relu_backward_span(
    const real* dout, const real* x, real slope, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] if x[i] > <real>0 else dout[i] * slope


cdef inline void sigmoid_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = sigmoid(x[i])


cdef inline void sigmoid_backward_span(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] * (out[i] * (<real>1 - out[i]))


cdef inline void tanh_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = hyperbolic_tangent(x[i])


cdef inline void tanh_backward_span(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] * ((<real>1 - out[i]) * (<real>1 + out[i]))


cdef inline void elu_forward_span(
    const real* x, real alpha, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real negative
    for i in range(n):
        negative = alpha * exponential_minus_one(<real>0 if x[i] > <real>0 else x[i])
        out[i] = x[i] if x[i] > <real>0 else negative


cdef inline void elu_backward_span(
    const real* dout, const real* out, real alpha, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] if out[i] > <real>0 else dout[i] * (out[i] + alpha)


cdef inline void softplus_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real positive
    for i in range(n):
        positive = <real>0 if x[i] < <real>0 else x[i]
        out[i] = positive + log_one_plus(exponential(-absolute(x[i])))


cdef inline void softplus_backward_span(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] * -exponential_minus_one(-out[i])


cdef inline void gelu_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real tail
    for i in range(n):
        tail = normal_tail(absolute(x[i]), exponential(<real>-0.5 * (x[i] * x[i])))
        out[i] = x[i] * (tail if x[i] < <real>0 else <real>1 - tail)


# From x: each output above its least value, -0.17, but below zero, belongs to two inputs.
cdef inline void gelu_backward_span(
    const real* dout, const real* x, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real e, tail, share
    for i in range(n):
        e = exponential(<real>-0.5 * (x[i] * x[i]))
        tail = normal_tail(absolute(x[i]), e)
        share = tail if x[i] < <real>0 else <real>1 - tail
        dx[i] = dout[i] * (share + x[i] * (e * <real>0.3989422804014327))  # 1 / sqrt(2 pi)


# An exponential that became zero costs the product less than 100 of the smallest normal numbers.
cdef inline void silu_forward_span(const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] * sigmoid(x[i])


# From x, as GELU.
cdef inline void silu_backward_span(
    const real* dout, const real* x, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real e, scale, s, rest
    for i in range(n):
        e = exponential(-absolute(x[i]))
        scale = <real>1 / (<real>1 + e)
        s = (e if x[i] < <real>0 else <real>1) * scale
        rest = (<real>1 if x[i] < <real>0 else e) * scale
        dx[i] = dout[i] * (s * (<real>1 + x[i] * rest))


# n features of one row, and their slopes.
cdef inline void prelu_forward_span(
    const real* x, const real* slope, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real negative
    for i in range(n):
        # Both are computed: a masked load is several times slower.
        negative = x[i] * slope[i]
        out[i] = x[i] if x[i] > <real>0 else negative


# From x: a slope that is not positive hides the sign of x in the output. dx, dslope or both; dx may
# be dout.
cdef inline void prelu_backward_tile(
    const real* dout, const real* x, const real* slope, real* dx, real* dslope, Py_ssize_t n,
    Py_ssize_t stride, int width
) noexcept nogil:
    cdef double sums[TILE]
    cdef Py_ssize_t i
    cdef int j
    cdef const real* row
    cdef const real* dout_row
    cdef real* dx_row
    cdef real negative
    if dslope != NULL:
        memset(sums, 0, sizeof(sums))
        for i in range(n):
            row = x + i * stride
            dout_row = dout + i * stride
            for j in range(width):
                negative = dout_row[j] * row[j]
                sums[j] += <double>(<real>0 if row[j] > <real>0 else negative)
        for j in range(width):
            dslope[j] = <real>sums[j]
    if dx == NULL:
        return
    for i in range(n):
        row = x + i * stride
        dout_row = dout + i * stride
        dx_row = dx + i * stride
        for j in range(width):
            negative = dout_row[j] * slope[j]
            dx_row[j] = dout_row[j] if row[j] > <real>0 else negative


# n features of one row; piece k of feature i is x[k * apart + i]. out may be x, that is, lie where
# the first piece does.
cdef inline void maxout_forward_span(
    const real* x, Py_ssize_t pieces, Py_ssize_t apart, uint8_t* winners, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef real best, value
    cdef bint better
    for i in range(n):
        out[i] = x[i]
        winners[i] = 0
    for k in range(1, pieces):
        for i in range(n):
            best = out[i]
            value = x[k * apart + i]
            # Also where the value is NaN, and the best so far is not.
            better = (not value <= best) & (best == best)
            out[i] = value if better else best
            winners[i] = <uint8_t>k if better else winners[i]


# dx may be dout: the first piece, which lies there, is written last.
cdef inline void maxout_backward_span(
    const real* dout, const uint8_t* winners, Py_ssize_t pieces, Py_ssize_t apart, real* dx,
    Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef int number
    cdef real gradient
    for k in range(pieces - 1, -1, -1):
        number = <int>k
        for i in range(n):
            gradient = dout[i] + <real>0  # unconditional, see relu_backward_span
            dx[k * apart + i] = gradient if <int>winners[i] == number else <real>0


# --------------------------------------------------------------------------------------------------
# Dropout
# --------------------------------------------------------------------------------------------------


cdef inline uint64_t mix64(uint64_t z) noexcept nogil:
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline uint64_t dropout_key(uint64_t seed, uint64_t step, uint64_t layer) noexcept nogil:
    cdef uint64_t increment = <uint64_t>0x9E3779B97F4A7C15
    return mix64((mix64((mix64(seed + increment) ^ step) + increment) ^ layer) + increment)


cdef inline uint32_t mix32(uint32_t h) noexcept nogil:
    h ^= h >> 16
    h *= <uint32_t>0x7FEB352D
    h ^= h >> 15
    h *= <uint32_t>0x846CA68B
    return h ^ (h >> 16)


cdef inline void dropout_forward_span(
    const real* x, uint32_t threshold, real scale, uint64_t key, Py_ssize_t first, uint8_t* mask,
    real* out, Py_ssize_t n
) noexcept nogil:
    """Elements first .. first + n of a layer; the pointers are those of element ``first``."""
    cdef uint32_t key0 = <uint32_t>key
    cdef uint32_t key1 = <uint32_t>(key >> 32)
    cdef uint32_t kept[LANES]
    cdef uint32_t h
    cdef Py_ssize_t i, at
    cdef int lane
    # A vector of 32-bit numbers at a time: with the mask's bytes in one loop with them, vectors
    # would have to be four times as long, and rows end sooner.
    for i in range(n // LANES):
        at = i * LANES
        for lane in range(LANES):
            h = mix32(mix32((<uint32_t>(first + at) + lane) ^ key0) ^ key1)
            kept[lane] = h >= threshold
            out[at + lane] = x[at + lane] * (scale if h >= threshold else <real>0)
        for lane in range(LANES):
            mask[at + lane] = <uint8_t>kept[lane]
    for i in range(n // LANES * LANES, n):
        h = mix32(mix32(<uint32_t>(first + i) ^ key0) ^ key1)
        mask[i] = <uint8_t>(h >= threshold)
        out[i] = x[i] * (scale if h >= threshold else <real>0)


cdef inline void dropout_backward_span(
    const real* dout, const uint8_t* mask, real scale, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = dout[i] * (<real>mask[i] * scale)


# --------------------------------------------------------------------------------------------------
# Noise. Masking noise is dropout with a scale of one.
# --------------------------------------------------------------------------------------------------


cdef inline void gaussian_noise_span(
    const real* x, real std, uint64_t key, Py_ssize_t first, real* out, Py_ssize_t n
) noexcept nogil:
    """Elements first .. first + n of a layer; the pointers are those of element ``first``."""
    cdef uint32_t key0 = <uint32_t>key
    cdef uint32_t key1 = <uint32_t>(key >> 32)
    cdef uint32_t element = <uint32_t>first
    cdef uint32_t h, g
    cdef real u, v, radius
    cdef Py_ssize_t i
    for i in range(n):
        h = mix32(mix32(element ^ key0) ^ key1)
        g = mix32(h ^ key0)
        element += 1
        # Through int32: only the newest processors convert unsigned integers.
        u = <real>(<int32_t>((h >> 8) + <uint32_t>1)) * <real>5.9604644775390625e-08
        v = <real>(<int32_t>(g >> 8)) * <real>5.9604644775390625e-08
        radius = square_root(<real>-2 * logarithm(u))
        # cos(2 pi v), of an angle between -1/4 and 1/4 of a turn
        out[i] = x[i] + std * (radius * sine_of_turns(absolute(v - <real>0.5) - <real>0.25))


# --------------------------------------------------------------------------------------------------
# Losses
# --------------------------------------------------------------------------------------------------


cdef inline void shifted_exponentials(
    const real* x, real* shift, real* out, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    """out = exp(x - row max) and shift = row max, for n rows."""
    # The exponentials run over the flat block: rows of ten would not fill a vector.
    cdef Py_ssize_t i, j
    for i in range(n):
        shift[i] = row_max(x + i * c, c)
        for j in range(c):
            out[i * c + j] = x[i * c + j] - shift[i]
    for i in range(n * c):
        out[i] = exponential(out[i])


cdef inline void softmax_rows(const real* x, real* out, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef real shift[TILE]
    cdef real scale
    cdef Py_ssize_t tile, first, i, j, rows
    for tile in range(tiles(n)):
        first = tile * TILE
        rows = tile_width(tile, n)
        shifted_exponentials(x + first * c, shift, out + first * c, rows, c)
        for i in range(first, first + rows):
            scale = <real>(1.0 / sum_row(out + i * c, c))
            for j in range(c):
                out[i * c + j] *= scale


cdef inline void softmax_backward_rows(
    const real* dout, const real* out, real* dx, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    cdef double lanes[LANES]
    cdef double tail
    cdef real shared
    cdef Py_ssize_t i, j, blocks = c // LANES
    cdef int lane
    cdef const real* d
    cdef const real* p
    for i in range(n):
        d = dout + i * c
        p = out + i * c
        tail = 0
        memset(lanes, 0, sizeof(lanes))
        for j in range(blocks):
            for lane in range(LANES):
                lanes[lane] += <double>(d[j * LANES + lane] * p[j * LANES + lane])
        for j in range(blocks * LANES, c):
            tail += <double>(d[j] * p[j])
        shared = <real>(sum_lanes(lanes) + tail)
        for j in range(c):
            dx[i * c + j] = p[j] * (d[j] - shared)


cdef inline real row_weight(const real* weights, Py_ssize_t i, double share) noexcept nogil:
    return <real>share if weights == NULL else weights[i] * <real>share


cdef inline double softmax_cross_entropy_rows(
    const real* logits, const int64_t* labels, const real* weights, double share, real* probs,
    real* dlogits, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    """Sum of weight * loss over n rows; gradients are scaled by ``share``, 1/N of the batch."""
    cdef real shift[TILE]
    cdef real scale, weight
    cdef double total, row_loss, loss = 0
    cdef Py_ssize_t tile, first, i, j, rows
    for tile in range(tiles(n)):
        first = tile * TILE
        rows = tile_width(tile, n)
        shifted_exponentials(logits + first * c, shift, probs + first * c, rows, c)
        for i in range(first, first + rows):
            total = sum_row(probs + i * c, c)
            scale = <real>(1.0 / total)
            for j in range(c):
                probs[i * c + j] *= scale
            row_loss = log(total) - <double>(logits[i * c + labels[i]] - shift[i - first])
            loss += row_loss if weights == NULL else row_loss * weights[i]
            if dlogits != NULL:
                weight = row_weight(weights, i, share)
                for j in range(c):
                    dlogits[i * c + j] = probs[i * c + j] * weight
                dlogits[i * c + labels[i]] = (probs[i * c + labels[i]] - <real>1) * weight
    return loss


cdef inline double surprise(real logit, real target, real shift, double log_total) noexcept nogil:
    cdef double bits = <double>target * (log_total - <double>(logit - shift))
    return 0.0 if target == <real>0 else bits


cdef inline double surprise_row(
    const real* logits, const real* targets, real shift, double log_total, Py_ssize_t c
) noexcept nogil:
    """Sum of -target * log p over a row."""
    cdef double lanes[LANES]
    cdef double tail = 0
    cdef Py_ssize_t i, j, blocks = c // LANES
    cdef int lane
    for j in range(blocks * LANES, c):
        tail += surprise(logits[j], targets[j], shift, log_total)
    if blocks == 0:
        return tail
    memset(lanes, 0, sizeof(lanes))
    for i in range(blocks):
        for lane in range(LANES):
            j = i * LANES + lane
            lanes[lane] += surprise(logits[j], targets[j], shift, log_total)
    return sum_lanes(lanes) + tail


cdef inline double softmax_cross_entropy_soft_rows(
    const real* logits, const real* targets, const real* weights, double share, real* probs,
    real* dlogits, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    cdef real shift[TILE]
    cdef real scale, weight, mass
    cdef double total, row_loss, log_total, loss = 0
    cdef Py_ssize_t tile, first, i, j, rows
    for tile in range(tiles(n)):
        first = tile * TILE
        rows = tile_width(tile, n)
        shifted_exponentials(logits + first * c, shift, probs + first * c, rows, c)
        for i in range(first, first + rows):
            total = sum_row(probs + i * c, c)
            log_total = log(total)
            scale = <real>(1.0 / total)
            for j in range(c):
                probs[i * c + j] *= scale
            row_loss = surprise_row(logits + i * c, targets + i * c, shift[i - first], log_total, c)
            loss += row_loss if weights == NULL else row_loss * weights[i]
            if dlogits != NULL:
                mass = <real>sum_row(targets + i * c, c)
                weight = row_weight(weights, i, share)
                for j in range(c):
                    dlogits[i * c + j] = (probs[i * c + j] * mass - targets[i * c + j]) * weight
    return loss


cdef inline double squared_error_rows(
    const real* pred, const real* target, const real* weights, double share, double slope,
    real* dpred, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    """Sum of weight * |pred - target|^2 over n rows; the gradient is weight * share * slope * diff."""
    cdef double lanes[LANES]
    cdef double tail, row_loss, loss = 0
    cdef real factor, diff
    cdef Py_ssize_t i, j, blocks = m // LANES
    cdef int lane
    cdef const real* p
    cdef const real* t
    for i in range(n):
        p = pred + i * m
        t = target + i * m
        tail = 0
        memset(lanes, 0, sizeof(lanes))
        for j in range(blocks):
            for lane in range(LANES):
                diff = p[j * LANES + lane] - t[j * LANES + lane]
                lanes[lane] += <double>(diff * diff)
        for j in range(blocks * LANES, m):
            diff = p[j] - t[j]
            tail += <double>(diff * diff)
        row_loss = sum_lanes(lanes) + tail
        loss += row_loss if weights == NULL else row_loss * weights[i]
        if dpred != NULL:
            factor = row_weight(weights, i, share) * <real>slope
            for j in range(m):
                dpred[i * m + j] = (p[j] - t[j]) * factor
    return loss


cdef inline double cross_entropy_rows(
    const real* probs, const int64_t* labels, const real* weights, double share, double guard,
    real* dprobs, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    cdef double row_loss, loss = 0
    cdef real chosen
    cdef Py_ssize_t i
    for i in range(n):
        chosen = probs[i * c + labels[i]]
        row_loss = -log(<double>chosen + guard)
        loss += row_loss if weights == NULL else row_loss * weights[i]
        if dprobs != NULL:
            memset(dprobs + i * c, 0, c * sizeof(real))
            dprobs[i * c + labels[i]] = -row_weight(weights, i, share) / (chosen + <real>guard)
    return loss


cdef inline double surprise_term(real target, real p, double guard) noexcept nogil:
    """target * log(p + guard), and where the target is zero a zero that lets the NaN of p through."""
    if target == <real>0:
        return <double>(target * p)
    return <double>target * log(<double>p + guard)


cdef inline double guarded_surprise_row(
    const real* probs, const real* targets, double guard, Py_ssize_t c
) noexcept nogil:
    """-sum(targets * log(probs + guard)). The library's logarithm costs more than all else here: a
    shorter one takes its place, and none is taken where the targets of a whole block are zero.
    """
    cdef double lanes[LANES]
    cdef double terms[LANES]
    cdef double u, tail = 0
    cdef Py_ssize_t i, blocks = c // LANES
    cdef bint soft, unusual
    cdef int j
    cdef const real* p
    cdef const real* t
    memset(lanes, 0, sizeof(lanes))
    for i in range(blocks):
        p = probs + i * LANES
        t = targets + i * LANES
        soft = unusual = False
        for j in range(LANES):
            soft |= t[j] != <real>0
        if soft:
            for j in range(LANES):
                u = <double>p[j] + guard
                unusual |= not (u >= 2.2250738585072014e-308 and u <= 1.7976931348623157e308)
                terms[j] = <double>t[j] * logarithm(u) if t[j] != <real>0 else <double>(t[j] * p[j])
        if not soft or unusual:
            for j in range(LANES):
                terms[j] = surprise_term(t[j], p[j], guard)
        for j in range(LANES):
            lanes[j] += terms[j]
    for i in range(blocks * LANES, c):
        tail += surprise_term(targets[i], probs[i], guard)
    return -(tail + sum_lanes(lanes))


cdef inline double cross_entropy_soft_rows(
    const real* probs, const real* targets, const real* weights, double share, double guard,
    real* dprobs, Py_ssize_t n, Py_ssize_t c
) noexcept nogil:
    cdef double row_loss, loss = 0
    cdef real weight
    cdef Py_ssize_t i, j
    for i in range(n):
        row_loss = guarded_surprise_row(probs + i * c, targets + i * c, guard, c)
        loss += row_loss if weights == NULL else row_loss * weights[i]
        if dprobs != NULL:
            weight = row_weight(weights, i, share)
            for j in range(i * c, i * c + c):
                dprobs[j] = -targets[j] * weight / (probs[j] + <real>guard)
    return loss


# Losses that are a mean over elements, by the form of their terms.
cdef enum:
    FORM_BINARY
    FORM_HUBER
    FORM_ABSOLUTE


cdef inline void binary_terms(
    const real* logits, const real* targets, real* terms, real* slopes, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real size, e, wrong, excess
    for i in range(n):
        size = absolute(logits[i])
        e = exponential(-size)
        wrong = <real>1 - targets[i] if logits[i] > <real>0 else targets[i]
        terms[i] = wrong * size + log1p_up_to_one(e)
        excess = e / (<real>1 + e) - wrong
        slopes[i] = -excess if logits[i] > <real>0 else excess


cdef inline void huber_terms(
    const real* pred, const real* target, real delta, real* terms, real* slopes, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real diff, clipped
    for i in range(n):
        diff = pred[i] - target[i]
        clipped = delta if diff > delta else diff
        clipped = -delta if clipped < -delta else clipped
        terms[i] = clipped * (diff - <real>0.5 * clipped)
        slopes[i] = clipped


cdef inline void absolute_terms(
    const real* pred, const real* target, real* terms, real* slopes, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real diff
    for i in range(n):
        diff = pred[i] - target[i]
        terms[i] = absolute(diff)
        # The last arm is zero or NaN.
        slopes[i] = <real>1 if diff > <real>0 else (<real>-1 if diff < <real>0 else diff)


cdef inline double elementwise_loss_rows(
    int form, const real* out, const real* targets, const real* weights, double share,
    double slope, double delta, real* dout, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    """Sum of weight * the terms of a row, over n rows; the gradient is weight * share * slope * that
    of the terms. A mean over elements has the slope 1/m, and divides the sum by m."""
    # As many short rows at a time as fill a tile: one alone would not fill a vector.
    cdef real terms[TILE]
    cdef real slopes[TILE]
    cdef double row_losses[TILE]
    cdef Py_ssize_t together = TILE // m if m < TILE else 1
    cdef Py_ssize_t block, first, rows, tile, at, i, j
    cdef real factor
    cdef int width
    cdef double loss = 0
    for block in range((n + together - 1) // together):
        first = block * together
        rows = min(together, n - first)
        memset(row_losses, 0, rows * sizeof(double))
        for tile in range(tiles(m)):  # one, or those of a single row
            at = first * m + tile * TILE
            width = tile_width(tile, m)
            if form == FORM_BINARY:
                binary_terms(out + at, targets + at, terms, slopes, rows * width)
            elif form == FORM_HUBER:
                huber_terms(out + at, targets + at, <real>delta, terms, slopes, rows * width)
            else:
                absolute_terms(out + at, targets + at, terms, slopes, rows * width)
            for i in range(rows):
                row_losses[i] += sum_row(terms + i * width, width)
                if dout != NULL:
                    factor = row_weight(weights, first + i, share) * <real>slope
                    for j in range(i * width, i * width + width):
                        dout[at + j] = slopes[j] * factor
        for i in range(rows):
            loss += row_losses[i] if weights == NULL else row_losses[i] * weights[first + i]
    return loss


# --------------------------------------------------------------------------------------------------
# Penalties
# --------------------------------------------------------------------------------------------------


cdef inline void l1_gradient_span(const real* w, real strength, real* dw, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real sign
    for i in range(n):
        # The last arm is w itself, zero or NaN: NaN must reach the gradient.
        sign = <real>1 if w[i] > <real>0 else (<real>-1 if w[i] < <real>0 else w[i])
        dw[i] += sign * strength


cdef inline void l2_gradient_span(const real* w, real strength, real* dw, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dw[i] += w[i] * strength


# --------------------------------------------------------------------------------------------------
# Bounds on gradients and on weights
# --------------------------------------------------------------------------------------------------


cdef inline void clip_by_value_span(real* g, real limit, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real value
    for i in range(n):
        value = limit if g[i] > limit else g[i]
        g[i] = -limit if value < -limit else value


cdef inline double clip_factor(double norm, double limit) noexcept nogil:
    """What clips gradients of this norm, all together, to the limit; NaN goes through."""
    cdef double ratio = limit / (norm + 1e-6)
    return 1.0 if ratio > 1.0 else ratio


cdef inline void scale_span(real* g, real factor, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        g[i] *= factor


cdef inline void max_norm_tile(
    real* w, double limit, Py_ssize_t n, Py_ssize_t m, int width
) noexcept nogil:
    """The ``width <= TILE`` columns from w on, of n rows m apart."""
    cdef double squares[TILE]
    cdef real scale[TILE]
    cdef double norm
    cdef Py_ssize_t i
    cdef int j
    cdef real* row
    memset(squares, 0, sizeof(squares))
    for i in range(n):
        row = w + i * m
        for j in range(width):
            squares[j] += <double>row[j] * <double>row[j]
    for j in range(width):
        norm = sqrt(squares[j])
        # NaN is on no side of the limit, and stays.
        scale[j] = <real>(limit / (limit if norm <= limit else norm))
    for i in range(n):
        row = w + i * m
        for j in range(width):
            row[j] *= scale[j]


# --------------------------------------------------------------------------------------------------
# Optimizers. Each element is loaded whole before anything is stored: a load behind a store to another
# buffer at the same offset in its page would wait for it.
# --------------------------------------------------------------------------------------------------


cdef inline void sgd_span(real* p, const real* g, real lr, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        p[i] -= lr * g[i]


cdef inline void momentum_span(
    real* p, const real* g, real* v, real lr, real momentum, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real velocity, parameter
    for i in range(n):
        parameter = p[i]
        velocity = momentum * v[i] + g[i]
        v[i] = velocity
        p[i] = parameter - lr * velocity


cdef inline void nesterov_span(
    real* p, const real* g, real* v, real lr, real momentum, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real velocity, gradient, parameter
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        velocity = momentum * v[i] + gradient
        v[i] = velocity
        p[i] = parameter - lr * (gradient + momentum * velocity)


cdef inline void adagrad_span(
    real* p, const real* g, real* s, real lr, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real square, gradient, parameter
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        square = s[i] + gradient * gradient
        s[i] = square
        p[i] = parameter - lr * gradient / (square_root(square) + eps)


cdef inline void rmsprop_span(
    real* p, const real* g, real* s, real lr, real alpha, real rest, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real square, gradient, parameter
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        square = alpha * s[i] + rest * (gradient * gradient)
        s[i] = square
        p[i] = parameter - lr * gradient / (square_root(square) + eps)


cdef inline void adadelta_span(
    real* p, const real* g, real* s, real* d, real lr, real rho, real rest, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef real square, update, gradient, parameter, average
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        average = d[i]
        square = rho * s[i] + rest * (gradient * gradient)
        update = square_root(average + eps) / square_root(square + eps) * gradient
        s[i] = square
        d[i] = rho * average + rest * (update * update)
        p[i] = parameter - lr * update


cdef inline void adam_span(
    real* p, const real* g, real* m, real* v, real decay, real step_size, real beta1, real rest1,
    real beta2, real rest2, real inv_root, real eps, Py_ssize_t n
) noexcept nogil:
    """Adam; with ``decay`` below 1, AdamW; with ``inv_root`` 1 and its own step size, RAdam."""
    cdef Py_ssize_t i
    cdef real mean, square, gradient, parameter
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        mean = beta1 * m[i] + rest1 * gradient
        square = beta2 * v[i] + rest2 * (gradient * gradient)
        m[i] = mean
        v[i] = square
        p[i] = parameter * decay - step_size * mean / (square_root(square) * inv_root + eps)


cdef inline void moments_span(
    real* p, const real* g, real* m, real* v, real step_size, real beta1, real rest1, real beta2,
    real rest2, Py_ssize_t n
) noexcept nogil:
    """RAdam's first steps: both averages move, the parameters follow the first alone."""
    cdef Py_ssize_t i
    cdef real mean, square, gradient, parameter
    for i in range(n):
        gradient = g[i]
        parameter = p[i]
        mean = beta1 * m[i] + rest1 * gradient
        square = beta2 * v[i] + rest2 * (gradient * gradient)
        m[i] = mean
        v[i] = square
        p[i] = parameter - step_size * mean
