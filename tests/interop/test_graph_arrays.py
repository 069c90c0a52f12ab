"""A list of nodes with arrays, as a state dict has them: the same graph as by ONNX; what does not fit is named."""

import foreign_graphs as graphs
import numpy as np
import pytest

import bnnsim
from bnnsim.interop import graph_from_arrays

SHAPE = graphs.SHAPE


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def norm_fields(values):
    return dict(zip(("gamma", "beta", "mean", "var"), values), op="norm", eps=graphs.EPS)


def residual_nodes(g):
    """The nodes of `graphs.residual`, with the arrays of its file."""
    c = list(g.constants.values())
    return [
        {"op": "conv", "weight": c[0], "padding": 1}, {**norm_fields(c[1:5]), "name": "stem"},
        {"op": "affine", "shift": c[5].reshape(-1)}, {"op": "sign"}, {"op": "conv", "weight": c[6], "padding": 1},
        norm_fields(c[7:11]), {"op": "add", "inputs": ["nodes[5]", "stem"]},
        {"op": "prelu", "slope": c[11].reshape(-1), "name": "first"},
        {"op": "sign", "threshold": c[12].reshape(-1), "strict": True},
        {"op": "conv", "weight": c[15], "padding": 1, "stride": 2}, {**norm_fields(c[16:20]), "name": "branch"},
        {"op": "average-pool", "size": 2, "inputs": "first", "name": "half"},
        {"op": "concatenate", "inputs": ["half", "half"]}, {"op": "add", "inputs": ["nodes[12]", "branch"]},
        {"op": "clip"}, {"op": "global-average"}, {"op": "dense", "weight": c[-2], "bias": c[-1]}]


def test_a_residual_network(tmp_path):
    g = graphs.good_graphs()["residual"]
    network = graph_from_arrays(residual_nodes(g), SHAPE)
    images = g.values["x"].astype(np.uint8)
    np.testing.assert_allclose(network.scores(images), g.values[g.output], rtol=2e-5, atol=2e-5)
    (tmp_path / "x.onnx").write_bytes(g.file(g.output))
    again = bnnsim.load_network(tmp_path / "x.onnx")
    assert [layer.words.tobytes() for layer in again.layers] == [layer.words.tobytes() for layer in network.layers]
    np.testing.assert_allclose(network.scores(images), again.scores(images), rtol=1e-6)


def mixed(rng, units, channels=2):
    """Weights of +1 and -1 in each unit, whose sums of pixels are of both signs."""
    weight = graphs.signs(rng, units, channels, 1, 1)
    weight[:, -1] = -weight[:, 0]
    return weight


@pytest.mark.parametrize("latent", ["signs", "scaled"])
def test_latent_weights(rng, latent):
    """Signs of them, and signs times the mean size of each unit's, with a bias behind."""
    w, bias = rng.normal(size=(3, 3, 2, 2)), rng.normal(size=3)
    images = rng.integers(0, 256, (3, *SHAPE), np.uint8)
    first = mixed(rng, 3)
    network = graph_from_arrays([
        {"op": "conv", "weight": first}, {"op": "sign", "threshold": 3}, {"op": "max-pool", "size": 2},
        {"op": "conv", "weight": w, "latent": latent, "bias": bias}, {"op": "global-average"}], SHAPE)
    bits = graphs.pooled(np.where(graphs.convolved(images.astype("f8"), first) >= 3, 1.0, -1.0), (2, 2), (2, 2),
                         (0,) * 4, "max")
    scale = np.abs(w).mean((1, 2, 3), keepdims=True) if latent == "scaled" else 1.0
    expected = (graphs.convolved(bits, scale * np.where(w >= 0, 1, -1)) + bias.reshape(1, 3, 1, 1)).mean((2, 3))
    np.testing.assert_allclose(network.scores(images), expected, rtol=1e-5, atol=1e-5)
    assert len(network.layers) == 2 and network.layers[0].pools


