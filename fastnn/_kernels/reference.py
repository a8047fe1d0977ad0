"""The kernels in plain NumPy: the specification every other implementation is held to.

Legend
------
N           rows in the batch; K features coming in; M features going out; C classes
G           pieces of a maxout unit
x, out      what a kernel reads, what it writes: (N, features), C-contiguous
dv          the gradient of the loss with respect to v, of v's shape
w, b        weights (K, M) and bias (M,) of an affine map
p, g        parameters and their gradient; m, v, s, d the optimizer's running averages, of p's shape

Contract
--------
A kernel is a pure function of its arguments. Inputs come first, numbers next, the buffers it
writes last; the caller owns the buffers, and none overlaps an input. Arrays of one call share one
dtype, float32 or float64 (labels are int64, masks uint8). Only what is documented as "updated" is
both read and written. Where a parameter may be ``None``, that result is not computed. Losses and
penalties return a float. Shapes and dtypes are checked by the callers, at the public boundary.

Sums over rows, features or parameters are accumulated in float64 and rounded once, so that float32
results do not depend on the order in which an implementation adds.
"""

import numpy as np

# --------------------------------------------------------------------------------------------------
# Affine
# --------------------------------------------------------------------------------------------------


def affine_forward(x, w, b, out):
    """``out = x @ w + b``; x (N, K), w (K, M), b (M,), out (N, M)."""
    np.matmul(x, w, out=out)
    out += b


def affine_backward(dout, x, w, dx, dw, db):
    """``dx = dout @ w.T``, ``dw = x.T @ dout``, ``db = dout.sum(0)``.

    dout (N, M), x and dx (N, K), w and dw (K, M), db (M,). ``dx`` is None for the first layer,
    whose input needs no gradient; ``dw`` and ``db`` are None for a frozen one.
    """
    if dx is not None:
        np.matmul(dout, w.T, out=dx)
    if dw is not None:
        np.matmul(x.T, dout, out=dw)
    if db is not None:
        db[:] = dout.sum(axis=0, dtype=np.float64)


# --------------------------------------------------------------------------------------------------
# Batch normalization
# Ioffe and Szegedy, "Batch Normalization" (2015), https://arxiv.org/abs/1502.03167, algorithm 1.
# --------------------------------------------------------------------------------------------------


def batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps, mean, inv_std, out):
    """Normalize each feature by the statistics of the batch; x and out (N, M), the rest (M,).

    ``mean`` and ``inv_std = 1 / sqrt(var + eps)`` are kept for the backward pass; the variance is
    the biased one. ``running_mean`` and ``running_var`` are updated:
    ``running = momentum * running + (1 - momentum) * batch``.
    """
    batch_mean = x.mean(axis=0, dtype=np.float64)
    # Two passes: E[x^2] - E[x]^2 would lose the variance of a feature whose mean is large.
    batch_var = np.square(x - batch_mean).mean(axis=0)
    mean[:] = batch_mean
    inv_std[:] = 1.0 / np.sqrt(batch_var + eps)
    out[:] = gamma * ((x - mean) * inv_std) + beta
    running_mean[:] = momentum * running_mean + (1.0 - momentum) * batch_mean
    running_var[:] = momentum * running_var + (1.0 - momentum) * batch_var


def batchnorm_backward(dout, x, gamma, mean, inv_std, dx, dgamma, dbeta):
    """Gradient through the batch's own statistics; dout, x, dx (N, M), the rest (M,).

    With ``x_hat = (x - mean) * inv_std``::

        dbeta  = sum(dout)            dgamma = sum(dout * x_hat)
        dx     = gamma * inv_std * (dout - dbeta / N - x_hat * dgamma / N)

    The last two terms are what moving x does to the mean and to the variance. ``dx`` may be None.
    """
    x_hat = (x - mean) * inv_std
    sum_dout = dout.sum(axis=0, dtype=np.float64)
    sum_dout_x_hat = (dout * x_hat).sum(axis=0, dtype=np.float64)
    if dx is not None:
        n = x.shape[0]
        mean_dout = (sum_dout / n).astype(x.dtype)
        mean_dout_x_hat = (sum_dout_x_hat / n).astype(x.dtype)
        dx[:] = (gamma * inv_std) * (dout - mean_dout - x_hat * mean_dout_x_hat)
    dgamma[:] = sum_dout_x_hat
    dbeta[:] = sum_dout


