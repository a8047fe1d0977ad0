# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""The native program: whole training steps, one after another, in one call without the GIL.

A program executes what `fastnn.lowering` wrote down of a model: *stages*, each an affine map (or
none) followed by the *operations* on its output, up to the next affine map. It runs on the model's
own flat parameters, gradients and state, and in buffers it takes once. The loops are those of
loops.pxd, which the Cython kernels run too.

How a step is shared among threads
----------------------------------
The columns between two stages are cut into pieces, by shapes alone, and piece p belongs to thread
``p % threads``; so the result is the same bits for any number of threads. In the forward pass a
thread computes its columns of the affine map, and everything up to the next one is local to
columns: the bias, BatchNorm's statistics, activations, dropout. In the backward pass it takes the
same columns as rows of the next stage's weights: it computes their gradient, the gradient of its
columns, updates those weights, and goes on through the operations. So there is one barrier for each
stage and direction, and no sum crosses threads.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.limits cimport INT_MAX
from libc.math cimport isfinite, pow, sqrt
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from fastnn._kernels.loops cimport *

cnp.import_array()

cdef extern from *:
    """
    #include <pthread.h>
    #include <sched.h>
    #include <time.h>

    typedef struct { int waiting; int generation; } fastnn_barrier;

    static inline void fastnn_relax(void) {
    #if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
    #endif
    }

    /* Spins: the pieces end within microseconds of each other. Yields once something else must be
       holding a processor. */
    static inline void fastnn_wait(fastnn_barrier *b, int threads) {
        int generation, spins = 0;
        if (threads == 1) return;
        generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&b->waiting, 1, __ATOMIC_ACQ_REL) == threads) {
            __atomic_store_n(&b->waiting, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&b->generation, generation + 1, __ATOMIC_RELEASE);
            return;
        }
        while (__atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == generation) {
            if (++spins > 4000) sched_yield(); else fastnn_relax();
        }
    }

    /* A door that opens once. */
    static inline void fastnn_open(int *door) { __atomic_store_n(door, 1, __ATOMIC_RELEASE); }
    static inline void fastnn_await(int *door) {
        int spins = 0;
        while (!__atomic_load_n(door, __ATOMIC_ACQUIRE)) {
            if (++spins > 4000) sched_yield(); else fastnn_relax();
        }
    }

    static inline double fastnn_seconds(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec + 1e-9 * t.tv_nsec;
    }
    """
    ctypedef struct fastnn_barrier:
        int waiting
        int generation
    ctypedef struct pthread_t:
        pass
    void fastnn_wait(fastnn_barrier*, int) noexcept nogil
    void fastnn_open(int*) noexcept nogil
    void fastnn_await(int*) noexcept nogil
    double fastnn_seconds() noexcept nogil
    int pthread_create(pthread_t*, void*, void* (*)(void*) noexcept nogil, void*) noexcept nogil
    int pthread_join(pthread_t, void**) noexcept nogil

cdef enum:
    MAX_PIECES = 16
    MAX_THREADS = 64
    PREDICT_ROWS = 128

# What a stage's affine map is followed by. The numbers are the program's own; lowering uses the names.
cdef enum:
    OP_BATCHNORM
    OP_BATCHNORM_FROZEN
    OP_RELU
    OP_LEAKY_RELU
    OP_SIGMOID
    OP_TANH
    OP_ELU
    OP_DROPOUT

cdef enum:
    LOSS_CLASSES
    LOSS_SOFT
    LOSS_MEAN_SQUARED
    LOSS_SUM_SQUARED

cdef enum:
    RULE_SGD
    RULE_MOMENTUM
    RULE_NESTEROV
    RULE_ADAGRAD
    RULE_RMSPROP
    RULE_ADADELTA
    RULE_ADAM
    RULE_ADAMW
    RULE_RADAM

OPERATIONS = {
    "batchnorm": OP_BATCHNORM,
    "batchnorm_frozen": OP_BATCHNORM_FROZEN,
    "relu": OP_RELU,
    "leaky_relu": OP_LEAKY_RELU,
    "sigmoid": OP_SIGMOID,
    "tanh": OP_TANH,
    "elu": OP_ELU,
    "dropout": OP_DROPOUT,
}
LOSSES = {
    "softmax_cross_entropy": LOSS_CLASSES,
    "softmax_cross_entropy_soft": LOSS_SOFT,
    "mean_squared_error": LOSS_MEAN_SQUARED,
    "sum_squared_error": LOSS_SUM_SQUARED,
}
# name -> code, running averages, numbers besides the learning rate
RULES = {
    "sgd": (RULE_SGD, 0, 0),
    "momentum": (RULE_MOMENTUM, 1, 1),
    "nesterov": (RULE_NESTEROV, 1, 1),
    "adagrad": (RULE_ADAGRAD, 1, 1),
    "rmsprop": (RULE_RMSPROP, 1, 2),
    "adadelta": (RULE_ADADELTA, 2, 2),
    "adam": (RULE_ADAM, 2, 3),
    "adamw": (RULE_ADAMW, 2, 4),
    "radam": (RULE_RADAM, 2, 3),
}


cdef struct Operation:
    int code
    double a                     # slope, alpha, ratio, or momentum
    double b                     # eps
    uint64_t layer               # dropout: the layer's index
    Py_ssize_t gamma, beta       # offsets into the parameters
    Py_ssize_t running_mean, running_var  # offsets into the state
    void* out                    # (N, stride)
    void* mean                   # (width,)
    void* inv_std                # (width,)
    uint8_t* mask                # (N, stride)


cdef struct Stage:
    bint affine
    bint trained                 # the affine map's parameters are
    bint reached                 # gradients come to its operations
    bint passes                  # and go on to the stage before
    double l1, l2
    Py_ssize_t w, b              # offsets into the parameters
    Py_ssize_t width, stride     # of its output
    int pieces                   # of its output's columns
    Py_ssize_t bounds[MAX_PIECES + 1]
    int operations
    Operation* operation
    void* out                    # affine output, (N, stride)


cdef struct Rule:
    int code
    double numbers[4]


