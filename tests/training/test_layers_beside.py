"""Layers of batch norm, pooling and flattening; initial weights; layers that do not fit each other."""

import naive
import numpy as np
import pytest
from naive_network import signs
from test_layers import random_gradient, random_pm1, same
import slow_cases

import bnnsim.training.layers as layers
from bnnsim.training.gradients import scattered
from bnnsim.training.model import Sequential

pytestmark = pytest.mark.jit_off


@pytest.fixture
def rng():
    return np.random.default_rng(31)


@pytest.mark.parametrize("size, height, width", [(2, 4, 6), (2, 5, 7), (3, 5, 3), (1, 2, 3)])
def test_max_pool(rng, size, height, width):
    """Rows and columns that fill no window are left out, and get no gradient; of ties the first gets it."""
    layer, h = layers.MaxPool2d(size), rng.integers(-4, 5, (2, height, width, 3)).astype(np.int32)
    ref, winner = naive.max_pool(h, size)
    out, cache = layer.forward_train(h)
    same(out, ref)
    same(layer.forward(h), ref)
    dout = random_gradient(rng, *out.shape)
    dh, gradients = layer.backward(dout, cache)
    same(scattered(dh), naive.max_pool_backward(dout, winner, size, h.shape))
    assert gradients == {} and dh.shape == h.shape


@pytest.mark.parametrize("size, height, width", slow_cases.first(1, [(2, 5, 7), (2, 4, 6), (3, 5, 3)]))
@pytest.mark.parametrize("first", [False, True])
def test_a_convolution_reads_a_pooled_gradient_as_the_array_it_stands_for(rng, first, size, height, width):
    """Three quarters of that array are zeros, which are never written; what they stand for must not change."""
    layer = layers.InputConv2d(2, 19, offset=3, generator=rng) if first else layers.Conv2d(70, 19, generator=rng)
    x = rng.integers(0, 256, (3, 2, height, width), np.uint8) if first else \
        naive.pack(random_pm1(rng, 3, height, width, 70))
    h, cache = layer.forward_train(x)
    out, pool_cache = layers.MaxPool2d(size).forward_train(h)
    pooled = layers.MaxPool2d(size).backward(random_gradient(rng, *out.shape), pool_cache)[0]
    dx, found = layer.backward(pooled, cache)
    found = found["weight"].copy()
    ref_dx, ref = layer.backward(scattered(pooled), cache)
    same(found, ref["weight"])
    assert ref_dx is None if first else np.array_equal(dx, ref_dx)


@pytest.mark.parametrize("channels", [3, 64, 70, 128])
def test_flatten(rng, channels):
    """H, W, C order with no gaps, also where channels do not fill words."""
    layer, x = layers.Flatten(channels), random_pm1(rng, 2, 2, 3, channels)
    out, cache = layer.forward_train(naive.pack(x))
    same(out, naive.pack(x.reshape(2, -1)))
    same(layer.forward(naive.pack(x)), out)
    dout = random_gradient(rng, 2, 6 * channels)
    same(layer.backward(dout, cache)[0], dout.reshape(2, 2, 3, channels))


# batch norm

def norm_layer(rng, cls, units):
    layer = cls(units)
    layer.parameters["gamma"][:] = rng.normal(0, 1, units)
    layer.parameters["beta"][:] = rng.normal(0, 0.5, units)
    layer.parameters["gamma"][:2] = 0, 3                    # a constant unit, and one that is often masked
    return layer


@pytest.mark.parametrize("cls, shape", [(layers.BatchNorm, (9, 3)), (layers.BatchNormSign, (9, 3)),
                                        (layers.BatchNormSign, (2, 3, 4, 66))])
def test_batch_norm(rng, cls, shape):
    """Batch statistics in training; the straight-through mask |BN(h)| <= 1 only where a sign follows."""
    layer, h = norm_layer(rng, cls, shape[-1]), rng.integers(-50, 51, shape).astype(np.int32)
    rows = h.reshape(-1, shape[-1])
    inverse = 1 / np.sqrt(rows.var(0) + 1e-5)
    scale, beta = layer.parameters["gamma"] * inverse, layer.parameters["beta"]
    y = naive.batch_norm(rows, rows.mean(0), scale, beta)
    out, cache = layer.forward_train(h)
    if cls is layers.BatchNormSign:
        same(out, naive.pack(signs(y).reshape(shape)))
    else:
        np.testing.assert_allclose(out, y.reshape(shape), rtol=1e-12, atol=1e-12)
    dout = random_gradient(rng, *shape)
    dy = naive.through_sign(dout.reshape(rows.shape), y, "identity" if cls is layers.BatchNorm else "clipped")
    assert np.array_equal(dy, dout.reshape(rows.shape)) == (cls is layers.BatchNorm)
    ref_dh, ref_dgamma, ref_dbeta = naive.batch_norm_backward(dy, rows, rows.mean(0), inverse, scale)
    dh, gradients = layer.backward(dout, cache)
    np.testing.assert_allclose(dh.reshape(rows.shape), ref_dh, rtol=1e-6, atol=1e-6 * np.abs(ref_dh).max())
    np.testing.assert_allclose(gradients["gamma"], ref_dgamma, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients["beta"], ref_dbeta, rtol=1e-6, atol=1e-6)


