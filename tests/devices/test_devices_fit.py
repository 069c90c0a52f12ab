"""Fits of measurements: what was put in comes out, intervals hold, a wrong model is seen, bad lines are named."""

import math
from dataclasses import replace

import numpy as np
import pytest

import bnnsim.devices as devices
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import (CardError, Cell1T1R, Cell2T2R, Empirical, LogNormal, MeasurementError, NormalConductance,
                            fit, load_card)
from bnnsim.devices.fitted import RateInterval
from bnnsim.devices.goodness import akaike, anderson_darling

SAMPLE = data_file("devices/sample_measurements.csv")


def table(path, groups, columns=""):
    """A CSV of {place text: (lrs, hrs)}; the place text holds the cells of `columns`."""
    lines = [f"{columns}state,resistance_ohm"]
    for place, states in groups.items():
        lines += [f"{place}{name},{ohm!r}" for name, each in zip(("LRS", "HRS"), states) for ohm in map(float, each)]
    path.write_text("\n".join(lines) + "\n")
    return path


def drawn(rng, n, lrs=(5e3, 0.3), hrs=(3e4, 0.7)):
    return [median * np.exp(sigma * rng.standard_normal(n)) for median, sigma in (lrs, hrs)]


# what comes out

def test_the_shipped_sample_gives_back_what_it_was_made_of():
    """data/make_device_files.py draws it from known states; 5 standard errors of 400 samples."""
    fitted = fit(SAMPLE)
    made = {"strong": (1e5, 0.55), "weak": (3e4, 0.75)}
    assert [each.place["condition"] for each in fitted.places] == list(made)
    for each in fitted.places:
        for state, (median, sigma) in ((each.lrs, (5e3, 0.3)), (each.hrs, made[each.place["condition"]])):
            assert abs(math.log(state.fitted.median_ohm / median)) < 5 * sigma / math.sqrt(400)
            assert abs(state.fitted.sigma_ln / sigma - 1) < 5 / math.sqrt(800)
            assert state.p_value["log-normal"] > 0.01 > 1e-6 > state.p_value["normal-conductance"]
            assert state.akaike["log-normal"] == 0
        true = LogNormal(5e3, 0.3), LogNormal(*made[each.place["condition"]])
        for cell, kind in (("1T1R", Cell1T1R), ("2T2R", Cell2T2R)):
            rate, low, high = each.rates[cell]
            assert low < kind(*true).error_rates().mean < high and low < rate < high
            assert rate == pytest.approx(each.cell(cell).error_rates().mean)
    assert "condition weak" in fitted.table() and "95 % interval" in fitted.table()
    assert "weak" in fitted.plot(place=1).get_suptitle() and "strong" in fitted.plot().get_suptitle()


def test_a_table_says_in_words_where_there_is_no_akaike_difference():
    """It said "dAIC +inf"."""
    lines = fit(SAMPLE, n_resamples=100).table().splitlines()
    assert [line.partition("  p ")[2].partition("  ")[2] for line in lines if line.startswith("  HRS")] == \
        ["no dAIC: over 3 % of a normal conductance would lie below 0"] * 2
    assert [line.partition("dAIC ")[2] for line in lines if line.startswith("  LRS")] == ["+59.4", "+49.6"]


def test_what_was_read_and_fitted_is_a_line_at_a_prompt():
    """All resistances were printed."""
    measured = devices.read_measurements(SAMPLE)
    fitted = fit(measured, n_resamples=100)
    assert repr(measured) == "<Measurements: 800 of LRS and 800 of HRS, 2 places>"
    assert repr(fitted) == "<DeviceFit: log-normal at 2 places>"
    assert repr(fitted.places[0]) == "<PlaceFit condition strong: 400 of LRS and 400 of HRS>"
    assert repr(fitted.places[0].lrs) == "<StateFit: 400 samples, LogNormal>"


def test_the_same_file_gives_the_same_intervals():
    first, again, other = (fit(SAMPLE, n_resamples=100, rng=rng).places[0].rates for rng in (0, 0, 1))
    assert first == again != other


