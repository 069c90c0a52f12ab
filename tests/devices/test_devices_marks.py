"""Marks: what is printed of a card is known as well as the weakest of what it was made from."""

import itertools
import re

import numpy as np
import pytest

import bnnsim
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import Cell2T2R, DeviceCard, LogNormal, load_card
from bnnsim.devices.cards import SHIPPED
from bnnsim.devices.marks import MARKS, doubts, either, explained, said, strongest, weakest
from bnnsim.faults import BitFlips, Compose, Protected

STATES = {"lrs_median_ohm": 5e3, "lrs_sigma_ln": 0.3, "hrs_median_ohm": 5e4, "hrs_sigma_ln": 0.6}
DRIFT = {"hrs_drift_per_decade": -0.1, "drift_time0_second": 1.0, "drift_temperature0_kelvin": 300.0,
         "drift_time_max_second": 1e8}
DYING = {"weibull_scale_cycles": 1e7, "weibull_shape": 1.5}
ENERGY = {"energy_set_joule": 4e-12, "energy_reset_joule": 6e-12}


def row(provenance, **values):
    return {**values, "provenance": provenance, "source": "this test"}


def card_of(*rows, **head):
    return DeviceCard("mine", "RRAM", "", "MIT", rows, **head)


@pytest.mark.jit_off
def test_the_weakest_mark_wins_and_nothing_is_weaker_than_the_invented():
    order = list(MARKS)
    assert order == ["measured", "read", "reconstructed", "derived", "recalled", "synthetic"]
    for a, b in itertools.combinations(order, 2):
        assert weakest((a, b)) == weakest((b, a)) == b and strongest((b, a)) == a
    assert said("4", "read") == "4" and said("4", "recalled") == "4 (recalled)"
    assert doubts(["read", "synthetic", "recalled"]) == ["recalled", "synthetic"] and doubts(["measured", "read"]) == []
    assert either({"recalled", "read"}) == "read or recalled"
    assert [line[0] for line in explained(order)] == ["~", "^", "?", "*"] and explained(["read", "measured"]) == []


RATES = [                           # rows; cell, place; mark
    ([row("read", ber=1e-3, cell="2T2R")], "2T2R", {}, "read"),
    ([row("read", ber=1e-3, cell="2T2R")], "1T1R", {}, "derived"),
    ([row("read", ber=1e-3), row("recalled", cell="2T2R")], "2T2R", {}, "read"),
    ([row("read", ber=1e-3), row("recalled", cell="2T2R")], "1T1R", {}, "recalled"),
    ([row("recalled", p01=1e-3), row("read", p10=1e-3)], None, {}, "recalled"),
    ([row("measured", **STATES)], "1T1R", {}, "measured"),
    ([row("measured", **STATES), row("recalled", reference_ohm=1e4)], "1T1R", {}, "recalled"),
    ([row("measured", **STATES), row("recalled", reference_ohm=1e4)], "2T2R", {}, "measured"),
    ([row("measured", **STATES), row("recalled", **DRIFT)], "2T2R", {}, "measured"),
    ([row("measured", **STATES), row("recalled", **DRIFT)], "2T2R", {"time_second": 10.0}, "recalled"),
    ([row("measured", **STATES), row("read", **DRIFT)], "2T2R", {"time_second": 1e9}, "derived"),
    ([row("measured", **STATES), row("recalled", **DYING)], "2T2R", {"cycles": 10.0}, "recalled"),
    ([row("measured", **STATES), row("recalled", **DYING)], "2T2R", {}, "measured"),
    ([row("measured", **STATES), row("recalled", **ENERGY)], "2T2R", {"sigma": 2.0}, "derived")]


@pytest.mark.jit_off
@pytest.mark.parametrize("rows, cell, place, mark", RATES, ids=range(len(RATES)))
def test_rates_hang_on_what_they_come_from_and_on_no_more(rows, cell, place, mark):
    card = card_of(*rows, assume_equal_sigmas=True)
    assert card.rate_mark(cell, **place) == mark
    card.error_rates(cell, extrapolate=True, **place)                      # ... which are there


