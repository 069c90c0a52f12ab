"""``type=`` of argparse options that say where a script leaves its files: found out before the work, told in a line."""

import argparse
import os
from pathlib import Path

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


def new_file(text: str) -> Path:
    """A file that can be written; its folder is there."""
    try:
        atomic.check_creatable(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{error.strerror}: {error.filename}") from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)