def test_places_are_drawn_apart(tmp_path):
    """Of the same samples twice the rates are the same, and intervals have a chance of their own each."""
    states = drawn(np.random.default_rng(7), 40)
    one, other = fit(table(tmp_path / "t.csv", {"a,": states, "b,": states}, "condition,"), n_resamples=100).places
    assert one.rates["2T2R"].rate == other.rates["2T2R"].rate and one.rates["2T2R"] != other.rates["2T2R"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:all samples. the samples contradict")      # 1 % of good tables
def test_intervals_hold_as_often_as_they_say(tmp_path):
    """In 100 tables of 100 samples a state, a 90 % interval misses the truth 10 +- 9 times (3 sigma)."""
    rng, held, half = np.random.default_rng(7), 0, 0
    true = Cell2T2R(LogNormal(5e3, 0.3), LogNormal(3e4, 0.7)).error_rates().mean
    for _ in range(100):
        fitted = fit(table(tmp_path / "t.csv", {"": drawn(rng, 100)}), n_resamples=200, level=0.9, rng=1)
        rate, low, high = fitted.places[0].rates["2T2R"]
        held += low <= true <= high
        half += math.sqrt(low * rate) <= true <= math.sqrt(high * rate)
    assert 81 <= held <= 99 and half < 75


def test_anderson_darling_is_uniform_under_its_model_and_small_under_another():
    """1,000 normal samples: shares below 0.05, 0.25, 0.5 within 5 sigma; a t with 3 degrees of freedom is found out."""
    rng = np.random.default_rng(3)
    for n in (20, 200):
        p = np.array([anderson_darling(rng.standard_normal(n))[1] for _ in range(1000)])
        for level in (0.05, 0.25, 0.5):
            assert abs(np.mean(p < level) - level) < 5 * math.sqrt(level * (1 - level) / 1000) + 0.01
    assert np.mean([anderson_darling(rng.standard_t(3, 400))[1] < 0.01 for _ in range(100)]) > 0.95
    assert np.mean([anderson_darling(rng.exponential(size=100))[1] < 0.01 for _ in range(100)]) > 0.95


def test_akaike_finds_the_model_that_made_the_samples():
    rng = np.random.default_rng(5)
    g = rng.normal(1e-4, 2.5e-5, 2000)
    g = g[g > 0]
    x = -np.log(g)
    conductance = akaike(NormalConductance(float(g.mean()), float(g.std(ddof=1))), x)
    assert conductance + 10 < akaike(LogNormal(float(np.exp(x.mean())), float(x.std(ddof=1))), x)


def test_other_models(tmp_path):
    rng = np.random.default_rng(9)
    lrs, hrs = (1 / rng.normal(mean, 0.15 * mean, 300) for mean in (2e-4, 1.2e-4))
    path = table(tmp_path / "t.csv", {"": (lrs, hrs)})
    normal = fit(path, "normal-conductance", n_resamples=100).places[0]
    assert isinstance(normal.lrs.fitted, NormalConductance)
    assert normal.lrs.fitted.mean_siemens == pytest.approx(2e-4, rel=0.05)
    as_is = fit(path, "empirical", n_resamples=100).places[0]
    assert as_is.hrs.fitted == Empirical(hrs)
    assert as_is.rates["2T2R"].rate == pytest.approx(normal.rates["2T2R"].rate, rel=0.5)
    apart = fit(table(tmp_path / "u.csv", {"": (lrs, 100 * hrs)}), "empirical", n_resamples=100).places[0]
    rate, low, high = apart.rates["2T2R"]
    assert rate == low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 300))        # none in 300 is no proof of 0
    assert apart.rate_text("2T2R") == "0 (none seen in n = 300)"


def test_places_and_bounds_are_told_as_numbers_are_read(tmp_path):
    """Cycles as 1e+07, and a bound of no size, which a part of one wrong pair has, as 0: it was 4.85e-107."""
    rng, path = np.random.default_rng(1), tmp_path / "cells.csv"
    rows = [f"1e7,{state},{ohm:.5g}" for state, median in (("LRS", 5e3), ("HRS", 6e4))
            for ohm in median * np.exp(0.4 * rng.standard_normal(50))]
    path.write_text("\n".join(["cycles,state,resistance_ohm", *rows]))
    fitted = fit(path, n_resamples=100)
    assert fitted.places[0].name == "cycles 1e+07" and "cycles 1e+07\n" in fitted.table()
    tiny = RateInterval(1.3e-5, 4.85e-107, 0.00616)
    fitted = replace(fitted, places=(replace(fitted.places[0], seen={"1T1R": tiny, "2T2R": tiny}),))
    assert fitted.table().count("the samples themselves show 1.3e-05, 0 to 0.00616") == 2


