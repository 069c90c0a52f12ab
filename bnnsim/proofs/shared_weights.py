"""Certificates of a convolution's flips by what a weight does at all positions at once.

Flipping weight f of map u moves its pre-activation at position p by 2 a[p, f], towards the other side of the threshold
where a > 0, away from it where a < 0. q flips of a map carry p across only where their sum S of a reaches need[p]. That
is bounded by a sum over the flips, and so is what q flips change, each output worth g: at most the q largest of

    c[f] = sum over p of g[p] (a[p, f] + 1) / (need[p] + q),        summands of +-1, where S >= -q,
    c[f] = sum over p of g[p] min(a[p, f] / need[p], 1), a > 0,     pixels,

over the p that some q flips carry across, and no more than all of their worth. k flips are shared out over the maps at
the worst, by dynamic programming (docs/frontier/certificates.rst). N images, P positions, F weights of a map, K maps, C
rivals.
"""

from typing import TYPE_CHECKING

import numpy as np

from bnnsim.packed.stages import Stage
from bnnsim.packed.tolerance import tolerance_of_positions
from bnnsim.proofs.windows import entries, pooled

if TYPE_CHECKING:
    from bnnsim.proofs.bounds import BlockBounds

MOST = 64                           # flips that are looked at
SLACK = 1 + 1e-9                    # rounding in float64 must not certify


class SharedFlips:
    """The flips of one convolution, of the images of a block.

    Parameters
    ----------
    stage : Stage
        A convolution that is not the last layer.
    x, h : what it reads, and its pre-activations (N, P, K)
    """

    def __init__(self, stage: Stage, x: np.ndarray, h: np.ndarray) -> None:
        self.stage, self.patches = stage, stage.patches(x)
        d = h.astype(np.int64) - stage.theta
        self.above = d >= 0
        self.need = np.where(self.above, d >> 1, (-d - 1) >> 1) + 1             # as `tolerance.crossing`
        self.signs = stage.signs_by_summand.astype(np.float64)                  # (F, K)
        self.stands = tolerance_of_positions(stage, x, h)       # T: flips that change nothing, whichever

    def by_position(self, n: int, worth: np.ndarray) -> np.ndarray:
        """Worths of outputs (Q, K, C) of image n -> of positions (P, K, C): a bound for each window of a max-pool.

        A window without an entry above changes where any entry crosses: all have its worth. One with entries above
        changes only where those all cross: the one that needs most has it.
        """
        if not self.stage.layer.pools:
            return worth
        rows, columns = self.stage.map_shape
        worth = worth.reshape(1, *self.stage.pooled_shape, *worth.shape[1:])
        above, need = (each[n].reshape(1, rows, columns, -1) for each in (self.above, self.need))
        dearest = pooled(self.stage, np.where(above, need, -1), np.maximum)
        left, out = dearest >= 0, np.zeros((1, rows, columns, *worth.shape[3:]))
        for q, p in entries(self.stage.layer.windows, (rows, columns)):
            its = left[q] & above[p] & (need[p] == dearest[q])
            out[p] += worth[q] * (its | (dearest[q] < 0))[..., None]
            left[q] &= ~its
        return out.reshape(rows * columns, *worth.shape[3:])

    def most_of_maps(self, n: int, worth: np.ndarray, q: int) -> np.ndarray:
        """The most that q flips of each map change, of positions of these worths (P, K, C): float64 (K, C)."""
        worth = np.where((self.stands[n] < q)[..., None], worth, 0.0)
        columns = self._of_pixels(n, worth) if self.stage.reads_pixels else self._of_bits(n, worth, q)
        columns = np.where(self.signs[..., None] != 0, columns, 0.0)            # of no other group
        best = -np.partition(-columns, min(q, len(columns)) - 1, axis=0)[:q]
        return np.minimum(best.sum(axis=0), worth.sum(axis=0))

    def _of_bits(self, n: int, worth: np.ndarray, q: int) -> np.ndarray:
        """c (F, K, C) of summands of +-1, or 0 in a padding."""
        share, x = worth / (self.need[n] + q)[..., None], self.patches[n].astype(np.float64)
        side = np.where(self.above[n], 1.0, -1.0)[..., None]
        slope = (x.T @ (side * share).reshape(len(x), -1)).reshape(x.shape[1], *worth.shape[1:])
        return self.signs[..., None] * slope + share.sum(axis=0)

    def _of_pixels(self, n: int, worth: np.ndarray) -> np.ndarray:
        """c (F, K, C) of summands of any size."""
        columns, x = np.empty((*self.signs.shape, worth.shape[2])), self.patches[n].astype(np.float64)
        side = np.where(self.above[n], 1.0, -1.0)
        for f, signs in enumerate(self.signs):
            turned = np.clip(x[:, f, None] * signs * side / self.need[n], 0, 1)
            columns[f] = np.einsum("pk,pkc->kc", turned, worth)
        return columns


class Shares:
    """The most that k flips change, shared out over maps at the worst, for k = 1, 2, ...: one image, C rivals."""

    def __init__(self, n_maps: int, n_rivals: int) -> None:
        self.of_maps = [np.zeros((n_maps, n_rivals))]           # by number of flips in a map
        self.up_to = [np.zeros((n_maps + 1, n_rivals))]         # by number of flips: what the first u maps give

    def add(self, most: np.ndarray) -> np.ndarray:
        """With what one flip more in a map changes at most (K, C): what one flip more in all does, (C,)."""
        self.of_maps.append(np.maximum(most, self.of_maps[-1]))
        k, found = len(self.up_to), self.up_to[-1].copy()
        self.up_to.append(found)
        for u in range(len(most)):
            found[u + 1] = np.max([self.up_to[k - q][u] + self.of_maps[q][u] for q in range(k + 1)], axis=0)
        return found[-1]


def certified(block: "BlockBounds", i: int, known: np.ndarray) -> np.ndarray:
    """Flips of convolution i that leave the classes of a block alone, `known` (N,) or more, up to `MOST`: int64 (N,).

    Where the output layer reads the convolution, outputs are worth what each rival gains by them; else each counts 1,
    and what can change behind so many is as `BlockBounds` has it.
    """
    stage, last = block.stages[i], i == block.last - 1
    flips = SharedFlips(stage, block.x[i], block.h[i])
    n_outputs, n_rivals, out = int(np.prod(stage.pooled_shape)), len(block.scale) if last else 1, known.copy()
    for n in range(len(known)):
        worth = block.input_gains_of(n) if last else np.ones((n_outputs * stage.layer.units, 1))
        worth = flips.by_position(n, worth.reshape(n_outputs, stage.layer.units, n_rivals))
        shares = Shares(stage.layer.units, n_rivals)
        for k in range(1, min(MOST, stage.layer.n_bits) + 1):
            most = SLACK * shares.add(flips.most_of_maps(n, worth, k))
            if last and not (most < block.lead[n]).all():
                break
            if not last and k > known[n] and not block.holds_for(i, n, k, int(most[0])):
                break
            out[n] = max(out[n], k)
    return out
