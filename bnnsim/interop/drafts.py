"""A layer while the steps behind it fold in, and what it becomes: fields as `PackedNetwork.from_arrays` takes them.

U units, h a sum.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnnsim.interop.steps import Pool, Weigh
from bnnsim.interop.weights import Reading
from bnnsim.packed.forward import Pair
from bnnsim.packed.kinds import MAX_SIZE
from bnnsim.packed.thresholds import fold_thresholds


@dataclass
class Draft:
    """A layer while its steps are folded in: e = (h - mean) * scale + shift of its sums h."""

    weigh: Weigh
    weight: np.ndarray
    fields: dict[str, Any]
    mean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    at_zero: int | None = None                      # of its sign, once there is one
    pool: Pool | None = None
    totalled: bool = False                          # whether its sums are summed up over positions
    falling: np.ndarray | None = None               # units that fall with h where they are pooled
    flatten: str | None = None                      # of what reads it
    most: int = 1                                   # of the size of what it weighs
    turned: tuple[int, ...] = ()                    # units whose weights were turned over
    any_parity: bool = False                        # whether its sums can be even and odd
    bias: np.ndarray | None = None                  # that is stored, + or - a level: h is with it
    bias_from: tuple[str, ...] = ()                 # arrays of the file
    sources: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)


def compose(draft: Draft, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> None:
    """Another affine step behind those that are there; a bias goes into the mean."""
    if np.all(draft.scale == 1) and np.all(draft.shift == 0):
        draft.mean, draft.scale, draft.shift = draft.mean + mean, draft.scale * scale, draft.shift + shift
    else:
        draft.scale, draft.shift = draft.scale * scale, (draft.shift - mean) * scale + shift


def store_bias(draft: Draft, name: str, signs: np.ndarray) -> None:
    """+-1 behind the steps that are there, which is 1 / scale of them on sums: an integer level."""
    if len(signs) != len(draft.weight):
        raise ValueError(f"{name} has {len(signs)} values behind {draft.weigh.name}, which has {len(draft.weight)} "
                         "units")
    if draft.bias is not None or draft.totalled:
        raise ValueError(f"{name}: a bias that is stored stands behind weights, one of each layer, before what adds up "
                         "positions")
    scale = np.broadcast_to(draft.scale, len(signs)).astype(np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        level = np.rint(1 / scale[0])
    if not 1 <= level <= MAX_SIZE or not np.allclose(level * scale, 1, rtol=1e-6, atol=0):
        raise ValueError(f"{name}: a bias of +-1 is stored beside sums of levels, but here it would be "
                         f"{1 / scale.min():g} of them (to {1 / scale.max():g}), as input and weights are scaled: an "
                         "integer, the same for all units, is represented; bias='folded' takes any into thresholds")
    draft.bias = level * signs


def geometry_of(step: Weigh, pad_value: int, no_padding: str = "") -> dict[str, Any]:
    """Of a convolution, as from_arrays takes it; `no_padding` is why it cannot pad with its value."""
    if step.weight.ndim == 2:
        return {}
    found = {"order": "HWC", "stride": step.stride, "padding": step.pads, "dilation": step.dilation,
             "groups": step.groups}
    if not any(step.pads):
        return {**found, "pad_value": 0}
    if step.replicate:
        return {**found, "replicate": True}
    if no_padding:
        raise ValueError(no_padding)
    return {**found, "pad_value": pad_value}


def pad_of_bits(step: Weigh, a: float, c: float) -> tuple[int, str]:
    """(What a padding is among bits that mean bit * a + c, why it is none of them)."""
    value = (step.pad_value - c) / a
    if value in (-1.0, 0.0, 1.0):
        return int(value), ""
    return 0, (f"{step.name} pads with {step.pad_value:g} between bits that mean {c - a:g} and {c + a:g}: it is "
               "neither, nor midway")


def sign_behind_sign(name: str, a: float, c: float, at_zero: int) -> int:
    """What 0 gives in a sign of sign(x) * a + c, such as Larq's sign(sign(x) + 0.1): the same as sign(x) elsewhere."""
    low, high = c - a, c + a
    if not low < 0 <= high or (high == 0 and at_zero != 1):
        raise ValueError(f"{name}: a sign of {low:g} and {high:g}, which is a constant or turns bits over, is not "
                         "represented")
    return (1 if c > 0 else -1) if c else at_zero


