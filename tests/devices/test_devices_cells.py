"""Closed forms, integration and Monte Carlo of memory cells agree; a wrong model does not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

import bnnsim.training.packing as packing
from bnnsim import threads
from bnnsim.devices import (Cell1T1R, Cell2T2R, Empirical, Failures, LogNormal, NormalConductance, Programmed,
                            converted_rate)
from bnnsim.devices.overlap import _normal_mean, overlap
from bnnsim.training.architectures import build

# docs/equations.rst 2.5: bit error rates of 1T1R and of 2T2R at equal sigmas
TABLE = [(1e-1, 3.50e-2), (5e-2, 1.00e-2), (1e-2, 5.01e-4), (1e-3, 6.21e-6), (1e-4, 7.22e-8)]
SIGMA = 0.7


@pytest.fixture(scope="module")
def network():
    """1.0 M bits."""
    return packing.pack(build("FC1024 FC256 FC10", (1, 28, 28), rng=0))


def states_of(ber, sigma=SIGMA, ratio=1.0):
    """Log-normal states whose 1T1R cell has this bit error rate at its equal-error reference."""
    window = -float(ndtri(ber)) * sigma * (1 + ratio)
    return LogNormal(5e3, sigma), LogNormal(5e3 * math.exp(window), sigma * ratio)


def counts(masks, network):
    """(wrong zeros, zeros, wrong ones, ones)."""
    totals = np.zeros(4, int)
    for i, layer in enumerate(network.layers):
        mask, ones = masks.get(i, np.zeros_like(layer.words)), int(np.bitwise_count(layer.words).sum())
        totals += (int(np.bitwise_count(mask & ~layer.words).sum()), layer.n_bits - ones,
                   int(np.bitwise_count(mask & layer.words).sum()), ones)
    return totals


def within(k, n, p, sigmas):
    return abs(k - n * p) <= sigmas * math.sqrt(n * p * (1 - p))


# the table

@pytest.mark.tiny
@pytest.mark.parametrize("single, pair", TABLE)
def test_closed_forms_give_the_table(single, pair):
    lrs, hrs = states_of(single)
    for p, cell in ((single, Cell1T1R(lrs, hrs)), (pair, Cell2T2R(lrs, hrs))):
        assert cell.error_rates() == pytest.approx((p, p), rel=0.01)
    assert converted_rate(single, "1T1R", "2T2R") == pytest.approx(pair, rel=0.01)
    assert converted_rate(pair, "2T2R", "1T1R") == pytest.approx(single, rel=0.01)


@pytest.mark.parametrize("single, pair", TABLE[:4])
def test_programmed_devices_give_the_table(network, single, pair):
    """Within 4 sigma of the binomial, down to an error rate of 1e-3 for either cell."""
    lrs, hrs = states_of(single)
    for p, cell in ((single, Cell1T1R(lrs, hrs)), (Cell2T2R(lrs, hrs).error_rates().p01, Cell2T2R(lrs, hrs))):
        wrong0, zeros, wrong1, ones = counts(cell.programmed().masks(network, 11), network)
        if p > 5e-4:
            assert within(wrong0, zeros, p, 4) and within(wrong1, ones, p, 4)
        else:
            assert within(wrong0 + wrong1, zeros + ones, p, 5)


def test_a_wrong_model_fails_the_same_test(network):
    """A sigma 3 % off, the sqrt(2) of the pair forgotten, a reference misplaced, an offset of the wrong sign."""
    lrs, hrs = states_of(0.01)
    right = Cell1T1R(lrs, hrs)
    wrong0, zeros, wrong1, ones = counts(right.programmed().masks(network, 11), network)
    assert not within(wrong1, ones, right.scaled(1.03).error_rates().p10, 4)
    assert not within(wrong0, zeros, Cell2T2R(lrs, hrs).error_rates().p01, 4)
    moved = Cell1T1R(lrs, hrs, right.r_reference_ohm * 1.05).error_rates()
    assert not within(wrong0, zeros, moved.p01, 4) and not within(wrong1, ones, moved.p10, 4)
    offset = Cell2T2R(lrs, hrs, offset=0.3)
    wrong0, zeros, wrong1, ones = counts(offset.programmed().masks(network, 11), network)
    assert within(wrong1, ones, offset.error_rates().p10, 4) and not within(wrong1, ones, offset.error_rates().p01, 4)


# three ways

CASES = {
    "unequal sigmas": Cell2T2R(*states_of(0.05, ratio=2.0)),
    "offset and noise": Cell2T2R(*states_of(0.05), offset=0.4, offset_sigma=0.3, read_sigma=0.2),
    "conductances": Cell2T2R(NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5)),
    "conductances, cut": Cell1T1R(NormalConductance(2e-4, 8e-5), NormalConductance(6e-5, 3e-5)),
    "conductances, noise": Cell2T2R(NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5), 0.1, 0.2, 0.2),
    "mixed": Cell2T2R(LogNormal(5e3, 0.4), NormalConductance(6e-5, 2.5e-5), read_sigma=0.2),
    "mixed 1T1R": Cell1T1R(NormalConductance(2e-4, 5e-5), LogNormal(2e4, 0.6)),
    "samples": Cell2T2R(Empirical(np.geomspace(2e3, 2e4, 60)), Empirical(np.geomspace(8e3, 2e5, 80))),
    "samples, noise": Cell2T2R(Empirical(np.geomspace(2e3, 2e4, 60)), Empirical(np.geomspace(8e3, 2e5, 80)), 0.1, 0.3),
    "samples 1T1R": Cell1T1R(Empirical(np.geomspace(2e3, 2e4, 60)), Empirical(np.geomspace(8e3, 2e5, 80))),
    "dead devices": Cell2T2R(*states_of(0.02), offset=0.2, failures=Failures(0.1, 0.8)),
    "dead devices, 1T1R": Cell1T1R(*states_of(0.02), failures=Failures(0.1, 0.8)),
    "reference": Cell1T1R(*states_of(0.05), reference_ohm=1.5e4),
}


def numpy_rates(cell, n=2_000_000, seed=5):
    """(p01, p10) by NumPy's generator and the states' own definitions: shares no code with the library's draws."""
    rng = np.random.default_rng(seed)

    def draw(state):
        if isinstance(state, LogNormal):
            return rng.normal(math.log(state.median_ohm), state.sigma_ln, n)
        if isinstance(state, Empirical):
            return np.log(rng.choice(state.samples_ohm, n))
        g = rng.normal(state.mean_siemens, state.sigma_siemens, 2 * n)
        return -np.log(g[g > 0][:n])

    def device(wanted_lrs):
        low, high, fail = draw(cell.lrs), draw(cell.hrs), rng.random(n) < cell.failures.p_failed
        is_lrs = np.where(fail, rng.random(n) < cell.failures.share_lrs, wanted_lrs)
        return np.where(is_lrs, low, high)

    def share(below, equal):
        return np.mean(below) + np.mean(equal) / 2

    rates = []
    for stored in (False, True):
        first = device(stored)
        if isinstance(cell, Cell1T1R):
            other = cell.ln_reference
        else:
            other = device(not stored)
            first = first + rng.normal(cell.offset, math.hypot(cell.offset_sigma, cell.read_sigma), n)
        reads_one = share(first < other, first == other)
        rates.append(1 - reads_one if stored else reads_one)
    return rates


