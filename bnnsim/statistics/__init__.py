"""From accuracies of chips to intervals, differences, numbers of chips, and tolerated bit error rates.

Plain functions of arrays, which give plain floats; knows no network and no file. Anything may import it.

To add a statistic: a function in the file of its kind (`intervals` of one mean, `pairs` of two networks, `two_way` of
variances, `stopping` of numbers of chips, `tolerated_rate` of a curve, `yields` and `rare_shares` of shares of chips),
its name below, and a test that simulates its coverage and shows that a wrong one fails.
"""

from bnnsim.statistics.intervals import (Difference, Interval, Spread, mean_interval, paired_difference,
                                         population_interval, spread_interval, t_quantile, wilson)
from bnnsim.statistics.pairs import population_difference
from bnnsim.statistics.rare_shares import RareShare, Splitting, reweighted_share, split_to
from bnnsim.statistics.stopping import stein_interval, stein_trials, trials_needed
from bnnsim.statistics.tolerated_rate import Tolerated, tolerated
from bnnsim.statistics.yields import Quantile, chips_needed, quantile_interval, share_interval, yield_interval

__all__ = ["Difference", "Interval", "Quantile", "RareShare", "Splitting", "Spread", "Tolerated", "chips_needed",
           "mean_interval", "paired_difference", "population_difference", "population_interval", "quantile_interval",
           "reweighted_share", "share_interval", "split_to", "spread_interval", "stein_interval", "stein_trials",
           "t_quantile", "tolerated", "trials_needed", "wilson", "yield_interval"]
