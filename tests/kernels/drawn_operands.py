"""Operands of any operation, drawn from a generator, and outputs full of garbage."""

import numpy as np

GARBAGE = -77


def words(rng, *shape):
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


def garbage(shape, kind):
    return np.full(shape, GARBAGE).astype(kind)


def singles(rng, *shape):
    """float32 of many sizes."""
    return (rng.normal(size=shape) * np.exp(rng.normal(0, 3, shape))).astype(np.float32)


def int16s(rng, n):
    """Both ends included."""
    return rng.choice(np.array([-32768, -32767, -1, 0, 1, 32767, *rng.integers(-32768, 32768, 9)], np.int16), n)
