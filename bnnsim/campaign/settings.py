"""The settings of a campaign as they are stored: are they well formed, and is this the same campaign?"""

import bnnsim.files.hdf5 as hdf5


class CampaignDiffers(ValueError):
    """A file is of another campaign; the message says what differs."""


def describe_difference(stored, wanted):
    """What differs between two campaigns' settings, in words; empty where nothing does."""
    lines = []
    for key in ("seed", "stopping", "predictions", "axis"):
        if stored.get(key) != wanted.get(key):
            lines.append(f"{key} is {stored.get(key)!r} there and {wanted.get(key)!r} here")
    there, here = ({series["name"]: series for series in settings["series"]} for settings in (stored, wanted))
    for name in sorted({*there, *here}):
        if name not in there or name not in here:
            lines.append(f"series {name!r} is only {'there' if name in there else 'here'}")
            continue
        lines += [f"series {name!r}: {key} is {there[name][key]!r} there and {here[name][key]!r} here"
                  for key in here[name] if there[name].get(key) != here[name][key]]
    return "; ".join(lines)
SERIES = {"name": str, "network": str, "split": str, "split_sha256": str, "n_images": int, "fault": str}
STOPPING = {"ci_width": float, "pilot": int, "level": float, "max_trials": int}


def check_settings(settings, announced):
    """Refuse settings of a file that no campaign can have, or that its arrays do not fit."""
    if set(settings) - {"axis"} != {"series", "seed", "stopping", "predictions"} or \
            not isinstance(settings["series"], list):
        raise hdf5.Refused("settings must have series, seed, stopping and predictions")
    if "axis" in settings and not (isinstance(settings["axis"], str) and 0 < len(settings["axis"]) <= 100):
        raise hdf5.Refused(f"the axis must be a short name, got {settings['axis']!r}")
    seed = settings["seed"]
    if not isinstance(seed, str) or not (seed.isascii() and seed.isdigit() and len(seed) <= 4300):
        raise hdf5.Refused(f"the seed must be a string of digits, got {settings['seed']!r}")
    if len(settings["series"]) != announced["right"].shape[0]:
        raise hdf5.Refused(f"there must be one series for each row of right, got {len(settings['series'])}")
    for series in settings["series"]:
        if not isinstance(series, dict) or {key: type(value) for key, value in series.items()} != SERIES:
            raise hdf5.Refused(f"a series must have {', '.join(SERIES)}, got {series!r}")
    names, sizes = ([series[key] for series in settings["series"]] for key in ("name", "n_images"))
    if len(set(names)) < len(names) or not all(0 < size < 2**40 for size in sizes):
        raise hdf5.Refused(f"series must have names that differ, and some images each, got {names} with {sizes}")
    if settings["predictions"] is not ("predictions" in announced):
        raise hdf5.Refused("predictions must be there if the settings say so, and only then")
    if settings["predictions"] and announced["predictions"].shape[3] != max(sizes):
        raise hdf5.Refused(f"predictions must be of {max(sizes)} images, got {announced['predictions'].shape[3]}")
    _check_stopping(settings["stopping"], announced["right"].shape[2])


def _check_stopping(rule, n_trials):
    if rule is None:
        return
    if not isinstance(rule, dict) or {key: type(value) for key, value in rule.items()} != STOPPING:
        raise hdf5.Refused(f"stopping must be null, or have {', '.join(STOPPING)}, got {rule!r}")
    if not (0 < rule["ci_width"] <= 1 and 0 < rule["level"] < 1 and 2 <= rule["pilot"] <= rule["max_trials"]
            and rule["pilot"] <= n_trials <= rule["max_trials"]):
        raise hdf5.Refused(f"stopping cannot be {rule!r} with {n_trials} chips")
