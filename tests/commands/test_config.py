"""Campaigns from a file and from options: every key is checked by name, options win, and a result knows its command."""

import csv
import io
import json
import logging
import shlex

import pytest

import bnnsim.ber_sweep as ber_sweep
import bnnsim.campaign.cells as cells
import bnnsim.commands.config as config
from bnnsim.campaign.result import SweepResult
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack

WHOLE = {"networks": ["a.h5", "b.h5"], "datasets": ["fashion", "fashion-subset"], "data": "folder",
         "size": "32x28", "order": "NHWC", "limit": 100, "rates": [0, 1e-3],
         "layers": ["all", [0], [1, 2]], "trials": 20, "seed": 7, "workers": 2, "dask": "tcp://host:8786",
         "faults": ["BitFlips(0)"], "axis": "share_of_cells", "out": "s.h5", "plot": "s.svg", "width": "page",
         "resume": True,
         "predictions": False, "quiet": True, "log": False, "format": "json", "ci_width": 0.5, "max_trials": 100}


TABLE = ber_sweep.arguments().table
KEYS = {option.name for option in TABLE if option.scope != "once"}


def load_config(path):
    return config.load_config(path, TABLE)


def written(tmp_path, content):
    path = tmp_path / "campaign.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_option_is_a_key(tmp_path):
    assert load_config(written(tmp_path, WHOLE)) == {**WHOLE, "rates": "0.0,0.001"}
    assert set(WHOLE) == KEYS
    for option in TABLE:
        assert option.default in (None, []) or option.checked(option.default, option.name) == option.default


def test_one_value_is_a_list_of_one(tmp_path):
    path = written(tmp_path, {"networks": "a.h5", "datasets": "mnist", "rates": 0.1, "layers": "all"})
    found = load_config(path)
    assert found == {"networks": ["a.h5"], "datasets": ["mnist"], "rates": "0.1", "layers": ["all"]}


