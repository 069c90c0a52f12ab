"""Findings of the page of what explains what: networks that it compares, and in which cases each finding holds.

A case is a comparison in a setting. Thresholds are stale where training left them, refitted where they are rescaled for
the rate of use, or re-estimated at it.
"""

from itertools import permutations, product
from typing import NamedTuple

import explain_rows
import numpy as np
from explain_rows import (ADAPTED, OVERFITS, RATES, STANDARD, TRAINED, WAYS, Group, Key, groups, setting_of,
                          settings)
from explain_words import Case
from plan import CODES, control

REFITTED = slice(1, None)                               # of what goes by WAYS
RESCALED, REESTIMATED = slice(1, 2), slice(2, 3)
AT_TRAINED = [RATES.index(p) for p in TRAINED]          # of what goes by RATES

# -------------------------------------------------------------------------------- standard networks: input code, length


class Pair(NamedTuple):
    """Standard networks that differ by code, or by length: the first is that of code 0, or the shorter training."""

    setting: str                                        # or both
    n: int
    code: int                                           # of both, where they differ by length
    by: np.ndarray                                      # points by which the first is better, by way and rate
    margins: tuple[float, float]


def pair(setting: str, one: Group, key: Key, other: Group, its_key: Key) -> Pair:
    return Pair(setting, one.n, key[1], one.mean(key, *RATES) - other.mean(its_key, *RATES),
                (one.margin(key), other.margin(its_key)))


def code_pairs() -> list[Pair]:
    return [pair(group.setting, group, STANDARD[0], group, STANDARD[1]) for group in groups(*STANDARD)]


def length_pairs() -> list[Pair]:
    """The shortest and the longest training of each network and code, of the seeds that both have."""
    found = []
    for net, key in product(ADAPTED, STANDARD):
        trained = [group.setting for group in groups(key, nets=(net,))]
        if len(trained) > 1 and (short := Group(trained[0], key, like=trained[-1])).n:
            found.append(pair(f"{trained[0]} and {trained[-1].removeprefix(f'{net} ')}", short, key,
                              Group(trained[-1], key, like=trained[0]), key))
    return found


def alike(one: float, other: float) -> bool:
    """Margins within 5 %."""
    return max(one, other) < 1.05 * min(one, other)


def refitting_brings_codes_closer(ways: slice = REFITTED) -> list[Case]:
    """At the rates of training."""
    return [(one.setting, one.n, (abs(one.by[ways, AT_TRAINED]) < abs(one.by[0, AT_TRAINED])).all())
            for one in code_pairs()]


def refitting_brings_codes_together(ways: slice = REFITTED) -> list[Case]:
    """Refitted, less than a tenth of their difference is left; where it is below a point, it stays so."""
    return [(one.setting, one.n, (abs(one.by[ways]) < np.where(abs(one.by[0]) < 1, 1, abs(one.by[0]) / 10)).all())
            for one in code_pairs()]


def code_128_becomes_better() -> list[Case]:
    """By more than a point at a rate where, with stale thresholds, code 0 was."""
    return [(one.setting, one.n, ((one.by[0] > 1) & (one.by[REFITTED] < -1)).any()) for one in code_pairs()]


def like_margins_are_together() -> list[Case]:
    """Codes with margins within 5 % are within a point, refitted."""
    return [(one.setting, one.n, (abs(one.by[REFITTED]) < 1).all()) for one in code_pairs() if alike(*one.margins)]


def the_smaller_margin_is_worse() -> list[Case]:
    """Of other codes, refitted, at each rate."""
    return [(one.setting, one.n, (one.by[REFITTED] * np.subtract(*one.margins) > 0).all())
            for one in code_pairs() if not alike(*one.margins)]


def rescaling_does_half() -> list[Case]:
    """Of what re-estimating does: it takes at least half as much from what a standard network loses, at 0.1."""
    found = [(group, *group.lost(key)[:, AT_TRAINED[0]]) for key in STANDARD for group in groups(key)]
    return [(group.setting, group.n, stale - rescaled >= (stale - reestimated) / 2)
            for group, stale, rescaled, reestimated in found]


