"""Seeds: one root integer a run, and from it a stream for each purpose, by name and ids; there is no global state.

A stream's key depends on (root, name, ids) alone, so draws do not depend on order, threads, processes or resumes.
"""

import secrets
import zlib

import numpy as np

RandomSource = None | int | np.random.SeedSequence | np.random.Generator


def root_seed(rng: RandomSource) -> int:
    """The root seed behind an `rng=` argument.

    Parameters
    ----------
    rng : None, int >= 0, numpy.random.SeedSequence or numpy.random.Generator
        None draws fresh entropy from the system; a Generator is advanced by two draws.

    Returns
    -------
    int
        Record it: passed again as `rng`, it gives the same run.
    """
    if rng is None:
        return secrets.randbits(128)
    if isinstance(rng, np.random.SeedSequence):
        return _join(rng.generate_state(2, np.uint64))
    if isinstance(rng, np.random.Generator):
        return _join(rng.integers(0, 2**64, 2, dtype=np.uint64))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, (bool, np.bool_)):
        if rng < 0:
            raise ValueError(f"rng must be a seed >= 0, got {rng}")
        return int(rng)
    raise TypeError("rng must be None, an integer, a numpy.random.SeedSequence or a numpy.random.Generator, "
                    f"got {type(rng).__name__}")


def _join(words: np.ndarray) -> int:
    return int(words[0]) << 64 | int(words[1])


def stream_key(root: int, name: str, *ids: int) -> np.ndarray:
    """Key of a counter-based stream: (2,) uint64, from the root seed, the stream's name and integer ids >= 0."""
    return np.random.SeedSequence(root, spawn_key=(zlib.crc32(name.encode()), *ids)).generate_state(2, np.uint64)


def child_root(root: int, name: str, *ids: int) -> int:
    """A root seed of its own for something that has streams itself, from the stream (root, name, ids)."""
    return _join(stream_key(root, name, *ids))


def generator(root: int, name: str, *ids: int) -> np.random.Generator:
    """A NumPy generator on the stream (root, name, ids)."""
    return np.random.Generator(np.random.Philox(key=stream_key(root, name, *ids)))
