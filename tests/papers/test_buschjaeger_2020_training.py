"""S. Buschjaeger et al., "Towards explainable bit error tolerance of resistive RAM-based binarized neural networks",
arXiv:2002.00909: claims on training, one test each, in small.

A network of two hidden layers of 256, trained for three epochs on 3,000 of the embedded Fashion-MNIST images; accuracy
is that of the 2,000 embedded test images, the mean over five chips.
"""

import numpy as np
import pytest

from bnnsim import fit, pack
from bnnsim.datasets.find import load_embedded
from bnnsim.faults import BitFlips
from bnnsim.training.architectures import build
from bnnsim.training.layers import BatchNormSign
from bnnsim.training.regularisers import DirectRegulariser

RATES = (0.0, 0.05, 0.1, 0.2)


def trained(**settings):
    train, _ = load_embedded()
    model = build("FC256 FC256 FC10", (1, 28, 28), rng=0)
    fit(model, train[:3000], 3, rng=0, batch_size=128, progress=False, **settings)
    return model


def accuracies(model):
    """Percent at each rate."""
    network, test = pack(model), load_embedded()[1]
    return np.array([100 * np.mean([BitFlips(p).apply(network, 0, chip).accuracy(test) for chip in range(5)])
                     for p in RATES])


def mean_tolerance(model, images):
    """T of the network by eqs. (2) to (6): the mean over its hidden neurons."""
    x, found = images, []
    for layer in model.layers:
        if isinstance(layer, BatchNormSign):
            mean, scale, shift = layer.affine()
            found.append((np.abs(x - (mean - shift / scale)) - 1) / (2 if found else 2 * 255))
        x = layer.forward(x)
    return np.concatenate(found, axis=1).mean()


@pytest.fixture(scope="module")
def standard():
    return trained()


def test_flip_training_trades_clean_accuracy_for_accuracy_under_errors(standard):
    """Trained at 0.1: worse without errors, better at twice the rate, and a flatter curve between."""
    plain, flipped = accuracies(standard), accuracies(trained(flip_rate=0.1))
    assert flipped[0] < plain[0] - 2 and flipped[3] > plain[3] + 2
    assert flipped[0] - flipped[2] < (plain[0] - plain[2]) / 2


def test_the_direct_regulariser_raises_tolerance_and_lowers_accuracy_at_every_rate(standard):
    """Section IV's negative result."""
    regularised, images = trained(regulariser=DirectRegulariser(1.0, 16)), load_embedded()[1].images[:500]
    assert mean_tolerance(regularised, images) > 2 * mean_tolerance(standard, images)
    assert np.all(accuracies(regularised) < accuracies(standard) - 5)
