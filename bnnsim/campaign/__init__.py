"""Campaigns: accuracy of networks over bit error rates, chips and faults; exact, seeded, resumable.

`sweeps` is what users call, `grid` what is asked, `cells` one cell of it; `engine` has cells evaluated, `store` keeps
them, in a `journal` first; `result` is what comes out. Networks and faults meet here; only commands and benchmarks
import it.

To add a setting that results depend on: an argument of `sweeps.sweep`, its key and its check in `settings` (it is
stored, and must agree on a resume), and rows in the tests of foreign journals and hostile files. One that changes only
how a campaign runs is an argument of `sweeps.sweep` and of `engine.run` or `store.Store`.
"""

from bnnsim.campaign.card import CardSweep
from bnnsim.campaign.card_sweep import sweep_card
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.sweeps import sweep
from bnnsim.campaign.warm import warmup

__all__ = ["CardSweep", "SweepResult", "sweep", "sweep_card", "warmup"]
