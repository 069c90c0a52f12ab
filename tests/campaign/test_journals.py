"""Damaged and foreign journals, and files of other campaigns: refused or gone on from, never believed."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from campaign_run import networks, run, split
from test_campaign_kills import HERE

import bnnsim.campaign.cells as cells
import bnnsim.campaign.engine as engine
import bnnsim.campaign.journal as journal
import bnnsim.files.atomic as atomic
import bnnsim.files.locks as locks
from bnnsim import pack
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import BitFlips
from bnnsim.training.architectures import build

SMALL = {"rates": [0, 0.1, 0.3], "trials": 20}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A result, and the journal that it had before its end."""
    path = tmp_path_factory.mktemp("small") / "small.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepResult, "save", lambda *_: 1 / 0)
        patch.setattr(engine, "BATCH_SECONDS", 1e-3)
        with pytest.raises(ZeroDivisionError):
            run(out=path, **SMALL)
    assert not path.exists()
    return run(**SMALL), path.with_name("small.h5.journal").read_bytes()


def journal_of(tmp_path, content):
    tmp_path.joinpath("s.h5.journal").write_bytes(content)
    return tmp_path / "s.h5"


def test_a_whole_journal_needs_no_cell_again(tmp_path, small, monkeypatch):
    monkeypatch.setattr(cells, "run_cell", lambda *_: 1 / 0)
    result = run(out=journal_of(tmp_path, small[1]), resume=True, **SMALL)
    assert result.checksum == small[0].checksum and os.listdir(tmp_path) == ["s.h5"]


