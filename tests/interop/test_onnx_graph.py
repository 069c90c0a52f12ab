"""ONNX graphs with branches and real-valued parts: what they compute, and what is refused by its node's name."""

import foreign_graphs as graphs
import foreign_onnx
import numpy as np
import pytest

import bnnsim
import bnnsim.interop as interop
from bnnsim.packed.graph import PackedGraph

SHAPE = graphs.SHAPE


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def read(tmp_path, content, **how):
    (tmp_path / "x.onnx").write_bytes(content)
    return interop.read_network(tmp_path / "x.onnx", **{"sign": None, **how})


def words(network):
    return [node.what.word if not hasattr(node.what, "words") else "bits" for node in network.nodes]


@pytest.mark.tiny
@pytest.mark.parametrize("name", ["residual", "dense_blocks"])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_a_naive_evaluation(tmp_path, name, seed):
    g = graphs.good_graphs(seed)[name]
    imported = read(tmp_path, g.file(g.output))
    network = imported.network
    assert isinstance(network, PackedGraph) and imported.form == "ONNX"
    np.testing.assert_allclose(network.scores(g.values["x"].astype(np.uint8)), g.values[g.output], rtol=2e-5, atol=2e-5)
    network.save(tmp_path / "x.h5")
    assert bnnsim.PackedNetwork.load(tmp_path / "x.h5").checksum == network.checksum
    assert "weights" in imported.table()


def test_weights_of_bits_are_those_of_the_file(tmp_path):
    """+-s of a unit: its signs; a layer of bits reads signs, others are operations."""
    g = graphs.good_graphs()["residual"]
    network = read(tmp_path, g.file(g.output)).network
    weights = [value for value in g.constants.values() if value.shape[2:] == (3, 3)][1:]
    assert len(network.layers) == 2
    for layer, weight in zip(network.layers, weights):
        assert np.array_equal(layer.signs(), np.sign(weight).transpose(0, 2, 3, 1).reshape(len(weight), -1))
    assert words(network).count("bits") == 2 and words(network).count("real-conv") == 1


# ---------------------------------------------------------------- one part at a time, exact in integers

def framed(rng, middle, n_channels=3, classes=2, weight=None):
    """x -> layer of bits on pixels -> `middle` of a graph and its sums -> average -> scores; integers all the way."""
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    h = g.conv("x", graphs.signs(rng, n_channels, 2, 3, 3), pads=(1,) * 4)
    y = middle(g, h)
    n = g.values[y].shape[1]
    w = rng.integers(-3, 4, (classes, n)).astype("f4")
    g.output = g.gemm(g.flatten(g.mean(y)), w, np.zeros(classes))
    return g, images


def check(tmp_path, g, images, exact=True, **how):
    imported = read(tmp_path, g.file(g.output), **how)
    scores = imported.network.scores(images)
    np.testing.assert_allclose(scores, g.values[g.output], rtol=1e-6 if exact else 1e-5, atol=1e-6 if exact else 1e-5)
    return imported


def folding(g, h):
    """A sign of sums that nobody else reads, and a sum of two maps of sums."""
    bits = g.sign(g.norm(h, [1, -2, 0.5], [0.1, 0.2, 0.3], [0, 9, -40], [1, 1, 4]))
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 4, 3, 3, 3), pads=(1,) * 4)
    return g.add(y, y)


def both_ways(g, h):
    """Sums that a sign and an Add read."""
    bits = g.greater(h, 3.5)
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 3, 3, 3, 3), pads=(1,) * 4)
    return g.add(y, h)


def pooled_late(g, h):
    """Norm with gammas of both signs, sign, then the pool: pooled signs."""
    bits = g.sign(g.norm(h, [1, -2, 0.5], [0.1, 0.2, 0.3], [0, 9, -40], [1, 1, 4]))
    bits = g.pool(bits, "max", (2, 2))
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 4, 3, 2, 2))
    return g.add(y, y)


def pooled_sums(g, h):
    """Integers through a max-pool; a strided convolution in groups."""
    p = g.pool(h, "max", (2, 2), (1, 1))
    bits = g.sign(g.arithmetic("Sub", p, [[[10.5]], [[-4.5]], [[0.5]]]))
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 6, 1, 2, 2), stride=(2, 2), pads=(0, 1, 1, 0), groups=3)
    return g.add(y, g.concat(*[g.pool(p, "max", (3, 3), (2, 2), (1,) * 4)] * 2))


def joined_signs(g, h):
    """Signs side by side."""
    bits = g.concat(g.greater(h, 3), g.greater(g.arithmetic("Mul", h, -1.0), 3))
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 4, 6, 3, 3), pads=(1,) * 4)
    return g.add(y, y)


