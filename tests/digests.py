"""Digests of what must be the same on every CPU: kernels, trainings, graphs, packed networks, bit errors, sweeps.

    PYTHONPATH=. python tests/digests.py        # prints a line each; tests/emulated_aarch64.sh compares two machines
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "kernels"), str(HERE / "training")]

import test_other_cpus  # noqa: E402  (beside this file)
import test_same_bytes  # noqa: E402

import bnnsim  # noqa: E402
from bnnsim.faults import (  # noqa: E402
    ArrayMapping, AsymmetricFlips, BitFlips, Clusters, Compose, EachRead, Protected, StuckAt, StuckLines)

FAULTS = {"flips": BitFlips(0), "asymmetric": AsymmetricFlips(0.5, 1.0), "stuck": StuckAt(0.5, 0.5),
          "read": EachRead(BitFlips(0)), "code": Protected(BitFlips(0), "secded(72,64)"),
          "lines": StuckLines(ArrayMapping(64, 64), "row", 0.5, 0.5), "clusters": Clusters(ArrayMapping(64, 64), 0),
          "composed": Compose([BitFlips(0), StuckAt(0.01, 0.02)])}


def sweeps():
    """(name, digest) of sweeps of a dense and a conv network under every kind of fault."""
    rng = np.random.default_rng(0)
    split = bnnsim.Split(rng.integers(0, 256, (60, 1, 12, 12), np.uint8), rng.integers(0, 10, 60), "random")
    for spec in ("FC70 FC33 FC10", "C16 MP2 C20 MP2 FC40 FC10"):
        network = bnnsim.pack(bnnsim.architectures.build(spec, (1, 12, 12), rng=1))
        found = bnnsim.sweep(network, split, [0, 0.01, 0.2], 3, 5, faults=FAULTS, axis="share_of_cells",
                             predictions=True, progress=False)
        yield f"sweep {spec}", found.checksum
        yield f"scores {spec}", hashlib.sha256(network.scores(split.images).tobytes()).hexdigest()


if __name__ == "__main__":
    for part in test_other_cpus.PARTS:
        print(part, test_other_cpus.digest(part), flush=True)
    for name, digest in sweeps():
        print(name, digest, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, digest in test_same_bytes.digests(Path(folder)).items():
            print("training:", name, digest, flush=True)
