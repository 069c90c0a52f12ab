"""The reproductions at quick size, all in one folder of rows; verdicts follow from the values."""

import contextlib
import copy
import functools
import io
import itertools
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import bnnsim

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "reproduce"
sys.path.insert(0, str(FOLDER))
import b_trade_off  # noqa: E402
import criteria  # noqa: E402
import d_tolerance_correlates  # noqa: E402
import explain  # noqa: E402
import f_margin_loss  # noqa: E402
import make_results  # noqa: E402
import networks  # noqa: E402
import plan  # noqa: E402
import study  # noqa: E402

SCRIPTS = sorted(FOLDER.glob("[a-z]_*.py"))
CLAIMS = "abcdefgh"


@pytest.fixture(autouse=True, scope="module")
def log_level():
    """The scripts silence the log of their process, which is this one."""
    log = logging.getLogger("bnnsim")
    before = log.level
    yield
    log.setLevel(before)


def run_here(path, *options):
    """What a script prints, in this process, which has compiled everything."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setenv("BNNSIM_OFFLINE", "1")
        patch.setattr(sys, "argv", [str(path), *map(str, options)])
        runpy.run_path(str(path), run_name="__main__")
    return printed.getvalue()


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


# ---------------------------------------------------------------- criteria

def check(values, wanted=">", than=0.0, quantity="q", of="seeds", setting="s", **more):
    return criteria.Check("x", setting, quantity, wanted, than, list(values), of, **more)


def test_one_check_is_a_t_test():
    """Alone: the two-sided p value is SciPy's; the distance that it decides is the half width of its interval."""
    one = check([0.3, 0.5, 0.4])
    criteria.decide([one])
    expected = scipy.stats.ttest_1samp(one.values, 0.0)
    assert (one.p, one.df) == pytest.approx((expected.pvalue, 2)) and one.verdict == "holds"
    low, high = expected.confidence_interval(0.95)
    assert one.decides == pytest.approx((high - low) / 2)


def test_variance_is_pooled_over_arms_where_it_agrees():
    arms = [check([0.3, 0.5, 0.4]), check([1.3, 1.4, 1.2]), check([5.0, 9.0, 1.0], quantity="another")]
    criteria.decide(arms)
    assert [arm.df for arm in arms] == [4, 4, 2]
    assert arms[0].error == pytest.approx(np.sqrt((0.01 + 0.01) / 2 / 3))
    arms = [check([0.30, 0.31, 0.32]), check([30.0, 10.0, -20.0])]
    criteria.decide(arms)
    assert [arm.df for arm in arms] == [2, 2], "Bartlett's test tells them apart"
    assert not any(arm.pooled for arm in arms)
    arms = [check([0.3, 0.5, 0.4]), check([1.3, 1.4, 1.2]), check([0.2, 0.2, 0.2]), check([7.0, 7.0], quantity="r")]
    criteria.decide(arms)
    assert [arm.df for arm in arms] == [4, 4, 4, None], "a value at a bound has the variance of the others"
    assert arms[3].verdict == "not decided" and arms[3].why_undecided == "no variance between seeds"
    codes = [check([0.3, 0.5, 0.4], setting=f"net, code {code}, more") for code in (0, 128)]
    criteria.decide(codes)
    assert [arm.df for arm in codes] == [2, 2], "seeds may vary otherwise at another input code"


@pytest.mark.parametrize("groups", [[[1.0, 2, 4], [0.0, 5, 1]], [[1.0, 2], [3.0, 5], [1.0, 9]],
                                    [[0.1, 0.2, 0.3, 0.9], [0.0, 40.0, 1.0]]])
def test_bartlett_is_scipys(groups):
    assert criteria.bartlett([np.array(group) for group in groups]) == pytest.approx(
        scipy.stats.bartlett(*groups).pvalue)


def test_holms_correction_by_hand():
    """Of three, the smallest is held against 5 / 3 %, the next against 5 / 2 %; after one that fails all are open."""
    assert criteria.holm([0.04, 0.001, 0.02]) == [True, True, True]
    assert criteria.holm([0.04, 0.001, 0.03]) == [False, True, False]
    assert criteria.holm([0.02, 0.02, 0.02]) == [False, False, False]


