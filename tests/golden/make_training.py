"""Makes training.json: first scores, first gradients' norms and ten losses of two small networks.

    python tests/golden/make_training.py

Images are drawn from a seeded generator: each class has a random pattern, and every image is its class's
under noise. Run it anew only for a change that is meant to change what training computes, and say so in
the changelog.
"""

import json
from pathlib import Path

import numpy as np

from bnnsim.training.architectures import build
from bnnsim.training.losses import cross_entropy
from bnnsim.training.optimizers import Adam

CASES = {"fcnn": ("FC48 FC20 FC10", (1, 6, 6), 0, 20),
         "cnn": ("C8 MP2 C70 MP2 FC64 FC10", (3, 12, 12), 128, 24)}


def synthetic(shape, n_images, rng):
    """Images (N, C, H, W) and labels of ten classes."""
    patterns, labels = rng.integers(0, 256, (10, *shape)), rng.integers(0, 10, n_images)
    noise = rng.integers(0, 256, (n_images, *shape))
    return ((2 * patterns[labels] + noise) // 3).astype(np.uint8), labels.astype(np.uint8)


def trajectory(case):
    """Ten Adam steps on one batch."""
    spec, shape, offset, n_images = CASES[case]
    images, labels = synthetic(shape, n_images, np.random.default_rng(2019))
    model, optimizer, found = build(spec, shape, offset, rng=7), Adam(0.01), {"losses": []}
    for step in range(1, 11):
        scores, caches = model.forward_train(images)
        loss, dscores = cross_entropy(scores, labels)
        gradients = model.backward(dscores, caches)
        found["losses"].append(loss)
        if step == 1:
            found["first_scores"] = scores[0].tolist()
            found["gradient_norms"] = {f"{i}.{name}": float(np.linalg.norm(gradient.astype(np.float64)))
                                       for i, each in enumerate(gradients) for name, gradient in each.items()}
        model.update(gradients, optimizer, 1.0, step)
    return found


if __name__ == "__main__":
    target = Path(__file__).with_name("training.json")
    target.write_text(json.dumps({case: trajectory(case) for case in CASES}, indent=1) + "\n")
