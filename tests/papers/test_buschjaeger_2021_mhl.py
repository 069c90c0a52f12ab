"""S. Buschjaeger et al., "Margin-maximization in binarized neural networks for optimizing bit error tolerance", DATE
2021, in small: see `test_buschjaeger_2020_training` for the network. That it beats flip training is not tested here.
"""

import numpy as np

from bnnsim import fit, pack
from bnnsim.datasets.find import load_embedded
from bnnsim.faults import BitFlips
from bnnsim.training.architectures import build
from bnnsim.training.losses import ModifiedHinge


def run(loss, output_norm):
    """(accuracy without errors, accuracy at 0.1, mean lead of the right class's score) on the test images."""
    train, test = load_embedded()
    model = build("FC256 FC256 FC10", (1, 28, 28), output_norm=output_norm, rng=0)
    fit(model, train[:3000], 3, rng=0, batch_size=128, loss=loss, progress=False)
    network = pack(model)
    broken = np.mean([BitFlips(0.1).apply(network, 0, chip).accuracy(test) for chip in range(5)])
    scores, rows = model.scores(test.images), np.arange(len(test))
    right = scores[rows, test.labels]
    scores[rows, test.labels] = -np.inf
    return network.accuracy(test), broken, np.mean(right - scores.max(1))


def test_the_modified_hinge_loss_trains_tolerance_without_injecting_faults():
    """Integer logits lead by more under MHL than under cross entropy, and errors cost less than of either output."""
    normed, plain = run("cross-entropy", True), run("cross-entropy", False)
    hinge = run(ModifiedHinge(b=128), False)
    assert hinge[2] > 1.5 * plain[2]
    for clean, broken, _ in (normed, plain):
        assert hinge[0] - hinge[1] < (clean - broken) / 2
    assert hinge[1] > plain[1] + 0.1