def test_where_nothing_is_true_few_claims_are_decided():
    """Of claims of eight checks whose means are the number claimed, at most about 5 % have one decided."""
    rng, decided, uncorrected = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        checks = [check(rng.normal(0, 1, 3), quantity=str(k % 2)) for k in range(8)]
        criteria.decide(checks)
        decided += any(one.verdict != criteria.UNDECIDED for one in checks)
        uncorrected += any(one.p < 0.05 for one in checks)
    assert 15 < decided < 80 and uncorrected > 200, "without Holm's correction a third would be"


def test_chips_of_one_network_pool_with_nothing():
    one, other = check([0.3, 0.5, 0.4], of="chips of one network"), check([3.0, 5.0, 4.0])
    criteria.decide([one, other])
    assert (one.df, other.df) == (2, 2) and one.error == pytest.approx(0.1 / np.sqrt(3))
    assert one.verdict == "holds for one network" and other.verdict == "holds"
    one = check([-0.3, -0.5, -0.4], of="chips of one network")
    criteria.decide([one])
    assert one.verdict == "contradicted for one network"


def test_what_a_design_cannot_tell_is_not_decided_and_corrects_nothing():
    """It is no p value of Holm's; the reason stays."""
    one, noise = check([0.3, 0.5, 0.4]), check([], why_undecided="mostly noise")
    criteria.decide([one, noise])
    assert noise.verdict == "not decided" and noise.mean is None
    low, high = scipy.stats.ttest_1samp(one.values, 0.0).confidence_interval(0.95)
    assert one.decides == pytest.approx((high - low) / 2)


def test_a_single_value_decides_nothing():
    one = check([0.3])
    criteria.decide([one])
    assert one.verdict == criteria.OPEN and one.why_open == "1 of at least 2 seeds"


@pytest.mark.parametrize(("verdicts", "whole"), [
    ({"A": "holds", "B": "holds"}, "holds"), ({}, "open"), ({"A": "contradicted"}, "contradicted"),
    ({"A": "holds", "B": "contradicted"}, "holds under A; contradicted under B"),
    ({"A": "holds", "B": "not decided", "C": "holds"}, "holds under A / C; not decided under B"),
    ({"A": "open", "B": "not decided", "C": "open"}, "not decided under B; open under 2 other settings"),
    ({"A": "holds for one network", "B": "holds", "C": "open"},
     "holds under B; holds for one network under A; open under 1 other setting"),
    ({"A, b, code 0, x": "holds", "A, b, code 128, x": "holds", "B": "open", "A, b, code 128": "holds", "C": "holds"},
     "holds under A, b: x (code 0 and 128), code 128 / C; open under 1 other setting")])
def test_a_claim_names_the_settings_of_its_verdicts(verdicts, whole):
    checks = [check([], setting=setting) for setting in verdicts]
    for one, verdict in zip(checks, verdicts.values()):
        one.verdict = verdict
    assert criteria.overall(checks) == whole


def test_within_a_setting_one_contradicted_check_is_enough():
    checks = [check([]), check([]), check([])]
    for one, verdict in zip(checks, ("holds", "not decided", "contradicted")):
        one.verdict = verdict
    assert criteria.by_setting(checks) == {"s": "contradicted"}
    assert criteria.by_setting(checks[:2]) == {"s": "not decided"}
    assert criteria.by_setting([*checks[:2], check([])]) == {"s": "open"}, "what is not measured leaves a setting open"
    checks[1].verdict = "holds for one network"
    assert criteria.by_setting(checks[:2]) == {"s": "holds for one network"}


# ---------------------------------------------------------------- what scripts make of rows

def made(*percents, arm="standard", **more):
    """A row of 1,000 images at BER 0, 0.1 and 0.2, as many chips as are given."""
    return {"rates": [0.0, 0.1, 0.2], "images": 1000, "chips": len(percents), "arm": arm,
            "correct": [[10 * chip[k] for chip in percents] for k in range(3)], **more}


def asked(arms, measure):
    one = study.Study("a", "A claim.\n\n    command\n\nCriterion. None.", "nobody", [])
    one.ask("x", "s", "q", arms, measure, "<", 1)
    return one.checks[0]


