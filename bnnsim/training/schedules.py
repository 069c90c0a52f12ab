"""Learning rates over epochs."""

import math
from dataclasses import dataclass

from bnnsim.checks import check_int, check_real


@dataclass(frozen=True)
class Constant:
    """No decay."""

    def factor(self, epoch, n_epochs):
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """From 1 at the start to 0 at the end: (1 + cos(pi * epoch / n_epochs)) / 2."""

    def factor(self, epoch, n_epochs):
        return 0.5 * (1.0 + math.cos(math.pi * min(epoch / n_epochs, 1.0)))


@dataclass(frozen=True)
class Step:
    """Multiplied by `gamma` every `every` epochs: 0.5 every 25 in Buschjaeger et al. 2020 [C]."""

    every: int = 25
    gamma: float = 0.5

    def __post_init__(self):
        check_int("every", self.every, 1)
        check_real("gamma", self.gamma, 0, 1, open_low=True)

    def factor(self, epoch, n_epochs):
        return self.gamma ** int(epoch // self.every)


@dataclass(frozen=True)
class Exponential:
    """Multiplied by `gamma` every epoch, smoothly: gamma ** epoch."""

    gamma: float = 0.9

    def __post_init__(self):
        check_real("gamma", self.gamma, 0, 1, open_low=True)

    def factor(self, epoch, n_epochs):
        return self.gamma ** epoch
