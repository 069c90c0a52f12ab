"""Write docs/explained.rst and its figure: what input code, stale thresholds, length and margins make of the claims.

    python examples/reproduce/explain.py            # from rows.jsonl
    python examples/reproduce/explain.py --check    # exits 1 where the page is not what would be written

Every number comes from the rows. Where one of them no longer supports a sentence, the script refuses to write it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from make_results import table
from networks import Row, kept
from study import at, curves

from bnnsim.figures.scales import draw_curve, rate_axis
from bnnsim.figures.style import COLOURS, save_figure

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE, FIGURE = ROOT / "docs" / "explained.rst", ROOT / "docs" / "figures" / "explained.png"
FLIPPED = ("native 0.1", "flips 0.1", "native 0.2", "flips 0.2")
WAYS = ("correct", "rescaled", "reestimated")
HEAD = """What explains what
==================

The papers' sentences and our results (``examples/reproduce/RESULTS.rst``) differ in places. Two things that a paper
seldom states make most of what differs here: the number that black enters as, and thresholds that fit one bit error
rate only; margins and the length of training stand beside them. This page is this project's own finding, on the FCNN
and Fashion-MNIST; written by ``python examples/reproduce/explain.py`` from the rows of {networks} trained networks,
means over seeds ({seeds}) and ten chips each, all 10,000 test images. Accuracies are percent, differences percent
points.

"""
CODE = """The input code is a matter of thresholds
----------------------------------------

With code 0 pixels enter as 0 to 255, with code 128 as -128 to 127, the papers' [0, 1] and [-1, 1]: ``input_offset``
of `bnnsim.architectures`, ``--input-offset`` of ``python -m bnnsim.train``. A pre-activation h
of the first layer has the mean (1 - 2 p) h where weights flip at rate p: it shrinks towards 0, and thresholds stay
where training put them. With code 128 most pixels are -128, so that h and its threshold lie far from 0 together, and
what both have in common shrinks in h alone. With code 0 there is little in common. Neither the weights nor their
margins tell of it: in spreads of h at the same BER, margins of the first layer are {margin_0:.3f} and {margin_128:.3f}
(mean of \\|h - s\\| / (2 sqrt(sum of squared pixels)), standard networks, {length}).

So ``bnnsim.rescale_thresholds(network, trained_at, used_at)``, which costs nothing, takes nearly all of the input
code's effect away. Standard networks:

"""
OVERFITTING = """Overfitting to the rate of training
-----------------------------------

A network that was trained at p is said to overfit where it is worse without errors, or at lower rates, than at p.
Points by which networks are better at p / 2 than without errors, as trained; with thresholds rescaled for the rate of
use; with batch-norm statistics taken anew at it:

"""
LENGTH = """Length of training
------------------

Points that standard networks lose{words}.

"""
ONE, MORE = (", at one length: others are not trained yet, so what length shares is open",
             ", by length, schedule and input code: with code 0 {least:.2f} to {most:.2f} at 4e-2")
USE = """What a reader of the papers can use
-----------------------------------

* A curve of accuracy over BER says little without its input code. Before networks are compared, thresholds should fit
  the rate of use: rescaled (from two rates alone) or re-estimated (from training images).
* "Overfits to the rate" is a sentence about thresholds first. What is left with thresholds that fit is a sentence about
  weights: in the table above {left}.
* Flip training at a rate does two things at once: it moves thresholds to that rate, and it changes weights. At BER 0.1
  and code 128 the standard network gains {free:.1f} points from rescaling alone; training at 0.1 (straight-through)
  gains {trained:.1f} in all.
