"""Layers of bits in a graph whose sums are compared with thresholds and read by nothing else.

A layer that gives bits has thresholds of its own; one behind which a stored bias gives them, these less what the bias
adds. Where an affine alone reads a layer's sums, and a sign alone that,
float32(h) * scale + shift >= threshold holds for all h from some integer on, or up to one: a product, a sum and a
rounding leave the order of numbers as it is. That integer is found by halves, with the operations themselves; so the
comparison is theirs for every h, to the last bit. U units.
"""

from dataclasses import replace

import numpy as np

from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.operations import Affine, Sign
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import unpack_signs


def compared_stages(graph: PackedGraph) -> tuple[Stage, ...]:
    """The layers of weights that are hidden layers by themselves, with a stored bias, or with affine and sign."""
    found = []
    for i, stage in zip(graph.at_layer, graph.stages):
        if i in graph.joined:
            found.append(graph.joined[i])
        elif stage.layer.threshold is not None and stage.layer.kind != "bias":
            found.append(stage)
        if stage.layer.threshold is not None or i in graph.joined:
            continue
        affine = _only_reader(graph, i)
        sign = None if affine is None else _only_reader(graph, affine)
        if affine is None or sign is None:
            continue
        norm, compared = graph.nodes[affine].what, graph.nodes[sign].what
        if isinstance(norm, Affine) and isinstance(compared, Sign):
            found.append(_with_thresholds(stage, norm, compared))
    return tuple(found)


def _only_reader(graph: PackedGraph, i: int) -> int | None:
    readers = [j for j, node in enumerate(graph.nodes) if i in node.inputs]
    return readers[0] if len(readers) == 1 else None


def _with_thresholds(stage: Stage, affine: Affine, sign: Sign) -> Stage:
    """The layer with the integers at which its comparison turns."""
    def holds(h: np.ndarray) -> np.ndarray:
        bits = sign.run(affine.run(h.astype(np.int32)[None]))
        return unpack_signs(bits, stage.layer.units)[0] > 0

    lowest, highest = np.full(stage.layer.units, -stage.bound - 1), np.full(stage.layer.units, stage.bound + 1)
    falls = holds(lowest) & ~holds(highest)
    low, high = lowest, np.where(holds(lowest) != falls, lowest, highest + 1)
    while np.any(active := high - low > 1):             # the comparison has turned at high, and has not at low
        middle = (low + high) // 2
        there = holds(middle) != falls
        low, high = np.where(active & ~there, middle, low), np.where(active & there, middle, high)
    return replace(stage, layer=replace(stage.layer, threshold=high.astype(np.int32), inverted=falls))
