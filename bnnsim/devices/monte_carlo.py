"""Every device of a network's memory programmed, every bit sensed: errors as a chip has them.

N packed rows of a layer (a unit, or a unit's tap), F features, W = ceil(F / 64) words.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

import bnnsim.kernels.memory.sensing as sensing
from bnnsim.checks import check_int, check_real
from bnnsim.kernels import split
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class Programmed:
    """A fault that programs every device of every stored bit and senses each bit, so errors are as a chip has them.

    A unit's weights lie in one row of the memory, weight f (of a kernel: in height, width, channel order) in column f,
    as in `bnnsim.faults.ArrayMapping`. An amplifier serves `rows_per_amplifier` neighbouring rows of its column: bits
    that share one have correlated errors.

    Parameters
    ----------
    cell : Cell1T1R or Cell2T2R
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

    cell: object
    rows_per_amplifier: int = 1
    layers: tuple | None = None
    sigma: float = 1.0

    clean_at_zero: ClassVar[bool] = False       # offsets and dead devices err without a spread

    def __post_init__(self):
        object.__setattr__(self, "rows_per_amplifier", check_int("rows_per_amplifier", self.rows_per_amplifier, 1))
        object.__setattr__(self, "sigma", check_real("sigma", self.sigma, 0))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(check_int("layers", i, 0) for i in self.layers))

    @property
    def when(self):
        """"read" where the cell has read noise, to be drawn for each inference batch; else "write", once a chip."""
        return "read" if getattr(self.cell, "read_sigma", 0.0) > 0 else "write"

    def at(self, sigma):
        """The same devices with the spread of both states times `sigma`: one chip's draws stay, errors nest."""
        return replace(self, sigma=sigma)

    def masks(self, network, rng=None, trial=0, read=0):
        """The wrong bits of each layer that has any.

        Parameters
        ----------
        network : PackedNetwork
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
        if not hasattr(network, "with_words"):
            raise TypeError(f"network must be a PackedNetwork (see bnnsim.pack), got {type(network).__name__}")
        root, trial, read = root_seed(rng), check_int("trial", trial, 0), check_int("read", read, 0)
        n_layers = len(network.layers)
        if max(self.layers or (0,)) >= n_layers:
            raise ValueError(f"layers must be in 0..{n_layers - 1}, got {self.layers}")
        cell, found = self.cell if self.sigma == 1 else self.cell.scaled(self.sigma), {}
        for i in range(n_layers) if self.layers is None else self.layers:
            masks = _layer_masks(network.layers[i], cell, self.rows_per_amplifier, _keys(root, trial, i, read))
            if masks.any():
                found[i] = masks
        return found

    def apply(self, network, rng=None, trial=0, read=0):
        """The network as it is read back; `network` is untouched, layers without an error are shared. See `masks`."""
        broken = {i: network.layers[i].words ^ mask for i, mask in self.masks(network, rng, trial, read).items()}
        return network.with_words(broken) if broken else network


def _keys(root, trial, layer, read):
    def key(name, *ids):
        return tuple(stream_key(root, name, trial, layer, 0, *ids))

    return sensing.Keys(key("device states"), key("amplifier offsets"), key("read noise", read),
                        key("device failures"))


def _layer_masks(layer, cell, rows_per_amplifier, keys):
    words = layer.words.reshape(-1, layer.words.shape[-1]).copy()       # writable: kernels are compiled for such arrays
    masks = np.empty_like(words)
    states = cell.lrs.kernel_state(), cell.hrs.kernel_state()
    failures = sensing.Failures(_threshold(cell.failures.p_failed), _threshold(cell.failures.share_lrs))
    if hasattr(cell, "ln_reference"):
        split(sensing.single_faults, len(words), words, layer.n_in, *states, cell.ln_reference, failures, keys, masks)
    else:
        taps = len(words) // len(layer.words)
        amplifier = sensing.Amplifier(cell.offset, cell.offset_sigma, cell.read_sigma, rows_per_amplifier, taps)
        split(sensing.pair_faults, len(words), words, layer.n_in, *states, amplifier, failures, keys, masks)
    return masks.reshape(layer.words.shape)


def _threshold(p):
    """A 32-bit draw is below it with probability p, to 1.2e-10; surely for 1, never for 0."""
    return np.uint64(round(p * 2**32))
