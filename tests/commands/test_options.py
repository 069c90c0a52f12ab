"""One table of options says all: flags, help, keys of a file, defaults, checks, and the command that is stored."""

import argparse
import json
import shlex

import pytest

import bnnsim.__main__ as __main__
import bnnsim.ber_sweep as ber_sweep
import bnnsim.commands.command_line as command_line
import bnnsim.commands.errors as errors
import bnnsim.commands.options as options
import bnnsim.commands.rules as rules
from bnnsim.commands.config import load_config
from bnnsim.commands.number_lists import parse_integers, parse_places, parse_rates
from bnnsim.commands.options import Option

TABLES = {name: __import__(f"bnnsim.{name}", fromlist=["OPTIONS"]).OPTIONS for name in __main__.COMMANDS}
FEW = (Option("files", "some", rules.path, [], flag="", nargs="*", several=True),
       Option("n_chips", "how many", rules.integer(1), 10, int),
       Option("axes", "which", rules.integer(0), [0], int, flag="--axis", several=True),
       Option("fast", "soon", rules.switch, False), Option("either", "or not", options.switch),
       Option("pages", "how it is shown", rules.path, scope="run", parameter="places"))
COMMON = ("config", "quiet", "log", "debug", "command", "given", "typed")        # every command's


def settled(tmp_path, typed, **file):
    """The values of FEW for a command line and a file."""
    parser, seen = command_line.parser("few", "What it does.", FEW), []
    if file:
        (tmp_path / "c.json").write_text(json.dumps(file))
        typed = f"{typed} --config {tmp_path / 'c.json'}"
    assert command_line.run(parser, seen.append, shlex.split(typed)) == 0
    return {name: value for name, value in vars(seen[0]).items() if name not in COMMON}


DEFAULTS = {"files": [], "n_chips": 10, "axes": [0], "fast": False, "either": None, "pages": None}


@pytest.mark.parametrize("typed, file, wanted", [
    ("", {}, {}),
    ("a b --n-chips 3 --axis 1 --axis 2 --fast --no-either --pages x", {},
     {"files": ["a", "b"], "n_chips": 3, "axes": [1, 2], "fast": True, "either": False, "pages": "x"}),
    ("", {"files": "a", "n_chips": 3, "axes": 1, "fast": True, "either": True, "pages": "x"},
     {"files": ["a"], "n_chips": 3, "axes": [1], "fast": True, "either": True, "pages": "x"}),
    ("--n-chips 4 --axis 0", {"n_chips": 3, "axes": [1, 2]}, {"n_chips": 4, "axes": [0]}),
    ("--no-either", {"either": True}, {"either": False}),
])
def test_typed_wins_over_the_file_and_the_file_over_the_default(tmp_path, typed, file, wanted):
    assert settled(tmp_path, typed, **file) == {**DEFAULTS, **wanted}


def test_help_shows_a_default_of_0():
    parser = command_line.parser("few", "What it does.", (Option("seed", "of draws", rules.integer(0), 0, int),
                                                          Option("fast", "soon", rules.switch, False)))
    shown = parser.format_help()
    assert "of draws (default: 0)" in shown and "False" not in shown


def test_what_decides_the_result_is_in_the_stored_command():
    typed = argparse.Namespace(files=["a b"], n_chips=3, axes=[1, 2], fast=True, either=None, pages="x", config="c")
    assert options.words(typed, FEW) == ["a b", "--n-chips", "3", "--axis", "1", "--axis", "2", "--fast"]


def test_names_that_begin_with_a_minus_are_read_again_from_the_stored_command():
    parser = ber_sweep.arguments()
    found = parser.parse_args(["--dataset=-d.npz", "--rates=0.1", "--out=-x.h5", "--seed=1", "--", "-x.h5"])
    again = parser.parse_args(shlex.split(ber_sweep.command_of(found))[3:])
    assert vars(again) == {**vars(found), "networks": ["./-x.h5"]}


def test_a_file_has_no_key_for_what_one_call_does(tmp_path):
    (tmp_path / "c.json").write_text('{"config": "d.json"}')
    with pytest.raises(ValueError, match="a key must be one of .*'pages', got 'config'"):
        load_config(tmp_path / "c.json", FEW)


@pytest.mark.parametrize("typed, file, said", [
    ("", {"n_chips": 0}, "c.json: n_chips must be >= 1, got 0"),
    ("--n-chips 0", {}, "error: --n-chips must be >= 1, got 0"),
    ("", {"axes": [-1]}, "c.json: axes must be >= 0, got -1"), ("--axis -1", {}, "error: --axis must be >= 0, got -1"),
    ("--axis 1 --axis -1", {}, "error: --axis[1] must be >= 0, got -1"),
])
def test_an_option_is_checked_alike_wherever_it_stands_by_its_name_there(tmp_path, capsys, typed, file, said):
    with pytest.raises(SystemExit) as stop:
        settled(tmp_path, typed, **file)
    assert stop.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("command", TABLES)
@pytest.mark.parametrize("value", [3, -1, 0.5, "x", "0.5", "", True, None, [], [1], ["a"], [None], [[1]], {}, 10**30],
                         ids=str)
def test_whatever_json_has_is_taken_or_refused_and_no_bug(command, value):
    """A list of flips was "a bug in bnnsim", and a text for a number one at the end of a training."""
    for option in TABLES[command]:
        try:
            found = option.checked(value, option.name)
        except (ValueError, TypeError) as error:
            assert errors.is_expected(error), option.name
        else:
            assert found is not None and (option.read is str or isinstance(found, float | int | list)), option.name