@pytest.mark.parametrize("flatten", ["CHW", "HWC"])
def test_a_dense_layer_of_bits_gives_scores(rng, flatten):
    """By thresholds all the way; a map in either order."""
    first, last = mixed(rng, 3), graphs.signs(rng, 4, 108)
    images = rng.integers(0, 256, (3, *SHAPE), np.uint8)
    network = graph_from_arrays([
        {"op": "conv", "weight": first.transpose(0, 2, 3, 1), "order": "HWC"}, {"op": "sign", "threshold": 3},
        {"op": "dense", "weight": last, "flatten": flatten}, {"op": "affine", "scale": 0.5, "shift": np.arange(4.0)}],
        SHAPE)
    bits = np.where(graphs.convolved(images.astype("f8"), first) >= 3, 1.0, -1.0)
    rows = (bits if flatten == "CHW" else bits.transpose(0, 2, 3, 1)).reshape(3, -1)
    assert np.array_equal(network.scores(images), rows @ last.T * 0.5 + np.arange(4))
    assert len(network.nodes) == len(network.layers) == 2


def test_norms_one_behind_the_other_are_one(rng):
    """Their scales and shifts, of an image and of reals."""
    weight, binary = rng.normal(size=(3, 2, 1, 1)), mixed(rng, 3)
    images, scale, shift = rng.integers(0, 256, (3, *SHAPE), np.uint8), rng.normal(size=3), rng.normal(size=3)
    network = graph_from_arrays([
        {"op": "affine", "scale": 4.0, "shift": -1.0}, {"op": "affine", "scale": 0.5, "shift": -0.4, "name": "x"},
        {"op": "conv", "weight": weight}, {"op": "affine", "scale": scale, "shift": shift},
        {"op": "affine", "scale": 0.5, "shift": -2.0, "name": "y"}, {"op": "sign", "inputs": "x"},
        {"op": "conv", "weight": binary}, {"op": "add", "inputs": ["nodes[6]", "y"]}, {"op": "global-average"}],
        SHAPE, input="unit")
    x = (images / 255 * 4 - 1) * 0.5 - 0.4
    y = graphs.convolved(x, weight) * scale[:, None, None] + shift[:, None, None]
    h = graphs.convolved(np.where(x >= 0, 1.0, -1.0), binary)
    np.testing.assert_allclose(network.scores(images), (h + y * 0.5 - 2).mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_two_pools_before_a_sign(rng):
    """A layer of bits takes one of them; the other is not forgotten."""
    first, last, images = mixed(rng, 3), graphs.signs(rng, 4, 12), rng.integers(0, 256, (20, *SHAPE), np.uint8)
    network = graph_from_arrays([
        {"op": "conv", "weight": first}, {"op": "max-pool", "size": 2}, {"op": "max-pool", "size": 2, "stride": 1},
        {"op": "sign", "threshold": 120}, {"op": "dense", "weight": last}], SHAPE)
    h = graphs.pooled(graphs.convolved(images.astype("f8"), first), (2, 2), (2, 2), (0,) * 4, "max")
    bits = np.where(graphs.pooled(h, (2, 2), (1, 1), (0,) * 4, "max") >= 120, 1.0, -1.0)
    assert np.array_equal(network.scores(images), bits.reshape(20, -1) @ last.T)


@pytest.mark.parametrize("whole", [{}, {"whole": True}, {"whole": False}], ids=str)
def test_averages_count_the_padding_or_not(rng, whole):
    """They do as PyTorch has it, unless it is said."""
    first, images = mixed(rng, 3), rng.integers(0, 256, (4, *SHAPE), np.uint8)
    network = graph_from_arrays([
        {"op": "conv", "weight": first}, {"op": "average-pool", "size": 3, "stride": 2, "padding": 1, **whole},
        {"op": "global-average"}], SHAPE)
    kind = "whole" if whole.get("whole", True) else "average"
    pooled = graphs.pooled(graphs.convolved(images.astype("f8"), first), (3, 3), (2, 2), (1,) * 4, kind)
    np.testing.assert_allclose(network.scores(images), pooled.mean((2, 3)), rtol=1e-5, atol=1e-5)


def both(*firsts):
    """Two nodes that are to be joined, each of which reads a convolution's sums of pixels."""
    conv, ends = {"op": "conv", "weight": np.array([[1, -1], [-1, 1], [1, 1.0]])[..., None, None]}, []
    for i, (before, behind) in enumerate(firsts):
        ends += [{"op": "affine", "inputs": "images", **before}, conv, {**behind, "name": "ab"[i]}]
    return ends


def test_layers_of_bits_of_one_image_subtract_one_offset():
    join = [{"op": "add", "inputs": ["a", "b"]}, {"op": "global-average"}]
    one, other = ({"shift": -100.0}, {"op": "affine"}), ({"shift": -50.0}, {"op": "affine"})
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)
    wanted = 2 * (graphs.convolved(images - 100.0, both(one)[1]["weight"])).mean((2, 3))
    np.testing.assert_allclose(graph_from_arrays([*both(one, one), *join], SHAPE).scores(images), wanted, rtol=1e-5)
    with pytest.raises(ValueError, match="weights of one bit, and reads numbers"):
        graph_from_arrays([*both(one, other), *join], SHAPE)


