"""Small graphs as ONNX files, beside what they compute, by NumPy in float64; nothing of bnnsim's.

A graph's nodes are what `foreign_onnx.node` makes, and the value of each is what ONNX says.
"""

import foreign_onnx
import naive_onnx
import numpy as np

SHAPE = (2, 6, 6)
EPS = 1e-3


def convolved(x, weight, pads=(0, 0, 0, 0), stride=(1, 1), groups=1):
    """x (N, C, H, W), weight (K, C / groups, kh, kw); zeros are padded."""
    return naive_onnx.conv({"pads": pads, "strides": stride, "group": groups}, x, weight)


def pooled(x, size, stride, pads, kind):
    """"max", "average", or "whole": entries of the padding count too."""
    a = {"kernel_shape": size, "strides": stride, "pads": pads, "count_include_pad": int(kind == "whole")}
    return naive_onnx.OPERATIONS["MaxPool" if kind == "max" else "AveragePool"](a, x)


class Graph:
    """Nodes, constants, and the value of each tensor for images x (N, C, H, W); methods add a node, and name it."""

    def __init__(self, images, shape=SHAPE):
        self.nodes, self.constants, self.shape = [], {}, shape
        self.values = {"x": np.asarray(images, np.float64)}

    def file(self, output):
        return foreign_onnx.model(self.nodes, self.constants, self.shape, output)

    def constant(self, value, dtype="f4"):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def node(self, op, inputs, value, domain="", **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(foreign_onnx.node(op, inputs, name, domain, **attributes))
        self.values[name] = value
        return name

    def conv(self, x, weight, bias=None, pads=(0, 0, 0, 0), stride=(1, 1), groups=1):
        weight = np.asarray(weight, "f4")
        value = convolved(self.values[x], weight.astype("f8"), pads, stride, groups)
        inputs = [x, self.constant(weight)]
        if bias is not None:
            inputs.append(self.constant(bias))
            value = value + np.asarray(bias, "f4").astype("f8").reshape(1, -1, 1, 1)
        return self.node("Conv", inputs, value, pads=list(pads), strides=list(stride), group=groups,
                         kernel_shape=list(weight.shape[2:]))

    def norm(self, x, gamma, beta, mean, var):
        given = [np.asarray(value, "f4") for value in (gamma, beta, mean, var)]
        axes = (1, -1) + (1,) * (self.values[x].ndim - 2)
        gamma, beta, mean, var = (value.astype("f8").reshape(axes) for value in given)
        value = (self.values[x] - mean) / np.sqrt(var + np.float32(EPS).astype("f8")) * gamma + beta
        return self.node("BatchNormalization", [x, *(self.constant(value) for value in given)], value, epsilon=EPS)

    def sign(self, x):
        return self.node("Sign", [x], np.where(self.values[x] >= 0, 1.0, -1.0))

    def greater(self, x, t=0.0):
        """x > t as +-1, by Where."""
        bits = self.node("Greater", [x, self.constant(t)], self.values[x] > t)
        value = np.where(self.values[x] > t, 1.0, -1.0)
        return self.node("Where", [bits, self.constant(1.0), self.constant(-1.0)], value)

    def add(self, x, y):
        return self.node("Add", [x, y], self.values[x] + self.values[y])

    def arithmetic(self, op, x, constant):
        c = np.asarray(constant, "f4")
        run = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op]
        return self.node(op, [x, self.constant(c)], run(self.values[x], c.astype("f8")))

    def prelu(self, x, slope):
        slope = np.asarray(slope, "f4").reshape(-1, 1, 1)
        value = self.values[x]
        return self.node("PRelu", [x, self.constant(slope)], np.where(value > 0, value, value * slope.astype("f8")))

    def relu(self, x):
        return self.node("Relu", [x], np.maximum(self.values[x], 0))

    def clip(self, x, low, high):
        return self.node("Clip", [x, self.constant(low), self.constant(high)], np.clip(self.values[x], low, high))

    def pool(self, x, kind, size, stride=None, pads=(0, 0, 0, 0)):
        stride = stride or size
        more = {"count_include_pad": 1} if kind == "whole" else {}
        return self.node("MaxPool" if kind == "max" else "AveragePool", [x],
                         pooled(self.values[x], size, stride, pads, kind), kernel_shape=list(size),
                         strides=list(stride), pads=list(pads), **more)

    def concat(self, *xs):
        return self.node("Concat", list(xs), np.concatenate([self.values[x] for x in xs], 1), axis=1)

    def mean(self, x):
        return self.node("GlobalAveragePool", [x], self.values[x].mean((2, 3), keepdims=True))

    def flatten(self, x):
        return self.node("Flatten", [x], self.values[x].reshape(len(self.values[x]), -1), axis=1)

    def gemm(self, x, weight, bias):
        weight, bias = np.asarray(weight, "f4"), np.asarray(bias, "f4")
        value = self.values[x] @ weight.astype("f8").T + bias.astype("f8")
        return self.node("Gemm", [x, self.constant(weight), self.constant(bias)], value, transB=1)


