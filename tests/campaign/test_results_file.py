"""Results files that are damaged, foreign or malicious give one clear ValueError; good ones come back unchanged."""

import hashlib
import json
import shutil

import h5py
import numpy as np
import pytest
from campaign_run import networks, run, split
from weight_files import low_level_dataset, replace_dataset

import bnnsim.files.file_format as file_format
import bnnsim.packed.network as network
import bnnsim.training.architectures as architectures
import bnnsim.training.checkpoint_file as checkpoint_file
from bnnsim import faults, fit
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_tables import SCHEMA

KINDS = {"plain": {}, "predictions": {"predictions": True, "data": {"few": split(5), "many": split(16)}},
         "stopping": {"ci_width": 0.1, "max_trials": 9, "rates": [0.0, 0.02, 0.3]}}


def made(kind):
    return run(**{"rates": [0.0, 0.1, 0.3], "trials": 3, "provenance": {"command": "python x.py"}, **KINDS[kind]})


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """(folder of files not to be altered, results by kind)."""
    folder, results = tmp_path_factory.mktemp("good"), {kind: made(kind) for kind in KINDS}
    for kind, result in results.items():
        result.save(folder / f"{kind}.h5")
    return folder, results


@pytest.fixture
def copy(good, tmp_path):
    """A function: a copy of a file, to be altered."""
    return lambda kind="plain": shutil.copy(good[0] / f"{kind}.h5", tmp_path / "copy.h5")


def assert_same(came, wanted):
    assert (came.settings, came.provenance) == (wanted.settings, wanted.provenance)
    assert came.checksum == wanted.checksum and came.arrays().keys() == wanted.arrays().keys()
    for name, array in wanted.arrays().items():
        assert came.arrays()[name].dtype == array.dtype
        np.testing.assert_array_equal(came.arrays()[name], array)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_comes_back_as_it_went_in(good, kind, tmp_path):
    came = SweepResult.load(good[0] / f"{kind}.h5")
    assert_same(came, good[1][kind])
    np.testing.assert_array_equal(came.accuracy, good[1][kind].accuracy)
    came.save(tmp_path / "again.h5")
    assert_same(SweepResult.load(tmp_path / "again.h5"), came)
    assert {"library", "numpy", "numba", "python", "cpu", "system", "seed_source", "command"} <= came.provenance.keys()


def test_the_checksum_is_of_settings_and_arrays_and_not_of_provenance(good):
    one = good[1]["plain"]
    other = run(rates=[0.0, 0.1, 0.3], trials=3)
    assert other.provenance != one.provenance and other.checksum == one.checksum
    for changes in ({"rng": 6}, {"trials": 4}, {"rates": [0.0, 0.3, 0.1]}, {"data": split(16, name="b")}):
        assert run(**{"rates": [0.0, 0.1, 0.3], "trials": 3, **changes}).checksum != one.checksum


def test_the_file_is_laid_out_as_documented(good):
    """Another program can read it, and hash it, with this file's docstring alone."""
    result = good[1]["predictions"]
    with h5py.File(good[0] / "predictions.h5") as file:
        assert set(file) == {"settings", "provenance", "rates", "right", "class_totals", "ber", "predictions"}
        assert file.attrs["format"] == b"bnnsim-results" and file.attrs["format_version"] == 2
        text, arrays = file["settings"][()].decode(), {name: file[name][()] for name in sorted(result.arrays())}
        stored = file.attrs["checksum"].decode()
    assert json.loads(text) == result.settings and arrays["right"].shape == (4, 3, 3, 10)
    digest = hashlib.sha256(json.dumps({"format": "bnnsim-results", "format_version": 2, "settings": text},
                                       sort_keys=True, separators=(",", ":")).encode() + b"\n")
    for name, array in arrays.items():
        digest.update(json.dumps([name, array.dtype.name, array.shape], separators=(",", ":")).encode() + b"\n")
        digest.update(array.tobytes())
    assert digest.hexdigest() == stored == result.checksum


