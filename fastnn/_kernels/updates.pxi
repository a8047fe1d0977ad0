# The gradients of parameters, and their updates. Included by program.pyx.

# --------------------------------------------------------------------------------------------------
# The optimizer's rule
# --------------------------------------------------------------------------------------------------


cdef void update_span(
    Plan* plan, Py_ssize_t at, Py_ssize_t n, double lr, uint64_t t, real zero
) noexcept nogil:
    """The optimizer's rule on parameters ``at`` to ``at + n``; t counts from 1."""
    cdef Rule* rule = &plan.rule
    cdef double* number = rule.numbers
    cdef real* p = <real*>plan.params + at
    cdef real* g = <real*>plan.grads + at
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
    elif rule.code == RULE_COURSE_MOMENTUM:
        scale_span(g, rate, n)
        momentum_span(p, g, s, <real>1, a, n)
    elif rule.code == RULE_COURSE_NESTEROV:
        scale_span(g, rate, n)
        nesterov_span(p, g, s, <real>1, a, n)
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
            if rule.code == RULE_COURSE_ADAM:
                c = <real>(number[2] * root)
        adam_span(
            p, g, s, d, <real>(1.0 - lr * number[3] if rule.code == RULE_ADAMW else 1.0),
            <real>step_size, a, rest_a, b, rest_b, <real>root, c, n
        )


# --------------------------------------------------------------------------------------------------
# Weights and columns
# --------------------------------------------------------------------------------------------------


cdef inline double penalty_of(Stage* stage, const real* w, Py_ssize_t n) noexcept nogil:
    cdef double penalty = 0
    if stage.l1 > 0:
        penalty += stage.l1 * sum_absolutes(w, n)
    if stage.l2 > 0:
        penalty += 0.5 * stage.l2 * sum_squares(w, n)
    return penalty


cdef void penalize(
    Plan* plan, Stage* stage, Py_ssize_t at, Py_ssize_t n, double* value, real zero
) noexcept nogil:
    """Penalty of weights ``at`` to ``at + n``; its gradient is added, before the update."""
    cdef const real* w = <const real*>plan.params + at
    cdef real* dw = <real*>plan.grads + at
    value[0] = penalty_of(stage, w, n)
    if stage.l1 > 0 and stage.trained:
        l1_gradient_span(w, <real>stage.l1, dw, n)
    if stage.l2 > 0 and stage.trained:
        l2_gradient_span(w, <real>stage.l2, dw, n)


cdef double sum_penalties(Plan* plan, const double* penalties) noexcept nogil:
    """Of all slices' penalties, in their order."""
    cdef double total = 0
    cdef int number, piece
    for number in range(1, plan.stages):
        for piece in range(plan.stage[number].slices):
            total += penalties[number * MAX_PIECES + piece]
    return total


cdef inline double* squares_of(Plan* plan, int number, bint columns, int piece) noexcept nogil:
    return plan.squares + (2 * number + columns) * MAX_PIECES + piece


cdef void use_gradient(
    Plan* plan, Py_ssize_t at, Py_ssize_t n, Update* update, double rate, double* squares, real zero
) noexcept nogil:
    """A gradient that is complete: bound it, and update; or only add its squares to the sum."""
    cdef real* g = <real*>plan.grads + at
    if plan.clip_value > 0:  # twice does no more than once
        clip_by_value_span(g, <real>plan.clip_value, n)
    if update.measure:
        squares[0] += sum_squares(g, n)
        return
    if update.factor != 1.0:
        scale_span(g, <real>update.factor, n)
    update_span(plan, at, n, update.lr * rate, update.t, zero)


cdef void update_weights(
    Plan* plan, int number, int piece, Py_ssize_t first, Py_ssize_t height, Update* update,
    real zero
) noexcept nogil:
    """Rows of a slice; and the squares of the slice's columns, where their norms are bounded."""
    cdef Stage* stage = &plan.stage[number]
    cdef Py_ssize_t m = stage.width, i, j
    cdef Py_ssize_t at = stage.w + first * m
    cdef const real* w = <const real*>plan.params + at
    cdef double* norms = stage.norms + piece * m
    use_gradient(
        plan, at, height * m, update, stage.rate, squares_of(plan, number, False, piece), zero
    )
    if stage.max_norm > 0 and not update.measure:
        if first == stage.slice[piece]:
            memset(norms, 0, m * sizeof(double))
        for i in range(height):
            for j in range(m):
                norms[j] += <double>w[i * m + j] * <double>w[i * m + j]


