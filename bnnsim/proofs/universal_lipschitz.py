"""Lipschitz functions on a box as networks with two hidden layers: see `bnnsim.universal`, whose names these are.

d inputs, n points; pixels run from 0 to `levels`.
"""

import math
from typing import NamedTuple, NoReturn

import numpy as np

from bnnsim.checks import check_real
from bnnsim.packed.network import PackedNetwork
from bnnsim.proofs.universal_parts import (MOST_CELLS, MOST_WEIGHTS, ROUNDING, Bounds, Function, check_box, copies_of,
                                           network_of, values_of)

N_PAIRS = 2000                      # of points at which a Lipschitz constant is tried


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


def lipschitz(function: Function, lipschitz: float, eps: float, bounds: Bounds, levels: int = 255) -> PackedNetwork:
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
    >>> import bnnsim
    >>> network = lipschitz(lambda x: abs(x[:, 0] - 0.3), 1.0, 0.1, [(0, 1)])
    >>> abs(bnnsim.universal.values(network, [[0.9]])[0] - 0.6) <= 0.1
    np.True_
    """
    low, high, levels = check_box(bounds, levels)
    size = lipschitz_size(lipschitz, eps, bounds, levels)
    if size.cells > MOST_CELLS:
        _refuse(size, lipschitz, eps, bounds, levels)
    _try_constant(function, lipschitz, low, high)
    d, directions = len(low), _directions(len(low))
    starts, counts = _cuts(directions, size.step, levels)
    cells, centre = _cells(directions, starts, counts, size.step, levels)
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


def lipschitz_size(lipschitz: float, eps: float, bounds: Bounds, levels: int = 255) -> Size:
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


def _n_weights(d: int, first: int, second: int) -> int:
    return first * d + second * first + 2 * second


def _directions(d: int) -> np.ndarray:
    """(1, .., 1) and those with coordinate i = 1..d - 1 negated, (d, d)."""
    rows = np.ones((d, d))
    rows[np.arange(1, d), np.arange(1, d)] = -1
    return rows


def _cuts(directions: np.ndarray, step: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Least sum along each direction, int64 (d,), and how many thresholds, `step` apart, follow it."""
    starts = (levels * np.minimum(directions, 0).sum(axis=1)).astype(np.int64)
    n_values = levels * len(directions) + 1
    return starts, np.full(len(directions), (n_values + step - 1) // step - 1, np.int64)


def _cells(directions: np.ndarray, starts: np.ndarray, counts: np.ndarray, step: int,
           levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells that meet the box: thresholds passed along each direction, and centres in pixels, (n, d) each."""
    cells = np.indices((counts + 1).tolist()).reshape(len(directions), -1).T
    middle = starts + step * cells + (step - 1) / 2                     # of the sums along the directions
    inverse = np.linalg.inv(directions)
    centre, reach = middle @ inverse.T, np.abs(inverse).sum(axis=1) * (step - 1) / 2
    meets = ((centre + reach >= -1e-9) & (centre - reach <= levels + 1e-9)).all(axis=1)
    return cells[meets], np.clip(centre[meets], 0, levels)


def _refuse(size: Size, lipschitz: float, eps: float, bounds: Bounds, levels: int) -> NoReturn:
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


def _try_constant(function: Function, constant: float, low: np.ndarray, high: np.ndarray) -> None:
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
