"""Campaigns that are killed, run out of disk, or meet damaged journals: what was stored stays, the end is the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slow_cases
from campaign_run import N_CELLS, VARIANTS, on_disk, run

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The uninterrupted campaign, and where it is stored."""
    path = tmp_path_factory.mktemp("reference") / "whole.h5"
    return run(out=path), path


@pytest.fixture(scope="module")
def ask(reference):
    """A process without threads that forks campaigns: asked by JSON, a line each way."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(HERE / "campaign_run.py"), str(reference[1])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        def asked(**request):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        yield asked
        process.stdin.close()


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("how", slow_cases.first(1, ["events", "clock"]))
def test_kills_at_20_random_moments_change_nothing(ask, tmp_path, how, seed, kills=20):
    """By a clock: anywhere. At random events: inside of journal lines, files, renames and removals too."""
    found = ask(do="kill", how=how, seed=seed, kills=kills, folder=str(tmp_path))
    print(found)
    assert "error" not in found, found["error"]
    assert found["kills"] >= kills
    if how == "events":
        assert {"half a line", "a batch begins"} <= set(found["moments"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
@pytest.mark.parametrize("how", ["clock", "events"])
def test_kills_at_more_random_moments_change_nothing(ask, tmp_path, how, seed):
    test_kills_at_20_random_moments_change_nothing(ask, tmp_path, how, seed, 50)


MOMENTS = ["before a line", "half a line", "after a line", "half a line", "a batch ends", "before an array",
           "after an array", "before sync", "after sync", "before rename", "after rename", "before unlink",
           "after unlink"]


def test_kills_at_each_moment_change_nothing(ask, tmp_path):
    found = ask(do="kill", how="moments", seed=0, kills=0, moments=MOMENTS, folder=str(tmp_path))
    assert "error" not in found, found["error"]
    assert found["kills"] == len(MOMENTS) and set(found["moments"]) == set(MOMENTS)


@pytest.mark.parametrize("variant, moments, message", slow_cases.first(1, [
    ("journal removed first", ["before an array"], r"2002 cells are gone"),
    ("in place", ["half of the results"], "damaged or cut off"),
    ("journal rewritten", ["a batch begins"] + ["half a line"] * 3, "cells are gone"),
]))
def test_the_same_test_notices_careless_writers(ask, tmp_path, variant, moments, message):
    assert variant in VARIANTS
    found = ask(do="kill", how="moments", seed=0, kills=0, moments=moments, variant=variant, folder=str(tmp_path))
    assert message in found["error"]


FULL = [(100, 0, "full.h5.journal: File too large"), (200_000, N_CELLS, "a file that was there is unchanged"),
        (50_000, 500, "full.h5.journal: File too large; the cells before are kept: make room and go on with --resume"),
        (0, 0, "full.h5.journal: File too large")]


@pytest.mark.parametrize("n_bytes, least, message", slow_cases.first(2, FULL))
def test_a_full_disk_is_a_clear_error_and_loses_nothing(ask, tmp_path, n_bytes, least, message):
    """Half of the first line, all of the journal but not the results, a part of the journal, no byte: each goes on."""
    found = ask(do="full", folder=str(tmp_path), n_bytes=n_bytes)
    assert found["error"] is None, found["error"]
    assert found["message"].startswith("error OSError") and message in found["message"]
    assert found["cells"] >= least and found["left"] == ([] if n_bytes == 0 else ["full.h5.journal"])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 115 kB, and a way to enlarge it."""
    def mount(*options):
        return subprocess.run(["mount", *options], capture_output=True, text=True, check=False)

    disk = tmp_path / "disk"
    disk.mkdir()
    found = mount("-t", "tmpfs", "-o", "size=115k", "tmpfs", str(disk)) if shutil.which("mount") else None
    if found is None or found.returncode:
        pytest.skip("this machine does not let the tests mount a file system")
    yield disk, lambda: mount("-o", "remount,size=10m", str(disk))
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_file_system_loses_nothing(small_disk, reference):
    disk, enlarge = small_disk
    with pytest.raises(OSError, match="sweep.h5.journal: No space left on device; the cells before are kept"):
        run(out=disk / "sweep.h5")
    n_cells = len(on_disk(disk / "sweep.h5"))
    enlarge()
    assert n_cells > 100 and run(out=disk / "sweep.h5", resume=True).checksum == reference[0].checksum
    assert os.listdir(disk) == ["sweep.h5"]


def test_a_results_file_that_does_not_fit_leaves_the_old_one(small_disk):
    """50 chips fit, and 10 more in the journal, but not two results files. HDF5 itself must not meet the full disk."""
    disk, enlarge = small_disk
    path = disk / "sweep.h5"
    run(out=path, trials=50)
    before = path.read_bytes()
    with pytest.raises(OSError, match="sweep.h5") as caught:
        run(out=path, trials=60, resume=True)
    assert path.read_bytes() == before and "unchanged" in str(caught.value) + "".join(caught.value.__notes__)
    enlarge()
    assert run(out=path, trials=60, resume=True).checksum == run(trials=60).checksum
