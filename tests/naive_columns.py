"""Analog columns cell by cell: currents, an ADC, and a bit line as a circuit; imports nothing from bnnsim."""

import math

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

GRID = 1024


def cells(key, n_rows, n_units, mean_on, mean_off, spread):
    """Conductances (on, off), each (F, U), as they are drawn: a normal share of the mean, in steps of 2 / GRID."""
    rng, found = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64))), []
    for mean in (mean_on, mean_off):
        drawn = np.full((n_rows, n_units), mean)
        if spread and mean:
            z = rng.standard_normal((n_rows, n_units), np.float32)
            for i in np.ndindex(drawn.shape):
                steps = round((min(max(float(np.float64(mean) * (1 + spread * z[i])), 0), 4) - mean) * GRID / 2)
                drawn[i] = mean + steps * 2 / GRID
        found.append(drawn)
    return found


def selected(x, w, on, off):
    """Conductances of a column's cells for inputs x and weights w of +1 and -1; 0 where the input is 0."""
    return [0.0 if a == 0 else on[i] if a * b > 0 else off[i] for i, (a, b) in enumerate(zip(x, w))]


def exact_current(conductances, wire):
    """Current into the amplifier at 0 V of cells at 1 V on a line of resistances: Kirchhoff's law at every node."""
    n = len(conductances)
    if wire == 0:
        return math.fsum(conductances)
    link = 1 / wire
    matrix = scipy.sparse.lil_matrix((n, n))
    for i, g in enumerate(conductances):                         # node i is i + 1 resistances from the amplifier
        matrix[i, i] = g + link + (link if i + 1 < n else 0)
        if i + 1 < n:
            matrix[i, i + 1] = matrix[i + 1, i] = -link
    volts = scipy.sparse.linalg.spsolve(matrix.tocsc(), np.array(conductances))
    return float(np.atleast_1d(volts)[0]) * link


def first_order(conductances, wire):
    """The same to first order in the resistance: each pair of cells shares the nearer one's way."""
    n = len(conductances)
    shared = math.fsum(conductances[i] * conductances[j] * min(i + 1, j + 1) for i in range(n) for j in range(n))
    return math.fsum(conductances) - wire * shared


def even(conductances, wire):
    """First order, of currents that each meet the others' mean, cells that carry nothing among them."""
    n = len(conductances)
    far = math.fsum(g * sum(min(i + 1, j + 1) for j in range(n)) for i, g in enumerate(conductances))
    return math.fsum(conductances) - wire / n * math.fsum(conductances) * far


def convert(count, n_there, rows, bits, span):
    """The whole count that an ADC of so many bits over a share of 0 .. rows tells."""
    least = round(rows * (1 - span) / 2)
    step = max(1.0, (rows - 2 * least) / (2**bits - 1))
    code = min(max(round((count - least) / step), 0), 2**bits - 1)
    return min(max(round(least + code * step), 0), n_there)
