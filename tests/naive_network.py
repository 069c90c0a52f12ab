"""A whole binarized network in NumPy, obviously right and slow; gradients are float64 and never quantised.

A network is a list of blocks, dicts with the latent ``weight`` (U, F) or (K, kh, kw, C), a conv's
``stride``, ``padding``, ``pad_value``, ``pool``, batch norm's ``gamma``, ``beta``, ``mean``, ``variance``,
``eps`` (absent: integer logits), and ``sign``, which says whether the block ends in +-1. `of_model` reads
such a list off a bnnsim model, by attributes.

Beside every gradient, `backward` gives a bound on what 16-bit fixed point and float32 may change in it,
derived from the definition: a row of values v is rounded to multiples of max |v| / 32767, hence by at most
half of that.
"""

import naive
import numpy as np

# of a float32, doubled: each intermediate result is rounded once or twice
ROUND32 = 2.0**-23


def signs(weight):
    return np.where(weight >= 0, 1, -1)


def of_model(model):
    """Copies of what a bnnsim model holds now."""
    blocks = []
    for layer in model.layers:
        kind = type(layer).__name__
        if "weight" in layer.parameters:
            blocks.append({"weight": layer.parameters["weight"].copy(), "pool": 1, "sign": False})
            if len(blocks[-1]["weight"].shape) == 4:            # of one stride and one padding
                blocks[-1] |= {"stride": layer.stride[0], "padding": layer.padding[0], "pad_value": layer.pad_value}
        elif kind == "MaxPool2d":
            blocks[-1]["pool"] = layer.windows.height
        elif kind.startswith("BatchNorm"):
            blocks[-1] |= {name: value.astype(np.float64) for name, value in
                           {**layer.parameters, **layer.running}.items()}
            blocks[-1] |= {"eps": layer.eps, "sign": kind == "BatchNormSign"}
    return blocks


# ---------------------------------------------------------------- forward

def product(block, x):
    """Pre-activations after pooling, and what the backward pass needs of it; x (N, F) or (N, H, W, C)."""
    weight = signs(block["weight"])
    if weight.ndim == 2:
        return naive.dense(x.reshape(len(x), -1), weight), None
    h = naive.conv(x, weight, block["stride"], block["padding"], block["pad_value"])
    pooled, winner = naive.max_pool(h, block["pool"])
    return pooled, (h.shape, winner)


def normed(block, h, mean, variance):
    """Batch norm of integers over the last axis, as is promised: (h - mean) * scale + shift."""
    return (h - mean) * (block["gamma"] / np.sqrt(variance + block["eps"])) + block["beta"]


def evaluate(blocks, images, offset):
    """Scores from running statistics."""
    x = naive.pixels(images, offset)
    for block in blocks:
        x = product(block, x)[0].astype(np.float64)
        if "gamma" in block:
            x = normed(block, x, block["mean"], block["variance"])
        if block["sign"]:
            x = signs(x)
    return x


def forward(blocks, images, offset):
    """Scores from batch statistics, and a cache for each block."""
    x, caches = naive.pixels(images, offset), []
    for block in blocks:
        h, pool = product(block, x)
        axes = tuple(range(h.ndim - 1))
        cache = {"x": x, "h": h, "pool": pool, "mean": h.mean(axes), "variance": h.var(axes)}
        x = normed(block, h, cache["mean"], cache["variance"]) if "gamma" in block else h.astype(np.float64)
        cache["y"] = x
        if block["sign"]:
            x = signs(x)
        caches.append(cache)
    return x, caches


def cross_entropy(scores, labels):
    """Mean loss and its gradient."""
    loss, dscores = 0.0, np.zeros_like(scores)
    for n, label in enumerate(labels):
        e = np.exp(scores[n] - scores[n].max())
        loss -= np.log(e[label] / e.sum()) / len(labels)
        dscores[n] = e / e.sum() / len(labels)
        dscores[n, label] -= 1 / len(labels)
    return loss, dscores


# --------------------------------------------------------------- backward: each gradient with its error bound

def rounded(value, error):
    """The bound after a result is stored as float32."""
    return value, error + ROUND32 * (np.abs(value) + error)


