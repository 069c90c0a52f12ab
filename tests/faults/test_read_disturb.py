"""Reads that disturb: shares against single reads drawn one by one, nested as reads go on, reset by nothing here."""

import math
import pickle

import numpy as np
import pytest
from fault_parts import constant, conv_network, count, flips, network_of, padding_is_clear, same, within_5_sigma
from hypothesis import given, strategies

from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import AsymmetricFlips, BitFlips, Compose, ReadDisturb, parse_fault
from bnnsim.faults.protocol import is_clean_at_zero, when_drawn

WIDE, CONV = network_of("FC300 FC10", (1, 20, 20)), conv_network()


def test_independent_reads_disturb_the_share_that_they_say():
    """Read by read, each cell with a probability of its own draw, until the first; a share linear in n is not it."""
    rng, disturb = np.random.default_rng(0), ReadDisturb(40.0, None)
    disturbed = np.zeros(200_000, bool)
    for n in range(1, 61):
        disturbed |= rng.random(disturbed.size) < 1 - math.exp(-1 / 40)
        if n in (1, 10, 60):
            share = disturb.at(n).rates()[0]
            assert within_5_sigma(int(disturbed.sum()), disturbed.size, share)
    assert not within_5_sigma(int(disturbed.sum()), disturbed.size, min(60 / 40, 1))


@given(strategies.floats(1, 1e12), strategies.floats(0.2, 5), strategies.floats(0, 1e15), strategies.floats(0, 1e15))
def test_shares_are_a_weibull_and_grow(scale, shape, n, m):
    few, many = (ReadDisturb(scale, 2 * scale, shape).at(each).rates() for each in sorted((n, m)))
    assert 0 <= few[0] <= many[0] <= 1 and few[1] <= few[0] and many[1] <= many[0]
    wanted = 1 - math.exp(-min((max(n, m) / scale) ** shape, 700))
    assert many[0] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("bit", [0, 1])
def test_zeros_and_ones_are_disturbed_at_their_own_rates(bit):
    network, disturb = constant(WIDE, bit), ReadDisturb(1e6, 3e5, 1.4).at(1e5)
    n, p = count(flips(network, disturb.apply(network, rng=1))[0]), disturb.rates()[bit]
    assert within_5_sigma(n, network.layers[0].n_bits, p)
    assert not within_5_sigma(n, network.layers[0].n_bits, disturb.rates()[1 - bit])
    assert disturb.expected_wrong_bits(network) == pytest.approx(p * network.n_bits)


def test_a_cell_stays_disturbed_and_draws_are_those_of_asymmetric_flips():
    disturb = ReadDisturb(1e6, 1e7, layers=[0, 2])
    low, high = (flips(CONV, disturb.at(n).apply(CONV, rng=2, trial=1)) for n in (1e5, 4e5))
    assert sum(map(count, high)) > sum(map(count, low)) > 0
    assert all(np.all(a & ~b == 0) for a, b in zip(low, high)) and not low[1].any()
    broken = disturb.at(4e5).apply(CONV, rng=2, trial=1)
    assert same(broken, AsymmetricFlips(*disturb.at(4e5).rates(), [0, 2]).apply(CONV, rng=2, trial=1))
    assert padding_is_clear(broken) and same(disturb.apply(CONV, rng=2), CONV)


def test_expected_wrong_bits_are_the_mean_of_chips():
    disturb = ReadDisturb(1e6, 1e7, layers=[0]).at(2e5)
    found = [count(flips(WIDE, disturb.apply(WIDE, rng=0, trial=i))[0]) for i in range(8)]
    wanted = disturb.expected_wrong_bits(WIDE)
    assert abs(np.mean(found) - wanted) < 5 * math.sqrt(wanted / 8) and wanted < WIDE.layers[0].n_bits * 0.11


def test_it_is_a_fault_that_a_sweep_moves_along_reads():
    disturb = ReadDisturb(1e6, None)
    assert disturb.moves == "reads" and when_drawn(disturb) == "write" and is_clean_at_zero(disturb)
    assert parse_fault(repr(disturb)) == disturb == pickle.loads(pickle.dumps(disturb))
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), np.uint8)
    found = sweep(CONV, Split(images, CONV.predict(images), "own"), [0, 1e4, 1e6], 2, 0, faults=disturb, progress=False)
    assert found.axis == "reads" and found.accuracy[0, 0].min() == 1 > found.accuracy[0, 2].max()
    both = Compose([BitFlips(0.05), disturb], axis=1).at(5e5)
    assert not same(both.apply(CONV, rng=0), disturb.at(5e5).apply(CONV, rng=0))


@pytest.mark.parametrize("call, error, message", [
    (lambda: ReadDisturb(0, 1), ValueError, "zero_reads must be > 0"),
    (lambda: ReadDisturb(1, -1), ValueError, "one_reads must be > 0"),
    (lambda: ReadDisturb("1e6", None), TypeError, "zero_reads must be a real number"),
    (lambda: ReadDisturb(1, None, 0), ValueError, "shape must be > 0"),
    (lambda: ReadDisturb(1, None, 1, -1), ValueError, "reads must be >= 0"),
    (lambda: ReadDisturb(1, None).at(math.inf), ValueError, "reads must be finite"),
    (lambda: ReadDisturb(1, None, layers=[-1]), ValueError, "layers must be >= 0"),
    (lambda: ReadDisturb(1, None, reads=1, layers=[9]).apply(CONV), ValueError, r"layers must be in 0..3"),
    (lambda: ReadDisturb(1, None).apply(3), TypeError, "network must be a PackedNetwork"),
    (lambda: ReadDisturb(1, None).expected_wrong_bits(3), TypeError, "network must be a PackedNetwork")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
