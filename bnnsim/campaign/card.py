"""Accuracy along an axis of a device card: the campaign, what each place costs, and how far the memory can be pushed.

S series (a network in a kind of cell, with or without a code), P places on the axis.
"""

import contextlib
from dataclasses import dataclass

import numpy as np

import bnnsim.campaign.sweeps as sweeps
import bnnsim.statistics.tolerated_rate as tolerated_rate
from bnnsim.campaign.result import SweepResult
from bnnsim.checks import check_choice, check_real
from bnnsim.devices import AXES, DeviceCard
from bnnsim.faults import Protected
from bnnsim.packed.network import PackedNetwork

UNITS = {"condition": "", "cycles": "", "time": " s", "temperature": " K", "sigma": "", "voltage": " V", "timing": " s"}


@dataclass(frozen=True)
class CardSweep:
    """A campaign along an axis of a device card.

    Attributes
    ----------
    card : DeviceCard
    axis : str
        A key of `bnnsim.devices.AXES`.
    places : list
        Where on it: numbers, or names of conditions.
    at : dict
        Where on the other axes.
    result : SweepResult
        Its ``rates`` are the places, or the numbers of the conditions on the card; those of a resumed file that were
        not asked for are among them.
    series : list of dict
        network, cell and code of each series of the result; bits_per_weight (stored, with check bits) and
        devices_per_weight.
    rows : list of dict
        One a series and place: these, and place, ber (mean of p01 and p10, before a code corrects), p01, p10,
        energy_joule and energy_relative (to program the network once; None where the card does not know), clean, mean,
        low, high (accuracies, shares of 1; the 95 % interval of the mean over chips).
    """

    card: DeviceCard
    axis: str
    places: list
    at: dict
    result: SweepResult
    series: list
    rows: list

    def table(self):
        """Text: a line a series and place, in percent; energies with how they are known."""
        head = ("network", "cell", "code", "devices/weight", self.axis, "BER", "energy", "of reference", "accuracy %",
                "95 % interval", "drop")
        lines = [head]
        for row in self.rows:
            place = row["place"] if self.axis == "condition" else f"{row['place']:g}{UNITS[self.axis]}"
            relative = "" if row["energy_relative"] is None else f"1/{1 / row['energy_relative']:.3g}" \
                if row["energy_relative"] < 1 else f"{row['energy_relative']:.3g}"
            joule = "" if row["energy_joule"] is None else f"{1e6 * row['energy_joule']:.3g} uJ"
            lines.append((row["network"], row["cell"], row["code"], f"{row['devices_per_weight']:.3g}", place,
                          f"{row['ber']:.2g}", joule, relative, f"{100 * row['mean']:.2f}",
                          f"{100 * row['low']:.2f}..{100 * row['high']:.2f}",
                          f"{100 * (row['clean'] - row['mean']):z.2f}"))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join("  ".join(cell.ljust(w) if i < 5 else cell.rjust(w) for i, (cell, w) in
                                   enumerate(zip(line, widths))).rstrip() for line in lines)

    def tolerated(self, drop=0.01, level=0.95):
        """How far each series can go along the axis at a loss of `drop`: the place, with an interval.

        The tolerated bit error rate is estimated from the accuracies (`bnnsim.statistics.tolerated`), and is a place on
        the axis by way of the card's rates.

        Returns
        -------
        list of dict
            One a series: its names, ber, place, place_low, place_high (ascending; None where the data of the card or
            the places run set no bound) and where ("inside", "at least", "below": of the rates run).
        """
        if self.axis == "condition":
            raise ValueError("tolerated needs an axis with an order, not conditions")
        return [self._tolerated(s, drop, level) for s in range(len(self.series))]

    def _tolerated(self, s, drop, level):
        mine = self.rows[s * len(self.places):(s + 1) * len(self.places)]
        bers = np.array([row["ber"] for row in mine])
        order = [i for i in np.argsort(bers) if bers[i] > 0]
        order = [i for n, i in enumerate(order) if n == 0 or bers[i] > bers[order[n - 1]]]
        if not order:
            raise ValueError("tolerated needs places with errors, but the rates are 0 at all of them")
        accuracy = self.result.accuracy[s, _columns(self)]
        found = tolerated_rate.tolerated(bers[order], accuracy[order], mine[0]["clean"], drop, level)
        bounds = sorted(place for place in (self._place(s, found.low), self._place(s, found.high)) if place is not None)
        return {**self.series[s], "ber": found.rate, "place": self._place(s, found.rate), "where": found.where,
                "place_low": bounds[0] if len(bounds) == 2 else None,
                "place_high": bounds[1] if len(bounds) == 2 else None}

    def _place(self, s, ber):
        """Where the card has this bit error rate, between the places run; None where it is not there."""
        mine = self.rows[s * len(self.places):(s + 1) * len(self.places)]
        bers, places = (np.array([row[key] for row in mine]) for key in ("ber", "place"))
        if not (bers > 0).any() or not bers[bers > 0].min() <= ber <= bers.max():
            return None
        with contextlib.suppress(ValueError):                    # no axis to solve for, or extrapolated beyond the card
            return self.card.solve(self.axis, ber, self.series[s]["cell"], **self.at)
        order = np.argsort(bers)[np.sort(bers) > 0]
        return float(np.interp(np.log(ber), np.log(bers[order]), places[order].astype(np.float64)))

    def plot(self, path=None):
        """Accuracy, bit error rate and energy along the axis: see `bnnsim.figures.cards.card_curves`."""
        import bnnsim.figures.cards as cards

        return cards.card_curves(self, path)

    def plot_pareto(self, path=None):
        """Accuracy over energy and over devices: see `bnnsim.figures.cards.pareto`."""
        import bnnsim.figures.cards as cards

        return cards.pareto(self, path)


