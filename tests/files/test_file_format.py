"""Versions of formats, part files, and JSON that people write."""

import os

import h5py
import numpy as np
import pytest

import bnnsim.files.atomic as atomic
import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.files.json_text import parse_json

pytestmark = pytest.mark.jit_off

KIND = "bnnsim-network"
VERSIONS = {2: file_format.ROOT, 3: {**file_format.ROOT, "n_layers": ()}}       # what a later bnnsim may read


def written(path, version, **more):
    with hdf5.new_file(path) as file:
        root = file_format.root_attributes(KIND, version, "0" * 64)
        hdf5.write_attributes(file, {**root, "library_version": "0.0.9", **more})
    return path


def read(path):
    with hdf5.open_file(path) as file:
        return file_format.read_root(file, KIND, VERSIONS)


# ---------------------------------------------------------------- versions

def test_each_version_has_its_own_root_attributes(tmp_path):
    """A new attribute does not make the files of before unreadable."""
    assert read(written(tmp_path / "old.h5", 2))["format_version"] == 2
    assert read(written(tmp_path / "new.h5", 3, n_layers=5))["n_layers"] == 5
    with pytest.raises(ValueError, match="unknown: 'n_layers'"):
        read(written(tmp_path / "mixed.h5", 2, n_layers=5))
    with pytest.raises(ValueError, match="missing: n_layers"):
        read(written(tmp_path / "mixed.h5", 3))


@pytest.mark.parametrize("version", [4, 2**62])
def test_a_newer_file_asks_for_an_upgrade(tmp_path, version):
    with pytest.raises(ValueError, match=f"new.h5: format_version must be 2 or 3, .*got {version}; upgrade bnnsim"):
        read(written(tmp_path / "new.h5", version))


@pytest.mark.parametrize("version", [1, 0, -5])
def test_an_older_file_names_the_bnnsim_that_reads_it(tmp_path, version):
    """To upgrade would not help."""
    with pytest.raises(ValueError, match=f"got {version}; make the file anew, or .* older bnnsim .*'0.0.9'") as caught:
        read(written(tmp_path / "old.h5", version))
    assert "upgrade" not in str(caught.value)


def test_what_another_version_may_have_changed_is_not_looked_at(tmp_path):
    path = written(tmp_path / "new.h5", 9, more="yes")
    with h5py.File(path, "r+", libver="v110") as file:
        del file.attrs["bit_convention"]
        file.create_dataset("x", data=np.zeros(3))
    with pytest.raises(ValueError, match="upgrade bnnsim"):
        read(path)


# ---------------------------------------------------------------- part files

def test_a_part_is_beside_its_target_and_goes(tmp_path):
    with atomic.part(tmp_path / "x.gz") as path:
        assert os.path.dirname(path) == str(tmp_path) and path.endswith(".gz") and os.path.getsize(path) == 0
    with pytest.raises(ZeroDivisionError), atomic.part(tmp_path / "x.gz"):
        1 / 0
    assert not os.listdir(tmp_path)


def test_a_part_that_was_renamed_stays(tmp_path):
    with atomic.part(tmp_path / "x") as path:
        os.replace(path, tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.replaced(tmp_path / "x") as path:
        open(path, "w").close()
        1 / 0
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]
    with pytest.raises(OSError, match="cannot write .*x: No space left on device; a file that was there is unchanged"):
        with atomic.replaced(tmp_path / "x"):
            raise OSError(28, "No space left on device")
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]
    with atomic.replaced(tmp_path / "x") as path, open(path, "w") as file:
        file.write("new")
    assert (tmp_path / "x").read_text() == "new" and os.listdir(tmp_path) == ["x"]


# ---------------------------------------------------------------- JSON

@pytest.mark.parametrize("text, message", [
    ('{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' is given twice in one object"),
    ('{"' + "k" * 10**6 + '": 1, "' + "k" * 10**6 + '": 1}', "the key 'k{60}' is given twice"),
    ("[NaN]", "numbers must be finite, got NaN"), ("-Infinity", "numbers must be finite, got -Infinity"),
    ("[" * 10**5, "nested too deeply"), ("{,}", "line 1 column 2"), ("", "Expecting value")])
def test_json_that_could_mean_two_things_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


@pytest.mark.tiny
def test_json_that_is_plain_is_read():
    assert parse_json('{"a": [1, 2.5, null, "\\u00e9"], "b": {"a": true}}') == {"a": [1, 2.5, None, "é"],
                                                                                "b": {"a": True}}
