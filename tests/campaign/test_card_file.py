"""Sweeps of device cards in files: what comes back is what was saved, and what cannot be is refused."""

import csv
import io
import math

import numpy as np
import pytest
import slow_cases
from small_networks import small

import bnnsim
import bnnsim.devices as devices
import bnnsim.figures.sweeps as sweeps
import bnnsim.plot as plot
import bnnsim.summary as summary
from bnnsim import load_embedded
from bnnsim.campaign import CardSweep
from bnnsim.campaign.card_file import COLUMNS
from bnnsim.campaign.card_sweep import _default_places
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.datasets.shipped import data_file


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def test():
    return load_embedded()[1].take(np.arange(100))


def sweep(card, network, split, axis, places=None, **settings):
    return bnnsim.sweep_card(devices.load_card(card), network, split, axis, places, trials=2, rng=5, progress=False,
                             **settings)


KINDS = [("hfo2_2t2r", "condition", {"codes": ["none", "secded(8,4)"], "cells": ["1T1R", "2T2R"]}),
         ("teaching", "cycles", {"at": {"condition": "weak", "time_second": 100}}), ("sram_synthetic", "voltage", {})]


@pytest.mark.parametrize("card, axis, settings", slow_cases.first(1, KINDS), ids=[kind[1] for kind in KINDS])
def test_what_was_saved_comes_back_and_is_drawn_again(network, test, tmp_path, card, axis, settings):
    found = sweep(card, {"a": network, "b": network}, test, axis, **settings)
    found.save(tmp_path / "s.h5")
    again = CardSweep.load(tmp_path / "s.h5")
    assert again.rows == found.rows and again.series == found.series and again.at == found.at
    assert (again.axis, again.places, again.card.checksum) == (found.axis, found.places, found.card.checksum)
    assert again.table() == found.table() and again.csv() == found.csv()
    again.plot(tmp_path / "again.png"), found.plot(tmp_path / "found.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "found.png").read_bytes()
    if axis != "condition":
        assert again.tolerated() == found.tolerated()


def test_the_file_of_a_campaign_is_that_of_its_sweep_and_what_was_run_before_stays_in_it(network, test, tmp_path):
    path = tmp_path / "out.h5"
    sweep("sram_synthetic", network, test, "voltage", [0.5, 0.6], out=path)
    found = sweep("sram_synthetic", network, test, "voltage", [0.55, 0.6], out=path, resume=True)
    again = CardSweep.load(path)
    assert again.rows == found.rows and again.places == [0.55, 0.6] and len(again.result.rates) == 3


def test_stored_results_say_what_their_axis_means(network, test, tmp_path):
    """A stored sweep over conditions had the numbers 0, 1, 2, and nothing told which they were."""
    found = sweep("hfo2_2t2r", network, test, "condition", out=tmp_path / "out.h5")
    stored = bnnsim.SweepResult.load(tmp_path / "out.h5")
    assert "conditions: 0 'reference', 1 'low power', 2 'ultra-low power'" in stored.table()
    some = sweep("hfo2_2t2r", network, test, "condition", ["ultra-low power", "low power"]).result
    lines = some.table().split("\n")[1:3]
    for line, name, wrong in zip(lines, ("ultra-low power", "low power"), some.ber[0].mean(axis=1)):
        assert [word.strip() for word in line.split("  ") if word][1:3] == [name, f"{wrong:.3g}"]
        assert f">{name}</td>" in some._repr_html_()
    assert "card_sweep" not in summary.results_text(stored)
    weak = sweep("teaching", network, test, "cycles", [1, 1e4], at={"condition": "weak"})
    assert "at condition weak" in weak.result.table() and found.result.checksum == stored.checksum


def test_stored_sweeps_are_drawn_in_the_words_of_their_card(network, test, tmp_path, capsys):
    """Conditions were numbers, explained in a title that nobody could read; "none" was no code; rates probabilities."""
    sweep("rram_macros", network, test, "condition", ["22 nm, read in 5 ns", "40 nm"], out=tmp_path / "c.h5")
    sweep("teaching", network, test, "cycles", [1, 1e7], at={"condition": "weak"}, out=tmp_path / "n.h5")
    named, numbered = (bnnsim.SweepResult.load(tmp_path / name) for name in ("c.h5", "n.h5"))
    axes = named.plot().axes[0]
    assert [" ".join(label.get_text().split()) for label in axes.get_xticklabels()] == ["40 nm", "22 nm, read in 5 ns"]
    assert axes.get_xlabel() == "programming condition" and "nm" not in axes.get_title()
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["network, RRAM, no code"]
    assert numbered.plot().axes[0].get_xlabel() == "programming cycles" and numbered.conditions == ()
    for file, rate, said in (("c", "40 nm", "condition 40 nm"), ("n", "1e7", "cycles 1e+07")):
        words = [str(tmp_path / f"{file}.h5"), "--kind", "chips", "--rate", rate, "--out", str(tmp_path / "a.png"),
                 "--force"]
        assert plot.main(words) == 0
        result = bnnsim.SweepResult.load(words[0])
        assert said in sweeps.chip_histogram(result, rate if file == "c" else float(rate)).get_suptitle()
    for file, rate, message in (("c", "7 nm", "--rate must be one of"), ("n", "weak", "which are numbers (cycles)")):
        with pytest.raises(SystemExit):
            plot.main([str(tmp_path / f"{file}.h5"), "--kind", "chips", "--rate", rate, "--out", "x.png"])
        assert message in capsys.readouterr().err
    other = sweep("hfo2_2t2r", network, test, "condition")
    with pytest.raises(ValueError, match="must be of one device card"):
        sweeps.ber_curve({"a": named, "b": other.result})
    del named.provenance["card_sweep"]["card"]
    assert named.conditions == () and "conditions: 0 '40 nm'" in " ".join(named.plot().axes[0].get_title().split())


def test_the_csv_is_tidy(network, test, tmp_path):
    found = sweep("hfo2_2t2r", network, test, "condition", codes=["none", "secded(8,4)"])
    found.save(tmp_path / "s.csv")
    text = (tmp_path / "s.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert text == found.csv() and tuple(lines[0]) == COLUMNS and len(lines) == len(found.rows) == 6
    for line, row in zip(lines, found.rows):
        for key, value in row.items():
            assert line[key] == ("" if value is None else value if isinstance(value, str) else repr(value))
        assert (line["axis"], line["trials"], line["n_images"], line["seed"], line["card"]) == \
            ("condition", "2", "100", "5", "hfo2_2t2r")


def test_pandas_has_the_table_of_the_csv(network, test):
    pytest.importorskip("pandas", reason="pandas is not installed: pip install 'bnnsim[pandas]'")
    found = sweep("hfo2_2t2r", network, test, "condition", codes=["none", "secded(8,4)"])
    frame = found.to_pandas()
    assert tuple(frame.columns) == COLUMNS and frame["mean"].tolist() == [row["mean"] for row in found.rows]
    assert frame["ber_after_code"].isna().tolist() == [True] * 3 + [False] * 3 and set(frame["seed"]) == {"5"}


def test_a_card_too_large_for_the_file_is_given_again(network, test, tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"condition": name, **{f"{state}_samples_ohm": np.round(ohm * np.exp(rng.standard_normal(16_000) / 9), 8)
                                   .tolist() for state, ohm in (("lrs", 5e3), ("hrs", 4e4))},
             "provenance": "synthetic", "source": "a test"} for name in ("one", "two")]
    card = devices.DeviceCard("large", "RRAM", "", "", rows)
    found = bnnsim.sweep_card(card, network, test, "condition", trials=1, rng=0, progress=False)
    found.save(tmp_path / "s.h5")
    with pytest.raises(ValueError, match=r"s.h5: the card was too large .* CardSweep.load\(path, card\)"):
        CardSweep.load(tmp_path / "s.h5")
    assert CardSweep.load(tmp_path / "s.h5", card).rows == found.rows
    with pytest.raises(ValueError, match="the results are of another card than <DeviceCard 'teaching'"):
        CardSweep.load(tmp_path / "s.h5", devices.load_card("teaching"))


def test_a_file_that_grew_tells_the_places_that_were_asked_for(network, test, tmp_path):
    """Its rates are those of all runs: a table had the chips, and a tolerated place the accuracies, of others."""
    path, volts = tmp_path / "s.h5", [0.5, 0.55, 0.6, 0.7]
    sweep("sram_synthetic", network, test, "voltage", volts, out=path)
    grown = sweep("sram_synthetic", network, test, "voltage", volts[1:], out=path, resume=True)
    alone = sweep("sram_synthetic", network, test, "voltage", volts[1:])
    assert grown.result.rates.tolist() == volts and grown.rows == alone.rows and grown.csv() == alone.csv()
    assert grown.tolerated(0.03) == alone.tolerated(0.03)
    grown.result.right[0, 0, 1:] = NOT_RUN                       # fewer chips where nobody asked
    assert grown.csv() == alone.csv()


def test_places_by_default_end_where_the_data_do():
    """Rounded to six digits they lay beyond, and were refused."""
    for axis, ends in (("voltage", (0.512345678, 0.987654321)), ("cycles", (1.00004999, 123456.789))):
        found = _default_places(axis, ends)
        assert len(found) == 9 and (found[0], found[-1]) == ends and found == sorted(found)


def test_a_file_with_one_series_of_another_card_is_refused(network, test, tmp_path):
    found = sweep("sram_synthetic", network, test, "voltage", [0.5], codes=["none", "secded(8,4)"])
    one = found.result.settings["series"][1]
    one["fault"] = one["fault"].replace(found.card.checksum[:12], "0" * 12)
    found.save(tmp_path / "s.h5")
    with pytest.raises(ValueError, match="s.h5: the results are of another card than <DeviceCard 'sram_synthetic'"):
        CardSweep.load(tmp_path / "s.h5")


CHANGES = [
    (lambda said: said.pop("axis"), "is damaged: KeyError"),
    (lambda said: said.update(axis="colour"), "its axis and places must be those of a device card"),
    (lambda said: said.update(places=[]), "its axis and places must be"),
    (lambda said: said.update(places=[0.5, 0.7]), "its series and places must be as many"),
    (lambda said: said.update(at={"colour": 1}), "its axis and places must be"),
    (lambda said: said.update(clean=[]), "its series and places must be as many"),
    (lambda said: said.update(series={}), "its series and places must be as many"),
    (lambda said: said["costs"][0][0].update(rate_mark="sure"), "a row cannot be"),
    (lambda said: said["costs"][0][0].update(ber="0.1"), "a row cannot be"),
    (lambda said: said["costs"][0][0].update(energy_joule=[1]), "a row cannot be"),
    (lambda said: said["costs"][0][0].update(more=1), "a row cannot be"),
    (lambda said: said["card"]["rows"][0].update(ber=2), "must be"),
    (lambda said: said["card"].update(name="other"), "the results are of another card"),
    (lambda said: said.update(card=[1]), "a device card must be a JSON object")]


def test_files_that_say_something_else_are_refused(network, test, tmp_path):
    found, path = sweep("sram_synthetic", network, test, "voltage", [0.5, 0.6]), tmp_path / "s.h5"
    text = bnnsim.files.file_format.to_json("provenance", found.result.provenance)
    for change, message in CHANGES:
        provenance = bnnsim.files.file_format.from_json("provenance", text)
        change(provenance["card_sweep"])
        found.result.provenance.clear()
        found.result.provenance.update(provenance)
        found.save(path)
        with pytest.raises(ValueError, match=f"s.h5: .*{message}"):
            CardSweep.load(path)
    bnnsim.sweep(network, test, [0.1], trials=1, rng=0, progress=False).save(path)
    with pytest.raises(ValueError, match="holds no sweep of a device card; SweepResult.load opens"):
        CardSweep.load(path)


def test_from_measurements_to_accuracy_at_once(network, test, tmp_path):
    """The same as fitting, making a card and sweeping it, energies included."""
    rng, lines = np.random.default_rng(1), ["state;R (kohm);E (pJ)"]
    for state, median in (("SET", 5.0), ("RESET", 60.0)):
        lines += [f"{state};{median * math.exp(0.4 * z):.4f};1,5".replace(".", ",") for z in rng.standard_normal(50)]
    (tmp_path / "cells.csv").write_text("\n".join(lines), encoding="utf-8")
    found = bnnsim.sweep_measurements(tmp_path / "cells.csv", network, test, cells=["1T1R", "2T2R"], trials=2, rng=5,
                                      progress=False)
    card = devices.fit(tmp_path / "cells.csv").card("cells.csv", "measured: cells.csv")
    by_hand = bnnsim.sweep_card(card, network, test, "sigma", [1.0], cells=["1T1R", "2T2R"], trials=2, rng=5,
                                progress=False)
    assert found.rows == by_hand.rows and found.result.checksum == by_hand.result.checksum
    assert "\nsigma: factor on the spread of both states, 1 is that of the card\n" in f"{found.table()}\n"
    assert [row["energy_joule"] for row in found.rows] == pytest.approx([1.5e-12 * network.n_bits,
                                                                         3e-12 * network.n_bits])
    sample = bnnsim.sweep_measurements(data_file("devices/sample_measurements.csv"), network, test, "sigma", [1.0, 1.2],
                                       at={"condition": "weak"}, trials=1, rng=0, progress=False)
    assert sample.places == [1.0, 1.2]
