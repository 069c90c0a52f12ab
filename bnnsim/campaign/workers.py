"""What a campaign must know of an executor that `concurrent.futures` does not tell: its workers, failures and end.

Executors have no public words for them; here, and only here, is what those known today do.
"""

from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor


def worker_count(executor: Executor) -> int:
    """How many workers an executor has, as far as it can be asked; else 8, which keeps some more or fewer busy.

    Pools of the standard library and of mpi4py have ``_max_workers``; Dask's has its client, which knows its workers.
    """
    client = getattr(executor, "_client", None)
    if client is not None:
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or 8


def failure(error: Exception) -> str | None:
    """What went wrong, in words, where not a cell but what evaluates them failed; else None.

    Dask's errors have no class in common, and `distributed`, which is optional, is not imported to look: the package
    that a class is from tells. A cancelled future is what a client gives whose scheduler is gone.
    """
    if isinstance(error, BrokenExecutor):
        return ("a worker process died (killed from outside, for want of memory, or at its start: a script that makes "
                "processes needs if __name__ == \"__main__\": around what it does)")
    if isinstance(error, CancelledError) or type(error).__module__.split(".")[0] == "distributed":
        return f"the cluster failed ({type(error).__name__}: its scheduler or workers died),"
    return None


def kill_workers(executor: ProcessPoolExecutor) -> None:
    """End a pool's processes at once; Python 3.14 has a method for it."""
    for process in list((executor._processes or {}).values()):
        process.kill()
