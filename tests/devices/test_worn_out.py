"""Cells worn by the writes of a training: bit by bit against a loop of single writes, shares against closed forms."""

import math

import numpy as np
import pytest
from fault_parts import conv_network, count, flips, network_of, padding_is_clear, same, within_5_sigma
from hypothesis import given, strategies

from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.devices import AgedCells, DeviceCard, Weibull, WornOut, load_card
from bnnsim.faults import BitFlips, Compose, FaultMap
from bnnsim.faults.protocol import is_clean_at_zero, origins, when_drawn
from bnnsim.packed.words import unpack_bits
from bnnsim.seeding import generator

SMALL, CONV, WIDE = network_of("FC9 FC5", (1, 2, 3)), conv_network(), network_of("FC300 FC10", (1, 20, 20))
TEACHING = load_card("teaching")


def writes_of(network, most=12, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, most, (*layer.words.shape[:-1], layer.n_in)) for layer in network.layers]


def bits(network):
    return [unpack_bits(layer.words, layer.n_in).astype(int) for layer in network.layers]


def read_by_hand(final, n, cycles, per_write):
    """What a bit reads that toggled at each of n writes, until one of them took its cell beyond its endurance."""
    bit = final ^ n % 2
    for j in range(1, n + 1):
        if j * per_write > cycles:
            break
        bit = 1 - bit
    return bit


@pytest.mark.parametrize("network", [SMALL, CONV], ids=["dense", "conv"])
@pytest.mark.parametrize("trainings, per_write, devices", [(1, 1, 1), (7.3, 0.5, 2)])
def test_a_dead_cell_keeps_its_last_value(network, trainings, per_write, devices):
    """Write by write; padding stays as it is, and the network too."""
    writes, before = writes_of(network), bits(network)
    worn = WornOut(writes, trainings, per_write, weibull=Weibull(20, 1.3), devices=devices)
    broken = worn.apply(network, rng=5, trial=2)
    for i, (found, stored, counts) in enumerate(zip(bits(broken), before, writes)):
        u = generator(5, "endurance", 2, i, 0).random(counts.shape)
        for at in np.ndindex(*counts.shape):
            cycles = 20 / devices ** (1 / 1.3) * (-math.log1p(-u[at])) ** (1 / 1.3)
            assert found[at] == read_by_hand(stored[at], math.floor(counts[at] * trainings), cycles, per_write)
    assert padding_is_clear(broken) and not same(broken, network)
    assert all(np.array_equal(a, b) for a, b in zip(before, bits(network)))


def dead_bits(worn, network, rng=1):
    """How many read 1 where zeros are stored, or 0 where ones are."""
    fault_map = FaultMap.record(worn, network, rng=rng)
    return [unpack_bits(layer.f01 | layer.f10, layer.n_in) for layer in fault_map.layers]


