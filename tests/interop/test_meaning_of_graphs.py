"""Graphs and Keras models beside a binary chain: what is taken, what is refused by its name."""

import foreign_files as foreign
import foreign_onnx
import numpy as np
import pytest
from test_meaning import SHAPE, with_weights

import bnnsim
import bnnsim.interop as interop
from bnnsim.interop.onnx_geometry import with_overhang


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def graph(tmp_path, *nodes, shape=SHAPE, **constants):
    """A dense layer, whatever is given, and the last layer."""
    head = [foreign_onnx.node("Flatten", ["x"], "flat"), foreign_onnx.node("MatMul", ["flat", "w"], "h")]
    constants = {"w": np.ones((72, 4), "f4"), "last": np.ones((4, 3), "f4"), "one": np.ones(1, "f4"),
                 "half": np.full(1, 0.5, "f4"), **constants}
    tail = [foreign_onnx.node("MatMul", ["s", "last"], "y")]
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model([*head, *nodes, *tail], constants, shape, "y"))
    return bnnsim.load_network(tmp_path / "x.onnx", input="binary", sign=">=")


def n(op, inputs, output, **attributes):
    return foreign_onnx.node(op, inputs, output, name=f"my_{op}", **attributes)


GRAPHS = {
    "no sign": ([n("Identity", ["h"], "s")], "may have lost"),
    "relu": ([n("Relu", ["h"], "r"), n("Sign", ["r"], "s")], "my_Relu .Relu. is not represented: before a sign it "
                                                             "makes"),
    "unknown": ([n("Softplus", ["h"], "s")], "my_Softplus .Softplus. is not represented"),
    "a branch": ([n("Sign", ["h"], "a"), n("Add", ["a", "h"], "s")],
                 "my_Add .Add. computes with signs .my_Sign .Sign.. as numbers"),
    "two bits": ([n("Quant", ["h", "one", "one", "one"], "s")], "my_Quant .Quant. quantizes to 1 bit"),
    "clip": ([n("Clip", ["h", "one", "one"], "c"), n("Sign", ["c"], "s")], "my_Clip .Clip. clips to 1..1"),
    "tanh": ([n("Sign", ["h"], "a"), n("Tanh", ["a"], "s")], "my_Tanh .Tanh. is left out before a sign alone"),
    "softmax": ([n("Softmax", ["h"], "a"), n("Sign", ["a"], "s")], "my_Sign .* behind my_Softmax"),
    "levels": ([n("MultiThreshold", ["h", "three"], "s")], "3 thresholds a channel"),
    "a domain": ([foreign_onnx.node("Sign", ["h"], "s", "com.example")], "domain 'com.example', which is not known"),
    "by channel": ([n("Sign", ["h"], "a"), n("Mul", ["a", "four"], "s")], "scales bits by 4 values"),
    "nothing left": ([n("Sign", ["h"], "a"), n("Mul", ["a", "none"], "s")], "one positive scale"),
    "wide": ([n("Mul", ["h", "column"], "a"), n("Sign", ["a"], "s")], "a constant of shape .4, 1."),
    "division": ([n("Div", ["one", "h"], "a"), n("Sign", ["a"], "s")], "divides by the data"),
    "a bomb": ([n("Expand", ["one", "huge"], "b"), n("Sign", ["h"], "s")], "my_Expand .Expand. of constants cannot"),
    "a large constant": ([n("ConstantOfShape", ["huge"], "b"), n("Sign", ["h"], "s")], "cannot be computed"),
    "an outer product": ([n("Mul", ["long", "tall"], "b"), n("Sign", ["h"], "s")], "would have 1,000,000 values"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_a_graph_has_beside_a_chain_is_refused_by_its_name(tmp_path, name):
    nodes, message = GRAPHS[name]
    with pytest.raises(ValueError, match=message):
        graph(tmp_path, *nodes, four=np.arange(1, 5, dtype="f4"), column=np.ones((4, 1), "f4"), none=np.zeros(1, "f4"),
              three=np.zeros((1, 3), "f4"), huge=np.array([10**6, 10**6]), long=np.ones(1000, "f4"),
              tall=np.ones((1000, 1), "f4"))


def test_a_graph_of_a_chain_is_taken(tmp_path):
    """The frame of the test above is good; a clip and a tanh keep signs; bits may mean 0 and 1."""
    plain = graph(tmp_path, n("Sign", ["h"], "s"))
    for nodes in ([n("Clip", ["h", "minus", "one"], "c"), n("Sign", ["c"], "s")],
                  [n("Tanh", ["h"], "c"), n("Sign", ["c"], "s")]):
        assert graph(tmp_path, *nodes, minus=-np.ones(1, "f4")).checksum == plain.checksum
    images = interop.binary_images(foreign.images_of(np.random.default_rng(0), 30))
    bits = graph(tmp_path, n("GreaterOrEqual", ["h", "zero"], "s"), zero=np.zeros(1, "f4"))
    np.testing.assert_allclose(bits.scores(images), (plain.scores(images) + 4) / 2)
    turned = graph(tmp_path, n("Sign", ["h"], "a"), n("Neg", ["a"], "s"))
    np.testing.assert_allclose(turned.scores(images), -plain.scores(images))


WEIGHTS = {                            # nodes that make w of `raw`, values near +-1 and +-3; and what w is
    "no lower bound": ([n("Clip", ["raw", "", "two"], "w")], lambda raw: np.minimum(raw, 2)),
    "no upper bound": ([n("Clip", ["raw", "two"], "w")], lambda raw: np.maximum(raw, 2)),
    "the largest of three": ([n("Max", ["raw", "two", "minus"], "w")], lambda raw: np.maximum(raw, 2)),
    "the least of three": ([n("Min", ["raw", "minus", "two"], "w")], lambda raw: np.minimum(raw, -1)),
    "steps without axes": ([n("Slice", ["raw", "last_row", "before", "", "back"], "w")], lambda raw: raw[::-1]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_inputs_of_constants_that_are_left_out_or_many(tmp_path, name):
    """A Clip of PyTorch's clamp(max=1) has no lower bound: it took the upper one for it, and all weights were +1."""
    nodes, of = WEIGHTS[name]
    raw = np.random.default_rng(0).choice([-3, -1, 1, 3], (72, 4)).astype("f4")
    given = {"raw": raw, "two": np.array(2, "f4"), "minus": np.array(-1, "f4"), "last_row": np.array([-1]),
             "before": np.array([-100]), "back": np.array([-1])}
    nodes = [*nodes, n("Sign", ["w"], "q"), foreign_onnx.node("Flatten", ["x"], "flat"),
             foreign_onnx.node("MatMul", ["flat", "q"], "y")]
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, given, (72, 1, 1), "y"))
    network = bnnsim.load_network(tmp_path / "x.onnx", input="binary")
    np.testing.assert_array_equal(network.layers[0].signs(), np.sign(of(raw)).T)


def test_a_quantizer_of_two_bits_is_named(tmp_path):
    with pytest.raises(ValueError, match="my_Quant .Quant. quantizes to 2 bit"):
        graph(tmp_path, n("Quant", ["h", "one", "one", "two"], "s"), two=np.full((), 2.0, "f4"))


KERAS = {
    "relu": (lambda c: c["config"].update(activation="relu"), "conv0's activation is 'relu', no sign .* constants"),
    "dorefa": (lambda c: c["config"].update(kernel_quantizer={"class_name": "DoReFa"}), "weights through 'do_re_fa'"),
    "input": (lambda c: c["config"].update(input_quantizer="ste_tern"), "conv0's input is 'ste_tern', no sign"),
    "groups": (lambda c: c["config"].update(groups=2), "conv0 has 2 groups for 2 channels in and 5 out"),
    "causal": (lambda c: c["config"].update(padding="causal"), "a padding 'causal' is not represented"),
    "dilation": (lambda c: c["config"].update(dilation_rate=[0, 1]), "dilation_rate must be two sizes"),
    "channels first": (lambda c: c["config"].update(data_format="channels_first"), "only channels_last"),
    "class": (lambda c: c.update(class_name="Conv3D"), "conv0 is a Conv3D, which is not represented"),
    "relu layer": (lambda c: c.update(class_name="ReLU"), "conv0 is a ReLU.*: a ReLU before a sign makes constants"),
    "too large": (lambda c: c["config"].update(strides=[9, 9]), "pool0: a kernel of 2 for a map of 1"),
    "pad value": (lambda c: c["config"].update(pad_values="x"), "pads with x"),
    "filters": (lambda c: c["config"].update(filters=2**40), "filters must be a number of units"),
    "kernel": (lambda c: c["config"].update(filters=6), "wanted kernel of shape .3, 3, 2, 6., got float32 .3, 3, 2, "
                                                        "5.")}


@pytest.mark.parametrize("name", KERAS)
def test_what_keras_has_beside_a_binary_chain_is_refused_by_its_name(tmp_path, rng, name):
    change, message = KERAS[name]
    configs, arrays = foreign.keras_layers(foreign.plan(rng), SHAPE)
    change(configs[1])
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(configs, arrays))
    with pytest.raises(ValueError, match=message):
        bnnsim.load_network(tmp_path / "x.h5")


def test_real_weights_of_keras_are_refused(tmp_path, rng):
    """Without a quantizer weights are what they are; one such layer is one of float32."""
    layers = with_weights(rng, lambda w: w * rng.uniform(0.1, 1, w.shape))
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(*foreign.keras_layers(layers, SHAPE, quantized=False)))
    images = foreign.images_of(rng)
    network = bnnsim.load_network(tmp_path / "x.h5")
    assert len(network.layers) == 1
    np.testing.assert_allclose(network.scores(images), foreign.sums(layers, images)[1], rtol=1e-5, atol=1e-5)
    layers[1]["weight"] = layers[1]["weight"] * rng.uniform(0.1, 1, layers[1]["weight"].shape)
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(*foreign.keras_layers(layers, SHAPE, quantized=False)))
    with pytest.raises(ValueError, match="dense0: weights must hold only .* say weights='latent'"):
        bnnsim.load_network(tmp_path / "x.h5")