def test_a_fit_becomes_a_card(tmp_path):
    rng = np.random.default_rng(2)
    groups = {f"weak,{n:g},": drawn(rng, 60, hrs=(4e4 / (1 + math.log10(n)), 0.6)) for n in (1, 100, 10000)}
    fitted = fit(table(tmp_path / "t.csv", groups, "condition,cycles,"), n_resamples=100)
    fitted.card("mine", "measured by this test").save(tmp_path / "mine.json")
    card = load_card(tmp_path / "mine.json")
    for each in fitted.places:
        assert card.error_rates(**each.place) == pytest.approx(each.cell().error_rates())
    rates = [each.cell().error_rates().mean for each in fitted.places]
    assert min(rates[:2]) < card.error_rates(condition="weak", cycles=10.0).mean < max(rates[:2])
    assert card.provenance("lrs_median_ohm", "weak") == ("measured",)
    invented = fitted.card("mine", "made up by this test", provenance="synthetic")
    assert invented.rate_mark(**fitted.places[0].place) == "synthetic"
    with pytest.raises(CardError, match="provenance"):
        fitted.card("mine", "this test", provenance="sure")
    for model in ("normal-conductance", "empirical"):
        same = drawn(rng, 60, (5e3, 0.1), (3e4, 0.15))
        card = fit(table(tmp_path / "u.csv", {"": same}), model, n_resamples=100).card("m", "s")
        card.save(tmp_path / "mine.json")
        assert load_card(tmp_path / "mine.json").cell() == card.cell()
    both = {"1,300,": same, "10,400,": same}
    with pytest.raises(CardError, match="one axis may vary, got cycles and temperature_kelvin"):
        fit(table(tmp_path / "v.csv", both, "cycles,temperature_kelvin,"), n_resamples=100).card("m", "s")


@pytest.mark.jit_off
def test_spreadsheets_may_write_marks_blanks_and_small_letters(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{5000 + i} , lrs" for i in range(9)] + [""] + [f"\"{50000 + i}\",Hrs" for i in range(9)]
    path.write_bytes("\r\n".join(["\ufeffresistance_ohm, state", *lines, ""]).encode())
    assert fit(path, n_resamples=100).places[0].lrs.samples_ohm.tolist() == [5000.0 + i for i in range(9)]


# bad lines

LINES = [
    ("", "line 1: the column resistance_ohm must be there, got none"),
    ("state\nLRS\n", "line 1: the column resistance_ohm must be there, got state"),
    ("resistance_mohm,state\n5,LRS\n", "unknown column 'resistance_mohm'; give this quantity as resistance_ohm, a re"),
    ("time,resistance_ohm,state\n5,5,LRS\n", "column 'time' has no unit; give this quantity as time_second, a time"),
    ("resistence_ohm,state\n5,LRS\n", "unknown column 'resistence_ohm'; did you mean 'resistance_ohm'"),
    ("device,resistance_ohm,state\n5,5,LRS\n", "unknown column 'device'; known are .*: leave out all others"),
    ("resistance_ohm|state\n5|LRS\n", r"line 1: unknown column 'resistance_ohm\|state'"),
    ("state,state,resistance_ohm\nLRS,LRS,5\n", "line 1: a column is named twice"),
    ("state,resistance_ohm\n", "wanted measurements below the first line, got none"),
    ("state,resistance_ohm\nLRS,5\nMRS,5\n", "t.csv, line 3, column state: wanted LRS or HRS, got 'MRS'"),
    ("state,resistance_ohm\nLRS,5k\n", "line 2, column resistance_ohm: wanted a resistance > 0 in ohm, got '5k'"),
    *((f"state,resistance_ohm\nLRS,{text}\n", f"line 2, column resistance_ohm: wanted .* > 0 in ohm, got '{text}'$")
      for text in ("5_000", "５000", "٥")),
    ("state,cycles,resistance_ohm\nLRS,1_0,5\n", "line 2, column cycles: wanted a number of cycles >= 1, got '1_0'"),
    ("state,resistance_ohm\nLRS,5\n\nLRS,nan\n", "line 4, column resistance_ohm: .* got 'nan'"),
    ("state,resistance_ohm\nLRS,inf\n", "line 2, column resistance_ohm: .* got 'inf'"),
    ("state,resistance_ohm\nLRS,-5\n", "line 2, column resistance_ohm: .* got '-5', a current or voltage at the noise"),
    ("state,resistance_ohm\nLRS,0\n", "line 2, column resistance_ohm: .* got '0', .* counted by drop_invalid=True"),
    ("state,resistance_ohm\nLRS,\n", "line 2, column resistance_ohm: .* got '', which is no reading"),
    ("state,resistance_ohm\nLRS,1e-38\n", "line 2, column resistance_ohm: .* one over a code of overflow"),
    *((f"state,resistance_ohm\nLRS,5\nHRS,{text}\n", f"t.csv, line 3, column resistance_ohm: .* got '{text}', which is "
       "no reading but a code of the instrument: .* leave such lines out, or have all of them dropped and counted by "
       "drop_invalid=True") for text in ("9.91e37", "9.9E37", "1e38", "199.999e99", "7e22", "-9.9e37", "OVLD",
                                         "overrange", "O.L", "-inf")),
    ("state,resistance_ohm\nLRS,5,6\n", r"line 2: wanted 2 columns \(state, resistance_ohm\), got 3"),
    ("state,resistance_ohm\nLRS,5 000,3\n", "line 2: wanted 2 columns"),
    ("state,cycles,resistance_ohm\nLRS,0,5\n", "line 2, column cycles: wanted a number of cycles >= 1, got '0'"),
    ("state,time_second,resistance_ohm\nLRS,1h,5\n", "line 2, column time_second: wanted a time > 0 in seconds"),
    ("state,temperature_kelvin,resistance_ohm\nLRS,-20,5\n", "column temperature_kelvin: wanted .* kelvin"),
    ("state,resistance_ohm\nLRS,\"5\n", "line 2: not CSV"),
    (b"state,resistance_ohm\nLRS,\xb5\n", "must be UTF-8 text, got byte 0xb5"),
    ("state,resistance_ohm\n" + "LRS,5000\nHRS,50000\n" * 3, "the table must have 8 or more samples of LRS, got 3"),
    ("state,resistance_ohm\n" + "LRS,5000\n" * 9, "samples of LRS must differ, got 5000 ohm 9 times"),
    ("state,resistance_ohm\n" + "".join(f"LRS,{i + 5}\nHRS,{i + 1}\n" for i in range(9)), "are the two exchanged"),
    ("condition,state,resistance_ohm\n" + "".join(f"weak,LRS,{i + 5}\n" for i in range(9)),
     "condition weak must have 8 or more samples of HRS, got 0"),
    ("cycles,state,resistance_ohm\n" + "".join(f"{i + 1},LRS,5\n" for i in range(1001)), "at most 1,000 places"),
]


