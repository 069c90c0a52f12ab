"""Error-correcting codes and array addresses, slowly, on lists of bits; imports nothing from bnnsim."""

import numpy as np


def bits_of(words, n):
    """Bits (U, n) of packed rows."""
    return np.array([[int(row[i // 64]) >> (i % 64) & 1 for i in range(n)] for row in words])


def words_of(bits):
    """Packed rows of bits (U, n)."""
    out = np.zeros((len(bits), -(-bits.shape[1] // 64)), np.uint64)
    for u, row in enumerate(bits):
        for i, value in enumerate(row):
            out[u, i // 64] |= np.uint64(int(value) << (i % 64))
    return out


# ---------------------------------------------------------------- SECDED over GF(2)

def parity_check(n, k):
    """H (n - k, n): a row a Hamming check, the last one all ones; columns are k data bits, then the check bits."""
    r = n - k - 1
    places = [place for place in range(1, 2**r) if bin(place).count("1") > 1][:k] + [2**j for j in range(r)] + [0]
    return np.array([[place >> j & 1 for place in places] for j in range(r)] + [[1] * n])


def encode_word(data, n, k):
    """data (<= k bits) -> data and n - k check bits, such that H times the word is 0; missing bits are 0."""
    full = np.concatenate([data, np.zeros(k - len(data), int)])
    h = parity_check(n, k)
    checks = h[:-1, :k] @ full % 2                                        # Hamming checks stand for themselves
    checks = np.append(checks, (full.sum() + checks.sum()) % 2)
    assert not (h @ np.concatenate([full, checks]) % 2).any()
    return np.concatenate([data, checks])


def decode_word(stored, n, k):
    """The data bits of a stored word, one wrong bit corrected: the one whose column the syndrome is."""
    n_data = len(stored) - (n - k)
    full = np.concatenate([stored[:n_data], np.zeros(k - n_data, int), stored[n_data:]])
    h = parity_check(n, k)
    syndrome = h @ full % 2
    match = [i for i in range(n) if (h[:, i] == syndrome).all()]
    assert len(match) <= 1
    if match and match[0] < n_data:
        full[match[0]] ^= 1
    return full[:n_data]


def encode_row(row, n, k):
    return np.concatenate([encode_word(row[first:first + k], n, k) for first in range(0, len(row), k)])


def decode_row(stored, n_bits, n, k):
    out, at = [], 0
    for first in range(0, n_bits, k):
        size = min(k, n_bits - first) + n - k
        out.append(decode_word(stored[at:at + size], n, k))
        at += size
    assert at == len(stored)
    return np.concatenate(out)


def majority_row(stored, n_bits, copies):
    return (np.reshape(stored, (copies, n_bits)).sum(0) > copies / 2).astype(int)


# ---------------------------------------------------------------- addresses

def addresses(layers, rows, columns, units_on):
    """{(layer, unit, weight): (array, row, column)}, counted out; layers are (units, fan_in)."""
    found, first = {}, 0
    for i, (units, fan_in) in enumerate(layers):
        height, width = (units, fan_in) if units_on == "rows" else (fan_in, units)
        tiles = [(y, x) for y in range(0, height, rows) for x in range(0, width, columns)]
        for a, (top, left) in enumerate(tiles):
            for row in range(min(rows, height - top)):
                for column in range(min(columns, width - left)):
                    y, x = top + row, left + column
                    unit, weight = (y, x) if units_on == "rows" else (x, y)
                    found[i, unit, weight] = first + a, row, column
        first += len(tiles)
    return found, first
