"""Nodes of an ONNX graph that depend on constants alone, such as the quantizers of weights: their values."""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from bnnsim.interop.graph_parts import SLACK
from bnnsim.interop.protobuf import TYPES, OnnxGraph, OnnxNode

SMALL = 2**16                       # values that a result may have beside the largest array of the file
MOST_EXPANDED = 2**22               # of an Expand to a map's shape, which takes no memory by itself

DOMAINS = {"": "ONNX", "ai.onnx": "ONNX", "onnx.brevitas": "QONNX", "qonnx.custom_op.general": "QONNX",
           "finn.custom_op.general": "QONNX"}

Arrays = list[np.ndarray]


class Constants:
    """Of a graph so far, and its one input; sizes are those of one image.

    What nodes have made is let go when another constant is made of it and nothing else reads it, and what is left holds
    in proportion to the file: a layer keeps what it reads.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph, self.constants = graph, dict(graph.constants)
        sizes_of_file = [value.size for value in graph.constants.values()]
        self.most, self.left = max(sizes_of_file, default=0), SLACK + 4 * sum(sizes_of_file)
        self.made: dict[str, int] = {}                          # by nodes, and how many values of their own each has
        self.last_reader = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        inputs = [name for name in graph.inputs if name not in graph.constants]
        if len(inputs) != 1:
            raise ValueError(f"the graph reads {', '.join(inputs[:5]) or 'nothing'}: wanted one input")
        self.input, sizes = inputs[0], graph.inputs[inputs[0]][1:]
        if not 1 <= len(sizes) <= 3 or any(n is None or not 0 < n < 2**26 for n in sizes):
            raise ValueError(f"the input {self.input} has the sizes {graph.inputs[self.input]}: all but the batch's "
                             "must be known")
        self.input_sizes = tuple(n for n in sizes if n is not None)

    def nodes(self) -> Iterator[tuple[OnnxNode, list[str]]]:
        """All nodes and the names that each reads."""
        for i, node in enumerate(self.graph.nodes):
            names = [name for name in node.inputs if name]
            if node.domain not in DOMAINS:
                raise ValueError(f"{node} is of the domain {node.domain[:60]!r}, which is not known")
            if not node.outputs or len(names) > 64:
                raise ValueError(f"{node} has {len(names)} inputs and {len(node.outputs)} outputs")
            yield node, names
            done = {name for name in names if self.last_reader[name] == i} if node.outputs[0] in self.made else set()
            for name in done & self.made.keys() - {node.outputs[0]}:
                self.left += self.made.pop(name)
                del self.constants[name]

    def compute(self, node: OnnxNode, names: list[str]) -> None:
        """A constant more, of constants."""
        found, name = value_of(node, [self.constants[name] for name in names], self.most), node.outputs[0]
        n_own = 0 if node.op in ("Constant", "Expand") else found.size           # of the file, or a view
        self.left += self.made.get(name, 0) - n_own
        if self.left < 0:
            raise ValueError(f"{node}: its constants would be more than four times as many numbers as the file has")
        self.constants[name], self.made[name] = found, n_own

    def constant(self, node: OnnxNode, i: int) -> np.ndarray:
        """Input i, which must be a constant."""
        if i >= len(node.inputs) or node.inputs[i] not in self.constants:
            raise ValueError(f"{node}: its input {i} must be a constant")
        return self.constants[node.inputs[i]]

    def optional(self, node: OnnxNode, i: int) -> np.ndarray | None:
        """Input i, if there is one."""
        return self.constant(node, i) if i < len(node.inputs) and node.inputs[i] else None


def value_of(node: OnnxNode, given: Arrays, most: int) -> np.ndarray:
    """What a node gives of constants; at most `most` values."""
    if node.op not in OPERATIONS:
        raise ValueError(f"{node} of constants is not represented")
    if node.op in ELEMENTWISE:
        try:
            shape = np.broadcast_shapes(*(value.shape for value in given))
        except ValueError:
            raise ValueError(f"{node}: its constants have the shapes {[value.shape for value in given]}") from None
        _check_size(node, int(np.prod(shape, dtype=np.float64)), most)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(OPERATIONS[node.op](node, given))
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"{node} of constants cannot be computed: {str(error)[:200]}") from None
    if node.op != "Expand":
        _check_size(node, found.size, most)
    return found


def _check_size(node: OnnxNode, size: int, most: int) -> None:
    if size > max(most, SMALL):
        raise ValueError(f"{node} of constants would have {size:,} values, more than any of the file")


def _optional(node: OnnxNode, given: Arrays, i: int) -> np.ndarray | None:
    """Input i, if there is one; those that are left out before others have no name, and are not among the given."""
    return given[sum(map(bool, node.inputs[:i]))] if i < len(node.inputs) and node.inputs[i] else None


def _axes(node: OnnxNode, given: Arrays) -> tuple[int, ...]:
    axes = given[1].reshape(-1).tolist() if len(given) > 1 else node.attributes.get("axes", [])
    return tuple(int(axis) for axis in axes[:8])


def _gather(node: OnnxNode, given: Arrays) -> np.ndarray:
    if given[0].ndim != 1 or given[1].size > SMALL:
        raise ValueError("only parts of shapes are gathered")
    return given[0][given[1].astype(np.int64)]


def _slice(node: OnnxNode, given: Arrays) -> np.ndarray:
    """Of shapes and of pads, which PyTorch turns round by it, steps and axes included."""
    if given[0].ndim not in (1, 2) or given[0].size > SMALL or len(given) not in (3, 4, 5):
        raise ValueError("only parts of shapes are cut out")
    along, by = _optional(node, given, 3), _optional(node, given, 4)
    n = given[1].size
    starts, ends, axes, steps = ([int(each) for each in value.reshape(-1)[:2]] for value in (
        *given[1:3], np.arange(n) if along is None else along, np.ones(n) if by is None else by))
    cut = [slice(None)] * given[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return given[0][tuple(cut)].copy()                          # a view would keep the whole


def _concat(node: OnnxNode, given: Arrays) -> np.ndarray:
    if any(value.ndim != 1 for value in given):
        raise ValueError("only parts of shapes are joined")
    return np.concatenate(given)


def _constant(node: OnnxNode, given: Arrays) -> np.ndarray:
    value = next((node.attributes[key] for key in ("value", "value_float", "value_int", "value_floats", "value_ints")
                  if key in node.attributes), None)
    if value is None or isinstance(value, str):
        raise ValueError("it has no numbers")
    return np.asarray(value)


def _filled(node: OnnxNode, given: Arrays) -> np.ndarray:
    shape = [int(n) for n in given[0].reshape(-1)[:8]]
    if min(shape, default=0) < 0 or float(np.prod(shape, dtype=np.float64)) > SMALL:
        raise ValueError(f"{shape} values")
    return np.full(shape, np.asarray(node.attributes.get("value", np.float32(0))).reshape(-1)[0])


def _expanded(node: OnnxNode, given: Arrays) -> np.ndarray:
    """To a shape; 0 stands for a batch of any size."""
    shape = [max(int(n), 1) for n in given[1].reshape(-1)[:8]]
    shape = list(np.broadcast_shapes(tuple(shape), given[0].shape))
    if float(np.prod(shape, dtype=np.float64)) > MOST_EXPANDED:
        raise ValueError(f"{shape} values")
    return np.broadcast_to(given[0], shape)


def _reduced(node: OnnxNode, given: Arrays) -> np.ndarray:
    axes = _axes(node, given) or tuple(range(given[0].ndim))
    keep = bool(node.attributes.get("keepdims", 1))
    if node.op == "ReduceProd":
        return given[0].prod(axes, keepdims=keep)
    total = given[0].sum(axes, keepdims=keep)
    n = np.prod([given[0].shape[axis] for axis in axes], dtype=np.float64)
    return (total / n).astype(given[0].dtype) if node.op == "ReduceMean" else total


def _clipped(node: OnnxNode, given: Arrays) -> np.ndarray:
    low, high = _optional(node, given, 1), _optional(node, given, 2)
    return np.clip(given[0], node.attributes.get("min", -np.inf) if low is None else low,
                   node.attributes.get("max", np.inf) if high is None else high)


def _cast(node: OnnxNode, given: Arrays) -> np.ndarray:
    return given[0].astype(TYPES[node.attributes["to"]])


def _bipolar(node: OnnxNode, given: Arrays) -> np.ndarray:
    return np.where(given[0] >= 0, 1.0, -1.0) * given[1].astype(np.float64)


Operation = Callable[[OnnxNode, Arrays], np.ndarray]
ELEMENTWISE: dict[str, Operation] = {
    "Add": lambda _, g: g[0] + g[1], "Sub": lambda _, g: g[0] - g[1], "Mul": lambda _, g: g[0] * g[1],
    "Div": lambda _, g: g[0] / g[1] if g[0].dtype.kind == "f" else g[0] // g[1],
    "Pow": lambda _, g: np.power(g[0].astype(np.float64), g[1]), "Greater": lambda _, g: g[0] > g[1],
    "GreaterOrEqual": lambda _, g: g[0] >= g[1], "Less": lambda _, g: g[0] < g[1],
    "LessOrEqual": lambda _, g: g[0] <= g[1], "Where": lambda _, g: np.where(g[0], g[1], g[2]),
    "BipolarQuant": _bipolar,
    "Min": lambda _, g: functools.reduce(np.minimum, g), "Max": lambda _, g: functools.reduce(np.maximum, g)}
OPERATIONS: dict[str, Operation] = {
    **ELEMENTWISE, "Sqrt": lambda _, g: np.sqrt(g[0]), "Reciprocal": lambda _, g: 1 / g[0], "Neg": lambda _, g: -g[0],
    "Log": lambda _, g: np.log(g[0]), "Exp": lambda _, g: np.exp(g[0]), "Round": lambda _, g: np.rint(g[0]),
    "Floor": lambda _, g: np.floor(g[0]), "Ceil": lambda _, g: np.ceil(g[0]), "Tanh": lambda _, g: np.tanh(g[0]),
    "Abs": lambda _, g: np.abs(g[0]), "ReduceMean": _reduced, "ReduceSum": _reduced, "ReduceProd": _reduced,
    "Clip": _clipped, "Expand": _expanded, "Sign": lambda _, g: np.sign(g[0]), "Identity": lambda _, g: g[0],
    "Cast": _cast, "Constant": _constant,
    "Transpose": lambda node, g: g[0].transpose(node.attributes.get("perm")),
    "Reshape": lambda _, g: g[0].reshape([int(n) for n in g[1].reshape(-1)[:8]]),
    "Unsqueeze": lambda node, g: np.expand_dims(g[0], _axes(node, g)),
    "Squeeze": lambda node, g: np.squeeze(g[0], _axes(node, g) or None), "Shape": lambda _, g: np.array(g[0].shape),
    "Gather": _gather, "Slice": _slice, "Concat": _concat, "ConstantOfShape": _filled}
