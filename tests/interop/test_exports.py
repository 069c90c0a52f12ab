"""Exports read back: the same scores, bit for bit, through readers that share nothing with the writers."""

import warnings

import foreign_mutations
import numpy as np
import pytest
import random_networks
from export_plans import PLANS, check_c, network_of
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnsim
import bnnsim.interop.export_onnx as export_onnx
import bnnsim.packed.kinds as kinds
import bnnsim.packed.layer as layer
from bnnsim.interop.export import FORMATS, format_of
from bnnsim.interop.export_scores import integer_scores


@pytest.mark.tiny
@pytest.mark.parametrize("name", ["x.npz", "x.onnx", "x.qonnx"])
def test_scores_come_back(tmp_path, made, name):
    network, images = made
    assert bnnsim.export_network(network, tmp_path / name) == [str(tmp_path / name)]
    back = bnnsim.load_network(tmp_path / name)
    np.testing.assert_array_equal(back.scores(images), network.scores(images))
    for ours, theirs in zip(network.stages, back.stages):
        np.testing.assert_array_equal(ours.layer.words, theirs.layer.words)
    assert back.input_offset == network.input_offset
    if name == "x.npz":
        assert back.checksum == network.checksum and back.metadata == network.metadata


@settings(max_examples=25)
@given(random_networks.plans(), st.sampled_from(["x.npz", "x.onnx", "x.qonnx"]))
def test_any_network_comes_back(tmp_path_factory, plan, name):
    network, images = network_of(plan)
    path = tmp_path_factory.mktemp("any") / name
    bnnsim.export_network(network, path)
    np.testing.assert_array_equal(bnnsim.load_network(path).scores(images), network.scores(images))


def test_thresholds_beyond_any_sum_and_every_unit_inverted(tmp_path):
    """Constants stay constants."""
    rng = np.random.default_rng(1)
    theta, inverted = np.array([-10**6, 10**6, 10**6, -10**6, 5]), np.array([0, 0, 1, 1, 1])
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": rng.choice([-1, 1], (5, 12)), "threshold": theta, "inverted": inverted},
         {"weight": rng.choice([-1, 1], (5, 5)), "threshold": theta, "inverted": inverted},
         {"weight": rng.choice([-1, 1], (3, 5))}], (3, 2, 2))
    images = rng.integers(0, 256, (40, 3, 2, 2), np.uint8)
    for name in ("x.npz", "x.onnx", "x.qonnx"):
        bnnsim.export_network(network, tmp_path / name)
        np.testing.assert_array_equal(bnnsim.load_network(tmp_path / name).scores(images), network.scores(images))
    check_c(tmp_path, network, images)


def test_scores_that_integers_would_tie_are_refused():
    """Where float64 has a second class in front by 1e-30, integers of 62 bits gave the first one."""
    weight = np.ones((2, 4), int)
    network = bnnsim.PackedNetwork.from_arrays([{"weight": weight}], (1, 2, 2), 0)
    for shift, is_refused in ((1e-30, True), (0.5, False)):
        last = network.with_arrays({0: {"mean": np.zeros(2), "scale": np.ones(2), "shift": np.array([0, shift])}})
        if is_refused:
            with pytest.raises(ValueError, match="so close together that 64-bit integers would order some otherwise"):
                integer_scores(last.stages[0])
        else:
            made = integer_scores(last.stages[0])
            assert (made.term / 2.0**made.exponent).tolist() == [0, 0.5]


def test_onnx_refuses_sums_that_float32_does_not_hold():
    rng = np.random.default_rng(1)
    network = bnnsim.PackedNetwork.from_arrays([{"weight": rng.choice([-1, 1], (2, 70000))}], (1, 7, 10000))
    with pytest.raises(ValueError, match=r"sums of layers\[0\] have up to 17,850,001, .*exact in float32 from 16,777"):
        bnnsim.export_network(network, "never.onnx")