def zeros_and_ones(g, h):
    """Bits that mean 0 and 1: a zero of the padding is one of them; turned over: -1 and 0."""
    bits = g.node("Greater", [h, g.constant(2.5)], g.values[h] > 2.5)
    bits = g.node("Cast", [bits], g.values[bits].astype("f8"), to=1)
    rng = np.random.default_rng(9)
    y = g.conv(bits, graphs.signs(rng, 3, 3, 3, 3), pads=(1,) * 4)
    turned = g.node("Neg", [bits], -g.values[bits])
    return g.add(y, g.conv(turned, graphs.signs(rng, 3, 3, 3, 3), pads=(1,) * 4))


MIDDLES = [folding, both_ways, pooled_late, pooled_sums, joined_signs, zeros_and_ones]


@pytest.mark.parametrize("middle", MIDDLES)
def test_parts_exactly(tmp_path, rng, middle):
    g, images = framed(rng, middle)
    network = check(tmp_path, g, images, sign=">=" if middle in (folding, pooled_late, pooled_sums) else None).network
    assert len(network.layers) > 1 and words(network)[0] == "bits"


def test_a_sign_that_nobody_else_reads_folds_into_thresholds(tmp_path, rng):
    network = check(tmp_path, *framed(rng, folding)).network
    assert network.layers[0].threshold is not None and words(network)[:2] == ["bits", "bits"]
    network = check(tmp_path, *framed(rng, both_ways)).network
    assert network.layers[0].threshold is None and "sign" in words(network)


def test_a_strict_sign_of_reals(tmp_path, rng):
    """x > t: at t itself -1, and +1 at the next float32."""
    def middle(g, h):
        halves = g.arithmetic("Mul", h, [[[0.5]], [[0.25]], [[1.0]]])
        t = np.sort(g.values[halves], axis=None)[g.values[halves].size // 2]
        assert np.any(g.values[halves] == t)
        bits = g.greater(halves, t)
        return g.add(halves, g.conv(bits, graphs.signs(np.random.default_rng(9), 3, 3, 3, 3), pads=(1,) * 4))
    network = check(tmp_path, *framed(rng, middle)).network
    sign = next(node.what for node in network.nodes if not hasattr(node.what, "words") and node.what.word == "sign")
    again = framed(np.random.default_rng(3), middle)[0]
    t = next(value for value in again.constants.values() if value.ndim == 0)
    assert np.array_equal(sign.threshold, np.full(3, np.nextafter(t, np.float32(np.inf))))


def test_a_shortcut_without_weights(tmp_path, rng):
    """F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)): every other row and column, channels of zeros around."""
    def middle(g, h):
        x = h
        for axis in (2, 3):
            value = g.values[x][:, :, ::2] if axis == 2 else g.values[x][:, :, :, ::2]
            x = g.node("Slice", [x, *(g.constant([n], "i8") for n in (0, 2**63 - 1, axis, 2))], value)
        pads = g.constant([0, 1, 0, 0, 0, 2, 0, 0], "i8")
        x = g.node("Pad", [x, pads], np.pad(g.values[x], ((0, 0), (1, 2), (0, 0), (0, 0))))
        y = g.conv(g.greater(h, 3.5), graphs.signs(np.random.default_rng(9), 6, 3, 2, 2), stride=(2, 2))
        return g.add(y, x)
    check(tmp_path, *framed(rng, middle))


# ---------------------------------------------------------------- what exporters write

def polynomial(g, h):
    """sign(x).detach() - p(x).detach() + p(x), with masks, as the authors of Bi-Real Net write it."""
    x = g.arithmetic("Sub", h, [[[10.5]], [[-4.5]], [[0.5]]])
    signs = g.sign(x)
    mask = g.node("Less", [x, g.constant(0.0)], g.values[x] < 0)
    mask = g.node("Cast", [mask], g.values[mask].astype("f8"), to=1)
    p = g.node("Mul", [x, x], g.values[x] ** 2)
    p = g.node("Mul", [p, mask], g.values[p] * g.values[mask])
    rest = g.node("Sub", [signs, p], g.values[signs])
    bits = g.node("Add", [rest, p], g.values[signs])
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 3, 3, 3, 3), pads=(1,) * 4)
    return g.add(y, h)


