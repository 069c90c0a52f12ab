"""Binarized dense layers: on packed activations, and on the pixels of the input."""

import math

import numpy as np

from bnnsim.checks import check_images, check_input, check_int
from bnnsim.packed.forward import dense_forward, pixels_dense_forward
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.words import n_words
from bnnsim.training.gradients import Consume, Gradient, dense_dweight, dense_dx, pixels_dense_dweight, scattered
from bnnsim.training.layers.weighted import Weighted


class _Dense(Weighted):
    """What both share: a row of F features."""

    n_features: int

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """A layer of its own."""
        stored.append(PackedLayer("dense", self.n_features, self.words.copy()))


class Dense(_Dense):
    """h = B(W) x for packed x (N, ceil(F / 64)) uint64 -> h (N, U) int32.

    Parameters
    ----------
    n_features, units : int
        F and U.
    generator : numpy.random.Generator
        Draws the initial latent weights.
    """

    takes = "bits"

    def __init__(self, n_features: int, units: int, generator: np.random.Generator) -> None:
        self.n_features, units = check_int("n_features", n_features, 1), check_int("units", units, 1)
        super().__init__((units, self.n_features), self.n_features, units, generator)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(F,) -> (U,)."""
        if tuple(shape) != (self.n_features,):
            raise ValueError(f"Dense({self.n_features} features) cannot follow an output of shape {tuple(shape)}")
        return (self.units,)

    def checked(self, x: np.ndarray) -> np.ndarray:
        """Words (N, ceil(F / 64)) uint64."""
        return check_input("Dense", x, np.uint64, n_words(self.n_features), 2)

    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """(F,)."""
        return (self.n_features,)

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h (N, U) int32."""
        return dense_forward(x, words, self.n_features)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """dx (N, F) float32."""
        return dense_dx(scattered(dout), words, self.n_features, precision)

    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight (U, F), in blocks of rows."""
        dense_dweight(scattered(dout), x, self.n_features, precision, consume)


class InputDense(_Dense):
    """h = B(W) (u - offset) for images u (N, C, H, W) uint8, flattened in H, W, C order -> h (N, U) int32.

    Parameters
    ----------
    input_shape : (C, H, W)
    units : int
    offset : int
        Subtracted from the pixels, 0..255.
    generator : numpy.random.Generator
    """

    takes = "pixels"

    def __init__(self, input_shape: tuple[int, ...], units: int, offset: int,
                 generator: np.random.Generator) -> None:
        self.input_shape, self.n_features = tuple(input_shape), math.prod(input_shape)
        units, self.offset = check_int("units", units, 1), check_int("offset", offset, 0, 255)
        super().__init__((units, self.n_features), self.n_features, units, generator)

    def settings(self) -> dict[str, object]:
        """The offset."""
        return {"offset": self.offset}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, H, W) -> (U,)."""
        if tuple(shape) != self.input_shape:
            raise ValueError(f"InputDense expects images of shape {self.input_shape}, got {tuple(shape)}")
        return (self.units,)

    def checked(self, x: np.ndarray) -> np.ndarray:
        """Images (N, C, H, W) uint8."""
        return check_images(x, self.input_shape)

    def input_size(self, x: np.ndarray) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.input_shape

    def preactivations(self, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """h (N, U) int32."""
        return pixels_dense_forward(x, self.offset, words, self.n_features)

    def input_gradient(self, dout: Gradient, x: np.ndarray, words: np.ndarray,
                       precision: str = "fixed16") -> np.ndarray | None:
        """None: nothing flows back to pixels."""
        return None

    def weight_gradients(self, dout: Gradient, x: np.ndarray, precision: str, consume: Consume) -> None:
        """dweight (U, F), in blocks of rows."""
        pixels_dense_dweight(scattered(dout), x, self.offset, precision, consume)
