"""Commands that are killed: their workers end with them, what is done is kept, nothing stays behind for good.

The thousand kills take about an hour:  python -m pytest -m slow tests/campaign/test_left_behind.py
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile

import ended_commands as ended
import numpy as np
import pytest
import slow_cases
import training_run

import bnnsim.ber_sweep as ber_sweep
import bnnsim.device_sweep as device_sweep
import bnnsim.packed.shared_arrays as shared_arrays
from bnnsim.campaign.result import SweepResult

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc and /dev/shm of Linux")

# long after the test has killed it, and yet not without end: whoever kills the tests themselves leaves it behind
LONG = ["-m", "bnnsim.ber_sweep", "--rates", "0.1", "--trials", "5000", "--quiet", "--out", "s.h5"]
MESSAGE = "interrupted with .* cells? done; all of them are in s.h5.journal: the same command with --resume goes on"


@pytest.fixture
def own_place(tmp_path, monkeypatch):
    """The folder for temporary files that the commands of a test have, for this process too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield tmp_path
    ended.end_all()


def running(words, folder):
    """A sweep that has stored some cells."""
    process = ended.start(words, folder)
    assert ended.until(lambda: ended.size(folder / "s.h5.journal") > 2000, process), process.stderr.read()
    return process


@pytest.mark.parametrize("group", slow_cases.first(1, [True, False]), ids=["group", "main"])
def test_workers_of_a_killed_process_end_and_the_next_start_cleans_up(own_place, group):
    """`group`: multiprocessing's own tracker, which would remove semaphores, is killed too."""
    process = running([*LONG, "--workers", "2"], own_place)
    assert len(ended.left(own_place)[0]) == 2                    # the pool's, and the campaign's with its images
    code, _, _ = ended.end(process, signal.SIGKILL, group)
    folders, semaphores = ended.left(own_place)
    assert code == -signal.SIGKILL and len(folders) == 2 and bool(semaphores) == group
    shared_arrays.remove_left_behind()
    assert ended.left(own_place) == ([], [])
    assert not any(one.startswith("sem.") and any(name in one for name in folders) for one in os.listdir("/dev/shm"))


@pytest.mark.parametrize("workers, number", slow_cases.first(2, [
    ([], signal.SIGTERM), (["--workers", "2"], signal.SIGHUP), (["--workers", "2"], signal.SIGINT),
    (["--workers", "2"], signal.SIGTERM)]))
def test_what_ends_a_process_politely_is_heeded_like_ctrl_c(own_place, number, workers):
    process = running([*LONG, *workers], own_place)
    code, said, _ = ended.end(process, number)
    assert code == 128 + number and re.search(MESSAGE, said), said
    assert ended.left(own_place) == ([], []) and sorted(os.listdir(own_place)) == ["s.h5.journal", "tmp"]
    assert ended.size(own_place / "s.h5.journal") > 2000


def test_nohup_and_background_jobs_stay_what_they_are(own_place):
    """SIGHUP is ignored where it was; where SIGINT is, as in a shell's background, SIGTERM still ends the command."""
    ignoring = ("import signal, runpy, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
                "signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv = sys.argv[1:]; "
                "runpy.run_module('bnnsim.ber_sweep', run_name='__main__')")
    process = running(["-c", ignoring, *LONG[1:]], own_place)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    grown = ended.size(own_place / "s.h5.journal")
    assert ended.until(lambda: ended.size(own_place / "s.h5.journal") > grown, process)
    assert ended.end(process, signal.SIGTERM)[0] == 128 + signal.SIGTERM


# ---------------------------------------------------------------- folders

