"""Campaigns: accuracy of networks over bit error rates and trials ("chips"), on any executor, resumable, exact.

A campaign is a bag of cells (`cells.run_cell`), each a pure function of its ids, so neither the executor, nor the
order, nor a kill and a resume can change a result. One process collects them: finished cells go to a journal beside the
results file (`journal`), and when all are done the results file is written whole and renamed (`results`).
"""

import contextlib
import hashlib
import itertools
import logging
import platform
import sys
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numba
import numpy as np
from tqdm import tqdm

import bnnsim.cells as cells
import bnnsim.file_format as file_format
import bnnsim.stopping as stopping
from bnnsim.checks import check_images, check_int, check_labels, check_probability, check_real
from bnnsim.datasets import Split
from bnnsim.faults import BitFlips
from bnnsim.faults.compose import is_clean_at_zero
from bnnsim.journal import CampaignDiffers, Journal, describe_difference, journal_path
from bnnsim.kernels import local_executor, thread_count
from bnnsim.packed import PackedNetwork
from bnnsim.results import NOT_RUN, SweepResult
from bnnsim.seeding import root_seed
from bnnsim.shared_arrays import shared_folder

log = logging.getLogger("bnnsim")
SHARED_BYTES = 2**20                # images larger than this are shared between processes, smaller ones copied
BATCH_SECONDS = 1.0                 # a batch of cells takes about this long: what a kill can lose, a worker


