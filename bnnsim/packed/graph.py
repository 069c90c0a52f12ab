"""PackedGraph: layers of bits and digital operations, wired in any way that has no circle; exact inference on them.

A network without branches is a `PackedNetwork`; a graph is one whose nodes say which others they read. Its ``layers``
are those whose weights a memory stores, in order, as faults and sweeps know them; its operations are float32 work
outside of the memory (`bnnsim.packed.operations`), with an order of evaluation that is the same on every CPU.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.packed.graph_file as graph_file
import bnnsim.packed.graph_schema as graph_schema
from bnnsim.checks import FilePath, check_images, check_int
from bnnsim.kernels import recycling, split
from bnnsim.packed.graph_plan import Step, biases_of, plan_of
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.graph_sizes import graph_table, sizes_of_graph
from bnnsim.packed.kinds import Bias
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.operations import Operation
from bnnsim.packed.sizes import Sizes
from bnnsim.packed.stages import Stage

if TYPE_CHECKING:
    from bnnsim.faults.array_mapping import ArrayMapping

MOST_IMAGES = 32                    # that a thread takes through all nodes at a time
VALUE_BYTES = 2**21                 # that one value of a block may take: what is read next is in cache


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
        self.input_shape, self.input_offset = fields["input_shape"], fields["input_offset"]
        self.metadata = fields["metadata"]
        self.nodes = tuple(map(graph_schema.node_of, fields["nodes"]))          # settings as plain pairs and sides
        self.places = graph_schema.places_of(self.nodes, self.input_shape, self.input_offset)
        self._plans: dict[tuple[int, int], list[Step]] = {}
        self._biases = biases_of(self.nodes, self.places)
        self._number()

    def _number(self, known: "PackedGraph | None" = None) -> None:
        """Number the layers of bits; a stored bias and the layer before it are one where bits alone are wanted."""
        found = [place.stage for place in self.places if place.stage is not None]
        self.stages: tuple[Stage, ...] = tuple(found)
        self.layers: tuple[PackedLayer, ...] = tuple(stage.layer for stage in found)
        self.at_layer = tuple(i for i, place in enumerate(self.places) if place.stage is not None)
        self.joined: dict[int, Stage] = {}
        for i, at in self._biases.items():
            if known is not None and all(known.places[j].stage is self.places[j].stage for j in (i, at)):
                self.joined[i] = known.joined[i]
            elif isinstance(bias := self.places[at].stage, Bias) and (weights := self.places[i].stage) is not None:
                self.joined[i] = bias.joined(weights)

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

    def with_arrays(self, arrays: Mapping[int, Mapping[str, np.ndarray]]) -> "PackedGraph":
        """A copy whose layers of bits i have other arrays; everything else is shared, not copied."""
        copy = object.__new__(PackedGraph)
        places, nodes = [], []
        for node, place in zip(self.nodes, self.places):
            if place.stage is not None and place.stage.index in arrays:
                stage = self._with_arrays(place.stage, arrays[place.stage.index])
                node, place = node._replace(what=stage.layer), place._replace(stage=stage)
            places.append(place)
            nodes.append(node)
        copy.nodes, copy.places, copy._plans, copy._biases = tuple(nodes), tuple(places), self._plans, self._biases
        copy.input_shape, copy.input_offset, copy.metadata = self.input_shape, self.input_offset, dict(self.metadata)
        copy.most_images = self.most_images                     # a copy has the same sizes
        copy._number(self)
        return copy

    def with_operations(self, operations: Mapping[int, Operation]) -> "PackedGraph":
        """A copy whose nodes i are the operations[i] given, of the same kinds and sizes; all else is shared."""
        nodes = list(self.nodes)
        for i, operation in operations.items():
            old = nodes[check_int("operations", i, 0, len(nodes) - 1)].what
            if type(operation) is not type(old) or not isinstance(old, Operation) or any(
                    getattr(operation, name) != getattr(old, name) for name in old.settings) or any(
                    getattr(operation, name).shape != getattr(old, name).shape for name in old.arrays):
                raise ValueError(f"operations[{i}] must be of the kind and the sizes of nodes[{i}]")
            nodes[i] = nodes[i]._replace(what=operation)
        copy = self.with_words({})
        copy.nodes, copy._plans = tuple(nodes), {}
        return copy

    # ------------------------------------------------------------ what it computes

    @cached_property
    def _last_reader(self) -> dict[int, int]:
        """Of each node, the last that reads it: its value is let go there."""
        return {at: i for i, node in enumerate(self.nodes) for at in node.inputs}

    @cached_property
    def most_images(self) -> int:
        """How many images go through the nodes at a time, at most."""
        joined = [stage.image_bytes for stage in self.joined.values()]
        largest = max(*joined, 1, *(place.image_bytes for i, place in enumerate(self.places) if i not in self.joined))
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
        for step in self._plan(max(known) + 1, stop):
            i, taken = step.node, step.taken
            if taken is not None:
                known |= zip(taken.nodes, taken.run(*[known[at] for at in taken.inputs]))
            elif step.weights is not None:
                known[i] = self.joined[step.weights].bits(known[self.nodes[step.weights].inputs[0]])
            else:
                known[i] = self.places[i].run(self.nodes[i].what, [known[at] for at in self.nodes[i].inputs])
            for at in step.last_of:
                del known[at]
        return known

    def _plan(self, start: int, stop: int) -> list[Step]:
        """How nodes start..stop are computed; copies with other words share it."""
        if (start, stop) not in self._plans:
            wanted = self.crossing(stop) if stop < len(self.nodes) else (stop - 1,)
            self._plans[start, stop] = plan_of(self.nodes, self.places, start, stop, wanted)
        return self._plans[start, stop]

    def crossing(self, cut: int) -> tuple[int, ...]:
        """The nodes before a cut, -1 too, whose values nodes from the cut on read: what `values` goes on from."""
        return tuple(sorted(at for at, last in self._last_reader.items() if at < cut <= last))

    def scores_of(self, values: dict[int, np.ndarray]) -> np.ndarray:
        """Scores float64 (N, n_classes) of what `values` leaves when all nodes are done."""
        value, = values.values()
        return value if value.dtype == np.float64 else as_scores(value)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores of images (N, C, H, W) uint8: float64 (N, n_classes); a score that is no finite number is -inf."""
        images = check_images(images, self.input_shape, self.reads_bits)
        out = np.empty((len(images), self.n_classes))
        self.lay_out()
        split(self._scores_slice, len(images), images, out)
        return out

    def lay_out(self) -> None:
        """Lay out what `values` needs, before threads ask for it."""
        one = {*self.joined, *(self._biases[i] for i in self.joined)}
        for i, stage in zip(self.at_layer, self.stages):
            if i not in one:
                stage.lay_out()
        for stage in self.joined.values():
            stage.lay_out()

    def n_nonfinite(self, images: np.ndarray) -> int:
        """How many scores of images are no finite numbers, and count as the lowest: see `faults.RealBits`."""
        return int(np.count_nonzero(np.isneginf(self.scores(images))))

    def _scores_slice(self, images: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
        with recycling():
            for first in range(start, stop, self.most_images):
                block = slice(first, min(first + self.most_images, stop))
                out[block] = self.scores_of(self.values({-1: images[block]}))

    def layer_inputs(self, images: np.ndarray) -> list[np.ndarray]:
        """What each layer of bits reads of a block of images, flattened as its kernels take it."""
        known, found = {-1: images}, []
        for i, stage in zip(self.at_layer, self.stages):
            known = self.values(known, i)
            found.append(stage.read(known[self.nodes[i].inputs[0]]))
        return found

    def run(self, i: int, x: np.ndarray, stop: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Not defined: what a node of a graph reads may come from several."""
        raise TypeError("a graph has no layers in a row: see PackedGraph.values")

    def save(self, path: FilePath) -> None:
        """Write an HDF5 file, atomically: see `bnnsim.packed.graph_file`."""
        graph_file.save_graph(path, self._fields())

    def sizes(self, mapping: "ArrayMapping | None" = None) -> list[Sizes]:
        """Parameters, bytes, devices, arrays and operations of each node, and of all behind them: `NodeSizes`."""
        return list(sizes_of_graph(self.nodes, self.places, self.reads_bits, mapping))

    def summary(self, mapping: "ArrayMapping | None" = None) -> str:
        """A table, a row a node: what it reads and gives, parameters, kB, devices and arrays, operations an image.

        Parameters
        ----------
        mapping : bnnsim.faults.ArrayMapping, optional
            The arrays that hold the weights; default 64 x 64.

        Returns
        -------
        str
            As `PackedNetwork.summary` has it, and: the number of each node, and of each layer of bits, as faults and
            sweeps know it; the nodes that each reads; real parameters, float32 numbers of the operations, which are no
            bits of the memory, and what they take part in. What a node has none of stays empty.
        """
        return graph_table(sizes_of_graph(self.nodes, self.places, self.reads_bits, mapping), mapping)

    def __repr__(self) -> str:
        n_real = sum(operation.n_parameters for operation in self.operations)
        return (f"<PackedGraph {list(self.input_shape)} -> {self.n_classes}, {len(self.nodes)} nodes, "
                f"{self.n_bits:,} binary weights, {n_real:,} real parameters>")


def as_scores(value: np.ndarray) -> np.ndarray:
    """float64 scores; what is no finite number counts as the lowest."""
    scores = value.astype(np.float64)
    scores[~np.isfinite(scores)] = -np.inf
    return scores
