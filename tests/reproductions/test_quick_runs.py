"""All scripts at quick size, in one folder of rows; verdicts follow from the values."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reproduce_scripts import CLAIMS, FOLDER, SCRIPTS, criteria, make_results, networks, plan, run_here

import bnnsim


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """{claim: record} of every script at quick size, and the folder they are in."""
    folder, found = tmp_path_factory.mktemp("reproduce"), {}
    for path in SCRIPTS:
        printed = run_here(path, "--folder", folder)
        record = json.loads((folder / "quick" / f"{path.name[0]}.json").read_text(encoding="utf-8"))
        assert f"({path.name[0]})" in printed and record["verdict"].upper() in printed
        found[path.name[0]] = record
    return found, folder


def test_every_claim_has_a_script_that_states_its_criterion(records):
    assert "".join(path.name[0] for path in SCRIPTS) == CLAIMS
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 140 and f"python examples/reproduce/{path.name} --full" in text
        assert records[0][path.name[0]]["criterion"].startswith("Criterion. ")


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_verdict_follows_from_the_values(records, claim):
    """Decided anew from what the record keeps of each check, the verdicts are the same; the figure is there."""
    record, folder = records[0][claim], records[1]
    again = [criteria.Check(**{key: check[key] for key in ("about", "setting", "quantity", "wanted", "than", "values",
                                                           "of", "why_open", "why_undecided")},
                            **({} if check["values"] else {key: check[key] for key in ("mean", "error", "df")}))
             for check in record["checks"]]
    criteria.decide(again)
    assert [check.verdict for check in again] == [check["verdict"] for check in record["checks"]]
    assert record["verdict"] == criteria.overall(again) and record["checks"]
    for check in record["checks"]:
        assert check["mean"] is not None or check["why_open" if check["verdict"] == criteria.OPEN else "why_undecided"]
    assert (folder / "quick" / record["figure"]).read_bytes().startswith(b"\x89PNG")


def test_a_theorem_holds_at_quick_size_too(records):
    """The constructions of universal approximation keep what they promise, whatever the size."""
    assert records[0]["h"]["verdict"] == "holds"


def test_a_second_run_says_the_same_and_trains_nothing(records):
    _, folder = records
    before = json.loads((folder / "quick" / "f.json").read_text(encoding="utf-8"))
    written = {path: path.stat().st_mtime_ns for path in (folder / "quick").glob("*seed-?.*")}
    run_here(FOLDER / "f_margin_loss.py", "--folder", folder)
    after = json.loads((folder / "quick" / "f.json").read_text(encoding="utf-8"))
    assert all(after[key] == before[key] for key in ("checks", "notes", "networks"))
    assert written == {path: path.stat().st_mtime_ns for path in (folder / "quick").glob("*seed-?.*")}


# ---------------------------------------------------------------- rows

def test_a_row_holds_what_its_network_does(records):
    """Correct images by rate and chip are those of a sweep of the packed network that lies beside the row."""
    _, folder = records
    recipe = next(recipe for recipe, _ in plan.jobs(plan.QUICK, ("short",)) if recipe.arm == "flips 0.1")
    row = networks.row_of(recipe, 0, plan.QUICK, folder)
    network = bnnsim.PackedNetwork.load(folder / "quick" / f"{recipe.name}-seed-0.h5")
    assert network.checksum == row["checksum"]
    _, test = networks.load(plan.QUICK, recipe.data)
    swept = bnnsim.sweep(network, test, row["rates"], row["chips"], rng=0, progress=False)
    assert (np.rint(swept.accuracy[0] * len(test)).astype(int) == row["correct"]).all()
    assert len(row["rescaled"]) == len(row["reestimated"]) == len(row["rates"])
    assert not list((folder / "quick").glob("*.training.h5")), "checkpoints go once a row is there"


def test_an_interrupted_training_goes_on_to_the_same_row(tmp_path, monkeypatch):
    """Ctrl-C behind the first of two epochs, and again: the network is that of an uninterrupted training."""
    recipe = plan.Recipe("fashion", "FCNN", "native 0.1", 2, "cosine")
    whole = networks.row_of(recipe, 0, plan.QUICK, tmp_path / "whole")

    factor = networks.Cosine.factor

    def stopping(self, epoch, n_epochs):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return factor(self, epoch, n_epochs)

    monkeypatch.setattr(networks.Cosine, "factor", stopping)
    with pytest.raises(KeyboardInterrupt):
        networks.row_of(recipe, 0, plan.QUICK, tmp_path)
    monkeypatch.undo()
    left = {path.suffixes[-1] for path in (tmp_path / "quick").iterdir()}
    assert {".h5", ".seconds"} <= left and ".json" not in left
    again = networks.row_of(recipe, 0, plan.QUICK, tmp_path)
    assert again["checksum"] == whole["checksum"] and again["correct"] == whole["correct"]


def test_parts_share_out_all_networks(tmp_path):
    """Several processes train what one would, and no network twice."""
    def told(*options):
        return run_here(FOLDER / "networks.py", "--folder", tmp_path, "--status", *options).splitlines()

    parts = [told("--part", f"{k}/3") for k in (1, 2, 3)]
    whole = told()
    assert sorted(sum(parts, [])) == sorted(whole) and len(whole) == len(set(whole)) and min(map(len, parts)) > 20


def test_latents_are_clipped_or_not(tmp_path):
    """The factor is one: at a large learning rate latents leave [-1, 1] where they are not clipped."""
    recipe = plan.Recipe("fashion", "FCNN", "standard", 1, "cosine")
    train, _ = networks.load(plan.QUICK, "fashion")
    for clip, outside in ((True, False), (False, True)):
        model = networks.build(recipe, plan.QUICK, train.images.shape[1:], 0)
        optimizer = networks.Adam(2.0) if clip else networks.Unclipped(2.0)
        bnnsim.fit(model, train[:512], 1, rng=0, optimizer=optimizer, progress=False)
        assert (np.abs(model.layers[0].parameters["weight"]).max() > 1) == outside


def test_the_scaled_hinge_learns_its_scale():
    """Gradient by scores, and the first step of the scale: Adam's, against its gradient's sign; by hand."""
    loss, scores, labels = networks.ScaledHinge(4.0), np.array([[100.0, -50.0]], np.float32), np.array([0])
    value, gradient = loss(scores, labels)
    assert value == pytest.approx(np.mean([4 - 0.1, 4 - 0.05]) / 4)
    assert gradient.tolist() == [pytest.approx([-1e-3 / 8, 1e-3 / 8])]
    assert loss.scale[0] == pytest.approx(2e-3, rel=1e-4), "scores are right, so the scale grows by the learning rate"


@pytest.mark.parametrize(("script", "options", "message"), [
    ("c_overfitting.py", "--folder /dev/null", "argument --folder: cannot make the folder /dev/null: "),
    ("networks.py", "--stages x,long",
     f"--stages must be of {', '.join(stage.name for stage in plan.STAGES)}, got x"),
    ("networks.py", "--part 3/2", "--part: must be K/N with K from 1 to N, such as 2/4, got '3/2'"),
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
        make_results.collect(records[1] / "quick")
    assert not list(tmp_path.iterdir())


def test_the_committed_records_are_of_this_version(records):
    """Run all scripts with --full, then make_results.py, after a change of what study.py records."""
    for record in json.loads(make_results.SOURCE.read_text(encoding="utf-8")):
        assert set(record) == set(records[0]["a"])
