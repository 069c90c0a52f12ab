"""Every layer against `naive`: forward, evaluation, and straight-through gradients against their definition.

A layer that is wrong here trains networks that look plausible and are worse than they should be.
"""

import naive
import numpy as np
import pytest
from naive_network import signs
import slow_cases

import bnnsim.training.layers as layers

pytestmark = pytest.mark.jit_off


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def random_pm1(rng, *shape):
    return rng.choice(np.array([-1, 1]), shape)


def random_gradient(rng, *shape):
    """float32 gradients whose rows and columns differ in size by a lot, as they do in training."""
    sizes = np.exp(rng.normal(0, 2, shape[-1:]))
    sizes = sizes * np.exp(rng.normal(0, 2, (shape[0], *[1] * (len(shape) - 1))))
    return (rng.normal(0, 1, shape) * sizes).astype(np.float32)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def fixed_sum(values, product):
    """float32 of the exactly summed fixed-point values: `product` takes the integers."""
    whole, scale = naive.fixed_point(values)
    return (product(whole) * scale).astype(np.float32)


def check_within_fixed_point(comp, exact, values, summands):
    """|error| <= scale / 2 * sum |operand|, for values rounded in one piece, and float32's rounding."""
    scale = np.abs(values).max() / naive.FULL_SCALE
    bound = scale / 2 * summands + 2.0**-23 * np.abs(exact)
    assert np.all(np.abs(comp - exact) <= bound)


# dense

DENSE = [(1, 1, 1), (63, 5, 3), (64, 7, 2), (65, 3, 5), (130, 70, 3)]


@pytest.mark.parametrize("n_features, units, n", DENSE)
def test_dense_forward(rng, n_features, units, n):
    layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
    ref = naive.dense(x, signs(layer.parameters["weight"]))
    same(layer.forward(naive.pack(x)), ref)
    same(layer.forward_train(naive.pack(x))[0], ref)


@pytest.mark.tiny
@pytest.mark.parametrize("n_features, units, n", DENSE)
def test_dense_gradients(rng, n_features, units, n):
    """dW = dH^T X and dX = dH W with the weights' signs: the straight-through estimator's definition."""
    layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
    dh = random_gradient(rng, n, units)
    weight = signs(layer.parameters["weight"])
    dx, found = layer.backward(dh, layer.forward_train(naive.pack(x))[1])
    exact, exact_dx = dh.T.astype(float) @ x, dh.astype(float) @ weight
    for u in range(units):
        same(found["weight"][u], fixed_sum(dh[:, u], lambda whole: whole @ x))
        check_within_fixed_point(found["weight"][u], exact[u], dh[:, u], n)
    for i in range(n):
        same(dx[i], fixed_sum(dh[i], lambda whole: whole @ weight))
        check_within_fixed_point(dx[i], exact_dx[i], dh[i], units)


@pytest.mark.parametrize("input_shape, units, offset",
                         [((1, 1, 1), 1, 0), ((3, 5, 5), 7, 128), ((2, 4, 9), 65, 255)])
def test_input_dense(rng, input_shape, units, offset):
    """Pixels enter as u - offset, flattened in H, W, C order; nothing flows back to them."""
    layer = layers.InputDense(input_shape, units, offset, rng)
    images = rng.integers(0, 256, (3, *input_shape), np.uint8)
    x, dh = naive.pixels(images, offset).reshape(3, -1), random_gradient(rng, 3, units)
    h, cache = layer.forward_train(images)
    same(h, naive.dense(x, signs(layer.parameters["weight"])))
    same(layer.forward(images), h)
    dx, found = layer.backward(dh, cache)
    assert dx is None
    for u in range(units):
        same(found["weight"][u], fixed_sum(dh[:, u], lambda whole: whole @ x))
        check_within_fixed_point(found["weight"][u], dh[:, u].astype(float) @ x, dh[:, u], np.abs(x).sum(0))


# conv

