"""Networks of any geometry in memory: every weight has its cell, and broken copies are evaluated as they are."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_geometries import networks

import bnnsim
from bnnsim.faults import ArrayMapping, BitFlips, FaultMap
from bnnsim.kernels import are_compiled
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.network import PackedNetwork

pytestmark = pytest.mark.jit_off
few = settings(max_examples=40 if are_compiled() else 5, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(networks(), st.sampled_from(("rows", "columns")))
def test_every_weight_has_its_cell(case, units_on):
    """A grouped layer stores n_in weights a tap, the others' channels nowhere."""
    network, mapping = case[0], ArrayMapping(3, 5, units_on)
    chip = FaultMap.record(BitFlips(0.4), network, rng=0, mapping=mapping)
    broken = chip.apply(network)
    for i, layer in enumerate(network.layers):
        signs = layer.signs()
        unit, weight = (part.ravel() for part in np.indices(signs.shape))
        array, row, column = mapping.address(network, i, unit, weight)
        assert len(set(zip(array.tolist(), row.tolist(), column.tolist()))) == layer.n_bits == signs.size
        found = mapping.weight(network, array, row, column)
        np.testing.assert_array_equal(found, (np.full(len(unit), i), unit, weight))
        flipped = (broken.layers[i].signs() != signs).ravel()
        cells = [bool(chip.array(int(a))[r, c]) for a, r, c in zip(array, row, column)]
        np.testing.assert_array_equal(cells, flipped)


@few
@given(networks(), st.integers(0, 99))
def test_a_clean_pass_is_what_broken_copies_give(case, seed):
    network, images = case
    clean, rng = CleanPass(network, images), np.random.default_rng(seed)
    clean.prepare()
    for rate in (0.02, 0.3):
        broken = BitFlips(rate).apply(network, rng=int(rng.integers(99)))
        kept = rng.random(len(network.layers)) < 0.5
        some = network.with_words({i: layer.words for i, layer in enumerate(broken.layers) if kept[i]})
        for copy in (broken, some):
            np.testing.assert_array_equal(clean.predict(copy), copy.predict(images))


def test_a_single_layer_with_thresholds_is_swept():
    """It has no layer behind it whose input could be corrected."""
    rng = np.random.default_rng(0)
    network = PackedNetwork.from_arrays([{"weight": rng.choice([-1, 1], (4, 12)), "threshold": np.zeros(4, int)}],
                                        (1, 3, 4), 128)
    images = rng.integers(0, 256, (9, 1, 3, 4), np.uint8)
    split = bnnsim.Split(images, network.predict(images), "own", 4)
    found = bnnsim.sweep(network, split, [0, 0.2], trials=3, rng=0, progress=False)
    assert (found.accuracy[0][0] == 1).all() and found.accuracy[0].shape == (2, 3)
    broken = BitFlips(0.02).apply(network, rng=3)
    np.testing.assert_array_equal(CleanPass(network, images).predict(broken), broken.predict(images))
