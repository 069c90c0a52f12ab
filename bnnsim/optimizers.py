"""Optimizers, which update parameters in place and clip latent weights to [-1, 1]; and learning-rate schedules.

A schedule is a frozen dataclass with ``factor(epoch, n_epochs)``: what the learning rate is multiplied by at a
(fractional) epoch. An optimizer keeps its moments in ``state[key]``, flat arrays by name, made at the first step. It
has ``update(key, value, gradient, factor, step, bound)``; one that also has ``on_parts`` is handed the gradients of
large layers a few rows at a time, while they are in cache, and they are never stored whole.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from bnnsim.checks import check_int, check_real
from bnnsim.kernels import adam, split


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


def _moments(state, key, names, size):
    if key not in state:
        state[key] = {name: np.zeros(size, np.float32) for name in names}
    return [state[key][name] for name in names]


class _Elementwise:
    """An optimizer whose step on one number needs that number's gradient and moments only."""

    def update(self, key, value, gradient, factor, step, bound):
        """One step (numbered from 1) on one parameter, at learning_rate * factor, clipped to [-bound, bound]."""
        on_part, gradient = self.on_parts(key, value, factor, step, bound), gradient.reshape(-1)
        split(lambda start, stop: on_part(start, gradient[start:stop]), value.size)


@dataclass
class Adam(_Elementwise):
    """Adam (Kingma & Ba 2015, algorithm 1); float32 moments."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    state: dict = field(default_factory=dict, repr=False, compare=False)

    moments = ("first", "second")

    def __post_init__(self):
        check_real("learning_rate", self.learning_rate, 0, open_low=True)
        for name in ("beta1", "beta2"):
            if not 0 <= check_real(name, getattr(self, name)) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        check_real("eps", self.eps, 0, open_low=True)

    def on_parts(self, key, value, factor, step, bound):
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        flat, (first, second) = value.reshape(-1), _moments(self.state, key, self.moments, value.size)
        step_size = self.learning_rate * factor / (1.0 - self.beta1 ** step)
        second_scale = 1.0 / math.sqrt(1.0 - self.beta2 ** step)
        settings = list(map(np.float32, (self.beta1, self.beta2, step_size, second_scale, self.eps, bound)))

        def on_part(start, gradient):
            part = slice(start, start + gradient.size)
            adam.adam_step(flat[part], gradient, first[part], second[part], *settings, 0, gradient.size)

        return on_part


@dataclass
class Sgd(_Elementwise):
    """Stochastic gradient descent with momentum: v = momentum * v + g; w -= learning_rate * v."""

    learning_rate: float = 0.1
    momentum: float = 0.9
    state: dict = field(default_factory=dict, repr=False, compare=False)

    moments = ("velocity",)

    def __post_init__(self):
        check_real("learning_rate", self.learning_rate, 0, open_low=True)
        if not 0 <= check_real("momentum", self.momentum) < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")

    def on_parts(self, key, value, factor, step, bound):
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        flat, (velocity,) = value.reshape(-1), _moments(self.state, key, self.moments, value.size)
        settings = list(map(np.float32, (self.momentum, self.learning_rate * factor, bound)))

        def on_part(start, gradient):
            part = slice(start, start + gradient.size)
            adam.momentum_step(flat[part], gradient, velocity[part], *settings, 0, gradient.size)

        return on_part
