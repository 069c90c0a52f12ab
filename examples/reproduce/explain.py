"""Write docs/explained.rst and its figure: what input code, thresholds, length and margins make of the papers' claims.

    python examples/reproduce/explain.py            # from rows.jsonl
    python examples/reproduce/explain.py --check    # exits 1 where the page is not what would be written

Every measured number comes from the rows, but for the share of black pixels. The limits that findings speak of (a
tenth, 5 %, a point) are typed here and in explain_findings.py, and were chosen with these rows in view. A finding says
in how many cases of each setting it holds; where it no longer does in all of the first, which the summary speaks of,
the script refuses to write.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import explain_findings as find
import explain_rows
import numpy as np
from explain_figure import draw
from explain_latents import latent_part, latents_told, unusual
from explain_rows import ADAPTED, OVERFITS, PAPERS, RATES, STANDARD, TRAINED, WAYS, Group, setting_of, settings
from explain_sentences import less_lost_and_no_better, sentence_part, trained_nearer
from explain_words import filled, listed, numbers, paragraphs, share, simple, support, where
from plan import CODES

import bnnsim

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE, FIGURE = ROOT / "docs" / "explained.rst", ROOT / "docs" / "figures" / "explained.png"
BY_RATE = tuple(f"{rate:g}" for rate in RATES)


# ---------------------------------------------------------------------------------------------- the page, part by part

def overfitters() -> str:
    """The networks that are asked whether they overfit: rates and settings."""
    found = dict.fromkeys(one.group.setting for one in find.gradients())
    return f"{' and '.join(f'{p:g}' for p in TRAINED)} ({', '.join(found)})"


def standard_part() -> str:
    """What standard networks lose; pairs of them that differ by code or length; what is left once refitted."""
    ways = (("as trained", len(RATES)), ("rescaled", len(RATES)), ("re-estimated", len(RATES)))
    lost = []
    for group, key in ((group, key) for one in settings() for key in STANDARD if (group := Group(one, key)).n):
        stale, rescaled, reestimated = (numbers(of) for of in group.lost(key))
        clean = numbers(group.mean(key, 0.0)[[0, 2], 0], ".2f")
        lost.append((group.name, str(key[1]), clean[0], *stale, *rescaled, clean[1], *reestimated,
                     f"{group.margin(key):.3f}"))
    codes, lengths = ([(f"{one.setting} (n={one.n})", str(one.code), *(text for of in one.by for text in numbers(of)),
                        *numbers(one.margins, ".3f")) for one in pairs]
                      for pairs in (find.code_pairs(), find.length_pairs()))
    findings = paragraphs(
        where(find.refitting_brings_codes_closer(),
              f"Refitted, rescaled or re-estimated, codes differ less at BER {TRAINED[0]:g} and {TRAINED[1]:g}"),
        where(find.refitting_brings_codes_together(),
              "Less than a tenth of their difference is left at each rate (where it is below a point, it stays below)"),
        where(find.rescaling_does_half(), "Rescaling, by two rates alone, takes at least half as much from what is "
              f"lost at BER {TRAINED[0]:g} as re-estimating does"),
        where(find.like_margins_are_together(), "Refitted, codes with margins within 5 % are within a point"),
        where(find.the_smaller_margin_is_worse(),
              "Where margins differ by more, the code with the smaller one is worse at each rate"),
        "* Rescaling makes a standard network worse than as trained, by more than a point: " + ("; ".join(
            f"{name} with code {code} at BER {' and '.join(f'{rate:g}' for rate in rates)}"
            for name, code, rates in find.rescaling_is_worse() if rates) or "nowhere") + ".",
        "* Code 128 is the better one by more than a point at a rate where code 0 was before: "
        f"{listed(find.code_128_becomes_better())}.")
    shown, reversed_ = ([holds for *_, holds in cases]
                        for cases in (find.longer_is_worse(refitted=False), find.longer_is_better_stale()))
    of_lengths = paragraphs(
        where(find.longer_is_worse(refitted=True),
              f"Refitted, the longer training is worse at BER {TRAINED[0]:g} and {TRAINED[1]:g}, by more than a point"),
        f"* Stale thresholds show this in {sum(shown)} of {len(shown)} cases, and reverse it at BER "
        f"{RATES[-1]:g} by more than a point in {sum(reversed_)}.",
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
trained and without errors; of a convolution with code 0 those of nearly black patches, whose sums hardly change where
weights err, make most of the mean. Accuracy without errors, which rescaling for no errors leaves as it is, and points
lost by BER:""") + simple(
        ("setting", "code", "clean", *BY_RATE * 2, "clean", *BY_RATE, "margin"), lost,
        (("", 3), *ways[:2], ("re-estimated", 1 + len(RATES)), ("", 1))) + filled("""
Points by which code 0 is better than code 128, and both margins:""") + simple(
        ("setting", *BY_RATE * len(WAYS), "0", "128"), [(name, *rest) for name, _, *rest in codes],
        (("", 1), *ways, ("margins", 2))) + filled(f"""
{findings}

Points by which the shortest training of a network is better than its longest, and both margins:""") + simple(
        ("setting", "code", *BY_RATE * len(WAYS), "short", "long"), lengths,
        (("", 2), *ways, ("margins", 2))) + filled(f"""
{of_lengths}

.. image:: figures/explained.png
   :width: 700
   :alt: accuracy over BER by input code; overfitting as trained and refitted; points lost over margins
""")


