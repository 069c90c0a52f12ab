"""Faults of the digital parts of a graph: which bits flip, how scores that are no numbers count, what refuses them."""

from dataclasses import replace

import numpy as np
import pytest
import small_graphs

import bnnsim
from bnnsim.faults import BitFlips, Compose, EachRead, FaultMap, Protected, RealBits, parse_fault
from bnnsim.packed.operations import Affine, Operation


def numbers(graph):
    """All float32 words by (node, array)."""
    return {(i, name): getattr(node.what, name).view(np.uint32) for i, node in enumerate(graph.nodes)
            if isinstance(node.what, Operation) for name in node.what.arrays}


def flipped(graph, fault, *args):
    clean, broken = numbers(graph), numbers(fault.apply(graph, *args))
    return {key: clean[key] ^ broken[key] for key in clean}


def n_flips(masks):
    return sum(int(np.bitwise_count(mask).sum()) for mask in masks.values())


def test_bits_flip_at_the_rate_and_less_at_a_lower_one():
    graph = small_graphs.packed()
    n = 32 * sum(operation.n_parameters for operation in graph.operations)
    some, more = (flipped(graph, RealBits(p), 3, 1) for p in (0.05, 0.3))
    assert abs(n_flips(more) - 0.3 * n) < 5 * np.sqrt(n * 0.3 * 0.7)
    assert all(not np.any(some[key] & ~more[key]) for key in some) and n_flips(some) > 0
    assert n_flips(flipped(graph, RealBits(1.0), 3)) == n and RealBits(0.0).apply(graph, 3) is graph
    per_bit = sum((mask.reshape(-1, 1) >> np.arange(32, dtype=np.uint32) & 1).sum(0) for mask in more.values())
    assert per_bit.min() > 0                                            # sign, exponent and fraction
    again, other = flipped(graph, RealBits(0.3), 3, 1), flipped(graph, RealBits(0.3), 3, 2)
    assert all(np.array_equal(again[key], more[key]) for key in more)
    assert any(not np.array_equal(other[key], more[key]) for key in more)


def test_numbers_of_each_node_and_array_have_draws_of_their_own():
    """Where two have as many numbers, not the same bits of both flip."""
    masks = [mask.reshape(-1) for mask in flipped(small_graphs.packed(), RealBits(0.3), 3).values()]
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            n = min(mask.size, other.size)
            assert n < 4 or not np.array_equal(mask[:n], other[:n])


def test_the_memory_and_the_graph_stay_as_they_are():
    graph = small_graphs.packed()
    before = graph.checksum
    broken = RealBits(0.2).apply(graph, 0)
    assert all(a is b for a, b in zip(graph.layers, broken.layers)) and bnnsim.PackedGraph is type(broken)
    assert bnnsim.pack(small_graphs.model()).checksum == before == graph.checksum != broken.checksum
    test = small_graphs.images().images
    assert not np.array_equal(broken.scores(test), graph.scores(test))


@pytest.mark.parametrize("fault, wanted", [
    (RealBits(0.5, ("real-conv",), ("weight",)), {(10, "weight")}),
    (RealBits(0.5, (17,)), {(17, "weight"), (17, "bias")}),
    (RealBits(0.5, ("affine", 12), ("scale", "threshold")),
     {(1, "scale"), (6, "scale"), (14, "scale"), (12, "threshold")})])
def test_only_what_is_asked_for_is_hit(fault, wanted):
    masks = flipped(small_graphs.packed(), fault, 0)
    assert {key for key, mask in masks.items() if mask.any()} == wanted


def test_a_score_that_is_no_number_is_the_lowest_and_is_counted():
    graph, images = small_graphs.packed(), small_graphs.images().images
    dense = graph.nodes[17].what
    bias = np.array(dense.bias)
    bias[[2, 5]] = np.nan, np.inf
    broken = graph.with_operations({17: type(dense)(dense.weight, bias)})
    scores = broken.scores(images)
    assert broken.n_nonfinite(images) == 2 * len(images) and graph.n_nonfinite(images) == 0
    assert np.isneginf(scores[:, [2, 5]]).all() and not np.isin(broken.predict(images), [2, 5]).any()


