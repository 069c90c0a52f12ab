"""Write docs/explained.rst and its figure: what input code, thresholds, length and margins make of the papers' claims.

    python examples/reproduce/explain.py            # from rows.jsonl
    python examples/reproduce/explain.py --check    # exits 1 where the page is not what would be written

Every measured number comes from the rows, but for the share of black pixels. The limits that findings speak of (a
tenth, nine tenths, 5 %, a point) are typed here, and were chosen with these rows in view. A finding names the settings
in which it holds, at every rate that is printed, and those in which it does not; where it no longer holds in the first
of them, which the summary speaks of, the script refuses to write. A setting is a network, its epochs and their
schedule.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable
from itertools import permutations, product
from pathlib import Path
from typing import NamedTuple

import explain_rows
import numpy as np
from explain_figure import draw
from explain_rows import (ADAPTED, ARMS, OVERFITS, RATES, STANDARD, TRAINED, WAYS, Group, Key, base, groups,
                          setting_of, settings)
from explain_words import Case, filled, numbers, simple, where
from plan import CODES, control
from study import percent

import bnnsim

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE, FIGURE = ROOT / "docs" / "explained.rst", ROOT / "docs" / "figures" / "explained.png"
SENTENCES = (                                           # label, paper's words, networks, rates p, what is claimed
    ("a1", "can be tolerated with little impact", (*ADAPTED,), (1e-4,), "standard@0 - standard@p < 1"),
    ("a2", "this tolerance can be extended", (*ADAPTED,), (0.04,), "adapted@0 - adapted@p < 1"),
    ("a3", "by adapting the training", (*ADAPTED,), (0.04,), "adapted@p - adapted@0 - control@p + control@0 > 0"),
    ("b1", "improves the accuracy when bit errors are introduced", ("FCNN",), TRAINED, "flips@p - standard@p > 0"),
    ("b3a", "trade a high accuracy at small error rates", ("FCNN",), (0.0,), "flips 0.1@p - flips 0.2@p > 0"),
    ("b3b", "with a high accuracy at larger error rates", ("FCNN",), (0.2,), "flips 0.2@p - flips 0.1@p > 0"),
    ("c1", "overfit to the error rate used in training", ("FCNN",), TRAINED, f"native@p/2 - native@0 > {OVERFITS:g}"),
    ("c2", "we do not observe an overfitting", ("FCNN",), TRAINED, f"flips@p/2 - flips@0 < {OVERFITS:g}"),
    ("c3", "adapt less to the bit error rates", ("FCNN",), TRAINED, "native@p/2 - native@0 - flips@p/2 + flips@0 > 0"))
FACTORS = ("thresholds that fit", "the other input code", "thresholds that fit at the other code",
           "another length, or length and schedule")


# ---------------------------------------------------------------------------------------------- the page, part by part

def measured(claim: str, p: float, net: str, setting: str, code: int, way: str,
             like: str = "") -> tuple[str, str, str]:
    """("yes", "no" or "part"; in words; margins): yes where all seeds are on its side, or all chips of one seed.

    Of the seeds that the setting `like`, if any, has as well.
    """
    named = {"adapted": ADAPTED[net], "control": control(net), "flips": f"flips {p:g}", "native": f"native {p:g}"}
    rates = {"0": 0.0, "p": p, "p/2": p / 2}
    terms = [(-1 if sign == "-" else 1, (named.get(arm, arm), code), rates[rate])
             for sign, arm, rate in re.findall(r"([-+]?) ?(\w+(?: 0\.\d)?)@(\S+)", claim)]
    group = Group(setting, *(key for _, key, _ in terms), like=like)
    if not group.n:
        return "", "open", "open"
    values = np.sum([sign * (group.right(key, rate, way) if group.n > 1 else percent(group.rows[key], rate, way)[0])
                     for sign, key, rate in terms], axis=0)
    wanted, than = claim.split()[-2:]
    on_side = values > float(than) if wanted == ">" else values < float(than)
    side = "yes" if on_side.all() else "part" if on_side.any() else "no"
    words = side if group.n > 1 else {"yes": "all", "part": "some", "no": "none"}[side]         # of chips
    return side, f"{values.mean() + 0.0:.2f} {words} ({group.n})", numbers(map(group.margin, group.rows), ".2f")


def sentence_part() -> str:
    """A line a sentence, network and rate; then what each factor turns."""
    rows, compared = [], dict.fromkeys(FACTORS, 0)
    turned: dict[str, list[str]] = {name: [] for name in FACTORS}
    for label, _, nets, rates, claim in SENTENCES:
        for net, p in product(nets, rates):
            setting, codes = base(net), CODES[::-1] if "CIFAR" in net else CODES
            cells = [measured(claim, p, net, setting, code, way) for code in codes for way in WAYS[:2]]
            lengths = {other.removeprefix(f"{net} "): [measured(claim, p, net, one, codes[0], "correct", like)
                                                       for one, like in ((setting, other), (other, setting))]
                       for other in settings(net) if other != setting}
            changes = [(cells[0], cells[1]), (cells[0], cells[2]), (cells[2], cells[3]), *lengths.values()]
            for k, (before, after) in enumerate(changes):
                compared[FACTORS[min(k, 3)]] += bool(before[0] and after[0])
                if {before[0], after[0]} == {"yes", "no"}:
                    turned[FACTORS[min(k, 3)]].append(f"{label} {net} {p:g} to {after[1].split()[1]}")
            others = "\n".join(f"{after[1]}\n{length}" for length, (_, after) in lengths.items() if after[0])
            rows.append((label, textwrap.fill(setting, 14), f"{p:g}", *(cell[1] for cell in cells), others or "open",
                         cells[0][2]))
    quotes = [f'* {label}: "{words}". ``{claim}``.' for label, words, _, _, claim in SENTENCES]
    quoted = "\n\n".join((*quotes[:4], '* b2: "stronger for FCNNs". Asked below, of what training gives.', *quotes[4:]))
    return filled(f"""
