"""What many broken copies of a network share on one set of images: the clean network's activations.

A copy differs from the clean network in the bits of some layers. Its pass starts where the first of them stands, from
the clean bits before it (late start). In a dense first layer the clean pre-activations are corrected where weights
flipped, if those are few. Behind the last of them only images go on whose bits differ from the clean ones; all others
have the clean answer (early stop). All of it gives exactly what ``broken.predict(images)`` gives.

N images in B blocks of 128, F features, U units in V words.
"""

import threading

import numpy as np

import bnnsim.kernels.forward.corrected_first_layer as sparse_first
from bnnsim.checks import check_images
from bnnsim.kernels import split
from bnnsim.packed.forward import pixels_dense
from bnnsim.packed.shared_arrays import shared

BLOCK = sparse_first.BLOCK
MOST_BYTES = 2**29                  # of one kept array: what is larger is computed anew for each copy
EAGER_BYTES = 2**27                 # of all hidden layers' bits: up to so many they are made before they are asked for
MOST_FLIPPED = 0.25                 # share of flipped bits up to which corrections cost less than the product


class CleanPass:
    """The clean activations of `network` on `images`, kept as they are needed; threads may share it.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    prefix : path, optional
        Keep arrays in files that begin like this, which processes of one machine map into their memory: one copy for
        all of them. The first that needs an array makes it. The folder must be this campaign's own.
    """

    def __init__(self, network, images, prefix=None):
        self.network, self.images, self.prefix = network, check_images(images, network.input_shape), prefix
        self._kept, self._lock = {}, threading.RLock()

    def predict(self, broken):
        """Classes int64 (N,) of the images under `broken`, a copy of the network with other bits: see `with_words`."""
        if not self.network.is_like(broken):
            return broken.predict(self.images)
        changed = [i for i, layer in enumerate(broken.layers) if self._differs(i, layer)]
        if not changed:
            return self.predictions.copy()
        out = np.empty(len(self.images), np.int64)
        plan = _Plan(self, broken, changed)
        split(plan.run, (len(self.images) + BLOCK - 1) // BLOCK, out)
        return out

    def _differs(self, i, layer, but=()):
        clean = self.network.layers[i]
        return layer is not clean and not all(np.array_equal(value, getattr(clean, name))
                                              for name, value in layer.fields().items() if name not in but)

    def prepare(self):
        """Make what every broken copy is likely to need, in all threads."""
        self._make_all_bits()
        self.predictions, self.margins

    def keep(self, name, make, shape, dtype):
        """The array `name`, made when it is first asked for; None where it would be too large."""
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > MOST_BYTES:
            return None
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make() if self.prefix is None else shared(f"{self.prefix}-{name}.npy", make)
            return self._kept[name]

    @property
    def predictions(self):
        """Classes of the clean network (N,) int64."""
        return self.keep("predictions", lambda: self.network.predict(self.images), len(self.images), np.int64)

    def bits(self, i):
        """Output words of hidden layer i on all images; None where they would take over half a GB."""
        shape = (len(self.images), *self.network.bits_shape(i))
        return self.keep(f"bits-{i}", lambda: self._make_bits(i, shape), shape, np.uint64)

    def _make_bits(self, i, shape):
        out = np.empty(shape, np.uint64)
        split(self.network.bits_slice, len(out), self.images, {i: out})
        return out

    def _make_all_bits(self):
        """Output words of all hidden layers in one pass, where they are small."""
        shapes = {i: (len(self.images), *self.network.bits_shape(i)) for i in range(len(self.network.layers) - 1)}
        if not shapes or 8 * sum(int(np.prod(shape)) for shape in shapes.values()) > EAGER_BYTES:
            return
        outs = {i: np.empty(shape, np.uint64) for i, shape in shapes.items()}
        split(self.network.bits_slice, len(self.images), self.images, outs)
        for i, out in outs.items():
            self.keep(f"bits-{i}", lambda out=out: out, out.shape, out.dtype)

    # of a dense first layer, for `sparse_first`

    @property
    def n_blocks(self):
        return (len(self.images) + BLOCK - 1) // BLOCK

    @property
    def pixels(self):
        """(B, F, 128) uint8; None where they would take over half a GB."""
        shape = (self.n_blocks, self.network.layers[0].n_in, BLOCK)
        return self.keep("pixels", lambda: self._blocks(sparse_first.pixel_blocks, shape, np.uint8, self.images), shape,
                         np.uint8)

    @property
    def margins(self):
        """h - theta of the first layer (B, U, 128) int32; None where it is no dense hidden layer, or too large."""
        layer = self.network.layers[0]
        if layer.kind != "dense" or layer.threshold is None:
            return None
        shape = (self.n_blocks, layer.units, BLOCK)

        def make():
            h = pixels_dense(layer.words.copy(), layer.n_in, self.network.input_offset).sums(self.images)
            return self._blocks(sparse_first.excess_blocks, shape, np.int32, h, layer.threshold.copy())

        return self.keep("margins", make, shape, np.int32)

    @property
    def comparisons(self):
        """h >= theta of the first layer (B, U, 2) words, an image a bit."""
        shape = (*self.margins.shape[:2], 2)
        return self.keep("comparisons", lambda: self._blocks(sparse_first.compare_blocks, shape, np.uint64,
                                                             self.margins), shape, np.uint64)

    def _blocks(self, kernel, shape, dtype, *args):
        out = np.empty(shape, dtype)
        split(kernel, len(out), *args, out)
        return out


class _Plan:
    """How one broken copy is evaluated, from which layer on and with which shortcuts; `run` does blocks of images."""

    def __init__(self, clean, broken, changed):
        self.clean, self.broken, self.images = clean, broken, clean.images
        self.n_hidden = len(broken.layers) - 1
        self.first, self.last = changed[0], changed[-1]
        self.before = clean.bits(self.first - 1) if self.first else None
        if self.first and self.before is None:
            self.first = 0
        self.behind = clean.bits(self.last) if self.last < self.n_hidden else None
        self.predictions = clean.predictions if self.behind is not None else None
        self.corrections = self._corrections() if changed[0] == 0 else None
        for i in range(1 if self.corrections else self.first, len(broken.layers)):
            broken.forward(i)

    def _corrections(self):
        """The arguments of `sparse_first.corrected_bits`, where it pays."""
        clean, layer, broken = self.clean, self.clean.network.layers[0], self.broken.layers[0]
        if clean.margins is None or clean.pixels is None or clean._differs(0, broken, but=("words",)):
            return None
        flips = layer.words ^ broken.words
        counts = np.bitwise_count(flips).sum(1, dtype=np.int64)
        if counts.sum() > MOST_FLIPPED * layer.n_bits:
            return None
        starts = np.concatenate([[0], np.cumsum(counts)])
        lists, n_plus = np.empty(starts[-1], np.int32), np.empty(len(counts), np.int64)
        sparse_first.list_flips(layer.words.copy(), flips, starts, n_plus, lists, 0, len(counts))
        return (clean.pixels, clean.margins, clean.comparisons, starts, n_plus, lists, clean.network.input_offset,
                clean.network.forward(0).end[0])

    def run(self, out, start, stop):
        """Classes of the images of blocks start..stop."""
        x = None
        if self.corrections:
            x = np.empty((len(self.images), self.corrections[-1].shape[0]), np.uint64)[:stop * BLOCK]
            sparse_first.corrected_bits(*self.corrections, x, start, stop)
        for b in range(start, stop):
            block = slice(b * BLOCK, min((b + 1) * BLOCK, len(self.images)))
            if self.corrections:
                self._finish(x[block], 1, block, out)
            else:
                self._finish((self.before if self.first else self.images)[block], self.first, block, out)

    def _finish(self, x, layer, block, out):
        """Take x, the input of `layer` for the images of `block`, to their classes."""
        rows, clean_from = None, self.last + 1 if self.behind is not None else len(self.broken.layers) + 1
        for i in range(layer, self.n_hidden + 1):
            if i == clean_from:
                rows = np.flatnonzero((x != self.behind[block]).reshape(len(x), -1).any(1))
                out[block] = self.predictions[block]
                if len(rows) == 0:
                    return
                x = x[rows]
            x = self.broken.flattened(i, x)
            if i < self.n_hidden:
                x = self.broken.forward(i).bits(x)
        scores = np.empty((len(x), self.broken.n_classes))
        self.broken.output(x, scores)
        if rows is None:
            out[block] = scores.argmax(axis=1)
        else:
            out[block.start + rows] = scores.argmax(axis=1)
