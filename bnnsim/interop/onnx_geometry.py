"""Attributes of ONNX's convolutions and pools as pairs and sides; what is 1-D there is a map of one row here."""

import math
from typing import Any

import numpy as np

from bnnsim.interop.protobuf import OnnxNode
from bnnsim.interop.steps import Pool, Weigh
from bnnsim.packed.forward import NO_PADDING, Pair, Sides
from bnnsim.packed.settings import same_padding

MAX_SIZE = 2**16

Padded = tuple[Sides, float, str]           # what a Pad has put around a map: sides, number, mode


def listed(node: OnnxNode, key: str, given: np.ndarray | None) -> Any:
    """A list that newer operators have as an input, and older ones as an attribute, which may be anything."""
    return node.attributes.get(key, []) if given is None else given.reshape(-1)[:9].tolist()


def map_sizes(sizes: tuple[int, ...]) -> Pair:
    """(H, W) of (C, H, W); of (C, L) those of one row."""
    return (sizes[-2], sizes[-1]) if len(sizes) == 3 else (1, sizes[-1])


def map_axes(node: OnnxNode, sizes: tuple[int, ...], order: str) -> int:
    """Of a map, with its channels first: 2, or 1."""
    if len(sizes) not in (2, 3) or order != "CHW":
        raise ValueError(f"{node} wants a map with its channels first, and reads data of {sizes} in {order} order")
    return len(sizes) - 1


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
    found, n = listed(node, "pads", given), n_axes + 2
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


def with_pad(node: OnnxNode, padded: Padded | None, pads: Sides) -> Padded:
    """Its own padding, or that of a Pad before it."""
    if padded is None:
        return pads, 0.0, "constant"
    if any(pads):
        raise ValueError(f"{node} pads a map that a Pad has padded before")
    return padded


def convolution(node: OnnxNode, weight: np.ndarray, sizes: tuple[int, ...], padded: Padded | None) -> Weigh:
    """Of weights (K, C / groups, kh, kw) on a map (C, H, W), or (K, C / groups, kw) on (C, L)."""
    n_axes, groups = len(sizes) - 1, node.attributes.get("group", 1)
    if type(groups) is not int or groups < 1 or weight.shape[1] * groups != sizes[0] or len(weight) % groups:
        raise ValueError(f"{node}: weights of shape {weight.shape} in {str(groups)[:20]} groups for data of {sizes}")
    kernel = (1, weight.shape[2]) if n_axes == 1 else (weight.shape[2], weight.shape[3])
    stride, dilation = pair(node, "strides", n_axes), pair(node, "dilations", n_axes)
    pads, value, mode = with_pad(node, padded, pads_of(node, map_sizes(sizes), kernel, stride, dilation, n_axes))
    return Weigh(str(node), np.moveaxis(weight, 1, -1).reshape(len(weight), *kernel, -1), stride, pads, value,
                 mode == "edge", dilation, groups, sources=(node.inputs[1],))


def pool_of(node: OnnxNode, sizes: tuple[int, ...], pads: Sides = NO_PADDING) -> Pool:
    """Windows on a map, with its own padding where there is none yet; those that reach past the map count too."""
    n_axes, given = len(sizes) - 1, map_sizes(sizes)
    size, stride = pair(node, "kernel_shape", n_axes), pair(node, "strides", n_axes)
    if not any(pads):
        pads = pads_of(node, given, size, stride, (1, 1), n_axes)
    if pair(node, "dilations", n_axes) != (1, 1):
        raise ValueError(f"{node} pools values that lie apart (dilations), which is not represented")
    if node.attributes.get("ceil_mode", 0):
        pads = with_overhang(given, size, stride, pads)
    found = Pool(str(node), size, stride, pads)
    found.sizes(given)                      # or else no window fits
    return found


def summed_axes(node: OnnxNode, given: np.ndarray | None, sizes: tuple[int, ...], channel_axis: int) -> list[int]:
    """Axes of a batch that a node adds up, which must be all but that of the channels."""
    axes, n = listed(node, "axes", given), len(sizes) + 1
    wanted = sorted({*range(1, n)} - {1 + channel_axis})
    if n < 3 or not isinstance(axes, list) or sorted(axis % n for axis in axes) != wanted:
        raise ValueError(f"{node} adds up axes {str(axes)[:60]} of {sizes}: all positions of a map, {wanted}, are "
                         "represented")
    return wanted
