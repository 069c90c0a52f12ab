"""Fault-aware mapping against all mappings that there are; what is free of it, and that a mapping that errs is seen."""

import itertools
import math
from dataclasses import replace

import naive_mapping
import numpy as np
import pytest
from fault_parts import conv_network, count, flips, network_of, padding_is_clear, same, weights, words_like
from hypothesis import given
from hypothesis import strategies as st

from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.faults import (ArrayMapping, BitFlips, Clusters, Compose, EachRead, FaultMap, Protected, Remapped, StuckAt,
                           StuckLines)
from bnnsim.faults.errors import cell_errors
from bnnsim.faults.placement import exact_assignment, greedy_assignment, place
from bnnsim.packed.network import PackedNetwork

STUCK = StuckAt(0.15, 0.1)
DENSE, CONV = network_of("FC40 FC70 FC11", (1, 6, 6)), conv_network()
KINDS = [Remapped(STUCK), Remapped(STUCK, segment=7), Remapped(STUCK, invert=False, permute="units"),
         Remapped(STUCK, permute="units"), Remapped(STUCK, segment=20, permute="units", n_spare=3),
         Remapped(STUCK, permute="units", method="greedy"), Remapped(STUCK, permute="weights"),
         Remapped(STUCK, invert=False, permute="weights", method="greedy")]
kinds = pytest.mark.parametrize("fault", KINDS, ids=lambda fault: repr(fault).partition("rate=None), ")[2])


