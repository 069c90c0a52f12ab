"""Device cards: what they say is what their rows say, with its provenance; nothing outside; nothing from a bad file."""

import copy
import hashlib
import json
import math
import os
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest

import bnnsim
import bnnsim.training.packing as packing
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import AXES, CardError, Cell1T1R, Cell2T2R, DeviceCard, LogNormal, load_card, n_devices
from bnnsim.devices.card_schema import MAX_BYTES, place_text, where_text
from bnnsim.devices.cards import SHIPPED
from bnnsim.devices.conditions import FRESH
from bnnsim.training.architectures import build

DATA = Path(data_file("README.rst")).parent
KNOWN = {"provenance": "synthetic", "source": "this test"}
STATES = {"lrs_median_ohm": 5e3, "lrs_sigma_ln": 0.3, "hrs_median_ohm": 5e4, "hrs_sigma_ln": 0.6, **KNOWN}
WORN = {**STATES, "hrs_median_ohm": 2e4, "hrs_sigma_ln": 0.8}
DRIFT = {"hrs_drift_per_decade": -0.1, "drift_time0_second": 1.0, "drift_temperature0_kelvin": 300.0,
         "drift_time_max_second": 1e8, "drift_temperature_max_kelvin": 400.0, "activation_electronvolt": 0.8, **KNOWN}
ENERGY = {"energy_set_joule": 4e-12, "energy_reset_joule": 6e-12, "energy_read_joule": 1e-14, "endurance_cycles": 1e6,
          "weibull_scale_cycles": 1e7, "weibull_shape": 1.5, "stuck_share_lrs": 0.7, **KNOWN}
RATED = {"ber": 1e-3, "cell": "1T1R", **KNOWN}
CYCLED = [{"cycles": 1, **STATES}, {"cycles": 1e6, **WORN}]


def fields(*rows, **head):
    return {"format": "bnnsim device card", "format_version": 1, "name": "mine", "memory": "RRAM", "description": "",
            "licence": "MIT", "rows": list(rows), **head}


def card_of(*rows, **head):
    return DeviceCard("mine", "RRAM", "", "MIT", rows, **head)


def written(tmp_path, content):
    path = tmp_path / "card.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.fixture(scope="module")
def network():
    return packing.pack(build("FC256 FC10", (1, 28, 28), rng=0))


# what cards say

@pytest.mark.jit_off
def test_a_card_gives_the_cell_of_its_row():
    card = card_of(STATES)
    assert card.cell() == Cell2T2R(LogNormal(5e3, 0.3), LogNormal(5e4, 0.6))
    assert card.cell("1T1R") == Cell1T1R(LogNormal(5e3, 0.3), LogNormal(5e4, 0.6))
    assert card.error_rates() == card.cell().error_rates() and card.own_cell() == "2T2R"
    assert card.cell(sigma=1.5) == card.cell().scaled(1.5)
    assert card_of({**STATES, "reference_ohm": 2e4}).cell("1T1R").reference_ohm == 2e4


@pytest.mark.jit_off
def test_states_may_be_conductances_or_samples():
    siemens = {"lrs_mean_siemens": 2e-4, "lrs_sigma_siemens": 2e-5, "hrs_mean_siemens": 2e-5, "hrs_sigma_siemens": 4e-6}
    assert card_of({**siemens, **KNOWN}).cell().hrs.mean_siemens == 2e-5
    samples = {"lrs_samples_ohm": [5e3, 4e3], "hrs_samples_ohm": [3e4, 2e4, 4.5e3], **KNOWN}
    assert card_of(samples).cell().lrs.samples_ohm == (4e3, 5e3)
    assert card_of(samples).error_rates().mean == pytest.approx(1 / 6)
    for rows in ({**siemens, **KNOWN}, samples, STATES):
        card = card_of(rows)
        assert card.error_rates(sigma=card.axes()["sigma"][0]) == (0, 0), "the least that is offered is taken"


