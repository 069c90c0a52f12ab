"""What a protection costs: cells, and the energy to program or read them."""

from dataclasses import dataclass

from bnnsim.checks import check_real


@dataclass(frozen=True)
class Cost:
    """Cells and energy of a protected network.

    Attributes
    ----------
    n_bits : int
        Weights of the network.
    n_cells : int
        Cells that hold them, with check bits, copies and spares. A 2T2R cell is two devices.
    energy_joule : float or None
        To program (or read) all cells once, at the energy a cell that was given; encoders and decoders are not in it.
    """

    n_bits: int
    n_cells: int
    energy_joule: float | None = None

    @property
    def cells_per_bit(self) -> float:
        """Cells a weight: 1 without protection."""
        return self.n_cells / self.n_bits

    @classmethod
    def of(cls, n_bits: int, n_cells: int, energy_per_cell_joule: float | None = None) -> "Cost":
        """Cost at an energy a cell, in joule; None where none is known."""
        if energy_per_cell_joule is None:
            return cls(n_bits, n_cells)
        return cls(n_bits, n_cells, n_cells * check_real("energy_per_cell_joule", energy_per_cell_joule, 0))
