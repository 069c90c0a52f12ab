"""Where the cells of a command line's campaign run: threads of this process, worker processes, or a Dask cluster."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any


def check_one_place(workers: int | None, dask: str | None) -> None:
    """Worker processes here, or a cluster: not both."""
    if workers and dask:
        raise ValueError("--workers starts processes here and --dask uses a cluster: give one of them")


@contextlib.contextmanager
def checked_only() -> Iterator[Executor]:
    """An executor that takes no cell. A campaign with it ends where its work would begin, and the block with it: all
    that is refused is refused by what the run itself checks."""
    with contextlib.suppress(_Begun):
        yield _Refusing()


class _Begun(Exception):
    """All is checked, and the work would begin."""


class _Refusing(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """No cell is run."""
        raise _Begun


def _end_with_parent() -> None:
    """In a worker process: have it end as soon as the process that started it is gone, whatever the worker does then.

    A pool's workers wait for tasks for ever: the pipe that these come by has its other end in their own hands too. This
    stands here, where nothing slow is imported, so that a worker watches before it loads Numba.
    """
    import multiprocessing.connection

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, name="bnnsim-parent", daemon=True).start()


def _start_workers(executor: Executor, n_workers: int) -> None:
    """Start them deaf to Ctrl-C and hang-ups, which reach all processes of a terminal: the main one ends the campaign.

    Not to SIGTERM: pools end workers by it.
    """
    from bnnsim.kernels import uninterrupted

    numbers = [number for name in ("SIGINT", "SIGHUP") if (number := getattr(signal, name, None))]
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}           # inherited
    try:
        uninterrupted(lambda: [executor.submit(int) for _ in range(n_workers)])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _semaphores_of(folder: str) -> Iterator[None]:
    """Inside, new semaphores are called after a shared folder, so that they are removed with it after a kill.

    When this process is killed, multiprocessing's own tracker removes them; this is for when that is killed too.
    """
    from multiprocessing import process

    from bnnsim.packed.shared_arrays import semaphore_prefix

    settings = getattr(process.current_process(), "_config", {})         # no public word for it
    former = settings.get("semprefix")
    if former is None or not sys.platform.startswith("linux"):           # macOS has 30 letters for a name
        yield
        return
    settings["semprefix"] = semaphore_prefix(folder)
    try:
        yield
    finally:
        settings["semprefix"] = former


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

        from bnnsim.campaign.workers import kill_workers
        from bnnsim.packed.shared_arrays import shared_folder

        with shared_folder() as folder:
            with _semaphores_of(folder):
                executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)
            with executor:
                _start_workers(executor, workers)
                try:
                    yield executor
                except KeyboardInterrupt:
                    kill_workers(executor)                       # what they are at is lost either way
                    raise
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
