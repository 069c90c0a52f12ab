"""What the constructions of `bnnsim.universal` share: points as pixels, functions as tables, neurons in copies.

d inputs, n points, U neurons.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_finite, check_int
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource

Function = Callable[[np.ndarray], npt.ArrayLike]        # float64 (n, d) -> float (n,)
Bounds = Sequence[tuple[float, float]]

MOST_WEIGHTS = 2**28                # binary weights of a network that is built: 32 MB
MOST_CELLS = 2**21                  # points at which a function is evaluated at a time
ROUNDING = 1e-9                     # share of eps that is left to float64
KEY = "universal"                   # of the metadata


def vertices(d: int) -> np.ndarray:
    """All points of {-1, 1}^d, int8 (2**d, d): input 0 changes slowest, -1 comes first."""
    d = check_int("d", d, 1)
    if 2 * d << d > MOST_WEIGHTS:
        points = f"2**{d}" + f" = {1 << d:,}" * (d <= 64)
        raise ValueError(f"d must be at most {max(k for k in range(1, 30) if 2 * k << k <= MOST_WEIGHTS)}: d = {d} has "
                         f"{points} points, each of which may need a neuron of {d} weights")
    return (2 * (np.arange(1 << d)[:, None] >> np.arange(d - 1, -1, -1) & 1) - 1).astype(np.int8)


def encode(network: PackedNetwork, x: npt.ArrayLike) -> np.ndarray:
    """Points as the images that a network of this module takes.

    Parameters
    ----------
    network : PackedNetwork
    x : float (n, d)
        Within the network's bounds; of binary inputs -1 and +1.

    Returns
    -------
    uint8 (n, 1, 1, d)
    """
    domain, (low, high) = domain_of(network), box_of(network)
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != len(low):
        raise ValueError(f"x must have shape (n, {len(low)}), got {x.shape}")
    outside = ~((x >= low) & (x <= high))                               # NaN is outside too
    if domain["binary"]:
        outside |= np.abs(x) != 1
    if outside.any():
        n, i = (int(at[0]) for at in np.nonzero(outside))
        wanted = "-1 or 1" if domain["binary"] else f"in [{low[i]:g}, {high[i]:g}]"
        raise ValueError(f"x[{n}, {i}] must be {wanted}, got {x[n, i]:g}")
    return np.rint((x - low) / (high - low) * domain["levels"]).astype(np.uint8)[:, None, None]


def values(network: PackedNetwork, x: npt.ArrayLike) -> np.ndarray:
    """What a network of this module makes of points x (n, d): float64 (n,)."""
    return network.scores(encode(network, x))[:, 1]


def largest_error(network: PackedNetwork, function: Function | npt.ArrayLike, n_points: int = 10_000,
                  rng: RandomSource = None) -> float:
    """Largest |values - function| on a grid, borders included, and on random points, `n_points` each.

    Parameters
    ----------
    network : PackedNetwork
        Of this module.
    function : callable
        Called with float64 (n, d), returns float (n,).
    n_points : int
    rng : None, int, SeedSequence or Generator

    Returns
    -------
    float
    """
    domain, (low, high) = domain_of(network), box_of(network)
    n_points = check_int("n_points", n_points, 1, MOST_CELLS)
    if domain["binary"]:
        x = vertices(len(low)).astype(float)
    else:
        n_grid = max(2, int(n_points ** (1 / len(low))))
        rng = np.random.default_rng(rng)
        x = np.concatenate([grid(low, high, n_grid), low + (high - low) * rng.random((n_points, len(low)))])
    return float(np.abs(values(network, x) - values_of(function, x, "function")).max())


def box_of(network: PackedNetwork) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), float64 (d,) each: the domain of a network of this module."""
    low, high = np.array(domain_of(network)["bounds"], np.float64).T
    return low, high


def grid(low: np.ndarray, high: np.ndarray, n: int) -> np.ndarray:
    """n points along each input, (n ** d, d)."""
    axes = [np.linspace(a, b, n) for a, b in zip(low, high)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))


def copies_of(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, signs): row i |counts[i]| times, with its sign; never none, then two that cancel."""
    rows = np.repeat(np.arange(len(counts)), np.abs(counts))
    signs = np.sign(counts)[rows]
    return (rows, signs) if len(rows) else (np.zeros(2, np.int64), np.array([1, -1]))


def network_of(hidden: Sequence[Mapping[str, np.ndarray]], signs: np.ndarray, scale: float, shift: float,
               domain: Mapping[str, Any], offset: int) -> PackedNetwork:
    """Hidden layers, then the rows (-signs, signs): scores (-v, v) with v = scale * sum + shift."""
    output = {"weight": np.stack([-signs, signs]), "gamma": np.full(2, scale), "beta": np.array([-shift, shift]),
              "mean": np.zeros(2), "var": np.ones(2)}
    shape, metadata = (1, 1, len(domain["bounds"])), {KEY: json.dumps(domain)}
    return PackedNetwork.from_arrays([*hidden, output], shape, offset, metadata)


def domain_of(network: PackedNetwork) -> dict[str, Any]:
    """The bounds, levels and kind of input that a network of this module keeps in its metadata."""
    if not isinstance(network, PackedNetwork) or KEY not in network.metadata:
        raise ValueError(f"network must be one that bnnsim.universal made, got {network!r}")
    return json.loads(network.metadata[KEY])


def check_box(bounds: Bounds, levels: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(low (d,), high (d,), levels)."""
    levels = check_int("levels", levels, 1, 255)
    box = np.asarray(bounds, np.float64)
    if box.ndim != 2 or box.shape[1] != 2 or len(box) == 0:
        raise ValueError(f"bounds must be a (low, high) for each input, got shape {box.shape}")
    check_finite("bounds", box)
    if not (box[:, 0] < box[:, 1]).all():
        raise ValueError(f"bounds must have low < high, got {box.tolist()}")
    return box[:, 0], box[:, 1], levels


def values_of(function: Function | npt.ArrayLike, points: np.ndarray, name: str) -> np.ndarray:
    """float64 (n,) of a function at points (n, d), or of its table."""
    table = np.asarray(function(points) if callable(function) else function)
    if table.dtype.kind not in "biuf" or table.shape != (len(points),):
        raise ValueError(f"{name} must give one real number for each of the {len(points)} points, shape "
                         f"({len(points)},), got {table.dtype} {table.shape}")
    return check_finite(f"what {name} gives", table.astype(np.float64))


def check_weights(n_weights: int, name: str, value: float) -> None:
    """Refuse to build more than MOST_WEIGHTS, which `value` of the argument `name` would need."""
    if n_weights > MOST_WEIGHTS:
        raise ValueError(f"{name} = {value:.4g} needs {n_weights:,} binary weights, more than the {MOST_WEIGHTS:,} "
                         "that are built")
