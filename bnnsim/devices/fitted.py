"""What a fit of measurements found: states, error rates, what contradicts them; as text, device card and figure.

A rate below 1 / n, n being the fewer samples of both states, is never given without the words "extrapolated from n":
it hangs on the shape of a tail that n samples do not show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.devices.drift_fit as drift_fit
import bnnsim.files.html_text as html_text
from bnnsim.checks import FilePath
from bnnsim.devices.cards import DeviceCard
from bnnsim.devices.cells import Cell1T1R, Cell2T2R, make_cell
from bnnsim.devices.distributions import MAX_CUT, MAX_SAMPLES
from bnnsim.devices.sample_rates import RateInterval
from bnnsim.devices.states import KnownState, samples_of

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

MAX_NOTE = 1_500                    # characters of a card's note


@dataclass(frozen=True, eq=False, repr=False)
class StateFit:
    """One state of one place.

    Attributes
    ----------
    samples_ohm : float64 (n,)
        Ascending.
    kept_ohm : float64 (n,)
        Those that were fitted: without the ones that lie too far out on the harmless side (see `fit`).
    fitted : LogNormal, NormalConductance or Empirical
        By the model asked for.
    p_value : dict of str to float
        Of Anderson-Darling's test of each distribution: below 0.001 the samples contradict it. It looks at the whole
        shape, not at the few samples that make errors: those are in `PlaceFit.contradictions`, too.
    akaike : dict of str to float
        Akaike's criterion of each, over that of the best: 0 is the better of both, which need not be good; 10 has no
        support. A normal conductance that would be cut too much at 0 is left out.
    n_dropped : int
        Lines left out because their reading was no resistance.
    """

    samples_ohm: np.ndarray
    kept_ohm: np.ndarray
    fitted: KnownState
    p_value: Mapping[str, float]
    akaike: Mapping[str, float]
    n_dropped: int

    @property
    def n_aside(self) -> int:
        """How many samples were set aside: see `kept_ohm`."""
        return len(self.samples_ohm) - len(self.kept_ohm)

    def __repr__(self) -> str:
        return f"<StateFit: {len(self.samples_ohm):,} samples, {type(self.fitted).__name__}>"

    def line(self, name: str) -> str:
        """Its text: counts, median and spread of what was fitted, p values."""
        x = np.log(self.kept_ohm)
        against = f"no dAIC: over {100 * MAX_CUT:g} % of a normal conductance would lie below 0"
        if "normal-conductance" in self.akaike:
            against = f"dAIC {self.akaike['normal-conductance'] - self.akaike['log-normal']:+.1f}"
        text = (f"  {name}  n {len(self.samples_ohm):>6,}  median {np.exp(np.median(x)):>9.4g} ohm  sigma_ln "
                f"{np.std(x, ddof=1):.3f}  p {self.p_value['log-normal']:.2g} / "
                f"{self.p_value['normal-conductance']:.2g}  {against}")
        aside, low = self.n_aside, name == "LRS"
        if aside:
            bound = self.samples_ohm[aside - 1 if low else -aside]
            text += (f"\n       {aside:,} of {len(self.samples_ohm):,} set aside, {'up to' if low else 'from'} "
                     f"{bound:.3g} ohm: far {'below' if low else 'above'} the others, where {name} is read right")
        if self.n_dropped:
            text += (f"\n       {self.n_dropped:,} dropped, whose reading is no resistance: in no rate"
                     + (", though an open LRS cell is a wrong bit" if low else ""))
        return text


@dataclass(frozen=True, eq=False, repr=False)
class PlaceFit:
    """Both states of one place (condition, cycles, time, temperature), and the error rates of cells made of them.

    Attributes
    ----------
    place : dict
    lrs, hrs : StateFit
    rates : dict of str to RateInterval
        "1T1R" (at its equal-error reference) and "2T2R" (an amplifier without offset), of the fitted states.
    seen : dict of str to RateInterval
        The same of the samples themselves, without a model: at that reference, and over all pairs.
    contradictions : tuple of str
        What speaks against the model; empty where nothing does.
    energy_joule : dict of str to float
        Mean energy_set_joule and energy_reset_joule of its rows, where they were measured.
    pulses : dict of str to float
        Mean pulses that it took to program "LRS" and "HRS", likewise.
    """

    place: Mapping[str, Any]
    lrs: StateFit
    hrs: StateFit
    rates: Mapping[str, RateInterval]
    seen: Mapping[str, RateInterval]
    contradictions: tuple[str, ...]
    energy_joule: Mapping[str, float] = field(default_factory=dict)
    pulses: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<PlaceFit {self.name}: {len(self.lrs.samples_ohm):,} of LRS and {len(self.hrs.samples_ohm):,} of HRS>"

    def cell(self, kind: str = "2T2R") -> Cell1T1R | Cell2T2R:
        """A `Cell1T1R` or `Cell2T2R` of the fitted states."""
        return make_cell(kind, self.lrs.fitted, self.hrs.fitted)

    @property
    def n_samples(self) -> int:
        """Of the state that has fewer."""
        return min(len(self.lrs.samples_ohm), len(self.hrs.samples_ohm))

    def numbers(self) -> dict[str, Any]:
        """Both states as a card's row has them."""
        return {f"{name}_{key}": value for name, state in (("lrs", self.lrs), ("hrs", self.hrs))
                for key, value in state.fitted.keys().items()}

    def rate_text(self, cell: str, digits: int = 3) -> str:
        """The bit error rate of a cell, and what it rests on where n samples cannot show one that low."""
        rate, n = self.rates[cell].rate, self.n_samples
        if rate >= 1 / n:
            return f"{rate:.{digits}g}"
        if samples_of(self.lrs.fitted) is None:
            return f"{rate:.{digits}g} (extrapolated from n = {n:,})"
        return f"{rate:.{digits}g} ({'hardly' if rate else 'none'} seen in n = {n:,})"

    @property
    def name(self) -> str:
        """The place in words."""
        return ", ".join(f"{key} {value if isinstance(value, str) else f'{value:g}'}"
                         for key, value in self.place.items()) or "all samples"

    def warning(self, model: str) -> str:
        """What contradicts the model, and what to do; empty where nothing does."""
        if not self.contradictions:
            return ""
        n = max(len(self.lrs.samples_ohm), len(self.hrs.samples_ohm))
        thinned = f", once they are thinned out evenly to {MAX_SAMPLES:,}" if n > MAX_SAMPLES else ""
        return (f"the samples contradict {model}: {'; '.join(self.contradictions)}. Fit model=\"empirical\", whose "
                f"error rates are those of the samples (1T1R at a reference of their own){thinned}")


