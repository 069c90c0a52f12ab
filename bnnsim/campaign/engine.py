"""Cells in batches through threads, processes or an executor of the user's, with progress, until they are done."""

import contextlib
import logging
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

from tqdm import tqdm

import bnnsim.campaign.cells as cells
from bnnsim.checks import check_int
from bnnsim.kernels import local_executor, thread_count
from bnnsim.packed.shared_arrays import shared_folder

log = logging.getLogger("bnnsim")
SHARED_BYTES = 2**20                # images larger than this are shared between processes, smaller ones copied
BATCH_SECONDS = 1.0                 # a batch of cells takes about this long: what a kill can lose, a worker


def worker_count(executor):
    """How many workers an executor has, as far as it can be asked; else 8."""
    client = getattr(executor, "_client", None)                  # Dask's ClientExecutor
    if client is not None:
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or 8


class Lines:
    """Log lines in place of a bar: for batch jobs."""

    def write(self, text):
        if text.strip():
            log.info(text.strip())

    def flush(self):
        pass


def _bar(total, progress):
    if progress == "log":
        return tqdm(total=total, unit="cell", file=Lines(), mininterval=10, ascii=True, ncols=80)
    return tqdm(total=total, unit="cell", disable=not progress)


def run(campaign, store, executor, workers, progress):
    """Evaluate all missing cells; with sequential stopping, those that turn out to be missing too."""
    if executor is None:
        workers = thread_count()
    elif workers is None:
        workers = worker_count(executor)
    check_int("workers", workers, 1)
    with ready(campaign, executor) as (context, executor):
        total = len(campaign.missing())
        with _bar(total, progress) as bar:
            while missing := campaign.missing():
                bar.total = bar.n + len(missing)
                run_cells(campaign, store, executor, workers, missing, bar, context)
        store.finish()


@contextlib.contextmanager
def ready(campaign, executor):
    """(context, executor) with what all cells share prepared, on all cores, before workers ask for it.

    Threads of this process find it in memory, processes of this machine in a folder, and others make their own.
    """
    context = campaign.context
    if isinstance(executor, ProcessPoolExecutor) and any(s.images.nbytes > SHARED_BYTES for s in context.series):
        with shared_folder() as folder:
            context = context.in_folder(folder)
            _prepare(context, campaign)
            yield context, executor
        return
    try:
        if executor is None:
            cells.remember(context)
            _prepare(context, campaign)
        yield context, executor or local_executor()
    finally:
        cells.forget(context.key)


def _prepare(context, campaign):
    """Clean activations of the series that have several cells to come."""
    for s in {context.series[s].task: s for s, count in Counter(s for s, *_ in campaign.missing()).items()
              if count > 2}.values():
        cells.pass_of(context, s).prepare()


def run_cells(campaign, store, executor, workers, missing, bar, context):
    """Send cells in batches of about a second, two a worker in flight; collect, keep, go on."""
    waiting, flying, per_batch = deque(missing), {}, 1
    key = context.key
    try:
        while waiting or flying:
            while waiting and len(flying) < 2 * workers:
                size = min(per_batch, max(1, len(waiting) // (2 * workers)))
                batch = [waiting.popleft() for _ in range(size)]
                flying[executor.submit(cells.run_batch, key, batch)] = batch
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                batch, found = flying.pop(future), future.result()
                if found is None:                                # a worker that has not got the context yet
                    flying[executor.submit(cells.run_batch, key, batch, context)] = batch
                    continue
                seconds, results = found
                per_batch = max(1, int(BATCH_SECONDS * len(batch) / max(seconds, 1e-6)))
                _keep(campaign, store, batch, results)
                bar.update(len(batch))
    finally:
        for future in flying:
            future.cancel()
        if flying:
            wait([future for future in flying if not future.cancelled()], timeout=10 * BATCH_SECONDS)


def _keep(campaign, store, batch, results):
    names = campaign.names()
    rows = [(names[s], rate, trial, *result) for (s, rate, trial), result in zip(batch, results)]
    store.add(rows)
    for name, rate, trial, right, predictions in rows:
        campaign.known[name, rate, trial] = (right, predictions)