def shifted_apart(weigh: Weigh, weight: np.ndarray, apart: np.ndarray, sizes: Pair,
                  flatten: str | None) -> np.ndarray:
    """What shifts of each channel of the input add to each unit's sums, (U,)."""
    if any(weigh.pads) and not weigh.replicate:
        raise ValueError(f"{weigh.name} pads an input that is shifted by {apart.size} values: what it pads with is "
                         "another pixel in each channel, which is not represented")
    if weight.ndim == 4:
        by_group = weight.sum((1, 2), dtype=np.float64).reshape(weigh.groups, -1, weight.shape[3])
        return np.einsum("guc,gc->gu", by_group, apart.reshape(weigh.groups, -1)).reshape(-1)
    if apart.size != weight.shape[1]:
        n = sizes[0] * sizes[1]
        apart = np.tile(apart, n) if flatten == "HWC" else np.repeat(apart, n)
    if apart.size != weight.shape[1]:
        raise ValueError(f"{weigh.name} has {weight.shape[1]} features, its input is shifted by {apart.size} values")
    return weight @ apart


def fields_of(draft: Draft, reading: Reading, last: bool) -> dict[str, Any]:
    """A layer as from_arrays takes it."""
    if draft.falling is not None and draft.falling.any():
        _pool_first(draft, draft.falling)
    fields, units, pool = {**draft.fields, "weight": draft.weight}, len(draft.weight), draft.pool
    if pool is not None:
        fields |= {"pool": pool.size, "pool_stride": pool.stride, "pool_padding": pool.pads}
    if draft.bias is not None:
        fields |= {"bias": draft.bias, "store_bias": True}
    mean, scale, shift = (np.broadcast_to(part, units) for part in (draft.mean, draft.scale, draft.shift))
    if last and draft.at_zero is not None:
        return {**fields, **_signs_as_scores(draft, mean, scale, shift, _sign_of_zero(draft, reading) == -1)}
    if not last:
        fields["strict"] = _sign_of_zero(draft, reading) == -1
    return {**fields, "mean": mean, "var": np.ones(units), "gamma": scale, "beta": shift, "eps": 0.0}


def _sign_of_zero(draft: Draft, reading: Reading) -> int:
    """+1 or -1; 0 where no sum of the layer gets there."""
    at_zero = reading.sign_of_zero(draft.weigh.name, draft.at_zero or 0)
    zeros = units_at_zero(draft)
    if at_zero == 0 and len(zeros):
        raise ValueError(f"{draft.weigh.name}: the sign of 0 is 0 in this network, no bit, and unit {zeros[0]} can "
                         f"get there ({len(zeros)} of {len(draft.weight)} units): say what stands for it, "
                         "sign='>=' for +1 or sign='>' for -1, if the network was trained so")
    if len(zeros):
        draft.folded.append(f"0 gives {'-1' if at_zero == -1 else '+1'} ({len(zeros)} units can get there)")
    return at_zero


def _signs_as_scores(draft: Draft, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray,
                     strict: bool) -> dict[str, Any]:
    """Thresholds of a last layer; z > 0 is what -z >= 0 is not."""
    turn = -1 if strict else 1
    theta, inverted = fold_thresholds(mean, turn * scale, turn * shift, _largest(draft))
    return {"threshold": theta, "inverted": inverted ^ strict}


def _pool_first(draft: Draft, falling: np.ndarray) -> None:
    """Norm, pool, sign as pool, norm, sign: where the norm falls, the largest of it is the least sum's.

    The least of h is the largest of -h: weights and mean of such a channel are turned over, which changes none of its
    values. Its stored bits are the trained ones' opposites, which is told.
    """
    turn = np.where(falling, -1, 1)
    draft.weight = draft.weight * turn.reshape(-1, 1, 1, 1).astype(draft.weight.dtype)
    draft.mean, draft.scale = draft.mean * turn, draft.scale * turn
    draft.bias = None if draft.bias is None else draft.bias * turn
    draft.turned = tuple(np.flatnonzero(falling).tolist())
    draft.folded.append(f"weights of {falling.sum()} channels of negative gamma turned over, as they are pooled behind "
                        "it")


def _largest(draft: Draft) -> int:
    """Of its sums, with the bias that is stored; of their parity, where they have one."""
    level = 0 if draft.bias is None else int(abs(draft.bias[0]))
    return draft.weight[0].size * draft.most + level


def units_at_zero(draft: Draft) -> np.ndarray:
    """Units whose norm is exactly 0 at a sum that they can have."""
    units = len(draft.weight)
    mean, scale, shift = (np.broadcast_to(part, units) for part in (draft.mean, draft.scale, draft.shift))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near = np.rint(np.where(scale == 0, 0, mean - shift / scale))
    most = _largest(draft)
    found = np.zeros(units, bool)
    for h in (near - 1, near, near + 1):
        reached = (np.abs(h) <= most) & (((h - most) % 2 == 0) | draft.any_parity)
        with np.errstate(over="ignore"):
            found |= reached & ((h - mean) * scale + shift == 0)
    return np.flatnonzero(found)