def rescaling_is_worse() -> list[tuple[str, int, list[float]]]:
    """Standard networks, by setting and code, and the rates at which rescaling costs them more than a point."""
    found = [(group, key, *group.mean(key, *RATES)[:2]) for key in STANDARD for group in groups(key)]
    return [(group.name, key[1], [rate for rate, *both in zip(RATES, stale, rescaled) if both[0] - both[1] > 1])
            for group, key, stale, rescaled in found]


def longer_is_worse(refitted: bool) -> list[Case]:
    """By more than a point at the rates of training."""
    ways = REFITTED if refitted else slice(1)
    return [(one.setting, one.n, (one.by[ways, AT_TRAINED] > 1).all()) for one in length_pairs()]


def longer_is_better_stale() -> list[Case]:
    """The reverse, at the last rate."""
    return [(one.setting, one.n, one.by[0, -1] < -1) for one in length_pairs()]


def longer_has_the_smaller_margin() -> list[Case]:
    return [(one.setting, one.n, one.margins[1] < one.margins[0] and not alike(*one.margins)) for one in length_pairs()]


# --------------------------------------------------------------------------------- training with errors: what it gives

class Gain(NamedTuple):
    """What training at a rate gives there over the standard network, in points, by code (and way of refitting)."""

    arm: str
    group: Group
    gained: np.ndarray
    loss: np.ndarray                                    # of the standard network
    thresholds: np.ndarray                              # what it gains by refitting
    rest: np.ndarray                                    # between both, refitted

    @property
    def share(self) -> np.ndarray:
        """Percent that refitting alone gives."""
        return 100 * self.thresholds / self.gained[:, None]


def gains() -> list[Gain]:
    found = []
    for p, how in product(TRAINED, ("native", "flips")):
        arms = ("standard", f"{how} {p:g}")
        for group in groups(*product(arms, CODES)):
            before, after = (np.array([group.mean((arm, code), p)[:, 0] for code in CODES]) for arm in arms)
            loss = [group.mean(key, 0.0)[0, 0] for key in STANDARD] - before[:, 0]
            found.append(Gain(arms[1], group, after[:, 0] - before[:, 0], loss, before[:, REFITTED] - before[:, :1],
                              (after - before)[:, REFITTED]))
    return found


def thresholds_give_more_of_code_128() -> list[Case]:
    return [(one.group.setting, one.group.n, (one.gained > 0).all() and (one.share > 0).all()
             and (one.share[1] > one.share[0]).all()) for one in gains()]


def the_rest_is_positive() -> list[Case]:
    return [(one.group.setting, one.group.n, (one.rest > 0).all()) for one in gains()]


def the_rest_is_the_same_with_both_codes() -> list[Case]:
    """Within a point."""
    return [(one.group.setting, one.group.n, (abs(one.rest[1] - one.rest[0]) < 1).all()) for one in gains()]


# ---------------------------------------------------------------------------- margins of networks of different training

def loss_of(arm: str) -> str:
    """MHL, scaled MHL, regulariser, or the usual one."""
    kind = arm.rstrip(" .0123456789")
    return "usual" if kind in ("standard", "more", "flips", "native") else kind


def sees_errors(arm: str) -> bool:
    return arm.startswith(("flips", "native"))


class Compared(NamedTuple):
    """Two networks of one setting and code that were trained in different ways; the first has the larger margin."""

    group: Group
    arms: tuple[str, str]
    code: int
    margins: tuple[float, float]
    more: np.ndarray                                    # points that the first loses more at the last rate, refitted


def compared() -> list[Compared]:
    arms = sorted({row["arm"] for row in explain_rows.kept().values() if setting_of(row)})
    found = []
    for setting, code, two in product(settings(), CODES, permutations(arms, 2)):
        keys = [(arm, code) for arm in two]
        if (group := Group(setting, *keys)).n and group.margin(keys[0]) > group.margin(keys[1]):
            first, second = (group.lost(key)[REFITTED, -1] for key in keys)
            found.append(Compared(group, two, code, (group.margin(keys[0]), group.margin(keys[1])), first - second))
    return found


