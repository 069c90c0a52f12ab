"""What straight-through gradients are the slopes of: a model in float64, each sign replaced by its tangent.

At a point of the parameters every sign s(x) is s(x0) + g(x0) (x - x0), with g the pseudo-gradient of its estimator,
every latent weight sign(w0) + w - w0, and every max-pool reads the entry that won there, the first of several. That is
smooth: central differences of it are the gradients that training promises. Imports nothing from bnnsim.
"""

import naive_geometry as geometry
import numpy as np

PSEUDO = {"Clipped": lambda x: (np.abs(x) <= 1) * 1.0, "Identity": np.ones_like,
          "ApproxSign": lambda x: np.maximum(2 - 2 * np.abs(x), 0),
          "SwishSign": lambda x: 5 * (2 - 5 * x * np.tanh(2.5 * x)) / (1 + np.cosh(5 * x))}       # beta is 5


def padded(x, sides, value=0.0):
    top, left, bottom, right = sides
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def conv(x, weight, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, value=0.0):
    """float64 maps; K in groups."""
    units, kh, kw, n_in = weight.shape
    rows = np.array(geometry.places(x.shape[1], kh, stride[0], dilation[0], padding[0], padding[2]))
    columns = np.array(geometry.places(x.shape[2], kw, stride[1], dilation[1], padding[1], padding[3]))
    read = padded(x, padding, value)[:, rows[:, None, :, None], columns[None, :, None, :]]
    parts = [np.einsum("nijabc,kabc->nijk", read[..., g * n_in:(g + 1) * n_in], part)
             for g, part in enumerate(np.split(weight, groups))]
    return np.concatenate(parts, axis=-1)


class Surrogate:
    """Scores of a model's batch as a function of its parameters, tangent at those that it has now."""

    def __init__(self, model, images):
        self.model, self.images, self.fixed = model, images, {}
        self.at = self.parameters()
        self.scores = self(self.at)                             # fills `fixed`: signs, slopes, winners

    def parameters(self):
        return {f"{i}.{name}": value.astype(np.float64) for i, layer in enumerate(self.model.layers)
                for name, value in layer.parameters.items()}

    def __call__(self, parameters):
        values = []
        for i, (layer, inputs) in enumerate(zip(self.model.layers, self.model.inputs)):
            read = [self.images if at < 0 else values[at] for at in inputs]
            own = {name.split(".", 1)[1]: value for name, value in parameters.items() if name.startswith(f"{i}.")}
            values.append(getattr(self, type(layer).__name__)(i, layer, own, *read))
        return values[-1]

    def differences(self, dscores, name, indices, step=1e-7):
        """The slopes of sum(dscores * scores) along entries of a parameter."""
        found = []
        for index in indices:
            ends = []
            for sign in (1, -1):
                moved = {key: value.copy() if key == name else value for key, value in self.at.items()}
                moved[name].reshape(-1)[index] += sign * step
                ends.append((dscores * self(moved)).sum())
            found.append((ends[0] - ends[1]) / (2 * step))
        return np.array(found)

    @classmethod
    def of_layer(cls, layer, *inputs):
        """(f, inputs and parameters float64 by name): f gives what the layer alone makes of such a dict."""
        alone = object.__new__(cls)
        at = {str(i): x.astype(np.float64) for i, x in enumerate(inputs)}
        at |= {name: value.astype(np.float64) for name, value in layer.parameters.items()}
        alone.at, alone.fixed = {f"0.{name}": value for name, value in at.items()}, {}

        def f(values):
            return getattr(alone, type(layer).__name__)(0, layer, values, *(values[str(i)] for i in range(len(inputs))))

        f(at)
        return f, at

    # ------------------------------------------------------------ bits

    def sign(self, i, x, ste):
        x0, slope = self.fixed.setdefault(i, (x, PSEUDO[type(ste).__name__](x)))
        return np.where(x0 >= 0, 1.0, -1.0) + slope * (x - x0)

    def latent(self, i, weight):
        return np.where(self.at[f"{i}.weight"] >= 0, 1.0, -1.0) + weight - self.at[f"{i}.weight"]

    def Conv2d(self, i, layer, own, x):
        return conv(x, self.latent(i, own["weight"]), layer.stride, layer.padding, layer.dilation, layer.groups,
                    layer.pad_value)

    def InputConv2d(self, i, layer, own, images):
        return self.Conv2d(i, layer, own, images.transpose(0, 2, 3, 1) - float(layer.offset))

    def Dense(self, i, layer, own, x):
        return x @ self.latent(i, own["weight"]).T

    def Flatten(self, i, layer, own, x):
        return x.reshape(len(x), -1)

    def Sign(self, i, layer, own, x):
        return self.sign(i, x - own.get("threshold", layer.threshold.astype(np.float64)), layer.ste)

    def BatchNormSign(self, i, layer, own, h):
        return self.sign(i, self.BatchNorm(i, layer, own, h), layer.ste)

    def BatchNorm(self, i, layer, own, h):
        axes = tuple(range(h.ndim - 1))
        return (h - h.mean(axes)) / np.sqrt(h.var(axes) + layer.eps) * own["gamma"] + own["beta"]

    BatchNormReal = BatchNorm

    # ------------------------------------------------------------ windows

    def largest(self, i, x, size, stride, padding):
        found = geometry.windows(x.shape[1:3], size, stride, padding)
        if i not in self.fixed:
            self.fixed[i] = [[np.argmax([x[:, r, c] for r, c in entries], axis=0) for entries in row] for row in found]
        out = np.empty((len(x), len(found), len(found[0]), x.shape[3]))
        for a, row in enumerate(found):
            for b, entries in enumerate(row):
                each = np.array([x[:, r, c] for r, c in entries])
                out[:, a, b] = np.take_along_axis(each, self.fixed[i][a][b][None], 0)[0]
        return out

    def MaxPool2d(self, i, layer, own, h):
        return self.largest(i, h, layer.windows[:2], layer.windows[2:4], layer.windows[4:])

    def RealMaxPool2d(self, i, layer, own, x):
        return self.largest(i, x, layer.size, layer.stride, layer.padding)

    def AveragePool2d(self, i, layer, own, x):
        found = geometry.windows(x.shape[1:3], layer.size, layer.stride, layer.padding)
        n = layer.size[0] * layer.size[1]
        return np.array([[np.sum([x[:, r, c] for r, c in entries], axis=0) / (n if layer.whole else len(entries))
                          for entries in row] for row in found]).transpose(2, 0, 1, 3)

    def GlobalAverage(self, i, layer, own, x):
        return x.mean((1, 2))

    # ------------------------------------------------------------ reals

    def Pixels(self, i, layer, own, images):
        return images.transpose(0, 2, 3, 1) * layer.scale.astype(np.float64) + layer.shift

    def PReLU(self, i, layer, own, x):
        return np.where(x > 0, x, x * own["slope"])

    def HardTanh(self, i, layer, own, x):
        return np.clip(x, float(layer.low), float(layer.high))

    ReLU = HardTanh

    def ScaleShift(self, i, layer, own, x):
        return x * own.get("scale", 1.0) + own.get("shift", 0.0)

    def RealConv2d(self, i, layer, own, x):
        return conv(x, own["kernel"], layer.stride, layer.padding, layer.dilation, layer.groups) + own.get("bias", 0.0)

    def RealDense(self, i, layer, own, x):
        return x.reshape(len(x), -1) @ own["kernel"].T + own["bias"]

    def Add(self, i, layer, own, *maps):
        return sum(maps[1:], maps[0])

    def Concatenate(self, i, layer, own, *maps):
        return np.concatenate(maps, axis=-1)