def batchnorm_inference_forward(x, gamma, beta, running_mean, running_var, eps, out):
    """``out = gamma * (x - running_mean) / sqrt(running_var + eps) + beta``."""
    scale = gamma / np.sqrt(running_var + x.dtype.type(eps))
    out[:] = (x - running_mean) * scale + beta


def batchnorm_inference_backward(dout, gamma, running_var, eps, dx):
    """``dx = dout * gamma / sqrt(running_var + eps)``: frozen statistics are constants."""
    np.multiply(dout, gamma / np.sqrt(running_var + dout.dtype.type(eps)), out=dx)


# --------------------------------------------------------------------------------------------------
# Activations: elementwise, any shape, contiguous
# Comparisons are written so that NaN falls through to the output instead of becoming zero.
# --------------------------------------------------------------------------------------------------


def relu_forward(x, out):
    """``out = max(x, 0)``."""
    np.maximum(x, 0, out=out)


def relu_backward(dout, out, dx):
    """``dx = dout where out > 0, else 0``; from the output, so that x need not be kept."""
    dx[...] = np.where(out <= 0, 0, dout)


def leaky_relu_forward(x, slope, out):
    """``out = x where x > 0, else slope * x``."""
    out[...] = np.where(x > 0, x, x * x.dtype.type(slope))


def leaky_relu_backward(dout, x, slope, dx):
    """``dx = dout where x > 0, else slope * dout``."""
    dx[...] = np.where(x > 0, dout, dout * x.dtype.type(slope))


def sigmoid_forward(x, out):
    """``out = 1 / (1 + exp(-x))``, written with ``exp(-|x|)``, which cannot overflow."""
    e = np.exp(-np.abs(x))
    out[...] = np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(dout, out, dx):
    """``dx = dout * out * (1 - out)``."""
    dx[...] = dout * (out * (1 - out))


def tanh_forward(x, out):
    """``out = tanh(x)``."""
    np.tanh(x, out=out)


def tanh_backward(dout, out, dx):
    """``dx = dout * (1 - out^2)``, as ``(1 - out)(1 + out)``, which keeps its digits near 1."""
    dx[...] = dout * ((1 - out) * (1 + out))


def elu_forward(x, alpha, out):
    """``out = x where x > 0, else alpha * (exp(x) - 1)``.

    Clevert, Unterthiner and Hochreiter (2015), https://arxiv.org/abs/1511.07289.
    """
    out[...] = np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


def elu_backward(dout, out, alpha, dx):
    """``dx = dout where out > 0, else dout * (out + alpha)``; needs alpha >= 0."""
    dx[...] = np.where(out > 0, dout, dout * (out + out.dtype.type(alpha)))


def softplus_forward(x, out):
    """``out = log(1 + exp(x))``, written with ``exp(-|x|)``, which cannot overflow.

    Dugas et al. (2001), "Incorporating Second-Order Functional Knowledge for Better Option
    Pricing".
    """
    out[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(dout, out, dx):
    """``dx = dout * sigmoid(x)``, which is ``dout * (1 - exp(-out))``."""
    dx[...] = dout * -np.expm1(-out)


def gelu_forward(x, out):
    """``out = x * Phi(x)``, with Phi the distribution function of the standard normal.

    Hendrycks and Gimpel (2016), https://arxiv.org/abs/1606.08415: the exact form,
    ``Phi(x) = (1 + erf(x / sqrt(2))) / 2``, not its approximation by tanh. ``ndtr`` computes it
    without the cancellation of that sum where x is negative.
    """
    from scipy.special import ndtr  # here, so that importing fastnn does not load it

    out[...] = x * ndtr(x)


def gelu_backward(dout, x, dx):
    """``dx = dout * (Phi(x) + x * phi(x))``; phi is the density, ``exp(-x^2/2) / sqrt(2 pi)``."""
    from scipy.special import ndtr

    density = np.exp(-(x * x) / 2) / x.dtype.type(np.sqrt(2 * np.pi))
    dx[...] = dout * (ndtr(x) + x * density)


def silu_forward(x, out):
    """``out = x * sigmoid(x)``, also called swish.

    Elfwing, Uchibe and Doya (2017), https://arxiv.org/abs/1702.03118.
    """
    e = np.exp(-np.abs(x))
    out[...] = x * (np.where(x >= 0, 1, e) / (1 + e))


def silu_backward(dout, x, dx):
    """``dx = dout * s * (1 + x * (1 - s))`` with ``s = sigmoid(x)``.

    ``1 - s`` is computed as ``sigmoid(-x)``, which keeps its digits where s is near 1.
    """
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1, e) / (1 + e)
    rest = np.where(x >= 0, e, 1) / (1 + e)
    dx[...] = dout * (s * (1 + x * rest))


