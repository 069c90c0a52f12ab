"""Loops over arrays, and nothing else: packed words in, an output array last, no classes, no I/O, no global state.

Imports no other package but `bnnsim.checks`; packed, training, faults, devices, metrics and proofs call the kernels,
each through a function that allocates and checks. words/ packs and draws, forward/ and gradients/ are the two passes
of a network, norm/ batch norm and the sign, memory/ devices and codes, analysis/ what metrics and proofs ask;
`limits` is what a core can do at most. The files with an underscore are how kernels are compiled, run in threads and
given memory: what others need of them is in this list.

A kernel's last two arguments are the slice (start, stop) of its rows to work on; `split` runs it over all of them.

To add a kernel: a function `@kernel` in the folder of its kind, a function around it in the package that needs it, and
a naive loop in tests/naive.py for tests/kernels to compare with. To add a tile: see `_twins`.
"""

from typing import TYPE_CHECKING

from bnnsim.kernels._buffers import empty, recycling
from bnnsim.kernels._parallel import (Abandoned, check_wanted, local_executor, slices, split, thread_count, threads,
                                      uninterrupted, while_wanted)

if TYPE_CHECKING:
    from bnnsim.kernels._twins import Operation

__all__ = ["Abandoned", "are_compiled", "check_wanted", "empty", "local_executor", "operations", "recycling", "slices",
           "split", "thread_count", "threads", "uninterrupted", "while_wanted"]


def are_compiled() -> bool:
    """Whether kernels are compiled: they are unless NUMBA_DISABLE_JIT=1 is set."""
    from bnnsim.kernels._jit import JIT_OFF                     # loads Numba, which `import bnnsim.kernels` does not

    return not JIT_OFF


def operations() -> "dict[str, Operation]":
    """Every operation that some CPUs do faster, by its place, and which form of it is `in_use` on this one."""
    from bnnsim.kernels._twins import registered

    return registered()