@pytest.mark.jit_off
def test_rows_of_one_place_are_joined_and_rows_without_a_condition_hold_for_all():
    card = card_of({**KNOWN, "energy_read_joule": 1e-14}, {"condition": "a", **STATES}, {"condition": "b", **WORN},
                   {"condition": "b", "endurance_cycles": 1e5, "provenance": "recalled", "source": "elsewhere"})
    assert card.conditions == ("a", "b") and card.value("energy_read_joule", "b") == 1e-14
    assert card.cell(condition="a").hrs.median_ohm == 5e4 and card.cell(condition="b").hrs.median_ohm == 2e4
    assert card.provenance("endurance_cycles", "b") == ("recalled",) and card.rate_mark(condition="b") == "synthetic"


@pytest.mark.jit_off
def test_cycles_are_interpolated_in_their_logarithm_and_start_fresh():
    card = card_of(*CYCLED)
    assert card.cell() == card.cell(cycles=1) and card.axes()["cycles"] == (1, 1e6)
    assert card.cell(cycles=1e3).hrs.median_ohm == pytest.approx(math.sqrt(5e4 * 2e4))
    assert card.cell(cycles=1e3).hrs.sigma_ln == pytest.approx(0.7)
    assert card.cell(cycles=1e8, extrapolate=True).hrs.median_ohm < 2e4


@pytest.mark.jit_off
def test_rates_are_interpolated_in_their_logarithm_over_voltage():
    rows = [{"voltage_volt": v, "p01": p, "p10": 2 * p, "cell": "6T", "energy_write_joule": v**2, **KNOWN}
            for v, p in ((0.5, 1e-1), (0.6, 1e-3), (0.8, 1e-5))]
    card = card_of(*rows)
    assert card.error_rates(voltage_volt=0.55) == pytest.approx((1e-2, 2e-2))
    assert card.error_rates(voltage_volt=0.7) == pytest.approx((1e-4, 2e-4))
    assert card.own_cell() == "6T" and card.axes() == {"voltage": (0.5, 0.8)}
    assert card.solve("voltage", 1.5e-4) == pytest.approx(0.7)


@pytest.mark.jit_off
def test_drift_and_dead_devices_are_in_the_cell():
    card = card_of({**STATES}, DRIFT, ENERGY)
    cell = card.cell(time_second=999.0, cycles=1e6)
    assert cell.hrs.median_ohm == pytest.approx(5e4 * math.exp(-0.3)) and cell.lrs.median_ohm == 5e3
    assert cell.failures.p_failed == pytest.approx(-math.expm1(-(0.1**1.5))) and cell.failures.share_lrs == 0.7
    assert card.cell().failures.p_failed == 0, "before its first cycle no device is dead"
    hot = card.cell(time_second=999.0, temperature_kelvin=360.0)
    assert hot.hrs.median_ohm < cell.hrs.median_ohm
    assert set(card.axes()) == {"time", "temperature", "sigma"}
    both = card_of(STATES, {**DRIFT, "lrs_drift_per_decade": 0.05}).cell(time_second=999.0)
    assert both.lrs.median_ohm == pytest.approx(5e3 * math.exp(0.15)) and both.hrs == cell.hrs


@pytest.mark.jit_off
def test_a_share_of_0_in_lrs_is_not_one_that_is_missing():
    """All dead devices in HRS became half of them."""
    share = {key: card_of(STATES, {**ENERGY, "stuck_share_lrs": key}).cell(cycles=1e6).failures.share_lrs
             for key in (0.0, 1.0)}
    unsaid = {key: value for key, value in ENERGY.items() if key != "stuck_share_lrs"}
    assert share == {0.0: 0.0, 1.0: 1.0} and card_of(STATES, unsaid).cell(cycles=1e6).failures.share_lrs == 0.5


@pytest.mark.jit_off
def test_rates_beyond_the_data_end_at_their_greatest():
    """A line drawn on says 10 where a rate is 1 at most: no fault could be made of it."""
    card = card_of(*[{"voltage_volt": volt, "ber": ber, "cell": "6T", **KNOWN}
                     for volt, ber in ((0.5, 0.1), (0.6, 1e-3))])
    assert card.error_rates(voltage_volt=0.4, extrapolate=True) == (1, 1)
    assert card.error_rates(voltage_volt=0.7, extrapolate=True).mean == pytest.approx(1e-5)


