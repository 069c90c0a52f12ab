"""Findings of the page of what explains what: networks that it compares, and in which of them each finding holds."""

from itertools import permutations, product
from typing import NamedTuple

import explain_rows
import numpy as np
from explain_rows import (ADAPTED, OVERFITS, RATES, STANDARD, TRAINED, WAYS, Group, Key, groups, setting_of,
                          settings)
from explain_words import Case, numbers
from plan import CODES, control

STALE, FITTED = slice(1), slice(1, None)             # ways that thresholds are used, of what goes by way

# ------------------------------------------------------------------------- standard networks: input code, length


class Pair(NamedTuple):
    """Standard networks that differ by code, or by length: the first is that of code 0, or the shorter training."""

    what: str
    name: str
    by: np.ndarray                                      # points by which the first is better, by way and rate
    margins: tuple[float, float]


def pair(what: str, name: str, one: Group, key: Key, other: Group, its: Key) -> Pair:
    return Pair(what, name, one.mean(key, *RATES) - other.mean(its, *RATES), (one.margin(key), other.margin(its)))


def code_pairs() -> list[Pair]:
    return [pair("code", group.name, group, STANDARD[0], group, STANDARD[1]) for group in groups(*STANDARD)]


def length_pairs() -> list[Pair]:
    """The shortest and the longest training of each network and code, of the seeds that both have."""
    found = []
    for net, key in product(ADAPTED, STANDARD):
        first, *_, last = [group.setting for group in groups(key, nets=(net,))] * 2 or ["", ""]
        if first != last and (short := Group(first, key, like=last)).n:
            how = [one.removeprefix(f"{net} ") for one in (first, last)]
            same = how[0].split()[1:] == how[1].split()[1:]
            found.append(pair("length" if same else "length and schedule", f"{first} to {how[1]} of code {key[1]} "
                              f"(n={short.n})", short, key, Group(last, key, like=first), key))
    return found


def alike(one: float, other: float) -> bool:
    """Margins within 5 %."""
    return max(one, other) < 1.05 * min(one, other)


def codes_are_thresholds() -> list[Case]:
    """With thresholds that fit, less than a tenth of what codes make is left; where they make no point, no point."""
    return [(one.name, (abs(one.by[1:]) < np.where(abs(one.by[0]) < 1, 1, abs(one.by[0]) / 10)).all())
            for one in code_pairs()]


def codes_fitted(like: bool) -> list[Case]:
    """Once thresholds fit: codes of like margins are within a point; of others, that of the smaller margin is worse."""
    return [(one.name, (abs(one.by[1:]) < 1 if like else one.by[1:] * np.subtract(*one.margins) > 0).all())
            for one in code_pairs() if alike(*one.margins) == like]


def longer_is_worse(ways: slice) -> list[Case]:
    """By more than a point at the rates of training."""
    return [(one.name, (one.by[ways, [RATES.index(p) for p in TRAINED]] > 1).all()) for one in length_pairs()]


def longer_has_the_smaller_margin() -> list[Case]:
    return [(one.name, one.margins[1] < one.margins[0] and not alike(*one.margins)) for one in length_pairs()]


# --------------------------------------------------------------------------------- training with errors: what it gives

class Gain(NamedTuple):
    """What training at a rate gives there over the standard network, in points, by code (and way of fitting)."""

    arm: str
    group: Group
    gained: np.ndarray
    loss: np.ndarray                                    # of the standard network
    free: np.ndarray                                    # what it gains from thresholds alone
    left: np.ndarray                                    # between both with thresholds that fit

    @property
    def share(self) -> np.ndarray:
        """Percent that thresholds alone give."""
        return 100 * self.free / self.gained[:, None]


def gains() -> list[Gain]:
    found = []
    for p, how in product(TRAINED, ("native", "flips")):
        keys = [(arm, code) for arm in ("standard", f"{how} {p:g}") for code in CODES]
        for group in groups(*keys):
            before, after = np.array([group.mean(key, p)[:, 0] for key in keys]).reshape(2, 2, 3)    # by code and way
            loss = [group.mean(key, 0.0)[0, 0] for key in STANDARD] - before[:, 0]
            found.append(Gain(keys[-1][0], group, after[:, 0] - before[:, 0], loss, before[:, 1:] - before[:, :1],
                              (after - before)[:, 1:]))
    return found


