"""A bias whose bits a memory stores: clean as one that is folded, and broken as its bits say, against a naive pass."""

import naive
import numpy as np
import pytest

import bnnsim
from bnnsim.devices import Cell1T1R, LogNormal
from bnnsim.faults import ArrayMapping, AsymmetricFlips, BitFlips, FaultMap, Protected, StuckAt, StuckLines
from bnnsim.packed import Node, PackedGraph, PackedLayer, PackedNetwork
from bnnsim.packed.graph_pass import clean_pass_of
from bnnsim.packed.memory import wrong_bits
from bnnsim.packed.words import pack_signs, unpack_signs


@pytest.fixture
def rng():
    return np.random.default_rng(14)


def pm1(rng, *shape):
    return rng.choice([-1, 1], shape)


def norm(rng, units, size):
    """float32 numbers, gamma of both signs: a mean less 1 is exact in float64."""
    return {"gamma": rng.normal(0, 1, units).astype("f4"), "beta": rng.normal(0, 1, units).astype("f4"),
            "mean": rng.normal(0, size, units).astype("f4"), "var": np.exp(rng.normal(0, 1, units)).astype("f4")}


def thresholds(rng, units, size):
    return {"threshold": rng.integers(-size, size, units), "inverted": rng.random(units) < 0.5}


def stacks(rng):
    """name -> (layers, (C, H, W), offset, which of them have a bias)."""
    return {
        "dense": ([{"weight": pm1(rng, 70, 25), **norm(rng, 70, 300)}, {"weight": pm1(rng, 9, 70), **norm(rng, 9, 5)},
                   {"weight": pm1(rng, 4, 9)}], (1, 5, 5), 0),
        "conv and pool": ([{"weight": pm1(rng, 5, 3, 3, 2), "order": "HWC", "padding": 1, **norm(rng, 5, 300)},
                           {"weight": pm1(rng, 66, 3, 3, 5), "order": "HWC", "pool": 2, "padding": 1,
                            **thresholds(rng, 66, 8)},
                           {"weight": pm1(rng, 7, 66 * 9), "flatten": "CHW", "strict": True, **norm(rng, 7, 5)},
                           {"weight": pm1(rng, 3, 7), **norm(rng, 3, 2)}], (2, 6, 6), 128),
        "the border, groups, strict": ([
            {"weight": pm1(rng, 6, 3, 3, 1), "order": "HWC", "padding": 1, "pad_value": "replicate", "pool": 3,
             "pool_stride": 2, "pool_padding": 1, "strict": True, **thresholds(rng, 6, 300)},
            {"weight": pm1(rng, 6, 3, 3, 2), "order": "HWC", "groups": 3, "padding": 1, "strict": True,
             **norm(rng, 6, 4)},
            {"weight": pm1(rng, 4, 6 * 16)}], (1, 8, 8), 3),
        "a last convolution": ([{"weight": pm1(rng, 8, 3, 3, 1), "order": "HWC", **norm(rng, 8, 300)},
                                {"weight": pm1(rng, 5, 3, 3, 8), "order": "HWC", **norm(rng, 5, 9)}], (1, 6, 6), 0),
    }


NAMES = ("dense", "conv and pool", "the border, groups, strict", "a last convolution")


def biased(stack, rng, which=None):
    """The layers with a bias of +-1 each, or with some of them."""
    return [{**fields, "bias": pm1(rng, len(fields["weight"]))} if which is None or i in which else fields
            for i, fields in enumerate(stack)]


def stored(stack):
    return [{**fields, "store_bias": True} if "bias" in fields else fields for fields in stack]


def images_of(rng, shape, n=40):
    return rng.integers(0, 256, (n, *shape), np.uint8)


