"""How often each stored bit was written: counts by layer, what a memory's endurance says of them, and a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnsim.files.brief import Brief

from bnnsim.checks import check_real


@dataclass(frozen=True, eq=False, repr=False)
class WriteCounts(Brief):
    """How often each stored bit of a network was written in a training.

    Parameters
    ----------
    layers : sequence of integer arrays, or float32 ones of whole numbers
        Of the shapes of the layers' latent weights, (U, F) or (K, kh, kw, C); kept as int64.

    Examples
    --------
    >>> counts = WriteCounts([np.array([[0, 0, 3], [1, 0, 4]])])
    >>> counts.total, counts.largest, counts.histogram().tolist(), counts.share_beyond(2)
    (8, 4, [3, 1, 0, 1, 1], 0.3333333333333333)
    >>> print(counts.table())
    layer          bits        writes  a bit   most  never written %
        0             6             8   1.33      4            50.00
      all             6             8   1.33      4            50.00
    """

    layers: Sequence[np.ndarray]

    def __post_init__(self) -> None:
        clean = [np.asarray(counts) for counts in self.layers]
        for i, counts in enumerate(clean):
            if counts.dtype.kind not in "iuf" or counts.ndim < 2 or counts.size == 0:
                raise TypeError(f"layers[{i}] must be an array (U, ..., F) of counts, got {counts.dtype} "
                                f"{counts.shape}")
            if not np.all((counts >= 0) & (counts == np.floor(counts)) & (counts < 2.0**63)):
                raise ValueError(f"layers[{i}] must have whole numbers >= 0")
        if not clean:
            raise ValueError("layers must be counts of one layer at least, got none")
        object.__setattr__(self, "layers", tuple(counts.astype(np.int64) for counts in clean))

    def __add__(self, other: "WriteCounts") -> "WriteCounts":
        """Those of two trainings, one after the other, on one chip."""
        if not isinstance(other, WriteCounts):
            return NotImplemented
        shapes = [[counts.shape for counts in each.layers] for each in (self, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"both must be counts of one network, got layers {shapes[0]} and {shapes[1]}")
        return WriteCounts([a + b for a, b in zip(self.layers, other.layers)])

    @property
    def n_bits(self) -> int:
        """Stored bits."""
        return sum(counts.size for counts in self.layers)

    @property
    def total(self) -> int:
        """All writes."""
        return sum(int(counts.sum()) for counts in self.layers)

    @property
    def largest(self) -> int:
        """Writes of the bit that was written most."""
        return max(int(counts.max()) for counts in self.layers)

    def histogram(self) -> np.ndarray:
        """How many bits were written 0, 1, 2 ... times, int64 (largest + 1,)."""
        return np.bincount(np.concatenate([counts.ravel() for counts in self.layers]))

    def share_beyond(self, endurance_cycles: float, cycles_per_write: float = 1.0) -> float:
        """Share of the bits that were written more often than a memory stands.

        Parameters
        ----------
        endurance_cycles : float > 0
            Of programming: `DeviceCard.lifetime_cycles`.
        cycles_per_write : float > 0
            1 where a write is a whole cycle of RESET and SET; 1/2 where only a bit that changes is pulsed, which in a
            2T2R pair is half a cycle of both devices [D].
        """
        limit = check_real("endurance_cycles", endurance_cycles, 0, open_low=True) / \
            check_real("cycles_per_write", cycles_per_write, 0, open_low=True)
        return sum(int(np.count_nonzero(counts > limit)) for counts in self.layers) / self.n_bits

    def endurance_spent(self, endurance_cycles: float, cycles_per_write: float = 1.0) -> tuple[float, float]:
        """Share of a memory's endurance that is spent: (of the bits in the mean, of the bit written most)."""
        share = check_real("cycles_per_write", cycles_per_write, 0, open_low=True) / \
            check_real("endurance_cycles", endurance_cycles, 0, open_low=True)
        return share * self.total / self.n_bits, share * self.largest

    def table(self) -> str:
        """Text: a line a layer, and one for all."""
        lines = ["layer          bits        writes  a bit   most  never written %"]
        parts = [*((str(i), [counts]) for i, counts in enumerate(self.layers)), ("all", self.layers)]
        for name, layers in parts:
            n, total = sum(c.size for c in layers), sum(int(c.sum()) for c in layers)
            never = 100 * sum(int(np.count_nonzero(c == 0)) for c in layers) / n
            lines.append(f"{name:>5}  {n:>12,}  {total:>12,}  {total / n:>5.2f}  {max(int(c.max()) for c in layers):>5}"
                         f"  {never:>15.2f}")
        return "\n".join(lines)
