"""Convolutions of any geometry, packed: sums, bits, files, equal to tap-by-tap sums."""

import naive_geometry as naive
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bnnsim import PackedNetwork
from bnnsim.packed.settings import same_padding

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def pair(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw):
    """Settings of a convolution with its pool, as `from_arrays` takes them, and (H, W, C, K, kernel)."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5, 70]))
    n_in = draw(st.sampled_from([1, 2, 3, 20, 64, 65])) if groups < 70 else draw(st.sampled_from([1, 2]))
    units = groups * draw(st.sampled_from([1, 2, 3, 16] if groups < 70 else [1]))
    kernel, dilation, stride = draw(pair(1, 4)), draw(pair(1, 3)), draw(pair(1, 3))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(4))
    height, width = draw(pair(1, 9))
    replicate = draw(st.booleans())
    fields = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups, "replicate": replicate}
    if not replicate:
        fields["pad_value"] = draw(st.integers(-1, 1))
    size = draw(pair(1, 3))
    fields |= {"pool": size, "pool_stride": draw(pair(1, 3)),
               "pool_padding": tuple(draw(st.integers(0, k - 1)) for k in size * 2)}
    out = [(s + a + b - d * (k - 1) - 1) // t + 1 for s, a, b, d, k, t
           in zip((height, width), padding[:2], padding[2:], dilation, kernel, stride)]
    assume(min(out) >= 1)
    assume(all(s + a + b >= k for s, a, b, k in zip(out, fields["pool_padding"][:2], fields["pool_padding"][2:], size)))
    return fields, (height, width, n_in * groups, units, kernel)


def network_of(rng, fields, sizes, input_shape, first):
    """A network whose layer 0 or 1 has this geometry, +-1 weights (K, kh, kw, n_in), thresholds and inversion."""
    height, width, channels, units, kernel = sizes
    weight = rng.choice([-1, 1], (units, *kernel, channels // fields["groups"]))
    theta, inverted = rng.integers(-4, 5, units), rng.random(units) < 0.5
    own = {**fields, "weight": weight, "threshold": theta, "inverted": inverted, "order": "HWC"}
    before = [] if first else [{"weight": rng.choice([-1, 1], (channels, 1, 1, 1)), "order": "HWC",
                                "threshold": rng.integers(-1, 2, channels) * 50}]
    h = naive.conv(np.zeros((1, height, width, channels)), weight, *arguments(fields))
    pooled = naive.pool(h, fields["pool"], fields["pool_stride"], fields["pool_padding"])
    last = {"weight": rng.choice([-1, 1], (3, pooled[0].size))}
    return PackedNetwork.from_arrays([*before, own, last], input_shape, 100), weight, theta, inverted


def arguments(fields):
    return (fields["stride"], fields["padding"], fields.get("pad_value", 0), fields["replicate"], fields["dilation"],
            fields["groups"])


@few
@given(geometries(), st.booleans(), st.integers(0, 2**32 - 1))
def test_sums_and_bits(geometry, first, seed):
    fields, (height, width, channels, *_) = geometry
    rng = np.random.default_rng(seed)
    shape = (channels if first else 1, height, width)
    network, weight, theta, inverted = network_of(rng, fields, geometry[1], shape, first)
    images = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    stage = network.stages[0 if first else 1]
    x = network.run(0, images, stage.index)
    values = np.moveaxis(images.astype(int), 1, 3) - 100 if first else \
        2 * ((x[..., np.arange(channels) // 64] >> (np.arange(channels) % 64).astype(np.uint64)) & np.uint64(1)
             ).astype(int) - 1
    h = naive.conv(values, weight, *arguments(fields))
    np.testing.assert_array_equal(stage.sums(x).reshape(h.shape), h)
    pooled = naive.pool(h, fields["pool"], fields["pool_stride"], fields["pool_padding"])
    bits = (pooled >= theta) ^ inverted
    assert stage.output_shape == bits.shape[1:]
    scores = np.where(bits, 1, -1).reshape(len(images), -1) @ network.layers[-1].signs().astype(int).T
    np.testing.assert_array_equal(network.scores(images), scores)
    np.testing.assert_array_equal(stage.patches(x).astype(int) @ stage.signs_by_summand.astype(int),
                                  h.reshape(len(images), -1, h.shape[-1]))


@few
@given(geometries(), st.integers(0, 2**32 - 1))
def test_files_keep_it(tmp_path_factory, geometry, seed):
    fields, sizes = geometry
    rng = np.random.default_rng(seed)
    network, *_ = network_of(rng, fields, sizes, (sizes[2], *sizes[:2]), True)
    path = tmp_path_factory.mktemp("geometry") / "network.h5"
    network.save(path)
    again = PackedNetwork.load(path)
    assert again.checksum == network.checksum
    images = rng.integers(0, 256, (2, *network.input_shape), dtype=np.uint8)
    np.testing.assert_array_equal(again.scores(images), network.scores(images))
    assert [layer.fields().keys() for layer in again.layers] == [layer.fields().keys() for layer in network.layers]


@pytest.mark.parametrize(("size", "kernel", "stride", "before", "after"), [
    (7, 3, 1, 1, 1), (7, 2, 1, 0, 1), (8, 3, 2, 0, 1), (7, 3, 2, 1, 1), (224, 11, 4, 3, 4), (5, 1, 3, 0, 0)])
def test_same_padding_is_kerass(size, kernel, stride, before, after):
    """Worked out by hand of ceil(size / stride) outputs; 224, 11, 4 is BinaryAlexNet's."""
    assert same_padding((size, size), (kernel, kernel), (stride, stride)) == (before, before, after, after)
    assert -(-size // stride) == len(naive.places(size, kernel, stride, 1, before, after))


def test_a_last_convolution_sums_over_its_positions():
    rng = np.random.default_rng(0)
    weight = rng.choice([-1, 1], (4, 3, 2, 2))
    network = PackedNetwork.from_arrays([{"weight": weight, "stride": (2, 1), "padding": (1, 0, 0, 1), "order": "HWC"}],
                                        (2, 6, 5), 9)
    images = rng.integers(0, 256, (5, 2, 6, 5), dtype=np.uint8)
    h = naive.conv(np.moveaxis(images.astype(int), 1, 3) - 9, weight, (2, 1), (1, 0, 0, 1))
    np.testing.assert_array_equal(network.scores(images), h.sum(axis=(1, 2)))


def test_thresholds_on_the_last_layer_give_signs(tmp_path):
    rng = np.random.default_rng(1)
    weight, theta, inverted = rng.choice([-1, 1], (5, 12)), rng.integers(-500, 500, 5), np.arange(5) % 2 == 0
    network = PackedNetwork.from_arrays([{"weight": weight, "threshold": theta, "inverted": inverted}], (1, 3, 4))
    images = rng.integers(0, 256, (50, 1, 3, 4), dtype=np.uint8)
    wanted = np.where((images.reshape(50, -1).astype(int) @ weight.T >= theta) ^ inverted, 1.0, -1.0)
    np.testing.assert_array_equal(network.scores(images), wanted)
    network.save(tmp_path / "n.h5")
    np.testing.assert_array_equal(PackedNetwork.load(tmp_path / "n.h5").predict(images), wanted.argmax(axis=1))


def test_plain_networks_are_written_as_before(tmp_path):
    """Only what needs version 2 is of version 2."""
    import h5py
    plain = [{"weight": np.ones((2, 3, 3, 1), int), "stride": 2, "padding": 1, "pool": 2, "threshold": [0, 0]},
             {"weight": np.ones((2, 8), int)}]
    for change, version in (({}, 1), ({"pool_stride": 2}, 1), ({"stride": (2, 1)}, 2), ({"replicate": True}, 2)):
        fields = [plain[0] | change, plain[1]]
        if version == 2 and "stride" in change:
            fields[1] = {"weight": np.ones((2, 16), int)}
        PackedNetwork.from_arrays(fields, (1, 8, 8)).save(tmp_path / "n.h5")
        with h5py.File(tmp_path / "n.h5") as file:
            assert file.attrs["format_version"] == version
            assert file["layer0"].attrs["stride"].shape == ((2,) if version == 2 else ())


BAD = [
    ({"stride": (1, 2, 3)}, "stride must be an integer, or 2 of them"),
    ({"padding": (1, 2, 3)}, "padding must be an integer, or 4 of them"),
    ({"padding": "full"}, "padding must be an integer, .* 'same' or 'valid', got 'full'"),
    ({"padding": -1}, "padding"),
    ({"dilation": 0}, "dilation"),
    ({"dilation": 9}, "must fit its input"),
    ({"groups": 3}, "3 groups must part the"),
    ({"replicate": True, "pad_value": 1, "padding": 1}, "pad_value must be 0 where the padding replicates"),
    ({"pad_value": "edge"}, "pad_value must be"),
    ({"pool": (2, 2), "pool_padding": 2}, "pool_padding must be smaller than the pool"),
    ({"pool": 20}, "must fit its input"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_geometry_is_refused(change, message):
    fields = {"weight": np.ones((4, 3, 3, 2), int), "threshold": np.zeros(4), "order": "HWC"} | change
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_arrays([fields, {"weight": np.ones((2, 4), int)}], (2, 6, 6))