def test_it_composes_and_is_swept():
    graph, test = small_graphs.packed(), small_graphs.images()
    both = Compose([BitFlips(0.1), RealBits(0.01)])
    broken = both.apply(graph, 7, 2)
    flips = BitFlips(0.1).apply(graph, 7, 2)
    assert all(np.array_equal(a.words, b.words) for a, b in zip(broken.layers, flips.layers))
    assert n_flips({key: numbers(graph)[key] ^ words for key, words in numbers(broken).items()}) > 0
    result = bnnsim.sweep(graph, test, [0, 0.01, 0.2], 2, 0, faults={"reals": RealBits(0.1)}, progress=False)
    wanted = [np.mean(RealBits(0.2).apply(graph, 0, trial).predict(test.images) == test.labels) for trial in range(2)]
    np.testing.assert_allclose(result.accuracy[0, 2], wanted)
    assert result.axis == "bit_error_rate_of_real_numbers"
    compared = bnnsim.sweep(graph, test, [0.1], 2, 0, faults={"both": both}, progress=False).accuracy[0, -1]
    wanted = [np.mean(both.apply(graph, 0, trial).predict(test.images) == test.labels) for trial in range(2)]
    np.testing.assert_allclose(compared, wanted)
    assert isinstance(EachRead(RealBits(0.1)).apply(graph, 0), bnnsim.PackedGraph)


def test_networks_without_real_numbers_and_codes_of_the_memory_refuse_it():
    chain = bnnsim.pack(bnnsim.architectures.build("FC8 FC10", (1, 28, 28), rng=0))
    for broken in (lambda: RealBits(0.1).apply(chain), lambda: Protected(RealBits(0.1)).apply(small_graphs.packed()),
                   lambda: FaultMap.record(RealBits(0.1), small_graphs.packed())):
        with pytest.raises(TypeError, match="RealBits breaks float32 numbers of operations, which only a PackedGraph"):
            broken()


def replaced(i, operation):
    return small_graphs.packed().with_operations({i: operation})


@pytest.mark.parametrize("make, error, part", [
    (lambda: RealBits(1.2), ValueError, "p must be a probability"),
    (lambda: RealBits(0.1, ("conv",)), ValueError, "operations\\[0\\] must be one of"),
    (lambda: RealBits(0.1, "affine"), TypeError, "operations must be a list or tuple"),
    (lambda: RealBits(0.1, (-1,)), ValueError, "operations\\[0\\] must be"),
    (lambda: RealBits(0.1, None, ("words",)), ValueError, "arrays\\[0\\] must be one of"),
    (lambda: RealBits(0.1, (4,)).apply(small_graphs.packed()), ValueError, "by number or by word, got 4"),
    (lambda: RealBits(0.1, ("max-pool", "prelu", "pixels")).apply(small_graphs.packed()), ValueError, "got 'pixels'"),
    (lambda: replaced(1, small_graphs.packed().nodes[2].what), ValueError, "the kind and the sizes of nodes\\[1\\]"),
    (lambda: replaced(1, Affine(np.ones(2), np.ones(2))), ValueError, "the kind and the sizes of nodes\\[1\\]"),
    (lambda: replaced(10, replace(small_graphs.packed().nodes[10].what, padding=(1, 1, 0, 0))), ValueError,
     "the kind and the sizes of nodes\\[10\\]")])
def test_bad_input(make, error, part):
    with pytest.raises(error, match=part):
        make()


def test_it_is_written_as_text():
    fault = RealBits(0.25, ("real-conv", 3), ("weight",))
    assert parse_fault(repr(fault)) == fault