@pytest.mark.jit_off
def test_a_reference_moves_along_the_axis_and_beyond_it():
    """In its logarithm, as medians do; a 1T1R cell beyond the data was refused, or kept the last one."""
    card = card_of(*[{**row, "reference_ohm": ohm} for row, ohm in zip(CYCLED, (2e4, 5e3))])
    assert card.cell("1T1R", cycles=1e3).reference_ohm == pytest.approx(1e4)
    assert card.cell("1T1R", cycles=1e9, extrapolate=True).reference_ohm == pytest.approx(2.5e3)


@pytest.mark.jit_off
def test_energy_devices_and_life(network):
    card, n_bits = card_of(STATES, ENERGY), network.n_bits
    assert card.energy_joule(network) == pytest.approx(10e-12 * n_bits)
    assert card.energy_joule(network, "1T1R", bits_per_weight=2) == pytest.approx(10e-12 * n_bits)
    assert card.read_energy_joule(network) == pytest.approx(1e-14 * n_bits)
    assert card.n_devices(network) == 2 * n_bits == card.n_devices(network, "1T1R", bits_per_weight=2.0)
    assert card.lifetime_cycles() == 1e6 and card.lifetime_cycles(1e-3) == pytest.approx(1e5, rel=0.01)
    assert card.read_energy_joule(network, bits_per_weight=1.5) == pytest.approx(1.5e-14 * n_bits)
    assert card.lifetime_second(3600.0) == pytest.approx(3.6e9)
    assert card.lifetime_second(60.0, 1e-3) == 60 * card.lifetime_cycles(1e-3)
    sram = load_card("sram_synthetic")
    assert sram.energy_joule(network, voltage_volt=0.5) == pytest.approx(1.5e-14 * n_bits)
    assert sram.n_devices(network) == n_bits


# faults

@pytest.mark.jit_off
def test_faults_say_when_they_are_drawn():
    card = card_of(*CYCLED, DRIFT, ENERGY)
    when = {name: card.axis(name, cycles=1e3) for name in ("cycles", "time", "temperature", "sigma")}
    assert {name: fault.when for name, fault in when.items()} == {
        "cycles": "growing", "time": "growing", "temperature": "write", "sigma": "write"}
    assert load_card("hfo2_2t2r").fault(condition="reference").when == "write"


def test_devices_are_programmed_along_conditions_too():
    weak = load_card("teaching").axis("condition", cycles=1e4).at("weak")
    assert weak.programmed().cell == load_card("teaching").cell(condition="weak", cycles=1e4)


def test_a_drift_out_of_the_range_of_floats_is_refused():
    card = card_of(*CYCLED, {**DRIFT, "hrs_drift_per_decade": 1e9})
    with pytest.raises(ValueError, match="cycles 1000, time_second 100.*range"):
        card.error_rates(cycles=1e3, time_second=100.0)


def test_errors_grow_with_cycles_and_time_on_one_chip(network):
    card = card_of(*CYCLED, DRIFT)
    for fault, places in ((card.axis("cycles", "1T1R"), (1, 1e2, 1e6)), (card.axis("time", cycles=1e5), (1, 1e4, 1e8))):
        for kind in ("bits", "devices"):
            chips = [(fault.at(x) if kind == "bits" else fault.at(x).programmed()).apply(network, 0) for x in places]
            masks = [[a.words ^ b.words for a, b in zip(chip.layers, network.layers)] for chip in chips]
            for fewer, more in zip(masks[:-1], masks[1:]):
                assert not any(np.any(a & ~b) for a, b in zip(fewer, more))
            assert sum(np.bitwise_count(a).sum() for a in masks[-1]) > sum(np.bitwise_count(a).sum() for a in masks[0])


