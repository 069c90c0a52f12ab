"""Binarized convolutions: on packed activations, and on the pixels of the input."""

from abc import abstractmethod
from functools import partial

import numpy as np

from bnnsim.checks import check_images, check_input, check_int
from bnnsim.kernels import split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import NO_POOL, Layout, Pair, conv, pixels_conv
from bnnsim.packed.kinds import MAX_PADDED
from bnnsim.packed.groups import Grouped, grouped_conv
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.replication import folded, geometry_of, replicated
from bnnsim.packed.settings import check_setting, once, settings_of
from bnnsim.packed.words import n_words
from bnnsim.training.gradients import Consume, Gradient, conv_dweight, conv_dx, pixels_conv_dweight
from bnnsim.training.grouped_gradients import grouped_dweight, grouped_dx
from bnnsim.training.layers.pool import MaxPool2d, PoolCache
from bnnsim.training.layers.weighted import Weighted, WeightedCache

Padding = int | tuple[int, ...] | str


class Convolution(Weighted):
    """What both share: sizes, and the geometry of one input."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int | Pair, stride: int | Pair, padding: Padding,
                 pad_value: str, dilation: int | Pair, groups: int, generator: np.random.Generator) -> None:
        self.in_channels, units = check_int("in_channels", in_channels, 1), check_int("out_channels", out_channels, 1)
        self.kernel = check_setting("kernel", kernel, 2, 1)
        self.groups = check_int("groups", groups, 1)
        if self.in_channels % self.groups or units % self.groups:
            raise ValueError(f"groups must divide both in_channels and out_channels, got {groups} groups of "
                             f"{in_channels} and {out_channels}")
        given = {"stride": stride, "padding": padding, "pad_value": pad_value, "dilation": dilation}
        fields = settings_of(type(self).__name__, given, self.kernel, self.kernel)
        if isinstance(padding, str) and padding == "same" and fields["stride"] != (1, 1):
            raise ValueError('padding "same" hangs on the size of the input where the stride is not 1: give it as '
                             "(top, left, bottom, right), as bnnsim.layers.same_padding(sizes, kernel, stride) says")
        self.stride, self.padding, self.dilation = (fields[name] for name in ("stride", "padding", "dilation"))
        self.pad_value, self.replicate = fields.get("pad_value", 0), fields.get("replicate", False)
        n_taps, n_in = self.kernel[0] * self.kernel[1], self.in_channels // self.groups
        super().__init__((units, *self.kernel, n_in), n_taps * n_in, n_taps * units // self.groups, generator)

    @abstractmethod
    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C) float32, as a whole."""

    def settings(self) -> dict[str, object]:
        """Kernel, stride, and the padding with its value; dilation, groups and replication where there are any."""
        found = {"kernel": self.kernel, "stride": once(self.stride), "padding": once(self.padding),
                 "pad_value": self.pad_value}
        unusual = {"dilation": once(self.dilation), "groups": self.groups, "replicate": self.replicate}
        return found | {name: value for name, value in unusual.items() if value is True or value not in (1, False)}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """A layer of its own."""
        stored.append(PackedLayer("conv", self.n_in, self.words.copy(), self.stride, self.padding, self.pad_value,
                                  self.replicate, self.dilation, self.groups))

    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight (K * kh * kw, C): a convolution sums it whole, and hands it over in parts."""
        self.weight_gradient(dout, x, precision, self.gradient)
        rows = self.gradient.reshape(-1, self.n_in)
        split(lambda start, stop: consume(start, rows[start:stop]), len(rows))

    @abstractmethod
    def layout(self, x: np.ndarray, words: np.ndarray) -> Layout | Grouped:
        """The convolution of inputs of this size by these words, as the forward kernels read it."""

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h (N, OH, OW, K) int32."""
        return self.layout(x, words).sums(self.padded(x))

    def forward_train_pooled(self, x: np.ndarray, pool: MaxPool2d, words: np.ndarray | None,
                             mask: np.ndarray | None) -> tuple[np.ndarray, tuple[WeightedCache, PoolCache]]:
        """`forward_train` of this layer and of the max-pool behind it: h goes from one to the other in cache."""
        x, words = self.checked(x), self.words if words is None else words
        layout, shape = self.layout(x, words), (len(x), *self.output_shape(self.input_size(x)))
        if isinstance(layout, Grouped):
            out, found = pool.forward_train(layout.sums(self.padded(x)))
        else:
            out, found = pool.made_of_parts(shape, partial(layout.sums_in_parts, self.padded(x)))
        return out, (WeightedCache(x, words, mask), found)

    def padded(self, x: np.ndarray) -> np.ndarray:
        """Input with the border repeated around it, where the padding is so."""
        channels_first = self.takes == "pixels"
        sizes = x.shape[2:] if channels_first else x.shape[1:3]
        return replicated(x, self.padding, sizes, channels_first) if self.replicate else x

    def geometry(self, height: int, width: int) -> Geometry:
        """Sizes for an input of this height and width; ValueError where the kernel does not fit."""
        (top, left, bottom, right), channels = self.padding, self.in_channels
        check_int(f"the number of values of an input with a padding of {once(self.padding)}",
                  (height + top + bottom) * (width + left + right) * channels, high=MAX_PADDED)
        g = geometry_of(height, width, self.kernel, self)
        if g.out_height < 1 or g.out_width < 1:
            raise ValueError(f"a {self.kernel[0]} x {self.kernel[1]} kernel with padding {once(self.padding)} and "
                             f"dilation {once(self.dilation)} does not fit an input of {height} x {width}")
        return g


