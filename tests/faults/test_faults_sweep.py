"""Bit flips are exactly Bernoulli, by seed and place alone; a sweep is what its cells give one by one."""

import csv
import math

import numpy as np
import pytest

import bnnsim.training.packing as packing
from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import (ArrayMapping, BitFlips, ByArray, Clusters, Compose, EachRead, PairDevices, Protected,
                           WeakAmplifiers)
from bnnsim.training.architectures import build

PAD = {100: (1 << (100 - 64)) - 1, 70: (1 << (70 - 64)) - 1}


def network_of(spec="FC100 FC70 FC10", shape=(1, 10, 10), seed=0):
    return packing.pack(build(spec, shape, rng=seed))


@pytest.fixture(scope="module")
def network():
    return network_of()


def split_of(shape=(1, 10, 10), n=40, seed=0, name="random"):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 10, n), name)


def masks_of(network, p, rng=0, trial=0):
    """The flipped bits of each layer."""
    broken = BitFlips(p).apply(network, rng, trial)
    return [old.words ^ new.words for old, new in zip(network.layers, broken.layers)]


def count(words):
    return int(np.bitwise_count(words).sum())


def within_5_sigma(k, n, p):
    return abs(k - n * p) <= 5 * math.sqrt(n * p * (1 - p))


# flips

@pytest.mark.parametrize("p", [0.3, 0.01, 1e-3])
def test_counts_are_binomial(p):
    """Within 5 sigma in each layer of a network of 2 M bits; 5 % more would fail at 0.3 and at 0.01."""
    network = network_of("FC1024 FC1024 FC10", (1, 28, 28))
    for layer, mask in zip(network.layers, masks_of(network, p)):
        assert within_5_sigma(count(mask), layer.n_bits, p)
    n_bits = network.layers[1].n_bits
    assert p < 0.01 or not within_5_sigma(round(1.05 * n_bits * p), n_bits, p)


def test_counts_spread_as_a_binomial(network):
    """Not with replacement, and no fixed number: over 300 chips the variance of the count is n p (1 - p)."""
    n, p = network.n_bits, 0.3
    counts = [sum(map(count, masks_of(network, p, 0, trial))) for trial in range(300)]
    assert within_5_sigma(sum(counts), 300 * n, p)
    assert 0.6 < np.var(counts) / (n * p * (1 - p)) < 1.5         # 5 sigma of a variance of 300 is 0.41


def test_each_bit_flips_at_its_rate(network):
    """First and last bits of words too, over 400 chips."""
    p, n_chips = 0.2, 400
    bytes_of = [masks_of(network, p, 0, t)[0].view(np.uint8) for t in range(n_chips)]
    hits = sum(np.unpackbits(each, axis=1, bitorder="little", count=100).astype(int) for each in bytes_of)
    sigma = math.sqrt(n_chips * p * (1 - p))
    assert np.abs(hits - n_chips * p).max() < 6 * sigma
    assert np.abs(hits.mean(0) - n_chips * p).max() < 0.6 * sigma


@pytest.mark.jit_off
def test_rates_by_layer():
    network = network_of("FC40 FC40 FC10", (1, 6, 6))
    masks = masks_of(network, (0.4, 0.0, 1.0))
    assert within_5_sigma(count(masks[0]), 36 * 40, 0.4) and count(masks[1]) == 0 and count(masks[2]) == 400
    np.testing.assert_array_equal(masks[0], masks_of(network, 0.4)[0])
    for rates in ([0.1, 0, 1], np.array([0.1, 0, 1])):
        assert BitFlips(rates) == BitFlips((0.1, 0, 1)) and hash(BitFlips(rates))


@pytest.mark.jit_off
def test_rate_one_flips_every_bit_and_no_padding():
    """Padding bits do not exist in the memory."""
    network = network_of("C70 MP2 FC70 FC3", (1, 4, 4))
    for layer, mask in zip(network.layers, masks_of(network, 1.0)):
        rows = mask.reshape(-1, mask.shape[-1])
        bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
        assert bits[:, :layer.n_in].all() and not bits[:, layer.n_in:].any()


