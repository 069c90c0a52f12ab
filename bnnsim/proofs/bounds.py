"""Bounds of certificates: how many flips leave the classes of a block of images alone, layer by layer and anywhere.

N images, L layers, R questions (image, number of flips) asked at once, C classes, U units in V words, P positions, Q
after pooling.
"""

from functools import cached_property

import numpy as np

import bnnsim.kernels.analysis.leads as leads
import bnnsim.kernels.analysis.reach as reach
import bnnsim.proofs.shared_weights as shared_weights
from bnnsim.kernels import split
from bnnsim.packed.blocks import reads
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.tolerance import NEVER, tolerance
from bnnsim.packed.words import n_words, pack_bits, unpack_bits, unpack_signs

BLOCK_IMAGES = 128                  # images that a thread takes through the layers behind a flip at a time
SINGLE_IMAGES = 8                   # images whose single flips are tried at a time
SLACK = 1e-12                       # of the largest score: rounding in float64 must not certify


class BlockBounds:
    """The images of one block: what layers read and sum up, and by how much each rival is behind."""

    def __init__(self, network: PackedNetwork, images: np.ndarray) -> None:
        self.network, self.stages, self.images = network, network.stages, images
        self.x = reads(network, images)
        self.h = [stage.sums(x) for stage, x in zip(self.stages, self.x)]
        self.last = len(self.stages) - 1
        self.output = self.stages[-1].layer
        self.norm = np.stack(self.output.output_affine)
        scores = self.h[-1][:, 0]
        z = affine_scores(scores, *self.norm)
        self.y = z.argmax(axis=1)
        self.scale = self.norm[1].copy()
        size = np.abs(self.scale) * (np.abs(scores).max(initial=0) + 2 * self.stages[-1].bound
                                     + np.abs(self.norm[0])) + np.abs(self.norm[2])
        rows = np.arange(len(z))
        self.lead = z[rows, self.y][:, None] - z - SLACK * (size[self.y][:, None] + size)
        self.lead[rows, self.y] = np.inf

    def certificates(self, singles: bool, shared: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(layers (N, L), whole (N,))."""
        most = np.array([stage.layer.n_bits for stage in self.stages])
        fewest = self._last_flips()
        by_layer = np.zeros((len(self.y), len(self.stages)), np.int64)
        by_layer[:, -1] = np.minimum(fewest - 1, most[-1])
        for i in range(self.last):
            by_layer[:, i] = self._largest(i, most[i])
            if shared and self.stages[i].shares_weights:
                by_layer[:, i] = shared_weights.certified(self, i, by_layer[:, i])
            if singles and self.stages[i].shares_weights:
                by_layer[:, i] = np.maximum(by_layer[:, i], self._single_flips(i, np.flatnonzero(by_layer[:, i] == 0)))
        whole = np.maximum(self._whole(by_layer[:, -1]), np.minimum(by_layer.min(axis=1), 1))
        never = fewest == NEVER                                # not even all weights of the last layer: so nothing can
        by_layer[never], whole[never] = most, most.sum()
        return np.maximum(by_layer, np.minimum(whole[:, None], most)), whole

    # ------------------------------------------------------------ the last layer

    def _last_flips(self) -> np.ndarray:
        stage, out, h = self.stages[-1], np.empty(len(self.y), np.int64), self.h[-1][:, 0].astype(np.int64)
        if stage.reads_pixels:
            values = stage.patches(self.images)[:, 0]
            order = np.argsort(-np.abs(values), axis=1, kind="stable").astype(np.int32)
            split(leads.last_flips_pixels, len(out), values, order, self.output.words.copy(), h, self.y, self.norm, out)
        else:
            split(leads.last_flips, len(out), self.output.n_in, h, self.y, self.norm, out)
        return out

    # ------------------------------------------------------------ own weights of a hidden layer

    @cached_property
    def _costs(self) -> list[np.ndarray]:
        """Of each hidden layer: flips of its weights that change each output, T + 1, int32 (N, Q, U)."""
        found = [tolerance(stage, x, h) for stage, x, h in zip(self.stages[:-1], self.x, self.h)]
        return [np.where(t == NEVER, np.int32(NEVER), t + np.int32(1)) for t in found]

    @cached_property
    def _cost_sums(self) -> list[np.ndarray | None]:
        """Of each dense hidden layer: what its units cost together, the cheapest first, int64 (N, U)."""
        return [None if stage.shares_weights else np.cumsum(np.sort(cost[:, 0], axis=1), axis=1, dtype=np.int64)
                for stage, cost in zip(self.stages, self._costs)]

    @cached_property
    def _cost_counts(self) -> np.ndarray:
        """Of a dense last hidden layer: units by kind of gain and cost, see `leads.cost_counts`."""
        cost = self._costs[-1][:, 0]
        dearest = int(cost[cost < NEVER].max(initial=0))
        out = np.empty((len(cost), len(self.scale), 2, dearest + 1), np.int32)
        split(leads.cost_counts, len(cost), self.x[-1], cost, self.output.words.copy(), self.y, self.scale, out)
        return out

    def _changed(self, i: int, rows: np.ndarray, budget: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of layer i that budget (R,) flips of its weights can change, and how many of them at once."""
        can, sums = self._costs[i][rows] <= budget[:, None, None], self._cost_sums[i]
        words = pack_bits(can).reshape(len(rows), *self.stages[i].bits_shape)
        if sums is not None:
            return words, (sums[rows] <= budget[:, None]).sum(axis=1)
        by_map = np.cumsum(-np.sort(-can.sum(axis=1), axis=1), axis=1)               # the largest maps first
        return words, by_map[np.arange(len(rows)), np.minimum(budget, by_map.shape[1]) - 1]

    # ------------------------------------------------------------ from layer to layer

    @cached_property
    def _taps(self) -> dict[int, tuple[np.ndarray, np.ndarray, int]]:
        """Of each convolution behind another: its weights and masks as `reach_conv` reads them, and `_repeats`."""
        return {stage.index: (*_over_all_channels(stage), _repeats(stage)) for stage in self.stages[1:-1]
                if stage.shares_weights}

    def _reached(self, i: int, rows: np.ndarray, reached: np.ndarray, most: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Outputs of layer i that can change: see `kernels.analysis.reach`."""
        stage, h = self.stages[i], self.h[i]
        out = np.zeros((len(rows), *stage.bits_shape), np.uint64)
        args = (rows, self.x[i], stage.read(reached))
        if stage.shares_weights:
            words, masks, repeats = self._taps[i]
            h = h.reshape(len(h), *stage.map_shape, -1)
            split(reach.reach_conv, len(rows), *args, words, masks, h, stage.theta, repeats * most, own,
                  stage.geometry, stage.layer.windows, out)
        else:
            split(reach.reach_dense, len(rows), *args, stage.layer.words.copy(), h[:, 0], stage.theta, most, own, out)
        return out

    def _gains(self, rows: np.ndarray, reached: np.ndarray, most: np.ndarray) -> np.ndarray:
        """What rivals gain (R, C) where at most most (R,) of the outputs `reached` of the last hidden layer change."""
        out, reached = np.empty((len(rows), len(self.scale))), self.stages[-1].read(reached)
        split(leads.input_gains, len(rows), rows, self.x[-1], reached, most, self.output.words.copy(), self.y,
              self.scale, out)
        return out

    def _own_gains(self, rows: np.ndarray, budget: np.ndarray) -> np.ndarray:
        """What rivals gain (R, C) by budget (R,) flips in the last hidden layer."""
        if self.stages[-2].shares_weights:
            return self._gains(rows, *self._changed(self.last - 1, rows, budget))
        out = np.empty((len(rows), len(self.scale)))
        split(leads.bought_gains, len(rows), rows, self._cost_counts, budget, self.y, self.scale, out)
        return out

    def _through(self, i: int, rows: np.ndarray, reached: np.ndarray, most: np.ndarray) -> np.ndarray:
        """What rivals gain (R, C) where most (R,) of the outputs `reached` of layer i change, and nothing else."""
        for j in range(i + 1, self.last):
            reached = self._reached(j, rows, reached, most, np.zeros(len(rows), np.int64))
            most = _count(reached)
        return self._gains(rows, reached, most)

    # ------------------------------------------------------------ by shared weights

    def input_gains_of(self, n: int) -> np.ndarray:
        """What each rival of image n gains where one output of the last hidden layer changes, or 0: (F, C)."""
        signs, y = self.stages[-1].layer.signs().astype(np.float64), self.y[n]
        held = unpack_signs(self.stages[-1].read(self.x[-1][n:n + 1]), self.output.n_in)[0][:, None]
        return np.maximum(2 * held * (signs[y] * self.scale[y] - signs * self.scale[:, None]).T, 0.0)

    def holds_for(self, i: int, n: int, budget: int, most: int) -> bool:
        """Whether budget flips in layer i, which change at most `most` of its outputs, leave the class of image n."""
        rows = np.array([n])
        reached, known = self._changed(i, rows, np.array([budget]))
        return bool((self._through(i, rows, reached, np.minimum(known, most)) < self.lead[rows]).all())

    # ------------------------------------------------------------ the searches

    def _holds(self, i: int, rows: np.ndarray, budget: np.ndarray) -> np.ndarray:
        """Whether budget (R,) flips in layer i certainly leave the classes of rows (R,) alone."""
        gains = self._own_gains(rows, budget) if i == self.last - 1 else \
            self._through(i, rows, *self._changed(i, rows, budget))
        return (gains < self.lead[rows]).all(axis=1)

    def _largest(self, i: int, most: int) -> np.ndarray:
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

    def _single_flips(self, i: int, rows: np.ndarray) -> np.ndarray:
        """1 for those images of rows whose class no single flip in convolution i changes, by trying; 0 else (N,)."""
        stage, layer, cost = self.stages[i], self.stages[i].layer, self._costs[i]
        weights, out = np.ascontiguousarray(stage.signs_by_summand.T), np.zeros(len(self.y), np.int64)
        for first in range(0, len(rows), SINGLE_IMAGES):
            at = rows[first:first + SINGLE_IMAGES]
            x = self.x[i][at]
            found = np.empty((len(at), layer.units, layer.fan_in, n_words(cost.shape[1])), np.uint64)
            count = np.zeros((len(at), layer.units), np.int64)
            split(reach.flip_patterns, len(at), stage.patches(x), weights, self.h[i][at], stage.theta, cost[at],
                  stage.geometry, layer.windows, stage.pooled_shape[1], found, count)
            image, unit, which = np.nonzero(np.arange(layer.fan_in) < count[..., None])
            bits = stage.bits(x)[image]
            _invert(bits, found[image, unit, which], unit)
            classes = np.empty(len(bits), np.int64)
            split(self._classes, len(bits), i + 1, bits, classes)
            out[at] = 1
            out[at[image[classes != self.y[at[image]]]]] = 0
        return out

    def _classes(self, i: int, bits: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
        """Classes of the images whose bits before layer i are given, in the calling thread."""
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            out[block] = self.network.run(i, bits[block]).argmax(axis=1)

    def _whole(self, most: np.ndarray) -> np.ndarray:
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
                reached = self._reached(i, alive, reached, moved[i - 1, alive], budget)
                count = _count(reached)
            gains = self._own_gains(alive, budget) if self.last == 1 else self._gains(alive, reached, count)
            gained[alive] = np.maximum(gains, gained[alive] + price[alive])
            alive = alive[(gained[alive] < self.lead[alive]).all(axis=1) & (k <= most[alive])]
            out[alive] = k
        return out if self.last else most


def _over_all_channels(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """(weights (K, kh, kw, Cw) of a convolution over all channels, masks (G, Cw) of those that each group reads)."""
    layer, shape = stage.layer, stage.patch_shape
    if layer.groups == 1:
        return layer.words.copy(), pack_bits(np.ones((1, layer.n_in), bool))
    signs = stage.signs_by_summand.T.reshape(layer.units, *shape)
    return pack_bits(signs > 0), pack_bits(np.repeat(np.eye(layer.groups, dtype=bool), layer.n_in, axis=1))


def _repeats(stage: Stage) -> int:
    """At most so many summands of one position are the same input: more than one where the padding repeats borders."""
    layer, g, most = stage.layer, stage.geometry, 1
    for out, taps, stride, step, before, size in zip(g[-2:], layer.words.shape[1:3], layer.stride, layer.dilation,
                                                     layer.padding, stage.input_shape if layer.replicate else ()):
        at = np.arange(out)[:, None] * stride + np.arange(taps) * step - before
        most *= max(int(np.bincount(row).max()) for row in np.clip(at, 0, size - 1))
    return most


def _invert(bits: np.ndarray, patterns: np.ndarray, unit: np.ndarray) -> None:
    """Invert, in bits (R, PH, PW, V), unit[r] at the positions whose bits are 1 in patterns (R, ceil(Q / 64))."""
    rows = bits.reshape(len(bits), bits.shape[1] * bits.shape[2], bits.shape[3])
    where = unpack_bits(patterns, rows.shape[1]).astype(np.uint64)
    rows[np.arange(len(rows)), :, unit >> 6] ^= where << (unit & 63).astype(np.uint64)[:, None]


def _count(words: np.ndarray) -> np.ndarray:
    """Ones of each row (R,)."""
    return np.bitwise_count(words).reshape(len(words), -1).sum(axis=1, dtype=np.int64)
