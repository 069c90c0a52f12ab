"""Binarized neural networks whose weights live in unreliable memory: train, pack, store, break, measure.

Names are loaded on first use, so that `import bnnsim` costs nothing and never imports matplotlib, h5py or scipy. What is
public stands in the lists of the packages (``__all__`` of `bnnsim.training` and so on); here is only which of it is at
hand as ``bnnsim.NAME``.
"""

import importlib

__version__ = "0.1.0.dev0"

# package: what of its public list is at hand here
_AT_HAND = {
    "campaign": ("SweepResult", "sweep", "sweep_card", "warmup"),
    "datasets": ("Split", "load_dataset", "load_embedded"),
    "devices": (),
    "faults": (),
    "figures": (),
    "kernels": ("threads",),
    "metrics": (),
    "packed": ("PackedBits", "PackedNetwork"),
    "proofs": ("certificates", "universal"),
    "statistics": (),
    "training": ("Sequential", "architectures", "estimators", "fit", "layers", "losses", "optimizers", "pack",
                 "reestimate_batch_norm", "regularisers", "rescale_thresholds", "schedules"),
}
_HOME = {name: package for package, names in _AT_HAND.items() for name in names}

__all__ = sorted([*_AT_HAND, *_HOME, "plotting"])


def __getattr__(name):
    if name == "plotting":                                       # what is drawn is asked for by this word
        return importlib.import_module("bnnsim.figures")
    if name in _AT_HAND:
        return importlib.import_module(f"bnnsim.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"bnnsim.{_HOME[name]}"), name)
    raise AttributeError(f"module 'bnnsim' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