def thresholds_give_more_of_code_128() -> list[Case]:
    return [(one.group.name, (one.share[1] > one.share[0]).all() and (one.share > 0).all()) for one in gains()]


def weights_give_something() -> list[Case]:
    return [(one.group.name, (one.left > 0).all()) for one in gains()]


def weights_give_the_same_with_both_codes() -> list[Case]:
    """Within a point."""
    return [(one.group.name, (abs(one.left[1] - one.left[0]) < 1).all()) for one in gains()]


# ---------------------------------------------------------------------------- margins of networks of different training

def loss_of(arm: str) -> str:
    """MHL, scaled MHL, regulariser, or the usual one."""
    kind = arm.rstrip(" .0123456789")
    return "usual" if kind in ("standard", "more", "flips", "native") else kind


class Compared(NamedTuple):
    """Two networks of one setting and code that were trained in different ways."""

    group: Group
    arms: tuple[str, str]
    code: int
    margins: tuple[float, float]
    more: np.ndarray                                    # points that the first loses more at the last rate, once fitted


def compared() -> list[Compared]:
    """All of them, both ways round."""
    arms = sorted({row["arm"] for row in explain_rows.kept().values() if setting_of(row)})
    found = []
    for setting, code, pair_of in product(settings(), CODES, permutations(arms, 2)):
        keys = [(arm, code) for arm in pair_of]
        if (group := Group(setting, *keys)).n:
            one, other = (group.lost(key)[1:, -1] for key in keys)
            found.append(Compared(group, pair_of, code, (group.margin(keys[0]), group.margin(keys[1])), one - other))
    return found


def margins_order_gradients(pairs: list[Compared]) -> list[Case]:
    """Native and straight-through gradients of one rate: a case a pair."""
    return [(one.group.name, (one.more * (one.margins[0] - one.margins[1]) < 0).all()) for one in pairs
            if one.arms[0] == one.arms[1].replace("native", "flips")]


def training_beats_like_margins(pairs: list[Compared]) -> tuple[list[Case], list[str]]:
    """Networks trained with errors whose margins are those of the control, by more than a point; by how much."""
    those = [one for one in pairs if one.arms[0].startswith(("flips", "native")) and alike(*one.margins)
             and one.arms[1] == control(next(iter(one.group.rows.values()))[0]["net"])]
    cases = [(one.group.name, one.more.max() < -1) for one in those]
    return cases, [f"{one.arms[0]} with code {one.code} by {numbers(-one.more)}"
                   for one, (_, holds) in zip(those, cases) if holds]


def margins_misorder_losses(pairs: list[Compared]) -> tuple[list[Case], str]:
    """Settings where of two networks that were trained with different losses a larger margin loses more; how often."""
    worse: dict[str, list[bool]] = {}
    for one in pairs:
        if one.margins[0] > one.margins[1] and loss_of(one.arms[0]) != loss_of(one.arms[1]):
            worse.setdefault(one.group.name, []).append(bool((one.more > 0).all()))
    every = [one for of in worse.values() for one in of]
    return [(name, any(of)) for name, of in worse.items()], f"{sum(every)} of {len(every)}"


# ----------------------------------------------------------------------------------- overfitting to the rate, gradients

class Gradients(NamedTuple):
    """Native, straight-through and no errors in training, of one rate and code: percent right, points."""

    p: float
    code: int
    group: Group
    rise: np.ndarray                                    # p / 2 less none, by gradient, way and seed
    better: np.ndarray                                  # straight-through less native, by way, rate (0, p / 2, p), seed
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
    return found


def overfit_as_trained(code: int) -> list[bool]:
    """A value a gradient, rate and setting, by means of seeds."""
    return [bool(rise > OVERFITS) for one in gradients() if one.code == code
            for rise in one.rise[:, 0].mean(axis=-1)]


def none_overfits_fitted() -> list[Case]:
    return [(one.group.name, (one.rise[:, 1:] <= OVERFITS).all()) for one in gradients()]


def straight_through_wins() -> list[Case]:
    """With errors, thresholds that fit, every seed."""
    return [(one.group.name, (one.better[1:, 1:] > 0).all()) for one in gradients()]


def weights_cost() -> list[Case]:
    """Without errors, thresholds that fit: standard is best and native worst."""
    return [(one.group.name, (np.diff(one.clean[:, 1:], axis=0) > 0).all()) for one in gradients()]
