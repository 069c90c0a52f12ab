"""Functional models of Keras and Larq that have branches, or layers of float32, into a `Sketch`.

A layer of a chain becomes the steps that it is there; joins, ReLU, PReLU and average pools are a graph's alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnsim.interop.graph_parts import Sketch, Value
from bnnsim.interop.input_codes import Code
from bnnsim.interop.keras_layers import Config, Take, input_shape, network_of, pool_of, steps_of
from bnnsim.interop.steps import Affine, LeftOut, Network, Pool, Sign, Step, Total, Weigh
from bnnsim.interop.weights import Reading

Shape = tuple[int, ...]
Makes = Callable[[Sketch, list[Value]], Value]              # of what a layer reads, what it gives
JOINS = ("Add", "Concatenate")
RELU = ("ReLU", "LeakyReLU", "PReLU")


@dataclass(frozen=True)
class KerasGraph:
    """Layers, the names of those that each reads, and where their arrays are.

    form : what kind of file it is
    output : the name of the layer that gives the scores
    """

    layers: Sequence[Config]
    inbound: Sequence[Sequence[str]]
    output: str
    take: Take
    form: str

    @property
    def has_branches(self) -> bool:
        """Whether a layer reads another than the one before it, or several."""
        names = [str(layer["config"].get("name", i)) for i, layer in enumerate(self.layers)]
        return any(list(reads) != [before] for before, reads in zip(names, self.inbound[1:]))

    def chain(self) -> Network:
        """The layers as a chain."""
        return network_of(self.layers, self.take, self.form)

    def sketch(self, code: Code, reading: Reading) -> tuple[Sketch, Value]:
        """(All that the model computes, its scores)."""
        numbers = [0]

        def counted(i: int, name: str, shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
            arrays = self.take(i, name, shapes)
            numbers[0] += sum(value.size for value in arrays.values())
            return arrays

        made, (height, width, channels) = self.walk(counted)
        sketch = Sketch((channels, height, width), code, reading, numbers[0])
        values: dict[str, Value] = {}
        for name, reads, make in made:
            values[name] = make(sketch, [values[each] for each in reads]) if reads else sketch.images
        if self.output not in values:
            raise ValueError(f"the model gives {self.output[:60]!r}, which is none of its layers")
        return sketch, values[self.output]

    def walk(self, take: Take) -> tuple[list[tuple[str, Sequence[str], Makes]], tuple[int, int, int]]:
        """(Of each layer its name, what it reads, and how its value is made; the input's shape)."""
        shapes: dict[str, Shape] = {}
        ended: set[str] = set()                             # what only scores may pass, such as a softmax
        found: list[tuple[str, Sequence[str], Makes]] = []
        first: Shape | None = None
        for i, (layer, reads) in enumerate(zip(self.layers, self.inbound)):
            kind, config = layer["class_name"], layer["config"]
            name = str(config.get("name", f"layer {i}"))
            missing = [each for each in reads if each not in shapes]
            if missing or name in shapes or (not reads) != (kind == "InputLayer") or (not reads and first is not None):
                raise ValueError(f"{name} reads {', '.join(missing) or 'no layer'}: wanted one input, layers in order")
            if not reads:
                first = shapes[name] = input_shape(config.get("batch_input_shape", config.get("batch_shape")), False)
                found.append((name, (), lambda sketch, values: values[0]))
                continue
            if not ended.isdisjoint(reads):
                raise ValueError(f"{name} stands behind {', '.join(reads)}, which only scores may pass")
            make, shapes[name], ends = _layer(i, name, kind, config, [shapes[each] for each in reads], take)
            found.append((name, reads, make))
            ended.update([name] * ends)
        if first is None or len(first) != 3:
            raise ValueError(f"the model reads {first}: wanted images (height, width, channels)")
        return found, (first[0], first[1], first[2])


def _layer(i: int, name: str, kind: str, config: Config, shapes: list[Shape], take: Take) -> tuple[Makes, Shape, bool]:
    """(How a layer's value is made, its shape, whether only scores may pass it)."""
    if kind in JOINS and len({shape[:-1] if kind == "Concatenate" else shape for shape in shapes}) > 1:
        raise ValueError(f"{name} joins maps of the shapes {', '.join(map(str, shapes[:5]))}")
    if kind == "Add" and len(shapes) > 1:
        return lambda sketch, values: sketch.add(name, *values), shapes[0], False
    if kind == "Concatenate" and len(shapes) > 1:
        if config.get("axis", -1) not in (-1, len(shapes[0])):
            raise ValueError(f"{name} joins along axis {str(config.get('axis'))[:20]}: wanted the last")
        channels = sum(shape[-1] for shape in shapes)
        return lambda sketch, values: sketch.concatenate(name, *values), (*shapes[0][:-1], channels), False
    if len(shapes) != 1:
        raise ValueError(f"{name} is a {kind[:60]} of {len(shapes)} inputs: only Add and Concatenate are represented")
    shape, = shapes
    if kind in RELU or (kind == "Activation" and config.get("activation") == "relu"):
        return _rectifier(i, name, kind, config, shape, take), shape, False
    if kind == "AveragePooling2D":
        pool = pool_of(name, kind, config, shape)
        return (lambda sketch, values: sketch.average(name, values[0], pool.size, pool.stride, pool.pads),
                (*pool.sizes(shape), shape[2]), False)
    steps, behind = steps_of(i, kind, config, shape, take)

    def make(sketch: Sketch, values: list[Value]) -> Value:
        value, = values
        for step in steps:
            value = _applied(sketch, value, step)
        return value
    return make, behind, any(isinstance(step, LeftOut) and step.why == "scores" for step in steps)


def _rectifier(i: int, name: str, kind: str, config: Config, shape: Shape, take: Take) -> Makes:
    """ReLU between bounds, with a slope, or with one that is learned."""
    if kind == "PReLU":
        axes = config.get("shared_axes")
        if len(shape) == 3 and axes != [1, 2]:
            raise ValueError(f"{name} has slopes that differ from position to position: wanted shared_axes [1, 2]")
        slope = take(i, name, {"alpha": (1,) * (len(shape) - 1) + shape[-1:]})["alpha"].reshape(-1)
        return lambda sketch, values: sketch.prelu(name, values[0], slope, (f"{name}/alpha",))
    if kind == "LeakyReLU":
        given = _number(name, config, "negative_slope", _number(name, config, "alpha", 0.3))
        return lambda sketch, values: sketch.prelu(name, values[0], np.array(given))
    if _number(name, config, "negative_slope", 0.0) or _number(name, config, "threshold", 0.0):
        raise ValueError(f"{name} has a slope, or a threshold, that is not 0")
    most = _number(name, config, "max_value", np.inf)
    return lambda sketch, values: sketch.clip(name, values[0], 0.0, most)


def _number(name: str, config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key)
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{name}: {key} must be a number, got {str(value)[:40]}")
    return default if value is None else float(value)


def _applied(sketch: Sketch, value: Value, step: Step) -> Value:
    """A step of a chain, in a graph."""
    if isinstance(step, Sign):
        return sketch.sign(step.name, value, step.at_zero)
    if isinstance(step, Weigh):
        return sketch.weigh(step, value)
    if isinstance(step, Affine):
        return sketch.affine(step.name, value, step.scale.reshape(-1), step.intercept.reshape(-1), step.sources)
    if isinstance(step, Pool):
        return sketch.largest(step.name, value, step.size, step.stride, step.pads)
    if isinstance(step, Total):
        return sketch.global_average(step.name, value)
    if isinstance(step, LeftOut) and step.why == "keeps signs":
        raise ValueError(f"{step.name} is not represented in a graph")
    return value                                            # maps are read in H, W, C order; a softmax is left out
