"""Arguments for every operation that has tiles: a function of a generator, that gives several sets of them.

At odd places, of any sizes, at the ends of the types' ranges, with room around outputs that no form may write to. A new
operation brings its row of ARGUMENTS, of gradients and optimizers in gradient_arguments.py.
"""

import functools
from itertools import product

import gradient_arguments
import numpy as np
from drawn_operands import garbage, singles, words

TABLE_ENDS = np.array([-2**31, -1, 0, 2**31 - 1])


def forward_operands(rng, middle):
    """Rows at odd places, in any order, of table rows in any order; entries at the ends of int32 and amid the sums."""
    x_at = rng.permutation(np.arange(12) * 5 + 3)
    table = np.where(rng.random(240) < 0.3, rng.choice(TABLE_ENDS, 240), rng.integers(middle - 30, middle + 30, 240))
    return x_at, rng.choice(np.array([0, 80, 160]), 12), table.astype(np.int32)


def xnor(to_bits, rng):
    """With runs, offsets and strides."""
    for n_runs, n_steps, run_stride, p_off, t_off, o_stride in [(0, 3, 1, 0, 0, 16), (1, 1, 0, 0, 16, 16),
                                                                (1, 17, 0, 16, 0, 19), (3, 2, 9, 5, 3, 17)]:
        x, panel = words(rng, 300), words(rng, p_off + 16 * max(n_runs * n_steps, 1) + 1)
        x_at, table_at, table = forward_operands(rng, 32 * n_runs * n_steps)
        yield (x, x_at, 2, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off,
               garbage(400, np.uint64 if to_bits else np.int32), 7, o_stride)


def nibbles(to_bits, rng):
    """In more steps than sums of bytes hold."""
    for n_runs, n_steps, run_stride, p_off, t_off, o_stride in [(0, 3, 1, 0, 0, 32), (1, 1, 0, 0, 16, 32),
                                                                (1, 17, 0, 16, 0, 35), (3, 5, 9, 5, 3, 33)]:
        x, panel = words(rng, 300), words(rng, p_off + 32 * max(n_runs * n_steps, 1) + 1)
        x[:100], panel[:200] = 0, 2**64 - 1                     # all differ
        x_at, table_at, table = forward_operands(rng, 32 * n_runs * n_steps)
        yield (x, x_at, 2, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off,
               garbage(400, np.uint64 if to_bits else np.int32), 7, o_stride)


def pixels(to_bits, rng):
    for n_runs, n_steps, run_stride, p_off, t_off, o_stride in [(0, 3, 1, 0, 0, 64), (1, 1, 0, 0, 16, 64),
                                                                (1, 17, 0, 16, 0, 67), (3, 2, 9, 5, 3, 65)]:
        x = rng.choice(np.array([0, 1, 254, 255], np.uint8), 300)
        panel = rng.choice(np.array([-1, 0, 1], np.int8), (p_off + 64 * max(n_runs * n_steps, 1) + 1, 4))
        x_at, table_at, table = forward_operands(rng, 0)
        yield (x, x_at, 2, run_stride, n_runs, n_steps, panel.view(np.uint32)[:, 0], p_off, table, table_at, t_off,
               garbage(500, np.uint64 if to_bits else np.int32), 7, o_stride)


