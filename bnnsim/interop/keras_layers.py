"""Layers of Keras and Larq by their configurations into steps; arrays come by a function, when a layer asks for them.

What is 1-D there is a map of one row here. H, W a map, K and C channels out and in, F features.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bnnsim.interop.spec_geometry import by_channel
from bnnsim.interop.steps import Flatten, LeftOut, Network, Pool, Sign, Step, Total, Weigh, affine, batch_norm
from bnnsim.packed.forward import Pair, Sides
from bnnsim.packed.settings import same_padding

Config = Mapping[str, Any]
Take = Callable[[int, str, dict[str, tuple[int, ...]]], dict[str, np.ndarray]]  # (layer, its name, shapes) -> arrays

SIGNS = ("ste_sign", "approx_sign", "swish_sign")
CONVOLUTIONS = ("Conv1D", "QuantConv1D", "Conv2D", "QuantConv2D")
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D", "QuantDepthwiseConv2D")
CHANGES_NOTHING = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
                   "ActivityRegularization")
OF_SCORES = ("softmax", "log_softmax", "sigmoid")


def network_of(layers: Sequence[Config], take: Take, form: str) -> Network:
    """The chain of layers, each given as its class name and configuration."""
    steps: list[Step] = []
    shape: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    along_columns = any(layer["class_name"].endswith("1D") for layer in layers)
    for i, layer in enumerate(layers):
        config = layer["config"]
        given = config.get("batch_input_shape", config.get("batch_shape"))
        if not shape and given is not None:
            first = shape = input_shape(given, along_columns)
        if layer["class_name"] == "InputLayer":
            continue
        if not shape:
            raise ValueError("the model does not tell the shape of its input")
        if along_columns and config.get("axis") in (2, [2]):
            config = {**config, "axis": -1}
        made, shape = steps_of(i, layer["class_name"], config, shape, take)
        steps += made
    if len(first) == 1:
        return Network(form, tuple(steps), (1, 1, first[0]))
    height, width, channels = (*first, 1)[:3] if len(first) == 2 else first
    return Network(form, tuple(steps), (channels, height, width))


def input_shape(given: object, along_columns: bool) -> tuple[int, ...]:
    """Of a 1-D model a row (1, L, C)."""
    if not isinstance(given, list) or not 2 <= len(given) <= 4 or type(given[0]) not in (int, type(None)) or \
            any(type(n) is not int or not 0 < n < 2**20 for n in given[1:]):
        raise ValueError(f"the input's shape must be sizes behind the batch's, got {str(given)[:80]}")
    return (1, *given[1:]) if along_columns and len(given) == 3 else tuple(given[1:])


def steps_of(i: int, kind: str, config: Config, shape: tuple[int, ...],
             take: Take) -> tuple[list[Step], tuple[int, ...]]:
    """(steps of a layer, the shape behind it)."""
    name = str(config.get("name", f"layer {i}"))
    if config.get("data_format", "channels_last") not in ("channels_last", None):
        raise ValueError(f"{name} has its channels first: only channels_last is read")
    if kind in CONVOLUTIONS or kind in DEPTHWISE:
        return _conv(i, name, kind, config, shape, take)
    if kind in ("QuantDense", "Dense"):
        return _dense(i, name, config, shape, take)
    if kind == "BatchNormalization":
        return _norm(i, name, config, shape, take), shape
    if kind in ("MaxPooling1D", "MaxPooling2D"):
        pool = pool_of(name, kind, config, shape)
        return [pool], (*pool.sizes(shape), shape[2])
    if kind in ("GlobalAveragePooling1D", "GlobalAveragePooling2D"):
        return [Total(name, True)], shape[-1:]
    if kind == "Flatten":
        return [Flatten(name, "HWC")], (math.prod(shape),)
    if kind in ("Activation", "Softmax"):
        return _activation(name, config.get("activation", "softmax")), shape
    if kind == "Rescaling" and all(isinstance(config.get(key), (int, float)) for key in ("scale", "offset")):
        return [affine(name, scale=config["scale"], shift=config["offset"])], shape
    if kind in CHANGES_NOTHING:
        return [LeftOut(name, "changes nothing")], shape
    hint = ": a ReLU before a sign makes constants, and leaving it out another network" if "ReLU" in kind else ""
    raise ValueError(f"{name} is a {kind[:60]}, which is not represented{hint}")


def _weighing(i: int, name: str, config: Config, shapes: dict[str, tuple[int, ...]],
              take: Take) -> tuple[list[Step], np.ndarray, bool, list[Step]]:
    """(steps before, the kernel, whether it is latent, steps behind)."""
    before: list[Step] = [] if (quantizer := _word(config.get("input_quantizer"))) in ("", "no_op") else \
        [_sign(f"{name}'s input", quantizer)]
    part = next(iter(shapes))
    quantizer = _word(config.get("kernel_quantizer" if part == "kernel" else "depthwise_quantizer"))
    if config.get("use_bias", True):
        shapes["bias"] = (math.prod(shapes[part][-1 if part == "kernel" else -2:]),)
    arrays = take(i, name, shapes)
    kernel, behind = arrays[part], list[Step]()
    if quantizer in ("magnitude_aware_sign", "magnitude_aware_sign_unclipped"):
        behind.append(affine(f"{name}'s magnitudes", scale=np.abs(kernel.astype(np.float64)).mean(
            axis=tuple(range(kernel.ndim - 1)))))
    elif quantizer not in ("", "no_op", *SIGNS):
        raise ValueError(f"{name}: weights through {quantizer[:60]!r} are not binary")
    if "bias" in arrays:
        behind.append(affine(f"{name}'s bias", shift=arrays["bias"], sources=(f"{name}/bias",)))
    behind += _activation(f"{name}'s activation", config.get("activation", "linear"))
    return before, kernel, quantizer not in ("", "no_op"), behind


def _conv(i: int, name: str, kind: str, config: Config, shape: tuple[int, ...],
          take: Take) -> tuple[list[Step], tuple[int, ...]]:
    if len(shape) != 3:
        raise ValueError(f"{name} is a convolution of what has the shape {shape}")
    size, stride = _sizes_of(name, kind, config, "kernel_size"), _sizes_of(name, kind, config, "strides")
    dilation, groups = _sizes_of(name, kind, config, "dilation_rate"), config.get("groups", 1)
    row = size[1:] if kind.endswith("1D") else size
    if kind in DEPTHWISE:
        multiplier = _whole(name, {"depth_multiplier": 1, **config}, "depth_multiplier")
        channels, groups = shape[2] * multiplier, shape[2]
        shapes = {"depthwise_kernel": (*row, shape[2], multiplier)}
    else:
        channels, groups = _whole(name, config, "filters"), _whole(name, {"groups": 1, **config}, "groups")
        if shape[2] % groups or channels % groups:
            raise ValueError(f"{name} has {groups} groups for {shape[2]} channels in and {channels} out")
        shapes = {"kernel": (*row, shape[2] // groups, channels)}
    before, kernel, latent, behind = _weighing(i, name, config, shapes, take)
    kernel = kernel[None] if kind.endswith("1D") else kernel
    value, pads = config.get("pad_values", 0.0), _pads_of(name, kind, config, shape, size, stride, dilation)
    if not isinstance(value, (int, float)):
        raise ValueError(f"{name}: pads with {str(value)[:40]}, which is no number")
    weight = by_channel(kernel) if kind in DEPTHWISE else kernel.transpose(3, 0, 1, 2)
    weigh = Weigh(name, weight, stride, pads, float(value), False, dilation, groups, latent,
                  sources=(f"{name}/{next(iter(shapes))}",))
    return [*before, weigh, *behind], (*weigh.sizes(shape), channels)


def _pads_of(name: str, kind: str, config: Config, shape: tuple[int, ...], size: Pair, stride: Pair,
             dilation: Pair = (1, 1)) -> Sides:
    """Of the padding that a layer names, on a map (H, W, C)."""
    word = config.get("padding", "valid")
    if word == "valid":
        return 0, 0, 0, 0
    if word == "causal" and kind.endswith("Conv1D"):
        return 0, dilation[1] * (size[1] - 1), 0, 0
    if word != "same":
        raise ValueError(f"{name}: a padding {str(word)[:40]!r} is not represented")
    return same_padding(shape[:2], size, stride, dilation)


def _dense(i: int, name: str, config: Config, shape: tuple[int, ...], take: Take) -> tuple[list[Step], tuple[int, ...]]:
    if len(shape) != 1:
        raise ValueError(f"{name} weighs each place of a map {shape} alone: a Flatten is missing before it")
    units = _whole(name, config, "units")
    before, kernel, latent, behind = _weighing(i, name, config, {"kernel": (shape[0], units)}, take)
    return [*before, Weigh(name, kernel.T, latent=latent, sources=(f"{name}/kernel",)), *behind], (units,)


def _norm(i: int, name: str, config: Config, shape: tuple[int, ...], take: Take) -> list[Step]:
    axis, eps = config.get("axis", -1), config.get("epsilon", 1e-3)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(shape)) or not isinstance(eps, (int, float)) or not eps >= 0:
        raise ValueError(f"{name} normalises axis {str(axis)[:20]} with epsilon {str(eps)[:20]}: wanted the last axis")
    named = {"gamma": "scale", "beta": "center"}
    parts = [part for part in ("gamma", "beta") if config.get(named[part], True)] + ["moving_mean", "moving_variance"]
    arrays = take(i, name, {part: (shape[-1],) for part in parts})
    words = {"moving_mean": "mean", "moving_variance": "var"}
    return [batch_norm(name, {words.get(part, part): value for part, value in arrays.items()}, float(eps),
                       tuple(f"{name}/{part}" for part in parts))]


def pool_of(name: str, kind: str, config: Config, shape: tuple[int, ...]) -> Pool:
    """Windows on a map (H, W, C), of averages too."""
    if len(shape) != 3:
        raise ValueError(f"{name} pools what has the shape {shape}")
    size = _sizes_of(name, kind, config, "pool_size")
    stride = size if config.get("strides") is None else _sizes_of(name, kind, config, "strides")
    return Pool(name, size, stride, _pads_of(name, kind, config, shape, size, stride))


def _activation(name: str, given: object) -> list[Step]:
    word = _word(given)
    if word in ("", "linear", "no_op"):
        return []
    if word in ("tanh", "hard_tanh"):
        return [LeftOut(f"{name} ({word})", "keeps signs")]
    if word in OF_SCORES:
        return [LeftOut(f"{name} ({word})", "scores")]
    return [_sign(name, word)]


def _sign(name: str, word: str) -> Sign:
    if word not in SIGNS:
        hint = ": it makes constants of a sign behind it, and leaving it out another network" if word == "relu" else ""
        raise ValueError(f"{name} is {word[:60]!r}, no sign that gives +1 and -1, and is not represented{hint}")
    return Sign(f"{name} ({word})", 1)                          # of Larq's signs, that of 0 is +1


def _word(given: object) -> str:
    """The name of a quantizer or activation, in snake case."""
    if isinstance(given, dict):
        given = given.get("config") if isinstance(given.get("config"), str) else given.get("class_name")
    return snake_case(given.split(">")[-1]) if isinstance(given, str) else ""


def _sizes_of(name: str, kind: str, config: Config, key: str) -> Pair:
    """Of rows and columns; 1 of the rows of what is 1-D."""
    value, n = config.get(key, 1), 1 if kind.endswith("1D") else 2
    value = [value] * n if type(value) is int else value
    if not isinstance(value, list) or len(value) != n or any(type(size) is not int or not 0 < size < 2**16
                                                             for size in value):
        wanted = "a size" if n == 1 else "two sizes"
        raise ValueError(f"{name}: {key} must be {wanted}, got {str(config.get(key))[:60]}")
    return (1, value[0]) if n == 1 else (value[0], value[1])


def _whole(name: str, config: Config, key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value < 2**26:
        raise ValueError(f"{name}: {key} must be a number of units, got {str(value)[:60]}")
    return value


def snake_case(name: str) -> str:
    """SteSign as ste_sign."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name[:200]))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