cdef struct Source:
    const char* rows             # where the examples lie
    Py_ssize_t row_bytes         # from one row to the next
    int type_num
    double scale
    const int64_t* order
    const int64_t* labels
    const void* targets
    const void* weights
    Py_ssize_t features, target_width


cdef struct Plan:
    int type_num
    int threads
    int stages
    Stage* stage                 # stage[0] is the input: no affine map
    void* params
    void* grads
    void* state
    void* averages[2]
    Rule rule
    int loss
    uint64_t seed
    void* gradient[4]            # (N, widest stride), in pairs that stages alternate between
    void* probs
    void* batch_targets
    void* batch_weights
    int64_t* batch_labels
    double* penalties            # (stages, MAX_PIECES)
    double* row_losses           # one partial sum for each tile of rows
    int64_t* row_hits
    Source source
    # a run
    const int64_t* batch_bounds
    const double* rates
    double* losses
    int64_t* hits
    Py_ssize_t first, last, done
    uint64_t model_step          # of batch ``first``
    uint64_t update_step
    double deadline
    bint diverged, stop
    int team_ready
    fastnn_barrier barrier


cdef struct Task:
    Plan* plan
    int rank


# --------------------------------------------------------------------------------------------------
# Rows in
# --------------------------------------------------------------------------------------------------


cdef inline void gather_row(const Source* source, int64_t row, real* out) noexcept nogil:
    cdef const char* start = source.rows + row * source.row_bytes
    cdef const float* f32 = <const float*>start
    cdef const double* f64 = <const double*>start
    cdef const uint8_t* u8 = <const uint8_t*>start
    cdef real scale = <real>source.scale
    cdef Py_ssize_t j
    if source.type_num == cnp.NPY_FLOAT32:
        if real is float:
            memcpy(out, f32, source.features * sizeof(float))
        else:
            for j in range(source.features):
                out[j] = f32[j]
    elif source.type_num == cnp.NPY_FLOAT64:
        for j in range(source.features):
            out[j] = <real>f64[j]
    else:
        for j in range(source.features):
            out[j] = <real>u8[j] * scale


cdef inline void gather_batch(
    Plan* plan, Py_ssize_t start, Py_ssize_t n, int rank, real* x
) noexcept nogil:
    """Rows ``order[start:start + n]``, their targets and weights, a tile of rows at a time."""
    cdef Source* source = &plan.source
    cdef Py_ssize_t width = source.target_width, stride = plan.stage[0].stride
    cdef Py_ssize_t tile, i
    cdef int64_t row
    for tile in range(tiles(n)):
        if tile % plan.threads != rank:
            continue
        for i in range(tile * TILE, tile * TILE + tile_width(tile, n)):
            row = source.order[start + i]
            gather_row(source, row, x + i * stride)
            if source.labels != NULL:
                plan.batch_labels[i] = source.labels[row]
            else:
                memcpy(
                    <real*>plan.batch_targets + i * width,
                    <const real*>source.targets + row * width,
                    width * sizeof(real),
                )
            if source.weights != NULL:
                (<real*>plan.batch_weights)[i] = (<const real*>source.weights)[row]


# --------------------------------------------------------------------------------------------------
# Forward: an affine map's columns, and the operations on them
# --------------------------------------------------------------------------------------------------


cdef inline void affine_columns(
    const real* x, Py_ssize_t x_stride, const real* w, const real* b, real* out, Py_ssize_t stride,
    Py_ssize_t n, Py_ssize_t k, Py_ssize_t m, Py_ssize_t first, Py_ssize_t width
) noexcept nogil:
    """out[:, first:first + width] = x @ w[:, first:first + width] + b."""
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(out + i * stride + first, b + first, width * sizeof(real))
    if n == 1:
        gemv(b"N", <int>width, <int>k, w + first, <int>m, x, <real>1, out + first)
    else:
        gemm(
            b"N", b"N", <int>width, <int>n, <int>k, w + first, <int>m, x, <int>x_stride, <real>1,
            out + first, <int>stride
        )


cdef inline void operate(
    Plan* plan, Operation* op, const real* x, Py_ssize_t n, Py_ssize_t m, Py_ssize_t stride,
    Py_ssize_t first, Py_ssize_t width, uint64_t step
) noexcept nogil:
    """One operation in training mode on columns ``first`` to ``first + width``."""
    cdef real* out = <real*>op.out
    cdef const real* params = <const real*>plan.params
    cdef real* state = <real*>plan.state
    cdef Py_ssize_t i, j, tile, at
    cdef uint64_t key
    if op.code == OP_BATCHNORM:
        for tile in range(tiles(width)):
            j = first + tile * TILE
            batchnorm_forward_tile(
                x + j, params + op.gamma + j, params + op.beta + j, state + op.running_mean + j,
                state + op.running_var + j, op.a, op.b, <real*>op.mean + j, <real*>op.inv_std + j,
                out + j, n, stride, tile_width(tile, width)
            )
        return
    if op.code == OP_BATCHNORM_FROZEN:
        for tile in range(tiles(width)):
            j = first + tile * TILE
            batchnorm_inference_forward_tile(
                x + j, params + op.gamma + j, params + op.beta + j, state + op.running_mean + j,
                state + op.running_var + j, op.b, out + j, n, stride, tile_width(tile, width)
            )
        return
    if op.code == OP_DROPOUT:
        key = dropout_key(plan.seed, step, op.layer)
        for i in range(n):
            at = i * stride + first
            dropout_forward_span(
                x + at, <uint32_t>(op.a * 4294967296.0), <real>(1.0 / (1.0 - op.a)), key,
                i * m + first, op.mask + at, out + at, width
            )
        return
    for i in range(n):
        activate(op, x + i * stride + first, out + i * stride + first, width)


cdef inline void activate(Operation* op, const real* x, real* out, Py_ssize_t n) noexcept nogil:
    if op.code == OP_RELU:
        relu_forward_span(x, out, n)
    elif op.code == OP_LEAKY_RELU:
        leaky_relu_forward_span(x, <real>op.a, out, n)
    elif op.code == OP_SIGMOID:
        sigmoid_forward_span(x, out, n)
    elif op.code == OP_TANH:
        tanh_forward_span(x, out, n)
    else:
        elu_forward_span(x, <real>op.a, out, n)


