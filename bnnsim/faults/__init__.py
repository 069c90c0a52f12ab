"""Bit errors: packed networks in, broken packed networks out.

A fault is a frozen dataclass with ``apply(network, rng, trial)``, which returns a new network and leaves the old one
as it was. Padding bits do not exist in the memory and are never touched.
"""

from bnnsim.faults.asymmetric_flips import AsymmetricFlips
from bnnsim.faults.bit_flips import BitFlips

__all__ = ["AsymmetricFlips", "BitFlips"]
