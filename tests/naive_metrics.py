"""Margins, tolerance, importance and single flips by definition, on +-1 integers; imports nothing from bnnsim.

A network is a list of dicts with ``weight`` (U, F) or (K, kh, kw, C), a conv's ``stride``, ``padding``, ``pad_value``,
and ``pool``, then ``theta`` and ``inverted``, or ``mean``, ``scale``, ``shift`` of the last layer.
"""

import itertools

import naive
import numpy as np


def of_packed(network):
    """Read off a packed network, by attributes."""
    blocks = []
    for layer in network.layers:
        rows = naive.unpack(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in)
        block = {"weight": rows.reshape(*layer.words.shape[:-1], layer.n_in), "pool": layer.pool[0],
                 "stride": layer.stride[0], "padding": layer.padding[0]}           # alike on both axes
        names = {"pad_value": "pad_value", "theta": "threshold", "inverted": "inverted", "mean": "mean",
                 "scale": "scale", "shift": "shift"}
        blocks.append(block | {name: getattr(layer, key) for name, key in names.items()})
    return blocks


def reads(block, x):
    """What each position reads (N, P, F), padding with its value, and whether it exists."""
    if block["weight"].ndim == 2:
        flat = x.reshape(len(x), 1, -1)
        return flat, np.ones_like(flat, bool)
    settings = block["weight"].shape[1:3], block["stride"], block["padding"]
    found = naive.patches(x, *settings, block["pad_value"])
    inside = naive.patches(np.ones_like(x), *settings, abs(block["pad_value"])) != 0
    return (part.reshape(len(x), found.shape[1] * found.shape[2], -1) for part in (found, inside))


def map_shape(block, x):
    """(OH, OW) before pooling; (1, 1) of a dense layer."""
    if block["weight"].ndim == 2:
        return 1, 1
    return tuple(naive.out_size(size, kernel, block["stride"], block["padding"])
                 for size, kernel in zip(x.shape[1:3], block["weight"].shape[1:3]))


def pooled(passed, shape, pool):
    """OR over windows: passed (P, ...) bool -> (Q, ...)."""
    grid = passed.reshape(*shape, *passed.shape[1:])
    rows = [grid[i * pool:(i + 1) * pool, j * pool:(j + 1) * pool].any((0, 1))
            for i in range(shape[0] // pool) for j in range(shape[1] // pool)]
    return np.array(rows)


def sums(block, x):
    """Pre-activations (N, P, U)."""
    return reads_of(block, x) @ block["weight"].reshape(len(block["weight"]), -1).T


def reads_of(block, x):
    return list(reads(block, x))[0]


def outputs(block, x):
    """+-1 (N, H, W, U) or (N, U)."""
    shape, h = map_shape(block, x), sums(block, x)
    bits = np.array([pooled(one >= block["theta"], shape, block["pool"]) for one in h]) != block["inverted"]
    y = np.where(bits, 1, -1)
    return y[:, 0] if block["weight"].ndim == 2 else \
        y.reshape(len(x), shape[0] // block["pool"], shape[1] // block["pool"], -1)


def scores(blocks, x):
    """Scores of what the first of the blocks reads."""
    for block in blocks[:-1]:
        x = outputs(block, x)
    return naive.batch_norm(sums(blocks[-1], x)[:, 0], *(blocks[-1][name] for name in ("mean", "scale", "shift")))


def inputs(blocks, images, offset):
    """What each layer reads."""
    found = [naive.pixels(images, offset)]
    for block in blocks[:-1]:
        found.append(outputs(block, found[-1]))
    return found


def midway(theta, n_summands, is_first):
    """The threshold midway between the values of h on both sides of theta."""
    if is_first:
        return theta - 0.5
    below = max(h for h in range(int(theta) - 3, int(theta)) if (h - n_summands) % 2 == 0)
    return below + 1


def margins(block, x, is_first):
    """|h - s| (N, P, U); sums of squares of what is read (N, P)."""
    values, inside = reads(block, x)
    count = inside.sum(-1)
    largest = block["weight"][0].size * (1 if not is_first else max(1, abs(block["level"])))
    theta = np.clip(block["theta"].astype(np.int64), -largest, largest + 1)
    s = np.array([[[midway(t, n, is_first) for t in theta] for n in row] for row in count])
    return np.abs(sums(block, x) - s), (values.astype(np.int64)**2).sum(-1)


def tolerance(block, x, u):
    """Most flips of unit u's weights that cannot change its output for the one input x (1, ...); None: none ever do.

    All flips are tried, the smallest sets first.
    """
    values, weight = reads_of(block, x)[0], block["weight"][u].reshape(-1)
    masks = np.array(list(itertools.product((0, 1), repeat=weight.size)))
    h = values @ (weight * (1 - 2 * masks)).T
    bits = pooled(h >= block["theta"][u], map_shape(block, x), block["pool"])
    changed = (bits != bits[:, :1]).any(0)
    return int(masks.sum(1)[changed].min()) - 1 if changed.any() else None


def inverted_changes(blocks, xs, i, labels):
    """int (N, U): right answers gained by inverting each output of layer i."""
    clean = outputs(blocks[i], xs[i])
    right = scores(blocks, xs[0]).argmax(1) == labels
    found = np.zeros((len(labels), clean.shape[-1]), np.int64)
    for u in range(clean.shape[-1]):
        x = clean.copy()
        x[..., u] *= -1
        found[:, u] = (scores(blocks[i + 1:], x).argmax(1) == labels).astype(int) - right
    return found


def flip_effects(blocks, xs, i, labels):
    """Right answers gained by each single flip in layer i."""
    weight = blocks[i]["weight"]
    right = np.count_nonzero(scores(blocks, xs[0]).argmax(1) == labels)
    found = np.zeros(weight.shape, np.int64)
    for at in np.ndindex(weight.shape):
        flipped = weight.copy()
        flipped[at] *= -1
        tail = [{**blocks[i], "weight": flipped}, *blocks[i + 1:]]
        found[at] = np.count_nonzero(scores(tail, xs[i]).argmax(1) == labels) - right
    return found
