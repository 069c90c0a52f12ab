"""ONNX graphs with branches, or with parts that are not of one bit, into a `Sketch`.

A node that is not represented is refused by its name, but only where the scores read it: what training has left
behind, such as the polynomial of (sign(x) - p(x)) + p(x), need not be understood.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import bnnsim.interop.onnx_maps as maps
import bnnsim.interop.onnx_numbers as numbers
from bnnsim.interop.graph_parts import Sketch, Value
from bnnsim.interop.input_codes import Code
from bnnsim.interop.onnx_chain import OF_SCORES, chain_of
from bnnsim.interop.onnx_constants import OPERATIONS, Constants
from bnnsim.interop.onnx_tensors import Data, Refused, Tensor, by_channel, straight_through
from bnnsim.interop.protobuf import OnnxGraph, OnnxNode
from bnnsim.interop.steps import Network
from bnnsim.interop.weights import Reading

READ_PADDED = ("Conv", "AveragePool")


@dataclass(frozen=True)
class OnnxModel:
    """A graph of a file, which may be a chain."""

    graph: OnnxGraph
    form: str = "ONNX"

    @property
    def has_branches(self) -> bool:
        """Whether a tensor is read twice, or a node reads two: constants, and shapes alone, left aside."""
        data = {name for name in self.graph.inputs if name not in self.graph.constants}
        read: set[str] = set()
        for node in self.graph.nodes:
            given = [name for name in node.inputs if name in data]
            if given and node.op != "Shape":
                if len(given) > 1 or not read.isdisjoint(given):
                    return True
                read.update(given)
                data.update(node.outputs)
        return False

    def chain(self) -> Network:
        """The nodes as a chain."""
        return chain_of(self.graph)

    def sketch(self, code: Code, reading: Reading) -> tuple[Sketch, Value]:
        """(All that the graph computes, its scores)."""
        reader = Reader(self.graph, code, reading)
        for node, names in reader.nodes():
            reader.take(node, names)
        return reader.sketch, reader.scores()


class Reader(Constants):
    """Constants and tensors so far."""

    def __init__(self, graph: OnnxGraph, code: Code, reading: Reading) -> None:
        super().__init__(graph)
        self.code, self.reading = code, reading
        self.tensors: dict[str, Data] = {self.input: self.begun(self.input_sizes)}

    def begun(self, sizes: tuple[int, ...]) -> Tensor:
        """The input, as (C, H, W), (C, L) or (F,)."""
        shape = (sizes[0], 1, sizes[1]) if len(sizes) == 2 else (1,) * (3 - len(sizes)) + sizes
        n_constants = sum(value.size for value in self.graph.constants.values())
        self.sketch = Sketch((shape[0], shape[1], shape[2]), self.code, self.reading, n_constants)
        return Tensor(self.sketch.images, sizes)

    def take(self, node: OnnxNode, names: list[str]) -> None:
        """One node more, which reads these."""
        missing = [name for name in names if name not in self.constants and name not in self.tensors]
        if missing:
            raise ValueError(f"{node} reads {', '.join(missing[:3])}, which no node before it gives")
        data = [self.tensors[name] for name in names if name not in self.constants]
        if not data and node.op in OPERATIONS:
            return self.compute(node, names)
        try:
            if node.op == "Shape" and data and isinstance(data[0], Tensor):
                self.constants[node.outputs[0]] = np.array([0, *data[0].sizes])
            else:
                self.tensors[node.outputs[0]] = self._made(node, data)
        except ValueError as error:
            self.tensors[node.outputs[0]] = Refused(str(error))

    def _made(self, node: OnnxNode, data: list[Data]) -> Data:
        if node.op == "Add" and len(data) == 2 and (signs := straight_through(*data)) is not None:
            return signs
        if node.op == "Sub" and len(data) == 2:
            return numbers.difference(self, node, *data)
        if node.op in SIGNS and isinstance(data[0], Refused) and data[0].same_sign is not None:
            data[0] = data[0].same_sign
        refused = next((each for each in data if isinstance(each, Refused)), None)
        if refused is not None:
            return refused
        if node.op not in NODES or not data:
            return Refused(f"{node} of constants is not represented" if not data else
                           f"{node} is not represented; known are {', '.join(sorted(NODES))}")
        tensors = [each for each in data if isinstance(each, Tensor)]
        for each in tensors:
            if each.ended_by and node.op not in ("Identity", "Cast"):
                raise ValueError(f"{node} stands behind {each.ended_by}, which only scores may pass")
            if each.padded is not None and node.op not in READ_PADDED:
                raise ValueError(f"{node} reads a padded map: only convolutions and averages do")
        if len(tensors) > 1 and node.op not in JOINS:
            raise ValueError(f"{node} computes with two maps: only sums of maps, and maps side by side, are "
                             "represented")
        return NODES[node.op](self, node, *tensors)

    def scores(self) -> Value:
        """What the graph gives."""
        found = self.tensors.get(self.graph.outputs[0]) if len(self.graph.outputs) == 1 else None
        if found is None:
            raise ValueError(f"the graph gives {', '.join(self.graph.outputs[:5]) or 'nothing'}: wanted one output, of "
                             "scores")
        if isinstance(found, Refused):
            raise ValueError(found.why)
        return found.value

    # ------------------------------------------------------------ what nodes have

    def weights(self, node: OnnxNode, ndim: int) -> np.ndarray:
        """Input 1 as weights, the data being input 0."""
        value = self.constant(node, 1)
        if value.ndim != ndim or value.size == 0:
            raise ValueError(f"{node}: wanted data and weights of {ndim} axes, got weights of shape {value.shape}")
        return value

    def data_first(self, node: OnnxNode) -> bool:
        """Whether data is input 0, of two, and the other is constant."""
        if len(node.inputs) != 2:
            raise ValueError(f"{node} must have two inputs")
        return node.inputs[0] not in self.constants

    def other(self, node: OnnxNode, x: Tensor) -> np.ndarray:
        """Its constant input, one number or one a channel."""
        return by_channel(node, x, self.constant(node, 1 if self.data_first(node) else 0)).astype(np.float64)


Take = Callable[..., Data]
SIGNS = ("Sign", "BipolarQuant", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
JOINS = ("Add", "Sum", "Concat")
NODES: dict[str, Take] = {
    "MatMul": numbers.matmul, "Gemm": numbers.gemm, "Conv": numbers.conv, "Pad": numbers.pad,
    "BatchNormalization": numbers.norm, "Sign": numbers.sign, "BipolarQuant": numbers.bipolar, "Neg": numbers.negate,
    "Not": numbers.opposite, "Where": numbers.where, "Clip": numbers.clip, "Tanh": numbers.tanh, "Sum": numbers.total,
    "Concat": maps.concatenate, "Flatten": maps.flatten, "Reshape": maps.reshape,
    "Transpose": maps.transpose,
    "Slice": maps.every_other,
    **dict.fromkeys(("Squeeze", "Unsqueeze"), maps.squeeze),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool"), maps.largest),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), maps.average),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), maps.reduce),
    **dict.fromkeys(("Relu", "PRelu", "LeakyRelu"), numbers.rectify),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), numbers.arithmetic),
    **dict.fromkeys(SIGNS[2:], numbers.compare),
    **dict.fromkeys(("Identity", "Cast", "Dropout"), numbers.nothing), **dict.fromkeys(OF_SCORES, numbers.ending)}
