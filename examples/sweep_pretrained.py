"""Four of the networks that come with bnnsim, in one figure and one table: accuracy over the bit error rate (BER).

    python examples/sweep_pretrained.py
    python examples/sweep_pretrained.py --dataset fashion --trials 20 --out out/full
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run

SHIPPED = {"FCNN": "fashion_fcnn", "FCNN, flip-trained": "fashion_fcnn_flip", "CNN": "fashion_cnn",
           "CNN, flip-trained": "fashion_cnn_flip"}
RATES = [0, 1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset", choices=("fashion-subset", "fashion"),
                        help="the 2,000 test images that come with bnnsim, or the 10,000 of the full set")
    parser.add_argument("--images", type=count, help="only the first IMAGES, for a quick look")
    parser.add_argument("--trials", type=count, default=5, help="chips a BER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for results and figure")
    return parser.parse_args()


def summary(networks: dict[str, bnnsim.PackedNetwork], result: bnnsim.SweepResult) -> str:
    """A line a network: size, clean accuracy, accuracy at BER 0.01 and 0.1, and the BER that costs one point."""
    lines = [f"{'network':26}{'Mbit':>6}{'clean %':>9}{'at 0.01':>9}{'at 0.1':>8}   BER that costs 1 point (95 %)"]
    for name, network in networks.items():
        clean, low, high = (100 * result.mean()[result.index(name), RATES.index(rate)] for rate in (0, 0.01, 0.1))
        lost = result.tolerated(0.01, name)
        bound = {"inside": "", "at least": ">= ", "below": "< "}[lost.where]
        lines.append(f"{name:26}{network.n_bits / 1e6:6.2f}{clean:9.2f}{low:9.2f}{high:8.2f}   {bound}{lost.rate:.3f}"
                     f" ({lost.low:.3f} to {lost.high:.3f})")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    test = bnnsim.load_dataset(options.dataset)[1]
    test = test[:options.images]
    networks = {name: bnnsim.load_network(file) for name, file in SHIPPED.items()}

    result = bnnsim.sweep(networks, test, RATES, options.trials, rng=options.seed)
    result.save(options.out / "pretrained.h5")
    result.save(options.out / "pretrained.csv")
    result.plot(options.out / "pretrained.png")

    print(f"{test.name}, {len(test):,} images, {options.trials} chips a BER, seed {result.seed}\n")
    print(summary(networks, result))
    print(f"\nevery cell is in {options.out}/pretrained.h5 and {options.out}/pretrained.csv, the figure in "
          f"{options.out}/pretrained.png")


if __name__ == "__main__":
    run(main)
