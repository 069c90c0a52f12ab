"""How a claim is decided: t tests with pooled variance, Holm's correction, verdicts by setting."""

import numpy as np
import pytest
import scipy.stats
from reproduce_scripts import criteria


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


NAN, NOISE = float("nan"), [0.1 + 0.2, 0.3, 0.3]


@pytest.mark.parametrize(("values", "more", "why"), [
    ([1, NAN, 1], {}, "not all values are finite"), ([NAN] * 3, {}, "not all values are finite"),
    ([1, float("inf"), 2], {}, "not all values are finite"), (NOISE, {}, "no variance between seeds"),
    ([], {"mean": NAN, "error": NAN, "df": 3.0, "of": "networks"}, "not all values are finite"),
    ([], {"mean": 1.0, "error": 0.0, "df": 3, "of": "networks"}, "no variance between networks"),
    ([], {"mean": 1.0, "error": 1e-17, "df": 3, "of": "networks"}, "no variance between networks"),
    ([], {"mean": NAN, "of": "exact"}, "not all values are finite")])
def test_what_has_no_p_value_is_not_decided(values, more, why):
    """They were contradicted with p = nan, held with p = 1e-31, or divided by zero; and no other check's changes."""
    one, other, alone = check(values, **more), check([1.0, 1.01, 1.02], quantity="r"), check([1.0, 1.01, 1.02])
    criteria.decide([one, other])
    criteria.decide([alone])
    assert (one.verdict, one.why_undecided, one.p) == ("not decided", why, None)
    assert one.mean is None, "the page gives the reason instead"
    assert (other.verdict, other.p, other.decides) == ("holds", alone.p, alone.decides)


def test_rounding_is_no_variance_to_pool():
    """Bartlett's test told any other arm from it."""
    arms = [check(NOISE), check([0.31, 0.33, 0.32]), check([1.0, NAN, 1.0])]
    criteria.decide(arms)
    assert [arm.df for arm in arms] == [2, 2, None] and arms[0].pooled
    assert arms[0].error == arms[1].error == pytest.approx(0.01 / np.sqrt(3))


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
