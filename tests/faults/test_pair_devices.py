"""Faults of single devices of ternary weights: what states they meet, against weights counted one by one."""

import naive
import naive_ternary
import numpy as np
import pytest
from fault_parts import within_5_sigma
from scipy.stats import binom

from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.devices import Cell1T1R, LogNormal
from bnnsim.faults import (ActivationErrors, ArrayMapping, AsymmetricFlips, BitFlips, Compose, EachRead, PairDevices,
                           Protected, StuckAt, StuckLines)
from bnnsim.packed.memory import Memory, StoredBits
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack
from bnnsim.training.ternary_weights import with_ternary_weights

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6), np.uint8)
NETWORK = pack(with_ternary_weights(build("C4 MP2 FC70 FC10", (1, 6, 6), rng=0)))
SPLIT = Split(IMAGES, NETWORK.predict(IMAGES).astype(np.uint8), "as it says", 10)
CELL = Cell1T1R(LogNormal(5e3, 0.5), LogNormal(5e4, 0.9), reference_ohm=1.1e4)


def memory_of(levels):
    """Ternary weights (U, F) as a memory of one layer."""
    return Memory((StoredBits(naive.pack(naive_ternary.stored(levels)), 2 * levels.shape[1]),))


def levels_of(memory):
    layer = memory.layers[0]
    return naive_ternary.levels(layer.words, layer.n_in)


def devices_of(memory):
    """Whether each device is in LRS (U, F, 2), bit by bit."""
    layer = memory.layers[0]
    bits = naive.unpack(layer.words, layer.n_in).reshape(len(layer.words), -1, 2)
    return bits * [1, -1] > 0


@pytest.mark.tiny
@pytest.mark.jit_off
def test_extremes_are_those_of_the_devices():
    """All in LRS, and all in HRS, read as 0; both states exchanged, each weight as its negative."""
    levels = np.random.default_rng(1).integers(-1, 2, (5, 33))
    memory = memory_of(levels)
    kinds = {tuple(pair) for pair in devices_of(memory).reshape(-1, 2).tolist()}
    assert kinds == {(True, False), (False, True), (False, False)}
    lost = PairDevices(AsymmetricFlips(0, 1)).apply(memory, 0)
    assert not levels_of(lost).any() and not devices_of(lost).any()
    shorted = PairDevices(StuckAt(p_zero=0, p_one=1)).apply(memory, 0)
    assert not levels_of(shorted).any() and devices_of(shorted).all()
    np.testing.assert_array_equal(levels_of(PairDevices(BitFlips(1.0)).apply(memory, 0)), -levels)
    assert PairDevices(BitFlips(0.0)).apply(memory, 0) is memory


@pytest.mark.parametrize("wrapped", [True, False])
def test_rates_of_levels_are_those_of_two_devices(wrapped):
    """P(level after | level before) of independent devices, each counted within 5 sigma; bare, the fault is a wrong
    model and must not pass: it takes every second device's LRS for HRS."""
    levels = np.random.default_rng(2).integers(-1, 2, (300, 100))
    fault = AsymmetricFlips(p01=0.02, p10=0.2)
    read = levels_of((PairDevices(fault) if wrapped else fault).apply(memory_of(levels), 5))
    p_lrs = {False: 0.02, True: 0.8}                            # that a device reads LRS, by its state
    state = {1: (True, False), -1: (False, True), 0: (False, False)}
    passed = []
    for before, (one, other) in state.items():
        p_one, p_other = p_lrs[one], p_lrs[other]
        wanted = {1: p_one * (1 - p_other), -1: (1 - p_one) * p_other}
        wanted[0] = 1 - wanted[1] - wanted[-1]
        n = np.count_nonzero(levels == before)
        for after, p in wanted.items():
            came, sigma = np.count_nonzero(read[levels == before] == after), np.sqrt(binom.var(n, p))
            passed.append(abs(came - n * p) <= 5 * sigma)
    assert all(passed) if wrapped else not all(passed)


def test_rates_of_a_cell_of_one_device():
    """A 1T1R cell's fault, told the states: as many wrong devices of each as its rates say."""
    levels, rates = np.random.default_rng(2).integers(-1, 2, (200, 130)), CELL.error_rates()
    before = devices_of(memory_of(levels))
    after = devices_of(PairDevices(CELL.fault()).apply(memory_of(levels), 3))
    assert 0.01 < rates.p01 != rates.p10
    assert within_5_sigma(np.count_nonzero(after[~before]), np.count_nonzero(~before), rates.p01)
    assert within_5_sigma(np.count_nonzero(~after[before]), np.count_nonzero(before), rates.p10)