cdef inline real* stage_output(Stage* stage, real zero) noexcept nogil:
    """What the next stage reads."""
    if stage.operations:
        return <real*>stage.operation[stage.operations - 1].out
    return <real*>stage.out


cdef void forward_stage(
    Plan* plan, int number, Py_ssize_t n, int rank, uint64_t step, real zero
) noexcept nogil:
    cdef Stage* stage = &plan.stage[number]
    cdef Stage* before = &plan.stage[number - 1] if number else stage
    cdef real* x
    cdef Py_ssize_t first, width
    cdef int piece, k
    for piece in range(stage.pieces):
        if piece % plan.threads != rank:
            continue
        first = stage.bounds[piece]
        width = stage.bounds[piece + 1] - first
        if stage.affine:
            affine_columns(
                stage_output(before, zero), before.stride, <real*>plan.params + stage.w,
                <real*>plan.params + stage.b, <real*>stage.out, stage.stride, n, before.width,
                stage.width, first, width
            )
        x = <real*>stage.out
        for k in range(stage.operations):
            operate(
                plan, &stage.operation[k], x, n, stage.width, stage.stride, first, width, step
            )
            x = <real*>stage.operation[k].out


# --------------------------------------------------------------------------------------------------
# Loss: tiles of rows
# --------------------------------------------------------------------------------------------------


cdef inline Py_ssize_t row_argmax(const real* x, Py_ssize_t n) noexcept nogil:
    """The first largest, or the first NaN, as `numpy.argmax`."""
    cdef Py_ssize_t j, best = 0
    for j in range(n):
        if x[j] != x[j]:
            return j
        if x[j] > x[best]:
            best = j
    return best


cdef void loss_rows(Plan* plan, Py_ssize_t n, int rank, real zero) noexcept nogil:
    cdef Stage* last = &plan.stage[plan.stages - 1]
    cdef Py_ssize_t c = last.width, tile, i, at, rows, hits
    cdef real* out = stage_output(last, zero)
    cdef real* dout = <real*>plan.gradient[2 * ((plan.stages - 1) % 2)]
    cdef real* targets = <real*>plan.batch_targets
    cdef real* weights
    cdef double share = 1.0 / n, loss
    for tile in range(tiles(n)):
        if tile % plan.threads != rank:
            continue
        at = tile * TILE
        rows = tile_width(tile, n)
        weights = NULL if plan.source.weights == NULL else <real*>plan.batch_weights + at
        if plan.loss == LOSS_CLASSES:
            loss = softmax_cross_entropy_rows(
                out + at * c, plan.batch_labels + at, weights, share, <real*>plan.probs + at * c,
                dout + at * c, rows, c
            )
        elif plan.loss == LOSS_SOFT:
            loss = softmax_cross_entropy_soft_rows(
                out + at * c, targets + at * c, weights, share, <real*>plan.probs + at * c,
                dout + at * c, rows, c
            )
        elif plan.loss == LOSS_MEAN_SQUARED:
            loss = squared_error_rows(
                out + at * c, targets + at * c, weights, share, 2.0 / c, dout + at * c, rows, c
            ) / c
        else:
            loss = 0.5 * squared_error_rows(
                out + at * c, targets + at * c, weights, share, 1.0, dout + at * c, rows, c
            )
        hits = 0
        if plan.loss == LOSS_CLASSES:
            for i in range(at, at + rows):
                hits += row_argmax(out + i * c, c) == plan.batch_labels[i]
        else:
            for i in range(at, at + rows):
                hits += row_argmax(out + i * c, c) == row_argmax(targets + i * c, c)
        plan.row_losses[tile] = loss
        plan.row_hits[tile] = hits


cdef void settle_loss(Plan* plan, Py_ssize_t batch, Py_ssize_t n) noexcept nogil:
    """Add the tiles' sums, in their order; notice a loss that is not finite."""
    cdef double loss = 0
    cdef int64_t hits = 0
    cdef Py_ssize_t tile
    for tile in range(tiles(n)):
        loss += plan.row_losses[tile]
        hits += plan.row_hits[tile]
    plan.losses[batch] = loss / n
    plan.hits[batch] = hits
    if not isfinite(loss):
        plan.diverged = True


# --------------------------------------------------------------------------------------------------
# Updates
# --------------------------------------------------------------------------------------------------