def graph_of(network, *nodes):
    """A graph with nodes on its images: (op, constants, attributes)."""
    graph = export_onnx.Graph(False, "images")
    for i, (op, constants, attributes) in enumerate(nodes):
        graph.node(op, f"n{i}", *constants, **attributes)
    data = b"".join([*graph.nodes, *graph.constants,
                     export_onnx.put(11, export_onnx.value_info("images", 2, list(network.input_shape), False)),
                     export_onnx.put(12, export_onnx.value_info(f"n{len(nodes) - 1}", 1, [1], False))])
    return export_onnx.put(1, 8) + export_onnx.put(7, data)


CONV_NODE = ("Conv", [np.ones((3, 2, 2, 2), np.float32)], {})


@pytest.mark.parametrize("nodes, message", [
    ([("Pad", [np.array([0, 1, 1, 1, 0, 0, 1, 1]), np.array(1, "f4")], {}), CONV_NODE], r"n0 \(Pad\) pads .*by \[0, 1"),
    ([("Pad", [np.array([0, 0, -1, 1, 0, 0, 1, 1])], {}), CONV_NODE], "a number around a map is represented"),
    ([("Pad", [np.array([0, 0, 1, 1])], {}), CONV_NODE], "a number around a map is represented"),
    ([("Pad", [np.array([0, 0, 1, 1] * 2), np.array(np.nan, "f4")], {}), CONV_NODE], "a number around a map"),
    ([("Pad", [np.array([0, 0, 1, 1] * 2)], {}), ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})],
     r"n1 \(MaxPool\) reads a padded map: only convolutions do"),
    ([("Pad", [np.array([0, 0, 1, 1] * 2)], {}), (*CONV_NODE[:2], {"pads": [1] * 4})], "that a Pad has padded before"),
    ([("Pad", [np.array([0, 0, 1, 1] * 2), np.array(0.5, "f4")], {}), CONV_NODE, ("Sign", [], {}),
      ("Flatten", [], {}), ("MatMul", [np.ones((270, 2), np.float32)], {})], "pads with 0.5, which is pixel 0.5")])
def test_pads_that_are_not_represented(tmp_path, nodes, message):
    (tmp_path / "x.onnx").write_bytes(graph_of(network_of(PLANS["convolutions"])[0], *nodes))
    with pytest.raises(ValueError, match=message):
        bnnsim.load_network(tmp_path / "x.onnx", input="pixels")


def test_exports_know_all_that_a_layer_has():
    """A kind or a setting more must be written, or refused, by each format: then it goes into this list."""
    assert set(kinds.KINDS) == {"dense", "conv"}
    assert set(layer.SETTINGS) == {"stride", "padding", "pad_value", "replicate", "dilation", "groups", "pool",
                                   "pool_stride", "pool_padding"}
    assert [*layer.ARRAYS] == ["words", "threshold", "inverted", "mean", "scale", "shift"]


# ---------------------------------------------------------------- other runtimes

def test_onnxruntime_gives_the_same_scores(tmp_path, made):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed, which is no dependency")
    network, images = made
    bnnsim.export_network(network, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"images": images})[0], network.scores(images))


