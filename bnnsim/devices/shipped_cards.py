"""The device cards that come with bnnsim, all at once."""

from bnnsim.devices.cards import SHIPPED, DeviceCard, load_card


def library() -> dict[str, DeviceCard]:
    """The device cards that come with bnnsim, by name: what `load_card` and commands take instead of a file.

    Cards of published technologies, each row with its source and how it is known, and synthetic ones to learn on and to
    test with. See docs/frontier/device_library.rst for what each was made from, and what it lacks.

    Examples
    --------
    >>> [name for name, card in library().items() if any(row["provenance"] == "measured" for row in card.rows)]
    ['ddr3_temperature', 'ddr3_trcd', 'fpga_bram']
    """
    return {name: load_card(name) for name in SHIPPED}
