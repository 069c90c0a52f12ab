"""Networks that approximate a given function, by construction: what fully connected BNNs can represent, and cannot.

Every network has scores (-v, v), where v approximates the function: class 1 is "v > 0", which sweeps can count. Weights
are +-1, so the read-out v = scale * sum + shift gets its coefficients from copies of neurons. Points of the domain
enter as pixels: `encode` quantises them, `values` evaluates; both read the domain from the network's metadata, also of
a stored one.

d inputs, n points; functions of real inputs with two hidden layers are in `universal_lipschitz`.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bnnsim.checks import FilePath, check_int, check_real
from bnnsim.packed.network import PackedNetwork
from bnnsim.proofs.universal_lipschitz import Size, lipschitz, lipschitz_size
from bnnsim.proofs.universal_parts import (MOST_CELLS, ROUNDING, Bounds, Function, box_of, check_box, check_weights,
                                           copies_of, encode, grid, largest_error, network_of, values, values_of,
                                           vertices)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Size", "boolean", "box_of", "draw", "encode", "largest_error", "lipschitz", "lipschitz_size", "on_vertices",
           "one_hidden_layer", "saddle", "values", "vertices"]

MOST_ENTRIES = 2**24                # numbers of a table for least squares: 128 MB


# ---------------------------------------------------------------- binary inputs: one hidden layer

def boolean(function: Function | npt.ArrayLike, d: int) -> PackedNetwork:
    """A Boolean function of d inputs of +-1, exactly: a network with a hidden neuron for each point where it is true.

    Where it is true more often than not, neurons stand for the points where it is false.

    Parameters
    ----------
    function : callable, or bool (2**d,)
        Called once with int8 (2**d, d) of +-1, all points; or their truth table, in the order of `vertices`.
    d : int

    Returns
    -------
    PackedNetwork
        ``values(network, x)`` is +1 where the function is true and -1 where it is not, for x (n, d) of +-1.

    Raises
    ------
    ValueError
        Where 2**d is too large: the message names the size.

    References
    ----------
    Yayla et al., arXiv:2102.02631: binarised inputs need one hidden layer, constructively [V]; the construction is ours
    [D], docs/equations.rst 5.1.

    Examples
    --------
    >>> network = boolean(lambda x: x[:, 0] * x[:, 1] < 0, 2)                       # exclusive or
    >>> values(network, [[1, 1], [1, -1]]).tolist()
    [-1.0, 1.0]
    """
    points = vertices(d)
    table = values_of(function, points, "function")
    if not np.all((table == 0) | (table == 1)):
        raise ValueError(f"function must be True or False at each point, got {table[(table != 0) & (table != 1)][0]}; "
                         "for real values use on_vertices")
    return _on_vertices(points, np.where(table == 1, 1.0, -1.0), 1.0, -1.0 if 2 * table.sum() <= len(table) else 1.0)


def on_vertices(function: Function | npt.ArrayLike, d: int, eps: float) -> PackedNetwork:
    """A real function of d inputs of +-1 as a network with one hidden layer, within eps.

    Parameters
    ----------
    function : callable, or float (2**d,)
        As for `boolean`, with real values.
    d : int
    eps : float

    Returns
    -------
    PackedNetwork

    References
    ----------
    Yayla et al., arXiv:2102.02631 [V that it can be done; the construction D, docs/equations.rst 5.1].

    Examples
    --------
    >>> network = on_vertices(lambda x: x.sum(axis=1) / 3, 3, 0.1)
    >>> abs(values(network, [[1, 1, -1]])[0] - 1 / 3) <= 0.1
    np.True_
    """
    points, eps = vertices(d), check_real("eps", eps, 0, open_low=True)
    table = values_of(function, points, "function")
    return _on_vertices(points, table, eps * (1 - ROUNDING), (table.max() + table.min()) / 2)


def _on_vertices(points: np.ndarray, table: np.ndarray, alpha: float, middle: float) -> PackedNetwork:
    """A neuron +1 only at its vertex, |k| copies of it: v = middle + 2 alpha k there."""
    counts = np.rint((table - middle) / (2 * alpha)).astype(np.int64)
    check_weights(int(np.abs(counts).sum()) * (points.shape[1] + 2), "eps", alpha)
    rows, signs = copies_of(counts)
    hidden = {"weight": points[rows], "threshold": np.full(len(rows), points.shape[1])}
    domain = {"bounds": [[-1, 1]] * points.shape[1], "levels": 2, "binary": True}
    return network_of([hidden], signs, alpha, middle + alpha * counts.sum(), domain, 1)


# ---------------------------------------------------------------- one hidden layer: not enough for real inputs

def saddle(x: np.ndarray) -> np.ndarray:
    """x0**2 - x1**2, which no BNN with one hidden layer approximates on [-1, 1]^2: see `one_hidden_layer`; x (n, 2)."""
    return x[:, 0] ** 2 - x[:, 1] ** 2


def one_hidden_layer(function: Function, bounds: Bounds, n_thresholds: int, step: float, levels: int = 254,
                     n_grid: int = 33) -> PackedNetwork:
    """The best that one hidden layer does by least squares: all +-1 directions, thresholds evenly along each.

    For one input it approximates any continuous function as `n_thresholds` grows. For two, a network of one hidden
    layer is g1(x0 + x1) + g2(x0 - x1), whatever its width: for the `saddle` on [-1, 1]^2 the error stays >= 1. With +1
    at (1, 0) and (-1, 0) and -1 at (0, 1) and (0, -1), each value of x0 + x1 and of x0 - x1 occurs once with each sign,
    so that the four errors cannot all be below 1; 0 has the error 1, and nothing has less.

    Parameters
    ----------
    function : callable
        Called with float64 (n, d), returns float (n,).
    bounds : sequence of (float, float) (d,)
    n_thresholds : int
        Of each of the 2**(d - 1) directions.
    step : float
        Coefficients are rounded to multiples of it, by copies of neurons.
    levels : int
        Inputs are rounded to pixels 0..levels; an even number has a pixel in the middle.
    n_grid : int
        Points along each input at which squares are summed.

    Returns
    -------
    PackedNetwork

    References
    ----------
    Yayla et al., arXiv:2102.02631: real inputs are impossible with one hidden layer [V]; the example is ours [D],
    docs/equations.rst 5.3.
    """
    low, high, levels = check_box(bounds, levels)
    n_thresholds, step = check_int("n_thresholds", n_thresholds, 1), check_real("step", step, 0, open_low=True)
    d = len(low)
    check_int("n_grid ** d", check_int("n_grid", n_grid, 2) ** d, 1, MOST_CELLS)
    directions = vertices(d)[1 << (d - 1):].astype(np.int64)            # up to their sign
    if len(directions) * n_thresholds * n_grid**d > MOST_ENTRIES:
        raise ValueError(f"n_grid and n_thresholds must make a table for least squares of at most {MOST_ENTRIES:,} "
                         f"numbers, a row a point and a column a neuron, got {n_grid**d:,} x "
                         f"{len(directions) * n_thresholds:,} of {n_grid} and {n_thresholds}: make either smaller")
    weight = directions.repeat(n_thresholds, 0)
    least = levels * np.minimum(weight, 0).sum(axis=1)
    share = np.tile(np.arange(1, n_thresholds + 1) / (n_thresholds + 1), len(directions))
    threshold = least + np.ceil(share * levels * d).astype(np.int64)
    pixels = np.rint(grid(np.zeros(d), np.full(d, levels), n_grid)).astype(np.int64)
    features = np.where(pixels @ weight.T >= threshold, 1.0, -1.0)
    wanted = values_of(function, low + (high - low) * pixels / levels, "function")
    found = np.linalg.lstsq(np.column_stack([features, np.ones(len(pixels))]), wanted, rcond=None)[0]
    copies = np.rint(found[:-1] / step).astype(np.int64)
    check_weights(int(np.abs(copies).sum()) * (d + 2), "step", step)
    rows, signs = copies_of(copies)
    domain = {"bounds": np.stack([low, high], 1).tolist(), "levels": levels, "binary": False}
    hidden = {"weight": weight[rows].astype(np.int8), "threshold": threshold[rows]}
    return network_of([hidden], signs, step, found[-1], domain, 0)


def draw(network: PackedNetwork, function: Function, path: FilePath | None = None, n_points: int = 201,
         title: str = "") -> "Figure":
    """Draw a function, the network that approximates it, and the error: curves for one input, maps for two.

    Parameters
    ----------
    network : PackedNetwork
        Made by this module, of one or two real inputs.
    function : callable
        Called with float64 (n, d), returns float (n,).
    path : path, optional
    n_points : int
        Along each input.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from bnnsim.figures.proofs import approximation

    n_points = check_int("n_points", n_points, 2, 2000)
    low, high = box_of(network)
    if len(low) > 2:
        raise ValueError(f"network must have one or two inputs to be drawn, got {len(low)}")
    axes = [np.linspace(a, b, n_points) for a, b in zip(low, high)]
    x = grid(low, high, n_points)
    sizes = " + ".join(f"{layer.units:,}" for layer in network.layers[:-1])
    title = f"{title}{'; ' * bool(title)}{sizes} hidden neurons"
    return approximation(axes, np.asarray(function(x), float), values(network, x), path, title)