cdef void update_span(
    Plan* plan, Py_ssize_t at, Py_ssize_t n, double lr, uint64_t t, real zero
) noexcept nogil:
    """The optimizer's rule on parameters ``at`` to ``at + n``; t counts from 1."""
    cdef Rule* rule = &plan.rule
    cdef double* number = rule.numbers
    cdef real* p = <real*>plan.params + at
    cdef const real* g = <const real*>plan.grads + at
    cdef real* s = <real*>plan.averages[0] + at
    cdef real* d = <real*>plan.averages[1] + at
    cdef real rate = <real>lr
    cdef real a = <real>number[0], b = <real>number[1], c = <real>number[2]
    cdef real rest_a = <real>(1.0 - number[0]), rest_b = <real>(1.0 - number[1])
    cdef double step_size, root, rho, rho_inf, power
    if rule.code == RULE_SGD:
        sgd_span(p, g, rate, n)
    elif rule.code == RULE_MOMENTUM:
        momentum_span(p, g, s, rate, a, n)
    elif rule.code == RULE_NESTEROV:
        nesterov_span(p, g, s, rate, a, n)
    elif rule.code == RULE_ADAGRAD:
        adagrad_span(p, g, s, rate, a, n)
    elif rule.code == RULE_RMSPROP:
        rmsprop_span(p, g, s, rate, a, rest_a, b, n)
    elif rule.code == RULE_ADADELTA:
        adadelta_span(p, g, s, d, rate, a, rest_a, b, n)
    else:
        step_size = lr / (1.0 - pow(number[0], <double>t))
        power = pow(number[1], <double>t)
        if rule.code == RULE_RADAM:
            rho_inf = 2.0 / (1.0 - number[1]) - 1.0
            rho = rho_inf - 2.0 * t * power / (1.0 - power)
            if rho <= 5.0:
                moments_span(p, g, s, d, <real>step_size, a, rest_a, b, rest_b, n)
                return
            step_size *= sqrt(1.0 - power) * sqrt(
                (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
            )
            root = 1.0
        else:
            root = 1.0 / sqrt(1.0 - power)
        adam_span(
            p, g, s, d, <real>(1.0 - lr * number[3] if rule.code == RULE_ADAMW else 1.0),
            <real>step_size, a, rest_a, b, rest_b, <real>root, c, n
        )


# --------------------------------------------------------------------------------------------------
# Backward
# --------------------------------------------------------------------------------------------------


cdef inline void operate_backward(
    Plan* plan, Operation* op, const real* x, const real* dout, real* dx, Py_ssize_t n,
    Py_ssize_t stride, Py_ssize_t first, Py_ssize_t width
) noexcept nogil:
    cdef const real* params = <const real*>plan.params
    cdef real* grads = <real*>plan.grads
    cdef real* state = <real*>plan.state
    cdef const real* out = <const real*>op.out
    cdef Py_ssize_t i, j, tile, at
    if op.code == OP_BATCHNORM:
        for tile in range(tiles(width)):
            j = first + tile * TILE
            batchnorm_backward_tile(
                dout + j, x + j, params + op.gamma + j, <real*>op.mean + j, <real*>op.inv_std + j,
                dx + j, grads + op.gamma + j, grads + op.beta + j, n, stride,
                tile_width(tile, width)
            )
        return
    if op.code == OP_BATCHNORM_FROZEN:
        for tile in range(tiles(width)):
            j = first + tile * TILE
            batchnorm_inference_backward_tile(
                dout + j, params + op.gamma + j, state + op.running_var + j, op.b, dx + j, n,
                stride, tile_width(tile, width)
            )
        return
    for i in range(n):
        at = i * stride + first
        if op.code == OP_DROPOUT:
            dropout_backward_span(
                dout + at, op.mask + at, <real>(1.0 / (1.0 - op.a)), dx + at, width
            )
        elif op.code == OP_RELU:
            relu_backward_span(dout + at, out + at, dx + at, width)
        elif op.code == OP_LEAKY_RELU:
            leaky_relu_backward_span(dout + at, x + at, <real>op.a, dx + at, width)
        elif op.code == OP_SIGMOID:
            sigmoid_backward_span(dout + at, out + at, dx + at, width)
        elif op.code == OP_TANH:
            tanh_backward_span(dout + at, out + at, dx + at, width)
        else:
            elu_backward_span(dout + at, out + at, <real>op.a, dx + at, width)


cdef inline real* gradient_buffer(Plan* plan, int number, int operations, real zero) noexcept nogil:
    """Where the gradient of stage ``number`` is, after so many of its operations went backward.

    A stage has a pair of buffers and swaps them at each operation; its neighbours have the other
    pair, since they read this one while they write theirs.
    """
    return <real*>plan.gradient[2 * (number % 2) + operations % 2]


cdef void backward_operations(
    Plan* plan, int number, Py_ssize_t n, Py_ssize_t first, Py_ssize_t width, double lr, uint64_t t,
    real zero
) noexcept nogil:
    """Through a stage's operations, last to first, on some columns; then the bias's gradient."""
    cdef Stage* stage = &plan.stage[number]
    cdef Operation* op
    cdef real* dout = gradient_buffer(plan, number, 0, zero)
    cdef real* dx
    cdef const real* x
    cdef double sums[TILE]
    cdef real* db
    cdef Py_ssize_t tile, j
    cdef int k, done, i
    for done in range(stage.operations):
        k = stage.operations - 1 - done
        op = &stage.operation[k]
        x = <real*>stage.operation[k - 1].out if k else <real*>stage.out
        dx = gradient_buffer(plan, number, done + 1, zero)
        operate_backward(plan, op, x, dout, dx, n, stage.stride, first, width)
        if op.code == OP_BATCHNORM:
            update_span(plan, op.gamma + first, width, lr, t, zero)
            update_span(plan, op.beta + first, width, lr, t, zero)
        dout = dx
    if stage.affine and stage.trained:
        db = <real*>plan.grads + stage.b
        for tile in range(tiles(width)):
            j = first + tile * TILE
            tile_sums(dout + j, n, stage.stride, tile_width(tile, width), sums)
            for i in range(tile_width(tile, width)):
                db[j + i] = <real>sums[i]
        update_span(plan, stage.b + first, width, lr, t, zero)


cdef void penalize(
    Plan* plan, Stage* stage, Py_ssize_t at, Py_ssize_t n, double* value, real zero
) noexcept nogil:
    """Penalty of weights ``at`` to ``at + n``; its gradient is added, before the update."""
    cdef const real* w = <const real*>plan.params + at
    cdef real* dw = <real*>plan.grads + at
    value[0] = 0
    if stage.l1 > 0:
        value[0] += stage.l1 * sum_absolutes(w, n)
        if stage.trained:
            l1_gradient_span(w, <real>stage.l1, dw, n)
    if stage.l2 > 0:
        value[0] += 0.5 * stage.l2 * sum_squares(w, n)
        if stage.trained:
            l2_gradient_span(w, <real>stage.l2, dw, n)


cdef void backward_stage(
    Plan* plan, int number, Py_ssize_t n, int rank, double lr, uint64_t t, real zero
) noexcept nogil:
    """From a stage's affine output to the stage before: rows of the weights, columns of x."""
    cdef Stage* stage = &plan.stage[number]
    cdef Stage* before = &plan.stage[number - 1]
    cdef real* dout = gradient_buffer(plan, number, stage.operations, zero)
    cdef real* dx = gradient_buffer(plan, number - 1, 0, zero)
    cdef const real* x = stage_output(before, zero)
    cdef Py_ssize_t m = stage.width, first, width, at
    cdef int piece
    for piece in range(before.pieces):
        if piece % plan.threads != rank:
            continue
        first = before.bounds[piece]
        width = before.bounds[piece + 1] - first
        at = stage.w + first * m
        if stage.passes:
            gemm(
                b"T", b"N", <int>width, <int>n, <int>m, <real*>plan.params + at, <int>m, dout,
                <int>stage.stride, <real>0, dx + first, <int>before.stride
            )
        if stage.trained:
            gemm(
                b"N", b"T", <int>m, <int>width, <int>n, dout, <int>stage.stride, x + first,
                <int>before.stride, <real>0, <real*>plan.grads + at, <int>m
            )
        penalize(
            plan, stage, at, width * m, &plan.penalties[number * MAX_PIECES + piece], zero
        )
        if stage.trained:
            update_span(plan, at, width * m, lr, t, zero)
        if before.reached:
            backward_operations(plan, number - 1, n, first, width, lr, t, zero)


# --------------------------------------------------------------------------------------------------
# Steps
# --------------------------------------------------------------------------------------------------


cdef void settle_penalty(Plan* plan, Py_ssize_t batch) noexcept nogil:
    cdef double penalty = 0
    cdef int number, piece
    for number in range(1, plan.stages):
        for piece in range(plan.stage[number - 1].pieces):
            penalty += plan.penalties[number * MAX_PIECES + piece]
    plan.losses[batch] += penalty
    if not isfinite(penalty):
        plan.diverged = True


cdef void train_steps(Plan* plan, int rank, real zero) noexcept nogil:
    """One thread's share of the steps from ``first`` on, until ``last`` or the deadline."""
    cdef Py_ssize_t batch = plan.first, start, n
    cdef uint64_t step = plan.model_step, t = plan.update_step
    cdef int number, piece, last = plan.stages - 1
    cdef double lr
    cdef Stage* top = &plan.stage[last]
    while True:
        start = plan.batch_bounds[batch]
        n = plan.batch_bounds[batch + 1] - start
        lr = plan.rates[batch]
        t += 1
        gather_batch(plan, start, n, rank, <real*>plan.stage[0].out)
        fastnn_wait(&plan.barrier, plan.threads)
        for number in range(plan.stages):
            if number or plan.stage[0].operations:
                forward_stage(plan, number, n, rank, step, zero)
                fastnn_wait(&plan.barrier, plan.threads)
        loss_rows(plan, n, rank, zero)
        fastnn_wait(&plan.barrier, plan.threads)
        if rank == 0:
            settle_loss(plan, batch, n)
        if top.reached:
            for piece in range(top.pieces):
                if piece % plan.threads != rank:
                    continue
                backward_operations(
                    plan, last, n, top.bounds[piece], top.bounds[piece + 1] - top.bounds[piece],
                    lr, t, zero
                )
        fastnn_wait(&plan.barrier, plan.threads)
        for number in range(last, 0, -1):
            backward_stage(plan, number, n, rank, lr, t, zero)
            if rank == 0 and number == 1:
                # The sums of the other threads' pieces are complete behind the barrier only; what
                # stops the run must be written before it.
                plan.done = batch + 1
                plan.stop = (
                    plan.diverged or batch + 1 == plan.last or fastnn_seconds() > plan.deadline
                )
            fastnn_wait(&plan.barrier, plan.threads)
        if rank == 0:
            settle_penalty(plan, batch)
        if plan.stop:
            return
        batch += 1
        step += 1


cdef void* train_thread(void* argument) noexcept nogil:
    cdef Task* task = <Task*>argument
    if task.plan.type_num == cnp.NPY_FLOAT32:
        train_steps(task.plan, task.rank, <float>0)
    else:
        train_steps(task.plan, task.rank, <double>0)
    return NULL


# --------------------------------------------------------------------------------------------------
# Inference: every thread takes rows through the whole network
# --------------------------------------------------------------------------------------------------


cdef struct Reading:
    Plan* plan
    int threads
    int rank
    Py_ssize_t rows
    void* out
    char* scratch                # two buffers for each thread
    Py_ssize_t buffer_bytes


cdef void infer_rows(Reading* reading, Py_ssize_t start, Py_ssize_t n, real zero) noexcept nogil:
    cdef Plan* plan = reading.plan
    cdef Source* source = &plan.source
    cdef char* scratch = reading.scratch + 2 * reading.rank * reading.buffer_bytes
    cdef real* result = <real*>reading.out + start * plan.stage[plan.stages - 1].width
    cdef const real* params = <const real*>plan.params
    cdef const real* state = <const real*>plan.state
    cdef const real* x
    cdef real* out
    cdef Stage* stage
    cdef Operation* op
    cdef Py_ssize_t i, tile, j, width = source.features
    cdef int number, k, turn = 0, left = plan.stages
    for number in range(plan.stages):
        left += visible_operations(&plan.stage[number])
    left -= 1  # the input has no affine map
    if source.type_num == plan.type_num and source.row_bytes == width * <Py_ssize_t>sizeof(real):
        x = <const real*>(source.rows + start * source.row_bytes)
    else:
        out = <real*>scratch
        for i in range(n):
            gather_row(source, start + i, out + i * width)
        x = out
        turn = 1
    for number in range(plan.stages):
        stage = &plan.stage[number]
        if stage.affine:
            left -= 1
            out = <real*>(scratch + turn * reading.buffer_bytes) if left else result
            affine_columns(
                x, width, params + stage.w, params + stage.b, out, stage.width, n, width,
                stage.width, 0, stage.width
            )
            x = out
            width = stage.width
            turn = 1 - turn
        for k in range(stage.operations):
            op = &stage.operation[k]
            if op.code == OP_DROPOUT:
                continue
            left -= 1
            out = <real*>(scratch + turn * reading.buffer_bytes) if left else result
            if op.code == OP_BATCHNORM or op.code == OP_BATCHNORM_FROZEN:
                for tile in range(tiles(width)):
                    j = tile * TILE
                    batchnorm_inference_forward_tile(
                        x + j, params + op.gamma + j, params + op.beta + j,
                        state + op.running_mean + j, state + op.running_var + j, op.b, out + j, n,
                        width, tile_width(tile, width)
                    )
            else:
                activate(op, x, out, n * width)
            x = out
            turn = 1 - turn


cdef inline int visible_operations(Stage* stage) noexcept nogil:
    """Those that do something in inference: all but dropout."""
    cdef int k, count = 0
    for k in range(stage.operations):
        count += stage.operation[k].code != OP_DROPOUT
    return count


cdef void* infer_thread(void* argument) noexcept nogil:
    cdef Reading* reading = <Reading*>argument
    cdef Py_ssize_t chunks = (reading.rows + PREDICT_ROWS - 1) // PREDICT_ROWS
    cdef Py_ssize_t chunk, start, n
    for chunk in range(chunks):
        if chunk % reading.threads != reading.rank:
            continue
        start = chunk * PREDICT_ROWS
        n = min(<Py_ssize_t>PREDICT_ROWS, reading.rows - start)
        if reading.plan.type_num == cnp.NPY_FLOAT32:
            infer_rows(reading, start, n, <float>0)
        else:
            infer_rows(reading, start, n, <double>0)
    return NULL


# --------------------------------------------------------------------------------------------------
# The program as Python sees it
# --------------------------------------------------------------------------------------------------


cdef void* flat_memory(object a, str name, int type_num, Py_ssize_t size) except? NULL:
    """The memory of a flat, writable array of at least ``size`` elements."""
    if (
        not cnp.PyArray_Check(a)
        or cnp.PyArray_TYPE(<cnp.ndarray>a) != type_num
        or not cnp.PyArray_CHKFLAGS(<cnp.ndarray>a, cnp.NPY_ARRAY_CARRAY)
        or not cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>a)
        or cnp.PyArray_SIZE(<cnp.ndarray>a) < size
    ):
        raise ValueError(
            f"{name} must be a writable, contiguous array of the program's dtype with at least "
            f"{size} elements"
        )
    return cnp.PyArray_DATA(<cnp.ndarray>a)


