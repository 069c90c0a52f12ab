"""Yields of campaigns: counted as chips say; rare ones against brute force on a small network, for any threads."""

import functools

import numpy as np
import pytest
from fault_parts import within_5_sigma

import bnnsim
import bnnsim.campaign.yields as yields
from bnnsim.campaign import chip_yields, layer_failures, rare_failures, rare_yields
from bnnsim.campaign.yields import _Broken
from bnnsim.faults import ActivationErrors, AnalogColumns, BitFlips, Compose, InThresholds, StuckAt
from bnnsim.statistics import share_interval
from bnnsim.statistics.rare_shares import reweighted_share

RATES = [0, 3e-4, 1e-3, 3e-3]


@functools.cache
def trained():
    """A network of 6,460 bits that learned 300 images, and 60 of them."""
    train = bnnsim.load_embedded()[0][:300]
    small = bnnsim.Split(train.images[:, :, 2:26:4, 2:26:4].copy(), train.labels, "small")
    model = bnnsim.architectures.build("FC40 FC40 FC10", (1, 6, 6), rng=0)
    bnnsim.fit(model, small, 30, rng=0, batch_size=50)
    return bnnsim.pack(model), small[:60]


@functools.cache
def swept(trials=300):
    return bnnsim.sweep(*trained(), RATES, trials, 3, progress=False)


def brute(rate, trials, drop):
    """Share of chips that fail, of chips drawn one by one."""
    result = bnnsim.sweep(*trained(), [0, rate], trials, 77, progress=False)
    return int((result.accuracy[0, 1] < result.accuracy[0, 0, 0] - drop - 1e-9).sum())


def test_chips_are_counted():
    result, drop = swept(), 0.05
    found = chip_yields(result, drop)
    for row, r in zip(found.rows, range(1, 4), strict=True):
        failed = sum(result.accuracy[0, r, t] < result.accuracy[0, 0, 0] - drop - 1e-9 for t in range(300))
        interval = share_interval(300 - failed, 300)
        assert row["share"] == pytest.approx(failed / 300) and row["effective"] == failed and row["n"] == 300
        assert (row["low"], row["high"]) == pytest.approx((1 - interval.high, 1 - interval.low))
    assert found.rows[-1]["share"] > 0.1 and "BER" in found.table() and len(found.table().splitlines()) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "trials"), [(2e-4, 4000), (5e-4, 2000)])
def test_reweighted_chips_are_what_brute_force_counts(rate, trials):
    failed = brute(rate, trials, 0.03)
    counted = share_interval(failed, trials)
    row, = rare_yields(swept(1500), trained()[0], [rate], 0.03).rows
    assert failed > 10 and row["effective"] > 10
    sigma = np.hypot(counted.high - counted.low, row["high"] - row["low"]) / 3.92
    assert abs(row["share"] - failed / trials) < 3 * sigma


@pytest.mark.slow
def test_errors_of_some_layers_are_weighted_by_their_own_bits():
    """Of one layer's bits that are seldom wrong: told from chips of which most have two."""
    network, split = trained()
    fault = BitFlips(0, layers=(0,))
    told = bnnsim.sweep(network, split, [0, 3e-4, 1e-3, 3e-3], 500, 3, faults=fault, progress=False)
    counted = bnnsim.sweep(network, split, [0, 1e-4], 4000, 9, faults=fault, progress=False)
    row, = rare_yields(told, network, [1e-4], 0.015).rows
    failed = int((counted.accuracy[0, 1] < counted.accuracy[0, 0, 0] - 0.015 - 1e-9).sum())
    low, high = share_interval(failed, 4000)[:2]
    assert failed > 10 and 0.8 < row["weight"] < 1.2
    assert abs(row["share"] - failed / 4000) < 3 * np.hypot(high - low, row["high"] - row["low"]) / 3.92


def test_the_bits_that_are_weighed_are_those_that_were_wrong(monkeypatch):
    """Counted chip by chip, of the layers that err: bit error rates of results are shares of all layers' bits."""
    network, split = trained()
    told, seen = bnnsim.sweep(network, split, [0, 0.01], 5, 3, faults=BitFlips(0, layers=(0,)), progress=False), []
    monkeypatch.setattr(yields, "reweighted_share", lambda *given: seen.append(given) or reweighted_share(*given))
    rare_yields(told, network, [3e-3], 0.015)
    (_, n_wrong, _, n_bits, *_), = seen
    chips = [BitFlips(0.01, (0,)).apply(network, 3, t).layers[0].words for t in range(5)]
    assert n_wrong.tolist() == [[int(np.bitwise_count(words ^ network.layers[0].words).sum()) for words in chips]]
    assert n_bits == network.layers[0].n_bits


