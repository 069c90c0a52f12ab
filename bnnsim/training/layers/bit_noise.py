"""Wrong activations in training: a layer of its own behind a sign, which flips bits in forward passes of training."""

from collections.abc import Iterable

import numpy as np

from bnnsim.checks import check_array, check_input, check_int, check_probability
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.words import n_words
from bnnsim.seeding import RandomSource, child_root, root_seed, stream_key
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.batchnorm import BatchNormSign
from bnnsim.training.layers.layer import Layer


class BitNoise(Layer):
    """Packed activations (..., ceil(C / 64)), each bit of which is wrong with probability p where a step is trained.

    Evaluation and the packed network have no such errors. Gradients pass straight through, as those of weights do that
    are read wrong [D]. The errors of a step are drawn by (root seed, "bit noise", number of the step): how many steps
    there were is stored with what training moves, so that a resumed training draws on.

    Parameters
    ----------
    n_channels : int
        C, of what the layer before gives.
    p : float
    rng : None, int, SeedSequence or Generator
        The root seed; two of these layers need two.

    References
    ----------
    Errors of some percent in training do no harm: arXiv:1905.10927 [V: abstract].
    """

    takes = gives = "bits"

    def __init__(self, n_channels: int, p: float, rng: RandomSource = None) -> None:
        self.n_channels, self.p = check_int("n_channels", n_channels, 1), check_probability("p", p)
        self.root = root_seed(rng)
        self.running = {"steps": np.zeros(1)}

    def settings(self) -> dict[str, object]:
        """The probability, and the root seed."""
        return {"p": self.p, "root": self.root}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As it is."""
        if shape[-1] != self.n_channels:
            raise ValueError(f"BitNoise of {self.n_channels} channels cannot follow an output of shape {tuple(shape)}")
        return shape

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The bits as they are."""
        return check_input("BitNoise", x, np.uint64, n_words(self.n_channels))

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """The bits with this step's errors; the cache is the shape of their gradient."""
        x = self.forward(x)
        step = int(self.running["steps"][0])
        self.running["steps"][0] += 1
        rows = x.reshape(-1, x.shape[-1])
        masks = flip_masks(len(rows), self.n_channels, self.p, stream_key(self.root, "bit noise", step))
        return (rows ^ masks).reshape(x.shape), (*x.shape[:-1], self.n_channels)

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dout."""
        return check_array("dout of BitNoise", dout, np.float32, cache), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """Nothing: a packed network has errors where a fault says so."""


def with_bit_noise(layers: Iterable[Layer], p: float, rng: RandomSource = None) -> list[Layer]:
    """Layers of a `Sequential` with `BitNoise` behind each sign, so that all hidden activations err in training.

    Parameters
    ----------
    layers : iterable of Layer
        Such as ``model.layers``; they are shared, not copied.
    p : float
    rng : None, int, SeedSequence or Generator

    Examples
    --------
    >>> import bnnsim
    >>> model = bnnsim.architectures.build("FC32 FC10", (1, 8, 8), rng=0)
    >>> noisy = bnnsim.Sequential(with_bit_noise(model.layers, 0.03, rng=0), model.input_shape)
    >>> [type(layer).__name__ for layer in noisy.layers]
    ['InputDense', 'BatchNormSign', 'BitNoise', 'Dense', 'BatchNorm']
    """
    p, root, found = check_probability("p", p), root_seed(rng), list[Layer]()
    for layer in layers:
        found.append(layer)
        if isinstance(layer, BatchNormSign):
            found.append(BitNoise(layer.units, p, child_root(root, "bit noise", len(found))))
    return found
