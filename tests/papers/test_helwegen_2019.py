"""K. Helwegen et al., "Latent weights do not exist: rethinking binarized neural network optimization", NeurIPS 2019,
arXiv:1906.02107: its claim in small, see `test_buschjaeger_2020_training` for the network.
"""

import numpy as np

from bnnsim import fit
from bnnsim.datasets.find import load_embedded
from bnnsim.training.architectures import build
from bnnsim.training.optimizers import Adam, Bop


def test_bop_learns_without_latent_weights_what_adam_learns_with_them():
    """Within three points; weights hold nothing but their sign."""
    (train, test), found = load_embedded(), []
    for optimizer in (Adam(), Bop()):
        model = build("FC256 FC256 FC10", (1, 28, 28), rng=0)
        history = fit(model, train[:3000], 3, rng=0, batch_size=128, optimizer=optimizer, progress=False)
        found.append(model.accuracy(test))
    assert found[1] > found[0] - 0.03 and found[0] > 0.7
    for layer in model.weighted:
        assert set(np.unique(layer.parameters["weight"])) == {-1, 1}
    assert np.max(history.flip_ratio[-1]) < np.max(history.flip_ratio[0])