@pytest.mark.jit_off
@pytest.mark.parametrize("text, message", LINES, ids=range(len(LINES)))
def test_bad_tables_are_refused_with_line_and_column(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        fit(path, n_resamples=100)


@pytest.mark.jit_off
def test_readings_that_are_no_resistances_are_dropped_and_counted_on_request(tmp_path):
    """A code among 121 HRS rows moved the 1T1R rate from 5.3e-4 to 0.345; a mistake of the table is refused still."""
    lrs, hrs = drawn(np.random.default_rng(11), 120, hrs=(1e5, 0.55))
    path = table(tmp_path / "t.csv", {"weak,": (lrs, hrs), "strong,": (lrs, hrs)}, "condition,")
    good, text = fit(path, n_resamples=100), path.read_text()
    codes = ("9.91e37", "-9.9e37", "inf", "OVLD", "overrange", "0", "-3", "nan", "")
    path.write_text(text + "".join(f"weak,HRS,{code}\n" for code in codes) + "weak,LRS,1e38\n")
    fitted = fit(path, n_resamples=100, drop_invalid=True)
    assert [each.rates for each in fitted.places] == [each.rates for each in good.places]
    assert [(each.lrs.n_dropped, each.hrs.n_dropped) for each in fitted.places] == [(1, 9), (0, 0)]
    assert "9 dropped, whose reading is no resistance" in fitted.table() and "dropped" not in good.table()
    assert "1 dropped, whose reading is no resistance: in no rate, though an open LRS" in fitted.table()
    weak, strong = (row["note"] for row in fitted.card("mine", "this test").rows)
    assert "bnnsim.devices.fit, 1 LRS and 9 HRS left out as blank or no resistance; bit" in weak
    assert "left out" not in strong
    path.write_text(text + "weak,HRS,9.91e37\nweak,HRS,5k\n")
    with pytest.raises(MeasurementError, match="line 483, column resistance_ohm: wanted a resistance > 0 in ohm, got"):
        fit(path, drop_invalid=True)


def test_no_drift_is_told_from_cycles_that_were_read_at_one_time_each(tmp_path):
    """A usual log of cycling, with a clock."""
    path, rng = tmp_path / "log.csv", np.random.default_rng(0)
    lines = [f"{median * math.exp(0.3 * rng.normal()):.6g},{state},{n},{n}.0,300\n" for n in (1, 10, 100)
             for state, median in (("LRS", 5e3), ("HRS", 5e4)) for _ in range(10)]
    path.write_text("resistance_ohm,state,cycles,time_second,temperature_kelvin\n" + "".join(lines))
    with pytest.raises(CardError, match="read at two times.*leave the times out, columns={'time_second': None}"):
        fit(path, n_resamples=100).card("mine", "me")
    found = fit(path, n_resamples=100, columns={"time_second": None}).card("mine", "me")
    assert list(found.axes()) == ["cycles", "sigma"]


@pytest.mark.jit_off
def test_more_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="wanted a table of measurements"):
        fit(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="model must be one of 'log-normal'"):
        fit(SAMPLE, "lognormal")
    with pytest.raises(ValueError, match="n_resamples must be in"):
        fit(SAMPLE, n_resamples=3)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        fit(SAMPLE, level=1.0)
    with pytest.raises(ValueError, match="at most 3 % of the normal below 0"):
        fit(SAMPLE, "normal-conductance", n_resamples=100)
    assert issubclass(MeasurementError, ValueError)
