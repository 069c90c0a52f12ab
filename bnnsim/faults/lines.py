"""Lines of arrays that fail as a whole: rows, columns, and the columns of a sense amplifier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import numpy as np

from bnnsim.checks import check_choice, check_int, check_probability, clean_fields
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.by_layer import LayerFault, PairOfRates, Rates, check_shares
from bnnsim.faults.errors import Masks, draw, with_errors
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import Stored, StoredLayer, check_stored
from bnnsim.packed.words import n_words, pack_bits, unpack_bits
from bnnsim.seeding import RandomSource

LINES = ("row", "column")


@dataclass(frozen=True, repr=False)
class StuckLines(PairOfRates):
    """Rows or columns of arrays that always read 0, or always 1; one draw a line decides.

    Parameters
    ----------
    mapping : ArrayMapping
    axis : {"column", "row"}
    p_zero, p_one : float, or a sequence of one float a layer
        Shares of the lines.
    group : int
        So many neighbouring lines fail together: the columns that share a sense amplifier through a multiplexer.
    layers : sequence of int, optional
        Only the arrays of these layers; all by default.
    rate : float, optional
        What `at` sets: p_zero and p_one are scaled so that `rate` of the lines are stuck.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> dead = bnnsim.faults.StuckLines(bnnsim.faults.ArrayMapping(64, 64), "column", 0.05, 0.0).apply(network, rng=0)
    >>> before, after = ((layer.words[:, 0, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    ...                  for layer in (network.layers[0], dead.layers[0]))
    >>> np.flatnonzero((before != after).any(axis=0)).tolist(), int(after[:, (before != after).any(axis=0)].sum())
    ([4, 46], 0)
    """

    mapping: ArrayMapping
    axis: str
    p_zero: Rates
    p_one: Rates
    group: int = 1
    layers: Sequence[int] | None = None

    RATES: ClassVar[tuple[str, ...]] = ("p_zero", "p_one")
    MOVES: ClassVar[str] = "share_of_stuck_lines"
    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("axis", self.axis, LINES)
        clean_fields(self, check_int, "group", low=1)
        check_shares(*self.scaled())

    @property
    def moves(self) -> str | None:
        """As of any fault by layer, rows and columns told apart."""
        found = super().moves
        return found and found.replace("lines", f"{self.axis}s")

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """By one draw a line, of the stream "stuck rows" or "stuck columns"."""
        p_zero, p_one = rates
        zero, sound = (draw_lines(self.mapping, layer, self.axis, self.group, p, key(f"stuck {self.axis}s"))
                       for p in (p_zero, 1 - p_one))
        f01, f10 = (line_mask(self.mapping, layer, self.axis, lines) for lines in (~sound & ~zero, zero))
        return f01, f10


@dataclass(frozen=True, repr=False)
class WeakAmplifiers(LayerFault):
    """Sense amplifiers with too large an offset: what they read is wrong cell by cell, with probability p_flip.

    Parameters
    ----------
    mapping : ArrayMapping
    p : float, or a sequence of one float a layer
        Share of the amplifiers that are weak; `at` sets it.
    p_flip : float
        Probability that a weak amplifier reads a cell wrong.
    columns_per_amplifier : int
        Neighbouring columns that share an amplifier through a multiplexer.
    layers : sequence of int, optional
        Only the arrays of these layers; all by default.
    rate : float, optional
        As of `BitFlips`.
    """

    mapping: ArrayMapping
    p: Rates
    p_flip: float = 0.5
    columns_per_amplifier: int = 1
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = "share_of_weak_amplifiers"
    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_probability, "p_flip")
        clean_fields(self, check_int, "columns_per_amplifier", low=1)

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """Columns of the stream "weak amplifiers", cells of "weak cells"."""
        weak = draw_lines(self.mapping, layer, "column", self.columns_per_amplifier, rates[0], key("weak amplifiers"))
        flips = draw(layer, self.p_flip, key("weak cells")) & line_mask(self.mapping, layer, "column", weak)
        return flips, flips


@dataclass(frozen=True)
class StuckLine:
    """One named row or column of one array, stuck at 0 or 1.

    Parameters
    ----------
    mapping : ArrayMapping
    axis : {"column", "row"}
    array : int
        As `ArrayMapping` numbers them.
    line : int
        Which row or column.
    value : {0, 1}
        What is read.
    """

    mapping: ArrayMapping
    axis: str
    array: int
    line: int
    value: int

    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        check_mapping(self.mapping)
        check_choice("axis", self.axis, LINES)
        clean_fields(self, check_int, "array", low=0)
        clean_fields(self, check_int, "line", low=0, high=self.mapping.n_lines(self.axis) - 1)
        clean_fields(self, check_int, "value", low=0, high=1)

    def at(self, rate: float) -> NoReturn:
        """ValueError: one line has no rate."""
        raise ValueError("StuckLine has no rate that a sweep could set: compose it with a fault that has one, as "
                         "Compose([BitFlips(0), line]), or take StuckLines")

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory with this line stuck; nothing is drawn."""
        i, tile = self.mapping.layer_of(check_stored(memory), self.array)
        layer = memory.layers[i]
        down, across = self.mapping.tiles(layer)
        lines = np.zeros((down * across, self.mapping.n_lines(self.axis)), bool)
        lines[tile, self.line] = True
        mask, none = line_mask(self.mapping, layer, self.axis, lines), np.zeros_like(layer.words)
        return with_errors(memory, {i: (mask, none) if self.value else (none, mask)})


def draw_lines(mapping: ArrayMapping, layer: StoredLayer, axis: str, group: int, p: float,
               key: np.ndarray) -> np.ndarray:
    """Which lines of a layer's arrays are drawn, bool (A, lines), groups of neighbours alike."""
    down, across = mapping.tiles(layer)
    n_lines = mapping.n_lines(axis)
    group = min(group, n_lines)
    n_groups = -(-n_lines // group)
    masks = flip_masks(down * across, n_groups, p, key)
    return np.repeat(unpack_bits(masks, n_groups), group, axis=1)[:, :n_lines].astype(bool)


def line_mask(mapping: ArrayMapping, layer: StoredLayer, axis: str, lines: np.ndarray) -> np.ndarray:
    """The cells of lines, bool (A, lines), as a mask of the shape of the layer's words."""
    height, width = mapping.matrix_shape(layer)
    n_rows, n_columns = min(mapping.rows, height), min(mapping.columns, width)
    shape = (len(lines), n_rows, n_words(n_columns))
    if axis == "row":
        image = np.where(lines[:, :n_rows, None], np.uint64(2**64 - 1), np.uint64(0))
    else:
        image = pack_bits(lines[:, None, :n_columns])
    return mapping.words(layer, np.ascontiguousarray(np.broadcast_to(image, shape)))
