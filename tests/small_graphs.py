"""Two small graphs, trained for an epoch on a few of the shipped images: what tests of tools take."""

import functools

import numpy as np

import bnnsim
from bnnsim import layers

SHAPE = (1, 28, 28)


def wired(seed=0):
    """Nodes up to 8 channels of 7 x 7 real numbers: all kinds of join and pool, a layer that gives bits by itself."""
    rng, wiring = np.random.default_rng(seed), bnnsim.Wiring()
    stem = wiring.add(layers.InputConv2d(1, 4, stride=2, offset=128, generator=rng), layers.BatchNormReal(4),
                      layers.HardTanh())
    branch = wiring.add(layers.Sign(4), layers.Conv2d(4, 4, generator=rng), layers.BatchNormSign(4),
                        layers.Conv2d(4, 4, generator=rng), layers.BatchNormReal(4), layers.PReLU(4))
    both = wiring.add(layers.Concatenate(), inputs=(stem, branch))
    left = wiring.add(layers.AveragePool2d(2), layers.RealConv2d(8, 8, 1, padding=0, generator=rng), inputs=both)
    right = wiring.add(layers.RealMaxPool2d(2), layers.Sign(8), layers.Conv2d(8, 8, generator=rng),
                       layers.BatchNormReal(8), inputs=both)
    wiring.add(layers.Add(), inputs=(left, right))
    return wiring, rng


@functools.cache
def model(ending="real", seed=0):
    """As it is trained; `ending`: a real-valued dense layer behind an average, or a dense layer of bits."""
    wiring, rng = wired(seed)
    if ending == "real":
        wiring.add(layers.GlobalAverage(), layers.RealDense(8, 10, generator=rng))
    else:
        wiring.add(layers.Sign(8), layers.Flatten(8), layers.Dense(392, 10, generator=rng), layers.BatchNorm(10))
    made = bnnsim.Graph(wiring.nodes, SHAPE)
    bnnsim.fit(made, bnnsim.load_embedded()[0][:200], epochs=1, rng=seed, batch_size=50, progress=False)
    return made


@functools.cache
def packed(ending="real", seed=0):
    """As a memory stores it."""
    return bnnsim.pack(model(ending, seed))


@functools.cache
def images():
    """Some that it was not trained on."""
    return bnnsim.load_embedded()[1][:40]