@pytest.mark.slow
def test_a_layer_and_the_others_are_the_whole_chip_as_brute_force_counts_it():
    """Chips that fail with a wrong bit in layer 0, weighted, and those without one, by splitting, are all that fail.

    The layer's errors alone are fewer: what others do on the same chips is in the share.
    """
    network, split = trained()
    rate, drop, n = 2e-4, 0.03, network.layers[0].n_bits
    limit = network.accuracy(split) - drop
    chips = [BitFlips(rate).apply(network, 77, t) for t in range(2500)]
    bad = np.array([chip.accuracy(split) < limit - 1e-9 for chip in chips])
    touched = np.array([np.any(chip.layers[0].words != network.layers[0].words) for chip in chips])
    found = layer_failures(network, split, rate, limit, drawn_at=[3e-4, 1e-3], trials=500, rng=3)
    others = rare_failures(network, split, BitFlips((0, rate, rate)), limit, n_chips=24, repetitions=5, rng=0)
    for share, low, high, count in (
            (found.share, found.low, found.high, int((bad & touched).sum())),
            (found.share + (1 - rate)**n * others.share.share, found.low + (1 - rate)**n * others.share.low,
             found.high + (1 - rate)**n * others.share.high, int(bad.sum()))):
        counted = share_interval(count, 2500)
        assert count > 10
        assert abs(share - count / 2500) < 3 * np.hypot(counted.high - counted.low, high - low) / 3.92
    told = bnnsim.sweep(network, split, [0, 3e-4, 1e-3], 500, 3, faults=BitFlips(0, (0,)), progress=False)
    alone, = rare_yields(told, network, [rate], drop).rows
    assert alone["share"] < found.share, "the other layers' errors count, on the same chips"


def test_splitting_is_the_same_for_any_number_of_threads():
    network, split = trained()
    found = []
    for n in (1, 2):
        with bnnsim.threads(n):
            found.append(rare_failures(network, split, BitFlips(1e-3), network.accuracy(split) - 0.08, n_chips=8,
                                       repetitions=3, rng=0))
    assert found[0].share == found[1].share
    assert np.array_equal(found[0].splitting.passed, found[1].splitting.passed)


@pytest.mark.slow
def test_splitting_is_what_brute_force_counts():
    network, split = trained()
    limit = network.accuracy(split) - 0.08
    found = rare_failures(network, split, BitFlips(1e-3), limit, n_chips=20, repetitions=8, rng=0)
    failed = brute(1e-3, 3000, 0.08)
    counted = share_interval(failed, 3000)
    assert 5 < failed < 100
    sigma = np.hypot(counted.high - counted.low, found.share.high - found.share.low) / 3.92
    assert abs(found.share.share - failed / 3000) < 3 * sigma
    assert found.good.mean == 1 - found.share.share and "counting them would take" in found.table()


def test_a_level_that_half_reaches_is_no_rare_one():
    network, split = trained()
    found = rare_failures(network, split, BitFlips(0.2), 0.9, n_chips=4, repetitions=2, rng=0)
    assert found.share.share == 1 and len(found.splitting.levels) == 1


def test_rates_by_layer_are_those_of_the_layers():
    network, split = trained()
    found = rare_failures(network, split, BitFlips((0, 0, 0)), 0.5, n_chips=4, repetitions=2, rng=0)
    assert found.share.share == 0


def test_a_move_leaves_the_law_of_chips_as_it_is():
    """Of a move of a share c the errors stay p of the bits, of which 1 - c (1 - p) were there before."""
    network, split = trained()
    chips, p, c = _Broken(network, split, BitFlips(0.3), 7), 0.3, 0.25
    before = chips.draw(1, 0, 0)
    after = chips.moved(before, c, 1, 1, 0, 0)
    for of_chip, ref in ((before, p), (after, p), ([a & b for a, b in zip(before, after)], p * (1 - c * (1 - p)))):
        count = sum(int(np.bitwise_count(mask).sum()) for mask in of_chip)
        assert within_5_sigma(count, network.n_bits, ref)


@pytest.mark.parametrize("fault", [Compose([InThresholds(BitFlips(0)), ActivationErrors(0.2)]),
                                   AnalogColumns(bits=3, noise=2.0)], ids=str)