@pytest.mark.parametrize("command, name, value, wanted", [
    ("certify", "flips", [0, 5], [0, 5]), ("certify", "flips", 3, [3]), ("certify", "flips", "0,5", [0, 5]),
    ("train", "flip_rate", 0.1, "0.1"), ("train", "flip_rate", [0.1, 0], "0.1,0.0"),
    ("train", "asymmetric", [0.1, 0.2], "0.1,0.2"), ("train", "rescale", 0.1, 0.1)])
def test_numbers_and_lists_of_them_stand_in_a_file_as_json_has_them(command, name, value, wanted):
    option, = (option for option in TABLES[command] if option.name == name)
    assert option.checked(value, name) == wanted


@pytest.mark.parametrize("said, wanted", [
    ("n_chips must be in [0, 49], got 50", "--n-chips must be in [0, 49], got 50"),
    ("--n-chips must be 1", "--n-chips must be 1"), ("axes[1] must be 2", "c.json: axes[1] must be 2"),
    ("--axes must be 2", "c.json: axes must be 2"), ("files must be there", "FILES must be there"),
    ("pages (of a book) needs ink", "--pages (of a book) needs ink"), ("n_chips is 3", "n_chips is 3"),
    ("places must differ", "--pages must differ"), ("--axis HIGH,LOW: too high", "c.json: axes HIGH,LOW: too high"),
    ("--axes=1 is one", "c.json: axes=1 is one"), ("--pages of it must be 2", "--pages of it must be 2"),
    ("network must be one", "network must be one"), ("fast must be true", "fast must be true"), ("", "")])
def test_an_error_of_the_work_names_an_option_as_it_was_given(said, wanted):
    given = argparse.Namespace(config="c.json", typed={"n_chips", "files", "pages"},
                               given={"n_chips", "axes", "files", "pages"})
    few = (*FEW[1:], Option("files", "some", flag="", nargs="*", metavar="FILES"))
    assert options.as_given(said, given, few) == wanted


@pytest.mark.parametrize("command", TABLES)
def test_every_default_passes_its_own_check(command):
    for option in TABLES[command]:
        if option.default not in (None, []):
            option.checked(option.default, option.name)


@pytest.mark.parametrize("command", TABLES)
def test_names_and_flags_differ(command):
    for attribute in ("name", "typed"):
        found = [value for option in TABLES[command] if (value := getattr(option, attribute))]
        assert len(set(found)) == len(found)


def test_the_stored_command_gives_the_same_options_again():
    typed = shlex.split("a.h5 b.h5 --dataset fashion --dataset mnist --data d --rates 0.1,0.2 --layers all --layers "
                        "0,2 --trials 3 --ci-width 2.5 --max-trials 9 --seed 4 --out 's 1.h5' --predictions --quiet")
    parser = ber_sweep.arguments()
    found = parser.parse_args(typed)
    again = parser.parse_args(shlex.split(ber_sweep.command_of(found))[3:])
    assert {**vars(again), "quiet": True} == vars(found)


@pytest.mark.parametrize("call, wanted", [
    (lambda: parse_rates("0.1,0.001"), [0.0, 0.001, 0.1]), (lambda: parse_rates("0.1,0"), [0.0, 0.1]),
    (lambda: parse_rates("0.001:0.1:3"), [0.0, 0.001, 0.01, 0.1]),
    (lambda: parse_places("1e1:1000:3", True), [10, 100, 1000]), (lambda: parse_places("0:1:3", False), [0, 0.5, 1]),
    (lambda: parse_places("1:123456:2", True), [1, 123456]),
    (lambda: parse_places("0.1234567:1:2", False), [0.1234567, 1]),
    (lambda: parse_rates("0.0123456:0.1:2"), [0.0, 0.0123456, 0.1]),
    (lambda: parse_rates("0.999961:0.999962:3"), [0.0, 0.999961, 0.999962]),
    (lambda: parse_places("3,1", True), [3, 1]), (lambda: parse_integers("n", "3,0"), [3, 0]),
])
def test_lists_of_numbers(call, wanted):
    assert call() == wanted


@pytest.mark.parametrize("call, message", [
    (lambda: parse_rates("0.1:0.2"), "rates must be numbers"), (lambda: parse_rates("1:2:3:4"), "must be numbers"),
    (lambda: parse_rates("0.1:0.2:2.5"), "rates must be numbers"), (lambda: parse_rates(""), "rates must be numbers"),
    (lambda: parse_rates("0.1:0.2:nan"), "rates must be numbers"), (lambda: parse_rates("0.1:inf:3"), "probability"),
    (lambda: parse_rates("0.1:0.2:1e9"), r"count must be in \[2, 10000\]"),
    (lambda: parse_places("0:1:3", True), "start > 0"), (lambda: parse_places("2:1:3", False), "start < stop"),
    (lambda: parse_places("inf", False), "values must be finite"), (lambda: parse_places("a", False), "be numbers"),
    (lambda: parse_rates("1_0e-3"), "rates must be numbers"), (lambda: parse_rates("０.1"), "rates must be numbers"),
    (lambda: parse_places("1_000", True), "values must be numbers"), (lambda: parse_integers("n", "1_0"), "got '1_0'"),
    (lambda: parse_rates("0.1:0.2:1_0"), "rates must be numbers"), (lambda: parse_integers("n", "１"), "got '１'"),
    (lambda: parse_integers("n", "1,-1"), "n must be integers >= 0"), (lambda: parse_integers("n", "1.5"), "got '1.5'"),
])
def test_what_is_no_list_of_numbers_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