@pytest.mark.jit_off
def test_rate_zero_is_the_same_network():
    network = network_of("FC40 FC10", (1, 4, 4))
    assert BitFlips(0).apply(network, 0) is network and BitFlips((0, 0.0)).apply(network, 0) is network


@pytest.mark.jit_off
def test_only_what_changed_is_new():
    network = network_of("FC40 FC40 FC10", (1, 4, 4))
    before, checksum = [layer.words.copy() for layer in network.layers], network.checksum
    broken = BitFlips((0, 0.5, 0)).apply(network, 0)
    assert [new is old for new, old in zip(broken.layers, network.layers)] == [True, False, True]
    assert np.shares_memory(broken.layers[1].threshold, network.layers[1].threshold)
    assert broken.metadata == network.metadata
    for layer, words in zip(network.layers, before):
        np.testing.assert_array_equal(layer.words, words)
    assert network.checksum == checksum != broken.checksum


def test_rates_nest(network):
    """One chip at a lower rate has a subset of its errors at a higher one: curves over rates are smooth."""
    rates = [1e-3, 0.01, 0.011, 0.3, 0.999, 1.0]
    for trial in range(3):
        steps = [masks_of(network, p, 7, trial) for p in rates]
        for low, high in zip(steps[:-1], steps[1:]):
            assert not any(np.any(a & ~b) for a, b in zip(low, high))
        assert len({sum(map(count, masks)) for masks in steps}) == len(rates)


def correlation(a, b, n_in):
    bits = [np.unpackbits(words.view(np.uint8), axis=1, bitorder="little", count=n_in).reshape(-1)
            for words in (a, b)]
    return np.corrcoef(*bits)[0, 1]


def test_trials_seeds_and_layers_are_independent():
    """Chips that share errors would make a mean over them look surer than it is."""
    network = network_of("FC100 FC100 FC100", (1, 10, 10))
    first, n = masks_of(network, 0.5), 100 * 100
    others = [masks_of(network, 0.5, 0, 1)[0], masks_of(network, 0.5, 1, 0)[0], first[1], first[2],
              masks_of(network, 0.5, 1, 1)[0]]
    for other in others:
        assert abs(correlation(first[0], other, 100)) < 5 / math.sqrt(n)
    for shift in (1, 2, 13):                                    # rows among each other
        assert abs(correlation(first[0][shift:], first[0][:-shift], 100)) < 5 / math.sqrt(n - 100 * shift)
    np.testing.assert_array_equal(masks_of(network, 0.5)[0], first[0])


@pytest.mark.jit_off
def test_a_layer_s_flips_do_not_hang_on_other_layers_or_on_bits():
    """Networks of one shape meet the same chip: their difference is theirs, not the chip's."""
    wide, narrow = network_of("FC40 FC40 FC10", (1, 6, 6)), network_of("C10 FC40 FC12", (1, 2, 2), seed=5)
    assert wide.layers[1].words.shape == narrow.layers[1].words.shape
    a, b = masks_of(wide, 0.3, 3, 2), masks_of(narrow, 0.3, 3, 2)
    np.testing.assert_array_equal(a[1], b[1])
    np.testing.assert_array_equal(a[2], b[2][:10])


