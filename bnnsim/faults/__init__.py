"""Bit errors: packed networks in, broken packed networks out.

A fault is a frozen dataclass with ``apply(network, rng, trial)``, which returns a new network and leaves the old one
as it was; ``at(rate)``, the same fault at another value of the axis that a sweep moves; and ``when``, which says when
its errors are drawn: "write" (once a chip, when it is programmed), "permanent" (once a chip), "growing" (with cycles
or time), or "read" (at each inference batch: ``apply(network, rng, trial, read=b)``). Padding bits do not exist in the
memory and are never touched.

What is broken is anything with ``layers`` (of ``words``, ``n_in``, ``units``, ``fan_in``, ``n_bits``) and
``with_words``: a PackedNetwork, a model's weights in training, or a `bnnsim.packed.memory.Memory`.
"""

from bnnsim.faults.array_mapping import ArrayMapping
from bnnsim.faults.asymmetric_flips import AsymmetricFlips
from bnnsim.faults.bit_flips import BitFlips
from bnnsim.faults.by_array import ArrayVariation, ByArray
from bnnsim.faults.clusters import Clusters
from bnnsim.faults.compose import Compose
from bnnsim.faults.cost import Cost
from bnnsim.faults.each_read import EachRead
from bnnsim.faults.fault_map import FaultMap, LayerErrors
from bnnsim.faults.lines import StuckLine, StuckLines, WeakAmplifiers
from bnnsim.faults.protected import Protected
from bnnsim.faults.residual import exact_residual, ideal_residual
from bnnsim.faults.spare_columns import SpareColumns
from bnnsim.faults.stuck_at import StuckAt

__all__ = ["ArrayMapping", "ArrayVariation", "AsymmetricFlips", "BitFlips", "ByArray", "Clusters", "Compose", "Cost",
           "EachRead", "FaultMap", "LayerErrors", "Protected", "SpareColumns", "StuckAt", "StuckLine", "StuckLines",
           "WeakAmplifiers", "exact_residual", "ideal_residual"]
