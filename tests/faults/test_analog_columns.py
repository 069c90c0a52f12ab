"""Analog columns: the ideal limit is the digital sum; cell by cell; wires against a circuit; seeds, threads, costs."""

import math

import naive
import naive_columns
import naive_flips
import naive_read_errors as streams
import numpy as np
import pytest
import small_graphs
from fault_parts import network_of

import bnnsim
from bnnsim.faults import AnalogColumns, BitFlips, Compose, PopcountErrors

CHAINS = {"dense": ("FC70 FC9 FC5", (1, 4, 4)), "conv": ("C20 MP2 C9k3x3p1 FC20 FC3", (3, 4, 4)),
          "sum": ("C9 C5p1 SUM", (1, 3, 3)), "plus": ("C8 C9plus FC3", (1, 4, 4))}


def images_of(network, n=70, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, *network.input_shape), np.uint8)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("options", [{}, {"rows": 5, "bits": 3}, {"rows": 100, "bits": 16, "off": 0.3},
                                     {"rows": 1, "bits": 1}], ids=str)
def test_the_ideal_limit_is_the_digital_sum(name, options):
    """Exactly, at any size of sub-arrays, padded with zeros or not, with a current of the cells that are off."""
    network = network_of(*CHAINS[name])
    analog = AnalogColumns(**options).apply(network, 1)
    np.testing.assert_array_equal(analog.scores(images_of(network)), network.scores(images_of(network)))


@pytest.mark.parametrize("options", [{"bits": 2}, {"rows": 64, "bits": 6}, {"span": 0.5}, {"spread": 0.3},
                                     {"noise": 0.6}, {"offset": 0.6}], ids=str)
def test_what_is_not_ideal_is_not_the_digital_sum(options):
    network = network_of("FC200 FC200 FC5", (1, 4, 4))
    analog = AnalogColumns(**options).apply(network, 1)
    assert not np.array_equal(analog.scores(images_of(network)), network.scores(images_of(network)))


# ---------------------------------------------------------------- cell by cell

def naive_sums(layer, x, fault, root, index):
    """Pre-activations of a dense layer, each column a list of cells."""
    weight = layer["weight"].T                                   # (F, U)
    q = round(1024 * fault.off / (1 - fault.off)) / 1024
    on, off = naive_columns.cells(streams.key_of(root, "cells", index), *weight.shape, 1 + q, q, fault.spread)
    rng = np.random.Generator(np.random.Philox(key=np.array(streams.key_of(root, "offsets", index), np.uint64)))
    h = np.zeros((len(x), weight.shape[1]), int)
    for first in range(0, len(weight), fault.rows):
        rows = slice(first, first + fault.rows)
        offsets = fault.offset * rng.standard_normal(weight.shape[1])
        for n, u in np.ndindex(h.shape):
            g = naive_columns.selected(x[n, rows], weight[rows, u], on[rows, u], off[rows, u])
            size = len(g)
            count = naive_columns.even(g, fault.wire) - q * size
            if fault.wire:
                low, high = (naive_columns.even([each] * size, fault.wire) for each in (q, 1 + q))
                count = (naive_columns.even(g, fault.wire) - low) / (high - low) * size
            h[n, u] += 2 * naive_columns.convert(count + offsets[u], size, fault.rows, fault.bits, fault.span) - size
    return h


@pytest.mark.parametrize("options", [
    {"rows": 7, "bits": 3, "spread": 0.2}, {"rows": 10, "bits": 2, "off": 0.1, "offset": 0.4},
    {"rows": 16, "bits": 4, "span": 0.6, "spread": 0.1, "off": 0.2}, {"rows": 12, "bits": 8, "wire": 2e-3},
    {"rows": 20, "bits": 2, "span": 0.3}, {"rows": 20, "bits": 1, "span": 0.5, "spread": 0.2},
    {"rows": 16, "bits": 5, "wire": 1e-3, "spread": 0.3, "off": 0.1, "offset": 0.2}], ids=str)