@pytest.mark.parametrize("name", CASES)
def test_closed_form_or_integral_agrees_with_programmed_devices(network, name):
    """The library's own Monte Carlo and NumPy's, each within 5 sigma, for 0 and 1 apart."""
    cell = CASES[name]
    p01, p10 = cell.error_rates()
    assert 5e-4 < p01 < 0.5 and 5e-4 < p10 < 0.5
    wrong0, zeros, wrong1, ones = counts(cell.programmed().masks(network, 2), network)
    assert within(wrong0, zeros, p01, 5) and within(wrong1, ones, p10, 5)
    for p, comp in zip((p01, p10), numpy_rates(cell)):
        assert within(comp * 2_000_000, 2_000_000, p, 5)


@pytest.mark.parametrize("z", [1.0, 3.0, 5.0, 6.5])
def test_integrals_hold_far_into_the_tail(z):
    """Against closed forms: normal conductances far from 0, and log-normals integrated as if they were not."""
    lrs, hrs = NormalConductance(1e-4, 5e-6), NormalConductance(1e-4 - z * 5e-6 * math.sqrt(1.25), 2.5e-6)
    assert overlap(lrs, hrs) == pytest.approx(float(ndtr(-z)), rel=1e-6)
    for ratio in (0.05, 1.0, 20.0):
        first, second = LogNormal(5e3, 0.5), LogNormal(5e3 * math.exp(z * 0.5 * math.hypot(1, ratio)), 0.5 * ratio)
        step = (second.ln_median - first.ln_median) / 0.5
        comp = _normal_mean(lambda at: second.cdf(first.quantile(at)), min(step, 12.0))
        assert comp == pytest.approx(float(ndtr(-z)), rel=1e-6)


