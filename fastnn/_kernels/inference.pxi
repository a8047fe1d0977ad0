# Inference: every thread takes rows through the whole network. Included by program.pyx.


cdef struct Reading:
    Plan* plan
    const Source* source
    int threads
    int rank
    Py_ssize_t rows
    void* out
    char* scratch                # two buffers for each thread
    Py_ssize_t buffer_bytes


cdef void infer_rows(Reading* reading, Py_ssize_t start, Py_ssize_t n, real zero) noexcept nogil:
    cdef Plan* plan = reading.plan
    cdef const Source* source = reading.source
    cdef char* scratch = reading.scratch + 2 * reading.rank * reading.buffer_bytes
    cdef real* result = <real*>reading.out + start * plan.stage[plan.stages - 1].width
    cdef const real* params = <const real*>plan.params
    cdef const real* state = <const real*>plan.state
    cdef const real* x
    cdef real* out
    cdef Stage* stage
    cdef Operation* op
    cdef Block block
    cdef uint8_t winners[TILE]
    cdef Py_ssize_t i, tile, j, width = source.features
    cdef int number, k, turn = 0, left = plan.stages
    for number in range(plan.stages):
        left += visible_operations(&plan.stage[number])
    left -= 1  # the input is there already
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
        if number:
            left -= 1
            out = <real*>(scratch + turn * reading.buffer_bytes) if left else result
            if stage.maxout:
                for i in range(n):
                    for tile in range(tiles(stage.width)):
                        j = tile * TILE
                        maxout_forward_span(
                            x + i * width + j, stage.maxout, stage.width, winners,
                            out + i * stage.width + j, tile_width(tile, stage.width)
                        )
            else:
                block = Block(0, n, 0, stage.width, stage.width, 0)
                affine_block(
                    x, width, params + stage.w, params + stage.b, out, stage.width, &block, width,
                    stage.width
                )
            x = out
            width = stage.width
            turn = 1 - turn
        for k in range(stage.operations):
            op = &stage.operation[k]
            if not visible(op):
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
            elif op.code == OP_PRELU:
                for i in range(n):
                    prelu_forward_span(x + i * width, params + op.gamma, out + i * width, width)
            elif op.code == OP_SOFTMAX:
                softmax_rows(x, out, n, width)
            else:
                memcpy(out, x, n * width * sizeof(real))
                if op.code == OP_DROPOUT:
                    scale_span(out, <real>op.expected, n * width)
                else:
                    activate(op, out, n * width)
            x = out
            turn = 1 - turn


cdef inline bint visible(Operation* op) noexcept nogil:
    """Whether it does something in inference: noise does not, dropout mostly not."""
    if op.code == OP_DROPOUT:
        return op.expected != 1.0
    return op.code != OP_GAUSSIAN_NOISE


cdef inline int visible_operations(Stage* stage) noexcept nogil:
    cdef int k, count = 0
    for k in range(stage.operations):
        count += visible(&stage.operation[k])
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