def test_columns_are_summed_up_cell_by_cell(options):
    network = network_of("FC20 FC20 FC5", (1, 4, 4))
    fault, images = AnalogColumns(**options), images_of(network, 12)
    high, low = streams.key_of(4, "analog cells", 2)
    layers = naive_flips.of_packed(network)
    x = naive.pixels(images, network.input_offset).reshape(12, -1)
    for i, layer in enumerate(layers):
        h = naive.dense(x, layer["weight"]) if i == 0 else naive_sums(layer, x, fault, high << 64 | low, i)
        if layer["threshold"] is not None:
            x = naive.threshold_bits(h, layer["threshold"], layer["inverted"])
    ref = (h - layer["mean"]) * layer["scale"] + layer["shift"]
    np.testing.assert_array_equal(fault.apply(network, 4, 2).scores(images), ref)


# ---------------------------------------------------------------- wires, against a circuit

def columns(rng, n=40, size=16, spread=0.1, q=0.1):
    """Conductances of random columns."""
    state = rng.random((n, size)) < rng.random((n, 1))
    return (state + q) * (1 + spread * rng.standard_normal((n, size)))


def test_the_first_order_is_the_circuit_s():
    """What is left falls with the square of the resistance; with a wrong order of cells it falls with it alone."""
    found = columns(np.random.default_rng(0))
    left, wrong = [], []
    for wire in (1e-3, 1e-4):
        exact = np.array([naive_columns.exact_current(g, wire) for g in found])
        left.append(np.abs(exact - [naive_columns.first_order(g, wire) for g in found]).max())
        wrong.append(np.abs(exact - [naive_columns.first_order(g[::-1], wire) for g in found]).max())
    assert left[1] < left[0] / 60 and wrong[1] > wrong[0] / 20


@pytest.mark.parametrize(("wire", "most"), [(1e-4, 0.02), (1e-3, 0.25)])
def test_even_currents_are_near_the_circuit(wire, most):
    """In counts, of 16 cells in a column: what is left of the loss, which is ten times as large."""
    found = columns(np.random.default_rng(1))
    exact = np.array([naive_columns.exact_current(g, wire) for g in found])
    model = np.array([naive_columns.even(g, wire) for g in found])
    loss = found.sum(axis=1) - exact
    assert np.abs(model - exact).max() < most and loss.max() > 10 * np.abs(model - exact).mean()


def test_cells_that_a_padding_selects_not_carry_nothing():
    """At the border of a map: a column of which a third of the cells are there, told cell by cell and by a circuit."""
    network, wire = network_of("C6 C9p1 FC3", (1, 4, 4)), 1e-3
    fault, stage = AnalogColumns(rows=18, bits=16, off=0.1, wire=wire), network.stages[1]
    chip = fault.chip(1, 0)
    chip.lay_out(stage, 1.0)
    x = network.run(0, images_of(network, 20), 1)
    patches, kind = stage.patches(x).reshape(-1, 54), np.tile(stage.border[0], 20)
    signs, q = stage.signs_by_summand, round(1024 * 0.1 / 0.9) / 1024
    for columns in chip.kept[1][1]:
        part = patches[:, columns.rows]
        found = chip.current(columns, part.astype(np.float32), kind)
        few = np.flatnonzero(columns.n[kind] <= 12)[:60]
        cells = [naive_columns.selected(part[m], signs[columns.rows, 0], np.full(18, 1 + q), np.full(18, q))
                 for m in few]
        np.testing.assert_allclose(found[few, 0], [naive_columns.even(g, wire) for g in cells], rtol=1e-12)
        loss = np.array([math.fsum(g) - naive_columns.exact_current(g, wire) for g in cells])
        told = np.array([math.fsum(g) for g in cells]) - found[few, 0]
        assert abs(told.mean() / loss.mean() - 1) < 0.25, "1.5 of it, or more, if all 18 carried that mean"


