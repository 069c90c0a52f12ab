"""Campaigns from a JSON file: a key an option of ``ber_sweep``; lists of networks, datasets, rates and layers are axes.

    {"networks": ["fcnn.h5", "cnn.h5"], "datasets": ["fashion"], "rates": [0, 1e-3, 0.1], "layers": ["all", [0]],
     "trials": 20, "seed": 7, "out": "sweep.h5"}
"""

import os

from bnnsim.checks import check_choice, check_int, check_probability, check_real
from bnnsim.files.json_text import parse_json

MAX_BYTES = 2**20


def _path(name, value):
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a path, got {value!r}")
    return value


def _flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r}")
    return value


def _axis(check):
    """A list of at least one value, or one value alone."""
    def checked(name, value):
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(f"{name} must have at least one value, got []")
        return [check(f"{name}[{i}]", item) for i, item in enumerate(values)]
    return checked


def check_layers(name, value):
    """"all", or a list of layer numbers."""
    if value == "all":
        return "all"
    if not isinstance(value, list) or not value:
        raise TypeError(f"{name} must be \"all\" or a list of layer numbers, got {value!r}")
    return [check_int(name, i, 0) for i in value]


def _rates(name, value):
    """A list of probabilities, or text as on the command line."""
    if isinstance(value, str):
        return value
    return ",".join(repr(check_probability(item_name, item)) for item_name, item in
                    ((f"{name}[{i}]", item) for i, item in enumerate(_axis(lambda _, v: v)(name, value))))


SCHEMA = {
    "networks": _axis(_path), "datasets": _axis(lambda name, value: check_choice(
        name, value, ("fashion", "mnist", "cifar10", "fashion-subset"))),
    "data": _path, "rates": _rates, "layers": _axis(check_layers),
    "trials": lambda name, value: check_int(name, value, 1), "seed": lambda name, value: check_int(name, value, 0),
    "workers": lambda name, value: check_int(name, value, 1, 4096), "dask": _path, "out": _path, "plot": _path,
    "resume": _flag, "predictions": _flag, "quiet": _flag, "log": _flag,
    "format": lambda name, value: check_choice(name, value, ("table", "csv", "json")),
    "ci_width": lambda name, value: check_real(name, value, 0, 100, open_low=True),
    "max_trials": lambda name, value: check_int(name, value, 1),
}


def load_config(path):
    """Read and check a configuration file.

    Returns
    -------
    dict of option name to value, as ``ber_sweep`` takes them

    Raises
    ------
    ValueError, TypeError
        Naming the file and the key, what was wanted and what came.
    """
    path = os.fspath(path)
    if os.path.getsize(path) > MAX_BYTES:
        raise ValueError(f"{path} must have at most {MAX_BYTES} bytes, got {os.path.getsize(path)}")
    with open(path, encoding="utf-8") as file:
        try:
            found = parse_json(file.read())
        except ValueError as error:
            raise ValueError(f"{path} must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(found).__name__}")
    checked = {}
    for key, value in found.items():
        try:
            checked[key] = SCHEMA[check_choice("a key", key, SCHEMA)](key, value)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}: {error}") from error
    return checked