WRONG = [
    ({"networks": 3}, TypeError, r"networks must be a path, got 3"),
    ({"networks": ["a", ""]}, TypeError, r"networks\[1\] must be a path, got ''"),
    ({"networks": []}, ValueError, r"networks must have at least one value, got \[\]"),
    ({"datasets": ["fashon"]}, ValueError, r"datasets must be one of .* did you mean 'fashion'\?"),
    ({"data": None}, TypeError, "data must be a path, got None"),
    ({"size": "3"}, ValueError, "size must be ROWSxCOLUMNS"), ({"order": "HWC"}, ValueError, "order must be one of"),
    ({"limit": 0}, ValueError, "limit must be >= 1, got 0"),
    ({"rates": [0.1, 1.5]}, ValueError, r"rates\[1\] must be a probability in \[0, 1\], got 1.5"),
    ({"rates": ["0.1"]}, TypeError, r"rates\[0\] must be a probability"),
    ({"rates": []}, ValueError, "rates must have at least one value"),
    ({"rates": True}, TypeError, r"rates\[0\] must be a probability"),
    ('{"rates": [NaN]}', ValueError, "must be JSON: numbers must be finite, got NaN"),
    ({"layers": [0]}, TypeError, r'layers must be "all" or a list of layer numbers, got 0'),
    ({"layers": [[0], [-1]]}, ValueError, r"layers\[1\] must be >= 0, got -1"),
    ({"layers": [[0.5]]}, TypeError, r"layers must be an integer"),
    ({"layers": [[]]}, TypeError, r'layers must be "all" or a list'),
    ({"trials": "20"}, TypeError, "trials must be an integer, got '20'"),
    ({"trials": 0}, ValueError, "trials must be >= 1"),
    ({"trials": True}, TypeError, "trials must be an integer, got True"),
    ({"seed": -1}, ValueError, "seed must be >= 0"),
    ({"seed": 1.0}, TypeError, "seed must be an integer"),
    ({"workers": 5000}, ValueError, r"workers must be in \[1, 4096\]"),
    ({"dask": 8786}, TypeError, "dask must be text, got 8786"),
    ({"faults": [3]}, TypeError, r"faults must be text, got 3"),
    ({"faults": []}, ValueError, "faults must have at least one value"),
    ({"axis": ""}, TypeError, "axis must be text, got ''"),
    ({"out": ["a"]}, TypeError, r"out must be a path, got \['a'\]"),
    ({"plot": {}}, TypeError, "plot must be a path"), ({"width": "half"}, ValueError, "width must be one of"),
    ({"resume": "yes"}, TypeError, "resume must be true or false, got 'yes'"),
    ({"predictions": 1}, TypeError, "predictions must be true or false, got 1"),
    ({"quiet": 0}, TypeError, "quiet must be true or false"),
    ({"log": None}, TypeError, "log must be true or false"),
    ({"format": "xml"}, ValueError, "format must be one of 'table', 'csv', 'json', got 'xml'"),
    ({"ci_width": 0.99e-4}, ValueError, "ci_width must be >= 0.0001, got 9.9e-05"),
    ({"ci_width": 101}, ValueError, "ci_width must be <= 100"),
    ({"ci_width": "1"}, TypeError, "ci_width must be a real number"),
    ({"max_trials": 0}, ValueError, "max_trials must be >= 1"),
    ({"trails": 5}, ValueError, "a key must be one of .*, got 'trails'; did you mean 'trials'"),
    ({"ci-width": 5}, ValueError, "did you mean 'ci_width'"),
    ({"zzz": 5}, ValueError, "a key must be one of .*, got 'zzz'$"),
    ('{"trials": 5, "seed": 1, "trials": 6}', ValueError, "the key 'trials' is given twice"),
    ('{"trials": 5,}', ValueError, "must be JSON: .*line 1"),
    *(({option.name: True}, ValueError, f"a key must be one of .*, got '{option.name}'") for option in TABLE
      if option.scope == "once"),
    ("", ValueError, "must be JSON"),
    ("[1]", ValueError, "must hold a JSON object, got list"),
    ("[" * 10**5, ValueError, "must be JSON"),
    ('{"trials": ' + "9" * 5000 + "}", ValueError, "must be JSON"),
    (" " * (2**20 + 1), ValueError, "must be JSON: it must have at most 1048576 bytes"),
]


@pytest.mark.parametrize("content, error, message", WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named_with_its_file_and_key(tmp_path, content, error, message):
    path = written(tmp_path, content)
    with pytest.raises(error, match=message) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))


def test_every_key_has_a_wrong_value_above():
    named = {key for content, *_ in WRONG if isinstance(content, dict) for key in content}
    assert KEYS <= named


def test_bytes_that_are_no_text_are_not_json(tmp_path):
    path = tmp_path / "campaign.json"
    path.write_bytes(b'{"out": "\xff"}')
    with pytest.raises(ValueError, match="campaign.json must be JSON"):
        load_config(path)


# ---------------------------------------------------------------- the command line

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two networks' files."""
    path = tmp_path_factory.mktemp("networks")
    for seed in range(2):
        pack(build("FC16 FC10", (1, 28, 28), rng=seed)).save(path / f"net{seed}.h5")
    return path


@pytest.fixture
def here(folder, monkeypatch):
    """Run in that folder: commands name files in it. New ones are removed."""
    before = set(folder.iterdir())
    monkeypatch.chdir(folder)
    yield folder
    for path in set(folder.iterdir()) - before:
        path.unlink()


GRID = {"networks": ["net0.h5", "net1.h5"], "datasets": "fashion-subset", "rates": [0.1, 0.3], "layers": ["all", [0]],
        "trials": 2, "seed": 4, "quiet": True}


def main(*arguments):
    assert ber_sweep.main([str(each) for each in arguments]) == 0


