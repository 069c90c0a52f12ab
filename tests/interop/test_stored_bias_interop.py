"""Networks of others whose biases are bits of the memory: state dicts with a spec or a layer list, and the command."""

import foreign_files as foreign
import foreign_onnx
import naive
import naive_onnx
import numpy as np
import pytest

import bnnsim
import bnnsim.convert as convert
from bnnsim.faults import BitFlips
from bnnsim.interop import load_network, read_cells, read_network
from bnnsim.interop.protobuf import read_graph
from bnnsim.packed import PackedGraph, PackedNetwork


@pytest.fixture
def rng():
    return np.random.default_rng(4)


SHAPE, SPEC = (1, 8, 8), "C5k3x3p1 MP2 C66k3x3p1 MP2 FC7 FC4"
EPS = 1e-5


def vgg(rng, scale=1.0):
    """A state dict in the form of the seed papers' authors' VGG3: latent weights and biases, norms; an exact 0."""
    shapes = {"conv1": (5, 1, 3, 3), "conv2": (66, 5, 3, 3), "fc1": (7, 66 * 4), "fc2": (4, 7)}
    arrays = {}
    for i, (name, shape) in enumerate(shapes.items()):
        arrays[f"{name}.weight"] = rng.normal(0, 1, shape).astype("f4")
        arrays[f"{name}.bias"] = rng.normal(0, 1, shape[0]).astype("f4")
        if i < 3:
            size = np.float32((2.0 if i == 0 else 6.0) if scale != 1 else (300.0 if i == 0 else 6.0))
            norm = {"weight": rng.normal(0.5, 1, shape[0]), "bias": rng.normal(0, 1, shape[0]),
                    "running_mean": rng.normal(0, size, shape[0]), "running_var": np.full(shape[0], size ** 2)}
            arrays |= {f"bn{i + 1}.{leaf}": value.astype("f4") for leaf, value in norm.items()}
    arrays["conv1.bias"][1] = 0.0
    return arrays


def sign(x):
    return np.where(x >= 0, 1, -1)


def scores(arrays, images, scale=1.0, norm_first=False):
    """Naive, in PyTorch's order of features; of pixels times a scale, whose inverse a bias of 1 is in levels."""
    x = naive.pixels(images, 0)
    for i, name in enumerate(["conv1", "conv2", "fc1", "fc2"]):
        weight, bias = (sign(arrays[f"{name}.{leaf}"]) for leaf in ("weight", "bias"))
        if weight.ndim == 4:
            h = naive.conv(x, weight.transpose(0, 2, 3, 1), 1, 1, 0) + bias * (1 if i else round(1 / scale))
            h = (h if norm_first else naive.max_pool(h, 2)[0]) * (1 if i else scale)
        else:
            x = np.moveaxis(x, 3, 1) if x.ndim == 4 else x
            h = x.reshape(len(x), -1) @ weight.T + bias
        if i == 3:
            return h
        norm = {leaf: arrays[f"bn{i + 1}.{leaf}"].astype("f8") for leaf in ("weight", "bias", "running_mean",
                                                                            "running_var")}
        x = (h - norm["running_mean"]) / np.sqrt(norm["running_var"] + EPS) * norm["weight"] + norm["bias"]
        x = naive.max_pool(sign(x), 2)[0] if norm_first and weight.ndim == 4 else sign(x)


HOW = {"spec": SPEC, "input_shape": SHAPE, "weights": "latent", "eps": EPS}


FILES = {"vgg.pt": foreign.torch_zip, "legacy.pt": foreign.torch_legacy, "vgg.safetensors": foreign.safetensors,
         "vgg.npz": foreign.npz}


def written(tmp_path, arrays, name="vgg.npz"):
    (tmp_path / name).write_bytes(FILES[name](arrays))
    return tmp_path / name


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(("entering", "scale"), [(None, 1.0), ("unit", 1 / 255)])
@pytest.mark.parametrize("file", FILES)
def test_a_vgg3_with_binary_biases(tmp_path, rng, file, norm_first, entering, scale):
    arrays, images = vgg(rng, scale), rng.integers(0, 256, (30, *SHAPE), np.uint8)
    found = read_network(written(tmp_path, arrays, file), **HOW, bias="stored", norm_first=norm_first,
                         **({"input": entering} if entering else {}))
    graph = found.network
    assert type(graph) is PackedGraph
    assert [layer.kind for layer in graph.layers] == ["conv", "bias", "conv", "bias", "dense", "bias", "dense", "bias"]
    assert graph.layers[1].pad_value == (255 if entering else 1)
    assert np.array_equal(graph.scores(images), scores(arrays, images, scale, norm_first))
    lines = found.table().splitlines()
    assert lines[3].split()[:4] == ["1", "bias", "5", "conv1.bias"] and "stored" in lines[3]
    assert graph.n_bits == 5 * 9 + 5 + 66 * 45 + 66 + 7 * 264 + 7 + 28 + 4
    turned = found.rows[0].turned
    bias = sign(arrays["conv1.bias"])
    bias[list(turned)] *= -1
    assert list(graph.layers[1].signs()[0]) == list(bias) and bool(turned) == norm_first


