# What a program is: its threads' meeting points, and the structs that lowering fills in.
# Included by program.pyx.

cdef extern from *:
    """
    #include <pthread.h>
    #include <sched.h>
    #include <time.h>

    /* On a cache line of its own: waiting threads read it all the time. */
    typedef struct {
        char before[64];
        int waiting;
        int generation;
        char behind[64];
    } fastnn_barrier;

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

    static inline void fastnn_prefetch(const char *start, Py_ssize_t bytes) {
        Py_ssize_t i;
        for (i = 0; i < bytes; i += 64) __builtin_prefetch(start + i, 0, 2);
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
    void fastnn_prefetch(const char*, Py_ssize_t) noexcept nogil
    void fastnn_open(int*) noexcept nogil
    void fastnn_await(int*) noexcept nogil
    double fastnn_seconds() noexcept nogil
    int pthread_create(pthread_t*, void*, void* (*)(void*) noexcept nogil, void*) noexcept nogil
    int pthread_join(pthread_t, void**) noexcept nogil

cdef enum:
    MAX_PIECES = 16
    MAX_THREADS = 64
    PREDICT_ROWS = 128
    GRADIENT_BYTES = 1 << 19
    MOST_WINNERS = 256           # a maxout's winner is kept in a byte

# What a stage's affine map, or maxout, is followed by. The numbers are the program's own; lowering uses the names.
cdef enum:
    OP_BATCHNORM
    OP_BATCHNORM_FROZEN
    OP_RELU
    OP_LEAKY_RELU
    OP_SIGMOID
    OP_TANH
    OP_ELU
    OP_SOFTPLUS
    OP_GELU
    OP_SILU
    OP_DROPOUT
    OP_GAUSSIAN_NOISE
    OP_SOFTMAX
    OP_PRELU

cdef enum:
    LOSS_CLASSES
    LOSS_SOFT
    LOSS_MEAN_SQUARED
    LOSS_SUM_SQUARED
    LOSS_CROSS_ENTROPY
    LOSS_CROSS_ENTROPY_SOFT
    LOSS_BINARY
    LOSS_ABSOLUTE
    LOSS_HUBER

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
    RULE_COURSE_MOMENTUM
    RULE_COURSE_NESTEROV
    RULE_COURSE_ADAM

OPERATIONS = {
    "batchnorm": OP_BATCHNORM,
    "batchnorm_frozen": OP_BATCHNORM_FROZEN,
    "relu": OP_RELU,
    "leaky_relu": OP_LEAKY_RELU,
    "sigmoid": OP_SIGMOID,
    "tanh": OP_TANH,
    "elu": OP_ELU,
    "softplus": OP_SOFTPLUS,
    "gelu": OP_GELU,
    "silu": OP_SILU,
    "dropout": OP_DROPOUT,
    "gaussian_noise": OP_GAUSSIAN_NOISE,
    "softmax": OP_SOFTMAX,
    "prelu": OP_PRELU,
}
# name -> code, numbers
LOSSES = {
    "softmax_cross_entropy": (LOSS_CLASSES, 0),
    "softmax_cross_entropy_soft": (LOSS_SOFT, 0),
    "mean_squared_error": (LOSS_MEAN_SQUARED, 0),
    "sum_squared_error": (LOSS_SUM_SQUARED, 0),
    "cross_entropy": (LOSS_CROSS_ENTROPY, 1),
    "cross_entropy_soft": (LOSS_CROSS_ENTROPY_SOFT, 1),
    "binary_cross_entropy": (LOSS_BINARY, 0),
    "mean_absolute_error": (LOSS_ABSOLUTE, 0),
    "huber": (LOSS_HUBER, 1),
}
# What the way back needs, so that nothing may be written over it: operations' inputs, and outputs.
WANT_INPUT = {OP_BATCHNORM, OP_BATCHNORM_FROZEN, OP_LEAKY_RELU, OP_GELU, OP_SILU, OP_PRELU}
WANT_OUTPUT = {OP_RELU, OP_SIGMOID, OP_TANH, OP_ELU, OP_SOFTPLUS, OP_SOFTMAX}
# What needs a row from its first column to its last: not for steps that are shared by columns.
WANT_ROWS = {OP_SOFTMAX}
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
    # Those of `fastnn.book.optimizers`: the rate is in the velocity, and eps outside the correction.
    "course_momentum": (RULE_COURSE_MOMENTUM, 1, 1),
    "course_nesterov": (RULE_COURSE_NESTEROV, 1, 1),
    "course_adam": (RULE_COURSE_ADAM, 2, 3),
}


cdef struct Operation:
    int code
    double a                     # slope, alpha, ratio, standard deviation, or momentum
    double b                     # eps, or the scale of what dropout keeps
    double expected              # dropout: factor on its input in inference
    uint64_t layer               # dropout and noise: the layer's index
    double rate                  # factor on the learning rate
    bint trained                 # prelu: its slopes are
    Py_ssize_t gamma, beta       # offsets into the parameters; gamma: also prelu's slopes
    Py_ssize_t running_mean, running_var  # offsets into the state
    bint in_place                # its output takes the place of its input
    void* out                    # (N, stride)
    void* mean                   # batchnorm: (row pieces, stride), a copy for each
    void* inv_std                # the same
    void* slopes                 # prelu: the slopes' gradients, in the same shape
    uint8_t* mask                # dropout: (N, stride)


cdef struct Stage:
    bint affine
    int maxout                   # or the largest of so many pieces of the stage before; else 0
    bint trained                 # the affine map's parameters are
    bint reached                 # gradients come to its operations
    bint passes                  # and go on to the stage before
    double rate                  # factor on the learning rate
    double l1, l2
    double max_norm              # of a column of its weights; 0: any
    double* norms                # (slices, width): squares of the columns, summed over a slice
    Py_ssize_t w, b              # offsets into the parameters
    Py_ssize_t width, stride     # of its output
    int columns                  # pieces of its output's columns
    Py_ssize_t column[MAX_PIECES + 1]
    int slices                   # pieces of its weights' rows
    Py_ssize_t slice[MAX_PIECES + 1]
    int operations
    Operation* operation
    void* out                    # affine output, (N, stride)
    void* gradient               # of its output and, after the way back, of the affine output
    uint8_t* winners             # maxout: (N, stride)


cdef struct Rule:
    int code
    double numbers[4]


# What an update needs to know besides its gradient.
cdef struct Update:
    double lr
    uint64_t t                   # counts from 1
    bint measure                 # not yet: only add up the gradient's squares
    double factor                # on the gradient; 1 where their norm is not bounded


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


cdef struct Block:
    Py_ssize_t row, rows         # of a batch
    Py_ssize_t first, width      # columns of a stage's output
    Py_ssize_t span              # elements of a row that elementwise loops run over
    int part                     # whose sums over rows are its own


cdef struct Plan:
    int type_num
    int threads
    bint by_columns              # how a batch is shared among threads; see program.pyx
    int row_pieces
    int stages
    Stage* stage                 # stage[0] is the input: no affine map, no maxout
    void* params
    void* grads
    void* state
    void* averages[2]
    Rule rule
    int loss
    double loss_number           # guard or delta
    uint64_t seed
    void* probs
    void* batch_targets
    void* batch_weights
    int64_t* batch_labels
    double* moments[2]           # (row pieces, 2, widest), taken in turns
    Py_ssize_t widest
    double* penalties            # (stages, MAX_PIECES)
    double clip_value, clip_norm  # bounds on gradients; 0: none
    double* squares              # (stages, 2, MAX_PIECES): of the gradients of slices and of columns
    bint bounds_weights          # a stage has a max_norm
    bint reviews                 # the loss of a batch once more, after its update
    double guard                 # of its logarithms
    void* review_scratch         # for each piece of rows, two buffers and the outputs
    Py_ssize_t review_rows       # of the largest piece
    double* review_losses        # one sum for each piece of rows
    double* review_penalties     # (stages, MAX_PIECES)
    double* piece_losses         # one sum for each piece of rows
    int64_t* piece_hits
    Source source
    # a run
    const int64_t* batch_bounds
    const double* rates
    double* losses
    int64_t* hits
    double* reviewed             # losses after the updates
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
