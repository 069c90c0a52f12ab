"""Layers of ternary weights, each held by a pair of devices: trained by the kernels of the binary layers.

The quantiser has a dead zone, d = `dead_zone` times the mean size of the layer's latent weights w: W is +1 where
w >= d, -1 where w < -d, 0 between. 0.7 is that of Li et al. 2016, Ternary Weight Networks, arXiv:1605.04711 [M].
The memory holds a = sign(w - d) and b = sign(w + d), W = (a + b) / 2, side by side as bits, and the layer reads what
`Twice` makes of its input: see `bnnsim.packed.operations.pairs`. Its sums are in units of one device, those of 2 W x.
Gradients are straight through a + b := w, as through B(w) := w of binary layers [D, docs/frontier/ternary.rst 2].

U units, F features or channels of weights: 2 F of what is read and stored.
"""

import copy

import numpy as np

import bnnsim.kernels.words.packing as packing
import bnnsim.kernels.words.pairs as pairs
import bnnsim.packed.operations as operations
from bnnsim.checks import check_array, check_int, check_real
from bnnsim.kernels import split
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.operations import Operation
from bnnsim.packed.operations.pairs import first_of_pairs
from bnnsim.packed.words import n_words, unpack_signs
from bnnsim.training.gradients import Consume, Gradient
from bnnsim.training.layers.conv import Conv2d, InputConv2d
from bnnsim.training.layers.dense import Dense, InputDense
from bnnsim.training.layers.real import Gradients, RealLayer
from bnnsim.training.layers.weighted import Weighted, WeightedCache
from bnnsim.training.optimizers import OnPart

Binary = Dense | InputDense | Conv2d | InputConv2d
BLOCK = 1 << 16                 # latent weights that are quantised at a time, in cache
STEPS = 2.0**24                 # sizes of latent weights are summed up in such parts of 1: exactly, in any order


