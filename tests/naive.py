"""Slow, obviously right twins of what bnnsim computes, on +-1 integers; imports nothing from bnnsim.

N batch, F features, U units, C and K channels in and out, H, W image, OH, OW output, T = kh * kw taps.
Activations are N, H, W, C; images N, C, H, W; weights (U, F) or (K, kh, kw, C). Bit f of a row is bit f % 64
of word f // 64.
"""

import math
from fractions import Fraction

import numpy as np

FULL_SCALE = 32767
SECOND_KEY = 0xA5A5A5A5A5A5A5A5


# bits

def pack(pm1):
    """Rows of +-1 (..., F) -> words (..., ceil(F / 64)): bit 1 is +1; bits past F are 0."""
    n_words = -(-pm1.shape[-1] // 64)
    bits = np.zeros((*pm1.shape[:-1], 64 * n_words), np.uint64)
    bits[..., :pm1.shape[-1]] = pm1 >= 0
    return (bits.reshape(*pm1.shape[:-1], n_words, 64) << np.arange(64, dtype=np.uint64)).sum(axis=-1, dtype=np.uint64)


def bit(words, n, f):
    return int(words[n, f // 64]) >> (f % 64) & 1


def unpack(words, n_features):
    f = np.arange(n_features)
    return 2 * (words[:, f // 64] >> (f % 64).astype(np.uint64) & np.uint64(1)).astype(np.int64) - 1


def count(words):
    return sum(int(word).bit_count() for word in words.reshape(-1))


# sums of products, exact in int64

def dense(x, weights):
    """Pre-activations (N, U) of x (N, F)."""
    return x.astype(np.int64) @ weights.astype(np.int64).T


def out_size(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def patches(x, kernel, stride, padding, pad_value):
    """What each output position reads: (N, OH, OW, kh, kw, C)."""
    (kh, kw), (_, height, width, _) = kernel, x.shape
    edge = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x.astype(np.int64), edge, constant_values=pad_value)
    rows = [[x[:, i * stride:i * stride + kh, j * stride:j * stride + kw]
             for j in range(out_size(width, kw, stride, padding))]
            for i in range(out_size(height, kh, stride, padding))]
    return np.moveaxis(np.array(rows), 2, 0)


def conv(x, weights, stride, padding, pad_value):
    """Pre-activations (N, OH, OW, K) of x (N, H, W, C); a padded position holds `pad_value` throughout."""
    return np.einsum("nijabc,kabc->nijk", patches(x, weights.shape[1:3], stride, padding, pad_value),
                     weights.astype(np.int64))


def conv_dx(dh, weights, x_shape, stride, padding):
    """What each input gets back: every output hands its gradient to every input that it read."""
    (_, out_height, out_width, _), (n, height, width, channels) = dh.shape, x_shape
    dx = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), np.int64)
    for i in range(out_height):
        for j in range(out_width):
            for a in range(weights.shape[1]):
                for b in range(weights.shape[2]):
                    dx[:, i * stride + a, j * stride + b] += dh[:, i, j].astype(np.int64) @ weights[:, a, b]
    return dx[:, padding:padding + height, padding:padding + width]


def conv_dweight(dh, x, kernel, stride, padding, pad_value):
    """Gradient (K, kh, kw, C): each output's gradient times what it read."""
    return np.einsum("nijk,nijabc->kabc", dh.astype(np.int64), patches(x, kernel, stride, padding, pad_value))


def pixels(images, offset):
    """uint8 images (N, C, H, W) -> integers (N, H, W, C)."""
    return np.moveaxis(images.astype(np.int64) - offset, 1, 3)


# max-pool, batch norm, sign

def max_pool(h, size):
    """Largest entry of each window and its number in the window, the first where several tie."""
    n, height, width, channels = h.shape
    out = np.zeros((n, height // size, width // size, channels), np.int64)
    winner = np.zeros_like(out)
    for i, j in np.ndindex(out.shape[1:3]):
        window = h[:, i * size:(i + 1) * size, j * size:(j + 1) * size].reshape(n, size * size, channels)
        out[:, i, j], winner[:, i, j] = window.max(axis=1), window.argmax(axis=1)
    return out, winner


def max_pool_backward(dout, winner, size, h_shape):
    dh = np.zeros(h_shape, dout.dtype)
    for n, i, j, c in np.ndindex(dout.shape):
        row, column = divmod(int(winner[n, i, j, c]), size)
        dh[n, i * size + row, j * size + column, c] = dout[n, i, j, c]
    return dh


def moments(h):
    """Mean and biased variance of each column, as exact fractions."""
    columns = [[Fraction(int(value)) for value in column] for column in h.T]
    means = [sum(column) / len(column) for column in columns]
    return means, [sum((v - mean) ** 2 for v in column) / len(column) for column, mean in zip(columns, means)]


def batch_norm(h, mean, scale, shift):
    """(h - mean) * scale + shift in float64, one number at a time."""
    return np.array([[(float(h[n, u]) - float(mean[u])) * float(scale[u]) + float(shift[u])
                      for u in range(h.shape[1])] for n in range(h.shape[0])])


def through_sign(dout, y, estimator="clipped", beta=5.0):
    """The gradient times the straight-through estimator's pseudo-gradient at y."""
    if estimator == "swish":
        steep = np.minimum(beta * np.abs(y), 700.0)             # cosh(710) overflows; here the result is 1e-300 at most
        pseudo = beta * (2 - steep * np.tanh(steep / 2)) / (1 + np.cosh(steep))
    else:
        pseudo = {"identity": np.ones_like(y), "clipped": 1.0 * (np.abs(y) <= 1),
                  "approx": np.where(np.abs(y) <= 1, 2 - 2 * np.abs(y), 0.0)}[estimator]
    return np.where(pseudo == 0, 0.0, dout.astype(np.float64) * pseudo)


def batch_norm_backward(dy, h, mean, inverse, scale):
    """dh, dgamma, dbeta in float64, of y = gamma * (h - mean(h)) / std(h) + beta; sums run in row order."""
    n_rows, n_units = h.shape
    dgamma, dbeta = np.zeros(n_units), np.zeros(n_units)
    normed = (h - mean) * inverse
    for n in range(n_rows):
        dbeta += dy[n]
        dgamma += dy[n] * normed[n]
    return scale * (dy - dbeta / n_rows - normed * (dgamma / n_rows)), dgamma, dbeta


def batch_threshold(h, gamma, beta, eps):
    """s of each unit at which the batch norm of h (N, P, U) is 0."""
    return h.mean((0, 1)) - beta * np.sqrt(h.var((0, 1)) + eps) / gamma


def lacking_tolerance(layers, target):
    """Mean over neurons and images of max(0, T* - T), T = (|h - s| - 1) / (2 Z) at the nearest position.

    layers : (h (N, P, U), gamma, beta, eps, Z) of each hidden layer; gamma is not 0.
    """
    lacks = []
    for h, gamma, beta, eps, level in layers:
        tolerance = (np.abs(h - batch_threshold(h, gamma, beta, eps)) - 1) / (2 * level)
        lacks.append(np.maximum(0, target - tolerance.min(axis=1)))
    return np.concatenate(lacks, axis=1).mean()


def threshold(mean, scale, shift, largest):
    """(theta, inverted): (h >= theta) xor inverted is the sign of the batch norm, for all |h| <= largest."""
    signs = [(h - mean) * scale + shift >= 0.0 for h in range(-largest, largest + 1)]
    inverted = signs[0] if signs[0] != signs[-1] else scale < 0
    wanted = [sign != inverted for sign in signs]
    return (wanted.index(True) - largest if any(wanted) else largest + 1), inverted


def threshold_bits(h, theta, inverted):
    """+-1 of (h >= theta) xor inverted; theta and inverted run over the last axis."""
    return np.where((h >= theta) != inverted, 1, -1)


# fixed point and optimizers

def fixed_point(values):
    """(int16 values, scale) of one row that is summed along: nearest, ties to even."""
    largest = max(abs(float(value)) for value in values.reshape(-1))
    scale = largest / FULL_SCALE if largest else 1.0
    whole = [round(Fraction(float(value)) / Fraction(scale)) for value in values.reshape(-1)]
    return np.array(whole, np.int64).reshape(values.shape), scale


def adam(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound):
    """Kingma & Ba, algorithm 1, in float32; returns the new (value, first, second)."""
    one = np.float32(1)
    first = beta1 * first + (one - beta1) * gradient
    second = beta2 * second + (one - beta2) * gradient * gradient
    value = value - step_size * first / (np.sqrt(second) * second_scale + eps)
    return np.clip(value, -bound, bound), first, second


def consolidation(value, m):
    """1 - tanh(m value)^2 as 4 e / (1 + e)^2, e = exp(-2 m |value|), in float32: a Taylor sum, 2^-k times."""
    one, z = np.float32(1), np.minimum(np.abs(np.float32(2) * np.float32(m) * value), np.float32(80))
    k = np.floor(z * np.float32(1 / math.log(2)) + np.float32(0.5))
    r = (z - k * np.float32(0.693359375)) - k * np.float32(math.log(2) - 0.693359375)
    e = np.zeros_like(z)
    for i in reversed(range(8)):
        e = e * r + np.float32((-1) ** i / math.factorial(i))
    e = np.ldexp(e, -k.astype(int))
    return np.float32(4) * e / ((one + e) * (one + e))


def metaplastic(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound, m):
    """Laborieux et al. 2021: what `adam` takes from a value is multiplied where it moves that towards zero."""
    _, first, second = adam(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound)
    change = step_size * first / (np.sqrt(second) * second_scale + eps)
    towards = np.sign(change) == np.where(value >= 0, 1, -1)
    value = value - np.where(towards, change * consolidation(value, m), change)
    return np.clip(value, -bound, bound), first, second


def momentum(value, gradient, velocity, rate, learning_rate, bound):
    velocity = rate * velocity + gradient
    return np.clip(value - learning_rate * velocity, -bound, bound), velocity


def bop(value, gradient, average, gamma, tau):
    """Helwegen et al. 2019, in float32; returns the new (+-1 value, average)."""
    average = (np.float32(1) - gamma) * average + gamma * gradient
    sign = np.where(value >= 0, 1, -1).astype(np.float32)
    return np.where((np.abs(average) >= tau) & (np.sign(average) == sign), -sign, sign), average


# random flips

def philox(counter, key0, key1):
    """Philox4x64-10 of (counter, 0, 0, 0): NumPy adds 1 to its counter before it draws."""
    generator = np.random.Philox(counter=(counter - 1) % 2**256, key=key0 + (key1 << 64))
    return [int(word) for word in generator.random_raw(4)]


def draw(index, i, key0, key1):
    """The 32-bit draw of bit i of word `index`."""
    word = philox(8 * index + i // 8, key0, key1)[i % 8 // 2]
    return word >> 32 if i % 2 else word % 2**32


def flips(n_rows, n_features, key0, key1, threshold):
    """Bits (N, F) that flip: u < threshold, for 64-bit u made of a first and a second draw."""
    n_words = -(-n_features // 64)
    out = np.zeros((n_rows, n_features), bool)
    for n, f in np.ndindex(out.shape):
        index, i = n * n_words + f // 64, f % 64
        u = (draw(index, i, key0, key1) << 32) + draw(index, i, key0, key1 ^ SECOND_KEY)
        out[n, f] = u < threshold
    return out
