"""PackedBits: the convention that users' own packed words must follow."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bnnsim

pytestmark = pytest.mark.jit_off
shapes = st.tuples(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), st.integers(1, 140)).map(
    lambda sides: (*sides[0], sides[1]))                        # few rows, up to three words
signs = hnp.arrays(np.int8, shapes, elements=st.sampled_from([-1, 1]))


def pad_is_zero(bits):
    left = bits.n_features % 64
    return left == 0 or not np.any(bits.words[..., -1] >> np.uint64(left))


@pytest.mark.tiny
@given(signs)
def test_what_is_packed_comes_back(values):
    bits = bnnsim.PackedBits.pack(values)
    assert pad_is_zero(bits) and bits.shape == values.shape
    assert np.array_equal(bits.unpack(), values)
    assert np.array_equal(bits.count(), (values == 1).sum(axis=-1))


@given(signs, st.integers(0, 2**32))
def test_xor_marks_differences_and_undoes_itself(values, seed):
    other = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), values.shape)
    left, right = bnnsim.PackedBits.pack(values), bnnsim.PackedBits.pack(other)
    assert np.array_equal((left ^ right).count(), (values != other).sum(axis=-1))
    assert (left ^ right) ^ right == left and pad_is_zero(left ^ right)


@pytest.mark.parametrize("n_features", [1, 63, 64, 65, 130])
def test_words_equal_the_naive_reference(n_features):
    values = np.random.default_rng(n_features).choice([-1, 1], (3, n_features))
    assert np.array_equal(bnnsim.PackedBits.pack(values).words, naive.pack(values))


def test_bool_int_and_float_pack_alike():
    values = np.array([[True, False, True]])
    for same in (np.where(values, 1, -1), np.where(values, 1.0, -1.0), np.where(values, 1, -1).astype(np.int8)):
        assert bnnsim.PackedBits.pack(values) == bnnsim.PackedBits.pack(same)


BAD = [
    (lambda: bnnsim.PackedBits.pack(np.array([1, 0])), ValueError, r"\+1 and -1"),
    (lambda: bnnsim.PackedBits.pack(np.array([1.0, np.nan])), ValueError, r"must be finite"),
    (lambda: bnnsim.PackedBits.pack(np.array([257, 1])), ValueError, r"\+1 and -1"),
    (lambda: bnnsim.PackedBits.pack(np.array([255, 1], np.uint8)), ValueError, r"\+1 and -1"),
    (lambda: bnnsim.PackedBits.pack(np.array(1)), TypeError, "array"),
    (lambda: bnnsim.PackedBits.pack(np.empty((3, 0))), ValueError, "at least one feature"),
    (lambda: bnnsim.PackedBits.pack(np.array(["+"])), TypeError, "bool"),
    (lambda: bnnsim.PackedBits(np.zeros((1, 2), np.uint64), 64), ValueError, r"shape \(1, 1\)"),
    (lambda: bnnsim.PackedBits(np.zeros((1, 1), np.int64), 64), TypeError, "uint64"),
    (lambda: bnnsim.PackedBits(np.full((1, 1), 8, np.uint64), 3), ValueError, "past feature 2"),
    (lambda: bnnsim.PackedBits.pack(np.ones((1, 3))) ^ bnnsim.PackedBits.pack(np.ones((1, 4))), ValueError,
     "one shape"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_says_what_was_wanted(call, error, message):
    with pytest.raises(error, match=message):
        call()