def sweep_card(card, networks, split, axis, places=None, *, cells=None, codes=("none",), at=None, trials=10, rng=None,
               extrapolate=False, **settings):
    """Accuracy of networks whose weights a memory technology holds, along one axis of its device card.

    Parameters
    ----------
    card : DeviceCard
        See `bnnsim.devices.load_card`.
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split
    axis : str
        A key of `bnnsim.devices.AXES` that the card knows: ``card.axes()``.
    places : sequence of float, or of str for conditions, optional
        By default all conditions, or nine from end to end of the card's data.
    cells : sequence of {"1T1R", "2T2R"}, optional
        The card's own by default.
    codes : sequence of str
        "none", or codes of `bnnsim.faults.Protected`, such as "secded(72,64)".
    at : dict, optional
        Where on the other axes, such as ``{"condition": "weak", "cycles": 1e4}``.
    trials, rng
        As of `bnnsim.sweep`.
    extrapolate : bool
        Allow places outside the card's data.
    settings
        More for `bnnsim.sweep`: executor, workers, out, resume, progress, provenance.

    Returns
    -------
    CardSweep

    Raises
    ------
    ValueError
        Where the card does not know what is asked for: the message says what it does know.

    References
    ----------
    1T1R against 2T2R and codes: Bocquet et al., IEDM 2018; energy: Hirtzlin et al., AICAS 2019.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    >>> test = bnnsim.load_embedded()[1]
    >>> found = sweep_card(bnnsim.devices.load_card("sram_synthetic"), network, test, "voltage", [0.6, 0.7], trials=2,
    ...                    rng=0, progress=False)
    >>> [f"{row['ber']:.1e}" for row in found.rows]
    ['4.2e-03', '2.4e-05']
    """
    if not isinstance(card, DeviceCard):
        raise TypeError(f"card must be a DeviceCard, as bnnsim.devices.load_card gives, got {type(card).__name__}")
    at, networks = dict(at or {}), {"network": networks} if isinstance(networks, PackedNetwork) else networks
    known = card.axes(at.get("condition"))
    check_choice("axis", axis, known)
    if axis != "condition" and "condition" in known and "condition" not in at:
        raise ValueError(f"at must name a condition, one of {', '.join(map(repr, card.conditions))}: "
                         "at={'condition': ...}, or --at condition=...")
    places = _default_places(axis, known[axis]) if places is None else _checked_places(axis, places, card)
    own = card.own_cell(places[0] if axis == "condition" else at.get("condition"))
    kinds = list(dict.fromkeys((cell, code) for cell in cells or [own] for code in codes))
    faults = {f"{cell}, {code}": _fault(card, axis, cell, code, at, extrapolate) for cell, code in kinds}
    for (cell, _), place in ((kind, place) for kind in kinds for place in places):
        card.error_rates(cell, extrapolate=extrapolate, **{**at, AXES[axis].key: place})
    result = sweeps.sweep(networks, split, _values(card, axis, places), trials, rng, faults=faults,
                            axis=AXES[axis].key, **settings)
    found = CardSweep(card, axis, list(places), at, result, [], [])
    for name, network in networks.items():
        clean = network.accuracy(split)
        for cell, code in kinds:
            _add_rows(found, name, network, cell, code, at, extrapolate, clean)
    return found


