"""Pictures of graphs: nodes stand apart, edges cross none of them, texts fit their boxes, in small ones and large."""

import numpy as np
import pytest
import slow_cases
import small_graphs
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

import bnnsim
import bnnsim.figures as figures
import bnnsim.plot as plot
from bnnsim import layers
from bnnsim.figures.graph_layout import columns_of, depths_of


@st.composite
def wires(draw):
    """What each node reads, of up to 30: -1 reads nothing."""
    found = {-1: ()}
    for i in range(draw(st.integers(1, 30))):
        found[i] = tuple(draw(st.lists(st.integers(max(-1, i - 8), i - 1), min_size=1, max_size=4)))
    return found


@given(wires(), st.integers(2, 40))
def test_nodes_and_edges_have_their_own_places(reads, most_rows):
    columns, rows = columns_of(reads, most_rows), depths_of(reads)
    drawn = [node for column in columns for node in column.spots if node not in column.ghosts]
    assert sorted(drawn) == sorted(reads)
    wanted = {(at, node) for node, before in reads.items() for at in before}
    assert {(edge.source, edge.target) for column in columns for edge in column.edges} == wanted
    for column in columns:
        assert column.n_rows <= most_rows + 1
        spots = list(column.spots.values())
        assert len(set(spots)) == len(spots)                            # one node a place
        tracks = set()
        for edge in column.edges:
            source, target = column.spots[edge.source], column.spots[edge.target]
            assert source.row < target.row and rows[edge.source] < rows[edge.target]
            between = {(row, edge.lane) for row in range(source.row + 1, target.row)}
            if edge.track is None:
                assert not between & set(spots) and edge.lane in (source.lane, target.lane)
            else:
                used = {(gap, edge.track) for gap in range(source.row + 1, target.row + 1)}
                assert not used & tracks
                tracks |= used


def deep():
    """A graph of 83 nodes."""
    rng, wiring = np.random.default_rng(0), bnnsim.Wiring()
    at = wiring.add(layers.InputConv2d(1, 8, offset=0, generator=rng), layers.BatchNormReal(8))
    for _ in range(13):
        branch = wiring.add(layers.Sign(8), layers.Conv2d(8, 8, generator=rng), layers.BatchNormReal(8),
                            layers.PReLU(8), inputs=at)
        at = wiring.add(layers.Add(), layers.ReLU(), inputs=(branch, at))
    wiring.add(layers.BatchNormReal(8), layers.GlobalAverage(), layers.RealDense(8, 10, generator=rng))
    return bnnsim.pack(bnnsim.Graph(wiring.nodes, (1, 8, 8)))


@pytest.mark.parametrize("made, width", slow_cases.first(4, [
    (small_graphs.packed, None), (small_graphs.packed, "page"), (deep, None), (deep, 20), (deep, "page"),
    (deep, (9, 7)), (small_graphs.packed, (9, 7)), (small_graphs.packed, 20)]))
def test_texts_fit_their_boxes(made, width):
    network = made()
    figure = figures.network_graph(network, width=width)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes, = figure.axes
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts]
    numbers = {text.split()[0] for text, _ in shown}
    assert {str(i) for i in range(len(network.nodes))} <= numbers and len(boxes) >= len(network.nodes) + 2
    for i, (text, box) in enumerate(shown):
        assert any(box.x0 >= around.x0 and box.x1 <= around.x1 and box.y0 >= around.y0 - 1 and box.y1 <= around.y1 + 1
                   for around in boxes), f"{text!r} is not within a box"
        for other, other_box in shown[:i]:
            assert not box.overlaps(other_box), f"{text!r} is over {other!r}"


def test_a_graph_tells_bits_operations_and_what_goes_between():
    figure = figures.network_graph(small_graphs.packed())
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["layer of bits, in the memory", "operation, float32 weights", "operation", "join", "pixels",
                      "bits", "integers", "float32"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"4 conv 3\N{MULTIPLICATION SIGN}3", "layer 1, 144 bits", "8 concatenate",
            "0 conv 3\N{MULTIPLICATION SIGN}3/2", "11 max-pool 2\N{MULTIPLICATION SIGN}2/2"} <= set(texts)
    assert texts.count("14\N{MULTIPLICATION SIGN}14\N{MULTIPLICATION SIGN}8") == 1


def test_a_chain_has_a_picture_too():
    network = bnnsim.pack(bnnsim.architectures.build("C8 MP2 FC10", (1, 8, 8), rng=0))
    texts = [text.get_text() for text in figures.network_graph(network).axes[0].texts]
    assert "layer 0, 72 bits, pool 2\N{MULTIPLICATION SIGN}2" in texts and "1 dense" in texts


@pytest.mark.parametrize("words, kind", [([], "graph"), (["--kind", "weights"], "weights"),
                                         (["--kind", "faults", "--layer", "2", "--rate", "0.1"], "faults")])
def test_the_command(tmp_path, capsys, words, kind):
    small_graphs.packed().save(tmp_path / "g.h5")
    assert plot.main([str(tmp_path / "g.h5"), "--out", str(tmp_path / "g.png"), *words]) == 0
    assert f"{kind} of " in capsys.readouterr().out and (tmp_path / "g.png").stat().st_size > 5000
