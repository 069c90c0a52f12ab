"""T. Hirtzlin et al., "Outstanding bit error tolerance of resistive RAM-based binarized neural networks", AICAS 2019,
arXiv:1904.03652: claims of its abstract, one test each.

The paper's networks are for MNIST and CIFAR-10 and were never read; here are the shipped Fashion-MNIST networks, on the
2,000 embedded test images, whose accuracy has a standard error of 0.7 points. Differences are taken on the same images.
"""

import numpy as np
import pytest

from bnnsim.datasets.find import load_embedded
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import load_card
from bnnsim.faults import BitFlips
from bnnsim.packed.network import PackedNetwork

CHIPS = 5


@pytest.fixture(scope="module")
def images():
    return load_embedded()[1]


def network(name):
    return PackedNetwork.load(data_file(f"{name}.h5"))


def drop(net, fault, images):
    """Mean loss of accuracy over chips, in points."""
    clean = net.accuracy(images)
    return 100 * np.mean([clean - fault.apply(net, 0, trial).accuracy(images) for trial in range(CHIPS)])


def test_a_standard_network_bears_an_error_rate_of_1e_4(images):
    """"Up to 1e-4 with little impact"; and 4e-2 is too much for it."""
    standard = network("fashion_fcnn")
    assert drop(standard, BitFlips(1e-4), images) < 0.3
    assert drop(standard, BitFlips(4e-2), images) > 2 * drop(network("fashion_fcnn_flip"), BitFlips(4e-2), images)


def test_adapted_training_extends_it_to_4e_2(images):
    """Trained with flips, at a rate of 0.13 here: within 1.5 points."""
    assert drop(network("fashion_fcnn_flip"), BitFlips(4e-2), images) < 1.5


def test_the_ultra_low_power_condition_costs_little_accuracy_at_a_thirtieth_of_the_energy(images):
    """BER 3.3 %, energy / 30: both numbers of the card are read in a publication, not recalled."""
    card, net = load_card("hfo2_2t2r"), network("fashion_fcnn_flip")
    fault = card.fault(condition="ultra-low power")
    assert fault.error_rates().mean == 0.033 and card.rate_mark(condition="ultra-low power") == "read"
    assert drop(net, fault, images) < 1.5
    ratio = card.relative_energy("reference") / card.relative_energy("ultra-low power")
    assert ratio == pytest.approx(30)
    assert {card.provenance("energy_relative", each) for each in ("reference", "ultra-low power")} == {("read",)}


def test_the_recalled_energies_have_the_verified_ratio():
    """What was recalled does not contradict what was read."""
    card, net = load_card("hfo2_2t2r"), network("fashion_fcnn_flip")
    energies = [card.energy_joule(net, condition=each) for each in card.conditions]
    assert energies[0] / energies[2] == pytest.approx(30) and energies == sorted(energies, reverse=True)
    for each, energy in zip(card.conditions, energies):
        assert card.relative_energy(each) == pytest.approx(energy / energies[0])
