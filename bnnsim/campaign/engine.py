"""Missing cells, in batches, through threads, processes or an executor of the user's, until none is missing.

Batches take about a second each, so that little is lost when a run is killed, and sending costs little: how many cells
that are is learnt from the batch before, but cells differ (one without errors costs nothing), so a batch has at most
GROWTH times as many, and hands back those that it has no time for. Finished cells go to the store before more are sent.
"""

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from typing import Any

import bnnsim.campaign.cells as cells
from bnnsim.campaign.store import Store
from bnnsim.campaign.workers import failure, worker_count
from bnnsim.checks import check_int
from bnnsim.kernels import local_executor, thread_count
from bnnsim.packed.shared_arrays import shared_folder
from bnnsim.progress_bars import progress_bar, set_total

log = logging.getLogger("bnnsim")
SHARED_BYTES = 2**20                # images larger than this are shared between processes, smaller ones copied
BATCH_SECONDS = cells.MOST_SECONDS  # a batch of cells is to take this long
GROWTH = 4
STOP_SECONDS = 0.5                  # how long threads may take to their next cell, where a run ends early


def run(store: Store, executor: Executor | None, workers: int | None, progress: bool | str) -> None:
    """Evaluate and keep all missing cells; with sequential stopping, those that turn out to be missing too."""
    campaign = store.campaign
    if executor is None:
        workers = thread_count()
    elif workers is None:
        workers = worker_count(executor)
    workers = check_int("workers", workers, 1)
    missing = campaign.missing()                                 # of a million cells, that is most of a second
    with _explained(store), _ready(campaign.context, missing, executor) as (context, executor):
        with _bar(len(missing), progress) as bar:
            while missing:
                set_total(bar, bar.n + len(missing))
                _run_cells(store, missing, context, executor, workers, bar)
                missing = campaign.missing()
        store.finish()


@contextlib.contextmanager
def _explained(store: Store) -> Iterator[None]:
    """What ends a run says how much is done, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted with {store.hint()}") from None
    except Exception as error:
        what = failure(error)
        if what is not None:
            raise ChildProcessError(f"{what} with {store.hint()}") from error
        error.add_note(f"The campaign ended with {store.hint()}.")
        raise


@contextlib.contextmanager
def _ready(context: cells.Context, missing: list[cells.Cell], executor: Executor | None
           ) -> Iterator[tuple[cells.Context, Executor]]:
    """(context, executor) with what all cells share prepared, on all cores, before workers ask for it.

    Threads of this process find it in memory, processes of this machine in a folder, and others make their own.
    """
    if isinstance(executor, ProcessPoolExecutor) and any(s.images.nbytes > SHARED_BYTES for s in context.series):
        with shared_folder() as folder:
            context = context.in_folder(folder)
            _prepare(context, missing)
            yield context, executor
        return
    try:
        if executor is None:
            cells.remember(context)
            _prepare(context, missing)
        yield context, executor or local_executor()
    finally:
        cells.forget(context.key)


def _prepare(context: cells.Context, missing: list[cells.Cell]) -> None:
    """Clean activations of the series that have several cells to come."""
    counts = Counter(s for s, _, _ in missing)
    for s in {context.series[s].task: s for s, count in counts.items() if count > 2}.values():
        cells.pass_of(context, s).prepare()


def _run_cells(store: Store, missing: list[cells.Cell], context: cells.Context, executor: Executor, workers: int,
               bar: Any) -> None:
    """Send cells in batches, two a worker in flight; collect, keep, go on."""
    waiting, per_batch = deque(missing), 1
    flying: dict[Future[Any], list[cells.Cell]] = {}
    try:
        while waiting or flying:
            while waiting and len(flying) < 2 * workers:
                size = min(per_batch, max(1, len(waiting) // (2 * workers)))
                batch = [waiting.popleft() for _ in range(size)]
                flying[executor.submit(cells.run_batch, context.key, batch)] = batch
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                batch, found = flying.pop(future), future.result()
                if found is None:                                # a worker that has not got the context yet
                    flying[executor.submit(cells.run_batch, context.key, batch, context)] = batch
                    continue
                seconds, answers = found
                done = len(answers)
                per_batch = max(1, min(GROWTH * done, int(BATCH_SECONDS * done / max(seconds, 1e-6))))
                store.add(batch[:done], answers)
                waiting.extendleft(reversed(batch[done:]))
                bar.update(done)
    finally:
        if flying:
            cells.abandon(context.key)                           # threads of this process end their batches then
            wait([future for future in flying if not future.cancel()], timeout=STOP_SECONDS)


# ---------------------------------------------------------------- progress

class _LogLines:
    """A stream that logs what is written to it: lines in place of a bar, for batch jobs."""

    def write(self, text: str) -> None:
        if text.strip():
            log.info(text.strip())

    def flush(self) -> None:
        pass


def _bar(total: int, progress: bool | str) -> Any:
    if progress == "log":
        return progress_bar(total=total, unit="cell", file=_LogLines(), mininterval=10, ascii=True, ncols=80)
    return progress_bar(total=total, unit="cell", disable=not progress)