def test_seeds_are_means_of_chips_and_one_seed_is_its_chips():
    first, second = made((90, 80, 70), (90, 84, 60)), made((88, 87, 86), (90, 89, 88))
    several = asked({"standard": [first, second]}, lambda arms: study.lost(arms["standard"], 0.1))
    assert (several.values, several.of) == ([8.0, 1.0], "seeds")
    alone = asked({"standard": [first]}, lambda arms: study.lost(arms["standard"], 0.1))
    assert (alone.values, alone.of) == ([10.0, 6.0], "chips of one network")
    missing = asked({}, lambda arms: study.lost(arms["standard"], 0.1))
    assert not missing.values and missing.why_open == "not trained yet"


def test_what_flip_training_gives_back_is_a_share_of_what_was_lost():
    arms = {"standard": [made((90, 80, 50))], "flips 0.2": [made((88, 85, 80), arm="flips 0.2")]}
    assert b_trade_off.gain(arms, "0.2").tolist() == [[30.0]] and b_trade_off.share(arms, "0.2").tolist() == [0.75]


def test_a_tolerated_rate_lies_between_the_rates_that_were_measured():
    """A point of its own 88 is lost a third of the way from 0 to 0.1, five of the standard 90 a fifth behind 0.1."""
    arms = {"standard": [made((90, 89.5, 89))], "MHL 1": [made((88, 85.0, 84.0)), made((90, 90, 90))]}
    own, of_standard = f_margin_loss.LEVELS
    assert f_margin_loss.tolerated({**arms, "MHL 1": arms["MHL 1"][:1]}, "MHL 1", own) == pytest.approx([0.1 / 3])
    assert f_margin_loss.tolerated({**arms, "MHL 1": [made((88, 85.2, 84.2))]}, "MHL 1",
                                   of_standard) == pytest.approx([0.12])
    assert f_margin_loss.tolerated({**arms, "MHL 1": arms["MHL 1"][1:]}, "MHL 1", own) == [0.2], "never lost"
    assert f_margin_loss.tolerated({**arms, "MHL 1": [made((80, 80, 80))]}, "MHL 1", of_standard) == [0.0]


def trainings(*arms):
    return [[made((90, 80, 70), arm=arm, net="FCNN", epochs=10, schedule="cosine", clip=True, scale=1.0)]
            for arm in arms]


def test_rates_in_order_correlate_by_themselves():
    """One increasing sequence from standard on: always 1. Arms without an order: nothing, but for chance."""
    of_order = functools.partial(d_tolerance_correlates.of_order, draws=300)
    assert of_order(trainings("standard", *(f"flips {rate}" for rate in (0.05, 0.1, 0.2)))) == 1
    alone = trainings("standard", "MHL 1", "MHL 0.5", "scaled MHL 32", "regulariser 1 16")
    assert abs(of_order(alone)) < 0.12
    assert 0.12 < of_order(alone + trainings("flips 0.2", "native 0.2")) < 0.7


def test_what_a_plan_cannot_reach_is_not_called_open():
    """Every population of T has trainings enough in the plan, but for CIFAR-10's, of hours each."""
    for net, codes in (("FCNN", plan.CODES), ("CNN", plan.CODES), ("CIFAR-10 CNN", (128,))):
        for code in codes:
            for kinds in d_tolerance_correlates.POPULATIONS.values():
                n = len(d_tolerance_correlates.planned(net, code, kinds))
                assert (n >= d_tolerance_correlates.LEAST) == (net != "CIFAR-10 CNN"), (net, code, kinds, n)


def test_networks_of_two_kinds_differ_by_their_means():
    """Student's t of two samples with a pooled variance is SciPy's; one network of each decides nothing."""
    one = study.Study("a", "A claim.\n\n    command\n\nCriterion. None.", "nobody", [])
    first, second = np.array([3.0, 5.0, 4.5]), np.array([1.0, 2.5])
    one.ask_difference("x", "s", "q", first, second, ">", 0)
    one.ask_difference("x", "s", "q", first[:1], second[:1], ">", 0)
    criteria.decide(one.checks)
    expected = scipy.stats.ttest_ind(first, second)
    assert (one.checks[0].p, one.checks[0].df) == pytest.approx((expected.pvalue, 3))
    assert one.checks[1].verdict == "open" and one.checks[1].why_open == "1 and 1 seeds"


