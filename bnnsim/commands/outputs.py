"""The files that a command makes: known, possible and claimed before the work starts, which may take hours."""

import argparse
import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import bnnsim.files.atomic as atomic

if TYPE_CHECKING:
    from bnnsim.commands.options import Option


def check_outputs(options: argparse.Namespace, table: Iterable["Option"]) -> list[str]:
    """The files that are to be made: all can be, and none is there or made twice; before the work, not after it."""
    made: dict[str, "Option"] = {}
    for option in table if not getattr(options, "dry_run", False) else ():
        value = getattr(options, option.name)
        for path in option.outputs(value, options) if option.outputs and value else ():
            target = atomic.check_creatable(path)
            if os.path.exists(target) and not options.force:
                raise FileExistsError(f"{option.typed}: {path} exists: --force replaces it")
            if os.path.exists(target) and _took_hours(target):
                raise FileExistsError(f"{option.typed}: {path} is a checkpoint, or the results of a sweep, which "
                                      "--force does not replace: move it away, or give another name")
            if target in made:
                raise ValueError(f"{made[target].typed} and {option.typed} must be two files, got {path} for both")
            made[target] = option
    return list(made)


def _took_hours(path: str) -> bool:
    """Whether a file is a checkpoint or the results of a sweep."""
    import bnnsim.files.file_format as file_format
    import bnnsim.files.hdf5 as hdf5

    try:
        with hdf5.open_file(path) as file:
            return file_format.read_kind(file) in ("bnnsim-checkpoint", "bnnsim-results")
    except (ValueError, OSError):                                # anything else, damaged or not
        return False


@contextlib.contextmanager
def claimed_outputs(options: argparse.Namespace, table: Iterable["Option"]) -> Iterator[None]:
    """Inside, the files that are to be made are this process's: two that make one file would lose one of them."""
    import bnnsim.files.locks as locks

    with contextlib.ExitStack() as held:
        for target in check_outputs(options, table):
            held.callback(locks.close_and_remove, locks.claim(target))
        check_outputs(options, table)                            # what the last holder has made is there by now
        yield
