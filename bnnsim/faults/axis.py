"""What the numbers of a sweep are: an axis is a name, and the name says how it is to be read.

A name with "bit_error_rate" or "share_of" in it is one of probabilities, where 0 is no error at all; one that ends in a
unit, "voltage_volt", has numbers in that unit; any other has plain numbers. A fault says in ``moves`` which of them its
``at`` sets: only `BER` is a bit error rate, and even that is one of memory cells, before a code corrects some of them.
"""

from bnnsim.faults.protocol import Fault, inside

BER = "bit_error_rate"
UNITS = {"volt": "V", "second": "s", "kelvin": "K", "ohm": "ohm", "siemens": "S", "joule": "J", "ampere": "A"}


def check_axis(name: str, value: object) -> str:
    """The name of an axis: a short line of text, as tables and files can have it."""
    if not isinstance(value, str) or not 0 < len(value) <= 100 or not value.isprintable():
        raise TypeError(f"{name} must be the name of what rates are, such as 'voltage_volt', in at most 100 "
                        f"characters, got {value!r:.200}")
    return value


def moves_of(fault: Fault) -> str | None:
    """The name of what a fault's ``at`` sets: as it says, or as what is inside of it says; None where neither does."""
    inner = inside(fault)
    found: str | None = getattr(fault, "moves", None)
    return moves_of(inner) if found is None and inner is not None else found


def is_probability(axis: str) -> bool:
    """Whether numbers on an axis are probabilities, 0 of which is a memory without errors."""
    return BER in axis or "share_of" in axis


def in_words(axis: str) -> str:
    """An axis for heads of tables: "BER", "share of stuck cells", "voltage (V)"."""
    name, _, unit = axis.rpartition("_")
    return f"{name.replace('_', ' ')} ({UNITS[unit]})" if unit in UNITS else \
        axis.replace(BER, "BER").replace("_", " ")


def label(axis: str) -> str:
    """An axis for figures: as in words, but spelt out."""
    return "bit error rate of the memory cells" if axis == BER else in_words(axis).replace("BER", "bit error rate")