def test_a_line_without_resistance_sums_up():
    g = columns(np.random.default_rng(2), 1)[0]
    assert naive_columns.exact_current(g, 0) == pytest.approx(naive_columns.exact_current(g, 1e-9), rel=1e-6)
    assert naive_columns.first_order([1.0], 0.1) == pytest.approx(0.9)            # one cell behind one resistance
    assert naive_columns.exact_current([1.0], 0.1) == pytest.approx(1 / 1.1)


# ---------------------------------------------------------------- as a fault

def test_a_chip_keeps_its_cells_and_draws_noise_at_each_read():
    network = network_of("FC200 FC200 FC5", (1, 4, 4))
    images = images_of(network, 200)

    def scores(fault, *args, **kwargs):
        return fault.apply(network, *args, **kwargs).scores(images)

    kept, noisy = AnalogColumns(spread=0.2, offset=0.5), AnalogColumns(noise=0.5)
    with bnnsim.threads(1):
        one, other = scores(kept, 1), scores(noisy, 1)
    with bnnsim.threads(3):
        np.testing.assert_array_equal(scores(kept, 1, read=5), one)
        np.testing.assert_array_equal(scores(noisy, 1), other)
    assert not np.array_equal(scores(noisy, 1, read=1), other)
    assert not np.array_equal(scores(kept, 1, 1), one) and not np.array_equal(scores(kept, 2), one)


def test_stored_bits_may_break_too_and_the_same_columns_read_them():
    network = network_of(*CHAINS["dense"])
    images = images_of(network)
    ideal, flips = AnalogColumns(), BitFlips(0.2).apply(network, 3)
    for both in (Compose([BitFlips(0.2), ideal]), ):
        np.testing.assert_array_equal(both.apply(network, 3).scores(images), flips.scores(images))
    after = BitFlips(0.2).apply(ideal.apply(network, 3), 3)
    after.scores(images)
    np.testing.assert_array_equal(after.scores(images), flips.scores(images))
    with_counts = PopcountErrors(0.3).apply(ideal.apply(network, 3), 3)
    np.testing.assert_array_equal(with_counts.scores(images), PopcountErrors(0.3).apply(network, 3).scores(images))


def test_a_sweep_moves_the_spread_and_is_not_clean_at_none():
    network, test = network_of("FC64 FC64 FC10", (1, 28, 28)), bnnsim.load_embedded()[1][:100]
    result = bnnsim.sweep(network, test, [0, 0.5], 2, 1, faults=AnalogColumns(bits=3), progress=False)
    assert result.axis == "cell_spread_as_share_of_conductance"
    for trial in range(2):
        for r, spread in enumerate((0, 0.5)):
            assert result.accuracy[0, r, trial] == AnalogColumns(bits=3, spread=spread).apply(
                network, 1, trial).accuracy(test)


def test_spreads_of_layers_are_moved_in_their_proportion(tmp_path):
    """And a file of other proportions is another campaign's."""
    network, test = network_of("FC64 FC64 FC10", (1, 28, 28)), bnnsim.load_embedded()[1][:50]
    one, other = AnalogColumns(spread=(0, 1, 0)), AnalogColumns(spread=(0, 0, 1))
    asked = {"trials": 2, "rng": 1, "progress": False, "out": tmp_path / "s.h5"}
    result = bnnsim.sweep(network, test, [0.6], faults=one, **asked)
    assert result.accuracy[0, 0, 1] == AnalogColumns(spread=(0, 0.6, 0)).apply(network, 1, 1).accuracy(test)
    with pytest.raises(ValueError, match="another campaign: series .* fault is"):
        bnnsim.sweep(network, test, [0.6], faults=other, resume=True, **asked)


@pytest.mark.parametrize("layers", [(1,), (2,), (1, 3)])
def test_some_layers_are_analog_and_the_others_digital(layers):
    """As a chip whose other layers have no spread."""
    network = network_of(*CHAINS["conv"])
    some = AnalogColumns(rows=100, bits=7, spread=0.6, layers=layers)
    each = AnalogColumns(rows=100, bits=7, spread=tuple(0.6 if i in layers else 0.0 for i in range(4)))
    found = some.apply(network, 2).scores(images_of(network))
    np.testing.assert_array_equal(found, each.apply(network, 2).scores(images_of(network)))
    assert not np.array_equal(found, network.scores(images_of(network)))