def refused(capsys, *arguments):
    """The one line of an error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        ber_sweep.main([str(each) for each in arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    return error


def test_a_file_is_the_same_as_options(here):
    path = written(here, {**GRID, "out": "file.h5"})
    main("--config", path)
    main("net0.h5", "net1.h5", "--dataset", "fashion-subset", "--rates", "0.1,0.3", "--layers", "all", "--layers", "0",
         "--trials", 2, "--seed", 4, "--quiet", "--out", "options.h5")
    one, other = SweepResult.load("file.h5"), SweepResult.load("options.h5")
    assert one.checksum == other.checksum and one.right.shape == (4, 3, 2, 10) and one.seed == 4
    assert one.names == ("net0", "net0, layers 0", "net1", "net1, layers 0")


def test_options_win_over_the_file(here):
    path = written(here, {**GRID, "out": "file.h5"})
    main("net1.h5", "--config", path, "--trials", 3, "--seed", 0, "--rates", "0.2", "--layers", "1", "--out", "mine.h5")
    found = SweepResult.load("mine.h5")
    assert found.names == ("net1, layers 1",) and found.right.shape == (1, 2, 3, 10) and found.seed == 0
    assert found.rates.tolist() == [0, 0.2] and not (here / "file.h5").exists()


@pytest.mark.parametrize("more, n_cells", [
    ([], "20 cells"),                                            # 2 networks x 2 layers x (1 + 2 rates x 2 chips)
    (["--trials", 10], "84 cells"), (["--rates", "0.01:0.1:100", "--trials", 50], "20,004 cells"),
    (["net0.h5", "--layers", "0"], "5 cells"), (["--ci-width", 1], "at least 20 cells")])
def test_a_dry_run_counts_the_cells_and_runs_none(here, capsys, monkeypatch, more, n_cells):
    monkeypatch.setattr(cells, "run_batch", lambda *_, **__: pytest.fail("it ran"))
    main("--config", written(here, {**GRID, "out": "s.h5"}), "--dry-run", *more)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith(f"{n_cells}, about ") and lines[-3].startswith("rates: 0, 0.")
    assert lines[-1] == "--out would write s.h5"
    assert "fashion-subset-test, 2,000 images" in lines[0] and not (here / "s.h5").exists()


def test_a_dry_run_s_number_is_the_number_evaluated(here, capsys, monkeypatch):
    path, found, whole = written(here, GRID), [], cells.run_cell
    main("--config", path, "--dry-run")
    monkeypatch.setattr(cells, "run_cell", lambda *cell: found.append(cell) or whole(*cell))
    main("--config", path)
    assert f"\n{len(found)} cells, " in capsys.readouterr().out


def reproduced(capsys, result, out="again.h5"):
    """Run the command that a file prints, under another name."""
    capsys.readouterr()
    main("--print-command", result)
    words = shlex.split(capsys.readouterr().out)
    assert words[:3] == ["python", "-m", "bnnsim.ber_sweep"] and words[words.index("--out") + 1] == result
    words[words.index("--out") + 1] = out
    main(*words[3:], "--quiet")
    return SweepResult.load(out)


@pytest.mark.parametrize("more", [[], ["--predictions"], ["--ci-width", "9", "--max-trials", "5"]])
def test_a_file_prints_the_command_that_makes_it_again(here, capsys, more):
    main("--config", written(here, GRID), "--out", "first run.h5", *more)
    assert reproduced(capsys, "first run.h5").checksum == SweepResult.load("first run.h5").checksum


def test_a_file_that_has_grown_prints_the_command_of_the_whole(here, capsys):
    main("--config", written(here, GRID), "--out", "s.h5")
    main("--config", written(here, GRID), "--out", "s.h5", "--resume", "--rates", "0.2", "--trials", "1")
    grown = SweepResult.load("s.h5")
    assert grown.rates.tolist() == [0, 0.1, 0.2, 0.3] and grown.right.shape[2] == 2
    assert reproduced(capsys, "s.h5").checksum == grown.checksum


def test_a_file_of_another_program_has_no_command(here, capsys):
    main("--config", written(here, GRID), "--out", "s.h5")
    result = SweepResult.load("s.h5")
    result.provenance["command"] = "rm -r /"
    result.save("s.h5")
    assert "the file does not know its command" in refused(capsys, "--print-command", "s.h5")


def test_formats_can_be_parsed(here, capsys):
    path = written(here, GRID)
    main("--config", path, "--format", "json", "--out", "s.h5")
    found, result = json.loads(capsys.readouterr().out), SweepResult.load("s.h5")
    assert found["checksum"] == result.checksum and found["settings"] == result.settings
    assert [row["mean"] for row in found["rows"]] == result.mean().ravel().tolist()
    main("--config", path, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["accuracy"]) for row in rows] == result.accuracy.ravel().tolist()
    assert rows[-1]["series"] == "net1, layers 0" and rows[-1]["value"] == "0.3" and rows[-1]["seed"] == "4"


@pytest.mark.parametrize("by", ["option", "file"])
def test_a_log_has_lines_and_no_bars(here, capsys, caplog, by):
    """A batch job's output file is read by line; a bar would be one line of many thousand characters."""
    content = {key: value for key, value in GRID.items() if key != "quiet"}
    with caplog.at_level(logging.INFO, "bnnsim"):
        main("--config", written(here, {**content, "log": by == "file"}), *["--log"] * (by == "option"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-1].startswith("done in ") and "20/20" in "".join(lines)
    assert all(line and len(line) < 100 and "\r" not in line and "\n" not in line for line in lines)
    assert "\r" not in capsys.readouterr().err


def test_log_in_a_file_is_heeded(here, monkeypatch):
    seen = []
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: seen.append(settings["level"]))
    main("--config", written(here, {**GRID, "log": True}))
    assert logging.INFO in seen


