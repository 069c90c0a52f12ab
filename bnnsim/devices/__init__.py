"""Memory devices: ohms, volts, cycles and seconds in, a fault out.

States (distributions of resistance) make cells, cells have error rates, a device card holds what is known of a
technology under each programming condition, and `fit` makes one from your own measurements.
"""

from bnnsim.devices.cells import Cell1T1R, Cell2T2R, ErrorRates, Failures, converted_rate
from bnnsim.devices.monte_carlo import Programmed
from bnnsim.devices.states import Empirical, LogNormal, NormalConductance

__all__ = ["Cell1T1R", "Cell2T2R", "Empirical", "ErrorRates", "Failures", "LogNormal", "NormalConductance",
           "Programmed", "converted_rate"]
