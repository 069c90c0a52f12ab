"""Random flips: the draws of NumPy's Philox bit for bit, their statistics, nested rates, nothing past F."""

import math

import kernel_calls as calls
import naive
import numpy as np
import pytest
from kernel_calls import in_threads, rows

import bnnsim.kernels.words.random_bits as random_bits

KEY = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
N_BITS, P_FLIP = 409_600, 0.1


def flipped(n_rows, n_features, p_flip, key=KEY):
    """Masks at a rate, and their flips as booleans (N, F)."""
    masks = calls.flip_masks(n_rows, n_features, *key, int(p_flip * 2**64))
    return naive.unpack(masks, n_features) == 1


@rows("n_rows, n_features", [(3, 1), (2, 63), (2, 65), (1, 130)], [(17, 64), (16, 130)])
@pytest.mark.parametrize("p_flip", [0.5, 0.03])
def test_flips_are_those_of_numpys_philox(n_rows, n_features, p_flip):
    threshold = int(p_flip * 2**64)
    flips = naive.flips(n_rows, n_features, *KEY, threshold)
    comp = in_threads(calls.flip_masks, n_rows, n_features, *KEY, threshold)
    np.testing.assert_array_equal(comp, naive.pack(np.where(flips, 1, -1)))


@pytest.mark.jit_off
@pytest.mark.parametrize("n_features", [1, 63, 64, 65, 130])
def test_rate_0_flips_nothing_and_rate_1_all_that_exist(n_features):
    """Padding bits do not exist in the memory: a flip there would corrupt every popcount of the row."""
    assert not calls.flip_masks(3, n_features, *KEY, 0).any()
    np.testing.assert_array_equal(calls.flip_masks(3, n_features, *KEY, 2**64),
                                  naive.pack(np.ones((3, n_features), np.int8)))


@pytest.mark.jit_off
def test_flips_at_a_lower_rate_are_among_those_at_a_higher_one():
    """Otherwise a sweep over rates compares different chips."""
    chips = [flipped(8, 130, p) for p in (0.0, 0.01, 0.1, 0.5, 0.9, 1.0)]
    for fewer, more in zip(chips, chips[1:]):
        assert not (fewer & ~more).any() and more.sum() > fewer.sum()


@pytest.mark.jit_off
def test_one_pass_gives_every_rate_the_flips_that_it_has_alone():
    """Ties too: of the third threshold with the first draw of the word at row 1, bit 3."""
    tied = (naive.draw(3, 3, *KEY) << 32) + 2**31
    thresholds = [2**62, 0, tied, 2**64, 2**60, 2**62]
    each = calls.flip_masks_each(3, 130, *KEY, thresholds)
    for masks, threshold in zip(each, thresholds, strict=True):
        flips = naive.flips(3, 130, *KEY, threshold)
        np.testing.assert_array_equal(masks, naive.pack(np.where(flips, 1, -1)))


@pytest.mark.jit_off
def test_a_row_can_be_drawn_alone():
    whole = calls.flip_masks(7, 130, *KEY, 2**62)
    part = np.zeros_like(whole)
    threshold = np.array([2**30], np.uint64), np.zeros(1, np.uint64)
    random_bits.flip_masks(130, np.uint64(KEY[0]), np.uint64(KEY[1]), *threshold, part[None], 3, 5)
    np.testing.assert_array_equal(part[3:5], whole[3:5])
    assert not part[:3].any() and not part[5:].any()


@pytest.mark.jit_off
@pytest.mark.parametrize("n, f", [(0, 0), (0, 129), (1, 63), (2, 70)])
def test_a_draw_equal_to_the_threshold_is_decided_by_the_second_draw(n, f):
    """Once in 2^32 bits: without it rates would be multiples of 2^-32, and a BER of 1e-10 would be 0."""
    word, i = 3 * n + f // 64, f % 64
    first, second = naive.draw(word, i, *KEY), naive.draw(word, i, KEY[0], KEY[1] ^ naive.SECOND_KEY)
    for low, flips in ((second, False), (second + 1, True), (0, False), (2**32 - 1, second < 2**32 - 1)):
        masks = calls.flip_masks(3, 130, *KEY, (first << 32) + low)
        assert naive.bit(masks[n:n + 1], 0, f) == flips


@pytest.mark.jit_off
def test_either_half_of_the_key_changes_the_flips():
    reference = flipped(4, 130, 0.5)
    for key in ((KEY[0] + 1, KEY[1]), (KEY[0], KEY[1] + 1), KEY[::-1]):
        assert 150 < (flipped(4, 130, 0.5, key) ^ reference).sum() < 370


# statistics

def within_5_sigma(counts, n_bits, p_flip):
    """Whether all counts of flips could be Binomial(n_bits, p_flip)."""
    return np.all(np.abs(counts - n_bits * p_flip) <= 5 * math.sqrt(n_bits * p_flip * (1 - p_flip)))


@pytest.mark.parametrize("p_flip", [1e-4, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("key", [KEY, (0, 0), (1, 0)])
def test_flip_counts_are_binomial(p_flip, key):
    """In all, at each bit position, and in each column of words; 409,600 bits at fixed keys."""
    flips = flipped(N_BITS // 256, 256, p_flip, key)
    assert within_5_sigma(flips.sum(), N_BITS, p_flip)
    if p_flip >= 0.01:
        assert within_5_sigma(flips.reshape(-1, 64).sum(0), N_BITS // 64, p_flip)
        assert within_5_sigma(flips.reshape(-1, 4, 64).sum((0, 2)), N_BITS // 4, p_flip)


def test_neighbouring_bits_flip_independently():
    """Pairs at any distance up to 64 coincide at p^2; a draw used for two bits would show."""
    flips = flipped(N_BITS // 256, 256, P_FLIP).reshape(-1)
    pairs = [np.sum(flips[:-distance] & flips[distance:]) for distance in range(1, 65)]
    assert within_5_sigma(np.array(pairs), N_BITS, P_FLIP**2)


def test_wrong_models_fail_the_same_test():
    """Sampling with replacement, and a rate 5 % off, are what the statistics must be able to see."""
    rng = np.random.default_rng(23)
    with_replacement = np.zeros(N_BITS, bool)
    with_replacement[rng.integers(0, N_BITS, round(N_BITS * P_FLIP))] = True
    assert not within_5_sigma(with_replacement.sum(), N_BITS, P_FLIP)
    for p_wrong in (0.95 * P_FLIP, 1.05 * P_FLIP):
        assert not within_5_sigma(flipped(N_BITS // 256, 256, p_wrong).sum(), N_BITS, P_FLIP)
