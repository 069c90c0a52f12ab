"""Exports read back: the same scores, bit for bit, through readers that share nothing with the writers."""

import shutil
import subprocess
import warnings

import foreign_files as foreign
import foreign_geometry as geometry
import foreign_mutations
import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnsim
import bnnsim.interop as interop
import bnnsim.interop.export_onnx as export_onnx
import bnnsim.packed.kinds as kinds
import bnnsim.packed.layer as layer
from bnnsim.interop.export import FORMATS, format_of, outputs_of
from bnnsim.interop.export_c import prefix_of
from bnnsim.interop.export_scores import integer_scores

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
STRICT = ["-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wno-sign-conversion"]


def network_of(plan):
    model, images = random_networks.build(plan)
    return bnnsim.pack(model), images


def plan(seed=0, **more):
    """Pooling, strides, kernels that are no squares, words that are not full; constant and inverted units."""
    conv = {"channels": 10, "kernel": (3, 2), "stride": 1, "padding": 1, "pad_value": "zero", "pool": 2}
    return {"input_shape": (2, 9, 8), "convs": [conv, {**conv, "channels": 70, "kernel": (2, 2), "pool": 1}],
            "dense": [70], "classes": 7, "offset": 128, "norm": True, "seed": seed, **more}


CONV = plan()["convs"][0]
PLANS = {
    "convolutions": plan(), "padded with +1": plan(1, convs=[{**CONV, "pad_value": "plus", "padding": 2}] * 2),
    "padded with -1": plan(2, convs=[{**CONV, "pad_value": "minus"}, {**CONV, "pad_value": "minus", "stride": 2}],
                           offset=0),
    "dense": plan(3, convs=[], dense=[130, 64], offset=0), "logits": plan(4, norm=False), "one layer": plan(
        5, convs=[], dense=[]), "offset 255": plan(6, offset=255, convs=[{**CONV, "pad_value": "plus"}])}


def geometry_of(name):
    """A network of any geometry with its images; signs behind a last dense layer."""
    if name != "signs":
        layers, images, *_ = geometry.made(name)
        arrays = foreign.state_dict(layers)
        return bnnsim.PackedNetwork.from_arrays(
            [{key: arrays.get(value, value) if isinstance(value, str) else value for key, value in fields.items()}
             for fields in geometry.listed(layers)], images.shape[1:], 7), images
    rng = np.random.default_rng(1)
    weights = rng.choice([-1, 1], (9, 12)), rng.choice([-1, 1], (5, 9))
    fields = [{"weight": weight, "threshold": rng.integers(-size, size, len(weight)),
               "inverted": rng.random(len(weight)) < 0.5} for weight, size in zip(weights, (900, 3))]
    return bnnsim.PackedNetwork.from_arrays(fields, (1, 3, 4)), rng.integers(0, 256, (20, 1, 3, 4), np.uint8)


@pytest.fixture(params=[*PLANS, *geometry.ALL, "signs"])
def made(request):
    return network_of(PLANS[request.param]) if request.param in PLANS else geometry_of(request.param)


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

MAIN = """
#include <stdio.h>
#include "network.h"

int main(void)
{
    static uint8_t image[NETWORK_VALUES];
    int64_t scores[NETWORK_CLASSES];
    int k;

    while (fread(image, 1, NETWORK_VALUES, stdin) == NETWORK_VALUES) {
        printf("%d %d", (int)network_predict(image, scores), (int)network_predict(image, 0));
        for (k = 0; k < NETWORK_CLASSES; k++)
            printf(" %lld", (long long)scores[k]);
        printf("\\n");
    }
    return 0;
}
"""


