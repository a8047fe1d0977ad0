# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""The kernels in Cython: `fastnn._kernels.reference`, compiled.

Every function checks the memory it is handed, then leaves the GIL and runs the loops of loops.pxd
on raw pointers. What a kernel computes, and the shapes of its arguments, stand in the reference.

This one source is built for several instruction sets (see setup.py) under the names
``cython_kernels_<instruction set>``.
"""

import os

from cython.parallel cimport prange
from libc.limits cimport INT_MAX
from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cimport numpy as cnp

from fastnn._kernels.loops cimport *

cnp.import_array()

# --------------------------------------------------------------------------------------------------
# Threads. Flat work is cut into pieces whose size does not depend on the number of threads, tiles
# of columns likewise: the result is the same bits for any number. A team is worth waking only for
# work that one core cannot finish in about the time the waking takes.
# --------------------------------------------------------------------------------------------------

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define fastnn_processors() omp_get_max_threads()
    #else
    #define fastnn_processors() 1
    #endif
    /* Each thread of Python has its own: fits in several of them overlap in any order. */
    static _Thread_local int fastnn_thread_limit = 0;
    """
    int processors "fastnn_processors"() nogil
    int fastnn_thread_limit

cdef enum:
    PIECE = 1 << 15
    LEAST_SHARE = 1 << 17  # elements
    LEAST_PRODUCT = 1 << 21  # multiply-adds
    MOST_TILES = 16

cdef bint forked = False


def set_threads(int count):
    """Let large kernels, called in this thread, use up to ``count`` threads; returns what held.

    Who sets a number holds BLAS to one thread: two teams would wait for each other's processors.
    With 0, as at first, BLAS is free. What it packs is left to its own threads then; products that
    it does not pack take every processor, and the other kernels one.
    """
    global fastnn_thread_limit
    if count < 0:
        raise ValueError(f"threads must be at least 1, or 0 for none set; got {count}")
    before = fastnn_thread_limit
    fastnn_thread_limit = count
    return before


def _remember_fork():
    global forked
    forked = True


# The team of a forked parent does not exist in the child, which would wait for it for ever: from
# then on the child computes alone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember_fork)


cdef inline int team(Py_ssize_t work) noexcept nogil:
    cdef Py_ssize_t useful = 1 if forked else work // LEAST_SHARE
    return <int>max(<Py_ssize_t>1, min(<Py_ssize_t>fastnn_thread_limit, useful))


cdef inline int product_team(Py_ssize_t multiply_adds) noexcept nogil:
    cdef Py_ssize_t useful = 1 if forked else multiply_adds // LEAST_PRODUCT
    cdef Py_ssize_t limit = fastnn_thread_limit if fastnn_thread_limit > 0 else processors()
    return <int>max(<Py_ssize_t>1, min(limit, useful))


cdef inline Py_ssize_t pieces(Py_ssize_t n) noexcept nogil:
    return (n + PIECE - 1) // PIECE


cdef inline Py_ssize_t span(Py_ssize_t piece, Py_ssize_t n) noexcept nogil:
    return min(<Py_ssize_t>PIECE, n - piece * PIECE)


# --------------------------------------------------------------------------------------------------
# The boundary: what becomes a pointer is an aligned, C-contiguous array of the expected type and
# shape, writable where it is written
# --------------------------------------------------------------------------------------------------


cdef str name_of_type(int type_num):
    if type_num == cnp.NPY_FLOAT32:
        return "float32"
    if type_num == cnp.NPY_FLOAT64:
        return "float64"
    return "int64" if type_num == cnp.NPY_INT64 else "uint8"


cdef int refuse(object a, str name, str expected) except -1:
    if not cnp.PyArray_Check(a):
        raise TypeError(f"{name} must be {expected}; got {type(a).__name__}")
    flags = "" if a.flags.c_contiguous and a.flags.aligned else ", not C-contiguous"
    writable = "" if a.flags.writeable else ", read-only"
    error = ValueError if a.dtype.kind == "f" or a.dtype.isnative else TypeError
    raise error(f"{name} must be {expected}; got {a.dtype.str} of shape {a.shape}{flags}{writable}")


cdef int real_type(object a, str name, int ndim=0) except -1:
    """The NumPy type number of a kernel's leading array: float32 or float64, of ``ndim`` axes."""
    cdef int type_num = -1
    if cnp.PyArray_Check(a):
        type_num = cnp.PyArray_TYPE(<cnp.ndarray>a)
    if type_num != cnp.NPY_FLOAT32 and type_num != cnp.NPY_FLOAT64:
        raise TypeError(
            f"{name} must be a float32 or float64 array; got "
            + (a.dtype.str if cnp.PyArray_Check(a) else type(a).__name__)
        )
    if ndim and cnp.PyArray_NDIM(<cnp.ndarray>a) != ndim:
        raise ValueError(f"{name} must have {ndim} axes; got shape {a.shape}")
    return type_num


cdef inline bint usable(object a, int type_num, bint written) noexcept:
    cdef int flags = cnp.NPY_ARRAY_CARRAY if written else cnp.NPY_ARRAY_CARRAY_RO
    return (
        cnp.PyArray_Check(a)
        and cnp.PyArray_TYPE(<cnp.ndarray>a) == type_num
        and cnp.PyArray_CHKFLAGS(<cnp.ndarray>a, flags)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>a)
    )


cdef void* vector(
    object a, str name, int type_num, Py_ssize_t n, bint written=False
) except? NULL:
    """The memory of an array of shape (n,)."""
    if (
        not usable(a, type_num, written)
        or cnp.PyArray_NDIM(<cnp.ndarray>a) != 1
        or cnp.PyArray_DIM(<cnp.ndarray>a, 0) != n
    ):
        kind = "writable " if written else ""
        refuse(a, name, f"a {kind}contiguous {name_of_type(type_num)} array of shape ({n},)")
    return cnp.PyArray_DATA(<cnp.ndarray>a)


cdef void* matrix(
    object a, str name, int type_num, Py_ssize_t n, Py_ssize_t m, bint written=False
) except? NULL:
    """The memory of an array of shape (n, m)."""
    if (
        not usable(a, type_num, written)
        or cnp.PyArray_NDIM(<cnp.ndarray>a) != 2
        or cnp.PyArray_DIM(<cnp.ndarray>a, 0) != n
        or cnp.PyArray_DIM(<cnp.ndarray>a, 1) != m
    ):
        kind = "writable " if written else ""
        refuse(a, name, f"a {kind}C-contiguous {name_of_type(type_num)} array of shape ({n}, {m})")
    return cnp.PyArray_DATA(<cnp.ndarray>a)


cdef void* like(
    object a, str name, int type_num, object model, bint written=False
) except? NULL:
    """The memory of an array of the shape of ``model``, itself an array."""
    if not usable(a, type_num, written) or not cnp.PyArray_SAMESHAPE(
        <cnp.ndarray>a, <cnp.ndarray>model
    ):
        kind = "writable " if written else ""
        refuse(
            a, name, f"a {kind}C-contiguous {name_of_type(type_num)} array of shape {model.shape}"
        )
    return cnp.PyArray_DATA(<cnp.ndarray>a)