def test_the_share_of_dead_cells_is_that_of_their_own_writes():
    """By count, within 5 sigma; the rate of the mean count is not within."""
    counts = [np.tile([0, 1, 4, 30], layer.n_bits // 4).reshape(layer.units, layer.fan_in) for layer in WIDE.layers]
    worn = WornOut(counts, 2.0, 0.5, weibull=Weibull(25, 1.5), stuck="share")
    dead, every = dead_bits(worn, WIDE)[0], worn.weibull
    for n in (0, 1, 4, 30):
        of = dead[counts[0] == n]
        assert within_5_sigma(int(of.sum()), of.size, every.failures(n).p_failed)
    total = sum(int(each.sum()) for each in dead_bits(worn, WIDE))
    assert within_5_sigma(total, WIDE.n_bits, worn.share_dead())
    assert not within_5_sigma(total, WIDE.n_bits, every.failures(35 / 4).p_failed)


def test_dead_cells_are_stuck_by_their_share():
    worn = WornOut([np.full((layer.units, layer.fan_in), 9) for layer in WIDE.layers], 1e6, stuck="share",
                   weibull=Weibull(5, 1, 0.3))
    fault_map = FaultMap.record(worn, WIDE, rng=3)
    ones = count(fault_map.layers[0].f01)
    assert within_5_sigma(ones, WIDE.layers[0].n_bits, 0.3) and not within_5_sigma(ones, WIDE.layers[0].n_bits, 0.32)
    assert count(fault_map.layers[0].f10) + ones == WIDE.layers[0].n_bits


def test_how_a_cell_is_stuck_does_not_hang_on_when_it_died():
    """With one draw for both, all of the first to die were stuck in LRS."""
    worn = WornOut([np.full((layer.units, layer.fan_in), 9) for layer in WIDE.layers], stuck="share",
                   weibull=Weibull(50, 1, 0.3))
    layer = FaultMap.record(worn, WIDE, rng=3).layers[0]
    dead = count(layer.f01) + count(layer.f10)
    assert dead < 0.25 * WIDE.layers[0].n_bits
    assert within_5_sigma(count(layer.f01), dead, 0.3) and not within_5_sigma(dead, dead, 0.3)


def test_a_pair_lasts_as_long_as_its_first_device_to_die():
    """Monte Carlo of the least of two; the mean of both is something else."""
    rng, one = np.random.default_rng(0), Weibull(1000, 0.8)
    cycles = one.scale_cycles * rng.weibull(one.shape, (100_000, 2))
    pair = WornOut([np.ones((1, 1), int)], weibull=one, devices=2).endurance
    for n in (50, 400, 2000):
        p = pair.failures(n).p_failed
        assert within_5_sigma(int((cycles.min(axis=1) < n).sum()), 100_000, p)
        assert not within_5_sigma(int((cycles.mean(axis=1) < n).sum()), 100_000, p)


@given(strategies.lists(strategies.floats(0, 50), min_size=2, max_size=4), strategies.integers(0, 99))
def test_cells_that_died_stay_dead(trainings, seed):
    """As stuck cells they stay wrong; keeping their last value they are wrong half of the time, all of them dead."""
    worn, before = WornOut(writes_of(CONV), weibull=Weibull(60, 1.1), stuck="share"), None
    for n in sorted(trainings):
        dead = np.concatenate([each.ravel() for each in dead_bits(worn.at(n), CONV, seed)])
        assert before is None or np.all(dead >= before)
        kept = WornOut(worn.writes, n, weibull=worn.weibull).apply(CONV, rng=seed)
        wrong = np.concatenate([unpack_bits(mask, layer.n_in).ravel()
                                for mask, layer in zip(flips(CONV, kept), CONV.layers)])
        assert np.all(wrong <= dead)
        before = dead


def test_it_is_a_fault_that_a_sweep_moves_along_trainings():
    worn = WornOut(writes_of(CONV), weibull=Weibull(30, 2.0))
    assert worn.moves == "trainings" and when_drawn(worn) == "growing" and is_clean_at_zero(worn)
    assert same(worn.at(0).apply(CONV, rng=0), CONV)
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 4), np.uint8)
    found = sweep(CONV, Split(images, CONV.predict(images), "own"), [0, 2, 50], 3, 0, faults=worn, progress=False)
    assert found.axis == "trainings" and found.accuracy[0, 0].min() == 1 > found.accuracy[0, 2].max()
    both = Compose([BitFlips(0.1), worn], axis=1).at(3)
    assert not same(both.apply(CONV, rng=0), worn.at(3).apply(CONV, rng=0))


def test_its_text_tells_the_counts_apart():
    """What results and checkpoints know it by; counts that were given do not change it afterwards."""
    writes = writes_of(SMALL)
    worn = WornOut(writes, weibull=Weibull(30, 2.0))
    text = repr(worn)
    assert repr(WornOut(writes_of(SMALL), weibull=Weibull(30, 2.0))) == text != repr(worn.at(2))
    assert repr(WornOut(writes_of(SMALL, seed=1), weibull=Weibull(30, 2.0))) != text
    writes[0][0, 0] += 1
    assert repr(worn) == text and "weibull=Weibull(scale_cycles=30.0, shape=2.0, share_lrs=0.5)" in text


# ---------------------------------------------------------------- a card's rates

