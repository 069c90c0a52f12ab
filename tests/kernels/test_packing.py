"""Packing, transposing and joining rows of bits against `naive`, in any number of threads; and their laws."""

import hypothesis
import kernel_calls as calls
import naive
import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_calls import in_threads, signs

import bnnsim.kernels.words.packing as packing

SIZES = (1, 63, 64, 65, 130)
hypothesis.settings.register_profile("kernels", deadline=None, max_examples=25, derandomize=True)
LAW = hypothesis.settings.get_profile("kernels")


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


@pytest.mark.jit_off
@pytest.mark.parametrize("n_features", SIZES)
def test_packed_bits_follow_the_convention(rng, n_features):
    x = signs(rng, 5, n_features)
    ref_words = naive.pack(x)
    same(in_threads(calls.pack, x), ref_words)
    same(in_threads(calls.pack, x.astype(np.float32)), ref_words)
    same(in_threads(calls.pack, x.astype(np.float32), packing.pack_latent), ref_words)
    same(in_threads(calls.unpack, ref_words, n_features), x)


@pytest.mark.jit_off
@pytest.mark.parametrize("pack_kernel", [packing.pack_signs, packing.pack_latent])
def test_sign_of_either_zero_is_plus_one(pack_kernel):
    values = np.tile(np.array([[0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf]], np.float32), (2, 12))
    same(calls.unpack(calls.pack(values, pack_kernel), 72), np.tile([1, 1, 1, -1, 1, -1], (2, 12)))


@pytest.mark.jit_off
@pytest.mark.parametrize("n_rows, n_features", [(1, 1), (65, 63), (64, 64), (3, 130)])
def test_transposed_bits(rng, n_rows, n_features):
    x = signs(rng, n_rows, n_features)
    turned = in_threads(calls.transpose, naive.pack(x))
    same(turned[:n_features], naive.pack(x.T))
    assert not turned[n_features:].any(), "rows that came from padding bits must be 0"


@pytest.mark.jit_off
@pytest.mark.parametrize("n_taps, n_features", [(1, 130), (9, 1), (9, 63), (4, 64), (5, 65), (3, 130)])
def test_flattened_conv_rows_keep_their_features(rng, n_taps, n_features):
    taps = signs(rng, 4, n_taps, n_features)
    same(in_threads(calls.repack, naive.pack(taps), n_features), naive.pack(taps.reshape(4, -1)))


@pytest.mark.jit_off
@pytest.mark.parametrize("n_features", SIZES)
def test_negate_where_the_mask_is_set(rng, n_features):
    values, mask = rng.normal(size=(5, n_features)).astype(np.float32), signs(rng, 5, n_features)
    same(in_threads(calls.negate_masked, naive.pack(mask), values), -mask * values)


def packed_shapes():
    return st.tuples(st.integers(1, 5), st.integers(1, 140), st.integers(0, 2**32 - 1))


@pytest.mark.jit_off
@LAW
@hypothesis.given(packed_shapes())
def test_law_unpacking_undoes_packing(shape):
    x = signs(np.random.default_rng(shape[2]), *shape[:2])
    words = calls.pack(x)
    same(calls.unpack(words, shape[1]), x)
    assert naive.count(words) == (x == 1).sum(), "padding bits must be 0"


@pytest.mark.jit_off
@LAW
@hypothesis.given(packed_shapes())
def test_law_transposing_twice_changes_nothing(shape):
    words = calls.pack(signs(np.random.default_rng(shape[2]), *shape[:2]))
    turned = calls.transpose(words)
    same(calls.transpose(turned)[:len(words), :words.shape[1]], words)


@pytest.mark.jit_off
@LAW
@hypothesis.given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 140), st.integers(0, 2**32 - 1))
def test_law_repacking_is_packing_the_concatenation(n, n_taps, n_features, seed):
    taps = signs(np.random.default_rng(seed), n, n_taps, n_features)
    same(calls.repack(calls.pack(taps), n_features), calls.pack(taps.reshape(n, -1)))