def drawn(seed, n_units, n_rows, n_weights):
    """Bits, and cells of all four kinds: sound, stuck at 0 or 1, flipping both."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (n_units, n_weights), np.uint8)
    f01, f10 = (rng.random((2, n_rows, n_weights)) < 0.4).astype(np.uint8)
    return bits, f01, f10, np.stack([f01, f10], axis=-1).tolist()


def n_wrong(bits, f01, f10, placement):
    own01, own10 = placement.seen(f01, f10)
    return int(np.where(bits, own10, own01).sum())


# ---------------------------------------------------------------- against all mappings

@pytest.mark.jit_off
@given(st.integers(0, 2**20), st.integers(1, 4), st.integers(0, 2), st.integers(1, 9), st.integers(0, 9),
       st.sampled_from((None, "units", "weights")), st.booleans())
def test_what_is_seen_is_what_cells_hold_and_read(seed, n_units, n_spare, n_weights, segment, permute, exact):
    bits, f01, f10, cells = drawn(seed, n_units, n_units + n_spare, n_weights)
    found = place(bits, f01, f10, permute, exact, segment)
    ref = naive_mapping.seen(bits, cells, found.rows, found.columns, found.inverted)
    own01, own10 = found.seen(f01, f10)
    np.testing.assert_array_equal(np.where(bits, 1 - own10, own01), ref)
    held = found.stored(bits)
    read = np.where(held, 1 - f10[found.rows], f01[found.rows]) ^ found.inverted
    np.testing.assert_array_equal(read[:, found.columns], ref)
    assert len(set(found.rows.tolist())) == n_units and sorted(found.columns) == list(range(n_weights))
    if permute != "units":
        assert found.rows.tolist() == list(range(n_units))
    if not segment:
        assert not found.inverted.any()
    for first in range(0, n_weights, segment or 1):
        assert len(np.unique(found.inverted[:, first:first + (segment or 1)], axis=1).T) == 1


@pytest.mark.jit_off
@given(st.integers(0, 2**20), st.integers(1, 4), st.integers(0, 2), st.integers(1, 8), st.integers(0, 8))
def test_no_mapping_of_units_reads_fewer_bits_wrong(seed, n_units, n_spare, n_weights, segment):
    """Inversions and rows together; a greedy assignment never beats it."""
    bits, f01, f10, cells = drawn(seed, n_units, n_units + n_spare, n_weights)
    best = naive_mapping.fewest_of_units(bits.tolist(), cells, segment)
    assert n_wrong(bits, f01, f10, place(bits, f01, f10, "units", True, segment)) == best
    assert not place(bits, 0 * f01, 0 * f10, None, True, segment).inverted.any(), "where it is all the same, none is"
    assert n_wrong(bits, f01, f10, place(bits, f01, f10, "units", False, segment)) >= best


@pytest.mark.jit_off
@given(st.integers(0, 2**20), st.integers(1, 4), st.integers(1, 6))
def test_no_order_of_columns_reads_fewer_bits_wrong(seed, n_units, n_weights):
    """Nothing inverted; inversions behind it only help."""
    bits, f01, f10, cells = drawn(seed, n_units, n_units, n_weights)
    found = n_wrong(bits, f01, f10, place(bits, f01, f10, "weights", True, 0))
    assert found == naive_mapping.fewest_of_weights(bits.tolist(), cells)
    assert n_wrong(bits, f01, f10, place(bits, f01, f10, "weights", True, n_weights)) <= found


@pytest.mark.jit_off
def test_a_mapping_that_errs_fails_these_tests():
    """One blind to the data, which only counts broken cells; one that reads back without turning; the wrong place."""
    blind, unturned, misplaced = [], [], []
    for seed in range(30):
        bits, f01, f10, cells = drawn(seed, 3, 5, 8)
        best = naive_mapping.fewest_of_units(bits.tolist(), cells, 8)
        found = place(bits, f01, f10, "units", True, 8)
        soundest = np.argsort((f01 | f10).sum(axis=1), kind="stable")[:3]
        blind.append(n_wrong(bits, f01, f10, replace(place(bits, f01[soundest], f10[soundest], None, True, 8),
                                                     rows=soundest)) - best)
        unturned.append(n_wrong(bits, f01, f10, replace(found, inverted=np.zeros_like(bits))) - best)
        misplaced.append(n_wrong(bits, f01, f10, replace(found, rows=found.rows[::-1])) - best)
    assert all(min(more) >= 0 and sum(more) > 30 for more in (blind, unturned, misplaced))


@pytest.mark.jit_off
def test_assignments():
    costs = np.array([[1, 2, 9], [1, 5, 9]], np.int32)
    assert exact_assignment(costs).tolist() == [1, 0] and greedy_assignment(costs).tolist() == [0, 1]
    for seed in range(20):
        costs = np.random.default_rng(seed).integers(0, 9, (4, 5), np.int32)
        ref = min(sum(costs[i, at] for i, at in enumerate(places)) for places in itertools.permutations(range(5), 4))
        assert costs[np.arange(4), exact_assignment(costs)].sum() == ref


# ---------------------------------------------------------------- of networks

@kinds
@pytest.mark.parametrize("network", [DENSE, CONV], ids=["dense", "conv"])
def test_a_network_is_read_as_its_placements_say(fault, network):
    """Layer by layer, units in joined rows of taps; the chip is the bare fault's, with spare rows behind."""
    broken, cells = fault.apply(network, 5, 2), fault.memory(network)
    masks, bare = cell_errors(fault.fault, cells, 5, 2), cell_errors(fault.fault, network, 5, 2)
    assert padding_is_clear(broken)
    for layer, after, held, pair, of_bare, placed in zip(network.layers, broken.layers, cells.layers, masks, bare,
                                                         fault.placements(network, 5, 2), strict=True):
        assert all(np.array_equal(mask[:layer.units], own) for mask, own in zip(pair, of_bare))
        f01, f10 = (weights(replace(held, words=mask)) for mask in pair)
        own01, own10 = placed.seen(f01.astype(np.uint8), f10.astype(np.uint8))
        bits = weights(layer)
        np.testing.assert_array_equal(after.words, words_like(layer, np.where(bits, 1 - own10, own01)))
    fewer = sum(map(count, flips(network, broken)))
    assert 0 < fewer < sum(map(count, flips(network, STUCK.apply(network, 5, 2))))


def test_what_nothing_maps_is_the_fault_itself():
    for network in (DENSE, CONV):
        assert same(Remapped(STUCK, invert=False).apply(network, 3, 1), STUCK.apply(network, 3, 1))
        assert Remapped(StuckAt(0.0, 0.0)).apply(network) is network
    chip = FaultMap.record(STUCK, DENSE, 3, 1)
    assert same(Remapped(chip, permute="units").apply(DENSE), Remapped(STUCK, permute="units").apply(DENSE, 3, 1))


