"""Eleven differently written tables of one set of measurements end in one card, one accuracy and one energy."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from small_networks import small

import bnnsim
from bnnsim import load_embedded

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "instrument_csvs.py"
TABLES = runpy.run_path(str(EXAMPLE))["tables"]
N, LRS, HRS = 60, 4e3, 2e4


class Frame:
    """What a pandas data frame has, as far as it is asked."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def itertuples(self, index, name):
        return iter(self.rows)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(3)
    return [np.round(median * np.exp(0.5 * rng.standard_normal(N)), 1).tolist() for median in (LRS, HRS)]


@pytest.fixture(scope="module")
def swept(cells, tmp_path_factory):
    """A function of texts, or a frame, and columns; files all have one name, so that cards are the same as a whole."""
    network, test = small(), load_embedded()[1].take(np.arange(150))

    def put(table):
        if not isinstance(table, str):
            return table
        path = tmp_path_factory.mktemp("tables") / "cells.csv"
        path.write_text(table, encoding="utf-8")
        return path

    def run(table, columns, drop_invalid=False):
        table = {state: put(each) for state, each in table.items()} if isinstance(table, dict) else put(table)
        return bnnsim.sweep_measurements(table, network, test, columns=columns, cells=["1T1R", "2T2R"], trials=2, rng=3,
                                         drop_invalid=drop_invalid, progress=False, source="a test")

    return run


@pytest.fixture(scope="module")
def plain(cells, swept):
    return swept(*TABLES(*cells)["plain"])


def test_there_are_eleven_and_they_differ(cells):
    texts = [str(text) for text, _ in TABLES(*cells).values()]
    assert len(set(texts)) == len(texts) == 11


@pytest.mark.parametrize("name", TABLES([1.0], [2.0]))
def test_each_gives_the_same_card_accuracy_and_energy(name, cells, swept, plain):
    found = swept(*TABLES(*cells)[name], drop_invalid=name == "gaps")
    assert found.rows == plain.rows and None not in [row["energy_joule"] for row in found.rows]
    told = {"pulses": "mean pulses: 3 to HRS, 1 to LRS", "gaps": "left out as blank or no resistance"}
    if name in told:                                             # in the card's note, and nowhere else
        assert told[name] in found.card.rows[0]["note"] and told[name] not in plain.card.rows[0]["note"]
        assert [{**row, "note": ""} for row in found.card.rows] == [{**row, "note": ""} for row in plain.card.rows]
    else:
        assert found.card.checksum == plain.card.checksum and found.result.checksum == plain.result.checksum


def test_the_rows_are_those_of_the_measurements(cells, plain):
    """The card has their medians, and the energy is 2 pJ a SET and 6 pJ a RESET."""
    row, = plain.card.rows
    assert row["lrs_median_ohm"] == pytest.approx(np.exp(np.log(cells[0]).mean()), rel=1e-9)
    assert row["hrs_sigma_ln"] == pytest.approx(np.log(cells[1]).std(ddof=1), rel=1e-9)
    bits = 8e-12 * small().n_bits
    assert [each["energy_joule"] for each in plain.rows] == pytest.approx([bits / 2, bits])


def test_a_data_frame_and_a_table_of_each_state_do_too(cells, swept, plain):
    rows = [(state, ohm, energy) for state, each, energy in zip(("LRS", "HRS"), cells, (2.0, 6.0)) for ohm in each]
    frames = (Frame(["state", "resistance_ohm", "energy_pJ"], rows),
              {state: Frame(["resistance_ohm", "energy_pJ"], [row[1:] for row in rows if row[0] == state])
               for state in ("LRS", "HRS")})
    for frame in frames:
        assert swept(frame, None).rows == plain.rows


def test_another_unit_than_the_file_says_is_another_memory(cells, swept, plain):
    """The comparison can fail: ohms taken for something else, or one reading changed."""
    text = TABLES(*cells)["plain"][0]
    wrong = swept(text.replace(f"LRS,{cells[0][0]!r}", f"LRS,{cells[0][0] + 900!r}", 1), None)
    assert wrong.rows != plain.rows and wrong.card.checksum != plain.card.checksum
