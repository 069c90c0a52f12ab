"""Commands whose reader goes away, as ``| head -1`` does, or whose standard output is full or closed."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slow_cases

import bnnsim
import bnnsim.commands.pipes as pipes
import bnnsim.evaluate as evaluate
import bnnsim.summary as summary

pytestmark = pytest.mark.skipif(os.name != "posix", reason="other systems have no SIGPIPE and no /dev/full")
FOLDER = Path(bnnsim.__file__).resolve().parent.parent


def ended(words, unbuffered=False, stdout=None, both=False, **settings):
    """(exit code, standard error) of a command; by default its standard output is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([sys.executable, *(["-u"] if unbuffered else []), "-m", *words], timeout=600,
                              stdout=write if stdout is None else stdout, stderr=write if both else subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": str(FOLDER)}, **settings)
    finally:
        os.close(write)
    return done.returncode, (done.stderr or b"").decode()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a small network and data that it takes."""
    folder = tmp_path_factory.mktemp("small")
    bnnsim.pack(bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0)).save(folder / "net.h5")
    np.savez(folder / "d.npz", images=np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), np.uint8),
             labels=np.arange(40) % 2)
    return folder


SWEEP = "bnnsim.ber_sweep net.h5 --dataset d.npz --rates 0.1 --trials 2 --quiet"
EVALUATION = "bnnsim evaluate net.h5 --dataset d.npz --format csv"


@pytest.mark.parametrize("words, unbuffered, both", slow_cases.first(5, [
    ("bnnsim", False, False), ("bnnsim", True, True), ("bnnsim.summary net.h5", False, False),
    ("bnnsim.summary net.h5", True, True), (SWEEP, True, True), (SWEEP, False, False), (EVALUATION, True, True),
    (EVALUATION, False, False)]))
def test_it_ends_quietly_when_nobody_reads(small, words, unbuffered, both):
    assert ended(words.split(), unbuffered, both=both, cwd=small) == (pipes.UNREAD, "")


def test_help_and_errors_too(small):
    assert ended(["bnnsim.plot", "--help"]) in ((0, ""), (pipes.UNREAD, ""))
    code, said = ended(["bnnsim.summary", "none.h5"], cwd=small)
    assert code == 2 and said.count("\n") == 1 and "No such file or directory: 'none.h5'" in said


@pytest.mark.slow
def test_files_are_written_all_the_same(small):
    """A training of hours printed first, and was lost."""
    words = "bnnsim.train --dataset d.npz --network FC8_FC2 --epochs 1 --quiet --out new.h5 --plot new.png"
    assert ended([word.replace("_", " ") for word in words.split()], unbuffered=True, cwd=small) == (pipes.UNREAD, "")
    assert bnnsim.PackedNetwork.load(small / "new.h5").n_classes == 2 and (small / "new.png").is_file()
    words = ["bnnsim.evaluate", "net.h5", "--dataset", "d.npz", "--out", "new.csv"]
    assert ended(words, unbuffered=True, cwd=small) == (pipes.UNREAD, "") and (small / "new.csv").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told_in_one_line(small):
    with open("/dev/full", "wb") as full:
        code, said = ended(["bnnsim.summary", "net.h5"], stdout=full, cwd=small)
        assert code == 2 and said.endswith("error: No space left on device\n") and said.count("\n") == 1
        code, said = ended(["bnnsim.summary", "none.h5"], stdout=full, cwd=small)
        assert code == 2 and "No such file" in said and said.count("\n") == 1


def test_without_a_standard_output_it_works(small):
    found = subprocess.run(f"{sys.executable} -m bnnsim.summary net.h5 >&-", shell=True, capture_output=True, cwd=small,
                           env={**os.environ, "PYTHONPATH": str(FOLDER)}, timeout=600)
    assert (found.returncode, found.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_takes_what_is_printed_to_it(closed, small, capsys, monkeypatch):
    """Notes for a closed standard error stood in the JSON, and csv to a closed standard output was "a bug"."""
    monkeypatch.chdir(small)
    monkeypatch.setattr(sys, closed, None)
    assert evaluate.main([*EVALUATION.split()[2:-1], "json" if closed == "stderr" else "csv", "--limit", "1"]) == 0
    getattr(sys, closed).close()
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["network"] == "net" if closed == "stderr" else "note: --limit 1" in said.err


def test_letters_that_the_terminal_has_not_are_escaped(small, monkeypatch):
    (small / "\u65e5.h5").write_bytes((small / "net.h5").read_bytes())
    monkeypatch.chdir(small)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert summary.main(["\u65e5.h5"]) == 0
    assert b"\\u65e5.h5" in sys.stdout.buffer.getvalue()


def test_another_broken_pipe_is_an_error(capsys):
    """Of a worker, or of a network: only standard output's reader may go away."""
    with pytest.raises(BrokenPipeError, match="a worker's"), pipes.ending_quietly():
        raise BrokenPipeError("a worker's")
