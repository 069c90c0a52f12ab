"""The errors of one chip, cell by cell: recorded from a fault, kept in a file, applied again, compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NoReturn

import numpy as np

import bnnsim.faults.map_file as map_file
from bnnsim.checks import FilePath, check_choice, check_int
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.errors import cell_errors, with_errors
from bnnsim.faults.protocol import Fault
from bnnsim.files.brief import Brief
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, check_stored
from bnnsim.packed.schema import check_metadata
from bnnsim.packed.words import unpack_bits
from bnnsim.seeding import RandomSource, root_seed

KINDS = ("flipped", "stuck at 0", "stuck at 1")


@dataclass(frozen=True, eq=False, repr=False)
class LayerErrors(Brief):
    """Errors of one layer: f01 where a stored 0 reads 1, f10 where a stored 1 reads 0.

    Parameters
    ----------
    n_in : int
    f01, f10 : uint64, of the shape of the layer's words
        Both bits set: the cell flips; f01 alone: it is stuck at 1; f10 alone: stuck at 0.
    """

    n_in: int
    f01: np.ndarray
    f10: np.ndarray

    def __post_init__(self) -> None:
        """Masks are read-only, those that could be written to are copied: a map is what its checksum says."""
        for name in ("f01", "f10"):
            given = np.asarray(getattr(self, name))
            mask = given.copy() if given.flags.writeable else given
            mask.flags.writeable = False
            object.__setattr__(self, name, mask)

    def kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(flipped, stuck at 0, stuck at 1), masks that exclude each other."""
        return self.f01 & self.f10, self.f10 & ~self.f01, self.f01 & ~self.f10

    @property
    def stored(self) -> StoredBits:
        """A layer of this shape."""
        return StoredBits(self.f01, self.n_in)