def test_aged_cells_err_as_the_card_says_of_their_cycles():
    """Each count's cells within 5 sigma of the card's rate there; that of another count is not."""
    axis = TEACHING.axis("cycles", cell="1T1R", condition="strong")
    counts = [np.tile([0, 9], layer.n_bits // 2).reshape(layer.units, layer.fan_in) for layer in WIDE.layers]
    aged = AgedCells(counts, 1e5, ageing=axis)
    fresh, worn = (axis.at(1 + 1e5 * n).error_rates() for n in (0, 9))
    fault_map = FaultMap.record(aged, WIDE, rng=2)
    for name, p in (("f01", worn.p01), ("f10", worn.p10)):
        wrong = unpack_bits(getattr(fault_map.layers[0], name), WIDE.layers[0].n_in)[counts[0] == 9]
        assert within_5_sigma(int(wrong.sum()), wrong.size, p)
        assert not within_5_sigma(int(wrong.sum()), wrong.size, fresh.mean)
    assert origins(aged) == [("teaching, error rates of 1T1R", "synthetic")] and not is_clean_at_zero(aged)
    few, more = (sum(map(count, flips(WIDE, aged.at(n).apply(WIDE, rng=2)))) for n in (1e3, 1e5))
    assert few < more


def test_aged_cells_saw_their_first_cycle_before_the_first_training():
    """As the card says of one cycle; 5 sigma below it are no errors at all."""
    axis = TEACHING.axis("cycles", cell="1T1R", condition="weak")
    aged = AgedCells([np.full((layer.units, layer.fan_in), 9) for layer in WIDE.layers], ageing=axis)
    wrong, rates = sum(map(count, flips(WIDE, aged.at(0).apply(WIDE, rng=2)))), axis.at(1).error_rates()
    assert within_5_sigma(wrong, WIDE.n_bits, rates.mean) and not within_5_sigma(0, WIDE.n_bits, rates.mean)
    assert same(aged.at(0).apply(WIDE, rng=2), aged.at(1e-9).apply(WIDE, rng=2))


def test_a_write_is_a_cycle_after_the_first_programming():
    """Written once, a cell has two cycles behind it: a card that is steep there tells them from one."""
    rows = [{"cycles": cycles, "ber": ber, "cell": "1T1R", "provenance": "synthetic", "source": "this test"}
            for cycles, ber in ((1, 1e-4), (2, 0.3), (4, 0.5))]
    axis = DeviceCard("steep", "RRAM", "", "MIT", rows).axis("cycles")
    aged = AgedCells([np.ones((layer.units, layer.fan_in), int) for layer in WIDE.layers], ageing=axis)
    assert within_5_sigma(sum(map(count, flips(WIDE, aged.apply(WIDE, rng=2)))), WIDE.n_bits, 0.3)


def test_aged_cells_are_drawn_by_chip_and_nest():
    aged = AgedCells(writes_of(CONV, 3), ageing=TEACHING.axis("cycles", cell="1T1R", condition="strong"))
    low, high = (flips(CONV, aged.at(n).apply(CONV, rng=2, trial=1)) for n in (1e4, 4e5))
    assert sum(map(count, high)) > 0 and all(np.all(a & ~b == 0) for a, b in zip(low, high))
    assert not same(aged.at(4e5).apply(CONV, rng=2, trial=1), aged.at(4e5).apply(CONV, rng=2, trial=2))
    assert padding_is_clear(aged.at(4e5).apply(CONV, rng=2))


GOOD, LIFE = writes_of(SMALL), Weibull(10, 1)


@pytest.mark.parametrize("call, error, message", [
    (lambda: WornOut(None, weibull=LIFE), TypeError, "writes must be a sequence of arrays of counts.*got None of type"),
    (lambda: WornOut([], weibull=LIFE), ValueError, "writes must be a sequence of arrays of counts.*got none"),
    (lambda: WornOut([np.ones(3, int)], weibull=LIFE), TypeError, r"writes\[0\] must be integers \(U, ..., F\) >= 0"),
    (lambda: WornOut([np.ones((2, 3))], weibull=LIFE), TypeError, r"writes\[0\] must be integers .* got float64"),
    (lambda: WornOut([-np.ones((2, 3), int)], weibull=LIFE), TypeError, r"writes\[0\] must be integers"),
    (lambda: WornOut(GOOD, -1, weibull=LIFE), ValueError, "trainings must be >= 0"),
    (lambda: WornOut(GOOD, math.nan, weibull=LIFE), ValueError, "trainings must be finite"),
    (lambda: WornOut(GOOD, 1, 0, weibull=LIFE), ValueError, "cycles_per_write must be > 0"),
    (lambda: WornOut(GOOD, weibull=1e6), TypeError, "weibull must be a Weibull, got float"),
    (lambda: WornOut(GOOD), TypeError, "weibull"),
    (lambda: WornOut(GOOD, weibull=LIFE, devices=0), ValueError, "devices must be >= 1"),
    (lambda: WornOut(GOOD, weibull=LIFE, stuck="lst"), ValueError, "stuck must be one of 'last', 'share', got 'lst'"),
    (lambda: WornOut(GOOD, weibull=LIFE).apply(CONV), ValueError, "writes must be counts of the bits of this memory"),
    (lambda: WornOut(GOOD, weibull=LIFE).apply(3), TypeError, "network must be a PackedNetwork"),
    (lambda: WornOut(GOOD, weibull=LIFE).apply(SMALL, trial=-1), ValueError, "trial must be >= 0"),
    (lambda: AgedCells(GOOD, ageing=TEACHING.axis("time", condition="weak")), TypeError, "ageing must be a fault of a"),
    (lambda: AgedCells(GOOD, ageing=BitFlips(0.1)), TypeError, "ageing must be a fault of a device card along"),
    (lambda: AgedCells(GOOD, 1e9, ageing=TEACHING.axis("cycles", condition="weak")).apply(SMALL), ValueError,
     "cycles must be within the data")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
