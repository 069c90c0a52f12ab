"""Wrong activations, wrong popcounts and wrong products, drawn anew for each image that a network reads.

n summands of a pre-activation h, of which a are +1: a popcount, h = 2 a - n. Equations: the page on errors elsewhere in
docs/frontier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import bnnsim.kernels.memory.read_errors as read_errors
from bnnsim.checks import check_int, clean_fields
from bnnsim.faults.at_read import AtRead
from bnnsim.faults.axis import BER
from bnnsim.faults.by_layer import Rates
from bnnsim.faults.step_tables import Steps, normal, off_by, sensed
from bnnsim.kernels import split
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.stages import Stage


@dataclass(frozen=True, repr=False)
class ActivationErrors(AtRead):
    """Each bit that a hidden layer gives is wrong with probability p, for each image anew: of buffers, or of wires.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
    layers : sequence of int, optional
        Those whose outputs have errors; all hidden ones by default.
    rate : float, optional
        Where p is one a layer: the largest of them.

    References
    ----------
    Activations apart from weights: Yang et al., ISCAS 2018; in training: arXiv:1905.10927 [V: abstracts].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_cnn")
    >>> test = bnnsim.load_embedded()[1][:200]
    >>> errors = bnnsim.faults.ActivationErrors(0.1)
    >>> errors.apply(network, 1).accuracy(test) < network.accuracy(test)
    True
    """

    p: Rates
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = f"{BER}_of_activations"
    STREAM: ClassVar[str] = "activation errors"
    OF_SUMS: ClassVar[bool] = False

    def of_bits(self, stage: Stage, rate: float, words: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Words with flips, as those of weights are drawn."""
        rows = words.reshape(-1, words.shape[-1])
        return (rows ^ flip_masks(len(rows), stage.output_shape[-1], rate, key)).reshape(words.shape)


@dataclass(frozen=True, repr=False)
class PopcountErrors(AtRead):
    """Each popcount is wrong with probability p: one more or one less, which is as likely; h moves by 2.

    Layers that read pixels count nothing and have none; one rate for all leaves them out. Counts stay within 0 .. n.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
    layers : sequence of int, optional
    rate : float, optional
        Where p is one a layer: the largest of them.
    step : int
        By how much a wrong count is off.
    """

    p: Rates
    layers: Sequence[int] | None = None
    step: int = 1

    MOVES: ClassVar[str] = "share_of_wrong_popcounts"
    STREAM: ClassVar[str] = "popcount errors"
    OF_SUMS: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_int, "step", low=1, high=2**20)

    def of_sums(self, stage: Stage, rate: float, h: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Sums with errors: draws below p / 2 are less, the uppermost p / 2 more."""
        return _moved(stage, h, off_by(self.step, rate), key)


@dataclass(frozen=True, repr=False)
class PopcountNoise(AtRead):
    """A normal error of each popcount, of an analog circuit: its standard deviation is a share of n, rounded to counts.

    Parameters
    ----------
    spread : float, or a sequence of one float a layer
        Of the error over the number n of summands.
    layers : sequence of int, optional
    rate : float, optional
        Where spread is one a layer: the largest of them.
    """

    spread: Rates
    layers: Sequence[int] | None = None

    RATES: ClassVar[tuple[str, ...]] = ("spread",)
    AXIS: ClassVar[str] = "spread"
    MOVES: ClassVar[str] = "popcount_noise_as_share_of_summands"
    STREAM: ClassVar[str] = "popcount noise"
    OF_SUMS: ClassVar[bool] = True

    def of_sums(self, stage: Stage, rate: float, h: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Sums with errors."""
        return _moved(stage, h, normal(tuple(np.maximum(rate * stage.border[1], 1e-9).tolist())), key)


@dataclass(frozen=True, repr=False)
class SenseErrors(AtRead):
    """Each product of a weight and an input is sensed wrong with probability p, whenever it is: at every position anew.

    A layer of bits senses n products for a sum, of which the errors take binomial(a, p) from the +1 and
    binomial(n - a, p) from the -1 [D]. Stored bits are sensed once a read by `EachRead`; a layer that reads pixels
    senses no products and has none here: ``EachRead(BitFlips(p, layers=(0,)))``.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
    layers : sequence of int, optional
    rate : float, optional
        Where p is one a layer: the largest of them.
    """

    p: Rates
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = f"{BER}_of_reads"
    STREAM: ClassVar[str] = "sense errors"
    OF_SUMS: ClassVar[bool] = True

    def of_sums(self, stage: Stage, rate: float, h: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Sums with errors: one draw each, from the table of its number of +1."""
        return _moved(stage, h, sensed(tuple(stage.border[1].tolist()), rate), key, True)


def _moved(stage: Stage, h: np.ndarray, steps: Steps, key: np.ndarray, by_sum: bool = False) -> np.ndarray:
    """h (N, P, U) moved in place; tables are one for all, one a kind of border, or one for each sum of each kind."""
    kind, n_summands = stage.border
    table_at = np.zeros_like(kind)
    if by_sum:
        table_at = np.concatenate([[0], np.cumsum(n_summands + 1)[:-1]])[kind]
    elif len(steps.tables) > 1:
        table_at = kind
    rows = h.reshape(-1, h.shape[-1])
    split(read_errors.moved_sums, len(rows), rows, n_summands[kind], table_at.astype(np.int64), by_sum, steps.tables,
          steps.least, steps.guide, key[0], key[1])
    return rows.reshape(h.shape)
