"""Small models with branches, for images (1, 6, 6): between them they have every layer of graphs."""

import numpy as np

import bnnsim.training.layers as layers
from bnnsim.training.model import Graph
from bnnsim.training.wires import Wiring


def rng_of(*seed):
    return np.random.default_rng(seed)


def residual(seed=0, classes=10, ste="approx", learned=True):
    """Shortcuts, one through a real convolution; every value that branches is read by both."""
    rng, w = rng_of(seed), Wiring()
    x = w.add(layers.InputConv2d(1, 5, offset=3, generator=rng), layers.BatchNormReal(5))
    y = w.add(layers.Sign(5, ste, learned), layers.Conv2d(5, 5, generator=rng), layers.BatchNormReal(5), inputs=x)
    x = w.add(layers.Add(), layers.PReLU(5), inputs=(y, x))
    y = w.add(layers.ScaleShift(5), layers.Sign(5), layers.Conv2d(5, 7, stride=2, generator=rng),
              layers.BatchNormReal(7), inputs=x)
    x = w.add(layers.AveragePool2d(2), layers.RealConv2d(5, 7, 1, padding=0, bias=True, generator=rng),
              layers.BatchNormReal(7), inputs=x)
    x = w.add(layers.Add(), layers.HardTanh(-2, 2), inputs=(y, x))
    w.add(layers.GlobalAverage(), layers.RealDense(7, classes, generator=rng), inputs=x)
    return Graph(w.nodes, (1, 6, 6))


def dense_blocks(seed=0, classes=10):
    """Pixels read twice, sums and bits read by several, channels side by side, every pool; ends in a layer of bits."""
    rng, w = rng_of(seed), Wiring()
    sums = w.add(layers.InputConv2d(1, 8, offset=128, generator=rng), inputs=-1)
    pooled = w.add(layers.MaxPool2d(2), layers.BatchNormReal(8), inputs=sums)
    even = w.add(layers.BatchNormReal(8), layers.AveragePool2d(3, 2, 1), layers.ReLU(), inputs=sums)
    pixels = w.add(layers.Pixels(1, 1 / 64, -2.0), layers.RealMaxPool2d(2), inputs=-1)
    x = w.add(layers.Concatenate(), inputs=(pooled, even, pixels))
    bits = w.add(layers.Sign(17), inputs=x)
    a = w.add(layers.Conv2d(17, 6, generator=rng), layers.MaxPool2d(3, 1, 1), layers.BatchNormSign(6),
              layers.Conv2d(6, 4, generator=rng), layers.BatchNormReal(4), inputs=bits)
    b = w.add(layers.Conv2d(17, 4, 1, padding=0, generator=rng), layers.BatchNormReal(4), inputs=bits)
    deep = w.add(layers.RealConv2d(17, 17, groups=17, generator=rng),
                 layers.RealConv2d(17, 4, 1, padding=0, generator=rng), inputs=x)
    w.add(layers.Add(), layers.Sign(4), layers.Flatten(4), layers.Dense(36, classes, rng), layers.BatchNorm(classes),
          inputs=(a, b, deep))
    return Graph(w.nodes, (1, 6, 6))


def smooth(seed=0):
    """No sign at all: a value that three read, one twice; statistics of a batch on maps and rows."""
    rng, w = rng_of(seed), Wiring()
    x = w.add(layers.Pixels(1, 1 / 64, -2), layers.RealConv2d(1, 4, 2, bias=True, generator=rng), layers.PReLU(4))
    a = w.add(layers.BatchNormReal(4), layers.ScaleShift(4), inputs=x)
    b = w.add(layers.AveragePool2d(3, 1, 1), layers.RealConv2d(4, 4, groups=4, generator=rng), inputs=x)
    x = w.add(layers.Add(), layers.BatchNormReal(4), inputs=(a, b, x, x))
    side = w.add(layers.GlobalAverage(), layers.BatchNormReal(4), inputs=x)
    down = w.add(layers.RealConv2d(4, 3, 3, 2, generator=rng), layers.GlobalAverage(), inputs=x)
    w.add(layers.Concatenate(), layers.RealDense(7, 10, generator=rng), inputs=(side, down))
    return Graph(w.nodes, (1, 6, 6))


MODELS = {"residual": residual, "dense blocks": dense_blocks}
