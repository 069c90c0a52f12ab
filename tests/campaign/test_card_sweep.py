"""From a device card to accuracy: each row against the pieces that it is made of, the command line, the figures."""

import json
import types

import numpy as np
import pytest
import slow_cases
from small_networks import small

import bnnsim.device_sweep as device_sweep
import bnnsim.devices as devices
from bnnsim import load_embedded
from bnnsim.campaign import chip_yields
from bnnsim.campaign.card_sweep import sweep_card
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import Split
from bnnsim.faults import AsymmetricFlips, BitFlips, Protected, exact_residual
from bnnsim.statistics import share_interval


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def test():
    whole = load_embedded()[1]
    return Split(whole.images[:300], whole.labels[:300], "300 images")


def sweep(card, network, split, axis, places=None, **settings):
    card = devices.load_card(card)
    return sweep_card(card, network, split, axis, places, trials=3, rng=5, progress=False, **settings)


def test_rows_are_what_the_card_the_fault_and_the_network_say(network, test):
    found = sweep("hfo2_2t2r", network, test, "condition", cells=["1T1R", "2T2R"], codes=["none", "secded(8,4)"])
    card = devices.load_card("hfo2_2t2r")
    assert [row["place"] for row in found.rows] == list(card.conditions) * 4
    for row in found.rows:
        rates = card.error_rates(row["cell"], row["place"])
        fault = AsymmetricFlips(*rates)
        fault = fault if row["code"] == "none" else Protected(fault, row["code"])
        ref = [fault.apply(network, 5, trial).accuracy(test) for trial in range(3)]
        assert row["mean"] == pytest.approx(np.mean(ref), abs=1e-12) and row["ber"] == rates.mean
        after = None if row["code"] == "none" else pytest.approx(exact_residual("secded(8,4)", rates.mean), rel=1e-6)
        assert row["ber_after_code"] == after
        devices_per_weight = {"1T1R": 1, "2T2R": 2}[row["cell"]] * (1 if row["code"] == "none" else 2)
        assert row["devices_per_weight"] == pytest.approx(devices_per_weight)
        per_device = np.mean([card.value(f"energy_{kind}_joule", row["place"]) for kind in ("set", "reset")])
        assert row["energy_joule"] == pytest.approx(devices_per_weight * network.n_bits * per_device)
        assert row["energy_relative"] == pytest.approx(card.relative_energy(row["place"]) * devices_per_weight / 2)
        assert row["clean"] == network.accuracy(test)
        assert {type(value) for value in row.values()} <= {str, float, type(None)}, "no scalars of NumPy's"


