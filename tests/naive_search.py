"""A progressive bit search, obviously right: each step tries every layer, and keeps the one whose flips cost most.

Layers as `naive_flips.of_packed` reads them, N images of P positions; a flip is (layer, number of its weight). Slopes
are float32, and rounded to 2^15 of their largest before they are summed: promises that are equal must be so here, too.
"""

import naive
import naive_geometry as geometry
import numpy as np


def forward(layers, images, offset):
    """(inputs, sums, scores) of all layers; sums (N, OH, OW, K) before a pool, or (N, U)."""
    x, inputs, sums = naive.pixels(images, offset), [], []
    for layer in layers:
        inputs.append(x)
        weight = layer["weight"]
        h = x.reshape(len(x), -1) @ weight.T if weight.ndim == 2 else geometry.conv(x, weight, *_geometry(layer))
        sums.append(h)
        if layer["threshold"] is not None:
            largest = np.stack([h[(slice(None), *np.transpose(window))].max(axis=1) for window in _windows(layer, h)],
                               axis=1) if weight.ndim == 4 else h
            x = naive.threshold_bits(largest, layer["threshold"], layer["inverted"])
            x = x.reshape(len(x), *_pooled(layer, h), -1) if weight.ndim == 4 else x
    return inputs, sums, (h - layer["mean"]) * layer["scale"] + layer["shift"]


def _geometry(layer):
    return [layer[name] for name in ("stride", "padding", "pad_value", "replicate", "dilation", "groups")]


def _rows_of_windows(layer, h):
    size = layer["pool"] if np.ndim(layer["pool"]) else (layer["pool"], layer["pool"])
    return geometry.windows(h.shape[1:3], size, layer["pool_stride"], layer["pool_padding"])


def _windows(layer, h):
    """Of each output of a max-pool the (row, column) of its entries."""
    return [window for row in _rows_of_windows(layer, h) for window in row]


def _pooled(layer, h):
    rows = _rows_of_windows(layer, h)
    return len(rows), len(rows[0])


def leads(scores, labels):
    """Score of the label less the strongest rival's, and that rival; a tie is won by the lower number."""
    found, rivals = [], []
    for row, label in zip(scores, labels):
        rival = max((c for c in range(len(row)) if c != label), key=lambda c: (row[c], -c))
        lead = row[label] - row[rival]
        found.append(np.finfo(float).tiny if lead == 0 and label < rival else lead)
        rivals.append(rival)
    return np.array(found), np.array(rivals)


def flipped(layers, i, numbers):
    """The network with weights of one layer flipped."""
    weight = layers[i]["weight"].copy()
    weight.reshape(-1)[list(numbers)] *= -1
    return [*layers[:i], {**layers[i], "weight": weight}, *layers[i + 1:]]


def promises(layers, inputs, sums, labels, scores, reach):
    """Of each layer -w dL/dw by the number of a weight, in whole units."""
    lead, rival = leads(scores, labels)
    dz = np.zeros(scores.shape)
    for n in np.flatnonzero(abs(lead) < reach):
        dz[n, labels[n]], dz[n, rival[n]] = -1, 1
    dh, found = (dz * layers[-1]["scale"]).astype(np.float32), {}
    for i in reversed(range(len(layers))):
        layer, x = layers[i], inputs[i]
        largest = float(abs(dh).max())
        whole = np.rint(dh.astype(float) * (2**15 / largest)) if largest else np.zeros(dh.shape)
        if layer["weight"].ndim == 2:
            dweight, dx = whole.T @ x.reshape(len(x), -1), dh.astype(float) @ layer["weight"]
        else:
            dweight = geometry.conv_gradients(x, layer["weight"], whole, *_geometry(layer))[1]
            dx = geometry.conv_gradients(x, layer["weight"], dh.astype(float), *_geometry(layer))[0]
        found[i] = -(dweight * layer["weight"]).reshape(-1)
        if i:
            dh = through_sign(layers[i - 1], sums[i - 1], dx.astype(np.float32))
    return found


def through_sign(layer, h, dx):
    """A sign's slope is 1 / (T + 1), T the flips of unit summands that it stands; the largest of a window have it."""
    d = h - layer["threshold"]
    stands = np.where(d >= 0, d // 2, (-d - 1) // 2)
    steep = np.where(layer["inverted"], -1, 1) / (stands + 1)
    if layer["weight"].ndim == 2:
        return (dx.reshape(h.shape) * steep).astype(np.float32)
    out = np.zeros(h.shape)
    for window, slope in zip(_windows(layer, h), dx.reshape(len(h), -1, h.shape[3]).transpose(1, 0, 2)):
        largest = np.max([h[:, r, c] for r, c in window], axis=0)
        for r, c in window:
            out[:, r, c] += (h[:, r, c] == largest) * slope * steep[:, r, c]
    return out.astype(np.float32)


def progressive(layers, images, labels, offset, most, at_once):
    """(flips in order, layer whose flips cost most at each step)."""
    chosen, kept = [], []
    lead = leads(forward(layers, images, offset)[2], labels)[0]
    reach = lead[lead > 0].mean()
    loss = np.clip(1 - lead / reach, 0, 2).mean()
    while len(chosen) < most:
        inputs, sums, scores = forward(layers, images, offset)
        tried = {}
        for i, gain in promises(layers, inputs, sums, labels, scores, reach).items():
            numbers = [f for f in sorted(range(len(gain)), key=lambda f: (-gain[f], f))
                       if gain[f] > 0 and (i, f) not in chosen][:min(at_once, most - len(chosen))]
            if numbers:
                broken = flipped(layers, i, numbers)
                lead = leads(forward(broken, images, offset)[2], labels)[0]
                tried[i] = np.clip(1 - lead / reach, 0, 2).mean(), numbers, broken
        i = max(tried, key=lambda i: tried[i][0], default=None)
        if i is None or tried[i][0] <= loss:
            break
        loss, numbers, layers = tried[i]
        chosen += [(i, f) for f in numbers]
        kept.append(i)
    return chosen, kept
