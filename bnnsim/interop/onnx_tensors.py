"""Tensors of an ONNX graph beside the values that they are in a sketch: the order and sizes of their axes.

Sizes are those of one image, (C, H, W), (H, W, C), (C, L) or (F,).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnsim.interop.graph_parts import Value
from bnnsim.interop.onnx_geometry import Padded, listed, map_sizes
from bnnsim.interop.protobuf import OnnxNode
from bnnsim.packed.forward import Pair


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value as the file has it.

    order : "CHW" or "HWC", of a map's axes, or those that a row once was
    padded : what a Pad has put around it: sides, number, mode
    ended_by : the name of what only scores may pass, such as a softmax
    difference : (a, b) of which it is a - b
    """

    value: Value
    sizes: tuple[int, ...]
    order: str = "CHW"
    padded: Padded | None = None
    ended_by: str = ""
    difference: "tuple[Data, Data] | None" = None

    @property
    def map_sizes(self) -> Pair:
        """(H, W), of one row where there is but one axis."""
        return map_sizes(self.sizes)

    @property
    def channel_axis(self) -> int:
        """Of its sizes."""
        return len(self.sizes) - 1 if self.order == "HWC" and len(self.sizes) == 3 else 0


@dataclass(frozen=True, eq=False)
class Refused:
    """A tensor that is not represented, and why; it matters only where the scores read it.

    difference : as a Tensor's
    same_sign : a tensor that has the same signs
    """

    why: str
    difference: "tuple[Data, Data] | None" = None
    same_sign: Tensor | None = None


Data = Tensor | Refused


def straight_through(first: Data, second: Data) -> Tensor | None:
    """Signs s of (s - x) + x, in which exporters leave what training's gradients go through."""
    for total, other in ((first, second), (second, first)):
        if total.difference is not None and total.difference[1] is other:
            signs = total.difference[0]
            if isinstance(signs, Tensor) and signs.value.bits is not None:
                return signs
    return None


def by_channel(node: OnnxNode, data: Tensor, value: np.ndarray) -> np.ndarray:
    """A constant that meets the data: one number, or one a channel, in the order of channels."""
    if value.size == 1:
        return value.reshape(())
    n = len(data.sizes) + 1
    shape = (1,) * (n - value.ndim) + value.shape
    if len(shape) != n or any(size not in (1, wanted) for size, wanted in zip(shape, (1, *data.sizes))):
        raise ValueError(f"{node}: a constant of shape {value.shape} for data of {data.sizes}: wanted one value, or "
                         "one a channel")
    rest = value.reshape(shape[1:])
    if len(data.sizes) == 1 and len(data.value.shape) == 3:             # a map in a row
        rest = rest.reshape(map_shape(data))
        rest = rest if data.order == "CHW" else np.moveaxis(rest, -1, 0)
    else:
        rest = np.moveaxis(rest, data.channel_axis, 0)
    rows = rest.reshape(len(rest), -1)
    if not np.all(rows == rows[:, :1]):
        raise ValueError(f"{node}: a constant of shape {value.shape} that differs from position to position is not "
                         "represented: wanted one value a channel")
    return rows[:, 0]


def map_shape(data: Tensor) -> tuple[int, ...]:
    """Of a row that is a map: (C, H, W) or (H, W, C)."""
    height, width, channels = data.value.shape
    return (channels, height, width) if data.order == "CHW" else (height, width, channels)


def dense_weights(node: OnnxNode, data: Tensor, weight: np.ndarray) -> np.ndarray:
    """Weights (U, F) with features in H, W, C order."""
    if len(data.sizes) != 1 or weight.shape[1] != math.prod(data.sizes):
        raise ValueError(f"{node}: weights of {weight.shape[1]} features for data of {data.sizes}")
    if len(data.value.shape) == 1 or data.order == "HWC":
        return weight
    return weight.reshape(len(weight), *map_shape(data)).transpose(0, 2, 3, 1).reshape(weight.shape)


def changed(x: Tensor, value: Value | None = None, **more: Any) -> Tensor:
    """A tensor with another value, or other sizes."""
    fields: dict[str, Any] = {"sizes": x.sizes, "order": x.order, **more}
    return Tensor(x.value if value is None else value, **fields)


def channels_padded(node: OnnxNode, given: np.ndarray | None, x: Tensor) -> Pair | None:
    """How many channels a Pad puts before and behind those of a map; None where it pads its rows or columns too."""
    found, n = listed(node, "pads", given), len(x.sizes) + 1
    if not isinstance(found, list) or len(found) != 2 * n or any(type(size) is not int for size in found) or \
            any(size for i, size in enumerate(found) if i % n != 1) or min(found) < 0:
        return None
    return found[1], found[n + 1]
