"""What published memories leave of the standard FCNN (full lines and marks) and of the one trained with bit errors.
    python examples/technologies.py --trials 10 --seed 0
"""

import argparse
import json
import sys
import textwrap

from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.devices.marks import either, said

NETWORKS = {"standard": "fashion_fcnn", "flip-trained": "fashion_fcnn_flip"}
PANELS = {**dict.fromkeys(("hfo2_2t2r", "stt_mram", "fefet"), "condition"), "ddr3_temperature": "temperature",
          "ddr3_trcd": "timing", "fpga_bram": "voltage", "pcm_drift": "time", "rram_relaxation": "time",
          "rram_unverified": "sigma"}
PLACES = {"timing": [5e-9, 5.5e-9, 6e-9, 6.5e-9, 7e-9, 7.5e-9, 8.5e-9, 1e-8], "sigma": [1, 1.5, 2, 2.5, 3, 3.5, 4, 5]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=count, help="only the first IMAGES")
    parser.add_argument("--trials", type=count, default=3, help="chips a place")
    parser.add_argument("--standard-only", action="store_true", help="without the network trained with bit errors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    networks = {name: bnnsim.load_network(file) for name, file in NETWORKS.items()
                if name == "standard" or not options.standard_only}
    test = bnnsim.load_dataset(options.dataset)[1][:options.images]
    figure, lost = Figure(figsize=(12, 9.5), layout="constrained"), dict[object, str]()
    for ax, (name, axis) in zip(figure.subplots(3, 3, sharey=True).flat, PANELS.items()):
        card, known = bnnsim.devices.load_card(name), bnnsim.devices.AXES[axis]
        label = {"timing": "activation time tRCD (ns)", "condition": ""}.get(
            axis, known.label + f" ({known.unit})" * bool(known.unit))
        for i, condition in enumerate(("",) if axis == "condition" else card.conditions):
            swept = bnnsim.sweep_card(card, networks, test, axis, PLACES.get(axis), trials=options.trials,
                                      at={"condition": condition} if condition else {}, rng=options.seed)
            print(f"{card.name} {condition}\n{swept.table()}\n")
            for network, line, face in zip(networks, ("-", "--"), (f"C{i}", "white")):
                rows = [row for row in swept.rows if row["network"] == network]
                x = [n if axis == "condition" else float(row["place"]) * (1e9 if axis == "timing" else 1)
                     for n, row in enumerate(rows)]
                ax.plot(x, [100 * max(row["clean"] - row["mean"], 5e-4) for row in rows], "osD"[i],
                        linestyle="" if axis == "condition" else line, markersize=5, color=f"C{i}",
                        markerfacecolor=face, label=f"{network}{', ' * bool(condition)}{condition}")
            lost |= {(name, condition, row["place"]): said(f"{100 * (row['mean'] - row['clean']):+.1f} at BER "
                     f"{row['ber']:.2g}", row["rate_mark"]) for row in swept.rows[:len(swept.places)]}
        ax.set_title(f"{name}: {either(swept.marks())}", fontsize=9)
        ax.set(xlabel=label, xscale="log" if known.log else "linear", yscale="log", xmargin=0.15)
        if axis == "condition":
            ax.set_xticks(x, [textwrap.fill(str(row["place"]), 11, break_long_words=False) + (
                f"\nBER {row['ber']:.1g}") + (
                f"\n{1e6 * row['energy_joule']:.2g} uJ" if row["energy_joule"] else "") for row in rows], fontsize=6)
        ax.legend(fontsize=6)
    figure.supylabel("accuracy lost (percent points; 0.05 or less)", fontsize=9)
    figure.savefig(options.out / "technologies.png", dpi=150)
    even = bnnsim.sweep(networks["standard"], test, [0, 0.02433], options.trials, options.seed).mean()[0]
    shown = {"ST-MRAM, weakly programmed": ("stt_mram", "", "weak programming"), "FeFET, 85 C": ("fefet", "", "85 C"),
             "HfO2, ultra-low power": ("hfo2_2t2r", "", "ultra-low power"), "block RAM": ("fpga_bram", "VC707", 0.54),
             "DRAM of vendor B at 7.5 ns": ("ddr3_trcd", "vendor B", 7.5e-9)}
    row = {"item": "Device library", "source": "arXiv:1908.04085, 10.1109/TC.2021.3104736, arXiv:1904.03652",
           "literature": "binarized networks stand 0.1 % of ST-MRAM errors; those of FeFET are asymmetric, depend on "
           "temperature and, not countered, make accuracy unacceptable; HfO2 has 3.3 % at 1/30 of the energy",
           "measured": f"points of {len(test):,} test images, standard FCNN: " + "; ".join(
               f"{what} {lost[key]}" for what, key in shown.items()) +
           f"; as many errors, as many of zeros as of ones {100 * (even[1] - even[0]):+.1f}",
           "command": " ".join(["python examples/technologies.py", *sys.argv[1:]])}
    (options.out / "device_library.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/technologies.png and {options.out}/device_library.json")


if __name__ == "__main__":
    run(main)
