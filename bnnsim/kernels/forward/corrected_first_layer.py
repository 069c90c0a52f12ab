"""A dense first layer with few wrong weights: its clean pre-activations, corrected where bits flipped.

Images come in blocks of 128, the last one filled up with zeros: pixels (B, F, 128) uint8; the excess h - theta of the
clean layer (B, U, 128) int32; its comparisons h >= theta (B, U, 2) words, an image a bit. A flipped weight w changes h
by -2 w (pixel - offset). Unit u's flipped features are lists[starts[u] : starts[u + 1]], first those with w = +1,
n_plus[u] of them. Results equal those of the full product bit for bit.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import kernel, inline
from bnnsim.kernels._llvm import I8, I16, I32, I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.words.bit_fields import ONE
from bnnsim.kernels.words.packing import transpose_64

BLOCK = 128                         # images: four vectors of 16-bit sums
MOST = 128                          # pixels that a 16-bit sum holds: 128 * 255 < 2^15


# ---------------------------------------------------------------- vector operations

@intrinsic
def _add_pixels(_, pixels, block_at, lists, first, n_plus, n, sums):
    index = types.intp
    signature = types.void(pixels, index, lists, index, index, index, sums)

    def generate(context, builder, signature, args):
        pixels, block_at, lists, first, n_plus, n, sums = args
        narrow, half, wide = (ir.VectorType(item, 32) for item in (I8, I16, I32))
        base = item_pointer(context, builder, signature.args[0], pixels, block_at, I8)
        features = item_pointer(context, builder, signature.args[2], lists, first, I32)
        target = item_pointer(context, builder, signature.args[6], sums, I64(0), I32)
        slots = [cgutils.alloca_once(builder, half) for _ in range(4)]
        for slot in slots:
            builder.store(ir.Constant(half, None), slot)

        def loop(start, stop, combine):
            with cgutils.for_range(builder, builder.sub(stop, start)) as step:
                feature = builder.sext(builder.load(builder.gep(features, [builder.add(start, step.index)])), I64)
                row = builder.gep(base, [builder.mul(feature, I64(BLOCK))])
                for v, slot in enumerate(slots):
                    values = builder.load(vector_pointer(builder, row, I64(32 * v), narrow), align=1)
                    builder.store(combine(builder.load(slot), builder.zext(values, half)), slot)

        loop(I64(0), n_plus, builder.add)
        loop(n_plus, n, builder.sub)
        for v, slot in enumerate(slots):
            place = vector_pointer(builder, target, I64(32 * v), wide)
            builder.store(builder.add(builder.load(place, align=4), builder.sext(builder.load(slot), wide)), place,
                          align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_add_pixels))
def add_pixels(pixels, block_at, lists, first, n_plus, n, sums):
    """sums (128,) int32 += pixels of features lists[first..first + n_plus), minus those up to first + n; n <= 128."""
    flat = pixels.reshape(-1)
    for k in range(n):
        at = block_at + lists[first + k] * BLOCK
        row = flat[at:at + BLOCK].astype(np.int32)
        sums += row if k < n_plus else -row


@intrinsic
def _excess_word(_, excess, at, sums, s_at, bias):
    index = types.intp
    signature = types.uint64(excess, index, sums, index, types.int32)

    def generate(context, builder, signature, args):
        vector = ir.VectorType(I32, 64)
        left, right = (builder.load(builder.bitcast(
            item_pointer(context, builder, signature.args[i], args[i], args[i + 1], I32), vector.as_pointer()), align=4)
            for i in (0, 2))
        bias = splat(builder, args[4], vector)
        change = builder.sub(right, bias)
        return builder.bitcast(builder.icmp_signed(">=", left, builder.add(change, change)), I64)

    return signature, generate


@twin_of(Tile(_excess_word))
def excess_word(excess, at, sums, s_at, bias):
    """Word whose bit i is excess[at + i] >= 2 * (sums[s_at + i] - bias), for 64 images."""
    flat, word = excess.reshape(-1), 0
    for i in range(64):
        word |= int(flat[at + i] >= 2 * (int(sums[s_at + i]) - int(bias))) << i
    return np.uint64(word)


# ---------------------------------------------------------------- the clean layer, made once: NumPy compiles nothing

def pixel_blocks(images: np.ndarray, pixels: np.ndarray, start: int, stop: int) -> None:
    """images (N, C, H, W) uint8 -> pixels (B, F, 128), features in H, W, C order. Runs over blocks."""
    for b in range(start, stop):
        block = images[b * BLOCK:(b + 1) * BLOCK]
        pixels[b, :, len(block):] = 0
        pixels[b, :, :len(block)] = block.transpose(2, 3, 1, 0).reshape(-1, len(block))


def excess_blocks(h: np.ndarray, theta: np.ndarray, excess: np.ndarray, start: int, stop: int) -> None:
    """h (N, U) int32, theta (U,) int32 -> excess (B, U, 128). Runs over blocks."""
    for b in range(start, stop):
        block = h[b * BLOCK:(b + 1) * BLOCK]
        excess[b, :, len(block):] = 0
        np.subtract(block.T, theta[:, None], out=excess[b, :, :len(block)])


def compare_blocks(excess: np.ndarray, comparisons: np.ndarray, start: int, stop: int) -> None:
    """excess -> comparisons (B, U, 2). Runs over blocks."""
    for b in range(start, stop):
        comparisons[b] = np.packbits(excess[b] >= 0, axis=-1, bitorder="little").view("<u8")


# ---------------------------------------------------------------- flips

@kernel
def list_flips(clean, flips, starts, n_plus, lists, start, stop):
    """clean and flips (U, W) words, starts (U + 1,) -> lists and n_plus (U,). Runs over units."""
    for u in range(start, stop):
        at = starts[u]
        for sign in range(2):
            for w in range(flips.shape[1]):
                bits = flips[u, w] & (~clean[u, w] if sign else clean[u, w])
                f = 64 * w
                while bits:
                    if bits & np.uint64(0xFF) == np.uint64(0):
                        bits >>= np.uint64(8)
                        f += 8
                        continue
                    if bits & ONE:
                        lists[at] = f
                        at += 1
                    bits >>= ONE
                    f += 1
            if sign == 0:
                n_plus[u] = at - starts[u]


@inline
def _corrected_unit(pixels, excess, b, u, lists, start, n_plus, n, offset, sums):
    """The two words of comparisons of unit u in block b, with its n flips."""
    sums[:] = 0
    block_at = b * pixels.shape[1] * BLOCK
    for first in range(0, n, MOST):
        size = min(MOST, n - first)
        add_pixels(pixels, block_at, lists, start + first, max(0, min(size, n_plus - first)), size, sums)
    bias = np.int32(offset * (2 * n_plus - n))
    at = (b * excess.shape[1] + u) * BLOCK
    return excess_word(excess, at, sums, 0, bias), excess_word(excess, at + 64, sums, 64, bias)


@kernel
def corrected_bits(pixels, excess, comparisons, starts, n_plus, lists, offset, inverted, out, start, stop):
    """Output bits out (N, V) of the layer with its flips, inverted words (V,). Runs over blocks."""
    n_units = excess.shape[1]
    sums, block = zeros(BLOCK, np.int32), zeros((2, 64), np.uint64)
    for b in range(start, stop):
        for v in range(out.shape[1]):
            block[:] = 0
            for i in range(min(64, n_units - 64 * v)):
                u = 64 * v + i
                n = starts[u + 1] - starts[u]
                if n:
                    block[0, i], block[1, i] = _corrected_unit(pixels, excess, b, u, lists, starts[u], n_plus[u], n,
                                                               offset, sums)
                else:
                    block[0, i], block[1, i] = comparisons[b, u, 0], comparisons[b, u, 1]
            for side in range(2):
                first = b * BLOCK + 64 * side
                transpose_64(block[side])
                for n in range(min(64, out.shape[0] - first)):
                    out[first + n, v] = block[side, n] ^ inverted[v]
