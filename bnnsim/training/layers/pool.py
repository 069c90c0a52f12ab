"""Layers without parameters: max-pooling of pre-activations, and flattening of packed conv activations."""

import numpy as np

import bnnsim.kernels.gradients.pool as pool
from bnnsim.checks import check_array, check_input, check_int
from bnnsim.kernels import empty, split
from bnnsim.packed.words import n_words, repack
from bnnsim.training.gradients import scattered


class MaxPool2d:
    """Max-pool h (N, H, W, C) int32 over size x size windows, stride = size; ties go to the window's first entry."""

    parameters = {}
    takes = gives = "pre-activations"

    def __init__(self, size=2):
        self.size = check_int("size", size, 1, 15)

    def output_shape(self, shape):
        """(H, W, C) -> (H // size, W // size, C)."""
        if len(shape) != 3 or min(shape[:2]) < self.size:
            raise ValueError(f"MaxPool2d({self.size}) needs an input (H, W, C) of at least {self.size} x {self.size}, "
                             f"got {tuple(shape)}")
        return (shape[0] // self.size, shape[1] // self.size, shape[2])

    def forward(self, x):
        return self.forward_train(x)[0]

    def forward_train(self, x):
        x = check_input("MaxPool2d", x, np.int32, np.shape(x)[-1] if np.ndim(x) else 0, 4)
        out = empty((len(x), *self.output_shape(x.shape[1:])), np.int32)
        winner = empty(out.shape, np.uint8)
        split(pool.max_pool, len(x), x, self.size, out, winner)
        return out, (winner, x.shape)

    def backward(self, dout, cache):
        """dh is a `Pooled`: the gradient and the winners, from which a convolution reads what it needs."""
        winner, shape = cache
        dout = check_array("dout of MaxPool2d", scattered(dout), np.float32, winner.shape)
        return pool.Pooled(dout, winner, self.size, shape), {}


class Flatten:
    """Packed activations (N, H, W, ceil(C / 64)) -> (N, ceil(H * W * C / 64)), features in H, W, C order."""

    parameters = {}
    takes = gives = "bits"

    def __init__(self, n_channels):
        self.n_channels = check_int("n_channels", n_channels, 1)

    def output_shape(self, shape):
        """(H, W, C) -> (H * W * C,)."""
        if len(shape) != 3 or shape[2] != self.n_channels:
            raise ValueError(f"Flatten of {self.n_channels} channels cannot follow an output of shape {tuple(shape)}")
        return (shape[0] * shape[1] * shape[2],)

    def forward(self, x):
        x = check_input("Flatten", x, np.uint64, n_words(self.n_channels), 4)
        return repack(x.reshape(len(x), -1, x.shape[-1]), self.n_channels)

    def forward_train(self, x):
        return self.forward(x), x.shape

    def backward(self, dout, cache):
        return dout.reshape(*cache[:3], self.n_channels), {}
