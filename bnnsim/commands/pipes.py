"""What a command does when nobody reads on what it prints, as behind ``| head -1``: it ends, and says nothing; and
where nobody reads from the start, as behind ``2>&-``, or the stream has not all letters."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from typing import TextIO

UNREAD = 141                            # what a shell sees of programs that die of SIGPIPE: 128 + 13


@contextlib.contextmanager
def ending_quietly() -> Iterator[None]:
    """What is printed inside is written whole at the end; where its reader has gone, the exit code is 141.

    Python would print a traceback, and end with 1 or 120.
    """
    _open_streams()
    try:
        yield
        print(end="", flush=True)
    except BrokenPipeError:
        if not is_unread():
            raise
        _silence()
        raise SystemExit(UNREAD) from None
    except SystemExit as stop:                                  # --help, and errors, of which standard error tells
        try:
            print(end="", flush=True)
        except OSError as error:
            _silence()
            raise SystemExit(stop.code or (UNREAD if isinstance(error, BrokenPipeError) else 1)) from None
        raise


def _open_streams() -> None:
    """A closed one takes what is printed, and drops it: Python has None there, and prints what is for standard error
    to standard output. A letter that the encoding has not, as of a file's name in ASCII, is written as \\uXXXX."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif stream.errors == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_unread() -> bool:
    """Whether nobody reads standard output or standard error any more."""
    return any(map(_has_no_reader, (sys.stdout, sys.stderr)))


def _has_no_reader(stream: TextIO) -> bool:
    try:
        stream.flush()
        if not hasattr(select, "poll"):                         # Windows
            return False
        asked = select.poll()
        asked.register(stream.fileno(), 0)                      # without buffers a flush has nothing to find out
        return any(events & select.POLLERR for _, events in asked.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError, AttributeError):               # closed, no file, or no stream
        return False


def _silence() -> None:
    """What is left in the buffers goes nowhere, else Python tries once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is sys.stdout or _has_no_reader(stream):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
