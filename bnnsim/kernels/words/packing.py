"""Between +-1 values and packed words, and from words to the panels that the tiles read.

N rows, F features of a row in W = ceil(F / 64) words, feature f at bit f % 64 of word f // 64; bit 1 is +1, bit 0 is
-1, bits past F are 0. A conv row is one tap, so a (K, kh, kw, C) array is K * kh * kw rows of C features.
"""

import numpy as np

from bnnsim.kernels._arrays import empty
from bnnsim.kernels._jit import kernel, inline
from bnnsim.kernels.words.bit_fields import ONE
from bnnsim.kernels.words.vector_words import sign_word

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def unit_mask(n_units, v):
    """The bits of word v that exist."""
    left = n_units - 64 * v
    return ALL if left >= 64 else ALL >> np.uint64(64 - left)


@kernel
def pack_signs(values, words, start, stop):
    """values (N, F), float32 or int8 -> words (N, W): bit = value >= 0, so sign(0) = +1."""
    n_features = values.shape[1]
    for n in range(start, stop):
        for w in range(words.shape[1]):
            word = np.uint64(0)
            for i in range(min(64, n_features - 64 * w)):
                if values[n, 64 * w + i] >= 0:
                    word |= ONE << np.uint64(i)
            words[n, w] = word


@kernel
def pack_latent(weights, words, start, stop):
    """`pack_signs` of float32 (N, F), whole words at once."""
    n_features = weights.shape[1]
    for n in range(start, stop):
        for w in range(n_features // 64):
            words[n, w] = sign_word(weights, n * n_features + 64 * w)
        if n_features % 64:
            word = np.uint64(0)
            for i in range(n_features % 64):
                if weights[n, n_features // 64 * 64 + i] >= 0:
                    word |= ONE << np.uint64(i)
            words[n, n_features // 64] = word


@kernel
def unpack_signs(words, values, start, stop):
    """words (N, W) -> values (N, F) of +1 and -1."""
    for n in range(start, stop):
        for f in range(values.shape[1]):
            values[n, f] = 1 if (words[n, f >> 6] >> np.uint64(f & 63)) & ONE else -1


@kernel
def negate_masked(mask, values, start, stop):
    """values (N, F) change sign where the bit of mask (N, W) is 1."""
    for n in range(start, stop):
        for f in range(values.shape[1]):
            if (mask[n, f >> 6] >> np.uint64(f & 63)) & ONE:
                values[n, f] = -values[n, f]


@kernel
def repack_rows(taps, n_features, words, start, stop):
    """Join rows: taps (N, T, ceil(C / 64)) with C features each -> words (N, ceil(T * C / 64)), tap after tap."""
    for n in range(start, stop):
        words[n, :] = 0
        for t in range(taps.shape[1]):
            for w in range(taps.shape[2]):
                at = t * n_features + 64 * w
                shift = np.uint64(at & 63)
                words[n, at >> 6] |= taps[n, t, w] << shift
                if shift and (at >> 6) + 1 < words.shape[1]:
                    words[n, (at >> 6) + 1] |= taps[n, t, w] >> (np.uint64(64) - shift)


@kernel
def xnor_panel(words, panel, start, stop):
    """words (U, W) -> panel (ceil(U / 16), W, 16); units past U are 0. Runs over panel rows."""
    n_units, n_words = words.shape
    for p in range(start, stop):
        for w in range(n_words):
            for c in range(16):
                u = 16 * p + c
                panel[p, w, c] = words[u, w] if u < n_units else np.uint64(0)


@kernel
def nibble_panel(words, panel, start, stop):
    """The same panel in the order of `nibble_tile`: bytes (P, W, 4, 2, 16), a nibble of each byte of a pair."""
    n_units, n_words = words.shape
    for p in range(start, stop):
        for w in range(n_words):
            for pair in range(4):
                for side in range(2):
                    for half in range(2):                       # eight units, a word of the panel
                        entry = np.uint64(0)
                        for i in range(8):
                            u = 16 * p + 8 * half + i
                            if u < n_units:
                                two = words[u, w] >> np.uint64(16 * pair + 4 * side)
                                byte = two & np.uint64(15) | (two >> np.uint64(4)) & np.uint64(0xF0)
                                entry |= byte << np.uint64(8 * i)
                        panel[p, w, 4 * pair + 2 * side + half] = entry


@inline
def transpose_64(block):
    """Transpose 64 words as a 64 x 64 bit matrix in place (Hacker's Delight, section 7-3, for bit i = column i)."""
    width = np.uint64(32)
    mask = np.uint64(0x00000000FFFFFFFF)
    while width:
        step = np.int64(width)
        for base in range(0, 64, 2 * step):
            for k in range(base, base + step):
                swap = ((block[k] >> width) ^ block[k + step]) & mask
                block[k] ^= swap << width
                block[k + step] ^= swap
        width >>= ONE
        mask ^= mask << width


@kernel
def transpose_bits(words, turned, start, stop):
    """words (U, W) -> turned (64 W, ceil(U / 64)): bit u of row f is bit f of row u. Runs over words."""
    n_units = words.shape[0]
    block = empty(64, np.uint64)
    for w in range(start, stop):
        for group in range(turned.shape[1]):
            for i in range(64):
                u = 64 * group + i
                block[i] = words[u, w] if u < n_units else np.uint64(0)
            transpose_64(block)
            for i in range(64):
                turned[64 * w + i, group] = block[i]


FOUR_SIGNS = np.array([sum((1 if nibble >> i & 1 else 255) << 8 * i for i in range(4)) for nibble in range(16)],
                      np.uint32)                                # four bits as four bytes, +1 or -1


@kernel
def pixel_panel(words, n_runs, n_features, panel, start, stop):
    """words (U * n_runs, W), n_features of them a row -> panel (ceil(U / 16), n_runs * ceil(F / 4), 16) uint32.

    Each entry is four weights of a unit as bytes +1 and -1, and 0 past the last feature. Runs over panel rows.
    """
    n_units, n_steps = words.shape[0] // n_runs, panel.shape[1] // n_runs
    last = np.uint32(0xFFFFFFFF) >> np.uint32(8 * (4 * n_steps - n_features))
    for p in range(start, stop):
        for c in range(16):
            u = 16 * p + c
            for run in range(n_runs):
                for step in range(n_steps):
                    entry = np.uint32(0)
                    if u < n_units:
                        nibble = (words[u * n_runs + run, step >> 4] >> np.uint64(4 * (step & 15))) & np.uint64(15)
                        entry = FOUR_SIGNS[nibble]
                    panel[p, run * n_steps + step, c] = entry if step + 1 < n_steps else entry & last


@kernel
def pixel_twelves(words, panel, start, stop):
    """words (U, W), U a multiple of 32 -> panel (U / 32, E, 16) uint32 of `forward.pixel_lookup`. Runs over its rows.

    Entry (p, e, c) has features 12 e to 12 e + 11 of unit 32 p + c, and of unit 32 p + 16 + c in its high half.
    """
    for p in range(start, stop):
        for e in range(panel.shape[1]):
            w, shift = 12 * e >> 6, 12 * e & 63
            for c in range(16):
                entry = np.uint32(0)
                for side in range(2):
                    u = 32 * p + 16 * side + c
                    bits = words[u, w] >> np.uint64(shift)
                    if shift > 52 and w + 1 < words.shape[1]:
                        bits |= words[u, w + 1] << np.uint64(64 - shift)
                    entry |= np.uint32(bits & np.uint64(0xFFF)) << np.uint32(16 * side)
                panel[p, e, c] = entry
