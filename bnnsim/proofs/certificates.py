"""Certificates: how many flipped weights provably cannot change the class of an image, whichever they are.

Flips of the last layer's weights are counted out exactly, with its batch norm. For flips in a hidden layer, or
anywhere, a bound is propagated layer by layer, and is never too large: k flips change at most as many units as have the
smallest tolerances T with sum(T + 1) <= k; each changes the summands it enters by 2; a unit behind them changes only
where more than T of the summands that hold it on its side can change; and what changes in the last hidden layer brings
each rival closer by what its own weights say. Convolutions share a weight between positions: a flip counts for a whole
feature map.

N images, L layers, R questions (image, number of flips) asked at once, C classes, U units in V words, P positions.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import bnnsim.kernels.analysis.leads as leads
import bnnsim.kernels.analysis.spread as spread
import bnnsim.packed.words as operands
from bnnsim.checks import check_images, check_int, check_labels
from bnnsim.kernels import split
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.layer_sums import LayerSums
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import pack_signs, repack, unpack_signs

BLOCK_IMAGES = 128                  # images whose pre-activations are kept at a time
SINGLE_IMAGES = 8                   # images whose single flips are tried at a time
SLACK = 1e-12                       # of the largest score: rounding in float64 must not certify


@dataclass(frozen=True, eq=False)
class Certificates:
    """Flips that cannot change the class of each image.

    Attributes
    ----------
    layers : int64 (N, L)
        Flips confined to one layer; the last column is exact, the others are lower bounds. A layer's number of weights
        where no flips of it change the class.
    whole : int64 (N,)
        Flips anywhere in the network, a lower bound.
    predictions : int64 (N,)
        Class without flips.
    """

    layers: np.ndarray
    whole: np.ndarray
    predictions: np.ndarray

    def accuracy(self, labels, flips, layer=None):
        """Certified accuracy: the share of images that are right, and stay so under any `flips` flips.

        Parameters
        ----------
        labels : integer (N,)
        flips : sequence of int (K,)
        layer : int, optional
            Flips confined to this layer; anywhere without it.

        Returns
        -------
        float64 (K,)
        """
        known = self.flips(layer)
        right = self.predictions == check_labels(labels, len(known), 256)
        flips = [check_int(f"flips[{i}]", k, 0) for i, k in enumerate(flips)]
        return np.array([np.mean(right & (known >= k)) for k in flips])

    def flips(self, layer=None):
        """int64 (N,): of a layer, or of the whole network."""
        if layer is None:
            return self.whole
        return self.layers[:, check_int("layer", layer, -self.layers.shape[1], self.layers.shape[1] - 1)]


def certified_flips(network, images, singles=False):
    """How many flipped weights provably leave each image's class alone.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    singles : bool
        Try every single flip in a convolution where the bound gives 0, which it mostly does there: then 0 and 1 are
        told apart exactly. It takes some hundred forward passes an image.

    Returns
    -------
    Certificates

    Raises
    ------
    TypeError, ValueError
        Where the network is none, or the images do not fit it.

    References
    ----------
    Buschjaeger et al., arXiv:2002.00909, theorem 1 and eq. (2) (T of a unit) [V, the formula R]; last layer:
    docs/equations.rst 6.2, with an output batch norm [D, checked by enumeration]; the propagation between
    layers, the pooled bound and the sum over layers are ours [D, checked by enumeration].
    """
    if not isinstance(network, PackedNetwork):
        raise TypeError(f"network must be a PackedNetwork, got {type(network).__name__}")
    images = check_images(images, network.input_shape)
    n, sums = len(images), LayerSums(network)
    found = Certificates(np.zeros((n, len(network.layers)), np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64))
    for first in range(0, n, BLOCK_IMAGES):
        part = slice(first, min(first + BLOCK_IMAGES, n))
        block = _Block(sums, images[part])
        found.predictions[part] = block.y
        found.layers[part], found.whole[part] = block.certificates(singles)
    return found


class _Block:
    """The images of one block: what layers read and sum up, and by how much each rival is behind."""

    def __init__(self, sums, images):
        self.sums, self.layers, self.images = sums, sums.network.layers, images
        self.x, self.h = sums.all(images)
        self.last = len(self.layers) - 1
        output = self.layers[-1]
        self.norm = np.stack(output.output_affine)
        z = affine_scores(self.h[-1], *output.output_affine)
        self.y = z.argmax(axis=1)
        self.scale = self.norm[1].copy()
        size = np.abs(self.scale) * (np.abs(self.h[-1]).max(initial=0) + 2 * sums.largest(self.last)
                                     + np.abs(self.norm[0])) + np.abs(self.norm[2])
        rows = np.arange(len(z))
        self.lead = z[rows, self.y][:, None] - z - SLACK * (size[self.y][:, None] + size)
        self.lead[rows, self.y] = np.inf
        self.all_rows = rows

    def certificates(self, singles):
        """(layers (N, L), whole (N,))."""
        most = np.array([layer.n_bits for layer in self.layers])
        fewest = self._last_flips()
        by_layer = np.zeros((len(self.y), len(self.layers)), np.int64)
        by_layer[:, -1] = np.minimum(fewest - 1, most[-1])
        for i in range(self.last):
            by_layer[:, i] = self._largest(i, most[i])
            if singles and self.layers[i].kind == "conv":
                by_layer[:, i] = np.maximum(by_layer[:, i], self._single_flips(i, np.flatnonzero(by_layer[:, i] == 0)))
        whole = np.maximum(self._whole(by_layer[:, -1]), np.minimum(by_layer.min(axis=1), 1))
        never = fewest == spread.NEVER                         # not even all weights of the last layer: so nothing can
        by_layer[never], whole[never] = most, most.sum()
        return np.maximum(by_layer, np.minimum(whole[:, None], most)), whole

    # ------------------------------------------------------------ the last layer

    def _last_flips(self):
        out, layer, h = np.empty(len(self.y), np.int64), self.layers[-1], self.h[-1].astype(np.int64)
        if self.last:
            split(leads.last_flips, len(out), layer.n_in, h, self.y, self.norm, out)
        else:
            values, order = self._patches(0)
            split(leads.last_flips_pixels, len(out), values[:, 0], order[:, 0], layer.words.copy(), h, self.y,
                  self.norm, out)
        return out

    # ------------------------------------------------------------ own weights of a hidden layer

    def _patches(self, i):
        """What each position of layer 0 sums up, int16 (N, P, F), and the places of its largest magnitudes first."""
        values = self.sums.patches(0, self.images)
        order = np.argsort(-np.abs(values), axis=2, kind="stable").astype(np.int32)
        return values, order

    def _costs(self, i):
        """Flips of layer i's weights that change each of its outputs: int32 (N, U) or (N, PH, PW, K)."""
        layer, h = self.layers[i], self.h[i]
        if i == 0:
            values, order = self._patches(0)
            words = layer.words.copy()
            if layer.kind == "conv":
                words = repack(words.reshape(len(words), -1, words.shape[-1]), layer.n_in)
            cost = np.empty((*values.shape[:2], layer.units), np.int32)
            split(spread.pixel_costs, len(cost), values, order, words, h.reshape(cost.shape), layer.threshold.copy(),
                  cost)
            cost = cost.reshape(h.shape)
        else:
            d = h.astype(np.int64) - layer.threshold
            cost = np.where(d >= 0, d >> 1, ~d >> 1) + 1
            pushing = (self.sums.n_summands(i) + np.where(d >= 0, h, -h)) >> 1
            cost = np.where(cost > pushing, spread.NEVER, cost).astype(np.int32)
        if layer.kind == "dense":
            return cost
        _, height, width, units = h.shape
        out = np.empty((len(h), height // layer.pool, width // layer.pool, units), np.int32)
        split(spread.pool_costs, len(h), h, layer.threshold.copy(), cost, layer.pool, out)
        return out

    @cached_property
    def _own(self):
        """Of each hidden layer: the costs, and of a dense one their sums, the least first."""
        found = []
        for i in range(self.last):
            cost = self._costs(i)
            found.append((cost, np.cumsum(np.sort(cost, axis=1), axis=1, dtype=np.int64) if cost.ndim == 2 else None))
        return found

    @cached_property
    def _cost_counts(self):
        """Of a dense last hidden layer: units by kind of gain and cost, see `leads.cost_counts`."""
        cost = self._own[-1][0]
        dearest = int(cost[cost < spread.NEVER].max(initial=0))
        out = np.empty((len(cost), len(self.scale), 2, dearest + 1), np.int32)
        split(leads.cost_counts, len(cost), self.x[-1], cost, self.layers[-1].words.copy(), self.y, self.scale, out)
        return out

    def _changed(self, i, rows, budget):
        """Outputs of layer i that budget (R,) flips of its weights can change, and how many of them at once."""
        cost, sums = self._own[i]
        can = cost[rows] <= budget.reshape(-1, *[1] * (cost.ndim - 1))
        if sums is not None:
            return _pack(can), (sums[rows] <= budget[:, None]).sum(axis=1)
        by_map = np.cumsum(-np.sort(-can.sum(axis=(1, 2)), axis=1), axis=1)          # the largest maps first
        return _pack(can), by_map[np.arange(len(rows)), np.minimum(budget, by_map.shape[1]) - 1]

    # ------------------------------------------------------------ from layer to layer

    def _spread(self, i, rows, reached, most, own):
        """Outputs of layer i that can change: see `kernels.spread`."""
        layer, reached = self.layers[i], self.sums.network.flattened(i, reached)
        shape = self.sums.network.bits_shape(i)
        out = np.zeros((len(rows), *shape), np.uint64)
        args = (rows, self.x[i], reached, layer.words.copy(), self.h[i], layer.threshold.copy(), most, own)
        if layer.kind == "dense":
            split(spread.spread_dense, len(rows), *args, out)
        else:
            split(spread.spread_conv, len(rows), *args, self.sums.geometry[i], layer.pool, out)
        return out

    def _gains(self, rows, reached, most):
        """What rivals gain (R, C) where at most most (R,) of the outputs `reached` of the last hidden layer change."""
        out, reached = np.empty((len(rows), len(self.scale))), self.sums.network.flattened(self.last, reached)
        split(leads.input_gains, len(rows), rows, self.x[-1], reached, most, self.layers[-1].words.copy(), self.y,
              self.scale, out)
        return out

    def _own_gains(self, rows, budget):
        """What rivals gain (R, C) by budget (R,) flips in the last hidden layer."""
        if self.layers[self.last - 1].kind == "conv":
            return self._gains(rows, *self._changed(self.last - 1, rows, budget))
        out = np.empty((len(rows), len(self.scale)))
        split(leads.bought_gains, len(rows), rows, self._cost_counts, budget, self.y, self.scale, out)
        return out

    def _through(self, i, rows, reached, most):
        """What rivals gain (R, C) where most (R,) of the outputs `reached` of layer i change, and nothing else."""
        for j in range(i + 1, self.last):
            reached = self._spread(j, rows, reached, most, np.zeros(len(rows), np.int64))
            most = _count(reached)
        return self._gains(rows, reached, most)

    # ------------------------------------------------------------ the searches

    def _holds(self, i, rows, budget):
        """Whether budget (R,) flips in layer i certainly leave the classes of rows (R,) alone."""
        gains = self._own_gains(rows, budget) if i == self.last - 1 else \
            self._through(i, rows, *self._changed(i, rows, budget))
        return (gains < self.lead[rows]).all(axis=1)

    def _largest(self, i, most):
        """The largest number of flips that holds (N,), by doubling and bisection: what holds for k holds for less."""
        low, high = np.zeros(len(self.y), np.int64), np.full(len(self.y), most + 1, np.int64)
        step, doubling = low + 1, low == 0
        while True:
            rows = np.flatnonzero(high - low > 1)
            if len(rows) == 0:
                return low
            budget = np.where(doubling, np.minimum(step, most), (low + high) // 2)[rows]
            holds = self._holds(i, rows, budget)
            low[rows[holds]], high[rows[~holds]] = budget[holds], budget[~holds]
            doubling[rows[~holds]] = False
            step *= 2

    def _single_flips(self, i, rows):
        """1 for those images of rows whose class no single flip in convolution i changes, by trying; 0 else (N,)."""
        layer, cost, g = self.layers[i], self._own[i][0], self.sums.geometry[i]
        weights = unpack_signs(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in)
        weights, theta, out = weights.reshape(layer.units, -1), layer.threshold.copy(), np.zeros(len(self.y), np.int64)
        clean = self.sums.network.forward(i)
        for first in range(0, len(rows), SINGLE_IMAGES):
            at = rows[first:first + SINGLE_IMAGES]
            patches = self.sums.patches(i, self.x[i][at])
            n_words = operands.n_words(cost.shape[1] * cost.shape[2])
            found = np.empty((len(at), layer.units, layer.fan_in, n_words), np.uint64)
            count = np.zeros((len(at), layer.units), np.int64)
            h = self.h[i][at].reshape(len(at), -1, layer.units)
            split(spread.flip_patterns, len(at), patches, weights, h, theta, cost[at], g.out_width, layer.pool, found,
                  count)
            image, unit, which = np.nonzero(np.arange(layer.fan_in) < count[..., None])
            bits = clean.bits(self.x[i][at])[image]
            _invert(bits, found[image, unit, which], unit)
            classes = np.empty(len(bits), np.int64)
            split(self._classes, len(bits), i + 1, bits, classes)
            out[at] = 1
            out[at[image[classes != self.y[at[image]]]]] = 0
        return out

    def _classes(self, i, bits, out, start, stop):
        """Classes of the images whose bits before layer i are given, in the calling thread."""
        network = self.sums.network
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            x = bits[block]
            for j in range(i, self.last):
                x = network.forward(j).bits(network.flattened(j, x))
            scores = np.empty((len(x), network.n_classes))
            network.output(network.flattened(self.last, x), scores)
            out[block] = scores.argmax(axis=1)

    def _whole(self, most):
        """Flips anywhere (N,), at most `most` (N,).

        The worst share-out of k flips over the layers, by dynamic programming over k: what moves a layer is the most,
        over q, that k - q flips before it change, plus q flips of its own weights.
        """
        out, alive = np.zeros(len(self.y), np.int64), np.flatnonzero(most > 0)
        moved = np.zeros((self.last, len(self.y)), np.int64)    # of layer i + 1: changed inputs plus flips
        gained = np.zeros(self.lead.shape)
        price = 2 * np.maximum(np.abs(self.scale)[self.y][:, None], np.abs(self.scale))
        k = 0
        while len(alive) and self.last:
            k += 1
            budget = np.full(len(alive), k, np.int64)
            reached, count = self._changed(0, alive, budget)
            for i in range(1, self.last):
                moved[i - 1, alive] = np.maximum(count, moved[i - 1, alive] + 1)
                reached = self._spread(i, alive, reached, moved[i - 1, alive], budget)
                count = _count(reached)
            gains = self._own_gains(alive, budget) if self.last == 1 else self._gains(alive, reached, count)
            gained[alive] = np.maximum(gains, gained[alive] + price[alive])
            alive = alive[(gained[alive] < self.lead[alive]).all(axis=1) & (k <= most[alive])]
            out[alive] = k
        return out if self.last else most


def _pack(can):
    """bool (R, ..., U) -> words (R, ..., V)."""
    words = pack_signs(np.where(can, 1, -1).astype(np.int8).reshape(-1, can.shape[-1]))
    return words.reshape(*can.shape[:-1], words.shape[-1])


def _invert(bits, patterns, unit):
    """Invert, in bits (R, PH, PW, V), unit[r] at the positions whose bits are 1 in patterns (R, ceil(P / 64))."""
    rows = bits.reshape(len(bits), bits.shape[1] * bits.shape[2], bits.shape[3])
    where = np.unpackbits(patterns.view(np.uint8), axis=1, count=rows.shape[1], bitorder="little").astype(np.uint64)
    rows[np.arange(len(rows)), :, unit >> 6] ^= where << (unit & 63).astype(np.uint64)[:, None]


def _count(words):
    """Ones of each row (R,)."""
    return np.bitwise_count(words).reshape(len(words), -1).sum(axis=1, dtype=np.int64)
