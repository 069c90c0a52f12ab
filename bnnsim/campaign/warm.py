"""Compiling before it is needed: by running everything once at a tiny size."""

import numpy as np

import bnnsim.training.architectures as architectures
from bnnsim.checks import check_bool
from bnnsim.datasets.split import Split
from bnnsim.faults import BitFlips
from bnnsim.packed.graph_pass import clean_pass_of
from bnnsim.training.fitting import fit
from bnnsim.training.packing import pack

_SPECS = ("FC64 FC64 FC10", "C8 MP2 C8 FC10")


def warmup(training: bool = False) -> None:
    """Compile what inference and sweeps need, or load it from the disk cache: some seconds once, then instant.

    Parameters
    ----------
    training : bool
        What `fit` needs too, with its default precision and Adam. Another optimizer, a regulariser, float32 gradients,
        and the functions of `bnnsim.metrics` and `bnnsim.devices` still compile where they are first used.
    """
    training = check_bool("training", training)
    split = Split(np.zeros((2, 1, 8, 8), np.uint8), np.zeros(2, np.uint8), "zeros")
    for spec in _SPECS:
        model = architectures.build(spec, (1, 8, 8), rng=0)
        if training:
            fit(model, split, epochs=1, rng=0, flip_rate=0.1, progress=False)
        network = pack(model)
        clean = clean_pass_of(network, split.images)
        clean.prepare()
        for p in (0.05, 0.5):                                   # corrections, and the whole product
            clean.predict(BitFlips(p).apply(network, rng=0))
