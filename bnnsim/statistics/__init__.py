"""From accuracies of chips to intervals, differences, numbers of chips, and tolerated bit error rates.

Plain functions of arrays, which give plain floats; knows no network and no file. Anything may import it.

To add a statistic: a function in the file of its kind (`intervals` of one mean, `pairs` of two networks, `two_way` of
variances, `stopping` of numbers of chips, `tolerated_rate` of a curve), its name below, and a test that simulates its
coverage and shows that a wrong one fails.
"""

from bnnsim.statistics.intervals import (Difference, Interval, Spread, mean_interval, paired_difference,
                                         population_interval, spread_interval, t_quantile, wilson)
from bnnsim.statistics.pairs import population_difference
from bnnsim.statistics.stopping import stein_interval, stein_trials, trials_needed
from bnnsim.statistics.tolerated_rate import Tolerated, tolerated

__all__ = ["Difference", "Interval", "Spread", "Tolerated", "mean_interval", "paired_difference",
           "population_difference", "population_interval", "spread_interval", "stein_interval", "stein_trials",
           "t_quantile", "tolerated", "trials_needed", "wilson"]