def test_qonnx_gives_the_same_scores(tmp_path, made):
    reason = "qonnx is not installed, which is no dependency"
    wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason=reason)
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes
    network, images = made
    bnnsim.export_network(network, tmp_path / "x.qonnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrapper.ModelWrapper(str(tmp_path / "x.qonnx")).transform(InferShapes())
        scores = [execute_onnx(model, {"images": image[None]})["scores"][0] for image in images]
    np.testing.assert_array_equal(scores, network.scores(images))


# ---------------------------------------------------------------- C

def test_a_name_tells_the_format():
    assert format_of("a/B.QONNX") is format_of("x.qonnx.onnx") is FORMATS["qonnx"]
    assert format_of("x.ONNX") is FORMATS["onnx"] and format_of("x.h") is FORMATS["c"]
    with pytest.raises(ValueError, match="must end in .npz, .qonnx, .*or .csv, or the format be given"):
        format_of("x.pt")
    network = network_of(PLANS["logits"])[0]
    with pytest.raises(ValueError, match="format must be one of"):
        bnnsim.export_network(network, "x", "pt")
    with pytest.raises(TypeError, match="network must be a PackedNetwork"):
        bnnsim.export_network(None, "x.npz")
    with pytest.raises(ValueError, match="belong to the format csv"):
        bnnsim.export_network(network, "x.npz", mapping=bnnsim.faults.ArrayMapping(4, 4))


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    """Several files too: where one fails, none is replaced."""
    import bnnsim.interop.export_memory as export_memory

    network = network_of(PLANS["dense"])[0]
    bnnsim.export_network(network, tmp_path / "x.mem")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def failing(*args):
        yield b"// part\n"
        raise RuntimeError("no more")

    monkeypatch.setattr(export_memory, "_complements", lambda *args: ["f"])
    monkeypatch.setattr(export_memory, "_mem", lambda comment, words: failing() if "term" in comment else [b"new"])
    with pytest.raises(RuntimeError):
        bnnsim.export_network(network, tmp_path / "x.mem")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", ["mem", "coe"])
def test_a_network_of_fewer_layers_replaces_all_of_one_with_more(tmp_path, ending):
    """Layers of the former stayed beside those of the new one; other names stay."""
    deep, flat = (bnnsim.pack(bnnsim.architectures.build(spec, (1, 8, 8), rng=0))
                  for spec in ("FC64 FC16 FC10", "FC10"))
    others = [f"y.layer2.weight.{ending}", f"x.layer2.{ending}", f"x.more.layer2.weight.{ending}"]
    for name in others:
        (tmp_path / name).write_text("another's")
    bnnsim.export_network(deep, tmp_path / f"x.{ending}")
    made = bnnsim.export_network(flat, tmp_path / f"x.{ending}")
    assert set(map(str, tmp_path.iterdir())) == {*made, *(str(tmp_path / name) for name in others)}


@pytest.mark.parametrize("change, message", [
    (lambda head, arrays: head.update(format="other"), "wanted the format bnnsim-npz, version 1, got 'other'"),
    (lambda head, arrays: head["layers"].pop(), "missing: layer0.mean|unknown: 'layer"),
    (lambda head, arrays: arrays.update({"layer0.weight": arrays["layer0.weight"] * 2}), "layer0.weight must"),
    (lambda head, arrays: arrays.update({"layer0.weight": arrays["layer0.weight"][:, :1]}), "a last axis of n_in"),
    (lambda head, arrays: arrays.pop("layer0.threshold"), "missing: layer0.mean, .*unknown: 'layer0.inverted'"),
    (lambda head, arrays: head["layers"][0].update(stride=[1, [1]]), r"layers\[0\] stride must be integers"),
    (lambda head, arrays: head["layers"][0].update(kind="lstm"), "kind must be one of"),
    (lambda head, arrays: arrays.update({"layer0.threshold": arrays["layer0.threshold"].astype(float)}), "int32")])
def test_a_changed_npz_is_refused(tmp_path, change, message):
    import json

    bnnsim.export_network(network_of(PLANS["dense"])[0], tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        arrays = dict(file)
    head = json.loads(arrays["bnnsim"].tobytes())
    change(head, arrays)
    arrays["bnnsim"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises((ValueError, TypeError), match=message):
        bnnsim.load_network(tmp_path / "x.npz")


def test_200_changed_npz(tmp_path):
    """Refused, or read; nothing else."""
    rng, ended = np.random.default_rng(2), []
    bnnsim.export_network(network_of(PLANS["dense"])[0], tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    for i in range(200):
        (tmp_path / "x.npz").write_bytes(foreign_mutations.mutated(content, rng))
        try:
            bnnsim.load_network(tmp_path / "x.npz")
            ended.append("read")
        except ValueError as error:
            ended.append(str(error).partition("x.npz: ")[2][:30])
    assert "read" in ended and len(set(ended)) > 8
