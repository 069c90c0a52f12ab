"""Measurements as instruments write them: all spellings of one table are read alike, and nothing doubtful is taken."""

import logging
import math

import numpy as np
import pytest

from bnnsim.devices import CardError, MeasurementError, fit, load_card
from bnnsim.devices.column_names import column_of
from bnnsim.devices.measurements import read_measurements

pytestmark = pytest.mark.jit_off
WANTED = {(): {"LRS": [5012.5, 4900.0], "HRS": [90000.0, 80500.0]}}


class Frame:
    """What a pandas data frame has, as far as it is asked."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def itertuples(self, index, name):
        assert index is False and name is None
        return iter(self.rows)


def resistances(found):
    return {place: {state: ohm.tolist() for state, ohm in states.items()} for place, states in found.ohm.items()}


def written(path, text):
    path.write_bytes(text.encode())
    return path


# one table, in many spellings

ALIKE = [
    ("state,resistance_ohm\nLRS,5012.5\nHRS,90000\nLRS,4900\nHRS,80500\n", None),
    ("State;R (kOhm)\non;5,0125\noff;90\non;4,9\noff;80,5\n", None),
    ("R [kΩ]\tstate\n5.0125\tSET\n90\tRESET\n4.9\tset\n80.5\treset\n", None),
    ("# a comment, one\n# another\nstate,R / Mohm\n1,0.0050125\n0,0.09\n# between\n1,0.0049\n0,0.0805\n", None),
    ("Keithley 4200\nOperator;A, B\nDate;1.2.2026\n\nstate;R (ohm);\nLRS;5012,5;\nHRS;90000;\nLRS;4900;\nHRS;80500;\n",
     None),
    ("R_LRS (ohm),R_HRS (ohm)\n5012.5,90000\n4900,80500\n", None),
    ("Ron_kohm;Roff_kohm\n5,0125;90\n4,9;80,5\n", None),
    ("lrs_ohm,hrs_ohm\n5012.5,90000\n4900,\n,80500\n", None),
    ("state,R\n,ohm\nLRS,5012.5\nHRS,90000\nLRS,4900\nHRS,80500\n", None),
    ("S,R,device\nlo,5012.5,7\nhi,90000,7\nlo,4900,8\nhi,80500,8\n",
     {"S": {"lo": "LRS", "hi": "HRS"}, "R": "resistance_ohm", "device": None}),
    ("n,S,Widerstand,why\n1,LRS,5.0125,a\n2,HRS,90,b\n3,LRS,4.9,c\n4,HRS,80.5,d\n",
     {"S": "state", "Widerstand": "R (kohm)", "*": None}),
    ("\"state\",\"resistance_kohm\"\r\n\"LRS\",\"5.0125\"\r\n\"HRS\",\"9e1\"\r\n\"LRS\",4.9\r\n\"HRS\",80.5\r\n", None),
    ("# state,resistance_ohm\nLRS,5012.5\nHRS,90000\nLRS,4900\nHRS,80500\n", None)]


@pytest.mark.parametrize("text, columns", ALIKE, ids=range(len(ALIKE)))
def test_spellings_of_one_table_are_read_alike_to_the_last_bit(tmp_path, text, columns):
    assert resistances(read_measurements(written(tmp_path / "t.csv", text), columns)) == WANTED


@pytest.mark.parametrize("text", ["state,G (uS)\nLRS,{:.17g}\nHRS,{:.17g}\nLRS,{:.17g}\nHRS,{:.17g}\n",
                                  "state,conductance_nS\nLRS,{0:.17g}e3\nHRS,{1:.17g}e3\nLRS,{2:.17g}e3\nHRS,{3}e3\n"])
def test_conductances_become_resistances(tmp_path, text):
    siemens = [1e6 / ohm for ohm in (5012.5, 90000, 4900, 80500)]
    found = read_measurements(written(tmp_path / "t.csv", text.format(*siemens)))
    assert {s: ohm.tolist() for s, ohm in found.ohm[()].items()} == {s: pytest.approx(o) for s, o in WANTED[()].items()}


@pytest.mark.parametrize("head, factor", [("I (A at 0.1 V)", 0.1), ("current_uA@200mV", 0.2e6),
                                          ("I [nA at -0.5 V]", -0.5e9)])
def test_currents_at_a_voltage_become_resistances(tmp_path, head, factor):
    amperes = [factor / ohm for ohm in (5012.5, 90000, 4900, 80500)]
    text = f"state,{head}\n" + "".join(f"{s},{x!r}\n" for s, x in zip(("LRS", "HRS") * 2, amperes))
    found = read_measurements(written(tmp_path / "t.csv", text))
    assert {s: ohm.tolist() for s, ohm in found.ohm[()].items()} == {s: pytest.approx(o) for s, o in WANTED[()].items()}
    said = {"ILRS": "lrs_A at 0.1 V", "IHRS": "hrs_A@100mV"}
    wide = written(tmp_path / "w.csv", f"ILRS,IHRS\n{0.1 / 5012.5!r},{0.1 / 90000!r}\n")
    assert read_measurements(wide, said).ohm[()]["HRS"] == pytest.approx([90000])
    for name in ("I", "I (A)", "I (uA at 0 V)", "I (S)", "R (A at V)"):
        assert (column_of(name) or column_of("R")).lacks_unit


ROWS = ((1, 5012.5), (0, 90000), (1, 4900), (0, 80500))


@pytest.mark.parametrize("separator, comma", [("\t", False), (";", True), (",", False)])
def test_a_table_without_a_header_has_numbered_columns(tmp_path, separator, comma):
    """As a LabVIEW program writes them; which is what must be said, and a row of numbers is never taken as a header."""
    body = "".join(separator.join(["7", "2.10", str(state), f"{ohm:.3f}"]) + "\n" for state, ohm in ROWS)
    path = written(tmp_path / "t.csv", "# made by hand\n" + (body.replace(".", ",") if comma else body))
    said = {"3": "state", "4": "resistance_ohm", "*": None}
    found = read_measurements(path, said, decimal="," if comma else None)
    assert resistances(found) == WANTED and "'4': 'resistance_ohm'" in found.read_as
    with pytest.raises(MeasurementError, match="t.csv, line 2: wanted a header, got numbers: .* '1', '2', '3', '4'"):
        read_measurements(path)
    with pytest.raises(MeasurementError, match="columns names '5', which is not among 1, 2, 3, 4"):
        read_measurements(path, {"5": "resistance_ohm"})


def test_numbered_columns_may_have_words(tmp_path):
    path = written(tmp_path / "t.csv", "".join(f"1000,{('RESET', 'SET')[state]},{ohm},2e-6\n" for state, ohm in ROWS))
    assert resistances(read_measurements(path, {"2": "state", "3": "resistance_ohm", "*": None})) == WANTED


def test_a_file_a_state_may_be_numbers_alone(tmp_path):
    tables = {"LRS": written(tmp_path / "l.csv", "5012.5\n4900\n"), "HRS": written(tmp_path / "h.csv", "9e4\n80500.\n")}
    assert resistances(read_measurements(tables, {"1": "resistance_ohm"})) == WANTED


def test_rows_of_other_states_are_left_out_and_counted(tmp_path):
    """As of cells with several levels, or where reads stand between forming and verifying."""
    text = "level,R (ohm)\n0,5012.5\n1,9999\n3,90000\n2,\n0,4900\n3,80500\n"
    path = written(tmp_path / "t.csv", text)
    for words in ({"0": "LRS", "3": "HRS", "*": None}, {"0": "LRS", "3": "HRS", "1": None, "2": None}):
        found = read_measurements(path, {"level": words})
        assert resistances(found) == WANTED and found.n_left_out == {"of other states": 2}
    with pytest.raises(MeasurementError, match="column level: wanted LRS or HRS, got '2'"):
        read_measurements(path, {"level": {"0": "LRS", "3": "HRS", "1": None}})
    for bad in ({"*": None}, {"0": "LRS", "*": "HRS"}, {"0": "low"}):
        with pytest.raises(ValueError, match="must say which words are LRS and HRS"):
            read_measurements(path, {"level": bad})


def test_tables_by_state_may_have_columns_each(tmp_path):
    tables = {"LRS": written(tmp_path / "l.csv", "7\t5012.5\n8\t4900\n"),
              "HRS": written(tmp_path / "h.csv", "9e4\n80500\n")}
    said = {"LRS": {"2": "resistance_ohm", "*": None}, "HRS": {"1": "resistance_ohm"}}
    found = read_measurements(tables, said)
    assert resistances(found) == WANTED and "'2': 'lrs_ohm'" in found.read_as


def test_numbers_that_count_columns_are_a_header(tmp_path):
    """As pandas writes it where columns have no names."""
    path = written(tmp_path / "t.csv", "0,1\n" + "".join(f"{state},{ohm}\n" for state, ohm in ROWS))
    assert resistances(read_measurements(path, {"0": "state", "1": "resistance_ohm"})) == WANTED
    one = written(tmp_path / "one.csv", "0\n5012.5\n4900\n")
    found = read_measurements({"LRS": one, "HRS": one}, {"0": "resistance_ohm"})
    assert found.ohm[()]["LRS"].tolist() == [5012.5, 4900]


def test_names_that_come_again_are_told_apart(tmp_path):
    text = "SET#1,SET#1,RESET#1,RESET#1\nRLRS,VSET,RLRS,RHRS\n5012.5,1,5.5,90000\n4900,1,5.5,80500\n"
    path = written(tmp_path / "t.csv", text)
    with pytest.raises(MeasurementError, match="a column is named twice, 'RLRS'; .* columns={'RLRS.1': None}"):
        read_measurements(path, {"RLRS": "lrs_ohm", "RHRS": "hrs_ohm", "VSET": None})
    assert resistances(read_measurements(path, {"RLRS": "lrs_ohm", "RHRS": "hrs_ohm", "*": None})) == WANTED
    again = read_measurements(path, {"RLRS.1": "lrs_ohm", "RHRS": "hrs_ohm", "RLRS": None, "*": None})
    assert again.ohm[()]["LRS"].tolist() == [5.5, 5.5]
    frame = Frame(["R (ohm)", "state", "state"], [(ohm, "LRS" if state else "HRS", "") for state, ohm in ROWS])
    assert resistances(read_measurements(frame, {"*": None})) == WANTED


def test_logarithms_are_of_ten_and_say_so(tmp_path):
    logs = [math.log10(ohm) for ohm in (5012.5, 90000, 4900, 80500)]
    for head in ("log10_resistance_ohm", "log10(R/ohm)", "log10 R [ohm]"):
        text = f"state,{head}\n" + "".join(f"{s},{x!r}\n" for s, x in zip(("LRS", "HRS") * 2, logs))
        found = read_measurements(written(tmp_path / "t.csv", text)).ohm[()]
        assert np.allclose(found["LRS"], WANTED[()]["LRS"], rtol=1e-13)
        assert np.allclose(found["HRS"], WANTED[()]["HRS"], rtol=1e-13)


def test_a_data_frame_is_a_table(tmp_path):
    rows = [("LRS", 5012.5, "a"), ("HRS", np.float64(90000.0), "b"), ("LRS", 4900, None), ("HRS", 80500.0, "d")]
    frame = Frame(["state", "R", "note"], rows)
    found = read_measurements(frame, {"R": "resistance_ohm", "note": "keep"})
    assert resistances(found) == WANTED
    assert found.kept[()] == {"LRS": [{"note": "a"}, {"note": ""}], "HRS": [{"note": "b"}, {"note": "d"}]}
    with pytest.raises(MeasurementError, match="the data frame, row 2, column R: wanted a resistance .* got ''"):
        read_measurements(Frame(["state", "R"], [("LRS", 5.0), ("HRS", float("nan"))]), {"R": "R (ohm)"})
    with pytest.raises(MeasurementError, match="the data frame, its columns: column 'R' has no unit"):
        read_measurements(Frame(["state", "R"], []))


def test_a_table_of_each_state(tmp_path):
    tables = {"LRS": written(tmp_path / "l.csv", "R (ohm)\n5012.5\n4900\n"),
              "HRS": Frame(["resistance_kohm"], [(90.0,), (80.5,)])}
    assert resistances(read_measurements(tables)) == WANTED
    with pytest.raises(ValueError, match="tables by state must be {'LRS': ..., 'HRS': ...}, got 'LRS'"):
        read_measurements({"LRS": tables["LRS"]})
    both = written(tmp_path / "b.csv", ALIKE[0][0])
    with pytest.raises(MeasurementError, match="a table given as that of LRS must have no states of its own"):
        read_measurements({"LRS": both, "HRS": both})


def test_places_in_other_units_and_in_names(tmp_path):
    text = "wafer;die;T (°C);t [min];Cycle;state;R (ohm)\nW1;3;85;1,5;10;on;5\nW1;3;85;1,5;10;off;50\n"
    found = read_measurements(written(tmp_path / "t.csv", text), {"wafer": "condition", "die": "condition"})
    place = ("condition", "W1, 3"), ("cycles", 10.0), ("time_second", 90.0), ("temperature_kelvin", 358.15)
    assert list(found.ohm) == [place]
    wide = read_measurements(written(tmp_path / "w.csv", "state,cycle 1 (kohm),cycle 100 (kohm)\nLRS,5,6\nHRS,50,\n"))
    assert resistances(wide) == {(("cycles", 1.0),): {"LRS": [5000.0], "HRS": [50000.0]},
                                 (("cycles", 100.0),): {"LRS": [6000.0], "HRS": []}}
    assert wide.n_left_out == {"blank": 1}
    both = read_measurements(written(tmp_path / "b.csv", "LRS_cycle_1_ohm,HRS_cycle_1_ohm\n5,50\n"))
    assert resistances(both) == {(("cycles", 1.0),): {"LRS": [5.0], "HRS": [50.0]}}


def test_blanks_and_nan_are_counted_apart(tmp_path):
    text = "state,resistance_ohm\nLRS,5\nLRS,\nLRS,nan\nHRS,NaN\nHRS,9.91e37\nHRS,50\n"
    found = read_measurements(written(tmp_path / "t.csv", text), drop_invalid=True)
    assert found.n_left_out == {"blank": 1, "nan": 2, "no resistance": 1}
    assert found.n_dropped == {(): {"LRS": 2, "HRS": 2}}


ENERGIES = [
    ("state,resistance_ohm,energy_joule\nLRS,5,1e-12\nHRS,50,3e-12\nLRS,5,2e-12\nHRS,50,\n", (1.5e-12, 3e-12), {}),
    ("state;R (ohm);E_set (pJ);E_reset (pJ)\nLRS;5;1,5;\nHRS;50;;3\n", (1.5e-12, 3e-12), {}),
    ("R_LRS (ohm),R_HRS (ohm),energy_set_pJ,energy_reset_pJ\n5,50,1,2\n5,50,2,4\n", (1.5e-12, 3e-12), {}),
    ("state,resistance_ohm,energy_pulse_pJ,pulses\nLRS,5,1,1\nLRS,5,1,2\nHRS,50,1,3\n", (1.5e-12, 3e-12),
     {"LRS": 1.5, "HRS": 3.0}),
    ("state,resistance_ohm,pulses\nLRS,5,1\nLRS,5,2\nHRS,50,3\n", (), {"LRS": 1.5, "HRS": 3.0})]


@pytest.mark.parametrize("text, joule, pulses", ENERGIES, ids=range(len(ENERGIES)))
def test_energies_and_pulses_a_row(tmp_path, text, joule, pulses):
    found = read_measurements(written(tmp_path / "t.csv", text))
    wanted = dict(zip(("energy_set_joule", "energy_reset_joule"), joule))
    assert found.energy_joule.get((), {}) == pytest.approx(wanted) and found.pulses.get((), {}) == pulses


def test_a_guess_is_shown_as_what_to_say(tmp_path, caplog):
    path = written(tmp_path / "t.csv", ALIKE[1][0])
    with caplog.at_level(logging.INFO, "bnnsim"):
        guessed = read_measurements(path)
    record, = caplog.records
    assert record.levelname == "WARNING" and guessed.read_as in record.getMessage()
    assert guessed.read_as == ("t.csv: columns={'State': 'state', 'R (kOhm)': 'resistance_kOhm'} (2 of 2 guessed by "
                               "name), separated by semicolons, decimal=','")
    caplog.clear()
    said = read_measurements(path, {"State": "state", "R (kOhm)": "resistance_kOhm"}, decimal=",")
    assert resistances(said) == resistances(guessed) and not caplog.records and "guessed" not in said.read_as
    assert read_measurements(written(tmp_path / "u.csv", ALIKE[0][0])).read_as == ""
    many = "State;R (kOhm)\n" + "".join(f"on;{5 + i / 10:.1f}\noff;{90 + i}\n" for i in range(9)).replace(".", ",")
    assert guessed.read_as in fit(written(path, many), n_resamples=100).table()


# what is refused

BAD = [
    ("state,R\nLRS,5\n", {}, "t.csv, line 1: column 'R' has no unit; .* columns={'R': 'resistance_ohm'}"),
    ("LRS,HRS\n5,50\n", {}, "column 'LRS' has no unit; .* columns={'LRS': 'lrs_ohm'}"),
    ("state,cycle 10\nLRS,5\n", {}, "column 'cycle 10' has no unit; .* columns={'cycle 10': 'cycle_10_ohm'}"),
    ("state,resistance_ohm,T\nLRS,5,85\n", {}, "unknown column 'T'; known are"),
    ("state,resistance_ohm,\nLRS,5,7\n", {}, r"line 2: wanted 2 columns \(state, resistance_ohm\), got 3"),
    (",state,resistance_ohm\n0,LRS,5\n", {}, "unknown column '';"),
    ("state,R (ohm),G (S)\nLRS,5,0.2\n", {}, r"columns 'R \(ohm\)' and 'G \(S\)' both are resistance_ohm; .*'G \(S\)'"),
    ("state,log R (ohm)\nLRS,5\n", {}, r"unknown column 'log R \(ohm\)'"),
    ("junk\nstate,R (mohm)\nLRS,5\n", {}, r"line 2: unknown column 'R \(mohm\)'; a megaohm is Mohm"),
    ("state;R (ohm)\nLRS;5,012\nHRS;90,000\n", {}, r"line 2, column R \(ohm\): '5,012' may be .* say decimal=','"),
    ("state;R (ohm)\nLRS;5,01\nHRS;90.5\n", {}, "line 3, .* with a decimal comma .*, got '90.5'"),
    ("state;R (ohm)\nLRS;1.234,5\n", {}, "line 2, .*, with a decimal comma .*, got '1.234,5'"),
    ("state,R (ohm)\nlow,5\n", {}, "column state: wanted LRS or HRS, got 'low'; .* columns={'state': {'low': 'LRS'"),
    ("state,R (kohm)\nLRS,OVLD\n", {}, r"column R \(kohm\): wanted a resistance > 0 in ohm, as resistance_kohm, got"),
    ("state,G (uS)\nLRS,0\n", {}, "got '0', a current or voltage at the noise"),
    ("state,G (uS)\nLRS,9.91e37\n", {}, "one over a code of overflow"),
    ("state,log10_R_ohm\nLRS,400\n", {}, "got '400', which is no reading"),
    ("state,R (ohm),lrs_ohm\nLRS,5,5\n", {}, "states must be in a column or in the names of columns, got both"),
    ("state,cycles,cycle 10 (ohm)\nLRS,1,5\n", {}, "cycles must be in the names of all readings or in a column"),
    ("state,R (ohm),energy_pulse_pJ\nLRS,5,1\n", {}, "energy_pulse_joule needs a column pulses"),
    ("lrs_ohm,hrs_ohm,energy_pJ\n5,50,1\n", {}, "not known which of them an energy or pulses belong to"),
    ("state,R (ohm),energy_pJ,energy_set_pJ\nLRS,5,1,1\n", {}, "energies must be of the row, of SET and RESET, or"),
    ("state,R (ohm),energy_pJ\nLRS,5,-1\n", {}, r"column energy_pJ: wanted an energy > 0 in joule, as energy_pJ, got"),
    ("state,R (ohm),pulses\nLRS,5,0\n", {}, "column pulses: wanted a number of pulses >= 1, got '0'"),
    ("state,cycle 1 (ohm),cycle 2 (ohm),energy_pJ\nLRS,5,5,1\n", {}, "belong to none of them"),
    ("state,R (ohm),T (C)\nLRS,5,-300\n", {}, r"column T \(C\): wanted a temperature > 0 in kelvin, as temperature_C"),
    ("state,R (ohm)\nLRS,5\n", {"columns": {"resistance": "resistance_ohm"}}, "columns names 'resistance', which"),
    ("state,R (ohm)\nLRS,5\n", {"columns": {"R": "voltage"}}, r"columns\['R'\] must be one of .*'voltage'"),
    ("state,R (ohm)\nLRS,5\n", {"columns": {"state": {"LRS": "low"}}}, "must say which words are LRS and HRS"),
    ("state,R (ohm)\nLRS,5\n", {"columns": {"*": "keep"}}, r"columns\['\*'\] must be None"),
    ("state,R (ohm)\nLRS,5\n", {"columns": ["R"]}, "columns must be a dict"),
    ("state,R (ohm)\nLRS,5\n", {"columns": {"R": 5}}, r"columns\['R'\] must be what the column is"),
    ("state,R (ohm)\nLRS,5\n", {"decimal": ";"}, "decimal must be one of"),
    ("state,R (ohm)\nLRS,5\n", {"drop_invalid": "no"}, "drop_invalid must be True or False, got 'no'"),
    ("# nothing\n", {}, "line 1: the column resistance_ohm must be there, got none"),
    ("resistance_ohm\n5\n", {}, "the column state must be there, got resistance_ohm; or give a table of each state")]


@pytest.mark.parametrize("text, settings, message", BAD, ids=range(len(BAD)))
def test_what_is_unknown_or_ambiguous_is_refused_with_what_to_say(tmp_path, text, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_measurements(written(tmp_path / "t.csv", text), **settings)


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="measurements must be the path of a file, a data frame, or a dict"):
        read_measurements([1, 2])


def test_too_few_samples_say_what_to_do(tmp_path):
    one = written(tmp_path / "t.csv", "state,resistance_ohm\n" + "".join(f"LRS,{i}\n" for i in range(5, 20)))
    with pytest.raises(ValueError, match="samples of HRS, got 0; the table has LRS only: fit.{'LRS': ..., 'HRS': ...}"):
        fit(one)
    loop = "Cycle,R_LRS (ohm),R_HRS (ohm)\n" + "".join(f"{i},{i},{50 + i}\n" for i in range(5, 20))
    with pytest.raises(ValueError, match=r"there are 15 places: say None in columns= .* told apart \(cycles\)"):
        fit(written(tmp_path / "u.csv", loop))
    fitted = fit(written(tmp_path / "u.csv", loop), n_resamples=100, columns={"Cycle": None})
    assert fitted.places[0].n_samples == 15
    with pytest.raises(ValueError, match="columns and drop_invalid must be given to read_measurements"):
        fit(read_measurements(one), columns={})


@pytest.mark.parametrize("name", ["voltage", "T", "mohm", "R (mohm)", "log R", "LRS HRS (ohm)", "energy (ohm)",
                                  "state (ohm)", "time (K)", "", "10", "ohm"])
def test_names_that_say_nothing_or_two_things(name):
    assert column_of(name) is None


# from tables to cards

def test_cycles_and_time_become_states_over_cycles_and_a_drift(tmp_path):
    """Made with known drifts: they come back, and the card gives each place its own rate within their errors."""
    rng, lines = np.random.default_rng(4), ["state;R (kohm);Cycle;t (s);E (pJ)"]
    z = rng.standard_normal(200)
    for cycles, median in ((1, 2e5), (1e4, 8e4)):
        for time in (1, 100, 1e4):
            shift = -0.2 * math.log10(1 + time)
            for state, ohm in (("on", 5e3 * np.exp(0.2 * z)), ("off", median * np.exp(0.5 * z + shift))):
                lines += [f"{state};{value / 1e3!r};{cycles:g};{time:g};2,5".replace(".", ",")
                          for value in ohm.tolist()]
    fitted = fit(written(tmp_path / "t.csv", "\n".join(lines)), n_resamples=100)
    with pytest.raises(CardError, match="drift with time needs the temperature .* values={'drift_temperature0_kelvin'"):
        fitted.card("mine", "this test")
    card = fitted.card("mine", "this test", values={"drift_temperature0_kelvin": 300.0})
    card.save(tmp_path / "card.json")
    card = load_card(tmp_path / "card.json")
    assert {"cycles", "time", "temperature", "sigma"} == set(card.axes())
    assert card.value("hrs_drift_per_decade") == pytest.approx(-0.2) and card.value("energy_set_joule") == 2.5e-12
    for each in fitted.places:
        assert card.error_rates(**each.place | {"temperature_kelvin": 300.0}).mean == \
            pytest.approx(each.rates["2T2R"].rate, rel=1e-3)


def test_energies_and_pulses_go_into_the_card(tmp_path):
    lines = [f"{state},{ohm + i},{joule},{2 + i % 2}" for state, ohm, joule in (("LRS", 5000, 1), ("HRS", 90000, 2))
             for i in range(10)]
    path = written(tmp_path / "t.csv", "\n".join(["state,R (ohm),E (pJ),pulses", *lines]))
    fitted = fit(path, n_resamples=100)
    card = fitted.card("mine", "this test", values={"endurance_cycles": 1e6})
    row, = card.rows
    assert (row["energy_set_joule"], row["energy_reset_joule"], row["endurance_cycles"]) == (1e-12, 2e-12, 1e6)
    assert "mean pulses: 2.5 to HRS, 2.5 to LRS" in row["note"] and "2.5 pulses to LRS" in fitted.table()
