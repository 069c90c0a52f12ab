"""One pass of images through a packed network, with the pre-activations of every layer as integers; bounded memory.

N images, P output positions of a layer (1 of a dense one) before its pooling, U units in V words.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnnsim.checks import check_images, check_int, check_split
from bnnsim.kernels import split
from bnnsim.packed.forward import borders, conv, dense, pixels_conv, pixels_dense
from bnnsim.packed.layer import largest_preactivation
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import unpack_signs

BLOCK = 32                          # images a thread has in hand: at most some MB of pre-activations a layer


def check_network(network):
    """A PackedNetwork."""
    if not isinstance(network, PackedNetwork):
        raise TypeError(f"network must be a PackedNetwork, as bnnsim.pack gives, got {type(network).__name__}")
    return network


def check_some_images(network, images):
    """Images that the network takes, one at least."""
    images = check_images(images, check_network(network).input_shape)
    if len(images) == 0:
        raise ValueError("images must have at least one image")
    return images


def check_labelled(network, split):
    """A Split whose images the network takes and whose classes it has."""
    check_some_images(network, check_split(split).images)
    if split.labels.max() >= network.n_classes:
        raise ValueError(f"labels of split must be below the network's {network.n_classes} classes, got "
                         f"{split.labels.max()}: take the data set that the network was trained on")
    return split


def check_hidden(network, layer):
    """The number of a hidden layer."""
    last = len(check_network(network).layers) - 2
    if last < 0:
        raise ValueError("network must have a hidden layer, but it has only an output layer")
    return check_int("layer", layer, 0, last)


@dataclass(frozen=True, eq=False)
class Stage:
    """A layer of a network and what its pre-activations are made of.

    network : PackedNetwork
    index : int
    """

    network: PackedNetwork
    index: int

    @property
    def layer(self):
        """The PackedLayer."""
        return self.network.layers[self.index]

    @property
    def geometry(self):
        """Sizes of its convolution; None where it is dense."""
        return self.network.geometry(self.index)

    @property
    def reads_pixels(self):
        """Whether it is the first layer, whose summands have the sizes of pixels."""
        return self.index == 0

    @cached_property
    def bound(self):
        """Largest |h| that the layer can give."""
        return largest_preactivation(self.layer, self.reads_pixels, self.network.input_offset)

    @cached_property
    def forward(self):
        """The layer as the kernels read it for pre-activations."""
        layer, first = self.layer, self.reads_pixels
        words, offset = layer.words.copy(), self.network.input_offset
        if layer.kind == "dense":
            return pixels_dense(words, layer.n_in, offset) if first else dense(words, layer.n_in)
        return pixels_conv(words, layer.n_in, self.geometry, offset, layer.pad_value) if first else \
            conv(words, layer.n_in, self.geometry, layer.pad_value)

    @cached_property
    def width(self):
        """Output positions in a row, before pooling; 1 of a dense layer."""
        return self.geometry.out_width if self.geometry else 1

    @cached_property
    def border(self):
        """(kind of each position (P,), summands that exist at a position of each kind (B,)), both int64."""
        layer = self.layer
        if not self.geometry:
            return np.zeros(1, np.int64), np.array([layer.fan_in])
        kind, outside = borders(self.geometry)
        if layer.pad_value or not self.geometry.padding:
            return np.zeros(len(kind), np.int64), np.array([layer.fan_in])
        return kind, layer.fan_in - layer.n_in * outside.sum(1)

    @cached_property
    def theta(self):
        """Thresholds (U,) int64, brought to just past the largest |h|: no comparison changes."""
        return np.clip(self.layer.threshold.astype(np.int64), -self.bound, self.bound + 1)

    @cached_property
    def twice_s(self):
        """Twice the threshold s that lies midway between the two values of h about it, int32 (B, U).

        h moves in steps of 2 where all summands are +-1, so s = (least integer >= theta of h's parity) - 1; behind
        pixels s = theta - 1/2 [D].
        """
        if self.reads_pixels:
            return (2 * self.theta - 1).astype(np.int32)[None].repeat(len(self.border[1]), 0)
        parity = (self.theta + self.border[1][:, None]) & 1
        return (2 * (self.theta + parity) - 2).astype(np.int32)

    @cached_property
    def never(self):
        """Whether h cannot cross theta, whatever the bits: bool (B, U). Known beforehand for +-1 summands only."""
        n = self.border[1][:, None]
        return (self.theta <= -n) | (self.theta > n) if not self.reads_pixels else np.zeros(
            (len(n), self.layer.units), bool)

    def sums(self, x):
        """Pre-activations (N, P, U) int32 of a block of what the layer reads."""
        return self.forward.sums(x).reshape(len(x), -1, self.layer.units)


def stages(network):
    """A Stage for every layer."""
    found = [Stage(network, i) for i in range(len(network.layers))]
    for stage in found:
        stage.forward                                            # before threads ask for it
    network.prepare()
    return found


def hidden_stages(network, images):
    """The checked images and the stages of the hidden layers."""
    check_hidden(network, 0)
    images = check_some_images(network, images)
    return images, stages(network)[:-1]


def each_block(network, images, visit, block_images=BLOCK):
    """Call ``visit(block, xs)`` for blocks of images, in the threads of `split`; order is not promised.

    block : slice of the images
    xs : list
        What each layer reads: pixels, then packed words, as its `Stage.sums` takes them.
    """
    network.prepare()

    def run(start, stop):
        for b in range(start, stop):
            block = slice(b * block_images, min((b + 1) * block_images, len(images)))
            x, xs = images[block], []
            for i in range(len(network.layers)):
                x = network.flattened(i, x)
                xs.append(x)
                if i + 1 < len(network.layers):
                    x = network.forward(i).bits(x)
            visit(block, xs)

    split(run, (len(images) + block_images - 1) // block_images)


def patches(stage, x):
    """What each position of a convolution reads, (N, P, F): of packed words +-1 int8, 0 or the pad value outside."""
    if stage.reads_pixels:
        return pixel_patches(stage, x)
    g, layer = stage.geometry, stage.layer
    values = unpack_signs(x.reshape(-1, x.shape[-1]), layer.n_in).reshape(*x.shape[:3], -1)
    edge = (g.padding, g.padding)
    values = np.pad(values, ((0, 0), edge, edge, (0, 0)), constant_values=layer.pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(values, (g.kernel_height, g.kernel_width), (1, 2))
    windows = windows[:, ::g.stride, ::g.stride]
    return np.ascontiguousarray(windows).reshape(len(x), g.out_height * g.out_width, -1)


def pixel_patches(stage, images):
    """What each position of a first layer reads, int16 (N, P, F): pixels minus the offset, H, W, C order."""
    x = images.astype(np.int16).transpose(0, 2, 3, 1) - np.int16(stage.network.input_offset)
    g, layer = stage.geometry, stage.layer
    if g is None:
        return np.ascontiguousarray(x.reshape(len(x), 1, -1))
    edge = (g.padding, g.padding)
    x = np.pad(x, ((0, 0), edge, edge, (0, 0)), constant_values=layer.pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(x, (g.kernel_height, g.kernel_width), (1, 2))
    windows = windows[:, ::g.stride, ::g.stride].transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(windows.reshape(len(x), g.out_height * g.out_width, -1))


def squares(stage, x, patches=None):
    """Sum of the squared summands of each position, (N, P) int64; p (1 - p) times 4 of it is h's variance."""
    if not stage.reads_pixels:
        kind, n_summands = stage.border
        return np.broadcast_to(n_summands[kind], (len(x), len(kind)))
    patches = pixel_patches(stage, x) if patches is None else patches
    return np.einsum("npf,npf->np", patches, patches, dtype=np.int64)


def signs(layer):
    """Weights (U, F) int8 of +1 and -1, F in the order of `pixel_patches`."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    return unpack_signs(rows.copy(), layer.n_in).reshape(layer.units, -1)