def rate_of(arm: str) -> float:
    """Of training."""
    return float(arm.split()[1]) if sees_errors(arm) else 0.0


def larger_margin_loses_less(pairs: list[Compared]) -> dict[str, list[bool]]:
    """Of pairs of one loss, by whether the larger margin has the higher, the lower or the same rate of training.

    Of two losses those that were trained without errors.
    """
    found: dict[str, list[bool]] = {"higher": [], "lower": [], "same": [], "losses": []}
    for one in pairs:
        first, second = map(rate_of, one.arms)
        kind = "higher" if first > second else "lower" if first < second else "same"
        if loss_of(one.arms[0]) != loss_of(one.arms[1]):
            kind = "losses" if first == second == 0 else ""
        found.setdefault(kind, []).append(bool((one.more < 0).all()))
    return found


def disagreeing(pairs: list[Compared]) -> list[Compared]:
    """Pairs of one loss where the network with the smaller margin was trained at the higher rate."""
    return [one for one in pairs
            if loss_of(one.arms[0]) == loss_of(one.arms[1]) and rate_of(one.arms[0]) < rate_of(one.arms[1])]


def training_beats_like_margins(pairs: list[Compared]) -> list[tuple[Compared, str, np.ndarray]]:
    """Pairs with margins within 5 % of a network trained with errors and of its control; points that it loses less."""
    found = []
    for one in pairs:
        for arm, other, less in ((*one.arms, -one.more), (*one.arms[::-1], one.more)):
            if alike(*one.margins) and sees_errors(arm) and other == control(one.group.net):
                found.append((one, arm, less))
    return found


# ----------------------------------------------------------------------------------- overfitting to the rate, gradients

class Gradients(NamedTuple):
    """Native, straight-through and no errors in training, of one rate and code: percent right, points."""

    p: float
    code: int
    group: Group
    rise: np.ndarray                                    # p / 2 minus none, by gradient, way and seed
    better: np.ndarray                                  # straight-through minus native, by way, rate and seed
    clean: np.ndarray                                   # without errors, by arm and way


def gradients() -> list[Gradients]:
    found = []
    for p, code in product(TRAINED, CODES):
        keys = [(arm, code) for arm in (f"native {p:g}", f"flips {p:g}", "standard")]
        for group in groups(*keys):
            right = np.array([[[group.right(key, rate, way) for rate in (0.0, p / 2, p)] for way in WAYS]
                              for key in keys])         # by arm, way, rate and seed
            found.append(Gradients(p, code, group, right[:2, :, 1] - right[:2, :, 0], right[1] - right[0],
                                   right[:, :, 0].mean(axis=-1)))
    return sorted(found, key=lambda one: (one.p, settings().index(one.group.setting), one.code))


def stale_overfits(code: int) -> list[bool]:
    """A value a gradient, rate and setting, by means of seeds."""
    return [bool(rise > OVERFITS) for one in gradients() if one.code == code for rise in one.rise[:, 0].mean(axis=-1)]


def overfit(way: int) -> tuple[int, int]:
    """How many networks trained with errors do, of how many."""
    rises = np.concatenate([one.rise[:, way].ravel() for one in gradients()])
    return int((rises > OVERFITS).sum()), len(rises)


def refitted_none_overfits(ways: slice = REFITTED) -> list[Case]:
    """Whether no seed does, of either gradient."""
    return [(one.group.setting, one.group.n, (one.rise[:, ways] <= OVERFITS).all()) for one in gradients()]


def straight_through_wins() -> list[Case]:
    """With errors, refitted, every seed."""
    return [(one.group.setting, one.group.n, (one.better[REFITTED, 1:] > 0).all()) for one in gradients()]


def errors_in_training_cost() -> list[Case]:
    """Without errors, refitted: standard is best and native worst."""
    return [(one.group.setting, one.group.n, (np.diff(one.clean[:, REFITTED], axis=0) > 0).all())
            for one in gradients()]