def looked_up_pixels(to_bits, rng):
    """Even and odd numbers of groups, in more of them than 16-bit sums hold; tables from any place on."""
    for n_groups, p_off, t_off, o_stride in [(0, 0, 0, 128), (1, 0, 16, 128), (2, 7, 0, 131), (45, 16, 3, 130)]:
        tables = rng.choice(np.array([-1530, -1529, 0, 1, 1530], np.int16), 64 * n_groups + 40)
        tables[:32 * n_groups] = 1530                           # sums reach the ends
        panel = rng.integers(0, 2**32, p_off + 64 * ((n_groups + 1) // 2) + 1, np.uint32)
        table = np.where(rng.random(400) < 0.3, rng.choice(TABLE_ENDS, 400), rng.integers(-3000, 3000, 400))
        yield (tables, rng.permutation(np.arange(12) * 3), 2, 0, 1, n_groups, panel, p_off, table.astype(np.int32),
               rng.choice(np.array([0, 80, 160]), 12), t_off, garbage(900, np.uint64 if to_bits else np.int32), 7,
               o_stride)


def sixes(rng):
    pixels = rng.choice(np.array([0, 1, 254, 255], np.uint8), 40)
    for p_off, n_groups, t_off in [(0, 0, 0), (0, 1, 0), (3, 5, 7)]:
        yield pixels, p_off, n_groups, garbage(400, np.int16), t_off


def added_pixels(rng):
    """Features with w = +1 only, -1 only, both and none, at the most that a 16-bit sum holds."""
    flat = rng.choice(np.array([0, 1, 254, 255], np.uint8), 9 * 128)
    for n_plus, n in [(0, 0), (0, 5), (5, 5), (3, 7), (128, 128), (0, 128)]:
        lists = rng.integers(0, 7, 140).astype(np.int32)
        yield flat, 2 * 128, lists, 3, n_plus, n, rng.integers(-10**6, 10**6, 128).astype(np.int32)


def compared_sums(rng):
    for at, s_at, bias in [(0, 0, 0), (5, 64, -300), (37, 3, 10**6)]:
        sums = rng.integers(-50, 50, 130).astype(np.int32)
        yield (2 * sums[:100] - 2 * bias + rng.integers(-2, 3, 100)).astype(np.int32), min(at, 36), sums, s_at, \
            np.int32(bias)


def counted_powers(rng):
    for n_rows in (0, 1, 4):
        h = rng.integers(-2**20, 2**20, (6, 19)).astype(np.int32)
        sums, squares = rng.integers(-2**40, 2**40, (2, 18))
        yield h, 19 + 2, 19, n_rows, 2, sums, squares, 1


NORM = 4, 70                                                     # mean, inverse, scale, shift of 70 units
ESTIMATORS = (np.inf, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0), (1.0, 2.0, 2.0, 0.0), (np.inf, 1.0, 0.0, 5.0)


def signs_of_outputs(rng):
    """Outputs of exactly 0 among them."""
    h = rng.integers(-9, 9, 150).astype(np.int32)
    mean, scale, shift = rng.integers(-9, 9, 70).astype(float), rng.normal(size=70), rng.normal(size=70)
    shift[::3] = 0
    scale[::5] = 0
    for h_off, u_off in ((0, 0), (37, 6)):
        yield h, h_off, mean, scale, shift, u_off


def summed_gradients(rng):
    for ste, n_rows, kind in product(ESTIMATORS, (0, 3), (np.int32, np.float32)):
        dout, h = singles(rng, 5, 70), (rng.integers(-30, 40, (5, 70)) / 10).astype(kind)
        yield dout, h, 70 + 9, 70, n_rows, rng.normal(size=NORM), 9, ste, rng.normal(size=70), rng.normal(size=70)


def row_gradients(rng):
    for ste, kind in product(ESTIMATORS, (np.int32, np.float32)):
        dout, h = singles(rng, 2, 70), (rng.integers(-30, 40, (2, 70)) / 10).astype(kind)
        yield dout, h, 70 + 5, 70, rng.normal(size=NORM), rng.normal(size=(2, 70)), 5, ste, garbage((2, 70), np.float32)


def reals(rng, *shape):
    """float32 of many sizes, both zeros and subnormal ones among them."""
    values = singles(rng, *shape)
    ends = np.array([0.0, -0.0, 1e-42, -1e-42, 3e38], np.float32)
    return np.where(rng.random(shape) < 0.2, rng.choice(ends, shape), values).astype(np.float32)


def channel_sums(rng):
    for term, n_rows in product(range(4), (0, 1, 7)):
        dout, x = reals(rng, 8, 70), reals(rng, 8, 70)
        yield term, dout, x, rng.normal(size=70), 70 + 9, 70, n_rows, 9, rng.normal(size=70)


def signs_back(rng):
    for ste in ESTIMATORS:
        yield singles(rng, 2, 70), reals(rng, 2, 70), 70 + 5, singles(rng, 70), 5, ste, garbage((2, 70), np.float32)


def programs(rng):
    """Of none to five steps, on integers and reals, with and without the map and the signs as results."""
    for kind, steps, n_rows, stores, signs in product((np.int32, np.float32), ([], [0], [1, 2], [0, 1, 2, 3, 0]),
                                                      (0, 1, 4, 6), (False, True), (False, True)):
        x = rng.integers(-2**31, 2**31, (7, 48)).astype(np.int32) if kind == np.int32 else reals(rng, 7, 48)
        pieces = garbage(7 * 4 if signs else 0, np.uint16)
        constants = singles(rng, len(steps), 2, 48)
        yield (x, reals(rng, 7, 48), 48 + 16, 48, n_rows, 16, np.array(steps, np.int64), constants, reals(rng, 48),
               garbage((7, 48), np.float32), stores, pieces, 4 + 1, 4)


def row_products(rng):
    for n_channels, x_step, x_inner in ((0, 69, 1), (1, 69, 1), (5, 1, 40), (64, 69, 1), (37, 2, 9)):
        yield (singles(rng, 400), 7, x_step, x_inner, n_channels, singles(rng, 70 * 40), 3, 40,
               reals(rng, 4 * 50 + 8), 5, 50)


def draws(rng):
    """With ties."""
    for _ in range(3):
        drawn = words(rng, 32)
        yield drawn, np.uint64(drawn[3] & np.uint64(2**32 - 1))


def factors(rng):
    ends = np.array([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1], np.uint64)
    return product(np.concatenate([ends, words(rng, 5)]), np.concatenate([ends, words(rng, 5)]))


def signed(rng):
    """sign(-0.0) is +1; NaN is -1."""
    for kind, offset in product((np.float32, np.float64), (0, 1, 36)):
        yield rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, 1, -1, np.inf, -np.inf, np.nan], kind), 100), offset


