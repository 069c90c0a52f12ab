"""What a network costs in a memory: devices, programming energy, reading energy.

A network is anything with ``n_bits``, the number of its binary weights.
"""

import re
from collections.abc import Iterable

from bnnsim.checks import check_int, check_real
from bnnsim.devices.cells import DEVICES_PER_BIT
from bnnsim.packed.memory import MemoryLike


UNITS = {1.0: "J", 1e3: "mJ", 1e6: "uJ", 1e9: "nJ", 1e12: "pJ", 1e15: "fJ"}      # by how many make a joule


def check_cell(cell: object) -> str:
    """The kind of a memory cell: "1T1R", "2T2R", or what another memory's cells are called, such as "6T"."""
    kinds = " or ".join(map(repr, DEVICES_PER_BIT))
    if not isinstance(cell, str) or not cell:
        raise TypeError(f"cell must be {kinds}, or the name of another memory's cells, such as '6T', got {cell!r}")
    meant = re.sub(r"[\W_]", "", cell).upper()                   # no slip of a letter: 1T1C is a cell of DRAM
    if meant in DEVICES_PER_BIT and meant != cell:
        raise ValueError(f"cell must be {kinds}, or the name of another memory's cells, got {cell!r}; did you mean "
                         f"{meant!r}?")
    return cell


def unit_of(energies_joule: Iterable[float | None]) -> tuple[float, str]:
    """(factor, unit) in which the greatest of some energies is a number from 1 to 1000 at three digits; uJ of none.

    Examples
    --------
    >>> unit_of([3.05e-9, 9.997e-7, None])
    (1000000.0, 'uJ')
    """
    greatest = float(f"{max((joule or 0 for joule in energies_joule), default=0):.3g}")
    return next(((factor, unit) for factor, unit in UNITS.items() if greatest * factor >= 1), (1e6, "uJ"))


def stored_bits(network: MemoryLike, bits_per_weight: float = 1.0) -> float:
    """Bits that the memory holds: the weights, times `bits_per_weight` >= 1 where a code adds check bits."""
    if not hasattr(network, "n_bits"):
        raise TypeError(f"network must have n_bits, as a PackedNetwork has, got {type(network).__name__}")
    return check_int("n_bits", network.n_bits, 0) * check_real("bits_per_weight", bits_per_weight, 1)


def n_devices(network: MemoryLike, cell: str = "2T2R", bits_per_weight: float = 1.0) -> int:
    """Devices used: two a stored bit in 2T2R cells, one cell a bit in any other memory.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> n_devices(network), n_devices(network, "1T1R", bits_per_weight=2)
    (9472, 9472)
    """
    return round(stored_bits(network, bits_per_weight) * DEVICES_PER_BIT.get(check_cell(cell), 1))


def keys_of(cell: str) -> tuple[str, ...]:
    """What the programming energy of a kind of cell is made from."""
    return ("energy_set_joule", "energy_reset_joule") if check_cell(cell) in DEVICES_PER_BIT else \
        ("energy_write_joule",)


def bit_energy_joule(energy_set_joule: float | None = None, energy_reset_joule: float | None = None,
                     energy_write_joule: float | None = None, cell: str = "2T2R") -> float:
    """Energy to program one stored bit.

    2T2R: one SET and one RESET, whatever the bit. 1T1R: one of the two, their mean for bits that are 0 and 1 equally
    often. Other memories: `energy_write_joule`.

    Raises
    ------
    ValueError
        Where what the cell needs is not given.
    """
    def given(name: str, value: float | None) -> float:
        if value is None:
            raise ValueError(f"{name} must be given for the programming energy of a {cell} cell; add it to the card")
        return value

    if check_cell(cell) in DEVICES_PER_BIT:
        pair = given("energy_set_joule", energy_set_joule) + given("energy_reset_joule", energy_reset_joule)
        return pair * DEVICES_PER_BIT[cell] / 2
    return given("energy_write_joule", energy_write_joule)


def programming_energy_joule(network: MemoryLike, energy_bit_joule: float, bits_per_weight: float = 1.0) -> float:
    """Energy to write all stored bits of a network once, each programmed without regard to what was there.

    Parameters
    ----------
    network : PackedNetwork
    energy_bit_joule : float > 0
        See `bit_energy_joule`. Periphery (drivers, charge pumps) is in it only if the card's numbers have it.
    bits_per_weight : float >= 1

    Returns
    -------
    float
        joule
    """
    return stored_bits(network, bits_per_weight) * check_real("energy_bit_joule", energy_bit_joule, 0, open_low=True)


def read_energy_joule(network: MemoryLike, energy_read_joule: float, bits_per_weight: float = 1.0) -> float:
    """Energy to read each stored bit once: one inference of a dense network.

    A convolution reads its weights once for each output position, unless they are kept in a buffer; what that takes
    depends on the data flow and is not modelled.

    Parameters
    ----------
    network : PackedNetwork
    energy_read_joule : float > 0
        Of one bit.
    bits_per_weight : float >= 1

    Returns
    -------
    float
        joule
    """
    return stored_bits(network, bits_per_weight) * check_real("energy_read_joule", energy_read_joule, 0, open_low=True)