def test_the_ultra_low_power_claim_by_one_command(capsys):
    """Hirtzlin et al. 2019: BER 3.3 % costs little, at 1/30 of the energy [V]; all 2,000 embedded images."""
    assert device_sweep.main(["--quiet", "--format", "json", "--trials", "5"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    row = next(row for row in rows if row["network"] == "fashion_fcnn_flip" and row["place"] == "ultra-low power")
    assert row["ber"] == 0.033 and row["energy_relative"] == pytest.approx(1 / 30)
    assert row["clean"] - row["low"] < 0.015


@pytest.mark.parametrize("card, axis, at", slow_cases.first(3, [
    ("teaching", "cycles", {"condition": "weak"}), ("teaching", "sigma", {"condition": "medium"}),
    ("sram_synthetic", "voltage", {}), ("dram_synthetic", "timing", {}),
    ("teaching", "time", {"condition": "weak", "cycles": 1e4}),
    ("teaching", "temperature", {"condition": "weak", "time_second": 1e6})]))
def test_every_axis_runs_from_end_to_end_of_the_data(network, test, card, axis, at, tmp_path):
    found = sweep(card, network, test, axis, at=at)
    bers = [row["ber"] for row in found.rows]
    assert len(bers) == 9 and len(set(bers)) > 1
    assert axis in found.table().splitlines()[0]
    assert "synthetic" in found.result.plot().axes[0].get_title(), "of a stored sweep, too"
    assert found.plot(tmp_path / "curves.png").axes[2].get_xlabel()
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_tolerated_place_is_where_the_card_has_the_tolerated_rate(network, test):
    found = sweep("sram_synthetic", network, test, "voltage", [0.5, 0.52, 0.54, 0.56, 0.6, 0.7])
    one, = found.tolerated(drop=0.02)
    assert one["where"] == "inside" and 0.5 < one["place"] < 0.6
    assert devices.load_card("sram_synthetic").error_rates(voltage_volt=one["place"]).mean == \
        pytest.approx(one["ber"], rel=0.05)
    assert one["place_low"] is None or one["place_low"] <= one["place"] <= one["place_high"]


def test_between_places_beyond_the_data_the_card_is_straight_in_logarithms(network, test):
    """Rates are, over the logarithm of cycles: the tolerated place lay between them on a plain one."""
    rows = [{"cycles": cycles, "ber": ber, "cell": "2T2R", "provenance": "synthetic", "source": "a test"}
            for cycles, ber in ((1.0, 1e-4), (1e4, 1e-3))]
    card = devices.DeviceCard("plain", "RRAM", "two rates", "MIT", rows)
    found = sweep_card(card, network, test, "cycles", [1e10, 1e11, 1e12, 1e13], trials=3, rng=5, progress=False,
                       extrapolate=True)
    one, = found.tolerated(0.02)
    assert one["where"] == "inside" and 1e10 < one["place"] < 1e13
    assert card.error_rates(cycles=one["place"], extrapolate=True).mean == pytest.approx(one["ber"], rel=1e-9)


def of_voltages(bers, **values):
    rows = [{"voltage_volt": 0.5 + 0.1 * i, "ber": ber, "cell": "6T", "provenance": "synthetic", "source": "a test",
             **values}
            for i, ber in enumerate(bers)]
    return devices.DeviceCard("plain", "SRAM", "rates", "MIT", rows, assume_equal_sigmas=False)


def test_rates_that_rise_and_fall_have_no_tolerated_place(network, test, tmp_path, capsys):
    """A voltage was named at which the memory fails: the straight line ran through the places of both branches."""
    card = of_voltages([0.3, 0.02, 0.001, 0.03, 0.2])
    found = sweep_card(card, network, test, "voltage", trials=3, rng=5, progress=False)
    one, = found.tolerated(0.05)
    assert one["where"] == "inside" and 0.02 < one["ber"] < 0.3
    assert (one["place"], one["place_low"], one["place_high"]) == (None, None, None)
    found.save(tmp_path / "volts.h5")
    assert device_sweep.main([str(tmp_path / "volts.h5"), "--drop", "5", "--quiet"]) == 0
    assert "the card's rates along voltage rise and fall, so no one place belongs to a rate" in capsys.readouterr().out


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_tolerated_place_is_among_those_run_where_the_card_has_its_rate_elsewhere_too(first, network, test):
    card = of_voltages([0.2, 0.001, 0.2, 0.001])
    places = [card.axes()["voltage"][0] + 0.1 * i for i in (first, first + 1)]
    one, = sweep_card(card, network, test, "voltage", places, trials=3, rng=5, progress=False).tolerated(0.05)
    assert one["where"] == "inside" and places[0] < one["place"] < places[1]


def test_figures_tell_how_many_chips_places_have(network, test):
    """The most was told of all places, "1 chips", and one chip had a band from 0 to 1."""
    found = sweep_card(of_voltages([0.2, 0.1, 0.01]), network, test[:40], "voltage", trials=3, rng=5, progress=False)
    assert "line: mean over 3 chips, band: its 95 % confidence interval" in found.plot().axes[0].get_title()
    found.result.right[0, 0, 1:] = NOT_RUN
    top = found.plot().axes[0]
    assert "line: mean over 1 to 3 chips, band: its" in top.get_title()
    assert min(top.collections[0].get_paths()[0].vertices[:, 0]) == found.places[1], "the first place has no band"
    found.result.right[0, :, 1:] = NOT_RUN
    title = found.plot().axes[0].get_title()
    assert "line: mean over 1 chip" in title and "chips" not in title and "interval" not in title
    assert not found.plot().axes[0].collections[0].get_paths()


def test_a_campaign_on_a_card_resumes_and_refuses_another_card(network, test, tmp_path):
    out = tmp_path / "volts.h5"
    first = sweep("sram_synthetic", network, test, "voltage", [0.55, 0.6], out=out)
    more = sweep("sram_synthetic", network, test, "voltage", [0.55, 0.6, 0.65], out=out, resume=True)
    whole = sweep("sram_synthetic", network, test, "voltage", [0.55, 0.6, 0.65])
    assert more.result.checksum == whole.result.checksum != first.result.checksum
    with pytest.raises(ValueError, match="another campaign"):
        sweep("teaching", network, test, "cycles", [10, 100], at={"condition": "weak"}, out=out, resume=True)


def test_pareto_without_energies_is_refused(network, test, tmp_path):
    known = {"cell": "6T", "provenance": "synthetic", "source": "a test"}
    rows = {"voltage_volt": 0.5, "ber": 0.1, **known}, {"voltage_volt": 0.6, "ber": 0.01, **known}
    card = devices.DeviceCard("plain", "SRAM", "no energies", "MIT", rows)
    found = sweep_card(card, network, test, "voltage", trials=2, rng=0, progress=False)
    assert found.rows[0]["energy_joule"] is None and found.plot().axes[2].texts
    assert "energy" not in found.table() and "of reference" not in found.table(), "no columns without a number"
    with pytest.raises(ValueError, match="no energies"):
        found.plot_pareto()


def test_yields_count_the_chips_of_each_place(network, test):
    """The card's places have no rate 0, of which `chip_yields` takes the clean accuracy: it says where to ask."""
    found = sweep("teaching", network, test, "cycles", [1e9, 10], at={"condition": "weak"}, cells=["1T1R", "2T2R"])
    rows = found.yields(0.02).rows
    for row, told in zip(found.rows, rows, strict=True):
        s, p = found.series.index({key: row[key] for key in found.series[0]}), found.places.index(row["place"])
        accuracy = found.result.accuracy[s, found.columns()[p]]
        failed = int((accuracy < row["clean"] - 0.02 - 1e-9).sum())
        interval = share_interval(len(accuracy) - failed, len(accuracy))
        assert told["rate"] == row["place"] and told["share"] == pytest.approx(failed / len(accuracy))
        assert (told["low"], told["high"]) == pytest.approx((1 - interval.high, 1 - interval.low))
    assert "1e+09" in found.yields(0.02).table() and "1T1R  " in found.yields(0.02).table()
    assert sweep("teaching", network, test, "condition", ["weak"]).yields().rows[0]["rate"] == "weak"
    with pytest.raises(ValueError, match="CardSweep.yields know more"):
        chip_yields(found.result)
    with pytest.raises(ValueError, match="drop must be at most the clean accuracy"):
        found.yields(0.999)


def test_yields_by_one_command(tmp_path, capsys):
    stored, common = str(tmp_path / "volts.h5"), ["--quiet", "--drop", "2", "--yields"]
    assert device_sweep.main(["sram_synthetic", "--networks", "fashion_fcnn", "--limit", "50", "--trials", "2",
                              "--values", "0.5,0.6", "--out", stored, *common]) == 0
    told = capsys.readouterr().out
    assert "chips that lose more than 2 points" in told and "voltage (V)" in told
    assert device_sweep.main([stored, *common]) == 0 and capsys.readouterr().out == told
    with pytest.raises(SystemExit):
        device_sweep.main([stored, "--format", "csv", *common])
    assert "--yields goes with --format table" in capsys.readouterr().err


def test_where_a_sweep_stands_on_the_other_axes_is_told(network, test):
    """Two tables, or figures, of two conditions were alike."""
    at = {"condition": "weak", "time_second": 1e7}
    found = sweep("teaching", network, test[:20], "cycles", [10], at=at)
    assert "all at condition weak, time 1e+07 s" in found.table()
    assert "condition weak, time 1e+07 s" in found.plot().axes[0].get_title().replace("\n", " ")


def test_short_times_are_told_and_drawn_in_nanoseconds(network, test):
    found = sweep("ddr3_trcd", network, test[:20], "timing", [5e-9, 7.5e-9], at={"condition": "vendor B"}, cells=None)
    assert "  5 ns  " in found.table() and "7.5 ns" in found.table()
    axes = found.plot().axes[-1]
    assert axes.get_xlabel() == "timing parameter" and axes.xaxis.get_major_formatter()(5e-9) == "5 ns"


@pytest.mark.parametrize("joule, told", [(2e-15, "2 fJ"), (3.05e-9, "3.05 nJ"), (9.999e-4, "1 mJ"), (20, "20 J")])
def test_a_table_has_energies_in_the_unit_of_its_figure(network, test, joule, told):
    """They were in uJ, "0.00305 uJ" and "1.57e+03 uJ"."""
    card = of_voltages([0.1, 0.01], energy_write_joule=joule / network.n_bits)
    found = sweep_card(card, network, test[:20], "voltage", [0.5, 0.6], trials=1, rng=0, progress=False)
    assert found.table().count(f" {told}*") == 2
    assert f"({told.split()[1]})" in found.plot().axes[2].get_ylabel()


def test_the_interval_of_one_place_is_a_bar(network, test):
    """A band without width is not seen, though the title names it."""
    figure = sweep("teaching", network, test, "cycles", [1e9], at={"condition": "weak"}).plot()
    bar, = figure.axes[0].collections
    (_, low), (_, high) = bar.get_segments()[0]
    assert high > low


def test_one_place_one_cell_or_one_code_needs_no_list(network, test):
    few = test[:20]
    one = sweep("teaching", network, few, "cycles", 1e4, at={"condition": "weak"}, cells="1T1R", codes="secded(72,64)")
    same = sweep("teaching", network, few, "cycles", [1e4], at={"condition": "weak"}, cells=["1T1R"],
                 codes=["secded(72,64)"])
    assert one.rows == same.rows and one.result.checksum == same.result.checksum
    assert sweep("teaching", network, few, "condition", "weak").places == ["weak"]


@pytest.mark.parametrize("changes, error, message", [
    ({"networks": []}, TypeError, "networks must be a PackedNetwork or a dict of name to PackedNetwork, got list"),
    ({"at": "weak"}, TypeError, "at must be a dict of where on the other axes, .* got 'weak'"),
    ({"places": {"weak": 1}}, TypeError, "places must be a sequence of numbers, or names of conditions, got"),
    ({"codes": None}, TypeError, "codes must be a sequence of codes, such as .'none', .* got None"),
    ({"codes": "secdet(72,64)"}, ValueError, "code must be one of .*got 'secdet"),
    ({"cells": 2}, TypeError, "cells must be a sequence of kinds of cells"),
    ({"cells": [None]}, TypeError, "cell must be '1T1R' or '2T2R', or the name"),
    ({"cells": "2t2r"}, ValueError, "did you mean '2T2R'"),
    ({"extrapolate": "no"}, TypeError, "extrapolate must be True or False, got 'no'")])
def test_what_is_no_such_argument_is_said_in_words(network, test, changes, error, message):
    asked = {"networks": network, "places": ["weak"], **changes}
    with pytest.raises(error, match=message):
        sweep_card(devices.load_card("teaching"), split=test, axis="condition", progress=False, **asked)


BAD = [((), {"axis": "cycles"}, "axis must be one of"), (("teaching",), {"axis": "cycles"}, "condition"),
       (("teaching",), {"axis": "cycles", "at": "condition=weak", "values": "1e30"}, "within the data"),
       (("teaching",), {"axis": "cycles", "at": "condition=weak", "values": "0:10:3"}, "start > 0"),
       (("teaching",), {"at": "weak"}, "AXIS=PLACE"), (("teaching",), {"values": "strong,odd"}, "odd"),
       (("no_such.json",), {}, "no_such.json"),
       (("teachin",), {}, "teaching, which come with bnnsim; did you mean 'teaching'?"),
       (("teaching",), {"axis": "cycles", "at": "condition=weak,strong"}, "condition must be one of"),
       (("teaching",), {"axis": "cycles", "at": "time=5,6"}, "--at time must be one place"),
       (("teaching",), {"axis": "cycles", "at": "cycles=5"}, "at must be on other axes than 'cycles'"),
       (("teaching",), {"values": "strong,strong"}, "--values must be at least one, and differ"),
       (("sram_synthetic",), {"values": "0.6,0.6"}, "--values must be at least one, and differ"),
       ((), {"ecc": "hamming"}, "hamming"), ((), {"cell": "3T3R"}, "3T3R"),
       ((), {"plot": "x.gif"}, "must end in"), ((), {"drop": "0"}, "drop"),
       (("sram_synthetic",), {"cell": "2T2R"}, "6T")]


@pytest.mark.parametrize("card, options, message", BAD)
def test_bad_input_ends_with_one_line(card, options, message, capsys):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with pytest.raises(SystemExit) as stop:
        device_sweep.main([*card, *words, "--quiet", "--trials", "1"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and message in error


def test_one_place_on_another_axis_is_given_once(capsys):
    """The last one held, silently."""
    with pytest.raises(SystemExit):
        device_sweep.main(["teaching", "--axis", "cycles", "--at", "condition=weak", "--at", "condition=strong"])
    assert "--at condition must be one place, got condition=weak and condition=strong" in capsys.readouterr().err


def test_the_command_draws_and_prints_how_far_the_axis_goes(tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("curves.png", "pareto.png", "volts.h5")]
    assert device_sweep.main(["sram_synthetic", "--values", "0.5:0.6:3", "--trials", "2", "--quiet", "--ecc",
                              "none,secded(8,4)", "--plot", paths[0], "--pareto", paths[1], "--out", paths[2]]) == 0
    out = capsys.readouterr().out
    assert "a loss of 1 point at voltage 0.5" in out and "secded(8,4)" in out
    assert out.count("BER of cells") == 4 and out.count("(synthetic)") == 4 and "BER after code: " in out
    assert out.count("run more between 0.5 and 0.55,  --values 0.5:0.55:9") == 3
    assert all((tmp_path / name).stat().st_size > 5_000 for name in ("curves.png", "pareto.png", "volts.h5"))
    assert device_sweep.main(["sram_synthetic", "--values", "0.5:0.55:9", "--trials", "2", "--quiet", "--networks",
                              "fashion_fcnn_flip"]) == 0
    assert "run more" not in capsys.readouterr().out


@pytest.mark.parametrize("axis, places, ber, typed", [
    ("time", [0.0, 1e6, 31556952.0], 0.02, "1000000.0 and 31556952.0,  --values 1000000.0:31556952.0:9"),
    ("time", [0.0, 1e6, 31556952.0], 0.005, "0.0 and 1000000.0"),
    ("voltage", [0.6, 0.56, 0.54], 0.004, "0.56 and 0.6,  --values 0.56:0.6:9"),
    ("voltage", [0.6, 0.56, 0.54], 0.01, "0.54 and 0.56,  --values 0.54:0.56:9")])
def test_places_to_run_are_those_around_the_rate_and_can_be_typed(axis, places, ber, typed):
    """Rounded ends lay outside of the card's data, 0 is on no log axis, a rate met exactly was on the other side."""
    series = {"network": "n", "cell": "c", "code": "none"}
    rows = [{**series, "place": place, "ber": rate} for place, rate in zip(places, (0.003, 0.01, 0.1))]
    one = {**series, "step": 0.043, "ber": ber}
    said = device_sweep._coarse(one, types.SimpleNamespace(axis=axis, rows=rows), 1.0)
    assert said.endswith(f"by 4.3 points, along a line that need not be straight: run more between {typed}")
    assert device_sweep._coarse({**one, "step": 0.01}, None, 1.0) == ""


@pytest.mark.slow
def test_the_command_prints_and_draws_a_stored_sweep_again(tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("volts.h5", "first.png", "again.png")]
    common = ["--quiet", "--drop", "2"]
    assert device_sweep.main(["sram_synthetic", "--values", "0.5:0.6:3", "--trials", "2", "--out", paths[0], "--plot",
                              paths[1], *common]) == 0
    first = capsys.readouterr().out
    assert device_sweep.main([paths[0], "--plot", paths[2], *common]) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()
    assert device_sweep.main([paths[0], "--format", "csv", *common]) == 0
    assert capsys.readouterr().out.startswith("network,cell,code,axis,place,ber,")
    for options, message in ((["--axis", "voltage"], "--axis must not be"), (["--cell", "6T"], "--cell must not")):
        with pytest.raises(SystemExit):
            device_sweep.main([paths[0], *options, *common])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        device_sweep.main([str(data_file("fashion_fcnn_flip.h5")), *common])
    assert "open it with PackedNetwork.load" in capsys.readouterr().err


def accuracies(found):
    return {(row["network"], row["cell"], row["code"], row["place"]): row["mean"] for row in found.rows}


def test_conditions_in_any_order_keep_their_own_accuracies(network, test):
    """A condition's number is that of the card, not of its place in the list that was asked for."""
    whole = accuracies(sweep("hfo2_2t2r", network, test, "condition"))
    for places in (["ultra-low power"], ["ultra-low power", "reference"]):
        some = accuracies(sweep("hfo2_2t2r", network, test, "condition", places))
        assert some == {key: whole[key] for key in some} and len(some) == len(places)


def test_rows_of_a_resumed_campaign_are_those_asked_for(network, test, tmp_path):
    """A results file keeps places that are not asked for any more, in between."""
    out = tmp_path / "out.h5"
    whole = accuracies(sweep("sram_synthetic", network, test, "voltage", [0.5, 0.54, 0.7], out=out))
    found = sweep("sram_synthetic", network, test, "voltage", [0.54, 0.7], out=out, resume=True)
    assert accuracies(found) == {key: whole[key] for key in accuracies(found)} and len(found.rows) == 2
    alone = sweep("sram_synthetic", network, test, "voltage", [0.54, 0.7])
    assert [one["ber"] for one in found.tolerated(0.02)] == [one["ber"] for one in alone.tolerated(0.02)]


def test_a_cell_or_code_named_twice_is_one_series(network, test):
    networks = {"a": network, "b": BitFlips(0.3).apply(network, 1)}
    once = sweep("hfo2_2t2r", networks, test, "condition", ["reference"], cells=["2T2R"])
    twice = sweep("hfo2_2t2r", networks, test, "condition", ["reference"], cells=["2T2R"] * 2, codes=["none"] * 2)
    assert twice.rows == once.rows and len(once.rows) == 2


def test_default_places_stay_within_the_data(network, test):
    """Ends with more digits than places are rounded to."""
    note = {"provenance": "synthetic", "source": "this test"}
    card = devices.DeviceCard("worn", "RRAM", "", "", ({"cycles": 1, "ber": 1e-4, "cell": "2T2R", **note},
                                                       {"cycles": 123456, "ber": 1e-2, "cell": "2T2R", **note}))
    found = sweep_card(card, network, test, "cycles", trials=1, rng=0, progress=False)
    assert (found.places[0], found.places[-1], len(found.places)) == (1, 123456, 9)


@pytest.mark.parametrize("named", slow_cases.first(1, [{}, {"condition": "fresh"}, {"cycles": 1000}]))
def test_a_card_of_one_place_is_swept_there(named, tmp_path, capsys):
    """A row with a BER is a card: it has no axis that a number could move along, and its one condition."""
    row = {"ber": 1e-2, "cell": "2T2R", "provenance": "synthetic", "source": "this test", **named}
    devices.DeviceCard("new", "RRAM", "", "", (row,)).save(tmp_path / "new.json")
    stored, printed = ["--out", str(tmp_path / "stored.h5")], []
    for more in (stored, ["--resume", "--plot", str(tmp_path / "new.png"), *stored]):
        assert device_sweep.main([str(tmp_path / "new.json"), "--networks", "mnist_mlp", "--dataset", "fashion-subset",
                                  "--trials", "2", "--quiet", "--format", "json", *more]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    first, again = printed
    assert first["rows"] == again["rows"] and [one["ber"] for one in first["rows"]] == [1e-2]
    assert (first["axis"], first["rows"][0]["place"]) == ("condition", named.get("condition", ""))
    card = devices.load_card(tmp_path / "new.json")
    card.plot(tmp_path / "card.png")
    with pytest.raises(SystemExit):
        device_sweep.main([str(tmp_path / "new.json"), "--values", "1,2", "--quiet", "--dataset", "fashion-subset"])
    wanted = "--values must be " + ("one of 'fresh'" if "condition" in named else "left out: 'new' has one condition")
    assert wanted in capsys.readouterr().err
    assert card.fault().error_rates() == card.error_rates() == (1e-2, 1e-2)


def test_an_axis_with_one_place_is_swept_there(network, test):
    """Drift that was measured at one temperature."""
    rows = devices.load_card("teaching").rows
    rows = [{key: value for key, value in row.items() if not key.startswith("drift_temperature_m")} for row in rows]
    card = devices.DeviceCard("baked", "RRAM", "", "", tuple(rows))
    found = sweep_card(card, network, test, "temperature", trials=1, rng=0, progress=False, at={"condition": "weak"})
    assert found.places == [300]
