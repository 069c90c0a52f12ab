"""Random small packed graphs from a seed: shortcuts, concatenations, values that several nodes read, of every kind."""

import naive
import numpy as np

from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import conv_geometry, window_counts
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.operations import (Add, Affine, AveragePool, Clip, Concatenate, GlobalAverage, LargestPool, Pixels,
                                      PReLU, RealConv, RealDense, Sign)

SHAPES = ((1, 6, 7), (3, 5, 5), (2, 8, 4))
UNITS = (1, 3, 8, 15, 16, 17, 33, 65)
WIDE = {"shapes": ((16, 3, 4), (32, 4, 2)), "units": (16, 48), "real_units": (16, 32)}
CLASSES = 5


def images(graph, n=9, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *graph.input_shape), np.uint8)


def graph(seed, n_steps=9, extreme=False):
    """Every node but the last is read, one at least is a layer of bits; `extreme`: some constants are not finite."""
    return _Growth(np.random.default_rng(seed), extreme).grown(n_steps)


def wide(seed, n_steps=20, extreme=False):
    """Of channels by 16: operations in a row are done in one pass over their map, see `bnnsim.packed.graph_plan`."""
    return _Growth(np.random.default_rng(seed), extreme, **WIDE).grown(n_steps)


def for_fashion(seed=0):
    """One for images of 28 x 28, of 12,544 bits: sums and the mean of pixels side by side."""
    rng, n = np.random.default_rng(seed), 16
    layer = PackedLayer("dense", 784, naive.pack(rng.choice([-1, 1], (n, 784))))
    end = RealDense(rng.normal(size=(10, n + 1)).astype(np.float32), np.zeros(10, np.float32))
    one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
    return PackedGraph([Node(layer, (-1,)), Node(Affine(one, zero), (0,)), Node(Pixels(one[:1] / 10, zero[:1]), (-1,)),
                        Node(GlobalAverage(), (2,)), Node(Concatenate(), (1, 3)), Node(end, (4,))], (1, 28, 28))