def test_signs_that_are_folded_or_stored_give_the_same(tmp_path, rng):
    arrays = {key: sign(value).astype("f4") if key.startswith(("conv", "fc")) else value
              for key, value in vgg(rng).items()}
    path, how = written(tmp_path, arrays), {**HOW, "weights": "signs", "norm_first": False}
    folded, stored = load_network(path, **how), load_network(path, **how, bias="stored")
    images = rng.integers(0, 256, (30, *SHAPE), np.uint8)
    assert type(folded) is PackedNetwork and np.array_equal(folded.scores(images), stored.scores(images))


@pytest.mark.parametrize("weights", ["latent", "signs", "bits", "sign-bits"])
def test_a_layer_list(tmp_path, rng, weights):
    """One layer stores its bias, as the list says; or all do, as is said for all."""
    signs = {"a.weight": rng.choice([-1, 1], (6, 16)), "a.bias": np.array([1, -1, -1, 1, 1, -1]),
             "b.weight": rng.choice([-1, 1], (3, 6)), "b.bias": np.array([-1, -1, -1])}
    arrays = {name: {"latent": value * 0.5, "signs": value, "bits": (value + 1) // 2,
                     "sign-bits": (1 - value) // 2}[weights] for name, value in signs.items()}
    layers = [{"weight": "a.weight", "bias": "a.bias", "threshold": rng.integers(-300, 300, 6)},
              {"weight": "b.weight", "bias": "b.bias"}]
    images = rng.integers(0, 256, (30, 1, 4, 4), np.uint8)
    h = images.reshape(30, 16).astype(int) @ signs["a.weight"].T + signs["a.bias"]
    wanted = sign(h - layers[0]["threshold"]) @ signs["b.weight"].T + signs["b.bias"]
    path = written(tmp_path, arrays)
    found = read_network(path, layers, input_shape=(1, 4, 4), weights=weights, bias="stored")
    assert [row.kind for row in found.rows] == ["dense", "bias", "dense", "bias"]
    assert np.array_equal(found.network.scores(images), wanted)
    assert [row.sources for row in found.rows] == [("a.weight",), ("a.bias",), ("b.weight",), ("b.bias",)]
    layers[0]["store_bias"], one = True, layers[:1] + [{"weight": "b.weight"}]
    found = read_network(path, one, input_shape=(1, 4, 4), weights=weights)
    assert [layer.kind for layer in found.network.layers] == ["dense", "bias", "dense"]
    assert np.array_equal(found.network.scores(images), wanted - signs["b.bias"])


@pytest.mark.parametrize("entering", ["pixels", "unit", "binary"])
def test_a_last_convolution_adds_up_its_biases(tmp_path, rng, entering):
    arrays = {"a.weight": rng.choice([-1, 1], (6, 1, 3, 3)), "a.bias": rng.choice([-1, 1], 6),
              "n.weight": rng.normal(0, 1, 6), "n.bias": rng.normal(0, 1, 6), "n.running_mean": rng.normal(0, 2, 6),
              "n.running_var": rng.uniform(1, 2, 6),
              "b.weight": rng.choice([-1, 1], (4, 6, 3, 3)), "b.bias": rng.choice([-1, 1], 4)}
    arrays = {name: value.astype("f4") for name, value in arrays.items()}
    path, how = written(tmp_path, arrays), {"input_shape": SHAPE, "input": entering}
    folded, graph = (load_network(path, "C6k3x3p1 C4k3x3p0 SUM", **how, bias=bias) for bias in ("folded", "stored"))
    images = rng.integers(0, 256, (20, *SHAPE), np.uint8)
    images = bnnsim.interop.binary_images(images) if entering == "binary" else images
    assert [layer.pad_value for layer in graph.layers if layer.kind == "bias"] == [255 if entering == "unit" else 1, 1]
    assert graph.reads_bits == (entering == "binary")
    assert np.array_equal(graph.scores(images), folded.scores(images)) and len(np.unique(graph.scores(images))) > 9


def test_sums_are_compared_without_the_biases(tmp_path, rng):
    arrays, images = vgg(rng), rng.integers(0, 256, (6, *SHAPE), np.uint8)
    found = read_network(written(tmp_path, arrays), **HOW, bias="stored", norm_first=False)
    h0 = naive.conv(naive.pixels(images, 0), sign(arrays["conv1.weight"]).transpose(0, 2, 3, 1), 1, 1, 0)
    last = scores(arrays, images) - sign(arrays["fc2.bias"])
    assert found.compare(images, {"layer0": h0, "layer3": last}) is None
    last[2, 1] += 2
    differs = found.compare(images, {"layer0": h0, "layer3": last})
    assert (differs.layer, differs.n_wrong) == (6, 1)


def test_the_command(tmp_path, rng, capsys):
    path, out = written(tmp_path, vgg(rng)), tmp_path / "net.h5"
    assert convert.main([str(path), "--spec", SPEC, "--input-shape", "1,8,8", "--weights", "latent", "--bias", "stored",
                         "--no-norm-first", "--out", str(out)]) == 0
    assert "stored" in capsys.readouterr().out
    network = PackedNetwork.load(out)
    assert type(network) is PackedGraph and network.layers[1].kind == "bias"
    images = rng.integers(0, 256, (30, *SHAPE), np.uint8)
    split = bnnsim.Split(images, network.predict(images).astype(np.uint8), "random")
    assert bnnsim.sweep(network, split, [0.0, 0.3], 2, 1, progress=False).accuracy.mean() < 1


@pytest.mark.parametrize("entering", [None, "unit"])
@pytest.mark.parametrize("name", ["x.onnx", "x.qonnx"])
def test_onnx_holds_it_and_reads_it_folded(tmp_path, rng, name, entering):
    arrays, images = vgg(rng), rng.integers(0, 256, (20, *SHAPE), np.uint8)
    graph = load_network(written(tmp_path, arrays), **HOW, bias="stored", norm_first=False, input=entering)
    bnnsim.export_network(graph, tmp_path / name)
    assert np.array_equal(naive_onnx.run(read_graph(tmp_path / name), images), graph.scores(images))
    again = load_network(tmp_path / name)
    assert type(again) is PackedNetwork and np.array_equal(again.scores(images), graph.scores(images))


def test_formats_of_layers_in_a_row_refuse_it(tmp_path, rng):
    graph = load_network(written(tmp_path, vgg(rng)), **HOW, bias="stored", norm_first=False)
    with pytest.raises(ValueError, match="the format c holds layers in a row, and the network is a graph"):
        bnnsim.export_network(graph, tmp_path / "x.h")


def test_cells_of_a_chip(tmp_path, rng):
    """The tester's table has its bits, and brings them back as the chip read them."""
    graph = load_network(written(tmp_path, vgg(rng)), **HOW, bias="stored", norm_first=False)
    read = BitFlips(0.1).apply(graph, 1)
    bnnsim.export_network(read, tmp_path / "cells.csv")
    again = read_cells(tmp_path / "cells.csv", graph).memory
    assert again.checksum == read.checksum != graph.checksum


def without(arrays, *leaves):
    return {name: value for name, value in arrays.items() if not name.endswith(leaves)}


REFUSED = {
    "latent biases": ({}, {"weights": "signs"}, "conv1.weight: weights must hold only"),
    "no biases": (("conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias"), {}, "no layer was found to have a bias"),
    "another word": ({}, {"bias": "kept"}, "bias must be one of 'folded', 'stored'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, rng, name):
    gone, how, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        read_network(written(tmp_path, without(vgg(rng), *gone) if gone else vgg(rng)),
                     **{**HOW, "norm_first": False, "bias": "stored", **how})


@pytest.mark.parametrize(("entering", "worth"), [("centred", "127.5"), ((0.5, 0.3), "76.5")])
def test_a_bias_that_is_no_level_is_refused(tmp_path, rng, entering, worth):
    arrays = {"a.weight": rng.normal(0, 1, (4, 16)), "a.bias": rng.normal(0, 1, 4)}
    with pytest.raises(ValueError, match=f"{worth} of them .*, as input and weights are scaled: .*bias='folded'"):
        read_network(written(tmp_path, arrays), "FC4", input_shape=(1, 4, 4), bias="stored", weights="latent",
                     input=entering)


def test_a_latent_bias_beside_signs_is_told(tmp_path, rng):
    arrays = {"a.weight": rng.choice([-1, 1], (4, 16)), "a.bias": rng.normal(0, 1, 4)}
    with pytest.raises(ValueError, match="a.bias: a bias that is stored must be .-1; of a latent one say"):
        read_network(written(tmp_path, arrays), "FC4", input_shape=(1, 4, 4), bias="stored")


def test_formats_with_layers_of_their_own_fold(tmp_path, rng):
    layers = foreign.plan(rng, conv=False)
    path = tmp_path / "x.onnx"
    path.write_bytes(foreign_onnx.chain(layers, (2, 6, 6)))
    with pytest.raises(ValueError, match="no layer was found to have a bias: it is read from arrays"):
        read_network(path, bias="stored")
