"""A greedy adversary: few flipped weights of one layer that do change the class of an image.

What it finds bounds the fewest flips from above, as a certificate does from below. At each step the lead of the winner
over the strongest rival is followed back through the layers, each sign with the slope 1 / (T + 1), and the unit (of a
convolution: the weight) that promises most for each flip is flipped; then the network is evaluated again, exactly.

N images, U units in V words, P positions, F weights of a unit, C classes.
"""

import numpy as np

import bnnsim.kernels.analysis.spread as spread
from bnnsim.checks import check_images, check_int
from bnnsim.kernels import split
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.layer_sums import LayerSums
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import n_words, pack_signs, unpack_signs
from bnnsim.training.gradients import conv_dx, dense_dx

BLOCK_IMAGES = 64
MOST_STEPS = 1000


def breaking_flips(network, images, layer, most_steps=MOST_STEPS):
    """For each image a small set of weights of one layer whose flips change its class.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    layer : int
    most_steps : int
        Units, or weights of a convolution, that are tried one after the other.

    Returns
    -------
    list of int64 (k,), or None where none was found
        Numbers of weights in the order of the layer's +-1 array (U, F) or (K, kh, kw, C).

    References
    ----------
    A progressive bit search as in Rakin et al., ICCV 2019 [M], for binary weights; slopes and the search by units are
    ours.
    """
    if not isinstance(network, PackedNetwork):
        raise TypeError(f"network must be a PackedNetwork, got {type(network).__name__}")
    images, n_layers = check_images(images, network.input_shape), len(network.layers)
    layer = check_int("layer", layer, -n_layers, n_layers - 1) % n_layers
    most_steps, sums, found = check_int("most_steps", most_steps, 1), LayerSums(network), []
    for first in range(0, len(images), BLOCK_IMAGES):
        attack = (_Rows if layer == n_layers - 1 else _Units if network.layers[layer].kind == "dense" else _Taps)(
            sums, images[first:first + BLOCK_IMAGES], layer)
        found += attack.run(most_steps)
    return found


class _Attack:
    """A block of images under attack; subclasses flip something for some of the images, and say what it was."""

    def __init__(self, sums, images, i):
        self.sums, self.network, self.i, self.layer = sums, sums.network, i, sums.network.layers[i]
        self.x, self.h = (one[i] for one in sums.all(images))
        self.weights = unpack_signs(self.layer.words.reshape(-1, self.layer.words.shape[-1]), self.layer.n_in)
        self.weights = self.weights.reshape(self.layer.units, -1)
        self.clean = self.network.predict(images)
        self.flips = [[] for _ in images]

    def run(self, most_steps):
        """Sets of flips, None where the class still stands."""
        alive = np.arange(len(self.clean))
        for _ in range(most_steps):
            if len(alive) == 0:
                break
            x, h = self.later(alive)
            z = affine_scores(h[-1], *self.network.layers[-1].output_affine)
            standing = z.argmax(axis=1) == self.clean[alive]
            alive, z, x, h = alive[standing], z[standing], [a[standing] for a in x], [a[standing] for a in h]
            if len(alive) == 0:
                break
            z[np.arange(len(alive)), self.clean[alive]] = -np.inf
            going_on = self.step(alive, z.argmax(axis=1), x, h)
            for n in alive[~going_on]:
                self.flips[n] = None
            alive = alive[going_on]
        for n in alive:
            self.flips[n] = None
        return [None if one is None else np.array(one, np.int64) for one in self.flips]

    def slopes(self, alive, rival, x, h):
        """d lead / d output of layer i (N, ..., U) float32, for x and h of the layers behind it."""
        output, n = self.network.layers[-1], len(alive)
        signs = unpack_signs(output.words, output.n_in).astype(np.float32) * output.scale[:, None]
        slope = (signs[self.clean[alive]] - signs[rival]).astype(np.float32)
        for j in range(len(self.network.layers) - 2, self.i, -1):
            dh = self.through_sign(j, h[j - self.i - 1], slope.reshape(n, *self.network.bits_shape(j)[:-1], -1))
            layer, g = self.network.layers[j], self.sums.geometry[j]
            slope = dense_dx(dh, layer.words.copy(), layer.n_in) if g is None else \
                conv_dx(dh, layer.words.copy(), layer.n_in, g)
        return slope.reshape(n, *self.network.bits_shape(self.i)[:-1], -1)

    def through_sign(self, j, h, slope):
        """Slopes by outputs of layer j -> by its pre-activations h; of a window the largest entry has all of it."""
        layer = self.network.layers[j]
        d = h - layer.threshold
        steep = np.where(layer.inverted, -1, 1) / (np.where(d >= 0, d >> 1, ~d >> 1) + 1)
        if layer.kind == "dense" or layer.pool == 1:
            return (slope * steep).astype(np.float32)
        n, q, (height, width, units) = len(h), layer.pool, slope.shape[1:]
        part = (slice(None), slice(height * q), slice(width * q))
        cut = h[part].reshape(n, height, q, width, q, units)
        largest = cut == cut.max(axis=(2, 4), keepdims=True)
        out = np.zeros(h.shape, np.float32)
        out[part] = (largest * slope[:, :, None, :, None]).reshape(n, height * q, width * q, units) * steep[part]
        return out


