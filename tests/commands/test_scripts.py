"""`run`, by which examples end: what somebody foresaw is one line and an exit code, all else keeps its traceback."""

import subprocess
import sys

import pytest

import bnnsim.checks as checks
from bnnsim.commands.scripts import run


def refused():
    checks.check_int("n", 0, 1)


def interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize("main, code, line", [
    (refused, 2, "mine.py: error: n must be >= 1, got 0"),
    (lambda: open("no/such/file"), 2, "mine.py: error: No such file or directory: 'no/such/file'"),
    (interrupted, 130, "mine.py: interrupted"),
])
def test_what_was_foreseen_is_one_line(main, code, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["examples/mine.py"])
    monkeypatch.delenv("BNNSIM_DEBUG", raising=False)
    with pytest.raises(SystemExit) as stop:
        run(main)
    assert (stop.value.code, capsys.readouterr().err) == (code, f"{line}\n")


def test_a_mistake_in_a_script_keeps_its_traceback(monkeypatch, capsys):
    """And so does what was foreseen, where BNNSIM_DEBUG asks for it."""
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    monkeypatch.setenv("BNNSIM_DEBUG", "1")
    with pytest.raises(SystemExit, match="2"):
        run(refused)
    assert "Traceback" in capsys.readouterr().err


def test_a_script_whose_output_nobody_reads_ends_quietly():
    code = "from bnnsim.commands.scripts import run\nrun(lambda: [print(i) for i in range(100_000)])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")