class Twice(RealLayer):
    """Bits (..., C) -> (..., 2 C): each twice, side by side, which a `Ternary` behind it reads."""

    takes = gives = "bits"

    def __init__(self, n_channels: int) -> None:
        self.n_channels = check_int("n_channels", n_channels, 1)

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Twice(self.n_channels)

    def checked(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Words (N, ..., ceil(C / 64)) uint64."""
        x, = inputs
        shape = (None,) * (np.ndim(x) - 1) + (n_words(self.n_channels),)
        return check_array(f"input of {type(self).__name__}", x, np.uint64, shape),

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """The same; the cache is the shape of the inputs' words."""
        return self.forward(*inputs), inputs[0].shape

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[np.ndarray | None, Gradients]:
        """The sum of both gradients of each."""
        dout = self.gradient_of(dout, (*cache[:-1], 2 * self.n_channels))
        return dout[..., ::2] + dout[..., 1::2], {}


class InputTwice(Twice):
    """Images (N, C, H, W) -> (N, 2 C, H, W): each channel twice, for a `Ternary` of an input layer."""

    takes = gives = "pixels"

    def output_shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """(C, H, W) -> (2 C, H, W)."""
        (c, height, width), = shapes
        return super().output_shape((height, width, c))[2], height, width

    def checked(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (N, C, H, W) uint8."""
        return check_array(f"input of {type(self).__name__}", inputs[0], np.uint8, (None, self.n_channels, None, None)),

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[None, Gradients]:
        """None: nothing flows back to pixels."""
        return None, {}


class Ternary(Weighted):
    """A binary layer with ternary weights in its place, two bits each; it reads what `Twice` gives.

    Parameters
    ----------
    of : Dense, InputDense, Conv2d or InputConv2d
        Its sizes and settings, and its latent weights, which become this layer's.
    dead_zone : float >= 0
        In means of the size of latent weights; at 0 both bits of a weight are alike, and the layer is binary.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Ternary(Dense(100, 10, np.random.default_rng(0)))
    >>> layer.n_bits, np.unique(layer.levels()).tolist()
    (2000, [-1, 0, 1])
    """

    def __init__(self, of: Weighted, dead_zone: float = 0.7) -> None:
        if not isinstance(of, Binary):
            raise TypeError("of must be a Dense, InputDense, Conv2d or InputConv2d, whose place the ternary layer "
                            f"takes, got {type(of).__name__}")
        self.dead_zone = check_real("dead_zone", dead_zone, 0)
        self.of, self.wide, self.takes = of, _reading_pairs(of), of.takes
        self.parameters, self.gradient = of.parameters, of.gradient
        if isinstance(of, InputDense | InputConv2d):
            self.offset = of.offset
        self.refresh()

    @property
    def n_in(self) -> int:
        """Bits of a row of words: two a weight."""
        return self.wide.n_in

    @property
    def fan_in(self) -> int:
        """Bits of one unit."""
        return self.wide.fan_in

    @property
    def n_bits(self) -> int:
        """What the memory stores: a bit a device."""
        return self.wide.n_bits

    def settings(self) -> dict[str, object]:
        """Those of the binary layer, and the dead zone."""
        return self.of.settings() | {"dead_zone": self.dead_zone}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As of the binary layer, for twice the features, or channels."""
        return self.wide.output_shape(shape)

    def refresh(self) -> None:
        """Quantise the latent weights anew."""
        self.words = quantised(self.parameters["weight"], self.dead_zone)

    def levels(self) -> np.ndarray:
        """The ternary weights int8, shaped as the latent ones: -1, 0, +1."""
        rows = unpack_signs(self.words.reshape(-1, self.words.shape[-1]), self.n_in)
        return ((rows[:, ::2] + rows[:, 1::2]) // 2).reshape(self.parameters["weight"].shape)

    def checked(self, x: np.ndarray) -> np.ndarray:
        """As the binary layer's, for twice the features, or channels."""
        return self.wide.checked(x)

    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """The same."""
        return self.wide.input_size(x)

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h int32 (N, ..., U): sums of 2 W x, of both devices."""
        return self.wide.preactivations(x, words)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """dx of both readings of each input, which `Twice` adds up; None of pixels."""
        return self.wide.input_gradient(dout, x, words, precision)

    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight of the latent weights: that of the binary layer, which reads each input once."""
        once = x[:, ::2] if x.dtype == np.uint8 else first_of_pairs(x, self._n_read // 2)
        self.of.weight_gradients(dout, np.ascontiguousarray(once), precision, consume)

    def backward_update(self, dout: Gradient, cache: WeightedCache, precision: str,
                        on_part: OnPart) -> np.ndarray | None:
        """dx; weights are updated in parts, and quantised when all are: the dead zone hangs on all of them."""
        n_row = self.gradient.shape[-1]

        def update(first: int, gradient: np.ndarray) -> None:
            on_part(first * n_row, gradient.reshape(-1))

        dx = self._backward(dout, cache, precision, update)
        self.refresh()
        return dx

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """A binary layer of twice the inputs."""
        self.wide.words = self.words
        self.wide.pack_into(stored, input_offset)

    @property
    def _n_read(self) -> int:
        """Features, or channels, that it reads."""
        return self.wide.n_features if isinstance(self.wide, Dense | InputDense) else self.wide.in_channels

    def _backward(self, dout: Gradient, cache: WeightedCache, precision: str, consume: Consume) -> np.ndarray | None:
        """The native gradient sees both devices of a pair: (Ma + Mb) / 2 in place of M."""
        if cache.mask is None:
            return super()._backward(dout, cache, precision, consume)
        flipped = unpack_signs(cache.mask.reshape(-1, cache.mask.shape[-1]), self.n_in)        # +1 where wrong
        factor = -(flipped[:, ::2] + flipped[:, 1::2]) // 2

        def masked(first: int, gradient: np.ndarray) -> None:
            gradient *= factor[first:first + len(gradient)]
            consume(first, gradient)

        return super()._backward(dout, cache._replace(mask=None), precision, masked)


def quantised(weight: np.ndarray, dead_zone: float) -> np.ndarray:
    """Words (..., ceil(2 F / 64)) of the pairs of bits of latent weights float32 (..., F)."""
    rows = weight.reshape(-1, weight.shape[-1])
    n_rows, n_features = rows.shape
    words, step = np.empty((n_rows, n_words(2 * n_features)), np.uint64), max(1, BLOCK // n_features)
    totals = np.empty(-(-n_rows // step), np.int64)

    def add_up(start: int, stop: int) -> None:
        for b in range(start, stop):
            totals[b] = (np.abs(rows[step * b:step * (b + 1)]) * np.float32(STEPS)).astype(np.int64).sum()

    split(add_up, len(totals))
    half = np.float32(dead_zone * (int(totals.sum()) / STEPS / weight.size))

    def compare(start: int, stop: int) -> None:
        for b in range(start, stop):
            part = rows[step * b:step * (b + 1)]
            bits = np.empty((2, len(part), n_words(n_features)), np.uint64)
            packing.pack_latent(part - half, bits[0], 0, len(part))
            packing.pack_latent(part + half, bits[1], 0, len(part))
            pairs.pair_up(bits[0], bits[1], words[step * b:step * (b + 1)], 0, len(part))

    split(compare, len(totals))
    return words.reshape(*weight.shape[:-1], -1)


def _reading_pairs(of: Binary) -> Binary:
    """A copy that reads twice as many features, or channels; its latent weights take no memory, nothing reads them."""
    wide, shape = copy.copy(of), of.parameters["weight"].shape
    wide.parameters = {"weight": np.broadcast_to(np.float32(0), (*shape[:-1], 2 * shape[-1]))}
    if isinstance(wide, InputDense):
        channels, *sizes = wide.input_shape
        wide.input_shape = (2 * channels, *sizes)
    if isinstance(wide, Dense | InputDense):
        wide.n_features *= 2
    else:
        wide.in_channels *= 2
    return wide