def test_gradient_passes_at_exactly_one():
    """The mask is |BN(h)| > 1: an output of exactly 1 still learns, the next float above does not."""
    layer = layers.BatchNormSign(2, eps=0.0)
    layer.parameters["gamma"][1] = np.nextafter(np.float32(1), np.float32(2))
    h = np.array([[-1, -1], [1, 1]], np.int32)
    _, gradients = layer.backward(np.array([[1, 1], [3, 3]], np.float32), layer.forward_train(h)[1])
    same(gradients["beta"], [4, 0])


def test_running_statistics(rng):
    """Deployment uses them: momentum 0.1 from (0, 1), and the unbiased variance, as in PyTorch."""
    layer, mean, variance = layers.BatchNormSign(3), np.zeros(3), np.ones(3)
    for _ in range(4):
        h = rng.integers(-9, 10, (7, 3)).astype(np.int32)
        layer.forward_train(h)
        mean, variance = 0.9 * mean + 0.1 * h.mean(0), 0.9 * variance + 0.1 * h.var(0, ddof=1)
    np.testing.assert_allclose(layer.running["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running["variance"], variance, rtol=1e-12)
    scale = layer.parameters["gamma"] / np.sqrt(variance + layer.eps)
    same(layer.forward(h), naive.pack(signs(naive.batch_norm(h, mean, scale, layer.parameters["beta"]))))


def test_a_constant_unit_and_a_batch_of_one_are_finite():
    """A dead unit (variance 0), or a last batch of one image, must not give NaN."""
    layer, h = layers.BatchNormSign(2), np.full((1, 2), 7, np.int32)
    dh, gradients = layer.backward(np.ones((1, 2), np.float32), layer.forward_train(h)[1])
    for value in (dh, *gradients.values(), *layer.running.values()):
        assert np.isfinite(value).all()


def test_logits(rng):
    layer, h = layers.Logits(4), rng.integers(-99, 100, (3, 4)).astype(np.int32)
    out, cache = layer.forward_train(h)
    assert out.dtype == np.float64
    same(out, h)
    same(layer.forward(h), h)
    dh, gradients = layer.backward(np.ones((3, 4), np.float32), cache)
    assert dh.dtype == np.float32 and gradients == {}


# initial weights, neighbours

@pytest.mark.parametrize("make, fan_in, fan_out", [
    (lambda rng: layers.Dense(600, 40, rng), 600, 40),
    (lambda rng: layers.Conv2d(30, 40, 3, generator=rng), 270, 360)])
def test_initial_weights_fill_the_interval(rng, make, fan_in, fan_out):
    """U(+-sqrt(1.5 / (fan_in + fan_out))): another width changes what a learning rate means."""
    weight, bound = make(rng).parameters["weight"], np.sqrt(1.5 / (fan_in + fan_out))
    assert weight.dtype == np.float32 and np.abs(weight).max() <= bound
    n = weight.size
    assert abs(weight.mean()) < 5 * bound / np.sqrt(3 * n)
    assert abs((weight.astype(float)**2).mean() - bound**2 / 3) < 5 * bound**2 * np.sqrt(4 / 45 / n)


IMAGE = (2, 6, 6)
RNG = np.random.default_rng(0)


def conv_in(units=5):
    return layers.InputConv2d(2, units, offset=0, generator=RNG)


def dense_in(units=5):
    return layers.InputDense(IMAGE, units, 0, RNG)


MISFITS = {
    "batch norm of another width": ([dense_in(), layers.BatchNormSign(4)], "BatchNormSign.4. cannot follow"),
    "dense of another width": ([dense_in(), layers.BatchNormSign(5), layers.Dense(6, 3, RNG)],
                               "Dense.6 features"),
    "dense behind a conv": ([conv_in(), layers.BatchNormSign(5), layers.Dense(5, 3, RNG)], "Dense"),
    "conv of other channels": ([conv_in(), layers.BatchNormSign(5), layers.Conv2d(4, 3, generator=RNG)],
                               "Conv2d of 4 channels cannot follow"),
    "conv behind a dense": ([dense_in(), layers.BatchNormSign(5), layers.Conv2d(5, 3, generator=RNG)],
                            "Conv2d of 5"),
    "flatten of other channels": ([conv_in(), layers.BatchNormSign(5), layers.Flatten(4)],
                                  "Flatten of 4 channels"),
    "flatten behind a dense": ([dense_in(), layers.BatchNormSign(5), layers.Flatten(5)],
                               "Flatten of 5 channels"),
    "images of other channels": ([layers.InputConv2d(3, 5, offset=0, generator=RNG)], "images of 3 channels"),
    "images of another shape": ([layers.InputDense((1, 6, 6), 5, 0, RNG)], "expects images of shape"),
    "pool behind a dense": ([dense_in(), layers.MaxPool2d(2)], "MaxPool2d.2. needs an input"),
    "pool larger than its input": ([conv_in(), layers.MaxPool2d(7)], "at least 7 x 7"),
    "kernel larger than its input": ([layers.InputConv2d(2, 5, 9, offset=0, generator=RNG)], "9 x 9 kernel"),
    "logits of another width": ([dense_in(), layers.Logits(4)], "Logits.4. cannot follow"),
    "no sign between two dense": ([dense_in(), layers.Dense(5, 3, RNG), layers.BatchNorm(3)],
                                  r"layers\[1\], Dense, takes bits, but gets pre-activations"),
    "no sign before flatten": ([conv_in(), layers.Flatten(5)], "Flatten, takes bits"),
    "pool behind the sign": ([conv_in(), layers.BatchNormSign(5), layers.MaxPool2d(2)],
                             "MaxPool2d, takes pre-act"),
    "batch norm twice": ([dense_in(), layers.BatchNormSign(5), layers.BatchNorm(5)],
                         "BatchNorm, takes pre-act"),
    "a second input layer": ([dense_in(), layers.BatchNormSign(5), dense_in()], "InputDense, takes pixels"),
    "a hidden layer first": ([layers.Dense(72, 5, RNG)], "Dense, takes bits, but gets pixels"),
    "scores of a conv": ([conv_in(), layers.BatchNorm(5)], "must give scores"),
    "bits at the end": ([dense_in(), layers.BatchNormSign(5)], "must give scores"),
    "no layers": ([], "layers must be a sequence of layers, such as .*, one at least, got none"),
}


@pytest.mark.parametrize("row", MISFITS)
def test_a_layer_that_does_not_fit_its_neighbour_is_refused(row):
    """Kernels trust shapes and types: a misfit that got through would read foreign memory."""
    stack, message = MISFITS[row]
    with pytest.raises(ValueError, match=message):
        Sequential(stack, IMAGE)


@pytest.mark.parametrize("make, error, message", [
    (lambda: Sequential(None, IMAGE), TypeError, "layers must be a sequence of layers, such as .*, got None"),
    (lambda: layers.Dense(0, 3, RNG), ValueError, "n_features must be >= 1"),
    (lambda: layers.Dense(3, 2.0, RNG), TypeError, "units must be an integer"),
    (lambda: layers.InputDense(IMAGE, 3, 256, RNG), ValueError, "offset must be in"),
    (lambda: layers.Conv2d(3, 3, 0, generator=RNG), ValueError, "kernel must be >= 1"),
    (lambda: layers.Conv2d(3, 3, stride=0, generator=RNG), ValueError, "stride must be >= 1"),
    (lambda: layers.Conv2d(3, 3, padding=-1, generator=RNG), ValueError, "padding must be >= 0"),
    (lambda: layers.Conv2d(3, 3, pad_value="zeros", generator=RNG), ValueError, "did you mean 'zero'"),
    (lambda: layers.MaxPool2d(16), ValueError, "size must be in"),
    (lambda: layers.RealConv2d(3, 3, bias="no", generator=RNG), TypeError, "bias must be True or False, got 'no'"),
    (lambda: layers.AveragePool2d(2, whole="no"), TypeError, "whole must be True or False, got 'no'"),
    (lambda: layers.Sign(3, learned="no"), TypeError, "learned must be True or False, got 'no'"),
    (lambda: layers.ScaleShift(3, scale="no"), TypeError, "scale must be True or False, got 'no'"),
    (lambda: layers.BatchNorm(0), ValueError, "units must be >= 1")])
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()
