"""Results as tables of pandas and xarray: what is in them is what the result has."""

import io
import sys

import numpy as np
import pytest
from campaign_run import run

import bnnsim.campaign.result_tables as result_tables


@pytest.fixture(scope="module")
def result():
    return run(rates=[0, 0.1, 0.25], trials=3)


def test_columns_have_a_value_a_cell(result):
    columns = result_tables.columns(result)
    assert tuple(columns) == tuple(result_tables.SCHEMA)
    assert {len(column) for column in columns.values()} == {int(result.ran.sum())}
    at = (columns["series"] == "net 1") & (columns["value"] == 0.25) & (columns["trial"] == 2)
    assert columns["accuracy"][at].item() == result.accuracy[1, 2, 2]
    assert columns["ber_measured"][at].item() == result.ber[1, 2, 2]
    assert np.array_equal(columns["right"] / columns["n_images"], columns["accuracy"])


def test_pandas_has_the_table_of_the_csv(result):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install 'bnnsim[pandas]'")
    frame = result.to_pandas()
    assert list(frame.columns) == list(result_tables.SCHEMA) and len(frame) == result.ran.sum()
    read = pandas.read_csv(io.StringIO(result.csv()), dtype={"seed": str})
    for name in frame.columns:                                          # floats may be read one ulp away
        same = np.allclose if frame[name].dtype.kind == "f" else np.array_equal
        assert same(read[name].to_numpy(), frame[name].to_numpy()), name
    means = frame.groupby(["series", "value"], sort=False)["accuracy"].mean().to_numpy().reshape(2, 3)
    assert means == pytest.approx(result.mean())


def test_xarray_has_the_arrays(result):
    pytest.importorskip("xarray", reason="xarray is not installed: pip install 'bnnsim[xarray]'")
    found = result.to_xarray()
    assert dict(found.sizes) == {"series": 2, "value": 3, "trial": 3, "class": result.right.shape[3]}
    assert found.accuracy.sel(series="net 1", value=0.25, trial=2).item() == result.accuracy[1, 2, 2]
    assert np.array_equal(found.accuracy.mean("trial"), result.mean())
    assert found.attrs == {"axis": "bit_error_rate", "seed": str(result.seed), "checksum": result.checksum}


@pytest.mark.parametrize("library", ["pandas", "xarray"])
def test_an_error_names_the_extra_that_is_missing(result, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)                     # as where it is not installed
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'bnnsim\[{library}\]'"):
        getattr(result, f"to_{library}")()
