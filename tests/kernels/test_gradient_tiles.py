"""What the operations of 16-bit gradients compute, by definition: tables, lookups' words, rounding.

In both forms, that in use here and the plain twin. That all forms agree is tested in test_twins.
"""

import numpy as np
import pytest
from drawn_operands import int16s, words
from test_twins import COMPILED, OPERATIONS, compiled

import bnnsim.kernels.gradients.fixed_point as fixed_point
import bnnsim.kernels.gradients.lookup_tile as lookup_tile

GARBAGE = 77

pytestmark = COMPILED


@pytest.fixture
def rng():
    return np.random.default_rng(27)


def both(module, name, n_args):
    """The form of an operation that kernels use here, and the plain twin."""
    place = module.__name__.removeprefix("bnnsim.kernels.")
    return compiled(getattr(module, name), n_args), OPERATIONS[f"{place}.{name}"].plain


@pytest.mark.parametrize("n_items, a_off, t_off", [(0, 0, 0), (16, 0, 0), (48, 3, 16), (160, 1, 5)])
def test_tables_of_four(rng, n_items, a_off, t_off):
    """Twice entry e is the sum of the four, negative where a bit of e is 0, plus that of their sizes.

    All sizes' sum stands first. Four digits fit into a byte; nothing else is written, nothing else read.
    """
    a = int16s(rng, a_off + n_items)
    end = t_off + lookup_tile.table_size(n_items, lookup_tile.FOURS.table)
    for call in both(lookup_tile, "build_tables", 5):
        tables = np.full(end + 3, GARBAGE, np.uint8)
        call(a, a_off, n_items, tables, t_off)
        values = a[a_off:].astype(int).reshape(-1, 4)
        assert tables[t_off:t_off + 4].view(np.int32)[0] == np.abs(values).sum()
        digits = tables[t_off + 64:end].reshape(3, -1, 16).astype(int)
        assert digits.max(initial=0) < 64
        for found, four in zip((digits * [[[1]], [[64]], [[4096]]]).sum(0), values):
            for e in range(16):
                assert 2 * found[e] - np.abs(four).sum() == sum(v if e >> i & 1 else -v for i, v in enumerate(four))
        assert (tables[:t_off] == GARBAGE).all() and (tables[t_off + 4:t_off + 64] == GARBAGE).all()
        assert (tables[end:] == GARBAGE).all()


@pytest.mark.parametrize("n_groups, a_off, t_off", [(0, 0, 0), (1, 0, 0), (7, 3, 16), (31, 1, 5)])
def test_tables_of_five(rng, n_groups, a_off, t_off):
    """Entry e is the sum of the five, negative where a bit of e is 0; nothing else is written, nothing else read."""
    a = int16s(rng, a_off + 5 * n_groups)
    for call in both(lookup_tile, "build_tables", 5):
        tables = np.full(t_off + 32 * n_groups + 3, GARBAGE, np.int32)
        call(a, a_off, 5 * n_groups, tables, t_off)
        for g in range(n_groups):
            five = a[a_off + 5 * g:a_off + 5 * g + 5].astype(int)
            for e in range(32):
                assert tables[t_off + 32 * g + e] == sum(v if e >> i & 1 else -v for i, v in enumerate(five))
        assert (tables[:t_off] == GARBAGE).all() and (tables[t_off + 32 * n_groups:] == GARBAGE).all()