def margins_told() -> str:
    """What margins tell of pairs of networks of one setting and code that were trained in different ways."""
    pairs = find.compared()
    found = find.larger_margin_loses_less(pairs)
    of = {kind: f"{sum(right)} of {len(right)}" for kind, right in found.items()}
    support(np.mean(found["higher"]) > np.mean([*found["lower"], *found["same"], *found["losses"]]),
            "margins order networks better where they follow the rate of training")
    few = find.disagreeing(pairs)
    support(all((one.more > 0).all() for one in few), "where margins and the rate of training disagree, it is right")
    where_few = " and ".join(dict.fromkeys(f"{one.group.setting} with code {one.code}" for one in few))
    disagreeing = (f" (all of {where_few}; {sum(find.alike(*one.margins) for one in few)} of them have margins within "
                   "5 %)") if few else ""
    cases, words = [], []
    for one, arm, less in find.training_beats_like_margins(pairs):
        cases.append((one.group.setting, one.group.n, less.min() > 1))
        words.append(f"{arm} with code {one.code} of {one.group.setting} {' and '.join(numbers(less))}")
    return paragraphs(
        "* Of two networks of one setting, code and loss the one with the larger margin loses less at BER "
        f"{RATES[-1]:g}, rescaled and re-estimated, in {of['higher']} pairs where it was trained at the higher "
        f"rate, in {of['lower']} where it was trained at the lower one{disagreeing}, and in {of['same']} of one rate; "
        f"of two losses, without errors in training, in {of['losses']}. So margins follow the rate of training, and "
        "tell little besides. (MHL of all margins count as one loss, and so do regularisers.)",
        where(cases, "Margins do not tell how much training with errors gives: networks trained so whose margins are "
                     f"within 5 % of the control's lose less at BER {RATES[-1]:g}, by more than a point (rescaled "
                     f"and re-estimated: {', '.join(words)})"))


def gain_part() -> str:
    """What training with errors gives: by thresholds, which the standard network can have, and the rest."""
    rows = [(one.arm, one.group.name, str(code), f"{one.gained[k]:.1f}", f"{100 * one.gained[k] / one.loss[k]:.0f}",
             *(text for way in range(len(WAYS) - 1) for text in (
                 f"{one.thresholds[k, way]:.1f}", f"{one.share[k, way]:.0f}", f"{one.rest[k, way]:.1f}")))
            for one in find.gains() for k, code in enumerate(CODES)]
    findings = paragraphs(
        where(find.thresholds_give_more_of_code_128(),
              "Refitting the standard network gives a larger share with code 128 than with 0"),
        where(find.the_rest_is_positive(), "The rest is positive"),
        where(find.the_rest_is_the_same_with_both_codes(), "It differs by less than a point between codes"))
    return filled("""
Training with errors: thresholds and the rest
---------------------------------------------

Training at p moves thresholds to p, and it changes weights. Points that it gives at p over the standard network, and
their percentage of what that loses; then points that the standard network gains where only its thresholds are refitted,
their percentage of the gain, and the rest: points between both networks, refitted. Flips: straight-through. A case is a
rate and gradient.""") + simple(
        ("trained", "setting", "code", "gained", "% of loss", *("points", "% of gain", "rest") * 2), rows,
        (("", 3), ("training", 2), ("rescaling", 3), ("re-estimating", 3))) + filled(f"""
{findings}

{margins_told()}""")