def test_threads_do_not_change_flips(network):
    with threads(1):
        ref = masks_of(network, 0.1)
    with threads(3):
        for comp, words in zip(masks_of(network, 0.1), ref):
            np.testing.assert_array_equal(comp, words)


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda n: BitFlips(1.1), ValueError, r"p must be a probability in \[0, 1\], got 1.1"),
    (lambda n: BitFlips(-1e-9), ValueError, "p must be a probability"),
    (lambda n: BitFlips(math.nan), ValueError, "p must be a probability"),
    (lambda n: BitFlips("0.1"), TypeError, "p must be a probability"),
    (lambda n: BitFlips(True), TypeError, "p must be a probability"),
    (lambda n: BitFlips([0.1, 2]), ValueError, r"p\[1\] must be a probability"),
    (lambda n: BitFlips(np.array([0.1, 2])), ValueError, r"p\[1\] must be a probability"),
    (lambda n: BitFlips(np.array([[0.1]])), TypeError, r"p\[0\] must be a probability"),
    (lambda n: BitFlips(np.ma.array([0.1, 0.2], mask=[0, 1])), TypeError, r"p\[1\] must be a probability"),
    (lambda n: BitFlips(0.1, layers=0), TypeError,
     r"layers must be a sequence of numbers of layers, such as \[0\] for one, got 0 of type int"),
    (lambda n: BitFlips(0.1, layers="0"), TypeError, "layers must be a sequence of numbers of layers"),
    (lambda n: PairDevices(BitFlips(0.1), layers=0), TypeError, "layers must be a sequence of numbers of layers"),
    (lambda n: ByArray(BitFlips(0.1), ArrayMapping(32, 32), 0.1), TypeError, "rates must be a sequence of rates, one"),
    (lambda n: BitFlips((0.1,)).apply(n), ValueError,
     "p must be one probability or 2, one for each layer, got 1"),
    (lambda n: BitFlips(0.1).apply(n, -1), ValueError, "rng must be a seed >= 0"),
    (lambda n: BitFlips(0.1).apply(n, 0, -1), ValueError, "trial must be >= 0"),
    (lambda n: BitFlips(0.1).apply(n, 0, 0.5), TypeError, "trial must be an integer")])
def test_bad_faults(call, error, message):
    with pytest.raises(error, match=message):
        call(network_of("FC4 FC2", (1, 2, 2)))


# sweeps

RATES = [0.0, 0.01, 0.2]


def swept(networks, split=None, rates=RATES, trials=3, rng=5, progress=False, **settings):
    return sweep(networks, split_of() if split is None else split, rates, trials, rng, progress=progress, **settings)


@pytest.fixture(scope="module")
def result(network):
    return swept({"a": network, "b": network_of(seed=1)})


def test_cells_are_apply_and_accuracy(network, result):
    """Whoever redoes one cell by hand finds its accuracy, to the last image."""
    split = split_of()
    assert result.accuracy.shape == (2, 3, 3) and result.accuracy.dtype == np.float64
    for n, each in enumerate((network, network_of(seed=1))):
        for r, p in enumerate(RATES):
            for t in range(3):
                assert result.accuracy[n, r, t] == BitFlips(p).apply(each, 5, t).accuracy(split)
    assert np.unique(result.accuracy).size > 4
    assert (result.names, result.n_images, result.split, result.seed) == (("a", "b"), 40, "random", 5)
    assert [each["network"] for each in result.settings["series"]] == [network.checksum, network_of(seed=1).checksum]


@pytest.mark.jit_off
def test_one_network_one_rate_one_trial():
    """The shape is always (networks, rates, trials)."""
    network, split = network_of("FC20 FC10", (1, 3, 3)), split_of((1, 3, 3), 5)
    for rates in ([0.1], 0.1, (0.1,), np.array([0.1])):
        found = swept(network, split, rates, 1)
        assert found.accuracy.shape == (1, 1, 1) and found.names == ("network",)
        assert found.mean().shape == found.std().shape == (1, 1) and found.std()[0, 0] == 0


@pytest.mark.jit_off
def test_statistics_are_over_trials():
    network, split = network_of("FC20 FC10", (1, 3, 3)), split_of((1, 3, 3), 20)
    found = swept(network, split, [0.2], 4)
    assert found.mean() == pytest.approx(np.mean(found.accuracy)) and np.ptp(found.accuracy) > 0
    assert found.std() == pytest.approx(np.std(found.accuracy, ddof=1))