PAD = {"zero": 0, "plus": 1, "minus": -1}
CONV = [(3, 5, 3, 1, 1, "zero"), (65, 3, 3, 1, 1, "zero"), (70, 6, 2, 1, 0, "zero"), (64, 2, 2, 2, 1, "zero"),
        (3, 70, (3, 2), 2, 2, "zero"), (5, 4, 3, 1, 1, "plus"), (66, 3, 2, 2, 1, "plus"),
        (5, 4, 3, 1, 2, "minus"),
        (130, 2, (2, 3), 2, 1, "minus"), (7, 3, 1, 1, 0, "zero")]
INPUT_CONV = [(1, 5, 3, 1, 1, "zero"), (3, 3, 2, 2, 1, "zero"), (3, 4, (3, 2), 1, 1, "plus"),
              (2, 66, 3, 2, 2, "minus")]


def fixed_conv_dweight(dh, x, layer, k):
    whole, scale = naive.fixed_point(dh[..., k])
    total = naive.conv_dweight(whole[..., None], x, layer.kernel, layer.stride[0], layer.padding[0],
                               layer.pad_value)[0]
    return (total * scale).astype(np.float32)


def check_conv_dweight(comp, dh, x, layer):
    geometry = (layer.kernel, layer.stride[0], layer.padding[0])
    read = naive.patches(x, *geometry, layer.pad_value)
    exact = np.einsum("nijk,nijabc->kabc", dh.astype(float), read)
    summands = np.abs(read).sum((0, 1, 2))
    for k in range(dh.shape[3]):
        same(comp[k], fixed_conv_dweight(dh, x, layer, k))
        check_within_fixed_point(comp[k], exact[k], dh[..., k], summands)


@pytest.mark.parametrize("channels, units, kernel, stride, padding, pad_value", CONV)
def test_conv(rng, channels, units, kernel, stride, padding, pad_value):
    """Forward, dW and dX; a padded position counts as 0, +1 or -1 in every channel, in dW too."""
    layer = layers.Conv2d(channels, units, kernel, stride, padding, pad_value, generator=rng)
    x, weight = random_pm1(rng, 2, 4, 5, channels), signs(layer.parameters["weight"])
    h, cache = layer.forward_train(naive.pack(x))
    same(h, naive.conv(x, weight, stride, padding, PAD[pad_value]))
    same(layer.forward(naive.pack(x)), h)
    assert layer.output_shape((4, 5, channels)) == h.shape[1:]
    dh = random_gradient(rng, *h.shape)
    dx, found = layer.backward(dh, cache)
    check_conv_dweight(found["weight"], dh, x, layer)
    for i in range(len(x)):
        geometry = weight, (1, *x.shape[1:]), stride, padding
        same(dx[i], fixed_sum(dh[i], lambda whole: naive.conv_dx(whole[None], *geometry)[0]))


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("channels, units, kernel, stride, padding, pad_value", INPUT_CONV)
def test_input_conv(rng, channels, units, kernel, stride, padding, pad_value, offset):
    """Padding is in pixel levels after the offset: zero padding is exactly 0, also where black is -128."""
    layer = layers.InputConv2d(channels, units, kernel, stride, padding, pad_value, offset=offset,
                               generator=rng)
    images = rng.integers(0, 256, (2, channels, 4, 5), np.uint8)
    x = naive.pixels(images, offset)
    h, cache = layer.forward_train(images)
    same(h, naive.conv(x, signs(layer.parameters["weight"]), stride, padding, PAD[pad_value]))
    same(layer.forward(images), h)
    dh = random_gradient(rng, *h.shape)
    dx, found = layer.backward(dh, cache)
    assert dx is None
    check_conv_dweight(found["weight"], dh, x, layer)


# float32 on request

