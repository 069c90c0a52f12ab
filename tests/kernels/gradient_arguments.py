"""Arguments for the operations of gradients and optimizers that have tiles: see `twin_arguments`."""

from itertools import product

import numpy as np
from drawn_operands import garbage, int16s, singles, words


def turned_blocks(rng):
    for kind in (np.int16, np.float32):
        yield (singles(rng, 16, 21), 3, 21, rng.normal(0, 100, 20), 2, garbage((16, 23), kind), 4, 23)
    yield (int16s(rng, 16 * 21), 3, 21, rng.normal(0, 100, 20), 2, garbage((16, 23), np.int16), 4, 23)


def fixed_rows(rng):
    ends = np.array([32767, -32767, 0.5, 1.5, -2.5, -0.0], np.float32)
    values = np.concatenate([ends, rng.normal(0, 9000, 30)]).astype(np.float32)
    for at, kind in product((0, 3), (np.int16, np.float32)):
        yield values, at, 0.9, garbage(20, kind), 2


def fixed_columns(rng):
    for at, kind in product((0, 3), (np.int16, np.float32)):
        yield singles(rng, 30), at, rng.normal(0, 100, 20), at, garbage(20, kind), 2


def fixed_pairs(rng):
    yield singles(rng, 2, 70), 6, 70, rng.normal(0, 100, 70), 5, garbage(66, np.int32), 1


def table_operands(rng):
    """Of groups of four and of five; float32 with zeros among them."""
    for n_steps, a_off, t_off in [(0, 0, 0), (1, 0, 0), (7, 3, 16), (31, 1, 5)]:
        yield (int16s(rng, a_off + 16 * n_steps), a_off, 16 * n_steps,
               garbage(t_off + 64 + 192 * n_steps + 3, np.uint8), t_off)
        numbers = singles(rng, a_off + 5 * n_steps)
        numbers[::7] = 0
        for a, kind in ((numbers, np.float32), (int16s(rng, len(numbers)), np.int32)):
            yield a, a_off, 5 * n_steps, garbage(t_off + 32 * n_steps + 3, kind), t_off


def quad_operands(rng):
    for n_quads, a_off, t_off in [(0, 0, 0), (1, 0, 0), (7, 3, 16)]:
        yield (int16s(rng, a_off + 16 * n_quads), a_off, 16 * n_quads, garbage(t_off + 192 * n_quads + 3, np.uint8),
               t_off)


