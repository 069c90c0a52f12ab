"""How a graph is computed: nodes one by one, or several channel operations in a row in one pass over their map.

A pass gives what its nodes give one after the other, to the bit: see `bnnsim.kernels.real.program_tile`. It ends where
a value is read by several, and takes the sign behind its last node along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.real.channels as channels
from bnnsim.kernels import empty, split
from bnnsim.kernels.real.program_tile import ADD, AFFINE, CLIP, LANES, PRELU
from bnnsim.packed.graph_schema import Node, Place
from bnnsim.packed.kinds import Bias
from bnnsim.packed.operations import Add, Affine, Clip, Operation, PReLU, Sign
from bnnsim.packed.operations.operation import rows
from bnnsim.packed.words import n_words

CODES: dict[type, int] = {Affine: AFFINE, PReLU: PRELU, Clip: CLIP}
NO_PIECES = np.zeros((0, 1), np.uint16)


@dataclass(frozen=True, eq=False)
class Pass:
    """Channel operations in a row, on one map.

    nodes : the numbers of those whose value it gives: the last of the row, if it is read by others than the sign, and
        the sign
    inputs : what it reads: x, and what is added to it
    """

    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    steps: np.ndarray
    constants: np.ndarray
    threshold: np.ndarray
    stores: bool
    signs: bool

    def run(self, x: np.ndarray, other: np.ndarray | None = None) -> list[np.ndarray]:
        """The values of `nodes` for a block."""
        flat, out, found = rows(x), np.empty((0, x.shape[-1]), np.float32), []
        if self.stores:
            found.append(empty(x.shape, np.float32))
            out = rows(found[0])
        pieces = NO_PIECES
        if self.signs:
            words = np.zeros((*x.shape[:-1], n_words(x.shape[-1])), np.uint64)
            found.append(words)
            pieces = rows(words).view(np.uint16)
        added = out if other is None else rows(other)
        split(channels.program, len(flat), flat, added, self.steps, self.constants, self.threshold, out, self.stores,
              pieces)
        return found


class Step(NamedTuple):
    """What is done at a node: a `Pass`, or the node alone, where it is None; and whose values it reads last.

    weights : of a stored bias the layer before, if both are done as one: see `bnnsim.packed.kinds.Bias.joined`
    """

    node: int
    taken: Pass | None
    last_of: tuple[int, ...] = ()
    weights: int | None = None


def _readers(nodes: Sequence[Node]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for at in node.inputs:
            if at >= 0:
                found[at].append(i)
    return found


def biases_of(nodes: Sequence[Node], places: Sequence[Place]) -> dict[int, int]:
    """Layers whose sums are read by a stored bias that gives bits, and by nothing else, and that bias's node."""
    return {i: after[0] for i, (place, after) in enumerate(zip(places, _readers(nodes)))
            if place.stage is not None and not isinstance(place.stage, Bias) and len(after) == 1
            and isinstance(places[after[0]].stage, Bias) and places[after[0]].kind == "bits"}


def plan_of(nodes: Sequence[Node], places: Sequence[Place], start: int, stop: int, wanted: Sequence[int]) -> list[Step]:
    """Steps that compute nodes start..stop of a graph, of which the values `wanted` are to be there at the end."""
    readers, found, done, biases = _readers(nodes), list[Step](), set[int](), biases_of(nodes, places)
    for i in range(start, stop):
        if i in done:
            continue
        if biases.get(i, stop) < stop and i not in wanted:
            found.append(Step(biases[i], None, weights=i))
            done |= {i, biases[i]}
            continue
        row = _row_from(i, nodes, places, readers, stop, {*wanted, *done})
        taken = _pass_of(row, nodes, places, readers, set(wanted)) if len(row) > 1 else None
        found.append(Step(row[-1] if taken is not None else i, taken))
        done |= set(row)
    found.sort(key=lambda step: _when(step, nodes))
    last_of = {at: i for i, step in enumerate(found) for at in _inputs(step, nodes)}
    return [step._replace(last_of=tuple(at for at, last in last_of.items() if last == i and at not in wanted))
            for i, step in enumerate(found)]


def _inputs(step: Step, nodes: Sequence[Node]) -> tuple[int, ...]:
    if step.taken is not None:
        return step.taken.inputs
    return nodes[step.node if step.weights is None else step.weights].inputs


def _when(step: Step, nodes: Sequence[Node]) -> int:
    """A pass with a sign at its end is done where the node before the sign stands: others read that one."""
    if step.taken is not None and step.taken.signs:
        return nodes[step.node].inputs[0]
    return step.node


def _row_from(i: int, nodes: Sequence[Node], places: Sequence[Place], readers: list[list[int]], stop: int,
              ends: set[int]) -> list[int]:
    """Nodes in a row from i on that a pass can take, up to one of `ends` at most; one alone is none."""
    row: list[int] = []
    while i < stop and _code(nodes[i], places[i]) is not None:
        if isinstance(nodes[i].what, Add) and any(isinstance(nodes[at].what, Add) for at in row):
            break                                                # one map is added, no more
        row.append(i)
        after = readers[i]
        signs = [at for at in after if isinstance(nodes[at].what, Sign) and at < stop]
        if len(after) != 1 or i in ends or after[0] in ends or signs:
            return [*row, *signs[:1]]
        i = after[0]
    return row


def _code(node: Node, place: Place) -> int | None:
    """The code of a channel operation; None of another, and of maps whose channels do not come by 16."""
    what = node.what
    if place.shape[-1] % LANES:
        return None
    if isinstance(what, Add):
        return ADD if len(node.inputs) == 2 else None
    return next((code for kind, code in CODES.items() if isinstance(what, kind)), None)


def _pass_of(row: list[int], nodes: Sequence[Node], places: Sequence[Place], readers: list[list[int]],
             wanted: set[int]) -> Pass:
    last, ending = row[-1], nodes[row[-1]].what
    sign = ending if isinstance(ending, Sign) else None
    body = row[:-1] if sign is not None else row
    n = places[body[0]].shape[-1]
    constants = np.zeros((len(body), 2, n), np.float32)
    x, others = nodes[body[0]].inputs[0], list[int]()
    for s, i in enumerate(body):
        what = nodes[i].what
        if isinstance(what, Operation):
            constants[s, :len(what.arrays)] = [np.broadcast_to(getattr(what, name), n) for name in what.arrays] or 0
        if isinstance(what, Add):
            a, b = nodes[i].inputs
            others.append(b if a == (body[s - 1] if s else x) else a)
    steps = np.array([_code(nodes[i], places[i]) for i in body], np.int64)
    stores = sign is None or body[-1] in wanted or len(readers[body[-1]]) > 1
    threshold = np.zeros(n, np.float32) if sign is None else np.array(sign.threshold)
    given = (*((body[-1],) if stores else ()), *((last,) if sign is not None else ()))
    return Pass(given, (x, *others), steps, constants, threshold, stores, sign is not None)