def test_samples_are_compared_pair_by_pair():
    rng = np.random.default_rng(1)
    low, high = rng.integers(1, 40, 300) * 100.0, rng.integers(20, 80, 200) * 100.0
    ref = np.mean((low[:, None] > high).astype(float) + 0.5 * (low[:, None] == high))
    assert overlap(Empirical(low), Empirical(high)) == pytest.approx(ref, rel=1e-12)
    noisy = np.mean(ndtr((np.log(low)[:, None] + 0.1 - np.log(high)) / 0.2))
    assert overlap(Empirical(low), Empirical(high), 0.1, 0.2) == pytest.approx(noisy, rel=1e-9)


@pytest.mark.parametrize("states", [(LogNormal(5e3, 0.5), LogNormal(5e4, 0.9)),
                                    (NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5)),
                                    (NormalConductance(2e-4, 5e-5), LogNormal(2e4, 0.6))])
def test_the_default_reference_makes_errors_equal(states):
    p01, p10 = Cell1T1R(*states).error_rates()
    assert p01 == pytest.approx(p10, rel=1e-6, abs=1e-12)
    assert states[0].ln_median <= Cell1T1R(*states).ln_reference <= states[1].ln_median


def test_a_state_without_spread_makes_no_errors():
    window = math.log(10)
    assert Cell1T1R(LogNormal(5e3, 0.0), LogNormal(5e4, 0.8)).error_rates() == pytest.approx((ndtr(-window / 0.8), 0))
    assert Cell1T1R(LogNormal(5e3, 0.8), LogNormal(5e4, 0.0)).error_rates() == pytest.approx((0, ndtr(-window / 0.8)))


@pytest.mark.parametrize("ohm", [4e3, 4.5e3, 5e3, 5.2e3])
def test_the_reference_lies_past_a_state_without_spread(ohm):
    """One that fell on its step would read all of its devices wrong."""
    wide_lrs, wide_hrs = NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5)
    for lrs in (LogNormal(ohm, 0.0), NormalConductance(1 / ohm, 0.0), Empirical((ohm, ohm))):
        assert Cell1T1R(lrs, wide_hrs).error_rates() == pytest.approx((wide_hrs.cdf(lrs.ln_median), 0), rel=1e-6)
        hrs = lrs.shifted(2.0)
        assert Cell1T1R(wide_lrs, hrs).error_rates() == pytest.approx((0, wide_lrs.sf(hrs.ln_median)), rel=1e-6)


@pytest.mark.parametrize("states", [(LogNormal(5e3, 0.5), LogNormal(3e4, 0.9)),
                                    (Empirical((3e3, 4e3, 9e3)), Empirical((6e3, 2e4, 5e4))),
                                    (NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5))])
