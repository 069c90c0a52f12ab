"""What the command lines share: one clear line and exit code 2 for bad input, and how rates are written."""

import argparse
import logging
import shlex
import sys
import warnings

import numpy as np

import bnnsim.files.atomic as atomic
from bnnsim.checks import check_int, check_probability

log = logging.getLogger("bnnsim")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser(module, text):
    """A parser for ``python -m bnnsim.<module>``, described by that module's docstring."""
    first, _, rest = (text or "").partition("\n")               # python -OO has no docstrings
    return Parser(f"python -m bnnsim.{module}", description=first, epilog=rest.strip("\n"),
                  formatter_class=argparse.RawDescriptionHelpFormatter)


def run(parser, work, argv):
    """Parse and call ``work(options)``; bad input ends with 2, Ctrl-C with 130, each with one line."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(argv)
    if getattr(options, "log", None):
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.command = f"{parser.prog} {shlex.join(argv)}".rstrip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)        # notices, also under PYTHONWARNINGS=error
            warnings.showwarning = lambda message, *_, **__: print(f"{parser.prog}: note: {message}", file=sys.stderr)
            work(options)
    except KeyboardInterrupt as stop:
        parser.exit(130, f"{parser.prog}: {str(stop) or 'interrupted'}\n")
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError) as error:
        parser.exit(getattr(error, "exit_code", 2), f"{parser.prog}: error: {' '.join(str(error).split())}\n")
    return 0


def parse_probabilities(name, text):
    """Probabilities separated by commas; one alone is returned as a float."""
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be a probability, or several separated by commas, got {text!r}") from None
    values = [check_probability(name, value) for value in values]
    return values if len(values) > 1 else values[0]


def check_target(path, endings):
    """A file to be written: known ending, a folder that takes it; found out before the work, not after it."""
    if path is None:
        return
    if not path.lower().endswith(endings):
        raise ValueError(f"{path!r} must end in {' or '.join(endings)}")
    atomic.check_target(path)


def parse_rates(text):
    """Bit error rates: '1e-3,0.01,0.1', or start:stop:count in equal log steps; 0 is always added.

    Returns
    -------
    list of float, ascending

    Examples
    --------
    >>> parse_rates("0.001:0.1:3")
    [0.0, 0.001, 0.01, 0.1]
    """
    try:
        if ":" in text:
            start, stop, count = text.split(":")
            start, stop = (check_probability("rates", float(value)) for value in (start, stop))
            if not 0 < start < stop:
                raise ValueError(f"rates start:stop:count need 0 < start < stop, got {text!r}")
            values = np.geomspace(start, stop, check_int("count", int(count), 2, 10_000))
            rates = [float(f"{value:.4g}") for value in values]
        else:
            rates = [check_probability("rates", float(value)) for value in text.split(",")]
    except ValueError as error:
        if "rates" in str(error) or "count" in str(error):
            raise
        raise ValueError(f"rates must be numbers such as '1e-3,0.01' or start:stop:count such as 1e-4:0.3:13, got "
                         f"{text!r}") from None
    return sorted({0.0, *rates})
