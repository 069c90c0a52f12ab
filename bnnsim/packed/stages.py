"""A layer at its place in a network: what it reads, sums up and gives, whatever its kind; `kinds` has the kinds.

A dense layer is a convolution whose kernel is as large as what it reads, and which has one position: what a `Stage`
says of itself is arithmetic on that `Geometry`.

N images, P output positions before pooling, F summands of a position, U units in V words; maps are (H, W, C).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import bnnsim.kernels.forward.grouped as grouped
import bnnsim.kernels.norm.batchnorm as batchnorm
from bnnsim.kernels import split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import Layout, borders, window_counts
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.words import n_words, pack_bits, unpack_signs

if TYPE_CHECKING:
    from bnnsim.packed.biases import Biased
    from bnnsim.packed.groups import Grouped


@dataclass(frozen=True, eq=False)
class Stage(ABC):
    """A layer and its place.

    Attributes
    ----------
    layer : PackedLayer
    index : int
        Its number.
    input_shape : (H, W, C), or (F,)
        Of what the layer before gives; of the image.
    offset : int, optional
        Where the layer reads pixels: what is subtracted from them; None where it reads bits.
    """

    layer: PackedLayer
    index: int
    input_shape: tuple[int, ...]
    offset: int | None

    axes: ClassVar[tuple[str, ...]]                 # of its +-1 weights; of its words, but for the last
    limits: ClassVar[dict[str, tuple[int, int]]]    # least and largest value of each setting, or of each of its numbers
    unit: ClassVar[str]                             # what one of its outputs is called
    shares_weights: ClassVar[bool]                  # whether a weight is used at several positions
    reads_rows: ClassVar[bool]                      # whether a map is one row to it, in H, W, C order

    # ------------------------------------------------------------ of the kind

    @abstractmethod
    def check(self, name: str) -> None:
        """Refuse a layer that does not fit what it reads; `name` stands for it in messages."""

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Sizes of its convolution."""

    @abstractmethod
    def _layout(self, theta: np.ndarray | None, inverted: np.ndarray | None) -> "Layout | Grouped | Biased":
        """The layer as the forward kernels read it, to bits where it is given thresholds, else to sums."""

    def read(self, x: np.ndarray) -> np.ndarray:
        """A block of what the layer before gives, as this one's kernels take it; what is so already, stays."""
        return x

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(OH, OW, U) after pooling; (U,) of a dense layer."""
        return (*self.pooled_shape, self.layer.units)

    # ------------------------------------------------------------ sizes

    @property
    def reads_pixels(self) -> bool:
        """Whether its summands have the sizes of pixels; they are +-1 elsewhere."""
        return self.offset is not None

    @property
    def map_shape(self) -> tuple[int, int]:
        """(OH, OW) before pooling; (1, 1) of a dense layer."""
        return self.geometry.out_height, self.geometry.out_width

    @property
    def pooled_shape(self) -> tuple[int, int]:
        """(OH, OW) after pooling."""
        return window_counts(self.map_shape, self.layer.windows)

    @property
    def n_positions(self) -> int:
        """P."""
        return self.geometry.out_height * self.geometry.out_width

    @property
    def patch_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the layer reads at a position; of groups all together."""
        g = self.geometry
        return (g.kernel_height, g.kernel_width,
                self.layer.groups * self.layer.fan_in // (g.kernel_height * g.kernel_width))

    @property
    def bits_shape(self) -> tuple[int, ...]:
        """Shape of its output words for one image."""
        return (*self.output_shape[:-1], n_words(self.output_shape[-1]))

    @cached_property
    def accepts(self) -> tuple[np.dtype, list[tuple[int, ...]]]:
        """Type and shape for one image of what it reads: as the layer before gives it, and as `read` does."""
        shape, g = self.input_shape, self.geometry
        if self.reads_pixels:
            return np.dtype(np.uint8), [(shape[-1], *shape[:-1]), (shape[-1], g.height, g.width)]
        given = (*shape[:-1], n_words(shape[-1]))
        read = (n_words(self.layer.n_in),) if self.reads_rows else (g.height, g.width, given[-1])
        return np.dtype(np.uint64), [given, read]

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image."""
        return self.layer.n_bits * self.n_positions

    @property
    def place(self) -> tuple:
        """What two layers have in common that are the same but for their numbers."""
        return self.layer.kind, self.input_shape, self.offset, self.geometry, self.output_shape

    @property
    def keeps_sums(self) -> bool:
        """Whether the pre-activations of a block are kept, rather than compared one by one."""
        return self.layer.groups > 1 or self.layer.threshold is None

    @cached_property
    def image_bytes(self) -> int:
        """What a block takes of memory for each of its images, about, while the layer works on it."""
        dtype, (*_, read) = self.accepts
        sums = 8 * self.n_positions * 16 * -(-self.output_shape[-1] // 16) if self.keeps_sums else 0
        return sums + dtype.itemsize * math.prod(read) + 8 * math.prod(self.bits_shape)

    @cached_property
    def bound(self) -> int:
        """Largest |h| that the layer can give; of a last convolution, largest |sum over its positions|."""
        most = largest_preactivation(self.layer, self.reads_pixels, self.offset or 0)
        return most * self.n_positions if self.layer.mean is not None else most

    # ------------------------------------------------------------ what it computes

    @cached_property
    def to_bits(self) -> "Layout | Grouped | Biased":
        """The hidden layer as the kernels read it; shared with all copies of a network that leave the layer alone."""
        return self._layout(self.layer.comparison[0].astype(np.int64), self.inverted_words)

    @cached_property
    def to_sums(self) -> "Layout | Grouped | Biased":
        """The same for pre-activations."""
        return self._layout(None, None)

    def lay_out(self) -> None:
        """Lay out what `PackedNetwork.run` needs, before threads ask for it."""
        self.to_sums if self.layer.threshold is None else self.to_bits

    def bits(self, x: np.ndarray) -> np.ndarray:
        """Output words (N, ..., V) of a block of what the layer reads, in the calling thread."""
        return self.to_bits.bits(self.read(x))

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Pre-activations (N, P, U) int32 of a block of what the layer reads, in the threads of `split`."""
        return self.to_sums.sums(self.read(x)).reshape(len(x), self.n_positions, self.output_shape[-1])

    def scores(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Scores (N, U) float64 of a block of what the last layer reads: +-1 where it has thresholds."""
        units = self.output_shape[-1]
        out = np.empty((len(x), units)) if out is None else out
        if self.layer.threshold is not None:
            out[:] = unpack_signs(self.bits(x).reshape(len(x), -1), units)
            return out
        h = self.to_sums.sums(self.read(x)).reshape(len(x), -1, units)
        return self.scores_of_sums(h, out)

    def scores_of_sums(self, h: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Scores (N, U) float64 of the last layer's pre-activations (N, P, U) int32: of their sum over positions."""
        total = h[:, 0] if h.shape[1] == 1 else h.sum(axis=1, dtype=np.int32)
        batchnorm.affine_rows(np.ascontiguousarray(total), *self.layer.output_affine, out, 0, len(h))
        return out

    def bits_of_sums(self, h: np.ndarray) -> np.ndarray:
        """Output words (N, ..., V) of pre-activations (N, P, U) int32, changed by others before."""
        out = np.zeros((len(h), *self.pooled_shape, self.bits_shape[-1]), np.uint64)
        split(grouped.compare_sums, len(h), h.reshape(len(h), *self.map_shape, h.shape[-1]), self.theta, self.geometry,
              self.layer.windows, self.inverted_words, out)
        return out.reshape(len(h), *self.bits_shape)

    def check_input(self, x: np.ndarray) -> np.ndarray:
        """A block of what the layer reads, which kernels trust."""
        dtype, shapes = self.accepts
        if x.dtype != dtype or x.shape[1:] not in shapes:
            raise ValueError(f"x must be what layer {self.index} reads, {dtype} of shape (N, "
                             f"{', '.join(map(str, shapes[0]))}), got {x.dtype} {x.shape}")
        return np.ascontiguousarray(x)

    # ------------------------------------------------------------ thresholds

    @cached_property
    def inverted(self) -> np.ndarray:
        """Whether each unit is +1 below its threshold, bool (U,)."""
        return self.layer.comparison[1].copy()

    @cached_property
    def inverted_words(self) -> np.ndarray:
        """The same as words (V,)."""
        return pack_bits(self.inverted)

    @cached_property
    def theta(self) -> np.ndarray:
        """Thresholds (U,) int64, brought to just past the largest |h|: no comparison changes."""
        return np.clip(self.layer.comparison[0].astype(np.int64), -self.bound, self.bound + 1)

    @cached_property
    def twice_s(self) -> np.ndarray:
        """Twice the threshold s that lies midway between the two values of h about it, int32 (B, U), B as in `border`.

        h moves in steps of 2 where all summands are +-1, so s = (least integer >= theta of h's parity) - 1; behind
        pixels s = theta - 1/2 [D].
        """
        if self.reads_pixels:
            return (2 * self.theta - 1).astype(np.int32)[None].repeat(len(self.border[1]), 0)
        parity = (self.theta + self.border[1][:, None]) & 1
        return (2 * (self.theta + parity) - 2).astype(np.int32)

    # ------------------------------------------------------------ summands

    @cached_property
    def border(self) -> tuple[np.ndarray, np.ndarray]:
        """(which border each position lies at (P,), summands that exist at a position of each (B,)), both int64."""
        if self.layer.pad_value or not self.geometry.is_padded:
            return np.zeros(self.n_positions, np.int64), np.array([self.layer.fan_in])
        kind, outside = borders(self.geometry)
        return kind, self.layer.fan_in - self.layer.n_in * outside.sum(1)

    @property
    def n_summands(self) -> np.ndarray:
        """Summands that exist at each position, int64 (P,)."""
        kind, n_summands = self.border
        return n_summands[kind]

    def values(self, x: np.ndarray) -> np.ndarray:
        """A block of what the layer reads as integers, int16 (N, H, W, C): pixels minus the offset, or +-1."""
        x, g = self.read(x), self.geometry
        if self.offset is not None:
            return np.moveaxis(x.astype(np.int16), 1, 3) - np.int16(self.offset)
        values = unpack_signs(x.reshape(-1, x.shape[-1]), self.layer.groups * self.layer.n_in).astype(np.int16)
        return values.reshape(len(x), g.height, g.width, self.patch_shape[2])

    def windows(self, values: np.ndarray) -> np.ndarray:
        """What each position sums up of values (N, H, W, C): (N, P, F), F in the order of `PackedLayer.signs`."""
        g, (height, width, channels) = self.geometry, self.patch_shape
        if g.is_padded:
            values = np.pad(values, ((0, 0), (g.top, g.bottom), (g.left, g.right), (0, 0)),
                            constant_values=self.layer.pad_value)
        extent = g.row_step * (height - 1) + 1, g.column_step * (width - 1) + 1
        windows = np.lib.stride_tricks.sliding_window_view(values, extent, axis=(1, 2))
        windows = windows[:, ::g.row_stride, ::g.column_stride, :, ::g.row_step, ::g.column_step]
        windows = np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3))
        return windows.reshape(len(values), self.n_positions, height * width * channels)

    def patches(self, x: np.ndarray) -> np.ndarray:
        """What each position sums up of a block that the layer reads, int16 (N, P, F)."""
        return self.windows(self.values(x))

    @cached_property
    def signs_by_summand(self) -> np.ndarray:
        """Weights int8 (F, U) of +1 and -1, in the order of `patches`; 0 where another group reads."""
        signs, layer, groups = self.layer.signs(), self.layer, self.layer.groups
        if groups > 1:
            wide = np.zeros((groups, layer.units // groups, layer.fan_in // layer.n_in, groups, layer.n_in), np.int8)
            for group, part in enumerate(signs.reshape(groups, layer.units // groups, -1, layer.n_in)):
                wide[group, :, :, group] = part
            signs = wide.reshape(layer.units, -1)
        return np.ascontiguousarray(signs.T)

    def squares(self, x: np.ndarray) -> np.ndarray:
        """Sum of the squared summands of each position, (N, P) int64; p (1 - p) times 4 of it is h's variance."""
        if not self.reads_pixels:
            return np.broadcast_to(self.n_summands, (len(x), self.n_positions))
        patches = self.patches(x)
        return np.einsum("npf,npf->np", patches, patches, dtype=np.int64)
