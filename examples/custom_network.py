"""Somebody else's network in bnnsim: weights in PyTorch's layout, made with plain NumPy, checked score by score.

A 3 x 3 convolution with 8 random binary filters, max-pool, thresholds at the medians; then one dense layer, the signs
of a ridge regression of the classes on those bits, and a batch norm. No training loop, three of four images right.

    python examples/custom_network.py
"""

import argparse

import numpy as np

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--trials", type=count, default=5, help="chips a BER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for network and figure")
    return parser.parse_args()


def pooled(images: np.ndarray, conv: np.ndarray) -> np.ndarray:
    """Max-pooled pre-activations (N, K, 14, 14) of 3 x 3 filters (K, 1, 3, 3), zero padding 1; exact in float32."""
    padded = np.pad(images[:, 0].astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).reshape(-1, 28, 28, 9)
    h = (patches @ conv.reshape(-1, 9).T.astype(np.float32)).reshape(-1, 14, 2, 14, 2, len(conv))
    return h.max(axis=(2, 4)).transpose(0, 3, 1, 2)


def derive(train: bnnsim.Split, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """conv (K, 1, 3, 3), thresholds (K,), dense (10, K * 14 * 14) in C, H, W order, and its batch norm."""
    conv = rng.choice([-1, 1], (8, 1, 3, 3))
    h = pooled(train.images, conv)
    threshold, target = np.median(h, axis=(0, 2, 3)), np.eye(10)[train.labels] - 0.1
    bits = np.where(h >= threshold[:, None, None], 1.0, -1.0).reshape(len(h), -1)
    dense = np.where(np.linalg.solve(bits.T @ bits + 1000 * np.eye(bits.shape[1]), bits.T @ target).T >= 0, 1, -1)
    h = bits @ dense.T
    norm = dict(gamma=(target * (h - h.mean(axis=0))).mean(axis=0) / h.std(axis=0), beta=target.mean(axis=0),
                mean=h.mean(axis=0), var=h.var(axis=0), eps=1e-5)
    return conv, threshold, dense, norm


def main() -> None:
    options = arguments()
    train, test = (split[:options.images] for split in bnnsim.load_dataset("fashion-subset"))
    conv, threshold, dense, norm = derive(train, np.random.default_rng(options.seed))

    def packed(flatten: str) -> bnnsim.PackedNetwork:      # conv weights go in as (K, kh, kw, C)
        return bnnsim.PackedNetwork.from_arrays([
            dict(weight=conv.transpose(0, 2, 3, 1), padding=1, pool=2, threshold=threshold),
            dict(weight=dense, flatten=flatten, **norm)], input_shape=(1, 28, 28))
    network = packed("CHW")                    # as in PyTorch; TensorFlow flattens in H, W, C order

    bits = np.where(pooled(test.images, conv) >= threshold[:, None, None], 1, -1).reshape(len(test), -1)
    scores = norm["gamma"] * (bits @ dense.T - norm["mean"]) / np.sqrt(norm["var"] + norm["eps"]) + norm["beta"]
    assert np.allclose(network.scores(test.images), scores, rtol=0, atol=1e-12)
    print(f"all {scores.size:,} scores are those of plain NumPy")

    # feature f of class 0, in H, W, C order, is bit f % 64 of word f // 64; bit 1 is +1
    row, words = dense[0].reshape(8, 14, 14).transpose(1, 2, 0).reshape(-1), network.layers[1].words[0]
    assert all((int(words[f // 64]) >> (f % 64) & 1) == (row[f] == 1) for f in range(len(row)))
    print(f"class 0 in the memory: {len(row):,} bits in {len(words)} words, the first {int(words[0]):#018x}")
    right, wrong = (100 * packed(order).accuracy(test) for order in ("CHW", "HWC"))
    print(f"accuracy {right:.2f} %; with the wrong flatten order {wrong:.2f} %")

    result = bnnsim.sweep({"custom": network}, test, [0, 1e-3, 0.01, 0.03, 0.1, 0.2], options.trials, rng=options.seed)
    print(result.table())
    network.save(options.out / "custom.h5")
    result.plot(options.out / "custom.png")
    print(f"the network is in {options.out}/custom.h5, the figure in {options.out}/custom.png")


if __name__ == "__main__":
    run(main)
