"""Layers in arrays: addresses counted out one by one, and faults that hit exactly the cells they say."""

import math

import naive_codes
import numpy as np
import pytest
from fault_parts import (all_words, conv_network, count, flips, network_of, padding_is_clear, same, weights,
                         within_5_sigma)
from hypothesis import given
from hypothesis import strategies as st

import bnnsim.campaign.sweeps as sweeps
from bnnsim import Split, threads
from bnnsim.devices import Cell2T2R, LogNormal
from bnnsim.faults import (ArrayMapping, ArrayVariation, AsymmetricFlips, BitFlips, ByArray, Clusters, Compose,
                           EachRead, FaultMap, Protected, StuckAt, StuckLine, StuckLines, WeakAmplifiers)
from bnnsim.faults.protocol import greatest_rate
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import wrong_bits
from bnnsim.seeding import stream_key

NETWORKS = {"dense": network_of("FC40 FC70 FC10", (1, 6, 6)), "conv": conv_network()}
MAPPINGS = [ArrayMapping(16, 24), ArrayMapping(7, 65, "columns"), ArrayMapping(64, 64), ArrayMapping(1000, 130),
            ArrayMapping(1, 1), ArrayMapping(64, 3, "columns"), ArrayMapping(5, 2000)]
MAP = ArrayMapping(16, 24)


def naive_addresses(network, mapping):
    return naive_codes.addresses([(layer.units, layer.fan_in) for layer in network.layers], mapping.rows,
                                 mapping.columns, mapping.units_on)


every = pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: f"{m.rows}x{m.columns}-{m.units_on}")
both = pytest.mark.parametrize("name", NETWORKS)


# ---------------------------------------------------------------- addresses

@every
@both
def test_addresses_are_those_counted_out(name, mapping):
    """(layer, unit, weight) -> (array, row, column) and back, of every weight; no cell holds two."""
    network = NETWORKS[name]
    ref, n_arrays = naive_addresses(network, mapping)
    assert mapping.n_arrays(network) == n_arrays and len(set(ref.values())) == len(ref) == network.n_bits
    assert mapping.utilisation(network) == network.n_bits / (n_arrays * mapping.rows * mapping.columns)
    for i, layer in enumerate(network.layers):
        unit, weight = np.divmod(np.arange(layer.n_bits), layer.fan_in)
        comp = mapping.address(network, i, unit, weight)
        expected = np.array([ref[i, u, w] for u, w in zip(unit.tolist(), weight.tolist())])
        np.testing.assert_array_equal(np.stack(comp, axis=1), expected)
        back = mapping.weight(network, *comp)
        np.testing.assert_array_equal(np.stack(back), np.stack([np.full(layer.n_bits, i), unit, weight]))


@pytest.mark.jit_off
def test_cells_that_hold_nothing():
    network = NETWORKS["dense"]
    held = set(naive_addresses(network, MAP)[0].values())
    cells = np.array(list(np.ndindex(MAP.n_arrays(network), MAP.rows, MAP.columns)))
    layer, unit, weight = MAP.weight(network, *cells.T)
    empty = np.array([tuple(cell) not in held for cell in cells.tolist()])
    for part in (layer, unit, weight):
        np.testing.assert_array_equal(part == -1, empty)
    assert 0 < empty.sum() < len(cells)