def test_a_spread_of_zero_leaves_what_else_errs(network, states):
    """The end of a card's axis sigma: no device differs from its state's middle; dead devices and amplifiers do err."""
    for kind in (Cell1T1R, Cell2T2R):
        assert kind(*states).scaled(0).error_rates() == (0, 0)
        assert kind(*states).programmed().at(0.0).masks(network, 0) == {}
        dead = kind(*states, failures=Failures(0.1, 0.8))
        assert dead.scaled(0).error_rates() == pytest.approx(dead.scaled(1e-6).error_rates(), rel=1e-9)
        wrong0, zeros, wrong1, ones = counts(dead.programmed().at(0.0).masks(network, 2), network)
        p01, p10 = dead.scaled(0).error_rates()
        assert within(wrong0, zeros, p01, 5) and within(wrong1, ones, p10, 5)
    lrs, hrs = (state.scaled(0) for state in states)
    window = hrs.ln_median - lrs.ln_median
    assert Cell2T2R(lrs, hrs, read_sigma=0.7).error_rates().p10 == pytest.approx(float(ndtr(-window / 0.7)), rel=1e-8)


sigmas = st.floats(0.05, 2.0)


@given(sigmas, sigmas, st.floats(0.1, 6.0), st.floats(-1.0, 1.0), st.floats(0.0, 1.0))
def test_laws_of_pairs(s_low, s_high, window, offset, noise):
    """An offset exchanged is 0 and 1 exchanged; noise and spread only harm; R's unit does not matter."""
    lrs, hrs = LogNormal(5e3, s_low), LogNormal(5e3 * math.exp(window), s_high)
    p01, p10 = Cell2T2R(lrs, hrs, offset, noise).error_rates()
    assert Cell2T2R(lrs, hrs, -offset, noise).error_rates() == pytest.approx((p10, p01), rel=1e-9)
    assert Cell2T2R(lrs, hrs, offset, 0.0, noise).error_rates() == pytest.approx((p01, p10), rel=1e-9)
    assert Cell2T2R(lrs, hrs, 0.0, noise).error_rates().p01 >= Cell2T2R(lrs, hrs).error_rates().p01 * (1 - 1e-9)
    assert Cell2T2R(lrs.shifted(3), hrs.shifted(3), offset, noise).error_rates() == pytest.approx((p01, p10), rel=1e-6)
    pair, single = Cell2T2R(lrs, hrs).error_rates().p01, Cell1T1R(lrs, hrs).error_rates().mean
    assert pair <= single * (1 + 1e-9)


def test_ideal_and_hopeless_cells():
    """No spread, no errors; all devices stuck in one state, a coin for pairs, a constant for single devices."""
    lrs, hrs = LogNormal(5e3, 0.0), LogNormal(5e4, 0.0)
    assert Cell1T1R(lrs, hrs).error_rates() == Cell2T2R(lrs, hrs).error_rates() == (0.0, 0.0)
    stuck = Failures(1.0, 1.0)
    lrs, hrs = states_of(0.01)
    assert Cell2T2R(lrs, hrs, failures=stuck).error_rates() == pytest.approx((0.5, 0.5))
    assert Cell1T1R(lrs, hrs, failures=stuck).error_rates() == pytest.approx((0.99, 0.01))


# chips

def masks_of(cell, network, rng=0, trial=0, read=0, **options):
    return cell.programmed(**options).masks(network, rng, trial, read)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[i], b[i]) for i in a)


def small_network():
    return packing.pack(build("C3 MP2 FC70 FC10", (1, 6, 6), rng=0))


@pytest.mark.jit_off
def test_a_chip_hangs_on_seed_and_trial_and_on_nothing_else():
    network, cell = small_network(), Cell2T2R(*states_of(0.1), offset_sigma=0.2, read_sigma=0.2)
    first = masks_of(cell, network, 1)
    assert same(first, masks_of(cell, network, 1))
    for other in (masks_of(cell, network, 2), masks_of(cell, network, 1, trial=1)):
        assert not same(first, other)
    with threads(3):
        assert same(first, masks_of(cell, network, 1))
    assert {i: mask for i, mask in masks_of(cell, network, 1, layers=(1,)).items()}.keys() == {1}
    np.testing.assert_array_equal(masks_of(cell, network, 1, layers=(1,))[1], first[1])


