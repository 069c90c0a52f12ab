"""Where the nodes of a graph stand in its picture, and how its edges go: rows from top to bottom, in columns of a page.

A node stands a row below the lowest that it reads. Rows that do not fit one under the other go on in the next column of
the page, where what they read of earlier ones is shown once more, as a ghost. In a column a node stands in the lane of
the lowest that it reads, where that is free; an edge that would cross a node goes in a track left of the lanes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Spot(NamedTuple):
    """A node in its column: the row from the column's top, and the lane."""

    row: int
    lane: int


class Edge(NamedTuple):
    """From a node, or its ghost, to one that reads it. track: 0, 1, ... to the left of the lanes; None in `lane`."""

    source: int
    target: int
    lane: int
    track: int | None


@dataclass
class Column:
    """Part of a picture: where nodes stand, those that are ghosts, and their edges."""

    spots: dict[int, Spot] = field(default_factory=dict)
    ghosts: set[int] = field(default_factory=set)
    edges: list[Edge] = field(default_factory=list)
    taken: set[tuple[int, int]] = field(default_factory=set)        # (row, lane)
    tracked: set[tuple[int, int]] = field(default_factory=set)      # (gap above a row, track)

    @property
    def n_rows(self) -> int:
        """Rows, that of the ghosts included."""
        return 1 + max(spot.row for spot in self.spots.values())

    @property
    def n_lanes(self) -> int:
        """Lanes side by side."""
        return 1 + max(max(spot.lane for spot in self.spots.values()), *(edge.lane for edge in self.edges), 0)

    @property
    def n_tracks(self) -> int:
        """Tracks to the left of them."""
        return 1 + max((edge.track for edge in self.edges if edge.track is not None), default=-1)

    def _is_free(self, lane: int, first: int, stop: int) -> bool:
        return not any((row, lane) in self.taken for row in range(first, stop))

    def place(self, node: int, row: int, reads: Sequence[int]) -> None:
        """Put a node into a row, behind all that it reads; and its edges."""
        before = sorted(dict.fromkeys(reads), key=lambda at: (-self.spots[at].row, self.spots[at].lane))
        lane = 0
        if before:
            above, own = self.spots[before[0]]
            lanes = (own, *range(len(self.taken) + 1))
            lane = next(lane for lane in lanes if self._is_free(lane, above + 1, row + 1))
        else:
            lane = next(lane for lane in range(len(self.taken) + 1) if self._is_free(lane, row, row + 1))
        self.spots[node] = Spot(row, lane)
        self.taken.add((row, lane))
        for at in before:
            self._connect(at, node)

    def _connect(self, source: int, target: int) -> None:
        """An edge, straight down where nothing stands in its way."""
        first, stop = self.spots[source].row + 1, self.spots[target].row
        for lane in (self.spots[target].lane, self.spots[source].lane):
            if self._is_free(lane, first, stop):
                self.taken.update((row, lane) for row in range(first, stop))
                self.edges.append(Edge(source, target, lane, None))
                return
        gaps = range(first, stop + 1)
        track = next(track for track in range(len(self.tracked) + 1)
                     if not any((gap, track) in self.tracked for gap in gaps))
        self.tracked.update((gap, track) for gap in gaps)
        self.edges.append(Edge(source, target, 0, track))


def depths_of(reads: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """The row of each node: one below the lowest that it reads. `reads` names nodes behind those that they read."""
    found: dict[int, int] = {}
    for node, before in reads.items():
        found[node] = 1 + max((found[at] for at in before), default=-1)
    return found


def columns_of(reads: Mapping[int, Sequence[int]], most_rows: int) -> list[Column]:
    """The picture in columns of about so many rows; it is cut where few values cross."""
    rows = depths_of(reads)
    cuts = _cuts(reads, rows, most_rows)
    columns = []
    for first, stop in zip(cuts, cuts[1:]):
        column, inside = Column(), [node for node in reads if first <= rows[node] < stop]
        ghosts = sorted({at for node in inside for at in reads[node] if rows[at] < first}, key=lambda at: -rows[at])
        for node in ghosts:
            column.place(node, 0, ())
        column.ghosts = set(ghosts)
        for node in sorted(inside, key=lambda node: rows[node]):
            column.place(node, rows[node] - first + bool(ghosts), reads[node])
        columns.append(column)
    return columns


def _cuts(reads: Mapping[int, Sequence[int]], rows: Mapping[int, int], most_rows: int) -> list[int]:
    """The first row of each column, and the number of rows behind them."""
    n = 1 + max(rows.values())
    cuts = [0]
    while n - cuts[-1] > most_rows:
        near = range(cuts[-1] + max(1, most_rows * 3 // 4), cuts[-1] + most_rows + 1)
        cuts.append(min(near, key=lambda cut: (len({at for node, before in reads.items() for at in before
                                                    if rows[at] < cut <= rows[node]}), -cut)))
    return [*cuts, n]
