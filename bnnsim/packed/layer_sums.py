"""What every layer of a packed network reads and sums up on a block of images: pre-activations, before the sign.

N images, F features or C input channels, U units, P output positions.
"""

from dataclasses import replace

import numpy as np

from bnnsim.packed.forward import borders, conv_geometry
from bnnsim.packed.layer import largest_preactivation
from bnnsim.packed.words import unpack_signs


class LayerSums:
    """The layers of `network`, laid out to give pre-activations; geometry[i] is that of a convolution, else None."""

    def __init__(self, network):
        self.network, self.geometry, self._forward = network, [], []
        for i, layer in enumerate(network.layers):
            g = None
            if layer.kind == "conv":
                shape = network.bits_shape(i - 1)[:2] if i else network.input_shape[1:]
                g = conv_geometry(*shape, layer.words.shape[1:3], layer.stride, layer.padding)
            self.geometry.append(g)
            plain = replace(layer, threshold=None, inverted=None, pool=1)
            self._forward.append(plain.forward(i == 0, g, network.input_offset))

    def all(self, images):
        """(x, h): x[i] what layer i reads, as packed words but for the images; h[i] int32 (N, U) or (N, OH, OW, K)."""
        return self.behind(0, images)

    def behind(self, i, block):
        """The same for layers i and later, where `block` is what layer i - 1 gives."""
        x, h = [], []
        for j in range(i, len(self.network.layers)):
            x.append(np.ascontiguousarray(self.network.flattened(j, block)))
            h.append(self._forward[j].sums(x[-1]))
            if j < len(self.network.layers) - 1:
                block = self.network.forward(j).bits(x[-1])
        return x, h

    def largest(self, i):
        """The largest |h| of layer i."""
        return largest_preactivation(self.network.layers[i], i == 0, self.network.input_offset)

    def n_summands(self, i):
        """Summands of +-1 of a hidden layer's sums: an int, or (OH, OW, 1) where zero padding takes some away."""
        layer, g = self.network.layers[i], self.geometry[i]
        if g is None or not g.padding or layer.pad_value:
            return layer.fan_in
        border, outside = borders(g)
        inside = (outside.shape[1] - outside.sum(axis=1)) * layer.n_in
        return inside[border].reshape(g.out_height, g.out_width, 1)

    def patches(self, i, x):
        """What each position of layer i sums up: int16 (N, P, F), in the order of its weights; x as `all` gives it."""
        layer, g = self.network.layers[i], self.geometry[i]
        if i == 0:
            values = np.moveaxis(x.astype(np.int16), 1, 3) - np.int16(self.network.input_offset)
        else:
            values = unpack_signs(x.reshape(-1, x.shape[-1]), layer.n_in)
            values = values.reshape(*x.shape[:-1], layer.n_in).astype(np.int16)
        if g is None:
            return np.ascontiguousarray(values.reshape(len(x), 1, -1))
        edge = (g.padding, g.padding)
        values = np.pad(values, ((0, 0), edge, edge, (0, 0)), constant_values=layer.pad_value)
        windows = np.lib.stride_tricks.sliding_window_view(values, (g.kernel_height, g.kernel_width), axis=(1, 2))
        windows = windows[:, ::g.stride, ::g.stride]            # (N, OH, OW, C, kh, kw)
        return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(len(x), -1, layer.fan_in)
