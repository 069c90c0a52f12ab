"""Exports to C and to contents of memories: compiled, run, read back; names that tell the format."""

import foreign_geometry as geometry
import numpy as np
import pytest

import bnnsim
import bnnsim.interop as interop
from bnnsim.interop.export import outputs_of
from bnnsim.interop.export_c import prefix_of
from bnnsim.interop.export_scores import integer_scores
from export_plans import CONV, PLANS, check_c, geometry_of, network_of, plan


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


def test_a_layer_list_of_memory_texts_takes_the_offset_that_they_say(tmp_path):
    """It took none, and classes were others than those of a spec."""
    rng = np.random.default_rng(5)
    network = bnnsim.PackedNetwork.from_arrays(
        [{"weight": rng.choice([-1, 1], (8, 16)), "threshold": rng.integers(-300, 300, 8),
          "inverted": rng.random(8) < 0.5}, {"weight": rng.choice([-1, 1], (3, 8))}], (1, 4, 4), 128)
    bnnsim.export_network(network, tmp_path / "x.mem")
    listed = [{"weight": "x.layer0.weight", "shape": (8, 16), "threshold": "x.layer0.threshold",
               "inverted": "x.layer0.inverted"}, {"weight": "x.layer1.weight", "shape": (3, 8)}]
    for spec in (listed, "FC8 FC3"):
        back = interop.load_network(tmp_path, spec, input_shape=(1, 4, 4), weights="bits")
        assert back.input_offset == 128 and all(
            np.array_equal(getattr(back.layers[0], name), getattr(network.layers[0], name))
            for name in ("words", "threshold", "inverted"))


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
