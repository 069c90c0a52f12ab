"""Optimizers: they update parameters in place, and clip latent weights to [-1, 1].

An optimizer of your own is any `Optimizer`; its moments stand in ``state[key]``, by the key of the parameter, where
checkpoints find them. One that is `ByParts` too is handed the gradients of layers with weights a few rows at a time,
while they are in cache, and these gradients are never stored whole.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

import bnnsim.kernels.gradients.optimizer_steps as optimizer_steps
from bnnsim.checks import check_real
from bnnsim.kernels import split
from bnnsim.training.elementary import power
from bnnsim.training.plug_ins import check_plug_in

Moments = dict[str, np.ndarray]
OnPart = Callable[[int, np.ndarray], None]


class Optimizer(Protocol):
    """What turns gradients into steps. Keys are "0.weight", "1.gamma": the layer's number and the parameter's name."""

    learning_rate: float
    state: dict[str, Moments]

    def moments_of(self, key: str) -> tuple[str, ...]:
        """Names of the moments of a parameter: those in ``state[key]`` from its first step on, float32 (size,) each."""

    def update(self, key: str, value: np.ndarray, gradient: np.ndarray, factor: float, step: int,
               bound: float) -> None:
        """Step number `step` (from 1) on one parameter, `value`, in place, at learning_rate * factor.

        gradient : float32, of the size of `value`; valid during this call alone
        bound : the result is clipped to [-bound, bound]: 1 for latent weights, else infinity
        """


@runtime_checkable
class ByParts(Optimizer, Protocol):
    """An optimizer whose step on one number needs that number's gradient and moments only."""

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on): called once a part, in any order.

        Several threads call it at once, for parts that do not overlap.
        """


def check_optimizer(optimizer: Optimizer | None, going_on: bool = False) -> Optimizer:
    """An optimizer, without moments of another run but where that goes on; Adam where none is given."""
    optimizer = Adam() if optimizer is None else optimizer
    check_plug_in("optimizer", optimizer, ("update", "moments_of"), "bnnsim.optimizers.Adam()",
                  ("learning_rate", "state"))
    if optimizer.state and not going_on:
        raise ValueError("optimizer must be a new one: this one has the moments of another run, which only a run with "
                         "initial_epoch goes on from")
    return optimizer


def _moments(state: dict[str, Moments], key: str, names: tuple[str, ...], size: int) -> list[np.ndarray]:
    if key not in state:
        state[key] = {name: np.zeros(size, np.float32) for name in names}
    return [state[key][name] for name in names]


class _Elementwise:
    """`update`, by `on_parts` in the threads of `split`."""

    moments: tuple[str, ...] = ()

    def moments_of(self, key: str) -> tuple[str, ...]:
        """Names of the moments of the parameter `key`."""
        return self.moments

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        raise NotImplementedError

    def update(self, key: str, value: np.ndarray, gradient: np.ndarray, factor: float, step: int,
               bound: float) -> None:
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
    state: dict[str, Moments] = field(default_factory=dict, repr=False, compare=False)

    moments = ("first", "second")

    def __post_init__(self) -> None:
        check_real("learning_rate", self.learning_rate, 0, open_low=True)
        for name in ("beta1", "beta2"):
            if not 0 <= check_real(name, getattr(self, name)) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        check_real("eps", self.eps, 0, open_low=True)

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        return self._on_parts(optimizer_steps.adam_step, key, value, factor, step, bound)

    def _on_parts(self, kernel: Callable[..., None], key: str, value: np.ndarray, factor: float, step: int,
                  *settings: float) -> OnPart:
        """`on_parts` by a kernel that takes Adam's settings, and then these."""
        flat, (first, second) = value.reshape(-1), _moments(self.state, key, self.moments, value.size)
        step_size = self.learning_rate * factor / (1.0 - power(self.beta1, step))
        second_scale = 1.0 / math.sqrt(1.0 - power(self.beta2, step))
        all_settings = list(map(np.float32, (self.beta1, self.beta2, step_size, second_scale, self.eps, *settings)))

        def on_part(start: int, gradient: np.ndarray) -> None:
            part = slice(start, start + gradient.size)
            kernel(flat[part], gradient, first[part], second[part], *all_settings, 0, gradient.size)

        return on_part


