"""Fault-aware mapping by trying everything: bits and cells are lists of 0 and 1, a cell is (f01, f10)."""

import itertools

import numpy as np


def read(bit, cell):
    """What a cell gives back."""
    reads_one = cell[0] if bit == 0 else 1 - cell[1]
    return int(reads_one)


def seen(bits, cells, rows, columns, inverted):
    """What the network reads: unit u in row rows[u], weight f in column columns[f], inverted there and back."""
    out = np.zeros_like(bits)
    for u in range(len(bits)):
        for f in range(len(bits[0])):
            turn = inverted[u][columns[f]]
            out[u][f] = read(bits[u][f] ^ turn, cells[rows[u]][columns[f]]) ^ turn
    return out


def fewest_in_row(bits, cells, segment):
    """Wrong bits of one unit in one row, each segment the better way round; segment 0: upright."""
    total, length = 0, segment or len(bits)
    for first in range(0, len(bits), length):
        counts = [sum((read(bits[f] ^ turn, cells[f]) ^ turn) != bits[f]
                      for f in range(first, min(first + length, len(bits)))) for turn in (0, 1)]
        total += min(counts) if segment else counts[0]
    return total


def fewest_of_units(bits, cells, segment):
    """The least number of wrong bits of all ways to give each unit a row of its own and to invert segments."""
    costs = [[fewest_in_row(unit, row, segment) for row in cells] for unit in bits]
    return min(sum(costs[u][row] for u, row in enumerate(rows))
               for rows in itertools.permutations(range(len(cells)), len(bits)))


def fewest_of_weights(bits, cells):
    """The least number of wrong bits of all orders of the columns, nothing inverted."""
    return min(sum(read(bits[u][f], cells[u][column]) != bits[u][f]
                   for u in range(len(bits)) for f, column in enumerate(columns))
               for columns in itertools.permutations(range(len(bits[0]))))


def expected_wrong(n_stuck):
    """Mean wrong bits of a unit with so many stuck cells, the better way round: by all 2^n ways they can disagree."""
    return sum(min(sum(ways), n_stuck - sum(ways)) for ways in itertools.product((0, 1), repeat=n_stuck)) / 2**n_stuck
