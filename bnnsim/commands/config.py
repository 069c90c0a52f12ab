"""Campaigns from a JSON file: a key an option of ``ber_sweep``; lists of networks, datasets, rates and layers are axes.

    {"networks": ["fcnn.h5", "cnn.h5"], "datasets": ["fashion"], "rates": [0, 1e-3, 0.1], "layers": ["all", [0]],
     "trials": 20, "seed": 7, "out": "sweep.h5"}

Which keys there are, and what each takes, is said by the command's table of options.
"""

import os
from collections.abc import Iterable
from typing import Any

from bnnsim.checks import FilePath, check_choice
from bnnsim.commands.options import Option
from bnnsim.files.json_text import parse_json

MAX_BYTES = 2**20


def load_config(path: FilePath, table: Iterable[Option]) -> dict[str, Any]:
    """Read and check a configuration file.

    Parameters
    ----------
    path : str or os.PathLike
    table : sequence of Option
        Those of scope "result" and "run" are the keys.

    Returns
    -------
    dict of option name to value, in its clean form

    Raises
    ------
    ValueError, TypeError
        Naming the file and the key, what was wanted and what came.
    """
    path, keys = os.fspath(path), {option.name: option for option in table if option.scope != "once"}
    if os.path.isdir(path):
        raise ValueError(f"--config must be a file, got the folder {path}")
    with open(path, encoding="utf-8") as file:
        try:
            read = file.read(MAX_BYTES + 1)                      # of a pipe or a device no size is known before
            if len(read) > MAX_BYTES:
                raise ValueError(f"it must have at most {MAX_BYTES} bytes, and has more")
            found = parse_json(read)
        except ValueError as error:
            raise ValueError(f"{path} must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(found).__name__}")
    checked = {}
    for key, value in found.items():
        try:
            checked[key] = keys[check_choice("a key", key, keys)].checked(value, key)
        except (ValueError, TypeError) as error:
            error.args = (f"{path}: {error}",)
            raise
    return checked