def float_layers(rng):
    """(layer, x, x as integers, exact dW of dh, exact dX of dh) of each kind of layer."""
    def dense(n_features, units, n):
        layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
        return (layer, naive.pack(x), x, lambda dh, x: dh.T @ x,
                lambda dh, w: dh @ w)

    def conv(channels, units, kernel, stride, padding, pad_value):
        layer = layers.Conv2d(channels, units, kernel, stride, padding, pad_value, generator=rng)
        x = random_pm1(rng, 9, 3, 4, channels)                  # a part more than float sums have, as few positions
        return (layer, naive.pack(x), x, lambda dh, x: exact_conv_dweight(dh, x, layer),
                lambda dh, w: exact_conv_dx(dh, w, x.shape, stride, padding))

    images = rng.integers(0, 256, (9, 3, 3, 4), np.uint8)
    first, first_conv = layers.InputDense((3, 3, 4), 7, 128, rng), layers.InputConv2d(3, 66, offset=5, generator=rng)
    flat = naive.pixels(images, 128).reshape(9, -1)
    return [dense(1, 1, 1), dense(130, 70, 3), dense(65, 7, 40), conv(65, 3, 3, 1, 1, "zero"),
            conv(70, 67, (3, 2), 2, 2, "plus"), conv(3, 6, 2, 1, 0, "minus"),
            (first, images, flat, lambda dh, x: dh.T @ x, None),
            (first_conv, images, naive.pixels(images, 5), lambda dh, x: exact_conv_dweight(dh, x, first_conv), None)]


def exact_conv_dweight(dh, x, layer):
    read = naive.patches(x, layer.kernel, layer.stride[0], layer.padding[0], layer.pad_value)
    return np.einsum("nijk,nijabc->kabc", dh, read)


def exact_conv_dx(dh, weight, x_shape, stride, padding):
    """`naive.conv_dx` of floats: of their integer multiples of 2^-40."""
    return naive.conv_dx(np.rint(dh * 2.0**40), weight, x_shape, stride, padding) / 2.0**40


@pytest.mark.parametrize("row", slow_cases.first(4, [0, 2, 5, 7, 1, 3, 4, 6]))
def test_float32_gradients(rng, row):
    """Within float32's rounding of each sum, which 16-bit fixed point is not."""
    layer, x, whole, dweight, dinput = float_layers(rng)[row]
    h, cache = layer.forward_train(x)
    dh = rng.normal(size=h.shape).astype(np.float32)
    dx, found = layer.backward(dh, cache, "float32")
    sizes = np.abs(dh.astype(float))
    pairs = [(found["weight"].copy(), dweight(dh.astype(float), whole), dweight(sizes, np.abs(whole)))]
    if dinput:
        weight = signs(layer.parameters["weight"])
        pairs.append((dx, dinput(dh.astype(float), weight), dinput(sizes, np.abs(weight))))
    coarse = layer.backward(dh, cache)[1]["weight"]
    for comp, exact, size in pairs:
        size = size + (np.abs(dh).sum() if getattr(layer, "padding", 0) else 0)     # zero padding is corrected for
        assert np.all(np.abs(comp - exact) <= 2.0**-22 * size)
    assert h.size < 9 or np.abs(coarse - pairs[0][1]).max() > np.abs(pairs[0][0] - pairs[0][1]).max()


# bit errors on the way from the memory

def masked_conv(rng):
    layer = layers.Conv2d(70, 3, 2, generator=rng)
    return layer, random_pm1(rng, 2, 3, 3, 70)


def masked_dense(rng):
    return layers.Dense(70, 3, rng), random_pm1(rng, 4, 70)


@pytest.mark.parametrize("make", [masked_dense, masked_conv])
@pytest.mark.parametrize("native", [False, True])
def test_gradients_through_flipped_bits(rng, make, native):
    """h and dX are those of the words that were read; dW ignores the flips, or is M * (dH X^T): native."""
    layer, x = make(rng)
    flips = rng.random(layer.parameters["weight"].shape) < 0.3
    mask = naive.pack(np.where(flips, 1, -1))
    twin, _ = make(np.random.default_rng(31))
    twin.parameters["weight"] *= np.where(flips, -1, 1).astype(np.float32)
    twin.refresh()
    h, cache = layer.forward_train(naive.pack(x), layer.words ^ mask, mask if native else None)
    ref_h, ref_cache = twin.forward_train(naive.pack(x))
    same(h, ref_h)
    dh = random_gradient(rng, *h.shape)
    (dx, found), (ref_dx, ref) = layer.backward(dh, cache), twin.backward(dh, ref_cache)
    same(dx, ref_dx)
    same(found["weight"], np.where(flips, -1, 1) * ref["weight"] if native else ref["weight"])
    same(layer.words, naive.pack(signs(layer.parameters["weight"])))
