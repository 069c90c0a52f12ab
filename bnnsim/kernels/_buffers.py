"""Large arrays whose memory is used again: a step of training needs the same ones as the step before.

Fresh memory costs more than the arithmetic on it: 134 MB (one layer of the CIFAR-10 network, a batch of 256) took 16 to
270 ms of kernel time to allocate, where batch norm's backward pass takes 60.
"""

import contextlib
import contextvars
import math
import sys
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

LEAST_BYTES = 1 << 17               # smaller arrays come from NumPy
LINE = 64                           # buffers start on a cache line


class _Pool:
    """Buffers, each free again when no array that was made of it is left: only the list refers to it then."""

    def __init__(self) -> None:
        self._lock, self._buffers = threading.Lock(), [np.empty(0, np.uint8)]
        self._alone = next(sys.getrefcount(buffer) for buffer in self._buffers)

    def take(self, n_bytes: int) -> np.ndarray:
        """n_bytes of the smallest free buffer that is not much too large, or of a new one."""
        with self._lock:
            found = min((buffer for buffer in self._buffers if sys.getrefcount(buffer) <= self._alone
                         and n_bytes + LINE <= buffer.size <= 1.25 * n_bytes + LINE), key=len, default=None)
            if found is None:
                found = np.empty(n_bytes + LINE, np.uint8)
                self._buffers.append(found)
            start = -found.ctypes.data % LINE
            return found[start:start + n_bytes]


_pool: contextvars.ContextVar[_Pool | None] = contextvars.ContextVar("bnnsim_buffers", default=None)


@contextlib.contextmanager
def recycling() -> Iterator[None]:
    """Inside, `empty` uses memory again that it gave out before; all of it is given back in the end."""
    token = _pool.set(_Pool())
    try:
        yield
    finally:
        _pool.reset(token)


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """`np.empty`, from memory used before where that is wanted and free."""
    pool, n_bytes = _pool.get(), math.prod(shape) * np.dtype(dtype).itemsize
    if pool is None or n_bytes < LEAST_BYTES:
        return np.empty(shape, dtype)
    return pool.take(n_bytes).view(dtype).reshape(shape)
