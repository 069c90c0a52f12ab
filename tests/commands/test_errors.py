"""What fails says so in one line: bad input is told from a bug, and --debug shows where either came from."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bnnsim.__main__ as __main__
import bnnsim.ber_sweep as ber_sweep
import bnnsim.checks as checks
import bnnsim.commands.errors as errors
import bnnsim.commands.inputs as inputs
import bnnsim.evaluate as evaluate
from bnnsim.faults import BitFlips

ROOT = Path(__file__).resolve().parent.parent.parent


def ended(capsys, module, *arguments):
    """(exit code, standard error) of a command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        module.main([str(each) for each in arguments])
    return stop.value.code, capsys.readouterr().err


def caught(call):
    """The error of a call."""
    with pytest.raises(Exception) as found:
        call()
    return found.value


def foreign():
    """An error that NumPy raises, in a function of this test."""
    return np.zeros(3) + np.zeros(4)


def in_a_pool(call):
    """The error of a call in another process, as it comes back."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(call).result()


def refused_elsewhere():
    return checks.check_int("n", "three")


EXPECTED = {
    "a check": lambda: checks.check_int("n", 1.5),
    "a check, in several lines": lambda: checks.check_choice("name", 3, ["a"]),
    "a check in a thread": lambda: ThreadPoolExecutor(1).submit(refused_elsewhere).result(),
    "a check in a process": lambda: in_a_pool(refused_elsewhere),
    "a file": lambda: open("no/such/file"),
    "too little memory": lambda: np.zeros(2**57),
}
UNEXPECTED = {
    "NumPy's": lambda: np.zeros(3) + np.zeros(4),
    "NumPy's, called in bnnsim": lambda: checks.check_finite("x", "text"),
    "a wrong call of bnnsim": lambda: checks.check_int("n"),
    "a conversion in bnnsim": lambda: errors._frames(None),
    "another type": lambda: {}["a"],
    "another's raise": lambda: foreign(),
    "NumPy's in a process": lambda: in_a_pool(foreign),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_bnnsim_refuses_is_expected(name):
    assert errors.is_expected(caught(EXPECTED[name]))


@pytest.mark.parametrize("name", UNEXPECTED)
def test_what_nobody_foresaw_is_not(name):
    """Also where its type is that of a refusal."""
    assert not errors.is_expected(caught(UNEXPECTED[name]))


def test_an_error_in_the_message_of_a_refusal_is_not_expected(tmp_path, monkeypatch):
    """The statement is a raise, but what failed is inside of it."""
    path = tmp_path / "inner.py"
    path.write_text("def f(x):\n    raise ValueError(f'must be a number, got '\n                     f'{x:d}')\n")
    monkeypatch.setattr(errors, "PACKAGE", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import inner
    assert errors.is_expected(caught(lambda: inner.f(3)))
    assert not errors.is_expected(caught(lambda: inner.f("3")))


def broken(*_):
    raise KeyError("nothing of that name")


def test_an_unexpected_error_says_so_in_one_line_with_its_place(capsys, monkeypatch):
    monkeypatch.setattr(inputs.PackedNetwork, "load", broken)
    code, error = ended(capsys, evaluate)
    assert code == 1 and error.count("\n") == 1
    assert error.startswith("python -m bnnsim.evaluate: unexpected error, a bug in bnnsim or something that it did not "
                            "foresee: KeyError at bnnsim/commands/inputs.py:")
    assert ", in load_networks: 'nothing of that name'; --debug shows the traceback" in error


@pytest.mark.parametrize("by", ["option", "environment"])
def test_debug_shows_the_traceback_of_any_error(by, capsys, monkeypatch):
    if by == "environment":
        monkeypatch.setenv("BNNSIM_DEBUG", "1")
    more = ["--debug"] if by == "option" else []
    code, error = ended(capsys, evaluate, "missing.h5", *more)
    assert code == 2 and error.startswith("Traceback (most recent call last)") and error.splitlines()[-1].startswith(
        "python -m bnnsim.evaluate: error: ")
    monkeypatch.setattr(inputs.PackedNetwork, "load", broken)
    code, error = ended(capsys, evaluate, *more)
    assert code == 1 and "in broken" in error and "--debug" not in error.splitlines()[-1]


def test_bnnsim_debug_can_be_off(monkeypatch):
    for value, wanted in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("BNNSIM_DEBUG", value)
        assert errors.debug_asked(False) is wanted and errors.debug_asked(True)


def test_a_refusal_in_a_worker_process_is_one_line(capsys):
    """A layer that the network does not have is found out where the cell is run; the fault's layers, no --layers."""
    code, error = ended(capsys, ber_sweep, "--fault", "BitFlips(0, layers=[7])", "--workers", "1", "--trials", "1",
                        "--rates", "0.1", "--quiet")
    assert code == 2 and error.count("\n") == 1 and "error: layers must be in 0..2, got (7,)" in error


def test_a_worker_may_have_another_copy_of_bnnsim():
    """As a process that was started in a clone, or on another machine."""
    ours, theirs = errors.PACKAGE / "faults" / "by_layer.py", "/else/site-packages/bnnsim/faults/by_layer.py"
    line = 1 + next(i for i, text in enumerate(ours.read_text().splitlines()) if text.lstrip().startswith("raise "))

    class _RemoteTraceback(Exception):
        pass

    def said_by(path):
        error = ValueError("layers must be in 0..2")
        error.__cause__ = _RemoteTraceback(f'\n  File "{path}", line {line}, in chosen\n')
        return error
    assert errors.is_expected(said_by(theirs)) and errors.is_expected(said_by(ours))
    assert not errors.is_expected(said_by("/else/bnnsim/faults/nothing.py"))


def test_a_bug_in_a_cell_is_unexpected(capsys, monkeypatch):
    monkeypatch.setattr(BitFlips, "apply_each", foreign)
    code, error = ended(capsys, ber_sweep, "--trials", "1", "--rates", "0.1", "--quiet")
    assert code == 1 and "unexpected error" in error and "TypeError at bnnsim/campaign/" in error


@pytest.mark.parametrize("name", __main__.COMMANDS)
def test_every_help_tells_the_exit_codes_and_debug(name, capsys):
    module = __import__(f"bnnsim.{name}", fromlist=["main"])
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    printed = capsys.readouterr().out
    assert stop.value.code == 0 and printed.endswith(f"{errors.EXIT_CODES}\n") and "--debug" in printed
    assert all(str(code) in errors.EXIT_CODES for code in (0, 1, 2, 130))


LIGHT = [name for name in __main__.COMMANDS if name != "train"]           # its help names what bnnsim.training has


@pytest.mark.parametrize("name", LIGHT)
def test_help_loads_nothing_heavy(name):
    """--help and completion come at once: what works is loaded when there is work."""
    code = (f"import bnnsim.{name} as command, sys; command.arguments().format_help(); "
            "print(*{name.split('.')[0] for name in sys.modules})")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}).stdout.split()
    assert not {"numba", "scipy", "h5py", "matplotlib", "tqdm"} & set(loaded) and "numpy" in loaded
