"""What the scripts make of rows: seeds and chips, shares, tolerated rates, trainings in order; labels of the plan."""

import functools

import numpy as np
import pytest
import scipy.stats
from reproduce_scripts import b_trade_off, correlations, criteria, d_tolerance_correlates, f_margin_loss, plan, study


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
    of_order = functools.partial(correlations.of_order, draws=300)
    mean, most, spread = of_order(trainings("standard", *(f"flips {rate}" for rate in (0.05, 0.1, 0.2))))
    assert (mean, most) == (1, 1) and spread == pytest.approx(0)
    alone = trainings("standard", "MHL 1", "MHL 0.5", "scaled MHL 32", "regulariser 1 16")
    mean, most, spread = of_order(alone)
    assert abs(mean) < 0.12 and 0.6 < most <= 1 and spread > 0.5
    assert 0.12 < of_order(alone + trainings("flips 0.2", "native 0.2"))[0] < 0.7


def test_within_lengths_what_lengths_differ_by_is_gone():
    """T falls by 100 from one length to the other, and accuracy rises; within each both rise, or one falls."""
    def rows(slope):
        return [[made((90, 80 + length, 70 + slope * k), arm=f"flips {k}", net="FCNN", epochs=10 * length,
                      schedule="cosine", clip=True, scale=1.0, T={"paper": 10.0 * k - 100 * length})]
                for length in (1, 2) for k in range(4)]
    assert correlations.between(rows(1)).startswith("1.00 (") and correlations.between(rows(-1)).startswith("-1.00 (")
    assert "8 trainings of 2 groups" in correlations.between(rows(1))
    assert correlations.between(rows(1)[:2]) == "too few trainings"
    assert correlations.at_each_length(rows(1)) == ", ".join(
        f"FCNN, {epochs} epochs (cosine) 1.00 of 4" for epochs in (10, 20))
    unusual = [[{**row, "scale": 10.0} for row in some] for some in rows(-1)[:2]]
    assert correlations.at_each_length(rows(1)[:4] + unusual) == "FCNN, 10 epochs (cosine) 1.00 of 4"
    assert correlations.at_each_length(rows(-1)[:6]) == "FCNN, 10 epochs (cosine) -1.00 of 4", "two have no order"


def test_networks_that_are_one_are_noted():
    """Latent weights that no clip ever meets: another recipe, the same bits."""
    one = study.Study("a", "A claim.\n\n    command\n\nCriterion. None.", "nobody", [])
    recipe = {"data": "fashion", "net": "FCNN", "arm": "standard", "epochs": 30, "schedule": "cosine", "code": 0}
    one.used = {(name, 0): {**recipe, "clip": name != "free", "checksum": bits}
                for name, bits in (("usual", "a"), ("free", "a"), ("other", "b"))}
    note, = one._same()
    assert note.startswith("One network, bit for bit: ") and note.count("seed 0") == 2 and "not clipped" in note


def test_what_a_plan_cannot_reach_is_not_called_open():
    """Of which populations of T the plan has trainings enough; CIFAR-10's are of hours each."""
    for net, codes in (("FCNN", plan.CODES), ("CNN", plan.CODES), ("CIFAR-10 CNN", (128,))):
        for code in codes:
            for words, kinds in d_tolerance_correlates.POPULATIONS.items():
                enough = net != "CIFAR-10 CNN" and (words != "flip training" or (net, code) == ("FCNN", 0))
                n = len(d_tolerance_correlates.planned(net, code, kinds))
                assert (n >= d_tolerance_correlates.LEAST) == enough, (net, code, kinds, n)


def test_networks_of_two_kinds_differ_by_their_means():
    """Welch's t of two samples is SciPy's; one network of each decides nothing."""
    one = study.Study("a", "A claim.\n\n    command\n\nCriterion. None.", "nobody", [])
    first, second = np.array([3.0, 5.0, 4.5]), np.array([1.0, 2.5])
    one.ask_difference("x", "s", "q", first, second, ">", 0)
    one.ask_difference("x", "s", "q", first[:1], second[:1], ">", 0)
    for than, wanted in ((-100, ">"), (100, ">")):
        one.ask_difference("x", "s", "q", first, second[:1], wanted, than)
    criteria.decide(one.checks)
    assert [check.verdict for check in one.checks[2:]] == ["holds for one network", "contradicted for one network"]
    expected = scipy.stats.ttest_ind(first, second, equal_var=False)
    assert (one.checks[0].p, one.checks[0].df) == pytest.approx((expected.pvalue, expected.df))
    assert one.checks[2].error == pytest.approx(np.sqrt(first.var(ddof=1) * (1 / 3 + 1))) and one.checks[2].df == 2
    assert one.checks[1].verdict == "open" and one.checks[1].why_open == "1 and 1 seeds"


def test_labels_of_the_plan_are_told_apart():
    """Two networks of one label would stand for each other in a figure."""
    labels = [study.label({**vars(recipe), "images": 10_000}) for recipe, seed in plan.jobs(plan.FULL) if seed == 0]
    assert len(set(labels)) == len(labels)


def test_a_network_counts_once_among_trainings():
    """Clipping that never acts gives the same network again: of two points in one place one is evidence."""
    usual, again, other, part = ([{"checksum": sum_} for sum_ in sums] for sums in ("ab", "a", "c", "cd"))
    assert correlations.distinct([again, usual, other]) == [usual, other]
    assert correlations.distinct([usual, other, part, usual]) == [usual, part]