def conv_graph(tmp_path, *nodes, at="c", shape=SHAPE, **constants):
    """A convolution, whatever is given, a sign and a dense layer; or what is given alone, where `at` is None."""
    head = [n("Conv", ["x", "k"], "c")]
    tail = [n("Sign", [at], "s"), n("Flatten", ["s"], "f"), n("MatMul", ["f", "w"], "y")] if at else []
    constants = {"k": np.ones((3, 2, 2, 2), "f4"), "w": np.ones((75, 2), "f4"), **constants}
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model([*head, *nodes, *tail], constants, shape, "y"))
    return bnnsim.load_network(tmp_path / "x.onnx", sign=">=")


SUM = {"axes": [2, 3], "keepdims": 0}
GEOMETRY = {
    "parts averaged": ([n("AveragePool", ["c"], "p", kernel_shape=[2, 2])], "p", "averages parts of a map of .5, 5."),
    "values that lie apart": ([n("MaxPool", ["c"], "p", kernel_shape=[2, 2], dilations=[2, 2])], "p", "lie apart"),
    "a strange auto_pad": ([n("MaxPool", ["c"], "p", kernel_shape=[2, 2], auto_pad="SOME")], "p", "auto_pad 'SOME'"),
    "pools of three axes": ([n("MaxPool", ["c"], "p", kernel_shape=[2, 2, 2])], "p", "kernel_shape must be 2 sizes"),
    "pooled twice": ([n("MaxPool", ["c"], "a", kernel_shape=[2, 2]),
                      n("MaxPool", ["a"], "y", kernel_shape=[2, 2])], None, "one pooling behind a convolution"),
    "one axis added up": ([n("ReduceSum", ["c"], "p", axes=[2])], "p", r"adds up axes \[2\] .* all positions"),
    "sums behind a sign": ([n("Sign", ["c"], "b"), n("ReduceSum", ["b"], "y", **SUM)], None, "behind sign my_Sign"),
    "signs of sums": ([n("ReduceSum", ["c"], "p", **SUM), n("Sign", ["p"], "y")], None, "positions are scores"),
    "weights behind sums": ([n("ReduceSum", ["c"], "p", **SUM), n("MatMul", ["p", "few"], "y")], None,
                            "a network without any sign between its layers"),
    "a map of scores": ([n("Identity", ["c"], "y")], None, "gives a map of 5: a sum or average over its positions"),
    "signs of a last map": ([n("Sign", ["c"], "y")], None, "only a last dense layer may give signs as scores"),
    "pooled scores": ([n("MaxPool", ["c"], "y", kernel_shape=[5, 5])], None, "stands behind the last weights"),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_that_is_not_represented_is_refused(tmp_path, name):
    nodes, at, message = GEOMETRY[name]
    with pytest.raises(ValueError, match=message):
        conv_graph(tmp_path, *nodes, at=at, few=np.ones((3, 2), "f4"))


def test_a_norm_along_rows_is_not_one_of_channels(tmp_path):
    """ONNX's is along axis 1, which is H between two Transposes: of as many channels it was taken for theirs."""
    nodes = [n("Transpose", ["c"], "t", perm=[0, 2, 3, 1]), n("BatchNormalization", ["t", *["five"] * 4], "b"),
             n("Transpose", ["b"], "p", perm=[0, 3, 1, 2])]
    given = {"five": np.arange(1, 6, dtype="f4"), "k": np.ones((5, 2, 2, 2), "f4"), "w": np.ones((125, 2), "f4")}
    with pytest.raises(ValueError, match=r"my_BatchNormalization .*: 5 channels for data of \(5, 5, 5\) in HWC order"):
        conv_graph(tmp_path, *nodes, at="p", **given)


def test_a_padding_whose_value_is_left_out(tmp_path):
    """An input without values, as one that is not there, is 0: it was an IndexError."""
    checksums = set()
    for more in ([], [""], ["none"]):
        nodes = [n("Pad", ["x", "pads", *more], "p"), n("Conv", ["p", "k"], "c"), n("Sub", ["c", "half"], "h"),
                 n("Sign", ["h"], "s"), n("Flatten", ["s"], "f"), n("MatMul", ["f", "w"], "y")]
        given = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "none": np.zeros(0, "f4"), "half": np.array(0.5, "f4"),
                 "k": np.ones((3, 2, 3, 3), "f4"), "w": np.ones((108, 2), "f4")}
        (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, given, SHAPE, "y"))
        checksums.add(bnnsim.load_network(tmp_path / "x.onnx").checksum)
    assert len(checksums) == 1


