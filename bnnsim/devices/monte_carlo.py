"""Every device of a network's memory programmed, every bit sensed: errors as a chip has them.

N packed rows of a layer (a unit, or a unit's tap), F features, W = ceil(F / 64) words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import bnnsim.devices.quantile_sensing as quantile_sensing
import bnnsim.kernels.memory.sensing as sensing
from bnnsim.checks import check_int, check_real, clean_fields
from bnnsim.devices.marks import derived
from bnnsim.devices.states import numbers_of
from bnnsim.faults.by_layer import StreamKey, chosen, clean_layers, streams
from bnnsim.kernels import split
from bnnsim.packed.memory import MemoryLike, Stored, StoredLayer
from bnnsim.seeding import RandomSource

if TYPE_CHECKING:
    from bnnsim.devices.cells import Cell


@dataclass(frozen=True)
class Programmed:
    """A fault that programs every device of every stored bit and senses each bit, so errors are as a chip has them.

    A unit's weights lie in one row of the memory, weight f (of a kernel: in height, width, channel order) in column f,
    as in `bnnsim.faults.ArrayMapping`. An amplifier serves `rows_per_amplifier` neighbouring rows of its column: bits
    that share one have correlated errors.

    Parameters
    ----------
    cell : Cell1T1R or Cell2T2R
        States of your own are programmed in NumPy, by their `quantile`; those that ship, in compiled loops.
    rows_per_amplifier : int >= 1
        1: each bit has its own.
    layers : sequence of int, optional
        Only these layers have errors; all by default.
    sigma : float >= 0
        Factor on the spread of both states: the axis of ``at``.

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.devices import Cell2T2R, LogNormal
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> fault = Cell2T2R(LogNormal(5e3, 0.8), LogNormal(5e4, 1.0)).programmed()
    >>> fault.when, int(sum(np.bitwise_count(mask).sum() for mask in fault.masks(network, rng=0).values()))
    ('write', 179)
    """

    cell: "Cell"
    rows_per_amplifier: int = 1
    layers: Sequence[int] | None = None
    sigma: float = 1.0

    moves: ClassVar[str] = "sigma_factor"
    clean_at_zero: ClassVar[bool] = False       # offsets and dead devices err without a spread

    def __post_init__(self) -> None:
        clean_fields(self, check_int, "rows_per_amplifier", low=1)
        clean_fields(self, check_real, "sigma", low=0)
        clean_fields(self, clean_layers, "layers")

    @property
    def when(self) -> str:
        """"read" where the cell has read noise, to be drawn for each inference batch; else "write", once a chip."""
        return "read" if getattr(self.cell, "read_sigma", 0.0) > 0 else "write"

    @property
    def origin(self) -> tuple[str, str] | None:
        """That of the cell; of another spread than the cell's it is derived."""
        found = getattr(self.cell, "origin", None)
        return found if found is None or self.sigma == 1 else derived(found)

    def at(self, sigma: float) -> "Programmed":
        """The same devices with the spread of both states times `sigma`: one chip's draws stay, errors nest."""
        return replace(self, sigma=sigma)

    def masks(self, memory: MemoryLike, rng: RandomSource = None, trial: int = 0,
              read: int = 0) -> dict[int, np.ndarray]:
        """The wrong bits of each layer that has any.

        Parameters
        ----------
        memory : PackedNetwork or Memory
        rng : None, int, SeedSequence or Generator
            The root seed. Keys are (root seed, stream, trial, layer, array 0), of the streams "device states",
            "amplifier offsets", "device failures" and "read noise", the last with `read` behind; counters are places
            of devices in the layer. No parameter of the cell is in a key: chips of different cells are paired.
        trial : int
            Which chip.
        read : int
            Which read (inference batch) of it: devices and offsets stay, read noise is new.

        Returns
        -------
        dict of int to uint64 array
            Layer number to masks, shaped as the layer's words; padding bits are 0.
        """
        key, read = streams(memory, rng, trial), check_int("read", read, 0)
        cell = self.cell if self.sigma == 1 else self.cell.scaled(self.sigma)
        found = {}
        for i in chosen(self.layers, len(memory.layers)):
            layer = memory.layers[i]
            masks = cell.wrong_bits(_rows(layer, self.rows_per_amplifier), _keys(key, i, read))
            if masks.any():
                found[i] = masks.reshape(layer.words.shape)
        return found

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """The memory as it is read back; it stays as it was, layers without an error are shared. See `masks`."""
        broken = {i: memory.layers[i].words ^ mask for i, mask in self.masks(memory, rng, trial, read).items()}
        return memory.with_words(broken) if broken else memory

    def margins(self, memory: MemoryLike, rng: RandomSource = None, trial: int = 0) -> dict[int, np.ndarray]:
        """By how much each pair of one chip is on the right side, in ln R; below 0 it reads wrong but for read noise.

        Parameters
        ----------
        memory, rng, trial
            As of `apply`; the cell must be one of pairs, `Cell2T2R`.

        Returns
        -------
        dict of int to float64 (units, fan_in)
            Layer number to margins, of a kernel in height, width, channel order.
        """
        cell: Any = self.cell if self.sigma == 1 else self.cell.scaled(self.sigma)
        if not hasattr(cell, "offset_sigma"):                   # cells import this module
            raise TypeError(f"cell must be a Cell2T2R, whose pairs have margins, got {type(cell).__name__}")
        key = streams(memory, rng, trial)
        found = {}
        for i in chosen(self.layers, len(memory.layers)):
            rows = _rows(memory.layers[i], self.rows_per_amplifier)
            amplifier = sensing.Amplifier(cell.offset, cell.offset_sigma, 0.0, rows.units, rows.taps)
            found[i] = quantile_sensing.pair_margins(rows.words, rows.n_in, cell.lrs, cell.hrs, amplifier,
                                                     _thresholds(cell), _keys(key, i, 0))
            found[i] = found[i].reshape(memory.layers[i].units, -1)
        return found


