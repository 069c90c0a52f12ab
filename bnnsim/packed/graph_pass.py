"""What many broken copies of a graph share on one set of images: values of the clean graph at two cuts of it.

A copy's pass starts at a cut before the first layer whose bits differ, from the clean values that cross it (late
start). Behind the last of them only images go on of which a value that crosses a cut there differs; all others have the
clean answer (early stop). All of it gives exactly what ``broken.predict(images)`` gives.
"""

from functools import cached_property, partial

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.kernels import recycling, split
from bnnsim.packed.clean_pass import MOST_BYTES, CleanPass
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import IMAGES
from bnnsim.packed.network import PackedNetwork


def clean_pass_of(network: PackedNetwork, images: np.ndarray, prefix: FilePath | None = None) -> CleanPass:
    """The clean pass of a network, with or without branches: see `CleanPass`."""
    return (GraphPass if isinstance(network, PackedGraph) else CleanPass)(network, images, prefix)


def counted_predictions(network: PackedNetwork, images: np.ndarray) -> tuple[np.ndarray, int]:
    """Classes of images, and how many scores were no finite numbers, of a graph whose real numbers may be broken."""
    if not isinstance(network, PackedGraph):
        return network.predict(images), 0
    scores = network.scores(images)
    return scores.argmax(axis=1), int(np.count_nonzero(np.isneginf(scores)))


class GraphPass(CleanPass):
    """`CleanPass` of a graph."""

    network: PackedGraph
    graphs = True

    def predict(self, broken: PackedNetwork) -> np.ndarray:
        """Classes int64 (N,) of the images under `broken`, a copy of the graph with other bits: see `with_words`."""
        if not isinstance(broken, PackedGraph) or not self._is_copy(broken):
            return broken.predict(self.images)
        changed = [i for i, layer in enumerate(broken.layers) if self._differs(i, layer)]
        if not changed:
            return self.predictions.copy()
        at = self.network.at_layer
        start, stop = self._cut_before(at[changed[0]]), self._cut_behind(at[changed[-1]])
        kept = self._kept_values(start), None if stop is None else self._kept_values(stop)
        answers = None if stop is None else self.predictions
        broken.lay_out()
        out = np.empty(len(self.images), np.int64)
        split(self._slice, -(-len(out) // broken.most_images), broken, kept, stop, answers, out)
        return out

    def _is_copy(self, broken: PackedGraph) -> bool:
        """Whether it differs from the clean graph in nothing but the words of its layers."""
        return len(self.network.nodes) == len(broken.nodes) and all(
            mine.inputs == other.inputs and (mine.what is other.what or place.stage is not None)
            for mine, other, place in zip(self.network.nodes, broken.nodes, self.network.places)) and \
            [stage.place for stage in self.network.stages] == [stage.place for stage in broken.stages]

    def prepare(self) -> None:
        """Make what every broken copy is likely to need."""
        self.predictions

    # ------------------------------------------------------------ cuts

    @cached_property
    def _cuts(self) -> list[int]:
        """Cuts at which values may be kept, in MOST_BYTES in all: those before layers of bits that take least first."""
        network, room, kept = self.network, MOST_BYTES, {IMAGES}

        def n_bytes(cut: int) -> int:
            return len(self.images) * sum(network.places[at].value_bytes for at in network.crossing(cut)
                                          if at not in kept)

        found = [0]                                              # the images cross it, which are there anyway
        for cut in sorted(network.at_layer, key=n_bytes):
            if n_bytes(cut) <= room:
                room -= n_bytes(cut)
                kept |= set(network.crossing(cut))
                found.append(cut)
        return found

    def _cut_before(self, node: int) -> int:
        """The last cut up to a node at which values are kept."""
        return max(cut for cut in self._cuts if cut <= node)

    def _cut_behind(self, node: int) -> int | None:
        """The first cut behind a node; None behind the last: what stands there costs less than a comparison."""
        return min((cut for cut in self._cuts if cut > node), default=None)

    def _kept_values(self, cut: int) -> dict[int, np.ndarray]:
        """The clean values that cross a cut, by node; -1 is the images."""
        made: dict[int, np.ndarray] = {}

        def make(at: int) -> np.ndarray:
            if not made:
                made.update(self._make_values(cut))              # all of them at once, if one is not there yet
            return made[at]

        return {at: self.images if at == IMAGES else self._made_once(f"value-{at}", partial(make, at))
                for at in self.network.crossing(cut)}

    def _make_values(self, cut: int) -> dict[int, np.ndarray]:
        network, n = self.network, len(self.images)
        network.lay_out()
        out = {at: np.empty((n, *network.places[at].value_shape), network.places[at].dtype)
               for at in network.crossing(cut) if at >= 0}

        def run(start: int, stop: int) -> None:
            for first in range(start, stop, network.most_images):
                block = slice(first, min(first + network.most_images, stop))
                for at, value in network.values({-1: self.images[block]}, cut).items():
                    if at >= 0:
                        out[at][block] = value

        split(run, n)
        return out

    # ------------------------------------------------------------ one copy

    def _slice(self, broken: PackedGraph, kept: tuple[dict[int, np.ndarray], dict[int, np.ndarray] | None],
               stop: int | None, answers: np.ndarray | None, out: np.ndarray, first: int, last: int) -> None:
        """Classes of the images of blocks first..last."""
        with recycling():
            for b in range(first, last):
                self._block(broken, kept, stop, answers, out, b)

    def _block(self, broken: PackedGraph, kept: tuple[dict[int, np.ndarray], dict[int, np.ndarray] | None],
               stop: int | None, answers: np.ndarray | None, out: np.ndarray, b: int) -> None:
        (known, behind), n = kept, broken.most_images
        block = slice(b * n, min((b + 1) * n, len(out)))
        values = broken.values({at: value[block] for at, value in known.items()}, stop)
        if behind is None or answers is None:
            out[block] = broken.scores_of(values).argmax(axis=1)
            return
        count = block.stop - block.start
        differs = np.zeros(count, bool)
        for at, value in values.items():
            if at >= 0:
                differs |= (value != behind[at][block]).reshape(count, -1).any(1)
        out[block] = answers[block]
        rows = np.flatnonzero(differs)
        if len(rows):
            rest = broken.values({at: np.ascontiguousarray(value[rows]) for at, value in values.items()})
            out[block.start + rows] = broken.scores_of(rest).argmax(axis=1)