def test_a_journal_cut_off_anywhere_is_gone_on_from(tmp_path, small, caplog):
    result, content = small
    ends = {0, len(content)} | {i + 1 for i, byte in enumerate(content) if byte == ord("\n")}
    for length in {*range(0, len(content), len(content) // 4), *ends, *(end - 1 for end in sorted(ends)[1::3])}:
        caplog.clear()
        path = journal_of(tmp_path, content[:length])
        assert run(out=path, resume=True, **SMALL).checksum == result.checksum
        assert len(caplog.records) == (length not in ends)
        assert length in ends or "bytes are cut off or damaged and are done again" in caplog.text
        path.unlink()


def test_what_a_killed_writer_left_is_removed_by_the_one_that_goes_on(tmp_path, small):
    """Each kill while the results are written would leave a file as large as they; other files' stay."""
    path, left = journal_of(tmp_path, small[1]), []
    for name in ("s.h5", "t.h5"):
        with atomic.part(tmp_path / name) as part:
            left.append(Path(part))
    for part in left:
        part.write_bytes(b"half")
    run(out=path, resume=True, **SMALL)
    assert sorted(os.listdir(tmp_path)) == sorted([left[1].name, "s.h5"])


def test_what_is_done_after_a_cut_off_line_stands_behind_no_damage(tmp_path, small, monkeypatch):
    """A second kill would lose all that was done since the first."""
    result, content = small
    cut = content[:len(content) // 2].rpartition(b"\n")[0] + b"\n01234567"
    path = journal_of(tmp_path, cut)
    with monkeypatch.context() as patch:
        patch.setattr(SweepResult, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(out=path, resume=True, **SMALL)
    assert path.with_name("s.h5.journal").read_bytes().startswith(cut[:-8])
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell is done again"))
    assert run(out=path, resume=True, **SMALL).checksum == result.checksum


def damaged_runs(tmp_path, content, n_flips=40):
    """Checksums of campaigns that went on from journals with a flipped bit each; None where one was refused."""
    rng = np.random.default_rng(3)
    for position in rng.integers(0, 8 * len(content), n_flips):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path = journal_of(tmp_path, damaged)
        try:
            yield run(out=path, resume=True, **SMALL).checksum
            path.unlink()
        except ValueError as error:
            assert "first line is damaged: move it away" in str(error) and path.with_name("s.h5.journal").exists()
            yield None


def test_flipped_bits_in_a_journal_never_give_wrong_cells(tmp_path, small):
    found = list(damaged_runs(tmp_path, small[1]))
    assert set(found) - {None} == {small[0].checksum} and found.count(None) < 30


def test_without_its_checksums_the_same_journals_give_wrong_cells(tmp_path, small, monkeypatch):
    """The test above can fail."""
    def careless(line):
        try:
            return json.loads(line.partition(b" ")[2])
        except ValueError:
            return None

    monkeypatch.setattr(journal, "_parse", careless)
    wrong = 0
    try:
        for checksum in damaged_runs(tmp_path, small[1]):
            wrong += checksum not in (None, small[0].checksum)
    except (ValueError, AssertionError, KeyError):
        wrong += 1
    assert wrong


def line(value, digest=None):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"{digest or hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n".encode()


def cell(name="net 0", rate="0x1.999999999999ap-4", trial=0, right=(0,) * 10, predictions=None, ber="0x0p+0"):
    return line({"cells": [[name, rate, trial, list(right), predictions, ber]]})


NO_JOURNAL, CANNOT_BE = "is not a journal of bnnsim", "the journal has a cell that cannot be"
FOREIGN = {
    "text": (lambda head: b"a letter\nto somebody\n", NO_JOURNAL),
    "no newline": (lambda head: b"a letter", NO_JOURNAL),
    "binary": (lambda head: bytes(range(256)) * 50, NO_JOURNAL),
    "longer head": (lambda head: head[:-1] + b" \n", NO_JOURNAL),
    "a list": (lambda head: line([1, 2]), NO_JOURNAL),
    "no settings": (lambda head: line({}), "is of another campaign|" + NO_JOURNAL),
    "no JSON": (lambda head: line("{"), NO_JOURNAL),
    "deep JSON": (lambda head: line("[" * 100_000), NO_JOURNAL),
    "no cells": (lambda head: head + line({"a": 1}), NO_JOURNAL),
    "cells of five": (lambda head: head + line({"cells": [[1, 2, 3]]}), NO_JOURNAL),
    "rate in words": (lambda head: head + cell(rate="much"), NO_JOURNAL),
    "huge count": (lambda head: head + cell(right=[2**70] * 10), NO_JOURNAL),
    "rate": (lambda head: head + cell(rate="0x1.8p+0"), CANNOT_BE),
    "NaN rate": (lambda head: head + cell(rate="nan"), CANNOT_BE),
    "trial": (lambda head: head + cell(trial=-1), CANNOT_BE),
    "far trial": (lambda head: head + cell(trial=10**12), CANNOT_BE),
    "half a trial": (lambda head: head + cell(trial=0.5), CANNOT_BE),
    "series": (lambda head: head + cell(name="net 7"), CANNOT_BE),
    "too many right": (lambda head: head + cell(right=[17] * 10), CANNOT_BE),
    "negative": (lambda head: head + cell(right=[-1] * 10), CANNOT_BE),
    "other classes": (lambda head: head + cell(right=[0] * 9), CANNOT_BE),
    "predictions": (lambda head: head + cell(predictions="AAAA"), CANNOT_BE),
    "error rate": (lambda head: head + cell(ber="0x1.8p+0"), CANNOT_BE),
    "NaN error rate": (lambda head: head + cell(ber="nan"), CANNOT_BE),
    "error rate in words": (lambda head: head + cell(ber="few"), NO_JOURNAL),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_journal_is_refused_and_left_alone(tmp_path, small, name):
    content, message = FOREIGN[name]
    content = content(small[1].splitlines(keepends=True)[0])
    path = journal_of(tmp_path, content)
    with pytest.raises(ValueError, match=message):
        run(out=path, resume=True, **SMALL)
    assert path.with_name("s.h5.journal").read_bytes() == content and not path.exists()


def test_a_journal_has_no_chips_beyond_the_cap_of_its_campaign(tmp_path, monkeypatch):
    """They would go into a results file that nobody can open."""
    path, settings = tmp_path / "s.h5", {"rates": [0.1], "trials": 2, "ci_width": 1.0, "max_trials": 3}
    with monkeypatch.context() as patch:
        patch.setattr(SweepResult, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(out=path, **settings)
    content = path.with_name("s.h5.journal").read_bytes()
    with pytest.raises(ValueError, match=f"{CANNOT_BE}: 'net 0', rate 0.1, trial 3"):
        run(out=journal_of(tmp_path, content + cell(trial=3)), resume=True, **settings)
    assert run(out=journal_of(tmp_path, content + cell(trial=2)), resume=True, **settings).right.shape[2] == 3


def test_a_line_without_end_is_read_in_parts_and_dropped(tmp_path, small, monkeypatch):
    """A journal of zeros, as some file systems leave after a power cut, does not fill the memory."""
    monkeypatch.setattr(journal, "MAX_LINE", 10_000)
    path = journal_of(tmp_path, small[1] + bytes(10**6))
    tracemalloc.start()
    assert run(out=path, resume=True, **SMALL).checksum == small[0].checksum
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 700_000


# ---------------------------------------------------------------- whose files

ANOTHER = {
    "seed": (dict(rng=6), "seed is '5' there and '6' here"),
    "network": (dict(nets={"net 0": networks()["net 1"], "net 1": networks()["net 0"]}),
                "series 'net 0': network is '.{64}' there and '.{64}' here; series 'net 1'"),
    "name": (dict(nets={"net 0": networks()["net 0"]}), "series 'net 1' is only there"),
    "more networks": (dict(nets={**networks(), "new": networks()["net 0"]}), "series 'new' is only here"),
    "split": (dict(data=split(seed=1, name="other")), "split is 'random' there and 'other' here; .*split_sha256 is"),
    "images": (dict(data=split(15)), "n_images is 16 there and 15 here"),
    "fault": (dict(faults=BitFlips(0, layers=(0,))), r"fault is 'BitFlips\(p=0.0, layers=None\)' there and .*\(0,\)"),
    "predictions": (dict(predictions=True), "predictions is False there and True here"),
    "stopping": (dict(ci_width=0.1), "stopping is None there and {'ci_width': 0.1"),
}


@pytest.mark.parametrize("name", ANOTHER)
@pytest.mark.parametrize("ending", ["s.h5", "s.h5.journal"])
def test_another_campaign_s_files_are_refused_with_what_differs(tmp_path, small, name, ending):
    """Neither file is touched, and no second one appears: the right campaign can go on."""
    changes, message = ANOTHER[name]
    path = tmp_path / "s.h5"
    small[0].save(path) if ending == "s.h5" else journal_of(tmp_path, small[1])
    before = (tmp_path / ending).read_bytes()
    with pytest.raises(ValueError, match=f"s.h5 is of another campaign: .*{message}"):
        run(out=path, resume=True, **{**SMALL, **changes})
    assert os.listdir(tmp_path) == [ending] and (tmp_path / ending).read_bytes() == before
    assert run(out=path, resume=True, **SMALL).checksum == small[0].checksum


def test_existing_files_are_refused_without_resume(tmp_path, small):
    for ending in ("s.h5", "s.h5.journal"):
        tmp_path.joinpath(ending).write_bytes(b"precious")
        with pytest.raises(FileExistsError, match=f"{ending} exists: resume it .*, or give another name"):
            run(out=tmp_path / "s.h5", **SMALL)
        assert tmp_path.joinpath(ending).read_bytes() == b"precious" and os.listdir(tmp_path) == [ending]
        tmp_path.joinpath(ending).unlink()


def test_a_damaged_results_file_is_refused_and_left_alone(tmp_path, small):
    path = tmp_path / "s.h5"
    small[0].save(path)
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"", b"precious"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="s.h5"):
            run(out=path, resume=True, **SMALL)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["s.h5"]


HOLDER = """
import sys, time
from bnnsim.campaign.journal import Journal
journal = Journal(sys.argv[1], {}, print)
journal.add({})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_campaign_that_another_process_runs_is_refused(tmp_path, small):
    """Two of them would do all twice, and mix their lines. The lock ends with its process."""
    path = tmp_path / "s.h5"
    small[0].save(path)
    before = path.read_bytes()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=env) as process:
        assert process.stdout.readline() == b"held\n"
        content = Path(f"{path}.journal").read_bytes()
        with pytest.raises(OSError, match="s.h5.journal is in use by another process: wait for it, or write to anot"):
            run(out=path, resume=True, **SMALL)
        assert (path.read_bytes(), Path(f"{path}.journal").read_bytes()) == (before, content)
        process.kill()
    Path(f"{path}.journal").unlink()
    assert run(out=path, resume=True, **SMALL).checksum == small[0].checksum


def test_a_forked_worker_does_not_hold_the_lock_of_a_killed_campaign(tmp_path):
    """Workers of a forked pool live on when the campaign is killed, and would lock out the one that resumes."""
    first = journal.Journal(tmp_path / "s.h5", {"a": 1}, print)
    first.add({})
    ready = os.pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.write(ready[1], b"!")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(ready[0], 1) == b"!"
        first._file.close()                                      # as a kill does, without unlocking
        again = journal.Journal(tmp_path / "s.h5", {"a": 1}, lambda stored: None)
        again.close(remove=True)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for end in ready:
            os.close(end)


def test_a_lock_on_a_journal_just_removed_is_not_taken_for_one(tmp_path, monkeypatch):
    """Between opening and locking, its holder ended and removed it: a second process would lock a new one."""
    path, locked = tmp_path / "s.h5", []

    class Fcntl:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(file, _):
            if not locked:
                os.unlink(f"{path}.journal")
            locked.append(file)

    monkeypatch.setattr(locks, "fcntl", Fcntl)
    found = journal.Journal(path, {}, print)
    assert len(locked) == 2 and os.path.samestat(os.fstat(found._file.fileno()), os.stat(f"{path}.journal"))
    found.close()
    assert not os.listdir(tmp_path)


def test_links_lead_to_one_journal(tmp_path):
    """Two names of one file: while the campaign of one is under way, the other's is refused; nothing is lost."""
    path, link = tmp_path / "s.h5", tmp_path / "link.h5"
    link.symlink_to(path)
    held = journal.Journal(path, {}, print)
    with pytest.raises(OSError, match="s.h5.journal is in use by another process"):
        journal.Journal(link, {}, print)
    held.close()
    assert run(out=link, **SMALL).checksum == SweepResult.load(path).checksum and link.is_symlink()
    with pytest.raises(FileExistsError, match="link.h5 exists"):
        run(out=link, **SMALL)


def test_a_disk_without_locks_is_said_and_nothing_is_left(tmp_path, monkeypatch, small):
    class Fcntl:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(file, _):
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "fcntl", Fcntl)
    for there in (b"", small[1]):
        path = journal_of(tmp_path, there)
        with pytest.raises(OSError, match="s.h5.journal cannot be locked .No locks available.* write to a disk of"):
            run(out=path, resume=True, **SMALL)
        assert os.listdir(tmp_path) == ["s.h5.journal"] * bool(there)


OUTSIDE = [
    (dict(provenance={"config": Path("a.toml")}), TypeError, "provenance must be plain JSON"),
    (dict(provenance={"share": float("nan")}), ValueError, "provenance must be plain JSON"),
    (dict(ci_width=1e-7), ValueError, "ci_width must be >= 1e-06"),
]


@pytest.mark.parametrize("settings, error, message", OUTSIDE, ids=range(len(OUTSIDE)))
def test_what_no_file_can_hold_is_said_before_the_work(tmp_path, monkeypatch, settings, error, message):
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("work was done that cannot be stored"))
    with pytest.raises(error, match=message):
        run(out=tmp_path / "s.h5", **SMALL, **settings)
    assert not os.listdir(tmp_path)


def test_a_table_is_no_file_to_go_on_from(tmp_path):
    with pytest.raises(ValueError, match="out must be an HDF5 file.*got '.*s.CSV': name it results.h5"):
        run(out=tmp_path / "s.CSV", **SMALL)
    assert not os.listdir(tmp_path)


def test_predictions_of_more_classes_than_a_byte_has_are_refused_and_all_else_is_right(tmp_path):
    network = pack(build("FC64 FC300", (1, 4, 4), rng=0))
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 4, 4), np.uint8)

    class Own:
        """Images with labels that a Split cannot have."""
        name, sha256 = "own", "0" * 64
        labels = network.predict(images)

        def __len__(self):
            return len(self.images)

    Own.images = images
    assert Own.labels.max() > 255 and network.accuracy(Own()) == 1
    with pytest.raises(ValueError, match="predictions are kept of up to 256 classes, one byte an image, got 300"):
        run(network, Own(), out=tmp_path / "s.h5", predictions=True, **SMALL)
    found = run(network, Own(), [0.0, 0.3], 2, out=tmp_path / "s.h5")
    assert found.accuracy[0, 0, 0] == 1 > found.accuracy[0, 1].max()
    as_many = pack(build("FC64 FC256", (1, 4, 4), rng=0))
    assert run(as_many, rates=[0.0], trials=1, predictions=True).predictions[0, 0, 0].tolist() == \
        as_many.predict(split().images).tolist()
    assert SweepResult.load(tmp_path / "s.h5").checksum == found.checksum


def test_a_read_only_folder_is_known_before_the_work(tmp_path, monkeypatch, small):
    """Simulated: root may write anywhere."""
    def refuse(path, mode="r", **settings):
        if "r" not in mode:
            raise PermissionError(13, "Permission denied", path)
        return open(path, mode, **settings)

    path = tmp_path / "s.h5"
    small[0].save(path)
    before = path.read_bytes()
    monkeypatch.setattr(locks, "open", refuse, raising=False)
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("work was done that cannot be stored"))
    with pytest.raises(PermissionError, match="Permission denied: .*s.h5.journal"):
        run(out=path, resume=True, rates=[0.2])
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["s.h5"]
    with pytest.raises(FileNotFoundError, match="its folder does not exist; make it first"):
        run(out=tmp_path / "no" / "s.h5")
