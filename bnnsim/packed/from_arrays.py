"""Somebody else's network: +-1 weight arrays, with batch norm or thresholds, into packed layers."""

import warnings
from dataclasses import replace

import numpy as np

from bnnsim.checks import check_choice, check_finite, check_int, check_real, check_unmasked
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.signs import check_signs
from bnnsim.packed.thresholds import batch_scale, fold_thresholds
from bnnsim.packed.words import pack_signs

_ARRAY_KEYS = {"weight", "threshold", "inverted", "gamma", "beta", "mean", "var", "eps", "stride", "padding",
               "pad_value", "pool", "flatten", "order"}
ORDERS = ("HWC", "CHW")


def _vector(name, value, units, dtype):
    check_unmasked(name, value)
    value = np.asarray(value)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got {value.dtype}")
    if value.shape != (units,):
        raise ValueError(f"{name} must have shape ({units},), one for each unit, got {value.shape}")
    return value.astype(dtype)


def _plus_minus_one(name, weight):
    check_unmasked(name, weight)
    weight = np.asarray(weight)
    if weight.ndim in (2, 4) and weight.dtype.kind == "b":
        raise ValueError(f"{name} must be a +-1 array, got bool; if True stands for +1, pass np.where(w, 1, -1)")
    if weight.ndim not in (2, 4) or weight.dtype.kind not in "iuf" or weight.size == 0:
        raise ValueError(f"{name} must be a +-1 array (U, F) or (K, kh, kw, C), got {weight.dtype} {weight.shape}")
    return check_signs(name, weight)


def _channels_last(name, weight, order, n_channels):
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
                      "say which, order='HWC' or order='CHW'", stacklevel=4)
    return weight


def _reordered(name, weight, flatten, shape):
    """Columns of a dense weight into H, W, C order."""
    check_choice(f"{name}: flatten", flatten, ORDERS)
    if flatten == "HWC":
        return weight
    height, width, channels = shape
    if weight.shape[1] != height * width * channels:
        raise ValueError(f"{name} must have {height * width * channels} columns, got {weight.shape[1]}")
    return weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)


def layer_from_arrays(i, fields, shape, offset, last):
    """PackedLayer i of fields as `PackedNetwork.from_arrays` takes them; shape: what it reads, (H, W, C) or (F,)."""
    name = f"layers[{i}]"
    unknown = set(fields) - _ARRAY_KEYS
    if unknown or "weight" not in fields:
        raise ValueError(f"{name} must have 'weight' and may have {', '.join(sorted(_ARRAY_KEYS - {'weight'}))}; got "
                         f"{', '.join(sorted(map(str, fields)))}")
    weight = _plus_minus_one(f"{name} weight", fields["weight"])
    if weight.ndim == 4 and len(shape) != 3:
        raise ValueError(f"{name} is conv behind a dense layer: only dense layers may follow a dense one")
    if weight.ndim == 4:
        weight = _channels_last(f"{name} weight", weight, fields.get("order"), shape[2])
    elif "order" in fields:
        raise ValueError(f"{name}: order belongs to a conv layer; a dense one may have flatten")
    least = {"stride": 1, "padding": 0, "pad_value": -1, "pool": 1}
    settings = {key: check_int(f"{name} {key}", fields[key], low) for key, low in least.items() if key in fields}
    if weight.ndim == 2 and len(shape) == 3:
        weight = _reordered(f"{name} weight", weight, fields.get("flatten", "HWC"), shape)
    elif "flatten" in fields:
        raise ValueError(f"{name}: flatten belongs to a dense layer that reads an image or a conv output")
    words = pack_signs(weight.reshape(-1, weight.shape[-1])).reshape(*weight.shape[:-1], -1)
    layer = PackedLayer("dense" if weight.ndim == 2 else "conv", weight.shape[-1], words, **settings)
    return replace(layer, **_ending(name, fields, layer, largest_preactivation(layer, i == 0, offset), last))


def _ending(name, fields, layer, bound, last):
    """threshold and inverted of a hidden layer, or mean, scale and shift of the last."""
    norm = [key for key in ("gamma", "beta", "mean", "var", "eps") if key in fields]
    if "threshold" in fields and (last or norm):
        raise ValueError(f"{name} must have a threshold or batch norm, not both" if norm else
                         f"{name} must not have a threshold: the last layer gives scores")
    if "inverted" in fields and "threshold" not in fields:
        raise ValueError(f"{name}: inverted belongs to a threshold, which is missing")
    if "threshold" in fields:
        theta = _vector(f"{name} threshold", fields["threshold"], layer.units, np.float64)
        theta = np.clip(np.ceil(check_finite(f"{name} threshold", theta)), -bound, bound + 1)
        inverted = _vector(f"{name} inverted", fields.get("inverted", np.zeros(layer.units)), layer.units, np.float64)
        if not np.all((inverted == 0) | (inverted == 1)):
            raise ValueError(f"{name} inverted must be booleans, or 0 and 1")
        inverted = inverted.astype(bool)
        return {"threshold": theta.astype(np.int32), "inverted": inverted}
    if norm:
        missing = [key for key in ("gamma", "beta", "mean", "var") if key not in fields]
        if missing:
            raise ValueError(f"{name}: batch norm needs gamma, beta, mean and var; missing {', '.join(missing)}")
        gamma, beta, mean, var = (check_finite(f"{name} {key}", _vector(f"{name} {key}", fields[key], layer.units,
                                                                        np.float64))
                                  for key in ("gamma", "beta", "mean", "var"))
        eps = check_real(f"{name} eps", fields.get("eps", 0.0), 0)
        if np.any(var < 0) or np.any(var + eps <= 0):
            raise ValueError(f"{name}: var must be >= 0 and var + eps > 0, got a var of {var.min()} and eps {eps}")
        scale = batch_scale(gamma, var, eps)[1]
    elif last:
        mean, scale, beta = np.zeros(layer.units), np.ones(layer.units), np.zeros(layer.units)
    else:
        raise ValueError(f"{name} must have a threshold, or batch norm (gamma, beta, mean, var, eps)")
    if last:
        return {"mean": mean, "scale": scale, "shift": beta}
    theta, inverted = fold_thresholds(mean, scale, beta, bound)
    return {"threshold": theta, "inverted": inverted}