cdef inline Py_ssize_t lines(Py_ssize_t nbytes) noexcept:
    """Rounded up to whole cache lines."""
    return (nbytes + 63) // 64 * 64


cdef class Program:
    """A lowered model, ready to run.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    stages : list of dict
        What `fastnn.lowering` describes; the first is the input.
    params, state : ndarray
        The model's flat arrays.
    seed : int
        Of the dropout masks.
    training : dict, optional
        For a program that trains: "rows" (of the largest batch), "grads", "averages" (at most two
        flat arrays), "rule" (name and numbers), "loss" (name).
    """

    cdef Plan plan
    cdef object held
    cdef object dtype
    cdef Py_ssize_t itemsize, capacity, widest
    cdef object _examples        # held while run reads them
    cdef Py_ssize_t _rows

    def __cinit__(self):
        memset(&self.plan, 0, sizeof(Plan))

    def __init__(self, dtype, stages, params, state, seed, training=None):
        cdef Plan* plan = &self.plan
        cdef Py_ssize_t nbytes
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype}")
        self.itemsize = self.dtype.itemsize
        plan.type_num = cnp.NPY_FLOAT32 if self.itemsize == 4 else cnp.NPY_FLOAT64
        plan.seed = seed
        plan.threads = 1
        self.held = [params, state]
        plan.params = flat_memory(params, "params", plan.type_num, 0)
        plan.state = flat_memory(state, "state", plan.type_num, 0)
        self._describe(stages, params.size, state.size)
        if training is not None:
            self._prepare(training, params.size)
            nbytes = self._lay_out(NULL)
            arena = np.zeros(nbytes + 64, dtype=np.uint8)
            self.held.append(arena)
            start = -arena.ctypes.data % 64
            self._lay_out(<char*>cnp.PyArray_DATA(<cnp.ndarray>arena) + <Py_ssize_t>start)

    def __dealloc__(self):
        cdef int number
        if self.plan.stage != NULL:
            for number in range(self.plan.stages):
                PyMem_Free(self.plan.stage[number].operation)
            PyMem_Free(self.plan.stage)

    cdef int _describe(self, list stages, Py_ssize_t params, Py_ssize_t state) except -1:
        """Copy the description into structs, and check every offset against the arrays."""
        cdef Plan* plan = &self.plan
        cdef Stage* stage
        cdef Operation* op
        cdef int number, k
        plan.stage = <Stage*>PyMem_Calloc(len(stages), sizeof(Stage))
        if plan.stage == NULL:
            raise MemoryError
        plan.stages = len(stages)
        for number, described in enumerate(stages):
            stage = &plan.stage[number]
            bounds = described["bounds"]
            stage.width = described["width"]
            stage.stride = described["stride"]
            stage.pieces = len(bounds) - 1
            if not 1 <= stage.pieces <= MAX_PIECES or list(bounds) != sorted(set(bounds)):
                raise ValueError(f"bounds must rise, in 1 to {MAX_PIECES} pieces; got {bounds}")
            if bounds[0] != 0 or bounds[-1] != stage.width or stage.stride < stage.width:
                raise ValueError(f"bounds must cover the width {stage.width}; got {bounds}")
            if stage.stride > INT_MAX:
                raise ValueError(f"BLAS counts to {INT_MAX}; got width {stage.width}")
            for k in range(stage.pieces + 1):
                stage.bounds[k] = bounds[k]
            self.widest = max(self.widest, stage.stride)
            affine = described["affine"]
            stage.affine = affine is not None
            if stage.affine != (number > 0):
                raise ValueError("every stage but the first has an affine map")
            if stage.affine:
                stage.w = within(affine["w"], plan.stage[number - 1].width * stage.width, params)
                stage.b = within(affine["b"], stage.width, params)
                stage.trained = affine["trained"]
                stage.l1 = affine["l1"]
                stage.l2 = affine["l2"]
            stage.reached = described["reached"]
            stage.passes = described["passes"]
            operations = described["operations"]
            stage.operation = <Operation*>PyMem_Calloc(len(operations) + 1, sizeof(Operation))
            if stage.operation == NULL:
                raise MemoryError
            stage.operations = len(operations)
            for k, operation in enumerate(operations):
                op = &stage.operation[k]
                op.code = OPERATIONS[operation["code"]]
                op.a = operation.get("a", 0.0)
                op.b = operation.get("b", 0.0)
                op.layer = operation.get("layer", 0)
                if op.code == OP_BATCHNORM or op.code == OP_BATCHNORM_FROZEN:
                    op.gamma = within(operation["gamma"], stage.width, params)
                    op.beta = within(operation["beta"], stage.width, params)
                    op.running_mean = within(operation["running_mean"], stage.width, state)
                    op.running_var = within(operation["running_var"], stage.width, state)
        return 0

    cdef int _prepare(self, dict training, Py_ssize_t params) except -1:
        cdef Plan* plan = &self.plan
        cdef int k
        self.capacity = training["rows"]
        if not 1 <= self.capacity <= INT_MAX:
            raise ValueError(f"rows must lie in 1..{INT_MAX}; got {self.capacity}")
        if plan.stages < 2:
            raise ValueError("a program that trains has an affine map")
        plan.grads = flat_memory(training["grads"], "grads", plan.type_num, params)
        averages = training["averages"]
        rule, numbers = training["rule"]
        plan.rule.code, wanted_averages, wanted_numbers = RULES[rule]
        if len(averages) != wanted_averages or len(numbers) != wanted_numbers:
            raise ValueError(
                f"rule {rule!r} takes {wanted_averages} averages and {wanted_numbers} numbers; "
                f"got {len(averages)} and {len(numbers)}"
            )
        for k, average in enumerate(averages):
            plan.averages[k] = flat_memory(average, "averages", plan.type_num, params)
        for k, number in enumerate(numbers):
            plan.rule.numbers[k] = number
        plan.loss = LOSSES[training["loss"]]
        self.held += [training["grads"], *averages]
        return 0

    cdef Py_ssize_t _lay_out(self, char* arena) noexcept:
        """Give every buffer its place; with ``arena`` NULL, only count the bytes."""
        cdef Plan* plan = &self.plan
        cdef Py_ssize_t used = 0, n = self.capacity, block
        cdef Stage* stage
        cdef Operation* op
        cdef Stage* last = &plan.stage[plan.stages - 1]
        cdef int number, k
        for number in range(plan.stages):
            stage = &plan.stage[number]
            block = lines(n * stage.stride * self.itemsize)
            stage.out = arena + used
            used += block
            for k in range(stage.operations):
                op = &stage.operation[k]
                op.out = arena + used
                used += block
                op.mean = arena + used
                used += lines(stage.stride * self.itemsize)
                op.inv_std = arena + used
                used += lines(stage.stride * self.itemsize)
                op.mask = <uint8_t*>(arena + used)
                used += lines(n * stage.stride)
        for k in range(4):
            plan.gradient[k] = arena + used
            used += lines(n * self.widest * self.itemsize)
        block = lines(n * last.width * self.itemsize)
        plan.probs = arena + used
        used += block
        plan.batch_targets = arena + used
        used += block
        plan.batch_weights = arena + used
        used += lines(n * self.itemsize)
        plan.batch_labels = <int64_t*>(arena + used)
        used += lines(n * 8)
        plan.row_losses = <double*>(arena + used)
        used += lines(tiles(n) * 8)
        plan.row_hits = <int64_t*>(arena + used)
        used += lines(tiles(n) * 8)
        plan.penalties = <double*>(arena + used)
        used += lines(plan.stages * MAX_PIECES * 8)
        return used

    cdef int _read_from(self, Source* source, object x, double scale) except -1:
        """Take rows of any stride whose elements lie next to each other."""
        cdef int type_num = cnp.PyArray_TYPE(<cnp.ndarray>x) if cnp.PyArray_Check(x) else -1
        if (
            type_num not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_UINT8)
            or cnp.PyArray_NDIM(<cnp.ndarray>x) != 2
            or cnp.PyArray_DIM(<cnp.ndarray>x, 1) != self.plan.stage[0].width
            or (
                self.plan.stage[0].width > 1
                and cnp.PyArray_STRIDE(<cnp.ndarray>x, 1) != cnp.PyArray_ITEMSIZE(<cnp.ndarray>x)
            )
            or not cnp.PyArray_ISALIGNED(<cnp.ndarray>x)
            or not cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>x)
        ):
            raise ValueError(
                f"x must hold rows of {self.plan.stage[0].width} float32, float64 or uint8 values"
            )
        source.rows = <const char*>cnp.PyArray_DATA(<cnp.ndarray>x)
        source.row_bytes = cnp.PyArray_STRIDE(<cnp.ndarray>x, 0)
        source.type_num = type_num
        source.scale = scale
        source.features = self.plan.stage[0].width
        return 0

    def predict(self, x, out, int threads=1, double scale=1.0):
        """Write the outputs for the rows of x, in inference mode.

        Parameters
        ----------
        x : ndarray, (N, features)
            float32, float64 or uint8, the elements of a row next to each other.
        out : ndarray, (N, n_out)
            C-contiguous, of the program's dtype.
        threads : int
        scale : float
            Factor on uint8 values.
        """
        cdef Reading readings[MAX_THREADS]
        cdef pthread_t handles[MAX_THREADS]
        cdef Py_ssize_t n, width = self.plan.stage[self.plan.stages - 1].width
        cdef Plan plan
        cdef int rank, started = 0
        plan = self.plan  # a copy: several threads may predict with one model
        self._read_from(&plan.source, x, scale)
        n = cnp.PyArray_DIM(<cnp.ndarray>x, 0)
        result = flat_memory(out, "out", plan.type_num, n * width)
        if n == 0:
            return
        threads = <int>max(1, min(threads, min(MAX_THREADS, n // PREDICT_ROWS)))
        cdef Py_ssize_t rows = min(n, <Py_ssize_t>PREDICT_ROWS)
        cdef Py_ssize_t block = lines(rows * self.widest * self.itemsize)
        scratch = np.empty(2 * threads * block + 64, dtype=np.uint8)
        cdef char* memory = <char*>cnp.PyArray_DATA(<cnp.ndarray>scratch)
        memory += (64 - <size_t>memory % 64) % 64
        cdef void* result_ = result
        with nogil:
            for rank in range(threads):
                readings[rank].plan = &plan
                readings[rank].threads = threads
                readings[rank].rank = rank
                readings[rank].rows = n
                readings[rank].out = result_
                readings[rank].scratch = memory
                readings[rank].buffer_bytes = block
            for rank in range(1, threads):
                if pthread_create(&handles[rank], NULL, infer_thread, &readings[rank]):
                    break
                started = rank
            infer_thread(&readings[0])
            for rank in range(1, threads):
                if rank <= started:
                    pthread_join(handles[rank], NULL)
                else:
                    infer_thread(&readings[rank])

    def set_examples(self, x, targets, weights, double scale=1.0):
        """The examples that `run` learns from; they are read, not copied.

        Parameters
        ----------
        x : ndarray, (N, features)
            As in `predict`.
        targets : ndarray
            (N,) int64 labels, or (N, n_out) numbers of the program's dtype.
        weights : ndarray, (N,), or None
        scale : float
            Factor on uint8 values.
        """
        cdef Source* source = &self.plan.source
        cdef Py_ssize_t n, width = self.plan.stage[self.plan.stages - 1].width
        self._examples = None  # until all of them are known to fit
        self._read_from(source, x, scale)
        n = cnp.PyArray_DIM(<cnp.ndarray>x, 0)
        source.labels = NULL
        source.targets = NULL
        source.weights = NULL
        source.target_width = width
        if self.plan.loss == LOSS_CLASSES:
            source.labels = <const int64_t*>readable(targets, "targets", cnp.NPY_INT64, n)
            if targets.min() < 0 or targets.max() >= width:
                raise ValueError(f"targets must be labels 0..{width - 1}")
        else:
            source.targets = readable(targets, "targets", self.plan.type_num, n * width)
        if weights is not None:
            source.weights = readable(weights, "weights", self.plan.type_num, n)
        self._examples = (x, targets, weights)
        self._rows = n

    def run(
        self, order, bounds, rates, losses, hits, Py_ssize_t first, Py_ssize_t last,
        model_step, update_step, int threads, double seconds
    ):
        """Run batches ``first`` to ``last``, or until the time is up; return the number of the next.

        Parameters
        ----------
        order : ndarray, (N,), int64
            Row numbers in the order of this epoch.
        bounds : ndarray, (batches + 1,), int64
            Where in the order each batch begins, and the last ends.
        rates : ndarray, (batches,), float64
            Learning rate of each step.
        losses : ndarray, (batches,), float64
            Written: the loss of each step, with the penalty.
        hits : ndarray, (batches,), int64
            Written: rows of each batch whose class was right.
        first, last : int
        model_step, update_step : int
            Steps and updates done before batch ``first``.
        threads : int
            What the result does not depend on.
        seconds : float
            No step is begun later than this; at least one is done.

        Returns
        -------
        int
            A loss that is not finite also ends the run.
        """
        cdef Plan* plan = &self.plan
        cdef Task tasks[MAX_THREADS]
        cdef pthread_t handles[MAX_THREADS]
        cdef Py_ssize_t batches, k
        cdef int rank, started = 1, wanted = max(1, min(threads, MAX_THREADS))
        plan.source.order = <const int64_t*>readable(order, "order", cnp.NPY_INT64, -1)
        plan.batch_bounds = <const int64_t*>readable(bounds, "bounds", cnp.NPY_INT64, -1)
        batches = bounds.size - 1
        plan.rates = <const double*>readable(rates, "rates", cnp.NPY_FLOAT64, batches)
        plan.losses = <double*>flat_memory(losses, "losses", cnp.NPY_FLOAT64, batches)
        plan.hits = <int64_t*>flat_memory(hits, "hits", cnp.NPY_INT64, batches)
        if self._examples is None:
            raise ValueError("run needs set_examples before it")
        if not 0 <= first < last <= batches:
            raise ValueError(f"first and last must lie in 0..{batches}; got {first}, {last}")
        if bounds[0] < 0 or bounds[batches] > order.size:
            raise ValueError("bounds must lie within the order")
        for k in range(batches):
            if not 1 <= plan.batch_bounds[k + 1] - plan.batch_bounds[k] <= self.capacity:
                raise ValueError(f"batches must have 1 to {self.capacity} rows")
        if order.size and (order.min() < 0 or order.max() >= self._rows):
            raise ValueError("order must hold numbers of rows")
        plan.first, plan.last, plan.done = first, last, first
        plan.model_step, plan.update_step = model_step, update_step
        plan.diverged = plan.stop = False
        plan.barrier.waiting = plan.barrier.generation = 0
        with nogil:
            plan.deadline = fastnn_seconds() + seconds
            plan.threads = wanted
            for rank in range(wanted):
                tasks[rank].plan = plan
                tasks[rank].rank = rank
            started = start_team(plan, tasks, handles, wanted)
            train_thread(&tasks[0])
            for rank in range(1, started):
                pthread_join(handles[rank], NULL)
        return plan.done


cdef int start_team(Plan* plan, Task* tasks, pthread_t* handles, int wanted) noexcept nogil:
    """Start the other threads; where the system refuses one, go on with fewer.

    Those that were started wait until their number is known.
    """
    cdef int rank
    plan.team_ready = 0
    for rank in range(1, wanted):
        if pthread_create(&handles[rank], NULL, waiting_thread, &tasks[rank]):
            plan.threads = rank
            fastnn_open(&plan.team_ready)
            return rank
    fastnn_open(&plan.team_ready)
    return wanted


cdef void* waiting_thread(void* argument) noexcept nogil:
    fastnn_await(&(<Task*>argument).plan.team_ready)
    return train_thread(argument)


cdef Py_ssize_t within(Py_ssize_t offset, Py_ssize_t size, Py_ssize_t whole) except -1:
    if offset < 0 or size > whole or offset > whole - size:
        raise ValueError(f"offset {offset} and size {size} leave an array of {whole}")
    return offset


cdef const void* readable(object a, str name, int type_num, Py_ssize_t size) except? NULL:
    """The memory of a contiguous array of exactly ``size`` elements; -1 takes any size."""
    if (
        not cnp.PyArray_Check(a)
        or cnp.PyArray_TYPE(<cnp.ndarray>a) != type_num
        or not cnp.PyArray_CHKFLAGS(<cnp.ndarray>a, cnp.NPY_ARRAY_CARRAY_RO)
        or not cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>a)
        or (size >= 0 and cnp.PyArray_SIZE(<cnp.ndarray>a) != size)
    ):
        raise ValueError(f"{name} must be a contiguous array of the right dtype and {size} elements")
    return cnp.PyArray_DATA(<cnp.ndarray>a)