@every
@both
def test_the_bits_of_arrays_are_those_at_their_addresses(name, mapping):
    network = NETWORKS[name]
    for i, layer in enumerate(network.layers):
        arrays, bits = mapping.arrays(layer), weights(layer)
        unit, weight = np.divmod(np.arange(layer.n_bits), layer.fan_in)
        array, row, column = mapping.address(network, i, unit, weight)
        found = (arrays[array - mapping.first_arrays(network)[i], row, column // 64]
                 >> (column % 64).astype(np.uint64)) & np.uint64(1)
        np.testing.assert_array_equal(found, bits[unit, weight])
        assert count(arrays) == bits.sum()                                # and 0 elsewhere
        np.testing.assert_array_equal(mapping.words(layer, arrays), layer.words)


@pytest.mark.jit_off
@given(rows=st.integers(1, 80), columns=st.integers(1, 200), units_on=st.sampled_from(["rows", "columns"]),
       name=st.sampled_from(sorted(NETWORKS)))
def test_arrays_and_back(rows, columns, units_on, name):
    """Unused cells may hold anything: they are dropped."""
    mapping = ArrayMapping(rows, columns, units_on)
    for layer in NETWORKS[name].layers[-2:]:
        arrays = mapping.arrays(layer)
        np.testing.assert_array_equal(mapping.words(layer, arrays), layer.words)
        full = mapping.words(layer, np.full_like(arrays, 2**64 - 1))
        assert count(full) == layer.n_bits
        n_rows, n_columns = mapping.used(layer)
        assert (n_rows * n_columns).sum() == layer.n_bits and len(arrays) == len(n_rows)


def test_threads_do_not_change_arrays():
    for mapping in MAPPINGS[:3]:
        for layer in NETWORKS["conv"].layers:
            results = []
            for n in (1, 2, 3):
                with threads(n):
                    arrays = mapping.arrays(layer)
                    results.append(arrays.tobytes() + mapping.words(layer, arrays).tobytes())
            assert len(set(results)) == 1


# ---------------------------------------------------------------- lines

@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("mapping", MAPPINGS[:4], ids=str)
@both
def test_a_stuck_line_hits_exactly_its_cells(name, mapping, axis):
    """Every weight at the address reads the value, every other one what is stored; in each array of each layer."""
    network = NETWORKS[name]
    ref, n_arrays = naive_addresses(network, mapping)
    for array, line, value in [(0, 0, 1), (n_arrays - 1, 1, 0), (n_arrays // 2, 3, 1), (n_arrays // 2, 4, 0)]:
        broken = StuckLine(mapping, axis, array, line, value).apply(network)
        expected = [weights(layer).copy() for layer in network.layers]
        for (i, unit, weight), (a, row, column) in ref.items():
            if a == array and {"row": row, "column": column}[axis] == line:
                expected[i][unit, weight] = value
        for layer, bits in zip(broken.layers, expected):
            np.testing.assert_array_equal(weights(layer), bits)
        assert padding_is_clear(broken)


@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("group", [1, 3])
def test_random_lines_are_whole_lines_of_the_chosen_layers(axis, group):
    """All cells of a line alike; groups of neighbours alike; no cell of another layer."""
    network = NETWORKS["conv"]
    chip = FaultMap.record(StuckLines(MAP, axis, 0.2, 0.2, group, layers=(0, 1, 2)), network, 5)
    seen = set()
    first, kinds = MAP.first_arrays(network), chip.counts()
    for array in range(first[-1]):
        cells = chip.array(array)
        cells = cells if axis == "row" else cells.T
        assert (cells == cells[:, :1]).all() and not np.any(cells == 1)
        for start in range(0, len(cells), group):
            assert len(set(cells[start:start + group, 0].tolist())) == 1
        seen |= set(cells[:, 0].tolist())
        assert array < first[3] or not cells.any()
    assert seen == {0, 2, 3} and kinds[3].sum() == 0 and kinds[:3, 1:].all()


def test_random_lines_are_as_many_as_they_say():
    """Of lines, not of cells; 5 sigma. A share that the other kind has eaten up would fail."""
    network, mapping = network_of("FC512 FC512 FC10", (1, 28, 28)), ArrayMapping(32, 32)
    chip = FaultMap.record(StuckLines(mapping, "column", 0.3, 0.3), network, 1)
    tops = np.concatenate([chip.array(a)[0] for a in range(mapping.n_arrays(network))])
    n = len(tops)
    assert within_5_sigma((tops == 2).sum(), n, 0.3) and within_5_sigma((tops == 3).sum(), n, 0.3)
    assert n > 10_000 and not within_5_sigma(0.7 * (tops == 2).sum(), n, 0.3)


def test_lines_nest_and_hang_on_the_trial():
    network, lines = NETWORKS["dense"], StuckLines(MAP, "column", 0.1, 0.3)
    few, many = (FaultMap.record(lines.at(rate), network, 3, 2) for rate in (0.1, 0.5))
    assert (few - many).counts().sum() == 0 < few.counts().sum() < many.counts().sum()
    assert FaultMap.record(lines, network, 3, 2) != FaultMap.record(lines, network, 3, 1)
    assert lines.apply(network, 3, 2).layers[0].words.tobytes() == lines.apply(network, 3, 2).layers[0].words.tobytes()
    assert StuckLines(MAP, "row", 0.0, 0.0).apply(network, 0) is network


def test_weak_amplifiers_flip_their_columns_only():
    network, mapping = network_of("FC512 FC512 FC10", (1, 28, 28)), ArrayMapping(64, 64)
    chip = FaultMap.record(WeakAmplifiers(mapping, 0.1, 0.4, columns_per_amplifier=8), network, 2)
    hit, cells = [], 0
    for array in range(mapping.n_arrays(network)):
        found = chip.array(array)
        assert not np.any(found > 1)
        groups = np.add.reduceat(found.sum(0, dtype=int), np.arange(0, found.shape[1], 8))
        if found.size == 64 * 64:
            hit += (groups > 0).tolist()
            cells += groups.sum()
    assert within_5_sigma(sum(hit), len(hit), 0.1)                        # 0.6^512 of them hit nothing
    assert within_5_sigma(cells, sum(hit) * 512, 0.4) and not within_5_sigma(cells, sum(hit) * 512, 0.45)
    assert WeakAmplifiers(mapping, 0.0).apply(network, 0) is network


def test_cells_of_weak_amplifiers_have_a_draw_of_their_own():
    """All amplifiers weak, each cell errs by the stream "weak cells": on that of the amplifiers chips were others."""
    network = network_of("FC70 FC10", (1, 6, 6))
    broken = WeakAmplifiers(MAP, 1.0, 0.3).apply(network, 2, 1)
    for i, (layer, after) in enumerate(zip(network.layers, broken.layers)):
        mask = flip_masks(len(layer.words), layer.n_in, 0.3, stream_key(2, "weak cells", 1, i, 0))
        np.testing.assert_array_equal(layer.words ^ after.words, mask)


# ---------------------------------------------------------------- clusters

def discs(centres, radius):
    """Cells within `radius` of a centre, by distance."""
    shape, out = centres.shape, np.zeros(centres.shape, bool)
    for r, c in np.argwhere(centres):
        y, x = np.ogrid[:shape[0], :shape[1]]
        out |= (y - r) ** 2 + (x - c) ** 2 <= radius**2
    return out


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
@both
def test_clusters_are_discs_around_centres(name, radius):
    """Centres are what radius 0 breaks; 0 wins where discs overlap; nothing crosses from array to array."""
    network = NETWORKS[name]
    points, chip = (FaultMap.record(Clusters(MAP, 0.01, r), network, 4) for r in (0, radius))
    for array in range(MAP.n_arrays(network)):
        centres = points.array(array)
        zero, one = discs(centres == 2, radius), discs(centres == 3, radius)
        np.testing.assert_array_equal(chip.array(array), np.where(zero, 2, np.where(one, 3, 0)))
    assert points.counts()[:, 1:].sum(axis=0).all()


def test_clusters_are_as_many_as_they_say():
    network = network_of("FC512 FC512 FC10", (1, 28, 28))
    counts = FaultMap.record(Clusters(ArrayMapping(64, 64), 0.01, 0, p_one=0.2), network, 1).counts().sum(axis=0)
    assert within_5_sigma(counts[1:].sum(), network.n_bits, 0.01)
    assert within_5_sigma(counts[2], counts.sum(), 0.2) and not within_5_sigma(counts[1], counts.sum(), 0.2)


def test_clusters_nest():
    network = NETWORKS["dense"]
    few, many = (Clusters(MAP, p, 0).apply(network, 3) for p in (0.01, 0.2))
    assert not any(np.any(a & ~b) for a, b in zip(flips(network, few), flips(network, many)))


# ---------------------------------------------------------------- rates by array

def test_each_array_has_its_rate():
    """5 sigma in each of 96 arrays, and their rates differ: one rate for all would fail."""
    network, mapping = network_of("FC512 FC512 FC10", (1, 28, 28)), ArrayMapping(64, 128)
    n_arrays = mapping.n_arrays(network)
    rates = np.linspace(0, 0.3, n_arrays)
    chip = FaultMap.record(ByArray(AsymmetricFlips(0.1, 0.1), mapping, rates), network, 3)
    counts = chip.counts("array")[:, 0]
    sizes = np.concatenate([np.prod(mapping.used(layer), axis=0) for layer in network.layers])
    assert all(within_5_sigma(k, n, p) for k, n, p in zip(counts, sizes, rates))
    assert sum(within_5_sigma(k, n, 0.15) for k, n in zip(counts, sizes)) < n_arrays / 3
    halved = ByArray(BitFlips(0), mapping, rates).at(0.15)
    assert all(within_5_sigma(k, n, p / 2)
               for k, n, p in zip(FaultMap.record(halved, network, 3).counts("array")[:, 0], sizes, rates))


def test_array_variation_is_log_normal_and_keeps_its_factors():
    network, mapping = NETWORKS["dense"], ArrayMapping(4, 4)
    fault = ArrayVariation(BitFlips(0), mapping, 1e-3, 0.7)
    rates = fault.rates(network, 1, 2)
    z = np.log(rates / 1e-3) / 0.7
    n = len(z)
    assert n == mapping.n_arrays(network) > 250
    assert abs(z.mean()) < 5 / math.sqrt(n) and abs(z.std() - 1) < 5 / math.sqrt(2 * n)
    np.testing.assert_allclose(fault.at(1e-4).rates(network, 1, 2), rates / 10)
    assert not np.allclose(fault.rates(network, 1, 3), rates)
    assert fault.at(1.0).rates(network, 1, 2).max() == 1.0 and not fault.at(0).rates(network, 1, 2).any()
    assert fault.at(0).apply(network, 1) is network
    few, many = (flips(network, fault.at(p).apply(network, 1, 2)) for p in (0.02, 0.2))
    assert sum(map(count, few)) and not any(np.any(a & ~b) for a, b in zip(few, many))


@both
def test_without_variation_every_array_has_the_median(name):
    network = NETWORKS[name]
    plain = ArrayVariation(BitFlips(0), MAP, 0.1, 0.0).apply(network, 1)
    assert same(plain, ByArray(BitFlips(0), MAP, [0.1] * MAP.n_arrays(network)).apply(network, 1))
    assert within_5_sigma(sum(map(count, flips(network, plain))), network.n_bits, 0.1)
    assert padding_is_clear(ByArray(BitFlips(0), MAP, [1] * MAP.n_arrays(network)).apply(network, 1))


def test_arrays_draw_apart_from_each_other():
    """Arrays of one shape must not have the same errors."""
    network, mapping = network_of("FC256 FC10", (1, 16, 16)), ArrayMapping(64, 64)
    chip = FaultMap.record(ByArray(BitFlips(0), mapping, [0.5] * mapping.n_arrays(network)), network, 0)
    cells = [chip.array(a).astype(float).reshape(-1) for a in range(16)]
    assert np.abs(np.corrcoef(cells) - np.eye(16)).max() < 6 / math.sqrt(64 * 64)


@pytest.mark.parametrize("fault", [StuckLines(MAP, "row", (0.5, 0, 0), (0.2, 0, 0.1)), Clusters(MAP, (0.1, 0, 0.05)),
                                   WeakAmplifiers(MAP, (0.5, 0, 0.5)), AsymmetricFlips((0.1, 0, 0), (0, 0, 0.1))],
                         ids=lambda fault: type(fault).__name__)
def test_rates_at_addresses_may_differ_from_layer_to_layer(fault):
    """As those of single cells: a layer at rate 0 is shared, the others are as under their rate alone."""
    network = NETWORKS["dense"]
    broken = fault.apply(network, 3)
    assert [new is old for new, old in zip(broken.layers, network.layers)] == [False, True, False]
    for i in (0, 2):
        alone = type(fault)(**{**vars(fault), **{name: getattr(fault, name)[i] for name in fault.RATES}})
        np.testing.assert_array_equal(broken.layers[i].words, alone.apply(network, 3).layers[i].words)
    for wrong in (fault.RATES[0], "layers"):
        with pytest.raises(ValueError, match="one for each layer, got 2|layers must be in 0..2"):
            type(fault)(**{**vars(fault), **dict.fromkeys(fault.RATES, 0.1),
                           wrong: (0.1, 0.1) if wrong != "layers" else (5,)}).apply(network, 3)


def test_a_group_of_more_lines_than_an_array_has_is_the_array():
    """Not a table of 10^18 lines."""
    network = NETWORKS["dense"]
    broken = StuckLines(MAP, "column", 0.5, 0.5, group=10**18).apply(network, 0)
    assert same(broken, StuckLines(MAP, "column", 0.5, 0.5, group=24).apply(network, 0)) and not same(broken, network)


@pytest.mark.jit_off
def test_when_of_faults_at_addresses():
    assert StuckLines(MAP, "row", 0, 0).when == Clusters(MAP, 0).when == WeakAmplifiers(MAP, 0).when == "permanent"
    assert ByArray(StuckAt(0, 0), MAP, [0]).when == "permanent"
    assert ArrayVariation(EachRead(BitFlips(0)), MAP, 0, 1).when == "read"
    network = NETWORKS["dense"]
    noise = ArrayVariation(EachRead(BitFlips(0)), MAP, 0.2, 0.1)
    first, second = (all_words(noise.apply(network, 1, 0, read=b)) for b in (0, 1))
    assert not np.array_equal(first[0], second[0])


# ---------------------------------------------------------------- bad input

NET = NETWORKS["dense"]


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: ArrayMapping(0, 4), ValueError, r"rows must be in \[1, 65536\], got 0"),
    (lambda: ArrayMapping(4, -1), ValueError, "columns must be in"),
    (lambda: ArrayMapping(4, 2**17), ValueError, "columns must be in"),
    (lambda: ArrayMapping(4.0, 4), TypeError, "rows must be an integer"),
    (lambda: ArrayMapping(4, 4, "row"), ValueError, "units_on must be one of .* did you mean 'rows'"),
    (lambda: MAP.address(NET, 3, 0, 0), ValueError, "layer must be in"),
    (lambda: MAP.address(NET, 0, 40, 0), ValueError, r"unit must be in \[0, 39\], got 40"),
    (lambda: MAP.address(NET, 0, 0, [3, 36]), ValueError, r"weight must be in \[0, 35\], got 3 to 36"),
    (lambda: MAP.address(NET, 0, 0, 0.5), TypeError, "weight must be an integer"),
    (lambda: MAP.weight(NET, 0, 16, 0), ValueError, r"row must be in \[0, 15\]"),
    (lambda: MAP.weight(NET, 10**6, 0, 0), ValueError, "array must be in"),
    (lambda: StuckLine((16, 24), "row", 0, 0, 0), TypeError, "mapping must be a bnnsim.faults.ArrayMapping"),
    (lambda: StuckLine(MAP, "col", 0, 0, 0), ValueError, "axis must be one of 'row', 'column'"),
    (lambda: StuckLine(MAP, "row", 0, 16, 0), ValueError, r"line must be in \[0, 15\]"),
    (lambda: StuckLine(MAP, "column", 0, 16, 2), ValueError, "value must be in"),
    (lambda: StuckLine(MAP, "column", 99, 16, 1).apply(NET), ValueError, "array must be in"),
    (lambda: StuckLine(MAP, "column", 0, 16, 1).at(0.1), ValueError, "no rate .* Compose"),
    (lambda: StuckLines(MAP, "column", 0.6, 0.6), ValueError, r"p_zero \+ p_one must be at most 1"),
    (lambda: StuckLines(MAP, "column", 0.6, 0, 0), ValueError, "group must be >= 1"),
    (lambda: StuckLines(MAP, "column", 0.6, 0, layers=[7]).apply(NET), ValueError, "layers must be in 0..2"),
    (lambda: Clusters(MAP, 2), ValueError, "p must be a probability"),
    (lambda: Clusters(MAP, 0.1, -1), ValueError, "radius must be in"),
    (lambda: WeakAmplifiers(MAP, 0.1, 1.5), ValueError, "p_flip must be a probability"),
    (lambda: ByArray(BitFlips(0), MAP, [0.1]).apply(NET), ValueError, "rates must be 19, one for each array of 16 x"),
    (lambda: ByArray(BitFlips(0), MAP, [2]), ValueError, r"rates\[0\] must be a probability"),
    (lambda: ByArray(0.1, MAP, [0.1]), TypeError, "fault must be a fault"),
    (lambda: ArrayVariation(BitFlips(0), MAP, 0.1, -1), ValueError, "sigma must be >= 0"),
    (lambda: ArrayVariation(BitFlips(0), MAP, 0.1, math.nan), ValueError, "sigma must be finite"),
])
def test_bad_arrays(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("fault, greatest", [
    (AsymmetricFlips(0.3, 0.1), 2 / 3), (AsymmetricFlips(0.1, 0.0), 0.5), (AsymmetricFlips(0.2, 0.2), 1),
    (AsymmetricFlips(0, 0), 1), (AsymmetricFlips([0.1, 0.3, 0.2], [0.2, 0.0, 0.0]), 0.5),
    (Compose([StuckAt(0.1, 0), AsymmetricFlips(0.3, 0.1)], axis=1), 2 / 3),
    (Protected(AsymmetricFlips(0.1, 0.7), "secded(8,4)"), 4 / 7), (AsymmetricFlips(0.1, 0.0, layers=[1]), 0.5)])
def test_variation_is_cut_where_its_fault_can_be_no_worse(fault, greatest):
    """p01 over 1 ended sweeps in the middle."""
    assert greatest_rate(fault) == pytest.approx(greatest, rel=1e-15) and fault.at(greatest_rate(fault))
    varied = ArrayVariation(fault, MAP, 0.4, 1.5)
    rates = varied.rates(NETWORKS["dense"], 1)
    assert rates.max() == greatest_rate(fault) and rates.min() < 0.4
    if greatest < 1:
        for made in (lambda: varied.at(greatest + 0.01), lambda: ByArray(fault, MAP, [0.1, greatest + 0.01]),
                     lambda: ByArray(fault, MAP, [0.1, 0.2]).at(greatest + 0.01)):
            with pytest.raises(ValueError, match="must be a probability"):
                made()


def test_varied_asymmetric_flips_break_a_network():
    """An array asked for p01 = 1.2."""
    for trial in range(10):
        fault = ArrayVariation(AsymmetricFlips(0.3, 0.1), MAP, 0.4, 1.5)
        assert wrong_bits(NETWORKS["dense"], fault.apply(NETWORKS["dense"], 1, trial)) > 0


def test_a_rate_that_a_fault_cannot_have_is_refused_before_the_work(monkeypatch):
    split = Split(np.zeros((3, *NETWORKS["dense"].input_shape), np.uint8), np.zeros(3, np.uint8), "zeros")
    monkeypatch.setattr(sweeps, "run", lambda *_: pytest.fail("the work has begun"))
    with pytest.raises(ValueError, match="p01 at rate 0.7 must be a probability"):
        sweeps.sweep(NETWORKS["dense"], split, [0.1, 0.7], 1, 0, faults=AsymmetricFlips(0.3, 0.1), progress=False)


DIRTY = Compose([BitFlips(0), StuckAt(0.4, 0.4)])


@pytest.mark.parametrize("make", [lambda fault, n: ByArray(fault, MAP, [0.0] * n),
                                  lambda fault, n: ArrayVariation(fault, MAP, 0.0, 0.5)])
def test_arrays_at_rate_zero_have_the_errors_that_their_fault_has_there(make):
    """They were taken to have none."""
    fault = make(DIRTY, MAP.n_arrays(NETWORKS["dense"]))
    share = wrong_bits(NETWORKS["dense"], fault.apply(NETWORKS["dense"], 1)) / NETWORKS["dense"].n_bits
    assert 0.3 < share < 0.5
    assert make(BitFlips(0), MAP.n_arrays(NETWORKS["dense"])).apply(NETWORKS["dense"], 1) is NETWORKS["dense"]


def test_variation_along_an_axis_of_no_probabilities_is_not_cut_at_one():
    cell = Cell2T2R(LogNormal(5e3, 0.8), LogNormal(5e4, 1.0))
    fault = ArrayVariation(cell.programmed(), MAP, 2.0, 0.3)
    factors = np.concatenate([fault.rates(NETWORKS["dense"], 1, trial) for trial in range(200)])
    assert factors.max() > 2.5 and abs(np.log(factors).mean() - np.log(2)) < 0.05
    assert ArrayVariation(BitFlips(0), MAP, 0.5, 3.0).rates(NETWORKS["dense"], 1).max() == 1
    with pytest.raises(ValueError, match="p must be a probability"):
        ArrayVariation(BitFlips(0), MAP, 2.0, 0.3)
    own = ByArray(cell.programmed(), MAP, [1.5] * MAP.n_arrays(NETWORKS["dense"]))
    assert own.apply(NETWORKS["dense"], 1) is not NETWORKS["dense"]