Sentence by sentence
--------------------

The sentences of (a), (b) and (c) that these rows can speak to, of Hirtzlin et al. 2019 (a) and Buschjaeger et al. 2020
(b, c), and what they say of accuracies, arm@rate (flips: straight-through; adapted: by network, see RESULTS.rst;
control: standard, of CIFAR-10 "more", which goes on from standard as long as adapted does, without errors).

{quoted}

As trained is with code 0, networks of CIFAR-10 with code 128; the other code is 128, or 0. Fitted are thresholds that
are rescaled for the rate of use: with the same code, and with the other one, where two things change. So they do at
other lengths whose schedule is another. Margins are the first layer's, as trained, in the claim's order. Yes: all
seeds, whose number is in brackets, are on the claim's side; part: some; no: none. Of one network (1) the words are all,
some and none, of its chips, which say nothing about other networks. Open: not trained. Tests are in RESULTS.rst. A
factor turns a sentence from yes or all to no or none, or back; lengths are compared by the seeds of both.""") + simple(
        ("said", "setting", "p", "as trained", "fitted", "other code", "and fitted", "other lengths", "margins"),
        rows) + filled("\n\n".join(f"* Turned by {name}: {len(of)} of {compared[name]} that can be compared"
                                   f"{': ' * bool(of)}{', '.join(of)}." for name, of in turned.items()))


def alike(one: float, other: float) -> bool:
    """Margins within 5 %."""
    return max(one, other) < 1.05 * min(one, other)


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


def codes_fitted(like: bool) -> list[Case]:
    """Once thresholds fit: codes of like margins are within a point; of others, that of the smaller margin is worse."""
    return [(one.name, (abs(one.by[1:]) < 1 if like else one.by[1:] * np.subtract(*one.margins) > 0).all())
            for one in code_pairs() if alike(*one.margins) == like]


def so_far(cases: Iterable[Case]) -> str:
    """Where a finding that is summed up holds."""
    return f"(so far {'; '.join(name.replace(' (', ', ').rstrip(')') for name, holds in cases if holds)})"


def standard_part() -> str:
    """What standard networks lose; pairs of them that differ by code or length; what is left once thresholds fit."""
    ways = ("\nas trained", "\nrescaled", "\nre-estimated", "\nmargin")
    rows = [(group.name, str(key[1]), f"{group.mean(key, 0.0)[0, 0]:.2f}", *(numbers(of) for of in group.lost(key)),
             f"{group.margin(key):.3f}") for one in settings() for key in STANDARD if (group := Group(one, key)).n]
    codes, lengths = code_pairs(), length_pairs()
    apart = [(one.what, re.sub(" (to|of) ", r"\n\1 ", one.name), *(numbers(of, ".2f") for of in one.by),
              numbers(one.margins, ".3f")) for one in (*codes, *lengths)]
    code = [(one.name, (abs(one.by[1:]) < np.where(abs(one.by[0]) < 1, 1, abs(one.by[0]) / 10)).all()) for one in codes]
    taken = [f"{share.min():.0f} to {share.max():.0f} % in {one.name}" for one in codes
             if (share := 100 - 100 * abs(one.by[1] / one.by[0])[abs(one.by[0]) >= 1]).size]
    length = [(one.name, (one.by[0] > 0).all() and (one.by[1:] > 0.9 * one.by[0]).all()
               and one.margins[1] < 0.95 * one.margins[0]) for one in lengths]
    black = 100 * (bnnsim.load_dataset("fashion-subset")[1].images == 0).mean()
    return filled(f"""