def detached(g, h):
    """x + (sign(x) - x).detach()."""
    x = g.arithmetic("Sub", h, [[[10.5]], [[-4.5]], [[0.5]]])
    signs = g.sign(x)
    rest = g.node("Identity", [g.node("Sub", [signs, x], g.values[signs])], g.values[signs])
    bits = g.node("Add", [x, rest], g.values[signs])
    y = g.conv(bits, graphs.signs(np.random.default_rng(9), 3, 3, 3, 3), pads=(1,) * 4)
    return g.add(y, h)


@pytest.mark.parametrize("middle", [polynomial, detached])
def test_straight_through_tricks_are_left_out(tmp_path, rng, middle):
    network = check(tmp_path, *framed(rng, middle)).network
    assert len(network.nodes) == 8


def test_latent_weights_behind_their_sign_and_scale(tmp_path, rng):
    """scale * sign(w) - clip(w) + clip(w), of constants, in float32; nothing is lost by its rounding."""
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    bits = g.greater(g.conv("x", graphs.signs(rng, 3, 2, 3, 3)), 0.5)
    w = rng.uniform(-1, 1, (4, 3, 3, 3)).astype("f4")
    scale = np.abs(w).mean((1, 2, 3), keepdims=True)
    g.constants["w"], g.constants["low"], g.constants["high"] = w, -np.ones((), "f4"), np.ones((), "f4")
    for op, inputs, output, more in (
            ("Abs", ["w"], "abs", {}), ("ReduceMean", ["abs"], "m3", {"axes": [3]}),
            ("ReduceMean", ["m3"], "m2", {"axes": [2]}), ("ReduceMean", ["m2"], "m", {"axes": [1]}),
            ("Sign", ["w"], "s", {}), ("Mul", ["m", "s"], "ms", {}), ("Clip", ["w", "low", "high"], "c", {}),
            ("Sub", ["ms", "c"], "d", {}), ("Add", ["d", "c"], "final", {})):
        g.nodes.append(foreign_onnx.node(op, inputs, output, **more))
    value = graphs.convolved(g.values[bits], scale.astype("f8") * np.sign(w))
    y = g.node("Conv", [bits, "final"], value)
    g.output = g.flatten(g.mean(g.add(y, y)))
    network = check(tmp_path, g, images, exact=False).network
    assert np.array_equal(network.layers[1].signs(), np.sign(w).transpose(0, 2, 3, 1).reshape(4, -1))


def test_weights_by_their_deviation_and_a_power_of_two(tmp_path, rng):
    """IR-Net's: signs of (w - mean) / deviation, scaled by 2 ^ round(log2 of their mean size), of constants."""
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    bits = g.greater(g.conv("x", graphs.signs(rng, 3, 2, 3, 3)), 0.5)
    w = rng.normal(0.1, 1, (4, 3, 3, 3)).astype("f4")
    g.constants |= {"w": w, "two": np.float32([2.0]), "n": np.float32([27]), "halves": np.float32([0.5]),
                    "shape": np.array([4, 3, 3, 3]), "at": np.array([1, 2, 3])}
    for op, inputs, output, more in (
            ("ReduceMean", ["w"], "m", {"axes": [1, 2, 3]}), ("Sub", ["w", "m"], "d", {}),
            ("Mul", ["d", "d"], "dd", {}),
            ("ReduceSum", ["dd"], "sum", {"axes": [1, 2, 3]}), ("Gather", ["shape", "at"], "sizes", {}),
            ("ReduceProd", ["sizes"], "count", {"keepdims": 0}), ("Cast", ["count"], "many", {"to": 1}),
            ("Div", ["sum", "many"], "var", {}), ("Sqrt", ["var"], "std", {}), ("Div", ["d", "std"], "z", {}),
            ("Abs", ["z"], "size", {}), ("ReduceMean", ["size"], "mean", {"axes": [1, 2, 3]}),
            ("Log", ["mean"], "log", {}),
            ("Log", ["two"], "log2", {}), ("Div", ["log", "log2"], "power", {}), ("Round", ["power"], "whole", {}),
            ("Pow", ["two", "whole"], "scale", {}), ("Sign", ["z"], "s", {}), ("Mul", ["s", "scale"], "final", {})):
        g.nodes.append(foreign_onnx.node(op, inputs, output, **more))
    z = (w - w.mean((1, 2, 3), keepdims=True)).astype("f8")
    z /= np.sqrt((z**2).mean((1, 2, 3), keepdims=True))
    scale = 2 ** np.rint(np.log2(np.abs(z).mean((1, 2, 3), keepdims=True)))
    y = g.node("Conv", [bits, "final"], graphs.convolved(g.values[bits], scale * np.sign(z)))
    g.output = g.flatten(g.mean(g.add(y, y)))
    check(tmp_path, g, images)


