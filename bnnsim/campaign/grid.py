"""What a sweep asks, as a grid of independent cells: networks x rates x trials, and the result that they fill."""

from dataclasses import dataclass, field

import numpy as np

import bnnsim.campaign.cells as cells
import bnnsim.statistics.stopping as stopping
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.faults.protocol import is_clean_at_zero


@dataclass
class Campaign:
    """The grid asked for, and the cells known so far: (series name, rate, trial) -> (right, predictions)."""

    settings: dict
    rates: np.ndarray
    trials: int
    context: cells.Context
    provenance: dict
    known: dict = field(default_factory=dict)

    def names(self):
        return [series.name for series in self.context.series]

    def learn(self, found):
        """Take over cells of a file; the grid grows to hold them. What cannot be this campaign's is refused.

        Rates that were not asked for come last, or in their place where those asked for ascend.
        """
        totals = {series.name: np.bincount(series.labels, minlength=series.network.n_classes)
                  for series in self.context.series}
        for (name, rate, trial), (right, predictions) in found.items():
            if not (name in totals and self._can_be(totals[name], rate, trial, right, predictions)):
                raise ValueError(f"the journal has a cell that cannot be: {name!r}, rate {rate}, trial {trial}")
            self.known[name, rate, trial] = (right, predictions)
        asked = self.rates.tolist()
        rates = [*asked, *sorted({rate for _, rate, _ in found} - set(asked))]
        self.rates = np.array(sorted(rates) if asked == sorted(asked) else rates)
        if self.settings["stopping"] is None:
            self.trials = max([self.trials, *(trial + 1 for _, _, trial in found)])

    def _can_be(self, totals, rate, trial, right, predictions):
        on_axis = np.isfinite(rate) if "axis" in self.settings else 0 <= rate <= 1
        if not on_axis or type(trial) is not int or trial < 0:
            return False
        if right.shape != totals.shape or np.any((right < 0) | (right > totals)):
            return False
        if not self.context.predictions:
            return predictions is None
        return predictions is not None and len(predictions) == totals.sum()

    def is_clean(self, name, rate):
        """Whether all chips are alike here: at a bit error rate of 0, unless a part of the fault errs all the same."""
        fault = self.context.series[self.names().index(name)].fault
        return rate == 0 and "axis" not in self.settings and is_clean_at_zero(fault)

    def wanted_trials(self, name, rate):
        """How many chips this series needs at this rate, as far as is known by now."""
        if self.is_clean(name, rate):
            return 1                                             # without errors all chips are alike
        rule = self.settings["stopping"]
        if rule is None:
            return self.trials
        pilot = [self.known.get((name, rate, trial)) for trial in range(rule["pilot"])]
        if any(cell is None for cell in pilot):
            return rule["pilot"]
        n_images = len(self.context.series[self.names().index(name)].labels)
        accuracies = np.array([right.sum() / n_images for right, _ in pilot])
        needed = stopping.stein_trials(accuracies, rule["ci_width"], rule["level"])
        return min(needed, rule["max_trials"])

    def missing(self):
        """Cells (s, rate, trial) that are wanted and not known, trial after trial."""
        wanted = [(trial, s, rate) for s, name in enumerate(self.names()) for rate in self.rates.tolist()
                  for trial in range(self.wanted_trials(name, rate)) if (name, rate, trial) not in self.known]
        return [(s, rate, trial) for trial, s, rate in sorted(wanted)]

    def result(self):
        """Everything that is known, as arrays."""
        order = self.rates
        n_trials = max([self.trials, *(trial + 1 for _, _, trial in self.known)])
        n_classes = self.context.series[0].network.n_classes
        shape = (len(self.names()), len(order), n_trials)
        right = np.full((*shape, n_classes), NOT_RUN, np.int64)
        predictions = None
        if self.context.predictions:
            predictions = np.full((*shape, max(len(s.labels) for s in self.context.series)), 255, np.uint8)
        places = {rate: r for r, rate in enumerate(order.tolist())}
        for (name, rate, trial), (cell, predicted) in self.known.items():
            at = (self.names().index(name), places[rate], slice(self.trials) if self.is_clean(name, rate) else trial)
            right[at] = cell
            if predictions is not None:
                predictions[(*at, slice(len(predicted)))] = predicted
        totals = np.stack([np.bincount(s.labels, minlength=n_classes) for s in self.context.series])
        return SweepResult(self.settings, order, right, totals, predictions, self.provenance)