def _fault(card, axis, cell, code, at, extrapolate):
    fault = card.axis(axis, cell, None, extrapolate, **at)
    return fault if code == "none" else Protected(fault, code)


def _default_places(axis, known):
    if axis == "condition":
        return list(known)
    low, high = known
    if axis == "sigma":
        low, high = 0.5, 1.5
    if AXES[axis].log:
        low = max(low, high / 1e12, 1e-9)
        places = [float(f"{place:.4g}") for place in np.geomspace(low, high, 9)]
    else:
        places = [float(f"{place:.6g}") for place in np.linspace(low, high, 9)]
    return [low, *places[1:-1], high]                            # rounded ends might lie outside of the data


def _checked_places(axis, places, card):
    if axis == "condition":
        return [check_choice("places", place, card.conditions) for place in places]
    return [check_real(f"places[{i}]", place) for i, place in enumerate(places)]


def _values(card, axis, places):
    """Places as numbers: a condition is its number on the card."""
    return [card.conditions.index(place) for place in places] if axis == "condition" else list(places)


def _columns(found):
    """Where the places stand among the rates of the result, which may have more: those of a file that is resumed."""
    rates = found.result.rates.tolist()
    return [rates.index(value) for value in _values(found.card, found.axis, found.places)]


def _add_rows(found, name, network, cell, code, at, extrapolate, clean):
    """The rows of one series, which is the next one of the result."""
    s, card = len(found.series), found.card
    bits = 1.0 if code == "none" else Protected(_fault(card, found.axis, cell, code, at, extrapolate).fault,
                                                code).cost(network).cells_per_bit
    series = {"network": name, "cell": cell, "code": code, "bits_per_weight": bits,
              "devices_per_weight": card.n_devices(network, cell, bits, at.get("condition", card.conditions[0]))
              / network.n_bits}
    found.series.append(series)
    columns = _columns(found)
    mean, interval = found.result.mean()[s, columns], found.result.interval()[s, columns]
    for i, place in enumerate(found.places):
        where = {**at, AXES[found.axis].key: place}
        rates = card.error_rates(cell, extrapolate=extrapolate, **where)
        known = {key: value for key, value in where.items() if key != "sigma"}
        joule = _if_known(card.energy_joule, network, cell, bits, extrapolate=extrapolate, **known)
        relative = _if_known(card.relative_energy, where.get("condition"))
        own = card.own_cell(where.get("condition"))
        if relative is not None:                                 # of the card's own cell without a code
            relative *= series["devices_per_weight"] * network.n_bits / card.n_devices(
                network, own, 1.0, where.get("condition", card.conditions[0]))
        found.rows.append({**series, "place": place, "ber": rates.mean, "p01": rates.p01, "p10": rates.p10,
                           "energy_joule": joule, "energy_relative": relative, "clean": clean, "mean": float(mean[i]),
                           "low": float(interval[i, 0]), "high": float(interval[i, 1])})


def _if_known(ask, *args, **where):
    try:
        return ask(*args, **where)
    except ValueError:
        return None