def test_a_shift_expanded_to_the_shape_of_the_map(tmp_path, rng):
    """x + bias.expand_as(x) with a batch of any size: Shape and Expand."""
    def middle(g, h):
        bias = g.constant([[[[10.5]], [[-4.5]], [[0.5]]]])
        shape = g.node("Shape", [h], None)
        wide = g.node("Expand", [bias, shape], None)
        x = g.node("Add", [h, wide], g.values[h] + g.constants[bias])
        return g.add(h, g.conv(g.sign(x), graphs.signs(np.random.default_rng(9), 3, 3, 3, 3), pads=(1,) * 4))
    check(tmp_path, *framed(rng, middle))


@pytest.mark.parametrize("form", ["Flatten", "Reshape", "Squeeze", "ReduceMean", "conv"])
def test_rows_behind_global_pooling(tmp_path, rng, form):
    g, images = framed(rng, both_ways)
    g.nodes, weight = g.nodes[:-3], list(g.constants.values())[-2]
    y = f"t{len(g.nodes) - 1}"
    mean = g.values[y].mean((2, 3))
    if form == "ReduceMean":
        row = g.node("ReduceMean", [y], mean, axes=[2, 3], keepdims=0)
    else:
        row = g.node("GlobalAveragePool", [y], mean)
    if form == "conv":
        row = g.node("Conv", [row, g.constant(weight[:, :, None, None])], None)
        g.output = g.node("Flatten", [row], mean @ weight.T.astype("f8"))
        check(tmp_path, g, images, exact=False)
        return
    if form == "Reshape":
        row = g.node("Reshape", [row, g.constant([1, -1], "i8")], mean)
    elif form == "Squeeze":
        row = g.node("Squeeze", [row, g.constant([2, 3], "i8")], mean)
    elif form == "Flatten":
        row = g.node("Flatten", [row], mean)
    g.output = g.node("MatMul", [row, g.constant(weight.T)], mean @ weight.T.astype("f8"))
    check(tmp_path, g, images, exact=False)


@pytest.mark.parametrize("kind", ["real", "bits"])
def test_a_dense_layer_behind_a_map_reads_it_in_its_own_order(tmp_path, rng, kind):
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    h = g.conv("x", graphs.signs(rng, 3, 2, 3, 3))
    bits = g.greater(h, 0.5)
    y = g.conv(bits, graphs.signs(rng, 3, 3, 1, 1)) if kind == "real" else bits
    weight = rng.integers(-3, 4, (5, 48)) if kind == "real" else graphs.signs(rng, 5, 48)
    if kind == "real":
        y = g.add(y, h)
    g.output = g.gemm(g.flatten(y), weight, np.arange(5))
    check(tmp_path, g, images)


@pytest.mark.parametrize("code, of", [("unit", lambda u: u / 255), ("centred", lambda u: 2 * u / 255 - 1),
                                      ((0.3, 0.2), lambda u: (u / 255 - 0.3) / 0.2)])
def test_what_the_network_was_trained_to_read(tmp_path, code, of):
    g = graphs.good_graphs(1)["residual"]
    images = g.values["x"].astype(np.uint8)
    again = graphs.residual(np.random.default_rng(8), of(images.astype("f8")))
    imported = read(tmp_path, again.file(again.output), input=code)
    np.testing.assert_allclose(imported.network.scores(images), again.values[again.output], rtol=3e-5, atol=3e-5)
    assert imported.table().startswith("ONNX; input: ")


@pytest.mark.parametrize("code, of, offset", [("binary", lambda u: u.astype("f8") - 1, 1),
                                              ("centred", lambda u: u / 127.5 - 1, 128)])
def test_layers_of_bits_that_read_the_image(tmp_path, rng, code, of, offset):
    """+-1, or pixels less an offset; two layers read it, of which one pads with 0."""
    images = rng.integers(0, 2, (4, *SHAPE), np.uint8) * np.uint8(2) if code == "binary" else \
        rng.integers(0, 256, (4, *SHAPE), np.uint8)
    pads = (1,) * 4 if code == "binary" else (0,) * 4
    g = graphs.Graph(of(images))
    first, second = (g.conv("x", graphs.signs(rng, 3, 2, 3, 3), pads=pads) for _ in range(2))
    h = g.add(first, second)
    g.output = g.gemm(g.flatten(g.mean(h)), rng.normal(0, 1, (2, 3)), np.zeros(2))
    imported = check(tmp_path, g, images, exact=False, input=code)
    assert imported.network.input_offset == imported.code.offset == offset and len(imported.network.layers) == 2
    assert imported.network.reads_bits == (code == "binary")


