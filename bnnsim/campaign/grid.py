"""What a campaign asks: a grid of series x rates x trials, the cells of it that are known, and those still missing.

It knows neither where cells are evaluated nor where they are kept.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import bnnsim.statistics.stopping as stopping
from bnnsim.campaign.cells import Answers, Cell, CellName, Context, Series
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.campaign.settings import Settings, axis_of
from bnnsim.faults.axis import is_probability
from bnnsim.faults.protocol import is_clean_at_zero, origins

MOST_TRIALS = 2_000_000         # chips: a list of the cells, which needs memory, is made before the first is evaluated


@dataclass
class Campaign:
    """The grid asked for, and the cells known so far.

    rates : float64 (R,), of this order in the result
    trials : chips of each rate, without sequential stopping; with it, of the pilot
    """

    settings: Settings
    rates: np.ndarray
    trials: int
    context: Context
    provenance: dict[str, Any]
    known: dict[CellName, Answers] = field(default_factory=dict)

    @cached_property
    def series(self) -> dict[str, Series]:
        """By name, in the order asked for."""
        return {series.name: series for series in self.context.series}

    def learn(self, found: Mapping[CellName, Answers]) -> None:
        """Take over cells of a file; the grid grows to hold them. What cannot be this campaign's is refused.

        Rates that were not asked for come last, or in between where those asked for ascend.
        """
        totals = {name: series.class_totals for name, series in self.series.items()}
        for (name, rate, trial), answers in found.items():
            if not (name in totals and self._can_be(totals[name], rate, trial, answers)):
                raise ValueError(f"the journal has a cell that cannot be: {name!r}, rate {rate}, trial {trial}")
        self.known.update(found)
        asked = self.rates.tolist()
        rates = [*asked, *sorted({rate for _, rate, _ in found} - set(asked))]
        self.rates = np.array(sorted(rates) if asked == sorted(asked) else rates)
        if self.settings["stopping"] is None:
            self.trials = max([self.trials, *(trial + 1 for _, _, trial in found)])

    def _can_be(self, totals: np.ndarray, rate: float, trial: int, answers: Answers) -> bool:
        on_axis = 0 <= rate <= 1 if is_probability(axis_of(self.settings)) else np.isfinite(rate)
        rule = self.settings["stopping"]
        most = MOST_TRIALS if rule is None else rule["max_trials"]
        if not on_axis or type(trial) is not int or not 0 <= trial < most:
            return False
        right, predictions, ber, n_nonfinite = answers
        if not 0 <= n_nonfinite <= totals.sum() * len(totals):
            return False
        if right.shape != totals.shape or np.any((right < 0) | (right > totals)) or not 0 <= ber <= 1:
            return False
        n_predictions = None if predictions is None else len(predictions)
        return n_predictions == (totals.sum() if self.context.predictions else None)

    def is_clean(self, name: str, rate: float) -> bool:
        """Whether all chips are alike here: at a probability of 0, unless a part of the fault errs all the same."""
        return rate == 0 and is_probability(axis_of(self.settings)) and is_clean_at_zero(self.series[name].fault)

    def wanted_trials(self, name: str, rate: float) -> int:
        """How many chips this series needs at this rate, as far as is known by now."""
        if self.is_clean(name, rate):
            return 1
        rule = self.settings["stopping"]
        if rule is None:
            return self.trials
        pilot = [self.known[name, rate, trial] for trial in range(rule["pilot"]) if (name, rate, trial) in self.known]
        if len(pilot) < rule["pilot"]:
            return rule["pilot"]
        n_images = len(self.series[name].labels)
        accuracies = np.array([answers.right.sum() for answers in pilot]) / n_images
        return min(stopping.stein_trials(accuracies, rule["ci_width"], rule["level"], n_images), rule["max_trials"])

    def missing(self) -> list[Cell]:
        """Cells that are wanted and not known, trial after trial."""
        wanted = [(trial, s, rate) for s, name in enumerate(self.series) for rate in self.rates.tolist()
                  for trial in range(self.wanted_trials(name, rate)) if (name, rate, trial) not in self.known]
        return [(s, rate, trial) for trial, s, rate in sorted(wanted)]

    def result(self) -> SweepResult:
        """Everything that is known, as arrays."""
        totals = np.stack([series.class_totals for series in self.context.series])
        n_trials = max([self.trials, *(trial + 1 for _, _, trial in self.known)])
        shape = (len(self.series), len(self.rates), n_trials)
        right, ber = np.full((*shape, totals.shape[1]), NOT_RUN, np.int64), np.full(shape, np.nan)
        predictions = np.full((*shape, totals.sum(axis=1).max()), 255, np.uint8) if self.context.predictions else None
        n_nonfinite = np.where(right[..., 0] == NOT_RUN, NOT_RUN, 0)
        rows = {name: s for s, name in enumerate(self.series)}
        columns = {rate: r for r, rate in enumerate(self.rates.tolist())}
        for (name, rate, trial), answers in self.known.items():
            at = (rows[name], columns[rate], slice(self.trials) if self.is_clean(name, rate) else trial)
            right[at], ber[at], n_nonfinite[at] = answers.right, answers.ber, answers.n_nonfinite
            if predictions is not None and answers.predictions is not None:
                predictions[(*at, slice(len(answers.predictions)))] = answers.predictions
        return SweepResult(self.settings, self.rates, right, totals, ber, predictions,
                           {**self._cards(), **self.provenance}, n_nonfinite if np.any(n_nonfinite > 0) else None)

    def _cards(self) -> dict[str, str]:
        """How well what the faults took from device cards is known at these rates; nothing where they took nothing."""
        marks: dict[str, set[str]] = {}
        for series, rate in itertools.product(self.series.values(), self.rates.tolist()):
            for what, mark in origins(series.fault.at(rate)):
                marks.setdefault(what, set()).add(mark)
        if not marks:
            return {}
        from bnnsim.devices.marks import either             # loads scipy; who has a card has loaded it already
        return {"card": "; ".join(f"{what} {either(found)}" for what, found in marks.items())}