"""


def rows_of(arm: str, code: int, setting: str) -> list[Row]:
    """Rows of the FCNN by seed."""
    found = [row for row in kept().values() if (row["net"], row["arm"], row["code"]) == ("FCNN", arm, code)
             and row["clip"] and row["scale"] == 1 and length_of(row) == setting]
    return sorted(found, key=lambda row: row["seed"])


def length_of(row: Row) -> str:
    return f"{row['epochs']} epochs ({row['schedule']})"


def lengths() -> list[str]:
    """Those for which every arm has rows of both codes, the shortest first."""
    every = dict.fromkeys(length_of(row) for row in sorted(kept().values(), key=lambda row: row["epochs"])
                          if row["net"] == "FCNN")
    return [length for length in every if all(rows_of(arm, code, length) for arm in ("standard", *FLIPPED)
                                              for code in (0, 128))]


def mean_at(rows: Sequence[Row], rate: float, way: str = "correct") -> float:
    return float(curves(rows, way)[:, at(rows[0], rate)].mean())


def margin(rows: Sequence[Row]) -> float:
    """Of the first layer, in spreads of h but for the rate."""
    return float(np.mean([row["margins"][0][1] for row in rows]))


def code_rows(length: str) -> Iterator[tuple[str, ...]]:
    zero, other = (rows_of("standard", code, length) for code in (0, 128))
    for rate in (0.04, 0.1, 0.2):
        cells, apart = [], []
        for way in WAYS:
            pair = [mean_at(rows, rate, way) for rows in (zero, other)]
            apart.append(pair[0] - pair[1])
            cells += [f"{pair[0]:.1f}, {pair[1]:.1f}"]
        if rate == 0.2 and not abs(apart[1]) < abs(apart[0]) / 4:
            raise SystemExit(f"rescaling does not take most of the input code's effect away any more ({length}): "
                             f"{apart[0]:.1f} points, {apart[1]:.1f} with rescaled thresholds; write that part anew")
        yield (length, f"{rate:g}", *cells, f"{apart[0]:.1f}", f"{apart[1]:.1f}")


def overfitting_rows(length: str) -> Iterator[tuple[str, ...]]:
    for arm in FLIPPED:
        rate = float(arm.split()[1])
        for code in (0, 128):
            rows = rows_of(arm, code, length)
            told = [f"{mean_at(rows, rate / 2, way) - mean_at(rows, 0.0, way):+.2f}" for way in WAYS]
            yield (length, arm.replace("flips", "straight-through"), str(code), *told,
                   ", ".join(f"{mean_at(rows, 0.0, way):.1f}" for way in WAYS))


def standards() -> list[list[Row]]:
    """Rows of standard networks, by length and code."""
    every = dict.fromkeys(length_of(row) for row in sorted(kept().values(), key=lambda row: row["epochs"]))
    return [rows for length in every for code in (0, 128) if (rows := rows_of("standard", code, length))]


def length_rows() -> Iterator[tuple[str, ...]]:
    for rows in standards():
        lost = [mean_at(rows, 0.0) - mean_at(rows, rate) for rate in (1e-4, 0.04, 0.1)]
        yield (length_of(rows[0]), str(rows[0]["code"]), str(len(rows)), f"{mean_at(rows, 0.0):.2f}",
               *(f"{points:.2f}" for points in lost), f"{margin(rows):.3f}",
               f"{np.mean([row['margins'][1][1] for row in rows]):.3f}")


def page() -> str:
    every = lengths()
    if not every:
        raise SystemExit("rows.jsonl must have the FCNN's standard, native and straight-through networks at both "
                         "codes: python examples/reproduce/networks.py --full --stages short, then --keep")
    used = [row for length in every for arm in ("standard", *FLIPPED) for code in (0, 128)
            for row in rows_of(arm, code, length)]
    used += [row for rows in standards() for row in rows if row not in used]
    seeds = sorted({len(rows_of(arm, code, length)) for length in every for arm in ("standard", *FLIPPED)
                    for code in (0, 128)} | {len(rows) for rows in standards()})
    last = every[-1]
    text = HEAD.format(networks=len(used), seeds=" or ".join(map(str, seeds)))
    text += CODE.format(margin_0=margin(rows_of("standard", 0, last)),
                        margin_128=margin(rows_of("standard", 128, last)), length=last)
    text += table(("length", "BER", "as trained, code 0, 128", "rescaled, code 0, 128", "re-estimated, code 0, 128",
                   "code's effect as trained", "rescaled"), (row for length in every for row in code_rows(length)),
                  "18 8 18 18 18 10 10")
    text += (".. image:: figures/explained.png\n   :alt: accuracy over BER by input code; overfitting as trained and "
             "with rescaled thresholds\n   :width: 700\n\n")
    overfitting = [row for length in every for row in overfitting_rows(length)]
    text += OVERFITTING + table(("length", "arm", "code", "as trained", "rescaled", "re-estimated",
                                 "without errors: as trained, rescaled, re-estimated"), overfitting,
                                "18 20 6 10 10 12 24")
    of_length = list(length_rows())
    lost = [float(row[5]) for row in of_length if row[1] == "0"]
    one_length = len({row[0] for row in of_length}) == 1
    text += LENGTH.format(words=ONE if one_length else MORE.format(least=min(lost), most=max(lost)))
    text += table(("length", "code", "seeds", "without errors", "lost at 1e-4", "at 4e-2", "at 0.1",
                   "margin, first layer",
                   "second"), of_length, "18 6 6 12 12 12 12 14 14")
    left = [float(row[4]) for row in overfitting]
    standard, trained = rows_of("standard", 128, last), rows_of("flips 0.1", 128, last)
    words = (f"{sum(value > 0.1 for value in left)} of {len(left)} rows are above a tenth of a point with rescaled "
             f"thresholds, {sum(float(row[3]) > 0.1 for row in overfitting)} as trained")
    return text + USE.format(left=words, free=mean_at(standard, 0.1, "rescaled") - mean_at(standard, 0.1),
                             trained=mean_at(trained, 0.1) - mean_at(standard, 0.1))


def draw() -> None:
    """The figure, of the longest training."""
    from matplotlib.figure import Figure

    figure, last = Figure(figsize=(8.6, 3.9), layout="constrained"), lengths()[-1]
    curve, bars = figure.subplots(1, 2)
    for i, code in enumerate((0, 128)):
        rows = rows_of("standard", code, last)
        for way, line, words in (("correct", "-", "as trained"), ("rescaled", "--", "thresholds rescaled")):
            values, rates = curves(rows, way), np.array(rows[0]["rates"])
            style = {"color": COLOURS[i], "linestyle": line, "marker": "os"[i], "label": f"code {code}, {words}"}
            draw_curve(curve, rate_axis(curve, rates), rates, values.mean(axis=0),
                       np.array([values.min(axis=0), values.max(axis=0)]), style)
    curve.set_ylabel("test accuracy (%)")
    curve.set_title(f"standard FCNN, {last}", fontsize=9)
    handles, labels = curve.get_legend_handles_labels()              # the point at 0 is drawn apart, by the same name
    first = {label: handle for handle, label in reversed([*zip(handles, labels)])}
    curve.legend(reversed(first.values()), reversed(first), fontsize=8, loc="lower left")
    names = [(arm, code) for arm in FLIPPED for code in (0, 128)]
    for k, (way, words) in enumerate(zip(WAYS, ("as trained", "thresholds rescaled", "batch norm re-estimated"))):
        points = []
        for arm, code in names:
            rows, rate = rows_of(arm, code, last), float(arm.split()[1])
            points.append(mean_at(rows, rate / 2, way) - mean_at(rows, 0.0, way))
        bars.barh(np.arange(len(names)) + (k - 1) * 0.27, points, 0.25, color=COLOURS[k + 2], label=words)
    bars.axvline(0, color="0.3", linewidth=0.8)
    bars.set_yticks(range(len(names)), [f"{arm.replace('flips', 'straight-thr.')}, code {code}" for arm, code in names],
                    fontsize=8)
    bars.invert_yaxis()
    bars.set_xlabel("points at half the rate of training, less without errors", fontsize=8)
    bars.set_title(f"overfitting to the rate, {last}", fontsize=9)
    bars.legend(fontsize=8)
    save_figure(figure, FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
