"""What 16-bit gradients cost: their error in one step of training, and the accuracy after training, beside float32's.
    python examples/precision.py                                        # Fashion-MNIST: FCNN and CNN, 3 seeds each
    python examples/precision.py --dataset fashion-subset --networks "C8 MP2 FC64 FC10" --epochs 2

Printed by layer, of 256 images after the first seed's training: the RMS error of dW and dX relative to their RMS (from
the same dH in both precisions), and the share of the non-zero gradients dH that are rounded to 0 on the way to dW (one
unit an output channel) and to dX (one unit an image). Then the test accuracy by precision and seed.
"""

import argparse
import copy
import itertools

import numpy as np

import bnnsim
from bnnsim.commands.scripts import count, run
from bnnsim.training.gradients import Gradient, scattered
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.losses import cross_entropy


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion", help="(default: %(default)s)")
    parser.add_argument("--networks", nargs="+", default=["FC2048 FC2048 FC10", "C64 MP2 C64 MP2 FC2048 FC2048 FC10"])
    parser.add_argument("--epochs", type=count, default=10)
    parser.add_argument("--seeds", type=count, default=3)
    return parser.parse_args()


def error(fixed: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((fixed - exact) ** 2.0) / np.mean(exact ** 2.0)))


def lost(dh: np.ndarray, axes: tuple[int, ...]) -> float:
    """Share of the non-zero gradients that are rounded to 0, with one unit along `axes`."""
    half = np.abs(dh).max(axes, keepdims=True) / 32767 / 2
    return float(np.mean(np.abs(dh[dh != 0]) <= np.broadcast_to(half, dh.shape)[dh != 0]))


def print_errors(model: bnnsim.Sequential, train: bnnsim.Split) -> None:
    model = copy.deepcopy(model)                                # whose running statistics may move
    scores, caches = model.forward_train(train.images[:256])
    dout: Gradient | None = cross_entropy(scores, train.labels[:256])[1]
    print("      layer                  RMS error of dW, dX    non-zero dH rounded to 0 for dW, for dX")
    for i, layer in reversed(list(enumerate(model.layers))):
        assert dout is not None                                 # the first layer alone has no dx
        if not isinstance(layer, Weighted):
            dout = layer.backward(dout, caches[i])[0]
            continue
        dh = scattered(dout).astype(np.float64)
        exact_dx, exact = copy.deepcopy(layer.backward(dout, caches[i], "float32"))
        dx, fixed = layer.backward(dout, caches[i], "fixed16")
        errors, shares = [error(fixed["weight"], exact["weight"])], [lost(dh, tuple(range(dh.ndim - 1)))]
        if dx is not None and exact_dx is not None:
            errors, shares = [*errors, error(dx, exact_dx)], [*shares, lost(dh, tuple(range(1, dh.ndim)))]
        print(f"      {i:2d} {type(layer).__name__:19s} {', '.join(map('{:.1e}'.format, errors)):22s} "
              f"{', '.join(map('{:.2%}'.format, shares))}")
        dout = exact_dx


def main() -> None:
    options = arguments()
    train, test = bnnsim.load_dataset(options.dataset)
    for spec, precision in itertools.product(options.networks, ("fixed16", "float32")):
        print(spec, precision)
        accuracies = []
        for seed in range(options.seeds):
            model = bnnsim.architectures.build(spec, train.images.shape[1:], rng=seed)
            bnnsim.fit(model, train, options.epochs, rng=seed, precision=precision, progress=False)
            if (precision, seed) == ("fixed16", 0):
                print_errors(model, train)
            accuracies.append(100 * model.accuracy(test))
        print(f"  test accuracy {', '.join(f'{a:.2f}' for a in accuracies)} %; mean {np.mean(accuracies):.2f} %")


if __name__ == "__main__":
    run(main)