@pytest.mark.parametrize("around", [lambda fault: fault, EachRead, Protected, lambda fault: Compose([fault])])
@pytest.mark.parametrize("make", [BitFlips, lambda p: Clusters(ArrayMapping(32, 32), p),
                                  lambda p: WeakAmplifiers(ArrayMapping(32, 32), p)])
def test_rates_that_differ_by_layer_stay_so_in_a_sweep(network, make, around):
    """`sweep(..., faults=BitFlips([.2, 0, 0]))` flipped all layers; two profiles had one checksum."""
    split = split_of()
    found = sweep(network, split, [0, 0.1], 2, 3, faults=around(make([0.2, 0, 0.05])), progress=False)
    broken = around(make([0.1, 0, 0.025])).apply(network, 3, 1)
    assert found.accuracy[0, 1, 1] == broken.accuracy(split)
    assert broken.layers[1] is network.layers[1] and broken.layers[0] is not network.layers[0]
    other = sweep(network, split, [0, 0.1], 2, 3, faults=around(make([0, 0, 0.05])), progress=False)
    assert found.settings != other.settings
    assert make([0.2, 0, 0.05]).at(0.1).at(0.4).rates(3) == make([0.4, 0, 0.1]).rates(3)
    assert repr(BitFlips([0.2, 0, 0.05]).at(0)) == "BitFlips(p=(0.2, 0.0, 0.05), layers=None, rate=0.0)"
    assert repr(BitFlips(0.2).at(0)) == "BitFlips(p=0.0, layers=None)"


def test_a_grid_can_grow(network, result):
    """More rates, trials or networks, in any order: cells that were there keep their value."""
    a, b = network, network_of(seed=1)
    np.testing.assert_array_equal(swept({"a": a, "b": b}, trials=5).accuracy[:, :, :3], result.accuracy)
    np.testing.assert_array_equal(swept({"a": a, "b": b}, rates=[0.2, 0.05, 0.01, 0]).accuracy[:, [3, 2, 0]],
                                  result.accuracy)
    np.testing.assert_array_equal(swept({"c": network_of("FC20 FC10"), "b": b, "a": a}).accuracy[[2, 1]],
                                  result.accuracy)
    np.testing.assert_array_equal(swept(b).accuracy[0], result.accuracy[1])


def test_rates_keep_their_order(network):
    assert swept(network, rates=[0.2, 0.0, 0.1], trials=1).rates.tolist() == [0.2, 0.0, 0.1]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_change_a_sweep(network, result, n_threads):
    with threads(n_threads):
        comp = swept({"a": network, "b": network_of(seed=1)})
    np.testing.assert_array_equal(comp.accuracy, result.accuracy)


def test_a_seed_that_was_drawn_is_recorded(network):
    drawn = swept(network, rng=None)
    np.testing.assert_array_equal(swept(network, rng=drawn.seed).accuracy, drawn.accuracy)
    assert np.any(swept(network, rng=6).accuracy != swept(network, rng=5).accuracy)


def test_networks_are_untouched_and_flips_hurt(network):
    """Without errors every chip is the network itself; with half of the bits wrong there is nothing left."""
    checksum, split = network.checksum, split_of(n=500)
    split = Split(split.images, network.predict(split.images), "its own answers")
    found = swept(network, split, [0, 0.5], 4)
    assert network.checksum == checksum
    assert np.all(found.accuracy[0, 0] == 1) and np.all(found.accuracy[0, 1] < 0.6)


