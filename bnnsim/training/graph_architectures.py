"""Today's binary networks as graphs, for small images: residual, dense, with real-valued parts.

w is the width, by which all channels are scaled. Convolutions have no bias; all networks end in a global average and a
dense layer with real weights. Each function says what is its paper's, how well that is known (the marks of
``docs/equations.rst``), and what is otherwise here. Of all: batch norm's momentum is 0.1, latent weights are clipped at
1, and that a channel's binary weights are scaled by their mean size is left out, since batch norm divides by it.
"""

import numpy as np

from bnnsim.checks import check_bool, check_int
from bnnsim.packed.schema import check_input_shape
from bnnsim.packed.settings import same_padding
from bnnsim.seeding import RandomSource, generator, root_seed
from bnnsim.training.estimators import Estimator
from bnnsim.training.layers import (Add, AsReals, AveragePool2d, BatchNormReal, BlurPool2d, Concatenate, Conv2d,
                                    GlobalAverage, InputConv2d, Layer, Pixels, PReLU, RealConv2d, RealDense,
                                    RealMaxPool2d, ReLU, ScaleShift, Sign)
from bnnsim.training.model import Graph
from bnnsim.training.wires import IMAGES, Wiring

Shape3 = tuple[int, int, int]
GREY, CLASSES = (1, 28, 28), 10