class _Units(_Attack):
    """In a dense hidden layer: whole units, each for as many flips as carry it across its threshold."""

    def __init__(self, sums, images, i):
        super().__init__(sums, images, i)
        self.values = sums.patches(i, self.x)[:, 0] if i == 0 else \
            unpack_signs(self.x, self.layer.n_in).astype(np.int16)
        self.order = np.argsort(-np.abs(self.values), axis=1, kind="stable").astype(np.int32)
        self.cost = np.empty((len(images), 1, self.layer.units), np.int32)
        split(spread.pixel_costs, len(images), self.values[:, None], self.order[:, None], self.layer.words.copy(),
              self.h[:, None], self.layer.threshold.copy(), self.cost)
        self.cost = self.cost[:, 0].astype(float)
        self.cost[self.cost == spread.NEVER] = np.inf
        self.bits = self.network.forward(i).bits(self.x)

    def later(self, alive):
        return self.sums.behind(self.i + 1, self.bits[alive])

    def step(self, alive, rival, x, h):
        slope = self.slopes(alive, rival, x, h)
        y = unpack_signs(self.bits[alive], self.layer.units)
        best = (y * slope / self.cost[alive]).argmax(axis=1)
        going_on = np.isfinite(self.cost[alive, best])
        for n, u in zip(alive[going_on], best[going_on]):
            above = self.h[n, u] >= self.layer.threshold[u]
            summands = (self.weights[u] * self.values[n])[self.order[n]]
            which = self.order[n][(summands > 0) if above else (summands < 0)][:int(self.cost[n, u])]
            self.flips[n] += (u * self.layer.n_in + which).tolist()
        at, units = alive[going_on], best[going_on]
        self.bits[at, units >> 6] ^= np.uint64(1) << (units & 63).astype(np.uint64)
        self.cost[at, units] = np.inf
        return going_on


class _Taps(_Attack):
    """In a convolution: one weight after the other."""

    def __init__(self, sums, images, i):
        super().__init__(sums, images, i)
        self.patches = sums.patches(i, self.x)
        self.tried = np.zeros((len(images), *self.weights.shape), bool)
        self.inverted = pack_signs(np.where(self.layer.inverted, 1, -1).astype(np.int8)[None])[0]

    def later(self, alive):
        _, height, width, units = self.h.shape
        q = self.layer.pool
        above = self.h[alive] >= self.layer.threshold
        above = above[:, :height // q * q, :width // q * q].reshape(len(alive), height // q, q, width // q, q, units)
        words = pack_signs(np.where(above.any(axis=(2, 4)), 1, -1).astype(np.int8).reshape(-1, units))
        bits = words.reshape(len(alive), height // q, width // q, n_words(units)) ^ self.inverted
        return self.sums.behind(self.i + 1, bits)

    def step(self, alive, rival, x, h):
        dh = self.through_sign(self.i, self.h[alive], self.slopes(alive, rival, x, h))
        dh = dh.reshape(len(alive), -1, self.layer.units)
        gain = np.matmul(dh.transpose(0, 2, 1), self.patches[alive].astype(np.float32)) * self.weights
        gain = np.where(self.tried[alive], -np.inf, gain).reshape(len(alive), -1)
        best = gain.argmax(axis=1)
        going_on = gain[np.arange(len(alive)), best] > -np.inf
        for n, number in zip(alive[going_on], best[going_on]):
            u, f = divmod(int(number), self.weights.shape[1])
            self.h[n, ..., u] -= (2 * self.weights[u, f] * self.patches[n, :, f].astype(np.int32)).reshape(
                self.h.shape[1:3])
            self.tried[n, u, f] = True
            self.flips[n].append(int(number))
        return going_on


class _Rows(_Attack):
    """In the last layer: weights of the winner's and the strongest rival's row, the largest gains first."""

    def __init__(self, sums, images, i):
        super().__init__(sums, images, i)
        self.values = sums.patches(0, self.x)[:, 0].astype(np.int32) if i == 0 else \
            unpack_signs(self.x, self.layer.n_in).astype(np.int32)
        self.tried = np.zeros((len(images), *self.weights.shape), bool)

    def later(self, alive):
        return [], [self.h[alive]]

    def step(self, alive, rival, x, h):
        rows, gain = np.arange(len(alive)), np.zeros((len(alive), *self.weights.shape))
        for classes, sign in ((self.clean[alive], 1), (rival, -1)):
            gain[rows, classes] = sign * self.layer.scale[classes, None] * self.weights[classes] * self.values[alive]
        gain = np.where(self.tried[alive], -np.inf, gain).reshape(len(alive), -1)
        best = gain.argmax(axis=1)
        going_on = gain[rows, best] > 0
        at, (u, f) = alive[going_on], np.divmod(best[going_on], self.weights.shape[1])
        self.h[at, u] -= 2 * self.weights[u, f] * self.values[at, f]
        self.tried[at, u, f] = True
        for n, number in zip(at, best[going_on]):
            self.flips[n].append(int(number))
        return going_on
