"""How large a graph is: counted by hand from its layers, in its table, and by `python -m bnnsim.summary`."""

import json

import small_graphs

import bnnsim
import bnnsim.summary as summary
from bnnsim.faults import ArrayMapping


def test_each_node_is_counted():
    graph = small_graphs.packed()
    *sizes, total = graph.sizes()
    assert [each.layer for each in sizes if each.layer is not None] == [0, 1, 2, 3] and len(sizes) == len(graph.nodes)
    assert [each.node for each in sizes] == list(range(len(sizes)))
    by_layer = {each.layer: each for each in sizes}
    stem, hidden = by_layer[0], by_layer[1]
    assert (stem.binary, stem.other, stem.integer_macs, stem.binary_macs) == (36, 0, 36 * 14 * 14, 0)
    assert (hidden.binary, hidden.other, hidden.n_bytes) == (144, 8, 144 / 8 + 4 * (4 + 1 / 8))
    assert hidden.binary_macs == 144 * 14 * 14 and hidden.reads == (hidden.node - 1,)
    dense, conv = sizes[-1], next(each for each in sizes if each.name == "real-conv")
    assert (dense.name, dense.real, dense.real_macs, dense.n_bytes) == ("real-dense", 90, 80, 360)
    assert (conv.real, conv.real_macs, conv.binary, conv.arrays) == (72, 64 * 49, 0, 0)
    assert total.binary == graph.n_bits == 36 + 144 + 144 + 576
    assert total.real == sum(operation.n_parameters for operation in graph.operations)
    assert total.real_macs == 80 + 64 * 49 and total.macs == total.real_macs + total.binary_macs + stem.integer_macs
    assert total.n_parameters == total.binary + total.real + 8
    assert total.arrays == 5 and total.used == graph.n_bits / (5 * 64 * 64)


def test_scores_of_bits_are_counted():
    size = small_graphs.packed("bits").sizes()[-2]
    assert (size.name, size.binary, size.other, size.n_bytes) == ("dense", 3920, 30, 490 + 240)


def test_the_table_says_what_each_node_reads():
    lines = small_graphs.packed().summary(ArrayMapping(32, 64)).splitlines()
    assert "32 x 64 arrays" in lines[0] and lines[0].split()[:4] == ["node", "layer", "reads", "output"]
    assert lines[1].split()[:8] == ["0", "conv", "0", "images", "14", "x", "14", "x"]
    assert lines[5].split()[:4] == ["4", "conv", "1", "3"]
    add = next(line for line in lines if " add " in line)
    assert add.split()[2:] == ["10,", "14", "7", "x", "7", "x", "8"]               # nothing to count
    assert lines[-1].startswith("total") and len(lines) == len(small_graphs.packed().nodes) + 2


def test_summary_of_the_model_and_for_notebooks():
    model, graph = small_graphs.model(), small_graphs.packed()
    assert model.summary().startswith(graph.summary() + "\ntrained: 900 latent weights, ")
    assert "real-dense" in graph._repr_html_()
    assert "<th style=\"text-align:left\">reads</th>" in model._repr_html_()
    assert "reads" not in bnnsim.architectures.build("FC8 FC10", (1, 2, 2), rng=0)._repr_html_()


def test_the_command(tmp_path, capsys):
    graph = small_graphs.packed()
    graph.save(tmp_path / "g.h5")
    assert summary.main([str(tmp_path / "g.h5")]) == 0
    said, total = capsys.readouterr().out, graph.sizes()[-1]
    assert graph.summary() in said and f"operations: {total.macs:,} MACs an image" in said
    assert summary.main([str(tmp_path / "g.h5"), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert len(found["nodes"]) == len(graph.nodes) and "layers" not in found
    assert found["nodes"][4]["reads"] == [3] and found["total"]["real_macs"] == total.real_macs
    assert found["total"]["float32_bytes"] == 4 * total.n_parameters
