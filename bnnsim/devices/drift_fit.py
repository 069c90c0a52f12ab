"""Where both cycles and time were measured: states over cycles, and one drift with time that holds at all of them.

ln R moves by drift * log10(1 + t / t0), as `bnnsim.devices.ageing.Retention` has it, t0 being the least time: a
straight line through the medians of all times, with one slope a state and a place of its own for each number of cycles.
States keep the spread that they have at t0: one that grows with time is not in it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bnnsim.devices.card_schema import CardError

if TYPE_CHECKING:
    from bnnsim.devices.fitted import PlaceFit

AT_FIRST = math.log10(2)            # decades that have passed at t0


def has_both(places: Sequence["PlaceFit"]) -> bool:
    """Whether cycles and time both vary among places of one condition."""
    return all(len({each.place.get(key) for each in places}) > 1 for key in ("cycles", "time_second"))


def drift_of(places: Sequence["PlaceFit"], values: Mapping[str, float]) -> dict[str, float]:
    """The keys of a card's row that say how the states of a condition drift.

    Raises
    ------
    CardError
        Where the temperature is not known, there are several, or no number of cycles was read at two times.
    """
    kelvin = {each.place.get("temperature_kelvin", values.get("drift_temperature0_kelvin")) for each in places}
    if len(kelvin) > 1:
        raise CardError("one axis may vary beside cycles and time_second under one condition, got temperature_kelvin; "
                        "make a card of each temperature, or name it a condition")
    temperature = kelvin.pop()
    if temperature is None:
        raise CardError("drift with time needs the temperature that it was measured at: a column temperature_kelvin, "
                        "or values={'drift_temperature0_kelvin': 300}")
    times = [each.place["time_second"] for each in places]
    slopes = [_slope(places, which, min(times)) for which in ("lrs", "hrs")]
    return {"lrs_drift_per_decade": slopes[0], "hrs_drift_per_decade": slopes[1], "drift_time0_second": min(times),
            "drift_temperature0_kelvin": temperature, "drift_time_max_second": max(times)}


def _slope(places: Sequence["PlaceFit"], which: str, t0: float) -> float:
    """Change of ln R a decade: least squares, each number of cycles around its own mean."""
    products, squares = [], []
    for cycles in dict.fromkeys(each.place["cycles"] for each in places):
        same = [each for each in places if each.place["cycles"] == cycles]
        x = np.array([math.log10(1 + each.place["time_second"] / t0) for each in same])
        y = np.array([getattr(each, which).fitted.ln_median for each in same])
        products += ((x - x.mean()) * (y - y.mean())).tolist()
        squares += ((x - x.mean()) ** 2).tolist()
    if not math.fsum(squares):
        raise CardError("a drift with time needs a number of cycles that was read at two times, got each read at one: "
                        "leave the times out, columns={'time_second': None}")
    return float(f"{math.fsum(products) / math.fsum(squares):.12g}")


def programmed(place: "PlaceFit", drift: Mapping[str, float]) -> dict[str, Any]:
    """Numbers of both states right after programming, of a place at the least time."""
    if place.place["time_second"] != drift["drift_time0_second"]:
        raise CardError(f"each number of cycles must be read at the least time, {drift['drift_time0_second']:g} s, got "
                        f"cycles {place.place['cycles']:g} first at {place.place['time_second']:g} s")
    states = {name: getattr(place, name).fitted.shifted(-drift[f"{name}_drift_per_decade"] * AT_FIRST)
              for name in ("lrs", "hrs")}
    return {f"{name}_{key}": float(f"{value:.12g}") if isinstance(value, float) else value
            for name, state in states.items() for key, value in state.keys().items()}