@pytest.mark.parametrize("spec", ["FC30 FC20 FC10", "C9 C5 FC10"])
def test_an_inverted_unit_is_free(spec):
    """Cells hold the inverted bits; a threshold t becomes 1 - t and turns, a score its sign: the same scores, exactly.

    (Behind a max-pool the comparison turns before the pool.) Left as they are, thresholds give something else.
    """
    network = network_of(spec, (1, 7, 7), seed=1)
    fault = Remapped(STUCK)
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 7, 7), np.uint8)
    layers, unturned, any_turned = [], [], 0
    for layer, pair, placed in zip(network.layers, cell_errors(STUCK, network, 5, 0), fault.placements(network, 5)):
        f01, f10 = (weights(replace(layer, words=mask)) for mask in pair)
        held = placed.stored(weights(layer).astype(np.uint8))
        words, turned = words_like(layer, np.where(held, 1 - f10, f01)), placed.inverted[:, 0].astype(bool)
        any_turned += turned.sum()
        sign = np.where(turned, -1, 1)
        folded = {"threshold": np.where(turned, 1 - layer.threshold, layer.threshold).astype(np.int32),
                  "inverted": layer.inverted ^ turned} if layer.threshold is not None else {
                      "mean": layer.mean * sign, "scale": layer.scale * sign}
        layers.append(replace(layer, words=words, **folded))
        unturned.append(replace(layer, words=words))
    ref = fault.apply(network, 5).scores(images)
    comp, wrong = (PackedNetwork(each, network.input_shape, network.input_offset).scores(images)
                   for each in (layers, unturned))
    np.testing.assert_array_equal(comp, ref)
    assert any_turned > 5 and not np.array_equal(wrong, ref)


