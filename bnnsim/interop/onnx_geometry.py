"""Attributes of ONNX's convolutions and pools as pairs and sides; what is 1-D there is a map of one row here."""

import math

import numpy as np

from bnnsim.interop.protobuf import OnnxNode
from bnnsim.packed.forward import Pair, Sides
from bnnsim.packed.settings import same_padding

MAX_SIZE = 2**16


def whole(node: OnnxNode, key: str, n: int, least: int) -> tuple[int, ...]:
    """An attribute of n integers, which are the least that they may be where there is none."""
    value = node.attributes.get(key, [least] * n)
    if not isinstance(value, list) or len(value) != n or \
            any(type(i) is not int or not least <= i < MAX_SIZE for i in value):
        raise ValueError(f"{node}: {key} must be {n} sizes, got {str(value)[:60]}")
    return tuple(value)


def pair(node: OnnxNode, key: str, n_axes: int) -> Pair:
    """Sizes of rows and columns, 1 where there is none."""
    found = whole(node, key, n_axes, 1)
    return (1, found[0]) if n_axes == 1 else (found[0], found[1])


def pads_of(node: OnnxNode, sizes: Pair, kernel: Pair, stride: Pair, dilation: Pair, n_axes: int) -> Sides:
    """Around a map of these sizes, by numbers or by what auto_pad says."""
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        found = whole(node, "pads", 2 * n_axes, 0)
        return (0, found[0], 0, found[1]) if n_axes == 1 else (found[0], found[1], found[2], found[3])
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"{node}: auto_pad {str(auto)[:40]!r} is not represented")
    top, left, bottom, right = same_padding(sizes, kernel, stride, dilation)
    return (bottom, right, top, left) if auto == "SAME_LOWER" else (top, left, bottom, right)


def padded_by(node: OnnxNode, given: np.ndarray | None, n_axes: int) -> Sides | None:
    """What a Pad puts around a map; None where it pads other axes, or cuts off."""
    found = node.attributes.get("pads", []) if given is None else given.reshape(-1)[:9].tolist()
    n = n_axes + 2
    if not isinstance(found, list) or len(found) != 2 * n or any(found[i] for i in (0, 1, n, n + 1)) or \
            any(type(size) is not int or not 0 <= size < MAX_SIZE for size in found):
        return None
    return (0, found[2], 0, found[5]) if n_axes == 1 else (found[2], found[3], found[6], found[7])


def with_overhang(sizes: Pair, kernel: Pair, stride: Pair, pads: Sides) -> Sides:
    """The pads with which windows that reach past the map count too: ceil_mode; none begins past it."""
    behind = []
    for size, k, step, before, after in zip(sizes, kernel, stride, pads[:2], pads[2:]):
        last = max(math.ceil((size + before + after - k) / step), 0)
        while last > 0 and last * step >= size + before:
            last -= 1
        behind.append(max(last * step + k - size - before, 0))
    return pads[0], pads[1], behind[0], behind[1]
