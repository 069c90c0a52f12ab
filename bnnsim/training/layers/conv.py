"""Binarized convolutions: on packed activations, and on the pixels of the input."""

from abc import abstractmethod

import numpy as np

from bnnsim.checks import check_choice, check_images, check_input, check_int
from bnnsim.kernels import split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import conv_forward, conv_geometry, pixels_conv_forward
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.words import n_words
from bnnsim.training.gradients import Consume, Gradient, conv_dweight, conv_dx, pixels_conv_dweight
from bnnsim.training.layers.weighted import Weighted

PAD_VALUES = {"zero": 0, "plus": 1, "minus": -1}


class _Convolution(Weighted):
    """What both share: sizes, and the geometry of one input."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int], stride: int, padding: int,
                 pad_value: str, generator: np.random.Generator) -> None:
        self.in_channels, units = check_int("in_channels", in_channels, 1), check_int("out_channels", out_channels, 1)
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        self.kernel = check_int("kernel", height, 1), check_int("kernel", width, 1)
        self.stride, self.padding = check_int("stride", stride, 1), check_int("padding", padding, 0)
        self.pad_value = PAD_VALUES[check_choice("pad_value", pad_value, PAD_VALUES)]
        n_taps = self.kernel[0] * self.kernel[1]
        super().__init__((units, *self.kernel, self.in_channels), n_taps * self.in_channels, n_taps * units, generator)

    @abstractmethod
    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C) float32, as a whole."""

    def settings(self) -> dict[str, object]:
        """Kernel, stride, and the padding with its value."""
        return {"kernel": self.kernel, "stride": self.stride, "padding": self.padding, "pad_value": self.pad_value}

    def pack_into(self, stored: list[PackedLayer], input_offset: int) -> None:
        """A layer of its own."""
        stored.append(PackedLayer("conv", self.in_channels, self.words.copy(), self.stride, self.padding,
                                  self.pad_value))

    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight (K * kh * kw, C): a convolution sums it whole, and hands it over in parts."""
        self.weight_gradient(dout, x, precision, self.gradient)
        rows = self.gradient.reshape(-1, self.in_channels)
        split(lambda start, stop: consume(start, rows[start:stop]), len(rows))

    def geometry(self, height: int, width: int) -> Geometry:
        """Sizes for an input of this height and width; ValueError where the kernel does not fit."""
        g = conv_geometry(height, width, self.kernel, self.stride, self.padding)
        if g.out_height < 1 or g.out_width < 1:
            raise ValueError(f"a {self.kernel[0]} x {self.kernel[1]} kernel with padding {self.padding} does not fit "
                             f"an input of {height} x {width}")
        return g


class Conv2d(_Convolution):
    """Convolution of packed x (N, H, W, ceil(C / 64)) uint64 -> h (N, OH, OW, K) int32.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel : int or (int, int)
    stride, padding : int
    pad_value : "zero", "plus" or "minus"
        What padded positions contribute: 0, as in every framework, or x = +1 or -1.
    generator : numpy.random.Generator
    """

    takes = "bits"

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int] = 3, stride: int = 1,
                 padding: int = 1, pad_value: str = "zero", *, generator: np.random.Generator) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, pad_value, generator)

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

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h (N, OH, OW, K) int32."""
        return conv_forward(x, words, self.in_channels, self.geometry(*x.shape[1:3]), self.pad_value)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """dx (N, H, W, C) float32."""
        return conv_dx(dout, words, self.in_channels, self.geometry(*x.shape[1:3]), precision)

    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C), as a whole."""
        conv_dweight(dout, x, self.in_channels, self.geometry(*x.shape[1:3]), self.pad_value, precision, out)


class InputConv2d(_Convolution):
    """Convolution of pixels minus an offset: images (N, C, H, W) uint8 -> h (N, OH, OW, K) int32.

    `pad_value` is in pixel levels after the offset: "zero" pads with exactly 0.
    """

    takes = "pixels"

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int] = 3, stride: int = 1,
                 padding: int = 1, pad_value: str = "zero", *, offset: int, generator: np.random.Generator) -> None:
        self.offset = check_int("offset", offset, 0, 255)
        super().__init__(in_channels, out_channels, kernel, stride, padding, pad_value, generator)

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

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h (N, OH, OW, K) int32."""
        return pixels_conv_forward(x, self.offset, words, self.in_channels, self.geometry(*x.shape[2:]), self.pad_value)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """None: nothing flows back to pixels."""
        return None

    def weight_gradient(self, dout: Gradient, x: np.ndarray, precision: str, out: np.ndarray) -> None:
        """dweight (K, kh, kw, C), as a whole."""
        pixels_conv_dweight(dout, x, self.offset, self.geometry(*x.shape[2:]), self.pad_value, precision, out)
