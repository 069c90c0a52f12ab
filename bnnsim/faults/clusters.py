"""Clusters: defects that take all cells around a spot of an array."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import bnnsim.kernels.memory.clusters as clusters
from bnnsim.checks import check_int, check_probability, clean_fields
from bnnsim.faults.array_mapping import ArrayMapping
from bnnsim.faults.by_layer import LayerFault, Rates
from bnnsim.faults.errors import Masks
from bnnsim.kernels import split
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import StoredLayer


@dataclass(frozen=True, repr=False)
class Clusters(LayerFault):
    """All cells within `radius` of a defect are stuck; where two clusters overlap, stuck at 0 wins.

    Parameters
    ----------
    mapping : ArrayMapping
    p : float, or a sequence of one float a layer
        Probability that a cell is the centre of a cluster; `at` sets it.
    radius : int
        In cells: the disc of radius 1 has 5 cells, 2 has 13. It ends at the edge of the array and of its used part.
    p_one : float
        Share of the clusters that are stuck at 1; the others are stuck at 0.
    layers : sequence of int, optional
        Only the arrays of these layers; all by default.
    rate : float, optional
        As of `BitFlips`.
    """

    mapping: ArrayMapping
    p: Rates
    radius: int = 1
    p_one: float = 0.5
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = "share_of_cluster_centres"
    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_probability, "p_one")
        clean_fields(self, check_int, "radius", low=0, high=1000)

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """Centres of the stream "clusters", kinds of "cluster kinds": at a lower density, fewer of the same kinds."""
        n_rows, n_columns = self.mapping.used(layer)
        height, width = n_rows.max(), int(n_columns.max())
        centres, kinds = (flip_masks(len(n_rows) * height, width, p, key(name)).reshape(len(n_rows), height, -1)
                          for name, p in (("clusters", rates[0]), ("cluster kinds", self.p_one)))
        discs = np.zeros((2, *centres.shape), np.uint64)
        for out, of_kind in zip(discs, (centres & kinds, centres & ~kinds)):
            split(clusters.fill_discs, len(n_rows), of_kind, n_rows, n_columns, self.radius, out)
        one, zero = (self.mapping.words(layer, disc) for disc in discs)
        return one & ~zero, zero