def test_faults_have_the_rates_of_the_card(network):
    fault = load_card("hfo2_2t2r").fault(condition="ultra-low power")
    broken = fault.apply(network, 3)
    k = sum(int(np.bitwise_count(a.words ^ b.words).sum()) for a, b in zip(broken.layers, network.layers))
    n = network.n_bits
    assert abs(k - 0.033 * n) < 5 * math.sqrt(0.033 * 0.967 * n) < 0.1 * 0.033 * n
    assert fault.at("low power").error_rates() == (9.7e-5, 9.7e-5)
    assert load_card("teaching").fault("1T1R", (0,), condition="weak", cycles=1e4).apply(network, 3).layers[1] is \
        network.layers[1]


def test_a_sweep_takes_a_card_at_a_place(network):
    """`apply` and `at` are all that a campaign asks for; a card goes to another process."""
    fault = pickle.loads(pickle.dumps(load_card("teaching").fault("1T1R", condition="weak", cycles=1e4)))
    assert fault.card.checksum == load_card("teaching").checksum
    np.testing.assert_array_equal(fault.apply(network, 1).layers[0].words,
                                  load_card("teaching").fault("1T1R", condition="weak", cycles=1e4)
                                  .apply(network, 1).layers[0].words)
    assert len(repr(fault)) < 300


# figures

def test_a_card_draws_itself(tmp_path):
    """Along its first axis, or the one asked for, the cells that it can have: the rates that it gives."""
    card = load_card("teaching")
    axes = card.plot(tmp_path / "card.png", "cycles", condition="weak").axes[0]
    assert len(axes.lines) == 2 and (tmp_path / "card.png").stat().st_size > 1000
    x, y = axes.lines[0].get_data()
    assert y[3] == card.error_rates("1T1R", "weak", cycles=x[3]).mean
    assert [label.get_text().split("\n")[0] for label in card.plot().axes[0].get_xticklabels()] == list(card.conditions)
    assert card.plot(condition="weak").axes[0].get_xlabel().startswith("programming cycles")
    assert len(load_card("sram_synthetic").plot(cells=("6T",)).axes[0].lines) == 1
    assert len(load_card("hfo2_2t2r").plot().axes[0].lines) == 1
    with pytest.raises(ValueError, match="condition must be one of 'strong', .*, got none"):
        card.plot(axis="cycles")


# files

def test_cards_round_trip(tmp_path):
    for name in SHIPPED:
        card = load_card(name)
        card.save(tmp_path / "copy.json")
        assert load_card(tmp_path / "copy.json").fields() == card.fields()
        assert load_card(str(tmp_path / "copy.json")).checksum == card.checksum
    with pytest.raises(ValueError, match="path of a device card must end in .json, got .*sweep.h5"):
        card.save(tmp_path / "sweep.h5")
    assert os.listdir(tmp_path) == ["copy.json"]


