"""Windows of a max-pool, entry by entry.

N images, maps (N, OH, OW, U) before the pool and (N, PH, PW, U) behind it.
"""

import functools

import numpy as np

from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import window_counts
from bnnsim.packed.stages import Stage

Maps = tuple[slice, np.ndarray, np.ndarray]             # which rows and columns of maps (N, ., ., U)


@functools.lru_cache(maxsize=64)
def entries(windows: Pool, sizes: tuple[int, int]) -> list[tuple[Maps, Maps]]:
    """For each entry of a max-pool's windows: which windows (N, PH, PW, U) have it, and where, on maps (N, OH, OW, U)
    of these sizes.
    """
    counts, found = window_counts(sizes, windows), []
    for a, b in np.ndindex(*windows[:2]):
        places = []
        for count, size, stride, at in zip(counts, sizes, windows[2:4], (a - windows.top, b - windows.left)):
            place = np.arange(count) * stride + at
            inside = np.flatnonzero((place >= 0) & (place < size))
            places.append((inside, place[inside]))
        (i, row), (j, column) = places
        found.append(((slice(None), i[:, None], j), (slice(None), row[:, None], column)))
    return found


def pooled(stage: Stage, maps: np.ndarray, join: np.ufunc) -> np.ndarray:
    """What `join` makes of the entries of each window: maps (N, OH, OW, U) -> (N, PH, PW, U)."""
    if not stage.layer.pools:
        return maps
    least = False if maps.dtype == bool else np.iinfo(maps.dtype).min
    out = np.full((len(maps), *stage.pooled_shape, maps.shape[3]), least, maps.dtype)
    for q, p in entries(stage.layer.windows, stage.map_shape):
        out[q] = join(out[q], maps[p])
    return out
