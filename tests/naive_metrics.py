"""Margins, tolerance, importance and single flips by definition, on +-1 integers; imports nothing from bnnsim.

A network is a list of dicts with ``weight`` (U, F) or (K, kh, kw, C / groups), a conv's settings by `naive_geometry`'s
names, then ``theta`` and ``inverted``, or, where theta is None, ``mean``, ``scale``, ``shift`` of the last layer.
"""

import itertools

import naive
import naive_geometry as geometry
import numpy as np

NAMES = {"stride": "stride", "padding": "padding", "pad_value": "value", "replicate": "replicate",
         "dilation": "dilation", "groups": "groups", "pool": "pool", "pool_stride": "pool_stride",
         "pool_padding": "pool_padding", "threshold": "theta", "inverted": "inverted", "mean": "mean",
         "scale": "scale", "shift": "shift"}


def of_packed(network):
    """Read off a packed network, by attributes."""
    blocks = []
    for layer in network.layers:
        rows = naive.unpack(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in)
        block = {"weight": rows.reshape(*layer.words.shape[:-1], layer.n_in)}
        blocks.append(block | {name: getattr(layer, key) for key, name in NAMES.items()})
    return blocks


def places(block, x):
    """For each output row, and column, the padded inputs that it reads."""
    return [geometry.places(x.shape[1 + axis], block["weight"].shape[1 + axis], block["stride"][axis],
                            block["dilation"][axis], block["padding"][axis], block["padding"][2 + axis])
            for axis in (0, 1)]


def reads(block, x):
    """What each position reads of all channels (N, P, F), padding with its value, and whether it exists."""
    if block["weight"].ndim == 2:
        flat = x.reshape(len(x), 1, -1)
        return flat, np.ones_like(flat, bool)
    rows, columns = places(block, x)
    padding = block["padding"]
    values = geometry.padded(x, padding, block["value"], block["replicate"])
    exists = geometry.padded(np.ones_like(x), padding, abs(block["value"]), block["replicate"]) != 0
    return tuple(np.stack([wide[:, row][:, :, column] for row in rows for column in columns], axis=1).reshape(
        len(x), len(rows) * len(columns), -1) for wide in (values, exists))


def wide_weight(block):
    """Weights (U, F) in the order of `reads`, 0 where another group reads."""
    weight, groups = block["weight"], block["groups"]
    if groups == 1:
        return weight.reshape(len(weight), -1)
    n_in, each = weight.shape[3], len(weight) // groups
    wide = np.zeros((*weight.shape[:3], groups * n_in), int)
    for u in range(len(weight)):
        wide[u, :, :, u // each * n_in:(u // each + 1) * n_in] = weight[u]
    return wide.reshape(len(wide), -1)


def map_shape(block, x):
    """(OH, OW) before pooling; (1, 1) of a dense layer."""
    return (1, 1) if block["weight"].ndim == 2 else tuple(len(some) for some in places(block, x))


def pooled(passed, shape, block):
    """OR over windows: passed (P, ...) bool -> (rows, columns of windows, ...)."""
    grid = passed.reshape(*shape, *passed.shape[1:])
    found = geometry.windows(shape, block["pool"], block["pool_stride"], block["pool_padding"])
    return np.array([[np.any([grid[at] for at in entries], axis=0) for entries in row] for row in found])


def sums(block, x):
    """Pre-activations (N, P, U)."""
    return reads_of(block, x) @ wide_weight(block).T


def reads_of(block, x):
    return list(reads(block, x))[0]


def outputs(block, x):
    """+-1 (N, H, W, U) or (N, U)."""
    shape, h = map_shape(block, x), sums(block, x)
    bits = np.array([pooled(one >= block["theta"], shape, block) for one in h]) != block["inverted"]
    y = np.where(bits, 1, -1)
    return y[:, 0, 0] if block["weight"].ndim == 2 else y


def scores(blocks, x):
    """Scores of what the first of the blocks reads."""
    for block in blocks[:-1]:
        x = outputs(block, x)
    last = blocks[-1]
    if last["theta"] is not None:
        return outputs(last, x)
    return naive.batch_norm(sums(last, x).sum(1), *(last[name] for name in ("mean", "scale", "shift")))


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
    """|h - s|, and sums of squares of what is read, (N, P, U) each."""
    values, inside = reads(block, x)
    own = (wide_weight(block) != 0).T.astype(int)
    count, squares = inside.astype(int) @ own, values.astype(np.int64)**2 @ own
    largest = block["weight"][0].size * (1 if not is_first else max(1, abs(block["level"])))
    theta = np.clip(block["theta"].astype(np.int64), -largest, largest + 1)
    s = np.array([[[midway(t, n, is_first) for t, n in zip(theta, unit)] for unit in row] for row in count])
    return np.abs(sums(block, x) - s), squares


def tolerance(block, x, u):
    """Most flips of unit u's weights that cannot change its output for the one input x (1, ...); None: none ever do.

    All flips are tried, the smallest sets first.
    """
    weight = wide_weight(block)[u]
    values, weight = reads_of(block, x)[0][:, weight != 0], weight[weight != 0]
    masks = np.array(list(itertools.product((0, 1), repeat=weight.size)))
    h = values @ (weight * (1 - 2 * masks)).T
    bits = pooled(h >= block["theta"][u], map_shape(block, x), block)
    changed = (bits != bits[..., :1]).any((0, 1))
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


def area(lead, share):
    """Of all pairs of images, one failing and one standing, weighted by how often: how often the first has less lead.

    Equal leads count half, as an image against itself does.
    """
    pairs = [(share[i] * (1 - share[j]), lead[i] < lead[j], lead[i] == lead[j])
             for i in range(len(lead)) for j in range(len(lead))]
    return sum(weight * (less + equal / 2) for weight, less, equal in pairs) / sum(weight for weight, _, _ in pairs)
