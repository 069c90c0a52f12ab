"""The part of the page on single sentences of the papers: which hold, and what turns them."""

import re
from itertools import product
from typing import NamedTuple

import explain_findings as find
import explain_rows
import numpy as np
from explain_rows import ADAPTED, OVERFITS, TRAINED, WAYS, Group, settings
from explain_words import filled, numbers, paragraphs, simple
from plan import CODES, PAIRS, control
from study import percent

SENTENCES = (                                           # label, paper's words, networks, rates p, what is claimed
    ("a1", "can be tolerated with little impact", (*ADAPTED,), (1e-4,), "standard@0 - standard@p < 1"),
    ("a2a", "this tolerance can be extended", (*ADAPTED,), (0.04,), "adapted@0 - adapted@p < 1"),
    ("a2b", "the same, of what the control has", (*ADAPTED,), (0.04,), "control@0 - adapted@p < 1"),
    ("a3a", "by adapting the training", (*ADAPTED,), (0.04,), "adapted@p - adapted@0 - control@p + control@0 > 0"),
    ("a3b", "the same, of accuracy itself", (*ADAPTED,), (0.04,), "adapted@p - control@p > 0"),
    ("b1", "improves the accuracy when bit errors are introduced", ("FCNN",), TRAINED, "flips@p - standard@p > 0"),
    ("b3a", "trade a high accuracy at small error rates", ("FCNN",), (0.0,), "flips 0.1@p - flips 0.2@p > 0"),
    ("b3b", "with a high accuracy at larger error rates", ("FCNN",), (0.2,), "flips 0.2@p - flips 0.1@p > 0"),
    ("c1", "overfit to the error rate used in training", ("FCNN",), TRAINED, f"native@p/2 - native@0 > {OVERFITS:g}"),
    ("c2", "we do not observe an overfitting", ("FCNN",), TRAINED, f"flips@p/2 - flips@0 < {OVERFITS:g}"),
    ("c3", "adapt less to the bit error rates", ("FCNN",), TRAINED, "native@p/2 - native@0 - flips@p/2 + flips@0 > 0"))
FACTORS = ("rescaling thresholds", "re-estimating them", "the other input code", "rescaling at the other code",
           "re-estimating at the other code", "another length, or length and schedule")


class Cell(NamedTuple):
    """A claim measured: yes or all, part or some, no or none; "" where it is not trained."""

    side: str
    text: str
    n: int = 0


def measured(claim: str, p: float, net: str, setting: str, code: int, way: str, like: str = "") -> Cell:
    """Yes where all seeds are on its side, or all chips of one seed; of the seeds that `like`, if any, has as well."""
    named = {"adapted": ADAPTED[net], "control": control(net), "flips": f"flips {p:g}", "native": f"native {p:g}"}
    rates = {"0": 0.0, "p": p, "p/2": p / 2}
    terms = [(-1 if sign == "-" else 1, (named.get(arm, arm), code), rates[rate])
             for sign, arm, rate in re.findall(r"([-+]?) ?(\w+(?: 0\.\d)?)@(\S+)", claim)]
    group = Group(setting, *(key for _, key, _ in terms), like=like)
    if not group.n:
        return Cell("", "open")
    values = np.sum([sign * (group.right(key, rate, way) if group.n > 1 else percent(group.rows[key], rate, way)[0])
                     for sign, key, rate in terms], axis=0)
    wanted, than = claim.split()[-2:]
    on_side = values > float(than) if wanted == ">" else values < float(than)
    sides = ("yes", "part", "no") if group.n > 1 else ("all", "some", "none")                   # of seeds, of chips
    side = sides[0 if on_side.all() else 1 if on_side.any() else 2]
    return Cell(side, f"{numbers([values.mean()], '.2f')[0]} {side}", group.n)


def quoted(words: str) -> str:
    return f'"{words}"'


def turned(before: Cell, after: Cell) -> bool:
    kinds = [("yes" in cell.side or "all" in cell.side, cell.side in ("no", "none")) for cell in (before, after)]
    return kinds[0] == kinds[1][::-1] and any(kinds[0])


