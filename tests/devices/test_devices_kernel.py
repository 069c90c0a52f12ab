"""Every device programmed, every bit sensed: equal to plain Python, and the same for any number of threads."""

import math

import naive
import naive_devices as slow
import numpy as np
import pytest
from kernel_calls import dirty, in_threads, n_words, rows, signs
from scipy.special import ndtri

import bnnsim.kernels.memory.sensing as sensing
from bnnsim.devices import Empirical, LogNormal, NormalConductance
from bnnsim.kernels import split

KEYS = {name: (0x0123456789ABCDEF + i, 0xFEDCBA9876543210 - i)
        for i, name in enumerate(("device", "amplifier", "read", "failure"))}
OHM = (3e3, 4e3, 4e3, 5e3, 9e3, 2e4, 5e4)
STATES = {"log-normal": (LogNormal(5e3, 0.6), LogNormal(2e4, 0.9), slow.log_normal(5e3, 0.6),
                         slow.log_normal(2e4, 0.9)),
          "conductance": (NormalConductance(2e-4, 9e-5), NormalConductance(6e-5, 3e-5), slow.conductance(2e-4, 9e-5),
                          slow.conductance(6e-5, 3e-5)),
          "samples": (Empirical(OHM[:5]), Empirical(OHM[1:]), slow.samples(OHM[:5]), slow.samples(OHM[1:])),
          "mixed": (LogNormal(5e3, 0.6), NormalConductance(6e-5, 3e-5), slow.log_normal(5e3, 0.6),
                    slow.conductance(6e-5, 3e-5))}
CALM = dict(offset=0.0, offset_sigma=0.0, read_sigma=0.0, rows=1, taps=1)


def keys():
    return sensing.Keys(*(tuple(map(np.uint64, key)) for key in KEYS.values()))


def threshold(p):
    return np.uint64(round(p * 2**32))


def pair_masks(words, n_features, lrs, hrs, amplifier=CALM, p_failed=0.0, share_lrs=0.5):
    masks = dirty(words.shape, np.uint64)
    split(sensing.pair_faults, len(words), words, n_features, lrs.kernel_state(), hrs.kernel_state(),
          sensing.Amplifier(*amplifier.values()), sensing.FailureThresholds(threshold(p_failed), threshold(share_lrs)),
          keys(), masks)
    return masks


def single_masks(words, n_features, lrs, hrs, reference, p_failed=0.0, share_lrs=0.5):
    masks = dirty(words.shape, np.uint64)
    split(sensing.single_faults, len(words), words, n_features, lrs.kernel_state(), hrs.kernel_state(), reference,
          sensing.FailureThresholds(threshold(p_failed), threshold(share_lrs)), keys(), masks)
    return masks


def stored(n_rows, n_features, seed=3):
    pm1 = signs(np.random.default_rng(seed), n_rows, n_features)
    return (pm1 > 0).astype(int), naive.pack(pm1)


def wrong_bits(masks, n_features):
    """Booleans (N, F); padding bits must be 0."""
    bits = np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little").astype(bool)
    assert not bits[:, n_features:].any() and masks.shape[1] == n_words(n_features)
    return bits[:, :n_features]


@rows("kind, n_features", [("log-normal", 1), ("log-normal", 65), ("samples", 65)],
      [(kind, f) for kind in STATES for f in (63, 64, 130)])
def test_pairs_are_those_of_plain_python(kind, n_features):
    lrs, hrs, slow_lrs, slow_hrs = STATES[kind]
    bits, words = stored(3, n_features)
    ref = slow.faults(bits, slow_lrs, slow_hrs, KEYS)
    comp = wrong_bits(in_threads(pair_masks, words, n_features, lrs, hrs), n_features)
    np.testing.assert_array_equal(comp, ref)
    assert n_features == 1 or 0 < ref.sum() < ref.size


