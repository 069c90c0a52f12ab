"""Campaigns: accuracy of networks over bit error rates, chips and faults; exact, seeded, resumable.

`sweeps` is what users call, `grid` what is asked, `cells` one cell, `engine` runs them, `store` and `journal` keep them,
`result` and `result_file` are what comes out. Networks and faults meet here; only commands and benchmarks import it.

To add a setting of a sweep: an argument of `sweeps.sweep`, its entry in `grid`, its check in `settings` (it is stored and
must agree on a resume), and a row in the tests of resumed campaigns.
"""

from bnnsim.campaign.card import CardSweep, sweep_card
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.sweeps import sweep
from bnnsim.campaign.warm import warmup

__all__ = ["CardSweep", "SweepResult", "sweep", "sweep_card", "warmup"]