def sentence_part() -> str:
    """A line a sentence, rate and setting; then what each factor turns."""
    rows: list[tuple[str, ...]] = []
    no_line: dict[str, list[str]] = {}
    changes: dict[str, list[tuple[str, Cell, Cell]]] = {name: [] for name in FACTORS}
    differ: list[str] = []
    for label, _, nets, rates, claim in SENTENCES:
        for net, p in product(nets, rates):
            n_before = len(rows)
            for setting in settings(net):
                codes = CODES[::-1] if "CIFAR" in net else CODES
                cells = [measured(claim, p, net, setting, code, way) for code in codes for way in WAYS]
                if not any(cell.side for cell in cells):
                    continue
                name = f"{label} {setting}, {p:g}"
                rows.append((label, f"{p:g}", setting, *(cell.text for cell in cells)))
                for factor, before, after in zip(FACTORS, (0, 0, 0, 3, 3), (1, 2, 3, 4, 5)):
                    if cells[before].side and cells[before].n == cells[after].n:
                        changes[factor].append((name, cells[before], cells[after]))
                differ += [f"{name}, code {code}: {one.side} and {other.side}" for code, (_, one, other) in zip(
                    codes, (cells[:3], cells[3:])) if one.side and one.side != other.side]
                first = settings(net)[0]
                for code in codes if setting != first else ():
                    short, long = (measured(claim, p, net, one, code, "correct", like)
                                   for one, like in ((first, setting), (setting, first)))
                    if short.side and short.n == long.n:
                        changes[FACTORS[-1]].append((f"{name}, code {code},", short, long))
            if len(rows) == n_before:
                no_line.setdefault(net, []).append(label)
    told = []
    for factor, all_of in changes.items():
        found = [f"{name} to {after.side}" for name, before, after in all_of if turned(before, after)]
        half = sum(before.side != after.side for _, before, after in all_of) - len(found)
        told.append(f"* {factor.capitalize()} turns {len(found)} of {len(all_of)} that can be compared, and changes "
                    f"{half} to or from some or part{': ' * bool(found)}{'; '.join(found)}.")
    of_a2 = [f"{net}, {without[0]:.2f} to {without[1]:.2f} without errors, {at_p[0]:.2f} to {at_p[1]:.2f} at 0.04"
             for net in ADAPTED if "CIFAR" in net for setting in settings(net)
             if (group := Group(setting, (key := (ADAPTED[net], 128)))).n
             for without, at_p in (group.mean(key, 0.0, 0.04).T,)]
    quotes = [f"* {label}: {words if words.startswith('the same') else quoted(words)}. ``{claim}``."
              for label, words, _, _, claim in SENTENCES]
    untrained = "; ".join(f"{net} of {', '.join(dict.fromkeys(labels))}" for net, labels in no_line.items())
    return filled(f"""
Sentence by sentence
--------------------

The sentences of (a), (b) and (c) that these rows can speak to, of Hirtzlin et al. 2019 (a) and Buschjaeger et al. 2020
(b, c), and what they say of accuracies, arm@rate. Flips: straight-through. Adapted: flips
{", ".join(f"{ADAPTED[net].split()[1]} of {net}" for net in ADAPTED)}. Control: standard; of CIFAR-10 "more", which goes
on from standard as long as adapted does, without errors. "Stronger for FCNNs" (b) takes a CNN of Fashion-MNIST:
{given_back()}.

{paragraphs(*quotes)}

A cell is the claim's left side, in points, for input code 0, of CIFAR-10 for code 128; with thresholds as trained,
rescaled for the rate of use, and re-estimated at it; then all three with the other code, 128 or 0. Yes: all seeds
are on the claim's side; part: some; no: none. All, some, none: all, some or none of the chips of one network are, which
says nothing about other networks. Open: not trained; so is, and has no line, {untrained or "none"}. Tests are in
RESULTS.rst.""") + simple(("said", "p", "setting", *("as trained", "rescaled", "re-est.") * 2), rows, (
        ("", 3), ("usual code", 3), ("other code", 3))) + filled(f"""
A factor turns a sentence from yes or all to no or none, or back. Cells of as many seeds are compared; lengths by the
seeds that both have, the shortest training with each other one.

{paragraphs(*told)}

* Rescaled and re-estimated thresholds are of two sides in: {"; ".join(differ) or "no line"}.

* Of CIFAR-10, rescaled thresholds change a2a by accuracy without errors more than at 0.04: {"; ".join(of_a2)}.""")


def given_back() -> str:
    """Of what the standard FCNN and CNN lose at a rate, what flip training at it gives back."""
    told = []
    for one in (one for one in find.gains() if one.group.net == "CNN" and one.arm.startswith("flips")):
        alike = {f"{cnn.net} {cnn.epochs} {cnn.schedule}": f"{fcnn.net} {fcnn.epochs} {fcnn.schedule}"
                 for fcnn, cnn in PAIRS}
        beside = next((other for other in find.gains() if other.group.setting == alike.get(one.group.setting)
                       and other.arm == one.arm), None)
        if beside is None:
            continue
        shares = [[f"{100 * part:.0f} %" for part in each.gained / each.loss] for each in (beside, one)]
        told.append(f"of what is lost as trained, {one.arm} gives back " + " and ".join(
            f"{fcnn} (FCNN) and {cnn} (CNN) with code {code}" for code, fcnn, cnn in zip(CODES, *shares)) +
            f", {beside.group.setting} and {one.group.setting}")
    return "; ".join(told) or "open"


def trained_nearer() -> str:
    """By how much networks that were trained nearest to the rate of use are better there, by seed."""
    told = []
    for arm, words in (("flips 0.05", "straight-through"), ("native 0.05", "native gradients")):
        for group in (group for code in CODES for group in explain_rows.groups((arm, code), ("standard", code))):
            key, other = group.rows
            if group.net == "FCNN":
                points = numbers(group.right(key, 0.04) - group.right(other, 0.04), ".2f")
                told.append(f"{words} {', '.join(points)} ({group.name}, code {key[1]})")
    words = f" Trained at 0.05, points by which it is better than the standard one, by seed: {'; '.join(told)}."
    return words if told else ""


def less_lost_and_no_better() -> str:
    """Where adapting extends the tolerance by a3a and not by a3b, in every seed."""
    claims = {label: claim for label, _, _, _, claim in SENTENCES}
    found = [f"{setting} with code {code}" for net in ADAPTED for setting in settings(net) for code in CODES
             if [measured(claims[label], 0.04, net, setting, code, "correct").side for label in ("a3a", "a3b")] == [
                 "yes", "no"]]
    return "; ".join(found) or "nowhere"
