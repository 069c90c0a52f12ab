"""What many broken copies of a network share on one set of images: the clean network's activations.

A copy differs from the clean network in the bits of some layers. Its pass starts where the first of them stands, from
the clean bits before it (late start). In a dense first layer the clean pre-activations are corrected where weights
flipped, if those are few. Behind the last of them only images go on whose bits differ from the clean ones; all others
have the clean answer (early stop). All of it gives exactly what ``broken.predict(images)`` gives.

N images in B blocks of 128, F features, U units in V words.
"""

import threading
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

import bnnsim.kernels.forward.corrected_first_layer as corrected
import bnnsim.kernels.forward.pixel_lookup as pixel_lookup
from bnnsim.checks import FilePath, check_images
from bnnsim.kernels import split
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import BLOCK_IMAGES, PackedNetwork
from bnnsim.packed.shared_arrays import shared

BLOCK = corrected.BLOCK
MOST_BYTES = 2**29                  # of one kept array: what is larger is computed anew for each copy
EAGER_BYTES = 2**27                 # of all hidden layers' bits: up to so many they are made before they are asked for
MOST_FLIPPED = 0.25                 # share of flipped bits up to which corrections cost less than the product,
MOST_FLIPPED_LOOKUP = 0.15          # and less than the product by lookup


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

    graphs = False                  # whether branches are dealt with: see `graph_pass`

    def __init__(self, network: PackedNetwork, images: np.ndarray, prefix: FilePath | None = None) -> None:
        check_packed(network, self.graphs)
        self.network, self.prefix = network, prefix
        self.images = check_images(images, network.input_shape, network.reads_bits)
        self._kept: dict[str, np.ndarray] = {}
        self._lock = threading.RLock()

    def predict(self, broken: PackedNetwork) -> np.ndarray:
        """Classes int64 (N,) of the images under `broken`, a copy of the network with other bits: see `with_words`."""
        if type(broken) is not type(self.network) or \
                [stage.place for stage in self.network.stages] != [stage.place for stage in broken.stages]:
            return broken.predict(self.images)                  # of another kind, or no copy at all
        changed = [i for i, layer in enumerate(broken.layers) if self._differs(i, layer)]
        if not changed:
            return self.predictions.copy()
        out = np.empty(len(self.images), np.int64)
        plan = _Plan(self, broken, changed)
        split(plan.run, self.n_blocks, out)
        return out

    def _differs(self, i: int, layer: PackedLayer, but: tuple[str, ...] = ()) -> bool:
        """Whether a copy's layer i has other fields than the clean one, `but` those named."""
        clean = self.network.layers[i]
        return layer is not clean and not all(np.array_equal(value, getattr(clean, name))
                                              for name, value in layer.fields().items() if name not in but)

    def prepare(self) -> None:
        """Make what every broken copy is likely to need, in all threads."""
        shapes = {i: self._shape_of(i) for i in range(len(self.network.layers) - 1)}
        if 8 * sum(int(np.prod(shape)) for shape in shapes.values()) <= EAGER_BYTES:
            for i, out in self._make_bits(shapes).items():
                self._keep(f"bits-{i}", partial(np.asarray, out), out.shape, out.dtype)
        self.predictions, self.excess

    def _keep(self, name: str, make: Callable[[], np.ndarray], shape: tuple[int, ...],
              dtype: npt.DTypeLike) -> np.ndarray | None:
        """The array `name`, made when it is first asked for; None where it would be too large."""
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > MOST_BYTES:
            return None
        return self._made_once(name, make)

    def _made_once(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make() if self.prefix is None else shared(f"{self.prefix}-{name}.npy", make)
            return self._kept[name]

    @property
    def predictions(self) -> np.ndarray:
        """Classes of the clean network (N,) int64."""
        return self._made_once("predictions", lambda: self.network.predict(self.images))

    def bits(self, i: int) -> np.ndarray | None:
        """Output words of hidden layer i on all images; None where they would take over half a GB."""
        shape = self._shape_of(i)
        return self._keep(f"bits-{i}", lambda: self._make_bits({i: shape})[i], shape, np.uint64)

    def _shape_of(self, i: int) -> tuple[int, ...]:
        return len(self.images), *self.network.stages[i].bits_shape

    def _make_bits(self, shapes: dict[int, tuple[int, ...]]) -> dict[int, np.ndarray]:
        """Output words of several hidden layers in one pass."""
        outs = {i: np.empty(shape, np.uint64) for i, shape in shapes.items()}
        split(self._bits_slice, len(self.images), outs)
        return outs

    def _bits_slice(self, outs: dict[int, np.ndarray], start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            x, at = self.images[block], 0
            for i, out in outs.items():
                out[block] = x = self.network.run(at, x, i + 1)
                at = i + 1

    # of a dense first layer, for `corrected_first_layer`

    @property
    def n_blocks(self) -> int:
        """B."""
        return (len(self.images) + BLOCK - 1) // BLOCK

    @property
    def pixels(self) -> np.ndarray | None:
        """(B, F, 128) uint8; None where they would take over half a GB."""
        shape = (self.n_blocks, self.network.layers[0].n_in, BLOCK)
        return self._keep("pixels", lambda: self._blocks(corrected.pixel_blocks, shape, np.uint8, self.images),
                          shape, np.uint8)

    @property
    def excess(self) -> np.ndarray | None:
        """h - theta of the first layer (B, U, 128) int32; None where it is no dense hidden layer, or too large.

        theta is brought to just past the largest |h| first: as stored it may be any int32, and the difference none.
        """
        stage = self.network.stages[0]
        if stage.shares_weights or len(self.network.stages) == 1:
            return None
        threshold, shape = stage.theta.astype(np.int32), (self.n_blocks, stage.layer.units, BLOCK)

        def make() -> np.ndarray:
            h = stage.sums(self.images)[:, 0]
            return self._blocks(corrected.excess_blocks, shape, np.int32, h, threshold)

        return self._keep("excess", make, shape, np.int32)

    @property
    def comparisons(self) -> np.ndarray | None:
        """h >= theta of the first layer (B, U, 2) words, an image a bit."""
        excess = self.excess
        if excess is None:
            return None
        shape = (*excess.shape[:2], 2)
        return self._keep("comparisons", lambda: self._blocks(corrected.compare_blocks, shape, np.uint64, excess),
                          shape, np.uint64)

    def _blocks(self, kernel: Callable, shape: tuple[int, ...], dtype: npt.DTypeLike, *args: np.ndarray) -> np.ndarray:
        out = np.empty(shape, dtype)
        split(kernel, len(out), *args, out)
        return out


class _Plan:
    """How one broken copy is evaluated, from which layer on and with which shortcuts; `run` does blocks of images."""

    def __init__(self, clean: CleanPass, broken: PackedNetwork, changed: list[int]) -> None:
        self.clean, self.broken, self.images = clean, broken, clean.images
        self.first, self.last = changed[0], changed[-1]
        before = clean.bits(self.first - 1) if self.first else None
        self.before: np.ndarray = clean.images if before is None else before
        self.first = 0 if before is None else self.first
        self.behind = clean.bits(self.last) if self.last < len(broken.layers) - 1 else None
        self.predictions = clean.predictions if self.behind is not None else None
        self.corrections = self._corrections() if changed[0] == 0 else None
        for stage in broken.stages[1 if self.corrections else self.first:]:
            stage.lay_out()

    def _corrections(self) -> tuple | None:
        """The arguments of `corrected_first_layer.corrected_bits`, where it pays."""
        clean, layer, broken = self.clean, self.clean.network.layers[0], self.broken.layers[0]
        if clean.excess is None or clean.pixels is None or clean._differs(0, broken, but=("words",)):
            return None
        flips = layer.words ^ broken.words
        counts = np.bitwise_count(flips).sum(1, dtype=np.int64)
        most = MOST_FLIPPED_LOOKUP if pixel_lookup.fits(layer.units, layer.n_in) else MOST_FLIPPED
        if counts.sum() > most * layer.n_bits:
            return None
        starts = np.concatenate([[0], np.cumsum(counts)])
        lists, n_plus = np.empty(starts[-1], np.int32), np.empty(len(counts), np.int64)
        corrected.list_flips(layer.words.copy(), flips, starts, n_plus, lists, 0, len(counts))
        return (clean.pixels, clean.excess, clean.comparisons, starts, n_plus, lists, clean.network.input_offset,
                clean.network.stages[0].inverted_words)

    def run(self, out: np.ndarray, start: int, stop: int) -> None:
        """Classes of the images of blocks start..stop."""
        first, x = self.first, self.before
        if self.corrections:
            first, x = 1, np.empty((len(self.images), self.corrections[-1].shape[0]), np.uint64)[:stop * BLOCK]
            corrected.corrected_bits(*self.corrections, x, start, stop)
        for b in range(start, stop):
            block = slice(b * BLOCK, min((b + 1) * BLOCK, len(self.images)))
            self._finish(first, x[block], block, out)

    def _finish(self, i: int, x: np.ndarray, block: slice, out: np.ndarray) -> None:
        """Classes of the images of `block`, of which layer i reads x."""
        if self.behind is None or self.predictions is None:
            out[block] = self.broken.run(i, x).argmax(axis=1)
            return
        x = self.broken.run(i, x, self.last + 1)
        rows = np.flatnonzero((x != self.behind[block]).reshape(len(x), -1).any(1))
        out[block] = self.predictions[block]
        if len(rows):
            out[block.start + rows] = self.broken.run(self.last + 1, x[rows]).argmax(axis=1)
