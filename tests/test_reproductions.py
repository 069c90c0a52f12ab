"""The reproductions at quick size, each a script on shared networks; verdicts follow from the intervals."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import re
import runpy
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
import networks  # noqa: E402
import study  # noqa: E402

SCRIPTS = sorted(FOLDER.glob("[a-z]_*.py"))
ORDER = "habcdefg"                                                # claims that share networks come one after another
QUICK = ("--epochs", "1", "--folder")


def run(path, *options):
    """What a script prints, in a process of its own; an error ends the test."""
    environment = {**os.environ, "PYTHONPATH": str(Path(bnnsim.__file__).resolve().parent.parent),
                   "PYTHONWARNINGS": "error", "BNNSIM_OFFLINE": "1"}
    done = subprocess.run([sys.executable, path, *map(str, options)], env=environment, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True, scope="module")
def log_level():
    """The scripts silence the log of their process, which is this one."""
    log = logging.getLogger("bnnsim")
    before = log.level
    yield
    log.setLevel(before)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """{claim: record} of every script, at quick size and one epoch, and the folder they are in.

    One process runs all of them, which starts once; `run` shows that a script is one by itself.
    """
    folder, found = tmp_path_factory.mktemp("reproduce"), {}
    cifar = small_files.put_cifar(folder / "cifar", small_files.cifar_binary, ".bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNNSIM_OFFLINE", "1")
        for path in sorted(SCRIPTS, key=lambda path: ORDER.index(path.name[0])):
            options = ("--cifar", cifar, "--cifar-epochs", "1") if path.name[0] == "a" else ()
            patch.setattr(sys, "argv", [str(path), *QUICK, str(folder), *map(str, options)])
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                runpy.run_path(str(path), run_name="__main__")
            record = json.loads((folder / "quick-1-epochs" / f"{path.name[0]}.json").read_text())
            assert f"({path.name[0]})" in printed.getvalue() and record["verdict"].upper() in printed.getvalue()
            found[path.name[0]] = record
    return found, folder / "quick-1-epochs"


def test_every_claim_has_a_script():
    assert "".join(path.name[0] for path in SCRIPTS) == "abcdefgh"
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 90 and f"python examples/reproduce/{path.name} --full" in text


@pytest.mark.parametrize("claim", "abcdefgh")
def test_a_verdict_follows_from_its_checks(records, claim):
    """Each check's interval is that of its values, its verdict that of its interval; the figure is there."""
    record, folder = records[0][claim], records[1]
    assert record["checks"] and record["verdict"] == study.overall([check["verdict"] for check in record["checks"]])
    for check in record["checks"]:
        if check["values"]:
            assert [check["mean"], check["low"], check["high"]] == pytest.approx(study.interval(check["values"]))
            assert len(check["values"]) == int(check["n"].split()[0]) >= 2
        if check["mean"] is None:
            assert check["verdict"] == "undecided"
        else:
            assert check["verdict"] == study.verdict_of(*(check[key] for key in ("low", "high", "wanted", "than")))
    assert (folder / record["figure"]).read_bytes().startswith(b"\x89PNG")


def test_networks_and_what_they_stand_for_are_told(records):
    """No real MNIST; which CIFAR-10, and for how many epochs; every network with its time and commit."""
    conditions = " ".join(records[0]["a"]["conditions"])
    assert "Fashion-MNIST for MNIST" in conditions
    assert re.search(r"CIFAR-10 \(training images \w{12}\), 1 epochs", conditions)
    assert records[0]["h"]["conditions"] == [] and records[0]["h"]["networks"] == 0
    for record in records[0].values():
        assert len(record["training_seconds"]) == record["networks"]


def test_a_theorem_holds_at_quick_size_too(records):
    """The constructions of universal approximation keep what they promise, whatever the size."""
    assert records[0]["h"]["verdict"] == "holds"


def test_a_second_run_says_the_same_from_the_stored_networks(records):
    """Networks are kept, and used again; finished ones are not written again."""
    _, folder = records
    before = json.loads((folder / "f.json").read_text())
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*seed-?.h5")}
    run(FOLDER / "f_margin_loss.py", *QUICK, folder.parent)
    after = json.loads((folder / "f.json").read_text())
    assert all(after[key] == before[key] for key in ("checks", "notes", "training_seconds"))
    assert written == {path: path.stat().st_mtime_ns for path in folder.glob("*seed-?.h5")}


def test_parts_train_what_the_whole_trains(records, tmp_path):
    """A network does not hang on which process trains it."""
    _, folder = records
    size, recipe = dataclasses.replace(networks.QUICK, epochs=1), networks.RECIPES["MLP", "standard"]
    model, stored = (networks.train(size, where, recipe, 0, networks.load(size)[0])
                     for where in (tmp_path, folder.parent))
    assert bnnsim.pack(model).checksum == bnnsim.pack(stored).checksum


@pytest.mark.parametrize(("script", "options", "message"), [
    ("c_overfitting.py", "--epochs 0", "error: epochs must be >= 1, got 0"),
    ("a_tolerated_rates.py", "--cifar nowhere", "error: folder must be a folder that has the files of cifar10"),
    ("networks.py", "--part x", "--part must be K/N with K from 1 to N, such as 1/2, got x"),
    ("networks.py", "--part 3/2", "--part must be K/N"),
    ("make_results.py", "nowhere", "has no record of claim a, b, c, d, e, f, g, h: run those scripts first"),
    ("make_results.py", "nowhere --check", "--check writes nothing")])
def test_bad_input_is_one_clear_line(script, options, message, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(bnnsim.__file__).resolve().parent.parent)}
    done = subprocess.run([sys.executable, FOLDER / script, *options.split()], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode and message in done.stderr and "Traceback" not in done.stderr


def test_a_quick_run_does_not_become_the_committed_table(records, monkeypatch, tmp_path):
    for name in ("SOURCE", "PAGE", "FIGURES"):
        monkeypatch.setattr(make_results, name, tmp_path / name)
    with pytest.raises(SystemExit, match="must have records of one full run"):
        make_results.collect(records[1])
    assert not list(tmp_path.iterdir())


def test_a_record_of_an_earlier_script_says_so(records):
    """Claim (g) was measured before importance had a reliability: its row says it until it is run again."""
    stored = json.loads(make_results.SOURCE.read_text(encoding="utf-8"))
    for record in [*stored, *records[0].values()]:
        word, _ = make_results.SINCE.get(record["claim"], ("", ""))
        is_older = bool(word) and word not in " ".join(record["notes"])
        assert ("Of the version before, commit" in make_results.section(record)) == is_older
        assert make_results.page([record]).count("; of the version before") == is_older
    assert not any(map(make_results.predates, records[0].values())), "today's scripts tell all of it"


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
        assert record["commit"] and not record["commit"].endswith("+")
        assert record["networks"] == 0 or record["n_images"] == 10_000
    assert set(records[0]["a"]) == set(stored[0]), "records written by another version of study.py"
