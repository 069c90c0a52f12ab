"""Greedy attacks: every set that they return breaks, by naive evaluation, and none is smaller than a certificate."""

import naive_flips
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_certificates import NORMS, SHAPES, case, wide

from bnnsim.kernels import are_compiled
from bnnsim.proofs.attack import breaking_flips
from bnnsim.proofs.certificates import certified_flips


@pytest.mark.jit_off
@settings(max_examples=12 if are_compiled() else 3)
@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**20), NORMS)
def test_sets_found_do_break_and_are_larger_than_certificates(shape, seed, norm):
    """A certificate is below every breaking set: an attack that beats one refutes it."""
    network, images = case(shape, seed, norm)
    certified, layers = certified_flips(network, images, True), naive_flips.of_packed(network)
    for i in range(len(layers)):
        for n, found in enumerate(breaking_flips(network, images, i)):
            if found is not None:
                assert len(found) == len(set(found.tolist())) > max(certified.layers[n, i], certified.whole[n])
                weight = naive_flips.flipped(layers[i]["weight"], [found])
                assert naive_flips.classes(layers, images[n], network.input_offset, {i: weight})[0] != \
                    certified.predictions[n]


def test_attacks_come_near_the_truth_where_it_is_known():
    """The last layer's certificate is exact; here two classes share the gains and greedy flips are the fewest."""
    network, images = wide()
    certified = certified_flips(network, images)
    sizes = [[len(found) for found in breaking_flips(network, images, i)] for i in range(3)]
    np.testing.assert_array_equal(sizes[2], certified.layers[:, 2] + 1)
    assert (np.array(sizes[1]) <= 1.15 * certified.layers[:, 1] + 1).all()


def test_most_conv_and_dense_attacks_succeed():
    """An attack that gives up at once would make every certificate look tight."""
    n_found = n = 0
    for shape in ("one hidden", "two hidden", "two convs", "conv, dense"):
        for seed in range(8):
            network, images = case(shape, seed)
            exact = certified_flips(network, images).layers[:, -1] < network.layers[-1].n_bits
            for i in range(len(network.layers)):
                found = np.array([one is not None for one in breaking_flips(network, images, i)])
                n, n_found = n + exact.sum(), n_found + (found & exact).sum()
    assert n > 50 and n_found > 0.5 * n


def test_few_steps_find_nothing_rather_than_something_wrong():
    network, images = wide()
    assert breaking_flips(network, images, 2, most_steps=3) == [None] * 3
    assert breaking_flips(network, images[:0], 0) == []


NETWORK, IMAGES = case("one hidden", 0)


@pytest.mark.parametrize("call, error, message", [
    (lambda: breaking_flips("x.h5", IMAGES, 0), TypeError, "network must be a PackedNetwork"),
    (lambda: breaking_flips(NETWORK, IMAGES, 2), ValueError, "layer must be in"),
    (lambda: breaking_flips(NETWORK, IMAGES, 0, 0), ValueError, "most_steps must be >= 1"),
    (lambda: breaking_flips(NETWORK, IMAGES[0], 0), ValueError, "images must have shape")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