Standard networks: input code, length and schedule, margins
-----------------------------------------------------------

With code 0 pixels enter as 0 to 255, with code 128 as -128 to 127, the papers' [0, 1] and [-1, 1]: ``input_offset`` of
`bnnsim.architectures`, ``--input-offset`` of ``python -m bnnsim.train``. A pre-activation h of the first layer has the
mean (1 - 2 p) h where weights flip at rate p: it shrinks towards 0, and its threshold s stays where training put it.
How much that matters depends on where h and s lie, and black, {black:.1f} % of the pixels of ``fashion-subset``'s test
images, enters as 0 or as -128. Margins are the first layer's, mean \\|h - s\\| / (2 sqrt(sum of squared pixels)), as
trained and without errors. Points that are lost at BER {", ".join(f"{rate:g}" for rate in RATES)}:""") + simple(
        ("setting", "code", "without\nerrors", "lost:\nas trained", *ways[1:]), rows) + filled("""
Points by which code 0 is better than code 128, and the shortest training better than the longest, of the n seeds that
both have, at the same rates:""") + simple(
        ("what", "of", *ways), apart) + filled(f"""
``bnnsim.rescale_thresholds(network, trained_at, target)``, which costs nothing, takes away, of what codes make where
that is a point or more: {", ".join(taken)}.

{where(code, "With thresholds that fit, rescaled or re-estimated, less than a tenth of what codes make is left (where "
             "they make less than a point, less than a point)")}

{where(codes_fitted(True), "What is left goes with margins: codes whose margins are within 5 % are within a point")}

{where(codes_fitted(False), "Where they differ by more, that of the smaller margin is worse at each rate")}

{where(length, "Of what length and schedule make thresholds explain nothing: nine tenths or more are left where they "
               "fit. The longer training has the smaller margin")}

.. image:: figures/explained.png
   :width: 700
   :alt: accuracy over BER by input code; overfitting as trained and with fitted thresholds; points lost over margins
