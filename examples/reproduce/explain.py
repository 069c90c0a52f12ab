"""Write docs/explained.rst and its figure: what input code, thresholds, length and margins make of the papers' claims.

    python examples/reproduce/explain.py            # from rows.jsonl
    python examples/reproduce/explain.py --check    # exits 1 where the page is not what would be written

Every measured number comes from the rows, but for the share of black pixels. The limits that findings speak of (a
tenth, 5 %, a point) are typed here, and were chosen with these rows in view. A finding names the settings
in which it holds, at every rate that is printed, and those in which it does not; where it no longer holds in the first
of them, which the summary speaks of, the script refuses to write. A setting is a network, its epochs and their
schedule.
"""

import argparse
import re
import sys
import textwrap
from itertools import product
from pathlib import Path

import explain_findings as find
import explain_rows
import numpy as np
from explain_figure import draw
from explain_rows import ADAPTED, ARMS, OVERFITS, RATES, STANDARD, TRAINED, WAYS, Group, base, setting_of, settings
from explain_words import filled, numbers, points, simple, so_far, where
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
    untrained: dict[str, list[str]] = {}
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
            if not any(after[0] for after in (*cells, *lengths.values())):
                untrained.setdefault(net, []).append(label)
                continue
            others = "\n".join(f"{after[1]}\n{length}" for length, (_, after) in lengths.items() if after[0])
            rows.append((label, textwrap.fill(setting, 14), f"{p:g}", *(cell[1] for cell in cells), others or "open",
                         cells[0][2]))
    no_line = "; ".join(f"{net} of {', '.join(labels)}" for net, labels in untrained.items())
    quotes = [f'* {label}: "{words}". ``{claim}``.' for label, words, _, _, claim in SENTENCES]
    quoted = "\n\n".join((*quotes[:4], '* b2: "stronger for FCNNs". Asked below, of what training gives.', *quotes[4:]))
    return filled(f"""
Sentence by sentence
--------------------

The sentences of (a), (b) and (c) that these rows can speak to, of Hirtzlin et al. 2019 (a) and Buschjaeger et al. 2020
(b, c), and what they say of accuracies, arm@rate (flips: straight-through; adapted: by network, see RESULTS.rst;
control: standard, of CIFAR-10 "more", which goes on from standard as long as adapted does, without errors).

{quoted}

A cell is the claim's left side, in points. Its columns:

* as trained: input code 0, of CIFAR-10 code 128, and thresholds as training left them.

* fitted: the same networks, thresholds rescaled for the rate of use.

* other code, and fitted: both again with the other code, 128 or 0.

* other lengths: as trained, with another length of training and, where it is named, another schedule.

* margins: the first layer's, as trained, in the claim's order.

Yes: all seeds, whose number is in brackets, are on the claim's side; part: some; no: none. Of one network (1) the words
are all, some and none, of its chips, which say nothing about other networks. Open: not trained; so is, and
has no line, {no_line or "none"}. Tests are in RESULTS.rst. A factor turns a sentence from yes or all to no or none, or
back; lengths are compared by the seeds that both have.""") + simple(
        ("said", "setting", "p", "as trained", "fitted", "other code", "and fitted", "other lengths", "margins"),
        rows) + filled("\n\n".join(f"* Turned by {name}: {len(of)} of {compared[name]} that can be compared"
                                   f"{': ' * bool(of)}{', '.join(of)}." for name, of in turned.items()))


def standard_part() -> str:
    """What standard networks lose; pairs of them that differ by code or length; what is left once thresholds fit."""
    ways = ("\nas trained", "\nrescaled", "\nre-estimated", "\nmargin")
    rows = [(group.name, str(key[1]), f"{group.mean(key, 0.0)[0, 0]:.2f}", *(numbers(of) for of in group.lost(key)),
             f"{group.margin(key):.3f}") for one in settings() for key in STANDARD if (group := Group(one, key)).n]
    apart = [(one.what, re.sub(" (to|of) ", r"\n\1 ", one.name), *(numbers(of, ".2f") for of in one.by),
              numbers(one.margins, ".3f")) for one in (*find.code_pairs(), *find.length_pairs())]
    taken = [f"{share.min():.0f} to {share.max():.0f} % in {one.name}" for one in find.code_pairs()
             if (share := 100 - 100 * abs(one.by[1] / one.by[0])[abs(one.by[0]) >= 1]).size]
    findings = points(
        where(find.codes_are_thresholds(),
              "With thresholds that fit, rescaled or re-estimated, less than a tenth of what codes make is left (where "
              "they make less than a point, less than a point)"),
        where(find.codes_fitted(True),
              "What is left goes with margins: codes whose margins are within 5 % are within a point"),
        where(find.codes_fitted(False), "Where they differ by more, that of the smaller margin is worse at each rate"),
        where(find.longer_is_worse(find.FITTED),
              f"With thresholds that fit, the longer training is worse at BER {TRAINED[0]:g} and {TRAINED[1]:g}, by "
              "more than a point"),
        where(find.longer_is_worse(find.STALE),
              "It is as trained, too (where not, thresholds that do not fit hide what length and schedule do)"),
        where(find.longer_has_the_smaller_margin(), "The longer training has the smaller margin, by more than 5 %"))
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

{findings}

.. image:: figures/explained.png
   :width: 700
   :alt: accuracy over BER by input code; overfitting as trained and with fitted thresholds; points lost over margins
