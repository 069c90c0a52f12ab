"""The settings of a campaign: all that its cells are a function of, as its file and its journal hold them.

They are plain JSON and name networks, images and faults by checksums and words. A file of other settings is of another
campaign, and is never added to.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict, cast

import bnnsim.files.hdf5 as hdf5
from bnnsim.faults.axis import BER, check_axis


class SeriesEntry(TypedDict):
    """A network on a split under a fault setting: checksums of the first two, and the fault's repr at rate 0."""

    name: str
    network: str
    split: str
    split_sha256: str
    n_images: int
    fault: str


class Stopping(TypedDict):
    """Sequential stopping: chips until an interval of this level is so wide, told from the pilot's chips."""

    ci_width: float
    pilot: int
    level: float
    max_trials: int


class Settings(TypedDict):
    """What the cells of a campaign are a function of; `axis` only where its rates are no bit error rates."""

    series: list[SeriesEntry]
    seed: str
    stopping: Stopping | None
    predictions: bool
    axis: NotRequired[str]


def axis_of(settings: Settings) -> str:
    """What the rates are: see `bnnsim.faults.axis`."""
    return settings.get("axis", BER)


def check_settings(value: Any) -> Settings:
    """Refuse what no campaign can have as settings, whatever it is."""
    if not isinstance(value, dict) or value.keys() - {"axis"} != Settings.__annotations__.keys() - {"axis"} or \
            not isinstance(value["series"], list):
        raise hdf5.Refused("settings must have series, seed, stopping and predictions")
    try:
        check_axis("the axis", value.get("axis", BER))
    except TypeError as error:
        raise hdf5.Refused(str(error)) from error
    seed = value["seed"]
    if not isinstance(seed, str) or not (seed.isascii() and seed.isdigit() and len(seed) <= 4300):
        raise hdf5.Refused(f"the seed must be a string of digits, got {seed!r}")
    if not isinstance(value["predictions"], bool):
        raise hdf5.Refused("predictions must be there if the settings say so, and only then")
    _check_series(value["series"])
    _check_stopping(value["stopping"])
    return cast(Settings, value)


def _check_series(found: list[Any]) -> None:
    for series in found:
        if not _has_types(series, SeriesEntry.__annotations__):
            raise hdf5.Refused(f"a series must have {', '.join(SeriesEntry.__annotations__)}, got {series!r}")
    names, sizes = ([series[key] for series in found] for key in ("name", "n_images"))
    if len(set(names)) < len(names) or not all(0 < size < 2**40 for size in sizes):
        raise hdf5.Refused(f"series must have names that differ, and some images each, got {names} with {sizes}")


def _check_stopping(rule: Any) -> None:
    if rule is None:
        return
    if not _has_types(rule, Stopping.__annotations__):
        raise hdf5.Refused(f"stopping must be null, or have {', '.join(Stopping.__annotations__)}, got {rule!r}")
    if not (0 < rule["ci_width"] <= 1 and 0 < rule["level"] < 1 and 2 <= rule["pilot"] <= rule["max_trials"]):
        raise hdf5.Refused(f"stopping cannot be {rule!r}")


def _has_types(value: Any, wanted: Mapping[str, type]) -> bool:
    return isinstance(value, dict) and {key: type(item) for key, item in value.items()} == wanted


def describe_difference(stored: Settings, wanted: Settings) -> str:
    """What differs between two campaigns' settings, in words; empty where nothing does."""
    lines = _differing("", {**stored, "axis": axis_of(stored)}, {**wanted, "axis": axis_of(wanted)},
                       ("seed", "stopping", "predictions", "axis"))
    there, here = ({series["name"]: series for series in settings["series"]} for settings in (stored, wanted))
    for name in sorted({*there, *here}):
        if name in there and name in here:
            lines += _differing(f"series {name!r}: ", there[name], here[name], here[name])
        else:
            lines.append(f"series {name!r} is only {'there' if name in there else 'here'}")
    return "; ".join(lines)


def _differing(where: str, stored: Mapping[str, object], wanted: Mapping[str, object],
               keys: Iterable[str]) -> list[str]:
    return [f"{where}{key} is {stored.get(key)!r} there and {wanted.get(key)!r} here"
            for key in keys if stored.get(key) != wanted.get(key)]
