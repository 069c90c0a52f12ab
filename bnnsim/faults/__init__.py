"""Bit errors: a memory in, a broken memory out; by cell, by line, by array, of one chip, behind codes and spares.

`protocol` says what a fault is. Imports packed, whose networks it breaks, and knows no training: that takes a fault as
it takes any object with `apply`. Devices import it, which give it rates, and all that sweeps or draws.

To add a fault that hits cells one by one: a file with a subclass of `by_layer.LayerFault`, which is its rates, what
`MOVES` in a sweep, `when` and ``errors(layer, rates, key)``; its name below, which commands then take too (`spec`); a
naive twin in tests/faults. One of the circuits that read, drawn for each image, is a subclass of `at_read.AtRead`.
"""

from bnnsim.faults.analog_columns import AnalogColumns
from bnnsim.faults.array_mapping import ArrayMapping
from bnnsim.faults.asymmetric_flips import AsymmetricFlips
from bnnsim.faults.bit_flips import BitFlips
from bnnsim.faults.by_array import ArrayVariation, ByArray
from bnnsim.faults.by_layer import LayerFault
from bnnsim.faults.clusters import Clusters
from bnnsim.faults.compose import Compose
from bnnsim.faults.cost import Cost
from bnnsim.faults.each_read import EachRead
from bnnsim.faults.fault_map import FaultMap, LayerErrors
from bnnsim.faults.lines import StuckLine, StuckLines, WeakAmplifiers
from bnnsim.faults.pair_devices import PairDevices
from bnnsim.faults.protected import Protected
from bnnsim.faults.protocol import Fault
from bnnsim.faults.read_disturb import ReadDisturb
from bnnsim.faults.read_errors import ActivationErrors, PopcountErrors, PopcountNoise, SenseErrors
from bnnsim.faults.real_bits import RealBits
from bnnsim.faults.remapped import Remapped
from bnnsim.faults.residual import exact_residual, ideal_residual
from bnnsim.faults.spare_columns import SpareColumns
from bnnsim.faults.spec import parse_fault
from bnnsim.faults.stored_numbers import InOutput, InThresholds
from bnnsim.faults.stuck_at import StuckAt

__all__ = ["ActivationErrors", "AnalogColumns", "ArrayMapping", "ArrayVariation", "AsymmetricFlips", "BitFlips",
           "ByArray", "Clusters", "Compose", "Cost", "EachRead", "Fault", "FaultMap", "InOutput", "InThresholds",
           "LayerErrors", "LayerFault", "PairDevices", "PopcountErrors", "PopcountNoise", "Protected", "ReadDisturb",
           "RealBits", "Remapped", "SenseErrors", "SpareColumns", "StuckAt", "StuckLine", "StuckLines",
           "WeakAmplifiers", "exact_residual", "ideal_residual", "parse_fault"]
