"""The HDF5 file of a campaign's results: written whole, checked whole before anything is allocated or believed.

S series, R rates, T trials, C classes, N images, as in `bnnsim.campaign.result`. The file has the root attributes of
`bnnsim.files.file_format` with format "bnnsim-results", format_version 2, and

    /settings            string   JSON: `bnnsim.campaign.settings.Settings`, what the cells are a function of
    /provenance          string   JSON: versions, CPU, command, source of the seed; not part of the checksum
    /rates               float64  (R,)
    /right               int64    (S, R, T, C), right answers by true class; -1 where a cell was not asked for
    /class_totals        int64    (S, C), images of each class
    /ber                 float64  (S, R, T), weight bits that read wrong; nan where a cell was not asked for
    /predictions         uint8    (S, R, T, N), only where settings say so; 255 where a cell was not asked for

or format_version 3, which has beside these

    /n_nonfinite         int64    (S, R, T), scores that were no finite numbers, some at least; -1 where a cell was not
                                  asked for

and the attribute provenance_checksum, against damage.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.campaign.settings import Settings, axis_of, check_settings
from bnnsim.checks import FilePath
from bnnsim.faults.axis import is_probability
from bnnsim.files.announced import Announced

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult

RESULTS, FORMAT_VERSION, WITH_NONFINITE = "bnnsim-results", 2, 3
MAX_BYTES = 2**36
NOT_RUN = -1

# type, and how many axes
_ARRAYS = {"rates": (np.float64, 1), "right": (np.int64, 4), "class_totals": (np.int64, 2),
           "ber": (np.float64, 3), "predictions": (np.uint8, 4), "n_nonfinite": (np.int64, 3)}

_ROOT: file_format.Wanted = {**file_format.ROOT, "provenance_checksum": str}


def checksum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the settings, as the text that files hold, and the arrays."""
    description = {"format": RESULTS, "format_version": _version(arrays), "settings": text}
    return file_format.content_checksum(description, arrays)


def _version(arrays: Mapping[str, np.ndarray]) -> int:
    """The oldest version that has all of them."""
    return WITH_NONFINITE if "n_nonfinite" in arrays else FORMAT_VERSION


def save(path: FilePath, result: "SweepResult") -> None:
    """Write a result, whole or not at all."""
    texts = {name: file_format.to_json(name, getattr(result, name)) for name in ("settings", "provenance")}
    arrays = result.arrays()
    root = file_format.root_attributes(RESULTS, _version(arrays), checksum(texts["settings"], arrays))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {**root, "provenance_checksum": file_format.text_checksum(texts["provenance"])})
        for name, text in texts.items():
            hdf5.write_array(file, name, np.bytes_(text))
        for name, array in arrays.items():
            hdf5.write_array(file, name, array)


def load(path: FilePath) -> dict[str, Any]:
    """The fields of the SweepResult that `save` wrote, every one checked."""
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, RESULTS, {2: _ROOT, 3: _ROOT})
        return {2: _read_2, 3: _read_3}[root["format_version"]](file, root)


def _read_2(file: hdf5.File, root: dict[str, Any]) -> dict[str, Any]:
    """Version 2."""
    return _read(file, root, tuple(name for name in _ARRAYS if name != "n_nonfinite"))


def _read_3(file: hdf5.File, root: dict[str, Any]) -> dict[str, Any]:
    """Version 3."""
    return _read(file, root, tuple(_ARRAYS))


