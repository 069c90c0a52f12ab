"""The page that explains the claims: it is what the rows say, and refuses what they no longer support."""

import copy
import itertools
import re

import numpy as np
import pytest
from readable import check_readable
from reproduce_scripts import explain, networks, plan


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


def lost_at_last(row):
    row["rescaled"][-1] = [0] * row["chips"]


@pytest.mark.parametrize("part, which, change, refused", [
    ("page", ("native 0.1", 128, 10), stale, "hardly a network overfits"),
    ("gain_part", ("native 0.1", 0, 10), lost_at_last, "disagree, it is right"),
    ("standard_part", ("standard", 128, 10), stale, "codes differ less"),
    ("standard_part", ("standard", 0, 100), clean_at(0.1), "the longer training is worse"),
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
    finding = told[told.index("by more than a point"):].split(" * ")[0]
    assert re.search(r"FCNN 10 cosine \(n=3\) 2 of 2; MLP 100 halved 25 \(n=\d\) 0 of 1;", finding)


@pytest.mark.parametrize("share, holds", [(1, True), (0.6, True), (0.4, False), (-0.1, False)])
def test_rescaling_that_falls_short_of_re_estimating_says_so(monkeypatch, share, holds):
    """Of what re-estimating takes from the images that are lost; it may take none, or add some."""
    rows = copy.deepcopy(networks.kept())
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    for row in rows.values():
        if row["net"] == "MLP" and row["arm"] == "standard":
            stale, refitted = np.array(row["correct"]), np.array(row["reestimated"])
            refitted[row["rates"].index(0.0)] = stale[row["rates"].index(0.0)]
            row["reestimated"], row["rescaled"] = refitted.tolist(), (stale + share * (refitted - stale)).tolist()
    assert [case[2] for case in explain.find.rescaling_does_half() if case[0].startswith("MLP")] == [holds, holds]


@pytest.mark.slow
def test_rows_of_the_small_cifar_network_join_the_page(monkeypatch, tmp_path):
    """One code, three chips, one seed: lines of that network come, once "more" is there that of a3 as well."""
    small = "small CIFAR-10 CNN"
    rows = {key: row for key, row in networks.kept().items() if row["net"] != small}
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
        labels = ["a1", "a2a"] if "more" not in arms else ["a1", "a2a", "a2b", "a3a", "a3b"]
        assert [line.split()[0] for line in lines] == labels
        assert not any(line.split()[7] == "open" for line in lines)
        assert (f"{small} of a2b, a3a, a3b" in " ".join(text.split())) == ("more" not in arms)
    check_readable(explain.draw(explain.FIGURE))
    assert explain.FIGURE.stat().st_size


def test_all_texts_of_the_figure_can_be_read(tmp_path):
    check_readable(explain.draw(tmp_path / "explained.png"))


def test_length_is_compared_by_common_seeds(monkeypatch):
    """More seeds of the short training than of the long: those of both."""
    rows = {key: row for key, row in networks.kept().items()
            if explain.setting_of(row) != "FCNN 100 halved 25" or row["seed"] < 2}
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    short, long = (explain.Group(one, ("standard", 0), like=like) for one, like in itertools.permutations(
        ("FCNN 10 cosine", "FCNN 100 halved 25")))
    rates = explain.RATES
    assert short.n == long.n == 2 and explain.Group("FCNN 10 cosine", ("standard", 0)).n > 2
    length, = (one for one in explain.find.length_pairs() if one.code == 0)
    expected = short.mean(("standard", 0), *rates) - long.mean(("standard", 0), *rates)
    assert length.n == short.n and (length.by == expected).all()


def test_seeds_that_are_not_all_there_make_no_second_setting():
    """A stage is kept in parts: two seeds of one comparison and one of another are one setting."""
    told = explain.where([("A", 2, True), ("A", 1, True), ("B", 3, False)], "x")
    assert told == "* x: A (n=1 or 2) 2 of 2; B (n=3) 0 of 1."
    assert explain.share([("A", 2, True), ("A", 1, True), ("B", 3, False)]) == "(1 of 2 settings)"
    with pytest.raises(SystemExit, match="no longer support this.*x"):
        explain.where([("A", 2, True), ("A", 1, False), ("B", 3, True)], "x")


def test_a_longer_training_is_a_line_of_its_own_and_compared(monkeypatch):
    """Whoever trains longer finds it on the page, however many seeds there are."""
    rows = dict(networks.kept())
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    those = [row for row in rows.values() if explain.setting_of(row) == "FCNN 10 cosine" and row["seed"] == 0]
    rows |= {(f"{row['name']} longer", 0): row | {"epochs": 200} for row in those}
    lines = explain.sentence_part().splitlines()
    for label in ("a1", "b3a", "c1"):
        assert any(line.startswith(f"{label} ") and " FCNN 200 cosine " in line for line in lines)
    assert {(one.setting, one.n) for one in explain.find.length_pairs()} == {("FCNN 10 cosine and 200 cosine", 1)}


def test_unusual_latent_weights_are_compared_with_the_usual_ones_of_their_seed(monkeypatch):
    """One pair that clipping left alone, one that it changed, one that began larger, and one without its like."""
    rows = {key: row for key, row in networks.kept().items() if explain.setting_of(row)}
    monkeypatch.setattr(explain.explain_rows, "kept", lambda: rows)
    assert explain.latent_part() == explain.latents_told() == ""
    of = {(row["arm"], row["seed"]): row for row in rows.values()
          if explain.setting_of(row) == "FCNN 10 cosine" and row["code"] == 0}
    standard, other = of["standard", 0], of["flips 0.1", 1]
    ways = ("correct", "reestimated")
    worse, better = ({way: [[right + n for right in chips] for chips in row[way]] for way in ways}
                     for n, row in ((-300, standard), (50, other)))
    rows |= {("same", 0): standard | {"clip": False}, ("large", 0): standard | {"scale": 10.0, "checksum": "x"} | worse,
             ("changed", 1): other | {"clip": False, "checksum": "y"} | better,
             ("alone", 9): other | {"clip": False, "seed": 9}}
    told = explain.latent_part()
    lines = [line.split() for line in told.splitlines() if line.startswith(("begin x", "not clipped"))]
    assert [(*line[:2], " ".join(line[-11:-8]), *line[-8:-2]) for line in lines] == [
        ("begin", "x", "0 of 1", *["-3.0"] * 6), ("not", "clipped", "0 of 1", *["0.5"] * 6),
        ("not", "clipped", "1 of 1", *["0.0"] * 6)]
    words = " ".join(told.split())
    assert "in every seed: FCNN 10 cosine (n=1) 1 of 1." in words
    assert words.endswith("did nothing in 1 of 2 pairs of networks, not in flips 0.1 with code 0.")
    rows["large", 0]["correct"] = standard["correct"]
    with pytest.raises(SystemExit, match="no longer support.*begin larger"):
        explain.latent_part()
