"""What a command says when it fails: one line; with --debug, or BNNSIM_DEBUG=1, the traceback before it.

An error is *expected* where somebody foresaw it: files, disks, networks and memory fail (OSError, MemoryError), and
what was typed is refused by a ``raise`` of bnnsim's own, with a message for whoever typed it. All others are
*unexpected*, whatever their message says: a TypeError of NumPy, a wrong call inside of bnnsim, a KeyError, an error
that another library raises. They are a bug in bnnsim, or something that nobody thought of, and the line says so.
"""

import linecache
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

DONE, FAILED, BAD_INPUT = 0, 1, 2
EXIT_CODES = f"""\
exit codes:
  {DONE:<4} done
  {FAILED:<4} failed though the input is good: no download, or an unexpected error, which --debug shows in full
  {BAD_INPUT:<4} bad input, or a file, a disk or a worker that failed: one line says which
  130  Ctrl-C; 143 SIGTERM, 129 SIGHUP: all three keep what is done
  141  nobody reads on what is printed, as behind "| head"; files are written"""


def is_expected(error: BaseException) -> bool:
    """Whether somebody foresaw this error: see the top of this file."""
    if isinstance(error, (OSError, MemoryError)):
        return True
    if not isinstance(error, (ValueError, TypeError, FloatingPointError)):
        return False
    frame = _frames(error)[-1]
    statement = linecache.getline(frame.filename, frame.lineno or 0)[frame.colno or 0:]
    return _is_ours(frame) and statement.lstrip().startswith("raise ")


def _words(error: BaseException) -> str:
    """What an error says; of the system's without their numbers, "[Errno 13]"."""
    return re.sub(r"^\[(Errno|WinError) -?[0-9]+\] ", "", str(error)) if isinstance(error, OSError) else str(error)


def report(error: BaseException, program: str, debug: bool,
           as_given: Callable[[str], str] = str) -> tuple[int, str]:
    """(exit code, text for standard error) of whatever ended a command; `as_given` names options in it."""
    shown = "".join(traceback.format_exception(error)) if debug else ""
    said = as_given(" ".join(_words(error).split()))
    if is_expected(error):
        return getattr(error, "exit_code", BAD_INPUT), f"{shown}{program}: error: {said}\n"
    frame = next(filter(_is_ours, reversed(_frames(error))))
    where = f"{Path(frame.filename).relative_to(PACKAGE.parent)}:{frame.lineno}, in {frame.name}"
    more = "" if debug else "; --debug shows the traceback"
    return FAILED, (f"{shown}{program}: unexpected error, a bug in bnnsim or something that it did not foresee: "
                    f"{type(error).__name__} at {where}: {said}{more}\n")


def debug_asked(option: bool) -> bool:
    """Whether tracebacks are to be shown: by --debug, or by the environment."""
    return option or os.environ.get("BNNSIM_DEBUG", "0") not in ("", "0")


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return PACKAGE in Path(frame.filename).parents


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Where it was raised, last; in a worker process, if it was there: its traceback came along as text."""
    frames = list(traceback.extract_tb(error.__traceback__))
    if type(error.__cause__).__name__ == "_RemoteTraceback":                # of concurrent.futures
        frames += [traceback.FrameSummary(_here(path), int(line), name) for path, line, name in
                   re.findall(r'^  File "(.+)", line (\d+), in (.+)$', str(error.__cause__), re.MULTILINE)]
    return frames


def _here(path: str) -> str:
    """The file of this bnnsim that a worker's path names: another process may have imported another copy."""
    before, found, inside = path.replace(os.sep, "/").rpartition("/bnnsim/")
    return str(PACKAGE / inside) if found and (PACKAGE / inside).is_file() else path