@rows("kind, n_features", [("log-normal", 65), ("samples", 1)], [(kind, f) for kind in STATES for f in (63, 64, 130)])
def test_single_devices_are_those_of_plain_python(kind, n_features):
    """The reference is a sample: equal resistances fall either way."""
    lrs, hrs, slow_lrs, slow_hrs = STATES[kind]
    bits, words = stored(3, n_features)
    ref = slow.faults(bits, slow_lrs, slow_hrs, KEYS, reference=math.log(9e3))
    comp = wrong_bits(in_threads(single_masks, words, n_features, lrs, hrs, math.log(9e3)), n_features)
    np.testing.assert_array_equal(comp, ref)


@rows("amplifier, p_failed, share_lrs",
      [(dict(offset=0.3, offset_sigma=0.8, read_sigma=0.5, rows=3, taps=2), 0.3, 0.7)],
      [(dict(CALM, offset_sigma=0.8, rows=4), 0.0, 0.5), (dict(CALM, read_sigma=0.8), 0.5, 0.0),
       (dict(CALM, offset=-0.5), 1.0, 1.0), (dict(CALM, offset=4.0), 0.0, 0.5)])
def test_amplifiers_noise_and_dead_devices_are_those_of_plain_python(amplifier, p_failed, share_lrs):
    lrs, hrs, slow_lrs, slow_hrs = STATES["log-normal"]
    bits, words = stored(14, 70)
    ref = slow.faults(bits, slow_lrs, slow_hrs, KEYS, **amplifier, p_failed=p_failed, share_lrs=share_lrs)
    comp = wrong_bits(in_threads(pair_masks, words, 70, lrs, hrs, amplifier, p_failed, share_lrs), 70)
    np.testing.assert_array_equal(comp, ref)
    if p_failed:
        ref = slow.faults(bits, slow_lrs, slow_hrs, KEYS, reference=9.2, p_failed=p_failed, share_lrs=share_lrs)
        comp = wrong_bits(single_masks(words, 70, lrs, hrs, 9.2, p_failed, share_lrs), 70)
        np.testing.assert_array_equal(comp, ref)


@pytest.mark.jit_off
@np.errstate(over="ignore")                             # interpreted: uint64 arithmetic is meant to wrap
def test_the_normal_quantile_holds_in_both_tails():
    """Else error rates of 1e-6 and less would be wrong without a sign of it."""
    places = [0, 1, 2**20, 2**40, 2**50, 2**58, 2**60, 2**62, 2**63 - 1, int(0.075 * 2**64), int(0.0750001 * 2**64)]
    for k in places:
        comp = float(sensing.normal(np.uint64(k)))
        ref = float(ndtri((k + 0.5) / 2**64)) if k != 2**63 - 1 else -0.5 / 2**64 * math.sqrt(2 * math.pi)
        assert comp == pytest.approx(ref, rel=2e-14, abs=2e-16)
        assert float(sensing.normal(np.uint64(2**64 - 1 - k))) == -comp


@pytest.mark.jit_off
@pytest.mark.parametrize("kind", STATES)
@np.errstate(over="ignore")
def test_kernel_states_are_the_quantiles_of_the_states(kind):
    for state in STATES[kind][:2]:
        for k in (2**30, 2**55, 2**62, 2**63, 2**64 - 2**60, 2**64 - 2**45):
            comp = float(sensing.ln_resistance(np.uint64(k), state.kernel_state()))
            assert comp == pytest.approx(float(state.quantile(slow.normal(k))), rel=1e-9)


@pytest.mark.jit_off
def test_a_row_can_be_programmed_alone():
    lrs, hrs = STATES["log-normal"][:2]
    _, words = stored(7, 70)
    whole, part = pair_masks(words, 70, lrs, hrs), np.zeros_like(words)
    sensing.pair_faults(words, 70, lrs.kernel_state(), hrs.kernel_state(), sensing.Amplifier(*CALM.values()),
                        sensing.FailureThresholds(np.uint64(0), np.uint64(0)), keys(), part, 3, 5)
    np.testing.assert_array_equal(part[3:5], whole[3:5])
    assert not part[:3].any() and not part[5:].any()