""")


def loss_of(arm: str) -> str:
    """MHL, scaled MHL, regulariser, or the usual one."""
    kind = arm.rstrip(" .0123456789")
    return "usual" if kind in ("standard", "more", "flips", "native") else kind


def margins_told() -> str:
    """What margins tell of pairs of networks of one setting and code that were trained in different ways."""
    ordered: list[Case] = []
    trained: dict[str, list[str]] = {}
    losses: dict[str, list[bool]] = {}
    arms = {row["arm"] for row in explain_rows.kept().values() if setting_of(row)}
    for setting, code, (one, other) in product(settings(), CODES, permutations(sorted(arms), 2)):
        if not (group := Group(setting, (one, code), (other, code))).n:
            continue
        compared_with = control(group.rows[one, code][0]["net"])
        margins = group.margin((one, code)), group.margin((other, code))
        more = np.subtract(*(group.lost((arm, code))[1:, -1] for arm in (one, other)))        # `one` loses, by way
        if one == other.replace("native", "flips"):
            ordered.append((group.name, (more * (margins[0] - margins[1]) < 0).all()))
        elif other == compared_with and one.startswith(("flips", "native")) and alike(*margins):
            trained.setdefault(group.name, []).append(
                f"{one} with code {code} by {numbers(-more)}" if more.max() < -1 else "")
        elif margins[0] > margins[1] and loss_of(one) != loss_of(other):
            losses.setdefault(group.name, []).append(bool((more > 0).all()))
    fewer = [text for texts in trained.values() for text in texts if text]
    wrong = sum(map(sum, losses.values()))
    return "\n\n".join((
        where(ordered, "Margins order native against straight-through gradients of one rate and code: at BER "
                       f"{RATES[-1]:g}, rescaled and re-estimated, the larger loses less, in "
                       f"{sum(holds for _, holds in ordered)} of {len(ordered)} pairs"),
        where([(name, all(texts)) for name, texts in trained.items()],
              "They do not tell how much training with errors gives: all that have margins within 5 % of the network "
              f"without errors lose less there, by more than a point ({', '.join(fewer)})"),
        where([(name, any(worse)) for name, worse in losses.items()],
              f"Nor do they compare losses: of two networks that were trained with different losses, the larger margin "
              f"loses more there in {wrong} of {sum(map(len, losses.values()))} pairs")))


def gain_part() -> str:
    """What training with errors gives: by thresholds, which the standard network can have, and by weights."""
    rows, more, same = [], [], []
    for p, how in product(TRAINED, ("native", "flips")):
        keys = [(arm, code) for arm in ("standard", f"{how} {p:g}") for code in CODES]
        for group in groups(*keys):
            before, after = np.array([group.mean(key, p)[:, 0] for key in keys]).reshape(2, 2, 3)    # by code and way
            gained, free, left = after[:, 0] - before[:, 0], before[:, 1:] - before[:, :1], (after - before)[:, 1:]
            share = 100 * free / gained[:, None]
            loss = [group.mean(key, 0.0)[0, 0] for key in STANDARD] - before[:, 0]
            more.append((group.name, (share[1] > share[0]).all() and (share > 0).all()))
            same.append((group.name, (abs(left[1] - left[0]) < 1).all()))
            rows.append((f"{how} {p:g}", textwrap.fill(group.name, 20), numbers(gained),
                         numbers(100 * gained / loss, ".0f"), *(
                words for k in range(2) for words in (numbers(free[:, k]), numbers(share[:, k], ".0f"),
                                                      numbers(left[:, k])))))
    return filled(f"""
Training with errors: thresholds and weights
--------------------------------------------

Training at p moves thresholds to p, and it changes weights. Points that it gives at p over the standard network, with
codes 0 and 128; their percentage of what that loses (which "stronger for FCNNs" of (b) compares with CNNs:
{"below" if any(row[1].startswith("CNN") for row in rows) else "open, no CNN is trained"}); then points that the
standard network gains from thresholds alone, their share of the gain in percent, and points that are left between both
networks with thresholds that fit. "flips" is straight-through.""") + simple(
        ("trained", "setting", "gained", "% of\nloss", "rescaling\nalone", "\nshare", "\nleft",
         "re-estimating\nalone", "\nshare", "\nleft"), rows) + filled(f"""
{where(more, "Thresholds alone give a larger share with code 128 than with 0, at each rate and gradient")}

{where(same, "What is left, the weights', is the same with both codes within a point")}

