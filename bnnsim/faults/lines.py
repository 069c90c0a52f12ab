"""Lines of arrays that fail as a whole: rows, columns, and the columns of a sense amplifier."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bnnsim.checks import check_choice, check_int, check_probability
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.by_layer import check_shares, chosen, clean_layers, in_proportion
from bnnsim.faults.errors import draw, with_errors
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import check_stored
from bnnsim.packed.words import n_words, pack_bits, unpack_bits
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class StuckLines:
    """Rows or columns of arrays that always read 0, or always 1; one draw a line decides.

    Parameters
    ----------
    mapping : ArrayMapping
    axis : {"column", "row"}
    p_zero, p_one : float
        Shares of the lines, of all layers in `layers`.
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
    p_zero: float
    p_one: float
    group: int = 1
    layers: tuple | None = None
    rate: float | None = None

    when: ClassVar[str] = "permanent"

    def __post_init__(self):
        check_mapping(self.mapping)
        check_choice("axis", self.axis, ("row", "column"))
        check_int("group", self.group, 1)
        for name in ("p_zero", "p_one"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        object.__setattr__(self, "layers", clean_layers(self.layers))
        if self.rate is not None:
            object.__setattr__(self, "rate", check_probability("rate", self.rate))
        check_shares(*self.scaled())

    def at(self, rate):
        """The same with another share of stuck lines, zeros and ones in proportion."""
        return replace(self, rate=rate)

    def scaled(self):
        """(p_zero, p_one) that hold."""
        return (self.p_zero, self.p_one) if self.rate is None else in_proportion(self.rate, self.p_zero, self.p_one)

    def apply(self, network, rng=None, trial=0):
        """A network read from arrays with stuck lines.

        A draw's key is (root seed, "stuck rows" or "stuck columns", trial, layer, 0), its counter the place of the
        line among the layer's: lines that are stuck are so at any higher rate.
        """
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        p_zero, p_one = self.scaled()
        errors = {}
        for i in chosen(self.layers, len(layers)):
            key = stream_key(root, f"stuck {self.axis}s", trial, i, 0)
            zero = draw_lines(self.mapping, layers[i], self.axis, self.group, p_zero, key)
            one = ~draw_lines(self.mapping, layers[i], self.axis, self.group, 1 - p_one, key) & ~zero
            if zero.any() or one.any():
                errors[i] = tuple(line_mask(self.mapping, layers[i], self.axis, lines) for lines in (one, zero))
        return with_errors(network, errors)


@dataclass(frozen=True)
class WeakAmplifiers:
    """Sense amplifiers with too large an offset: what they read is wrong cell by cell, with probability p_flip.

    Parameters
    ----------
    mapping : ArrayMapping
    p : float
        Share of the amplifiers that are weak; `at` sets it.
    p_flip : float
        Probability that a weak amplifier reads a cell wrong.
    columns_per_amplifier : int
        Neighbouring columns that share an amplifier through a multiplexer.
    layers : sequence of int, optional
        Only the arrays of these layers; all by default.
    """

    mapping: ArrayMapping
    p: float
    p_flip: float = 0.5
    columns_per_amplifier: int = 1
    layers: tuple | None = None

    when: ClassVar[str] = "permanent"

    def __post_init__(self):
        check_mapping(self.mapping)
        for name in ("p", "p_flip"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        check_int("columns_per_amplifier", self.columns_per_amplifier, 1)
        object.__setattr__(self, "layers", clean_layers(self.layers))

    def at(self, rate):
        """The same with another share of weak amplifiers."""
        return replace(self, p=rate)

    def apply(self, network, rng=None, trial=0):
        """A network as these amplifiers read it; keys (root seed, "weak amplifiers" or "weak cells", trial, layer, 0).
        """
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        errors = {}
        for i in chosen(self.layers, len(layers)) if self.p and self.p_flip else ():
            weak = draw_lines(self.mapping, layers[i], "column", self.columns_per_amplifier, self.p,
                              stream_key(root, "weak amplifiers", trial, i, 0))
            wrong = draw(layers[i], self.p_flip, stream_key(root, "weak cells", trial, i, 0))
            flips = wrong & line_mask(self.mapping, layers[i], "column", weak)
            errors[i] = flips, flips
        return with_errors(network, errors)


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

    def __post_init__(self):
        check_mapping(self.mapping)
        check_choice("axis", self.axis, ("row", "column"))
        check_int("array", self.array, 0)
        check_int("line", self.line, 0, (self.mapping.rows if self.axis == "row" else self.mapping.columns) - 1)
        check_int("value", self.value, 0, 1)

    def at(self, rate):
        """ValueError: one line has no rate."""
        raise ValueError("StuckLine has no rate that a sweep could set: compose it with a fault that has one, as "
                         "Compose([BitFlips(0), line]), or take StuckLines")

    def apply(self, network, rng=None, trial=0):
        """A network with this line stuck; nothing is drawn."""
        i, tile = self.mapping.layer_of(check_stored(network), self.array)
        layer = network.layers[i]
        n_lines = self.mapping.rows if self.axis == "row" else self.mapping.columns
        down, across = self.mapping.tiles(layer)
        lines = np.zeros((down * across, n_lines), bool)
        lines[tile, self.line] = True
        mask, none = line_mask(self.mapping, layer, self.axis, lines), np.zeros_like(layer.words)
        return with_errors(network, {i: (mask, none) if self.value else (none, mask)})


def draw_lines(mapping, layer, axis, group, p, key):
    """Which lines of a layer's arrays are drawn, bool (A, lines), groups of neighbours alike."""
    down, across = mapping.tiles(layer)
    n_lines = mapping.rows if axis == "row" else mapping.columns
    n_groups = -(-n_lines // group)
    masks = flip_masks(down * across, n_groups, p, key)
    return np.repeat(unpack_bits(masks, n_groups), group, axis=1)[:, :n_lines].astype(bool)


def line_mask(mapping, layer, axis, lines):
    """The cells of lines, bool (A, lines), as a mask of the shape of the layer's words."""
    height, width = mapping.matrix_shape(layer)
    n_rows, n_columns = min(mapping.rows, height), min(mapping.columns, width)
    shape = (len(lines), n_rows, n_words(n_columns))
    if axis == "row":
        image = np.where(lines[:, :n_rows, None], np.uint64(2**64 - 1), np.uint64(0))
    else:
        image = pack_bits(lines[:, None, :n_columns])
    return mapping.words(layer, np.ascontiguousarray(np.broadcast_to(image, shape)))
