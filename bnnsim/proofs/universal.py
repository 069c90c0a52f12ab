"""Networks that approximate a given function, by construction: what fully connected BNNs can represent, and cannot.

Every network has scores (-v, v), where v approximates the function: class 1 is "v > 0", which sweeps can count. Weights
are +-1, so the read-out v = scale * sum + shift gets its coefficients from copies of neurons. Points of the domain
enter as pixels: `encode` quantises them, `values` evaluates; both read the domain from the network's metadata, also of
a stored one.

d inputs, n points, T thresholds of a direction, M the largest pixel.
"""

import math
from typing import NamedTuple

import numpy as np

from bnnsim.checks import check_int, check_real
from bnnsim.proofs.universal_parts import (MOST_CELLS, MOST_WEIGHTS, box_of, check_box, check_weights, copies_of,
                                           encode, grid, largest_error, network_of, values, values_of, vertices)

__all__ = ["Size", "boolean", "box_of", "draw", "encode", "largest_error", "lipschitz", "lipschitz_size", "on_vertices",
           "one_hidden_layer", "saddle", "values", "vertices"]

N_PAIRS = 2000                      # of points at which a Lipschitz constant is tried
ROUNDING = 1e-9                     # share of eps that is left to float64


class Size(NamedTuple):
    """What a construction takes, known before it is built.

    Attributes
    ----------
    first : int
        Neurons of layer 1.
    second : int
        Neurons of layer 2 at most.
    weights : int
        Binary weights at most.
    cells : int
        Cells of the partition: evaluations of the function.
    step : int
        Distance of thresholds, in pixels.
    eps_quantisation, eps_cell, eps_readout : float
        The shares of eps that go to the rounding of inputs to pixels, to taking a cell's centre, and to counting out
        values by copies of neurons.
    """
    first: int
    second: int
    weights: int
    cells: int
    step: int
    eps_quantisation: float
    eps_cell: float
    eps_readout: float


# ---------------------------------------------------------------- binary inputs: one hidden layer

def boolean(function, d):
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


def on_vertices(function, d, eps):
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


def _on_vertices(points, table, alpha, middle):
    """A neuron +1 only at its vertex, |k| copies of it: v = middle + 2 alpha k there."""
    counts = np.rint((table - middle) / (2 * alpha)).astype(np.int64)
    check_weights(int(np.abs(counts).sum()) * (points.shape[1] + 2), "eps", alpha)
    rows, signs = copies_of(counts)
    hidden = {"weight": points[rows], "threshold": np.full(len(rows), points.shape[1])}
    domain = {"bounds": [[-1, 1]] * points.shape[1], "levels": 2, "binary": True}
    return network_of([hidden], signs, alpha, middle + alpha * counts.sum(), domain, 1)


# ---------------------------------------------------------------- real inputs: two hidden layers