def row(seed, units=16):
    """Up to six channel operations in a row, sums with one map among them, in either order; the map, its signs or both.

    Node 1 is that map, node 2 begins the row.
    """
    rng = np.random.default_rng(seed)

    def some(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def dense(n):
        return RealDense(some(CLASSES, n), some(CLASSES))

    first = PackedLayer("conv", 1, naive.pack(rng.choice([-1, 1], (units, 1, 1, 1))))
    nodes = [Node(first, (-1,)), *(Node(Affine(some(units) / 99, some(units)), (0,)) for _ in range(2))]
    for _ in range(rng.integers(0, 6)):
        at = len(nodes) - 1
        choices = [(Affine(some(units), some(units)), (at,)), (PReLU(some(units)), (at,)), (Add(), (at, 1)),
                   (Add(), (1, at)), (Clip(some(1) - 2, some(1) + 2), (at,))]
        nodes.append(Node(*choices[rng.integers(len(choices))]))
    at, ends = len(nodes) - 1, []
    wanted = int(rng.integers(1, 4))                            # 1 the signs, 2 the map, 3 both
    for read in [1, *[at] * (wanted > 1)]:
        nodes += [Node(GlobalAverage(), (read,)), Node(dense(units), (len(nodes),))]
        ends.append(len(nodes) - 1)
    if wanted != 2:
        layer = PackedLayer("dense", 6 * units, naive.pack(rng.choice([-1, 1], (CLASSES, 6 * units))))
        nodes += [Node(Sign(some(units)), (at,)), Node(layer, (len(nodes),)),
                  Node(Affine(some(CLASSES), some(CLASSES)), (len(nodes) + 1,))]
        ends.append(len(nodes) - 1)
    return PackedGraph([*nodes, Node(Add(), tuple(ends))], (1, 2, 3))


class _Growth:
    """Nodes so far; of each value, -1 the images, its kind and shape."""

    def __init__(self, rng, extreme, shapes=SHAPES, units=UNITS, real_units=(2, 5, 16, 17)):
        self.rng, self.extreme, self.nodes, self.units, self.real_units = rng, extreme, [], units, real_units
        self.input_shape = shapes[rng.integers(len(shapes))]
        channels, height, width = self.input_shape
        self.values = {-1: ("pixels", (height, width, channels))}

    # ------------------------------------------------------------ parts

    def reals(self, *shape):
        x = (self.rng.normal(size=shape) * 2.0 ** self.rng.integers(-3, 3, shape)).astype(np.float32)
        if self.extreme:
            x = np.where(self.rng.random(shape) < 0.03, self.rng.choice([np.inf, -np.inf, np.nan, 3e38], shape), x)
        return x.astype(np.float32)

    def some(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def add(self, what, inputs, kind, shape):
        self.nodes.append(Node(what, tuple(inputs)))
        self.values[len(self.nodes) - 1] = kind, tuple(map(int, shape))
        return len(self.nodes) - 1

    def affine(self, at):
        shape = self.values[at][1]
        return self.add(Affine(self.reals(shape[-1]), self.reals(shape[-1])), [at], "reals", shape)

    def ending(self, units, reach):
        return {"threshold": self.rng.integers(-reach, reach + 1, units).astype(np.int32),
                "inverted": self.rng.random(units) < 0.5}

    def words(self, *shape):
        return naive.pack(self.rng.choice([-1, 1], shape))

    def bits_layer(self, at, scores=False):
        """A layer of bits on pixels or bits: to integers or bits, a convolution or a dense layer."""
        (kind, shape), units = self.values[at], int(self.some(*self.units))
        reach = 300 if kind == "pixels" else 4
        if len(shape) == 1 or scores or self.rng.random() < 0.2:
            units = CLASSES if scores else units
            end = {name: self.rng.normal(size=units) for name in ("mean", "scale", "shift")} if scores else \
                self.ending(units, reach) if self.rng.random() < 0.5 else {}
            layer = PackedLayer("dense", int(np.prod(shape)), self.words(units, int(np.prod(shape))), **end)
            return self.add(layer, [at], "bits" if layer.threshold is not None else "integers", (units,))
        height, width, channels = shape
        groups = channels if self.rng.random() < 0.2 else 1
        units = units if groups == 1 else groups * int(self.some(1, 2))
        kernel = int(self.rng.integers(1, min(3, height) + 1)), int(self.rng.integers(1, min(3, width) + 1))
        stride, padding = (int(self.some(1, 1, 2)),) * 2, tuple(self.rng.integers(0, 3, 4).tolist())
        g = conv_geometry(height, width, kernel, stride, padding)
        out, end = (g.out_height, g.out_width), {}
        if self.rng.random() < 0.5:
            end = self.ending(units, reach)
            if min(out) > 1 and self.rng.random() < 0.5:
                end |= {"pool": (2, 2), "pool_stride": (1, 2)}
                out = window_counts(out, Pool(2, 2, 1, 2, 0, 0, 0, 0))
        layer = PackedLayer("conv", channels // groups, self.words(units, *kernel, channels // groups), stride, padding,
                            int(self.some(0, 1, -1)), groups=groups, **end)
        return self.add(layer, [at], "bits" if end else "integers", (*out, units))

    def windows(self, shape):
        size = tuple(int(self.rng.integers(1, min(3, s) + 1)) for s in shape[:2])
        stride = tuple(self.rng.integers(1, 3, 2).tolist())
        padding = tuple(int(self.rng.integers(0, k)) for k in size * 2)
        return (size, stride, padding), window_counts(shape[:2], Pool(*size, *stride, *padding))

    def pool(self, kind, at, *more):
        value, shape = self.values[at]
        windows, counts = self.windows(shape)
        return self.add(kind(*windows, *more), [at], value, (*counts, shape[2]))

    def real_conv(self, at):
        height, width, channels = self.values[at][1]
        groups = self.some(1, channels)
        units = int(self.some(*self.real_units)) if groups == 1 else channels
        kernel, stride = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3))), (int(self.some(1, 2)), 1)
        padding = tuple(self.rng.integers(0, 3, 4).tolist())
        g = conv_geometry(height, width, kernel, stride, padding)
        if min(g.out_height, g.out_width) < 1:
            return self.affine(at)
        conv = RealConv(self.reals(units, *kernel, channels // groups), self.reals(units), stride, padding,
                        groups=groups)
        return self.add(conv, [at], "reals", (g.out_height, g.out_width, units))

    def joined(self, at):
        """With what else fits: the sum, or side by side; the same twice too."""
        shape = self.values[at][1]
        fits = [i for i, (kind, other) in self.values.items() if kind == "reals" and other == shape]
        beside = [i for i, (kind, other) in self.values.items() if kind == "reals" and other[:-1] == shape[:-1]]
        if self.rng.random() < 0.6:
            return self.add(Add(), [at, *(int(self.some(*fits)) for _ in range(self.some(1, 1, 2)))], "reals", shape)
        read = [at, int(self.some(*beside))]
        return self.add(Concatenate(), read, "reals", (*shape[:-1], sum(self.values[i][1][-1] for i in read)))

    def step(self, at):
        """A node that reads this value."""
        kind, shape = self.values[at]
        if kind == "pixels":
            return self.bits_layer(at) if self.rng.random() < 0.6 else self.add(
                Pixels(self.reals(shape[-1]) / 64, self.reals(shape[-1])), [at], "reals", shape)
        if kind == "bits":
            return self.bits_layer(at)
        if kind == "integers":
            return self.pool(LargestPool, at) if len(shape) == 3 and self.rng.random() < 0.4 else self.affine(at)
        bounds = np.sort(self.reals(2))
        makes = [self.affine, self.joined, self.joined,
                 lambda at: self.add(PReLU(self.reals(shape[-1])), [at], kind, shape),
                 lambda at: self.add(Clip(bounds[:1], bounds[1:]), [at], kind, shape),
                 lambda at: self.add(Sign(self.reals(shape[-1])), [at], "bits", shape),
                 lambda at: self.add(Sign(self.reals(shape[-1])), [at], "bits", shape)]
        if len(shape) == 3:
            makes += [lambda at: self.pool(AveragePool, at, int(self.some(0, 1))),
                      lambda at: self.pool(LargestPool, at), self.real_conv,
                      lambda at: self.add(GlobalAverage(), [at], kind, shape[2:])]
        else:
            makes.append(lambda at: self.add(RealDense(self.reals(7, shape[0]), self.reals(7)), [at], kind, (7,)))
        return self.some(*makes)(at)

    # ------------------------------------------------------------ the whole

    def unread(self):
        return sorted(set(range(len(self.nodes))) - {at for node in self.nodes for at in node.inputs})

    def grown(self, n_steps):
        self.step(-1)
        self.bits_layer(-1 if self.rng.random() < 0.5 else self.as_bits(0))
        for _ in range(n_steps):
            chosen = self.unread() if self.rng.random() < 0.6 else list(self.values)
            self.step(int(self.some(*chosen)))
        return PackedGraph(self.finished(), self.input_shape, int(self.some(0, 128, 255)))

    def as_bits(self, at):
        kind, shape = self.values[at]
        at = self.affine(at) if kind == "integers" else at
        return at if kind == "bits" else self.add(Sign(self.reals(shape[-1])), [at], "bits", shape)

    def finished(self):
        """All that nobody reads, brought to scores and added up."""
        ends = [self.to_scores(at) for at in self.unread()]
        last = self.add(Add(), ends, "reals", (CLASSES,)) if len(ends) > 1 else ends[0]
        if self.rng.random() < 0.3:
            self.bits_layer(self.add(Sign(self.reals(CLASSES)), [last], "bits", (CLASSES,)), scores=True)
        return self.nodes

    def to_scores(self, at):
        kind, shape = self.values[at]
        if kind == "bits":
            layer = PackedLayer("dense", int(np.prod(shape)), self.words(3, int(np.prod(shape))))
            at, kind, shape = self.add(layer, [at], "integers", (3,)), "integers", (3,)
        at = self.affine(at) if kind == "integers" else at
        if len(shape) == 3 and self.rng.random() < 0.5:
            at, shape = self.add(GlobalAverage(), [at], "reals", shape[2:]), shape[2:]
        features = int(np.prod(shape))
        return self.add(RealDense(self.reals(CLASSES, features), self.reals(CLASSES)), [at], "reals", (CLASSES,))