def test_labels_of_the_plan_are_told_apart():
    """Two networks of one label would stand for each other in a figure."""
    labels = [study.label({**vars(recipe), "images": 10_000}) for recipe, seed in plan.jobs(plan.FULL) if seed == 0]
    assert len(set(labels)) == len(labels)


# ---------------------------------------------------------------- scripts and the committed table

@pytest.mark.parametrize(("script", "options", "message"), [
    ("c_overfitting.py", "--folder /dev/null", "error: "),
    ("networks.py", "--stages x,long",
     "--stages must be of short, short cnn, long, arms, cnn, mnist, small cifar, cifar, got x"),
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


def test_the_committed_table_is_what_the_records_say(records):
    """Run  python examples/reproduce/make_results.py  after a new results.json."""
    stored = json.loads(make_results.SOURCE.read_text(encoding="utf-8"))
    assert make_results.PAGE.read_text(encoding="utf-8") == make_results.page(stored)
    assert [record["claim"] for record in stored] == list(CLAIMS)
    for record in stored:
        assert (make_results.FIGURES / record["figure"]).is_file() and record["size"] == "full"
        assert record["commit"] and not record["commit"].endswith("+")
        assert set(record) == set(records[0]["a"]), "a record of another version of study.py"


def test_the_committed_records_are_what_the_rows_say(tmp_path):
    """Every claim of trained networks, computed anew from rows.jsonl: the same checks and notes."""
    stored = {record["claim"]: record for record in json.loads(make_results.SOURCE.read_text(encoding="utf-8"))}
    for path in SCRIPTS[:-1]:
        run_here(path, "--full", "--folder", tmp_path)
        again = json.loads((tmp_path / "full" / f"{path.name[0]}.json").read_text(encoding="utf-8"))
        before = stored[path.name[0]]
        for key in ("setting", "about", "quantity", "verdict"):
            assert [check[key] for check in again["checks"]] == [check[key] for check in before["checks"]]
        for check, old in zip(again["checks"], before["checks"]):
            assert check["values"] == pytest.approx(old["values"]) and (check["mean"] is None) == (old["mean"] is None)
            for key in ("mean", "error", "df", "decides") if check["mean"] is not None else ():
                assert check[key] == (old[key] if old[key] is None else pytest.approx(old[key]))
        assert again["notes"] == before["notes"]


def test_the_committed_explanation_is_what_the_rows_say():
    """Run  python examples/reproduce/explain.py  after new rows."""
    assert explain.PAGE.read_text(encoding="utf-8") == explain.page()


def clean_at(rate):
    """A change of a row: with rescaled thresholds nothing is lost at one rate."""
    def change(row):
        row["rescaled"][row["rates"].index(rate)] = row["rescaled"][0]
    return change


def stale(row):
    row["rescaled"] = row["correct"]


def perfect(row):
    row["rescaled"] = np.full_like(row["rescaled"], row["images"]).tolist()


@pytest.mark.parametrize("part, which, change, refused", [
    ("standard_part", ("standard", 128, 10), stale, "less than a tenth of what codes make"),
    ("standard_part", ("standard", 0, 100), clean_at(0.04), "nine tenths or more"),
    ("gain_part", ("standard", 0, 10), perfect, "larger share"),
    ("gradient_part", ("native 0.1", 128, 10), stale, "none overfits"),
    ("gradient_part", ("native 0.2", 0, 10), perfect, "beats native")])
def test_the_explanation_refuses_what_the_rows_no_longer_support(part, which, change, refused, monkeypatch):
    """Each finding at every rate: one kind of network that behaves otherwise suffices."""
    rows = copy.deepcopy(networks.kept())
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    getattr(explain, part)()
    for row in rows.values():
        if row["net"] == "FCNN" and (row["arm"], row["code"], row["epochs"]) == which:
            change(row)
    with pytest.raises(SystemExit, match=f"no longer support.*{refused}"):
        getattr(explain, part)()


def test_a_finding_that_fails_elsewhere_says_so(monkeypatch):
    """Whoever adds a network that behaves otherwise gets a page that names it."""
    rows = copy.deepcopy(networks.kept())
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    for row in rows.values():
        if row["net"] == "MLP" and row["arm"] == "flips 0.04":
            perfect(row)
            row["rescaled"] = row["reestimated"] = [[0] * row["chips"] if rate == 0.2 else right
                                                    for rate, right in zip(row["rates"], row["rescaled"])]
    told = " ".join(explain.gain_part().split())
    assert "by more than a point" in told and "so in FCNN 10 cosine (n=3); not in MLP 100 halved 25 (n=1)." in told


def test_rows_of_the_small_cifar_network_join_the_page(monkeypatch, tmp_path):
    """One code, three chips, one seed: cells of that network fill, once "more" is there the control's as well."""
    rows, small = dict(networks.kept()), "small CIFAR-10 CNN"
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    mlp = next(row for row in rows.values() if (row["net"], row["arm"], row["code"]) == ("MLP", "standard", 128))
    three = {way: [right[:3] for right in mlp[way]] for way in explain.WAYS}
    made = mlp | three | {"net": small, "data": "cifar10", "spec": plan.FULL.specs[small], "chips": 3, "epochs": 14,
                          "schedule": "cosine"}
    monkeypatch.setattr(explain, "FIGURE", tmp_path / "explained.png")
    for arms in (("standard", "flips 0.05"), ("standard", "flips 0.05", "more")):
        rows |= {(f"small {arm}", 0): made | {"arm": arm} for arm in arms}
        text = explain.page()
        lines = [line for line in text.splitlines() if "small CIFAR-10" in line and line[0] == "a"]
        assert max(map(len, text.splitlines())) <= 120
        assert [line.split()[5] == "open" for line in lines] == [False, False, "more" not in arms]
    explain.draw(explain.FIGURE)
    assert explain.FIGURE.stat().st_size


def test_length_is_compared_by_common_seeds():
    """Three seeds of the short training, one of the long: that one of both."""
    short, long = (explain.Group(one, ("standard", 0), like=like) for one, like in itertools.permutations(
        ("FCNN 10 cosine", "FCNN 100 halved 25")))
    rates = explain.RATES
    assert short.n == long.n and explain.Group("FCNN 10 cosine", ("standard", 0)).n > short.n
    length, = (one for one in explain.length_pairs() if one.name.endswith(f"code 0 (n={short.n})"))
    expected = short.mean(("standard", 0), *rates) - long.mean(("standard", 0), *rates)
    assert length.what == "length and schedule" and (length.by == expected).all()


def test_open_cells_fill_and_one_seed_of_a_longer_training_takes_nothing_over(monkeypatch):
    """The page is about the setting of most rows; what one seed adds is a cell with its n."""
    rows, short = dict(networks.kept()), explain.base("FCNN")
    n_open = explain.sentence_part().count("open")
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    those = [row for row in rows.values() if explain.setting_of(row) == short and row["arm"] in explain.ARMS]
    for seed, expected in ((0, short), (1, short), (2, "FCNN 200 cosine")):
        rows |= {(f"{row['name']} longer", seed): row | {"epochs": 200} for row in those if row["seed"] == seed}
        assert explain.base("FCNN") == expected
        assert explain.sentence_part().count("open") < n_open


def test_rows_are_of_the_plan_and_of_whole_test_sets():
    """No row of a network that the plan has not, from another commit's uncommitted code, or of a part of the images."""
    planned = {(recipe.name, seed) for recipe, seed in plan.jobs(plan.FULL)}
    rows = networks.kept()
    assert rows and set(rows) <= planned
    for row in rows.values():
        chips = plan.FULL.chips_of(next(recipe for recipe, _ in plan.jobs(plan.FULL) if recipe.name == row["name"]))
        assert row["images"] == 10_000 and row["chips"] == chips and not row["commit"].endswith("+")
        assert np.shape(row["correct"]) == np.shape(row["rescaled"]) == (len(plan.RATES), chips)
        assert row["spec"] == plan.FULL.specs[row["net"]]
