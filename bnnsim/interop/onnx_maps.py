"""Nodes of an ONNX graph that pool maps, join them, or give their axes another shape; as in `onnx_numbers`."""

import math
from typing import TYPE_CHECKING

from bnnsim.interop.onnx_geometry import listed, map_axes, pads_of, pair, pool_of, summed_axes, with_pad
from bnnsim.interop.onnx_tensors import Tensor, changed
from bnnsim.interop.protobuf import OnnxNode

if TYPE_CHECKING:
    from bnnsim.interop.onnx_graph import Reader


# ---------------------------------------------------------------- pools

def largest(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Max-pooling; what it reads outside of the map is left out."""
    n_axes = map_axes(node, x.sizes, x.order)
    if node.op == "GlobalMaxPool":
        value = reader.sketch.largest(str(node), x.value, x.map_sizes, x.map_sizes)
        return changed(x, value, sizes=(x.sizes[0], *(1,) * n_axes))
    pool = pool_of(node, x.sizes)
    value = reader.sketch.largest(pool.name, x.value, pool.size, pool.stride, pool.pads)
    return changed(x, value, sizes=(x.sizes[0], *value.shape[2 - n_axes:2]))


def every_other(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """A Slice that takes every so many rows, and columns, from the first on, to the end."""
    starts, ends = (reader.constant(node, i).reshape(-1)[:9].tolist() for i in (1, 2))
    axes, steps = (default if value is None else value.reshape(-1)[:9].tolist() for value, default in (
        (reader.optional(node, 3), list(range(len(starts)))), (reader.optional(node, 4), [1] * len(starts))))
    apart, n = [1] * (len(x.sizes) + 1), len(x.sizes) + 1
    if not len(starts) == len(ends) == len(axes) == len(steps) or any(type(axis) is not int for axis in axes):
        raise ValueError(f"{node} has {len(starts)} starts, {len(ends)} ends, {len(axes)} axes")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        size = (0, *x.sizes)[axis % n]
        if start != 0 or end < size or type(step) is not int or not 1 <= step < 2**16 or (axis % n < 2 and step > 1):
            raise ValueError(f"{node} cuts {start}:{end}:{step} out of axis {axis} of {x.sizes}: every so many rows "
                             "and columns are represented")
        apart[axis % n] *= step
    if max(apart) == 1:
        return x
    n_axes = map_axes(node, x.sizes, x.order)
    stride = (1, apart[2]) if n_axes == 1 else (apart[2], apart[3])
    value = reader.sketch.average(str(node), x.value, (1, 1), stride)
    return changed(x, value, sizes=(x.sizes[0], *value.shape[2 - n_axes:2]))


def average(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """The average of each window; GlobalAveragePool: over all positions."""
    n_axes = map_axes(node, x.sizes, x.order)
    if node.op == "GlobalAveragePool":
        return _averaged(reader, node, x, True)
    size, stride = pair(node, "kernel_shape", n_axes), pair(node, "strides", n_axes)
    given = pads_of(node, x.map_sizes, size, stride, (1, 1), n_axes)
    pads, number, mode = with_pad(node, x.padded, given)
    whole = bool(node.attributes.get("count_include_pad", 0)) or x.padded is not None
    found = pool_of(node, x.sizes, pads).pads
    if number != 0 or mode != "constant" or (whole and any(pads) and found[2:] > pads[2:]):
        raise ValueError(f"{node} averages numbers of a padding that are not 0, or windows that reach past it")
    if size == x.map_sizes and not any(found):
        return _averaged(reader, node, x, True)
    value = reader.sketch.average(str(node), x.value, size, stride, found, whole and any(pads))
    return Tensor(value, (x.sizes[0], *value.shape[2 - n_axes:2]))


def _averaged(reader: "Reader", node: OnnxNode, x: Tensor, keep: bool) -> Tensor:
    value = x.value if len(x.value.shape) == 1 else reader.sketch.global_average(str(node), x.value)
    if not keep:
        return Tensor(value, value.shape)
    ones, channels = (1,) * (len(x.sizes) - 1), value.shape
    return changed(x, value, sizes=(*ones, *channels) if x.channel_axis else (*channels, *ones))


def reduce(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """The sum, or average, over all positions."""
    summed_axes(node, reader.optional(node, 1), x.sizes, x.channel_axis)
    found = _averaged(reader, node, x, bool(node.attributes.get("keepdims", 1)))
    if node.op == "ReduceMean":
        return found
    n_positions = float(math.prod(x.sizes) // x.sizes[x.channel_axis])
    return changed(found, reader.sketch.affine(f"{node}'s sum", found.value, n_positions))


# ---------------------------------------------------------------- shapes

def concatenate(reader: "Reader", node: OnnxNode, *xs: Tensor) -> Tensor:
    """Channels side by side."""
    axis, n = node.attributes.get("axis", None), len(xs[0].sizes) + 1
    same = {(len(x.sizes), x.order, len(x.value.shape)) for x in xs}
    rows = n == 2 and len(xs[0].value.shape) == 3
    if len(xs) != len(node.inputs) or type(axis) is not int or len(same) > 1 or rows or \
            axis % n != 1 + xs[0].channel_axis:
        raise ValueError(f"{node} joins {', '.join(str(x.sizes) for x in xs)} along axis {str(axis)[:20]}: maps "
                         "side by side, by channel, are represented")
    if len(xs) == 1:
        return xs[0]
    value, sizes = reader.sketch.concatenate(str(node), *(x.value for x in xs)), list(xs[0].sizes)
    sizes[xs[0].channel_axis] = value.shape[-1]
    return changed(xs[0], value, sizes=tuple(sizes))


def flatten(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Rows of all values of an image."""
    if node.attributes.get("axis", 1) not in (1, -len(x.sizes)):
        raise ValueError(f"{node} flattens from axis {str(node.attributes['axis'])[:20]}")
    return changed(x, sizes=(math.prod(x.sizes),))


def reshape(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """To rows; of an input, to a map."""
    wanted = [int(n) for n in reader.constant(node, 1).reshape(-1)[:8]][1:]
    wanted = [x.sizes[i] if n == 0 and i < len(x.sizes) else n for i, n in enumerate(wanted)]
    n_values, known = math.prod(x.sizes), math.prod(n for n in wanted if n > 0)
    shape = tuple(n_values // known if n == -1 else n for n in wanted)
    if wanted.count(-1) > 1 or min(shape, default=0) < 1 or math.prod(shape) != n_values:
        raise ValueError(f"{node} makes {wanted} of {x.sizes}")
    if shape == x.sizes or len(shape) == 1:
        return changed(x, sizes=shape)
    if len(reader.sketch.parts) == 1 and len(shape) == 3:
        return reader.begun(shape)
    if len(x.value.shape) == 1 and shape[0] == n_values:            # (C, 1, 1)
        return changed(x, sizes=shape, order="CHW")
    raise ValueError(f"{node} makes {shape} of {x.sizes} behind the input: rows of a map are represented")


def squeeze(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Axes of size 1 behind global pooling left out, or put in."""
    axes = listed(node, "axes", reader.optional(node, 1))
    n = len(x.sizes) + 1 + (len(axes) if node.op == "Unsqueeze" and isinstance(axes, list) else 0)
    if len(x.value.shape) != 1 or not isinstance(axes, list) or any(type(axis) is not int for axis in axes) or \
            0 in (found := {axis % n for axis in axes}) or n > 4:
        raise ValueError(f"{node} changes axes {str(axes)[:60]} of {x.sizes}: those behind global pooling are "
                         "represented")
    if node.op == "Unsqueeze":
        rest = iter(x.sizes)
        sizes = tuple(1 if axis in found else next(rest) for axis in range(1, n))
    else:
        if not found or any(x.sizes[axis - 1] != 1 for axis in found):
            raise ValueError(f"{node} leaves out axes {str(axes)[:60]} of {x.sizes}")
        sizes = tuple(size for axis, size in enumerate(x.sizes, 1) if axis not in found)
    if len(sizes) not in (1, 3) or (len(sizes) == 3 and sizes[0] != x.value.shape[0]):
        raise ValueError(f"{node} makes {sizes} of {x.sizes}")
    return changed(x, sizes=sizes, order="CHW")


def transpose(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Between (C, H, W) and (H, W, C)."""
    perm = node.attributes.get("perm")
    if len(x.sizes) == 3 and perm == [0, 2, 3, 1] and x.order == "CHW":
        return changed(x, sizes=(*x.sizes[1:], x.sizes[0]), order="HWC")
    if len(x.sizes) == 3 and perm == [0, 3, 1, 2] and x.order == "HWC":
        return changed(x, sizes=(x.sizes[2], *x.sizes[:2]), order="CHW")
    if len(x.sizes) == 3 and perm == [0, 3, 1, 2] and len(reader.sketch.parts) == 1:
        return reader.begun((x.sizes[2], *x.sizes[:2]))
    raise ValueError(f"{node} turns the axes of {x.sizes} by {str(perm)[:60]}")