def gradient_part() -> str:
    """Overfitting to the rate, and straight-through beside native gradients, as trained and refitted."""
    found = find.gradients()
    named = [(f"{one.p:g}", one.group.name, str(one.code)) for one in found]
    rises = [(*name, *(text for of in one.rise for text in numbers(of.mean(axis=-1), ".2f")))
             for name, one in zip(named, found)]
    better = [(*name, *(text for of in one.better[find.REFITTED] for text in numbers(of.mean(axis=-1), ".2f")),
               *numbers(one.clean[::-1, find.REFITTED].T.ravel())) for name, one in zip(named, found)]
    stale = {code: find.stale_overfits(code) for code in CODES}
    support(np.mean(stale[128]) > np.mean(stale[0]), "as trained more networks overfit with code 128")
    told = [f"{sum(rise)} of {len(rise)} with code {code}" for code, rise in stale.items()]
    return filled(f"""
Overfitting to the rate, and gradients
--------------------------------------

By the criterion of (c) a network overfits where it is better at p / 2 than without errors by more than {OVERFITS:g}
points. Points at p / 2 minus those without errors:""") + simple(
        ("p", "setting", "code", *("as trained", "rescaled", "re-estimated") * 2), rises,
        (("", 3), ("native", 3), ("straight-through", 3))) + filled(f"""
* As trained {' and '.join(told)} overfit (of settings, rates and gradients).

{where(find.refitted_none_overfits(find.RESCALED), "Rescaled none overfits, in any seed")}

{where(find.refitted_none_overfits(find.REESTIMATED), "Re-estimated none overfits, in any seed")}

Straight-through minus native, points by rate; and accuracy without errors, of the standard network, of straight-through
and native gradients, rescaled and re-estimated:""") + simple(
        ("p", "setting", "code", *("0", "p / 2", "p") * 2, *("std", "flips", "nat.") * 2), better,
        (("", 3), ("rescaled", 3), ("re-estimated", 3), ("clean, rescaled", 3), ("re-estimated", 3))) + filled(f"""
{where(find.straight_through_wins(),
       "Refitted, rescaled and re-estimated, straight-through beats native at p / 2 and at p in every seed")}

{where(find.errors_in_training_cost(), "Refitted, standard is best without errors and native worst")}""")


def both(finding: Callable[[slice], list[find.Case]]) -> str:
    """In how many settings a finding holds, rescaled and re-estimated."""
    rescaled, reestimated = (share(finding(way))[1:-1] for way in (find.RESCALED, find.REESTIMATED))
    return f"(rescaled {rescaled}, re-estimated {reestimated})"


