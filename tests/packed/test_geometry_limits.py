"""Packed layers of geometry at their limits, and settings that are none."""

import numpy as np
import pytest

import bnnsim
from bnnsim import PackedNetwork
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.layer import PackedLayer


@pytest.mark.parametrize("name", ["stride", "padding", "pool", "pool_stride", "pool_padding", "dilation"])
@pytest.mark.parametrize("value", [[[1, 1], [1, 1]], [[1], [1]], np.array(1), np.ones((2, 2), int), ((1, 2), 3),
                                   [{}, 1]])
def test_settings_that_are_none_are_refused_by_name(name, value):
    fields = {"weight": np.ones((4, 3, 3, 2), int), "threshold": np.zeros(4), "order": "HWC", name: value}
    with pytest.raises((TypeError, ValueError), match=rf"layers\[0\] {name}.* must be an integer"):
        PackedNetwork.from_arrays([fields, {"weight": np.ones((2, 4), int)}], (2, 6, 6))


def test_a_dense_layer_reads_all_whatever_its_padding_is_called():
    plain, same = (PackedNetwork.from_arrays([{"weight": np.ones((2, 72), int), **more}], (2, 6, 6))
                   for more in ({}, {"padding": "same", "pool_padding": "same"}))
    assert plain.checksum == same.checksum


def test_broken_copies_of_one_layer_with_thresholds():
    rng = np.random.default_rng(0)
    network = PackedNetwork.from_arrays([{"weight": rng.choice([-1, 1], (5, 12)),
                                          "threshold": rng.integers(-300, 300, 5)}], (1, 3, 4))
    images = rng.integers(0, 256, (150, 1, 3, 4), dtype=np.uint8)
    broken = bnnsim.faults.BitFlips(0.1).apply(network, 3)
    assert broken.checksum != network.checksum
    np.testing.assert_array_equal(CleanPass(network, images).predict(broken), broken.predict(images))


def test_one_tap_has_no_dilation():
    """Its columns would be moved apart, up to 65,536 for each there is."""
    rng = np.random.default_rng(0)
    one = [PackedNetwork.from_arrays([{"weight": weight, "order": "HWC", "dilation": dilation}], (1, 7, 3))
           for weight in [rng.choice([-1, 1], (2, 3, 1, 1))] for dilation in (2, (2, 60_000))]
    assert one[0].stages[0].geometry == one[1].stages[0].geometry
    images = rng.integers(0, 256, (4, 1, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(one[0].scores(images), one[1].scores(images))


def test_margins_of_groups_that_read_pixels_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    weight, theta = rng.choice([-1, 1], (6, 2, 3, 2)), rng.integers(-300, 300, 6)
    images = rng.integers(0, 256, (9, 4, 5, 6), dtype=np.uint8)
    images[:, 2:] //= 4
    images[:2, :2, :3] = 100                                    # the offset: no summands at some positions

    def found(part, channels, **more):
        first = {"weight": weight[part], "threshold": theta[part], "order": "HWC", "padding": 1, **more}
        last = {"weight": np.ones((2, 36 * len(theta[part])), int)}
        network = PackedNetwork.from_arrays([first, last], (len(channels), 5, 6), 100)
        return bnnsim.metrics.margins(network, images[:, channels]).layers[0]

    whole = found(slice(0, 6), [0, 1, 2, 3], groups=2)
    parts = found(slice(0, 3), [0, 1]), found(slice(3, 6), [2, 3])
    np.testing.assert_array_equal(whole.over_spread, np.concatenate([part.over_spread for part in parts]))
    np.testing.assert_array_equal(whole.by_neuron, np.concatenate([part.by_neuron for part in parts]))


def layer(weight, **more):
    return {"weight": weight, "order": "HWC", "threshold": np.zeros(len(weight)), **more}


ONE = np.ones((1, 1, 1, 1), int)
HOSTILE = [                         # a few bytes that ask for much: kernels take tables and buffers in proportion
    ([layer(ONE, padding=65_536)], "values of its input with a padding"),
    ([layer(ONE, padding=65_536, replicate=True)], "values of its input with a padding"),
    ([layer(ONE, dilation=65_535, stride=65_536, pool_stride=10**9)], "pool_stride must be in"),
    ([layer(ONE, groups=10**6)], "1000000 groups must part"),
    ([layer(np.ones((1, 1, 60_000, 1), int), padding=(0, 59_999, 0, 59_999))], "output positions times .* taps"),
    ([layer(ONE, padding=2047, pool=2048, pool_stride=1)], "its pool's windows times that of their entries"),
    ([layer(ONE, padding=2047), *4 * [layer(ONE)], layer(ONE, pool_stride=4095)],
     r"output positions times .* of layers up to \[4\]"),
    ([{"weight": ONE, "order": "HWC", "padding": 2047}], "values of its output"),
]


@pytest.mark.parametrize("row", range(len(HOSTILE)))
def test_what_would_take_too_much_is_refused(row):
    layers, message = HOSTILE[row]
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_arrays([*layers, {"weight": np.ones((2, 1), int)}] if row + 1 < len(HOSTILE) else layers,
                                  (1, 1, 1))


def test_sums_of_groups_that_run_together_fit():
    """Each group's would; 64 of them, added up with the others' weights, would wrap."""
    weight = np.ones((64, 363, 363, 1), np.int8)
    with pytest.raises(ValueError, match="groups that share a word, twice, which must fit int32"):
        PackedNetwork.from_arrays([{"weight": weight, "groups": 64, "order": "HWC"}], (64, 363, 363), 255)


def test_large_maps_go_through_a_few_images_at_a_time(monkeypatch):
    import bnnsim.packed.network as packed

    rng = np.random.default_rng(0)

    def made():
        return PackedNetwork.from_arrays(
            [layer(weights[0], padding=2, replicate=True), layer(weights[1], groups=2, pool=2),
             {"weight": weights[2], "order": "HWC"}], (2, 6, 6), 100)

    weights = [rng.choice([-1, 1], shape) for shape in ((4, 3, 3, 2), (4, 2, 2, 2), (3, 1, 1, 4))]
    images = rng.integers(0, 256, (70, 2, 6, 6), dtype=np.uint8)
    whole, out = made().scores(images), np.empty((70, 3))
    monkeypatch.setattr(packed, "BLOCK_BYTES", 30_000)
    few = made()
    assert 1 <= few.most_images < 64
    np.testing.assert_array_equal(few.scores(images), whole)
    np.testing.assert_array_equal(few.run(1, few.run(0, images, 1), out=out), whole)
    np.testing.assert_array_equal(out, whole)


def test_settings_of_small_numpy_integers_do_not_overflow():
    fields = {"words": np.ones((2, 3, 3, 1), np.uint64), **{name: np.ones(2) for name in ("mean", "scale", "shift")}}
    plain, *others = (PackedNetwork([PackedLayer("conv", 1, padding=padding, groups=one, stride=(one, one), **fields)],
                                    (1, 100, 100)).stages[0]
                      for one in (1, np.uint8(1)) for padding in (one * 200, (one * 200,) * 4))
    for other in others:
        assert other.geometry == plain.geometry and all(type(size) is int for size in other.geometry)


@pytest.mark.parametrize("name", ["stride", "padding", "groups"])
def test_a_dense_layer_is_told_that_it_has_no_such_setting(name):
    """It was told "[1, 1]"."""
    with pytest.raises(ValueError, match=rf"layers\[0\] {name} must be [01], or left out: this kind of layer has none; "
                                         "got 2"):
        PackedNetwork.from_arrays([{"weight": np.ones((2, 72), int), name: 2}], (2, 6, 6))