@pytest.mark.jit_off
def test_the_network_is_left_alone_and_padding_stays_zero():
    network, cell = small_network(), Cell1T1R(*states_of(0.4))
    checksum, broken = network.checksum, Cell1T1R(*states_of(0.4)).program(network, rng=0)
    assert network.checksum == checksum != broken.checksum          # `with_words` refuses padding bits that are set
    masks = masks_of(cell, network)
    for i, layer in enumerate(network.layers):
        np.testing.assert_array_equal(broken.layers[i].words ^ layer.words, masks[i])
    ideal = Cell2T2R(LogNormal(5e3, 0.0), LogNormal(5e4, 0.0))
    assert ideal.program(network) is network and ideal.programmed().masks(network) == {}


@pytest.mark.jit_off
def test_reads_draw_noise_anew_and_writes_do_not():
    """Read noise differs from batch to batch on one chip, whose devices and amplifiers stay as they are."""
    network = small_network()
    quiet, noisy = Cell2T2R(*states_of(0.1), offset_sigma=0.3), Cell2T2R(*states_of(0.1), 0.0, 0.3, 0.1)
    assert quiet.programmed().when == Cell1T1R(*states_of(0.1)).programmed().when == "write"
    assert noisy.programmed().when == "read"
    assert same(masks_of(quiet, network, read=0), masks_of(quiet, network, read=7))
    first, second = masks_of(noisy, network, read=0), masks_of(noisy, network, read=1)
    assert same(first, masks_of(noisy, network, read=0)) and not same(first, second)
    both = sum(int(np.bitwise_count(first[i] & second[i]).sum()) for i in first)
    one = sum(int(np.bitwise_count(mask).sum()) for mask in first.values())
    assert both > 0.7 * one                                          # independent chips would share 4 %


def test_errors_nest_when_the_spread_grows(network):
    """One chip's draws stay, so curves over sigma are smooth."""
    fault = Cell2T2R(*states_of(0.05)).programmed()
    chips = [fault.at(sigma).masks(network, 0) for sigma in (0.4, 0.7, 1.0, 1.5)]
    for fewer, more in zip(chips[:-1], chips[1:]):
        assert all(not np.any(mask & ~more[i]) for i, mask in fewer.items())
    assert fault.at(0.0).masks(network, 0) == {}


def test_dead_devices_stay_dead(network):
    """More of them die, and how they are stuck does not change; without spread only they err."""
    lrs, hrs = LogNormal(5e3, 1e-6), LogNormal(5e4, 1e-6)
    chips = [masks_of(Cell1T1R(lrs, hrs, failures=Failures(p, 0.3)), network) for p in (0.01, 0.05, 0.3)]
    for fewer, more in zip(chips[:-1], chips[1:]):
        assert all(not np.any(mask & ~more[i]) for i, mask in fewer.items())
    wrong0, zeros, wrong1, ones = counts(chips[2], network)
    assert within(wrong0, zeros, 0.3 * 0.3, 5) and within(wrong1, ones, 0.3 * 0.7, 5)


def test_shared_amplifiers_make_chips_differ_more():
    """Same mean; compared by the spread over chips, since errors of one column are correlated."""
    network, (lrs, hrs) = packing.pack(build("FC256 FC10", (1, 8, 8), rng=0)), states_of(0.05, sigma=0.3)
    cell = Cell2T2R(lrs, hrs, offset_sigma=0.6)
    wrong = {}
    for rows in (1, 256):
        wrong[rows] = np.array([counts(masks_of(cell, network, 0, trial, rows_per_amplifier=rows), network)[2]
                                for trial in range(150)])
    ones = counts({}, network)[3]
    p = cell.error_rates().p10
    for rows, each in wrong.items():
        sem = each.std(ddof=1) / math.sqrt(len(each))
        assert abs(each.mean() - ones * p) < 5 * sem
    binomial = ones * p * (1 - p)
    assert 0.6 < wrong[1].var(ddof=1) / binomial < 1.6 and wrong[256].var(ddof=1) / binomial > 4


