"""What the examples share with the command lines: what was typed, and where they leave their files, is found out before
the work, and what ends them is one line. The examples import it, and no module."""

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Never

import bnnsim.commands.errors as errors
import bnnsim.commands.pipes as pipes
import bnnsim.files.atomic as atomic


def made_folder(text: str) -> Path:
    """A folder, made if it is not there.

    Raises
    ------
    argparse.ArgumentTypeError
        Where it cannot be made, or takes no files.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--out", type=made_folder, default=".")
    >>> parser.parse_args([]).out.is_dir()
    True
    """
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot make the folder {text}: {error.strerror}") from error
    if not os.access(text, os.W_OK):
        raise argparse.ArgumentTypeError(f"the folder {text} is read-only")
    return Path(text)


def count(text: str) -> int:
    """How many of something: an integer of at least 1.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> count("20")
    20
    """
    if not text.isdecimal() or not (number := int(text)):
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return number


def fraction(text: str) -> float:
    """A probability, or a share of something: a number from 0 to 1.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> fraction("0.05")
    0.05
    """
    return _number(text, "from 0 to 1", lambda number: 0 <= number <= 1)


def positive(text: str) -> float:
    """A finite number above 0, such as volts.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> positive("1.2")
    1.2
    """
    return _number(text, "above 0", lambda number: 0 < number < math.inf)


def _number(text: str, wanted: str, fits: Callable[[float], bool]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):                                        # NaN fails here too
        raise argparse.ArgumentTypeError(f"must be a number {wanted}, got {text!r}")
    return number


def new_file(text: str) -> Path:
    """A file that can be written; its folder is there."""
    try:
        atomic.check_creatable(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{error.strerror}: {error.filename}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


def run(main: Callable[[], None]) -> None:
    """Call `main`; a data set that is not known, a bad file, Ctrl-C: one line and an exit code, as of the commands.

    What nobody foresaw is a mistake in the script or in bnnsim, and keeps its traceback.

    Examples
    --------
    >>> run(lambda: print("done"))
    done
    """
    program = os.path.basename(sys.argv[0])
    with pipes.ending_quietly():
        try:
            main()
        except KeyboardInterrupt as stop:
            _end(128 + signal.SIGINT, f"{program}: {str(stop) or 'interrupted'}\n")
        except Exception as error:
            if not errors.is_expected(error) or (isinstance(error, BrokenPipeError) and pipes.is_unread()):
                raise
            _end(*errors.report(error, program, errors.debug_asked(False)))


def _end(code: int, text: str) -> Never:
    sys.stderr.write(text)
    raise SystemExit(code) from None
