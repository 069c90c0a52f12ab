"""Binarized dense layers: on packed activations, and on the pixels of the input."""

import math

import numpy as np

from bnnsim.checks import check_images, check_input, check_int
from bnnsim.packed.forward import dense_forward, pixels_dense_forward
from bnnsim.packed.words import n_words
from bnnsim.training.gradients import dense_dweight, dense_dx, pixels_dense_dweight
from bnnsim.training.layers.weighted import Weighted


class Dense(Weighted):
    """h = B(W) x for packed x (N, ceil(F / 64)) uint64 -> h (N, U) int32.

    Parameters
    ----------
    n_features, units : int
        F and U.
    generator : numpy.random.Generator
        Draws the initial latent weights.
    """

    takes = "bits"

    def __init__(self, n_features, units, generator):
        self.n_features, self.units = check_int("n_features", n_features, 1), check_int("units", units, 1)
        super().__init__((units, n_features), n_features, units, generator)

    def output_shape(self, shape):
        """(F,) -> (U,)."""
        if tuple(shape) != (self.n_features,):
            raise ValueError(f"Dense({self.n_features} features) cannot follow an output of shape {tuple(shape)}")
        return (self.units,)

    def checked(self, x):
        return check_input("Dense", x, np.uint64, n_words(self.n_features), 2)

    def input_size(self, x):
        return (self.n_features,)

    def preactivations(self, x, words):
        return dense_forward(x, words, self.n_features)

    def input_gradient(self, dout, x, words, precision="fixed16"):
        return dense_dx(dout, words, self.n_features, precision)

    def weight_gradients(self, dout, x, precision, consume):
        dense_dweight(dout, x, self.n_features, precision, consume)


class InputDense(Weighted):
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

    def __init__(self, input_shape, units, offset, generator):
        self.input_shape, self.n_features = tuple(input_shape), math.prod(input_shape)
        self.units, self.offset = check_int("units", units, 1), check_int("offset", offset, 0, 255)
        super().__init__((units, self.n_features), self.n_features, units, generator)

    def output_shape(self, shape):
        """(C, H, W) -> (U,)."""
        if tuple(shape) != self.input_shape:
            raise ValueError(f"InputDense expects images of shape {self.input_shape}, got {tuple(shape)}")
        return (self.units,)

    def checked(self, x):
        return check_images(x, self.input_shape)

    def input_size(self, x):
        return self.input_shape

    def preactivations(self, x, words):
        return pixels_dense_forward(x, self.offset, words, self.n_features)

    def input_gradient(self, dout, x, words, precision="fixed16"):
        return None

    def weight_gradients(self, dout, x, precision, consume):
        pixels_dense_dweight(dout, x, self.offset, precision, consume)