{margins_told()}""")


def gradient_part() -> str:
    """Overfitting to the rate, and straight-through beside native gradients, as trained and once thresholds fit."""
    rows, flat, wins, costs = [], [], [], []
    rising: dict[int, list[bool]] = {code: [] for code in CODES}
    for p, code in product(TRAINED, CODES):
        keys = [(arm, code) for arm in (f"native {p:g}", f"flips {p:g}", "standard")]
        for group in groups(*keys):
            found = np.array([[[group.right(key, rate, way) for rate in (0.0, p / 2, p)] for way in WAYS]
                              for key in keys])                                             # by rate and seed
            rise, better = found[:2, :, 1] - found[:2, :, 0], found[1] - found[0]
            clean = found[:, :, 0].mean(axis=-1)
            rising[code] += [*(rise[:, 0].mean(axis=-1) > OVERFITS)]
            flat.append((group.name, (rise[:, 1:] <= OVERFITS).all()))
            wins.append((group.name, (better[1:, 1:] > 0).all()))
            costs.append((group.name, (np.diff(clean[:, 1:], axis=0) > 0).all()))
            rows.append((f"{p:g}", textwrap.fill(group.name, 20), str(code), *(
                numbers(one.mean(axis=-1), ".2f") for one in (*rise, *better[1:])), numbers(clean[::-1, 1])))
    told = [f"{sum(rises)} of {len(rises)} with code {code}" for code, rises in rising.items()]
    return filled(f"""
Overfitting to the rate, by the criterion of (c): better at p / 2 than without errors by more than {OVERFITS:g} points;
as trained, rescaled, re-estimated. Straight-through less native: without errors, at p / 2 and at p. Without errors:
standard, straight-through and native, rescaled.""") + simple(
        ("p", "setting", "code", "native:\np / 2 less 0", "straight-through:\np / 2 less 0", "less native:\nrescaled",
         "\nre-estimated", "without\nerrors"), rows) + filled(f"""
{where([("the table above", np.mean(rising[128]) > np.mean(rising[0]))], f"As trained {', '.join(told)} overfit")}

{where(flat, "With thresholds that fit none overfits, in any seed")}

{where(wins, "But straight-through then beats native at p / 2 and at p in every seed, by its weights")}

{where(costs, "And weights cost accuracy without errors: then, too, standard is best and native worst")}""")


def page() -> str:
    rows = [row for row in explain_rows.kept().values() if setting_of(row) in settings()]
    used = [row for row in rows if row["arm"] in (*ARMS, ADAPTED[row["net"]])]
    chips, images = (" or ".join(f"{value:,}" for value in sorted({row[key] for row in used}))
                     for key in ("chips", "images"))
    by_length = so_far((one.name, True) for one in length_pairs())
    trained = so_far((group.name, True) for group in groups(*product(ARMS, CODES)))
    return filled(f"""
What explains what
==================

The papers' sentences and our results (``examples/reproduce/RESULTS.rst``) differ in places. Four things that a paper
seldom states share the differences: the number that black enters as, thresholds that fit one bit error rate (BER) only,
the length of training, and margins. In short: thresholds that fit take overfitting to the rate away {trained},
and the input code's effect where margins of both codes are alike {so_far(codes_fitted(True))}; where they differ, codes
stay apart {so_far(codes_fitted(False))}. They explain neither what length and schedule do {by_length} nor what training
with errors does to weights {trained}.

This page is this project's own finding, written by ``python examples/reproduce/explain.py`` from the rows of
{len(used)} trained networks of {chips} chips each, on {images} test images. A setting is a network, its epochs and
their schedule; FCNN and CNN are of Fashion-MNIST, MLP is of MNIST. n is the number of seeds: where it is 1, a finding
is of that network. The limits of findings (a tenth, nine tenths, 5 %, a point) were chosen with these rows in view.
Accuracies are percent, differences percent points.
""") + sentence_part() + standard_part() + gain_part() + gradient_part() + filled(f"""
What a reader of the papers can use
-----------------------------------

* Say as which number black enters. Compare networks with thresholds that fit the rate of use, rescaled (from two rates
alone) or re-estimated (from training images); where margins differ, input codes stay apart even then
{so_far(codes_fitted(False))}.

* Compare networks of one length and schedule, and say both: thresholds do not give back what the longer training loses
{by_length}.

* "Overfits to the rate" is about thresholds, and turns with the input code. That straight-through gradients are better
than native ones, and what training with errors costs without them, is about weights, and stays {trained}.

* What training at p gains is not what weights gain: take off what thresholds of the standard network give alone
{trained}.

* Once thresholds fit, margins of the first layer compare the codes of a standard network, and native with
straight-through gradients of one rate. They do not say how much training with errors gives over the standard network,
and do not compare networks of different losses.
""").rstrip("\n") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    draw(FIGURE)


if __name__ == "__main__":
    main()