cdef int blas_sizes(Py_ssize_t n, Py_ssize_t k, Py_ssize_t m) except -1:
    if n > INT_MAX or k > INT_MAX or m > INT_MAX:
        raise ValueError(f"BLAS counts to {INT_MAX}; got sizes {n}, {k}, {m}")
    return 0


cdef int label_range(const int64_t* labels, Py_ssize_t n, Py_ssize_t classes) except -1:
    cdef Py_ssize_t i
    for i in range(n):
        if labels[i] < 0 or labels[i] >= classes:
            raise ValueError(f"labels must lie in 0..{classes - 1}; got {labels[i]} in row {i}")
    return 0


# --------------------------------------------------------------------------------------------------
# Affine
# --------------------------------------------------------------------------------------------------

cdef struct Tiling:
    Py_ssize_t rows, cols, across, count  # of a tile of a result; tiles beside each other, in all


cdef Tiling tiling(
    Parts part, Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, Py_ssize_t width
) noexcept nogil:
    """Tiles of a product's result for threads to share, the same for any number of threads set.

    A tile has ``width`` columns of the result and at least 24 rows, to make use of the columns of the
    right operand that it reads. Where BLAS packs, all rows share what it packed of the right operand,
    and tiles are wider, for each packs the left one.
    """
    cdef Tiling cut = Tiling(rows, cols, 1, 1)
    cdef bint packed = part.rows == rows and part.inner == inner and part.cols == cols
    cdef Py_ssize_t worthwhile = min(<Py_ssize_t>MOST_TILES, rows * inner * cols // LEAST_PRODUCT)
    cdef Py_ssize_t down
    if worthwhile < 2 or (packed and fastnn_thread_limit == 0):
        return cut
    cut.cols = even_part(cols, max(<Py_ssize_t>256, cols // 8)) if packed else min(cols, width)
    cut.across = (cols + cut.cols - 1) // cut.cols
    if not packed:
        down = max(<Py_ssize_t>1, min(worthwhile // cut.across, rows // 24))
        cut.rows = min(rows, ((rows + down - 1) // down + 1) // 2 * 2)
    cut.count = cut.across * ((rows + cut.rows - 1) // cut.rows)
    return cut


cdef void multiply_tile(
    char* tw, char* tx, Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, Parts part, Tiling cut,
    Py_ssize_t tile, const real* x, Py_ssize_t ldx, Py_ssize_t x_row, Py_ssize_t x_inner,
    const real* w, Py_ssize_t ldw, Py_ssize_t w_inner, Py_ssize_t w_col, real beta, real* out
) noexcept nogil:
    cdef Py_ssize_t row = tile // cut.across * cut.rows, col = tile % cut.across * cut.cols
    multiply_parts(
        tw, tx, min(cut.rows, rows - row), inner, min(cut.cols, cols - col), part, x + row * x_row,
        ldx, x_row, x_inner, w + col * w_col, ldw, w_inner, w_col, beta, out + row * cols + col, cols
    )


cdef void multiply_shared(
    char* tw, char* tx, Py_ssize_t rows, Py_ssize_t inner, Py_ssize_t cols, Parts part,
    Py_ssize_t width, const real* x, Py_ssize_t ldx, Py_ssize_t x_row, Py_ssize_t x_inner,
    const real* w, Py_ssize_t ldw, Py_ssize_t w_inner, Py_ssize_t w_col, real beta, real* out
) noexcept nogil:
    """`multiply_parts` into all of ``out``, by as many threads as the product is worth."""
    cdef Tiling cut = tiling(part, rows, inner, cols, width)
    cdef int threads = min(product_team(rows * inner * cols), <int>cut.count)
    cdef Py_ssize_t tile
    if inner == 0 and beta == 0:
        memset(out, 0, rows * cols * sizeof(real))
    if threads == 1:  # entering a parallel region of one takes as long as a small product
        for tile in range(cut.count):
            multiply_tile(
                tw, tx, rows, inner, cols, part, cut, tile, x, ldx, x_row, x_inner, w, ldw, w_inner,
                w_col, beta, out
            )
        return
    for tile in prange(cut.count, schedule="dynamic", num_threads=threads):
        multiply_tile(
            tw, tx, rows, inner, cols, part, cut, tile, x, ldx, x_row, x_inner, w, ldw, w_inner,
            w_col, beta, out
        )


cdef void affine_forward_all(
    const real* x, const real* w, const real* b, real* out, Py_ssize_t n, Py_ssize_t k, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t i
    # The bias is laid down first and the product added to it: one pass over out less.
    for i in range(n):
        memcpy(out + i * m, b, m * sizeof(real))
    if n == 1 and k > 0:
        gemv(b"N", <int>m, <int>k, w, <int>m, x, <real>1, out)
    else:
        multiply_shared(
            b"N", b"N", n, k, m, unpacked_parts(n, k, m), 128, x, k, k, 1, w, m, m, 1, <real>1, out
        )


cdef void affine_input_gradient(
    const real* dout, const real* w, real* dx, Py_ssize_t n, Py_ssize_t k, Py_ssize_t m
) noexcept nogil:
    multiply_shared(
        b"T", b"N", n, m, k, unpacked_parts_transposed(n, m, k), 96, dout, m, m, 1, w, m, 1, m,
        <real>0, dx
    )


cdef void affine_weight_gradient(
    const real* dout, const real* x, real* dw, Py_ssize_t n, Py_ssize_t k, Py_ssize_t m
) noexcept nogil:
    multiply_shared(
        b"N", b"T", k, n, m, unpacked_parts(k, n, m), 128, x, k, 1, k, dout, m, m, 1, <real>0, dw
    )


def affine_forward(x, w, b, out):
    cdef int t = real_type(x, "x", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), k = cnp.PyArray_DIM(x, 1)
    cdef Py_ssize_t m = cnp.PyArray_DIM(w, 1) if real_type(w, "w", 2) else 0
    cdef void* x_ = matrix(x, "x", t, n, k)
    cdef void* w_ = matrix(w, "w", t, k, m)
    cdef void* b_ = vector(b, "b", t, m)
    cdef void* out_ = matrix(out, "out", t, n, m, True)
    blas_sizes(n, k, m)
    if n == 0 or m == 0:
        return
    with nogil:
        if t == cnp.NPY_FLOAT32:
            affine_forward_all(<float*>x_, <float*>w_, <float*>b_, <float*>out_, n, k, m)
        else:
            affine_forward_all(<double*>x_, <double*>w_, <double*>b_, <double*>out_, n, k, m)


cdef void affine_backward_all(
    const real* dout, const real* x, const real* w, real* dx, real* dw, real* db, Py_ssize_t n,
    Py_ssize_t k, Py_ssize_t m
) noexcept nogil:
    if dx != NULL:
        affine_input_gradient(dout, w, dx, n, k, m)
    if dw != NULL:
        affine_weight_gradient(dout, x, dw, n, k, m)
    if db != NULL:
        column_sums(dout, db, n, m)


def affine_backward(dout, x, w, dx, dw, db):
    cdef int t = real_type(dout, "dout", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dout, 0), m = cnp.PyArray_DIM(dout, 1)
    cdef Py_ssize_t k = cnp.PyArray_DIM(x, 1) if real_type(x, "x", 2) else 0
    cdef void* dout_ = matrix(dout, "dout", t, n, m)
    cdef void* x_ = matrix(x, "x", t, n, k)
    cdef void* w_ = matrix(w, "w", t, k, m)
    cdef void* dx_ = NULL if dx is None else matrix(dx, "dx", t, n, k, True)
    cdef void* dw_ = NULL if dw is None else matrix(dw, "dw", t, k, m, True)
    cdef void* db_ = NULL if db is None else vector(db, "db", t, m, True)
    blas_sizes(n, k, m)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            affine_backward_all(
                <float*>dout_, <float*>x_, <float*>w_, <float*>dx_, <float*>dw_, <float*>db_,
                n, k, m
            )
        else:
            affine_backward_all(
                <double*>dout_, <double*>x_, <double*>w_, <double*>dx_, <double*>dw_, <double*>db_,
                n, k, m
            )


# --------------------------------------------------------------------------------------------------
# Batch normalization
# --------------------------------------------------------------------------------------------------

cdef void batchnorm_forward_all(
    const real* x, const real* gamma, const real* beta, real* running_mean, real* running_var,
    double momentum, double eps, real* mean, real* inv_std, real* out, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t tile, j
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        j = tile * TILE
        batchnorm_forward_tile(
            x + j, gamma + j, beta + j, running_mean + j, running_var + j, momentum, eps, mean + j,
            inv_std + j, out + j, n, m, tile_width(tile, m)
        )


def batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps, mean, inv_std, out):
    cdef int t = real_type(x, "x", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), m = cnp.PyArray_DIM(x, 1)
    cdef double momentum_ = momentum, eps_ = eps
    cdef void* x_ = matrix(x, "x", t, n, m)
    cdef void* gamma_ = vector(gamma, "gamma", t, m)
    cdef void* beta_ = vector(beta, "beta", t, m)
    cdef void* running_mean_ = vector(running_mean, "running_mean", t, m, True)
    cdef void* running_var_ = vector(running_var, "running_var", t, m, True)
    cdef void* mean_ = vector(mean, "mean", t, m, True)
    cdef void* inv_std_ = vector(inv_std, "inv_std", t, m, True)
    cdef void* out_ = matrix(out, "out", t, n, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            batchnorm_forward_all(
                <float*>x_, <float*>gamma_, <float*>beta_, <float*>running_mean_,
                <float*>running_var_, momentum_, eps_, <float*>mean_, <float*>inv_std_,
                <float*>out_, n, m
            )
        else:
            batchnorm_forward_all(
                <double*>x_, <double*>gamma_, <double*>beta_, <double*>running_mean_,
                <double*>running_var_, momentum_, eps_, <double*>mean_, <double*>inv_std_,
                <double*>out_, n, m
            )


cdef void batchnorm_backward_all(
    const real* dout, const real* x, const real* gamma, const real* mean, const real* inv_std,
    real* dx, real* dgamma, real* dbeta, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t tile, j
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        j = tile * TILE
        batchnorm_backward_tile(
            dout + j, x + j, gamma + j, mean + j, inv_std + j, NULL if dx == NULL else dx + j,
            dgamma + j, dbeta + j, n, m, tile_width(tile, m)
        )


def batchnorm_backward(dout, x, gamma, mean, inv_std, dx, dgamma, dbeta):
    cdef int t = real_type(dout, "dout", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dout, 0), m = cnp.PyArray_DIM(dout, 1)
    cdef void* dout_ = matrix(dout, "dout", t, n, m)
    cdef void* x_ = matrix(x, "x", t, n, m)
    cdef void* gamma_ = vector(gamma, "gamma", t, m)
    cdef void* mean_ = vector(mean, "mean", t, m)
    cdef void* inv_std_ = vector(inv_std, "inv_std", t, m)
    cdef void* dx_ = NULL if dx is None else matrix(dx, "dx", t, n, m, True)
    cdef void* dgamma_ = vector(dgamma, "dgamma", t, m, True)
    cdef void* dbeta_ = vector(dbeta, "dbeta", t, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            batchnorm_backward_all(
                <float*>dout_, <float*>x_, <float*>gamma_, <float*>mean_, <float*>inv_std_,
                <float*>dx_, <float*>dgamma_, <float*>dbeta_, n, m
            )
        else:
            batchnorm_backward_all(
                <double*>dout_, <double*>x_, <double*>gamma_, <double*>mean_, <double*>inv_std_,
                <double*>dx_, <double*>dgamma_, <double*>dbeta_, n, m
            )


cdef void batchnorm_inference_forward_all(
    const real* x, const real* gamma, const real* beta, const real* running_mean,
    const real* running_var, double eps, real* out, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t tile, j
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        j = tile * TILE
        batchnorm_inference_forward_tile(
            x + j, gamma + j, beta + j, running_mean + j, running_var + j, eps, out + j, n, m,
            tile_width(tile, m)
        )


def batchnorm_inference_forward(x, gamma, beta, running_mean, running_var, eps, out):
    cdef int t = real_type(x, "x", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), m = cnp.PyArray_DIM(x, 1)
    cdef double eps_ = eps
    cdef void* x_ = matrix(x, "x", t, n, m)
    cdef void* gamma_ = vector(gamma, "gamma", t, m)
    cdef void* beta_ = vector(beta, "beta", t, m)
    cdef void* running_mean_ = vector(running_mean, "running_mean", t, m)
    cdef void* running_var_ = vector(running_var, "running_var", t, m)
    cdef void* out_ = matrix(out, "out", t, n, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            batchnorm_inference_forward_all(
                <float*>x_, <float*>gamma_, <float*>beta_, <float*>running_mean_,
                <float*>running_var_, eps_, <float*>out_, n, m
            )
        else:
            batchnorm_inference_forward_all(
                <double*>x_, <double*>gamma_, <double*>beta_, <double*>running_mean_,
                <double*>running_var_, eps_, <double*>out_, n, m
            )


cdef void batchnorm_inference_backward_all(
    const real* dout, const real* gamma, const real* running_var, double eps, real* dx,
    Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t tile, j
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        j = tile * TILE
        batchnorm_inference_backward_tile(
            dout + j, gamma + j, running_var + j, eps, dx + j, n, m, tile_width(tile, m)
        )


def batchnorm_inference_backward(dout, gamma, running_var, eps, dx):
    cdef int t = real_type(dout, "dout", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dout, 0), m = cnp.PyArray_DIM(dout, 1)
    cdef double eps_ = eps
    cdef void* dout_ = matrix(dout, "dout", t, n, m)
    cdef void* gamma_ = vector(gamma, "gamma", t, m)
    cdef void* running_var_ = vector(running_var, "running_var", t, m)
    cdef void* dx_ = matrix(dx, "dx", t, n, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            batchnorm_inference_backward_all(
                <float*>dout_, <float*>gamma_, <float*>running_var_, eps_, <float*>dx_, n, m
            )
        else:
            batchnorm_inference_backward_all(
                <double*>dout_, <double*>gamma_, <double*>running_var_, eps_, <double*>dx_, n, m
            )


# --------------------------------------------------------------------------------------------------
# Activations
# --------------------------------------------------------------------------------------------------

cdef void relu_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        relu_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        relu_forward_span(x + i, out + i, span(piece, n))


def relu_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            relu_forward_all(<float*>x_, <float*>out_, n)
        else:
            relu_forward_all(<double*>x_, <double*>out_, n)


cdef void relu_backward_all(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        relu_backward_span(dout, out, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        relu_backward_span(dout + i, out + i, dx + i, span(piece, n))


def relu_backward(dout, out, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* out_ = like(out, "out", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            relu_backward_all(<float*>dout_, <float*>out_, <float*>dx_, n)
        else:
            relu_backward_all(<double*>dout_, <double*>out_, <double*>dx_, n)


cdef void leaky_relu_forward_all(
    const real* x, real slope, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        leaky_relu_forward_span(x, slope, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        leaky_relu_forward_span(x + i, slope, out + i, span(piece, n))


def leaky_relu_forward(x, slope, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef double slope_ = slope
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            leaky_relu_forward_all(<float*>x_, <float>slope_, <float*>out_, n)
        else:
            leaky_relu_forward_all(<double*>x_, <double>slope_, <double*>out_, n)


cdef void leaky_relu_backward_all(
    const real* dout, const real* x, real slope, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        leaky_relu_backward_span(dout, x, slope, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        leaky_relu_backward_span(dout + i, x + i, slope, dx + i, span(piece, n))


def leaky_relu_backward(dout, x, slope, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef double slope_ = slope
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* x_ = like(x, "x", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            leaky_relu_backward_all(<float*>dout_, <float*>x_, <float>slope_, <float*>dx_, n)
        else:
            leaky_relu_backward_all(<double*>dout_, <double*>x_, <double>slope_, <double*>dx_, n)


cdef void sigmoid_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        sigmoid_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        sigmoid_forward_span(x + i, out + i, span(piece, n))


def sigmoid_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            sigmoid_forward_all(<float*>x_, <float*>out_, n)
        else:
            sigmoid_forward_all(<double*>x_, <double*>out_, n)


cdef void sigmoid_backward_all(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        sigmoid_backward_span(dout, out, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        sigmoid_backward_span(dout + i, out + i, dx + i, span(piece, n))


def sigmoid_backward(dout, out, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* out_ = like(out, "out", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            sigmoid_backward_all(<float*>dout_, <float*>out_, <float*>dx_, n)
        else:
            sigmoid_backward_all(<double*>dout_, <double*>out_, <double*>dx_, n)


cdef void tanh_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        tanh_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        tanh_forward_span(x + i, out + i, span(piece, n))


def tanh_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            tanh_forward_all(<float*>x_, <float*>out_, n)
        else:
            tanh_forward_all(<double*>x_, <double*>out_, n)


cdef void tanh_backward_all(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        tanh_backward_span(dout, out, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        tanh_backward_span(dout + i, out + i, dx + i, span(piece, n))


def tanh_backward(dout, out, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* out_ = like(out, "out", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            tanh_backward_all(<float*>dout_, <float*>out_, <float*>dx_, n)
        else:
            tanh_backward_all(<double*>dout_, <double*>out_, <double*>dx_, n)


cdef void elu_forward_all(
    const real* x, real alpha, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        elu_forward_span(x, alpha, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        elu_forward_span(x + i, alpha, out + i, span(piece, n))


def elu_forward(x, alpha, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef double alpha_ = alpha
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            elu_forward_all(<float*>x_, <float>alpha_, <float*>out_, n)
        else:
            elu_forward_all(<double*>x_, <double>alpha_, <double*>out_, n)


cdef void elu_backward_all(
    const real* dout, const real* out, real alpha, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        elu_backward_span(dout, out, alpha, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        elu_backward_span(dout + i, out + i, alpha, dx + i, span(piece, n))


def elu_backward(dout, out, alpha, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef double alpha_ = alpha
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* out_ = like(out, "out", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            elu_backward_all(<float*>dout_, <float*>out_, <float>alpha_, <float*>dx_, n)
        else:
            elu_backward_all(<double*>dout_, <double*>out_, <double>alpha_, <double*>dx_, n)


cdef void softplus_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        softplus_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        softplus_forward_span(x + i, out + i, span(piece, n))


def softplus_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            softplus_forward_all(<float*>x_, <float*>out_, n)
        else:
            softplus_forward_all(<double*>x_, <double*>out_, n)


cdef void softplus_backward_all(
    const real* dout, const real* out, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        softplus_backward_span(dout, out, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        softplus_backward_span(dout + i, out + i, dx + i, span(piece, n))


def softplus_backward(dout, out, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* out_ = like(out, "out", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            softplus_backward_all(<float*>dout_, <float*>out_, <float*>dx_, n)
        else:
            softplus_backward_all(<double*>dout_, <double*>out_, <double*>dx_, n)


cdef void gelu_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        gelu_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        gelu_forward_span(x + i, out + i, span(piece, n))


def gelu_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            gelu_forward_all(<float*>x_, <float*>out_, n)
        else:
            gelu_forward_all(<double*>x_, <double*>out_, n)


cdef void gelu_backward_all(
    const real* dout, const real* x, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        gelu_backward_span(dout, x, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        gelu_backward_span(dout + i, x + i, dx + i, span(piece, n))


def gelu_backward(dout, x, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* x_ = like(x, "x", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            gelu_backward_all(<float*>dout_, <float*>x_, <float*>dx_, n)
        else:
            gelu_backward_all(<double*>dout_, <double*>x_, <double*>dx_, n)


cdef void silu_forward_all(
    const real* x, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        silu_forward_span(x, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        silu_forward_span(x + i, out + i, span(piece, n))


def silu_forward(x, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            silu_forward_all(<float*>x_, <float*>out_, n)
        else:
            silu_forward_all(<double*>x_, <double*>out_, n)


cdef void silu_backward_all(
    const real* dout, const real* x, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        silu_backward_span(dout, x, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        silu_backward_span(dout + i, x + i, dx + i, span(piece, n))


def silu_backward(dout, x, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* x_ = like(x, "x", t, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            silu_backward_all(<float*>dout_, <float*>x_, <float*>dx_, n)
        else:
            silu_backward_all(<double*>dout_, <double*>x_, <double*>dx_, n)


cdef void prelu_forward_all(
    const real* x, const real* slope, real* out, Py_ssize_t n, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t i
    for i in prange(n, schedule="static", num_threads=team(n * m)):
        prelu_forward_span(x + i * m, slope, out + i * m, m)


def prelu_forward(x, slope, out):
    cdef int t = real_type(x, "x", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), m = cnp.PyArray_DIM(x, 1)
    cdef void* x_ = matrix(x, "x", t, n, m)
    cdef void* slope_ = vector(slope, "slope", t, m)
    cdef void* out_ = matrix(out, "out", t, n, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            prelu_forward_all(<float*>x_, <float*>slope_, <float*>out_, n, m)
        else:
            prelu_forward_all(<double*>x_, <double*>slope_, <double*>out_, n, m)


cdef void prelu_backward_all(
    const real* dout, const real* x, const real* slope, real* dx, real* dslope, Py_ssize_t n,
    Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t tile, j
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        j = tile * TILE
        prelu_backward_tile(
            dout + j, x + j, slope + j, NULL if dx == NULL else dx + j,
            NULL if dslope == NULL else dslope + j, n, m, tile_width(tile, m)
        )


def prelu_backward(dout, x, slope, dx, dslope):
    cdef int t = real_type(dout, "dout", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dout, 0), m = cnp.PyArray_DIM(dout, 1)
    cdef void* dout_ = matrix(dout, "dout", t, n, m)
    cdef void* x_ = matrix(x, "x", t, n, m)
    cdef void* slope_ = vector(slope, "slope", t, m)
    cdef void* dx_ = NULL if dx is None else matrix(dx, "dx", t, n, m, True)
    cdef void* dslope_ = NULL if dslope is None else vector(dslope, "dslope", t, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            prelu_backward_all(
                <float*>dout_, <float*>x_, <float*>slope_, <float*>dx_, <float*>dslope_, n, m
            )
        else:
            prelu_backward_all(
                <double*>dout_, <double*>x_, <double*>slope_, <double*>dx_, <double*>dslope_, n, m
            )


cdef int piece_count(Py_ssize_t pieces, str name) except -1:
    if pieces < 1 or pieces > 256:
        raise ValueError(f"{name} must have 1 to 256 pieces; got {pieces}")
    return 0


cdef void maxout_forward_all(
    const real* x, uint8_t* winners, real* out, Py_ssize_t n, Py_ssize_t pieces, Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t i
    for i in prange(n, schedule="static", num_threads=team(n * pieces * m)):
        maxout_forward_span(x + i * pieces * m, pieces, m, winners + i * m, out + i * m, m)


def maxout_forward(x, winners, out):
    cdef int t = real_type(x, "x", 3)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), k = cnp.PyArray_DIM(x, 1)
    cdef Py_ssize_t m = cnp.PyArray_DIM(x, 2)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* winners_ = matrix(winners, "winners", cnp.NPY_UINT8, n, m, True)
    cdef void* out_ = matrix(out, "out", t, n, m, True)
    piece_count(k, "x")
    with nogil:
        if t == cnp.NPY_FLOAT32:
            maxout_forward_all(<float*>x_, <uint8_t*>winners_, <float*>out_, n, k, m)
        else:
            maxout_forward_all(<double*>x_, <uint8_t*>winners_, <double*>out_, n, k, m)


cdef void maxout_backward_all(
    const real* dout, const uint8_t* winners, real* dx, Py_ssize_t n, Py_ssize_t pieces,
    Py_ssize_t m
) noexcept nogil:
    cdef Py_ssize_t i
    for i in prange(n, schedule="static", num_threads=team(n * pieces * m)):
        maxout_backward_span(dout + i * m, winners + i * m, pieces, m, dx + i * pieces * m, m)


def maxout_backward(dout, winners, dx):
    cdef int t = real_type(dx, "dx", 3)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dx, 0), k = cnp.PyArray_DIM(dx, 1)
    cdef Py_ssize_t m = cnp.PyArray_DIM(dx, 2)
    cdef void* dout_ = matrix(dout, "dout", t, n, m)
    cdef void* winners_ = matrix(winners, "winners", cnp.NPY_UINT8, n, m)
    cdef void* dx_ = like(dx, "dx", t, dx, True)
    piece_count(k, "dx")
    with nogil:
        if t == cnp.NPY_FLOAT32:
            maxout_backward_all(<float*>dout_, <uint8_t*>winners_, <float*>dx_, n, k, m)
        else:
            maxout_backward_all(<double*>dout_, <uint8_t*>winners_, <double*>dx_, n, k, m)


# --------------------------------------------------------------------------------------------------
# Dropout
# --------------------------------------------------------------------------------------------------

cdef void dropout_forward_all(
    const real* x, uint32_t threshold, real scale, uint64_t key, uint8_t* mask, real* out,
    Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        dropout_forward_span(x, threshold, scale, key, 0, mask, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        dropout_forward_span(
            x + i, threshold, scale, key, i, mask + i, out + i, span(piece, n)
        )


def dropout_forward(x, ratio, seed, step, layer, mask, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef double ratio_ = ratio, scale = 1.0 / (1.0 - ratio_)
    cdef uint32_t threshold = <uint32_t>(ratio_ * 4294967296.0)
    cdef uint64_t key = dropout_key(seed, step, layer)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* mask_ = like(mask, "mask", cnp.NPY_UINT8, x, True)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            dropout_forward_all(
                <float*>x_, threshold, <float>scale, key, <uint8_t*>mask_, <float*>out_, n
            )
        else:
            dropout_forward_all(
                <double*>x_, threshold, <double>scale, key, <uint8_t*>mask_, <double*>out_, n
            )


cdef void dropout_backward_all(
    const real* dout, const uint8_t* mask, real scale, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        dropout_backward_span(dout, mask, scale, dx, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        dropout_backward_span(dout + i, mask + i, scale, dx + i, span(piece, n))


def dropout_backward(dout, mask, ratio, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef double scale = 1.0 / (1.0 - <double>ratio)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* mask_ = like(mask, "mask", cnp.NPY_UINT8, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            dropout_backward_all(<float*>dout_, <uint8_t*>mask_, <float>scale, <float*>dx_, n)
        else:
            dropout_backward_all(<double*>dout_, <uint8_t*>mask_, scale, <double*>dx_, n)


# --------------------------------------------------------------------------------------------------
# Noise
# --------------------------------------------------------------------------------------------------

def masking_noise_forward(x, ratio, seed, step, layer, mask, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef uint32_t threshold = <uint32_t>(<double>ratio * 4294967296.0)
    cdef uint64_t key = dropout_key(seed, step, layer)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* mask_ = like(mask, "mask", cnp.NPY_UINT8, x, True)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            dropout_forward_all(
                <float*>x_, threshold, <float>1, key, <uint8_t*>mask_, <float*>out_, n
            )
        else:
            dropout_forward_all(
                <double*>x_, threshold, <double>1, key, <uint8_t*>mask_, <double*>out_, n
            )


def masking_noise_backward(dout, mask, dx):
    cdef int t = real_type(dout, "dout")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(dout)
    cdef void* dout_ = like(dout, "dout", t, dout)
    cdef void* mask_ = like(mask, "mask", cnp.NPY_UINT8, dout)
    cdef void* dx_ = like(dx, "dx", t, dout, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            dropout_backward_all(<float*>dout_, <uint8_t*>mask_, <float>1, <float*>dx_, n)
        else:
            dropout_backward_all(<double*>dout_, <uint8_t*>mask_, <double>1, <double*>dx_, n)


cdef void gaussian_noise_forward_all(
    const real* x, real std, uint64_t key, real* out, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        gaussian_noise_span(x, std, key, 0, out, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        gaussian_noise_span(x + i, std, key, i, out + i, span(piece, n))


def gaussian_noise_forward(x, std, seed, step, layer, out):
    cdef int t = real_type(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef double std_ = std
    cdef uint64_t key = dropout_key(seed, step, layer)
    cdef void* x_ = like(x, "x", t, x)
    cdef void* out_ = like(out, "out", t, x, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            gaussian_noise_forward_all(<float*>x_, <float>std_, key, <float*>out_, n)
        else:
            gaussian_noise_forward_all(<double*>x_, std_, key, <double*>out_, n)


# --------------------------------------------------------------------------------------------------
# Losses
# --------------------------------------------------------------------------------------------------

def softmax_forward(x, out):
    cdef int t = real_type(x, "x", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, 0), c = cnp.PyArray_DIM(x, 1)
    cdef void* x_ = matrix(x, "x", t, n, c)
    cdef void* out_ = matrix(out, "out", t, n, c, True)
    if c == 0:
        return
    with nogil:
        if t == cnp.NPY_FLOAT32:
            softmax_rows(<float*>x_, <float*>out_, n, c)
        else:
            softmax_rows(<double*>x_, <double*>out_, n, c)


def softmax_backward(dout, out, dx):
    cdef int t = real_type(dout, "dout", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(dout, 0), c = cnp.PyArray_DIM(dout, 1)
    cdef void* dout_ = matrix(dout, "dout", t, n, c)
    cdef void* out_ = matrix(out, "out", t, n, c)
    cdef void* dx_ = matrix(dx, "dx", t, n, c, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            softmax_backward_rows(<float*>dout_, <float*>out_, <float*>dx_, n, c)
        else:
            softmax_backward_rows(<double*>dout_, <double*>out_, <double*>dx_, n, c)


cdef int non_empty(Py_ssize_t n, Py_ssize_t c, str name) except -1:
    if n == 0 or c == 0:
        raise ValueError(f"{name} must have rows and columns; got shape ({n}, {c})")
    return 0


def softmax_cross_entropy(logits, labels, weights, probs, dlogits):
    cdef int t = real_type(logits, "logits", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(logits, 0), c = cnp.PyArray_DIM(logits, 1)
    cdef void* logits_ = matrix(logits, "logits", t, n, c)
    cdef int64_t* labels_ = <int64_t*>vector(labels, "labels", cnp.NPY_INT64, n)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* probs_ = matrix(probs, "probs", t, n, c, True)
    cdef void* dlogits_ = NULL if dlogits is None else matrix(dlogits, "dlogits", t, n, c, True)
    cdef double loss
    non_empty(n, c, "logits")
    label_range(labels_, n, c)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = softmax_cross_entropy_rows(
                <float*>logits_, labels_, <float*>weights_, 1.0 / n, <float*>probs_,
                <float*>dlogits_, n, c
            )
        else:
            loss = softmax_cross_entropy_rows(
                <double*>logits_, labels_, <double*>weights_, 1.0 / n, <double*>probs_,
                <double*>dlogits_, n, c
            )
    return loss / n


def softmax_cross_entropy_soft(logits, targets, weights, probs, dlogits):
    cdef int t = real_type(logits, "logits", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(logits, 0), c = cnp.PyArray_DIM(logits, 1)
    cdef void* logits_ = matrix(logits, "logits", t, n, c)
    cdef void* targets_ = matrix(targets, "targets", t, n, c)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* probs_ = matrix(probs, "probs", t, n, c, True)
    cdef void* dlogits_ = NULL if dlogits is None else matrix(dlogits, "dlogits", t, n, c, True)
    cdef double loss
    non_empty(n, c, "logits")
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = softmax_cross_entropy_soft_rows(
                <float*>logits_, <float*>targets_, <float*>weights_, 1.0 / n, <float*>probs_,
                <float*>dlogits_, n, c
            )
        else:
            loss = softmax_cross_entropy_soft_rows(
                <double*>logits_, <double*>targets_, <double*>weights_, 1.0 / n, <double*>probs_,
                <double*>dlogits_, n, c
            )
    return loss / n


cdef double squared_error(pred, target, weights, dpred, double slope) except? -1.0:
    """Mean over rows of |pred - target|^2; the gradient of a row's loss is slope * (pred - target)."""
    cdef int t = real_type(pred, "pred", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(pred, 0), m = cnp.PyArray_DIM(pred, 1)
    cdef void* pred_ = matrix(pred, "pred", t, n, m)
    cdef void* target_ = matrix(target, "target", t, n, m)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* dpred_ = NULL if dpred is None else matrix(dpred, "dpred", t, n, m, True)
    cdef double loss
    non_empty(n, m, "pred")
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = squared_error_rows(
                <float*>pred_, <float*>target_, <float*>weights_, 1.0 / n, slope, <float*>dpred_,
                n, m
            )
        else:
            loss = squared_error_rows(
                <double*>pred_, <double*>target_, <double*>weights_, 1.0 / n, slope,
                <double*>dpred_, n, m
            )
    return loss / n


def mean_squared_error(pred, target, weights, dpred):
    cdef Py_ssize_t m = cnp.PyArray_DIM(pred, 1) if real_type(pred, "pred", 2) else 0
    non_empty(1, m, "pred")
    return squared_error(pred, target, weights, dpred, 2.0 / m) / m


def sum_squared_error(pred, target, weights, dpred):
    return 0.5 * squared_error(pred, target, weights, dpred, 1.0)


def cross_entropy(probs, labels, weights, guard, dprobs):
    cdef int t = real_type(probs, "probs", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(probs, 0), c = cnp.PyArray_DIM(probs, 1)
    cdef double guard_ = guard, loss
    cdef void* probs_ = matrix(probs, "probs", t, n, c)
    cdef int64_t* labels_ = <int64_t*>vector(labels, "labels", cnp.NPY_INT64, n)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* dprobs_ = NULL if dprobs is None else matrix(dprobs, "dprobs", t, n, c, True)
    non_empty(n, c, "probs")
    label_range(labels_, n, c)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = cross_entropy_rows(
                <float*>probs_, labels_, <float*>weights_, 1.0 / n, guard_, <float*>dprobs_, n, c
            )
        else:
            loss = cross_entropy_rows(
                <double*>probs_, labels_, <double*>weights_, 1.0 / n, guard_, <double*>dprobs_, n, c
            )
    return loss / n


def cross_entropy_soft(probs, targets, weights, guard, dprobs):
    cdef int t = real_type(probs, "probs", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(probs, 0), c = cnp.PyArray_DIM(probs, 1)
    cdef double guard_ = guard, loss
    cdef void* probs_ = matrix(probs, "probs", t, n, c)
    cdef void* targets_ = matrix(targets, "targets", t, n, c)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* dprobs_ = NULL if dprobs is None else matrix(dprobs, "dprobs", t, n, c, True)
    non_empty(n, c, "probs")
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = cross_entropy_soft_rows(
                <float*>probs_, <float*>targets_, <float*>weights_, 1.0 / n, guard_,
                <float*>dprobs_, n, c
            )
        else:
            loss = cross_entropy_soft_rows(
                <double*>probs_, <double*>targets_, <double*>weights_, 1.0 / n, guard_,
                <double*>dprobs_, n, c
            )
    return loss / n


cdef double elementwise_loss(
    int form, out, str out_name, targets, str targets_name, weights, double delta, dout,
    str dout_name
) except? -1.0:
    """A mean over rows and columns of one of the forms of loops.pxd."""
    cdef int t = real_type(out, out_name, 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(out, 0), m = cnp.PyArray_DIM(out, 1)
    cdef void* out_ = matrix(out, out_name, t, n, m)
    cdef void* targets_ = matrix(targets, targets_name, t, n, m)
    cdef void* weights_ = NULL if weights is None else vector(weights, "weights", t, n)
    cdef void* dout_ = NULL if dout is None else matrix(dout, dout_name, t, n, m, True)
    cdef double loss
    non_empty(n, m, out_name)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            loss = elementwise_loss_rows(
                form, <float*>out_, <float*>targets_, <float*>weights_, 1.0 / n, 1.0 / m, delta,
                <float*>dout_, n, m
            )
        else:
            loss = elementwise_loss_rows(
                form, <double*>out_, <double*>targets_, <double*>weights_, 1.0 / n, 1.0 / m, delta,
                <double*>dout_, n, m
            )
    return loss / m / n


def binary_cross_entropy(logits, targets, weights, dlogits):
    return elementwise_loss(
        FORM_BINARY, logits, "logits", targets, "targets", weights, 0.0, dlogits, "dlogits"
    )


def mean_absolute_error(pred, target, weights, dpred):
    return elementwise_loss(
        FORM_ABSOLUTE, pred, "pred", target, "target", weights, 0.0, dpred, "dpred"
    )


def huber(pred, target, weights, delta, dpred):
    return elementwise_loss(
        FORM_HUBER, pred, "pred", target, "target", weights, delta, dpred, "dpred"
    )


# --------------------------------------------------------------------------------------------------
# Penalties
# Partial sums belong to the pieces, and are added in the order of the pieces.
# --------------------------------------------------------------------------------------------------

cdef double l1_penalty_all(
    const real* w, real strength, real* dw, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef double total = 0
    for piece in range(pieces(n)):
        i = piece * PIECE
        total += sum_absolutes(w + i, span(piece, n))
        if dw != NULL:
            l1_gradient_span(w + i, strength, dw + i, span(piece, n))
    return total


def l1_penalty(w, strength, dw):
    cdef int t = real_type(w, "w")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w)
    cdef double strength_ = strength, total
    cdef void* w_ = like(w, "w", t, w)
    cdef void* dw_ = NULL if dw is None else like(dw, "dw", t, w, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            total = l1_penalty_all(<float*>w_, <float>strength_, <float*>dw_, n)
        else:
            total = l1_penalty_all(<double*>w_, strength_, <double*>dw_, n)
    return strength_ * total


cdef double l2_penalty_all(
    const real* w, real strength, real* dw, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef double total = 0
    for piece in range(pieces(n)):
        i = piece * PIECE
        total += sum_squares(w + i, span(piece, n))
        if dw != NULL:
            l2_gradient_span(w + i, strength, dw + i, span(piece, n))
    return total


def l2_penalty(w, strength, dw):
    cdef int t = real_type(w, "w")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(w)
    cdef double strength_ = strength, total
    cdef void* w_ = like(w, "w", t, w)
    cdef void* dw_ = NULL if dw is None else like(dw, "dw", t, w, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            total = l2_penalty_all(<float*>w_, <float>strength_, <float*>dw_, n)
        else:
            total = l2_penalty_all(<double*>w_, strength_, <double*>dw_, n)
    return 0.5 * strength_ * total


# --------------------------------------------------------------------------------------------------
# Bounds on gradients and on weights
# --------------------------------------------------------------------------------------------------

cdef void clip_by_value_all(real* g, real limit, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t piece
    cdef int threads = team(n)
    if threads == 1:
        clip_by_value_span(g, limit, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        clip_by_value_span(g + piece * PIECE, limit, span(piece, n))


def clip_by_value(g, limit):
    cdef int t = real_type(g, "g")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
    cdef double limit_ = limit
    cdef void* g_ = like(g, "g", t, g, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            clip_by_value_all(<float*>g_, <float>limit_, n)
        else:
            clip_by_value_all(<double*>g_, limit_, n)


cdef double squared_norm_all(const real* g, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t piece
    cdef double total = 0
    for piece in range(pieces(n)):
        total += sum_squares(g + piece * PIECE, span(piece, n))
    return total


def squared_norm(g):
    cdef int t = real_type(g, "g")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
    cdef void* g_ = like(g, "g", t, g)
    cdef double total
    with nogil:
        if t == cnp.NPY_FLOAT32:
            total = squared_norm_all(<float*>g_, n)
        else:
            total = squared_norm_all(<double*>g_, n)
    return total


cdef void scale_all(real* g, real factor, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t piece
    cdef int threads = team(n)
    if threads == 1:
        scale_span(g, factor, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        scale_span(g + piece * PIECE, factor, span(piece, n))


def clip_by_norm(g, norm, limit):
    cdef int t = real_type(g, "g")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
    cdef double factor = clip_factor(norm, limit)
    cdef void* g_ = like(g, "g", t, g, True)
    if factor == 1.0:
        return
    with nogil:
        if t == cnp.NPY_FLOAT32:
            scale_all(<float*>g_, <float>factor, n)
        else:
            scale_all(<double*>g_, factor, n)


cdef void max_norm_all(real* w, double limit, Py_ssize_t n, Py_ssize_t m) noexcept nogil:
    cdef Py_ssize_t tile
    for tile in prange(tiles(m), schedule="static", num_threads=team(n * m)):
        max_norm_tile(w + tile * TILE, limit, n, m, tile_width(tile, m))


def max_norm(w, limit):
    cdef int t = real_type(w, "w", 2)
    cdef Py_ssize_t n = cnp.PyArray_DIM(w, 0), m = cnp.PyArray_DIM(w, 1)
    cdef double limit_ = limit
    cdef void* w_ = matrix(w, "w", t, n, m, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            max_norm_all(<float*>w_, limit_, n, m)
        else:
            max_norm_all(<double*>w_, limit_, n, m)


# --------------------------------------------------------------------------------------------------
# Optimizers
# --------------------------------------------------------------------------------------------------

cdef void sgd_update_all(
    real* p, const real* g, real lr, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        sgd_span(p, g, lr, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        sgd_span(p + i, g + i, lr, span(piece, n))


def sgd_update(p, g, lr):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            sgd_update_all(<float*>p_, <float*>g_, <float>lr_, n)
        else:
            sgd_update_all(<double*>p_, <double*>g_, <double>lr_, n)


cdef void momentum_update_all(
    real* p, const real* g, real* v, real lr, real momentum, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        momentum_span(p, g, v, lr, momentum, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        momentum_span(p + i, g + i, v + i, lr, momentum, span(piece, n))


def momentum_update(p, g, v, lr, momentum):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr, momentum_ = momentum
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* v_ = like(v, "v", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            momentum_update_all(<float*>p_, <float*>g_, <float*>v_, <float>lr_, <float>momentum_, n)
        else:
            momentum_update_all(
                <double*>p_, <double*>g_, <double*>v_, <double>lr_, <double>momentum_, n
            )


cdef void nesterov_update_all(
    real* p, const real* g, real* v, real lr, real momentum, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        nesterov_span(p, g, v, lr, momentum, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        nesterov_span(p + i, g + i, v + i, lr, momentum, span(piece, n))


def nesterov_update(p, g, v, lr, momentum):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr, momentum_ = momentum
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* v_ = like(v, "v", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            nesterov_update_all(<float*>p_, <float*>g_, <float*>v_, <float>lr_, <float>momentum_, n)
        else:
            nesterov_update_all(
                <double*>p_, <double*>g_, <double*>v_, <double>lr_, <double>momentum_, n
            )


cdef void adagrad_update_all(
    real* p, const real* g, real* s, real lr, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        adagrad_span(p, g, s, lr, eps, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        adagrad_span(p + i, g + i, s + i, lr, eps, span(piece, n))


def adagrad_update(p, g, s, lr, eps):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr, eps_ = eps
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* s_ = like(s, "s", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            adagrad_update_all(<float*>p_, <float*>g_, <float*>s_, <float>lr_, <float>eps_, n)
        else:
            adagrad_update_all(<double*>p_, <double*>g_, <double*>s_, <double>lr_, <double>eps_, n)


cdef void rmsprop_update_all(
    real* p, const real* g, real* s, real lr, real alpha, real rest, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        rmsprop_span(p, g, s, lr, alpha, rest, eps, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        rmsprop_span(p + i, g + i, s + i, lr, alpha, rest, eps, span(piece, n))


def rmsprop_update(p, g, s, lr, alpha, eps):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr, alpha_ = alpha, rest_ = 1.0 - alpha_, eps_ = eps
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* s_ = like(s, "s", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            rmsprop_update_all(
                <float*>p_, <float*>g_, <float*>s_, <float>lr_, <float>alpha_, <float>rest_,
                <float>eps_, n
            )
        else:
            rmsprop_update_all(
                <double*>p_, <double*>g_, <double*>s_, <double>lr_, <double>alpha_, <double>rest_,
                <double>eps_, n
            )


cdef void adadelta_update_all(
    real* p, const real* g, real* s, real* d, real lr, real rho, real rest, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        adadelta_span(p, g, s, d, lr, rho, rest, eps, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        adadelta_span(p + i, g + i, s + i, d + i, lr, rho, rest, eps, span(piece, n))


def adadelta_update(p, g, s, d, lr, rho, eps):
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double lr_ = lr, rho_ = rho, rest_ = 1.0 - rho_, eps_ = eps
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* s_ = like(s, "s", t, p, True)
    cdef void* d_ = like(d, "d", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32:
            adadelta_update_all(
                <float*>p_, <float*>g_, <float*>s_, <float*>d_, <float>lr_, <float>rho_,
                <float>rest_, <float>eps_, n
            )
        else:
            adadelta_update_all(
                <double*>p_, <double*>g_, <double*>s_, <double*>d_, <double>lr_, <double>rho_,
                <double>rest_, <double>eps_, n
            )


cdef void adam_all(
    real* p, const real* g, real* m, real* v, real decay, real step_size, real beta1, real rest1,
    real beta2, real rest2, real inv_root, real eps, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        adam_span(p, g, m, v, decay, step_size, beta1, rest1, beta2, rest2, inv_root, eps, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        adam_span(
            p + i, g + i, m + i, v + i, decay, step_size, beta1, rest1, beta2, rest2, inv_root,
            eps, span(piece, n)
        )


cdef void moments_all(
    real* p, const real* g, real* m, real* v, real step_size, real beta1, real rest1, real beta2,
    real rest2, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t piece, i
    cdef int threads = team(n)
    if threads == 1:
        moments_span(p, g, m, v, step_size, beta1, rest1, beta2, rest2, n)
        return
    for piece in prange(pieces(n), schedule="static", num_threads=threads):
        i = piece * PIECE
        moments_span(
            p + i, g + i, m + i, v + i, step_size, beta1, rest1, beta2, rest2, span(piece, n)
        )


cdef int adam(
    p, g, m, v, double decay, double step_size, double beta1, double beta2, double inv_root,
    double eps, bint adaptive
) except -1:
    """What Adam, AdamW and RAdam share; without ``adaptive``, RAdam's first steps."""
    cdef int t = real_type(p, "p")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(p)
    cdef double rest1 = 1.0 - beta1, rest2 = 1.0 - beta2
    cdef void* p_ = like(p, "p", t, p, True)
    cdef void* g_ = like(g, "g", t, p)
    cdef void* m_ = like(m, "m", t, p, True)
    cdef void* v_ = like(v, "v", t, p, True)
    with nogil:
        if t == cnp.NPY_FLOAT32 and adaptive:
            adam_all(
                <float*>p_, <float*>g_, <float*>m_, <float*>v_, <float>decay, <float>step_size,
                <float>beta1, <float>rest1, <float>beta2, <float>rest2, <float>inv_root,
                <float>eps, n
            )
        elif t == cnp.NPY_FLOAT32:
            moments_all(
                <float*>p_, <float*>g_, <float*>m_, <float*>v_, <float>step_size, <float>beta1,
                <float>rest1, <float>beta2, <float>rest2, n
            )
        elif adaptive:
            adam_all(
                <double*>p_, <double*>g_, <double*>m_, <double*>v_, decay, step_size, beta1, rest1,
                beta2, rest2, inv_root, eps, n
            )
        else:
            moments_all(
                <double*>p_, <double*>g_, <double*>m_, <double*>v_, step_size, beta1, rest1, beta2,
                rest2, n
            )
    return 0


def adam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    cdef double step_size = lr / (1.0 - pow(beta1, step))
    cdef double inv_root = 1.0 / sqrt(1.0 - pow(beta2, step))
    adam(p, g, m, v, 1.0, step_size, beta1, beta2, inv_root, eps, True)


def adamw_update(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step):
    cdef double step_size = lr / (1.0 - pow(beta1, step))
    cdef double inv_root = 1.0 / sqrt(1.0 - pow(beta2, step))
    cdef double decay = 1.0 - <double>lr * <double>weight_decay
    adam(p, g, m, v, decay, step_size, beta1, beta2, inv_root, eps, True)


def radam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    cdef double t = step
    cdef double step_size = lr / (1.0 - pow(beta1, t))
    cdef double power = pow(beta2, t)
    cdef double rho_inf = 2.0 / (1.0 - <double>beta2) - 1.0
    cdef double rho = rho_inf - 2.0 * t * power / (1.0 - power)
    cdef double rectifier
    if rho <= 5.0:
        adam(p, g, m, v, 1.0, step_size, beta1, beta2, 1.0, eps, False)
        return
    rectifier = sqrt((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
    step_size *= rectifier * sqrt(1.0 - power)
    adam(p, g, m, v, 1.0, step_size, beta1, beta2, 1.0, eps, True)