def chained(kind, rng):
    for steps in (0, 1, 5):
        seeds = words(rng, 17, 8) if kind == np.uint64 else rng.integers(-2**31, 2**31, (17, 16)).astype(kind)
        yield seeds, steps, garbage(2 * 16 * seeds.shape[1], kind), 16


ARGUMENTS = {
    "_arrays.aligned": lambda rng: [(np.zeros(99, kind)[i:],) for kind in (np.uint8, np.int32, np.float32)
                                    for i in range(17)],
    "forward.corrected_first_layer.add_pixels": added_pixels,
    "forward.corrected_first_layer.excess_word": compared_sums,
    **{f"forward.xnor_tile.xnor_{end}_{rows}": functools.partial(xnor, end == "bits")
       for end in ("bits", "sums") for rows in (8, 1)},
    **{f"forward.nibble_tile.nibble_{end}_{size}": functools.partial(nibbles, end == "bits")
       for end in ("bits", "sums") for size in ("4x2", "4x1", "1x1")},
    "forward.pixel_lookup.build_tables": sixes,
    **{f"forward.pixel_lookup.lookup_{end}_{rows}": functools.partial(looked_up_pixels, end == "bits")
       for end in ("bits", "sums") for rows in (6, 1)},
    **{f"forward.pixel_tile.pixel_{end}_{size}": functools.partial(pixels, end == "bits")
       for end in ("bits", "sums") for size in ("6x4", "6x1", "1x1")},
    **gradient_arguments.ARGUMENTS,
    "limits.madd_chains": functools.partial(chained, np.int32),
    "limits.xnor_chains": functools.partial(chained, np.uint64),
    "norm.batchnorm_tiles.affine_word": signs_of_outputs,
    "norm.batchnorm_tiles.gradient_lanes": row_gradients,
    "norm.batchnorm_tiles.sum_gradients": summed_gradients,
    "norm.batchnorm_tiles.sum_powers": counted_powers,
    "real.channel_tiles.add_terms": channel_sums,
    "real.channel_tiles.sign_lanes": signs_back,
    "real.madd_tile.madd_four": row_products,
    "real.madd_tile.madd_one": row_products,
    "real.program_tile.program_lanes": programs,
    "words.vector_words.draws_below": draws,
    "words.vector_words.draws_equal": draws,
    "words.vector_words.multiply_high": factors,
    "words.vector_words.sign_word": signed,
}
