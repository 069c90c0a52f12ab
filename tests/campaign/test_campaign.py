"""A campaign is what its cells give one by one, on every executor, in any order, at once or bit by bit."""

import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slow_cases
from campaign_run import N_CELLS, RATES, SEED, TRIALS, networks, run, split

import bnnsim.ber_sweep as ber_sweep
import bnnsim.campaign.cells as cells
import bnnsim.campaign.engine as engine
import bnnsim.campaign.sweeps as sweeps
import bnnsim.commands.executors as executors
from bnnsim import load_embedded, threads
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import BitFlips

ROOT = Path(sweeps.__file__).resolve().parents[2]
SMALL = {"rates": [0.0, 0.1, 0.3], "trials": 4}


def same(result, reference):
    """Equal to the last bit."""
    assert result.checksum == reference.checksum
    for name, array in reference.arrays().items():
        np.testing.assert_array_equal(result.arrays()[name], array)
    return True


@pytest.fixture(scope="module")
def reference():
    """2,002 cells in one thread."""
    with threads(1):
        return run()


@pytest.fixture(scope="module")
def pool():
    """Two spawned worker processes."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask():
    """A client of a local scheduler with two worker processes."""
    import distributed

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as cluster, distributed.Client(cluster) as client:
        yield client


class Watched(Executor):
    """An executor that counts what is sent, and calls a function before the n-th task."""

    def __init__(self, executor, n=0, call=None):
        self.executor, self.n, self.call, self.sent, self.contexts = executor, n, call, 0, 0
        self._max_workers = 2

    def submit(self, function, key, batch, *context):
        self.sent += 1
        self.contexts += len(context)
        if self.sent == self.n:
            self.call()
        return self.executor.submit(function, key, batch, *context)


# ---------------------------------------------------------------- executors

@pytest.mark.tiny
def test_every_cell_is_apply_and_predict(reference):
    """Whoever redoes one cell by hand finds its right answers of each class."""
    data, nets = split(), networks()
    assert reference.right.shape == (2, len(RATES), TRIALS, 10) and reference.right.dtype == np.int64
    assert sum(1 if rate == 0 else TRIALS for rate in RATES) * 2 == N_CELLS
    for s, r, t in [(0, 0, 7), (0, 1, 0), (1, 3, 199), (1, 5, 64)]:
        predicted = BitFlips(RATES[r]).apply(nets[reference.names[s]], SEED, t).predict(data.images)
        wanted = [sum(p == label == c for p, label in zip(predicted, data.labels)) for c in range(10)]
        assert reference.right[s, r, t].tolist() == wanted
        assert reference.accuracy[s, r, t] == sum(wanted) / 16
    assert len(np.unique(reference.accuracy)) > 5


@pytest.mark.parametrize("n_threads", slow_cases.first(1, [3, 2, 1]))
def test_threads_do_not_change_a_campaign(reference, n_threads):
    with threads(n_threads):
        same(run(), reference)


def test_any_executor_of_threads_does(reference):
    with ThreadPoolExecutor(3) as executor:
        same(run(executor=executor), reference)


class Backwards(Executor):
    """Finishes the last task first."""

    def __init__(self):
        self.open = []

    def submit(self, function, *arguments):
        future = Future()
        self.open.append((future, function, arguments))
        if len(self.open) == 6:                                  # workers=3: 6 fly
            threading.Timer(0.001, self.finish).start()
        return future

    def finish(self):
        tasks, self.open = self.open, []
        for future, function, arguments in reversed(tasks):
            if future.set_running_or_notify_cancel():
                future.set_result(function(*arguments))


def test_the_order_of_arrival_does_not_change_a_campaign(monkeypatch):
    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    executor = Backwards()
    reference = run(rates=[0.1, 0.2], trials=9)                  # 36 cells: six times six
    monkeypatch.setattr(cells, "_contexts", {})
    monkeypatch.setattr(sweeps, "secrets", SimpleNamespace(token_hex=lambda n: "known beforehand"))
    cells.remember(cells.Context(*campaign_context([0.1, 0.2])))
    same(run(rates=[0.1, 0.2], trials=9, executor=executor, workers=3), reference)


def campaign_context(rates):
    """What `sweep` gives its workers: sent beforehand, so that no task is sent twice."""
    seen = []

    class Spy(Executor):
        _max_workers = 1

        def submit(self, function, key, batch, context=None):
            seen.append(context)
            future = Future()
            future.set_result(None if context is None else (1.0, [cells.run_cell(context, *cell) for cell in batch]))
            return future

    run(rates=rates, trials=1, executor=Spy())
    found = next(context for context in seen if context is not None)
    return found.key, found.series, found.root, found.predictions


@pytest.mark.slow
def test_two_spawned_processes_do_not_change_a_campaign(reference, pool):
    """Networks and images reach a worker about once: the first tasks in flight find that they have none."""
    watched = Watched(pool)
    same(run(executor=watched), reference)
    assert 1 <= watched.contexts <= 4 + 2 and watched.sent >= 8
    same(run(executor=Watched(pool)), reference)


def test_what_workers_keep_of_one_campaign_is_not_taken_for_another_s(pool, monkeypatch):
    """Settings alike, other rates and chips: the first one's folder of images is gone by then."""
    monkeypatch.setattr(engine, "SHARED_BYTES", 0)
    run(rates=[0.1], trials=1, executor=pool)
    same(run(rates=[0.2], trials=6, executor=pool), run(rates=[0.2], trials=6))


