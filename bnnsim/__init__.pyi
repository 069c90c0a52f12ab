# What is at hand as bnnsim.NAME, and where it is: the one list of it. __init__.py reads it to load a name on first use,
# editors and type checkers to know its signature. Each package's __all__ has all that is public of it.

from bnnsim import campaign as campaign
from bnnsim import datasets as datasets
from bnnsim import devices as devices
from bnnsim import faults as faults
from bnnsim import figures as figures
from bnnsim import interop as interop
from bnnsim import kernels as kernels
from bnnsim import metrics as metrics
from bnnsim import packed as packed
from bnnsim import proofs as proofs
from bnnsim import statistics as statistics
from bnnsim import training as training
from bnnsim.campaign import SweepResult as SweepResult
from bnnsim.campaign import sweep as sweep
from bnnsim.campaign import sweep_card as sweep_card
from bnnsim.campaign import sweep_measurements as sweep_measurements
from bnnsim.campaign import warmup as warmup
from bnnsim.datasets import Split as Split
from bnnsim.datasets import load_dataset as load_dataset
from bnnsim.datasets import load_embedded as load_embedded
from bnnsim.interop import export_network as export_network
from bnnsim.interop import load_network as load_network
from bnnsim.kernels import threads as threads
from bnnsim.packed import PackedBits as PackedBits
from bnnsim.packed import PackedGraph as PackedGraph
from bnnsim.packed import PackedNetwork as PackedNetwork
from bnnsim.proofs import certificates as certificates
from bnnsim.proofs import universal as universal
from bnnsim.training import Graph as Graph
from bnnsim.training import Sequential as Sequential
from bnnsim.training import Wiring as Wiring
from bnnsim.training import architectures as architectures
from bnnsim.training import callbacks as callbacks
from bnnsim.training import estimators as estimators
from bnnsim.training import fit as fit
from bnnsim.training import layers as layers
from bnnsim.training import losses as losses
from bnnsim.training import optimizers as optimizers
from bnnsim.training import pack as pack
from bnnsim.training import reestimate_batch_norm as reestimate_batch_norm
from bnnsim.training import regularisers as regularisers
from bnnsim.training import rescale_thresholds as rescale_thresholds
from bnnsim.training import schedules as schedules
from bnnsim.training import unpack as unpack

__version__: str
plotting = figures                          # what is drawn is asked for by this word
