"""Scores that are no numbers are counted in results: by cell, in files of a version of their own, in tables."""

import h5py
import numpy as np
import pytest
import small_graphs

import bnnsim
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import BitFlips, Compose, EachRead, RealBits

FAULT = RealBits(0.1, ("affine", "real-dense"))


def swept(**more):
    return bnnsim.sweep({"a": small_graphs.packed(), "b": small_graphs.packed(seed=1)}, small_graphs.images(),
                        [0, 0.001, 0.2], 3, 0, faults={"reals": FAULT}, progress=False, **more)


def test_each_chip_is_counted():
    result, images = swept(), small_graphs.images().images
    wanted = [[[FAULT.at(rate).apply(small_graphs.packed(seed=s), 0, trial).n_nonfinite(images) for trial in range(3)]
               for rate in result.rates] for s in range(2)]
    np.testing.assert_array_equal(result.n_nonfinite, wanted)
    assert result.n_nonfinite[:, 0].max() == 0 < result.n_nonfinite[:, 2].min()
    assert result.accuracy[0, 2, 0] == np.mean(
        FAULT.at(0.2).apply(small_graphs.packed(), 0, 0).predict(images) == small_graphs.images().labels)


@pytest.mark.parametrize("fault", [Compose([BitFlips(0.1), RealBits(0.2)]), EachRead(RealBits(0.2))])
def test_around_other_faults(fault):
    result = bnnsim.sweep(small_graphs.packed(), small_graphs.images(), [0.2], 2, 0, faults={"f": fault},
                          progress=False)
    assert result.n_nonfinite[0, -1].min() > 0


def test_files_have_a_version_of_their_own_and_come_back(tmp_path):
    result = swept()
    result.save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["format_version"] == 3 and file["n_nonfinite"].shape == (2, 3, 3)
    back = SweepResult.load(tmp_path / "r.h5")
    assert back.checksum == result.checksum
    np.testing.assert_array_equal(back.n_nonfinite, result.n_nonfinite)


def test_results_without_any_are_as_before(tmp_path):
    result = bnnsim.sweep(small_graphs.packed(), small_graphs.images(), [0.01], 2, 0, progress=False)
    result.save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["format_version"] == 2 and "n_nonfinite" not in file
    assert result.n_nonfinite is None and "no numbers" not in result.table()
    assert result.csv().splitlines()[0].endswith(",seed")


def test_a_campaign_that_goes_on_knows_them(tmp_path):
    whole, out = swept(), tmp_path / "r.h5"
    bnnsim.sweep({"a": small_graphs.packed(), "b": small_graphs.packed(seed=1)}, small_graphs.images(), [0, 0.2], 2, 0,
                 faults={"reals": FAULT}, progress=False, out=out)
    assert swept(out=out, resume=True).checksum == whole.checksum == SweepResult.load(out).checksum


def test_tables_have_a_column_more():
    result = swept()
    lines = result.table().splitlines()
    assert lines[0].endswith("no numbers")
    assert int(lines[3].split()[-1].replace(",", "")) == result.n_nonfinite[0, 2].sum()
    rows = [line.split(",") for line in result.csv().splitlines()]
    assert rows[0][-1] == "n_nonfinite" and [int(row[-1]) for row in rows[1:]] == result.n_nonfinite.ravel().tolist()


@pytest.mark.parametrize("value", [-2, 10**6, 0])
def test_files_that_cannot_be(tmp_path, value):
    result = swept()
    wrong = np.zeros_like(result.n_nonfinite)
    wrong[0, 0, 0] = value
    SweepResult(result.settings, result.rates, result.right, result.class_totals, result.ber, None, {}, wrong).save(
        tmp_path / "r.h5")
    with pytest.raises(ValueError, match="n_nonfinite must be in 0..images times classes, above 0 somewhere"):
        SweepResult.load(tmp_path / "r.h5")
