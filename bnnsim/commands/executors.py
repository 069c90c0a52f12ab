"""Where the cells of a command line's campaign run: threads of this process, worker processes, or a Dask cluster."""

import contextlib
import signal


def _start_workers(executor, n_workers):
    """Start them deaf to Ctrl-C, which reaches all processes of a terminal: the main one ends the campaign."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)        # inherited
    try:
        for _ in range(n_workers):
            executor.submit(int)
    finally:
        signal.signal(signal.SIGINT, former)


@contextlib.contextmanager
def chosen_executor(workers=None, dask=None):
    """An executor with `workers` processes, or of the Dask cluster at address `dask`; None for threads of this process.

    Raises
    ------
    ValueError
        Where both are given, or distributed is not installed.
    """
    if workers and dask:
        raise ValueError("--workers starts processes here and --dask uses a cluster: give one of them")
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
        with Client(dask, timeout=10) as client:
            yield client.get_executor(pure=False)
    else:
        yield None