@dataclass
class Metaplastic(Adam):
    """Adam whose latent weights are the harder to bring back to zero the farther from it they are.

    What an update takes from a latent weight is multiplied by 1 - tanh(m W)^2 where it moves W towards zero, and is
    Adam's where it moves W away: a weight that many steps agreed on keeps its sign when a next task is learnt. Batch
    norm's parameters are Adam's, and so is everything at m = 0, bit for bit. Equations, and what each task is to keep
    of its own: docs/frontier/two_tasks.rst.

    Parameters
    ----------
    learning_rate, beta1, beta2, eps : float
        Of `Adam`.
    m : float, >= 0
        Latent weights, their learning rate and 1 / m have one unit, in which c (m), 1/c (the others) train the same
        binary weights [D]. The default with Adam's 1e-3 is 1.5 with 0.005, as for MNIST then Fashion-MNIST in the
        authors' code [C]; they bound no weight, and their 5 is the bound of 1 here.

    References
    ----------
    A. Laborieux, M. Ernoult, T. Hirtzlin and D. Querlioz, "Synaptic metaplasticity in binarized neural networks",
    Nat. Commun. 12:2549, 2021, arXiv:2003.03533; the update is that of their code, class Adam_meta [C].

    Examples
    --------
    >>> import numpy as np
    >>> value = np.array([0.2, -0.2], np.float32)                          # both are pushed down
    >>> Metaplastic(0.1).update("0.weight", value, np.ones(2, np.float32), 1.0, 1, 1.0)
    >>> print(", ".join(f"{each:.4f}" for each in value))
    0.1819, -0.3000
    """

    m: float = field(default=7.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("m", self.m, 0)

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        if not math.isfinite(bound):                             # no latent weight
            return super().on_parts(key, value, factor, step, bound)
        return self._on_parts(optimizer_steps.metaplastic_step, key, value, factor, step, bound, 2.0 * self.m)


@dataclass
class Sgd(_Elementwise):
    """Stochastic gradient descent with momentum: v = momentum * v + g; w -= learning_rate * v."""

    learning_rate: float = 0.1
    momentum: float = 0.9
    state: dict[str, Moments] = field(default_factory=dict, repr=False, compare=False)

    moments = ("velocity",)

    def __post_init__(self) -> None:
        check_real("learning_rate", self.learning_rate, 0, open_low=True)
        if not 0 <= check_real("momentum", self.momentum) < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        flat, (velocity,) = value.reshape(-1), _moments(self.state, key, self.moments, value.size)
        settings = list(map(np.float32, (self.momentum, self.learning_rate * factor, bound)))

        def on_part(start: int, gradient: np.ndarray) -> None:
            part = slice(start, start + gradient.size)
            optimizer_steps.momentum_step(flat[part], gradient, velocity[part], *settings, 0, gradient.size)

        return on_part


@dataclass
class Bop(_Elementwise):
    """Bop, which has no latent weights: a binary weight flips where a moving average of its gradient insists.

    m = (1 - gamma) * m + gamma * gradient; w = -w where |m| >= tau and sign(m) = sign(w): algorithm 1 [M: recalled;
    the authors' code flips where w * m > tau, C]. The layers' latent weights are +-1 from the first step on. Batch
    norm's parameters are Adam's. A schedule's factor multiplies gamma and Adam's learning rate alike; the authors decay
    gamma [C].

    Parameters
    ----------
    gamma : float in (0, 1]
        Adaptivity rate.
    tau : float, > 0
        Threshold. Gradients here are of the mean loss over a batch, as in the authors' code.
    learning_rate : float
        Adam's, for batch norm.

    References
    ----------
    K. Helwegen et al., "Latent weights do not exist: rethinking binarized neural network optimization", NeurIPS 2019,
    arXiv:1906.02107. gamma = 1e-3, tau = 1e-6, and Adam at 0.01, stand in the authors' code for their study of these
    two; their CIFAR-10 result has 1e-4 and 1e-8 [C].
    """

    gamma: float = 1e-3
    tau: float = 1e-6
    learning_rate: float = 1e-2
    state: dict[str, Moments] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_real("gamma", self.gamma, 0, 1, open_low=True)
        check_real("tau", self.tau, 0, open_low=True)
        self._adam = Adam(self.learning_rate, state=self.state)

    def moments_of(self, key: str) -> tuple[str, ...]:
        """Names of the moments of the parameter `key`."""
        return ("momentum",) if key.endswith(".weight") else self._adam.moments

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        if not key.endswith(".weight"):
            return self._adam.on_parts(key, value, factor, step, bound)
        flat, (momentum,) = value.reshape(-1), _moments(self.state, key, self.moments_of(key), value.size)
        settings = np.float32(self.gamma * factor), np.float32(self.tau)

        def on_part(start: int, gradient: np.ndarray) -> None:
            part = slice(start, start + gradient.size)
            optimizer_steps.bop_step(flat[part], gradient, momentum[part], *settings, 0, gradient.size)

        return on_part
