"""Margins, T and critical bits of graphs, against sums that are computed node by node; the rest is refused by name."""

import numpy as np
import pytest
import small_graphs

import bnnsim
import bnnsim.explain as explain
from bnnsim import certificates, layers, metrics
from bnnsim.packed import Node, PackedGraph
from bnnsim.packed.graph_thresholds import compared_stages
from bnnsim.packed.operations import Affine, Sign
from bnnsim.packed.words import unpack_signs


def compared(scale, shift, threshold):
    """A graph whose layer of bits, with 3 x 3 taps of 2 channels, is read by an affine and a sign alone."""
    rng, wiring = np.random.default_rng(0), bnnsim.Wiring()
    wiring.add(layers.InputConv2d(1, 2, offset=0, generator=rng), layers.BatchNormSign(2),
               layers.Conv2d(2, 4, generator=rng), layers.BatchNormReal(4), layers.Sign(4), layers.Flatten(4),
               layers.Dense(36, 3, generator=rng), layers.BatchNorm(3))
    graph = bnnsim.pack(bnnsim.Graph(wiring.nodes, (1, 3, 3)))
    nodes = [Node(Affine(scale, shift), node.inputs) if isinstance(node.what, Affine) else
             Node(Sign(threshold), node.inputs) if isinstance(node.what, Sign) else node for node in graph.nodes]
    return PackedGraph(nodes, graph.input_shape, graph.input_offset)


@pytest.mark.parametrize("scale, shift, threshold", [
    ([1, -1, 0.3, -7.1], [0, 0, 1 / 3, 2.5], [0.5, 0.5, -0.1, 0]), ([0, 0, -0.0, 1], [1, -1, 0, 1000], [0, 0, 0, 0]),
    ([np.nan, np.inf, 1e-40, 1e38], [0, 0, 0, 0], [0, 0, 0, 1e38]), ([1, -1, 1, -1], [-18, 18, 18, -18], [0, 0, 0, 0]),
    ([1, -1, 1, -1], [0, 0, 0, 0], [np.inf, -np.inf, -np.inf, np.nan])])
def test_integer_thresholds_are_those_of_affine_and_sign(scale, shift, threshold):
    graph = compared(*(np.array(each, np.float32) for each in (scale, shift, threshold)))
    first, stage = compared_stages(graph)
    assert first is graph.stages[0] and (stage.index, stage.layer.threshold.dtype) == (1, np.int32)
    affine, sign = (next(node.what for node in graph.nodes if isinstance(node.what, kind)) for kind in (Affine, Sign))
    h = np.arange(-18, 19, dtype=np.int32).repeat(4).reshape(-1, 4)
    wanted = unpack_signs(sign.run(affine.run(h)), 4) > 0
    np.testing.assert_array_equal((h >= stage.layer.threshold) ^ stage.layer.inverted, wanted)


def test_margins_and_tolerance_are_those_of_the_sums():
    graph, images = small_graphs.packed("bits"), small_graphs.images().images
    stage, = compared_stages(graph)
    assert stage.index == 1                                             # 0, 2 and 3 go into operations or additions
    known = graph.values({-1: images}, 4)
    h = stage.sums(known[3])
    found, = metrics.margins(graph, images).layers
    assert found.index == 1 and found.counts.sum() == h.size
    kind = stage.border[0]
    distance = np.abs(2 * h - stage.twice_s[kind]) / 2
    assert found.mean == pytest.approx(distance.mean(), rel=1e-12)
    least = metrics.neuron_tolerance.neuron_tolerance(stage, known[3])
    told, = metrics.bit_error_tolerance(graph, images).layers
    assert told.least == least.min() and told.counts.sum() == least.size
    assert "1 conv" in metrics.margins(graph, images).table()


@pytest.mark.parametrize("ending, layer", [("real", 1), ("real", 0), ("bits", 0)])
def test_critical_bits_are_flipped_one_by_one(ending, layer):
    graph, test = small_graphs.packed(ending), small_graphs.images()
    found = metrics.critical_bits(graph, test, layer)
    right = graph.predict(test.images) == test.labels
    assert found.n_right == right.sum()
    for at in [(0, 0, 0, 0), (3, 2, 1, 0), (1, 1, 1, 0)]:
        words = graph.layers[layer].words.copy()
        words[(*at[:-1], 0)] ^= np.uint64(1 << at[-1])
        broken = graph.with_words({layer: words}).predict(test.images) == test.labels
        assert found.effect[at] == broken.sum() - right.sum()


REFUSED = {"importance": lambda graph, test: metrics.importance(graph, test),
           "prediction": lambda graph, test: metrics.predicted_accuracy(graph, test, [0.1]),
           "certificates": lambda graph, test: certificates.certified_flips(graph, test.images)}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_defined_for_layers_in_a_row_refuses_graphs(name):
    with pytest.raises(TypeError, match="got a PackedGraph.*bnnsim.sweep"):
        REFUSED[name](small_graphs.packed("bits"), small_graphs.images())


def test_a_graph_without_a_threshold_of_its_own_has_no_margins():
    rng, wiring = np.random.default_rng(0), bnnsim.Wiring()
    wiring.add(layers.InputConv2d(1, 2, offset=0, generator=rng), layers.BatchNormReal(2), layers.PReLU(2),
               layers.GlobalAverage(), layers.RealDense(2, 10, generator=rng))
    graph = bnnsim.pack(bnnsim.Graph(wiring.nodes, (1, 28, 28)))
    with pytest.raises(ValueError, match="whose sums are compared with thresholds alone, got a graph"):
        metrics.margins(graph, small_graphs.images().images)
    with pytest.raises(ValueError, match="Margins and T are not defined there"):
        metrics.bit_error_tolerance(graph, small_graphs.images().images)


def test_the_command_explain(tmp_path, capsys):
    small_graphs.packed("bits").save(tmp_path / "g.h5")
    assert explain.main([str(tmp_path / "g.h5"), "--what", "margins,tolerance"]) == 0
    assert "1 conv" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        explain.main([str(tmp_path / "g.h5")])
    said = capsys.readouterr().err
    assert "--what importance,prediction: g is a graph" in said and "--what critical, or margins,tolerance" in said
    assert said.count("\n") == 1


def test_figures_of_margins_say_what_their_layers_sum_up():
    """A graph's first panel need not be of a layer that reads pixels."""
    panel, = metrics.margins(small_graphs.packed("bits"), small_graphs.images().images).plot().axes
    assert panel.get_xlabel() == "margin |h - s|, summands of size 1" and panel.get_title().startswith("layer 1, conv")
