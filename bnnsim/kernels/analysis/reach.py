"""How far changes reach: which outputs of a layer can change when some of its inputs or weights do.

R rows, each a question about image rows[r] of N; x what the layer reads, `reached` the inputs that may have changed, in
the same packed form; h pre-activations int32, W words, U or K units in V words. An output falls on the other side of
its threshold only where at least T + 1 summands that push towards its present side change (`tolerance.crossing`); no
more of them change than there are inputs in `reached` that push so, plus own[r] flipped weights, and no more than
most[r]. A padding that repeats its border makes several summands of one input: of such a layer x, `reached` and
the geometry are those of the padded map, and most[r] counts summands.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.analysis.tolerance import crossing
from bnnsim.kernels.forward.geometry import window_bounds

ONE = np.uint64(1)


@inline
def count_bits(word):
    """Ones of a word; LLVM makes one instruction of it."""
    word -= (word >> ONE) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inline
def _pushing(x, weight, above):
    """The summands, as bits, that hold h on its present side: those of +1 where h >= theta."""
    return ~(x ^ weight) if above else x ^ weight


@kernel
def reach_dense(rows, x, reached, words, h, theta, most, own, out, start, stop):
    """x (N, W), reached (R, W), words (U, W), h (N, U), theta (U,), most and own (R,) -> out (R, V), zeroed."""
    for r in range(start, stop):
        n = rows[r]
        for u in range(words.shape[0]):
            need, above = crossing(h[n, u], theta[u]), h[n, u] >= theta[u]
            if need > most[r]:
                continue
            found = own[r]
            for w in range(words.shape[1]):
                if found >= need:
                    break
                if reached[r, w] != 0:
                    found += count_bits(_pushing(x[n, w], words[u, w], above) & reached[r, w])
            if found >= need:
                out[r, u >> 6] |= ONE << np.uint64(u & 63)


@inline
def _can_cross(x, reached, weight, g, row, column, h, theta, most, own):
    """Whether one pre-activation of a convolution can; x, reached (H, W, Cw), weight (kh, kw, Cw)."""
    need, above = crossing(h, theta), h >= theta
    if need > most:
        return False
    found = own
    for a in range(g.kernel_height):
        i = row * g.row_stride + a * g.row_step - g.top
        for b in range(g.kernel_width):
            j = column * g.column_stride + b * g.column_step - g.left
            if found < need and 0 <= i < g.height and 0 <= j < g.width:
                for w in range(x.shape[2]):
                    if reached[i, j, w] != 0:
                        found += count_bits(_pushing(x[i, j, w], weight[a, b, w], above) & reached[i, j, w])
    return found >= need


@inline
def _window_can_change(x, reached, weight, g, bounds, h, theta, most, own):
    """Whether a window's output can: without an entry >= theta where any entry can cross; else where all of those can.

    h (OH, OW); the others as `_can_cross` has them.
    """
    one, any_can, all_can = False, False, True
    for row in range(bounds[0], bounds[1]):
        for column in range(bounds[2], bounds[3]):
            above = h[row, column] >= theta
            if one and not (above and all_can):
                continue
            can = _can_cross(x, reached, weight, g, row, column, h[row, column], theta, most, own)
            any_can |= can
            if above:
                one, all_can = True, all_can and can
    return all_can if one else any_can


@kernel
def reach_conv(rows, x, reached, words, masks, h, theta, most, own, g, pool, out, start, stop):
    """x (N, H, W, Cw), reached (R, H, W, Cw), words (K, kh, kw, Cw), h (N, OH, OW, K) -> out (R, PH, PW, V), zeroed.

    masks (G, Cw): the channels that units of each group read.
    """
    each, seen = words.shape[0] // masks.shape[0], np.empty(reached.shape[1:], np.uint64)
    for r in range(start, stop):
        for group in range(masks.shape[0]):
            seen[:] = reached[r] & masks[group]
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    bounds = window_bounds(pool, i, j, g.out_height, g.out_width)
                    for k in range(group * each, (group + 1) * each):
                        if _window_can_change(x[rows[r]], seen, words[k], g, bounds, h[rows[r], :, :, k], theta[k],
                                              most[r], own[r]):
                            out[r, i, j, k >> 6] |= ONE << np.uint64(k & 63)


# ---------------------------------------------------------------- flips of a layer's own weights

@inline
def _pooled(h, theta, k, bounds, out_width, value, patches, f):
    """Whether a pooled output's comparison is 1 once each h has moved by `value` times its summand f."""
    for row in range(bounds[0], bounds[1]):
        for p in range(row * out_width + bounds[2], row * out_width + bounds[3]):
            if h[p, k] + value * np.int64(patches[p, f]) >= theta[k]:
                return True
    return False


@kernel
def flip_patterns(patches, weights, h, theta, cost, g, pool, n_across, found, count, start, stop):
    """The different sets of outputs that single flips change, for each unit of a convolution.

    patches (N, P, F) int16, weights (K, F) int8, 0 where a unit reads nothing, h (N, P, K), cost (N, Q, K) -> found (N,
    K, ., words), of which count (N, K) are filled; a set has a bit for each of the Q pooled outputs, n_across a row.
    Flips that change none are left out.
    """
    for n in range(start, stop):
        for k in range(weights.shape[0]):
            count[n, k] = 0
            near = np.flatnonzero(cost[n, :, k] <= 1)
            for f in range(weights.shape[1] if len(near) else 0):
                if weights[k, f] == 0:
                    continue
                at, change = count[n, k], False
                found[n, k, at] = np.uint64(0)
                for p in near:
                    bounds = window_bounds(pool, p // n_across, p % n_across, g.out_height, g.out_width)
                    before = _pooled(h[n], theta, k, bounds, g.out_width, 0, patches[n], f)
                    after = _pooled(h[n], theta, k, bounds, g.out_width, -2 * np.int64(weights[k, f]), patches[n], f)
                    if before != after:
                        found[n, k, at, p >> 6] |= ONE << np.uint64(p & 63)
                        change = True
                known = not change
                for other in range(at):
                    if known:
                        break
                    known = True
                    for w in range(found.shape[3]):
                        known &= found[n, k, other, w] == found[n, k, at, w]
                count[n, k] += 0 if known else 1