@dataclass(frozen=True, eq=False)
class FaultMap:
    """The errors of every cell of one chip: two bits a weight.

    Any fault that hits cells one by one can be recorded, and does then what it did, on any network whose layers have
    these shapes. As ``faults=`` of `bnnsim.fit` it trains a network for this chip.

    Parameters
    ----------
    layers : sequence of LayerErrors
    mapping : ArrayMapping, optional
        The arrays that the cells stand in: for statistics, addresses and pictures by array.
    metadata : dict of str to str
        Where the map came from; stored with it.

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.faults import FaultMap, StuckAt
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> chip = FaultMap.record(StuckAt(0.01, 0.02), network, rng=3)
    >>> chip.counts().tolist()                                              # flipped, stuck at 0, stuck at 1
    [[0, 37, 86], [0, 14, 8]]
    >>> chip.save("chip.h5")
    >>> broken = FaultMap.load("chip.h5").apply(network)
    >>> bool((broken.layers[0].words == StuckAt(0.01, 0.02).apply(network, rng=3).layers[0].words).all())
    True
    """

    layers: Sequence[LayerErrors]
    mapping: ArrayMapping | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        if self.mapping is not None:
            check_mapping(self.mapping)
        object.__setattr__(self, "metadata", check_metadata(self.metadata))
        clean = map_file.check_layers([(layer.n_in, layer.f01, layer.f10) for layer in self.layers])
        object.__setattr__(self, "layers", tuple(LayerErrors(*layer) for layer in clean))

    # -------------------------------------------------------- making

    @classmethod
    def record(cls, fault: Fault, network: MemoryLike, rng: RandomSource = None, trial: int = 0,
               mapping: ArrayMapping | None = None) -> "FaultMap":
        """What a fault does to one chip.

        Parameters
        ----------
        fault : fault
        network : PackedNetwork or Memory
        rng, trial
            As of ``fault.apply``.
        mapping : ArrayMapping, optional
            That of the fault, where it has one, by default.

        Raises
        ------
        ValueError
            Where cells do not fail one by one, as stuck cells under `Protected`: record the fault inside, on
            ``protected.memory(network)``. (What a linear code leaves of *flips* does not hang on the data, and can be
            recorded.)
        """
        root = root_seed(rng)
        mapping = getattr(fault, "mapping", None) if mapping is None else mapping
        masks = cell_errors(fault, network, root, check_int("trial", trial, 0))
        return cls([LayerErrors(layer.n_in, *pair) for layer, pair in zip(network.layers, masks)], mapping,
                   {"fault": repr(fault), "seed": str(root), "trial": str(trial)})

    @classmethod
    def load(cls, path: FilePath) -> "FaultMap":
        """Read and check a file that `save` wrote; ValueError where it is none, or damaged."""
        layers, lines, metadata = map_file.load(path)
        return cls([LayerErrors(*layer) for layer in layers], ArrayMapping(*lines) if lines else None, metadata)

    def save(self, path: FilePath) -> None:
        """Write an HDF5 file, atomically: see `bnnsim.faults.map_file`."""
        map_file.save(path, self._fields(), self._lines(), self.metadata)

    def _fields(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        return [(layer.n_in, layer.f01, layer.f10) for layer in self.layers]

    def _lines(self) -> tuple[int, int, str] | None:
        return (self.mapping.rows, self.mapping.columns, self.mapping.units_on) if self.mapping else None

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of layers and mapping, as stored in files."""
        return map_file.checksum(self._fields(), self._lines())

    # -------------------------------------------------------- using

    def at(self, rate: float) -> NoReturn:
        """ValueError: a chip has no rate."""
        raise ValueError("a FaultMap is one chip and has no rate that a sweep could set: compose it with a fault that "
                         "has one, as Compose([BitFlips(0), fault_map]), or apply it and measure")

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory read from this chip; nothing is drawn. ValueError where its layers have other shapes."""
        self.check_fits([(layer.n_in, layer.words.shape) for layer in check_stored(memory).layers], "the network")
        return with_errors(memory, {i: (layer.f01, layer.f10) for i, layer in enumerate(self.layers)
                                    if layer.f01.any() or layer.f10.any()})

    def check_fits(self, shapes: Sequence[tuple[int, tuple[int, ...]]], whose: str) -> None:
        """The layers (n_in, shape of words) are those of this map."""
        own = [(layer.n_in, layer.f01.shape) for layer in self.layers]
        if len(own) != len(shapes):
            raise ValueError(f"the fault map is of a network with {len(own)} layers, {whose} has {len(shapes)}")
        for i, (mine, other) in enumerate(zip(own, shapes)):
            if mine != other:
                raise ValueError(f"the fault map is of another network: its layer {i} has {_shape(*mine)}, that of "
                                 f"{whose} {_shape(*other)}")

    def _joined(self, other: object, join: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "FaultMap":
        if not isinstance(other, FaultMap):
            return NotImplemented
        self.check_fits([(layer.n_in, layer.f01.shape) for layer in other.layers], "the other map")
        if self.mapping and other.mapping and self.mapping != other.mapping:
            raise ValueError(f"both maps must have one mapping, got {self.mapping} and {other.mapping}")
        return FaultMap([LayerErrors(a.n_in, join(a.f01, b.f01), join(a.f10, b.f10))
                         for a, b in zip(self.layers, other.layers)], self.mapping or other.mapping)

    def __or__(self, other: object) -> "FaultMap":
        """Union: a stored bit is read wrong where either map reads it wrong; a cell stuck at 0 and at 1 flips."""
        return self._joined(other, np.bitwise_or)

    def __and__(self, other: object) -> "FaultMap":
        """Intersection: the errors of both maps."""
        return self._joined(other, np.bitwise_and)

    def __sub__(self, other: object) -> "FaultMap":
        """Difference: the errors of this map that the other does not have."""
        return self._joined(other, lambda a, b: a & ~b)

    def __eq__(self, other: object) -> bool:
        """Same errors, shapes and mapping; the metadata does not count."""
        return self.checksum == other.checksum if isinstance(other, FaultMap) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.checksum)

    def __repr__(self) -> str:
        return f"<FaultMap {self.checksum[:16]}: {self.counts().sum():,} of {self.n_bits:,} cells>"

    # -------------------------------------------------------- statistics

    @property
    def n_bits(self) -> int:
        """Cells."""
        return sum(layer.stored.n_bits for layer in self.layers)

    def counts(self, per: str = "layer") -> np.ndarray:
        """How many cells are broken, and how.

        Parameters
        ----------
        per : {"layer", "array"}
            By array needs a mapping.

        Returns
        -------
        int64 (layers or arrays, 3)
            Flipped, stuck at 0, stuck at 1: KINDS.
        """
        if check_choice("per", per, ("layer", "array")) == "layer":
            return np.array([[np.bitwise_count(kind).sum(dtype=np.int64) for kind in layer.kinds()]
                             for layer in self.layers])
        mapping = self._mapping()
        return np.concatenate([np.stack([
            np.bitwise_count(mapping.arrays(layer.stored, kind)).sum(axis=(1, 2), dtype=np.int64)
            for kind in layer.kinds()], axis=-1) for layer in self.layers])

    def line_counts(self, array: int, per: str) -> np.ndarray:
        """How many cells of each line of an array are broken, and how.

        Parameters
        ----------
        array : int
        per : {"row", "column"}

        Returns
        -------
        int64 (lines in use, 3)
        """
        axis = {"row": 1, "column": 0}[check_choice("per", per, ("row", "column"))]
        cells = self.array(array)
        return np.stack([(cells == kind).sum(axis=axis) for kind in (1, 2, 3)], axis=-1)

    def array(self, array: int) -> np.ndarray:
        """The cells of an array: uint8 (rows in use, columns in use); 0 sound, 1 flipped, 2 stuck at 0, 3 at 1."""
        mapping = self._mapping()
        i, tile = mapping.layer_of(self.memory, array)
        layer = self.layers[i]
        n_rows, n_columns = (int(used[tile]) for used in mapping.used(layer.stored))
        f01, f10 = (unpack_bits(mapping.arrays(layer.stored, mask)[tile, :n_rows], n_columns)
                    for mask in (layer.f01, layer.f10))
        return np.choose(f01 + 2 * f10, (0, 3, 2, 1)).astype(np.uint8)

    @property
    def memory(self) -> Memory:
        """Something of the shapes of this map, for what `ArrayMapping` tells of networks."""
        return Memory(tuple(layer.stored for layer in self.layers))

    def _mapping(self) -> ArrayMapping:
        if self.mapping is None:
            raise ValueError("the fault map has no mapping to arrays: give one, as "
                             "FaultMap.record(..., mapping=ArrayMapping(...))")
        return self.mapping


def _shape(n_in: int, shape: tuple[int, ...]) -> str:
    taps = " x ".join(map(str, shape[1:-1]))
    return f"{shape[0]} units of {n_in} {'channels, taps ' + taps if taps else 'weights'}"
