"""The first stage of two-stage training: a convolution of bits with latent weights as they are."""

from typing import Any

import numpy as np

from bnnsim.checks import check_input
from bnnsim.packed.words import n_words, unpack_bits
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.conv import Conv2d
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.real import Gradients
from bnnsim.training.layers.real_weights import RealConv2d, input_gradient, weight_gradient


class LatentConv2d(Layer):
    """What a `Conv2d` computes with its latent weights in place of their signs: bits to reals; it has no packed form.

    Parameters
    ----------
    of : Conv2d
        Whose place it takes: its sizes, and a copy of its latent weights. Its padding is 0, +1 or -1.
    """

    takes, gives = "bits", "reals"
    bounds = {"kernel": 1.0}                                    # the latent weights that they will be are in it

    def __init__(self, of: Conv2d) -> None:
        if of.replicate:
            raise ValueError('a LatentConv2d pads with one number: pad_value must not be "replicate"')
        self.in_channels, self.padding, self.pad_value = of.in_channels, of.padding, of.pad_value
        self.conv = RealConv2d(of.in_channels, of.units, of.kernel, of.stride, 0, of.dilation, of.groups,
                               generator=np.random.default_rng(0))          # whose draws are written over
        self.parameters = {"kernel": self.conv.parameters["kernel"]}
        self.parameters["kernel"][...] = of.parameters["weight"]

    def settings(self) -> dict[str, object]:
        """Those of a convolution, and what it pads with."""
        return self.conv.settings() | {"padding": self.padding, "pad_value": self.pad_value}

    def output_shape(self, shape: tuple[int, ...], /) -> tuple[int, ...]:
        """(H, W, C) -> (OH, OW, K)."""
        top, left, bottom, right = self.padding
        return self.conv.output_shape((shape[0] + top + bottom, shape[1] + left + right, *shape[2:]))

    def _padded(self, x: np.ndarray) -> np.ndarray:
        """Reals +-1 of words (N, H, W, ceil(C / 64)), with the padding around them."""
        x, (top, left, bottom, right) = check_input("LatentConv2d", x, np.uint64, n_words(self.in_channels), 4), \
            self.padding
        values = unpack_bits(x, self.in_channels).astype(np.float32) * np.float32(2) - np.float32(1)
        return np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=self.pad_value)

    def forward(self, x: np.ndarray, /) -> np.ndarray:
        """Reals float32 (N, OH, OW, K)."""
        return self.conv.forward(self._padded(x))

    def forward_train(self, x: np.ndarray, /) -> tuple[np.ndarray, Any]:
        """The same; the cache is that of the convolution of the padded map."""
        return self.conv.forward_train(self._padded(x))

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx (N, H, W, C) float32, as a Conv2d gives it, and the gradient of the weights."""
        (x,), conv, (top, left, bottom, right) = cache, self.conv.operation(), self.padding
        dout = self.conv.gradient_of(dout, (len(x), *conv.output_shape(x.shape[1:])))
        dx = input_gradient(conv, dout, x)[:, top:x.shape[1] - bottom, left:x.shape[2] - right]
        return np.ascontiguousarray(dx), {"kernel": weight_gradient(conv, dout, x)}