@pytest.mark.jit_off
def test_csv_and_table():
    network, split = network_of("FC20 FC10", (1, 3, 3)), split_of((1, 3, 3), 8)
    found = swept({"mine": network}, split, [0, 0.25], 2)
    lines = found.csv().splitlines()
    assert lines[0].split(",") == ["series", "split", "fault", "axis", "value", "trial", "ber_measured",
                                   "right", "n_images", "accuracy", "seed"]
    rows = list(csv.DictReader(lines))
    cells = {(row["value"], int(row["trial"])): float(row["accuracy"]) for row in rows}
    assert len(rows) == 4 and cells == {(repr(float(p)), t): found.accuracy[0, r, t]
                                        for r, p in enumerate(found.rates) for t in range(2)}
    table = found.table().splitlines()
    assert len(table) == 3 and table[2].split()[0] == "mine"
    assert table[2].split()[1:5] == ["0.25", f"{found.ber[0, 1].mean():.3g}", "2", f"{100 * found.mean()[0, 1]:.2f}"]


SMALL = ("FC4 FC10", (1, 2, 2))
BAD = {
    "rate > 1": (dict(rates=[0.1, 1.5]), ValueError,
                 r"rates\[1\] must be a probability in \[0, 1\], got 1.5"),
    "rate < 0": (dict(rates=[-0.1]), ValueError, r"rates\[0\] must be a probability"),
    "NaN rate": (dict(rates=[math.nan]), ValueError, "must be a probability"),
    "no rates": (dict(rates=[]), ValueError, "rates must have at least one, got none"),
    "a rate twice": (dict(rates=[0.1, 0.2, 0.1]), ValueError, "rates must differ from each other"),
    "a masked rate": (dict(rates=np.ma.array([0.1, 0.2], mask=[0, 1])), ValueError, "rates must have no masked values"),
    "text": (dict(rates="0.1"), TypeError, "must be a probability"),
    "texts": (dict(rates=["0.1"]), TypeError, "must be a probability"),
    "True": (dict(rates=[True]), TypeError, "must be a probability"),
    "two axes": (dict(rates=[[0.1, 0.2]]), TypeError, "must be a probability"),
    "predictions": (dict(predictions=1), TypeError, "predictions must be True or False, got 1"),
    "resume": (dict(resume="no"), TypeError, "resume must be True or False, got 'no'"),
    "progress": (dict(progress="no"), TypeError, "progress, where it is not 'log', must be True or False, got 'no'"),
    "no trials": (dict(trials=0), ValueError, "trials must be in .1, "),
    "half a trial": (dict(trials=1.5), TypeError, "trials must be an integer"),
    "seed": (dict(rng=-3), ValueError, "rng must be a seed"),
    "image size": (dict(split=split_of((1, 2, 3))), ValueError, "images must have shape"),
    "no images": (dict(split=split_of((1, 2, 2), 0)), ValueError, "split must have at least one image"),
    "labels": (dict(split=Split(np.zeros((1, 1, 2, 2), np.uint8), [10], "t", 11)), ValueError,
               "labels must be in 0..9"),
    "a model": (dict(networks=build(*SMALL, rng=0)), TypeError, "networks must be a PackedNetwork or a dict"),
    "a list": (dict(networks=[network_of(*SMALL)]), TypeError, "networks must be a PackedNetwork or a dict"),
    "a dict of models": (dict(networks={"m": build(*SMALL, rng=0)}), TypeError,
                         r"networks\['m'\] must be a PackedNetwork"),
    "the class of a fault": (dict(faults=BitFlips), TypeError, "fault such as BitFlips.0. .* the class BitFlips"),
    "no networks": (dict(networks={}), (TypeError, ValueError), "networks must be"),
    "a name": (dict(networks={1: network_of(*SMALL)}), TypeError, "networks must have strings as names, got 1"),
}


@pytest.mark.jit_off
@pytest.mark.parametrize("row", BAD)
def test_bad_sweeps(row):
    changes, error, message = BAD[row]
    settings = {"networks": network_of(*SMALL), "split": split_of((1, 2, 2), 3), "rates": [0.1], "trials": 1,
                **changes}
    with pytest.raises(error, match=message):
        swept(**settings)
