"""Programming energy against accuracy: 1T1R, 2T2R and SECDED, for the standard and the flip-trained FCNN.

The HfO2 card has the anchors of Hirtzlin et al. 2019 that could be read (BER 3.3 % at 1/30 of the energy), and rows
that are recalled: all joules are, and that the rates are of 2T2R cells. What was made from them is marked so. Rates of
1T1R cells are derived. 2T2R and SECDED(8,4) spend two devices a bit: this is the comparison of Bocquet et al. 2018.

    python examples/rram_energy.py
    python examples/rram_energy.py --dataset fashion --trials 20
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.devices.marks import said, weakest

NETWORKS = {"standard": "fashion_fcnn", "flip-trained": "fashion_fcnn_flip"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--card", default="hfo2_2t2r", help="a device card: a file, or one that comes with bnnsim")
    parser.add_argument("--dataset", default="fashion-subset", help="fashion takes all 10,000 test images")
    parser.add_argument("--images", type=count, help="only the first IMAGES test images")
    parser.add_argument("--trials", type=count, default=10, help="chips a condition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for results and figures")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    test = bnnsim.load_dataset(options.dataset)[1]
    test = test[:options.images]
    networks = {name: bnnsim.load_network(file) for name, file in NETWORKS.items()}
    card = bnnsim.devices.load_card(options.card)

    swept = bnnsim.sweep_card(card, networks, test, "condition", cells=["1T1R", "2T2R"],
                              codes=["none", "secded(8,4)"], trials=options.trials, rng=options.seed)
    print(f"{card!r}\n{test.name}, {len(test):,} images, {options.trials} chips a condition\n\n{swept.table()}\n")
    good = [row for row in swept.rows if row["clean"] - row["mean"] < 0.015]
    known = [(energy, row) for row in good if (energy := row["energy_joule"]) is not None]
    if known:
        energy, cheap = min(known, key=lambda pair: pair[0])
        mark = weakest(mark for row in swept.rows for mark in (row["energy_mark"], row["rate_mark"]) if mark)
        print(said(f"least energy for a loss of under 1.5 points: {1e6 * energy:.3g} uJ", mark) +
              f": {cheap['network']}, {cheap['cell']}, code {cheap['code']}, {cheap['place']}")

    swept.result.save(options.out / "energy.h5")
    swept.plot(options.out / "energy.png")
    swept.plot_pareto(options.out / "pareto.png")
    bnnsim.plotting.redundancy(
        {"SECDED(8,4), two devices a bit": lambda p: bnnsim.faults.exact_residual("secded(8,4)", p),
         "SECDED(72,64), 1.125 devices a bit (idealised)": lambda p: bnnsim.faults.ideal_residual("secded(72,64)", p)},
        options.out / "redundancy.png")
    print("\n".join(f"{options.out}/{name}" for name in ("energy.h5", "energy.png", "pareto.png", "redundancy.png")))


if __name__ == "__main__":
    run(main)
