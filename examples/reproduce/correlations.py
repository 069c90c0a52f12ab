"""T and accuracy under errors over trainings: rank correlations, Fisher's z, what order alone gives, within groups.

A training is a list of rows, one a seed.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from networks import Row
from scipy.stats import spearmanr
from study import curves

FACTORS = ("net", "epochs", "schedule", "clip", "scale")


def kind(row: Row) -> str:
    """Of an arm: its words without numbers."""
    return " ".join(word for word in row["arm"].split() if word[0].isalpha())


def factors(rows: Sequence[Row]) -> tuple[Any, ...]:
    """All of a training but its arm and code."""
    return tuple(rows[0][name] for name in FACTORS)


def high(rows: Sequence[Row]) -> np.ndarray:
    """Mean accuracy over BER 0.05 to 0.2, percent, by seed."""
    return curves(rows)[:, np.array(rows[0]["rates"]) >= 0.05].mean(axis=1)


def distinct(trainings: Sequence[list[Row]]) -> list[list[Row]]:
    """Those that are not another one again, network by network: clipping that never acts makes no other training."""
    kept, seen = list[int](), set[str]()
    for i in sorted(range(len(trainings)), key=lambda i: -len(trainings[i])):      # of more seeds first
        networks = {row["checksum"] for row in trainings[i]}
        kept += [] if networks <= seen else [i]
        seen |= networks
    return [trainings[i] for i in sorted(kept)]


def layers(rows: Sequence[Row]) -> np.ndarray:
    """T of each hidden layer, mean over seeds."""
    return np.array([[t for t, _ in row["T"]["layers"]] for row in rows]).mean(axis=0)


def by_layer(rows: Sequence[Row]) -> str:
    return ", ".join(f"{value:.1f}" for value in layers(rows))


def tolerance(rows: Sequence[Row]) -> np.ndarray:
    """T by seed."""
    return np.array([row["T"]["paper"] for row in rows])


def of_both(trainings: Sequence[Sequence[Row]]) -> tuple[np.ndarray, np.ndarray]:
    """T and accuracy by training, means of seeds."""
    return np.array([tolerance(rows).mean() for rows in trainings]), np.array([high(rows).mean() for rows in trainings])


def fisher(x: np.ndarray, y: np.ndarray, n: int) -> tuple[float, float, float]:
    """(z, its standard error sqrt(1.06 / (n - 3)), degrees of freedom) of Spearman's correlation of n."""
    rank = float(np.clip(spearmanr(x, y).statistic, -0.999, 0.999))
    return math.atanh(rank), math.sqrt(1.06 / (n - 3)), n - 2


def of_order(trainings: Sequence[Sequence[Row]], draws: int = 2000) -> tuple[float, float, float]:
    """Of numbers that increase with the rate of flips, and of native, from standard on, and are random else.

    Their rank correlation's mean and 95 % point, and the standard deviation of its z.
    """
    found = [(kind(rows[0]), factors(rows)) for rows in trainings]
    standard = [which for words, which in found if words == "standard"]
    increasing, rng = Counter(one for one in found if one[0] in ("flips", "native")), np.random.default_rng(0)
    n_alone = len(found) - len(standard) - increasing.total()

    def drawn() -> np.ndarray:
        start = {which: rng.random() for which in standard}
        return np.concatenate([[*start.values()], rng.random(n_alone), *(
            1 - (1 - start.get(which, 0.0)) * np.sort(rng.random(n))[::-1]
            for (_, which), n in increasing.items())])
    ranks = np.array([(drawn(), drawn()) for _ in range(draws)]).argsort(-1).argsort(-1)      # without ties: Spearman's
    rank = 1 - 6 * ((ranks[:, 0] - ranks[:, 1]) ** 2).sum(-1) / (len(found) ** 3 - len(found))
    return float(rank.mean()), float(np.quantile(rank, 0.95)), float(np.arctanh(np.clip(rank, -0.999, 0.999)).std())


def at_each_length(trainings: Sequence[Sequence[Row]]) -> str:
    """The correlation of trainings that differ by arm alone, where there are three, usual latent weights alone."""
    by_length: dict[tuple[Any, ...], list[Sequence[Row]]] = {}
    for rows in trainings:
        if rows[0]["clip"] and rows[0]["scale"] == 1:
            by_length.setdefault(factors(rows), []).append(rows)
    return ", ".join(f"{net}, {epochs} epochs ({schedule}) {spearmanr(*of_both(some)).statistic:.2f} of {len(some)}"
                     for (net, epochs, schedule, *_), some in by_length.items() if len(some) > 2) or "too few trainings"


def between(trainings: Sequence[Sequence[Row]]) -> str:
    """The correlation of trainings less the mean of those of their factors."""
    of = [factors(rows) for rows in trainings]
    groups = [[i for i, one in enumerate(of) if one == which] for which in dict.fromkeys(of)]
    several = [group for group in groups if len(group) > 1]
    n = sum(len(group) - 1 for group in several) + 1
    if n < 5:
        return "too few trainings"
    x, y = (np.concatenate([values[group] - values[group].mean() for group in several])
            for values in of_both(trainings))
    return told(x, y, n, f"{len(x)} trainings of {len(several)} groups")


def told(x: np.ndarray, y: np.ndarray, n: int, of: str) -> str:
    """A correlation of n numbers that are free, with its interval."""
    z, error, _ = fisher(x, y, n)
    return (f"{math.tanh(z):.2f} ({math.tanh(z - 1.96 * error):.2f} to {math.tanh(z + 1.96 * error):.2f} at 95 %, "
            f"{of})")


def within(trainings: Sequence[Sequence[Row]]) -> str:
    """The correlation of seeds less the mean of their training."""
    several = [rows for rows in trainings if len(rows) > 1]
    n = sum(len(rows) - 1 for rows in several) + 1
    if n < 5:
        return "too few seeds"
    x, y = (np.concatenate([of(rows) - of(rows).mean() for rows in several]) for of in (tolerance, high))
    return told(x, y, n, f"{len(x)} seeds of {len(several)} trainings")
