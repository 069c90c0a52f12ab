"""HDF5 files of sweeps.

Root attributes as `bnnsim.file_format` says, with format "bnnsim-results" and format_version 1; and

    /settings    string    a JSON object: names and checksums of the networks, split, n_images, seed (a string)
    /rates       float64   (R,)
    /accuracy    float64   (networks, R, trials), in [0, 1]

Everything is checked before it is allocated; the checksum is of the settings and arrays.
"""

import numpy as np

import bnnsim.file_format as file_format
import bnnsim.hdf5 as hdf5

RESULTS, FORMAT_VERSION = "bnnsim-results", 1
MAX_BYTES = 2**32
ARRAYS = ("accuracy", "rates")
SETTINGS = {"names": list, "checksums": list, "split": str, "n_images": int, "seed": str}


def _checksum(text, arrays):
    return file_format.content_checksum({"format": RESULTS, "format_version": FORMAT_VERSION, "settings": text}, arrays)


def save_results(path, settings, arrays):
    """Write settings (a JSON object as SETTINGS) and arrays (float64, as ARRAYS), whole or not at all."""
    text = file_format.to_json("settings", settings)
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, file_format.root_attributes(RESULTS, FORMAT_VERSION, _checksum(text, arrays)))
        hdf5.write_array(file, "settings", np.bytes_(text))
        for name in ARRAYS:
            hdf5.write_array(file, name, arrays[name])


def load_results(path):
    """(settings, arrays) of a file that `save_results` wrote; ValueError where it is anything else."""
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, RESULTS, FORMAT_VERSION)
        hdf5.check_members(file, datasets=("settings", *ARRAYS))
        announced_text = hdf5.announce_text(file["settings"], file_format.MAX_JSON_BYTES)
        announced = {name: hdf5.announce(file[name]) for name in ARRAYS}
        hdf5.check_total(file, [announced_text, *announced.values()], MAX_BYTES)
        for name, n_axes in (("accuracy", 3), ("rates", 1)):
            came = announced[name]
            if came.dtype != np.float64 or len(came.shape) != n_axes:
                raise hdf5.Refused(f"{name} must be float64 with {n_axes} axes, got {came.dtype} {came.shape}")
        arrays = {name: hdf5.read_array(file[name], value) for name, value in announced.items()}
        text = hdf5.read_text(file["settings"], announced_text)
        file_format.check_checksum("the results", root["checksum"], _checksum(text, arrays))
        settings = file_format.from_json("settings", text)
        _check(settings, arrays)
    return settings, arrays


def _check(settings, arrays):
    for name, kind in SETTINGS.items():
        if type(settings.get(name)) is not kind:
            raise hdf5.Refused(f"settings must have {name}, {kind.__name__}, got {settings.get(name)!r}")
    if not all(isinstance(text, str) for text in (*settings["names"], *settings["checksums"])):
        raise hdf5.Refused("names and checksums must be strings")
    wanted = (len(settings["names"]), len(arrays["rates"]))
    if arrays["accuracy"].shape[:2] != wanted or arrays["accuracy"].shape[2] < 1:
        raise hdf5.Refused(f"accuracy must have shape ({wanted[0]}, {wanted[1]}, trials), got {arrays['accuracy'].shape}")
    for name, values in arrays.items():
        if not np.all((values >= 0) & (values <= 1)):
            raise hdf5.Refused(f"{name} must be in [0, 1]")
    if not settings["seed"].isdigit() or len(settings["checksums"]) != wanted[0]:
        raise hdf5.Refused("settings must have a seed of digits and one checksum a network")