@pytest.mark.jit_off
def test_between_two_rows_the_weaker_holds_and_beyond_the_data_a_line_is_derived():
    card = card_of(*[row(mark, ber=ber, voltage_volt=volt, cell="6T") for mark, ber, volt in
                     (("measured", 1e-1, 0.5), ("measured", 1e-2, 0.6), ("recalled", 1e-3, 0.7), ("read", 1e-4, 0.8))])
    marks = {volt: card.rate_mark(voltage_volt=volt) for volt in (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)}
    assert marks == {0.4: "derived", 0.5: "measured", 0.55: "measured", 0.6: "measured", 0.65: "recalled",
                     0.7: "recalled", 0.75: "recalled", 0.8: "read", 0.9: "recalled"}


@pytest.mark.jit_off
def test_energies_hang_on_the_kind_of_cell_where_it_is_the_cards():
    known = row("read", **ENERGY), row("read", ber=1e-3, energy_relative=0.1), row("recalled", cell="2T2R")
    card = card_of(*known, assume_equal_sigmas=True)
    assert (card.energy_mark(), card.energy_mark("2T2R"), card.energy_mark("1T1R")) == ("recalled", "recalled", "read")
    assert (card.relative_mark(), card.relative_mark("1T1R")) == ("read", "recalled")
    assert card_of(*known, row("read", cell="2T2R")).energy_mark() == "read", "what is read, too, is read"
    one = card_of(row("read", ber=1e-3, cell="6T"), row("recalled", energy_write_joule=1e-15))
    assert one.energy_mark() == "recalled" and one.rate_mark() == "read"


# ---------------------------------------------------------------- tables

@pytest.fixture(scope="module")
def network():
    return bnnsim.PackedNetwork.load(data_file("fashion_fcnn_flip.h5"))


def swept(card, network, **settings):
    return bnnsim.sweep_card(card, network, bnnsim.load_embedded()[1][:40], "condition", trials=2, rng=0,
                             progress=False, **settings)


def card_with(**provenances):
    """A card of two conditions; of the second, those groups of values have a provenance of their own."""
    groups = {"rates": {"ber": 1e-2}, "energies": ENERGY, "relative": {"energy_relative": 0.5},
              "cell": {"cell": "2T2R"}}
    rows = [row("read", condition="sure", **{key: value for group in groups.values() for key, value in group.items()})]
    rows += [row(provenances.get(name, "read"), condition="asked", **group) for name, group in groups.items()]
    return card_of(*rows, assume_equal_sigmas=True)


def signed(found):
    """Names of the columns whose number has a sign, and those of the rows; of each line of the table."""
    head, *lines = [re.split(r"  +", line) for line in found.table().split("\n\n")[0].split("\n")]
    assert all(len(line) == len(head) for line in lines), "no cell is empty here"
    return [{name for name, text in zip(head, line) if text[-1] in "~^?*"} for line in lines]


ACCURACY = {"accuracy %", "95 % interval", "drop"}
HANGS = {"rates": {"BER of cells", "BER after code"} | ACCURACY, "energies": {"energy"}, "relative": {"of reference"},
         "cell": {"cell", "devices/weight", "energy"}}


@pytest.mark.parametrize("group", HANGS)
def test_a_recalled_input_marks_each_figure_that_hangs_on_it_and_no_other(network, group):
    found = swept(card_with(**{group: "recalled"}), network, codes=["secded(8,4)"])
    assert signed(found) == [set(), HANGS[group]]
    assert found.table().endswith("? made from what was recalled of a publication, not verified")
    assert {row["place"]: row["rate_mark"] for row in found.rows} == {
        "sure": "read", "asked": "recalled" if group == "rates" else "read"}


def test_rates_of_another_cell_hang_on_the_cards_and_on_an_assumption(network):
    found = swept(card_with(cell="recalled"), network, cells=["1T1R"], codes=["secded(8,4)"])
    sure, asked = signed(found)
    assert sure == HANGS["rates"] and asked == HANGS["rates"] | {"of reference"}
    assert "^ derived" in found.table() and "1T1R: rates that follow from those of 2T2R" in found.table()


