"""Rows of rows.jsonl as the page and the figure of what explains what use them: settings, groups of arms by seed.

A setting is a network, its epochs and their schedule.
"""

from collections.abc import Iterable

import numpy as np
from explain_words import with_seeds
from networks import Row, kept
from plan import CODES, FULL, STAGES
from study import DATA, at, curves

ADAPTED = {"FCNN": "flips 0.1", "MLP": "flips 0.04", "CIFAR-10 CNN": "flips 0.05", "narrow CIFAR-10 CNN": "flips 0.05",
           "small CIFAR-10 CNN": "flips 0.05", "CNN": "flips 0.05"}                                             # of (a)
RATES, TRAINED, OVERFITS = (0.04, 0.1, 0.2), (0.1, 0.2), 0.1      # printed; of training; points, the criterion of (c)
WAYS = ("correct", "rescaled", "reestimated")
ARMS = ("standard", *(f"{how} {p:g}" for p in TRAINED for how in ("native", "flips")))
PAPERS = "FCNN 100 halved 25"                           # of (b) and (c), with code 0 [C]
Key = tuple[str, int]                                   # arm, input code
STANDARD: tuple[Key, ...] = tuple(("standard", code) for code in CODES)


def setting_of(row: Row) -> str:
    """Of rows with clipped latent weights and the usual initial ones."""
    return f"{row['net']} {row['epochs']} {row['schedule']}" if row["clip"] and row["scale"] == 1 else ""


def settings(*nets: str) -> list[str]:
    """Those that have rows, by network, the shortest first."""
    found = {setting_of(row): (list(ADAPTED).index(row["net"]), row["epochs"]) for row in kept().values()
             if row["net"] in (nets or ADAPTED)}
    return sorted(filter(None, found), key=lambda one: found[one])


def re_estimated_on() -> str:
    """How many training images."""
    few = {DATA[recipe.data]: n for stage in STAGES for recipe in stage.recipes if (n := FULL.reestimated_on(recipe))}
    return ", ".join(["all", *(f"of {data} {n:,}" for data, n in few.items())])


class Group:
    """Networks of one setting, of the n seeds that all of them have, and all of the setting `like`."""

    def __init__(self, setting: str, *keys: Key, like: str = "") -> None:
        every = {(one, key): {row["seed"]: row for row in kept().values() if setting_of(row) == one
                              and (row["arm"], row["code"]) == key}
                 for one in (setting, like or setting) for key in keys}
        seeds = sorted(set.intersection(*map(set, every.values())))
        self.n, self.setting, self.name = len(seeds), setting, with_seeds(setting, len(seeds))
        self.rows = {key: [every[setting, key][seed] for seed in seeds] for key in keys}

    @property
    def net(self) -> str:
        return str(next(iter(self.rows.values()))[0]["net"])

    def right(self, key: Key, rate: float, way: str = "correct") -> np.ndarray:
        """Percent right by seed, means over chips."""
        return curves(self.rows[key], way)[:, at(self.rows[key][0], rate)]

    def mean(self, key: Key, *rates: float) -> np.ndarray:
        """Percent right by way and rate."""
        return np.array([[self.right(key, rate, way).mean() for rate in rates] for way in WAYS])

    def lost(self, key: Key) -> np.ndarray:
        """Points lost by way and rate."""
        return self.mean(key, 0.0) - self.mean(key, *RATES)

    def margin(self, key: Key) -> float:
        """Of the first layer."""
        return float(np.mean([row["margins"][0][1] for row in self.rows[key]]))


def groups(*keys: Key, nets: Iterable[str] = ADAPTED) -> list[Group]:
    """Of every setting that has all these networks."""
    return [group for one in settings(*nets) if (group := Group(one, *keys)).n]