def test_chips_without_a_wrong_bit_that_differ_are_not_taken_for_clean_ones(fault):
    """What errs where it is read errs at rate 0, too: the interval of that mean is one of chips, not one answer."""
    result = bnnsim.sweep(*trained(), [0, 0.1], 4, 0, faults=fault, progress=False)
    accuracy, (low, high) = result.accuracy[0, 0], result.interval()[0, 0]
    assert np.all(result.ber[0, 0] == 0) and accuracy.std() > 0
    assert low < accuracy.mean() < high
    alone = bnnsim.sweep(*trained(), [0, 0.1], 1, 0, faults=fault, progress=False)
    assert alone.interval()[0, 0].tolist() == [0, 1]
    with pytest.raises(ValueError, match="tolerated needs a memory without errors"):
        alone.tolerated()
    clean = bnnsim.sweep(*trained(), [0, 0.1], 1, 0, progress=False)
    assert np.ptp(clean.interval()[0, 0]) == 0


@functools.cache
def bad():
    network, split = trained()
    other = bnnsim.pack(bnnsim.architectures.build("FC40 FC40 FC10", (1, 6, 6), rng=5))
    stuck = bnnsim.sweep(network, split, [0, 0.1], 2, 0, faults=StuckAt(0, 0), progress=False)
    dirty = bnnsim.sweep(network, split, [0.1], 2, 0, progress=False)
    clean = bnnsim.sweep(network, split, [0], 2, 0, progress=False)
    never_clean = bnnsim.sweep(network, split, [0, 0.1], 3, 0, faults=AnalogColumns(noise=2.0), progress=False)
    return [
        (lambda: chip_yields(dirty), ValueError, r"a yield needs rate 0 among the rates"),
        (lambda: chip_yields(clean), ValueError, "another rate than 0 among the rates"),
        (lambda: rare_yields(clean, network, [1e-6]), ValueError, "another rate than 0 among the rates"),
        (lambda: rare_yields(swept(), network, []), ValueError, "rates must be a sequence of.*one at least, got none"),
        (lambda: rare_yields(swept(), network, 1e-6), TypeError, r"such as \[1e-6\], got 1e-06 of type float"),
        (lambda: rare_yields(swept(), None, [1e-6]), TypeError, "networks must be the PackedNetwork .* got NoneType"),
        (lambda: rare_yields(network, network, [1e-6]), TypeError, "result must be a SweepResult.*got PackedNetwork"),
        (lambda: chip_yields(None), TypeError, "result must be a SweepResult, as bnnsim.sweep gives it.*NoneType"),
        (lambda: chip_yields(never_clean), ValueError, "a yield needs a memory without errors.*chips differ"),
        (lambda: never_clean.tolerated(), ValueError, "tolerated needs a memory without errors.*chips differ"),
        (lambda: chip_yields(swept(), 5), ValueError, "drop must be a probability"),
        (lambda: chip_yields(swept(), 1.0), ValueError, "drop must be at most the clean accuracy, 0.*, got 1:"),
        (lambda: rare_yields(stuck, network, [1e-6]), ValueError, "bit errors at one rate.*with chip_yields"),
        (lambda: rare_yields(swept(), other, [1e-6]), ValueError, "missing or another one"),
        (lambda: rare_yields(swept(), {}, [1e-6]), ValueError, "missing or another one"),
        (lambda: layer_failures(network, split, 1e-6, 0.5, layer=3), ValueError, r"layer must be in \[0, 2\], got 3"),
        (lambda: layer_failures(network, split, 1e-6, 0.5, drawn_at=0.1), TypeError, "drawn_at must be a sequence of"),
        (lambda: layer_failures(network, split, 1e-6, 0.5, drawn_at=[0]), ValueError, "drawn_at must have a rate betw"),
        (lambda: layer_failures(network, None, 1e-6, 0.5), TypeError, "split must be a Split"),
        (lambda: rare_failures(network, split, StuckAt(0.1, 0.1), 0.5), TypeError, "fault must be bnnsim.faults.BitFl"),
        (lambda: rare_failures(network, split, BitFlips(0.1), 0.0), ValueError, "limit must be above 0"),
        (lambda: rare_failures(split, split, BitFlips(0.1), 0.5), TypeError, "network must be a PackedNetwork"),
    ]


@pytest.mark.parametrize("i", range(22))
def test_what_is_refused(i):
    call, error, message = bad()[i]
    with pytest.raises(error, match=message):
        call()