@pytest.mark.parametrize("more, message", [
    (["--workers", 2, "--dask", "tcp://127.0.0.1:1"], "--workers starts processes here and --dask uses a cluster"),
    (["--ci-width", 1, "--trials", 1], "--ci-width needs a pilot of trials >= 2 chips, got 1"),
    (["--max-trials", 9], "--max-trials goes with --ci-width, and nothing else reads it"),
    (["--ci-width", 1, "--max-trials", 1], "--max-trials must be in [2, "),
    (["--resume"], "--resume goes with --out FILE.h5, and nothing else reads it"),
    (["--resume", "--out", "s.csv"], "must end in .h5"),
    (["--out", "s.txt"], "must end in .h5 or .csv"),
    (["--layers", "7"], "--layers must be in 0..1, got (7,)"),
    (["--layers", "a"], "--layers"),
    (["--workers", 0], "--workers must be in [1, 4096]"),
    (["--format", "xml"], "--format must be one of 'table', 'csv', 'json', got 'xml'"),
    (["--ci-width", "nan"], "--ci-width must be finite"),
    (["--dask", "nonsense://x"], "nonsense"),
    (["--config", "missing.json"], "missing.json"),
    (["--print-command", "net0.h5"], "a packed network: open it with"),
])
def test_bad_combinations_are_one_line_and_exit_code_2(here, capsys, more, message):
    path = written(here, GRID)
    before = sorted(here.iterdir())
    assert message in refused(capsys, *(more if "--config" in more else ["--config", path, *more]))
    assert sorted(here.iterdir()) == before


def test_files_in_the_way_are_one_line_and_exit_code_2(here, capsys):
    path = written(here, {**GRID, "out": "s.h5"})
    main("--config", path)
    before = (here / "s.h5").read_bytes()
    assert "s.h5 exists: resume it (resume=True, --resume), or give another name" in refused(capsys, "--config", path)
    error = refused(capsys, "--config", path, "--resume", "--seed", 5)
    assert "s.h5 is of another campaign: seed is '4' there and '5' here" in error
    assert (here / "s.h5").read_bytes() == before
    (here / "s.h5").write_bytes(before[:-100])
    assert "damaged or cut off" in refused(capsys, "--config", path, "--resume")