def test_the_mean_that_an_inversion_leaves():
    """docs/frontier/mapping.rst 2: n / 2 - n C(n - 1, floor(n / 2)) / 2^n of n stuck cells; half of them without."""
    network = network_of("FC4000 FC10", (1, 3, 3))
    for n in range(1, 10):
        formula = n / 2 - n * math.comb(n - 1, n // 2) / 2**n
        assert formula == pytest.approx(naive_mapping.expected_wrong(n))
    stuck = StuckAt(0.2, 0.2)
    ref = sum(math.comb(9, n) * 0.4**n * 0.6**(9 - n) * naive_mapping.expected_wrong(n) for n in range(1, 10))
    per_unit = {name: np.bitwise_count(flips(network, fault.apply(network, 1))[0]).sum(axis=1)
                for name, fault in (("inverted", Remapped(stuck)), ("bare", stuck))}
    reach = 5 * per_unit["inverted"].std() / math.sqrt(4000)
    assert abs(per_unit["inverted"].mean() - ref) < reach < abs(per_unit["bare"].mean() - ref)


def test_spares_help_and_more_freedom_never_hurts():
    found = [sum(map(count, flips(CONV, fault.apply(CONV, 4)))) for fault in (
        Remapped(STUCK, invert=False), Remapped(STUCK), Remapped(STUCK, segment=1),
        Remapped(STUCK, invert=False, permute="units"), Remapped(STUCK, permute="units"),
        Remapped(STUCK, permute="units", n_spare=20))]
    none, inverted, single, units, both, spared = found
    assert single == 0                                          # a cell that is stuck has one bit that it reads right
    assert none > inverted > both > spared and none > units > both
    lines = StuckLines(ArrayMapping(16, 40), "row", 0.3, 0.0)
    assert sum(map(count, flips(DENSE, Remapped(lines, permute="units", n_spare=40).apply(DENSE, 0)))) < \
        sum(map(count, flips(DENSE, lines.apply(DENSE, 0))))


def test_costs():
    """Spare rows, flags of segments, and tables of places; an inverted unit costs nothing."""
    n_bits = 40 * 36 + 70 * 40 + 11 * 70
    assert Remapped(STUCK).cost(DENSE).cells_per_bit == 1 == Remapped(STUCK, invert=False).cost(DENSE).cells_per_bit
    assert Remapped(STUCK, segment=70).cost(DENSE).n_cells == n_bits, "of whole units none needs a flag"
    assert Remapped(STUCK, segment=16).cost(DENSE).n_cells == n_bits + 40 * 3 + 70 * 3 + 11 * 5
    assert Remapped(STUCK, permute="units").cost(DENSE).n_cells == n_bits + 40 * 6 + 70 * 7 + 11 * 4
    assert Remapped(STUCK, permute="weights").cost(DENSE).n_cells == n_bits + 36 * 6 + 40 * 6 + 70 * 7
    spared = Remapped(STUCK, permute="units", n_spare=6).cost(DENSE, 2.0)
    assert spared.n_cells == n_bits + 6 * (36 + 40 + 70) + 40 * 6 + 70 * 7 + 11 * 5
    assert spared.energy_joule == 2.0 * spared.n_cells


# ---------------------------------------------------------------- in sweeps

def test_a_sweep_gives_what_chips_give_one_by_one():
    """On any number of threads; nested chips, an axis of stuck cells, read noise outside."""
    split = Split(np.random.default_rng(0).integers(0, 256, (30, 1, 6, 6), np.uint8), np.arange(30) % 10, "random")
    mapped = Remapped(StuckAt(0.5, 0.5), permute="units")
    noisy = Compose([mapped, EachRead(BitFlips(0.01))])
    found = []
    for n in (1, 2):
        with threads(n):
            found.append(sweep(DENSE, split, [0.0, 0.3], 2, 7, faults={"mapped": mapped, "noisy": noisy},
                               progress=False))
    assert found[0].checksum == found[1].checksum and found[0].axis == "share_of_stuck_cells"
    assert found[0].accuracy[0, 1, 1] == mapped.at(0.3).apply(DENSE, 7, 1).accuracy(split)
    assert mapped.at(0.3) == Remapped(StuckAt(0.5, 0.5, rate=0.3), permute="units")


BAD = [
    (lambda: Remapped(BitFlips(0.1)), ValueError, "when must be 'permanent' or 'growing', got 'write' of BitFlips"),
    (lambda: Remapped(EachRead(STUCK)), ValueError, "got 'read'"),
    (lambda: Remapped(0.1), TypeError, "fault must be a fault"),
    (lambda: Remapped(STUCK, invert=1), TypeError, "invert must be True or False, got 1"),
    (lambda: Remapped(STUCK, segment=0), ValueError, "segment must be >= 1, got 0"),
    (lambda: Remapped(STUCK, segment=2.5), TypeError, "segment must be an integer"),
    (lambda: Remapped(STUCK, False, 8), ValueError, "segment must be left out where invert is False, got 8"),
    (lambda: Remapped(STUCK, permute="rows"), ValueError, "permute must be one of 'units', 'weights', got 'rows'"),
    (lambda: Remapped(STUCK, method="best"), ValueError, "method must be one of 'exact', 'greedy', got 'best'"),
    (lambda: Remapped(STUCK, n_spare=-1, permute="units"), ValueError, "n_spare must be >= 0, got -1"),
    (lambda: Remapped(STUCK, n_spare=2), ValueError, "n_spare must be 0 where units keep their rows, got 2; give"),
    (lambda: Remapped(STUCK).apply("x"), TypeError, "network must be a PackedNetwork"),
    (lambda: Remapped(STUCK).apply(DENSE, -1), ValueError, "rng must be a seed"),
    (lambda: Remapped(STUCK).apply(DENSE, 1, -1), ValueError, "trial must be >= 0"),
    (lambda: Remapped(Remapped(STUCK)).apply(DENSE), ValueError, "fault must hit cells one by one"),
    (lambda: Remapped(Protected(STUCK)).apply(DENSE, 1), ValueError, "fault must hit cells one by one"),
    (lambda: Remapped(FaultMap.record(STUCK, DENSE), permute="units", n_spare=1).apply(DENSE), ValueError,
     "the fault map is of another network"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_clusters_and_codes_around_it():
    """Other faults that stay are mapped, too; a code goes around."""
    clusters = Clusters(ArrayMapping(16, 16), 0.02, 1)
    assert sum(map(count, flips(CONV, Remapped(clusters, permute="units").apply(CONV, 1)))) < \
        sum(map(count, flips(CONV, clusters.apply(CONV, 1))))
    assert not same(Protected(Remapped(STUCK), "secded(8,4)").apply(DENSE, 1), DENSE)