# --------------------------------------------------------------------------------------------------
# Activations with parameters, or with fewer features going out
# --------------------------------------------------------------------------------------------------


def prelu_forward(x, slope, out):
    """``out = x where x > 0, else slope * x``; x and out (N, M), slope (M,), one per feature.

    He et al. (2015), https://arxiv.org/abs/1502.01852, section 2.1.
    """
    out[:] = np.where(x > 0, x, x * slope)


def prelu_backward(dout, x, slope, dx, dslope):
    """``dx = dout where x > 0, else slope * dout``; ``dslope = sum(dout * x where x <= 0)``.

    dout, x and dx (N, M), slope and dslope (M,). From x, because a negative slope, or one of zero,
    hides its sign in the output. Either result may be None: ``dx`` for the first layer, ``dslope``
    for a frozen one.
    """
    if dx is not None:
        dx[:] = np.where(x > 0, dout, dout * slope)
    if dslope is not None:
        dslope[:] = np.where(x > 0, 0, dout * x).sum(axis=0, dtype=np.float64)


def maxout_forward(x, winners, out):
    """The largest of G pieces; x (N, G, M), out (N, M), ``winners`` (N, M) its number, uint8.

    Goodfellow et al. (2013), https://arxiv.org/abs/1302.4389. The first of equal pieces wins, and
    NaN wins over any number. G is at most 256.
    """
    winners[:] = x.argmax(axis=1)
    x.max(axis=1, out=out)


def maxout_backward(dout, winners, dx):
    """``dx[:, g] = dout where g won, else 0``; dout and winners (N, M), dx (N, G, M)."""
    pieces = np.arange(dx.shape[1])[:, None]
    dx[:] = np.where(winners[:, None] == pieces, dout[:, None], 0)


# --------------------------------------------------------------------------------------------------
# Dropout
# Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html, "inverted": what stays
# is scaled in training, so that inference is the identity.
# --------------------------------------------------------------------------------------------------

_U64 = 0xFFFFFFFFFFFFFFFF


def _mix64(z):
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): each bit moves all."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _U64
    return z ^ (z >> 31)


def _dropout_key(seed, step, layer):
    """Two 32-bit keys that depend on every bit of (seed, step, layer)."""
    z = _mix64((seed + 0x9E3779B97F4A7C15) & _U64)
    z = _mix64(((z ^ step) + 0x9E3779B97F4A7C15) & _U64)
    z = _mix64(((z ^ layer) + 0x9E3779B97F4A7C15) & _U64)
    return np.uint32(z & 0xFFFFFFFF), np.uint32(z >> 32)


def _mix32(h):
    """A 32-bit bijection with low bias (shifts and multipliers: C. Wellons, "Hash prospector")."""
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def _element_hashes(n, key0, key1):
    """32 random bits for each of n elements: a hash of the index with two keys."""
    h = np.arange(n, dtype=np.uint32)
    h ^= key0
    h = _mix32(h)
    h ^= key1
    return _mix32(h)


def dropout_forward(x, ratio, seed, step, layer, mask, out):
    """Draw ``mask`` (1 keeps, 0 drops, uint8) and write ``out = x * mask / (1 - ratio)``.

    The mask is a pure function of (seed, step, layer, element): a hash of the element's index with
    two keys, uniform over 32 bits, compared with the ratio. No state, no order, the same bits in
    every implementation and for any number of threads. ``seed``, ``step`` and ``layer`` are
    non-negative and below 2^63; elements beyond 2^32 repeat the mask.
    """
    h = _element_hashes(x.size, *_dropout_key(seed, step, layer))
    mask.reshape(-1)[:] = h >= np.uint32(ratio * 2.0**32)
    # A product, not a selection: a dropped NaN stays visible.
    np.multiply(x, mask * x.dtype.type(1.0 / (1.0 - ratio)), out=out)


