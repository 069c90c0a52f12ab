"""Graphs as ONNX and QONNX give the scores that bnnsim gives: by NumPy, and by their own runtimes where they are there.

Sums of float32 have another order there: scores agree to its rounding.
"""

import warnings

import naive_onnx
import numpy as np
import pytest
import small_graphs

import bnnsim
import bnnsim.convert as convert
from bnnsim import layers
from bnnsim.interop.protobuf import read_graph
from bnnsim.training import with_ternary_weights


def every_kind():
    """What `small_graphs` leave out: pixels, groups, dilation, padded pools of both kinds, several first layers."""
    rng, wiring = np.random.default_rng(3), bnnsim.Wiring()
    real = wiring.add(layers.Pixels(1, 1 / 255, -0.5), layers.RealConv2d(1, 4, 3, dilation=2, padding=2, generator=rng),
                      layers.ReLU())
    first = wiring.add(layers.InputConv2d(1, 4, offset=100, generator=rng), layers.BatchNormReal(4), inputs=-1)
    other = wiring.add(layers.InputConv2d(1, 4, 1, padding=0, offset=100, generator=rng), layers.BatchNormReal(4),
                       inputs=-1)
    added = wiring.add(layers.Add(), inputs=(real, first, other))
    pooled = wiring.add(layers.AveragePool2d(3, 2, padding=1), inputs=added)
    largest = wiring.add(layers.RealMaxPool2d(3, 2, padding=1), layers.Sign(4),
                         layers.Conv2d(4, 4, groups=2, pad_value="minus", generator=rng), layers.BatchNormReal(4),
                         inputs=added)
    wiring.add(layers.Concatenate(), inputs=(pooled, largest))
    wiring.add(layers.RealConv2d(8, 8, groups=4, generator=rng), layers.ScaleShift(8),
               layers.RealDense(1568, 10, generator=rng))
    return bnnsim.pack(bnnsim.Graph(wiring.nodes, (1, 28, 28)))


GRAPHS = {"real": small_graphs.packed, "bits": lambda: small_graphs.packed("bits"), "every kind": every_kind}


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]()


def check(scores, graph, images):
    wanted = graph.scores(images)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize("name", ["x.onnx", "x.qonnx"])
def test_scores_by_numpy(tmp_path, graph, name):
    bnnsim.export_network(graph, tmp_path / name)
    images = small_graphs.images().images
    check(naive_onnx.run(read_graph(tmp_path / name), images), graph, images)


def test_a_sign_is_at_least_its_threshold(tmp_path):
    """Thresholds that are met exactly are +1 in both formats."""
    rng, wiring = np.random.default_rng(0), bnnsim.Wiring()
    wiring.add(layers.Pixels(1, 1.0, 0.0), layers.Sign(1), layers.Flatten(1), layers.Dense(4, 3, generator=rng),
               layers.BatchNorm(3))
    graph = bnnsim.pack(bnnsim.Graph(wiring.nodes, (1, 2, 2)))
    images = np.array([[[[0, 1], [0, 0]]], [[[0, 0], [0, 0]]]], np.uint8)
    for name in ("x.onnx", "x.qonnx"):
        bnnsim.export_network(graph, tmp_path / name)
        np.testing.assert_array_equal(naive_onnx.run(read_graph(tmp_path / name), images), graph.scores(images))


def test_onnxruntime(tmp_path, graph):
    """Without its optimizations: they fold scales into weights, and sums that lie on a threshold fall elsewhere."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed, which is no dependency")
    bnnsim.export_network(graph, tmp_path / "x.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"), options, providers=["CPUExecutionProvider"])
    images = bnnsim.load_embedded()[1].images[:1000]
    check(session.run(None, {"images": images})[0], graph, images)


def test_qonnx(tmp_path, graph):
    reason = "qonnx is not installed, which is no dependency"
    wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason=reason)
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes
    bnnsim.export_network(graph, tmp_path / "x.qonnx")
    images = small_graphs.images().images[:10]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrapper.ModelWrapper(str(tmp_path / "x.qonnx")).transform(InferShapes())
        scores = np.array([execute_onnx(model, {"images": image[None]})["scores"][0] for image in images])
    check(scores, graph, images)


@pytest.mark.parametrize("name, form", [("x.npz", "npz"), ("x.h", "c"), ("x.mem", "mem"), ("x.coe", "coe")])
def test_formats_of_layers_in_a_row_refuse_graphs(tmp_path, name, form):
    with pytest.raises(ValueError, match=f"the format {form} holds layers in a row, and the network is a graph: write"):
        bnnsim.export_network(small_graphs.packed(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.onnx", "x.qonnx"])
def test_ternary_networks_are_refused(tmp_path, name):
    model = with_ternary_weights(bnnsim.architectures.build("FC8 FC3", (1, 4, 4), rng=0))
    with pytest.raises(ValueError, match="node0 reads its input twice, for pairs of devices that hold ternary weights"):
        bnnsim.export_network(bnnsim.pack(model), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_command_converts_and_cells_come_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    graph = small_graphs.packed()
    graph.save("g.h5")
    assert convert.main(["g.h5", "g.onnx"]) == convert.main(["g.h5", "g.csv"]) == 0
    assert "written: g.onnx" in capsys.readouterr().out
    assert convert.main(["g.h5", "back.h5", "--cells", "g.csv"]) == 0
    assert bnnsim.PackedNetwork.load("back.h5").checksum == graph.checksum
    with pytest.raises(SystemExit):
        convert.main(["g.h5", "g.npz"])
    assert "the format npz holds layers in a row" in capsys.readouterr().err