def test_a_card_of_what_was_read_or_measured_has_no_marks(network):
    for found in (swept(card_with(), network), swept(card_with(rates="measured"), network)):
        assert signed_nothing(found) and "\n\n" not in found.table()
        figure = found.plot()
        assert not [text for axes in figure.axes for text in (axes.get_ylabel(),) if "[" in text]
        assert not re.search("|".join(MARKS), figure.axes[0].get_title())


def signed_nothing(found):
    return not re.search(r"[~^?*]", found.table())


def test_figures_say_which_points_are_how_well_known(network):
    found = swept(card_with(rates="recalled", energies="synthetic"), network, codes=["none", "secded(8,4)"])
    axes = found.plot().axes
    assert [each.get_ylabel().split("\n")[-1] for each in axes] == ["[read or recalled]"] * 2 + ["[read or synthetic]"]
    assert "(dotted: after code)" in axes[1].get_ylabel()
    assert "errors of 2T2R: recalled at asked; energies: synthetic at asked" in axes[0].get_title()
    pareto = found.plot_pareto()
    assert pareto.axes[0].get_xlabel().endswith("(µJ)\n[read or synthetic]")
    assert "recalled at asked" in pareto.get_suptitle()
    after = [row["ber_after_code"] for row in found.rows if row["code"] != "none"]
    dotted = [line for line in axes[1].lines if line.get_linestyle() == ":"][-1]
    assert list(dotted.get_ydata()) == after


def test_the_results_file_knows_how_well_the_card_is_known(network, tmp_path):
    """Also of places that were not asked for: a resumed file may have them."""
    card = card_with(rates="recalled")
    for out in (None, tmp_path / "sweep.h5"):
        found = swept(card, network, places=["sure"], out=out, provenance={"command": "a test"})
        assert found.result.provenance["card"] == \
            "mine, error rates of 2T2R read or recalled; conditions: 0 'sure', 1 'asked'"
        assert found.result.provenance["command"] == "a test"
    assert bnnsim.SweepResult.load(out).provenance["card"] == found.result.provenance["card"]


def test_a_tolerated_place_is_known_as_well_as_the_rates_that_lead_to_it(network):
    rows = [row(mark, ber=ber, voltage_volt=volt, cell="6T")
            for mark, ber, volt in (("read", 0.4, 0.5), ("recalled", 0.1, 0.6), ("read", 1e-3, 0.7))]
    some = bnnsim.load_embedded()[1][:40]
    marks = [bnnsim.sweep_card(card_of(*rows), network, some, "voltage", places, trials=2, rng=0,
                               progress=False).tolerated()[0]["mark"] for places in ([0.5, 0.7], [0.5, 0.6, 0.7])]
    assert marks == ["read", "recalled"]


# ---------------------------------------------------------------- the cards that ship

CLAIMED = {"reference": {"energy_relative"}, "ultra-low power": {"ber", "energy_relative"}}    # what could be read, all


def test_shipped_cards_claim_to_have_read_only_what_stands_in_the_papers():
    """An error rate of 3.3e-2 and a ratio of 30 [V, docs/equations.rst 1.1]; 1 is the other end of that ratio.

    Of the other technologies: tests/devices/test_device_library.py.
    """
    for each in load_card("hfo2_2t2r").rows:
        said_of_row = {"provenance", "source", "note", "condition"}
        assert each["provenance"] in ("read", "recalled")
        if each["provenance"] == "read":
            assert set(each) - said_of_row == CLAIMED[each["condition"]]
    for name in SHIPPED:
        if "synthetic" in name or name == "teaching":
            assert {each["provenance"] for each in load_card(name).rows} == {"synthetic"}


def test_the_kind_of_cell_and_all_joules_of_the_hafnium_card_are_recalled():
    card = load_card("hfo2_2t2r")
    for condition in card.conditions:
        assert card.cell_mark(condition) == card.energy_mark(condition=condition) == "recalled"
        assert card.rate_mark("1T1R", condition) == "recalled"
    assert card.rate_mark(condition="ultra-low power") == card.relative_mark(condition="ultra-low power") == "read"
    assert "up to 3.3%" in next(row["note"] for row in card.rows if row.get("ber") == 0.033)


