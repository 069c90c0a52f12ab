"""Choose how the tolerant FCNNs in this folder are trained: on held-out training images, never on test images.

    python data/choose_tolerant.py                      # about an hour; goes on where it was
    python data/choose_tolerant.py --only 128           # of one input code

Of each input code every flip rate is trained, without the 5,000 training images that are held out, and adapted to each
bit error rate. Kept is the one that is best on the held-out images in the mean of ``JUDGED`` bit error rates; what was
seen is in tolerant_choice.csv. The command of the one that is kept makes the network by itself.
"""

import argparse
import csv
from pathlib import Path

import bnnsim
import bnnsim.train
from bnnsim.datasets.split import hold_out

FOLDER = Path(__file__).resolve().parent
NAMES = {0: "fashion_fcnn_flip", 128: "fashion_fcnn_flip_128"}          # by input code: what is subtracted from pixels
FLIP_RATES, ADAPTED = (0.05, 0.1, 0.15), (None, 0.05, 0.1)
JUDGED, CHIPS, HELD = (0.0, 0.05, 0.1), 3, 5000
FIELDS = ("input_code", "flip_rate", "reestimated_at", *(f"at_{rate:g}" for rate in JUDGED), "mean", "chosen")


def command(code: int, rate: float, adapted: float | None, path: str) -> list[str]:
    """Words of the command line that trains one."""
    return ["--network", "fashion_fcnn", "--dataset", "fashion", "--input-offset", str(code), "--epochs", "20",
            "--holdout", str(HELD), "--seed", "0", "--flip-rate", f"{rate:g}",
            *([] if adapted is None else ["--reestimate", f"{adapted:g}"]), "--quiet", "--out", path]


def judged(network: bnnsim.PackedNetwork, held: bnnsim.Split) -> list[float]:
    """Percent of the held-out images at each of ``JUDGED``, mean of the chips."""
    found = bnnsim.sweep(network, held, JUDGED, CHIPS, rng=1, progress=False).mean()[0]
    return [100 * float(accuracy) for accuracy in found]


def choose(code: int, held: bnnsim.Split, work: Path) -> list[dict[str, object]]:
    """Train all of an input code; the rows of the table, best first, whose network is now in this folder."""
    found = []
    for rate in FLIP_RATES:
        checkpoint = work / f"{code}-{rate:g}.training.h5"
        for adapted in ADAPTED:
            path = work / f"{code}-{rate:g}-{adapted}.h5"
            if not path.is_file():                       # trained once a rate: the checkpoint is the finished training
                bnnsim.train.main([*command(code, rate, adapted, str(path)), "--checkpoint", str(checkpoint),
                                   "--resume"])
            seen = judged(bnnsim.PackedNetwork.load(path), held)
            found.append((sum(seen) / len(seen), rate, adapted, seen))
    found.sort(key=lambda each: -each[0])
    rows = [dict(zip(FIELDS, (code, rate, "" if adapted is None else adapted,
                              *(f"{accuracy:.2f}" for accuracy in seen), f"{mean:.2f}", "yes" if i == 0 else "")))
            for i, (mean, rate, adapted, seen) in enumerate(found)]
    _, rate, adapted, _ = found[0]
    network = bnnsim.PackedNetwork.load(work / f"{code}-{rate:g}-{adapted}.h5")
    words = " ".join(command(code, rate, adapted, f"{NAMES[code]}.h5"))
    told = {**network.metadata, "command": f"python -m bnnsim.train {words}", "chosen_by": "data/choose_tolerant.py"}
    bnnsim.PackedNetwork(network.layers, network.input_shape, code, told).save(FOLDER / f"{NAMES[code]}.h5")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", type=int, choices=NAMES, action="append", help="of this input code")
    parser.add_argument("--work", type=Path, default=Path("out/tolerant"), help="folder of all that is trained")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    table = FOLDER / "tolerant_choice.csv"
    held = hold_out(bnnsim.load_dataset("fashion")[0], HELD, 0)[1]
    assert held is not None
    for code in options.only or NAMES:
        before = list(csv.DictReader(table.open(encoding="utf-8"))) if table.is_file() else []
        rows = [row for row in before if row["input_code"] != str(code)] + choose(code, held, options.work)
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(rows, key=lambda row: int(str(row["input_code"]))))


if __name__ == "__main__":
    main()
