# Training steps. Included by program.pyx, which says how threads share them.

# --------------------------------------------------------------------------------------------------
# Rows in
# --------------------------------------------------------------------------------------------------


cdef inline Py_ssize_t piece_row(Plan* plan, int piece, Py_ssize_t n) noexcept nogil:
    """Where a piece of a batch's rows begins."""
    return n * piece // plan.row_pieces


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


cdef void gather(Plan* plan, Py_ssize_t start, Py_ssize_t n, int rank, real zero) noexcept nogil:
    """Rows ``order[start:start + n]``, their targets and weights."""
    cdef Source* source = &plan.source
    cdef real* x = <real*>plan.stage[0].out
    cdef Py_ssize_t width = source.target_width, stride = plan.stage[0].stride
    cdef Py_ssize_t i
    cdef int64_t row
    cdef int piece
    for piece in range(plan.row_pieces):
        if piece % plan.threads != rank:
            continue
        for i in range(piece_row(plan, piece, n), piece_row(plan, piece + 1, n)):
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


cdef void look_ahead(
    Plan* plan, Py_ssize_t start, Py_ssize_t n, int rank, int part, int parts
) noexcept nogil:
    """Ask memory for one of so many parts of the rows that this thread will gather next.

    A few at a time, between products: memory answers while they run.
    """
    cdef Source* source = &plan.source
    cdef Py_ssize_t first, rows, i
    cdef Py_ssize_t bytes = source.features * (
        4 if source.type_num == cnp.NPY_FLOAT32 else 8 if source.type_num == cnp.NPY_FLOAT64 else 1
    )
    cdef int piece
    for piece in range(plan.row_pieces):
        if piece % plan.threads != rank:
            continue
        first = piece_row(plan, piece, n)
        rows = piece_row(plan, piece + 1, n) - first
        for i in range(first + rows * part // parts, first + rows * (part + 1) // parts):
            fastnn_prefetch(source.rows + source.order[start + i] * source.row_bytes, bytes)


# --------------------------------------------------------------------------------------------------
# Blocks of a stage's output
# --------------------------------------------------------------------------------------------------


cdef inline int blocks(Plan* plan, Stage* stage) noexcept nogil:
    return stage.columns if plan.by_columns else plan.row_pieces


cdef inline Block block_of(Plan* plan, Stage* stage, int piece, Py_ssize_t n) noexcept nogil:
    cdef Block block
    if plan.by_columns:
        block.row = 0
        block.rows = n
        block.first = stage.column[piece]
        block.width = stage.column[piece + 1] - block.first
        block.span = block.width
        block.part = 0
    else:
        block.row = piece_row(plan, piece, n)
        block.rows = piece_row(plan, piece + 1, n) - block.row
        block.first = 0
        block.width = stage.width
        block.part = piece
        # Up to the next row: whole vectors, and no end of a row to care for. Nothing reads what
        # comes out between the rows.
        block.span = stage.stride
    return block


cdef inline int statistics_pieces(Plan* plan) noexcept nogil:
    """Parts that the statistics over a batch are put together from."""
    return 1 if plan.by_columns else plan.row_pieces


cdef inline void meet(Plan* plan) noexcept nogil:
    """Wait until every piece of rows has its part of the statistics."""
    if not plan.by_columns and plan.row_pieces > 1:
        fastnn_wait(&plan.barrier, plan.threads)


cdef inline double* moments_of(Plan* plan, int turn, int piece) noexcept nogil:
    return plan.moments[turn] + 2 * piece * plan.widest


cdef inline real* stage_output(Stage* stage, real zero) noexcept nogil:
    """What the next stage reads."""
    if stage.operations:
        return <real*>stage.operation[stage.operations - 1].out
    return <real*>stage.out


# --------------------------------------------------------------------------------------------------
# Forward
# --------------------------------------------------------------------------------------------------


cdef inline void affine_block(
    const real* x, Py_ssize_t x_stride, const real* w, const real* b, real* out, Py_ssize_t stride,
    Block* block, Py_ssize_t k, Py_ssize_t m
) noexcept nogil:
    """out = x @ w + b on a block of the output."""
    cdef Py_ssize_t i
    x += block.row * x_stride
    out += block.row * stride + block.first
    w += block.first
    for i in range(block.rows):
        memcpy(out + i * stride, b + block.first, block.width * sizeof(real))
    if block.rows == 1:
        gemv(b"N", <int>block.width, <int>k, w, <int>m, x, <real>1, out)
    else:
        multiply(block.rows, k, block.width, x, x_stride, w, m, <real>1, out, stride)


cdef inline void maxout_block(
    const real* x, Py_ssize_t x_stride, Stage* stage, Block* block, real zero
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(block.row, block.row + block.rows):
        maxout_forward_span(
            x + i * x_stride, stage.maxout, stage.width, stage.winners + i * stage.stride,
            <real*>stage.out + i * stage.stride, stage.width
        )


cdef void forward_stage(
    Plan* plan, int number, Py_ssize_t n, int rank, uint64_t step, int* turn, real zero
) noexcept nogil:
    """The affine map, or maxout, and the operations, on this thread's blocks."""
    cdef Stage* stage = &plan.stage[number]
    cdef Stage* before = &plan.stage[number - 1] if number else stage
    cdef Block block
    cdef real* x = <real*>stage.out
    cdef int piece, k
    if number:
        for piece in range(blocks(plan, stage)):
            if piece % plan.threads != rank:
                continue
            block = block_of(plan, stage, piece, n)
            if stage.maxout:
                maxout_block(stage_output(before, zero), before.stride, stage, &block, zero)
            elif block.rows:
                affine_block(
                    stage_output(before, zero), before.stride, <real*>plan.params + stage.w,
                    <real*>plan.params + stage.b, x, stage.stride, &block, before.width,
                    stage.width
                )
    for k in range(stage.operations):
        if stage.operation[k].code == OP_BATCHNORM:
            batchnorm(plan, stage, &stage.operation[k], x, n, rank, turn[0])
            turn[0] = 1 - turn[0]
        else:
            for piece in range(blocks(plan, stage)):
                if piece % plan.threads != rank:
                    continue
                block = block_of(plan, stage, piece, n)
                operate(plan, stage, &stage.operation[k], x, &block, step)
        x = <real*>stage.operation[k].out


cdef void batchnorm(
    Plan* plan, Stage* stage, Operation* op, const real* x, Py_ssize_t n, int rank, int turn
) noexcept nogil:
    """Each block's moments; then all of them together, and the block's normal form."""
    cdef Block block
    cdef const real* params = <const real*>plan.params
    cdef real* state = <real*>plan.state
    cdef real* out = <real*>op.out
    cdef double mean[TILE]
    cdef double variance[TILE]
    cdef double* part
    cdef Py_ssize_t stride = stage.stride, at, tile, j
    cdef int piece, other, width, i, parts = statistics_pieces(plan)
    for piece in range(blocks(plan, stage)):
        if piece % plan.threads != rank:
            continue
        block = block_of(plan, stage, piece, n)
        part = moments_of(plan, turn, block.part)
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            column_moments(
                x + block.row * stride + j, block.rows, stride, tile_width(tile, block.width),
                part + j, part + plan.widest + j
            )
    meet(plan)
    for piece in range(blocks(plan, stage)):
        if piece % plan.threads != rank:
            continue
        block = block_of(plan, stage, piece, n)
        at = block.part * stride
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            width = tile_width(tile, block.width)
            memset(mean, 0, width * sizeof(double))
            memset(variance, 0, width * sizeof(double))
            for other in range(parts):
                part = moments_of(plan, turn, other)
                merge_moments(
                    0 if plan.by_columns else piece_row(plan, other, n),
                    n if plan.by_columns
                    else piece_row(plan, other + 1, n) - piece_row(plan, other, n),
                    part + j, part + plan.widest + j, mean, variance, width
                )
            for i in range(width):
                variance[i] = variance[i] / n
            if plan.by_columns or piece == 0:
                batchnorm_running_tile(
                    mean, variance, op.a, state + op.running_mean + j, state + op.running_var + j,
                    width
                )
            batchnorm_scales_tile(
                mean, variance, op.b, <real*>op.mean + at + j, <real*>op.inv_std + at + j, width
            )
            batchnorm_normalize_tile(
                x + block.row * stride + j, params + op.gamma + j, params + op.beta + j,
                <real*>op.mean + at + j, <real*>op.inv_std + at + j,
                out + block.row * stride + j, block.rows, stride, width
            )


cdef inline void operate(
    Plan* plan, Stage* stage, Operation* op, const real* x, Block* block, uint64_t step
) noexcept nogil:
    """An operation whose rows have nothing to do with each other, in training mode."""
    cdef Py_ssize_t stride = stage.stride, i, tile, j
    cdef Py_ssize_t at = block.row * stride + block.first
    cdef real* out = <real*>op.out + at
    cdef const real* params = <const real*>plan.params
    cdef const real* state = <const real*>plan.state
    cdef uint64_t key
    if op.code == OP_BATCHNORM_FROZEN:
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            batchnorm_inference_forward_tile(
                x + block.row * stride + j, params + op.gamma + j, params + op.beta + j,
                state + op.running_mean + j, state + op.running_var + j, op.b,
                <real*>op.out + block.row * stride + j, block.rows, stride,
                tile_width(tile, block.width)
            )
        return
    if not op.in_place:
        for i in range(block.rows):
            memcpy(out + i * stride, x + at + i * stride, block.span * sizeof(real))
    if op.code == OP_DROPOUT:
        key = dropout_key(plan.seed, step, op.layer)
        for i in range(block.rows):
            dropout_forward_span(
                out + i * stride, <uint32_t>(op.a * 4294967296.0), <real>op.b, key,
                (block.row + i) * stage.width + block.first, op.mask + at + i * stride,
                out + i * stride, block.span
            )
    elif op.code == OP_GAUSSIAN_NOISE:
        key = dropout_key(plan.seed, step, op.layer)
        for i in range(block.rows):
            # Not up to the next row: there, step after step would add up.
            gaussian_noise_span(
                out + i * stride, <real>op.a, key,
                (block.row + i) * stage.width + block.first, out + i * stride, block.width
            )
    elif op.code == OP_PRELU:
        for i in range(block.rows):
            prelu_forward_span(
                out + i * stride, params + op.gamma + block.first, out + i * stride, block.width
            )
    elif op.code == OP_SOFTMAX:
        if stride == stage.width:
            softmax_rows(out, out, block.rows, stage.width)
        else:
            for i in range(block.rows):
                softmax_rows(out + i * stride, out + i * stride, 1, stage.width)
    elif block.span == stride:
        activate(op, out, block.rows * stride)
    else:
        for i in range(block.rows):
            activate(op, out + i * stride, block.span)


cdef inline void activate(Operation* op, real* y, Py_ssize_t n) noexcept nogil:
    """In place: the compiler need not ask whether the two overlap."""
    if op.code == OP_RELU:
        relu_forward_span(y, y, n)
    elif op.code == OP_LEAKY_RELU:
        leaky_relu_forward_span(y, <real>op.a, y, n)
    elif op.code == OP_SIGMOID:
        sigmoid_forward_span(y, y, n)
    elif op.code == OP_TANH:
        tanh_forward_span(y, y, n)
    elif op.code == OP_SOFTPLUS:
        softplus_forward_span(y, y, n)
    elif op.code == OP_GELU:
        gelu_forward_span(y, y, n)
    elif op.code == OP_SILU:
        silu_forward_span(y, y, n)
    else:
        elu_forward_span(y, <real>op.a, y, n)


# --------------------------------------------------------------------------------------------------
# Loss: pieces of rows
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


cdef inline double loss_rows(
    Plan* plan, const real* out, const real* targets, const int64_t* labels, const real* weights,
    double share, real* probs, real* dout, Py_ssize_t rows, Py_ssize_t c
) noexcept nogil:
    """The sum of the rows' losses; their gradients are scaled by ``share``."""
    cdef double number = plan.loss_number
    cdef int form
    if plan.loss == LOSS_CLASSES:
        return softmax_cross_entropy_rows(out, labels, weights, share, probs, dout, rows, c)
    if plan.loss == LOSS_SOFT:
        return softmax_cross_entropy_soft_rows(out, targets, weights, share, probs, dout, rows, c)
    if plan.loss == LOSS_MEAN_SQUARED:
        return squared_error_rows(out, targets, weights, share, 2.0 / c, dout, rows, c) / c
    if plan.loss == LOSS_SUM_SQUARED:
        return 0.5 * squared_error_rows(out, targets, weights, share, 1.0, dout, rows, c)
    if plan.loss == LOSS_CROSS_ENTROPY:
        return cross_entropy_rows(out, labels, weights, share, number, dout, rows, c)
    if plan.loss == LOSS_CROSS_ENTROPY_SOFT:
        return cross_entropy_soft_rows(out, targets, weights, share, number, dout, rows, c)
    form = FORM_ABSOLUTE
    if plan.loss == LOSS_BINARY:
        form = FORM_BINARY
    elif plan.loss == LOSS_HUBER:
        form = FORM_HUBER
    return elementwise_loss_rows(
        form, out, targets, weights, share, 1.0 / c, number, dout, rows, c
    ) / c


cdef inline Py_ssize_t right_answers(
    Plan* plan, const real* out, const real* targets, const int64_t* labels, Py_ssize_t rows,
    Py_ssize_t c
) noexcept nogil:
    """What `fastnn.metrics.accuracy` counts, or `binary_accuracy`."""
    cdef Py_ssize_t i, hits = 0
    if plan.loss == LOSS_CLASSES or plan.loss == LOSS_CROSS_ENTROPY:
        for i in range(rows):
            hits += row_argmax(out + i * c, c) == labels[i]
    elif plan.loss == LOSS_BINARY:
        for i in range(rows * c):
            # NaN is neither, and wrong.
            hits += out[i] > 0 if targets[i] > <real>0.5 else out[i] <= 0
    else:
        for i in range(rows):
            hits += row_argmax(out + i * c, c) == row_argmax(targets + i * c, c)
    return hits


cdef void measure_loss(Plan* plan, Py_ssize_t n, int rank, real zero) noexcept nogil:
    cdef Stage* last = &plan.stage[plan.stages - 1]
    cdef Py_ssize_t c = last.width, at, rows
    cdef real* out = stage_output(last, zero)
    cdef real* dout = <real*>last.gradient
    cdef real* targets = <real*>plan.batch_targets
    cdef real* weights
    cdef double share = 1.0 / n
    cdef int piece
    for piece in range(plan.row_pieces):
        if piece % plan.threads != rank:
            continue
        at = piece_row(plan, piece, n)
        rows = piece_row(plan, piece + 1, n) - at
        weights = NULL if plan.source.weights == NULL else <real*>plan.batch_weights + at
        plan.piece_losses[piece] = loss_rows(
            plan, out + at * c, targets + at * c, plan.batch_labels + at, weights, share,
            <real*>plan.probs + at * c, dout + at * c, rows, c
        )
        plan.piece_hits[piece] = right_answers(
            plan, out + at * c, targets + at * c, plan.batch_labels + at, rows, c
        )


cdef void settle_loss(Plan* plan, Py_ssize_t batch, Py_ssize_t n) noexcept nogil:
    """Add the pieces' sums, in their order; notice a loss that is not finite."""
    cdef double loss = 0
    cdef int64_t hits = 0
    cdef int piece
    for piece in range(plan.row_pieces):
        loss += plan.piece_losses[piece]
        hits += plan.piece_hits[piece]
    plan.losses[batch] = loss / n
    plan.hits[batch] = hits
    if not isfinite(loss):
        plan.diverged = True


# --------------------------------------------------------------------------------------------------
# Backward
# --------------------------------------------------------------------------------------------------


cdef void backward_operations(
    Plan* plan, int number, Py_ssize_t n, int rank, int* turn, real zero
) noexcept nogil:
    """Through a stage's operations, last to first, in its gradient's place, on this thread's blocks."""
    cdef Stage* stage = &plan.stage[number]
    cdef Operation* op
    cdef Block block
    cdef const real* x
    cdef int k, piece
    for k in range(stage.operations - 1, -1, -1):
        op = &stage.operation[k]
        x = <real*>stage.operation[k - 1].out if k else <real*>stage.out
        if op.code == OP_BATCHNORM:
            batchnorm_backward(plan, stage, op, x, n, rank, turn[0])
            turn[0] = 1 - turn[0]
        else:
            for piece in range(blocks(plan, stage)):
                if piece % plan.threads != rank:
                    continue
                block = block_of(plan, stage, piece, n)
                operate_backward(plan, stage, op, x, &block)


cdef void batchnorm_backward(
    Plan* plan, Stage* stage, Operation* op, const real* x, Py_ssize_t n, int rank, int turn
) noexcept nogil:
    """Each block's sums; then all of them together, and the block's gradient."""
    cdef Block block
    cdef const real* params = <const real*>plan.params
    cdef real* grads = <real*>plan.grads
    cdef real* gradient = <real*>stage.gradient
    cdef double sums[TILE]
    cdef double products[TILE]
    cdef double* part
    cdef Py_ssize_t stride = stage.stride, at, tile, j
    cdef int piece, other, width, i, parts = statistics_pieces(plan)
    for piece in range(blocks(plan, stage)):
        if piece % plan.threads != rank:
            continue
        block = block_of(plan, stage, piece, n)
        part = moments_of(plan, turn, block.part)
        at = block.part * stride
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            batchnorm_sums_tile(
                gradient + block.row * stride + j, x + block.row * stride + j,
                <real*>op.mean + at + j, <real*>op.inv_std + at + j, block.rows, stride,
                tile_width(tile, block.width), part + j, part + plan.widest + j
            )
    meet(plan)
    for piece in range(blocks(plan, stage)):
        if piece % plan.threads != rank:
            continue
        block = block_of(plan, stage, piece, n)
        at = block.part * stride
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            width = tile_width(tile, block.width)
            memset(sums, 0, width * sizeof(double))
            memset(products, 0, width * sizeof(double))
            for other in range(parts):
                part = moments_of(plan, turn, other)
                for i in range(width):
                    sums[i] += part[j + i]
                    products[i] += part[plan.widest + j + i]
            if plan.by_columns or piece == 0:
                for i in range(width):
                    grads[op.beta + j + i] = <real>sums[i]
                    grads[op.gamma + j + i] = <real>products[i]
            batchnorm_input_gradient_tile(
                gradient + block.row * stride + j, x + block.row * stride + j, params + op.gamma + j,
                <real*>op.mean + at + j, <real*>op.inv_std + at + j, sums, products, n,
                gradient + block.row * stride + j, block.rows, stride, width
            )


cdef inline void operate_backward(
    Plan* plan, Stage* stage, Operation* op, const real* x, Block* block
) noexcept nogil:
    cdef Py_ssize_t stride = stage.stride, i, tile, j
    cdef Py_ssize_t at = block.row * stride + block.first
    cdef real* g = <real*>stage.gradient + at
    cdef const real* out = <const real*>op.out + at
    cdef const real* params = <const real*>plan.params
    cdef const real* state = <const real*>plan.state
    if op.code == OP_BATCHNORM_FROZEN:
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            batchnorm_inference_backward_tile(
                <real*>stage.gradient + block.row * stride + j, params + op.gamma + j,
                state + op.running_var + j, op.b, <real*>stage.gradient + block.row * stride + j,
                block.rows, stride, tile_width(tile, block.width)
            )
    elif op.code == OP_PRELU:
        for tile in range(tiles(block.width)):
            j = block.first + tile * TILE
            prelu_backward_tile(
                <real*>stage.gradient + block.row * stride + j, x + block.row * stride + j,
                params + op.gamma + j, <real*>stage.gradient + block.row * stride + j,
                <real*>op.slopes + block.part * stride + j if op.trained else NULL, block.rows,
                stride, tile_width(tile, block.width)
            )
    elif op.code == OP_GAUSSIAN_NOISE:
        return
    elif op.code == OP_SOFTMAX:
        if stride == stage.width:
            softmax_backward_rows(g, out, g, block.rows, stage.width)
        else:
            for i in range(block.rows):
                softmax_backward_rows(
                    g + i * stride, out + i * stride, g + i * stride, 1, stage.width
                )
    elif block.span == stride:
        differentiate(op, g, x + at, out, op.mask + at, block.rows * stride)
    else:
        for i in range(block.rows):
            differentiate(
                op, g + i * stride, x + at + i * stride, out + i * stride,
                op.mask + at + i * stride, block.span
            )


cdef inline void differentiate(
    Operation* op, real* g, const real* x, const real* out, const uint8_t* mask, Py_ssize_t n
) noexcept nogil:
    """From the gradient of an operation's output to that of its input, in place."""
    if op.code == OP_DROPOUT:
        dropout_backward_span(g, mask, <real>op.b, g, n)
    elif op.code == OP_RELU:
        relu_backward_span(g, out, g, n)
    elif op.code == OP_LEAKY_RELU:
        leaky_relu_backward_span(g, x, <real>op.a, g, n)
    elif op.code == OP_SIGMOID:
        sigmoid_backward_span(g, out, g, n)
    elif op.code == OP_TANH:
        tanh_backward_span(g, out, g, n)
    elif op.code == OP_SOFTPLUS:
        softplus_backward_span(g, out, g, n)
    elif op.code == OP_GELU:
        gelu_backward_span(g, x, g, n)
    elif op.code == OP_SILU:
        silu_backward_span(g, x, g, n)
    else:
        elu_backward_span(g, out, <real>op.a, g, n)


cdef void input_gradient(
    Plan* plan, int number, Py_ssize_t n, int rank, real zero
) noexcept nogil:
    """dx = dout @ w.T, or through the maxout: of the stage before, on its blocks."""
    cdef Stage* stage = &plan.stage[number]
    cdef Stage* before = &plan.stage[number - 1]
    cdef Block block
    cdef Py_ssize_t i
    cdef int piece
    for piece in range(blocks(plan, before)):
        if piece % plan.threads != rank:
            continue
        block = block_of(plan, before, piece, n)
        if stage.maxout:
            for i in range(block.row, block.row + block.rows):
                maxout_backward_span(
                    <real*>stage.gradient + i * stage.stride, stage.winners + i * stage.stride,
                    stage.maxout, stage.width, <real*>before.gradient + i * before.stride,
                    stage.width
                )
        elif block.rows:
            multiply_by_transposed(
                block.rows, stage.width, block.width,
                <real*>stage.gradient + block.row * stage.stride, stage.stride,
                <real*>plan.params + stage.w + block.first * stage.width, stage.width,
                <real*>before.gradient + block.row * before.stride + block.first, before.stride
            )


# --------------------------------------------------------------------------------------------------
# Review: the loss of the batch once more, after the update
# --------------------------------------------------------------------------------------------------


cdef void review_rows(Plan* plan, Py_ssize_t n, int rank, real zero) noexcept nogil:
    """The batch in inference mode: the cross-entropy, guarded, of this thread's pieces."""
    cdef Stage* entry = &plan.stage[0]
    cdef Py_ssize_t c = plan.stage[plan.stages - 1].width, row, rows
    cdef Py_ssize_t buffer_bytes = plan.review_rows * plan.widest * sizeof(real)
    cdef char* scratch
    cdef real* out
    cdef Source batch
    cdef Reading reading
    cdef int piece
    memset(&batch, 0, sizeof(Source))
    batch.row_bytes = entry.stride * sizeof(real)
    batch.type_num = plan.type_num
    batch.scale = 1.0
    batch.features = entry.width
    for piece in range(plan.row_pieces):
        if piece % plan.threads != rank:
            continue
        row = piece_row(plan, piece, n)
        rows = piece_row(plan, piece + 1, n) - row
        batch.rows = <const char*>entry.out + row * batch.row_bytes
        scratch = <char*>plan.review_scratch + 3 * piece * buffer_bytes
        out = <real*>(scratch + 2 * buffer_bytes)
        reading = Reading(plan, &batch, 1, 0, rows, out, scratch, buffer_bytes)
        infer_rows(&reading, 0, rows, zero)
        softmax_rows(out, out, rows, c)
        plan.review_losses[piece] = cross_entropy_rows(
            out, plan.batch_labels + row, <const real*>NULL, 0, plan.guard, <real*>NULL, rows, c
        )


cdef void review_weights(Plan* plan, int rank, real zero) noexcept nogil:
    """The penalties of this thread's slices."""
    cdef Stage* stage
    cdef int number, piece
    for number in range(1, plan.stages):
        stage = &plan.stage[number]
        for piece in range(stage.slices):
            if piece % plan.threads == rank:
                plan.review_penalties[number * MAX_PIECES + piece] = penalty_of(
                    stage, <const real*>plan.params + stage.w + stage.slice[piece] * stage.width,
                    (stage.slice[piece + 1] - stage.slice[piece]) * stage.width
                )


cdef void settle_review(Plan* plan, Py_ssize_t batch, Py_ssize_t n) noexcept nogil:
    cdef double loss = 0
    cdef int piece
    for piece in range(plan.row_pieces):
        loss += plan.review_losses[piece]
    plan.reviewed[batch] = loss / n + sum_penalties(plan, plan.review_penalties)


# --------------------------------------------------------------------------------------------------
# Steps
# --------------------------------------------------------------------------------------------------


cdef void settle_penalty(Plan* plan, Py_ssize_t batch) noexcept nogil:
    cdef double penalty = sum_penalties(plan, plan.penalties)
    plan.losses[batch] += penalty
    if not isfinite(penalty):
        plan.diverged = True


cdef inline void decide(Plan* plan, Py_ssize_t batch) noexcept nogil:
    """Whether to go on, before the barrier behind which all threads read it."""
    # The sums of the other threads' pieces are complete behind the barrier only: a penalty that is
    # not finite stops the run one step later.
    plan.done = batch + 1
    plan.stop = plan.diverged or batch + 1 == plan.last or fastnn_seconds() > plan.deadline


cdef void step_by_rows(
    Plan* plan, Py_ssize_t batch, Py_ssize_t start, Py_ssize_t n, int rank, uint64_t step,
    Update* update, real zero
) noexcept nogil:
    cdef int number, turn = 0, last = plan.stages - 1, parts = 3 * plan.stages
    cdef Py_ssize_t next_n = 0
    if batch + 1 < plan.last:
        next_n = plan.batch_bounds[batch + 2] - plan.batch_bounds[batch + 1]
    gather(plan, start, n, rank, zero)
    for number in range(plan.stages):
        forward_stage(plan, number, n, rank, step, &turn, zero)
        look_ahead(plan, start + n, next_n, rank, number, parts)
    measure_loss(plan, n, rank, zero)
    for number in range(last, -1, -1):
        if plan.stage[number].reached:
            backward_operations(plan, number, n, rank, &turn, zero)
        if plan.stage[number].passes:
            input_gradient(plan, number, n, rank, zero)
        look_ahead(plan, start + n, next_n, rank, plan.stages + number, parts)
    fastnn_wait(&plan.barrier, plan.threads)
    for number in range(last, -1, -1):
        if number:
            learn_weights(plan, number, n, rank, update, zero)
        if plan.stage[number].reached:
            learn_columns(plan, number, n, rank, update, zero)
        look_ahead(plan, start + n, next_n, rank, 2 * plan.stages + number, parts)
    finish_updates(plan, n, rank, update, zero)
    if rank == 0:
        settle_loss(plan, batch, n)
        decide(plan, batch)
    fastnn_wait(&plan.barrier, plan.threads)


cdef void step_by_columns(
    Plan* plan, Py_ssize_t batch, Py_ssize_t start, Py_ssize_t n, int rank, uint64_t step,
    Update* update, real zero
) noexcept nogil:
    cdef Stage* stage
    cdef int number, turn = 0, last = plan.stages - 1
    gather(plan, start, n, rank, zero)
    fastnn_wait(&plan.barrier, plan.threads)
    for number in range(plan.stages):
        if number or plan.stage[0].operations:
            forward_stage(plan, number, n, rank, step, &turn, zero)
            fastnn_wait(&plan.barrier, plan.threads)
    measure_loss(plan, n, rank, zero)
    fastnn_wait(&plan.barrier, plan.threads)
    if rank == 0:
        settle_loss(plan, batch, n)
    for number in range(last, -1, -1):
        stage = &plan.stage[number]
        if stage.reached:
            # The columns whose gradient this thread has just computed.
            backward_operations(plan, number, n, rank, &turn, zero)
            learn_columns(plan, number, n, rank, update, zero)
        if number == 0:
            break
        fastnn_wait(&plan.barrier, plan.threads)
        if stage.passes:
            input_gradient(plan, number, n, rank, zero)
        # The slices are the columns of the stage before: nobody else reads these weights.
        learn_weights(plan, number, n, rank, update, zero)
    finish_updates(plan, n, rank, update, zero)
    if rank == 0:
        decide(plan, batch)
    fastnn_wait(&plan.barrier, plan.threads)


cdef void train_steps(Plan* plan, int rank, real zero) noexcept nogil:
    """One thread's share of the steps from ``first`` on, until ``last`` or the deadline."""
    cdef Py_ssize_t batch = plan.first, start, n
    cdef uint64_t step = plan.model_step, t = plan.update_step
    cdef Update update
    while True:
        start = plan.batch_bounds[batch]
        n = plan.batch_bounds[batch + 1] - start
        t += 1
        update = Update(plan.rates[batch], t, plan.clip_norm > 0, 1.0)
        if plan.by_columns:
            step_by_columns(plan, batch, start, n, rank, step, &update, zero)
        else:
            step_by_rows(plan, batch, start, n, rank, step, &update, zero)
        if rank == 0:
            settle_penalty(plan, batch)
        if plan.reviews:
            review_rows(plan, n, rank, zero)
            review_weights(plan, rank, zero)
            fastnn_wait(&plan.barrier, plan.threads)
            if rank == 0:
                settle_review(plan, batch, n)
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
