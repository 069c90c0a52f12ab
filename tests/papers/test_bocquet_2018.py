"""M. Bocquet et al., "In-memory and error-immune differential RRAM implementation of binarized deep neural networks",
IEDM 2018, arXiv:1902.02528: claims of its abstract, one test each.

No means and sigmas could be read there: the tests take log-normal states, and sweep what is free.
"""

import math

import numpy as np
import pytest
from scipy.special import ndtri

import bnnsim.training.packing as packing
from bnnsim.devices import Cell1T1R, Cell2T2R, LogNormal, load_card
from bnnsim.training.architectures import build

RATES = (1e-1, 5e-2, 1e-2, 1e-3, 1e-4)


def secded_residual(p, n):
    """An idealised code of n bits: one error corrected, more left as they are (docs/equations.rst 2.5)."""
    return sum(j / n * math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(2, n + 1))


def states_of(ber, ratio=1.0, sigma=0.5):
    window = -float(ndtri(ber)) * sigma * (1 + ratio)
    return LogNormal(5e3, sigma), LogNormal(5e3 * math.exp(window), sigma * ratio)


@pytest.mark.parametrize("n, column", [(8, (5.22e-2, 1.51e-2, 6.79e-4, 6.98e-6, 7.00e-8)),
                                       (39, (9.82e-2, 4.29e-2, 3.17e-3, 3.73e-5, 3.79e-7)),
                                       (72, (9.99e-2, 4.87e-2, 5.10e-3, 6.86e-5, 7.08e-7))])
def test_residuals_are_those_of_the_table(n, column):
    """The oracle itself, before it judges anything."""
    assert [secded_residual(p, n) for p in RATES] == pytest.approx(column, rel=0.01)


@pytest.mark.parametrize("ber", RATES)
def test_2t2r_has_the_reliability_of_error_correction_at_equal_redundancy(ber):
    """"The same reliability benefits as error correction, without its CMOS overhead": within a factor 1.6 of the code
    that spends as many cells, (8,4), and better than the usual longer codes, which spend fewer."""
    pair = Cell2T2R(*states_of(ber)).error_rates().mean
    assert 0.6 < pair / secded_residual(ber, 8) < 1.6
    assert pair < secded_residual(ber, 39) < secded_residual(ber, 72) < ber


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("ber", RATES)
def test_2t2r_reduces_errors_whatever_the_states(ber, ratio):
    """By the square root of 2 in sigmas where both spread alike, by less where one dominates."""
    lrs, hrs = states_of(ber, ratio)
    pair, single = Cell2T2R(lrs, hrs).error_rates().mean, Cell1T1R(lrs, hrs).error_rates().mean
    assert single == pytest.approx(ber) and pair < single
    gain = float(ndtri(pair) / ndtri(single))
    assert gain == pytest.approx((1 + ratio) / math.sqrt(1 + ratio**2)) and 1 < gain <= math.sqrt(2) + 1e-9


def test_2t2r_needs_no_reference():
    """Complementary programming: a drift that both states share breaks 1T1R, not 2T2R."""
    lrs, hrs = states_of(0.01)
    fixed = Cell1T1R(lrs, hrs).r_reference_ohm
    drifted = lrs.shifted(0.8), hrs.shifted(0.8)
    assert Cell2T2R(*drifted).error_rates() == pytest.approx(Cell2T2R(lrs, hrs).error_rates())
    assert Cell1T1R(*drifted, reference_ohm=fixed).error_rates().mean > 10 * Cell1T1R(lrs, hrs).error_rates().mean


def test_programmed_chips_show_the_benefit():
    """Every device of a network programmed and sensed: the same first devices, alone or in pairs."""
    network = packing.pack(build("FC512 FC10", (1, 28, 28), rng=0))
    states = states_of(0.05)
    wrong = {}
    for cell in (Cell1T1R(*states), Cell2T2R(*states)):
        masks = cell.programmed().masks(network, rng=1)
        wrong[type(cell)] = sum(int(np.bitwise_count(mask).sum()) for mask in masks.values()) / network.n_bits
    assert wrong[Cell1T1R] == pytest.approx(0.05, rel=0.04) and wrong[Cell2T2R] == pytest.approx(0.0100, rel=0.08)


def test_cards_do_not_contradict_longer_life_at_lower_voltage():
    """"Low-voltage programming with endurance of billions of cycles": nothing here can reproduce it. The card of the
    technology has no number for it (its endurances are recalled, of another paper, and say so).
    """
    card = load_card("teaching")
    lives = [card.lifetime_cycles(condition=condition) for condition in ("strong", "medium", "weak")]
    volts = [card.value("v_reset_volt", condition) for condition in ("strong", "medium", "weak")]
    assert lives == sorted(lives) and volts == sorted(volts, reverse=True) and lives[-1] >= 1e9
    assert load_card("hfo2_2t2r").provenance("endurance_cycles", "ultra-low power") == ("recalled",)