cdef void learn_weights(
    Plan* plan, int number, Py_ssize_t n, int rank, Update* update, real zero
) noexcept nogil:
    """dw = x.T @ dout, penalty and update, on this thread's slices of the weights' rows."""
    cdef Stage* stage = &plan.stage[number]
    cdef Stage* before = &plan.stage[number - 1]
    cdef const real* x = stage_output(before, zero)
    cdef Py_ssize_t m = stage.width, first, height, at
    # So many rows that their gradient is still in this core's cache when the update reads it.
    cdef Py_ssize_t most = max(8, GRADIENT_BYTES // (m * <Py_ssize_t>sizeof(real)))
    cdef double* penalty
    cdef double part
    cdef int piece
    for piece in range(stage.slices):
        if piece % plan.threads != rank:
            continue
        penalty = &plan.penalties[number * MAX_PIECES + piece]
        penalty[0] = 0
        first = stage.slice[piece]
        if stage.trained:
            squares_of(plan, number, False, piece)[0] = 0
        while first < stage.slice[piece + 1]:
            height = min(most, stage.slice[piece + 1] - first)
            at = stage.w + first * m
            if stage.trained:
                multiply_transposed(
                    height, n, m, x + first, before.stride, <real*>stage.gradient, stage.stride,
                    <real*>plan.grads + at, m
                )
            penalize(plan, stage, at, height * m, &part, zero)
            penalty[0] += part
            if stage.trained:
                update_weights(plan, number, piece, first, height, update, zero)
            first += height


# The parameters that belong to columns: the bias, and those of the operations. Steps that are shared
# by rows give all columns of a stage to one thread.


cdef inline bint own_columns(Plan* plan, int number, int piece, int rank) noexcept nogil:
    return (piece if plan.by_columns else number) % plan.threads == rank


cdef inline Block columns_of(Plan* plan, Stage* stage, int piece, Py_ssize_t n) noexcept nogil:
    """A piece of the columns, with all rows."""
    if plan.by_columns:
        return block_of(plan, stage, piece, n)
    return Block(0, n, 0, stage.width, stage.width, 0)


cdef inline int column_pieces(Plan* plan, Stage* stage) noexcept nogil:
    return stage.columns if plan.by_columns else 1


cdef void update_columns(
    Plan* plan, int number, int piece, Block* block, Update* update, real zero
) noexcept nogil:
    cdef Stage* stage = &plan.stage[number]
    cdef Operation* op
    cdef double* squares = squares_of(plan, number, True, piece)
    cdef int k
    for k in range(stage.operations):
        op = &stage.operation[k]
        if op.code == OP_BATCHNORM:
            use_gradient(
                plan, op.gamma + block.first, block.width, update, op.rate, squares, zero
            )
            use_gradient(plan, op.beta + block.first, block.width, update, op.rate, squares, zero)
        elif op.code == OP_PRELU and op.trained:
            use_gradient(
                plan, op.gamma + block.first, block.width, update, op.rate, squares, zero
            )
    if stage.affine and stage.trained:
        use_gradient(plan, stage.b + block.first, block.width, update, stage.rate, squares, zero)


cdef void add_slopes(
    Plan* plan, Operation* op, Py_ssize_t stride, Block* block, real zero
) noexcept nogil:
    """The gradient of PReLU's slopes: the pieces' sums, in their order."""
    cdef const real* slopes = <const real*>op.slopes
    cdef real* grads = <real*>plan.grads + op.gamma
    cdef double total
    cdef Py_ssize_t j
    cdef int part
    for j in range(block.first, block.first + block.width):
        total = 0
        for part in range(statistics_pieces(plan)):
            total += slopes[part * stride + j]
        grads[j] = <real>total


cdef void learn_columns(
    Plan* plan, int number, Py_ssize_t n, int rank, Update* update, real zero
) noexcept nogil:
    """The rest of the gradients of this thread's columns, and the updates."""
    cdef Stage* stage = &plan.stage[number]
    cdef const real* dout = <real*>stage.gradient
    cdef real* db = <real*>plan.grads + stage.b
    cdef double sums[TILE]
    cdef Block block
    cdef Py_ssize_t tile, j
    cdef int piece, i, k
    for piece in range(column_pieces(plan, stage)):
        if not own_columns(plan, number, piece, rank):
            continue
        block = columns_of(plan, stage, piece, n)
        for k in range(stage.operations):
            if stage.operation[k].code == OP_PRELU and stage.operation[k].trained:
                add_slopes(plan, &stage.operation[k], stage.stride, &block, zero)
        if stage.affine and stage.trained:
            for tile in range(tiles(block.width)):
                j = block.first + tile * TILE
                tile_sums(dout + j, n, stage.stride, tile_width(tile, block.width), sums)
                for i in range(tile_width(tile, block.width)):
                    db[j + i] = <real>sums[i]
        squares_of(plan, number, True, piece)[0] = 0
        update_columns(plan, number, piece, &block, update, zero)


cdef double gradient_norm(Plan* plan) noexcept nogil:
    """Of all that are used, from the sums of their squares, in one order."""
    cdef double total = 0
    cdef int k
    for k in range(plan.stages * 2 * MAX_PIECES):
        total += plan.squares[k]
    return sqrt(total)


cdef void update_clipped(
    Plan* plan, Py_ssize_t n, int rank, Update* update, real zero
) noexcept nogil:
    """The updates that had to wait for the norm of all gradients."""
    cdef Stage* stage
    cdef Block block
    cdef int number, piece
    update.measure = False
    update.factor = clip_factor(gradient_norm(plan), plan.clip_norm)
    for number in range(plan.stages):
        stage = &plan.stage[number]
        for piece in range(stage.slices):
            if stage.trained and piece % plan.threads == rank:
                update_weights(
                    plan, number, piece, stage.slice[piece],
                    stage.slice[piece + 1] - stage.slice[piece], update, zero
                )
        for piece in range(column_pieces(plan, stage)):
            if stage.reached and own_columns(plan, number, piece, rank):
                block = columns_of(plan, stage, piece, n)
                update_columns(plan, number, piece, &block, update, zero)


cdef void bound_weights(Plan* plan, int rank, real zero) noexcept nogil:
    """Scale down the columns that have become too long, on this thread's slices."""
    cdef Stage* stage
    cdef real* w
    cdef real scale[TILE]
    cdef double squares, norm
    cdef Py_ssize_t m, tile, first, i
    cdef int number, piece, other, j, width
    for number in range(plan.stages):
        stage = &plan.stage[number]
        m = stage.width
        if not stage.max_norm > 0:
            continue
        for piece in range(stage.slices):
            if piece % plan.threads != rank:
                continue
            for tile in range(tiles(m)):
                first = tile * TILE
                width = tile_width(tile, m)
                for j in range(width):
                    squares = 0
                    for other in range(stage.slices):
                        squares += stage.norms[other * m + first + j]
                    norm = sqrt(squares)
                    # NaN is on no side of the limit, and stays.
                    scale[j] = <real>(
                        stage.max_norm / (stage.max_norm if norm <= stage.max_norm else norm)
                    )
                w = <real*>plan.params + stage.w + first
                for i in range(stage.slice[piece], stage.slice[piece + 1]):
                    for j in range(width):
                        w[i * m + j] *= scale[j]


cdef void finish_updates(
    Plan* plan, Py_ssize_t n, int rank, Update* update, real zero
) noexcept nogil:
    """What must wait for all gradients, and for all rows of the weights; mostly nothing."""
    if plan.clip_norm > 0:
        fastnn_wait(&plan.barrier, plan.threads)
        update_clipped(plan, n, rank, update, zero)
    if plan.bounds_weights:
        fastnn_wait(&plan.barrier, plan.threads)
        bound_weights(plan, rank, zero)