def check_c(folder, network, images):
    """The compiled header's classes are the network's, and its integer scores are what `integer_scores` says."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    bnnsim.export_network(network, folder / "network.h")
    (folder / "main.c").write_text(MAIN)
    done = subprocess.run([COMPILER, *STRICT, "-Wno-long-long", "-o", "main", "main.c"], cwd=folder,
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    out = subprocess.run([folder / "main"], input=images.tobytes(), capture_output=True, check=True).stdout
    found = np.array([list(map(int, line.split())) for line in out.splitlines()])
    np.testing.assert_array_equal(found[:, 0], network.predict(images))
    np.testing.assert_array_equal(found[:, 1], found[:, 0])
    made, scores, last = integer_scores(network.stages[-1]), network.scores(images), network.layers[-1]
    whole = found[:, 2:]
    h = network.stages[-1].sums(network.run(0, images, len(network.layers) - 1)).sum(1, dtype=np.int64)
    if last.threshold is not None:
        h = np.where((h >= last.threshold) ^ last.inverted, 1, -1)
    np.testing.assert_array_equal(whole, made.factor * h + made.term)
    np.testing.assert_allclose(np.ldexp(whole.astype(float), -made.exponent), scores, rtol=1e-12,
                               atol=1e-12 * np.abs(scores).max())
    assert np.array_equal(np.argsort(whole, kind="stable"), np.argsort(scores, kind="stable"))


def test_a_c_header(tmp_path, made):
    check_c(tmp_path, *made)


def test_names_in_c():
    assert [prefix_of(path) for path in ("a/Fashion-CNN.h", "2x.h", "_x_.h", "é.h", "a.b.h")] == \
        ["fashion_cnn", "bnn_2x", "x", "bnn", "a_b"]


def test_integers_keep_the_order_of_scores_or_are_refused():
    """0.1 and 1.1 are no whole step apart: one sum more in one class ties with another in float64, not in integers."""
    weight = np.ones((2, 6), int)
    hidden = {"weight": np.ones((6, 1), int), "threshold": np.zeros(6)}
    norm = {"gamma": np.ones(2), "beta": np.zeros(2), "var": np.ones(2), "eps": 0.0}
    for mean, good in (([0.25, 2.25], True), ([0.1, 2.1], False)):
        network = bnnsim.PackedNetwork.from_arrays([hidden, {"weight": weight, "mean": np.array(mean), **norm}],
                                                   (1, 1, 1))
        if good:
            made = integer_scores(network.stages[-1])
            assert made.exponent == 2 and made.factor.tolist() == [4, 4] and made.term.tolist() == [-1, -9]
        else:
            with pytest.raises(ValueError, match="order some otherwise .* round its mean"):
                integer_scores(network.stages[-1])


# ---------------------------------------------------------------- memory contents

def words_of(path):
    """Comment and words of either text."""
    text = path.read_text()
    comment, _, rest = text.partition("\n")
    return comment, rest.partition("vector=")[2].replace(";", "").replace(",", " ").split() if ".coe" in path.name \
        else rest.split()


def run_memory(folder, ending, network, images):
    """Scores as hardware would have them: popcounts of rows, thresholds of agreeing bits or of sums."""
    def load(name):
        comment, words = words_of(folder / f"x.{name}{ending}")
        return comment, np.array([int(word, 16) for word in words], object), len(words[0])

    def signed(name, n_bits):
        return np.array([int(v) - 2**n_bits * (int(v) >> n_bits - 1) for v in load(name)[1]], object)

    values = images.astype(int).transpose(0, 2, 3, 1).reshape(len(images), -1) - network.input_offset
    for i, stage in enumerate(network.stages):
        fan_in = stage.layer.fan_in
        words = load(f"layer{i}.weight")[1]
        weights = np.array([[int(word) >> fan_in - 1 - f & 1 for f in range(fan_in)] for word in words])
        h = values @ (2 * weights - 1).T
        if i == len(network.stages) - 1:
            return signed("factor", 64) * h + signed("term", 64)
        comment, theta, _ = load(f"layer{i}.threshold")
        above = (h + fan_in) // 2 >= theta if "agreeing" in comment else h >= signed(f"layer{i}.threshold", 32)
        values = 2 * (above ^ (load(f"layer{i}.inverted")[1] == 1)).astype(int) - 1


@pytest.mark.parametrize("ending", [".mem", ".coe"])
def test_memory_contents(tmp_path, ending):
    network, images = network_of(plan(7, convs=[], dense=[130, 66], input_shape=(3, 5, 3)))
    files = bnnsim.export_network(network, tmp_path / f"x{ending}")
    (tmp_path / f"x.mine{ending}").write_text("not one of them")
    assert len(files) == 3 + 3 + 1 + 2 and files == list(dict.fromkeys(files)) and outputs_of(
        str(tmp_path / f"x{ending}")) == sorted(files)
    found = run_memory(tmp_path, ending, network, images)
    made = integer_scores(network.stages[-1])
    np.testing.assert_array_equal(found.argmax(1), network.predict(images))
    np.testing.assert_allclose((found / 2.0**made.exponent).astype(float), network.scores(images), rtol=1e-9)


def test_memory_contents_of_convolutions(tmp_path):
    """Rows are taps in H, W, C order; zeros that are summed up have thresholds of sums, +1 and -1 of agreeing bits."""
    for value, words in (("zero", "least sums"), ("plus", "least numbers of agreeing bits, of 60")):
        network = network_of(plan(convs=[CONV, {**CONV, "pad_value": value}]))[0]
        bnnsim.export_network(network, tmp_path / "x.mem")
        comment, thresholds = words_of(tmp_path / "x.layer1.threshold.mem")
        assert words in comment and len(thresholds) == 10
        rows = words_of(tmp_path / "x.layer1.weight.mem")[1]
        signs = network.layers[1].signs() > 0
        assert [int(row, 16) for row in rows] == [int("".join(map(str, row.astype(int))), 2) for row in signs]


def test_memory_contents_of_groups_and_borders(tmp_path):
    """A unit's row has its own group's weights; where the border is repeated all summands are bits."""
    network, _ = geometry_of("groups")
    bnnsim.export_network(network, tmp_path / "x.mem")
    comment, rows = words_of(tmp_path / "x.layer0.weight.mem")
    assert "6 units of 18 weights in 2 groups" in comment and len(rows[0]) == 5
    signs = network.layers[0].signs() > 0
    assert [int(row, 16) for row in rows] == [int("".join(map(str, row.astype(int))), 2) for row in signs]
    network = bnnsim.pack(bnnsim.architectures.build("C10 C10rep FC3", (1, 5, 5), rng=0))
    bnnsim.export_network(network, tmp_path / "y.mem")
    assert "least numbers of agreeing bits, of 90" in words_of(tmp_path / "y.layer1.threshold.mem")[0]


def test_memory_contents_end_in_thresholds(tmp_path):
    """Signs as scores have neither factor nor term."""
    files = bnnsim.export_network(geometry_of("signs")[0], tmp_path / "x.mem")
    assert [path.rpartition("x.")[2] for path in files] == [
        f"layer{i}.{name}.mem" for i in (0, 1) for name in ("weight", "threshold", "inverted")]


def test_memory_texts_are_read_back(tmp_path):
    """By the reader of such texts, where it knows all that they say: +-1 in, and no unit inverted."""
    rng = np.random.default_rng(4)
    weights = rng.choice([-1, 1], (12, 16)), rng.choice([-1, 1], (4, 12))
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": weights[0], "threshold": rng.integers(-6, 6, 12)}, {"weight": weights[1]}], (1, 4, 4),
        input="binary")
    images = interop.binary_images(rng.integers(0, 256, (50, 1, 4, 4), np.uint8))
    assert not network.layers[0].inverted.any()
    files = bnnsim.export_network(network, tmp_path / "x.mem")
    read = [name for name in files if "inverted" not in name and "layer" in name]
    back = interop.load_network(read, "FC12 FC4", input_shape=(1, 4, 4), input="binary", weights="bits", popcount=True)
    np.testing.assert_array_equal(back.scores(images), network.scores(images))
    assert all(np.array_equal(a.words, b.words) for a, b in zip(back.layers, network.layers))


def spec_of(plan):
    """A plan's words."""
    convs = [f"C{conv['channels']}k{conv['kernel'][0]}x{conv['kernel'][1]}s{conv['stride']}p{conv['padding']}"
             f"{conv['pad_value'].replace('zero', '')}{' MP2' if conv['pool'] == 2 else ''}" for conv in plan["convs"]]
    return " ".join([*convs, *(f"FC{units}" for units in plan["dense"]), f"FC{plan['classes']}"])