def test_a_figure_s_title_says_what_only_the_kind_of_cell_rests_on(network):
    """With the cell and the places, and not where the errors are not better known themselves."""
    title = swept(card_with(cell="recalled"), network).plot().axes[0].get_title()
    assert "kind of cell, 2T2R: recalled at asked" in title.replace("\n", " ")
    for doubtful in (card_with(rates="recalled", cell="recalled"), card_with(rates="synthetic"), card_with()):
        assert "kind of cell" not in swept(doubtful, network).plot().axes[0].get_title()


NETWORK = bnnsim.pack(bnnsim.architectures.build("FC16 FC3", (1, 4, 4), rng=0))
ZEROS = bnnsim.Split(np.zeros((6, 1, 4, 4), np.uint8), np.arange(6) % 3, "zeros", 3)


def told(fault, rates, **settings):
    """What a sweep tells of cards, of a stored one too, and in its figure."""
    found = bnnsim.sweep(NETWORK, ZEROS, rates, 2, 0, faults=fault, progress=False, **settings)
    card = found.provenance.get("card")
    if card is not None:
        assert found.table().splitlines()[-1] == card and card in found.plot().axes[0].get_title()
    return card


def test_sweeps_of_devices_of_a_card_bear_its_mark():
    """They bore none, beside card sweeps that did."""
    card = card_of(row("read", **STATES), row("recalled", **DRIFT))
    fresh = card.cell("2T2R")
    old = card.cell("1T1R", time_second=10.0)
    assert told(fresh.programmed(), [1.0]) == "mine, devices of 2T2R read"
    assert told(fresh.programmed(), [1.0, 1.5]) == "mine, devices of 2T2R read or derived"
    assert told(fresh.scaled(2.0).programmed(), [1.0]) == "mine, devices of 2T2R derived"
    assert told(fresh.shifted(0.1, 0.1).programmed(), [1.0]) == "mine, devices of 2T2R derived"
    assert told(old.programmed(), [1.0, 1.5]) == "mine, devices of 1T1R recalled"
    assert told(card.fault("2T2R", time_second=10.0).programmed(), [1.0]) == "mine, devices of 2T2R recalled"
    assert told({"a": Protected(old.programmed(), "secded(8,4)"), "b": Compose([fresh.programmed(), BitFlips(0.1)])},
                [1.0]) == "mine, devices of 1T1R recalled; mine, devices of 2T2R read"
    assert told(card.axis("time"), [0.0, 10.0]) == "mine, error rates of 2T2R recalled"
    assert told(load_card("hfo2_2t2r").axis("condition"), [2]) == "hfo2_2t2r, error rates of 2T2R read"


def test_a_mark_names_the_kind_of_cell_of_its_own_condition():
    card = card_of(row("read", condition="a", ber=1e-3, cell="2T2R"),
                   row("recalled", condition="b", ber=1e-2, cell="6T"))
    assert [card.axis("condition").at(name).origin for name in "ab"] == [
        ("mine, error rates of 2T2R", "read"), ("mine, error rates of 6T", "recalled")]


def test_sweeps_of_the_user_s_own_numbers_bear_none():
    assert told(Cell2T2R(LogNormal(5e3, 0.5), LogNormal(5e4, 0.7)).programmed(), [1.0]) is None
    assert told(BitFlips(0), [0.0, 0.1]) is None


def test_a_resumed_sweep_tells_of_all_places_in_its_file(tmp_path):
    card, out = load_card("hfo2_2t2r"), tmp_path / "s.h5"
    assert told(card.axis("condition"), [0, 1], out=out) == "hfo2_2t2r, error rates of 2T2R recalled"
    assert told(card.axis("condition"), [2], out=out, resume=True) == "hfo2_2t2r, error rates of 2T2R read or recalled"


def test_cells_of_a_card_are_what_cells_of_the_same_numbers_are():
    """The mark is no part of what results are a function of."""
    card = card_of(row("read", **STATES)).cell("2T2R")
    own = Cell2T2R(card.lrs, card.hrs)
    assert card == own and repr(card) == repr(own) and repr(card.programmed()) == repr(own.programmed())
