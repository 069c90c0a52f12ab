"""Shortcuts of a sweep against the whole evaluation: exact equality, whatever is wrong; shared between processes."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from kernel_calls import in_threads

import bnnsim.packed.clean_pass as clean_pass
import bnnsim.packed.shared_arrays as shared_arrays
from bnnsim.campaign import sweep
from bnnsim.datasets import Split
from bnnsim.faults import BitFlips
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack

FCNN, DEEP, CNN = "FC70 FC65 FC10", "FC130 FC64 FC33 FC10", "C10 MP2 C65 MP2 FC64 FC10"


def case(spec, n_images, offset=0, seed=0):
    """(network, images): some thresholds are inverted, so that both directions are there."""
    rng = np.random.default_rng(seed)
    network = pack(build(spec, (1, 8, 8), offset, rng=seed))
    layers = [layer if layer.threshold is None else replace(
        layer, threshold=rng.integers(-200, 200, layer.units).astype(np.int32) if i == 0 else layer.threshold,
        inverted=rng.random(layer.units) < 0.5) for i, layer in enumerate(network.layers)]
    return PackedNetwork(layers, network.input_shape, offset), rng.integers(0, 256, (n_images, 1, 8, 8), np.uint8)


CASES = [(FCNN, 0, None), (FCNN, 128, None), (FCNN, 0, (0,)), (FCNN, 255, (0, 2)), (DEEP, 0, (1,)), (DEEP, 0, (1, 2)),
         (DEEP, 0, (3,)), (CNN, 0, None), (CNN, 3, (0,)), (CNN, 0, (1,)), (CNN, 0, (2,))]


@pytest.mark.parametrize("spec, offset, layers", CASES)
@pytest.mark.parametrize("n_images", [1, 130])
def test_every_shortcut_equals_the_whole_evaluation(spec, offset, layers, n_images):
    """No flips, one flip, few (corrections), many (full product), all."""
    network, images = case(spec, n_images, offset)
    clean = CleanPass(network, images)
    for p in (0, 0.002, 0.05, 0.2, 0.5, 1):
        broken = BitFlips(p, layers).apply(network, rng=3, trial=int(100 * p))
        np.testing.assert_array_equal(in_threads(clean.predict, broken), broken.predict(images))


@pytest.mark.parametrize("spec", [FCNN, DEEP, CNN])
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_over_the_whole_of_int32(spec, seed):
    """Constant units, as published networks have them: h - theta is no int32 (a sweep had 13 % right for 97)."""
    rng = np.random.default_rng(seed)
    network, images = case(spec, 130, seed=seed)
    extremes = np.array([-2**31, -2**31 + 1, -2**30, 2**30, 2**31 - 1, 0, 5])

    def constant(layer):
        theta = np.where(rng.random(layer.units) < 0.5, rng.choice(extremes, layer.units), layer.threshold)
        return replace(layer, threshold=theta.astype(np.int32))
    layers = [layer if layer.threshold is None else constant(layer) for layer in network.layers]
    network = PackedNetwork(layers, network.input_shape)
    split = Split(images, rng.integers(0, 10, 130).astype(np.uint8), "noise")
    rates = [0, 1e-3, 0.05, 0.5]
    swept = sweep(network, split, rates, trials=2, rng=seed, predictions=True, progress=False)
    for r, p in enumerate(rates):
        for trial in range(2 if p else 1):
            broken = BitFlips(p).apply(network, seed, trial)
            np.testing.assert_array_equal(swept.predictions[0, r, trial], broken.predict(images))


@pytest.mark.jit_off
@pytest.mark.parametrize("p", [0.02, 0.5])
def test_shortcuts_interpreted(p):
    network, images = case("FC9 FC10", 2)
    broken = BitFlips(p).apply(network, rng=3)
    np.testing.assert_array_equal(CleanPass(network, images).predict(broken), broken.predict(images))


def test_more_flips_of_a_unit_than_a_16_bit_sum_holds():
    """White images, where every flip counts 255: 300 of them in one unit pass 2^16."""
    network = pack(build("FC8 FC10", (1, 40, 40), rng=0))
    images = np.full((3, 1, 40, 40), 255, np.uint8)
    words = network.layers[0].words.copy()
    words[0] = np.uint64(2**64 - 1)
    network = network.with_words({0: words})
    broken = words.copy()
    broken[0, :6] = 0                                            # 384 weights of unit 0: from +1 to -1
    broken = network.with_words({0: broken})
    clean = CleanPass(network, images)
    assert clean_pass._Plan(clean, broken, [0]).corrections is not None
    h = clean.excess[0, :, 0] + network.layers[0].threshold
    assert h[0] == 1600 * 255
    np.testing.assert_array_equal(clean.predict(broken), broken.predict(images))


def test_corrections_are_used_where_flips_are_few_and_not_where_they_are_many():
    network, images = case(FCNN, 5)
    clean = CleanPass(network, images)
    plans = [clean_pass._Plan(clean, BitFlips(p).apply(network, 1), [0, 1, 2]).corrections for p in (0.01, 0.5)]
    assert plans[0] is not None and plans[1] is None


def test_an_unbroken_copy_costs_no_evaluation(monkeypatch):
    network, images = case(FCNN, 5)
    clean = CleanPass(network, images)
    ref = clean.predictions.copy()
    monkeypatch.setattr(PackedNetwork, "run", None)
    np.testing.assert_array_equal(clean.predict(BitFlips(0).apply(network, 1)), ref)
    same_words = network.with_words({1: network.layers[1].words.copy()})
    np.testing.assert_array_equal(clean.predict(same_words), ref)


def test_late_start_and_early_stop_leave_out_layers(monkeypatch):
    """Only layer 1 is broken, by a flip that changes nothing: layers 0, 2 and 3 must not run."""
    network, images = case(DEEP, 5)
    layer = network.layers[1]
    network = network.with_words({})
    calm = replace(layer, threshold=np.full(layer.units, -1000, np.int32))           # its outputs hang on no weight
    network = PackedNetwork([network.layers[0], calm, *network.layers[2:]], network.input_shape)
    clean = CleanPass(network, images)
    clean.bits(0), clean.bits(1), clean.predictions
    broken, ran = BitFlips(0.3, (1,)).apply(network, 1), []
    whole = Stage.bits
    monkeypatch.setattr(Stage, "scores", None)
    monkeypatch.setattr(Stage, "bits", lambda self, x: ran.append(self.index) or whole(self, x))
    np.testing.assert_array_equal(clean.predict(broken), clean.predictions)
    assert ran == [1]


def test_a_copy_with_other_thresholds_or_of_another_shape_is_evaluated_whole():
    network, images = case(FCNN, 5)
    clean = CleanPass(network, images)
    moved = [replace(layer, threshold=layer.threshold + 40) if i == 0 else layer
             for i, layer in enumerate(network.layers)]
    for other in (PackedNetwork(moved, network.input_shape), case(DEEP, 5)[0], case(FCNN, 5, offset=9)[0]):
        np.testing.assert_array_equal(clean.predict(other), other.predict(images))


def test_arrays_too_large_to_keep_change_nothing(monkeypatch):
    network, images = case(DEEP, 5)
    monkeypatch.setattr(clean_pass, "MOST_BYTES", 60)
    clean = CleanPass(network, images)
    for layers in (None, (1,), (2,)):
        broken = BitFlips(0.02, layers).apply(network, 1)
        np.testing.assert_array_equal(clean.predict(broken), broken.predict(images))
    assert clean.excess is None and clean.bits(0) is None


def test_images_too_large_to_keep_with_few_units_behind_them(monkeypatch):
    """Sums of 8 units fit where the pixels of 64 features do not: no corrections then."""
    network, images = case("FC8 FC10", 5)
    monkeypatch.setattr(clean_pass, "MOST_BYTES", 8 * 128 * 4)
    clean = CleanPass(network, images)
    broken = BitFlips(0.02).apply(network, 1)
    np.testing.assert_array_equal(clean.predict(broken), broken.predict(images))
    assert clean.excess is not None and clean.pixels is None


def test_processes_share_files_and_each_is_made_once(tmp_path, monkeypatch):
    network, images = case(FCNN, 130)
    first = CleanPass(network, images, tmp_path / "clean")
    first.prepare()
    made = sorted(path.name for path in tmp_path.iterdir())
    assert {"clean-predictions.npy", "clean-excess.npy"} <= set(made)
    second = CleanPass(network, images, tmp_path / "clean")
    monkeypatch.setattr(second.network, "predict", None)
    np.testing.assert_array_equal(second.predictions, first.predictions)
    broken = BitFlips(0.02).apply(network, 1)
    np.testing.assert_array_equal(second.predict(broken), broken.predict(images))


def test_a_full_disk_only_ends_the_sharing(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "bnnsim"):
        found = shared_arrays.shared(str(tmp_path / "no" / "such"), lambda: np.arange(3))
    assert found.tolist() == [0, 1, 2] and "not shared" in caplog.text


def test_a_shared_folder_is_the_users_own_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_arrays.tempfile, "tempdir", str(tmp_path))
    with shared_arrays.shared_folder() as folder:
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0
        shared_arrays.shared(f"{folder}/a.npy", lambda: np.zeros(3))
    assert not list(tmp_path.iterdir())
