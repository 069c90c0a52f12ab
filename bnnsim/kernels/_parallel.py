"""Running a kernel on slices of its rows in several threads: the one place that knows how many there are."""

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from bnnsim.checks import check_int

T = TypeVar("T")
DEAF_SECONDS = 0.3                  # a signal just before a thread begins to wait is heard when it wakes


def _cores() -> int:
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:                       # macOS, Windows
        available = os.cpu_count() or 1
    wanted = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(int(wanted), available) if wanted.isdigit() and int(wanted) else available


_n_threads = contextvars.ContextVar("bnnsim_threads", default=0)


def thread_count() -> int:
    """Threads that kernels use now: the number of cores this process may use, unless `threads` says otherwise."""
    return _n_threads.get() or _cores()


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Use `n_threads` threads inside a with block; the former number is back after it.

    Results are the same for any number. It holds for the Python thread (or task) that calls it, not for threads that
    this one has started.

    Parameters
    ----------
    n_threads : int, >= 1

    Examples
    --------
    >>> import bnnsim
    >>> with bnnsim.threads(1):
    ...     pass
    """
    token = _n_threads.set(check_int("n_threads", n_threads, 1, 4096))
    try:
        yield
    finally:
        _n_threads.reset(token)


# Of this thread: .serial is true while it works on a part of something larger; .is_wanted tells whether anybody waits.
_local = threading.local()


class Abandoned(Exception):
    """Nobody waits for this work any more."""


@contextlib.contextmanager
def while_wanted(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Inside a with block, long work of this thread ends with `Abandoned` soon after `is_wanted` says no."""
    former = getattr(_local, "is_wanted", None)
    _local.is_wanted = is_wanted if former is None else lambda: is_wanted() and former()
    try:
        yield
    finally:
        _local.is_wanted = former


def check_wanted() -> None:
    """Raise `Abandoned` where nobody waits for this thread's work: what works on a block of images begins with it."""
    is_wanted = getattr(_local, "is_wanted", None)
    if is_wanted is not None and not is_wanted():
        raise Abandoned("nobody waits for this work any more")


def uninterrupted(function: Callable[[], T]) -> T:
    """Call in a thread of its own, to the end: what a signal raises in this one meanwhile is raised behind it.

    Pools start their threads so. A thread is started, then noted among those to wake when the process ends: a signal
    between the two leaves one that nobody wakes, and a process that never ends.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    interruption: BaseException | None = None
    while not future.done():
        try:
            wait([future])
        except BaseException as error:
            interruption = interruption or error
    if interruption is not None:
        raise interruption
    return future.result()


def _started(n_threads: int) -> ThreadPoolExecutor:
    """A pool all of whose threads are there."""
    pool, go = ThreadPoolExecutor(n_threads, thread_name_prefix="bnnsim"), threading.Event()
    try:
        for _ in range(n_threads):
            pool.submit(go.wait)                                 # no thread is idle, so that each takes a new one
    finally:
        go.set()
    return pool


@functools.cache
def _pool(process_id: int, n_threads: int) -> ThreadPoolExecutor:
    """One pool a process (a forked child must not inherit its parent's threads) and size."""
    return uninterrupted(functools.partial(_started, n_threads))


def _serially(function: Callable[..., T], *args: Any) -> T:
    """Call with nested `split` serial: a part must not wait for the pool that runs it."""
    former, _local.serial = getattr(_local, "serial", False), True
    try:
        return function(*args)
    finally:
        _local.serial = former


def slices(n_items: int, n_slices: int) -> list[tuple[int, int]]:
    """Cut 0..n_items into at most `n_slices` neighbouring (start, stop), none of them empty."""
    n_slices = max(1, min(n_slices, n_items))
    cuts = [n_items * i // n_slices for i in range(n_slices + 1)]
    return list(zip(cuts[:-1], cuts[1:]))


def split(kernel: Callable[..., Any], n_items: int, *args: Any) -> None:
    """Run ``kernel(*args, start, stop)`` over 0..n_items in parts, one a thread; the calling thread does one too.

    Where the calling thread's part fails, as on Ctrl-C, the other parts end at their next `check_wanted`, which is here
    too.
    """
    check_wanted()
    n_threads = 1 if getattr(_local, "serial", False) else thread_count()
    parts = slices(n_items, n_threads)
    if len(parts) == 1:
        kernel(*args, *parts[0])
        return
    pool, outer, failed = _pool(os.getpid(), n_threads), getattr(_local, "is_wanted", None), threading.Event()

    def run_part(part: tuple[int, int]) -> None:
        with while_wanted(lambda: not failed.is_set() and (outer is None or outer())):
            _serially(kernel, *args, *part)

    waiting: list[Future[None]] = []
    try:
        for part in parts[1:]:
            waiting.append(pool.submit(run_part, part))
        _serially(kernel, *args, *parts[0])
        for future in waiting:
            while not future.done():
                with contextlib.suppress(TimeoutError):
                    future.exception(DEAF_SECONDS)
    except BaseException:
        failed.set()
        raise
    finally:
        errors = [future.exception() for future in waiting]      # wait: `args` are still being written to
    for error in errors:
        if error is not None:
            raise error


class SerialTasks(Executor):
    """An executor on this process's threads, whose tasks run their kernels in one thread each."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A future of ``function(*args, **kwargs)``."""
        return _pool(os.getpid(), thread_count()).submit(_serially, functools.partial(function, **kwargs), *args)


def local_executor() -> SerialTasks:
    """An executor on the threads of this process, each task with serial kernels."""
    return SerialTasks()