@pytest.mark.parametrize("inner", [BitFlips(0.2), Compose([BitFlips(0.1), BitFlips(0.05)]),
                                   Protected(BitFlips(0.05), "repetition(3)"), EachRead(BitFlips(0.1))])
def test_what_knows_no_states_is_the_same_inside(inner):
    for i in (0, 2):
        one, other = inner.apply(NETWORK, 7, 1), PairDevices(inner).apply(NETWORK, 7, 1)
        np.testing.assert_array_equal(one.layers[i].words, other.layers[i].words)
    np.testing.assert_array_equal(one.scores(IMAGES), other.scores(IMAGES))


@pytest.mark.parametrize("inner", [AsymmetricFlips(0.02, 0.1), StuckAt(0.02, 0.1), CELL.programmed(),
                                   StuckLines(ArrayMapping(16, 16), "column", 0.1, 0.2)],
                         ids=lambda fault: type(fault).__name__)
def test_padding_nesting_threads_and_other_layers(inner):
    fault = PairDevices(inner, layers=[0, 2])
    found = fault.apply(NETWORK, 3)
    np.testing.assert_array_equal(found.layers[1].words, inner.apply(NETWORK, 3).layers[1].words)       # bare
    for layer, before in zip(found.layers, NETWORK.layers):
        rows = layer.words.reshape(-1, layer.words.shape[-1])
        np.testing.assert_array_equal(naive.pack(naive.unpack(rows, layer.n_in)), rows)
    assert (found.layers[0].words != NETWORK.layers[0].words).any()
    with threads(1):
        np.testing.assert_array_equal(fault.apply(NETWORK, 3).layers[2].words, found.layers[2].words)
    rates = (0.8, 1.2) if hasattr(inner, "cell") else (0.02, 0.1)               # of a cell: times its spread
    some, more = (fault.at(rate).apply(NETWORK, 3).layers[2].words ^ NETWORK.layers[2].words for rate in rates)
    assert not (some & ~more).any() and (some != more).any()


def test_read_noise_is_drawn_at_each_read():
    fault = PairDevices(EachRead(AsymmetricFlips(0.1, 0.2)))
    assert fault.when == "read"
    one, other = (fault.apply(NETWORK, 3, 0, read).layers[2].words for read in (0, 1))
    assert (one != other).any()


def test_sweeps():
    """The axis is the inner fault's; a cell of the sweep is what apply gives."""
    fault = PairDevices(AsymmetricFlips(0.1, 0.3))
    result = sweep(NETWORK, SPLIT, [0, 0.1], 2, 3, faults=fault, predictions=True, progress=False)
    assert result.accuracy[0, 0].tolist() == [1, 1]
    wanted = fault.at(0.1).apply(NETWORK, 3, 1).predict(IMAGES)
    np.testing.assert_array_equal(result.predictions[0, 1, 1], wanted)


REFUSED = [
    (lambda: PairDevices(0.1), TypeError, "fault must be a fault such as"),
    (lambda: PairDevices(BitFlips(0.1), layers=[-1]), ValueError, "layers must be"),
    (lambda: PairDevices(BitFlips(0.1), layers=[3]).apply(NETWORK, 0), ValueError, "layers must be in 0..2"),
    (lambda: PairDevices(BitFlips(0.1)).apply(Memory((StoredBits(np.zeros((2, 1), np.uint64), 33),)), 0), ValueError,
     "layer 0 has rows of 33 bits"),
    (lambda: PairDevices(AsymmetricFlips(0.1, 0.2)).apply(pack(build("FC64 FC10", (1, 6, 6), rng=0)), 0), ValueError,
     "network must have ternary weights (bnnsim.training.with_ternary_weights), got one of binary"),
    (lambda: PairDevices(BitFlips(0.1)).apply(None), TypeError, "network must be a PackedNetwork"),
    (lambda: PairDevices(ActivationErrors(0.1)).apply(NETWORK, 0), TypeError, "")]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=range(len(REFUSED)))
def test_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
