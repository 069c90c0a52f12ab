"""PackedGraph: layers of bits and digital operations, wired in any way that has no circle; exact inference on them.

A network without branches is a `PackedNetwork`; a graph is one whose nodes say which others they read. Its ``layers``
are those whose weights a memory stores, in order, as faults and sweeps know them; its operations are float32 work
outside of the memory (`bnnsim.packed.operations`), with an order of evaluation that is the same on every CPU.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

import bnnsim.packed.graph_file as graph_file
import bnnsim.packed.graph_schema as graph_schema
from bnnsim.checks import FilePath, check_images
from bnnsim.kernels import check_wanted, split
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.operations import Operation
from bnnsim.packed.stages import Stage

MOST_IMAGES = 64                    # that a thread takes through all nodes at a time
VALUE_BYTES = 2**20                 # that one value of a block may take: what is read next is in cache


class PackedGraph(PackedNetwork):
    """A network of layers of bits and digital operations; immutable.

    Parameters
    ----------
    nodes : sequence of Node
        In an order in which each reads only what stands before it; -1 is the images. The last gives the scores: float32
        (n_classes,), or a dense PackedLayer with mean, scale and shift.
    input_shape : (C, H, W)
    input_offset : int
        Subtracted from the uint8 pixels by layers of bits that read them, 0..255.
    metadata : dict of str to str

    Attributes
    ----------
    layers, stages : tuple of PackedLayer, tuple of Stage
        Those of bits, in order: what a memory stores.
    at_layer : tuple of int
        The node that each of them is.
    places : tuple of Place
        Of each node: what it reads and gives.

    Raises
    ------
    ValueError, TypeError
        Where nodes do not fit each other; the message names the node.
    """

    def __init__(self, nodes: Sequence[Node], input_shape: tuple[int, int, int], input_offset: int = 0,
                 metadata: Mapping[str, str] | None = None) -> None:
        fields = graph_schema.check_graph(graph_schema.fields_of(nodes, input_shape, input_offset, metadata or {}))
        self.input_shape, self.input_offset = fields["input_shape"], input_offset
        self.metadata = fields["metadata"]
        self.nodes = tuple(map(graph_schema.node_of, fields["nodes"]))          # settings as plain pairs and sides
        self.places = graph_schema.places_of(self.nodes, self.input_shape, input_offset)
        self._number()

    def _number(self) -> None:
        found = [place.stage for place in self.places if place.stage is not None]
        self.stages: tuple[Stage, ...] = tuple(found)
        self.layers: tuple[PackedLayer, ...] = tuple(stage.layer for stage in found)
        self.at_layer = tuple(i for i, place in enumerate(self.places) if place.stage is not None)

    def __reduce__(self) -> tuple[type["PackedGraph"], tuple]:
        return PackedGraph, (self.nodes, self.input_shape, self.input_offset, self.metadata)

    @property
    def n_classes(self) -> int:
        """Scores an image gets."""
        return self.places[-1].shape[0]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the nodes that are no layers of bits."""
        return tuple(node.what for node in self.nodes if isinstance(node.what, Operation))

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "PackedGraph":
        """The graph of a plain dict as `bnnsim.packed.graph_schema` has it."""
        return cls([graph_schema.node_of(node) for node in fields["nodes"]], fields["input_shape"],
                   fields["input_offset"], fields["metadata"])

    def _fields(self) -> dict[str, Any]:
        return graph_schema.fields_of(self.nodes, self.input_shape, self.input_offset, self.metadata)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the content, as stored in files."""
        return graph_file.checksum(self._fields())

    def with_words(self, words: Mapping[int, np.ndarray]) -> "PackedGraph":
        """A copy whose layers of bits i have the words[i] given; everything else is shared, not copied."""
        copy = object.__new__(PackedGraph)
        places, nodes = [], []
        for node, place in zip(self.nodes, self.places):
            if place.stage is not None and place.stage.index in words:
                stage = self._with_words(place.stage, words[place.stage.index])
                node, place = node._replace(what=stage.layer), place._replace(stage=stage)
            places.append(place)
            nodes.append(node)
        copy.nodes, copy.places = tuple(nodes), tuple(places)
        copy.input_shape, copy.input_offset, copy.metadata = self.input_shape, self.input_offset, dict(self.metadata)
        copy._number()
        return copy

    # ------------------------------------------------------------ what it computes

    @cached_property
    def _last_reader(self) -> dict[int, int]:
        """Of each node, the last that reads it: its value is let go there."""
        return {at: i for i, node in enumerate(self.nodes) for at in node.inputs}

    @cached_property
    def most_images(self) -> int:
        """How many images go through the nodes at a time, at most."""
        largest = max(place.image_bytes for place in self.places)
        return max(1, min(MOST_IMAGES, VALUE_BYTES // largest))

    def values(self, known: dict[int, np.ndarray], stop: int | None = None) -> dict[int, np.ndarray]:
        """Take a block on from values of some nodes, those of ``crossing(first)``, to what nodes from `stop` on read.

        Parameters
        ----------
        known : dict of node to its value for the block
            -1 is the images. Emptied on the way.
        stop : int, optional
            The node to stop before; default all are computed, and the last one's value is what is left.
        """
        stop = len(self.nodes) if stop is None else stop
        for i in range(max(known) + 1, stop):
            node = self.nodes[i]
            known[i] = self.places[i].run(node.what, [known[at] for at in node.inputs])
            for at in set(node.inputs):
                if self._last_reader[at] == i:
                    del known[at]
        return known

    def crossing(self, cut: int) -> tuple[int, ...]:
        """The nodes before a cut, -1 too, whose values nodes from the cut on read: what `values` goes on from."""
        return tuple(sorted(at for at, last in self._last_reader.items() if at < cut <= last))

    def scores_of(self, values: dict[int, np.ndarray]) -> np.ndarray:
        """Scores float64 (N, n_classes) of what `values` leaves when all nodes are done."""
        value, = values.values()
        return value if value.dtype == np.float64 else as_scores(value)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores of images (N, C, H, W) uint8: float64 (N, n_classes); a score that is no finite number is -inf."""
        images = check_images(images, self.input_shape)
        out = np.empty((len(images), self.n_classes))
        for stage in self.stages:
            stage.lay_out()
        split(self._scores_slice, len(images), images, out)
        return out

    def _scores_slice(self, images: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
        for first in range(start, stop, self.most_images):
            check_wanted()
            block = slice(first, min(first + self.most_images, stop))
            out[block] = self.scores_of(self.values({-1: images[block]}))

    def run(self, i: int, x: np.ndarray, stop: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Not defined: what a node of a graph reads may come from several."""
        raise TypeError("a graph has no layers in a row: see PackedGraph.values")

    def save(self, path: FilePath) -> None:
        """Write an HDF5 file, atomically: see `bnnsim.packed.graph_file`."""
        graph_file.save_graph(path, self._fields())

    def __repr__(self) -> str:
        n_real = sum(operation.n_parameters for operation in self.operations)
        return (f"<PackedGraph {list(self.input_shape)} -> {self.n_classes}, {len(self.nodes)} nodes, "
                f"{self.n_bits:,} binary weights, {n_real:,} real parameters>")


def as_scores(value: np.ndarray) -> np.ndarray:
    """float64 scores; what is no finite number counts as the lowest."""
    scores = value.astype(np.float64)
    scores[~np.isfinite(scores)] = -np.inf
    return scores