def _read(file: hdf5.File, root: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    names = [name for name in known if name != "predictions" or name in file]
    hdf5.check_members(file, datasets=("settings", "provenance", *names))
    announced_texts = {name: hdf5.announce_text(file[name], file_format.MAX_JSON_BYTES)
                       for name in ("settings", "provenance")}
    announced = {name: hdf5.announce(file[name]) for name in names}
    hdf5.check_total(file, [*announced_texts.values(), *announced.values()], MAX_BYTES)
    _check_axes(announced)
    texts = {name: hdf5.read_text(file, value) for name, value in announced_texts.items()}
    settings = check_settings(file_format.from_json("settings", texts["settings"]))
    provenance = file_format.from_json("provenance", texts["provenance"])
    _check_fit(settings, announced)
    arrays = {name: hdf5.read_array(file, value) for name, value in announced.items()}
    file_format.check_checksum("the results", root["checksum"], checksum(texts["settings"], arrays))
    file_format.check_checksum("the provenance", root["provenance_checksum"],
                               file_format.text_checksum(texts["provenance"]))
    _check_values(settings, arrays)
    return {"settings": settings, **arrays, "provenance": provenance}


def _check_axes(announced: Mapping[str, Announced]) -> None:
    for name, came in announced.items():
        dtype, n_axes = _ARRAYS[name]
        if came.dtype != np.dtype(dtype) or len(came.shape) != n_axes or 0 in came.shape:
            raise hdf5.Refused(f"{name} must be {np.dtype(dtype)} with {n_axes} axes, got {came.dtype} {came.shape}")
    right = announced["right"].shape
    wanted = {"rates": right[1:2], "class_totals": (right[0], right[3]), "ber": right[:3]}
    if "n_nonfinite" in announced:
        wanted["n_nonfinite"] = right[:3]
    for name, shape in wanted.items():
        if announced[name].shape != shape:
            raise hdf5.Refused(f"{name} must have shape {shape}, as right has, got {announced[name].shape}")
    if "predictions" in announced and announced["predictions"].shape[:3] != right[:3]:
        raise hdf5.Refused(f"predictions must be {right[:3]} and images, got {announced['predictions'].shape}")


def _check_fit(settings: Settings, announced: Mapping[str, Announced]) -> None:
    """The arrays are as large as the settings say."""
    n_series, _, n_trials, _ = announced["right"].shape
    if len(settings["series"]) != n_series:
        raise hdf5.Refused(f"there must be one series for each row of right, got {len(settings['series'])}")
    if settings["predictions"] is not ("predictions" in announced):
        raise hdf5.Refused("predictions must be there if the settings say so, and only then")
    most = max(series["n_images"] for series in settings["series"])
    if settings["predictions"] and announced["predictions"].shape[3] != most:
        raise hdf5.Refused(f"predictions must be of {most} images, got {announced['predictions'].shape[3]}")
    rule = settings["stopping"]
    if rule is not None and not rule["pilot"] <= n_trials <= rule["max_trials"]:
        raise hdf5.Refused(f"stopping cannot be {rule!r} with {n_trials} chips")


def _check_values(settings: Settings, arrays: Mapping[str, np.ndarray]) -> None:
    rates, right, totals = (arrays[name] for name in ("rates", "right", "class_totals"))
    shares = is_probability(axis_of(settings))
    wanted = "probabilities in [0, 1]" if shares else "finite"
    good = (rates >= 0) & (rates <= 1) if shares else np.isfinite(rates)
    if not np.all(good) or len(set(rates)) < len(rates):
        raise hdf5.Refused(f"rates must be {wanted}, none twice")
    sizes = np.array([series["n_images"] for series in settings["series"]])
    if np.any((totals < 0) | (totals > sizes[:, None])) or np.any(totals.sum(axis=1) != sizes):
        raise hdf5.Refused("class_totals must be >= 0 and add up to the images of each series")
    run = right[..., :1] != NOT_RUN
    if np.any(np.where(run, (right < 0) | (right > totals[:, None, None, :]), right != NOT_RUN)):
        raise hdf5.Refused("right must be in 0..class_totals, or -1 in all classes")
    ber = arrays["ber"]
    if np.any(np.where(run[..., 0], ~((ber >= 0) & (ber <= 1)), ~np.isnan(ber))):
        raise hdf5.Refused("ber must be in [0, 1], or nan where there is no cell")
    if "n_nonfinite" in arrays:
        count, most = arrays["n_nonfinite"], (sizes * right.shape[3])[:, None, None]
        if np.any(np.where(run[..., 0], (count < 0) | (count > most), count != NOT_RUN)) or not np.any(count > 0):
            raise hdf5.Refused("n_nonfinite must be in 0..images times classes, above 0 somewhere, or -1 where there "
                               "is no cell")
    always = right.shape[2] if settings["stopping"] is None else settings["stopping"]["pilot"]
    if not np.all(run[:, :, :always]):
        raise hdf5.Refused(f"right must be there for the first {always} chips of each rate")
    if "predictions" in arrays:
        _check_predictions(arrays["predictions"], right, sizes)


def _check_predictions(predictions: np.ndarray, right: np.ndarray, sizes: np.ndarray) -> None:
    asked = (right[..., :1] != NOT_RUN) & (np.arange(predictions.shape[3]) < sizes[:, None, None, None])
    if np.any(np.where(asked, predictions >= right.shape[3], predictions != 255)):
        raise hdf5.Refused("predictions must be classes, or 255 where there is no cell or no image")
    for c in np.flatnonzero(right.max(axis=(0, 1, 2)) > 0):
        if np.any((predictions == c).sum(axis=3) < right[..., c]):
            raise hdf5.Refused(f"predictions must be of class {c} as often at least as right answers are")
