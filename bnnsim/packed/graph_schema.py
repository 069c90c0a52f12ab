"""What a packed graph is as plain data: the rules that files and `PackedGraph` share.

A graph is a dict of ``input_shape`` (C, H, W), ``input_offset`` 0..255, ``metadata`` {str: str} and ``nodes``, a list
of dicts. Each has ``inputs``, the numbers of the nodes that it reads, all before it; -1 is the images. A layer of bits
has the fields of `bnnsim.packed.schema`: with ``threshold`` and ``inverted`` it gives bits, with ``mean``, ``scale``
and ``shift`` scores (of a convolution's sums over all positions), with none of them integers, its sums. Besides "dense"
and "conv" its kind may be "bias": bits of the memory, one a unit, all in one row, words (1, ceil(U / 64)) and n_in U;
it reads integers, sums behind a max-pool or not, and adds +-1 times ``pad_value`` to them: 1, or of sums of pixels the
level that stands for 1.0. An operation has ``operation``, its word, and its fields. The last node gives scores, or
reals of shape (n_classes,).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bnnsim.checks import check_choice, check_int
from bnnsim.files.announced import check_fits
from bnnsim.packed.kinds import KINDS_OF_GRAPHS, MAX_VALUES, Bias, stage_of
from bnnsim.packed.layer import HIDDEN, OUTPUT, PackedLayer
from bnnsim.packed.operations import OPERATIONS, LargestPool, Operation
from bnnsim.packed.operations.operation import Shape
from bnnsim.packed.schema import (COMMON, MAX_LAYERS, MAX_TAPS, SETTINGS, Fields, check_input_shape, check_keys,
                                  check_metadata, check_stage, check_stored)
from bnnsim.packed.settings import check_setting
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import n_words

IMAGES = -1                     # the number that stands for the images
MAX_MACS = 2**36                # real-valued multiply-accumulates of an image
MAX_TOGETHER = 4 * MAX_VALUES   # values of all nodes of an image: branches keep them for long
DTYPES = {kind: np.dtype(name) for kind, name in (("pixels", np.uint8), ("bits", np.uint64), ("integers", np.int32),
                                                  ("reals", np.float32), ("scores", np.float64))}


class Node(NamedTuple):
    """A layer of bits or an operation, and the nodes that it reads; -1 is the images."""

    what: PackedLayer | Operation
    inputs: tuple[int, ...]


class Place(NamedTuple):
    """A node in its graph: the shape and kind of what it gives, for one image; of a layer of bits the Stage."""

    shape: Shape
    kind: str
    stage: Stage | None

    @property
    def value_shape(self) -> Shape:
        """Of its value's array, for one image: bits stand in words, pixels have their channels first."""
        if self.kind == "pixels":
            return (self.shape[-1], *self.shape[:-1])
        return self.shape if self.kind != "bits" else (*self.shape[:-1], n_words(self.shape[-1]))

    @property
    def dtype(self) -> np.dtype:
        """Of its value."""
        return DTYPES[self.kind]

    @property
    def value_bytes(self) -> int:
        """What its value takes for one image."""
        return self.dtype.itemsize * math.prod(self.value_shape)

    @property
    def image_bytes(self) -> int:
        """The same, and what sums on the way take."""
        return max(self.value_bytes, self.stage.image_bytes) if self.stage is not None else self.value_bytes

    def run(self, what: PackedLayer | Operation, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The node's value for a block, of what it reads."""
        if isinstance(what, Operation):
            return what.run(*inputs)
        x, = inputs
        if self.stage is None:
            raise TypeError("a layer of bits has a Stage")
        if self.kind == "integers":
            return self.stage.sums(x).reshape(len(x), *self.shape)
        return self.stage.bits(x) if self.kind == "bits" else self.stage.scores(x)


def fields_of(nodes: Sequence[Node], input_shape: Sequence[int], input_offset: int,
              metadata: Mapping[str, str]) -> Fields:
    """A graph as the plain dict that files hold."""
    if not isinstance(nodes, (list, tuple)):
        raise TypeError(f"nodes must be a list of Node, got {type(nodes).__name__}")
    listed = []
    for i, node in enumerate(nodes):
        if not isinstance(node, Node) or not isinstance(node.what, PackedLayer | Operation):
            raise TypeError(f"nodes[{i}] must be a Node of a PackedLayer or an Operation, got {node!r:.100}")
        listed.append({"inputs": node.inputs, **node.what.fields()})
    return {"input_shape": input_shape, "input_offset": input_offset, "metadata": dict(metadata), "nodes": listed}


def check_graph(graph: Fields) -> Fields:
    """A graph as this module describes it, with plain integers and C-contiguous arrays.

    Arrays may be `Announced`: then all but their values is checked. ValueError and TypeError name the node.
    """
    check_keys("graph", graph, ("input_shape", "input_offset", "metadata", "nodes"))
    input_shape = check_input_shape(graph["input_shape"])
    offset, nodes = check_int("input_offset", graph["input_offset"], 0, 255), graph["nodes"]
    if not isinstance(nodes, (list, tuple)):
        raise TypeError(f"nodes must be a list of dicts, got {type(nodes).__name__}")
    check_int("the number of nodes", len(nodes), 1, MAX_LAYERS)
    clean = [_check_node(i, node) for i, node in enumerate(nodes)]
    places_of([node_of(fields) for fields in clean], input_shape, offset)
    return {"input_shape": input_shape, "input_offset": offset, "nodes": clean,
            "metadata": check_metadata(graph["metadata"])}


def _check_node(i: int, node: Fields) -> Fields:
    """The clean fields of a node by itself."""
    name = f"nodes[{i}]"
    if not isinstance(node, dict) or "inputs" not in node:
        raise ValueError(f"{name} must be a dict with inputs, got {node!r:.100}")
    inputs = node["inputs"]
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(f"{name} inputs must be numbers of nodes before it, -1 for the images, got {inputs!r:.100}")
    read = tuple(check_int(f"{name} inputs[{j}]", at, IMAGES, i - 1) for j, at in enumerate(inputs))
    rest = {key: value for key, value in node.items() if key != "inputs"}
    if "operation" in rest:
        return {"inputs": read, **_check_operation(name, rest)}
    ending = HIDDEN if "threshold" in rest else OUTPUT if "mean" in rest else {}
    return {"inputs": read, **check_stored(name, rest, ending, kinds=KINDS_OF_GRAPHS)}


def _check_operation(name: str, fields: Fields) -> Fields:
    kind = OPERATIONS[check_choice(f"{name} operation", fields["operation"], OPERATIONS)]
    check_keys(name, fields, ("operation", *kind.settings, *kind.arrays))
    clean: Fields = {"operation": kind.word}
    for key, n in kind.settings.items():
        low, high = kind.limits[key]
        clean[key] = check_setting(f"{name} {key}", fields[key], n, low, high)
    for key, n_axes in kind.arrays.items():
        clean[key] = check_fits(f"{name} {key}", fields[key], np.dtype(np.float32), (None,) * n_axes)
        if 0 in clean[key].shape:
            raise ValueError(f"{name} {key} must not be empty, got shape {clean[key].shape}")
    return clean


def node_of(fields: Fields) -> Node:
    """The node of clean fields."""
    rest = {key: value for key, value in fields.items() if key not in ("inputs", "operation")}
    if "operation" in fields:
        return Node(OPERATIONS[fields["operation"]](**rest), fields["inputs"])
    return Node(PackedLayer(**rest), fields["inputs"])


def places_of(nodes: Sequence[Node], input_shape: tuple[int, int, int], input_offset: int) -> tuple[Place, ...]:
    """Each node in its graph; ValueError where one cannot read what it is given."""
    channels, height, width = input_shape
    images = Place((height, width, channels), "pixels", None)
    found: list[Place] = []
    n_layers = taps = macs = values = 0
    for i, node in enumerate(nodes):
        name, read = f"nodes[{i}]", [images if at == IMAGES else found[at] for at in node.inputs]
        if isinstance(node.what, Operation):
            found.append(_operation_place(name, node.what, read))
            macs += node.what.macs(*(place.shape for place in read))
        else:
            stage = _stage(name, node.what, read, n_layers, input_offset, _bound(nodes, found, node.inputs[0]))
            found.append(_layer_place(name, check_stage(name, stage), i == len(nodes) - 1))
            n_layers += 1
            taps += stage.n_positions * math.prod(stage.patch_shape[:2])
        check_int(f"{name}: the number of values of its output", math.prod(found[-1].shape), high=MAX_VALUES)
        values += math.prod(found[-1].shape)
        check_int(f"the number of values of nodes up to [{i}] together", values, high=MAX_TOGETHER)
        check_int(f"the number of output positions times that of taps, of nodes up to [{i}]", taps, high=MAX_TAPS)
        check_int(f"the number of real-valued multiply-accumulates of nodes up to [{i}]", macs, high=MAX_MACS)
    _check_end(nodes, found)
    return tuple(found)


def _operation_place(name: str, what: Operation, read: list[Place]) -> Place:
    low, high = what.n_inputs
    check_int(f"{name}: the number of inputs of {what.word}", len(read), low, high)
    for place in read:
        if place.kind not in what.reads:
            raise ValueError(f"{name}: {what.word} reads {' or '.join(what.reads)}, got {place.kind}")
    if len({place.kind for place in read}) > 1:
        raise ValueError(f"{name}: {what.word} reads what is of one kind, got {', '.join(p.kind for p in read)}")
    try:
        return Place(what.output_shape(*(place.shape for place in read)), what.kind_of(read[0].kind), None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _stage(name: str, layer: PackedLayer, read: list[Place], n_before: int, input_offset: int, most: int) -> Stage:
    """A layer of bits at its place, not checked yet; `most`: of the integers that it reads, if it does, the largest."""
    check_int(f"{name}: the number of inputs of a layer of bits", len(read), 1, 1)
    before, = read
    fields = {key: getattr(layer, key) for key in (*COMMON, *SETTINGS, *layer.ending)}
    if layer.kind == "bias":
        if before.kind != "integers":
            raise ValueError(f"{name}: a bias reads sums of a layer of bits, integers, got {before.kind}")
        return Bias(PackedLayer(**fields), n_before, before.shape, None, most)
    if before.kind not in ("pixels", "bits"):
        raise ValueError(f"{name}: a layer of bits reads bits or pixels, got {before.kind}: put a sign before it")
    return stage_of(PackedLayer(**fields), n_before, before.shape, input_offset if before.kind == "pixels" else None)


def _bound(nodes: Sequence[Node], found: Sequence[Place], at: int) -> int:
    """The largest |h| of a layer of bits, seen through the max-pools behind it."""
    while at != IMAGES and isinstance(nodes[at].what, LargestPool):
        at = nodes[at].inputs[0]
    stage = None if at == IMAGES else found[at].stage
    return 0 if stage is None else stage.bound


def _layer_place(name: str, stage: Stage, is_last: bool) -> Place:
    layer = stage.layer
    if layer.threshold is None and layer.pools:
        raise ValueError(f"{name}: a layer whose sums are read must not have a pool: put a max-pool behind it")
    if layer.mean is not None and not is_last:
        raise ValueError(f"{name}: mean, scale and shift of scores are those of a layer that is the last node")
    if layer.mean is not None:                          # of a map's sums over all positions
        return Place(stage.output_shape[-1:], "scores", stage)
    return Place(stage.output_shape, "bits" if layer.threshold is not None else "integers", stage)


def _check_end(nodes: Sequence[Node], found: list[Place]) -> None:
    last = found[-1]
    if last.kind not in ("scores", "reals") or len(last.shape) != 1:
        raise ValueError(f"the last node must give scores, or reals (n_classes,), it gives {last.kind} {last.shape}")
    unread = set(range(len(nodes) - 1)) - {at for node in nodes for at in node.inputs}
    if unread:
        raise ValueError(f"every node but the last must be read by another, nodes {sorted(unread)[:5]} are not")
    if not any(place.stage is not None for place in found):
        raise ValueError("a graph must have a layer of bits: without one nothing is in the memory")
