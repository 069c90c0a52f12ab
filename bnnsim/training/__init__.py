"""Training by hand-written passes over packed words: layers, losses, optimizers, `fit`, checkpoints, `pack`.

Imports packed, files and kernels; knows neither faults nor devices: bit errors come in as an object with ``apply``. May
be imported by all that stands higher: figures, metrics, proofs, campaign, benchmarks, commands.

What `fit` and `architectures.build` take is open: each kind has a `typing.Protocol`, with a docstring a method, at the
top of the file of its kind, above the ones that ship, which are its examples. An object that does what it says works
wherever one that ships does, checkpoints included, with no line here; see `plug_ins` for what those remember of it. To
let one ship: its class, its word in the file's table where there is one (for the command line, and strings in Python),
and its row in the tests named here, where gradients are checked against their definition.

loss
    Protocol `losses.Loss`: a function (scores, labels) -> (mean loss, gradient float32), or a frozen dataclass with
    that call, and ``check(model)`` if it does not suit every model, ``of_images`` if it knows more of an image.
    Table `losses.LOSSES`; tests/training/test_losses_optimizers.py.
optimizer
    Protocol `optimizers.Optimizer`: a dataclass with ``learning_rate``, ``state``, ``moments_of(key)`` and ``update``.
    With ``on_parts`` too (`optimizers.ByParts`) it updates weights while their gradients are in cache. One around
    another, as those of `on_chip`, has the state of that.
    Table in `bnnsim.train`; tests/training/test_losses_optimizers.py, bit for bit.
schedule
    Protocol `schedules.Schedule`: a frozen dataclass with ``factor(epoch, n_epochs)``.
    The epoch is fractional: the factor is asked for at each step.
    Table in `bnnsim.train`; tests/training/test_losses_optimizers.py, at known points.
estimator
    Protocol `estimators.Estimator`: a frozen dataclass with ``pseudo_gradient(y)``, in NumPy.
    To be as fast as those that ship it has its four ``coefficients``, or a branch in kernels/norm/pseudo_gradient.py.
    Table `estimators.ESTIMATORS`; tests/training/test_training_settings.py.
regulariser
    Protocol `regularisers.Regulariser`: a frozen dataclass that is called with (model, caches) and gives its value
    and, for each batch norm whose gradients it changes, a `regularisers.Penalty`.
    tests/training/test_regularisers.py, by differences of the definition.
callback
    Protocol `callbacks.Callback`: an object with ``on_epoch_end(model, row)``, and ``state`` for checkpoints.
    tests/training/test_callbacks.py.
network by name
    A function in `architectures`, or of a graph in `graph_architectures`, and its word in a table of `architectures`.
    tests/training/test_graph_architectures.py; its row in docs/graphs.rst.
layer
    Protocol `layers.Layer`, on whose base, or on `layers.Weighted` or `layers.Norm`, a class writes what is its own.
    `pack` asks it for ``pack_into``; what `packed` cannot store yet begins there, in packed/layer.py.
    Its name in `layers`; tests/training/test_layers.py, against tests/naive.py.
"""

from bnnsim.training import (architectures, callbacks, estimators, layers, losses, on_chip, optimizers, regularisers,
                             schedules)
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.checkpoint_file import load_checkpoint, load_settings, save_checkpoint
from bnnsim.training.fitting import fit
from bnnsim.training.history import History
from bnnsim.training.model import Graph, Sequential
from bnnsim.training.packing import pack
from bnnsim.training.read_errors import with_read_errors
from bnnsim.training.step import augmented
from bnnsim.training.ternary_weights import with_ternary_weights
from bnnsim.training.two_stages import take_real_weights, with_real_weights
from bnnsim.training.unpacking import unpack
from bnnsim.training.wires import Wired, Wiring
from bnnsim.training.write_counts import WriteCounts

__all__ = ["Graph", "History", "Sequential", "Wired", "Wiring", "WriteCounts", "architectures", "augmented",
           "callbacks", "estimators", "fit", "layers", "load_checkpoint", "load_settings", "losses", "on_chip",
           "optimizers", "pack", "reestimate_batch_norm", "regularisers", "rescale_thresholds", "save_checkpoint",
           "schedules", "take_real_weights", "unpack", "with_read_errors", "with_real_weights",
           "with_ternary_weights"]