def test_processes_get_their_images_where_the_disk_for_shared_ones_is_full(pool, monkeypatch):
    """Then they come with the context."""
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    reference = run(**SMALL)
    monkeypatch.setattr(engine, "SHARED_BYTES", 0)
    same(run(executor=pool, **SMALL), reference)
    monkeypatch.setattr(np, "save", full)
    same(run(executor=pool, **SMALL), reference)


def test_dask_does_not_change_a_campaign(reference, dask):
    same(run(executor=dask.get_executor(pure=False)), reference)


@pytest.mark.slow
def test_a_dask_worker_killed_in_mid_campaign_changes_nothing(reference, dask, monkeypatch, tmp_path):
    """Its tasks go to the other one, and to the one that Dask starts in its place."""
    dask.wait_for_workers(2)
    workers = dask.run(os.getpid)
    monkeypatch.setattr(engine, "BATCH_SECONDS", 0.02)
    watched = Watched(dask.get_executor(pure=False), 12, lambda: os.kill(min(workers.values()), signal.SIGKILL))
    same(run(executor=watched, out=tmp_path / "s.h5"), reference)
    assert watched.sent > 20
    assert same(SweepResult.load(tmp_path / "s.h5"), reference) and os.listdir(tmp_path) == ["s.h5"]
    dask.wait_for_workers(2)
    assert set(dask.run(os.getpid).values()) != set(workers.values())


# ---------------------------------------------------------------- what goes wrong

@dataclass(frozen=True)
class Exploding:
    """A fault of a user, with a mistake at one chip."""

    p: float
    bad: int

    moves = "bit_error_rate"

    def at(self, rate):
        return Exploding(rate, self.bad)

    def apply(self, network, rng, trial):
        if trial == self.bad:
            raise LookupError(f"no chip {trial}")
        return BitFlips(self.p).apply(network, rng, trial)


def test_a_worker_s_exception_reaches_the_caller_and_what_is_done_stays(tmp_path, pool, monkeypatch):
    """The journal has what came before; with the mistake mended (and the fault's name kept) it is gone on from."""
    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    path, settings = tmp_path / "s.h5", {"rates": [0.1], "trials": 50}
    for executor in (None, pool):
        with pytest.raises(LookupError, match="no chip 40") as caught:
            run(out=path, faults=Exploding(0, 40), executor=executor, resume=path.with_name("s.h5.journal").exists(),
                **settings)
        assert re.search(r"with [1-9]\d* cells? done; all of them are in", caught.value.__notes__[0])
    calls = []
    monkeypatch.setattr(Exploding, "apply", lambda self, network, rng, trial: calls.append(trial) or BitFlips(
        self.p).apply(network, rng, trial))
    with threads(1):
        result = run(out=path, faults=Exploding(0, 40), resume=True, **settings)
    assert 0 < len(calls) <= 30 and 40 in calls
    np.testing.assert_array_equal(result.right, run(**settings).right)


@dataclass(frozen=True)
class Deadly(Exploding):
    """Ends its process, as the system does where memory is short."""

    def at(self, rate):
        return Deadly(rate, self.bad)

    def apply(self, network, rng, trial):
        if trial == self.bad:
            os.kill(os.getpid(), signal.SIGKILL)
        return BitFlips(self.p).apply(network, rng, trial)


class FailingCluster(Executor):
    """Does `n_good` tasks, then fails as Dask's futures do when their scheduler or all workers are gone."""

    def __init__(self, error, n_good):
        self.error, self.n_left = error, n_good

    def submit(self, function, *args):
        future = Future()
        self.n_left -= 1
        if self.n_left >= 0:
            future.set_result(function(*args))
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize("kind", ["KilledWorker", "CancelledError"])
def test_a_failed_cluster_is_one_clear_error_and_loses_nothing(tmp_path, monkeypatch, kind):
    """KilledWorker: cells that end every worker they are on; CancelledError: the scheduler is gone."""
    from distributed.scheduler import KilledWorker

    error = CancelledError() if kind == "CancelledError" else KilledWorker("task", None, 3)
    settings = {"out": tmp_path / "out.h5", "rates": [0.1], "trials": 50}
    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    with pytest.raises(ChildProcessError, match=rf"the cluster failed \({kind}.* with [1-9]\d? cells? .*--resume"):
        run(executor=FailingCluster(error, 12), workers=2, **settings)
    monkeypatch.undo()
    assert run(resume=True, **settings).checksum == run(rates=[0.1], trials=50).checksum


