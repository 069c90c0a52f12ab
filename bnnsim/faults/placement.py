"""Where each unit of a layer is stored, once it is known which cells are broken: rows, columns, and bits inverted.

U units of F weights in R >= U rows of cells; a row has segments of so many cells. bits (U, F) are what is to be stored;
f01 and f10 (R, F) where a stored 0 reads 1 and a stored 1 reads 0: uint8 of 0 and 1, all three. A bit and a cell
disagree where the cell reads it wrong; the inverted bit is then read right, unless the cell flips both.
"""

from dataclasses import dataclass

import numpy as np

from bnnsim.packed.forward import dense_forward
from bnnsim.packed.words import pack_bits


@dataclass(frozen=True, eq=False)
class Placement:
    """How a layer lies in its cells.

    Attributes
    ----------
    rows : int64 (U,)
        The row of cells that holds each unit.
    columns : int64 (F,)
        The column of cells that holds each weight, of all units alike.
    inverted : uint8 (U, F)
        1 where a cell of the row of a unit holds its bit inverted: all cells of a segment do, or none.
    """

    rows: np.ndarray
    columns: np.ndarray
    inverted: np.ndarray

    def stored(self, bits: np.ndarray) -> np.ndarray:
        """What the cells of each unit's row hold, uint8 (U, F)."""
        held = np.empty_like(bits)
        held[:, self.columns] = bits
        return held ^ self.inverted

    def seen(self, f01: np.ndarray, f10: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(f01, f10) of the weights (U, F), from those of the cells: an inversion exchanges stuck at 0 and at 1."""
        own01, own10 = f01[self.rows], f10[self.rows]
        exchanged = (own01 ^ own10) & self.inverted
        return (own01 ^ exchanged)[:, self.columns], (own10 ^ exchanged)[:, self.columns]


def place(bits: np.ndarray, f01: np.ndarray, f10: np.ndarray, permute: str | None, exact: bool,
          segment: int) -> Placement:
    """The placement that reads few bits wrong.

    Parameters
    ----------
    bits : uint8 (U, F)
    f01, f10 : uint8 (R, F)
    permute : "units", "weights" or None
        What may stand elsewhere: units in rows, or weights in columns.
    exact : bool
        An exact assignment; else a greedy one.
    segment : int
        So many cells of a row are inverted together; 0: none ever is.

    Returns
    -------
    Placement
        Units with inverted segments: exact means that no other placement of units and inversions reads fewer bits
        wrong. Columns are assigned to bits that are not inverted; inversions are chosen behind.
    """
    (n_units, n_weights), assign = bits.shape, exact_assignment if exact else greedy_assignment
    rows, columns = np.arange(n_units), np.arange(n_weights)
    if permute == "units":
        rows = assign(unit_costs(bits, f01, f10, segment))
    elif permute == "weights":
        columns = assign(weight_costs(bits, f01[:n_units], f10[:n_units]))
    upright = Placement(rows, columns, np.zeros(bits.shape, np.uint8))
    if not segment:
        return upright
    return Placement(rows, columns, _inversions(upright.stored(bits), f01[rows], f10[rows], segment))


def wrong(bits: np.ndarray, f01: np.ndarray, f10: np.ndarray) -> np.ndarray:
    """Where a cell reads its bit wrong, uint8 of the shape of bits."""
    return f01 ^ (f01 ^ f10) & bits                             # np.where takes ten times as long


def unit_costs(bits: np.ndarray, f01: np.ndarray, f10: np.ndarray, segment: int) -> np.ndarray:
    """How many weights of each unit each row would read wrong, each segment the better way round: int32 (U, R)."""
    costs, length = np.zeros((len(bits), len(f01)), np.int32), segment or bits.shape[1]
    for first in range(0, bits.shape[1], length):
        part = slice(first, first + length)
        upright, broken = disagreements(bits[:, part], f01[:, part], f10[:, part])
        costs += np.minimum(upright, broken - upright) if segment else upright
    return costs


def weight_costs(bits: np.ndarray, f01: np.ndarray, f10: np.ndarray) -> np.ndarray:
    """How many units would have each weight wrong in each column: int32 (F, F)."""
    return disagreements(*(np.ascontiguousarray(each.T) for each in (bits, f01, f10)))[0]


def disagreements(bits: np.ndarray, f01: np.ndarray, f10: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(how many bits of each row of bits each row of cells reads wrong (U, R), the same of inverted ones too (R,)).

    As sums of products of +-1: docs/frontier/mapping.rst 3.
    """
    words, broken = pack_bits(bits), f01.sum(axis=1, dtype=np.int32) + f10.sum(axis=1, dtype=np.int32)
    at_zero, at_one = (dense_forward(words, pack_bits(each), bits.shape[1]) for each in (f10, f01))
    return (2 * broken + at_zero - at_one) >> 2, broken


def exact_assignment(costs: np.ndarray) -> np.ndarray:
    """The place (n,) of each of n things, no two in one, at the least cost in all; costs (n, places)."""
    from scipy.optimize import linear_sum_assignment            # loads slowly, and few faults need it

    return linear_sum_assignment(costs)[1].astype(np.int64)


def greedy_assignment(costs: np.ndarray) -> np.ndarray:
    """The same one after the other: each takes the cheapest place that is left, the first of several."""
    left, out = costs.astype(np.float64), np.empty(len(costs), np.int64)
    for i, row in enumerate(left):
        out[i] = row.argmin()
        left[:, out[i]] = np.inf
    return out


def _inversions(held: np.ndarray, f01: np.ndarray, f10: np.ndarray, segment: int) -> np.ndarray:
    """Which cells (U, F) are better inverted, of segments that hold these bits; none where it is all the same."""
    starts = np.arange(0, held.shape[1], segment)
    upright, turned = (np.add.reduceat(wrong(each, f01, f10), starts, axis=1, dtype=np.int64)
                       for each in (held, held ^ 1))
    return np.repeat((turned < upright).astype(np.uint8), segment, axis=1)[:, :held.shape[1]]
