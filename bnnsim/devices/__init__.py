"""Memory devices: ohms, volts, cycles and seconds in, a fault out.

States (distributions of resistance) make cells, cells have error rates, a device card holds what is known of a
technology under each programming condition, and `fit` makes one from your own measurements. Imports faults, which its
cells and cards become, and statistics; campaigns, figures and commands import it.

To add a state: a class that does what `State` says works in every cell, wherever it stands; one that cards keep and
fits make does what `KnownState` says too, and stands in `distributions` and its `KINDS`; a twin in
tests/naive_devices.py.
"""

from bnnsim.devices.ageing import Retention, Wear, Weibull
from bnnsim.devices.card_fault import CardFault
from bnnsim.devices.card_schema import AXES, CardError
from bnnsim.devices.cards import DeviceCard, load_card
from bnnsim.devices.cells import Cell1T1R, Cell2T2R, ErrorRates, Failures, converted_rate
from bnnsim.devices.distributions import Empirical, LogNormal, NormalConductance
from bnnsim.devices.energy import n_devices, programming_energy_joule, read_energy_joule
from bnnsim.devices.fitted import DeviceFit
from bnnsim.devices.fitting import fit
from bnnsim.devices.measurements import Measurements, read_measurements
from bnnsim.devices.monte_carlo import Programmed
from bnnsim.devices.refresh import RefreshSchedule, longest_interval, mean_accuracy
from bnnsim.devices.shipped_cards import library
from bnnsim.devices.states import KnownState, State
from bnnsim.devices.supply import SupplySensing
from bnnsim.devices.table_text import MeasurementError
from bnnsim.devices.worn_out import AgedCells, WornOut

__all__ = ["AXES", "AgedCells", "CardError", "CardFault", "Cell1T1R", "Cell2T2R", "DeviceCard", "DeviceFit",
           "Empirical", "ErrorRates", "Failures", "KnownState", "LogNormal", "MeasurementError", "Measurements",
           "NormalConductance", "Programmed", "RefreshSchedule", "Retention", "State", "SupplySensing", "Wear",
           "Weibull", "WornOut", "converted_rate", "fit", "library", "load_card", "longest_interval", "mean_accuracy",
           "n_devices", "programming_energy_joule", "read_energy_joule", "read_measurements"]