def page() -> str:
    used = [row for row in explain_rows.kept().values() if setting_of(row) in settings()] + unusual()
    chips, images = (" or ".join(f"{value:,}" for value in sorted({row[key] for row in used}))
                     for key in ("chips", "images"))
    papers = [Group(PAPERS, (arm, 0)).n for arm in explain_rows.ARMS]
    (stale, n), (rescaled, _), (reestimated, _) = (find.overfit(way) for way in range(len(WAYS)))
    support(10 * (rescaled + reestimated) < stale, "refitted, hardly a network overfits")
    return filled(f"""
What explains what
==================

The papers' sentences and our results (``examples/reproduce/RESULTS.rst``) differ in places. Three things that papers
seldom state explain part of that: the number that black enters as, thresholds, which fit the one bit error rate (BER)
of training, and the length of training. In short: of {n} networks trained at {overfitters()} {stale} are better at half
their rate of training than without errors, by more than {OVERFITS:g} points, {rescaled} with thresholds rescaled for
the rate of use, and {reestimated} with thresholds re-estimated at it; refitted either way, the input code's effect is
smaller at high rates {both(find.refitting_brings_codes_closer)}, and less than a tenth of it is left in few
{both(find.refitting_brings_codes_together)}; what length and schedule do at high rates is left
{share(find.longer_is_worse(refitted=True))}, and so is a part of what training with errors gives at its rate
{share(find.the_rest_is_positive())}. A fourth, margins, tells little besides the rate of training.

This page is this project's own finding, written by ``python examples/reproduce/explain.py`` from the rows of
{len(used)} trained networks of {chips} chips each, on {images} test images. Its words:

* Setting: a network, its epochs and their schedule, cosine or halved every so many epochs. FCNN and CNN are of
Fashion-MNIST, MLP is of MNIST. A line is of the seeds that all networks which it compares have, and n is their number:
where it is 1, a finding is of that network. {PAPERS} with input code 0 has the length, schedule and input code that
the authors of (b) and (c) trained with (by their code), and clips latent weights as their paper says, which their code
does not do; {" or ".join(map(str, sorted(set(papers))))} of three seeds of an arm are trained.

* Input code 0 or 128: black enters as 0 or as -128.

* Thresholds as trained are stale where weights flip at another rate. Refitted ones are rescaled for the rate of use
(from two rates alone, ``bnnsim.rescale_thresholds``) or re-estimated at it, without errors, too (from training images:
{explain_rows.re_estimated_on()}). Points lost are of what a network has without errors with thresholds refitted alike.

* Native gradients see the mask of bit errors, straight-through ones do not.

* A finding says in how many cases of each setting it holds. Its limits (a tenth, 5 %, a point) were chosen with these
rows in view. Accuracies are percent, differences percent points.

What a reader of the papers can use
-----------------------------------

* State which number encodes black, and compare networks with thresholds that are refitted for the rate of use. Input
codes then differ less {both(find.refitting_brings_codes_closer)}, and can differ still. Where the two ways disagree,
re-estimate: rescaling, which knows two rates alone, can make a network worse (below).

* State length and schedule, and compare networks of the same: with refitted thresholds, too, the longer training, of
another schedule, is the less accurate one at high rates {share(find.longer_is_worse(refitted=True))}; stale ones can
reverse that.

* "Overfits to the rate" is about thresholds: as trained {stale} of those {n} networks do, more of code 128, rescaled
{rescaled}, and re-estimated {reestimated}. Refitted, straight-through gradients
still beat native ones where weights flip {share(find.straight_through_wins())}, and where none flips the standard
network is best and native gradients worst {share(find.errors_in_training_cost())}.

* What training at p gains is in part what refitting gives: subtract what that gives the standard network, more with
code 128 {share(find.thresholds_give_more_of_code_128())}.

* Compare accuracies at the rate of use, not what is lost of each network's own: training with errors spoils that. At
BER 0.04 the adapted network loses less than its control in every seed, and is in none the more accurate one:
{less_lost_and_no_better()}. Adapted FCNNs were trained at {ADAPTED["FCNN"].split()[1]}, which is more than the rate of
use.{trained_nearer()}

* Larger margins of the first layer go with smaller losses of points where both follow the rate of training; of one
rate they tell little, and where the two disagree the rate is right (few pairs: below). They do not say how much
training with errors gives over the standard network, and are no measure across losses.

{latents_told()}
""") + "".join((sentence_part(), standard_part(), gain_part(), gradient_part(), latent_part())).rstrip("\n") + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true",
                        help="write nothing; end with an error where the page is another")
    check, text = parser.parse_args(argv).check, page()
    if not check:
        PAGE.write_text(text, encoding="utf-8")
        draw(FIGURE)
    elif PAGE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{PAGE} is not what rows.jsonl says: run this script without --check")


if __name__ == "__main__":
    main()
