"""The part of the page on latent weights: not clipped, as in the authors' code [C], or larger at the beginning."""

from itertools import groupby
from typing import NamedTuple

import explain_rows
import numpy as np
from explain_words import Case, filled, numbers, share, simple, where, with_seeds
from networks import Row
from study import at, curves

RECIPE = ("net", "epochs", "schedule", "arm", "code")
WAYS = ("correct", "reestimated")
LEAST = 1                                               # a point, above which a network is called worse


class Pair(NamedTuple):
    """A network with unusual latent weights, and the one with the usual ones, of the same recipe and seed."""

    other: Row
    usual: Row

    @property
    def kind(self) -> tuple[str, ...]:
        """What is unusual, setting, arm and code; alike of all seeds."""
        factor = f"begin x {self.other['scale']:g}" if self.other["clip"] else "not clipped"
        return factor, " ".join(str(self.other[key]) for key in RECIPE[:3]), self.other["arm"], str(self.other["code"])

    @property
    def is_same(self) -> bool:
        """Whether both are one network, all bits and numbers: checksums are of these."""
        return bool(self.other["checksum"] == self.usual["checksum"])

    def better(self) -> np.ndarray:
        """Points (ways, rates) by which the unusual one is better: without errors, and at the rates of training."""
        rates = [at(self.other, rate) for rate in (0.0, *explain_rows.TRAINED)]
        return np.array([np.subtract(*(curves([row], way)[0, rates] for row in self)) for way in WAYS])


def groups() -> dict[tuple[str, ...], list[Pair]]:
    """Pairs by kind."""
    rows = list(explain_rows.kept().values())
    usual = {_recipe(row): row for row in rows if explain_rows.setting_of(row)}
    pairs = [Pair(row, usual[_recipe(row)]) for row in rows
             if not explain_rows.setting_of(row) and _recipe(row) in usual]
    by_kind = sorted(pairs, key=lambda pair: pair.kind)
    return {kind: list(some) for kind, some in groupby(by_kind, lambda pair: pair.kind)}


def _recipe(row: Row) -> tuple[object, ...]:
    return (*(row[key] for key in RECIPE), row["seed"])


def unusual() -> list[Row]:
    """All networks of unusual latent weights that have their like."""
    return [pair.other for some in groups().values() for pair in some]


def larger_are_worse() -> list[Case]:
    """At the rates of training, as trained and re-estimated, in every seed."""
    return [(kind[1], len(some), all((pair.better()[:, 1:] < -LEAST).all() for pair in some))
            for kind, some in groups().items() if some[0].other["clip"]]


def clipped_told() -> str:
    """In how many pairs clipping did nothing, and where it did something."""
    pairs = [pair for some in groups().values() for pair in some if not pair.other["clip"]]
    changed = dict.fromkeys(f"{pair.kind[2]} with code {pair.kind[3]}" for pair in pairs if not pair.is_same)
    told = f"in {sum(pair.is_same for pair in pairs)} of {len(pairs)} pairs of networks"
    return told + (f", not in {', '.join(changed)}" if changed else ": they are the same bits")


def latents_told() -> str:
    """What a reader can use of it; empty where there is no pair."""
    found = groups()
    if not found:
        return ""
    worse = {kind: -np.mean([pair.better()[0, 1] for pair in some]) for kind, some in found.items()}
    lost = [f"{some[0].other['scale']:g} times as large, {with_seeds(kind[1], len(some))}, code {kind[3]}, "
            f"{worse[kind]:.1f}"
            for kind, some in found.items() if some[0].other["clip"] and kind[2] == "standard"]
    return ("* State how large latent weights begin: where they begin larger, the network is worse under errors, "
            f"re-estimated too {share(larger_are_worse())}. Points that the standard one is worse by at BER "
            f"{explain_rows.TRAINED[0]:g}: {'; '.join(lost)}. Clipping them did nothing {clipped_told()}.")


def latent_part() -> str:
    """Empty where there is no pair."""
    lines = []
    for kind, some in groups().items():
        margins = [float(np.mean([row["margins"][0][1] for row in rows])) for rows in zip(*some)]
        lines.append((kind[0], with_seeds(kind[1], len(some)), *kind[2:],
                      f"{sum(pair.is_same for pair in some)} of {len(some)}",
                      *(text for of in np.mean([pair.better() for pair in some], axis=0) for text in numbers(of)),
                      *numbers(margins[::-1], ".3f")))
    if not lines:
        return ""
    return filled("""
Latent weights: where they begin, and clipping
----------------------------------------------

Usual latent weights begin as the authors' do, uniform in +-sqrt(1.5 / (fan_in + fan_out)) [C], and are clipped to
[-1, 1]. Networks of one recipe and seed, with usual latent weights and with others: in how many pairs both are one
network, bit for bit; points by which the other one is better, by BER; and margins of the first layer:""") + simple(
        ("others", "setting", "arm", "code", "same", *("0", *map("{:g}".format, explain_rows.TRAINED)) * 2,
         "usual", "other"), lines, (("", 5), ("as trained", 3), ("re-estimated", 3), ("margins", 2))) + filled(f"""
{where(larger_are_worse(), f"Where they begin larger the network is worse by more than a point at BER "
       f"{' and '.join(map('{:g}'.format, explain_rows.TRAINED))}, re-estimated too, in every seed")}

* Clipping did nothing {clipped_told()}.""")