@pytest.mark.parametrize("ceil, sizes", [(0, (2, 2)), (1, (3, 3))])
def test_windows_that_reach_past_the_map(tmp_path, ceil, sizes):
    """ceil_mode: a map of 5, windows of 2 side by side; the last one has one row."""
    network = conv_graph(tmp_path, n("MaxPool", ["c"], "p", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=ceil),
                         at="p", w=np.ones((3 * sizes[0] * sizes[1], 2), "f4"))
    assert network.stages[0].output_shape == (*sizes, 3) and network.layers[0].pool_padding == (0, 0, ceil, ceil)


def test_no_window_begins_past_the_map():
    """A map of 4 by 3, padded by one: a fourth window of two would begin in the padding behind."""
    assert with_overhang((4, 4), (1, 2), (3, 3), (0, 0, 0, 0)) == (0, 0, 0, 1)
    assert with_overhang((5, 4), (2, 2), (3, 3), (0, 1, 0, 1)) == (0, 1, 0, 0)


def test_the_smaller_half_of_a_same_padding_may_come_last(tmp_path):
    for auto, pads in (("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0))):
        nodes = [n("Conv", ["x", "k"], "c", auto_pad=auto), n("ReduceSum", ["c"], "y", **SUM)]
        (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, {"k": np.ones((3, 2, 2, 2), "f4")}, SHAPE, "y"))
        assert bnnsim.load_network(tmp_path / "x.onnx").layers[0].padding == pads


@pytest.mark.parametrize("sign", [">=", ">"])
def test_signs_behind_a_last_dense_layer_are_scores(tmp_path, rng, sign):
    """With ties, and gamma of both signs."""
    weight, mean = rng.choice([-1.0, 1.0], (72, 5)).astype("f4"), rng.integers(-2, 3, 5).astype("f4") * 2
    gamma = np.array([1, -1, 2, -2, 0], "f4")
    nodes = [n("Flatten", ["x"], "f"), n("MatMul", ["f", "w"], "h"), n("Sub", ["h", "mean"], "a"),
             n("Mul", ["a", "gamma"], "b"), n("Sign", ["b"], "y")]
    constants = {"w": weight, "mean": mean, "gamma": gamma}
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, constants, SHAPE, "y"))
    images = interop.binary_images(foreign.images_of(rng, 300))
    network = bnnsim.load_network(tmp_path / "x.onnx", input="binary", sign=sign)
    z = ((images.reshape(300, -1).astype(int) - 1) @ weight - mean) * gamma
    np.testing.assert_array_equal(network.scores(images), np.where(z >= 0 if sign == ">=" else z > 0, 1, -1))
    assert (z[:, :4] == 0).any(0).all() and network.layers[-1].threshold is not None


def test_layers_without_signs_between_them_are_refused(tmp_path, rng):
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(*foreign.keras_layers(foreign.plan(rng), SHAPE, sign=False)))
    with pytest.raises(ValueError, match="no sign between conv0 and conv1"):
        bnnsim.load_network(tmp_path / "x.h5")
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(foreign.plan(rng), SHAPE, ""))
    with pytest.raises(ValueError, match="plain ONNX exports of PyTorch's sign may have lost it"):
        bnnsim.load_network(tmp_path / "x.onnx")