@pytest.mark.parametrize("w_off, w_stride", [(0, 1), (5, 3)])
def test_signs_of_groups_of_four(rng, w_off, w_stride):
    source = words(rng, w_off + 15 * w_stride + 1)
    for call in both(lookup_tile, "turn_words", 5):
        panel = np.full(262, GARBAGE, np.uint8)
        call(source, w_off, w_stride, panel, 3)
        bits = [[int(panel[3 + 64 * (j // 4) + c]) >> j % 4 & 1 for j in range(16)] for c in range(64)]
        assert bits == [[int(source[w_off + j * w_stride]) >> c & 1 for j in range(16)] for c in range(64)]
        assert panel[3:259].max() < 16 and (panel[:3] == GARBAGE).all() and (panel[259:] == GARBAGE).all()


@pytest.mark.parametrize("w_off, w_stride", [(0, 1), (5, 3)])
def test_spread_words(rng, w_off, w_stride):
    source = words(rng, w_off + 29 * w_stride + 1)
    for call in both(lookup_tile, "turn_words", 5):
        panel = np.full(70, GARBAGE, np.uint32)
        call(source, w_off, w_stride, panel, 3)
        bits = [[int(panel[3 + c]) >> j & 1 for j in range(32)] for c in range(64)]
        ref = [[int(source[w_off + j * w_stride]) >> c & 1 for j in range(30)] + [0, 0] for c in range(64)]
        assert bits == ref and (panel[:3] == GARBAGE).all() and (panel[67:] == GARBAGE).all()


@pytest.mark.parametrize("n_groups, a_off, t_off", [(1, 0, 0), (7, 3, 16), (31, 1, 5)])
def test_float_tables(rng, n_groups, a_off, t_off):
    """Added one after another in float32: the same bits on every CPU."""
    a = (rng.normal(size=a_off + 5 * n_groups) * np.exp(rng.normal(0, 9, a_off + 5 * n_groups))).astype(np.float32)
    a[::7] = 0
    for call in both(lookup_tile, "build_tables", 5):
        tables = np.full(t_off + 32 * n_groups + 3, GARBAGE, np.float32)
        call(a, a_off, 5 * n_groups, tables, t_off)
        for g in range(n_groups):
            for e in range(32):
                total = np.float32(0)
                for i in range(5):
                    value = a[a_off + 5 * g + i]
                    total = total + (value if e >> i & 1 else -value)
                assert tables[t_off + 32 * g + e] == total
        assert (tables[:t_off] == GARBAGE).all() and (tables[t_off + 32 * n_groups:] == GARBAGE).all()


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@pytest.mark.parametrize("n_lanes, n_made", [(64, 64), (47, 32), (15, 0)])
def test_scale_row(rng, kind, n_lanes, n_made):
    """The product is float64's: int32 sums have more digits than a float32. Sixteen by sixteen, none beyond."""
    sums, scale = rng.integers(-2**31, 2**31, 70).astype(kind), 1 / 3
    for call in both(lookup_tile, "scale_row", 6):
        out = np.full(69, GARBAGE, np.float32)
        call(sums, 5, scale, out, 2, n_lanes)
        made = out[2:2 + n_made]
        np.testing.assert_array_equal(made, (sums[5:5 + n_made].astype(float) * scale).astype(np.float32))
        assert (out[:2] == GARBAGE).all() and (out[2 + n_made:] == GARBAGE).all()


def test_rounding(rng):
    """Ties to even, at both ends, of values and units of any size."""
    values = np.concatenate([[32767, -32767, 0.5, 1.5, -2.5, -0.0], rng.normal(0, 9000, 300)]).astype(np.float32)
    values = values.clip(-32767, 32767)
    ref = np.rint(values.astype(float)).astype(np.int16)
    for call in both(fixed_point, "fix_sixteen", 5):
        out = np.full(20, GARBAGE, np.int16)
        for at in range(0, 290, 7):
            call(values, at, 1.0, out, 2)
            np.testing.assert_array_equal(out[2:18], ref[at:at + 16])
        assert (out[:2] == GARBAGE).all() and (out[18:] == GARBAGE).all()
        unrounded = np.zeros(20, np.float32)
        call(values, 3, 0.1, unrounded, 2)
        np.testing.assert_array_equal(unrounded[2:18], values[3:19])


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_turned_block(rng, kind):
    values, inverse = rng.normal(0, 100, (16, 21)).astype(np.float32), rng.normal(0, 100, 20)
    ref = np.rint(values[:, 3:19].astype(float) * inverse[2:18]).astype(np.int16).T
    ref = values[:, 3:19].T if kind == np.float32 else ref
    for call in both(fixed_point, "turn_block", 8):
        out = np.full((16, 23), GARBAGE, kind)
        call(values, 3, 21, inverse, 2, out, 4, 23)
        np.testing.assert_array_equal(out[:, 4:20], ref)
        assert (out[:, :4] == GARBAGE).all() and (out[:, 20:] == GARBAGE).all()


def test_pairs_of_rows(rng):
    values, inverse = rng.normal(0, 100, (2, 70)).astype(np.float32), rng.normal(0, 100, 70)
    ref = np.rint(values[:, 6:].astype(float) * inverse[5:69]).astype(np.int16)
    for call in both(fixed_point, "fix_pair", 7):
        out = np.zeros(66, np.int32)
        call(values, 6, 70, inverse, 5, out, 1)
        np.testing.assert_array_equal(out[1:65].view(np.int16).reshape(64, 2), ref.T)
        assert out[0] == out[65] == 0
