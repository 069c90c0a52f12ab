"""What a column of measurements is, by its name: the quantity, its unit, and what a wide table says in the name alone.

``resistance_ohm``, ``R (kOhm)``, ``log10 R [ohm]``, ``conductance_uS``, ``R_LRS (kOhm)``, ``cycle 100 (ohm)``, ``time
[min]``, ``E_set (pJ)``: words in any case, units as they are written, since mS, MS and ms are three of them. A unit is
the last word, or stands in brackets or behind a slash; a current has the voltage at which it was read, ``I_LRS (uA at
0.1 V)``. What could be two things, such as ``R`` without a unit, is no column here but said to be one.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

STATES = ("LRS", "HRS")
PLACES = ("condition", "cycles", "time_second", "temperature_kelvin")
ENERGIES = ("energy_joule", "energy_set_joule", "energy_reset_joule", "energy_pulse_joule")
QUANTITIES = ("resistance_ohm", "state", *PLACES, *ENERGIES, "pulses")
KEEP = "keep"                       # a column that stays beside the readings as text

_PREFIXES = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12,
             "f": -15, "a": -18}
_ROOTS = {                          # spelling of a unit: what it is of, its prefixes, factor, offset
    **dict.fromkeys(("ohm", "ohms", "Ohm", "Ohms", "OHM", "Ω", "Ω"), ("ohm", "kKMGT", "1", "0")),
    **dict.fromkeys(("siemens", "Siemens", "S"), ("siemens", "mkuµμnpf", "1", "0")),
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("second", "muµμnp", "1", "0")),
    **dict.fromkeys(("min", "minute", "minutes"), ("second", "", "60", "0")),
    **dict.fromkeys(("h", "hour", "hours"), ("second", "", "3600", "0")),
    **dict.fromkeys(("d", "day", "days"), ("second", "", "86400", "0")),
    **dict.fromkeys(("K", "kelvin", "Kelvin"), ("kelvin", "", "1", "0")),
    **dict.fromkeys(("C", "°C", "degC", "celsius", "Celsius"), ("kelvin", "", "1", "273.15")),
    **dict.fromkeys(("J", "joule", "Joule"), ("joule", "kmuµμnpfa", "1", "0"))}
_STEMS = {                          # of a measured quantity, in small letters: its name without the unit
    **dict.fromkeys(("r", "res", "resistance", "r read", "rread", "read resistance", "r cell"), "resistance"),
    **dict.fromkeys(("g", "conductance", "g read", "read conductance"), "conductance"),
    **dict.fromkeys(("t", "time", "elapsed time", "read time", "retention time", "delay"), "time"),
    **dict.fromkeys(("t", "temp", "temperature"), "temperature"),
    **dict.fromkeys(("e", "energy"), "energy"),
    **dict.fromkeys(("e set", "energy set", "set energy"), "energy_set"),
    **dict.fromkeys(("e reset", "energy reset", "reset energy"), "energy_reset"),
    **dict.fromkeys(("e pulse", "energy pulse", "pulse energy", "energy per pulse"), "energy_pulse")}
_CURRENTS = ("i", "current", "i read", "read current")      # with the voltage that makes conductances of them
_UNITLESS = {**dict.fromkeys(("state", "programmed state"), "state"),
             **dict.fromkeys(("condition", "programming condition"), "condition"),
             **dict.fromkeys(("cycle", "cycles", "n cycles", "cycle number", "cycle count", "cycle no"), "cycles"),
             **dict.fromkeys(("pulses", "n pulses", "pulse count", "number of pulses"), "pulses")}
_OF = {"resistance": ("ohm", "siemens"), "conductance": ("siemens",), "time": ("second",),
       "temperature": ("kelvin",),
       **dict.fromkeys(("energy", "energy_set", "energy_reset", "energy_pulse"), ("joule",))}
_STATE_WORDS = {"lrs": "LRS", "on": "LRS", "ron": "LRS", "rlrs": "LRS", "hrs": "HRS", "off": "HRS", "roff": "HRS",
                "rhrs": "HRS"}
WORDS = {"lrs": "LRS", "on": "LRS", "set": "LRS", "1": "LRS", "1.0": "LRS", "hrs": "HRS", "off": "HRS", "reset": "HRS",
         "0": "HRS", "0.0": "HRS"}


_CURRENT = re.compile(r"(\S*)A *(?:at|@) *([+-]?\d*\.?\d+)[ _]*(m?)V", re.ASCII)


class Unit(NamedTuple):
    """What a unit is of ("ohm", "siemens", "second", ...): value * factor + offset is in that one."""

    of: str
    factor: Decimal
    offset: Decimal
    text: str


class Column(NamedTuple):
    """A column: one of `QUANTITIES`, `KEEP`, or "" for one that is ignored.

    `unit` is None where there is none, or it was not said; of a wide table, `state` and `cycles` stand in the name.
    `words` are a user's own for the two states, and of rows to leave out.
    """

    quantity: str
    unit: Unit | None = None
    log10: bool = False
    state: str | None = None
    cycles: float | None = None
    words: Mapping[str, str | None] = WORDS

    @property
    def lacks_unit(self) -> bool:
        """Whether a unit must still be said."""
        return self.unit is None and self.quantity not in ("state", "condition", "cycles", "pulses", KEEP, "")

    def text(self) -> str:
        """A name that `column_of` reads as this column."""
        if self.unit is None:
            return self.quantity
        stem = "conductance" if self.unit.of == "siemens" else self.quantity.rpartition("_")[0]
        wide = [self.state.lower()] if self.state else []
        wide += [f"cycle_{self.cycles:g}"] if self.cycles is not None else []
        return "_".join(["log10"] * self.log10 + (wide or [stem]) + [self.unit.text])


def unit_of(text: str) -> Unit | None:
    """The unit that a text is; None where it is none."""
    text = text.strip()
    current = _CURRENT.fullmatch(text)
    if current and current[1] in tuple("mkuµμnpf") + ("",) and Decimal(current[2]):      # one volt's current is siemens
        volts = Decimal(current[2]).scaleb(_PREFIXES[current[3]])
        return Unit("siemens", Decimal(1).scaleb(_PREFIXES[current[1]]) / volts, Decimal(0), text)
    for cut in (0, 1):
        prefix, root = text[:cut], text[cut:]
        if root in _ROOTS and prefix in _PREFIXES:
            of, prefixes, factor, offset = _ROOTS[root]
            if not prefix or prefix in prefixes:
                return Unit(of, Decimal(factor).scaleb(_PREFIXES[prefix]), Decimal(offset), text)
    return None


def column_of(name: str) -> Column | None:
    """What a column's name says; None where it says nothing that is known.

    Examples
    --------
    >>> column_of("R_LRS (kOhm)").text(), column_of("log10 R [ohm]").text(), column_of("T (°C)").quantity
    ('lrs_kOhm', 'log10_resistance_ohm', 'temperature_kelvin')
    >>> column_of("voltage"), column_of("R").lacks_unit
    (None, True)
    """
    name = name.strip()
    log10 = re.match(r"log_?10[\s_]*(\(?)", name, re.IGNORECASE)
    if log10:
        name = name[log10.end():]
        if log10[1]:
            name = re.sub(r"\)$", "", name)
    rest, unit = _split_unit(name)
    words = [word for word in re.split(r"[\s_\-.:#]+", rest.lower()) if word]
    states = [word for word in words if word in _STATE_WORDS]
    cycles = re.search(r"(?:^| )(?:cycle|cycles|cyc) ?(\d+(?:e\d+)?)(?:$| )", " ".join(words))
    if cycles:
        words = (" ".join(words)[:cycles.start()] + " " + " ".join(words)[cycles.end():]).split()
    if len(states) > 1:
        return None
    stem = " ".join(word for word in words if word not in states)
    column = _of_stem(stem, unit, bool(states or cycles))
    if column is None or ((states or cycles) and column.quantity != "resistance_ohm"):
        return None
    if log10 and column.quantity in ("state", "condition", "temperature_kelvin"):
        return None
    return column._replace(log10=bool(log10), state=_STATE_WORDS[states[0]] if states else None,
                           cycles=float(cycles[1]) if cycles else None)


def _of_stem(stem: str, unit: Unit | None, wide: bool) -> Column | None:
    if stem in _UNITLESS and unit is None:
        return Column(_UNITLESS[stem])
    measured = "resistance" if wide and not stem else _STEMS.get(stem)
    if stem in _CURRENTS and unit is not None and _CURRENT.fullmatch(unit.text):
        measured = "conductance"
    if stem == "t":                                             # T in kelvin, t in seconds; alone, it may be either
        measured = None if unit is None else {"second": "time"}.get(unit.of, "temperature")
    if measured is None or (unit is not None and unit.of not in _OF[measured]):
        return None
    quantity = "resistance_ohm" if measured == "conductance" else f"{measured}_{_OF[measured][0]}"
    return Column(quantity, unit)


def _split_unit(name: str) -> tuple[str, Unit | None]:
    """A name without its unit, and the unit."""
    for pattern in (r"^(.*?)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$", r"^(.*?)\s*/\s*(\S+)$",
                    r"^(.*?)[\s_]+(\S*A *(?:at|@) *\S+ *\w+)$", r"^(.*)[\s_.]+(\S+?)$"):
        found = re.match(pattern, name)
        if found and (unit := unit_of(found[2])) is not None:
            return found[1], unit
    return name, None