def sweep(networks, split, rates, trials=10, rng=None, *, faults=None, axis=None, executor=None, workers=None, out=None,
          resume=False, ci_width=None, max_trials=None, predictions=False, progress=True, provenance=None):
    """Accuracy of networks whose stored weight bits are wrong at given rates, or at places on another axis of a fault.

    Parameters
    ----------
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split, or dict of str to Split
        All images of each are evaluated in every cell.
    rates : sequence of float
        Bit error rates; with `axis`, places on that axis.
    trials : int
        Chips a rate. A chip's bit errors are static over the images and drawn from (seed, trial, layer): networks of
        one architecture meet the same chips, and a chip's errors at a lower rate are a subset of a higher rate's.
    rng : None, int, SeedSequence or Generator
        The root seed; recorded in the result.
    faults : fault, or dict of str to fault, optional
        Fault settings; each cell applies ``fault.at(rate)``. `BitFlips` in all layers by default. A fault whose
        ``when`` is "read" is drawn anew for every 500 images, all others once a chip.
    axis : str, optional
        What `rates` are, where they are no bit error rates, such as "voltage_volt" or "cycles": what ``fault.at``
        takes. Any finite numbers; each place gets `trials` chips, 0 too.
    executor : concurrent.futures.Executor, optional
        Where cells are evaluated, each in one thread; threads of this process by default. Process pools, Dask's
        ``client.get_executor()`` and ``mpi4py.futures`` do.
    workers : int, optional
        How many workers the executor has, for keeping each busy; asked of the executor by default.
    out : path, optional
        HDF5 file of the results; finished cells are kept in ``<out>.journal`` while the campaign runs.
    resume : bool
        Go on from `out` and its journal. The grid may have grown: rates and trials found there are kept.
    ci_width : float, optional
        Stop each series and rate when the 95 % interval of its mean over chips is this wide at most (shares of 1):
        Stein's two-stage procedure with `trials` chips as the pilot, so that the number does not hang on the order.
    max_trials : int, optional
        The most chips with `ci_width`; 10 times `trials` by default.
    predictions : bool
        Keep every predicted class.
    progress : bool or "log"
        A bar, nothing, or a log line about every ten seconds.
    provenance : dict, optional
        More to record with the result, such as the command.

    Returns
    -------
    SweepResult

    Raises
    ------
    ValueError, TypeError
        Where an argument is bad, or `out` holds another campaign: the message says what differs.
    FileExistsError
        Where `out` or its journal exists and `resume` is false.
    KeyboardInterrupt, ChildProcessError
        On Ctrl-C, or where a worker process was killed or the cluster failed; what is done is in the journal, and the
        message says how to go on.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> split = bnnsim.Split(np.zeros((5, 1, 8, 8), np.uint8), np.zeros(5, np.uint8), "zeros")
    >>> bnnsim.sweep(network, split, [0, 0.1], trials=3, rng=0, progress=False).accuracy.shape
    (1, 2, 3)
    """
    rates, root = check_rates(rates, axis), root_seed(rng)
    rule = _stopping_rule(check_int("trials", trials, 1), ci_width, max_trials)
    series, entries = make_series(networks, split, faults)
    settings = {"series": entries, "seed": str(root), "stopping": rule, "predictions": bool(predictions),
                **({} if axis is None else {"axis": axis})}
    key = hashlib.sha256(file_format.to_json("settings", settings).encode()).hexdigest()
    campaign = _Campaign(settings, rates, check_int("trials", trials, 1),
                         cells.Context(key, series, root, bool(predictions)),
                         {**system(), "seed_source": "drawn" if rng is None else "given", **(provenance or {})})
    store = _Store(out, resume, campaign)
    try:
        _run(campaign, store, executor, workers, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted with {store.hint()}") from None
    except BrokenExecutor as error:
        raise ChildProcessError(f"a worker process died, killed from outside or for want of memory, with "
                                f"{store.hint()}") from error
    except Exception as error:
        if isinstance(error, CancelledError) or type(error).__module__.split(".")[0] == "distributed":
            raise ChildProcessError(f"the cluster failed ({type(error).__name__}: its scheduler or workers died), with "
                                    f"{store.hint()}") from error
        error.add_note(f"The campaign ended with {store.hint()}.")
        raise
    finally:
        store.close()
    return campaign.result()


# ---------------------------------------------------------------- what is asked for

def check_rates(rates, axis=None):
    """Places on an axis as float64 (R,): at least one, none twice; bit error rates, so probabilities, if None."""
    if axis is not None and not (isinstance(axis, str) and axis):
        raise TypeError(f"axis must be the name of what rates are, such as 'voltage_volt', or None, got {axis!r}")
    check = check_probability if axis is None else check_real
    rates = [check(f"rates[{i}]", p) for i, p in enumerate(np.atleast_1d(np.asarray(rates, object)))]
    if not rates:
        raise ValueError("rates must have at least one bit error rate, got none")
    if len(set(rates)) < len(rates):
        raise ValueError(f"rates must differ from each other, got {rates}")
    return np.array(rates) + 0.0                                 # -0.0 is 0.0


def _named(name, value, kind, alone, hint):
    """A dict of str to `kind` from one thing or a dict of them."""
    if isinstance(value, kind):
        return {alone: value}
    if not isinstance(value, dict) or not value:
        came = "an empty dict" if value == {} else type(value).__name__
        raise TypeError(f"{name} must be a {kind.__name__} or a dict of name to {kind.__name__}, got {came}{hint}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name} must have strings as names, got {key!r}")
        if not isinstance(item, kind):
            raise TypeError(f"{name}[{key!r}] must be a {kind.__name__}, got {type(item).__name__}{hint}")
    return value


def _fault_settings(faults):
    if faults is None or hasattr(faults, "at"):
        return {"": BitFlips(0.0) if faults is None else faults}
    if not isinstance(faults, dict) or not faults or not all(hasattr(fault, "at") for fault in faults.values()):
        raise TypeError("faults must be a fault such as BitFlips(0), or a dict of name to fault, got "
                        f"{type(faults).__name__}")
    return faults


def make_series(networks, splits, faults):
    """The series of a campaign, networks x splits x faults, and the settings entry of each."""
    networks = _named("networks", networks, PackedNetwork, "network", " (see bnnsim.pack)")
    splits = _named("split", splits, Split, "", " (one half of what load_dataset gives)")
    faults = _fault_settings(faults)
    series, entries = [], []
    for i, ((name, network), (part, split), (fault_name, fault)) in enumerate(itertools.product(
            networks.items(), splits.items(), faults.items())):
        check_images(split.images, network.input_shape)
        check_labels(split.labels, len(split.images), network.n_classes)
        if len(split) == 0:
            raise ValueError("split must have at least one image")
        full = ", ".join(filter(None, (name, part if len(splits) > 1 else "", fault_name)))
        series.append(cells.Series(full, network, split.images, split.labels, fault, i // len(faults)))
        entries.append({"name": full, "network": network.checksum, "split": split.name,
                        "split_sha256": split.sha256, "n_images": len(split), "fault": repr(fault.at(0.0))})
    if len({entry["name"] for entry in entries}) < len(entries) or len({s.network.n_classes for s in series}) > 1:
        raise ValueError("series must have names that differ and networks of one number of classes, got "
                         f"{[(s.name, s.network.n_classes) for s in series]}")
    return tuple(series), entries


def _stopping_rule(trials, ci_width, max_trials):
    if ci_width is None:
        if max_trials is not None:
            raise ValueError("max_trials goes with ci_width: without it `trials` chips are run")
        return None
    width = check_real("ci_width", ci_width, 0, 1, open_low=True)
    if trials < 2:
        raise ValueError(f"ci_width needs a pilot of trials >= 2 chips, got {trials}")
    return {"ci_width": width, "pilot": trials, "level": 0.95,
            "max_trials": check_int("max_trials", 10 * trials if max_trials is None else max_trials, trials)}


def system():
    """What a result was made with: versions and CPU."""
    return {"library": sys.modules["bnnsim"].__version__, "numpy": np.__version__, "numba": numba.__version__,
            "python": platform.python_version(), "cpu": cpu_name(), "system": platform.platform()}


def cpu_name():
    """The CPU's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# ---------------------------------------------------------------- what is known and what is missing

@dataclass
class _Campaign:
    """The grid asked for, and the cells known so far: (series name, rate, trial) -> (right, predictions)."""

    settings: dict
    rates: np.ndarray
    trials: int
    context: cells.Context
    provenance: dict
    known: dict = field(default_factory=dict)

    def names(self):
        return [series.name for series in self.context.series]

    def learn(self, found):
        """Take over cells of a file; the grid grows to hold them. What cannot be this campaign's is refused.

        Rates that were not asked for come last, or in their place where those asked for ascend.
        """
        totals = {series.name: np.bincount(series.labels, minlength=series.network.n_classes)
                  for series in self.context.series}
        for (name, rate, trial), (right, predictions) in found.items():
            if not (name in totals and self._can_be(totals[name], rate, trial, right, predictions)):
                raise ValueError(f"the journal has a cell that cannot be: {name!r}, rate {rate}, trial {trial}")
            self.known[name, rate, trial] = (right, predictions)
        asked = self.rates.tolist()
        rates = [*asked, *sorted({rate for _, rate, _ in found} - set(asked))]
        self.rates = np.array(sorted(rates) if asked == sorted(asked) else rates)
        if self.settings["stopping"] is None:
            self.trials = max([self.trials, *(trial + 1 for _, _, trial in found)])

    def _can_be(self, totals, rate, trial, right, predictions):
        on_axis = np.isfinite(rate) if "axis" in self.settings else 0 <= rate <= 1
        if not on_axis or type(trial) is not int or trial < 0:
            return False
        if right.shape != totals.shape or np.any((right < 0) | (right > totals)):
            return False
        if not self.context.predictions:
            return predictions is None
        return predictions is not None and len(predictions) == totals.sum()

    def is_clean(self, name, rate):
        """Whether all chips are alike here: at a bit error rate of 0, unless a part of the fault errs all the same."""
        fault = self.context.series[self.names().index(name)].fault
        return rate == 0 and "axis" not in self.settings and is_clean_at_zero(fault)

    def wanted_trials(self, name, rate):
        """How many chips this series needs at this rate, as far as is known by now."""
        if self.is_clean(name, rate):
            return 1                                             # without errors all chips are alike
        rule = self.settings["stopping"]
        if rule is None:
            return self.trials
        pilot = [self.known.get((name, rate, trial)) for trial in range(rule["pilot"])]
        if any(cell is None for cell in pilot):
            return rule["pilot"]
        n_images = len(self.context.series[self.names().index(name)].labels)
        accuracies = np.array([right.sum() / n_images for right, _ in pilot])
        needed = stopping.stein_trials(accuracies, rule["ci_width"], rule["level"])
        return min(needed, rule["max_trials"])

    def missing(self):
        """Cells (s, rate, trial) that are wanted and not known, trial after trial."""
        wanted = [(trial, s, rate) for s, name in enumerate(self.names()) for rate in self.rates.tolist()
                  for trial in range(self.wanted_trials(name, rate)) if (name, rate, trial) not in self.known]
        return [(s, rate, trial) for trial, s, rate in sorted(wanted)]

    def result(self):
        """Everything that is known, as arrays."""
        order = self.rates
        n_trials = max([self.trials, *(trial + 1 for _, _, trial in self.known)])
        n_classes = self.context.series[0].network.n_classes
        shape = (len(self.names()), len(order), n_trials)
        right = np.full((*shape, n_classes), NOT_RUN, np.int64)
        predictions = None
        if self.context.predictions:
            predictions = np.full((*shape, max(len(s.labels) for s in self.context.series)), 255, np.uint8)
        places = {rate: r for r, rate in enumerate(order.tolist())}
        for (name, rate, trial), (cell, predicted) in self.known.items():
            at = (self.names().index(name), places[rate], slice(self.trials) if self.is_clean(name, rate) else trial)
            right[at] = cell
            if predictions is not None:
                predictions[(*at, slice(len(predicted)))] = predicted
        totals = np.stack([np.bincount(s.labels, minlength=n_classes) for s in self.context.series])
        return SweepResult(self.settings, order, right, totals, predictions, self.provenance)


class _Store:
    """The results file and its journal; does nothing where no path was given."""

    def __init__(self, out, resume, campaign):
        self.out, self.campaign, self.journal = out, campaign, None
        if out is None:
            if resume:
                raise ValueError("resume needs out, the results file to go on from")
            return
        found = [path for path in (Path(out), Path(journal_path(out))) if path.exists()]
        if found and not resume:
            raise FileExistsError(f"{found[0]} exists: resume it (resume=True, --resume), or remove it")
        if not Path(out).resolve().parent.is_dir():
            raise FileNotFoundError(f"the folder of {out} does not exist: make it first")
        self.journal = Journal(out, campaign.settings, self._compare)
        try:
            if Path(out).exists():
                campaign.learn(self._cells_of_file())
            campaign.learn(self.journal.cells)
        except BaseException:
            self.journal.close()
            raise

    def _compare(self, stored):
        difference = describe_difference(stored, self.campaign.settings)
        if difference:
            raise CampaignDiffers(f"{self.out} is of another campaign: {difference}")

    def _cells_of_file(self):
        result = SweepResult.load(self.out)
        self._compare(result.settings)
        sizes = [series["n_images"] for series in result.settings["series"]]
        return {(name, rate, trial): (result.right[s, r, trial], None if result.predictions is None
                                      else result.predictions[s, r, trial, :sizes[s]])
                for s, name in enumerate(result.names) for r, rate in enumerate(result.rates.tolist())
                for trial in range(1 if self.campaign.is_clean(name, rate) else result.right.shape[2])
                if result.right[s, r, trial, 0] != NOT_RUN}

    def add(self, batch):
        """Keep finished cells: (name, rate, trial, right, predictions)."""
        if self.journal is not None:
            self.journal.add(batch)

    def finish(self):
        """Write the results file; the journal has done its work then."""
        if self.journal is not None:
            self.campaign.result().save(self.out)
            self.journal.close(remove=True)

    def close(self):
        if self.journal is not None:
            self.journal.close()

    def hint(self):
        """How much is done, where it is, and how to go on."""
        done = f"{len(self.campaign.known)} cells done"
        return f"{done}; all of them are in {self.journal.path}: the same command with --resume goes on" \
            if self.journal else f"{done}; nothing was stored, as no results file was given"


# ---------------------------------------------------------------- the engine

def worker_count(executor):
    """How many workers an executor has, as far as it can be asked; else 8."""
    client = getattr(executor, "_client", None)                  # Dask's ClientExecutor
    if client is not None:
        return max(1, sum(client.nthreads().values()))
    return getattr(executor, "_max_workers", None) or 8


class _Lines:
    """Log lines in place of a bar: for batch jobs."""

    def write(self, text):
        if text.strip():
            log.info(text.strip())

    def flush(self):
        pass


def _bar(total, progress):
    if progress == "log":
        return tqdm(total=total, unit="cell", file=_Lines(), mininterval=10, ascii=True, ncols=80)
    return tqdm(total=total, unit="cell", disable=not progress)


def _run(campaign, store, executor, workers, progress):
    """Evaluate all missing cells; with sequential stopping, those that turn out to be missing too."""
    if executor is None:
        workers = thread_count()
    elif workers is None:
        workers = worker_count(executor)
    check_int("workers", workers, 1)
    with _ready(campaign, executor) as (context, executor):
        total = len(campaign.missing())
        with _bar(total, progress) as bar:
            while missing := campaign.missing():
                bar.total = bar.n + len(missing)
                _run_cells(campaign, store, executor, workers, missing, bar, context)
        store.finish()


@contextlib.contextmanager
def _ready(campaign, executor):
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


def _run_cells(campaign, store, executor, workers, missing, bar, context):
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
