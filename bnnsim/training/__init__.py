"""Training by hand-written passes over packed words: layers, losses, optimizers, `fit`, checkpoints, `pack`.

Imports packed and kernels; knows neither faults nor devices: bit errors come in as an object with `apply`.

To add a loss, an optimizer, a schedule, an estimator or a regulariser: one class in the file of its kind that does what
the `typing.Protocol` there says, and its row in the file's table if the command line is to offer it. Gradients are
checked against their definition in the tests.
"""

from bnnsim.training import architectures, estimators, layers, losses, optimizers, regularisers, schedules
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.checkpoint_file import load_checkpoint, load_settings, save_checkpoint
from bnnsim.training.fitting import fit
from bnnsim.training.model import Sequential
from bnnsim.training.packing import pack
from bnnsim.training.run import History
from bnnsim.training.step import augmented

__all__ = ["History", "Sequential", "architectures", "augmented", "estimators", "fit", "layers", "load_checkpoint",
           "load_settings", "losses", "optimizers", "pack", "reestimate_batch_norm", "regularisers",
           "rescale_thresholds", "save_checkpoint", "schedules"]
