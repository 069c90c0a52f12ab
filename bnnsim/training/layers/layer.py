"""What a layer is: all that a model, its training and `pack` ask of one.

A layer whose weights are bits of a memory is a `weighted.Weighted`, one that normalises pre-activations a
`batchnorm.Norm`: training deals with these two in ways of their own. Everything else, a new kind of convolution too, is
asked of the layer. Shapes exclude the batch: (C, H, W) for images, (H, W, C) for conv activations, (F,) for dense ones.
"""

from abc import abstractmethod
from typing import Any, Protocol

import numpy as np

from bnnsim.packed.layer import PackedLayer
from bnnsim.training.gradients import Gradient


class Layer(Protocol):
    """A layer of a `Sequential` or a `Graph`. What is not abstract here, one that names this its base need not write.

    Attributes
    ----------
    takes, gives : "pixels", "pre-activations", "bits", "reals" or "scores"
        What it reads, or may read ("pre-activations or reals"), and what it makes of it; neighbours must agree.
    parameters : dict of str to float32 array
        What an optimizer updates in place.
    bounds : dict of str to float
        What an update clips a parameter to; where there is none, it is not clipped.
    running : dict of str to float64 array
        What the forward pass of training moves besides: statistics.
    """

    takes: str
    gives: str
    parameters: dict[str, np.ndarray] = {}
    bounds: dict[str, float] = {}
    running: dict[str, np.ndarray] = {}

    @abstractmethod
    def output_shape(self, shape: tuple[int, ...], /) -> tuple[int, ...]:
        """Shape of an output for an input of this shape; ValueError where the layer cannot stand there."""

    def settings(self) -> dict[str, object]:
        """What it computes with besides its arrays, by name: a checkpoint must agree on it. Values become text."""
        return {}

    @abstractmethod
    def forward(self, x: np.ndarray, /) -> np.ndarray:
        """Output with running statistics; stores nothing, so that threads may share a model."""

    @abstractmethod
    def forward_train(self, x: np.ndarray, /) -> tuple[np.ndarray, Any]:
        """Output with statistics of this batch, by the same kernels; and the cache, which is what `backward` needs."""

    @abstractmethod
    def backward(self, dout: Gradient, cache: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """dx, of several inputs a tuple of them, None of pixels; and gradients of the parameters, by name.

        All are float32; a parameter's has as many numbers as that. They are valid until the next call.
        """

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """Fold what it computes into the last of the stored layers before it; one with weights adds a new one.

        input_offset : of the pixels that the stored layer reads; None where it reads bits
        """
        raise TypeError(f"cannot pack a layer of type {type(self).__name__}: give it a `pack_into` that folds what it "
                        "computes into the stored layer before it")      # better no network than a wrong one


def checked_gradient(layer: Layer, i: int, name: str, gradient: object) -> np.ndarray:
    """The gradient that layer number `i` gave for one of its parameters: float32, of its size, C-contiguous.

    Optimizers take their first numbers for what they are handed: of another size they would learn something else.
    """
    what = f"the gradient of {name!r}, of layer {i}, {type(layer).__name__},"
    if name not in layer.parameters:
        raise ValueError(f"{what} must be of one of its parameters, {', '.join(layer.parameters) or 'but it has none'}")
    value = layer.parameters[name]
    if not isinstance(gradient, np.ndarray) or gradient.dtype != np.float32:
        came = gradient.dtype if isinstance(gradient, np.ndarray) else type(gradient).__name__
        raise TypeError(f"{what} must be an array of float32, got {came}: let `backward` end with .astype(np.float32)")
    if gradient.size != value.size:
        raise ValueError(f"{what} must have shape {value.shape} as the parameter has, got {gradient.shape}: let "
                         "`backward` sum over the batch")
    return np.ascontiguousarray(gradient)
