# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""The native program: whole training steps, one after another, in one call without the GIL.

A program executes what `fastnn.lowering` wrote down of a model: *stages*, each an affine map or a
maxout (the first is the input) followed by the *operations* on its output, which leave its width as
it is. It runs on the model's own flat parameters, gradients and state, and in buffers it takes once.
The loops are those of loops.pxd, which the Cython kernels run too.

How a step is shared among threads
----------------------------------
By rows, where the weights are small. A batch is cut into pieces of rows, and piece p belongs to
thread ``p % threads``, which takes it forward, through the loss, and back to the gradient of every
affine map; threads meet only for BatchNorm's statistics. Then they meet, and each takes its slices
of the weights' rows: their gradient over the whole batch, penalty, update. They meet again, and the
step is done.

By columns, where the weights are large: every thread would read all of them. So the columns between
two stages are cut instead. In the forward pass a thread computes its columns of the affine map, and
everything up to the next one is local to columns; in the backward pass it takes the same columns as
rows of the next stage's weights, and updates those. The threads meet after each stage.

Only where a model asks for it, they meet once more before the updates, since the norm of all
gradients bounds each of them, and once more behind them, since a column's norm is a sum over slices.

Pieces follow from shapes alone, and sums over them are added in their order: the result is the same
bits for any number of threads.
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

