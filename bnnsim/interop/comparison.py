"""Where a network that was read goes wrong: its layers' sums beside those of its own framework. N images, U units."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import check_images
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage


@dataclass(frozen=True)
class SumsDiffer:
    """The first layer whose sums differ: which, how many sums, an example, and what that looks like."""

    layer: int
    name: str
    n_wrong: int
    n_sums: int
    example: str
    hint: str

    def __str__(self) -> str:
        return (f"layer {self.layer} ({self.name}): {self.n_wrong:,} of {self.n_sums:,} sums differ, {self.example}"
                f"{'; ' + self.hint if self.hint else ''}")


def compare_sums(network: PackedNetwork, images: np.ndarray, sums: Mapping[str, np.ndarray],
                 turned: Mapping[int, Sequence[int]] | None = None) -> SumsDiffer | None:
    """The first layer whose sums differ from a reference's; None where all are the same.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    sums : mapping of name to array
        Of each layer the sums of its weights, before batch norm, bias and pooling: (N, U), or of a convolution (N, OH,
        OW, K) or (N, K, OH, OW), along columns also (N, K, OW). The number in a name is its layer's, biases that
        are stored not counted; names without numbers stand in order.
    turned : mapping of layer to units, optional
        Units whose weights have the opposite sign here, as `read_network` had to turn them over.

    Returns
    -------
    SumsDiffer or None
    """
    images = check_images(images, check_packed(network, graphs=True).input_shape, network.reads_bits)
    by_layer = _by_layer(sums, sum(layer.kind != "bias" for layer in network.layers))
    weighing = (item for item in _reads(network, images) if item[0].layer.kind != "bias")
    for i, (stage, x) in enumerate(weighing):
        if i in by_layer:
            name, given = by_layer[i]
            ours = stage.sums(x)
            ours[..., list((turned or {}).get(stage.index, ()))] *= -1
            found = _differing(stage.index, name, ours, given, stage.map_shape, stage.layer.fan_in)
            if found is not None:
                return found
    return None


def _reads(network: PackedNetwork, images: np.ndarray) -> Iterator[tuple[Stage, np.ndarray]]:
    """Each layer of bits, and what it reads."""
    if isinstance(network, PackedGraph):
        known = {-1: images}
        for at, stage in zip(network.at_layer, network.stages):
            known = network.values(known, at)
            yield stage, known[network.nodes[at].inputs[0]]
        return
    x = images
    for stage in network.stages:
        yield stage, x
        x = stage.bits(x) if stage.index + 1 < len(network.stages) else x


def _by_layer(sums: Mapping[str, np.ndarray], n_layers: int) -> dict[int, tuple[str, np.ndarray]]:
    numbers = [int(match[0]) if (match := re.search(r"\d{1,6}", name)) else None for name in sums]
    if None in numbers or len(set(numbers)) != len(numbers):
        numbers = list(range(len(sums)))
    elif numbers and min(number for number in numbers if number is not None) == 1 and len(numbers) == n_layers:
        numbers = [number - 1 for number in numbers if number is not None]
    found = {number: item for number, item in zip(numbers, sums.items()) if number is not None}
    if not found or max(found) >= n_layers:
        raise ValueError(f"sums must have an array for a layer, of 0..{n_layers - 1}, got {', '.join(sums) or 'none'}")
    return found


def _differing(layer: int, name: str, ours: np.ndarray, given: np.ndarray, map_shape: tuple[int, int],
               fan_in: int) -> SumsDiffer | None:
    """What differs, in the order of axes in which least does."""
    n, positions, units = ours.shape
    if given.dtype.kind not in "iuf" or given.size != ours.size or len(given) != n:
        raise ValueError(f"{name} must have the sums of layer {layer}, ({n}, {map_shape[0]}, {map_shape[1]}, {units}) "
                         f"or ({n}, {units}), got {given.dtype} {given.shape}: of another map the kernel, stride or "
                         "padding, or a pooling before it, are others")
    orders: list[np.ndarray] = [given.reshape(ours.shape)]
    if given.ndim > 2 and given.shape[1] == units:
        orders.append(given.reshape(n, units, positions).transpose(0, 2, 1))
    theirs = min(orders, key=lambda order: int(np.sum(order != ours)))
    wrong = theirs != ours
    if not wrong.any():
        return None
    where = np.argwhere(wrong)[0]
    place = f"row {where[1] // map_shape[1]}, column {where[1] % map_shape[1]}, " if positions > 1 else ""
    example = (f"first of image {where[0]}, {place}unit {where[2]}: {ours[tuple(where)]} here, "
               f"{theirs[tuple(where)]:g} there")
    return SumsDiffer(layer, name, int(wrong.sum()), wrong.size, example, _hint(layer, ours, theirs, fan_in))


def _hint(layer: int, ours: np.ndarray, theirs: np.ndarray, fan_in: int) -> str:
    """What kind of mistake makes such sums."""
    h = ours.astype(np.float64)
    if np.array_equal(theirs, -h):
        return "all have the other sign: bits or weights mean the opposite (weights='bits', 0 for -1)"
    if np.array_equal(2 * theirs - fan_in, h):
        return "theirs are popcounts, (h + F) / 2: compare 2 p - F"
    ratio = _constant_ratio(h, theirs)
    if ratio is not None:
        return f"theirs are {ratio:.6g} times ours: a scale of input or weights, which stands in thresholds here"
    if np.array_equal(np.sort(h, axis=2), np.sort(theirs, axis=2)):
        return "the same sums in another order of units"
    shift = theirs - h
    if np.all(shift == shift[:1, :1]):
        return "they differ by a constant a unit: a bias, or another input offset"
    before = "the input's offset" if layer == 0 else ("the layer before: its thresholds (eps, sign of 0, what pixels "
                                                      "mean), its pooling (norm_first, where a gamma is negative)")
    if ours.shape[1] > 1:
        return ("weights' axes, (K, C, kh, kw) or (K, kh, kw, C), stride, padding and what is padded with; or "
                f"{before}")
    return f"the order of features (flatten 'CHW' or 'HWC'), and {before}"


def _constant_ratio(h: np.ndarray, theirs: np.ndarray) -> float | None:
    at = np.abs(h).argmax()
    ratio = float(theirs.reshape(-1)[at] / h.reshape(-1)[at]) if h.reshape(-1)[at] else 0.0
    return ratio if ratio not in (0.0, 1.0) and np.allclose(theirs, h * ratio, rtol=1e-4, atol=1e-6) else None
