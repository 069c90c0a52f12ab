"""Yayla et al., arXiv:2102.02631, "Universal approximation theorems of fully connected binarized neural networks"."""

import numpy as np
import pytest

import bnnsim.proofs.universal as universal
import bnnsim.proofs.universal_parts as universal_parts

BOX = [(0, 1), (0, 1)]


def cone(x):
    """Lipschitz with constant 1 in the sup norm, and no smaller one."""
    return np.abs(x - 0.37).max(axis=1)


def test_binarised_inputs_need_one_hidden_layer():
    """Section 3: constructively, a neuron for each point."""
    table = np.random.default_rng(0).random(64) < 0.5
    network = universal.boolean(table, 6)
    assert len(network.layers) == 2                              # one hidden layer, and the read-out
    np.testing.assert_array_equal(universal_parts.values(network, universal_parts.vertices(6)) > 0, table)


@pytest.mark.parametrize("eps", [0.5, 0.2, 0.1])
def test_real_inputs_need_two_hidden_layers_for_lipschitz_functions(eps):
    """Constructively, for any eps; all weights are +-1."""
    network = universal.lipschitz(cone, 1.0, eps, BOX)
    assert len(network.layers) == 3
    assert universal_parts.largest_error(network, cone, 20_000, rng=0) <= eps


def test_real_inputs_are_impossible_with_one_hidden_layer():
    """The saddle on [-1, 1]^2 stays 1 away at any width, where two hidden layers come as near as wanted."""
    box = [(-1, 1)] * 2
    for width in (10, 100, 500):
        network = universal.one_hidden_layer(universal.saddle, box, width, 1e-3)
        assert universal_parts.largest_error(network, universal.saddle, 65**2, rng=0) >= 1 - 1e-9
    network = universal.lipschitz(universal.saddle, 4.0, 0.4, box)
    assert universal_parts.largest_error(network, universal.saddle, rng=0) <= 0.4


def test_neurons_grow_as_eps_falls():
    """Known before anything is built: half of eps takes twice the thresholds and four times the cells of two inputs."""
    sizes = [universal.lipschitz_size(1.0, eps, BOX, 255) for eps in (0.4, 0.2, 0.1)]
    for large, small in zip(sizes, sizes[1:]):
        assert 1.8 < small.first / large.first < 2.4 and 3.2 < small.cells / large.cells < 5.5
