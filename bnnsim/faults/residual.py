"""What is left of a bit error rate behind an error-correcting code, without a simulation."""

import math

import numpy as np

from bnnsim.checks import check_int, check_probability
from bnnsim.faults.error_codes import Repetition, code_named

MAX_ENUMERATED = 16


def ideal_residual(code: str, p: float) -> float:
    """Bit error rate behind an ideal decoder: what it cannot correct stays as it is.

    Parameters
    ----------
    code : str
        As of `Protected`: "secded(72,64)" ...
    p : float
        Bit error rate of the cells.

    Returns
    -------
    float
        SECDED: sum over j >= 2 of (j / n) C(n, j) p^j (1 - p)^(n - j) [D, docs/equations.rst 2.5]: a cross-check
        below p = 0.01, where three errors a word are rare; above it, a real decoder's miscorrections count: see
        `exact_residual`. Repetition: the probability that most copies are wrong, exactly.

    Examples
    --------
    >>> f"{ideal_residual('secded(8,4)', 0.01):.3g}", f"{ideal_residual('repetition(3)', 0.01):.3g}"
    ('0.000679', '0.000298')
    """
    p, found = check_probability("p", p), code_named(code)
    n, repeated = found.n, isinstance(found, Repetition)
    return math.fsum((1 if repeated else j / n) * math.comb(n, j) * p**j * (1 - p) ** (n - j)
                     for j in range((n + 1) // 2 if repeated else 2, n + 1))


def exact_residual(code: str, p: float, k: int | None = None) -> float:
    """Bit error rate of the data behind the real decoder, by enumeration of all error patterns of a word.

    Parameters
    ----------
    code : str
        A code whose words have at most 16 bits: "secded(8,4)", "repetition(3)" ...
    p : float
        Bit error rate of the cells, data and check bits alike.
    k : int, optional
        Data bits of a shortened word; those of the code by default.

    Returns
    -------
    float

    Examples
    --------
    >>> [f"{exact_residual('secded(8,4)', p):.3g}" for p in (0.1, 0.05, 0.01)]
    ['0.0563', '0.0158', '0.000686']
    """
    p, found = check_probability("p", p), code_named(code)
    k = check_int("k", found.k if k is None else k, 1, found.k)
    n = found.stored_bits(k)
    if n > MAX_ENUMERATED:
        raise ValueError(f"code must have words of at most {MAX_ENUMERATED} bits to enumerate its {n} here; for longer "
                         "ones take ideal_residual below p = 0.01, and Protected(...).apply above it")
    patterns = np.arange(2**n, dtype=np.uint64)[:, None]                  # the code is linear: 0 stands for all data
    wrong = np.bitwise_count(found.decode(patterns, k)[:, 0]).astype(float)
    flips = np.bitwise_count(patterns[:, 0]).astype(float)
    return math.fsum(wrong * p**flips * (1 - p) ** (n - flips)) / k
