"""The part of the page on latent weights: not clipped, as in the authors' code [C], or larger at the beginning."""

from itertools import groupby

import explain_rows
import numpy as np
from explain_words import filled, numbers, simple, with_seeds
from networks import Row
from study import at, curves

RECIPE = ("net", "epochs", "schedule", "arm", "code")
WAYS = ("correct", "rescaled")
Pair = tuple[Row, Row]


def pairs() -> list[Pair]:
    """Networks with unusual latent weights, each with the one of usual ones, of the same recipe and seed."""
    usual = {_recipe(row): row for row in explain_rows.kept().values() if explain_rows.setting_of(row)}
    others = [row for row in explain_rows.kept().values() if not explain_rows.setting_of(row)]
    return sorted(((row, usual[_recipe(row)]) for row in others if _recipe(row) in usual), key=_order)


def _recipe(row: Row) -> tuple[object, ...]:
    return (*(row[key] for key in RECIPE), row["seed"])


def _order(pair: Pair) -> tuple[object, ...]:
    """By what is unusual, then by recipe; seeds are brought together."""
    return (factor(pair[0]), *(pair[0][key] for key in RECIPE))


def factor(row: Row) -> str:
    """What is unusual of its latent weights."""
    return "not clipped" if not row["clip"] else f"begin x {row['scale']:g}"


def is_same(pair: Pair) -> bool:
    """Whether both are one network, all bits and numbers: the checksums are of these."""
    return pair[0]["checksum"] == pair[1]["checksum"]


def differences(some: list[Pair]) -> np.ndarray:
    """Points (ways, rates) by which the unusual ones are better, means of seeds; without errors first."""
    rates = [at(some[0][0], rate) for rate in (0.0, *explain_rows.RATES)]
    return np.array([np.mean([curves([row], way)[0, rates] - curves([usual], way)[0, rates] for row, usual in some],
                             axis=0) for way in WAYS])


def latent_part() -> str:
    """Empty where there is no pair."""
    found = [(key, list(some)) for key, some in groupby(pairs(), _order)]
    if not found:
        return ""
    lines = [(str(key[0]), with_seeds(f"{key[1]} {key[2]} {key[3]}", len(some)), str(key[4]), str(key[5]),
              f"{sum(map(is_same, some))} of {len(some)}", *(text for of in differences(some)
                                                             for text in numbers(of, ".2f")))
             for key, some in found]
    unclipped = [pair for pair in pairs() if not pair[0]["clip"]]
    same = [pair for pair in unclipped if is_same(pair)]
    rest = [f"{row['arm']} with code {row['code']}" for row, usual in unclipped if not is_same((row, usual))]
    told = f"""
* A latent weight stays in [-1, 1], as (b) and (c) say; the authors' code does not see to that. In {len(same)} of
{len(unclipped)} pairs clipping did nothing: the network without it is the same, bit for bit.""" if unclipped else ""
    also = f" It did something in {', '.join(dict.fromkeys(rest))}." if rest else ""
    return filled("""
Latent weights: clipped or not, small or large at the beginning
---------------------------------------------------------------

Points by which the network with unusual latent weights is better than the one of the same recipe and seed, without
errors and by BER, and in how many pairs both are one network:""") + simple(
        ("latent weights", "setting", "arm", "code", "the same", *("0", *map("{:g}".format, explain_rows.RATES)) * 2),
        lines, (("", 5), ("as trained", 4), ("rescaled", 4))) + filled(told + also)
