"""Layers without parameters: max-pooling of pre-activations, and flattening of packed conv activations."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.gradients.pool as pool
from bnnsim.checks import check_array, check_input, check_int
from bnnsim.kernels import empty, split
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.words import n_words, repack
from bnnsim.training.gradients import Gradient, scattered
from bnnsim.training.layers.layer import Layer


class PoolCache(NamedTuple):
    """What the backward pass of a max-pool needs: which entry of each window won (N, OH, OW, C), and h's shape."""

    winner: np.ndarray
    shape: tuple[int, ...]


class MaxPool2d(Layer):
    """Max-pool h (N, H, W, C) int32 over size x size windows, stride = size; ties go to the window's first entry."""

    takes = gives = "pre-activations"

    def __init__(self, size: int = 2) -> None:
        self.size = check_int("size", size, 1, 15)

    def settings(self) -> dict[str, object]:
        """The size."""
        return {"size": self.size}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (H // size, W // size, C)."""
        if len(shape) != 3 or min(shape[:2]) < self.size:
            raise ValueError(f"MaxPool2d({self.size}) needs an input (H, W, C) of at least {self.size} x {self.size}, "
                             f"got {tuple(shape)}")
        return (shape[0] // self.size, shape[1] // self.size, shape[2])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The largest of each window (N, OH, OW, C) int32."""
        return self.forward_train(x)[0]

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, PoolCache]:
        """The largest of each window, and which it was."""
        x = check_input("MaxPool2d", x, np.int32, np.shape(x)[-1] if np.ndim(x) else 0, 4)
        out = empty((len(x), *self.output_shape(x.shape[1:])), np.int32)
        winner = empty(out.shape, np.uint8)
        split(pool.max_pool, len(x), x, self.size, out, winner)
        return out, PoolCache(winner, x.shape)

    def backward(self, dout: Gradient, cache: PoolCache) -> tuple[pool.Pooled, dict[str, np.ndarray]]:
        """dh is a `Pooled`: the gradient and the winners, from which a convolution reads what it needs."""
        winner, shape = cache
        dout = check_array("dout of MaxPool2d", scattered(dout), np.float32, winner.shape)
        return pool.Pooled(dout, winner, self.size, shape), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int) -> None:
        """Pooling is part of the convolution; of windows of windows too, exactly, remainders included."""
        stored[-1] = replace(stored[-1], pool=stored[-1].pool * self.size)


class Flatten(Layer):
    """Packed activations (N, H, W, ceil(C / 64)) -> (N, ceil(H * W * C / 64)), features in H, W, C order."""

    takes = gives = "bits"

    def __init__(self, n_channels: int) -> None:
        self.n_channels = check_int("n_channels", n_channels, 1)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (H * W * C,)."""
        if len(shape) != 3 or shape[2] != self.n_channels:
            raise ValueError(f"Flatten of {self.n_channels} channels cannot follow an output of shape {tuple(shape)}")
        return (math.prod(shape),)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The same bits in a row (N, ceil(H * W * C / 64))."""
        x = check_input("Flatten", x, np.uint64, n_words(self.n_channels), 4)
        return repack(x.reshape(len(x), -1, x.shape[-1]), self.n_channels)

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """The same bits in a row; the cache is the input's shape."""
        return self.forward(x), x.shape

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dx (N, H, W, C) float32."""
        shape = (*cache[:3], self.n_channels)
        return check_array("dout of Flatten", dout, np.float32, (shape[0], math.prod(shape[1:]))).reshape(shape), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int) -> None:
        """A stored dense layer reads its features in this order as it is."""