include "plan.pxi"
include "inference.pxi"
include "updates.pxi"
include "training.pxi"


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
        Of the dropout masks and of noise.
    training : dict, optional
        For a program that trains: "rows" (of the largest batch), "by_columns" and "row_pieces" (how
        threads share a step), "grads", "averages" (at most two flat arrays), "rule" (name and
        numbers), "loss" (likewise), "clip_value" and "clip_norm" (bounds on
        gradients; 0 for none), "review" (None; or the guard of the logarithms in a batch's loss
        that is computed once more after its update, in inference mode).
    """

    cdef Plan plan
    cdef object held
    cdef object dtype
    cdef Py_ssize_t itemsize, capacity
    cdef object _examples, _epoch  # held while run reads and writes them
    cdef Py_ssize_t _rows, _batches

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
        plan.by_columns = training is not None and training["by_columns"]
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
        cdef int number, k, kept  # whose output must be found again on the way back; -1: no one's
        plan.stage = <Stage*>PyMem_Calloc(len(stages), sizeof(Stage))
        if plan.stage == NULL:
            raise MemoryError
        plan.stages = len(stages)
        for number, described in enumerate(stages):
            stage = &plan.stage[number]
            stage.width = described["width"]
            stage.stride = described["stride"]
            if not 0 <= stage.width <= stage.stride <= INT_MAX:
                raise ValueError(
                    f"a stage has at most stride columns, and BLAS counts to {INT_MAX}; "
                    f"got width {stage.width}, stride {stage.stride}"
                )
            stage.columns = pieces(stage.column, described["columns"], stage.width)
            plan.widest = max(plan.widest, stage.stride)
            affine = described["affine"]
            stage.affine = affine is not None
            stage.maxout = described["maxout"]
            if stage.affine + (stage.maxout != 0) != (number > 0):
                raise ValueError("every stage but the first has either an affine map or a maxout")
            if stage.maxout and (
                not 1 <= stage.maxout <= MOST_WINNERS
                or stage.maxout * stage.width != plan.stage[number - 1].width
                or plan.by_columns
            ):
                raise ValueError(
                    f"a maxout takes whole rows, 1 to {MOST_WINNERS} times as wide as it; got "
                    f"{stage.maxout} pieces of {stage.width}"
                )
            if stage.affine:
                stage.slices = pieces(
                    stage.slice, described["slices"], plan.stage[number - 1].width
                )
                if plan.by_columns and described["slices"] != stages[number - 1]["columns"]:
                    raise ValueError("slices must be the columns of the stage before")
                stage.w = within(affine["w"], plan.stage[number - 1].width * stage.width, params)
                stage.b = within(affine["b"], stage.width, params)
                stage.trained = affine["trained"]
                stage.rate = affine["rate"]
                stage.l1 = affine["l1"]
                stage.l2 = affine["l2"]
                stage.max_norm = affine["max_norm"] if stage.trained else 0.0
                plan.bounds_weights = plan.bounds_weights or stage.max_norm > 0
            stage.reached = described["reached"]
            stage.passes = described["passes"]
            operations = described["operations"]
            stage.operation = <Operation*>PyMem_Calloc(len(operations) + 1, sizeof(Operation))
            if stage.operation == NULL:
                raise MemoryError
            stage.operations = len(operations)
            kept = -1
            for k, operation in enumerate(operations):
                op = &stage.operation[k]
                op.code = OPERATIONS[operation["code"]]
                op.a = operation.get("a", 0.0)
                op.b = operation.get("b", 0.0)
                op.expected = operation.get("expected", 1.0)
                op.layer = operation.get("layer", 0)
                op.rate = operation.get("rate", 1.0)
                if plan.by_columns and op.code in WANT_ROWS:
                    raise ValueError(f"{operation['code']} needs whole rows")
                if op.code == OP_BATCHNORM or op.code == OP_BATCHNORM_FROZEN:
                    op.gamma = within(operation["gamma"], stage.width, params)
                    op.beta = within(operation["beta"], stage.width, params)
                    op.running_mean = within(operation["running_mean"], stage.width, state)
                    op.running_var = within(operation["running_var"], stage.width, state)
                if op.code == OP_PRELU:
                    op.trained = operation["trained"]
                    op.gamma = within(operation["slope"], stage.width, params)
                # What dropout makes of a ReLU's zeros is zero.
                op.in_place = op.code not in WANT_INPUT and (
                    kept < 0 or (kept == OP_RELU and op.code == OP_DROPOUT)
                )
                if op.code in WANT_OUTPUT:
                    kept = op.code
                elif not op.in_place:
                    kept = -1
        return 0

    cdef int _prepare(self, dict training, Py_ssize_t params) except -1:
        cdef Plan* plan = &self.plan
        cdef int k
        self.capacity = training["rows"]
        if not 1 <= self.capacity <= INT_MAX:
            raise ValueError(f"rows must lie in 1..{INT_MAX}; got {self.capacity}")
        plan.row_pieces = training["row_pieces"]
        if not 1 <= plan.row_pieces <= MAX_PIECES:
            raise ValueError(f"row_pieces must lie in 1..{MAX_PIECES}; got {plan.row_pieces}")
        if not any([plan.stage[k].affine for k in range(plan.stages)]):
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
        loss, numbers = training["loss"]
        plan.loss, wanted_numbers = LOSSES[loss]
        if len(numbers) != wanted_numbers:
            raise ValueError(f"loss {loss!r} takes {wanted_numbers} numbers; got {len(numbers)}")
        plan.loss_number = numbers[0] if numbers else 0.0
        plan.clip_value = training["clip_value"]
        plan.clip_norm = training["clip_norm"]
        plan.reviews = training["review"] is not None
        if plan.reviews:
            plan.guard = training["review"]
            if plan.loss != LOSS_CLASSES or plan.stage[0].operations:
                raise ValueError(
                    "a review is of the softmax cross-entropy of labels, and of inputs as they came"
                )
        self.held += [training["grads"], *averages]
        return 0

    cdef Py_ssize_t _lay_out(self, char* arena) noexcept:
        """Give every buffer its place; with ``arena`` NULL, only count the bytes."""
        cdef Plan* plan = &self.plan
        cdef Py_ssize_t used = 0, n = self.capacity, block, scales
        cdef void* before
        cdef Stage* stage
        cdef Operation* op
        cdef Stage* last = &plan.stage[plan.stages - 1]
        cdef int number, k
        for number in range(plan.stages):
            stage = &plan.stage[number]
            block = lines(n * stage.stride * self.itemsize)
            stage.out = arena + used
            used += block
            stage.gradient = arena + used
            used += block
            if stage.max_norm > 0:
                stage.norms = <double*>(arena + used)
                used += lines(stage.slices * stage.width * 8)
            if stage.maxout:
                stage.winners = <uint8_t*>(arena + used)
                used += lines(n * stage.stride)
            before = stage.out
            for k in range(stage.operations):
                op = &stage.operation[k]
                op.out = before
                if not op.in_place:
                    op.out = arena + used
                    used += block
                before = op.out
                if op.code == OP_BATCHNORM:
                    scales = lines(plan.row_pieces * stage.stride * self.itemsize)
                    op.mean = arena + used
                    op.inv_std = arena + used + scales
                    used += 2 * scales
                if op.code == OP_PRELU:
                    op.slopes = arena + used
                    used += lines(plan.row_pieces * stage.stride * self.itemsize)
                if op.code == OP_DROPOUT:
                    op.mask = <uint8_t*>(arena + used)
                    used += lines(n * stage.stride)
        for k in range(2):
            plan.moments[k] = <double*>(arena + used)
            used += lines(plan.row_pieces * 2 * plan.widest * 8)
        block = lines(n * last.width * self.itemsize)
        plan.probs = arena + used
        used += block
        plan.batch_targets = arena + used
        used += block
        plan.batch_weights = arena + used
        used += lines(n * self.itemsize)
        plan.batch_labels = <int64_t*>(arena + used)
        used += lines(n * 8)
        plan.piece_losses = <double*>(arena + used)
        used += lines(plan.row_pieces * 8)
        plan.piece_hits = <int64_t*>(arena + used)
        used += lines(plan.row_pieces * 8)
        plan.penalties = <double*>(arena + used)
        used += lines(plan.stages * MAX_PIECES * 8)
        plan.squares = <double*>(arena + used)
        used += lines(plan.stages * 2 * MAX_PIECES * 8)
        if plan.reviews:
            plan.review_rows = (n + plan.row_pieces - 1) // plan.row_pieces
            plan.review_scratch = arena + used
            used += 3 * plan.row_pieces * lines(plan.review_rows * plan.widest * self.itemsize)
            plan.review_losses = <double*>(arena + used)
            used += lines(plan.row_pieces * 8)
            plan.review_penalties = <double*>(arena + used)
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
        cdef Py_ssize_t block = lines(rows * self.plan.widest * self.itemsize)
        scratch = np.empty(2 * threads * block + 64, dtype=np.uint8)
        cdef char* memory = <char*>cnp.PyArray_DATA(<cnp.ndarray>scratch)
        memory += (64 - <size_t>memory % 64) % 64
        cdef void* result_ = result
        with nogil:
            for rank in range(threads):
                readings[rank].plan = &plan
                readings[rank].source = &plan.source
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
        self._examples = self._epoch = None  # until all of them are known to fit
        self._read_from(source, x, scale)
        n = cnp.PyArray_DIM(<cnp.ndarray>x, 0)
        source.labels = NULL
        source.targets = NULL
        source.weights = NULL
        source.target_width = width
        if self.plan.loss == LOSS_CLASSES or self.plan.loss == LOSS_CROSS_ENTROPY:
            source.labels = <const int64_t*>readable(targets, "targets", cnp.NPY_INT64, n)
            if targets.min() < 0 or targets.max() >= width:
                raise ValueError(f"targets must be labels 0..{width - 1}")
        else:
            source.targets = readable(targets, "targets", self.plan.type_num, n * width)
        if weights is not None:
            source.weights = readable(weights, "weights", self.plan.type_num, n)
        self._examples = (x, targets, weights)
        self._rows = n

    def release(self):
        """Let go of the examples and of the epoch's arrays."""
        self._examples = self._epoch = None

    def set_epoch(self, order, bounds, rates, losses, hits, reviewed=None):
        """The batches that `run` runs, and where it writes what comes of them.

        Parameters
        ----------
        order : ndarray, (N,), int64
            Row numbers in the order of this epoch.
        bounds : ndarray, (batches + 1,), int64
            Where in the order each batch begins, and the last ends.
        rates : ndarray, (batches,), float64
            Learning rate of each step; may be changed between runs.
        losses : ndarray, (batches,), float64
            Written: the loss of each step, with the penalty.
        hits : ndarray, (batches,), int64
            Written: rows of each batch whose class was right; with binary cross-entropy, its right
            answers, one for each output of each row.
        reviewed : ndarray, (batches,), float64, optional
            Written, by a program with a review: the loss of each batch after its step.
        """
        cdef Plan* plan = &self.plan
        cdef Py_ssize_t batches, k
        self._epoch = None  # until all of it is known to fit
        if self._examples is None:
            raise ValueError("set_epoch needs set_examples before it")
        readable(order, "order", cnp.NPY_INT64, -1)
        readable(bounds, "bounds", cnp.NPY_INT64, -1)
        # Copies: nobody can change what has been checked.
        order, bounds = order.copy(), bounds.copy()
        plan.source.order = <const int64_t*>readable(order, "order", cnp.NPY_INT64, -1)
        plan.batch_bounds = <const int64_t*>readable(bounds, "bounds", cnp.NPY_INT64, -1)
        batches = bounds.size - 1
        plan.rates = <const double*>readable(rates, "rates", cnp.NPY_FLOAT64, batches)
        plan.losses = <double*>flat_memory(losses, "losses", cnp.NPY_FLOAT64, batches)
        plan.hits = <int64_t*>flat_memory(hits, "hits", cnp.NPY_INT64, batches)
        if plan.reviews:
            plan.reviewed = <double*>flat_memory(reviewed, "reviewed", cnp.NPY_FLOAT64, batches)
        if bounds.size and (bounds[0] < 0 or bounds[batches] > order.size):
            raise ValueError("bounds must lie within the order")
        for k in range(batches):
            if not 1 <= plan.batch_bounds[k + 1] - plan.batch_bounds[k] <= self.capacity:
                raise ValueError(f"batches must have 1 to {self.capacity} rows")
        if order.size and (order.min() < 0 or order.max() >= self._rows):
            raise ValueError("order must hold numbers of rows")
        self._epoch = (order, bounds, rates, losses, hits, reviewed)
        self._batches = batches

    def run(
        self, Py_ssize_t first, Py_ssize_t last, model_step, update_step, int threads,
        double seconds
    ):
        """Run batches ``first`` to ``last``, or until the time is up; return the number of the next.

        Parameters
        ----------
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
        cdef int rank, started = 1, wanted = max(1, min(threads, MAX_THREADS))
        if self._epoch is None:
            raise ValueError("run needs set_epoch before it")
        if not 0 <= first < last <= self._batches:
            raise ValueError(
                f"first and last must lie in 0..{self._batches}; got {first}, {last}"
            )
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


cdef int pieces(Py_ssize_t* bound, bounds, Py_ssize_t whole) except -1:
    """Copy where each piece of ``whole`` begins, and the last ends; return their number."""
    cdef int k, count = len(bounds) - 1
    if not 1 <= count <= MAX_PIECES or list(bounds) != sorted(set(bounds)):
        raise ValueError(f"bounds must rise, in 1 to {MAX_PIECES} pieces; got {bounds}")
    if bounds[0] != 0 or bounds[count] != whole:
        raise ValueError(f"bounds must cover {whole}; got {bounds}")
    for k in range(count + 1):
        bound[k] = bounds[k]
    return count


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
