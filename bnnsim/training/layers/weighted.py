"""What layers with weights share: latent weights, the bits they stand for, and reading those bits from a memory."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.words.packing as packing
from bnnsim.checks import check_array
from bnnsim.packed.words import pack_latent
from bnnsim.training.gradients import Consume, Gradient
from bnnsim.training.layers.layer import Layer
from bnnsim.training.optimizers import OnPart


class WeightedCache(NamedTuple):
    """What the backward pass of weights needs: the input, the words that were read, and the mask of `forward_train`."""

    x: np.ndarray
    words: np.ndarray
    mask: np.ndarray | None


class Weighted(Layer):
    """A layer with latent float32 weights (U, ..., F) in [-1, 1], stored as packed words (U, ..., ceil(F / 64)).

    It is to the memory what `packed.memory.StoredBits` is: ``words``, and how many bits they hold.

    Parameters
    ----------
    shape : tuple of int
        Of the latent weights.
    fan_in, fan_out : int
        For the initial weights, uniform in +-sqrt(1.5 / (fan_in + fan_out)) [C: the code of Buschjaeger et al. 2020].
    generator : numpy.random.Generator
    """

    gives = "pre-activations"
    bounds = {"weight": 1.0}

    def __init__(self, shape: tuple[int, ...], fan_in: int, fan_out: int, generator: np.random.Generator) -> None:
        bound = np.sqrt(1.5 / (fan_in + fan_out))
        weight = 2 * bound * generator.random(shape) - bound    # not `uniform`, whose C code may fuse the two roundings
        self.parameters = {"weight": weight.astype(np.float32)}
        self.gradient = np.zeros(shape, np.float32)            # reused at every step: it is as large as the weights
        self.refresh()

    @property
    def units(self) -> int:
        """U, or K output channels."""
        return len(self.words)

    @property
    def n_in(self) -> int:
        """Bits of a row of words."""
        return self.parameters["weight"].shape[-1]

    @property
    def fan_in(self) -> int:
        """Weights of one unit."""
        return self.parameters["weight"][0].size

    @property
    def n_bits(self) -> int:
        """Binary weights: what a memory stores."""
        return self.parameters["weight"].size

    def refresh(self) -> None:
        """Pack the latent weights' signs anew: after each update."""
        self.words = pack_latent(self.parameters["weight"])

    @abstractmethod
    def checked(self, x: np.ndarray) -> np.ndarray:
        """An input, once it is one that the kernels can read."""

    @abstractmethod
    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """Shape of one of the inputs x, as `output_shape` takes it."""

    @abstractmethod
    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h int32 (N, ..., U) of x by these words."""

    @abstractmethod
    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """dx by these words; None of pixels."""

    @abstractmethod
    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight (rows, F), handed to ``consume(first row, rows)`` in blocks."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Pre-activations int32 of x."""
        return self.preactivations(self.checked(x), self.words)

    def forward_train(self, x: np.ndarray, words: np.ndarray | None = None,
                      mask: np.ndarray | None = None) -> tuple[np.ndarray, WeightedCache]:
        """Pre-activations from `words` as read from a memory (None: the stored ones), and the cache.

        mask : words of the flipped bits if the weight gradient is to see them ("native"), else None.
        """
        x, words = self.checked(x), self.words if words is None else words
        return self.preactivations(x, words), WeightedCache(x, words, mask)

    def backward(self, dout: Gradient, cache: WeightedCache,
                 precision: str = "fixed16") -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """dx from the words that the forward pass read; dweight from x, and from `mask` where there is one.

        precision : "fixed16" or "float32"
            Round dout to 16 bits once and sum exactly (see `kernels.gradients.fixed_point`), or sum float32 in float32.
        """
        rows = self.gradient.reshape(-1, self.gradient.shape[-1])

        def keep(first: int, gradient: np.ndarray) -> None:
            if not np.shares_memory(gradient, rows):
                rows[first:first + len(gradient)] = gradient

        return self._backward(dout, cache, precision, keep), {"weight": self.gradient}

    def backward_update(self, dout: Gradient, cache: WeightedCache, precision: str,
                        on_part: OnPart) -> np.ndarray | None:
        """dx; each weight is updated, clipped and packed as soon as its gradient is there, which is stored nowhere.

        on_part : function (start, gradient)
            An optimizer's step on the flat weights from `start` on: see `optimizers`.
        """
        weight = self.parameters["weight"].reshape(-1, self.n_in)
        words = np.empty((len(weight), self.words.shape[-1]), np.uint64)

        def update(first: int, gradient: np.ndarray) -> None:
            last = first + len(gradient)
            on_part(first * weight.shape[1], gradient.reshape(-1))
            packing.pack_latent(weight[first:last], words[first:last], 0, len(gradient))

        dx = self._backward(dout, cache, precision, update)
        self.words = words.reshape(self.words.shape)
        return dx

    def _backward(self, dout: Gradient, cache: WeightedCache, precision: str, consume: Consume) -> np.ndarray | None:
        """dx; rows of dweight, straight through the sign (B(W) := W), go to ``consume(first, rows)`` in blocks."""
        x, words, mask = cache
        self._check_gradient(dout, (len(x), *self.output_shape(self.input_size(x))))
        dx = self.input_gradient(dout, x, words, precision)
        self.weight_gradients(dout, x, precision, consume if mask is None else _masked(mask, consume))
        return dx

    def _check_gradient(self, dout: Gradient, shape: tuple[int, ...]) -> None:
        """Refuse a gradient of another shape or type; one that stands behind a max-pool has its shape."""
        if not (isinstance(dout, pool.Pooled) and dout.shape == shape):
            check_array(f"dout of {type(self).__name__}", dout, np.float32, shape)


def _masked(mask: np.ndarray, consume: Consume) -> Callable[[int, np.ndarray], None]:
    """`consume` behind the native gradient's mask: dW = M * (dH X^T)."""
    mask_rows = mask.reshape(-1, mask.shape[-1])

    def masked(first: int, gradient: np.ndarray) -> None:
        packing.negate_masked(mask_rows[first:first + len(gradient)], gradient, 0, len(gradient))
        consume(first, gradient)

    return masked