def h_of(x, fields):
    """Sums with their bias, before pooling, and pooled: integers of naive loops."""
    weight = np.asarray(fields["weight"])
    if weight.ndim == 2:
        return x.reshape(len(x), -1) @ weight.T + fields.get("bias", 0)
    h = naive.conv(x, weight, fields.get("stride", 1), fields.get("padding", 0), fields.get("pad_value", 0))
    return naive.max_pool(h + fields.get("bias", 0), fields.get("pool", 1))[0]


def scores_of(stack, images, offset):
    """By naive loops; of layers that have neither groups nor a padding of the border."""
    x = naive.pixels(images, offset)
    for i, fields in enumerate(stack):
        if np.ndim(fields["weight"]) == 2 and x.ndim == 4 and fields.get("flatten") == "CHW":
            x = np.moveaxis(x, 3, 1)
        h, last = h_of(x, fields), i == len(stack) - 1
        h = h.sum((1, 2)) if last and h.ndim == 4 else h
        if "threshold" in fields:
            x = naive.threshold_bits(h, np.asarray(fields["threshold"]), np.asarray(fields["inverted"]))
            continue
        part = {key: fields[key].astype("f8") for key in ("gamma", "beta", "mean", "var") if key in fields}
        y = (h - part["mean"]) * (part["gamma"] / np.sqrt(part["var"])) + part["beta"] if part else h
        x = y if last else np.where(y > 0 if fields.get("strict") else y >= 0, 1, -1)
    return x


# ---------------------------------------------------------------- clean

