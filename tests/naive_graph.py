"""Graphs node by node, slowly: float32 operations one at a time, in the order that is promised; sums of bits exactly.

Maps are float32 (N, H, W, C) or (N, F); NumPy rounds each product and each sum of float32 arrays by itself, so what
stands side by side (channels, units) is computed as one array. Imports nothing from bnnsim; `evaluate` reads the nodes
of a packed graph by their attributes. Nothing here warns of infinities.
"""

import naive
import naive_geometry as geometry
import numpy as np

F = np.float32


def quietly(function):
    """Infinities and what is no number are results like others."""
    def called(*args, **named):
        with np.errstate(all="ignore"):
            return function(*args, **named)
    return called


# ---------------------------------------------------------------- channel by channel

@quietly
def affine(x, scale, shift):
    return x.astype(F) * scale + shift


def pixels(images, scale, shift):
    return affine(images.transpose(0, 2, 3, 1), scale, shift)


@quietly
def prelu(x, slope):
    return np.where(x > 0, x, x * slope)


def clip(x, low, high):
    """What is no number stays none."""
    raised = np.where(x < low, low, x)
    return np.where(raised > high, high, raised)


def sign(x, threshold):
    """+-1; what is no number is -1."""
    return np.where(x >= threshold, 1, -1)


@quietly
def add(first, *others):
    for other in others:
        first = first + other
    return first


def concatenate(*maps):
    return np.concatenate(maps, axis=-1)


# ---------------------------------------------------------------- windows

@quietly
def average_pool(x, size, stride, padding=(0, 0, 0, 0), whole=0):
    """The sum of what lies inside, rows and columns in order, from 0 on; over how many these are, or could be."""
    found = geometry.windows(x.shape[1:3], size, stride, padding)
    out = np.empty((len(x), len(found), len(found[0]), x.shape[3]), F)
    for i, row in enumerate(found):
        for j, entries in enumerate(row):
            total = np.zeros((len(x), x.shape[3]), F)
            for r, c in entries:
                total = total + x[:, r, c]
            out[:, i, j] = total / F(size[0] * size[1] if whole else len(entries))
    return out


def global_average(x):
    return average_pool(x, x.shape[1:3], x.shape[1:3])[:, 0, 0]


def largest_pool(x, size, stride, padding=(0, 0, 0, 0)):
    """(the largest, which entry of the window it was: the first of several). No number never wins: -inf stands there,
    and the first entry."""
    found = geometry.windows(x.shape[1:3], size, stride, padding)
    out = np.full((len(x), len(found), len(found[0]), x.shape[3]), -np.inf)
    winner = np.empty(out.shape, np.uint8)
    for i, j in np.ndindex(out.shape[1:3]):
        top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
        entry = [(r - top) * size[1] + column - left for r, column in found[i][j]]
        winner[:, i, j] = entry[0]
        for number, (r, column) in zip(entry, found[i][j]):
            larger = x[:, r, column] > out[:, i, j]
            out[:, i, j][larger], winner[:, i, j][larger] = x[:, r, column][larger], number
    return out.astype(x.dtype), winner


# ---------------------------------------------------------------- with weights

@quietly
def real_conv(x, weight, bias, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """A sum from 0 on over taps in rows and columns, then over channels; what lies outside is left out; then + bias."""
    units, kh, kw, n_in = weight.shape
    dilation = dilation[0] if kh > 1 else 1, dilation[1] if kw > 1 else 1
    rows = geometry.places(x.shape[1], kh, stride[0], dilation[0], padding[0], padding[2])
    columns = geometry.places(x.shape[2], kw, stride[1], dilation[1], padding[1], padding[3])
    out = np.empty((len(x), len(rows), len(columns), units), F)
    for group in range(groups):
        own = slice(group * units // groups, (group + 1) * units // groups)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                total = np.zeros((len(x), units // groups), F)
                for a, at in enumerate(row):
                    for b, across in enumerate(column):
                        r, c = at - padding[0], across - padding[1]
                        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                            for channel in range(n_in):
                                value = x[:, r, c, group * n_in + channel, None]
                                total = total + value * weight[own, a, b, channel]
                out[:, i, j, own] = total + bias[own]
    return out


def real_dense(x, weight, bias):
    """Features in H, W, C order."""
    rows = x.reshape(len(x), 1, 1, -1)
    return real_conv(rows, weight.reshape(len(weight), 1, 1, -1), bias)[:, 0, 0]


# ---------------------------------------------------------------- whole graphs

def run_operation(operation, values):
    """What an operation gives of values: bits are +-1."""
    x, get = values[0], {name: getattr(operation, name) for name in (*operation.arrays, *operation.settings)}
    if operation.word == "max-pool":
        return largest_pool(x, *get.values())[0]
    if operation.word == "average-pool":
        return average_pool(x, get["size"], get["stride"], get["padding"], get["whole"])
    if operation.word == "real-conv":
        return real_conv(x, get["weight"], get["bias"], get["stride"], get["padding"], get["dilation"], get["groups"])
    if operation.word == "twice":
        return x.repeat(2, axis=1 if x.dtype == np.uint8 else -1)
    plain = {"pixels": pixels, "affine": affine, "prelu": prelu, "clip": clip, "sign": sign, "add": add,
             "concatenate": concatenate, "global-average": global_average, "real-dense": real_dense}
    return plain[operation.word](*values, *(get[name] for name in operation.arrays))


def run_layer(layer, x, offset):
    """What a layer of bits gives of +-1, or of images (N, C, H, W) where offset is not None."""
    x = x if offset is None else x.transpose(0, 2, 3, 1).astype(np.int64) - offset
    weight = naive.unpack(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in)
    if layer.kind == "dense":
        h = x.reshape(len(x), -1) @ weight.T
    else:
        weight = weight.reshape(*layer.words.shape[:3], layer.n_in)
        h = geometry.conv(x, weight, layer.stride, layer.padding, layer.pad_value, layer.replicate, layer.dilation,
                          layer.groups)
    if layer.threshold is not None:
        if layer.pools:
            h = geometry.pool(h, layer.pool, layer.pool_stride, layer.pool_padding)
        return np.where((h >= layer.threshold) ^ layer.inverted, 1, -1)
    return h if layer.mean is None else (h - layer.mean) * layer.scale + layer.shift


def evaluate(nodes, images, offset):
    """(scores float64, the value of every node): every node of every image, nothing let go."""
    values = []
    for node in nodes:
        read = [images if at < 0 else values[at] for at in node.inputs]
        values.append(run_operation(node.what, read) if hasattr(node.what, "word") else
                      run_layer(node.what, read[0], offset if read[0].dtype == np.uint8 else None))
    scores = values[-1].astype(np.float64)
    return np.where(np.isfinite(scores), scores, -np.inf), values