def looked_up(rng):
    """Tables anywhere, shared between rows and segments, as those of neighbouring positions of a convolution are.

    float32 sums too have the same bits: they run in the same order. Digits in bytes have six bits, and there are more
    of them, and of segments, than the 16 bits of a partial sum hold.
    """
    shapes = product([(1, 0, 0, 0), (1, 1, 0, 0), (3, 6, 64, 5), (2, 5, 7, 1)], (False, True), (64, 32))
    for (n_segments, n_steps, p_off, o_off), add, n_columns in [*shapes, ((1, 259, 0, 0), False, 32),
                                                                ((70, 2, 1, 3), True, 64)]:
        r_off = p_off % 7
        rows = rng.integers(0, 99, r_off + 6 * n_segments)
        panel = rng.integers(0, 2**32, p_off + n_segments * -(-n_steps // 6) * 64, dtype=np.uint32)
        for kind in (np.float32, np.int32) if n_segments * n_steps < 100 else ():
            tables = (rng.normal(size=32 * n_steps + 99) * 10**6).astype(kind)
            out = garbage(o_off + 6 * 64 + 3, kind)
            yield tables, rows, r_off, n_segments, 5 * n_steps, panel, p_off, n_columns, out, o_off, add
        tables = rng.choice(np.array([0, 1, 62, 63, 63, 63], np.uint8), 99 + 64 + 192 * n_steps)
        panel = rng.integers(0, 16, p_off + n_segments * n_steps * 256, dtype=np.uint8)
        out = garbage(o_off + 6 * 64 + 3, np.int32)
        yield tables, rows, r_off, n_segments, 16 * n_steps, panel, p_off, n_columns, out, o_off, add


def byte_matrices(rng):
    """At the ends of bytes, at places that do and do not begin a cache line, of rows that share memory."""
    for n_steps, stride, h_off, l_off, s_off, o_off in [(0, 64, 0, 0, 0, 0), (1, 64, 0, 0, 0, 16),
                                                        (3, 128, 5, 9, 3, 7)]:
        high, low, signs = (rng.integers(0, 256, size, np.uint8) for size in (4000, 4000, 4000))
        for add in (False, True):
            yield (high.view(np.int8), low, h_off, l_off, stride, rng.integers(0, 1000, n_steps), n_steps,
                   signs.view(np.int8), s_off, rng.integers(-10**6, 10**6, o_off + 520).astype(np.int32), o_off, add)


def fixed_bytes(rng):
    for values, _, inverse, *_ in fixed_rows(rng):
        yield values, 4, inverse, garbage(30, np.int8), garbage(30, np.uint8), 3, 7


def kept_bytes(rng):
    for entry in (0, 1, 3):
        yield (rng.integers(0, 4, 30).astype(np.uint8), 5, np.uint8(entry), garbage(60, np.int8),
               garbage(60, np.uint8), 2, 33, 21)


def scaled_sums(rng):
    """Rows in any order, some nowhere; sums up to the most that 16-bit gradients give."""
    places = 20 * rng.permutation(16) + 3
    places[::5] = -1
    yield rng.integers(-2**22, 2**22, 530).astype(np.int32), 9, 1 / 3, garbage(340, np.float32), places


def spread_fours(rng):
    for w_off, w_stride, s_off, s_next in [(0, 1, 0, 64), (5, 3, 3, 100)]:
        yield words(rng, 20), w_off, w_stride, garbage(s_off + 3 * s_next + 70, np.int8), s_off, s_next


def spread(rng):
    for w_off, w_stride in [(0, 1), (5, 3)]:
        yield words(rng, w_off + 29 * w_stride + 1), w_off, w_stride, garbage(70, np.uint32), 3
        yield words(rng, w_off + 15 * w_stride + 1), w_off, w_stride, garbage(262, np.uint8), 3


def added_tiles(rng):
    yield rng.integers(-2**31, 2**31, (6, 64)).astype(np.int32), rng.integers(-2**62, 2**62, (6, 64))
    yield singles(rng, 6, 64), rng.normal(size=(6, 64))


def listed_quads(rng):
    units = rng.integers(0, 10**6, 40).astype(np.int32)
    for u_off, l_off in ((0, 0), (7, 3)):
        yield np.int32(192), units, u_off, np.int32(5000), garbage(30, np.int32), l_off


def halves_of_words(rng):
    for half, bit in ((0, 1), (1, 8)):
        yield words(rng, 5), 3, half, np.uint8(bit), garbage(40, np.uint8), 3


def chosen_sums(rng):
    """Up to the most quads there may be, at the most that a digit's sums hold; signs placed and not."""
    tables, signs = rng.choice(np.array([0, 1, 62, 63], np.uint8), 192 * 7 + 5), rng.integers(0, 2, 40 * 32 + 3)
    placed = signs.copy()
    placed[3:] = (placed[3:].reshape(40, 32) << np.arange(40)[:, None] % 4).reshape(-1)
    for n_quads, is_placed, add, l_off in ((0, False, True, 0), (1, True, False, 5), (3, False, True, 2),
                                           (7, True, True, 0), (256, False, False, 1)):
        table, chosen = rng.integers(0, 4 * 6, 4 * n_quads), rng.integers(0, 10, (4 * n_quads, 4))
        if n_quads == 256:
            table[:], chosen[:] = 0, 0
            tables = np.full_like(tables, 63)
        listed = np.column_stack([table // 4 * 192 + table % 4 * 16, (4 * chosen + np.arange(4)) * 32])
        yield (tables, 5, np.append(garbage(l_off, np.int32), listed.reshape(-1).astype(np.int32)), l_off,
               (placed if is_placed else signs).astype(np.uint8), 3, is_placed, n_quads,
               np.int32(rng.integers(0, 10**6)), rng.integers(-10**6, 10**6, 40).astype(np.int32), 5, add)


def scaled_rows(rng):
    for kind, n_lanes in product((np.int32, np.float32), (64, 47, 15)):
        yield rng.integers(-2**31, 2**31, 70).astype(kind), 5, 1 / 3, garbage(69, np.float32), 2, n_lanes


def multiplied(rng):
    """`a` at both ends of its range; out holds sums already."""
    for n_pairs, a_off, a_extra, p_off, o_off in [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (5, 3, 1, 8, 7), (33, 1, 2, 4, 64)]:
        a = rng.integers(-32767, 32768, a_off + 6 * (2 * n_pairs + a_extra) + 1).astype(np.int16)
        a[::3] = rng.choice(np.array([-32767, 32767], np.int16), a[::3].shape)
        panel = rng.integers(-255, 256, 2 * (p_off + 64 * n_pairs) + 2).astype(np.int16).view(np.int32)
        yield (a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs,
               rng.integers(-10**6, 10**6, o_off + 6 * 64 + 5).astype(np.int32), o_off)


def floats(*values):
    return tuple(np.float32(value) for value in values)


def adam(rng):
    for bound in (1.0, np.inf):
        value, gradient, first, second = rng.normal(size=(4, 21)).astype(np.float32)
        yield value, gradient, first, second**2, 3, *floats(0.9, 0.999, 0.3, 1.7, 1e-8, bound)


def metaplastic(rng):
    for *arrays, at, beta1, beta2, step, scale, eps, bound in adam(rng):
        arrays[0][::5] = 0
        yield *arrays, at, beta1, beta2, step, scale, eps, bound, np.float32(2.7)


def bop(rng):
    value, gradient, momentum = rng.normal(size=(3, 21)).astype(np.float32)
    value[::4] = 0
    yield value, gradient, momentum, 2, *floats(0.3, 0.1)


def momentum(rng):
    for bound in (1.0, np.inf):
        value, gradient, velocity = rng.normal(size=(3, 21)).astype(np.float32)
        yield value, gradient, velocity, 2, *floats(0.9, 0.3, bound)


def kept_winners(rng):
    for entry in range(3):
        for values in (singles(rng, 30), int16s(rng, 30)):
            yield (values, 5, rng.integers(0, 3, 25).astype(np.uint8), 7, np.uint8(entry), garbage(20, values.dtype), 1)


def kept_pairs(rng):
    for first, second in ((0, 1), (2, 2)):
        winner = rng.integers(0, 3, 140).astype(np.uint8)
        yield (rng.integers(-2**31, 2**31, 150).astype(np.int32), 5, 80, winner, 7, 71, np.uint8(first),
               np.uint8(second), garbage(70, np.int32), 3)


def pooled(rng):
    """Windows of equal values among them: the first of them wins."""
    for size in (1, 2, 3):
        yield (rng.integers(-3, 3, 200).astype(np.int32), 5, 19 * size, 19, size, garbage(20, np.int32),
               garbage(20, np.uint8), 1)


ARGUMENTS = {
    "gradients.byte_tile.byte_products": byte_matrices,
    "gradients.byte_tile.fix_bytes": fixed_bytes,
    "gradients.byte_tile.keep_bytes": kept_bytes,
    "gradients.byte_tile.scale_sums": scaled_sums,
    "gradients.byte_tile.spread_four": spread_fours,
    "gradients.chosen_lookup.build_quads": quad_operands,
    "gradients.chosen_lookup.chosen_tile": chosen_sums,
    "gradients.chosen_lookup.list_quad": listed_quads,
    "gradients.chosen_lookup.spread_half": halves_of_words,
    "gradients.fixed_point.fix_columns": fixed_columns,
    "gradients.fixed_point.fix_pair": fixed_pairs,
    "gradients.fixed_point.fix_sixteen": fixed_rows,
    "gradients.fixed_point.turn_block": turned_blocks,
    "gradients.lookup_tile.add_tile": added_tiles,
    "gradients.lookup_tile.build_tables": table_operands,
    "gradients.lookup_tile.lookup_tile": looked_up,
    "gradients.lookup_tile.scale_row": scaled_rows,
    "gradients.lookup_tile.turn_words": spread,
    "gradients.multiply_add_tile.multiply_add": multiplied,
    "gradients.optimizer_steps.adam_lanes": adam,
    "gradients.optimizer_steps.bop_lanes": bop,
    "gradients.optimizer_steps.metaplastic_lanes": metaplastic,
    "gradients.optimizer_steps.momentum_lanes": momentum,
    "gradients.pool.keep_lanes": kept_winners,
    "gradients.pool.keep_pairs": kept_pairs,
    "gradients.pool.pool_lanes": pooled,
}