class _Net(Wiring):
    """A wiring that knows the shape of each layer's output, and has a stream of random numbers for each of weights."""

    def __init__(self, input_shape: Shape3, rng: RandomSource, n_classes: int, width: int) -> None:
        super().__init__()
        self.n_classes = check_int("n_classes", n_classes, 1)
        check_int("width", width, 1)
        self.input_shape, self.root, self.n_streams = check_input_shape(input_shape), root_seed(rng), 0
        self.shapes: list[tuple[int, ...]] = []

    def add(self, *layers: Layer, inputs: int | tuple[int, ...] | None = None) -> int:
        """As `Wiring.add`."""
        last = super().add(*layers, inputs=inputs)
        for wired in self.nodes[len(self.shapes):]:
            shapes = [self.shapes[at] if at != IMAGES else self.input_shape for at in wired.inputs]
            self.shapes.append(wired.layer.output_shape(*shapes))
        return last

    @property
    def stream(self) -> np.random.Generator:
        """Of the next initial weights."""
        self.n_streams += 1
        return generator(self.root, "initial weights", self.n_streams - 1)

    def size(self, at: int) -> Shape3:
        """(H, W, C)."""
        height, width, channels = self.shapes[at]
        return height, width, channels

    def pixels(self) -> int:
        """Images as reals: of one channel 0..1, so that black is the 0 that convolutions pad with; of others -2..2."""
        channels = self.input_shape[0]
        return self.add(Pixels(channels) if channels == 1 else Pixels(channels, 1 / 64, -2.0))

    def real_conv(self, units: int, kernel: int, groups: int = 1) -> int:
        """A real-valued convolution that keeps the size."""
        channels = self.shapes[-1][2]
        return self.add(RealConv2d(channels, units, kernel, padding=kernel // 2, groups=groups, generator=self.stream))

    def normed_conv(self, units: int, kernel: int, groups: int = 1) -> int:
        """The same, and batch norm."""
        self.real_conv(units, kernel, groups)
        return self.add(BatchNormReal(units))

    def binary_conv(self, units: int, kernel: int, sign: Layer, stride: int = 1, at: int | None = None) -> int:
        """Sign, binary convolution, batch norm."""
        channels = self.shapes[-1 if at is None else at][2]
        conv = Conv2d(channels, units, kernel, stride, kernel // 2, generator=self.stream)
        return self.add(sign, conv, BatchNormReal(units), inputs=at)

    def halved(self, at: int) -> int:
        """Averages of 2 x 2, at an odd border of what there is: as many as a 3 x 3 convolution of stride 2 gives."""
        height, width, _ = self.size(at)
        return self.add(AveragePool2d(2, padding=(0, 0, height % 2, width % 2)), inputs=at)

    def done(self) -> Graph:
        """The graph, with its last layers."""
        self.add(GlobalAverage())
        self.add(RealDense(self.shapes[-1][0], self.n_classes, generator=self.stream))
        return Graph(self.nodes, self.input_shape)


def _residual(net: _Net, x: int, units: int, ste: str | Estimator, binary: bool, shortcuts: bool = True) -> int:
    """x + a binary convolution of it; where channels change, the shortcut is averages, a 1 x 1 convolution, a norm."""
    channels = net.size(x)[2]
    stride = 1 if units == channels else 2
    y = net.binary_conv(units, 3, Sign(channels, ste), stride, x)
    if not shortcuts:
        return y
    if stride == 2:
        x = net.halved(x)
        if binary:
            x = net.binary_conv(units, 1, Sign(channels, ste))
        else:
            x = net.normed_conv(units, 1)
    return net.add(Add(), inputs=(y, x))


def bireal_resnet18(rng: RandomSource = None, input_shape: Shape3 = GREY, n_classes: int = CLASSES, width: int = 64,
                    ste: str | Estimator = "approx", shortcuts: bool = True) -> Graph:
    """Bi-Real Net with 18 layers: Liu et al. 2018, arXiv:1808.00278 [C: the authors' code].

    16 binary 3 x 3 convolutions, four of each w, 2w, 4w and 8w channels, w = 64, with a shortcut around each; where the
    size halves, the shortcut is a 2 x 2 average, a real-valued 1 x 1 convolution and a batch norm. Here the stem is a
    real-valued 3 x 3 convolution and batch norm, without the paper's 7 x 7, its stride and the max-pool behind it.

    Parameters
    ----------
    rng : None, int, SeedSequence or Generator
    input_shape : (C, H, W)
    n_classes : int
    width : int
        w.
    ste : "clipped", "identity", "approx", "swish", or an Estimator
        Straight-through estimator of the signs; the paper's by default.
    shortcuts : bool
        False leaves them all out: a plain network of the same layers, to compare with.

    Returns
    -------
    Graph

    Examples
    --------
    >>> model = bireal_resnet18(rng=0, width=8)
    >>> len(model.weighted), sum(layer.n_bits for layer in model.weighted)
    (16, 171648)
    """
    check_bool("shortcuts", shortcuts)
    net = _Net(input_shape, rng, n_classes, width)
    net.pixels()
    x = net.normed_conv(width, 3)
    for factor in (1, 2, 4, 8):
        for _ in range(4):
            x = _residual(net, x, factor * width, ste, binary=False, shortcuts=shortcuts)
    return net.done()


def bnn_resnet20(rng: RandomSource = None, input_shape: Shape3 = GREY, n_classes: int = CLASSES, width: int = 16,
                 ste: str | Estimator = "approx") -> Graph:
    """ResNet-20 of He et al. 2016, arXiv:1512.03385, section 4.2 [M], with all weights binary but the last layer's.

    A stem and 18 binary 3 x 3 convolutions, six of each w, 2w and 4w channels, w = 16. As in Bi-Real Net there is a
    shortcut around each convolution, not around each pair, and no ReLU. The stem reads pixels (offset 0, or 128 of
    several channels) and has binary weights, and so have the 1 x 1 convolutions of the two shortcuts that change size:
    all weights but those of the last layer are in memory.

    Parameters
    ----------
    rng, input_shape, n_classes, width, ste
        As of `bireal_resnet18`.

    Returns
    -------
    Graph
    """
    net = _Net(input_shape, rng, n_classes, width)
    channels = net.input_shape[0]
    x = net.add(InputConv2d(channels, width, offset=0 if channels == 1 else 128, generator=net.stream),
                BatchNormReal(width))
    for factor in (1, 2, 4):
        for _ in range(6):
            x = _residual(net, x, factor * width, ste, binary=True)
    return net.done()


def reactnet_small(rng: RandomSource = None, input_shape: Shape3 = GREY, n_classes: int = CLASSES, width: int = 32,
                   ste: str | Estimator = "approx") -> Graph:
    """The first five blocks of ReActNet: Liu et al. 2020, arXiv:2003.03488 [C: the authors' code, "mobilenet"].

    A block is a 3 x 3 binary convolution and a 1 x 1 one, each behind a sign with learned thresholds (RSign), with
    batch norm, a shortcut and a PReLU between learned shifts (RPReLU) behind it; where channels double, two 1 x 1
    convolutions stand side by side, and where the size halves, the shortcut is an average. Channels w, 2w, 4w, 4w, 8w,
    8w with w = 32, as there; its seven blocks of 16w and 32w are left out, and so is the stride of its stem.

    Parameters
    ----------
    rng, input_shape, n_classes, width, ste
        As of `bireal_resnet18`.

    Returns
    -------
    Graph
    """
    net = _Net(input_shape, rng, n_classes, width)
    net.pixels()
    x = net.normed_conv(width, 3)
    for factor, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        x = _reactnet_block(net, x, factor * width, stride, ste)
    return net.done()


def _reactnet_block(net: _Net, x: int, units: int, stride: int, ste: str | Estimator) -> int:
    channels = net.size(x)[2]
    y = net.binary_conv(channels, 3, Sign(channels, ste, learned=True), stride, x)
    if stride == 2:
        x = net.halved(x)
    net.add(Add(), inputs=(y, x))
    x = _rprelu(net, channels)
    sign = net.add(Sign(channels, ste, learned=True))
    halves = []
    for _ in range(units // channels):
        y = net.add(Conv2d(channels, channels, 1, padding=0, generator=net.stream), BatchNormReal(channels),
                    inputs=sign)
        halves.append(net.add(Add(), inputs=(y, x)))
    if len(halves) > 1:
        net.add(Concatenate(), inputs=tuple(halves))
    return _rprelu(net, units)


def _rprelu(net: _Net, units: int) -> int:
    return net.add(ScaleShift(units, scale=False), PReLU(units), ScaleShift(units, scale=False))


def quicknet_small(rng: RandomSource = None, input_shape: Shape3 = GREY, n_classes: int = CLASSES, width: int = 32,
                   ste: str | Estimator = "clipped") -> Graph:
    """Three sections of QuickNetSmall: Bannink et al. 2020, arXiv:2011.09398 [C: Larq Zoo, version 1.0].

    A section is four binary 3 x 3 convolutions padded with +1, each with ReLU, batch norm and a shortcut around it;
    between two, ReLU, a max-pool of stride 1, a blur pool, a real-valued 1 x 1 convolution and batch norm. The stem is
    a real-valued 3 x 3 convolution to w / 4 channels, a depthwise one and a 1 x 1 one. Channels w, 2w, 8w with w = 32,
    as there; here the stem has no strides, the fourth section (16w) is left out, and the estimator is clipped at 1, not
    at 1.25.

    Parameters
    ----------
    rng, input_shape, n_classes, width, ste
        As of `bireal_resnet18`; the width is a multiple of 4.

    Returns
    -------
    Graph
    """
    net = _Net(input_shape, rng, n_classes, width)
    if width % 4:
        raise ValueError(f"width must be a multiple of 4, got {width}")
    net.pixels()
    net.normed_conv(width // 4, 3)
    net.add(ReLU())
    net.normed_conv(width // 4, 3, groups=width // 4)
    x = net.normed_conv(width, 1)
    for factor in (1, 2, 8):
        if factor > 1:
            x = _quicknet_transition(net, factor * width)
        for _ in range(4):
            channels = net.size(x)[2]
            conv = Conv2d(channels, channels, pad_value="plus", generator=net.stream)
            y = net.add(Sign(channels, ste), conv, AsReals(channels), ReLU(), BatchNormReal(channels), inputs=x)
            x = net.add(Add(), inputs=(y, x))
    net.add(ReLU())
    return net.done()


def _quicknet_transition(net: _Net, units: int) -> int:
    channels = net.size(net.add(ReLU(), RealMaxPool2d(2, stride=1)))[2]
    net.add(BlurPool2d(channels, 3, 2, same_padding(net.shapes[-1][:2], (3, 3), (2, 2))))
    return net.normed_conv(units, 1)


def binary_densenet_small(rng: RandomSource = None, input_shape: Shape3 = GREY, n_classes: int = CLASSES,
                          width: int = 32, ste: str | Estimator = "clipped") -> Graph:
    """A small BinaryDenseNet: Bethge et al. 2019, arXiv:1906.08637 [C: Larq Zoo's code, as for images below 50 x 50].

    A real-valued 3 x 3 convolution to w channels; three blocks of four layers, each a batch norm, a sign and a binary
    3 x 3 convolution to w channels more, beside those that it read; between two blocks batch norm, a 2 x 2 max-pool,
    ReLU and a real-valued 1 x 1 convolution to round(channels / 2.7 / w) w; at the end batch norm and ReLU. The
    BinaryDenseNets there have w = 64 and four blocks of five to fourteen layers, and estimators clipped at 1.3.

    Parameters
    ----------
    rng, input_shape, n_classes, width, ste
        As of `bireal_resnet18`.

    Returns
    -------
    Graph
    """
    net = _Net(input_shape, rng, n_classes, width)
    net.pixels()
    x = net.real_conv(width, 3)
    for block in range(3):
        if block:
            channels = net.size(x)[2]
            net.add(BatchNormReal(channels), RealMaxPool2d(2), ReLU())
            x = net.real_conv(max(1, round(channels / 2.7 / width)) * width, 1)
        for _ in range(4):
            channels = net.size(x)[2]
            y = net.add(BatchNormReal(channels), Sign(channels, ste), Conv2d(channels, width, generator=net.stream),
                        AsReals(width), inputs=x)
            x = net.add(Concatenate(), inputs=(x, y))
    net.add(BatchNormReal(net.size(x)[2]), ReLU())
    return net.done()