def dropout_backward(dout, mask, ratio, dx):
    """``dx = dout * mask / (1 - ratio)``."""
    np.multiply(dout, mask * dout.dtype.type(1.0 / (1.0 - ratio)), out=dx)


# --------------------------------------------------------------------------------------------------
# Noise, as random as dropout: a pure function of (seed, step, layer, element)
# Vincent et al. (2010), https://jmlr.org/papers/v11/vincent10a.html, section 3.
# --------------------------------------------------------------------------------------------------


def masking_noise_forward(x, ratio, seed, step, layer, mask, out):
    """Draw ``mask`` as `dropout_forward` and write ``out = x * mask``: what stays is not scaled."""
    h = _element_hashes(x.size, *_dropout_key(seed, step, layer))
    mask.reshape(-1)[:] = h >= np.uint32(ratio * 2.0**32)
    np.multiply(x, mask, out=out)


def masking_noise_backward(dout, mask, dx):
    """``dx = dout * mask``."""
    np.multiply(dout, mask, out=dx)


def gaussian_noise_forward(x, std, seed, step, layer, out):
    """``out = x + std * z`` with a standard normal z for each element; its gradient is dout's.

    ``z = sqrt(-2 log u) cos(2 pi v)``, Box and Muller (1958),
    https://doi.org/10.1214/aoms/1177706645. Of two hashes of the element the upper 24 bits count,
    which float32 holds exactly: u in (0, 1], v in [0, 1), the same in either dtype. So |z| stays
    below 5.8, which a normal number exceeds once in 10^8 times.
    """
    key0, key1 = _dropout_key(seed, step, layer)
    h = _element_hashes(x.size, key0, key1)
    u = ((h >> np.uint32(8)) + 1.0) * 2.0**-24
    v = (_mix32(h ^ key0) >> np.uint32(8)) * 2.0**-24
    z = np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
    out[...] = x + (std * z).astype(x.dtype).reshape(x.shape)


# --------------------------------------------------------------------------------------------------
# Losses: each returns the mean over the batch and writes the gradient of that mean
# ``weights`` (N,) or None: with weights, the loss is sum(weights * rows) / N. A gradient buffer of
# None asks for the value only.
# --------------------------------------------------------------------------------------------------


def _row_weights(weights, n, dtype):
    """What a row's loss is multiplied by: 1/N, or its weight over N; (N, 1)."""
    if weights is None:
        return np.full((n, 1), 1.0 / n, dtype=dtype)
    return (weights * dtype.type(1.0 / n))[:, None]


def softmax_forward(x, out):
    """``out = exp(x - max) / sum(exp(x - max))`` for each row; x and out (N, C)."""
    np.exp(x - x.max(axis=1, keepdims=True), out=out)
    out /= out.sum(axis=1, keepdims=True, dtype=np.float64)


def softmax_backward(dout, out, dx):
    """``dx = out * (dout - sum(dout * out))`` for each row; all (N, C)."""
    shared = (dout * out).sum(axis=1, keepdims=True, dtype=np.float64).astype(out.dtype)
    dx[:] = out * (dout - shared)


def softmax_cross_entropy(logits, labels, weights, probs, dlogits):
    """Loss ``-log softmax(logits)[label]``; logits, probs, dlogits (N, C), labels (N,) int64.

    ``dlogits = (probs - onehot(labels)) * weight / N``. The logarithm never sees a probability:
    ``-log p = log(sum exp(x - max)) - (x - max)[label]``, finite where p underflows to zero.
    """
    n = logits.shape[0]
    rows = np.arange(n)
    shifted = logits - logits.max(axis=1, keepdims=True)
    np.exp(shifted, out=probs)
    total = probs.sum(axis=1, dtype=np.float64)
    probs /= total[:, None]
    losses = np.log(total) - shifted[rows, labels]
    if dlogits is not None:
        dlogits[:] = probs
        dlogits[rows, labels] -= 1
        dlogits *= _row_weights(weights, n, logits.dtype)
    return float((losses if weights is None else losses * weights).sum() / n)