def test_signs_side_by_side_are_of_one_kind():
    last = {"op": "dense", "weight": np.ones((3, 216)) - 2 * np.eye(3, 216)}
    ends = [{"op": "concatenate", "inputs": ["a", "b"]}, last]
    plain, strict = ({}, {"op": "sign"}), ({}, {"op": "sign", "strict": True})
    for kind in (plain, strict):
        assert len(graph_from_arrays([*both(kind, kind), *ends], SHAPE).layers) == 3
    with pytest.raises(ValueError, match="beside signs that mean other values"):
        graph_from_arrays([*both(plain, strict), *ends], SHAPE)


CONV, ROWS = {"op": "conv", "weight": np.ones((3, 2, 2, 2))}, {"op": "dense", "weight": np.ones((3, 72)) * 0.5}
REFUSED = [
    ([], TypeError, "nodes must be a list of dicts"), ([{"op": "convolution"}], ValueError, "op must be one of"),
    ([{**CONV, "weights": 1}], ValueError, "unknown: 'weights'"), ([{"op": "norm"}], ValueError, "missing: mean, var"),
    ([CONV, {"op": "add", "inputs": ["nodes[0]", "x"]}], ValueError, "must be names of nodes before it"),
    ([CONV, {"op": "sign", "inputs": ["nodes[0]", "images"]}], ValueError, "reads one input, got 2"),
    ([CONV, {"op": "add"}], ValueError, r"nodes\[1\]: the number of inputs must be"),
    ([{**CONV, "name": "images"}], ValueError, "a text that no other node has"),
    ([{**CONV, "weight": np.ones((3, 4, 2, 2))}], ValueError, "weights of shape .3, 2, 2, 4. in 1 groups"),
    ([{**CONV, "padding": -1}], ValueError, "padding must be"),
    ([{**CONV, "weight": "w"}], ValueError, "an array of 4"),
    ([{**CONV, "bias": np.ones(2)}], ValueError, "bias must have 3 values, got 2"),
    ([{**CONV, "latent": "yes"}], ValueError, "latent must be one of"),
    ([CONV, {"op": "sign"}, {**CONV, "weight": np.arange(12.).reshape(1, 3, 2, 2)}], ValueError, "must hold only"),
    *[([CONV, {"op": "sign"}, {**CONV, "weight": np.full((1, 3, 2, 2), np.nan), "latent": latent}], ValueError,
       r"nodes\[2\]: weights must be finite") for latent in ("signs", "scaled")],
    ([CONV, {"op": "prelu", "slope": np.ones(2)}], ValueError, "2 slopes for 3 channels"),
    ([CONV, {"op": "affine", "scale": np.ones((3, 1))}], ValueError, "must be one number, or one a channel"),
    ([CONV, {"op": "average-pool", "size": 9}], ValueError, "average-pool of .9, 9."),
    ([CONV, {"op": "sign", "strict": 1}], TypeError, "strict must be True"),
    ([CONV, {"op": "relu"}], ValueError, "gives a map .5, 5, 3."),
    ([CONV, {"op": "global-average"}, {"op": "sign"}], ValueError, "gives signs: scores are numbers"),
    ([ROWS], ValueError, "nothing would be in the memory"),
    ([{**ROWS, "weight": np.ones((3, 70))}], ValueError, "weight must have 72 columns, got 70")]


@pytest.mark.parametrize("nodes, error, message", REFUSED)
def test_what_does_not_fit_is_named(nodes, error, message):
    with pytest.raises(error, match=message):
        graph_from_arrays(nodes, SHAPE)


def test_more_numbers_than_were_given_are_refused():
    """A scale for all becomes one a channel: a long list of them on many channels is no network."""
    nodes = [{"op": "affine", "scale": 1.5}, {"op": "prelu", "slope": 0.5}] * 70
    with pytest.raises(ValueError, match="more than four times as many numbers"):
        graph_from_arrays([{"op": "relu"}, *nodes], (2**16, 2, 2))
