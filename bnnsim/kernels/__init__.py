"""Loops over arrays, and nothing else: packed words in, an output array last, no classes, no I/O, no global state.

A kernel's last two arguments are the slice (start, stop) of its rows to work on; `split` runs it over all of them.
"""

from bnnsim.kernels._parallel import local_executor, split, thread_count, threads

__all__ = ["local_executor", "split", "thread_count", "threads"]
