"""Where the cells of a command line's campaign run: threads of this process, worker processes, or a Dask cluster."""

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import Executor


def check_one_place(workers: int | None, dask: str | None) -> None:
    """Worker processes here, or a cluster: not both."""
    if workers and dask:
        raise ValueError("--workers starts processes here and --dask uses a cluster: give one of them")


def _start_workers(executor: Executor, n_workers: int) -> None:
    """Start them deaf to Ctrl-C, which reaches all processes of a terminal: the main one ends the campaign."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)        # inherited
    try:
        for _ in range(n_workers):
            executor.submit(int)
    finally:
        signal.signal(signal.SIGINT, former)


@contextlib.contextmanager
def chosen_executor(workers: int | None = None, dask: str | None = None) -> Iterator[Executor | None]:
    """An executor with `workers` processes, or of the Dask cluster at address `dask`; None for threads of this process.

    Raises
    ------
    ValueError
        Where both are given, distributed is not installed, or the address is none.
    """
    check_one_place(workers, dask)
    if workers:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as executor:
            _start_workers(executor, workers)
            yield executor
    elif dask:
        try:
            from distributed import Client
        except ImportError as error:
            raise ValueError("--dask needs the package distributed: pip install 'bnnsim[dask]'") from error
        try:
            client = Client(dask, timeout=10)
        except (ValueError, TypeError) as error:
            raise ValueError("--dask must be the address of a scheduler, such as tcp://host:8786, got "
                             f"{dask!r}: {error}") from error
        with client:
            yield client.get_executor(pure=False)
    else:
        yield None