# ---------------------------------------------------------------- accidents

@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_damaged(copy, kind):
    path = copy(kind)
    whole = path.read_bytes()
    for length in {*range(0, len(whole), len(whole) // 40), 1, 8, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged or cut off|empty|starts with") as caught:
            SweepResult.load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_noticed_or_harmless(good, copy, kind):
    """Harmless: in space that HDF5 does not use, and in the date."""
    path, rng = copy(kind), np.random.default_rng(0)
    whole = path.read_bytes()
    n_noticed = 0
    for position in rng.integers(0, 8 * len(whole), 150):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            came = SweepResult.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            n_noticed += 1
        else:
            assert_same(came, good[1][kind])
    assert n_noticed > 40


def test_files_of_other_kinds_are_named(good, tmp_path):
    networks()["net 0"].save(tmp_path / "net.h5")
    with pytest.raises(ValueError, match="this is a packed network: open it with PackedNetwork.load"):
        SweepResult.load(tmp_path / "net.h5")
    for load in (network.PackedNetwork.load, checkpoint_file.load_checkpoint):
        with pytest.raises(ValueError, match="this is results of a sweep: open them with SweepResult.load"):
            load(good[0] / "plain.h5")


@pytest.mark.parametrize("name", ["r.json", "r.NPZ", "r.onnx", "r.png"])
def test_no_hdf5_goes_under_the_name_of_another_format(good, tmp_path, name):
    """It was written without a word, and whatever reads such files failed on it."""
    net, path = networks()["net 0"], tmp_path / name
    for write in (good[1]["plain"].save, net.save, faults.FaultMap.record(faults.BitFlips(0.1), net, 0).save,
                  lambda where: run(out=where)):
        with pytest.raises(ValueError, match=f"must be that of an HDF5 file, with the ending .h5, .* got .*{name}'"):
            write(path)
    model = architectures.build("FC4 FC10", (1, 4, 4), rng=0)
    with pytest.raises(ValueError, match="checkpoint must be that of an HDF5 file"):
        fit(model, split(), 1, rng=0, checkpoint=path, progress=False)
    assert not list(tmp_path.iterdir()) and model.history is None
    for other in ("r", "r.hdf5", "r.of_mine"):
        net.save(tmp_path / other)


# ---------------------------------------------------------------- malice: with the right checksums

def attribute(name, value):
    def change(file):
        del file.attrs[name]
        if value is not None:
            file.attrs.create(name, value)
    return change


def array(name, change):
    """Alter an array; its new checksum is written too."""
    def changed(file):
        data = change(file[name][...])
        replace_dataset(file, name, data=data)
    return changed


def element(name, index, value):
    def change(data):
        data[index] = value
        return data
    return array(name, change)


def not_run(index):
    def change(file):
        element("right", index, -1)(file), element("ber", index, np.nan)(file)
    return change


def settings(change):
    def changed(file):
        value = json.loads(file["settings"][()])
        value = change(value) or value
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        replace_dataset(file, "settings", data=np.bytes_(text))
    return changed


def setting(name, value):
    return settings(lambda found: found.__setitem__(name, value))


def series(name, value):
    return settings(lambda found: found["series"][0].__setitem__(name, value))


def link(name, target):
    def change(file):
        del file[name]
        file[name] = target
    return change


def dtype(name, kind, layout=h5py.h5d.CONTIGUOUS):
    return lambda file: low_level_dataset(file, name, h5py.h5t.py_create(np.dtype(kind)),
                                          file[name][...].astype(kind), layout)


def provenance(text):
    def change(file):
        replace_dataset(file, "provenance", data=np.bytes_(text))
        attribute("provenance_checksum", np.bytes_(hashlib.sha256(text.encode()).hexdigest()))(file)
    return change


def repaired(file):
    """Give a file the checksum that it should have, where its arrays can be hashed at all."""
    with np.errstate(all="ignore"):
        try:
            names = [name for name in ("rates", "right", "class_totals", "ber", "predictions") if name in file]
            checksum = file_format.content_checksum(
                {"format": "bnnsim-results", "format_version": 2, "settings": file["settings"][()].decode()},
                {name: file[name][...] for name in names})
        except (ValueError, AttributeError, KeyError, TypeError, OSError, MemoryError):
            return
    if "checksum" in file.attrs:
        attribute("checksum", np.bytes_(checksum))(file)


RULE = {"ci_width": 0.1, "pilot": 3, "level": 0.95, "max_trials": 9}
HOSTILE = {
    "version": ("plain", attribute("format_version", np.int64(4)), "format_version must be 2 or 3.*upgrade"),
    "no version": ("plain", attribute("format_version", None), "format_version of / is missing"),
    "format": ("plain", attribute("format", np.bytes_("bnnsim-poem")), "a file of format 'bnnsim-poem'"),
    "no checksum": ("plain", attribute("provenance_checksum", None), "missing: provenance_checksum"),
    "extra group": ("plain", lambda file: file.create_group("more"), "unknown: 'more'"),
    "extra dataset": ("plain", lambda file: file.create_dataset("more", data=1), "unknown: 'more'"),
    "no right": ("plain", lambda file: file.pop("right"), "missing: right"),
    "soft link": ("plain", link("rates", h5py.SoftLink("/right")), "wanted rates itself, got a soft"),
    "external link": ("plain", link("right", h5py.ExternalLink("/etc/passwd", "/x")), "wanted right itself"),
    "group": ("plain", lambda file: (file.pop("rates"), file.create_group("rates")), "rates to be an array"),
    "float right": ("plain", dtype("right", "f8"), "right must be int64 with 4 axes, got float64"),
    "int rates": ("plain", dtype("rates", "i8"), "rates must be float64 with 1 axes, got int64"),
    "int32 totals": ("plain", dtype("class_totals", "i4"), "class_totals must be int64 with 2 axes, got int32"),
    "big-endian": ("plain", dtype("right", ">i8"), "wanted numbers, little-endian.*, got another type"),
    "compact": ("plain", dtype("rates", "f8", h5py.h5d.COMPACT), "contiguous and uncompressed"),
    "chunked": ("plain", lambda file: replace_dataset(file, "right", data=file["right"][...], chunks=(1, 1, 1, 10)),
                "contiguous and uncompressed"),
    "huge, not stored": ("plain", lambda file: replace_dataset(file, "right", shape=(2, 3, 2**40, 10), dtype="i8"),
                         "announces .* but 0 are stored"),
    "three axes": ("plain", array("right", lambda a: a[0]), "right must be int64 with 4 axes, got"),
    "no chips": ("plain", array("right", lambda a: a[:, :, :0]), "right must be int64 with 4 axes, got .*0"),
    "fewer rates": ("plain", array("rates", lambda a: a[:2]), r"rates must have shape \(3,\), as right has"),
    "fewer totals": ("plain", array("class_totals", lambda a: a[:, :9]), r"class_totals must have shape \(2, 10\)"),
    "a series less": ("plain", settings(lambda s: s["series"].pop() and None), "one series for each row of right"),
    "rate > 1": ("plain", element("rates", 2, 1.5), r"rates must be probabilities in \[0, 1\], none twice"),
    "NaN rate": ("plain", element("rates", 0, np.nan), r"rates must be probabilities in \[0, 1\], none twice"),
    "a rate twice": ("plain", element("rates", 1, 0.3), r"rates must be probabilities in \[0, 1\], none twice"),
    "more right than images": ("plain", element("right", (0, 1, 2, 3), 17), "right must be in 0..class_totals"),
    "negative right": ("plain", element("right", (0, 1, 2, 3), -2), "right must be in 0..class_totals"),
    "half a cell": ("plain", element("right", (0, 1, 2, 3), -1), "right must be in 0..class_totals, or -1 in all"),
    "a cell missing": ("plain", not_run((0, 1, 2)), "right must be there for the first 3 chips"),
    "negative total": ("plain", element("class_totals", (0, 3), -1), "class_totals must be >= 0"),
    "more totals": ("plain", element("class_totals", (0, 3), 16), "add up to the images of each series"),
    "overflowing totals": ("plain", element("class_totals", (0, 3), 2**62), "add up to the images of each series"),
    "number of images": ("plain", series("n_images", 17), "add up to the images of each series"),
    "an error rate over 1": ("plain", element("ber", (0, 1, 2), 1.5), r"ber must be in \[0, 1\], or nan"),
    "no error rate": ("plain", element("ber", (0, 1, 2), np.nan), r"ber must be in \[0, 1\], or nan"),
    "an error rate of no cell": ("stopping", element("ber", (0, 0, 8), 0.0), r"ber must be in \[0, 1\], or nan"),
    "error rates of few chips": ("plain", array("ber", lambda a: a[:, :, :2]), r"ber must have shape \(2, 3, 3\)"),
    "no images": ("plain", series("n_images", 0), "and some images each"),
    "images without end": ("plain", series("n_images", 10**40), "and some images each"),
    "images in words": ("plain", series("n_images", "16"), "a series must have name, network"),
    "true images": ("plain", series("n_images", True), "a series must have name, network"),
    "a name twice": ("plain", series("name", "net 1"), "series must have names that differ"),
    "unknown key": ("plain", series("more", 1), "a series must have name, network"),
    "seed": ("plain", setting("seed", "five"), "the seed must be a string of digits, got 'five'"),
    "seed of odd digits": ("plain", setting("seed", "²"), "the seed must be a string of digits"),
    "seed without end": ("plain", setting("seed", "1" * 5000), "the seed must be a string of digits"),
    "number as seed": ("plain", setting("seed", 5), "the seed must be a string of digits, got 5"),
    "more settings": ("plain", setting("more", 5), "settings must have series, seed, stopping and predictions"),
    "series is no list": ("plain", setting("series", {}), "settings must have series"),
    "settings are no dict": ("plain", settings(lambda s: [1]), "settings must be a JSON object"),
    "stopping in words": ("plain", setting("stopping", "soon"), "stopping must be null, or have ci_width"),
    "stopping of ints": ("plain", setting("stopping", {**RULE, "ci_width": 1}), "stopping must be null, or have"),
    "pilot of one": ("plain", setting("stopping", {**RULE, "pilot": 1}), "stopping cannot be"),
    "pilot too long": ("plain", setting("stopping", {**RULE, "pilot": 4}), "stopping cannot be .* with 3 chips"),
    "negative width": ("plain", setting("stopping", {**RULE, "ci_width": -0.1}), "stopping cannot be"),
    "pilot not run": ("stopping", not_run((0, 1, 2)), "right must be there for the first 3 chips"),
    "predictions, unsaid": ("predictions", setting("predictions", False), "predictions must be there if the settings"),
    "predictions, missing": ("plain", setting("predictions", True), "predictions must be there if the settings say so"),
    "predictions = 1": ("predictions", setting("predictions", 1), "predictions must be there if the settings say so"),
    "predictions of few": ("predictions", array("predictions", lambda a: a[..., :15]), "must be of 16 images, got 15"),
    "predictions of few chips": ("predictions", array("predictions", lambda a: a[:, :, :2]),
                                 r"predictions must be .*got \(4, 3, 2, 16\)"),
    "prediction 10": ("predictions", element("predictions", (1, 0, 0, 0), 10), "predictions must be classes"),
    "prediction of nothing": ("predictions", element("predictions", (0, 0, 0, 7), 1), "255 where there is no cell"),
    "prediction not asked": ("predictions", element("predictions", (1, 0, 0, 0), 255), "predictions must be classes"),
    "other predictions": ("predictions", lambda file: (array("predictions", lambda a: np.where(a < 255, 0, a))(file),
                                                       element("right", (1, 0, 0), file["class_totals"][1])(file)),
                          r"predictions must be of class \d as often"),
    "provenance": ("plain", lambda file: replace_dataset(file, "provenance", data=np.bytes_("{}")),
                   "the provenance does not have the checksum"),
    "provenance list": ("plain", provenance("[]"), "provenance must be a JSON object"),
    "provenance bomb": ("plain", provenance('{"a":"' + "x" * 2**20 + '"}'), "wanted at most 1048576 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(copy, name):
    kind, change, message = HOSTILE[name]
    path = copy(kind)
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
        repaired(file)
    with pytest.raises(ValueError, match=message) as caught:
        SweepResult.load(path)
    assert str(path) in str(caught.value)
    assert "damaged" not in str(caught.value) or name == "provenance", "found by a rule, not by its checksum"


def test_the_repaired_checksum_is_right(good, copy):
    """Else the tests above would see a wrong checksum only."""
    path = copy()
    with h5py.File(path, "r+", libver="v110") as file:
        attribute("checksum", np.bytes_("0" * 64))(file)
    with pytest.raises(ValueError, match="the results does not have the checksum"):
        SweepResult.load(path)
    with h5py.File(path, "r+", libver="v110") as file:
        repaired(file)
    assert_same(SweepResult.load(path), good[1]["plain"])


@pytest.mark.parametrize("name, index, value", [("right", (0, 1, 2, 3), 0), ("rates", 1, 0.2), ("class_totals", 0, 1)])
def test_a_value_that_could_be_is_noticed_by_the_checksum(copy, name, index, value):
    path = copy()
    with h5py.File(path, "r+", libver="v110") as file:
        old = file[name][index]
        file[name][index] = value + (np.asarray(old) == value).all()
    with pytest.raises(ValueError, match="does not have the checksum"):
        SweepResult.load(path)


# ---------------------------------------------------------------- tables

def test_csv_has_a_line_a_cell(good):
    result = good[1]["stopping"]
    lines = [line.split(",") for line in result.csv().splitlines()]
    assert len(lines) == 1 + result.n_trials().sum() and lines[0] == [
        "series", "split", "fault", "axis", "value", "trial", "ber_measured", "right", "n_images", "accuracy", "seed"]
    assert lines[0] == list(SCHEMA)
    assert not any("nan" in line for line in lines)


@pytest.mark.parametrize("ending", ["csv", "CSV"])
def test_csv_files_hold_the_table(good, tmp_path, ending):
    good[1]["plain"].save(tmp_path / f"s.{ending}")
    assert (tmp_path / f"s.{ending}").read_text() == good[1]["plain"].csv()


def test_rows_are_plain_python(good):
    for result in good[1].values():
        assert {type(value) for row in result.rows() for value in row.values()} == {str, float, int}


def test_series_are_found_by_name_or_number(good):
    result = good[1]["plain"]
    assert (result.index("net 1"), result.index(1), result.index(np.int64(1))) == (1, 1, 1)
    assert type(result.index(np.int64(1))) is int
    for wrong in ("net 2", 2, -1, None, True, np.True_, 1.0):
        with pytest.raises(ValueError, match="name must be one of net 0, net 1, or its number"):
            result.index(wrong)


def test_the_shape_of_a_table_without_chips_to_compare(tmp_path):
    one = run(rates=[0.1], trials=1)
    assert one.table().splitlines()[1].split()[:5] == ["net", "0", "0.1", f"{one.ber[0, 0, 0]:.3g}", "1"]
    assert np.all(one.std() == 0) and one.mean().shape == (2, 1)