def test_a_killed_process_of_a_pool_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor, \
            pytest.raises(ChildProcessError, match=r"a worker process died \(.* with \d+ cells? done; all of them are "
                                                   r"in .*s.h5.journal: the same command with --resume goes on"):
        run(out=tmp_path / "s.h5", faults=Deadly(0, 30), rates=[0.1], trials=50, executor=executor)
    assert (tmp_path / "s.h5.journal").stat().st_size > 1000


@pytest.mark.parametrize("stored, n_batches", [(True, 5), (False, 5), (True, 0)])
def test_an_interrupt_says_how_to_go_on(tmp_path, monkeypatch, stored, n_batches):
    whole, n_done = cells.run_batch, []

    def interrupted(*arguments):
        n_done.append(1)
        if len(n_done) > n_batches:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(engine, "BATCH_SECONDS", 1e-9)
    monkeypatch.setattr(cells, "run_batch", interrupted)
    hint = "all of them are in .*s.h5.journal: the same command with --resume" if stored else "nothing was stored"
    said = fr"(1 cell|[1-9] cells) done; {hint}" if n_batches else "no cell done, and nothing stored$"
    with threads(1), pytest.raises(KeyboardInterrupt, match=f"interrupted with {said}"):
        run(out=tmp_path / "s.h5" if stored else None, **SMALL)
    monkeypatch.undo()
    assert (tmp_path / "s.h5.journal").exists() == bool(stored and n_batches)
    if stored:
        same(run(out=tmp_path / "s.h5", resume=True, **SMALL), run(**SMALL))


def test_what_a_campaign_shares_is_dropped_with_it():
    """Clean activations of all images are large: of campaign after campaign in one session they filled the memory."""
    run(**SMALL)
    assert not cells._contexts and not cells._passes, "of threads of this process"
    first, second = (cells.Context(key, sweeps.make_series(networks(), split(), None)[0], 0, False) for key in "ab")
    for context in (first, second):                              # as a worker gets to know them, one after the other
        cells.remember(context)
        cells.pass_of(context, 0)
    assert set(cells._contexts) == {"b"} and {key for key, _ in cells._passes} == {"b"}
    cells.forget("b")


def test_two_campaigns_at_once_in_one_process_do_not_mix():
    """The second takes the place of the first one's context, which is sent again."""
    data = [split(), split(seed=1)]
    wanted = [run(data=each, **SMALL) for each in data]
    with ThreadPoolExecutor(2) as executor:
        for _ in range(3):
            for result, reference in zip(executor.map(lambda each: run(data=each, **SMALL), data), wanted):
                same(result, reference)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A network's file, and the rest of a small campaign on the embedded images."""
    from bnnsim.training.architectures import build
    from bnnsim.training.packing import pack

    path = tmp_path_factory.mktemp("stored") / "net.h5"
    pack(build("FC16 FC10", (1, 28, 28), rng=1)).save(path)
    return path


def arguments(stored, out, *more):
    return [str(stored), "--dataset", "fashion-subset", "--rates", "0.05,0.2", "--trials", "4", "--seed", "3",
            "--out", str(out), *more]


@functools.cache
def swept(stored, trials=4):
    from bnnsim.packed.network import PackedNetwork

    return sweeps.sweep({"net": PackedNetwork.load(stored)}, {"fashion-subset": load_embedded()[1]}, [0, 0.05, 0.2],
                        trials, 3, progress=False)


def test_workers_and_dask_from_the_command_line(stored, tmp_path, dask, capsys):
    wanted = swept(stored)
    address = dask.cluster.scheduler_address
    for name, more in {"w": ["--workers", "2"], "d": ["--dask", address]}.items():
        assert ber_sweep.main(arguments(stored, tmp_path / f"{name}.h5", "--quiet", *more)) == 0
        same(SweepResult.load(tmp_path / f"{name}.h5"), wanted)
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.count("chips a rate, seed 3") == 2


def test_worker_processes_leave_ctrl_c_to_the_main_one():
    """Else each would print a traceback, of its start, its work or its waiting."""
    with executors.chosen_executor(workers=2) as executor:
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert len(executor._processes) == 2
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.parametrize("more", slow_cases.first(1, [["--workers", "2"], []]))
def test_ctrl_c_stores_what_is_done_and_says_how_to_go_on(stored, tmp_path, more):
    """SIGINT to all processes of the terminal, as Ctrl-C sends it."""
    out = tmp_path / "s.h5"
    command = [sys.executable, "-m", "bnnsim.ber_sweep", *arguments(stored, out, "--quiet", *more)]
    command[command.index("--trials") + 1] = "300"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        journal = Path(f"{out}.journal")                         # its second line: the workers are at work
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
            threading.Event().wait(0.01)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert errors.count("\n") == 1 and "--resume goes on" in errors and f"are in {journal}" in errors
    n_cells = sum(line.count(b'["net",') for line in journal.read_bytes().splitlines())
    assert 0 < n_cells < 601 and not out.exists()
    assert int(errors.split("interrupted with ")[1].split()[0]) == n_cells
    assert ber_sweep.main([*arguments(stored, out, "--quiet", "--resume"), "--trials", "300"]) == 0
    same(SweepResult.load(out), swept(stored, 300))