def softmax_cross_entropy_soft(logits, targets, weights, probs, dlogits):
    """Loss ``-sum(targets * log softmax(logits))``; all (N, C), targets one-hot or soft.

    ``dlogits = (probs * sum(targets) - targets) * weight / N``. A target of zero contributes zero,
    even where its log-probability is minus infinity, so that one-hot rows equal integer labels.
    """
    n = logits.shape[0]
    shifted = logits - logits.max(axis=1, keepdims=True)
    np.exp(shifted, out=probs)
    total = probs.sum(axis=1, dtype=np.float64)
    probs /= total[:, None]
    surprise = np.log(total)[:, None] - shifted
    losses = np.multiply(targets, surprise, out=np.zeros_like(surprise), where=targets != 0)
    losses = losses.sum(axis=1)
    if dlogits is not None:
        mass = targets.sum(axis=1, keepdims=True, dtype=np.float64).astype(logits.dtype)
        dlogits[:] = probs * mass - targets
        dlogits *= _row_weights(weights, n, logits.dtype)
    return float((losses if weights is None else losses * weights).sum() / n)


def cross_entropy(probs, labels, weights, guard, dprobs):
    """Loss ``-log(probs[label] + guard)``; probs and dprobs (N, C), labels (N,) int64.

    ``dprobs = -weight / N / (probs + guard)`` at the label, else 0. The textbook's form for a
    network that ends with a softmax layer: the guard, 1e-7, keeps the logarithm of zero finite.
    Saitoh, "Deep Learning from Scratch" (2016), section 4.2.
    """
    n = probs.shape[0]
    rows = np.arange(n)
    chosen = probs[rows, labels]
    losses = -np.log(chosen.astype(np.float64) + guard)
    if dprobs is not None:
        dprobs[:] = 0
        weight = _row_weights(weights, n, probs.dtype)[:, 0]
        dprobs[rows, labels] = -weight / (chosen + probs.dtype.type(guard))
    return float((losses if weights is None else losses * weights).sum() / n)


def cross_entropy_soft(probs, targets, weights, guard, dprobs):
    """Loss ``-sum(targets * log(probs + guard))``; all (N, C), targets one-hot or soft.

    ``dprobs = -targets * weight / N / (probs + guard)``. Where a target is zero the logarithm is
    not needed; the product with the probability, zero too, lets its NaN through.
    """
    n = probs.shape[0]
    surprise = targets * np.log(probs.astype(np.float64) + guard)
    losses = -np.where(targets == 0, targets * probs, surprise).sum(axis=1)
    if dprobs is not None:
        weight = _row_weights(weights, n, probs.dtype)
        dprobs[:] = -targets * weight / (probs + probs.dtype.type(guard))
    return float((losses if weights is None else losses * weights).sum() / n)


def binary_cross_entropy(logits, targets, weights, dlogits):
    """``-t log(p) - (1 - t) log(1 - p)`` with ``p = sigmoid(logits)``, mean over rows and columns.

    All (N, M), targets in [0, 1]; ``dlogits = (p - t) * weight / (N M)``. Each column is a yes or
    no of its own. With ``wrong``, the part of the target on the other side of zero than the logit,
    the loss is ``wrong * |logit| + log(1 + exp(-|logit|))``: nothing overflows, nothing cancels.
    """
    n, m = logits.shape
    size = np.abs(logits)
    e = np.exp(-size)
    wrong = np.where(logits > 0, 1 - targets, targets)
    losses = (wrong * size + np.log1p(e)).sum(axis=1, dtype=np.float64) / m
    if dlogits is not None:
        # sigmoid(-|logit|) keeps the digits that 1 - p would lose.
        excess = e / (1 + e) - wrong
        weight = _row_weights(weights, n, logits.dtype) * logits.dtype.type(1.0 / m)
        np.multiply(np.where(logits > 0, -excess, excess), weight, out=dlogits)
    return float((losses if weights is None else losses * weights).sum() / n)


def mean_squared_error(pred, target, weights, dpred):
    """``mean((pred - target)^2)`` over rows and features; pred, target, dpred (N, M)."""
    n, m = pred.shape
    diff = pred - target
    losses = np.square(diff).sum(axis=1, dtype=np.float64) / m
    if dpred is not None:
        np.multiply(
            diff, _row_weights(weights, n, pred.dtype) * pred.dtype.type(2.0 / m), out=dpred
        )
    return float((losses if weights is None else losses * weights).sum() / n)