def test_one_command_on_the_error_rates_agrees_with_programmed_devices(network):
    """`cell.fault()`: asymmetric flips at the closed form's rates."""
    cell = Cell2T2R(*states_of(0.05), offset=0.5)
    fault = cell.fault(layers=(0,))
    assert (fault.p01, fault.p10, fault.layers) == (*cell.error_rates(), (0,))
    broken = fault.apply(network, 4)
    masks = {i: a.words ^ b.words for i, (a, b) in enumerate(zip(broken.layers, network.layers))}
    assert not masks[1].any()
    layer = network.layers[0]
    wrong1, ones = int(np.bitwise_count(masks[0] & layer.words).sum()), int(np.bitwise_count(layer.words).sum())
    assert within(wrong1, ones, cell.error_rates().p10, 5)


# bad input

GOOD = LogNormal(5e3, 0.3), LogNormal(5e4, 0.5)
BAD = [
    (lambda: LogNormal(5e3, -0.1), ValueError, "sigma_ln must be >= 0, got -0.1"),
    (lambda: LogNormal(0, 0.1), ValueError, "median_ohm must be > 0"),
    (lambda: LogNormal(float("nan"), 0.1), ValueError, "median_ohm must be finite"),
    (lambda: LogNormal("5k", 0.1), TypeError, "median_ohm must be a real number"),
    (lambda: NormalConductance(1e-4, 1e-4), ValueError, "at most 3 % of the normal below 0, got 15.9 %"),
    (lambda: NormalConductance(1e-4, -1e-5), ValueError, "sigma_siemens must be >= 0"),
    (lambda: Empirical([1e3, float("nan")]), ValueError, "samples_ohm must be finite, got nan"),
    (lambda: Empirical([1e3, -2.0]), ValueError, "samples_ohm must be > 0, got -2"),
    (lambda: Empirical([1e3, 9.91e37]), ValueError, "at most 1e.18, got 9.91e.37: more is no resistance but an inst"),
    (lambda: Empirical([1e3]), ValueError, "2 to 20,000 samples, got 1"),
    (lambda: Empirical(["a", "b"]), TypeError, "must be a sequence of numbers"),
    (lambda: Cell2T2R(*GOOD[::-1]), ValueError, "hrs must have a median above that of lrs, got 5000 ohm and 5e.04 ohm"),
    (lambda: Cell1T1R(*GOOD[::-1]), ValueError, "are the two exchanged"),
    (lambda: Cell1T1R(5e3, 5e4), TypeError, "lrs must be a state such as LogNormal"),
    (lambda: Cell1T1R(*GOOD, reference_ohm=-1), ValueError, "reference_ohm must be > 0"),
    (lambda: Cell2T2R(*GOOD, read_sigma=-1), ValueError, "read_sigma must be >= 0"),
    (lambda: Cell2T2R(*GOOD, failures=0.1), TypeError, "failures must be a Failures"),
    (lambda: Failures(1.5), ValueError, "p_failed must be a probability"),
    (lambda: Cell2T2R(*GOOD).programmed(rows_per_amplifier=0), ValueError, "rows_per_amplifier must be >= 1"),
    (lambda: Cell2T2R(*GOOD).program([1]), TypeError, "network must be a PackedNetwork"),
    (lambda: Cell2T2R(*GOOD).programmed(layers=(7,)).masks(small_network()), ValueError, "layers must be in 0..2"),
    (lambda: Programmed(Cell2T2R(*GOOD), sigma=-1), ValueError, "sigma must be >= 0"),
    (lambda: converted_rate(0.7, "1T1R", "2T2R"), ValueError, "p must be <= 0.5"),
    (lambda: converted_rate(0.1, "1T1R", "2t2r"), ValueError, "wanted must be one of '1T1R', '2T2R'"),
]


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.jit_off
def test_long_samples_have_a_short_name():
    """A fault's repr stands in result files."""
    text = repr(Cell2T2R(Empirical(np.geomspace(1e3, 1e4, 5000)), GOOD[1]).programmed())
    assert len(text) < 400 and "5000 samples, SHA-256" in text
