"""Somebody else's network: +-1 weight arrays, with batch norm or thresholds, into packed layers.

A bias goes into the threshold or the batch norm's mean, or, where it is to be stored, into a layer of bits of its own.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_choice, check_finite, check_int, check_real, check_sequence, check_unmasked
from bnnsim.packed.forward import NO_PADDING
from bnnsim.packed.kinds import KINDS, Bias, stage_of
from bnnsim.packed.layer import SETTINGS, PackedLayer
from bnnsim.packed.settings import settings_of
from bnnsim.packed.signs import check_signs
from bnnsim.packed.stages import Stage
from bnnsim.packed.thresholds import batch_scale, fold_thresholds
from bnnsim.packed.words import pack_signs

_ARRAY_KEYS = {"weight", "threshold", "inverted", "gamma", "beta", "mean", "var", "eps", "flatten", "order", "strict",
               "bias", "store_bias", *SETTINGS}
ORDERS = ("HWC", "CHW")


def _vector(name: str, value: npt.ArrayLike, units: int, dtype: npt.DTypeLike) -> np.ndarray:
    check_unmasked(name, value)
    value = np.asarray(value)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {value.dtype}")
    if value.shape != (units,):
        raise ValueError(f"{name} must have shape ({units},), one for each unit, got {value.shape}")
    return value.astype(dtype)


def _plus_minus_one(name: str, weight: npt.ArrayLike) -> tuple[str, np.ndarray]:
    """(kind, int8 array): the number of axes says which kind it is, of several the first."""
    check_unmasked(name, weight)
    weight = np.asarray(weight)
    kinds = {len(kind.axes): key for key, kind in reversed(KINDS.items())}
    if weight.ndim in kinds and weight.dtype.kind == "b":
        raise ValueError(f"{name} must be a +-1 array, got bool; if True stands for +1, pass np.where(w, 1, -1)")
    if weight.ndim not in kinds or weight.dtype.kind not in "iuf" or weight.size == 0:
        wanted = " or ".join(f"({', '.join(kind.axes)})" for kind in KINDS.values())
        raise ValueError(f"{name} must be a +-1 array {wanted}, got {weight.dtype} {weight.shape}")
    return kinds[weight.ndim], check_signs(name, weight)


def _channels_last(name: str, weight: np.ndarray, order: str | None, n_channels: int) -> np.ndarray:
    """Conv weights as (K, kh, kw, C); where nothing is said, and shapes do not tell, they are taken to be so."""
    if order is not None:
        check_choice(f"{name}: order", order, ORDERS)
        return weight.transpose(0, 2, 3, 1) if order == "CHW" else weight
    if n_channels not in weight.shape[1:2]:
        return weight
    if weight.shape[3] != n_channels:
        raise ValueError(f"{name} must be (K, kh, kw, C) with C = {n_channels}, got {weight.shape}, which looks like "
                         "PyTorch's (K, C, kh, kw); pass w.transpose(0, 2, 3, 1), or order='CHW' beside it")
    if weight.shape[1:] != (1, 1, 1):
        warnings.warn(f"{name} {weight.shape} is taken as (K, kh, kw, C), but may as well be PyTorch's (K, C, kh, kw): "
                      "say which, order='HWC' or order='CHW'", stacklevel=5)
    return weight


def _reordered(name: str, weight: np.ndarray, flatten: str, shape: tuple[int, ...]) -> np.ndarray:
    """Columns of a dense weight into H, W, C order."""
    check_choice(f"{name}: flatten", flatten, ORDERS)
    if flatten == "HWC":
        return weight
    height, width, channels = shape
    if weight.shape[1] != height * width * channels:
        raise ValueError(f"{name} must have {height * width * channels} columns, got {weight.shape[1]}")
    return weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)


def layers_from_arrays(layers: Sequence[Mapping[str, Any]], input_shape: tuple[int, int, int],
                       offset: int) -> list[PackedLayer]:
    """Packed layers of fields as `PackedNetwork.from_arrays` takes them; one of kind "bias" behind each that stores it.

    Those are of a `PackedGraph` whose nodes read each the one before.
    """
    channels, height, width = input_shape
    layers = check_sequence("layers", layers, "dicts of arrays, one a layer")
    shape: tuple[int, ...] = (height, width, channels)
    packed: list[PackedLayer] = []
    for i, fields in enumerate(layers):
        layer, name, last = _layer(i, fields, shape), f"layers[{i}]", i == len(layers) - 1
        stage = stage_of(layer, i, shape, None if i else offset)
        bias, is_stored = _bias(name, fields, layer.units)
        if is_stored:
            stage.check(name)
            packed += _with_stored_bias(name, fields, layer, stage.bound, bias, last)
        else:
            stage = _ended(name, fields, stage, bias, last)
            packed.append(stage.layer)
        shape = stage.output_shape
    if packed and packed[-1].threshold is not None and any(layer.kind == "bias" for layer in packed):
        raise ValueError(f"layers[{len(layers) - 1}] must not have a threshold where biases are stored: such a network "
                         "ends in scores. Leave it out, or give batch norm")
    return packed


def _ended(name: str, fields: Mapping[str, Any], stage: Stage, bias: np.ndarray, last: bool) -> Stage:
    """The layer with what makes bits or scores of its sums, which says whether it keeps them."""
    layer, units = stage.layer, stage.layer.units
    hidden = layer if last else replace(layer, threshold=np.zeros(units, np.int32), inverted=np.zeros(units, bool))
    replace(stage, layer=hidden).check(name)
    bias = bias * stage.n_positions if last else bias           # a last convolution's sums are those of all
    return replace(stage, layer=replace(layer, **_ending(name, fields, layer, stage.bound, last, bias)))


def layer_from_arrays(i: int, fields: Mapping[str, Any], shape: tuple[int, ...], offset: int | None,
                      gives: str) -> Stage:
    """Layer i at its place, of fields as `PackedNetwork.from_arrays` takes them, without a stored bias.

    shape, offset : of what it reads, (H, W, C) or (F,); of pixels, which it reads, or None
    gives : "bits", "scores", or "sums", which take neither threshold nor batch norm nor bias
    """
    layer, name = _layer(i, fields, shape), f"layers[{i}]"
    stage, (bias, is_stored) = stage_of(layer, i, shape, offset), _bias(name, fields, layer.units)
    if is_stored or (gives == "sums" and bias.any()):
        raise ValueError(f"{name} takes no bias of its own here: put it into the batch norm behind")
    if gives != "sums":
        return _ended(name, fields, stage, bias, gives == "scores")
    stage.check(name)
    return stage


def _bias(name: str, fields: Mapping[str, Any], units: int) -> tuple[np.ndarray, bool]:
    """(What is added to the sums of each unit, whether a memory stores it)."""
    is_stored = fields.get("store_bias", False)
    if not isinstance(is_stored, (bool, np.bool_)):
        raise TypeError(f"{name} store_bias must be True (its bits are in the memory) or False (it is folded into "
                        f"thresholds), got {is_stored!r}")
    if is_stored and fields.get("bias") is None:
        raise ValueError(f"{name}: store_bias belongs to a bias, which is missing")
    bias = np.zeros(units)
    if fields.get("bias") is not None:
        bias = check_finite(f"{name} bias", _vector(f"{name} bias", fields["bias"], units, np.float64))
    return bias, bool(is_stored)


def _with_stored_bias(name: str, fields: Mapping[str, Any], layer: PackedLayer, bound: int, bias: np.ndarray,
                      last: bool) -> list[PackedLayer]:
    """Weights whose sums are read, and behind them the bias, which pools and ends as the layer would."""
    level = np.abs(bias[0])
    if np.any(np.abs(bias) != level) or level != np.rint(level) or not 1 <= level <= Bias.limits["pad_value"][1]:
        raise ValueError(f"{name}: a bias that is stored must be +-1 (of the sums of a first layer, + or - the level "
                         f"that stands for 1.0), got {bias.min():g} to {bias.max():g}; of a latent one store np.where("
                         "bias >= 0, 1, -1); any other is folded into thresholds without store_bias")
    ending = _ending(name, fields, layer, bound + int(level), last, np.zeros(layer.units))
    pool = {key: getattr(layer, key) for key in ("pool", "pool_stride", "pool_padding")}
    words = pack_signs(np.where(bias > 0, np.int8(1), np.int8(-1))[None])
    return [replace(layer, pool=(1, 1), pool_stride=(1, 1), pool_padding=NO_PADDING),
            PackedLayer("bias", layer.units, words, pad_value=int(level), **pool, **ending)]


def _layer(i: int, fields: Mapping[str, Any], shape: tuple[int, ...]) -> PackedLayer:
    """Layer i without its ending; shape: what it reads, (H, W, C) or (F,)."""
    name = f"layers[{i}]"
    unknown = set(fields) - _ARRAY_KEYS
    if unknown or "weight" not in fields:
        raise ValueError(f"{name} must have 'weight' and may have {', '.join(sorted(_ARRAY_KEYS - {'weight'}))}; got "
                         f"{', '.join(sorted(map(str, fields)))}")
    kind, weight = _plus_minus_one(f"{name} weight", fields["weight"])
    if not KINDS[kind].reads_rows and len(shape) == 3:
        groups = check_int(f"{name} groups", fields.get("groups", 1), 1)
        weight = _channels_last(f"{name} weight", weight, fields.get("order"), shape[2] // groups)
    elif "order" in fields:
        raise ValueError(f"{name}: order belongs to a conv layer; a dense one may have flatten")
    settings = settings_of(name, {key: fields[key] for key in SETTINGS if key in fields}, weight.shape[1:3], shape[:2])
    if KINDS[kind].reads_rows and len(shape) == 3:
        weight = _reordered(f"{name} weight", weight, fields.get("flatten", "HWC"), shape)
    elif "flatten" in fields:
        raise ValueError(f"{name}: flatten belongs to a dense layer that reads an image or a conv output")
    words = pack_signs(weight.reshape(-1, weight.shape[-1])).reshape(*weight.shape[:-1], -1)
    return PackedLayer(kind, weight.shape[-1], words, **settings)


def _ending(name: str, fields: Mapping[str, Any], layer: PackedLayer, bound: int, last: bool,
            bias: np.ndarray) -> dict[str, Any]:
    """threshold and inverted of a hidden layer; of the last one these, or mean, scale and shift; all of h + bias."""
    strict = _strict(name, fields, last)
    norm = [key for key in ("gamma", "beta", "mean", "var", "eps") if key in fields]
    if "threshold" in fields and norm:
        raise ValueError(f"{name} must have a threshold or batch norm, not both")
    if "threshold" in fields and last and layer.kind != "dense":
        raise ValueError(f"{name} must not have a threshold: the last layer gives scores, of a convolution's sums over "
                         "all positions")
    if "inverted" in fields and "threshold" not in fields:
        raise ValueError(f"{name}: inverted belongs to a threshold, which is missing")
    if "threshold" in fields:
        return _given_threshold(name, fields, bias, bound, strict)
    if norm:
        mean, scale, shift = _given_norm(name, fields, layer.units)
    elif last:
        mean, scale, shift = np.zeros(layer.units), np.ones(layer.units), np.zeros(layer.units)
    else:
        raise ValueError(f"{name} must have a threshold, or batch norm (gamma, beta, mean, var, eps)")
    mean = mean - bias
    if last:
        return {"mean": mean, "scale": scale, "shift": shift}
    if strict:                                              # z > 0 is what -z >= 0 is not
        theta, inverted = fold_thresholds(mean, -scale, -shift, bound)
        return {"threshold": theta, "inverted": ~inverted}
    theta, inverted = fold_thresholds(mean, scale, shift, bound)
    return {"threshold": theta, "inverted": inverted}


def _strict(name: str, fields: Mapping[str, Any], last: bool) -> bool:
    """Whether sign(0) of a hidden layer is -1: a comparison is >, not >=."""
    strict = fields.get("strict", False)
    if not isinstance(strict, (bool, np.bool_)):
        raise TypeError(f"{name} strict must be True (sign(0) is -1) or False (it is +1), got {strict!r}")
    if last and "strict" in fields and "threshold" not in fields:
        raise ValueError(f"{name} must not have strict: the last layer gives scores, and has no sign")
    return bool(strict)


def _given_threshold(name: str, fields: Mapping[str, Any], bias: np.ndarray, bound: int,
                     strict: bool) -> dict[str, np.ndarray]:
    units = len(bias)
    theta = check_finite(f"{name} threshold", _vector(f"{name} threshold", fields["threshold"], units, np.float64))
    theta = theta - bias
    theta = np.clip(np.floor(theta) + 1 if strict else np.ceil(theta), -bound, bound + 1)
    inverted = _vector(f"{name} inverted", fields.get("inverted", np.zeros(units)), units, np.float64)
    if not np.all((inverted == 0) | (inverted == 1)):
        raise ValueError(f"{name} inverted must be booleans, or 0 and 1")
    return {"threshold": theta.astype(np.int32), "inverted": inverted.astype(bool)}


def _given_norm(name: str, fields: Mapping[str, Any], units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, scale, shift) of a batch norm."""
    missing = [key for key in ("mean", "var") if key not in fields]
    if missing:
        raise ValueError(f"{name}: batch norm needs mean and var, and takes gamma as 1 and beta as 0 where they are "
                         f"not given; missing {', '.join(missing)}")
    fields = {"gamma": np.ones(units), "beta": np.zeros(units), **fields}
    gamma, beta, mean, var = (check_finite(f"{name} {key}", _vector(f"{name} {key}", fields[key], units, np.float64))
                              for key in ("gamma", "beta", "mean", "var"))
    eps = check_real(f"{name} eps", fields.get("eps", 0.0), 0)
    if np.any(var < 0) or np.any(var + eps <= 0):
        raise ValueError(f"{name}: var must be >= 0 and var + eps > 0, got a var of {var.min()} and eps {eps}")
    return mean, batch_scale(gamma, var, eps)[1], beta
