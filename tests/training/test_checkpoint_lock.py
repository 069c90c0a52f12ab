"""Two trainings on one checkpoint: the second is refused, whoever came first; a killed one lets go."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import training_run

import bnnsim.files.atomic as atomic
import bnnsim.files.locks as locks

HOLDER = """
import sys
import bnnsim.training.step as step
import training_run

def waiting(run):
    print("training", flush=True)
    sys.stdin.readline()
    whole(run)

whole, step.train_step = step.train_step, waiting
print(training_run.digest(*training_run.run(sys.argv[1])))
"""


@pytest.fixture
def holder(tmp_path):
    """A process that is in the first step of a training on run.h5."""
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run.h5")], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout.readline() == "training\n"
        yield process
        process.kill()


def test_a_checkpoint_that_another_process_trains_is_refused(tmp_path, holder):
    """Also through a link, and to one that would go on; and the first one ends as if nothing had been."""
    (tmp_path / "link.h5").symlink_to("run.h5")
    for name, resume in itertools.product(("run.h5", "link.h5"), (False, True)):
        with pytest.raises(OSError, match="run.h5.lock is in use by another process: wait for it"):
            training_run.run(tmp_path / name, resume=resume)
    digest, _ = holder.communicate("\n" * training_run.N_STEPS)
    assert digest.split()[-1] == training_run.digest(*training_run.run())
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "run.h5"]


def test_a_killed_training_lets_go_and_what_it_left_is_removed(tmp_path, holder):
    path = tmp_path / "run.h5"
    with atomic.part(path) as part, atomic.part(tmp_path / "other.h5") as other:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / "run.h5.lock").exists()
        assert training_run.digest(*training_run.run(path, resume=True)) == training_run.digest(*training_run.run())
        assert not os.path.exists(part) and os.path.exists(other)
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_refused_checkpoint_is_let_go(tmp_path):
    path = tmp_path / "run.h5"
    training_run.run(path)
    for _ in range(2):
        with pytest.raises(FileExistsError, match="pass resume=True"):
            training_run.run(path)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        training_run.run(path, resume=True, rng=6)
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.skipif(not locks.FOR_ALL, reason="Windows removes no open file")
def test_a_lock_is_held_until_its_file_is_gone(tmp_path, monkeypatch):
    """Between, another process took it, and a third one made another: two trained on one checkpoint."""
    lock, unlink, held = locks.claim(str(tmp_path / "run.h5")), os.unlink, []
    monkeypatch.setattr(os, "unlink", lambda path: held.append(not lock.closed) or unlink(path))
    locks.close_and_remove(lock)
    assert held == [True] and lock.closed and not os.listdir(tmp_path)
