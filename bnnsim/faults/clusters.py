"""Clusters: defects that take all cells around a spot of an array."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

import bnnsim.kernels.memory.clusters as clusters
from bnnsim.checks import check_int, check_probability
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.by_layer import chosen, clean_layers
from bnnsim.faults.errors import with_errors
from bnnsim.kernels import split
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import check_stored
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class Clusters:
    """All cells within `radius` of a defect are stuck; where two clusters overlap, stuck at 0 wins.

    Parameters
    ----------
    mapping : ArrayMapping
    p : float
        Probability that a cell is the centre of a cluster; `at` sets it.
    radius : int
        In cells: the disc of radius 1 has 5 cells, 2 has 13. It ends at the edge of the array and of its used part.
    p_one : float
        Share of the clusters that are stuck at 1; the others are stuck at 0.
    layers : sequence of int, optional
        Only the arrays of these layers; all by default.
    """

    mapping: ArrayMapping
    p: float
    radius: int = 1
    p_one: float = 0.5
    layers: tuple | None = None

    when: ClassVar[str] = "permanent"

    def __post_init__(self):
        check_mapping(self.mapping)
        for name in ("p", "p_one"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        check_int("radius", self.radius, 0, 1000)
        object.__setattr__(self, "layers", clean_layers(self.layers))

    def at(self, rate):
        """The same with another density of centres."""
        return replace(self, p=rate)

    def apply(self, network, rng=None, trial=0):
        """A network read from arrays with clusters; keys (root seed, "clusters" or "cluster kinds", trial, layer, 0).

        Centres at a lower density are a subset of those at a higher one, each of the same kind.
        """
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        errors = {}
        for i in chosen(self.layers, len(layers)) if self.p else ():
            keys = [stream_key(root, name, trial, i, 0) for name in ("clusters", "cluster kinds")]
            errors[i] = self._stuck(layers[i], *keys)
        return with_errors(network, errors)

    def _stuck(self, layer, key, kind_key):
        """(f01, f10) of a layer."""
        n_rows, n_columns = self.mapping.used(layer)
        height, width = n_rows.max(), int(n_columns.max())
        centres, kinds = (flip_masks(len(n_rows) * height, width, p, one).reshape(len(n_rows), height, -1)
                          for p, one in ((self.p, key), (self.p_one, kind_key)))
        discs = np.zeros((2, *centres.shape), np.uint64)
        for out, of_kind in zip(discs, (centres & kinds, centres & ~kinds)):
            split(clusters.fill_discs, len(n_rows), of_kind, n_rows, n_columns, self.radius, out)
        one, zero = (self.mapping.words(layer, disc) for disc in discs)
        return one & ~zero, zero
