"""Binarized neural networks whose weights live in unreliable memory: train, pack, store, break, measure.

Names are loaded on first use, so that `import bnnsim` costs nothing and never imports matplotlib, h5py or scipy.
"""

import importlib

__version__ = "0.1.0.dev0"

_HOME = {
    "PackedBits": "bits",
    "PackedNetwork": "packed",
    "Sequential": "model",
    "Split": "datasets",
    "SweepResult": "results",
    "fit": "training",
    "load_dataset": "datasets",
    "load_embedded": "datasets",
    "pack": "packed",
    "reestimate_batch_norm": "adaptation",
    "rescale_thresholds": "adaptation",
    "sweep": "campaign",
    "sweep_card": "card_sweep",
    "threads": "kernels",
    "warmup": "warm",
}
_MODULES = ("adaptation", "architectures", "attack", "bits", "campaign", "card_figures", "card_sweep", "certificates",
            "comparison", "datasets", "device_figures", "devices", "estimators", "faults", "layers",
            "losses", "metrics", "model", "optimizers", "packed", "pictures", "plotting", "proof_figures",
            "regularisers", "results", "statistics", "stopping", "tolerance", "training", "universal",
            "weights")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"bnnsim.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"bnnsim.{name}")
    raise AttributeError(f"module 'bnnsim' has no attribute {name!r}; it has {', '.join(sorted(__all__))}")


def __dir__():
    return sorted([*globals(), *__all__])