HOLDER = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from bnnsim.packed.shared_arrays import shared_folder
with shared_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_only_folders_of_the_dead_are_removed(own_place, monkeypatch):
    """Not one in use, of this process or another; no folder of another name; nothing through a link."""
    place = own_place / "tmp"
    for name in ("bnnsim-shared-0123abcd", "bnnsim-0123abcd", "bnnsim-shared-mine", "target"):
        (place / name).mkdir(mode=0o700)
        (place / name / "images-0.npy").write_bytes(b"precious")
    (place / "bnnsim-shared-open_000").mkdir(mode=0o755)         # whoever made this, it was not mkdtemp
    (place / "bnnsim-shared-link_000").symlink_to(place / "target")
    (place / "bnnsim-shared-file_000").write_bytes(b"precious")
    (place / "bnnsim-shared-0123abcd" / "link").symlink_to(place / "target")
    stays = {"bnnsim-0123abcd", "bnnsim-shared-mine", "target", "bnnsim-shared-open_000", "bnnsim-shared-link_000",
             "bnnsim-shared-file_000"}
    with subprocess.Popen([sys.executable, "-c", HOLDER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process, shared_arrays.shared_folder() as mine:
        other = process.stdout.readline().strip()
        shared_arrays.remove_left_behind()
        assert set(os.listdir(place)) == stays | {os.path.basename(other), os.path.basename(mine)}
        process.kill()
    shared_arrays.remove_left_behind()
    assert set(os.listdir(place)) == stays and os.listdir(place / "target") == ["images-0.npy"]


def test_a_folder_that_is_taken_for_a_left_one_is_made_anew(own_place, monkeypatch):
    """Between making and locking it, another process removes it."""
    made, whole = [], tempfile.mkdtemp

    def mkdtemp(**settings):
        made.append(whole(**settings))
        if len(made) == 1:
            shared_arrays.remove_left_behind()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with shared_arrays.shared_folder() as folder:
        assert len(made) == 2 and folder == made[1] and os.path.isdir(folder)


# ---------------------------------------------------------------- many kills

SWEEP = ["--rates", "0.01,0.1", "--trials", "16", "--seed", "3", "--quiet"]
KINDS = {
    "threads": (ber_sweep, SWEEP, []),
    "workers": (ber_sweep, SWEEP, ["--workers", "2"]),
    "devices": (device_sweep, ["sram_synthetic", "--axis", "voltage", "--values", "0.6,0.65,0.7", "--trials", "4",
                               "--quiet"], ["--workers", "2"]),
}


class Sweep:
    """A sweep by a command: how it is run, and whether what it has stored is what an uninterrupted one stores."""

    def __init__(self, kind, folder):
        module, words, more = KINDS[kind]
        self.out, self.begun, self.patience = folder / "s.h5", folder / "s.h5.journal", 1
        self.progress = self.begun
        assert module.main([*words, "--out", str(self.out)]) == 0
        self.wanted = SweepResult.load(self.out).arrays()
        self.out.unlink()
        self.words = ["-m", module.__name__, *words, *more, "--out", self.out, "--resume"]

    def check(self, folder):
        found = SweepResult.load(self.out).arrays()
        assert found.keys() == self.wanted.keys()
        assert all(np.array_equal(found[name], array) for name, array in self.wanted.items())


class Training:
    """The same of a training, whose checkpoint is written after each step."""

    def __init__(self, folder):
        self.out, self.begun, self.patience = folder / "run.h5", folder / "run.h5.lock", 0.1
        self.progress = folder / "tmp" / "printed"
        self.wanted = training_run.digest(*training_run.run())
        self.words = [ended.ROOT / "tests" / "training_run.py", self.out]

    def check(self, folder):
        assert (folder / "tmp" / "printed").read_text().split()[-1] == self.wanted


def kill_and_resume(kind, folder, kills, seed):
    """One run after the other, each killed and resumed, until there were so many kills; each ends as if there were
    none, and leaves nothing. Gives the longest time that processes took to end after their parent."""
    work = Training(folder) if kind == "training" else Sweep(kind, folder)
    rng, n_kills, n_runs, slowest = np.random.default_rng(seed), 0, 0, 0.0
    while n_kills < kills or n_runs == 0 or work.begun.exists():
        process, is_late, is_last = ended.start(work.words, folder), rng.random() < 0.8, n_kills >= kills
        size = ended.size(work.progress)
        if is_last or is_late and not ended.until(lambda: ended.size(work.progress) > size, process):
            process.wait()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, work.patience if is_late else 3))
        if process.poll() is None:
            number = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP][rng.integers(4)]
            code, said, seconds = ended.end(process, number, number == signal.SIGKILL and rng.random() < 0.5)
            assert code in (-number, 128 + number, 0), (code, said)
            n_kills, slowest = n_kills + 1, max(slowest, seconds)
            continue
        said = process.communicate()[1]
        assert process.returncode == 0, said
        work.check(folder)
        assert sorted(os.listdir(folder)) == sorted([work.out.name, "tmp"])
        n_runs += 1
        work.out.unlink()
    shared_arrays.remove_left_behind()
    assert ended.left(folder) == ([], [])
    return f"{kind}: {n_kills} kills, {n_runs} runs, all processes ended in {slowest:.2f} s"


@pytest.mark.parametrize("kind", slow_cases.first(1, ["training", "workers", "threads", "devices"]))
def test_killed_commands_resume_to_the_same_arrays_and_leave_nothing(own_place, kind):
    print(kill_and_resume(kind, own_place, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", [*KINDS, "training"])
def test_a_thousand_kills(own_place, kind, seed):
    print(kill_and_resume(kind, own_place, 25, 100 + seed))
