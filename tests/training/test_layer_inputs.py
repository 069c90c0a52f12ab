"""What layers are given is checked: kernels have no bounds check, and would read memory that is not theirs."""

import numpy as np
import pytest

import bnnsim.training.architectures as architectures
import bnnsim.training.layers as layers

RNG = np.random.default_rng(0)
DENSE, CONV, POOL, NORM = (layers.Dense(130, 8, RNG), layers.Conv2d(70, 8, generator=RNG), layers.MaxPool2d(2),
                           layers.BatchNormSign(8))
PIXELS = layers.InputConv2d(1, 4, offset=0, generator=RNG)


def words(*shape):
    return np.zeros(shape, np.uint64)


def ints(*shape):
    return np.zeros(shape, np.int32)


def backward(layer, x, shape):
    cache = layer.forward_train(x)[1]
    return layer.backward(np.zeros(shape, np.float32), cache)


BAD = [
    (lambda: DENSE.forward(words(5, 1)), ValueError, "last 3 long"),
    (lambda: DENSE.forward_train(words(5, 2, 3)), ValueError, "2 axes"),
    (lambda: DENSE.forward(ints(5, 3)), TypeError, "uint64"),
    (lambda: DENSE.forward([[1, 2, 3]]), TypeError, "uint64 array, got list"),
    (lambda: CONV.forward(words(2, 6, 6, 1)), ValueError, "last 2 long"),
    (lambda: CONV.forward(words(6, 6, 2)), ValueError, "4 axes"),
    (lambda: POOL.forward(words(2, 6, 6, 1)), TypeError, "int32"),
    (lambda: POOL.forward(ints(2, 6, 6)), ValueError, "4 axes"),
    (lambda: NORM.forward(ints(4, 9)), ValueError, "last 8 long"),
    (lambda: NORM.forward_train(np.zeros((4, 8))), TypeError, "int32"),
    (lambda: PIXELS.forward(np.zeros((2, 3, 8, 8), np.uint8)), ValueError, "shape"),
    (lambda: PIXELS.forward(np.zeros((2, 1, 8, 8))), TypeError, "uint8"),
    (lambda: layers.Flatten(70).forward(words(2, 3, 3, 1)), ValueError, "last 2 long"),
    (lambda: layers.Logits(8).forward(ints(4, 9)), ValueError, "last 8 long"),
    (lambda: backward(DENSE, words(5, 3), (5, 9)), ValueError, r"shape \(5, 8\)"),
    (lambda: backward(CONV, words(2, 6, 6, 2), (2, 5, 6, 8)), ValueError, r"shape \(2, 6, 6, 8\)"),
    (lambda: backward(POOL, ints(2, 6, 6, 4), (2, 6, 6, 4)), ValueError, r"shape \(2, 3, 3, 4\)"),
    (lambda: backward(NORM, ints(4, 8), (5, 8)), ValueError, r"shape \(4, 8\)"),
    (lambda: architectures.build("FC8 FC2", (1, 4, 4), rng=0).forward_train(np.zeros((3, 1, 50, 50), np.uint8)),
     ValueError, "shape"),
]


@pytest.mark.jit_off
@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_arrays_with_gaps_are_taken_as_they_read():
    """A slice with a step is a fine input: it is copied, not misread."""
    x = RNG.integers(0, 2**63, (10, 3), dtype=np.uint64)
    x[:, 2] &= np.uint64(3)
    assert np.array_equal(DENSE.forward(x[::2]), DENSE.forward(x)[::2])
