"""Write what README.rst says of the networks in this folder, from the files themselves.

    python data/describe_networks.py
    python data/describe_networks.py --sweep            # measure tolerance.csv first, on the full test sets
    python data/describe_networks.py --sweep mnist_mlp  # of one network: the rows of the others stay
"""

import argparse
import csv
import re
import tempfile
from pathlib import Path

import numpy as np

from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.find import load_dataset
from bnnsim.packed.network import PackedNetwork

FOLDER = Path(__file__).resolve().parent
START, END = ".. networks: start\n", ".. networks: end\n"
RATES = 0.0, 1e-4, 1e-2, 0.033, 0.05, 0.1, 0.2
CHIPS = {"fashion": 10, "mnist": 10, "cifar10": 3}               # of CIFAR-10 a chip takes some seconds


def paths() -> list[Path]:
    """The networks' files."""
    return sorted(FOLDER.glob("*.h5"))


def measure(names: list[str]) -> None:
    """Write tolerance.csv: the accuracy of each network, rate and chip, on the full test set of its data.

    Of `names` alone where there are any: the rows of others that are still there stay.
    """
    networks = {path.stem: PackedNetwork.load(path) for path in paths()}
    file, rows = FOLDER / "tolerance.csv", list[dict[str, str]]()
    if names:
        with open(file, encoding="utf-8", newline="") as old:
            rows = [row for row in csv.DictReader(old) if row["series"] in networks and row["series"] not in names]
    for data in sorted({networks[name].metadata["dataset"] for name in names or networks}):
        of_data = {name: networks[name] for name in names or networks if networks[name].metadata["dataset"] == data}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.csv"
            sweep(of_data, load_dataset(data)[1], RATES, CHIPS[data], rng=0).save(path)
            with open(path, encoding="utf-8", newline="") as part:
                rows += csv.DictReader(part)
    rows.sort(key=lambda row: (row["split"], row["series"]))         # stable: rates and chips stay in order
    with open(file, "w", encoding="utf-8", newline="") as new:
        writer = csv.DictWriter(new, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def tolerance() -> str:
    """The tables of tolerance.csv, one a test set: percent by network and bit error rate, means over chips."""
    by_split: dict[str, dict[str, dict[float, list[float]]]] = {}
    with open(FOLDER / "tolerance.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            of_split = by_split.setdefault(f"all {int(row['n_images']):,} images of {row['split']}", {})
            of_split.setdefault(row["series"], {}).setdefault(float(row["value"]), []).append(
                100 * float(row["accuracy"]))
    return "".join(table(split, accuracies) for split, accuracies in by_split.items())


def table(split: str, accuracies: dict[str, dict[float, list[float]]]) -> str:
    """The table of one test set."""
    first = next(iter(accuracies.values()))
    lines = [f".. list-table:: Accuracy (%) on {split} by bit error rate: mean over {len(next(iter(first.values())))} "
             "chips", "   :header-rows: 1", "", "   * - network"]
    lines += [f"     - {rate:g}" for rate in first]
    for name, by_rate in accuracies.items():
        lines += [f"   * - ``{name}``", *(f"     - {np.mean(values):.2f}" for values in by_rate.values())]
    return "\n".join(lines) + "\n\n"


def choice() -> str:
    """By how much the chosen tolerant networks are ahead of the next, from tolerant_choice.csv."""
    with open(FOLDER / "tolerant_choice.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ahead = []
    for code in dict.fromkeys(row["input_code"] for row in rows):
        means = [float(row["mean"]) for row in rows if row["input_code"] == code]           # the best first
        ahead.append(f"of {len(means)} networks of input code {code} the chosen one leads by {means[0] - means[1]:.2f}")
    return ("How close ``tolerant_choice.csv`` was, in points of the mean over its three bit error rates: "
            f"{', and '.join(ahead)}.\n\n")


def section() -> str:
    """The text between the marks of README.rst."""
    text = START + "\n" + tolerance() + choice()
    for path in paths():
        network = PackedNetwork.load(path)
        told = network.metadata
        n_held = int(told["holdout"])
        chosen = f"chosen on {n_held:,} held-out training images" if n_held else "the last"
        before = f" after {told['trained_before']}" if "trained_before" in told else ""
        at = re.sub(r"BitFlips\(p=(.+), layers=None\)", r"\1", told.get("reestimated_at", ""))
        adapted = f", batch norm re-estimated at BER {at}" if at else ""
        adapted += f", thresholds rescaled for BER {told['rescaled_for']}" if "rescaled_for" in told else ""
        text += (f"``{path.name}``\n"
                 f"    {100 * float(told['test_accuracy']):.2f} % of all {int(told['test_images']):,} official test "
                 f"images ({told['dataset']}), epoch {told['kept_epoch']} of {told['epochs']}{before},\n    {chosen}; "
                 f"flip rate in training {told['flip_rate']}{adapted}, seed {told['seed']}.\n"
                 f"    Content checksum ``{network.checksum}``. Made by::\n\n"
                 f"        {told['command']}\n\n")
    return text + END


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sweep", nargs="*", metavar="NAME",
                        choices=[path.stem for path in paths()],
                        help="measure tolerance.csv first, of these networks or all")
    if (wanted := parser.parse_args().sweep) is not None:
        measure(wanted)
    readme = FOLDER / "README.rst"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(before + section() + rest.partition(END)[2], encoding="utf-8")
