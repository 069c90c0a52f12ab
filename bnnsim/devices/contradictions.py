"""Where samples contradict the states fitted to them: in words that name what was found.

Four things are asked: is the shape that of the model (Anderson-Darling); has the end of a state that faces the other
one outliers; do samples pile up at a limit; and could the samples have the fitted error rate. Each is asked so strictly
that samples which are log-normal are said to contradict it in at most 2 % of tables: in 0.1 to 1.3 % of 2,000 tables of
8, 20, 50, 200 and 2,000 samples each, with HRS medians of 2.4 to 2,000 times the LRS one (measured).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.devices.goodness import looks_like_two_groups, n_heaped, n_outliers
from bnnsim.devices.sample_rates import RateInterval, pair_rate, single_rate
from bnnsim.devices.states import KnownState

if TYPE_CHECKING:
    from bnnsim.devices.fitted import StateFit

LEAST_P, BY_CHANCE = 1e-3, 2e-4     # of the shape's test; of outliers at one end, see `n_outliers`
STRICT = 0.999                      # level of the interval of the samples' own rates that a fitted rate is held against
FAR_OHM = 1e-300, 1e300             # limits of what is normal of a state, in ohm


def rising(kind: type[KnownState], ohm: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What is normal of ascending samples in states of a kind, turned to rise with the resistance, and its limits."""
    normal_variable: Callable[[np.ndarray], np.ndarray] = getattr(kind, "normal_variable")
    values = normal_variable(np.array([FAR_OHM[0], *ohm, FAR_OHM[1]]))
    values = values if values[-1] > values[0] else -values
    return values[1:-1], float(values[0]), float(values[-1])


def found(lrs: "StateFit", hrs: "StateFit", model: str, rates: Mapping[str, RateInterval],
          reference_ohm: float) -> list[str]:
    """What contradicts a model, and the error rates that follow from it with 1T1R cells at a reference."""
    strict = seen_rates(lrs, hrs, reference_ohm, STRICT)
    return [*_of_state("LRS", lrs, model), *_of_state("HRS", hrs, model),
            *(f"the {cell} bit error rate would be {rates[cell].rate:.2g}, where the samples themselves show "
              f"{seen:.2g} ({100 * STRICT:g} % interval {low:.2g} to {high:.2g})"
              for cell, (seen, low, high) in strict.items() if not low <= rates[cell].rate <= high)]


def seen_rates(lrs: "StateFit", hrs: "StateFit", reference_ohm: float, level: float) -> dict[str, RateInterval]:
    """What the samples show by themselves: 1T1R at a reference, 2T2R over all pairs."""
    return {"1T1R": single_rate(lrs.samples_ohm, hrs.samples_ohm, reference_ohm, level),
            "2T2R": pair_rate(lrs.samples_ohm, hrs.samples_ohm, level)}


def _of_state(name: str, state: "StateFit", model: str) -> list[str]:
    """What contradicts the model in one state's samples, LRS or HRS by name."""
    ohm, found = state.kept_ohm, []
    values, low, high = rising(type(state.fitted), ohm)
    n, p = len(state.samples_ohm), state.p_value[model]
    if p < LEAST_P:
        groups = "; they look like two groups" if looks_like_two_groups(values) else ""
        found.append(f"{name} samples are not {model} (p {p:.2g}{groups})")
    beyond = n_outliers(values, BY_CHANCE, high) if name == "LRS" else n_outliers(-values, BY_CHANCE, -low)
    if beyond:
        side = f"higher than that {model} goes (from {ohm[-beyond]:.3g}" if name == "LRS" else \
            f"lower than that {model} goes (up to {ohm[beyond - 1]:.3g}"
        found.append(f"{beyond:,} of {n:,} {name} samples {'lies' if beyond == 1 else 'lie'} {side} ohm: stuck, or "
                     "outliers)")
    for ends, what in ((values, "greatest"), (-values[::-1], "least")):
        heaped = n_heaped(ends)
        if heaped:
            found.append(f"{heaped:,} of {n:,} {name} samples are all {ohm[-1 if what == 'greatest' else 0]:.3g} ohm, "
                         f"the {what}: clipped at a limit of the instrument or of programming")
    return found
