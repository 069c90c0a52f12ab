"""Errors in thresholds and in the output's batch norm: words bit by bit, codes, rates; and which networks refuse."""

import naive_codes
import naive_read_errors as naive
import numpy as np
import pytest
import small_graphs
from fault_parts import conv_network, network_of, same, within_5_sigma

import bnnsim
from bnnsim.faults import BitFlips, Compose, EachRead, InOutput, InThresholds, Protected, RealBits, StuckAt
from bnnsim.packed.memory import Memory, StoredBits
from bnnsim.seeding import child_root

RNG = np.random.default_rng(8)
NETWORK = network_of("FC100 FC70 FC10", (1, 10, 10)).with_arrays({
    0: {"threshold": RNG.integers(-3000, 3000, 100).astype(np.int32), "inverted": RNG.random(100) < 0.3},
    2: {"mean": RNG.normal(0, 20, 10), "scale": RNG.random(10), "shift": RNG.normal(0, 1, 10)}})


class Recorded:
    """A fault that keeps what it is given, and flips nothing or some bits."""

    when = "write"

    def __init__(self, flips=()):
        self.flips = flips

    def apply(self, memory, rng=None, trial=0):
        self.memory, self.rng, self.trial = memory, rng, trial
        words = {}
        for layer, unit, bit in self.flips:
            words.setdefault(layer, memory.layers[layer].words.copy())
            words[layer][unit, bit // 64] ^= np.uint64(1 << bit % 64)
        return memory.with_words(words)


def test_thresholds_are_words_of_twos_complement_and_a_bit():
    cells = Recorded()
    assert InThresholds(cells).apply(NETWORK, 7, 3) is NETWORK
    assert cells.rng == child_root(7, "thresholds") and cells.trial == 3 and len(cells.memory.layers) == 2
    for stage, stored in zip(NETWORK.stages, cells.memory.layers):
        rows = naive_codes.bits_of(stored.words, stored.n_in)
        assert stored.units == stage.layer.units and stored.n_in == (stage.bound + 1).bit_length() + 2
        assert [naive.two_complement(row[:-1]) for row in rows] == stage.layer.threshold.tolist()
        assert rows[:, -1].tolist() == stage.layer.inverted.tolist()
        sign_and_size = [(1 - 2 * int(row[-2])) * (int(naive.two_complement([*row[:-2], 0]))) for row in rows]
        assert min(stage.layer.threshold) >= 0 or sign_and_size != stage.layer.threshold.tolist()      # a wrong model
    assert any(layer.threshold.min() < 0 for layer in NETWORK.layers[:-1])


def test_a_wrong_bit_is_worth_its_place():
    layer = NETWORK.layers[1]
    flips = [(1, 5, 0), (1, 6, 3), (1, 7, InThresholds(Recorded())._width_of(NETWORK.stages[1]))]
    broken = InThresholds(Recorded(flips)).apply(NETWORK).layers[1]
    moved = broken.threshold - layer.threshold
    assert abs(moved[5]) == 1 and abs(moved[6]) == 8 and not np.delete(moved, [5, 6]).any()
    assert np.flatnonzero(broken.inverted != layer.inverted).tolist() == [7]
    assert NETWORK.layers[0] is InThresholds(Recorded(flips)).apply(NETWORK).layers[0]


def test_output_numbers_are_fixed_point_words():
    layer, width = NETWORK.layers[-1], 12
    cells = Recorded()
    assert InOutput(cells, width).apply(NETWORK, 7) is NETWORK
    stored, = cells.memory.layers
    rows = naive_codes.bits_of(stored.words, stored.n_in)
    assert stored.n_in == 36 and cells.rng == child_root(7, "output_numbers")
    for k, name in enumerate(("mean", "scale", "shift")):
        value = getattr(layer, name)
        held = np.array([naive.two_complement(row[width * k:width * (k + 1)]) for row in rows])
        step = [2.0**e for e in range(-60, 60) if np.abs(value).max() <= 2.0**e * (2 ** (width - 1) - 1)][0]
        assert np.all(np.abs(held * step - value) <= step / 2)
        one = InOutput(Recorded([(0, 4, width * k + 5)]), width).apply(NETWORK).layers[-1]
        off = getattr(one, name) - value
        assert abs(off[4]) == pytest.approx(32 * step) and not np.delete(off, 4).any()
        assert all(np.array_equal(getattr(one, other), getattr(layer, other))
                   for other in ("mean", "scale", "shift") if other != name)


@pytest.mark.parametrize("most", [1.0, 0.75, 4.0, 2.0**-9])
def test_the_largest_number_keeps_its_sign_bit_free(most):
    """A power of two is one more than b - 1 bits hold: its word was that of the most negative number."""
    network = NETWORK.with_arrays({2: {"scale": np.linspace(most / 9, most, 10)}})
    step = next(2.0**n for n in range(-40, 40) if most / 2.0**n <= 2**7 - 1)
    turned = InOutput(Recorded([(0, 9, 8 + 7)]), 8).apply(network).layers[-1]       # the sign of the largest scale
    assert turned.scale[9] == most - 2**7 * step and same_but(turned.scale, network.layers[-1].scale, 9)


def same_but(one, other, at):
    return np.array_equal(np.delete(one, at), np.delete(other, at))


@pytest.mark.parametrize("kind", [InThresholds, InOutput])
def test_no_error_is_no_change_and_a_rate_is_that_of_the_words(kind):
    assert kind(BitFlips(0)).apply(NETWORK) is NETWORK and kind(BitFlips(0.1)).at(0.3) == kind(BitFlips(0.3))
    fault, cells = kind(BitFlips(0.2)), Recorded()
    kind(cells).apply(NETWORK, 5)
    before = cells.memory
    after = BitFlips(0.2).apply(before, child_root(5, kind.WHAT), 0)
    n_wrong = sum(int(np.bitwise_count(a.words ^ b.words).sum()) for a, b in zip(before.layers, after.layers))
    assert before.n_bits == fault.n_bits(NETWORK) and within_5_sigma(n_wrong, before.n_bits, 0.2)
    if kind is InThresholds:
        for stored, layer in zip(after.layers, fault.apply(NETWORK, 5).layers):
            rows = naive_codes.bits_of(stored.words, stored.n_in)
            assert [naive.two_complement(row[:-1]) for row in rows] == layer.threshold.tolist()
    assert same(fault.apply(NETWORK, 5), NETWORK), "weights stay"


def test_all_bits_wrong_is_the_complement():
    broken = InThresholds(BitFlips(1.0)).apply(NETWORK)
    for old, new in zip(NETWORK.layers[:-1], broken.layers):
        assert np.array_equal(new.threshold, -1 - old.threshold) and np.array_equal(new.inverted, ~old.inverted)


def test_a_code_corrects_words_and_is_counted_by_its_own():
    bare, coded = InThresholds(BitFlips(0.01)), InThresholds(Protected(BitFlips(0.01), "secded(8,4)"))
    off = [sum(int(np.sum(a.threshold != b.threshold))
               for a, b in zip(NETWORK.layers[:-1], fault.apply(NETWORK, 1).layers)) for fault in (bare, coded)]
    assert off[0] > 5 and off[1] < off[0] / 3
    one = [(0, 3, 2)]
    assert InThresholds(Protected(Recorded(one), "secded(8,4)")).apply(NETWORK) is NETWORK


def test_scores_are_those_of_a_network_with_other_numbers():
    """What is laid out for the kernels is laid out anew; convolutions, pooled, too."""
    network = conv_network()
    images = np.random.default_rng(0).integers(0, 256, (30, *network.input_shape), np.uint8)
    broken = Compose([InThresholds(BitFlips(0.1)), InOutput(BitFlips(0.1))]).apply(network, 3)
    anew = bnnsim.PackedNetwork(broken.layers, network.input_shape, network.input_offset)
    np.testing.assert_array_equal(broken.scores(images), anew.scores(images))
    assert not np.array_equal(broken.scores(images), network.scores(images))


@pytest.mark.parametrize("fault", [InThresholds(BitFlips(0)), InOutput(BitFlips(0)), InThresholds(StuckAt(0, 0)),
                                   InThresholds(EachRead(BitFlips(0)))])
def test_a_sweep_is_what_its_chips_give(fault):
    split = bnnsim.load_embedded()[1][:60]
    network = network_of("FC64 FC32 FC10", (1, 28, 28))
    result = bnnsim.sweep(network, split, [0, 0.05], 3, 2, faults=fault, progress=False)
    assert "_of_" in result.axis and np.all(result.ber == 0)
    for trial in range(3):
        assert result.accuracy[0, 1, trial] == fault.at(0.05).apply(network, 2, trial).accuracy(split)


def test_weights_and_thresholds_draw_apart_and_axes_say_which():
    both = Compose([BitFlips(0.1), InThresholds(BitFlips(0.1))])
    assert same(both.apply(NETWORK, 2), BitFlips(0.1).apply(NETWORK, 2))
    assert InThresholds(BitFlips(0)).moves == "bit_error_rate_of_thresholds"
    assert InOutput(StuckAt(0, 0)).moves == "share_of_stuck_cells_of_output_numbers"


def test_graphs_have_thresholds_too():
    graph = small_graphs.packed()
    images = small_graphs.images()
    kinds = [layer.threshold is not None for layer in graph.layers]
    if any(kinds):
        broken = InThresholds(BitFlips(0.3)).apply(graph, 1)
        assert type(broken) is type(graph)
        assert not np.array_equal(broken.scores(images.images), graph.scores(images.images))
        result = bnnsim.sweep(graph, images, [0.3], 2, 1, faults=InThresholds(BitFlips(0)), progress=False)
        assert result.accuracy[0, 0, 1] == InThresholds(BitFlips(0.3)).apply(graph, 1, 1).accuracy(images)


MEMORY = Memory((StoredBits(np.zeros((2, 1), np.uint64), 5),))
BAD = [
    (lambda: InThresholds(0.1), TypeError, "fault must be a fault such as"),
    (lambda: InThresholds(BitFlips(0.1), 0), ValueError, r"width must be in \[1, 32\], got 0"),
    (lambda: InOutput(BitFlips(0.1), 1), ValueError, r"width must be in \[2, 32\], got 1"),
    (lambda: InThresholds(BitFlips(0.1), 3).apply(NETWORK), ValueError, "width must be at least .* of layer 0"),
    (lambda: InThresholds(BitFlips(0.1)).apply(MEMORY), TypeError, "only a PackedNetwork has, got Memory: codes and"),
    (lambda: InThresholds(BitFlips(0.1)).apply(network_of("FC10", (1, 2, 2))), ValueError, "a layer with thresholds"),
    (lambda: InThresholds(BitFlips((0.1, 0.1, 0.1))).apply(NETWORK), ValueError, "one probability or 2"),
    (lambda: Protected(InThresholds(BitFlips(0.1))).apply(NETWORK), TypeError, "codes and spares go inside of it"),
    (lambda: InThresholds(RealBits(0.1)).apply(NETWORK), TypeError, "only a PackedGraph has"),
    (lambda: NETWORK.with_arrays({0: {"mean": np.zeros(100)}}), ValueError, r"layers\[0\] mean is not there"),
    (lambda: NETWORK.with_arrays({0: {"threshold": np.zeros(100)}}), TypeError, r"threshold must have dtype int32"),
    (lambda: NETWORK.with_arrays({2: {"scale": np.full(10, np.nan)}}), ValueError, r"scale must be finite"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