def test_shipped_files_are_those_of_their_scripts_and_of_the_readme(tmp_path):
    """All but the one written by hand can be made again; a hand-edited copy without its checksum would show."""
    for script in ("make_device_files.py", "make_library_cards.py"):
        runpy.run_path(str(DATA / script))["main"](tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(["sample_measurements.csv", *(f"{name}.json" for name in SHIPPED if name != "hfo2_2t2r")])
    readme = (DATA / "README.rst").read_text(encoding="utf-8")
    for path in (DATA / "devices").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() in readme, f"run {DATA.name}/make_device_files.py"
        assert path.name not in made or (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_what_was_not_verified_says_so():
    """The marks themselves: tests/devices/test_devices_marks.py."""
    card = load_card("hfo2_2t2r")
    assert all("not verified" in row["source"] for row in card.rows if row["provenance"] == "recalled")


def test_notes_say_of_which_rows_they_are():
    """Four times "log-normal fitted to ...", and of which cycles was not told."""
    cycled = [{"condition": "a", "cycles": float(n), "ber": n / 1e3, **KNOWN} for n in range(1, 8)]
    notes = ["one", "one", "two", *["many"] * 4]
    card = card_of(*({**row, "note": note} for row, note in zip(cycled, notes)),
                   {"endurance_cycles": 1e6, "note": "all", **KNOWN}, {**RATED, "condition": "b", "note": "many"})
    assert card.notes() == ["condition a, cycles 1; condition a, cycles 2: one", "condition a, cycles 3: two",
                            "condition a, cycles 4; ... condition b (5 places): many", "all"]
    assert card.notes("b") == ["all", "condition b: many"]


def test_every_axis_of_every_shipped_card_can_be_asked():
    for name in SHIPPED:
        card = load_card(name)
        for axis, limits in card.axes().items():
            place = {"condition": card.conditions[0]} if axis != "condition" and len(card.conditions) > 1 else {}
            if axis == "condition":                              # where on an axis that has no place to begin with
                known = card.under(card.conditions[0])
                place = {known.axis: known.limits()[0]} if known.axis and known.axis not in FRESH else {}
            values = limits if axis == "condition" else [x for x in limits if math.isfinite(x)]
            values = [0.5] if axis == "sigma" and name == "rram_relaxation" else values   # a normal conductance has one
            for value in values:
                rates = card.axis(axis, **place).at(value).error_rates()
                assert 0 <= rates.p01 <= 0.5 and 0 <= rates.p10 <= 0.5
        assert set(card.axes()) <= set(AXES)


# bad input

ROW = STATES


def changed(**changes):
    row = {**STATES, **changes}
    return {key: value for key, value in row.items() if value is not None}


FIELDS = [
    (fields(changed(lrs_sigma_ln=-0.1)), r"rows\[0\] lrs_sigma_ln must be >= 0, got -0.1"),
    (fields(changed(hrs_median_ohm=1e3)), "condition '': hrs must have a median above that of lrs, got 1000 ohm"),
    (fields({"cycles": 1, **STATES}, {"cycles": 9, **STATES, "hrs_median_ohm": 1.0}),
     "cycles 9: hrs must have a median"),
    (fields(changed(lrs_median_kohm=5.0)), "unknown key 'lrs_median_kohm'; a key names its unit: .*'lrs_median_ohm'"),
    (fields(changed(hrs_sigma_percent=5.0)), "unknown key 'hrs_sigma_percent'; a key names its unit: .*'hrs_sigma_ln'"),
    (fields(changed(enduranse_cycles=5.0)), "did you mean 'endurance_cycles'"),
    (fields(changed(weibull_scale=5.0)), "give this quantity as 'weibull_scale_cycles'"),
    (fields(changed(energy_picojoule=5.0)), "unknown key 'energy_picojoule'; known are"),
    (fields(changed(hrs_mean_ohm=5.0)), "give this quantity as 'hrs_mean_siemens'"),
    (fields(changed(lrs_average_ohm=5.0)), "unknown key 'lrs_average_ohm'; known are"),
    (fields(changed(v_set_millivolt=5.0)), "give this quantity as 'v_set_volt'"),
    (fields(changed(lrs_median_ohm="5k")), r"rows\[0\] lrs_median_ohm must be a number, got '5k' of type str"),
    (fields(changed(lrs_median_ohm=None)), "must have lrs_median_ohm and lrs_sigma_ln, or"),
    (fields(changed(lrs_median_ohm=10**400)), "lrs_median_ohm must be finite, got a number of more than 308 digits"),
    (fields(changed(lrs_median_ohm=True)), "lrs_median_ohm must be a number, got 'True'|must be a real number"),
    (fields(changed(cycles=0)), r"rows\[0\] cycles must be >= 1"),
    (fields(changed(provenance="guessed")), r"rows\[0\] provenance must be one of 'measured', 'read'"),
    (fields(changed(provenance=None)), r"rows\[0\] provenance must be one of"),
    (fields(changed(source=None)), r"rows\[0\] must have a source"),
    (fields(changed(note="x" * 3000)), "note must be text of at most 2,000"),
    (fields({"ber": 1.5, **KNOWN}), "ber must be <= 1, got 1.5"),
    (fields({"ber": 0.1, "p01": 0.1, **KNOWN}), "either ber, or p01 and p10, got both"),
    (fields({"p01": 0.1, **KNOWN}), "either ber, or both p01 and p10, got p01"),
    (fields(changed(ber=0.1)), "give either distributions of the states or ber, got both"),
    (fields({"voltage_volt": 1, "ber": 0.0, **KNOWN}, {"voltage_volt": 2, "ber": 0.1, **KNOWN}),
     "ber must be > 0 along"),
    (fields(STATES, STATES), "lrs_median_ohm is given twice"),
    (fields({"cycles": 2, **STATES}, {"cycles": 2, **STATES}, {"cycles": 3, **STATES}), "given twice at one cycles"),
    (fields({"cycles": 2, "voltage_volt": 1, **STATES}, {"cycles": 3, "voltage_volt": 2, **STATES}),
     "one axis may vary"),
    (fields(STATES, {"hrs_drift_per_decade": 0.1, **KNOWN}), "must have drift_time0_second, drift_temperature0_kelvin"),
    (fields(STATES, {"weibull_shape": 0.1, **KNOWN}), "must have weibull_scale_cycles too"),
    (fields(changed(lrs_samples_ohm=[1.0])), "lrs_samples_ohm must be an array of two or more"),
    (fields(changed(lrs_samples_ohm=[4e3, 5e3])), "must have lrs_median_ohm .*, or lrs_samples_ohm, and not several"),
    (fields(changed(lrs_samples_ohm=[1.0, -1.0])), r"lrs_samples_ohm\[1\] must be > 0"),
    (fields(changed(cell=3)), "cell must be text"),
    (fields({**ROW, "cell": "1T1R"}, {"cell": "2T2R", "endurance_cycles": 1.0, **KNOWN}), "cell must be one, got"),
    (fields(), "rows must be 1 to 10,000 rows, got 0"),
    (fields(*[{"energy_read_joule": 1.0, **KNOWN}] * 10_001), "rows must be 1 to 10,000 rows, got 10,001"),
    (fields(3), r"rows\[0\] must be a JSON object, got '3'"),
    (fields(ROW, author="me"), "the card: unknown key 'author'"),
    (fields(ROW, format="other"), "format must be 'bnnsim device card', got 'other'"),
    (fields(ROW, format_version=2), "format_version .* must be in .1, 1., got 2"),
    (fields(ROW, name=3), "name must be text, got '3' of type int"),
    (fields(ROW, assume_equal_sigmas=1), "assume_equal_sigmas must be true or false"),
    (fields({"k" * 1_000_000: 1, **STATES}), "unknown key 'kkk"),
    (fields(changed(lrs_median_ohm=[1.0] * 100_000)), "lrs_median_ohm must be a number, got .* of type list"),
    (fields(*[{"condition": str(i), **STATES} for i in range(101)]), "100 conditions at most, got 101"),
    ([1, 2], "must be a JSON object, got list"),
    ({"format": "bnnsim device card"}, "must have the key 'format_version'"),
    (b'{"rows": NaN}', "numbers must be finite, got NaN"),
    (b'{"rows": 1, "rows": 2}', "the key 'rows' is given twice"),
    (b"{" + b'"a": 1, ' * 200_000 + b'"b": 2}', "the key 'a' is given twice"),
    (b'{"rows": ', "not a device card"),
    (b"\x89HDF\xff", "not a device card"),
    (b"[" * 100_000, "not a device card"),
    (b" " * (MAX_BYTES + 1), "at most 4,000,000 bytes"),
]


@pytest.mark.jit_off
@pytest.mark.parametrize("content, message", FIELDS, ids=range(len(FIELDS)))
def test_bad_cards_are_refused_with_the_row_and_the_key(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(CardError, match=message) as error:
        load_card(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 2500


@pytest.mark.jit_off
def test_a_good_card_is_not_refused(tmp_path):
    """Else the table above would prove nothing."""
    good = fields(*CYCLED, DRIFT, ENERGY)
    assert load_card(written(tmp_path, copy.deepcopy(good))).cell() == card_of(*CYCLED, DRIFT, ENERGY).cell()


CALLS = [
    (lambda: card_of(*CYCLED).cell(cycles=1e7), "cycles must be within the data, 1 to 1e.06, got 1e.07"),
    (lambda: card_of(STATES).cell(cycles=10),
     "cycles must be within the card's data, which know nothing of it, got 10"),
    (lambda: card_of(*CYCLED).value("hrs_median_ohm", time=3.0), "time must be given with its unit, as time_second"),
    (lambda: card_of({"cycles": 5, **STATES}).cell(cycles=10), "which know only at 5, got 10"),
    (lambda: card_of(STATES).cell(time_second=10.0), "time_second must be within the card's data"),
    (lambda: card_of(RATED, DRIFT).error_rates(time_second=1e7), "time_second must be within the card's data, which"),
    (lambda: card_of(RATED, DRIFT).rate_mark(temperature_kelvin=350.0), "temperature_kelvin must be within the card's"),
    (lambda: card_of(RATED, ENERGY).error_rates(cycles=1e9), "cycles must be within the card's data, which know"),
    (lambda: card_of(RATED, DRIFT).solve("time", 0.1), "axis must be one of the card's, which has none, got 'time'"),
    (lambda: card_of(STATES, DRIFT).cell(time_second=1e9), "time_second must be within the data, up to 1e.08 s"),
    (lambda: card_of(STATES, DRIFT).cell(temperature_kelvin=500.0), "temperature_kelvin must be within the data"),
    (lambda: card_of(STATES, {**DRIFT, "hrs_drift_per_decade": -1.0}).cell(time_second=1e7),
     "time_second 1e.07: hrs must"),
    (lambda: load_card("sram_synthetic").error_rates(), "voltage_volt must be given: the card runs from 0.5 to 0.85; "
     "say one place, voltage_volt=0.85 .--at voltage=0.85., or take all of them by axis 'voltage' .--axis voltage.$"),
    (lambda: load_card("sram_synthetic").error_rates(voltage_volt=0.3), "voltage_volt must be within the data, 0.5 to"),
    (lambda: load_card("sram_synthetic").error_rates("2T2R", voltage_volt=0.5), "cell must be '6T'"),
    (lambda: load_card("sram_synthetic").cell(voltage_volt=0.6), "must have distributions of LRS and HRS"),
    (lambda: load_card("sram_synthetic").error_rates(sigma=2.0, voltage_volt=0.6), "sigma needs distributions"),
    (lambda: load_card("sram_synthetic").solve("voltage", 0.4), "ber must be one that the card reaches along voltage"),
    (lambda: load_card("sram_synthetic").solve("cycles", 0.1), "axis must be one of the card's, voltage, got 'cycles'"),
    (lambda: load_card("teaching").cell(), "condition must be one of 'strong', 'medium', 'weak', got none"),
    (lambda: load_card("teaching").cell(condition="week"), "did you mean 'weak'"),
    (lambda: load_card("teaching").fault(condition="weak", voltage_volt=1.0), "voltage_volt must be within the card's"),
    (lambda: load_card("teaching").fault(condition="weak", cycle=1.0), "place must be one of .* did you mean 'cycles'"),
    (lambda: load_card("teaching").fault(), "a place must be given by keyword"),
    (lambda: load_card("teaching").axis("volts"), "axis must be one of"),
    (lambda: load_card("teaching").axis("cycles", condition="weak").error_rates(), "cycles must be given"),
    (lambda: load_card("teaching").value("ber", "weak"), "has no ber; it has"),
    (lambda: load_card("teaching").provenance("ber", "weak"), "key must be one of"),
    (lambda: load_card("hfo2_2t2r").lifetime_cycles(0.1, "reference"), "must have weibull_scale_cycles"),
    (lambda: card_of(STATES).lifetime_cycles(), "has no endurance_cycles"),
    (lambda: card_of({"ber": 0.1, "cell": "2T2R", **KNOWN}).error_rates("1T1R"), "that sets assume_equal_sigmas"),
    (lambda: card_of(ENERGY).error_rates(), "neither distributions nor error rates"),
    (lambda: card_of(STATES).energy_joule(bnnsim.pack(build("FC10", (1, 2, 2), rng=0))),
     "energy_set_joule must be given"),
]


def test_a_fault_has_one_text_in_whatever_order_its_place_was_told():
    card = load_card("teaching")
    one, other = (card.axis("time", **place) for place in ({"condition": "weak", "cycles": 1e3},
                                                           {"cycles": 1e3, "condition": "weak"}))
    assert repr(one) == repr(other) and one.at(5.0).error_rates() == other.at(5.0).error_rates()


@pytest.mark.parametrize("axis", ["time", "cycles"])
@pytest.mark.parametrize("at", [0.1, 0.5, 3.0, 14.3, 1e3, 1e7])
def test_solve_finds_places_at_both_ends_of_a_log_axis(axis, at):
    """Where errors grow; to 1e-6, as rates and their integrals are to 1e-8 (time is solved for next to 0, too)."""
    card, key = load_card("teaching"), {"time": "time_second", "cycles": "cycles"}[axis]
    if axis == "time" or at > 1:
        ber = card.error_rates("2T2R", "weak", **{key: at}).mean
        assert card.solve(axis, ber, "2T2R", "weak") == pytest.approx(at, rel=1e-6)


@pytest.mark.parametrize("call, message", CALLS, ids=range(len(CALLS)))
def test_cards_say_what_they_do_not_know(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.jit_off
def test_more_bad_input():
    with pytest.raises(FileNotFoundError, match="wanted a device card"):
        load_card("no_such_card")
    for ask in (card_of(RATED).error_rates, card_of(*CYCLED).cell, card_of(RATED).fault):
        with pytest.raises(TypeError, match="extrapolate must be True or False, got 'no'"):
            ask(extrapolate="no")
    network, rated = type("N", (), {"n_bits": 3}), card_of(STATES, ENERGY)
    for ask in (n_devices, rated.n_devices, rated.energy_joule):
        for cell in ("2t2r", "2T-2R", "2T2R "):
            with pytest.raises(ValueError, match="cell must be '1T1R' or '2T2R', or .*; did you mean '2T2R'?"):
                ask(network, cell)
        for cell in (2, ""):
            with pytest.raises(TypeError, match="cell must be '1T1R' or '2T2R', or the name of another memory's"):
                ask(network, cell)
    with pytest.raises(TypeError, match="cell must be .* got None"):
        n_devices(network, None)
    assert [n_devices(network, cell) for cell in ("6T", "1T1C", "1T1R", "2T2R")] == [3, 3, 3, 6]
    with pytest.raises(TypeError, match="network must have n_bits"):
        card_of(STATES, ENERGY).energy_joule(7)
    with pytest.raises(ValueError, match="bits_per_weight must be >= 1"):
        card_of(STATES, ENERGY).n_devices(type("N", (), {"n_bits": 3}), bits_per_weight=0.5)


def test_a_table_of_measurements_is_no_card_and_the_message_says_what_makes_one(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("state,resistance_ohm\nLRS,5000\n")
    with pytest.raises(ValueError, match=r"cells.csv: not a device card: .* bnnsim.devices.fit.path..card"):
        load_card(path)


def test_places_are_told_in_units_that_are_read():
    told = [place_text("timing", 5e-9), place_text("time", 1e7), place_text("voltage", 0.54375),
            place_text("time", 2e-3), place_text("cycles", 1e7), place_text("timing", 7.8843e-9, 4),
            place_text("condition", "weak")]
    assert told == ["5 ns", "1e+07 s", "0.54375 V", "2 ms", "1e+07", "7.884 ns", "weak"]
    assert where_text({"condition": "", "cycles": None}) == ""
    assert where_text({"condition": "weak", "time_second": 60.0}) == "condition weak, time 60 s"