def lipschitz(function, lipschitz, eps, bounds, levels=255):
    """A Lipschitz function on a box as a network with two hidden layers, within eps everywhere on the box.

    Layer 1 cuts the box by thresholds along the d directions (1, .., 1) and those with one sign negated; a neuron of
    layer 2 fires in one cell of this partition only, and exactly one cell's neurons fire.

    Parameters
    ----------
    function : callable
        Called with float64 (n, d), returns float (n,).
    lipschitz : float
        |f(x) - f(y)| <= lipschitz * max_i |x_i - y_i|; tried on a sample of points.
    eps : float
        Largest error.
    bounds : sequence of (float, float) (d,)
        Of each input.
    levels : int
        Inputs are rounded to pixels 0..levels; this takes a share of eps.

    Returns
    -------
    PackedNetwork

    Raises
    ------
    ValueError
        Where rounding the inputs takes all of eps (the message names the eps within reach), where the network would be
        too large (it names the size), where the function is not finite or breaks its constant (it names the points).

    See Also
    --------
    lipschitz_size : the size before it is built.

    References
    ----------
    Yayla et al., arXiv:2102.02631: two hidden layers approximate Lipschitz functions, constructively [V]; the
    construction is ours [D], docs/equations.rst 5.2; here 2/3, not half of eps, is the cells' for d = 2 (d / (d + 1)
    needs the fewest neurons).

    Examples
    --------
    >>> network = lipschitz(lambda x: abs(x[:, 0] - 0.3), 1.0, 0.1, [(0, 1)])
    >>> abs(values(network, [[0.9]])[0] - 0.6) <= 0.1
    np.True_
    """
    low, high, levels = check_box(bounds, levels)
    size = lipschitz_size(lipschitz, eps, bounds, levels)
    if size.cells > MOST_CELLS:
        _refuse(size, lipschitz, eps, bounds, levels)
    directions, d = _directions(len(low)), len(low)
    _try_constant(function, lipschitz, low, high)
    starts, counts = _cuts(directions, size.step, levels)
    cells = np.indices(counts + 1).reshape(d, -1).T
    middle = starts + size.step * cells + (size.step - 1) / 2          # of the sums along the directions
    inverse = np.linalg.inv(directions)
    centre, reach = middle @ inverse.T, np.abs(inverse).sum(axis=1) * (size.step - 1) / 2
    meets = ((centre + reach >= -1e-9) & (centre - reach <= levels + 1e-9)).all(axis=1)
    cells, centre = cells[meets], np.clip(centre[meets], 0, levels)
    table = values_of(function, low + (high - low) * centre / levels, "function")
    shift = (table.max() + table.min()) / 2
    copies = np.rint((table - shift) / (2 * size.eps_readout)).astype(np.int64)
    n_second = int(np.abs(copies).sum())
    n_weights = _n_weights(d, size.first, n_second)
    if n_weights > MOST_WEIGHTS:
        _refuse(size._replace(second=n_second, weights=n_weights), lipschitz, eps, bounds, levels)
    rows, signs = copies_of(copies)
    which = np.repeat(np.arange(d), counts)                             # direction of each neuron of layer 1
    number = np.concatenate([np.arange(1, count + 1) for count in counts])
    first = {"weight": directions[which].astype(np.int8), "threshold": starts[which] + size.step * number}
    pattern = np.where(cells[rows][:, which] >= number, 1, -1).astype(np.int8)
    second = {"weight": pattern, "threshold": np.full(len(rows), size.first)}
    domain = {"bounds": np.stack([low, high], 1).tolist(), "levels": levels, "binary": False}
    return network_of([first, second], signs, size.eps_readout, shift + size.eps_readout * copies.sum(), domain, 0)