""")


def margins_told() -> str:
    """What margins tell of pairs of networks of one setting and code that were trained in different ways."""
    pairs = find.compared()
    ordered, (trained, fewer) = find.margins_order_gradients(pairs), find.training_beats_like_margins(pairs)
    losses, wrong = find.margins_misorder_losses(pairs)
    return points(
        where(ordered, "Margins order native against straight-through gradients of one rate and code: at BER "
                       f"{RATES[-1]:g}, rescaled and re-estimated, the larger loses less, in "
                       f"{sum(holds for _, holds in ordered)} of {len(ordered)} pairs"),
        where(trained, "They do not tell how much training with errors gives: all that have margins within 5 % of the "
                       f"network without errors lose less there, by more than a point ({', '.join(fewer)})"),
        where(losses, "Nor do they compare losses: of two networks that were trained with different losses, the larger "
                      f"margin loses more there in {wrong} pairs"))


def gain_part() -> str:
    """What training with errors gives: by thresholds, which the standard network can have, and by weights."""
    rows = [(one.arm, textwrap.fill(one.group.name, 20), numbers(one.gained),
             numbers(100 * one.gained / one.loss, ".0f"),
             *(words for free, share, left in zip(one.free.T, one.share.T, one.left.T)
               for words in (numbers(free), numbers(share, ".0f"), numbers(left)))) for one in find.gains()]
    findings = points(
        where(find.thresholds_give_more_of_code_128(),
              "Thresholds alone give a larger share with code 128 than with 0, at each rate and gradient"),
        where(find.weights_give_something(), "What is left, the weights', is a gain"),
        where(find.weights_give_the_same_with_both_codes(), "It is the same with both codes within a point"))
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
{findings}

{margins_told()}""")


def gradient_part() -> str:
    """Overfitting to the rate, and straight-through beside native gradients, as trained and once thresholds fit."""
    rows = [(f"{one.p:g}", textwrap.fill(one.group.name, 20), str(one.code), *(
        numbers(of.mean(axis=-1), ".2f") for of in (*one.rise, *one.better[1:])), numbers(one.clean[::-1, 1]))
        for one in find.gradients()]
    rising = {code: find.overfit_as_trained(code) for code in CODES}
    told = [f"{sum(rises)} of {len(rises)} with code {code}" for code, rises in rising.items()]
    findings = points(
        where([("the table above", np.mean(rising[128]) > np.mean(rising[0]))],
              f"As trained {', '.join(told)} overfit"),
        where(find.none_overfits_fitted(), "With thresholds that fit none overfits, in any seed"),
        where(find.straight_through_wins(),
              "But straight-through then beats native at p / 2 and at p in every seed, by its weights"),
        where(find.weights_cost(),
              "And weights cost accuracy without errors: then, too, standard is best and native worst"))
    return filled(f"""
Overfitting to the rate, by the criterion of (c): better at p / 2 than without errors by more than {OVERFITS:g} points;
as trained, rescaled, re-estimated. Straight-through less native: without errors, at p / 2 and at p. Without errors:
standard, straight-through and native, rescaled.""") + simple(
        ("p", "setting", "code", "native:\np / 2 less 0", "straight-through:\np / 2 less 0", "less native:\nrescaled",
         "\nre-estimated", "without\nerrors"), rows) + filled(f"""
{findings}""")


def page() -> str:
    rows = [row for row in explain_rows.kept().values() if setting_of(row) in settings()]
    used = [row for row in rows if row["arm"] in (*ARMS, ADAPTED[row["net"]])]
    chips, images = (" or ".join(f"{value:,}" for value in sorted({row[key] for row in used}))
                     for key in ("chips", "images"))
    apart, longer = so_far(find.codes_fitted(False)), so_far(find.longer_is_worse(find.FITTED))
    still = so_far([(name, not holds) for name, holds in find.codes_are_thresholds()])
    ordered = so_far(find.margins_order_gradients(find.compared()))
    weights = so_far([*find.straight_through_wins(), *find.weights_cost()])
    return filled(f"""
What explains what
==================

The papers' sentences and our results (``examples/reproduce/RESULTS.rst``) differ in places. Four things that a paper
seldom states share the differences: the number that black enters as, thresholds that fit one bit error rate (BER) only,
the length of training, and margins. In short: thresholds that fit take overfitting to the rate away
{so_far(find.none_overfits_fitted())}, and the input code's effect where margins of both codes are alike
{so_far(find.codes_fitted(True))}; where they differ, codes stay apart {apart}. They explain neither what length and
schedule do {longer} nor what training with errors does to weights {so_far(find.weights_give_something())}.

This page is this project's own finding, written by ``python examples/reproduce/explain.py`` from the rows of
{len(used)} trained networks of {chips} chips each, on {images} test images. A setting is a network, its epochs and
their schedule; FCNN and CNN are of Fashion-MNIST, MLP is of MNIST. n is the number of seeds: where it is 1, a finding
is of that network. The limits of findings (a tenth, 5 %, a point) were chosen with these rows in view.
Accuracies are percent, differences percent points.
""") + sentence_part() + standard_part() + gain_part() + gradient_part() + filled(f"""
What a reader of the papers can use
-----------------------------------

* Say as which number black enters. Compare networks with thresholds that fit the rate of use, rescaled (from two rates
alone) or re-estimated (from training images); input codes can stay apart even then {still}.

* Compare networks of one length and schedule, and say both: thresholds do not give back what the longer training loses
{longer}, and, as trained, can hide it.

* "Overfits to the rate" is about thresholds, and turns with the input code. That straight-through gradients are better
than native ones, and what training with errors costs without them, is about weights, and stays {weights}.

* What training at p gains is not what weights gain: take off what thresholds of the standard network give alone, more
with code 128 {so_far(find.thresholds_give_more_of_code_128())}.

* Once thresholds fit, margins of the first layer compare the codes of a standard network
{so_far([*find.codes_fitted(True), *find.codes_fitted(False)])}, and native with straight-through gradients of one rate
{ordered}. They do not say how much training with errors gives over the standard network,
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