class Rows(NamedTuple):
    """What is programmed: words uint64 (N, W) of n_in bits, so many taps a unit, so many units an amplifier."""

    words: np.ndarray
    n_in: int
    taps: int
    units: int


def single_faults(cell: "Cell", ln_reference: float, rows: Rows, keys: sensing.Keys) -> np.ndarray:
    """Masks (N, W) of the bits that single devices get wrong against a reference."""
    masks, failures = np.empty_like(rows.words), _thresholds(cell)
    lrs, hrs = numbers_of(cell.lrs), numbers_of(cell.hrs)
    if lrs is None or hrs is None:
        quantile_sensing.single_faults(rows.words, rows.n_in, cell.lrs, cell.hrs, ln_reference, failures, keys, masks)
    else:
        split(sensing.single_faults, len(masks), rows.words, rows.n_in, lrs, hrs, ln_reference, failures, keys, masks)
    return masks


def pair_faults(cell: "Cell", amplifier: tuple[float, float, float], rows: Rows, keys: sensing.Keys) -> np.ndarray:
    """Masks (N, W) of the bits that pairs get wrong at amplifiers with (offset, its spread, read noise)."""
    masks, failures = np.empty_like(rows.words), _thresholds(cell)
    lrs, hrs, shared = numbers_of(cell.lrs), numbers_of(cell.hrs), sensing.Amplifier(*amplifier, rows.units, rows.taps)
    if lrs is None or hrs is None:
        quantile_sensing.pair_faults(rows.words, rows.n_in, cell.lrs, cell.hrs, shared, failures, keys, masks)
    else:
        split(sensing.pair_faults, len(masks), rows.words, rows.n_in, lrs, hrs, shared, failures, keys, masks)
    return masks


def _rows(layer: StoredLayer, rows_per_amplifier: int) -> Rows:
    words = layer.words.reshape(-1, layer.words.shape[-1]).copy()       # writable: kernels are compiled for such arrays
    return Rows(words, layer.n_in, len(words) // layer.units, rows_per_amplifier)


def _keys(key: StreamKey, layer: int, read: int) -> sensing.Keys:
    def pair(name: str, *ids: int) -> tuple:
        return tuple(key(name, layer, *ids))

    return sensing.Keys(pair("device states"), pair("amplifier offsets"), pair("read noise", read),
                        pair("device failures"))


def _thresholds(cell: "Cell") -> sensing.FailureThresholds:
    return sensing.FailureThresholds(_threshold(cell.failures.p_failed), _threshold(cell.failures.share_lrs))


def _threshold(p: float) -> np.uint64:
    """A 32-bit draw is below it with probability p, to 1.2e-10; surely for 1, never for 0."""
    return np.uint64(round(p * 2**32))