def sum_squared_error(pred, target, weights, dpred):
    """``0.5 * sum((pred - target)^2)`` over features, mean over rows; all arrays (N, M)."""
    n = pred.shape[0]
    diff = pred - target
    losses = 0.5 * np.square(diff).sum(axis=1, dtype=np.float64)
    if dpred is not None:
        np.multiply(diff, _row_weights(weights, n, pred.dtype), out=dpred)
    return float((losses if weights is None else losses * weights).sum() / n)


def mean_absolute_error(pred, target, weights, dpred):
    """``mean(|pred - target|)`` over rows and features; all (N, M); flat at zero."""
    n, m = pred.shape
    diff = pred - target
    losses = np.abs(diff).sum(axis=1, dtype=np.float64) / m
    if dpred is not None:
        weight = _row_weights(weights, n, pred.dtype) * pred.dtype.type(1.0 / m)
        np.multiply(np.sign(diff), weight, out=dpred)
    return float((losses if weights is None else losses * weights).sum() / n)


def huber(pred, target, weights, delta, dpred):
    """Half the square of ``d = pred - target`` up to delta, from there on a line; all (N, M).

    ``0.5 d^2`` where ``|d| <= delta``, else ``delta * (|d| - 0.5 delta)``; mean over rows and
    features. With ``c``, d clipped to [-delta, delta], both are ``c * (d - 0.5 c)`` and the
    gradient is c. Huber (1964), https://doi.org/10.1214/aoms/1177703732.
    """
    n, m = pred.shape
    diff = pred - target
    clipped = np.clip(diff, pred.dtype.type(-delta), pred.dtype.type(delta))
    losses = (clipped * (diff - 0.5 * clipped)).sum(axis=1, dtype=np.float64) / m
    if dpred is not None:
        weight = _row_weights(weights, n, pred.dtype) * pred.dtype.type(1.0 / m)
        np.multiply(clipped, weight, out=dpred)
    return float((losses if weights is None else losses * weights).sum() / n)


# --------------------------------------------------------------------------------------------------
# Penalties: return the penalty and add its gradient to dw (which may be None); any shape
# --------------------------------------------------------------------------------------------------


def l1_penalty(w, strength, dw):
    """``strength * sum |w|``; ``dw += strength * sign(w)``, with sign(0) = 0."""
    if dw is not None:
        dw += np.sign(w) * w.dtype.type(strength)
    return float(strength * np.abs(w).sum(dtype=np.float64))


def l2_penalty(w, strength, dw):
    """``strength / 2 * sum w^2``; ``dw += strength * w``."""
    if dw is not None:
        dw += w * w.dtype.type(strength)
    return float(0.5 * strength * np.square(w, dtype=np.float64).sum())


# --------------------------------------------------------------------------------------------------
# Bounds on gradients, before an update, and on weights, after it; g and w are updated
# --------------------------------------------------------------------------------------------------


def clip_by_value(g, limit):
    """``g = min(max(g, -limit), limit)``; any shape."""
    np.clip(g, g.dtype.type(-limit), g.dtype.type(limit), out=g)


def squared_norm(g):
    """``sum g^2``; any shape."""
    wide = g.astype(np.float64)
    return float((wide * wide).sum())


def clip_by_norm(g, norm, limit):
    """``g *= min(1, limit / (norm + 1e-6))``; any shape.

    ``norm`` is that of all gradients together, of which g may be a part: their direction stays.
    Pascanu et al. (2013), https://arxiv.org/abs/1211.5063; as `torch.nn.utils.clip_grad_norm_`.
    """
    g *= g.dtype.type(np.minimum(1.0, limit / (norm + 1e-6)))


def max_norm(w, limit):
    """Scale each column of w (K, M) that is longer than the limit down to it; limit > 0.

    ``w[:, j] *= limit / max(|w[:, j]|, limit)``: a column is what comes into a unit.
    Srebro and Shraibman (2005); with dropout Srivastava et al. (2014), section 5.1.
    """
    norms = np.sqrt(np.square(w, dtype=np.float64).sum(axis=0))
    w *= (limit / np.maximum(norms, limit)).astype(w.dtype)


# --------------------------------------------------------------------------------------------------
# Optimizers: one update of a flat buffer. p and the running averages are updated, g is read.
# Formulas and defaults are those of torch.optim. ``step`` counts from 1.
# --------------------------------------------------------------------------------------------------


