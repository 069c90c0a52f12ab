"""Columns that sum up currents: partial counts through an ADC, instead of products that are sensed one by one.

A weight is a pair of devices, one in each state; an input of +1 or -1 selects one of them, so that a product of +1
reads the low resistance and one of -1 the high. Conductances are in units of their difference, so a column of n cells,
a of them on, carries a + n q. Equations: docs/frontier/analog_columns.rst.

R rows of a sub-array, S sub-arrays of a layer, B kinds of border, U units, P positions, N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, NamedTuple

import numpy as np

from bnnsim.checks import check_int, check_real, clean_fields
from bnnsim.faults.at_read import AtRead
from bnnsim.faults.by_layer import Rates
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.forward import borders
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.seeding import child_root, generator

GRID = 2.0**10                      # conductances are multiples of 1 / GRID: float32 sums are exact, in any order
MOST_ROWS = 2048
LARGEST = 4.0                       # conductance of a cell


class Reading(NamedTuple):
    """What an image costs to be read, and cells that are there.

    conversions : of ADCs; comparisons : theirs, one a bit; digital_comparisons : of sense amplifiers, one a product
    """
    cells: int
    conversions: int
    comparisons: int
    digital_comparisons: int

    def joule(self, comparison: float, capacitor: float, device: float) -> float:
        """Of columns, an image: comparisons, 2^bits capacitors a conversion, a device a product; joule of each [D]."""
        comparison, capacitor, device = (check_real(name, value, 0) for name, value in (
            ("comparison", comparison), ("capacitor", capacitor), ("device", device)))
        levels = 2 ** (self.comparisons // max(1, self.conversions))
        return (self.comparisons * comparison + self.conversions * levels * capacitor
                + self.digital_comparisons * device)

    def sensing_joule(self, comparison: float, device: float, devices: int = 2) -> float:
        """Of sense amplifiers, an image: a comparison a product, which reads `devices` devices [D]."""
        energy = check_real("comparison", comparison, 0) + check_int("devices", devices, 1) * check_real(
            "device", device, 0)
        return self.digital_comparisons * energy


@dataclass(frozen=True, repr=False)
class AnalogColumns(AtRead):
    """Layers that read bits are summed up in analog columns; one that reads pixels, and thresholds, stay digital.

    Without spread, noise, offset and wires, and with as many levels as counts (2^bits > rows), it is the digital sum,
    exactly.

    Parameters
    ----------
    rows : int
        R, cells that share a bit line and a conversion; partial counts are added digitally.
    bits : int
        Of the ADC: 2^bits levels, a whole count apart or, where those are too few, evenly spread over its range.
    spread : float, or a sequence of one float a layer
        Standard deviation of a cell's conductance, a share of its mean, 0 to 1, of either state; drawn once a chip.
    noise : float
        Standard deviation of each conversion, in counts; drawn at each.
    offset : float
        The same of what a column's ADC is off by; drawn once a chip.
    span : float
        Share of the counts 0 .. R, about their middle, that the ADC covers; what lies beyond is clipped.
    off : float
        Conductance of the high resistance over that of the low one, below 1.
    wire : float
        Resistance of the bit line from cell to cell, times the difference of the two conductances. To first order.
    layers : sequence of int, optional
        All that read bits by default.
    rate : float, optional
        The largest spread of a layer, where they differ: what `at` sets.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_cnn")
    >>> test = bnnsim.load_embedded()[1][:50]
    >>> ideal, coarse = AnalogColumns(rows=64, bits=7), AnalogColumns(rows=64, bits=3)
    >>> bool((ideal.apply(network).scores(test.images) == network.scores(test.images)).all())
    True
    >>> bool((coarse.apply(network).scores(test.images) == network.scores(test.images)).all())
    False
    >>> coarse.reading(network).comparisons < coarse.reading(network).digital_comparisons
    True
    """

    rows: int = 64
    bits: int = 7
    spread: Rates = 0.0
    noise: float = 0.0
    offset: float = 0.0
    span: float = 1.0
    off: float = 0.0
    wire: float = 0.0
    layers: Sequence[int] | None = None

    RATES: ClassVar[tuple[str, ...]] = ("spread",)
    AXIS: ClassVar[str] = "spread"
    MOVES: ClassVar[str] = "cell_spread_as_share_of_conductance"
    STREAM: ClassVar[str] = "analog columns"
    OF_SUMS: ClassVar[bool] = True
    SUMS_UP: ClassVar[bool] = True
    clean_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_int, "rows", low=1, high=MOST_ROWS)
        clean_fields(self, check_int, "bits", low=1, high=16)
        clean_fields(self, check_real, "noise", "offset", "wire", low=0, high=1000)
        clean_fields(self, check_real, "span", low=0, high=1, open_low=True)
        clean_fields(self, check_real, "off", low=0, high=0.5)
        least = self.wire * self.rows * (self.rows + 1) / (1 - self.off)
        if least > 0.5:
            raise ValueError(f"wire must be so small that a column of {self.rows} cells loses little of its current, "
                             f"wire * rows * (rows + 1) / (1 - off) <= 0.5, for the first order to hold, got {least:g}")

    def reading(self, network: PackedNetwork) -> Reading:
        """What one image costs, over all layers that are summed up so; a successive ADC makes a comparison a bit."""
        rates = self.rates_when_read(check_packed(network, noisy=True))
        stages = [stage for stage, rate in zip(network.stages, rates) if rate]
        conversions = sum(stage.n_positions * stage.layer.units * -(-stage.layer.fan_in // self.rows)
                          for stage in stages)
        return Reading(sum(stage.layer.n_bits for stage in stages), conversions, self.bits * conversions,
                       sum(stage.macs for stage in stages))

    def chip(self, root: int, trial: int) -> "AnalogColumns":
        """The columns with what a chip keeps: its cells and offsets."""
        return _Chip(**{own.name: getattr(self, own.name) for own in fields(AnalogColumns)},
                     root=child_root(root, "analog cells", trial))

    def refusal(self, stage: Stage) -> str | None:
        """Of pixels, and of groups: columns of several groups would have to share inputs."""
        if stage.layer.groups > 1:
            return f"layer {stage.index} has groups, which no column has"
        return super().refusal(stage)

    def rates_when_read(self, network: PackedNetwork) -> tuple[float, ...]:
        """1 for each layer that is summed up so."""
        meant = range(len(network.layers)) if self.layers is None else self.layers
        self.rates(len(network.layers))                          # checks how many there are
        why = [self.refusal(stage) for stage in network.stages]
        refused = [why[i] for i in meant if why[i]] if self.layers is not None else []
        if refused:
            raise ValueError(f"layers must be those that analog columns can sum up, but {refused[0]}")
        return tuple(float(i in meant and not why[i]) for i in range(len(network.layers)))

    @property
    def levels(self) -> tuple[int, float]:
        """(least count, counts from level to level) of the ADC."""
        least = round(self.rows * (1 - self.span) / 2)
        return least, max(1.0, (self.rows - 2 * least) / (2**self.bits - 1))

    def counts(self, current: np.ndarray, n: np.ndarray, columns: "Columns") -> np.ndarray:
        """Counts that a calibrated column's ADC is given, of currents (..., U) through n (...) cells that are there."""
        if not self.wire:
            return current - columns.off * n[..., None]
        ends = [g - columns.loss * g * g for g in (columns.off * n, (1 + columns.off) * n)]     # all off, all on
        return ((current.T - ends[0].T) / np.maximum(ends[1] - ends[0], 1e-9).T * n.T).T

    def converted(self, counts: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Whole counts int32 that the ADC tells, of counts (..., U) of n (...) cells."""
        least, step = self.levels
        code = np.clip(np.rint((counts - least) / step), 0, 2**self.bits - 1)
        return np.clip(np.rint(least + code * step), 0, n[..., None]).astype(np.int32)


class Columns(NamedTuple):
    """A sub-array: currents of summands x are ``constant[kind] + x @ moved``, less what its wires lose.

    rows : slice of the summands
    moved : float32 (R, U), half the difference of a pair's conductances, with the weight's sign
    constant : float64 (B, U), half their sum, of the cells that are there at a border of that kind
    far_moved, far_constant : the same times how much of the line a cell's current passes; None without wires
    n : float64 (B,), cells that are there
    off, loss : float
        q, and the first-order loss of a column of evenly spread current.
    offset : float64 (U,)
    """
    rows: slice
    moved: np.ndarray
    constant: np.ndarray
    far_moved: np.ndarray | None
    far_constant: np.ndarray | None
    n: np.ndarray
    off: float
    loss: float
    offset: np.ndarray


@dataclass(frozen=True, repr=False)
class _Chip(AnalogColumns):
    """`AnalogColumns` with the cells of one chip, of a root seed."""

    root: int = 0
    kept: dict[int, tuple[np.ndarray, list[Columns]]] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"{AnalogColumns.__name__}(rows={self.rows}, bits={self.bits}, ...) of one chip"

    def lay_out(self, stage: Stage, rate: float) -> None:
        """Conductances of a layer's cells, with its weights; drawn once."""
        if stage.index not in self.kept or self.kept[stage.index][0] is not stage.layer.words:
            self.kept[stage.index] = stage.layer.words, self.columns(stage)

    def columns(self, stage: Stage) -> list[Columns]:
        """The sub-arrays of a layer: rows of its summands in order."""
        signs = stage.signs_by_summand                           # (F, U)
        (spread,) = self.scaled()
        s = spread[stage.index] if isinstance(spread, Sequence) else spread
        q = round(GRID * self.off / (1 - self.off)) / GRID
        rng = generator(self.root, "cells", stage.index)
        on, off = (_conductance(mean, s, signs.shape, rng) for mean in (1 + q, q))
        offsets = generator(self.root, "offsets", stage.index)
        there = _there(stage)                                    # (B, F)
        found = []
        for first in range(0, len(signs), self.rows):
            rows = slice(first, first + self.rows)
            moved, half = signs[rows] * (on[rows] - off[rows]) / 2, (on[rows] + off[rows]) / 2
            k = np.arange(1, len(moved) + 1)[:, None]            # the cell's number, from the sense amplifier on
            far = k * (2 * len(k) - k + 1) / 2 if self.wire else None
            found.append(Columns(
                rows, moved.astype(np.float32), there[:, rows] @ half, None if far is None else moved * far,
                None if far is None else there[:, rows] @ (half * far), there[:, rows].sum(axis=1), q,
                0.0 if far is None else self.wire * float(far.mean()) / len(k),
                self.offset * np.asarray(offsets.standard_normal(signs.shape[1]))))
        return found

    def of_inputs(self, stage: Stage, rate: float, x: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Partial counts, converted one by one and added up."""
        patches = stage.patches(x)                               # (N, P, F) of +-1, 0 where a padding has none
        patches = patches.reshape(-1, patches.shape[2]).astype(np.float32)
        kind = np.tile(stage.border[0], len(x))
        rng = np.random.Generator(np.random.Philox(key=key))
        h = np.zeros((len(patches), stage.layer.units), np.int32)
        for columns in self.kept[stage.index][1]:
            n = columns.n[kind]
            counts = self.counts(self.current(columns, patches[:, columns.rows], kind), n, columns) + columns.offset
            if self.noise:
                counts += self.noise * rng.standard_normal(counts.shape)
            h += 2 * self.converted(counts, n) - n.astype(np.int32)[:, None]
        return h.reshape(len(x), -1, h.shape[1])

    def current(self, columns: Columns, x: np.ndarray, kind: np.ndarray) -> np.ndarray:
        """Currents float64 (M, U) of inputs x (M, R): of all cells, less what the line's resistance takes of them."""
        whole = columns.constant[kind] + x @ columns.moved
        if columns.far_moved is None or columns.far_constant is None:
            return whole
        far = columns.far_constant[kind] + x.astype(np.float64) @ columns.far_moved
        return whole - self.wire / columns.moved.shape[0] * whole * far


def _conductance(mean: float, spread: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Conductances, whole multiples of 2 / GRID apart from their mean, 0 to LARGEST."""
    if not spread or not mean:
        return np.full(shape, mean)
    drawn = mean * (1 + spread * rng.standard_normal(shape, np.float32))
    return mean + np.rint((np.clip(drawn, 0, LARGEST) - mean) * GRID / 2) * 2 / GRID


def _there(stage: Stage) -> np.ndarray:
    """Whether each summand is there at positions of each kind of border, float64 (B, F): padded zeros carry nothing."""
    if len(stage.border[1]) == 1:
        return np.ones((1, len(stage.signs_by_summand)))
    return np.repeat(1.0 - borders(stage.geometry)[1], stage.layer.n_in, axis=1)