def lipschitz_size(lipschitz, eps, bounds, levels=255):
    """The size of what `lipschitz` builds, before it is built.

    Parameters
    ----------
    lipschitz, eps, bounds, levels
        As there.

    Returns
    -------
    Size

    Examples
    --------
    >>> lipschitz_size(1.0, 0.2, [(0, 1), (0, 1)]).first
    14
    """
    low, high, levels = check_box(bounds, levels)
    constant, eps = check_real("lipschitz", lipschitz, 0), check_real("eps", eps, 0, open_low=True)
    d, width = len(low), high - low
    quantisation = float(constant * width.max() / (2 * levels))
    left = eps * (1 - ROUNDING) - quantisation
    if left <= 0:
        raise ValueError(f"eps must be above {quantisation:.4g}, which the rounding of inputs to {levels + 1} levels "
                         f"takes (lipschitz * width / (2 * levels)), got {eps:.4g}")
    directions = _directions(d)
    per_pixel = float(constant / levels * (np.abs(np.linalg.inv(directions)).sum(axis=1) * width).max() / 2)
    widest = d / (d + 1) * left / per_pixel + 1 if per_pixel else math.inf
    step = int(min(widest, d * levels // 2 + 1))                        # at least one threshold
    cell = per_pixel * (step - 1)
    counts = _cuts(directions, step, levels)[1]
    first, cells = int(counts.sum()), math.prod(int(count) + 1 for count in counts)
    second = cells * math.ceil(constant * width.max() / (4 * (left - cell)) + 0.5)      # half the range of the function
    return Size(first, second, _n_weights(d, first, second), cells, step, quantisation, cell, left - cell)


def _n_weights(d, first, second):
    return first * d + second * first + 2 * second


def _directions(d):
    """(1, .., 1) and those with coordinate i = 1..d - 1 negated, (d, d)."""
    rows = np.ones((d, d))
    rows[np.arange(1, d), np.arange(1, d)] = -1
    return rows


def _cuts(directions, step, levels):
    """Least sum along each direction, int64 (d,), and how many thresholds, `step` apart, follow it."""
    starts = (levels * np.minimum(directions, 0).sum(axis=1)).astype(np.int64)
    n_values = levels * len(directions) + 1
    return starts, np.full(len(directions), (n_values + step - 1) // step - 1, np.int64)


def _refuse(size, lipschitz, eps, bounds, levels):
    """Say how large it would be, and with which eps it is not."""
    fitting, remedy = eps, "fewer inputs would"
    for _ in range(200):
        fitting *= 1.25
        found = lipschitz_size(lipschitz, fitting, bounds, levels)
        if found.cells <= MOST_CELLS and found.weights <= MOST_WEIGHTS:
            remedy = f"eps = {fitting:.4g} would"
            break
    first, cells, second, weights = (f"{count:,}" if count < 10**15 else "over 10**15"
                                     for count in (size.first, size.cells, size.second, size.weights))
    raise ValueError(f"eps = {eps:.4g} needs {first} neurons in layer 1, {cells} cells and up to {second} neurons in "
                     f"layer 2: {weights} weights, but at most {MOST_CELLS:,} cells and {MOST_WEIGHTS:,} weights are "
                     f"built; {remedy} fit")


def _try_constant(function, constant, low, high):
    """Random pairs of points, far and near, must not break the Lipschitz constant."""
    rng = np.random.default_rng(0)
    x, y = (low + (high - low) * rng.random((N_PAIRS, len(low))) for _ in range(2))
    near = 10.0 ** rng.uniform(-4, 0, (N_PAIRS, 1))
    y = x + (y - x) * near
    moved = np.abs(values_of(function, x, "function") - values_of(function, y, "function"))
    distance = np.abs(x - y).max(axis=1)
    excess = moved - constant * distance * (1 + 1e-6) - 1e-12
    if (excess > 0).any():
        worst = int(np.argmax(excess))
        shown = (moved / distance)[excess > 0].max()
        raise ValueError(f"function breaks its Lipschitz constant {constant:.4g}: it moves by {moved[worst]:.4g} from "
                         f"{x[worst].tolist()} to {y[worst].tolist()}, {distance[worst]:.4g} apart; the constant is at "
                         f"least {shown:.4g}")


# ---------------------------------------------------------------- one hidden layer: not enough for real inputs

def saddle(x):
    """x0**2 - x1**2, which no BNN with one hidden layer approximates on [-1, 1]^2: see `one_hidden_layer`; x (n, 2)."""
    return x[:, 0] ** 2 - x[:, 1] ** 2


def one_hidden_layer(function, bounds, n_thresholds, step, levels=254, n_grid=33):
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
    check_weights(len(directions) * n_thresholds * n_grid**d, "n_thresholds", n_thresholds)
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


def draw(network, function, path=None, n_points=201, title=""):
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
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))
    sizes = " + ".join(f"{layer.units:,}" for layer in network.layers[:-1])
    title = f"{title}{'; ' * bool(title)}{sizes} hidden neurons"
    return approximation(axes, np.asarray(function(x), float), values(network, x), path, title)