@pytest.mark.parametrize("which", [None, (0,), (1,), (0, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_clean_scores_are_those_of_folding(rng, name, which):
    stack, shape, offset = stacks(rng)[name]
    stack, images = biased(stack, rng, which), images_of(rng, shape)
    folded = PackedNetwork.from_arrays(stack, shape, offset)
    graph = PackedNetwork.from_arrays(stored(stack), shape, offset)
    assert type(folded) is PackedNetwork and type(graph) is PackedGraph
    assert np.array_equal(graph.scores(images), folded.scores(images))
    biases = [layer for layer in graph.layers if layer.kind == "bias"]
    wanted = [fields["bias"] for fields in stack if "bias" in fields]
    assert [list(layer.signs()[0]) for layer in biases] == [list(bias) for bias in wanted]
    assert graph.n_bits == folded.n_bits + sum(map(len, wanted))


@pytest.mark.parametrize("name", ["dense", "conv and pool", "a last convolution"])
def test_scores_are_those_of_a_naive_pass(rng, name):
    stack, shape, offset = stacks(rng)[name]
    stack, images = biased(stack, rng), images_of(rng, shape)
    wanted = scores_of(stack, images, offset)
    for layers in (stack, stored(stack)):
        np.testing.assert_allclose(PackedNetwork.from_arrays(layers, shape, offset).scores(images), wanted, rtol=1e-9,
                                   atol=1e-9)


def test_a_level_stands_for_1_in_a_first_layer(rng):
    """Trained on pixels / 255, a bias of +-1 is worth 255 levels."""
    stack, shape, offset = stacks(rng)["dense"]
    stack, images = biased(stack, rng, (0,)), images_of(rng, shape)
    stack[0]["bias"] = 255 * stack[0]["bias"]
    graph = PackedNetwork.from_arrays(stored(stack), shape, offset)
    assert graph.layers[1].pad_value == 255 and graph.layers[1].n_bits == 70
    assert np.array_equal(graph.scores(images), PackedNetwork.from_arrays(stack, shape, offset).scores(images))


@pytest.mark.parametrize("level", [1, 255])
def test_thresholds_at_the_ends_of_what_is_reached(level):
    """As one layer with its weights, and behind them: h + b >= theta, where theta is none of int32's middle too."""
    most, ends = 4 * 255, np.array([-2**31, 2**31 - 1])
    theta = np.unique([*ends, *(side * (most + step) + more for side in (-1, 1) for step in (-level, 0, level)
                                for more in (-1, 0, 1)), 0])
    weight, bias, theta, inverted = (each.reshape(-1) for each in np.meshgrid([-1, 1], [-1, 1], theta, [False, True]))
    n = len(theta)
    nodes = [layer("dense", np.repeat(weight[:, None], 4, 1)),
             layer("bias", bias[None], pad_value=level, threshold=theta.astype("i4"), inverted=inverted.astype(bool)),
             layer("dense", np.ones((3, n)), **SCORES)]
    graph = PackedGraph([Node(each, (i - 1,)) for i, each in enumerate(nodes)], (1, 2, 2))
    images = np.array([0, 1, 254, 255], np.uint8).repeat(4).reshape(4, 1, 2, 2)
    h = images.reshape(4, 4).sum(1, dtype=np.int64)[:, None] * weight + level * bias
    wanted = (h >= theta) ^ inverted.astype(bool)
    for known in ({-1: images}, graph.values({-1: images}, 1)):
        assert np.array_equal(unpack_signs(graph.values(known, 2)[1], n) > 0, wanted)


def test_sums_over_positions_with_their_bias_fit_int32():
    def graph(side):
        return PackedGraph([Node(PackedLayer("conv", 1, np.ones((3, 1, 1, 1), np.uint64)), (-1,)),
                            Node(layer("bias", np.ones((1, 3)), pad_value=2**16, **SCORES), (0,))], (1, side, side))

    assert graph(128).scores(np.zeros((1, 1, 128, 128), np.uint8)).tolist() == [[2**30] * 3]
    with pytest.raises(ValueError, match="largest pre-activation, which must fit int32"):
        graph(256)


@pytest.mark.parametrize("bias", [0.25, 3.0, -1.5])
def test_any_real_bias_folds(rng, bias):
    weight, images = pm1(rng, 6, 9), images_of(rng, (1, 3, 3))
    theta = rng.integers(-200, 200, 6)
    layers = [{"weight": weight, "threshold": theta, "bias": np.full(6, bias)}, {"weight": pm1(rng, 3, 6)}]
    bits = (naive.pixels(images, 0).reshape(len(images), -1) @ weight.T + bias >= theta) * 2 - 1
    assert np.array_equal(PackedNetwork.from_arrays(layers, (1, 3, 3)).scores(images), bits @ layers[1]["weight"].T)


# ---------------------------------------------------------------- broken

def flipped(network, i, bit):
    words = network.layers[i].words.copy()
    words[0, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return network.with_words({i: words})


@pytest.mark.parametrize(("name", "level"), [("dense", 1), ("conv and pool", 1), ("dense", 255)])
def test_a_flipped_bit_moves_its_unit_alone_by_2(rng, name, level):
    stack, shape, offset = stacks(rng)[name]
    stack = biased(stack, rng)
    stack[0]["bias"] = level * stack[0]["bias"]
    graph, images = PackedNetwork.from_arrays(stored(stack), shape, offset), images_of(rng, shape, 5)
    unit = 3
    broken = flipped(graph, 1, unit)
    x = graph.stages[0].sums(images).reshape(len(images), *graph.stages[0].output_shape)
    change = broken.stages[1].sums(x) - graph.stages[1].sums(x)
    assert np.all(change[..., unit] == -2 * stack[0]["bias"][unit])
    assert not np.delete(change, unit, axis=-1).any()


@pytest.mark.parametrize("name", ["dense", "conv and pool", "a last convolution"])
def test_broken_scores_are_those_of_other_biases(rng, name):
    """Every single flip, against folding the bias that it makes and against a naive pass."""
    stack, shape, offset = stacks(rng)[name]
    stack, images = biased(stack, rng), images_of(rng, shape, 8)
    graph = PackedNetwork.from_arrays(stored(stack), shape, offset)
    for layer, fields in enumerate(stack):
        for unit in (0, len(fields["weight"]) - 1):
            bias = fields["bias"].copy()
            bias[unit] *= -1
            other = [*stack[:layer], {**fields, "bias": bias}, *stack[layer + 1:]]
            found = flipped(graph, 2 * layer + 1, unit).scores(images)
            assert np.array_equal(found, PackedNetwork.from_arrays(other, shape, offset).scores(images))
            np.testing.assert_allclose(found, scores_of(other, images, offset), rtol=1e-9, atol=1e-9)


FAULTS = {"flips": BitFlips(0.1), "stuck": StuckAt(0.1, 0.1), "asymmetric": AsymmetricFlips(0.2, 0.05),
          "lines": StuckLines(ArrayMapping(64, 64), "column", 0.2, 0.2),
          "code": Protected(BitFlips(0.05), "secded(72,64)"),
          "a device card": bnnsim.devices.load_card("sram_synthetic").fault(voltage_volt=0.5),
          "every device": Cell1T1R(LogNormal(1e4, 1.0), LogNormal(1e5, 1.0)).programmed(),
          "only biases": BitFlips(0.5, layers=(1, 3, 5))}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_meet_its_bits_as_those_of_a_memory(rng, name):
    """A fault sees no network: it breaks a memory of the same rows alike."""
    stack, shape, offset = stacks(rng)["dense"]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    memory = bnnsim.packed.Memory(graph.layers)
    broken, same = FAULTS[name].apply(graph, 5), FAULTS[name].apply(memory, 5)
    assert all(np.array_equal(a.words, b.words) for a, b in zip(broken.layers, same.layers))
    assert any((a.words != b.words).any() for a, b in zip(broken.layers[1::2], graph.layers[1::2]))


def test_a_rate_of_1_flips_all(rng):
    stack, shape, offset = stacks(rng)["conv and pool"]
    stack = biased(stack, rng)
    graph, images = PackedNetwork.from_arrays(stored(stack), shape, offset), images_of(rng, shape)
    broken = BitFlips(1.0).apply(graph, 0)
    assert wrong_bits(graph, broken) == graph.n_bits
    negated = [{**fields, "weight": -fields["weight"], "bias": -fields["bias"]} for fields in stack]
    assert np.array_equal(broken.scores(images), PackedNetwork.from_arrays(negated, shape, offset).scores(images))


@pytest.mark.parametrize("name", ["conv and pool", "a last convolution"])
def test_a_sweep_gives_what_each_copy_does(rng, name):
    stack, shape, offset = stacks(rng)[name]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    images = images_of(rng, shape, 70)
    split = bnnsim.Split(images, graph.predict(images).astype(np.uint8), "random")
    for layers in (None, (1,), (3,)):
        fault = BitFlips(0.1, layers=layers)
        result = bnnsim.sweep(graph, split, [0.05, 0.5], 3, 4, faults=fault, progress=False)
        wanted = [[np.mean(fault.at(rate).apply(graph, 4, trial).predict(images) == split.labels) for trial in range(3)]
                  for rate in (0.05, 0.5)]
        assert np.array_equal(result.accuracy[0], wanted)
    kept = clean_pass_of(graph, images)
    for seed in range(6):
        broken = BitFlips(0.1, layers=[(1,), (3,), None][seed % 3]).apply(graph, seed)
        assert np.array_equal(kept.predict(broken), broken.predict(images))


def test_a_fault_map_and_arrays(rng, tmp_path):
    stack, shape, offset = stacks(rng)["dense"]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    assert ArrayMapping(64, 64).tiles(graph.layers[1]) == (1, 2)
    fault = StuckAt(0.2, 0.2)
    chip = FaultMap.record(fault, graph, 3)
    chip.save(tmp_path / "chip.h5")
    broken = FaultMap.load(tmp_path / "chip.h5").apply(graph)
    assert all(np.array_equal(a.words, b.words) for a, b in zip(broken.layers, fault.apply(graph, 3).layers))
    assert (broken.layers[1].words != graph.layers[1].words).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_may_stop_between_weights_and_bias(rng, name):
    """Where it does not, both are one layer: the bits are the same."""
    stack, shape, offset = stacks(rng)[name]
    graph, images = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset), images_of(rng, shape)
    for seed in range(3):
        for cut in range(1, len(graph.nodes)):
            known = graph.values(graph.values({-1: images}, cut))
            assert np.array_equal(graph.scores_of(known), graph.scores(images))
        graph = BitFlips(0.2).apply(graph, seed)


def test_margins_count_the_bias(rng):
    """|h + b - s| of each unit, and how many of its bits, weights or bias, may be wrong."""
    stack, shape, offset = stacks(rng)["conv and pool"]
    stack, images = biased(stack, rng), images_of(rng, shape)
    graph, folded = (PackedNetwork.from_arrays(layers, shape, offset) for layers in (stored(stack), stack))
    found, wanted = bnnsim.metrics.margins(graph, images).layers, bnnsim.metrics.margins(folded, images).layers
    assert [layer.index for layer in found] == [0, 2, 4]
    assert [layer.mean for layer in found] == [layer.mean for layer in wanted]
    found, wanted = (bnnsim.metrics.bit_error_tolerance(net, images).layers for net in (graph, folded))
    assert [layer.counts.tolist() for layer in found] == [layer.counts.tolist() for layer in wanted]


@pytest.mark.parametrize("layer", [1, 3, 5])
def test_critical_bits_are_flipped_one_by_one(rng, layer):
    stack, shape, offset = stacks(rng)["dense"]
    graph, images = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset), images_of(rng, shape)
    split = bnnsim.Split(images, rng.integers(0, 4, len(images)).astype(np.uint8), "random")
    found = bnnsim.metrics.critical_bits(graph, split, layer)
    n_right = np.count_nonzero(graph.predict(images) == split.labels)
    wanted = [np.count_nonzero(flipped(graph, layer, bit).predict(images) == split.labels) - n_right
              for bit in range(graph.layers[layer].n_in)]
    assert found.effect.tolist() == [wanted]


# ---------------------------------------------------------------- the rest

def test_a_file_holds_it(rng, tmp_path):
    stack, shape, offset = stacks(rng)["conv and pool"]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    graph.save(tmp_path / "net.h5")
    again = PackedNetwork.load(tmp_path / "net.h5")
    assert type(again) is PackedGraph and again.checksum == graph.checksum
    images = images_of(rng, shape)
    assert np.array_equal(again.scores(images), graph.scores(images))
    assert flipped(graph, 1, 2).checksum != graph.checksum


def test_sizes_count_its_bits(rng):
    stack, shape, offset = stacks(rng)["dense"]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    sizes = graph.sizes()
    assert [(size.name, size.binary, size.devices_2t2r, size.macs) for size in sizes[1::2]][:3] == [
        ("bias", 70, 140, 0), ("bias", 9, 18, 0), ("bias", 4, 8, 0)]
    assert sizes[-1].binary == graph.n_bits == 70 * 25 + 70 + 9 * 70 + 9 + 4 * 9 + 4
    assert "1 bias" in graph.summary()


BIASED = {"weight": np.ones((3, 4)), "threshold": np.zeros(3)}
LAST = {"weight": np.ones((2, 3))}
REFUSED = {
    "no sign": ({**BIASED, "bias": [1, -1, 0], "store_bias": True}, LAST, ValueError, "must be .-1 .*np.where"),
    "real": ({**BIASED, "bias": [0.5, -0.5, 0.5], "store_bias": True}, LAST, ValueError, "must be .-1 .*0.5"),
    "of two sizes": ({**BIASED, "bias": [1, 2, 1], "store_bias": True}, LAST, ValueError, "must be .-1 "),
    "too large": ({**BIASED, "bias": [1e9, 1e9, 1e9], "store_bias": True}, LAST, ValueError, "must be .-1 "),
    "none": ({**BIASED, "store_bias": True}, LAST, ValueError, "a bias, which is missing"),
    "a word": ({**BIASED, "bias": [1, 1, 1], "store_bias": "yes"}, LAST, TypeError, "store_bias must be True"),
    "another shape": ({**BIASED, "bias": [1, 1]}, LAST, ValueError, r"layers\[0\] bias must have shape \(3,\)"),
    "not finite": ({**BIASED, "bias": [1, np.inf, 1]}, LAST, ValueError, r"layers\[0\] bias"),
    "signs at the end": ({**BIASED, "bias": [1, 1, -1], "store_bias": True}, {**LAST, "threshold": np.zeros(2)},
                         ValueError, r"layers\[1\] must not have a threshold where biases are stored"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    first, last, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        PackedNetwork.from_arrays([first, last], (1, 2, 2))


def layer(kind, weight, **fields):
    weight = np.asarray(weight, np.int8)
    return PackedLayer(kind, weight.shape[-1], pack_signs(weight), **fields)


SCORES = {"mean": np.zeros(3), "scale": np.ones(3), "shift": np.zeros(3)}
ONES = np.ones((3, 4))
WRONG_NODES = {
    "bits": ([(layer("dense", ONES, threshold=np.zeros(3, "i4"), inverted=np.zeros(3, bool)), (-1,)),
              (layer("bias", np.ones((1, 3)), pad_value=1, **SCORES), (0,))], "a bias reads sums .*, got bits"),
    "pixels": ([(layer("bias", np.ones((1, 3)), pad_value=1, **SCORES), (-1,))], "a bias reads sums .*, got pixels"),
    "another number of units": ([(layer("dense", ONES), (-1,)), (layer("bias", np.ones((1, 4)), pad_value=1), (0,))],
                                "a bias of 3 units must have one row of as many bits, got 1 of 4"),
    "a row each": ([(layer("dense", ONES), (-1,)), (layer("bias", np.ones((3, 1)), pad_value=1), (0,))],
                   "must have one row of as many bits, got 3 of 1"),
    "no level": ([(layer("dense", ONES), (-1,)), (layer("bias", np.ones((1, 3)), **SCORES), (0,))], "pad_value"),
    "a stride": ([(layer("dense", ONES), (-1,)), (layer("bias", np.ones((1, 3)), pad_value=1, stride=2), (0,))],
                 "stride"),
    "a pool of rows": ([(layer("dense", ONES), (-1,)), (layer("bias", np.ones((1, 3)), pad_value=1, pool=2,
                       threshold=np.zeros(3, "i4"), inverted=np.zeros(3, bool)), (0,))], "has no pool"),
    "two inputs": ([(layer("dense", ONES), (-1,)), (layer("dense", ONES), (-1,)),
                    (layer("bias", np.ones((1, 3)), pad_value=1, **SCORES), (0, 1))], "the number of inputs"),
}


@pytest.mark.parametrize("name", WRONG_NODES)
def test_where_it_cannot_stand(name):
    nodes, message = WRONG_NODES[name]
    with pytest.raises(ValueError, match=message):
        PackedGraph([Node(*node) for node in nodes], (1, 2, 2))


def test_layers_in_a_row_have_none():
    with pytest.raises(ValueError, match=r"layers\[1\] kind is bias: .* PackedGraph"):
        PackedNetwork([layer("dense", ONES, threshold=np.zeros(3, "i4"), inverted=np.zeros(3, bool)),
                       layer("bias", np.ones((1, 3)), pad_value=1, **SCORES)], (1, 2, 2))


def test_graphs_are_not_trained_on(rng):
    stack, shape, offset = stacks(rng)["dense"]
    graph = PackedNetwork.from_arrays(stored(biased(stack, rng)), shape, offset)
    with pytest.raises(TypeError, match="layers in a row, got PackedGraph; train on the Graph"):
        bnnsim.unpack(graph, bnnsim.Split(images_of(rng, shape), np.zeros(40, np.uint8), "zeros"))