@pytest.mark.parametrize("name", [*PLANS, *geometry.ALL, "signs"])
def test_memory_texts_of_a_network_are_read_back(tmp_path, name):
    """A folder of them and a spec: what else there is to know, first lines say."""
    if name in PLANS:
        network, images = network_of(PLANS[name])
        spec = spec_of(PLANS[name])
    else:
        network, images = geometry_of(name)
        spec = "FC9 FC5" if name == "signs" else geometry.spec_of(geometry.made(name)[0])
    bnnsim.export_network(network, tmp_path / "x.mem")
    back = interop.load_network(tmp_path, spec, input_shape=network.input_shape, weights="bits")
    assert all(np.array_equal(a.words, b.words) for a, b in zip(back.layers, network.layers, strict=True))
    assert back.input_offset == network.input_offset
    np.testing.assert_array_equal(back.predict(images), network.predict(images))
    np.testing.assert_allclose(back.scores(images), network.scores(images), rtol=1e-9)


def test_arrays_of_our_c_headers_are_read_back(tmp_path):
    """By a layer list: words of taps, of pixels, of rows; thresholds of sums; factors and terms of scores."""
    convs = [{**CONV, "pool": 2}, {**CONV, "channels": 70, "kernel": (2, 2)}]
    network, images = network_of(plan(convs=convs, offset=0))
    bnnsim.export_network(network, tmp_path / "x.h")
    layers = []
    for i, stage in enumerate(network.stages):
        fields, signs = stage.layer, stage.layer.signs()
        shape = (fields.units, *fields.words.shape[1:3], fields.n_in) if fields.kind == "conv" else signs.shape
        layers.append({"weight": f"x_weights{i}", "shape": shape})
        if fields.kind == "conv":
            layers[-1] |= {"order": "HWC", "padding": fields.padding, "pool": fields.pool, "stride": fields.stride}
        layers[-1] |= {"threshold": f"x_thresholds{i}", "inverted": f"x_inverted{i}"} if fields.threshold is not None \
            else {"gamma": "x_factors", "beta": "x_terms", "mean": np.zeros(7), "var": np.ones(7), "eps": 0}
    back = interop.load_network(tmp_path / "x.h", layers, input_shape=network.input_shape, weights="bits",
                                bit_order="lsb", flatten="HWC")
    assert all(np.array_equal(a.words, b.words) for a, b in zip(back.layers, network.layers, strict=True))
    np.testing.assert_array_equal(back.predict(images), network.predict(images))
    with pytest.raises(ValueError, match="not which layers they make"):
        interop.load_network(tmp_path / "x.h")


def test_memory_texts_of_many_layers(tmp_path):
    """Layer 10 comes behind layer 2."""
    spec = " ".join(["FC12"] * 12 + ["FC4"])
    network = bnnsim.pack(bnnsim.architectures.build(spec, (1, 4, 4), rng=0))
    bnnsim.export_network(network, tmp_path / "x.mem")
    assert interop.load_network(tmp_path, spec, input_shape=(1, 4, 4), weights="bits").checksum == network.checksum


# ---------------------------------------------------------------- the door

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