@dataclass(frozen=True, eq=False, repr=False)
class DeviceFit:
    """What `fit` found: one `PlaceFit` for each place in the measurements; `read_as` is how columns were guessed."""

    places: Sequence[PlaceFit]
    model: str
    level: float
    read_as: str = ""

    def card(self, name: str, source: str, licence: str = "not stated", memory: str = "RRAM",
             description: str = "", provenance: str = "measured",
             values: Mapping[str, float] | None = None) -> DeviceCard:
        """The fitted states as a device card, with the energies that were measured.

        Where both cycles and time were measured, states over cycles are those of the least time, and drift with time is
        a straight line of ln R over log10(time) through all cycles (`bnnsim.devices.drift_fit`).

        Parameters
        ----------
        name : str
        source : str
            Who measured, where it is published: it stands in each row.
        licence, memory, description : str
        provenance : str
            How the samples are known, a mark of `bnnsim.devices.marks`: "measured", or "synthetic" and the like.
        values : dict of str to float, optional
            More keys of each row, of `bnnsim.devices.card_schema`, such as ``{"energy_set_joule": 2e-12}``.

        Raises
        ------
        CardError
            Where provenance is no such mark, or more than one of cycles, time and temperature varies under one
            condition.
        """
        given, rows = dict(values or {}), list[dict[str, Any]]()
        for condition in dict.fromkeys(each.place.get("condition") for each in self.places):
            rows += self._rows([each for each in self.places if each.place.get("condition") == condition], given)
        return DeviceCard(name, memory, description, licence,
                          tuple({**row, "provenance": provenance, "source": source} for row in rows))

    def _rows(self, places: Sequence[PlaceFit], values: Mapping[str, float]) -> list[dict[str, Any]]:
        """Rows of a card, of one condition, without their provenance."""
        if not drift_fit.has_both(places):
            return [{**each.place, **each.numbers(), **each.energy_joule, **values, "note": self._note(each)}
                    for each in places]
        drift = drift_fit.drift_of(places, values)
        fixed = {key: value for key, value in places[0].place.items() if key == "condition"}
        rows: list[dict[str, Any]] = [{**fixed, **drift, "note": "drift of the medians with time, one slope at all "
                                       "cycles, fitted by bnnsim.devices.fit"}]
        for cycles in dict.fromkeys(each.place["cycles"] for each in places):
            first = min((each for each in places if each.place["cycles"] == cycles),
                        key=lambda each: each.place["time_second"])
            rows.append({**fixed, "cycles": cycles, **drift_fit.programmed(first, drift), **first.energy_joule,
                         **{key: value for key, value in values.items() if key not in drift},
                         "note": self._note(first)})
        return rows

    def _note(self, each: PlaceFit) -> str:
        """What a card says of a place: counts, rates, and what contradicts them."""
        states = {"LRS": each.lrs, "HRS": each.hrs}
        counts = f"{len(each.lrs.samples_ohm)} LRS and {len(each.hrs.samples_ohm)} HRS samples"
        rates = ", ".join(f"{cell} {each.rate_text(cell, 2)}" for cell in each.rates)
        note = f"{self.model} fitted to {counts} by bnnsim.devices.fit"
        for what, n_of in (("set aside as far out where they read right", lambda state: state.n_aside),
                           ("left out as blank or no resistance", lambda state: state.n_dropped)):
            if told := " and ".join(f"{n_of(state):,} {name}" for name, state in states.items() if n_of(state)):
                note += f", {told} {what}"
        note += f"; bit error rates: {rates}"
        if each.pulses:
            note += "; mean pulses: " + ", ".join(f"{n:.3g} to {state}" for state, n in sorted(each.pulses.items()))
        return f"{note}; {each.warning(self.model)}"[:MAX_NOTE] if each.contradictions else note

    def __repr__(self) -> str:
        return f"<DeviceFit: {self.model} at {len(self.places):,} place{'s' * (len(self.places) != 1)}>"

    def _repr_html_(self) -> str:
        return html_text.text(f"DeviceFit: {len(self.places)} place{'s' * (len(self.places) != 1)}", self.table())

    def table(self) -> str:
        """Text: for each place and state samples, median, sigma, p values; error rates with intervals, those that the
        samples show beside them, and what contradicts the model."""
        lines = [f"{self.model}; p: Anderson-Darling test of log-normal / of normal conductance; dAIC: normal "
                 "conductance over log-normal, > 0 speaks for log-normal; the better of both need not be good"]
        lines += [f"read as {line}" for line in self.read_as.splitlines()]
        for each in self.places:
            lines += [each.name, each.lrs.line("LRS"), each.hrs.line("HRS")]
            if each.energy_joule or each.pulses:
                lines.append("  " + ", ".join([*(f"{key} {value:.4g}" for key, value in each.energy_joule.items()),
                                               *(f"{n:.3g} pulses to {state}" for state, n in each.pulses.items())]))
            for cell, (_, low, high) in each.rates.items():
                lines.append(f"  {cell}  bit error rate {each.rate_text(cell)}, {100 * self.level:g} % interval "
                             f"{low:.3g} to {high:.3g}")
                if self.model != "empirical":
                    seen, low, high = each.seen[cell]
                    low = low if low > 1e-12 else 0.0            # 4.85e-107 says no more than 0
                    lines.append(f"        the samples themselves show {seen:.3g}, {low:.3g} to {high:.3g}")
            if each.contradictions:
                lines.append(f"  WARNING: {each.warning(self.model)}.")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, place: int = 0,
             *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Measured against fitted resistances of a place: see `bnnsim.figures.devices.fitted_states`."""
        import bnnsim.figures.devices as devices

        return devices.fitted_states(self, path, place, ax=ax, width=width)
