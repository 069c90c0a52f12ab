"""A sketch of a graph into a `PackedGraph`: what the scores do not read is dropped, norms and signs fold into layers.

Sums of bits that a sign alone reads, through norms and a max-pool, become integer thresholds, as in a chain; what
several nodes read is computed in float32, in the order that the file has.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bnnsim.checks import check_finite
from bnnsim.interop.drafts import Draft, compose, fields_of
from bnnsim.interop.graph_parts import Norm, Part, Signs, Sketch, Value, Weighing
from bnnsim.interop.rows import Row, node_row
from bnnsim.interop.steps import Pool
from bnnsim.packed.from_arrays import layer_from_arrays
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import IMAGES, Node
from bnnsim.packed.operations import (Add, Affine, Clip, LargestPool, Operation, Pixels, PReLU, RealConv,
                                      RealDense, Sign)
from bnnsim.packed.operations.operation import Shape

NOTHING_IN_MEMORY = ("there is no layer whose weights are of one bit and which reads signs: nothing would be in the "
                     "memory")


def lower(sketch: Sketch, scores: Value, metadata: Mapping[str, str]) -> tuple[PackedGraph, list[Row]]:
    """(The graph that gives these scores, what became of what)."""
    last = sketch.parts[scores.part]
    if scores.bits is not None:
        raise ValueError(f"{last.name} gives signs: scores are numbers")
    if len(scores.shape) != 1:
        raise ValueError(f"{last.name} gives a map {scores.shape}: a pool or a dense layer must make scores of it")
    parts = [replace(part, folded=list(part.folded)) for part in sketch.parts]
    _signs_of_unclipped(parts, _live(parts, scores.part))
    _norms_together(parts, scores.part)
    emission = _Emission(sketch, parts, scores.part)
    emission.run()
    if not any(isinstance(parts[i].what, Weighing) for i in emission.live):
        raise ValueError(NOTHING_IN_MEMORY)
    if sketch.code.binary:
        metadata = {**metadata, "input": "binary"}
    offset = sketch.offset or 0
    return PackedGraph(emission.nodes, sketch.input_shape, offset, metadata), emission.rows


def _live(parts: list[Part], last: int) -> list[int]:
    """The parts that the last reads, in order."""
    found = {last}
    for i in range(last, -1, -1):
        if i in found:
            found |= set(parts[i].inputs) - {IMAGES}
    return sorted(found)


def _readers(parts: list[Part], live: list[int]) -> dict[int, list[int]]:
    """Who reads each part; the last is read by nobody."""
    found: dict[int, list[int]] = {i: [] for i in (IMAGES, *live)}
    for i in live:
        for at in parts[i].inputs:
            found[at].append(i)
    return found


def _signs_of_unclipped(parts: list[Part], live: list[int]) -> None:
    """A sign reads what a clip on both sides of 0 reads: it is the same sign."""
    for i in live:
        while isinstance(parts[i].what, Signs) and parts[i].inputs[0] != IMAGES:
            before = parts[parts[i].inputs[0]]
            if not isinstance(before.what, Clip):
                break
            low, high = before.what.low[0], before.what.high[0]
            if not low < 0 < high:
                raise ValueError(f"{parts[i].name} is the sign of {before.name}, {low:g} to {high:g}, which makes "
                                 "constants of it")
            parts[i].inputs = before.inputs
            parts[i].folded.append(f"left out: {before.name}")


def _norms_together(parts: list[Part], last: int) -> None:
    """Norms behind norms that nobody else reads, as one."""
    live = _live(parts, last)
    readers = _readers(parts, live)
    for i in live:
        part = parts[i]
        at = part.inputs[0]
        before = parts[at] if at != IMAGES else None
        if isinstance(part.what, Norm) and before is not None and isinstance(before.what, Norm) and readers[at] == [i]:
            part.what, part.inputs = part.what.behind(before.what), before.inputs
            part.sources = before.sources + part.sources
            part.folded = [*before.folded, before.name, *part.folded]


class _Emission:
    """Nodes so far, and the node that each part has become."""

    def __init__(self, sketch: Sketch, parts: list[Part], last: int) -> None:
        self.sketch, self.parts, self.last = sketch, parts, last
        self.live = _live(parts, last)
        self.readers = _readers(parts, self.live)
        self.zeros = _often_zero(parts, self.live)
        self.nodes: list[Node] = []
        self.rows: list[Row] = []
        self.made: dict[int, int] = {IMAGES: IMAGES}
        self.folded: set[int] = set()                           # parts that stand in nodes of others
        self.numbers: dict[int, int] = {}                       # float32 of parts that give integers
        self.integers: set[int] = set()
        self.n_layers = 0

    def run(self) -> None:
        """All parts, in order."""
        for i in self.live:
            if i in self.made or i in self.folded:
                continue
            part = self.parts[i]
            if isinstance(part.what, Weighing):
                self._layer(i, part.what)
            elif isinstance(part.what, Norm):
                self._norm(i, part.what)
            elif isinstance(part.what, Signs):
                self._sign(i, part.what)
            else:
                self._operation(i, part.what)

    def _add(self, parts: list[int], node: Node, folded: tuple[str, ...] = (), turned: tuple[int, ...] = ()) -> None:
        """A node, which the last of these parts has become."""
        first = self.parts[parts[0]]
        if isinstance(node.what, Operation):
            self.sketch.spend(first.name, node.what.n_parameters)
        self.nodes.append(node)
        self.made[parts[-1]] = len(self.nodes) - 1
        self.folded.update(parts[:-1])
        sources = tuple(source for i in parts for source in self.parts[i].sources) or (first.name,)
        self.rows.append(node_row(len(self.nodes) - 1, node.what, sources, (*first.folded, *folded), turned))

    def _number(self, at: int) -> int:
        """The node that gives a part's value as float32."""
        if at not in self.integers:
            return self.made[at]
        if at not in self.numbers:
            ones = np.ones(self.parts[at].shape[-1])
            self.sketch.spend(self.parts[at].name, 2 * ones.size)
            self.nodes.append(Node(Affine(ones, 0 * ones), (self.made[at],)))
            self.numbers[at] = len(self.nodes) - 1
        return self.numbers[at]

    # ------------------------------------------------------------ layers of bits

    def _layer(self, i: int, what: Weighing) -> None:
        chain, pools = [i], 0
        while len(self.readers[chain[-1]]) == 1 and not isinstance(self.parts[chain[-1]].what, Signs):
            after = self.readers[chain[-1]][0]
            pools += isinstance(self.parts[after].what, LargestPool)
            if not isinstance(self.parts[after].what, Norm | Signs | LargestPool) or pools > 1:
                break
            chain.append(after)
        if isinstance(self.parts[chain[-1]].what, Signs):
            return self._put_layer(chain, what, "bits")
        if what.weight.ndim == 2 and chain[-1] == self.last:
            return self._put_layer(chain, what, "scores")
        self.integers.add(i)
        self._put_layer([i], what, "sums")

    def _put_layer(self, chain: list[int], what: Weighing, gives: str) -> None:
        part, n = self.parts[chain[0]], len(what.weight)
        draft = Draft(what.weigh, what.weight, dict(what.fields), np.zeros(n), np.ones(n), np.zeros(n), most=what.most,
                      any_parity=what.any_parity)
        for i in chain[1:]:
            self._fold(draft, self.parts[i])
        if gives == "sums":
            fields = {**draft.fields, "weight": draft.weight}
        else:
            fields = fields_of(draft, self.sketch.reading, gives == "scores")
        shape, offset = self._read_by(part)
        try:
            stage = layer_from_arrays(self.n_layers, fields, shape, offset, gives)
        except ValueError as error:
            raise ValueError(f"{part.name}: {error}") from None
        self.n_layers += 1
        self._add(chain, Node(stage.layer, (self.made[part.inputs[0]],)), tuple(draft.folded), draft.turned)

    def _read_by(self, part: Part) -> tuple[Shape, int | None]:
        """(Shape, offset of pixels or None) of what a layer of bits reads."""
        if part.inputs[0] != IMAGES:
            return self.parts[part.inputs[0]].shape, None
        channels, height, width = self.sketch.input_shape
        return (height, width, channels), self.sketch.offset

    def _fold(self, draft: Draft, part: Part) -> None:
        what = part.what
        if isinstance(what, Norm):
            compose(draft, np.zeros(1), what.scale.reshape(-1), what.shift.reshape(-1))
        elif isinstance(what, LargestPool):
            draft.pool = Pool(part.name, what.size, what.stride, what.padding)
            draft.falling = np.broadcast_to(draft.scale < 0, len(draft.weight))
        elif isinstance(what, Signs):
            draft.at_zero = what.at_zero
        draft.folded += [*part.folded, part.name]

    # ------------------------------------------------------------ operations

    def _norm(self, i: int, norm: Norm) -> None:
        part, at = self.parts[i], self.parts[i].inputs[0]
        if self._is_threshold(i):
            return                                              # of the sign that reads it
        if np.all(norm.scale == 1) and np.all(norm.shift == 0) and at != IMAGES and i != self.last:
            self.made[i] = self._number(at)
            return
        scale, shift = (_float32(part.name, value, part.shape[-1]) for value in (norm.scale, norm.shift))
        what = Pixels(scale, shift) if at == IMAGES else Affine(scale, shift)
        told = (f"pixel * {norm.scale.item():.6g} + {norm.shift.item():.6g}",) if at == IMAGES and norm.scale.size == \
            norm.shift.size == 1 else ()
        self._add([i], Node(what, (self.made[at],)), told)

    def _is_threshold(self, i: int) -> bool:
        """Whether a norm only shifts what one sign reads: x + b >= 0 is x >= -b, in float32 too."""
        norm, readers, at = self.parts[i].what, self.readers[i], self.parts[i].inputs[0]
        return (isinstance(norm, Norm) and len(readers) == 1 and isinstance(self.parts[readers[0]].what, Signs)
                and at != IMAGES and bool(np.all(norm.scale == 1)))

    def _sign(self, i: int, sign: Signs) -> None:
        part, at = self.parts[i], self.parts[i].inputs[0]
        folded = []
        threshold = np.zeros(part.shape[-1], np.float32)
        at_zero = self._sign_of_zero(part, sign, self.zeros[at])
        if sign.at_zero == 0:
            folded.append(f"0 gives {at_zero:+d}")
        if at != IMAGES and self._is_threshold(at) and isinstance(norm := self.parts[at].what, Norm):
            threshold = -_float32(part.name, norm.shift, part.shape[-1])
            folded += [*self.parts[at].folded, self.parts[at].name]
            at = self.parts[at].inputs[0]
        if at_zero == -1:                                       # x > t is x >= the next number above t
            threshold = np.nextafter(threshold, np.float32(np.inf))
        self._add([i], Node(Sign(threshold), (self._number(at),)), tuple(folded))

    def _sign_of_zero(self, part: Part, sign: Signs, reached: bool) -> int:
        name = part.name
        if not self.sketch.code.said and self.parts[part.inputs[0]].inputs == (IMAGES,) and \
                isinstance(self.parts[part.inputs[0]].what, Norm):
            raise ValueError(f"{name}: the network takes signs of its input, and what it reads is not known: say "
                             "input='unit' (pixels / 255), 'centred' (-1 to 1), 'pixels', or 'binary' (+-1 already)")
        found = self.sketch.reading.sign_of_zero(name, sign.at_zero)
        if found == 0 and reached:
            raise ValueError(f"{name}: the sign of 0 is 0 in this network, no bit, and what it reads is often 0: say "
                             "what stands for it, sign='>=' for +1 or sign='>' for -1, if the network was trained so")
        return found or 1

    def _operation(self, i: int, what: Operation | Weighing | Norm | Signs) -> None:
        part = self.parts[i]
        if not isinstance(what, Operation):
            raise TypeError(f"{part.name} is no operation")
        if isinstance(what, LargestPool) and part.inputs[0] in self.integers:
            self.integers.add(i)
            self._add([i], Node(what, (self.made[part.inputs[0]],)))
        else:
            self._add([i], Node(what, tuple(self._number(at) for at in part.inputs)))


def _float32(name: str, value: np.ndarray, n: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        found = np.broadcast_to(value, n).astype(np.float32)
    return check_finite(f"{name} in float32", found)


def _often_zero(parts: list[Part], live: list[int]) -> dict[int, bool]:
    """Whether what a part gives is likely to be exactly 0: behind ReLU, or no bias and an image's black border."""
    found = {IMAGES: True}
    for i in live:
        what, before = parts[i].what, [found[at] for at in parts[i].inputs]
        if isinstance(what, Norm):
            found[i] = bool(np.any(what.shift == 0)) and before[0] if parts[i].inputs[0] != IMAGES else \
                bool(np.any(np.arange(256) * what.scale.reshape(-1, 1) + what.shift.reshape(-1, 1) == 0))
        elif isinstance(what, RealConv | RealDense):
            found[i] = bool(np.any(what.bias == 0)) and before[0]
        elif isinstance(what, Clip):
            found[i] = 0 in (what.low[0], what.high[0]) or before[0]
        elif isinstance(what, PReLU):
            found[i] = before[0] or bool(np.any(what.slope == 0))
        elif isinstance(what, Add):
            found[i] = all(before)
        else:
            found[i] = isinstance(what, Weighing) or any(before)
    return found