def norm_backward(block, cache, dy, error):
    """dh, dgamma, dbeta, each with its bound."""
    axes = tuple(range(dy.ndim - 1))
    n_rows = dy.size / dy.shape[-1]
    inverse = 1 / np.sqrt(cache["variance"] + block["eps"])
    unit = (cache["h"] - cache["mean"]) * inverse
    if block["sign"]:
        passes = np.abs(cache["y"]) <= 1
        dy, error = dy * passes, error * passes
    dgamma, dgamma_error = (dy * unit).sum(axes), (error * np.abs(unit)).sum(axes)
    dbeta, dbeta_error = dy.sum(axes), error.sum(axes)
    scale = block["gamma"] * inverse
    dh = scale * (dy - dbeta / n_rows - unit * dgamma / n_rows)
    dh_error = np.abs(scale) * (error + dbeta_error / n_rows + np.abs(unit) * dgamma_error / n_rows)
    return rounded(dh, dh_error), rounded(dgamma, dgamma_error), rounded(dbeta, dbeta_error)


def half_step(dh, error, axes):
    """Half the fixed-point unit of each row that is summed along `axes`."""
    return (np.abs(dh) + error).max(axes, keepdims=True) / naive.FULL_SCALE / 2


def weight_gradient(block, dh, x):
    if dh.ndim == 2:
        return dh.T @ x.reshape(len(x), -1)
    read = naive.patches(x, block["weight"].shape[1:3], block["stride"], block["padding"], block["pad_value"])
    return np.einsum("nijk,nijabc->kabc", dh, read)


def input_gradient(block, dh, weight, x_shape):
    if dh.ndim == 2:
        return (dh @ weight).reshape(x_shape)
    padding, stride, (n, height, width, channels) = block["padding"], block["stride"], x_shape
    dx = np.zeros((n, height + 2 * padding, width + 2 * padding, channels))
    for i, j in np.ndindex(dh.shape[1:3]):
        for a, b in np.ndindex(weight.shape[1:3]):
            dx[:, i * stride + a, j * stride + b] += dh[:, i, j] @ weight[:, a, b]
    return dx[:, padding:padding + height, padding:padding + width]


def absolute(block):
    """The same block for bounds: padding counts by its size."""
    return {**block, "pad_value": abs(block.get("pad_value", 0))}


def block_backward(block, cache, dout, error):
    """(dx, its bound, gradients by name, bounds by name)."""
    gradients, bounds = {}, {}
    if "gamma" in block:
        (dout, error), gamma, beta = norm_backward(block, cache, dout, error)
        (gradients["gamma"], bounds["gamma"]), (gradients["beta"], bounds["beta"]) = gamma, beta
    if cache["pool"]:
        h_shape, winner = cache["pool"]
        dout, error = (naive.max_pool_backward(d, winner, block["pool"], h_shape) for d in (dout, error))
    x, weight, all_but_last = cache["x"], signs(block["weight"]), tuple(range(dout.ndim - 1))
    weight_error = error + half_step(dout, error, all_but_last)
    gradients["weight"], bounds["weight"] = rounded(
        weight_gradient(block, dout, x), weight_gradient(absolute(block), weight_error, np.abs(x)))
    input_error = error + half_step(dout, error, tuple(range(1, dout.ndim)))
    dx, dx_error = rounded(input_gradient(block, dout, weight, x.shape),
                           input_gradient(block, input_error, np.abs(weight), x.shape))
    return dx, dx_error, gradients, bounds


def backward(blocks, caches, dscores):
    """[(gradients by name, bounds by name)] of each block."""
    dout, found = dscores, []
    error = ROUND32 * np.abs(dscores)
    for block, cache in zip(reversed(blocks), reversed(caches)):
        dout, error, gradients, bounds = block_backward(block, cache, dout, error)
        found.append((gradients, bounds))
    return found[::-1]


def named(model, per_block):
    """Gradients of blocks by the names of `model.arrays()`, "3.weight": batch norm is a layer of its own."""
    found, block = {}, -1
    for i, layer in enumerate(model.layers):
        block += "weight" in layer.parameters
        found |= {f"{i}.{name}": per_block[block][name] for name in layer.parameters}
    return found


# ---------------------------------------------------------------- optimizers, in float32

def adam_first_step(value, gradient, learning_rate, bound):
    """Algorithm 1 of Kingma & Ba at t = 1 with the usual constants."""
    zero = np.zeros_like(value)
    settings = [np.float32(s)
                for s in (0.9, 0.999, learning_rate / (1 - 0.9), 1 / np.sqrt(1 - 0.999), 1e-8, bound)]
    return naive.adam(value, gradient, zero, zero, *settings)[0]
