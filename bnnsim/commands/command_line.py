"""What every command line does: parse by a table of options, settle their values, work, and say one line on failure."""

import argparse
import contextlib
import logging
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Never

import bnnsim.commands.errors as errors
import bnnsim.commands.pipes as pipes
from bnnsim.commands.config import load_config
from bnnsim.commands.options import CONFIG, DEBUG, FORCE, LOG, QUIET, Option, as_given, settle
from bnnsim.commands.outputs import claimed_outputs


class Parser(argparse.ArgumentParser):
    """A parser that knows its table of options, and whose errors are one line."""

    table: tuple[Option, ...] = ()
    module: str

    def error(self, message: str) -> Never:
        """End with exit code 2."""
        self.exit(errors.BAD_INPUT, f"{self.prog}: error: {message}\n")


def parser(module: str, doc: str | None, table: Sequence[Option]) -> Parser:
    """A parser of these options for ``python -m bnnsim.<module>``, described by that module's docstring."""
    first, _, rest = (doc or "").partition("\n")                # python -OO has no docstrings
    made = Parser(called(module), description=first, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.module, made._negative_number_matcher = module, re.compile(r"-\.?\d")      # as of Python 3.14: --values -1,2
    made.epilog = "\n\n".join(filter(None, (rest.strip("\n"), errors.EXIT_CODES)))
    made.table = (*table, *([FORCE] if any(option.outputs for option in table) else []), CONFIG, QUIET, LOG, DEBUG)
    for option in made.table:
        option.add_to(made)
    return made


def called(module: str) -> str:
    """What is typed for a command, as it was: ``bnnsim X``, or ``python -m bnnsim.X``."""
    folder, file = os.path.split(sys.argv[0])
    is_part = os.path.splitext(file)[0] == "bnnsim" or (file == "__main__.py" and os.path.basename(folder) == "bnnsim")
    return f"bnnsim {module}" if is_part else f"python -m bnnsim.{module}"


def run(parser: Parser, work: Callable[[argparse.Namespace], None], argv: Sequence[str] | None) -> int:
    """Parse and call ``work(options)``; what fails ends with an exit code (see --help) and one line."""
    with pipes.ending_quietly():
        return _run(parser, work, argv)


def _run(parser: Parser, work: Callable[[argparse.Namespace], None], argv: Sequence[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(argv)
    options.command = f"python -m bnnsim.{parser.module} {shlex.join(argv)}".rstrip()
    debug, stopped_by = errors.debug_asked(bool(options.debug)), [signal.SIGINT]
    with _heeded(stopped_by):
        try:
            settle(options, parser.table, load_config(options.config, parser.table) if options.config else {})
            if options.log:
                logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
            with claimed_outputs(options, parser.table), _compiling_said(options), warnings.catch_warnings():
                warnings.simplefilter("default", UserWarning)    # notices, also under PYTHONWARNINGS=error
                warnings.showwarning = lambda message, *_, **__: print(f"{parser.prog}: note: {message}",
                                                                       file=sys.stderr)
                work(options)
                print(end="", flush=True)                        # a full disk is told here, as errors are
        except KeyboardInterrupt as stop:
            parser.exit(128 + stopped_by[-1], f"{parser.prog}: {str(stop) or 'interrupted'}\n")
        except Exception as error:
            if isinstance(error, BrokenPipeError) and pipes.is_unread():
                raise
            parser.exit(*errors.report(error, parser.prog, debug, lambda said: as_given(said, options, parser.table)))
    return errors.DONE


@contextlib.contextmanager
def _compiling_said(options: argparse.Namespace) -> Iterator[None]:
    """Inside, standard error says so, once, when kernels are compiled; not with --quiet, and --log says it anyway."""
    logger, handler = logging.getLogger("bnnsim.kernels"), logging.StreamHandler()
    wanted, level = not options.quiet and not options.log, logger.level
    if wanted:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Stopped(KeyboardInterrupt):
    """A class of our own: CPython notes a plain one that leaves an ``exec`` of text, as many imports do, and dies of
    SIGINT at the end whatever exit code was asked for."""


@contextlib.contextmanager
def _heeded(stopped_by: list[signal.Signals]) -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP do what Ctrl-C does at that moment, and are added to a list.

    Not where somebody ignores or handles them already (nohup), and in the main thread only: no other hears signals.
    """
    def handle(number: int, frame: FrameType | None) -> None:
        stopped_by.append(signal.Signals(number))
        at_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(at_ctrl_c) or at_ctrl_c is signal.default_int_handler:   # in a shell's background it is ignored
            raise _Stopped
        at_ctrl_c(number, frame)

    is_main = threading.current_thread() is threading.main_thread()
    numbers = [number for name in ("SIGTERM", "SIGHUP") if is_main and (number := getattr(signal, name, None))
               and signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
