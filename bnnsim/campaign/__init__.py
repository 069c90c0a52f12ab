"""Campaigns: accuracy of networks over bit error rates, chips and faults; exact, seeded, resumable.

`sweeps` is what users call, `grid` what is asked, `cells` one cell of it; `engine` has cells evaluated, `store` keeps
them, in a `journal` first; `result` is what comes out. Networks and faults meet here; only commands and benchmarks
import it.

To add a setting that results depend on: an argument of `sweeps.sweep`, its key and its check in `settings` (it is
stored, and must agree on a resume), and rows in the tests of foreign journals and hostile files. One that changes only
how a campaign runs is an argument of `sweeps.sweep` and of `engine.run` or `store.Store`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.sweeps import sweep

if TYPE_CHECKING:
    from bnnsim.campaign.card import CardSweep
    from bnnsim.campaign.card_sweep import sweep_card
    from bnnsim.campaign.measured import sweep_measurements
    from bnnsim.campaign.one_layer import layer_failures
    from bnnsim.campaign.warm import warmup
    from bnnsim.campaign.yields import RareFailures, Yields, chip_yields, rare_failures, rare_yields

__all__ = ["CardSweep", "RareFailures", "SweepResult", "Yields", "chip_yields", "layer_failures", "rare_failures",
           "rare_yields", "sweep", "sweep_card", "sweep_measurements", "warmup"]
_LATER = {"CardSweep": "card", "sweep_card": "card_sweep", "sweep_measurements": "measured", "warmup": "warm",
          "layer_failures": "one_layer",
          **dict.fromkeys(("RareFailures", "Yields", "chip_yields", "rare_failures", "rare_yields"), "yields"),
          }                                            # sweeps need no devices, no training


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
