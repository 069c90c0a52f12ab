"""Networks that others trained on MNIST and published, under bit errors: rows of claim (a), kept in published.jsonl.

    python examples/reproduce/published_networks.py --networks FOLDER --mnist FOLDER

FOLDER has the archives as they were published (qonnx_tfc, ttsky_larq, courage: names of the .tar.gz), which are not in
this repository. Each network must have the accuracy that its authors' own code has, before its bits are broken.
"""

import argparse
import json
import tarfile
import tempfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from networks import HERE, commit, run
from plan import FULL

import bnnsim
import bnnsim.interop as interop
from bnnsim.files.atomic import replaced

KEPT = HERE / "published.jsonl"


@dataclass(frozen=True)
class Published:
    """Where a network is in its archive, how its file is read, and how many test images its authors have right."""

    archive: str
    path: str
    title: str
    licence: str
    right: int
    level: int                              # pixels from this number on enter as 1
    binary: bool = True                     # others as -1; else as 0
    spec: tuple[str, ...] = ()
    reading: dict[str, Any] = field(default_factory=dict)


NETWORKS = (
    Published("qonnx_tfc", "qonnx/models/MNIST/Brevitas_FINN_TFC/TFC/TFC_1W1A.onnx", "TFC 1W1A (QONNX, Brevitas)",
              "BSD-3-Clause", 9296, 128, reading={"input": "unit"}),
    Published("ttsky_larq", "ttsky/src/Python311_training/mnist_bnn_unconverted.h5", "ttsky (Larq)", "Apache-2.0", 8284,
              128, binary=False),
    Published("courage", "courage/Verilog/data", "courage (Verilog)", "MIT", 7347, 34,
              spec=("FC256 FC10",), reading={"input_shape": (1, 28, 28), "input": "binary", "weights": "bits",
                                             "popcount": True}))


def row_of(net: Published, folder: Path, test: bnnsim.Split) -> dict[str, Any]:
    """Correct images by rate and chip."""
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(folder / f"{net.archive}.tar.gz") as archive:
            archive.extractall(place, filter="data")
        imported = interop.read_network(Path(place) / net.path, *net.spec, **net.reading)
    network = imported.network
    pixels = (test.images >= net.level).astype(np.uint8)
    images = interop.binary_images(test.images, net.level) if net.binary else pixels
    split = bnnsim.Split(images, test.labels, f"{test.name}-binary")
    swept = bnnsim.sweep(network, split, FULL.rates, FULL.chips, rng=0, progress=False)
    correct = np.rint(swept.accuracy[0] * len(test)).astype(int)
    if correct[0, 0] != net.right:
        raise SystemExit(f"{net.title} has {correct[0, 0]} images right, its authors' code {net.right}: are these "
                         "MNIST's 10,000 test images?")
    return {"name": net.archive, "title": net.title, "licence": net.licence,
            "layers": [f"{stage.layer.kind} {stage.layer.units}" for stage in network.stages],
            "rates": list(FULL.rates), "chips": FULL.chips, "images": len(test), "correct": correct.tolist(),
            "checksum": network.checksum, "date": date.today().isoformat(), "commit": commit()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--networks", type=Path, required=True, metavar="FOLDER", help="with the archives")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="(default: where bnnsim looks for it)")
    options = parser.parse_args()
    _, test = bnnsim.load_dataset("mnist", options.mnist)
    rows = [row_of(net, options.networks, test) for net in NETWORKS]
    with replaced(KEPT) as temporary:
        Path(temporary).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for row in rows:
        print(f"{row['title']}: " + ", ".join(f"{np.mean(correct) / row['images']:.2%} at {rate:g}"
                                              for rate, correct in zip(row["rates"], row["correct"])))


if __name__ == "__main__":
    run(main)