@pytest.mark.parametrize("weights, turned", [("bits", 1), ("sign-bits", -1)])
def test_bits_of_a_layer_that_reads_the_image(tmp_path, rng, weights, turned):
    """0 and 1 of the first layer were read as real numbers, and its bits were in no memory."""
    g, images = framed(rng, folding)
    for name, value in g.constants.items():
        if value.ndim == 4:
            g.constants[name] = (1 + turned * value) / 2
    imported = check(tmp_path, g, images, weights=weights)
    assert [layer.n_bits for layer in imported.network.layers] == [3 * 2 * 9, 4 * 3 * 9]
    assert imported.table().count("weights 0 and 1 as") == 2


def test_latent_weights_are_those_that_read_signs_and_others_are_told_of(tmp_path, rng):
    """As published graphs have them, whose first layer is real; a chain takes the signs of all."""
    g, images = framed(rng, folding)
    first, second = (name for name, value in g.constants.items() if value.ndim == 4)
    g.constants[second] *= rng.uniform(0.1, 1, g.constants[second].shape).astype("f4")
    told = "weights as they are: 'latent' is said of what reads signs"
    assert check(tmp_path, g, images, weights="latent").table().count(told) == 1             # the last layer
    g.constants[first] *= rng.uniform(0.1, 1, g.constants[first].shape).astype("f4")
    imported = read(tmp_path, g.file(g.output), weights="latent")
    assert [layer.n_bits for layer in imported.network.layers] == [4 * 3 * 9]
    assert imported.table().count(told) == 2


def test_a_binary_layer_on_an_image_of_its_own_shifts_is_refused(tmp_path, rng):
    def middle(g, h):
        shifted = g.arithmetic("Sub", "x", [[[1.0]], [[2.0]]])
        return g.add(h, g.conv(shifted, graphs.signs(rng, 3, 2, 3, 3), pads=(1,) * 4))
    g, _ = framed(rng, middle)
    with pytest.raises(ValueError, match="has weights of one bit, and reads numbers of Sub_t1"):
        read(tmp_path, g.file(g.output))


def test_a_sign_of_the_image(tmp_path, rng):
    """What the network reads must be said; pixels are float32 then, and the sign an operation."""
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images / 127.5 - 1)
    bits = g.greater("x", 0.2)
    h = g.conv(bits, graphs.signs(rng, 3, 2, 3, 3))
    g.output = g.gemm(g.flatten(g.mean(g.add(h, h))), rng.normal(0, 1, (2, 3)), np.zeros(2))
    check(tmp_path, g, images, exact=False, input="centred")
    with pytest.raises(ValueError, match="takes signs of its input, and what it reads is not known: say"):
        read(tmp_path, g.file(g.output))


def test_sums_of_pools(tmp_path, rng):
    """A map of sums, pooled and averaged, is scores: no chain, but a graph."""
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    p = g.pool(g.conv("x", graphs.signs(rng, 3, 2, 2, 2)), "max", (2, 2), (1, 1))
    g.output = g.node("ReduceMean", [p], g.values[p].mean((2, 3)), axes=[2, 3], keepdims=0)
    check(tmp_path, g, images)


def test_sums_of_layers_of_bits_are_compared(tmp_path, rng):
    """The first that differs is named; channels that were turned over are turned back."""
    g, images = framed(rng, pooled_late)
    imported = read(tmp_path, g.file(g.output), sign=">=")
    first = g.values["t0"]
    second = next(value for name, value in g.values.items() if value.ndim == 4 and value.shape[1] == 4)
    assert imported.rows[0].turned == (1,)
    assert imported.compare(images, {"0": first, "1": second}) is None
    wrong = second.copy()
    wrong[2, 1, 0, 1] += 2
    assert "layer 1 (1): 1 of 64 sums differ, first of image 2, row 0, column 1, unit 1" in str(
        imported.compare(images, {"0": first, "1": wrong}))


def test_faults_and_sweeps_take_what_was_read(tmp_path):
    g = graphs.good_graphs()["residual"]
    network = read(tmp_path, g.file(g.output)).network
    images = g.values["x"].astype(np.uint8)
    broken = bnnsim.faults.BitFlips(0.2).apply(network, rng=1)
    assert not np.array_equal(broken.scores(images), network.scores(images))


def n(g, op, inputs, value=None, **attributes):
    g.nodes.append(foreign_onnx.node(op, inputs, f"t{len(g.nodes)}", name=f"my_{op}", **attributes))
    g.values[f"t{len(g.nodes) - 1}"] = np.zeros((1, 3, 6, 6)) if value is None else value
    return f"t{len(g.nodes) - 1}"
