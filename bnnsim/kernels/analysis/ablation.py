"""What an inverted output of a neuron does to the class of an image, from the clean sums of the layers behind it.

N images, C classes, U units of the layer in W words, V units of the next layer. Scores are `batchnorm.affine` of the
integers that a real inversion gives, and ties go to the lowest class, so that results are exact. `change` is +1 where
an image becomes right, -1 where it becomes wrong, 0 elsewhere.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.norm.batchnorm import affine

ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def _is_right(scores, label):
    """Whether the label is the first of the largest."""
    for c in range(scores.shape[0]):
        if scores[c] > scores[label] or (scores[c] == scores[label] and c < label):
            return False
    return True


@inline
def _three_scores(h, mean, scale, shift, scores):
    """scores (3, C): of h - 2, h and h + 2."""
    for c in range(h.shape[0]):
        for d in range(3):
            scores[d, c] = affine(h[c] + 2 * (d - 1), mean[c], scale[c], shift[c])


@inline
def _is_settled(scores, label):
    """Whether no mixture of columns of scores (3, C) changes whether the label wins."""
    n_classes = scores.shape[1]
    least = min(scores[0, label], scores[1, label], scores[2, label])
    most = max(scores[0, label], scores[1, label], scores[2, label])
    loses_always, wins_always = False, True
    for c in range(n_classes):
        if c != label:
            low = min(scores[0, c], scores[1, c], scores[2, c])
            high = max(scores[0, c], scores[1, c], scores[2, c])
            loses_always |= low > most
            wins_always &= high < least
    return loses_always or wins_always


@kernel
def invert_last(x, words, h, mean, scale, shift, labels, change, start, stop):
    """Inverting one input of the output layer: x (N, W), words (C, W), h (N, C) int32 -> change (N, U) int8."""
    n_classes, n_units = h.shape[1], change.shape[1]
    scores, tried = np.empty((3, n_classes)), np.empty(n_classes)
    for n in range(start, stop):
        change[n] = 0
        _three_scores(h[n], mean, scale, shift, scores)
        if _is_settled(scores, labels[n]):
            continue
        right = np.int8(_is_right(scores[1], labels[n]))
        for u in range(n_units):
            w, bit = u >> 6, np.uint64(u & 63)
            for c in range(n_classes):
                same = ((~(x[n, w] ^ words[c, w])) >> bit) & ONE      # +1 goes, -1 comes; or the other way round
                tried[c] = scores[0 if same else 2, c]
            change[n, u] = np.int8(_is_right(tried, labels[n])) - right


@inline
def _add_push(push, step, sums):
    """sums (64 ..) int32 += step at the bits of push."""
    for i in range(64):
        sums[i] += step * np.int32((push >> np.uint64(i)) & ONE)


@inline
def _next_changes(x, words, above, gap, next_bits, last_words, sums):
    """sums (C, 64 W): how the last layer's sums change for each inverted input, through the next layer's outputs.

    An output at distance gap from crossing (V,) flips iff the summand that goes pushed towards its side, and 2 crosses.
    """
    for v in range(words.shape[0]):
        if gap[v] > 2:
            continue
        side = np.uint64(0) if above[v] else ALL
        for w in range(x.shape[0]):
            push = ~(x[w] ^ words[v, w] ^ side)                 # summand +1 above theta, or -1 below
            for c in range(last_words.shape[0]):
                differ = ((last_words[c, v >> 6] ^ next_bits[v >> 6]) >> np.uint64(v & 63)) & ONE
                _add_push(push, np.int32(2 if differ else -2), sums[c, 64 * w:64 * w + 64])


@kernel
def invert_before(x, words, next_h, theta, next_bits, last_words, h, mean, scale, shift, labels, change, start, stop):
    """Inverting one input of the last hidden layer: change (N, U) int8.

    x (N, W) and words (V, W) of that layer, its sums next_h (N, V), theta (V,) int64 and outputs next_bits (N, ceil(V /
    64)); last_words (C, ceil(V / 64)) and h (N, C) of the output layer. Only units of it that 2 brings across theta
    change, and the scores of each inversion follow from theirs.
    """
    n_classes, n_next = h.shape[1], words.shape[0]
    sums, tried = np.empty((n_classes, 64 * x.shape[1]), np.int32), np.empty(n_classes)
    above, gap = np.empty(n_next, np.bool_), np.empty(n_next, np.int64)
    for n in range(start, stop):
        for v in range(n_next):
            above[v] = next_h[n, v] >= theta[v]
            gap[v] = next_h[n, v] - theta[v] + 1 if above[v] else theta[v] - next_h[n, v]
        sums[:] = 0
        _next_changes(x[n], words, above, gap, next_bits[n], last_words, sums)
        for c in range(n_classes):
            tried[c] = affine(h[n, c], mean[c], scale[c], shift[c])
        right = np.int8(_is_right(tried, labels[n]))
        for u in range(change.shape[1]):
            for c in range(n_classes):
                tried[c] = affine(h[n, c] + sums[c, u], mean[c], scale[c], shift[c])
            change[n, u] = np.int8(_is_right(tried, labels[n])) - right


# ---------------------------------------------------------------- single weights

@inline
def _add_bits(push, change, effect, at, count):
    for i in range(count):
        effect[at + i] += change * np.int32((push >> np.uint64(i)) & ONE)


@kernel
def weights_of_bits(x, words, h, theta, change, effect, start, stop):
    """Every single flip in a dense hidden layer that reads words: effect (U, F) int32 += change of right answers.

    x (N, W), words (U, W), h (N, U), theta (U,) int64, change (N, U) of inverted outputs. Runs over units.
    """
    n_features = effect.shape[1]
    for u in range(start, stop):
        for n in range(x.shape[0]):
            above = h[n, u] >= theta[u]
            gap = h[n, u] - theta[u] + 1 if above else theta[u] - h[n, u]
            if gap > 2 or change[n, u] == 0:
                continue
            side = np.uint64(0) if above else ALL
            for w in range(x.shape[1]):
                push = ~(x[n, w] ^ words[u, w] ^ side)
                _add_bits(push, np.int32(change[n, u]), effect[u], 64 * w, min(64, n_features - 64 * w))


@kernel
def weights_of_pixels(pixels, words, h, theta, change, effect, start, stop):
    """The same of a dense layer on pixels (N, F) int16."""
    for u in range(start, stop):
        for n in range(pixels.shape[0]):
            above = h[n, u] >= theta[u]
            gap = h[n, u] - theta[u] + 1 if above else theta[u] - h[n, u]
            if gap > 510 or change[n, u] == 0:
                continue
            for f in range(effect.shape[1]):
                value = np.int64(pixels[n, f])
                plus = ((words[u, f >> 6] >> np.uint64(f & 63)) & ONE == ONE) == (value > 0)
                if plus == above and 2 * abs(value) >= gap:
                    effect[u, f] += change[n, u]


@kernel
def weights_of_output(x, words, h, mean, scale, shift, labels, effect, start, stop):
    """The same of the output layer on words: effect (C, F) int32. Runs over classes."""
    n_classes, n_features = effect.shape
    tried = np.empty(n_classes)
    for c in range(start, stop):
        for n in range(x.shape[0]):
            for i in range(n_classes):
                tried[i] = affine(h[n, i], mean[i], scale[i], shift[i])
            right = np.int32(_is_right(tried, labels[n]))
            for goes in range(2):                                # a summand of -1, of +1
                tried[c] = affine(h[n, c] + (-2 if goes else 2), mean[c], scale[c], shift[c])
                change = np.int32(_is_right(tried, labels[n])) - right
                if change:
                    side = np.uint64(0) if goes else ALL
                    for w in range(x.shape[1]):
                        push = ~(x[n, w] ^ words[c, w] ^ side)
                        _add_bits(push, change, effect[c], 64 * w, min(64, n_features - 64 * w))


@kernel
def weights_of_output_pixels(pixels, words, h, mean, scale, shift, labels, effect, start, stop):
    """The same where the only layer reads pixels (N, F) int16. Runs over classes."""
    n_classes = effect.shape[0]
    tried = np.empty(n_classes)
    for c in range(start, stop):
        for n in range(pixels.shape[0]):
            for i in range(n_classes):
                tried[i] = affine(h[n, i], mean[i], scale[i], shift[i])
            right = np.int32(_is_right(tried, labels[n]))
            for f in range(effect.shape[1]):
                plus = (words[c, f >> 6] >> np.uint64(f & 63)) & ONE == ONE
                step = 2 * np.int64(pixels[n, f])
                tried[c] = affine(h[n, c] - (step if plus else -step), mean[c], scale[c], shift[c])
                effect[c, f] += np.int32(_is_right(tried, labels[n])) - right
