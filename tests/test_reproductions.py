"""The reproductions at quick size, each a script on shared networks; verdicts follow from the intervals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_files

import bnnsim

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "reproduce"
sys.path.insert(0, str(FOLDER))
import make_results  # noqa: E402
import study  # noqa: E402

SCRIPTS = sorted(FOLDER.glob("[a-z]_*.py"))
ORDER = "habcdefg"                                                # claims that share networks come one after another


def run(path, *options):
    """What a script prints; an error ends the test."""
    environment = {**os.environ, "PYTHONPATH": str(Path(bnnsim.__file__).resolve().parent.parent),
                   "PYTHONWARNINGS": "error", "BNNSIM_OFFLINE": "1"}
    done = subprocess.run([sys.executable, path, *map(str, options)], env=environment, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """{claim: record} of every script, at quick size, and the folder they are in."""
    folder = tmp_path_factory.mktemp("reproduce")
    cifar = small_files.put_cifar(folder / "cifar", small_files.cifar_binary, ".bin")
    found = {}
    for path in sorted(SCRIPTS, key=lambda path: ORDER.index(path.name[0])):
        options = ("--cifar", cifar) if path.name[0] in "ad" else ()
        printed = run(path, "--folder", folder, *options)
        record = json.loads((folder / "quick-2-epochs" / f"{path.name[0]}.json").read_text())
        assert f"({path.name[0]})" in printed and record["verdict"].upper() in printed
        found[path.name[0]] = record
    return found, folder / "quick-2-epochs"


def test_every_claim_has_a_script():
    assert "".join(path.name[0] for path in SCRIPTS) == "abcdefgh"
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 90 and f"python examples/reproduce/{path.name} --full" in text


@pytest.mark.parametrize("claim", "abcdefgh")
def test_a_verdict_follows_from_its_checks(records, claim):
    """Each check's interval is that of its values, its verdict that of its interval; the figure is there."""
    record, folder = records[0][claim], records[1]
    assert record["checks"] and record["n_seeds"] == 3 and record["text"].startswith(("A", "F", "N", "T", "O"))
    for check in record["checks"]:
        if check["values"]:
            assert np.isclose(check["mean"], np.mean(check["values"]))
            assert len(check["values"]) == int(check["n"].split()[0])
        right = {"<": check["high"] < check["than"], ">": check["low"] > check["than"]}[check["wanted"]]
        wrong = {"<": check["low"] > check["than"], ">": check["high"] < check["than"]}[check["wanted"]]
        assert check["verdict"] == ("holds" if right else "does not hold" if wrong else "undecided")
    assert (folder / record["figure"]).read_bytes().startswith(b"\x89PNG")


def test_substitutes_are_named(records):
    """No real MNIST; CIFAR-10 from JPEG copies, with its epochs."""
    assert records[0]["a"]["substitutes"] == ["Fashion-MNIST for MNIST",
                                              "CIFAR-10 from JPEG copies, 2 epochs, one seed"]
    assert records[0]["b"]["substitutes"] == []


def test_a_theorem_holds_at_quick_size_too(records):
    """The constructions of universal approximation keep what they promise, whatever the size."""
    assert records[0]["h"]["verdict"] == "holds"


def test_a_second_run_says_the_same_from_the_stored_networks(records):
    """Networks and sweeps are kept, and used again."""
    _, folder = records
    before = json.loads((folder / "f.json").read_text())["checks"]
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*sweep.h5")}
    run(FOLDER / "f_margin_loss.py", "--folder", folder.parent)
    assert json.loads((folder / "f.json").read_text())["checks"] == before
    assert written == {path: path.stat().st_mtime_ns for path in folder.glob("*sweep.h5")}


@pytest.mark.parametrize(("low", "high", "wanted", "verdict"), [
    (0.1, 0.2, ">", "holds"), (-0.2, -0.1, ">", "does not hold"), (-0.1, 0.2, ">", "undecided"),
    (-0.2, -0.1, "<", "holds"), (0.1, 0.2, "<", "does not hold"), (-0.1, 0.2, "<", "undecided"),
    (-np.inf, np.inf, ">", "undecided"), (0.0, 0.0, ">", "undecided")])
def test_verdict_of_an_interval(low, high, wanted, verdict):
    assert study.verdict_of(low, high, wanted, 0.0) == verdict


@pytest.mark.parametrize(("verdicts", "whole"), [
    (["holds"], "holds"), (["holds", "undecided"], "undecided"), (["undecided", "does not hold"], "does not hold"),
    ([], "undecided")])
def test_a_claim_holds_where_all_of_its_checks_do(verdicts, whole):
    assert study.overall(verdicts) == whole


def test_the_interval_is_students():
    """Of 1, 2, 3: t[2] = 4.3027, standard error 1 / sqrt(3); one value has none."""
    mean, low, high = study.interval([1, 2, 3])
    assert mean == 2 and low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5) and high == pytest.approx(4 - low)
    assert study.interval([5.0]) == (5.0, -np.inf, np.inf)


def test_the_committed_table_is_what_the_records_say(records):
    """Run  python examples/reproduce/make_results.py  after a new results.json."""
    stored = json.loads(make_results.SOURCE.read_text(encoding="utf-8"))
    assert make_results.PAGE.read_text(encoding="utf-8") == make_results.page(stored)
    assert {record["claim"] for record in stored} == set("abcdefgh")
    assert {record["size"] for record in stored} == {"full"} and all(record["n_seeds"] >= 3 for record in stored)
    for record in stored:
        assert (make_results.FIGURES / record["figure"]).is_file()
        assert record["commit"] and record["commit"][-1] != "+"
    assert set(records[0]["a"]) == set(stored[0]), "records written by another version of study.py"
