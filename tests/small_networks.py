"""A small trained network for tests whose networks are a means: golden/small.h5, with 203,264 binary weights.

    PYTHONPATH=. python tests/small_networks.py        # trains it anew, in seconds; its bytes are the same on any CPU

A sweep of it costs a thirtieth of one of the shipped networks, and it loses as they do: a wrong bit is seen.
"""

from pathlib import Path

import bnnsim
from bnnsim import PackedNetwork

SMALL = Path(__file__).parent / "golden" / "small.h5"


def small():
    return PackedNetwork.load(SMALL)


def trained():
    """The network of the file, from the embedded images."""
    split = bnnsim.load_embedded()[0]
    model = bnnsim.architectures.build("FC256 FC10", split.images.shape[1:], rng=1)
    bnnsim.fit(model, split, 4, flip_rate=0.1, rng=1, progress=False)
    return bnnsim.pack(model)


if __name__ == "__main__":
    trained().save(SMALL)