def sgd_update(p, g, lr):
    """``p -= lr * g``."""
    p -= p.dtype.type(lr) * g


def momentum_update(p, g, v, lr, momentum):
    """``v = momentum * v + g; p -= lr * v``. Polyak (1964)."""
    v *= p.dtype.type(momentum)
    v += g
    p -= p.dtype.type(lr) * v


def nesterov_update(p, g, v, lr, momentum):
    """``v = momentum * v + g; p -= lr * (g + momentum * v)``.

    Sutskever et al. (2013), https://proceedings.mlr.press/v28/sutskever13.html, in the form that
    needs the gradient only at p.
    """
    v *= p.dtype.type(momentum)
    v += g
    p -= p.dtype.type(lr) * (g + p.dtype.type(momentum) * v)


def adagrad_update(p, g, s, lr, eps):
    """``s += g^2; p -= lr * g / (sqrt(s) + eps)``.

    Duchi, Hazan and Singer (2011), https://jmlr.org/papers/v12/duchi11a.html.
    """
    s += g * g
    p -= p.dtype.type(lr) * g / (np.sqrt(s) + p.dtype.type(eps))


def rmsprop_update(p, g, s, lr, alpha, eps):
    """``s = alpha * s + (1 - alpha) * g^2; p -= lr * g / (sqrt(s) + eps)``.

    Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012).
    """
    s *= p.dtype.type(alpha)
    s += p.dtype.type(1.0 - alpha) * (g * g)
    p -= p.dtype.type(lr) * g / (np.sqrt(s) + p.dtype.type(eps))


def adadelta_update(p, g, s, d, lr, rho, eps):
    """``u = g * sqrt(d + eps) / sqrt(s + eps); p -= lr * u``, s and d averaging g^2 and u^2.

    Zeiler (2012), https://arxiv.org/abs/1212.5701, algorithm 1.
    """
    rho_, rest, eps_ = p.dtype.type(rho), p.dtype.type(1.0 - rho), p.dtype.type(eps)
    s *= rho_
    s += rest * (g * g)
    u = np.sqrt(d + eps_) / np.sqrt(s + eps_) * g
    d *= rho_
    d += rest * (u * u)
    p -= p.dtype.type(lr) * u


def _moments(g, m, v, beta1, beta2):
    """The running averages of the gradient and of its square that Adam and its kin share."""
    m *= m.dtype.type(beta1)
    m += m.dtype.type(1.0 - beta1) * g
    v *= v.dtype.type(beta2)
    v += v.dtype.type(1.0 - beta2) * (g * g)


def adam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    """``p -= lr * m_hat / (sqrt(v_hat) + eps)``, where ``m_hat = m / (1 - beta1^t)``, v_hat alike.

    Kingma and Ba (2014), https://arxiv.org/abs/1412.6980, algorithm 1.
    """
    _moments(g, m, v, beta1, beta2)
    step_size = p.dtype.type(lr / (1.0 - beta1**step))
    inv_root = p.dtype.type(1.0 / np.sqrt(1.0 - beta2**step))
    p -= step_size * m / (np.sqrt(v) * inv_root + p.dtype.type(eps))


def adamw_update(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step):
    """``p *= 1 - lr * weight_decay``, then as Adam.

    Loshchilov and Hutter (2017), https://arxiv.org/abs/1711.05101, algorithm 2.
    """
    p *= p.dtype.type(1.0 - lr * weight_decay)
    adam_update(p, g, m, v, lr, beta1, beta2, eps, step)


def radam_update(p, g, m, v, lr, beta1, beta2, eps, step):
    """Adam with the variance of its adaptive rate rectified; plain momentum in the first steps.

    Liu et al. (2019), https://arxiv.org/abs/1908.03265, algorithm 2. ``rho`` is the length of the
    simple moving average that v approximates; below 5 its variance cannot be bounded.
    """
    _moments(g, m, v, beta1, beta2)
    step_size = lr / (1.0 - beta1**step)
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * step * beta2**step / (1.0 - beta2**step)
    if rho <= 5.0:
        p -= p.dtype.type(step_size) * m
        return
    rectifier = np.sqrt(
        (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
    )
    adaptive = p.dtype.type(step_size * rectifier * np.sqrt(1.0 - beta2**step))
    p -= adaptive * m / (np.sqrt(v) + p.dtype.type(eps))