def signs(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


def norm_of(rng, n, size=1.0):
    return rng.uniform(0.5, 1.5, n) * signs(rng, n), rng.normal(0, 0.5, n), rng.normal(0, size, n), \
        rng.uniform(0.5, 2, n) * size**2


def residual(rng, images):
    """A ReAct-like net in small: a real convolution, shifts before signs, a shortcut, channels doubled, averages."""
    g = Graph(images)
    x = g.norm(g.conv("x", rng.normal(0, 0.1, (4, 2, 3, 3)), pads=(1,) * 4), *norm_of(rng, 4, 50))
    bits = g.sign(g.arithmetic("Add", x, rng.normal(0, 0.3, (1, 4, 1, 1))))
    y = g.norm(g.conv(bits, 0.3 * signs(rng, 4, 4, 3, 3), pads=(1,) * 4), *norm_of(rng, 4, 2))
    x = g.prelu(g.add(y, x), rng.uniform(0.1, 0.5, 4))
    bits = g.greater(x, 0.1)
    y = g.norm(g.conv(bits, signs(rng, 8, 4, 3, 3), pads=(1,) * 4, stride=(2, 2)), *norm_of(rng, 8, 5))
    short = g.pool(x, "average", (2, 2))
    x = g.add(g.concat(short, short), y)
    x = g.clip(x, -1, 1)
    g.output = g.gemm(g.flatten(g.mean(x)), rng.normal(0, 1, (3, 8)), rng.normal(0, 1, 3))
    return g


def dense_blocks(rng, images):
    """A binary DenseNet in small: maps side by side, pools of reals, a dense layer of bits on a map at the end."""
    g = Graph(images)
    x = g.relu(g.conv("x", rng.normal(0, 0.1, (3, 2, 3, 3)), rng.normal(0, 1, 3), pads=(1,) * 4))
    for _ in range(2):
        channels = g.values[x].shape[1]
        bits = g.sign(g.norm(x, *norm_of(rng, channels, 5)))
        y = g.conv(bits, signs(rng, 2, channels, 3, 3), pads=(1,) * 4)
        x = g.concat(x, y)
    x = g.pool(x, "max", (3, 3), (2, 2), (1,) * 4)
    x = g.pool(x, "whole", (2, 2), (1, 1), (1, 0, 0, 1))
    bits = g.flatten(g.sign(g.norm(x, *norm_of(rng, 7, 3))))
    g.output = g.gemm(bits, signs(rng, 3, 63), rng.normal(0, 1, 3))
    return g


def good_graphs(seed=0):
    """{name: the graph}."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, *SHAPE), np.uint8)
    return {make.__name__: make(rng, images) for make in (residual, dense_blocks)}