def test_what_is_read_is_counted():
    network = network_of("C8 MP2 C16p1 FC20 FC3", (1, 8, 8))
    found = AnalogColumns(rows=32, bits=5).reading(network)
    conv, dense, last = network.layers[1:]
    assert found.cells == conv.n_bits + dense.n_bits + last.n_bits
    assert found.conversions == 16 * 16 * 3 + 20 * -(-dense.n_in // 32) + 3
    assert found.comparisons == 5 * found.conversions
    assert found.digital_comparisons == 16 * conv.n_bits + dense.n_bits + last.n_bits
    by_column = found.conversions * (5 * 2.0 + 32 * 0.25)
    assert found.joule(2.0, 0.25, 1.0) == by_column + found.digital_comparisons
    assert [found.sensing_joule(2.0, 1.0, devices) for devices in (1, 2)] == [3 * found.digital_comparisons,
                                                                              4 * found.digital_comparisons]
    assert AnalogColumns(layers=()).reading(network).joule(2.0, 0.25, 1.0) == 0


def test_offsets_and_noise_are_counts():
    """Of a column of an even current: what is converted is off by the offset, and spreads as the noise."""
    fault = AnalogColumns(rows=100, bits=16, noise=3.0)
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": np.ones((100, 1), int), "threshold": np.full(100, -1)},
         {"weight": np.ones((1, 100), int)}], (1, 1, 1))
    images = np.zeros((5000, 1, 1, 1), np.uint8)
    network = network.with_words({1: np.array([[2**50 - 1, 0]], np.uint64)})
    scores = fault.apply(network, 1).scores(images)[:, 0]
    assert abs(scores.std() / 2 - np.sqrt(9 + 1 / 12)) < 0.15 and abs(scores.mean() - network.scores(images[:1])) < 0.5


DENSE = network_of(*CHAINS["dense"])
GROUPS = network_of("C8 C8g2 FC3", (1, 4, 4))
BAD = [
    (lambda: AnalogColumns(rows=0), ValueError, r"rows must be in \[1, 2048\], got 0"),
    (lambda: AnalogColumns(bits=17), ValueError, r"bits must be in \[1, 16\]"),
    (lambda: AnalogColumns(span=0), ValueError, "span must be > 0"),
    (lambda: AnalogColumns(off=0.7), ValueError, "off must be <= 0.5"),
    (lambda: AnalogColumns(noise=-1), ValueError, "noise must be >= 0"),
    (lambda: AnalogColumns(spread="wide"), TypeError, "spread must be a probability"),
    (lambda: AnalogColumns(rows=256, wire=1e-3), ValueError, "wire must be so small that a column of 256 cells"),
    (lambda: AnalogColumns(layers=(0,)).apply(DENSE), ValueError, "can sum up, but layer 0 reads pixels"),
    (lambda: AnalogColumns(layers=(1,)).apply(GROUPS), ValueError, "layer 1 has groups, which no column has"),
    (lambda: AnalogColumns(spread=(0.1, 0.2)).apply(DENSE), ValueError, "spread must be one probability or 3"),
    (lambda: AnalogColumns().apply(small_graphs.packed()), TypeError, "layers in a row, got a PackedGraph"),
    (lambda: AnalogColumns().reading(small_graphs.packed()), TypeError, "layers in a row, got a PackedGraph"),
    (lambda: AnalogColumns().reading(network_of(*CHAINS["dense"])).joule(1.0, -1.0, 1.0), ValueError,
     "capacitor must be >= 0, got -1"),
    (lambda: AnalogColumns().reading(network_of(*CHAINS["dense"])).sensing_joule(1.0, float("nan")), ValueError,
     "device must be "),
    (lambda: AnalogColumns().reading(None), TypeError, "network must be a PackedNetwork"),
    (lambda: Compose([AnalogColumns(), AnalogColumns(bits=3)]).apply(DENSE), ValueError, "in one way, got two"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
