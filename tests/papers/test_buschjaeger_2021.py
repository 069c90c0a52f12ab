"""Buschjaeger et al. 2021, arXiv:2102.01344: margins and the variance of importance, of the shipped FCNNs.

`fashion_fcnn_flip` is the standard network's twin, trained at bit error rate 0.13.
"""

import numpy as np
import pytest

import bnnsim
import bnnsim.metrics as metrics
from bnnsim.datasets.shipped import data_file


@pytest.fixture(scope="module")
def twins():
    return [bnnsim.PackedNetwork.load(data_file(f"{name}.h5")) for name in ("fashion_fcnn", "fashion_fcnn_flip")]


@pytest.fixture(scope="module")
def test_split():
    return bnnsim.load_embedded()[1]


def test_flip_training_raises_margins_in_every_layer(twins, test_split):
    plain, flip = (metrics.margins(network, test_split.images) for network in twins)
    for one, other in zip(plain.layers, flip.layers, strict=True):
        assert other.mean > one.mean and other.in_spreads(0.1) > one.in_spreads(0.1)
        assert one.counts.sum() == len(test_split) * one.units


def test_flip_training_lowers_the_variance_of_what_the_last_layer_reads_out(twins, test_split):
    """By `readout`. Not so by `ablate`: see the reproductions."""
    plain, flip = (metrics.importance(network, test_split, "readout") for network in twins)
    assert flip.variance < plain.variance


def test_importances_are_normalised_to_1_before_the_variance(twins, test_split):
    found = metrics.importance(twins[0], test_split[:300])
    for layer in found.layers:
        assert np.abs(layer.share).sum() == pytest.approx(1)
        assert layer.variance == pytest.approx(np.var(layer.raw / np.abs(layer.raw).sum()))
    assert found.variance == pytest.approx(np.var(np.concatenate([layer.share for layer in found.layers])))
