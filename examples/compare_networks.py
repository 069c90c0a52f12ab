"""Does training with bit errors help? The standard and the flip-trained FCNN, compared on common chips.

Both networks have one architecture, so chip number t breaks the same cells in both, and both see the same images: most
of what is hard for one is hard for the other. The table has the interval of the difference over chips and images,
paired image by image, and the unpaired one, and says which is smaller.

    python examples/compare_networks.py
    python examples/compare_networks.py --trials 30 --first my_fcnn.h5 --second my_robust_fcnn.h5
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.statistics import Interval

RATES = [0, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--first", metavar="FILE", help="default: the FCNN that comes with bnnsim")
    parser.add_argument("--second", metavar="FILE", help="default: the one trained with flip_rate=0.1")
    parser.add_argument("--images", type=count, help="only the first IMAGES of the 2,000 embedded test images")
    parser.add_argument("--trials", type=count, default=10, help="chips a BER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for results and figure")
    return parser.parse_args()


def points(interval: Interval) -> str:
    """An interval of accuracies as percent points."""
    return f"{100 * interval.low:+7.2f} to {100 * interval.high:+6.2f}"


def main() -> None:
    options = arguments()
    test = bnnsim.load_dataset("fashion-subset")[1]
    test = test[:options.images]
    networks = {"standard": bnnsim.load_network(options.first or "fashion_fcnn"),
                "flip-trained": bnnsim.load_network(options.second or "fashion_fcnn_flip")}

    result = bnnsim.sweep(networks, test, RATES, options.trials, rng=options.seed, predictions=True)
    differences = result.compare("flip-trained", "standard", labels=test.labels)
    print(f"{test.name}, {len(test):,} images, {options.trials} common chips a BER, seed {result.seed}\n")
    print(f"{'BER':>6}{'standard':>10}{'flip-trained':>14}{'difference':>12}   {'95 %, paired':19}{'95 %, unpaired':19}"
          "smaller")
    for rate, means, difference in zip(RATES, result.mean().T, differences):
        print(f"{rate:6g}{100 * means[0]:10.2f}{100 * means[1]:14.2f}{100 * difference.paired.mean:+12.2f}"
              f"   {points(difference.paired):19}{points(difference.unpaired):19}{difference.best}")
    for name in networks:
        tolerated = result.tolerated(0.01, name)
        print(f"{name:>12} loses one point at a BER of {tolerated.rate:.4f} ({tolerated.where} the rates run; 95 % "
              f"interval {tolerated.low:.4f} to {tolerated.high:.4f})")
    result.save(options.out / "compare.h5")
    result.plot(options.out / "compare.png")
    print(f"every cell is in {options.out}/compare.h5, the figure in {options.out}/compare.png")


if __name__ == "__main__":
    run(main)