class Conv2d(Convolution):
    """Convolution of packed x (N, H, W, ceil(C / 64)) uint64 -> h (N, OH, OW, K) int32.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel, stride, dilation : int or (int, int)
        Of rows and of columns.
    padding : int, (rows, columns), (top, left, bottom, right), or "same"
        "same", where the stride is 1, keeps the size: an odd padding is larger behind.
    pad_value : "zero", "plus", "minus" or "replicate"
        What padded positions contribute: 0, as in every framework, x = +1 or -1, or what the border has.
    groups : int
        Parts of the input's channels, each read by a part of the output's.
    generator : numpy.random.Generator
    """

    takes = "bits"

    def __init__(self, in_channels: int, out_channels: int, kernel: int | Pair = 3, stride: int | Pair = 1,
                 padding: Padding = 1, pad_value: str = "zero", dilation: int | Pair = 1, groups: int = 1, *,
                 generator: np.random.Generator) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, pad_value, dilation, groups, generator)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (OH, OW, K)."""
        if len(shape) != 3 or shape[2] != self.in_channels:
            raise ValueError(f"Conv2d of {self.in_channels} channels cannot follow an output of shape {tuple(shape)}")
        g = self.geometry(*shape[:2])
        return (g.out_height, g.out_width, self.units)

    def checked(self, x: np.ndarray) -> np.ndarray:
        """Words (N, H, W, ceil(C / 64)) uint64."""
        return check_input("Conv2d", x, np.uint64, n_words(self.in_channels), 4)

    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """(H, W, C)."""
        return (*x.shape[1:3], self.in_channels)

    def layout(self, x: np.ndarray, words: np.ndarray) -> Layout | Grouped:
        """Of packed inputs."""
        g = self.geometry(*x.shape[1:3])
        if self.groups > 1:
            return grouped_conv(words, self.n_in, self.groups, g, self.pad_value, None, None, None, NO_POOL)
        return conv(words, self.in_channels, g, self.pad_value)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """dx (N, H, W, C) float32."""
        g = self.geometry(*x.shape[1:3])
        dx = conv_dx(dout, words, self.in_channels, g, precision) if self.groups == 1 else \
            grouped_dx(dout, words, self.n_in, self.groups, g, precision)
        return folded(dx, self.padding) if self.replicate else dx

    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C), as a whole."""
        g, x = self.geometry(*x.shape[1:3]), self.padded(x)

        def dweight(dh: Gradient, x: np.ndarray, n_channels: int, out: np.ndarray) -> None:
            conv_dweight(dh, x, n_channels, g, self.pad_value, precision, out)

        if self.groups == 1:
            dweight(dout, x, self.in_channels, out)
        else:
            grouped_dweight(dout, x, self.n_in, self.groups, False, dweight, out)


class InputConv2d(Convolution):
    """Convolution of pixels minus an offset: images (N, C, H, W) uint8 -> h (N, OH, OW, K) int32.

    `pad_value` is in pixel levels after the offset: "zero" pads with exactly 0.
    """

    takes = "pixels"

    def __init__(self, in_channels: int, out_channels: int, kernel: int | Pair = 3, stride: int | Pair = 1,
                 padding: Padding = 1, pad_value: str = "zero", dilation: int | Pair = 1, groups: int = 1, *,
                 offset: int, generator: np.random.Generator) -> None:
        self.offset = check_int("offset", offset, 0, 255)
        super().__init__(in_channels, out_channels, kernel, stride, padding, pad_value, dilation, groups, generator)

    def settings(self) -> dict[str, object]:
        """Those of a convolution, and the offset."""
        return super().settings() | {"offset": self.offset}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, H, W) -> (OH, OW, K)."""
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ValueError(f"InputConv2d expects images of {self.in_channels} channels, got shape {tuple(shape)}")
        g = self.geometry(*shape[1:])
        return (g.out_height, g.out_width, self.units)

    def checked(self, x: np.ndarray) -> np.ndarray:
        """Images (N, C, H, W) uint8."""
        return check_images(x, (self.in_channels, None, None))

    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """(C, H, W)."""
        return x.shape[1:]

    def layout(self, x: np.ndarray, words: np.ndarray) -> Layout | Grouped:
        """Of images."""
        g = self.geometry(*x.shape[2:])
        if self.groups > 1:
            return grouped_conv(words, self.n_in, self.groups, g, self.pad_value, self.offset, None, None, NO_POOL)
        return pixels_conv(words, self.in_channels, g, self.offset, self.pad_value)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """None: nothing flows back to pixels."""
        return None

    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C), as a whole."""
        g, x = self.geometry(*x.shape[2:]), self.padded(x)

        def dweight(dh: Gradient, images: np.ndarray, n_channels: int, out: np.ndarray) -> None:
            pixels_conv_dweight(dh, images, self.offset, g, self.pad_value, precision, out)

        if self.groups == 1:
            dweight(dout, x, self.in_channels, out)
        else:
            grouped_dweight(dout, x, self.n_in, self.groups, True, dweight, out)
