"""The bit error rate of weights behind an error-correcting code, exactly: no chip is drawn.

N words, k data bits and r check bits each, n = k + r; A = 2^r sets of check equations.
"""

import math

import numpy as np

from bnnsim.checks import check_probability
from bnnsim.faults.error_codes import Repetition, Secded, code_named
from bnnsim.packed.memory import MemoryLike, check_stored
from bnnsim.packed.words import joined, pack_bits, unpack_bits

BLOCK = 256                             # words at a time, of 256 numbers each: they stay in cache
CLOSED = 0.25                           # from here on nothing is small, and from 0.5 on 1 - 2p has no logarithm


def decoded_rate(network: MemoryLike, code: str, p01: float, p10: float) -> float:
    """Expected share of wrong weights of a network behind a code, over all chips.

    Parameters
    ----------
    network : PackedNetwork or Memory
        Its bits count: a 0 goes wrong with p01, a 1 with p10, data and check bits alike.
    code : str
        As of `bnnsim.faults.Protected`, whose decoder this is of, miscorrections and shortened words too.
    p01, p10 : float

    Returns
    -------
    float
        Not simulated: from the chances of all syndromes, to a relative 1e-6.

    References
    ----------
    The sum over sets of check equations [D, docs/equations.rst 2.5].

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.faults import exact_residual
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> f"{decoded_rate(network, 'secded(8,4)', 0.01, 0.01):.3g}", f"{exact_residual('secded(8,4)', 0.01):.3g}"
    ('0.000686', '0.000686')
    """
    rates = _off_half(check_probability("p01", p01)), _off_half(check_probability("p10", p10))
    found, layers = code_named(code), check_stored(network).layers
    wrong = math.fsum(_repeated(found, joined(layer), layer.fan_in, rates) if isinstance(found, Repetition) else
                      _secded(found, joined(layer), layer.fan_in, rates) for layer in layers)
    return wrong / sum(layer.n_bits for layer in layers)


def _off_half(p: float) -> float:
    """Just off 0.5, where 1 - 2p is divided by."""
    return p if abs(p - 0.5) > 1e-7 else 0.5 - 1e-7


def _repeated(code: Repetition, rows: np.ndarray, n_bits: int, rates: tuple[float, float]) -> float:
    """Expected number of wrong bits: of each bit most copies are wrong."""
    n, ones = code.n, int(np.bitwise_count(rows).sum())
    most = [math.fsum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(n // 2 + 1, n + 1)) for p in rates]
    return (len(rows) * n_bits - ones) * most[0] + ones * most[1]


def _secded(code: Secded, rows: np.ndarray, n_bits: int, rates: tuple[float, float]) -> float:
    """Expected number of wrong bits of rows: of their whole words, and of the shorter last ones."""
    bits, n_whole = unpack_bits(rows, n_bits), n_bits // code.k
    whole, last = bits[:, :n_whole * code.k].reshape(-1, code.k), bits[:, n_whole * code.k:]
    return math.fsum(_of_words(code, pack_bits(words), words.shape[1], rates) for words in (whole, last) if words.size)


def _of_words(code: Secded, words: np.ndarray, k: int, rates: tuple[float, float]) -> float:
    """Expected number of wrong bits of data words uint64 (N, 1) of k bits."""
    if rates[0] == rates[1]:                                     # a linear code: what the data are does not matter
        return len(words) * float(_wrong(code, np.zeros_like(words[:1]), k, rates)[0])
    words, counts = np.unique(words, return_counts=True)
    return math.fsum(float(counts[i:i + BLOCK] @ _wrong(code, words[i:i + BLOCK, None], k, rates))
                     for i in range(0, len(words), BLOCK))


def _wrong(code: Secded, words: np.ndarray, k: int, rates: tuple[float, float]) -> np.ndarray:
    """Expected number of wrong data bits of each word (N,).

    The decoder flips data bit i iff the syndrome is that of bit i alone. So it is wrong if it broke and the syndrome of
    the others is not 0, or if it did not and theirs is that one. The chance of a syndrome is the Walsh transform of the
    products, over the bits of a set of check equations, of 1 - 2p; all is in these less 1, small as the rates are.
    """
    checked = _checked(code, k)                                                 # (A, n) of 0 and 1
    stored = unpack_bits(code.encode(words, k), checked.shape[1])               # (N, n)
    n_ones = (stored @ checked.T.astype(np.float32)).astype(np.float64)         # (N, A), exact
    n_zeros = checked.sum(1) - n_ones
    if max(rates) < CLOSED:
        less = np.expm1(n_zeros * math.log1p(-2 * rates[0]) + n_ones * math.log1p(-2 * rates[1]))
    else:
        less = np.power(1 - 2 * rates[0], n_zeros) * np.power(1 - 2 * rates[1], n_ones) - 1
    p = np.where(stored[:, :k], rates[1], rates[0])
    with_bit = less @ checked[:, :k].astype(np.float64)                         # (N, k): sets that have bit i
    without = less.sum(1, keepdims=True) - with_bit
    with_bit = (with_bit + p * len(checked)) / (1 - 2 * p)                      # ... their products without the bit
    return (p * -(without + with_bit) + (1 - p) * np.maximum(without - with_bit, 0)).sum(1) / len(checked)


def _checked(code: Secded, k: int) -> np.ndarray:
    """Which stored bits each set of check equations has, (A, k + r) of 0 and 1: words of one 1 tell it."""
    r = code.n - code.k
    checks = unpack_bits(code.encode(pack_bits(np.eye(k, dtype=np.uint8)), k), k + r)[:, k:].astype(np.int64)
    sets = np.arange(2**r)[:, None] >> np.arange(r) & 1
    return np.concatenate([sets @ checks.T % 2, sets], axis=1)
